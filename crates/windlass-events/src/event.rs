//! The events of a run's journal. A run's state is a fold over them and nothing else.

use crate::Millis;
use crate::ids::{AttemptNo, RunId, Seq, TaskId};
use crate::outcome::{Failure, Outcome};
use crate::spec::{Caps, RedGate, RunSpec, TaskSpec};
use crate::status::{Proof, words};
use crate::usage::Usage;
use serde::{Deserialize, Serialize};

/// One event in its place. The store keeps its parts in columns; [`Envelope::to_line`] is what people and programs read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Run.
    pub run: RunId,
    /// Place in the run's journal, from 1, without gaps.
    pub seq: Seq,
    /// When the engine accepted it. Never earlier than the event before it.
    pub at: Millis,
    /// What happened.
    pub event: Event,
}

impl Envelope {
    /// The event as one line of JSON: `{"run","seq","at","type","data"}`.
    ///
    /// # Errors
    /// Never for values built by this crate's types; the error is passed on all the same.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        let body = self.event.to_json()?;
        // The body is a JSON object, so what follows its opening brace continues ours.
        Ok(format!(
            "{{\"run\":\"{}\",\"seq\":{},\"at\":{},{}",
            self.run,
            self.seq,
            self.at,
            body.get(1..).unwrap_or("}")
        ))
    }
}

words! {
    /// Why an attempt is started.
    Cause {
        /// The first of its task.
        First = "first",
        /// The one before failed in a way that a new start may help.
        Retry = "retry",
        /// A gate is red; the worker that caused it is told so.
        Repair = "repair",
        /// The one before was lost; it goes on in the agent's own session where it can.
        Continue = "continue",
        /// A person asked for it.
        Person = "person",
        /// Tasks of its plan failed, and it makes a new one.
        Replan = "replan",
    }
}

words! {
    /// A cap of a run.
    CapKind {
        /// Money.
        Usd = "usd",
        /// Tokens.
        Tokens = "tokens",
        /// Wall clock.
        Wall = "wall",
    }
}

words! {
    /// What a waiting run waits for.
    WaitFor {
        /// A person's approval of the plan.
        Approval = "approval",
        /// A person's answer.
        Answer = "answer",
        /// A provider's limit to pass.
        Quota = "quota",
        /// A client that brings the secret values of the environment.
        Environment = "environment",
        /// A person's word after a restart of the machine.
        Restart = "restart",
        /// Another run's turn in the tree to end.
        Tree = "tree",
    }
}

/// Where the bytes of a result are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultRef {
    /// Path under the run's folder.
    pub path: String,
    /// Content hash (BLAKE3, hex).
    pub hash: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Whether redaction replaced something in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
}

/// How an attempt ended: the outcome with all that was learned from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// Outcome.
    pub outcome: Outcome,
    /// Exit code of the program, whatever the outcome; `None` when a signal ended it or it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// Totals of the attempt.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
    /// The agent's own session, to continue it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Model that answered, where the runtime says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The final text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultRef>,
    /// Files that it left to hand on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ResultRef>,
    /// What went wrong, unless the outcome is clean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What a verifier concluded, where its result has a verdict block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<bool>,
}

/// How one try of a gate ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateEnd {
    /// Outcome; only [`Outcome::Clean`] is green.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// Identity of the tree before, where there is git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree_before: Option<String>,
    /// Identity of the tree after. A difference means that the evidence is about neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree_after: Option<String>,
    /// The end of its output, for people and for a repair; at most 8 kB.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
    /// Path under the run's folder of the whole output.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
}

impl GateEnd {
    /// Whether the gate passed.
    pub fn is_green(&self) -> bool {
        self.outcome.is_clean()
    }
}

/// Which run of a gate: gates have no task in the baseline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GateKey {
    /// Task whose contract it checks; `None` before the first writing step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Position in the run's gates.
    pub gate: u32,
    /// Which try of this gate for this task, from 1.
    pub n: u32,
}

/// A kept state of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Number under `refs/windlass/<run>/`.
    pub n: u32,
    /// Commit that holds it.
    pub commit: String,
    /// Git tree: the identity of the content.
    pub tree: String,
    /// What HEAD was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
}

/// What happened. `type` and `data` in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum Event {
    /// A run exists. Always the first event.
    #[serde(rename = "run.created")]
    RunCreated(Box<RunSpec>),
    /// Tasks of the run, in bounded portions.
    #[serde(rename = "tasks.planned")]
    TasksPlanned {
        /// The tasks.
        tasks: Vec<TaskSpec>,
    },
    /// A task without a worker may read the list that it grows from.
    #[serde(rename = "list.wanted")]
    ListWanted {
        /// Task.
        task: TaskId,
    },
    /// What a task grows into is known: the first time, or again.
    #[serde(rename = "plan.made")]
    PlanMade {
        /// Task that it grew from.
        task: TaskId,
        /// Attempt whose result it is; 0 where it has no worker.
        n: AttemptNo,
        /// Which of the task's plans, from 1.
        revision: u32,
        /// New tasks, each after those that it depends on.
        tasks: Vec<TaskSpec>,
        /// Tasks of the plan before that go on being part of it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<TaskId>,
        /// Unfinished tasks of the plan before that are no longer wanted: they are stopped and skipped.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dropped: Vec<TaskId>,
    },
    /// What was to be a plan or a list is none.
    #[serde(rename = "plan.refused")]
    PlanRefused {
        /// Task.
        task: TaskId,
        /// Attempt whose result it is; 0 where it has no worker.
        n: AttemptNo,
        /// Everything that is wrong with it.
        reasons: Vec<String>,
    },
    /// A person is asked to approve what comes next.
    #[serde(rename = "approval.asked")]
    ApprovalAsked {
        /// Task that is to be approved; `None` is the plan: everything that may write.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskId>,
        /// Number of the plan: how often tasks were added.
        plan: u32,
    },
    /// A person approved.
    #[serde(rename = "approval.given")]
    ApprovalGiven {
        /// Task; `None` is the plan.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskId>,
        /// Number of the plan that was approved. A later one is asked for again.
        plan: u32,
        /// Who: `user`, `host`.
        by: String,
    },
    /// A person did not approve.
    #[serde(rename = "approval.refused")]
    ApprovalRefused {
        /// Number of the plan.
        plan: u32,
        /// Task that plans again; `None` stops the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        planner: Option<TaskId>,
        /// Ended tasks that are done again after it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        again: Vec<TaskId>,
        /// What is to be otherwise.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        text: String,
        /// Who: `user`, `host`.
        by: String,
    },
    /// An engine leads the run from here on. A gap before it was a time without one.
    #[serde(rename = "run.taken")]
    RunTaken {
        /// Boot id of the machine: another one means that the machine was restarted.
        boot: String,
        /// Version of the engine.
        version: String,
    },
    /// A task (`None`: the baseline of the gates) holds the tree's turn until it ends.
    #[serde(rename = "turn.taken")]
    TurnTaken {
        /// Task.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskId>,
    },
    /// A worker may be started: committed before it is.
    #[serde(rename = "attempt.started")]
    AttemptStarted {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// Why.
        cause: Cause,
        /// The agent's session to continue.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        /// Model asked for; `None` takes the user's own setting.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// What a live attempt has used so far, and how far its spool was read for that.
    #[serde(rename = "attempt.observed")]
    AttemptObserved {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// Totals of the attempt so far.
        usage: Usage,
        /// The agent's own session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
    },
    /// A worker ended, and nothing of it is left.
    #[serde(rename = "attempt.ended")]
    AttemptEnded {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// How.
        end: AttemptEnd,
    },
    /// The shim of an attempt is gone without an end record.
    #[serde(rename = "attempt.lost")]
    AttemptLost {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// Totals read from what its spool holds.
        #[serde(default, skip_serializing_if = "Usage::is_zero")]
        usage: Usage,
        /// The agent's own session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        /// What it was doing last, for the continuation.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        last: String,
    },
    /// What a lost attempt left behind is gone, or is named.
    #[serde(rename = "attempt.swept")]
    AttemptSwept {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// Processes that could not be proved gone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<String>,
    },
    /// An attempt was never started: no claim of it exists. It takes nothing from the task's attempts.
    #[serde(rename = "attempt.voided")]
    AttemptVoided {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// Why.
        reason: String,
    },
    /// A gate may be run: committed before it is.
    #[serde(rename = "gate.started")]
    GateStarted {
        /// Which.
        key: GateKey,
    },
    /// A gate ended.
    #[serde(rename = "gate.ended")]
    GateEnded {
        /// Which.
        key: GateKey,
        /// How.
        end: GateEnd,
    },
    /// A gate's shim is gone without an end record: it is run again.
    #[serde(rename = "gate.lost")]
    GateLost {
        /// Which.
        key: GateKey,
    },
    /// A project gate is red at the start and a person is asked what that means.
    #[serde(rename = "gates.asked")]
    GatesAsked {
        /// Positions of the red gates.
        gates: Vec<u32>,
    },
    /// What red project gates mean in this run.
    #[serde(rename = "gates.settled")]
    GatesSettled {
        /// Positions of the gates.
        gates: Vec<u32>,
        /// The answer.
        answer: RedGate,
    },
    /// The tree was kept before (`before: true`) or after a task's writing.
    #[serde(rename = "tree.kept")]
    TreeKept {
        /// Task.
        task: TaskId,
        /// Attempt that it precedes or follows.
        n: AttemptNo,
        /// Whether it precedes.
        before: bool,
        /// The state.
        snapshot: Snapshot,
    },
    /// A reader's attempt ended in another tree than it began in, while nobody held the turn.
    #[serde(rename = "tree.touched")]
    TreeTouched {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// State before.
        before: Snapshot,
        /// State after.
        after: Snapshot,
    },
    /// HEAD is not where it was: somebody committed or switched branches.
    #[serde(rename = "head.moved")]
    HeadMoved {
        /// Task that was writing.
        task: TaskId,
        /// Commit before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// Commit after.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// A task's contract held.
    #[serde(rename = "task.completed")]
    TaskCompleted {
        /// Task.
        task: TaskId,
        /// What is proved of it.
        proof: Proof,
    },
    /// A task's attempts are used up, or its contract did not hold.
    #[serde(rename = "task.failed")]
    TaskFailed {
        /// Task.
        task: TaskId,
        /// Why.
        failure: Failure,
    },
    /// Something a task depends on did not complete.
    #[serde(rename = "task.skipped")]
    TaskSkipped {
        /// Task.
        task: TaskId,
        /// What it depended on.
        because: TaskId,
    },
    /// A task was stopped on request.
    #[serde(rename = "task.cancelled")]
    TaskCancelled {
        /// Task.
        task: TaskId,
    },
    /// A person must look before anything else happens to a task.
    #[serde(rename = "task.needs_attention")]
    TaskNeedsAttention {
        /// Task.
        task: TaskId,
        /// Why.
        failure: Failure,
    },
    /// 80 % of a cap is used.
    #[serde(rename = "cap.warned")]
    CapWarned {
        /// Which.
        cap: CapKind,
        /// Used, in the cap's unit.
        used: u64,
        /// Cap, in the same unit.
        limit: u64,
    },
    /// A cap is reached: nothing more starts.
    #[serde(rename = "cap.reached")]
    CapReached {
        /// Which.
        cap: CapKind,
        /// Used, in the cap's unit.
        used: u64,
        /// Cap, in the same unit.
        limit: u64,
    },
    /// The run waits for something that comes by itself.
    #[serde(rename = "run.waiting")]
    RunWaiting {
        /// For what.
        #[serde(rename = "for")]
        wait: WaitFor,
        /// Who or what ends it: the run that holds the tree, the names that are missing, the question.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        on: String,
    },
    /// What the run waited for came.
    #[serde(rename = "run.continued")]
    RunContinued {
        /// What it waited for.
        #[serde(rename = "for")]
        wait: WaitFor,
    },
    /// A person asked to stop the run, or one task.
    #[serde(rename = "cancel.requested")]
    CancelRequested {
        /// Task; `None` is the whole run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskId>,
        /// Who asked: `user`, `signal`, `host`.
        by: String,
    },
    /// A person asked to go on with whatever is not finished.
    #[serde(rename = "run.resumed")]
    RunResumed {
        /// Caps from now on, where they change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caps: Option<Caps>,
        /// Tasks that leave a terminal state by this.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tasks: Vec<TaskId>,
    },
    /// A person asked for new attempts of these tasks and of what they skipped.
    #[serde(rename = "tasks.retried")]
    TasksRetried {
        /// The tasks, with those that depend on them.
        tasks: Vec<TaskId>,
    },
    /// A person's text for a live worker.
    #[serde(rename = "steer.sent")]
    SteerSent {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// The text.
        text: String,
        /// Id of the request, so that it is delivered once.
        id: String,
    },
    /// Whether a text reached its worker.
    #[serde(rename = "steer.delivered")]
    SteerDelivered {
        /// Id of the request.
        id: String,
        /// Why not, or empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        error: String,
    },
    /// Something worth telling that changes no state.
    #[serde(rename = "notice")]
    Notice {
        /// The text.
        text: String,
    },
    /// The changes of the run were taken back, or put back (`redo`), by a person.
    #[serde(rename = "run.undone")]
    RunUndone {
        /// State of the tree before it was touched: what undoes the undo.
        before: Snapshot,
        /// State after.
        after: Snapshot,
        /// Number of files.
        files: u32,
        /// Whether this took back an earlier undo.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        redo: bool,
    },
    /// Nothing can start until a person changes something.
    #[serde(rename = "run.blocked")]
    RunBlocked {
        /// Why, and what to do.
        failure: Failure,
    },
    /// Every task completed.
    #[serde(rename = "run.completed")]
    RunCompleted {
        /// What is proved of the whole.
        proof: Proof,
    },
    /// At least one task failed and nothing more can be done.
    #[serde(rename = "run.failed")]
    RunFailed {
        /// First failure.
        failure: Failure,
        /// Task that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskId>,
        /// What is proved of the whole.
        proof: Proof,
    },
    /// A person stopped the run, and nothing of it is alive.
    #[serde(rename = "run.cancelled")]
    RunCancelled {},
}

impl Event {
    /// The event as it is stored: `{"type":…,"data":…}`.
    ///
    /// # Errors
    /// Never for values built by this crate's types; the error is passed on all the same.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads a stored event.
    ///
    /// # Errors
    /// When the text is not an event that this vocabulary knows.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}
