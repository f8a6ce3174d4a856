//! `kill -9` of the daemon.

use crate::world::{World, check_journal, count, real, run_state, step, task};
use windlass_testkit::process::{is_alive, signal_pid, wait_until};

/// Output that is easy to compare: numbered lines before and after the barrier.
const WORK: &str = r#"start
i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo "$WINDLASS_STEP before $i"; done
wait_for go
i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo "$WINDLASS_STEP after $i"; done
end"#;

fn expected(step: &str) -> Vec<u8> {
    let lines = |when: &str| (1..=500).map(|i| format!("{step} {when} {i}\n")).collect::<String>();
    (lines("before") + &lines("after")).into_bytes()
}

/// Three workers that wait at a barrier, and one that depends on all of them.
fn three(world: &World) -> String {
    world.agent("work", WORK);
    world.agent("last", "start\ncat >/dev/null\nprintf 'last words'\nend");
    let steps = [
        step("a", "work", &[]),
        step("b", "work", &[]),
        step("c", "work", &[]),
        step("d", "last", &["a", "b", "c"]),
    ];
    world.team("three", 4, &[], &steps);
    world.start("three")
}

fn check_three(world: &World, run: &str) {
    let status = world.user.status(run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    for name in ["a", "b", "c"] {
        assert_eq!(world.result(run, &status, name), expected(name), "the result of {name}");
    }
    assert_eq!(world.result(run, &status, "d"), b"last words");
    let events = world.user.events(run);
    let attempts = check_journal(&events);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(attempts[task(&status, name)["id"].as_str().unwrap()], ["ended"], "{attempts:?}");
        assert_eq!(real(&attempts, task(&status, name)).len(), 1);
    }
    assert_eq!(count(&events, "run.completed"), 1);
    let log = world.log();
    assert_eq!((log.starts.len(), log.ends.len()), (4, 4), "{log:#?}");
}

/// Workers outlive the daemon; the next command finds them again.
#[test]
fn workers_outlive_the_daemon_and_are_adopted_by_the_next_command() {
    let world = World::new();
    let run = three(&world);
    let pids = world.wait_started(&["a", "b", "c"]);
    let shims: Vec<u32> = pids.iter().map(|p| world.shim_of(*p)).collect();
    let first = world.user.kill_daemon();
    assert!(pids.iter().chain(&shims).all(|p| is_alive(*p)), "workers and shims live on");

    // Any command that needs an engine starts one.
    world.user.run(["daemon", "start"]).expect_code(0);
    let second = world.user.daemon_pid().unwrap();
    assert_ne!(first, second);
    world.user.wait_for(&run, "the next engine", |e| count(e, "run.taken") == 2);
    assert!(pids.iter().all(|p| is_alive(*p)), "adoption leaves the workers alone");
    assert_eq!(pids, world.wait_started(&["a", "b", "c"]), "the same workers");

    world.set("go");
    world.user.wait_end(&run);
    check_three(&world, &run);
}

/// Nobody asks for anything after the kill: the shim whose worker ends starts an engine, and the run ends by itself.
#[test]
fn a_run_whose_daemon_was_killed_ends_by_itself() {
    let world = World::new();
    let run = three(&world);
    world.wait_started(&["a", "b", "c"]);
    world.user.kill_daemon();
    world.set("go");
    // Looking must not help: only the workers' own record is watched.
    wait_until("the last task, without any command", || world.log_text().contains("end d "));
    world.user.wait_end(&run);
    check_three(&world, &run);
}

/// The workers end while there is no engine at all; the next one takes their ends from their files.
#[test]
fn ends_without_an_engine_are_taken_from_the_files() {
    let world = World::new();
    let run = three(&world);
    let pids = world.wait_started(&["a", "b", "c"]);
    let shims: Vec<u32> = pids.iter().map(|p| world.shim_of(*p)).collect();
    // A daemon that cannot start: whoever wants the lock waits in vain, as on a machine that is short of something.
    let daemon = world.user.kill_daemon();
    assert!(!is_alive(daemon));
    let lock = world.user.home().join("state/daemon.lock");
    let held = hold(&lock);
    world.set("go");
    wait_until("all shims to leave", || shims.iter().all(|s| !is_alive(*s)));
    assert_eq!(world.log().ends.len(), 3);
    drop(held);
    world.user.run(["wait", &run]).expect_code(0);
    check_three(&world, &run);
}

/// A file lock as the daemon takes it.
fn hold(path: &std::path::Path) -> std::fs::File {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.lock().unwrap();
    file
}

/// A stopped daemon (SIGSTOP) does not answer; killed then, it is as if it had been killed at any moment.
#[test]
fn a_daemon_that_hangs_and_is_killed() {
    let world = World::new();
    let run = three(&world);
    world.wait_started(&["a", "b", "c"]);
    let daemon = world.user.daemon_pid().unwrap();
    signal_pid(daemon, 19);
    world.set("go");
    // The shims tell a daemon that hears and does not read.
    wait_until("the workers' ends", || world.log().ends.len() == 3);
    signal_pid(daemon, 9);
    wait_until("the daemon to be gone", || !is_alive(daemon));
    world.user.run(["wait", &run]).expect_code(0);
    check_three(&world, &run);
}
