//! Why something ended: the rule of the core that decided, with the facts that it went by.

use super::{TaskState, gate_command, state_of, task};
use crate::run::Run;
use crate::task::{Attempt, GateTry, Task};
use serde::Serialize;
use std::collections::BTreeSet;
use windlass_events::outcome::{ErrorClass, Failure, Outcome};
use windlass_events::{AttemptNo, AttemptStatus, Proof, RunStatus, TaskId, TaskStatus};

/// A rule that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Rule {
    /// Its last attempt ended well and every gate that counts is green.
    ContractHeld {
        /// The attempt.
        attempt: AttemptNo,
        /// What that proves.
        proof: Proof,
        /// Whether its command is itself a check, so that ending well proves something.
        check: bool,
        /// Its gates.
        gates: Vec<GateFact>,
    },
    /// A new attempt might have helped, and none is left.
    AttemptsUsed {
        /// Attempts used.
        used: u32,
        /// Attempts that it may use.
        of: u32,
        /// How the last one ended.
        last: LastEnd,
    },
    /// A new attempt would not help.
    NoUseRepeating {
        /// How the last one ended.
        last: LastEnd,
    },
    /// A gate is red, and it goes back to nobody any more.
    GateRed {
        /// The gate.
        gate: GateFact,
        /// Repair rounds used.
        repairs: u32,
        /// Repair rounds that there are.
        rounds: u32,
        /// Attempts used.
        used: u32,
        /// Attempts that it may use.
        of: u32,
        /// Whether its worker is one that a gate's output can be given to.
        repairable: bool,
    },
    /// What it said is no plan or list, and nobody is asked for another.
    PlanRefused {
        /// What is wrong with it.
        reasons: Vec<String>,
    },
    /// Too few of the tasks that grew from it completed.
    PartsMissing {
        /// How many completed.
        done: u32,
        /// How many must.
        needed: u32,
        /// Those that did not.
        ended: Vec<TaskState>,
    },
    /// A gate never came to a result.
    GateVanished {
        /// The gate.
        command: String,
        /// How often it was tried.
        tries: u32,
    },
    /// A verifier said FAIL.
    Verdict {
        /// The attempt that said so.
        attempt: AttemptNo,
    },
    /// The tree could not be kept.
    TreeNotKept,
    /// Processes of a lost attempt could not be proved gone.
    NotSwept {
        /// The attempt.
        attempt: AttemptNo,
        /// The processes.
        left: Vec<String>,
    },
    /// The step says that it is not repeated by itself.
    NeverRepeated {
        /// How the last attempt ended.
        last: LastEnd,
    },
    /// A role that may only read changed the tree.
    ReadOnlyChanged {
        /// The attempt in which the tree changed.
        attempt: AttemptNo,
    },
    /// What it depends on did not complete.
    Skipped {
        /// Direct dependencies that did not.
        because: Vec<TaskState>,
        /// Where that began: dependencies of theirs that were not skipped themselves.
        began: Vec<TaskState>,
    },
    /// A person stopped it.
    Cancelled,
    /// Windlass could not do its part.
    Internal,
    /// Every task of the run is completed.
    AllCompleted {
        /// What that proves.
        proof: Proof,
    },
    /// Not every task of the run is completed, and nothing more can be done.
    TaskDecided {
        /// The task that decided, where one did.
        task: Option<TaskState>,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastEnd {
    /// Attempt.
    pub attempt: AttemptNo,
    /// Outcome; `None` of one that was lost.
    pub outcome: Option<Outcome>,
    /// How that counts for repeating.
    pub class: ErrorClass,
    /// The limit that it went past in milliseconds, where it was one of time.
    pub limit_ms: Option<u64>,
}

/// What a gate came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GateFact {
    /// Command.
    pub command: String,
    /// Whether it was green before anything was done; `None` where it did not run then.
    pub before: Option<bool>,
    /// Whether it is green; `None` where it never came to a result.
    pub green: Option<bool>,
    /// Whether the tree stood still meanwhile, so that the result is about one and the same.
    pub steady: bool,
    /// How often it was tried for this attempt.
    pub tries: u32,
    /// Whether a person said that it does not count.
    pub left_out: bool,
}

/// The rule that ended a task; `None` while it goes on.
pub(super) fn of_task(run: &Run, task: &Task) -> Option<Rule> {
    let crate::task::Phase::Ended(status) = task.phase else { return None };
    Some(match status {
        TaskStatus::Completed => completed(run, task),
        TaskStatus::Failed => failed(run, task),
        TaskStatus::NeedsAttention => attention(run, task),
        TaskStatus::Skipped => skipped(run, task),
        TaskStatus::Cancelled => Rule::Cancelled,
        // No task ends in these.
        TaskStatus::Queued
        | TaskStatus::Ready
        | TaskStatus::Running
        | TaskStatus::Waiting
        | TaskStatus::Verifying => Rule::Internal,
    })
}

/// The rule that ended a run; `None` while it goes on.
pub(super) fn of_run(run: &Run) -> Option<Rule> {
    let end = run.end.as_ref()?;
    Some(match end.status {
        RunStatus::Completed => Rule::AllCompleted { proof: end.proof },
        RunStatus::Cancelled => Rule::Cancelled,
        _ => {
            let task = end.failure.as_ref().and_then(|(_, task)| state(run, task.as_ref()?));
            Rule::TaskDecided { task }
        }
    })
}

fn state(run: &Run, id: &TaskId) -> Option<TaskState> {
    state_of(run, run.position(id)?)
}

fn completed(run: &Run, task: &Task) -> Rule {
    let attempt = task.last_attempt().map_or(0, |a| a.n);
    let gates = task.spec.gates.iter().map(|g| gate_fact(run, task, *g, attempt)).collect();
    Rule::ContractHeld { attempt, proof: task.proof, check: task.spec.check, gates }
}

fn gate_fact(run: &Run, task: &Task, gate: u32, attempt: AttemptNo) -> GateFact {
    let tries: Vec<&GateTry> = task.gates.iter().filter(|t| t.gate == gate && t.attempt == attempt).collect();
    let ended = |t: &&&GateTry| t.end.is_some();
    // What is about one and the same tree counts first, the last of it.
    let result = tries.iter().rev().find(|t| t.is_steady()).or_else(|| tries.iter().rev().find(ended));
    GateFact {
        command: gate_command(run, gate),
        before: run.baseline_of(gate).and_then(|t| t.end.as_ref()).map(|e| e.is_green()),
        green: result.and_then(|t| t.end.as_ref()).map(|e| e.is_green()),
        steady: result.is_some_and(|t| t.is_steady()),
        tries: u32::try_from(tries.len()).unwrap_or(u32::MAX),
        left_out: !run.gate_counts(gate),
    }
}

/// What of the growth of a task decided; `None` where nothing did.
fn grown(run: &Run, task: &Task) -> Option<Rule> {
    match task.failure.as_ref()?.class {
        ErrorClass::Plan => {
            let reasons = task.grown.refused.as_ref().map(|(_, reasons)| reasons.clone()).unwrap_or_default();
            Some(Rule::PlanRefused { reasons })
        }
        ErrorClass::Parts => {
            let states = task.grown.parts.iter().filter_map(|at| state_of(run, *at));
            let ended = states.filter(|part| part.status != TaskStatus::Completed).collect();
            Some(Rule::PartsMissing { done: task.grown.done, needed: task.parts_needed(), ended })
        }
        _ => None,
    }
}

fn failed(run: &Run, task: &Task) -> Rule {
    if let Some(rule) = grown(run, task) {
        return rule;
    }
    let (Some(failure), Some(attempt)) = (&task.failure, task.last_attempt()) else {
        // Before its first attempt only the keeping of the tree can fail.
        return if keeps(run, task) { Rule::TreeNotKept } else { Rule::Internal };
    };
    match failure.class {
        ErrorClass::Gate => gate_red(run, task, attempt),
        ErrorClass::Verdict => Rule::Verdict { attempt: attempt.n },
        _ => match last_end(task, attempt) {
            Some(last) if last.class == failure.class => repeated(run, task, failure, last),
            _ => of_windlass(run, task, attempt),
        },
    }
}

/// Whether the tree is kept around its attempts.
fn keeps(run: &Run, task: &Task) -> bool {
    run.spec.tree.git && task.takes_turn()
}

fn gate_red(run: &Run, task: &Task, attempt: &Attempt) -> Rule {
    let last = task.gates.iter().rev().find(|t| t.attempt == attempt.n && t.end.is_some());
    let Some(last) = last else { return Rule::Internal };
    Rule::GateRed {
        gate: gate_fact(run, task, last.gate, attempt.n),
        repairs: task.repairs,
        rounds: task.spec.flow.rounds.unwrap_or(run.spec.repair_rounds),
        used: task.used,
        of: task.spec.attempts,
        repairable: task.spec.runtime.is_model() && task.spec.access == windlass_events::Access::Write,
    }
}

fn repeated(run: &Run, task: &Task, failure: &Failure, last: LastEnd) -> Rule {
    let (used, of) = (task.used, task.spec.attempts);
    let has_fallback = run.spec.agents.get(&task.spec.agent).is_some_and(|a| !a.fallback_models.is_empty());
    let other_model = matches!(
        failure.class,
        ErrorClass::Auth | ErrorClass::Quota | ErrorClass::BadRequest | ErrorClass::Context
    ) && has_fallback;
    if used >= of && (failure.class.is_retryable() || other_model) {
        Rule::AttemptsUsed { used, of, last }
    } else {
        Rule::NoUseRepeating { last }
    }
}

/// What was not the worker's fault: a gate without a result, or a tree that could not be kept.
fn of_windlass(run: &Run, task: &Task, attempt: &Attempt) -> Rule {
    let vanished = task.gates.iter().rev().find(|t| t.attempt == attempt.n && t.end.is_none());
    if let (Some(gate), None) =
        (vanished, task.gates.iter().find(|t| t.attempt == attempt.n && t.is_steady()))
    {
        let tries = task.gates.iter().filter(|t| t.gate == gate.gate && t.attempt == attempt.n).count();
        return Rule::GateVanished {
            command: gate_command(run, gate.gate),
            tries: u32::try_from(tries).unwrap_or(u32::MAX),
        };
    }
    if keeps(run, task) { Rule::TreeNotKept } else { Rule::Internal }
}

fn attention(run: &Run, task: &Task) -> Rule {
    if let Some(rule) = grown(run, task) {
        return rule;
    }
    let Some(attempt) = task.last_attempt() else { return Rule::Internal };
    if !attempt.left.is_empty() {
        return Rule::NotSwept { attempt: attempt.n, left: attempt.left.clone() };
    }
    if task.touched.is_some() {
        return Rule::ReadOnlyChanged { attempt: attempt.n };
    }
    match last_end(task, attempt) {
        Some(last) if task.spec.repeat_never => Rule::NeverRepeated { last },
        Some(last) => Rule::NoUseRepeating { last },
        None => of_windlass(run, task, attempt),
    }
}

/// How an attempt ended, unless it ended well or not at all.
fn last_end(task: &Task, attempt: &Attempt) -> Option<LastEnd> {
    if attempt.status == AttemptStatus::Lost {
        return Some(LastEnd { attempt: attempt.n, outcome: None, class: ErrorClass::Lost, limit_ms: None });
    }
    let end = attempt.end.as_ref().filter(|e| !e.outcome.is_clean())?;
    let limit_ms = match end.outcome {
        Outcome::Silence => Some(task.spec.silence_ms),
        Outcome::WallClock => Some(task.spec.wall_ms),
        _ => None,
    };
    Some(LastEnd {
        attempt: attempt.n,
        outcome: Some(end.outcome.clone()),
        class: end.failure.as_ref().map_or(ErrorClass::Internal, |f| f.class),
        limit_ms: limit_ms.filter(|ms| *ms > 0),
    })
}

fn skipped(run: &Run, of: &Task) -> Rule {
    let because: Vec<TaskState> = task::dependencies(run, of).filter(|d| d.status.is_terminal()).collect();
    let mut began = Vec::new();
    let mut seen: BTreeSet<TaskId> = BTreeSet::new();
    let mut look: Vec<TaskState> = because.clone();
    while let Some(dep) = look.pop() {
        if !seen.insert(dep.task.clone()) {
            continue;
        }
        match run.task_by_id(&dep.task) {
            Some(t) if dep.status == TaskStatus::Skipped => {
                look.extend(task::dependencies(run, t).filter(|d| d.status.is_terminal()));
            }
            _ => began.push(dep),
        }
    }
    began.sort_by(|a, b| a.task.cmp(&b.task));
    Rule::Skipped { because, began }
}
