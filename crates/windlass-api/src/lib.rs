//! Typed requests and responses, and the client.
