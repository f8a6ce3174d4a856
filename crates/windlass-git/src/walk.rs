//! Reaching paths of a working tree without ever leaving it.
//!
//! Every folder on the way is opened on its own, from its parent's descriptor, and never through a symbolic link. So
//! whatever an agent puts in the tree, and however it changes while we look, a path of the tree cannot lead outside.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode as Permissions, OFlags, Stat};
use rustix::io::Errno;

use crate::oid::Mode;

/// Whether a path may be used inside a tree: relative, and without components that git or the system give a meaning.
pub(crate) fn is_plain(path: &[u8]) -> bool {
    !path.is_empty()
        && !path.contains(&0)
        && path.split(|b| *b == b'/').all(|part| {
            !part.is_empty() && part != b"." && part != b".." && !part.eq_ignore_ascii_case(b".git")
        })
}

/// Folder and name of a path.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

/// Folders above a path, nearest first, without the top.
pub(crate) fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = split(rest).0;
        (!rest.is_empty()).then_some(rest)
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What a path is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something that git can keep.
    Plain(Mode),
    /// A folder.
    Folder,
    /// A socket, pipe or device.
    Other,
}

/// Everything that changes when a file does, short of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) mtime: (i64, u32),
    pub(crate) ctime: (i64, u32),
}

impl Stamp {
    #[allow(clippy::unnecessary_cast, reason = "the fields have other types on other platforms")]
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            mode: stat.st_mode as u32,
            size: stat.st_size as u64,
            mtime: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            ctime: (stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match FileType::from_raw_mode(self.mode as _) {
            FileType::RegularFile if self.mode & 0o100 != 0 => Kind::Plain(Mode::Exec),
            FileType::RegularFile => Kind::Plain(Mode::File),
            FileType::Symlink => Kind::Plain(Mode::Link),
            FileType::Directory => Kind::Folder,
            _ => Kind::Other,
        }
    }
}

/// A working tree, opened.
#[derive(Debug)]
pub(crate) struct Walker {
    top: OwnedFd,
    /// The folder used last: neighbours in a sorted list share it.
    last: Option<(Vec<u8>, Option<OwnedFd>)>,
}

impl Walker {
    pub(crate) fn open(top: &Path) -> io::Result<Self> {
        let top = rustix::fs::open(top, FOLDER, Permissions::empty())?;
        Ok(Self { top, last: None })
    }

    /// Stamp of the top folder: what tells this tree from another at the same path.
    pub(crate) fn top_stamp(&self) -> io::Result<Stamp> {
        Ok(Stamp::of(&rustix::fs::fstat(&self.top)?))
    }

    /// A folder of the tree; `None` when it, or one above it, is missing or is no real folder.
    pub(crate) fn folder(&mut self, path: &[u8]) -> io::Result<Option<BorrowedFd<'_>>> {
        if path.is_empty() {
            return Ok(Some(self.top.as_fd()));
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let mut at: Option<OwnedFd> = None;
            let mut found = true;
            for part in path.split(|b| *b == b'/') {
                let from = at.as_ref().map_or_else(|| self.top.as_fd(), AsFd::as_fd);
                match rustix::fs::openat(from, part, FOLDER, Permissions::empty()) {
                    Ok(next) => at = Some(next),
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                        found = false;
                        break;
                    }
                    Err(e) => return Err(e.into()),
                }
            }
            self.last = Some((path.to_vec(), if found { at } else { None }));
        }
        Ok(self.last.as_ref().and_then(|(_, fd)| fd.as_ref()).map(AsFd::as_fd))
    }

    /// Forgets the open folder, after folders were made or removed.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    /// What is at a path, without following links; `None` when nothing is.
    pub(crate) fn stamp(&mut self, path: &[u8]) -> io::Result<Option<Stamp>> {
        let (folder, name) = split(path);
        let Some(folder) = self.folder(folder)? else { return Ok(None) };
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Stamp::of(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Opens a regular file for reading; `None` when it is missing or something else by now. Never waits for a pipe.
    pub(crate) fn file(&mut self, path: &[u8]) -> io::Result<Option<(std::fs::File, Stamp)>> {
        let (folder, name) = split(path);
        let Some(folder) = self.folder(folder)? else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(folder, name, flags, Permissions::empty()) {
            Ok(fd) => fd,
            // A link that took its place, a socket.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let stamp = Stamp::of(&rustix::fs::fstat(&fd)?);
        let plain = matches!(stamp.kind(), Kind::Plain(Mode::File | Mode::Exec));
        Ok(plain.then(|| (std::fs::File::from(fd), stamp)))
    }

    /// Names in a folder; none when it is missing or no folder.
    pub(crate) fn names(&mut self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let Some(folder) = self.folder(path)? else { return Ok(Vec::new()) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(folder, ".", flags, Permissions::empty())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }

    /// Target of a symbolic link; `None` when it is missing or something else by now.
    pub(crate) fn link(&mut self, path: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let (folder, name) = split(path);
        let Some(folder) = self.folder(folder)? else { return Ok(None) };
        match rustix::fs::readlinkat(folder, name, Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::INVAL) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths() {
        for good in ["a", "a/b", "-x", "a b\n", ".gitignore", "...", "git~1"] {
            assert!(is_plain(good.as_bytes()), "{good:?}");
        }
        for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", ".git/config", "x/.GIT", "a\0b"] {
            assert!(!is_plain(bad.as_bytes()), "{bad:?}");
        }
        assert_eq!(parents(b"a/b/c").collect::<Vec<_>>(), [b"a/b".as_slice(), b"a"]);
        assert_eq!(split(b"c"), (b"".as_slice(), b"c".as_slice()));
    }

    #[test]
    fn no_way_leads_through_a_link() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let tree = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), tree.path().join("d")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), tree.path().join("f")).unwrap();
        std::fs::write(tree.path().join("plain"), "p").unwrap();
        let mut walker = Walker::open(tree.path()).unwrap();
        assert!(walker.stamp(b"d/secret").unwrap().is_none());
        assert!(walker.file(b"d/secret").unwrap().is_none());
        assert!(walker.file(b"f").unwrap().is_none());
        assert!(walker.link(b"plain").unwrap().is_none());
        assert_eq!(walker.stamp(b"f").unwrap().unwrap().kind(), Kind::Plain(Mode::Link));
        assert!(walker.file(b"plain").unwrap().is_some());
    }
}
