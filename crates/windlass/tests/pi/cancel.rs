//! A person stops a run: nothing of pi stays, and a resume goes on where it was.

use crate::support::{GOAL, World, attempts, mend, pi_pid, pis};
use serde_json::json;
use windlass_testkit::model::Order;
use windlass_testkit::process::{is_alive, wait_until};
use windlass_testkit::{Reply, Rule, Script};

fn going_on() -> Rule {
    Rule::new("went on")
        .any_user("Your process ended")
        .order(Order::Prompt)
        .replies([mend(), Reply::text("Mended after all.\n")])
}

/// Cancels, checks that nothing is left, resumes and checks that the work goes on in its session.
fn cancel_and_resume(world: &World, run: &str) {
    let pi = pi_pid(world);
    let said = world.user.run(["cancel", run]).expect_code(0).err();
    assert!(said.contains("cancelled"), "{said}");
    let status = world.user.status(run);
    assert_eq!(status["run"]["status"], "cancelled", "{status:#}");
    assert_eq!(attempts(&status, "execute")[0]["status"], "cancelled");
    assert!(!is_alive(pi) && pis(world).is_empty(), "pi is gone when the run is cancelled");

    let resumed = world.user.run(["resume", run]).expect_code(0);
    assert_eq!(resumed.out(), "Mended after all.\n");
    let status = world.user.status(run);
    assert_eq!(
        (&status["run"]["status"], &status["run"]["proof"]),
        (&json!("completed"), &json!("proven")),
        "{status:#}"
    );
    let attempts = attempts(&status, "execute");
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["session"], attempts[1]["session"]);
}

#[test]
fn cancelled_in_a_tool_the_shell_is_gone_too() {
    let world = World::new(Script::new().rule(going_on()).rule(Rule::new("first").any_user(GOAL).reply(Reply::tool(
        "bash",
        // A shell, a child that outlives it if it can, and one that does not listen.
        json!({ "command": "echo $$ > shell.pid; (trap '' TERM HUP; sleep 1000 & echo $! > child.pid; wait) & sleep 1000" }),
    ))));
    std::fs::write(world.repo.path().join(".git/info/exclude"), "*.pid\n").unwrap();
    let run = world.user.detach(["--gate", "./test.sh", GOAL]);
    let pid = |name: &str| -> Option<u32> {
        std::fs::read_to_string(world.repo.path().join(name)).ok()?.trim().parse().ok()
    };
    wait_until("the tool's shell", || pid("shell.pid").is_some() && pid("child.pid").is_some());
    let (shell, child) = (pid("shell.pid").unwrap(), pid("child.pid").unwrap());
    assert!(is_alive(shell) && is_alive(child));
    cancel_and_resume(&world, &run);
    assert!(!is_alive(shell) && !is_alive(child));
    world.server.assert_all_expected();
}

#[test]
fn cancelled_while_the_answer_streams() {
    let world = World::new(Script::new().rule(going_on()).rule(Rule::new("first").any_user(GOAL).replies([
        Reply::tool("bash", json!({ "command": "echo begun" })),
        Reply::text("A long answer that never comes to its end.").pieces_of(4).hold_after(3, "streaming"),
    ])));
    let run = world.user.detach(["--gate", "./test.sh", GOAL]);
    world.server.wait_held("streaming", 1);
    cancel_and_resume(&world, &run);
    world.server.assert_all_expected();
    // Cancelled before it was told to stop: the half answer is no result, and the next request knows of the call.
    let third = &world.server.requests()[2];
    assert!(third.conversation().users().next_back().unwrap().contains("`bash echo begun`"));
}
