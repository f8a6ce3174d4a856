//! What must hold in every history, by name.

use std::fmt;

/// An invariant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// At most one live worker of a task at any instant; what a lost one left counts until it is swept.
    OneLiveWorker,
    /// An attempt or gate is started once, whoever asks for it.
    OneStart,
    /// At most one writer, or its gates, in a tree at any instant, across runs.
    OneWriter,
    /// No worker or gate is started without its durable event.
    StartIsDurable,
    /// An attempt that was started has exactly one recorded end, loss or void, and the next comes after it.
    OneEnd,
    /// A terminal state is left only by the event that records a person's word.
    TerminalIsFinal,
    /// What is in the journal folds, and to the state that the engine holds.
    ReplayIsLive,
    /// Every decision in a journal is the one that the core makes there, and none that was due is missing.
    DecidedAnew,
    /// No place in a journal is missing or repeated.
    NoGap,
    /// An engine whose lease was taken appends nothing.
    Fence,
    /// No start at or beyond a cap, until a person resumes.
    Cap,
    /// Never more live at once than the run's, the role's or the machine's limit.
    Limit,
    /// Nothing starts before what it depends on is completed.
    Dependencies,
    /// A result becomes tasks once; what it grew into has ended, and enough of it is completed, before a task completes.
    Growth,
    /// Nothing that needs a person's approval starts before it, and an approval counts once.
    Approval,
    /// An answer or announcement rests on durable events, and each request is answered once.
    Answer,
    /// What the journal counts is what the workers reported.
    Usage,
    /// A text reaches a worker at most once.
    Steer,
    /// What must survive a power cut does.
    Sync,
    /// Every history ends, or waits for something named.
    Liveness,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A law that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) law: Law,
    pub(crate) detail: String,
}

pub(crate) type Check<T = ()> = Result<T, Broken>;

/// The law is broken.
pub(crate) fn broken<T>(law: Law, detail: impl Into<String>) -> Check<T> {
    Err(Broken { law, detail: detail.into() })
}

/// The law holds where `holds` is true.
pub(crate) fn hold(holds: bool, law: Law, detail: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { broken(law, detail()) }
}
