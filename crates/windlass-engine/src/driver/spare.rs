//! Folders that tasks may leave files in: one that was left empty is handed on.

use crate::paths::{PathError, make_private};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Empty folders of tasks of one run that are over. Taking one over costs a fraction of making a new one, and a run of a
/// thousand commands does not leave a thousand empty folders.
#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<Vec<PathBuf>>);

impl Spares {
    /// Makes a task's folder, or leaves it when it is there.
    pub(crate) fn make(&self, folder: &Path) -> Result<(), PathError> {
        let mut spare = self.lock();
        if let Some(at) = spare.iter().position(|path| path == folder) {
            // Its own, of an earlier attempt.
            spare.swap_remove(at);
        } else if let Some(other) = spare.pop() {
            match std::fs::rename(&other, folder) {
                Ok(()) => return Ok(()),
                // Most likely an earlier attempt left files in its own.
                Err(_) if other.is_dir() => spare.push(other),
                Err(_) => {}
            }
        }
        make_private(folder)
    }

    /// Takes a folder back that was found empty when its worker, swept, had ended. One that the worker has made into
    /// something else stays where it is.
    pub(crate) fn give(&self, folder: PathBuf) {
        use std::os::unix::fs::MetadataExt;
        let as_made = |m: std::fs::Metadata| m.is_dir() && m.mode() & 0o7777 == 0o700;
        if std::fs::symlink_metadata(&folder).is_ok_and(as_made) {
            self.lock().push(folder);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        // A poisoned lock only means that another thread failed while it held it; the list is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn an_empty_folder_is_handed_on() {
        let state = tempfile::tempdir().unwrap();
        let (spares, [first, second]) = (Spares::default(), ["1", "2"].map(|n| state.path().join(n)));
        spares.make(&first).unwrap();
        spares.give(first.clone());
        spares.make(&second).unwrap();
        assert!(second.is_dir() && !first.exists());
    }

    #[test]
    fn no_two_tasks_have_one() {
        let state = tempfile::tempdir().unwrap();
        let (spares, [first, second]) = (Spares::default(), ["1", "2"].map(|n| state.path().join(n)));
        spares.make(&first).unwrap();
        spares.give(first.clone());
        // Another attempt of the same task.
        spares.make(&first).unwrap();
        spares.make(&second).unwrap();
        assert!(first.is_dir() && second.is_dir());
    }

    #[test]
    fn what_an_earlier_attempt_left_stays() {
        let state = tempfile::tempdir().unwrap();
        let (spares, [first, second]) = (Spares::default(), ["1", "2"].map(|n| state.path().join(n)));
        spares.make(&first).unwrap();
        spares.make(&second).unwrap();
        std::fs::write(second.join("notes.md"), "x").unwrap();
        spares.give(first.clone());
        spares.make(&second).unwrap();
        assert!(second.join("notes.md").is_file() && first.is_dir());
    }

    #[test]
    fn what_is_no_longer_as_it_was_made_is_not_handed_on() {
        let state = tempfile::tempdir().unwrap();
        let (spares, [first, second]) = (Spares::default(), ["1", "2"].map(|n| state.path().join(n)));
        spares.make(&first).unwrap();
        std::fs::set_permissions(&first, std::fs::Permissions::from_mode(0o500)).unwrap();
        spares.give(first);
        symlink(state.path(), &second).unwrap();
        spares.give(second);
        assert!(spares.lock().is_empty());
    }
}
