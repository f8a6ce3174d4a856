//! Through the shipped binary: `replay`.

use crate::{ended, world};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use windlass_testkit::Windlass;
use windlass_testkit::process::wait_until;

/// A run with gates, a repeated start and a step that is skipped, at its end.
fn eventful(windlass: &Windlass) -> String {
    windlass.shell_agent("writer", "echo two >> a.txt", "writes: true");
    windlass.shell_agent("dies", "kill -9 $$", "");
    windlass.team(
        "three",
        &["writer", "dies"],
        "",
        "## a\nrole: writer\n\ngo\n\n## b\nrole: dies\nattempts: 2\ndependsOn: a\n\ngo\n\n## c\nrole: dies\ndependsOn: b\n\ngo\n",
    );
    ended(windlass, &["-t", "three", "--gate", "grep -q two a.txt", "go"])
}

fn verdict(lines: &[Value]) -> &Value {
    lines.last().unwrap()
}

/// The database of a user's only project, with nobody at work in it.
fn database(windlass: &Windlass) -> Connection {
    windlass.run(["daemon", "stop"]).expect_code(0);
    wait_until("the daemon to be gone", || windlass.daemon_pid().is_none());
    let projects = windlass.home().join("state/projects");
    let project = std::fs::read_dir(projects).unwrap().next().unwrap().unwrap();
    Connection::open(project.path().join("windlass.db")).unwrap()
}

fn row(db: &Connection, seq: i64) -> (i64, i64, String) {
    db.query_row("SELECT key, at, body FROM events WHERE key & 4294967295 = ?1", [seq], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
    .unwrap()
}

/// Writes another body in the place of an event, with a checksum that fits it: what the store alone cannot tell from the truth.
fn forge(db: &Connection, seq: i64, change: impl FnOnce(&mut Value)) {
    let (key, at, body) = row(db, seq);
    let mut event: Value = serde_json::from_str(&body).unwrap();
    change(&mut event);
    let body = event.to_string();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seq.to_le_bytes()).update(&at.to_le_bytes()).update(body.as_bytes());
    let sum = i32::from_le_bytes(hasher.finalize().as_bytes()[..4].try_into().unwrap());
    let changed = db.execute("UPDATE events SET sum = ?2, body = ?3 WHERE key = ?1", params![key, sum, body]);
    assert_eq!(changed.unwrap(), 1);
}

#[test]
fn a_real_run_is_what_the_core_decides_event_by_event() {
    let (_repo, windlass) = world();
    let run = eventful(&windlass);
    let events = windlass.events(&run);
    let lines = windlass.json_lines(["replay", &run, "--json"]);
    assert_eq!(lines.len(), events.len() + 1);
    for (line, event) in lines.iter().zip(&events) {
        for key in ["run", "seq", "at", "type", "data"] {
            assert_eq!(line[key], event[key], "{line}");
        }
    }
    let end = verdict(&lines);
    assert_eq!(
        (&end["status"], &end["difference"], &end["damage"]),
        (&json!("failed"), &Value::Null, &Value::Null)
    );
    let count = |by: &str| lines.iter().filter(|l| l["by"] == by).count();
    assert_eq!(end["checked"]["decisions"], count("decision"));
    assert_eq!(end["checked"]["inputs"], count("input"));
    assert!(count("decision") > 8 && count("input") > 8, "{end}");

    // What each changed: the statuses of the run and of every task follow on each other, and end where `status` says.
    let mut stands = std::collections::BTreeMap::new();
    let mut of_run = Value::Null;
    for line in &lines[..events.len()] {
        assert_eq!(line["status"]["before"], of_run, "{line}");
        of_run = line["status"]["after"].clone();
        for change in line["tasks"].as_array().unwrap() {
            let task = change["task"].as_str().unwrap().to_owned();
            let before = stands.insert(task, change["after"].clone()).unwrap_or(Value::Null);
            assert_eq!(change["before"], before, "{line}");
            assert_ne!(change["before"], change["after"], "{line}");
        }
    }
    let status = windlass.status(&run);
    assert_eq!(of_run, status["run"]["status"]);
    for task in status["tasks"].as_array().unwrap() {
        assert_eq!(stands[task["id"].as_str().unwrap()]["status"], task["status"]);
    }

    let text = windlass.run(["replay", &run]).expect_code(0).out();
    assert!(text.contains("02_b  queued → ready"), "{text}");
    assert!(text.contains("run  running → failed"), "{text}");
    assert!(text.contains("what the core decides there"), "{text}");
    let quiet = windlass.run(["replay", &run, "-q"]).expect_code(0).out();
    assert!(text.ends_with(&quiet) && quiet.lines().count() == 2, "{quiet}");
}

#[test]
fn a_live_run_is_checked_as_far_as_it_has_come_and_a_place_can_be_named() {
    let (repo, windlass) = world();
    let go = repo.beside().join("go");
    windlass.shell_agent("slow", &format!("while [ ! -e '{}' ]; do sleep 0.02; done", go.display()), "");
    let run = windlass.detach(["--agent", "slow", "go"]);
    windlass.wait_for(&run, "a start", |events| events.iter().any(|e| e["type"] == "attempt.started"));
    let lines = windlass.json_lines(["replay", &run, "--json"]);
    assert_eq!(
        (&verdict(&lines)["status"], &verdict(&lines)["difference"]),
        (&json!("running"), &Value::Null)
    );
    let lines = windlass.json_lines(["replay", &run, "--to", "2", "--json"]);
    assert_eq!((lines.len(), &verdict(&lines)["checked"]["events"]), (3, &json!(2)));
    std::fs::write(go, "").unwrap();
    windlass.wait_end(&run);
}

#[test]
fn a_forged_decision_is_found_where_it_stands() {
    let (_repo, windlass) = world();
    let run = eventful(&windlass);
    let events = windlass.events(&run);
    let seq = |kind: &str| events.iter().find(|e| e["type"] == kind).unwrap()["seq"].as_i64().unwrap();
    let (completed, failed) = (seq("task.completed"), seq("task.failed"));
    let db = database(&windlass);
    forge(&db, failed, |event| event["data"]["failure"]["message"] = json!("it was the weather"));
    let output = windlass.run(["replay", &run]).expect_code(1);
    let text = output.out();
    assert!(text.contains(&format!("event {failed} is not what the core decides there")), "{text}");
    assert!(text.contains("failure.message: \"it was the weather\" is recorded, "), "{text}");

    // The first difference is the one that is told, and nothing after it.
    forge(&db, completed, |event| event["data"]["proof"] = json!("unproven"));
    let output = windlass.run(["replay", &run, "--json"]).expect_code(1);
    let lines: Vec<Value> = output.out().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len() as i64, completed);
    let difference = &verdict(&lines)["difference"];
    assert_eq!((&difference["seq"], &difference["how"]), (&json!(completed), &json!("decided")));
    assert_eq!(difference["recorded"]["data"]["proof"], "unproven");
    assert_eq!(difference["decided"][0]["data"]["proof"], "proven");
    // Before it nothing differs.
    let before = (completed - 1).to_string();
    windlass.run(["replay", &run, "--to", &before]).expect_code(0);
}

#[test]
fn a_missing_decision_is_found() {
    let (_repo, windlass) = world();
    windlass.shell_agent("echo", "echo done", "");
    let run = ended(&windlass, &["--agent", "echo", "go"]);
    let events = windlass.events(&run);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "run.completed");
    let seq = last["seq"].as_i64().unwrap();
    let db = database(&windlass);
    let key = row(&db, seq).0;
    db.execute("DELETE FROM events WHERE key = ?1", [key]).unwrap();
    db.execute("DELETE FROM snapshots", []).unwrap();
    let output = windlass.run(["replay", &run, "--json"]).expect_code(1);
    let lines: Vec<Value> = output.out().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let difference = &verdict(&lines)["difference"];
    assert_eq!(
        (&difference["seq"], &difference["how"], &difference["recorded"]),
        (&json!(seq), &json!("undecided"), &Value::Null)
    );
    assert_eq!(difference["decided"][0]["type"], "run.completed");
}

#[test]
fn damage_is_said_with_its_bytes_and_they_stay() {
    let (_repo, windlass) = world();
    let run = eventful(&windlass);
    let events = windlass.events(&run);
    let seq = events.iter().find(|e| e["type"] == "task.completed").unwrap()["seq"].as_i64().unwrap();
    let db = database(&windlass);
    let (key, _, body) = row(&db, seq);
    let torn = format!("{}\u{1b}[31m", &body[..body.len() / 2]);
    db.execute("UPDATE events SET body = ?2 WHERE key = ?1", params![key, torn]).unwrap();
    let output = windlass.run(["replay", &run]).expect_code(5);
    let text = output.out();
    assert!(text.contains(&format!("event {seq} is damaged: its checksum does not fit")), "{text}");
    let start: String = torn.chars().take(20).collect();
    assert!(text.contains(&start) && text.contains("\\x1b[31m") && !text.contains('\u{1b}'), "{text}");
    let output = windlass.run(["replay", &run, "--json"]).expect_code(5);
    let lines: Vec<Value> = output.out().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len() as i64, seq, "what stands before it is shown");
    let damage = &verdict(&lines)["damage"];
    assert_eq!((&damage["seq"], &verdict(&lines)["difference"]), (&json!(seq), &Value::Null));
    assert!(damage["bytes"].as_str().unwrap().starts_with(&start), "{damage}");
    assert_eq!(row(&db, seq).2, torn, "nothing was changed");
    // What is asked for stands before the damage.
    windlass.run(["replay", &run, "--to", &(seq - 1).to_string()]).expect_code(0);
}

#[test]
fn steps_wait_for_a_key_on_a_terminal_and_for_none_elsewhere() {
    let (_repo, windlass) = world();
    windlass.shell_agent("echo", "echo done", "");
    let run = ended(&windlass, &["--agent", "echo", "go"]);
    let refused = windlass.run(["replay", &run, "--step"]).expect_code(2);
    assert!(refused.err().contains("terminal"), "{}", refused.err());
    let mut terminal = windlass.terminal(["replay", &run, "--step"], 40, 100);
    let screen = terminal.wait_screen("the first question", |s| s.contains("[N/g/q]"));
    assert!(screen.contains("run created") && !screen.contains("planned"), "{screen}");
    terminal.send("n");
    terminal.wait_screen("the second event", |s| s.contains("planned") && s.matches("[N/g/q]").count() == 2);
    terminal.send("g");
    let (code, screen) = terminal.wait();
    assert_eq!(code, 0);
    assert!(screen.contains("run completed") && screen.contains("what the core decides there"), "{screen}");
}
