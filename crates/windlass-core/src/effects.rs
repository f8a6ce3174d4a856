//! What the world must do for a run, as a function of its state alone.

use crate::run::Run;
use crate::task::Phase;
use windlass_events::event::GateKey;
use windlass_events::{AttemptNo, TaskId};

/// Why an attempt is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopWhy {
    /// A person asked.
    Cancel,
    /// A cap is reached.
    Cap,
}

/// One effect. Its value is its key: it is released once per engine, and after a crash the next engine finds it again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Start the worker of an attempt, or find out what became of it.
    Attempt {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
    },
    /// Stop the worker of an attempt.
    StopAttempt {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// Why.
        why: StopWhy,
    },
    /// Prove that nothing of a lost attempt is left.
    Sweep {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
    },
    /// Keep the tree before or after an attempt.
    KeepTree {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// Whether before it.
        before: bool,
    },
    /// Read what a task grows into: from the result of this attempt, or (0) from the list.
    Expand {
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
    },
    /// Run a gate, or find out what became of it.
    Gate(GateKey),
    /// Stop a gate.
    StopGate(GateKey),
    /// Bring a person's text to a worker.
    Steer {
        /// Request.
        id: String,
        /// Task.
        task: TaskId,
        /// Attempt.
        n: AttemptNo,
        /// Text.
        text: String,
    },
}

impl Run {
    /// What the world must do now for the task at a position.
    pub fn wanted_for(&self, at: u32, out: &mut Vec<Effect>) {
        let Some(task) = self.task(at) else { return };
        let id = || task.spec.id.clone();
        match task.phase {
            Phase::Keeping => out.push(Effect::KeepTree { task: id(), n: task.next_n(), before: true }),
            Phase::Running(n) => {
                out.push(Effect::Attempt { task: id(), n });
                if self.cancel || task.cancel {
                    out.push(Effect::StopAttempt { task: id(), n, why: StopWhy::Cancel });
                } else if task.attempt(n).is_some_and(|a| a.stopped_by_cap) {
                    out.push(Effect::StopAttempt { task: id(), n, why: StopWhy::Cap });
                }
            }
            Phase::Lost(n) => out.push(Effect::Sweep { task: id(), n }),
            Phase::KeepingAfter(n) => out.push(Effect::KeepTree { task: id(), n, before: false }),
            Phase::Gate { gate, n, .. } => {
                let key = GateKey { task: Some(id()), gate, n };
                out.push(Effect::Gate(key.clone()));
                if self.cancel || task.cancel {
                    out.push(Effect::StopGate(key));
                }
            }
            Phase::Expanding(n) => out.push(Effect::Expand { task: id(), n }),
            Phase::Queued
            | Phase::Ready { .. }
            | Phase::Kept
            | Phase::Closing(_)
            | Phase::Joining
            | Phase::Ended(_) => {}
        }
    }

    /// What the world must do now for the run as a whole: baseline gates and steering texts.
    pub fn wanted_for_run(&self, out: &mut Vec<Effect>) {
        if self.baseline_live
            && let Some(live) = self.baseline_tries.last()
        {
            let key = GateKey { task: None, gate: live.gate, n: live.n };
            out.push(Effect::Gate(key.clone()));
            if self.cancel {
                out.push(Effect::StopGate(key));
            }
        }
        for (id, (at, n, text)) in &self.steers {
            if let Some(task) = self.task(*at) {
                out.push(Effect::Steer {
                    id: id.clone(),
                    task: task.spec.id.clone(),
                    n: *n,
                    text: text.clone(),
                });
            }
        }
    }

    /// Everything that the world must do now, each after what it is about: a text for a worker after that worker. A new engine
    /// begins with this.
    pub fn wanted(&self) -> Vec<Effect> {
        let mut out = Vec::new();
        for &at in &self.busy {
            self.wanted_for(at, &mut out);
        }
        self.wanted_for_run(&mut out);
        out
    }
}
