//! pi or its shim killed in the middle: one new attempt, in pi's own session where there is one, never two alive.

use crate::support::{GOAL, World, assert_usage, attempts, files, mend, parent, pi_pid, pis, seq_of};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use windlass_testkit::model::Order;
use windlass_testkit::process::{is_alive, signal_pid, wait_until};
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
    // What a killed shim had not yet read of its worker's pipe is lost with it; the call must be on disk to be named.
    wait_until("the call is in the spool", || {
        world.user.run(["logs", &format!("{run}/execute")]).out().contains("begun.txt")
    });
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

#[test]
fn a_killed_daemon_costs_pi_nothing_and_the_run_ends_by_itself() {
    let world =
        World::new(Script::new().rule(
            Rule::new("executor").any_user(GOAL).replies([mend(), Reply::text("Mended.\n").hold("last")]),
        ));
    let run = world.user.detach(["--gate", "./test.sh", GOAL]);
    world.server.wait_held("last", 1);
    let pi = pi_pid(&world);
    world.user.kill_daemon();
    assert!(is_alive(pi), "pi is not the daemon's child");
    world.server.release("last");
    // No command is given: pi says that it has finished, its shim lets it go, and starts an engine that takes it up.
    wait_until("pi to leave by itself", || !is_alive(pi));
    wait_until("an engine that takes the result up", || {
        let kept = files(&world.user.home().join("state"));
        let result = kept.iter().find(|path| path.ends_with("results/01_execute.1.md"));
        result.is_some_and(|path| std::fs::read_to_string(path).is_ok_and(|text| text == "Mended.\n"))
    });

    let status = world.user.wait_end(&run);
    world.server.assert_all_expected();
    assert_eq!(
        (&status["run"]["status"], &status["run"]["proof"]),
        (&json!("completed"), &json!("proven")),
        "{status:#}"
    );
    let attempts = attempts(&status, "execute");
    assert_eq!((attempts.len(), &attempts[0]["status"]), (1, &json!("completed")));
    assert_usage(&status["run"]["usage"], world.server.usage_sent(), 2);
}

#[test]
fn an_adopted_pi_still_hears_what_it_is_told() {
    let world = World::new(
        Script::new()
            .rule(Rule::new("told").any_user("and be quick").replies([
                Reply::text("unused"),
                mend(),
                Reply::text("Quickly mended.\n"),
            ]))
            .rule(
                Rule::new("first")
                    .any_user(GOAL)
                    .reply(Reply::tool("bash", json!({ "command": "true" })).hold("first")),
            ),
    );
    let run = world.user.detach(["--gate", "./test.sh", GOAL]);
    world.server.wait_held("first", 1);
    world.user.kill_daemon();
    world.user.run(["steer", &format!("{run}/execute"), "and be quick"]).expect_code(0);
    world.server.release("first");
    let status = world.user.wait_end(&run);
    world.server.assert_all_expected();
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    assert_eq!(attempts(&status, "execute").len(), 1);
    assert_usage(&status["run"]["usage"], world.server.usage_sent(), 3);
    assert_eq!(world.server.requests()[1].conversation().users().next_back(), Some("and be quick"));
}
