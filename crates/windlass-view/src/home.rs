//! What `windlass` alone says, and the questions that watching asks.

use crate::end::why;
use crate::fields::Fields;
use crate::human;
use crate::line::Line;
use crate::model::Look;
use crate::text;
use crate::theme::{Tone, light_mark, run_mark};
use windlass_api::status::{Light, ListedRun};
use windlass_events::Millis;

/// Runs per section.
const SECTION: usize = 5;

/// What a user comes back to.
#[derive(Debug, Clone, Default)]
pub struct Home {
    /// Runs that ended since the user last looked, newest first.
    pub ended: Vec<ListedRun>,
    /// Runs that need the user, with the reason and the command that helps.
    pub needs: Vec<Need>,
    /// Runs that go on by themselves.
    pub running: Vec<ListedRun>,
    /// Commands to type next; three are shown.
    pub next: Vec<String>,
}

/// A run that needs the user.
#[derive(Debug, Clone)]
pub struct Need {
    /// The run.
    pub run: ListedRun,
    /// Why, in one line.
    pub why: String,
    /// Command that helps.
    pub command: String,
}

/// The summary: what needs the user, what ended, what runs, what to type.
pub fn home(home: &Home, now: Millis, look: &Look) -> Vec<Line> {
    let mut f = Fields::new(look.width);
    if home.needs.is_empty() && home.ended.is_empty() && home.running.is_empty() {
        f.line(Line::of(Tone::Plain, "nothing runs, and nothing waits for you"));
    }
    section(&mut f, "needs you", home.needs.len(), |f, i| {
        let Some(need) = home.needs.get(i) else { return };
        f.line(run_line(&need.run, now, look));
        if !need.why.trim().is_empty() {
            f.line(Line::of(Tone::Warn, format!("    {}", text::clean(need.why.trim()))));
        }
        for part in text::wrap(&text::clean(&need.command), look.width.saturating_sub(4)) {
            f.line(Line::of(Tone::Strong, format!("    {part}")));
        }
    });
    section(&mut f, "ended since you last looked", home.ended.len(), |f, i| {
        if let Some(run) = home.ended.get(i) {
            f.line(run_line(run, now, look));
        }
    });
    section(&mut f, "running", home.running.len(), |f, i| {
        if let Some(run) = home.running.get(i) {
            f.line(run_line(run, now, look));
        }
    });
    if !home.next.is_empty() {
        f.line(Line::new());
        let column =
            home.next.iter().take(3).map(|c| text::width(&text::clean(c))).max().unwrap_or(0).min(48);
        for command in home.next.iter().take(3) {
            f.command("next", command, why(command), column);
        }
    }
    f.into_lines()
}

fn section(f: &mut Fields, title: &str, n: usize, mut one: impl FnMut(&mut Fields, usize)) {
    if n == 0 {
        return;
    }
    if f.len() > 0 {
        f.line(Line::new());
    }
    f.line(Line::of(Tone::Dim, title));
    for i in 0..n.min(SECTION) {
        one(f, i);
    }
    if n > SECTION {
        f.line(Line::of(Tone::Dim, format!("  … and {} more: windlass list", n - SECTION)));
    }
}

fn run_line(run: &ListedRun, now: Millis, look: &Look) -> Line {
    let mark = run_mark(run.status, run.proof);
    let mut line = Line::new();
    line.space(2).glyph(mark).space(1).push(Tone::Strong, run.id.as_str());
    line.space(2).push(mark.tone, mark.word);
    if look.width >= 60 {
        let at = run.ended_at.or(run.updated_at).unwrap_or(run.created_at);
        line.push(Tone::Dim, format!("  {}", human::ago(at, now, &look.zone)));
    }
    line.space(2).push(Tone::Plain, run.goal.trim());
    line.fit(look.width)
}

/// What Ctrl-C asks while a run is watched. The answer is one letter; Enter alone detaches.
pub fn stop_question(run: &str, look: &Look) -> Vec<Line> {
    let mut lines =
        vec![Line::of(Tone::Plain, format!("{run} goes on without this terminal.")).fit(look.width)];
    let mut line = Line::new();
    for (key, what) in [("Enter", "detach"), ("w", "keep watching"), ("c", "cancel the run")] {
        if line.width() > 0 {
            line.space(3);
        }
        if line.width() + key.len() + what.len() + 1 > look.width {
            lines.push(std::mem::take(&mut line));
        }
        line.push(Tone::Strong, key).space(1).push(Tone::Plain, what);
    }
    lines.push(line);
    lines.into_iter().map(|l| l.fit(look.width)).collect()
}

/// What is asked when project gates are red before anything was done.
pub fn red_gates_question(gates: &[&str], look: &Look) -> Vec<Line> {
    let mark = light_mark(Some(Light::Red));
    let mut lines = Vec::new();
    for gate in gates.iter().take(SECTION) {
        let mut line = Line::new();
        line.glyph(mark).space(1).push(Tone::Plain, gate).push(Tone::Dim, " is red already");
        lines.push(line.fit(look.width));
    }
    if gates.len() > SECTION {
        lines.push(Line::of(Tone::Dim, format!("… and {} more", gates.len() - SECTION)).fit(look.width));
    }
    let it = if gates.len() == 1 { "it" } else { "them" };
    for (key, what) in [
        ("m", format!("mend {it} too: green in the end, or the run fails")),
        ("l", format!("leave {it} out of this run")),
        ("s", "stop: nothing was spent".to_owned()),
    ] {
        let mut line = Line::new();
        line.space(2).push(Tone::Strong, key).space(2).push(Tone::Plain, what);
        lines.push(line.fit(look.width));
    }
    lines
}
