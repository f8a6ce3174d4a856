//! The machine of an engine that hands over: what it still does, and what it leaves to the next one.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

use serde_json::json;
use windlass_core::{Effect, Input, Run};
use windlass_engine::machine::{In, Machine, Out, Part, Settings};
use windlass_events::{Event, Outcome, RunId, TaskId};

fn run_id() -> RunId {
    RunId::from_number(7)
}

fn settings(version: &str) -> Settings {
    Settings { slots: 8, boot: "boot".into(), version: version.into(), may_restart: true }
}

/// Two commands, one after the other.
fn creation() -> Vec<Event> {
    let spec = json!({
        "goal": "g", "shape": {}, "cwd": "/r", "tree": { "root": "/r" }, "caps": {}, "limits": { "run": 4 },
        "red_gate": "mend", "repair_rounds": 0, "task_count": 2,
    });
    let task = |id: &str, after: &[&str]| {
        json!({
            "id": id, "step": id, "role": "r", "agent": "a", "runtime": "command", "access": "read",
            "depends_on": after, "attempts": 2, "silence_ms": 0, "wall_ms": 0,
        })
    };
    let tasks = json!([task("01_a", &[]), task("02_b", &["01_a"])]);
    vec![
        Event::RunCreated(serde_json::from_value(spec).unwrap()),
        Event::TasksPlanned { tasks: serde_json::from_value(tasks).unwrap() },
    ]
}

/// An engine with a store that says yes, and what it did.
struct Engine {
    machine: Machine,
    journal: Vec<(i64, Event)>,
    /// Parts that are not durable yet.
    under_way: Option<(u64, Vec<Part>)>,
    performed: Vec<(Effect, bool)>,
    answered: Vec<u64>,
}

impl Engine {
    fn new(version: &str) -> Self {
        let machine = Machine::new(settings(version));
        Self { machine, journal: vec![], under_way: None, performed: vec![], answered: vec![] }
    }

    fn step(&mut self, input: In) {
        let out = self.machine.step(input, 1_000);
        self.take(out);
    }

    fn take(&mut self, out: Vec<Out>) {
        for one in out {
            match one {
                Out::Commit { batch, parts } => self.under_way = Some((batch, parts)),
                Out::Perform { effect, recovering, .. } => self.performed.push((effect, recovering)),
                Out::Answer { request, result } => {
                    result.unwrap();
                    self.answered.push(request);
                }
                Out::Announce { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The commit under way, and those that follow from it, become durable.
    fn commit(&mut self) {
        while let Some((batch, parts)) = self.under_way.take() {
            let results = parts.iter().map(|p| Ok(p.expected + p.events.len() as u64)).collect();
            parts.into_iter().for_each(|p| self.journal.extend(p.events));
            self.step(In::Committed { batch, results });
        }
    }

    fn state(&self) -> Run {
        let mut events = (1u64..).zip(&self.journal);
        let (_, (at, first)) = events.next().unwrap();
        let mut run = Run::begin(run_id(), *at, first).unwrap();
        events.for_each(|(seq, (at, event))| run.apply(seq, *at, event).unwrap());
        run
    }
}

fn task(id: &str) -> TaskId {
    TaskId::parse(id).unwrap()
}

fn attempt(id: &str) -> Effect {
    Effect::Attempt { task: task(id), n: 1 }
}

/// The first task's worker has ended well.
fn ended() -> In {
    let end = Box::new(serde_json::from_value(json!({ "outcome": "clean", "exit": 0 })).unwrap());
    In::Run(run_id(), Input::AttemptEnded { task: task("01_a"), n: 1, end, touched: None })
}

fn led() -> Engine {
    let mut engine = Engine::new("1.0.0");
    let events = creation();
    engine.step(In::Create { request: 1, run: run_id(), epoch: 1, events, secrets: true });
    engine.commit();
    assert_eq!((&engine.performed[..], &engine.answered[..]), (&[(attempt("01_a"), false)][..], &[1][..]));
    engine
}

#[test]
fn nothing_more_is_decided() {
    // As it is without.
    let mut other = led();
    other.step(ended());
    other.commit();
    assert_eq!(other.performed.last(), Some(&(attempt("02_b"), false)));

    let mut engine = led();
    engine.machine.hand_over();
    let before = engine.journal.len();
    for input in [ended(), In::Tick, In::AllFound] {
        engine.step(input);
        engine.commit();
    }
    assert_eq!((engine.journal.len(), engine.performed.len()), (before, 1));
    assert!(engine.machine.is_settled(run_id()));
    // The next one is told again by the file of the worker, and decides.
    let mut next = Engine::new("2.0.0");
    next.journal = std::mem::take(&mut engine.journal);
    let run = Box::new(next.state());
    next.step(In::Opened { run, epoch: 2, secrets: true });
    next.commit();
    assert_eq!(next.performed, [(attempt("01_a"), true)]);
    next.step(ended());
    next.commit();
    assert_eq!(next.performed.last(), Some(&(attempt("02_b"), false)));
    assert_eq!(next.state().task_by_id(&task("01_a")).unwrap().attempts.len(), 1);
}

/// What was decided before is made durable, and done: a worker that the journal says is started must not be missing.
#[test]
fn what_was_decided_before_becomes_durable_and_is_done() {
    let mut engine = led();
    engine.step(ended());
    assert!(engine.under_way.is_some() && !engine.machine.is_settled(run_id()));
    engine.machine.hand_over();
    engine.commit();
    assert!(engine.machine.is_settled(run_id()));
    assert_eq!(engine.performed.last(), Some(&(attempt("02_b"), false)));
    let first = engine.state().task_by_id(&task("01_a")).unwrap().attempts[0].end.clone().unwrap();
    assert_eq!(first.outcome, Outcome::Clean);
}

/// Who asked before has an answer, and it rests on what is durable.
#[test]
fn who_asked_before_is_answered() {
    let mut engine = led();
    // Behind a commit that is under way.
    engine.step(ended());
    let input = Input::Cancel { task: None, by: "user".into() };
    engine.step(In::Ask { request: 2, run: run_id(), input });
    engine.machine.hand_over();
    assert_eq!(engine.answered, [1]);
    engine.commit();
    assert_eq!(engine.answered, [1, 2]);
    assert!(engine.journal.iter().any(|(_, e)| matches!(e, Event::CancelRequested { .. })));
    assert!(engine.machine.is_settled(run_id()));
}
