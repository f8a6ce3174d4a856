//! The command line of Windlass: parse, call the API, print. Nothing is decided here, and no journal is written.
//!
//! Map: [`mod@ask`] questions on a terminal · [`cli`] the commands as types · [`context`] where a command starts from · [`host`] reaching an engine · [`handover`] one daemon in the place of another · [`names`]
//! runs and tasks as people name them · [`mod@print`] results and errors · [`watch`] a run to where it stops · [`commands`] one module per group of commands.

mod ask;
mod cli;
mod commands;
mod context;
mod handover;
mod here;
mod host;
mod names;
mod print;
mod watch;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use context::Context;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return print::usage_error(&e),
    };
    log(cli.global.verbose);
    let json = cli.global.json;
    let context = match Context::new(cli.global) {
        Ok(context) => context,
        Err(e) => return print::api_error(&e, json, None),
    };
    match dispatch(&context, cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(e) => print::api_error(&e, json, Some(&context)),
    }
}

/// Runs a command; the number is its exit code.
fn dispatch(context: &Context, command: Option<Command>) -> Result<u8, windlass_api::ApiError> {
    use commands::{act, answer, daemon, demo, look, meta, run, setup};
    match command {
        None => look::home(context),
        Some(Command::Run(args)) => run::run(context, *args),
        Some(Command::Demo(args)) => demo::demo(context, &args),
        Some(Command::List(args)) => look::list(context, &args),
        Some(Command::Status(args)) => look::status(context, &args),
        Some(Command::Show(args)) => look::show(context, &args),
        Some(Command::Events(args)) => look::events(context, &args),
        Some(Command::Replay(args)) => look::replay(context, &args),
        Some(Command::Logs(args)) => look::logs(context, &args),
        Some(Command::Diff(args)) => look::diff(context, &args),
        Some(Command::Artifacts(args)) => look::artifacts(context, &args),
        Some(Command::Graph(args)) => look::graph(context, &args),
        Some(Command::Attach(args)) => run::attach(context, &args),
        Some(Command::Wait(args)) => act::wait(context, &args),
        Some(Command::Cancel(args)) => act::cancel(context, &args),
        Some(Command::Resume(args)) => act::resume(context, &args),
        Some(Command::Retry(args)) => act::retry(context, &args),
        Some(Command::Undo(args)) => act::undo(context, &args),
        Some(Command::Inbox) => look::inbox(context),
        Some(Command::Answer(args)) => answer::answer(context, &args),
        Some(Command::Approve(args)) => answer::approve(context, &args),
        Some(Command::Reject(args)) => answer::reject(context, &args),
        Some(Command::Steer(args)) => act::steer(context, &args),
        Some(Command::Rm(args)) => act::rm(context, &args),
        Some(Command::Init(args)) => setup::init(context, &args),
        Some(Command::Agents(args)) => {
            setup::resources(context, windlass_resources::source::Kind::Agent, args.action)
        }
        Some(Command::Teams(args)) => {
            setup::resources(context, windlass_resources::source::Kind::Team, args.action)
        }
        Some(Command::Workflows(args)) => {
            setup::resources(context, windlass_resources::source::Kind::Workflow, args.action)
        }
        Some(Command::Skills(args)) => {
            setup::resources(context, windlass_resources::source::Kind::Skill, args.action)
        }
        Some(Command::Validate(args)) => setup::validate(context, &args),
        Some(Command::Recommend(args)) => setup::recommend(context, &args),
        Some(Command::Trust(args)) => setup::trust(context, &args),
        Some(Command::Config(args)) => setup::config(context, args.action),
        Some(Command::Doctor(args)) => meta::doctor(context, &args),
        Some(Command::Daemon(args)) => daemon::daemon(context, args.action),
        Some(Command::Completions { shell }) => {
            meta::completions(shell, &mut Cli::command());
            Ok(0)
        }
        Some(Command::Man) => meta::man(&Cli::command()),
        Some(Command::Version) => meta::version(context),
        Some(Command::Rehearse { script }) => Ok(commands::rehearse(&script)),
        Some(Command::Docs { folder }) => meta::docs(&folder, &mut Cli::command()),
    }
}

/// Logs for developers go to standard error, when `WINDLASS_LOG` or `-v` asks for them.
fn log(verbose: u8) {
    let filter = std::env::var("WINDLASS_LOG").ok().or_else(|| match verbose {
        0 => None,
        1 => Some("info".to_owned()),
        _ => Some("debug".to_owned()),
    });
    if let Some(filter) = filter {
        let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_default();
        // A second subscriber is a fault of ours that costs only logs.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
}
