//! The trait that every runtime implements, and the plan by which its program is started.

use crate::event::Parser;
use crate::probe::ProbeAnswer;
use crate::probe::{ProbeError, ProbePlan, ProbeRequest, Probed};
use windlass_events::spec::ProgramSpec;
use windlass_events::{Access, AttemptNo, RunId, RuntimeKind, TaskId};

/// A kind of worker: how it is asked about itself, started, understood and spoken to.
pub trait Adapter: Send + Sync {
    /// Which runtime this is.
    fn kind(&self) -> RuntimeKind;

    /// Name of the program to look for on `PATH`; `None` when the runtime has no program of its own.
    fn program(&self) -> Option<&'static str> {
        None
    }

    /// The command that installs the program or mends a missing one, for people; empty without a program.
    fn install_hint(&self) -> &'static str {
        ""
    }

    /// What to ask the program before a run is created: nothing without one. Nothing in it may cost a token.
    fn probe(&self, request: &ProbeRequest) -> ProbePlan {
        let _ = request;
        ProbePlan::default()
    }

    /// Reads the answers, one per [`ProbePlan::steps`] in the same order.
    ///
    /// # Errors
    /// When the program is broken, too old, or cannot sign in to the models that are wanted.
    fn probed(&self, request: &ProbeRequest, answers: &[ProbeAnswer]) -> Result<Probed, ProbeError> {
        let _ = (request, answers);
        Ok(Probed::default())
    }

    /// What this runtime can do in that version. Engine and views ask this, never the runtime's name.
    fn capabilities(&self, version: &str) -> Capabilities {
        let _ = version;
        Capabilities::default()
    }

    /// How to start the program for a task.
    ///
    /// # Errors
    /// When the request asks for something that the program cannot be given safely.
    fn launch(&self, request: &LaunchRequest) -> Result<Launch, LaunchError>;

    /// A parser for one attempt. `session` is the agent's session as planned. `state` is an earlier [`Parser::state`]: the
    /// parser goes on from there; a state of another version or damaged gives `None`, and the attempt is parsed from its start.
    fn parser(&self, session: Option<&str>, state: Option<&[u8]>) -> Option<Box<dyn Parser>>;

    /// Bytes for the worker's standard input that bring it a person's text while it works. `None` where it cannot hear.
    /// The answer comes as [`crate::WorkerEvent::SteerAnswered`] with the same id.
    fn steer(&self, id: &str, text: &str) -> Option<Vec<u8>> {
        let _ = (id, text);
        None
    }

    /// Whether one of these file names in the session folder is the agent's record of this session: only then can it be continued.
    fn session_recorded(&self, names: &[String], session: &str) -> bool {
        let _ = (names, session);
        false
    }
}

/// What a runtime can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Hears a person's text while it works, if started with [`LaunchRequest::interactive`].
    pub steer: bool,
    /// Goes on in its own session after its process ended.
    pub continue_session: bool,
    /// Ends its turn by a message of its own, without a signal.
    pub abort: bool,
    /// Says what it writes while it writes.
    pub stream_text: bool,
    /// Says how many tokens it used.
    pub reports_usage: bool,
    /// Says what they cost, where it knows a price.
    pub reports_cost: bool,
    /// Takes a list of the tools it may use.
    pub tool_list: bool,
    /// Holds its tools in a sandbox of its own.
    pub sandbox: bool,
}

/// The session that an attempt works in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionPlan {
    /// A new one under this id.
    New {
        /// See [`SessionPlan::id_for`].
        id: String,
    },
    /// The agent's own record of an earlier attempt.
    Continue {
        /// Its id.
        id: String,
    },
}

impl SessionPlan {
    /// The id of the session that an attempt starts: starts and ends with a letter or digit, and is unique on the machine.
    pub fn id_for(run: RunId, task: &TaskId, n: AttemptNo) -> String {
        format!("{run}-{task}-{n}")
    }

    /// The id.
    pub fn id(&self) -> &str {
        match self {
            Self::New { id } | Self::Continue { id } => id,
        }
    }
}

/// Everything an adapter needs to know to start a worker. All paths are absolute.
#[derive(Debug, Clone)]
pub struct LaunchRequest {
    /// Run.
    pub run: RunId,
    /// Task.
    pub task: TaskId,
    /// Step of the workflow.
    pub step: String,
    /// Role in the team.
    pub role: String,
    /// Agent by name.
    pub agent: String,
    /// Attempt.
    pub attempt: AttemptNo,
    /// The agent program as probed; its arguments go before all others. Unused by `command`.
    pub program: ProgramSpec,
    /// Argument vector of a `command` agent.
    pub command: Vec<String>,
    /// What the worker is told.
    pub prompt: String,
    /// Who the worker is; empty leaves the program's own words alone.
    pub system_prompt: String,
    /// Whether the system prompt is added to the program's own (`true`) or takes its place.
    pub append_prompt: bool,
    /// Model, `provider/id[:thinking]`; `None` takes the user's own setting.
    pub model: Option<String>,
    /// Thinking level.
    pub thinking: Option<String>,
    /// Tool allow-list; `None` is no restriction beyond that of `access`.
    pub tools: Option<Vec<String>>,
    /// What it may do to the tree.
    pub access: Access,
    /// Session.
    pub session: SessionPlan,
    /// Folder for the agent's own session records, in the run's folder.
    pub session_dir: String,
    /// Directory it works in.
    pub cwd: String,
    /// Directory for files that it wants to hand on.
    pub artifacts: String,
    /// Where the prompt is kept as a file. Other files of the launch are written beside it.
    pub prompt_file: String,
    /// Whether the user's project context (such as `AGENTS.md`) stays.
    pub inherit_project_context: bool,
    /// Whether the user's skills stay.
    pub inherit_skills: bool,
    /// Whether a person may want to speak to it while it works.
    pub interactive: bool,
}

/// What an adapter makes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launch {
    /// A process.
    Start(Box<StartPlan>),
    /// Nothing is started; this is the result, and it says so.
    Nothing {
        /// Files to write all the same.
        files: Vec<FileToWrite>,
        /// The result text.
        result: String,
    },
}

/// How to start a worker, feed it and stop it. Plain data for driver and shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartPlan {
    /// Program and arguments. Holds no secret: every user of the machine can read it.
    pub argv: Vec<String>,
    /// Variables added to the run's environment; they win over it.
    pub env: Vec<(String, String)>,
    /// Files to write before the start, readable by the user alone.
    pub files: Vec<FileToWrite>,
    /// Standard input.
    pub stdin: Stdin,
    /// Standard input is closed when a line of standard output starts with one of these: then the work is over. The shim
    /// can do it without an engine; the parser says [`crate::WorkerEvent::Settled`] at the same lines.
    pub close_stdin_on: Vec<Vec<u8>>,
    /// Lines of standard output that start with one of these carry nothing that is not said again, and need not be kept.
    pub drop_prefixes: Vec<Vec<u8>>,
    /// How to stop it.
    pub stop: StopPlan,
    /// What could not be passed on as asked, for people.
    pub notices: Vec<String>,
}

/// A file that must exist before the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileToWrite {
    /// Absolute path.
    pub path: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// What a worker finds on its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing: end of file at once.
    Null,
    /// These bytes, then end of file.
    Bytes(Vec<u8>),
    /// These bytes, then whatever is sent while it works, until it is closed.
    OpenWith(Vec<u8>),
}

/// How to stop a worker: its own message, then a signal, then SIGKILL. The sweep of its descendants follows in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopPlan {
    /// The program's own way to end its turn, for standard input.
    pub abort: Option<Vec<u8>>,
    /// How long that may take, in milliseconds; 0 without `abort`.
    pub abort_grace_ms: u64,
    /// Signal that asks the program to leave.
    pub signal: i32,
    /// How long that may take, in milliseconds.
    pub signal_grace_ms: u64,
    /// How long the program may linger after its terminal event before it is told to leave, in milliseconds.
    pub linger_ms: u64,
}

/// SIGTERM on every Unix.
pub const SIGTERM: i32 = 15;

impl StopPlan {
    /// SIGTERM, two seconds, SIGKILL.
    pub fn by_signal() -> Self {
        Self { abort: None, abort_grace_ms: 0, signal: SIGTERM, signal_grace_ms: 2_000, linger_ms: 10_000 }
    }
}

/// Why a request cannot become a launch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// The agent file of a `command` agent names no program.
    #[error(
        "agent `{agent}` has runtime `command` but no `command:` line; give it an argument list such as [\"sh\", \"-c\", \"…\"]"
    )]
    NoCommand {
        /// Agent.
        agent: String,
    },
    /// An argument holds a byte that no argument can hold.
    #[error("{what} of agent `{agent}` contains a control character; remove it")]
    ControlByte {
        /// Agent.
        agent: String,
        /// Which field.
        what: &'static str,
    },
    /// The program was not probed, or the probe found no path.
    #[error("no program is known for runtime `{0}`; run `windlass doctor`")]
    NoProgram(RuntimeKind),
}

/// The variables that every worker finds, whatever its runtime.
pub(crate) fn common_env(request: &LaunchRequest) -> Vec<(String, String)> {
    [
        ("WINDLASS_RUN", request.run.to_string()),
        ("WINDLASS_TASK", request.task.to_string()),
        ("WINDLASS_STEP", request.step.clone()),
        ("WINDLASS_ATTEMPT", request.attempt.to_string()),
        ("WINDLASS_ARTIFACTS", request.artifacts.clone()),
        ("WINDLASS_PROMPT_FILE", request.prompt_file.clone()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.replace('\0', "")))
    .collect()
}

/// The prompt as a file.
pub(crate) fn prompt_file(request: &LaunchRequest) -> FileToWrite {
    FileToWrite { path: request.prompt_file.clone(), bytes: request.prompt.clone().into_bytes() }
}
