//! A user with pi, a repository whose test fails, and the model server that pi asks.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use windlass_testkit::model::Tokens;
use windlass_testkit::pi::PRICES;
use windlass_testkit::process::wait_until;
use windlass_testkit::{ModelServer, PiHome, Reply, Script, TempRepo, Windlass};

/// What the repository of [`World::new`] needs done.
pub(crate) const GOAL: &str = "Make ./test.sh pass: greeting.txt must say hello";

/// Fields are dropped in this order: first the user's daemon goes, then what it spoke to.
pub(crate) struct World {
    pub(crate) user: Windlass,
    pub(crate) server: ModelServer,
    pub(crate) pi: PiHome,
    pub(crate) repo: TempRepo,
}

impl World {
    /// A user with pi in a repository whose `./test.sh` fails until `greeting.txt` says `hello`.
    pub(crate) fn new(script: Script) -> Self {
        Self::with(script, TempRepo::failing_shell())
    }

    pub(crate) fn with(script: Script, repo: TempRepo) -> Self {
        let server = ModelServer::start(script);
        let pi = PiHome::new(&server);
        let mut user = Windlass::in_repo(env!("CARGO_BIN_EXE_windlass"), &repo);
        user.with_pi(&pi);
        Self { user, server, pi, repo }
    }

    /// As [`World::new`], with another default model.
    #[allow(dead_code, reason = "for tests about prices")]
    pub(crate) fn with_model(script: Script, model: &str) -> Self {
        let mut world = Self::new(script);
        world.pi = PiHome::with_default(&world.server, model);
        world.user.with_pi(&world.pi);
        world
    }

    /// The newest run's state.
    pub(crate) fn last(&self) -> Value {
        self.user.status("last")
    }
}

/// The edit that mends the repository of [`World::new`], as pi's own tool takes it.
pub(crate) fn mend() -> Reply {
    edit("goodbye", "hello")
}

/// An edit of `greeting.txt`.
pub(crate) fn edit(old: &str, new: &str) -> Reply {
    Reply::tool("edit", json!({ "path": "greeting.txt", "edits": [{ "oldText": old, "newText": new }] }))
}

/// What `usage` of the JSON state must be when the server sent these tokens in so many replies, all priced.
#[track_caller]
pub(crate) fn assert_usage(usage: &Value, sent: Tokens, turns: u64) {
    assert_tokens(usage, sent, turns);
    let count = [sent.input, sent.output, sent.cache_read, sent.cache_write];
    let cost: f64 = PRICES.iter().zip(count).map(|(price, n)| price * n as f64 / 1e6).sum();
    let said = usage["cost_usd"].as_f64().unwrap_or_else(|| panic!("no cost in {usage}"));
    // The journal counts in millionths of a dollar, rounded once per reply.
    assert!((said - cost).abs() <= 1e-6 * turns as f64, "{said} is not {cost}");
}

/// As [`assert_usage`], whatever the cost.
#[track_caller]
pub(crate) fn assert_tokens(usage: &Value, sent: Tokens, turns: u64) {
    assert_eq!((tokens(usage), usage["turns"].as_u64()), (sent, Some(turns)), "{usage}");
}

/// The tokens of a usage of the JSON state.
#[track_caller]
pub(crate) fn tokens(usage: &Value) -> Tokens {
    let number = |name: &str| usage[name].as_u64().unwrap_or_else(|| panic!("no {name} in {usage}"));
    Tokens::new(number("input"), number("output"), number("cache_read"), number("cache_write"))
}

/// The task of this step in a run's state.
#[track_caller]
pub(crate) fn task<'a>(status: &'a Value, step: &str) -> &'a Value {
    let tasks = status["tasks"].as_array().unwrap();
    tasks.iter().find(|task| task["step"] == step).unwrap_or_else(|| panic!("no step {step} in {status:#}"))
}

/// The attempts of a task.
#[track_caller]
pub(crate) fn attempts<'a>(status: &'a Value, step: &str) -> &'a [Value] {
    task(status, step)["attempts"].as_array().unwrap()
}

/// The events of this type.
pub(crate) fn of_type(events: &[Value], kind: &str) -> Vec<Value> {
    events.iter().filter(|event| event["type"] == kind).cloned().collect()
}

/// The events of this type in a run.
pub(crate) fn events_of(world: &World, run: &str, kind: &str) -> Vec<Value> {
    of_type(&world.user.events(run), kind)
}

/// The living pi worker, once there is exactly one.
#[track_caller]
pub(crate) fn pi_pid(world: &World) -> u32 {
    let mut found = Vec::new();
    wait_until("one pi at work", || {
        found = pis(world);
        found.len() == 1
    });
    found[0]
}

/// The living pi workers of this user.
pub(crate) fn pis(world: &World) -> Vec<u32> {
    let all = world.user.processes().into_iter();
    // It names itself; before that it is a script of node with its arguments.
    all.filter(|process| process.command == "pi" || process.command.contains("--session-dir"))
        .map(|process| process.pid)
        .collect()
}

/// The parent of a process: of a worker, that is its shim.
#[track_caller]
pub(crate) fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in parentheses may hold anything; state and parent follow the last one.
    let rest = stat.rsplit_once(')').unwrap().1;
    rest.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The first place of an event of this type about an attempt.
#[track_caller]
pub(crate) fn seq_of(events: &[Value], kind: &str, n: u64) -> u64 {
    let found = events.iter().find(|event| event["type"] == kind && event["data"]["n"] == n);
    found.unwrap_or_else(|| panic!("no {kind} of attempt {n} in {events:#?}"))["seq"].as_u64().unwrap()
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found.sort();
    found
}
