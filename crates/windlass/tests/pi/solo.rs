//! One agent, the shape that `auto` chooses for one piece of work.

use crate::support::{GOAL, World, assert_usage, attempts, mend, task};
use serde_json::json;
use windlass_testkit::model::{Block, Tokens};
use windlass_testkit::pi::{DUMMY_KEY, PRICED};
use windlass_testkit::{Reply, Rule, Script};

/// Reads, edits and tests, then says this.
fn mending(last: &str) -> Script {
    Script::new().rule(
        Rule::new("executor").any_user(GOAL).replies([
            Reply::tool("read", json!({ "path": "greeting.txt" })).usage(Tokens::new(1_000, 20, 0, 900)),
            mend().usage(Tokens::new(150, 30, 900, 0)),
            Reply::text("Now the test. ")
                .and_tool("bash", json!({ "command": "./test.sh" }))
                .usage(Tokens::new(70, 10, 1_000, 5)),
            Reply::text(last).usage(Tokens::new(33, 7, 1_100, 0)),
        ]),
    )
}

#[test]
fn one_agent_mends_a_red_test_and_that_is_proven() {
    let last =
        "Mended: \u{201c}hello\u{201d} \u{2713} \u{65e5}\u{672c}\u{8a9e} \u{1f9ed}\u{2028}next\ttab\n\n";
    let world = World::new(mending(last));
    let head = world.repo.head();
    let output = world.user.run(["run", "--gate", "./test.sh", GOAL]);
    eprintln!("{}", output.err());
    let output = output.expect_code(0);
    world.server.assert_all_expected();
    assert_eq!(output.stdout, last.as_bytes(), "the final text is all there is on standard output");

    assert_eq!(world.repo.read("greeting.txt"), "hello\n");
    assert_eq!(world.repo.status(), " M greeting.txt\n");
    assert_eq!(world.repo.head(), head);
    assert!(world.repo.test_is_green());

    let status = world.last();
    let run = &status["run"];
    assert_eq!((&run["status"], &run["proof"]), (&json!("completed"), &json!("proven")), "{status:#}");
    assert_eq!((&run["team"], &run["workflow"]), (&json!("solo"), &json!("solo")));
    assert_usage(&run["usage"], world.server.usage_sent(), 4);
    assert_usage(&run["usage"], Tokens::new(1_253, 67, 3_000, 905), 4);
    let task = task(&status, "execute");
    assert_eq!(
        (&task["status"], &task["runtime"], &task["role"]),
        (&json!("completed"), &json!("pi"), &json!("executor"))
    );
    let evidence = task["evidence"].as_array().unwrap();
    assert_eq!(evidence.len(), 1, "{status:#}");
    let gate = &evidence[0];
    assert_eq!((&gate["command"], &gate["exit"]), (&json!("./test.sh"), &json!(0)));
    assert_eq!((&gate["before"], &gate["after"]), (&json!("red"), &json!("green")));
    let attempts = attempts(&status, "execute");
    assert_eq!(attempts.len(), 1);
    assert_eq!((&attempts[0]["model"], &attempts[0]["exit"]), (&json!(PRICED), &json!(0)));
    assert_usage(&attempts[0]["usage"], world.server.usage_sent(), 4);
    assert_eq!(task["result"]["bytes"], json!(last.len()));

    let requests = world.server.requests();
    assert!(requests.iter().all(|request| request.signed_with(DUMMY_KEY)));
    assert!(requests[3].conversation().last_tool_result().unwrap().contains("ok - the greeting is hello"));
}

#[test]
fn a_final_text_without_a_line_break_is_given_as_it_is_and_a_detected_gate_proves_it() {
    let world = World::new(mending("The greeting is hello"));
    world.repo.write("Makefile", "test:\n\t@./test.sh\n");
    world.repo.commit("a check that is found by looking");
    world.user.run(["trust", "--gates"]).expect_code(0);
    let output = world.user.run(["run", GOAL]).expect_code(0);
    world.server.assert_all_expected();
    assert_eq!(output.out(), "The greeting is hello");
    let status = world.last();
    assert_eq!(status["run"]["proof"], "proven");
    let evidence = &task(&status, "execute")["evidence"][0];
    assert_eq!(
        (&evidence["command"], &evidence["before"], &evidence["after"]),
        (&json!("make test"), &json!("red"), &json!("green"))
    );
    // The prompt names what will be checked.
    assert!(world.server.requests()[0].conversation().users().next().unwrap().contains("`make test`"));
}

#[test]
fn without_a_gate_the_same_work_is_unproven_and_never_called_done() {
    let world = World::new(mending("Mended.\n"));
    world.repo.write("Makefile", "test:\n\t@./test.sh\n");
    world.repo.commit("a check that nobody trusted");
    let output = world.user.run(["run", "--require-proof", GOAL]).expect_code(1);
    assert_eq!(output.out(), "Mended.\n");
    let said = output.err();
    assert!(said.contains("unproven"), "{said}");
    assert!(!said.contains("\u{2713} done"), "{said}");
    let status = world.last();
    assert_eq!(
        (&status["run"]["status"], &status["run"]["proof"]),
        (&json!("completed"), &json!("unproven"))
    );
    // Nothing of the repository is used without trust, and that is said once.
    assert!(said.contains("windlass trust"), "{said}");
}

#[test]
fn a_long_answer_is_whole_to_its_last_byte() {
    let piece = "Zeile \u{e4}\u{f6}\u{fc} \u{1f9ed}\u{2028}\"quoted\" \\ and a line break\n";
    let times = 300_000 / piece.len();
    let text = piece.repeat(times);
    let world = World::new(Script::always([Reply::default()
        .block(Block::Repeat { text: piece.into(), times: times as u64 })
        .pieces_of(1_000)]));
    let output = world.user.run(["run", "--agent", "analyst", "say it all"]).expect_code(0);
    assert!(output.stdout == text.as_bytes(), "{} bytes in the place of {}", output.stdout.len(), text.len());
    let status = world.last();
    assert_eq!(status["tasks"][0]["result"]["bytes"], json!(text.len()));
}
