//! What a run would do: the answer to `run --dry-run`.

use crate::fields::{Fields, STACK_BELOW, WHOLE, joined};
use crate::human;
use crate::line::Line;
use crate::model::Look;
use crate::text;
use crate::theme::Tone;
use std::collections::HashMap;
use windlass_api::growth::GrowthKind;
use windlass_api::response::{PlanDoc, PlannedTask};
use windlass_events::TaskId;

/// Tasks that a person is shown of a very large plan.
const MAX_TASKS: usize = 100;
/// Cells of the column of names at most.
const NAMES: usize = 28;

/// The shape and why; each task with its role, model chain, whether it may change files, its starts, and what it comes after; gates, caps,
/// the worst case; every note whole.
pub fn plan(plan: &PlanDoc, look: &Look) -> Vec<Line> {
    let mut f = Fields::new(look.width);
    for (at, part) in text::wrap(&text::clean(&plan.shape), look.width.saturating_sub(2)).iter().enumerate() {
        let mut line = Line::new();
        line.push(Tone::Accent, if at == 0 { "▸ " } else { "  " }).push(Tone::Strong, part);
        f.line(line);
    }
    tasks(&mut f, &plan.tasks, look.width);
    f.line(Line::new());
    if plan.gates.is_empty() {
        f.text("gates", Tone::Warn, "none: the result will be unproven (--gate CMD adds one)", 2);
    }
    for gate in &plan.gates {
        f.text("gates", Tone::Plain, gate, 2);
    }
    let caps: Vec<Line> = match plan.caps.as_slice() {
        [] => vec![Line::of(Tone::Warn, "none")],
        caps => caps.iter().map(|cap| Line::of(Tone::Plain, cap)).collect(),
    };
    f.segments("cap", caps);
    f.field("at worst", Line::of(Tone::Plain, human::plural(plan.worst_case_starts, "start", "starts")));
    for notice in &plan.notices {
        f.text("note", Tone::Warn, notice, WHOLE);
    }
    f.line(Line::new());
    for part in text::wrap("nothing was started", look.width) {
        f.line(Line::of(Tone::Dim, part));
    }
    f.into_lines()
}

fn tasks(f: &mut Fields, all: &[PlannedTask], width: usize) {
    if all.is_empty() {
        return;
    }
    f.line(Line::new());
    let position: HashMap<&TaskId, usize> = all.iter().enumerate().map(|(at, task)| (&task.id, at)).collect();
    let shown = all.get(..MAX_TASKS).unwrap_or(all);
    let longest = shown.iter().map(|t| text::width(t.id.as_str())).max().unwrap_or(0);
    let column = if width < STACK_BELOW { 4 } else { longest.min(NAMES) + 4 };
    for task in shown {
        let parts = about(task, &position);
        let room = width.saturating_sub(column);
        let mut rest = if width < STACK_BELOW {
            // A model's name is not cut where there is so little room.
            let text: Vec<String> =
                parts.iter().filter(|p| !p.is_blank()).map(|p| p.to_text(false)).collect();
            text::wrap(&text.join(" · "), room).into_iter().map(|l| Line::of(Tone::Plain, l)).collect()
        } else {
            joined(parts, room)
        }
        .into_iter();
        let mut first = Line::new();
        first.space(2).push_fit(Tone::Strong, task.id.as_str(), width.saturating_sub(2));
        if first.width() + 2 <= column {
            first.pad_to(column).append(rest.next().unwrap_or_default());
        }
        f.line(first);
        for line in rest {
            let mut below = Line::new();
            below.space(column).append(line);
            f.line(below);
        }
    }
    if shown.len() < all.len() {
        let left = human::count((all.len() - shown.len()) as u64);
        f.line(Line::of(Tone::Dim, format!("  … and {left} more; `--json` has them all")));
    }
}

/// What there is to say of a task, in pieces.
fn about(task: &PlannedTask, position: &HashMap<&TaskId, usize>) -> Vec<Line> {
    let role =
        if task.role == task.agent { task.role.clone() } else { format!("{} by {}", task.role, task.agent) };
    let mut parts = vec![Line::of(Tone::Plain, role), Line::of(Tone::Dim, &task.runtime)];
    if !task.models.is_empty() {
        parts.push(Line::of(Tone::Plain, task.models.join(" → ")));
    }
    parts.push(Line::of(Tone::Plain, if task.writes { "writes" } else { "only reads" }));
    parts.push(Line::of(
        Tone::Plain,
        match task.attempts {
            // A list has no worker of its own.
            1 if task.growth.as_ref().is_some_and(|g| g.kind != GrowthKind::Plan) => {
                "no start of its own".to_owned()
            }
            1 => "1 start".to_owned(),
            n => format!("at most {n} starts"),
        },
    ));
    parts.extend(task.growth.as_ref().map(|g| Line::of(Tone::Strong, g.words())));
    let mut before = task.depends_on.clone();
    before.sort_by_key(|id| position.get(id).copied());
    parts.push(match before.as_slice() {
        [] => Line::new(),
        [one] => Line::of(Tone::Dim, format!("after {one}")),
        [one, two] => Line::of(Tone::Dim, format!("after {one}, {two}")),
        [one, two, rest @ ..] => Line::of(Tone::Dim, format!("after {one}, {two} and {} more", rest.len())),
    });
    parts
}
