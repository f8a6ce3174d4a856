//! A step whose result is a plan.

use crate::{World, of_type, seq, states, task};
use serde_json::{Value, json};

/// Five tasks in three phases.
fn five() -> Value {
    json!({ "phases": [
        { "name": "build", "tasks": [
            { "id": "parser", "role": "worker", "title": "The parser", "task": "make the parser", "output": "parser.md" },
            { "id": "printer", "role": "developer", "task": "make the printer" } ] },
        { "name": "check", "tasks": [{ "id": "look", "role": "checker", "task": "look at both", "gates": ["test -f README.md"] }] },
        { "name": "finish", "tasks": [
            { "id": "notes", "role": "worker", "task": "write notes", "reads": ["parser.md"] },
            { "id": "last", "role": "checker", "task": "look again", "dependsOn": ["notes"] } ] } ] })
}

/// A team with a planner that answers with the mark `plan.ATTEMPT`, else `plan`; workers that answer with their first line.
fn world(keys: &str) -> World {
    let world = World::new();
    world.agent(
        "planner",
        "p=\"$M/plan.$WINDLASS_ATTEMPT\"; [ -e \"$p\" ] || p=\"$M/plan\"; cat \"$p\"",
        "writes: false",
    );
    let work = "case \"$(printf '%s' \"$TOLD\" | head -1)\" in *'must fail'*) exit 3;; esac\necho \"done: $(printf '%s' \"$TOLD\" | head -1)\"";
    world.agent("executor", work, "writes: true");
    world.agent("worker", work, "writes: true");
    world.agent("checker", work, "writes: false");
    world.user.team(
        "builders",
        &["planner", "worker", "executor", "checker"],
        "maxConcurrency: 4",
        &format!(
            "## assess\nrole: planner\nadaptive: true\n{keys}\nplan {{goal}}\n\n\
             ## wrap-up\nrole: checker\ndependsOn: assess\ngate: test -f README.md\n\nwrap up\n"
        ),
    );
    world
}

fn marked(plan: &Value) -> String {
    format!(
        "Here is what I think.\n\nADAPTIVE_PLAN_JSON_START\n{plan}\nADAPTIVE_PLAN_JSON_END\nThat is all.\n"
    )
}

#[test]
fn a_plan_of_five_tasks_runs_phase_by_phase_and_results_reach_those_after() {
    let world = world("");
    world.set("plan", &marked(&five()));
    let output = world.user.run(["run", "--team", "builders", "a compiler"]).expect_code(0);
    assert_eq!(output.out(), "done: wrap up\n", "{}", output.err());

    let status = world.user.status("last");
    let ids = ["parser", "printer", "look", "notes", "last"].map(|item| format!("01_assess.{item}"));
    let mut wanted = vec![("01_assess", "completed"), ("02_wrap-up", "completed")];
    wanted.extend(ids.iter().map(|id| (id.as_str(), "completed")));
    assert_eq!(states(&status), wanted);
    let events = world.user.events("last");
    let (start, end) = ("attempt.started", "task.completed");
    for (before, after) in [(0, 2), (1, 2), (2, 3), (3, 4)] {
        assert!(
            seq(&events, end, &ids[before]) < seq(&events, start, &ids[after]),
            "{before} before {after}"
        );
    }
    let all = ids.iter().map(|id| seq(&events, end, id)).max().unwrap();
    assert!(all < seq(&events, end, "01_assess"), "the planning step is done when its tasks are");
    assert!(seq(&events, end, "01_assess") < seq(&events, start, "02_wrap-up"));

    // Who comes later is given what came before, and everyone the plan.
    let told = |id: &str| world.read(&format!("told.{id}.1"));
    assert!(told(&ids[0]).starts_with("make the parser\n") && told(&ids[0]).contains("make the printer"));
    assert!(
        told(&ids[2]).contains("done: make the parser") && told(&ids[2]).contains("done: make the printer")
    );
    assert!(told(&ids[3]).contains("done: make the parser"), "by the name of its output");
    assert!(!told(&ids[4]).contains("done: make the parser"), "it depends on the notes alone");
    assert!(
        told("02_wrap-up").contains("done: look again") && told("02_wrap-up").contains("done: write notes")
    );

    // What each is, for programs and for people.
    let part = task(&status, &ids[0]);
    assert_eq!(
        json!([part["parent"], part["item"], part["phase"], part["step"], part["role"]]),
        json!(["01_assess", "parser", "build", "The parser", "worker"])
    );
    assert_eq!(task(&status, &ids[1])["role"], "executor", "`developer` is another name for it");
    assert_eq!(task(&status, &ids[2])["evidence"][0]["after"], "green", "a gate that the plan chose");
    let assess = task(&status, "01_assess");
    assert_eq!(assess["growth"], json!({ "kind": "plan", "max": 12, "needed": null, "over": null }));
    assert_eq!(assess["parts"], json!({ "revision": 1, "total": 5, "completed": 5, "open": 0, "needed": 5 }));
    assert_eq!(task(&status, "02_wrap-up")["parent"], Value::Null);
    let graph = world.user.run(["graph", "last"]).expect_code(0).out();
    for words in ["plans up to 12 tasks", "The parser", "build"] {
        assert!(graph.contains(words), "{words} is not in\n{graph}");
    }
    let shown = world.user.run(["status", "last"]).expect_code(0).out();
    let line = |word: &str| {
        shown.lines().position(|l| l.contains(word)).unwrap_or_else(|| panic!("{word}: {shown}"))
    };
    assert!(line("assess") < line("The parser") && line("The parser") < line("wrap-up"), "{shown}");
}

#[test]
fn what_a_plan_can_become_is_said_before_anything_starts() {
    let world = world("max_tasks: 5\n");
    let shown = world.user.run(["run", "--team", "builders", "--dry-run", "x"]).expect_code(0).out();
    assert!(shown.contains("plans up to 5 tasks"), "{shown}");
    // The planner three times, two plans of five tasks with two starts each, and the last step twice.
    let doc = world.user.json(["run", "--team", "builders", "--dry-run", "--json", "x"]);
    let plan = if doc["plan"].is_object() { &doc["plan"] } else { &doc };
    assert_eq!(plan["worst_case_starts"], 3 + 2 * 5 * 2 + 2, "{doc:#}");
    assert_eq!(plan["tasks"].as_array().unwrap().len(), 2);
    let graph = world.user.run(["graph", "builders"]).expect_code(0).out();
    assert!(graph.contains("plans up to 5 tasks"), "{graph}");
    assert_eq!(world.read("log"), "", "nothing was started");
}

#[test]
fn what_is_no_plan_is_asked_for_once_more_then_fails_and_a_person_can_have_it_planned_again() {
    for word in ["retry", "resume"] {
        let world = world("");
        world.set("plan", "I would rather talk about {the weather.");
        let output = world.user.run(["run", "--team", "builders", "x"]).expect_code(1);
        assert!(output.err().contains("it is no JSON of a plan"), "{}", output.err());
        let status = world.user.status("last");
        assert_eq!(states(&status), [("01_assess", "failed"), ("02_wrap-up", "skipped")]);
        assert_eq!(task(&status, "01_assess")["error"]["kind"], "plan");
        assert_eq!(world.log("01_assess"), (2, 2), "once more, and no more");
        assert_eq!(of_type(&world.user.events("last"), "plan.refused").len(), 2);

        world.set("plan", &marked(&json!({ "tasks": [{ "id": "one", "role": "worker", "task": "do it" }] })));
        world.user.run([word, "last"]).expect_code(0);
        world.user.run(["wait", "last"]).expect_code(0);
        let status = world.user.status("last");
        let done = [("01_assess", "completed"), ("02_wrap-up", "completed"), ("01_assess.one", "completed")];
        assert_eq!(states(&status), done);
        assert_eq!(world.log("01_assess"), (3, 3));
    }
}

#[test]
fn a_repaired_plan_is_carried_out() {
    let world = world("");
    world.set("plan.1", "{");
    world.set("plan", &marked(&json!({ "tasks": [{ "id": "one", "role": "worker", "task": "do it" }] })));
    world.user.run(["run", "--team", "builders", "x"]).expect_code(0);
    assert_eq!(world.log("01_assess.one"), (1, 1));
    assert_eq!(of_type(&world.user.events("last"), "plan.refused").len(), 1);
}

#[test]
fn a_plan_that_may_not_be_is_refused_with_every_reason() {
    let item = |n: usize| json!({ "id": format!("t{n}"), "role": "worker", "task": "x" });
    for (plan, reasons) in [
        (
            json!({ "tasks": (0..4).map(item).collect::<Vec<_>>() }),
            vec!["it has 4 tasks; at most 3 are allowed"],
        ),
        (
            json!({ "tasks": [
                { "id": "a", "role": "wizard", "task": "x" },
                { "id": "b", "role": "worker", "task": "y", "dependsOn": ["nowhere"], "gates": ["rm -rf /"] },
                { "id": "b", "role": "worker", "task": "z" } ] }),
            vec![
                "unknown role `wizard`; there are: checker, executor, planner, worker",
                "`nowhere`",
                "`rm -rf /`",
                "two items are named `b`",
            ],
        ),
        (
            json!({ "tasks": [
                { "id": "a", "role": "worker", "task": "x", "dependsOn": ["b"], "output": "o" },
                { "id": "b", "role": "worker", "task": "y", "dependsOn": ["a"] } ] }),
            vec!["circle"],
        ),
        (
            json!({ "tasks": [
                { "id": "a", "role": "worker", "task": "x", "output": "o" },
                { "id": "b", "role": "worker", "task": "y", "output": "o" } ] }),
            vec!["two items have the output `o`"],
        ),
    ] {
        let world = world("maxTasks: 3\n");
        world.set("plan", &marked(&plan));
        let output = world.user.run(["run", "--team", "builders", "x"]).expect_code(1);
        let status = world.user.status("last");
        let said = task(&status, "01_assess")["error"]["message"].as_str().unwrap();
        for reason in reasons {
            assert!(said.contains(reason), "{reason} is not in {said}");
        }
        let first = said.lines().next().unwrap().chars().take(60).collect::<String>();
        assert!(output.err().contains(first.split(':').next().unwrap()), "{}", output.err());
        assert_eq!(status["tasks"].as_array().unwrap().len(), 2, "no task was made of it");
        assert_eq!(of_type(&world.user.events("last"), "plan.made").len(), 0);
    }
}

#[test]
fn after_a_failure_it_is_planned_again_and_what_is_done_stays_done() {
    let world = world("");
    let tasks = |b: &str, more: Value| {
        json!({ "tasks": [
            { "id": "a", "role": "worker", "task": "first" },
            { "id": "b", "role": "checker", "task": b },
            { "id": "c", "role": "checker", "task": "third", "dependsOn": ["b"] }, more ] })
    };
    world.set(
        "plan.1",
        &marked(&tasks(
            "must fail",
            json!({ "id": "x", "role": "worker", "task": "only once", "dependsOn": ["b"] }),
        )),
    );
    world.set(
        "plan.2",
        &marked(&tasks(
            "another way",
            json!({ "id": "d", "role": "worker", "task": "new", "dependsOn": ["c"] }),
        )),
    );
    world.user.run(["run", "--team", "builders", "x"]).expect_code(0);

    let events = world.user.events("last");
    let made = of_type(&events, "plan.made");
    assert_eq!(made.len(), 2);
    let second = &made[1]["data"];
    assert_eq!((&second["revision"], &second["kept"]), (&json!(2), &json!(["01_assess.a"])));
    let status = world.user.status("last");
    assert_eq!(world.log("01_assess.a"), (1, 1), "what completed is not done again");
    assert_eq!(world.log("01_assess.x"), (0, 0), "what the new plan has not is not done");
    let state = |id: &str| {
        let t = task(&status, id);
        json!([t["item"], t["status"], t["excused"]])
    };
    assert_eq!(state("01_assess.a"), json!(["a", "completed", false]));
    assert_eq!(state("01_assess.b"), json!(["b", "failed", true]));
    assert_eq!(state("01_assess.x"), json!(["x", "skipped", true]));
    assert_eq!(state("01_assess.b.r2"), json!(["b", "completed", false]));
    assert_eq!(state("01_assess.c.r2"), json!(["c", "completed", false]));
    assert_eq!(state("01_assess.d"), json!(["d", "completed", false]));
    assert_eq!(
        task(&status, "01_assess")["parts"],
        json!({ "revision": 2, "total": 4, "completed": 4, "open": 0, "needed": 4 })
    );
    world.user.run(["replay", "last"]).expect_code(0);
    let starts = of_type(&events, "attempt.started").len() as u64;
    assert!(starts <= status["run"]["worst_case_starts"].as_u64().unwrap());
}

#[test]
fn a_plan_that_fails_again_fails_the_run_and_retry_does_again_what_failed() {
    let world = world("replans: 0\n");
    let plan = json!({ "tasks": [
        { "id": "a", "role": "worker", "task": "first" },
        { "id": "b", "role": "checker", "task": "second" } ] });
    world.agent("checker", "[ -e \"$M/fixed\" ] || exit 3\necho fine", "writes: false");
    world.set("plan", &marked(&plan));
    let output = world.user.run(["run", "--team", "builders", "x"]).expect_code(1);
    let status = world.user.status("last");
    let error = &task(&status, "01_assess")["error"];
    assert!(
        error["message"].as_str().unwrap().starts_with("1 of 2 completed, 2 must: 01_assess.b"),
        "{error:#}"
    );
    assert!(output.err().contains("1 of 2 completed"), "{}", output.err());

    world.set("fixed", "");
    world.user.run(["retry", "last"]).expect_code(0);
    world.user.run(["wait", "last"]).expect_code(0);
    assert_eq!(world.log("01_assess"), (1, 1), "the plan stands");
    assert_eq!(world.log("01_assess.a"), (1, 1));
    let status = world.user.status("last");
    assert_eq!(task(&status, "01_assess.b")["status"], "completed");
}
