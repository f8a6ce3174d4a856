//! A step that is done for each item of a list that an earlier one made.

use crate::{World, of_type, states, task};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use windlass_testkit::process::wait_until;

/// Items of the long list.
const MANY: usize = 200;

/// A scanner that answers with the mark `list`, and a step for each of its items with these keys.
fn world(keys: &str, script: &str) -> World {
    let world = World::new();
    world.agent("scanner", "cat \"$M/list\"", "writes: false");
    world.agent("worker", script, "writes: false");
    world.agent("closer", "echo closed", "writes: false");
    world.user.team(
        "fan",
        &["scanner", "worker", "closer"],
        "maxConcurrency: 8",
        &format!(
            "## scan\nrole: scanner\n\nlist\n\n## each\nrole: worker\nforEach: scan\nattempts: 1\n{keys}\nlook at {{item}}\n\n\
             ## close\nrole: closer\ndependsOn: each\n\nclose\n"
        ),
    );
    world
}

fn long_list() -> String {
    let mut text = "I found these:\n\n".to_owned();
    for n in 1..=MANY {
        let _ = writeln!(text, "- src/file {n}.rs");
    }
    text
}

/// Kills the daemon when so many parts have ended, and lets the next command start another.
fn kill_at(world: &World, run: &str, ended: usize) {
    world.user.wait_for(run, "parts that have ended", |events| {
        let parts = of_type(events, "attempt.ended");
        parts.iter().filter(|e| e["data"]["task"].as_str().unwrap().starts_with("02_each.")).count() >= ended
    });
    world.user.kill_daemon();
    world.user.run(["daemon", "start"]).expect_code(0);
}

/// How many parts there are in which state.
fn tally(status: &Value) -> BTreeMap<&str, usize> {
    let mut tally = BTreeMap::new();
    for (_, state) in states(status).into_iter().filter(|(id, _)| id.starts_with("02_each.")) {
        *tally.entry(state).or_default() += 1;
    }
    tally
}

/// No attempt of a part was ever alive beside another one.
#[track_caller]
fn check_attempts(events: &[Value]) {
    let mut live: BTreeMap<String, u64> = BTreeMap::new();
    for event in events {
        let Some(id) = event["data"]["task"].as_str() else { continue };
        let n = event["data"]["n"].as_u64().unwrap_or(0);
        match event["type"].as_str().unwrap() {
            "attempt.started" => {
                let before = live.insert(id.to_owned(), n);
                assert_eq!(before, None, "{id} was started beside another attempt");
            }
            "attempt.ended" | "attempt.voided" | "attempt.swept" => {
                live.remove(id);
            }
            _ => {}
        }
    }
}

#[test]
fn two_hundred_items_found_on_the_way_are_each_done_once_whatever_is_killed() {
    let world = world("max: 200\n", "printf '%s\\n' \"$TOLD\" | head -1");
    world.set("list", &long_list());
    let run = world.user.detach(["--team", "fan", "go"]);
    for ended in [10, 60, 120] {
        kill_at(&world, &run, ended);
    }
    let status = world.user.wait_end(&run);
    assert_eq!(status["run"]["status"], "completed", "{:#}", status["run"]);
    assert_eq!(tally(&status), BTreeMap::from([("completed", MANY)]));
    for n in 1..=MANY {
        let id = format!("02_each.{n}");
        assert_eq!(world.log(&id), (1, 1), "{id}");
        let part = task(&status, &id);
        assert_eq!((&part["item"], &part["parent"]), (&json!(format!("src/file {n}.rs")), &json!("02_each")));
        let result = std::fs::read_to_string(part["result"]["path"].as_str().unwrap()).unwrap();
        assert_eq!(result, format!("look at src/file {n}.rs\n"));
    }
    let each = task(&status, "02_each");
    assert_eq!(
        each["parts"],
        json!({ "revision": 1, "total": MANY, "completed": MANY, "open": 0, "needed": MANY })
    );
    let events = world.user.events(&run);
    check_attempts(&events);
    assert!(of_type(&events, "run.taken").len() >= 4, "it was taken over after each kill");
    assert_eq!(of_type(&events, "plan.made").len(), 1);
    assert_eq!(of_type(&events, "run.completed").len(), 1);
    // All of them reach who comes after: as many as there is room for, each named.
    let told = world.read("told.03_close.1");
    for n in [1, MANY] {
        assert!(told.contains(&format!("result of 02_each.{n} ")), "{told}");
    }
}

#[test]
fn at_least_so_many_must_complete_and_no_fewer() {
    let script = "n=${WINDLASS_TASK##*.}\n[ $((n % 4)) -ne 0 ] || exit 3\necho fine";
    for (join, code) in [(150, 0), (151, 1)] {
        let world = world(&format!("max: 200\njoin: {join}\n"), script);
        world.set("list", &long_list());
        let run = world.user.detach(["--team", "fan", "go"]);
        kill_at(&world, &run, 75);
        world.user.run(["wait", &run]).expect_code(code);
        let status = world.user.status(&run);
        let (each, close) = (task(&status, "02_each"), task(&status, "03_close"));
        if code == 0 {
            assert_eq!((&each["status"], &close["status"]), (&json!("completed"), &json!("completed")));
            assert_eq!(each["parts"]["completed"], 150);
        } else {
            assert_eq!(tally(&status), BTreeMap::from([("completed", 150), ("failed", 50)]));
            assert_eq!((&each["status"], &close["status"]), (&json!("failed"), &json!("skipped")));
            let said = each["error"]["message"].as_str().unwrap();
            assert!(said.starts_with("150 of 200 completed, 151 must"), "{said}");
        }
        check_attempts(&world.user.events(&run));
    }
}

#[test]
fn when_any_one_is_enough_the_rest_is_stopped() {
    let world =
        world("max: 200\njoin: any\n", "wait_for \"go.${WINDLASS_TASK##*.}\"\necho \"$WINDLASS_TASK\"");
    world.set("list", &long_list());
    let run = world.user.detach(["--team", "fan", "go"]);
    wait_until("several at work", || world.read("log").matches("start 02_each.").count() >= 2);
    world.user.kill_daemon();
    world.user.run(["daemon", "start"]).expect_code(0);
    world.set("go.1", "");
    let status = world.user.wait_end(&run);
    assert_eq!(status["run"]["status"], "completed", "{:#}", status["run"]);
    assert_eq!(tally(&status), BTreeMap::from([("cancelled", MANY - 1), ("completed", 1)]));
    assert_eq!(task(&status, "02_each.1")["status"], "completed");
    assert_eq!(task(&status, "02_each.6")["excused"], true);
    // There is room for eight; one more may have taken the place of the first before that was seen.
    assert!(world.read("log").matches("start 02_each.").count() <= 9, "{}", world.read("log"));
    assert_eq!(world.log("03_close"), (1, 1));
    wait_until("the rest to be gone", || {
        world.user.processes().iter().all(|p| !p.command.contains("wait_for"))
    });
}

#[test]
fn what_is_no_list_or_too_long_is_refused_until_it_is_made_anew() {
    for (word, list, words) in [
        ("retry", "I found nothing to speak of.\n", "it is no list"),
        ("resume", "- a\n- b\n- c\n", "the list has 3 items; at most 2 are allowed"),
    ] {
        let world = world("max: 2\n", "echo \"$TOLD\"");
        world.set("list", list);
        let output = world.user.run(["run", "--team", "fan", "go"]).expect_code(1);
        assert!(output.err().contains(words), "{}", output.err());
        let status = world.user.status("last");
        let all = [("01_scan", "completed"), ("02_each", "failed"), ("03_close", "skipped")];
        assert_eq!(states(&status), all);

        // Reading it again would change nothing: it is made anew.
        let again = world.user.run(["retry", "last"]).expect_code(1);
        assert!(again.err().contains("retry") && again.err().contains("01_scan"), "{}", again.err());
        world.set("list", "1. a\n2. b\n");
        world.user.run([word, "last"]).expect_code(0);
        assert_eq!((world.log("02_each.1"), world.log("02_each.2")), ((1, 1), (1, 1)));
        world.user.run(["replay", "last"]).expect_code(0);
    }
}

#[test]
fn an_empty_list_is_done_and_items_are_text_not_orders() {
    let world = world("", "printf '%s' \"$TOLD\"");
    world.set("list", "```json\n[]\n```\n");
    world.user.run(["run", "--team", "fan", "go"]).expect_code(0);
    let status = world.user.status("last");
    assert_eq!(task(&status, "02_each")["parts"]["total"], 0);

    world.set("list", "```json\n[\"plain.rs\", \"two\\nlines `of` it\", {\"file\": \"a.rs\"}]\n```\n");
    world.user.run(["run", "--team", "fan", "go"]).expect_code(0);
    assert!(world.read("told.02_each.1.1").starts_with("look at plain.rs"));
    let second = world.read("told.02_each.2.1");
    assert!(second.starts_with("look at the item that is given below"), "{second}");
    assert!(second.contains("two\nlines `of` it"), "{second}");
    assert!(world.read("told.02_each.3.1").contains(r#"{"file":"a.rs"}"#));
}
