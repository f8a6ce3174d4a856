//! Understanding a rehearsal's output.

use super::MODEL;
use crate::ending::{Ending, Said, WorkerEnd, conclude};
use crate::event::{Parser, STATE_LIMIT, Stream, WorkerEvent};
use crate::lines::{Keep, Line, Lines};
use crate::text::{LINE_LIMIT, TEXT_LIMIT, TOOL_LIMIT, clip, head_and_tail, name, one_line, tail};
use serde::{Deserialize, Serialize};
use windlass_events::{ErrorClass, Usage};

const VERSION: u32 = 1;
const LINE_BYTES: usize = 16 * 1024 * 1024;
const STDERR_TAIL: usize = 2_000;

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    version: u32,
    stdout: Lines,
    stderr: Lines,
    session: Option<String>,
    usage: Usage,
    answer: Option<String>,
    error: Option<(String, ErrorClass)>,
    ended: bool,
    unreadable: bool,
    stderr_tail: String,
}

pub(super) struct RehearsalParser {
    state: State,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    Rehearsal,
    Delta {
        text: String,
    },
    Text {
        text: String,
    },
    ToolStart {
        id: String,
        name: String,
        summary: String,
    },
    ToolEnd {
        id: String,
        name: String,
        ok: bool,
        #[serde(default)]
        error: String,
    },
    Usage {
        input: u64,
        output: u64,
        cache_read: u64,
        cache_write: u64,
    },
    Steered {
        id: String,
    },
    Answer {
        text: String,
    },
    Error {
        class: String,
        message: String,
    },
    End,
}

impl RehearsalParser {
    pub(super) fn new(session: Option<&str>, state: Option<&[u8]>) -> Option<Self> {
        let state = match state {
            Some(bytes) => serde_json::from_slice::<State>(bytes).ok().filter(|s| s.version == VERSION)?,
            None => State { version: VERSION, session: session.map(name), ..State::default() },
        };
        Some(Self { state })
    }
}

fn keep(_: &[u8]) -> Keep {
    Keep::UpTo(LINE_BYTES)
}

fn keep_stderr(_: &[u8]) -> Keep {
    Keep::UpTo(8 * 1024)
}

impl Parser for RehearsalParser {
    fn feed(&mut self, stream: Stream, bytes: &[u8], out: &mut Vec<WorkerEvent>) {
        let state = &mut self.state;
        match stream {
            Stream::Stdout => {
                let mut lines = std::mem::take(&mut state.stdout);
                lines.feed(bytes, keep, |line| state.line(line, out));
                state.stdout = lines;
            }
            Stream::Stderr => {
                let mut lines = std::mem::take(&mut state.stderr);
                lines.feed(bytes, keep_stderr, |line| state.stderr_line(line, out));
                state.stderr = lines;
            }
        }
    }

    fn finish(&mut self, end: &WorkerEnd, out: &mut Vec<WorkerEvent>) -> Ending {
        let state = &mut self.state;
        std::mem::take(&mut state.stdout).finish(keep, |line| state.line(line, out));
        std::mem::take(&mut state.stderr).finish(keep_stderr, |line| state.stderr_line(line, out));
        let answer = state.answer.take();
        let (outcome, failure) = conclude(
            end,
            &Said {
                program: "the rehearsal",
                error: state.error.as_ref().map(|(text, class)| (text.as_str(), Some(*class))),
                finished: state.ended,
                spoiled: state.unreadable.then_some((
                    "part of the rehearsal's output could not be read",
                    ErrorClass::NoTerminalEvent,
                )),
                has_text: Some(answer.as_ref().is_some_and(|a| !a.trim().is_empty())),
                stderr: tail(&state.stderr_tail, STDERR_TAIL),
            },
        );
        Ending {
            outcome,
            failure,
            result: answer.map(String::into_bytes),
            truncated: false,
            usage: state.usage,
            session: state.session.clone(),
            model: Some(MODEL.to_owned()),
        }
    }

    fn state(&self) -> Option<Vec<u8>> {
        let s = &self.state;
        let held = 2 * (s.stdout.held() + s.stderr.held()) + s.answer.as_ref().map_or(0, String::len);
        if held > STATE_LIMIT {
            return None;
        }
        serde_json::to_vec(s).ok().filter(|bytes| bytes.len() <= STATE_LIMIT)
    }
}

impl State {
    fn line(&mut self, line: Line<'_>, out: &mut Vec<WorkerEvent>) {
        let event = if line.cut { None } else { serde_json::from_slice::<Event>(line.head).ok() };
        let Some(event) = event else {
            self.unreadable = true;
            let head = &line.head[..line.head.len().min(8 * 1024)];
            out.push(WorkerEvent::Log { line: one_line(&String::from_utf8_lossy(head), LINE_LIMIT) });
            return;
        };
        out.push(match event {
            Event::Rehearsal => WorkerEvent::Model { name: MODEL.to_owned() },
            Event::Delta { text } => WorkerEvent::TextDelta { text: clip(&text, TEXT_LIMIT) },
            Event::Text { text } => message(&text),
            Event::ToolStart { id, name: tool, summary } => {
                let arguments = head_and_tail(&summary, TOOL_LIMIT).0;
                let summary = one_line(&summary, 200);
                WorkerEvent::ToolStart { id: name(&id), name: name(&tool), summary, arguments }
            }
            Event::ToolEnd { id, name: tool, ok, error } => WorkerEvent::ToolEnd {
                id: name(&id),
                name: name(&tool),
                ok,
                output: head_and_tail(&error, TOOL_LIMIT).0,
            },
            Event::Usage { input, output, cache_read, cache_write } => {
                // Nobody is paid, and that is known: no money, and no token without a price.
                let usage = Usage { input, output, cache_read, cache_write, turns: 1, ..Usage::default() };
                self.usage = self.usage.plus(&usage);
                WorkerEvent::Usage(self.usage)
            }
            Event::Steered { id } => WorkerEvent::SteerAnswered { id: name(&id), error: None },
            Event::Answer { text } => {
                let event = message(&text);
                self.answer = Some(text);
                event
            }
            Event::Error { class, message } => {
                let class = ErrorClass::parse(&class).unwrap_or(ErrorClass::Provider);
                let shown = one_line(&message, LINE_LIMIT);
                self.error = Some((clip(&message, 4_000), class));
                WorkerEvent::Error { message: shown }
            }
            Event::End => {
                self.ended = true;
                WorkerEvent::Settled
            }
        });
    }

    fn stderr_line(&mut self, line: Line<'_>, out: &mut Vec<WorkerEvent>) {
        let text = one_line(&String::from_utf8_lossy(line.head), LINE_LIMIT);
        if text.is_empty() {
            return;
        }
        self.stderr_tail.push_str(&text);
        self.stderr_tail.push('\n');
        if self.stderr_tail.len() > 2 * STDERR_TAIL {
            self.stderr_tail = tail(&self.stderr_tail, STDERR_TAIL).to_owned();
        }
        out.push(WorkerEvent::Log { line: text });
    }
}

fn message(text: &str) -> WorkerEvent {
    let (shown, clipped) = head_and_tail(text, TEXT_LIMIT);
    WorkerEvent::Message { text: shown, bytes: text.len() as u64, clipped }
}
