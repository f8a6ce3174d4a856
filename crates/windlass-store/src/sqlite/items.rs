//! Stored requests, artifacts, and the project.

use crate::artifact::{ArtifactDir, Hash, INLINE_MAX, io_error};
use crate::error::StoreError;
use crate::types::{ProjectIdentity, StoredRequest};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use windlass_events::RunId;

pub(super) fn pending(conn: &Connection, run: RunId) -> rusqlite::Result<Vec<StoredRequest>> {
    conn.prepare_cached(
        "SELECT id, at, body FROM requests WHERE run = ?1 AND body IS NOT NULL ORDER BY position",
    )?
    .query_map([run.as_str()], |row| {
        Ok(StoredRequest { id: row.get(0)?, run, at: row.get(1)?, body: row.get(2)? })
    })?
    .collect()
}

pub(super) fn put_request(conn: &Connection, request: &StoredRequest) -> rusqlite::Result<bool> {
    let added = conn
        .prepare_cached("INSERT OR IGNORE INTO requests (id, run, at, body) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![request.id, request.run.as_str(), request.at, request.body])?;
    Ok(added == 1)
}

/// Marks a waiting request as consumed; its id stays, so that it is never accepted again.
pub(super) fn consume(conn: &Connection, run: RunId, id: &str) -> rusqlite::Result<bool> {
    let changed = conn
        .prepare_cached("UPDATE requests SET body = NULL WHERE id = ?1 AND run = ?2 AND body IS NOT NULL")?
        .execute(params![id, run.as_str()])?;
    Ok(changed == 1)
}

/// Where an artifact is.
pub(super) enum Stored {
    Inline(Vec<u8>),
    File,
    Nowhere,
}

pub(super) fn artifact(conn: &Connection, hash: &Hash) -> rusqlite::Result<Stored> {
    let row: Option<Option<Vec<u8>>> = conn
        .prepare_cached("SELECT bytes FROM artifacts WHERE hash = ?1")?
        .query_row([&hash.as_bytes()[..]], |row| row.get(0))
        .optional()?;
    Ok(match row {
        Some(Some(bytes)) => Stored::Inline(bytes),
        Some(None) => Stored::File,
        None => Stored::Nowhere,
    })
}

/// The file is written within the transaction: a removal in another process, which also holds it, cannot come between.
pub(super) fn put_artifact(
    conn: &Connection,
    files: &ArtifactDir,
    run: RunId,
    bytes: &[u8],
) -> rusqlite::Result<Result<Hash, StoreError>> {
    let hash = Hash::of(bytes);
    let key = &hash.as_bytes()[..];
    let inline = (bytes.len() <= INLINE_MAX).then_some(bytes);
    if inline.is_none()
        && let Err(e) = files.put(&hash, bytes)
    {
        return Ok(Err(io_error(&files.path(&hash), &e)));
    }
    // A copy that was damaged is mended by what is put now.
    if !matches!(artifact(conn, &hash)?, Stored::Inline(there) if Some(&there[..]) == inline) {
        conn.prepare_cached("INSERT OR REPLACE INTO artifacts (hash, bytes) VALUES (?1, ?2)")?
            .execute(params![key, inline])?;
    }
    conn.prepare_cached("INSERT OR IGNORE INTO artifact_uses (run, hash) VALUES (?1, ?2)")?
        .execute(params![run.as_str(), key])?;
    Ok(Ok(hash))
}

/// Forgets what the run uses, and content that nobody uses then.
pub(super) fn drop_artifacts(
    conn: &Connection,
    files: &ArtifactDir,
    run: RunId,
) -> rusqlite::Result<Result<(), StoreError>> {
    let hashes: Vec<[u8; 32]> = conn
        .prepare_cached(
            "SELECT hash FROM artifact_uses AS mine WHERE run = ?1
             AND NOT EXISTS (SELECT 1 FROM artifact_uses AS other WHERE other.hash = mine.hash AND other.run <> ?1)",
        )?
        .query_map([run.as_str()], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    conn.execute("DELETE FROM artifact_uses WHERE run = ?1", [run.as_str()])?;
    for hash in hashes {
        conn.prepare_cached("DELETE FROM artifacts WHERE hash = ?1")?.execute([&hash[..]])?;
        let hash = Hash::from(hash);
        if let Err(e) = files.remove(&hash) {
            return Ok(Err(io_error(&files.path(&hash), &e)));
        }
    }
    Ok(Ok(()))
}

/// Device and inode numbers use all 64 bits, which SQLite keeps as signed.
pub(super) fn identity(conn: &Connection) -> rusqlite::Result<Option<ProjectIdentity>> {
    conn.prepare_cached("SELECT path, device, inode FROM project")?
        .query_row([], |row| {
            let bits = |i| row.get(i).map(|v: i64| u64::from_le_bytes(v.to_le_bytes()));
            let path = OsString::from_vec(row.get(0)?).into();
            Ok(ProjectIdentity { path, device: bits(1)?, inode: bits(2)? })
        })
        .optional()
}

pub(super) fn set_identity(conn: &Connection, identity: &ProjectIdentity) -> rusqlite::Result<()> {
    let bits = |v: u64| i64::from_le_bytes(v.to_le_bytes());
    conn.execute(
        "INSERT OR REPLACE INTO project VALUES (1, ?1, ?2, ?3)",
        params![identity.path.as_os_str().as_bytes(), bits(identity.device), bits(identity.inode)],
    )?;
    Ok(())
}
