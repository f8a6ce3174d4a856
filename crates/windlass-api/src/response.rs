//! What comes back from an engine.

use crate::status::{DaemonDoc, LiveDoc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use windlass_events::{RunId, Seq, TaskId};

/// Why something was not done. Each kind has its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The command line or a named thing is wrong. Nothing happened.
    Usage,
    /// Refused before anything started: permission, ownership, trust, budget.
    Refused,
    /// Something that Windlass needs is missing or broken.
    Missing,
    /// What is asked for cannot be done in the state that the run is in.
    State,
    /// A fault of Windlass, or of the disk under it.
    Internal,
    /// The engine is leaving and did nothing: the next one does it.
    Leaving,
}

impl ErrorKind {
    /// The exit code of a command that ends with it.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage | Self::State => 2,
            Self::Refused => 4,
            Self::Missing | Self::Internal | Self::Leaving => 5,
        }
    }

    /// The word in `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::Missing => "missing",
            Self::State => "state",
            Self::Internal => "internal",
            Self::Leaving => "leaving",
        }
    }
}

/// An error with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Kind.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
    /// What to do, or empty.
    #[serde(default)]
    pub hint: String,
}

impl ApiError {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: String::new() }
    }

    /// The error of a command whose request was kept for later, see [`Reply::Stored`].
    pub fn stored(run: RunId, pid: Option<u32>) -> Self {
        let who = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
        Self::new(
            ErrorKind::Missing,
            format!(
                "the engine that leads run {run}{who} does not answer; the request is stored, and will be done once, when that engine answers or another one leads the run"
            ),
        )
        .hint(crate::client::wake_hint(pid))
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// What a dry run says, and what a created run begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanDoc {
    /// Team, workflow and why, one line.
    pub shape: String,
    /// Tasks: id, role, agent, runtime, model, what they depend on.
    pub tasks: Vec<PlannedTask>,
    /// Gates with where they come from.
    pub gates: Vec<String>,
    /// The most starts that the run can make.
    pub worst_case_starts: u64,
    /// Caps, in words.
    pub caps: Vec<String>,
    /// What is to be known before the start.
    pub notices: Vec<String>,
}

/// A task of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTask {
    /// Id.
    pub id: TaskId,
    /// Role.
    pub role: String,
    /// Agent.
    pub agent: String,
    /// Runtime.
    pub runtime: String,
    /// Models in the order in which they are tried; empty takes the user's own setting.
    pub models: Vec<String>,
    /// Dependencies.
    pub depends_on: Vec<TaskId>,
    /// Starts that it may use.
    pub attempts: u32,
    /// Whether it may write in the tree.
    pub writes: bool,
    /// What it becomes while the run goes on; `null` when it is one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<crate::growth::GrowthDoc>,
}

/// A file of an undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoFile {
    /// Path, escaped for people.
    pub path: String,
    /// What happens to it: `restored`, `deleted`, `created`, or `changed since`.
    pub what: String,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To `hello`.
    Hello {
        /// The engine's [`crate::PROTOCOL`].
        protocol: u32,
        /// The engine's version.
        version: String,
        /// Its process.
        pid: u32,
    },
    /// A run exists; its id works at once everywhere.
    Created {
        /// Id.
        run: RunId,
        /// What was decided.
        plan: Box<PlanDoc>,
    },
    /// What a run would be.
    Planned(Box<PlanDoc>),
    /// Recorded, as of this event.
    Done {
        /// Run.
        run: RunId,
        /// Last event of the request.
        seq: Seq,
    },
    /// Not done yet: who leads the run did not answer. It is kept with the run, and done once by whoever leads the run next,
    /// that engine or another.
    Stored {
        /// Run.
        run: RunId,
        /// Id of the kept request.
        id: String,
        /// The process that did not answer, where that is known.
        pid: Option<u32>,
    },
    /// An undo, done or planned.
    Undone {
        /// Files.
        files: Vec<UndoFile>,
        /// Whether it was only planned.
        dry_run: bool,
    },
    /// To `hand_over`: the engine leads nothing any more, and ends now.
    Left,
    /// How the daemon is.
    Status(DaemonDoc),
    /// Live picture: what each live task does now.
    Live(BTreeMap<TaskId, LiveDoc>),
    /// Nothing to say.
    Ok,
}

/// One line from engine to client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// The answer to a call.
    Reply {
        /// The call.
        id: u64,
        /// The answer.
        reply: Box<Reply>,
    },
    /// The call failed.
    Error {
        /// The call.
        id: u64,
        /// Why.
        error: ApiError,
    },
    /// Events of a watched run, in order, without gaps: `(seq, at, body)`.
    Events {
        /// The call.
        id: u64,
        /// Events.
        events: Vec<(Seq, i64, String)>,
    },
    /// What the live tasks of a watched run do now.
    Live {
        /// The call.
        id: u64,
        /// By task.
        tasks: BTreeMap<TaskId, LiveDoc>,
    },
}
