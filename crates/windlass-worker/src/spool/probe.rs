//! What became of an attempt, told by its file alone.

use super::reader::{SpoolError, SpoolReader, open_file};
use crate::record::{Claim, EndRecord};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::io;
use std::path::Path;

/// The state of an attempt's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// There is no file: no shim has claimed the attempt yet. One that was asked for may still be on its way: [`super::void`] makes sure
    /// that it does not begin.
    NoClaim,
    /// A shim holds the lock: the worker runs or is being ended.
    Alive {
        /// Its claim.
        claim: Claim,
    },
    /// The shim left an end record.
    Ended {
        /// Its claim.
        claim: Claim,
        /// What it recorded.
        end: EndRecord,
    },
    /// Nobody holds the lock and there is no end record: the shim was killed, or the machine went down.
    Dead {
        /// Its claim. What it names may have left processes behind; sweep before anything else.
        claim: Claim,
    },
}

/// Looks at the file of an attempt. A shim that has just been killed is called alive until the kernel has let go of its lock, some milliseconds
/// later than its connections: if one of them ends without [`crate::control::FromShim::Ended`], ask again while nobody answers.
///
/// Rests on the kernel's lock alone, never on process numbers, and disturbs no shim: a spool
/// appears with its lock held, so that the shared lock tried here can be in nobody's way.
///
/// # Errors
/// [`SpoolError`] when the file is there and is not a readable claim. That is damage, not absence.
pub fn probe(path: &Path) -> Result<Probe, SpoolError> {
    let fd = match open_file(path) {
        Err(SpoolError::Io(e)) if e.kind() == io::ErrorKind::NotFound => return Ok(Probe::NoClaim),
        other => other?,
    };
    let alive = match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockShared) {
        Ok(()) => false,
        Err(Errno::AGAIN) => true,
        Err(e) => return Err(SpoolError::Io(e.into())),
    };
    let mut reader = SpoolReader::from_fd(fd)?;
    let claim = reader.read_claim()?;
    if alive {
        return Ok(Probe::Alive { claim });
    }
    Ok(match reader.find_end() {
        Ok(Some(end)) => Probe::Ended { claim, end },
        // A shim that was cut off while writing leaves a tail that is not sound; what it lacks is an end all the same.
        Ok(None) | Err(SpoolError::Damaged { .. }) => Probe::Dead { claim },
        Err(e) => return Err(e),
    })
}
