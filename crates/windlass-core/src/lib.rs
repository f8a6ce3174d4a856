//! The pure core: what happens next in a run, as a function of what happened.
//!
//! There is no clock, randomness, environment, I/O, thread or async in here, and no map with a random order. Time and
//! ids come in with events and inputs. The same journal gives the same state on every machine, which is what lets the
//! simulator crash it at every point.
//!
//! Three functions carry everything:
//! - [`Run::apply`] folds one event into the state, or refuses it and changes nothing;
//! - [`fn@accept`] turns an input from outside into the events it means, or refuses it with a reason;
//! - [`fn@decide`] gives the events that follow by themselves, until none do.
//!
//! What the world must then do is [`Run::wanted`]: a function of the state alone, so that a new engine finds the same
//! work as the one that died.
//!
//! Map: [`run`] the state · [`task`] a task's state · `fold` events into it · `policy` what follows an attempt ·
//! [`decide`](mod@decide) · [`accept`](mod@accept) · [`effects`] · [`caps`] · [`graph`] checks before a run exists ·
//! [`plan`] tasks from the text of a plan or a list ·
//! [`waits`] what is waited for and who ends it · [`why`] something is where it is · [`replay`] a journal held against the core.

pub mod accept;
mod approval;
pub mod caps;
pub mod decide;
pub mod effects;
mod fold;
pub mod graph;
pub mod plan;
mod policy;
pub mod replay;
pub mod run;
pub mod task;
pub mod waits;
pub mod why;

pub use accept::{Input, Refusal, accept};
pub use decide::{Turn, World, decide};
pub use effects::{Effect, StopWhy};
pub use fold::Illegal;
pub use run::Run;
pub use task::{Attempt, Phase, Task};

/// Version of the fold. A state snapshot of another version is ignored and the journal folded again.
pub const FOLD_VERSION: u32 = 3;
