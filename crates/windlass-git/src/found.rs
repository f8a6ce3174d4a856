//! Repositories that git was asked for before: an engine asks for the same ones with every attempt.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Folders remembered; with more of them it begins anew.
const MOST: usize = 64;

/// Where git said that the folders of a repository are. An answer counts for as long as each of them is the same folder as
/// then and no other repository begins between the folder that was asked about and the top.
#[derive(Debug, Default)]
pub(crate) struct Found(Mutex<HashMap<PathBuf, Known>>);

#[derive(Debug, Clone)]
struct Known {
    place: Place,
    marks: Vec<(PathBuf, Mark)>,
}

/// What makes a folder the same one, and a file the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    dev: u64,
    ino: u64,
    text: Option<(u64, i64, i64)>,
}

/// What git tells of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Canonical path of the top of the working tree.
    pub(crate) top: PathBuf,
    /// Canonical path of this working tree's own git folder.
    pub(crate) git_dir: PathBuf,
    /// Canonical path of the git folder that all working trees share.
    pub(crate) common_dir: PathBuf,
    /// Object format.
    pub(crate) format: String,
}

impl Found {
    /// What git said of a folder, where that still holds.
    pub(crate) fn get(&self, dir: &Path) -> Option<Place> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(dir).cloned()?;
        let same = known.marks.iter().all(|(path, then)| mark(path) == Some(*then));
        // Git writes it anew with every switch of the branch, and without it there is no repository.
        let whole = mark(&known.place.git_dir.join("HEAD")).is_some();
        (same && whole && nothing_between(dir, &known.place.top)).then_some(known.place)
    }

    /// Remembers an answer about a canonical folder. One that cannot be watched, such as that of a repository whose `.git` is
    /// elsewhere by a variable, is not kept.
    pub(crate) fn put(&self, dir: &Path, place: &Place) {
        // The config may say that the working tree is elsewhere.
        let (dot_git, config) = (place.top.join(".git"), place.common_dir.join("config"));
        let watched = [&place.top, &dot_git, &place.git_dir, &place.common_dir, &config];
        let marks: Option<Vec<_>> = watched.iter().map(|p| Some(((*p).clone(), mark(p)?))).collect();
        let Some(marks) = marks else { return };
        if !nothing_between(dir, &place.top) {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(dir.to_owned(), Known { place: place.clone(), marks });
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let meta = path.symlink_metadata().ok()?;
    let text = (!meta.is_dir()).then(|| (meta.size(), meta.mtime(), meta.mtime_nsec()));
    Some(Mark { dev: meta.dev(), ino: meta.ino(), text })
}

/// Whether the top is above the folder and none of the folders below it could be a repository of its own.
fn nothing_between(dir: &Path, top: &Path) -> bool {
    dir.starts_with(top)
        && dir.ancestors().take_while(|folder| *folder != top).all(|folder| {
            // A bare repository has no `.git`, and is one by its `HEAD`.
            mark(&folder.join(".git")).is_none() && mark(&folder.join("HEAD")).is_none()
        })
}
