//! Who is alive. An owner holds a kernel lock on a file of its own for life; the kernel frees it on any death.
//!
//! A lock is free or held in every pid namespace of one kernel, so no pid is ever trusted. A child that is forked without
//! exec shares the lock and keeps it: take it after the nursery has forked.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Names an owner and its lock file: 1 to 64 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(String);

impl OwnerId {
    /// Parses an id; `None` when it could not be a plain file name.
    pub fn parse(text: &str) -> Option<Self> {
        let ok = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        ok.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Tells whether an owner is alive.
pub trait Liveness: Send + Sync {
    /// When in doubt, alive: a lease taken from a living owner is worse than one not taken.
    fn is_alive(&self, owner: &OwnerId) -> bool;
}

/// The lock files in one folder.
#[derive(Debug, Clone)]
pub struct OwnerFiles(pub PathBuf);

impl Liveness for OwnerFiles {
    fn is_alive(&self, owner: &OwnerId) -> bool {
        owner_alive(&self.0, owner)
    }
}

/// Whether the owner's lock is held. A file that is gone belongs to nobody; one that cannot be examined counts as held.
pub fn owner_alive(dir: &Path, owner: &OwnerId) -> bool {
    match File::open(dir.join(owner.as_str())) {
        Err(e) => e.kind() != io::ErrorKind::NotFound,
        // Freed when the file is closed, at the end of the match.
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockShared).is_err(),
    }
}

/// This process's own lock. Held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct OwnerLock {
    id: OwnerId,
    path: PathBuf,
    // Never read; the open file is the lock.
    _file: File,
}

impl OwnerLock {
    /// Makes the folder if needed (0700), and in it a file under a name never used before (0600), and locks it.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn create(dir: &Path) -> io::Result<Self> {
        crate::files::private_dir(dir)?;
        let pid = std::process::id();
        for round in 0..64u32 {
            // A name must never come back while a lease may still name it; the clock is only the first guess.
            let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
            let Some(id) = OwnerId::parse(&format!("{pid}-{nanos:x}-{round}")) else { continue };
            let path = dir.join(id.as_str());
            let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e),
            };
            // Waits out a process that is just asking whether this new file is held.
            retry_interrupted(|| flock(&file, FlockOperation::LockExclusive))?;
            if file.metadata()?.nlink() == 0 {
                continue; // Swept away between creation and lock.
            }
            writeln!(file, "pid {pid}")?;
            return Ok(Self { id, path, _file: file });
        }
        Err(io::Error::other("no free owner name"))
    }

    /// The owner's id.
    pub fn id(&self) -> &OwnerId {
        &self.id
    }
}

impl Drop for OwnerLock {
    fn drop(&mut self) {
        // The lock goes with the file; a file that stays is swept later.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes the files of owners that are gone. Returns how many.
///
/// # Errors
/// When the folder cannot be read; a single file that cannot be examined is left.
pub fn sweep_owners(dir: &Path) -> io::Result<usize> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e),
    };
    let mut swept = 0;
    for entry in entries {
        let path = entry?.path();
        let ours = path.file_name().and_then(|n| n.to_str()).and_then(OwnerId::parse).is_some();
        if !ours {
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        // Removed under the lock, so that a creator sees that its file is gone.
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
            && std::fs::remove_file(&path).is_ok()
        {
            swept += 1;
        }
    }
    Ok(swept)
}

fn retry_interrupted(mut call: impl FnMut() -> rustix::io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

/// Owners that are alive because somebody said so, for tests and the simulator. Clones share the set.
#[derive(Debug, Clone, Default)]
pub struct AliveSet(Arc<Mutex<BTreeSet<OwnerId>>>);

impl AliveSet {
    /// Makes an owner alive or dead.
    pub fn set(&self, owner: &OwnerId, alive: bool) {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if alive {
            set.insert(owner.clone());
        } else {
            set.remove(owner);
        }
    }
}

impl Liveness for AliveSet {
    fn is_alive(&self, owner: &OwnerId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alive_while_held_and_dead_after() {
        let dir = tempfile::tempdir().unwrap();
        let owners = dir.path().join("owners");
        let a = OwnerLock::create(&owners).unwrap();
        let b = OwnerLock::create(&owners).unwrap();
        assert_ne!(a.id(), b.id());
        assert!(owner_alive(&owners, a.id()) && owner_alive(&owners, b.id()));
        assert_eq!(sweep_owners(&owners).unwrap(), 0);
        let gone = a.id().clone();
        drop(a);
        assert!(!owner_alive(&owners, &gone) && owner_alive(&owners, b.id()));
        std::fs::write(owners.join("stale-1"), "").unwrap();
        assert!(!owner_alive(&owners, &OwnerId::parse("stale-1").unwrap()));
        assert_eq!(sweep_owners(&owners).unwrap(), 1);
        assert!(owner_alive(&owners, b.id()));
    }

    #[test]
    fn an_id_is_a_plain_file_name() {
        for bad in ["", ".", "..", "a/b", "a b", "a\n", "é"] {
            assert!(OwnerId::parse(bad).is_none(), "{bad:?}");
        }
        assert!(OwnerId::parse(&"x".repeat(65)).is_none());
    }
}
