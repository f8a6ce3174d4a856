//! Writing and removing single files of a working tree: whole or not at all, and never outside it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Mode as Permissions, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::exec::shown;
use crate::walk::{Kind, Walker, parents, split};

static SERIAL: AtomicU64 = AtomicU64::new(0);
const PREFIX: &str = "windlass-restore.";

/// A working tree that may be written.
pub(crate) struct Restorer {
    pub(crate) walker: Walker,
    /// Where a file is written before it takes its place: the git folder, which no `git status` shows.
    side: PathBuf,
    /// Folders that stay even when they become empty.
    kept: BTreeSet<Vec<u8>>,
}

impl Restorer {
    pub(crate) fn open(top: &Path, side: &Path, kept: BTreeSet<Vec<u8>>) -> Result<Self> {
        // What a restorer that was killed left. Only the holder of the tree's turn restores, so none is at work.
        for entry in std::fs::read_dir(side).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let walker = Walker::open(top).map_err(Error::io("open", top))?;
        Ok(Self { walker, side: side.to_path_buf(), kept })
    }

    /// Removes a file or link, and the folders it leaves empty. What is no file or link is left alone.
    pub(crate) fn remove(&mut self, path: &[u8]) -> Result<()> {
        let fail = |e: std::io::Error| Error::io("remove", shown(path))(e);
        if let Some(Kind::Plain(_)) = self.walker.stamp(path).map_err(fail)?.map(|stamp| stamp.kind()) {
            let (folder, name) = split(path);
            if let Some(folder) = self.walker.folder(folder).map_err(fail)? {
                match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(e) => return Err(fail(e.into())),
                }
            }
        }
        for parent in parents(path) {
            if self.kept.contains(parent) {
                break;
            }
            let (folder, name) = split(parent);
            let Some(folder) = self.walker.folder(folder).map_err(fail)? else { continue };
            match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => self.walker.forget(),
                // Not empty, not a folder, or not ours to remove: it stays, and so do those above it.
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Writes a file. Permissions are those of the file it replaces, or the usual ones, but for execution.
    pub(crate) fn put_file(&mut self, path: &[u8], exec: bool, content: &mut dyn Read) -> Result<()> {
        let fail = |e: std::io::Error| Error::io("write", shown(path))(e);
        self.make_room(path)?;
        let replaced = match self.walker.stamp(path).map_err(fail)? {
            Some(stamp) if matches!(stamp.kind(), Kind::Plain(crate::Mode::File | crate::Mode::Exec)) => {
                Some(stamp.mode & 0o777)
            }
            _ => None,
        };
        let temp = self.side_name();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&temp, flags, Permissions::from_raw_mode(0o666));
        let mut file = File::from(fd.map_err(|e| Error::io("write", &temp)(e.into()))?);
        let written =
            std::io::copy(content, &mut file).and_then(|_| finish(&mut file, replaced, exec)).and_then(
                |mode| self.take_place(&temp, path, |folder, name| copy_over(&mut file, folder, name, mode)),
            );
        if written.is_err() {
            let _ = std::fs::remove_file(&temp);
        }
        written.map_err(fail)
    }

    /// Makes a symbolic link.
    pub(crate) fn put_link(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        let fail = |e: std::io::Error| Error::io("write", shown(path))(e);
        self.make_room(path)?;
        let temp = self.side_name();
        rustix::fs::symlinkat(target, CWD, &temp).map_err(|e| Error::io("write", &temp)(e.into()))?;
        let written =
            self.take_place(&temp, path, |folder, name| Ok(rustix::fs::symlinkat(target, folder, name)?));
        if written.is_err() {
            let _ = std::fs::remove_file(&temp);
        }
        written.map_err(fail)
    }

    fn side_name(&self) -> PathBuf {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        self.side.join(format!("{PREFIX}{}.{serial}.tmp", std::process::id()))
    }

    /// Moves what was written beside the tree to its path. Where the tree is on another file system, `again` makes it a
    /// second time in the folder itself, under a name that a repeated try finds and replaces.
    fn take_place(
        &mut self,
        temp: &Path,
        path: &[u8],
        again: impl FnOnce(std::os::fd::BorrowedFd<'_>, &str) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let (folder, name) = split(path);
        let Some(folder) = self.walker.folder(folder)? else {
            return Err(std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "its folder was removed meanwhile",
            ));
        };
        match rustix::fs::renameat(CWD, temp, folder, name) {
            Err(Errno::XDEV) => {}
            done => return Ok(done?),
        }
        let near = format!(".windlass-{}.tmp", blake3::hash(path).to_hex().get(..16).unwrap_or_default());
        match rustix::fs::unlinkat(folder, near.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(e.into()),
        }
        let moved = again(folder, &near)
            .and_then(|()| Ok(rustix::fs::renameat(folder, near.as_str(), folder, name)?));
        if moved.is_err() {
            let _ = rustix::fs::unlinkat(folder, near.as_str(), AtFlags::empty());
        }
        let _ = std::fs::remove_file(temp);
        moved
    }

    /// Makes the folders above a path, and removes empty folders that stand at the path itself.
    fn make_room(&mut self, path: &[u8]) -> Result<()> {
        let fail = |e: std::io::Error| Error::io("make the folder of", shown(path))(e);
        let above: Vec<&[u8]> = parents(path).collect();
        for folder in above.iter().rev() {
            let (parent, name) = split(folder);
            let Some(parent) = self.walker.folder(parent).map_err(fail)? else { continue };
            match rustix::fs::mkdirat(parent, name, Permissions::from_raw_mode(0o777)) {
                Ok(()) => self.walker.forget(),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(fail(e.into())),
            }
        }
        if self.walker.stamp(path).map_err(fail)?.map(|stamp| stamp.kind()) == Some(Kind::Folder) {
            self.remove_empty(path, 0).map_err(|e| Error::io("remove the folder at", shown(path))(e))?;
        }
        Ok(())
    }

    /// Removes a folder that holds nothing but folders. Stops with an error at anything else.
    fn remove_empty(&mut self, path: &[u8], depth: u32) -> std::io::Result<()> {
        if depth > 256 {
            return Err(std::io::Error::other("the folders in it are too deep"));
        }
        for name in self.walker.names(path)? {
            let child = [path, b"/", &name].concat();
            if self.walker.stamp(&child)?.map(|stamp| stamp.kind()) == Some(Kind::Folder) {
                self.remove_empty(&child, depth + 1)?;
            }
        }
        self.walker.forget();
        let (folder, name) = split(path);
        if let Some(folder) = self.walker.folder(folder)? {
            rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
        }
        Ok(())
    }
}

/// Sets permissions; returns them.
fn finish(file: &mut File, replaced: Option<u32>, exec: bool) -> std::io::Result<u32> {
    let usual = file.metadata()?.permissions().mode() & 0o777;
    let base = replaced.unwrap_or(usual);
    // Execution goes with reading, as git and `chmod +x` have it; the owner's bit is what is kept.
    let mode = if exec { base | ((base & 0o444) >> 2) | 0o100 } else { base & !0o111 };
    if mode != usual {
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    Ok(mode)
}

fn copy_over(
    from: &mut File,
    folder: std::os::fd::BorrowedFd<'_>,
    name: &str,
    mode: u32,
) -> std::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut to = File::from(rustix::fs::openat(folder, name, flags, Permissions::from_raw_mode(0o600))?);
    from.rewind()?;
    std::io::copy(from, &mut to)?;
    to.set_permissions(std::fs::Permissions::from_mode(mode))?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside the tree on the same file system, and on another one where the machine has one.
    fn sides(tree: &Path) -> Vec<tempfile::TempDir> {
        use std::os::unix::fs::MetadataExt;
        let dev = |at: &Path| at.metadata().map(|meta| meta.dev()).ok();
        let mut sides = vec![tempfile::tempdir().unwrap()];
        let memory = Path::new("/dev/shm");
        if dev(memory).is_some_and(|other| Some(other) != dev(tree)) {
            sides.extend(tempfile::tempdir_in(memory).ok());
        }
        sides
    }

    #[test]
    fn files_and_links_take_their_place_and_leave_nothing_beside() {
        let tree = tempfile::tempdir().unwrap();
        for side in sides(tree.path()) {
            std::fs::write(side.path().join("windlass-restore.1.2.tmp"), "left by a kill").unwrap();
            let mut restorer = Restorer::open(tree.path(), side.path(), BTreeSet::new()).unwrap();
            restorer.put_file(b"d/e/file", true, &mut b"one".as_slice()).unwrap();
            restorer.put_link(b"d/link", b"to\nnowhere").unwrap();
            restorer.put_file(b"d/e/file", false, &mut b"two".as_slice()).unwrap();
            let file = tree.path().join("d/e/file");
            assert_eq!(std::fs::read(&file).unwrap(), b"two");
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o111, 0);
            assert_eq!(std::fs::read_link(tree.path().join("d/link")).unwrap(), Path::new("to\nnowhere"));
            assert_eq!(std::fs::read_dir(tree.path().join("d/e")).unwrap().count(), 1);
            // A link gives way to a folder only when it was removed before.
            assert!(restorer.put_file(b"d/link/x", false, &mut b"".as_slice()).is_err());
            restorer.remove(b"d/link").unwrap();
            restorer.put_file(b"d/link/x", false, &mut b"".as_slice()).unwrap();
            restorer.remove(b"d/link/x").unwrap();
            restorer.remove(b"d/e/file").unwrap();
            restorer.remove(b"d/e/file").unwrap();
            assert_eq!(std::fs::read_dir(tree.path()).unwrap().count(), 0);
            assert_eq!(std::fs::read_dir(side.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_folder_that_holds_a_file_is_never_removed() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("a/empty")).unwrap();
        std::fs::write(tree.path().join("a/file"), "precious").unwrap();
        let side = tempfile::tempdir().unwrap();
        let mut restorer = Restorer::open(tree.path(), side.path(), BTreeSet::new()).unwrap();
        restorer.remove(b"a").unwrap();
        assert!(restorer.put_file(b"a", false, &mut b"x".as_slice()).is_err());
        assert_eq!(std::fs::read(tree.path().join("a/file")).unwrap(), b"precious");
        assert_eq!(std::fs::read_dir(side.path()).unwrap().count(), 0);
    }
}
