//! The agent's standard input: a queue that is written when the agent reads.

use crate::spool::{FrameKind, SpoolWriter};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use windlass_redact::{Replacer, StreamReplacer};

/// At most this much waits for an agent that does not read.
const MAX_QUEUED: usize = 64 << 20;

/// Who is to be told what became of a message: connection and message id.
pub(super) type Sender = Option<(u64, u64)>;

struct Item {
    sender: Sender,
    bytes: Vec<u8>,
    at: usize,
}

/// The answer to a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) connection: u64,
    pub(super) id: u64,
    /// Why it was not taken; `None` when it was.
    pub(super) failed: Option<&'static str>,
}

/// Standard input.
pub(super) struct Feed {
    fd: Option<OwnedFd>,
    queue: VecDeque<Item>,
    queued: usize,
    close_when_empty: bool,
    secrets: Replacer,
    replacer: Option<StreamReplacer>,
    redactions: u64,
    /// Answers not sent yet.
    pub(super) answers: Vec<Answer>,
}

impl Feed {
    pub(super) fn new(secrets: Replacer) -> Self {
        Self {
            fd: None,
            queue: VecDeque::new(),
            queued: 0,
            close_when_empty: false,
            secrets,
            replacer: None,
            redactions: 0,
            answers: Vec::new(),
        }
    }

    pub(super) fn open(&mut self, fd: Option<OwnedFd>) {
        self.fd = fd;
    }

    /// The descriptor, when something waits to be written to it.
    pub(super) fn wants(&self) -> Option<&OwnedFd> {
        self.fd.as_ref().filter(|_| !self.queue.is_empty())
    }

    pub(super) fn redactions(&self) -> u64 {
        self.redactions
    }

    pub(super) fn push(&mut self, sender: Sender, bytes: Vec<u8>) {
        if self.fd.is_none() || self.close_when_empty {
            self.answer(sender, Some("standard input is closed"));
        } else if self.queued + bytes.len() > MAX_QUEUED {
            self.answer(sender, Some("the agent does not read its standard input"));
        } else {
            self.queued += bytes.len();
            self.queue.push_back(Item { sender, bytes, at: 0 });
        }
    }

    /// Closes after what is queued.
    pub(super) fn close_when_empty(&mut self) {
        self.close_when_empty = true;
        if self.queue.is_empty() {
            self.fd = None;
        }
    }

    /// Closes at once; what is queued has failed.
    pub(super) fn close(&mut self, why: &'static str) {
        self.fd = None;
        self.queued = 0;
        self.replacer = None;
        for item in std::mem::take(&mut self.queue) {
            self.answer(item.sender, Some(why));
        }
    }

    fn answer(&mut self, sender: Sender, failed: Option<&'static str>) {
        if let Some((connection, id)) = sender {
            self.answers.push(Answer { connection, id, failed });
        }
    }

    /// Writes what the pipe takes, records that in the spool, and returns how many bytes it was.
    pub(super) fn write(&mut self, spool: &mut SpoolWriter, wall_ms: i64) -> u64 {
        let mut total = 0;
        while let (Some(fd), Some(item)) = (&self.fd, self.queue.front_mut()) {
            let rest = &item.bytes[item.at..];
            let n = match rustix::io::write(fd, rest) {
                Ok(n) => n,
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => {
                    self.close("the agent has closed its standard input");
                    break;
                }
            };
            spool.open(FrameKind::Stdin, wall_ms);
            if self.secrets.is_empty() {
                spool.buffer().extend_from_slice(&rest[..n]);
            } else {
                let replacer = self.replacer.get_or_insert_with(|| self.secrets.stream());
                replacer.feed(&rest[..n], spool.buffer());
                if n == rest.len() {
                    replacer.finish(spool.buffer());
                    self.redactions += replacer.count();
                    self.replacer = None;
                }
            }
            spool.close();
            total += n as u64;
            item.at += n;
            self.queued -= n;
            if item.at == item.bytes.len() {
                let sender = item.sender;
                self.queue.pop_front();
                self.answer(sender, None);
                if self.queue.is_empty() && self.close_when_empty {
                    self.fd = None;
                }
            }
        }
        total
    }
}
