//! How an attempt of a worker or a gate ended: every way has a variant, none of them is read as another.

use crate::status::words;
use serde::{Deserialize, Serialize};

words! {
    /// Why an attempt did not do what it should, as far as retrying is concerned.
    ErrorClass {
        /// The provider refused the key or sign-in.
        Auth = "auth",
        /// The account is out of credit or over a long-term limit.
        Quota = "quota",
        /// Too many requests; later may work.
        RateLimit = "rate_limit",
        /// The provider is overloaded or answered 5xx.
        Overloaded = "overloaded",
        /// The connection failed or was cut.
        Network = "network",
        /// The conversation no longer fits the model.
        Context = "context",
        /// The request was refused as wrong (4xx, unknown model).
        BadRequest = "bad_request",
        /// Another error that the provider reported.
        Provider = "provider",
        /// The program ended with a non-zero code.
        Exit = "exit",
        /// The program was ended by a signal that Windlass did not send.
        Signal = "signal",
        /// No output for too long.
        Silence = "silence",
        /// Longer than its wall-clock limit.
        WallClock = "wall_clock",
        /// The program could not be started.
        CannotStart = "cannot_start",
        /// It ended well and said nothing.
        EmptyOutput = "empty_output",
        /// It ended without saying that it had finished.
        NoTerminalEvent = "no_terminal_event",
        /// It wrote more than it may.
        OutputLimit = "output_limit",
        /// Its shim vanished.
        Lost = "lost",
        /// A gate that must be green is red.
        Gate = "gate",
        /// A verifier's verdict is FAIL.
        Verdict = "verdict",
        /// A role that may only read changed the tree.
        ReadOnlyChanged = "read_only_changed",
        /// Processes of an attempt could not be proved gone.
        NotSwept = "not_swept",
        /// A file the task promised is not there.
        MissingOutput = "missing_output",
        /// A plan or a list that tasks were to be made from is not one.
        Plan = "plan",
        /// Tasks that grew from it did not complete.
        Parts = "parts",
        /// Windlass itself could not do its part (disk, git).
        Internal = "internal",
    }
}

impl ErrorClass {
    /// Whether a new attempt by itself may help. The others need a person, or a gate's output as a repair.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::RateLimit
                | Self::Overloaded
                | Self::Network
                | Self::Provider
                | Self::Signal
                | Self::Silence
                | Self::EmptyOutput
                | Self::NoTerminalEvent
                | Self::Lost
        )
    }
}

/// How the process tree of an attempt came to its end, as its shim recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Exit code 0, a result, and the runtime's own terminal event where it has one.
    Clean,
    /// The program ended with this code, not 0.
    Exit(i32),
    /// The program was ended by this signal.
    Signal(i32),
    /// No output within the silence limit; stopped.
    Silence,
    /// Still running at the wall-clock limit; stopped.
    WallClock,
    /// Stopped on request.
    Cancelled,
    /// The program could not be started.
    CannotStart,
    /// The provider reported an error, whatever the exit code.
    ProviderError,
    /// Exit code 0 and no result text.
    EmptyOutput,
    /// Exit code 0 and no terminal event.
    NoTerminalEvent,
    /// More output than the limit; stopped.
    OutputLimit,
}

impl Outcome {
    /// Whether this is the one outcome from which a task can complete.
    pub const fn is_clean(&self) -> bool {
        matches!(self, Self::Clean)
    }

    /// The outcome in a few words, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Clean => "finished".into(),
            Self::Exit(code) => format!("exit code {code}"),
            Self::Signal(signal) => format!("killed by signal {signal}"),
            Self::Silence => "no output for too long".into(),
            Self::WallClock => "ran past its time limit".into(),
            Self::Cancelled => "cancelled".into(),
            Self::CannotStart => "could not be started".into(),
            Self::ProviderError => "the model provider reported an error".into(),
            Self::EmptyOutput => "finished without any output".into(),
            Self::NoTerminalEvent => "ended without saying that it had finished".into(),
            Self::OutputLimit => "wrote more output than it may".into(),
        }
    }
}

/// What went wrong, for people and for retry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For retry.
    pub class: ErrorClass,
    /// What happened, one or a few lines, no control bytes.
    pub message: String,
    /// What to do about it, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), hint: String::new() }
    }

    /// The same failure with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}
