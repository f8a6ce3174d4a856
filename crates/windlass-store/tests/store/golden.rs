//! A database of each released format is opened and read by this code.

use crate::support::*;
use windlass_store::sqlite::DB_FILE;
use windlass_store::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/format-1.db");

/// What the golden databases hold.
fn fill(store: &mut SqliteStore) {
    let (a, b) = (RunId::parse("k7m2qd").unwrap(), RunId::parse("b3n4pq").unwrap());
    let owner =
        Owner { id: OwnerId::parse("golden-1").unwrap(), address: "/run/w.sock".into(), vocabulary: 1 };
    let epoch = store.acquire(&on(a), &owner, 100, false).unwrap().epoch;
    let mut part = Append::new(a, 0, epoch, records(3)).synced();
    part.index = Some(row(a, "completed", true));
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

#[test]
fn format_1_is_read_as_it_was_written() {
    let fresh = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(fresh.path()).unwrap();
    fill(&mut store);
    let want = says(&store);
    drop(store);
    // Set to make the file anew, which only a new format needs.
    if std::env::var_os("WINDLASS_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(std::path::Path::new(GOLDEN).parent().unwrap()).unwrap();
        std::fs::copy(fresh.path().join(DB_FILE), GOLDEN).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(GOLDEN, dir.path().join(DB_FILE)).unwrap();
    assert_eq!(says(&SqliteReader::open(dir.path()).unwrap()), want);
    let mut store = SqliteStore::open(dir.path()).unwrap();
    assert_eq!(says(&store), want);
    let run = RunId::parse("k7m2qd").unwrap();
    let epoch = lease(&mut store, run);
    assert_eq!(append(&mut store, Append::new(run, 3, epoch, records(2))), Ok(5));
    assert_eq!(store.verify(run), Ok(5));
    assert_eq!(store.reader().integrity_check(), Ok(vec![]));
}
