//! What can be made again from the journal: snapshots and the run index.

use super::journal::{head, run_no};
use super::packed;
use crate::artifact::Hash;
use crate::error::StoreError;
use crate::types::{ListFilter, Listed, RunRow, Snapshot};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use windlass_events::{RunId, Seq};

/// The snapshot, unless it is of another fold, damaged, or beyond the journal.
pub(super) fn latest_snapshot(
    conn: &Connection,
    run: RunId,
    fold: u32,
) -> rusqlite::Result<Option<Snapshot>> {
    let (Some(no), head) = head(conn, run)? else { return Ok(None) };
    let row: Option<(i64, Vec<u8>, Vec<u8>)> = conn
        .prepare_cached("SELECT seq, hash, bytes FROM snapshots WHERE run_no = ?1 AND fold_version = ?2")?
        .query_row(params![no, fold], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(row.and_then(|(seq, hash, bytes)| {
        let seq = Seq::try_from(seq).ok().filter(|seq| *seq <= head)?;
        if snapshot_hash(seq, fold, &bytes).as_bytes()[..] != hash[..] {
            return None;
        }
        Some(Snapshot { seq, fold_version: fold, bytes: packed::unpack(bytes)? })
    }))
}

fn snapshot_hash(seq: Seq, fold: u32, bytes: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seq.to_le_bytes()).update(&fold.to_le_bytes()).update(bytes);
    Hash::from(*hasher.finalize().as_bytes())
}

pub(super) fn put_snapshot(
    conn: &Connection,
    run: RunId,
    snapshot: &Snapshot,
) -> rusqlite::Result<Result<(), StoreError>> {
    let (Some(no), head) = head(conn, run)? else { return Ok(Err(StoreError::UnknownRun { run })) };
    let (seq, fold) = (snapshot.seq, snapshot.fold_version);
    if seq > head {
        return Ok(Err(StoreError::SnapshotAhead { run, seq, head }));
    }
    if latest_snapshot(conn, run, fold)?.is_none_or(|there| there.seq <= seq) {
        let bytes = packed::pack(&snapshot.bytes);
        let hash = snapshot_hash(seq, fold, &bytes);
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        conn.prepare_cached("INSERT OR REPLACE INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![no, seq, fold, &hash.as_bytes()[..], bytes])?;
    }
    Ok(Ok(()))
}

/// Stores a row of a run that has a journal. Returns how many rows that were: 0 or 1.
pub(super) fn put_row(conn: &Connection, row: &RunRow) -> rusqlite::Result<usize> {
    match run_no(conn, row.run)? {
        Some(no) => put_row_of(conn, no, row),
        None => Ok(0),
    }
}

/// Stores the row of the run with this number.
pub(super) fn put_row_of(conn: &Connection, no: i64, row: &RunRow) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "UPDATE runs SET created_at = ?2, updated_at = ?3, terminal = ?4, status = ?5, proof = ?6, goal = ?7, team = ?8, cwd = ?9,
                         workflow = ?10
         WHERE run_no = ?1",
    )?
    .execute(params![
        no,
        row.created_at,
        row.updated_at,
        row.terminal,
        row.status,
        row.proof,
        row.short_goal(),
        row.team,
        row.cwd,
        row.workflow
    ])
}

pub(super) fn list(conn: &Connection, format: u32, filter: ListFilter) -> rusqlite::Result<Vec<Listed>> {
    let limit = filter.newest.map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX));
    let workflow = if format < 2 { "NULL" } else { "workflow" };
    conn.prepare_cached(&format!(
        "SELECT run, created_at, updated_at, terminal, status, proof, goal, team, cwd, {workflow} FROM runs
         WHERE NOT ?1 OR terminal IS NULL OR terminal = 0 ORDER BY run_no DESC LIMIT ?2",
    ))?
    .query_map(params![filter.unfinished, limit], listed)?
    .collect()
}

fn listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let id = row.get_ref(0)?.as_str()?;
    let run = RunId::parse(id)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))?;
    // Written whole or not at all.
    let Some(terminal) = row.get::<_, Option<bool>>(3)? else { return Ok(Listed { run, row: None }) };
    let row = RunRow {
        run,
        created_at: row.get(1)?,
        updated_at: row.get(2)?,
        terminal,
        status: row.get(4)?,
        proof: row.get(5)?,
        goal: row.get(6)?,
        team: row.get(7)?,
        cwd: row.get(8)?,
        workflow: row.get::<_, Option<String>>(9)?.unwrap_or_default(),
    };
    Ok(Listed { run, row: Some(row) })
}
