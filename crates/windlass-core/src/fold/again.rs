//! Folding a person's word to go on: the only way out of a terminal state.

use super::{Illegal, state};
use crate::run::{Baseline, Run};
use crate::task::Phase;
use std::collections::BTreeSet;
use windlass_events::{Proof, TaskId, TaskStatus};

impl Run {
    pub(super) fn resume(
        &mut self,
        caps: Option<windlass_events::spec::Caps>,
        tasks: &[TaskId],
    ) -> Result<(), Illegal> {
        self.reopen(tasks, "run.resumed", false)?;
        if let Some(caps) = caps {
            self.caps = caps;
        }
        self.go_on();
        Ok(())
    }

    pub(super) fn go_on(&mut self) {
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
    pub(super) fn reopen(
        &mut self,
        ids: &[TaskId],
        what: &'static str,
        completed_too: bool,
    ) -> Result<(), Illegal> {
        let mut positions = BTreeSet::new();
        let lists: BTreeSet<u32> =
            ids.iter().filter_map(|id| self.refused_list(self.position(id)?)).collect();
        for id in ids {
            let at = self.known(id)?;
            match self.tasks.get(at as usize).map(|t| &t.phase) {
                Some(Phase::Ended(status))
                    if *status != TaskStatus::Completed || completed_too || lists.contains(&at) =>
                {
                    positions.insert(at)
                }
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
            if std::mem::take(&mut task.excused) {
                self.excused = self.excused.saturating_sub(1);
            }
            task.grown.replans = 0;
            task.grown.refusals = 0;
            task.grown.refused = None;
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
            // What grew from it goes on where it was, unless it is itself to be made anew.
            let newest = task.attempts.last().map_or(0, |a| a.n) == task.grown.from;
            let joins =
                missing == 0 && newest && task.grown.parts.iter().any(|part| positions.contains(part));
            if let Some(task) = self.tasks.get_mut(at as usize) {
                task.missing = missing;
            }
            if let Some(dep) = failed_dep {
                self.to_skip.insert(at, dep);
            } else if joins {
                self.enter(at, Phase::Joining);
            } else if missing == 0 {
                self.enter(at, Phase::Ready { not_before: 0, cause });
            }
        }
        for &at in &positions {
            self.count_parts(at);
            let parent = self.tasks.get(at as usize).and_then(|t| t.spec.flow.parent.clone());
            if let Some(parent) = parent.and_then(|id| self.position(&id)) {
                self.count_parts(parent);
            }
        }
        Ok(())
    }
}
