//! What people, scripts and repositories hand in: wrong names, wrong files, too much of anything, what is not trusted, and
//! terminals of any width. A clear word and the right exit code, nothing lost, and never a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

#[path = "input/goals.rs"]
mod goals;
#[path = "input/limits.rs"]
mod limits;
#[path = "input/names.rs"]
mod names;
#[path = "input/places.rs"]
mod places;
#[path = "input/screens.rs"]
mod screens;
#[path = "input/trust.rs"]
mod trust;

use serde_json::Value;
use windlass_testkit::process::Output;
use windlass_testkit::{TempRepo, Windlass};

/// A user in a repository with one commit.
fn world() -> (TempRepo, Windlass) {
    let repo = TempRepo::new();
    repo.write("README.md", "a project\n");
    repo.commit("a project");
    let windlass = Windlass::in_repo(env!("CARGO_BIN_EXE_windlass"), &repo);
    (repo, windlass)
}

/// A command that must be refused with this code and these words, on standard error and as JSON.
#[track_caller]
fn refused(windlass: &Windlass, args: &[&str], code: i32, words: &[&str]) -> Output {
    let output = windlass.run(args).expect_code(code);
    let said: String = output.err().split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words {
        assert!(said.contains(word), "{args:?}: `{word}` is not in\n{}", output.err());
    }
    assert_eq!(output.out(), "", "{args:?}: standard output is for results");
    calm(&output, args);
    assert_eq!(said.matches("error: ").count(), 1, "{args:?}: one error, said once:\n{}", output.err());

    let json = windlass.run(args.iter().copied().chain(["--json"])).expect_code(code);
    calm(&json, args);
    let document: Value = serde_json::from_slice(&json.stdout)
        .unwrap_or_else(|e| panic!("{args:?} --json: {e}: {:?}", json.out()));
    let error = &document["error"];
    assert!(
        error["kind"].is_string() && !error["message"].as_str().unwrap().is_empty(),
        "{args:?}: {document}"
    );
    output
}

/// No panic, and nothing that only a programmer could read.
#[track_caller]
fn calm(output: &Output, args: &[&str]) {
    let err = output.err();
    for sign in ["panicked", "RUST_BACKTRACE", "Some(", "None)", "Err("] {
        assert!(!err.contains(sign), "{args:?}:\n{err}");
    }
    assert_eq!(output.signal, None, "{args:?}");
}

/// How many runs there are.
fn runs(windlass: &Windlass) -> usize {
    windlass.json(["list", "--all", "--json"])["runs"].as_array().unwrap().len()
}
