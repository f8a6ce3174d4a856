//! A git folder of our own, in which everything that touches content is run.
//!
//! It has the user's object store and none of the user's configuration. So a clean filter, a text conversion, an
//! attribute or an end-of-line setting, whether the user's or planted by an agent, cannot change what is kept, cannot
//! change what a difference looks like, and cannot start a program. It holds our cached table of the tree too.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::repo::Repo;

const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// The folder, checked and ready.
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    dir: PathBuf,
    user_objects: PathBuf,
}

impl Scratch {
    /// Makes the folder where needed. What is there and not as it should be is written again.
    pub(crate) fn open(repo: &Repo, dir: &Path) -> Result<Self> {
        for part in ["", "objects", "refs", "info"] {
            let at = dir.join(part);
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&at).map_err(Error::io("make", &at))?;
        }
        let dir = dir.canonicalize().map_err(Error::io("find", dir))?;
        // Version 1 of the format is what makes git read `extensions`.
        let config = format!(
            "[core]\n\trepositoryformatversion = 1\n\tbare = true\n\tprotectNTFS = false\n\tprotectHFS = false\n\
             [extensions]\n\tobjectformat = {}\n",
            repo.format()
        );
        write_if_other(&dir, "config", config.as_bytes())?;
        write_if_other(&dir, "HEAD", b"ref: refs/heads/none\n")?;
        Ok(Self { dir, user_objects: repo.common_dir().join("objects") })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A call that reads, and may write objects nobody else will ever need: they stay in the scratch folder.
    pub(crate) fn reading(&self, repo: &Repo) -> Command {
        let mut cmd = self.hermetic(repo);
        cmd.env("GIT_OBJECT_DIRECTORY", self.dir.join("objects"));
        cmd.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(self.user_objects.as_os_str()));
        cmd
    }

    /// A call that writes objects into the user's store, to be named by a reference there.
    pub(crate) fn writing(&self, repo: &Repo) -> Command {
        let mut cmd = self.hermetic(repo);
        cmd.env("GIT_OBJECT_DIRECTORY", &self.user_objects);
        cmd
    }

    fn hermetic(&self, repo: &Repo) -> Command {
        let mut cmd = repo.git().command(&self.dir);
        for (name, value) in
            [("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_ATTR_NOSYSTEM", "1")]
        {
            cmd.env(name, value);
        }
        cmd.env_remove("GIT_CONFIG_SYSTEM").env("GIT_DIR", &self.dir);
        cmd.args(["-c", "core.attributesFile=/dev/null", "-c", "core.excludesFile=/dev/null"]);
        cmd
    }

    /// Removes files whose names begin so.
    pub(crate) fn tidy(&self, prefix: &str) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if entry.file_name().as_bytes().starts_with(prefix.as_bytes()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// A path for a list that is split at `:`, where a path that needs it may be quoted as C does.
fn quoted(path: &OsStr) -> OsString {
    let bytes = path.as_bytes();
    if !bytes.contains(&b':') && bytes.first() != Some(&b'"') {
        return path.to_owned();
    }
    let mut out = vec![b'"'];
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            0x20..=0x7e => out.push(*byte),
            other => out.extend(format!("\\{other:03o}").bytes()),
        }
    }
    out.push(b'"');
    OsString::from_vec(out)
}

fn write_if_other(dir: &Path, name: &str, content: &[u8]) -> Result<()> {
    let at = dir.join(name);
    if fs::read(&at).is_ok_and(|found| found == content) {
        return Ok(());
    }
    write_atomically(&at, content)
}

/// Opens a regular file of the user's git folder, or `None` when there is none. A pipe in its place is an error at once,
/// not a wait without end.
pub(crate) fn open_plain(at: &Path) -> Result<Option<fs::File>> {
    let file = fs::File::options().read(true).custom_flags(NONBLOCK).open(at);
    let file = match file {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", at)(e)),
    };
    let plain = file.metadata().map_err(Error::io("read", at))?.is_file();
    let odd = || Error::io("read", at)(std::io::Error::other("it is not a regular file"));
    if plain { Ok(Some(file)) } else { Err(odd()) }
}

/// Writes a file whole or not at all: a reader sees the old or the new content.
pub(crate) fn write_atomically(at: &Path, content: &[u8]) -> Result<()> {
    let dir = at.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(Error::io("write in", dir))?;
    file.write_all(content).map_err(Error::io("write", at))?;
    file.persist(at).map_err(|e| Error::io("write", at)(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_lists() {
        assert_eq!(quoted(OsStr::new("/a b/c")), "/a b/c");
        assert_eq!(quoted(OsStr::new("/a:b\"\\\n")), "\"/a:b\\\"\\\\\\012\"");
    }
}
