//! What an attempt said and did, readable: its spool as its runtime's parser understands it, as Markdown.
//!
//! Memory and size are bounded whatever the spool holds: of what is too much, beginning and end stay. Every text of an agent or a tool
//! stands in a fence that nothing in it can close, its control characters written out, and what looks like a key is replaced: in the spool
//! only the known secrets of the run are.

use crate::query::worker_end;
use std::collections::VecDeque;
use std::path::Path;
use windlass_agents::{Parser, Stream, WorkerEvent};
use windlass_core::task::{Attempt, Task};
use windlass_events::{AttemptStatus, Millis, RunId};
use windlass_prompts::fence::{code, fenced};
use windlass_redact::patterns::redact_text;
use windlass_worker::spool::{FrameKind, SpoolError};
use windlass_worker::{EndRecord, SpoolReader};

/// How much of the beginning, and again of the end, is kept of a transcript, in bytes.
const HALF: usize = 512 << 10;
/// How much is gathered of a worker's lines before they become an entry, in bytes.
const LINES: usize = 8 << 10;

/// The transcript of an attempt that is over.
///
/// # Errors
/// When its spool cannot be opened. Damage further on is said where it begins.
pub(super) fn transcript(
    run: RunId,
    task: &Task,
    attempt: &Attempt,
    spool: &Path,
) -> Result<Vec<u8>, SpoolError> {
    let mut reader = SpoolReader::open(spool)?;
    let mut writing = Writing::new(head(run, task, attempt));
    let mut understood = Understood::new(task, attempt);
    loop {
        match reader.next_frame() {
            Ok(None) => break,
            Err(e) => {
                writing.entry(attempt.ended_at.unwrap_or(0), "damage", &e.to_string());
                break;
            }
            Ok(Some(frame)) => {
                let at = frame.wall_ms;
                match frame.kind {
                    FrameKind::Stdout => understood.feed(Stream::Stdout, frame.data, at, &mut writing),
                    FrameKind::Stderr => understood.feed(Stream::Stderr, frame.data, at, &mut writing),
                    FrameKind::End => {
                        if let Ok(end) = serde_json::from_slice::<EndRecord>(frame.data) {
                            understood.end(&end, at, &mut writing);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(writing.finish(run, task, attempt))
}

/// Whose it is.
fn head(run: RunId, task: &Task, attempt: &Attempt) -> String {
    let spec = &task.spec;
    let mut text = format!("# {}, attempt {}\n\n", code(spec.id.as_str()), attempt.n);
    text.push_str(&format!(
        "Run {run}, step {}, role {}, agent {}, runtime {}",
        code(&spec.step),
        code(&spec.role),
        code(&spec.agent),
        spec.runtime
    ));
    let model = attempt.end.as_ref().and_then(|e| e.model.as_deref()).or(attempt.model.as_deref());
    if let Some(model) = model {
        text.push_str(&format!(", model {}", code(model)));
    }
    text.push_str(&format!(".\nStarted {}, cause: {}.\n", crate::when(attempt.started_at), attempt.cause));
    if spec.runtime.is_model() {
        // Commands that are told the same share a file.
        let told = format!("prompts/{}.{}.md", spec.id, attempt.n);
        text.push_str(&format!("What it was told is in {}.\n", code(&told)));
    }
    text
}

/// What it came to.
fn foot(attempt: &Attempt) -> String {
    let mut text = String::from("\n## How it ended\n\n");
    let end = attempt.end.as_ref();
    match (attempt.status, end) {
        (AttemptStatus::Lost, _) => text.push_str("It was lost: its process vanished without an end record"),
        (_, Some(end)) => text.push_str(&end.outcome.describe()),
        (status, None) => text.push_str(status.as_str()),
    }
    if let Some(at) = attempt.ended_at {
        text.push_str(&format!(", {}", crate::when(at)));
    }
    text.push_str(".\n");
    if let Some(failure) = end.and_then(|e| e.failure.as_ref()) {
        text.push_str(&format!("\n{}", fenced(&failure.message, "text")));
    }
    if let Some(result) = end.and_then(|e| e.result.as_ref()) {
        text.push_str(&format!("\nIts result is {}.\n", code(&result.path)));
    }
    text
}

/// How the bytes of a spool are read.
enum Understood {
    /// By the parser of the runtime, which named this model last.
    Parsed { parser: Box<dyn Parser>, model: String },
    /// As they are: a command speaks no protocol.
    Plain,
}

impl Understood {
    fn new(task: &Task, attempt: &Attempt) -> Self {
        let runtime = task.spec.runtime;
        let parser = Some(runtime)
            .filter(|r| r.is_model())
            .and_then(windlass_agents::adapter)
            .and_then(|a| a.parser(attempt.session.as_deref(), None));
        parser.map_or(Self::Plain, |parser| Self::Parsed { parser, model: String::new() })
    }

    fn feed(&mut self, stream: Stream, bytes: &[u8], at: Millis, to: &mut Writing) {
        match self {
            Self::Plain => to.lines(stream, bytes, at),
            Self::Parsed { parser, model } => {
                let mut events = Vec::new();
                parser.feed(stream, bytes, &mut events);
                events.into_iter().for_each(|e| said(e, at, model, to));
            }
        }
    }

    fn end(&mut self, end: &EndRecord, at: Millis, to: &mut Writing) {
        if let Self::Parsed { parser, model } = self {
            let mut events = Vec::new();
            // What it came to is in the journal; here only its last words count.
            let _ = parser.finish(&worker_end(end), &mut events);
            events.into_iter().for_each(|e| said(e, at, model, to));
        }
    }
}

/// Adds what an event of a parser says.
fn said(event: WorkerEvent, at: Millis, model: &mut String, to: &mut Writing) {
    match event {
        WorkerEvent::Message { text, bytes, clipped } => {
            let what = if clipped { format!("message of {bytes} bytes") } else { "message".to_owned() };
            to.entry(at, &what, &text);
        }
        WorkerEvent::ToolStart { name, arguments, .. } => to.entry(at, &code(&name), &arguments),
        WorkerEvent::ToolEnd { name, ok, output, .. } => {
            let what = match (ok, output.is_empty()) {
                (true, false) => "gave back",
                (true, true) => "ended",
                (false, _) => "failed",
            };
            to.entry(at, &format!("{} {what}", code(&name)), &output);
        }
        WorkerEvent::Model { name } if name != *model => {
            to.entry(at, "model", &name);
            *model = name;
        }
        WorkerEvent::Retry { attempt, of, message, .. } => {
            to.entry(at, &format!("try {attempt} of {of}"), &message)
        }
        WorkerEvent::Question { text, .. } => to.entry(at, "asked and declined", &text),
        WorkerEvent::Error { message } => to.entry(at, "error", &message),
        WorkerEvent::SteerAnswered { error: None, .. } => to.entry(at, "a person's words", "taken"),
        WorkerEvent::SteerAnswered { error: Some(error), .. } => to.entry(at, "a person's words", &error),
        WorkerEvent::Log { line } => to.lines(Stream::Stderr, format!("{line}\n").as_bytes(), at),
        // Said again as a whole, or told by the journal.
        WorkerEvent::TextDelta { .. }
        | WorkerEvent::Model { .. }
        | WorkerEvent::Session { .. }
        | WorkerEvent::Thinking
        | WorkerEvent::Usage(_)
        | WorkerEvent::Settled => {}
    }
}

/// A transcript that is being written.
struct Writing {
    head: String,
    /// Entries behind the beginning: the last of them.
    tail: VecDeque<String>,
    tail_bytes: usize,
    /// Entries between beginning and end.
    left_out: u64,
    /// Lines of a stream that are no entry yet, and when the first of them came.
    pending: Option<(Stream, Millis, Vec<u8>)>,
}

impl Writing {
    const fn new(head: String) -> Self {
        Self { head, tail: VecDeque::new(), tail_bytes: 0, left_out: 0, pending: None }
    }

    /// An entry with a text, which may be empty. `what` is Markdown of ours.
    fn entry(&mut self, at: Millis, what: &str, text: &str) {
        self.flush();
        let mut entry = format!("\n## {} {what}\n", clock(at));
        if !text.is_empty() {
            entry.push_str(&format!("\n{}", fenced(&redact_text(text), "text")));
        }
        self.push(entry);
    }

    /// Lines that a worker wrote, as they come.
    fn lines(&mut self, stream: Stream, bytes: &[u8], at: Millis) {
        if self.pending.as_ref().is_some_and(|p| p.0 != stream) {
            self.flush();
        }
        for part in bytes.chunks(LINES) {
            let (_, _, held) = self.pending.get_or_insert_with(|| (stream, at, Vec::new()));
            held.extend_from_slice(part);
            if held.len() < LINES {
                continue;
            }
            // Between lines where there is such a place.
            let cut = held.iter().rposition(|b| *b == b'\n').map_or(held.len(), |at| at + 1);
            let rest = held.split_off(cut);
            self.flush();
            if !rest.is_empty() {
                self.pending = Some((stream, at, rest));
            }
        }
    }

    fn flush(&mut self) {
        let Some((stream, at, bytes)) = self.pending.take() else { return };
        let what = match stream {
            Stream::Stdout => "output",
            Stream::Stderr => "standard error",
        };
        let text = String::from_utf8_lossy(&bytes);
        self.push(format!("\n## {} {what}\n\n{}", clock(at), fenced(&redact_text(&text), "text")));
    }

    fn push(&mut self, entry: String) {
        if self.tail.is_empty() && self.left_out == 0 && self.head.len() + entry.len() <= HALF {
            self.head.push_str(&entry);
            return;
        }
        self.tail_bytes += entry.len();
        self.tail.push_back(entry);
        while self.tail_bytes > HALF && self.tail.len() > 1 {
            if let Some(first) = self.tail.pop_front() {
                self.tail_bytes -= first.len();
                self.left_out += 1;
            }
        }
    }

    fn finish(mut self, run: RunId, task: &Task, attempt: &Attempt) -> Vec<u8> {
        self.flush();
        let mut text = self.head;
        if self.left_out > 0 {
            text.push_str(&format!(
                "\n## … {} entries are left out here\n\n`windlass logs {run}/{} --attempt {}` has all of them.\n",
                self.left_out, task.spec.id, attempt.n
            ));
        }
        text.extend(self.tail);
        text.push_str(&foot(attempt));
        text.push('\n');
        text.into_bytes()
    }
}

/// The time of day, in UTC.
fn clock(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at)
        .map_or_else(|_| "?".to_owned(), |t| t.strftime("%H:%M:%S").to_string())
}

#[cfg(test)]
mod tests;
