//! The crate against the real git program, in temporary repositories.

mod harness;
mod laws;
