//! Folding what a person is asked to approve, and the answer.

use super::{Illegal, state};
use crate::run::{Asked, Run};
use crate::task::{Phase, Task};
use windlass_events::event::{Cause, WaitFor};
use windlass_events::{TaskId, TaskStatus};

/// What people said of a task's results that is kept for its prompt.
const TOLD_KEPT: usize = 20;

impl Run {
    pub(super) fn ask_approval(&mut self, id: Option<&TaskId>, plan: u32) -> Result<(), Illegal> {
        let task = id.map(|id| self.known(id)).transpose()?;
        if self.asked.is_some() || plan != self.plan {
            return Err(state("approval.asked", "another plan is asked about"));
        }
        self.asked = Some(Asked { task, plan, question: self.seq + 1, at: self.updated_at });
        Ok(())
    }

    pub(super) fn approve(&mut self, id: Option<&TaskId>, plan: u32) -> Result<(), Illegal> {
        let task = id.map(|id| self.known(id)).transpose()?;
        if self.asked.is_none_or(|asked| (asked.task, asked.plan) != (task, plan)) {
            return Err(state("approval.given", "that is not what was asked"));
        }
        self.asked = None;
        match task {
            Some(at) => self.task_mut(at)?.approved = true,
            None => self.approved_plan = Some(plan),
        }
        self.told_to_go_on();
        // What it held may start.
        let held: Vec<u32> =
            self.ready.iter().filter(|(lane, _)| lane.held).flat_map(|(_, tasks)| tasks).copied().collect();
        for at in held {
            let Some(task) = self.tasks.get(at as usize) else { continue };
            let phase = task.phase.clone();
            self.enter(at, phase);
        }
        Ok(())
    }

    pub(super) fn disapprove(
        &mut self,
        plan: u32,
        planner: Option<&TaskId>,
        again: &[TaskId],
        text: &str,
    ) -> Result<(), Illegal> {
        if self.asked.is_none_or(|asked| asked.plan != plan) {
            return Err(state("approval.refused", "that is not what was asked"));
        }
        let Some(id) = planner else {
            self.asked = None;
            self.cancel = true;
            return Ok(());
        };
        let at = self.known(id)?;
        let ended = match self.task_mut(at)?.phase {
            Phase::Joining => false,
            Phase::Ended(TaskStatus::Completed) => true,
            _ => return Err(state("approval.refused", format!("task {id} has made no plan"))),
        };
        let mut reopened = again.to_vec();
        if ended {
            let idle = |t: &Task| matches!(t.phase, Phase::Ended(_) | Phase::Queued | Phase::Ready { .. });
            if !self.builds_on(at).iter().all(|d| self.task(*d).is_some_and(idle)) {
                return Err(state("approval.refused", format!("what builds on {id} is under way")));
            }
            reopened.push(id.clone());
        }
        self.reopen(&reopened, "approval.refused", true)?;
        self.asked = None;
        self.told_to_go_on();
        let task = self.task_mut(at)?;
        if task.told.len() >= TOLD_KEPT {
            task.told.remove(0);
        }
        task.told.push(text.to_owned());
        task.used = task.used.min(task.spec.attempts.saturating_sub(1));
        task.grown.replans = 0;
        task.grown.refusals = 0;
        self.enter(at, Phase::Ready { not_before: 0, cause: Cause::Person });
        if ended {
            self.hold_back(at);
        }
        Ok(())
    }

    /// Whoever answers after a restart of the machine has said that it may go on.
    fn told_to_go_on(&mut self) {
        self.restarted = false;
        if self.waiting.as_ref().is_some_and(|w| w.0 == WaitFor::Restart) {
            self.waiting = None;
        }
    }

    /// Tasks that became ready by a task that is done again wait for it again.
    fn hold_back(&mut self, at: u32) {
        for d in self.builds_on(at) {
            let Some(task) = self.tasks.get(d as usize) else { continue };
            if !matches!(task.phase, Phase::Queued | Phase::Ready { .. }) {
                continue;
            }
            let done = |dep: &TaskId| {
                self.task_by_id(dep).is_some_and(|t| t.phase == Phase::Ended(TaskStatus::Completed))
            };
            let missing = task.spec.depends_on.iter().filter(|dep| !done(dep)).count();
            if let Some(task) = self.tasks.get_mut(d as usize) {
                task.missing = u32::try_from(missing).unwrap_or(u32::MAX);
            }
            if missing > 0 {
                self.enter(d, Phase::Queued);
            }
        }
    }

    /// Stops the run's clock while nothing is live and a person is asked, and lets it go on after.
    pub(super) fn pause(&mut self) {
        match (self.waits_for_person(), self.paused_at) {
            (true, None) => self.paused_at = Some(self.updated_at),
            (false, Some(since)) => {
                self.paused_at = None;
                self.wall_since = self.wall_since.saturating_add(self.updated_at.saturating_sub(since));
            }
            _ => {}
        }
    }
}
