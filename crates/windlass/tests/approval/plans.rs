//! The plan as a person sees it before they approve: whole, against the one before, and harmless.

use super::{FIRST, SAID, SECOND, World};
use serde_json::json;

#[test]
fn the_plan_is_shown_and_later_as_its_difference() {
    let world = World::new();
    let run = world.parked();
    let shown = world.user.run(["show", &run, "--plan"]).expect_code(0).out();
    for line in FIRST.lines().chain(["execute", "writes", "waits for your approval"]) {
        assert!(shown.contains(line), "`{line}` is not in\n{shown}");
    }
    let doc = world.user.json(["show", &run, "--plan", "--json"]);
    assert_eq!(
        (&doc["asked"], &doc["plan"], &doc["revision"]),
        (&json!(true), &json!(0), &json!(1)),
        "{doc:#}"
    );
    assert_eq!((&doc["text"], &doc["changes"]), (&json!(FIRST), &json!(null)), "{doc:#}");
    // What may only read needs no approval.
    let tasks: Vec<_> = doc["tasks"].as_array().unwrap().iter().map(|t| t["title"].clone()).collect();
    assert_eq!(tasks, [json!("execute")]);

    world.user.run(["reject", &run, SAID]).expect_code(0);
    world.wait_asked(&run, 2);
    let shown = world.user.run(["show", &run, "--plan"]).expect_code(0).out();
    for line in ["- PLAN-1", "+ PLAN-2", "  keep this", "- use a hammer", "+ use a feather", "revision 2"] {
        assert!(shown.contains(line), "`{line}` is not in\n{shown}");
    }
    let doc = world.user.json(["show", &run, "--plan", "--json"]);
    assert_eq!((&doc["text"], &doc["revision"], &doc["attempt"]), (&json!(SECOND), &json!(2), &json!(2)));
    let kept: Vec<_> = doc["changes"].as_array().unwrap().iter().filter(|c| c["mark"] == "same").collect();
    assert_eq!(kept, [&json!({ "mark": "same", "line": "keep this" })]);
}

#[test]
fn a_run_without_a_planner_shows_what_would_start() {
    let world = World::new();
    world.user.shell_agent("writer", "echo good > state.txt", "writes: true");
    let run = world.user.detach(["--agent", "writer", "--approve-plan", "go"]);
    world.wait_asked(&run, 1);
    let doc = world.user.json(["show", &run, "--plan", "--json"]);
    assert_eq!((&doc["planner"], &doc["text"]), (&json!(null), &json!(null)), "{doc:#}");
    assert_eq!(doc["tasks"][0]["writes"], true, "{doc:#}");
    // Nobody has planned it, so nobody can plan it again.
    let refused = world.user.run(["reject", &run, "otherwise"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err());
    assert!(refused.err().contains("nobody has planned"), "{}", refused.err());
    world.user.run(["approve", &run]).expect_code(0);
    assert_eq!(world.user.wait_end(&run)["run"]["status"], "completed");
    assert_eq!(world.repo.read("state.txt"), "good\n");
}

#[test]
fn nothing_of_a_plan_acts_on_the_terminal_of_whoever_reads_it() {
    let world = World::new();
    let hostile = "\u{1b}[2J\u{1b}]0;owned\u{7}fine\u{202e}";
    let script = world.user.script(json!([
        { "when": { "step": "plan" }, "do": [ { "answer": hostile } ] }, { "do": [ { "answer": "well" } ] } ]));
    let run = world.user.detach([
        "--team",
        "default",
        "--runtime",
        "rehearsal",
        "--script",
        script.to_str().unwrap(),
        "--approve-plan",
        "x",
    ]);
    world.wait_asked(&run, 1);
    for args in [vec!["show", &run, "--plan"], vec!["approve", &run, "--dry-run"], vec!["inbox"]] {
        let output = world.user.run(&args).expect_code(0);
        let all = [output.stdout.clone(), output.stderr.clone()].concat();
        let text = String::from_utf8(all).unwrap();
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{args:?}: {text:?}");
    }
    let shown = world.user.run(["show", &run, "--plan"]).expect_code(0).out();
    assert!(shown.contains("fine"), "{shown}");
}

/// A planner that answers with a plan, and with another when it is told what a person said of it.
fn adaptive(world: &World) {
    let first = json!({ "phases": [
        { "name": "build", "tasks": [
            { "id": "parser", "role": "worker", "title": "The parser", "task": "make the parser", "gates": ["test -f README.md"] },
            { "id": "printer", "role": "worker", "title": "The printer", "task": "make the printer" } ] },
        { "name": "check", "tasks": [ { "id": "look", "role": "checker", "title": "Look", "task": "look at both" } ] } ] });
    let second = json!({ "phases": [
        { "name": "build", "tasks": [
            { "id": "parser", "role": "worker", "title": "The parser", "task": "make the parser", "gates": ["test -f README.md"] },
            { "id": "printer", "role": "worker", "title": "The printer", "task": "make a small printer" } ] },
        { "name": "finish", "tasks": [ { "id": "notes", "role": "worker", "title": "Notes", "task": "write notes" } ] } ] });
    let plan = |plan: &serde_json::Value| format!("ADAPTIVE_PLAN_JSON_START\n{plan}\nADAPTIVE_PLAN_JSON_END");
    world.user.write_home("first.txt", plan(&first));
    world.user.write_home("second.txt", plan(&second));
    let home = world.user.home().display().to_string();
    let line =
        format!("if grep -q 'a small printer'; then cat {home}/second.txt; else cat {home}/first.txt; fi");
    world.user.shell_agent("planner", &line, "writes: false");
    world.user.shell_agent("worker", "cat >/dev/null; echo done >>done.txt; echo well", "writes: true");
    world.user.shell_agent("checker", "cat >/dev/null; echo well", "writes: false");
    let workflow = "## assess\nrole: planner\nadaptive: true\ngate: test -f README.md\n\nplan {goal}\n";
    world.user.team("builders", &["planner", "worker", "checker"], "", workflow);
}

#[test]
fn a_plan_of_tasks_is_shown_by_phase_and_later_with_marks_against_the_one_before() {
    let world = World::new();
    adaptive(&world);
    let run = world.user.detach(["--team", "builders", "--approve-plan", "a compiler"]);
    world.wait_asked(&run, 1);
    let shown = world.user.run(["show", &run, "--plan"]).expect_code(0).out();
    for part in [
        "01_assess",
        "build",
        "check",
        "The parser",
        "The printer",
        "Look",
        "only reads",
        "gate test -f README.md",
    ] {
        assert!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
    assert!(!shown.contains("\n  +") && !shown.contains("\n  -"), "{shown}");
    let doc = world.user.json(["show", &run, "--plan", "--json"]);
    assert_eq!(
        (&doc["asked"], &doc["plan"], &doc["text"]),
        (&json!(true), &json!(1), &json!(null)),
        "{doc:#}"
    );
    let seen = doc["plan"].as_u64().unwrap().to_string();

    world.user.run(["reject", &run, "It needs only a small printer."]).expect_code(0);
    world.wait_asked(&run, 2);
    // Who has seen the plan before does not approve this one.
    assert_eq!(world.user.run(["approve", &run, "--plan", &seen]).code, Some(2));
    let doc = world.user.json(["show", &run, "--plan", "--json"]);
    let marks: Vec<_> =
        doc["tasks"].as_array().unwrap().iter().map(|t| json!([t["mark"], t["item"], t["phase"]])).collect();
    assert_eq!(
        marks,
        [
            json!(["same", "parser", "build"]),
            json!(["changed", "printer", "build"]),
            json!(["added", "notes", "finish"]),
            json!(["dropped", "look", "check"]),
        ],
        "{doc:#}"
    );
    let shown = world.user.run(["show", &run, "--plan"]).expect_code(0).out();
    for part in ["revision 2", "~ 01_assess.printer", "+ 01_assess.notes", "- 01_assess.look"] {
        assert!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
    assert!(!world.is_done(), "nothing that may write has started");
    world.user.run(["approve", &run]).expect_code(0);
    let status = world.user.wait_end(&run);
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    assert_eq!(world.repo.read("done.txt").lines().count(), 3);
}

#[test]
fn a_step_may_ask_for_itself_alone() {
    let world = World::new();
    world.user.shell_agent("reader", "cat >/dev/null; echo well", "writes: false");
    world.user.shell_agent("writer", "cat >/dev/null; echo done >done.txt", "writes: true");
    let workflow = "## look\nrole: reader\n\nlook\n\n## release\nrole: writer\ndependsOn: look\napprove: true\n\nrelease\n";
    world.user.team("careful", &["reader", "writer"], "", workflow);
    let run = world.user.detach(["--team", "careful", "go"]);
    world.wait_asked(&run, 1);
    let status = world.user.status(&run);
    let release = super::task(&status, "release")["id"].clone();
    assert_eq!(status["run"]["waiting"]["task"], release, "{status:#}");
    let doc = world.user.json(["inbox", "--json"]);
    assert_eq!(
        (&doc["waits"][0]["for"], &doc["waits"][0]["task"]),
        (&json!("approval"), &release),
        "{doc:#}"
    );
    let doc = world.user.json(["approve", &run, "--json"]);
    assert_eq!(doc["task"], release);
    assert_eq!(world.user.wait_end(&run)["run"]["status"], "completed");
    assert!(world.is_done());
}
