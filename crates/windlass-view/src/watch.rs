//! The live frame of a run: header, tasks, progress, totals, in any width and height.

use crate::fields::{joined, joined_line, wrapped};
use crate::human;
use crate::line::Line;
use crate::model::{Look, RunView, TaskRow};
use crate::rows::Columns;
use crate::text;
use crate::theme::{Mark, Tone, task_mark};
use windlass_api::status::{RunDoc, WaitingDoc};
use windlass_events::event::WaitFor;
use windlass_events::{Proof, RunStatus, TaskStatus};

/// The frame of a run in at most `height` lines (at least one is drawn), no line wider than `look.width`.
///
/// It is a pure function of its arguments: the same run at the same instant gives the same frame. When the height is
/// short, blank lines go first, then finished tasks become one line, then queued ones, then the workers' last lines;
/// what needs a person and what is live go last.
pub fn frame(view: &RunView<'_>, look: &Look, height: usize) -> Vec<Line> {
    let width = look.width.max(1);
    let height = height.max(1);
    let mut top = vec![header(view, width)];
    top.extend(attention(view.run, width));
    let mut bottom = vec![progress(view, width)];
    bottom.extend(totals(view, width));
    if height < 12 {
        bottom.truncate(2);
    }
    if height < top.len() + bottom.len() + 1 {
        return squeezed(top, bottom, height);
    }
    let columns = Columns::new(view, width);
    let body = body(view, &columns, height - top.len() - bottom.len());
    let spare = height - top.len() - bottom.len() - body.len();
    let mut lines = top;
    if spare >= 2 && !body.is_empty() {
        lines.push(Line::new());
    }
    lines.extend(body);
    if spare >= 2 {
        lines.push(Line::new());
    }
    lines.extend(bottom);
    lines
}

/// What is left of a frame with no room for tasks.
fn squeezed(mut top: Vec<Line>, mut bottom: Vec<Line>, height: usize) -> Vec<Line> {
    if height >= 2 {
        bottom.truncate(1);
        top.truncate(height - 1);
        top.append(&mut bottom);
    }
    top.truncate(height);
    top
}

fn header(view: &RunView<'_>, width: usize) -> Line {
    let run = view.run;
    let mut line = Line::new();
    line.glyph(view.mark).space(1).push(Tone::Strong, run.id.as_str());
    let mut tail = Line::new();
    if !matches!(run.status, RunStatus::Running) {
        tail.space(2).push(view.mark.tone, view.mark.word);
    }
    if line.width() + tail.width() <= width {
        line.append(tail);
    }
    let room = |line: &Line| width.saturating_sub(line.width() + 2);
    let shape = text::fit(&text::clean(run.shape()), 24);
    if room(&line) >= text::width(&shape) {
        line.space(2).push(Tone::Dim, shape);
    }
    if let Some(stand_in) = view.stand_in() {
        let short = stand_in.split(':').next().unwrap_or(stand_in);
        let words = if room(&line) >= text::width(stand_in) + 24 { stand_in } else { short };
        if room(&line) >= text::width(words) {
            line.space(2).push(Tone::Warn, words);
        }
    }
    if room(&line) >= 10 {
        let cells = room(&line);
        line.space(2).push_fit(Tone::Plain, run.goal.trim(), cells);
    }
    line.fit(width)
}

/// Why the run does not go on, and who or what ends that.
pub(crate) fn attention(run: &RunDoc, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let indent = if width < 40 { 0 } else { 2 };
    let mut say = |tone: Tone, text: &str, max: usize| {
        for part in wrapped(&text::clean(text), width.saturating_sub(indent), max) {
            let mut line = Line::new();
            line.space(indent).push(tone, part);
            lines.push(line.fit(width));
        }
    };
    match (run.status, &run.waiting, &run.error) {
        (RunStatus::Waiting, Some(waiting), _) => {
            say(Tone::Warn, &waiting_text(waiting), 2);
            if let Some(command) = &waiting.answer_with {
                say(Tone::Strong, command, 4);
            }
        }
        (RunStatus::Blocked, _, Some(error)) => {
            say(Tone::Warn, &crate::model::first_line(&error.message), 2);
            if let Some(command) = error.hint.as_ref().or(run.next.first()) {
                say(Tone::Plain, command, 4);
            }
        }
        _ => {}
    }
    lines
}

/// What a waiting run waits for, in one sentence.
pub(crate) fn waiting_text(waiting: &WaitingDoc) -> String {
    let on = waiting.on.as_deref().map(text::clean).filter(|s| !s.trim().is_empty());
    let question = waiting.question.as_deref().map(text::clean).filter(|s| !s.trim().is_empty());
    let options: Vec<_> = waiting.options.iter().take(9).map(|o| text::clean(o)).collect();
    let mut sentence = match (waiting.wait, question, on) {
        (WaitFor::Approval, Some(q), _) | (WaitFor::Answer, Some(q), _) => format!("asks: {q}"),
        (WaitFor::Approval, None, _) => "waits for your approval of the plan".into(),
        (WaitFor::Answer, None, Some(on)) => format!("asks: {on}"),
        (WaitFor::Answer, None, None) => "waits for your answer".into(),
        (WaitFor::Quota, _, Some(on)) => format!("waits for the provider's limit to pass: {on}"),
        (WaitFor::Quota, ..) => "waits for the provider's limit to pass".into(),
        (WaitFor::Environment, _, Some(on)) => format!("waits for a client that brings {on}"),
        (WaitFor::Environment, ..) => "waits for a client that brings its secret variables".into(),
        (WaitFor::Restart, ..) => "waits for your word: the machine was restarted".into(),
        (WaitFor::Tree, _, Some(on)) => format!("waits for its turn in the tree: {on}"),
        (WaitFor::Tree, ..) => "waits for its turn in the tree".into(),
    };
    if !options.is_empty() {
        sentence.push_str(&format!(" ({})", options.join(" / ")));
    }
    sentence
}

/// How tasks are shown, from the fullest way to the tightest.
#[derive(Clone, Copy)]
struct Fold {
    finished: bool,
    queued: bool,
    details: bool,
}

const FOLDS: [Fold; 4] = [
    Fold { finished: false, queued: false, details: true },
    Fold { finished: true, queued: false, details: true },
    Fold { finished: true, queued: true, details: true },
    Fold { finished: true, queued: true, details: false },
];

fn is_finished(row: &TaskRow<'_>) -> bool {
    row.task.status.is_terminal() && !row.is_trouble()
}

fn is_queued(row: &TaskRow<'_>) -> bool {
    matches!(row.task.status, TaskStatus::Queued | TaskStatus::Ready)
}

fn body(view: &RunView<'_>, columns: &Columns, room: usize) -> Vec<Line> {
    let finished = view.rows.iter().filter(|r| is_finished(r)).count();
    let queued = view.rows.iter().filter(|r| is_queued(r)).count();
    let active = view.rows.len() - finished - queued;
    // Live rows are few compared to all rows, so their details are worth building to count them.
    let details = view
        .rows
        .iter()
        .filter(|r| r.is_live())
        .take(room + 1)
        .filter(|r| columns.detail(view, r).is_some())
        .count();
    let size = |f: Fold| {
        let fold = |on: bool, n: usize| if on { n.min(1) } else { n };
        active + fold(f.finished, finished) + fold(f.queued, queued) + if f.details { details } else { 0 }
    };
    match FOLDS.into_iter().find(|f| size(*f) <= room) {
        Some(fold) => folded(view, columns, fold),
        None => clipped(view, columns, room),
    }
}

fn folded(view: &RunView<'_>, columns: &Columns, fold: Fold) -> Vec<Line> {
    let mut lines = Vec::new();
    if fold.finished {
        lines.extend(finished_line(view, columns));
    }
    for row in &view.rows {
        if (fold.finished && is_finished(row)) || (fold.queued && is_queued(row)) {
            continue;
        }
        lines.push(columns.row(view, row));
        if fold.details {
            lines.extend(columns.detail(view, row));
        }
    }
    if fold.queued {
        lines.extend(queued_line(view, columns, 0));
    }
    lines
}

/// As many active rows as there is room for, those that need a person first, and how many are not shown.
fn clipped(view: &RunView<'_>, columns: &Columns, room: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    if room > 3 {
        lines.extend(finished_line(view, columns));
    }
    let active = || view.rows.iter().filter(|r| !is_finished(r) && !is_queued(r));
    let total = active().count();
    let shown = room.saturating_sub(lines.len() + 1);
    let trouble = active().filter(|r| r.is_trouble());
    let live = active().filter(|r| !r.is_trouble());
    lines.extend(trouble.chain(live).take(shown).map(|r| columns.row(view, r)));
    lines.extend(queued_line(view, columns, total.saturating_sub(shown)));
    lines.truncate(room);
    lines
}

fn finished_line(view: &RunView<'_>, columns: &Columns) -> Option<Line> {
    let c = view.counts;
    // A refuted result is trouble and has a row of its own.
    let refuted =
        view.rows.iter().filter(|r| r.is_trouble() && r.task.status == TaskStatus::Completed).count();
    // In a narrow frame the glyphs say the rest.
    let narrow = columns.width() < 40;
    let parts = [
        (task_mark(TaskStatus::Completed, Proof::Proven), c.proven, "done"),
        (
            task_mark(TaskStatus::Completed, Proof::Unproven),
            c.completed.saturating_sub(refuted),
            if narrow { "completed" } else { "completed, unproven" },
        ),
        (
            task_mark(TaskStatus::Skipped, Proof::None),
            c.left,
            if narrow { "left out" } else { "skipped or cancelled" },
        ),
    ];
    let segments: Vec<_> = parts.into_iter().filter(|(_, n, _)| *n > 0).map(summary_segment).collect();
    summary(columns, segments)
}

fn queued_line(view: &RunView<'_>, columns: &Columns, hidden: usize) -> Option<Line> {
    let mut segments = Vec::new();
    if hidden > 0 {
        segments.push(Line::of(Tone::Plain, format!("… {hidden} more live")));
    }
    if view.counts.queued > 0 {
        let mark = task_mark(TaskStatus::Queued, Proof::None);
        segments.push(summary_segment((mark, view.counts.queued, "queued")));
    }
    summary(columns, segments)
}

fn summary_segment((mark, n, word): (Mark, usize, &str)) -> Line {
    let mut line = Line::new();
    line.glyph(mark).push(Tone::Dim, format!(" {n} {word}"));
    line
}

fn summary(columns: &Columns, segments: Vec<Line>) -> Option<Line> {
    if segments.is_empty() {
        return None;
    }
    let mut line = Line::new();
    line.space(columns.indent).append(joined_line(segments, columns.width().saturating_sub(columns.indent)));
    Some(line)
}

/// The bar and the counts.
pub(crate) fn progress(view: &RunView<'_>, width: usize) -> Line {
    let c = view.counts;
    let indent = if width < 40 { 0 } else { 2 };
    let mut counts = Line::of(Tone::Plain, format!("{} of {}", c.finished(), c.total));
    if width >= 40 {
        counts.push(Tone::Plain, if c.total == 1 { " task" } else { " tasks" });
    }
    let mut segments = vec![counts];
    for (n, word, tone) in [
        (c.attention, "need you", Tone::Warn),
        (c.failed, "failed", Tone::Bad),
        (c.live, "running", Tone::Accent),
        (c.waiting, "waiting", Tone::Warn),
    ] {
        if n > 0 {
            segments.push(Line::of(tone, format!("{n} {word}")));
        }
    }
    let cells = (width / 3).clamp(4, 40).min(width.saturating_sub(indent + 2));
    let mut line = Line::new();
    line.space(indent);
    let share = |n: usize| (n * cells).checked_div(c.total).unwrap_or(0);
    let bad = share(c.failed + c.attention).max(usize::from(c.failed + c.attention > 0)).min(cells);
    let done = share(c.finished()).max(bad).min(cells);
    let tone = if c.proven > 0 && c.proven == c.total { Tone::Good } else { Tone::Accent };
    line.push(tone, "━".repeat(done - bad));
    line.push(Tone::Bad, "━".repeat(bad));
    line.push(Tone::Dim, "─".repeat(cells - done));
    line.space(2);
    let room = width.saturating_sub(line.width());
    line.append(joined_line(segments, room));
    line.fit(width)
}

/// Money, tokens and time with their caps, those near their cap first. On one line as many as fit; in a narrow
/// frame on several.
pub(crate) fn totals(view: &RunView<'_>, width: usize) -> Vec<Line> {
    let indent = if width < 40 { 0 } else { 2 };
    let caps = view.caps();
    let mut segments = Vec::new();
    for cap in caps.iter().filter(|c| c.is_near()) {
        let percent = cap.percent.unwrap_or(0).min(999);
        segments.push(Line::of(Tone::Warn, format!("! {} ({percent} %)", cap.text)));
    }
    segments.extend(caps.iter().filter(|c| !c.is_near()).map(|c| Line::of(Tone::Dim, &c.text)));
    let tokens = view.usage.tokens();
    let budget = view.run.budget.as_ref();
    if budget.is_none_or(|b| b.tokens.cap.is_none()) && tokens > 0 {
        segments.push(Line::of(Tone::Dim, format!("{} tokens", human::count(tokens))));
    }
    if budget.is_none_or(|b| b.usd.cap.is_none()) && tokens > 0 {
        segments.push(Line::of(Tone::Dim, human::cost(view.usage.cost_usd)));
    }
    if budget.is_none_or(|b| b.wall_ms.cap.is_none()) {
        segments.push(Line::of(Tone::Dim, human::duration(view.elapsed_ms)));
    }
    let room = width.saturating_sub(indent);
    let lines = if width < 60 { joined(segments, room) } else { vec![joined_line(segments, room)] };
    lines
        .into_iter()
        .map(|l| {
            let mut line = Line::new();
            line.space(indent).append(l);
            line.fit(width)
        })
        .collect()
}
