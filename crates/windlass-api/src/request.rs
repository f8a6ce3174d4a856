//! What can be asked of an engine.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use windlass_events::spec::{Caps, RedGate};
use windlass_events::{RunId, Seq, TaskId};

/// One request on a connection. Answers carry its id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// Chosen by the client, unique on the connection.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// A value that never shows itself: secrets of the requesting shell's environment.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(pub String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The requesting shell's environment, after the allow-list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShellEnv {
    /// Journaled with the run.
    pub plain: BTreeMap<String, String>,
    /// Kept in memory and in a file of mode 0600 until the run ends.
    pub secret: BTreeMap<String, SecretText>,
}

/// How a cap is given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapChoice {
    /// No cap, said by the user.
    None,
    /// This much, in the cap's unit for people: US dollars, tokens, milliseconds.
    Limit(f64),
}

/// What a person wants run, as typed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRequest {
    /// The goal; empty is allowed for shapes that need none (`review`, `checks`).
    pub goal: String,
    /// Where it is asked for; absolute.
    pub cwd: String,
    /// Team.
    pub team: Option<String>,
    /// Workflow.
    pub workflow: Option<String>,
    /// A single agent in place of a team.
    pub agent: Option<String>,
    /// Role that the single agent plays.
    pub role: Option<String>,
    /// Runtime that replaces the agents' own.
    pub runtime: Option<String>,
    /// Model that wins over every other choice.
    pub model: Option<String>,
    /// Gates typed by the user.
    pub gates: Vec<String>,
    /// Files whose content goes into the prompts.
    pub reads: Vec<String>,
    /// Cap on money in US dollars.
    pub budget_usd: Option<CapChoice>,
    /// Cap on tokens.
    pub budget_tokens: Option<CapChoice>,
    /// Cap on time, in milliseconds.
    pub timeout: Option<CapChoice>,
    /// Completing without proof counts as failing.
    pub require_proof: bool,
    /// Nothing that may write starts before a person has approved the plan.
    pub approve_plan: bool,
    /// What a red project gate means at the start; `None` mends it too.
    pub red_gate: Option<RedGate>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// The engine that takes it ends with its caller.
    pub tied: bool,
    /// Script of the `rehearsal` runtime, as JSON.
    pub script: Option<String>,
    /// Environment.
    pub env: ShellEnv,
}

/// An operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", content = "with", rename_all = "snake_case")]
pub enum Request {
    /// Who is there, and which protocol does it speak?
    Hello {
        /// The client's [`crate::PROTOCOL`].
        protocol: u32,
        /// The client's version.
        version: String,
    },
    /// Create a run and begin it.
    Run(Box<RunRequest>),
    /// Stop a run or one of its tasks.
    Cancel {
        /// Run.
        run: RunId,
        /// Task; `None` is all of it.
        task: Option<TaskId>,
        /// Who asks: `user`, `signal`.
        by: String,
    },
    /// Go on with whatever is not finished.
    Resume {
        /// Run.
        run: RunId,
        /// Cap on money from now on.
        budget_usd: Option<CapChoice>,
        /// Cap on tokens from now on.
        budget_tokens: Option<CapChoice>,
        /// Cap on time from now on, in milliseconds.
        timeout: Option<CapChoice>,
        /// Environment, for an engine that has lost the run's secrets.
        env: ShellEnv,
    },
    /// New attempts of what failed and of what that skipped.
    Retry {
        /// Run.
        run: RunId,
        /// Tasks; none is all that failed.
        tasks: Vec<TaskId>,
        /// Environment, for an engine that has lost the run's secrets.
        env: ShellEnv,
    },
    /// Say what red project gates mean.
    SettleGates {
        /// Run.
        run: RunId,
        /// The answer.
        answer: RedGate,
    },
    /// Approve what the run asks for.
    Approve {
        /// Run.
        run: RunId,
        /// Place in the journal of the question that was seen; `None` is the one that is asked.
        question: Option<Seq>,
        /// Environment, for an engine that has lost the run's secrets.
        env: ShellEnv,
    },
    /// Do not approve: plan again as the text says, or, without one, stop.
    Reject {
        /// Run.
        run: RunId,
        /// Place in the journal of the question that was seen; `None` is the one that is asked.
        question: Option<Seq>,
        /// What is to be otherwise.
        text: String,
        /// Environment, for an engine that has lost the run's secrets.
        env: ShellEnv,
    },
    /// Bring a text to a live worker.
    Steer {
        /// Run.
        run: RunId,
        /// Task.
        task: TaskId,
        /// Text.
        text: String,
        /// Id, so that it is delivered once.
        id: String,
    },
    /// Take the run's changes back.
    Undo {
        /// Run.
        run: RunId,
        /// Also files that were changed since.
        force: bool,
        /// Take back the last undo instead.
        redo: bool,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Remove a run that has ended.
    Remove {
        /// Run.
        run: RunId,
    },
    /// Events of a run after `since`, and live pictures of it, until it stops or the connection ends.
    Watch {
        /// Run.
        run: RunId,
        /// Last event known.
        since: Seq,
        /// Whether live pictures are wanted too.
        live: bool,
    },
    /// The live picture of a run, once.
    Live {
        /// Run.
        run: RunId,
    },
    /// Lead whatever of this project is unfinished and without a live owner.
    Visit {
        /// A directory of the project; absolute.
        cwd: String,
        /// Environment, for runs that wait for their secrets.
        env: ShellEnv,
    },
    /// How the daemon is.
    Status,
    /// Leave: stop deciding, and end. Workers go on.
    Stop,
    /// Make place for another engine, which the asker starts: decide nothing more, make durable what was decided, give every lease back,
    /// answer [`crate::Reply::Left`], and end. Workers go on. The same in every protocol version.
    HandOver {
        /// Version of the engine that comes.
        version: String,
    },
}

impl Request {
    /// The run that it is about, where there is one already.
    pub const fn run(&self) -> Option<RunId> {
        match self {
            Self::Cancel { run, .. }
            | Self::Resume { run, .. }
            | Self::Retry { run, .. }
            | Self::SettleGates { run, .. }
            | Self::Approve { run, .. }
            | Self::Reject { run, .. }
            | Self::Steer { run, .. }
            | Self::Undo { run, .. }
            | Self::Remove { run }
            | Self::Watch { run, .. }
            | Self::Live { run } => Some(*run),
            Self::Hello { .. }
            | Self::Run(_)
            | Self::Visit { .. }
            | Self::Status
            | Self::Stop
            | Self::HandOver { .. } => None,
        }
    }
}

/// New caps of a resumed run: those named change, the others stay.
pub fn changed_caps(
    mut caps: Caps,
    usd: Option<CapChoice>,
    tokens: Option<CapChoice>,
    timeout: Option<CapChoice>,
) -> Option<Caps> {
    let mut changed = false;
    if let Some(choice) = usd {
        caps.microusd = choice.scaled(1e6);
        if choice == CapChoice::None {
            caps.unpriced_tokens = None;
        }
        changed = true;
    }
    if let Some(choice) = tokens {
        caps.tokens = choice.scaled(1.0);
        caps.unpriced_tokens = None;
        changed = true;
    }
    if let Some(choice) = timeout {
        caps.wall_ms = choice.scaled(1.0);
        changed = true;
    }
    changed.then_some(caps)
}

impl CapChoice {
    /// The cap in its stored unit, or `None` for none. Negative and odd numbers are 0: nothing may be spent.
    pub fn scaled(self, unit: f64) -> Option<u64> {
        match self {
            Self::None => None,
            // Saturates; not-a-number becomes 0.
            Self::Limit(value) => Some((value * unit).round() as u64),
        }
    }
}
