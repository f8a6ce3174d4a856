//! Whose plan it is that a person is asked to approve.

use crate::Run;
use crate::task::{Phase, Task};
use std::collections::{BTreeSet, VecDeque};

impl Run {
    /// The task that a person is asked about: the one that is named, else the first that may not start without approval.
    pub fn held(&self) -> Option<u32> {
        self.asked.and_then(|asked| asked.task).or_else(|| {
            self.ready.iter().filter(|(lane, _)| lane.held).flat_map(|(_, tasks)| tasks).min().copied()
        })
    }

    /// The task that is planning again what this one is a part of. Nobody is asked about a plan that is about to be another.
    pub(crate) fn planned_anew(&self, task: &Task) -> Option<u32> {
        let parent = task.spec.flow.parent.as_ref().and_then(|id| self.position(id))?;
        let at_work = |t: &Task| t.has_worker() && !matches!(t.phase, Phase::Joining | Phase::Ended(_));
        self.task(parent).is_some_and(at_work).then_some(parent)
    }

    /// Who has planned a task, and would plan it again: the task whose plan it came with, else the model whose result it
    /// builds on. `None` where nobody has.
    pub fn planner_of(&self, at: u32) -> Option<u32> {
        let parent = self.task(at)?.spec.flow.parent.as_ref().and_then(|id| self.position(id));
        let planned = parent.filter(|at| self.task(*at).is_some_and(Task::has_worker));
        planned.or_else(|| self.author_of(at))
    }

    /// The task of a model that is nearest among those that a task depends on.
    fn author_of(&self, at: u32) -> Option<u32> {
        let mut seen = BTreeSet::new();
        let mut next = VecDeque::from([at]);
        while let Some(at) = next.pop_front() {
            let deps = self.task(at)?.spec.depends_on.iter().rev().filter_map(|id| self.position(id));
            for dep in deps.filter(|d| seen.insert(*d)) {
                let task = self.task(dep)?;
                if task.spec.runtime.is_model() && task.has_worker() {
                    return Some(dep);
                }
                next.push_back(dep);
            }
        }
        None
    }
}
