//! A database of each released format is read as it is, and migrated without losing anything.

use crate::support::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use windlass_store::sqlite::DB_FILE;
use windlass_store::sqlite::schema::FORMAT;
use windlass_store::*;

fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format-{format}.db"))
}

/// A copy of a golden database, in a folder of its own.
fn copy(format: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(golden(format), dir.path().join(DB_FILE)).unwrap();
    dir
}

/// What a golden database holds, as far as its format can.
fn fill(store: &mut SqliteStore, format: u32) {
    let (a, b) = (RunId::parse("k7m2qd").unwrap(), RunId::parse("b3n4pq").unwrap());
    let owner =
        Owner { id: OwnerId::parse("golden-1").unwrap(), address: "/run/w.sock".into(), vocabulary: 1 };
    let epoch = store.acquire(&on(a), &owner, 100, false).unwrap().epoch;
    let mut part = Append::new(a, 0, epoch, records(3)).synced();
    let mut index = row(a, "completed", true);
    if format < 2 {
        index.workflow.clear();
    }
    part.index = Some(index);
    append(store, part).unwrap();
    store.put_snapshot(a, &Snapshot { seq: 2, fold_version: 1, bytes: b"state".to_vec() }).unwrap();
    let epoch = store.acquire(&on(b), &owner, 101, false).unwrap();
    append(store, Append::new(b, 0, epoch.epoch, records(1))).unwrap();
    store.release(&epoch).unwrap();
    store.put_artifact(a, b"artifact").unwrap();
    store.put_request(&StoredRequest { id: "q1".into(), run: b, at: 7, body: "{}".into() }).unwrap();
    store
        .set_project_identity(&ProjectIdentity { path: "/src/project/.git".into(), device: 1, inode: 2 })
        .unwrap();
}

/// Everything that a store says.
fn says(store: &dyn ReadStore) -> String {
    let mut out = String::new();
    for id in ["k7m2qd", "b3n4pq"] {
        let run = RunId::parse(id).unwrap();
        out += &format!(
            "{:?}\n{:?}\n{:?}\n",
            store.load(run, 1),
            store.lease(&on(run)),
            store.pending_requests(run)
        );
    }
    out += &format!("{:?}\n{:?}\n", store.list(ListFilter::default()), store.project_identity());
    out + &format!("{:?}\n", store.get_artifact(&Hash::of(b"artifact")))
}

/// What a database of this format says, made by this code.
fn wanted(format: u32) -> String {
    let fresh = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(fresh.path()).unwrap();
    fill(&mut store, format);
    let says = says(&store);
    drop(store);
    // Set to make the file of a new format.
    if format == FORMAT && std::env::var_os("WINDLASS_WRITE_GOLDEN").is_some() {
        std::fs::copy(fresh.path().join(DB_FILE), golden(format)).unwrap();
    }
    says
}

fn format_of(dir: &Path) -> u32 {
    let raw = rusqlite::Connection::open(dir.join(DB_FILE)).unwrap();
    raw.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

/// The tables and indices of a database, in SQL.
fn tables(dir: &Path) -> Vec<String> {
    let raw = rusqlite::Connection::open(dir.join(DB_FILE)).unwrap();
    let mut statement = raw
        .prepare(
            "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name",
        )
        .unwrap();
    let all = statement.query_map([], |row| row.get(0)).unwrap();
    all.collect::<Result<_, _>>().unwrap()
}

#[test]
fn every_format_is_read_as_it_is() {
    for format in 1..=FORMAT {
        let want = wanted(format);
        let dir = copy(format);
        let before = std::fs::read(dir.path().join(DB_FILE)).unwrap();
        assert_eq!(says(&SqliteReader::open(dir.path()).unwrap()), want, "format {format}");
        assert_eq!(std::fs::read(dir.path().join(DB_FILE)).unwrap(), before, "looking changes nothing");
        assert_eq!(format_of(dir.path()), format);
    }
}

#[test]
fn every_format_is_migrated_and_goes_on() {
    let new = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(new.path()).unwrap());
    for format in 1..=FORMAT {
        let want = wanted(format);
        let dir = copy(format);
        let mut store = SqliteStore::open(dir.path()).unwrap();
        assert_eq!(format_of(dir.path()), FORMAT);
        assert_eq!(tables(dir.path()), tables(new.path()), "from format {format}");
        assert_eq!(says(&store), want, "format {format}");
        let run = RunId::parse("k7m2qd").unwrap();
        let epoch = lease(&mut store, run);
        let mut part = Append::new(run, 3, epoch, records(2));
        part.index = Some(row(run, "completed", true));
        assert_eq!(append(&mut store, part), Ok(5));
        assert_eq!(store.verify(run), Ok(5));
        let listed = store.list(ListFilter::default()).unwrap();
        let known = listed.iter().find(|l| l.run == run).and_then(|l| l.row.as_ref()).unwrap();
        assert_eq!(known.workflow, "fast-fix");
        assert_eq!(store.reader().integrity_check(), Ok(vec![]));
    }
}

/// The engine that leads runs in a database of an older format is an older engine: it goes on, and whoever is newer waits.
#[test]
fn a_migration_waits_for_the_engine_that_leads_runs_there() {
    let dir = copy(1);
    let alive = AliveSet::default();
    let holder = OwnerId::parse("golden-1").unwrap();
    alive.set(&holder, true);
    let open = || SqliteStore::open_with(dir.path(), Arc::new(alive.clone()));
    let refused = open().unwrap_err();
    let path = dir.path().join(DB_FILE);
    let want = StoreError::MigrationWaits { path, found: 1, known: FORMAT, owner: "golden-1".into() };
    assert_eq!(refused, want);
    assert!(refused.is_retryable());
    assert_eq!(format_of(dir.path()), 1);
    let reader = SqliteReader::open(dir.path()).unwrap();
    assert_eq!(says(&reader), wanted(1), "looking does not wait");
    alive.set(&holder, false);
    drop(open().unwrap());
    assert_eq!(format_of(dir.path()), FORMAT);
    assert_eq!(says(&reader), wanted(1), "who looked before goes on looking");
}

/// A newer program has migrated while this one had the database open: nothing of it is read or written as if it were older.
#[test]
fn who_has_it_open_reads_and_writes_nothing_of_a_newer_format() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let epoch = filled(&mut store, run(1), 2);
    let reader = SqliteReader::open(dir.path()).unwrap();
    assert_eq!(reader.head(run(1)), Ok(2));
    // Every lease is given back before anybody migrates.
    store.release(&Lease { name: on(run(1)), epoch }).unwrap();
    let raw = rusqlite::Connection::open(dir.path().join(DB_FILE)).unwrap();
    raw.execute_batch(
        "ALTER TABLE events RENAME COLUMN body TO text; ALTER TABLE runs RENAME COLUMN goal TO aim;",
    )
    .unwrap();
    raw.pragma_update(None, "user_version", FORMAT + 1).unwrap();

    let too_new = StoreError::TooNew { path: dir.path().join(DB_FILE), found: FORMAT + 1, known: FORMAT };
    for look in [&reader as &dyn ReadStore, &store] {
        assert_eq!(look.head(run(1)), Err(too_new.clone()));
        assert_eq!(look.read(run(1), 0, 9), Err(too_new.clone().into()));
        assert_eq!(look.load(run(1), 1), Err(too_new.clone().into()));
        assert_eq!(look.latest_snapshot(run(1), 1), Err(too_new.clone()));
        assert_eq!(look.list(ListFilter::default()), Err(too_new.clone()));
        assert_eq!(look.lease(&on(run(1))), Err(too_new.clone()));
        assert_eq!(look.pending_requests(run(1)), Err(too_new.clone()));
        assert_eq!(look.project_identity(), Err(too_new.clone()));
        assert!(matches!(look.get_artifact(&Hash::of(b"x")), Err(ArtifactError::Store(e)) if e == too_new));
    }
    assert_eq!(store.acquire(&on(run(1)), &owner("a"), 1, true), Err(too_new.clone().into()));
    assert_eq!(store.index_put(&[row(run(1), "completed", true)]), Err(too_new.clone()));
    assert_eq!(store.put_artifact(run(1), b"x"), Err(too_new.clone()));
    let request = StoredRequest { id: "q".into(), run: run(1), at: 1, body: "{}".into() };
    assert_eq!(store.put_request(&request), Err(too_new.clone()));
    let fenced = append(&mut store, Append::new(run(1), 2, epoch, records(1)));
    assert_eq!(fenced, Err(AppendError::Fenced { run: run(1), given: epoch, current: None }));
    let after: i64 = raw.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(after, 2);
}
