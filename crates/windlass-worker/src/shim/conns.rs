//! Connected engines. None of them can make the shim wait: what one does not take is queued, and one that takes nothing is dropped.

use crate::control::{FromShim, ToShim};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::os::fd::OwnedFd;

/// At most this many engines at a time; a further one takes the place of the oldest.
const MAX_CONNECTIONS: usize = 4;
/// An engine with this much unread is dropped. It finds everything in the spool.
const MAX_UNREAD: usize = 256 << 10;

/// One engine.
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) fd: OwnedFd,
    /// The one that asked for this attempt, through the nursery.
    pub(super) origin: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Takes nothing any more. What it had said before is still read.
    deaf: bool,
    broken: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Connections {
    pub(super) list: Vec<Connection>,
    next_id: u64,
}

impl Connection {
    /// Whether it is to be told when it can take more.
    pub(super) fn wants_to_write(&self) -> bool {
        !self.output.is_empty()
    }

    fn send(&mut self, message: &FromShim) {
        if !self.deaf {
            message.encode(&mut self.output);
            self.flush();
        }
    }

    pub(super) fn flush(&mut self) {
        let mut sent = 0;
        while sent < self.output.len() && !self.deaf {
            match rustix::net::send(&self.fd, &self.output[sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            {
                Ok(n) => sent += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.deaf = true,
            }
        }
        self.output.drain(..sent);
        self.broken |= self.output.len() > MAX_UNREAD;
        if self.deaf {
            self.output = Vec::new();
        }
    }

    /// Reads what is there and returns the complete messages.
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>) -> Vec<ToShim> {
        let mut messages = Vec::new();
        buffer.clear();
        match rustix::net::recv(&self.fd, spare_capacity(buffer), RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.broken = true,
            Ok((n, _)) => {
                self.input.extend_from_slice(buffer.get(..n).unwrap_or(buffer));
                let mut at = 0;
                loop {
                    match ToShim::decode(&self.input[at..]) {
                        Ok(Some((message, used))) => {
                            messages.push(message);
                            at += used;
                        }
                        Ok(None) => break,
                        Err(_) => {
                            self.broken = true;
                            break;
                        }
                    }
                }
                self.input.drain(..at);
                if self.input.is_empty() {
                    self.input = Vec::new();
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.broken = true,
        }
        messages
    }
}

impl Connections {
    pub(super) fn add(&mut self, fd: OwnedFd, origin: bool, hello: &FromShim) {
        if self.list.len() >= MAX_CONNECTIONS {
            self.list.remove(0);
        }
        self.next_id += 1;
        let mut connection = Connection {
            id: self.next_id,
            fd,
            origin,
            input: Vec::new(),
            output: Vec::new(),
            deaf: false,
            broken: false,
        };
        connection.send(hello);
        self.list.push(connection);
    }

    pub(super) fn send(&mut self, id: u64, message: &FromShim) {
        if let Some(connection) = self.list.iter_mut().find(|c| c.id == id) {
            connection.send(message);
        }
    }

    pub(super) fn broadcast(&mut self, message: &FromShim) {
        self.list.iter_mut().for_each(|c| c.send(message));
    }

    /// Whether anybody takes what is said.
    pub(super) fn is_heard(&self) -> bool {
        self.list.iter().any(|c| !c.deaf && !c.broken)
    }

    /// Forgets those that are gone; returns whether the first engine was among them.
    pub(super) fn prune(&mut self) -> bool {
        let origin_gone = self.list.iter().any(|c| c.broken && c.origin);
        self.list.retain(|c| !c.broken);
        origin_gone
    }
}
