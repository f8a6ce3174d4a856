//! Everything of this crate that touches files, through its public interface.

mod discovery;
mod planning;
