//! From a request to a run that can be created: everything that can be refused is refused here, before anything exists.

use crate::probe::{self, Found, ProbeEnv};
use crate::query;
use crate::secrets::SecretMap;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use windlass_agents::ProbeRequest;
use windlass_api::request::{CapChoice, RunRequest};
use windlass_api::response::{PlanDoc, PlannedTask};
use windlass_api::{ApiError, ErrorKind};
use windlass_core::graph;
use windlass_events::spec::{Caps, GateSource, GateSpec, ProgramSpec, RedGate, RunSpec, Shape, TreeSpec};
use windlass_events::{Access, RuntimeKind, TaskId, TaskSpec};
use windlass_git::{Git, Repo};
use windlass_resources::catalog::{Catalog, ProjectUse};
use windlass_resources::config::{Config, ConfigFile, Sources};
use windlass_resources::diag::{Diagnostic, Severity};
use windlass_resources::gates::{Detected, detect};
use windlass_resources::places::Places;
use windlass_resources::plan::{self, Options, Planned};
use windlass_resources::text::Links;
use windlass_resources::trust::{Answer, Decision, Subject, TrustStore, decide};

/// A run that can be created.
#[derive(Debug)]
pub struct Prepared {
    /// Name of the project's state folder.
    pub slug: String,
    /// What makes the project the same one.
    pub identity: windlass_store::ProjectIdentity,
    /// The run.
    pub spec: RunSpec,
    /// Its tasks, each after what it depends on.
    pub tasks: Vec<TaskSpec>,
    /// Secret values of its environment.
    pub secrets: SecretMap,
    /// What is said of it.
    pub plan: PlanDoc,
}

/// What a user and a project have set up, as seen from a directory.
#[derive(Debug)]
pub struct Setup {
    /// Folders.
    pub places: Places,
    /// The project's root: the top of the working tree, or the folder with a marker. `None` outside both.
    pub root: Option<PathBuf>,
    /// Config in force.
    pub config: Config,
    /// Agents, teams, workflows, skills.
    pub catalog: Catalog,
    /// Gates found by looking.
    pub detected: Vec<Detected>,
    /// What of the repository needs trust.
    pub subject: Subject,
    /// What is trusted of it.
    pub decision: Decision,
    /// What is to be said.
    pub notices: Vec<String>,
    /// Findings in config and resources.
    pub diagnostics: Vec<Diagnostic>,
}

/// An error of a kind from findings: of one, its message and what to do; of several, a line each.
fn from_diagnostics(kind: ErrorKind, found: &[Diagnostic]) -> ApiError {
    let errors: Vec<&Diagnostic> = found.iter().filter(|d| d.severity == Severity::Error).collect();
    if let [one] = errors.as_slice() {
        return ApiError::new(kind, one.said()).hint(one.help.clone().unwrap_or_default());
    }
    let lines: Vec<String> = errors
        .iter()
        .take(20)
        .map(|d| match &d.help {
            Some(help) => format!("{}; {help}", d.said()),
            None => d.said(),
        })
        .collect();
    ApiError::new(kind, lines.join("\n"))
}

/// What is wrong with a broken file, instead of that something is.
fn with_cause(mut d: Diagnostic, catalog: &Catalog) -> Diagnostic {
    let cause = catalog.diagnostics.iter().find(|c| d.code == "broken" && c.is_error() && c.path == d.path);
    if let Some(cause) = cause {
        let it =
            if cause.message.starts_with("is ") || cause.message.starts_with("cannot ") { "it " } else { "" };
        d.message = d.message.replace("its file is broken", &format!("{it}{}", cause.message));
        d.pos = cause.pos;
        d.help = cause.help.clone().or(d.help);
    }
    d
}

impl Setup {
    /// Reads everything as seen from a directory. `env` is the requesting shell's.
    ///
    /// # Errors
    /// When config cannot be understood or a kept answer is damaged.
    pub fn load(cwd: &Path, root: Option<PathBuf>, env: &BTreeMap<String, String>) -> Result<Self, ApiError> {
        let dir = |name: &str| env.get(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let home = dir("HOME");
        let stops: Vec<PathBuf> = home.iter().cloned().chain([std::env::temp_dir()]).collect();
        let root = root.or_else(|| windlass_resources::places::find_project(cwd, &stops));
        let places = Places {
            home,
            windlass_home: dir("WINDLASS_HOME"),
            xdg_config_home: dir("XDG_CONFIG_HOME"),
            xdg_state_home: dir("XDG_STATE_HOME"),
            project: root.clone(),
        };
        let fail = |d: Box<Diagnostic>| from_diagnostics(ErrorKind::Usage, &[*d]);
        let read = |path: Option<PathBuf>, links| match path {
            Some(path) => ConfigFile::read(&path, links).map_err(fail),
            None => Ok(None),
        };
        let user = read(places.user_config(), Links::Follow)?;
        let project = read(places.project_config(), Links::Refuse)?;
        let detected = root.as_deref().map(detect).unwrap_or_default();
        // Once to see what there is, once more to use what is trusted of it.
        let seen = Catalog::load(&places, ProjectUse::Untrusted);
        let subject = Subject::of(&places, &seen, &detected);
        let stored = match (&root, places.state_dir()) {
            (Some(root), Some(state)) => TrustStore::new(&state)
                .get(root)
                .map_err(|e| ApiError::new(ErrorKind::Refused, e.to_string()))?,
            _ => None,
        };
        let decision = decide(&subject, stored.as_ref());
        let answer = decision.answer();
        let mut catalog =
            if answer == Answer::All { Catalog::load(&places, ProjectUse::Trusted) } else { seen };
        let (config, mut diagnostics) = Config::load(&Sources {
            user: user.as_ref(),
            project: project.as_ref(),
            trust: answer,
            env: env.clone(),
            flags: Vec::new(),
        });
        if windlass_resources::diag::has_errors(&diagnostics) {
            return Err(from_diagnostics(ErrorKind::Usage, &diagnostics));
        }
        diagnostics.extend(config.apply_to(&mut catalog));
        // What is only for `validate` is not said before every run.
        let mut notices: Vec<String> =
            diagnostics.iter().filter(|d| d.severity != Severity::Notice).map(Diagnostic::render).collect();
        notices.extend(catalog.shadowed.iter().map(windlass_resources::catalog::Shadowed::text));
        Ok(Self { places, root, config, catalog, detected, subject, decision, notices, diagnostics })
    }

    /// The gates of the project that may be used.
    pub fn project_gates(&self) -> Vec<GateSpec> {
        let from_user = matches!(
            self.config.get("run.gates").map(|s| &s.origin),
            Some(windlass_resources::config::Origin::User(_))
        ) && !self.config.gates().is_empty();
        if self.decision.answer() == Answer::None && !from_user {
            return Vec::new();
        }
        self.config.project_gates(&self.detected)
    }
}

/// Prepares a run. Reads files, asks git and agent programs; changes nothing.
///
/// # Errors
/// Everything that forbids the run, with what to do about it.
pub fn prepare(
    request: &RunRequest,
    git: Option<&Git>,
    exe: &Path,
    tied: bool,
) -> Result<Prepared, ApiError> {
    let usage = |m: String| ApiError::new(ErrorKind::Usage, m);
    let cwd = Path::new(&request.cwd);
    if !cwd.is_absolute() || !cwd.is_dir() {
        return Err(usage(format!("{} is no directory", cwd.display())));
    }
    let cwd = cwd.canonicalize().map_err(|e| usage(format!("{}: {e}", cwd.display())))?;
    let env = &request.env.plain;
    let home: Vec<PathBuf> =
        env.get("HOME").map(PathBuf::from).into_iter().chain([std::env::temp_dir()]).collect();
    let repo = match git {
        Some(git) => {
            Repo::discover(git, &cwd).map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))?
        }
        None => None,
    };
    let root = repo.as_ref().map(|r| r.top().to_owned());
    let setup = Setup::load(&cwd, root, env)?;
    let mut notices = setup.notices.clone();
    notices.extend(setup.decision.notice());
    let tree = tree(&cwd, repo.as_ref(), &mut notices, git.is_none())?;
    let goal = request.goal.trim();
    let (planned, shape) = planned(request, goal, &setup)?;
    notices.extend(planned.notices.iter().filter(|d| d.severity != Severity::Notice).map(Diagnostic::render));
    let mut tasks = in_order(planned.tasks)?;
    add_reads(request, &cwd, &mut tasks)?;
    if tasks.iter().all(|t| t.instructions.trim().is_empty() && t.runtime.is_model()) {
        return Err(no_goal());
    }
    let programs = programs(request, &tasks, &planned.agents, &setup, exe, &mut notices)?;
    let caps = caps(request, &setup.config);
    if let (Some(_), None) = (caps.microusd, caps.unpriced_tokens.or(caps.tokens)) {
        // Only a person can have said that tokens are free of a cap.
        notices.push("money is capped, tokens are not: a model without a known price has no cap".to_owned());
    }
    let goal_text = if goal.is_empty() { default_goal(&shape) } else { goal.to_owned() };
    let spec = RunSpec {
        goal: goal_text,
        shape,
        cwd: cwd.to_string_lossy().into_owned(),
        tree,
        caps,
        limits: planned.limits,
        gates: planned.gates,
        red_gate: request.red_gate.unwrap_or(RedGate::Mend),
        repair_rounds: setup.config.repair_rounds(),
        require_proof: request.require_proof || setup.config.require_proof(),
        env: env.clone(),
        secret_names: request.env.secret.keys().cloned().collect(),
        agents: planned.agents,
        programs,
        skills: planned.skills.iter().map(|(k, s)| (k.clone(), s.body.clone())).collect(),
        script: request.script.clone(),
        notices,
        task_count: u32::try_from(tasks.len()).map_err(|_| usage("far too many tasks".to_owned()))?,
        tied,
    };
    let (folder, _) = query::project_of_dir(git, &cwd, &home);
    let identity =
        windlass_git::Identity::of(&folder).map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))?;
    let plan = plan_doc(&spec, &tasks, planned.worst_case_starts);
    Ok(Prepared {
        slug: identity.slug(),
        identity: windlass_store::ProjectIdentity {
            path: identity.path.clone(),
            device: identity.dev,
            inode: identity.ino,
        },
        spec,
        tasks,
        secrets: request.env.secret.clone(),
        plan,
    })
}

fn no_goal() -> ApiError {
    ApiError::new(ErrorKind::Usage, "there is no goal")
        .hint("type it: windlass run \"…\", or `-` reads standard input")
}

fn default_goal(shape: &Shape) -> String {
    match shape.team.as_deref().unwrap_or(&shape.workflow) {
        "review" => "Review the changes.".to_owned(),
        other => format!("Run {other}."),
    }
}

fn tree(
    cwd: &Path,
    repo: Option<&Repo>,
    notices: &mut Vec<String>,
    no_git: bool,
) -> Result<TreeSpec, ApiError> {
    let Some(repo) = repo else {
        notices.push(if no_git {
            "git 2.41 or later was not found: what this run changes cannot be compared or undone".to_owned()
        } else {
            "this folder is not in a git repository: what this run changes cannot be compared or undone"
                .to_owned()
        });
        return Ok(TreeSpec {
            root: cwd.to_string_lossy().into_owned(),
            git: false,
            branch: None,
            head: None,
        });
    };
    let head = repo.head().map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))?;
    let root = repo.top().to_str().ok_or_else(|| {
        ApiError::new(
            ErrorKind::Missing,
            "the path of this repository is not UTF-8, which this version cannot record",
        )
        .hint("move it to a path that is")
    })?;
    Ok(TreeSpec {
        root: root.to_owned(),
        git: true,
        branch: head.branch,
        head: head.commit.map(|c| c.as_str().to_owned()),
    })
}

/// Which team and workflow, and their tasks.
fn planned(request: &RunRequest, goal: &str, setup: &Setup) -> Result<(Planned, Shape), ApiError> {
    let refused = |d: Box<Diagnostic>| {
        let kind = if d.code == "untrusted" { ErrorKind::Refused } else { ErrorKind::Usage };
        from_diagnostics(kind, &[with_cause(*d, &setup.catalog)])
    };
    let runtime = |text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => RuntimeKind::parse(text).map(Some).ok_or_else(|| {
            let all: Vec<&str> = RuntimeKind::ALL.iter().map(|k| k.as_str()).collect();
            ApiError::new(ErrorKind::Usage, format!("there is no runtime `{text}`"))
                .hint(format!("one of: {}", all.join(", ")))
        }),
    };
    let options = Options {
        runtime: runtime(&request.runtime)?,
        default_runtime: Some(setup.config.runtime()),
        model: request.model.clone(),
        default_model: setup.config.model().map(str::to_owned),
        gates: request.gates.clone(),
        project_gates: setup.project_gates(),
        repair_rounds: setup.config.repair_rounds(),
        concurrency: setup.config.concurrency(),
        ..Options::default()
    };
    let catalog = &setup.catalog;
    let build = |team: &windlass_resources::team::Team, workflow: &windlass_resources::workflow::Workflow| {
        plan::build(team, workflow, catalog, goal, &options)
            .map_err(|found| from_diagnostics(ErrorKind::Usage, &found))
    };
    if let Some(name) = &request.agent {
        if request.team.is_some() || request.workflow.is_some() {
            return Err(ApiError::new(
                ErrorKind::Usage,
                "`--agent` runs one agent alone; leave out `--team` and `--workflow`",
            ));
        }
        let agent = catalog.agents.get(name).map_err(refused)?;
        let (team, workflow) = plan::single(agent, request.role.as_deref());
        let shape = Shape {
            team: None,
            workflow: "agent".to_owned(),
            reason: format!("agent {name} alone, as asked"),
        };
        return Ok((build(&team, &workflow)?, shape));
    }
    let (team, workflow, reason) = match (&request.team, &request.workflow) {
        (Some(team), workflow) => {
            let team = catalog.teams.get(team).map_err(refused)?;
            let workflow = workflow.as_deref().unwrap_or_else(|| team.workflow());
            (team, catalog.workflows.get(workflow).map_err(refused)?, "as asked".to_owned())
        }
        (None, Some(name)) => {
            let workflow = catalog.workflows.get(name).map_err(refused)?;
            let team = catalog
                .teams
                .usable()
                .find(|t| t.workflow() == name)
                .or_else(|| catalog.teams.usable().find(|t| plan::check(t, workflow, catalog).is_ok()));
            let team = match team {
                Some(team) => team,
                None => catalog.teams.get("implementation").map_err(refused)?,
            };
            (team, workflow, format!("workflow {name}, as asked"))
        }
        (None, None) => {
            let choice = windlass_resources::shape::choose(goal, setup.config.team());
            let team = catalog.teams.get(&choice.team).map_err(refused)?;
            let reason = choice.reason.clone();
            (team, catalog.workflows.get(team.workflow()).map_err(refused)?, reason)
        }
    };
    let shape = Shape { team: Some(team.name.clone()), workflow: workflow.name.clone(), reason };
    let mut planned = build(team, workflow)?;
    // An agent that is told to do nothing would still cost something.
    let asks = |(task, step): (&TaskSpec, &windlass_resources::workflow::Step)| {
        task.runtime.is_model() && step.task.contains("{goal}")
    };
    if goal.is_empty() && !workflow.about_changes && planned.tasks.iter().zip(&workflow.steps).any(asks) {
        return Err(no_goal());
    }
    if let Some(max) = setup.config.max_concurrency() {
        planned.limits.run = planned.limits.run.min(max).max(1);
    }
    Ok((planned, shape))
}

/// Puts every task after what it depends on, and otherwise keeps the order of the file.
fn in_order(tasks: Vec<TaskSpec>) -> Result<Vec<TaskSpec>, ApiError> {
    let named: Vec<(String, Vec<String>)> = tasks
        .iter()
        .map(|t| (t.id.to_string(), t.depends_on.iter().map(TaskId::to_string).collect()))
        .collect();
    let order = graph::order(&named).map_err(|e| ApiError::new(ErrorKind::Usage, e.to_string()))?;
    let mut slots: Vec<Option<TaskSpec>> = tasks.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|i| slots.get_mut(i).and_then(Option::take)).collect())
}

fn add_reads(request: &RunRequest, cwd: &Path, tasks: &mut [TaskSpec]) -> Result<(), ApiError> {
    for name in &request.reads {
        let path = cwd.join(name);
        let inside = path.canonicalize().is_ok_and(|p| p.is_file());
        if !inside {
            return Err(ApiError::new(ErrorKind::Usage, format!("`--reads {name}`: there is no such file")));
        }
        for task in tasks.iter_mut().filter(|t| t.runtime.is_model() && !t.cold) {
            task.reads.push(name.clone());
        }
    }
    Ok(())
}

/// Probes the program of every runtime in use. Nothing of it costs a token.
fn programs(
    request: &RunRequest,
    tasks: &[TaskSpec],
    agents: &BTreeMap<String, windlass_events::spec::AgentSpec>,
    setup: &Setup,
    exe: &Path,
    notices: &mut Vec<String>,
) -> Result<BTreeMap<RuntimeKind, ProgramSpec>, ApiError> {
    let mut env: ProbeEnv = request.env.plain.clone();
    env.extend(request.env.secret.iter().map(|(k, v)| (k.clone(), v.0.clone())));
    let mut kinds: Vec<RuntimeKind> = tasks.iter().map(|t| t.runtime).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut programs = BTreeMap::new();
    for kind in kinds {
        let Some(adapter) = windlass_agents::adapter(kind) else {
            return Err(ApiError::new(
                ErrorKind::Missing,
                format!("this version cannot drive runtime `{kind}`"),
            )
            .hint("`--runtime pi` uses pi in its place"));
        };
        match kind {
            RuntimeKind::Command => {
                for task in tasks.iter().filter(|t| t.runtime == kind) {
                    check_command(task, agents, &env, request)?;
                }
            }
            RuntimeKind::Rehearsal => {
                if request.script.is_none() {
                    return Err(ApiError::new(
                        ErrorKind::Usage,
                        "the `rehearsal` runtime plays a script, and none was given",
                    )
                    .hint("`--script FILE` names it; `windlass demo` shows one at work"));
                }
                let program = ProgramSpec {
                    path: exe.to_string_lossy().into_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    model: Some(windlass_agents::rehearsal::MODEL.to_owned()),
                    args: Vec::new(),
                };
                notices.push("this is a rehearsal: a script plays the agents, no model is asked".to_owned());
                programs.insert(kind, program);
            }
            RuntimeKind::Scaffold => {
                notices.push("scaffold: prompts are rendered, nothing is started".to_owned());
            }
            _ => {
                let found = probe_one(adapter, tasks, agents, setup, &env, request)?;
                notices.extend(found.notices.clone());
                programs.insert(kind, found.program);
            }
        }
    }
    Ok(programs)
}

fn check_command(
    task: &TaskSpec,
    agents: &BTreeMap<String, windlass_events::spec::AgentSpec>,
    env: &ProbeEnv,
    request: &RunRequest,
) -> Result<(), ApiError> {
    let Some(program) = agents.get(&task.agent).and_then(|a| a.command.first()) else {
        return Err(ApiError::new(ErrorKind::Usage, format!("agent `{}` names no command", task.agent))
            .hint("give it a line such as `command: [\"sh\", \"-c\", \"…\"]`"));
    };
    let found = if program.contains('/') {
        Path::new(&request.cwd).join(program).is_file()
    } else {
        env.get("PATH").is_some_and(|path| probe::on_path(program, path).is_some())
    };
    if found {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorKind::Missing,
        format!("the program `{program}` of agent `{}` was not found", task.agent),
    )
    .hint("install it, or correct the agent's `command:`"))
}

fn probe_one(
    adapter: &dyn windlass_agents::Adapter,
    tasks: &[TaskSpec],
    agents: &BTreeMap<String, windlass_events::spec::AgentSpec>,
    setup: &Setup,
    env: &ProbeEnv,
    _request: &RunRequest,
) -> Result<Found, ApiError> {
    let kind = adapter.kind();
    let argv = probe::find_program(adapter, setup.config.command(kind), env)?;
    let mut models: Vec<String> = Vec::new();
    for task in tasks.iter().filter(|t| t.runtime == kind) {
        let agent = agents.get(&task.agent);
        let own = task.model.clone().or_else(|| agent.and_then(|a| a.model.clone()));
        models.extend(own);
        models.extend(agent.into_iter().flat_map(|a| a.fallback_models.iter().cloned()));
    }
    models.sort();
    models.dedup();
    let (args, touches, mut notices) = match kind {
        RuntimeKind::Pi => pi_packages(env),
        _ => (Vec::new(), Vec::new(), Vec::new()),
    };
    let cache = setup.places.state_dir().map(|d| d.join("probes"));
    let mut found =
        probe::probe(adapter, &argv, &ProbeRequest { args, models }, env, &touches, cache.as_deref())?;
    notices.append(&mut found.notices);
    found.notices = notices;
    Ok(found)
}

/// The provider packages of the user's Pi settings, and the files on which Pi's sign-in rests.
fn pi_packages(env: &ProbeEnv) -> (Vec<String>, Vec<PathBuf>, Vec<String>) {
    let Some(home) = env.get("HOME").map(PathBuf::from) else { return (Vec::new(), Vec::new(), Vec::new()) };
    let agent_dir = match env.get("PI_CODING_AGENT_DIR") {
        Some(dir) if !dir.is_empty() => match dir.strip_prefix("~/") {
            Some(below) => home.join(below),
            None => PathBuf::from(dir),
        },
        _ => home.join(".pi/agent"),
    };
    let settings = std::fs::read_to_string(agent_dir.join("settings.json")).ok();
    let found = windlass_agents::pi::provider_extensions(settings.as_deref(), &agent_dir, &home, &Disk);
    let touches = ["settings.json", "auth.json", "models.json"].iter().map(|n| agent_dir.join(n)).collect();
    (found.args(), touches, found.notices.clone())
}

/// Files as they are on disk.
struct Disk;

impl windlass_agents::pi::Files for Disk {
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        use std::io::Read;
        let file = std::fs::File::open(path).ok().filter(|f| f.metadata().is_ok_and(|m| m.is_file()))?;
        let mut bytes = Vec::new();
        file.take(windlass_agents::pi::MAX_FILE as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn list(&self, path: &Path) -> Option<Vec<(String, bool)>> {
        let entries = std::fs::read_dir(path).ok()?;
        Some(
            entries
                .flatten()
                .filter_map(|e| {
                    Some((e.file_name().into_string().ok()?, e.file_type().is_ok_and(|t| t.is_dir())))
                })
                .collect(),
        )
    }
}

/// Caps in force: what the request says wins over config, and config's defaults hold where nobody says anything.
fn caps(request: &RunRequest, config: &Config) -> Caps {
    let mut caps = config.caps();
    if let Some(choice) = request.budget_usd {
        caps.microusd = choice.scaled(1e6);
        if choice == CapChoice::None && request.budget_tokens.is_none() {
            caps.unpriced_tokens = None;
        }
    }
    if let Some(choice) = request.budget_tokens {
        caps.tokens = choice.scaled(1.0);
        caps.unpriced_tokens = None;
    }
    if let Some(choice) = request.timeout {
        caps.wall_ms = choice.scaled(1.0);
    }
    caps
}

fn plan_doc(spec: &RunSpec, tasks: &[TaskSpec], worst_case_starts: u64) -> PlanDoc {
    let source = |s: GateSource| match s {
        GateSource::User => "--gate",
        GateSource::Step => "the workflow",
        GateSource::Config => "config",
        GateSource::Detected => "detected",
    };
    let mut caps = Vec::new();
    if let Some(usd) = spec.caps.microusd {
        caps.push(format!("${:.2}", usd as f64 / 1e6));
    }
    if let Some(tokens) = spec.caps.tokens {
        caps.push(format!("{tokens} tokens"));
    } else if let Some(tokens) = spec.caps.unpriced_tokens {
        caps.push(format!("{tokens} tokens where no price is known"));
    }
    if let Some(ms) = spec.caps.wall_ms {
        caps.push(windlass_resources::duration::show(Some(ms)));
    }
    PlanDoc {
        shape: format!(
            "{}: {} · {} · --team NAME for another",
            spec.shape.team.as_deref().unwrap_or(&spec.shape.workflow),
            spec.shape.reason,
            match tasks.iter().filter(|t| t.runtime.is_model()).count() {
                0 => "commands only".to_owned(),
                1 => "1 agent start".to_owned(),
                n => format!("{n} agent starts"),
            }
        ),
        tasks: tasks
            .iter()
            .map(|t| {
                let agent = spec.agents.get(&t.agent);
                let program = spec.programs.get(&t.runtime);
                let mut models: Vec<String> = Vec::new();
                models.extend(
                    t.model
                        .clone()
                        .or_else(|| agent.and_then(|a| a.model.clone()))
                        .or_else(|| program.and_then(|p| p.model.clone())),
                );
                models.extend(agent.into_iter().flat_map(|a| a.fallback_models.iter().cloned()));
                PlannedTask {
                    id: t.id.clone(),
                    role: t.role.clone(),
                    agent: t.agent.clone(),
                    runtime: t.runtime.to_string(),
                    models,
                    depends_on: t.depends_on.clone(),
                    attempts: t.attempts,
                    writes: t.access == Access::Write,
                }
            })
            .collect(),
        gates: spec.gates.iter().map(|g| format!("{} ({})", g.command, source(g.source))).collect(),
        worst_case_starts,
        caps,
        notices: spec.notices.clone(),
    }
}
