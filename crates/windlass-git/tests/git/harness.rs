//! A temporary repository that depends on nothing of the machine but the git program.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use windlass_events::RunId;
use windlass_git::{Git, Keeper, Limits, Repo, Segment};

/// Variables that make git independent of the machine.
fn env() -> Vec<(OsString, OsString)> {
    let path = std::env::var_os("PATH").unwrap();
    [
        ("PATH", path.as_os_str()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".as_ref()),
        ("GIT_CONFIG_NOSYSTEM", "1".as_ref()),
    ]
    .into_iter()
    .map(|(name, value)| (name.into(), value.to_owned()))
    .collect()
}

/// The product's git, with the test's environment. No identity, no home.
pub(crate) fn git() -> Git {
    Git::with_env(env()).unwrap()
}

/// Runs git as a user would.
pub(crate) fn run_git(dir: &Path, args: &[&str]) -> Vec<u8> {
    let out = try_git(dir, args);
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

pub(crate) fn try_git(dir: &Path, args: &[&str]) -> std::process::Output {
    Command::new("git")
        .current_dir(dir)
        .env_clear()
        .envs(env())
        .env("GIT_OPTIONAL_LOCKS", "0")
        .args([
            "-c",
            "user.name=u",
            "-c",
            "user.email=u@localhost",
            "-c",
            "protocol.file.allow=always",
            "-c",
            "core.protectNTFS=false",
        ])
        .args(args)
        .output()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

/// What a path is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    File { exec: bool, content: Vec<u8> },
    Link(PathBuf),
}

pub(crate) type State = BTreeMap<Vec<u8>, Node>;

pub(crate) struct Fixture {
    _dir: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) keeper: Keeper,
    next: std::cell::Cell<u32>,
}

pub(crate) fn run_id() -> RunId {
    RunId::parse("k7m2qd").unwrap()
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(&["init", "-q", "-b", "main"])
    }

    pub(crate) fn with(init: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("tree");
        let cache = dir.path().canonicalize().unwrap().join("cache");
        fs::create_dir(&root).unwrap();
        run_git(&root, init);
        let keeper = Self::keeper(&root, &cache);
        Self { _dir: dir, root, cache, keeper, next: std::cell::Cell::new(1) }
    }

    pub(crate) fn keeper(root: &Path, cache: &Path) -> Keeper {
        let repo = Repo::discover(&git(), root).unwrap().unwrap();
        Keeper::open(repo, cache, Limits::default()).unwrap()
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        text(&run_git(&self.root, args))
    }

    pub(crate) fn at(&self, path: impl AsRef<[u8]>) -> PathBuf {
        self.root.join(OsStr::from_bytes(path.as_ref()))
    }

    /// Removes whatever is at a path, and files that stand where its folders must be.
    fn clear(&self, path: &[u8]) {
        let at = self.at(path);
        for above in at.ancestors().skip(1).take_while(|above| *above != self.root) {
            if above.symlink_metadata().is_ok_and(|meta| !meta.is_dir()) {
                fs::remove_file(above).unwrap();
            }
        }
        match at.symlink_metadata() {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&at).unwrap(),
            Ok(_) => fs::remove_file(&at).unwrap(),
            Err(_) => {}
        }
        fs::create_dir_all(at.parent().unwrap()).unwrap();
    }

    pub(crate) fn write(&self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) {
        self.clear(path.as_ref());
        fs::write(self.at(path), content).unwrap();
    }

    pub(crate) fn link(&self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) {
        self.clear(path.as_ref());
        symlink(OsStr::from_bytes(target.as_ref()), self.at(path)).unwrap();
    }

    pub(crate) fn exec(&self, path: impl AsRef<[u8]>, exec: bool) {
        let at = self.at(path);
        if at.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
            fs::set_permissions(at, fs::Permissions::from_mode(if exec { 0o755 } else { 0o644 })).unwrap();
        }
    }

    pub(crate) fn remove(&self, path: impl AsRef<[u8]>) {
        let at = self.at(path);
        match at.symlink_metadata() {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&at).unwrap(),
            Ok(_) => fs::remove_file(&at).unwrap(),
            Err(_) => {}
        }
    }

    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
    }

    /// Keeps the tree under the next number.
    pub(crate) fn keep(&self) -> windlass_events::event::Snapshot {
        self.keeper.snapshot(run_id(), self.number(), "test").unwrap().snapshot
    }

    /// A number that was not used.
    pub(crate) fn number(&self) -> u32 {
        self.next.replace(self.next.get() + 2)
    }

    /// What a change of the tree by `agent` is.
    pub(crate) fn segment(&self, agent: impl FnOnce(&Self)) -> Segment {
        let before = self.keep();
        agent(self);
        Segment::of(&before, &self.keep()).unwrap()
    }

    /// Everything in the tree, ignored files too, but for `.git`.
    pub(crate) fn state(&self) -> State {
        let mut state = State::new();
        collect(&self.root, b"", &mut state);
        state
    }

    /// Everything of the user's git that must not change: index with its time, HEAD, branches, stash, reflogs, config.
    pub(crate) fn user_side(&self) -> Vec<(String, Vec<u8>, Option<std::time::SystemTime>)> {
        let git_dir = self.keeper.repo().git_dir();
        let mut side = Vec::new();
        for name in ["index", "HEAD", "config", "logs/HEAD", "info/exclude"] {
            let at = git_dir.join(name);
            let time = at.metadata().ok().and_then(|meta| meta.modified().ok());
            side.push((name.to_owned(), fs::read(&at).unwrap_or_default(), time));
        }
        for args in [
            &["status", "--porcelain=v2", "-z"][..],
            &["stash", "list"],
            &["for-each-ref", "refs/heads", "refs/stash"],
        ] {
            side.push((args.join(" "), run_git(&self.root, args), None));
        }
        let mut names: Vec<_> = fs::read_dir(git_dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        side.push((format!("{names:?}").replace("\"logs\", ", ""), Vec::new(), None));
        side
    }
}

fn collect(dir: &Path, prefix: &[u8], state: &mut State) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if prefix.is_empty() && name == ".git" {
            continue;
        }
        let path = [prefix, name.as_bytes()].concat();
        let meta = entry.path().symlink_metadata().unwrap();
        if meta.is_dir() {
            collect(&entry.path(), &[&path, b"/".as_slice()].concat(), state);
        } else if meta.is_symlink() {
            state.insert(path, Node::Link(fs::read_link(entry.path()).unwrap()));
        } else if meta.is_file() {
            let exec = meta.permissions().mode() & 0o100 != 0;
            state.insert(path, Node::File { exec, content: fs::read(entry.path()).unwrap() });
        }
    }
}
