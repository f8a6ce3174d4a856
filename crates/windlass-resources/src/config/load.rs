//! Reading the layers.

use super::Config;
use super::keys::{self, KEYS, Key, Sensitivity};
use super::value::Value;
use crate::diag::{Diagnostic, Pos, Severity, quote};
use crate::text::{Links, read};
use crate::trust::Answer;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "layer", content = "at")]
pub enum Origin {
    /// The table of keys.
    Default,
    /// The user's file, by path.
    User(String),
    /// The project's file, by path.
    Project(String),
    /// A variable, by name.
    Env(String),
    /// A flag, by name.
    Flag(String),
}

impl Origin {
    /// The file, variable or flag; empty for a default.
    pub fn place(&self) -> &str {
        match self {
            Self::Default => "",
            Self::User(at) | Self::Project(at) | Self::Env(at) | Self::Flag(at) => at,
        }
    }

    /// The layer's word.
    pub const fn layer(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::User(_) => "user",
            Self::Project(_) => "project",
            Self::Env(_) => "env",
            Self::Flag(_) => "flag",
        }
    }
}

/// A value in force and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// A config file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its path, for people.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl ConfigFile {
    /// Reads a file; `None` when there is none.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn read(path: &Path, links: Links) -> Result<Option<Self>, Box<Diagnostic>> {
        match path.symlink_metadata() {
            Err(e)
                if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
            {
                Ok(None)
            }
            _ => read(path, links).map(|text| Some(Self { path: path.display().to_string(), text })),
        }
    }
}

/// A flag of the command line that sets a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The flag, such as `--budget-usd`.
    pub flag: &'static str,
    /// The key, such as `run.budget_usd`.
    pub key: &'static str,
    /// What was typed.
    pub text: String,
}

/// Everything that config is made from.
#[derive(Debug, Clone, Default)]
pub struct Sources<'a> {
    /// The user's file.
    pub user: Option<&'a ConfigFile>,
    /// The project's file.
    pub project: Option<&'a ConfigFile>,
    /// What of the project is trusted.
    pub trust: Answer,
    /// The requesting shell's environment.
    pub env: BTreeMap<String, String>,
    /// Flags.
    pub flags: Vec<Flag>,
}

/// A value as a file sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) key: &'static Key,
    pub(crate) value: Value,
    pub(crate) pos: Pos,
}

/// The most findings of one file.
const MAX_FINDINGS: usize = 20;

impl Config {
    /// What holds when nobody sets anything.
    pub fn defaults() -> Self {
        let settings = KEYS
            .iter()
            .filter_map(|k| {
                Some((k.name.to_owned(), Setting { value: k.default_value()?, origin: Origin::Default }))
            })
            .collect();
        Self { settings }
    }

    /// Reads all layers. Where a finding is an error, the request must be refused: the user's wish is not known.
    ///
    /// A project's file that is not trusted can at most cause warnings: a repository must not be able to stop the user.
    pub fn load(sources: &Sources<'_>) -> (Self, Vec<Diagnostic>) {
        let mut config = Self::defaults();
        let mut findings = Vec::new();
        if let Some(file) = sources.user {
            for set in read_file(file, &mut findings) {
                config.put(set.name, set.value, Origin::User(file.path.clone()));
            }
        }
        if let Some(file) = sources.project {
            config.project(file, sources.trust, &mut findings);
        }
        for runtime in keys::PROGRAM_RUNTIMES {
            let variable = format!("WINDLASS_{}_BIN", runtime.to_uppercase());
            if let Some(path) = sources.env.get(&variable).filter(|v| !v.trim().is_empty()) {
                config.put(
                    format!("runtimes.{runtime}.command"),
                    Value::List(vec![path.clone()]),
                    Origin::Env(variable),
                );
            }
        }
        for flag in &sources.flags {
            let Some(key) = KEYS.iter().find(|k| k.name == flag.key) else { continue };
            match Value::from_text(key.kind, &flag.text) {
                Ok(value) => config.put(flag.key.to_owned(), value, Origin::Flag(flag.flag.to_owned())),
                Err(message) => findings.push(Diagnostic::error("bad-value", message).in_file(flag.flag)),
            }
        }
        (config, findings)
    }

    fn put(&mut self, name: String, value: Value, origin: Origin) {
        self.settings.insert(name, Setting { value, origin });
    }

    fn project(&mut self, file: &ConfigFile, trust: Answer, findings: &mut Vec<Diagnostic>) {
        let mut found = Vec::new();
        for set in read_file(file, &mut found) {
            let allowed = match set.key.sensitivity {
                Sensitivity::Free => true,
                // A limit is the user's, trusted repository or not. What is unset has no looser value.
                Sensitivity::MayOnlyTighten => self
                    .settings
                    .get(&set.name)
                    .is_none_or(|lower| set.value.is_tighter_or_equal(&lower.value)),
                Sensitivity::NamesGates => trust != Answer::None,
                Sensitivity::NamesAProgram => trust == Answer::All,
                Sensitivity::UserOnly => false,
            };
            if allowed {
                self.put(set.name, set.value, Origin::Project(file.path.clone()));
                continue;
            }
            let (severity, why) = match set.key.sensitivity {
                Sensitivity::UserOnly => (Severity::Warning, "only the user's own config can set it"),
                Sensitivity::MayOnlyTighten => (Severity::Warning, "a repository can only tighten it"),
                // One line about trust is said for the whole repository.
                _ => (Severity::Notice, "the repository is not trusted with it"),
            };
            let mut d = Diagnostic::warning("not-allowed", format!("{} is ignored: {why}", quote(&set.name)));
            d.severity = severity;
            found.push(d.in_file(file.path.clone()).at(set.pos));
        }
        if trust != Answer::All {
            for d in found.iter_mut().filter(|d| d.is_error()) {
                d.severity = Severity::Warning;
            }
        }
        findings.append(&mut found);
    }
}

/// Reads what a file sets. Keys that cannot be read are findings, the others count.
pub(crate) fn read_file(file: &ConfigFile, findings: &mut Vec<Diagnostic>) -> Vec<Set> {
    let text = crate::text::normalise(&file.text);
    let mut sets = Vec::new();
    let mut walker = Walker { text: &text, path: &file.path, findings, left: MAX_FINDINGS, sets: &mut sets };
    match DeTable::parse(&text) {
        Ok(table) => walker.table(table.get_ref(), &mut Vec::new()),
        Err(e) => {
            let message = crate::diag::escape(e.message());
            walker.report(Diagnostic::error("not-toml", message), e.span().map_or(0, |s| s.start));
        }
    }
    sets
}

struct Walker<'a> {
    text: &'a str,
    path: &'a str,
    findings: &'a mut Vec<Diagnostic>,
    left: usize,
    sets: &'a mut Vec<Set>,
}

impl Walker<'_> {
    fn report(&mut self, d: Diagnostic, offset: usize) {
        if self.left > 0 {
            self.left -= 1;
            self.findings.push(d.in_file(self.path).at(Pos::of(self.text, offset)));
        }
    }

    fn table(&mut self, table: &DeTable<'_>, above: &mut Vec<String>) {
        for (key, value) in table {
            let at = key.span().start;
            above.push(key.get_ref().to_string());
            let parts: Vec<&str> = above.iter().map(String::as_str).collect();
            let name = keys::join(&parts);
            if let Some(found) = keys::find(&parts) {
                match Value::from_toml(found.kind, value.get_ref()) {
                    Ok(value) => {
                        let pos = Pos::of(self.text, at);
                        self.sets.push(Set { name, key: found, value, pos });
                    }
                    Err(message) => {
                        let d = Diagnostic::error("bad-value", format!("{}: {message}", quote(&name)));
                        self.report(d.help(format!("expected: {}", found.type_text())), value.span().start);
                    }
                }
            } else if keys::is_section(&parts) {
                match value.get_ref() {
                    DeValue::Table(inner) => self.table(inner, above),
                    _ => self.report(
                        Diagnostic::error("bad-value", format!("{} must be a table", quote(&name))),
                        value.span().start,
                    ),
                }
            } else {
                let mut d = Diagnostic::error("unknown-key", format!("unknown key {}", quote(&name)));
                if self.left > 0
                    && let Some(near) = keys::nearest(&parts)
                {
                    d = d.help(format!("did you mean {}?", quote(&near)));
                }
                self.report(d, at);
            }
            above.pop();
        }
    }
}
