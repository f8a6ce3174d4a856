//! What is in one worker's file: lines as written, or messages and tool calls as its runtime's parser understands them.

use super::entry::{Entry, What};
use super::sections::Section;
use std::path::Path;
use windlass_agents::{Parser, Stream, WorkerEvent};
use windlass_engine::query::worker_end;
use windlass_events::Millis;
use windlass_worker::spool::{FrameKind, SpoolError};
use windlass_worker::{AgentExit, EndRecord, SpoolReader, StoppedBy};

/// A line longer than this is shown in pieces, so that memory is bounded. In bytes.
const LONGEST_LINE: usize = 64 << 10;

/// A worker's file that is being read.
pub(super) struct Reading {
    reader: SpoolReader,
    understood: Understood,
    last_at: Millis,
    /// Its end record was read: nothing more comes.
    ended: bool,
}

/// How bytes become entries.
enum Understood {
    /// As written: what is unfinished of both streams.
    Lines { out: Pending, err: Pending },
    /// By the runtime's parser; the model that answered last.
    Parsed { parser: Box<dyn Parser>, model: String },
}

/// The unfinished line of a stream.
#[derive(Debug, Default)]
struct Pending(Vec<u8>);

impl Reading {
    /// Opens the file of a section; `None` while it is not there or its claim is not complete.
    pub(super) fn open(path: &Path, section: &Section) -> Result<Option<Self>, SpoolError> {
        let reader = match SpoolReader::open(path) {
            Ok(reader) => reader,
            Err(SpoolError::NoClaim) => return Ok(None),
            Err(SpoolError::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let parser = section
            .runtime
            .and_then(windlass_agents::adapter)
            .and_then(|adapter| adapter.parser(section.session.as_deref(), None));
        let understood = match parser {
            Some(parser) => Understood::Parsed { parser, model: String::new() },
            None => Understood::Lines { out: Pending::default(), err: Pending::default() },
        };
        Ok(Some(Self { reader, understood, last_at: section.started_at, ended: false }))
    }

    /// Whether nothing more can come.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reads the next frame and adds what it says; `false` when no further frame is complete.
    ///
    /// # Errors
    /// When the file is damaged from here on.
    pub(super) fn next(&mut self, entries: &mut Vec<Entry>) -> Result<bool, SpoolError> {
        let Some(frame) = self.reader.next_frame()? else { return Ok(false) };
        let at = frame.wall_ms;
        self.last_at = at;
        match frame.kind {
            FrameKind::Stdout => self.understood.feed(Stream::Stdout, frame.data, at, entries),
            FrameKind::Stderr => self.understood.feed(Stream::Stderr, frame.data, at, entries),
            FrameKind::End => {
                self.ended = true;
                match serde_json::from_slice::<EndRecord>(frame.data) {
                    Ok(end) => self.understood.end(&end, at, entries),
                    Err(e) => {
                        entries.push(Entry::new(at, What::Error, format!("its end cannot be read: {e}")))
                    }
                }
            }
            _ => {}
        }
        Ok(true)
    }

    /// Adds what is unfinished, where no end record will come.
    pub(super) fn give_up(&mut self, entries: &mut Vec<Entry>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let at = self.last_at;
        if let Understood::Lines { out, err } = &mut self.understood {
            out.rest(|line| entries.push(Entry::new(at, What::Out, line)));
            err.rest(|line| entries.push(Entry::new(at, What::Err, line)));
        }
    }
}

impl Understood {
    fn feed(&mut self, stream: Stream, bytes: &[u8], at: Millis, entries: &mut Vec<Entry>) {
        match self {
            Self::Lines { out, err } => {
                let (pending, what) = match stream {
                    Stream::Stdout => (out, What::Out),
                    Stream::Stderr => (err, What::Err),
                };
                pending.feed(bytes, |line| entries.push(Entry::new(at, what, line)));
            }
            Self::Parsed { parser, model } => {
                let mut events = Vec::new();
                parser.feed(stream, bytes, &mut events);
                events.into_iter().for_each(|e| said(e, at, model, entries));
            }
        }
    }

    fn end(&mut self, end: &EndRecord, at: Millis, entries: &mut Vec<Entry>) {
        match self {
            Self::Lines { out, err } => {
                out.rest(|line| entries.push(Entry::new(at, What::Out, line)));
                err.rest(|line| entries.push(Entry::new(at, What::Err, line)));
            }
            Self::Parsed { parser, model } => {
                let mut events = Vec::new();
                // What it came to is in the journal; here only its last words count.
                let _ = parser.finish(&worker_end(end), &mut events);
                events.into_iter().for_each(|e| said(e, at, model, entries));
            }
        }
        entries.extend(ending(end).map(|text| Entry::new(at, What::End, text)));
    }
}

impl Pending {
    fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        let mut bytes = bytes;
        while let Some(at) = bytes.iter().position(|b| *b == b'\n') {
            let (line, rest) = bytes.split_at(at);
            bytes = &rest[1..];
            if self.0.is_empty() {
                give(line, &mut each);
            } else {
                self.0.extend_from_slice(line);
                let whole = std::mem::take(&mut self.0);
                give(&whole, &mut each);
            }
        }
        self.0.extend_from_slice(bytes);
        while self.0.len() >= LONGEST_LINE {
            let rest = self.0.split_off(LONGEST_LINE);
            each(&self.0);
            self.0 = rest;
        }
    }

    fn rest(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.0.is_empty() {
            let line = std::mem::take(&mut self.0);
            give(&line, &mut each);
        }
    }
}

/// Gives a whole line, in pieces where it is too long.
fn give(line: &[u8], each: &mut impl FnMut(&[u8])) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        each(line);
    }
    line.chunks(LONGEST_LINE).for_each(each);
}

/// Adds what an event of a parser says.
fn said(event: WorkerEvent, at: Millis, model: &mut String, entries: &mut Vec<Entry>) {
    let mut push = |what, text: String| entries.push(Entry::new(at, what, text));
    match event {
        WorkerEvent::Message { text, bytes, clipped } => {
            for line in text.trim_end().lines() {
                push(What::Message, line.to_owned());
            }
            if clipped {
                push(What::Log, format!("(the whole message has {bytes} bytes)"));
            }
        }
        WorkerEvent::ToolStart { name, summary, .. } => {
            push(What::Tool, if summary.is_empty() { name } else { format!("{name} {summary}") });
        }
        WorkerEvent::ToolEnd { name, ok: false, .. } => push(What::ToolFailed, format!("{name} failed")),
        WorkerEvent::Model { name } if name != *model => {
            push(What::Model, name.clone());
            *model = name;
        }
        WorkerEvent::Retry { attempt, of, delay_ms, message } => {
            let delay = windlass_view::human::short_duration(delay_ms);
            push(What::Retry, format!("try {attempt} of {of} in {delay}: {message}"));
        }
        WorkerEvent::Question { text, .. } => push(What::Question, text),
        WorkerEvent::Log { line } => push(What::Log, line),
        WorkerEvent::Error { message } => push(What::Error, message),
        WorkerEvent::SteerAnswered { error: Some(error), .. } => {
            push(What::Error, format!("not heard: {error}"))
        }
        // Said again as a whole, shown elsewhere, or of no interest to a reader.
        WorkerEvent::TextDelta { .. }
        | WorkerEvent::ToolEnd { .. }
        | WorkerEvent::Model { .. }
        | WorkerEvent::Session { .. }
        | WorkerEvent::Thinking
        | WorkerEvent::Usage(_)
        | WorkerEvent::Settled
        | WorkerEvent::SteerAnswered { .. } => {}
    }
}

/// How a process ended, unless by itself and well.
fn ending(end: &EndRecord) -> Option<String> {
    let what = match (end.stopped_by, end.exit) {
        (Some(StoppedBy::CannotStart), _) => {
            format!("could not be started: {}", end.cannot_start.as_deref().unwrap_or("no reason was given"))
        }
        (Some(StoppedBy::Cancel), _) => "stopped on request".to_owned(),
        // Its work was done by then.
        (Some(StoppedBy::Drain), _) => return None,
        (Some(StoppedBy::Silence), _) => "stopped: it wrote nothing for too long".to_owned(),
        (Some(StoppedBy::Wall), _) => "stopped: it took too long".to_owned(),
        (Some(StoppedBy::OutputLimit), _) => "stopped: it wrote more than it may".to_owned(),
        (Some(StoppedBy::Tied), _) => "stopped: the program that led it ended".to_owned(),
        (Some(StoppedBy::Voided), _) => "never started: the attempt was given up before".to_owned(),
        (Some(StoppedBy::Terminated), _) => "stopped: its shim was asked to end".to_owned(),
        (None, Some(AgentExit::Code(0))) => return None,
        (None, Some(AgentExit::Code(code))) => format!("exit {code}"),
        (None, Some(AgentExit::Signal(signal))) => format!("ended by signal {signal}"),
        (None, None) => "how it ended could not be seen".to_owned(),
    };
    Some(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut pending, mut all) = (Pending::default(), Vec::new());
        for chunk in chunks {
            pending.feed(chunk, |line| all.push(line.to_vec()));
        }
        pending.rest(|line| all.push(line.to_vec()));
        all
    }

    #[test]
    fn lines_are_whole_however_they_are_cut() {
        assert_eq!(lines(&[b"a\nb", b"c\r\n", b"\nlast"]), [&b"a"[..], b"bc", b"", b"last"]);
        assert!(lines(&[]).is_empty());
    }

    #[test]
    fn a_long_line_comes_in_pieces_and_nothing_of_it_is_lost() {
        let long = vec![b'x'; 3 * LONGEST_LINE + 5];
        let pieces = lines(&[&long, b"y\nz"]);
        assert!(pieces.iter().all(|p| p.len() <= LONGEST_LINE));
        assert_eq!(pieces.last().unwrap(), b"z");
        let whole: Vec<u8> = pieces[..pieces.len() - 1].concat();
        assert_eq!(whole, [long.as_slice(), b"y"].concat());
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(text in "[ab\n]{0,80}", at in 0usize..80) {
            let bytes = text.as_bytes();
            let at = at.min(bytes.len());
            prop_assert_eq!(lines(&[&bytes[..at], &bytes[at..]]), lines(&[bytes]));
            let joined: Vec<u8> = lines(&[bytes]).join(&b'\n');
            prop_assert_eq!(joined, bytes.strip_suffix(b"\n").unwrap_or(bytes));
        }
    }
}
