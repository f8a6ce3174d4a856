//! A plan that a person is to approve, and the question about it.

use crate::fields::Fields;
use crate::human;
use crate::line::Line;
use crate::model::Look;
use crate::text;
use crate::theme::Tone;
use windlass_api::inbox::{PlanMark, ProposalDoc, ProposedTask};

/// Cells before what goes on of a wrapped line.
const HANGING: usize = 6;

/// The plan: who made it, its tasks by phase with a mark against the plan before, or its text with the lines that changed.
///
/// At most `max` lines of a text or list of tasks each; `None` shows all.
pub fn proposal(doc: &ProposalDoc, max: Option<usize>, look: &Look) -> Vec<Line> {
    let mut f = Fields::new(look.width);
    for line in title(doc).wrap(look.width, 2) {
        f.line(line);
    }
    if doc.text.is_some() {
        f.line(Line::new());
        cut(&mut f, text_lines(doc, look), max, doc, look);
    }
    if !doc.tasks.is_empty() {
        f.line(Line::new());
        if doc.text.is_some() {
            f.line(Line::of(Tone::Dim, if doc.asked { "starts when you approve" } else { "builds on it" }));
        }
        cut(&mut f, task_lines(doc, look), max, doc, look);
    }
    f.into_lines()
}

fn title(doc: &ProposalDoc) -> Line {
    let mut line = Line::new();
    line.push(if doc.asked { Tone::Warn } else { Tone::Plain }, "◆ ");
    match (&doc.task, &doc.planner) {
        (Some(task), _) => line.push(Tone::Strong, format!("task {task}")),
        (None, Some(planner)) if doc.revision > 1 => {
            line.push(Tone::Strong, format!("the plan of {planner}, revision {}", doc.revision))
        }
        (None, Some(planner)) => line.push(Tone::Strong, format!("the plan of {planner}")),
        (None, None) => line.push(Tone::Strong, "what the run would do"),
    };
    line.push(Tone::Dim, format!(" · run {} · ", doc.run));
    if doc.asked {
        line.push(Tone::Warn, "waits for your approval");
    } else {
        line.push(Tone::Dim, "nobody is asked about it now");
    }
    line
}

/// The first of many lines, and where the others are.
fn cut(f: &mut Fields, lines: Vec<Line>, max: Option<usize>, doc: &ProposalDoc, look: &Look) {
    let shown = max.unwrap_or(usize::MAX).min(lines.len());
    let more = lines.len() - shown;
    for line in lines.into_iter().take(shown) {
        f.line(line);
    }
    if more > 0 {
        let left = human::plural(more as u64, "more line", "more lines");
        for part in text::wrap(&format!("… {left}: windlass show {} --plan", doc.run), look.width) {
            f.line(Line::of(Tone::Dim, part));
        }
    }
}

fn text_lines(doc: &ProposalDoc, look: &Look) -> Vec<Line> {
    let wrapped = |line: Line| line.wrap(look.width, HANGING);
    match (&doc.changes, &doc.text) {
        (Some(changes), _) => changes
            .iter()
            .flat_map(|change| {
                let mut line = Line::new();
                let (sign, tone) = sign(change.mark);
                line.space(2).push(tone, format!("{sign} ")).push(tone, &change.line);
                wrapped(line)
            })
            .collect(),
        (None, Some(said)) => said
            .lines()
            .flat_map(|one| {
                let mut line = Line::new();
                line.space(4).push(Tone::Plain, one);
                wrapped(line)
            })
            .collect(),
        (None, None) => Vec::new(),
    }
}

const fn sign(mark: PlanMark) -> (char, Tone) {
    match mark {
        PlanMark::Same => (' ', Tone::Plain),
        PlanMark::Added => ('+', Tone::Good),
        PlanMark::Changed => ('~', Tone::Warn),
        PlanMark::Dropped => ('-', Tone::Bad),
    }
}

fn task_lines(doc: &ProposalDoc, look: &Look) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut phase = "";
    for task in &doc.tasks {
        if task.phase != phase {
            phase = &task.phase;
            lines.push(Line::of(Tone::Dim, if phase.is_empty() { "no phase" } else { phase }));
        }
        lines.extend(task_line(task).wrap(look.width, HANGING));
        for gate in &task.gates {
            let mut line = Line::new();
            line.space(HANGING).push(Tone::Dim, "gate ").push(Tone::Plain, gate);
            lines.extend(line.wrap(look.width, HANGING + 2));
        }
    }
    lines
}

fn task_line(task: &ProposedTask) -> Line {
    let (sign, tone) = sign(task.mark);
    let mut line = Line::new();
    line.space(2).push(tone, format!("{sign} ")).push(Tone::Strong, task.id.as_str());
    line.push(Tone::Plain, format!("  {}", task.role));
    line.push(Tone::Dim, if task.writes { " · writes" } else { " · only reads" });
    let title = task.title.trim();
    if !title.is_empty() && title != task.id.as_str() {
        line.push(Tone::Plain, format!(" · {title}"));
    }
    if !task.depends_on.is_empty() && task.mark != PlanMark::Dropped {
        let after: Vec<&str> = task.depends_on.iter().take(3).map(|t| t.as_str()).collect();
        let more = if task.depends_on.len() > 3 { " …" } else { "" };
        line.push(Tone::Dim, format!(" · after {}{more}", after.join(", ")));
    }
    line
}

/// What is asked below a plan while a run is watched. Enter alone leaves the run waiting.
pub fn question(look: &Look) -> Vec<Line> {
    let choices = [
        ("a", "approve: let it go on"),
        ("r", "reject: say what is to be otherwise, and it is planned again"),
        ("c", "cancel the run"),
        ("Enter", "leave it waiting"),
    ];
    let lines = choices.iter().flat_map(|(key, what)| {
        let mut line = Line::new();
        line.space(2).push(Tone::Strong, key).pad_to(9).push(Tone::Plain, what);
        line.wrap(look.width, 9)
    });
    std::iter::once(Line::new()).chain(lines).collect()
}
