//! Typed requests and responses, and the client.

pub mod status;
