//! What follows by itself: a pure function of the state, the time and what the run may use of the world.

use crate::caps;
use crate::policy::{self, Next};
use crate::run::{Baseline, Holder, Run};
use crate::task::{Phase, Task};
use windlass_events::event::{Cause, Event, GateKey, WaitFor};
use windlass_events::outcome::{ErrorClass, Failure};
use windlass_events::spec::{GateSource, RedGate};
use windlass_events::{AttemptStatus, Millis, Proof, TaskId, TaskStatus};

/// The most events that one decision gives; the next one goes on. Bounds the work between two inputs.
pub const BATCH: usize = 512;
/// How often a baseline gate is tried when its shim vanishes or the tree moves under it.
const BASELINE_TRIES: usize = 3;

/// The tree's turn as other runs leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Nobody else holds it.
    Free,
    /// Another run does; its id, for people, or empty while that is not known.
    Other(String),
}

/// What a run may use of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// Free slots of the machine.
    pub slots: u32,
    /// The turn of the run's tree.
    pub tree: Turn,
    /// Whether the secret values of its environment are at hand.
    pub secrets: bool,
    /// Whether a run may go on by itself after a restart of the machine.
    pub may_restart: bool,
}

impl World {
    /// A world that stands in no one's way.
    pub const fn open(slots: u32) -> Self {
        Self { slots, tree: Turn::Free, secrets: true, may_restart: true }
    }
}

/// The events that follow by themselves. Empty when none does before the next input or [`Run::next_due`].
///
/// The caller folds them, in order, and asks again.
pub fn decide(run: &Run, now: Millis, world: &World) -> Vec<Event> {
    let mut out = Vec::new();
    if run.is_ended() {
        return out;
    }
    if run.cancel {
        cancel_all(run, &mut out);
        return out;
    }
    if !run.is_planned() {
        return out;
    }
    settle_pending(run, world, &mut out);
    skip(run, &mut out);
    if !out.is_empty() || run.blocked.is_some() {
        return out;
    }
    watch_caps(run, now, &mut out);
    if !out.is_empty() {
        return out;
    }
    if may_start(run, world, &mut out) {
        if run.baseline == Baseline::Done {
            start(run, now, world, &mut out);
        } else {
            baseline(run, world, &mut out);
        }
    }
    if out.is_empty() {
        conclude(run, &mut out);
    }
    out
}

fn cancel_all(run: &Run, out: &mut Vec<Event>) {
    for &at in &run.open {
        let Some(task) = run.task(at) else { continue };
        let stoppable = matches!(
            task.phase,
            Phase::Queued
                | Phase::Ready { .. }
                | Phase::Keeping
                | Phase::Kept
                | Phase::Closing(_)
                | Phase::Expanding(_)
                | Phase::Joining
        );
        if stoppable {
            out.push(Event::TaskCancelled { task: task.spec.id.clone() });
            if out.len() >= BATCH {
                return;
            }
        }
    }
    if out.is_empty() && run.open.is_empty() && !run.baseline_live {
        out.push(Event::RunCancelled {});
    }
}

fn settle_pending(run: &Run, world: &World, out: &mut Vec<Event>) {
    let mut turn_given = false;
    for &at in &run.pending {
        if out.len() >= BATCH {
            return;
        }
        let Some(task) = run.task(at) else { continue };
        let id = || task.spec.id.clone();
        match task.phase {
            Phase::Closing(n) => match policy::after(run, task, n, run.updated_at) {
                Next::Complete(proof) => out.push(Event::TaskCompleted { task: id(), proof }),
                Next::Fail(failure) => out.push(Event::TaskFailed { task: id(), failure }),
                Next::Attention(failure) => out.push(Event::TaskNeedsAttention { task: id(), failure }),
                Next::Cancelled => out.push(Event::TaskCancelled { task: id() }),
                // It goes on when a person says so.
                Next::Gate { .. } if run.blocked.is_some() => {}
                Next::Gate { gate, n } => match &world.tree {
                    Turn::Free if run.turn == Some(Holder::Task(at)) => {
                        out.push(Event::GateStarted { key: GateKey { task: Some(id()), gate, n } });
                    }
                    Turn::Free => {
                        if run.turn.is_none() && !turn_given {
                            turn_given = true;
                            out.push(Event::TurnTaken { task: Some(id()) });
                        }
                    }
                    Turn::Other(who) if !who.is_empty() && !run.is_live() => {
                        wait(run, WaitFor::Tree, who, out)
                    }
                    Turn::Other(_) => {}
                },
                Next::Again { .. } | Next::Expand | Next::StopRest | Next::Nothing => {}
            },
            Phase::Joining => match policy::after_parts(run, task) {
                Next::Complete(proof) => out.push(Event::TaskCompleted { task: id(), proof }),
                Next::Fail(failure) => out.push(Event::TaskFailed { task: id(), failure }),
                Next::Attention(failure) => out.push(Event::TaskNeedsAttention { task: id(), failure }),
                Next::Cancelled => out.push(Event::TaskCancelled { task: id() }),
                Next::StopRest => stop_rest(run, task, out),
                Next::Again { .. } | Next::Expand | Next::Gate { .. } | Next::Nothing => {}
            },
            Phase::Queued | Phase::Ready { .. } | Phase::Kept | Phase::Expanding(_) if task.cancel => {
                out.push(Event::TaskCancelled { task: id() });
            }
            _ => {}
        }
    }
}

/// Ends what grew from a task and is not needed any more.
fn stop_rest(run: &Run, task: &Task, out: &mut Vec<Event>) {
    for part in task.grown.parts.iter().filter_map(|at| run.task(*at)) {
        if out.len() >= BATCH {
            return;
        }
        if !matches!(part.phase, Phase::Ended(_)) && !part.cancel {
            out.push(Event::CancelRequested { task: Some(part.spec.id.clone()), by: "join".to_owned() });
        }
    }
}

fn skip(run: &Run, out: &mut Vec<Event>) {
    for (&at, &because) in &run.to_skip {
        if out.len() >= BATCH {
            return;
        }
        if let (Some(task), Some(dep)) = (run.task(at), run.task(because))
            && task.phase == Phase::Queued
        {
            out.push(Event::TaskSkipped { task: task.spec.id.clone(), because: dep.spec.id.clone() });
        }
    }
}

fn watch_caps(run: &Run, now: Millis, out: &mut Vec<Event>) {
    if run.open.is_empty() || run.reached.is_some() {
        return;
    }
    for used in caps::in_force(run, now) {
        if used.is_reached() {
            out.push(Event::CapReached { cap: used.cap, used: used.used, limit: used.limit });
            return;
        }
        if used.is_near() && !run.warned.contains(&used.cap) {
            out.push(Event::CapWarned { cap: used.cap, used: used.used, limit: used.limit });
            return;
        }
    }
}

/// Whether anything may start at all; tells what it waits for where not.
fn may_start(run: &Run, world: &World, out: &mut Vec<Event>) -> bool {
    if run.open.is_empty() {
        return false;
    }
    if run.restarted {
        if world.may_restart {
            out.push(Event::RunContinued { wait: WaitFor::Restart });
        } else if !run.is_live() {
            wait(run, WaitFor::Restart, "the machine was restarted; `windlass resume` goes on", out);
        }
        return false;
    }
    if !world.secrets {
        if !run.is_live() {
            wait(run, WaitFor::Environment, &run.spec.secret_names.join(", "), out);
        }
        return false;
    }
    if run.waiting.as_ref().is_some_and(|w| w.0 == WaitFor::Environment) {
        out.push(Event::RunContinued { wait: WaitFor::Environment });
        return false;
    }
    run.reached.is_none()
}

fn wait(run: &Run, wait: WaitFor, on: &str, out: &mut Vec<Event>) {
    let said = run.waiting.as_ref().is_some_and(|w| w.0 == wait && w.1 == on);
    // What it waits for a person for is named first.
    let named = wait == WaitFor::Tree && run.waiting.as_ref().is_some_and(|w| w.0 != WaitFor::Tree);
    if !said && !named {
        out.push(Event::RunWaiting { wait, on: on.to_owned() });
    }
}

fn baseline(run: &Run, world: &World, out: &mut Vec<Event>) {
    if run.baseline_live || run.baseline == Baseline::Asked {
        return;
    }
    if run.turn != Some(Holder::Baseline) || world.tree != Turn::Free {
        match &world.tree {
            Turn::Free if world.slots > 0 => out.push(Event::TurnTaken { task: None }),
            Turn::Free => {}
            Turn::Other(who) if !who.is_empty() => wait(run, WaitFor::Tree, who, out),
            Turn::Other(_) => {}
        }
        return;
    }
    for gate in 0..u32::try_from(run.spec.gates.len()).unwrap_or(u32::MAX) {
        let tries = run.baseline_tries.iter().filter(|t| t.gate == gate);
        let count = tries.clone().count();
        let steady = tries.clone().any(crate::task::GateTry::is_steady);
        if !steady && count < BASELINE_TRIES {
            // It has had its slot since it took the turn.
            let n = u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
            out.push(Event::GateStarted { key: GateKey { task: None, gate, n } });
            return;
        }
    }
    let red: Vec<u32> = (0u32..)
        .zip(&run.spec.gates)
        .filter(|(i, g)| {
            let of_project = matches!(g.source, GateSource::Config | GateSource::Detected);
            let is_red = run.baseline_of(*i).and_then(|t| t.end.as_ref()).is_none_or(|e| !e.is_green());
            of_project && is_red
        })
        .map(|(i, _)| i)
        .collect();
    if run.spec.red_gate == RedGate::Ask && !red.is_empty() {
        out.push(Event::GatesAsked { gates: red });
    } else {
        let answer = if run.spec.red_gate == RedGate::Ask { RedGate::Mend } else { run.spec.red_gate };
        out.push(Event::GatesSettled { gates: red, answer });
    }
}

fn start(run: &Run, now: Millis, world: &World, out: &mut Vec<Event>) {
    // A turn that the run holds by its journal is of use only with the tree's lease: its engine may be a new one.
    let has_tree = world.tree == Turn::Free;
    // What already holds the turn has its slot.
    for &at in &run.pending {
        if let Some(task) = run.task(at)
            && task.phase == Phase::Kept
            && has_tree
        {
            out.push(started(run, task, task.kept_cause.unwrap_or(Cause::First)));
        }
    }
    let mut slots = world.slots.min(run.spec.limits.run.max(1).saturating_sub(run.slots_used()));
    let mut by_role = run.busy_by_role.clone();
    let mut turn_free = run.turn.is_none() && has_tree;
    let mut held_up = run.turn.is_some() && !has_tree;

    let due = run.due.range(..=(now, u32::MAX)).map(|(_, at)| *at);
    // Lanes are few and each is in order; what is due came before what is merely ready.
    let mut candidates: Vec<u32> = due.take(BATCH).collect();
    if let Some(Holder::Task(holder)) = run.turn {
        // It keeps its slot, so it may go on however many others are in line.
        let waits_on = run
            .task(holder)
            .is_some_and(|t| matches!(t.phase, Phase::Ready { not_before, .. } if not_before <= now));
        candidates.retain(|at| *at != holder);
        if waits_on && has_tree {
            candidates.insert(0, holder);
        }
    }
    let open = run.ready.iter().filter(|(lane, _)| !lane.held).map(|(_, tasks)| tasks);
    if open.clone().count() <= 1 {
        candidates.extend(open.flatten().copied().take(slots as usize + 1));
    } else {
        let per_lane = open.flat_map(|lane| lane.iter().copied().take(slots as usize + 1));
        let mut merged: Vec<u32> = per_lane.collect();
        merged.sort_unstable();
        candidates.extend(merged);
    }
    let mut seen = std::collections::BTreeSet::new();
    for at in candidates {
        let Some(task) = run.task(at) else { continue };
        let Phase::Ready { cause, .. } = task.phase else { continue };
        if !seen.insert(at) {
            continue;
        }
        let holds = run.turn == Some(Holder::Task(at));
        if out.len() >= BATCH {
            break;
        }
        if holds {
            // It has kept its slot since it took the turn.
            out.push(started(run, task, cause));
            continue;
        }
        if slots == 0 || run.needs_approval(task) {
            continue;
        }
        let role = &task.spec.role;
        let limit = run.spec.limits.roles.get(role).copied().unwrap_or(u32::MAX).max(1);
        let live = by_role.get(role).copied().unwrap_or(0);
        if live >= limit {
            continue;
        }
        if !task.has_worker() {
            out.push(Event::ListWanted { task: task.spec.id.clone() });
        } else if task.takes_turn() {
            if !turn_free {
                held_up = true;
                continue;
            }
            turn_free = false;
            out.push(Event::TurnTaken { task: Some(task.spec.id.clone()) });
        } else {
            out.push(started(run, task, cause));
        }
        slots -= 1;
        *by_role.entry(role.clone()).or_insert(0) += 1;
    }
    if out.is_empty() {
        ask(run, out);
    }
    let waits_for_tree = run.waiting.as_ref().is_some_and(|w| w.0 == WaitFor::Tree);
    if out.is_empty() && waits_for_tree && !held_up && !run.wants_turn() {
        // What waited for it has ended, or may not start before somebody's word.
        out.push(Event::RunContinued { wait: WaitFor::Tree });
        return;
    }
    if let (true, true, false, Turn::Other(who)) = (out.is_empty(), held_up, run.is_live(), &world.tree)
        && !who.is_empty()
    {
        wait(run, WaitFor::Tree, who, out);
    }
}

/// Asks a person to approve what is ready and may not start without: as soon as it is, so that there is time to answer.
fn ask(run: &Run, out: &mut Vec<Event>) {
    if run.asked.is_some() {
        return;
    }
    let may_be = |at: &&u32| run.task(**at).is_some_and(|t| run.planned_anew(t).is_none());
    let held = run.ready.iter().filter(|(lane, _)| lane.held).filter_map(|(_, all)| all.iter().find(may_be));
    let Some(task) = held.min().and_then(|at| run.task(*at)) else { return };
    let by_name = task.spec.flow.approve && !task.approved;
    let task = by_name.then(|| task.spec.id.clone());
    out.push(Event::ApprovalAsked { task, plan: run.plan });
}

fn started(run: &Run, task: &Task, cause: Cause) -> Event {
    let goes_on = match cause {
        Cause::First => false,
        Cause::Person => task.last_attempt().is_some_and(|a| {
            // Whoever is told what to do otherwise knows what it did.
            let told = a.status == AttemptStatus::Completed && !task.told.is_empty();
            told || matches!(a.status, AttemptStatus::Cancelled | AttemptStatus::Lost)
        }),
        Cause::Retry => task
            .last_attempt()
            .and_then(|a| a.end.as_ref())
            .and_then(|e| e.failure.as_ref())
            .is_none_or(|f| f.class != ErrorClass::Context),
        Cause::Repair | Cause::Continue | Cause::Replan => true,
    };
    Event::AttemptStarted {
        task: task.spec.id.clone(),
        n: task.next_n(),
        cause,
        session: if goes_on { task.session().map(str::to_owned) } else { None },
        model: policy::next_model(run, task),
    }
}

/// The end of the run, or the word that nothing can start.
fn conclude(run: &Run, out: &mut Vec<Event>) {
    if run.is_live() {
        return;
    }
    if run.open.is_empty() {
        conclude_tasks(run, out);
        return;
    }
    if let Some(cap) = run.reached {
        let failure = Failure::new(
            ErrorClass::Quota,
            format!("the cap on {} is reached; nothing more starts", cap_words(cap)),
        )
        .hint(match cap {
            windlass_events::event::CapKind::Usd => {
                "`windlass resume RUN --budget-usd N` goes on with a higher cap"
            }
            windlass_events::event::CapKind::Tokens => {
                "`windlass resume RUN --budget-tokens N` goes on with a higher cap"
            }
            windlass_events::event::CapKind::Wall => "`windlass resume RUN` goes on for the same time again",
        });
        out.push(Event::RunBlocked { failure });
        return;
    }
    let idle = run.ready.is_empty() && run.due.is_empty() && run.pending.is_empty() && run.to_skip.is_empty();
    let waits = run.waiting.is_some() || run.baseline != Baseline::Done;
    if idle
        && !waits
        && let Some(task) = run.open.first().and_then(|at| run.task(*at))
    {
        out.push(Event::TaskFailed {
            task: task.spec.id.clone(),
            failure: Failure::new(ErrorClass::Internal, "nothing will ever make it ready"),
        });
    }
}

const fn cap_words(cap: windlass_events::event::CapKind) -> &'static str {
    match cap {
        windlass_events::event::CapKind::Usd => "money",
        windlass_events::event::CapKind::Tokens => "tokens",
        windlass_events::event::CapKind::Wall => "time",
    }
}

fn conclude_tasks(run: &Run, out: &mut Vec<Event>) {
    let first = |status: TaskStatus| run.tasks.iter().find(|t| t.phase == Phase::Ended(status) && !t.excused);
    if let Some(task) = first(TaskStatus::NeedsAttention) {
        let mut failure = task
            .failure
            .clone()
            .unwrap_or_else(|| Failure::new(ErrorClass::Internal, "a task needs attention"));
        failure.message = format!("{} needs attention: {}", task.spec.id, failure.message);
        out.push(Event::RunBlocked { failure });
        return;
    }
    if (run.ended_with(TaskStatus::Completed) + run.excused) as usize == run.tasks.len() {
        out.push(Event::RunCompleted { proof: proof_of_the_whole(run) });
        return;
    }
    let culprit = first(TaskStatus::Failed)
        .or_else(|| first(TaskStatus::Cancelled))
        .or_else(|| first(TaskStatus::Skipped));
    let (failure, task): (Failure, Option<TaskId>) = match culprit {
        Some(t) => (
            t.failure.clone().unwrap_or_else(|| {
                Failure::new(ErrorClass::Internal, format!("{} was {}", t.spec.id, t.status()))
            }),
            Some(t.spec.id.clone()),
        ),
        None => (Failure::new(ErrorClass::Internal, "not every task completed"), None),
    };
    let refuted = run.tasks.iter().any(|t| {
        t.phase == Phase::Ended(TaskStatus::Failed)
            && !t.excused
            && t.failure.as_ref().is_some_and(|f| matches!(f.class, ErrorClass::Gate | ErrorClass::Verdict))
    });
    let proof = if refuted { Proof::Refuted } else { Proof::None };
    out.push(Event::RunFailed { failure, task, proof });
}

/// Proven when every task that changes or checks something is; readers alone prove nothing unless they carry gates.
fn proof_of_the_whole(run: &Run) -> Proof {
    let counts = |t: &&Task| t.spec.counts_for_proof() && t.has_worker() && !t.excused;
    let mut any = false;
    for task in run.tasks.iter().filter(counts) {
        any = true;
        if task.proof != Proof::Proven {
            return Proof::Unproven;
        }
    }
    if any { Proof::Proven } else { Proof::Unproven }
}
