//! What a person says to a worker while it works.

use crate::support::{GOAL, World, events_of, mend};
use serde_json::json;
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
