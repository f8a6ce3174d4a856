//! Leases of runs and trees when engines die, stand still, or are told that somebody else has what they had.

use crate::world::{World, check_journal, count, name, run_state, step};
use std::path::PathBuf;
use windlass_api::request::ShellEnv;
use windlass_api::{Client, Reply, Request};
use windlass_testkit::process::{signal_pid, wait_until};

/// A writer that waits at a barrier, in teams of its own.
fn writers(world: &World, teams: &[(&str, &[&str])]) {
    world.agent_with("writer", "start\nwait_for go\nend", "writes: true");
    for (team, steps) in teams {
        let steps: Vec<_> = steps.iter().map(|s| step(*s, "writer", &[])).collect();
        world.team(team, 1, &[], &steps);
    }
}

/// Kills the daemon so that nothing starts the next one: what would do that goes first.
fn kill_daemon_and_nursery(world: &World) {
    let nursery =
        world.user.processes().into_iter().find(|p| name(p.pid).as_deref() == Some("windlass-nurs"));
    signal_pid(nursery.unwrap().pid, 9);
    world.user.kill_daemon();
}

/// The lease of a tree whose engine is dead is free; the turn of its run, whose worker lives, is not. Who wants the tree has that run
/// led, and waits for it.
#[test]
fn a_turn_outlives_its_engine() {
    let world = World::new();
    writers(&world, &[("one", &["a"]), ("two", &["b"])]);
    let first = world.start("one");
    world.wait_started(&["a"]);
    kill_daemon_and_nursery(&world);
    let second = world.user.spawn(["run", "--no-daemon", "--team", "two", "do it"]);
    world.user.wait_for(&first, "somebody who leads it", |e| count(e, "run.taken") == 2);
    assert_eq!(world.log().started("b"), 0, "two writers in one tree");
    world.set("go");
    second.wait().expect_code(0);
    assert_eq!(run_state(&world.user.wait_end(&first)), "completed");
    let log = world.log();
    assert!(log.is_before("a", "b"), "{log:#?}");
    assert_eq!((log.starts.len(), log.ends.len()), (2, 2), "{log:#?}");
}

fn database(world: &World) -> rusqlite::Connection {
    let projects = world.user.home().join("state/projects");
    let project = std::fs::read_dir(projects).unwrap().next().unwrap().unwrap().path();
    rusqlite::Connection::open(project.join("windlass.db")).unwrap()
}

/// An engine whose tree was taken by another one takes no turn there: it asks for the tree anew, and waits.
#[test]
fn no_turn_is_taken_on_a_lease_that_is_gone() {
    let world = World::new();
    writers(&world, &[("two", &["a", "b"])]);
    let run = world.start("two");
    world.wait_started(&["a"]);
    // As an engine that lives does it, told to take over.
    let owner = world.user.home().join("state/owners/other-1");
    let held = std::fs::File::create(&owner).unwrap();
    held.lock().unwrap();
    let db = database(&world);
    db.execute_batch(
        "BEGIN IMMEDIATE;
         UPDATE epochs SET last = last + 1;
         UPDATE leases SET epoch = (SELECT last FROM epochs), owner = 'other-1', address = '/other' WHERE name LIKE 'tree/%';
         COMMIT;",
    )
    .unwrap();
    world.set("go");
    let waits = |e: &[serde_json::Value]| {
        e.iter().any(|e| e["type"] == "run.waiting" && e["data"]["on"].as_str().unwrap().contains("/other"))
    };
    world.user.wait_for(&run, "the tree", waits);
    assert_eq!((world.log().ended("a"), world.log().started("b")), (1, 0));
    // That engine ends.
    drop(held);
    std::fs::remove_file(&owner).unwrap();
    let status = world.user.wait_end(&run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    check_journal(&world.user.events(&run));
    world.log().assert_each_once(&[step("a", "writer", &[]), step("b", "writer", &[])]);
}

fn runs_of(engine: &mut Client) -> u64 {
    match engine.call(Request::Status).unwrap() {
        Reply::Status(doc) => doc.runs,
        other => panic!("{other:?}"),
    }
}

/// Somebody cleaned the state folder: a second daemon takes the runs of the first, which lives. Asked to look, that one sees it and
/// drops them; whatever either does, the run is done once.
#[test]
fn a_daemon_that_lost_its_runs_drops_them() {
    let world = World::new();
    world.agent("work", "start\nwait_for go\nend");
    world.team("one", 1, &[], &[step("a", "work", &[])]);
    let run = world.start("one");
    world.wait_started(&["a"]);
    let state = world.user.home().join("state");
    let socket = |name: &str| -> PathBuf { world.user.home().join("run").join(name) };
    std::fs::hard_link(socket("daemon.sock"), socket("first.sock")).unwrap();
    std::fs::rename(state.join("daemon.lock"), state.join("daemon.lock.old")).unwrap();
    for owner in std::fs::read_dir(state.join("owners")).unwrap() {
        std::fs::remove_file(owner.unwrap().path()).unwrap();
    }
    let _second = world.user.spawn(["daemon", "run"]);
    world.user.wait_for(&run, "the second daemon", |e| count(e, "run.taken") == 2);

    let mut first = Client::connect(&socket("first.sock"), env!("CARGO_PKG_VERSION")).unwrap();
    assert_eq!(runs_of(&mut first), 1, "nothing has told it yet");
    let cwd = world.user.cwd().to_string_lossy().into_owned();
    first.call(Request::Visit { cwd, env: ShellEnv::default() }).unwrap();
    wait_until("the first to see it", || runs_of(&mut first) == 0);
    world.set("go");
    let status = world.user.wait_end(&run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    let events = world.user.events(&run);
    check_journal(&events);
    assert_eq!(count(&events, "run.completed"), 1);
    world.log().assert_each_once(&[step("a", "work", &[])]);
}
