//! A journal step by step: what each event changed, and where it is not what the core makes of it.

use crate::events::{describe, event_line};
use crate::human;
use crate::line::Line;
use crate::model::Look;
use crate::text;
use crate::theme::{Tone, task_mark};
use serde_json::Value;
use windlass_core::Phase;
use windlass_core::replay::{Change, Difference, How, Stand, Step};
use windlass_events::{Envelope, Event, Proof, RunId, Seq, TaskStatus};

/// Tasks that one event is shown to have moved at most.
const CHANGES: usize = 20;
/// Events that should stand at a place and are shown at most.
const GIVEN: usize = 5;
/// Cells of a damaged event that are shown at most.
const BYTES: usize = 2_000;

/// An event and what it changed.
pub fn step(run: RunId, step: &Step<'_>, look: &Look) -> Vec<Line> {
    let envelope = Envelope { run, seq: step.seq, at: step.at, event: step.event.clone() };
    let mut lines = vec![event_line(&envelope, look)];
    for change in step.changes.iter().take(CHANGES) {
        let Change { task, before, after } = change;
        let before = before.as_ref().map_or_else(|| "new".to_owned(), stand);
        lines.push(moved(task.as_str(), &before, &stand(after), look));
    }
    if step.changes.len() > CHANGES {
        let more = human::count((step.changes.len() - CHANGES) as u64);
        lines.push(Line::of(Tone::Dim, format!("{INDENT}… and {more} more tasks")).fit(look.width));
    }
    if step.before != Some(step.after) {
        let before = step.before.map_or_else(|| "new".to_owned(), |s| s.to_string());
        lines.push(moved("run", &before, step.after.as_str(), look));
    }
    lines
}

const INDENT: &str = "        ";

fn moved(what: &str, before: &str, after: &str, look: &Look) -> Line {
    let mut line = Line::of(Tone::Dim, INDENT);
    line.push(Tone::Dim, what).push(Tone::Dim, "  ").push(Tone::Dim, before).push(Tone::Dim, " → ");
    line.push(Tone::Plain, after);
    line.fit(look.width)
}

/// Where a task stands: its status, and exactly where that says less.
fn stand(stand: &Stand) -> String {
    let (status, phase) = (stand.status.as_str(), phase(&stand.phase));
    if phase == status { phase } else { format!("{status} ({phase})") }
}

/// Exactly where a task stands, in stable words.
pub fn phase(phase: &Phase) -> String {
    match phase {
        Phase::Queued => "queued".to_owned(),
        Phase::Ready { not_before: 0, .. } => "ready".to_owned(),
        Phase::Ready { cause, .. } => format!("pausing before {cause}"),
        Phase::Keeping => "keeping the tree".to_owned(),
        Phase::Kept => "has the turn".to_owned(),
        Phase::Running(n) => format!("attempt {n}"),
        Phase::Lost(n) => format!("attempt {n} lost"),
        Phase::KeepingAfter(n) => format!("keeping the tree after attempt {n}"),
        Phase::Closing(n) => format!("attempt {n} over"),
        Phase::Gate { attempt, gate, n } => {
            let gate = u64::from(*gate) + 1;
            format!("attempt {attempt}, gate {gate}, try {n}")
        }
        Phase::Expanding(0) => "its list is read".to_owned(),
        Phase::Expanding(n) => format!("the plan of attempt {n} is read"),
        Phase::Joining => "its parts are done".to_owned(),
        Phase::Ended(status) => status.as_str().to_owned(),
    }
}

/// What was checked, once all is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events folded.
    pub events: u64,
    /// Of these, decisions that were made anew.
    pub decisions: u64,
    /// Of these, inputs taken as given.
    pub inputs: u64,
}

/// That nothing differs, and what that does not say.
pub fn clean(counts: Counts, look: &Look) -> Vec<Line> {
    let mut line = Line::new();
    line.glyph(task_mark(TaskStatus::Completed, Proof::Proven)).space(1);
    let events = human::plural(counts.events, "event", "events");
    let decisions = human::plural(counts.decisions, "decision is", "decisions are");
    line.push(Tone::Plain, format!("{events}: {decisions} what the core decides there, "));
    line.push(
        Tone::Plain,
        format!("{} taken as given", human::plural(counts.inputs, "input is", "inputs are")),
    );
    let mut lines = wrap(line, look);
    let limits = "not in a journal, so not checked: what workers, gates and people said, how many starts the machine had \
                  slots for, and when the tree was free of other runs";
    for part in text::wrap(limits, look.width.saturating_sub(2)) {
        lines.push(Line::of(Tone::Dim, format!("  {part}")).fit(look.width));
    }
    lines
}

fn wrap(line: Line, look: &Look) -> Vec<Line> {
    if line.width() <= look.width {
        return vec![line];
    }
    let parts = text::wrap(&line.to_text(false), look.width);
    parts.into_iter().map(|p| Line::of(Tone::Plain, p)).collect()
}

/// How the journal differs: what is recorded there, what should be, and in which fields.
pub fn difference(difference: &Difference, look: &Look) -> Vec<Line> {
    let Difference { seq, recorded, how } = difference;
    let (title, given): (String, &[Event]) = match how {
        How::Decided(given) if given.is_empty() => {
            (format!("event {seq} is a decision that nothing led to"), given)
        }
        How::Decided(given) => (format!("event {seq} is not what the core decides there"), given),
        How::Undecided(given) => {
            (format!("before event {seq} something was to be decided, and was not"), given)
        }
        How::Refused(why) => (format!("event {seq} means nothing in that state: {why}"), &[]),
        How::Illegal(why) => (format!("event {seq} may not follow: {why}"), &[]),
    };
    let mut lines = titled(title, look);
    match recorded {
        Some(event) => labelled(&mut lines, "recorded", &describe(event).1, look),
        None => labelled(&mut lines, "recorded", "nothing: the journal ends before it", look),
    }
    for event in given.iter().take(GIVEN) {
        labelled(&mut lines, "decided", &describe(event).1, look);
    }
    if given.is_empty() && matches!(how, How::Decided(_)) {
        labelled(&mut lines, "decided", "nothing", look);
    }
    if given.len() > GIVEN {
        labelled(&mut lines, "decided", &format!("… and {} more", given.len() - GIVEN), look);
    }
    if let (Some(recorded), Some(given), How::Decided(_)) = (recorded, given.first(), how) {
        for (field, recorded, given) in fields(recorded, given) {
            labelled(
                &mut lines,
                "differs",
                &format!("{field}: {recorded} is recorded, {given} is decided"),
                look,
            );
        }
    }
    lines
}

/// Fields of two events of one type that are not the same, as JSON; none where the types differ.
fn fields(recorded: &Event, given: &Event) -> Vec<(String, String, String)> {
    let read = |event: &Event| serde_json::to_value(event).unwrap_or_default();
    let (recorded, given) = (read(recorded), read(given));
    let mut found = Vec::new();
    if recorded["type"] == given["type"] {
        compare("", &recorded["data"], &given["data"], &mut found);
    }
    found
}

fn compare(path: &str, a: &Value, b: &Value, found: &mut Vec<(String, String, String)>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let of = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or_default();
                compare(&path, &of(a), &of(b), found);
            }
        }
        _ if a == b => {}
        _ => found.push((path.to_owned(), a.to_string(), b.to_string())),
    }
}

fn titled(title: String, look: &Look) -> Vec<Line> {
    let mark = task_mark(TaskStatus::Failed, Proof::None);
    let mut lines = Vec::new();
    for (at, part) in text::wrap(&text::clean(&title), look.width.saturating_sub(2)).into_iter().enumerate() {
        let mut line = Line::new();
        if at == 0 {
            line.glyph(mark);
        }
        line.pad_to(2).push(Tone::Strong, part);
        lines.push(line.fit(look.width));
    }
    lines
}

fn labelled(lines: &mut Vec<Line>, label: &str, value: &str, look: &Look) {
    const COLUMN: usize = 12;
    let column = if look.width < 40 { 2 } else { COLUMN };
    let parts = text::wrap(&text::clean(value), look.width.saturating_sub(column));
    for (at, part) in parts.into_iter().enumerate() {
        let mut line = Line::new();
        line.space(2);
        if at == 0 && column == COLUMN {
            line.push(Tone::Dim, label);
        }
        line.pad_to(column).push(Tone::Plain, part);
        lines.push(line.fit(look.width));
    }
}

/// That an event cannot be read, with its bytes as far as they are there. Nothing of it was changed.
pub fn damage(seq: Seq, reason: &str, bytes: Option<&str>, look: &Look) -> Vec<Line> {
    let mut lines = titled(format!("event {seq} is damaged: {reason}"), look);
    if let Some(bytes) = bytes {
        labelled(&mut lines, "its bytes", &text::fit(&text::clean(bytes), BYTES), look);
    }
    labelled(&mut lines, "kept", "nothing was changed; what stands after it was not read", look);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_events::TaskId;

    #[test]
    fn a_difference_names_its_fields() {
        let task = TaskId::for_step(1, "a");
        let recorded = Event::TaskCompleted { task: task.clone(), proof: Proof::Proven };
        let given = Event::TaskCompleted { task, proof: Proof::Unproven };
        let found = Difference { seq: 7, recorded: Some(recorded), how: How::Decided(vec![given]) };
        let text: Vec<String> = difference(&found, &Look::new(80)).iter().map(|l| l.to_text(false)).collect();
        assert_eq!(
            text,
            [
                "✗ event 7 is not what the core decides there",
                "  recorded  01_a done",
                "  decided   01_a completed, unproven",
                "  differs   proof: \"proven\" is recorded, \"unproven\" is decided",
            ]
        );
        let missing =
            Difference { seq: 9, recorded: None, how: How::Undecided(vec![Event::RunCancelled {}]) };
        let text: Vec<String> =
            difference(&missing, &Look::new(80)).iter().map(|l| l.to_text(false)).collect();
        assert_eq!(
            text,
            [
                "✗ before event 9 something was to be decided, and was not",
                "  recorded  nothing: the journal ends before it",
                "  decided   run cancelled",
            ]
        );
    }
}
