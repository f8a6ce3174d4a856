//! What follows the end of an attempt or of a gate: repeat, repair, check, complete, fail, or ask a person.

use crate::run::Run;
use crate::task::{Attempt, GateTry, Task};
use windlass_events::event::Cause;
use windlass_events::outcome::{ErrorClass, Failure, Outcome};
use windlass_events::{AttemptNo, AttemptStatus, Millis, Proof};

/// Shortest back-off before a retry, in milliseconds.
const BACKOFF_MS: i64 = 2_000;
/// Longest back-off, in milliseconds.
const BACKOFF_MAX_MS: i64 = 60_000;
/// How often a gate is tried for one attempt when its shim vanishes or the tree moves under it.
const GATE_TRIES: usize = 3;
/// How often a plan that is none goes back to the worker that made it.
const PLAN_REPAIRS: u32 = 1;

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// A new attempt, not before an instant (0: at once).
    Again { not_before: Millis, cause: Cause },
    /// This gate, as this try.
    Gate { gate: u32, n: u32 },
    /// What it grows into can be read from the attempt's result.
    Expand,
    /// What grew from it and is not done is to be stopped: enough of it is.
    StopRest,
    /// Nothing before what grew from it has ended.
    Nothing,
    /// The contract held.
    Complete(Proof),
    /// The contract did not hold.
    Fail(Failure),
    /// A person must look.
    Attention(Failure),
    /// Stopped on request.
    Cancelled,
}

/// What follows for a task whose attempt `n` is over, as of `at`.
pub(crate) fn after(run: &Run, task: &Task, n: AttemptNo, at: Millis) -> Next {
    if run.cancel || task.cancel {
        return Next::Cancelled;
    }
    let Some(attempt) = task.attempt(n) else {
        return Next::Fail(Failure::new(ErrorClass::Internal, "its attempt is not in the journal"));
    };
    if !attempt.left.is_empty() {
        return Next::Attention(
            Failure::new(
                ErrorClass::NotSwept,
                format!("processes of the lost attempt {n} may still be alive: {}", attempt.left.join(", ")),
            )
            .hint("end them, then retry the task"),
        );
    }
    match attempt.status {
        AttemptStatus::Voided => return Next::Again { not_before: 0, cause: attempt.cause },
        AttemptStatus::Lost => return after_loss(task, attempt),
        _ => {}
    }
    let Some(end) = &attempt.end else {
        return Next::Fail(Failure::new(ErrorClass::Internal, "its attempt has no recorded end"));
    };
    if let Some((before, after)) = &task.touched {
        return Next::Attention(
            Failure::new(
                ErrorClass::ReadOnlyChanged,
                format!(
                    "role `{}` may only read, yet the tree changed while it ran ({} to {})",
                    task.spec.role,
                    short(&before.tree),
                    short(&after.tree)
                ),
            )
            .hint("look at the change with `windlass diff RUN TASK`"),
        );
    }
    if !end.outcome.is_clean() {
        return after_failure(run, task, attempt, at);
    }
    if end.verdict == Some(false) {
        return Next::Fail(
            Failure::new(ErrorClass::Verdict, "the verifier's verdict is FAIL")
                .hint("read its result with `windlass show RUN/TASK`"),
        );
    }
    after_gates(run, task, n)
}

fn after_loss(task: &Task, attempt: &Attempt) -> Next {
    let lost = Failure::new(ErrorClass::Lost, format!("the shim of attempt {} vanished", attempt.n));
    if task.spec.repeat_never {
        return Next::Attention(lost.hint("the step says `repeat: never`; look at the tree, then retry it"));
    }
    if task.used < task.spec.attempts {
        Next::Again { not_before: 0, cause: Cause::Continue }
    } else {
        Next::Fail(lost)
    }
}

fn after_failure(run: &Run, task: &Task, attempt: &Attempt, at: Millis) -> Next {
    let end_failure = attempt.end.as_ref().and_then(|e| e.failure.clone());
    let outcome = attempt.end.as_ref().map(|e| e.outcome.clone());
    let failure = end_failure.unwrap_or_else(|| {
        let text = outcome.as_ref().map_or_else(|| "unknown".to_owned(), Outcome::describe);
        Failure::new(ErrorClass::Internal, text)
    });
    if attempt.stopped_by_cap && outcome == Some(Outcome::Cancelled) {
        // Not a failure of the task: it goes on when a person raises the cap.
        return Next::Again { not_before: 0, cause: Cause::Continue };
    }
    let may_fall_back = matches!(
        failure.class,
        ErrorClass::Auth | ErrorClass::Quota | ErrorClass::BadRequest | ErrorClass::Context
    ) && fallback_left(run, task);
    let may_help = failure.class.is_retryable() || may_fall_back;
    if may_help && task.spec.repeat_never {
        return Next::Attention(
            failure.hint("the step says `repeat: never`; look at the tree, then retry it"),
        );
    }
    if may_help && task.used < task.spec.attempts {
        let tries = failures_in_a_row(task);
        return Next::Again {
            not_before: at.saturating_add(backoff_ms(run, task, tries)),
            cause: Cause::Retry,
        };
    }
    Next::Fail(failure)
}

fn after_gates(run: &Run, task: &Task, n: AttemptNo) -> Next {
    let mut proof = if task.spec.check {
        Proof::Proven
    } else if task.spec.gates.is_empty() {
        Proof::Unproven
    } else {
        Proof::None
    };
    for &gate in task.spec.gates.iter().filter(|g| run.gate_counts(**g)) {
        let tries: Vec<&GateTry> = task.gates.iter().filter(|t| t.gate == gate && t.attempt == n).collect();
        let next_try = u32::try_from(task.gates.iter().filter(|t| t.gate == gate).count())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        let conclusive = tries.iter().rev().find(|t| t.is_steady());
        let last_end = tries.iter().rev().find_map(|t| t.end.as_ref());
        let tried_out = tries.len() >= GATE_TRIES;
        match (conclusive, last_end) {
            (Some(done), _) if done.end.as_ref().is_some_and(|e| e.is_green()) => {
                if proof == Proof::None {
                    proof = Proof::Proven;
                }
            }
            (Some(done), _) => {
                // `find` above only yields tries that ended.
                if let Some(end) = &done.end {
                    return after_red(run, task, gate, end);
                }
            }
            (None, Some(end)) if tried_out && end.is_green() => proof = Proof::Unproven,
            (None, Some(end)) if tried_out => return after_red(run, task, gate, end),
            (None, None) if tried_out => {
                return Next::Fail(Failure::new(
                    ErrorClass::Internal,
                    format!(
                        "the gate `{}` vanished {GATE_TRIES} times without a result",
                        gate_command(run, gate)
                    ),
                ));
            }
            _ => return Next::Gate { gate, n: next_try },
        }
    }
    if proof == Proof::None || task.spec.shared_writes {
        proof = Proof::Unproven;
    }
    if task.spec.flow.grow.is_some() { after_result(task, n) } else { Next::Complete(proof) }
}

/// What follows a clean result that is to be a plan.
fn after_result(task: &Task, n: AttemptNo) -> Next {
    match &task.grown.refused {
        Some((of, reasons)) if *of == n => {
            if task.grown.refusals <= PLAN_REPAIRS && task.used < task.spec.attempts {
                return Next::Again { not_before: 0, cause: Cause::Repair };
            }
            Next::Fail(refused(reasons))
        }
        _ => Next::Expand,
    }
}

fn refused(reasons: &[String]) -> Failure {
    let shown = reasons.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
    let more = reasons.len().saturating_sub(5);
    let tail = if more > 0 { format!("; and {more} more") } else { String::new() };
    Failure::new(ErrorClass::Plan, format!("no tasks can be made of it: {shown}{tail}"))
        .hint("`windlass retry RUN` asks for it again")
}

/// What follows for a task that others grew from, by how far they are.
pub(crate) fn after_parts(run: &Run, task: &Task) -> Next {
    if let (true, Some((0, reasons))) = (task.grown.revision == 0, &task.grown.refused) {
        let list = match &task.spec.flow.grow {
            Some(windlass_events::Grow::Each(each)) => each.over.as_ref(),
            _ => None,
        };
        let failure = refused(reasons);
        return Next::Fail(match list {
            // Reading the same list again would change nothing.
            Some(list) => failure.hint(format!("`windlass retry RUN` has {list} make the list anew")),
            None => failure,
        });
    }
    let needed = task.parts_needed();
    if task.grown.done >= needed && !(run.cancel || task.cancel) {
        let to_the_end = matches!(&task.spec.flow.grow, Some(windlass_events::Grow::Each(e)) if e.to_the_end);
        return match task.grown.open {
            0 => Next::Complete(proof_of_parts(run, task)),
            _ if to_the_end => Next::Nothing,
            _ => Next::StopRest,
        };
    }
    if task.grown.open > 0 {
        return Next::Nothing;
    }
    if run.cancel || task.cancel {
        return Next::Cancelled;
    }
    let parts = || task.grown.parts.iter().filter_map(|at| run.task(*at));
    let ended = |status| parts().find(|t| t.phase == crate::task::Phase::Ended(status));
    if let Some(part) = ended(windlass_events::TaskStatus::NeedsAttention) {
        return Next::Attention(
            Failure::new(ErrorClass::Parts, format!("{} needs attention", part.spec.id))
                .hint("look at it, then `windlass retry RUN`"),
        );
    }
    if let Some(windlass_events::Grow::Plan(plan)) = &task.spec.flow.grow
        && task.grown.replans < plan.replans
        && task.used < task.spec.attempts
    {
        return Next::Again { not_before: 0, cause: Cause::Replan };
    }
    let first =
        ended(windlass_events::TaskStatus::Failed).or_else(|| ended(windlass_events::TaskStatus::Cancelled));
    let why = first.map_or_else(String::new, |t| {
        let said = t.failure.as_ref().map_or_else(|| t.status().to_string(), |f| f.message.clone());
        format!(": {} {}", t.spec.id, said.lines().next().unwrap_or_default())
    });
    let total = task.grown.parts.len();
    Next::Fail(
        Failure::new(
            ErrorClass::Parts,
            format!("{} of {total} completed, {needed} must{why}", task.grown.done),
        )
        .hint("`windlass retry RUN` does again what failed"),
    )
}

/// The weakest proof of those that completed and change or check something.
fn proof_of_parts(run: &Run, task: &Task) -> Proof {
    let mut proof = Proof::Unproven;
    for part in task.grown.parts.iter().filter_map(|at| run.task(*at)) {
        if part.phase != crate::task::Phase::Ended(windlass_events::TaskStatus::Completed) {
            continue;
        }
        match part.proof {
            Proof::Proven => proof = Proof::Proven,
            _ if part.spec.counts_for_proof() => return Proof::Unproven,
            _ => {}
        }
    }
    proof
}

fn after_red(run: &Run, task: &Task, gate: u32, end: &windlass_events::event::GateEnd) -> Next {
    // A loop is asked for by name; otherwise only a model that may write can be expected to mend anything.
    let mends = task.spec.runtime.is_model() && task.spec.access == windlass_events::Access::Write;
    let repairable = mends || task.spec.flow.rounds.is_some();
    let rounds = task.spec.flow.rounds.unwrap_or(run.spec.repair_rounds);
    if repairable && task.repairs < rounds && task.used < task.spec.attempts {
        return Next::Again { not_before: 0, cause: Cause::Repair };
    }
    let before = match run.baseline_of(gate).and_then(|t| t.end.as_ref()) {
        Some(b) if b.is_green() => "green → red",
        Some(_) => "red → red",
        None => "red",
    };
    let rounds = match task.repairs {
        0 => String::new(),
        1 => " after 1 repair round".to_owned(),
        k => format!(" after {k} repair rounds"),
    };
    Next::Fail(
        Failure::new(
            ErrorClass::Gate,
            format!(
                "gate `{}` is {before}{rounds} ({})\n{}",
                gate_command(run, gate),
                end.outcome.describe(),
                end.tail.trim_end()
            ),
        )
        .hint("see its output with `windlass logs RUN/TASK`, mend it or `windlass retry RUN`"),
    )
}

fn gate_command(run: &Run, gate: u32) -> &str {
    run.spec.gates.get(gate as usize).map_or("?", |g| g.command.as_str())
}

/// The model that the next attempt asks for: the step's, else the agent's, else one of its fallbacks after provider errors.
pub(crate) fn next_model(run: &Run, task: &Task) -> Option<String> {
    let agent = run.spec.agents.get(&task.spec.agent);
    let first = task.spec.model.clone().or_else(|| agent.and_then(|a| a.model.clone()));
    let failed = provider_failures(task);
    if failed == 0 {
        return first;
    }
    let fallbacks = agent.map_or(&[][..], |a| &a.fallback_models);
    match fallbacks.get(failed - 1).or_else(|| fallbacks.last()) {
        Some(model) => Some(model.clone()),
        None => first,
    }
}

fn fallback_left(run: &Run, task: &Task) -> bool {
    let count = run.spec.agents.get(&task.spec.agent).map_or(0, |a| a.fallback_models.len());
    provider_failures(task) <= count && count > 0
}

fn provider_failures(task: &Task) -> usize {
    task.attempts
        .iter()
        .filter(|a| a.end.as_ref().is_some_and(|e| e.outcome == Outcome::ProviderError))
        .count()
}

fn failures_in_a_row(task: &Task) -> u32 {
    let n = task.attempts.iter().rev().take_while(|a| a.status == AttemptStatus::Failed).count();
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Back-off before the `tries`-th retry: doubling, with a spread of ± 25 % that comes from the ids, not from chance.
fn backoff_ms(run: &Run, task: &Task, tries: u32) -> i64 {
    let base = BACKOFF_MS.saturating_mul(1i64 << tries.saturating_sub(1).min(10)).min(BACKOFF_MAX_MS);
    let mut seed: u64 = u64::from(tries);
    for b in run.id.as_str().bytes().chain(task.spec.id.as_str().bytes()) {
        seed = seed.wrapping_mul(0x0100_0000_01b3) ^ u64::from(b);
    }
    let spread = i64::try_from(seed % 501).unwrap_or(0) - 250;
    base + base * spread / 1_000
}

fn short(tree: &str) -> &str {
    tree.get(..10).unwrap_or(tree)
}
