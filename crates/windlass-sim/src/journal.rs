//! Watches the journals as they become durable. Most laws are kept by books of its own, not by the fold, so that a fault
//! of the fold cannot hide itself; the fold is then held against them.

use crate::law::{Broken, Check, Law, broken, hold};
use crate::plans::Plans;
use crate::worker::Name;
use std::collections::BTreeMap;
use windlass_core::Run;
use windlass_events::event::GateKey;
use windlass_events::spec::{Caps, RunSpec, TaskSpec};
use windlass_events::{AttemptNo, Event, Millis, RunId, RunStatus, TaskId, TaskStatus, Usage};
use windlass_store::StoredEvent;

/// Where an attempt stands in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Started,
    Ended,
    Lost,
    Swept,
    Voided,
}

/// The books of one run.
#[derive(Debug)]
pub(crate) struct Book {
    id: RunId,
    /// The fold of what is durable.
    pub(crate) run: Run,
    /// Every durable event.
    pub(crate) events: Vec<(Millis, Event)>,
    pub(crate) attempts: BTreeMap<(TaskId, AttemptNo), (Stage, Usage)>,
    /// Gates, and whether they are live.
    gates: BTreeMap<GateKey, bool>,
    tasks: BTreeMap<TaskId, TaskSpec>,
    ended: BTreeMap<TaskId, TaskStatus>,
    pub(crate) over: Option<RunStatus>,
    reached: bool,
    caps: Caps,
    wall_since: Millis,
    /// Since when nothing is live and a person is asked something: that is no part of the wall clock.
    paused: Option<Millis>,
    pub(crate) plans: Plans,
    /// How often a person's word let something leave its end.
    pub(crate) words: u32,
}

impl Book {
    fn begin(id: RunId, stored: &StoredEvent) -> Check<Self> {
        let event = parse(stored)?;
        let run = Run::begin(id, stored.at, &event).map_err(illegal)?;
        Ok(Self {
            id,
            caps: run.spec.caps,
            run,
            events: vec![(stored.at, event)],
            attempts: BTreeMap::new(),
            gates: BTreeMap::new(),
            tasks: BTreeMap::new(),
            ended: BTreeMap::new(),
            over: None,
            reached: false,
            wall_since: stored.at,
            paused: None,
            plans: Plans::default(),
            words: 0,
        })
    }

    pub(crate) fn spec(&self) -> &RunSpec {
        &self.run.spec
    }

    /// Whether the start of a worker is durable, and it is not over.
    pub(crate) fn may_run(&self, name: &Name) -> Check {
        let holds = match name {
            Name::Attempt(task, n) => match self.attempts.get(&(task.clone(), *n)) {
                None => false,
                Some((Stage::Started, _)) => true,
                Some((stage, _)) => {
                    return broken(Law::OneEnd, format!("a worker of {name:?} starts, which is {stage:?}"));
                }
            },
            Name::Gate(key) => match self.gates.get(key) {
                None => false,
                Some(true) => true,
                Some(false) => return broken(Law::OneEnd, format!("{name:?} starts, which is over")),
            },
        };
        hold(holds, Law::StartIsDurable, || format!("{name:?} of {} starts without a durable event", self.id))
    }

    /// Live attempts and gates, by role where one is given.
    fn live(&self, role: Option<&str>) -> u32 {
        let of = |task: &TaskId| role.is_none_or(|role| self.tasks.get(task).is_some_and(|t| t.role == role));
        let attempts = self
            .attempts
            .iter()
            .filter(|((task, _), (stage, _))| matches!(stage, Stage::Started | Stage::Lost) && of(task));
        let gates =
            self.gates.iter().filter(|(key, live)| **live && key.task.as_ref().map_or(role.is_none(), of));
        u32::try_from(attempts.count() + gates.count()).unwrap_or(u32::MAX)
    }

    fn take(&mut self, stored: &StoredEvent) -> Check {
        let event = parse(stored)?;
        hold(stored.seq == self.events.len() as u64 + 1, Law::NoGap, || {
            format!("event {} of {} follows {}", stored.seq, self.id, self.events.len())
        })?;
        let last = self.events.last().map_or(0, |(at, _)| *at);
        hold(stored.at >= last, Law::NoGap, || format!("event {} goes back in time", stored.seq))?;
        self.check_end(&event)?;
        self.note(stored.at, &event)?;
        self.run.apply(stored.seq, stored.at, &event).map_err(illegal)?;
        self.events.push((stored.at, event));
        match (self.run.waits_for_person(), self.paused) {
            (true, None) => self.paused = Some(stored.at),
            (false, Some(since)) => {
                self.paused = None;
                self.wall_since += stored.at - since;
            }
            _ => {}
        }
        self.check_limits()
    }

    /// Terminal is final.
    fn check_end(&self, event: &Event) -> Check {
        if let Some(status) = self.over {
            let may = matches!(
                event,
                Event::RunResumed { .. }
                    | Event::TasksRetried { .. }
                    | Event::Notice { .. }
                    | Event::RunUndone { .. }
                    | Event::RunTaken { .. }
                    | Event::SteerDelivered { .. }
            );
            hold(may, Law::TerminalIsFinal, || format!("{event:?} after the run was {status}"))?;
        }
        if let Some(task) = subject(event)
            && let Some(status) = self.ended.get(task)
        {
            return broken(Law::TerminalIsFinal, format!("{event:?} after the task was {status}"));
        }
        Ok(())
    }

    fn note(&mut self, at: Millis, event: &Event) -> Check {
        self.plans.note(event, &self.run.spec, &self.tasks)?;
        match event {
            Event::TasksPlanned { tasks } | Event::PlanMade { tasks, .. } => {
                self.tasks.extend(tasks.iter().map(|t| (t.id.clone(), t.clone())));
            }
            Event::AttemptStarted { task, n, .. } => self.note_start(at, task, *n)?,
            Event::AttemptObserved { task, n, usage, .. } => self.note_usage(task, *n, usage),
            Event::AttemptEnded { task, n, end } => {
                self.note_end(task, *n, Stage::Started, Stage::Ended)?;
                self.note_usage(task, *n, &end.usage);
            }
            Event::AttemptLost { task, n, usage, .. } => {
                self.note_end(task, *n, Stage::Started, Stage::Lost)?;
                self.note_usage(task, *n, usage);
            }
            Event::AttemptSwept { task, n, .. } => self.note_end(task, *n, Stage::Lost, Stage::Swept)?,
            Event::AttemptVoided { task, n, .. } => self.note_end(task, *n, Stage::Started, Stage::Voided)?,
            Event::GateStarted { key } => {
                let again = self.gates.insert(key.clone(), true).is_some();
                hold(!again, Law::OneEnd, || format!("{key:?} is started twice"))?;
            }
            Event::GateEnded { key, .. } | Event::GateLost { key } => {
                let was = self.gates.insert(key.clone(), false);
                hold(was == Some(true), Law::OneEnd, || format!("{key:?} ends and was not live"))?;
            }
            Event::TaskCompleted { task, .. } => {
                if let Some(spec) = self.tasks.get(task) {
                    self.plans.may_complete(spec, &self.ended)?;
                }
                self.note_task(task, TaskStatus::Completed)?;
            }
            Event::ApprovalRefused { planner, again, .. } => {
                // A person's word too, and the only one that takes back what is completed.
                for task in again.iter().chain(planner) {
                    self.ended.remove(task);
                }
                self.words += 1;
            }
            Event::TaskFailed { task, .. } => self.note_task(task, TaskStatus::Failed)?,
            Event::TaskSkipped { task, .. } => self.note_task(task, TaskStatus::Skipped)?,
            Event::TaskCancelled { task } => self.note_task(task, TaskStatus::Cancelled)?,
            Event::TaskNeedsAttention { task, .. } => self.note_task(task, TaskStatus::NeedsAttention)?,
            Event::CapReached { .. } => self.reached = true,
            Event::RunResumed { caps, tasks } => {
                self.caps = caps.unwrap_or(self.caps);
                self.reopen(at, tasks)?;
            }
            Event::TasksRetried { tasks } => self.reopen(at, tasks)?,
            Event::RunCompleted { .. } => self.note_over(RunStatus::Completed)?,
            Event::RunFailed { .. } => self.note_over(RunStatus::Failed)?,
            Event::RunCancelled {} => self.note_over(RunStatus::Cancelled)?,
            _ => {}
        }
        Ok(())
    }

    fn note_start(&mut self, at: Millis, task: &TaskId, n: AttemptNo) -> Check {
        let who = || format!("attempt {n} of {task}");
        self.plans.may_start(task, &self.run.spec, &self.tasks)?;
        for ((other, m), (stage, _)) in self.attempts.iter().filter(|((t, _), _)| t == task) {
            hold(*m < n, Law::OneEnd, || format!("{} is started after attempt {m} of {other}", who()))?;
            let over = !matches!(stage, Stage::Started | Stage::Lost);
            hold(over, Law::OneEnd, || format!("{} is started, and attempt {m} is {stage:?}", who()))?;
        }
        hold(!self.reached, Law::Cap, || format!("{} is started after a cap was reached", who()))?;
        let used = self.attempts.values().fold(Usage::default(), |sum, (_, u)| sum.plus(u));
        let within = |limit: Option<u64>, used: u64| limit.is_none_or(|limit| used < limit);
        let wall = u64::try_from(self.paused.unwrap_or(at) - self.wall_since).unwrap_or(0);
        let caps = within(self.caps.microusd, used.cost_microusd)
            && within(self.caps.tokens, used.tokens())
            && within(self.caps.unpriced_tokens, used.unpriced_tokens)
            && within(self.caps.wall_ms, wall);
        hold(caps, Law::Cap, || {
            format!("{} is started at {used:?} and {wall} ms of {:?}", who(), self.caps)
        })?;
        let spec = self.tasks.get(task);
        for dep in spec.map_or(&[][..], |s| &s.depends_on) {
            let done = self.ended.get(dep) == Some(&TaskStatus::Completed);
            hold(done, Law::Dependencies, || format!("{} is started before {dep} is completed", who()))?;
        }
        self.attempts.insert((task.clone(), n), (Stage::Started, Usage::default()));
        Ok(())
    }

    fn note_end(&mut self, task: &TaskId, n: AttemptNo, from: Stage, to: Stage) -> Check {
        match self.attempts.get_mut(&(task.clone(), n)) {
            Some((stage, _)) if *stage == from => {
                *stage = to;
                Ok(())
            }
            was => broken(Law::OneEnd, format!("attempt {n} of {task} becomes {to:?} and was {was:?}")),
        }
    }

    fn note_usage(&mut self, task: &TaskId, n: AttemptNo, usage: &Usage) {
        if let Some((_, so_far)) = self.attempts.get_mut(&(task.clone(), n)) {
            *so_far = so_far.plus(&usage.since(so_far));
        }
    }

    fn note_task(&mut self, task: &TaskId, status: TaskStatus) -> Check {
        self.ended.insert(task.clone(), status);
        let live = self
            .attempts
            .iter()
            .find(|((t, _), (stage, _))| t == task && matches!(stage, Stage::Started | Stage::Lost));
        hold(live.is_none(), Law::OneEnd, || format!("{task} is {status} with a live attempt"))
    }

    fn note_over(&mut self, status: RunStatus) -> Check {
        self.over = Some(status);
        hold(self.live(None) == 0, Law::OneEnd, || format!("the run is {status} with something live"))
    }

    fn reopen(&mut self, at: Millis, tasks: &[TaskId]) -> Check {
        for task in tasks {
            let was = self.ended.remove(task);
            let may = was.is_some_and(|s| s != TaskStatus::Completed)
                || self.plans.made_in_vain(task, tasks, &self.tasks);
            hold(may, Law::TerminalIsFinal, || format!("{task} is opened again and was {was:?}"))?;
        }
        self.over = None;
        self.reached = false;
        self.wall_since = at;
        self.words += 1;
        Ok(())
    }

    fn check_limits(&self) -> Check {
        let limits = &self.run.spec.limits;
        let live = self.live(None);
        hold(live <= limits.run.max(1), Law::Limit, || format!("{live} of {} are live", limits.run))?;
        for (role, limit) in &limits.roles {
            let live = self.live(Some(role));
            hold(live <= (*limit).max(1), Law::Limit, || format!("{live} of {limit} of {role} are live"))?;
        }
        Ok(())
    }
}

/// The task whose end an event would leave.
fn subject(event: &Event) -> Option<&TaskId> {
    match event {
        Event::AttemptStarted { task, .. }
        | Event::ListWanted { task }
        | Event::PlanMade { task, .. }
        | Event::PlanRefused { task, .. }
        | Event::AttemptObserved { task, .. }
        | Event::AttemptEnded { task, .. }
        | Event::AttemptLost { task, .. }
        | Event::AttemptSwept { task, .. }
        | Event::AttemptVoided { task, .. }
        | Event::TreeKept { task, .. }
        | Event::TreeTouched { task, .. }
        | Event::TaskCompleted { task, .. }
        | Event::TaskFailed { task, .. }
        | Event::TaskSkipped { task, .. }
        | Event::TaskCancelled { task }
        | Event::TaskNeedsAttention { task, .. }
        | Event::TurnTaken { task: Some(task) } => Some(task),
        Event::GateStarted { key } | Event::GateEnded { key, .. } | Event::GateLost { key } => {
            key.task.as_ref()
        }
        _ => None,
    }
}

fn parse(stored: &StoredEvent) -> Check<Event> {
    Event::from_json(&stored.body)
        .map_err(|e| Broken { law: Law::ReplayIsLive, detail: format!("event {}: {e}", stored.seq) })
}

fn illegal(e: windlass_core::Illegal) -> Broken {
    Broken { law: Law::ReplayIsLive, detail: format!("the journal does not fold: {e}") }
}

/// The books of all runs.
#[derive(Debug, Default)]
pub(crate) struct Journals {
    pub(crate) books: BTreeMap<RunId, Book>,
}

impl Journals {
    /// Takes what became durable of a run.
    pub(crate) fn take(&mut self, run: RunId, stored: &[StoredEvent]) -> Check {
        for event in stored {
            match self.books.get_mut(&run) {
                Some(book) => book.take(event)?,
                None => {
                    hold(event.seq == 1, Law::NoGap, || format!("{run} begins at {}", event.seq))?;
                    self.books.insert(run, Book::begin(run, event)?);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn head(&self, run: RunId) -> u64 {
        self.books.get(&run).map_or(0, |b| b.events.len() as u64)
    }
}
