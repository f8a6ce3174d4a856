//! The connection to a shim: started by us, or found again.

use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use windlass_worker::control::{self, FromShim, ToShim};

/// Room for what a shim says first, and for most of what it says later.
const ROOM: usize = 1 << 10;

/// A shim's control connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Link {
    /// Takes the engine's end of a new shim's connection.
    pub(crate) fn new(stream: std::os::unix::net::UnixStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream: UnixStream::from_std(stream)?, buffer: Vec::with_capacity(ROOM) })
    }

    /// Connects to a shim that another engine started.
    pub(crate) fn connect(socket: &Path) -> std::io::Result<Self> {
        Self::new(control::connect(socket).map_err(std::io::Error::other)?)
    }

    /// The next message; `None` when the shim is gone or speaks something else. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Option<FromShim> {
        loop {
            match FromShim::decode(&self.buffer) {
                Ok(Some((message, used))) => {
                    self.buffer.drain(..used);
                    return Some(message);
                }
                Ok(None) => {}
                Err(_) => return None,
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Sends a message. An error is not reported: the end of the connection is, by [`Link::next`].
    pub(crate) async fn send(&mut self, message: &ToShim) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let _ = self.stream.write_all(&bytes).await;
    }
}
