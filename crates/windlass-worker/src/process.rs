//! Which process is which: identity that survives the reuse of numbers, and signals that respect it.

use crate::sys;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use std::io;

/// A process of the present boot: its number and when it started. Two processes never share both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process number, as seen by the writer.
    pub pid: i32,
    /// When it started, in the kernel's clock ticks since boot.
    pub start: u64,
}

impl ProcessId {
    /// The process that has this number now; `None` when there is none.
    pub fn of(pid: i32) -> Option<Self> {
        sys::procfs::stat(pid).map(|s| Self { pid, start: s.start })
    }

    /// The calling process.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn current() -> io::Result<Self> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self::of(pid).ok_or_else(|| io::Error::other("/proc/self/stat cannot be read; is /proc mounted?"))
    }

    /// Whether this very process is there and not merely waiting to be reaped.
    pub fn is_alive(self) -> bool {
        sys::procfs::stat(self.pid).is_some_and(|s| s.start == self.start && !s.is_dead())
    }

    /// Sends a signal to this very process, or to nobody. Returns whether it was there.
    ///
    /// # Errors
    /// When the process is there and may not be signalled.
    pub fn signal(self, signal: i32) -> io::Result<bool> {
        // Numbers from a file: 0 and below mean groups to the kernel, 1 is never a worker.
        if self.pid <= 1 {
            return Ok(false);
        }
        let (Some(pid), Some(signal)) = (Pid::from_raw(self.pid), Signal::from_named_raw(signal)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let fd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(false),
            Err(e) => return Err(e.into()),
        };
        // The descriptor is bound to one process; if that is not the one meant, the number was reused.
        if sys::procfs::stat(self.pid).is_none_or(|s| s.start != self.start) {
            return Ok(false);
        }
        match rustix::process::pidfd_send_signal(&fd, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// The present boot's id. A [`ProcessId`] of another boot means nothing.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn boot_id() -> io::Result<String> {
    sys::procfs::boot_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_number_is_another_process() {
        let me = ProcessId::current().unwrap();
        assert!(me.is_alive());
        let earlier = ProcessId { start: me.start - 1, ..me };
        assert!(!earlier.is_alive());
        assert!(!earlier.signal(9).unwrap(), "must not reach this process");
        assert!(!boot_id().unwrap().is_empty());
    }
}
