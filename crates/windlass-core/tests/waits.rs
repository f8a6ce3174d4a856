//! What a run waits for, as its state says it: by name, with who ends it, however long that takes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

#[allow(dead_code, reason = "shared with the tests of why")]
#[path = "why/drive.rs"]
mod drive;

use drive::{Drive, end, gate_end, task};
use windlass_core::waits::{Ender, Wait, WaitKind};
use windlass_core::why::{Command, Move};
use windlass_core::{Input, Refusal, Turn, accept};
use windlass_events::event::CapKind;
use windlass_events::spec::RedGate;
use windlass_events::{ErrorClass, Event, Outcome, RunStatus, TaskId};

const HOUR: i64 = 3_600_000;

fn waits(d: &Drive) -> Vec<Wait> {
    d.run.waits().collect()
}

#[track_caller]
fn only(d: &Drive) -> Wait {
    let all = waits(d);
    let [one] = all.as_slice() else { panic!("{all:#?}") };
    one.clone()
}

/// A planner and a writer that is held.
fn held() -> Drive {
    let mut d = Drive::new(vec![task(1).model(), task(2).after(1).writes()]);
    d.spec(|s| {
        s.approve_plan = true;
        s.caps.wall_ms = Some(HOUR as u64 / 2);
    });
    d.settle();
    d.now += 60_000;
    d.end(1, end(Outcome::Clean, None));
    d
}

fn approve(question: Option<u64>) -> Input {
    Input::Approve { question, by: "user".into() }
}

/// Place of the question that is asked.
fn question(d: &Drive) -> Option<u64> {
    d.run.asked.map(|asked| asked.question)
}

#[test]
fn an_approval_is_waited_for_as_long_as_it_takes_and_counts_once() {
    let mut d = held();
    let since = d.now;
    // Read anew at any time, it is the same wait: nothing but the journal holds it.
    for hours in [0, 1, 24 * 30] {
        d.now = since + hours * HOUR;
        d.settle();
        d.refold();
        let wait = only(&d);
        assert_eq!((wait.kind, wait.task, wait.since, wait.until), (WaitKind::Approval, None, since, None));
        assert_eq!(d.run.status(), RunStatus::Waiting);
        // Time that passes while a person is asked is no part of the run's.
        assert_eq!((d.run.reached, d.run.next_due(d.now)), (None, None), "after {hours} hours");
    }
    let asked = question(&d);
    assert!(matches!(accept(&d.run, approve(Some(1))), Err(Refusal::Cannot(_))), "another question");
    d.feed(approve(asked));
    assert_eq!(waits(&d), []);
    assert!(d.run.is_live() && d.run.reached.is_none());
    assert!(matches!(accept(&d.run, approve(None)), Err(Refusal::Cannot(_))), "it counts once");
    d.keep(2, true);
    let started = d.journal.iter().filter(
        |(_, e)| matches!(e, Event::AttemptStarted { task, .. } if *task == TaskId::for_step(2, "t")),
    );
    assert_eq!(started.count(), 1);
    // What it had left of its half hour, it has.
    d.now += 20 * 60_000;
    d.settle();
    assert_eq!(d.run.reached, None);
    d.now += 10 * 60_000;
    d.settle();
    assert_eq!(d.run.reached, Some(CapKind::Wall));
}

#[test]
fn a_rejected_plan_is_another_wait_and_a_cancelled_run_waits_for_nothing() {
    let mut d = held();
    let (first, asked) = (d.now, question(&d));
    d.now += HOUR;
    d.feed(Input::Reject { question: asked, text: "smaller".into(), by: "user".into() });
    assert_eq!(waits(&d), [], "the planner works");
    d.end(1, end(Outcome::Clean, None));
    assert!(only(&d).since > first);
    // What was said to the first question is no answer to this one, of the same task and plan though it is.
    for late in [approve(asked), Input::Reject { question: asked, text: String::new(), by: "user".into() }] {
        assert!(matches!(accept(&d.run, late), Err(Refusal::Cannot(_))));
    }
    d.accept(Input::Reject { question: None, text: String::new(), by: "user".into() });
    assert_eq!(waits(&d), []);
    d.settle();
    assert_eq!(d.run.status(), RunStatus::Cancelled);
}

#[test]
fn after_a_restart_of_the_machine_an_approval_is_the_word_to_go_on() {
    for answer in [approve(None), Input::Reject { question: None, text: "smaller".into(), by: "user".into() }]
    {
        let mut d = held();
        d.world.may_restart = false;
        d.feed(Input::Taken { boot: "another".into(), version: "1".into() });
        let kinds: Vec<WaitKind> = d.run.waits().map(|w| w.kind).collect();
        assert_eq!(kinds, [WaitKind::Restart, WaitKind::Approval]);
        d.feed(answer);
        assert!(d.run.is_live() && waits(&d).is_empty(), "{:#?}", waits(&d));
        d.refold();
        assert!(!d.run.restarted);
    }
}

#[test]
fn a_reader_that_works_hides_no_question() {
    let mut d = Drive::new(vec![task(1).writes(), task(2)]);
    d.spec(|s| s.approve_plan = true);
    d.settle();
    assert_eq!(d.run.status(), RunStatus::Running);
    assert_eq!(only(&d).kind, WaitKind::Approval);
}

#[test]
fn what_a_person_ends_names_the_commands_that_end_it() {
    // A red gate.
    let mut d = Drive::new(vec![task(1).writes().gate()]);
    d.spec(|s| s.red_gate = RedGate::Ask);
    d.settle();
    d.gate_ends(None, gate_end(Outcome::Exit(1)));
    let wait = only(&d);
    let answers = [RedGate::Mend, RedGate::LeaveOut, RedGate::Stop].map(|with| Command::Answer { with });
    assert_eq!((wait.kind, wait.commands()), (WaitKind::Answer, &answers[..]));
    // The machine is restarted under it: both are waited for, the restart first.
    d.world.may_restart = false;
    d.feed(Input::Taken { boot: "another".into(), version: "1".into() });
    let kinds: Vec<WaitKind> = d.run.waits().map(|w| w.kind).collect();
    assert_eq!(kinds, [WaitKind::Restart, WaitKind::Answer]);
    assert_eq!(d.run.waits_for().unwrap().commands(), [Command::Resume { raise: None }]);

    // A cap.
    let mut d = Drive::new(vec![task(1).model()]);
    d.spec(|s| s.caps.wall_ms = Some(1_000));
    d.settle();
    d.now += 2_000;
    d.settle();
    d.end(1, end(Outcome::Cancelled, None));
    let wait = only(&d);
    assert_eq!((wait.kind, wait.commands()), (WaitKind::Cap, &[Command::Resume { raise: None }][..]));

    // A task that needs somebody.
    let mut d = Drive::new(vec![task(1).never_repeated()]);
    d.settle();
    let (of, n) = (TaskId::for_step(1, "t"), 1);
    let usage = windlass_events::Usage::default();
    d.feed(Input::AttemptLost { task: of.clone(), n, usage, session: None, last: String::new() });
    d.feed(Input::AttemptSwept { task: of.clone(), n, left: Vec::new() });
    let wait = only(&d);
    assert_eq!((wait.kind, &wait.task), (WaitKind::Attention, &Some(of.clone())));
    assert_eq!(wait.commands()[0], Command::Retry { task: Some(of) });

    // Secret values.
    let mut d = Drive::new(vec![task(1)]);
    d.spec(|s| s.secret_names = vec!["KEY".into()]);
    d.world.secrets = false;
    d.settle();
    assert_eq!((only(&d).kind, only(&d).on), (WaitKind::Environment, "KEY".to_owned()));
}

#[test]
fn what_ends_by_itself_says_when_or_by_whom() {
    for (class, kind) in [(ErrorClass::RateLimit, WaitKind::Quota), (ErrorClass::Silence, WaitKind::Pause)] {
        let mut d = Drive::new(vec![task(1).model().attempts(2)]);
        d.settle();
        d.now += 5_000;
        d.end(1, end(Outcome::Exit(1), Some(class)));
        let wait = only(&d);
        assert_eq!((wait.kind, wait.since, &wait.ender), (kind, d.now, &Ender::Time));
        assert!(wait.until.is_some_and(|until| until > d.now), "{wait:?}");
        assert!(!kind.is_for_person() && d.run.waits_for().is_none());
        // It is no death: the state says when it goes on, and it does.
        d.now = wait.until.unwrap();
        d.settle();
        assert!(d.run.is_live() && d.run.waits().next().is_none());
    }
    let mut d = Drive::new(vec![task(1).writes()]);
    d.world.tree = Turn::Other("k7m2qd".into());
    d.settle();
    let wait = only(&d);
    assert_eq!((wait.kind, wait.ender), (WaitKind::Tree, Ender::OtherRun { who: "k7m2qd".into() }));
}

#[test]
fn why_offers_what_the_wait_says() {
    let d = held();
    let offered = d.why(2).moves;
    let commands =
        only(&d).commands().iter().map(|c| Move::Command { command: c.clone() }).collect::<Vec<_>>();
    assert_eq!(offered, commands);
    assert_eq!(Command::Approve.line(d.run.id), format!("windlass approve {}", d.run.id));
}
