//! Who leads a run does not answer: what is asked of the run is left with it, and done once, by whoever goes on with it.

use crate::world::{World, check_journal, count, kill, run_state, step};
use windlass_testkit::process::{is_alive, signal_pid, wait_until};

const STOP: i32 = 19;
const GO_ON: i32 = 18;

fn waiting(world: &World) {
    world.agent("work", "start\nwait_for go\necho done\nend");
    world.team("wait", 2, &[], &[step("a", "work", &[])]);
}

/// Asks for a cancel that nobody hears, and gives what was said.
#[track_caller]
fn cancel_unheard(world: &World, run: &str, stopped: u32) {
    signal_pid(stopped, STOP);
    let asked = world.user.run(["cancel", run]);
    assert_eq!(asked.code, Some(5), "{}", asked.err());
    let said = asked.err();
    for word in ["does not answer", "stored", &stopped.to_string(), "kill -CONT"] {
        assert!(said.contains(word), "`{word}` is missing in: {said}");
    }
    assert_eq!(count(&world.user.events(run), "cancel.requested"), 0, "nobody has heard it yet");
}

#[track_caller]
fn check_cancelled_once(world: &World, run: &str) {
    let status = world.user.wait_end(run);
    assert_eq!(run_state(&status), "cancelled", "{status:#}");
    let events = world.user.events(run);
    check_journal(&events);
    assert_eq!((count(&events, "cancel.requested"), count(&events, "run.cancelled")), (1, 1));
    // It was used up: what is resumed is not cancelled once more.
    world.set("go");
    world.user.run(["resume", run]).expect_code(0);
    let status = world.user.status(run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    assert_eq!(count(&world.user.events(run), "cancel.requested"), 1);
}

#[test]
fn a_stopped_daemon_does_it_when_it_goes_on() {
    let world = World::new();
    waiting(&world);
    let run = world.start("wait");
    let worker = world.wait_started(&["a"])[0];
    let daemon = world.daemons()[0];
    cancel_unheard(&world, &run, daemon);
    // Who only asks how it is does not hang either, and is not told that none runs.
    let asked = world.user.run(["daemon", "status"]);
    assert_eq!(asked.code, Some(5), "{}", asked.err());
    signal_pid(daemon, GO_ON);
    wait_until("the worker to be gone", || !is_alive(worker));
    check_cancelled_once(&world, &run);
}

#[test]
fn the_next_engine_does_it_when_the_stopped_one_is_killed() {
    let world = World::new();
    waiting(&world);
    let run = world.start("wait");
    let worker = world.wait_started(&["a"])[0];
    let daemon = world.daemons()[0];
    cancel_unheard(&world, &run, daemon);
    kill(daemon);
    assert_eq!(world.user.run(["wait", &run]).code, Some(130));
    assert!(!is_alive(worker));
    check_cancelled_once(&world, &run);
}

/// The daemon answers, and the engine that leads the run, in the terminal that started it, does not.
#[test]
fn a_stopped_engine_in_a_terminal_does_it_when_it_goes_on() {
    let world = World::new();
    waiting(&world);
    let inline = world.user.spawn(["run", "--no-daemon", "--team", "wait", "do it"]);
    let worker = world.wait_started(&["a"])[0];
    let list = world.user.json(["list", "--json"]);
    let run = list["runs"][0]["id"].as_str().unwrap().to_owned();
    cancel_unheard(&world, &run, inline.pid());
    signal_pid(inline.pid(), GO_ON);
    let ended = inline.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.err());
    assert!(!is_alive(worker));
    check_cancelled_once(&world, &run);
}
