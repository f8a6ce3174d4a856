//! Which extensions of the user's Pi settings bring model providers: a worker loads these and no other.
//!
//! An extension registers a provider by calling `registerProvider`. The name of a method survives bundling and minifying, so
//! an extension's sources are searched for that word (without `node_modules`, within limits). Where an entry file holds it, only
//! those files are loaded; where only a file that it imports does, the package's entries are. What is too big to search is loaded
//! and said. Sources are only searched, never run. Packages of a project's own `.pi/settings.json` are not looked at: the
//! repository is not trusted to name programs. Windlass's own Pi package is never loaded.

use serde::Deserialize;
use std::path::{Component, Path, PathBuf};

/// Reading the user's files; the caller decides how. Limits are the callee's: a file or folder that cannot be read is `None`.
pub trait Files {
    /// The content of a regular file, at most [`MAX_FILE`] bytes of it.
    fn read(&self, path: &Path) -> Option<Vec<u8>>;
    /// The names in a folder, with whether each is a folder itself; any order.
    fn list(&self, path: &Path) -> Option<Vec<(String, bool)>>;
}

/// Largest file that is searched, in bytes.
pub const MAX_FILE: usize = 4 * 1024 * 1024;
/// Most files of one package that are searched.
const MAX_FILES: usize = 400;
/// Deepest folder below a package that is searched.
const MAX_DEPTH: usize = 6;
const WORD: &[u8] = b"registerProvider";
const SOURCES: &[&str] = &["ts", "js", "mts", "mjs", "cts", "cjs"];
const ENTRY_NAMES: &[&str] = &["index.ts", "index.js", "index.mts", "index.mjs"];

/// An extension that brings a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// As the settings name it.
    pub source: String,
    /// What is loaded.
    pub path: PathBuf,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderExtensions {
    /// Extensions to load.
    pub found: Vec<Found>,
    /// What a person should know.
    pub notices: Vec<String>,
}

impl ProviderExtensions {
    /// As leading arguments of pi.
    pub fn args(&self) -> Vec<String> {
        self.found.iter().flat_map(|f| ["-e".to_owned(), f.path.to_string_lossy().into_owned()]).collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    packages: Vec<Package>,
    extensions: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Package {
    Source(String),
    Filtered { source: String, extensions: Option<Vec<String>> },
    Other(serde::de::IgnoredAny),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Manifest {
    name: String,
    pi: PiManifest,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PiManifest {
    extensions: Option<Vec<String>>,
}

/// Finds the provider extensions of the user's Pi settings. `settings` is the text of `settings.json` in `agent_dir`, Pi's own folder
/// (`$PI_CODING_AGENT_DIR`, else `~/.pi/agent`); `None` when there is no such file.
pub fn provider_extensions(
    settings: Option<&str>,
    agent_dir: &Path,
    home: &Path,
    files: &dyn Files,
) -> ProviderExtensions {
    let mut out = ProviderExtensions::default();
    let Some(text) = settings else { return out };
    let Ok(settings) = serde_json::from_str::<Settings>(text.trim_start_matches('\u{feff}')) else {
        out.notices
            .push("Pi's settings.json could not be read; its provider packages are not loaded".to_owned());
        return out;
    };
    for package in &settings.packages {
        let (source, filter) = match package {
            Package::Source(source) => (source, None),
            Package::Filtered { source, extensions } => (source, extensions.as_deref()),
            Package::Other(_) => continue,
        };
        // `[]` is how a user switches a package's extensions off.
        if filter.is_some_and(<[String]>::is_empty) {
            continue;
        }
        let Some(path) = install_path(source, agent_dir, home) else { continue };
        look(source, &path, filter.unwrap_or(&[]), files, &mut out);
    }
    for entry in settings.extensions.iter().filter(|e| !e.starts_with(['!', '-'])) {
        let path = local(entry.trim_start_matches('+'), agent_dir, home);
        look(entry, &path, &[], files, &mut out);
    }
    out
}

/// Where Pi keeps a package.
fn install_path(source: &str, agent_dir: &Path, home: &Path) -> Option<PathBuf> {
    if let Some(spec) = source.strip_prefix("npm:") {
        let spec = spec.trim();
        // A scope begins with `@`; a version follows a later one.
        let at = spec.get(1..)?.find('@').map_or(spec.len(), |at| at + 1);
        return below(&agent_dir.join("npm/node_modules"), &spec[..at]);
    }
    let remote = ["git:", "https://", "http://", "ssh://", "git@"].iter().any(|p| source.starts_with(p));
    if !remote {
        return Some(local(source, agent_dir, home));
    }
    let rest = source.strip_prefix("git:").unwrap_or(source);
    let rest = rest.split_once("://").map_or(rest, |(_, r)| r);
    let rest = rest.split(['#', '?']).next().unwrap_or(rest);
    // `git@host:owner/repo`, `user@host/…`, `host/owner/repo@ref`.
    let slash = rest.find('/').unwrap_or(rest.len());
    let rest = rest.find('@').filter(|&at| at < slash).map_or(rest, |at| &rest[at + 1..]);
    let rest = rest.replacen(':', "/", 1);
    let rest = rest.split('@').next().unwrap_or(&rest);
    below(&agent_dir.join("git"), rest.trim_end_matches('/').trim_end_matches(".git"))
}

/// A path that stays below its root, or `None`.
fn below(root: &Path, relative: &str) -> Option<PathBuf> {
    let relative = Path::new(relative);
    let plain =
        relative.components().all(|c| matches!(c, Component::Normal(_))) && relative.file_name().is_some();
    plain.then(|| root.join(relative))
}

fn local(path: &str, agent_dir: &Path, home: &Path) -> PathBuf {
    let path = path.trim();
    match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => normal(&agent_dir.join(path)),
    }
}

/// The path without `.` and `..`, by its text.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// Looks at one package or extension and adds what of it brings a provider.
fn look(source: &str, path: &Path, filter: &[String], files: &dyn Files, out: &mut ProviderExtensions) {
    let shown = crate::text::name(source);
    let mut load = |path: PathBuf| {
        if !out.found.iter().any(|f| f.path == path) {
            out.found.push(Found { source: source.to_owned(), path });
        }
    };
    if files.list(path).is_none() {
        match files.read(path) {
            Some(text) if registers(&text) => load(path.to_owned()),
            Some(_) => {}
            None => {
                out.notices.push(format!("Pi's settings name `{shown}`, which is not there; run `pi list`"))
            }
        }
        return;
    }
    let manifest = files
        .read(&path.join("package.json"))
        .and_then(|text| serde_json::from_slice::<Manifest>(&text).ok())
        .unwrap_or_default();
    if is_ours(&manifest.name) {
        return;
    }
    let search = search(path, files);
    if search.with_word.is_empty() && !search.incomplete {
        return;
    }
    let entries: Vec<_> =
        entries(path, &manifest, files).into_iter().filter(|e| passes(e, path, filter)).collect();
    let direct: Vec<_> = entries.iter().filter(|e| search.with_word.contains(e)).cloned().collect();
    let chosen = if !direct.is_empty() {
        direct
    } else if !entries.is_empty() {
        entries
    } else if filter.is_empty() {
        // Pi finds more kinds of entry than are looked for here.
        vec![path.to_owned()]
    } else {
        Vec::new()
    };
    for path in chosen {
        load(path);
    }
    if search.with_word.is_empty() {
        out.notices.push(format!(
            "`{shown}` is too big to search for model providers and is loaded in every worker"
        ));
    }
}

fn registers(text: &[u8]) -> bool {
    memchr::memmem::find(text, WORD).is_some()
}

/// Windlass's own Pi package, which would let a worker start teams.
fn is_ours(name: &str) -> bool {
    matches!(name, "windlass" | "windlass-pi" | "pi-windlass") || name.starts_with("@windlass/")
}

struct Search {
    with_word: Vec<PathBuf>,
    incomplete: bool,
}

fn search(root: &Path, files: &dyn Files) -> Search {
    let mut found = Search { with_word: Vec::new(), incomplete: false };
    let mut todo = vec![(root.to_owned(), 0)];
    let mut looked = 0;
    while let Some((dir, depth)) = todo.pop() {
        for (name, is_dir) in sorted(files.list(&dir)) {
            let path = dir.join(&name);
            if is_dir {
                if name == "node_modules" || name.starts_with('.') {
                    continue;
                }
                if depth < MAX_DEPTH {
                    todo.push((path, depth + 1));
                } else {
                    found.incomplete = true;
                }
            } else if is_source(&name) {
                if looked == MAX_FILES {
                    found.incomplete = true;
                    return found;
                }
                looked += 1;
                let text = files.read(&path).unwrap_or_default();
                found.incomplete |= text.len() >= MAX_FILE;
                if registers(&text) {
                    found.with_word.push(path);
                }
            }
        }
    }
    found
}

fn is_source(name: &str) -> bool {
    !name.ends_with(".d.ts") && name.rsplit_once('.').is_some_and(|(_, end)| SOURCES.contains(&end))
}

fn sorted(list: Option<Vec<(String, bool)>>) -> Vec<(String, bool)> {
    let mut list = list.unwrap_or_default();
    list.sort();
    list
}

/// The entry files of a package, as far as they can be told without Pi.
fn entries(root: &Path, manifest: &Manifest, files: &dyn Files) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let roots = match &manifest.pi.extensions {
        Some(listed) => {
            listed.iter().filter(|e| !e.contains(['*', '!'])).map(|e| normal(&root.join(e))).collect()
        }
        None => vec![root.join("extensions")],
    };
    for path in roots.into_iter().filter(|p| p.starts_with(root)) {
        match files.list(&path) {
            None => out.extend(files.read(&path).is_some().then_some(path)),
            Some(list) => {
                for (name, is_dir) in sorted(Some(list)) {
                    let path = path.join(&name);
                    if is_dir {
                        out.extend(
                            ENTRY_NAMES.iter().map(|n| path.join(n)).find(|p| files.read(p).is_some()),
                        );
                    } else if is_source(&name) {
                        out.push(path);
                    }
                }
            }
        }
    }
    if out.is_empty() && manifest.pi.extensions.is_none() {
        out.extend(ENTRY_NAMES.iter().map(|n| root.join(n)).find(|p| files.read(p).is_some()));
    }
    out
}

/// Whether the user's filter lets an entry pass: `!` and `-` leave out, `+` and plain patterns choose.
fn passes(entry: &Path, root: &Path, filter: &[String]) -> bool {
    let relative = entry.strip_prefix(root).unwrap_or(entry).to_string_lossy().into_owned();
    let matches = |pattern: &str| glob(pattern.trim_start_matches("./").as_bytes(), relative.as_bytes());
    let mut chosen = !filter.iter().any(|p| !p.starts_with(['!', '-']));
    for pattern in filter {
        match pattern.strip_prefix(['!', '-']) {
            Some(out) if matches(out) => return false,
            Some(_) => {}
            None => chosen |= matches(pattern.trim_start_matches('+')),
        }
    }
    chosen
}

/// `*` within a name, `**` across folders.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', b'/', rest @ ..] => {
            glob(rest, text) || (0..text.len()).any(|i| text[i] == b'/' && glob(rest, &text[i + 1..]))
        }
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|i| glob(rest, &text[i..])),
        [b'*', rest @ ..] => {
            let end = text.iter().position(|&b| b == b'/').unwrap_or(text.len());
            (0..=end).any(|i| glob(rest, &text[i..]))
        }
        [b, rest @ ..] => text.first() == Some(b) && glob(rest, &text[1..]),
    }
}
