//! `validate` and `recommend`.

use super::view::{self, View};
use crate::cli::{RecommendArgs, ValidateArgs};
use crate::context::Context;
use crate::print;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use windlass_api::{ApiError, ErrorKind};
use windlass_resources::catalog::Shadowed;
use windlass_resources::diag::{Diagnostic, Severity};
use windlass_resources::recommend::{Action, Confidence, Recommendation};
use windlass_resources::source::Scope;
use windlass_resources::text::{Links, read};
use windlass_resources::trust::Answer;
use windlass_view::Line;
use windlass_view::human::plural;
use windlass_view::theme::Tone;

/// The longest goal that is read from standard input, in bytes.
const MAX_GOAL: u64 = 1 << 20;

/// What was looked at.
#[derive(Debug, Default, serde::Serialize)]
struct Counts {
    agents: usize,
    teams: usize,
    workflows: usize,
    skills: usize,
    files: usize,
}

/// `windlass validate`. Without paths, everything that is found; the project's files are judged as if trusted.
pub(crate) fn validate(context: &Context, args: &ValidateArgs) -> Result<u8, ApiError> {
    let mut counts = Counts::default();
    let mut shadowed: Vec<Shadowed> = Vec::new();
    let mut found: Vec<Diagnostic> = Vec::new();
    if args.paths.is_empty() {
        let root = View::load(context)?.root;
        let view = View::of(context, root, Some(Answer::All));
        found.extend(view.findings);
        found.extend(windlass_resources::validate::validate(&view.catalog));
        counts.agents = view.catalog.agents.iter().count();
        counts.teams = view.catalog.teams.iter().count();
        counts.workflows = view.catalog.workflows.iter().count();
        counts.skills = view.catalog.skills.iter().count();
        shadowed = view.catalog.shadowed;
    } else {
        for path in &args.paths {
            counts.files += 1;
            found.extend(windlass_resources::validate::path(&context.cwd.join(path)));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path).then(a.pos.cmp(&b.pos)).then(b.severity.cmp(&a.severity)));
    found.dedup();
    let number = |s: Severity| found.iter().filter(|d| d.severity == s).count();
    let (errors, warnings, notices) =
        (number(Severity::Error), number(Severity::Warning), number(Severity::Notice));
    let code = if errors > 0 { 2 } else { 0 };
    if context.global.json {
        print::json(&serde_json::json!({
            "errors": errors, "warnings": warnings, "notices": notices, "counts": counts,
            "diagnostics": found, "shadowed": shadowed,
        }))?;
        return Ok(code);
    }
    let mut lines = Vec::new();
    let mut texts = Sources::default();
    for d in &found {
        lines.extend(finding(d, &context.cwd, &mut texts));
    }
    for s in &shadowed {
        let mut line = Line::of(Tone::Dim, "notice: ");
        line.push(Tone::Plain, s.text());
        lines.push(line);
    }
    if !lines.is_empty() {
        lines.push(Line::new());
    }
    lines.push(summary(errors, warnings, notices + shadowed.len(), &counts));
    print::wrapped(context, lines, 2)?;
    Ok(code)
}

fn summary(errors: usize, warnings: usize, notices: usize, counts: &Counts) -> Line {
    let say = |n: usize, one: &str, many: &str| plural(n as u64, one, many);
    let looked_at = if counts.files > 0 {
        say(counts.files, "path", "paths")
    } else {
        [
            say(counts.agents, "agent", "agents"),
            say(counts.teams, "team", "teams"),
            say(counts.workflows, "workflow", "workflows"),
            say(counts.skills, "skill", "skills"),
        ]
        .join(", ")
    };
    let mut parts = Vec::new();
    for (n, one, many) in
        [(errors, "error", "errors"), (warnings, "warning", "warnings"), (notices, "notice", "notices")]
    {
        if n > 0 {
            parts.push(say(n, one, many));
        }
    }
    let (tone, what) = match (errors, parts.is_empty()) {
        (0, true) => (Tone::Good, "nothing is wrong".to_owned()),
        (0, false) => (Tone::Plain, parts.join(", ")),
        _ => (Tone::Bad, parts.join(", ")),
    };
    let mut line = Line::of(tone, what);
    line.push(Tone::Dim, format!(" in {looked_at}"));
    line
}

/// Texts of files, each read once.
#[derive(Debug, Default)]
struct Sources(BTreeMap<String, Option<String>>);

impl Sources {
    fn get(&mut self, path: &str) -> Option<&str> {
        let text = self.0.entry(path.to_owned()).or_insert_with(|| match path.strip_prefix("builtin:") {
            Some(file) => windlass_resources::builtin::FILES
                .iter()
                .find_map(|(name, text)| (*name == file).then(|| (*text).to_owned())),
            None => read(Path::new(path), Links::Refuse).ok(),
        });
        text.as_deref()
    }
}

/// A finding as a compiler shows it, with a path that an editor opens from here.
fn finding(d: &Diagnostic, cwd: &Path, texts: &mut Sources) -> Vec<Line> {
    let mut shown = d.clone();
    if let Ok(below) = Path::new(&d.path).strip_prefix(cwd) {
        shown.path = below.display().to_string();
    }
    let text = match texts.get(&d.path) {
        Some(source) => shown.render_with_source(source),
        None => shown.render(),
    };
    let word = format!("{}: ", d.severity.as_str());
    let tone = match d.severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Warn,
        Severity::Notice => Tone::Dim,
    };
    text.lines()
        .enumerate()
        .map(|(n, text)| {
            let mut line = Line::new();
            match text.split_once(word.as_str()) {
                Some((place, message)) if n == 0 => {
                    line.push(Tone::Strong, place).push(tone, &word).push(Tone::Plain, message);
                }
                _ => {
                    line.push(if n == 0 { Tone::Plain } else { Tone::Dim }, text);
                }
            }
            line
        })
        .collect()
}

/// `windlass recommend`: the team that a run would take by itself, unless a team of the user's own asks for such goals.
pub(crate) fn recommend(context: &Context, args: &RecommendArgs) -> Result<u8, ApiError> {
    let goal = goal(args)?;
    let view = View::load(context)?;
    view.sound()?;
    let teams = &view.catalog.teams;
    let advice = windlass_resources::recommend::recommend(&goal, teams.usable());
    let auto = windlass_resources::shape::choose(&goal, view.config.team());
    let own = teams.get(&advice.team).is_ok_and(|t| t.source.scope != Scope::Builtin);
    let mut first = advice.clone();
    let mut other = None;
    if advice.team != auto.team {
        if own {
            other = Some((auto.team.clone(), auto.reason.clone()));
        } else {
            let team = teams.get(&auto.team).map_err(|d| view::stops(&d))?;
            first = Recommendation {
                team: auto.team.clone(),
                workflow: team.workflow().to_owned(),
                action: Action::Run,
                reasons: vec![auto.reason.clone()],
                ..advice.clone()
            };
            // A guess is no alternative.
            if advice.confidence != Confidence::Low {
                other = Some((advice.team.clone(), advice.reasons.join("; ")));
            }
        }
    }
    let command = first.command(&goal);
    if context.global.json {
        print::json(&serde_json::json!({
            "goal": goal, "team": first.team, "workflow": first.workflow, "reasons": first.reasons,
            "command": command, "subtasks": first.subtasks,
            "alternative": other.map(|(team, reason)| serde_json::json!({ "team": team, "reason": reason })),
        }))?;
        return Ok(0);
    }
    print::wrapped(context, advice_lines(&first, other.as_ref()), LABEL)?;
    print::lines(context, &[advice_line("command", Tone::Strong, &command)])?;
    Ok(0)
}

fn goal(args: &RecommendArgs) -> Result<String, ApiError> {
    let typed = args.goal.join(" ");
    let goal = if typed.trim() == "-" {
        let mut text = String::new();
        std::io::stdin().lock().take(MAX_GOAL).read_to_string(&mut text).map_err(|e| {
            ApiError::new(ErrorKind::Usage, format!("standard input cannot be read as text: {e}"))
        })?;
        text
    } else {
        typed
    };
    let goal = goal.trim().to_owned();
    if goal.is_empty() {
        return Err(ApiError::new(ErrorKind::Usage, "there is no goal to advise on")
            .hint("windlass recommend \"what you want\", or `-` to read it from standard input"));
    }
    Ok(goal)
}

/// Cells of a label of advice with the gap after it.
const LABEL: usize = 9;

fn advice_line(label: &str, tone: Tone, text: &str) -> Line {
    let mut line = Line::of(Tone::Dim, label);
    line.pad_to(LABEL).push(tone, text);
    line
}

/// What is advised and why. The command comes after it, on one line, so that it can be copied whole.
fn advice_lines(advice: &Recommendation, other: Option<&(String, String)>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut team = advice_line("team", Tone::Strong, &advice.team);
    if advice.workflow != advice.team {
        team.push(Tone::Plain, format!(", workflow {}", advice.workflow));
    }
    lines.push(team);
    for (n, reason) in advice.reasons.iter().enumerate() {
        lines.push(advice_line(if n == 0 { "why" } else { "" }, Tone::Plain, reason));
    }
    if advice.subtasks.len() > 1 {
        for (n, piece) in advice.subtasks.iter().enumerate() {
            let label = if n == 0 { "pieces" } else { "" };
            lines.push(advice_line(label, Tone::Plain, &format!("{} ({})", piece.subject, piece.role)));
        }
    }
    if let Some((team, reason)) = other {
        let mut line = advice_line("or", Tone::Plain, team);
        line.push(Tone::Dim, format!(": {reason}"));
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_named_from_here() {
        let d =
            Diagnostic::error("x", "wrong").in_file("/a/b/c.md").at(windlass_resources::diag::Pos::new(2, 3));
        let text = |cwd: &str| finding(&d, Path::new(cwd), &mut Sources::default())[0].to_text(false);
        assert_eq!(text("/a"), "b/c.md:2:3: error: wrong");
        assert_eq!(text("/z"), "/a/b/c.md:2:3: error: wrong");
    }
}
