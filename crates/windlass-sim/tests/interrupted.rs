//! A run whose engine is killed at random points ends as one that nobody disturbed: the same journal, apart from times and
//! attempts, and nothing is paid for twice.

use std::collections::BTreeSet;
use windlass_sim::{Ending, ending};

/// Runs that are looked at: of some, one history for each point.
const RUNS: u64 = 5;
/// Points at which each is interrupted.
const POINTS: u64 = 200;

fn played(seed: u64, kills: &BTreeSet<u64>) -> Ending {
    let played = ending(seed, kills);
    played.unwrap_or_else(|f| {
        panic!("seed {seed} killed at {kills:?}: {} {}\n{}", f.law, f.detail, f.tail.join("\n"))
    })
}

/// Numbers below `most`, the same ones for each seed.
fn points(seed: u64, most: u64, count: u64) -> BTreeSet<u64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % most.max(1)
    };
    (0..count).map(|_| next()).collect()
}

fn same(seed: u64, alone: &Ending, kills: &BTreeSet<u64>) -> u64 {
    let other = played(seed, kills);
    assert_eq!(other.told, alone.told, "seed {seed} killed at {kills:?}");
    assert_eq!(other.usage, alone.usage, "seed {seed} killed at {kills:?}");
    other.kills
}

#[test]
fn a_run_interrupted_at_any_of_200_points_ends_the_same() {
    let mut killed = 0;
    for seed in 0..RUNS {
        let alone = played(seed, &BTreeSet::new());
        assert_eq!(alone.kills, 0);
        for at in points(seed, alone.steps, POINTS) {
            killed += same(seed, &alone, &BTreeSet::from([at]));
        }
    }
    assert!(killed > RUNS * POINTS / 2, "hardly anything was interrupted: {killed}");
}

#[test]
fn many_runs_interrupted_a_few_times_end_the_same() {
    let (mut plans, mut killed) = (0, 0);
    for seed in 100..400 {
        let alone = played(seed, &BTreeSet::new());
        plans += alone.told.values().flatten().filter(|t| t.starts_with("plan ")).count();
        killed += same(seed, &alone, &points(seed, alone.steps, 3));
    }
    assert!(plans > 50 && killed > 300, "{plans} plans, {killed} kills");
}
