//! The messages between a shim and an engine, and how an engine that did not start a shim reaches it.
//!
//! ```text
//! message   u32 length of what follows · u8 kind · body        little-endian
//! ```
//!
//! Pure codecs over byte buffers, so that each side uses the streams it likes. Frozen and versioned: [`FromShim::Hello`] comes first
//! and names the version. A later version may add kinds, reasons, and fields at the end of a body; whoever does not know them passes
//! them over. `tests/golden` has the bytes of every version.

use crate::error::WorkerError;
use crate::record::{Claim, StoppedBy};
use crate::wire::{Put, Take};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The longest message to a shim.
pub const MAX_TO_SHIM: usize = 16 << 20;
/// The longest message from a shim.
pub const MAX_FROM_SHIM: usize = 1 << 20;

/// Why an engine stops a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// A person or a policy wants it ended.
    Cancel,
    /// Its final answer is there and it does not leave.
    Drain,
}

impl StopReason {
    /// What the end record will say.
    pub const fn stopped_by(self) -> StoppedBy {
        match self {
            Self::Cancel => StoppedBy::Cancel,
            Self::Drain => StoppedBy::Drain,
        }
    }
}

/// A message to a shim.
#[derive(Clone, PartialEq, Eq)]
pub enum ToShim {
    /// Stop the worker, as its plan says. Repeating it changes nothing.
    Stop {
        /// Why.
        reason: StopReason,
    },
    /// Write to the agent's standard input. Answered by [`FromShim::StdinWritten`] or [`FromShim::StdinFailed`].
    Stdin {
        /// Chosen by the engine, returned in the answer. What bears the id of an earlier message is answered and not written again, so
        /// that an engine may repeat what a former one may have sent; except 0, under which everything is written.
        id: u64,
        /// What to write, at most [`MAX_TO_SHIM`] less 16 bytes.
        bytes: Vec<u8>,
    },
    /// Close the agent's standard input after what was given before.
    CloseStdin,
    /// A message of a later version.
    Unknown(u8),
}

impl std::fmt::Debug for ToShim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stop { reason } => write!(f, "Stop({reason:?})"),
            Self::Stdin { id, bytes } => write!(f, "Stdin({id}, {} bytes)", bytes.len()),
            Self::CloseStdin => f.write_str("CloseStdin"),
            Self::Unknown(kind) => write!(f, "Unknown({kind})"),
        }
    }
}

/// Why a shim did not start anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The attempt is claimed already: probe its file.
    AlreadyClaimed,
    /// The file could not be made (disk full, folder missing). Nothing was started.
    CannotClaim,
    /// The shim process could not be made. Nothing was started.
    CannotFork,
}

/// A message from a shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromShim {
    /// The first message: the claim is made (or was, for an engine that connects later).
    Hello {
        /// The version the shim speaks.
        protocol: u32,
        /// The length of the spool now.
        spool_len: u64,
        /// The claim.
        claim: Claim,
    },
    /// Instead of it: nothing was started, and the shim is gone.
    Refused {
        /// Why.
        why: Refusal,
        /// In the operating system's words, or empty.
        text: String,
    },
    /// The spool is this long now.
    Bytes {
        /// In bytes.
        spool_len: u64,
    },
    /// The worker is being stopped.
    Stopping {
        /// Why.
        by: StoppedBy,
    },
    /// The agent has taken all of a message.
    StdinWritten {
        /// The message's id.
        id: u64,
    },
    /// The agent did not take all of a message.
    StdinFailed {
        /// The message's id.
        id: u64,
        /// Why not.
        text: String,
    },
    /// The end record is written and the lock released; the last message.
    Ended {
        /// The final length of the spool.
        spool_len: u64,
    },
    /// A message of a later version, or for a reason of a later version.
    Unknown(u8),
}

/// Bytes that are no message. The connection is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other side of the control connection does not speak this protocol")]
pub struct BadMessage;

fn message(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.put_u32(0);
    out.put_u8(kind);
    body(out);
    let len = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

/// A message's kind, its body, and how many bytes the whole takes.
type Parts<'a> = (u8, &'a [u8], usize);

/// Splits the first complete message off.
fn split(buffer: &[u8], most: usize) -> Result<Option<Parts<'_>>, BadMessage> {
    let mut t = Take(buffer);
    let Some(len) = t.u32() else { return Ok(None) };
    let len = len as usize;
    if len == 0 || len > most {
        return Err(BadMessage);
    }
    Ok(t.slice(len).and_then(|m| m.split_first()).map(|(kind, body)| (*kind, body, len + 4)))
}

impl ToShim {
    /// Appends the message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Stop { reason } => message(out, 1, |b| b.put_u8(u8::from(*reason == StopReason::Drain))),
            Self::Stdin { id, bytes } => message(out, 2, |b| {
                b.put_u64(*id);
                b.extend_from_slice(bytes);
            }),
            Self::CloseStdin => message(out, 3, |_| {}),
            Self::Unknown(kind) => message(out, *kind, |_| {}),
        }
    }

    /// Reads the first message of `buffer` and how many bytes it took; `None` while it is incomplete.
    ///
    /// # Errors
    /// [`BadMessage`] when the bytes can never become a message.
    pub fn decode(buffer: &[u8]) -> Result<Option<(Self, usize)>, BadMessage> {
        let Some((kind, body, used)) = split(buffer, MAX_TO_SHIM)? else { return Ok(None) };
        let mut t = Take(body);
        let one = match kind {
            1 => Self::Stop {
                reason: if t.u8().ok_or(BadMessage)? == 1 { StopReason::Drain } else { StopReason::Cancel },
            },
            2 => Self::Stdin { id: t.u64().ok_or(BadMessage)?, bytes: t.0.to_vec() },
            3 => Self::CloseStdin,
            other => Self::Unknown(other),
        };
        Ok(Some((one, used)))
    }
}

const STOPPED_BY: [StoppedBy; 9] = [
    StoppedBy::Cancel,
    StoppedBy::Drain,
    StoppedBy::Silence,
    StoppedBy::Wall,
    StoppedBy::OutputLimit,
    StoppedBy::CannotStart,
    StoppedBy::Tied,
    StoppedBy::Terminated,
    StoppedBy::Voided,
];
const REFUSALS: [Refusal; 3] = [Refusal::AlreadyClaimed, Refusal::CannotClaim, Refusal::CannotFork];

fn index<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|x| x == one).and_then(|i| u8::try_from(i).ok()).unwrap_or(u8::MAX)
}

impl FromShim {
    /// Appends the message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello { protocol, spool_len, claim } => message(out, 1, |b| {
                b.put_u32(*protocol);
                b.put_u64(*spool_len);
                // A claim is plain text and numbers: this cannot fail, and an empty body would be refused by the reader.
                b.extend_from_slice(&serde_json::to_vec(claim).unwrap_or_default());
            }),
            Self::Refused { why, text } => message(out, 2, |b| {
                b.put_u8(index(&REFUSALS, why));
                b.extend_from_slice(text.as_bytes());
            }),
            Self::Bytes { spool_len } => message(out, 3, |b| b.put_u64(*spool_len)),
            Self::Stopping { by } => message(out, 4, |b| b.put_u8(index(&STOPPED_BY, by))),
            Self::StdinWritten { id } => message(out, 5, |b| b.put_u64(*id)),
            Self::StdinFailed { id, text } => message(out, 6, |b| {
                b.put_u64(*id);
                b.extend_from_slice(text.as_bytes());
            }),
            Self::Ended { spool_len } => message(out, 7, |b| b.put_u64(*spool_len)),
            Self::Unknown(kind) => message(out, *kind, |_| {}),
        }
    }

    /// Reads the first message of `buffer` and how many bytes it took; `None` while it is incomplete.
    ///
    /// # Errors
    /// [`BadMessage`] when the bytes can never become a message.
    pub fn decode(buffer: &[u8]) -> Result<Option<(Self, usize)>, BadMessage> {
        let Some((kind, body, used)) = split(buffer, MAX_FROM_SHIM)? else { return Ok(None) };
        let mut t = Take(body);
        let text = |t: &Take<'_>| String::from_utf8_lossy(t.0).into_owned();
        let one = match kind {
            1 => Self::Hello {
                protocol: t.u32().ok_or(BadMessage)?,
                spool_len: t.u64().ok_or(BadMessage)?,
                claim: serde_json::from_slice(t.0).map_err(|_| BadMessage)?,
            },
            2 => Self::Refused {
                why: *REFUSALS.get(usize::from(t.u8().ok_or(BadMessage)?)).ok_or(BadMessage)?,
                text: text(&t),
            },
            3 => Self::Bytes { spool_len: t.u64().ok_or(BadMessage)? },
            // Why is only for whoever looks meanwhile; the end record says it again.
            4 => match STOPPED_BY.get(usize::from(t.u8().ok_or(BadMessage)?)) {
                Some(by) => Self::Stopping { by: *by },
                None => Self::Unknown(kind),
            },
            5 => Self::StdinWritten { id: t.u64().ok_or(BadMessage)? },
            6 => Self::StdinFailed { id: t.u64().ok_or(BadMessage)?, text: text(&t) },
            7 => Self::Ended { spool_len: t.u64().ok_or(BadMessage)? },
            other => Self::Unknown(other),
        };
        Ok(Some((one, used)))
    }
}

/// A path that fits into a socket address, however long the real one is: through an open descriptor of its folder.
pub(crate) struct ShortPath {
    _folder: Option<OwnedFd>,
    path: PathBuf,
}

impl ShortPath {
    pub(crate) fn new(path: &Path) -> std::io::Result<Self> {
        if path.as_os_str().len() < 100 {
            return Ok(Self { _folder: None, path: path.to_owned() });
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(std::io::ErrorKind::InvalidInput.into());
        };
        let folder =
            rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        Ok(Self { _folder: Some(folder), path })
    }

    pub(crate) fn address(&self) -> std::io::Result<SocketAddrUnix> {
        Ok(SocketAddrUnix::new(&self.path)?)
    }
}

/// Connects to the shim that listens at `socket`, the path in its claim. The first message from it is [`FromShim::Hello`]; compare its claim.
///
/// A shim begins to listen when its first engine is gone or shortly after its start, so right after a crash a live shim may
/// not be reachable for some milliseconds: try again while its lock is held.
///
/// # Errors
/// [`WorkerError::Sys`] when nobody listens there, or somebody of another user.
pub fn connect(socket: &Path) -> Result<UnixStream, WorkerError> {
    let what = "connect to a worker's shim";
    let error = |e: std::io::Error| WorkerError::sys(what, e);
    let short = ShortPath::new(socket).map_err(error)?;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|e| WorkerError::sys(what, e))?;
    rustix::net::connect(&fd, &short.address().map_err(error)?).map_err(|e| WorkerError::sys(what, e))?;
    if !peer_is_us(&fd) {
        return Err(error(std::io::Error::other("the socket belongs to another user")));
    }
    Ok(UnixStream::from(fd))
}

/// Whether the process at the other end is of this user.
pub(crate) fn peer_is_us(fd: &OwnedFd) -> bool {
    rustix::net::sockopt::socket_peercred(fd).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ProcessId;
    use crate::spec::AttemptKey;
    use proptest::prelude::*;

    fn to_shim() -> Vec<ToShim> {
        vec![
            ToShim::Stop { reason: StopReason::Cancel },
            ToShim::Stop { reason: StopReason::Drain },
            ToShim::Stdin { id: 7, bytes: b"\xff\0x\n".to_vec() },
            ToShim::Stdin { id: 0, bytes: Vec::new() },
            ToShim::CloseStdin,
            ToShim::Unknown(99),
        ]
    }

    fn from_shim() -> Vec<FromShim> {
        let claim = Claim {
            protocol: 1,
            key: AttemptKey { run: "k7m2qd".into(), task: "01_x".into(), n: 1 },
            boot_id: "b".into(),
            shim: ProcessId { pid: 5, start: 6 },
            socket: "/r/s".into(),
            marker: "m".into(),
            keep: vec!["sccache".into()],
        };
        let mut all = vec![
            FromShim::Hello { protocol: 1, spool_len: 300, claim },
            FromShim::Bytes { spool_len: u64::MAX },
            FromShim::StdinWritten { id: 1 },
            FromShim::StdinFailed { id: 2, text: "gone".into() },
            FromShim::Ended { spool_len: 9 },
            FromShim::Unknown(200),
        ];
        all.extend(STOPPED_BY.map(|by| FromShim::Stopping { by }));
        all.extend(REFUSALS.map(|why| FromShim::Refused { why, text: String::new() }));
        all
    }

    #[test]
    fn messages_survive_any_cut() {
        let mut bytes = Vec::new();
        to_shim().iter().for_each(|m| m.encode(&mut bytes));
        let mut seen = Vec::new();
        let (mut from, mut to) = (0, 0);
        while to <= bytes.len() {
            while let Some((m, used)) = ToShim::decode(&bytes[from..to]).unwrap() {
                seen.push(m);
                from += used;
            }
            to += 1;
        }
        assert_eq!(seen, to_shim());

        let mut bytes = Vec::new();
        from_shim().iter().for_each(|m| m.encode(&mut bytes));
        let mut at = 0;
        for m in from_shim() {
            let (read, used) = FromShim::decode(&bytes[at..]).unwrap().unwrap();
            assert_eq!(read, m);
            at += used;
        }
        assert_eq!(at, bytes.len());
    }

    #[test]
    fn what_is_written_to_an_agent_is_not_shown() {
        assert_eq!(format!("{:?}", ToShim::Stdin { id: 1, bytes: b"s3cr3t".to_vec() }), "Stdin(1, 6 bytes)");
    }

    #[test]
    fn absurd_lengths_are_refused_at_once() {
        assert_eq!(ToShim::decode(&u32::MAX.to_le_bytes()), Err(BadMessage));
        assert_eq!(FromShim::decode(&0u32.to_le_bytes()), Err(BadMessage));
    }

    proptest! {
        #[test]
        fn decoding_any_bytes_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = ToShim::decode(&bytes);
            let _ = FromShim::decode(&bytes);
        }
    }
}
