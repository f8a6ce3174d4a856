//! Finding repositories, and telling "none" from every kind of failure.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use windlass_git::{Error, Git, Identity, Repo};

use crate::harness::{Fixture, git, run_git};

#[test]
fn nothing_is_nothing_and_a_folder_inside_is_the_repository() {
    let outside = tempfile::tempdir().unwrap();
    assert!(Repo::discover(&git(), outside.path()).unwrap().is_none());
    assert!(matches!(Repo::discover(&git(), &outside.path().join("gone")), Err(Error::Io { .. })));

    let f = Fixture::new();
    f.write("a/b/c", "x");
    let repo = Repo::discover(&git(), &f.at("a/b")).unwrap().unwrap();
    assert_eq!(repo.top(), f.root);
    assert_eq!(repo.git_dir(), f.at(".git"));
    assert_eq!(repo.common_dir(), f.at(".git"));
    let head = repo.head().unwrap();
    assert_eq!((head.branch.as_deref(), head.commit), (Some("main"), None));

    f.commit("one");
    let head = repo.head().unwrap();
    assert_eq!(head.commit.unwrap().as_str(), f.git(&["rev-parse", "HEAD"]));
    f.git(&["checkout", "-q", "--detach"]);
    assert_eq!(repo.head().unwrap().branch, None);
    f.git(&["checkout", "-q", "-b", "topic/x"]);
    assert_eq!(repo.head().unwrap().branch.as_deref(), Some("topic/x"));
}

#[test]
fn what_was_found_once_is_looked_at_again_when_it_changed() {
    let git = git();
    let f = Fixture::new();
    f.write("a/b/c", "x");
    let top = |dir: &std::path::Path| Repo::discover(&git, dir).map(|repo| repo.map(|r| r.top().to_owned()));
    assert_eq!(top(&f.at("a/b")).unwrap(), Some(f.root.clone()));
    // A repository between the folder and the top.
    run_git(&f.at("a"), &["init", "-q"]);
    assert_eq!(top(&f.at("a/b")).unwrap(), Some(f.at("a")));
    fs::remove_dir_all(f.at("a/.git")).unwrap();
    assert_eq!(top(&f.at("a/b")).unwrap(), Some(f.root.clone()));
    // Broken is not what it was.
    fs::rename(f.at(".git/HEAD"), f.at(".git/gone")).unwrap();
    assert_eq!(top(&f.at("a/b")).ok().flatten(), None);
    fs::rename(f.at(".git/gone"), f.at(".git/HEAD")).unwrap();
    assert_eq!(top(&f.root).unwrap(), Some(f.root.clone()));
    // Another working tree, by the repository's own config.
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path().canonicalize().unwrap();
    f.git(&["config", "core.worktree", elsewhere.to_str().unwrap()]);
    assert_ne!(top(&f.root).ok().flatten(), Some(f.root.clone()));
    f.git(&["config", "--unset", "core.worktree"]);
    // And a link to another repository in its place.
    let other = Fixture::new();
    fs::rename(f.at(".git"), f.at("was.git")).unwrap();
    fs::write(f.at(".git"), format!("gitdir: {}\n", other.at(".git").display())).unwrap();
    let repo = Repo::discover(&git, &f.root).unwrap().unwrap();
    assert_eq!((repo.top(), repo.git_dir()), (f.root.as_path(), other.at(".git").as_path()));
    fs::write(f.at(".git"), format!("gitdir: {}\n", f.at("was.git").display())).unwrap();
    let repo = Repo::discover(&git, &f.root).unwrap().unwrap();
    assert_eq!(repo.git_dir(), f.at("was.git").as_path());
}

#[test]
fn a_path_with_a_line_feed_and_a_link_to_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().canonicalize().unwrap().join("new\nline \u{e9}");
    fs::create_dir(&odd).unwrap();
    run_git(&odd, &["init", "-q"]);
    let repo = Repo::discover(&git(), &odd).unwrap().unwrap();
    assert_eq!((repo.top(), repo.git_dir()), (odd.as_path(), odd.join(".git").as_path()));
    symlink(&odd, dir.path().join("link")).unwrap();
    assert_eq!(Repo::discover(&git(), &dir.path().join("link")).unwrap().unwrap().top(), odd);
}

#[test]
fn worktrees_are_one_project_and_submodules_another() {
    let f = Fixture::new();
    f.write("x", "1");
    f.commit("one");
    f.git(&["worktree", "add", "-q", "../linked"]);
    let linked = Repo::discover(&git(), &f.root.join("../linked")).unwrap().unwrap();
    assert_eq!(linked.common_dir(), f.at(".git"));
    assert_eq!(linked.git_dir(), f.at(".git/worktrees/linked"));
    assert_eq!(linked.identity().unwrap(), f.keeper.repo().identity().unwrap());
    assert_eq!(linked.head().unwrap().branch.as_deref(), Some("linked"));
    assert!(linked.identity().unwrap().slug().starts_with("tree-"));
    assert_ne!(Identity::of(&f.root).unwrap(), linked.identity().unwrap());

    let outer = Fixture::new();
    outer.git(&["submodule", "--quiet", "add", f.root.to_str().unwrap(), "sub"]);
    let sub = Repo::discover(&git(), &outer.at("sub")).unwrap().unwrap();
    assert_eq!(
        (sub.top(), sub.git_dir()),
        (outer.at("sub").as_path(), outer.at(".git/modules/sub").as_path())
    );
}

#[test]
fn what_has_no_working_tree_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    run_git(dir.path(), &["init", "-q", "--bare", "b.git"]);
    let bare = Repo::discover(&git(), &dir.path().join("b.git"));
    assert!(matches!(bare, Err(Error::Bare { .. })), "{bare:?}");
    let f = Fixture::new();
    let inside = Repo::discover(&git(), &f.at(".git/refs"));
    assert!(matches!(inside, Err(Error::InsideGitDir { .. })), "{inside:?}");
}

#[test]
fn what_is_broken_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".git"), "gitdir: /nowhere/at/all\n").unwrap();
    let broken = Repo::discover(&git(), dir.path());
    assert!(matches!(broken, Err(Error::Broken { .. })), "{broken:?}");

    let f = Fixture::new();
    fs::write(f.at(".git/HEAD"), "garbage").unwrap();
    let broken = Repo::discover(&git(), &f.root);
    assert!(matches!(broken, Err(Error::Broken { .. })), "{broken:?}");
    fs::write(f.at(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(f.at(".git/config"), "[core\n").unwrap();
    let broken = Repo::discover(&git(), &f.root);
    assert!(matches!(broken, Err(Error::Git { .. })), "{broken:?}");
}

#[test]
fn another_users_repository_is_refused_with_the_command_that_mends_it() {
    let f = Fixture::new();
    let bin = tempfile::tempdir().unwrap();
    // Git's own switch to play a repository of another user, set where our clean environment cannot drop it.
    let script = format!(
        "printf '#!/bin/sh\\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {} \"$@\"\\n' > git && chmod 755 git",
        git().program().display()
    );
    assert!(
        std::process::Command::new("sh")
            .args(["-c", &script])
            .current_dir(bin.path())
            .status()
            .unwrap()
            .success()
    );
    assert!(bin.path().join("git").metadata().unwrap().permissions().mode() & 0o100 != 0);
    let path = std::env::join_paths([bin.path().to_path_buf(), "/usr/bin".into(), "/bin".into()]).unwrap();
    let foreign = Git::with_env([("PATH".into(), path)]).unwrap();
    let error = Repo::discover(&foreign, &f.root).unwrap_err();
    assert!(matches!(error, Error::Unsafe { .. }), "{error:?}");
    assert!(error.to_string().contains("git config --global --add safe.directory /"), "{error}");
}

#[test]
fn the_base_of_a_branch() {
    let f = Fixture::new();
    let repo = f.keeper.repo();
    assert_eq!(repo.default_base().unwrap(), None);
    f.write("x", "1");
    f.commit("one");
    let one = f.git(&["rev-parse", "HEAD"]);
    // On the main branch itself, without a remote, there is nothing to compare with.
    assert_eq!(repo.default_base().unwrap(), None);
    f.git(&["checkout", "-q", "-b", "topic"]);
    f.write("x", "2");
    f.commit("two");
    let base = repo.default_base().unwrap().unwrap();
    assert_eq!((base.name.as_str(), base.commit.as_str()), ("main", one.as_str()));

    // A branch pushed under its own name is still compared with the main branch.
    let remote = tempfile::tempdir().unwrap();
    run_git(remote.path(), &["init", "-q", "--bare", "-b", "main"]);
    f.git(&["remote", "add", "origin", remote.path().to_str().unwrap()]);
    f.git(&["push", "-q", "-u", "origin", "main", "topic"]);
    assert_eq!(repo.default_base().unwrap().unwrap().name, "origin/main");
    f.git(&["checkout", "-q", "main"]);
    f.write("y", "1");
    f.commit("three");
    let base = repo.default_base().unwrap().unwrap();
    assert_eq!((base.name.as_str(), base.commit.as_str()), ("origin/main", one.as_str()));
    f.git(&["checkout", "-q", "-b", "stacked", "topic"]);
    f.git(&["branch", "-q", "-u", "topic"]);
    assert_eq!(repo.default_base().unwrap().unwrap().name, "topic");
    f.git(&["checkout", "-q", "--orphan", "alone"]);
    assert_eq!(repo.default_base().unwrap(), None);
    f.commit("root");
    assert_eq!(repo.default_base().unwrap(), None);
}

#[test]
fn a_sha256_repository_works_like_any_other() {
    let f = Fixture::with(&["init", "-q", "-b", "main", "--object-format=sha256"]);
    f.write("a", "1");
    let segment = f.segment(|f| f.write("a", "2"));
    assert_eq!(segment.before.as_str().len(), 64);
    let plan = f.keeper.plan_undo(&[segment]).unwrap();
    f.keeper.apply_undo(&plan, crate::harness::run_id(), f.number(), false).unwrap();
    assert_eq!(fs::read(f.at("a")).unwrap(), b"1");
}
