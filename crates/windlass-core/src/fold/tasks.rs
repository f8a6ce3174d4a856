//! Folding what comes into being and what ends: tasks and the run itself.

use super::{Illegal, state};
use crate::run::{Holder, Run, RunEnd};
use crate::task::{Phase, Task};
use std::collections::BTreeMap;
use windlass_events::event::Cause;
use windlass_events::outcome::Failure;
use windlass_events::spec::TaskSpec;
use windlass_events::{Proof, RunStatus, TaskId, TaskStatus};

impl Run {
    pub(super) fn plan(&mut self, tasks: &[TaskSpec]) -> Result<(), Illegal> {
        let room = (self.spec.task_count as usize).saturating_sub(self.tasks.len());
        if tasks.len() > room {
            return Err(state("tasks.planned", "more tasks than the run was created with"));
        }
        self.plannable(tasks)?;
        self.add(tasks);
        Ok(())
    }

    /// Whether tasks can be added: ids, gates, and what they depend on.
    pub(super) fn plannable(&self, tasks: &[TaskSpec]) -> Result<(), Illegal> {
        let first = u32::try_from(self.tasks.len()).map_err(|_| state("tasks.planned", "too many tasks"))?;
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
        Ok(())
    }

    /// Adds tasks whose ids are new and whose dependencies are known.
    pub(super) fn add(&mut self, tasks: &[TaskSpec]) {
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
            task.planned_in = self.plan;
            self.by_id.insert(spec.id.clone(), at);
            self.tasks.push(task);
            self.open.insert(at);
            if let Some(dep) = failed_dep {
                self.to_skip.insert(at, dep);
            } else if missing == 0 {
                self.enter(at, Phase::Ready { not_before: 0, cause: Cause::First });
            }
        }
    }

    pub(super) fn end_task(
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
            (Phase::Joining, TaskStatus::Completed) => {
                task.grown.open == 0 && task.grown.done >= task.parts_needed()
            }
            (Phase::Closing(n), TaskStatus::Completed) => {
                task.spec.flow.grow.is_none()
                    && task.attempt(*n).and_then(|a| a.end.as_ref()).is_some_and(|e| e.outcome.is_clean())
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
        let parts = if status == TaskStatus::Completed { task.grown.parts.clone() } else { Vec::new() };
        self.to_skip.remove(&at);
        self.enter(at, Phase::Ended(status));
        self.open.remove(&at);
        *self.ended.entry(status).or_insert(0) += 1;
        if status == TaskStatus::Completed {
            self.miss_none(&parts);
        }
        self.part_ended(at, status);
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

    pub(super) fn finish(
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
}
