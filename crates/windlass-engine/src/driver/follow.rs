//! Following one attempt's spool: frames into the adapter's parser, its words into a live picture and totals.

use std::path::Path;
use windlass_agents::{Ending, Parser, Stopped, Stream, WorkerEnd, WorkerEvent};
use windlass_api::status::{LiveDoc, LiveState};
use windlass_events::{Millis, RuntimeKind, Usage};
use windlass_worker::spool::{FrameKind, SpoolError};
use windlass_worker::{AgentExit, EndRecord, SpoolReader, StoppedBy};

/// How many bytes are parsed before others get a turn.
const PORTION: usize = 256 * 1024;
/// The same for the last line of a command, whose parser holds a portion.
const GLANCE: usize = 32 * 1024;
/// The longest last line kept for people, in characters.
const LAST_LINE: usize = 400;

/// What needs an action of the engine.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The program asks something that nobody answers.
    Question {
        /// Bytes that say no.
        decline: Vec<u8>,
    },
    /// A text was taken, or not.
    Steered {
        /// Request.
        id: String,
        /// Why not.
        error: Option<String>,
    },
}

/// The end of an attempt as its spool tells it.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) ending: Ending,
    pub(crate) redacted: bool,
    /// Exit code of the program.
    pub(crate) exit: Option<i32>,
}

/// A reader of a spool with the state of its parser.
pub(crate) struct Follower {
    reader: SpoolReader,
    parser: Box<dyn Parser>,
    usage: Usage,
    session: Option<String>,
    observed: bool,
    changed: bool,
    live: LiveDoc,
    last_tool: String,
    last_at: Millis,
    heard: Vec<Heard>,
    steered: Vec<String>,
    end: Option<EndRecord>,
    damage: Option<SpoolError>,
    /// Whether its parser begins anew after each portion: it has seen only lines, and another must read the whole for the end.
    glance: bool,
}

impl Follower {
    /// Opens a spool at its start.
    pub(crate) fn open(path: &Path, runtime: RuntimeKind, session: Option<&str>) -> Result<Self, SpoolError> {
        let reader = SpoolReader::open(path)?;
        let parser = windlass_agents::adapter(runtime)
            .and_then(|a| a.parser(session, None))
            .ok_or(SpoolError::Foreign)?;
        Ok(Self {
            reader,
            parser,
            usage: Usage::default(),
            session: None,
            observed: false,
            changed: false,
            live: LiveDoc::default(),
            last_tool: String::new(),
            last_at: 0,
            heard: Vec::new(),
            steered: Vec::new(),
            end: None,
            damage: None,
            glance: false,
        })
    }

    /// Opens the spool of a command for its last line alone. Its result is its whole output, of which nothing is held while it
    /// works: that is read from the spool when it has ended.
    pub(crate) fn glance(path: &Path) -> Result<Self, SpoolError> {
        Ok(Self { glance: true, ..Self::open(path, RuntimeKind::Command, None)? })
    }

    /// Whether it was opened for lines alone.
    pub(crate) const fn is_glance(&self) -> bool {
        self.glance
    }

    /// Parses a portion of what is there. `false` when nothing further is complete.
    pub(crate) fn read_some(&mut self) -> bool {
        let mut events = Vec::new();
        let mut read = 0;
        let more = loop {
            if read >= if self.glance { GLANCE } else { PORTION } {
                break true;
            }
            match self.reader.next_frame() {
                Ok(None) => break false,
                Err(e) => {
                    self.damage = Some(e);
                    break false;
                }
                Ok(Some(frame)) => {
                    read += frame.data.len().max(1);
                    self.last_at = frame.wall_ms;
                    match frame.kind {
                        FrameKind::Stdout => self.parser.feed(Stream::Stdout, frame.data, &mut events),
                        FrameKind::Stderr => self.parser.feed(Stream::Stderr, frame.data, &mut events),
                        FrameKind::End => {
                            self.end = serde_json::from_slice(frame.data).ok();
                            // The last frame there is.
                            break false;
                        }
                        _ => {}
                    }
                }
            }
        };
        for event in events {
            self.take(event);
        }
        if self.glance
            && let Some(fresh) =
                windlass_agents::adapter(RuntimeKind::Command).and_then(|a| a.parser(None, None))
        {
            self.parser = fresh;
        }
        more
    }

    fn take(&mut self, event: WorkerEvent) {
        let at = self.last_at;
        match event {
            WorkerEvent::Session { id } => {
                self.observed |= self.session.as_deref() != Some(&id);
                self.session = Some(id);
            }
            WorkerEvent::Usage(usage) => {
                self.observed |= usage != self.usage;
                self.usage = usage;
            }
            WorkerEvent::Model { .. } => {}
            WorkerEvent::Thinking => self.set_state(LiveState::Thinking),
            WorkerEvent::TextDelta { text } => {
                self.set_state(LiveState::Writing);
                self.say_more(&text);
            }
            WorkerEvent::Message { text, .. } => self.say(&text),
            WorkerEvent::ToolStart { name, summary, .. } => {
                self.set_state(LiveState::Tool);
                let tool = if summary.is_empty() { name } else { format!("{name} {summary}") };
                self.last_tool.clone_from(&tool);
                self.live.tool = Some(tool);
                self.live.tool_since = Some(at);
            }
            WorkerEvent::ToolEnd { .. } => {
                self.live.tool = None;
                self.live.tool_since = None;
                self.set_state(LiveState::Thinking);
            }
            WorkerEvent::Retry { message, attempt, of, .. } => {
                self.say(&format!("the provider failed ({message}); try {attempt} of {of}"));
            }
            // The shim closes its standard input at the same line, whether an engine is there or not.
            WorkerEvent::Settled => {}
            WorkerEvent::Question { text, decline, .. } => {
                self.say(&format!("asked and declined: {text}"));
                self.heard.push(Heard::Question { decline });
            }
            WorkerEvent::SteerAnswered { id, error } => {
                self.steered.push(id.clone());
                self.heard.push(Heard::Steered { id, error });
            }
            WorkerEvent::Log { line } => self.say(&line),
            WorkerEvent::Error { message } => self.say(&message),
        }
    }

    fn set_state(&mut self, state: LiveState) {
        self.changed |= self.live.state != state;
        self.live.state = state;
    }

    fn say(&mut self, text: &str) {
        if let Some(line) = text.lines().rev().find(|l| !l.trim().is_empty()) {
            self.live.last_line = Some(line.chars().take(LAST_LINE).collect());
            self.changed = true;
        }
    }

    fn say_more(&mut self, piece: &str) {
        let line = self.live.last_line.take().unwrap_or_default();
        self.live.last_line = Some(newest_line(line, piece));
        self.changed = true;
    }

    pub(crate) fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Totals and session, when they changed since last asked.
    pub(crate) fn take_observed(&mut self) -> Option<(Usage, Option<String>)> {
        std::mem::take(&mut self.observed).then(|| (self.usage, self.session.clone()))
    }

    pub(crate) fn answered(&self, id: &str) -> bool {
        self.steered.iter().any(|s| s == id)
    }

    pub(crate) fn live(&self, _now: Millis) -> LiveDoc {
        let mut live = self.live.clone();
        live.last_line = live.last_line.map(|line| line.trim_end().to_owned());
        live
    }

    /// Totals, session and the last tool call, for an attempt that has no end.
    pub(crate) fn so_far(&self) -> (Usage, Option<String>, String) {
        (self.usage, self.session.clone(), self.last_tool.clone())
    }

    /// Whether the worker was ended by what happened to its engine or shim, and not because anybody wanted that: such an
    /// end costs the attempt and is no outcome.
    pub(crate) fn is_lost(&self, asked_to_stop: bool) -> bool {
        self.end.as_ref().is_some_and(|end| ended_by_loss(end, asked_to_stop))
    }

    /// Brings the recorded end and what was said together.
    pub(crate) fn finish(mut self) -> Result<Finished, SpoolError> {
        if let Some(damage) = self.damage {
            return Err(damage);
        }
        let Some(end) = &self.end else { return Err(SpoolError::NoClaim) };
        let mut events = Vec::new();
        let ending = self.parser.finish(&worker_end(end), &mut events);
        let exit = match end.exit {
            Some(AgentExit::Code(code)) => Some(code),
            _ => None,
        };
        Ok(Finished { ending, redacted: end.redactions > 0, exit })
    }
}

/// The newest line that says something, after a piece came behind what there was. Where it is complete its end is kept, so that
/// what comes next begins another.
fn newest_line(mut line: String, piece: &str) -> String {
    line.push_str(piece);
    let said = line.trim_end();
    let is_complete = line.get(said.len()..).is_some_and(|rest| rest.contains('\n'));
    let newest = said.rsplit('\n').next().unwrap_or_default();
    let long = newest.chars().count().saturating_sub(LAST_LINE);
    let mut kept: String = newest.chars().skip(long).collect();
    if is_complete {
        kept.push('\n');
    } else if let Some(space) = line.get(said.len()..) {
        kept.extend(space.chars().take(LAST_LINE));
    }
    kept
}

/// The shim's facts in the words of the adapters.
pub fn worker_end(end: &EndRecord) -> WorkerEnd {
    let (exit, signal) = match end.exit {
        Some(AgentExit::Code(code)) => (Some(code), None),
        Some(AgentExit::Signal(signal)) => (None, Some(signal)),
        None => (None, None),
    };
    let stopped = end.stopped_by.map(|by| match by {
        StoppedBy::Cancel | StoppedBy::Terminated | StoppedBy::Voided => Stopped::Cancel,
        StoppedBy::Drain => Stopped::AfterEnd,
        StoppedBy::Silence => Stopped::Silence,
        StoppedBy::Wall => Stopped::Wall,
        StoppedBy::OutputLimit => Stopped::OutputLimit,
        StoppedBy::CannotStart => Stopped::CannotStart(end.cannot_start.clone().unwrap_or_default()),
        StoppedBy::Tied => Stopped::Tied,
    });
    WorkerEnd { exit, signal, stopped, truncated: end.truncated }
}

/// See [`Follower::is_lost`]. A shim that was asked by a signal may have been asked by us.
pub(crate) const fn ended_by_loss(end: &EndRecord, asked_to_stop: bool) -> bool {
    match end.stopped_by {
        Some(StoppedBy::Tied) => true,
        Some(StoppedBy::Terminated) => !asked_to_stop,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_newest_one_however_it_comes() {
        let after = |pieces: &[&str]| {
            pieces.iter().fold(String::new(), |line, piece| newest_line(line, piece)).trim_end().to_owned()
        };
        assert_eq!(after(&["line 1\n", "line 2\n"]), "line 2");
        assert_eq!(after(&["one ", "line", " of many", " pieces\n", "\n  \n"]), "one line of many pieces");
        assert_eq!(after(&["a\nb\nc"]), "c");
        assert_eq!(after(&["a\n", "  "]), "a");
        assert_eq!(after(&["a\n", "  ", "b"]).trim(), "b");
        assert_eq!(after(&[&"x".repeat(1_000)]).len(), LAST_LINE);
        assert_eq!(after(&[]), "");
    }
}
