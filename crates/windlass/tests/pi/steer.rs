//! What a person says to a worker while it works.

use crate::support::{GOAL, World, events_of, mend, parent, pi_pid};
use serde_json::json;
use windlass_testkit::process::{self, signal_pid};
use windlass_testkit::{Reply, Rule, Script};

const TEXT: &str = "Write a note.txt as well: \u{201c}caf\u{e9}\u{201d} \u{2713}\u{2028}second line";

#[test]
fn a_steering_text_is_in_the_next_request_at_the_model_server() {
    let world = World::new(
        Script::new()
            .rule(Rule::new("steered").any_user(TEXT).replies([
                Reply::text("unused"),
                Reply::tool("bash", json!({ "command": "echo noted > note.txt" })),
                Reply::text("Mended and noted."),
            ]))
            .rule(Rule::new("first").any_user(GOAL).reply(mend().hold("thinking"))),
    );
    let run = world.user.detach(["--gate", "./test.sh", GOAL]);
    world.server.wait_held("thinking", 1);
    let told = world.user.run(["steer", &format!("{run}/execute"), TEXT]).expect_code(0);
    assert!(told.err().contains("was told"), "{}", told.err());
    assert_eq!(world.server.requests().len(), 1, "nothing was asked of the model for it");
    world.server.release("thinking");

    let status = world.user.wait_end(&run);
    world.server.assert_all_expected();
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    let requests = world.server.requests();
    let users: Vec<&str> = requests[1].conversation().users().collect();
    assert_eq!(users.last(), Some(&TEXT), "byte for byte: {users:#?}");
    assert_eq!(world.repo.read("note.txt"), "noted\n");
    let sent = events_of(&world, &run, "steer.sent");
    let delivered = events_of(&world, &run, "steer.delivered");
    assert_eq!((sent.len(), delivered.len()), (1, 1));
    assert_eq!(sent[0]["data"]["text"], TEXT);
    assert_eq!(sent[0]["data"]["id"], delivered[0]["data"]["id"]);

    // Who has ended hears nothing more, and that is an error.
    let late = world.user.run(["steer", &format!("{run}/execute"), "too late"]);
    assert!(![Some(0), None].contains(&late.code), "{}", late.err());
    assert_eq!(world.server.requests().len(), requests.len());
}

/// The daemon dies after it has given a text to pi, which has not answered for it yet. The next one cannot know that, says it
/// again, and pi hears it once.
#[test]
fn a_text_whose_bringer_dies_is_heard_once() {
    let world = World::new(
        Script::new()
            .rule(Rule::new("told").any_user("only once").replies([
                Reply::text("unused"),
                mend(),
                Reply::text("Mended.\n"),
            ]))
            .rule(
                Rule::new("first")
                    .any_user(GOAL)
                    .reply(Reply::tool("bash", json!({ "command": "true" })).hold("thinking")),
            ),
    );
    let run = world.user.detach(["--gate", "./test.sh", GOAL]);
    world.server.wait_held("thinking", 1);
    let pi = pi_pid(&world);
    signal_pid(pi, 19);
    let steer = world.user.spawn(["steer", &format!("{run}/execute"), "only once"]);
    world.user.wait_for(&run, "the text", |e| e.iter().any(|e| e["type"] == "steer.sent"));
    // What pi is given is in its spool before it has read it.
    let shim = parent(pi);
    let given = || {
        let spools = crate::support::files(&world.user.home().join("state"));
        let spool = spools.into_iter().find(|p| p.ends_with("attempts/01_execute.1")).unwrap();
        let bytes = std::fs::read(spool).unwrap();
        bytes.windows(9).filter(|w| w == b"only once").count()
    };
    process::wait_until("the text to be with pi", || given() == 1);
    world.user.kill_daemon();
    world.user.run(["daemon", "start"]).expect_code(0);
    world
        .user
        .wait_for(&run, "the next engine", |e| e.iter().filter(|e| e["type"] == "run.taken").count() == 2);
    assert!(process::is_alive(shim));
    signal_pid(pi, 18);
    steer.wait().expect_code(0);
    world.server.release("thinking");

    let status = world.user.wait_end(&run);
    world.server.assert_all_expected();
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    let requests = world.server.requests();
    let all = requests.last().unwrap().conversation();
    assert_eq!(all.users().filter(|text| *text == "only once").count(), 1);
    assert_eq!(events_of(&world, &run, "steer.delivered").len(), 1);
}
