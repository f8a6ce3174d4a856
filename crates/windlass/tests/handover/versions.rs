//! Workers whose every line counts, and other versions of the program.

use crate::world::{World, check_journal, count, run_state, step, task};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use windlass_testkit::process::{self, Output, Running, wait_until};

/// A version that is newer than every other here, and one that is older.
pub(crate) const NEWER: &str = "9.0.0";
pub(crate) const OLDER: &str = "0.0.9";

/// Says numbered lines until it may end, and writes down how many.
const COUNT: &str = r#"start
n=0
while [ ! -e "$M/go" ]; do
    n=$((n + 1))
    echo "$WINDLASS_STEP line $n"
    echo "$n" >"$M/said.$WINDLASS_STEP"
    sleep 0.01
done
echo "$n" >"$M/said.$WINDLASS_STEP"
end"#;

pub(crate) const STEPS: [&str; 3] = ["a", "b", "c"];

/// A world with three workers that speak all the time, and one step that comes after them.
pub(crate) fn speaking() -> World {
    let world = World::new();
    world.agent("count", COUNT);
    world.agent("last", "start\necho last\nend");
    let mut steps: Vec<_> = STEPS.iter().map(|s| step(*s, "count", &[])).collect();
    steps.push(step("last", "last", &STEPS));
    world.team("count", 4, &[], &steps);
    world
}

impl World {
    /// Runs a command of a version to its end.
    #[track_caller]
    pub(crate) fn run_of(&self, version: &str, args: &[&str]) -> Output {
        process::run(self.user.command_of(version, args), b"")
    }

    /// Starts a command of a version.
    #[track_caller]
    pub(crate) fn spawn_of(&self, version: &str, args: &[&str]) -> Running {
        Running::start(self.user.command_of(version, args))
    }

    /// Version and process of the daemon that answers.
    #[track_caller]
    pub(crate) fn served_by(&self) -> (String, u32) {
        let status = self.user.json(["daemon", "status", "--json"]);
        assert_eq!(status["running"], true, "{status}");
        let pid = u32::try_from(status["pid"].as_u64().unwrap()).unwrap();
        (status["version"].as_str().unwrap().to_owned(), pid)
    }

    /// Waits until every speaking worker has said more lines than it had.
    #[track_caller]
    pub(crate) fn wait_more_lines(&self) {
        let said = |name: &str| -> u64 {
            std::fs::read_to_string(self.mark(&format!("said.{name}")))
                .ok()
                .and_then(|t| t.trim().parse().ok())
                .unwrap_or(0)
        };
        let before = STEPS.map(said);
        wait_until("every worker to speak on", || STEPS.iter().zip(before).all(|(s, n)| said(s) > n + 3));
    }

    /// Whether the daemon answers that it is leaving, or that nobody is there any more.
    pub(crate) fn is_leaving(&self) -> bool {
        let visit = r#"{"id":1,"request":{"op":"visit","with":{"cwd":"/","env":{}}}}"#;
        let said = call(&self.user.home().join("run/daemon.sock"), visit);
        said.is_none_or(|line| line.is_empty() || line.contains("leaving"))
    }

    /// The database of a run's project.
    #[track_caller]
    pub(crate) fn database(&self, run: &str) -> PathBuf {
        self.run_dir(run).parent().and_then(|runs| runs.parent()).unwrap().join("windlass.db")
    }

    /// A run of [`speaking`] has ended: each worker was started once, and every line it said is there exactly once.
    #[track_caller]
    pub(crate) fn check_all_said_once(&self, run: &str) {
        let status = self.user.status(run);
        assert_eq!(run_state(&status), "completed", "{status:#}");
        let attempts = check_journal(&self.user.events(run));
        for name in STEPS.iter().chain(&["last"]) {
            let id = task(&status, name)["id"].as_str().unwrap();
            assert_eq!(attempts[id], ["ended"], "{name}: {status:#}");
            assert_eq!((self.log().started(name), self.log().ended(name)), (1, 1), "{:#?}", self.log());
        }
        for name in STEPS {
            let n: u64 = self.wait_mark(&format!("said.{name}")).trim().parse().unwrap();
            let want: String = (1..=n).map(|i| format!("{name} line {i}\n")).collect();
            let id = task(&status, name)["id"].as_str().unwrap();
            let logs = self.user.run(["logs", &format!("{run}/{id}"), "--raw"]).expect_code(0);
            assert_eq!(logs.out(), want, "the lines of {name}");
        }
    }
}

/// Asks an engine a line and gives its answer; `None` when nobody is there.
pub(crate) fn call(socket: &Path, line: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).ok()?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).ok()?;
    Some(answer)
}

/// Fails unless what a command said has each of these in it, however its lines are broken.
#[track_caller]
pub(crate) fn assert_says(told: &Output, words: &[&str]) {
    let said = told.err().split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in: {said}");
    }
}

/// The versions of the engines that have led a run, in order.
pub(crate) fn leaders(events: &[Value]) -> Vec<String> {
    let taken = events.iter().filter(|e| e["type"] == "run.taken");
    let all: Vec<String> = taken.map(|e| e["data"]["version"].as_str().unwrap().to_owned()).collect();
    assert_eq!(all.len(), count(events, "run.taken"));
    all
}
