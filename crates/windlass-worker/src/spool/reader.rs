//! Reads a spool from any frame on, while it grows or long after.

use super::frame::{FRAME_HEADER, FrameKind, HEADER_LEN, Header, MAX_DATA, crc32, read_head, read_header};
use crate::record::Claim;
use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// How much is read at once of a file that grows slowly, or is short.
const LITTLE: usize = 4 << 10;
/// How much is read at once of a file that has much to read.
const CHUNK: usize = 64 << 10;

/// Why a file cannot be read as a spool. None of these means that there is no attempt.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// It could not be read.
    #[error("cannot read the attempt's file: {0}")]
    Io(#[from] io::Error),
    /// It is not a regular file, or does not begin as a spool does.
    #[error("the file is not an attempt's file of Windlass")]
    Foreign,
    /// It is of a version that this program does not know.
    #[error("the attempt's file is of format version {0}, which this program does not know; update Windlass")]
    Version(u32),
    /// It stops before its claim is complete.
    #[error("the attempt's file is torn: it stops before its claim is complete")]
    NoClaim,
    /// A frame does not match its own check.
    #[error("the attempt's file is damaged at byte {offset}: {what}")]
    Damaged {
        /// Where the frame begins. Everything before it is sound.
        offset: u64,
        /// In which way.
        what: &'static str,
    },
}

/// A frame, borrowed from the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it holds.
    pub kind: FrameKind,
    /// When it was made, in milliseconds since 1970.
    pub wall_ms: i64,
    /// What it says.
    pub data: &'a [u8],
    /// Where it begins in the file.
    pub offset: u64,
    /// Where the next one begins.
    pub end: u64,
}

/// A frame that owns its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedFrame {
    /// What it holds.
    pub kind: FrameKind,
    /// When it was made, in milliseconds since 1970.
    pub wall_ms: i64,
    /// What it says.
    pub data: Vec<u8>,
    /// Where it begins in the file.
    pub offset: u64,
    /// Where the next one begins.
    pub end: u64,
}

/// Reads frames in order. Memory is bounded by the largest frame.
#[derive(Debug)]
pub struct SpoolReader {
    fd: OwnedFd,
    buffer: Vec<u8>,
    /// Where the next frame begins in `buffer`.
    at: usize,
    /// Where the next frame begins in the file.
    offset: u64,
    /// How much is read next: more while there is more.
    chunk: usize,
    /// The iterator has reported an error and ends.
    failed: bool,
}

impl SpoolReader {
    /// Opens at the first frame, the claim.
    ///
    /// # Errors
    /// [`SpoolError`] when the file cannot be read or is no spool.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        Self::from_fd(open_file(path)?)
    }

    /// Opens at a frame boundary that an earlier reader of the same file gave.
    ///
    /// # Errors
    /// [`SpoolError`] when the file cannot be read or is no spool.
    pub fn open_at(path: &Path, offset: u64) -> Result<Self, SpoolError> {
        let mut reader = Self::open(path)?;
        if offset > HEADER_LEN as u64 {
            reader.buffer.clear();
            reader.at = 0;
            reader.offset = offset;
        }
        Ok(reader)
    }

    pub(super) fn from_fd(fd: OwnedFd) -> Result<Self, SpoolError> {
        let mut reader = Self { fd, buffer: Vec::new(), at: 0, offset: 0, chunk: LITTLE, failed: false };
        while reader.buffer.len() < HEADER_LEN && reader.fill(LITTLE)? {}
        match read_header(reader.buffer.get(..HEADER_LEN).unwrap_or(&reader.buffer)) {
            Header::Ours => {}
            Header::Short => return Err(SpoolError::NoClaim),
            Header::Foreign => return Err(SpoolError::Foreign),
            Header::Version(v) => return Err(SpoolError::Version(v)),
        }
        reader.at = HEADER_LEN;
        reader.offset = HEADER_LEN as u64;
        Ok(reader)
    }

    /// Where the next frame begins. Exact: pass it to [`SpoolReader::open_at`] to go on from here.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads at least `want` bytes behind what is buffered, as far as they are there; `false` at the file's present end.
    fn fill(&mut self, want: usize) -> io::Result<bool> {
        if self.at > 0 && (self.at == self.buffer.len() || self.at >= CHUNK) {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        let have = self.buffer.len();
        let from = self.offset + (have - self.at) as u64;
        self.buffer.reserve(want);
        let n = loop {
            // Into memory that is not filled first: pages that nothing is read into are never touched.
            match rustix::io::pread(&self.fd, spare_capacity(&mut self.buffer), from) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        if n >= want {
            self.chunk = (self.chunk * 4).min(CHUNK);
        } else if n == 0 {
            self.chunk = LITTLE;
            if self.offset > 0 {
                // Whoever follows many files waits at the ends of most of them. What is there of a frame is read again.
                self.buffer = Vec::new();
                self.at = 0;
            }
        }
        Ok(n > 0)
    }

    /// The next frame, or `None` when no further frame is complete: ask again when the file has grown.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`] where a frame does not match its check; the reader stays there.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SpoolError> {
        let head = loop {
            if let Some(head) = read_head(&self.buffer[self.at..]) {
                if head.len > MAX_DATA {
                    return Err(self.damaged("impossible length"));
                }
                let missing = (FRAME_HEADER + head.len).saturating_sub(self.buffer.len() - self.at);
                if missing == 0 {
                    break head;
                }
                if !self.fill(missing.max(self.chunk))? {
                    return Ok(None);
                }
            } else if !self.fill(self.chunk)? {
                return Ok(None);
            }
        };
        let (begin, end) = (self.at, self.at + FRAME_HEADER + head.len);
        if crc32(&self.buffer[begin + 8..end]) != head.crc {
            return Err(self.damaged("the check does not match"));
        }
        let offset = self.offset;
        self.at = end;
        self.offset += (end - begin) as u64;
        Ok(Some(Frame {
            kind: head.kind,
            wall_ms: head.wall_ms,
            data: &self.buffer[begin + FRAME_HEADER..end],
            offset,
            end: self.offset,
        }))
    }

    fn damaged(&self, what: &'static str) -> SpoolError {
        SpoolError::Damaged { offset: self.offset, what }
    }

    /// Reads the claim; the reader must be at the first frame.
    ///
    /// # Errors
    /// [`SpoolError::NoClaim`] when the first frame is incomplete, [`SpoolError::Damaged`] when it is no claim.
    pub fn read_claim(&mut self) -> Result<Claim, SpoolError> {
        let offset = self.offset;
        match self.next_frame()? {
            None => Err(SpoolError::NoClaim),
            Some(frame) if frame.kind == FrameKind::Claim => serde_json::from_slice(frame.data)
                .map_err(|_| SpoolError::Damaged { offset, what: "the claim cannot be read" }),
            Some(_) => Err(SpoolError::Damaged { offset, what: "the first frame is no claim" }),
        }
    }

    /// Jumps over whole frames without reading their data and returns the last end record, when that is the last frame.
    pub(super) fn find_end(&mut self) -> Result<Option<crate::record::EndRecord>, SpoolError> {
        loop {
            let Some(head) = self.peek()? else { return Ok(None) };
            if head.kind == FrameKind::End {
                let offset = self.offset;
                let Some(frame) = self.next_frame()? else { return Ok(None) };
                return serde_json::from_slice(frame.data)
                    .map(Some)
                    .map_err(|_| SpoolError::Damaged { offset, what: "the end record cannot be read" });
            }
            let whole = FRAME_HEADER + head.len;
            self.offset += whole as u64;
            if self.at + whole <= self.buffer.len() {
                self.at += whole;
            } else {
                self.buffer.clear();
                self.at = 0;
            }
        }
    }

    fn peek(&mut self) -> Result<Option<super::frame::FrameHead>, SpoolError> {
        loop {
            match read_head(&self.buffer[self.at..]) {
                Some(head) if head.len > MAX_DATA => return Err(self.damaged("impossible length")),
                Some(head) => return Ok(Some(head)),
                None => {
                    if !self.fill(LITTLE)? {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// All complete frames from here on, for showing a log. Ends at the first incomplete one, and after an error.
impl Iterator for SpoolReader {
    type Item = Result<OwnedFrame, SpoolError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.next_frame() {
            Ok(None) => None,
            Ok(Some(f)) => Some(Ok(OwnedFrame {
                kind: f.kind,
                wall_ms: f.wall_ms,
                data: f.data.to_vec(),
                offset: f.offset,
                end: f.end,
            })),
            Err(e) => {
                self.failed = true;
                Some(Err(e))
            }
        }
    }
}

/// Opens a regular file for reading, without ever waiting for the other end of a pipe.
pub(super) fn open_file(path: &Path) -> Result<OwnedFd, SpoolError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?;
    let stat = rustix::fs::fstat(&fd).map_err(io::Error::from)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return Err(SpoolError::Foreign);
    }
    Ok(fd)
}
