//! Parts of the engine die at any moment: nothing is lost, nothing happens twice, and the run ends by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

#[path = "crash/campaign.rs"]
mod campaign;
#[path = "crash/cancelled.rs"]
mod cancelled;
#[path = "crash/daemon_killed.rs"]
mod daemon_killed;
#[path = "crash/environment.rs"]
mod environment;
#[path = "crash/full_disk.rs"]
mod full_disk;
#[path = "crash/leases.rs"]
mod leases;
#[path = "crash/machine_restarted.rs"]
mod machine_restarted;
#[path = "crash/parts_killed.rs"]
mod parts_killed;
#[path = "crash/unanswered.rs"]
mod unanswered;
#[path = "crash/world.rs"]
mod world;
