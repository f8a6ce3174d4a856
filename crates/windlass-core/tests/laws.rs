//! The laws of the core, over random runs in a random world:
//! fold is total; replay equals live; `decide` is idempotent; terminal is final; at most one live attempt per task; no
//! effect without its event; every run ends or waits for something named; limits and caps are never exceeded.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "laws/explain.rs"]
mod explain;

use proptest::prelude::*;
use std::collections::BTreeMap;
use windlass_core::run::Baseline;
use windlass_core::{Effect, Input, Phase, Run, Turn, World, accept, decide};
use windlass_events::event::{AttemptEnd, GateEnd, Snapshot};
use windlass_events::outcome::Failure;
use windlass_events::spec::{
    Caps, GateSource, GateSpec, Limits, RedGate, RunSpec, Shape, TaskSpec, TreeSpec,
};
use windlass_events::{
    Access, AttemptStatus, EachSpec, ErrorClass, Event, Flow, Grow, Join, Millis, Outcome, PlanSpec, RunId,
    RunStatus, RuntimeKind, TaskId, TaskStatus, Usage,
};

/// Choices that shrink towards the first and most ordinary option.
struct Choices {
    values: Vec<u16>,
    at: usize,
}

impl Choices {
    fn pick(&mut self, options: usize) -> usize {
        let value = self.values.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        if options == 0 { 0 } else { usize::from(value) % options }
    }
    fn spent(&self) -> bool {
        self.at >= self.values.len()
    }
}

/// What grows from a task.
fn part(c: &mut Choices, gates: usize) -> TaskSpec {
    TaskSpec {
        id: TaskId::parse("part").unwrap(),
        step: "part".into(),
        role: ["executor", "reviewer"][c.pick(2)].to_owned(),
        agent: "a".into(),
        instructions: ["one", "two"][c.pick(2)].to_owned(),
        depends_on: vec![],
        runtime: RuntimeKind::Pi,
        model: None,
        access: if c.pick(2) == 0 { Access::Write } else { Access::Read },
        cold: false,
        check: false,
        shared_writes: false,
        repeat_never: false,
        gates: (0..gates as u32).filter(|_| c.pick(3) == 0).collect(),
        reads: vec![],
        output: None,
        skills: vec![],
        attempts: 1 + c.pick(2) as u32,
        silence_ms: 0,
        wall_ms: 0,
        flow: Flow::default(),
    }
}

fn spec(c: &mut Choices) -> (RunSpec, Vec<TaskSpec>) {
    let count = 1 + c.pick(7);
    let gates: Vec<GateSpec> = (0..c.pick(3))
        .map(|i| GateSpec {
            command: format!("gate {i}"),
            source: if c.pick(2) == 0 { GateSource::User } else { GateSource::Config },
            limit_ms: 600_000,
        })
        .collect();
    let mut tasks = Vec::new();
    for i in 0..count {
        let model = c.pick(2) == 0;
        let gate_list = (0..gates.len() as u32).filter(|_| c.pick(2) == 0).collect();
        let depends_on = (0..i).filter(|_| c.pick(3) == 1).map(|d| TaskId::for_step(d + 1, "t")).collect();
        tasks.push(TaskSpec {
            id: TaskId::for_step(i + 1, "t"),
            step: format!("t{i}"),
            role: ["executor", "reviewer"][c.pick(2)].to_owned(),
            agent: "a".into(),
            instructions: String::new(),
            depends_on,
            runtime: if model { RuntimeKind::Pi } else { RuntimeKind::Command },
            model: None,
            access: if c.pick(2) == 0 { Access::Write } else { Access::Read },
            cold: false,
            check: c.pick(5) == 1,
            shared_writes: c.pick(7) == 1,
            repeat_never: c.pick(6) == 1,
            gates: gate_list,
            reads: vec![],
            output: None,
            skills: vec![],
            attempts: 1 + c.pick(4) as u32,
            silence_ms: 0,
            wall_ms: 0,
            flow: Flow { approve: c.pick(9) == 1, ..Flow::default() },
        });
    }
    for task in &mut tasks {
        let grow = match c.pick(8) {
            1 => Grow::Plan(Box::new(PlanSpec {
                max: 1 + c.pick(4) as u32,
                replans: c.pick(2) as u32,
                roles: BTreeMap::new(),
            })),
            2 => Grow::Each(Box::new(EachSpec {
                over: if c.pick(2) == 0 { task.depends_on.first().cloned() } else { None },
                max: 1 + c.pick(4) as u32,
                join: if c.pick(2) == 0 { Join::All } else { Join::AtLeast(1 + c.pick(2) as u32) },
                to_the_end: c.pick(3) == 0,
                task: part(c, gates.len()),
            })),
            _ => continue,
        };
        task.flow.grow = Some(grow);
    }
    let mut roles = BTreeMap::new();
    if c.pick(2) == 1 {
        roles.insert("reviewer".to_owned(), 1);
    }
    let spec = RunSpec {
        goal: "g".into(),
        shape: Shape::default(),
        cwd: "/r".into(),
        tree: TreeSpec { root: "/r".into(), git: c.pick(2) == 0, branch: None, head: None },
        caps: Caps {
            microusd: (c.pick(2) == 1).then(|| 500 + c.pick(2_000) as u64),
            tokens: None,
            unpriced_tokens: None,
            wall_ms: (c.pick(3) == 1).then(|| 50_000 + c.pick(500_000) as u64),
        },
        limits: Limits { run: 1 + c.pick(4) as u32, roles },
        gates,
        red_gate: [RedGate::Mend, RedGate::Ask, RedGate::LeaveOut, RedGate::Stop][c.pick(4)],
        repair_rounds: c.pick(3) as u32,
        require_proof: false,
        env: BTreeMap::new(),
        secret_names: vec![],
        agents: BTreeMap::new(),
        programs: BTreeMap::new(),
        skills: BTreeMap::new(),
        script: None,
        notices: vec![],
        task_count: count as u32,
        approve_plan: c.pick(4) == 1,
        tied: false,
    };
    (spec, tasks)
}

/// A world in which anything can happen to a run.
struct Sim {
    run: Run,
    journal: Vec<(Millis, Event)>,
    now: Millis,
    slots: u32,
    /// Terminal states that a person has not reopened since.
    terminal: BTreeMap<TaskId, TaskStatus>,
    starts: BTreeMap<TaskId, u32>,
    snapshots: u32,
}

impl Sim {
    fn new(c: &mut Choices) -> Self {
        let (spec, tasks) = spec(c);
        let created = Event::RunCreated(Box::new(spec));
        let run = Run::begin(RunId::from_number(7), 1_000, &created).unwrap();
        let slots = 1 + c.pick(4) as u32;
        let mut sim = Self {
            run,
            journal: vec![(1_000, created)],
            now: 1_000,
            slots,
            terminal: BTreeMap::new(),
            starts: BTreeMap::new(),
            snapshots: 0,
        };
        sim.push(Event::TasksPlanned { tasks });
        sim
    }

    fn push(&mut self, event: Event) {
        let seq = self.run.seq + 1;
        self.check_before(&event);
        self.run
            .apply(seq, self.now, &event)
            .unwrap_or_else(|e| panic!("{event:?} is illegal: {e}\n{}", self.brief()));
        self.journal.push((self.now, event));
        self.check_after();
    }

    fn check_before(&mut self, event: &Event) {
        match event {
            Event::AttemptStarted { task, .. } => {
                let t = self.run.task_by_id(task).unwrap();
                assert!(
                    t.attempts.iter().all(|a| a.status != AttemptStatus::Running),
                    "a second live attempt of {task}"
                );
                for dep in &t.spec.depends_on {
                    let done = self.run.task_by_id(dep).unwrap().status() == TaskStatus::Completed;
                    assert!(done, "{task} started before {dep} was completed");
                }
                assert!(!self.run.needs_approval(t), "{task} started without approval");
                assert!(t.has_worker(), "{task} has no worker and was started");
                assert_eq!(self.run.reached, None, "{task} started after a cap was reached");
                assert_eq!(self.run.baseline, Baseline::Done, "{task} started before the baseline");
                *self.starts.entry(task.clone()).or_insert(0) += 1;
                let starts = self.starts[task];
                assert!(
                    starts <= t.spec.attempts,
                    "{task} was started {starts} times, worst case {}",
                    t.spec.attempts
                );
            }
            Event::AttemptVoided { task, .. } => {
                let starts = self.starts.get_mut(task).unwrap();
                *starts = starts.saturating_sub(1);
            }
            Event::ApprovalRefused { planner, again, .. } => {
                for task in again.iter().chain(planner) {
                    self.terminal.remove(task);
                    if self.run.task_by_id(task).unwrap().status().is_terminal() {
                        self.starts.remove(task);
                    }
                }
                if let Some(task) = planner {
                    let most = self.run.task_by_id(task).unwrap().spec.attempts - 1;
                    let starts = self.starts.entry(task.clone()).or_insert(0);
                    *starts = (*starts).min(most);
                }
            }
            Event::TasksRetried { tasks } | Event::RunResumed { tasks, .. } => {
                for task in tasks {
                    self.terminal.remove(task);
                    self.starts.remove(task);
                }
                // A person's word grants one more start to what a cap stopped.
                let open: Vec<TaskId> =
                    self.run.open.iter().map(|at| self.run.tasks[*at as usize].spec.id.clone()).collect();
                for id in open {
                    let most = self.run.task_by_id(&id).unwrap().spec.attempts - 1;
                    let starts = self.starts.entry(id).or_insert(0);
                    *starts = (*starts).min(most);
                }
            }
            _ => {}
        }
    }

    fn check_after(&mut self) {
        for task in &self.run.tasks {
            let id = &task.spec.id;
            let status = task.status();
            if let Some(was) = self.terminal.get(id) {
                assert_eq!(*was, status, "{id} left a terminal state");
            } else if status.is_terminal() {
                self.terminal.insert(id.clone(), status);
            }
            if status == TaskStatus::Completed && task.spec.flow.grow.is_some() {
                let parts = || task.grown.parts.iter().map(|p| self.run.tasks[*p as usize].status());
                assert!(parts().all(TaskStatus::is_terminal), "{id} completed before its parts ended");
                let done = parts().filter(|s| *s == TaskStatus::Completed).count();
                assert!(done >= task.parts_needed() as usize, "{id} completed with {done} parts");
                assert!(task.grown.revision > 0, "{id} completed before it grew");
            }
            if status == TaskStatus::Completed && task.has_worker() {
                let last = task.attempts.last().and_then(|a| a.end.as_ref()).map(|e| e.outcome.clone());
                assert_eq!(last, Some(Outcome::Clean), "{id} completed without a clean end");
                for gate in task.spec.gates.iter().filter(|g| self.run.gate_counts(**g)) {
                    let green = task
                        .gates
                        .iter()
                        .rev()
                        .find(|t| t.gate == *gate && t.end.is_some())
                        .and_then(|t| t.end.as_ref());
                    assert!(
                        green.is_some_and(GateEnd::is_green),
                        "{id} completed with gate {gate} not green"
                    );
                }
            }
        }
        assert!(self.run.slots_used() <= self.run.spec.limits.run.max(1), "the run's limit is exceeded");
        assert!(self.run.slots_used() <= self.slots.max(1), "the machine's limit is exceeded");
        for (role, limit) in &self.run.spec.limits.roles {
            assert!(
                self.run.busy_by_role.get(role).copied().unwrap_or(0) <= *limit,
                "the limit of {role} is exceeded"
            );
        }
    }

    fn world(&self) -> World {
        World {
            slots: self.slots.saturating_sub(self.run.slots_used()),
            tree: Turn::Free,
            secrets: true,
            may_restart: true,
        }
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            let world = self.world();
            let events = decide(&self.run, self.now, &world);
            assert_eq!(events, decide(&self.run, self.now, &world), "decide is a function");
            if events.is_empty() {
                explain::explained(&self.run, self.now);
                return;
            }
            for event in events {
                self.push(event);
            }
        }
        panic!("decide never settles:\n{}", self.brief());
    }

    fn feed(&mut self, input: Input) {
        if let Ok(events) = accept(&self.run, input) {
            for event in events {
                self.push(event);
            }
        }
    }

    fn perform(&mut self, effect: Effect, c: &mut Choices) {
        let usage =
            Usage { input: 10, output: 5, cost_microusd: c.pick(200) as u64, turns: 1, ..Usage::default() };
        match effect {
            Effect::Attempt { task, n } => {
                let stopping = self
                    .run
                    .wanted()
                    .iter()
                    .any(|e| matches!(e, Effect::StopAttempt { task: t, .. } if *t == task));
                let kind = if stopping { 100 } else { c.pick(12) };
                let end = |outcome: Outcome, class: Option<ErrorClass>| AttemptEnd {
                    outcome,
                    usage,
                    session: Some("s".into()),
                    model: None,
                    result: None,
                    artifacts: vec![],
                    exit: None,
                    failure: class.map(|k| Failure::new(k, "x")),
                    verdict: None,
                };
                let input = match kind {
                    1 => Input::AttemptLost { task, n, usage, session: None, last: String::new() },
                    2 => Input::AttemptAbsent { task, n, reason: "no claim".into() },
                    3 => Input::Observed { task, n, usage, session: None },
                    4..=8 => {
                        let (o, k) = [
                            (Outcome::Exit(1), ErrorClass::Exit),
                            (Outcome::ProviderError, ErrorClass::RateLimit),
                            (Outcome::Silence, ErrorClass::Silence),
                            (Outcome::EmptyOutput, ErrorClass::EmptyOutput),
                            (Outcome::Signal(9), ErrorClass::Signal),
                        ][kind - 4]
                            .clone();
                        Input::AttemptEnded { task, n, end: Box::new(end(o, Some(k))), touched: None }
                    }
                    9 => {
                        let pair = Box::new((self.snapshot(), self.snapshot()));
                        Input::AttemptEnded {
                            task,
                            n,
                            end: Box::new(end(Outcome::Clean, None)),
                            touched: Some(pair),
                        }
                    }
                    100 => Input::AttemptEnded {
                        task,
                        n,
                        end: Box::new(end(Outcome::Cancelled, None)),
                        touched: None,
                    },
                    _ => Input::AttemptEnded {
                        task,
                        n,
                        end: Box::new(end(Outcome::Clean, None)),
                        touched: None,
                    },
                };
                self.feed(input);
            }
            Effect::Expand { task, n } => {
                let parent = self.run.task_by_id(&task).unwrap().spec.clone();
                let grow = parent.flow.grow.unwrap();
                let made = if c.pick(5) == 1 {
                    Err(vec!["no plan".to_owned()])
                } else {
                    let least = usize::from(matches!(grow, Grow::Plan(_)));
                    let count = (least + c.pick(3)).min(grow.max() as usize);
                    let mut made: Vec<TaskSpec> = Vec::new();
                    for i in 0..count {
                        let mut new = part(c, self.run.spec.gates.len());
                        new.id = TaskId::parse(&format!("{task}.{i}")).unwrap();
                        new.flow.parent = Some(task.clone());
                        new.flow.item = i.to_string();
                        new.depends_on =
                            made.iter().filter(|_| c.pick(3) == 1).map(|t| t.id.clone()).collect();
                        made.push(new);
                    }
                    Ok(made)
                };
                self.feed(Input::Expanded { task, n, made });
            }
            Effect::Sweep { task, n } => {
                let left = if c.pick(8) == 1 { vec!["sleep (12)".to_owned()] } else { vec![] };
                self.feed(Input::AttemptSwept { task, n, left });
            }
            Effect::KeepTree { task, n, before } => {
                if c.pick(12) == 1 {
                    self.feed(Input::TreeNotKept {
                        task,
                        failure: Failure::new(ErrorClass::Internal, "git"),
                    });
                } else {
                    let snapshot = self.snapshot();
                    self.feed(Input::TreeKept { task, n, before, snapshot, head_was: None });
                }
            }
            Effect::Gate(key) => match c.pick(6) {
                1 => self.feed(Input::GateLost { key }),
                k => {
                    let outcome = if k == 2 || k == 3 { Outcome::Exit(1) } else { Outcome::Clean };
                    let moved = k == 4;
                    let end = GateEnd {
                        outcome,
                        ms: 5,
                        tree_before: Some("a".into()),
                        tree_after: Some(if moved { "b" } else { "a" }.into()),
                        tail: String::new(),
                        path: String::new(),
                    };
                    self.feed(Input::GateEnded { key, end: Box::new(end) });
                }
            },
            Effect::Steer { id, .. } => self.feed(Input::SteerDelivered { id, error: String::new() }),
            Effect::StopAttempt { .. } | Effect::StopGate(_) => {}
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        self.snapshots += 1;
        Snapshot { n: self.snapshots, commit: "c".into(), tree: format!("t{}", self.snapshots), head: None }
    }

    /// What matters of the state when a law is broken.
    fn brief(&self) -> String {
        let r = &self.run;
        let phases: Vec<_> =
            r.tasks.iter().map(|t| format!("{}:{:?} used {}", t.spec.id, t.phase, t.used)).collect();
        let tail: Vec<_> =
            self.journal.iter().rev().take(12).rev().map(|(at, e)| format!("{at} {e:?}")).collect();
        format!(
            "{phases:?}\nready {:?} due {:?} pending {:?} busy {:?} turn {:?} baseline {:?} reached {:?} waiting {:?} now {} left out {:?}\n{}",
            r.ready,
            r.due,
            r.pending,
            r.busy,
            r.turn,
            r.baseline,
            r.reached,
            r.waiting,
            self.now,
            r.left_out,
            tail.join("\n")
        )
    }

    fn crash(&self) {
        let replayed = Run::replay(self.run.id, self.journal.iter().map(|(at, e)| (*at, e))).unwrap();
        assert_eq!(replayed, self.run, "replay equals live");
        assert_eq!(replayed.wanted(), self.run.wanted());
        let bytes = serde_json::to_vec(&self.run).unwrap();
        let read: Run = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read, self.run, "a state snapshot is the state");
        explain::replays(&self.journal, &self.run);
    }

    fn request(&mut self, c: &mut Choices) {
        let task = TaskId::for_step(1 + c.pick(8), "t");
        let input = match c.pick(11) {
            8 => Input::Approve { question: None, by: "user".into() },
            9 => Input::Reject { question: None, text: "otherwise".into(), by: "user".into() },
            10 => Input::Reject { question: None, text: String::new(), by: "user".into() },
            0 => Input::Retry { tasks: vec![] },
            1 => Input::Cancel { task: None, by: "user".into() },
            2 => Input::Cancel { task: Some(task), by: "user".into() },
            3 => Input::Resume { caps: None },
            4 => Input::Resume { caps: Some(Caps { microusd: Some(50_000), ..Caps::default() }) },
            5 => Input::Retry { tasks: vec![task] },
            6 => Input::Steer { id: format!("s{}", self.run.seq), task, text: "go".into() },
            _ => Input::SettleGates { answer: [RedGate::Mend, RedGate::LeaveOut, RedGate::Stop][c.pick(3)] },
        };
        self.feed(input);
    }
}

fn live(choices: Vec<u16>) {
    let mut c = Choices { values: choices, at: 0 };
    let mut sim = Sim::new(&mut c);
    sim.settle();
    for _ in 0..2_000 {
        let effects: Vec<Effect> = sim.run.wanted();
        let done = effects.is_empty() && (sim.run.is_ended() || sim.run.blocked.is_some());
        if done && c.spent() {
            break;
        }
        match c.pick(10) {
            8 if !c.spent() => sim.crash(),
            9 if !c.spent() => sim.request(&mut c),
            _ if !effects.is_empty() => {
                let i = c.pick(effects.len());
                sim.now += 7;
                sim.perform(effects[i].clone(), &mut c);
            }
            _ => match sim.run.next_due(sim.now) {
                Some(due) => sim.now = due,
                None if sim.run.baseline == Baseline::Asked && c.spent() => {
                    sim.feed(Input::SettleGates { answer: RedGate::Mend });
                }
                None if sim.run.asked.is_some() && c.spent() => {
                    sim.feed(Input::Approve { question: None, by: "user".into() });
                }
                None => {
                    let named = sim.run.asked.is_some()
                        || sim.run.is_ended()
                        || sim.run.blocked.is_some()
                        || sim.run.waiting.is_some();
                    assert!(named, "the run is stuck:\n{}", sim.brief());
                }
            },
        }
        sim.settle();
    }
    sim.crash();
    explain::tampering_is_found(&sim.journal, &sim.run);
    let status = sim.run.status();
    let named = status.is_terminal() || matches!(status, RunStatus::Blocked);
    assert!(named, "the run did not end: {status}\n{}", sim.brief());
    for task in &sim.run.tasks {
        assert!(!matches!(task.phase, Phase::Running(_)) || !status.is_terminal());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_or_waits_for_something_named(choices in proptest::collection::vec(any::<u16>(), 0..300)) {
        live(choices);
    }

    /// Fold is total: any event after any state is folded or refused, and a refusal changes nothing.
    #[test]
    fn fold_is_total(choices in proptest::collection::vec(any::<u16>(), 0..200), extra in proptest::collection::vec(any::<u16>(), 0..60)) {
        let mut c = Choices { values: choices, at: 0 };
        let mut sim = Sim::new(&mut c);
        sim.settle();
        while !c.spent() {
            let effects = sim.run.wanted();
            if effects.is_empty() { break; }
            let i = c.pick(effects.len());
            sim.perform(effects[i].clone(), &mut c);
            sim.settle();
        }
        let mut c = Choices { values: extra, at: 0 };
        let pool: Vec<Event> = sim.journal.iter().map(|(_, e)| e.clone()).collect();
        while !c.spent() {
            let event = arbitrary(&mut c, &pool);
            let before = sim.run.clone();
            let seq = sim.run.seq + 1;
            if sim.run.apply(seq, before.updated_at, &event).is_err() {
                prop_assert_eq!(&before, &sim.run, "a refusal changed the state");
            }
        }
    }
}

fn arbitrary(c: &mut Choices, pool: &[Event]) -> Event {
    let task = TaskId::for_step(1 + c.pick(9), "t");
    let n = c.pick(4) as u32;
    match c.pick(12) {
        0 => Event::RunCompleted { proof: windlass_events::Proof::Proven },
        1 => Event::TaskCompleted { task, proof: windlass_events::Proof::Proven },
        2 => Event::TaskFailed { task, failure: Failure::new(ErrorClass::Exit, "x") },
        3 => Event::AttemptSwept { task, n, left: vec![] },
        4 => Event::AttemptVoided { task, n, reason: "x".into() },
        5 => Event::TasksRetried { tasks: vec![task] },
        6 => Event::RunCancelled {},
        7 => Event::TurnTaken { task: (c.pick(2) == 0).then_some(task) },
        8 => Event::AttemptStarted {
            task,
            n,
            cause: windlass_events::event::Cause::First,
            session: None,
            model: None,
        },
        _ => pool[c.pick(pool.len())].clone(),
    }
}

/// 256 in the inner loop; CI sets `WINDLASS_CASES=10000`.
fn cases() -> u32 {
    std::env::var("WINDLASS_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256)
}
