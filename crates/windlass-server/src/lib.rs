//! Hosts of the API: what lets other processes ask an engine. So far the socket.
//!
//! A host carries typed requests to the engine and frames back; it decides nothing and keeps nothing. It answers only processes of
//! the same user.
//!
//! Map: [`socket`] lines of JSON over a Unix socket.

pub mod socket;

pub use socket::{BindError, Socket};
