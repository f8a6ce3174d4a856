//! The shim's side of the spool: claim it, append to it, survive a full disk.

use super::frame::{FrameKind, close_frame, encode_frame, encode_header, open_frame};
use crate::process::{ProcessId, boot_id};
use crate::record::{Claim, EndRecord, PROTOCOL, StoppedBy};
use crate::spec::AttemptKey;
use crate::sys;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A batch is written when it is this large, at the latest.
pub(crate) const BATCH: usize = 64 << 10;

/// Why the file could not be claimed.
pub(crate) enum CreateError {
    /// The attempt is claimed already, by whomever.
    Exists,
    Io(io::Error),
}

impl<E: Into<io::Error>> From<E> for CreateError {
    fn from(error: E) -> Self {
        Self::Io(error.into())
    }
}

/// An open, locked spool with what is not written yet.
#[derive(Debug)]
pub(crate) struct SpoolWriter {
    fd: OwnedFd,
    batch: Vec<u8>,
    /// How much of the batch is in the file already, after a write that was cut short.
    written: usize,
    len: u64,
    /// Where the frame that is being filled begins.
    open: Option<usize>,
}

impl SpoolWriter {
    /// Makes the file appear under its name with the lock held and the claim in it, in one step.
    pub(crate) fn create(path: &Path, claim: &Claim, wall_ms: i64) -> Result<Self, CreateError> {
        Self::create_with(path, claim, None, wall_ms)
    }

    /// The same, for a file that is complete from the first moment.
    fn create_with(
        path: &Path,
        claim: &Claim,
        end: Option<&EndRecord>,
        wall_ms: i64,
    ) -> Result<Self, CreateError> {
        let mut batch = Vec::with_capacity(2 << 10);
        encode_header(&mut batch);
        encode_frame(
            &mut batch,
            FrameKind::Claim,
            wall_ms,
            &serde_json::to_vec(claim).map_err(io::Error::from)?,
        );
        if let Some(end) = end {
            let data = serde_json::to_vec(end).map_err(io::Error::from)?;
            encode_frame(&mut batch, FrameKind::End, wall_ms, &data);
        }
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput).map_err(io::Error::from)?;
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags | OFlags::TMPFILE, mode) {
            Ok(fd) => {
                let mut writer = Self::locked(fd, batch)?;
                writer.flush()?;
                let from = format!("/proc/self/fd/{}", writer.fd.as_raw_fd());
                match rustix::fs::linkat(CWD, from.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW) {
                    Ok(()) => Ok(writer),
                    Err(rustix::io::Errno::EXIST) => Err(CreateError::Exists),
                    Err(e) => Err(e.into()),
                }
            }
            // File systems without nameless files, and kernels that take the flag for a directory.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {
                let mut name = OsString::from(".");
                name.push(path.file_name().unwrap_or_default());
                name.push(format!(".{}.{}", claim.marker, claim.shim.pid));
                let temporary = folder.join(name);
                let fd = rustix::fs::open(&temporary, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
                let linked = Self::locked(fd, batch).map_err(CreateError::from).and_then(|mut writer| {
                    writer.flush()?;
                    match rustix::fs::linkat(CWD, &temporary, CWD, path, AtFlags::empty()) {
                        Ok(()) => Ok(writer),
                        Err(rustix::io::Errno::EXIST) => Err(CreateError::Exists),
                        Err(e) => Err(e.into()),
                    }
                });
                // Best effort: a left-over temporary name is hidden and holds only the claim.
                let _ = rustix::fs::unlink(&temporary);
                linked
            }
            Err(e) => Err(e.into()),
        }
    }

    fn locked(fd: OwnedFd, batch: Vec<u8>) -> io::Result<Self> {
        rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { fd, batch, written: 0, len: 0, open: None })
    }

    /// Adds a whole frame.
    pub(crate) fn frame(&mut self, kind: FrameKind, wall_ms: i64, data: &[u8]) {
        self.close();
        encode_frame(&mut self.batch, kind, wall_ms, data);
    }

    /// Begins a frame that [`SpoolWriter::buffer`] fills.
    pub(crate) fn open(&mut self, kind: FrameKind, wall_ms: i64) {
        self.close();
        self.open = Some(open_frame(&mut self.batch, kind, wall_ms));
    }

    /// Where the data of the open frame goes.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.batch
    }

    /// Completes the open frame; one without data is taken back.
    pub(crate) fn close(&mut self) {
        if let Some(at) = self.open.take() {
            if self.batch.len() - at == super::FRAME_HEADER {
                self.batch.truncate(at);
            } else {
                close_frame(&mut self.batch, at);
            }
        }
    }

    /// Whether something waits to be written.
    pub(crate) fn is_pending(&self) -> bool {
        self.written < self.batch.len()
    }

    /// The length of the file: what a reader can see.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Writes what waits. After an error the rest stays and the next call goes on at the same byte.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.close();
        while self.written < self.batch.len() {
            match rustix::io::write(&self.fd, &self.batch[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.written += n;
                    self.len += n as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.batch.clear();
        self.written = 0;
        // One long prompt must not stay reserved for the life of the worker.
        if self.batch.capacity() > 3 * BATCH {
            self.batch.shrink_to(BATCH);
        }
        Ok(())
    }
}

/// Makes sure that an attempt without a claim never begins: claims its file and ends it in one step, so that a shim that was asked for
/// and is late (its engine died, the machine is slow) is refused. [`super::probe()`] then finds an end with [`StoppedBy::Voided`].
///
/// Returns `false` when there is a file already: somebody was quicker, probe again.
///
/// # Errors
/// When the file cannot be made. The attempt may still begin then.
pub fn void(path: &Path, key: &AttemptKey) -> io::Result<bool> {
    let claim = Claim {
        protocol: PROTOCOL,
        key: key.clone(),
        boot_id: boot_id()?,
        shim: ProcessId::current()?,
        socket: PathBuf::new(),
        marker: String::from("voided"),
        keep: Vec::new(),
    };
    let end = EndRecord { stopped_by: Some(StoppedBy::Voided), ..EndRecord::default() };
    match SpoolWriter::create_with(path, &claim, Some(&end), sys::wall_ms()) {
        Ok(_) => Ok(true),
        Err(CreateError::Exists) => Ok(false),
        Err(CreateError::Io(e)) => Err(e),
    }
}
