//! One adapter per runtime: how an agent program is started, and what its output means.
//!
//! An [`Adapter`] is two pure halves. [`Adapter::launch`] turns a task into a plan (arguments, environment, files, standard
//! input, what the shim may drop, how to stop). A [`Parser`] turns bytes into [`WorkerEvent`]s and, with the recorded end
//! of the process, into an [`Ending`]. Recordings test both without any process.
//!
//! This crate must never start a process, read a clock, open a file or keep a secret. The one exception is
//! [`rehearsal::play`], which is the body of an agent program of our own and runs in a process of its own.
//!
//! Rules that every parser here keeps: memory is bounded whatever the line length; no bytes make it panic; the same bytes give
//! the same events however they are cut; no terminal event is never "done"; what cannot be read is not read as empty.
//!
//! Map: [`mod@adapter`] the trait and the launch plan · [`event`] what parsers say · [`ending`] how an attempt ended · [`probe`]
//! questions before a run, answered without a token · [`lines`] the bounded line reader · [`classify`] error classes by
//! text · [`mod@verdict`] a verifier's last word · [`text`] making foreign text safe to show · [`version`] program versions ·
//! [`pi`] [`command`] [`rehearsal`] [`scaffold`] the runtimes.

pub mod adapter;
pub mod classify;
pub mod command;
pub mod ending;
pub mod event;
pub mod lines;
pub mod pi;
pub mod probe;
pub mod rehearsal;
pub mod scaffold;
pub mod text;
pub mod verdict;
pub mod version;

pub use adapter::{
    Adapter, Capabilities, FileToWrite, Launch, LaunchError, LaunchRequest, SessionPlan, StartPlan, Stdin,
    StopPlan,
};
pub use ending::{Ending, Stopped, WorkerEnd};
pub use event::{Parser, Stream, WorkerEvent};
pub use probe::{Helper, ModelInfo, ProbeAnswer, ProbeError, ProbePlan, ProbeRequest, ProbeStep, Probed};
pub use verdict::verdict;

use windlass_events::RuntimeKind;

/// The adapter of a runtime, or `None` for a runtime that this build cannot drive.
pub fn adapter(kind: RuntimeKind) -> Option<&'static dyn Adapter> {
    match kind {
        RuntimeKind::Pi => Some(&pi::Pi),
        RuntimeKind::Command => Some(&command::Command),
        RuntimeKind::Rehearsal => Some(&rehearsal::Rehearsal),
        RuntimeKind::Scaffold => Some(&scaffold::Scaffold),
        RuntimeKind::Claude
        | RuntimeKind::Codex
        | RuntimeKind::Opencode
        | RuntimeKind::Gemini
        | RuntimeKind::Acp => None,
    }
}
