//! Advice: which team, how sure, and how the goal could be cut into pieces. Nothing is started.

use crate::diag::quote;
use crate::team::Team;
use crate::terms::{self, found, has, list_items};
use serde::Serialize;

/// How sure the advice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Little speaks for it.
    Low,
    /// Something speaks for it.
    Medium,
    /// The goal says so.
    High,
}

/// What to do first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Look at the plan before anything is spent.
    Plan,
    /// Run it.
    Run,
}

/// How the goal was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// One piece.
    Atomic,
    /// By its numbered lines.
    Numbered,
    /// By its bulleted lines.
    Bulleted,
    /// At "and" and commas.
    Conjunction,
}

/// A piece of the goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subtask {
    /// At most 80 characters.
    pub subject: String,
    /// The whole text of the piece.
    pub description: String,
    /// The role that fits.
    pub role: &'static str,
}

/// Advice for a goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recommendation {
    /// Team.
    pub team: String,
    /// Workflow.
    pub workflow: String,
    /// What to do first.
    pub action: Action,
    /// How sure.
    pub confidence: Confidence,
    /// Whether working trees of their own would pay off.
    pub worktree: bool,
    /// How the goal was cut.
    pub strategy: Strategy,
    /// Its pieces; one when it is atomic.
    pub subtasks: Vec<Subtask>,
    /// One line per rule that fired, naming the words it found.
    pub reasons: Vec<String>,
}

impl Recommendation {
    /// The command that does it. The goal is quoted for a POSIX shell.
    pub fn command(&self, goal: &str) -> String {
        let dry = if self.action == Action::Plan { " --dry-run" } else { "" };
        format!("windlass run --team {}{dry} {}", self.team, shell_quote(goal))
    }
}

/// A text as one word of a POSIX shell.
fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Advises on a goal, with the teams that can be used.
pub fn recommend<'t>(goal: &str, teams: impl IntoIterator<Item = &'t Team>) -> Recommendation {
    let text = goal.to_lowercase();
    let (strategy, subtasks) = decompose(goal);
    let lanes = subtasks.len();
    let review = found(&text, terms::REVIEW);
    let research = found(&text, terms::RESEARCH);
    let deep = found(&text, terms::DEEP_RESEARCH);
    let fast = found(&text, terms::FAST_FIX);
    let change = found(&text, terms::IMPLEMENTATION);
    let risk = found(&text, terms::RISK);
    let calls = |name: &str| -> Vec<&'static str> {
        terms::CALLS
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, words)| found(&text, words))
            .unwrap_or_default()
    };
    let said = |what: &str, words: &[&str]| {
        format!("{what}: {}", words.iter().map(|w| quote(w)).collect::<Vec<_>>().join(", "))
    };
    let mut reasons = Vec::new();
    let make = |team: &str, workflow: &str, confidence, reasons: Vec<String>| Recommendation {
        team: team.to_owned(),
        workflow: workflow.to_owned(),
        action: Action::Run,
        confidence,
        worktree: team == "implementation" && !risk.is_empty(),
        strategy,
        subtasks: subtasks.clone(),
        reasons,
    };

    if let Some((team, words)) = asked_for(&text, teams) {
        reasons.push(format!("team {} asks for such goals: {}", quote(&team.name), words.join(", ")));
        return make(&team.name, team.workflow(), Confidence::High, reasons);
    }
    let called = calls("review");
    if !called.is_empty() || review.len() >= 2 {
        reasons.push(said("words of a review", if called.is_empty() { &review } else { &called }));
        return make("review", "review", Confidence::High, reasons);
    }
    let several = found(&text, &["multiple", "source", "project", "pi-*"]);
    if !deep.is_empty() || (research.len() >= 2 && !several.is_empty()) {
        reasons.push(said("words of reading several things", if deep.is_empty() { &several } else { &deep }));
        return make("parallel-research", "parallel-research", Confidence::High, reasons);
    }
    let called = calls("research");
    if !called.is_empty() || (!research.is_empty() && change.is_empty()) {
        reasons.push(said(
            "words of research, none of change",
            if called.is_empty() { &research } else { &called },
        ));
        let sure =
            if research.len() >= 2 || !called.is_empty() { Confidence::High } else { Confidence::Medium };
        return make("research", "research", sure, reasons);
    }
    let called = calls("fast-fix");
    if !called.is_empty() || !fast.is_empty() {
        reasons.push(said("words of a small repair", if called.is_empty() { &fast } else { &called }));
        return make("fast-fix", "fast-fix", Confidence::High, reasons);
    }
    if is_task_list(&text) {
        reasons.push(format!("a list of {} pieces of work", list_items(&text).len()));
        return make("implementation", "implementation", Confidence::High, reasons);
    }
    let called = calls("implementation");
    if !called.is_empty() || !change.is_empty() {
        reasons.push(said("words of a change", if called.is_empty() { &change } else { &called }));
        if !risk.is_empty() {
            reasons.push(said("words of a risk", &risk));
        }
        if lanes >= 2 {
            reasons.push(format!("it can be cut into {lanes} pieces"));
        }
        // One plain change needs one worker; the large team is for what has parts or risks.
        if called.is_empty() && risk.is_empty() && lanes < 2 && change.len() < 2 {
            reasons.push("one piece without a named risk".to_owned());
            return make("solo", "solo", Confidence::Medium, reasons);
        }
        let sure = if change.len() >= 2 || !risk.is_empty() || lanes >= 2 {
            Confidence::High
        } else {
            Confidence::Medium
        };
        return make("implementation", "implementation", sure, reasons);
    }
    let words = goal.split_whitespace().count();
    reasons.push("no word of it says what kind of work it is".to_owned());
    let sure = if words < 8 { Confidence::Low } else { Confidence::Medium };
    Recommendation { action: Action::Plan, ..make("default", "default", sure, reasons) }
}

/// The team whose own phrases are in the goal; most phrases win, ties by name. A phrase against it rules it out.
fn asked_for<'t>(text: &str, teams: impl IntoIterator<Item = &'t Team>) -> Option<(&'t Team, Vec<String>)> {
    let mut best: Option<(&Team, Vec<String>)> = None;
    for team in teams {
        let routing = &team.routing;
        if routing.avoid_when.iter().any(|p| has(text, &p.to_lowercase())) {
            continue;
        }
        let words: Vec<String> = routing
            .triggers
            .iter()
            .chain(&routing.use_when)
            .filter(|p| has(text, &p.to_lowercase()))
            .map(|p| quote(p))
            .collect();
        if words.is_empty() {
            continue;
        }
        let better = best
            .as_ref()
            .is_none_or(|(t, w)| words.len() > w.len() || (words.len() == w.len() && team.name < t.name));
        if better {
            best = Some((team, words));
        }
    }
    best
}

fn is_task_list(text: &str) -> bool {
    let items = list_items(text);
    items.len() >= 3
        || items.iter().filter(|i| !found(i, terms::ACTION).is_empty()).count() >= 2
        || (items.len() >= 2 && !found(text, terms::TASK_LIST).is_empty())
}

/// Cuts a goal into pieces.
fn decompose(goal: &str) -> (Strategy, Vec<Subtask>) {
    let atomic = || (Strategy::Atomic, vec![subtask(goal.trim())]);
    let lines: Vec<&str> = goal.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let numbered: Vec<&str> =
        lines.iter().filter_map(|l| terms::numbered(l)).map(str::trim).filter(|l| !l.is_empty()).collect();
    if numbered.len() >= 2 && lines.len() - numbered.len() <= 1 {
        return (Strategy::Numbered, numbered.into_iter().take(50).map(subtask).collect());
    }
    let bulleted = list_items(goal);
    if bulleted.len() >= 2 && numbered.is_empty() && lines.len() - bulleted.len() <= 1 {
        return (Strategy::Bulleted, bulleted.into_iter().take(50).map(subtask).collect());
    }
    // Many files or symbols in one sentence belong together more often than not.
    let files = goal.split_whitespace().filter(|w| is_file(w)).count();
    let symbols = goal.matches('`').count() / 2;
    if lines.len() != 1 || files >= 3 || symbols >= 3 {
        return atomic();
    }
    let parts: Vec<&str> = lines[0]
        .split(" and ")
        .flat_map(|p| p.split(", "))
        .map(|p| p.trim().trim_matches(',').trim())
        .map(|p| p.strip_prefix("and ").unwrap_or(p))
        .filter(|p| !p.is_empty())
        .collect();
    if (2..=12).contains(&parts.len()) {
        return (Strategy::Conjunction, parts.into_iter().map(subtask).collect());
    }
    atomic()
}

/// Whether a word looks like `name.ext`.
fn is_file(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric());
    word.rsplit_once('.').is_some_and(|(stem, ext)| {
        !stem.is_empty()
            && (1..=8).contains(&ext.len())
            && ext.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !ext.chars().all(|c| c.is_ascii_digit())
    })
}

fn subtask(text: &str) -> Subtask {
    let lower = text.to_lowercase();
    let rows: [(&[&str], &str); 6] = [
        (&["test", "tests", "spec", "coverage", "verify"], "test-engineer"),
        (&["security", "vulnerability", "auth", "owasp"], "security-reviewer"),
        (&["review", "audit", "diff"], "reviewer"),
        (&["doc", "docs", "document", "documentation", "readme", "guide", "write"], "writer"),
        (&["research", "investigate", "explore", "find", "trace"], "explorer"),
        (&["plan", "design", "architecture"], "planner"),
    ];
    let role =
        rows.iter().find(|(words, _)| !found(&lower, words).is_empty()).map_or("executor", |(_, role)| role);
    let first = text.lines().next().unwrap_or_default();
    let mut subject: String = first.chars().take(80).collect();
    if subject.len() < first.len() {
        subject = subject.chars().take(79).chain(['…']).collect();
    }
    Subtask { subject, description: text.to_owned(), role }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use proptest::prelude::*;

    #[test]
    fn advice_names_its_reasons() {
        let catalog = Catalog::builtin();
        let mut out = String::new();
        for goal in [
            "security review of the login",
            "deep read of pi-mono and pi-web",
            "explain the architecture",
            "fix a typo in the README",
            "1. add a flag\n2. document it\n3. test it",
            "migrate the store to the new schema, and update the tests",
            "add a flag",
            "improve the prose",
        ] {
            let r = recommend(goal, catalog.teams.usable());
            out += &format!(
                "{goal:?}\n  {} {:?} {:?} {:?} worktree={} [{}]\n  {}\n  {}\n",
                r.team,
                r.action,
                r.confidence,
                r.strategy,
                r.worktree,
                r.subtasks.iter().map(|s| format!("{}={}", s.role, s.subject)).collect::<Vec<_>>().join("; "),
                r.reasons.join("; "),
                r.command(goal).replace('\n', "⏎"),
            );
        }
        insta::assert_snapshot!(out);
    }

    proptest! {
        #[test]
        fn any_goal_is_advised_on(goal in any::<String>()) {
            static CATALOG: std::sync::LazyLock<Catalog> = std::sync::LazyLock::new(Catalog::builtin);
            let r = recommend(&goal, CATALOG.teams.usable());
            prop_assert!(!r.reasons.is_empty() && !r.subtasks.is_empty());
        }
    }
}
