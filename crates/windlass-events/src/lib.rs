//! The persisted vocabulary of Windlass: ids, statuses, and the events that make up a run's journal.
//!
//! This crate is a leaf. It must never do I/O, read a clock, or hold logic about what happens next: that is
//! `windlass-core`. Everything here is written to disk, so a change follows three rules: new fields have a serde
//! default, no field or variant is renamed or removed, and what an older reader cannot understand raises
//! [`VOCABULARY`].
//!
//! Map: [`ids`] names of things · [`status`] the closed lists of states · [`usage`] tokens and money ·
//! [`spec`] what a run and its tasks are, frozen at creation · [`outcome`] how attempts end · [`event`] the events.

pub mod event;
pub mod flow;
pub mod ids;
pub mod outcome;
pub mod spec;
pub mod status;
pub mod usage;

pub use event::{Envelope, Event};
pub use flow::{EachSpec, Flow, Grow, Join, PlanSpec};
pub use ids::{AttemptNo, IdError, RunId, Seq, TaskId};
pub use outcome::{ErrorClass, Outcome};
pub use spec::{Access, GateSpec, RunSpec, RuntimeKind, TaskSpec};
pub use status::{AttemptStatus, Proof, RunStatus, TaskStatus};
pub use usage::Usage;

/// The version of this vocabulary. A lease states the version it needs; an engine that knows less may read, not lease.
pub const VOCABULARY: u32 = 1;

/// Wall-clock time as milliseconds since the Unix epoch. The wire form of every stored instant.
pub type Millis = i64;
