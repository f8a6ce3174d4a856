//! Worker processes: how an attempt is started, watched, ended for certain, and found again.
//!
//! ```text
//! engine ──nursery forks──► shim, one per attempt ──► agent program ──► its tool shells
//!                            └─ the spool: one file with claim, framed output, end record
//! ```
//!
//! A worker outlives the engine that asked for it. The [nursery] is a small process forked before the engine has
//! threads; it forks a [shim] per attempt. The shim claims the attempt's file exclusively and holds a lock on it for life, runs
//! the agent, appends what the agent writes, and at the end leaves nothing of it alive. A later engine finds the attempt by its
//! file ([`probe`]), connects to the shim's socket ([`control`]), and goes on.
//!
//! This crate is synchronous and knows nothing of runs, models or tasks. It must never:
//! - start an agent without holding the attempt's claim, or two agents for one claim;
//! - wait for an engine: a slow or dead one is dropped, the worker goes on;
//! - signal a process by a bare number that may be somebody else's by now;
//! - write a secret it was told of to the spool, or show one in `Debug` or in an error;
//! - read a torn or foreign file as an absent one, or half a frame as an end.
//!
//! Map: [`spec`] what a shim is asked to do · [`nursery`] who forks shims · [`shim`] the process; [`shim::machine`] its pure
//! decisions · [`record`] what is told about an attempt · [`spool`] the file: writer, reader, probe · [`control`] the socket's
//! messages · [`line_dropper`] lines that are not kept · [`process`] identity of processes · [`sweep`] after a killed shim ·
//! `successor` the next engine ·
//! `sys` everything that is unsafe or only of this platform.

pub mod control;
pub mod error;
pub mod line_dropper;
pub mod nursery;
pub mod process;
pub mod record;
pub mod shim;
pub mod spec;
pub mod spool;
mod successor;
pub mod sweep;
mod sys;
mod wire;

pub use error::WorkerError;
pub use line_dropper::LineDropper;
pub use nursery::Nursery;
pub use process::ProcessId;
pub use record::{AgentExit, Claim, EndRecord, StoppedBy};
pub use spec::{AttemptKey, DropRule, Limits, Secrets, ShimSpec, StdinPlan, StopPlan, Stream};
pub use spool::{Probe, SpoolReader, probe};
pub use sweep::{SweepReport, sweep_marked};

/// Keeps the descriptors that this process was given by whoever started it from the programs that it starts from now on.
/// The standard streams are for whoever starts the program to decide.
pub fn keep_descriptors() {
    sys::close_on_exec_from(3);
}

/// The variable that every process of an attempt inherits; its value is the claim's `marker`.
pub const MARK_VARIABLE: &str = "WINDLASS_ATTEMPT_MARK";
