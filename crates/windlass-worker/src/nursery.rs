//! The nursery: a small process, forked before the engine has threads, that forks a shim per attempt.
//!
//! A program with threads cannot safely fork without executing, and executing anew for each attempt costs more than all the rest.
//! The nursery holds nothing but its socket: a request is one message with the descriptor of a connection, and the shim itself reads
//! what it is to do from there. The nursery is a subreaper, so that what a killed shim leaves behind stays below it until it is swept, and
//! it reaps. When its engine is gone it waits for its last shim and leaves; when that engine died while it had something to do, the
//! nursery starts the next one first.

use crate::control::{FromShim, Refusal};
use crate::error::WorkerError;
use crate::record::Claim;
use crate::shim::{self, Setup};
use crate::spec::{Secrets, ShimSpec};
use crate::successor;
use crate::sys::{self, Forked, Wait, procfs};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::Pid;
use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

/// A request for a shim; with it comes the descriptor of its connection, and of a specification that does not fit there.
const SPAWN: u8 = b's';
/// The engine has something to do from now on.
const AT_WORK: u8 = b'w';
/// The engine has nothing to do from now on.
const AT_REST: u8 = b'r';
/// A specification up to this size waits in the connection's own buffer; a larger one travels in memory of its own.
const INLINE: usize = 64 << 10;

/// The engine's end of its nursery. Spawning works from any thread.
#[derive(Debug)]
pub struct Nursery {
    socket: OwnedFd,
    pid: i32,
    /// Whether it was last told that its engine has something to do.
    at_work: AtomicBool,
}

impl Nursery {
    /// Forks a nursery that starts no engine. Call this first of all: before threads, before a database is open.
    ///
    /// # Errors
    /// [`WorkerError::NotSingleThreaded`] when it is too late for that, [`WorkerError::Sys`] when the system refuses.
    pub fn start() -> Result<Self, WorkerError> {
        Self::start_with(Vec::new())
    }

    /// Forks a nursery that runs `successor` (a program with its arguments) when its engine dies while it is at work ([`Nursery::set_at_work`]).
    /// Engines that die young are started ever later, and after the sixth in a row that did, none is.
    ///
    /// # Errors
    /// As [`Nursery::start`].
    pub fn start_with(successor: Vec<OsString>) -> Result<Self, WorkerError> {
        let threads = procfs::own_threads().map_err(|e| WorkerError::sys("read /proc/self/task", e))?;
        if threads != 1 {
            return Err(WorkerError::NotSingleThreaded { threads });
        }
        let boot_id = procfs::boot_id().map_err(|e| WorkerError::sys("read this boot's id", e))?;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|e| WorkerError::sys("make a socket", e))?;
        let engine = EngineFacts {
            successor,
            deaths_before: successor::deaths_before(),
            born_ms: sys::monotonic_ms(),
            at_work: false,
        };
        match sys::fork().map_err(|e| WorkerError::sys("start the process that starts workers", e))? {
            Forked::Parent(pid) => Ok(Self { socket: ours, pid, at_work: AtomicBool::new(false) }),
            Forked::Child => {
                drop(ours);
                // A panic must not unwind into the engine's frames, which this process has a copy of.
                let code =
                    std::panic::catch_unwind(move || become_nursery(theirs, &boot_id, engine)).unwrap_or(70);
                sys::exit_now(code)
            }
        }
    }

    /// The nursery's process number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Tells whether the engine has something to do that goes on by itself. When it dies then, its successor is started; when it ends
    /// without, that is its own will. Cheap to repeat.
    pub fn set_at_work(&self, at_work: bool) {
        if self.at_work.swap(at_work, Ordering::Relaxed) != at_work {
            let word = if at_work { AT_WORK } else { AT_REST };
            // A nursery that is gone is found out when the next worker is started.
            let _ = retry(|| rustix::net::send(&self.socket, &[word], SendFlags::NOSIGNAL));
        }
    }

    /// Asks for a shim. Returns the engine's end of its control connection at once, without waiting for the fork.
    ///
    /// The first message that arrives on it says what became of it: [`FromShim::Hello`] or [`FromShim::Refused`]; if it closes without
    /// either, nothing was started by this request that is not in the attempt's file: probe it.
    ///
    /// # Errors
    /// [`WorkerError::InvalidSpec`], [`WorkerError::NurseryGone`], or [`WorkerError::Sys`]. Nothing was started then.
    pub fn spawn(&self, spec: &ShimSpec, secrets: &Secrets) -> Result<UnixStream, WorkerError> {
        let body = spec.encode(secrets)?;
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
        let error = |e: rustix::io::Errno| WorkerError::sys("reach a new worker", e);
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(error)?;
        let mut fds = vec![theirs.as_fd()];
        let memory;
        if body.len() <= INLINE {
            // Fits the socket's buffer, so this does not wait although nobody reads yet.
            write_all(&ours, &[&len[..], &body].concat())?;
        } else {
            memory =
                rustix::fs::memfd_create("windlass-spec", rustix::fs::MemfdFlags::CLOEXEC).map_err(error)?;
            write_all(&memory, &len)?;
            write_all(&memory, &body)?;
            rustix::fs::seek(&memory, rustix::fs::SeekFrom::Start(0)).map_err(error)?;
            fds.push(memory.as_fd());
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        loop {
            match sendmsg(&self.socket, &[IoSlice::new(&[SPAWN])], &mut control, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(UnixStream::from(ours)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => {
                    return Err(WorkerError::NurseryGone);
                }
                Err(e) => return Err(error(e)),
            }
        }
    }

    /// As [`Nursery::spawn`], and waits until the attempt is claimed.
    ///
    /// # Errors
    /// As [`Nursery::spawn`]; [`WorkerError::Sys`] when the shim refused or vanished.
    pub fn spawn_and_wait(
        &self,
        spec: &ShimSpec,
        secrets: &Secrets,
    ) -> Result<(UnixStream, Claim), WorkerError> {
        let mut stream = self.spawn(spec, secrets)?;
        let error = |e: std::io::Error| WorkerError::sys("start a worker", e);
        // Exactly one message, so that nothing of the next is taken from whoever reads the stream afterwards.
        let mut bytes = vec![0; 4];
        stream.read_exact(&mut bytes).map_err(error)?;
        let len = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        bytes.resize(4 + len.min(crate::control::MAX_FROM_SHIM), 0);
        stream.read_exact(&mut bytes[4..]).map_err(error)?;
        match FromShim::decode(&bytes) {
            Ok(Some((FromShim::Hello { claim, .. }, _))) => Ok((stream, claim)),
            Ok(Some((FromShim::Refused { why: Refusal::AlreadyClaimed, .. }, _))) => {
                Err(error(std::io::ErrorKind::AlreadyExists.into()))
            }
            Ok(Some((FromShim::Refused { text, .. }, _))) => Err(error(std::io::Error::other(text))),
            _ => Err(error(std::io::ErrorKind::InvalidData.into())),
        }
    }
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> Result<(), WorkerError> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(WorkerError::sys("hand a worker its task", e)),
        }
    }
    Ok(())
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return other,
        }
    }
}

/// What a nursery knows of its engine.
struct EngineFacts {
    successor: Vec<OsString>,
    deaths_before: u32,
    born_ms: u64,
    at_work: bool,
}

impl EngineFacts {
    /// When its successor is to be started, in monotonic milliseconds, and what that one is told. `None` when there is to be none.
    fn succession(&self, now_ms: u64) -> Option<(u64, u32)> {
        if !self.at_work || self.successor.is_empty() {
            return None;
        }
        let (pause, deaths) = successor::plan(self.deaths_before, now_ms.saturating_sub(self.born_ms))?;
        Some((now_ms.saturating_add(pause), deaths))
    }
}

/// Leaves the engine's world: session, directory, streams, descriptors, signals, mask.
fn become_nursery(socket: OwnedFd, boot_id: &str, engine: EngineFacts) -> i32 {
    let _ = rustix::thread::set_name(c"windlass-nurs");
    sys::nursery_signals();
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    let umask = rustix::process::umask(Mode::RWXG | Mode::RWXO).bits();
    let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::NOCTTY, Mode::empty()) else {
        return 71;
    };
    let streams = [
        rustix::stdio::dup2_stdin(&null),
        rustix::stdio::dup2_stdout(&null),
        rustix::stdio::dup2_stderr(&null),
    ];
    // It is closed by number below, with everything else that was the engine's.
    let _ = null.into_raw_fd();
    let Ok(socket) = sys::keep_only(socket) else { return 71 };
    if streams.iter().any(Result::is_err) || rustix::process::set_child_subreaper(Pid::from_raw(1)).is_err() {
        return 71;
    }
    let Ok(signals) = sys::signal_fd() else { return 71 };
    // The first look at a clock finds out how to look at clocks; every shim inherits what was found.
    sys::monotonic_ms();
    serve(socket, signals, boot_id, umask, engine)
}

/// What to become after a request.
enum Next {
    /// The same nursery.
    Serve,
    /// Nobody asks any more.
    EngineGone,
    /// A shim: this is the new process.
    BeShim { control: OwnedFd, large_spec: Option<OwnedFd> },
}

fn serve(socket: OwnedFd, signals: OwnedFd, boot_id: &str, umask: u32, mut engine: EngineFacts) -> i32 {
    let mut shims = HashSet::new();
    let mut has_engine = true;
    let mut succession = None;
    while has_engine || !shims.is_empty() || succession.is_some() {
        let mut fds = vec![PollFd::new(&signals, PollFlags::IN)];
        if has_engine {
            fds.push(PollFd::new(&socket, PollFlags::IN));
        }
        let timeout = succession.map(|(at, _)| until(at));
        if poll(&mut fds, timeout.as_ref()).is_err() {
            continue;
        }
        if !fds[0].revents().is_empty() {
            // Which signals they were does not matter: SIGTERM is not followed, an engine's end is.
            let _ = rustix::io::read(&signals, &mut [0u8; 8 * 128]);
            while let Wait::Ended { pid, .. } = sys::wait_any() {
                shims.remove(&pid);
            }
        }
        if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) {
            match receive(&socket, &mut shims, &mut engine) {
                Next::Serve => {}
                Next::EngineGone => {
                    has_engine = false;
                    succession = engine.succession(sys::monotonic_ms());
                }
                Next::BeShim { control, large_spec } => {
                    drop((socket, signals, shims, engine));
                    return shim::run(Setup { control, large_spec, boot_id, umask });
                }
            }
        }
        if let Some((_, deaths)) = succession.filter(|(at, _)| *at <= sys::monotonic_ms()) {
            succession = None;
            // If it cannot be started, the next command that meets a run starts one.
            let _ = successor::start(&engine.successor, umask, deaths);
        }
    }
    0
}

/// The time until an instant of the monotonic clock, as `poll` takes it.
fn until(at_ms: u64) -> Timespec {
    let ms = at_ms.saturating_sub(sys::monotonic_ms()).min(60_000);
    Timespec { tv_sec: (ms / 1_000) as i64, tv_nsec: (ms % 1_000 * 1_000_000) as _ }
}

/// Takes one message, and forks where it asks for that.
fn receive(socket: &OwnedFd, shims: &mut HashSet<i32>, engine: &mut EngineFacts) -> Next {
    let mut byte = [0u8; 8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    match recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags) {
        Ok(message) if message.bytes > 0 => {}
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Next::Serve,
        Ok(_) | Err(_) => return Next::EngineGone,
    }
    match byte[0] {
        AT_WORK => engine.at_work = true,
        AT_REST => engine.at_work = false,
        _ => {}
    }
    let mut fds = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let (connection, large_spec) = (fds.next(), fds.next());
    // Without a descriptor nothing is asked for, or this process has too many: then the engine sees its end close.
    let Some(connection) = connection else { return Next::Serve };
    match sys::fork() {
        Ok(Forked::Parent(pid)) => {
            shims.insert(pid);
            Next::Serve
        }
        Ok(Forked::Child) => {
            let _ = rustix::thread::set_name(c"windlass-shim");
            let _ = rustix::process::setsid();
            Next::BeShim { control: connection, large_spec }
        }
        Err(e) => {
            shim::refuse(&connection, Refusal::CannotFork, &e.to_string());
            Next::Serve
        }
    }
}
