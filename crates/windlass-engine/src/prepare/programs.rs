//! The programs that a run needs, asked for before it exists. Nothing of it costs a token.

use super::setup::Setup;
use crate::probe::{self, Found, ProbeEnv};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use windlass_agents::ProbeRequest;
use windlass_api::request::RunRequest;
use windlass_api::{ApiError, ErrorKind};
use windlass_events::spec::ProgramSpec;
use windlass_events::{RuntimeKind, TaskSpec};

/// Probes the program of every runtime in use. Nothing of it costs a token.
pub(super) fn programs(
    request: &RunRequest,
    tasks: &[TaskSpec],
    agents: &BTreeMap<String, windlass_events::spec::AgentSpec>,
    setup: &Setup,
    exe: &Path,
    notices: &mut Vec<String>,
) -> Result<BTreeMap<RuntimeKind, ProgramSpec>, ApiError> {
    let mut env: ProbeEnv = request.env.plain.clone();
    env.extend(request.env.secret.iter().map(|(k, v)| (k.clone(), v.0.clone())));
    let starters: Vec<&TaskSpec> = tasks.iter().flat_map(TaskSpec::starters).collect();
    let tasks = starters.as_slice();
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
    tasks: &[&TaskSpec],
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
