//! Random runs.

use crate::rng::Rng;
use crate::swarm::Swarm;
use std::collections::BTreeMap;
use windlass_events::spec::{
    Caps, GateSource, GateSpec, Limits, RedGate, RunSpec, Shape, TaskSpec, TreeSpec,
};
use windlass_events::{Access, EachSpec, Event, Flow, Grow, Join, PlanSpec, RuntimeKind, TaskId};

/// The events that create a random run, of so many tasks at the most.
pub(crate) fn creation(rng: &mut Rng, swarm: &Swarm, most: u64) -> Vec<Event> {
    let count = (1 + rng.below(7)).min(most);
    let gates: Vec<GateSpec> = (0..rng.below(3))
        .map(|i| GateSpec {
            command: format!("gate {i}"),
            source: if rng.coin() { GateSource::User } else { GateSource::Config },
            limit_ms: 60_000,
        })
        .collect();
    let tasks: Vec<TaskSpec> = (0..count).map(|i| task(rng, swarm, i, gates.len())).collect();
    let mut roles = BTreeMap::new();
    if rng.coin() {
        roles.insert("reviewer".to_owned(), 1);
    }
    let root = if swarm.one_tree || rng.coin() { "/r" } else { "/other" };
    let spec = RunSpec {
        goal: "g".into(),
        shape: Shape::default(),
        cwd: root.into(),
        tree: TreeSpec { root: root.into(), git: rng.chance(3, 4), branch: None, head: None },
        caps: caps(rng),
        limits: Limits { run: 1 + u32::try_from(rng.below(4)).unwrap_or(0), roles },
        gates,
        red_gate: rng
            .pick(&[RedGate::Mend, RedGate::Ask, RedGate::LeaveOut, RedGate::Stop])
            .unwrap_or(RedGate::Mend),
        repair_rounds: u32::try_from(rng.below(3)).unwrap_or(0),
        require_proof: false,
        env: BTreeMap::new(),
        secret_names: if swarm.secrets { vec!["KEY".into()] } else { vec![] },
        agents: BTreeMap::new(),
        programs: BTreeMap::new(),
        skills: BTreeMap::new(),
        script: None,
        notices: vec![],
        task_count: u32::try_from(count).unwrap_or(1),
        approve_plan: swarm.approvals && rng.chance(1, 3),
        tied: false,
    };
    let mut events = vec![Event::RunCreated(Box::new(spec))];
    // Large plans come in portions.
    let (first, rest) = tasks.split_at(rng.index(tasks.len() + 1));
    for portion in [first, rest] {
        if !portion.is_empty() {
            events.push(Event::TasksPlanned { tasks: portion.to_vec() });
        }
    }
    events
}

/// Caps that are soon reached, or none.
pub(crate) fn caps(rng: &mut Rng) -> Caps {
    Caps {
        microusd: rng.coin().then(|| 300 + rng.below(2_000)),
        tokens: rng.chance(1, 4).then(|| 100 + rng.below(400)),
        unpriced_tokens: None,
        wall_ms: rng.chance(1, 3).then(|| 5_000 + rng.below(100_000)),
    }
}

fn task(rng: &mut Rng, swarm: &Swarm, i: u64, gates: usize) -> TaskSpec {
    let mut task = plain(rng, i, gates);
    task.flow.approve = swarm.approvals && rng.chance(1, 7);
    if swarm.grows && rng.chance(1, 3) {
        task.flow.grow = Some(grow(rng, &task, gates));
        // Who writes a plan has a result.
        task.runtime = RuntimeKind::Pi;
    }
    task
}

/// What a task grows into.
fn grow(rng: &mut Rng, task: &TaskSpec, gates: usize) -> Grow {
    let max = 1 + u32::try_from(rng.below(4)).unwrap_or(0);
    if rng.coin() {
        let roles = ["executor", "tester"].map(|role| (role.to_owned(), part(rng, role, gates)));
        let replans = u32::try_from(rng.below(3)).unwrap_or(0);
        return Grow::Plan(Box::new(PlanSpec { max, replans, roles: roles.into() }));
    }
    let join = match rng.below(3) {
        0 => Join::AtLeast(1),
        1 => Join::AtLeast(2),
        _ => Join::All,
    };
    let over = rng.pick(&task.depends_on);
    let part = part(rng, "executor", gates);
    let to_the_end = rng.chance(1, 3);
    Grow::Each(Box::new(EachSpec { over, max, join, to_the_end, task: part }))
}

/// What grows from a task.
fn part(rng: &mut Rng, role: &str, gates: usize) -> TaskSpec {
    let mut part = plain(rng, 0, gates);
    part.role = role.to_owned();
    part.depends_on.clear();
    part.instructions = "do {item}".to_owned();
    part
}

fn plain(rng: &mut Rng, i: u64, gates: usize) -> TaskSpec {
    let model = rng.coin();
    TaskSpec {
        id: id(i),
        step: format!("t{i}"),
        role: if rng.coin() { "executor" } else { "reviewer" }.to_owned(),
        agent: "a".into(),
        instructions: String::new(),
        depends_on: (0..i).filter(|_| rng.chance(1, 3)).map(id).collect(),
        runtime: if model { RuntimeKind::Pi } else { RuntimeKind::Command },
        model: None,
        access: if rng.coin() { Access::Write } else { Access::Read },
        cold: false,
        check: rng.chance(1, 5),
        shared_writes: rng.chance(1, 7),
        repeat_never: rng.chance(1, 6),
        gates: (0..u32::try_from(gates).unwrap_or(0)).filter(|_| rng.coin()).collect(),
        reads: vec![],
        output: None,
        skills: vec![],
        attempts: 1 + u32::try_from(rng.below(4)).unwrap_or(0),
        silence_ms: if rng.coin() { 3_000 + rng.below(5_000) } else { 0 },
        wall_ms: if rng.coin() { 10_000 + rng.below(20_000) } else { 0 },
        flow: Flow::default(),
    }
}

/// Takes out of a run's creation what depends on clocks, or on which of several tasks is first.
pub(crate) fn steady(event: &mut Event) {
    let plain = |task: &mut TaskSpec| {
        task.silence_ms = 0;
        task.wall_ms = 0;
        task.shared_writes = false;
    };
    match event {
        Event::RunCreated(spec) => {
            spec.caps = Caps::default();
            spec.gates.iter_mut().for_each(|g| g.limit_ms = 0);
        }
        Event::TasksPlanned { tasks } => {
            for task in tasks {
                plain(task);
                if let Some(grow) = &mut task.flow.grow {
                    grow.templates_mut().into_iter().for_each(plain);
                    if let Grow::Each(each) = grow {
                        each.to_the_end = true;
                    }
                }
            }
        }
        _ => {}
    }
}

/// The id of the task at a position, from 0.
pub(crate) fn id(i: u64) -> TaskId {
    TaskId::for_step(usize::try_from(i + 1).unwrap_or(1), "t")
}
