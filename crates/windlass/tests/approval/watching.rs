//! Whoever watches a run that comes to wait for a person: a program is told by the exit code, a person on a terminal is asked.

use super::{SAID, World, count};
use serde_json::{Value, json};
use windlass_testkit::process::wait_until;

#[test]
fn off_a_terminal_the_watched_run_ends_with_3_and_says_how_it_goes_on() {
    let world = World::new();
    let args = world.args(&["--approve-plan"]);
    let output = world.user.run(["run"].into_iter().chain(args.iter().copied()));
    assert_eq!(output.code, Some(3), "{}", output.err());
    assert_eq!(output.out(), "", "there is no result yet");
    assert!(output.err().contains("windlass approve "), "{}", output.err());
    assert!(output.err().contains("before you have approved the plan"), "{}", output.err());
    assert!(!world.is_done());
    let streamed = world.user.run(["run", "--json"].into_iter().chain(args.iter().copied()));
    assert_eq!(streamed.code, Some(3), "{}", streamed.err());
    let last: Value = serde_json::from_str(streamed.out().lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["type"], &last["status"], &last["exit"]),
        (&json!("approval.asked"), &json!("waiting"), &json!(3)),
        "{last}"
    );
}

fn asked(screen: &str) -> bool {
    screen.contains("approve") && screen.contains("reject") && screen.contains("leave it waiting")
}

#[test]
fn on_a_terminal_the_watcher_asks_and_takes_a_text_and_an_approval() {
    let world = World::new();
    let args = world.args(&["--approve-plan"]);
    let mut terminal = world.user.terminal(["run"].into_iter().chain(args.iter().copied()), 60, 100);
    let screen = terminal.wait_screen("the question", asked);
    assert!(screen.contains("use a hammer"), "{screen}");
    // Something that means nothing is asked again, and Enter does not approve.
    terminal.send(&format!("r {SAID}\r"));
    let screen = terminal.wait_screen("the new plan", |s| s.contains("+ use a feather"));
    assert!(screen.contains("- use a hammer"), "{screen}");
    assert!(!world.is_done());
    terminal.wait_screen("the second question", |s| {
        s.rfind("leave it waiting").unwrap_or(0) > s.rfind("use a feather").unwrap_or(usize::MAX)
    });
    terminal.send("a\r");
    let (code, screen) = terminal.wait();
    assert_eq!(code, 0, "{screen}");
    assert!(world.is_done());
    let run = the_run(&world);
    let events = world.user.events(&run);
    assert_eq!((count(&events, "approval.refused"), count(&events, "approval.given")), (1, 1));
    let refused = events.iter().find(|e| e["type"] == "approval.refused").unwrap();
    assert_eq!(refused["data"]["text"], SAID, "as it was typed");
}

#[test]
fn enter_leaves_it_waiting_and_whoever_answers_elsewhere_is_seen() {
    let world = World::new();
    let args = world.args(&["--approve-plan"]);
    let mut terminal = world.user.terminal(["run"].into_iter().chain(args.iter().copied()), 60, 100);
    terminal.wait_screen("the question", asked);
    terminal.send("\r");
    let (code, screen) = terminal.wait();
    assert_eq!(code, 3, "{screen}");
    let run = the_run(&world);
    assert!(screen.contains(&format!("windlass approve {run}")), "{screen}");
    assert!(!world.is_done());
    let again = world.user.terminal(["attach", &run], 60, 100);
    again.wait_screen("the question", asked);
    world.user.run(["approve", &run]).expect_code(0);
    let (code, screen) = again.wait();
    assert_eq!(code, 0, "{screen}");
    assert!(world.is_done());
}

#[test]
fn a_red_gate_is_answered_from_another_shell() {
    let world = World::new();
    world.user.write_home("config.toml", "[run]\ngates = [\"false\"]\n");
    world.user.shell_agent("writer", "echo good > state.txt", "writes: true");
    let terminal = world.user.terminal(["run", "--agent", "writer", "go"], 60, 100);
    terminal.wait_screen("the question", |s| s.contains("leave") && s.contains("mend"));
    let run = the_run(&world);
    let doc = world.user.json(["inbox", "--json"]);
    let item = &doc["waits"][0];
    assert_eq!((&item["for"], &item["run"]), (&json!("answer"), &json!(run)), "{doc:#}");
    let commands: Vec<String> =
        item["commands"].as_array().unwrap().iter().map(|c| c.as_str().unwrap().to_owned()).collect();
    assert_eq!(commands, ["mend", "leave_out", "stop"].map(|a| format!("windlass answer {run} {a}")));
    let wrong = world.user.run(["answer", &run, "perhaps"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.err());
    world.user.run(["answer", &run, "leave", "out"]).expect_code(0);
    let (code, screen) = terminal.wait();
    assert_eq!(code, 0, "{screen}");
    wait_until("the journal to say it", || count(&world.user.events(&run), "gates.settled") == 1);
    let again = world.user.run(["answer", &run, "mend"]);
    assert_eq!(again.code, Some(2), "{}", again.err());
}

#[track_caller]
fn the_run(world: &World) -> String {
    let list = world.user.json(["list", "--json"]);
    list["runs"][0]["id"].as_str().unwrap().to_owned()
}
