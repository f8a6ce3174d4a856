//! What can go wrong, and what to do about it.

use crate::types::{Held, Lease};
use std::path::PathBuf;
use windlass_events::{RunId, Seq};

/// The store as a whole could not do it. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system, or the database's own limit, is full.
    #[error("no space left for {path}: free some space and it goes on; nothing was lost")]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// The file or its folder cannot be written.
    #[error(
        "{path} cannot be written ({detail}): make its folder writable, or set WINDLASS_HOME to one that is"
    )]
    ReadOnly {
        /// The database.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Another process held the database for longer than the busy limit.
    #[error("{path} has been locked by another process for 5 s: try again")]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// Any other failure of the disk or the file system.
    #[error("{path}: {detail}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The database file as a whole is damaged. It was left as it is.
    #[error("{path} is damaged ({detail}); {hint}")]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
        /// What to do.
        hint: &'static str,
    },
    /// There is no database.
    #[error("{path} does not exist: nothing was run in this project yet")]
    NotFound {
        /// The database.
        path: PathBuf,
    },
    /// A newer Windlass made the database.
    #[error(
        "{path} has format {found}, and this windlass knows formats up to {known}: use the newer windlass; nothing was changed"
    )]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// The database must be migrated, and an older engine still works with it.
    #[error(
        "{path} has format {found} and an older engine ({owner}) still uses it: it is migrated to format {known} when that one has ended"
    )]
    MigrationWaits {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format wanted.
        known: u32,
        /// Who is alive.
        owner: String,
    },
    /// An SQLite database, or another file, that Windlass did not make.
    #[error(
        "{path} was not made by windlass ({detail}): move it away, or set WINDLASS_HOME to another folder"
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// How that is known.
        detail: String,
    },
    /// The file belongs to another user.
    #[error(
        "{path} belongs to user {owner}, and you are user {me}: set WINDLASS_HOME to a folder of your own"
    )]
    ForeignOwner {
        /// The file or folder.
        path: PathBuf,
        /// The owner's number.
        owner: u32,
        /// The caller's number.
        me: u32,
    },
    /// The folder is on a network file system, where the database's locks do not hold.
    #[error(
        "{path} is on a {kind} file system, which cannot hold a database safely: set WINDLASS_HOME to a local folder"
    )]
    NotLocal {
        /// The folder.
        path: PathBuf,
        /// The kind of file system.
        kind: String,
    },
    /// The SQLite library is older than the first that is safe with several writers.
    #[error("SQLite {found} can corrupt a database with several writers: version 3.51.3 or later is needed")]
    OldSqlite {
        /// The library's version.
        found: String,
    },
    /// The run has no journal here.
    #[error("there is no run {run} in this store")]
    UnknownRun {
        /// The run.
        run: RunId,
    },
    /// The caller does not hold the lease on the run.
    #[error("the lease on run {run} is not held with epoch {given}")]
    Fenced {
        /// The run.
        run: RunId,
        /// The caller's epoch.
        given: u64,
    },
    /// A snapshot that does not belong to the journal.
    #[error("a snapshot of run {run} at {seq} does not fit its journal, which ends at {head}")]
    SnapshotAhead {
        /// The run.
        run: RunId,
        /// Where the snapshot stands.
        seq: Seq,
        /// Where the journal ends.
        head: Seq,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing the store.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::DiskFull { .. } | Self::Busy { .. } | Self::Io { .. } | Self::MigrationWaits { .. }
        )
    }
}

/// A place in a run's journal that cannot be read as it was written. What stands before it can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal of run {run} is damaged at event {seq}: {reason}; the events before it are good")]
pub struct Damage {
    /// The run.
    pub run: RunId,
    /// The first event that is missing or not as written.
    pub seq: Seq,
    /// What is wrong there.
    pub reason: String,
}

/// Why one run's part of a commit was not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The journal does not end where the caller thinks: read it again.
    #[error("run {run} ends at event {head}, not at {expected}")]
    Conflict {
        /// The run.
        run: RunId,
        /// What the caller thought.
        expected: Seq,
        /// Where it ends.
        head: Seq,
    },
    /// The caller's lease is gone: another engine has the run.
    #[error("the lease on run {run} with epoch {given} is no longer held")]
    Fenced {
        /// The run.
        run: RunId,
        /// The caller's epoch.
        given: u64,
        /// The epoch that counts now, if the run is leased.
        current: Option<u64>,
    },
    /// A lease that the events rest on besides is gone. The run itself is still the caller's.
    #[error("run {run} rests on the lease {} with epoch {}, which is no longer held", .lease.name, .lease.epoch)]
    Unheld {
        /// The run.
        run: RunId,
        /// The lease as the caller has it.
        lease: Lease,
    },
    /// The journal is damaged; nothing may be added behind the damage.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// A request that is to be consumed is not waiting for this run: it was consumed before, or never stored.
    #[error("request {id} is not waiting for run {run}")]
    RequestGone {
        /// The run.
        run: RunId,
        /// The request.
        id: String,
    },
    /// More events than a run can have (2³² − 1).
    #[error("run {run} cannot hold more events")]
    TooLong {
        /// The run.
        run: RunId,
    },
    /// The commit as a whole failed; no part of it was stored, and every part has this error.
    #[error(transparent)]
    Commit(#[from] StoreError),
}

impl AppendError {
    /// Whether the same append may succeed later: the commit failed for want of space, time or a working disk.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Commit(e) if e.is_retryable())
    }
}

/// Why a journal could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// This run's journal is damaged within what was asked for. Ask for less to read what stands before.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The store as a whole failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a lease was not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// A living owner has it.
    #[error("held by {} at {} since epoch {}", .0.owner.id, .0.owner.address, .0.epoch)]
    Held(Held),
    /// A newer engine wrote under it.
    #[error(
        "its journal may use vocabulary {needs}, and this windlass knows {knows}: it can be read here, not continued"
    )]
    TooNew {
        /// The vocabulary that is needed.
        needs: u32,
        /// What the caller knows.
        knows: u32,
    },
    /// The store as a whole failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
