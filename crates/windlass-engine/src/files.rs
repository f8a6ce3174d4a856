//! Plain files that appear whole.
//!
//! They are copies: what they hold is in the journal, in a spool or in git as well. So they are not synced; after a crash they are
//! compared with what the journal says of them and written again (see [`crate::copies`]).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The end of the name of a file that is being written.
const UNFINISHED: &str = ".tmp";

/// Writes a file so that under its name stands all of it or what stood there before. Readable by the user alone. The folder must exist.
///
/// # Errors
/// When it cannot be written; nothing is left of it then.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Two writers of one name, in one process or in two, never share a file.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(format!(".{}.{count}{UNFINISHED}", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // There may be none.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Whether a file holds exactly these bytes.
pub(crate) fn holds(path: &Path, bytes: &[u8]) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.len() == bytes.len() as u64)
        && std::fs::read(path).is_ok_and(|there| there == bytes)
}

/// Files that were found to hold what they should, so that each is read once.
#[derive(Debug, Default)]
pub(crate) struct Compared(Mutex<BTreeSet<PathBuf>>);

impl Compared {
    /// Whether a file holds exactly these bytes. Of one that was compared before only the length is looked at: these are files that are
    /// named by their content.
    pub(crate) fn holds(&self, path: &Path, bytes: &[u8]) -> bool {
        // A poisoned lock only means that another thread failed while it held it; the set is whole.
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::fs::metadata(path).is_ok_and(|m| m.len() == bytes.len() as u64) {
            return false;
        }
        if known().contains(path) {
            return true;
        }
        let same = std::fs::read(path).is_ok_and(|there| there == bytes);
        if same {
            known().insert(path.to_owned());
        }
        same
    }
}

/// Removes what killed writers left in a folder. What a living process writes stays.
pub(crate) fn remove_unfinished(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let writer = name
            .to_str()
            .and_then(|n| n.strip_prefix('.')?.strip_suffix(UNFINISHED)?.rsplit_once('.')?.0.rsplit_once('.'))
            .and_then(|(_, pid)| rustix::process::Pid::from_raw(pid.parse().ok()?));
        let is_gone =
            |pid| matches!(rustix::process::test_kill_process(pid), Err(e) if e == rustix::io::Errno::SRCH);
        if writer.is_some_and(is_gone) {
            // Another may have done it.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn names(folder: &Path) -> Vec<String> {
        let mut all: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.md");
        write(&path, b"one").unwrap();
        // Whoever has it open goes on with what it was.
        let mut before = std::fs::File::open(&path).unwrap();
        write(&path, b"two").unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut before, &mut text).unwrap();
        assert_eq!((text.as_str(), std::fs::read(&path).unwrap().as_slice()), ("one", &b"two"[..]));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["a.md"]);
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_is_found_out_before_it_is_relied_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.md");
        let compared = Compared::default();
        assert!(!compared.holds(&path, b"one"));
        // As a power cut leaves it.
        std::fs::write(&path, b"\0\0\0").unwrap();
        assert!(!compared.holds(&path, b"one"));
        write(&path, b"one").unwrap();
        assert!(compared.holds(&path, b"one"));
        std::fs::remove_file(&path).unwrap();
        assert!(!compared.holds(&path, b"one"), "it is written again");
    }

    #[test]
    fn what_cannot_take_its_place_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.md");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("x"), "x").unwrap();
        assert!(write(&path, b"one").is_err());
        assert_eq!(names(folder.path()), ["a.md"]);
        assert!(write(&folder.path().join("gone/a.md"), b"one").is_err(), "no folder is made");
    }

    #[test]
    fn what_the_dead_left_goes_and_what_the_living_write_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let living = std::process::id();
        let keep = [format!(".a.md.{living}.7.tmp"), ".a.md.x.7.tmp".to_owned(), "a.tmp".to_owned()];
        for name in keep.iter().chain([&format!(".a.md.{dead}.0.tmp")]) {
            std::fs::write(folder.path().join(name), "half").unwrap();
        }
        remove_unfinished(folder.path());
        let mut expected = keep.to_vec();
        expected.sort();
        assert_eq!(names(folder.path()), expected);
    }
}
