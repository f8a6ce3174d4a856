//! `kill -9` in the middle of a hand-over: of the old daemon, of the new one, of the command that asked for it.

use crate::versions::{NEWER, STEPS, leaders, speaking};
use crate::world::{World, kill};
use std::time::Duration;
use windlass_testkit::process::{is_alive, wait_until};

const OWN: &str = env!("CARGO_PKG_VERSION");

/// Holds the database so that nothing can be written, as a slow disk would, until it is dropped.
fn hold(world: &World, run: &str) -> rusqlite::Connection {
    let raw = rusqlite::Connection::open(world.database(run)).unwrap();
    raw.busy_timeout(Duration::from_secs(60)).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    raw
}

#[track_caller]
fn goes_on(world: &World, run: &str, workers: &[u32]) {
    assert!(workers.iter().all(|pid| is_alive(*pid)));
    world.wait_more_lines();
    world.set("go");
    world.user.run(["wait", run]).expect_code(0);
    world.check_all_said_once(run);
}

/// The old one dies while it makes place: whoever asked it puts the next one there all the same.
#[test]
fn the_old_daemon_killed_in_the_middle() {
    let world = speaking();
    let run = world.start("count");
    let workers = world.wait_started(&STEPS);
    let old = world.served_by().1;
    let held = hold(&world, &run);
    let start = world.spawn_of(NEWER, &["daemon", "start"]);
    wait_until("the old daemon to make place", || world.is_leaving());
    assert!(is_alive(old), "it cannot give its leases back yet");
    kill(old);
    drop(held);
    start.wait().expect_code(0);
    let (version, new) = world.served_by();
    assert_eq!(version, NEWER);
    wait_until("one daemon", || world.daemons() == [new]);
    world.user.wait_for(&run, "the next engine", |e| leaders(e).len() >= 2);
    goes_on(&world, &run, &workers);
    assert_eq!(leaders(&world.user.events(&run)), [OWN, NEWER]);
}

/// The new one dies as soon as it is there, before or after it has begun to lead; the run goes on by the next command.
#[test]
fn the_new_daemon_killed_at_its_start() {
    let world = speaking();
    let run = world.start("count");
    let workers = world.wait_started(&STEPS);
    let old = world.served_by().1;
    let wait = world.user.spawn(["wait", &run]);
    let start = world.spawn_of(NEWER, &["daemon", "start"]);
    let mut new = 0;
    wait_until("the new daemon", || {
        new = world.daemons().into_iter().find(|pid| *pid != old).unwrap_or(0);
        new != 0 && !is_alive(old)
    });
    kill(new);
    // It tells, if it was not told before.
    let told = start.wait();
    assert!(matches!(told.code, Some(0 | 5)), "{}", told.err());
    world.run_of(NEWER, &["daemon", "start"]).expect_code(0);
    assert_eq!(world.served_by().0, NEWER);
    goes_on(&world, &run, &workers);
    wait.wait().expect_code(0);
}

/// The new one dies when it leads the run: its nursery starts the next one of its version, without any command.
#[test]
fn the_new_daemon_killed_when_it_leads() {
    let world = speaking();
    let run = world.start("count");
    let workers = world.wait_started(&STEPS);
    world.run_of(NEWER, &["daemon", "start"]).expect_code(0);
    world.user.wait_for(&run, "the next engine", |e| leaders(e).len() >= 2);
    kill(world.served_by().1);
    goes_on(&world, &run, &workers);
    let led = leaders(&world.user.events(&run));
    assert!(led.len() >= 3 && led[1] == NEWER, "{led:?}");
}

/// Who asked is gone when the old daemon has left: nobody starts the next one but the work itself.
#[test]
fn the_asking_command_killed_in_the_middle() {
    let world = speaking();
    let run = world.start("count");
    let workers = world.wait_started(&STEPS);
    let old = world.served_by().1;
    let held = hold(&world, &run);
    let mut start = world.spawn_of(NEWER, &["daemon", "start"]);
    wait_until("the old daemon to make place", || world.is_leaving());
    assert!(is_alive(old) && !start.has_ended());
    start.signal(9);
    wait_until("the asking command to be gone", || start.has_ended());
    drop(held);
    wait_until("the old daemon to be gone", || !is_alive(old));
    world.user.wait_for(&run, "the next engine", |e| leaders(e).len() >= 2);
    assert!(workers.iter().all(|pid| is_alive(*pid)));
    // And no command is needed for the end either.
    world.set("go");
    assert_eq!(crate::world::run_state(&world.user.wait_end(&run)), "completed");
    world.check_all_said_once(&run);
}

/// Whatever dies, at whatever moment, no worker is started twice and no line is lost.
#[test]
fn daemons_killed_at_any_moment_of_many_hand_overs() {
    let world = speaking();
    let run = world.start("count");
    let workers = world.wait_started(&STEPS);
    let wait = world.user.spawn(["wait", &run]);
    for round in 0..8u64 {
        let version = format!("{}.0.0", 2 + round);
        let before = world.daemons();
        let mut start = world.spawn_of(&version, &["daemon", "start"]);
        // Every moment comes in one of the rounds: at once, when the old one is leaving, when another one is there, at the end.
        match round % 4 {
            0 => {}
            1 => wait_until("the old one to leave", || world.is_leaving() || start.has_ended()),
            2 => wait_until("another one", || world.daemons() != before || start.has_ended()),
            _ => wait_until("the end", || start.has_ended()),
        }
        for pid in world.daemons() {
            windlass_testkit::process::signal_pid(pid, 9);
        }
        let told = start.wait();
        assert!(matches!(told.code, Some(0 | 5)), "{}", told.err());
    }
    world.run_of("99.0.0", &["daemon", "start"]).expect_code(0);
    goes_on(&world, &run, &workers);
    wait.wait().expect_code(0);
}
