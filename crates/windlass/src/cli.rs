//! The command line as types: names, help and completion come from here alone.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Runs teams of coding agents on a repository: durable, observable, safe, fast.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, about, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Act as if started in this directory
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub(crate) directory: Option<PathBuf>,
    /// Say less
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Answer every question with yes
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// A cap as typed: an amount, or `none`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cap(pub(crate) Option<f64>);

fn cap(text: &str) -> Result<Cap, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Cap(None));
    }
    let number: f64 = text.replace('_', "").parse().map_err(|_| "give a number, or `none`".to_owned())?;
    if number.is_finite() && number >= 0.0 {
        Ok(Cap(Some(number)))
    } else {
        Err("give a number from 0".to_owned())
    }
}

fn time_cap(text: &str) -> Result<Cap, String> {
    Ok(Cap(windlass_resources::duration::parse(text)?.map(|ms| ms as f64)))
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a run and watch it
    Run(Box<RunArgs>),
    /// Show the main job on a throw-away repository: no key, no network
    Demo(DemoArgs),
    /// List runs
    List(ListArgs),
    /// Where a run stands
    Status(RunArg),
    /// A run, or the result of one task (RUN/TASK)
    #[command(visible_alias = "summary")]
    Show(ShowArgs),
    /// Events of a run
    Events(EventsArgs),
    /// Fold the journal of a run event by event, and make each of its decisions anew; ends with 1 where one differs
    Replay(ReplayArgs),
    /// What the workers wrote
    Logs(LogsArgs),
    /// What a run, or one of its tasks, changed
    Diff(DiffArgs),
    /// Files and results that tasks handed on
    Artifacts(ArtifactsArgs),
    /// The graph of a run or workflow
    Graph(GraphArgs),
    /// Watch a run again
    Attach(RunArg),
    /// Wait until runs stop
    Wait(WaitArgs),
    /// Stop a run, or one of its tasks
    Cancel(CancelArgs),
    /// Go on with whatever is not finished
    Resume(ResumeArgs),
    /// Make new attempts of what failed
    Retry(RetryArgs),
    /// Take the changes of a run back
    Undo(UndoArgs),
    /// What waits for you, over all projects
    Inbox,
    /// Answer what a run asks
    #[command(visible_alias = "respond")]
    Answer(AnswerArgs),
    /// Approve the plan that a run asks about
    Approve(ApproveArgs),
    /// Do not approve it: with TEXT it is planned again, without the run is cancelled
    Reject(RejectArgs),
    /// Say something to a worker while it works
    Steer(SteerArgs),
    /// Set a project up
    Init(InitArgs),
    /// Agents
    Agents(ResourceArgs),
    /// Teams
    Teams(ResourceArgs),
    /// Workflows
    Workflows(ResourceArgs),
    /// Skills
    Skills(ResourceArgs),
    /// Check agent, team, workflow and skill files
    Validate(ValidateArgs),
    /// Say which team would do a goal, and why
    Recommend(RecommendArgs),
    /// Say what of this repository may be used
    Trust(TrustArgs),
    /// Settings
    Config(ConfigArgs),
    /// Check what Windlass needs
    Doctor(DoctorArgs),
    /// Remove a run that has ended
    #[command(visible_alias = "forget")]
    Rm(RmArgs),
    /// The background process that leads runs
    Daemon(DaemonArgs),
    /// Print a completion script
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Print the version
    Version,
    /// Plays a script in an agent's place
    #[command(name = "__rehearse", hide = true)]
    Rehearse {
        /// Script
        script: PathBuf,
    },
    /// Writes the generated reference pages
    #[command(name = "__docs", hide = true)]
    Docs {
        /// Folder
        folder: PathBuf,
    },
}

/// `run`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RunArgs {
    /// What you want; `-` reads standard input, none opens your editor
    #[arg(value_name = "GOAL")]
    pub(crate) goal: Option<String>,
    /// Team
    #[arg(short, long, value_name = "NAME")]
    pub(crate) team: Option<String>,
    /// Workflow
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
    /// One agent alone
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Role that the one agent plays
    #[arg(long, value_name = "NAME", requires = "agent")]
    pub(crate) role: Option<String>,
    /// Runtime in place of the agents' own: pi, rehearsal, scaffold
    #[arg(long, value_name = "NAME")]
    pub(crate) runtime: Option<String>,
    /// Model that wins over every other choice
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// A command that must succeed in the end; may be given several times
    #[arg(long = "gate", value_name = "CMD")]
    pub(crate) gates: Vec<String>,
    /// A file whose content the agents are given; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) reads: Vec<String>,
    /// Cap on money in US dollars, or none
    #[arg(long, value_name = "USD", value_parser = cap)]
    pub(crate) budget_usd: Option<Cap>,
    /// Cap on tokens, or none
    #[arg(long, value_name = "N", value_parser = cap)]
    pub(crate) budget_tokens: Option<Cap>,
    /// Cap on time such as 90m, or none
    #[arg(long, value_name = "TIME", value_parser = time_cap)]
    pub(crate) timeout: Option<Cap>,
    /// Start nothing that may write before you have approved the plan
    #[arg(long)]
    pub(crate) approve_plan: bool,
    /// End with 1 when the result is not proved
    #[arg(long)]
    pub(crate) require_proof: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not watch: print the id and return
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Lead the run in this process; it ends with it
    #[arg(long, conflicts_with = "detach")]
    pub(crate) no_daemon: bool,
    /// Script of the rehearsal runtime
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where to make the repository; a temporary folder when not given
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

/// `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Runs of every project
    #[arg(long)]
    pub(crate) all: bool,
    /// At most this many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// A run by name.
#[derive(Debug, Args)]
pub(crate) struct RunArg {
    /// Run: id, unique beginning, or `last`; the newest of this project when left out
    pub(crate) run: Option<String>,
}

/// `show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// RUN or RUN/TASK; the newest run of this project when left out
    pub(crate) address: Option<String>,
    /// Why it is in its state, what would move it, and the events that led there
    #[arg(long, conflicts_with = "plan")]
    pub(crate) why: bool,
    /// The plan that is to be approved, against the one before
    #[arg(long)]
    pub(crate) plan: bool,
}

/// `events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Run
    pub(crate) run: Option<String>,
    /// Go on until the run stops
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only events after this one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) since: u64,
}

/// `replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Run
    pub(crate) run: Option<String>,
    /// Only up to this event
    #[arg(long, value_name = "N")]
    pub(crate) to: Option<u64>,
    /// Wait for a key after every event
    #[arg(long)]
    pub(crate) step: bool,
}

/// `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// RUN, RUN/TASK, or a task of the newest run
    pub(crate) address: Option<String>,
    /// Go on while the worker writes
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Its standard output, byte for byte
    #[arg(long)]
    pub(crate) raw: bool,
    /// Only this attempt
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u32>,
}

/// `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// RUN or RUN/TASK; the newest run of this project when left out
    pub(crate) address: Option<String>,
    /// Task
    pub(crate) task: Option<String>,
    /// Only names and numbers
    #[arg(long)]
    pub(crate) stat: bool,
    /// So that it can be applied, binary files too
    #[arg(long)]
    pub(crate) binary: bool,
}

/// `artifacts`.
#[derive(Debug, Args)]
pub(crate) struct ArtifactsArgs {
    /// Run
    pub(crate) run: Option<String>,
    /// Print this one
    pub(crate) name: Option<String>,
}

/// `graph`.
#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// Run, or workflow by name; the newest run of this project when left out
    pub(crate) what: Option<String>,
    /// As a Mermaid diagram
    #[arg(long)]
    pub(crate) mermaid: bool,
}

/// `wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Runs; every unfinished one of this project when left out
    pub(crate) runs: Vec<String>,
    /// Return when the first of them stops
    #[arg(long)]
    pub(crate) any: bool,
    /// At most this long, such as 10m; ends with 124
    #[arg(long, value_name = "TIME", value_parser = time_cap)]
    pub(crate) timeout: Option<Cap>,
}

/// `cancel`.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// Run or RUN/TASK
    pub(crate) run: Option<String>,
    /// Task
    pub(crate) task: Option<String>,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Run
    pub(crate) run: Option<String>,
    /// Cap on money from now on, in US dollars, or none
    #[arg(long, value_name = "USD", value_parser = cap)]
    pub(crate) budget_usd: Option<Cap>,
    /// Cap on tokens from now on, or none
    #[arg(long, value_name = "N", value_parser = cap)]
    pub(crate) budget_tokens: Option<Cap>,
    /// Cap on time from now on, or none
    #[arg(long, value_name = "TIME", value_parser = time_cap)]
    pub(crate) timeout: Option<Cap>,
    /// Do not watch
    #[arg(short, long)]
    pub(crate) detach: bool,
}

/// `retry`.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// Run
    pub(crate) run: Option<String>,
    /// Tasks; everything that failed when left out
    pub(crate) tasks: Vec<String>,
    /// Do not watch
    #[arg(short, long)]
    pub(crate) detach: bool,
}

/// `undo`.
#[derive(Debug, Args)]
pub(crate) struct UndoArgs {
    /// Run
    pub(crate) run: Option<String>,
    /// Also files that were changed since
    #[arg(long)]
    pub(crate) force: bool,
    /// Put back what the last undo took
    #[arg(long)]
    pub(crate) redo: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `answer`.
#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// RUN or RUN/TASK
    pub(crate) address: String,
    /// Answer; to a red gate: mend, leave_out or stop
    #[arg(required = true)]
    pub(crate) text: Vec<String>,
}

/// `approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// Run; the one that asks when only one of this project does
    pub(crate) run: Option<String>,
    /// Only if the plan still has this number
    #[arg(long, value_name = "N")]
    pub(crate) plan: Option<u32>,
    /// Only show what would be approved
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `reject`.
#[derive(Debug, Args)]
pub(crate) struct RejectArgs {
    /// Run
    pub(crate) run: String,
    /// What is to be otherwise; `-` reads standard input
    pub(crate) text: Vec<String>,
}

/// `steer`.
#[derive(Debug, Args)]
pub(crate) struct SteerArgs {
    /// RUN/TASK
    pub(crate) address: String,
    /// What to say; `-` reads standard input
    pub(crate) text: Vec<String>,
}

/// `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Only list the files
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `agents`, `teams`, `workflows`, `skills`.
#[derive(Debug, Args)]
pub(crate) struct ResourceArgs {
    /// What to do
    #[command(subcommand)]
    pub(crate) action: Option<ResourceAction>,
}

/// What to do with resources.
#[derive(Debug, Subcommand)]
pub(crate) enum ResourceAction {
    /// List them
    List,
    /// Show one
    Show {
        /// Name
        name: String,
    },
    /// Write a new one
    New {
        /// Name
        name: String,
        /// For this project instead of for you
        #[arg(long)]
        project: bool,
        /// Only say what would be written
        #[arg(long)]
        dry_run: bool,
    },
    /// Open one in your editor
    Edit {
        /// Name
        name: String,
    },
    /// Remove one
    Rm {
        /// Name
        name: String,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

/// `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Files; everything that is found when left out
    pub(crate) paths: Vec<PathBuf>,
}

/// `recommend`.
#[derive(Debug, Args)]
pub(crate) struct RecommendArgs {
    /// Goal
    pub(crate) goal: Vec<String>,
}

/// `trust`.
#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// Only show what there is and what is trusted
    #[arg(long)]
    pub(crate) show: bool,
    /// Forget the answer
    #[arg(long, conflicts_with = "show")]
    pub(crate) revoke: bool,
    /// Trust all of it
    #[arg(long, conflicts_with_all = ["show", "revoke", "gates", "none"])]
    pub(crate) all: bool,
    /// Trust only its gates
    #[arg(long, conflicts_with_all = ["show", "revoke", "none"])]
    pub(crate) gates: bool,
    /// Trust nothing of it
    #[arg(long, conflicts_with_all = ["show", "revoke"])]
    pub(crate) none: bool,
}

/// `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// What to do
    #[command(subcommand)]
    pub(crate) action: Option<ConfigAction>,
}

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print a value
    Get {
        /// Key
        key: String,
    },
    /// Set a value
    Set {
        /// Key
        key: String,
        /// Value
        value: String,
        /// In the project's file instead of yours
        #[arg(long)]
        project: bool,
    },
    /// Remove a value
    Unset {
        /// Key
        key: String,
        /// In the project's file instead of yours
        #[arg(long)]
        project: bool,
    },
    /// List every key with its value and where it comes from
    List,
    /// Print the paths of the files
    Path,
    /// Print the JSON schema
    Schema,
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Mend what can be mended; damaged data is set aside, never deleted
    #[arg(long)]
    pub(crate) fix: bool,
}

/// `rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Runs
    #[arg(required = true)]
    pub(crate) runs: Vec<String>,
    /// Only say what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `daemon`.
#[derive(Debug, Args)]
pub(crate) struct DaemonArgs {
    /// What to do
    #[command(subcommand)]
    pub(crate) action: Option<DaemonAction>,
}

/// What to do with the daemon.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum DaemonAction {
    /// Start it, when it does not run
    Start {
        /// Put a new one in the place of one that runs, as `restart`
        #[arg(long)]
        replace: bool,
    },
    /// Stop it; workers go on
    Stop,
    /// Put a new one in its place; workers go on. The first command of a newer version does it by itself
    Restart,
    /// How it is
    Status,
    /// Be it, in the foreground
    Run,
}
