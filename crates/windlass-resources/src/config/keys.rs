//! The one table of config keys. Help, the reference page, the JSON schema, reading, writing and trust all come from it.

use super::value::Value;
use serde::Serialize;

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number in a range; `"none"` where `none` allows it.
    Number {
        /// Least.
        min: u64,
        /// Greatest.
        max: u64,
        /// Whether `"none"` is allowed.
        none: bool,
    },
    /// US dollars, or `"none"`. Kept in millionths.
    Money,
    /// A length of time in a range of milliseconds; `"none"` where `none` allows it.
    Duration {
        /// Least, in milliseconds.
        min: u64,
        /// Greatest, in milliseconds.
        max: u64,
        /// Whether `"none"` is allowed.
        none: bool,
    },
    /// Text, not empty.
    Text,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    List,
    /// A program: its path or name, or a list of it and its first arguments.
    Program,
}

/// What a repository's own config may do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sensitivity {
    /// Set it freely.
    Free,
    /// Make the limit tighter; loosen it never.
    MayOnlyTighten,
    /// Set it once its gates are trusted.
    NamesGates,
    /// Set it once everything is trusted: it names a program, a model or who does the work.
    NamesAProgram,
    /// Never: it is about the user's machine.
    UserOnly,
}

/// A declared key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Dotted name; a part in `<…>` stands for any name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The value when nobody sets it, as it would be typed; `None` when it is then unset.
    pub default: Option<&'static str>,
    /// What a repository may do with it.
    pub sensitivity: Sensitivity,
    /// One or two sentences.
    pub doc: &'static str,
}

const RUNTIMES: &[&str] = &["pi", "claude", "codex", "opencode", "gemini", "acp", "rehearsal", "scaffold"];
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Every key, in the order of the reference page.
pub const KEYS: &[Key] = &[
    Key {
        name: "run.team",
        kind: Kind::Text,
        default: Some("auto"),
        sensitivity: Sensitivity::NamesAProgram,
        doc: "The team of a run that names none. `auto` chooses by the goal.",
    },
    Key {
        name: "run.runtime",
        kind: Kind::Choice(RUNTIMES),
        default: Some("pi"),
        sensitivity: Sensitivity::NamesAProgram,
        doc: "The agent program for agents whose file names none.",
    },
    Key {
        name: "run.model",
        kind: Kind::Text,
        default: None,
        sensitivity: Sensitivity::NamesAProgram,
        doc: "The model for agents, roles and steps that name none, as `provider/id`. Unset: the agent program's own setting.",
    },
    Key {
        name: "run.budget_usd",
        kind: Kind::Money,
        default: Some("5"),
        sensitivity: Sensitivity::MayOnlyTighten,
        doc: "The most that a run may cost in US dollars. At the cap nothing more starts.",
    },
    Key {
        name: "run.budget_tokens",
        kind: Kind::Number { min: 1_000, max: 1_000_000_000_000, none: true },
        default: Some("10000000"),
        sensitivity: Sensitivity::MayOnlyTighten,
        doc: "The most tokens of a run, cache reads included. The default counts only tokens whose price is not known; a value that is set counts all.",
    },
    Key {
        name: "run.timeout",
        kind: Kind::Duration { min: SECOND, max: 90 * DAY, none: true },
        default: Some("2h"),
        sensitivity: Sensitivity::MayOnlyTighten,
        doc: "The longest that a run may take.",
    },
    Key {
        name: "run.repair_rounds",
        kind: Kind::Number { min: 0, max: 10, none: false },
        default: Some("2"),
        sensitivity: Sensitivity::MayOnlyTighten,
        doc: "How often a red gate goes back to the worker that caused it before the task fails.",
    },
    Key {
        name: "run.gates",
        kind: Kind::List,
        default: Some("[]"),
        sensitivity: Sensitivity::NamesGates,
        doc: "The project's checks, each one command for `sh -c`. Empty: those that are found by the project's files.",
    },
    Key {
        name: "run.detect_gates",
        kind: Kind::Flag,
        default: Some("true"),
        sensitivity: Sensitivity::NamesGates,
        doc: "Whether checks are looked for where `run.gates` is empty.",
    },
    Key {
        name: "run.gate_timeout",
        kind: Kind::Duration { min: SECOND, max: DAY, none: true },
        default: Some("10m"),
        sensitivity: Sensitivity::MayOnlyTighten,
        doc: "The longest that one of these checks may take.",
    },
    Key {
        name: "run.concurrency",
        kind: Kind::Number { min: 1, max: 64, none: false },
        default: None,
        sensitivity: Sensitivity::MayOnlyTighten,
        doc: "How many workers of a run may live at once. Unset: what the team or workflow asks for, at most 8.",
    },
    Key {
        name: "run.require_proof",
        kind: Kind::Flag,
        default: Some("false"),
        sensitivity: Sensitivity::MayOnlyTighten,
        doc: "Whether a run that completes without proof ends with exit code 1.",
    },
    Key {
        name: "run.approve_plan",
        kind: Kind::Flag,
        default: Some("false"),
        sensitivity: Sensitivity::MayOnlyTighten,
        doc: "Whether nothing that may write starts before you have approved the plan.",
    },
    Key {
        name: "machine.concurrency",
        kind: Kind::Number { min: 1, max: 256, none: false },
        default: None,
        sensitivity: Sensitivity::UserOnly,
        doc: "How many workers of all runs may live at once. Unset: the number of cores, at least 4 and at most 8.",
    },
    Key {
        name: "restart.resume",
        kind: Kind::Flag,
        default: Some("false"),
        sensitivity: Sensitivity::UserOnly,
        doc: "Whether runs go on by themselves after the machine was restarted. Otherwise they wait for `resume`.",
    },
    Key {
        name: "daemon.idle",
        kind: Kind::Duration { min: SECOND, max: 30 * DAY, none: true },
        default: Some("10m"),
        sensitivity: Sensitivity::UserOnly,
        doc: "How long the background process stays without anything to do.",
    },
    Key {
        name: "runtimes.<runtime>.command",
        kind: Kind::Program,
        default: None,
        sensitivity: Sensitivity::NamesAProgram,
        doc: "The program of a runtime, with its first arguments if any. Unset: found on PATH.",
    },
    Key {
        name: "agents.disable_builtins",
        kind: Kind::Flag,
        default: Some("false"),
        sensitivity: Sensitivity::NamesAProgram,
        doc: "Whether the shipped agents are hidden.",
    },
    Key {
        name: "agents.overrides.<agent>.model",
        kind: Kind::Text,
        default: None,
        sensitivity: Sensitivity::NamesAProgram,
        doc: "The model of one agent, wherever its file is. `none` clears what the file says.",
    },
    Key {
        name: "agents.overrides.<agent>.thinking",
        kind: Kind::Choice(&["none", "off", "minimal", "low", "medium", "high", "xhigh"]),
        default: None,
        sensitivity: Sensitivity::NamesAProgram,
        doc: "The thinking level of one agent. `none` clears what the file says.",
    },
    Key {
        name: "agents.overrides.<agent>.disabled",
        kind: Kind::Flag,
        default: None,
        sensitivity: Sensitivity::NamesAProgram,
        doc: "Whether one agent is hidden.",
    },
    Key {
        name: "worker.keep",
        kind: Kind::List,
        default: Some("[\"sccache\"]"),
        sensitivity: Sensitivity::UserOnly,
        doc: "Names of programs that are left alive when a worker's processes are ended, such as build servers.",
    },
    Key {
        name: "ui.color",
        kind: Kind::Choice(&["auto", "always", "never"]),
        default: Some("auto"),
        sensitivity: Sensitivity::UserOnly,
        doc: "Whether output is coloured. `auto`: on a terminal, unless `NO_COLOR` is set.",
    },
];

/// The runtimes that can be given a program.
pub const PROGRAM_RUNTIMES: &[&str] = &["pi", "claude", "codex", "opencode", "gemini", "acp"];

/// What a part of a name is compared with.
fn part_fits(pattern: &str, part: &str) -> bool {
    match pattern {
        "<runtime>" => PROGRAM_RUNTIMES.contains(&part),
        p if p.starts_with('<') => !part.is_empty(),
        p => p == part,
    }
}

/// The key of a dotted name given in parts.
pub fn find(parts: &[&str]) -> Option<&'static Key> {
    KEYS.iter().find(|k| {
        let mut pattern = k.name.split('.');
        parts.iter().all(|part| pattern.next().is_some_and(|p| part_fits(p, part)))
            && pattern.next().is_none()
    })
}

/// Whether some key lies below this name.
pub fn is_section(parts: &[&str]) -> bool {
    KEYS.iter().any(|k| {
        let mut pattern = k.name.split('.');
        parts.iter().all(|part| pattern.next().is_some_and(|p| part_fits(p, part)))
            && pattern.next().is_some()
    })
}

/// Cuts a dotted name as typed into parts. A part may be in double quotes, for names with a dot in them.
pub fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in name.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c => {
                if let Some(last) = parts.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    parts
}

/// A dotted name from parts, as [`parts`] reads it.
pub fn join(parts: &[&str]) -> String {
    let quoted =
        |p: &&str| if p.contains('.') || p.is_empty() { format!("\"{p}\"") } else { (*p).to_owned() };
    parts.iter().map(quoted).collect::<Vec<_>>().join(".")
}

/// The name of a key nearest to one that does not exist; placeholders are filled from what was given.
pub fn nearest(given: &[&str]) -> Option<String> {
    let candidates: Vec<String> = KEYS
        .iter()
        .map(|k| {
            let filled = k.name.split('.').enumerate().map(|(n, p)| match p {
                "<runtime>" => given
                    .get(n)
                    .and_then(|g| crate::diag::nearest(g, PROGRAM_RUNTIMES.iter().copied()))
                    .unwrap_or("pi"),
                p if p.starts_with('<') => given.get(n).copied().unwrap_or(p),
                p => p,
            });
            filled.collect::<Vec<_>>().join(".")
        })
        .collect();
    // A wrong section is compared with sections.
    let cut = |c: &String| c.split('.').take(given.len()).collect::<Vec<_>>().join(".");
    let sections: Vec<String> = candidates.iter().map(cut).collect();
    let given = given.join(".");
    let all = candidates.iter().chain(&sections).map(String::as_str);
    crate::diag::nearest(&given, all).map(str::to_owned).or_else(|| {
        // The right name in the wrong section, or only the beginning of it.
        let last = given.rsplit('.').next()?;
        let same = candidates.iter().find(|c| c.rsplit('.').next() == Some(last));
        let begun = || candidates.iter().find(|c| last.len() >= 3 && c.starts_with(&given));
        same.or_else(begun).cloned()
    })
}

impl Key {
    /// The default as a value.
    pub fn default_value(&self) -> Option<Value> {
        // The table's own defaults are tested to parse.
        Value::from_text(self.kind, self.default?).ok()
    }

    /// What it holds, in words.
    pub fn type_text(&self) -> String {
        let or_none = |none: bool| if none { ", or `none`" } else { "" };
        match self.kind {
            Kind::Flag => "`true` or `false`".to_owned(),
            Kind::Number { min, max, none } => format!("whole number from {min} to {max}{}", or_none(none)),
            Kind::Money => "US dollars, or `none`".to_owned(),
            Kind::Duration { min, max, none } => format!(
                "length of time such as `90s` or `2h`, from {} to {}{}",
                crate::duration::show(Some(min)),
                crate::duration::show(Some(max)),
                or_none(none)
            ),
            Kind::Text => "text".to_owned(),
            Kind::Choice(words) => words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "),
            Kind::List => "list of texts".to_owned(),
            Kind::Program => "program, or list of program and arguments".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let mut seen = std::collections::HashSet::new();
        for key in KEYS {
            assert!(seen.insert(key.name), "{} twice", key.name);
            assert_eq!(key.default.is_some(), key.default_value().is_some(), "{}", key.name);
            assert!(key.doc.ends_with('.'), "{}", key.name);
            assert!(!is_section(&key.name.split('.').collect::<Vec<_>>()), "{} is also a section", key.name);
        }
    }

    #[test]
    fn names_are_found_with_placeholders() {
        assert_eq!(find(&["runtimes", "pi", "command"]).unwrap().name, "runtimes.<runtime>.command");
        assert!(
            find(&["runtimes", "pie", "command"]).is_none()
                && find(&["run"]).is_none()
                && is_section(&["run"])
        );
        assert!(is_section(&["agents", "overrides", "any one"]));
        assert_eq!(parts("agents.overrides.\"a.b\".model"), ["agents", "overrides", "a.b", "model"]);
        assert_eq!(join(&["agents", "a.b"]), "agents.\"a.b\"");
        assert_eq!(nearest(&["run", "budget_us"]).as_deref(), Some("run.budget_usd"));
        assert_eq!(nearest(&["budget_usd"]).as_deref(), Some("run.budget_usd"));
        assert_eq!(
            nearest(&["agents", "overrides", "x", "modle"]).as_deref(),
            Some("agents.overrides.x.model")
        );
        assert_eq!(nearest(&["zzz"]), None);
    }
}
