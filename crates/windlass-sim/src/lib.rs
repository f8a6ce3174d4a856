//! The simulator (tests only): whole histories of engines, shims, people and accidents, each from one seed.
//!
//! It links what really decides: the engine's `machine`, the shim's step function, the core's fold, and the store's twin in
//! memory. What performs is simulated: the driver, files and locks of attempts, processes, trees, clocks. A history is a
//! sequence of small steps in an order that the seed decides, and an engine, a shim, an agent or the whole machine may die
//! between any two of them: between a decision and its commit, a commit and its word, an effect and its report.
//!
//! The laws ([`Law`]) are held against the journals and the world, step by step, by books of the simulator's own. A fault
//! can be planted ([`Fault`]) to prove that they can fail.
//!
//! It must never use a thread, a clock, or a map with a random order: the same seed is the same history everywhere.
//!
//! Map: [`simulate`], [`ending`] · `sim` order of steps · `engine`, `drive`, `lead` an engine and its driver · `worker` one attempt's
//! processes · `growth` what workers write as plans · `world` files, store, clocks · `mischief` accidents and people · `journal`,
//! `plans` the books · `finish` when all is at rest · `law` the laws · `fault` planted faults · `shrink` smaller histories ·
//! `swarm` what each seed allows · `spec` random runs · `rng` chance.

mod drive;
mod ending;
mod engine;
mod fault;
mod finish;
mod growth;
mod journal;
mod law;
mod lead;
mod mischief;
mod plans;
mod rng;
mod shrink;
mod sim;
mod spec;
mod swarm;
mod worker;
mod world;

pub use ending::{Ending, ending};
pub use fault::Fault;
pub use law::Law;
pub use shrink::{Cut, shrink};

/// How many lines about the last steps a failure shows.
pub const LOG_STEPS: usize = 40;

/// A history that kept every law.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps taken.
    pub steps: u64,
    /// Engines, shims, agents and machines that died.
    pub crashes: u64,
    /// Events that became durable.
    pub events: u64,
    /// Plans and lists that became tasks.
    pub plans: u64,
    /// Approvals that people gave.
    pub approvals: u64,
}

/// A history that broke one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// The step at which it was seen.
    pub step: u64,
    /// The law.
    pub law: Law,
    /// What was seen.
    pub detail: String,
    /// The last steps, as many as were asked for, oldest first.
    pub tail: Vec<String>,
    /// What was left out of the seed's history.
    pub cut: Cut,
}

/// Plays the history of a seed.
///
/// # Errors
/// The first law that is broken, with the last [`LOG_STEPS`] steps that led there.
pub fn simulate(seed: u64, fault: Option<Fault>) -> Result<Report, Box<Failure>> {
    simulate_cut(seed, fault, &Cut::default(), LOG_STEPS)
}

/// Plays the history of a seed less what is cut out of it, and shows so many of its last steps when it fails.
///
/// # Errors
/// The first law that is broken, with the steps that led there.
pub fn simulate_cut(seed: u64, fault: Option<Fault>, cut: &Cut, log: usize) -> Result<Report, Box<Failure>> {
    let mut sim = sim::Sim::new(seed, fault, cut, None);
    let Err(broken) = sim.run() else {
        let mut report = Report { steps: sim.steps, crashes: sim.crashes, ..Report::default() };
        for book in sim.world.journals.books.values() {
            report.events += book.events.len() as u64;
            report.plans += u64::from(book.plans.number);
            report.approvals += u64::from(book.plans.given);
        }
        return Ok(report);
    };
    if log == 0 {
        return Err(fail(&sim, seed, cut, broken));
    }
    // The same again, with a log: the seed is the whole history.
    let mut sim = sim::Sim::new(seed, fault, cut, Some(log));
    Err(match sim.run() {
        Err(broken) => fail(&sim, seed, cut, broken),
        Ok(()) => {
            let detail = "the same seed gave another history".to_owned();
            fail(&sim, seed, cut, law::Broken { law: Law::ReplayIsLive, detail })
        }
    })
}

fn fail(sim: &sim::Sim, seed: u64, cut: &Cut, broken: law::Broken) -> Box<Failure> {
    let (law, detail) = (broken.law, broken.detail);
    Box::new(Failure { seed, step: sim.steps, law, detail, tail: sim.tail(), cut: cut.clone() })
}
