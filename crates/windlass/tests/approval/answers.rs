//! The answers: approved once and whole, wherever it is said, and whoever died meanwhile.

use super::{SAID, World, count, places, task};
use serde_json::json;
use windlass_testkit::TempRepo;
use windlass_testkit::process::{self, is_alive, signal_pid, wait_until};

#[test]
fn nothing_that_writes_starts_before_it_is_approved() {
    let world = World::new();
    let run = world.parked();
    let status = world.user.status(&run);
    assert_eq!(status["run"]["status"], "waiting", "{status:#}");
    let waiting = &status["run"]["waiting"];
    assert_eq!(
        (&waiting["for"], &waiting["task"], &waiting["until"]),
        (&json!("approval"), &json!(null), &json!(null))
    );
    assert_eq!(waiting["answer_with"], format!("windlass approve {run}"));
    assert!(waiting["since"].is_i64() && waiting["question"].is_string(), "{waiting:#}");
    let next: Vec<&str> =
        status["run"]["next"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    assert_eq!(next[..2], [format!("windlass approve {run}"), format!("windlass reject {run} TEXT")]);
    // Who reads has read; who writes has not even been started.
    for (step, attempts) in [("explore", 1), ("plan", 1), ("execute", 0), ("verify", 0)] {
        assert_eq!(task(&status, step)["attempts"].as_array().unwrap().len(), attempts, "{step}: {status:#}");
    }
    assert_eq!(task(&status, "execute")["note"], "waits for your approval");
    assert!(!world.is_done());
    assert_eq!(world.repo.status(), "");
    // Waiting for a person is a state that a program is told.
    assert_eq!(world.user.run(["wait", &run]).code, Some(3));
    let why = world.user.run(["show", &run, "--why"]).expect_code(0).out();
    assert!(why.contains(&format!("windlass approve {run}")), "{why}");

    // From another folder, without this shell's environment, as for whoever comes by.
    let elsewhere = TempRepo::without_git();
    let mut other = world.user.command(["approve", &run]);
    other.current_dir(elsewhere.path()).env_remove("SHELL").env_remove("USER");
    let said = process::run(other, b"").expect_code(0).err();
    assert!(said.contains("use a hammer") && said.contains("approved"), "{said}");
    let status = world.user.wait_end(&run);
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    assert!(world.is_done());
    let events = world.user.events(&run);
    let given = places(&events, "approval.given", None);
    let started = places(&events, "attempt.started", task(&status, "execute")["id"].as_str());
    assert_eq!((given.len(), started.len()), (1, 1));
    assert!(given[0] < started[0], "approved at {given:?}, started at {started:?}");
}

#[test]
fn a_run_that_is_not_asked_to_does_not_ask() {
    let world = World::new();
    let run = world.user.detach(world.args(&[]));
    let status = world.user.wait_end(&run);
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    assert_eq!(count(&world.user.events(&run), "approval.asked"), 0);
    let late = world.user.run(["approve", &run]);
    assert_eq!(late.code, Some(2), "{}", late.err());
    assert!(late.err().contains("it is completed"), "{}", late.err());
}

#[test]
fn parked_with_everything_killed_and_approved_twice_it_goes_on_once() {
    let world = World::new();
    let run = world.parked();
    // Daemon, nursery, whatever there is.
    wait_until("every process of the user to be gone", || {
        let left = world.user.processes();
        left.iter().for_each(|p| signal_pid(p.pid, 9));
        left.is_empty()
    });
    // Looking needs none of them, and finds it waiting.
    let status = world.user.status(&run);
    assert_eq!(status["run"]["waiting"]["for"], "approval", "{status:#}");
    assert_eq!(world.user.run(["wait", &run]).code, Some(3));
    let doc = world.user.json(["approve", &run, "--json"]);
    assert_eq!(doc, json!({ "run": run, "plan": 0, "task": null, "approved": true }));
    let again = world.user.run(["approve", &run]);
    assert_eq!(again.code, Some(2), "{}", again.err());
    let status = world.user.wait_end(&run);
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    let events = world.user.events(&run);
    assert_eq!((count(&events, "approval.asked"), count(&events, "approval.given")), (1, 1));
    for step in ["explore", "plan", "execute", "verify"] {
        assert_eq!(task(&status, step)["attempts"].as_array().unwrap().len(), 1, "{step}: {status:#}");
    }
}

#[test]
fn an_approval_that_nobody_hears_is_stored_and_done_once() {
    let world = World::new();
    let run = world.parked();
    let daemon = world.user.daemon_pid().unwrap();
    signal_pid(daemon, 19);
    let asked = world.user.run(["approve", &run]);
    assert_eq!(asked.code, Some(5), "{}", asked.err());
    assert!(asked.err().contains("stored"), "{}", asked.err());
    assert!(!world.is_done());
    signal_pid(daemon, 9);
    wait_until("the daemon to be gone", || !is_alive(daemon));
    // Whoever looks brings an engine; it takes what was left.
    world.user.run(["attach", &run]);
    assert_eq!(world.user.wait_end(&run)["run"]["status"], "completed");
    assert_eq!(count(&world.user.events(&run), "approval.given"), 1);
}

#[test]
fn a_plan_that_has_another_number_is_not_approved() {
    let world = World::new();
    let run = world.parked();
    let refused = world.user.run(["approve", &run, "--plan", "7"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err());
    assert!(refused.err().contains("changed"), "{}", refused.err());
    world.user.run(["approve", &run, "--dry-run"]).expect_code(0);
    assert_eq!(count(&world.user.events(&run), "approval.given"), 0);
}

#[test]
fn rejected_with_a_text_it_is_planned_again_and_asked_anew() {
    let world = World::new();
    let run = world.parked();
    let doc = world.user.json(["reject", &run, "With", "a", "Feather,", "please.", "--json"]);
    let planner = task(&world.user.status(&run), "plan")["id"].clone();
    assert_eq!(doc, json!({ "run": run, "planner": planner, "text": SAID, "cancelled": false }));
    world.wait_asked(&run, 2);
    let status = world.user.status(&run);
    // The planner was told, and nobody else did anything again.
    assert_eq!(task(&status, "plan")["attempts"].as_array().unwrap().len(), 2, "{status:#}");
    assert_eq!(task(&status, "explore")["attempts"].as_array().unwrap().len(), 1, "{status:#}");
    assert!(!world.is_done());
    assert_eq!(world.user.run(["wait", &run]).code, Some(3));
    world.user.run(["approve", &run]).expect_code(0);
    let status = world.user.wait_end(&run);
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    // Who carries it out is given the new plan.
    let folder =
        world.user.json(["show", &run, "--json"])["run"]["folder"]["path"].as_str().unwrap().to_owned();
    let id = task(&status, "execute")["id"].as_str().unwrap().to_owned();
    let prompt = std::fs::read_to_string(format!("{folder}/prompts/{id}.1.md")).unwrap();
    assert!(prompt.contains("use a feather") && !prompt.contains("use a hammer"), "{prompt}");
}

#[test]
fn rejected_without_a_text_it_is_cancelled() {
    let world = World::new();
    let run = world.parked();
    let unsure = world.user.run(["reject", &run]);
    assert_eq!(unsure.code, Some(2), "{}", unsure.err());
    assert!(unsure.err().contains("--yes"), "{}", unsure.err());
    assert_eq!(count(&world.user.events(&run), "approval.refused"), 0);
    let doc = world.user.json(["reject", &run, "--yes", "--json"]);
    assert_eq!((&doc["planner"], &doc["cancelled"]), (&json!(null), &json!(true)), "{doc}");
    let status = world.user.status(&run);
    assert_eq!(status["run"]["status"], "cancelled", "{status:#}");
    assert!(!world.is_done());
    assert_eq!(world.user.run(["approve", &run]).code, Some(2));
    assert_eq!(world.user.run(["wait", &run]).code, Some(130));
}

#[test]
fn config_may_ask_for_it_and_a_repository_may_only_tighten_that() {
    let world = World::new();
    world.repo.write(".windlass/config.toml", "[run]\napprove_plan = true\n");
    let run = world.user.detach(world.args(&[]));
    world.wait_asked(&run, 1);
    world.user.run(["reject", &run, "--yes"]).expect_code(0);
    world.user.write_home("config.toml", "[run]\napprove_plan = true\n");
    world.repo.write(".windlass/config.toml", "[run]\napprove_plan = false\n");
    let run = world.user.detach(world.args(&[]));
    world.wait_asked(&run, 1);
    let got = world.user.run(["config", "get", "run.approve_plan"]).expect_code(0).out();
    assert_eq!(got.trim(), "true");
}

#[test]
fn what_asks_nothing_is_said_to() {
    let world = World::new();
    let run = world.parked();
    let output = world.user.run(["answer", &run, "mend"]);
    assert_eq!(output.code, Some(2));
    assert!(output.err().contains("windlass approve"), "{}", output.err());
    let output = world.user.run(["respond", &format!("{run}/plan"), "yes"]);
    assert_eq!(output.code, Some(2));
    assert!(output.err().contains("asks nothing"), "{}", output.err());
    let output = world.user.run(["approve", "zzzzzz"]);
    assert_eq!(output.code, Some(2));
}
