//! Writers and gates take turns in one tree, within a run and across runs.

use super::{ended, id, repo, task, user};
use serde_json::{Value, json};
use windlass_testkit::{TempRepo, Windlass};

/// Does `work` and tells when somebody else who does so is in the tree at the same time.
fn alone(repo: &TempRepo, work: &str) -> String {
    let at = repo.beside().display().to_string();
    format!(
        "mkdir {at}/inside || echo \"$WINDLASS_STEP was not alone\" >> {at}/overlaps; {work}; sleep 0.1; rmdir {at}/inside"
    )
}

#[track_caller]
fn nobody_met(repo: &TempRepo) {
    let overlaps = std::fs::read_to_string(repo.beside().join("overlaps")).unwrap_or_default();
    assert_eq!(overlaps, "");
}

fn place(events: &[Value], kind: &str, task: &str) -> usize {
    let found = events.iter().position(|e| e["type"] == kind && e["data"]["task"] == task);
    found.unwrap_or_else(|| panic!("no {kind} of {task} in {events:#?}"))
}

fn started(events: &[Value], id: &str) -> bool {
    events.iter().any(|e| e["type"] == "attempt.started" && e["data"]["task"] == id)
}

#[test]
fn writers_of_one_run_never_meet() {
    let repo = repo();
    let windlass = user(&repo);
    windlass.shell_agent("writer", &alone(&repo, "echo $WINDLASS_STEP >> README.md"), "writes: true");
    let steps: String = ["a", "b", "c", "d"].map(|s| format!("## {s}\nrole: writer\n\ngo\n\n")).concat();
    windlass.team("four", &["writer"], "maxConcurrency: 4", &steps);
    let status = ended(&windlass, &["--team", "four", "go"]);
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    nobody_met(&repo);
    let mut lines: Vec<String> = repo.read("README.md").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["a", "a project", "b", "c", "d"]);
    // Each task's change is its own.
    let run = id(&status);
    for step in ["a", "b", "c", "d"] {
        let diff = windlass.run(["diff", &run, step]).expect_code(0).out();
        let added: Vec<&str> = diff.lines().filter(|l| l.starts_with('+') && !l.starts_with("+++")).collect();
        assert_eq!(added, [format!("+{step}")]);
    }
}

#[test]
fn agents_that_may_edit_take_turns() {
    let repo = repo();
    let windlass = user(&repo);
    windlass.model_agent("editor", "read, edit, write, bash");
    windlass.team(
        "pair",
        &["editor"],
        "maxConcurrency: 4",
        "## a\nrole: editor\n\ngo\n\n## b\nrole: editor\n\ngo\n",
    );
    let script = windlass.script(json!([{ "do": [
        { "run": { "command": ["sh", "-c", alone(&repo, "echo more >> README.md")] } }, { "answer": "done" },
    ] }]));
    let status = ended(
        &windlass,
        &["--team", "pair", "--runtime", "rehearsal", "--script", script.to_str().unwrap(), "go"],
    );
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    nobody_met(&repo);
    assert_eq!(repo.read("README.md"), "a project\nmore\nmore\n");
}

#[test]
fn who_shares_the_tree_on_purpose_meets_others_and_proves_nothing() {
    let repo = repo();
    let windlass = user(&repo);
    let at = repo.beside().display().to_string();
    let line =
        format!("touch {at}/$WINDLASS_STEP; while [ ! -e {at}/a ] || [ ! -e {at}/b ]; do sleep 0.01; done");
    windlass.shell_agent("writer", &line, "writes: true");
    windlass.team(
        "shared",
        &["writer"],
        "maxConcurrency: 2",
        "## a\nrole: writer\nsharedWrites: true\ngate: true\n\ngo\n\n## b\nrole: writer\nsharedWrites: true\n\ngo\n",
    );
    let status = ended(&windlass, &["--team", "shared", "go"]);
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    assert_eq!(status["run"]["proof"], "unproven", "{status:#}");
}

/// A run that is in the tree until `go` exists.
fn holder(repo: &TempRepo, windlass: &Windlass) -> String {
    let go = repo.beside().join("go");
    windlass.fake_agent(
        "holder",
        &["write", "held.txt", "x", "then", "wait", go.to_str().unwrap()],
        "writes: true",
    );
    let run = windlass.detach(["--agent", "holder", "go"]);
    windlass.wait_for(&run, "the holder to be in the tree", |events| started(events, "01_holder"));
    run
}

#[test]
fn a_second_writing_run_waits_and_says_for_whom() {
    let repo = repo();
    let windlass = user(&repo);
    let first = holder(&repo, &windlass);
    windlass.shell_agent("writer", "echo more >> README.md", "writes: true");
    windlass.shell_agent("reader", "cat README.md", "");
    let second = windlass.spawn(["run", "--agent", "writer", "go"]);
    second.wait_stderr("whom it waits for", |e| e.contains(&first) && e.contains("wait"));
    let run = windlass.json(["list", "--json"])["runs"][0]["id"].as_str().unwrap().to_owned();
    assert_ne!(run, first);
    let status = windlass.status(&run);
    assert_eq!(status["run"]["status"], "waiting", "{status:#}");
    assert_eq!(status["run"]["waiting"]["for"], "tree", "{status:#}");
    assert!(status["run"]["waiting"].to_string().contains(&first), "{status:#}");
    assert!(task(&status, "writer")["attempts"].as_array().unwrap().is_empty(), "{status:#}");
    assert!(windlass.run(["status", &run]).expect_code(0).out().contains(&first));
    // Who only reads does not wait.
    windlass.run(["run", "--agent", "reader", "go"]).expect_code(0);
    assert_eq!(repo.read("README.md"), "a project\n");

    std::fs::write(repo.beside().join("go"), "").unwrap();
    second.wait().expect_code(0);
    let ended_first = windlass.wait_end(&first)["run"]["ended_at"].as_i64().unwrap();
    let events = windlass.events(&run);
    let began = events[place(&events, "attempt.started", "01_writer")]["at"].as_i64().unwrap();
    assert!(
        began
            >= windlass.events(&first).iter().find(|e| e["type"] == "attempt.ended").unwrap()["at"]
                .as_i64()
                .unwrap()
    );
    assert!(ended_first > 0);
    // What each did is its own, although the second began while the first was at work.
    assert!(!windlass.run(["diff", &run]).expect_code(0).out().contains("held.txt"));
    assert!(!windlass.run(["diff", &first]).expect_code(0).out().contains("README.md"));
}

#[test]
fn a_waiting_run_can_be_cancelled_and_the_tree_is_free_after_a_cancel() {
    let repo = repo();
    let windlass = user(&repo);
    let first = holder(&repo, &windlass);
    windlass.shell_agent("writer", "echo more >> README.md", "writes: true");
    let second = windlass.detach(["--agent", "writer", "go"]);
    let third = windlass.detach(["--agent", "writer", "go"]);
    windlass.wait_for(&second, "the wait", |e| e.iter().any(|e| e["type"] == "run.waiting"));
    windlass.run(["cancel", &second]).expect_code(0);
    assert_eq!(windlass.status(&second)["run"]["status"], "cancelled");
    // The one that is in the tree is stopped: the next in line goes on by itself.
    windlass.run(["cancel", &first]).expect_code(0);
    assert_eq!(windlass.wait_end(&third)["run"]["status"], "completed");
    assert_eq!(repo.read("README.md"), "a project\nmore\n");
    // What the stopped one had done is known and can be taken back.
    assert!(windlass.run(["diff", &first]).expect_code(0).out().contains("held.txt"));
    windlass.run(["undo", &first, "--yes"]).expect_code(0);
    assert!(!repo.path().join("held.txt").exists());
}

#[test]
fn engines_take_turns_as_well() {
    let repo = repo();
    let windlass = user(&repo);
    holder(&repo, &windlass);
    windlass.shell_agent("writer", &alone(&repo, "echo more >> README.md"), "writes: true");
    let other = windlass.spawn(["run", "--no-daemon", "--agent", "writer", "go"]);
    other.wait_stderr("the wait for another engine", |e| e.contains("wait"));
    assert_eq!(repo.read("README.md"), "a project\n");
    std::fs::write(repo.beside().join("go"), "").unwrap();
    other.wait().expect_code(0);
    assert_eq!(repo.read("README.md"), "a project\nmore\n");
}

#[test]
fn working_trees_of_one_repository_do_not_wait_for_each_other() {
    let repo = repo();
    let windlass = user(&repo);
    holder(&repo, &windlass);
    let other = repo.beside().join("other");
    repo.git(["worktree", "add", "--quiet", other.to_str().unwrap()]);
    windlass.shell_agent("writer", "echo more >> README.md", "writes: true");
    windlass.run(["-C", other.to_str().unwrap(), "run", "--agent", "writer", "go"]).expect_code(0);
    assert_eq!(std::fs::read_to_string(other.join("README.md")).unwrap(), "a project\nmore\n");
    // All of them are one project.
    let runs = windlass.json(["list", "--json"]);
    assert_eq!(runs["runs"].as_array().unwrap().len(), 2, "{runs:#}");
    std::fs::write(repo.beside().join("go"), "").unwrap();
    let run = id(&windlass.json(["-C", other.to_str().unwrap(), "status", "last", "--json"]));
    windlass.run(["undo", &run, "--yes"]).expect_code(0);
    assert_eq!(std::fs::read_to_string(other.join("README.md")).unwrap(), "a project\n");
}

#[test]
fn gates_hold_the_turn() {
    let repo = repo();
    let windlass = user(&repo);
    let gate = alone(&repo, "echo gate >> ../log");
    let at = repo.beside().display().to_string();
    let worker = alone(&repo, &format!("echo $WINDLASS_STEP >> README.md; echo $WINDLASS_STEP >> {at}/log"));
    windlass.shell_agent("writer", &worker, "writes: true");
    windlass.team(
        "gated",
        &["writer"],
        "maxConcurrency: 4",
        &format!("## a\nrole: writer\ngate: {gate}\n\ngo\n\n## b\nrole: writer\ngate: {gate}; true\n\ngo\n"),
    );
    // Two runs at once, each with two writers and two gates.
    let first = windlass.detach(["--team", "gated", "go"]);
    let second = windlass.detach(["--team", "gated", "go"]);
    for run in [&first, &second] {
        let status = windlass.wait_end(run);
        assert_eq!(status["run"]["status"], "completed", "{status:#}");
        assert_eq!(status["run"]["proof"], "proven", "{status:#}");
        // From a writer's start to its last gate nobody else writes.
        let events = windlass.events(run);
        let span =
            |task: &str| (place(&events, "attempt.started", task), place(&events, "task.completed", task));
        let (a, b) = (span("01_a"), span("02_b"));
        assert!(a.1 < b.0 || b.1 < a.0, "{events:#?}");
    }
    nobody_met(&repo);
    let log = std::fs::read_to_string(repo.beside().join("log")).unwrap();
    assert_eq!(log.lines().filter(|l| *l == "gate").count(), 8, "two gates, before and after, twice: {log}");
}
