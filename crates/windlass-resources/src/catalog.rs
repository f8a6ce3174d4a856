//! Every agent, team, workflow and skill there is, and which of them counts for a name.
//!
//! **Precedence.** In a project that is not trusted: user, then builtin, then project, and the project's are listed but cannot be used. In a
//! trusted project: user, then project, then builtin. The project comes before the builtin ones because a team that trusts its
//! repository wants its own `executor` for everyone; the user's own come first all the same, because what a person keeps in their
//! own folders is their explicit choice, and no repository, trusted or not, may take it over.

use crate::agent::Agent;
use crate::diag::{Diagnostic, nearest, quote};
use crate::places::{Place, Places};
use crate::skill::Skill;
use crate::source::{Dialect, Kind, Scope, Source};
use crate::team::Team;
use crate::text::{Links, read};
use crate::workflow::Workflow;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// The most files of one folder that are read.
pub const MAX_FILES: usize = 2_000;

/// A name that several files claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shadowed {
    /// What they are.
    pub kind: Kind,
    /// The name.
    pub name: String,
    /// The one that counts.
    pub winner: Source,
    /// Those that do not, the stronger first.
    pub losers: Vec<Source>,
}

impl Shadowed {
    /// One line for people.
    pub fn text(&self) -> String {
        let shown = |s: &Source| format!("{} ({})", crate::diag::escape(&s.path), s.scope);
        let losers: Vec<String> = self.losers.iter().map(shown).collect();
        format!(
            "{} {}: {} is used and hides {}",
            self.kind,
            quote(&self.name),
            shown(&self.winner),
            losers.join(", ")
        )
    }
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Entry<T> {
    /// A resource that can be used.
    Usable(T),
    /// One of a project that is not trusted: it can be looked at.
    Untrusted(T),
    /// One that the user hid, by the file itself or by config.
    Disabled(T),
    /// A file that claims the name and cannot be read; the catalog's findings say why. A weaker file of that name is not used in its place.
    Broken(Source),
}

impl<T> Entry<T> {
    /// The resource, whether it may be used or not.
    pub fn resource(&self) -> Option<&T> {
        match self {
            Self::Usable(t) | Self::Untrusted(t) | Self::Disabled(t) => Some(t),
            Self::Broken(_) => None,
        }
    }

    /// The word shown to people.
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Usable(_) => "active",
            Self::Untrusted(_) => "untrusted",
            Self::Disabled(_) => "disabled",
            Self::Broken(_) => "broken",
        }
    }
}

/// The resources of one kind by name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shelf<T> {
    kind: Kind,
    entries: BTreeMap<String, Entry<T>>,
}

impl<T: Resource> Shelf<T> {
    fn new() -> Self {
        Self { kind: T::KIND, entries: BTreeMap::new() }
    }

    /// Every entry by name, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry<T>)> {
        self.entries.iter().map(|(key, entry)| (entry.resource().map_or(key.as_str(), T::name), entry))
    }

    /// Those that can be used.
    pub fn usable(&self) -> impl Iterator<Item = &T> {
        self.entries.values().filter_map(|e| match e {
            Entry::Usable(t) => Some(t),
            _ => None,
        })
    }

    /// The entry of a name.
    pub fn entry(&self, name: &str) -> Option<&Entry<T>> {
        self.entries.get(&T::key(name))
    }

    /// The resource of a name, to be used.
    ///
    /// # Errors
    /// Why there is none: unknown (with the nearest name), untrusted, disabled or broken.
    pub fn get(&self, name: &str) -> Result<&T, Box<Diagnostic>> {
        let kind = self.kind;
        Err(Box::new(match self.entry(name) {
            Some(Entry::Usable(t)) => return Ok(t),
            Some(Entry::Untrusted(t)) => Diagnostic::error(
                "untrusted",
                format!(
                    "{kind} {} is the repository's ({}), which is not trusted",
                    quote(name),
                    crate::diag::escape(&t.source().path)
                ),
            )
            .help("look at it with `windlass trust --show` and allow it with `windlass trust`"),
            Some(Entry::Disabled(_)) => {
                Diagnostic::error("disabled", format!("{kind} {} is disabled", quote(name)))
            }
            Some(Entry::Broken(source)) => Diagnostic::error(
                "broken",
                format!("{kind} {} cannot be used: its file is broken", quote(name)),
            )
            .in_file(source.path.clone())
            .help("`windlass validate` shows what is wrong"),
            None => {
                let d = Diagnostic::error("unknown-name", format!("there is no {kind} {}", quote(name)));
                let known = self
                    .entries
                    .iter()
                    .filter(|(_, e)| matches!(e, Entry::Usable(_)))
                    .map(|(key, e)| e.resource().map_or(key.as_str(), T::name));
                match nearest(name, known) {
                    Some(near) => d.help(format!("did you mean {}?", quote(near))),
                    None => d.help(format!("`windlass {}` lists them", kind.folder())),
                }
            }
        }))
    }
}

/// What the four kinds have in common.
pub trait Resource: Sized + 'static {
    /// Which kind it is.
    const KIND: Kind;
    /// Its name.
    fn name(&self) -> &str;
    /// Where it was read from.
    fn source(&self) -> &Source;
    /// Whether its own file hides it.
    fn is_disabled(&self) -> bool {
        false
    }
    /// The form of a name that is compared.
    fn key(name: &str) -> String {
        name.to_owned()
    }
    /// Those that are shipped, read once per process.
    fn shipped() -> &'static [Self];
    /// Reads one from a file's text.
    fn parse(text: &str, stem: &str, source: Source, diagnostics: &mut Vec<Diagnostic>) -> Option<Self>;
}

macro_rules! resource {
    ($type:ident $(, $extra:item)*) => {
        impl Resource for $type {
            const KIND: Kind = Kind::$type;
            fn name(&self) -> &str {
                &self.name
            }
            fn source(&self) -> &Source {
                &self.source
            }
            fn shipped() -> &'static [Self] {
                static SHIPPED: LazyLock<Vec<$type>> = LazyLock::new(|| read_shipped().0);
                &SHIPPED
            }
            fn parse(text: &str, stem: &str, source: Source, diagnostics: &mut Vec<Diagnostic>) -> Option<Self> {
                Self::parse(text, stem, source, diagnostics)
            }
            $($extra)*
        }
    };
}

resource!(
    Agent,
    fn is_disabled(&self) -> bool {
        self.disabled
    },
    fn key(name: &str) -> String {
        name.to_lowercase()
    }
);
resource!(Team);
resource!(Workflow);
resource!(Skill);

/// Whether the project's resources may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectUse {
    /// Listed, not used.
    Untrusted,
    /// Used, and stronger than the builtin ones.
    Trusted,
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Catalog {
    /// Agents. Names are compared without case.
    pub agents: Shelf<Agent>,
    /// Teams.
    pub teams: Shelf<Team>,
    /// Workflows.
    pub workflows: Shelf<Workflow>,
    /// Skills.
    pub skills: Shelf<Skill>,
    /// Names that several files claim, each once.
    pub shadowed: Vec<Shadowed>,
    /// Findings in the files, each with its path.
    pub diagnostics: Vec<Diagnostic>,
}

impl Catalog {
    /// Reads everything. Folders that are not there are empty; what cannot be read is a finding.
    pub fn load(places: &Places, project: ProjectUse) -> Self {
        let mut shadowed = Vec::new();
        let mut diagnostics = Vec::new();
        Self {
            agents: load_kind(places, project, &mut shadowed, &mut diagnostics),
            teams: load_kind(places, project, &mut shadowed, &mut diagnostics),
            workflows: load_kind(places, project, &mut shadowed, &mut diagnostics),
            skills: load_kind(places, project, &mut shadowed, &mut diagnostics),
            shadowed,
            diagnostics,
        }
    }

    /// Only what is shipped.
    pub fn builtin() -> Self {
        Self::load(&Places::default(), ProjectUse::Untrusted)
    }

    /// Hides every builtin agent (`agents.disable_builtins`).
    pub fn disable_builtin_agents(&mut self) {
        for entry in self.agents.entries.values_mut() {
            if let Entry::Usable(agent) = entry
                && agent.source.scope == Scope::Builtin
            {
                *entry = Entry::Disabled(agent.clone());
            }
        }
    }

    /// Applies the user's changes to one agent. Gives `false` when there is no agent of that name.
    pub fn override_agent(&mut self, name: &str, change: impl FnOnce(&mut Agent)) -> bool {
        match self.agents.entries.get_mut(&Agent::key(name)) {
            Some(entry @ (Entry::Usable(_) | Entry::Disabled(_))) => {
                let Some(mut agent) = entry.resource().cloned() else { return false };
                change(&mut agent);
                *entry = if agent.disabled { Entry::Disabled(agent) } else { Entry::Usable(agent) };
                true
            }
            Some(_) => true,
            None => false,
        }
    }
}

/// A file that claims a name.
struct Claim<T> {
    source: Source,
    resource: Option<T>,
    key: String,
}

fn load_kind<T: Resource + Clone>(
    places: &Places,
    project: ProjectUse,
    shadowed: &mut Vec<Shadowed>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Shelf<T> {
    let order = match project {
        ProjectUse::Untrusted => [Scope::User, Scope::Builtin, Scope::Project],
        ProjectUse::Trusted => [Scope::User, Scope::Project, Scope::Builtin],
    };
    let mut claims: Vec<Claim<T>> = Vec::new();
    for place in places.folders(T::KIND) {
        read_place(&place, project, &mut claims, diagnostics);
    }
    claims.extend(T::shipped().iter().map(|t| Claim {
        source: t.source().clone(),
        key: T::key(t.name()),
        resource: Some(t.clone()),
    }));
    let mut shelf = Shelf::new();
    for scope in order {
        for claim in claims.iter().filter(|c| c.source.scope == scope) {
            let shown = claim.resource.as_ref().map_or(claim.key.as_str(), T::name);
            if let Some(winner) = shelf.entries.get(&claim.key) {
                let winner: &Entry<T> = winner;
                let source = match winner {
                    Entry::Broken(source) => source.clone(),
                    Entry::Usable(t) | Entry::Untrusted(t) | Entry::Disabled(t) => t.source().clone(),
                };
                let loser = claim.source.clone();
                match shadowed.iter_mut().find(|s| s.kind == T::KIND && T::key(&s.name) == claim.key) {
                    Some(known) => known.losers.push(loser),
                    None => {
                        let name = shown.to_owned();
                        shadowed.push(Shadowed { kind: T::KIND, name, winner: source, losers: vec![loser] });
                    }
                }
                continue;
            }
            let entry = match claim.resource.clone() {
                None => Entry::Broken(claim.source.clone()),
                Some(t) if scope == Scope::Project && project == ProjectUse::Untrusted => Entry::Untrusted(t),
                Some(t) if t.is_disabled() => Entry::Disabled(t),
                Some(t) => Entry::Usable(t),
            };
            shelf.entries.insert(claim.key.clone(), entry);
        }
    }
    shelf
}

/// Reads the shipped files of one kind. Findings in them are a fault of ours, which a test shows.
pub(crate) fn read_shipped<T: Resource>() -> (Vec<T>, Vec<Diagnostic>) {
    let mut findings = Vec::new();
    let files = crate::builtin::FILES.iter().filter(|(file, _)| file.starts_with(T::KIND.folder()));
    let read = files.filter_map(|(file, text)| {
        let path = format!("builtin:{file}");
        let source = Source { scope: Scope::Builtin, dialect: Dialect::Windlass, path };
        T::parse(text, stem(T::KIND, file)?, source, &mut findings)
    });
    (read.collect(), findings)
}

/// The name that a file claims by its path, or `None` when it is not of that kind.
pub(crate) fn stem(kind: Kind, file: &str) -> Option<&str> {
    let name = file.rsplit_once('/').map_or(file, |(_, n)| n);
    match kind {
        Kind::Agent => {
            let stem = name.strip_suffix(".md")?;
            (!stem.ends_with(".team") && !stem.ends_with(".workflow")).then_some(stem)
        }
        Kind::Team => name.strip_suffix(".team.md"),
        Kind::Workflow => name.strip_suffix(".workflow.md"),
        Kind::Skill => {
            let folder = file.strip_suffix("/SKILL.md")?;
            Some(folder.rsplit_once('/').map_or(folder, |(_, n)| n))
        }
    }
}

fn read_place<T: Resource>(
    place: &Place,
    project: ProjectUse,
    claims: &mut Vec<Claim<T>>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let shown = place.folder.display().to_string();
    let entries = match fs::read_dir(&place.folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return;
        }
        Err(e) => {
            diagnostics
                .push(Diagnostic::warning("unreadable", format!("cannot be read: {e}")).in_file(shown));
            return;
        }
    };
    let mut names: Vec<String> = Vec::new();
    for entry in entries.flatten() {
        match entry.file_name().into_string() {
            Ok(name) if !name.starts_with('.') => names.push(name),
            Ok(_) => {}
            Err(name) => diagnostics.push(
                Diagnostic::warning("not-utf8", "a file whose name is not UTF-8 is left out")
                    .in_file(place.folder.join(name).display().to_string()),
            ),
        }
        if names.len() > MAX_FILES {
            diagnostics.push(
                Diagnostic::warning(
                    "too-many-files",
                    format!("more than {MAX_FILES} entries; the rest is left out"),
                )
                .in_file(shown.clone()),
            );
            names.pop();
            break;
        }
    }
    names.sort();
    // Skills are copied into prompts and a repository is not the user's own: no links there.
    let links = if place.kind == Kind::Skill || place.scope == Scope::Project {
        Links::Refuse
    } else {
        Links::Follow
    };
    if links == Links::Refuse && is_link(&place.folder) {
        diagnostics.push(
            Diagnostic::warning("link-refused", "is a symbolic link; links are not followed here")
                .in_file(shown),
        );
        return;
    }
    for name in names {
        let path = place.folder.join(&name);
        let (path, file) = if place.kind == Kind::Skill {
            if is_link(&path) {
                diagnostics.push(
                    Diagnostic::warning("link-refused", "is a symbolic link; links are not followed here")
                        .in_file(path.display().to_string()),
                );
                continue;
            }
            let inner = path.join("SKILL.md");
            if inner.symlink_metadata().is_err() {
                continue;
            }
            (inner, format!("{name}/SKILL.md"))
        } else {
            (path, name)
        };
        let Some(stem) = stem(place.kind, &file) else { continue };
        let source = Source { scope: place.scope, dialect: place.dialect, path: path.display().to_string() };
        let text = match read(&path, links) {
            Ok(text) => text,
            Err(d) => {
                diagnostics.push(soften(*d, place, project));
                if place.dialect == Dialect::Windlass {
                    claims.push(Claim { source, resource: None, key: T::key(stem) });
                }
                continue;
            }
        };
        let mut found = Vec::new();
        claim(stem, &text, source, claims, &mut found);
        diagnostics.extend(found.into_iter().map(|d| soften(d, place, project)));
    }
}

/// Another program's broken file, or one of a repository that is not used, is no reason to stop.
fn soften(mut d: Diagnostic, place: &Place, project: ProjectUse) -> Diagnostic {
    let unused = place.scope == Scope::Project && project == ProjectUse::Untrusted;
    if d.is_error() && (unused || place.dialect != Dialect::Windlass) {
        d.severity = crate::diag::Severity::Warning;
    }
    d
}

/// Parses a file and enters its claim. A broken file of our own places claims the name it has as a file, so that nothing weaker quietly stands in for it.
fn claim<T: Resource>(
    stem: &str,
    text: &str,
    source: Source,
    claims: &mut Vec<Claim<T>>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut found = Vec::new();
    let resource = T::parse(text, stem, source.clone(), &mut found);
    diagnostics.extend(found.into_iter().map(|d| d.in_file(source.path.clone())));
    let key = T::key(resource.as_ref().map_or(stem, T::name));
    if resource.is_some() || source.dialect == Dialect::Windlass {
        claims.push(Claim { source, resource, key });
    }
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.file_type().is_symlink())
}
