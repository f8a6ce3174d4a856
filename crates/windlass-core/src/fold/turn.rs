//! Folding who holds the tree's turn.

use super::{Illegal, state};
use crate::run::{Baseline, Holder, Run};
use crate::task::Phase;
use windlass_events::TaskId;
use windlass_events::event::Cause;

impl Run {
    pub(super) fn take_turn(&mut self, task: Option<&TaskId>) -> Result<(), Illegal> {
        if self.turn.is_some() {
            return Err(state("turn.taken", "the turn is held"));
        }
        self.grant_turn(task)?;
        self.has_tree();
        Ok(())
    }

    /// What the run waited for the tree for goes on.
    pub(super) fn has_tree(&mut self) {
        if self.waiting.as_ref().is_some_and(|w| w.0 == windlass_events::event::WaitFor::Tree) {
            self.waiting = None;
        }
    }

    pub(super) fn grant_turn(&mut self, task: Option<&TaskId>) -> Result<(), Illegal> {
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

    pub(super) fn wait_for_answer(&mut self) {
        let what = "a project gate is red".to_owned();
        self.waiting = Some((windlass_events::event::WaitFor::Answer, what, self.updated_at));
    }

    /// Gives the turn back while nothing of the run is live: it may wait for a person for days.
    pub(super) fn give_turn_back(&mut self) {
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
}
