//! `run` and `attach`.

use crate::cli::{Cap, RunArg, RunArgs};
use crate::commands::setup;
use crate::context::Context;
use crate::watch::{self, End, Options};
use crate::{host, names, print};
use std::io::{IsTerminal, Read};
use windlass_api::request::{CapChoice, RunRequest};
use windlass_api::response::PlanDoc;
use windlass_api::{ApiError, Client, ErrorKind, Reply, Request};
use windlass_engine::prepare::Setup;
use windlass_engine::query;
use windlass_events::spec::RedGate;

/// The longest goal read from standard input, in bytes.
const MAX_GOAL: u64 = 1 << 20;

/// Creates a run and watches it.
pub(crate) fn run(context: &Context, args: RunArgs) -> Result<u8, ApiError> {
    let goal = goal(context, &args)?;
    let request = request(context, &args, goal)?;
    if context.can_ask() && !args.dry_run {
        ask_trust(context)?;
    }
    begin(context, request, &args)
}

/// Sends a request to an engine and watches what comes of it.
pub(crate) fn begin(context: &Context, request: RunRequest, args: &RunArgs) -> Result<u8, ApiError> {
    if args.no_daemon {
        let inline = host::Inline::start(context)
            .map_err(|e| ApiError::new(ErrorKind::Missing, format!("the engine cannot begin: {e:#}")))?;
        let mut client = inline.client()?;
        let mut session = watch::Session::new()?;
        let reply = session
            .wait_for(|| client.call(Request::Run(Box::new(request))))?
            .map_err(windlass_api::ClientError::into_api)?;
        return created(context, client, reply, args, Some(session), true);
    }
    let request = Request::Run(Box::new(request));
    if args.detach || args.dry_run {
        let (client, reply) = host::ask(context, &request)?;
        return created(context, client, reply, args, None, false);
    }
    let mut session = watch::Session::new()?;
    let (client, reply) = session.wait_for(|| host::ask(context, &request))??;
    created(context, client, reply, args, Some(session), false)
}

fn created(
    context: &Context,
    client: Client,
    reply: Reply,
    args: &RunArgs,
    session: Option<watch::Session>,
    tied: bool,
) -> Result<u8, ApiError> {
    match reply {
        Reply::Planned(plan) => {
            show_plan(context, &plan)?;
            Ok(0)
        }
        Reply::Created { run, plan } => {
            if args.detach {
                if context.global.json {
                    print::json(&serde_json::json!({ "run": run }))?;
                } else {
                    print::note(context, &plan.shape);
                    print::out(format!("{run}\n").as_bytes())?;
                }
                return Ok(0);
            }
            let options = Options { tied, start_card: true };
            let session = session.map_or_else(watch::Session::new, Ok)?;
            match session.watch(context, client, run, options)? {
                End::Stopped(code) => Ok(code),
                End::Detached => Ok(130),
            }
        }
        other => Err(ApiError::new(ErrorKind::Internal, format!("the engine answered {other:?}"))),
    }
}

/// The goal: as typed, from standard input, or from an editor. Empty only where a team, workflow or agent was named: it may say
/// all there is to do. An empty variable of a script must not start anything by itself.
fn goal(context: &Context, args: &RunArgs) -> Result<String, ApiError> {
    let usage = |m: &str| ApiError::new(ErrorKind::Usage, m);
    let none = || usage("there is no goal").hint("type it: windlass run \"…\", or `-` reads standard input");
    let named = args.team.is_some() || args.workflow.is_some() || args.agent.is_some();
    let goal = match args.goal.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .take(MAX_GOAL + 1)
                .read_to_string(&mut text)
                .map_err(|e| usage(&format!("the goal on standard input cannot be read: {e}")))?;
            if text.len() as u64 > MAX_GOAL {
                return Err(usage("the goal on standard input is longer than 1 MB"));
            }
            text
        }
        Some(goal) => goal.to_owned(),
        None if named => String::new(),
        None if std::io::stdin().is_terminal() && context.err_is_terminal() => return from_editor(),
        None => return Err(none()),
    };
    if goal.trim().is_empty() && !named { Err(none()) } else { Ok(goal) }
}

fn from_editor() -> Result<String, ApiError> {
    let usage = |m: String| ApiError::new(ErrorKind::Usage, m);
    let editor =
        std::env::var("VISUAL").or_else(|_| std::env::var("EDITOR")).unwrap_or_else(|_| "vi".to_owned());
    let file = tempfile::Builder::new()
        .prefix("windlass-goal-")
        .suffix(".md")
        .tempfile()
        .map_err(|e| usage(format!("a file for the goal cannot be made: {e}")))?;
    std::fs::write(file.path(), "\n# What do you want? Lines that begin with # are left out.\n")
        .map_err(|e| usage(e.to_string()))?;
    // The user's own setting may hold arguments, as it does for git.
    let status = std::process::Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(file.path())
        .status()
        .map_err(|e| usage(format!("the editor `{editor}` cannot be started: {e}")))?;
    if !status.success() {
        return Err(usage(format!("the editor `{editor}` ended with {status}")));
    }
    let text = std::fs::read_to_string(file.path()).map_err(|e| usage(e.to_string()))?;
    let goal: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    let goal = goal.join("\n").trim().to_owned();
    if goal.is_empty() { Err(usage("the goal is empty; nothing was started".to_owned())) } else { Ok(goal) }
}

/// A cap of the command line as the API takes it.
pub(crate) fn choice(cap: Option<Cap>) -> Option<CapChoice> {
    cap.map(|c| c.0.map_or(CapChoice::None, CapChoice::Limit))
}

fn request(context: &Context, args: &RunArgs, goal: String) -> Result<RunRequest, ApiError> {
    let script = match &args.script {
        Some(path) => Some(std::fs::read_to_string(path).map_err(|e| {
            ApiError::new(ErrorKind::Usage, format!("the script {} cannot be read: {e}", path.display()))
        })?),
        None => None,
    };
    Ok(RunRequest {
        goal,
        cwd: context.cwd.to_string_lossy().into_owned(),
        team: args.team.clone(),
        workflow: args.workflow.clone(),
        agent: args.agent.clone(),
        role: args.role.clone(),
        runtime: args.runtime.clone(),
        model: args.model.clone(),
        gates: args.gates.clone(),
        reads: args.reads.clone(),
        budget_usd: choice(args.budget_usd),
        budget_tokens: choice(args.budget_tokens),
        timeout: choice(args.timeout),
        approve_plan: args.approve_plan,
        require_proof: args.require_proof,
        red_gate: (context.can_ask() && !args.detach).then_some(RedGate::Ask),
        dry_run: args.dry_run,
        tied: args.no_daemon,
        script,
        env: Context::shell_env(),
    })
}

/// Asks once what of this repository may be used, where a person can answer.
fn ask_trust(context: &Context) -> Result<(), ApiError> {
    let root = context.git().and_then(|git| {
        windlass_git::Repo::discover(&git, &context.cwd).ok().flatten().map(|r| r.top().to_owned())
    });
    let found = Setup::load(&context.cwd, root, &Context::all_env())?;
    if found.decision.must_ask() {
        setup::ask_trust(context, &found)?;
    }
    Ok(())
}

fn show_plan(context: &Context, plan: &PlanDoc) -> Result<(), ApiError> {
    if context.global.json {
        return print::json(plan);
    }
    let look = context.look(context.width(std::io::stdout().is_terminal()));
    print::lines(context, &windlass_view::plan::plan(plan, &look))
}

/// Watches a run again.
pub(crate) fn attach(context: &Context, args: &RunArg) -> Result<u8, ApiError> {
    let run = names::to_look(context, args.run.as_deref())?;
    let cwd = query::folder(&context.paths, run).map_err(|e| names::unreadable(&e))?;
    let client = host::visit_run(context, run, &cwd)?;
    match watch::watch(context, client, run, Options { tied: false, start_card: false })? {
        End::Stopped(code) => Ok(code),
        End::Detached => Ok(130),
    }
}
