//! What is asked of an agent program before a run is created, and what the answers mean. Nothing here costs a token.
//!
//! An adapter gives the questions as data, the caller asks them (with the environment that the worker will get), and
//! the adapter reads the answers.

/// What the caller wants to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProbeRequest {
    /// Arguments that go before all others, such as provider packages.
    pub args: Vec<String>,
    /// Models that the run names; empty takes the user's own setting.
    pub models: Vec<String>,
}

/// The questions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProbePlan {
    /// To be asked in this order, each as a process of its own. They do not depend on one another and may run side by side.
    pub steps: Vec<ProbeStep>,
    /// Programs that the agent's tools need.
    pub helpers: Vec<Helper>,
}

/// One start of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeStep {
    /// Arguments after the program.
    pub args: Vec<String>,
    /// Variables added to the run's environment.
    pub env: Vec<(String, String)>,
    /// Standard input, then end of file.
    pub stdin: Vec<u8>,
    /// Longest time it may take, in milliseconds.
    pub limit_ms: u64,
    /// How many bytes of standard output are kept; more make the answer useless.
    pub max_bytes: usize,
}

/// A program that one of the agent's tools needs. Missing ones are said, they do not stop a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper {
    /// Names on `PATH`; any of them will do.
    pub names: &'static [&'static str],
    /// Places below the user's home folder where it may be instead.
    pub home_paths: &'static [&'static str],
    /// What to say when it is missing.
    pub notice: &'static str,
}

/// What one start brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// Exit code.
    pub exit: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Why there is no whole answer: could not be started, took too long, said too much.
    pub problem: Option<String>,
}

/// A model that the program can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// `provider/id`.
    pub name: String,
    /// Whether the program knows what it costs.
    pub priced: bool,
    /// Tokens that fit, 0 where unknown.
    pub context: u64,
}

/// What is known of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probed {
    /// Version as it says it.
    pub version: String,
    /// The model that it uses when none is named.
    pub model: Option<ModelInfo>,
    /// Models that it can sign in to, at most 2,000.
    pub models: Vec<ModelInfo>,
    /// What a person should know before the start.
    pub notices: Vec<String>,
}

/// Why a program cannot be used, and the command that mends it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ProbeError {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl ProbeError {
    /// An error with what to do about it.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}
