//! Work that is found out while a run goes on: plans that a worker makes, lists that one finds, loops, the best of several, and
//! workflows in workflows, from the file to the result.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

#[path = "plans/adaptive.rs"]
mod adaptive;
#[path = "plans/lists.rs"]
mod lists;
#[path = "plans/steps.rs"]
mod steps;

use serde_json::Value;
use std::path::PathBuf;
use windlass_testkit::{TempRepo, Windlass};

/// A user in a repository, and a folder in which workers and the test meet.
pub(crate) struct World {
    pub(crate) user: Windlass,
    pub(crate) repo: TempRepo,
}

impl World {
    pub(crate) fn new() -> Self {
        let repo = TempRepo::new();
        repo.write("README.md", "a project\n");
        repo.commit("a project");
        let user = Windlass::in_repo(env!("CARGO_BIN_EXE_windlass"), &repo);
        std::fs::create_dir(repo.beside().join("marks")).unwrap();
        Self { user, repo }
    }

    /// A file in the folder where workers (`$M`) and the test meet.
    pub(crate) fn mark(&self, name: &str) -> PathBuf {
        self.repo.beside().join("marks").join(name)
    }

    pub(crate) fn set(&self, name: &str, text: &str) {
        // In one step: whoever waits for it must find all of it.
        let part = self.mark(&format!("{name}.part"));
        std::fs::write(&part, text).unwrap();
        std::fs::rename(part, self.mark(name)).unwrap();
    }

    /// What is in a mark; empty where there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.mark(name)).unwrap_or_default()
    }

    /// An agent that runs this script. What it is told is in `$TOLD` and in the mark `told.TASK.ATTEMPT`; its starts and ends are
    /// lines of the mark `log`.
    pub(crate) fn agent(&self, name: &str, script: &str, keys: &str) {
        let marks = self.repo.beside().join("marks");
        let line = format!(
            "M='{}'\nTOLD=$(cat)\nprintf '%s\\n' \"$TOLD\" >\"$M/told.$WINDLASS_TASK.$WINDLASS_ATTEMPT\"\n\
             wait_for() {{ while [ ! -e \"$M/$1\" ]; do sleep 0.02; done; }}\n\
             echo \"start $WINDLASS_TASK\" >>\"$M/log\"\n{script}\necho \"end $WINDLASS_TASK\" >>\"$M/log\"\n",
            marks.display()
        );
        self.user.shell_agent(name, &line, keys);
    }

    /// How often a task was started and came to its end, by its own account.
    pub(crate) fn log(&self, task: &str) -> (usize, usize) {
        let log = self.read("log");
        let count = |word: &str| log.lines().filter(|l| *l == format!("{word} {task}")).count();
        (count("start"), count("end"))
    }
}

/// A task by id.
#[track_caller]
pub(crate) fn task<'s>(status: &'s Value, id: &str) -> &'s Value {
    let tasks = status["tasks"].as_array().unwrap();
    tasks.iter().find(|t| t["id"] == id).unwrap_or_else(|| panic!("no task {id} in {status:#}"))
}

/// Status by id, in the order of the run.
pub(crate) fn states(status: &Value) -> Vec<(&str, &str)> {
    let tasks = status["tasks"].as_array().unwrap();
    tasks.iter().map(|t| (t["id"].as_str().unwrap(), t["status"].as_str().unwrap())).collect()
}

/// The events of a type.
pub(crate) fn of_type<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|e| e["type"] == kind).collect()
}

/// The place of the first event of a type about a task.
#[track_caller]
pub(crate) fn seq(events: &[Value], kind: &str, id: &str) -> u64 {
    let found = of_type(events, kind).into_iter().find(|e| e["data"]["task"] == id);
    found.unwrap_or_else(|| panic!("no {kind} of {id}: {events:#?}"))["seq"].as_u64().unwrap()
}
