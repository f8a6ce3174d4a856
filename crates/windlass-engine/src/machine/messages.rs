//! What the machine is told, and what it says is to be done: two closed lists.

use windlass_core::{Effect, Input, Refusal, Run};
use windlass_events::{Envelope, Event, Millis, RunId, Seq};

/// Id of a request whose answer somebody waits for.
pub type RequestId = u64;

/// What an engine is told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Workers and gates that it may have alive at once, until it is told otherwise by [`In::Slots`].
    pub slots: u32,
    /// Boot id of the machine.
    pub boot: String,
    /// Version of the program.
    pub version: String,
    /// Whether runs go on by themselves after a restart of the machine.
    pub may_restart: bool,
}

/// Something that happened.
#[derive(Debug)]
pub enum In {
    /// A run is created: its first events, with the lease's epoch.
    Create {
        /// Who waits for the answer.
        request: RequestId,
        /// Id.
        run: RunId,
        /// Epoch of the lease.
        epoch: u64,
        /// `run.created` and `tasks.planned`.
        events: Vec<Event>,
        /// Whether the secret values of its environment are at hand.
        secrets: bool,
    },
    /// A run was read from its journal and leased.
    Opened {
        /// State.
        run: Box<Run>,
        /// Epoch of the lease.
        epoch: u64,
        /// Whether the secret values of its environment are at hand.
        secrets: bool,
    },
    /// Something happened to a run's work.
    Run(RunId, Input),
    /// A person or host asks something of a run.
    Ask {
        /// Who waits for the answer.
        request: RequestId,
        /// Run.
        run: RunId,
        /// What.
        input: Input,
    },
    /// A request that was left with a run while nobody answered. It is taken once, however often it is given.
    Left {
        /// Run.
        run: RunId,
        /// The request's own id.
        id: String,
        /// What is asked.
        input: Input,
    },
    /// The secret values of a run's environment arrived.
    Secrets(RunId),
    /// A run that is here, or is to be read again ([`Out::Reopen`]), is led by another engine now or cannot be read: it is
    /// forgotten.
    Gone(RunId),
    /// A commit is durable or failed, run by run.
    Committed {
        /// Which commit.
        batch: u64,
        /// For each part, in order.
        results: Vec<Result<Seq, CommitFailure>>,
    },
    /// Whether the tree's lease was obtained from the store.
    Tree {
        /// Root of the tree.
        root: String,
        /// Who else holds it, or `None` when it is ours.
        holder: Option<String>,
    },
    /// So many workers and gates may be alive at once from now on. What is alive beyond that goes on.
    Slots(u32),
    /// Every run that a former engine left is known now, with its live workers.
    AllFound,
    /// Time passed.
    Tick,
}

/// Why a part of a commit did not become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitFailure {
    /// Another engine leads the run now: it is dropped here.
    Fenced(String),
    /// The journal is not where this engine thought, or is damaged: read it again.
    Conflict(String),
    /// Space, rights or the disk: read again, and try again later.
    Unavailable(String),
}

/// One run's part of a commit.
#[derive(Debug, Clone)]
pub struct Part {
    /// Run.
    pub run: RunId,
    /// Last place that the journal is expected to have.
    pub expected: Seq,
    /// Epoch of the lease.
    pub epoch: u64,
    /// Events with their times.
    pub events: Vec<(Millis, Event)>,
    /// Whether it must survive a power cut before anything rests on it.
    pub sync: bool,
    /// Requests that were left with the run and that these events answer: they are consumed with them, or the part is refused.
    pub consumes: Vec<String>,
}

/// Something to be done.
#[derive(Debug)]
pub enum Out {
    /// Make these durable, all in one transaction.
    Commit {
        /// Which.
        batch: u64,
        /// Parts.
        parts: Vec<Part>,
    },
    /// Perform an effect. With `recovering`, a former engine may have begun it.
    Perform {
        /// Run.
        run: RunId,
        /// Effect.
        effect: Effect,
        /// Whether it may have been begun.
        recovering: bool,
    },
    /// Answer a request.
    Answer {
        /// Whom.
        request: RequestId,
        /// The place of the last event that the request caused, or why not.
        result: Result<Seq, AskError>,
    },
    /// Events became durable.
    Announce {
        /// Run.
        run: RunId,
        /// Events.
        events: Vec<Envelope>,
    },
    /// Read a run again: its memory was dropped.
    Reopen {
        /// Run.
        run: RunId,
        /// Not before.
        at: Millis,
    },
    /// Another engine leads the run: forget it.
    Forget {
        /// Run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// Obtain the lease of a tree from the store.
    WantTree {
        /// Root.
        root: String,
    },
    /// Give the lease of a tree back.
    FreeTree {
        /// Root.
        root: String,
    },
    /// Keep the state as a cache of the journal.
    Snapshot {
        /// Run.
        run: RunId,
    },
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The run is not led by this engine.
    #[error("this engine does not lead run {0}")]
    NotHere(RunId),
    /// The core refuses it.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It could not be made durable.
    #[error("it could not be recorded: {0}")]
    NotRecorded(String),
}
