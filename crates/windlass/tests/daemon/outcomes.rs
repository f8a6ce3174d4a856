//! What fails stops only what depends on it; `retry` and `resume` make new attempts of that and of nothing else.

use crate::world::{World, check_journal, real, run_state, state, step, task};
use windlass_testkit::process::is_alive;

/// Fails as long as the test has not mended the cause.
const BROKEN: &str = "start\n[ -e \"$M/mended\" ] || { echo 'it is broken' >&2; exit 7; }\necho mended\nend";

/// Two branches: `bad` and what depends on it, and one that has nothing to do with it.
fn branches(world: &World) -> String {
    world.agent("bad", BROKEN);
    world.agent("good", "start\necho \"$WINDLASS_STEP\"\nend");
    let steps = [
        step("bad", "bad", &[]),
        step("next", "good", &["bad"]),
        step("last", "good", &["next", "side"]),
        step("good", "good", &[]),
        step("side", "good", &["good"]),
    ];
    world.team("branches", 4, &[], &steps);
    let run = world.start("branches");
    world.user.run(["wait", &run]).expect_code(1);
    let status = world.user.status(&run);
    let words = ["bad", "next", "last", "good", "side"].map(|s| state(&status, s).to_owned());
    assert_eq!(words, ["failed", "skipped", "skipped", "completed", "completed"], "{status:#}");
    assert_eq!(run_state(&status), "failed");
    // An exit code is an answer, not an accident: it is not tried again by itself.
    assert_eq!(world.log().started("bad"), 1);
    assert_eq!(task(&status, "bad")["attempts"][0]["exit"], 7, "{status:#}");
    let error = status["run"]["error"].to_string();
    assert!(error.contains("it is broken"), "{error}");
    run
}

fn check_mended(world: &World, run: &str, bad: usize) {
    let status = world.user.status(run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    let attempts = check_journal(&world.user.events(run));
    for name in ["good", "side", "next", "last"] {
        assert_eq!(real(&attempts, task(&status, name)), ["ended"], "{status:#}");
        assert_eq!(world.log().started(name), 1);
    }
    assert_eq!(world.log().started("bad"), bad);
}

#[test]
fn retry_makes_new_attempts_of_what_failed_and_of_what_that_skipped() {
    let world = World::new();
    let run = branches(&world);
    // Nothing has changed: it fails again, and nothing else was started.
    assert_eq!(world.user.run(["retry", &run]).code, Some(1));
    assert_eq!(world.log().starts.len(), 4);
    world.set("mended");
    let output = world.user.run(["retry", &run]).expect_code(0);
    assert_eq!(output.out(), "last\n");
    check_mended(&world, &run, 3);
    assert_eq!(world.user.run(["retry", &run]).code, Some(2), "nothing is left to retry");
}

#[test]
fn retry_of_one_task_by_name() {
    let world = World::new();
    let run = branches(&world);
    world.set("mended");
    assert_eq!(world.user.run(["retry", &run, "good"]).code, Some(2), "it is completed");
    assert_eq!(world.user.run(["retry", &run, "nothing"]).code, Some(2));
    world.user.run(["retry", &format!("{run}/bad")]).expect_code(0);
    check_mended(&world, &run, 2);
}

#[test]
fn resume_continues_whatever_is_not_finished() {
    let world = World::new();
    let run = branches(&world);
    world.set("mended");
    let id = world.user.run(["resume", "-d", &run]).expect_code(0).out();
    assert_eq!(id.trim(), run);
    world.user.run(["wait", &run]).expect_code(0);
    check_mended(&world, &run, 2);
}

/// A failure of one run is told by another command of the same machine in the same words.
#[test]
fn silence_and_the_wall_clock_are_failures() {
    let world = World::new();
    world.agent("silent", "start\necho first\nsleep 1000 & wait");
    world.agent("busy", "start\nwhile :; do echo more; sleep 0.05; done");
    world.agent("good", "start\nend");
    let steps = [
        step("silent", "silent", &[]).key("silence: 1s").key("attempts: 1"),
        step("busy", "busy", &[]).key("timeout: 1s").key("silence: 1h"),
        step("after-silent", "good", &["silent"]),
        step("after-busy", "good", &["busy"]),
        step("good", "good", &[]),
    ];
    world.team("limits", 4, &[], &steps);
    let run = world.start("limits");
    let pids = world.wait_started(&["silent", "busy"]);
    world.user.run(["wait", &run]).expect_code(1);
    let status = world.user.status(&run);
    let words =
        ["silent", "busy", "after-silent", "after-busy", "good"].map(|s| state(&status, s).to_owned());
    assert_eq!(words, ["failed", "failed", "skipped", "skipped", "completed"], "{status:#}");
    let class = |name: &str| task(&status, name)["attempts"][0]["error_class"].clone();
    assert_eq!((class("silent"), class("busy")), ("silence".into(), "wall_clock".into()), "{status:#}");
    assert!(pids.iter().all(|p| !is_alive(*p)));
    check_journal(&world.user.events(&run));
    assert_eq!((world.log().started("silent"), world.log().started("busy")), (1, 1));
}

/// Silence may pass: such an attempt is repeated, within the attempts that the task has.
#[test]
fn silence_is_tried_again_within_the_tasks_attempts() {
    let world = World::new();
    world.agent("work", "start\n[ \"$WINDLASS_ATTEMPT\" = 1 ] && sleep 1000\necho second\nend");
    world.agent("never", "start\nsleep 1000");
    let steps = [
        step("work", "work", &[]).key("silence: 1s"),
        step("never", "never", &[]).key("silence: 1s").key("attempts: 2"),
    ];
    world.team("limits", 4, &[], &steps);
    let run = world.start("limits");
    world.user.run(["wait", &run]).expect_code(1);
    let status = world.user.status(&run);
    assert_eq!((state(&status, "work"), state(&status, "never")), ("completed", "failed"), "{status:#}");
    let attempts = check_journal(&world.user.events(&run));
    assert_eq!(real(&attempts, task(&status, "work")).len(), 2);
    assert_eq!(real(&attempts, task(&status, "never")).len(), 2);
    assert_eq!((world.log().started("work"), world.log().started("never")), (2, 2));
}
