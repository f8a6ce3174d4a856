//! The stable JSON of `status`, `list`, `daemon status` and errors, as types.
//!
//! Scripts, other programs and the renderer read these documents. Unknown fields may be added; none is renamed or
//! removed, and a reader ignores what it does not know. Three rules hold throughout:
//!
//! - **Absence is not a value.** What is not known is `null`: an unknown cost is never 0, a gate that did not run is
//!   neither green nor red.
//! - Instants are milliseconds since the Unix epoch (`*_at`, `since`, `until`), durations milliseconds (`*ms`), money
//!   US dollars.
//! - Texts are as agents, files and people wrote them. Whoever shows them on a terminal or a page must escape them.

use crate::growth::{GrowthDoc, PartsDoc};
use serde::{Deserialize, Serialize};
use windlass_events::event::WaitFor;
use windlass_events::outcome::Failure;
use windlass_events::spec::GateSource;
use windlass_events::{
    AttemptNo, AttemptStatus, Millis, Proof, RunId, RunStatus, RuntimeKind, TaskId, TaskStatus, Usage,
};

/// The version of [`StatusDoc`]; raised only if a field had to change its meaning.
pub const STATUS_SCHEMA: u32 = 1;

/// What `status --json` prints: one run with all of its tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusDoc {
    /// [`STATUS_SCHEMA`].
    pub schema: u32,
    /// The run.
    pub run: RunDoc,
    /// Its tasks, in the order in which they were planned.
    pub tasks: Vec<TaskDoc>,
}

impl StatusDoc {
    /// A document of this schema.
    pub fn new(run: RunDoc, tasks: Vec<TaskDoc>) -> Self {
        Self { schema: STATUS_SCHEMA, run, tasks }
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDoc {
    /// Id.
    pub id: RunId,
    /// What the user wants, in their words.
    pub goal: String,
    /// Team by name; `null` for a single agent.
    pub team: Option<String>,
    /// Workflow by name.
    pub workflow: String,
    /// Where it stands.
    pub status: RunStatus,
    /// What is known about the truth of its result.
    pub proof: Proof,
    /// When it was created.
    pub created_at: Millis,
    /// When its journal last grew.
    pub updated_at: Millis,
    /// When it reached the terminal state that it is in; `null` while it is in none.
    pub ended_at: Option<Millis>,
    /// Directory that it was asked for in.
    pub cwd: String,
    /// Commit that was checked out at the start; `null` outside git and on an unborn branch.
    pub base: Option<String>,
    /// The most starts of workers, of whatever cause, that the run can make by itself.
    pub worst_case_starts: u64,
    /// What it used so far, live attempts included.
    pub usage: UsageDoc,
    /// Its caps; `null` when it has none at all.
    pub budget: Option<BudgetDoc>,
    /// What it waits for, when its status is `waiting`.
    pub waiting: Option<WaitingDoc>,
    /// Why it failed or is blocked.
    pub error: Option<ErrorDoc>,
    /// Commands that make sense now, most useful first.
    pub next: Vec<String>,

    /// Who or what chose team and workflow, one line.
    #[serde(default)]
    pub shape_reason: String,
    /// The option that chooses another, where the user named neither team, workflow nor agent; else empty.
    #[serde(default)]
    pub shape_other: String,
    /// What was said before the start and since: shadowed names, no git, untrusted content, a moved HEAD.
    #[serde(default)]
    pub notices: Vec<String>,
    /// What it changed in the tree so far; `null` where that is not known (outside git, or nothing kept yet).
    #[serde(default)]
    pub changes: Option<ChangesDoc>,
    /// The run's gates, in their order.
    #[serde(default)]
    pub gates: Vec<GateDoc>,
    /// The agent programs that it uses, as probed before the start.
    #[serde(default)]
    pub programs: Vec<ProgramDoc>,
    /// The tree that its tasks share; `null` from a program that does not tell.
    #[serde(default)]
    pub tree: Option<TreeDoc>,
    /// Whether completing without proof counts as failing, for the exit code.
    #[serde(default)]
    pub require_proof: bool,
    /// Whether a person took its changes back with `undo`.
    #[serde(default)]
    pub undone: bool,
    /// Where the files of the run are and what there is; `null` where nobody looked.
    #[serde(default)]
    pub folder: Option<FolderDoc>,
}

impl RunDoc {
    /// A run of which only this much is known yet: queued, nothing used, nothing proved.
    pub fn new(id: RunId, goal: impl Into<String>, workflow: impl Into<String>, created_at: Millis) -> Self {
        Self {
            id,
            goal: goal.into(),
            team: None,
            workflow: workflow.into(),
            status: RunStatus::Queued,
            proof: Proof::None,
            created_at,
            updated_at: created_at,
            ended_at: None,
            cwd: String::new(),
            base: None,
            worst_case_starts: 0,
            usage: UsageDoc::from(Usage::default()),
            budget: None,
            waiting: None,
            error: None,
            next: Vec::new(),
            shape_reason: String::new(),
            shape_other: String::new(),
            notices: Vec::new(),
            changes: None,
            gates: Vec::new(),
            programs: Vec::new(),
            tree: None,
            require_proof: false,
            undone: false,
            folder: None,
        }
    }

    /// Makes the commands that it offers fit any folder: a `git` of its tree names the tree.
    pub fn name_tree(&mut self) {
        let Some(tree) = &self.tree else { return };
        let root = &tree.root;
        let plain =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '@' | ':' | ',');
        let quoted =
            if root.chars().all(plain) { root.clone() } else { format!("'{}'", root.replace('\'', "'\\''")) };
        for command in &mut self.next {
            if let Some(rest) = command.strip_prefix("git ") {
                *command = format!("git -C {quoted} {rest}");
            }
        }
    }

    /// The name of the shape: the team, or the workflow of a single agent.
    pub fn shape(&self) -> &str {
        self.team.as_deref().unwrap_or(&self.workflow)
    }
}

/// Tokens and money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageDoc {
    /// Tokens sent, without those read from or written to a cache.
    #[serde(default)]
    pub input: u64,
    /// Tokens received.
    #[serde(default)]
    pub output: u64,
    /// Tokens read from the provider's cache.
    #[serde(default)]
    pub cache_read: u64,
    /// Tokens written to the provider's cache.
    #[serde(default)]
    pub cache_write: u64,
    /// US dollars; `null` when some of it is not known. Never 0 for an unknown cost.
    pub cost_usd: Option<f64>,
    /// Model replies.
    #[serde(default)]
    pub turns: u64,
}

impl UsageDoc {
    /// Nothing used, at a known cost of nothing: where sums begin.
    pub const ZERO: Self =
        Self { input: 0, output: 0, cache_read: 0, cache_write: 0, cost_usd: Some(0.0), turns: 0 };

    /// All tokens, cache reads included: what a token cap counts.
    pub const fn tokens(&self) -> u64 {
        self.input
            .saturating_add(self.output)
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
    }

    /// The sum of both. It has a cost only where both have one.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cost_usd: self.cost_usd.zip(other.cost_usd).map(|(a, b)| a + b),
            turns: self.turns.saturating_add(other.turns),
        }
    }
}

impl From<Usage> for UsageDoc {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read,
            cache_write: usage.cache_write,
            cost_usd: usage.cost_usd(),
            turns: usage.turns,
        }
    }
}

/// The caps of a run and how much of each is used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BudgetDoc {
    /// US dollars.
    pub usd: CapDoc<f64>,
    /// Tokens, cache reads included.
    pub tokens: CapDoc<u64>,
    /// Starts of workers.
    pub attempts: CapDoc<u64>,
    /// Wall clock in milliseconds, since the run began or was last resumed.
    #[serde(default)]
    pub wall_ms: CapDoc<u64>,
}

/// One cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CapDoc<T> {
    /// The cap; `null` is none.
    pub cap: Option<T>,
    /// Held for live attempts, not spent yet.
    pub reserved: T,
    /// Spent; `null` where it is not known.
    pub spent: Option<T>,
}

/// What a waiting run waits for, and who or what ends that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingDoc {
    /// For what.
    #[serde(rename = "for")]
    pub wait: WaitFor,
    /// Task that waits; `null` when the whole run does.
    pub task: Option<TaskId>,
    /// Since when.
    pub since: Millis,
    /// When it ends by itself at the latest; `null` when that is not known.
    pub until: Option<Millis>,
    /// What a person is asked.
    pub question: Option<String>,
    /// Answers offered, if the question has some.
    pub options: Vec<String>,
    /// Command that answers or ends it.
    pub answer_with: Option<String>,
    /// Who or what ends it, where that is not a person's answer: the run that holds the tree, the missing names.
    #[serde(default)]
    pub on: Option<String>,
}

/// What went wrong and what to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDoc {
    /// A stable word: an error class of an attempt, `dependency` of a skipped task, or the kind of a refused request.
    pub kind: String,
    /// What happened, one or a few lines.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Task that it is about.
    #[serde(default)]
    pub task: Option<TaskId>,
}

impl ErrorDoc {
    /// An error about no task in particular.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into(), hint: None, task: None }
    }

    /// The same error with what to do about it. An empty text is no hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.hint = (!hint.is_empty()).then_some(hint);
        self
    }

    /// The same error, about this task.
    #[must_use]
    pub fn task(mut self, task: TaskId) -> Self {
        self.task = Some(task);
        self
    }
}

impl From<&Failure> for ErrorDoc {
    fn from(failure: &Failure) -> Self {
        Self::new(failure.class.as_str(), failure.message.as_str()).hint(failure.hint.as_str())
    }
}

/// What a command prints with `--json` when it fails: `{"error":{"kind","message","hint"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedDoc {
    /// The error.
    pub error: ErrorDoc,
}

/// How much of the tree a run or task changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesDoc {
    /// Files changed, added or removed.
    pub files: u64,
    /// Lines added. Binary files count none.
    pub insertions: u64,
    /// Lines removed. Binary files count none.
    pub deletions: u64,
}

/// What a gate said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// It passed.
    Green,
    /// It did not pass, whatever the reason.
    Red,
    /// It ran, and another party changed the tree meanwhile: it says nothing about either state.
    Unclear,
}

impl Light {
    /// The word that people and JSON know it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Red => "red",
            Self::Unclear => "unclear",
        }
    }
}

/// A gate of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateDoc {
    /// The command line.
    pub command: String,
    /// Who asked for it.
    pub source: GateSource,
    /// What it said before the first writing step; `null` if it did not run then.
    pub before: Option<Light>,
    /// What it said last, after a writing step; `null` if it did not run since.
    pub after: Option<Light>,
    /// Whether a person said that it does not count in this run.
    #[serde(default)]
    pub left_out: bool,
}

/// An agent program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramDoc {
    /// Runtime that it serves.
    pub runtime: RuntimeKind,
    /// Absolute path.
    pub path: String,
    /// What it says of its version; empty if nothing.
    pub version: String,
    /// Model that it uses when a task names none; `null` where that is not known.
    pub model: Option<String>,
}

/// A working tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeDoc {
    /// Top of the working tree.
    pub root: String,
    /// Whether git holds it. If not, nothing can be compared or undone.
    pub git: bool,
    /// Branch at the start; `null` when detached or unborn.
    pub branch: Option<String>,
}

/// The folder of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderDoc {
    /// Absolute path.
    pub path: String,
    /// Names of what is in it, a `/` behind those of folders; empty folders are left out. In the order of their use.
    pub contents: Vec<String>,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDoc {
    /// Id.
    pub id: TaskId,
    /// Id of the workflow step.
    pub step: String,
    /// Role.
    pub role: String,
    /// Agent by name.
    pub agent: String,
    /// Runtime.
    pub runtime: RuntimeKind,
    /// Where it stands.
    pub status: TaskStatus,
    /// Tasks that must be completed first.
    pub depends_on: Vec<TaskId>,
    /// Its starts so far, oldest first.
    pub attempts: Vec<AttemptDoc>,
    /// Its result; `null` while there is none.
    pub result: Option<ResultDoc>,
    /// What was checked, oldest first.
    pub evidence: Vec<EvidenceDoc>,
    /// Its own worktree; `null` when it works in the shared tree.
    pub worktree: Option<WorktreeDoc>,
    /// Why it failed, was skipped, or needs a person.
    pub error: Option<ErrorDoc>,

    /// What is proved of its result.
    #[serde(default = "nothing_proved")]
    pub proof: Proof,
    /// Starts of whatever cause that it may use by itself; 0 from a program that does not tell.
    #[serde(default)]
    pub attempts_allowed: u64,
    /// What it is doing or waits for right now, a few words: a gate's command, a turn in the tree, a back-off.
    #[serde(default)]
    pub note: Option<String>,
    /// What its worker is doing right now; `null` when none is live or nobody listens to it.
    #[serde(default)]
    pub live: Option<LiveDoc>,
    /// Task whose plan or list this one came from; `null` for a step of the workflow.
    #[serde(default)]
    pub parent: Option<TaskId>,
    /// Its item there: its name in the plan, or what of the list it is about.
    #[serde(default)]
    pub item: Option<String>,
    /// Name of its phase in the plan.
    #[serde(default)]
    pub phase: Option<String>,
    /// Whether the run does not miss it: another plan took the place of its own, or enough of its list completed.
    #[serde(default)]
    pub excused: bool,
    /// What it becomes while the run goes on; `null` when it is one task.
    #[serde(default)]
    pub growth: Option<GrowthDoc>,
    /// How far what it became is; `null` before.
    #[serde(default)]
    pub parts: Option<PartsDoc>,
}

/// The `serde` default of [`TaskDoc::proof`].
fn nothing_proved() -> Proof {
    Proof::None
}

impl TaskDoc {
    /// A queued task without any attempt. The agent has the role's name until told otherwise.
    pub fn new(id: TaskId, step: impl Into<String>, role: impl Into<String>, runtime: RuntimeKind) -> Self {
        let role = role.into();
        Self {
            id,
            step: step.into(),
            agent: role.clone(),
            role,
            runtime,
            status: TaskStatus::Queued,
            depends_on: Vec::new(),
            attempts: Vec::new(),
            result: None,
            evidence: Vec::new(),
            worktree: None,
            error: None,
            proof: Proof::None,
            attempts_allowed: 0,
            note: None,
            live: None,
            parent: None,
            item: None,
            phase: None,
            excused: false,
            growth: None,
            parts: None,
        }
    }

    /// What all of its attempts used together.
    pub fn usage(&self) -> UsageDoc {
        self.attempts.iter().fold(UsageDoc::ZERO, |sum, a| sum.plus(&a.usage))
    }
}

/// One start of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptDoc {
    /// Number, from 1.
    pub n: AttemptNo,
    /// Where it stands.
    pub status: AttemptStatus,
    /// Runtime.
    pub runtime: RuntimeKind,
    /// Model asked for, or that answered; `null` where neither is known.
    pub model: Option<String>,
    /// When its start was decided.
    pub started_at: Millis,
    /// When it ended; `null` while it is live.
    pub ended_at: Option<Millis>,
    /// Exit code of the program; `null` while it is live, after a signal, and where it never ran.
    pub exit: Option<i32>,
    /// Why it did not do what it should; `null` if it did, or is live.
    pub error_class: Option<String>,
    /// The agent's own session.
    pub session: Option<String>,
    /// What it used.
    pub usage: UsageDoc,
}

/// Where the result of a task is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultDoc {
    /// Path of a plain copy.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Whether redaction replaced something in it.
    #[serde(default)]
    pub redacted: bool,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceDoc {
    /// `gate`, `check`, `verdict` or `output`.
    pub kind: String,
    /// Command line, if it was one.
    pub command: Option<String>,
    /// Exit code; `null` if it has none or did not end by itself.
    pub exit: Option<i32>,
    /// What it said before the work; `null` if it was not asked.
    pub before: Option<Light>,
    /// What it says of the work; `null` while that is not known.
    pub after: Option<Light>,
    /// How long it took.
    pub ms: Option<u64>,
    /// Path of the whole output.
    pub path: Option<String>,
    /// Which try this was, from 1; 0 from a program that does not tell.
    #[serde(default)]
    pub n: u32,
    /// The end of its output.
    #[serde(default)]
    pub tail: Option<String>,
}

/// A task's own worktree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorktreeDoc {
    /// Path.
    pub path: String,
    /// Branch checked out in it.
    pub branch: Option<String>,
    /// Commit that it began at.
    pub base: Option<String>,
}

/// What a live worker is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveDoc {
    /// Tool in use, with what it is used on where that is short: `edit src/lexer.rs`.
    pub tool: Option<String>,
    /// Since when the tool is in use.
    pub tool_since: Option<Millis>,
    /// The last line that the worker said.
    pub last_line: Option<String>,
    /// What it is at.
    #[serde(default)]
    pub state: LiveState,
}

/// What a live worker is at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveState {
    /// Started; nothing was heard of it yet.
    Starting,
    /// The model is thinking, or the request is under way.
    Thinking,
    /// The model is answering.
    Writing,
    /// A tool is in use.
    Tool,
    /// It is being stopped.
    Stopping,
    /// Not known, or a word of a newer program.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What `list --json` prints.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ListDoc {
    /// Runs, newest first.
    pub runs: Vec<ListedRun>,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListedRun {
    /// Id.
    pub id: RunId,
    /// What the user wants.
    pub goal: String,
    /// Team by name; `null` for a single agent.
    pub team: Option<String>,
    /// Where it stands.
    pub status: RunStatus,
    /// What is known about the truth of its result.
    pub proof: Proof,
    /// When it was created.
    pub created_at: Millis,
    /// Directory that it was asked for in.
    pub cwd: String,
    /// Workflow by name; absent (empty) where the list does not know it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub workflow: String,
    /// When its journal last grew; `null` from a program that does not tell.
    #[serde(default)]
    pub updated_at: Option<Millis>,
    /// When it reached the terminal state that it is in.
    #[serde(default)]
    pub ended_at: Option<Millis>,
}

impl ListedRun {
    /// The name of the shape: the team, or the workflow of a single agent.
    pub fn shape(&self) -> &str {
        self.team.as_deref().unwrap_or(&self.workflow)
    }
}

impl From<&RunDoc> for ListedRun {
    fn from(run: &RunDoc) -> Self {
        Self {
            id: run.id,
            goal: run.goal.clone(),
            team: run.team.clone(),
            status: run.status,
            proof: run.proof,
            created_at: run.created_at,
            cwd: run.cwd.clone(),
            workflow: run.workflow.clone(),
            updated_at: Some(run.updated_at),
            ended_at: run.ended_at,
        }
    }
}

/// What `daemon status --json` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonDoc {
    /// Whether a daemon of this user answers.
    pub running: bool,
    /// Its process id.
    pub pid: Option<u32>,
    /// Its version.
    pub version: Option<String>,
    /// Path of its socket, also while none answers there.
    pub socket: Option<String>,
    /// Number of runs that it drives; 0 when it does not run.
    pub runs: u64,
}

#[cfg(test)]
mod tests;
