//! The shim: the small process that owns one attempt from claim to end.
//!
//! [`machine`] decides, and is pure; the rest performs, in one loop over one `poll`. The shim has one thread and never waits for
//! anything but its descriptors and its own deadlines.
//!
//! Map: [`machine`] decisions · `run` the loop · `setup` what it is given · `pace` when output is read · `start` the agent's process · `output` pipes to frames · `feed` standard
//! input · `conns` engines · `listen` the socket for later engines · `sweeper` descendants.

mod conns;
mod feed;
mod listen;
pub mod machine;
mod output;
mod pace;
mod run;
mod setup;
mod start;
mod sweeper;

pub use machine::{Machine, ShimAction, ShimInput, SweepRound};
pub(crate) use run::run;
pub(crate) use setup::{Setup, refuse};
