//! What is stored, as plain values.

use crate::owner::OwnerId;
use std::fmt;
use std::path::PathBuf;
use windlass_events::{Millis, RunId, Seq};

/// One event to be stored. The store never looks into the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was accepted.
    pub at: Millis,
    /// The event as JSON, `{"type":…,"data":…}`.
    pub body: String,
}

/// One event as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the run, from 1.
    pub seq: Seq,
    /// When it was accepted.
    pub at: Millis,
    /// The event as JSON.
    pub body: String,
}

/// A run's part of a commit: all of it is stored, or nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The run.
    pub run: RunId,
    /// The last sequence number the caller knows; 0 for a new run.
    pub expected: Seq,
    /// The epoch of the lease on the run.
    pub epoch: u64,
    /// The events. None is allowed when only the rest is wanted.
    pub records: Vec<Record>,
    /// Whether the commit must survive a power cut, not only a crash of the process. One such part makes the whole commit so.
    pub sync: bool,
    /// The run's row in the index, stored with the events.
    pub index: Option<RunRow>,
    /// Ids of stored requests that these events answer. Each must be waiting for this run; it is consumed with the append.
    pub consumes: Vec<String>,
    /// Further leases that these events rest on, such as of the tree whose turn they take. Each must be held with its epoch.
    pub holding: Vec<Lease>,
}

impl Append {
    /// A part with events only, not synced.
    pub fn new(run: RunId, expected: Seq, epoch: u64, records: Vec<Record>) -> Self {
        Self {
            run,
            expected,
            epoch,
            records,
            sync: false,
            index: None,
            consumes: Vec::new(),
            holding: Vec::new(),
        }
    }

    /// The same, surviving a power cut.
    #[must_use]
    pub fn synced(mut self) -> Self {
        self.sync = true;
        self
    }
}

/// What a lease is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseName {
    /// A run: the right to append to its journal.
    Run(RunId),
    /// A working tree: the right to write in it, or to run its gates.
    Tree(TreeId),
}

impl fmt::Display for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(run) => write!(f, "run/{run}"),
            Self::Tree(tree) => write!(f, "tree/{}", tree.0),
        }
    }
}

/// The id of a working tree: 1 to 200 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId(String);

impl TreeId {
    /// Parses an id; `None` when it is empty, too long, or holds anything but visible ASCII.
    pub fn parse(text: &str) -> Option<Self> {
        let ok = (1..=200).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        ok.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who takes a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Names its lock file.
    pub id: OwnerId,
    /// Where it answers requests, such as the path of a socket.
    pub address: String,
    /// The vocabulary of events it may write, see `windlass_events::VOCABULARY`.
    pub vocabulary: u32,
}

/// A lease that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What it is on.
    pub name: LeaseName,
    /// The fencing number: higher than of every lease before it, on anything.
    pub epoch: u64,
}

/// Who holds a lease that was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The holder.
    pub owner: Owner,
    /// Its epoch.
    pub epoch: u64,
    /// When it took the lease.
    pub since: Millis,
}

/// A lease as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseState {
    /// The epoch of the last holder.
    pub epoch: u64,
    /// Who holds it; `None` after a release. The holder may be dead, see [`crate::ReadStore::is_alive`].
    pub owner: Option<Owner>,
    /// The highest vocabulary of a run's holders so far: who knows less may not take it. 0 for a tree.
    pub vocabulary: u32,
    /// When it was taken.
    pub since: Millis,
}

/// A saved state of a run: a cache of the fold over the events up to `seq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last event in it.
    pub seq: Seq,
    /// The version of the fold that made it.
    pub fold_version: u32,
    /// The state; opaque here.
    pub bytes: Vec<u8>,
}

/// A run as it is loaded: a snapshot if a valid one is there, and every event after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The snapshot to start from.
    pub snapshot: Option<Snapshot>,
    /// The events after it, or all.
    pub tail: Vec<StoredEvent>,
}

/// A run's row in the index, as the engine last summarised it. A cache; its words are opaque here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// The run.
    pub run: RunId,
    /// When it was created.
    pub created_at: Millis,
    /// When its journal last grew, as of this row.
    pub updated_at: Millis,
    /// The run's status.
    pub status: String,
    /// What is proved about its result.
    pub proof: String,
    /// The goal; cut to its first [`RunRow::GOAL_CHARS`] characters when stored.
    pub goal: String,
    /// The team.
    pub team: String,
    /// The workflow; empty in rows from before the index kept it.
    pub workflow: String,
    /// Where it was started.
    pub cwd: String,
    /// Whether it ended: such runs are left out of the list of unfinished ones.
    pub terminal: bool,
}

impl RunRow {
    /// How much of a goal the index keeps, in characters.
    pub const GOAL_CHARS: usize = 200;

    /// The goal as the index keeps it.
    pub(crate) fn short_goal(&self) -> &str {
        match self.goal.char_indices().nth(Self::GOAL_CHARS) {
            Some((end, _)) => &self.goal[..end],
            None => &self.goal,
        }
    }
}

/// Which runs to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListFilter {
    /// Only runs that have not ended, or of which that is not known.
    pub unfinished: bool,
    /// At most this many, the newest.
    pub newest: Option<usize>,
}

/// One listed run, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The run.
    pub run: RunId,
    /// Its row; `None` when the engine has not written one yet: fold its journal instead.
    pub row: Option<RunRow>,
}

/// A request left for whoever holds the lease on a run. Consumed exactly once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRequest {
    /// Chosen by the sender; a second request with the same id is refused for good.
    pub id: String,
    /// The run.
    pub run: RunId,
    /// When it was stored.
    pub at: Millis,
    /// The request; opaque here.
    pub body: String,
}

/// Which repository a store belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectIdentity {
    /// The canonical git common directory, or the folder where there is no repository.
    pub path: PathBuf,
    /// Its device number.
    pub device: u64,
    /// Its inode number.
    pub inode: u64,
}

/// What was set aside of a damaged journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarantined {
    /// The last good event: the journal now ends here.
    pub head: Seq,
    /// How many rows were kept aside, with their original bytes.
    pub rows: u64,
}
