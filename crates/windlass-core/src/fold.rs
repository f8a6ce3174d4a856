//! Folding events into the state. Total: every event either applies, or is refused and changes nothing.

use crate::policy::{self, Next};
use crate::run::{Baseline, Holder, Run, RunEnd};
use crate::task::{Attempt, GateTry, Kept, Phase, Task};
use std::collections::{BTreeMap, BTreeSet};
use windlass_events::event::{AttemptEnd, Cause, Event, GateKey, Snapshot};
use windlass_events::outcome::{Failure, Outcome};
use windlass_events::spec::{RedGate, TaskSpec};
use windlass_events::{
    AttemptNo, AttemptStatus, Millis, Proof, RunId, RunStatus, Seq, TaskId, TaskStatus, Usage,
};

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
                    self.pending.insert(at);
                }
                Ok(())
            }
            Event::RunResumed { caps, tasks } => self.resume(*caps, tasks),
            Event::TasksRetried { tasks } => {
                self.reopen(tasks, "tasks.retried")?;
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
                let done = self.ended_with(TaskStatus::Completed) as usize;
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

    fn finish(
        &mut self,
        status: RunStatus,
        proof: Proof,
        failure: Option<(Failure, Option<TaskId>)>,
    ) -> Result<(), Illegal> {
        if !self.open.is_empty() || self.is_busy() {
            return Err(state("the end of the run", "tasks are not at their end"));
        }
        self.waiting = None;
        self.turn = None;
        self.end = Some(RunEnd { status, proof, failure, at: self.updated_at });
        Ok(())
    }

    fn plan(&mut self, tasks: &[TaskSpec]) -> Result<(), Illegal> {
        let first = u32::try_from(self.tasks.len()).map_err(|_| state("tasks.planned", "too many tasks"))?;
        let room = (self.spec.task_count as usize).saturating_sub(self.tasks.len());
        if tasks.len() > room {
            return Err(state("tasks.planned", "more tasks than the run was created with"));
        }
        let mut new: BTreeMap<&TaskId, u32> = BTreeMap::new();
        for (i, spec) in tasks.iter().enumerate() {
            let at = first + u32::try_from(i).map_err(|_| state("tasks.planned", "too many tasks"))?;
            if self.by_id.contains_key(&spec.id) || new.insert(&spec.id, at).is_some() {
                return Err(Illegal::Plan(spec.id.clone(), "the id is taken"));
            }
            if spec.gates.iter().any(|g| *g as usize >= self.spec.gates.len()) {
                return Err(Illegal::Plan(spec.id.clone(), "it names a gate that the run does not have"));
            }
            // Only backwards: this is what makes a cycle impossible by construction.
            for dep in &spec.depends_on {
                let known = self.by_id.get(dep).or_else(|| new.get(dep)).is_some_and(|d| *d < at);
                if !known {
                    return Err(Illegal::Plan(
                        spec.id.clone(),
                        "it depends on a task that does not come before it",
                    ));
                }
            }
        }
        for spec in tasks {
            let at = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
            let mut missing = 0;
            let mut failed_dep = None;
            for dep in &spec.depends_on {
                let Some(&d) = self.by_id.get(dep) else { continue };
                let Some(task) = self.tasks.get_mut(d as usize) else { continue };
                task.dependants.push(at);
                match task.phase {
                    Phase::Ended(TaskStatus::Completed) => {}
                    Phase::Ended(_) => {
                        missing += 1;
                        failed_dep = Some(d);
                    }
                    _ => missing += 1,
                }
            }
            let mut task = Task::new(spec.clone());
            task.missing = missing;
            self.by_id.insert(spec.id.clone(), at);
            self.tasks.push(task);
            self.open.insert(at);
            if let Some(dep) = failed_dep {
                self.to_skip.insert(at, dep);
            } else if missing == 0 {
                self.enter(at, Phase::Ready { not_before: 0, cause: Cause::First });
            }
        }
        Ok(())
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

    fn take_turn(&mut self, task: Option<&TaskId>) -> Result<(), Illegal> {
        if self.turn.is_some() {
            return Err(state("turn.taken", "the turn is held"));
        }
        self.grant_turn(task)?;
        self.has_tree();
        Ok(())
    }

    /// What the run waited for the tree for goes on.
    fn has_tree(&mut self) {
        if self.waiting.as_ref().is_some_and(|w| w.0 == windlass_events::event::WaitFor::Tree) {
            self.waiting = None;
        }
    }

    fn grant_turn(&mut self, task: Option<&TaskId>) -> Result<(), Illegal> {
        let Some(id) = task else {
            if self.baseline != Baseline::Open {
                return Err(state("turn.taken", "the baseline is over"));
            }
            self.turn = Some(Holder::Baseline);
            self.turns += 1;
            return Ok(());
        };
        let at = self.known(id)?;
        let git = self.spec.tree.git;
        let phase = self.task_mut(at)?.phase.clone();
        match phase {
            Phase::Ready { cause, .. } => {
                self.turn = Some(Holder::Task(at));
                self.turns += 1;
                let task = self.task_mut(at)?;
                // The cause is kept for the start that follows.
                task.next_cause(cause);
                self.enter(at, if git { Phase::Keeping } else { Phase::Kept });
                Ok(())
            }
            Phase::Closing(_) => {
                self.turn = Some(Holder::Task(at));
                self.turns += 1;
                self.pending.insert(at);
                Ok(())
            }
            _ => Err(state("turn.taken", format!("task {id} does not wait for it"))),
        }
    }

    fn wait_for_answer(&mut self) {
        let what = "a project gate is red".to_owned();
        self.waiting = Some((windlass_events::event::WaitFor::Answer, what, self.updated_at));
    }

    /// Gives the turn back while nothing of the run is live: it may wait for a person for days.
    fn give_turn_back(&mut self) {
        let Some(holder) = self.turn.take() else { return };
        let Holder::Task(at) = holder else { return };
        let Some(task) = self.tasks.get(at as usize) else { return };
        let phase = match task.phase {
            // The tree may be another when it goes on, and is kept anew.
            Phase::Kept => Phase::Ready { not_before: 0, cause: task.kept_cause.unwrap_or(Cause::First) },
            ref same => same.clone(),
        };
        self.enter(at, phase);
    }

    fn start(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        cause: Cause,
        session: Option<&str>,
        model: Option<&str>,
    ) -> Result<(), Illegal> {
        let at = self.known(id)?;
        let (now, turns) = (self.updated_at, self.turns);
        let held = self.turn == Some(Holder::Task(at));
        let task = self.task_mut(at)?;
        if n != task.next_n() {
            return Err(state("attempt.started", format!("the next attempt of {id} is {}", task.next_n())));
        }
        match task.phase {
            Phase::Kept if held => {}
            Phase::Ready { .. } if held || !task.takes_turn() => {}
            _ => return Err(state("attempt.started", format!("task {id} may not start"))),
        }
        task.attempts.push(Attempt {
            n,
            cause,
            started_at: now,
            ended_at: None,
            status: AttemptStatus::Running,
            usage: Usage::default(),
            session: session.map(str::to_owned),
            model: model.map(str::to_owned),
            end: None,
            left: Vec::new(),
            last: String::new(),
            turns_at_start: turns,
            stopped_by_cap: false,
        });
        task.used = task.used.saturating_add(1);
        if cause == Cause::Repair {
            task.repairs = task.repairs.saturating_add(1);
        }
        self.blocked = None;
        self.has_tree();
        self.enter(at, Phase::Running(n));
        Ok(())
    }

    /// The live attempt `n` of a task.
    fn live(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        what: &'static str,
    ) -> Result<(u32, &mut Attempt), Illegal> {
        let at = self.known(id)?;
        let task = self.task_mut(at)?;
        if task.phase != Phase::Running(n) {
            return Err(state(what, format!("attempt {n} of {id} is not live")));
        }
        let attempt = n.checked_sub(1).and_then(|i| task.attempts.get_mut(i as usize));
        attempt.map(|a| (at, a)).ok_or_else(|| state(what, "no such attempt"))
    }

    /// Replaces an attempt's totals; they never go down, since what was spent stays spent.
    fn count(&mut self, at: u32, n: AttemptNo, usage: &Usage) {
        let Some(attempt) =
            self.tasks.get_mut(at as usize).and_then(|t| t.attempts.get_mut((n - 1) as usize))
        else {
            return;
        };
        let more = usage.since(&attempt.usage);
        attempt.usage = attempt.usage.plus(&more);
        self.usage = self.usage.plus(&more);
    }

    fn observe(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        usage: &Usage,
        session: Option<&str>,
    ) -> Result<(), Illegal> {
        let (at, attempt) = self.live(id, n, "attempt.observed")?;
        if let Some(session) = session {
            attempt.session = Some(session.to_owned());
        }
        self.count(at, n, usage);
        Ok(())
    }

    fn attempt_ended(&mut self, id: &TaskId, n: AttemptNo, end: &AttemptEnd) -> Result<(), Illegal> {
        let now = self.updated_at;
        let (at, attempt) = self.live(id, n, "attempt.ended")?;
        attempt.ended_at = Some(now);
        attempt.status = match end.outcome {
            Outcome::Clean => AttemptStatus::Completed,
            Outcome::Cancelled => AttemptStatus::Cancelled,
            _ => AttemptStatus::Failed,
        };
        if end.session.is_some() {
            attempt.session.clone_from(&end.session);
        }
        attempt.end = Some(end.clone());
        self.count(at, n, &end.usage);
        self.close(at, n);
        Ok(())
    }

    fn lose(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        usage: &Usage,
        session: Option<&str>,
        last: &str,
    ) -> Result<(), Illegal> {
        let now = self.updated_at;
        let (at, attempt) = self.live(id, n, "attempt.lost")?;
        attempt.ended_at = Some(now);
        attempt.status = AttemptStatus::Lost;
        last.clone_into(&mut attempt.last);
        if let Some(session) = session {
            attempt.session = Some(session.to_owned());
        }
        self.count(at, n, usage);
        self.enter(at, Phase::Lost(n));
        Ok(())
    }

    fn swept(&mut self, id: &TaskId, n: AttemptNo, left: &[String]) -> Result<(), Illegal> {
        let at = self.known(id)?;
        let task = self.task_mut(at)?;
        if task.phase != Phase::Lost(n) {
            return Err(state("attempt.swept", format!("attempt {n} of {id} is not lost")));
        }
        if let Some(attempt) = task.attempts.get_mut((n - 1) as usize) {
            attempt.left = left.to_vec();
        }
        self.close(at, n);
        Ok(())
    }

    fn void(&mut self, id: &TaskId, n: AttemptNo) -> Result<(), Illegal> {
        let now = self.updated_at;
        let (at, attempt) = self.live(id, n, "attempt.voided")?;
        attempt.status = AttemptStatus::Voided;
        attempt.ended_at = Some(now);
        let cause = attempt.cause;
        let task = self.task_mut(at)?;
        task.used = task.used.saturating_sub(1);
        if cause == Cause::Repair {
            task.repairs = task.repairs.saturating_sub(1);
        }
        self.settle(at, n);
        Ok(())
    }

    /// After an attempt: keep the tree where it may have changed, then decide.
    fn close(&mut self, at: u32, n: AttemptNo) {
        let keep = self.spec.tree.git && self.tasks.get(at as usize).is_some_and(Task::takes_turn);
        if keep { self.enter(at, Phase::KeepingAfter(n)) } else { self.settle(at, n) }
    }

    /// Puts a task whose attempt is over where it belongs: wanting a start, or pending a decision.
    fn settle(&mut self, at: u32, n: AttemptNo) {
        let Some(task) = self.tasks.get(at as usize) else { return };
        match policy::after(self, task, n, self.updated_at) {
            Next::Again { not_before, cause } => self.enter(at, Phase::Ready { not_before, cause }),
            _ => self.enter(at, Phase::Closing(n)),
        }
    }

    fn kept(&mut self, id: &TaskId, n: AttemptNo, before: bool, snapshot: &Snapshot) -> Result<(), Illegal> {
        let at = self.known(id)?;
        let task = self.task_mut(at)?;
        let fits = match task.phase {
            Phase::Keeping => before && n == task.next_n(),
            Phase::KeepingAfter(m) => !before && n == m,
            _ => false,
        };
        if !fits {
            return Err(state("tree.kept", format!("task {id} does not wait for it")));
        }
        task.kept.push(Kept { attempt: n, before, snapshot: snapshot.clone() });
        self.next_snapshot = self.next_snapshot.max(snapshot.n.saturating_add(1));
        if before {
            self.enter(at, Phase::Kept)
        } else {
            self.settle(at, n)
        }
        Ok(())
    }

    fn touched(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        before: &Snapshot,
        after: &Snapshot,
    ) -> Result<(), Illegal> {
        let at = self.known(id)?;
        let task = self.task_mut(at)?;
        let over =
            matches!(task.phase, Phase::Closing(m) if m == n) || matches!(task.phase, Phase::Ready { .. });
        if !over {
            return Err(state("tree.touched", format!("attempt {n} of {id} is not just over")));
        }
        task.touched = Some((before.clone(), after.clone()));
        self.next_snapshot = self.next_snapshot.max(before.n.max(after.n).saturating_add(1));
        self.enter(at, Phase::Closing(n));
        Ok(())
    }

    fn gate_started(&mut self, key: &GateKey) -> Result<(), Illegal> {
        if key.gate as usize >= self.spec.gates.len() {
            return Err(state("gate.started", "the run has no such gate"));
        }
        let now = self.updated_at;
        let entry =
            |attempt| GateTry { gate: key.gate, n: key.n, attempt, started_at: now, end: None, lost: false };
        let Some(id) = &key.task else {
            let tried = self.baseline_tries.iter().filter(|t| t.gate == key.gate).count();
            if self.baseline != Baseline::Open || self.baseline_live || self.turn != Some(Holder::Baseline) {
                return Err(state("gate.started", "the baseline does not wait for it"));
            }
            if key.n as usize != tried + 1 {
                return Err(state("gate.started", "not the next try"));
            }
            self.baseline_tries.push(entry(0));
            self.baseline_live = true;
            self.has_tree();
            return Ok(());
        };
        let at = self.known(id)?;
        if self.turn != Some(Holder::Task(at)) {
            return Err(state("gate.started", "gates hold the tree's turn, and the task does not"));
        }
        let task = self.task_mut(at)?;
        let Phase::Closing(attempt) = task.phase else {
            return Err(state("gate.started", format!("task {id} does not wait for it")));
        };
        let tried = task.gates.iter().filter(|t| t.gate == key.gate).count();
        if key.n as usize != tried + 1 || !task.spec.gates.contains(&key.gate) {
            return Err(state("gate.started", "not the next try of a gate of the task"));
        }
        task.gates.push(entry(attempt));
        self.has_tree();
        self.enter(at, Phase::Gate { attempt, gate: key.gate, n: key.n });
        Ok(())
    }

    fn gate_over(
        &mut self,
        key: &GateKey,
        end: Option<&windlass_events::event::GateEnd>,
    ) -> Result<(), Illegal> {
        let set = |tries: &mut Vec<GateTry>| -> Result<(), Illegal> {
            let live =
                tries.last_mut().filter(|t| t.gate == key.gate && t.n == key.n && t.end.is_none() && !t.lost);
            let live = live.ok_or_else(|| state("gate.ended", "the gate is not live"))?;
            live.end = end.cloned();
            live.lost = end.is_none();
            Ok(())
        };
        let Some(id) = &key.task else {
            if !self.baseline_live {
                return Err(state("gate.ended", "the gate is not live"));
            }
            set(&mut self.baseline_tries)?;
            self.baseline_live = false;
            return Ok(());
        };
        let at = self.known(id)?;
        let task = self.task_mut(at)?;
        let Phase::Gate { attempt, gate, n } = task.phase else {
            return Err(state("gate.ended", "the gate is not live"));
        };
        if (gate, n) != (key.gate, key.n) {
            return Err(state("gate.ended", "the gate is not live"));
        }
        set(&mut task.gates)?;
        self.settle(at, attempt);
        Ok(())
    }

    fn settle_gates(&mut self, gates: &[u32], answer: RedGate) -> Result<(), Illegal> {
        if self.baseline == Baseline::Done || self.baseline_live {
            return Err(state("gates.settled", "the baseline does not wait for it"));
        }
        self.red_answer = Some(answer);
        match answer {
            RedGate::LeaveOut => self.left_out.extend(gates),
            RedGate::Stop => self.cancel = true,
            RedGate::Mend | RedGate::Ask => {}
        }
        self.baseline = Baseline::Done;
        if self.turn == Some(Holder::Baseline) {
            self.turn = None;
        }
        if self.waiting.as_ref().is_some_and(|w| w.0 == windlass_events::event::WaitFor::Answer) {
            self.waiting = None;
        }
        Ok(())
    }

    fn end_task(
        &mut self,
        id: &TaskId,
        status: TaskStatus,
        proof: Option<Proof>,
        failure: Option<&Failure>,
    ) -> Result<(), Illegal> {
        let at = self.known(id)?;
        let now = self.updated_at;
        let task = self.task_mut(at)?;
        let fits = match (&task.phase, status) {
            (Phase::Ended(_) | Phase::Running(_) | Phase::Lost(_) | Phase::Gate { .. }, _) => false,
            // What may change the tree is kept first, and completing needs an attempt that ended clean.
            (Phase::Closing(n), TaskStatus::Completed) => {
                task.attempt(*n).and_then(|a| a.end.as_ref()).is_some_and(|e| e.outcome.is_clean())
            }
            (_, TaskStatus::Completed) => false,
            (Phase::KeepingAfter(_), _) => status == TaskStatus::Failed,
            (_, TaskStatus::Skipped) => matches!(task.phase, Phase::Queued),
            _ => true,
        };
        if !fits {
            return Err(state("the end of the task", format!("task {id} is not at that point")));
        }
        task.failure = failure.cloned();
        task.proof = proof.unwrap_or(Proof::None);
        task.ended_at = Some(now);
        let dependants = task.dependants.clone();
        self.to_skip.remove(&at);
        self.enter(at, Phase::Ended(status));
        self.open.remove(&at);
        *self.ended.entry(status).or_insert(0) += 1;
        if self.turn == Some(Holder::Task(at)) {
            self.turn = None;
        }
        for d in dependants {
            let Some(dependant) = self.tasks.get_mut(d as usize) else { continue };
            if dependant.phase != Phase::Queued {
                continue;
            }
            if status != TaskStatus::Completed {
                self.to_skip.insert(d, at);
                continue;
            }
            dependant.missing = dependant.missing.saturating_sub(1);
            if dependant.missing == 0 {
                let cause = dependant.pending_cause();
                self.enter(d, Phase::Ready { not_before: 0, cause });
            }
        }
        Ok(())
    }

    fn resume(&mut self, caps: Option<windlass_events::spec::Caps>, tasks: &[TaskId]) -> Result<(), Illegal> {
        self.reopen(tasks, "run.resumed")?;
        if let Some(caps) = caps {
            self.caps = caps;
        }
        self.go_on();
        Ok(())
    }

    fn go_on(&mut self) {
        self.end = None;
        self.cancel = false;
        self.blocked = None;
        self.reached = None;
        self.warned.clear();
        self.restarted = false;
        self.wall_since = self.updated_at;
        self.waiting = None;
        if self.baseline == Baseline::Asked {
            self.baseline = Baseline::Open;
        }
        let mut closing = Vec::new();
        for &at in &self.open {
            // A person's word grants a start to what a cap had stopped.
            if let Some(task) = self.tasks.get_mut(at as usize) {
                task.used = task.used.min(task.spec.attempts.saturating_sub(1));
                if let Phase::Closing(n) = task.phase {
                    closing.push((at, n));
                }
            }
        }
        // What was decided of them may be otherwise now.
        for (at, n) in closing {
            self.settle(at, n);
        }
    }

    /// Takes tasks out of a terminal state: the only way out, and only a person's.
    fn reopen(&mut self, ids: &[TaskId], what: &'static str) -> Result<(), Illegal> {
        let mut positions = BTreeSet::new();
        for id in ids {
            let at = self.known(id)?;
            match self.tasks.get(at as usize).map(|t| &t.phase) {
                Some(Phase::Ended(status)) if *status != TaskStatus::Completed => positions.insert(at),
                _ => return Err(state(what, format!("task {id} is not in a state that it can leave"))),
            };
        }
        for &at in &positions {
            let Some(task) = self.tasks.get_mut(at as usize) else { continue };
            if let Phase::Ended(status) = task.phase
                && let Some(count) = self.ended.get_mut(&status)
            {
                *count = count.saturating_sub(1);
            }
            task.used = 0;
            task.repairs = 0;
            task.cancel = false;
            task.failure = None;
            task.touched = None;
            task.proof = Proof::None;
            task.ended_at = None;
            self.open.insert(at);
            self.enter(at, Phase::Queued);
        }
        for &at in &positions {
            let Some(task) = self.tasks.get(at as usize) else { continue };
            let mut missing = 0;
            let mut failed_dep = None;
            for dep in &task.spec.depends_on {
                let Some(d) = self.position(dep) else { continue };
                match self.tasks.get(d as usize).map(|t| &t.phase) {
                    Some(Phase::Ended(TaskStatus::Completed)) => {}
                    Some(Phase::Ended(_)) => {
                        missing += 1;
                        failed_dep = Some(d);
                    }
                    _ => missing += 1,
                }
            }
            let cause = task.pending_cause();
            if let Some(task) = self.tasks.get_mut(at as usize) {
                task.missing = missing;
            }
            if let Some(dep) = failed_dep {
                self.to_skip.insert(at, dep);
            } else if missing == 0 {
                self.enter(at, Phase::Ready { not_before: 0, cause });
            }
        }
        Ok(())
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
