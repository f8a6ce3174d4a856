//! Agent programs: found, of a known version, able to sign in. Asking costs no token.

use super::Report;
use crate::commands::setup::view::View;
use crate::context::Context;
use crate::host;
use std::process::{Command, Stdio};
use windlass_api::RunRequest;
use windlass_events::RuntimeKind;
use windlass_resources::config::Origin;

/// The oldest Node that the newest pi runs on.
const OLDEST_NODE: (u32, u32) = (22, 19);

/// The programs that config wants, and pi, which is the default.
pub(super) fn agents(context: &Context, view: Option<&View>, report: &mut Report) {
    let Some(view) = view else { return };
    if view.sound().is_err() {
        report.warn("agents", "not asked: config has to be corrected first", "");
        return;
    }
    let mut pi_works = false;
    for kind in RuntimeKind::ALL.iter().copied().filter(|k| has_program(*k)) {
        let wanted = is_wanted(view, kind);
        if !wanted && kind != RuntimeKind::Pi {
            continue;
        }
        match ask(context, view, kind) {
            Ok(found) => {
                pi_works |= kind == RuntimeKind::Pi;
                report.ok(kind.as_str(), found);
            }
            Err(e) if wanted => report.fail(kind.as_str(), e.message, e.hint),
            Err(e) => report.warn(kind.as_str(), e.message, e.hint),
        }
    }
    node(pi_works, report);
}

/// Kinds of worker that are a program of somebody else's.
fn has_program(kind: RuntimeKind) -> bool {
    windlass_resources::config::keys::PROGRAM_RUNTIMES.contains(&kind.as_str())
}

/// Whether somebody asked for it by config or environment.
fn is_wanted(view: &View, kind: RuntimeKind) -> bool {
    let set = |name: &str| view.config.get(name).is_some_and(|s| s.origin != Origin::Default);
    (view.config.runtime() == kind && set("run.runtime")) || view.config.command(kind).is_some()
}

/// Asks as a run would, so that what is said here is what a run would say.
fn ask(context: &Context, view: &View, kind: RuntimeKind) -> Result<String, windlass_api::ApiError> {
    let internal = |m: String| windlass_api::ApiError::new(windlass_api::ErrorKind::Internal, m);
    let exe = host::exe().map_err(|e| internal(format!("{e:#}")))?;
    let agent = view
        .catalog
        .agents
        .usable()
        .find(|a| a.runtime.is_none_or(RuntimeKind::is_model))
        .ok_or_else(|| internal("there is no agent that could use it".to_owned()))?;
    let request = RunRequest {
        goal: "nothing: only looked at".to_owned(),
        cwd: context.cwd.to_string_lossy().into_owned(),
        agent: Some(agent.name.clone()),
        runtime: Some(kind.to_string()),
        dry_run: true,
        env: Context::shell_env(),
        ..RunRequest::default()
    };
    let prepared = windlass_engine::prepare::prepare(&request, context.git().as_ref(), &exe, false)?;
    let program = prepared.spec.programs.get(&kind).ok_or_else(|| internal("it was not asked".to_owned()))?;
    let model = program.model.as_deref().map(|m| format!(", model {m}")).unwrap_or_default();
    Ok(format!("{} ({}), signed in{model}", program.version, program.path))
}

/// Node, which npm's agent programs run on.
fn node(pi_works: bool, report: &mut Report) {
    let path = std::env::var("PATH").unwrap_or_default();
    let Some(program) = windlass_engine::probe::on_path("node", &path) else {
        if pi_works {
            report.ok("node", "not on PATH; pi works without it");
        } else {
            report.warn(
                "node",
                "not found: pi and other agent programs of npm need it",
                "install Node 22.19 or later",
            );
        }
        return;
    };
    let asked = Command::new(&program).arg("--version").current_dir("/").stdin(Stdio::null()).output();
    let version = asked
        .ok()
        .filter(|o| o.status.success())
        .map(|o| String::from_utf8_lossy(&o.stdout).trim().chars().take(40).collect::<String>());
    let place = program.display();
    match version.as_deref().and_then(|v| Some((v, numbers(v)?))) {
        Some((v, numbers)) if numbers >= OLDEST_NODE => report.ok("node", format!("{v} ({place})")),
        Some((v, _)) => report.warn(
            "node",
            format!("{v} ({place}): npm installs older agent programs under it and does not say so"),
            "install Node 22.19 or later",
        ),
        None => report.warn("node", format!("{place} does not tell its version"), ""),
    }
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_compared_as_numbers() {
        assert_eq!(numbers("v24.1.0"), Some((24, 1)));
        assert!(numbers("v9.99.0") < Some(OLDEST_NODE) && numbers("v22.19.0") >= Some(OLDEST_NODE));
        assert_eq!(numbers("nonsense"), None);
    }
}
