//! How an attempt ended: the recorded end of the process and what the agent said, brought together.
//!
//! The order is the same for every runtime: why Windlass stopped it, then signals, then the agent's own error, then the exit
//! code, then whether it said that it had finished, then whether it said anything.

use crate::adapter::SIGTERM;
use crate::classify::{classify, hint};
use crate::text::{few_lines, one_line};
use windlass_events::outcome::Failure;
use windlass_events::{ErrorClass, Outcome, Usage};

/// Why the shim stopped a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// On request.
    Cancel,
    /// No output for too long.
    Silence,
    /// Past its wall-clock limit.
    Wall,
    /// More output than it may.
    OutputLimit,
    /// It could not be started; the text says why.
    CannotStart(String),
    /// The process that hosted the engine ended (`--no-daemon`).
    Tied,
    /// It lingered after its terminal event.
    AfterEnd,
}

/// The end of a worker's process as its shim recorded it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerEnd {
    /// Exit code, when it exited.
    pub exit: Option<i32>,
    /// Signal, when one ended it.
    pub signal: Option<i32>,
    /// Why it was stopped; `None` when it ended by itself.
    pub stopped: Option<Stopped>,
    /// Whether output is missing from the record.
    pub truncated: bool,
}

impl WorkerEnd {
    /// An exit by itself.
    pub fn exited(code: i32) -> Self {
        Self { exit: Some(code), ..Self::default() }
    }
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Outcome.
    pub outcome: Outcome,
    /// What went wrong; `None` when clean or cancelled.
    pub failure: Option<Failure>,
    /// The final text, byte for byte as the agent gave it. Also kept when the outcome is not clean and there is one.
    pub result: Option<Vec<u8>>,
    /// Whether `result` is not all of it.
    pub truncated: bool,
    /// Totals of the attempt.
    pub usage: Usage,
    /// The agent's own session.
    pub session: Option<String>,
    /// Model that answered last.
    pub model: Option<String>,
}

impl Ending {
    /// The ending of a [`crate::Launch::Nothing`].
    pub fn nothing(result: String) -> Self {
        Self {
            outcome: Outcome::Clean,
            failure: None,
            result: Some(result.into_bytes()),
            truncated: false,
            usage: Usage::default(),
            session: None,
            model: None,
        }
    }
}

/// What a parser knows of an attempt when its process is gone.
#[derive(Debug, Default)]
pub(crate) struct Said<'a> {
    /// The program's name, for messages.
    pub program: &'a str,
    /// An error that the agent or its provider reported last, and its class where the agent says it.
    pub error: Option<(&'a str, Option<ErrorClass>)>,
    /// Whether the runtime's terminal event came; `true` for a runtime that has none.
    pub finished: bool,
    /// Why the answer cannot count although everything else is well.
    pub spoiled: Option<(&'a str, ErrorClass)>,
    /// Whether there is a result text. `None` for a runtime that may say nothing.
    pub has_text: Option<bool>,
    /// The end of standard error.
    pub stderr: &'a str,
}

/// Brings the end of the process and what was said together.
pub(crate) fn conclude(end: &WorkerEnd, said: &Said<'_>) -> (Outcome, Option<Failure>) {
    if let Some(done) = stopped(end, said) {
        return done;
    }
    if let Some(signal) = foreign_signal(end) {
        let message = format!("{} was ended by signal {signal}, which Windlass did not send", said.program);
        return (
            Outcome::Signal(signal),
            Some(Failure::new(ErrorClass::Signal, message).hint(if signal == 9 {
                "signal 9 is often the system running out of memory; see `dmesg`"
            } else {
                ""
            })),
        );
    }
    if let Some((error, class)) = said.error {
        let class = class.unwrap_or_else(|| classify(error));
        return (Outcome::ProviderError, Some(failure(class, error)));
    }
    match end.exit {
        Some(0) => {}
        // Stopped after its terminal event: the answer is whole, only the program did not leave.
        _ if end.stopped == Some(Stopped::AfterEnd) && said.finished => {}
        Some(code) => return (Outcome::Exit(code), Some(exit_failure(said, code))),
        None => {
            let message = format!("how {} ended is not recorded", said.program);
            return (Outcome::NoTerminalEvent, Some(Failure::new(ErrorClass::NoTerminalEvent, message)));
        }
    }
    if !said.finished {
        let message = if end.truncated {
            format!("part of the output of {} is missing, and no terminal event is in the rest", said.program)
        } else {
            format!("{} ended without saying that it had finished{}", said.program, because(said.stderr))
        };
        return (Outcome::NoTerminalEvent, Some(Failure::new(ErrorClass::NoTerminalEvent, message)));
    }
    if let Some((message, class)) = said.spoiled {
        let outcome = if class == ErrorClass::NoTerminalEvent {
            Outcome::NoTerminalEvent
        } else {
            Outcome::ProviderError
        };
        return (outcome, Some(failure(class, message)));
    }
    if said.has_text == Some(false) {
        let message = format!("{} finished without any text", said.program);
        return (Outcome::EmptyOutput, Some(Failure::new(ErrorClass::EmptyOutput, message)));
    }
    (Outcome::Clean, None)
}

fn stopped(end: &WorkerEnd, said: &Said<'_>) -> Option<(Outcome, Option<Failure>)> {
    let program = said.program;
    Some(match end.stopped.as_ref()? {
        Stopped::Cancel | Stopped::Tied => (Outcome::Cancelled, None),
        Stopped::Silence => (
            Outcome::Silence,
            Some(Failure::new(
                ErrorClass::Silence,
                format!("{program} said nothing for too long and was stopped"),
            )),
        ),
        Stopped::Wall => (
            Outcome::WallClock,
            Some(Failure::new(
                ErrorClass::WallClock,
                format!("{program} ran past its time limit and was stopped"),
            )),
        ),
        Stopped::OutputLimit => (
            Outcome::OutputLimit,
            Some(Failure::new(
                ErrorClass::OutputLimit,
                format!("{program} wrote more than it may and was stopped"),
            )),
        ),
        Stopped::CannotStart(why) => (
            Outcome::CannotStart,
            Some(Failure::new(
                ErrorClass::CannotStart,
                format!("{program} could not be started: {}", one_line(why, 500)),
            )),
        ),
        Stopped::AfterEnd => return None,
    })
}

/// The signal that ended the worker, unless Windlass sent it. Programs that catch SIGTERM or SIGHUP leave with 128 + signal.
fn foreign_signal(end: &WorkerEnd) -> Option<i32> {
    if end.stopped.is_some() {
        return None;
    }
    end.signal.or(match end.exit {
        Some(143) => Some(SIGTERM),
        Some(129) => Some(1),
        _ => None,
    })
}

fn failure(class: ErrorClass, message: &str) -> Failure {
    Failure::new(class, few_lines(message, 8)).hint(hint(class))
}

fn exit_failure(said: &Said<'_>, code: i32) -> Failure {
    let message = format!("{} ended with exit code {code}{}", said.program, because(said.stderr));
    match classify(said.stderr) {
        class @ (ErrorClass::Auth | ErrorClass::Quota) => failure(class, &message),
        _ => Failure::new(ErrorClass::Exit, message),
    }
}

/// The end of standard error as the rest of a sentence.
fn because(stderr: &str) -> String {
    let stderr = stderr.trim();
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}
