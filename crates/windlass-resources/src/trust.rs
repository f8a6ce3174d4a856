//! Trust: what of a repository a user lets Windlass use, and whether that is still what the user saw.
//!
//! Trust never blocks a run; it decides what is used. The answer is kept in the user's state, never in the repository, with a hash
//! of what was shown. It is asked again only when that content changes by other hands.

use crate::catalog::{Catalog, Entry, Resource, Shelf};
use crate::config::keys::Sensitivity;
use crate::config::load::{ConfigFile, read_file};
use crate::diag::{escape, quote};
use crate::gates::Detected;
use crate::places::Places;
use crate::source::{Kind, Scope};
use crate::text::{Links, read, write_atomic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// What a user lets Windlass use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Everything: gates, agents, teams, workflows, skills, and config keys that name programs.
    All,
    /// Only its gates.
    GatesOnly,
    /// Nothing.
    #[default]
    None,
}

/// Something that the user is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// `gate`, `agent`, `team`, `workflow`, `skill` or `key`.
    pub kind: &'static str,
    /// Command, name or key.
    pub name: String,
    /// What it does, in a line; may be empty.
    pub detail: String,
    /// File it is from, relative to the project where it lies in it.
    pub path: String,
    /// Hash of everything in it that counts.
    hash: String,
}

/// Everything of a repository that is used only when trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The items, in a fixed order.
    pub items: Vec<Item>,
    /// Hash over all of them.
    pub hash: String,
}

impl Subject {
    /// What a project holds. `catalog` was read for this project, whether trusted or not; `found` are its detected gates.
    pub fn of(places: &Places, catalog: &Catalog, found: &[Detected]) -> Self {
        let mut items = Vec::new();
        let root = places.project.clone().unwrap_or_default();
        let relative = |path: &str| {
            Path::new(path).strip_prefix(&root).map_or_else(|_| path.to_owned(), |p| p.display().to_string())
        };
        let file = places.project_config().and_then(|p| ConfigFile::read(&p, Links::Refuse).ok().flatten());
        let sets = file.as_ref().map(|f| read_file(f, &mut Vec::new())).unwrap_or_default();
        let mut own_gates = false;
        for set in sets {
            let path = file.as_ref().map(|f| relative(&f.path)).unwrap_or_default();
            let value = set.value.show();
            match set.key.sensitivity {
                // These count, or do not, whatever is answered.
                Sensitivity::Free | Sensitivity::MayOnlyTighten | Sensitivity::UserOnly => {}
                Sensitivity::NamesGates => {
                    if let crate::config::Value::List(commands) = &set.value {
                        own_gates |= !commands.is_empty();
                        for command in commands {
                            items.push(Item::new("gate", command.clone(), String::new(), path.clone(), ""));
                        }
                    } else {
                        items.push(Item::new(
                            "gate",
                            format!("{} = {value}", set.name),
                            String::new(),
                            path,
                            "",
                        ));
                    }
                }
                Sensitivity::NamesAProgram => {
                    items.push(Item::new("key", set.name, value, path, ""));
                }
            }
        }
        if !own_gates {
            for gate in found {
                let runs = gate.runs.clone().unwrap_or_default();
                items.push(Item::new("gate", gate.command.clone(), runs, gate.evidence.clone(), ""));
            }
        }
        shelf(&catalog.agents, &mut items, &relative, |a| {
            let command =
                if a.command.is_empty() { String::new() } else { format!("runs {}", a.command.join(" ")) };
            if command.is_empty() { a.description.clone() } else { command }
        });
        shelf(&catalog.teams, &mut items, &relative, |t| t.description.clone());
        shelf(&catalog.workflows, &mut items, &relative, |w| {
            let gates: Vec<&str> = w.steps.iter().flat_map(|s| s.gates.iter().map(String::as_str)).collect();
            if gates.is_empty() { w.description.clone() } else { format!("runs {}", gates.join("; ")) }
        });
        shelf(&catalog.skills, &mut items, &relative, |s| s.description.clone());
        // Weaker files that hide behind others today may count tomorrow.
        for shadowed in &catalog.shadowed {
            for loser in shadowed.losers.iter().filter(|l| l.scope == Scope::Project) {
                let text = read(Path::new(&loser.path), Links::Refuse).unwrap_or_default();
                let kind = shadowed.kind.as_str();
                items.push(Item::new(
                    kind,
                    shadowed.name.clone(),
                    "hidden behind another of that name".into(),
                    relative(&loser.path),
                    &text,
                ));
            }
        }
        let order = |i: &Item| {
            ["gate", "key", "agent", "team", "workflow", "skill"].iter().position(|k| *k == i.kind)
        };
        items.sort_by(|a, b| (order(a), &a.name, &a.path).cmp(&(order(b), &b.name, &b.path)));
        let mut hasher = blake3::Hasher::new();
        for item in &items {
            hasher.update(item.hash.as_bytes());
        }
        Self { hash: hasher.finalize().to_hex().to_string(), items }
    }

    /// Whether there is anything to trust.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The gates among the items.
    pub fn gates(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|i| i.kind == "gate")
    }

    /// What the user is asked about, at most `lines` lines of at most `width` characters. Control characters are escaped. Nothing is cut
    /// off: an item takes the lines that it needs, and one that does not fit is counted.
    pub fn listing(&self, lines: usize, width: usize) -> String {
        let lines = lines.max(2);
        let blocks: Vec<Vec<String>> = self.items.iter().map(|item| item.listed(width.max(20))).collect();
        if blocks.iter().map(Vec::len).sum::<usize>() <= lines {
            return blocks.concat().join("\n");
        }
        let mut out: Vec<String> = Vec::new();
        let mut shown = 0;
        for block in &blocks {
            if out.len() + block.len() >= lines {
                break;
            }
            out.extend(block.iter().cloned());
            shown += 1;
        }
        if shown == 0 {
            // Its beginning says more than nothing.
            out.extend(blocks.iter().flatten().take(lines - 1).cloned());
        }
        out.push(match (shown, blocks.len() - shown) {
            (0, _) => "… and what is too long for here: `windlass trust --show`".to_owned(),
            (_, hidden) => format!("… and {hidden} more: `windlass trust --show`"),
        });
        out.join("\n")
    }

    /// By item, its hash: what is kept to tell later what changed.
    fn hashes(&self) -> BTreeMap<String, String> {
        self.items.iter().map(|i| (i.label(), i.hash.clone())).collect()
    }
}

impl Item {
    fn new(kind: &'static str, name: String, detail: String, path: String, content: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [kind, &name, &detail, &path, content] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self { kind, name, detail, path, hash: hasher.finalize().to_hex().to_string() }
    }

    /// Itself in lines of at most `width` characters.
    fn listed(&self, width: usize) -> Vec<String> {
        const INDENT: usize = 10;
        let detail = if self.detail.is_empty() { String::new() } else { format!(": {}", self.detail) };
        let text = format!("{}{} ({})", escape(&self.name), escape(&detail), escape(&self.path));
        let room = width.saturating_sub(INDENT).max(10);
        // No character takes more cells than this.
        let cells = |c: char| if c.is_ascii() { 1 } else { 2 };
        let mut lines = vec![format!("{:<INDENT$}", self.kind)];
        let mut used = 0;
        let mut put = |c: char, used: &mut usize, new: bool| {
            if new {
                lines.push(" ".repeat(INDENT));
                *used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
            *used += cells(c);
        };
        for word in text.split_inclusive(' ') {
            let mut new = used > 0 && used + word.trim_end().chars().map(cells).sum::<usize>() > room;
            for c in word.chars() {
                // A blank at the end of a line is its end.
                if c == ' ' && used + 1 > room {
                    continue;
                }
                let full = used + cells(c) > room;
                put(c, &mut used, new || full);
                new = false;
            }
        }
        lines.iter().map(|line| line.trim_end().to_owned()).collect()
    }

    /// What it is, and where, for people.
    fn label(&self) -> String {
        format!("{} {} ({})", self.kind, quote(&self.name), escape(&self.path))
    }
}

fn shelf<T: Resource>(
    shelf: &Shelf<T>,
    items: &mut Vec<Item>,
    relative: &dyn Fn(&str) -> String,
    detail: impl Fn(&T) -> String,
) {
    for (name, entry) in shelf.iter() {
        let (source, detail) = match entry {
            Entry::Broken(source) => (source, "cannot be read".to_owned()),
            Entry::Usable(t) | Entry::Untrusted(t) | Entry::Disabled(t) => (t.source(), detail(t)),
        };
        if source.scope != Scope::Project {
            continue;
        }
        // The whole file counts, not what is understood of it today.
        let text = read(Path::new(&source.path), Links::Refuse).unwrap_or_default();
        let kind = T::KIND.as_str();
        debug_assert!(Kind::ALL.contains(&T::KIND));
        items.push(Item::new(kind, name.to_owned(), detail, relative(&source.path), &text));
    }
}

/// A kept answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Version of this record.
    version: u32,
    /// Canonical path of the project.
    pub project: String,
    /// The answer.
    pub answer: Answer,
    /// Hash of what was shown.
    pub hash: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Hash of each item that was shown.
    items: BTreeMap<String, String>,
}

/// What holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// There is nothing in the repository that needs trust.
    Nothing,
    /// The user answered, and the content is what the user saw.
    Answered(Answer),
    /// The user was never asked.
    NeverAsked,
    /// The content is another than the user saw; nothing is used until asked again.
    Changed {
        /// What was answered then.
        before: Answer,
        /// What is new, other or gone, for people.
        changes: Vec<String>,
    },
}

impl Decision {
    /// What may be used now.
    pub const fn answer(&self) -> Answer {
        match self {
            Self::Answered(answer) => *answer,
            Self::Nothing | Self::NeverAsked | Self::Changed { .. } => Answer::None,
        }
    }

    /// Whether a person should be asked, where there is one.
    pub const fn must_ask(&self) -> bool {
        matches!(self, Self::NeverAsked | Self::Changed { .. })
    }

    /// The one line said where nobody can be asked; `None` when nothing is left unused by surprise.
    pub fn notice(&self) -> Option<String> {
        match self {
            Self::NeverAsked => Some(
                "nothing of this repository's gates, agents and config is used until you trust it: `windlass trust`".to_owned(),
            ),
            Self::Changed { changes, .. } => Some(format!(
                "what you trusted in this repository has changed ({}), so it is not used: `windlass trust`",
                match changes.as_slice() {
                    [one] => one.clone(),
                    many => format!("{} and {} more", many.first().map_or("", String::as_str), many.len().saturating_sub(1)),
                }
            )),
            Self::Nothing | Self::Answered(_) => None,
        }
    }
}

/// Compares what there is with what was answered.
pub fn decide(subject: &Subject, stored: Option<&Stored>) -> Decision {
    if subject.is_empty() {
        return Decision::Nothing;
    }
    let Some(stored) = stored else { return Decision::NeverAsked };
    if stored.hash == subject.hash {
        return Decision::Answered(stored.answer);
    }
    // Who trusts nothing need not be asked again whenever that nothing changes.
    if stored.answer == Answer::None {
        return Decision::Answered(Answer::None);
    }
    let now = subject.hashes();
    let mut changes: Vec<String> = Vec::new();
    for (label, hash) in &now {
        match stored.items.get(label) {
            None => changes.push(format!("new: {label}")),
            Some(old) if old != hash => changes.push(format!("changed: {label}")),
            Some(_) => {}
        }
    }
    changes.extend(stored.items.keys().filter(|l| !now.contains_key(*l)).map(|l| format!("gone: {l}")));
    if stored.answer == Answer::GatesOnly {
        // Only what is used can betray.
        let gates: Vec<String> = changes.iter().filter(|c| c.contains(": gate ")).cloned().collect();
        if gates.is_empty() {
            return Decision::Answered(Answer::GatesOnly);
        }
        changes = gates;
    }
    Decision::Changed { before: stored.answer, changes }
}

/// Where answers are kept: one small file per project, so that two projects never write the same one.
#[derive(Debug, Clone)]
pub struct TrustStore {
    folder: PathBuf,
}

/// What can go wrong with the kept answers.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file is there and is not an answer. It is not read as "never asked".
    #[error(
        "the kept answer in {path} cannot be understood: {why}; remove the file, or answer again with `windlass trust`"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Its reason.
        source: io::Error,
    },
}

/// The version of the record that is written.
const VERSION: u32 = 1;

impl TrustStore {
    /// The store in the user's state folder.
    pub fn new(state_dir: &Path) -> Self {
        Self { folder: state_dir.join("trust") }
    }

    fn file(&self, project: &Path) -> PathBuf {
        let hash = blake3::hash(project.as_os_str().as_encoded_bytes()).to_hex();
        self.folder.join(format!("{}.json", &hash.as_str()[..32]))
    }

    /// The answer for a project, by its canonical path.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn get(&self, project: &Path) -> Result<Option<Stored>, TrustError> {
        let path = self.file(project);
        let shown = path.display().to_string();
        let damaged = |why: String| TrustError::Damaged { path: shown.clone(), why };
        match path.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(TrustError::Io { path: shown, source }),
            Ok(_) => {}
        }
        let text = read(&path, Links::Refuse).map_err(|d| damaged(d.message.clone()))?;
        let stored: Stored = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        if stored.version != VERSION {
            return Err(damaged(format!(
                "it is of version {}, this program knows {VERSION}",
                stored.version
            )));
        }
        if Path::new(&stored.project) != project {
            return Err(damaged("it is about another project".to_owned()));
        }
        Ok(Some(stored))
    }

    /// Keeps an answer about what was shown.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(
        &self,
        project: &Path,
        subject: &Subject,
        answer: Answer,
        now_ms: u64,
    ) -> Result<(), TrustError> {
        let path = self.file(project);
        let stored = Stored {
            version: VERSION,
            project: project.to_string_lossy().into_owned(),
            answer,
            hash: subject.hash.clone(),
            at_ms: now_ms,
            items: subject.hashes(),
        };
        let io = |source| TrustError::Io { path: path.display().to_string(), source };
        let text = serde_json::to_vec_pretty(&stored).map_err(|e| io(e.into()))?;
        write_atomic(&path, &text).map_err(io)
    }

    /// Forgets an answer; gives whether there was one.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn revoke(&self, project: &Path) -> Result<bool, TrustError> {
        let path = self.file(project);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(TrustError::Io { path: path.display().to_string(), source }),
        }
    }

    /// Renews an answer after Windlass itself wrote into the project (`init`, `config set`, `new`).
    ///
    /// `before` is what was there before that write: only an answer that held for it is renewed, so that a change by other hands is
    /// not waved through. Where the user was never asked and nothing was there before, what they just wrote themselves is trusted.
    /// Gives whether an answer was written.
    ///
    /// # Errors
    /// The kept answer cannot be read or written.
    pub fn renew(
        &self,
        project: &Path,
        before: &Subject,
        after: &Subject,
        now_ms: u64,
    ) -> Result<bool, TrustError> {
        if before.hash == after.hash {
            return Ok(false);
        }
        let stored = self.get(project)?;
        let answer = match decide(before, stored.as_ref()) {
            Decision::Answered(answer) => answer,
            Decision::Nothing => stored.map_or(Answer::All, |s| s.answer),
            Decision::NeverAsked | Decision::Changed { .. } => return Ok(false),
        };
        self.put(project, after, answer, now_ms)?;
        Ok(true)
    }
}
