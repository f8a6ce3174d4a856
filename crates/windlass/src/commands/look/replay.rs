//! `replay`: a journal folded event by event, with what each changed, and every decision made anew.

use super::escape::escaped;
use super::journal;
use super::missing;
use super::out::Out;
use crate::cli::ReplayArgs;
use crate::context::Context;
use crate::{ask, host, names};
use serde_json::{Value, json};
use windlass_api::{ApiError, ErrorKind};
use windlass_core::replay::{By, Change, Difference, How, Replay, Stand, Step};
use windlass_events::{Envelope, Event, Millis, RunId, Seq};
use windlass_store::{ReadError, ReadStore, SqliteReader};
use windlass_view::theme::Tone;
use windlass_view::{Line, Look, Paint, replay as words};

/// Events read at once.
const PAGE: usize = 4096;
/// The width of lines that no terminal shows: nothing of them is cut.
const WIDE: usize = 4096;
/// Exit code of a journal that is not what the core makes of it.
const DIFFERS: u8 = 1;

/// Folds and checks the journal of a run; 1 where something in it differs.
pub(crate) fn replay(context: &Context, args: &ReplayArgs) -> Result<u8, ApiError> {
    if args.step && !context.can_ask() {
        return Err(ApiError::new(
            ErrorKind::Usage,
            "`--step` waits for a key after every event: it needs a terminal",
        )
        .hint("without it every event is printed"));
    }
    let id = names::to_look(context, args.run.as_deref())?;
    let reader = journal::reader(context, id)?;
    let Stored { events, damage } = read(&reader, id)?;
    let is_cut = damage.is_some();
    if events.is_empty() && damage.is_none() {
        return Err(ApiError::new(ErrorKind::Usage, format!("there is no run {id} on this machine")));
    }
    let to = args.to.unwrap_or(Seq::MAX);
    let readable = events.len() as Seq;
    let damage = damage.filter(|_| to > readable);
    // What stands before damage may have been cut within one commit.
    let whole = to >= readable && damage.is_none() && !is_cut;
    let mut replay = Replay::new(id, &events, whole);
    let mut printer = Printer::new(context, id);
    let mut asking = args.step;
    let mut difference = None;
    while printer.counts.events < to
        && let Some(step) = replay.step()
    {
        match step {
            Ok(step) => printer.step(&step)?,
            Err(found) => {
                difference = Some(*found);
                break;
            }
        }
        if asking {
            printer.out.flush()?;
            match ask::key(context, &[], &['n', 'g', 'q'], Some('n')) {
                Some('n') => {}
                Some('g') => asking = false,
                _ => return Ok(0),
            }
        }
        if !printer.out.is_open() {
            return Ok(0);
        }
    }
    // The end of the journal is looked at, too, where all of it was wanted.
    if difference.is_none()
        && whole
        && let Some(Err(found)) = replay.step()
    {
        difference = Some(*found);
    }
    let status = replay.run().map(|run| run.status().as_str());
    let writer = difference.as_ref().and_then(|d| writer(&events, d.seq));
    printer.verdict(difference.as_ref(), damage.as_ref(), status, writer)?;
    printer.out.flush()?;
    Ok(match (&difference, &damage) {
        (Some(_), _) => DIFFERS,
        (None, Some(_)) => ErrorKind::Missing.exit_code(),
        (None, None) => 0,
    })
}

/// What there is of a journal.
struct Stored {
    /// Its events, up to the first that cannot be read.
    events: Vec<(Millis, Event)>,
    damage: Option<Damage>,
}

/// What cannot be read of a journal.
struct Damage {
    seq: Seq,
    reason: String,
    bytes: Option<Vec<u8>>,
}

/// Reads the journal of a run.
fn read(reader: &SqliteReader, run: RunId) -> Result<Stored, ApiError> {
    let mut events: Vec<(Millis, Event)> = Vec::new();
    let mut limit = PAGE;
    loop {
        let after = events.len() as Seq;
        let page = match reader.read(run, after, limit) {
            Ok(page) => page,
            Err(ReadError::Damaged(found)) => {
                let before = usize::try_from(found.seq.saturating_sub(after + 1)).unwrap_or(0);
                if before > 0 && before < limit {
                    limit = before;
                    continue;
                }
                // What SQLite itself cannot read is said by the reason.
                let bytes = reader.bytes_at(run, found.seq).ok().flatten();
                let damage = Some(Damage { seq: found.seq, reason: found.reason, bytes });
                return Ok(Stored { events, damage });
            }
            Err(e) => return Err(missing(e).hint("`windlass doctor` looks into it")),
        };
        if page.is_empty() {
            return Ok(Stored { events, damage: None });
        }
        for stored in page {
            match Event::from_json(&stored.body) {
                Ok(event) => events.push((stored.at, event)),
                Err(e) => {
                    let reason = format!("it is no event that this version knows: {e}");
                    let bytes = Some(stored.body.into_bytes());
                    let damage = Some(Damage { seq: stored.seq, reason, bytes });
                    return Ok(Stored { events, damage });
                }
            }
        }
    }
}

/// The version of the program that wrote an event, where it is another than this.
fn writer(events: &[(Millis, Event)], seq: Seq) -> Option<&str> {
    let before = usize::try_from(seq).unwrap_or(usize::MAX).min(events.len());
    let last = events.iter().take(before).rev().find_map(|(_, e)| match e {
        Event::RunTaken { version, .. } => Some(version.as_str()),
        _ => None,
    });
    last.filter(|version| *version != host::version())
}

/// Prints steps and what they came to.
struct Printer {
    run: RunId,
    json: bool,
    quiet: bool,
    look: Look,
    paint: Paint,
    out: Out,
    counts: words::Counts,
}

impl Printer {
    fn new(context: &Context, run: RunId) -> Self {
        let out = Out::new();
        let terminal = out.is_terminal();
        Self {
            run,
            json: context.global.json,
            quiet: context.global.quiet,
            look: context.look(if terminal { context.width(true) } else { WIDE }),
            paint: context.paint(terminal),
            out,
            counts: words::Counts::default(),
        }
    }

    fn step(&mut self, step: &Step<'_>) -> Result<(), ApiError> {
        self.counts.events += 1;
        match step.by {
            By::Input => self.counts.inputs += 1,
            By::Decision => self.counts.decisions += 1,
        }
        if self.json {
            let doc = self.step_doc(step)?;
            return self.doc(&doc);
        }
        if self.quiet {
            return Ok(());
        }
        self.lines(&words::step(self.run, step, &self.look))
    }

    fn step_doc(&self, step: &Step<'_>) -> Result<Value, ApiError> {
        let envelope = Envelope { run: self.run, seq: step.seq, at: step.at, event: step.event.clone() };
        let line = envelope.to_line().map_err(internal)?;
        let mut doc: Value = serde_json::from_str(&line).map_err(internal)?;
        doc["by"] = json!(match step.by {
            By::Input => "input",
            By::Decision => "decision",
        });
        doc["status"] = json!({ "before": step.before, "after": step.after });
        let stand = |s: &Stand| json!({ "status": s.status, "phase": words::phase(&s.phase) });
        doc["tasks"] = step
            .changes
            .iter()
            .map(|Change { task, before, after }| {
                json!({ "task": task, "before": before.as_ref().map(stand), "after": stand(after) })
            })
            .collect();
        Ok(doc)
    }

    fn verdict(
        &mut self,
        difference: Option<&Difference>,
        damage: Option<&Damage>,
        status: Option<&str>,
        writer: Option<&str>,
    ) -> Result<(), ApiError> {
        if self.json {
            let words::Counts { events, decisions, inputs } = self.counts;
            let doc = json!({
                "run": self.run,
                "checked": { "events": events, "decisions": decisions, "inputs": inputs },
                "status": status,
                "difference": difference.map(|d| difference_doc(d, writer)),
                "damage": damage.filter(|_| difference.is_none()).map(|d| json!({
                    "seq": d.seq,
                    "reason": d.reason,
                    "bytes": d.bytes.as_deref().map(escaped),
                })),
            });
            return self.doc(&doc);
        }
        if let Some(found) = difference {
            let mut lines = words::difference(found, &self.look);
            if let Some(writer) = writer {
                let text = format!(
                    "  windlass {writer} wrote it, and this is {}: versions may decide otherwise",
                    host::version()
                );
                lines.push(Line::of(Tone::Warn, text).fit(self.look.width));
            }
            return self.lines(&lines);
        }
        if let Some(Damage { seq, reason, bytes }) = damage {
            let bytes = bytes.as_deref().map(escaped);
            return self.lines(&words::damage(*seq, reason, bytes.as_deref(), &self.look));
        }
        self.lines(&words::clean(self.counts, &self.look))
    }

    fn lines(&mut self, lines: &[Line]) -> Result<(), ApiError> {
        self.out.write(self.paint.lines(lines).as_bytes())
    }

    fn doc(&mut self, doc: &Value) -> Result<(), ApiError> {
        self.out.write(format!("{doc}\n").as_bytes())
    }
}

fn difference_doc(difference: &Difference, writer: Option<&str>) -> Value {
    let (how, decided, why): (&str, &[Event], Option<&str>) = match &difference.how {
        How::Decided(given) => ("decided", given, None),
        How::Undecided(given) => ("undecided", given, None),
        How::Refused(why) => ("refused", &[], Some(why)),
        How::Illegal(why) => ("illegal", &[], Some(why)),
    };
    json!({
        "seq": difference.seq,
        "how": how,
        "recorded": difference.recorded,
        "decided": decided,
        "why": why,
        "written_by": writer,
    })
}

fn internal(e: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorKind::Internal, format!("an event cannot be written: {e}"))
}
