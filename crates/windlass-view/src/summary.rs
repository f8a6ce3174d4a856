//! The summary of a run that has ended or stands still, in sections: for a file that people and agents read later.
//!
//! It says what `show` says, from the same lines, and more where a file has room: the attempts of each task, each file.

use crate::end;
use crate::fields::Fields;
use crate::human;
use crate::line::Line;
use crate::model::{Look, RunView, TaskRow};
use crate::show::{self, MAX_ROWS};
use crate::table::{Column, table};
use crate::text;
use crate::theme::Tone;

/// Lines of a goal that are shown; `goal.md` has all of it.
const GOAL_LINES: usize = 60;

/// A part of the summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Heading.
    pub title: &'static str,
    /// What it says.
    pub lines: Vec<Line>,
}

/// A file that the run changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// Path in the tree.
    pub path: String,
    /// What it was called before, when it was renamed.
    pub from: Option<String>,
    /// Lines added and removed; `None` of a binary file.
    pub lines: Option<(u64, u64)>,
}

/// Goal, outcome, tasks, changed files, what to type next. Sections with nothing to say are left out.
pub fn summary(view: &RunView<'_>, files: &[ChangedFile], look: &Look) -> Vec<Section> {
    let all = [
        ("Goal", goal(view, look.width)),
        ("Outcome", outcome(view, look)),
        ("Tasks", tasks(view, look.width)),
        ("Changed files", changed(files, look.width)),
        ("Next", next(view, look.width)),
    ];
    all.into_iter()
        .filter(|(_, lines)| !lines.is_empty())
        .map(|(title, lines)| Section { title, lines })
        .collect()
}

fn goal(view: &RunView<'_>, width: usize) -> Vec<Line> {
    let goal = view.run.goal.trim();
    let mut lines: Vec<String> = Vec::new();
    for line in goal.lines().take(GOAL_LINES + 1) {
        lines.extend(text::wrap(&text::clean(line), width));
    }
    if lines.len() > GOAL_LINES {
        lines.truncate(GOAL_LINES - 1);
        lines.push("… goal.md has all of it".to_owned());
    }
    lines.into_iter().map(|line| Line::of(Tone::Plain, line)).collect()
}

fn outcome(view: &RunView<'_>, look: &Look) -> Vec<Line> {
    let run = view.run;
    let mut f = Fields::new(look.width);
    for line in end::verdict(view, look.width) {
        f.line(line);
    }
    if let Some(stand_in) = view.stand_in() {
        f.line(Line::of(Tone::Warn, format!("  {stand_in}")));
    }
    f.text("shape", Tone::Plain, &show::shape(view), 2);
    let at = |at| human::date_time(at, &look.zone);
    let when = match run.ended_at {
        Some(ended) => format!("{}, ended {}", at(run.created_at), at(ended)),
        None => format!("{}, this is of {}", at(run.created_at), at(view.now)),
    };
    f.text("created", Tone::Plain, &when, 1);
    show::facts(&mut f, view, look);
    f.into_lines()
}

fn tasks(view: &RunView<'_>, width: usize) -> Vec<Line> {
    let columns = [
        Column::flexible("  task", 12, 42, 0),
        Column::flexible("role", 6, 16, 5),
        Column::flexible("state", 9, 24, 0),
        Column::fixed("attempts", 10, 1).right(),
        Column::fixed("tokens", 8, 3).right(),
        Column::fixed("cost", 8, 2).right(),
        Column::fixed("time", 8, 1).right(),
    ];
    let shown = show::worth_showing(view);
    let rows = shown.iter().map(|row| task(row)).collect();
    let mut lines = table(&columns, rows, width);
    if shown.len() < view.rows.len() {
        let left = human::count((view.rows.len() - shown.len()) as u64);
        lines.push(Line::of(Tone::Dim, format!("  … and {left} more")));
    }
    lines
}

fn task(row: &TaskRow<'_>) -> Vec<Line> {
    let task = row.task;
    let mut name = Line::new();
    name.glyph(row.mark).space(1).push(Tone::Plain, task.id.as_str());
    let plain = |text: String| Line::of(Tone::Plain, text);
    let attempts = match (task.attempts.len(), task.attempts_allowed) {
        (n, 0) => n.to_string(),
        (n, of) => format!("{n} of {of}"),
    };
    let tokens = row.usage.tokens();
    vec![
        name,
        Line::of(Tone::Plain, &task.role),
        Line::of(row.mark.tone, row.mark.word),
        plain(attempts),
        plain(if tokens > 0 { human::count(tokens) } else { String::new() }),
        plain(row.cost().unwrap_or_default()),
        plain(row.age_ms.map(human::duration).unwrap_or_default()),
    ]
}

fn changed(files: &[ChangedFile], width: usize) -> Vec<Line> {
    let columns = [
        Column::fixed("added", 8, 0).right(),
        Column::fixed("removed", 8, 0).right(),
        Column::flexible("file", 12, 400, 0),
    ];
    let rows: Vec<Vec<Line>> = files.iter().take(MAX_ROWS).map(file).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let mut lines = table(&columns, rows, width);
    if files.len() > MAX_ROWS {
        let left = human::count((files.len() - MAX_ROWS) as u64);
        lines.push(Line::of(Tone::Dim, format!("… and {left} more")));
    }
    lines
}

fn file(file: &ChangedFile) -> Vec<Line> {
    let (added, removed) = match file.lines {
        Some((added, removed)) => (format!("+{added}"), format!("−{removed}")),
        // Lines of a binary file are not known, which is not 0.
        None => ("binary".to_owned(), String::new()),
    };
    let mut path = Line::of(Tone::Plain, &file.path);
    if let Some(from) = &file.from {
        path.push(Tone::Dim, ", was ").push(Tone::Dim, from);
    }
    vec![Line::of(Tone::Good, added), Line::of(Tone::Bad, removed), path]
}

fn next(view: &RunView<'_>, width: usize) -> Vec<Line> {
    let next = end::next_commands(view);
    let column = next.iter().map(|(c, _)| text::width(&text::clean(c))).max().unwrap_or(0).min(48);
    let mut lines = Vec::new();
    for (command, why) in &next {
        let mut line = Line::of(Tone::Strong, command);
        if !why.is_empty() && column + 2 + text::width(why) <= width {
            line.pad_to(column + 2).push(Tone::Dim, format!("# {why}"));
        }
        lines.push(line);
    }
    lines
}
