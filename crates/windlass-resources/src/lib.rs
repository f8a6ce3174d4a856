//! What users write for Windlass: agent, team, workflow and skill files.
//!
//! Everything read here may be hostile: a file ends in a typed value or in findings with file, line and column, never in a panic.
//! This crate reads no process environment, no clock, and starts nothing.
//!
//! - [`agent`], [`team`], [`workflow`], [`skill`]: the formats; [`source`]: where a resource comes from
//! - [`places`], [`catalog`]: where they are looked for, and which one counts for a name; [`builtin`]: those that are shipped
//! - [`plan`]: a team, a workflow and a goal become tasks; [`shape`], [`recommend`]: which team; [`gates`]: the checks a project has; [`validate`]
//! - [`diag`], [`text`], [`duration`]: findings, files, lengths of time

pub mod agent;
pub mod builtin;
pub mod catalog;
pub mod diag;
pub mod duration;
mod fields;
mod front;
pub mod gates;
pub mod places;
pub mod plan;
pub mod recommend;
pub mod shape;
pub mod skill;
pub mod source;
pub mod team;
mod terms;
pub mod text;
pub mod validate;
pub mod workflow;

pub use front::Text;
