//! What holds a run as a whole.

use super::{Follows, Reason, TaskState, TurnHolder, gate_command, state_of, task};
use crate::caps;
use crate::run::{Baseline, Holder, Run};
use crate::task::{Phase, Task};
use windlass_events::event::{CapKind, WaitFor};
use windlass_events::{Access, Millis, TaskId, TaskStatus};

/// What keeps everything of the run from starting, or this task of it, in the order in which `decide` looks.
pub(super) fn holds(run: &Run, task: Option<&Task>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    match (run.reached, &run.blocked) {
        (Some(cap), _) => reasons.push(reached(run, cap)),
        (None, Some(failure)) => {
            reasons.push(Reason::Blocked { failure: failure.clone(), tasks: needing(run) });
        }
        (None, None) => {}
    }
    if run.restarted {
        let said = run.waiting.as_ref().filter(|w| w.0 == WaitFor::Restart);
        let (on, since) = said.map_or((String::new(), run.updated_at), |w| (w.1.clone(), w.2));
        reasons.push(Reason::Waiting { wait: WaitFor::Restart, on, since });
    }
    if let Some((wait, on, since)) = &run.waiting {
        let holding = match wait {
            WaitFor::Environment | WaitFor::Answer | WaitFor::Quota => true,
            // Who only reads goes on while a person looks at the plan.
            WaitFor::Approval => task.is_none_or(|t| t.spec.access == Access::Write),
            // Said above; and the tree holds only who wants its turn, and is said of them.
            WaitFor::Restart | WaitFor::Tree => false,
        };
        if holding {
            reasons.push(Reason::Waiting { wait: *wait, on: on.clone(), since: *since });
        }
    }
    match run.baseline {
        Baseline::Done => {}
        // What is asked is named as a wait already, unless it waits for something else first.
        Baseline::Asked if matches!(run.waiting, Some((WaitFor::Answer, ..))) => {}
        Baseline::Open | Baseline::Asked => {
            let live = run.baseline_tries.last().filter(|_| run.baseline_live);
            reasons.push(Reason::FirstGates { command: live.map(|t| gate_command(run, t.gate)) });
        }
    }
    reasons
}

fn reached(run: &Run, cap: CapKind) -> Reason {
    let now = run.updated_at;
    let of = |u: &&caps::CapUse| u.cap == cap;
    let all = caps::in_force(run, now);
    let used = all.iter().filter(of).find(|u| u.is_reached()).or_else(|| all.iter().find(of));
    let (used, limit) = used.map_or((0, 0), |u| (u.used, u.limit));
    Reason::Cap { cap, used, limit }
}

/// Tasks that need a person.
fn needing(run: &Run) -> Vec<TaskId> {
    run.tasks
        .iter()
        .filter(|t| t.phase == Phase::Ended(TaskStatus::NeedsAttention))
        .map(|t| t.spec.id.clone())
        .collect()
}

/// What holds the run, or what it is doing. Empty only at its end.
pub(super) fn reasons(run: &Run, now: Millis) -> Vec<Reason> {
    if run.is_ended() {
        return Vec::new();
    }
    let live: Vec<TaskState> =
        run.busy.iter().filter(|at| is_live(run, **at)).filter_map(|at| state_of(run, *at)).collect();
    if run.cancel {
        return vec![Reason::Cancelling { live }];
    }
    if !run.is_planned() {
        let known = u32::try_from(run.tasks.len()).unwrap_or(u32::MAX);
        return vec![Reason::Planning { known, of: run.spec.task_count }];
    }
    let mut reasons = holds(run, None);
    if !live.is_empty() {
        reasons.push(Reason::Tasks { live });
    }
    if run.baseline == Baseline::Open
        && !run.baseline_live
        && let Some(Reason::FirstGates { command: None }) = reasons.first()
    {
        reasons.insert(0, first_gates_next(run));
    }
    if !reasons.is_empty() {
        return reasons;
    }
    // Nothing of the run itself: what holds the first of its tasks, and each kind once.
    for at in &run.open {
        let Some(t) = run.task(*at) else { continue };
        for reason in task::reasons(run, *at, t, now) {
            let is_wait = !matches!(reason, Reason::Dependencies { .. });
            if is_wait
                && !reasons.iter().any(|r| std::mem::discriminant(r) == std::mem::discriminant(&reason))
            {
                reasons.push(reason);
            }
        }
    }
    if reasons.is_empty() {
        reasons.push(Reason::Next { next: Follows::Conclude });
    }
    reasons
}

fn first_gates_next(run: &Run) -> Reason {
    match &run.waiting {
        Some((WaitFor::Tree, who, _)) => Reason::Turn { holder: TurnHolder::Other { who: who.clone() } },
        _ => Reason::Next { next: Follows::FirstGates },
    }
}

/// Whether something of the task is alive or under way.
fn is_live(run: &Run, at: u32) -> bool {
    let holder = run.turn == Some(Holder::Task(at));
    run.task(at).is_some_and(|t| match t.phase {
        Phase::Keeping
        | Phase::Running(_)
        | Phase::Lost(_)
        | Phase::KeepingAfter(_)
        | Phase::Gate { .. }
        | Phase::Expanding(_) => true,
        Phase::Kept => holder,
        Phase::Queued | Phase::Ready { .. } | Phase::Closing(_) | Phase::Joining | Phase::Ended(_) => false,
    })
}
