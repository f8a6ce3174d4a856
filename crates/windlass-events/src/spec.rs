//! What a run and its tasks are, frozen when the run is created: later edits of files or config do not reach it.

use crate::flow::Flow;
use crate::ids::TaskId;
use crate::status::words;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

words! {
    /// A kind of worker.
    RuntimeKind {
        /// The `pi` coding agent.
        Pi = "pi",
        /// Claude Code.
        Claude = "claude",
        /// Codex.
        Codex = "codex",
        /// opencode.
        Opencode = "opencode",
        /// Gemini CLI.
        Gemini = "gemini",
        /// Anything that speaks the Agent Client Protocol.
        Acp = "acp",
        /// An argument vector given in the agent file.
        Command = "command",
        /// Plays a script in a model's place.
        Rehearsal = "rehearsal",
        /// Renders prompts and starts nothing.
        Scaffold = "scaffold",
    }
}

impl RuntimeKind {
    /// Whether a model does the work, so that it costs money and its claims need proof.
    pub const fn is_model(self) -> bool {
        !matches!(self, Self::Command | Self::Scaffold)
    }
}

words! {
    /// What a role may do to the tree.
    Access {
        /// May only read; a change it made all the same is found out.
        Read = "read",
        /// May write in its tree.
        Write = "write",
    }
}

/// The `skip_serializing_if` of fields that are usually at their default.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Why this team and workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shape {
    /// Team by name; `None` for a single agent.
    pub team: Option<String>,
    /// Workflow by name.
    pub workflow: String,
    /// One line: who or what chose it.
    pub reason: String,
    /// The option that chooses another; empty where the user named this one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub other: String,
}

/// The working tree that a run's tasks share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TreeSpec {
    /// Canonical path of the top of the working tree (of the folder itself outside git).
    pub root: String,
    /// Whether it is a git working tree. Outside git nothing can be compared or undone.
    pub git: bool,
    /// Branch checked out at the start; `None` when detached, unborn or outside git.
    pub branch: Option<String>,
    /// Commit checked out at the start; `None` when unborn or outside git.
    pub head: Option<String>,
}

/// Caps of a run. `None` is "none", said by the user; an absent cap is never the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Caps {
    /// Money, in millionths of a US dollar.
    pub microusd: Option<u64>,
    /// Tokens, cache reads included.
    pub tokens: Option<u64>,
    /// Tokens of replies without a known price: what holds where money cannot.
    pub unpriced_tokens: Option<u64>,
    /// Wall clock since the run began or was last resumed, in milliseconds.
    pub wall_ms: Option<u64>,
}

/// How many workers may live at once. The machine's limit is the engine's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Of the whole run; at least 1.
    pub run: u32,
    /// Of a role by name; a role that is not named has only the run's limit.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, u32>,
}

words! {
    /// Where a gate comes from.
    GateSource {
        /// `--gate`, typed by the user.
        User = "user",
        /// A `gate:` line of a workflow step.
        Step = "step",
        /// The project's config.
        Config = "config",
        /// Found by looking at the project's files.
        Detected = "detected",
    }
}

/// A check that Windlass runs itself: one command for `sh -c` in the task's tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateSpec {
    /// The command line.
    pub command: String,
    /// Who asked for it.
    pub source: GateSource,
    /// Wall-clock limit in milliseconds.
    pub limit_ms: u64,
}

/// An agent as it was when the run was created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentSpec {
    /// Name.
    pub name: String,
    /// The role prompt.
    pub system_prompt: String,
    /// Whether the role prompt is added to the runtime's own (`true`) or replaces it.
    pub append_prompt: bool,
    /// Preferred model, `provider/id[:thinking]`; `None` takes the user's own setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Models to try in order after a retryable failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback_models: Vec<String>,
    /// Thinking level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// Tool allow-list; `None` is no restriction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// Argument vector of a `command` agent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Whether the runtime's own project context (such as `AGENTS.md`) is kept.
    pub inherit_project_context: bool,
    /// Whether the runtime's own skills are kept.
    pub inherit_skills: bool,
    /// Path or `builtin:` name that the agent was read from.
    pub source: String,
}

/// An agent program as the probe before the run found it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgramSpec {
    /// Absolute path.
    pub path: String,
    /// What it says of its version.
    pub version: String,
    /// The model that it will use when none is named, where the probe could tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Arguments that go before all others, such as the provider packages of the user's settings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

words! {
    /// What happens when a project gate is red before anything was done.
    RedGate {
        /// Wait for a person's answer.
        Ask = "ask",
        /// Mend it too: it must be green in the end.
        Mend = "mend",
        /// Leave it out: it no longer counts in this run.
        LeaveOut = "leave_out",
        /// End the run.
        Stop = "stop",
    }
}

/// One execution of a workflow by a team for a goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// What the user wants, in their words.
    pub goal: String,
    /// Team, workflow and why.
    pub shape: Shape,
    /// Directory the run was asked for in: where workers start.
    pub cwd: String,
    /// The tree its tasks share.
    pub tree: TreeSpec,
    /// Caps.
    pub caps: Caps,
    /// Concurrency.
    pub limits: Limits,
    /// All gates of the run; tasks name them by position.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateSpec>,
    /// What a red project gate means at the start.
    pub red_gate: RedGate,
    /// How often a red gate goes back to the worker that caused it.
    pub repair_rounds: u32,
    /// Whether completing without proof counts as failing, for the exit code.
    #[serde(default, skip_serializing_if = "is_default")]
    pub require_proof: bool,
    /// The requesting shell's plain variables, after the allow-list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Names of the variables whose values are secret and therefore not here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_names: Vec<String>,
    /// Agents by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<String, AgentSpec>,
    /// Agent programs by runtime.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<RuntimeKind, ProgramSpec>,
    /// Texts of the skills that tasks name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub skills: BTreeMap<String, String>,
    /// Script of the `rehearsal` runtime, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// What was said before the start: shadowed names, no git, untrusted content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Whether nothing that may write starts before a person has approved the plan.
    #[serde(default, skip_serializing_if = "is_default")]
    pub approve_plan: bool,
    /// Number of tasks that `tasks.planned` events will bring.
    pub task_count: u32,
    /// Whether the engine that hosts it ends with the caller (`--no-daemon`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub tied: bool,
}

/// The name in [`TaskSpec::reads`] that stands for the changes there are: the uncommitted ones, else those of the branch
/// against its base. It cannot be the name of an output, which never begins with `@`.
pub const READS_CHANGES: &str = "@changes";

impl TaskSpec {
    /// Whether the run is proven only if this task is: it changes or checks something.
    pub fn counts_for_proof(&self) -> bool {
        self.access == Access::Write || self.check || !self.gates.is_empty()
    }

    /// Whether it has a worker of its own. One that is only a list of others has none.
    pub const fn has_worker(&self) -> bool {
        !matches!(self.flow.grow, Some(crate::flow::Grow::Each(_)))
    }

    /// What can start for it: itself, where it has a worker, and what can grow from it.
    pub fn starters(&self) -> Vec<&Self> {
        let grown = self.flow.grow.iter().flat_map(crate::flow::Grow::templates);
        self.has_worker().then_some(self).into_iter().chain(grown).collect()
    }

    /// The most starts that it and all that can grow from it use by themselves.
    pub fn worst_case_starts(&self) -> u64 {
        let own = if self.has_worker() { u64::from(self.attempts) } else { 0 };
        let grow = self.flow.grow.as_ref();
        let grown = grow.map_or(0, |g| g.starts().saturating_mul(u64::from(g.revisions())));
        own.saturating_add(grown)
    }
}

/// A step made concrete in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Id.
    pub id: TaskId,
    /// Id of the workflow step.
    pub step: String,
    /// Role.
    pub role: String,
    /// Agent by name.
    pub agent: String,
    /// What the worker is told to do, with the goal filled in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instructions: String,
    /// Tasks that must be completed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TaskId>,
    /// Runtime.
    pub runtime: RuntimeKind,
    /// Model that wins over the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it may do to the tree. Writers take turns in one tree.
    pub access: Access,
    /// Whether it is told only the goal, the diff and the gate record, never the author's account.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cold: bool,
    /// Whether the command is itself a check, so that ending clean proves something.
    #[serde(default, skip_serializing_if = "is_default")]
    pub check: bool,
    /// Whether several writers may be in the tree at once; its evidence is then unproven.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shared_writes: bool,
    /// Whether an attempt that was lost may not be repeated by itself.
    #[serde(default, skip_serializing_if = "is_default")]
    pub repeat_never: bool,
    /// Gates that must end green, by position in [`RunSpec::gates`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<u32>,
    /// Names of earlier outputs that go into the prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<String>,
    /// Name under which the result is shared with later steps; `None` shares it under the task's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Skills by name whose text goes into the prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<String>,
    /// Starts of whatever cause that the task may use; at least 1.
    pub attempts: u32,
    /// Longest time without output in milliseconds; 0 is no limit.
    pub silence_ms: u64,
    /// Longest time of one attempt in milliseconds; 0 is no limit.
    pub wall_ms: u64,
    /// What grows from it, and whether a person must approve it.
    #[serde(default, skip_serializing_if = "Flow::is_plain")]
    pub flow: Flow,
}
