//! Setting up, through the shipped binary: `init`, trust, resources, `validate`, config, `doctor`, the reference pages.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

#[path = "setup/config.rs"]
mod config;
#[path = "setup/doctor.rs"]
mod doctor;
#[path = "setup/pages.rs"]
mod pages;
#[path = "setup/resources.rs"]
mod resources;
#[path = "setup/trust.rs"]
mod trust;
#[path = "setup/world.rs"]
mod world;
