//! What simulated histories found in the machine, each as the few steps that show it.

use std::collections::BTreeMap;
use windlass_core::{Effect, Input, Run};
use windlass_engine::machine::{AskError, CommitFailure, In, Machine, Out, Settings};
use windlass_events::event::{AttemptEnd, Snapshot};
use windlass_events::outcome::Failure;
use windlass_events::spec::{
    Caps, GateSource, GateSpec, Limits, RedGate, RunSpec, Shape, TaskSpec, TreeSpec,
};
use windlass_events::{Access, ErrorClass, Event, Millis, Outcome, RunId, RuntimeKind, TaskId, Usage};

const A: u64 = 1;
const B: u64 = 2;

fn id(n: u64) -> RunId {
    RunId::from_number(n)
}

fn task() -> TaskId {
    TaskId::for_step(1, "t")
}

/// A run of one task in the tree `/r`.
fn run(access: Access, gates: usize) -> Vec<Event> {
    let gate = |i| GateSpec { command: format!("g{i}"), source: GateSource::User, limit_ms: 1_000 };
    let spec = RunSpec {
        goal: "g".into(),
        shape: Shape::default(),
        cwd: "/r".into(),
        tree: TreeSpec { root: "/r".into(), git: false, branch: None, head: None },
        caps: Caps::default(),
        limits: Limits { run: 4, roles: BTreeMap::new() },
        gates: (0..gates).map(gate).collect(),
        red_gate: RedGate::Mend,
        repair_rounds: 0,
        require_proof: false,
        env: BTreeMap::new(),
        secret_names: vec![],
        agents: BTreeMap::new(),
        programs: BTreeMap::new(),
        skills: BTreeMap::new(),
        script: None,
        notices: vec![],
        task_count: 1,
        approve_plan: false,
        tied: false,
    };
    let task = TaskSpec {
        id: task(),
        step: "t".into(),
        role: "executor".into(),
        agent: "a".into(),
        instructions: String::new(),
        depends_on: vec![],
        runtime: RuntimeKind::Pi,
        model: None,
        access,
        cold: false,
        check: false,
        shared_writes: false,
        repeat_never: false,
        gates: vec![],
        reads: vec![],
        output: None,
        skills: vec![],
        attempts: 3,
        silence_ms: 0,
        wall_ms: 0,
        flow: windlass_events::Flow::default(),
    };
    vec![Event::RunCreated(Box::new(spec)), Event::TasksPlanned { tasks: vec![task] }]
}

/// A machine whose commits become durable when the test says so, and that gets every tree it asks for.
struct Bench {
    machine: Machine,
    journals: BTreeMap<RunId, Vec<(Millis, Event)>>,
    commit: Option<(u64, Vec<windlass_engine::machine::Part>)>,
    seen: Vec<Out>,
    now: Millis,
}

impl Bench {
    fn new(slots: u32) -> Self {
        let settings = Settings { slots, boot: "b".into(), version: "v".into(), may_restart: true };
        let machine = Machine::new(settings);
        Self { machine, journals: BTreeMap::new(), commit: None, seen: vec![], now: 1_000 }
    }

    fn give(&mut self, input: In) {
        for out in self.machine.step(input, self.now) {
            match out {
                Out::Commit { batch, parts } => self.commit = Some((batch, parts)),
                Out::WantTree { root } => {
                    self.seen.push(Out::WantTree { root: root.clone() });
                    self.give(In::Tree { root, holder: None });
                }
                other => self.seen.push(other),
            }
        }
    }

    /// The commit that is under way becomes durable.
    fn durable(&mut self) {
        let Some((batch, parts)) = self.commit.take() else { return };
        let results = parts
            .into_iter()
            .map(|p| {
                let journal = self.journals.entry(p.run).or_default();
                journal.extend(p.events);
                Ok(journal.len() as u64)
            })
            .collect();
        self.give(In::Committed { batch, results });
    }

    /// Until nothing more is to be made durable.
    fn settle(&mut self) {
        while self.commit.is_some() {
            self.durable();
        }
    }

    fn create(&mut self, n: u64, events: Vec<Event>) {
        self.give(In::Create { request: n, run: id(n), epoch: n, events, secrets: true });
    }

    fn end(&mut self, n: u64, attempt: u32, outcome: Outcome, class: Option<ErrorClass>) {
        let end = AttemptEnd {
            outcome,
            usage: Usage::default(),
            session: None,
            model: None,
            result: None,
            artifacts: vec![],
            exit: None,
            failure: class.map(|c| Failure::new(c, "x")),
            verdict: None,
        };
        let input = Input::AttemptEnded { task: task(), n: attempt, end: Box::new(end), touched: None };
        self.give(In::Run(id(n), input));
    }

    fn has_performed(&self, n: u64) -> bool {
        let attempt = |e: &Effect| matches!(e, Effect::Attempt { .. } | Effect::Gate(_));
        self.seen
            .iter()
            .any(|o| matches!(o, Out::Perform { run, effect, .. } if *run == id(n) && attempt(effect)))
    }

    fn has_freed(&self) -> bool {
        self.seen.iter().any(|o| matches!(o, Out::FreeTree { .. }))
    }

    fn answers(&self, request: u64) -> Vec<&Result<u64, AskError>> {
        let of = |o: &&Out| matches!(o, Out::Answer { request: r, .. } if *r == request);
        self.seen
            .iter()
            .filter(of)
            .filter_map(|o| if let Out::Answer { result, .. } = o { Some(result) } else { None })
            .collect()
    }
}

#[test]
fn the_baseline_waits_for_a_slot() {
    let mut b = Bench::new(1);
    b.create(A, run(Access::Read, 0));
    b.create(B, run(Access::Read, 1));
    b.settle();
    assert!(b.has_performed(A) && !b.has_performed(B));
    assert_eq!(b.machine.slots_used(), 1);
    b.end(A, 1, Outcome::Clean, None);
    b.settle();
    assert!(b.has_performed(B), "the slot that became free is given on");
}

/// A slot that an input frees, not a decision, is given on as well.
#[test]
fn a_slot_freed_by_a_retry_is_given_on() {
    let mut b = Bench::new(1);
    b.create(A, run(Access::Read, 0));
    b.create(B, run(Access::Read, 0));
    b.settle();
    b.end(A, 1, Outcome::ProviderError, Some(ErrorClass::RateLimit));
    b.settle();
    assert!(b.has_performed(B));
}

/// The input of one run passes the instant at which another has something to do.
#[test]
fn no_timer_is_missed() {
    let mut b = Bench::new(4);
    b.create(A, run(Access::Read, 0));
    b.create(B, run(Access::Read, 0));
    b.settle();
    b.end(A, 1, Outcome::ProviderError, Some(ErrorClass::RateLimit));
    b.settle();
    let due = b.machine.next_due().unwrap();
    b.now = due + 1;
    b.end(B, 1, Outcome::Clean, None);
    b.settle();
    let second = Effect::Attempt { task: task(), n: 2 };
    assert!(b.seen.iter().any(|o| matches!(o, Out::Perform { effect, .. } if *effect == second)));
}

#[test]
fn the_tree_is_given_back_when_that_is_durable() {
    let mut b = Bench::new(4);
    b.create(A, run(Access::Write, 0));
    b.settle();
    b.end(A, 1, Outcome::Clean, None);
    assert!(!b.has_freed(), "the turn's end is not durable yet");
    b.settle();
    assert!(b.has_freed());
}

#[test]
fn the_turn_passes_on_when_its_end_is_durable() {
    let mut b = Bench::new(4);
    b.create(A, run(Access::Write, 0));
    b.settle();
    b.create(B, run(Access::Write, 0));
    b.settle();
    b.end(A, 1, Outcome::Clean, None);
    let part_of_b =
        |b: &Bench| b.commit.as_ref().is_some_and(|(_, parts)| parts.iter().any(|p| p.run == id(B)));
    assert!(b.commit.is_some() && !part_of_b(&b));
    b.durable();
    assert!(part_of_b(&b), "and now it is the other's");
    b.settle();
    assert!(b.has_performed(B));
}

#[test]
fn a_tree_that_nobody_wants_any_more_is_given_back() {
    let mut b = Bench::new(4);
    b.create(A, run(Access::Write, 0));
    b.settle();
    // B asks for nothing new: the tree is ours. Its run ends before it ever has the turn.
    b.create(B, run(Access::Write, 0));
    b.settle();
    b.give(In::Ask { request: 9, run: id(B), input: Input::Cancel { task: None, by: "user".into() } });
    b.end(A, 1, Outcome::Clean, None);
    b.settle();
    assert!(b.has_freed());
}

#[test]
fn a_run_opened_with_the_turn_asks_for_its_tree() {
    let mut b = Bench::new(4);
    b.create(A, run(Access::Write, 0));
    b.settle();
    let journal = b.journals[&id(A)].clone();
    let state = Run::replay(id(A), journal.iter().map(|(at, e)| (*at, e))).unwrap();
    assert!(state.holds_turn());
    let mut next = Bench::new(4);
    next.journals = b.journals;
    next.give(In::Opened { run: Box::new(state), epoch: 7, secrets: true });
    assert!(next.seen.iter().any(|o| matches!(o, Out::WantTree { .. })));
}

#[test]
fn a_run_that_is_read_again_keeps_its_turn() {
    let mut b = Bench::new(4);
    b.create(A, run(Access::Write, 0));
    b.settle();
    b.create(B, run(Access::Write, 0));
    b.settle();
    let input = Input::Notice { text: "x".into() };
    b.give(In::Run(id(A), input));
    let (batch, _) = b.commit.take().unwrap();
    b.give(In::Committed { batch, results: vec![Err(CommitFailure::Unavailable("full".into()))] });
    b.settle();
    assert!(!b.has_performed(B), "its worker is alive in the tree");
    b.give(In::Gone(id(A)));
    b.settle();
    assert!(b.has_performed(B));
}

#[test]
fn a_repeated_request_waits_for_what_it_rests_on() {
    let mut b = Bench::new(4);
    b.create(A, run(Access::Read, 0));
    b.settle();
    let cancel = || Input::Cancel { task: None, by: "user".into() };
    b.give(In::Ask { request: 8, run: id(A), input: cancel() });
    b.give(In::Ask { request: 9, run: id(A), input: cancel() });
    assert!(b.answers(8).is_empty() && b.answers(9).is_empty());
    b.durable();
    assert!(matches!(b.answers(8)[..], [Ok(_)]) && matches!(b.answers(9)[..], [Ok(_)]));
}

#[test]
fn a_run_that_is_read_twice_loses_no_answer() {
    let mut b = Bench::new(4);
    b.create(A, run(Access::Read, 0));
    b.settle();
    let journal = b.journals[&id(A)].clone();
    let state = || Box::new(Run::replay(id(A), journal.iter().map(|(at, e)| (*at, e))).unwrap());
    b.give(In::Ask { request: 9, run: id(A), input: Input::Cancel { task: None, by: "user".into() } });
    b.give(In::Opened { run: state(), epoch: A, secrets: true });
    b.settle();
    assert!(matches!(b.answers(9)[..], [Ok(_)]));
}

/// Keeping the tree before the same attempt is wanted anew after a run was blocked, and a blocked run keeps no slot.
#[test]
fn the_tree_is_kept_again_after_a_block() {
    let mut events = run(Access::Write, 0);
    if let Some(Event::RunCreated(spec)) = events.first_mut() {
        spec.tree.git = true;
        spec.caps.wall_ms = Some(1_000);
    }
    let mut b = Bench::new(4);
    b.create(A, events);
    b.settle();
    let keep = Effect::KeepTree { task: task(), n: 1, before: true };
    let kept = |b: &Bench| {
        b.seen.iter().filter(|o| matches!(o, Out::Perform { effect, .. } if *effect == keep)).count()
    };
    assert_eq!(kept(&b), 1);
    b.now += 2_000;
    b.give(In::Tick);
    let snapshot = Snapshot { n: 1, commit: "c".into(), tree: "t".into(), head: None };
    let input = Input::TreeKept { task: task(), n: 1, before: true, snapshot, head_was: None };
    b.give(In::Run(id(A), input));
    b.settle();
    assert!(b.machine.run(id(A)).unwrap().blocked.is_some());
    assert_eq!(b.machine.slots_used(), 0, "a blocked run keeps nobody waiting");
    b.give(In::Ask { request: 9, run: id(A), input: Input::Resume { caps: None } });
    b.settle();
    assert_eq!(kept(&b), 2);
}

fn left(request: &str) -> In {
    In::Left { run: id(A), id: request.into(), input: Input::Cancel { task: None, by: "user".into() } }
}

impl Bench {
    /// The requests that the commit under way consumes.
    fn consumes(&self) -> Vec<String> {
        self.commit.iter().flat_map(|(_, parts)| parts).flat_map(|p| p.consumes.clone()).collect()
    }

    fn requested(&self) -> usize {
        let journal = &self.journals[&id(A)];
        journal.iter().filter(|(_, e)| matches!(e, Event::CancelRequested { .. })).count()
    }
}

/// A request that was left with a run is consumed with its events, once, however often it is found; what has nothing to change
/// is consumed too.
#[test]
fn a_request_that_was_left_is_taken_once() {
    let mut b = Bench::new(4);
    b.create(A, run(Access::Read, 0));
    b.settle();
    b.give(left("r1"));
    assert_eq!(b.consumes(), ["r1"]);
    b.give(left("r1"));
    b.durable();
    assert_eq!(
        b.commit.as_ref().map(|_| ()),
        None,
        "it is found again before the store knows that it is gone"
    );
    b.give(left("r2"));
    assert_eq!(b.consumes(), ["r2"]);
    b.settle();
    assert_eq!(b.requested(), 1);
}

/// When the commit fails it is neither done nor consumed, and is found with the run when that is read again.
#[test]
fn a_request_that_was_left_outlives_a_failed_commit() {
    let mut b = Bench::new(4);
    b.create(A, run(Access::Read, 0));
    b.settle();
    b.give(left("r1"));
    let (batch, _) = b.commit.take().unwrap();
    b.give(In::Committed { batch, results: vec![Err(CommitFailure::Conflict("gone".into()))] });
    b.give(left("r1"));
    assert!(b.commit.is_none(), "the run is not here");
    let journal = b.journals[&id(A)].clone();
    let state = Run::replay(id(A), journal.iter().map(|(at, e)| (*at, e))).unwrap();
    b.give(In::Opened { run: Box::new(state), epoch: 7, secrets: true });
    b.give(left("r1"));
    let taken = |b: &Bench| b.consumes() == ["r1"];
    while b.commit.is_some() && !taken(&b) {
        b.durable();
    }
    assert!(taken(&b));
    b.settle();
    assert_eq!(b.requested(), 1);
}

/// What a person said of a plan must survive a power cut before the answer leaves, as any other word of theirs.
#[test]
fn an_approval_is_synced() {
    let mut events = run(Access::Write, 0);
    if let Some(Event::RunCreated(spec)) = events.first_mut() {
        spec.approve_plan = true;
    }
    let mut b = Bench::new(4);
    b.create(A, events);
    b.settle();
    b.give(In::Ask { request: 9, run: id(A), input: Input::Approve { question: None, by: "user".into() } });
    assert!(b.commit.as_ref().is_some_and(|(_, parts)| parts.iter().all(|p| p.sync)), "{:?}", b.commit);
    b.settle();
    assert!(b.has_performed(A) || b.machine.run(id(A)).unwrap().holds_turn());
}

/// A run for which the tree is no longer what is missing does not say that it is.
#[test]
fn a_run_that_only_waits_for_a_person_does_not_wait_for_a_tree() {
    let mut events = run(Access::Write, 0);
    if let (Some(Event::RunCreated(spec)), [_, Event::TasksPlanned { tasks }]) =
        (events.first().cloned(), &mut events[..])
    {
        let mut held = TaskSpec { id: TaskId::for_step(2, "held"), access: Access::Read, ..tasks[0].clone() };
        held.flow.approve = true;
        tasks.push(held);
        events[0] = Event::RunCreated(Box::new(RunSpec { task_count: 2, ..*spec }));
    }
    let mut b = Bench::new(4);
    b.create(A, run(Access::Write, 0));
    b.settle();
    b.create(B, events);
    b.settle();
    let waits = |b: &Bench| b.machine.run(id(B)).unwrap().waiting.is_some();
    assert!(waits(&b), "another run has the turn");
    b.give(In::Ask {
        request: 9,
        run: id(B),
        input: Input::Cancel { task: Some(task()), by: "user".into() },
    });
    b.settle();
    assert!(b.machine.run(id(B)).unwrap().asked.is_some());
    assert!(!waits(&b), "nothing of it would use the tree");
}

/// A run that was taken away said by its old journal that it has the turn. Another one here has it in truth, and keeps the tree.
#[test]
fn a_tree_is_not_given_back_for_a_run_that_is_led_elsewhere() {
    let mut b = Bench::new(4);
    b.create(A, run(Access::Write, 0));
    b.settle();
    let mut other = Bench::new(4);
    other.create(B, run(Access::Write, 0));
    other.settle();
    let journal = &other.journals[&id(B)];
    let state = Run::replay(id(B), journal.iter().map(|(at, e)| (*at, e))).unwrap();
    b.journals.insert(id(B), journal.clone());
    b.give(In::Opened { run: Box::new(state), epoch: B, secrets: true });
    b.settle();
    b.give(In::Run(id(A), Input::Notice { text: "x".into() }));
    let (batch, _) = b.commit.take().unwrap();
    b.give(In::Committed { batch, results: vec![Err(CommitFailure::Fenced("taken".into()))] });
    assert!(b.machine.run(id(A)).is_none() && b.machine.run(id(B)).unwrap().holds_turn());
    assert!(!b.has_freed());
}

/// A reader that starts while a writer works, and ends after it, did not change the tree.
#[test]
fn a_reader_that_outlives_a_writer_is_not_blamed() {
    let mut events = run(Access::Write, 0);
    let Some(Event::TasksPlanned { tasks }) = events.last_mut() else { panic!("tasks are planned last") };
    let reader = |n, depends_on| TaskSpec {
        id: TaskId::for_step(n, "r"),
        access: Access::Read,
        depends_on,
        ..tasks[0].clone()
    };
    let (first, second) = (reader(2, vec![]), reader(3, vec![TaskId::for_step(2, "r")]));
    tasks.extend([first.clone(), second.clone()]);
    if let Some(Event::RunCreated(spec)) = events.first_mut() {
        spec.task_count = 3;
    }
    let mut b = Bench::new(4);
    b.create(A, events);
    b.settle();
    let kept = |n| Snapshot { n, commit: "c".into(), tree: format!("t{n}"), head: None };
    let ended = |task: TaskId, touched| {
        let end = AttemptEnd {
            outcome: Outcome::Clean,
            usage: Usage::default(),
            session: None,
            model: None,
            result: None,
            artifacts: vec![],
            exit: None,
            failure: None,
            verdict: None,
        };
        In::Run(id(A), Input::AttemptEnded { task, n: 1, end: Box::new(end), touched })
    };
    b.give(ended(first.id, None));
    b.settle();
    assert!(b.machine.run(id(A)).unwrap().holds_turn(), "the second reader starts beside the writer");
    b.end(A, 1, Outcome::Clean, None);
    b.settle();
    b.give(ended(second.id, Some(Box::new((kept(1), kept(2))))));
    b.settle();
    let run = b.machine.run(id(A)).unwrap();
    assert_eq!(run.status(), windlass_events::RunStatus::Completed, "{:?}", run.failure());
}
