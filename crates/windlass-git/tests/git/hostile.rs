//! A repository, or an agent in it, that tries to have a program run or a file outside written.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use windlass_git::{DiffOptions, Error};

use crate::harness::{Fixture, run_id};

#[test]
fn nothing_that_a_repository_names_is_run() {
    let f = Fixture::new();
    f.write("a.txt", "1\n");
    f.write("b.dat", "1\n");
    f.commit("one");
    f.git(&["checkout", "-q", "-b", "topic"]);
    f.write("a.txt", "2\n");
    f.commit("two");

    let trap = f.cache.join("trap");
    let script = f.cache.join("evil");
    fs::write(&script, format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\ncat\n", trap.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let evil = script.to_str().unwrap();
    fs::write(f.at(".gitattributes"), "* filter=evil diff=evil merge=evil\n").unwrap();
    for key in [
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "diff.evil.command",
        "diff.evil.textconv",
        "diff.external",
        "core.fsmonitor",
        "core.pager",
        "core.editor",
        "core.askPass",
        "core.sshCommand",
        "core.alternateRefsCommand",
        "gpg.program",
        "credential.helper",
        "uploadpack.packObjectsHook",
        "pager.diff",
        "alias.diff-tree",
    ] {
        f.git(&["config", key, evil]);
    }
    f.git(&["config", "commit.gpgSign", "true"]);
    f.git(&["config", "core.untrackedCache", "true"]);
    fs::create_dir_all(f.at(".git/hooks")).unwrap();
    for hook in
        ["reference-transaction", "post-index-change", "pre-commit", "post-checkout", "fsmonitor-watchman"]
    {
        fs::copy(&script, f.at(format!(".git/hooks/{hook}"))).unwrap();
    }
    f.write("a.txt", "3\n");
    f.write("new.txt", "n\n");

    let side = f.state();
    let segment = f.segment(|f| {
        fs::write(f.at("a.txt"), "4\n").unwrap();
        fs::write(f.at("b.dat"), "4\n").unwrap();
    });
    let segments = [segment];
    f.keeper.diff_text(&segments, &DiffOptions::default()).unwrap();
    f.keeper
        .diff_text(&segments, &DiffOptions { color: true, stat_width: Some(80), ..DiffOptions::default() })
        .unwrap();
    f.keeper.diff_stat(&segments).unwrap();
    assert!(f.keeper.uncommitted().unwrap());
    assert!(!f.keeper.diff_for_review(None).unwrap().diff.bytes.is_empty());
    f.keeper.repo().head().unwrap();
    f.keeper.repo().default_base().unwrap().unwrap();
    let plan = f.keeper.plan_undo(&segments).unwrap();
    f.keeper.apply_undo(&plan, run_id(), f.number(), false).unwrap();
    assert_eq!(f.state(), side);
    f.keeper.delete_refs(run_id()).unwrap();
    assert_eq!(fs::read_to_string(&trap).unwrap_or_default(), "");
    // The traps do work: plain git runs into them.
    crate::harness::try_git(&f.root, &["add", "-A"]);
    assert_ne!(fs::read_to_string(&trap).unwrap_or_default(), "");
}

#[test]
fn an_undo_does_not_write_through_a_link() {
    let f = Fixture::new();
    let outside = f.cache.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "precious").unwrap();
    f.write("d/file", "1");
    f.write("d/other", "1");
    f.commit("one");

    // The agent swaps the folder for a link: the undo removes the link and makes the folder again.
    let segment = f.segment(|f| {
        f.remove("d");
        symlink(&outside, f.at("d")).unwrap();
    });
    let plan = f.keeper.plan_undo(std::slice::from_ref(&segment)).unwrap();
    f.keeper.apply_undo(&plan, run_id(), f.number(), false).unwrap();
    assert_eq!(fs::read(f.at("d/file")).unwrap(), b"1");
    assert!(f.at("d").symlink_metadata().unwrap().is_dir());

    // Somebody swaps it after the run: that is in the way, forced or not.
    let segment = f.segment(|f| f.write("d/file", "2"));
    f.remove("d");
    symlink(&outside, f.at("d")).unwrap();
    let plan = f.keeper.plan_undo(&[segment]).unwrap();
    let error = f.keeper.apply_undo(&plan, run_id(), f.number(), true).unwrap_err();
    assert!(matches!(error, Error::InTheWay { .. }), "{error:?}");
    assert_eq!(fs::read(outside.join("file")).unwrap(), b"precious");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn environment_of_the_caller_does_not_lead_elsewhere() {
    let f = Fixture::new();
    f.write("a", "1");
    f.commit("one");
    let mut vars: Vec<(std::ffi::OsString, std::ffi::OsString)> = vec![
        ("PATH".into(), std::env::var_os("PATH").unwrap()),
        ("GIT_CONFIG_GLOBAL".into(), "/dev/null".into()),
    ];
    for name in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_COMMON_DIR",
        "GIT_NAMESPACE",
        "GIT_EXTERNAL_DIFF",
        "GIT_EXEC_PATH",
    ] {
        vars.push((name.into(), "/nowhere".into()));
    }
    let git = windlass_git::Git::with_env(vars).unwrap();
    let repo = windlass_git::Repo::discover(&git, &f.root).unwrap().unwrap();
    let keeper = windlass_git::Keeper::open(repo, &f.cache, windlass_git::Limits::default()).unwrap();
    assert_eq!(keeper.tree_identity().unwrap(), f.keeper.tree_identity().unwrap());
}

#[test]
fn a_pipe_in_the_git_folder_is_an_error_and_no_wait() {
    let f = Fixture::new();
    f.write("a", "1");
    f.commit("one");
    f.remove(".git/info/attributes");
    let pipe = f.at(".git/info/attributes");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = f.keeper.uncommitted().unwrap_err();
    assert!(error.to_string().contains("info/attributes: it is not a regular file"), "{error}");
    // Nothing that is kept depends on it.
    f.keep();
}
