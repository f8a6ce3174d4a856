//! `--no-daemon`: the engine lives in the calling process, and its workers with it.

use crate::world::{World, check_journal, count, kill, parent, run_state, state, step, task};
use windlass_testkit::process::{is_alive, wait_until};
use windlass_testkit::programs;

fn team(world: &World) {
    world.agent(
        "work",
        "start\n[ \"$WINDLASS_ATTEMPT\" = 1 ] && wait_for go\necho attempt $WINDLASS_ATTEMPT\nend",
    );
    world.agent("last", "start\nprintf 'no line break'\nend");
    world.team("two", 2, &[], &[step("work", "work", &[]), step("last", "last", &["work"])]);
}

const RUN: [&str; 5] = ["run", "--no-daemon", "--team", "two", "do it"];

/// The one run of this world.
fn the_run(world: &World) -> String {
    let list = world.user.json(["list", "--json"]);
    list["runs"][0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_completes_without_a_daemon() {
    let world = World::new();
    team(&world);
    let running = world.user.spawn(RUN);
    world.wait_started(&["work"]);
    assert!(world.daemons().is_empty());
    world.set("go");
    let output = running.wait().expect_code(0);
    assert_eq!(output.out(), "no line break");
    assert!(world.user.processes().is_empty(), "{:?}", world.user.processes());
    let run = the_run(&world);
    assert_eq!(run_state(&world.user.status(&run)), "completed");
    check_journal(&world.user.events(&run));
    let left: Vec<_> = std::fs::read_dir(world.user.home().join("run")).unwrap().flatten().collect();
    let left: Vec<_> = left.into_iter().filter(|e| e.path().is_file()).map(|e| e.file_name()).collect();
    assert!(left.is_empty(), "{left:?} left in the runtime folder");
}

/// The caller's signal cancels the run, which waits until nothing of it is left.
#[test]
fn signals_cancel_it() {
    for signal in [2, 15] {
        let world = World::new();
        let folder = world.mark("tree");
        std::fs::create_dir(&folder).unwrap();
        let fake = programs::fake_worker();
        world.agent("work", &format!("start\nexec '{}' tree '{}'", fake.display(), folder.display()));
        world.agent("last", "start\nend");
        world.team("two", 2, &[], &[step("work", "work", &[]), step("last", "last", &["work"])]);
        let running = world.user.spawn(RUN);
        let pids: Vec<u32> =
            (1..=3).map(|n| world.wait_mark(&format!("tree/level{n}")).trim().parse().unwrap()).collect();
        running.signal(signal);
        running.wait().expect_code(130);
        assert!(pids.iter().all(|p| !is_alive(*p)));
        let status = world.user.status(&the_run(&world));
        assert_eq!(run_state(&status), "cancelled", "{status:#}");
        assert!(world.user.processes().is_empty());
        check_journal(&world.user.events(&the_run(&world)));
    }
}

/// `kill -9` of the calling process: its workers are stopped, nothing runs on unseen, and a later command goes on.
fn killed(world: &World) -> String {
    team(world);
    let running = world.user.spawn(RUN);
    let pids = world.wait_started(&["work"]);
    let shim = world.shim_of(pids[0]);
    kill(running.pid());
    wait_until("the worker to be stopped", || !is_alive(pids[0]) && !is_alive(shim));
    wait_until("everything to be gone", || world.user.processes().is_empty());
    let run = the_run(world);
    assert_eq!(state(&world.user.status(&run), "work"), "running", "nobody has recorded it yet");
    run
}

fn check(world: &World, run: &str) {
    let status = world.user.status(run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    assert_eq!(world.result(run, &status, "work"), b"attempt 2\n");
    let attempts = check_journal(&world.user.events(run));
    assert_eq!(attempts[task(&status, "work")["id"].as_str().unwrap()].len(), 2, "{status:#}");
    assert_eq!(world.log().started("last"), 1);
}

#[test]
fn after_a_kill_attach_goes_on_through_the_daemon() {
    let world = World::new();
    let run = killed(&world);
    let attach = world.user.run(["attach", &run]);
    assert_eq!(attach.code, Some(0), "{}", attach.err());
    assert_eq!(attach.out(), "no line break");
    assert!(world.user.daemon_pid().is_some());
    check(&world, &run);
}

#[test]
fn after_a_kill_wait_goes_on_through_the_daemon() {
    let world = World::new();
    let run = killed(&world);
    world.user.run(["wait", &run]).expect_code(0);
    check(&world, &run);
}

#[test]
fn after_a_kill_resume_goes_on_through_the_daemon() {
    let world = World::new();
    let run = killed(&world);
    let resume = world.user.run(["resume", &run]).expect_code(0);
    assert_eq!(resume.out(), "no line break");
    check(&world, &run);
}

/// A daemon beside it leaves its run alone: two engines, one database, each its own run.
#[test]
fn it_lives_beside_a_daemon() {
    let world = World::new();
    team(&world);
    world.agent("other", "start\nwait_for go\nend");
    world.team("other", 2, &[], &[step("other", "other", &[])]);
    let other = world.start("other");
    let running = world.user.spawn(RUN);
    world.wait_started(&["work", "other"]);
    let ids: Vec<String> = world.user.json(["list", "--json"])["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["id"].as_str().unwrap().to_owned())
        .collect();
    let mine = ids.iter().find(|id| **id != other).unwrap();
    // A daemon that is asked about the project, or started anew, does not take it.
    world.user.kill_daemon();
    world.user.run(["daemon", "start"]).expect_code(0);
    world.user.wait_for(&other, "the next engine", |e| count(e, "run.taken") == 2);
    // A request for it reaches the engine that leads it.
    let refused = world.user.run(["cancel", mine, "last"]).expect_code(0);
    assert!(refused.err().contains("cancelled"), "{}", refused.err());
    assert_eq!(count(&world.user.events(mine), "run.taken"), 1);
    world.set("go");
    running.wait().expect_code(1);
    world.user.run(["wait", &other]).expect_code(0);
    let status = world.user.status(mine);
    assert_eq!((state(&status, "work"), state(&status, "last")), ("completed", "cancelled"), "{status:#}");
    check_journal(&world.user.events(mine));
}

/// The process that starts workers is killed under an engine that cannot make another: the command says so and ends,
/// and the run can go on.
#[test]
fn a_killed_nursery_ends_the_command_and_not_the_run() {
    let world = World::new();
    team(&world);
    let running = world.user.spawn(RUN);
    let pid = world.wait_started(&["work"])[0];
    kill(parent(world.shim_of(pid)));
    world.set("go");
    let output = running.wait();
    let run = the_run(&world);
    assert_eq!(output.code, Some(5), "{}\n{}", output.out(), output.err());
    assert!(output.err().contains(&format!("windlass resume {run}")), "{}", output.err());
    world.user.run(["resume", &run]).expect_code(0);
    let status = world.user.status(&run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    assert_eq!(world.log().started("last"), 1);
    check_journal(&world.user.events(&run));
}
