//! What users write for Windlass, and what follows from it: resource files, config, trust, plans, advice.
//!
//! Everything read here may be hostile: a file ends in typed values or in findings with file, line and column, never in a panic, and in
//! bounded time. This crate reads no process environment and no clock, starts nothing, and prints nothing; where things are and what
//! time it is, the caller says. It writes only where asked: config files, kept answers of trust, `init` and `new`.
//!
//! - Formats: [`agent`], [`team`], [`workflow`] with [`grow`] (what a step becomes), [`skill`]; `front` and `fields` below them; [`source`]: whose a resource is
//! - Finding them: [`places`], [`catalog`] (which one counts for a name), [`builtin`] (what is shipped), [`validate`]
//! - A run: [`shape`] and [`recommend`] (which team), [`gates`] (the checks a project has), [`plan`] (tasks from team, workflow and goal)
//! - Settings: [`config`], [`trust`], [`init`]
//! - Small things: [`diag`], [`text`], [`duration`], `terms`

pub mod agent;
pub mod builtin;
pub mod catalog;
pub mod config;
pub mod diag;
pub mod duration;
mod fields;
mod front;
pub mod gates;
pub mod grow;
pub mod init;
pub mod places;
pub mod plan;
pub mod recommend;
pub mod shape;
pub mod skill;
pub mod source;
pub mod team;
mod terms;
pub mod text;
pub mod trust;
pub mod validate;
pub mod workflow;

pub use front::Text;
