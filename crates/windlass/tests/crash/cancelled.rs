//! `cancel`: nothing of a worker is left, the run stays as it is, and `resume` goes on.

use crate::world::{World, check_journal, count, kill, real, run_state, state, step, task};
use windlass_testkit::process::{is_alive, wait_until};
use windlass_testkit::programs;

/// Nothing of a cancelled worker may be alive after this long: a promise to people, so it is measured.
const GONE_WITHIN_MS: i64 = 5_000;

/// A worker that ignores every polite signal, three levels deep, each in a session of its own, the third without a
/// parent of ours, all holding standard output.
fn tree(world: &World) -> (String, Vec<u32>) {
    let folder = world.mark("tree");
    std::fs::create_dir(&folder).unwrap();
    let fake = programs::fake_worker();
    world.agent("tree", &format!("start\nexec '{}' tree '{}'", fake.display(), folder.display()));
    world.agent("side", "start\nwait_for go\necho side\nend");
    world.agent("last", "start\nend");
    let steps =
        [step("tree", "tree", &[]), step("side", "side", &[]), step("last", "last", &["tree", "side"])];
    world.team("tree", 4, &[], &steps);
    let run = world.start("tree");
    let level = |n: u32| world.wait_mark(&format!("tree/level{n}")).trim().parse().unwrap();
    let pids = vec![level(1), level(2), level(3)];
    assert!(pids.iter().all(|p| is_alive(*p)));
    (run, pids)
}

/// Everything of this user that is neither the daemon nor its nursery.
fn workers(world: &World) -> Vec<String> {
    let all = world.user.processes().into_iter();
    let others = all.filter(|p| !p.command.contains("daemon run") && !p.command.contains("daemon start"));
    others.map(|p| format!("{} {}", p.pid, p.command)).collect()
}

#[test]
fn a_cancelled_tree_is_gone_and_the_run_stays_cancelled() {
    let world = World::new();
    let (run, pids) = tree(&world);
    world.user.run(["cancel", &run]).expect_code(0);
    let alive: Vec<u32> = pids.iter().copied().filter(|p| is_alive(*p)).collect();
    assert!(alive.is_empty(), "{alive:?} alive when `cancel` said that it was done");
    assert_eq!(workers(&world), Vec::<String>::new());
    let status = world.user.status(&run);
    assert_eq!(run_state(&status), "cancelled", "{status:#}");
    for name in ["tree", "side", "last"] {
        assert_eq!(state(&status, name), "cancelled", "{status:#}");
    }
    // Nothing that comes later changes it: not a second cancel, a new engine, or the barrier.
    let before = world.user.events(&run);
    check_journal(&before);
    assert_eq!(count(&before, "run.cancelled"), 1);
    let at = |kind: &str| before.iter().find(|e| e["type"] == kind).unwrap()["at"].as_i64().unwrap();
    let took = at("run.cancelled") - at("cancel.requested");
    assert!(took < GONE_WITHIN_MS, "it took {took} ms");
    world.set("go");
    let again = world.user.run(["cancel", &run]);
    assert_eq!(again.code, Some(2), "{}", again.err());
    assert!(again.err().contains("cancelled"), "{}", again.err());
    world.user.kill_daemon();
    world.user.run(["daemon", "start"]).expect_code(0);
    assert_eq!(world.user.run(["wait", &run]).code, Some(130));
    assert_eq!(world.user.events(&run), before);
    assert_eq!(world.log().starts.len(), 2);
}

/// The daemon dies in the middle of a cancel: the next one ends it.
#[test]
fn a_cancel_survives_the_daemon() {
    let world = World::new();
    let (run, pids) = tree(&world);
    let cancel = world.user.spawn(["cancel", &run]);
    world.user.wait_for(&run, "the request", |e| count(e, "cancel.requested") == 1);
    let daemon = world.daemons()[0];
    kill(daemon);
    // The command that waits for it sees to it that somebody goes on, whether or not the workers had been told.
    cancel.wait().expect_code(0);
    assert_eq!(run_state(&world.user.status(&run)), "cancelled");
    assert!(pids.iter().all(|p| !is_alive(*p)));
    check_journal(&world.user.events(&run));
}

#[test]
fn cancelling_a_task_stops_it_and_skips_what_depends_on_it() {
    let world = World::new();
    let (run, pids) = tree(&world);
    world.user.run(["cancel", &run, "tree"]).expect_code(0);
    assert!(pids.iter().all(|p| !is_alive(*p)));
    let status = world.user.status(&run);
    assert_eq!(state(&status, "tree"), "cancelled", "{status:#}");
    assert_eq!(state(&status, "side"), "running", "{status:#}");
    world.set("go");
    let end = world.user.wait_end(&run);
    assert_eq!(state(&end, "side"), "completed", "{end:#}");
    assert_eq!(state(&end, "last"), "skipped", "{end:#}");
    assert_eq!(run_state(&end), "failed", "{end:#}");
    assert_eq!(world.result(&run, &end, "side"), b"side\n");
    assert_eq!(world.log().started("last"), 0);
}

/// `resume` after a cancel makes new attempts of what was stopped, and only of that.
#[test]
fn a_cancelled_run_is_resumed() {
    let world = World::new();
    world.agent("done", "start\necho done\nend");
    world.agent("work", "start\n[ \"$WINDLASS_ATTEMPT\" = 1 ] && sleep 1000\necho second\nend");
    world.agent("last", "start\ncat\nend");
    let steps = [step("done", "done", &[]), step("work", "work", &["done"]), step("last", "last", &["work"])];
    world.team("again", 4, &[], &steps);
    let run = world.start("again");
    world.wait_started(&["work"]);
    world.user.run(["cancel", &run]).expect_code(0);
    assert_eq!(run_state(&world.user.status(&run)), "cancelled");
    world.user.run(["resume", &run]).expect_code(0);
    let status = world.user.status(&run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    let attempts = check_journal(&world.user.events(&run));
    assert_eq!(real(&attempts, task(&status, "done")), ["ended"]);
    assert_eq!(real(&attempts, task(&status, "work")), ["ended", "ended"]);
    assert_eq!(world.log().started("done"), 1);
    assert!(String::from_utf8_lossy(&world.result(&run, &status, "last")).contains("second"));
    // There is nothing left to resume.
    assert_eq!(world.user.run(["resume", &run]).code, Some(2));
}

/// What has not started yet never does.
#[test]
fn a_queued_task_and_a_queued_run_are_cancelled() {
    let world = World::new();
    world.user.write_home("config.toml", "[machine]\nconcurrency = 1\n");
    world.agent("work", "start\nwait_for go\nend");
    world.team("one", 1, &[], &[step("a", "work", &[]), step("b", "work", &[])]);
    let first = world.start("one");
    world.wait_started(&["a"]);
    // A second run finds no free place on this machine.
    world.team("two", 1, &[], &[step("c", "work", &[])]);
    let second = world.start("two");
    world.user.run(["cancel", &first, "b"]).expect_code(0);
    assert_eq!(state(&world.user.status(&first), "b"), "cancelled");
    world.user.run(["cancel", &second]).expect_code(0);
    assert_eq!(run_state(&world.user.status(&second)), "cancelled");
    world.set("go");
    let end = world.user.wait_end(&first);
    assert_eq!(state(&end, "a"), "completed", "{end:#}");
    let log = world.log();
    assert_eq!((log.started("a"), log.started("b"), log.started("c")), (1, 0, 0), "{log:#?}");
    wait_until("workers to be gone", || workers(&world).is_empty());
}
