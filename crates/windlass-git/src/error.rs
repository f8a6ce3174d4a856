//! Everything that can go wrong, in words for the person who has to mend it.

use std::path::{Path, PathBuf};

use crate::exec::shown;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a git operation did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No `git` in any absolute folder of `PATH`.
    #[error("git was not found in PATH: install git {minimum} or later")]
    NotFound {
        /// Oldest version that will do.
        minimum: crate::Version,
    },
    /// The program is older than what is needed.
    #[error("{program} is git {found}, and {minimum} or later is needed: upgrade git, or put a newer one first in PATH", program = program.display())]
    TooOld {
        /// The program found.
        program: PathBuf,
        /// Its version.
        found: crate::Version,
        /// Oldest version that will do.
        minimum: crate::Version,
    },
    /// The program answered `git version` with something else than a version.
    #[error("{program} did not tell its version but {answer:?}: check that it is git", program = program.display())]
    NotGit {
        /// The program found.
        program: PathBuf,
        /// The beginning of its answer.
        answer: String,
    },
    /// Git refuses the repository because another user owns it.
    #[error("{dir} belongs to another user, so git refuses it: if you trust its content, run `git config --global --add safe.directory {dir}`", dir = dir.display())]
    Unsafe {
        /// Folder asked about, or the one git names.
        dir: PathBuf,
    },
    /// A bare repository has no working tree.
    #[error("{dir} is in a bare repository, which has no working tree: go to a checkout of it, or make one with `git worktree add`", dir = dir.display())]
    Bare {
        /// Folder asked about.
        dir: PathBuf,
    },
    /// Inside `.git`, not in the working tree.
    #[error("{dir} is inside a git folder, not in a working tree: go to the working tree", dir = dir.display())]
    InsideGitDir {
        /// Folder asked about.
        dir: PathBuf,
    },
    /// There is a `.git`, and git does not accept it.
    #[error("{at} is there, but git finds no repository in it: {stderr}", at = at.display())]
    Broken {
        /// The `.git` that was found.
        at: PathBuf,
        /// What git said.
        stderr: String,
    },
    /// Git ended with an error.
    #[error("`git {command}` failed ({status}): {stderr}")]
    Git {
        /// Subcommand with its arguments, shortened.
        command: String,
        /// Exit code or signal, in words.
        status: String,
        /// What git said, shortened.
        stderr: String,
    },
    /// Git did not come to an end and was stopped.
    #[error(
        "`git {command}` was stopped after {seconds} s without an end: look for a pipe named .gitignore or .gitattributes in the tree, or a file system that does not answer"
    )]
    Hung {
        /// Subcommand with its arguments, shortened.
        command: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Git said something that is not in its documented format.
    #[error("`git {command}` gave an answer that cannot be understood: {what}")]
    Answer {
        /// Subcommand.
        command: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A file or folder could not be used.
    #[error("cannot {doing} {path}: {source}", path = path.display())]
    Io {
        /// What was being done: `read`, `write`, …
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Something in the tree that may not be read: the state of the tree cannot be kept.
    #[error("{path} cannot be read, so the state of the tree cannot be kept: make it readable, or add it to .gitignore or .git/info/exclude", path = shown(path))]
    Unreadable {
        /// Path in the tree, or as git names it.
        path: Vec<u8>,
    },
    /// A file went on changing while it was read.
    #[error("{path} keeps changing while it is read: stop what writes it, or add it to .gitignore", path = shown(path))]
    Unsteady {
        /// Path in the tree.
        path: Vec<u8>,
    },
    /// More untracked content than may be copied into the repository's object store.
    #[error("{files} untracked files with {bytes} bytes would have to be kept, and the limit is {limit} bytes: add build results and dependencies to .gitignore (largest: {largest})", largest = shown(largest))]
    TooLarge {
        /// Number of untracked files.
        files: u64,
        /// Their size.
        bytes: u64,
        /// The limit.
        limit: u64,
        /// Path of the largest.
        largest: Vec<u8>,
    },
    /// Something that should be an object id is not.
    #[error("{0:?} is not a git object id")]
    BadOid(String),
    /// Files that an undo would overwrite were changed since. Nothing was done.
    #[error("{n} changed since, nothing was undone: {paths}", n = count(conflicts.len()), paths = listed(conflicts))]
    Conflicts {
        /// What is in the way.
        conflicts: Vec<crate::Conflict>,
    },
    /// Something that only a person can move is where a file must go back. Nothing was done.
    #[error("{path} cannot be put back, nothing was undone: {why}", path = shown(path))]
    InTheWay {
        /// The path.
        path: Vec<u8>,
        /// What is in the way.
        why: &'static str,
    },
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { doing, path, source }
    }
}

fn count(n: usize) -> String {
    if n == 1 { "1 file was".to_owned() } else { format!("{n} files were") }
}

fn listed(conflicts: &[crate::Conflict]) -> String {
    let mut text: Vec<String> = conflicts.iter().take(10).map(|c| shown(&c.path)).collect();
    if conflicts.len() > 10 {
        text.push(format!("and {} more", conflicts.len() - 10));
    }
    text.join(", ")
}
