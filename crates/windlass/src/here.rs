//! The project that a folder belongs to, found without starting git where that is beyond doubt: most of the time of a
//! command that only looks would go there.

use crate::context::Context;
use std::path::{Path, PathBuf};
use windlass_engine::query;

/// The state folder of this directory's project, when anything was run in it.
pub(crate) fn project(context: &Context) -> Option<PathBuf> {
    by_files(context).or_else(|| query::project_dir(&context.paths, context.git().as_ref(), &context.cwd))
}

/// The folders whose runs are shown from here: this project's, or every one's outside of any project.
pub(crate) fn projects(context: &Context) -> Vec<PathBuf> {
    if let Some(dir) = by_files(context) {
        return vec![dir];
    }
    let stops = query::stops();
    let (folder, repo) = query::project_of_dir(context.git().as_ref(), &context.cwd, &stops);
    if let Some(dir) = known(context, &folder) {
        return vec![dir];
    }
    let is_project =
        repo.is_some() || windlass_resources::places::find_project(&context.cwd, &stops).is_some();
    if is_project { Vec::new() } else { context.paths.all_projects() }
}

/// Only a project of which state is found counts: whatever is unusual here is left to git to judge.
fn by_files(context: &Context) -> Option<PathBuf> {
    known(context, &common_dir(&context.cwd)?)
}

fn known(context: &Context, folder: &Path) -> Option<PathBuf> {
    let dir = context.paths.project(&windlass_git::project_slug(folder));
    dir.join("windlass.db").exists().then_some(dir)
}

/// The git folder that all working trees of a repository share, as its files tell.
fn common_dir(cwd: &Path) -> Option<PathBuf> {
    /// What git itself would take for a path in a file.
    const LONGEST: u64 = 8192;
    let cwd = cwd.canonicalize().ok()?;
    let dot_git = cwd.ancestors().map(|dir| dir.join(".git")).find(|path| path.symlink_metadata().is_ok())?;
    let line = |path: &Path| {
        let small = path.metadata().is_ok_and(|m| m.is_file() && m.len() <= LONGEST);
        small.then(|| std::fs::read_to_string(path).ok()).flatten()
    };
    let git_dir = if dot_git.is_dir() {
        dot_git
    } else {
        let text = line(&dot_git)?;
        dot_git.parent()?.join(text.strip_prefix("gitdir: ")?.trim_end_matches(['\n', '\r']))
    };
    if !git_dir.join("HEAD").is_file() {
        return None;
    }
    let common = match line(&git_dir.join("commondir")) {
        Some(text) => git_dir.join(text.trim_end_matches(['\n', '\r'])),
        None => git_dir,
    };
    common.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_git::{Git, Repo};
    use windlass_testkit::TempRepo;

    #[test]
    fn files_tell_what_git_tells() {
        let git = Git::find().unwrap();
        let repo = TempRepo::new();
        repo.write("deep/er/x", "x");
        repo.commit("begin");
        let tree = repo.beside().join("tree");
        repo.git(["worktree", "add", "-q", &tree.display().to_string()]);
        for dir in [repo.path().to_owned(), repo.path().join("deep/er"), tree.clone(), tree.join("deep")] {
            let told = Repo::discover(&git, &dir).unwrap().unwrap().common_dir().to_owned();
            assert_eq!(common_dir(&dir).unwrap(), told, "{}", dir.display());
        }
        let outside = TempRepo::without_git();
        assert_eq!(common_dir(outside.path()), None);
        outside.write(".git", "gitdir: /nowhere/at/all\n");
        assert_eq!(common_dir(outside.path()), None);
    }
}
