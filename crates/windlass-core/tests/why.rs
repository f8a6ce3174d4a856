//! Each reason, rule and move, in a state that events led to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

#[path = "why/drive.rs"]
mod drive;

use drive::{Drive, end, gate_end, snapshot, task};
use windlass_core::why::{
    Command, Follows, Move, Reason, Rule, Stopping, TaskState, TurnHolder, concerns_run, concerns_task,
};
use windlass_core::{Input, Turn};
use windlass_events::event::{CapKind, Cause, WaitFor};
use windlass_events::spec::{Caps, RedGate};
use windlass_events::{ErrorClass, Event, Outcome, Proof, TaskId, TaskStatus, Usage};

fn id(n: usize) -> TaskId {
    TaskId::for_step(n, "t")
}

fn state(n: usize, status: TaskStatus) -> TaskState {
    TaskState { task: id(n), status }
}

fn command(command: Command) -> Move {
    Move::Command { command }
}

fn event(event: &'static str, n: usize) -> Move {
    Move::Event { event, task: Some(id(n)), until: None }
}

#[test]
fn a_dependency_is_named_with_its_state() {
    let mut d = Drive::new(vec![task(1), task(2).after(1), task(3).after(2)]);
    d.settle();
    let why = d.why(2);
    assert_eq!(why.reasons, [Reason::Dependencies { on: vec![state(1, TaskStatus::Running)] }]);
    assert_eq!(why.moves, [event("task.completed", 1), command(Command::Why { task: id(1) })]);
    assert_eq!(d.why(3).reasons, [Reason::Dependencies { on: vec![state(2, TaskStatus::Queued)] }]);
    assert_eq!(
        d.why(1).reasons,
        [Reason::Working {
            attempt: 1,
            cause: Cause::First,
            since: 1_000,
            silence_ms: 300_000,
            until: Some(601_000),
            stopping: None,
        }]
    );
    assert_eq!(d.why_run().reasons, [Reason::Tasks { live: vec![state(1, TaskStatus::Running)] }]);
    assert_eq!(d.why_run().moves, [Move::EndOfAny { tasks: vec![id(1)] }]);
}

#[test]
fn before_all_tasks_are_known_nothing_starts() {
    let d = Drive::planned_in_part(vec![task(1), task(2)], 1);
    assert_eq!(d.why(1).reasons.first(), Some(&Reason::Planning { known: 1, of: 2 }));
    assert_eq!(d.why_run().reasons, [Reason::Planning { known: 1, of: 2 }]);
}

#[test]
fn a_pause_has_its_end_and_its_cause_and_then_a_start_follows() {
    let mut d = Drive::new(vec![task(1).attempts(3)]);
    d.settle();
    d.end(1, end(Outcome::ProviderError, Some(ErrorClass::RateLimit)));
    let why = d.why(1);
    let [Reason::Backoff { until, used: 1, of: 3, class: Some(ErrorClass::RateLimit) }] = why.reasons[..]
    else {
        panic!("{why:?}")
    };
    assert!(until > d.now);
    assert_eq!(why.moves, [Move::Time { at: until }]);
    assert_eq!(d.why_run().reasons, why.reasons, "the run says what its tasks wait for");
    d.now = until;
    let next = Follows::Start { attempt: 2, cause: Cause::Retry, turn: false };
    assert_eq!(d.why(1).reasons, [Reason::Next { next }]);
    assert_eq!(d.why(1).moves, [event("attempt.started", 1), command(Command::Attach)]);
}

#[test]
fn slots_of_run_and_role_are_named_with_who_has_them() {
    let mut d = Drive::new(vec![task(1), task(2)]);
    d.spec(|s| s.limits.run = 1);
    d.settle();
    let by = vec![state(1, TaskStatus::Running)];
    assert_eq!(d.why(2).reasons, [Reason::RunSlots { used: 1, limit: 1, by: by.clone() }]);
    assert_eq!(d.why(2).moves, [Move::EndOfAny { tasks: vec![id(1)] }]);

    let mut d = Drive::new(vec![task(1), task(2)]);
    d.spec(|s| s.limits.roles = [("executor".to_owned(), 1)].into());
    d.settle();
    let role = "executor".to_owned();
    assert_eq!(d.why(2).reasons, [Reason::RoleSlots { role, used: 1, limit: 1, by }]);
}

#[test]
fn the_turn_is_named_with_who_holds_it() {
    let mut d = Drive::new(vec![task(1).writes(), task(2).writes()]);
    d.settle();
    assert_eq!(d.why(1).reasons, [Reason::Keeping { attempt: 1, before: true }]);
    assert_eq!(d.why(1).moves, [event("tree.kept", 1)]);
    let holder = TurnHolder::Task { task: id(1) };
    assert_eq!(d.why(2).reasons, [Reason::Turn { holder }]);
    assert_eq!(
        d.why(2).moves,
        [Move::EndOfAny { tasks: vec![id(1)] }, command(Command::Why { task: id(1) })]
    );
    d.keep(1, true);
    assert!(matches!(d.why(1).reasons[..], [Reason::Working { .. }]));
    d.end(1, end(Outcome::Clean, None));
    assert_eq!(d.why(1).reasons, [Reason::Keeping { attempt: 1, before: false }]);

    let mut d = Drive::new(vec![task(1).writes()]);
    d.world.tree = Turn::Other("run k7m2qd".into());
    d.settle();
    let holder = TurnHolder::Other { who: "run k7m2qd".into() };
    assert_eq!(d.why(1).reasons, [Reason::Turn { holder: holder.clone() }]);
    assert_eq!(d.why(1).moves, [Move::OtherRun { who: "run k7m2qd".into() }]);
    assert_eq!(d.why_run().reasons, [Reason::Turn { holder }]);
}

#[test]
fn what_no_journal_holds_is_said_to_be_left() {
    let mut d = Drive::new(vec![task(1).writes(), task(2)]);
    d.world.slots = 0;
    d.settle();
    let start = |turn| Follows::Start { attempt: 1, cause: Cause::First, turn };
    assert_eq!(d.why(1).reasons, [Reason::Next { next: start(true) }]);
    assert_eq!(d.why(2).reasons, [Reason::Next { next: start(false) }]);
    assert_eq!(d.why(1).moves, [event("turn.taken", 1), command(Command::Attach)]);
    assert_eq!(d.why_run().reasons, [Reason::Next { next: start(true) }]);
}

#[test]
fn the_first_gates_hold_everything_and_a_question_more_so() {
    let mut d = Drive::new(vec![task(1).gate()]);
    d.spec(|s| s.red_gate = RedGate::Ask);
    assert_eq!(d.why(1).reasons[0], Reason::FirstGates { command: None });
    assert_eq!(d.why_run().reasons[0], Reason::Next { next: Follows::FirstGates });
    d.settle();
    let running = Reason::FirstGates { command: Some("make test".into()) };
    assert_eq!(d.why(1).reasons, std::slice::from_ref(&running));
    assert_eq!(d.why_run().reasons, [running]);
    d.gate_ends(None, gate_end(Outcome::Exit(1)));
    let why = d.why_run();
    let [Reason::Waiting { wait: WaitFor::Answer, .. }] = why.reasons[..] else { panic!("{why:?}") };
    let answers = [RedGate::Mend, RedGate::LeaveOut, RedGate::Stop];
    assert_eq!(why.moves, answers.map(|with| command(Command::Answer { with })));
    assert_eq!(d.why(1).reasons, why.reasons);
}

#[test]
fn missing_values_and_a_restart_are_waits_that_resume_ends() {
    let resume = command(Command::Resume { raise: None });
    let mut d = Drive::new(vec![task(1)]);
    d.spec(|s| s.secret_names = vec!["API_KEY".into()]);
    d.world.secrets = false;
    d.settle();
    let waiting = Reason::Waiting { wait: WaitFor::Environment, on: "API_KEY".into(), since: 1_000 };
    assert_eq!(d.why(1).reasons, std::slice::from_ref(&waiting));
    assert_eq!((d.why_run().reasons, d.why_run().moves), (vec![waiting], vec![resume.clone()]));

    let mut d = Drive::new(vec![task(1), task(2).after(1)]);
    d.world.slots = 0;
    d.world.may_restart = false;
    d.settle();
    d.feed(Input::Taken { boot: "another".into(), version: "1".into() });
    let why = d.why(1);
    let [Reason::Waiting { wait: WaitFor::Restart, .. }] = why.reasons[..] else { panic!("{why:?}") };
    assert_eq!(why.moves, [resume]);
    assert!(matches!(
        d.why(2).reasons[..],
        [Reason::Dependencies { .. }, Reason::Waiting { wait: WaitFor::Restart, .. }]
    ));
}

#[test]
fn a_cap_is_named_with_what_is_used_and_the_command_that_raises_it() {
    let mut d = Drive::new(vec![task(1).model(), task(2).after(1)]);
    d.spec(|s| s.caps = Caps { microusd: Some(1_500_000), ..Caps::default() });
    d.settle();
    let usage = Usage { cost_microusd: 2_000_000, turns: 1, ..Usage::default() };
    d.feed(Input::Observed { task: id(1), n: 1, usage, session: None });
    let why = d.why(1);
    assert!(matches!(why.reasons[..], [Reason::Working { stopping: Some(Stopping::Cap), .. }]), "{why:?}");
    d.end(1, end(Outcome::Cancelled, None));
    let cap = Reason::Cap { cap: CapKind::Usd, used: 2_000_000, limit: 1_500_000 };
    assert_eq!(d.why(1).reasons, std::slice::from_ref(&cap));
    assert_eq!(d.why(2).reasons[1], cap);
    assert_eq!(d.why_run().reasons, [cap]);
    let raise = command(Command::Resume { raise: Some((CapKind::Usd, 3_000_000)) });
    assert_eq!(d.why_run().moves, [raise]);
}

#[test]
fn a_cancel_is_followed_to_its_end() {
    let mut d = Drive::new(vec![task(1), task(2).after(1)]);
    d.settle();
    d.push(Event::CancelRequested { task: None, by: "user".into() });
    assert_eq!(d.why(2).reasons, [Reason::Next { next: Follows::Cancel }]);
    let why = d.why(1);
    assert!(matches!(why.reasons[..], [Reason::Working { stopping: Some(Stopping::Cancel), .. }]), "{why:?}");
    assert_eq!(d.why_run().reasons, [Reason::Cancelling { live: vec![state(1, TaskStatus::Running)] }]);
    d.settle();
    d.end(1, end(Outcome::Cancelled, None));
    assert_eq!(d.why(1).rule, Some(Rule::Cancelled));
    assert_eq!(d.why_run().rule, Some(Rule::Cancelled));
    assert_eq!(d.why_run().moves, [command(Command::Resume { raise: None })]);
    let retry = command(Command::Retry { task: Some(id(1)) });
    assert_eq!(d.why(1).moves, [command(Command::Resume { raise: None }), retry]);
}

#[test]
fn a_lost_attempt_is_swept_and_what_is_left_needs_a_person() {
    let mut d = Drive::new(vec![task(1)]);
    d.settle();
    let lost =
        Input::AttemptLost { task: id(1), n: 1, usage: Usage::default(), session: None, last: String::new() };
    d.feed(lost);
    assert_eq!(d.why(1).reasons, [Reason::Sweeping { attempt: 1 }]);
    assert_eq!(d.why(1).moves, [event("attempt.swept", 1)]);
    d.feed(Input::AttemptSwept { task: id(1), n: 1, left: vec!["sleep (12)".into()] });
    assert_eq!(d.why(1).rule, Some(Rule::NotSwept { attempt: 1, left: vec!["sleep (12)".into()] }));
    let why = d.why_run();
    assert!(matches!(&why.reasons[..], [Reason::Blocked { tasks, .. }] if *tasks == [id(1)]), "{why:?}");
    let expected = [command(Command::Why { task: id(1) }), command(Command::Retry { task: Some(id(1)) })];
    assert_eq!(why.moves, expected);
}

#[test]
fn attempts_that_are_used_are_counted_and_the_last_end_is_named() {
    let mut d = Drive::new(vec![task(1).attempts(2), task(2).after(1), task(3).after(2)]);
    d.settle();
    d.end(1, end(Outcome::Silence, Some(ErrorClass::Silence)));
    d.now = d.run.next_due(d.now).unwrap();
    d.settle();
    d.end(1, end(Outcome::Silence, Some(ErrorClass::Silence)));
    let why = d.why(1);
    let Some(Rule::AttemptsUsed { used: 2, of: 2, last }) = &why.rule else { panic!("{why:?}") };
    assert_eq!((last.attempt, last.limit_ms, last.class), (2, Some(300_000), ErrorClass::Silence));
    let retry = command(Command::Retry { task: Some(id(1)) });
    assert_eq!(why.moves, [command(Command::Logs { task: id(1) }), retry]);

    let because = vec![state(2, TaskStatus::Skipped)];
    let began = vec![state(1, TaskStatus::Failed)];
    assert_eq!(d.why(3).rule, Some(Rule::Skipped { because, began: began.clone() }));
    assert_eq!(d.why(2).rule, Some(Rule::Skipped { because: began.clone(), began }));
    let run = d.why_run();
    assert_eq!(run.rule, Some(Rule::TaskDecided { task: Some(state(1, TaskStatus::Failed)) }));
    assert_eq!(run.moves, [command(Command::Why { task: id(1) }), command(Command::Retry { task: None })]);
}

#[test]
fn what_a_new_attempt_does_not_help_is_told_from_what_it_might() {
    let mut d = Drive::new(vec![task(1).attempts(2)]);
    d.settle();
    d.end(1, end(Outcome::Exit(3), Some(ErrorClass::Exit)));
    let why = d.why(1);
    assert!(
        matches!(&why.rule, Some(Rule::NoUseRepeating { last }) if last.class == ErrorClass::Exit),
        "{why:?}"
    );

    let mut d = Drive::new(vec![task(1).attempts(2).never_repeated()]);
    d.settle();
    d.end(1, end(Outcome::Signal(9), Some(ErrorClass::Signal)));
    let why = d.why(1);
    assert!(matches!(&why.rule, Some(Rule::NeverRepeated { last }) if last.attempt == 1), "{why:?}");
}

#[test]
fn gates_decide_by_rules_that_are_named() {
    let fact = |d: &Drive| match d.why(1).rule {
        Some(Rule::GateRed { gate, repairs, rounds, used, of, repairable }) => {
            (gate.before, gate.green, repairs, rounds, used, of, repairable)
        }
        other => panic!("{other:?}"),
    };
    // A command cannot mend what a gate says.
    let mut d = Drive::at_its_gate(task(1).gate().writes());
    let why = d.why(1);
    let [Reason::Checking { n: 1, until, stopping: false, .. }] = why.reasons[..] else { panic!("{why:?}") };
    assert_eq!(until, d.now + 60_000);
    d.gate_ends(Some(1), gate_end(Outcome::Exit(1)));
    assert_eq!(fact(&d), (Some(true), Some(false), 0, 1, 1, 1, false));
    // A model can, for as many rounds as there are.
    let mut d = Drive::at_its_gate(task(1).gate().writes().model().attempts(3));
    d.gate_ends(Some(1), gate_end(Outcome::Exit(1)));
    d.keep(1, true);
    d.end(1, end(Outcome::Clean, None));
    d.keep(1, false);
    d.gate_ends(Some(1), gate_end(Outcome::Exit(1)));
    assert_eq!(fact(&d), (Some(true), Some(false), 1, 1, 2, 3, true));
    // Or as many attempts.
    let mut d = Drive::at_its_gate(task(1).gate().writes().model());
    d.gate_ends(Some(1), gate_end(Outcome::Exit(1)));
    assert_eq!(fact(&d), (Some(true), Some(false), 0, 1, 1, 1, true));

    let mut d = Drive::at_its_gate(task(1).gate().writes());
    for _ in 0..3 {
        d.gate_lost(1);
    }
    assert_eq!(d.why(1).rule, Some(Rule::GateVanished { command: "make test".into(), tries: 3 }));

    let mut d = Drive::at_its_gate(task(1).gate().writes());
    d.gate_ends(Some(1), gate_end(Outcome::Clean));
    let why = d.why(1);
    let Some(Rule::ContractHeld { attempt: 1, proof: Proof::Proven, check: false, gates }) = &why.rule else {
        panic!("{why:?}")
    };
    assert_eq!((gates.len(), gates[0].green, gates[0].steady, gates[0].tries), (1, Some(true), true, 1));
    assert!(why.moves.is_empty());
    assert_eq!(d.why_run().rule, Some(Rule::AllCompleted { proof: Proof::Proven }));
}

#[test]
fn verdict_tree_and_reader_have_rules_of_their_own() {
    let mut d = Drive::new(vec![task(1)]);
    d.settle();
    let mut said = end(Outcome::Clean, None);
    said.verdict = Some(false);
    d.end(1, said);
    assert_eq!(d.why(1).rule, Some(Rule::Verdict { attempt: 1 }));

    let mut d = Drive::new(vec![task(1).writes()]);
    d.settle();
    let failure = windlass_events::outcome::Failure::new(ErrorClass::Internal, "git");
    d.feed(Input::TreeNotKept { task: id(1), failure });
    assert_eq!(d.why(1).rule, Some(Rule::TreeNotKept));

    let mut d = Drive::new(vec![task(1)]);
    d.settle();
    let touched = Some(Box::new((snapshot(1), snapshot(2))));
    d.feed(Input::AttemptEnded { task: id(1), n: 1, end: Box::new(end(Outcome::Clean, None)), touched });
    assert_eq!(d.why(1).rule, Some(Rule::ReadOnlyChanged { attempt: 1 }));
    let moves = [command(Command::Diff { task: id(1) }), command(Command::Retry { task: Some(id(1)) })];
    assert_eq!(d.why(1).moves, moves);
}

#[test]
fn what_is_decided_but_not_yet_said_is_told_as_what_follows() {
    let next = |d: &Drive| match &d.why(1).reasons[..] {
        [Reason::Next { next }] => next.clone(),
        other => panic!("{other:?}"),
    };
    let ended = |outcome: Outcome, class| {
        let mut d = Drive::new(vec![task(1)]);
        d.settle();
        d.accept(Input::AttemptEnded {
            task: id(1),
            n: 1,
            end: Box::new(end(outcome, class)),
            touched: None,
        });
        d
    };
    assert_eq!(next(&ended(Outcome::Clean, None)), Follows::Complete { proof: Proof::Unproven });
    assert!(matches!(next(&ended(Outcome::Exit(1), Some(ErrorClass::Exit))), Follows::Fail { .. }));

    let mut d = Drive::new(vec![task(1)]);
    d.settle();
    d.end(1, end(Outcome::Clean, None));
    // The last word of a run that its engine had not said when it died.
    let last = d.journal.pop().unwrap();
    assert!(matches!(last.1, Event::RunCompleted { .. }));
    d.refold();
    assert_eq!(d.why_run().reasons, [Reason::Next { next: Follows::Conclude }]);
    let completed = Move::Event { event: "run.completed", task: None, until: None };
    assert_eq!(d.why_run().moves, [completed, command(Command::Attach)]);
}

#[test]
fn every_event_that_is_expected_is_one_of_the_vocabulary() {
    let source = include_str!("../src/why/moves.rs");
    let names: Vec<&str> = source.split('"').filter(|part| is_event_name(part)).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let read = Event::from_json(&format!("{{\"type\":\"{name}\",\"data\":{{}}}}"));
        let unknown = read.err().map(|e| e.to_string()).unwrap_or_default().contains("unknown variant");
        assert!(!unknown, "{name}");
    }
}

fn is_event_name(text: &str) -> bool {
    let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    text.split_once('.').is_some_and(|(a, b)| plain(a) && plain(b))
}

#[test]
fn the_chain_holds_what_became_of_a_task_and_not_what_only_counts() {
    let mut d = Drive::at_its_gate(task(1).gate().writes());
    d.gate_ends(Some(1), gate_end(Outcome::Clean));
    let kinds = |of: &dyn Fn(&Event) -> bool| -> Vec<String> {
        let name = |e: &Event| serde_json::to_value(e).unwrap()["type"].as_str().unwrap().to_owned();
        d.journal.iter().filter(|(_, e)| of(e)).map(|(_, e)| name(e)).collect()
    };
    let task = kinds(&|e| concerns_task(e, &id(1)));
    assert_eq!(task, ["attempt.started", "attempt.ended", "gate.ended", "task.completed"]);
    let run = kinds(&|e| concerns_run(e));
    assert_eq!(
        run,
        ["run.created", "run.taken", "gate.ended", "gates.settled", "task.completed", "run.completed"]
    );
    assert!(kinds(&|e| concerns_task(e, &id(9))).is_empty());
}
