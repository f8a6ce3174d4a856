//! One version in the place of another: a daemon is taken over without losing anything, and what is too new is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

#[path = "handover/killed.rs"]
mod killed;
#[path = "handover/place.rs"]
mod place;
#[path = "handover/protocol.rs"]
mod protocol;
#[path = "handover/store.rs"]
mod store;
#[path = "handover/versions.rs"]
mod versions;
#[path = "crash/world.rs"]
mod world;
