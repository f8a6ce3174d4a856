//! Histories keep every law; a planted fault is seen; seeds that failed once are played again.

use windlass_sim::{Cut, Failure, Fault, shrink, simulate, simulate_cut};

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

/// Plays them; returns how many plans were made and approvals given.
fn clean(seeds: impl IntoIterator<Item = u64>) -> (u64, u64) {
    let (mut crashes, mut plans, mut approvals) = (0, 0, 0);
    for seed in seeds {
        match simulate(seed, None) {
            Ok(report) => {
                crashes += report.crashes;
                plans += report.plans;
                approvals += report.approvals;
            }
            Err(failure) => panic!("{}", shown(&failure)),
        }
    }
    assert!(crashes > 0, "nothing died: these histories prove little");
    (plans, approvals)
}

#[test]
fn every_law_holds_first_half() {
    let (plans, approvals) = clean(0..SEEDS / 2);
    assert!(plans > 0 && approvals > 0, "{plans} plans, {approvals} approvals");
}

#[test]
fn every_law_holds_second_half() {
    let (plans, approvals) = clean(SEEDS / 2..SEEDS);
    assert!(plans > 0 && approvals > 0, "{plans} plans, {approvals} approvals");
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

/// The first law that a planted fault breaks is one that is about it, within this many seeds.
fn caught(fault: Fault, within: u64) {
    let failure = (0..within).find_map(|seed| simulate(seed, Some(fault)).err());
    let failure = failure.unwrap_or_else(|| panic!("{} is not seen in {within} seeds", fault.name()));
    assert!(
        fault.laws().contains(&failure.law),
        "{} is seen as another law: {}",
        fault.name(),
        shown(&failure)
    );
    assert!(!failure.tail.is_empty());
}

#[test]
fn acting_before_the_commit_is_caught() {
    caught(Fault::ActBeforeCommit, 50);
}

#[test]
fn a_promise_that_is_not_synced_is_caught() {
    caught(Fault::NotSynced, 500);
}

#[test]
fn a_second_start_is_caught() {
    caught(Fault::SecondStart, 50);
}

#[test]
fn leaving_a_terminal_state_is_caught() {
    caught(Fault::TerminalLeft, 50);
}

#[test]
fn an_ignored_fence_is_caught() {
    caught(Fault::FenceIgnored, 300);
}

#[test]
fn a_tree_that_is_not_held_is_caught() {
    caught(Fault::TreeNotHeld, 300);
}

#[test]
fn a_cap_not_held_is_caught() {
    caught(Fault::CapNotHeld, 50);
}

#[test]
fn a_lost_wait_is_caught() {
    caught(Fault::WaitLost, 300);
}

#[test]
fn a_late_shim_of_a_dead_engine_is_caught() {
    caught(Fault::NoTombstone, 500);
}

#[test]
fn a_kill_of_only_the_direct_child_is_caught() {
    caught(Fault::DirectChildOnly, 300);
}

#[test]
fn output_read_twice_is_caught() {
    caught(Fault::OutputReadTwice, 100);
}

#[test]
fn output_after_the_exit_that_is_lost_is_caught() {
    caught(Fault::OutputLost, 100);
}

#[test]
fn a_text_brought_twice_is_caught() {
    caught(Fault::SteerTwice, 2_000);
}

#[test]
fn an_answer_before_the_commit_is_caught() {
    caught(Fault::AnswerBeforeCommit, 50);
}

#[test]
fn a_start_without_approval_is_caught() {
    caught(Fault::StartWithoutApproval, 100);
}

#[test]
fn a_plan_made_twice_is_caught() {
    caught(Fault::PlanTwice, 100);
}

/// A failing history is shown as a smaller one that breaks the same law, and that one can be played again.
#[test]
fn a_failure_is_shown_as_a_smaller_history() {
    let fault = Some(Fault::PlanTwice);
    let failure = (0..100).find_map(|seed| simulate(seed, fault).err()).expect("the fault is found");
    let small = shrink(&failure, fault);
    assert_eq!(small.law, failure.law);
    assert!(small.step < failure.step / 2, "{} steps of {}", small.step, failure.step);
    assert!(small.cut.without.len() > Cut::FEATURES.len() / 2, "{}", small.cut);
    let again = simulate_cut(small.seed, fault, &small.cut, 10).expect_err("it fails again");
    assert_eq!((again.law, again.step), (small.law, small.step));
}
