//! A person approves what comes next: nothing that may write starts before, a plan that is not wanted is made again, and what waits
//! for a person is told wherever they look.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

#[path = "approval/answers.rs"]
mod answers;
#[path = "approval/inbox.rs"]
mod inbox;
#[path = "approval/plans.rs"]
mod plans;
#[path = "approval/watching.rs"]
mod watching;

use serde_json::{Value, json};
use windlass_testkit::{TempRepo, Windlass};

pub(crate) const FIRST: &str = "PLAN-1\nkeep this\nuse a hammer\n";
pub(crate) const SECOND: &str = "PLAN-2\nkeep this\nuse a feather\n";
/// What a person says of the first plan.
pub(crate) const SAID: &str = "With a Feather, please.";

/// A user of the team `default`, all of whose roles are played from a script: the planner plans anew when it is told to.
pub(crate) struct World {
    pub(crate) user: Windlass,
    pub(crate) repo: TempRepo,
    script: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let repo = repo();
        let user = Windlass::in_repo(env!("CARGO_BIN_EXE_windlass"), &repo);
        let script = user.script(json!([
            { "when": { "step": "explore" }, "do": [ { "answer": "It is all in README.md." } ] },
            { "when": { "step": "plan", "prompt_has": SAID }, "do": [ { "answer": SECOND } ] },
            { "when": { "step": "plan" }, "do": [ { "answer": FIRST } ] },
            { "when": { "step": "execute" }, "do": [
                { "write": { "path": "done.txt", "content": "done\n" } }, { "answer": "It is done." } ] },
            { "when": { "step": "verify" }, "do": [ { "answer": "As planned.\n\nVERIFICATION: PASS, it is there\n" } ] },
        ]));
        Self { user, repo, script: script.to_str().unwrap().to_owned() }
    }

    /// The arguments of a run with these ones besides.
    pub(crate) fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let fixed = ["--team", "default", "--runtime", "rehearsal", "--script", &self.script];
        more.iter().copied().chain(fixed).chain(["Do it"]).collect()
    }

    /// Starts a run in the background, and gives it when it asks.
    #[track_caller]
    pub(crate) fn parked(&self) -> String {
        let run = self.user.detach(self.args(&["--approve-plan"]));
        self.wait_asked(&run, 1);
        run
    }

    /// Waits until a run has asked so often, and waits for the answer.
    #[track_caller]
    pub(crate) fn wait_asked(&self, run: &str, times: usize) {
        self.user.wait_for(run, "the question", |events| count(events, "approval.asked") == times);
    }

    /// Whether the writer has done its work.
    pub(crate) fn is_done(&self) -> bool {
        self.repo.path().join("done.txt").exists()
    }
}

pub(crate) fn repo() -> TempRepo {
    let repo = TempRepo::new();
    repo.write("README.md", "a project\n");
    repo.commit("a project");
    repo
}

pub(crate) fn count(events: &[Value], what: &str) -> usize {
    events.iter().filter(|e| e["type"] == what).count()
}

/// Places in the journal of the events of a type, of this task where one is named.
pub(crate) fn places(events: &[Value], what: &str, task: Option<&str>) -> Vec<u64> {
    let of = |e: &&Value| e["type"] == what && task.is_none_or(|t| e["data"]["task"] == t);
    events.iter().filter(of).map(|e| e["seq"].as_u64().unwrap()).collect()
}

/// The task of a step.
#[track_caller]
pub(crate) fn task<'s>(status: &'s Value, step: &str) -> &'s Value {
    let tasks = status["tasks"].as_array().expect("tasks");
    tasks.iter().find(|t| t["step"] == step).unwrap_or_else(|| panic!("no step {step} in {status:#}"))
}
