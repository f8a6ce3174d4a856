//! Through the shipped binary: `show --why`.

use crate::{ended, world};
use serde_json::{Value, json};
use windlass_testkit::process::wait_until;
use windlass_testkit::{TempRepo, Windlass};

fn why(windlass: &Windlass, address: &str) -> Value {
    windlass.json(["show", address, "--why", "--json"])
}

fn first(doc: &Value) -> &Value {
    &doc["reasons"][0]
}

fn said(windlass: &Windlass, address: &str) -> String {
    windlass.run(["show", address, "--why"]).expect_code(0).out()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|m| m["text"].as_str().unwrap().to_owned()).collect()
}

/// Waits for a file, so that its worker is live until the test says otherwise.
fn waits_for(repo: &TempRepo, name: &str) -> String {
    format!("while [ ! -e '{}' ]; do sleep 0.02; done", repo.beside().join(name).display())
}

fn started(windlass: &Windlass, run: &str) {
    windlass.wait_for(run, "a start", |events| events.iter().any(|e| e["type"] == "attempt.started"));
}

#[test]
fn a_task_that_waits_names_its_dependency_and_one_at_work_its_limits() {
    let (repo, windlass) = world();
    windlass.shell_agent("slow", &waits_for(&repo, "go"), "");
    windlass.shell_agent("echo", "echo done", "");
    windlass.team(
        "pair",
        &["slow", "echo"],
        "",
        "## a\nrole: slow\nsilence: 10m\ntimeout: 20m\n\ngo\n\n## b\nrole: echo\ndependsOn: a\n\ngo\n",
    );
    let run = windlass.detach(["-t", "pair", "go"]);
    started(&windlass, &run);

    let b = why(&windlass, &format!("{run}/b"));
    assert_eq!((&b["task"], &b["status"]), (&json!("02_b"), &json!("queued")));
    assert_eq!(first(&b)["reason"], "dependencies");
    assert_eq!(first(&b)["on"], json!([{ "task": "01_a", "status": "running" }]));
    assert_eq!(first(&b)["text"], "waits for 01_a (running)");
    assert_eq!(
        texts(&b["moves"]),
        ["with task.completed of 01_a".to_owned(), format!("windlass show {run}/01_a --why")]
    );
    assert_eq!((&b["rule"], &b["facts"]), (&Value::Null, &json!([])));
    assert!(said(&windlass, &format!("{run}/02_b")).contains("waits for 01_a (running)"));

    let a = why(&windlass, &format!("{run}/a"));
    assert_eq!((&first(&a)["reason"], &first(&a)["silence_ms"]), (&json!("working"), &json!(600_000)));
    let since = first(&a)["since"].as_i64().unwrap();
    assert_eq!(first(&a)["until"], since + 1_200_000);
    assert_eq!(a["facts"][0]["type"], "attempt.started");
    assert_eq!(a["led"], true);

    let whole = why(&windlass, &run);
    assert_eq!((&whole["task"], &first(&whole)["reason"]), (&Value::Null, &json!("tasks")));
    assert_eq!(whole["tasks"][1]["reasons"], b["reasons"]);
    let text = said(&windlass, &run);
    assert!(text.contains("at work: 01_a (running)") && text.contains("02_b"), "{text}");

    // The command that it offers is one that works.
    std::fs::write(repo.beside().join("go"), "").unwrap();
    windlass.wait_end(&run);
    let b = why(&windlass, &format!("{run}/b"));
    assert_eq!((&b["reasons"], &b["moves"], &b["led"]), (&json!([]), &json!([]), &Value::Null));
    assert_eq!(b["rule"]["rule"], "contract_held");
    let facts: Vec<&str> =
        b["facts"].as_array().unwrap().iter().map(|f| f["type"].as_str().unwrap()).collect();
    assert_eq!(facts, ["attempt.started", "attempt.ended", "task.completed"]);
}

#[test]
fn a_pause_is_named_until_its_end_and_used_attempts_are_counted() {
    let (_repo, windlass) = world();
    windlass.shell_agent("dies", "kill -9 $$", "");
    windlass.team("one", &["dies"], "", "## a\nrole: dies\nattempts: 6\n\ngo\n");
    let run = windlass.detach(["-t", "one", "go"]);
    let address = format!("{run}/a");
    let mut pause = Value::Null;
    // The pauses grow, so that one of them is long enough to be seen.
    wait_until("a pause", || {
        pause = why(&windlass, &address);
        first(&pause)["reason"] == "backoff"
    });
    assert_eq!((&first(&pause)["class"], &first(&pause)["of"]), (&json!("signal"), &json!(6)));
    let until = first(&pause)["until"].as_i64().unwrap();
    assert_eq!(pause["moves"][0], json!({ "by": "time", "at": until, "text": pause["moves"][0]["text"] }));
    let ended_at = pause["facts"].as_array().unwrap().last().unwrap()["at"].as_i64().unwrap();
    assert!(until > ended_at, "{pause:#}");
    windlass.run(["cancel", &run, "--yes"]).expect_code(0);
    windlass.wait_end(&run);
    let over = why(&windlass, &address);
    assert_eq!(over["rule"]["rule"], "cancelled");
    assert!(over["facts"].as_array().unwrap().iter().any(|f| f["type"] == "cancel.requested"), "{over:#}");

    windlass.team("few", &["dies"], "", "## a\nrole: dies\nattempts: 2\n\ngo\n");
    let run = ended(&windlass, &["-t", "few", "go"]);
    let over = why(&windlass, &format!("{run}/a"));
    assert_eq!(over["rule"]["text"], "2 of 2 attempts used; last failure: killed by signal 9");
    assert_eq!(
        texts(&over["moves"]),
        [format!("windlass logs {run}/01_a"), format!("windlass retry {run} 01_a")]
    );
    let text = said(&windlass, &run);
    assert!(text.contains("01_a is failed"), "{text}");
}

#[test]
fn the_trees_turn_is_named_with_the_run_that_holds_it() {
    let (repo, windlass) = world();
    windlass.shell_agent("writer", &waits_for(&repo, "go"), "writes: true");
    let one = windlass.detach(["--agent", "writer", "one"]);
    started(&windlass, &one);
    let two = windlass.detach(["--agent", "writer", "two"]);
    windlass.wait_for(&two, "its wait", |events| events.iter().any(|e| e["type"] == "run.waiting"));
    let task = why(&windlass, &format!("{two}/writer"));
    let who = format!("run {one}");
    assert_eq!(
        (&first(&task)["reason"], &first(&task)["holder"]),
        (&json!("turn"), &json!({ "is": "other", "who": who }))
    );
    assert_eq!(first(&task)["text"], format!("waits for the tree's turn: {who} has it"));
    assert_eq!(texts(&task["moves"]), [format!("when {who} gives the tree back")]);
    assert_eq!(why(&windlass, &two)["reasons"], task["reasons"]);
    std::fs::write(repo.beside().join("go"), "").unwrap();
    windlass.wait_end(&one);
    assert_eq!(windlass.wait_end(&two)["run"]["status"], "completed");
}

#[test]
fn a_cap_that_is_reached_is_named_with_the_command_that_goes_on() {
    let (_repo, windlass) = world();
    let script = windlass.script(json!([{ "do": [
        { "usage": { "input": 900, "output": 300 } }, { "answer": "done" },
    ] }]));
    windlass.model_agent("player", "read");
    windlass.team(
        "two",
        &["player"],
        "",
        "## a\nrole: player\n\ngo\n\n## b\nrole: player\ndependsOn: a\n\ngo\n",
    );
    let script = script.display().to_string();
    let args = ["-t", "two", "--runtime", "rehearsal", "--script", &script, "--budget-tokens", "1000", "go"];
    let run = windlass.detach(args);
    assert_eq!(windlass.wait_end(&run)["run"]["status"], "blocked");
    let whole = why(&windlass, &run);
    assert_eq!(
        (&first(&whole)["reason"], &first(&whole)["cap"], &first(&whole)["used"], &first(&whole)["limit"]),
        (&json!("cap"), &json!("tokens"), &json!(1_200), &json!(1_000))
    );
    let command = format!("windlass resume {run} --budget-tokens 2000");
    assert_eq!(texts(&whole["moves"]), [command.as_str()]);
    // What does not start says so, too, whatever else it waits for.
    let task = why(&windlass, &format!("{run}/b"));
    let reasons = task["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|r| r["reason"] == "cap"), "{task:#}");
    let text = said(&windlass, &run);
    assert!(text.contains("the cap on tokens is reached") && text.contains(&command), "{text}");
    // The command goes on as it stands.
    windlass.run(command.split(' ').skip(1).chain(["-d"])).expect_code(0);
    windlass.wait_end(&run);
    assert!(windlass.events(&run).iter().any(|e| e["type"] == "run.resumed"));
}

#[test]
fn what_needs_a_person_says_so_with_the_rule_and_the_commands() {
    let (_repo, windlass) = world();
    windlass.shell_agent("reader", "echo more > b.txt", "");
    let run = ended(&windlass, &["--agent", "reader", "look"]);
    let task = why(&windlass, &format!("{run}/reader"));
    assert_eq!(
        (&task["status"], &task["rule"]["rule"]),
        (&json!("needs_attention"), &json!("read_only_changed"))
    );
    let id = task["task"].as_str().unwrap();
    let commands = [format!("windlass diff {run} {id}"), format!("windlass retry {run} {id}")];
    assert_eq!(texts(&task["moves"]), commands);
    let whole = why(&windlass, &run);
    assert_eq!((&first(&whole)["reason"], &first(&whole)["tasks"]), (&json!("blocked"), &json!([id])));
    // They can be typed as they stand.
    windlass.run(commands[0].split(' ').skip(1)).expect_code(0);
    windlass.run(commands[1].split(' ').skip(1).chain(["-d"])).expect_code(0);
}

#[test]
fn a_failed_gate_is_named_with_what_it_was_before_and_what_it_skipped() {
    let (_repo, windlass) = world();
    windlass.shell_agent("writer", "echo two >> a.txt", "writes: true");
    windlass.shell_agent("echo", "echo done", "");
    windlass.team(
        "three",
        &["writer", "echo"],
        "",
        "## a\nrole: writer\n\ngo\n\n## b\nrole: echo\ndependsOn: a\n\ngo\n\n## c\nrole: echo\ndependsOn: b\n\ngo\n",
    );
    let run = ended(&windlass, &["-t", "three", "--gate", "! grep -q two a.txt", "go"]);
    let task = why(&windlass, &format!("{run}/a"));
    assert_eq!(task["rule"]["rule"], "gate_red");
    assert_eq!(
        (&task["rule"]["gate"]["before"], &task["rule"]["gate"]["green"]),
        (&json!(true), &json!(false))
    );
    let text = task["rule"]["text"].as_str().unwrap();
    assert!(text.starts_with("the gate `! grep -q two a.txt` is green → red; "), "{text}");
    let skipped = why(&windlass, &format!("{run}/c"));
    assert_eq!(
        skipped["rule"]["text"],
        "it depends on what did not complete: 02_b (skipped); that began with 01_a (failed)"
    );
    assert_eq!(
        texts(&skipped["moves"]),
        [format!("windlass show {run}/01_a --why"), format!("windlass retry {run} 01_a")]
    );
    let whole = why(&windlass, &run);
    assert_eq!(whole["rule"]["task"], json!({ "task": "01_a", "status": "failed" }));
    assert_eq!(whole["tasks"], json!([]));
}

#[test]
fn without_an_engine_it_says_so_and_starts_none() {
    let (repo, windlass) = world();
    windlass.shell_agent("slow", &waits_for(&repo, "go"), "");
    let run = windlass.detach(["--agent", "slow", "go"]);
    started(&windlass, &run);
    windlass.run(["daemon", "stop"]).expect_code(0);
    wait_until("the daemon to be gone", || windlass.daemon_pid().is_none());
    let output = windlass.run(["show", &run, "--why"]).expect_code(0);
    assert!(output.err().contains("no engine leads this run now"), "{}", output.err());
    assert_eq!(why(&windlass, &run)["led"], false);
    assert!(windlass.daemon_pid().is_none(), "looking starts nothing");
    std::fs::write(repo.beside().join("go"), "").unwrap();
    windlass.wait_end(&run);
}
