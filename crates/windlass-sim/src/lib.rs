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
//! Map: [`simulate`] · `sim` order of steps · `engine`, `drive`, `lead` an engine and its driver · `worker` one attempt's processes ·
//! `world` files, store, clocks · `mischief` accidents and people · `journal` the books · `finish` when all is at rest ·
//! `law` the laws · `swarm` what each seed allows · `spec` random runs · `rng` chance.

mod drive;
mod engine;
mod finish;
mod journal;
mod law;
mod lead;
mod mischief;
mod rng;
mod sim;
mod spec;
mod swarm;
mod worker;
mod world;

pub use law::Law;
pub use swarm::Fault;

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
    /// The last steps, [`LOG_STEPS`] unless another number was asked for, oldest first.
    pub tail: Vec<String>,
}

/// Plays the history of a seed.
///
/// # Errors
/// The first law that is broken, with the steps that led there.
pub fn simulate(seed: u64, fault: Option<Fault>) -> Result<Report, Box<Failure>> {
    simulate_logged(seed, fault, LOG_STEPS)
}

/// The same with another length of [`Failure::tail`].
///
/// # Errors
/// As [`simulate`].
pub fn simulate_logged(seed: u64, fault: Option<Fault>, log: usize) -> Result<Report, Box<Failure>> {
    let mut sim = sim::Sim::new(seed, fault, None);
    if sim.run().is_ok() {
        let events = sim.world.journals.books.values().map(|b| b.events.len() as u64).sum();
        return Ok(Report { steps: sim.steps, crashes: sim.crashes, events });
    }
    // The same again, with a log: the seed is the whole history.
    let mut sim = sim::Sim::new(seed, fault, Some(log));
    let (law, detail) = match sim.run() {
        Err(broken) => (broken.law, broken.detail),
        Ok(()) => (Law::ReplayIsLive, "the same seed gave another history".to_owned()),
    };
    Err(Box::new(Failure { seed, step: sim.steps, law, detail, tail: sim.tail() }))
}
