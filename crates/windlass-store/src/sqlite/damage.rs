//! Telling what was written from what was not; setting damage aside; removing a run.

use super::items;
use super::journal::{RowsError, key, read_rows, run_no, seq_of};
use super::{SqliteReader, fail};
use crate::artifact::ArtifactDir;
use crate::error::StoreError;
use crate::types::{LeaseName, Quarantined, StoredEvent};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use windlass_events::{Millis, RunId, Seq};

/// Binds an event to its place: 32 bits, enough to tell an accident.
pub(super) fn checksum(seq: Seq, at: Millis, body: &str) -> i32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seq.to_le_bytes()).update(&at.to_le_bytes()).update(body.as_bytes());
    let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// A row as an event, or why it is not the event at this place.
pub(super) fn decode(row: &Row<'_>, want: Seq) -> Result<StoredEvent, String> {
    let value = |i| row.get_ref(i).map_err(|e| e.to_string());
    let ValueRef::Integer(key) = value(0)? else { return Err("the key is not a number".to_owned()) };
    let seq = seq_of(key);
    if seq != want {
        return Err(format!("the event is missing; the next one there is {seq}"));
    }
    let ValueRef::Integer(at) = value(1)? else { return Err("its time is not a number".to_owned()) };
    let ValueRef::Integer(sum) = value(2)? else { return Err("its checksum is not a number".to_owned()) };
    let ValueRef::Text(body) = value(3)? else { return Err("its body is not text".to_owned()) };
    let body = std::str::from_utf8(body).map_err(|e| format!("its body is not UTF-8: {e}"))?;
    if i64::from(checksum(seq, at, body)) != sum {
        return Err("its checksum does not fit".to_owned());
    }
    Ok(StoredEvent { seq, at, body: body.to_owned() })
}

impl SqliteReader {
    /// The bytes that are stored in the place of an event, whatever they are: what a damaged one still is. `None` where there are none.
    ///
    /// # Errors
    /// When SQLite cannot read the row.
    pub fn bytes_at(&self, run: RunId, seq: Seq) -> Result<Option<Vec<u8>>, StoreError> {
        let read = || -> rusqlite::Result<Option<Vec<u8>>> {
            let Some(no) = run_no(&self.conn, run)? else { return Ok(None) };
            let mut statement = self.conn.prepare_cached("SELECT body FROM events WHERE key = ?1")?;
            let mut rows = statement.query([key(no, seq)])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            Ok(match row.get_ref(0)? {
                ValueRef::Null => None,
                ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
                ValueRef::Real(number) => Some(number.to_string().into_bytes()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
            })
        };
        read().map_err(|e| self.fail(e))
    }
}

/// Copies every row from the first damaged one on aside, then ends the journal before it.
pub(super) fn quarantine(
    conn: &Connection,
    run: RunId,
    epoch: u64,
) -> rusqlite::Result<Result<Quarantined, StoreError>> {
    if super::leases::held_epoch(conn, &LeaseName::Run(run))? != Some(epoch) {
        return Ok(Err(StoreError::Fenced { run, given: epoch }));
    }
    let Some(no) = run_no(conn, run)? else { return Ok(Err(StoreError::UnknownRun { run })) };
    let mut head: Seq = 0;
    loop {
        match read_rows(conn, run, no, head, 1024) {
            Ok(page) => match page.last() {
                Some(last) => head = last.seq,
                None => return Ok(Ok(Quarantined { head, rows: 0 })),
            },
            Err(RowsError::Damaged(damage)) => {
                head = damage.seq.saturating_sub(1);
                break;
            }
            Err(RowsError::Sqlite(e)) => return Err(e),
        }
    }
    let range = [key(no, head), key(no, Seq::MAX)];
    // If SQLite cannot read a row here, this fails and nothing is changed: what cannot be kept is not removed.
    let rows = conn.execute(
        "INSERT INTO damaged (run, key, at, sum, body) SELECT ?3, key, at, sum, body FROM events WHERE key > ?1 AND key <= ?2",
        params![range[0], range[1], run.as_str()],
    )?;
    conn.execute("DELETE FROM events WHERE key > ?1 AND key <= ?2", range)?;
    conn.execute(
        "DELETE FROM snapshots WHERE run_no = ?1 AND seq > ?2",
        params![no, i64::from(fail::low32(range[0]))],
    )?;
    Ok(Ok(Quarantined { head, rows: rows as u64 }))
}

/// Forgets a run.
pub(super) fn remove_run(
    conn: &Connection,
    files: &ArtifactDir,
    run: RunId,
    epoch: u64,
) -> rusqlite::Result<Result<(), StoreError>> {
    if super::leases::held_epoch(conn, &LeaseName::Run(run))? != Some(epoch) {
        return Ok(Err(StoreError::Fenced { run, given: epoch }));
    }
    if let Some(no) = run_no(conn, run)? {
        conn.execute("DELETE FROM events WHERE key > ?1 AND key <= ?2", [key(no, 0), key(no, Seq::MAX)])?;
        conn.execute("DELETE FROM snapshots WHERE run_no = ?1", [no])?;
        conn.execute("DELETE FROM runs WHERE run_no = ?1", [no])?;
    }
    // Ids of consumed requests go too: nothing can be asked of the run any more.
    conn.execute("DELETE FROM requests WHERE run = ?1", [run.as_str()])?;
    conn.execute("DELETE FROM damaged WHERE run = ?1", [run.as_str()])?;
    conn.execute("DELETE FROM leases WHERE name = ?1", [LeaseName::Run(run).to_string()])?;
    items::drop_artifacts(conn, files, run)
}
