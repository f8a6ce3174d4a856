//! One thing that a worker said or did, and how it is shown.

use super::escape::{escape_into, escaped};
use super::out::Out;
use super::sections::{Section, Whose};
use crate::context::Context;
use serde::Serialize;
use std::collections::BTreeSet;
use windlass_api::{ApiError, ErrorKind};
use windlass_events::{Millis, RunId, TaskId};
use windlass_view::theme::Tone;
use windlass_view::{Line, Look, Paint};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// A line of standard output.
    Out,
    /// A line of standard error.
    Err,
    /// A line of an agent's message.
    Message,
    /// A tool is used.
    Tool,
    /// A tool failed.
    ToolFailed,
    /// A line that belongs to no protocol.
    Log,
    /// A model answers.
    Model,
    /// The program tries again by itself.
    Retry,
    /// It asks something.
    Question,
    /// Something went wrong.
    Error,
    /// It ended, not by itself and well.
    End,
}

/// One entry: a line, as the worker wrote it or as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: Millis,
    pub(super) what: What,
    pub(super) text: Vec<u8>,
}

impl Entry {
    pub(super) fn new(at: Millis, what: What, text: impl Into<Vec<u8>>) -> Self {
        Self { at, what, text: text.into() }
    }
}

/// An entry in JSON.
#[derive(Serialize)]
struct EntryDoc<'a> {
    run: RunId,
    task: Option<&'a str>,
    attempt: Option<u32>,
    gate: Option<u32>,
    #[serde(rename = "try")]
    gate_try: Option<u32>,
    at: Millis,
    kind: What,
    text: String,
}

/// Longer names are not padded for. In cells.
const WIDEST_NAME: usize = 32;

/// What stands before the bar.
fn name_of(task: Option<&TaskId>) -> &str {
    task.map_or("gates", TaskId::as_str)
}

/// Prints entries, with whose they are where that is not clear.
pub(super) struct Printer {
    run: RunId,
    json: bool,
    look: Look,
    paint: Paint,
    /// Whether each line names its task.
    prefixed: bool,
    /// Width of the longest name, so that the bar stands in one column.
    name_width: usize,
    line: String,
    pub(super) out: Out,
}

impl Printer {
    /// Prints entries of a run; each with the name of its task, when these are several.
    pub(super) fn new(context: &Context, run: RunId, names: &BTreeSet<Option<&TaskId>>) -> Self {
        let out = Out::new();
        let terminal = out.is_terminal();
        Self {
            run,
            json: context.global.json,
            look: context.look(if terminal { context.width(true) } else { 400 }),
            paint: context.paint(terminal),
            prefixed: names.len() > 1,
            name_width: names.iter().map(|name| name_of(*name).len()).max().unwrap_or(0).min(WIDEST_NAME),
            line: String::new(),
            out,
        }
    }

    /// Says what follows. JSON entries say it themselves.
    pub(super) fn header(&mut self, section: &Section) -> Result<(), ApiError> {
        if self.json {
            return Ok(());
        }
        let clock = windlass_view::human::clock(section.started_at, &self.look.zone);
        let mut line = Line::of(Tone::Dim, "── ");
        line.push(Tone::Strong, &section.title).push(Tone::Dim, format!(" · {clock}"));
        self.out.write(format!("{}\n", self.paint.line(&line.fit(self.look.width))).as_bytes())
    }

    /// Prints an entry of a section.
    pub(super) fn entry(&mut self, section: &Section, entry: &Entry) -> Result<(), ApiError> {
        self.line.clear();
        if self.json {
            let doc = self.json_doc(section, entry);
            let line = serde_json::to_string(&doc).map_err(|e| {
                ApiError::new(ErrorKind::Internal, format!("an entry cannot be written: {e}"))
            })?;
            self.line = line;
        } else {
            self.text_line(section, entry);
        }
        self.line.push('\n');
        self.out.write(self.line.as_bytes())
    }

    fn json_doc<'a>(&self, section: &'a Section, entry: &Entry) -> EntryDoc<'a> {
        let (attempt, gate) = match &section.whose {
            Whose::Attempt(_, n) => (Some(*n), None),
            Whose::Gate(key) => (None, Some(key)),
        };
        EntryDoc {
            run: self.run,
            task: section.task().map(TaskId::as_str),
            attempt,
            gate: gate.map(|k| k.gate + 1),
            gate_try: gate.map(|k| k.n),
            at: entry.at,
            kind: entry.what,
            text: match std::str::from_utf8(&entry.text) {
                Ok(text) => text.to_owned(),
                Err(_) => escaped(&entry.text),
            },
        }
    }

    fn text_line(&mut self, section: &Section, entry: &Entry) {
        if self.prefixed {
            let mut prefix = Line::of(Tone::Dim, name_of(section.task()));
            prefix.pad_to(self.name_width).push(Tone::Dim, " │");
            self.line.push_str(&self.paint.line(&prefix));
            // A blank at the end of a painted line would be left out.
            self.line.push(' ');
        }
        let (mark, tone) = match entry.what {
            What::Out | What::Message => ("", Tone::Plain),
            What::Err | What::Log => ("", Tone::Dim),
            What::Tool => ("→ ", Tone::Accent),
            What::ToolFailed => ("✗ ", Tone::Bad),
            What::Model => ("· ", Tone::Dim),
            What::Retry => ("↻ ", Tone::Warn),
            What::Question => ("? ", Tone::Warn),
            What::Error => ("! ", Tone::Bad),
            What::End => ("■ ", Tone::Warn),
        };
        // Line by line through the painter would cut long lines: the text is escaped here, whole.
        let color = self.paint.color && !tone.sgr().is_empty();
        if color {
            self.line.push_str(&format!("\x1b[{}m", tone.sgr()));
        }
        if self.paint.ascii {
            self.line.extend(mark.chars().map(windlass_view::theme::ascii));
        } else {
            self.line.push_str(mark);
        }
        escape_into(&mut self.line, &entry.text);
        if color {
            self.line.push_str("\x1b[0m");
        }
    }
}
