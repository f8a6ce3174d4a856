//! A daemon of one version in the place of another, with everything that lives.

use crate::versions::{NEWER, OLDER, STEPS, assert_says, call, leaders, speaking};
use crate::world::{World, check_journal, count, parent, run_state, step};
use std::time::Duration;
use windlass_testkit::process::{is_alive, signal_pid, wait_until};

const OWN: &str = env!("CARGO_PKG_VERSION");

/// The first command of a newer version takes over; workers and waiting commands do not notice.
#[test]
fn a_newer_command_takes_over_three_live_workers() {
    let world = speaking();
    let run = world.start("count");
    let workers = world.wait_started(&STEPS);
    world.wait_more_lines();
    let (version, old) = world.served_by();
    assert_eq!(version, OWN);
    // Of the old version, before and after.
    let attach = world.user.spawn(["attach", &run, "--json"]);
    let wait = world.user.spawn(["wait", &run]);
    let follow = world.user.spawn(["events", &run, "--follow", "--json"]);
    attach.wait_stdout("the first event", |out| out.contains("\n"));
    follow.wait_stdout("the first event", |out| out.contains("\n"));

    world.run_of(NEWER, &["daemon", "start"]).expect_code(0);
    let (version, new) = world.served_by();
    assert_eq!(version, NEWER);
    assert_ne!(old, new);
    wait_until("the old daemon to be gone", || !is_alive(old));
    assert_eq!(world.daemons(), [new]);
    // Without another word the new one leads the run, and the workers are the same.
    world.user.wait_for(&run, "the next engine", |e| leaders(e).len() >= 2);
    assert!(workers.iter().all(|pid| is_alive(*pid)));
    assert_eq!(world.wait_started(&STEPS), workers);
    world.wait_more_lines();
    world.set("go");

    let events = world.user.events(&run);
    assert_eq!(leaders(&events), [OWN, NEWER]);
    wait.wait().expect_code(0);
    let attached = attach.wait().expect_code(0).out();
    let followed = follow.wait().expect_code(0).out();
    world.check_all_said_once(&run);
    let all = world.user.events(&run);
    assert_eq!(leaders(&all), [OWN, NEWER], "one hand-over");
    for (who, said) in [("attach", &attached), ("events --follow", &followed)] {
        let seen: Vec<u64> = said
            .lines()
            .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok()?["seq"].as_u64())
            .collect();
        assert_eq!(seen, (1..=all.len() as u64).collect::<Vec<_>>(), "every event once to {who}");
    }
    assert_eq!(world.served_by(), (NEWER.to_owned(), new), "no older one came back");
}

/// Several commands of the newer version at once: one of them replaces the daemon, the others find it replaced.
#[test]
fn many_commands_at_once_take_over_once() {
    let world = speaking();
    let run = world.start("count");
    let workers = world.wait_started(&STEPS);
    let all: Vec<_> = (0..4).map(|_| world.spawn_of(NEWER, &["daemon", "start", "--json"])).collect();
    let told: Vec<serde_json::Value> =
        all.into_iter().map(|one| serde_json::from_str(&one.wait().expect_code(0).out()).unwrap()).collect();
    let (version, new) = world.served_by();
    assert_eq!(version, NEWER);
    assert!(told.iter().all(|doc| doc["pid"] == new && doc["version"] == NEWER), "{told:#?}");
    wait_until("one daemon", || world.daemons() == [new]);
    world.user.wait_for(&run, "the next engine", |e| leaders(e).len() >= 2);
    assert!(workers.iter().all(|pid| is_alive(*pid)));
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
    assert_eq!(leaders(&world.user.events(&run)), [OWN, NEWER]);
    world.check_all_said_once(&run);
}

/// Commands of an older version work with the newer daemon, and leave it where it is.
#[test]
fn an_older_command_uses_the_newer_daemon() {
    let world = speaking();
    world.run_of(NEWER, &["daemon", "start"]).expect_code(0);
    let served = world.served_by();
    assert_eq!(served.0, NEWER);
    let run = world.start("count");
    world.wait_started(&STEPS);
    let wait = world.spawn_of(OLDER, &["attach", &run]);
    world.run_of(OLDER, &["daemon", "start"]).expect_code(0);
    let refused = world.run_of(OLDER, &["daemon", "restart"]).expect_code(5);
    assert_says(&refused, &[NEWER, OLDER, "windlass daemon stop"]);
    world.set("go");
    wait.wait().expect_code(0);
    assert_eq!(world.served_by(), served);
    assert_eq!(leaders(&world.user.events(&run)), [NEWER]);
    world.check_all_said_once(&run);
}

/// Two versions in use at the same time do not take the daemon from each other.
#[test]
fn the_newer_one_stays() {
    let world = speaking();
    let run = world.start("count");
    world.wait_started(&STEPS);
    for _ in 0..3 {
        world.run_of(OLDER, &["daemon", "start"]).expect_code(0);
        world.run_of(NEWER, &["daemon", "start"]).expect_code(0);
        world.user.run(["daemon", "start"]).expect_code(0);
    }
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
    assert_eq!(leaders(&world.user.events(&run)), [OWN, NEWER]);
    world.check_all_said_once(&run);
}

/// Asked for in so many words, a daemon of the same version is replaced as well: a binary that was built anew.
#[test]
fn a_restart_replaces_a_daemon_of_the_same_version() {
    let world = speaking();
    let first = world.user.json(["daemon", "restart", "--json"]);
    assert_eq!(first["running"], true, "there was none: {first}");
    let run = world.start("count");
    let workers = world.wait_started(&STEPS);
    let mut pids = vec![world.served_by().1];
    for words in [&["daemon", "restart"][..], &["daemon", "start", "--replace"]] {
        world.wait_more_lines();
        world.user.run(words).expect_code(0);
        let (version, pid) = world.served_by();
        assert_eq!(version, OWN);
        assert!(!pids.contains(&pid), "{words:?}");
        pids.push(pid);
    }
    // Without being told to, the same version stays.
    world.user.run(["daemon", "start"]).expect_code(0);
    assert_eq!(world.served_by().1, pids[2]);
    wait_until("one daemon", || world.daemons() == [pids[2]]);
    world.user.wait_for(&run, "the third engine", |e| leaders(e).len() >= 3);
    assert!(workers.iter().all(|pid| is_alive(*pid)));
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
    assert_eq!(leaders(&world.user.events(&run)), [OWN, OWN, OWN]);
    world.check_all_said_once(&run);
}

/// However often a run is handed over, no attempt is given up and nothing is done twice.
#[test]
fn no_hand_over_costs_an_attempt() {
    let world = World::new();
    world.agent("quick", "start\necho done\nend");
    let steps: Vec<_> = (0..200).map(|i| step(format!("s{i}"), "quick", &[])).collect();
    world.team("many", 3, &[], &steps);
    let run = world.start("many");
    let mut restarts = 0;
    while run_state(&world.user.status(&run)) == "running" {
        world.user.run(["daemon", "restart"]).expect_code(0);
        restarts += 1;
    }
    world.user.run(["wait", &run]).expect_code(0);
    let attempts = check_journal(&world.user.events(&run));
    assert_eq!(attempts.len(), steps.len());
    assert!(attempts.values().all(|a| *a == ["ended"]), "after {restarts} restarts: {attempts:?}");
    world.log().assert_each_once(&steps);
    assert!(restarts > 1, "the run was too short to be handed over");
}

/// A worker that was asked for and has not begun yet is waited for, since the next engine could only make sure that it never begins.
#[test]
fn a_worker_that_is_just_being_started_is_waited_for() {
    let world = speaking();
    world.agent("quick", "start\necho done\nend");
    let quick = [step("quick", "quick", &[])];
    world.team("one", 1, &[], &quick);
    let run = world.start("count");
    let workers = world.wait_started(&STEPS);
    let nursery = parent(world.shim_of(workers[0]));
    signal_pid(nursery, 19);
    let late = world.start("one");
    world.user.wait_for(&late, "the start", |e| count(e, "attempt.started") == 1);
    let mut restart = world.user.spawn(["daemon", "restart"]);
    wait_until("the daemon to make place", || world.is_leaving());
    // Long enough for one that does not wait, and well within what this one does.
    for _ in 0..100 {
        assert!(!restart.has_ended(), "the worker has not begun yet");
        std::thread::sleep(Duration::from_millis(10));
    }
    signal_pid(nursery, 18);
    restart.wait().expect_code(0);
    world.user.run(["wait", &late]).expect_code(0);
    let attempts = check_journal(&world.user.events(&late));
    assert_eq!(attempts.values().collect::<Vec<_>>(), [&["ended".to_owned()]]);
    assert_eq!(world.log().started("quick"), 1);
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
    world.check_all_said_once(&run);
}

/// An engine in a terminal ends with its command and its workers with it, so it makes place for nobody.
#[test]
fn an_engine_in_a_terminal_is_not_replaced() {
    let world = speaking();
    let inline = world.user.spawn(["run", "--no-daemon", "--team", "count", "do it"]);
    let workers = world.wait_started(&STEPS);
    let socket = world.user.home().join(format!("run/inline-{}.sock", inline.pid()));
    let asked = call(&socket, r#"{"id":1,"request":{"op":"hand_over","with":{"version":"9.0.0"}}}"#).unwrap();
    assert!(asked.contains("\"state\""), "{asked}");
    world.run_of(NEWER, &["daemon", "start"]).expect_code(0);
    world.wait_more_lines();
    assert!(workers.iter().all(|pid| is_alive(*pid)));
    world.set("go");
    inline.wait().expect_code(0);
    let run = world.user.json(["list", "--json"])["runs"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(leaders(&world.user.events(&run)), [OWN]);
    world.check_all_said_once(&run);
}
