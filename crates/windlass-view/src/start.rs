//! The card that a watched run begins with: what will happen, with what, checked by what, and what it can cost.

use crate::fields::{Fields, STACK_BELOW, wrapped};
use crate::human;
use crate::line::Line;
use crate::model::{Look, RunView};
use crate::problem;
use crate::text;
use crate::theme::{Tone, light_mark};
use windlass_api::growth::GrowthKind;
use windlass_api::status::{GateDoc, ProgramDoc, RunDoc, TaskDoc};
use windlass_events::RuntimeKind;

/// Lines of a card at a width of 80.
pub const CARD_LINES: usize = 12;

/// Lines of a card at this width: where labels stand on lines of their own it is as long as it must be.
pub(crate) const fn card_lines(width: usize) -> usize {
    if width < STACK_BELOW { 60 } else { CARD_LINES }
}

/// Gates that have a line of their own.
const GATE_LINES: usize = 3;

/// The start card, at most [`CARD_LINES`] lines where `look.width` is 80 or more. Notes are in it where it has room for all of them.
pub fn start_card(view: &RunView<'_>, look: &Look) -> Vec<Line> {
    let mut f = without_notes(view, look);
    let notes = notes(view.run, f.room());
    if fits(&f, &notes, look.width) {
        notes.into_iter().for_each(|line| f.field("note", line));
    }
    f.into_lines_at_most(card_lines(look.width))
}

/// What is told before the start card: all notes, whole, where the card has no room for them.
pub fn notes_above(view: &RunView<'_>, look: &Look) -> Vec<Line> {
    let f = without_notes(view, look);
    if fits(&f, &notes(view.run, f.room()), look.width) {
        return Vec::new();
    }
    view.run.notices.iter().flat_map(|notice| problem::note(notice, look)).collect()
}

fn fits(card: &Fields, notes: &[Line], width: usize) -> bool {
    card.len() + notes.len() <= card_lines(width)
}

fn without_notes(view: &RunView<'_>, look: &Look) -> Fields {
    let run = view.run;
    let mut f = Fields::new(look.width);
    for line in shape_lines(view, look.width) {
        f.line(line);
    }
    let mut goal = Line::new();
    goal.space(2).push_fit(Tone::Plain, run.goal.trim(), look.width.saturating_sub(2));
    f.line(goal);
    f.field("run", Line::of(Tone::Strong, run.id.as_str()));
    f.segments("program", programs(view));
    f.segments("tree", tree(run, look));
    gates_now(&mut f, &run.gates);
    f.segments("cap", caps(run));
    f.field("at worst", Line::of(Tone::Plain, human::plural(run.worst_case_starts, "start", "starts")));
    f
}

/// The first line: the choice, its reason, the number of agent starts, and the option for another where the user named none.
fn shape_lines(view: &RunView<'_>, width: usize) -> Vec<Line> {
    let run = view.run;
    // Parts are what it grew into since; a list has no worker of its own.
    let steps = || view.rows.iter().map(|r| r.task).filter(|t| t.parent.is_none());
    let own = |t: &&TaskDoc| t.growth.as_ref().is_none_or(|g| g.kind == GrowthKind::Plan);
    let agents = steps().filter(|t| t.runtime.is_model()).filter(own).count() as u64;
    let most: u64 = steps().filter_map(|t| t.growth.as_ref()).map(|g| u64::from(g.max)).sum();
    let starts = match (agents, steps().filter(own).count() as u64) {
        (0, commands) if most > 0 => {
            format!(
                "{} and up to {} more tasks",
                human::plural(commands, "command", "commands"),
                human::count(most)
            )
        }
        (n, _) if most > 0 => {
            format!(
                "{} and up to {} more",
                human::plural(n, "agent start", "agent starts"),
                human::count(most)
            )
        }
        (0, commands) => format!("no agent, {}", human::plural(commands, "command", "commands")),
        (n, _) => human::plural(n, "agent start", "agent starts"),
    };
    let other = text::clean(run.shape_other.trim());
    let other = (!other.is_empty()).then(|| format!("{other} for another"));
    let tail = format!(" · {starts}{}", other.iter().map(|o| format!(" · {o}")).collect::<String>());
    let shape = text::clean(run.shape());
    let reason = text::clean(run.shape_reason.trim());
    let mut line = Line::new();
    line.push(Tone::Accent, "▸ ").push_fit(Tone::Strong, &shape, width.saturating_sub(2).min(32));
    let room = width.saturating_sub(line.width() + text::width(&tail));
    if reason.is_empty() && room > 0 {
        line.push(Tone::Dim, tail);
        return vec![line];
    }
    if room >= text::width(&reason).min(20) + 2 {
        line.push(Tone::Plain, ": ").push_fit(Tone::Plain, &reason, room - 2).push(Tone::Dim, tail);
        return vec![line];
    }
    let mut lines = vec![line];
    let mut rest = Vec::new();
    if !reason.is_empty() {
        rest.extend(
            wrapped(&reason, width.saturating_sub(2), 2).into_iter().map(|l| Line::of(Tone::Plain, l)),
        );
    }
    for part in std::iter::once(starts.as_str()).chain(other.as_deref()) {
        let cells = width.saturating_sub(2);
        rest.extend(wrapped(part, cells, 3).into_iter().map(|l| Line::of(Tone::Dim, l)));
    }
    lines.extend(rest.into_iter().map(|l| {
        let mut line = Line::new();
        line.space(2).append(l);
        line
    }));
    lines
}

/// The programs that do the work, with version and model; a stand-in says that it is one.
pub(crate) fn programs(view: &RunView<'_>) -> Vec<Line> {
    let mut segments = Vec::new();
    for program in view.run.programs.iter().take(2) {
        segments.push(program_line(program));
    }
    match view.run.programs.len().saturating_sub(2) {
        0 => {}
        more => segments.push(Line::of(Tone::Dim, format!("{more} more"))),
    }
    if let Some(stand_in) = view.stand_in() {
        segments.push(Line::of(Tone::Warn, stand_in));
    }
    let is = |kind| view.rows.iter().any(|r| r.task.runtime == kind);
    if segments.is_empty() && is(RuntimeKind::Command) {
        segments.push(Line::of(Tone::Plain, "commands only, no model"));
    }
    if segments.is_empty() {
        segments.push(Line::of(Tone::Dim, "not known"));
    }
    segments
}

fn program_line(program: &ProgramDoc) -> Line {
    let mut line = Line::of(Tone::Plain, program.runtime.as_str());
    if !program.version.trim().is_empty() {
        line.push(Tone::Plain, " ").push_fit(Tone::Plain, program.version.trim(), 16);
    }
    match program.model.as_deref().map(str::trim).filter(|m| !m.is_empty()) {
        Some(model) => line.push(Tone::Dim, ", ").push_fit(Tone::Plain, model, 36),
        None => line.push(Tone::Dim, ", its own model"),
    };
    line
}

/// Where the work happens.
pub(crate) fn tree(run: &RunDoc, look: &Look) -> Vec<Line> {
    // A long path keeps its end, and leaves room for the branch.
    let path = |p: &str| {
        Line::of(
            Tone::Plain,
            text::fit_end(&text::clean(&look.path(p)), look.width.saturating_sub(46).max(18)),
        )
    };
    let Some(tree) = &run.tree else { return vec![path(&run.cwd)] };
    let mut segments = vec![path(&tree.root)];
    if !tree.git {
        segments.push(Line::of(Tone::Warn, "not git: nothing to compare or undo"));
        return segments;
    }
    let base = run.base.as_deref().map(|b| text::prefix(&text::clean(b), 8).0.to_owned());
    segments.push(match (tree.branch.as_deref(), base) {
        (Some(branch), Some(base)) => {
            let mut line = Line::new();
            line.push_fit(Tone::Plain, branch, 18).push(Tone::Dim, format!(" at {base}"));
            line
        }
        (Some(branch), None) => {
            let mut line = Line::new();
            line.push_fit(Tone::Plain, branch, 14).push(Tone::Dim, ", no commit yet");
            line
        }
        (None, Some(base)) => Line::of(Tone::Plain, format!("detached at {base}")),
        (None, None) => Line::of(Tone::Plain, "no commit yet"),
    });
    segments
}

fn gates_now(f: &mut Fields, gates: &[GateDoc]) {
    if gates.is_empty() {
        f.text("gates", Tone::Warn, "none: the result will be unproven (--gate CMD adds one)", 2);
        return;
    }
    let room = f.room();
    let shown = || gates.iter().take(GATE_LINES);
    let longest = shown().map(|g| text::width(&text::clean(&g.command))).max().unwrap_or(0);
    let column = longest.min(room.saturating_sub(13)).max(longest.min(14));
    for gate in shown() {
        let mark = light_mark(gate.before);
        let mut now = Line::new();
        match gate.before {
            _ if gate.left_out => now.push(Tone::Warn, "left out"),
            Some(_) => now.push(mark.tone, mark.word).push(Tone::Dim, " now"),
            None => now.push(Tone::Dim, "not run yet"),
        };
        let mut line = Line::new();
        line.push_fit(Tone::Plain, &gate.command, column.min(room));
        if column + 2 + now.width() <= room {
            line.pad_to(column + 2).append(now);
            f.field("gates", line);
        } else {
            f.field("gates", line);
            f.field("gates", now);
        }
    }
    if gates.len() > GATE_LINES {
        f.field("gates", Line::of(Tone::Dim, format!("… and {} more", gates.len() - GATE_LINES)));
    }
}

fn caps(run: &RunDoc) -> Vec<Line> {
    let mut segments = Vec::new();
    if let Some(budget) = &run.budget {
        segments.extend(budget.usd.cap.map(human::money_cap));
        segments.extend(budget.tokens.cap.map(|n| format!("{} tokens", human::count(n))));
        segments.extend(budget.wall_ms.cap.map(human::cap_duration));
    }
    if segments.is_empty() {
        return vec![Line::of(Tone::Warn, "none")];
    }
    segments.into_iter().map(|s| Line::of(Tone::Plain, s)).collect()
}

/// The notes in lines of at most `cells`, each whole.
fn notes(run: &RunDoc, cells: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for notice in &run.notices {
        let parts = text::wrap(&text::clean(notice), cells.saturating_sub(2));
        lines.extend(parts.into_iter().enumerate().map(|(at, part)| {
            let mut line = Line::new();
            line.space(if at == 0 { 0 } else { 2 }).push(Tone::Warn, part);
            line
        }));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Overlay;
    use crate::sample;
    use windlass_api::status::StatusDoc;

    fn shown(doc: &StatusDoc, draw: fn(&RunView<'_>, &Look) -> Vec<Line>) -> String {
        let over = Overlay::default();
        let view = RunView::new(doc, &over, sample::NOW);
        draw(&view, &Look::new(80)).iter().map(|l| l.to_text(false) + "\n").collect()
    }

    #[test]
    fn another_shape_is_offered_only_where_one_was_chosen() {
        let mut doc = sample::created();
        assert!(shown(&doc, start_card).contains("--team NAME for another"));
        doc.run.shape_other = "--team solo".into();
        assert!(shown(&doc, start_card).contains("--team solo for another"));
        doc.run.shape_other.clear();
        assert!(!shown(&doc, start_card).contains("another"));
    }

    #[test]
    fn a_note_is_told_whole() {
        let mut doc = sample::created();
        let long = format!("{}the end", "a word and another ".repeat(6));
        doc.run.notices = vec!["short".into(), long.clone()];
        let together = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(together(shown(&doc, start_card)).contains(&long));
        assert_eq!(shown(&doc, notes_above), "");
        doc.run.notices.extend(vec![long.clone(); 4]);
        assert!(!shown(&doc, start_card).contains("note"));
        assert_eq!(together(shown(&doc, notes_above)).matches(&long).count(), 5);
    }
}
