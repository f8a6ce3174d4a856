//! What needs the connection itself.

use super::*;
use crate::owner::AliveSet;
use crate::types::Record;

fn store() -> (tempfile::TempDir, SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_with(dir.path(), Arc::new(AliveSet::default())).unwrap();
    (dir, store)
}

fn run(n: u64) -> RunId {
    RunId::from_number(n)
}

fn lease(store: &mut SqliteStore, run: RunId) -> u64 {
    let owner = Owner { id: OwnerId::parse("a").unwrap(), address: String::new(), vocabulary: 1 };
    store.acquire(&LeaseName::Run(run), &owner, 0, true).unwrap().epoch
}

fn record(size: usize) -> Record {
    Record {
        at: 1_700_000_000_000,
        body: format!("{{\"type\":\"Output\",\"data\":\"{}\"}}", "x".repeat(size)),
    }
}

fn one(store: &mut SqliteStore, part: Append) -> Result<Seq, AppendError> {
    store.append(vec![part]).remove(0)
}

#[test]
fn a_full_disk_changes_nothing_and_goes_on_when_there_is_space() {
    let (_dir, mut store) = store();
    let epoch = lease(&mut store, run(1));
    assert_eq!(one(&mut store, Append::new(run(1), 0, epoch, vec![record(100)])), Ok(1));
    let limit = |store: &SqliteStore, pages: i64| {
        store.reader.conn.query_row(&format!("PRAGMA max_page_count={pages}"), [], |_| Ok(())).unwrap();
    };
    limit(&store, 1); // SQLite raises it to the present size.
    let big: Vec<Record> = (0..20).map(|_| record(1000)).collect();
    for sync in [false, true] {
        let mut part = Append::new(run(1), 1, epoch, big.clone());
        part.sync = sync;
        let results = store.append(vec![part, Append::new(run(1), 9, epoch, vec![])]);
        assert!(
            matches!(&results[0], Err(e @ AppendError::Commit(StoreError::DiskFull { .. })) if e.is_retryable())
        );
        assert!(results[1].is_err());
        assert_eq!(store.verify(run(1)), Ok(1));
    }
    assert!(matches!(store.put_artifact(run(1), &[1; 60_000]), Err(StoreError::DiskFull { .. })));
    // Of bytes that cannot be made smaller.
    let mut bytes = vec![0; 60_000];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    assert!(matches!(
        store.put_snapshot(run(1), &Snapshot { seq: 1, fold_version: 1, bytes }),
        Err(StoreError::DiskFull { .. })
    ));
    // A small part still fits into the last page.
    assert_eq!(one(&mut store, Append::new(run(1), 1, epoch, vec![record(10)])), Ok(2));
    limit(&store, 1_000_000);
    assert_eq!(one(&mut store, Append::new(run(1), 2, epoch, big)), Ok(22));
    assert_eq!(store.verify(run(1)), Ok(22));
    assert_eq!(store.reader.integrity_check(), Ok(vec![]));
}

#[test]
fn a_small_commit_writes_about_one_page() {
    let (dir, mut store) = store();
    let epoch = lease(&mut store, run(1));
    let wal = dir.path().join("windlass.db-wal");
    let size = || std::fs::metadata(&wal).unwrap().len();
    store.reader.conn.execute_batch("PRAGMA wal_autocheckpoint=0").unwrap();
    assert_eq!(one(&mut store, Append::new(run(1), 0, epoch, vec![record(300)])), Ok(1));
    let before = size();
    const N: u64 = 200;
    for seq in 1..=N {
        assert_eq!(one(&mut store, Append::new(run(1), seq, epoch, vec![record(300)])), Ok(seq + 1));
    }
    let each = (size() - before) / N;
    assert!(each < 6000, "{each} bytes per commit");
}

#[test]
fn the_sync_mode_follows_the_batch() {
    let (_dir, mut store) = store();
    let epoch = lease(&mut store, run(1));
    let mode = |store: &SqliteStore| -> i64 {
        store.reader.conn.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(mode(&store), 2);
    one(&mut store, Append::new(run(1), 0, epoch, vec![record(1)])).unwrap();
    assert_eq!(mode(&store), 1);
    let results = store.append(vec![
        Append::new(run(1), 1, epoch, vec![record(1)]),
        Append::new(run(1), 2, epoch, vec![record(1)]).synced(),
    ]);
    assert_eq!(results, [Ok(2), Ok(3)]);
    assert_eq!(mode(&store), 2);
}

#[test]
fn a_row_in_the_way_is_damage_of_that_run_only() {
    let (_dir, mut store) = store();
    let (a, b) = (lease(&mut store, run(1)), lease(&mut store, run(2)));
    assert_eq!(one(&mut store, Append::new(run(1), 0, a, vec![record(1)])), Ok(1));
    assert_eq!(one(&mut store, Append::new(run(2), 0, b, vec![record(1)])), Ok(1));
    // The reader of the head is made to overlook it, as a damaged tree may.
    let no: i64 = journal::run_no(&store.reader.conn, run(1)).unwrap().unwrap();
    store.reader.conn.execute("INSERT INTO events VALUES (?1, 0, 0, '')", [journal::key(no, 3)]).unwrap();
    let results = store.append(vec![
        Append::new(run(2), 1, b, vec![record(1)]),
        Append::new(run(1), 3, a, vec![record(1), record(1)]),
    ]);
    assert_eq!(results[0], Ok(2));
    assert!(matches!(&results[1], Err(AppendError::Damaged(d)) if d.run == run(1) && d.seq == 3));
}

#[test]
fn a_thousand_runs_are_listed_from_their_index() {
    let (_dir, mut store) = store();
    for n in 0..1000 {
        let epoch = lease(&mut store, run(n));
        let mut part = Append::new(run(n), 0, epoch, vec![record(10)]);
        part.index = Some(RunRow {
            run: run(n),
            created_at: 1,
            updated_at: 2,
            status: "running".to_owned(),
            proof: "unproven".to_owned(),
            goal: "g".repeat(400),
            team: "default".to_owned(),
            workflow: "fast-fix".to_owned(),
            cwd: "/src".to_owned(),
            terminal: n % 10 != 0,
        });
        assert_eq!(one(&mut store, part), Ok(1));
    }
    let listed = store.list(ListFilter { unfinished: true, newest: None }).unwrap();
    assert_eq!(listed.len(), 100);
    assert_eq!(store.list(ListFilter { unfinished: false, newest: Some(20) }).unwrap().len(), 20);
}
