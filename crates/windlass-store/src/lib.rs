//! The journal of every run, and what stands around it: leases, artifacts, snapshots, the run index, stored requests.
//!
//! Two traits, [`ReadStore`] and [`Store`], and two implementations that pass one conformance suite: [`SqliteStore`] (with
//! [`SqliteReader`] for processes that only look) and [`MemoryStore`] for tests and the simulator.
//!
//! What holds, whoever writes and whenever it is killed:
//! - An append is whole or absent. It succeeds only for the holder of the run's lease, at the exact end of the journal.
//! - In a shared commit each run stands alone; a failed commit changes nothing.
//! - A run's events are numbered from 1 without gaps, and each carries a checksum. What breaks this is reported as
//!   [`Damage`] of that run, with its place; it is never skipped, and never read as "no events".
//! - Snapshots and the run index are caches: they may be lost, never wrong.
//!
//! This crate must never look into an event's body, decide what happens next, read a clock, print, or open the database
//! other than through SQLite.
//!
//! Map: [`types`] what is stored · [`error`] what can go wrong · [`store`] the traits · [`memory`] the twin ·
//! [`sqlite`] the real one · [`owner`] who is alive · [`artifact`] large content · [`place`] where a store may be.

pub mod artifact;
pub mod error;
mod files;
pub mod memory;
pub mod owner;
pub mod place;
pub mod sqlite;
pub mod store;
pub mod types;

pub use artifact::{ArtifactError, Hash};
pub use error::{AppendError, Damage, LeaseError, ReadError, StoreError};
pub use memory::MemoryStore;
pub use owner::{AliveSet, Liveness, OwnerFiles, OwnerId, OwnerLock};
pub use sqlite::{SqliteReader, SqliteStore};
pub use store::{ReadStore, Store};
pub use types::{
    Append, Held, Lease, LeaseName, LeaseState, ListFilter, Listed, Loaded, Owner, ProjectIdentity,
    Quarantined, Record, RunRow, Snapshot, StoredEvent, StoredRequest, TreeId,
};
pub use windlass_events::{Millis, RunId, Seq};
