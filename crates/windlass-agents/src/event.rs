//! What a worker's output says, in words that are the same for every runtime.

use crate::ending::{Ending, WorkerEnd};
use windlass_events::Usage;

/// Which of a worker's outputs bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Something a worker did or said. Every text is bounded (see [`crate::text`]); names and one-line texts hold no control bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerEvent {
    /// The agent's own session has this id.
    Session {
        /// Id.
        id: String,
    },
    /// A model answered.
    Model {
        /// `provider/id`.
        name: String,
    },
    /// The model is thinking and says nothing yet.
    Thinking,
    /// The next piece of what it writes, as it is written. Best effort: [`WorkerEvent::Message`] has it all again.
    TextDelta {
        /// The piece.
        text: String,
    },
    /// A message of the agent is complete.
    Message {
        /// Its text; when `clipped`, its beginning and end.
        text: String,
        /// Size of the whole text in bytes.
        bytes: u64,
        /// Whether `text` is not all of it.
        clipped: bool,
    },
    /// A tool is in use.
    ToolStart {
        /// Id of the call.
        id: String,
        /// Name of the tool.
        name: String,
        /// Its main argument, on one line.
        summary: String,
        /// All of its arguments as the program wrote them; of longer ones than [`crate::text::TOOL_LIMIT`] beginning and end.
        arguments: String,
    },
    /// A tool is done.
    ToolEnd {
        /// Id of the call.
        id: String,
        /// Name of the tool.
        name: String,
        /// Whether it did what it was asked.
        ok: bool,
        /// What it gave back; of more than [`crate::text::TOOL_LIMIT`] beginning and end. Empty where the program does not say.
        output: String,
    },
    /// What the attempt has used so far: totals, not a difference.
    Usage(Usage),
    /// The program tries again by itself.
    Retry {
        /// Which try is next, from 1.
        attempt: u32,
        /// How many there are at most.
        of: u32,
        /// How long it waits first, in milliseconds.
        delay_ms: u64,
        /// Why.
        message: String,
    },
    /// Nothing more will happen by itself: standard input can be closed.
    Settled,
    /// The program asks something and waits. Unless a person is asked, send `decline`.
    Question {
        /// Id of the question.
        id: String,
        /// What is asked, on one line.
        text: String,
        /// Bytes for standard input that say no.
        decline: Vec<u8>,
    },
    /// The program took a person's text, or says why not.
    SteerAnswered {
        /// Id given to [`crate::Adapter::steer`].
        id: String,
        /// Why it will not be heard; `None` when it will.
        error: Option<String>,
    },
    /// A line of standard error, or one of standard output that belongs to no protocol.
    Log {
        /// The line.
        line: String,
    },
    /// Something went wrong; whether it is the end is said by the [`Ending`].
    Error {
        /// What.
        message: String,
    },
}

/// Understands the output of one attempt.
pub trait Parser: Send {
    /// Takes the next bytes of a stream and adds what they say.
    fn feed(&mut self, stream: Stream, bytes: &[u8], out: &mut Vec<WorkerEvent>);

    /// Takes the recorded end of the process, adds what the last unfinished line says, and concludes.
    fn finish(&mut self, end: &WorkerEnd, out: &mut Vec<WorkerEvent>) -> Ending;

    /// A small versioned state from which a parser of the same version goes on with the next byte as if nothing had happened.
    /// `None` while that would be larger than [`STATE_LIMIT`], as in the middle of a very long line: try again later.
    fn state(&self) -> Option<Vec<u8>>;
}

/// The largest state, in bytes.
pub const STATE_LIMIT: usize = 64 * 1024;
