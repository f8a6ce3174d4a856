//! The decisions of the shim, case by case and as properties.

use super::*;
use ShimAction as A;
use ShimInput as I;
use proptest::prelude::*;

fn stop_plan() -> StopPlan {
    StopPlan { abort: b"abort".to_vec(), ..StopPlan::default() }
}

fn running(limits: Limits, stdin_open: bool) -> Machine {
    let mut m = Machine::new(limits, stop_plan(), stdin_open);
    assert_eq!(m.step(I::Begin, 0), [A::StartAgent]);
    assert_eq!(m.step(I::Started, 0), []);
    m
}

fn exited(code: i32) -> I {
    I::AgentExited { exit: AgentExit::Code(code), usage: Rusage::default(), alone: false }
}

fn process(pid: i32) -> NamedProcess {
    NamedProcess { process: crate::process::ProcessId { pid, start: 1 }, name: format!("p{pid}") }
}

fn left(pids: &[i32]) -> I {
    I::Swept(SweepRound { left: pids.iter().map(|p| process(*p)).collect(), ..SweepRound::default() })
}

fn end(actions: &[ShimAction]) -> &EndRecord {
    match actions.last() {
        Some(A::Finish(end)) => end,
        other => panic!("not finished: {other:?}"),
    }
}

fn signals(actions: &[ShimAction]) -> Vec<i32> {
    actions
        .iter()
        .filter_map(|a| if let A::Signal { signal, .. } = a { Some(*signal) } else { None })
        .collect()
}

#[test]
fn a_settled_agent_may_linger_and_then_is_stopped() {
    let mut m = running(Limits::default(), true);
    assert_eq!(m.step(I::Settled, 5), [A::CloseStdin]);
    assert_eq!(m.step(I::Settled, 6), []);
    let at = m.deadline().unwrap();
    assert_eq!(at, 5 + stop_plan().linger_ms);
    assert_eq!(m.step(I::Tick, at - 1), []);
    // Its standard input is closed, so no abort message comes first.
    assert_eq!(signals(&m.step(I::Tick, at)), [15]);
}

#[test]
fn quick_work_needs_no_sweep() {
    let mut m = running(Limits::default(), false);
    assert_eq!(m.deadline(), None);
    m.step(I::Output { stream: Stream::Stdout, kept: 5, dropped: 2, over: 0 }, 3);
    let actions = m.step(exited(0), 4);
    assert!(matches!(actions[..], [A::RecordExit(_), A::CloseStdin]));
    assert_eq!(m.step(I::NoChildren, 4), []);
    let actions = m.step(I::PipesClosed, 4);
    assert_eq!(actions.len(), 1, "{actions:?}");
    let end = end(&actions);
    assert!(end.is_clean_exit());
    assert_eq!((end.ran_ms, end.bytes.stdout, end.bytes.dropped), (4, 5, 2));
    assert_eq!(m.step(I::Terminate, 5), []);

    let mut m = running(Limits::default(), false);
    m.step(I::PipesClosed, 3);
    let alone = I::AgentExited { exit: AgentExit::Code(0), usage: Rusage::default(), alone: true };
    let actions = m.step(alone, 4);
    assert!(matches!(actions[..], [A::RecordExit(_), A::CloseStdin, A::Finish(_)]), "{actions:?}");
}

#[test]
fn a_stop_goes_from_asking_to_killing() {
    let mut m = running(Limits::default(), true);
    let actions = m.step(I::Stop(StopReason::Cancel), 100);
    assert!(actions.contains(&A::SendAbort) && signals(&actions).is_empty());
    assert_eq!(m.deadline(), Some(1_600));
    assert_eq!(signals(&m.step(I::Tick, 1_600)), [15]);
    assert_eq!(m.deadline(), Some(3_600));
    assert_eq!(m.step(I::Stop(StopReason::Drain), 2_000), []);
    assert_eq!(signals(&m.step(I::Tick, 3_600)), [9]);
    // It does not even die of that.
    assert!(m.step(I::Tick, 3_600 + KILL_WAIT_MS).contains(&A::Sweep));
    m.step(left(&[7]), 4_150);
    let actions = m.step(I::Tick, 4_150 + SWEEP_MAX_MS);
    assert_eq!(actions.last(), Some(&A::ClosePipes));
    let actions = m.step(I::PipesClosed, 6_200);
    let end = end(&actions);
    assert_eq!((end.stopped_by, end.exit, end.killed), (Some(StoppedBy::Cancel), None, true));
    assert_eq!(end.sweep.left, [process(7)]);
}

#[test]
fn without_an_open_input_nobody_is_asked() {
    let mut m = running(Limits::default(), false);
    assert_eq!(signals(&m.step(I::OwnerGone, 1)), [15]);
}

#[test]
fn limits() {
    let limits = Limits { silence_ms: Some(100), wall_ms: Some(1_000), output_bytes: Some(10) };
    let by = |m: &mut Machine, at| {
        m.step(I::Tick, at).iter().find_map(|a| if let A::TellStopping(by) = a { Some(*by) } else { None })
    };
    let output = |kept, over| I::Output { stream: Stream::Stderr, kept, dropped: 0, over };

    let mut m = running(limits, false);
    assert_eq!(by(&mut m, 99), None);
    m.step(output(1, 0), 99);
    assert_eq!(by(&mut m, 198), None);
    assert_eq!(by(&mut m, 199), Some(StoppedBy::Silence));

    let mut m = running(limits, false);
    for at in (0..1_000).step_by(50) {
        m.step(I::StdinTaken(1), at);
    }
    assert_eq!(by(&mut m, 1_000), Some(StoppedBy::Wall));

    let mut m = running(limits, false);
    assert_eq!(m.step(output(10, 0), 1), [], "exactly the limit is within it");
    assert_eq!(m.room(), 0);
    assert!(m.step(output(0, 1), 2).contains(&A::TellStopping(StoppedBy::OutputLimit)));
}

#[test]
fn a_full_disk_stops_the_clock_of_silence_only() {
    let limits = Limits { silence_ms: Some(100), wall_ms: Some(10_000), output_bytes: None };
    let mut m = running(limits, false);
    m.step(I::DiskFull, 60);
    assert_eq!(m.step(I::Tick, 5_000), []);
    assert_eq!(m.deadline(), Some(10_000));
    assert_eq!(m.step(I::DiskBack, 5_060), [A::Note(Note::DiskWasFull { ms: 5_000 })]);
    assert_eq!(m.deadline(), Some(5_100), "40 ms of silence were left");
}

#[test]
fn what_the_pipes_hold_waits_for_room() {
    let mut m = running(Limits::default(), false);
    m.step(I::DiskFull, 1);
    m.step(exited(0), 2);
    assert!(m.step(I::Tick, 2 + DRAIN_MAX_MS).contains(&A::Sweep));
    assert_eq!(m.step(left(&[]), 1_010), []);
    assert_eq!(m.deadline(), None);
    assert_eq!(m.step(I::DiskBack, 9_000).last(), Some(&A::ClosePipes));
}

#[test]
fn a_stop_before_the_start() {
    let mut m = Machine::new(Limits::default(), StopPlan::default(), false);
    m.step(I::Stop(StopReason::Cancel), 0);
    let actions = m.step(I::Begin, 1);
    assert_eq!((end(&actions).exit, end(&actions).stopped_by), (None, Some(StoppedBy::Cancel)));

    let mut m = Machine::new(Limits::default(), StopPlan::default(), false);
    m.step(I::Begin, 0);
    m.step(I::Stop(StopReason::Cancel), 1);
    assert_eq!(signals(&m.step(I::Started, 2)), [15]);
}

#[test]
fn a_stop_after_the_exit_is_no_cancel() {
    let mut m = running(Limits::default(), false);
    m.step(exited(0), 1);
    assert!(m.step(I::Stop(StopReason::Cancel), 2).contains(&A::Sweep));
    m.step(left(&[]), 3);
    let actions = m.step(I::PipesClosed, 3);
    assert!(end(&actions).is_clean_exit());
}

fn any_input() -> impl Strategy<Value = ShimInput> {
    prop_oneof![
        Just(I::Begin),
        Just(I::Started),
        Just(I::StartFailed("x".into())),
        (any::<bool>(), 0u64..30, 0u64..30, 0u64..2).prop_map(|(out, kept, dropped, over)| I::Output {
            stream: if out { Stream::Stdout } else { Stream::Stderr },
            kept,
            dropped,
            over
        }),
        (0u64..10).prop_map(I::StdinTaken),
        Just(I::Settled),
        (0i32..3).prop_map(exited),
        Just(I::AgentExited { exit: AgentExit::Signal(9), usage: Rusage::default(), alone: true }),
        Just(I::NoChildren),
        Just(I::PipesClosed),
        Just(I::Stop(StopReason::Cancel)),
        Just(I::Stop(StopReason::Drain)),
        Just(I::OwnerGone),
        Just(I::Terminate),
        proptest::collection::vec(2i32..5, 0..3).prop_map(|pids| left(&pids)),
        Just(I::DiskFull),
        Just(I::DiskBack),
        Just(I::Tick),
    ]
}

/// What a world that only ever does the least does: starts what is to be started, and nothing dies.
fn answer(action: &ShimAction) -> Option<ShimInput> {
    match action {
        A::StartAgent => Some(I::Started),
        A::Sweep => Some(left(&[9])),
        A::ClosePipes => Some(I::PipesClosed),
        _ => None,
    }
}

proptest! {
    /// Whatever came before, in whatever order: a stop leads to SIGKILL or a seen exit, a sweep, and one end, in bounded time.
    #[test]
    fn a_stop_always_ends(
        before in proptest::collection::vec((any_input(), 0u64..400), 0..40),
        limits in (proptest::option::of(1u64..500), proptest::option::of(1u64..5_000), proptest::option::of(0u64..200)),
        stdin_open: bool,
    ) {
        let limits = Limits { silence_ms: limits.0, wall_ms: limits.1, output_bytes: limits.2 };
        let mut m = Machine::new(limits, stop_plan(), stdin_open);
        let mut now = 0;
        let mut all: Vec<ShimAction> = Vec::new();
        for (input, wait) in before {
            now += wait;
            all.extend(m.step(input, now));
        }
        let mut inputs = std::collections::VecDeque::from([I::Begin, I::Started, I::DiskBack, I::Stop(StopReason::Cancel)]);
        let stopped_at = now;
        // The first pending answer may be to an action from before.
        if matches!(all.last(), Some(A::ClosePipes)) {
            inputs.push_back(I::PipesClosed);
        }
        while !m.is_done() {
            let input = match inputs.pop_front() {
                Some(input) => input,
                None => {
                    let at = m.deadline();
                    prop_assert!(at.is_some() || matches!(m.phase, Phase::Closing { .. }), "waits for nothing: {m:?}");
                    now = at.unwrap_or(now).max(now);
                    if at.is_some() { I::Tick } else { I::PipesClosed }
                }
            };
            let actions = m.step(input, now);
            inputs.extend(actions.iter().filter_map(answer));
            all.extend(actions);
            prop_assert!(now - stopped_at <= 1_500 + 2_000 + KILL_WAIT_MS + DRAIN_MAX_MS + SWEEP_MAX_MS);
        }
        let finishes = all.iter().filter(|a| matches!(a, A::Finish(_))).count();
        prop_assert_eq!(finishes, 1);
        prop_assert!(matches!(all.last(), Some(A::Finish(_))), "nothing after the end");
        prop_assert!(m.step(I::Tick, now + 1_000_000).is_empty() && m.deadline().is_none());
        let A::Finish(end) = all.last().unwrap() else { unreachable!() };
        let seen_or_never = end.exit.is_some() || !all.contains(&A::StartAgent) || end.cannot_start.is_some();
        prop_assert!(seen_or_never || signals(&all).contains(&9), "neither dead nor killed");
        // The exit is recorded once and before any sweep.
        let exit = all.iter().position(|a| matches!(a, A::RecordExit(_)));
        let sweep = all.iter().position(|a| matches!(a, A::Sweep));
        prop_assert!(all.iter().filter(|a| matches!(a, A::RecordExit(_))).count() <= 1);
        if let (Some(exit), Some(sweep)) = (exit, sweep) {
            prop_assert!(exit < sweep || signals(&all).contains(&9));
        }
    }

    /// Time alone never makes two things of one.
    #[test]
    fn ticks_are_idempotent(steps in proptest::collection::vec((any_input(), 0u64..400), 0..40)) {
        let mut m = Machine::new(Limits { silence_ms: Some(300), ..Limits::default() }, stop_plan(), true);
        let mut now = 0;
        for (input, wait) in steps {
            now += wait;
            m.step(input, now);
            m.step(I::Tick, now);
            prop_assert_eq!(m.step(I::Tick, now), vec![]);
            if let Some(at) = m.deadline() {
                prop_assert!(at > now, "due at {at} and nothing done at {now}: {m:?}");
            }
        }
    }
}
