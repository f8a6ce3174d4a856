//! The user's own tree: what a run changed is told apart from what was there, can be taken back and put back byte by byte,
//! writers and gates take turns in it, readers that change it are found out, and gates decide what is proved.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

#[path = "tree/changes.rs"]
mod changes;
#[path = "tree/gates.rs"]
mod gates;
#[path = "tree/readers.rs"]
mod readers;
#[path = "tree/turns.rs"]
mod turns;

use serde_json::Value;
use std::path::Path;
use windlass_testkit::repo::Snapshot;
use windlass_testkit::{TempRepo, Windlass};

/// A user in a repository.
fn user(repo: &TempRepo) -> Windlass {
    Windlass::in_repo(env!("CARGO_BIN_EXE_windlass"), repo)
}

/// A repository with one commit.
fn repo() -> TempRepo {
    let repo = TempRepo::new();
    repo.write("README.md", "a project\n");
    repo.commit("a project");
    repo
}

/// The task of a step.
#[track_caller]
fn task<'s>(status: &'s Value, step: &str) -> &'s Value {
    let tasks = status["tasks"].as_array().expect("tasks");
    tasks.iter().find(|t| t["step"] == step).unwrap_or_else(|| panic!("no step {step} in {status:#}"))
}

/// A run in the background, followed to where it stops.
#[track_caller]
fn ended(windlass: &Windlass, args: &[&str]) -> Value {
    let run = windlass.detach(args);
    windlass.wait_end(&run)
}

/// The id in a status.
#[track_caller]
fn id(status: &Value) -> String {
    status["run"]["id"].as_str().expect("an id").to_owned()
}

/// Everything of the git folder but the objects and what Windlass keeps: index, HEAD, refs, reflogs, stash, config, hooks.
fn git_state(repo: &TempRepo) -> Snapshot {
    let mut state = Snapshot::new();
    collect(&repo.path().join(".git"), Path::new(""), &mut state);
    state
}

fn collect(root: &Path, under: &Path, into: &mut Snapshot) {
    for entry in std::fs::read_dir(root.join(under)).unwrap() {
        let path = under.join(entry.unwrap().file_name());
        if path == Path::new("objects") || path == Path::new("refs/windlass") {
            continue;
        }
        if root.join(&path).is_dir() {
            collect(root, &path, into);
        } else {
            into.insert(path.clone(), (String::new(), std::fs::read(root.join(&path)).unwrap()));
        }
    }
}

/// Where two snapshots differ, in words: a failing comparison of whole trees is not readable.
#[track_caller]
fn same(found: &Snapshot, wanted: &Snapshot, what: &str) {
    let all: std::collections::BTreeSet<_> = found.keys().chain(wanted.keys()).collect();
    let differences: Vec<String> = all
        .into_iter()
        .filter(|path| found.get(*path) != wanted.get(*path))
        .map(|path| {
            let show = |s: &Snapshot| {
                s.get(path).map_or("nothing".to_owned(), |(mode, bytes)| {
                    format!("{mode} {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]))
                })
            };
            format!("{path:?}: found {}, wanted {}", show(found), show(wanted))
        })
        .collect();
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}

/// Refs that Windlass keeps, without the common beginning.
fn kept_refs(repo: &TempRepo) -> Vec<String> {
    let out = repo.git(["for-each-ref", "--format=%(refname)", "refs/windlass/"]);
    out.lines().map(|l| l.trim_start_matches("refs/windlass/").to_owned()).collect()
}
