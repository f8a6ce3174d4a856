//! `kill -9` of whatever leads the runs, again and again, at moments that nobody chose.

use crate::world::{Dice, Step, World, check_journal, count, kill, real, run_state, step, task};
use std::time::Duration;
use windlass_testkit::process::is_alive;

const KILLS: u32 = 20;

/// Thirty tasks in six layers; each depends on two of the layer before.
fn graph() -> Vec<Step> {
    let name = |layer: usize, i: usize| format!("t{layer}-{}", i % 5);
    (0..6)
        .flat_map(|layer| (0..5).map(move |i| (layer, i)))
        .map(|(layer, i)| match layer {
            0 => step(name(0, i), "work", &[]),
            _ => step(name(layer, i), "work", &[&name(layer - 1, i), &name(layer - 1, i + 1)]),
        })
        .collect()
}

/// The daemon is killed while it starts, adopts, decides, starts workers, records their ends. Every task is done once
/// by one worker; what it wrote is whole; the journal has no gap and no double.
#[test]
fn a_daemon_killed_at_any_moment() {
    let world = World::new();
    world.agent(
        "work",
        "start\ni=0; while [ $i -lt 40 ]; do i=$((i+1)); echo \"$WINDLASS_STEP $i\"; done; sleep 0.1\nend",
    );
    let steps = graph();
    world.team("graph", 3, &[], &steps);
    let mut dice = Dice::new(7);
    let mut kills = 0;
    let mut starters = Vec::new();
    while kills < KILLS {
        let _ = std::fs::remove_file(world.mark("log"));
        let run = world.start("graph");
        while kills < KILLS && world.log().ends.len() < steps.len() {
            // The moment is the point: from the start of a daemon until well after it leads the run again.
            std::thread::sleep(Duration::from_millis(dice.below(180)));
            let living = world.daemons();
            if !living.is_empty() {
                kills += 1;
            }
            living.into_iter().for_each(kill);
            if dice.below(3) > 0 {
                starters.push(world.user.spawn(["daemon", "start"]));
            }
        }
        world.user.run(["wait", &run]).expect_code(0);
        let status = world.user.status(&run);
        assert_eq!(run_state(&status), "completed", "{status:#}");
        let events = world.user.events(&run);
        let attempts = check_journal(&events);
        world.log().assert_each_once(&steps);
        for step in &steps {
            let task = task(&status, &step.name);
            assert_eq!(real(&attempts, task), ["ended"], "{}: {attempts:?}", step.name);
            let text: String = (1..=40).map(|i| format!("{} {i}\n", step.name)).collect();
            assert_eq!(world.result(&run, &status, &step.name), text.as_bytes());
            assert!(step.after.iter().all(|dep| world.log().is_before(dep, &step.name)), "{}", step.name);
        }
        assert_eq!(count(&events, "run.completed"), 1);
        assert!(count(&events, "run.taken") > 1, "the run was taken over");
    }
    let left: Vec<u32> = world.log().starts.iter().map(|l| l.pid).filter(|p| is_alive(*p)).collect();
    assert!(left.is_empty(), "workers {left:?} are left");
}
