//! Events: appending and reading.

use super::damage::{checksum, decode};
use super::{SqliteReader, SqliteStore, fail, items};
use crate::error::{AppendError, Damage, ReadError};
use crate::types::{Append, LeaseName, StoredEvent};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use windlass_events::{RunId, Seq};

/// The most events a run can have: the low half of a key.
const MAX_SEQ: Seq = u32::MAX as Seq;

/// The key of an event; also of the borders of a run (`seq` 0 and [`MAX_SEQ`]).
pub(super) fn key(run_no: i64, seq: Seq) -> i64 {
    run_no << 32 | i64::from(u32::try_from(seq).unwrap_or(u32::MAX))
}

/// The place that a key says.
pub(super) fn seq_of(key: i64) -> Seq {
    Seq::from(fail::low32(key))
}

/// The number of a run, if it has a journal.
pub(super) fn run_no(conn: &Connection, run: RunId) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT run_no FROM runs WHERE run = ?1")?
        .query_row([run.as_str()], |row| row.get(0))
        .optional()
}

/// The number of a run and its last event.
pub(super) fn head(conn: &Connection, run: RunId) -> rusqlite::Result<(Option<i64>, Seq)> {
    let Some(no) = run_no(conn, run)? else { return Ok((None, 0)) };
    let last: Option<i64> = conn
        .prepare_cached("SELECT key FROM events WHERE key > ?1 AND key <= ?2 ORDER BY key DESC LIMIT 1")?
        .query_row([key(no, 0), key(no, MAX_SEQ)], |row| row.get(0))
        .optional()?;
    Ok((Some(no), last.map_or(0, seq_of)))
}

impl SqliteReader {
    pub(super) fn read_events(
        &self,
        run: RunId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, ReadError> {
        let fail = |e| ReadError::Store(self.fail(e));
        let Some(no) = run_no(&self.conn, run).map_err(fail)? else { return Ok(Vec::new()) };
        if after >= MAX_SEQ || limit == 0 {
            return Ok(Vec::new());
        }
        read_rows(&self.conn, run, no, after, limit).map_err(|e| match e {
            RowsError::Damaged(damage) => damage.into(),
            RowsError::Sqlite(e) => fail(e),
        })
    }
}

pub(super) enum RowsError {
    Damaged(Damage),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for RowsError {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sqlite(e)
    }
}

/// Reads and checks events; stops with the first that is missing or not as written.
pub(super) fn read_rows(
    conn: &Connection,
    run: RunId,
    no: i64,
    after: Seq,
    limit: usize,
) -> Result<Vec<StoredEvent>, RowsError> {
    let mut statement = conn.prepare_cached(
        "SELECT key, at, sum, body FROM events WHERE key > ?1 AND key <= ?2 ORDER BY key LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![key(no, after), key(no, MAX_SEQ), limit])?;
    let mut out = Vec::new();
    let mut want = after;
    let damaged = |seq, reason| RowsError::Damaged(Damage { run, seq, reason });
    loop {
        want += 1;
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(out),
            Err(e) if fail::is_corrupt(&e) => return Err(damaged(want, e.to_string())),
            Err(e) => return Err(e.into()),
        };
        match decode(row, want) {
            Ok(event) => out.push(event),
            Err(reason) => return Err(damaged(want, reason)),
        }
    }
}

/// Why a try to commit was given up.
enum Undone {
    /// This part must be refused; the others are tried again without it.
    Without(usize, AppendError),
    /// The transaction failed.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Undone {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sqlite(e)
    }
}

impl SqliteStore {
    pub(super) fn append_batch(&mut self, batch: &[Append]) -> Vec<Result<Seq, AppendError>> {
        // Refused while writing, which costs a new try; what is refused before writing is found anew in each.
        let mut refused: Vec<Option<AppendError>> = vec![None; batch.len()];
        loop {
            match self.try_append(batch, &refused) {
                Ok(results) => return results,
                Err(Undone::Without(part, error)) => match refused.get_mut(part) {
                    Some(slot) => *slot = Some(error),
                    None => return Vec::new(),
                },
                Err(Undone::Sqlite(e)) => {
                    let error = self.reader.fail(e);
                    return refused
                        .into_iter()
                        .map(|r| Err(r.unwrap_or_else(|| AppendError::Commit(error.clone()))))
                        .collect();
                }
            }
        }
    }

    fn try_append(
        &mut self,
        batch: &[Append],
        refused: &[Option<AppendError>],
    ) -> Result<Vec<Result<Seq, AppendError>>, Undone> {
        self.set_sync(batch.iter().any(|part| part.sync))?;
        let known_damage = self.reader.known_damage.borrow().clone();
        let transaction = Transaction::new(&mut self.reader.conn, rusqlite::TransactionBehavior::Immediate)?;
        let mut results = Vec::with_capacity(batch.len());
        for (i, (part, refused)) in batch.iter().zip(refused).enumerate() {
            if let Some(error) = refused {
                results.push(Err(error.clone()));
                continue;
            }
            match check(&transaction, part, known_damage.get(&part.run))? {
                Err(error) => results.push(Err(error)),
                Ok(number) => results.push(Ok(write(&transaction, i, part, number)?)),
            }
        }
        if results.iter().any(Result::is_ok) {
            transaction.commit()?;
            self.commits = self.commits.wrapping_add(1);
        }
        Ok(results)
    }
}

/// Whether a part may be written. Returns the run's number if it has one.
fn check(
    conn: &Connection,
    part: &Append,
    known_damage: Option<&Damage>,
) -> rusqlite::Result<Result<Option<i64>, AppendError>> {
    let run = part.run;
    let current = super::leases::held_epoch(conn, &LeaseName::Run(run))?;
    if current != Some(part.epoch) {
        return Ok(Err(AppendError::Fenced { run, given: part.epoch, current }));
    }
    for lease in &part.holding {
        if super::leases::held_epoch(conn, &lease.name)? != Some(lease.epoch) {
            return Ok(Err(AppendError::Unheld { run, lease: lease.clone() }));
        }
    }
    if let Some(damage) = known_damage {
        return Ok(Err(damage.clone().into()));
    }
    // The last event is read and checked: nothing is written behind one that is damaged.
    let (number, head) = match head(conn, run) {
        Err(e) if fail::is_corrupt(&e) => {
            return Ok(Err(Damage { run, seq: part.expected, reason: e.to_string() }.into()));
        }
        other => other?,
    };
    if head != part.expected {
        return Ok(Err(AppendError::Conflict { run, expected: part.expected, head }));
    }
    if let (Some(no), 1..) = (number, head) {
        match read_rows(conn, run, no, head - 1, 1) {
            Ok(_) => {}
            Err(RowsError::Damaged(damage)) => return Ok(Err(damage.into())),
            Err(RowsError::Sqlite(e)) => return Err(e),
        }
    }
    if MAX_SEQ - head < part.records.len() as Seq {
        return Ok(Err(AppendError::TooLong { run }));
    }
    Ok(Ok(number))
}

fn write(conn: &Connection, index: usize, part: &Append, number: Option<i64>) -> Result<Seq, Undone> {
    let without = |error: AppendError| Undone::Without(index, error);
    let run = part.run;
    for id in &part.consumes {
        if !items::consume(conn, run, id)? {
            return Err(without(AppendError::RequestGone { run, id: id.clone() }));
        }
    }
    let no = match number {
        Some(no) => no,
        None if part.records.is_empty() => return Ok(0),
        None => {
            conn.prepare_cached("INSERT INTO runs (run) VALUES (?1)")?.execute([run.as_str()])?;
            conn.last_insert_rowid()
        }
    };
    let mut seq = part.expected;
    let mut insert =
        conn.prepare_cached("INSERT INTO events (key, at, sum, body) VALUES (?1, ?2, ?3, ?4)")?;
    for record in &part.records {
        seq += 1;
        let sum = checksum(seq, record.at, &record.body);
        if let Err(e) = insert.execute(params![key(no, seq), record.at, sum, record.body]) {
            if fail::is_constraint(&e) || fail::is_corrupt(&e) {
                return Err(without(Damage { run, seq, reason: e.to_string() }.into()));
            }
            return Err(e.into());
        }
    }
    if let Some(row) = &part.index {
        super::caches::put_row_of(conn, no, row)?;
    }
    Ok(seq)
}
