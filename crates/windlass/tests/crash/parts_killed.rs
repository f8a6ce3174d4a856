//! `kill -9` of a shim, of a worker, of the process that starts workers.

use crate::world::{World, check_journal, count, kill, name, parent, real, run_state, state, step, task};
use windlass_testkit::process::{is_alive, wait_until};

/// The first attempt leaves processes all over the place and waits; later ones only look whether anything is left.
const WORK: &str = r#"start
if [ "$WINDLASS_ATTEMPT" = 1 ]; then
    sleep 1000 & echo $! >>"$M/children"
    setsid sh -c 'trap "" TERM HUP; sleep 1000 & echo $! >>"$0/children"; echo $$ >>"$0/children"; wait' "$M" &
    (setsid sh -c 'sleep 1000 & echo $! >>"$0/children"' "$M" &)
    while [ "$(wc -l <"$M/children")" -lt 4 ]; do sleep 0.02; done
    echo $WINDLASS_STEP >"$M/ready"
    while :; do sleep 1; done
fi
while read -r p; do lives "$p" && echo "left of the first attempt: $p"; done <"$M/children"
echo "attempt $WINDLASS_ATTEMPT"
end"#;

/// A run with such a worker, one beside it, and one after both.
fn begin(world: &World, keys: &[&str]) -> (String, u32) {
    world.agent("work", WORK);
    world.agent("side", "start\nwait_for go\necho beside\nend");
    world.agent("last", "start\necho last\nend");
    let mut work = step("work", "work", &[]);
    for key in keys {
        work = work.key(*key);
    }
    let steps = [work, step("side", "side", &[]), step("last", "last", &["work", "side"])];
    world.team("parts", 4, &[], &steps);
    let run = world.start("parts");
    world.wait_mark("ready");
    let pid = world.wait_started(&["work"])[0];
    (run, pid)
}

/// The processes that the first attempt started.
fn children(world: &World) -> Vec<u32> {
    let text = std::fs::read_to_string(world.mark("children")).unwrap();
    text.lines().map(|l| l.parse().unwrap()).collect()
}

/// One new attempt, nothing left of the old one before it began, everything completed.
fn check(world: &World, run: &str, ends: [&str; 2]) {
    world.set("go");
    world.user.run(["wait", run]).expect_code(0);
    let status = world.user.status(run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    let events = world.user.events(run);
    let attempts = check_journal(&events);
    assert_eq!(real(&attempts, task(&status, "work")), ends, "{status:#}");
    for name in ["side", "last"] {
        assert_eq!(real(&attempts, task(&status, name)), ["ended"], "{status:#}");
    }
    assert_eq!(world.result(run, &status, "work"), b"attempt 2\n");
    let log = world.log();
    assert_eq!((log.started("work"), log.ended("work")), (2, 1), "{log:#?}");
    assert_eq!((log.started("side"), log.started("last")), (1, 1), "{log:#?}");
    assert!(children(world).iter().all(|p| !is_alive(*p)));
}

#[test]
fn a_killed_shim_costs_one_attempt_and_leaves_nothing() {
    let world = World::new();
    let (run, pid) = begin(&world, &[]);
    kill(world.shim_of(pid));
    world.user.wait_for(&run, "the loss", |e| count(e, "attempt.lost") == 1);
    check(&world, &run, ["lost", "ended"]);
}

/// A machine that is shut down asks every process to end. Nobody wanted the worker ended, so that is no outcome of it.
#[test]
fn a_shim_that_is_asked_to_end_costs_one_attempt_and_leaves_nothing() {
    let world = World::new();
    let (run, pid) = begin(&world, &[]);
    windlass_testkit::process::signal_pid(world.shim_of(pid), 15);
    world.user.wait_for(&run, "the loss", |e| count(e, "attempt.lost") == 1);
    check(&world, &run, ["lost", "ended"]);
}

#[test]
fn a_killed_worker_costs_one_attempt_and_leaves_nothing() {
    let world = World::new();
    let (run, pid) = begin(&world, &[]);
    kill(pid);
    check(&world, &run, ["ended", "ended"]);
    let attempts = world.user.status(&run);
    assert_eq!(task(&attempts, "work")["attempts"][0]["error_class"], "signal", "{attempts:#}");
}

/// Shim and worker and daemon at once: the next engine finds a claim without a lock and without an end.
#[test]
fn everything_killed_at_once() {
    let world = World::new();
    let (run, pid) = begin(&world, &[]);
    let shim = world.shim_of(pid);
    let daemon = world.user.daemon_pid().unwrap();
    for victim in [daemon, shim, pid] {
        windlass_testkit::process::signal_pid(victim, 9);
    }
    wait_until("the dead to be gone", || [daemon, shim, pid].iter().all(|p| !is_alive(*p)));
    world.user.run(["daemon", "start"]).expect_code(0);
    check(&world, &run, ["lost", "ended"]);
}

/// The process that starts workers is gone; live workers are not harmed, and new ones are started all the same.
#[test]
fn a_killed_nursery_stops_nothing() {
    let world = World::new();
    world.agent("work", "start\nwait_for go\necho one\nend");
    world.agent("last", "start\necho last\nend");
    let steps = [step("a", "work", &[]), step("b", "work", &[]), step("c", "last", &["a", "b"])];
    world.team("parts", 4, &[], &steps);
    let run = world.start("parts");
    let pids = world.wait_started(&["a", "b"]);
    let nursery = parent(world.shim_of(pids[0]));
    assert_eq!(name(nursery).as_deref(), Some("windlass-nurs"));
    kill(nursery);
    assert!(pids.iter().all(|p| is_alive(*p)));
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
    let status = world.user.status(&run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    let attempts = check_journal(&world.user.events(&run));
    assert!(["a", "b", "c"].iter().all(|s| real(&attempts, task(&status, s)) == ["ended"]), "{attempts:?}");
    world.log().assert_each_once(&steps);
}

/// What must not be repeated is not: a person looks first, and says so.
#[test]
fn a_lost_attempt_of_a_step_that_is_never_repeated_needs_a_person() {
    let world = World::new();
    let (run, pid) = begin(&world, &["repeat: never"]);
    world.set("go");
    kill(world.shim_of(pid));
    let told = world.user.run(["wait", &run]).expect_code(3);
    assert!(told.err().contains("blocked"), "{}", told.err());
    let status = world.user.status(&run);
    assert_eq!((run_state(&status), state(&status, "work")), ("blocked", "needs_attention"), "{status:#}");
    assert_eq!(state(&status, "side"), "completed", "{status:#}");
    assert_eq!(world.log().started("work"), 1);
    assert!(children(&world).iter().all(|p| !is_alive(*p)), "nothing of it is left");
    // A person has looked.
    world.user.run(["retry", &run]).expect_code(0);
    let status = world.user.status(&run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    assert_eq!(world.result(&run, &status, "work"), b"attempt 2\n");
}
