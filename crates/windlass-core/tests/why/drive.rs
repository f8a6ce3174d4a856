//! A run that is driven by hand: inputs in, decisions in a world of the test's choice.

use windlass_core::why::{Why, why_run, why_task};
use windlass_core::{Effect, Input, Run, World, accept, decide};
use windlass_events::event::{AttemptEnd, GateEnd, Snapshot};
use windlass_events::outcome::Failure;
use windlass_events::spec::{
    Caps, GateSource, GateSpec, Limits, RedGate, RunSpec, Shape, TaskSpec, TreeSpec,
};
use windlass_events::{Access, ErrorClass, Event, Millis, Outcome, RunId, RuntimeKind, TaskId, Usage};

/// A task of a test.
pub(crate) struct Made(TaskSpec);

/// A reader that is a command, with one attempt.
pub(crate) fn task(n: usize) -> Made {
    Made(TaskSpec {
        id: TaskId::for_step(n, "t"),
        step: format!("t{n}"),
        role: "executor".into(),
        agent: "a".into(),
        instructions: String::new(),
        depends_on: vec![],
        runtime: RuntimeKind::Command,
        model: None,
        access: Access::Read,
        cold: false,
        check: false,
        shared_writes: false,
        repeat_never: false,
        gates: vec![],
        reads: vec![],
        output: None,
        skills: vec![],
        attempts: 1,
        silence_ms: 300_000,
        wall_ms: 600_000,
        flow: windlass_events::Flow::default(),
    })
}

impl Made {
    pub(crate) fn after(mut self, n: usize) -> Self {
        self.0.depends_on.push(TaskId::for_step(n, "t"));
        self
    }
    pub(crate) fn access(mut self, access: Access) -> Self {
        self.0.access = access;
        self
    }
    pub(crate) fn writes(self) -> Self {
        self.access(Access::Write)
    }
    pub(crate) fn runtime(mut self, runtime: RuntimeKind) -> Self {
        self.0.runtime = runtime;
        self
    }
    pub(crate) fn model(self) -> Self {
        self.runtime(RuntimeKind::Pi)
    }
    pub(crate) fn attempts(mut self, n: u32) -> Self {
        self.0.attempts = n;
        self
    }
    pub(crate) fn gate(mut self) -> Self {
        self.0.gates.push(0);
        self
    }
    pub(crate) fn never_repeated(mut self) -> Self {
        self.0.repeat_never = true;
        self
    }
}

pub(crate) fn end(outcome: Outcome, class: Option<ErrorClass>) -> AttemptEnd {
    AttemptEnd {
        outcome,
        exit: None,
        usage: Usage::default(),
        session: None,
        model: None,
        result: None,
        artifacts: vec![],
        failure: class.map(|c| Failure::new(c, "x")),
        verdict: None,
    }
}

pub(crate) fn gate_end(outcome: Outcome) -> GateEnd {
    GateEnd {
        outcome,
        ms: 5,
        tree_before: Some("a".into()),
        tree_after: Some("a".into()),
        tail: String::new(),
        path: String::new(),
    }
}

pub(crate) fn snapshot(n: u32) -> Snapshot {
    Snapshot { n, commit: "c".into(), tree: format!("t{n}"), head: None }
}

/// A run at some point, and how it came there.
pub(crate) struct Drive {
    pub(crate) run: Run,
    pub(crate) now: Millis,
    pub(crate) world: World,
    pub(crate) journal: Vec<(Millis, Event)>,
}

impl Drive {
    pub(crate) fn new(tasks: Vec<Made>) -> Self {
        let known = tasks.len();
        Self::planned_in_part(tasks, known)
    }

    /// With only the first tasks planned.
    pub(crate) fn planned_in_part(tasks: Vec<Made>, known: usize) -> Self {
        let spec = spec(&tasks);
        let created = Event::RunCreated(Box::new(spec));
        let tasks: Vec<TaskSpec> = tasks.into_iter().map(|t| t.0).take(known).collect();
        let mut drive = Self {
            run: Run::begin(RunId::from_number(7), 1_000, &created).unwrap(),
            now: 1_000,
            world: World::open(8),
            journal: vec![(1_000, created)],
        };
        drive.push(Event::TasksPlanned { tasks });
        drive.push(Event::RunTaken { boot: "boot".into(), version: "1".into() });
        drive
    }

    /// A writing task whose gate runs after its first attempt.
    pub(crate) fn at_its_gate(task: Made) -> Self {
        let mut d = Self::new(vec![task]);
        d.settle();
        d.gate_ends(None, gate_end(Outcome::Clean));
        d.keep(1, true);
        d.end(1, end(Outcome::Clean, None));
        d.keep(1, false);
        d
    }

    /// Makes the run another one before anything happened to it.
    pub(crate) fn spec(&mut self, change: impl FnOnce(&mut RunSpec)) {
        let Event::RunCreated(spec) = &mut self.journal[0].1 else { panic!("no run") };
        change(spec);
        self.refold();
    }

    /// The state of the journal as it stands.
    pub(crate) fn refold(&mut self) {
        self.run = Run::replay(self.run.id, self.journal.iter().map(|(at, e)| (*at, e))).unwrap();
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.run.apply(self.run.seq + 1, self.now, &event).unwrap_or_else(|e| panic!("{event:?}: {e}"));
        self.journal.push((self.now, event));
    }

    /// Takes an input and decides nothing.
    pub(crate) fn accept(&mut self, input: Input) {
        for event in accept(&self.run, input).unwrap() {
            self.push(event);
        }
    }

    pub(crate) fn feed(&mut self, input: Input) {
        self.accept(input);
        self.settle();
    }

    pub(crate) fn settle(&mut self) {
        let full = self.world.slots;
        for _ in 0..100 {
            let world = World { slots: full.saturating_sub(self.run.slots_used()), ..self.world.clone() };
            let events = decide(&self.run, self.now, &world);
            if events.is_empty() {
                return;
            }
            events.into_iter().for_each(|e| self.push(e));
        }
        panic!("it never settles");
    }

    fn id(n: usize) -> TaskId {
        TaskId::for_step(n, "t")
    }

    /// Ends the live attempt of a task.
    pub(crate) fn end(&mut self, task: usize, end: AttemptEnd) {
        let n = self.run.task_by_id(&Self::id(task)).unwrap().attempts.len();
        self.feed(Input::AttemptEnded {
            task: Self::id(task),
            n: u32::try_from(n).unwrap(),
            end: Box::new(end),
            touched: None,
        });
    }

    /// Keeps the tree around an attempt of a task.
    pub(crate) fn keep(&mut self, task: usize, before: bool) {
        let wanted = self.run.wanted().into_iter().find_map(|e| match e {
            Effect::KeepTree { task: of, n, before: b } if of == Self::id(task) && b == before => Some(n),
            _ => None,
        });
        let Some(n) = wanted else { return };
        let snapshot = snapshot(self.run.next_snapshot);
        self.feed(Input::TreeKept { task: Self::id(task), n, before, snapshot, head_was: None });
    }

    fn live_gate(&self, task: Option<usize>) -> windlass_events::event::GateKey {
        let of = task.map(Self::id);
        let live = self.run.wanted().into_iter().find_map(|e| match e {
            Effect::Gate(key) if key.task == of => Some(key),
            _ => None,
        });
        live.unwrap_or_else(|| panic!("no gate of {of:?} is live"))
    }

    pub(crate) fn gate_ends(&mut self, task: Option<usize>, end: GateEnd) {
        let key = self.live_gate(task);
        self.feed(Input::GateEnded { key, end: Box::new(end) });
    }

    pub(crate) fn gate_lost(&mut self, task: usize) {
        let key = self.live_gate(Some(task));
        self.feed(Input::GateLost { key });
    }

    pub(crate) fn why(&self, task: usize) -> Why {
        let at = self.run.position(&Self::id(task)).unwrap();
        why_task(&self.run, at, self.now).unwrap()
    }

    pub(crate) fn why_run(&self) -> Why {
        why_run(&self.run, self.now)
    }
}

fn spec(tasks: &[Made]) -> RunSpec {
    let gated = tasks.iter().any(|t| !t.0.gates.is_empty());
    let gate = GateSpec { command: "make test".into(), source: GateSource::Config, limit_ms: 60_000 };
    RunSpec {
        goal: "g".into(),
        shape: Shape::default(),
        cwd: "/r".into(),
        tree: TreeSpec { root: "/r".into(), git: true, branch: None, head: None },
        caps: Caps::default(),
        limits: Limits { run: 8, ..Limits::default() },
        gates: if gated { vec![gate] } else { vec![] },
        red_gate: RedGate::Mend,
        repair_rounds: 1,
        require_proof: false,
        env: Default::default(),
        secret_names: vec![],
        agents: Default::default(),
        programs: Default::default(),
        skills: Default::default(),
        script: None,
        notices: vec![],
        task_count: u32::try_from(tasks.len()).unwrap(),
        approve_plan: false,
        tied: false,
    }
}
