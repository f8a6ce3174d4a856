//! What an event came from, and whether the state accepts it.

use crate::accept::{Input, accept};
use crate::run::Run;
use windlass_events::{Event, Millis, TaskId};

/// Where events of a type come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// From outside.
    Input,
    /// From `decide`.
    Decision,
    /// From either.
    Either,
}

/// Where an event comes from.
pub(super) const fn origin(event: &Event) -> Origin {
    match event {
        Event::RunCreated(_)
        | Event::TasksPlanned { .. }
        | Event::RunTaken { .. }
        | Event::AttemptObserved { .. }
        | Event::AttemptEnded { .. }
        | Event::AttemptLost { .. }
        | Event::AttemptSwept { .. }
        | Event::AttemptVoided { .. }
        | Event::GateEnded { .. }
        | Event::GateLost { .. }
        | Event::TreeKept { .. }
        | Event::TreeTouched { .. }
        | Event::HeadMoved { .. }
        | Event::RunResumed { .. }
        | Event::TasksRetried { .. }
        | Event::PlanMade { .. }
        | Event::PlanRefused { .. }
        | Event::ApprovalGiven { .. }
        | Event::ApprovalRefused { .. }
        | Event::SteerSent { .. }
        | Event::SteerDelivered { .. }
        | Event::Notice { .. }
        | Event::RunUndone { .. } => Origin::Input,
        Event::ListWanted { .. }
        | Event::ApprovalAsked { .. }
        | Event::TurnTaken { .. }
        | Event::AttemptStarted { .. }
        | Event::GateStarted { .. }
        | Event::GatesAsked { .. }
        | Event::TaskCompleted { .. }
        | Event::TaskSkipped { .. }
        | Event::TaskCancelled { .. }
        | Event::TaskNeedsAttention { .. }
        | Event::CapWarned { .. }
        | Event::CapReached { .. }
        | Event::RunWaiting { .. }
        | Event::RunContinued { .. }
        | Event::RunBlocked { .. }
        | Event::RunCompleted { .. }
        | Event::RunFailed { .. }
        | Event::RunCancelled {} => Origin::Decision,
        // A tree that could not be kept is an input; what red gates mean may be a person's answer; what is not needed any more is
        // stopped as if asked for.
        Event::TaskFailed { .. } | Event::GatesSettled { .. } | Event::CancelRequested { .. } => {
            Origin::Either
        }
    }
}

/// The task that a decision is about, where it is about one.
pub(super) const fn subject(event: &Event) -> Option<&TaskId> {
    match event {
        Event::TurnTaken { task } => task.as_ref(),
        Event::GateStarted { key } => key.task.as_ref(),
        Event::ApprovalAsked { task, .. } | Event::CancelRequested { task, .. } => task.as_ref(),
        Event::AttemptStarted { task, .. }
        | Event::ListWanted { task }
        | Event::TaskCompleted { task, .. }
        | Event::TaskFailed { task, .. }
        | Event::TaskSkipped { task, .. }
        | Event::TaskCancelled { task }
        | Event::TaskNeedsAttention { task, .. } => Some(task),
        _ => None,
    }
}

/// The task that is the only one an event can move: of what happens most. Any other may move any, and is looked at so.
pub(super) const fn moves_only(event: &Event) -> Option<&TaskId> {
    match event {
        Event::AttemptStarted { task, .. }
        | Event::AttemptObserved { task, .. }
        | Event::AttemptEnded { task, .. }
        | Event::AttemptLost { task, .. }
        | Event::AttemptSwept { task, .. }
        | Event::TreeKept { task, .. } => Some(task),
        Event::GateStarted { key } | Event::GateEnded { key, .. } => key.task.as_ref(),
        _ => None,
    }
}

/// How many of the events are what one input means in this state, or why the first is none.
pub(super) fn accepted(run: &Run, rest: &[(Millis, Event)]) -> Result<usize, String> {
    let Some((_, first)) = rest.first() else { return Ok(0) };
    let input = match input(run, first, rest.get(1).map(|(_, e)| e)) {
        Ok(input) => input,
        // With the run itself, while not all of its tasks are known.
        Err(Creates) if matches!(first, Event::TasksPlanned { .. }) && !run.is_planned() => return Ok(1),
        Err(Creates) => return Err("it stands only at the beginning of a run".to_owned()),
    };
    let Some(input) = input else { return Err("it never stands alone".to_owned()) };
    let given = accept(run, input).map_err(|refusal| refusal.to_string())?;
    let same = given.iter().zip(rest).take_while(|(a, (_, b))| *a == b).count();
    if same > 0 && same == given.len() {
        return Ok(same);
    }
    Err(match given.is_empty() {
        true => "it changes nothing in this state".to_owned(),
        false => "the input that it would come from means something else in this state".to_owned(),
    })
}

/// The event belongs to the creation of a run.
struct Creates;

/// The input that an event, with the one after it, came from; `None` where it only follows another.
fn input(run: &Run, event: &Event, after: Option<&Event>) -> Result<Option<Input>, Creates> {
    Ok(Some(match event {
        Event::RunCreated(_) | Event::TasksPlanned { .. } => return Err(Creates),
        Event::RunTaken { boot, version } => Input::Taken { boot: boot.clone(), version: version.clone() },
        Event::AttemptObserved { task, n, usage, session } => {
            Input::Observed { task: task.clone(), n: *n, usage: *usage, session: session.clone() }
        }
        Event::AttemptEnded { task, n, end } => {
            let touched = match after {
                Some(Event::TreeTouched { task: of, n: m, before, after }) if of == task && m == n => {
                    Some(Box::new((before.clone(), after.clone())))
                }
                _ => None,
            };
            Input::AttemptEnded { task: task.clone(), n: *n, end: Box::new(end.clone()), touched }
        }
        Event::AttemptLost { task, n, usage, session, last } => Input::AttemptLost {
            task: task.clone(),
            n: *n,
            usage: *usage,
            session: session.clone(),
            last: last.clone(),
        },
        Event::AttemptSwept { task, n, left } => {
            Input::AttemptSwept { task: task.clone(), n: *n, left: left.clone() }
        }
        Event::AttemptVoided { task, n, reason } => {
            Input::AttemptAbsent { task: task.clone(), n: *n, reason: reason.clone() }
        }
        Event::GateEnded { key, end } => Input::GateEnded { key: key.clone(), end: Box::new(end.clone()) },
        Event::GateLost { key } => Input::GateLost { key: key.clone() },
        Event::TreeKept { task, n, before, snapshot } => kept(task, *n, *before, snapshot, None),
        Event::HeadMoved { from, .. } => match after {
            Some(Event::TreeKept { task, n, before, snapshot }) => {
                kept(task, *n, *before, snapshot, Some(from.clone()))
            }
            _ => return Ok(None),
        },
        Event::TaskFailed { task, failure } => {
            Input::TreeNotKept { task: task.clone(), failure: failure.clone() }
        }
        Event::CancelRequested { task, by } => Input::Cancel { task: task.clone(), by: by.clone() },
        Event::RunResumed { caps, .. } => Input::Resume { caps: *caps },
        Event::TasksRetried { tasks } => Input::Retry { tasks: tasks.clone() },
        Event::GatesSettled { answer, .. } => Input::SettleGates { answer: *answer },
        Event::PlanMade { task, n, tasks, kept, .. } => return Ok(made(run, task, *n, tasks, kept)),
        Event::PlanRefused { task, n, reasons } => {
            Input::Expanded { task: task.clone(), n: *n, made: Err(reasons.clone()) }
        }
        Event::ApprovalGiven { by, .. } => Input::Approve { question: None, by: by.clone() },
        Event::ApprovalRefused { text, by, .. } => {
            Input::Reject { question: None, text: text.clone(), by: by.clone() }
        }
        Event::SteerSent { task, text, id, .. } => {
            Input::Steer { id: id.clone(), task: task.clone(), text: text.clone() }
        }
        Event::SteerDelivered { id, error } => Input::SteerDelivered { id: id.clone(), error: error.clone() },
        Event::Notice { text } => Input::Notice { text: text.clone() },
        Event::RunUndone { before, after, files, redo } => {
            Input::Undone { before: before.clone(), after: after.clone(), files: *files, redo: *redo }
        }
        Event::TreeTouched { .. }
        | Event::ListWanted { .. }
        | Event::ApprovalAsked { .. }
        | Event::TurnTaken { .. }
        | Event::AttemptStarted { .. }
        | Event::GateStarted { .. }
        | Event::GatesAsked { .. }
        | Event::TaskCompleted { .. }
        | Event::TaskSkipped { .. }
        | Event::TaskCancelled { .. }
        | Event::TaskNeedsAttention { .. }
        | Event::CapWarned { .. }
        | Event::CapReached { .. }
        | Event::RunWaiting { .. }
        | Event::RunContinued { .. }
        | Event::RunBlocked { .. }
        | Event::RunCompleted { .. }
        | Event::RunFailed { .. }
        | Event::RunCancelled {} => return Ok(None),
    }))
}

/// The plan as it was read: the tasks that it kept are in it as they were then.
fn made(
    run: &Run,
    task: &TaskId,
    n: windlass_events::AttemptNo,
    tasks: &[windlass_events::TaskSpec],
    kept: &[TaskId],
) -> Option<Input> {
    let before = kept.iter().map(|id| run.task_by_id(id).map(|t| t.spec.clone()));
    let mut all: Vec<windlass_events::TaskSpec> = before.collect::<Option<_>>()?;
    all.extend(tasks.iter().cloned());
    Some(Input::Expanded { task: task.clone(), n, made: Ok(all) })
}

fn kept(
    task: &TaskId,
    n: windlass_events::AttemptNo,
    before: bool,
    snapshot: &windlass_events::event::Snapshot,
    head_was: Option<Option<String>>,
) -> Input {
    Input::TreeKept { task: task.clone(), n, before, snapshot: snapshot.clone(), head_was }
}
