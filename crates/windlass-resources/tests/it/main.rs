//! Everything of this crate that touches files, through its public interface.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails its test")]

mod discovery;
mod growing;
mod planning;
mod settings;
mod trusting;
