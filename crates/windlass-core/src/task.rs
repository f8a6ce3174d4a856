//! A task's state within a run.

use serde::{Deserialize, Serialize};
use windlass_events::event::{AttemptEnd, Cause, GateEnd, Snapshot};
use windlass_events::outcome::Failure;
use windlass_events::{AttemptNo, AttemptStatus, Millis, Proof, TaskSpec, TaskStatus, Usage};

/// Exactly where a task stands. [`TaskStatus`] is what users see of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Waits for tasks it depends on.
    Queued,
    /// Wants a start, not before an instant.
    Ready {
        /// Earliest start; 0 is at once.
        not_before: Millis,
        /// Why it will be started.
        cause: Cause,
    },
    /// Holds the turn; the tree is being kept before its next attempt.
    Keeping,
    /// Holds the turn and may be started.
    Kept,
    /// This attempt is, or is about to be, live.
    Running(AttemptNo),
    /// The shim of this attempt vanished; what it left is being swept.
    Lost(AttemptNo),
    /// This attempt ended; the tree is being kept after it.
    KeepingAfter(AttemptNo),
    /// This attempt is over; what follows is undecided.
    Closing(AttemptNo),
    /// A gate is live: position in the run's gates, and which try.
    Gate {
        /// Attempt whose work is checked.
        attempt: AttemptNo,
        /// Position in the run's gates.
        gate: u32,
        /// Try.
        n: u32,
    },
    /// What it grows into is being read: from the result of this attempt, or (0) from a list.
    Expanding(AttemptNo),
    /// What grew from it is being done.
    Joining,
    /// Terminal.
    Ended(TaskStatus),
}

impl Phase {
    /// Whether the task uses a slot: something of it is live or about to be.
    pub const fn is_busy(&self) -> bool {
        !matches!(self, Self::Queued | Self::Ready { .. } | Self::Joining | Self::Ended(_))
    }
}

/// One start of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Number, from 1.
    pub n: AttemptNo,
    /// Why it was started.
    pub cause: Cause,
    /// When the start was decided.
    pub started_at: Millis,
    /// When its end was accepted.
    pub ended_at: Option<Millis>,
    /// Where it stands.
    pub status: AttemptStatus,
    /// Totals so far.
    pub usage: Usage,
    /// The agent's own session.
    pub session: Option<String>,
    /// Model asked for.
    pub model: Option<String>,
    /// How it ended.
    pub end: Option<AttemptEnd>,
    /// Processes that could not be proved gone.
    pub left: Vec<String>,
    /// What a lost attempt was doing last.
    pub last: String,
    /// Number of turns taken in the run when it started, for telling whether a reader was alone.
    pub turns_at_start: u32,
    /// Whether the attempt was stopped because of a cap rather than a person.
    pub stopped_by_cap: bool,
}

/// One try of a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateTry {
    /// Position in the run's gates.
    pub gate: u32,
    /// Try, from 1.
    pub n: u32,
    /// Attempt whose work it checks; 0 in the baseline.
    pub attempt: AttemptNo,
    /// When it was started.
    pub started_at: Millis,
    /// How it ended; `None` while live.
    pub end: Option<GateEnd>,
    /// Whether its shim vanished.
    pub lost: bool,
}

impl GateTry {
    /// Whether the evidence is about one and the same tree.
    pub fn is_steady(&self) -> bool {
        self.end.as_ref().is_some_and(|e| e.tree_before == e.tree_after)
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What it is.
    pub spec: TaskSpec,
    /// Where it stands.
    pub phase: Phase,
    /// Number of its dependencies that are not completed.
    pub missing: u32,
    /// Positions of the tasks that depend on it.
    pub dependants: Vec<u32>,
    /// All attempts.
    pub attempts: Vec<Attempt>,
    /// Starts used since a person last granted new ones.
    pub used: u32,
    /// Repair rounds used since then.
    pub repairs: u32,
    /// All tries of its gates.
    pub gates: Vec<GateTry>,
    /// The tree before its first writing attempt, and after each later one.
    pub kept: Vec<Kept>,
    /// Whether a person asked to stop this task.
    pub cancel: bool,
    /// What is proved of it, once completed.
    pub proof: Proof,
    /// Why it failed, needs attention or was skipped.
    pub failure: Option<Failure>,
    /// A reader's change of the tree, before and after.
    pub touched: Option<(Snapshot, Snapshot)>,
    /// When it reached its terminal state.
    pub ended_at: Option<Millis>,
    /// Why the start that follows the keeping of the tree happens.
    pub kept_cause: Option<Cause>,
    /// Number of the plan that it came with: how often tasks had been added to the run before.
    pub planned_in: u32,
    /// Whether a person approved it by name.
    pub approved: bool,
    /// Whether the run does not miss it when it did not complete: it was dropped, or enough others like it completed.
    pub excused: bool,
    /// Its growth.
    pub grown: Grown,
    /// What people said of its results when they asked for others, oldest first; at most 20.
    pub told: Vec<String>,
}

/// What grew from a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grown {
    /// Positions of the tasks of its newest plan or list.
    pub parts: Vec<u32>,
    /// How many of them are in no terminal state.
    pub open: u32,
    /// How many of them are completed.
    pub done: u32,
    /// Number of plans so far.
    pub revision: u32,
    /// Attempt that the newest plan is from.
    pub from: AttemptNo,
    /// New plans that were asked for because of failures, since a person last granted some.
    pub replans: u32,
    /// Plans refused since then.
    pub refusals: u32,
    /// What was wrong with the last one, and the attempt it was from; empty when it was accepted.
    pub refused: Option<(AttemptNo, Vec<String>)>,
}

/// A kept state of the tree around an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Attempt.
    pub attempt: AttemptNo,
    /// Whether it precedes the attempt.
    pub before: bool,
    /// The state.
    pub snapshot: Snapshot,
}

impl Task {
    /// A task that nothing has happened to.
    pub fn new(spec: TaskSpec) -> Self {
        Self {
            spec,
            phase: Phase::Queued,
            missing: 0,
            dependants: Vec::new(),
            attempts: Vec::new(),
            used: 0,
            repairs: 0,
            gates: Vec::new(),
            kept: Vec::new(),
            cancel: false,
            proof: Proof::None,
            failure: None,
            touched: None,
            ended_at: None,
            kept_cause: None,
            planned_in: 0,
            approved: false,
            excused: false,
            grown: Grown::default(),
            told: Vec::new(),
        }
    }

    /// The attempt with this number.
    pub fn attempt(&self, n: AttemptNo) -> Option<&Attempt> {
        self.attempts.get((n as usize).checked_sub(1)?)
    }

    /// The number of the next attempt.
    pub fn next_n(&self) -> AttemptNo {
        AttemptNo::try_from(self.attempts.len()).unwrap_or(AttemptNo::MAX - 1) + 1
    }

    /// The last attempt that was really started.
    pub fn last_attempt(&self) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|a| a.status != AttemptStatus::Voided)
    }

    /// The agent's session that a new attempt can continue.
    pub fn session(&self) -> Option<&str> {
        self.last_attempt().and_then(|a| a.session.as_deref())
    }

    /// What the task has used, live attempts included.
    pub fn usage(&self) -> Usage {
        self.attempts.iter().fold(Usage::default(), |sum, a| sum.plus(&a.usage))
    }

    /// Whether its workers and gates hold the tree's turn from the start.
    pub fn takes_turn(&self) -> bool {
        self.has_worker() && self.spec.access == windlass_events::Access::Write && !self.spec.shared_writes
    }

    /// Whether it has a worker of its own. One that is only a list of others has none.
    pub fn has_worker(&self) -> bool {
        self.spec.has_worker()
    }

    /// How many of the tasks that grew from it must complete.
    pub fn parts_needed(&self) -> u32 {
        let total = u32::try_from(self.grown.parts.len()).unwrap_or(u32::MAX);
        self.spec.flow.grow.as_ref().map_or(total, |grow| grow.join().of(total))
    }

    /// The status that users see.
    pub fn status(&self) -> TaskStatus {
        match self.phase {
            Phase::Queued => TaskStatus::Queued,
            Phase::Ready { not_before: 0, .. } => TaskStatus::Ready,
            Phase::Ready { .. } => TaskStatus::Waiting,
            Phase::Keeping | Phase::Kept => TaskStatus::Ready,
            Phase::Running(_) | Phase::Lost(_) => TaskStatus::Running,
            Phase::KeepingAfter(_) | Phase::Closing(_) | Phase::Gate { .. } | Phase::Expanding(_) => {
                TaskStatus::Verifying
            }
            Phase::Joining => TaskStatus::Running,
            Phase::Ended(status) => status,
        }
    }

    /// The kept states before its first and after its last writing, for `diff` and `undo`.
    pub fn span(&self) -> Option<(&Snapshot, &Snapshot)> {
        if let Some((before, after)) = &self.touched {
            return Some((before, after));
        }
        let before = self.kept.iter().find(|k| k.before)?;
        let after = self.kept.iter().rev().find(|k| !k.before)?;
        Some((&before.snapshot, &after.snapshot))
    }
}
