//! What a run comes to when its engine is killed on the way, and when it is not: the same.

use crate::law::{Check, Law, hold};
use crate::shrink::Cut;
use crate::sim::{CALM_STEPS, Sim};
use crate::swarm::Swarm;
use crate::{Failure, fail};
use std::collections::{BTreeMap, BTreeSet};
use windlass_core::Input;
use windlass_events::event::WaitFor;
use windlass_events::spec::RedGate;
use windlass_events::{Event, RunStatus, Usage};

/// How a run ended, by its journal, apart from times, attempts, and the order of what has nothing to do with each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// What is in the journal about each task, in order; what is about the run as a whole is under an empty name.
    pub told: BTreeMap<String, Vec<String>>,
    /// What all workers used.
    pub usage: Usage,
    /// Steps of the history.
    pub steps: u64,
    /// How often an engine was killed.
    pub kills: u64,
}

/// Plays the run of a seed in a world without accidents but one: before each of these steps, counted from when the run is
/// durable, the engine is killed, whatever it is doing, and another one starts. What workers do depends on nothing but their task and what came of it before.
///
/// # Errors
/// The first law that is broken.
pub fn ending(seed: u64, kills: &BTreeSet<u64>) -> Result<Ending, Box<Failure>> {
    let cut = Cut { runs: Some(1), ..Cut::default() };
    let mut sim = Sim::new(seed, None, &cut, Some(crate::LOG_STEPS));
    sim.world.swarm = Swarm {
        engine_crash: true,
        batches: true,
        late_fork: true,
        orphans: true,
        snapshots: true,
        grows: true,
        approvals: true,
        ..Swarm::default()
    };
    sim.world.repeatable = true;
    sim.repeatable = true;
    match sim.run_through(kills) {
        Ok(()) => Ok(Ending { steps: sim.steps, kills: sim.crashes, ..told(&sim) }),
        Err(broken) => Err(fail(&sim, seed, &cut, broken)),
    }
}

impl Sim {
    fn run_through(&mut self, kills: &BTreeSet<u64>) -> Check {
        self.start_engine(false);
        self.create();
        self.calm = true;
        let mut begun = None;
        loop {
            if begun.is_none() && !self.world.journals.books.is_empty() {
                begun = Some(self.steps);
            }
            if begun.is_some_and(|begun| kills.contains(&(self.steps - begun))) {
                self.crash_engine();
            }
            if self.step()? {
                hold(self.steps < CALM_STEPS, Law::Liveness, || "the history does not end".to_owned())?;
            } else if !self.agree() {
                return self.finish();
            }
        }
    }

    /// Somebody says yes to what the run asks. `false`: it asks nothing.
    fn agree(&mut self) -> bool {
        let Some(run) = self.runs.first().copied() else { return false };
        let Some(book) = self.world.journals.books.get(&run) else { return false };
        if book.run.status() != RunStatus::Waiting {
            return false;
        }
        let input = match book.run.waiting.as_ref().map(|w| w.0) {
            Some(WaitFor::Answer) => Input::SettleGates { answer: RedGate::Mend },
            _ if book.run.asked.is_some() => Input::Approve { question: None, by: "user".to_owned() },
            _ => return false,
        };
        if self.engines.is_empty() {
            // Who asks starts the daemon.
            self.start_engine(false);
        }
        self.put(run, input);
        true
    }
}

fn told(sim: &Sim) -> Ending {
    let mut ending = Ending::default();
    for book in sim.world.journals.books.values() {
        ending.usage = ending.usage.plus(&book.run.usage);
        for (_, event) in &book.events {
            if let Some((about, text)) = lasting(event) {
                ending.told.entry(about).or_default().push(text);
            }
        }
    }
    ending
}

/// What of an event lasts: what it is about, and what it says.
fn lasting(event: &Event) -> Option<(String, String)> {
    let (task, text) = match event {
        Event::TaskCompleted { task, proof } => (Some(task), format!("completed, {proof}")),
        Event::TaskFailed { task, failure } => (Some(task), format!("failed: {failure:?}")),
        Event::TaskNeedsAttention { task, failure } => (Some(task), format!("attention: {failure:?}")),
        // Of several that failed, the one that did last.
        Event::TaskSkipped { task, .. } => (Some(task), "skipped".to_owned()),
        Event::TaskCancelled { task } => (Some(task), "cancelled".to_owned()),
        Event::ListWanted { task } => (Some(task), "its list is wanted".to_owned()),
        Event::PlanMade { task, revision, tasks, kept, dropped, .. } => {
            (Some(task), format!("plan {revision}: {tasks:?}, kept {kept:?}, dropped {dropped:?}"))
        }
        Event::PlanRefused { task, reasons, .. } => (Some(task), format!("no plan: {reasons:?}")),
        Event::ApprovalGiven { task: Some(task), .. } => (Some(task), "approved".to_owned()),
        Event::GateEnded { key, end } => (key.task.as_ref(), format!("gate {}: {:?}", key.gate, end.outcome)),
        Event::GatesSettled { gates, answer } => (None, format!("gates {gates:?}: {answer:?}")),
        Event::RunCompleted { proof } => (None, format!("completed, {proof}")),
        Event::RunFailed { failure, task, proof } => (None, format!("{task:?} failed: {failure:?}, {proof}")),
        Event::RunBlocked { failure } => (None, format!("blocked: {failure:?}")),
        Event::RunCancelled {} => (None, "cancelled".to_owned()),
        _ => return None,
    };
    Some((task.map(ToString::to_string).unwrap_or_default(), text))
}
