//! Folding events into the state. Total: every event either applies, or is refused and changes nothing.

mod again;
mod approval;
mod attempts;
mod gates;
mod plans;
mod tasks;
mod turn;

use crate::run::{Baseline, Run};
use crate::task::{Phase, Task};
use std::collections::{BTreeMap, BTreeSet};
use windlass_events::event::{Cause, Event};
use windlass_events::outcome::Failure;
use windlass_events::{Millis, Proof, RunId, RunStatus, Seq, TaskId, TaskStatus, Usage};

/// Notices kept in the state; older ones stay in the journal.
const NOTICES_KEPT: usize = 100;

/// Why an event may not follow the journal so far. Before an append it is refused; in a replay it is damage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// The first event of a journal must be `run.created`.
    #[error("the journal does not begin with run.created")]
    NotCreated,
    /// A second `run.created`.
    #[error("the run is created twice")]
    CreatedTwice,
    /// A place in the journal is missing or repeated.
    #[error("event {got} follows event {expected_after}")]
    Gap {
        /// Last place folded.
        expected_after: Seq,
        /// Place given.
        got: Seq,
    },
    /// An event about a task that the run does not have.
    #[error("no task `{0}` in this run")]
    UnknownTask(TaskId),
    /// A task planned twice, or one that depends on something unknown.
    #[error("task `{0}` cannot be planned: {1}")]
    Plan(TaskId, &'static str),
    /// An event that the state does not allow.
    #[error("{what} does not fit the state: {why}")]
    State {
        /// Event.
        what: &'static str,
        /// Why.
        why: String,
    },
}

/// Adds to a list that stays short and that each of very many tasks may have: no room is held for more.
fn push_few<T>(list: &mut Vec<T>, item: T) {
    list.reserve_exact(1);
    list.push(item);
}

fn state(what: &'static str, why: impl Into<String>) -> Illegal {
    Illegal::State { what, why: why.into() }
}

impl Run {
    /// The state after the first event of a journal.
    ///
    /// # Errors
    /// [`Illegal::NotCreated`] when it is another event than `run.created`.
    pub fn begin(id: RunId, at: Millis, event: &Event) -> Result<Self, Illegal> {
        let Event::RunCreated(spec) = event else { return Err(Illegal::NotCreated) };
        let spec = (**spec).clone();
        let baseline = if spec.gates.is_empty() { Baseline::Done } else { Baseline::Open };
        Ok(Self {
            id,
            seq: 1,
            created_at: at,
            updated_at: at,
            caps: spec.caps,
            wall_since: at,
            spec,
            tasks: Vec::new(),
            by_id: BTreeMap::new(),
            open: BTreeSet::new(),
            ready: BTreeMap::new(),
            due: BTreeSet::new(),
            pending: BTreeSet::new(),
            to_skip: BTreeMap::new(),
            busy: BTreeSet::new(),
            busy_by_role: BTreeMap::new(),
            ended: BTreeMap::new(),
            usage: Usage::default(),
            warned: BTreeSet::new(),
            reached: None,
            baseline,
            baseline_tries: Vec::new(),
            baseline_live: false,
            left_out: BTreeSet::new(),
            red_answer: None,
            turn: None,
            turns: 0,
            cancel: false,
            plan: 0,
            approved_plan: None,
            asked: None,
            paused_at: None,
            excused: 0,
            waiting: None,
            boot: String::new(),
            restarted: false,
            blocked: None,
            end: None,
            steers: BTreeMap::new(),
            next_snapshot: 0,
            notices: Vec::new(),
            undone: None,
        })
    }

    /// Folds a whole journal.
    ///
    /// # Errors
    /// The first event that does not fit.
    pub fn replay<'a>(
        id: RunId,
        events: impl IntoIterator<Item = (Millis, &'a Event)>,
    ) -> Result<Self, Illegal> {
        let mut events = events.into_iter();
        let (at, first) = events.next().ok_or(Illegal::NotCreated)?;
        let mut run = Self::begin(id, at, first)?;
        for (at, event) in events {
            run.apply(run.seq + 1, at, event)?;
        }
        Ok(run)
    }

    /// Folds one event.
    ///
    /// # Errors
    /// When the event may not follow; the state is then unchanged.
    pub fn apply(&mut self, seq: Seq, at: Millis, event: &Event) -> Result<(), Illegal> {
        if seq != self.seq + 1 {
            return Err(Illegal::Gap { expected_after: self.seq, got: seq });
        }
        // Time in a journal never goes backwards, whatever the clock did.
        let before = self.updated_at;
        self.updated_at = at.max(before);
        match self.fold(event) {
            Ok(()) => {
                self.seq = seq;
                self.pause();
                Ok(())
            }
            Err(illegal) => {
                self.updated_at = before;
                Err(illegal)
            }
        }
    }

    fn fold(&mut self, event: &Event) -> Result<(), Illegal> {
        if let (Some(end), false) = (&self.end, may_follow_the_end(event)) {
            return Err(state("the event", format!("the run is {}", end.status)));
        }
        match event {
            Event::RunCreated(_) => Err(Illegal::CreatedTwice),
            Event::TasksPlanned { tasks } => self.plan(tasks),
            Event::RunTaken { boot, .. } => {
                if !self.boot.is_empty() && self.boot != *boot && !self.open.is_empty() {
                    self.restarted = true;
                }
                self.boot.clone_from(boot);
                Ok(())
            }
            Event::ListWanted { task } => self.want_list(task),
            Event::PlanMade { task, n, revision, tasks, kept, dropped } => {
                self.plan_made(task, *n, *revision, tasks, kept, dropped)
            }
            Event::PlanRefused { task, n, reasons } => self.plan_refused(task, *n, reasons),
            Event::ApprovalAsked { task, plan } => self.ask_approval(task.as_ref(), *plan),
            Event::ApprovalGiven { task, plan, .. } => self.approve(task.as_ref(), *plan),
            Event::ApprovalRefused { plan, planner, again, text, .. } => {
                self.disapprove(*plan, planner.as_ref(), again, text)
            }
            Event::TurnTaken { task } => self.take_turn(task.as_ref()),
            Event::AttemptStarted { task, n, cause, session, model } => {
                self.start(task, *n, *cause, session.as_deref(), model.as_deref())
            }
            Event::AttemptObserved { task, n, usage, session } => {
                self.observe(task, *n, usage, session.as_deref())
            }
            Event::AttemptEnded { task, n, end } => self.attempt_ended(task, *n, end),
            Event::AttemptLost { task, n, usage, session, last } => {
                self.lose(task, *n, usage, session.as_deref(), last)
            }
            Event::AttemptSwept { task, n, left } => self.swept(task, *n, left),
            Event::AttemptVoided { task, n, .. } => self.void(task, *n),
            Event::GateStarted { key } => self.gate_started(key),
            Event::GateEnded { key, end } => self.gate_over(key, Some(end)),
            Event::GateLost { key } => self.gate_over(key, None),
            Event::GatesAsked { .. } => {
                if self.baseline != Baseline::Open || self.baseline_live {
                    return Err(state("gates.asked", "the baseline is not open"));
                }
                self.baseline = Baseline::Asked;
                self.give_turn_back();
                self.wait_for_answer();
                Ok(())
            }
            Event::GatesSettled { gates, answer } => self.settle_gates(gates, *answer),
            Event::TreeKept { task, n, before, snapshot } => self.kept(task, *n, *before, snapshot),
            Event::TreeTouched { task, n, before, after } => self.touched(task, *n, before, after),
            Event::HeadMoved { task, from, to } => {
                let show = |c: &Option<String>| {
                    c.as_deref().map_or("nothing", |c| c.get(..10).unwrap_or(c)).to_owned()
                };
                let text = format!("HEAD moved from {} to {} while {task} was writing", show(from), show(to));
                self.note(text);
                Ok(())
            }
            Event::TaskCompleted { task, proof } => {
                self.end_task(task, TaskStatus::Completed, Some(*proof), None)
            }
            Event::TaskFailed { task, failure } => {
                self.end_task(task, TaskStatus::Failed, None, Some(failure))
            }
            Event::TaskNeedsAttention { task, failure } => {
                self.end_task(task, TaskStatus::NeedsAttention, None, Some(failure))
            }
            Event::TaskSkipped { task, because } => {
                let failure = Failure::new(
                    windlass_events::ErrorClass::Internal,
                    format!("{because}, which it depends on, did not complete"),
                );
                self.end_task(task, TaskStatus::Skipped, None, Some(&failure))
            }
            Event::TaskCancelled { task } => self.end_task(task, TaskStatus::Cancelled, None, None),
            Event::CapWarned { cap, .. } => {
                self.warned.insert(*cap);
                Ok(())
            }
            Event::CapReached { cap, .. } => {
                self.reached = Some(*cap);
                for &at in &self.busy {
                    let Some(task) = self.tasks.get_mut(at as usize) else { continue };
                    if let (Phase::Running(n), true) = (&task.phase, task.spec.runtime.is_model())
                        && let Some(attempt) = task.attempts.get_mut((*n - 1) as usize)
                    {
                        attempt.stopped_by_cap = true;
                    }
                }
                Ok(())
            }
            Event::RunWaiting { wait, on } => {
                if *wait != windlass_events::event::WaitFor::Tree && !self.is_live() {
                    self.give_turn_back();
                }
                self.waiting = Some((*wait, on.clone(), self.updated_at));
                Ok(())
            }
            Event::RunContinued { wait } => {
                if self.waiting.as_ref().is_some_and(|w| w.0 == *wait) {
                    self.waiting = None;
                    if self.baseline == Baseline::Asked {
                        // It asked before it waited for that, and has no answer yet.
                        self.wait_for_answer();
                    }
                }
                if *wait == windlass_events::event::WaitFor::Restart {
                    self.restarted = false;
                }
                Ok(())
            }
            Event::CancelRequested { task: None, .. } => {
                self.cancel = true;
                self.blocked = None;
                Ok(())
            }
            Event::CancelRequested { task: Some(id), .. } => {
                let at = self.known(id)?;
                if let Some(task) = self.tasks.get_mut(at as usize) {
                    if matches!(task.phase, Phase::Ended(_)) {
                        return Err(state("cancel.requested", format!("task {id} has ended")));
                    }
                    task.cancel = true;
                    let parts =
                        if task.phase == Phase::Joining { task.grown.parts.clone() } else { Vec::new() };
                    self.pending.insert(at);
                    // What grew from it ends with it.
                    for part in parts {
                        let Some(task) = self.tasks.get_mut(part as usize) else { continue };
                        if !matches!(task.phase, Phase::Ended(_)) {
                            task.cancel = true;
                            self.pending.insert(part);
                        }
                    }
                }
                Ok(())
            }
            Event::RunResumed { caps, tasks } => self.resume(*caps, tasks),
            Event::TasksRetried { tasks } => {
                self.reopen(tasks, "tasks.retried", false)?;
                self.go_on();
                Ok(())
            }
            Event::SteerSent { task, n, text, id } => {
                let at = self.known(task)?;
                if self.tasks.get(at as usize).is_none_or(|t| t.phase != Phase::Running(*n)) {
                    return Err(state("steer.sent", "the attempt is not live"));
                }
                if self.steers.contains_key(id) {
                    return Err(state("steer.sent", "the request was taken before"));
                }
                self.steers.insert(id.clone(), (at, *n, text.clone()));
                Ok(())
            }
            Event::SteerDelivered { id, .. } => {
                self.steers.remove(id).map(|_| ()).ok_or_else(|| state("steer.delivered", "no such request"))
            }
            Event::Notice { text } => {
                self.note(text.clone());
                Ok(())
            }
            Event::RunUndone { before, after, redo, .. } => {
                self.next_snapshot = self.next_snapshot.max(before.n.max(after.n).saturating_add(1));
                self.undone = Some((before.clone(), after.clone(), *redo));
                Ok(())
            }
            Event::RunBlocked { failure } => {
                if self.is_live() {
                    return Err(state("run.blocked", "something is live"));
                }
                self.blocked = Some(failure.clone());
                self.give_turn_back();
                Ok(())
            }
            Event::RunCompleted { proof } => {
                let done = (self.ended_with(TaskStatus::Completed) + self.excused) as usize;
                if !self.is_planned() || done != self.tasks.len() || self.baseline_live {
                    return Err(state("run.completed", "not every task is completed"));
                }
                self.finish(RunStatus::Completed, *proof, None)
            }
            Event::RunFailed { failure, task, proof } => {
                self.finish(RunStatus::Failed, *proof, Some((failure.clone(), task.clone())))
            }
            Event::RunCancelled {} => self.finish(RunStatus::Cancelled, Proof::None, None),
        }
    }

    fn known(&self, id: &TaskId) -> Result<u32, Illegal> {
        self.position(id).ok_or_else(|| Illegal::UnknownTask(id.clone()))
    }

    fn task_mut(&mut self, at: u32) -> Result<&mut Task, Illegal> {
        self.tasks.get_mut(at as usize).ok_or_else(|| state("the event", "no such task"))
    }

    fn note(&mut self, text: String) {
        if self.notices.len() >= NOTICES_KEPT {
            self.notices.remove(0);
        }
        self.notices.push(text);
    }
}

/// The few events that a terminal run accepts: a person's word, and what is only told.
const fn may_follow_the_end(event: &Event) -> bool {
    matches!(
        event,
        Event::RunResumed { .. }
            | Event::TasksRetried { .. }
            | Event::Notice { .. }
            | Event::RunUndone { .. }
            | Event::RunTaken { .. }
            | Event::SteerDelivered { .. }
    )
}

impl Task {
    /// Why a task that becomes ready will be started.
    fn pending_cause(&self) -> Cause {
        if self.attempts.is_empty() { Cause::First } else { Cause::Person }
    }

    fn next_cause(&mut self, cause: Cause) {
        self.kept_cause = Some(cause);
    }
}
