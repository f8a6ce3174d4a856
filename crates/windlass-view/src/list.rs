//! Tables of runs, artifacts and resource files, and the state of the daemon.

use crate::human;
use crate::line::Line;
use crate::model::Look;
use crate::table::{Column, table};
use crate::text;
use crate::theme::{Tone, run_mark};
use windlass_api::status::{DaemonDoc, ListDoc, ListedRun};
use windlass_events::Millis;

/// The table of `list`. `with_cwd` adds the folder of each run: for lists of more than one project.
pub fn runs(doc: &ListDoc, now: Millis, look: &Look, with_cwd: bool) -> Vec<Line> {
    if doc.runs.is_empty() {
        return vec![Line::of(Tone::Dim, "no runs yet: windlass run \"what you want\"").fit(look.width)];
    }
    let columns = [
        Column::fixed("  run", 8, 0),
        Column::flexible("state", 9, 19, 1),
        Column::fixed("when", 10, 2).right(),
        Column::flexible("shape", 8, 20, 4),
        Column::flexible("folder", 12, 40, 3),
        Column::flexible("goal", 6, 200, 0),
    ];
    let rows = doc.runs.iter().map(|run| row(run, now, look, with_cwd)).collect();
    table(&columns, rows, look.width)
}

fn row(run: &ListedRun, now: Millis, look: &Look, with_cwd: bool) -> Vec<Line> {
    let mark = run_mark(run.status, run.proof);
    let mut id = Line::new();
    id.glyph(mark).space(1).push(Tone::Strong, run.id.as_str());
    vec![
        id,
        Line::of(mark.tone, mark.word),
        Line::of(Tone::Dim, human::ago(run.created_at, now, &look.zone)),
        Line::of(Tone::Dim, run.shape()),
        if with_cwd { Line::of(Tone::Dim, look.path(&run.cwd)) } else { Line::new() },
        Line::of(Tone::Plain, run.goal.trim()),
    ]
}

/// A file that a task produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Name.
    pub name: String,
    /// Task that produced it.
    pub task: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Content hash, hex.
    pub hash: String,
    /// Path of a plain copy.
    pub path: String,
}

/// The table of `artifacts`.
pub fn artifacts(all: &[Artifact], look: &Look) -> Vec<Line> {
    if all.is_empty() {
        return vec![Line::of(Tone::Dim, "no artifacts").fit(look.width)];
    }
    let columns = [
        Column::flexible("name", 8, 40, 0),
        Column::fixed("size", 8, 1).right(),
        Column::flexible("task", 6, 24, 2),
        Column::fixed("hash", 10, 4),
        Column::flexible("path", 10, 200, 3),
    ];
    let rows = all
        .iter()
        .map(|a| {
            let hash: String = text::clean(&a.hash).chars().take(10).collect();
            vec![
                Line::of(Tone::Strong, &a.name),
                Line::of(Tone::Plain, human::bytes(a.bytes)),
                Line::of(Tone::Dim, &a.task),
                Line::of(Tone::Dim, hash),
                Line::of(Tone::Dim, look.path(&a.path)),
            ]
        })
        .collect();
    table(&columns, rows, look.width)
}

/// An agent, team, workflow or skill.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// Name.
    pub name: String,
    /// Where it comes from in a word: `user`, `builtin`, `project`.
    pub scope: String,
    /// What it is made of in a few words: a runtime and model, roles, steps.
    pub made_of: String,
    /// What it is for.
    pub description: String,
    /// Path, or empty for a builtin.
    pub path: String,
    /// Why it cannot be used or is hidden; empty if it can.
    pub problem: String,
}

/// The table of `agents`, `teams`, `workflows` and `skills`. `kind` is the plural for the empty table.
pub fn resources(all: &[Resource], kind: &str, look: &Look) -> Vec<Line> {
    if all.is_empty() {
        return vec![Line::of(Tone::Dim, format!("no {kind}")).fit(look.width)];
    }
    let columns = [
        Column::flexible("name", 8, 30, 0),
        Column::flexible("from", 4, 10, 1),
        Column::flexible("made of", 8, 32, 3),
        Column::flexible("for", 10, 120, 2),
        Column::flexible("path", 10, 80, 4),
    ];
    let rows = all
        .iter()
        .map(|r| {
            let broken = !r.problem.trim().is_empty();
            vec![
                Line::of(if broken { Tone::Dim } else { Tone::Strong }, &r.name),
                Line::of(Tone::Dim, &r.scope),
                Line::of(Tone::Dim, &r.made_of),
                if broken { Line::of(Tone::Warn, &r.problem) } else { Line::of(Tone::Plain, &r.description) },
                Line::of(Tone::Dim, look.path(&r.path)),
            ]
        })
        .collect();
    table(&columns, rows, look.width)
}

/// The lines of `daemon status`.
pub fn daemon(doc: &DaemonDoc, look: &Look) -> Vec<Line> {
    let mut line = Line::new();
    if doc.running {
        line.push(Tone::Accent, "● ").push(Tone::Plain, "running");
        if let Some(version) = &doc.version {
            line.push(Tone::Dim, " · ").push_fit(Tone::Plain, version, 24);
        }
        if let Some(pid) = doc.pid {
            line.push(Tone::Dim, format!(" · process {pid}"));
        }
        line.push(Tone::Dim, format!(" · {}", human::plural(doc.runs, "run", "runs")));
    } else {
        line.push(Tone::Dim, "· not running: it starts when it is needed");
    }
    let mut lines = vec![line.fit(look.width)];
    if let Some(socket) = &doc.socket {
        let mut line = Line::new();
        line.push(Tone::Dim, "  socket  ").push(Tone::Plain, look.path(socket));
        lines.push(line.fit(look.width));
    }
    lines
}
