//! Inputs from outside, turned into the events they mean, or refused with a reason.

use crate::plan::{Merged, merge};
use crate::run::{Asked, Baseline, Holder, Run};
use crate::task::{Phase, Task};
use std::collections::BTreeSet;
use windlass_events::event::{AttemptEnd, Event, GateEnd, GateKey, Snapshot, WaitFor};
use windlass_events::outcome::{ErrorClass, Failure};
use windlass_events::spec::{Caps, RedGate, TaskSpec};
use windlass_events::{AttemptNo, Seq, TaskId, TaskStatus, Usage};

/// Something that happened outside the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// This engine leads the run now.
    Taken {
        /// Boot id of the machine.
        boot: String,
        /// Version of the engine.
        version: String,
    },
    /// A worker used this much so far.
    Observed {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// Totals.
        usage: Usage,
        /// Session.
        session: Option<String>,
    },
    /// A worker ended.
    AttemptEnded {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// How.
        end: Box<AttemptEnd>,
        /// The tree before and after it, where it is a reader's and they differ.
        touched: Option<Box<(Snapshot, Snapshot)>>,
    },
    /// A worker's shim is gone without an end record.
    AttemptLost {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// Totals.
        usage: Usage,
        /// Session.
        session: Option<String>,
        /// What it was doing last.
        last: String,
    },
    /// Nothing of a lost attempt is left, or this is.
    AttemptSwept {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// Processes that could not be proved gone.
        left: Vec<String>,
    },
    /// No claim of an attempt exists: it never started.
    AttemptAbsent {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// Why.
        reason: String,
    },
    /// A gate ended.
    GateEnded {
        /// Which.
        key: GateKey,
        /// How.
        end: Box<GateEnd>,
    },
    /// A gate's shim is gone without an end record, or never was.
    GateLost {
        /// Which.
        key: GateKey,
    },
    /// The tree is kept.
    TreeKept {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// Whether before it.
        before: bool,
        /// The state.
        snapshot: Snapshot,
        /// What HEAD was when the task's last state was kept, where that is known to differ.
        head_was: Option<Option<String>>,
    },
    /// The tree could not be kept.
    TreeNotKept {
        /// Task.
        task: TaskId,
        /// Why.
        failure: Failure,
    },
    /// Whether a steering text was delivered.
    SteerDelivered {
        /// Request.
        id: String,
        /// Why not, or empty.
        error: String,
    },
    /// What a task grows into was read: its tasks, or what is wrong.
    Expanded {
        /// Task.
        task: TaskId,
        /// Attempt; 0 where it has no worker.
        n: AttemptNo,
        /// The tasks as the text has them, or the reasons why there are none.
        made: Result<Vec<TaskSpec>, Vec<String>>,
    },
    /// A person approves what is asked.
    Approve {
        /// Place of the question that the person saw; `None` is the one that is asked.
        question: Option<Seq>,
        /// Who.
        by: String,
    },
    /// A person does not approve.
    Reject {
        /// Place of the question that the person saw; `None` is the one that is asked.
        question: Option<Seq>,
        /// What is to be otherwise; empty stops the run.
        text: String,
        /// Who.
        by: String,
    },
    /// A person stops the run or a task.
    Cancel {
        /// Task.
        task: Option<TaskId>,
        /// Who.
        by: String,
    },
    /// A person goes on.
    Resume {
        /// New caps.
        caps: Option<Caps>,
    },
    /// A person wants new attempts: of these tasks, or of all that failed.
    Retry {
        /// Tasks; empty is all that can be.
        tasks: Vec<TaskId>,
    },
    /// A person answers what a red project gate means.
    SettleGates {
        /// The answer.
        answer: RedGate,
    },
    /// A person has a text for a worker.
    Steer {
        /// Request.
        id: String,
        /// Task.
        task: TaskId,
        /// Text.
        text: String,
    },
    /// A person took the run's changes back, or put them back.
    Undone {
        /// Before.
        before: Snapshot,
        /// After.
        after: Snapshot,
        /// Files.
        files: u32,
        /// Whether it took back an undo.
        redo: bool,
    },
    /// Something worth telling.
    Notice {
        /// Text.
        text: String,
    },
}

/// Why an input means nothing in this state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is about something that is over: a repeated report, an answer after the end. Safe to drop.
    #[error("{0}")]
    Stale(String),
    /// What a person asked for cannot be done now.
    #[error("{0}")]
    Cannot(String),
    /// A cap on money (`true`) or tokens that is used up already forbids it.
    #[error("the cap on {} is used up", if *.0 { "money" } else { "tokens" })]
    Cap(bool),
    /// It names a task that the run does not have.
    #[error("no task `{0}` in this run")]
    UnknownTask(TaskId),
}

fn stale(text: impl Into<String>) -> Refusal {
    Refusal::Stale(text.into())
}

fn cannot(text: impl Into<String>) -> Refusal {
    Refusal::Cannot(text.into())
}

/// The events that an input means.
///
/// # Errors
/// When it means nothing in this state; a [`Refusal::Stale`] needs no answer to anybody.
pub fn accept(run: &Run, input: Input) -> Result<Vec<Event>, Refusal> {
    let outlives_the_end = matches!(
        input,
        Input::Taken { .. }
            | Input::Resume { .. }
            | Input::Retry { .. }
            | Input::Undone { .. }
            | Input::Notice { .. }
            | Input::SteerDelivered { .. }
    );
    if let (Some(end), false) = (&run.end, outlives_the_end) {
        let text = format!("the run is {} already", end.status);
        return Err(
            if matches!(
                input,
                Input::Cancel { .. }
                    | Input::Steer { .. }
                    | Input::SettleGates { .. }
                    | Input::Approve { .. }
                    | Input::Reject { .. }
            ) {
                cannot(text)
            } else {
                stale(text)
            },
        );
    }
    Ok(match input {
        Input::Taken { boot, version } => vec![Event::RunTaken { boot, version }],
        Input::Observed { task, n, usage, session } => {
            let attempt = live(run, &task, n)?;
            let known = session.is_none() || attempt.session == session;
            if usage.since(&attempt.usage).is_zero() && known {
                return Ok(Vec::new());
            }
            vec![Event::AttemptObserved { task, n, usage, session }]
        }
        Input::AttemptEnded { task, n, end, touched } => {
            let attempt = live(run, &task, n)?;
            let alone = run.turn.is_none() && run.turns == attempt.turns_at_start;
            let mut events = vec![Event::AttemptEnded { task: task.clone(), n, end: *end }];
            let reader = run.task_by_id(&task).is_some_and(|t| !t.takes_turn());
            if let (Some(pair), true, true) = (touched, alone, reader) {
                events.push(Event::TreeTouched { task, n, before: pair.0, after: pair.1 });
            }
            events
        }
        Input::AttemptLost { task, n, usage, session, last } => {
            live(run, &task, n)?;
            vec![Event::AttemptLost { task, n, usage, session, last }]
        }
        Input::AttemptSwept { task, n, left } => {
            in_phase(run, &task, |p| *p == Phase::Lost(n))?;
            vec![Event::AttemptSwept { task, n, left }]
        }
        Input::AttemptAbsent { task, n, reason } => {
            live(run, &task, n)?;
            vec![Event::AttemptVoided { task, n, reason }]
        }
        Input::GateEnded { key, end } => {
            gate_live(run, &key)?;
            vec![Event::GateEnded { key, end: *end }]
        }
        Input::GateLost { key } => {
            gate_live(run, &key)?;
            vec![Event::GateLost { key }]
        }
        Input::TreeKept { task, n, before, snapshot, head_was } => {
            in_phase(run, &task, |p| {
                matches!((p, before), (Phase::Keeping, true) | (Phase::KeepingAfter(_), false))
            })?;
            let mut events = Vec::new();
            if let Some(from) = head_was {
                events.push(Event::HeadMoved { task: task.clone(), from, to: snapshot.head.clone() });
            }
            events.push(Event::TreeKept { task, n, before, snapshot });
            events
        }
        Input::TreeNotKept { task, failure } => {
            in_phase(run, &task, |p| matches!(p, Phase::Keeping | Phase::KeepingAfter(_)))?;
            vec![Event::TaskFailed { task, failure }]
        }
        Input::SteerDelivered { id, error } => {
            if !run.steers.contains_key(&id) {
                return Err(stale("that text was reported on before"));
            }
            vec![Event::SteerDelivered { id, error }]
        }
        Input::Expanded { task, n, made } => {
            in_phase(run, &task, |p| *p == Phase::Expanding(n))?;
            let parent = known(run, &task)?;
            match made {
                Ok(tasks) => {
                    let revision = parent.grown.revision + 1;
                    let Merged { tasks, kept, dropped } = merge(run, parent, tasks);
                    vec![Event::PlanMade { task, n, revision, tasks, kept, dropped }]
                }
                Err(reasons) => vec![Event::PlanRefused { task, n, reasons }],
            }
        }
        Input::Approve { question, by } => {
            let asked = asked(run, question)?;
            vec![Event::ApprovalGiven { task: asked_task(run, &asked), plan: asked.plan, by }]
        }
        Input::Reject { question, text, by } => reject(run, question, text, by)?,
        Input::Cancel { task: None, by } => {
            if run.cancel {
                return Ok(Vec::new());
            }
            vec![Event::CancelRequested { task: None, by }]
        }
        Input::Cancel { task: Some(id), by } => {
            let task = known(run, &id)?;
            if let Phase::Ended(status) = task.phase {
                return Err(cannot(format!("task {id} is {status} already")));
            }
            if task.cancel {
                return Ok(Vec::new());
            }
            vec![Event::CancelRequested { task: Some(id), by }]
        }
        Input::Resume { caps } => resume(run, caps)?,
        Input::Retry { tasks } => retry(run, tasks)?,
        Input::SettleGates { answer } => {
            if run.baseline != Baseline::Asked {
                return Err(cannot("the run does not ask what a red gate means"));
            }
            if answer == RedGate::Ask {
                return Err(cannot("answer with `mend`, `leave_out` or `stop`"));
            }
            let gates = red_in_baseline(run);
            vec![Event::GatesSettled { gates, answer }]
        }
        Input::Steer { id, task, text } => {
            let Phase::Running(n) = known(run, &task)?.phase else {
                return Err(cannot(format!("task {task} has no live worker to steer")));
            };
            if run.steers.contains_key(&id) {
                return Ok(Vec::new());
            }
            vec![Event::SteerSent { task, n, text, id }]
        }
        Input::Undone { before, after, files, redo } => vec![Event::RunUndone { before, after, files, redo }],
        Input::Notice { text } => vec![Event::Notice { text }],
    })
}

/// What is asked, where the person has seen that and not a question before.
fn asked(run: &Run, seen: Option<Seq>) -> Result<Asked, Refusal> {
    let asked = run.asked.ok_or_else(|| cannot("nothing of the run waits for an approval"))?;
    if seen.is_some_and(|seen| seen != asked.question) {
        return Err(cannot("what is to be approved has changed since; look at it again"));
    }
    Ok(asked)
}

fn asked_task(run: &Run, asked: &Asked) -> Option<TaskId> {
    asked.task.and_then(|at| run.task(at)).map(|t| t.spec.id.clone())
}

/// Who plans again: the task whose plan it is, else the model whose result the held task builds on.
fn reject(run: &Run, seen: Option<Seq>, text: String, by: String) -> Result<Vec<Event>, Refusal> {
    let asked = asked(run, seen)?;
    let plan = asked.plan;
    if text.trim().is_empty() {
        return Ok(vec![Event::ApprovalRefused { plan, planner: None, again: Vec::new(), text, by }]);
    }
    let planner = run.held().and_then(|at| run.planner_of(at));
    let Some(planner) = planner.filter(|at| {
        run.task(*at).is_some_and(|t| matches!(t.phase, Phase::Joining | Phase::Ended(TaskStatus::Completed)))
    }) else {
        return Err(cannot(
            "nobody has planned that, so nobody can plan it again; `windlass reject RUN` stops it",
        ));
    };
    let Some(task) = run.task(planner) else { return Err(cannot("nobody has planned that")) };
    let mut again = BTreeSet::new();
    if task.phase != Phase::Joining {
        for at in run.builds_on(planner) {
            let Some(t) = run.task(at) else { continue };
            match t.phase {
                Phase::Ended(_) => drop(again.insert(at)),
                Phase::Queued | Phase::Ready { .. } => {}
                _ => {
                    return Err(cannot(format!(
                        "task {} builds on what {} would do again, and is under way; wait for it, or cancel it",
                        t.spec.id, task.spec.id
                    )));
                }
            }
        }
    }
    let id = |at: &u32| run.task(*at).map(|t| t.spec.id.clone());
    Ok(vec![Event::ApprovalRefused {
        plan,
        planner: id(&planner),
        again: again.iter().filter_map(id).collect(),
        text,
        by,
    }])
}

fn known<'a>(run: &'a Run, id: &TaskId) -> Result<&'a Task, Refusal> {
    run.task_by_id(id).ok_or_else(|| Refusal::UnknownTask(id.clone()))
}

fn live<'a>(run: &'a Run, id: &TaskId, n: AttemptNo) -> Result<&'a crate::task::Attempt, Refusal> {
    let task = known(run, id)?;
    if task.phase != Phase::Running(n) {
        return Err(stale(format!("attempt {n} of {id} is not live")));
    }
    task.attempt(n).ok_or_else(|| stale(format!("task {id} has no attempt {n}")))
}

fn in_phase(run: &Run, id: &TaskId, fits: impl Fn(&Phase) -> bool) -> Result<(), Refusal> {
    if fits(&known(run, id)?.phase) {
        Ok(())
    } else {
        Err(stale(format!("task {id} does not wait for that")))
    }
}

fn gate_live(run: &Run, key: &GateKey) -> Result<(), Refusal> {
    let is_live = match &key.task {
        None => {
            run.baseline_live && run.baseline_tries.last().is_some_and(|t| t.gate == key.gate && t.n == key.n)
        }
        Some(id) => {
            matches!(known(run, id)?.phase, Phase::Gate { gate, n, .. } if gate == key.gate && n == key.n)
        }
    };
    if is_live { Ok(()) } else { Err(stale("the gate is not live")) }
}

fn red_in_baseline(run: &Run) -> Vec<u32> {
    (0u32..)
        .zip(&run.spec.gates)
        .filter(|(i, _)| run.baseline_of(*i).and_then(|t| t.end.as_ref()).is_none_or(|e| !e.is_green()))
        .filter(|(_, g)| {
            matches!(
                g.source,
                windlass_events::spec::GateSource::Config | windlass_events::spec::GateSource::Detected
            )
        })
        .map(|(i, _)| i)
        .collect()
}

fn resume(run: &Run, caps: Option<Caps>) -> Result<Vec<Event>, Refusal> {
    if run.end.as_ref().is_some_and(|e| e.status == windlass_events::RunStatus::Completed) {
        return Err(cannot("the run is completed; there is nothing to resume"));
    }
    if run.cancel && !run.is_ended() {
        return Err(cannot("the run is being cancelled; resume it when it is"));
    }
    let halted = run.is_ended() || run.blocked.is_some() || run.reached.is_some();
    // Whoever resumes a run that waits for values brings them, or is told again what is missing.
    let waits = matches!(run.waiting, Some((WaitFor::Restart | WaitFor::Environment, ..)));
    if !halted && !waits && caps.is_none() {
        return Err(cannot("the run is under way; there is nothing to resume"));
    }
    if let Some(caps) = &caps
        && let Some(money) = exceeded(run, caps)
    {
        return Err(Refusal::Cap(money));
    }
    let tasks = if run.is_ended() || run.blocked.is_some() { unfinished(run) } else { Vec::new() };
    if caps.is_none()
        && let Some(money) = exceeded(run, &run.caps)
    {
        return Err(Refusal::Cap(money));
    }
    Ok(vec![Event::RunResumed { caps, tasks }])
}

/// The first cap on money (`true`) or tokens that is used up. Time begins anew with a resume.
fn exceeded(run: &Run, caps: &Caps) -> Option<bool> {
    if caps.microusd.is_some_and(|c| run.usage.cost_microusd >= c) {
        return Some(true);
    }
    let tokens = caps.tokens.is_some_and(|c| run.usage.tokens() >= c);
    let unpriced = caps.unpriced_tokens.is_some_and(|c| run.usage.unpriced_tokens >= c);
    (tokens || unpriced).then_some(false)
}

fn unfinished(run: &Run) -> Vec<TaskId> {
    let open = |t: &Task| matches!(t.phase, Phase::Ended(s) if s != TaskStatus::Completed) && !t.excused;
    let all = (0u32..).zip(&run.tasks).filter(|(_, t)| open(t)).map(|(at, _)| at);
    // With a list that could not be used, who makes it.
    let all: BTreeSet<u32> = all.flat_map(|at| std::iter::once(at).chain(run.refused_list(at))).collect();
    all.iter().filter_map(|at| run.task(*at)).map(|t| t.spec.id.clone()).collect()
}

fn retry(run: &Run, tasks: Vec<TaskId>) -> Result<Vec<Event>, Refusal> {
    if run.cancel && !run.is_ended() {
        return Err(cannot("the run is being cancelled; retry when it is"));
    }
    let mut roots: Vec<u32> = Vec::new();
    for id in &tasks {
        let task = known(run, id)?;
        match task.phase {
            Phase::Ended(TaskStatus::Completed) => {
                // Only a list that could not be used is made anew.
                let lists =
                    (0u32..).zip(&run.tasks).filter(|(at, _)| run.refused_list(*at) == run.position(id));
                let refused: Vec<u32> = lists.map(|(at, _)| at).collect();
                if refused.is_empty() {
                    return Err(cannot(format!("task {id} is completed")));
                }
                roots.extend(refused);
            }
            Phase::Ended(_) => roots.extend(run.position(id)),
            _ => {
                return Err(cannot(format!("task {id} is {}; only an ended task is retried", task.status())));
            }
        }
    }
    if tasks.is_empty() {
        let wanted = |t: &Task| {
            !t.excused
                && matches!(
                    t.phase,
                    Phase::Ended(TaskStatus::Failed | TaskStatus::Cancelled | TaskStatus::NeedsAttention)
                )
        };
        roots.extend((0u32..).zip(&run.tasks).filter(|(_, t)| wanted(t)).map(|(at, _)| at));
        if roots.is_empty() {
            return Err(cannot("nothing failed, so there is nothing to retry"));
        }
    }
    // With each, what it skipped.
    let mut all: BTreeSet<u32> = BTreeSet::new();
    while let Some(at) = roots.pop() {
        if !all.insert(at) {
            continue;
        }
        let Some(task) = run.task(at) else { continue };
        roots.extend(run.refused_list(at));
        // What it is a part of waits for it again.
        let parent = task.spec.flow.parent.as_ref().and_then(|id| run.position(id));
        let failed = |t: &Task| matches!(t.phase, Phase::Ended(s) if s != TaskStatus::Completed);
        roots.extend(parent.filter(|at| run.task(*at).is_some_and(failed)));
        roots.extend(
            task.dependants
                .iter()
                .filter(|d| run.task(**d).is_some_and(|t| t.phase == Phase::Ended(TaskStatus::Skipped))),
        );
    }
    let tasks = all.iter().filter_map(|at| run.task(*at)).map(|t| t.spec.id.clone()).collect();
    Ok(vec![Event::TasksRetried { tasks }])
}

impl Run {
    /// Whether the run itself, not another one, holds the tree's turn.
    pub const fn holds_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// Whether something of the run waits for the tree's turn.
    pub fn wants_turn(&self) -> bool {
        if self.is_ended() || self.cancel || self.blocked.is_some() {
            return false;
        }
        let in_line = self.ready.keys().any(|lane| lane.turn && !lane.held)
            || self.due.iter().any(|(_, at)| self.lane(*at).is_some_and(|l| l.turn));
        let checks = self.pending.iter().any(|at| {
            self.task(*at).is_some_and(|t| matches!(t.phase, Phase::Closing(_)) && !t.spec.gates.is_empty())
        });
        // Who waits for a person keeps the tree from nobody; only gates go on meanwhile, at a cap too.
        let waits = self.reached.is_some() || self.waiting.as_ref().is_some_and(|w| w.0 != WaitFor::Tree);
        checks || (!waits && (in_line || (self.baseline == Baseline::Open && self.is_planned())))
    }

    /// Whether a free slot or turn could let something of the run start.
    pub fn wants_start(&self) -> bool {
        !self.is_ended()
            && (self.ready.keys().any(|lane| !lane.held) || !self.due.is_empty() || self.wants_turn())
    }

    /// The task that holds the turn.
    pub fn turn_task(&self) -> Option<&Task> {
        match self.turn {
            Some(Holder::Task(at)) => self.task(at),
            _ => None,
        }
    }

    /// The failure that a person is told first.
    pub fn failure(&self) -> Option<(&Failure, Option<&TaskId>)> {
        if let Some(end) = &self.end {
            return end.failure.as_ref().map(|(f, t)| (f, t.as_ref()));
        }
        self.blocked.as_ref().map(|f| (f, None))
    }

    /// Whether an error is one that only a person's change mends.
    pub fn needs_person(&self) -> bool {
        self.blocked.is_some()
            || self.failure().is_some_and(|(f, _)| matches!(f.class, ErrorClass::Auth | ErrorClass::Quota))
    }
}
