//! The state of a run: a fold over its journal, with the indexes that make one decision cost its own change.

use crate::task::{GateTry, Phase, Task};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use windlass_events::event::{CapKind, Snapshot, WaitFor};
use windlass_events::outcome::Failure;
use windlass_events::spec::{Caps, RedGate, RunSpec};
use windlass_events::{Millis, Proof, RunId, RunStatus, Seq, TaskId, TaskStatus, Usage};

/// Who holds the tree's turn within the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    /// The baseline of the gates.
    Baseline,
    /// The task at this position.
    Task(u32),
}

/// The gates before anything was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Baseline {
    /// Not begun, or between two gates.
    Open,
    /// A person is asked what a red project gate means.
    Asked,
    /// Done, or nothing to do.
    Done,
}

/// A group of tasks that start under the same rule: role, and whether they need the turn.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lane {
    /// Role.
    pub role: String,
    /// Whether a start needs the tree's turn first.
    pub turn: bool,
    /// Whether a start needs a person's approval first.
    pub held: bool,
}

/// What a person is asked to approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Position of the task; `None` is the plan.
    pub task: Option<u32>,
    /// Number of the plan.
    pub plan: u32,
    /// Place of the question in the journal: an answer is to this one, and to none that follows.
    pub question: Seq,
    /// Since when.
    pub at: Millis,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Terminal status.
    pub status: RunStatus,
    /// What is proved of the whole.
    pub proof: Proof,
    /// First failure, and the task it is of.
    pub failure: Option<(Failure, Option<TaskId>)>,
    /// When.
    pub at: Millis,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Id.
    pub id: RunId,
    /// What it is.
    pub spec: RunSpec,
    /// Place of the last event folded.
    pub seq: Seq,
    /// When it was created.
    pub created_at: Millis,
    /// When the last event was accepted.
    pub updated_at: Millis,
    /// Tasks in order.
    pub tasks: Vec<Task>,
    /// Positions by id.
    pub by_id: BTreeMap<TaskId, u32>,
    /// Tasks that are not in a terminal state.
    pub open: BTreeSet<u32>,
    /// Tasks that want a start now, by lane.
    #[serde(with = "pairs")]
    pub ready: BTreeMap<Lane, BTreeSet<u32>>,
    /// Tasks that want a start later.
    pub due: BTreeSet<(Millis, u32)>,
    /// Tasks for which something must be decided.
    pub pending: BTreeSet<u32>,
    /// Queued tasks whose dependency did not complete: the task, and that dependency.
    pub to_skip: BTreeMap<u32, u32>,
    /// Tasks that use a slot.
    pub busy: BTreeSet<u32>,
    /// Busy tasks by role.
    pub busy_by_role: BTreeMap<String, u32>,
    /// Number of tasks in each terminal status.
    pub ended: BTreeMap<TaskStatus, u32>,
    /// Totals of all attempts, live ones included.
    pub usage: Usage,
    /// Caps in force.
    pub caps: Caps,
    /// Since when the wall-clock cap counts.
    pub wall_since: Millis,
    /// Caps of which 80 % was announced.
    pub warned: BTreeSet<CapKind>,
    /// Cap that was reached, until a person resumes.
    pub reached: Option<CapKind>,
    /// Where the baseline of the gates stands.
    pub baseline: Baseline,
    /// Tries of the gates in the baseline.
    pub baseline_tries: Vec<GateTry>,
    /// Whether a baseline gate is live.
    pub baseline_live: bool,
    /// Gates that no longer count.
    pub left_out: BTreeSet<u32>,
    /// What a person or the policy said of red project gates.
    pub red_answer: Option<RedGate>,
    /// Who holds the tree's turn.
    pub turn: Option<Holder>,
    /// How often the turn was taken.
    pub turns: u32,
    /// Whether a person asked to stop the run.
    pub cancel: bool,
    /// How often tasks were added while the run went on: the number of the plan.
    pub plan: u32,
    /// The newest plan that a person approved.
    pub approved_plan: Option<u32>,
    /// What a person is asked to approve.
    pub asked: Option<Asked>,
    /// Since when nothing of the run is live and it waits for a person: that time is no part of its wall clock.
    pub paused_at: Option<Millis>,
    /// Ended tasks that did not complete and that the run does not miss.
    pub excused: u32,
    /// What the run waits for, who or what ends it, and since when.
    pub waiting: Option<(WaitFor, String, Millis)>,
    /// Boot id of the machine that last led it.
    pub boot: String,
    /// Whether the machine was restarted under it and nobody has said how to go on.
    pub restarted: bool,
    /// Why nothing can start.
    pub blocked: Option<Failure>,
    /// How it ended.
    pub end: Option<RunEnd>,
    /// Steering texts sent and not yet reported on: id, task, attempt, text.
    pub steers: BTreeMap<String, (u32, u32, String)>,
    /// Kept states made so far; the next one's number.
    pub next_snapshot: u32,
    /// Notices and moved heads, newest last; at most 100.
    pub notices: Vec<String>,
    /// The pair of the last undo, and whether it was a redo.
    pub undone: Option<(Snapshot, Snapshot, bool)>,
}

impl Run {
    /// Gives back what reading it from a saved state left over: lists grow ahead of what is in them, and each task has some.
    pub fn shrink(&mut self) {
        for task in &mut self.tasks {
            task.attempts.shrink_to_fit();
            task.gates.shrink_to_fit();
            task.kept.shrink_to_fit();
        }
    }

    /// The position of a task.
    pub fn position(&self, id: &TaskId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    /// The task at a position.
    pub fn task(&self, at: u32) -> Option<&Task> {
        self.tasks.get(at as usize)
    }

    /// The task with an id.
    pub fn task_by_id(&self, id: &TaskId) -> Option<&Task> {
        self.task(self.position(id)?)
    }

    /// Whether all tasks that the run was created with are known.
    pub fn is_planned(&self) -> bool {
        self.tasks.len() >= self.spec.task_count as usize
    }

    /// Whether the run is in a terminal state.
    pub const fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether something of the run is live. A task that holds the turn and merely may start is not.
    pub fn is_busy(&self) -> bool {
        let live = |at: &u32| self.task(*at).is_some_and(|t| t.phase.is_busy() && t.phase != Phase::Kept);
        self.baseline_live || self.busy.iter().any(live)
    }

    /// Whether a process of the run is alive or a step of Windlass for it is under way, so that an input will come.
    pub fn is_live(&self) -> bool {
        let live = |at: &u32| {
            self.task(*at)
                .is_some_and(|t| t.phase.is_busy() && !matches!(t.phase, Phase::Kept | Phase::Closing(_)))
        };
        self.baseline_live || self.busy.iter().any(live)
    }

    /// Number of slots in use. The baseline has one for as long as it has the turn; a blocked run, of which nothing is live,
    /// keeps none from others, and has those of its unchecked tasks again when it goes on.
    pub fn slots_used(&self) -> u32 {
        if self.blocked.is_some() {
            return 0;
        }
        let baseline = self.baseline_live || self.turn == Some(Holder::Baseline);
        u32::try_from(self.busy.len()).unwrap_or(u32::MAX).saturating_add(u32::from(baseline))
    }

    /// Number of tasks in a terminal status.
    pub fn ended_with(&self, status: TaskStatus) -> u32 {
        self.ended.get(&status).copied().unwrap_or(0)
    }

    /// The status that users see.
    pub fn status(&self) -> RunStatus {
        if let Some(end) = &self.end {
            return end.status;
        }
        if self.blocked.is_some() {
            return RunStatus::Blocked;
        }
        if !self.is_planned() {
            return RunStatus::Queued;
        }
        if self.is_live() {
            return RunStatus::Running;
        }
        if self.waiting.is_some() || self.asked.is_some() {
            return RunStatus::Waiting;
        }
        if self.ready.is_empty() && self.pending.is_empty() && !self.due.is_empty() {
            return RunStatus::Waiting;
        }
        RunStatus::Running
    }

    /// What is proved of the run as far as it has come.
    pub fn proof(&self) -> Proof {
        self.end.as_ref().map_or(Proof::None, |e| e.proof)
    }

    /// Whether a gate still counts.
    pub fn gate_counts(&self, gate: u32) -> bool {
        !self.left_out.contains(&gate)
    }

    /// The conclusive try of a gate in the baseline.
    pub fn baseline_of(&self, gate: u32) -> Option<&GateTry> {
        self.baseline_tries.iter().rev().find(|t| t.gate == gate && t.end.is_some())
    }

    /// Whether a person must approve before the task may start.
    pub fn needs_approval(&self, task: &Task) -> bool {
        let writes = task.spec.access == windlass_events::Access::Write && task.has_worker();
        let of_plan =
            self.spec.approve_plan && writes && self.approved_plan.is_none_or(|p| task.planned_in > p);
        (task.spec.flow.approve && !task.approved) || of_plan
    }

    /// Who made the list of a task that could not use it, where it can be made anew: it is completed, and nothing that depends
    /// on it is still to come.
    pub(crate) fn refused_list(&self, at: u32) -> Option<u32> {
        let task = self.task(at)?;
        let Some(windlass_events::Grow::Each(each)) = &task.spec.flow.grow else { return None };
        let refused = task.grown.revision == 0 && task.grown.refused.is_some();
        let ended = |t: &Task| matches!(t.phase, Phase::Ended(_));
        let list = self.position(each.over.as_ref().filter(|_| refused && ended(task))?)?;
        let maker = self.task(list)?;
        let over = maker.dependants.iter().all(|d| self.task(*d).is_some_and(ended));
        (over && maker.phase == Phase::Ended(TaskStatus::Completed)).then_some(list)
    }

    /// Positions of everything that builds on a task, however far.
    pub fn builds_on(&self, at: u32) -> BTreeSet<u32> {
        let mut all = BTreeSet::new();
        let mut next = vec![at];
        while let Some(at) = next.pop() {
            let dependants = self.task(at).map_or(&[][..], |t| &t.dependants);
            next.extend(dependants.iter().copied().filter(|d| all.insert(*d)));
        }
        all
    }

    /// Whether nothing is live and a person is asked something.
    pub fn waits_for_person(&self) -> bool {
        (self.asked.is_some() || self.baseline == Baseline::Asked) && self.end.is_none() && !self.is_live()
    }

    /// The sum of the starts that the tasks may use: the announced worst case.
    pub fn worst_case_starts(&self) -> u64 {
        self.tasks.iter().map(starts_of).fold(0, u64::saturating_add)
    }

    /// The earliest instant after `now` at which something follows by itself. What was due before has been decided on
    /// already, and waits for a slot or a turn.
    pub fn next_due(&self, now: Millis) -> Option<Millis> {
        if self.end.is_some() || self.blocked.is_some() {
            return None;
        }
        let retry = self.due.range((now.saturating_add(1), 0)..).next().map(|(at, _)| *at);
        let wall = crate::caps::next_wall(self).filter(|at| *at > now);
        [retry, wall].into_iter().flatten().min()
    }

    /// Whether it goes on without anybody's word: something of it is live or due, or starts as soon as there is room or the tree is free.
    /// One that waits for a person, or for what somebody must bring, does not.
    pub fn goes_on(&self) -> bool {
        if self.end.is_some() || self.blocked.is_some() {
            return false;
        }
        let waits = self.waiting.as_ref().is_some_and(|w| w.0 != WaitFor::Tree);
        self.is_live() || self.cancel || !waits
    }

    pub(crate) fn lane(&self, at: u32) -> Option<Lane> {
        let task = self.task(at)?;
        let has_it = self.turn == Some(Holder::Task(at));
        Some(Lane {
            role: task.spec.role.clone(),
            turn: task.takes_turn() && !has_it,
            held: self.needs_approval(task),
        })
    }

    /// Puts a task into the index that fits its phase. Called after every change of a phase.
    pub(crate) fn enter(&mut self, at: u32, phase: Phase) {
        let Some(task) = self.tasks.get_mut(at as usize) else { return };
        let was_busy = self.busy.contains(&at);
        if let Phase::Ready { not_before, .. } = task.phase {
            self.due.remove(&(not_before, at));
            for set in self.ready.values_mut() {
                set.remove(&at);
            }
            self.ready.retain(|_, set| !set.is_empty());
        }
        self.pending.remove(&at);
        let role = task.spec.role.clone();
        task.phase = phase.clone();
        // Who holds the turn keeps its slot until it ends, or a reader's gate that waits for the turn could starve it.
        let holds = self.turn == Some(Holder::Task(at));
        let is_busy = phase.is_busy() || (holds && matches!(phase, Phase::Ready { .. }));
        if was_busy && !is_busy {
            self.busy.remove(&at);
            if let Some(count) = self.busy_by_role.get_mut(&role) {
                *count = count.saturating_sub(1);
            }
        } else if is_busy && !was_busy {
            self.busy.insert(at);
            *self.busy_by_role.entry(role).or_insert(0) += 1;
        }
        match phase {
            Phase::Ready { not_before, .. } if not_before > self.updated_at => {
                self.due.insert((not_before, at));
            }
            Phase::Ready { .. } => {
                if let Some(lane) = self.lane(at) {
                    self.ready.entry(lane).or_default().insert(at);
                }
            }
            Phase::Kept | Phase::Closing(_) => {
                self.pending.insert(at);
            }
            _ => {}
        }
    }
}

/// The starts that a task and what may yet grow from it can use.
fn starts_of(task: &Task) -> u64 {
    let own = if task.has_worker() { u64::from(task.spec.attempts) } else { 0 };
    let Some(grow) = &task.spec.flow.grow else { return own };
    // What has grown is counted by itself; what can still grow, with it.
    let to_come = if task.grown.revision == 0 {
        grow.revisions()
    } else {
        let again = grow.revisions().saturating_sub(1).saturating_sub(task.grown.replans);
        again.saturating_add(u32::from(!matches!(task.phase, Phase::Joining | Phase::Ended(_))))
    };
    own.saturating_add(grow.starts().saturating_mul(u64::from(to_come)))
}

/// A map whose keys are no strings, as a list of pairs: JSON knows only strings as keys.
mod pairs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        Ok(Vec::<(K, V)>::deserialize(from)?.into_iter().collect())
    }
}
