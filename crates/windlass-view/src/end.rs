//! The card that a watched run ends with: the verdict, what it rests on, what it cost, and what to type next.
//!
//! `✓` and `done` appear for proven work alone.

use crate::fields::{Fields, STACK_BELOW};
use crate::human;
use crate::line::Line;
use crate::model::{Look, RunView};
use crate::start::card_lines;
use crate::text;
use crate::theme::{Tone, light_mark};
use crate::watch::waiting_text;
use windlass_api::status::{GateDoc, Light, RunDoc, TaskDoc, UsageDoc};
use windlass_events::{Proof, RunStatus, TaskStatus};

/// Lines for commands.
const NEXT_LINES: usize = 3;

/// The end card, at most [`CARD_LINES`](crate::start::CARD_LINES) lines where `look.width` is 80 or more.
///
/// It is also right for a run that has not ended: one that waits, is blocked, or that the watcher leaves.
pub fn end_card(view: &RunView<'_>, look: &Look) -> Vec<Line> {
    let run = view.run;
    let mut f = Fields::new(look.width);
    for line in verdict(view, look.width) {
        f.line(line);
    }
    if let Some(stand_in) = view.stand_in() {
        let mut line = Line::new();
        line.space(2).push(Tone::Warn, stand_in);
        f.line(line);
    }
    let next = next_commands(view);
    let budget = card_lines(look.width);
    // What comes after the explanation has a claim of its own to the twelve lines.
    let gate_lines = run.gates.len().clamp(1, 3);
    let rest = gate_lines + 2 + usize::from(shows_unproven(run)) + next.len().min(NEXT_LINES);
    let room = budget.saturating_sub(f.len() + rest);
    explanation(&mut f, view, room);
    gates(&mut f, run, 3);
    if run.changes.is_some() || run.status.is_terminal() {
        f.segments("changed", changed(run));
    }
    f.segments("cost", cost(view, look.width));
    if shows_unproven(run) {
        unproven(&mut f, view);
    }
    let most = if look.width < STACK_BELOW { next.len() } else { NEXT_LINES };
    let room = budget.saturating_sub(f.len()).clamp(1, most.max(1));
    commands(&mut f, &next, room);
    f.into_lines_at_most(budget)
}

/// The first line: state, id, shape, time.
pub(crate) fn verdict(view: &RunView<'_>, width: usize) -> Vec<Line> {
    let run = view.run;
    let mut line = Line::new();
    line.glyph(view.mark).space(1);
    let word = match (run.status, run.proof) {
        (RunStatus::Completed, Proof::Proven) => "done, proven",
        _ => view.mark.word,
    };
    if text::width(word) + 2 > width {
        // A verdict is never cut.
        let mut parts = text::wrap(word, width.saturating_sub(2)).into_iter();
        line.push(view.mark.tone, parts.next().unwrap_or_default());
        let mut lines = vec![line];
        lines.extend(parts.map(|part| {
            let mut line = Line::new();
            line.space(2).push(view.mark.tone, part);
            line
        }));
        return lines;
    }
    line.push(view.mark.tone, word);
    if run.status == RunStatus::Completed && run.require_proof && run.proof != Proof::Proven {
        line.push(Tone::Bad, ", and proof was required");
    }
    if run.undone {
        line.push(Tone::Warn, ", taken back");
    }
    let shape = text::fit(&text::clean(run.shape()), 24);
    for part in [run.id.as_str(), &human::duration(view.elapsed_ms), &shape] {
        if !part.is_empty() && line.width() + 3 + text::width(part) <= width {
            line.push(Tone::Dim, " · ").push(Tone::Plain, part);
        }
    }
    vec![line.fit(width)]
}

/// Why the run is not simply completed, in at most `room` lines (at least one).
pub(crate) fn explanation(f: &mut Fields, view: &RunView<'_>, room: usize) {
    let run = view.run;
    let room = room.max(1);
    let before = f.len();
    let left = |f: &Fields| room.saturating_sub(f.len() - before);
    match run.status {
        RunStatus::Waiting => {
            if let Some(waiting) = &run.waiting {
                f.text("why", Tone::Warn, &waiting_text(waiting), room.min(3));
                if let Some(until) = waiting.until.filter(|_| left(f) > 0) {
                    let text = format!(
                        "goes on by itself in {} at the latest",
                        human::duration(until.saturating_sub(view.now))
                    );
                    f.text("until", Tone::Plain, &text, left(f));
                }
            }
        }
        RunStatus::Blocked | RunStatus::Failed | RunStatus::Completed => failure(f, view, room),
        RunStatus::Cancelled => {
            let live = view.counts.left;
            if live > 0 {
                let n = human::plural(live as u64, "task was", "tasks were");
                f.text("what", Tone::Plain, &format!("{n} stopped or not started"), 1);
            }
        }
        RunStatus::Queued | RunStatus::Planning | RunStatus::Running => {
            f.text("what", Tone::Plain, "still going: it does not need this terminal", 1);
        }
    }
}

fn failure(f: &mut Fields, view: &RunView<'_>, room: usize) {
    let run = view.run;
    let task = culprit(view);
    let error = run.error.as_ref().or(task.and_then(|t| t.error.as_ref()));
    let Some(error) = error else { return };
    let start = f.len();
    let message = text::lines(&error.message, 40);
    let mut first = String::new();
    // An error of the whole run, such as a reached cap, is no task's.
    let whole_run = run.error.as_ref().is_some_and(|e| e.task.is_none());
    if let Some(task) = task.filter(|_| !whole_run) {
        first.push_str(&text::clean(view.name(&task.id)));
        first.push_str(": ");
    }
    first.push_str(message.first().map_or(error.kind.as_str(), String::as_str));
    let tone = if run.status == RunStatus::Failed { Tone::Bad } else { Tone::Warn };
    f.text("what", tone, &first, room.min(2));
    let hint = error.hint.as_deref().map(str::trim).filter(|h| !h.is_empty());
    let keep = usize::from(hint.is_some());
    // The end of the output says more than the rest of the message, where there is one.
    let tail =
        task.filter(|_| !whole_run).and_then(failed_tail).map(|t| text::lines(t, 40)).unwrap_or_default();
    let lines = if tail.is_empty() { message.get(1..).unwrap_or_default() } else { &tail[..] };
    let left = room.saturating_sub(f.len() - start + keep).min(3);
    for line in lines.iter().take(left) {
        let mut out = Line::new();
        out.push(Tone::Dim, "│ ").push_fit(Tone::Plain, line, f.room().saturating_sub(2));
        f.field("what", out);
    }
    if let Some(hint) = hint.filter(|_| room > f.len() - start) {
        f.text("do", Tone::Plain, hint, (room - (f.len() - start)).min(2));
    }
}

/// The task that the run's error is about, else the first that failed or needs a person.
fn culprit<'a>(view: &RunView<'a>) -> Option<&'a TaskDoc> {
    if let Some(id) = view.run.error.as_ref().and_then(|e| e.task.as_ref()) {
        return view.row(id).map(|r| r.task);
    }
    view.rows.iter().find(|r| r.is_trouble()).map(|r| r.task)
}

/// The end of the output of the last check that did not pass.
fn failed_tail(task: &TaskDoc) -> Option<&str> {
    task.evidence
        .iter()
        .rev()
        .find(|e| e.after == Some(Light::Red))
        .and_then(|e| e.tail.as_deref())
        .filter(|t| !t.trim().is_empty())
}

/// Gates with what they said before and after, aligned.
pub(crate) fn gates(f: &mut Fields, run: &RunDoc, max: usize) {
    let (gates, ended) = (&run.gates, run.status.is_terminal());
    if gates.is_empty() {
        f.field("gates", Line::of(Tone::Warn, "none"));
        return;
    }
    let room = f.room();
    let names: Vec<_> = gates.iter().take(max).map(|g| text::clean(&g.command)).collect();
    let longest = names.iter().map(|n| text::width(n)).max().unwrap_or(0);
    let column = longest.min(room.saturating_sub(19)).max(longest.min(16));
    for (gate, name) in gates.iter().zip(&names) {
        let change = light_change(gate, ended);
        if column + 2 + change.width() <= room {
            let mut line = Line::new();
            line.push_fit(Tone::Plain, name, column).pad_to(column + 2).append(change);
            f.field("gates", line);
        } else {
            f.field("gates", Line::of(Tone::Plain, name).fit(room));
            f.field("gates", change);
        }
    }
    if gates.len() > max {
        let rest = gates.get(max..).unwrap_or_default();
        let green = rest.iter().filter(|g| g.after == Some(Light::Green)).count();
        f.field("gates", Line::of(Tone::Dim, format!("… and {} more, {green} green", rest.len())));
    }
}

/// `red → green`.
fn light_change(gate: &GateDoc, ended: bool) -> Line {
    let mut line = Line::new();
    let (before, after) = (light_mark(gate.before), light_mark(gate.after));
    if gate.left_out {
        line.push(before.tone, before.word).push(Tone::Warn, ", left out");
        return line;
    }
    line.push(before.tone, before.word)
        .push(Tone::Dim, " → ")
        .push(after.tone, if gate.after.is_none() && !ended { "not yet" } else { after.word });
    line
}

/// Files and lines.
pub(crate) fn changed(run: &RunDoc) -> Vec<Line> {
    match run.changes {
        None => vec![Line::of(Tone::Dim, "not known")],
        Some(c) if c.files == 0 => vec![Line::of(Tone::Plain, "nothing")],
        Some(c) => {
            let mut line = Line::of(Tone::Plain, human::plural(c.files, "file", "files"));
            line.space(2).push(Tone::Good, format!("+{}", c.insertions));
            line.space(1).push(Tone::Bad, format!("−{}", c.deletions));
            vec![line]
        }
    }
}

/// Money, tokens, starts.
pub(crate) fn cost(view: &RunView<'_>, width: usize) -> Vec<Line> {
    let mut segments = usage(&view.usage);
    let starts: usize = view.rows.iter().map(|r| r.task.attempts.len()).sum();
    segments.push(Line::of(Tone::Plain, human::plural(starts as u64, "start", "starts")));
    if width < STACK_BELOW {
        // The verdict had no room for it.
        segments.push(Line::of(Tone::Plain, human::duration(view.elapsed_ms)));
    }
    segments
}

fn usage(usage: &UsageDoc) -> Vec<Line> {
    let tokens = usage.tokens();
    if tokens == 0 && usage.turns == 0 && usage.cost_usd == Some(0.0) {
        return vec![Line::of(Tone::Plain, "no tokens used")];
    }
    let money = usage.cost_usd.and_then(human::money);
    let tone = if money.is_some() { Tone::Plain } else { Tone::Warn };
    let mut segments = vec![
        Line::of(tone, human::cost(usage.cost_usd)),
        Line::of(Tone::Plain, format!("{} tokens", human::count(tokens))),
    ];
    if usage.cache_read > 0 {
        segments.push(Line::of(Tone::Dim, format!("{} from cache", human::count(usage.cache_read))));
    }
    segments
}

fn shows_unproven(run: &RunDoc) -> bool {
    matches!(run.status, RunStatus::Completed)
}

/// What nobody and nothing checked.
pub(crate) fn unproven(f: &mut Fields, view: &RunView<'_>) {
    let run = view.run;
    let mut parts = Vec::new();
    let names: Vec<_> = view
        .rows
        .iter()
        .filter(|r| r.task.status == TaskStatus::Completed && r.task.proof != Proof::Proven)
        .map(|r| text::clean(r.name()))
        .collect();
    if !names.is_empty() {
        let more = names.len().saturating_sub(3);
        let mut list = names.get(..3).unwrap_or(&names).join(", ");
        if more > 0 {
            list.push_str(&format!(" and {more} more"));
        }
        parts.push(format!("what {list} said"));
    }
    for gate in run.gates.iter().filter(|g| g.left_out).take(2) {
        parts.push(format!("{} (left out)", text::clean(&gate.command)));
    }
    if run.gates.is_empty() && run.changes.is_some_and(|c| c.files > 0) {
        parts.insert(0, "the change: no gate checked it".into());
    } else if run.proof != Proof::Proven && parts.is_empty() {
        parts.push("the result: nothing checked it".into());
    }
    if parts.is_empty() {
        f.field("unproven", Line::of(Tone::Plain, "nothing"));
    } else {
        f.text("unproven", Tone::Plain, &parts.join("; "), 1);
    }
}

/// Commands and what each does.
type Commands = Vec<(String, &'static str)>;

/// What to type next: the run's own list where it has one.
pub(crate) fn next_commands(view: &RunView<'_>) -> Commands {
    let run = view.run;
    if !run.next.is_empty() {
        return run.next.iter().take(4).map(|c| (c.clone(), why(c))).collect();
    }
    let id = run.id;
    let mut commands = Vec::new();
    let mut add = |command: String| {
        let w = why(&command);
        commands.push((command, w));
    };
    let changed = run.changes.is_some_and(|c| c.files > 0) && !run.undone;
    match run.status {
        RunStatus::Completed => {}
        RunStatus::Failed => {
            add(format!("windlass retry {id}"));
            match culprit(view) {
                Some(task) => add(format!("windlass logs {id}/{}", task.id)),
                None => add(format!("windlass show {id}")),
            }
        }
        RunStatus::Cancelled => add(format!("windlass resume {id}")),
        RunStatus::Blocked => match culprit(view) {
            Some(task) => {
                add(format!("windlass logs {id}/{}", task.id));
                add(format!("windlass resume {id}"));
            }
            None => add(format!("windlass resume {id}")),
        },
        RunStatus::Waiting => {
            if let Some(answer) = run.waiting.as_ref().and_then(|w| w.answer_with.clone()) {
                add(answer);
            }
            add(format!("windlass attach {id}"));
            add(format!("windlass cancel {id}"));
        }
        RunStatus::Queued | RunStatus::Planning | RunStatus::Running => {
            add(format!("windlass attach {id}"));
            add(format!("windlass cancel {id}"));
        }
    }
    if run.status.is_terminal() || run.status == RunStatus::Blocked {
        if changed {
            add(format!("windlass diff {id}"));
            add(format!("windlass undo {id}"));
        }
        if changed && run.status == RunStatus::Completed && run.tree.as_ref().is_none_or(|t| t.git) {
            add("git add -p".into());
        }
        if !changed && run.status == RunStatus::Completed {
            add(format!("windlass show {id}"));
        }
    }
    commands
}

/// What a command of ours does, by its word; empty for any other.
pub(crate) fn why(command: &str) -> &'static str {
    let mut words = command.split_whitespace();
    match (words.next(), words.next()) {
        (Some("git"), Some(_)) if command.ends_with(" add -p") => "keep it, piece by piece",
        (Some("windlass"), Some(word)) => match word {
            "diff" => "what changed",
            "undo" => "put the files back",
            "retry" => "new attempts of what failed",
            "resume" => "go on with what is not finished",
            "logs" => "all of its output",
            "show" if command.ends_with(" --plan") => "what is to be approved",
            "show" => "everything about it",
            "inbox" => "everything that waits for you",
            "attach" => "watch again",
            "cancel" => "stop it",
            "answer" => "answer",
            "approve" => "let it go on",
            "reject" => "send it back",
            "demo" => "see the whole thing, no key needed",
            "doctor" => "check this machine",
            "init" => "set this project up",
            "list" => "all runs",
            "status" => "where it stands",
            _ => "",
        },
        _ => "",
    }
}

/// The commands, aligned, in at most `room` lines (at least one). Those without a line of their own share the last.
pub(crate) fn commands(f: &mut Fields, commands: &Commands, room: usize) {
    let room = room.max(1);
    let single = if commands.len() > room { room - 1 } else { commands.len() };
    let (own, shared) = commands.split_at(single.min(commands.len()));
    let column = own.iter().map(|(c, _)| text::width(&text::clean(c))).max().unwrap_or(0).min(48);
    for (command, why) in own {
        f.command("next", command, why, column);
    }
    if !shared.is_empty() {
        f.segments("next", shared.iter().map(|(c, _)| Line::of(Tone::Strong, c)).collect());
    }
}
