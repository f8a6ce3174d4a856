//! The commands that look, through the shipped binary: what they print, byte for byte where that is promised.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod changes;
mod follow;
mod logs;
mod names;
mod replay;
mod results;
mod runs;
mod why;

use serde_json::Value;
use windlass_testkit::{TempRepo, Windlass};

/// A user in a repository with one commit.
pub(crate) fn world() -> (TempRepo, Windlass) {
    let repo = TempRepo::new();
    repo.write("a.txt", "one\n");
    repo.commit("begin");
    let windlass = Windlass::in_repo(env!("CARGO_BIN_EXE_windlass"), &repo);
    (repo, windlass)
}

/// Runs an agent to its end and gives the run.
pub(crate) fn ended(windlass: &Windlass, args: &[&str]) -> String {
    let run = windlass.detach(args);
    windlass.wait_end(&run);
    run
}

/// The keys of an object, in order.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
