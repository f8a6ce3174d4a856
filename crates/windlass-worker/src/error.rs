//! What can go wrong on the engine's side of this crate.

use std::io;

/// A failure to start, reach or sweep worker processes.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The nursery must be forked before the process has other threads: a fork copies only the calling one.
    #[error("the nursery must be started first: this process already has {threads} threads")]
    NotSingleThreaded {
        /// How many threads there are.
        threads: usize,
    },
    /// The nursery process is no longer there. Running workers are not affected; nothing new can be started.
    #[error("the process that starts workers is gone; restart the daemon, running workers are adopted")]
    NurseryGone,
    /// The specification cannot be carried out by any operating system.
    #[error("cannot start a worker: {0}")]
    InvalidSpec(String),
    /// The operating system refused.
    #[error("cannot {what}: {source}")]
    Sys {
        /// What was being done.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl WorkerError {
    pub(crate) fn sys(what: &'static str, error: impl Into<io::Error>) -> Self {
        Self::Sys { what, source: error.into() }
    }
}
