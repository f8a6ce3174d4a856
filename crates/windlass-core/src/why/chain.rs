//! Which events of a journal make the chain that led to where a task or the run is.

use windlass_events::{Event, TaskId};

/// Whether an event is part of what became of a task. What only counts, and what only keeps the tree, is left out.
pub fn concerns_task(event: &Event, id: &TaskId) -> bool {
    match event {
        Event::AttemptStarted { task, .. }
        | Event::AttemptEnded { task, .. }
        | Event::AttemptLost { task, .. }
        | Event::AttemptSwept { task, .. }
        | Event::AttemptVoided { task, .. }
        | Event::TreeTouched { task, .. }
        | Event::ListWanted { task }
        | Event::PlanRefused { task, .. }
        | Event::TaskCompleted { task, .. }
        | Event::TaskFailed { task, .. }
        | Event::TaskCancelled { task }
        | Event::TaskNeedsAttention { task, .. } => task == id,
        Event::PlanMade { task, tasks, dropped, .. } => {
            task == id || tasks.iter().any(|t| t.id == *id) || dropped.contains(id)
        }
        Event::ApprovalAsked { task, .. } | Event::ApprovalGiven { task, .. } => {
            task.as_ref().is_none_or(|task| task == id)
        }
        Event::ApprovalRefused { planner, again, .. } => {
            planner.as_ref().is_none_or(|task| task == id) || again.contains(id)
        }
        Event::TaskSkipped { task, because } => task == id || because == id,
        Event::GateEnded { key, .. } | Event::GateLost { key } => key.task.as_ref() == Some(id),
        Event::CancelRequested { task, .. } => task.as_ref().is_none_or(|task| task == id),
        Event::TasksRetried { tasks } | Event::RunResumed { tasks, .. } => tasks.contains(id),
        // Turns, kept states and starts of gates are steps between these, and the rest is the run's.
        Event::RunCreated(_)
        | Event::TasksPlanned { .. }
        | Event::RunTaken { .. }
        | Event::TurnTaken { .. }
        | Event::AttemptObserved { .. }
        | Event::GateStarted { .. }
        | Event::GatesAsked { .. }
        | Event::GatesSettled { .. }
        | Event::TreeKept { .. }
        | Event::HeadMoved { .. }
        | Event::CapWarned { .. }
        | Event::CapReached { .. }
        | Event::RunWaiting { .. }
        | Event::RunContinued { .. }
        | Event::SteerSent { .. }
        | Event::SteerDelivered { .. }
        | Event::Notice { .. }
        | Event::RunUndone { .. }
        | Event::RunBlocked { .. }
        | Event::RunCompleted { .. }
        | Event::RunFailed { .. }
        | Event::RunCancelled {} => false,
    }
}

/// Whether an event is part of what became of the run as a whole: its own, and the ends of its tasks.
pub fn concerns_run(event: &Event) -> bool {
    match event {
        Event::RunCreated(_)
        | Event::RunTaken { .. }
        | Event::PlanMade { .. }
        | Event::PlanRefused { .. }
        | Event::ApprovalAsked { .. }
        | Event::ApprovalGiven { .. }
        | Event::ApprovalRefused { .. }
        | Event::GatesAsked { .. }
        | Event::GatesSettled { .. }
        | Event::HeadMoved { .. }
        | Event::TaskCompleted { .. }
        | Event::TaskFailed { .. }
        | Event::TaskSkipped { .. }
        | Event::TaskCancelled { .. }
        | Event::TaskNeedsAttention { .. }
        | Event::CapWarned { .. }
        | Event::CapReached { .. }
        | Event::RunWaiting { .. }
        | Event::RunContinued { .. }
        | Event::CancelRequested { .. }
        | Event::RunResumed { .. }
        | Event::TasksRetried { .. }
        | Event::RunUndone { .. }
        | Event::RunBlocked { .. }
        | Event::RunCompleted { .. }
        | Event::RunFailed { .. }
        | Event::RunCancelled {} => true,
        Event::GateEnded { key, .. } | Event::GateLost { key } => key.task.is_none(),
        Event::TasksPlanned { .. }
        | Event::ListWanted { .. }
        | Event::TurnTaken { .. }
        | Event::AttemptStarted { .. }
        | Event::AttemptObserved { .. }
        | Event::AttemptEnded { .. }
        | Event::AttemptLost { .. }
        | Event::AttemptSwept { .. }
        | Event::AttemptVoided { .. }
        | Event::GateStarted { .. }
        | Event::TreeKept { .. }
        | Event::TreeTouched { .. }
        | Event::SteerSent { .. }
        | Event::SteerDelivered { .. }
        | Event::Notice { .. } => false,
    }
}
