//! The real pi, driven by the shipped binary against a scripted model server on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

mod cancel;
mod caps;
mod extensions;
mod killed;
mod plan;
mod probe;
mod provider;
mod repair;
mod solo;
mod steer;
mod support;
mod team;
