//! The books of what grows and of what people approve: by events alone, apart from the fold.

use crate::law::{Check, Law, broken, hold};
use std::collections::{BTreeMap, BTreeSet};
use windlass_events::spec::{RunSpec, TaskSpec};
use windlass_events::{Access, AttemptNo, Event, Grow, TaskId, TaskStatus};

/// What grew in a run, and what was approved of it.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    /// How often tasks were added: the number of the plan.
    pub(crate) number: u32,
    /// Number of the plan that each task came with.
    planned_in: BTreeMap<TaskId, u32>,
    /// Tasks of the newest plan of each task.
    parts: BTreeMap<TaskId, Vec<TaskId>>,
    /// Attempts whose result was read.
    read: BTreeSet<(TaskId, AttemptNo)>,
    /// Tasks whose newest list could not be used.
    refused: BTreeSet<TaskId>,
    /// Tasks that wait for a list.
    wanted: BTreeSet<TaskId>,
    asked: Option<(Option<TaskId>, u32)>,
    approved: BTreeSet<TaskId>,
    approved_plan: Option<u32>,
    /// How often somebody approved.
    pub(crate) given: u32,
}

impl Plans {
    /// Notes an event. `tasks` are those that the run has so far.
    pub(crate) fn note(&mut self, event: &Event, run: &RunSpec, tasks: &BTreeMap<TaskId, TaskSpec>) -> Check {
        match event {
            Event::TasksPlanned { tasks } => {
                self.planned_in.extend(tasks.iter().map(|t| (t.id.clone(), self.number)));
            }
            Event::ListWanted { task } => {
                self.may_start(task, run, tasks)?;
                let again = !self.wanted.insert(task.clone());
                hold(!again, Law::Growth, || format!("the list of {task} is wanted twice"))?;
            }
            Event::PlanMade { task, n, tasks: new, kept, dropped, .. } => {
                self.note_read(task, *n)?;
                let old = self.parts.get(task).map_or(&[][..], Vec::as_slice);
                let strange = kept.iter().chain(dropped).find(|t| !old.contains(t));
                hold(strange.is_none(), Law::Growth, || {
                    format!("{strange:?} is of no plan of {task} and is kept or dropped")
                })?;
                self.refused.remove(task);
                self.number += 1;
                self.asked = self.asked.take().filter(|(of, _)| of.is_some());
                self.planned_in.extend(new.iter().map(|t| (t.id.clone(), self.number)));
                let parts = kept.iter().cloned().chain(new.iter().map(|t| t.id.clone())).collect();
                self.parts.insert(task.clone(), parts);
            }
            Event::PlanRefused { task, n, .. } => {
                self.note_read(task, *n)?;
                if *n == 0 {
                    self.refused.insert(task.clone());
                }
            }
            Event::TaskCancelled { task } | Event::TaskFailed { task, .. } => {
                self.wanted.remove(task);
            }
            Event::ApprovalAsked { task, plan } => {
                let asked = self.asked.replace((task.clone(), *plan));
                hold(asked.is_none(), Law::Approval, || format!("asked for {task:?} while {asked:?} is"))?;
            }
            Event::ApprovalGiven { task, plan, .. } => {
                let asked = self.asked.take();
                hold(asked.as_ref() == Some(&(task.clone(), *plan)), Law::Approval, || {
                    format!("{task:?} of plan {plan} is approved, and {asked:?} is asked")
                })?;
                self.given += 1;
                match task {
                    Some(task) => drop(self.approved.insert(task.clone())),
                    None => self.approved_plan = Some(*plan),
                }
            }
            Event::ApprovalRefused { plan, .. } => {
                let asked = self.asked.take();
                hold(asked.as_ref().is_some_and(|(_, p)| p == plan), Law::Approval, || {
                    format!("plan {plan} is refused, and {asked:?} is asked")
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What a worker wrote becomes tasks, or is refused, once.
    fn note_read(&mut self, task: &TaskId, n: AttemptNo) -> Check {
        let first = if n == 0 { self.wanted.remove(task) } else { self.read.insert((task.clone(), n)) };
        hold(first, Law::Growth, || format!("what {task} grows into is read twice from its attempt {n}"))
    }

    /// Whether a task made the list that another one could not use: it is done again with that one.
    pub(crate) fn made_in_vain(
        &self,
        maker: &TaskId,
        others: &[TaskId],
        tasks: &BTreeMap<TaskId, TaskSpec>,
    ) -> bool {
        others.iter().filter(|id| self.refused.contains(*id)).filter_map(|id| tasks.get(id)).any(
            |task| matches!(&task.flow.grow, Some(Grow::Each(each)) if each.over.as_ref() == Some(maker)),
        )
    }

    /// Nothing that needs a person's word starts without.
    pub(crate) fn may_start(&self, id: &TaskId, run: &RunSpec, tasks: &BTreeMap<TaskId, TaskSpec>) -> Check {
        let Some(task) = tasks.get(id) else {
            return broken(Law::Growth, format!("{id} starts, and no plan has it"));
        };
        if task.flow.approve && !self.approved.contains(id) {
            return broken(Law::Approval, format!("{id} starts, and nobody has approved it"));
        }
        let has_worker = !matches!(task.flow.grow, Some(Grow::Each(_)));
        let planned = self.planned_in.get(id).copied().unwrap_or(0);
        let held = run.approve_plan && task.access == Access::Write && has_worker;
        hold(!held || self.approved_plan.is_some_and(|p| planned <= p), Law::Approval, || {
            format!(
                "{id} of plan {planned} starts, and plan {:?} is the last that was approved",
                self.approved_plan
            )
        })
    }

    /// A task that others grew from completes when they have ended and enough of them are completed.
    pub(crate) fn may_complete(&self, task: &TaskSpec, ended: &BTreeMap<TaskId, TaskStatus>) -> Check {
        let Some(grow) = &task.flow.grow else { return Ok(()) };
        let id = &task.id;
        let Some(parts) = self.parts.get(id) else {
            return broken(Law::Growth, format!("{id} completes, and nothing grew from it"));
        };
        let open = parts.iter().find(|part| !ended.contains_key(*part));
        hold(open.is_none(), Law::Growth, || format!("{id} completes before {open:?}, which grew from it"))?;
        let done = parts.iter().filter(|part| ended.get(*part) == Some(&TaskStatus::Completed)).count();
        let needed = grow.join().of(u32::try_from(parts.len()).unwrap_or(u32::MAX));
        hold(done >= needed as usize, Law::Growth, || format!("{id} completes with {done} of {needed} parts"))
    }
}
