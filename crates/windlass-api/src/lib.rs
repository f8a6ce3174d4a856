//! The one door: a typed request and response for each operation, and the client that carries them to an engine.
//!
//! Every host (shell, socket, later MCP and HTTP) speaks these types; there is no engine in this crate, and it must never
//! decide anything about a run.
//!
//! Map: [`request`] what can be asked · [`response`] what comes back · [`client`] over a socket · [`status`] the stable JSON
//! of runs, [`inbox`] of what waits · [`version`] which program is the newer one.

pub mod client;
pub mod growth;
pub mod inbox;
pub mod request;
pub mod response;
pub mod status;
pub mod version;

pub use client::{Client, ClientError};
pub use request::{Call, Request, RunRequest};
pub use response::{ApiError, ErrorKind, Frame, Reply};

/// Version of the lines between client and engine. Both sides say theirs first; a difference is named, never guessed over.
///
/// What is new to an older side and can be refused or passed over there (a further request, a field with a default) leaves it as it is.
/// [`Request::Hello`], [`Request::Status`], [`Request::Stop`] and [`Request::HandOver`] with their replies are the same in every version: any
/// program can see any engine and end it, and a newer one can always take its place.
pub const PROTOCOL: u32 = 1;
