//! The crate against the real git program, in temporary repositories.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod diff;
mod discover;
mod harness;
mod hostile;
mod laws;
mod review;
mod snapshot;
mod undo;
