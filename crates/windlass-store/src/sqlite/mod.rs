//! The store in one SQLite file, in WAL mode: any number of readers and writers in any number of processes.
//!
//! Hot path: one lease row is read, one row per event is written, nothing else is touched; the head of a run is its
//! greatest key. A commit is synced only when a part of it asks for that, and then it carries everything before it.
//!
//! Map: [`schema`] tables and migrations · `open` opening · `journal` events · `leases` · `caches` snapshots and index ·
//! `items` requests, artifacts, the project · `damage` checksums, quarantine, removal · `fail` errors.

mod caches;
mod damage;
mod fail;
mod items;
mod journal;
mod leases;
mod open;
mod packed;
pub mod schema;
#[cfg(test)]
mod tests;

pub(crate) use leases::{may_take, vocabulary_after};
pub use open::BUSY_TIMEOUT;

use crate::artifact::{ArtifactDir, ArtifactError, Hash};
use crate::error::{AppendError, Damage, LeaseError, ReadError, StoreError};
use crate::owner::{Liveness, OwnerId};
use crate::store::{ReadStore, Store};
use crate::types::{
    Append, Lease, LeaseName, LeaseState, ListFilter, Listed, Loaded, Owner, ProjectIdentity, Quarantined,
    RunRow, Snapshot, StoredEvent, StoredRequest,
};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use windlass_events::{Millis, RunId, Seq};

/// The name of the database in its folder.
pub const DB_FILE: &str = "windlass.db";

/// Looks at a store that others write. Opened in well under a millisecond; never creates, migrates or waits.
pub struct SqliteReader {
    conn: Connection,
    path: PathBuf,
    artifacts: ArtifactDir,
    liveness: Arc<dyn Liveness>,
    /// The format that it is read as.
    format: Cell<u32>,
    /// Damage that reads found, so that nothing is appended behind it.
    known_damage: RefCell<BTreeMap<RunId, Damage>>,
}

/// Writes a store. One per thread that writes; several may write one database, for different runs.
pub struct SqliteStore {
    reader: SqliteReader,
    /// Whether commits are synced at the moment.
    full: bool,
    /// Own commits, which SQLite's own change counter leaves out.
    commits: u32,
}

impl std::fmt::Debug for SqliteReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.reader.path).finish_non_exhaustive()
    }
}

impl SqliteReader {
    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every complaint of SQLite about the file, at most a hundred; none means sound. Reads the whole file.
    ///
    /// # Errors
    /// When the check itself cannot run.
    pub fn integrity_check(&self) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        let checked = self.conn.prepare("PRAGMA integrity_check(100)").and_then(|mut statement| {
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                found.push(row.get::<_, String>(0)?);
            }
            Ok(())
        });
        match checked {
            // Damage that the check itself stumbles over is what it was asked for.
            Err(e) if fail::is_corrupt(&e) => found.push(e.to_string()),
            Err(e) => return Err(self.fail(e)),
            Ok(()) => {}
        }
        found.retain(|line| line != "ok");
        Ok(found)
    }

    fn fail(&self, e: rusqlite::Error) -> StoreError {
        fail::store_error(&self.path, &e)
    }

    /// Reads as the format of the database wants it; what was read of one that was migrated meanwhile is thrown away.
    fn look<T, E: From<StoreError>>(&self, read: impl Fn(&Connection, u32) -> Result<T, E>) -> Result<T, E> {
        loop {
            let format = self.format.get();
            let result = read(&self.conn, format);
            // A format only rises: one that is the same afterwards was the same all the time.
            let found = schema::format(&self.conn).map_err(|e| self.fail(e))?;
            if found == format {
                return result;
            }
            if found > schema::FORMAT {
                let (path, known) = (self.path.clone(), schema::FORMAT);
                return Err(StoreError::TooNew { path, found, known }.into());
            }
            self.format.set(found);
        }
    }

    /// The same for what only SQLite can refuse.
    fn ask<T>(&self, read: impl Fn(&Connection, u32) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.look(|conn, format| read(conn, format).map_err(|e| self.fail(e)))
    }
}

impl SqliteStore {
    /// The same store, only to look at.
    pub fn reader(&self) -> &SqliteReader {
        &self.reader
    }

    /// Runs `work` in one write transaction. It is committed when `work` returns `Ok(Ok(_))`, else rolled back.
    fn write<T, E: From<StoreError>>(
        &mut self,
        sync: bool,
        work: impl FnOnce(&Transaction<'_>, &SqliteParts<'_>) -> rusqlite::Result<Result<T, E>>,
    ) -> Result<T, E> {
        let result = (|| {
            self.set_sync(sync)?;
            let reader = &mut self.reader;
            let parts = SqliteParts { artifacts: &reader.artifacts, liveness: &*reader.liveness };
            let transaction = Transaction::new(&mut reader.conn, TransactionBehavior::Immediate)?;
            if let Err(refused) = schema::still_known(&transaction, &reader.path)? {
                return Ok(Err(refused.into()));
            }
            match work(&transaction, &parts)? {
                Ok(value) => transaction.commit().map(|()| Ok(value)),
                Err(refused) => Ok(Err(refused)),
            }
        })();
        match result {
            Ok(Ok(value)) => {
                self.commits = self.commits.wrapping_add(1);
                Ok(value)
            }
            Ok(Err(refused)) => Err(refused),
            Err(e) => Err(self.reader.fail(e).into()),
        }
    }

    fn set_sync(&mut self, full: bool) -> rusqlite::Result<()> {
        if self.full != full {
            self.reader.conn.execute_batch(if full {
                "PRAGMA synchronous=FULL"
            } else {
                "PRAGMA synchronous=NORMAL"
            })?;
            self.full = full;
        }
        Ok(())
    }
}

/// What a transaction needs beside the connection.
struct SqliteParts<'a> {
    artifacts: &'a ArtifactDir,
    liveness: &'a dyn Liveness,
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // Advice for the query planner; a failure costs nothing but speed.
        let _ = self.reader.conn.execute_batch("PRAGMA optimize");
    }
}

impl ReadStore for SqliteReader {
    fn read(&self, run: RunId, after: Seq, limit: usize) -> Result<Vec<StoredEvent>, ReadError> {
        let found = self.look(|_, _| self.read_events(run, after, limit));
        if let Err(ReadError::Damaged(damage)) = &found {
            self.known_damage.borrow_mut().insert(run, damage.clone());
        }
        found
    }

    fn head(&self, run: RunId) -> Result<Seq, StoreError> {
        self.ask(|conn, _| journal::head(conn, run)).map(|(_, head)| head)
    }

    fn load(&self, run: RunId, fold_version: u32) -> Result<Loaded, ReadError> {
        // One read transaction, so that snapshot and tail are of one moment. A read cannot fail to end.
        let transaction = self.conn.unchecked_transaction().map_err(|e| self.fail(e))?;
        let snapshot = self.latest_snapshot(run, fold_version)?;
        let after = snapshot.as_ref().map_or(0, |s| s.seq);
        let tail = self.read(run, after, usize::MAX)?;
        drop(transaction);
        Ok(Loaded { snapshot, tail })
    }

    fn latest_snapshot(&self, run: RunId, fold_version: u32) -> Result<Option<Snapshot>, StoreError> {
        self.ask(|conn, _| caches::latest_snapshot(conn, run, fold_version))
    }

    fn list(&self, filter: ListFilter) -> Result<Vec<Listed>, StoreError> {
        self.ask(|conn, format| caches::list(conn, format, filter))
    }

    fn data_version(&self) -> Result<u64, StoreError> {
        self.conn
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut s| s.query_row([], |row| row.get::<_, i64>(0)))
            .map(|v| u64::from(fail::low32(v)) << 32)
            .map_err(|e| self.fail(e))
    }

    fn lease(&self, name: &LeaseName) -> Result<Option<LeaseState>, StoreError> {
        self.ask(|conn, _| leases::state(conn, name))
    }

    fn is_alive(&self, owner: &OwnerId) -> bool {
        self.liveness.is_alive(owner)
    }

    fn pending_requests(&self, run: RunId) -> Result<Vec<StoredRequest>, StoreError> {
        self.ask(|conn, _| items::pending(conn, run))
    }

    fn get_artifact(&self, hash: &Hash) -> Result<Vec<u8>, ArtifactError> {
        match self.ask(|conn, _| items::artifact(conn, hash))? {
            items::Stored::Inline(bytes) => {
                crate::artifact::checked(hash, bytes, &self.path.display().to_string())
            }
            items::Stored::File => self.artifacts.get(hash),
            items::Stored::Nowhere => Err(ArtifactError::Missing { hash: *hash }),
        }
    }

    fn project_identity(&self) -> Result<Option<ProjectIdentity>, StoreError> {
        self.ask(|conn, _| items::identity(conn))
    }
}

impl ReadStore for SqliteStore {
    fn read(&self, run: RunId, after: Seq, limit: usize) -> Result<Vec<StoredEvent>, ReadError> {
        self.reader.read(run, after, limit)
    }
    fn head(&self, run: RunId) -> Result<Seq, StoreError> {
        self.reader.head(run)
    }
    fn load(&self, run: RunId, fold_version: u32) -> Result<Loaded, ReadError> {
        self.reader.load(run, fold_version)
    }
    fn latest_snapshot(&self, run: RunId, fold_version: u32) -> Result<Option<Snapshot>, StoreError> {
        self.reader.latest_snapshot(run, fold_version)
    }
    fn list(&self, filter: ListFilter) -> Result<Vec<Listed>, StoreError> {
        self.reader.list(filter)
    }
    fn data_version(&self) -> Result<u64, StoreError> {
        Ok(self.reader.data_version()? | u64::from(self.commits))
    }
    fn lease(&self, name: &LeaseName) -> Result<Option<LeaseState>, StoreError> {
        self.reader.lease(name)
    }
    fn is_alive(&self, owner: &OwnerId) -> bool {
        self.reader.is_alive(owner)
    }
    fn pending_requests(&self, run: RunId) -> Result<Vec<StoredRequest>, StoreError> {
        self.reader.pending_requests(run)
    }
    fn get_artifact(&self, hash: &Hash) -> Result<Vec<u8>, ArtifactError> {
        self.reader.get_artifact(hash)
    }
    fn project_identity(&self) -> Result<Option<ProjectIdentity>, StoreError> {
        self.reader.project_identity()
    }
}

impl Store for SqliteStore {
    fn append(&mut self, batch: Vec<Append>) -> Vec<Result<Seq, AppendError>> {
        self.append_batch(&batch)
    }

    fn index_put(&mut self, rows: &[RunRow]) -> Result<usize, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        self.write(false, |t, _| {
            let mut stored = 0;
            for row in rows {
                stored += caches::put_row(t, row)?;
            }
            Ok(Ok(stored))
        })
    }

    fn put_snapshot(&mut self, run: RunId, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.write(false, |t, _| caches::put_snapshot(t, run, snapshot))
    }

    fn acquire(
        &mut self,
        name: &LeaseName,
        owner: &Owner,
        now: Millis,
        takeover: bool,
    ) -> Result<Lease, LeaseError> {
        let lease =
            self.write(true, |t, parts| leases::acquire(t, parts.liveness, name, owner, now, takeover))?;
        if let LeaseName::Run(run) = name {
            // The holder before may have mended it.
            self.reader.known_damage.borrow_mut().remove(run);
        }
        Ok(lease)
    }

    fn release(&mut self, lease: &Lease) -> Result<bool, StoreError> {
        self.write(false, |t, _| leases::release(t, lease).map(Ok))
    }

    fn put_artifact(&mut self, run: RunId, bytes: &[u8]) -> Result<Hash, StoreError> {
        self.write(false, |t, parts| items::put_artifact(t, parts.artifacts, run, bytes))
    }

    fn put_request(&mut self, request: &StoredRequest) -> Result<bool, StoreError> {
        self.write(true, |t, _| items::put_request(t, request).map(Ok))
    }

    fn take_requests(&mut self, run: RunId) -> Result<Vec<StoredRequest>, StoreError> {
        // Asked often and mostly in vain, which must not cost a commit.
        if self.reader.pending_requests(run)?.is_empty() {
            return Ok(Vec::new());
        }
        self.write(true, |t, _| {
            let waiting = items::pending(t, run)?;
            for request in &waiting {
                items::consume(t, run, &request.id)?;
            }
            Ok(Ok(waiting))
        })
    }

    fn remove_run(&mut self, run: RunId, epoch: u64) -> Result<(), StoreError> {
        self.write(true, |t, parts| damage::remove_run(t, parts.artifacts, run, epoch))?;
        self.reader.known_damage.borrow_mut().remove(&run);
        Ok(())
    }

    fn quarantine(&mut self, run: RunId, epoch: u64) -> Result<Quarantined, StoreError> {
        let kept = self.write(true, |t, _| damage::quarantine(t, run, epoch))?;
        self.reader.known_damage.borrow_mut().remove(&run);
        Ok(kept)
    }

    fn set_project_identity(&mut self, identity: &ProjectIdentity) -> Result<(), StoreError> {
        self.write(true, |t, _| items::set_identity(t, identity).map(Ok))
    }
}
