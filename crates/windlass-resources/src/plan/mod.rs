//! Turns a team, a workflow and a goal into the tasks of a run. Pure: nothing is started, read or written.
//!
//! - [`expand`]: sub-workflows, the best of several, lists; [`graph`]: names, order, cycles
//! - `cast`: whether a team and a workflow fit together, and who plays what
//! - [`roles`]: what a role means by its name; `gates`: who carries which gate

mod cast;
mod checks;
pub mod expand;
mod gates;
pub mod graph;
pub mod roles;

pub use cast::{Checked, check};
pub use gates::{GATE_LIMIT_MS, MAX_GATES};

use crate::agent::Agent;
use crate::catalog::Catalog;
use crate::diag::{Diagnostic, quote};
use crate::grow::Growth;
use crate::skill::{Skill, is_skill_name};
use crate::team::{Role, SkillChoice, Team};
use crate::workflow::{Step, Workflow};
use graph::Graph;
use std::collections::{BTreeMap, HashMap, HashSet};
use windlass_events::ids::TaskId;
use windlass_events::spec::{Access, AgentSpec, GateSpec, Limits, RuntimeKind, TaskSpec};
use windlass_events::{EachSpec, Flow, Grow, Join, PlanSpec};

/// The longest goal in bytes.
pub const MAX_GOAL: usize = 256 << 10;

/// The most text that all tasks of a run are told, in bytes.
const MAX_INSTRUCTIONS: usize = 64 << 20;

/// The most skills of one task.
const MAX_SKILLS: usize = 32;

/// The most workers of a run that a file can ask for; the user's own config or flag may go beyond.
pub const MAX_FILE_CONCURRENCY: u32 = 8;

/// Longest silence of a model worker: five minutes.
pub const MODEL_SILENCE_MS: u64 = 300_000;

/// Longest attempt of a model worker: an hour.
pub const MODEL_WALL_MS: u64 = 3_600_000;

/// Longest attempt of a command: half an hour.
pub const COMMAND_WALL_MS: u64 = 1_800_000;

/// What the user and the project say besides team, workflow and goal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// `--runtime`: wins over what agents say, except that a `command` stays one (unless it is `scaffold`).
    pub runtime: Option<RuntimeKind>,
    /// `run.runtime`: for agents that say nothing.
    pub default_runtime: Option<RuntimeKind>,
    /// `--model`: wins over step, role and agent.
    pub model: Option<String>,
    /// `run.model`: for agents, roles and steps that say nothing.
    pub default_model: Option<String>,
    /// `--gate` commands.
    pub gates: Vec<String>,
    /// The project's gates, from config or as detected; only what is trusted.
    pub project_gates: Vec<GateSpec>,
    /// How often a red gate goes back to its worker.
    pub repair_rounds: u32,
    /// Workers at once, as the user said; files can only ask for up to [`MAX_FILE_CONCURRENCY`].
    pub concurrency: Option<u32>,
    /// At most so many workers at once, as the project said.
    pub max_concurrency: Option<u32>,
    /// No skills at all.
    pub no_skills: bool,
}

impl Options {
    /// Workers at once, when files ask for so many.
    fn workers(&self, asked: u32) -> u32 {
        let wanted = self.concurrency.unwrap_or_else(|| asked.min(MAX_FILE_CONCURRENCY));
        wanted.min(self.max_concurrency.unwrap_or(u32::MAX)).max(1)
    }
}

/// A run that can be created.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Tasks in the order of the file.
    pub tasks: Vec<TaskSpec>,
    /// Agents by name.
    pub agents: BTreeMap<String, AgentSpec>,
    /// Concurrency.
    pub limits: Limits,
    /// Gates; tasks name them by position. One that no task carries is run only before the first writing step.
    pub gates: Vec<GateSpec>,
    /// The texts of the skills that tasks name.
    pub skills: BTreeMap<String, Skill>,
    /// The most starts of workers, of whatever cause.
    pub worst_case_starts: u64,
    /// Whether some agent is told the goal, so that a run without one makes no sense.
    pub needs_goal: bool,
    /// What has no effect or is odd, to be said before the start.
    pub notices: Vec<Diagnostic>,
}

/// A team and a workflow for one agent alone: what `--agent` and `--role` run.
///
/// A writing agent's step is `verify: true`, so that the project's gates judge what it did.
pub fn single(agent: &Agent, role: Option<&str>) -> (Team, Workflow) {
    let role = role.unwrap_or(&agent.name).to_owned();
    let writes = roles::access(&role, agent, &Step::default()) == Access::Write;
    let team = Team {
        name: "agent".to_owned(),
        description: String::new(),
        roles: vec![Role {
            name: role.clone(),
            agent: agent.name.clone(),
            model: None,
            skills: SkillChoice::Own,
            max_concurrency: None,
            description: String::new(),
            pos: crate::diag::Pos::default(),
        }],
        default_workflow: Some("agent".to_owned()),
        worktree: false,
        max_concurrency: Some(1),
        routing: crate::source::Routing::default(),
        origin: None,
        source: agent.source.clone(),
    };
    let step = Step { id: role.clone(), role, task: "{goal}".to_owned(), verify: writes, ..Step::default() };
    let workflow = Workflow {
        name: "agent".to_owned(),
        description: String::new(),
        max_concurrency: None,
        steps: vec![step],
        from_gates: false,
        about_changes: false,
        source: agent.source.clone(),
    };
    (team, workflow)
}

/// What every agent of a workflow is given besides what its step reads.
fn about(workflow: &Workflow, step: &Step, is_model: bool) -> Option<String> {
    ((workflow.about_changes || step.about_changes) && is_model)
        .then(|| windlass_events::spec::READS_CHANGES.to_owned())
}

/// Plans a run.
///
/// # Errors
/// Everything that forbids it; nothing happened.
pub fn build(
    team: &Team,
    workflow: &Workflow,
    catalog: &Catalog,
    goal: &str,
    options: &Options,
) -> Result<Planned, Vec<Diagnostic>> {
    if goal.len() > MAX_GOAL {
        return Err(vec![
            Diagnostic::error(
                "goal-too-long",
                format!("the goal has {} kB; the limit is {} kB", goal.len() / 1024, MAX_GOAL / 1024),
            )
            .help("put long material into a file of the repository and name it in the goal"),
        ]);
    }
    if let Some(bad) = options.gates.iter().find(|g| g.trim().is_empty() || g.contains('\0')) {
        return Err(vec![
            Diagnostic::error("bad-gate", format!("{} is no command", quote(bad))).in_file("--gate"),
        ]);
    }
    let Checked { workflow, graph, agents, roles } = check(team, workflow, catalog)?;
    let workflow: &Workflow = &workflow;
    if workflow.from_gates {
        return checks::build(team, workflow, options);
    }
    let size: usize =
        workflow.steps.iter().map(|s| s.task.len() + s.task.matches("{goal}").count() * goal.len()).sum();
    if size > MAX_INSTRUCTIONS {
        return Err(vec![
            Diagnostic::error(
                "too-much-text",
                "the goal, put into every step, makes more than 64 MB of instructions",
            )
            .in_file(&workflow.source.path),
        ]);
    }
    let mut planner = Planner {
        team,
        catalog,
        options,
        graph,
        cast: agents,
        roles,
        notices: Vec::new(),
        skills: BTreeMap::new(),
        agents: BTreeMap::new(),
        missing: HashSet::new(),
    };
    planner.build(workflow, goal)
}

struct Planner<'a> {
    team: &'a Team,
    catalog: &'a Catalog,
    options: &'a Options,
    graph: Graph,
    /// The agent of each role of the team that is used.
    cast: Vec<Option<&'a Agent>>,
    /// The role of each step, by position in the team.
    roles: Vec<usize>,
    notices: Vec<Diagnostic>,
    skills: BTreeMap<String, Skill>,
    agents: BTreeMap<String, AgentSpec>,
    missing: HashSet<String>,
}

impl<'a> Planner<'a> {
    fn build(&mut self, workflow: &Workflow, goal: &str) -> Result<Planned, Vec<Diagnostic>> {
        let steps = &workflow.steps;
        let in_file = |d: Diagnostic| vec![d.in_file(&workflow.source.path)];
        let cast: Vec<(&Role, &Agent)> = self.roles.iter().filter_map(|at| self.player(*at)).collect();
        let access: Vec<Access> = steps
            .iter()
            .zip(&cast)
            .map(|(step, (role, agent))| roles::access(&role.name, agent, step))
            .collect();
        // A plan writes where one of its tasks may.
        let writes: Vec<bool> = steps
            .iter()
            .zip(&access)
            .map(|(step, access)| match step.grows {
                Growth::Plan { .. } => {
                    self.players().any(|(r, a)| roles::access(&r.name, a, step) == Access::Write)
                }
                _ => *access == Access::Write,
            })
            .collect();
        let assigned =
            gates::assign(workflow, &self.graph, &writes, &self.options.gates, &self.options.project_gates)
                .map_err(in_file)?;
        let ids: Vec<TaskId> =
            steps.iter().enumerate().map(|(n, s)| TaskId::for_step(n + 1, &s.id)).collect();
        let by_step: HashMap<&str, &TaskId> = steps.iter().map(|s| s.id.as_str()).zip(&ids).collect();
        let reads = self.resolve_reads(workflow, &ids);

        let mut tasks = Vec::with_capacity(steps.len());
        let mut needs_goal = false;
        for (n, (step, (role, agent))) in steps.iter().zip(&cast).enumerate() {
            if step.writes == Some(true) && access[n] == Access::Read {
                self.notices.push(
                    Diagnostic::warning(
                        "no-effect",
                        format!(
                            "step {}: `writes: true` does not let agent {} write",
                            quote(&step.id),
                            quote(&agent.name)
                        ),
                    )
                    .in_file(&workflow.source.path)
                    .at(step.pos),
                );
            }
            let gates = assigned.carried[n].positions();
            if step.rounds.is_some() && gates.is_empty() {
                return Err(in_file(
                    Diagnostic::error(
                        "loop-without-gate",
                        format!(
                            "step {}: `loop` ends when gates are green, and no gate is the step's",
                            quote(&step.id)
                        ),
                    )
                    .at(step.pos)
                    .help(
                        "give it a line such as `gate: make test`, or `verify: true` for the project's gates",
                    ),
                ));
            }
            let plans = matches!(step.grows, Growth::Plan { .. });
            let mut task =
                self.task(&ids[n], step, role, agent, if plans { Vec::new() } else { gates.clone() })?;
            let model = task.runtime.is_model();
            needs_goal |= model && step.task.contains("{goal}");
            task.instructions = step.task.replace("{goal}", goal);
            task.depends_on = self.graph.depends_on[n].iter().map(|d| ids[*d].clone()).collect();
            task.cold = step.verify && model && !writes[n] && assigned.after_writer[n];
            // Who changes the tree is no judge of it.
            task.check = step.verify && task.runtime == RuntimeKind::Command && !writes[n];
            task.reads = reads[n].iter().cloned().chain(about(workflow, step, model)).collect();
            tasks.push(self.grown(task, workflow, step, &gates, &by_step)?);
        }
        self.narrow_tools(&tasks);
        Ok(Planned {
            worst_case_starts: tasks.iter().map(TaskSpec::worst_case_starts).fold(0, u64::saturating_add),
            limits: self.limits(workflow),
            tasks,
            agents: std::mem::take(&mut self.agents),
            gates: assigned.gates,
            skills: std::mem::take(&mut self.skills),
            needs_goal,
            notices: std::mem::take(&mut self.notices),
        })
    }

    fn player(&self, at: usize) -> Option<(&'a Role, &'a Agent)> {
        let team: &'a Team = self.team;
        Some((team.roles.get(at)?, (*self.cast.get(at)?)?))
    }

    fn players(&self) -> impl Iterator<Item = (&'a Role, &'a Agent)> {
        (0..self.team.roles.len()).filter_map(|at| self.player(at))
    }

    /// What a step is for a role, apart from its words and from what stands around it.
    fn task(
        &mut self,
        id: &TaskId,
        step: &Step,
        role: &Role,
        agent: &Agent,
        gates: Vec<u32>,
    ) -> Result<TaskSpec, Vec<Diagnostic>> {
        let runtime = self.runtime(agent).map_err(|d| vec![d])?;
        self.add_agent(agent, runtime);
        let model = runtime.is_model();
        let usual = match (model, gates.is_empty(), &step.grows) {
            // What must not be repeated is not repeated after an ordinary failure either.
            _ if step.repeat_never => 1,
            (_, _, Growth::Plan { replans, .. }) => 2 + replans,
            (true, false, _) => 2 + self.options.repair_rounds,
            _ => 2,
        };
        // A loop has all its rounds, and one start for what is no round of its own.
        let rounds = step.rounds.map_or(0, |n| n + u32::from(!step.repeat_never));
        let chosen = [&self.options.model, &step.model, &role.model].into_iter().flatten().next().cloned();
        let chosen =
            chosen.or_else(|| if agent.model.is_none() { self.options.default_model.clone() } else { None });
        Ok(TaskSpec {
            id: id.clone(),
            step: step.id.clone(),
            role: role.name.clone(),
            agent: agent.name.clone(),
            instructions: String::new(),
            depends_on: Vec::new(),
            runtime,
            model: if model { chosen } else { None },
            access: roles::access(&role.name, agent, step),
            cold: false,
            check: false,
            shared_writes: step.shared_writes,
            repeat_never: step.repeat_never,
            gates,
            reads: Vec::new(),
            output: step.output.clone(),
            skills: self.skills_of(role, agent, step),
            attempts: step.attempts.unwrap_or(usual).max(rounds),
            silence_ms: step.silence_ms.unwrap_or(if model { MODEL_SILENCE_MS } else { 0 }),
            wall_ms: step.timeout_ms.unwrap_or(if model { MODEL_WALL_MS } else { COMMAND_WALL_MS }),
            flow: Flow {
                approve: step.approve,
                rounds: step.rounds.map(|n| n.saturating_sub(1)),
                ..Flow::default()
            },
        })
    }

    /// The task of a step that may become several; `gates` are those that fell to it.
    fn grown(
        &mut self,
        mut task: TaskSpec,
        workflow: &Workflow,
        step: &Step,
        gates: &[u32],
        ids: &HashMap<&str, &TaskId>,
    ) -> Result<TaskSpec, Vec<Diagnostic>> {
        let (over, max, join, to_the_end) = match &step.grows {
            Growth::One | Growth::BestOf { .. } | Growth::Workflow(_) => return Ok(task),
            Growth::Plan { max, replans } => {
                let roles = self.templates(workflow, step, &task.id, gates)?;
                task.flow.grow = Some(Grow::Plan(Box::new(PlanSpec { max: *max, replans: *replans, roles })));
                return Ok(task);
            }
            Growth::Each { over, max, join } => (ids.get(over.as_str()), *max, *join, false),
            // The judge sees all that passed.
            Growth::Alike { n } => (None, *n, Join::AtLeast(1), true),
        };
        let each = TaskSpec {
            depends_on: Vec::new(),
            flow: Flow { approve: false, ..task.flow.clone() },
            ..task.clone()
        };
        // The step itself has no worker: it is the tasks that it becomes.
        task.gates.clear();
        task.instructions.clear();
        task.check = false;
        task.attempts = 1;
        task.flow.rounds = None;
        task.flow.grow = Some(Grow::Each(Box::new(EachSpec {
            over: over.map(|id| (*id).clone()),
            max,
            join,
            to_the_end,
            task: each,
        })));
        Ok(task)
    }

    /// What a task of each role of the team is in a plan. Those that write carry the gates: the tree is right after each.
    fn templates(
        &mut self,
        workflow: &Workflow,
        planner: &Step,
        id: &TaskId,
        gates: &[u32],
    ) -> Result<BTreeMap<String, TaskSpec>, Vec<Diagnostic>> {
        let players: Vec<_> = self.players().collect();
        let mut roles = BTreeMap::new();
        for (role, agent) in players {
            let step = Step {
                id: role.name.clone(),
                writes: planner.writes,
                shared_writes: planner.shared_writes,
                about_changes: planner.about_changes,
                ..Step::default()
            };
            let carries = roles::access(&role.name, agent, &step) == Access::Write;
            let mut task =
                self.task(id, &step, role, agent, if carries { gates.to_vec() } else { Vec::new() })?;
            task.reads.extend(about(workflow, &step, task.runtime.is_model()));
            roles.insert(role.name.clone(), task);
        }
        Ok(roles)
    }

    fn runtime(&self, agent: &Agent) -> Result<RuntimeKind, Diagnostic> {
        let own = agent.runtime.or(self.options.default_runtime).unwrap_or(RuntimeKind::Pi);
        let runtime = match self.options.runtime {
            Some(RuntimeKind::Scaffold) => RuntimeKind::Scaffold,
            Some(wanted) if agent.runtime != Some(RuntimeKind::Command) => wanted,
            _ => own,
        };
        if runtime == RuntimeKind::Command && agent.command.is_empty() {
            return Err(Diagnostic::error(
                "no-command",
                format!("agent {} names no command to run", quote(&agent.name)),
            )
            .in_file(agent.source.path.clone())
            .help("choose another runtime, or give the agent `runtime: command` and `command: […]`"));
        }
        Ok(runtime)
    }

    fn add_agent(&mut self, agent: &Agent, runtime: RuntimeKind) {
        if self.agents.contains_key(&agent.name) {
            return;
        }
        if runtime.is_model() {
            let mut idle = |what: &str| {
                self.notices.push(
                    Diagnostic::warning("no-effect", format!("agent {}: {what}", quote(&agent.name)))
                        .in_file(agent.source.path.clone()),
                );
            };
            if agent.extensions.as_ref().is_some_and(|e| !e.is_empty()) {
                idle("the `extensions` it lists are not loaded");
            }
            if agent.max_turns.is_some() {
                idle("`maxTurns` is not applied; its time and the run's caps are");
            }
        }
        self.agents.insert(
            agent.name.clone(),
            AgentSpec {
                name: agent.name.clone(),
                system_prompt: agent.system_prompt.clone(),
                append_prompt: agent.append_prompt,
                model: agent.model.clone(),
                fallback_models: agent.fallback_models.clone(),
                thinking: agent.thinking.clone(),
                tools: agent.tools.clone(),
                command: agent.command.clone(),
                inherit_project_context: agent.inherit_project_context,
                inherit_skills: agent.inherit_skills,
                source: agent.source.path.clone(),
            },
        );
    }

    /// Takes `edit` and `write` from agents that only read in this run, so that they do not try what they may not do.
    fn narrow_tools(&mut self, tasks: &[TaskSpec]) {
        let writers: HashSet<&str> = tasks
            .iter()
            .flat_map(TaskSpec::starters)
            .filter(|t| t.access == Access::Write)
            .map(|t| t.agent.as_str())
            .collect();
        for (name, spec) in &mut self.agents {
            if let Some(tools) = &mut spec.tools
                && !writers.contains(name.as_str())
            {
                tools.retain(|t| !matches!(t.as_str(), "edit" | "write"));
            }
        }
    }

    fn skills_of(&mut self, role: &Role, agent: &Agent, step: &Step) -> Vec<String> {
        if self.options.no_skills {
            return Vec::new();
        }
        let mut names: Vec<&str> = Vec::new();
        if role.skills != SkillChoice::Off && step.skills != SkillChoice::Off {
            names.extend(roles::default_skills(&role.name));
        }
        names.extend(agent.skills.iter().map(String::as_str));
        for choice in [&role.skills, &step.skills] {
            if let SkillChoice::Add(list) = choice {
                names.extend(list.iter().map(String::as_str));
            }
        }
        let mut chosen: Vec<String> = Vec::new();
        for name in names {
            if chosen.len() == MAX_SKILLS || chosen.iter().any(|c| c == name) {
                continue;
            }
            if self.skills.contains_key(name) {
                chosen.push(name.to_owned());
            } else if is_skill_name(name)
                && let Ok(skill) = self.catalog.skills.get(name)
            {
                self.skills.insert(name.to_owned(), skill.clone());
                chosen.push(name.to_owned());
            } else if self.missing.insert(name.to_owned()) {
                let found = self.catalog.skills.usable().map(|s| s.name.as_str());
                let d = Diagnostic::warning(
                    "unknown-skill",
                    format!("role {}: there is no skill {}", quote(&role.name), quote(name)),
                );
                self.notices.push(d.in_file(self.team.source.path.clone()).did_you_mean(name, found));
            }
        }
        chosen
    }

    /// Turns what `reads` names (an output, or a step) into the names outputs are shared under.
    fn resolve_reads(&mut self, workflow: &Workflow, ids: &[TaskId]) -> Vec<Vec<String>> {
        let mut names: HashMap<&str, String> = HashMap::new();
        for (step, id) in workflow.steps.iter().zip(ids) {
            let shared = step.output.clone().unwrap_or_else(|| id.as_str().to_owned());
            names.entry(&step.id).or_insert_with(|| shared.clone());
            names.entry(id.as_str()).or_insert(shared);
        }
        for output in workflow.steps.iter().filter_map(|s| s.output.as_deref()) {
            names.insert(output, output.to_owned());
        }
        let mut lists = Vec::with_capacity(workflow.steps.len());
        for step in &workflow.steps {
            let mut list = Vec::new();
            for read in &step.reads {
                let name = read.as_str();
                // Earlier tools shared a result as `<task id>.md` when nothing else was said.
                match names.get(name).or_else(|| names.get(name.strip_suffix(".md")?)) {
                    Some(shared) => list.push(shared.clone()),
                    None => {
                        if self.notices.len() < 50 {
                            let known = workflow.steps.iter().take(2_000).filter_map(|s| s.output.as_deref());
                            self.notices.push(
                                Diagnostic::warning(
                                    "unknown-read",
                                    format!(
                                        "step {} reads {}, which no step makes",
                                        quote(&step.id),
                                        quote(name)
                                    ),
                                )
                                .in_file(&workflow.source.path)
                                .at(read.pos)
                                .did_you_mean(name, known),
                            );
                        }
                    }
                }
            }
            lists.push(list);
        }
        lists
    }

    fn limits(&mut self, workflow: &Workflow) -> Limits {
        let asked =
            self.team.max_concurrency.or(workflow.max_concurrency).unwrap_or(match workflow.name.as_str() {
                "parallel-research" | "implementation" => 4,
                "research" | "review" | "default" => 3,
                _ => 2,
            });
        if self.options.concurrency.is_none() && asked > MAX_FILE_CONCURRENCY {
            self.notices.push(
                Diagnostic::warning("concurrency", format!("{asked} workers at once are asked for; {MAX_FILE_CONCURRENCY} is the most a file can ask for"))
                    .in_file(&self.team.source.path)
                    .help("`windlass config set run.concurrency N` allows more"),
            );
        }
        let run = self.options.workers(asked);
        let roles =
            self.team.roles.iter().filter_map(|r| Some((r.name.clone(), r.max_concurrency?))).collect();
        Limits { run, roles }
    }
}
