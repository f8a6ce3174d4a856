//! Putting files back as they were, without losing what they are.
//!
//! A plan compares what is on disk with what the run left, byte for byte. What is neither that nor already as before was
//! changed by somebody else, and stops the whole undo unless it is forced. Before the first write the tree is kept, so that
//! an undo can be undone by the same means: its own pair of states is a [`Segment`] like any other.
//!
//! Interrupted, an undo is completed by doing it again: what is already as before is fine, and the state kept before
//! the first try is what the result names.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use windlass_events::{RunId, event::Snapshot};

use crate::diff::{Change, Segment};
use crate::error::{Error, Result};
use crate::exec::{self, shown};
use crate::keeper::{Keeper, Note};
use crate::objects::BlobReader;
use crate::oid::{Entry, Mode, Oid};
use crate::restore::Restorer;
use crate::trees::{self, Built, Entries};
use crate::walk::{Kind, Walker, is_plain, parents, split};

/// First line of the commit that keeps the tree before an undo; how an interrupted one is recognised.
const BEFORE: &str = "windlass: before undo";
const AFTER: &str = "windlass: after undo";

/// A file that the run changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoFile {
    /// Path in the tree.
    pub path: Vec<u8>,
    /// What it goes back to; `None` when it did not exist.
    pub before: Option<Entry>,
    /// What the run left; `None` when it deleted it.
    pub after: Option<Entry>,
    /// Whether it is already as before, so that nothing is to be done.
    pub done: bool,
}

/// Why a path is in the way of an undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictKind {
    /// It is neither as the run left it nor as it was before. Forced, it is kept in the state before the undo and then overwritten.
    Changed,
    /// Something that was not kept, such as an ignored file in a folder where a file must go, would be lost. A person has to move it.
    InTheWay(&'static str),
}

/// A path that stops an undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Path in the tree.
    pub path: Vec<u8>,
    /// Why.
    pub kind: ConflictKind,
}

/// Why a change is not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftWhy {
    /// It was ignored under the rules before the run, so whether it existed then is not known.
    WasIgnored,
    /// It is a submodule: its content was never kept.
    Submodule,
}

/// A change that an undo leaves as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Path in the tree.
    pub path: Vec<u8>,
    /// Why.
    pub why: LeftWhy,
}

/// What an undo would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoPlan {
    /// The pairs of states that are to be taken back.
    pub segments: Vec<Segment>,
    /// All files to put back, in order of path, those in conflict among them.
    pub files: Vec<UndoFile>,
    /// What stops it.
    pub conflicts: Vec<Conflict>,
    /// What it leaves as it is.
    pub left: Vec<Left>,
}

impl UndoPlan {
    /// Whether there is nothing to do.
    pub fn is_done(&self) -> bool {
        self.files.iter().all(|file| file.done)
    }
}

/// What an undo did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The tree before it; with `after` a segment whose undo is the redo.
    pub before: Snapshot,
    /// The tree after it. Changes that others made meanwhile in other files are in neither.
    pub after: Snapshot,
    /// Paths that were put back, by this call or by an earlier one that was interrupted.
    pub files: Vec<Vec<u8>>,
    /// What the state before does not hold.
    pub notes: Vec<Note>,
}

impl Keeper {
    /// Finds out what taking back the work of some tasks would do. Changes nothing.
    ///
    /// # Errors
    /// When a kept state is not there any more, a file cannot be read, or git fails.
    pub fn plan_undo(&self, segments: &[Segment]) -> Result<UndoPlan> {
        let mut plan =
            UndoPlan { segments: segments.to_vec(), files: vec![], conflicts: vec![], left: vec![] };
        let Some(first) = segments.first() else { return Ok(plan) };
        let net = self.net_changes(segments)?;
        let ignored = if net.iter().any(|change| split(&change.path).1 == b".gitignore") {
            let new: Vec<&[u8]> =
                net.iter().filter(|c| c.before.is_none()).map(|c| c.path.as_slice()).collect();
            self.ignored_under(&first.before, &new)?
        } else {
            BTreeSet::new()
        };
        let mut disk = Disk::open(self)?;
        for Change { path, before, after } in net {
            let submodule = |side: &Option<Entry>| side.as_ref().is_some_and(|e| e.mode == Mode::Submodule);
            if !is_plain(&path) {
                return Err(Error::Answer { command: "diff-tree", what: shown(&path) });
            } else if submodule(&before) || submodule(&after) {
                plan.left.push(Left { path, why: LeftWhy::Submodule });
                continue;
            } else if before.is_none() && ignored.contains(&path) {
                plan.left.push(Left { path, why: LeftWhy::WasIgnored });
                continue;
            }
            let done = disk.is(&path, before.as_ref())?;
            if !done && !disk.is(&path, after.as_ref())? {
                plan.conflicts.push(Conflict { path: path.clone(), kind: ConflictKind::Changed });
            }
            plan.files.push(UndoFile { path, before, after, done });
        }
        let removed: BTreeSet<&[u8]> =
            plan.files.iter().filter(|f| f.before.is_none()).map(|f| f.path.as_slice()).collect();
        for file in plan.files.iter().filter(|file| !file.done && file.before.is_some()) {
            if let Some(why) = disk.in_the_way(&file.path, &removed)? {
                plan.conflicts.push(Conflict { path: file.path.clone(), kind: ConflictKind::InTheWay(why) });
            }
        }
        Ok(plan)
    }

    /// Does an undo: keeps the tree under `refs/windlass/<run>/<n>`, puts the files back, and keeps the result under `n + 1`.
    ///
    /// The plan is made again from the tree as it is now. If anything is in the way nothing is done, unless `force` is given
    /// and nothing would be lost by it. Index, HEAD and everything else of the repository stay as they are.
    ///
    /// # Errors
    /// [`Error::Conflicts`], [`Error::InTheWay`]: nothing was done. An error while files are written leaves some of them put
    /// back; the same call completes the work.
    pub fn apply_undo(&self, plan: &UndoPlan, run: RunId, n: u32, force: bool) -> Result<Applied> {
        let plan = self.plan_undo(&plan.segments)?;
        for conflict in &plan.conflicts {
            match conflict.kind {
                ConflictKind::InTheWay(why) => {
                    return Err(Error::InTheWay { path: conflict.path.clone(), why });
                }
                ConflictKind::Changed if force => {}
                ConflictKind::Changed => return Err(Error::Conflicts { conflicts: plan.conflicts }),
            }
        }
        let head = self.repo.head_commit()?;
        let scan = self.scan()?;
        let built = Built { entries: &scan.table.entries, folders: &scan.table.folders };
        let tree_of = |entries: &Entries| -> Result<Oid> {
            let folders = trees::build(self.scratch.writing(&self.repo), entries, Some(built))?;
            trees::root(&folders)
        };
        // A file that is ignored by now is not in the scan, and must be kept all the same.
        let mut entries = scan.table.entries.clone();
        let unseen = plan.files.iter().map(|file| &file.path).filter(|path| !entries.contains_key(*path));
        let unseen = self.hash_now(unseen.cloned().collect())?;
        entries.extend(unseen);
        let mut files: BTreeSet<Vec<u8>> =
            plan.files.iter().filter(|file| !file.done).map(|file| file.path.clone()).collect();
        if let Some(interrupted) = self.interrupted(run, n)? {
            let now = tree_of(&entries)?;
            let undone: BTreeMap<Vec<u8>, Option<Entry>> =
                self.changes(&interrupted, &now)?.into_iter().map(|c| (c.path, c.before)).collect();
            let mut whole = entries.clone();
            for file in
                plan.files.iter().filter(|file| file.done && undone.get(&file.path) == Some(&file.after))
            {
                set(&mut whole, &file.path, file.after.as_ref());
                files.insert(file.path.clone());
            }
            if !trees::clashes(&whole) {
                entries = whole;
            }
        }
        let before = self.keep(run, n, BEFORE, &tree_of(&entries)?, head.as_ref())?;
        self.put_back(&plan)?;
        for file in &plan.files {
            set(&mut entries, &file.path, file.before.as_ref());
        }
        let after = self.keep(run, n.saturating_add(1), AFTER, &tree_of(&entries)?, head.as_ref())?;
        Ok(Applied { before, after, files: files.into_iter().collect(), notes: scan.notes })
    }

    /// Tree kept by an undo of the same number that was never recorded, because it was interrupted.
    fn interrupted(&self, run: RunId, n: u32) -> Result<Option<Oid>> {
        let Some(commit) = self.repo.resolve(&format!("refs/windlass/{run}/{n}"))? else { return Ok(None) };
        let mut cmd = self.scratch.reading(&self.repo);
        cmd.args(["cat-file", "commit", commit.as_str()]);
        let text = exec::checked(&mut cmd, None)?;
        let message = text.windows(2).position(|pair| pair == b"\n\n").and_then(|at| text.get(at + 2..));
        if !message.is_some_and(|message| message.starts_with(BEFORE.as_bytes())) {
            return Ok(None);
        }
        self.repo.resolve(&format!("{commit}^{{tree}}"))
    }

    /// Removes first, deepest first, so that a folder can make room for a file; then writes.
    fn put_back(&self, plan: &UndoPlan) -> Result<()> {
        let Some(first) = plan.segments.first() else { return Ok(()) };
        let mut listed = self.scratch.reading(&self.repo);
        listed.args(["ls-tree", "-d", "-r", "-z", "--name-only", first.before.as_str()]);
        let folders = exec::checked(&mut listed, None)?;
        let kept = folders.split(|b| *b == 0).filter(|f| !f.is_empty()).map(<[u8]>::to_vec).collect();
        let mut restorer = Restorer::open(self.repo.top(), self.repo.git_dir(), kept)?;
        for file in plan.files.iter().rev().filter(|file| file.before.is_none()) {
            // Also where the file is gone already: its emptied folders may not be.
            restorer.remove(&file.path)?;
        }
        let mut reader = BlobReader::start(self.scratch.reading(&self.repo))?;
        for file in plan.files.iter().filter(|file| !file.done) {
            let Some(entry) = &file.before else { continue };
            reader.read(&entry.oid, |_, content| match entry.mode {
                Mode::Link => {
                    let mut target = Vec::new();
                    content.read_to_end(&mut target).map_err(Error::io("read", shown(&file.path)))?;
                    restorer.put_link(&file.path, &target)
                }
                mode => restorer.put_file(&file.path, mode == Mode::Exec, content),
            })?;
        }
        Ok(())
    }
}

fn set(entries: &mut Entries, path: &[u8], entry: Option<&Entry>) {
    match entry {
        Some(entry) => drop(entries.insert(path.to_vec(), entry.clone())),
        None => drop(entries.remove(path)),
    }
}

/// The tree on disk, compared with blobs.
struct Disk {
    walker: Walker,
    reader: BlobReader,
}

impl Disk {
    fn open(keeper: &Keeper) -> Result<Self> {
        let top = keeper.repo.top();
        let walker = Walker::open(top).map_err(Error::io("open", top))?;
        Ok(Self { walker, reader: BlobReader::start(keeper.scratch.reading(&keeper.repo))? })
    }

    fn kind(&mut self, path: &[u8]) -> Result<Option<Kind>> {
        let stamp = self.walker.stamp(path).map_err(|e| unreadable(path, e))?;
        Ok(stamp.map(|stamp| stamp.kind()))
    }

    /// Whether a path is exactly what an entry says.
    fn is(&mut self, path: &[u8], entry: Option<&Entry>) -> Result<bool> {
        let kind = self.kind(path)?;
        let Some(entry) = entry else { return Ok(!matches!(kind, Some(Kind::Plain(_)))) };
        if kind != Some(Kind::Plain(entry.mode)) {
            return Ok(false);
        }
        if entry.mode == Mode::Link {
            let Some(target) = self.walker.link(path).map_err(|e| unreadable(path, e))? else {
                return Ok(false);
            };
            return self.reader.read(&entry.oid, |size, content| {
                Ok(size == target.len() as u64 && same(content, &mut target.as_slice(), path)?)
            });
        }
        let Some((mut file, stamp)) = self.walker.file(path).map_err(|e| unreadable(path, e))? else {
            return Ok(false);
        };
        self.reader
            .read(&entry.oid, |size, content| Ok(size == stamp.size && same(content, &mut file, path)?))
    }

    /// What stands where a file must go, and would be lost: something else than what the undo itself removes.
    fn in_the_way(&mut self, path: &[u8], removed: &BTreeSet<&[u8]>) -> Result<Option<&'static str>> {
        for parent in parents(path) {
            match self.kind(parent)? {
                Some(Kind::Folder) => break,
                None => {}
                Some(_) if removed.contains(parent) => {}
                Some(_) => return Ok(Some("a file or link is where its folder was; move it away")),
            }
        }
        match self.kind(path)? {
            Some(Kind::Folder) if self.holds_more(path, removed, 0)? => {
                Ok(Some("a folder is in its place and holds other files; move them away"))
            }
            Some(Kind::Other) => Ok(Some("a pipe, socket or device is in its place; remove it")),
            _ => Ok(None),
        }
    }

    fn holds_more(&mut self, folder: &[u8], removed: &BTreeSet<&[u8]>, depth: u32) -> Result<bool> {
        if depth > 256 {
            return Ok(true);
        }
        for name in self.walker.names(folder).map_err(|e| unreadable(folder, e))? {
            let child = [folder, b"/", &name].concat();
            let more = match self.kind(&child)? {
                None => false,
                Some(Kind::Folder) => self.holds_more(&child, removed, depth + 1)?,
                Some(_) => !removed.contains(child.as_slice()),
            };
            if more {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn unreadable(path: &[u8], e: std::io::Error) -> Error {
    match e.kind() {
        std::io::ErrorKind::PermissionDenied => Error::Unreadable { path: path.to_vec() },
        _ => Error::io("read", shown(path))(e),
    }
}

/// Whether two streams give the same bytes to their ends.
fn same(blob: &mut dyn Read, file: &mut dyn Read, path: &[u8]) -> Result<bool> {
    let (mut a, mut b) = (vec![0u8; 64 << 10], vec![0u8; 64 << 10]);
    loop {
        let n = blob.read(&mut a).map_err(|e| unreadable(path, e))?;
        if n == 0 {
            // Not longer either.
            return Ok(file.read(&mut b).map_err(|e| unreadable(path, e))? == 0);
        }
        let part = b.get_mut(..n).unwrap_or_default();
        match file.read_exact(part) {
            Ok(()) if a.get(..n) == Some(&*part) => {}
            Ok(()) => return Ok(false),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(e) => return Err(unreadable(path, e)),
        }
    }
}
