//! Understanding pi's JSON and RPC output: one line, one event.
//!
//! A text comes up to five times (`message_update`, `text_end`, `message_end`, `turn_end`, `agent_end`). Only `message_end` counts;
//! `turn_end` and `agent_end` are passed over without being held, and `message_update` gives live text and nothing else, so that
//! a shim may drop it. Usage is the sum over the assistant's `message_end` and over compactions, which pay a model as well.

use super::launch::PROMPT_ID;
use super::wire::{
    Args, CompactionResult, Delta, Message, MessageEnd, Other, Text, ToolResult, WireUsage, raw_text,
};
use crate::ending::{Ending, Said, WorkerEnd, conclude};
use crate::event::{Parser, STATE_LIMIT, Stream, WorkerEvent};
use crate::lines::{Keep, Line, Lines};
use crate::text::{LINE_LIMIT, TEXT_LIMIT, TOOL_LIMIT, clip, head_and_tail, name, one_line, tail};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use windlass_events::{ErrorClass, Usage};

/// Version of the serialised state. A change of its fields or of their meaning raises it.
const VERSION: u32 = 1;
/// Longest final message that is kept whole, in bytes of its line.
const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;
/// Longest other line that is kept whole.
const LINE_BYTES: usize = 64 * 1024;
/// How much of the end of standard error is kept for messages.
const STDERR_TAIL: usize = 2_000;

const ASSISTANT_END: &[u8] = br#"{"type":"message_end","message":{"role":"assistant""#;
const TEXT_DELTA: &[u8] = br#""assistantMessageEvent":{"type":"text_delta""#;
const THINKING_START: &[u8] = br#""assistantMessageEvent":{"type":"thinking_start""#;

#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    stdout: Lines,
    stderr: Lines,
    session: Option<String>,
    model: Option<String>,
    usage: Usage,
    /// `agent_settled` came and nothing began after it.
    settled: bool,
    /// pi did not take the prompt.
    refused: Option<String>,
    last: Option<Last>,
    stderr_tail: String,
}

/// The last message of the assistant.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Last {
    text: String,
    stop: String,
    error: Option<String>,
    /// Its text is not all of it.
    cut: bool,
    /// It could not be read.
    unreadable: bool,
}

/// The parser of one attempt.
pub(super) struct PiParser {
    state: State,
}

impl PiParser {
    pub(super) fn new(session: Option<&str>, state: Option<&[u8]>) -> Option<Self> {
        let state = match state {
            Some(bytes) => serde_json::from_slice::<State>(bytes).ok().filter(|s| s.version == VERSION)?,
            None => State {
                version: VERSION,
                stdout: Lines::default(),
                stderr: Lines::default(),
                session: session.map(name),
                model: None,
                usage: Usage::default(),
                settled: false,
                refused: None,
                last: None,
                stderr_tail: String::new(),
            },
        };
        Some(Self { state })
    }
}

impl Parser for PiParser {
    fn feed(&mut self, stream: Stream, bytes: &[u8], out: &mut Vec<WorkerEvent>) {
        let state = &mut self.state;
        match stream {
            Stream::Stdout => {
                let mut lines = std::mem::take(&mut state.stdout);
                lines.feed(bytes, keep, |line| state.stdout_line(line, out));
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
        let mut lines = std::mem::take(&mut state.stdout);
        lines.finish(keep, |line| state.stdout_line(line, out));
        let mut lines = std::mem::take(&mut state.stderr);
        lines.finish(keep_stderr, |line| state.stderr_line(line, out));
        state.ending(end)
    }

    fn state(&self) -> Option<Vec<u8>> {
        let s = &self.state;
        let held = 2 * (s.stdout.held() + s.stderr.held()) + s.last.as_ref().map_or(0, |l| l.text.len());
        // Cheap before exact: text is serialised at its own length or more.
        if held > STATE_LIMIT {
            return None;
        }
        serde_json::to_vec(s).ok().filter(|bytes| bytes.len() <= STATE_LIMIT)
    }
}

/// What becomes of a line, by its beginning.
fn keep(head: &[u8]) -> Keep {
    let Some(rest) = head.strip_prefix(br#"{"type":""#) else { return Keep::UpTo(LINE_BYTES) };
    let kind = memchr::memchr(b'"', rest).map_or(rest, |end| &rest[..end]);
    match kind {
        b"message_update" => Keep::UpTo(LINE_BYTES),
        b"message_end" if head.starts_with(ASSISTANT_END) => Keep::UpTo(MESSAGE_LIMIT),
        b"message_end" if memmem::find(head, br#""message":{"role":""#).is_some() => Keep::Skip,
        b"message_end" => Keep::UpTo(MESSAGE_LIMIT),
        b"message_start"
        | b"turn_start"
        | b"turn_end"
        | b"agent_end"
        | b"tool_execution_update"
        | b"queue_update"
        | b"entry_appended"
        | b"session_info_changed"
        | b"bash_execution_update" => Keep::Skip,
        _ => Keep::UpTo(LINE_BYTES),
    }
}

fn keep_stderr(_: &[u8]) -> Keep {
    Keep::UpTo(8 * 1024)
}

impl State {
    fn stdout_line(&mut self, line: Line<'_>, out: &mut Vec<WorkerEvent>) {
        if line.head.starts_with(br#"{"type":"message_update""#) {
            live(line.head, out);
        } else if line.head.starts_with(br#"{"type":"message_end""#) {
            self.message_end(line, out);
        } else if line.cut {
            self.cut_line(line, out);
        } else if let Ok(other) = serde_json::from_slice::<Other<'_>>(line.head) {
            self.other(&other, line.head, out);
        } else {
            log(line.head, out);
        }
    }

    fn message_end(&mut self, line: Line<'_>, out: &mut Vec<WorkerEvent>) {
        if line.cut {
            self.cut_message(line, out);
            return;
        }
        match serde_json::from_slice::<MessageEnd>(line.head) {
            Ok(end) if end.message.role.0 == "assistant" => self.message(end.message, false, out),
            Ok(_) => {}
            Err(_) => {
                // What cannot be read is not empty: no earlier message takes its place.
                self.last = Some(Last::unreadable());
                out.push(WorkerEvent::Error { message: "a message of pi could not be read".to_owned() });
            }
        }
    }

    fn message(&mut self, message: Message, cut: bool, out: &mut Vec<WorkerEvent>) {
        if let Some(model) = message.model.filter(|m| !m.0.is_empty()) {
            let model = match message.provider {
                Some(provider) if !provider.0.is_empty() => name(&format!("{}/{}", provider.0, model.0)),
                _ => name(&model.0),
            };
            if self.model.as_ref() != Some(&model) {
                out.push(WorkerEvent::Model { name: model.clone() });
                self.model = Some(model);
            }
        }
        if let Some(usage) = &message.usage {
            self.add(usage, out);
        }
        let text = message.content.0;
        if !text.is_empty() {
            let (shown, clipped) = head_and_tail(&text, TEXT_LIMIT);
            out.push(WorkerEvent::Message { text: shown, bytes: text.len() as u64, clipped: clipped || cut });
        }
        let stop = name(&message.stop_reason.unwrap_or_default().0);
        let error = matches!(stop.as_str(), "error" | "aborted").then(|| {
            let said = message.error_message.unwrap_or_default().0;
            if said.trim().is_empty() { format!("the request ended as `{stop}`") } else { clip(&said, 4_000) }
        });
        if let Some(message) = &error {
            out.push(WorkerEvent::Error { message: one_line(message, LINE_LIMIT) });
        }
        self.last = Some(Last { text, stop, error, cut, unreadable: false });
    }

    fn add(&mut self, usage: &WireUsage, out: &mut Vec<WorkerEvent>) {
        let usage = usage.as_usage();
        // A refused request is no reply.
        if usage.tokens() > 0 || usage.cost_microusd > 0 {
            self.usage = self.usage.plus(&usage);
            out.push(WorkerEvent::Usage(self.usage));
        }
    }

    fn other(&mut self, o: &Other<'_>, line: &[u8], out: &mut Vec<WorkerEvent>) {
        let text = |t: &Option<Text>| t.as_ref().map_or("", |t| t.0.as_str()).to_owned();
        match o.kind.0.as_str() {
            "session" => {
                if let Some(id) = &o.id {
                    let id = name(&id.0);
                    out.push(WorkerEvent::Session { id: id.clone() });
                    self.session = Some(id);
                }
            }
            "agent_start" => self.settled = false,
            "agent_settled" => {
                self.settled = true;
                out.push(WorkerEvent::Settled);
            }
            "tool_execution_start" => out.push(WorkerEvent::ToolStart {
                id: name(&text(&o.tool_call_id)),
                name: name(&text(&o.tool_name)),
                summary: summary(o.args.map_or("", |a| a.get())),
                arguments: head_and_tail(o.args.map_or("", |a| a.get()), TOOL_LIMIT).0,
            }),
            "tool_execution_end" => out.push(WorkerEvent::ToolEnd {
                id: name(&text(&o.tool_call_id)),
                name: name(&text(&o.tool_name)),
                ok: o.is_error == Some(false),
                output: output(o),
            }),
            "auto_retry_start" | "summarization_retry_scheduled" => out.push(WorkerEvent::Retry {
                attempt: count(o.attempt),
                of: count(o.max_attempts),
                delay_ms: o.delay_ms.unwrap_or(0.0).max(0.0) as u64,
                message: one_line(&text(&o.error_message), LINE_LIMIT),
            }),
            "compaction_end" => {
                let result = o.result.and_then(|r| serde_json::from_str::<CompactionResult>(r.get()).ok());
                if let Some(usage) = result.and_then(|r| r.usage) {
                    self.add(&usage, out);
                }
            }
            "response" => self.response(o, out),
            "extension_ui_request" => question(o, out),
            "extension_error" => {
                let message = raw_text(o.error).unwrap_or_default();
                out.push(WorkerEvent::Error {
                    message: one_line(&format!("extension: {message}"), LINE_LIMIT),
                });
            }
            "" => log(line, out),
            _ => {}
        }
    }

    fn response(&mut self, o: &Other<'_>, out: &mut Vec<WorkerEvent>) {
        let id = o.id.as_ref().map_or("", |t| t.0.as_str());
        let error = (o.success != Some(true)).then(|| {
            let said = raw_text(o.error).unwrap_or_default();
            if said.trim().is_empty() { "pi gave no reason".to_owned() } else { clip(said.trim(), 4_000) }
        });
        match (o.command.as_ref().map_or("", |t| t.0.as_str()), error) {
            ("prompt", Some(error)) if id == PROMPT_ID => {
                out.push(WorkerEvent::Error { message: one_line(&error, LINE_LIMIT) });
                // No run follows, so nothing else will end it.
                out.push(WorkerEvent::Settled);
                self.refused = Some(error);
            }
            ("steer", error) => {
                // pi queues it all the same when nothing runs any more, and then nobody hears it.
                let late = self.settled.then(|| "it came after the agent had finished".to_owned());
                out.push(WorkerEvent::SteerAnswered {
                    id: name(id),
                    error: error.map(|e| one_line(&e, LINE_LIMIT)).or(late),
                });
            }
            _ => {}
        }
    }

    /// A line that is longer than it may be and is no message.
    fn cut_line(&mut self, line: Line<'_>, out: &mut Vec<WorkerEvent>) {
        let field = |key: &str| string_after(line.head, key).map(|(text, _)| text).unwrap_or_default();
        if line.head.starts_with(br#"{"type":"tool_execution_start""#) {
            let at = memmem::find(line.head, br#""args":"#).map_or(line.head.len(), |at| at + 7);
            out.push(WorkerEvent::ToolStart {
                id: name(&field("toolCallId")),
                name: name(&field("toolName")),
                summary: one_line(
                    &String::from_utf8_lossy(&line.head[at..(at + 1_000).min(line.head.len())]),
                    200,
                ),
                arguments: clip(
                    &String::from_utf8_lossy(&line.head[at..(at + TOOL_LIMIT).min(line.head.len())]),
                    TOOL_LIMIT,
                ),
            });
        } else if line.head.starts_with(br#"{"type":"tool_execution_end""#) {
            out.push(WorkerEvent::ToolEnd {
                id: name(&field("toolCallId")),
                name: name(&field("toolName")),
                ok: line.tail.ends_with(br#""isError":false}"#),
                output: clip(
                    &string_after_mark(line.head, br#"{"type":"text","text":""#)
                        .map(|(text, _)| text)
                        .unwrap_or_default(),
                    TOOL_LIMIT,
                ),
            });
        } else if line.head.starts_with(br#"{"type":"compaction_end""#) {
            if let Some(usage) = usage_in(line.tail).or_else(|| usage_in(line.head)) {
                self.add(&usage, out);
            }
        } else if !line.head.starts_with(b"{") {
            log(line.head, out);
        }
    }

    /// An assistant's message beyond [`MESSAGE_LIMIT`]: as much of its first text as is there, and what its end says.
    fn cut_message(&mut self, line: Line<'_>, out: &mut Vec<WorkerEvent>) {
        if !line.head.starts_with(ASSISTANT_END) {
            self.last = Some(Last::unreadable());
            return;
        }
        let content = string_after_mark(line.head, br#"{"type":"text","text":""#)
            .map(|(text, _)| text)
            .unwrap_or_default();
        let end = |key: &str| last_string(line.tail, key).map(Text);
        let message = Message {
            role: Text("assistant".to_owned()),
            content: super::wire::Content(content),
            provider: end("provider"),
            model: end("model"),
            usage: usage_in(line.tail),
            stop_reason: end("stopReason"),
            error_message: end("errorMessage"),
        };
        self.message(message, true, out);
    }

    fn stderr_line(&mut self, line: Line<'_>, out: &mut Vec<WorkerEvent>) {
        let text = one_line(&String::from_utf8_lossy(line.head), LINE_LIMIT);
        // Said of every new session that is given an id.
        let expected = text.starts_with("Warning: No project session found with id ");
        if text.is_empty() || expected {
            return;
        }
        if !self.stderr_tail.is_empty() {
            self.stderr_tail.push('\n');
        }
        self.stderr_tail.push_str(&text);
        if self.stderr_tail.len() > 2 * STDERR_TAIL {
            self.stderr_tail = tail(&self.stderr_tail, STDERR_TAIL).to_owned();
        }
        out.push(WorkerEvent::Log { line: text });
    }

    fn ending(&mut self, end: &WorkerEnd) -> Ending {
        let last = self.last.take();
        let l = last.as_ref();
        let error = self.refused.as_deref().or_else(|| l.and_then(|l| l.error.as_deref()));
        let spoiled = match l {
            Some(l) if l.unreadable => {
                Some(("the last message of pi could not be read", ErrorClass::NoTerminalEvent))
            }
            Some(l) if l.stop == "length" => {
                Some(("the answer was cut off at the model's output limit", ErrorClass::Context))
            }
            _ => None,
        };
        let (outcome, failure) = conclude(
            end,
            &Said {
                program: "pi",
                error: error.map(|e| (e, None)),
                finished: self.settled,
                spoiled,
                has_text: Some(l.is_some_and(|l| !l.text.trim().is_empty())),
                stderr: tail(&self.stderr_tail, STDERR_TAIL),
            },
        );
        let truncated = l.is_some_and(|l| l.cut);
        Ending {
            outcome,
            failure,
            truncated,
            result: last.map(|l| l.text.into_bytes()).filter(|t| !t.is_empty()),
            usage: self.usage,
            session: self.session.clone(),
            model: self.model.clone(),
        }
    }
}

impl Last {
    fn unreadable() -> Self {
        Self { text: String::new(), stop: String::new(), error: None, cut: false, unreadable: true }
    }
}

/// Live text from a `message_update`. Its usage comes first and is passed over unread.
fn live(line: &[u8], out: &mut Vec<WorkerEvent>) {
    // Neither mark can stand inside a JSON string, where quotes are escaped.
    if let Some(at) = memmem::find(line, TEXT_DELTA) {
        let nested = &line[at + br#""assistantMessageEvent":"#.len()..];
        let mut json = serde_json::Deserializer::from_slice(nested);
        if let Ok(delta) = Delta::deserialize(&mut json)
            && !delta.delta.0.is_empty()
        {
            out.push(WorkerEvent::TextDelta { text: clip(&delta.delta.0, TEXT_LIMIT) });
        }
    } else if memmem::find(line, THINKING_START).is_some() {
        out.push(WorkerEvent::Thinking);
    }
}

/// Something that an extension asks. Only these four wait for an answer.
fn question(o: &Other<'_>, out: &mut Vec<WorkerEvent>) {
    let method = o.method.as_ref().map_or("", |m| m.0.as_str());
    if let (Some(id), "confirm" | "select" | "input" | "editor") = (&o.id, method) {
        let title = o.title.as_ref().map_or("", |t| t.0.as_str());
        let message = raw_text(o.message).unwrap_or_default();
        let answer = serde_json::json!({ "type": "extension_ui_response", "id": id.0, "cancelled": true });
        out.push(WorkerEvent::Question {
            id: name(&id.0),
            text: one_line(&format!("{title} {message}"), LINE_LIMIT),
            decline: format!("{answer}\n").into_bytes(),
        });
    }
}

fn log(line: &[u8], out: &mut Vec<WorkerEvent>) {
    let line = one_line(&String::from_utf8_lossy(&line[..line.len().min(8 * 1024)]), LINE_LIMIT);
    if !line.is_empty() {
        out.push(WorkerEvent::Log { line });
    }
}

/// A tool's main argument on one line.
fn summary(args: &str) -> String {
    let known = serde_json::from_str::<Args>(args)
        .ok()
        .and_then(|a| a.command.or(a.path).or(a.file_path).or(a.pattern).or(a.query).or(a.url));
    match known {
        Some(text) => one_line(&text.0, 200),
        None if args == "{}" => String::new(),
        None => one_line(args, 200),
    }
}

/// What a tool gave back, as text.
fn output(o: &Other<'_>) -> String {
    let result = o.result.and_then(|r| serde_json::from_str::<ToolResult>(r.get()).ok());
    head_and_tail(&result.unwrap_or_default().content.0, TOOL_LIMIT).0
}

fn count(n: Option<f64>) -> u32 {
    n.unwrap_or(0.0).max(0.0) as u32
}

/// The string value of a key at the first place where it stands, and where it ends. Also of a string that is not all there.
fn string_after(bytes: &[u8], key: &str) -> Option<(String, usize)> {
    string_after_mark(bytes, format!("\"{key}\":\"").as_bytes())
}

fn string_after_mark(bytes: &[u8], mark: &[u8]) -> Option<(String, usize)> {
    let start = memmem::find(bytes, mark)? + mark.len();
    let mut at = start;
    loop {
        match memchr::memchr2(b'"', b'\\', bytes.get(at..)?) {
            Some(next) if bytes[at + next] == b'"' => {
                at += next;
                break;
            }
            Some(next) if at + next + 2 <= bytes.len() => at += next + 2,
            // The string or an escape is cut off: what came before it counts.
            Some(next) => {
                at += next;
                break;
            }
            None => {
                at = bytes.len();
                break;
            }
        }
    }
    let mut quoted = Vec::with_capacity(at - start + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(&bytes[start..at]);
    // A unicode escape may be cut in the middle; it is the only escape longer than two bytes.
    for _ in 0..6 {
        quoted.push(b'"');
        if let Ok(text) = serde_json::from_slice::<Text>(&quoted) {
            return Some((text.0, at));
        }
        quoted.pop();
        quoted.pop();
    }
    None
}

/// The string value of a key at the last place where it stands.
fn last_string(bytes: &[u8], key: &str) -> Option<String> {
    let mark = format!("\"{key}\":\"");
    let at = memmem::rfind(bytes, mark.as_bytes())?;
    string_after(&bytes[at..], key).map(|(text, _)| text)
}

/// The last `usage` object in the bytes.
fn usage_in(bytes: &[u8]) -> Option<WireUsage> {
    let mark = br#","usage":"#;
    let at = memmem::rfind(bytes, mark)? + mark.len();
    let mut json = serde_json::Deserializer::from_slice(&bytes[at..]);
    WireUsage::deserialize(&mut json).ok()
}
