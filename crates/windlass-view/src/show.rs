//! `status`, `show` and the evidence of a run as text.

use crate::end;
use crate::fields::{Fields, WHOLE};
use crate::human;
use crate::line::Line;
use crate::model::{Look, RunView, TaskRow};
use crate::rows::Columns;
use crate::start;
use crate::text;
use crate::theme::{Tone, light_mark};
use crate::watch;
use windlass_api::status::{EvidenceDoc, RunDoc};
use windlass_events::{RunStatus, TaskStatus};

/// Where a run stands: verdict, tasks, what it waits for or why it stopped, totals, what to type next.
pub fn status(view: &RunView<'_>, look: &Look) -> Vec<Line> {
    let width = look.width;
    let mut f = Fields::new(width);
    for line in end::verdict(view, width) {
        f.line(line);
    }
    goal(&mut f, view, width);
    if let Some(stand_in) = view.stand_in() {
        f.line(Line::of(Tone::Warn, format!("  {stand_in}")));
    }
    tasks(&mut f, view, width);
    f.line(Line::new());
    f.line(watch::progress(view, width));
    for line in watch::totals(view, width) {
        f.line(line);
    }
    let trouble = matches!(view.run.status, RunStatus::Waiting | RunStatus::Blocked | RunStatus::Failed);
    if trouble {
        f.line(Line::new());
        end::explanation(&mut f, view, 8);
    }
    next(&mut f, view, false);
    f.into_lines()
}

/// Everything worth knowing of a run: `status` with its surroundings, gates, results and where they are.
pub fn show(view: &RunView<'_>, look: &Look) -> Vec<Line> {
    let (run, width) = (view.run, look.width);
    let mut f = Fields::new(width);
    for line in end::verdict(view, width) {
        f.line(line);
    }
    goal(&mut f, view, width);
    f.line(Line::new());
    f.text("shape", Tone::Plain, &shape(view), 2);
    let mut when = human::date_time(run.created_at, &look.zone);
    when.push_str(&format!(", {}", human::ago(run.created_at, view.now, &look.zone)));
    f.text("created", Tone::Plain, &when, 1);
    facts(&mut f, view, look);
    tasks(&mut f, view, width);
    results(&mut f, view, look);
    folder(&mut f, view, look);
    next(&mut f, view, true);
    f.into_lines()
}

/// What it worked with and what came of it: program, tree, gates, changes, cost, what is unproven, why it stopped, what was said.
pub(crate) fn facts(f: &mut Fields, view: &RunView<'_>, look: &Look) {
    let run = view.run;
    f.segments("program", start::programs(view));
    f.segments("tree", start::tree(run, look));
    end::gates(f, run, 20);
    f.segments("changed", end::changed(run));
    f.segments("cost", end::cost(view, look.width));
    if run.status == RunStatus::Completed {
        end::unproven(f, view);
    }
    end::explanation(f, view, 20);
    for notice in &run.notices {
        f.text("note", Tone::Warn, notice.trim(), WHOLE);
    }
}

/// What was checked, task by task, oldest first, with the end of the output of what is red.
pub fn evidence(view: &RunView<'_>, look: &Look) -> Vec<Line> {
    let mut f = Fields::new(look.width);
    end::gates(&mut f, view.run, usize::MAX);
    for row in view.rows.iter().filter(|r| !r.task.evidence.is_empty()) {
        f.line(Line::new());
        f.line(task_title(row));
        for evidence in &row.task.evidence {
            one_evidence(&mut f, view.run, evidence, look);
        }
    }
    f.into_lines()
}

fn task_title(row: &TaskRow<'_>) -> Line {
    let mut title = Line::new();
    title.glyph(row.mark).space(1).push(Tone::Strong, row.name());
    title.push(Tone::Dim, "  ").push(row.mark.tone, row.mark.word);
    title
}

fn one_evidence(f: &mut Fields, run: &RunDoc, evidence: &EvidenceDoc, look: &Look) {
    let after = light_mark(evidence.after);
    let mut line = Line::new();
    line.space(2).glyph(after).space(1).push(Tone::Dim, &evidence.kind);
    if let Some(command) = &evidence.command {
        line.push(Tone::Plain, " ").push_fit(Tone::Plain, command, look.width.saturating_sub(40).max(12));
    }
    line.space(2);
    if let Some(before) = evidence.before {
        line.push(light_mark(Some(before)).tone, before.as_str()).push(Tone::Dim, " → ");
    }
    line.push(after.tone, after.word);
    if let Some(code) = evidence.exit.filter(|c| *c != 0) {
        line.push(Tone::Dim, format!(" · exit {code}"));
    }
    if let Some(ms) = evidence.ms {
        line.push(Tone::Dim, format!(" · {}", human::short_duration(ms)));
    }
    if evidence.n > 1 {
        line.push(Tone::Dim, format!(" · try {}", evidence.n));
    }
    f.line(line);
    if after.tone == Tone::Bad {
        for tail in text::lines(evidence.tail.as_deref().unwrap_or_default(), 12) {
            f.line(Line::of(Tone::Dim, format!("    │ {tail}")));
        }
    }
    if let Some(path) = &evidence.path {
        f.line(Line::of(Tone::Dim, format!("    {}", place(run, path, look))));
    }
}

pub(crate) fn shape(view: &RunView<'_>) -> String {
    let run = view.run;
    let mut text = match &run.team {
        Some(team) if *team != run.workflow => format!("{team}, workflow {}", run.workflow),
        _ => run.shape().to_owned(),
    };
    if !run.shape_reason.trim().is_empty() {
        text.push_str(&format!(": {}", run.shape_reason.trim()));
    }
    text
}

fn goal(f: &mut Fields, view: &RunView<'_>, width: usize) {
    for line in crate::fields::wrapped(&text::clean(view.run.goal.trim()), width.saturating_sub(2), 3) {
        if !line.is_empty() {
            f.line(Line::of(Tone::Plain, format!("  {line}")));
        }
    }
}

/// Rows that a person is shown of a run with very many tasks.
pub(crate) const MAX_ROWS: usize = 100;

fn tasks(f: &mut Fields, view: &RunView<'_>, width: usize) {
    if view.rows.is_empty() {
        return;
    }
    f.line(Line::new());
    let columns = Columns::new(view, width);
    let shown = worth_showing(view);
    for row in &shown {
        f.line(columns.row(view, row));
        if let Some(detail) = columns.detail(view, row) {
            f.line(detail);
        }
    }
    if shown.len() < view.rows.len() {
        let left = human::count((view.rows.len() - shown.len()) as u64);
        f.line(Line::of(Tone::Dim, format!("  … and {left} more; `--json` has them all")).fit(width));
    }
}

/// All rows; of very many, those that are at work or in trouble and the first of the others, in the order of the run.
pub(crate) fn worth_showing<'v, 'a>(view: &'v RunView<'a>) -> Vec<&'v TaskRow<'a>> {
    if view.rows.len() <= MAX_ROWS {
        return view.rows.iter().collect();
    }
    let matters = |row: &TaskRow<'_>| {
        !matches!(
            row.task.status,
            TaskStatus::Queued
                | TaskStatus::Ready
                | TaskStatus::Completed
                | TaskStatus::Skipped
                | TaskStatus::Cancelled
        )
    };
    let mut chosen: Vec<usize> = Vec::with_capacity(MAX_ROWS);
    for wanted in [true, false] {
        let fitting =
            view.rows.iter().enumerate().filter(|(_, row)| matters(row) == wanted).map(|(at, _)| at);
        chosen.extend(fitting.take(MAX_ROWS - chosen.len()));
    }
    chosen.sort_unstable();
    chosen.into_iter().filter_map(|at| view.rows.get(at)).collect()
}

fn results(f: &mut Fields, view: &RunView<'_>, look: &Look) {
    let all = view.rows.iter().filter_map(|row| row.task.result.as_ref());
    for (at, result) in all.clone().take(MAX_ROWS).enumerate() {
        if at == 0 {
            f.line(Line::new());
        }
        let mut line = Line::of(Tone::Plain, place(view.run, &result.path, look));
        line.push(Tone::Dim, format!("  {}", human::bytes(result.bytes)));
        if result.redacted {
            line.push(Tone::Warn, ", secrets replaced");
        }
        f.field("results", line);
    }
    let more = all.count().saturating_sub(MAX_ROWS);
    if more > 0 {
        f.field(
            "results",
            Line::of(Tone::Dim, format!("… and {} more in the same folder", human::count(more as u64))),
        );
    }
}

/// A path as people find it: below the run's folder, which is named once, else whole.
fn place(run: &RunDoc, path: &str, look: &Look) -> String {
    let below = run.folder.as_ref().and_then(|f| path.strip_prefix(f.path.as_str())?.strip_prefix('/'));
    below.map_or_else(|| look.path(path).into_owned(), str::to_owned)
}

/// Where everything of the run is, and what there is.
fn folder(f: &mut Fields, view: &RunView<'_>, look: &Look) {
    let Some(folder) = &view.run.folder else { return };
    if view.rows.iter().all(|row| row.task.result.is_none()) {
        f.line(Line::new());
    }
    f.field("folder", Line::of(Tone::Plain, look.path(&folder.path)));
    f.segments("folder", folder.contents.iter().map(|name| Line::of(Tone::Dim, name)).collect());
}

/// What to type next; `shown` when it stands below everything that `show` would tell.
fn next(f: &mut Fields, view: &RunView<'_>, shown: bool) {
    let mut next = end::next_commands(view);
    if shown {
        next.retain(|(command, _)| !command.starts_with("windlass show "));
    }
    if !next.is_empty() {
        f.line(Line::new());
        end::commands(f, &next, next.len());
    }
}
