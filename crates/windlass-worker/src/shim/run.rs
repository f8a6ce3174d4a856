//! The loop: waits for descriptors and deadlines, tells the machine, performs what it decides.

use super::conns::Connections;
use super::feed::Feed;
use super::listen::Listener;
use super::machine::{Machine, ShimAction, ShimInput};
use super::output::{Got, Output, READ};
use super::pace::Pace;
use super::setup::{Setup, read_spec, refuse};
use super::start;
use super::sweeper::Sweeper;
use crate::control::{FromShim, Refusal, ToShim};
use crate::process::ProcessId;
use crate::record::{AgentExit, Claim, PROTOCOL, Rusage, Started};
use crate::spec::{Secrets, ShimSpec, StdinPlan, Stream};
use crate::spool::{CreateError, FrameKind, SpoolWriter};
use crate::successor;
use crate::sys::{self, Wait};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal};
use serde::Serialize;
use std::os::fd::OwnedFd;
use windlass_redact::Replacer;

/// The same for the first output after the start: work that is over at once costs one wake-up in all.
const GATHER_FIRST_MS: u64 = 2;
/// A full disk is tried again this often.
const DISK_RETRY_MS: u64 = 250;
/// Engines are told of new output at most this often: as often as a person follows a picture of it.
const TELL_MS: u64 = 250;
/// And so often while there is this much to read, lest they fall behind.
const TELL_MUCH_MS: u64 = 20;
const MUCH: u64 = 64 << 10;
/// When an agent has run for this long, the fact and its process are written down.
const STARTED_AFTER_MS: u64 = 20;
/// When a worker has run for this long, a later engine can connect. At once when its first engine is gone.
const LISTEN_AFTER_MS: u64 = 100;
/// How often the socket is looked after while no engine is connected.
const LISTEN_CHECK_MS: u64 = 5_000;
/// How long the last message may take to leave.
const FAREWELL_MS: u64 = 200;

/// The life of a shim. Returns the exit code of its process.
pub(crate) fn run(setup: Setup<'_>) -> i32 {
    let umask = setup.umask;
    let Some((spec, secrets)) = read_spec(&setup) else { return 1 };
    let Setup { control, boot_id, .. } = setup;
    let claim = match ProcessId::current() {
        Ok(shim) => Claim {
            protocol: PROTOCOL,
            key: spec.key.clone(),
            boot_id: boot_id.to_owned(),
            shim,
            socket: spec.socket.clone(),
            marker: spec.marker.clone(),
            keep: spec.keep.clone(),
        },
        Err(e) => return refuse(&control, Refusal::CannotClaim, &e.to_string()),
    };
    let ready = rustix::process::set_child_subreaper(Pid::from_raw(1)).map_err(std::io::Error::from);
    let signals = match ready.and_then(|()| sys::signal_fd()) {
        Ok(signals) => signals,
        Err(e) => return refuse(&control, Refusal::CannotClaim, &e.to_string()),
    };
    let spool = match SpoolWriter::create(&spec.spool, &claim, sys::wall_ms()) {
        Ok(spool) => spool,
        Err(CreateError::Exists) => return refuse(&control, Refusal::AlreadyClaimed, ""),
        Err(CreateError::Io(e)) => return refuse(&control, Refusal::CannotClaim, &e.to_string()),
    };
    let replacer = Replacer::new(&secrets.values());
    let stdin_open = matches!(spec.stdin, StdinPlan::Open(_));
    let mut shim = Shim {
        machine: Machine::new(spec.limits, spec.stop.clone(), stdin_open),
        outputs: [Stream::Stdout, Stream::Stderr]
            .map(|s| Output::new(s, &spec.drops, &spec.settled_on, &replacer)),
        feed: Feed::new(replacer),
        spec,
        spool,
        claim,
        connections: Connections::default(),
        listener: None,
        signals,
        agent: None,
        sweeper: Sweeper::default(),
        umask,
        // Not filled: pages that are never read into are never touched.
        buffer: Vec::with_capacity(READ),
        now: sys::monotonic_ms(),
        times: Times::default(),
        pace: Pace::default(),
        told: 0,
        printed: false,
        finishing: false,
        revive: true,
    };
    shim.begin(control, &secrets);
    drop(secrets);
    while !shim.finishing || shim.spool.is_pending() {
        shim.turn();
    }
    shim.leave()
}

/// When something is due, in monotonic milliseconds.
#[derive(Debug, Default)]
struct Times {
    /// Output is left in the pipes until then.
    quiet_until: u64,
    disk_retry: Option<u64>,
    tell: Option<u64>,
    last_told: u64,
    note_started: Option<u64>,
    listen: Option<u64>,
}

struct Shim {
    spec: ShimSpec,
    machine: Machine,
    spool: SpoolWriter,
    claim: Claim,
    connections: Connections,
    listener: Option<Listener>,
    signals: OwnedFd,
    /// The agent, until it is reaped.
    agent: Option<i32>,
    outputs: [Output; 2],
    feed: Feed,
    sweeper: Sweeper,
    umask: u32,
    buffer: Vec<u8>,
    now: u64,
    times: Times,
    pace: Pace,
    /// The length of the spool that engines know of.
    told: u64,
    /// Whether the agent has printed since. What it was given, and what the shim notes, is nothing to wake an engine for.
    printed: bool,
    finishing: bool,
    /// Whether an engine is to be started when none is there at the end.
    revive: bool,
}

/// What a descriptor in the poll set stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    Connection(usize),
    Listener,
    Feed,
    Output(usize),
}

impl Shim {
    fn begin(&mut self, control: OwnedFd, secrets: &Secrets) {
        let hello = self.hello();
        self.connections.add(control, true, &hello);
        self.told = self.spool.len();
        self.times.listen = Some(self.now + LISTEN_AFTER_MS);
        for action in self.machine.step(ShimInput::Begin, self.now) {
            if action == ShimAction::StartAgent {
                let input = self.start_agent(secrets);
                self.input(input);
            } else {
                self.perform(action);
            }
        }
        self.flush();
    }

    fn hello(&self) -> FromShim {
        FromShim::Hello { protocol: PROTOCOL, spool_len: self.spool.len(), claim: self.claim.clone() }
    }

    fn start_agent(&mut self, secrets: &Secrets) -> ShimInput {
        let umask = self.spec.umask.unwrap_or(self.umask);
        match start::start(&self.spec, secrets, umask) {
            Ok(agent) => {
                self.agent = Some(agent.pid);
                self.outputs[0].fd = Some(agent.stdout);
                self.outputs[1].fd = Some(agent.stderr);
                self.feed.open(agent.stdin);
                self.now = sys::monotonic_ms();
                self.times.quiet_until = self.now + GATHER_FIRST_MS;
                self.pace = Pace::since(self.now);
                self.times.note_started = Some(self.now + STARTED_AFTER_MS);
                match std::mem::replace(&mut self.spec.stdin, StdinPlan::Null) {
                    StdinPlan::Null => {}
                    StdinPlan::Bytes(bytes) => {
                        self.feed.push(None, bytes);
                        self.feed.close_when_empty();
                    }
                    StdinPlan::Open(bytes) => self.feed.push(None, bytes),
                }
                ShimInput::Started
            }
            Err(text) => ShimInput::StartFailed(text),
        }
    }

    /// Tells the machine and performs what it says.
    fn input(&mut self, input: ShimInput) {
        for action in self.machine.step(input, self.now) {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: ShimAction) {
        match action {
            // Only `begin` has the secrets, and the machine asks once.
            ShimAction::StartAgent => {}
            ShimAction::Note(note) => self.record(FrameKind::Note, &note),
            ShimAction::TellStopping(by) => {
                self.revive &= !matches!(by, crate::StoppedBy::Tied | crate::StoppedBy::Terminated);
                self.connections.broadcast(&FromShim::Stopping { by });
            }
            ShimAction::RecordExit(exited) => self.record(FrameKind::AgentExit, &exited),
            ShimAction::RecordSwept(tally) => self.record(FrameKind::Swept, &tally),
            ShimAction::SendAbort => {
                self.feed.push(None, self.spec.stop.abort.clone());
                self.write_feed();
            }
            ShimAction::CloseStdin => {
                if self.agent.is_some() {
                    self.feed.close_when_empty();
                } else {
                    self.feed.close("the agent has ended");
                }
            }
            ShimAction::Signal { signal, group } => {
                // The agent is not reaped yet, so its number, which is its group's too, is still its own.
                let agent = self.agent.and_then(Pid::from_raw);
                if let (Some(pid), Some(signal)) = (agent, Signal::from_named_raw(signal)) {
                    // It may have ended meanwhile: then its exit is on its way.
                    let _ = if group {
                        rustix::process::kill_process_group(pid, signal)
                    } else {
                        rustix::process::kill_process(pid, signal)
                    };
                }
            }
            ShimAction::Sweep => {
                self.flush();
                self.reap();
                let round = self.sweeper.round(&self.spec.keep);
                self.now = sys::monotonic_ms();
                self.input(ShimInput::Swept(round));
            }
            ShimAction::ClosePipes => {
                for i in 0..self.outputs.len() {
                    self.read_output(i, 32);
                    if self.outputs[i].fd.is_some() {
                        let (room, wall) = (self.machine.room(), sys::wall_ms());
                        let last = self.outputs[i].end(room, &mut self.spool, wall);
                        self.input(last);
                    }
                }
                self.input(ShimInput::PipesClosed);
            }
            ShimAction::Finish(mut end) => {
                end.redactions =
                    self.outputs.iter().map(Output::redactions).sum::<u64>() + self.feed.redactions();
                self.record(FrameKind::End, &end);
                self.finishing = true;
                // Nothing of this is due any more, even if a full disk makes the end wait.
                self.times.tell = None;
                self.times.listen = None;
            }
        }
    }

    fn record(&mut self, kind: FrameKind, record: &impl Serialize) {
        // Plain data of this crate always has a JSON form.
        if let Ok(data) = serde_json::to_vec(record) {
            self.spool.frame(kind, sys::wall_ms(), &data);
        }
    }

    /// One wait and everything that it brought.
    fn turn(&mut self) {
        let ready = self.wait();
        self.now = sys::monotonic_ms();
        for source in &ready {
            match *source {
                Source::Signals => self.on_signals(),
                Source::Connection(i) => self.on_connection(i),
                Source::Listener => {
                    while let Some(fd) = self.listener.as_ref().and_then(Listener::accept) {
                        let hello = self.hello();
                        self.connections.add(fd, false, &hello);
                    }
                }
                Source::Feed => self.write_feed(),
                Source::Output(_) => {}
            }
        }
        self.on_outputs(&ready);
        self.input(ShimInput::Tick);
        self.on_times();
        for answer in std::mem::take(&mut self.feed.answers) {
            let message = match answer.failed {
                None => FromShim::StdinWritten { id: answer.id },
                Some(text) => FromShim::StdinFailed { id: answer.id, text: text.to_owned() },
            };
            self.connections.send(answer.connection, &message);
        }
        if self.spool.is_pending() && self.times.disk_retry.is_none() {
            self.flush();
        }
        self.tell();
        if self.connections.prune() {
            if self.spec.tied {
                self.input(ShimInput::OwnerGone);
            }
            self.times.listen = (!self.finishing).then_some(self.now);
        }
    }

    fn wait(&self) -> Vec<Source> {
        let due = [
            self.machine.deadline(),
            self.times.disk_retry,
            self.times.tell,
            self.times.note_started,
            self.times.listen,
            (self.listens_to_outputs() && self.times.quiet_until > self.now)
                .then_some(self.times.quiet_until),
        ];
        let timeout = due.into_iter().flatten().min().map(|at| {
            let ms = at.saturating_sub(self.now).min(3_600_000);
            Timespec { tv_sec: (ms / 1_000) as i64, tv_nsec: (ms % 1_000 * 1_000_000) as _ }
        });
        let mut set = vec![(Source::Signals, PollFd::new(&self.signals, PollFlags::IN))];
        for (i, c) in self.connections.list.iter().enumerate() {
            let out = if c.wants_to_write() { PollFlags::OUT } else { PollFlags::empty() };
            set.push((Source::Connection(i), PollFd::new(&c.fd, PollFlags::IN | out)));
        }
        if let Some(l) = &self.listener {
            set.push((Source::Listener, PollFd::new(&l.fd, PollFlags::IN)));
        }
        if self.times.disk_retry.is_none() {
            if let Some(fd) = self.feed.wants() {
                set.push((Source::Feed, PollFd::new(fd, PollFlags::OUT)));
            }
            if self.times.quiet_until <= self.now {
                for (i, output) in self.outputs.iter().enumerate() {
                    if let Some(fd) = &output.fd {
                        set.push((Source::Output(i), PollFd::new(fd, PollFlags::IN)));
                    }
                }
            }
        }
        let (sources, mut fds): (Vec<_>, Vec<_>) = set.into_iter().unzip();
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        sources.into_iter().zip(&fds).filter(|(_, fd)| is_ready(fd)).map(|(source, _)| source).collect()
    }

    fn listens_to_outputs(&self) -> bool {
        self.times.disk_retry.is_none() && self.outputs.iter().any(|o| o.fd.is_some())
    }

    fn on_signals(&mut self) {
        // Each record is 128 bytes and begins with the signal's number.
        let mut records = [0u8; 4 * 128];
        let n = rustix::io::read(&self.signals, &mut records).unwrap_or(0);
        for record in records[..n].chunks_exact(128) {
            if record[..4] == 15u32.to_ne_bytes() {
                self.revive = false;
                self.input(ShimInput::Terminate);
            }
        }
        self.reap();
    }

    /// Reaps whatever has ended. The agent's last output comes before its exit.
    fn reap(&mut self) {
        let mut ended = None;
        let alone = loop {
            match sys::wait_any() {
                Wait::Ended { pid, status, user_ms, system_ms, max_rss_kb } => {
                    if self.agent == Some(pid) {
                        self.agent = None;
                        ended = Some((exit_of(status), Rusage { user_ms, system_ms, max_rss_kb }));
                    }
                }
                Wait::Running => break false,
                Wait::None => break true,
            }
        };
        match ended {
            Some((exit, usage)) => {
                self.times.note_started = None;
                if self.times.disk_retry.is_none() {
                    for i in 0..self.outputs.len() {
                        self.read_output(i, 16);
                    }
                }
                self.input(ShimInput::AgentExited { exit, usage, alone });
                self.check_pipes();
            }
            None if alone => self.input(ShimInput::NoChildren),
            None => {}
        }
    }

    fn check_pipes(&mut self) {
        if self.outputs.iter().all(|o| o.fd.is_none()) {
            self.input(ShimInput::PipesClosed);
        }
    }

    fn on_connection(&mut self, i: usize) {
        let Some(connection) = self.connections.list.get_mut(i) else { return };
        connection.flush();
        let id = connection.id;
        for message in connection.read(&mut self.buffer) {
            match message {
                ToShim::Stop { reason } => self.input(ShimInput::Stop(reason)),
                ToShim::Stdin { id: message, bytes } => {
                    self.feed.push(Some((id, message)), bytes);
                    self.write_feed();
                }
                ToShim::CloseStdin => self.feed.close_when_empty(),
                ToShim::Unknown(_) => {}
            }
        }
    }

    fn write_feed(&mut self) {
        // What the agent is given is recorded, and for that there must be room.
        if self.times.disk_retry.is_none() {
            let n = self.feed.write(&mut self.spool, sys::wall_ms());
            if n > 0 {
                self.input(ShimInput::StdinTaken(n));
            }
        }
    }

    fn on_outputs(&mut self, ready: &[Source]) {
        let mut total = 0;
        let mut any = false;
        for i in 0..self.outputs.len() {
            if ready.contains(&Source::Output(i)) && self.times.disk_retry.is_none() {
                any = true;
                total += self.read_output(i, 1);
            }
        }
        if any {
            self.check_pipes();
            self.times.quiet_until = self.now + self.pace.quiet_ms(self.now, total);
        }
    }

    /// Reads at most `times` times; returns how many bytes there were.
    fn read_output(&mut self, i: usize, times: usize) -> u64 {
        let mut total = 0;
        for _ in 0..times {
            let (room, wall) = (self.machine.room(), sys::wall_ms());
            match self.outputs[i].read(&mut self.buffer, room, &mut self.spool, wall) {
                Got::Bytes(n, input) => {
                    self.printed = true;
                    total += n as u64;
                    self.input(input);
                    if self.outputs[i].take_settled() {
                        self.input(ShimInput::Settled);
                    }
                }
                Got::End(input) => {
                    self.input(input);
                    break;
                }
                Got::Nothing => break,
            }
        }
        total
    }

    fn on_times(&mut self) {
        let now = self.now;
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        if due(self.times.note_started) {
            self.times.note_started = None;
            if let Some(agent) = self.agent.and_then(ProcessId::of) {
                self.record(FrameKind::Started, &Started { agent });
            }
        }
        if due(self.times.disk_retry) {
            self.flush();
        }
        if due(self.times.listen) {
            self.look_after_listener();
        }
    }

    fn look_after_listener(&mut self) {
        if self.listener.as_ref().is_none_or(|l| !l.is_bound()) {
            // Where that fails (no runtime directory), it is tried again: being adopted later is better than never.
            self.listener = Listener::bind(&self.spec.socket).ok();
        }
        let alone = self.connections.list.is_empty();
        self.times.listen = (alone || self.listener.is_none()).then_some(self.now + LISTEN_CHECK_MS);
    }

    fn flush(&mut self) {
        match self.spool.flush() {
            Ok(()) => {
                if self.times.disk_retry.take().is_some() {
                    self.input(ShimInput::DiskBack);
                }
                let news = self.spool.len().saturating_sub(self.told);
                if news > 0 && self.printed && !self.finishing {
                    let pause = if news >= MUCH { TELL_MUCH_MS } else { TELL_MS };
                    let at = (self.times.last_told + pause).max(self.now);
                    self.times.tell = Some(self.times.tell.map_or(at, |tell| tell.min(at)));
                }
            }
            Err(_) => {
                if self.times.disk_retry.is_none() {
                    self.input(ShimInput::DiskFull);
                }
                self.times.disk_retry = Some(self.now + DISK_RETRY_MS);
            }
        }
    }

    fn tell(&mut self) {
        if self.times.tell.is_some_and(|at| at <= self.now) {
            self.times.tell = None;
            self.times.last_told = self.now;
            self.told = self.spool.len();
            self.printed = false;
            self.connections.broadcast(&FromShim::Bytes { spool_len: self.told });
        }
    }

    /// The end record is in the file.
    fn leave(self) -> i32 {
        let Self { spool, mut connections, listener, spec, umask, revive, .. } = self;
        let spool_len = spool.len();
        // Closing the file releases the lock; only then is the attempt said to have ended.
        drop(spool);
        connections.broadcast(&FromShim::Ended { spool_len });
        let until = sys::monotonic_ms() + FAREWELL_MS;
        while connections.list.iter().any(|c| c.wants_to_write()) {
            let left = until.saturating_sub(sys::monotonic_ms());
            if left == 0 {
                break;
            }
            let mut fds: Vec<_> = connections
                .list
                .iter()
                .filter(|c| c.wants_to_write())
                .map(|c| PollFd::new(&c.fd, PollFlags::OUT))
                .collect();
            let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: (left * 1_000_000) as _ }));
            drop(fds);
            connections.list.iter_mut().for_each(|c| c.flush());
        }
        if let Some(listener) = listener {
            listener.remove();
        }
        if !connections.is_heard() && revive && !spec.tied {
            // If it cannot be started, the next command that meets the run starts one.
            let _ = successor::start(&spec.revive, umask, 0);
        }
        0
    }
}

/// A wait status in words.
fn exit_of(status: i32) -> AgentExit {
    if status & 0x7F == 0 { AgentExit::Code((status >> 8) & 0xFF) } else { AgentExit::Signal(status & 0x7F) }
}
