//! How many workers live at once, measured by what the workers themselves write down.

use crate::world::{Step, World, check_journal, run_state, state, step};
use windlass_testkit::process::wait_until;

/// Waits at the barrier that lets everybody through at once.
const WAIT: &str = "start\nwait_for go\nend";

fn many(prefix: &str, agent: &str, count: usize) -> Vec<Step> {
    (0..count).map(|i| step(format!("{prefix}{i}"), agent, &[])).collect()
}

/// Lets the first ones through when there are as many as there may be, and nobody came on top meanwhile.
fn run_with_barrier(world: &World, run: &str, limit: usize) {
    wait_until("the first workers", || world.log_text().matches("start ").count() >= limit);
    // The engine has had its say several times before the barrier opens.
    for _ in 0..5 {
        world.user.status(run);
        world.user.daemon_pid();
    }
    world.set("go");
    world.user.run(["wait", run]).expect_code(0);
}

#[test]
fn the_limit_of_a_run_holds_and_is_used() {
    let world = World::new();
    world.agent("work", WAIT);
    let steps = many("t", "work", 12);
    world.team("many", 3, &[], &steps);
    let run = world.start("many");
    run_with_barrier(&world, &run, 3);
    let log = world.log();
    log.assert_each_once(&steps);
    assert_eq!(log.most_at_once(|_| true), 3, "{log:#?}");
}

#[test]
fn the_limit_of_a_role_holds_and_leaves_room_for_others() {
    let world = World::new();
    world.agent("slow", WAIT);
    world.agent("quick", "start\nend");
    let mut steps = many("s", "slow", 6);
    steps.extend(many("q", "quick", 8));
    world.team("roles", 4, &[("slow", "maxConcurrency=2")], &steps);
    let run = world.start("roles");
    // Two of them hold all that their role may have; the others pass them.
    wait_until("all the quick ones", || (0..8).all(|i| world.log_text().contains(&format!("end q{i} "))));
    assert_eq!(world.log().ends.iter().filter(|l| l.step.starts_with('s')).count(), 0);
    run_with_barrier(&world, &run, 2);
    let log = world.log();
    log.assert_each_once(&steps);
    assert_eq!(log.most_at_once(|s| s.starts_with('s')), 2, "{log:#?}");
    assert!(log.most_at_once(|_| true) <= 4, "{log:#?}");
}

#[test]
fn the_limit_of_the_machine_holds_over_all_runs() {
    let world = World::new();
    world.user.write_home("config.toml", "[machine]\nconcurrency = 3\n");
    world.agent("work", WAIT);
    let (a, b) = (many("a", "work", 5), many("b", "work", 5));
    world.team("a", 4, &[], &a);
    world.team("b", 4, &[], &b);
    let runs = [world.start("a"), world.start("b")];
    wait_until("the first workers", || world.log_text().matches("start ").count() >= 3);
    assert_eq!(world.log().starts.len(), 3);
    // A new engine counts those that it finds.
    world.user.kill_daemon();
    world.user.run(["daemon", "start"]).expect_code(0);
    run_with_barrier(&world, &runs[0], 3);
    world.user.run(["wait", &runs[1]]).expect_code(0);
    let log = world.log();
    log.assert_each_once(&[a, b].concat());
    assert_eq!(log.most_at_once(|_| true), 3, "{log:#?}");
}

/// A daemon and an engine in a terminal share the places of the machine, and neither waits for the other's last task.
#[test]
fn the_limit_of_the_machine_holds_over_all_engines() {
    let world = World::new();
    world.user.write_home("config.toml", "[machine]\nconcurrency = 1\n");
    world.agent("work", WAIT);
    let (a, b) = (many("a", "work", 4), many("b", "work", 4));
    world.team("a", 4, &[], &a);
    world.team("b", 4, &[], &b);
    let first = world.start("a");
    world.wait_started(&["a0"]);
    let second = world.user.spawn(["run", "--no-daemon", "--team", "b", "do it"]);
    // It waits in line, where the daemon sees it.
    let queue = world.user.home().join("state/slots/queue");
    wait_until("the second engine to find no place", || {
        std::fs::File::open(&queue).is_ok_and(|file| file.try_lock().is_err())
    });
    assert_eq!(world.log().starts.len(), 1);
    world.set("go");
    second.wait().expect_code(0);
    world.user.run(["wait", &first]).expect_code(0);
    let log = world.log();
    log.assert_each_once(&[a, b].concat());
    assert_eq!(log.most_at_once(|_| true), 1, "{log:#?}");
    assert!(log.is_before("b0", "a3"), "{log:#?}");
}

/// Each place is filled as its worker ends: there are no batches that wait for their slowest.
#[test]
fn one_slow_task_holds_nobody_up() {
    let world = World::new();
    world.agent("slow", WAIT);
    world.agent("quick", "start\nend");
    let mut steps = vec![step("slow", "slow", &[])];
    steps.extend(many("q", "quick", 12));
    // A chain, each of which depends on the one before.
    steps.extend((0..5).map(|i| match i {
        0 => step("c0", "quick", &[]),
        _ => step(format!("c{i}"), "quick", &[&format!("c{}", i - 1)]),
    }));
    steps.push(step("after", "quick", &["slow", "c4"]));
    world.team("mixed", 2, &[], &steps);
    let run = world.start("mixed");
    wait_until("everything but the slow one", || world.log().ends.len() == steps.len() - 2);
    assert_eq!(world.log().ended("slow"), 0);
    assert_eq!(state(&world.user.status(&run), "after"), "queued");
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
    let log = world.log();
    log.assert_each_once(&steps);
    assert!((1..5).all(|i| log.is_before(&format!("c{}", i - 1), &format!("c{i}"))), "{log:#?}");
    assert!(log.is_before("slow", "after"));
    assert_eq!(log.most_at_once(|_| true), 2, "{log:#?}");
}

/// Three runs wait for one place, and each gets it: none is forgotten when another ends.
#[test]
fn runs_that_wait_for_a_place_get_one() {
    let world = World::new();
    world.user.write_home("config.toml", "[machine]\nconcurrency = 1\n");
    world.agent("work", "start\nend");
    let steps = many("t", "work", 3);
    world.team("many", 4, &[], &steps);
    let runs: Vec<String> = (0..4).map(|_| world.start("many")).collect();
    for run in &runs {
        world.user.run(["wait", run]).expect_code(0);
        assert_eq!(run_state(&world.user.status(run)), "completed");
        check_journal(&world.user.events(run));
    }
    let log = world.log();
    assert_eq!((log.starts.len(), log.most_at_once(|_| true)), (12, 1), "{log:#?}");
}
