//! Folding what tasks grow into: plans and lists, and how far their parts are.

use super::{Illegal, state};
use crate::policy::{self, Next};
use crate::run::{Holder, Run};
use crate::task::Phase;
use std::collections::BTreeSet;
use windlass_events::spec::TaskSpec;
use windlass_events::{AttemptNo, TaskId, TaskStatus};

/// What one event may add; a plan has far fewer.
const MOST_TASKS: usize = 1_000_000;

impl Run {
    pub(super) fn want_list(&mut self, id: &TaskId) -> Result<(), Illegal> {
        let at = self.known(id)?;
        let task = self.task_mut(at)?;
        if task.has_worker() || !matches!(task.phase, Phase::Ready { .. }) {
            return Err(state("list.wanted", format!("task {id} does not wait for a list")));
        }
        self.enter(at, Phase::Expanding(0));
        Ok(())
    }

    pub(super) fn plan_made(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        revision: u32,
        tasks: &[TaskSpec],
        kept: &[TaskId],
        dropped: &[TaskId],
    ) -> Result<(), Illegal> {
        let at = self.known(id)?;
        let task = self.task(at).ok_or_else(|| state("plan.made", "no such task"))?;
        let Some(grow) = task.spec.flow.grow.as_ref().filter(|_| task.phase == Phase::Expanding(n)) else {
            return Err(state("plan.made", format!("task {id} does not wait for it")));
        };
        if revision != task.grown.revision + 1 {
            return Err(state("plan.made", "not the next revision"));
        }
        let most = (grow.max() as usize).min(MOST_TASKS.saturating_sub(self.tasks.len()));
        if tasks.len() + kept.len() > most {
            return Err(state("plan.made", "more tasks than it may have"));
        }
        let old: BTreeSet<u32> = task.grown.parts.iter().copied().collect();
        let mut parts = Vec::with_capacity(kept.len() + tasks.len());
        let mut named = BTreeSet::new();
        for part in kept {
            let part = self.known(part)?;
            if !old.contains(&part) || !named.insert(part) {
                return Err(state("plan.made", "what it keeps is no part of the plan before"));
            }
            parts.push(part);
        }
        let mut gone = Vec::with_capacity(dropped.len());
        for part in dropped {
            let part = self.known(part)?;
            if !old.contains(&part) || !named.insert(part) {
                return Err(state("plan.made", "what it drops is no part of the plan before"));
            }
            gone.push(part);
        }
        if tasks.iter().any(|t| t.flow.parent.as_ref() != Some(id) || t.flow.grow.is_some()) {
            return Err(state("plan.made", "a task of it belongs elsewhere or grows itself"));
        }
        // Its tasks depend on each other alone: what follows the plan waits for all of it.
        let ids: BTreeSet<&TaskId> = tasks.iter().map(|t| &t.id).chain(kept).collect();
        if tasks.iter().flat_map(|t| &t.depends_on).any(|dep| !ids.contains(dep)) {
            return Err(state("plan.made", "a task of it depends on what is no part of it"));
        }
        self.plannable(tasks)?;
        self.plan += 1;
        // Another plan is another thing to approve.
        self.asked = self.asked.filter(|asked| asked.task.is_some());
        let first = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        self.add(tasks);
        parts.extend(first..u32::try_from(self.tasks.len()).unwrap_or(u32::MAX));
        if let Some(task) = self.tasks.get_mut(at as usize) {
            task.grown.parts = parts;
            task.grown.revision = revision;
            task.grown.from = n;
            task.grown.refused = None;
            // Each plan may be mended once.
            task.grown.refusals = 0;
        }
        // What the plan before had and this one has not is missed by nobody, whether it ended or is to end.
        let rest: Vec<u32> =
            old.iter().copied().filter(|p| !named.contains(p)).chain(gone.iter().copied()).collect();
        if self.turn == Some(Holder::Task(at)) {
            // Its parts take the turn each.
            self.turn = None;
        }
        self.enter(at, Phase::Joining);
        for part in rest {
            self.drop_part(part);
        }
        self.count_parts(at);
        Ok(())
    }

    /// A part of an earlier plan: stopped, and not missed.
    fn drop_part(&mut self, at: u32) {
        let Some(task) = self.tasks.get_mut(at as usize) else { return };
        match task.phase {
            Phase::Ended(TaskStatus::Completed) => {}
            Phase::Ended(_) => {
                if !std::mem::replace(&mut task.excused, true) {
                    self.excused += 1;
                }
            }
            _ => {
                task.excused = true;
                task.cancel = true;
                self.pending.insert(at);
            }
        }
    }

    pub(super) fn plan_refused(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        reasons: &[String],
    ) -> Result<(), Illegal> {
        let at = self.known(id)?;
        let task = self.task_mut(at)?;
        if task.phase != Phase::Expanding(n) {
            return Err(state("plan.refused", format!("task {id} does not wait for it")));
        }
        task.grown.refused = Some((n, reasons.to_vec()));
        task.grown.refusals = task.grown.refusals.saturating_add(1);
        if n == 0 {
            self.enter(at, Phase::Joining);
            self.join(at);
        } else {
            self.settle(at, n);
        }
        Ok(())
    }

    /// A task ended: what it grew from counts it.
    pub(super) fn part_ended(&mut self, at: u32, status: TaskStatus) {
        let Some(task) = self.tasks.get(at as usize) else { return };
        if task.excused && status != TaskStatus::Completed {
            self.excused += 1;
        }
        let Some(parent) = task.spec.flow.parent.as_ref().and_then(|id| self.position(id)) else { return };
        let Some(parent_task) = self.tasks.get_mut(parent as usize) else { return };
        // Parts are in order, kept ones in that of the plan before; a dropped one is in none.
        if !parent_task.grown.parts.contains(&at) {
            return;
        }
        parent_task.grown.open = parent_task.grown.open.saturating_sub(1);
        if status == TaskStatus::Completed {
            parent_task.grown.done += 1;
        }
        self.join(parent);
    }

    /// Counts the parts of a task anew, and puts it where it belongs.
    pub(super) fn count_parts(&mut self, at: u32) {
        let Some(task) = self.tasks.get(at as usize) else { return };
        let phases = || task.grown.parts.iter().filter_map(|part| self.tasks.get(*part as usize));
        let open = phases().filter(|t| !matches!(t.phase, Phase::Ended(_))).count();
        let done = phases().filter(|t| t.phase == Phase::Ended(TaskStatus::Completed)).count();
        if let Some(task) = self.tasks.get_mut(at as usize) {
            task.grown.open = u32::try_from(open).unwrap_or(u32::MAX);
            task.grown.done = u32::try_from(done).unwrap_or(u32::MAX);
        }
        self.join(at);
    }

    /// Whether something follows for a task that others grew from.
    fn join(&mut self, at: u32) {
        let Some(task) = self.tasks.get(at as usize) else { return };
        if task.phase != Phase::Joining {
            return;
        }
        match policy::after_parts(self, task) {
            Next::Again { not_before, cause } => {
                if let Some(task) = self.tasks.get_mut(at as usize) {
                    task.grown.replans = task.grown.replans.saturating_add(1);
                }
                self.enter(at, Phase::Ready { not_before, cause });
            }
            Next::Nothing => {
                self.pending.remove(&at);
            }
            _ => {
                self.pending.insert(at);
            }
        }
    }

    /// The run does not miss those parts of a completed task that did not complete.
    pub(super) fn miss_none(&mut self, parts: &[u32]) {
        for part in parts {
            let Some(task) = self.tasks.get_mut(*part as usize) else { continue };
            if task.phase != Phase::Ended(TaskStatus::Completed)
                && !std::mem::replace(&mut task.excused, true)
            {
                self.excused += 1;
            }
        }
    }
}
