//! From a request to a run that can be created: everything that can be refused is refused here, before anything exists.

mod programs;
mod said;
mod setup;
mod shape;

pub use setup::Setup;

use crate::query;
use crate::secrets::SecretMap;
use std::path::{Path, PathBuf};
use windlass_api::request::{CapChoice, RunRequest};
use windlass_api::response::PlanDoc;
use windlass_api::{ApiError, ErrorKind};
use windlass_events::TaskSpec;
use windlass_events::spec::{Caps, RedGate, RunSpec, Shape, TreeSpec};
use windlass_git::{Git, Repo};
use windlass_resources::config::Config;
use windlass_resources::diag::{Diagnostic, Severity};

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
    let (planned, shape) = shape::planned(request, goal, &setup)?;
    notices.extend(planned.notices.iter().filter(|d| d.severity != Severity::Notice).map(Diagnostic::render));
    let mut tasks = shape::in_order(planned.tasks)?;
    add_reads(request, &cwd, &mut tasks)?;
    if tasks.iter().all(|t| t.instructions.trim().is_empty() && t.runtime.is_model()) {
        return Err(no_goal());
    }
    let programs = programs::programs(request, &tasks, &planned.agents, &setup, exe, &mut notices)?;
    let caps = caps(request, &setup.config);
    if let (Some(_), None) = (caps.microusd, caps.unpriced_tokens.or(caps.tokens)) {
        // Only a person can have said that tokens are free of a cap.
        notices.push("money is capped, tokens are not: a model without a known price has no cap".to_owned());
    }
    let approve_plan = request.approve_plan || setup.config.approve_plan();
    if approve_plan {
        notices.push("nothing that may write starts before you have approved the plan".to_owned());
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
        approve_plan,
        task_count: u32::try_from(tasks.len()).map_err(|_| usage("far too many tasks".to_owned()))?,
        tied,
    };
    let folder = query::project_folder(repo.as_ref(), &cwd, &home);
    let identity =
        windlass_git::Identity::of(&folder).map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))?;
    let plan = said::plan_doc(&spec, &tasks, planned.worst_case_starts);
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

fn add_reads(request: &RunRequest, cwd: &Path, tasks: &mut [TaskSpec]) -> Result<(), ApiError> {
    for name in &request.reads {
        let path = cwd.join(name);
        let inside = path.canonicalize().is_ok_and(|p| p.is_file());
        if !inside {
            return Err(ApiError::new(ErrorKind::Usage, format!("`--reads {name}`: there is no such file")));
        }
        for task in tasks.iter_mut() {
            let grown = task.flow.grow.iter_mut().flat_map(windlass_events::Grow::templates_mut);
            for part in grown.filter(|t| t.runtime.is_model() && !t.cold) {
                part.reads.push(name.clone());
            }
            if task.runtime.is_model() && !task.cold {
                task.reads.push(name.clone());
            }
        }
    }
    Ok(())
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
