//! What holds a task, phase by phase.

use super::run::holds;
use super::{Follows, Reason, Stopping, TaskState, TurnHolder, gate_command, state_of};
use crate::policy::{self, Next};
use crate::run::{Holder, Run};
use crate::task::{Phase, Task};
use windlass_events::event::{Cause, WaitFor};
use windlass_events::outcome::{ErrorClass, Failure};
use windlass_events::{AttemptNo, Millis, TaskStatus};

/// What holds the task, or what it is doing. Empty only at its end.
pub(super) fn reasons(run: &Run, at: u32, task: &Task, now: Millis) -> Vec<Reason> {
    match &task.phase {
        Phase::Queued => queued(run, at, task),
        Phase::Ready { not_before, cause } => ready(run, at, task, *not_before, *cause, now),
        Phase::Keeping => vec![Reason::Keeping { attempt: task.next_n(), before: true }],
        Phase::Kept => kept(run, at, task),
        Phase::Running(n) => vec![working(run, task, *n)],
        Phase::Lost(n) => vec![Reason::Sweeping { attempt: *n }],
        Phase::KeepingAfter(n) => vec![Reason::Keeping { attempt: *n, before: false }],
        Phase::Closing(n) => closing(run, at, task, *n),
        Phase::Gate { gate, n, .. } => vec![checking(run, task, *gate, *n)],
        Phase::Expanding(_) if run.cancel || task.cancel => next(Follows::Cancel),
        Phase::Expanding(n) => vec![Reason::Expanding { attempt: *n }],
        Phase::Joining => joining(run, task),
        Phase::Ended(_) => Vec::new(),
    }
}

/// What grew from it, or what follows from that.
fn joining(run: &Run, task: &Task) -> Vec<Reason> {
    if run.cancel {
        return next(Follows::Cancel);
    }
    let open = || -> Vec<TaskState> {
        let open = |at: &&u32| run.task(**at).is_some_and(|t| !matches!(t.phase, Phase::Ended(_)));
        task.grown.parts.iter().filter(open).filter_map(|at| state_of(run, *at)).collect()
    };
    let parts = || Reason::Parts { open: open(), done: task.grown.done, needed: task.parts_needed() };
    match policy::after_parts(run, task) {
        Next::Complete(proof) => next(Follows::Complete { proof }),
        Next::Fail(failure) => next(Follows::Fail { failure }),
        Next::Attention(failure) => next(Follows::Attention { failure }),
        Next::Cancelled => next(Follows::Cancel),
        Next::Again { cause, .. } => {
            next(Follows::Start { attempt: task.next_n(), cause, turn: task.takes_turn() })
        }
        Next::StopRest => vec![parts(), Reason::Next { next: Follows::StopRest }],
        Next::Nothing | Next::Expand | Next::Gate { .. } => vec![parts()],
    }
}

fn next(next: Follows) -> Vec<Reason> {
    vec![Reason::Next { next }]
}

fn queued(run: &Run, at: u32, task: &Task) -> Vec<Reason> {
    if run.cancel || (task.cancel && run.is_planned()) {
        return next(Follows::Cancel);
    }
    let mut reasons = planning(run);
    if let Some(because) = run.to_skip.get(&at).and_then(|d| run.task(*d)) {
        reasons.push(Reason::Next { next: Follows::Skip { because: because.spec.id.clone() } });
        return reasons;
    }
    let on: Vec<TaskState> = dependencies(run, task).collect();
    if on.is_empty() {
        // `decide` says the same of a task that nothing will ever make ready.
        let failure = Failure::new(ErrorClass::Internal, "nothing will ever make it ready");
        reasons.push(Reason::Next { next: Follows::Fail { failure } });
        return reasons;
    }
    reasons.push(Reason::Dependencies { on });
    reasons.extend(holds(run, Some(task)));
    reasons
}

/// What it depends on that is not completed.
pub(super) fn dependencies<'a>(run: &'a Run, task: &'a Task) -> impl Iterator<Item = TaskState> + 'a {
    task.spec
        .depends_on
        .iter()
        .filter_map(|id| state_of(run, run.position(id)?))
        .filter(|dep| dep.status != TaskStatus::Completed)
}

fn planning(run: &Run) -> Vec<Reason> {
    if run.is_planned() {
        return Vec::new();
    }
    let known = u32::try_from(run.tasks.len()).unwrap_or(u32::MAX);
    vec![Reason::Planning { known, of: run.spec.task_count }]
}

fn ready(run: &Run, at: u32, task: &Task, not_before: Millis, cause: Cause, now: Millis) -> Vec<Reason> {
    if run.cancel || (task.cancel && run.is_planned()) {
        return next(Follows::Cancel);
    }
    let mut reasons = planning(run);
    reasons.extend(holds(run, Some(task)));
    if not_before > now {
        let class = task.last_attempt().and_then(|a| a.end.as_ref()?.failure.as_ref()).map(|f| f.class);
        reasons.push(Reason::Backoff { until: not_before, used: task.used, of: task.spec.attempts, class });
        return reasons;
    }
    if run.needs_approval(task) {
        reasons.push(match &run.asked {
            Some(asked) => {
                Reason::Waiting { wait: WaitFor::Approval, on: "a person".to_owned(), since: asked.at }
            }
            None => match run.planned_anew(task).and_then(|at| state_of(run, at)) {
                Some(planner) => Reason::Tasks { live: vec![planner] },
                None => Reason::Next { next: Follows::Ask },
            },
        });
        return reasons;
    }
    let holds_turn = run.turn == Some(Holder::Task(at));
    if !holds_turn {
        slots(run, task, &mut reasons);
    }
    if task.takes_turn() {
        reasons.extend(turn(run, at));
    }
    if reasons.is_empty() {
        let turn = task.takes_turn() && !holds_turn;
        if !task.has_worker() {
            reasons.push(Reason::Next { next: Follows::Expand });
            return reasons;
        }
        reasons.push(Reason::Next { next: Follows::Start { attempt: task.next_n(), cause, turn } });
    }
    reasons
}

fn kept(run: &Run, at: u32, task: &Task) -> Vec<Reason> {
    if run.cancel || task.cancel {
        return next(Follows::Cancel);
    }
    let mut reasons = holds(run, Some(task));
    reasons.extend(turn(run, at));
    if reasons.is_empty() {
        let cause = task.kept_cause.unwrap_or(Cause::First);
        let follows = Follows::Start { attempt: task.next_n(), cause, turn: false };
        reasons.push(Reason::Next { next: follows });
    }
    reasons
}

/// The limits of the run and of the role.
fn slots(run: &Run, task: &Task, reasons: &mut Vec<Reason>) {
    let busy = |role: Option<&str>| -> Vec<TaskState> {
        let of = |at: &&u32| role.is_none_or(|r| run.task(**at).is_some_and(|t| t.spec.role == r));
        run.busy.iter().filter(of).filter_map(|at| state_of(run, *at)).collect()
    };
    let (used, limit) = (run.slots_used(), run.spec.limits.run.max(1));
    if used >= limit {
        reasons.push(Reason::RunSlots { used, limit, by: busy(None) });
    }
    let role = &task.spec.role;
    let used = run.busy_by_role.get(role).copied().unwrap_or(0);
    if let Some(limit) = run.spec.limits.roles.get(role).map(|l| (*l).max(1))
        && used >= limit
    {
        reasons.push(Reason::RoleSlots { role: role.clone(), used, limit, by: busy(Some(role)) });
    }
}

/// Who has the tree's turn, unless the task at this position has it and may use it.
fn turn(run: &Run, at: u32) -> Option<Reason> {
    let holder = match run.turn {
        Some(Holder::Task(holder)) if holder != at => {
            TurnHolder::Task { task: run.task(holder)?.spec.id.clone() }
        }
        // Said as what the whole run waits for.
        Some(Holder::Baseline) => return None,
        // Its own, or nobody's here: another run's, where that was said.
        Some(Holder::Task(_)) | None => match &run.waiting {
            Some((WaitFor::Tree, who, _)) => TurnHolder::Other { who: who.clone() },
            _ => return None,
        },
    };
    Some(Reason::Turn { holder })
}

fn working(run: &Run, task: &Task, n: AttemptNo) -> Reason {
    let attempt = task.attempt(n);
    let since = attempt.map_or(run.updated_at, |a| a.started_at);
    let stopping = if run.cancel || task.cancel {
        Some(Stopping::Cancel)
    } else {
        attempt.is_some_and(|a| a.stopped_by_cap).then_some(Stopping::Cap)
    };
    Reason::Working {
        attempt: n,
        cause: attempt.map_or(Cause::First, |a| a.cause),
        since,
        silence_ms: task.spec.silence_ms,
        until: (task.spec.wall_ms > 0).then(|| after(since, task.spec.wall_ms)),
        stopping,
    }
}

fn after(since: Millis, ms: u64) -> Millis {
    since.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn checking(run: &Run, task: &Task, gate: u32, n: u32) -> Reason {
    let since = task.gates.last().map_or(run.updated_at, |t| t.started_at);
    let limit = run.spec.gates.get(gate as usize).map_or(0, |g| g.limit_ms);
    Reason::Checking {
        command: gate_command(run, gate),
        n,
        since,
        until: after(since, limit),
        stopping: run.cancel || task.cancel,
    }
}

fn closing(run: &Run, at: u32, task: &Task, n: AttemptNo) -> Vec<Reason> {
    if run.cancel {
        return next(Follows::Cancel);
    }
    match policy::after(run, task, n, run.updated_at) {
        Next::Complete(proof) => next(Follows::Complete { proof }),
        Next::Fail(failure) => next(Follows::Fail { failure }),
        Next::Attention(failure) => next(Follows::Attention { failure }),
        Next::Cancelled => next(Follows::Cancel),
        Next::Expand | Next::StopRest | Next::Nothing => next(Follows::Expand),
        Next::Again { cause, .. } => {
            let turn = task.takes_turn() && run.turn != Some(Holder::Task(at));
            next(Follows::Start { attempt: task.next_n(), cause, turn })
        }
        Next::Gate { gate, n } => {
            // Gates go on at a cap and while a person is asked: only a blocked run starts none.
            let blocked = run.blocked.as_ref().and_then(|_| holds(run, Some(task)).into_iter().next());
            let mut reasons: Vec<Reason> = blocked.into_iter().collect();
            reasons.extend(turn(run, at));
            if reasons.is_empty() {
                let turn = run.turn.is_none();
                reasons
                    .push(Reason::Next { next: Follows::Gate { command: gate_command(run, gate), n, turn } });
            }
            reasons
        }
    }
}
