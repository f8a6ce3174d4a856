//! pi or its shim killed in the middle: one new attempt, in pi's own session where there is one, never two alive.

use crate::support::{GOAL, World, assert_usage, attempts, mend, parent, pi_pid, pis, seq_of};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use windlass_testkit::model::Order;
use windlass_testkit::process::{is_alive, signal_pid};
use windlass_testkit::{Reply, Rule, Script};

/// Who is killed.
#[derive(Clone, Copy, PartialEq)]
enum Victim {
    Worker,
    Shim,
}

/// pi does one thing, then the victim is killed while pi waits for the model.
fn kill_in_the_second_request(victim: Victim) {
    let old = Arc::new(AtomicU32::new(0));
    let both = Arc::new(AtomicUsize::new(0));
    let (seen, count) = (Arc::clone(&old), Arc::clone(&both));
    let world = World::new(
        Script::new()
            .rule(Rule::new("went on").last_user("Your process ended").answer(move |request| {
                if is_alive(seen.load(Ordering::SeqCst)) {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                if request.conversation().turn_of_prompt() == 0 {
                    mend()
                } else {
                    Reply::text("Mended after all.\n")
                }
            }))
            .rule(Rule::new("first").any_user(GOAL).replies([
                Reply::tool("bash", json!({ "command": "echo begun >> begun.txt" })),
                Reply::text("never given").hold("second"),
            ])),
    );
    let run = world.user.detach(["--gate", "./test.sh", GOAL]);
    world.server.wait_held("second", 1);
    let pi = pi_pid(&world);
    let shim = parent(pi);
    old.store(pi, Ordering::SeqCst);
    signal_pid(if victim == Victim::Worker { pi } else { shim }, 9);

    let status = world.user.wait_end(&run);
    world.server.release("second");
    world.server.assert_all_expected();
    assert_eq!(
        (&status["run"]["status"], &status["run"]["proof"]),
        (&json!("completed"), &json!("proven")),
        "{status:#}"
    );
    assert_eq!(both.load(Ordering::SeqCst), 0, "the killed attempt's pi was alive beside the next");
    assert!(pis(&world).is_empty() && !is_alive(shim));
    assert_eq!(world.repo.read("begun.txt"), "begun\n", "what was done before is not done again");

    let attempts = attempts(&status, "execute");
    assert_eq!(attempts.len(), 2, "exactly one new attempt");
    assert_eq!(attempts[0]["session"], attempts[1]["session"], "pi's own session goes on");
    let events = world.user.events(&run);
    assert_eq!(attempts[1]["status"], "completed");
    match victim {
        Victim::Worker => {
            assert_eq!(
                (&attempts[0]["status"], &attempts[0]["error_class"]),
                (&json!("failed"), &json!("signal"))
            );
            assert!(seq_of(&events, "attempt.ended", 1) < seq_of(&events, "attempt.started", 2));
        }
        Victim::Shim => {
            assert_eq!(attempts[0]["status"], "lost");
            // Nothing begins before it is proved that nothing of the lost attempt is alive.
            assert!(seq_of(&events, "attempt.lost", 1) < seq_of(&events, "attempt.swept", 1));
            assert!(seq_of(&events, "attempt.swept", 1) < seq_of(&events, "attempt.started", 2));
        }
    }
    let requests = world.server.requests();
    assert_eq!(requests.len(), 4);
    let third = requests[2].conversation();
    let users: Vec<&str> = third.users().collect();
    assert_eq!((users.len(), third.turn()), (2, 1), "{users:#?}");
    for part in [
        "Your process ended at",
        "`bash echo begun >> begun.txt`",
        "may or may not have taken effect",
        "+begun",
    ] {
        assert!(users[1].contains(part), "{part} is not in {}", users[1]);
    }
    assert_usage(&status["run"]["usage"], requests[0].sent.plus(requests[2].sent).plus(requests[3].sent), 3);
}

#[test]
fn a_killed_pi_goes_on_in_its_own_session() {
    kill_in_the_second_request(Victim::Worker);
}

#[test]
fn a_killed_shim_takes_pi_along_and_the_next_goes_on_in_its_session() {
    kill_in_the_second_request(Victim::Shim);
}

#[test]
fn a_pi_killed_before_its_first_answer_is_told_its_whole_task_again() {
    let world = World::new(
        Script::new()
            .rule(
                Rule::new("again")
                    .last_user("An earlier attempt at this task")
                    .order(Order::Prompt)
                    .replies([mend(), Reply::text("Mended.\n")]),
            )
            .rule(Rule::new("first").any_user(GOAL).reply(Reply::text("never given").hold("first"))),
    );
    let run = world.user.detach(["--gate", "./test.sh", GOAL]);
    world.server.wait_held("first", 1);
    signal_pid(pi_pid(&world), 9);
    let status = world.user.wait_end(&run);
    world.server.release("first");
    world.server.assert_all_expected();
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    let attempts = attempts(&status, "execute");
    assert_eq!(attempts.len(), 2);
    assert_ne!(attempts[1]["session"], attempts[0]["session"], "there was no record to go on from");
    let second = &world.server.requests()[1];
    let users: Vec<&str> = second.conversation().users().collect();
    assert_eq!(users.len(), 1);
    assert!(users[0].contains(GOAL) && users[0].contains("Your process ended at"), "{}", users[0]);
}
