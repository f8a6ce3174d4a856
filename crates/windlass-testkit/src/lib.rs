//! What Windlass's tests stand on: real parts where real parts can be had, and exact stand-ins where they cannot.
//!
//! Used by tests only. It must never be a dependency of anything that ships, never reach beyond loopback, never read
//! or write the home of the person who runs the tests, and never skip: what a test needs and does not find is a
//! failure that names the command to run.
//!
//! Nothing here waits by sleeping and hoping. A reply of the model server can be *held* until the test lets it go,
//! requests and processes are waited for by condition with a deadline, and every deadline that passes is a panic that
//! shows what was seen until then.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`model`] | a scripted model server on loopback: Anthropic Messages and OpenAI chat completions |
//! | [`pi`] | a home in which the real `pi` is signed in to that server, and where the pinned `pi` lies |
//! | [`repo`] | temporary git repositories, and the two fixture projects whose test fails |
//! | [`harness`] | the shipped `windlass` binary in a world of its own |
//! | `cast` | who works for its user: agents, teams, workflows, scripts as files |
//! | [`terminal`] | a program on a pseudo terminal, its screen as text |
//! | [`process`] | running programs with a deadline; what of a process tree is still alive |
//! | [`programs`] | where the fake worker and its relatives lie |
//!
//! Programs: `model-server` (the scripted server as a process of its own), `windlass-fake-worker` (a worker for the
//! `command` runtime that behaves as badly as its arguments say), `windlass-noop` (ends at once, for benchmarks).
//!
//! Functions here panic where a test would have to: they are the test.

mod cast;
pub mod harness;
pub mod model;
pub mod pi;
pub mod process;
pub mod programs;
pub mod repo;
pub mod terminal;

pub use harness::Windlass;
pub use model::{ModelServer, Reply, Rule, Script};
pub use pi::PiHome;
pub use repo::TempRepo;

use std::fmt::Display;
use std::time::Duration;

/// How long anything may take before a test gives up on it. Generous: it is a net, not a measurement.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The value, or a panic that says what could not be done and why.
#[track_caller]
pub(crate) fn must<T, E: Display>(result: Result<T, E>, what: impl Display) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error}"),
    }
}
