//! Histories keep every law; a planted fault is seen; seeds that failed once are played again.

use windlass_sim::{Failure, Fault, Law, simulate};

/// Seeds of the clean run, in two halves that run side by side.
const SEEDS: u64 = 2_000;

fn shown(failure: &Failure) -> String {
    format!(
        "seed {} breaks {} at step {}: {}\n{}",
        failure.seed,
        failure.law,
        failure.step,
        failure.detail,
        failure.tail.join("\n")
    )
}

fn clean(seeds: impl IntoIterator<Item = u64>) {
    let mut crashes = 0;
    for seed in seeds {
        match simulate(seed, None) {
            Ok(report) => crashes += report.crashes,
            Err(failure) => panic!("{}", shown(&failure)),
        }
    }
    assert!(crashes > 0, "nothing died: these histories prove little");
}

#[test]
fn every_law_holds_first_half() {
    clean(0..SEEDS / 2);
}

#[test]
fn every_law_holds_second_half() {
    clean(SEEDS / 2..SEEDS);
}

#[test]
fn seeds_that_failed_once_hold() {
    let seeds: Vec<u64> = include_str!("../seeds.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
        .collect();
    assert!(!seeds.is_empty());
    clean(seeds);
}

#[test]
fn a_seed_is_a_history() {
    for seed in 0..20 {
        assert_eq!(simulate(seed, None), simulate(seed, None));
    }
}

/// The first law that a planted fault breaks is the one that is about it, within this many seeds.
fn caught(fault: Fault, within: u64, by: &[Law]) {
    let failure = (0..within).find_map(|seed| simulate(seed, Some(fault)).err());
    let failure = failure.unwrap_or_else(|| panic!("{} is not seen in {within} seeds", fault.name()));
    assert!(by.contains(&failure.law), "{} is seen as another law: {}", fault.name(), shown(&failure));
    assert!(!failure.tail.is_empty());
}

#[test]
fn acting_before_the_commit_is_caught() {
    caught(Fault::ActBeforeCommit, 50, &[Law::StartIsDurable]);
}

#[test]
fn a_second_start_is_caught() {
    caught(Fault::SecondStart, 50, &[Law::OneLiveWorker]);
}

#[test]
fn leaving_a_terminal_state_is_caught() {
    caught(Fault::TerminalLeft, 50, &[Law::TerminalIsFinal]);
}

#[test]
fn an_ignored_fence_is_caught() {
    caught(Fault::FenceIgnored, 300, &[Law::Fence]);
}

#[test]
fn a_cap_not_held_is_caught() {
    caught(Fault::CapNotHeld, 50, &[Law::Cap]);
}

#[test]
fn a_late_shim_of_a_dead_engine_is_caught() {
    caught(Fault::NoTombstone, 500, &[Law::OneLiveWorker, Law::OneEnd]);
}

#[test]
fn usage_counted_twice_is_caught() {
    caught(Fault::UsageDoubled, 100, &[Law::Usage]);
}

#[test]
fn an_answer_before_the_commit_is_caught() {
    caught(Fault::AnswerBeforeCommit, 50, &[Law::Answer]);
}
