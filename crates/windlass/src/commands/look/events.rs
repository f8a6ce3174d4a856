//! `events`: the journal of a run, as it is or as it grows.

use super::journal::{self, Journal, LOOK_EVERY};
use super::missing;
use super::out::{Interrupt, Out};
use crate::cli::EventsArgs;
use crate::context::Context;
use crate::names;
use windlass_api::{ApiError, ErrorKind};
use windlass_events::{Envelope, Event, RunId};
use windlass_store::StoredEvent;
use windlass_view::theme::Tone;
use windlass_view::{Line, Look, Paint};

/// The width of lines that no terminal shows: nothing of them is cut.
const WIDE: usize = 4096;

/// Prints the events after `since`; with `follow` goes on until the run ends or is blocked.
pub(crate) fn events(context: &Context, args: &EventsArgs) -> Result<u8, ApiError> {
    let id = names::to_look(context, args.run.as_deref())?;
    let mut printer = Printer::new(context, id);
    if !args.follow {
        let reader = journal::reader(context, id)?;
        let last = journal::read_each(&reader, id, args.since, |event| {
            printer.event(event)?;
            Ok(printer.out.is_open())
        });
        printer.out.flush()?;
        if last? == 0 {
            return Err(ApiError::new(ErrorKind::Usage, format!("there is no run {id} on this machine")));
        }
        return Ok(0);
    }
    let interrupt = Interrupt::listen();
    let mut journal = Journal::open(context, id, Some(args.since))?;
    loop {
        let changed =
            journal.advance(|event| if event.seq > args.since { printer.event(event) } else { Ok(()) });
        printer.out.flush()?;
        let changed = changed?;
        if journal.is_over() || !printer.out.is_open() {
            return Ok(0);
        }
        if interrupt.came() {
            return Ok(Interrupt::CODE);
        }
        if !changed {
            std::thread::sleep(LOOK_EVERY);
            printer.out.look_at_reader();
            journal.keep_led(context);
        }
    }
}

/// Events as lines.
struct Printer {
    run: RunId,
    out: Out,
    json: bool,
    look: Look,
    paint: Paint,
}

impl Printer {
    fn new(context: &Context, run: RunId) -> Self {
        let out = Out::new();
        let terminal = out.is_terminal();
        let width = if terminal { context.width(true) } else { WIDE };
        Self {
            run,
            json: context.global.json,
            look: context.look(width),
            paint: context.paint(terminal),
            out,
        }
    }

    fn event(&mut self, stored: &StoredEvent) -> Result<(), ApiError> {
        let line = if self.json { self.json_line(stored)? } else { self.text_line(stored) };
        self.out.write(line.as_bytes())
    }

    /// The stored body as it is, so that an event of a newer program is passed on whole.
    fn json_line(&self, stored: &StoredEvent) -> Result<String, ApiError> {
        let rest = stored.body.strip_prefix('{').filter(|rest| rest.trim_start().starts_with('"'));
        let rest =
            rest.ok_or_else(|| missing(format!("event {} of run {} is no event", stored.seq, self.run)))?;
        let (run, seq, at) = (self.run, stored.seq, stored.at);
        Ok(format!("{{\"run\":\"{run}\",\"seq\":{seq},\"at\":{at},{rest}\n"))
    }

    fn text_line(&self, stored: &StoredEvent) -> String {
        let line = match Event::from_json(&stored.body) {
            Ok(event) => {
                let envelope = Envelope { run: self.run, seq: stored.seq, at: stored.at, event };
                windlass_view::events::event_line(&envelope, &self.look)
            }
            Err(_) => {
                let text = format!("#{}  an event that this version does not know", stored.seq);
                Line::of(Tone::Warn, text).fit(self.look.width)
            }
        };
        format!("{}\n", self.paint.line(&line))
    }
}
