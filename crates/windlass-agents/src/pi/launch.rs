//! How pi is started, fed and stopped.

use super::{KNOWN_GOOD, OLDEST};
use crate::adapter::{
    FileToWrite, Launch, LaunchError, LaunchRequest, SIGTERM, SessionPlan, StartPlan, Stdin, StopPlan,
    common_env, prompt_file,
};
use crate::version::Version;
use windlass_events::{Access, RuntimeKind};

/// Id of the one prompt that a worker is given.
pub(super) const PROMPT_ID: &str = "windlass-prompt";

/// Tools of a role that may only read and names none itself.
const READ_ONLY: &[&str] = &["read", "grep", "find", "ls"];
/// Tools that change files.
const WRITING: &[&str] = &["edit", "write"];
/// Thinking levels that pi knows.
const THINKING: &[&str] = &["off", "minimal", "low", "medium", "high", "xhigh", "max"];

/// Variables that keep pi quiet on the network: nothing is downloaded, checked or reported. Model requests are not touched.
pub(super) const QUIET: &[(&str, &str)] =
    &[("PI_OFFLINE", "1"), ("PI_TELEMETRY", "0"), ("PI_SKIP_VERSION_CHECK", "1")];

/// Switches that leave the user's extensions, skills, templates, themes and the project's `.pi/` out.
pub(super) const ALONE: &[&str] =
    &["--no-extensions", "--no-prompt-templates", "--no-themes", "--no-approve"];

pub(super) fn launch(request: &LaunchRequest) -> Result<Launch, LaunchError> {
    if request.program.path.is_empty() {
        return Err(LaunchError::NoProgram(RuntimeKind::Pi));
    }
    let refuse = |what| LaunchError::ControlByte { agent: request.agent.clone(), what };
    let mut notices = Vec::new();
    let mut argv = vec![request.program.path.clone()];
    argv.extend(request.program.args.iter().cloned());
    let mut arg = |name: &str, value: &str| {
        argv.push(name.to_owned());
        argv.push(value.to_owned());
    };

    arg("--mode", if request.interactive { "rpc" } else { "json" });
    arg("--session-dir", &request.session_dir);
    match &request.session {
        SessionPlan::New { id } => arg("--session-id", id),
        // Not `--session-id`: that would quietly begin an empty session when the record is gone.
        SessionPlan::Continue { id } => arg("--session", id),
    }
    if let Some(model) = request.model.as_deref().map(str::trim).filter(|m| !m.is_empty()) {
        if model.chars().any(char::is_control) {
            return Err(refuse("the model"));
        }
        arg("--model", model);
    }
    if let Some(level) = request.thinking.as_deref().map(str::trim).filter(|t| !t.is_empty()) {
        let level =
            if level.eq_ignore_ascii_case("none") { "off".to_owned() } else { level.to_ascii_lowercase() };
        if THINKING.contains(&level.as_str()) {
            arg("--thinking", &level);
        } else {
            notices.push(format!(
                "agent `{}`: pi has no thinking level of that name and uses its own; it knows {}",
                request.agent,
                THINKING.join(", ")
            ));
        }
    }
    let tools = tools(request, &mut notices);
    let mut files = vec![prompt_file(request)];
    if !request.system_prompt.trim().is_empty() {
        let path = format!("{}.system.md", request.prompt_file);
        arg(if request.append_prompt { "--append-system-prompt" } else { "--system-prompt" }, &path);
        files.push(FileToWrite { path, bytes: request.system_prompt.clone().into_bytes() });
    }
    match tools {
        None => {}
        Some(tools) if tools.is_empty() => argv.push("--no-tools".to_owned()),
        Some(tools) => argv.extend(["--tools".to_owned(), tools.join(",")]),
    }
    argv.extend(ALONE.iter().map(|&flag| flag.to_owned()));
    if !request.inherit_skills {
        argv.push("--no-skills".to_owned());
    }
    if !request.inherit_project_context {
        argv.push("--no-context-files".to_owned());
    }
    if argv.iter().any(|a| a.contains('\0')) {
        return Err(refuse("an argument"));
    }

    let mut env = common_env(request);
    env.extend(QUIET.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
    Ok(Launch::Start(Box::new(StartPlan {
        argv,
        env,
        files,
        stdin: if request.interactive {
            Stdin::OpenWith(command("prompt", PROMPT_ID, &request.prompt))
        } else {
            Stdin::Bytes(one_shot(&request.prompt))
        },
        close_stdin_on: if request.interactive {
            vec![
                b"{\"type\":\"agent_settled\"".to_vec(),
                format!(
                    "{{\"id\":\"{PROMPT_ID}\",\"type\":\"response\",\"command\":\"prompt\",\"success\":false"
                )
                .into_bytes(),
            ]
        } else {
            Vec::new()
        },
        drop_prefixes: vec![
            b"{\"type\":\"message_update\"".to_vec(),
            b"{\"type\":\"tool_execution_update\"".to_vec(),
        ],
        stop: stop(request),
        notices,
    })))
}

/// Abort first (with the queue emptied, or what is queued would run), then SIGTERM. Never SIGINT: pi dies of it raw and
/// leaves its shells behind. All within 3 seconds.
fn stop(request: &LaunchRequest) -> StopPlan {
    if !request.interactive {
        return StopPlan::by_signal();
    }
    // `clear_queue` came with 0.84.4; before that it is answered with an error and does no harm.
    StopPlan {
        abort: Some(b"{\"type\":\"clear_queue\"}\n{\"type\":\"abort\"}\n".to_vec()),
        abort_grace_ms: 1_000,
        signal: SIGTERM,
        signal_grace_ms: 1_500,
        linger_ms: 10_000,
    }
}

/// A command line for RPC mode.
pub(super) fn command(kind: &str, id: &str, text: &str) -> Vec<u8> {
    let message = if text.starts_with('/') { format!("\n{text}") } else { text.to_owned() };
    let line = serde_json::json!({ "id": id, "type": kind, "message": message });
    format!("{line}\n").into_bytes()
}

/// A prompt for standard input in JSON mode, which pi trims before it looks for a command.
fn one_shot(prompt: &str) -> Vec<u8> {
    if prompt.trim_start().starts_with('/') { format!("The task:\n{prompt}") } else { prompt.to_owned() }
        .into_bytes()
}

/// The tool allow-list in pi's names; `None` is pi's own default.
fn tools(request: &LaunchRequest, notices: &mut Vec<String>) -> Option<Vec<String>> {
    let reads_only = request.access == Access::Read;
    let Some(wanted) = &request.tools else {
        return reads_only.then(|| READ_ONLY.iter().map(|&t| t.to_owned()).collect());
    };
    let mut tools: Vec<String> = Vec::new();
    for name in wanted {
        let name = name.trim();
        // `Bash(git:*)` of other programs' files restricts the tool further than pi can.
        let bare = name.split('(').next().unwrap_or(name).trim();
        let Some(tool) = pi_name(bare) else {
            if !bare.is_empty() {
                notices.push(format!(
                    "agent `{}`: pi has no tool `{}`; it is left out",
                    request.agent,
                    crate::text::name(bare)
                ));
            }
            continue;
        };
        if reads_only && WRITING.contains(&tool.as_str()) {
            continue;
        }
        if !tools.contains(&tool) {
            tools.push(tool);
        }
    }
    Some(tools)
}

/// The tool's name in pi, also for the names that other agent programs use in their files.
fn pi_name(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let known = match lower.as_str() {
        "read" | "bash" | "edit" | "write" | "grep" | "find" | "ls" => lower,
        "multiedit" | "multi_edit" | "apply_patch" => "edit".to_owned(),
        "glob" => "find".to_owned(),
        "list" => "ls".to_owned(),
        "shell" => "bash".to_owned(),
        // Tools of extensions and of other programs are not loaded in a worker.
        _ => return None,
    };
    Some(known)
}

/// What is wrong with this version, if anything: an error is a reason not to start it, a notice is not.
pub(super) fn judge_version(version: Version) -> Result<Option<String>, String> {
    if version < OLDEST {
        return Err(format!(
            "pi {version} is too old: it does not say when its work is over, and its output grows with the square of an answer"
        ));
    }
    let tried = (version.0, version.1) == (KNOWN_GOOD.0, KNOWN_GOOD.1);
    Ok((!tried).then(|| format!("pi {version} was not tried with this windlass, which knows {KNOWN_GOOD}")))
}
