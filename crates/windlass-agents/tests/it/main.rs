//! The adapters through their public face: recordings of real programs, scripts, and hostile input.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod command;
mod launch;
mod packages;
mod pi_outcomes;
mod pi_recordings;
mod rehearsal;
mod support;
