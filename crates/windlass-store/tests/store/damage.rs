//! Damage is told apart from absence, run by run, and its bytes are kept.

use crate::support::*;
use rusqlite::Connection;
use std::path::Path;
use windlass_store::sqlite::DB_FILE;
use windlass_store::*;

fn raw(dir: &Path) -> Connection {
    Connection::open(dir.join(DB_FILE)).unwrap()
}

/// Two runs of 10 events, the second whole; `hurt` is done to the first, whose keys begin at 2³².
fn hurt(sql: &str) -> (tempfile::TempDir, SqliteStore, u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let epoch = filled(&mut store, run(1), 10);
    filled(&mut store, run(2), 10);
    let raw = raw(dir.path());
    raw.execute_batch("PRAGMA ignore_check_constraints=ON").unwrap();
    raw.execute_batch(sql).unwrap();
    (dir, store, epoch)
}

const KEY_5: &str = "(SELECT run_no << 32 FROM runs ORDER BY run_no LIMIT 1) + 5";

#[test]
fn every_kind_of_damage_is_found_where_it_is() {
    for (sql, reason) in [
        (format!("UPDATE events SET body = replace(body, 'E', 'F') WHERE key = {KEY_5}"), "checksum"),
        (format!("UPDATE events SET at = at + 1 WHERE key = {KEY_5}"), "checksum"),
        (format!("UPDATE events SET body = CAST(x'7bff7d' AS TEXT) WHERE key = {KEY_5}"), "UTF-8"),
        (format!("DELETE FROM events WHERE key = {KEY_5}"), "missing"),
        (format!("DELETE FROM events WHERE key >= {KEY_5} AND key < {KEY_5} + 3"), "missing"),
    ] {
        let (dir, mut store, epoch) = hurt(&sql);
        let Err(ReadError::Damaged(damage)) = store.read(run(1), 0, 100) else { panic!("{sql}") };
        assert_eq!((damage.run, damage.seq), (run(1), 5), "{sql}");
        assert!(damage.reason.contains(reason), "{damage}");
        assert_eq!(store.read(run(1), 0, 4).unwrap().len(), 4, "what stands before it can be read");
        assert!(store.read(run(1), 4, 1).is_err() && store.load(run(1), 1).is_err());
        assert!(store.verify(run(1)).is_err());

        // Nothing is added behind it; the other run goes on in the same batch.
        let results = store.append(vec![
            Append::new(run(1), 10, epoch, records(1)),
            Append::new(run(2), 10, epoch + 1, records(1)),
        ]);
        assert!(matches!(&results[0], Err(AppendError::Damaged(d)) if d.seq == 5), "{results:?}");
        assert_eq!(results[1], Ok(11));
        assert_eq!(store.verify(run(2)), Ok(11));

        let before = bodies(dir.path(), "events", &format!("key >= {KEY_5} AND key <= {KEY_5} + 5"));
        let kept = store.quarantine(run(1), epoch).unwrap();
        assert_eq!((kept.head, kept.rows as usize), (4, before.len()));
        assert_eq!(bodies(dir.path(), "damaged", "1"), before, "the bytes are the original ones");
        assert_eq!(store.verify(run(1)), Ok(4));
        assert_eq!(append(&mut store, Append::new(run(1), 4, epoch, records(1))), Ok(5));
        assert_eq!(store.verify(run(2)), Ok(11));
    }
}

fn bodies(dir: &Path, table: &str, filter: &str) -> Vec<(i64, Vec<u8>)> {
    let raw = raw(dir);
    let sql = format!("SELECT key, CAST(body AS BLOB) FROM {table} WHERE {filter} ORDER BY key");
    let mut statement = raw.prepare(&sql).unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

#[test]
fn damage_at_the_end_is_found_by_an_append_that_read_nothing() {
    let (_dir, mut store, epoch) = hurt(&format!("UPDATE events SET body = '' WHERE key = {KEY_5} + 5"));
    let refused = append(&mut store, Append::new(run(1), 10, epoch, records(1)));
    assert!(matches!(refused, Err(AppendError::Damaged(d)) if d.seq == 10));
    assert_eq!(append(&mut store, Append::new(run(2), 10, epoch + 1, records(1))), Ok(11));
}

#[test]
fn a_row_beyond_the_end_of_a_run_is_a_gap() {
    let (_dir, store, _) = hurt(&format!("INSERT INTO events VALUES ({KEY_5} + 100, 0, 0, '{{}}')"));
    assert!(matches!(store.verify(run(1)), Err(ReadError::Damaged(d)) if d.seq == 11));
    assert_eq!(store.verify(run(2)), Ok(10));
}

#[test]
fn a_damaged_page_hurts_the_run_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    for n in 1..=3 {
        let epoch = lease(&mut store, run(n));
        let bulk = (0..200).map(|i| Record { at: i, body: format!("\"{}\"", "x".repeat(400)) }).collect();
        append(&mut store, Append::new(run(n), 0, epoch, bulk)).unwrap();
    }
    drop(store);
    // The page of event 100 of run 2, found by its content: overwrite the header of that leaf.
    let path = dir.path().join(DB_FILE);
    let key: i64 = raw(dir.path())
        .query_row("SELECT (run_no << 32) + 100 FROM runs WHERE run = ?1", [run(2).as_str()], |row| {
            row.get(0)
        })
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let varint = varint(key as u64);
    let at = (0..bytes.len() - varint.len()).rev().find(|i| bytes[*i..].starts_with(&varint)).unwrap();
    let page = page_size(&bytes);
    bytes[at / page * page] = 0x77;
    std::fs::write(&path, &bytes).unwrap();

    let mut store = SqliteStore::open(dir.path()).unwrap();
    let Err(ReadError::Damaged(damage)) = store.verify(run(2)) else { panic!() };
    assert_eq!(damage.run, run(2));
    assert!((2..=100).contains(&damage.seq), "{damage}");
    assert!(damage.reason.contains("malformed"), "{damage}");
    let good = usize::try_from(damage.seq - 1).unwrap();
    assert_eq!(store.read(run(2), 0, good).unwrap().len(), good);
    assert_eq!((store.verify(run(1)), store.verify(run(3))), (Ok(200), Ok(200)));
    // Bytes that cannot be read cannot be kept, so nothing is thrown away.
    let epoch = lease(&mut store, run(2));
    assert!(matches!(store.quarantine(run(2), epoch), Err(StoreError::Corrupt { .. })));
    let epoch = lease(&mut store, run(3));
    assert_eq!(append(&mut store, Append::new(run(3), 200, epoch, records(1))), Ok(201));
    assert!(!store.reader().integrity_check().unwrap().is_empty());
}

/// A number as SQLite writes a key.
fn varint(mut value: u64) -> Vec<u8> {
    let mut out = vec![(value & 0x7f) as u8];
    value >>= 7;
    while value > 0 {
        out.insert(0, (value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out
}

#[test]
fn a_damaged_snapshot_is_no_snapshot() {
    let (_dir, mut store, _) = hurt("SELECT 1");
    store.put_snapshot(run(1), &Snapshot { seq: 3, fold_version: 1, bytes: vec![1, 2, 3] }).unwrap();
    assert_eq!(store.load(run(1), 1).unwrap().tail.len(), 7);
    raw(_dir.path()).execute_batch("UPDATE snapshots SET bytes = x'010204'").unwrap();
    assert_eq!(store.load(run(1), 1).map(|l| (l.snapshot, l.tail.len())), Ok((None, 10)));
}

#[test]
fn a_damaged_artifact_is_an_error_and_mended_by_the_next_put() {
    let (dir, mut store, _) = hurt("SELECT 1");
    let large = vec![3; 100_000];
    for content in [&b"small"[..], &large] {
        let hash = store.put_artifact(run(1), content).unwrap();
        if content.len() < 100 {
            raw(dir.path()).execute_batch("UPDATE artifacts SET bytes = x'00'").unwrap();
        } else {
            let name = hash.to_string();
            std::fs::write(dir.path().join("artifacts").join(&name[..2]).join(&name), "torn").unwrap();
        }
        assert!(matches!(store.get_artifact(&hash), Err(ArtifactError::Damaged { .. })));
        store.put_artifact(run(2), content).unwrap();
        assert_eq!(store.get_artifact(&hash).unwrap(), content);
    }
}
