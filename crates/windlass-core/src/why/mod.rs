//! Why a task or a run is where it is, as a function of its state: what holds it, what would move it, and the rule that
//! brought it to its end.
//!
//! Everything here is typed and follows [`decide`](mod@crate::decide) step for step, so that what is said to hold a task is what
//! really does: the laws of the core hold both against each other. Words for people are made elsewhere. As JSON, each value
//! says what it is by its first key.
//!
//! What a journal does not hold is not guessed: free slots of the machine, the tree's turn among other runs as long as nobody
//! said that it waits for it, and whether an engine leads the run at all. Where only these are left, [`Reason::Next`] says so.
//!
//! Map: `task` and `run` reasons · `rule` why something ended · `moves` what would change it · `chain` the events that led there.

mod chain;
mod moves;
mod rule;
mod run;
mod task;

pub use chain::{concerns_run, concerns_task};
pub use moves::{Command, Move};
pub use rule::{GateFact, LastEnd, Rule};

use crate::effects::StopWhy;
use crate::run::Run;
use serde::Serialize;
use windlass_events::event::{CapKind, Cause, WaitFor};
use windlass_events::outcome::{ErrorClass, Failure};
use windlass_events::{AttemptNo, Millis, Proof, TaskId, TaskStatus};

/// Why a task or a run is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// What holds it, in the order in which it is looked at: the first would hold it alone. Empty only at its end.
    pub reasons: Vec<Reason>,
    /// The rule that brought it to its end, or stopped it for a person.
    pub rule: Option<Rule>,
    /// What would move it, the surest first.
    pub moves: Vec<Move>,
}

/// A task and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskState {
    /// Task.
    pub task: TaskId,
    /// Its status.
    pub status: TaskStatus,
}

/// One thing that holds a task or a run, or what it is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// Not all tasks that the run was created with are known yet.
    Planning {
        /// Tasks known.
        known: u32,
        /// Tasks that there will be.
        of: u32,
    },
    /// Tasks that it depends on are not completed.
    Dependencies {
        /// Those that are not.
        on: Vec<TaskState>,
    },
    /// A pause before a new attempt.
    Backoff {
        /// When it ends.
        until: Millis,
        /// Attempts used.
        used: u32,
        /// Attempts that it may use.
        of: u32,
        /// How the last one failed, where it did.
        class: Option<ErrorClass>,
    },
    /// As many tasks of the run are live as may be.
    RunSlots {
        /// Slots in use.
        used: u32,
        /// Slots there are.
        limit: u32,
        /// Tasks that have them.
        by: Vec<TaskState>,
    },
    /// As many tasks of its role are live as may be.
    RoleSlots {
        /// The role.
        role: String,
        /// Slots in use.
        used: u32,
        /// Slots there are.
        limit: u32,
        /// Tasks that have them.
        by: Vec<TaskState>,
    },
    /// Somebody else has the tree's turn.
    Turn {
        /// Who.
        holder: TurnHolder,
    },
    /// The gates are run before anything is done.
    FirstGates {
        /// Command of the live one; `None` between two.
        command: Option<String>,
    },
    /// The run waits for something named.
    Waiting {
        /// For what.
        #[serde(rename = "for")]
        wait: WaitFor,
        /// Who or what ends it; empty where nobody was named.
        on: String,
        /// Since when.
        since: Millis,
    },
    /// A cap is reached, and nothing more starts.
    Cap {
        /// Which.
        cap: CapKind,
        /// Used, in the cap's unit (millionths of a dollar, tokens, milliseconds).
        used: u64,
        /// Cap, in the same unit.
        limit: u64,
    },
    /// Nothing starts until a person has changed something.
    Blocked {
        /// Why, and what to do.
        failure: Failure,
        /// Tasks that need the person.
        tasks: Vec<TaskId>,
    },
    /// The run is being cancelled; what is live is being ended.
    Cancelling {
        /// Tasks that are not ended yet.
        live: Vec<TaskState>,
    },
    /// The tree is being kept.
    Keeping {
        /// Attempt that it precedes or follows.
        attempt: AttemptNo,
        /// Whether it precedes.
        before: bool,
    },
    /// Its worker is at work.
    Working {
        /// Attempt.
        attempt: AttemptNo,
        /// Why it was started.
        cause: Cause,
        /// When its start was decided.
        since: Millis,
        /// Longest time without output in milliseconds; 0 is no limit.
        silence_ms: u64,
        /// When its time is over; `None` where it has no limit.
        until: Option<Millis>,
        /// Why it is being stopped, if it is.
        stopping: Option<Stopping>,
    },
    /// The shim of its attempt vanished; what that left is being ended.
    Sweeping {
        /// Attempt.
        attempt: AttemptNo,
    },
    /// One of its gates is being run.
    Checking {
        /// Command.
        command: String,
        /// Try.
        n: u32,
        /// When it was started.
        since: Millis,
        /// When its time is over.
        until: Millis,
        /// Whether it is being stopped.
        stopping: bool,
    },
    /// What it grows into is being read.
    Expanding {
        /// Attempt whose result it is; 0 where it is another task's.
        attempt: AttemptNo,
    },
    /// What grew from it is being done.
    Parts {
        /// Those that are not ended.
        open: Vec<TaskState>,
        /// How many completed.
        done: u32,
        /// How many must.
        needed: u32,
    },
    /// Tasks of the run are at work.
    Tasks {
        /// Which.
        live: Vec<TaskState>,
    },
    /// Nothing in the journal is in the way: the engine that leads the run does this next.
    Next {
        /// What follows.
        next: Follows,
    },
}

/// Who holds the tree's turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum TurnHolder {
    /// A task of the same run.
    Task {
        /// Which.
        task: TaskId,
    },
    /// Another run, or another engine.
    Other {
        /// Who, as it was named.
        who: String,
    },
}

/// Why a live worker is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopping {
    /// A person asked.
    Cancel,
    /// A cap is reached.
    Cap,
}

impl From<StopWhy> for Stopping {
    fn from(why: StopWhy) -> Self {
        match why {
            StopWhy::Cancel => Self::Cancel,
            StopWhy::Cap => Self::Cap,
        }
    }
}

/// What an engine does next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "does", rename_all = "snake_case")]
pub enum Follows {
    /// Starts the next attempt, once a slot of the machine is free.
    Start {
        /// Its number.
        attempt: AttemptNo,
        /// Why.
        cause: Cause,
        /// Whether it takes the tree's turn first, which no other run may have.
        turn: bool,
    },
    /// Runs a gate.
    Gate {
        /// Command.
        command: String,
        /// Try.
        n: u32,
        /// Whether it takes the tree's turn first, which no other run may have.
        turn: bool,
    },
    /// Runs the gates before anything is done, once a slot of the machine and the tree's turn are free.
    FirstGates,
    /// Completes the task.
    Complete {
        /// What is proved of it.
        proof: Proof,
    },
    /// Fails the task.
    Fail {
        /// Why.
        failure: Failure,
    },
    /// Calls a person.
    Attention {
        /// Why.
        failure: Failure,
    },
    /// Asks a person to approve.
    Ask,
    /// Reads what the task grows into.
    Expand,
    /// Stops what grew from the task and is not needed any more.
    StopRest,
    /// Skips the task.
    Skip {
        /// Dependency that did not complete.
        because: TaskId,
    },
    /// Cancels the task.
    Cancel,
    /// Looks at what the run has come to.
    Conclude,
}

/// Why the task at a position is where it is, at an instant; `None` where there is no such task.
pub fn why_task(run: &Run, at: u32, now: Millis) -> Option<Why> {
    let task = run.task(at)?;
    let reasons = task::reasons(run, at, task, now);
    let rule = rule::of_task(run, task);
    let moves = moves::of_task(run, task, &reasons, rule.as_ref());
    Some(Why { reasons, rule, moves })
}

/// Why the run as a whole is where it is, at an instant.
pub fn why_run(run: &Run, now: Millis) -> Why {
    let reasons = run::reasons(run, now);
    let rule = rule::of_run(run);
    let moves = moves::of_run(run, &reasons, rule.as_ref());
    Why { reasons, rule, moves }
}

fn state_of(run: &Run, at: u32) -> Option<TaskState> {
    run.task(at).map(|t| TaskState { task: t.spec.id.clone(), status: t.status() })
}

fn gate_command(run: &Run, gate: u32) -> String {
    run.spec.gates.get(gate as usize).map_or_else(|| "?".to_owned(), |g| g.command.clone())
}
