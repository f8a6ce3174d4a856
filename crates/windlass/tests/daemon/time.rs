//! The cap on a run's time: a warning at 80 %, an end at the cap, and the same time again for who goes on.
//!
//! Between warning and cap lie two seconds, so that an engine on a busy machine sees both; nothing here measures time.

use crate::world::{World, check_journal, count, step, task};
use serde_json::{Value, json};
use windlass_testkit::process::Output;

const CAP: &str = "10s";

/// What a watcher, the state and the journal say of a run that its time held up.
#[track_caller]
fn expect_blocked(world: &World, watcher: &Output) -> Value {
    assert_eq!(watcher.code, Some(3), "{}", watcher.err());
    assert_eq!(watcher.out(), "", "there is no result yet");
    for part in ["80 %", "the cap on time", "windlass resume"] {
        assert!(watcher.err().contains(part), "`{part}` is not in {}", watcher.err());
    }
    let status = world.user.status("last");
    assert_eq!(status["run"]["status"], "blocked", "{status:#}");
    let events = world.user.events("last");
    check_journal(&events);
    assert_eq!((count(&events, "cap.warned"), count(&events, "cap.reached")), (1, 1), "{events:#?}");
    let at = |kind: &str| events.iter().position(|e| e["type"] == kind).unwrap();
    assert!(at("cap.warned") < at("cap.reached"), "{events:#?}");
    for kind in ["cap.warned", "cap.reached"] {
        let data = &events[at(kind)]["data"];
        assert_eq!((&data["cap"], &data["limit"]), (&json!("wall"), &json!(10_000)), "{data}");
    }
    status
}

#[test]
fn the_cap_on_time_lets_a_command_end_and_starts_nothing_more() {
    let world = World::new();
    world.agent("first", "start\nwait_for go\nprintf 'the first words'\nend");
    world.agent("last", "start\ncat >/dev/null\nprintf 'the last words'\nend");
    let steps = [step("a", "first", &[]), step("b", "last", &["a"])];
    world.team("two", 2, &[], &steps);
    let running = world.user.spawn(["run", "--team", "two", "--timeout", CAP, "do it"]);
    world.wait_started(&["a"]);
    world.user.wait_for("last", "the cap", |e| count(e, "cap.reached") == 1);
    // It is at work still, and what it does to its end is kept.
    let status = world.user.status("last");
    assert_eq!(task(&status, "a")["status"], "running", "{status:#}");
    world.set("go");
    let status = expect_blocked(&world, &running.wait());
    assert_eq!(task(&status, "a")["status"], "completed", "{status:#}");
    assert_eq!(task(&status, "b")["attempts"], json!([]), "{status:#}");
    assert_eq!(world.log().started("b"), 0);

    // Who goes on need not raise it: the same time is granted again.
    let output = world.user.run(["resume", "last"]).expect_code(0);
    assert_eq!(output.out(), "the last words");
    assert_eq!(world.user.status("last")["run"]["status"], "completed");
    world.log().assert_each_once(&steps);
    check_journal(&world.user.events("last"));
}

#[test]
fn the_cap_on_time_stops_the_worker_of_a_model_and_a_resume_goes_on() {
    let world = World::new();
    world.user.model_agent("player", "read");
    world.user.team("play", &["player"], "maxConcurrency: 2", "## play\nrole: player\n\ngo\n");
    let script = world.user.script(json!([
        { "when": { "step": "play", "attempt": 1 }, "do": [{ "say": "at work" }, "hang"] },
        { "when": { "step": "play" }, "do": [{ "answer": "done after all\n" }] },
    ]));
    let script = script.to_str().unwrap();
    let args =
        ["run", "--team", "play", "--runtime", "rehearsal", "--script", script, "--timeout", CAP, "go"];
    // It would hang for ever: that the watcher ends says that it was stopped.
    let status = expect_blocked(&world, &world.user.spawn(args).wait());
    let first = &task(&status, "play")["attempts"];
    assert_eq!(first.as_array().unwrap().len(), 1, "{status:#}");
    assert_eq!(first[0]["exit"], Value::Null, "{status:#}");

    let output = world.user.run(["resume", "last"]).expect_code(0);
    assert_eq!(output.out(), "done after all\n");
    let status = world.user.status("last");
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    let attempts = task(&status, "play")["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{status:#}");
    check_journal(&world.user.events("last"));
}
