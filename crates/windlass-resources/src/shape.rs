//! `auto`: which team does a goal call for when the user names none. The same in every host.
//!
//! `review` or `research` when the goal asks for that; `implementation` only when it lists two or more pieces of work or names a
//! risk; else `solo`. A choice that costs more needs more reason.

use crate::terms::{found, has, list_items};
use serde::Serialize;

/// What was chosen and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The team; its default workflow is run.
    pub team: String,
    /// Why, in a few words.
    pub reason: String,
    /// The flag that makes it another.
    pub hint: String,
}

/// Verbs that ask for a review.
const REVIEW: &[&str] = &["review", "audit", "critique", "code-review", "proofread"];

/// Beginnings that ask for an answer and not for a change.
const QUESTION: &[&str] = &[
    "research",
    "investigate",
    "explain",
    "compare",
    "analyze",
    "analyse",
    "describe",
    "summarize",
    "summarise",
    "explore",
    "find out",
    "understand",
    "study",
    "evaluate",
    "how",
    "why",
    "what",
    "where",
    "which",
    "who",
    "when",
    "is",
    "are",
    "does",
    "do we",
    "do i",
    "tell me",
    "show me",
    "deep read",
    "deep research",
    "nghiên cứu",
    "phân tích",
    "đọc sâu",
    "giải thích",
];

/// Verbs that ask for a change.
const CHANGE: &[&str] = &[
    "implement",
    "refactor",
    "migrate",
    "upgrade",
    "build",
    "create",
    "add",
    "fix",
    "update",
    "write",
    "change",
    "remove",
    "delete",
    "rename",
    "replace",
    "make",
    "move",
    "mend",
    "repair",
    "support",
    "port",
    "convert",
    "improve",
    "optimize",
    "optimise",
    "sửa",
    "thêm",
    "cập nhật",
    "viết",
];

/// Words that name a risk of the change itself, not of the code it is about ("fix parallel downloads" is one small repair).
const RISK: &[&str] = &[
    "migration",
    "migrate",
    "refactor",
    "refactoring",
    "rewrite",
    "re-architect",
    "breaking change",
    "breaking changes",
    "risky",
    "critical",
    "data loss",
    "large change",
    "large refactor",
    "across the code base",
    "across the codebase",
    "nhiều file",
    "nhiều task",
];

/// Words that may come before what is asked.
const POLITE: &[&str] = &[
    "please",
    "can you",
    "could you",
    "would you",
    "i want you to",
    "i need you to",
    "we need to",
    "let's",
    "lets",
    "help me",
    "hi",
    "hey",
    "just",
    "now",
    "to",
    "a",
    "an",
    "the",
    "do",
    "perform",
    "run",
    "full",
    "careful",
    "deep",
    "thorough",
    "quick",
    "code",
    "security",
];

/// Chooses a team. `configured` is `run.team` of the user's config, `auto` or absent when it leaves the choice.
///
/// A goal that is empty asks for a review of what there is.
pub fn choose(goal: &str, configured: Option<&str>) -> Choice {
    if let Some(team) = configured.filter(|t| *t != "auto") {
        return choice(team, "as your `run.team` says", "--team");
    }
    let text = goal.trim().to_lowercase();
    if text.is_empty() {
        return choice("review", "no goal, so what has changed is reviewed", "--team");
    }
    let clauses = clauses(&text);
    let first = clauses.first().copied().unwrap_or_default();
    let changes = clauses.iter().filter(|c| starts_with(c, CHANGE).is_some()).count();
    if changes == 0 {
        if let Some(word) = starts_with(first, REVIEW) {
            return choice("review", &format!("the goal asks for a review (“{word}”)"), "--team solo");
        }
        if let Some(word) = starts_with(first, QUESTION) {
            return choice("research", &format!("the goal asks a question (“{word}”)"), "--team solo");
        }
        if text.ends_with('?') {
            return choice("research", "the goal asks a question (“?”)", "--team solo");
        }
    }
    let pieces = list_items(&text).len();
    if pieces >= 2 {
        return choice("implementation", &format!("the goal lists {pieces} pieces of work"), "--team solo");
    }
    if let Some(word) = found(&text, RISK).first() {
        return choice("implementation", &format!("the goal names a risk (“{word}”)"), "--team solo");
    }
    if changes >= 3 {
        return choice("implementation", &format!("the goal lists {changes} pieces of work"), "--team solo");
    }
    choice("solo", "one piece of work", "--team default")
}

fn choice(team: &str, reason: &str, hint: &str) -> Choice {
    let hint = if hint == "--team" { "--team NAME".to_owned() } else { hint.to_owned() };
    Choice { team: team.to_owned(), reason: reason.to_owned(), hint }
}

/// The places where a goal can begin to ask for something: its own beginning, and after full stops, commas, "and" and "then".
fn clauses(text: &str) -> Vec<&str> {
    text.split(['\n', '.', ';', ','])
        .flat_map(|part| part.split(" and "))
        .flat_map(|part| part.split(" then "))
        .map(|part| part.trim().trim_start_matches(|c: char| !c.is_alphanumeric()))
        .map(|part| part.strip_prefix("and ").or_else(|| part.strip_prefix("then ")).unwrap_or(part))
        .filter(|part| !part.is_empty())
        .collect()
}

/// The term that a clause begins with, polite words left aside.
fn starts_with<'t>(clause: &str, terms: &[&'t str]) -> Option<&'t str> {
    let mut rest = clause;
    // Bounded: each turn takes a word away, and nobody is that polite.
    for _ in 0..6 {
        if let Some(term) =
            terms.iter().find(|t| rest.starts_with(**t) && has(&rest[..boundary(rest, t.len())], t))
        {
            return Some(term);
        }
        let polite = POLITE
            .iter()
            .find(|p| rest.strip_prefix(**p).is_some_and(|r| !r.starts_with(char::is_alphanumeric)))?;
        rest = rest[polite.len()..].trim_start_matches(|c: char| !c.is_alphanumeric());
    }
    None
}

/// The end of the character after `at`, so that a word boundary can be seen.
fn boundary(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(at, |c| at + c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn goals_and_what_they_call_for() {
        let cases = [
            ("", "review"),
            ("Review the last commit", "review"),
            ("Please do a thorough security review of auth/", "review"),
            ("audit our dependencies", "review"),
            ("fix the review page", "solo"),
            ("Review the parser and fix what you find", "solo"),
            ("Why does the build take so long?", "research"),
            ("Can you explain how sessions expire", "research"),
            ("compare the two caches", "research"),
            ("investigate why login fails, then fix it", "solo"),
            ("explain how to add a plugin", "research"),
            ("improve the prose of the README", "solo"),
            ("Fix parallel downloads of large files", "solo"),
            ("could you add a --json flag?", "solo"),
            ("fix the bug and add a test", "solo"),
            ("Add an index, rename the column, and update the API", "implementation"),
            ("Do these:\n- add a flag\n- document it", "implementation"),
            ("refactor the scheduler", "implementation"),
            ("the tests are red", "solo"),
            ("isolate the parser", "solo"),
            ("whatever works", "solo"),
        ];
        for (goal, team) in cases {
            let choice = choose(goal, None);
            assert_eq!(choice.team, team, "{goal}: {}", choice.reason);
        }
        assert_eq!(choose("review it", Some("mine")).team, "mine");
        assert_eq!(choose("review it", Some("auto")).team, "review");
    }

    proptest! {
        #[test]
        fn any_goal_gets_a_shipped_team(goal in any::<String>()) {
            let choice = choose(&goal, None);
            prop_assert!(["solo", "review", "research", "implementation"].contains(&choice.team.as_str()));
        }

        #[test]
        fn polite_goals_do_not_confuse(words in proptest::collection::vec("please|can you|a|the|İ|to|add|-", 0..30)) {
            let _ = choose(&words.join(" "), None);
        }
    }
}
