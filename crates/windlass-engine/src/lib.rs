//! The engine: what drives runs.
//!
//! Two parts with a hard border. [`machine`] decides: one thread, `step(input, now) -> what to do`, no I/O, no clock, no async.
//! [`driver`] performs: git, the store, workers, requests. Nothing is decided in the driver, and the machine never waits.
//!
//! This crate must never act on an event before it is durable, and never start a worker without the journal saying so.
//!
//! Map: [`machine`] · [`driver`] and its parts · [`prepare`](mod@prepare) from a request to a run that can be created · [`probe`] agent
//! programs before a run · [`query`] looking, from any process · [`copies`] plain files for people and agents, written whole by `files` ·
//! [`paths`] where things are · [`secrets`] values that are never journaled · [`stored`] requests that wait for whoever leads their
//! run · [`waits`] what runs wait for, in words.

pub mod copies;
pub mod driver;
mod files;
mod growth;
pub mod machine;
pub mod paths;
pub mod prepare;
pub mod probe;
pub mod query;
pub mod secrets;
pub mod stored;
pub mod waits;

pub use driver::{Engine, EngineOptions};
pub use paths::{Paths, RunDir};

use windlass_events::Millis;

/// An instant as people write it, in UTC.
pub fn when(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at)
        .map_or_else(|_| format!("{at} ms"), |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}
