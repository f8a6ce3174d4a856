//! The machine is restarted under a run: nothing spends by itself before a person says so.

use crate::world::{World, check_journal, count, real, run_state, step, task};
use serde_json::json;
use windlass_testkit::process::{signal_pid, wait_until};

/// What tells a debug build which boot of the machine it lives in.
const BOOT: &str = "WINDLASS_TEST_BOOT";

/// One step at work at a barrier, and one after it.
fn at_work() -> (World, String) {
    let mut world = World::new();
    world.user.set(BOOT, "first");
    world.agent("work", "start\nwait_for go\nend");
    world.agent("last", "start\ncat >/dev/null\nprintf 'the last words'\nend");
    let steps = [step("a", "work", &[]), step("b", "last", &["a"])];
    world.team("two", 2, &[], &steps);
    let run = world.start("two");
    world.wait_started(&["a"]);
    (world, run)
}

/// The power goes: all stand still before the first of them dies, so that none sees another one's end.
fn restart(world: &mut World) {
    let mut stopped = Vec::new();
    wait_until("all to stand still", || {
        let new: Vec<u32> =
            world.user.processes().iter().map(|p| p.pid).filter(|p| !stopped.contains(p)).collect();
        new.iter().for_each(|pid| signal_pid(*pid, 19));
        stopped.extend(&new);
        new.is_empty()
    });
    stopped.iter().for_each(|pid| signal_pid(*pid, 9));
    wait_until("all to be gone", || world.user.processes().is_empty());
    world.user.set(BOOT, "second");
    // What is started from here on need not wait.
    world.set("go");
}

#[test]
fn after_a_restart_of_the_machine_nothing_starts_before_resume() {
    let (mut world, run) = at_work();
    restart(&mut world);
    world.user.run(["daemon", "start"]).expect_code(0);
    let events = world.user.wait_for(&run, "the wait", |e| count(e, "run.waiting") == 1);
    let boots: Vec<_> =
        events.iter().filter(|e| e["type"] == "run.taken").map(|e| &e["data"]["boot"]).collect();
    assert_eq!(boots, ["first", "second"], "{events:#?}");

    // Whoever looks or waits is told so, and starts nothing.
    let status = world.user.status(&run);
    assert_eq!(
        (run_state(&status), &status["run"]["waiting"]["for"]),
        ("waiting", &json!("restart")),
        "{status:#}"
    );
    for args in [["attach", &run], ["wait", &run]] {
        let output = world.user.run(args).expect_code(3);
        assert_eq!(output.out(), "", "{args:?}");
    }
    let attached = world.user.run(["attach", &run]).expect_code(3);
    for words in ["the machine was restarted", "windlass resume"] {
        assert!(attached.err().contains(words), "`{words}` is not in {}", attached.err());
    }
    let inbox = world.user.run(["inbox"]);
    assert!(inbox.out().contains(&format!("windlass resume {run}")), "{}", inbox.out());
    // One more engine of the same boot knows it, too.
    world.user.run(["daemon", "restart"]).expect_code(0);
    world.user.wait_for(&run, "the third engine", |e| count(e, "run.taken") == 3);
    assert_eq!(world.user.run(["wait", &run]).code, Some(3));
    let events = world.user.events(&run);
    assert_eq!(count(&events, "attempt.started"), 1, "{events:#?}");
    assert_eq!(world.log().starts.len(), 1);

    let output = world.user.run(["resume", &run]).expect_code(0);
    assert_eq!(output.out(), "the last words");
    let status = world.user.status(&run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    let attempts = check_journal(&world.user.events(&run));
    assert_eq!(real(&attempts, task(&status, "a")), ["lost", "ended"]);
    assert_eq!(real(&attempts, task(&status, "b")), ["ended"]);
    assert_eq!((world.log().started("a"), world.log().started("b")), (2, 1));
}

#[test]
fn after_a_restart_of_the_machine_it_goes_on_by_itself_where_config_says_so() {
    let (mut world, run) = at_work();
    world.user.write_home("config.toml", "[restart]\nresume = true\n");
    restart(&mut world);
    world.user.run(["daemon", "start"]).expect_code(0);
    let status = world.user.wait_end(&run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    let events = world.user.events(&run);
    assert_eq!(count(&events, "run.waiting"), 0, "{events:#?}");
    assert_eq!(real(&check_journal(&events), task(&status, "a")), ["lost", "ended"]);
}
