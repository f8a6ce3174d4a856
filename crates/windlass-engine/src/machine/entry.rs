//! A run in the machine's memory: its state, what of it is not durable yet, and what was released on its behalf.

use super::messages::RequestId;
use std::collections::BTreeSet;
use windlass_core::task::Phase;
use windlass_core::{Effect, Run};
use windlass_events::{Event, Millis, Seq, TaskId};

/// A run in memory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) run: Run,
    pub(super) epoch: u64,
    pub(super) secrets: bool,
    /// Effects released by this engine and still wanted.
    pub(super) released: BTreeSet<Effect>,
    /// Whether effects found from now on may have been begun by a former engine.
    pub(super) recovering: bool,
    /// Folded and not yet handed to a commit.
    pub(super) staged: Staged,
    /// Handed to the commit under way.
    pub(super) in_flight: Option<Staged>,
    /// Place of the last state snapshot.
    pub(super) snapshot_at: Seq,
    /// Place at which the tree's turn was given back, until that is durable: only then another run may take it.
    pub(super) gave_back: Option<Seq>,
    /// Requests that were left with the run and that were taken since it was read.
    pub(super) taken: BTreeSet<String>,
}

/// Events that wait for durability, with what rests on them.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pub(super) first: Seq,
    pub(super) events: Vec<(Millis, Event)>,
    pub(super) effects: Vec<(Effect, bool)>,
    pub(super) answers: Vec<RequestId>,
    /// Requests that were left with the run and are consumed with the events.
    pub(super) consumes: Vec<String>,
}

/// What a run had when its memory was dropped, to be read again. Until then its workers live and its turn is held.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) root: String,
    pub(super) slots: u32,
}

impl Entry {
    pub(super) fn new(run: Run, epoch: u64, secrets: bool) -> Self {
        Self {
            run,
            epoch,
            secrets,
            released: BTreeSet::new(),
            recovering: true,
            staged: Staged::default(),
            in_flight: None,
            snapshot_at: 0,
            gave_back: None,
            taken: BTreeSet::new(),
        }
    }

    /// Whether it holds the tree's turn, as far as is durable.
    pub(super) fn has_turn(&self) -> bool {
        self.run.holds_turn() || self.gave_back.is_some()
    }

    /// The time as this run knows it: never before its last event.
    pub(super) fn now(&self, now: Millis) -> Millis {
        now.max(self.run.updated_at)
    }

    pub(super) fn release(&mut self, effect: Effect) {
        if self.released.insert(effect.clone()) {
            self.staged.effects.push((effect, self.recovering));
        }
    }

    /// Finds what an event that was just folded makes wanted, and forgets what it makes unwanted.
    pub(super) fn find_effects(&mut self, event: &Event) {
        let mut wanted = Vec::new();
        match concerns(event) {
            Concerns::Task(id) => {
                let Some(at) = self.run.position(id) else { return };
                self.run.wanted_for(at, &mut wanted);
                if self.run.task(at).is_some_and(|t| matches!(t.phase, Phase::Ended(_) | Phase::Ready { .. }))
                {
                    self.released.retain(|e| task_of(e) != Some(id));
                }
            }
            Concerns::Run => self.run.wanted_for_run(&mut wanted),
            Concerns::Busy => {
                self.run.wanted_for_run(&mut wanted);
                for at in self.run.busy.clone() {
                    self.run.wanted_for(at, &mut wanted);
                }
            }
            // Nothing is live, and the tree is kept anew when it goes on.
            Concerns::Rest if !self.run.is_live() => {
                self.released.retain(|e| matches!(e, Effect::Steer { .. }));
            }
            Concerns::Rest | Concerns::Nothing => {}
        }
        for effect in wanted {
            self.release(effect);
        }
    }
}

enum Concerns<'a> {
    Task(&'a TaskId),
    Run,
    Busy,
    Rest,
    Nothing,
}

/// Which effects an event can change.
fn concerns(event: &Event) -> Concerns<'_> {
    match event {
        Event::AttemptStarted { task, .. }
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
        | Event::ListWanted { task }
        | Event::PlanRefused { task, .. }
        | Event::TurnTaken { task: Some(task) } => Concerns::Task(task),
        Event::GateStarted { key } | Event::GateEnded { key, .. } | Event::GateLost { key } => {
            key.task.as_ref().map_or(Concerns::Run, Concerns::Task)
        }
        Event::SteerSent { .. } | Event::SteerDelivered { .. } => Concerns::Run,
        // What grew from a task ends with it, and a new plan drops what the old one had.
        Event::CancelRequested { .. }
        | Event::PlanMade { .. }
        | Event::ApprovalRefused { .. }
        | Event::CapReached { .. }
        | Event::GatesSettled { .. } => Concerns::Busy,
        Event::RunCreated(_)
        | Event::TasksPlanned { .. }
        | Event::RunTaken { .. }
        | Event::TurnTaken { task: None }
        | Event::AttemptObserved { .. }
        | Event::GatesAsked { .. }
        | Event::HeadMoved { .. }
        | Event::CapWarned { .. }
        | Event::RunContinued { .. }
        | Event::RunResumed { .. }
        | Event::TasksRetried { .. }
        | Event::ApprovalAsked { .. }
        | Event::ApprovalGiven { .. }
        | Event::Notice { .. }
        | Event::RunUndone { .. }
        | Event::RunCompleted { .. }
        | Event::RunFailed { .. }
        | Event::RunCancelled {} => Concerns::Nothing,
        Event::RunBlocked { .. } | Event::RunWaiting { .. } => Concerns::Rest,
    }
}

fn task_of(effect: &Effect) -> Option<&TaskId> {
    match effect {
        Effect::Attempt { task, .. }
        | Effect::StopAttempt { task, .. }
        | Effect::Sweep { task, .. }
        | Effect::KeepTree { task, .. }
        | Effect::Expand { task, .. }
        | Effect::Steer { task, .. } => Some(task),
        Effect::Gate(key) | Effect::StopGate(key) => key.task.as_ref(),
    }
}
