//! Keeping the state of a working tree, byte for byte, beside whatever the user does with git.
//!
//! What is kept is what is on disk: the raw bytes of every file that is tracked, or untracked and not ignored. Neither
//! end-of-line conversion nor filters take part, so that putting it back gives the same bytes. A tracked file that is not
//! on disk (deleted, or left out by a sparse checkout) is not in the kept tree.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use windlass_events::{RunId, event::Snapshot};

use crate::error::{Error, Result};
use crate::exec;
use crate::list::{Listing, list};
use crate::objects::{Wanted, write_blobs};
use crate::oid::{Entry, Mode, Oid};
use crate::repo::Repo;
use crate::scratch::Scratch;
use crate::table::Table;
use crate::trees::{self, Built, Entries};
use crate::walk::{Kind, Stamp, Walker, is_plain};

/// A stamp is trusted only when its times are older than this at the time of the look: a file changed again within the
/// clock's grain has the same stamp.
const GRAIN_NANOS: u128 = 2_000_000_000;

/// What may be copied into the repository's object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of untracked files read for one state. Above it nothing is kept: [`Error::TooLarge`].
    pub untracked_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { untracked_bytes: 2 << 30 }
    }
}

/// Something in the tree that a kept state does not hold, or that a person should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A repository inside the tree that is no submodule: its content is not kept and cannot be undone.
    NestedRepository(Vec<u8>),
    /// A name that git cannot hold, such as `.GIT`: not kept.
    UnusableName(Vec<u8>),
    /// A tracked path that is a pipe, socket or device now: kept as missing.
    NotAFile(Vec<u8>),
    /// More than 64 MB of untracked files had to be read: build results that `.gitignore` should name?
    MuchUntracked {
        /// Number of files.
        files: u64,
        /// Their size in bytes.
        bytes: u64,
        /// The largest of them.
        largest: Vec<u8>,
    },
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |path: &[u8]| exec::shown(path);
        match self {
            Self::NestedRepository(path) => {
                write!(
                    f,
                    "{} is a repository of its own: changes in it are not kept and cannot be undone",
                    shown(path)
                )
            }
            Self::UnusableName(path) => {
                write!(f, "{} has a name that git cannot hold: it is not kept", shown(path))
            }
            Self::NotAFile(path) => {
                write!(f, "{} is no regular file any more: it is kept as missing", shown(path))
            }
            Self::MuchUntracked { files, bytes, largest } => write!(
                f,
                "{files} untracked files with {bytes} bytes were kept (largest: {}): if these are build results, name them in .gitignore",
                shown(largest)
            ),
        }
    }
}

/// A state that was kept under a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Number, commit, tree, and what HEAD was.
    pub snapshot: Snapshot,
    /// What it does not hold.
    pub notes: Vec<Note>,
}

/// Keeps, compares and puts back states of one working tree.
///
/// Calls that read the tree may run at the same time as each other; what writes the tree ([`Keeper::apply_undo`]) is to
/// be called by whoever holds the tree's turn.
#[derive(Debug)]
pub struct Keeper {
    pub(crate) repo: Repo,
    pub(crate) scratch: Scratch,
    limits: Limits,
}

/// The tree as it is now.
pub(crate) struct Scan {
    pub(crate) table: Table,
    pub(crate) root: Oid,
    pub(crate) notes: Vec<Note>,
}

impl Keeper {
    /// Opens the keeper of a working tree. `cache` is a folder that belongs to this working tree alone and is made when
    /// needed; losing it costs time and nothing else.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be made or written.
    pub fn open(repo: Repo, cache: &Path, limits: Limits) -> Result<Self> {
        let scratch = Scratch::open(&repo, cache)?;
        Ok(Self { repo, scratch, limits })
    }

    /// The repository.
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// Identity of the tree's content: the id of the tree that a snapshot would hold. Makes no commit and no reference.
    ///
    /// # Errors
    /// As [`Keeper::snapshot`].
    pub fn tree_identity(&self) -> Result<Oid> {
        Ok(self.scan()?.root)
    }

    /// Keeps the tree under `refs/windlass/<run>/<n>`. Index, HEAD, stash, reflogs, hooks and signing are not touched.
    ///
    /// When the reference exists with the same tree and HEAD, that is the result. With another, it is replaced, and what
    /// it held stays reachable as a parent of the new commit: the caller's record decides which numbers mean something.
    ///
    /// # Errors
    /// When part of the tree cannot be read, is too large, or keeps changing, and when git fails. Nothing is kept then.
    pub fn snapshot(&self, run: RunId, n: u32, message: &str) -> Result<Kept> {
        let (head, scan) = std::thread::scope(|scope| {
            let head = scope.spawn(|| self.repo.head_commit());
            let scan = self.scan();
            (head.join(), scan)
        });
        let head = match head {
            Ok(head) => head?,
            Err(_) => self.repo.head_commit()?,
        };
        let mut scan = scan?;
        let kept = match self.keep(run, n, message, &scan.root, head.as_ref()) {
            // The tree may be one that was pruned since: make it again.
            Err(Error::Git { .. }) => {
                scan = self.scan_from(Table::empty(scan.table.top))?;
                self.keep(run, n, message, &scan.root, head.as_ref())?
            }
            kept => kept?,
        };
        Ok(Kept { snapshot: kept, notes: scan.notes })
    }

    /// Removes all references of a run, and returns how many there were. The objects go when git next cleans up.
    ///
    /// # Errors
    /// When git fails.
    pub fn delete_refs(&self, run: RunId) -> Result<usize> {
        delete_refs(&self.repo, run)
    }

    /// Makes the commit and the reference for a tree.
    pub(crate) fn keep(
        &self,
        run: RunId,
        n: u32,
        message: &str,
        tree: &Oid,
        head: Option<&Oid>,
    ) -> Result<Snapshot> {
        let name = reference(run, n);
        let done = |commit: &Oid| Snapshot {
            n,
            commit: commit.to_string(),
            tree: tree.to_string(),
            head: head.map(Oid::to_string),
        };
        let commit = self.commit(tree, head, None, message)?;
        let failed = match self.point(&name, &commit, None) {
            Ok(()) => return Ok(done(&commit)),
            Err(e) => e,
        };
        let Some(old) = self.repo.resolve(&name)? else { return Err(failed) };
        let same_tree = self.repo.resolve(&format!("{old}^{{tree}}"))?.as_ref() == Some(tree);
        if same_tree && self.repo.resolve(&format!("{old}^1"))?.as_ref() == head {
            return Ok(done(&old));
        }
        let commit = self.commit(tree, head, Some(&old), message)?;
        self.point(&name, &commit, Some(&old))?;
        Ok(done(&commit))
    }

    fn commit(&self, tree: &Oid, head: Option<&Oid>, old: Option<&Oid>, message: &str) -> Result<Oid> {
        let mut cmd = self.scratch.writing(&self.repo);
        for who in ["AUTHOR", "COMMITTER"] {
            cmd.env(format!("GIT_{who}_NAME"), "windlass")
                .env(format!("GIT_{who}_EMAIL"), "windlass@localhost");
        }
        cmd.args(["commit-tree", "--no-gpg-sign"]);
        for parent in head.into_iter().chain(old) {
            cmd.args(["-p", parent.as_str()]);
        }
        cmd.arg(tree.as_str());
        // A commit message cannot hold a zero byte.
        let message = message.replace('\0', "\u{fffd}");
        Oid::parse_bytes(&exec::checked(&mut cmd, Some(message.as_bytes()))?)
    }

    /// Sets a reference that must have the old value, or not exist.
    fn point(&self, name: &str, new: &Oid, old: Option<&Oid>) -> Result<()> {
        let mut cmd = self.repo.command();
        let zero = "0".repeat(new.as_str().len());
        cmd.args(["update-ref", "--no-deref", name, new.as_str(), old.map_or(zero.as_str(), Oid::as_str)]);
        exec::checked(&mut cmd, None).map(drop)
    }

    fn table_path(&self) -> PathBuf {
        self.scratch.dir().join("tree.table")
    }

    /// Looks at the tree, reading what changed since the last look.
    pub(crate) fn scan(&self) -> Result<Scan> {
        let top = Walker::open(self.repo.top()).and_then(|walker| walker.top_stamp());
        let top = top.map_err(Error::io("open", self.repo.top()))?;
        let top = (top.dev, top.ino);
        let table = Table::load(&self.table_path(), top);
        let known = !table.entries.is_empty();
        match self.scan_from(table) {
            // Objects that the table names may have been pruned, or the table is of another object store.
            Err(Error::Git { .. }) if known => {
                // What a fast-import leaves when it fails.
                self.scratch.tidy("fast_import_crash_");
                self.scan_from(Table::empty(top))
            }
            done => done,
        }
    }

    fn scan_from(&self, old: Table) -> Result<Scan> {
        for _ in 0..3 {
            let listing = list(&self.repo)?;
            if let Some(scan) = self.look(&old, listing)? {
                return Ok(scan);
            }
        }
        Err(Error::Unsteady { path: b".".to_vec() })
    }

    /// One look; `None` when a file became a folder, or the other way round, in the middle of it.
    fn look(&self, old: &Table, listing: Listing) -> Result<Option<Scan>> {
        let mut walker = Walker::open(self.repo.top()).map_err(Error::io("open", self.repo.top()))?;
        let started = SystemTime::now();
        let mut seen = Seen::default();
        for file in listing.files {
            if !is_plain(&file.path) {
                seen.notes.push(Note::UnusableName(file.path));
                continue;
            }
            let stamp = stamp_of(&mut walker, &file.path)?;
            match stamp.as_ref().map(Stamp::kind) {
                Some(Kind::Plain(mode)) => seen.file(old, file.path, mode, stamp, file.tracked),
                Some(Kind::Other) if file.tracked => seen.notes.push(Note::NotAFile(file.path)),
                None | Some(Kind::Folder | Kind::Other) => {}
            }
        }
        for (path, entry) in listing.submodules {
            let stamp = stamp_of(&mut walker, &path)?;
            match stamp.as_ref().map(Stamp::kind) {
                Some(Kind::Folder) => drop(seen.table.entries.insert(path, entry)),
                Some(Kind::Plain(mode)) => seen.file(old, path, mode, stamp, true),
                Some(Kind::Other) => seen.notes.push(Note::NotAFile(path)),
                None => {}
            }
        }
        seen.notes.extend(listing.nested.into_iter().map(Note::NestedRepository));
        if seen.untracked_bytes > self.limits.untracked_bytes {
            return Err(Error::TooLarge {
                files: seen.untracked_files,
                bytes: seen.untracked_bytes,
                limit: self.limits.untracked_bytes,
                largest: seen.largest.1,
            });
        }
        if seen.untracked_bytes > 64 << 20 {
            seen.notes.push(Note::MuchUntracked {
                files: seen.untracked_files,
                bytes: seen.untracked_bytes,
                largest: seen.largest.1,
            });
        }
        let Seen { mut table, wanted, notes, .. } = seen;
        if !wanted.is_empty() {
            let written = write_blobs(self.scratch.writing(&self.repo), &mut walker, &wanted)?;
            for (want, written) in wanted.into_iter().zip(written) {
                if let Some((mode, oid, stamp)) = written {
                    if let Some(stamp) = stamp.filter(|stamp| is_old(stamp, started)) {
                        table.stamps.insert(want.path.clone(), stamp);
                    }
                    table.entries.insert(want.path, Entry { mode, oid });
                }
            }
        }
        table.top = old.top;
        if table.entries == old.entries && !old.folders.is_empty() {
            table.folders = old.folders.clone();
        } else {
            if trees::clashes(&table.entries) {
                return Ok(None);
            }
            let before =
                (!old.folders.is_empty()).then_some(Built { entries: &old.entries, folders: &old.folders });
            table.folders = trees::build(self.scratch.writing(&self.repo), &table.entries, before)?;
        }
        if table != *old {
            table.save(&self.table_path())?;
        }
        let root = trees::root(&table.folders)?;
        Ok(Some(Scan { table, root, notes }))
    }

    /// Blobs of paths as they are on disk now; no entry for what is no file or link.
    pub(crate) fn hash_now(&self, paths: Vec<Vec<u8>>) -> Result<Entries> {
        let mut walker = Walker::open(self.repo.top()).map_err(Error::io("open", self.repo.top()))?;
        let mut wanted = Vec::new();
        for path in paths {
            if let Some(Kind::Plain(mode)) = stamp_of(&mut walker, &path)?.as_ref().map(Stamp::kind) {
                wanted.push(Wanted { path, link: mode == Mode::Link });
            }
        }
        if wanted.is_empty() {
            return Ok(Entries::new());
        }
        let written = write_blobs(self.scratch.writing(&self.repo), &mut walker, &wanted)?;
        let pairs = wanted.into_iter().zip(written);
        Ok(pairs
            .filter_map(|(want, sent)| sent.map(|(mode, oid, _)| (want.path, Entry { mode, oid })))
            .collect())
    }
}

/// What a look has found so far.
#[derive(Default)]
struct Seen {
    table: Table,
    wanted: Vec<Wanted>,
    notes: Vec<Note>,
    untracked_files: u64,
    untracked_bytes: u64,
    largest: (u64, Vec<u8>),
}

impl Seen {
    /// A file or link: as the table has it where the stamp is the same, to be read where not.
    fn file(&mut self, old: &Table, path: Vec<u8>, mode: Mode, stamp: Option<Stamp>, tracked: bool) {
        if let (Some(stamp), Some(entry)) = (stamp, old.entries.get(&path))
            && old.stamps.get(&path) == Some(&stamp)
            && entry.mode == mode
        {
            self.table.stamps.insert(path.clone(), stamp);
            self.table.entries.insert(path, entry.clone());
            return;
        }
        if !tracked {
            let size = stamp.map_or(0, |stamp| stamp.size);
            self.untracked_files += 1;
            self.untracked_bytes = self.untracked_bytes.saturating_add(size);
            if size >= self.largest.0 {
                self.largest = (size, path.clone());
            }
        }
        self.wanted.push(Wanted { path, link: mode == Mode::Link });
    }
}

/// Stamp of a path, with a folder that may not be entered as an error: what is behind it is not "missing".
fn stamp_of(walker: &mut Walker, path: &[u8]) -> Result<Option<Stamp>> {
    walker.stamp(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => Error::Unreadable { path: path.to_vec() },
        _ => Error::io("look at", exec::shown(path))(e),
    })
}

fn is_old(stamp: &Stamp, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    [stamp.mtime, stamp.ctime].iter().all(|(seconds, nanos)| {
        let at = u128::try_from(*seconds).unwrap_or(0) * 1_000_000_000 + u128::from(*nanos);
        at + GRAIN_NANOS < now
    })
}

/// Name of a run's reference.
fn reference(run: RunId, n: u32) -> String {
    format!("refs/windlass/{run}/{n}")
}

/// Removes all references of a run, and returns how many there were; for when the working tree is gone.
///
/// # Errors
/// When git fails.
pub fn delete_refs(repo: &Repo, run: RunId) -> Result<usize> {
    let mut listed = repo.command();
    listed.args(["for-each-ref", "--format=%(refname)", &format!("refs/windlass/{run}")]);
    let names = exec::checked(&mut listed, None)?;
    let names: Vec<&[u8]> = names.split(|b| *b == b'\n').filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Ok(0);
    }
    let mut orders = Vec::new();
    for name in &names {
        // No old value: whatever it is, it goes.
        orders.extend([b"delete ", *name, b"\0\0"].concat());
    }
    let mut cmd = repo.command();
    cmd.args(["update-ref", "--no-deref", "-z", "--stdin"]);
    exec::checked(&mut cmd, Some(&orders))?;
    Ok(names.len())
}
