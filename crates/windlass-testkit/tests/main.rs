//! The testkit proves itself before it proves anything else.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod client;
mod fake_worker;
mod harness;
mod model;
mod pi;
mod repo;
