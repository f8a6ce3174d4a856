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
