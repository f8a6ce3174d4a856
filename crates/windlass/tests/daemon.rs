//! The life of the daemon, runs without one, watching and leaving, and how many workers may live at once.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

#[path = "daemon/inline.rs"]
mod inline;
#[path = "daemon/life.rs"]
mod life;
#[path = "daemon/limits.rs"]
mod limits;
#[path = "daemon/outcomes.rs"]
mod outcomes;
#[path = "daemon/time.rs"]
mod time;
#[path = "daemon/watching.rs"]
mod watching;
#[path = "crash/world.rs"]
mod world;
