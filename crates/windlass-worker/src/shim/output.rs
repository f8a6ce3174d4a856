//! From a pipe to frames: drop by rule, keep within the limit, replace secrets.

use super::machine::ShimInput;
use crate::line_dropper::LineDropper;
use crate::spec::{DropRule, Stream};
use crate::spool::{FrameKind, SpoolWriter};
use rustix::buffer::spare_capacity;
use std::os::fd::OwnedFd;
use windlass_redact::{Replacer, StreamReplacer};

/// How much is read at once.
pub(super) const READ: usize = 64 << 10;

/// One output stream of the agent.
#[derive(Debug)]
pub(super) struct Output {
    /// `None` when it has ended or was closed.
    pub(super) fd: Option<OwnedFd>,
    stream: Stream,
    dropper: Option<LineDropper>,
    replacer: Option<StreamReplacer>,
    /// Looks for the line after which the agent's work is over. What it lets through is not used.
    settler: Option<LineDropper>,
}

/// What a read found.
pub(super) enum Got {
    /// This many bytes, and what the machine is to know.
    Bytes(usize, ShimInput),
    /// Nothing at present.
    Nothing,
    /// The end, and what had been held back until then.
    End(ShimInput),
}

impl Output {
    pub(super) fn new(
        stream: Stream,
        drops: &[DropRule],
        settled_on: &[DropRule],
        secrets: &Replacer,
    ) -> Self {
        let lines = |rules: &[DropRule]| {
            let prefixes: Vec<_> =
                rules.iter().filter(|r| r.stream == stream).map(|r| r.prefix.clone()).collect();
            (!prefixes.is_empty()).then(|| LineDropper::new(prefixes))
        };
        Self {
            fd: None,
            stream,
            dropper: lines(drops),
            replacer: (!secrets.is_empty()).then(|| secrets.stream()),
            settler: lines(settled_on),
        }
    }

    /// Whether the line after which the agent's work is over has been read. Told once.
    pub(super) fn take_settled(&mut self) -> bool {
        let is_settled = self.settler.as_ref().is_some_and(|s| s.dropped() > 0);
        if is_settled {
            self.settler = None;
        }
        is_settled
    }

    /// How many secrets were replaced.
    pub(super) fn redactions(&self) -> u64 {
        self.replacer.as_ref().map_or(0, StreamReplacer::count)
    }

    /// Reads once, at most the buffer's capacity, and puts what is kept, at most `room` bytes, into the spool's batch.
    pub(super) fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        room: u64,
        spool: &mut SpoolWriter,
        wall_ms: i64,
    ) -> Got {
        let Some(fd) = &self.fd else { return Got::Nothing };
        buffer.clear();
        match rustix::io::read(fd, spare_capacity(buffer)) {
            Ok(n) if n > 0 => Got::Bytes(n, self.pass(Some(buffer), room, spool, wall_ms)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Got::Nothing,
            // A pipe gives no other error; were there one, nothing more would come.
            Ok(_) | Err(_) => Got::End(self.end(room, spool, wall_ms)),
        }
    }

    /// Closes the stream and hands on what was held back.
    pub(super) fn end(&mut self, room: u64, spool: &mut SpoolWriter, wall_ms: i64) -> ShimInput {
        self.fd = None;
        self.pass(None, room, spool, wall_ms)
    }

    /// `None` is the end of the stream.
    fn pass(&mut self, bytes: Option<&[u8]>, room: u64, spool: &mut SpoolWriter, wall_ms: i64) -> ShimInput {
        let kind = match self.stream {
            Stream::Stdout => FrameKind::Stdout,
            Stream::Stderr => FrameKind::Stderr,
        };
        if let (Some(settler), Some(bytes)) = (&mut self.settler, bytes) {
            settler.feed(bytes, &mut |_| {});
        }
        let (mut kept, mut over) = (0u64, 0u64);
        spool.open(kind, wall_ms);
        let replacer = &mut self.replacer;
        let mut keep = |piece: &[u8]| {
            let fits = usize::try_from(room - kept).unwrap_or(usize::MAX).min(piece.len());
            let (piece, rest) = piece.split_at(fits);
            kept += piece.len() as u64;
            over += rest.len() as u64;
            match replacer {
                Some(replacer) => replacer.feed(piece, spool.buffer()),
                None => spool.buffer().extend_from_slice(piece),
            }
        };
        let mut dropped = 0;
        match (&mut self.dropper, bytes) {
            (None, Some(bytes)) => keep(bytes),
            (None, None) => {}
            (Some(dropper), bytes) => {
                let before = dropper.dropped();
                match bytes {
                    Some(bytes) => dropper.feed(bytes, &mut keep),
                    None => dropper.finish(&mut keep),
                }
                dropped = dropper.dropped() - before;
            }
        }
        if bytes.is_none()
            && let Some(replacer) = &mut self.replacer
        {
            replacer.finish(spool.buffer());
        }
        spool.close();
        ShimInput::Output { stream: self.stream, kept, dropped, over }
    }
}
