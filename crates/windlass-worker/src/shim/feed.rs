//! The agent's standard input: a queue that is written when the agent reads.

use crate::spool::{FrameKind, SpoolWriter};
use std::collections::{HashSet, VecDeque};
use std::os::fd::OwnedFd;
use windlass_redact::{Replacer, StreamReplacer};

/// At most this much waits for an agent that does not read.
const MAX_QUEUED: usize = 64 << 20;

/// The id of messages of which each is written, however many there are.
const ANY: u64 = 0;

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
    /// Ids of messages that the agent has taken: what bears one of them again is a repeat. Each cost somebody a message.
    taken: HashSet<u64>,
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
            taken: HashSet::new(),
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

    /// Queues a message. One with the id of an earlier one is not written again: whoever sent that may have gone without
    /// its answer, and whoever goes on for them gets it.
    pub(super) fn push(&mut self, sender: Sender, bytes: Vec<u8>) {
        if let Some((_, id)) = sender.filter(|(_, id)| *id != ANY) {
            if self.taken.contains(&id) {
                return self.answer(sender, None);
            }
            let same = |item: &&mut Item| item.sender.is_some_and(|(_, other)| other == id);
            if let Some(item) = self.queue.iter_mut().find(same) {
                item.sender = sender;
                return;
            }
        }
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
                self.taken.extend(sender.map(|(_, id)| id).filter(|id| *id != ANY));
                self.answer(sender, None);
                if self.queue.is_empty() && self.close_when_empty {
                    self.fd = None;
                }
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ProcessId;
    use crate::record::{Claim, PROTOCOL};
    use crate::spec::AttemptKey;
    use std::io::Read;

    /// A feed into a pipe, and the end that the agent reads.
    fn feed(folder: &tempfile::TempDir) -> (Feed, SpoolWriter, std::fs::File) {
        let claim = Claim {
            protocol: PROTOCOL,
            key: AttemptKey { run: "k7m2qd".into(), task: "01_x".into(), n: 1 },
            boot_id: "b".into(),
            shim: ProcessId { pid: 5, start: 6 },
            socket: "/r/s".into(),
            marker: "m".into(),
            keep: Vec::new(),
        };
        let spool = SpoolWriter::create(&folder.path().join("01_x.1"), &claim, 0).ok().unwrap();
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let mut feed = Feed::new(Replacer::new(&[]));
        feed.open(Some(write));
        (feed, spool, std::fs::File::from(read))
    }

    fn written(connection: u64, id: u64) -> Answer {
        Answer { connection, id, failed: None }
    }

    #[test]
    fn a_repeat_is_answered_and_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let (mut feed, mut spool, mut agent) = feed(&folder);
        feed.push(Some((1, 7)), b"one ".to_vec());
        feed.write(&mut spool, 0);
        feed.push(Some((2, 7)), b"one ".to_vec());
        // Of another engine that has not heard what became of it, while the first waits still.
        feed.push(Some((1, 8)), b"two ".to_vec());
        feed.push(Some((2, 8)), b"two ".to_vec());
        feed.push(Some((2, ANY)), b"any ".to_vec());
        feed.push(Some((2, ANY)), b"any ".to_vec());
        feed.write(&mut spool, 0);
        feed.close("done");
        let mut text = String::new();
        agent.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two any any ");
        let answers = [written(1, 7), written(2, 7), written(2, 8), written(2, ANY), written(2, ANY)];
        assert_eq!(feed.answers, answers);
    }
}
