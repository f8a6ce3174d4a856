//! Through the shipped binary: runs.

use crate::{ended, keys, world};
use serde_json::{Value, json};
use windlass_testkit::{TempRepo, Windlass};

#[test]
fn nothing_run_yet_is_an_empty_list_and_no_error() {
    let (_repo, windlass) = world();
    assert_eq!(windlass.json(["list", "--json"]), json!({ "runs": [] }));
    assert_eq!(windlass.json(["list", "--all", "--json"]), json!({ "runs": [] }));
    assert!(windlass.run(["list"]).expect_code(0).out().contains("no runs yet"));
    for command in ["status", "show", "events", "logs", "diff", "artifacts", "graph"] {
        let output = windlass.run([command, "--json"]).expect_code(2);
        let error: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(error["error"]["kind"], "usage", "{command}");
        assert!(
            error["error"]["message"].as_str().unwrap().contains("nothing was run"),
            "{command}: {error}"
        );
    }
    assert!(windlass.processes().is_empty(), "looking starts nothing");
}

#[test]
fn the_list_is_newest_first_and_of_this_project_unless_all_is_asked_for() {
    let (_repo, windlass) = world();
    windlass.shell_agent("echo", "echo done", "");
    let first = ended(&windlass, &["--agent", "echo", "first"]);
    let second = ended(&windlass, &["--agent", "echo", "second"]);
    let other = TempRepo::new();
    let there = other.path().display().to_string();
    let third = ended(&windlass, &["-C", &there, "--agent", "echo", "third"]);

    let ids = |args: &[&str]| -> Vec<String> {
        let doc = windlass.json(args);
        doc["runs"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["list", "--json"]), [second.clone(), first.clone()]);
    assert_eq!(ids(&["list", "--json", "-C", &there]), std::slice::from_ref(&third));
    assert_eq!(ids(&["list", "--json", "--all"]), [third.clone(), second.clone(), first.clone()]);
    // Outside of any project every run is shown.
    let outside = TempRepo::without_git();
    let outside = outside.path().display().to_string();
    assert_eq!(ids(&["list", "--json", "-C", &outside]).len(), 3);
    // A project in which nothing was run is not outside.
    let fresh = TempRepo::new();
    assert!(ids(&["list", "--json", "-C", &fresh.path().display().to_string()]).is_empty());

    let doc = windlass.json(["list", "--json", "-n", "1"]);
    let row = &doc["runs"][0];
    for key in ["id", "goal", "team", "status", "proof", "created_at", "cwd"] {
        assert!(row.get(key).is_some(), "{key} in {row}");
    }
    assert_eq!((row["goal"].as_str(), row["status"].as_str()), (Some("second"), Some("completed")));
    let limited = windlass.run(["list", "-n", "1"]).expect_code(0);
    assert!(limited.err().contains("-n N shows more"), "{}", limited.err());
    assert!(limited.out().contains(&second) && !limited.out().contains(&first));
    // A list knows less than a status and says nothing else.
    windlass.team("pair", &["echo"], "", "## one\nrole: echo\n\ngo\n");
    ended(&windlass, &["--team", "pair", "fourth"]);
    let rows = windlass.json(["list", "--json"])["runs"].as_array().unwrap().clone();
    assert_eq!((&rows[0]["team"], &rows[1]["team"]), (&json!("pair"), &Value::Null));
    for row in rows {
        let status = windlass.status(row["id"].as_str().unwrap());
        for (key, value) in row.as_object().unwrap() {
            assert_eq!(*value, status["run"][key], "{key} of {row}");
        }
    }
}

#[test]
fn status_and_show_have_the_promised_shape_and_say_which_run_they_took() {
    let (_repo, windlass) = world();
    windlass.shell_agent("writer", "echo two >> a.txt; echo result", "writes: true");
    let run = ended(&windlass, &["--agent", "writer", "--gate", "grep -q two a.txt", "write"]);
    let status = windlass.json(["status", "--json"]);
    assert_eq!(status["schema"], 1);
    assert_eq!(status["run"]["id"], run.as_str());
    assert_eq!((&status["run"]["status"], &status["run"]["proof"]), (&json!("completed"), &json!("proven")));
    assert_eq!(status["tasks"][0]["evidence"][0]["after"], "green");
    assert_eq!(status["tasks"][0]["result"]["bytes"], 7);
    assert!(windlass.run(["status"]).expect_code(0).err().contains(&run), "which run was taken is said");

    let shown = windlass.json(["show", &run, "--json"]);
    assert_eq!(keys(&shown), keys(&status));
    assert_eq!(shown["run"]["changes"], json!({ "files": 1, "insertions": 1, "deletions": 0 }));
    let text = windlass.run(["show", &run]).expect_code(0).out();
    for part in ["red → green", "results/", "1 file", "proven"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(
        windlass.run(["summary", "last", "-q"]).expect_code(0).out(),
        windlass.run(["show", &run]).out()
    );
}

#[test]
fn what_a_live_worker_does_is_in_its_status() {
    let (repo, windlass) = world();
    let go = repo.beside().join("go");
    let line = format!("echo counting sheep; while [ ! -e '{}' ]; do sleep 0.02; done", go.display());
    windlass.shell_agent("slow", &line, "");
    let run = windlass.detach(["--agent", "slow", "wait"]);
    let mut live = Value::Null;
    windlass_testkit::process::wait_until("a live line", || {
        live = windlass.status(&run)["tasks"][0]["live"].clone();
        live["last_line"].as_str().is_some_and(|line| line.contains("sheep"))
    });
    let mut expected = vec!["last_line", "state", "tool", "tool_since"];
    expected.sort_unstable();
    assert_eq!(keys(&live), expected);
    std::fs::write(go, "").unwrap();
    assert_eq!(windlass.wait_end(&run)["tasks"][0]["live"], Value::Null);
}

#[test]
fn alone_it_is_help_for_programs_and_a_summary_for_people() {
    let (_repo, windlass) = world();
    let help = windlass.run::<&str>([]).expect_code(0);
    assert!(help.out().contains("Usage: windlass"), "{}", help.out());
    let (code, screen) = windlass.terminal::<&str>([], 24, 80).wait();
    assert_eq!(code, 0);
    assert!(screen.contains("windlass demo"), "{screen}");

    windlass.shell_agent("echo", "echo done", "");
    windlass.shell_agent("reader", "echo more > b.txt", "");
    let done = ended(&windlass, &["--agent", "echo", "a first goal"]);
    let needs = ended(&windlass, &["--agent", "reader", "a second goal"]);
    let summary = windlass.json(["--json"]);
    assert_eq!(summary["ended"][0]["id"], done.as_str());
    assert_eq!(summary["needs"][0]["run"]["id"], needs.as_str());
    assert!(summary["needs"][0]["command"].as_str().unwrap().contains(&needs), "{summary}");
    let look = |windlass: &Windlass| windlass.terminal::<&str>([], 40, 100).wait().1;
    let screen = look(&windlass);
    assert!(screen.contains("a first goal") && screen.contains("a second goal"), "{screen}");
    // What was seen has been seen; what needs the user stays.
    let screen = look(&windlass);
    assert!(!screen.contains("a first goal") && screen.contains("a second goal"), "{screen}");
}

#[test]
fn what_would_be_done_is_a_document_too() {
    let (_repo, windlass) = world();
    windlass.shell_agent("echo", "echo done", "");
    let run = ended(&windlass, &["--agent", "echo", "go"]);
    assert_eq!(
        windlass.json(["rm", &run, "--dry-run", "--json"]),
        json!({ "removed": [], "runs": [run.as_str()], "dry_run": true })
    );
    assert_eq!(
        windlass.json(["cancel", &run, "--dry-run", "--json"]),
        json!({ "run": run.as_str(), "task": null, "tasks": [], "dry_run": true })
    );
    assert_eq!(windlass.run(["cancel", &run, "--dry-run"]).expect_code(0).out(), "would stop: nothing\n");
    // Nothing to wait for is said, and is no failure.
    let waited = windlass.run(["wait"]).expect_code(0);
    assert!(waited.err().contains("no run of this project is under way"), "{}", waited.err());
    windlass.run(["status", &run]).expect_code(0);
}
