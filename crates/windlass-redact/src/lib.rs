//! Keeps secrets out of everything that Windlass stores or shows.
//!
//! Two layers. [`Replacer`] knows the exact secret values of a run and replaces them, in every form they usually take, in
//! the raw bytes of a worker, before anything is written. [`patterns`] finds text that *looks* like a key where text
//! leaves the spool. [`mod@env`] decides which variables of the requesting shell travel with a run at all, and how.
//!
//! This crate is pure. It must never read the environment, do I/O, print, or show a secret in `Debug` or in an error.
//! It must never alter text that holds no secret.
//!
//! Map: [`forms`] the forms one secret takes · [`replacer`] exact values, streaming · [`patterns`] what looks like a key ·
//! [`mod@env`] the table of environment variables.

pub mod env;
pub mod forms;
pub mod patterns;
pub mod replacer;

pub use env::{EnvClass, classify, classify_pair, is_provider_key};
pub use patterns::redact_text;
pub use replacer::{Replacer, StreamReplacer};

/// What stands where a secret stood.
pub const MARKER: &str = "[redacted]";
