//! Stores to test, and short ways to say things.

use std::sync::Arc;
use tempfile::TempDir;
use windlass_store::*;

/// One of the implementations, with a hand on who is alive.
pub(crate) struct Fixture {
    pub(crate) kind: &'static str,
    pub(crate) store: Box<dyn Store>,
    pub(crate) alive: AliveSet,
    pub(crate) dir: TempDir,
}

/// Both implementations, empty.
pub(crate) fn both() -> [Fixture; 2] {
    [memory(), sqlite()]
}

pub(crate) fn memory() -> Fixture {
    let alive = AliveSet::default();
    let store = Box::new(MemoryStore::new(Arc::new(alive.clone())));
    Fixture { kind: "memory", store, alive, dir: tempfile::tempdir().unwrap() }
}

pub(crate) fn sqlite() -> Fixture {
    let (alive, dir) = (AliveSet::default(), tempfile::tempdir().unwrap());
    let store = Box::new(SqliteStore::open_with(dir.path(), Arc::new(alive.clone())).unwrap());
    Fixture { kind: "sqlite", store, alive, dir }
}

pub(crate) fn run(n: u64) -> RunId {
    RunId::from_number(n)
}

pub(crate) fn owner(name: &str) -> Owner {
    Owner { id: OwnerId::parse(name).unwrap(), address: format!("/run/{name}.sock"), vocabulary: 1 }
}

pub(crate) fn on(run: RunId) -> LeaseName {
    LeaseName::Run(run)
}

/// A lease on a run for `a`.
pub(crate) fn lease(store: &mut dyn Store, run: RunId) -> u64 {
    store.acquire(&on(run), &owner("a"), 1, true).unwrap().epoch
}

pub(crate) fn records(n: usize) -> Vec<Record> {
    (0..n).map(|i| Record { at: 1000 + i as i64, body: format!("{{\"type\":\"E\",\"data\":{i}}}") }).collect()
}

pub(crate) fn append(store: &mut dyn Store, part: Append) -> Result<Seq, AppendError> {
    let mut results = store.append(vec![part]);
    assert_eq!(results.len(), 1);
    results.remove(0)
}

/// A run with `n` events, leased by `a`.
pub(crate) fn filled(store: &mut dyn Store, run: RunId, n: usize) -> u64 {
    let epoch = lease(store, run);
    assert_eq!(append(store, Append::new(run, 0, epoch, records(n))), Ok(n as Seq));
    epoch
}

pub(crate) fn row(run: RunId, status: &str, terminal: bool) -> RunRow {
    RunRow {
        run,
        created_at: 5,
        updated_at: 6,
        status: status.to_owned(),
        proof: "unproven".to_owned(),
        goal: "mend the tests".to_owned(),
        team: "default".to_owned(),
        workflow: "fast-fix".to_owned(),
        cwd: "/src/project".to_owned(),
        terminal,
    }
}

/// The size of a page of the database with this content, as its header says it.
pub(crate) fn page_size(database: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([database[16], database[17]]))
}
