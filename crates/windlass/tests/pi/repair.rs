//! A red gate goes back to the worker that caused it, in its own session, a bounded number of times.

use crate::support::{GOAL, World, assert_usage, attempts, edit, of_type, task};
use serde_json::json;
use windlass_testkit::{Reply, Rule, Script};

#[test]
fn a_red_gate_goes_back_into_the_same_session_with_its_output() {
    let world = World::new(
        Script::new()
            .rule(Rule::new("repair").last_user("repair 1 of 2").replies([
                Reply::text("unused"),
                Reply::text("unused"),
                edit("hallo", "hello"),
                Reply::text("Now it says hello.\n"),
            ]))
            .rule(
                Rule::new("first").any_user(GOAL).replies([edit("goodbye", "hallo"), Reply::text("Done.")]),
            ),
    );
    let output = world.user.run(["run", "--gate", "./test.sh", GOAL]).expect_code(0);
    eprintln!("{}", output.err());
    world.server.assert_all_expected();
    assert_eq!(output.out(), "Now it says hello.\n", "the answer is the one after the repair");
    assert_eq!(world.repo.read("greeting.txt"), "hello\n");

    let requests = world.server.requests();
    assert_eq!(requests.len(), 4);
    let users: Vec<&str> = requests[2].conversation().users().collect();
    assert_eq!(users.len(), 2, "one conversation, told twice: {users:#?}");
    assert!(users[0].contains(GOAL));
    for part in ["`./test.sh`: `exit code 1`", "not ok - expected hello, found hallo", "repair 1 of 2"] {
        assert!(users[1].contains(part), "{part} is not in {}", users[1]);
    }
    assert!(!users[1].contains("You are the"), "the session still knows its task: {}", users[1]);

    // Role and rules are not part of the conversation: they are the same to its end.
    assert!(requests[0].conversation().system.contains("Never commit, push, stash or switch branches."));
    assert_eq!(requests[2].conversation().system, requests[0].conversation().system);

    let status = world.last();
    assert_eq!((&status["run"]["status"], &status["run"]["proof"]), (&json!("completed"), &json!("proven")));
    assert_usage(&status["run"]["usage"], world.server.usage_sent(), 4);
    let attempts = attempts(&status, "execute");
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["session"], attempts[1]["session"]);
    // The second attempt pays for its own replies alone.
    assert_usage(&attempts[0]["usage"], requests[0].sent.plus(requests[1].sent), 2);
    assert_usage(&attempts[1]["usage"], requests[2].sent.plus(requests[3].sent), 2);
    let evidence = task(&status, "execute")["evidence"].as_array().unwrap();
    let lights: Vec<_> = evidence.iter().map(|e| (e["before"].clone(), e["after"].clone())).collect();
    assert_eq!(lights, [(json!("red"), json!("red")), (json!("red"), json!("green"))]);
}

#[test]
fn a_gate_that_stays_red_fails_the_task_after_exactly_its_repairs() {
    let world = World::new(
        Script::new()
            .rule(Rule::new("hopeless").any_user(GOAL).reply(Reply::text("Done, I think.\n")).repeat_last()),
    );
    let output = world.user.run(["run", "--gate", "./test.sh", GOAL]).expect_code(1);
    eprintln!("{}", output.err());
    let requests = world.server.requests();
    assert_eq!(requests.len(), 3, "one try and two repairs");
    let last: Vec<&str> = requests[2].conversation().users().collect();
    assert!(last[1].contains("repair 1 of 2") && last[2].contains("repair 2 of 2"), "{last:#?}");

    let status = world.last();
    assert_eq!((&status["run"]["status"], &status["run"]["proof"]), (&json!("failed"), &json!("refuted")));
    assert_eq!(attempts(&status, "execute").len(), 3);
    let task = task(&status, "execute");
    assert_eq!((&task["status"], &task["error"]["kind"]), (&json!("failed"), &json!("gate")));
    let said = task["error"]["message"].as_str().unwrap();
    assert!(said.contains("red \u{2192} red after 2 repair rounds"), "{said}");
    assert!(said.contains("not ok - expected hello, found goodbye"), "{said}");
    // A person is told the same.
    let card = output.err();
    assert!(card.contains("not ok - expected hello, found goodbye"), "{card}");
    assert!(!card.contains("\u{2713} done"), "{card}");
    // Nothing is done again by itself; a person's retry may, and then it can succeed.
    assert_eq!(of_type(&world.user.events("last"), "attempt.started").len(), 3);
}

#[test]
fn a_gate_that_the_agent_turned_red_is_recorded_so_and_goes_back_too() {
    let world = World::new(
        Script::new()
            .rule(
                Rule::new("repair")
                    .last_user("repair 1 of 1")
                    .reply(Reply::text("I will not."))
                    .repeat_last(),
            )
            .rule(Rule::new("first").any_user("tidy up").replies([
                Reply::tool("bash", json!({ "command": "rm README.md" })),
                Reply::text("Tidied."),
            ])),
    );
    world.user.run(["config", "set", "run.repair_rounds", "1"]).expect_code(0);
    world.user.run(["run", "--gate", "test -f README.md", "tidy up"]).expect_code(1);
    assert_eq!(world.server.requests().len(), 3, "one repair, as configured");
    let status = world.last();
    let error = task(&status, "execute")["error"]["message"].as_str().unwrap();
    assert!(error.contains("green \u{2192} red after 1 repair round"), "{error}");
    assert_eq!(status["run"]["proof"], "refuted");
}
