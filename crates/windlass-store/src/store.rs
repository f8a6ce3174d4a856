//! The two traits: what every viewer may do, and what an engine may do.

use crate::artifact::{ArtifactError, Hash};
use crate::error::{AppendError, LeaseError, ReadError, StoreError};
use crate::owner::OwnerId;
use crate::types::{
    Append, Lease, LeaseName, LeaseState, ListFilter, Listed, Loaded, Owner, ProjectIdentity, Quarantined,
    RunRow, Snapshot, StoredEvent, StoredRequest,
};
use windlass_events::{Millis, RunId, Seq};

/// Looking at a store. Nothing here writes, creates, or waits for a writer.
pub trait ReadStore: Send {
    /// Events of a run after `after`, at most `limit`. Fewer only where the journal ends.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when any event in that range is missing or not as written; a smaller `limit` reads what stands
    /// before it.
    fn read(&self, run: RunId, after: Seq, limit: usize) -> Result<Vec<StoredEvent>, ReadError>;

    /// The last event's number; 0 when the run has none.
    ///
    /// # Errors
    /// When the store fails.
    fn head(&self, run: RunId) -> Result<Seq, StoreError>;

    /// Snapshot and tail, as of one moment. A snapshot of another fold version, or a damaged one, is left out.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when the tail is damaged.
    fn load(&self, run: RunId, fold_version: u32) -> Result<Loaded, ReadError>;

    /// The saved state of a run, if a valid one of this fold version is there.
    ///
    /// # Errors
    /// When the store fails.
    fn latest_snapshot(&self, run: RunId, fold_version: u32) -> Result<Option<Snapshot>, StoreError>;

    /// Runs, newest first.
    ///
    /// # Errors
    /// When the store fails.
    fn list(&self, filter: ListFilter) -> Result<Vec<Listed>, StoreError>;

    /// A cheap token: while it is equal, nothing was written by anybody.
    ///
    /// # Errors
    /// When the store fails.
    fn data_version(&self) -> Result<u64, StoreError>;

    /// A lease as it stands; `None` when it was never taken.
    ///
    /// # Errors
    /// When the store fails.
    fn lease(&self, name: &LeaseName) -> Result<Option<LeaseState>, StoreError>;

    /// Whether an owner is alive, as leases judge it.
    fn is_alive(&self, owner: &OwnerId) -> bool;

    /// Requests that wait for the run's holder, oldest first, not consumed by this.
    ///
    /// # Errors
    /// When the store fails.
    fn pending_requests(&self, run: RunId) -> Result<Vec<StoredRequest>, StoreError>;

    /// An artifact's content, checked against its hash.
    ///
    /// # Errors
    /// [`ArtifactError::Missing`] and [`ArtifactError::Damaged`]; content that does not match is never returned.
    fn get_artifact(&self, hash: &Hash) -> Result<Vec<u8>, ArtifactError>;

    /// Which repository this store belongs to; `None` when that was not recorded yet.
    ///
    /// # Errors
    /// When the store fails.
    fn project_identity(&self) -> Result<Option<ProjectIdentity>, StoreError>;

    /// Reads a run's whole journal and returns its head.
    ///
    /// # Errors
    /// As [`ReadStore::read`].
    fn verify(&self, run: RunId) -> Result<Seq, ReadError> {
        let mut head = 0;
        loop {
            let page = self.read(run, head, 1024)?;
            match page.last() {
                Some(last) => head = last.seq,
                None => return Ok(head),
            }
        }
    }
}

/// Writing to a store.
pub trait Store: ReadStore {
    /// Stores the parts in one transaction, in order, and returns each run's new head, in the same order.
    ///
    /// A part that is refused leaves the others alone. A commit that fails changes nothing, and every part that was not
    /// refused has [`AppendError::Commit`].
    fn append(&mut self, batch: Vec<Append>) -> Vec<Result<Seq, AppendError>>;

    /// Stores index rows, in one transaction without a sync. Rows of runs without a journal are left out; returns how many
    /// were stored.
    ///
    /// # Errors
    /// When the store fails.
    fn index_put(&mut self, rows: &[RunRow]) -> Result<usize, StoreError>;

    /// Saves a state of a run. One that is older than what is saved (of the same fold version) is ignored.
    ///
    /// # Errors
    /// [`StoreError::UnknownRun`], and [`StoreError::SnapshotAhead`] when the journal ends before it.
    fn put_snapshot(&mut self, run: RunId, snapshot: &Snapshot) -> Result<(), StoreError>;

    /// Takes a lease: when it is free, when its holder is this owner or dead, or in any case with `takeover`.
    /// The new epoch fences every earlier holder.
    ///
    /// # Errors
    /// [`LeaseError::Held`] names the living holder; [`LeaseError::TooNew`] when a newer engine wrote under it.
    fn acquire(
        &mut self,
        name: &LeaseName,
        owner: &Owner,
        now: Millis,
        takeover: bool,
    ) -> Result<Lease, LeaseError>;

    /// Gives a lease back. `false` when it was no longer held with that epoch: then nothing changes.
    ///
    /// # Errors
    /// When the store fails.
    fn release(&mut self, lease: &Lease) -> Result<bool, StoreError>;

    /// Stores content under its hash, once, and notes that the run needs it.
    ///
    /// # Errors
    /// When the store fails.
    fn put_artifact(&mut self, run: RunId, bytes: &[u8]) -> Result<Hash, StoreError>;

    /// Leaves a request for the run's holder. `false` when a request with that id was ever stored: then nothing changes.
    ///
    /// # Errors
    /// When the store fails.
    fn put_request(&mut self, request: &StoredRequest) -> Result<bool, StoreError>;

    /// Takes the waiting requests, oldest first, for good. To consume them together with the events that answer them, use
    /// [`ReadStore::pending_requests`] and [`Append::consumes`].
    ///
    /// # Errors
    /// When the store fails.
    fn take_requests(&mut self, run: RunId) -> Result<Vec<StoredRequest>, StoreError>;

    /// Forgets a run for good: events, snapshot, index row, requests, lease, and the artifacts that no other run needs.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the caller does not hold the run's lease.
    fn remove_run(&mut self, run: RunId, epoch: u64) -> Result<(), StoreError>;

    /// Sets the damaged end of a journal aside, original bytes kept, and ends the journal at its last good event.
    /// Nothing happens to a journal that is whole.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the caller does not hold the run's lease; [`StoreError::Corrupt`] when the original bytes
    /// cannot be read and so cannot be kept: then nothing is changed.
    fn quarantine(&mut self, run: RunId, epoch: u64) -> Result<Quarantined, StoreError>;

    /// Records which repository this store belongs to.
    ///
    /// # Errors
    /// When the store fails.
    fn set_project_identity(&mut self, identity: &ProjectIdentity) -> Result<(), StoreError>;
}
