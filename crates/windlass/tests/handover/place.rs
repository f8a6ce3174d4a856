//! A daemon of one version in the place of another, with everything that lives.

use crate::versions::{NEWER, OLDER, STEPS, assert_says, leaders, speaking};
use windlass_testkit::process::{is_alive, wait_until};

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
    world.user.wait_for(&run, "the next engine", |e| leaders(e).len() == 2);
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
    world.user.wait_for(&run, "the next engine", |e| leaders(e).len() == 2);
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
    world.user.wait_for(&run, "the third engine", |e| leaders(e).len() == 3);
    assert!(workers.iter().all(|pid| is_alive(*pid)));
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
    assert_eq!(leaders(&world.user.events(&run)), [OWN, OWN, OWN]);
    world.check_all_said_once(&run);
}
