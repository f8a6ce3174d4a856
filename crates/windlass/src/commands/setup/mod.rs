//! Setting up: the project, its resources, what of it is trusted, and settings.
//!
//! Map: [`view`] what there is · [`mod@init`] · [`mod@resources`] agents, teams, workflows, skills ·
//! [`check`] `validate` and `recommend` · [`mod@trust`] · [`mod@config`].

mod check;
mod config;
mod init;
mod resources;
mod trust;
pub(crate) mod view;

pub(crate) use check::{recommend, validate};
pub(crate) use config::config;
pub(crate) use init::init;
pub(crate) use resources::resources;
pub(crate) use trust::{ask_trust, trust};
