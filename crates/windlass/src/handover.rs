//! One daemon in the place of another: the old one is asked to hand over, then the next one is started.
//!
//! Whoever does that holds the *seat*, a lock, until the next daemon answers. So two commands at once replace a daemon once, and
//! whoever finds no daemon meanwhile (a waiting command of the old version, a worker's shim) waits for the next one rather than starting
//! the old one again. The lock goes with the process: when that is killed, whoever waits goes on by itself.

use crate::context::Context;
use crate::host::{self, cannot_start, is_gone, version};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};
use windlass_api::version::is_newer;
use windlass_api::{ApiError, Client, ClientError, ErrorKind, Request};

/// How long a daemon may take to make place: what it was asked before is done first, and a busy disk is waited for.
const LEAVE_LIMIT: Duration = Duration::from_secs(20);
/// How long a whole hand-over may take, for whoever waits for it.
pub(crate) const SEAT_LIMIT: Duration = Duration::from_secs(40);
/// How often the seat is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Puts a daemon of this version in the place of the one that was met, unless another command has just replaced that.
///
/// # Errors
/// When the old one does not make place, or the next one does not start.
pub(crate) fn replace(context: &Context, met: Client) -> Result<(), ClientError> {
    let (pid, older) = (met.pid, met.version.clone());
    drop(met);
    let _seat = take_seat(context, pid, &older)?;
    match Client::greet(&context.paths.socket(), version()) {
        Ok(next) if next.pid != pid && !is_newer(version(), &next.version) => return Ok(()),
        Ok(old) => ask_to_leave(old)?,
        Err(e) if is_gone(&e) => {}
        Err(e) => return Err(e),
    }
    host::launch(context).map_err(cannot_start(context))?;
    Ok(())
}

/// Replaces the daemon even if it is of this version; starts one when none runs.
///
/// # Errors
/// As [`replace`]; and when it is newer than this program.
pub(crate) fn restart(context: &Context) -> Result<Client, ApiError> {
    if let Some(old) = host::running_daemon(context)? {
        if is_newer(&old.version, version()) {
            let text = format!("the daemon is windlass {}, newer than this one ({})", old.version, version());
            let hint = format!(
                "use windlass {}; `windlass daemon stop` ends it, and the next command starts one of its own version",
                old.version
            );
            return Err(ApiError::new(ErrorKind::Missing, text).hint(hint));
        }
        replace(context, old).map_err(ClientError::into_api)?;
    }
    host::daemon(context)
}

/// While somebody else replaces the daemon, waits for the next one. `false` when nobody does, or whoever did has ended without one.
pub(crate) fn wait(context: &Context) -> bool {
    let until = Instant::now() + SEAT_LIMIT;
    while is_taken(&context.paths.daemon_seat()) && Instant::now() < until {
        // Of whatever version: who meets an older one replaces it in turn.
        if Client::greet(&context.paths.socket(), version()).is_ok() {
            return true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    false
}

fn is_taken(seat: &Path) -> bool {
    let Ok(file) = File::open(seat) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

/// Takes the seat, waiting for whoever has it.
fn take_seat(context: &Context, pid: u32, older: &str) -> Result<File, ApiError> {
    context.paths.make().map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))?;
    let path = context.paths.daemon_seat();
    let io = |e: std::io::Error| ApiError::new(ErrorKind::Missing, format!("{}: {e}", path.display()));
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    let until = Instant::now() + SEAT_LIMIT;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if Instant::now() < until => {
                std::thread::sleep(LOOK_EVERY);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let text = format!(
                    "another command has been replacing the daemon (windlass {older}, process {pid}) for {} s",
                    SEAT_LIMIT.as_secs()
                );
                return Err(ApiError::new(ErrorKind::Missing, text).hint("see `windlass daemon status`"));
            }
            Err(e) => return Err(io(e.into())),
        }
    }
}

/// Asks a daemon to hand over and waits until it leads nothing any more. One that dies over it has left, too.
fn ask_to_leave(mut old: Client) -> Result<(), ClientError> {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    old.set_timeout(Some(LEAVE_LIMIT))?;
    match old.call(Request::HandOver { version: version().to_owned() }) {
        Ok(_) => Ok(()),
        Err(ClientError::Broken(e)) if matches!(e.kind(), WouldBlock | TimedOut) => {
            let text = format!(
                "the daemon (windlass {}, process {}) has not made place for windlass {} within {} s",
                old.version,
                old.pid,
                version(),
                LEAVE_LIMIT.as_secs()
            );
            let hint =
                format!("`kill -9 {}` ends it: its workers go on, and the next one takes over", old.pid);
            Err(ApiError::new(ErrorKind::Missing, text).hint(hint).into())
        }
        Err(e) if is_gone(&e) => Ok(()),
        Err(e) => Err(e),
    }
}
