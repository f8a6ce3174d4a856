//! The stable JSON of `inbox` and of `show --plan`: what waits, over all projects, and what is to be approved.
//!
//! The rules of [`crate::status`] hold here too.

use serde::{Deserialize, Serialize};
use windlass_events::{AttemptNo, Millis, RunId, RunStatus, TaskId, TaskStatus};

/// What `inbox --json` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxDoc {
    /// What waits: first what a person ends, the oldest first; then what ends by itself.
    pub waits: Vec<InboxItem>,
}

/// One wait of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxItem {
    /// Run.
    pub run: RunId,
    /// What the user wants of it, in their words.
    pub goal: String,
    /// Directory that it was asked for in.
    pub cwd: String,
    /// Where it stands. It may be `running`: who only reads goes on while a plan is looked at.
    pub status: RunStatus,
    /// For what: `restart` `environment` `cap` `needs_attention` `blocked` `answer` `approval` `tree` `quota` `pause`.
    #[serde(rename = "for")]
    pub wait: String,
    /// Task that waits; `null` when the whole run does.
    pub task: Option<TaskId>,
    /// Since when.
    pub since: Millis,
    /// When it ends by itself; `null` when it does not, or nobody knows when.
    pub until: Option<Millis>,
    /// Who or what ends it: `you`, `time`, or the run that holds the tree.
    pub ends_by: String,
    /// What it is about, in one sentence.
    pub why: String,
    /// Commands that end it, the one that lets it go on first.
    pub commands: Vec<String>,
}

impl InboxItem {
    /// Whether a person ends it, and nothing else does.
    pub fn is_for_person(&self) -> bool {
        self.ends_by == YOU
    }
}

/// Who ends a wait that only a person does.
pub const YOU: &str = "you";

/// What `show --plan` prints: the plan that is to be approved, or was last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalDoc {
    /// Run.
    pub run: RunId,
    /// What the user wants of it, in their words.
    pub goal: String,
    /// Number of the plan: how often tasks were added while the run went on. `approve --plan` takes it.
    pub plan: u32,
    /// Whether a person is asked to approve it now.
    pub asked: bool,
    /// The one task that is to be approved; `null` when it is the plan.
    pub task: Option<TaskId>,
    /// Task that made the plan; `null` where nobody but the workflow did.
    pub planner: Option<TaskId>,
    /// Its attempt.
    pub attempt: Option<AttemptNo>,
    /// Which of its plans this is, from 1.
    pub revision: u32,
    /// What the planner said, where its result is no list of tasks.
    pub text: Option<String>,
    /// The lines in which that differs from what it said before a person asked for another.
    pub changes: Option<Vec<TextChange>>,
    /// The tasks: those of the plan, or, where it is a text, those that start when it is approved.
    pub tasks: Vec<ProposedTask>,
}

/// A task of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposedTask {
    /// How it stands to the plan before.
    pub mark: PlanMark,
    /// Task.
    pub id: TaskId,
    /// Name of its item: the same in every revision. Empty where the workflow has it.
    pub item: String,
    /// Phase; may be empty.
    pub phase: String,
    /// Role.
    pub role: String,
    /// What it is, in a few words.
    pub title: String,
    /// What its worker is told to do.
    pub instructions: String,
    /// Tasks that it comes after.
    pub depends_on: Vec<TaskId>,
    /// Gates that must be green after it.
    pub gates: Vec<String>,
    /// Whether it may change files.
    pub writes: bool,
    /// Where it stands.
    pub status: TaskStatus,
}

/// How a task stands to the plan before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanMark {
    /// As it was, or there is no plan before.
    Same,
    /// New.
    Added,
    /// It was in the plan before, and is another now.
    Changed,
    /// It was in the plan before, and is no more.
    Dropped,
}

/// A line of a text against the text before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextChange {
    /// Whether it is new, gone or as it was.
    pub mark: PlanMark,
    /// The line, without its end.
    pub line: String,
}
