//! What a shim decides, as a pure function: `step(input, now) -> actions`. No clock, process, file or randomness in it.
//!
//! ```text
//! New ─► Starting ─► Running ─► Stopping(abort ─► signal ─► kill) ─┐
//!           │            └──────────── agent exits ────────────────┴─► Draining ─► Sweeping ─► Closing ─► Done
//!           └─ cannot start ─────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Holds: exactly one [`ShimAction::Finish`], and nothing after it; the agent's exit is recorded before anything is swept;
//! from a stop on, every phase has a time limit, so that the end does not depend on the worker.

use crate::control::StopReason;
use crate::record::{
    AgentExit, EndRecord, Exited, MAX_NAMED, NamedProcess, Note, Rusage, StoppedBy, SweepTally,
};
use crate::spec::{Limits, StopPlan, Stream};

/// After the agent's exit its pipes are read until no byte came for this long, if a descendant still holds them.
pub const DRAIN_IDLE_MS: u64 = 300;
/// And never longer than this.
pub const DRAIN_MAX_MS: u64 = 1_000;
/// The same two when the worker was stopped: what is written then is of little worth.
pub const STOPPED_DRAIN_IDLE_MS: u64 = 50;
/// See [`STOPPED_DRAIN_IDLE_MS`].
pub const STOPPED_DRAIN_MAX_MS: u64 = 200;
/// How long a killed agent may take to be seen dead (it may be stuck in the kernel) before the sweep begins without that.
pub const KILL_WAIT_MS: u64 = 500;
/// How long descendants may take to die before they are named as left over.
pub const SWEEP_MAX_MS: u64 = 2_000;
/// The longest pause between two rounds of a sweep.
const SWEEP_PAUSE_MAX_MS: u64 = 40;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShimInput {
    /// The claim is made; the first input.
    Begin,
    /// The agent runs.
    Started,
    /// It could not be started, in the operating system's words.
    StartFailed(String),
    /// Output was read.
    Output {
        /// Which.
        stream: Stream,
        /// Bytes that were kept.
        kept: u64,
        /// Bytes dropped by rule.
        dropped: u64,
        /// Bytes discarded beyond [`Machine::room`].
        over: u64,
    },
    /// The agent said that its work is over.
    Settled,
    /// The agent took bytes from standard input.
    StdinTaken(u64),
    /// The agent ended.
    AgentExited {
        /// How.
        exit: AgentExit,
        /// What it used.
        usage: Rusage,
        /// As [`ShimInput::NoChildren`], when that is known at once.
        alone: bool,
    },
    /// There is no descendant left. True for good once it is: only a descendant makes descendants.
    NoChildren,
    /// Standard output and standard error are closed.
    PipesClosed,
    /// An engine wants the worker stopped.
    Stop(StopReason),
    /// The engine that the worker is tied to is gone.
    OwnerGone,
    /// The shim is asked to end.
    Terminate,
    /// The outcome of [`ShimAction::Sweep`].
    Swept(SweepRound),
    /// The spool cannot be written.
    DiskFull,
    /// It can again.
    DiskBack,
    /// Time has passed; see [`Machine::deadline`].
    Tick,
}

/// What one round of a sweep found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SweepRound {
    /// Killed for the first time in this round.
    pub killed: Vec<NamedProcess>,
    /// Found and left alone, by the keep list.
    pub kept: Vec<NamedProcess>,
    /// Still there and not kept; another round is needed.
    pub left: Vec<NamedProcess>,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShimAction {
    /// Start the agent; answer with `Started` or `StartFailed`.
    StartAgent,
    /// Write a note.
    Note(Note),
    /// Tell engines that the worker is being stopped.
    TellStopping(StoppedBy),
    /// Write the agent's exit.
    RecordExit(Exited),
    /// Write what was swept.
    RecordSwept(SweepTally),
    /// Write the abort message of the stop plan to standard input.
    SendAbort,
    /// Close standard input.
    CloseStdin,
    /// Send a signal to the agent, or its process group.
    Signal {
        /// The signal.
        signal: i32,
        /// The group.
        group: bool,
    },
    /// Write what is recorded so far, then kill every descendant that is not kept; answer with `Swept`.
    Sweep,
    /// Read what the pipes hold without waiting, then close them; answer with `Output` as usual, then `PipesClosed`.
    ClosePipes,
    /// Write the end record, tell engines, leave. The last action.
    Finish(Box<EndRecord>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Starting,
    Running,
    Stopping {
        stage: Stage,
        until: u64,
    },
    Draining {
        idle_until: u64,
        until: u64,
    },
    Sweeping {
        next: u64,
        pause: u64,
        until: u64,
    },
    /// Swept; the pipes remain to be emptied, which waits for a full disk.
    Closing {
        asked: bool,
    },
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Abort,
    Signal,
    Kill,
}

/// The state of one attempt's shim.
#[derive(Debug, Clone)]
pub struct Machine {
    limits: Limits,
    stop: StopPlan,
    /// Whether standard input is open for an abort message.
    stdin_open: bool,
    phase: Phase,
    stopped_by: Option<StoppedBy>,
    started_at: u64,
    last_byte_at: u64,
    disk_full_since: Option<u64>,
    /// Until when a settled agent may linger.
    linger_until: Option<u64>,
    pipes_open: bool,
    childless: bool,
    end: EndRecord,
}

impl Machine {
    /// A shim that has claimed its attempt and done nothing yet. `stdin_open`: the agent's standard input stays open for messages.
    pub fn new(limits: Limits, stop: StopPlan, stdin_open: bool) -> Self {
        Self {
            limits,
            stop,
            stdin_open,
            phase: Phase::New,
            stopped_by: None,
            started_at: 0,
            last_byte_at: 0,
            disk_full_since: None,
            linger_until: None,
            pipes_open: false,
            childless: false,
            end: EndRecord::default(),
        }
    }

    /// How many more bytes of output may be kept.
    pub fn room(&self) -> u64 {
        let kept = self.end.bytes.stdout + self.end.bytes.stderr;
        self.limits.output_bytes.map_or(u64::MAX, |most| most.saturating_sub(kept))
    }

    /// Whether [`ShimAction::Finish`] was given.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Whether the agent runs, as far as is known.
    pub fn agent_runs(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping { .. }) && self.end.exit.is_none()
    }

    /// When a [`ShimInput::Tick`] is due next, in the milliseconds that `step` is given. `None`: not before another input.
    pub fn deadline(&self) -> Option<u64> {
        match self.phase {
            Phase::New | Phase::Starting | Phase::Closing { .. } | Phase::Done => None,
            Phase::Running => {
                [self.silence_at(), self.wall_at(), self.linger_until].into_iter().flatten().min()
            }
            Phase::Stopping { until, .. } => Some(until),
            Phase::Draining { idle_until, until } => Some(idle_until.min(until)),
            Phase::Sweeping { next, until, .. } => Some(next.min(until)),
        }
    }

    fn silence_at(&self) -> Option<u64> {
        // While the disk is full the agent cannot be heard.
        let limit = self.limits.silence_ms.filter(|_| self.disk_full_since.is_none())?;
        Some(self.last_byte_at.saturating_add(limit))
    }

    fn wall_at(&self) -> Option<u64> {
        self.limits.wall_ms.map(|limit| self.started_at.saturating_add(limit))
    }

    /// Takes an input and returns what to do about it. `now` is monotonic, in milliseconds, and never goes back.
    pub fn step(&mut self, input: ShimInput, now: u64) -> Vec<ShimAction> {
        let mut actions = Vec::new();
        let out = &mut actions;
        if self.phase == Phase::Done {
            return actions;
        }
        match input {
            ShimInput::Begin => {
                if self.phase == Phase::New {
                    self.started_at = now;
                    match self.stopped_by {
                        None => {
                            self.phase = Phase::Starting;
                            out.push(ShimAction::StartAgent);
                        }
                        // Stopped before it began.
                        Some(_) => self.finish(out, now),
                    }
                }
            }
            ShimInput::Started => {
                if self.phase == Phase::Starting {
                    self.phase = Phase::Running;
                    self.started_at = now;
                    self.last_byte_at = now;
                    self.pipes_open = true;
                    if let Some(by) = self.stopped_by.take() {
                        self.begin_stop(by, out, now);
                    }
                }
            }
            ShimInput::StartFailed(text) => {
                if self.phase == Phase::Starting {
                    self.stopped_by = Some(StoppedBy::CannotStart);
                    self.end.cannot_start = Some(text);
                    self.finish(out, now);
                }
            }
            ShimInput::Output { stream, kept, dropped, over } => {
                self.on_output(stream, kept, dropped, over, out, now)
            }
            ShimInput::Settled => {
                if self.phase == Phase::Running && self.linger_until.is_none() {
                    self.linger_until = Some(now.saturating_add(self.stop.linger_ms));
                    self.stdin_open = false;
                    out.push(ShimAction::CloseStdin);
                }
            }
            ShimInput::StdinTaken(n) => {
                self.end.bytes.stdin += n;
                self.last_byte_at = now;
            }
            ShimInput::AgentExited { exit, usage, alone } => {
                // Known before the exit is acted on, so that nothing is looked for that cannot be there.
                self.childless |= alone;
                self.on_exit(exit, usage, out, now);
                if alone {
                    self.on_childless(out, now);
                }
            }
            ShimInput::NoChildren => {
                self.childless = true;
                self.on_childless(out, now);
            }
            ShimInput::PipesClosed => {
                self.pipes_open = false;
                match self.phase {
                    Phase::Draining { .. } => self.begin_sweep(out, now),
                    Phase::Closing { .. } => self.finish(out, now),
                    _ => {}
                }
            }
            ShimInput::Stop(reason) => self.begin_stop(reason.stopped_by(), out, now),
            ShimInput::OwnerGone => self.begin_stop(StoppedBy::Tied, out, now),
            ShimInput::Terminate => self.begin_stop(StoppedBy::Terminated, out, now),
            ShimInput::Swept(round) => self.on_swept(round, out, now),
            ShimInput::DiskFull => {
                self.disk_full_since.get_or_insert(now);
            }
            ShimInput::DiskBack => {
                if let Some(since) = self.disk_full_since.take() {
                    let ms = now.saturating_sub(since);
                    // The silence limit stood still.
                    self.last_byte_at = self.last_byte_at.saturating_add(ms).min(now);
                    out.push(ShimAction::Note(Note::DiskWasFull { ms }));
                    if let Phase::Closing { asked: false } = self.phase {
                        self.phase = Phase::Closing { asked: true };
                        out.push(ShimAction::ClosePipes);
                    }
                }
            }
            ShimInput::Tick => {}
        }
        self.on_time(out, now);
        actions
    }

    fn on_output(
        &mut self,
        stream: Stream,
        kept: u64,
        dropped: u64,
        over: u64,
        out: &mut Vec<ShimAction>,
        now: u64,
    ) {
        match stream {
            Stream::Stdout => self.end.bytes.stdout += kept,
            Stream::Stderr => self.end.bytes.stderr += kept,
        }
        self.end.bytes.dropped += dropped;
        self.end.bytes.over_limit += over;
        if kept + dropped + over > 0 {
            self.last_byte_at = now;
            if let Phase::Draining { until, .. } = self.phase {
                self.phase = Phase::Draining { idle_until: now + self.drain().0, until };
            }
        }
        if over > 0 {
            self.end.truncated = true;
            self.begin_stop(StoppedBy::OutputLimit, out, now);
        }
    }

    fn on_exit(&mut self, exit: AgentExit, usage: Rusage, out: &mut Vec<ShimAction>, now: u64) {
        if self.end.exit.is_some() || matches!(self.phase, Phase::New | Phase::Starting) {
            return;
        }
        self.end.exit = Some(exit);
        self.end.usage = usage;
        self.stdin_open = false;
        out.push(ShimAction::RecordExit(Exited { exit, usage }));
        if matches!(self.phase, Phase::Running | Phase::Stopping { .. }) {
            out.push(ShimAction::CloseStdin);
            let (idle, most) = self.drain();
            self.phase = Phase::Draining { idle_until: now + idle, until: now + most };
            if !self.pipes_open {
                self.begin_sweep(out, now);
            }
        }
    }

    fn on_childless(&mut self, out: &mut Vec<ShimAction>, now: u64) {
        if let Phase::Sweeping { .. } = self.phase {
            self.end.sweep.left.clear();
            self.swept(out, now);
        }
    }

    fn drain(&self) -> (u64, u64) {
        if self.stopped_by.is_some() {
            (STOPPED_DRAIN_IDLE_MS, STOPPED_DRAIN_MAX_MS)
        } else {
            (DRAIN_IDLE_MS, DRAIN_MAX_MS)
        }
    }

    fn begin_stop(&mut self, by: StoppedBy, out: &mut Vec<ShimAction>, now: u64) {
        match self.phase {
            Phase::New | Phase::Starting => {
                self.stopped_by.get_or_insert(by);
            }
            Phase::Running => {
                self.stopped_by = Some(by);
                out.push(ShimAction::Note(Note::Stopping { by }));
                out.push(ShimAction::TellStopping(by));
                if self.stdin_open && !self.stop.abort.is_empty() {
                    out.push(ShimAction::SendAbort);
                    out.push(ShimAction::Note(Note::AbortSent));
                    if self.stop.close_stdin {
                        self.stdin_open = false;
                        out.push(ShimAction::CloseStdin);
                    }
                    self.phase =
                        Phase::Stopping { stage: Stage::Abort, until: now + self.stop.abort_grace_ms };
                } else {
                    self.signal(out, now);
                }
            }
            // It ended by itself; a stop only saves the wait for descendants.
            Phase::Draining { .. } => self.begin_sweep(out, now),
            Phase::Stopping { .. } | Phase::Sweeping { .. } | Phase::Closing { .. } | Phase::Done => {}
        }
    }

    fn signal(&mut self, out: &mut Vec<ShimAction>, now: u64) {
        let signal = self.stop.signal;
        out.push(ShimAction::Signal { signal, group: self.stop.whole_group });
        out.push(ShimAction::Note(Note::SignalSent { signal }));
        self.phase = Phase::Stopping { stage: Stage::Signal, until: now + self.stop.term_grace_ms };
    }

    fn on_time(&mut self, out: &mut Vec<ShimAction>, now: u64) {
        match self.phase {
            Phase::Running => {
                if self.linger_until.is_some_and(|at| at <= now) {
                    self.begin_stop(StoppedBy::Drain, out, now);
                } else if self.wall_at().is_some_and(|at| at <= now) {
                    self.begin_stop(StoppedBy::Wall, out, now);
                } else if self.silence_at().is_some_and(|at| at <= now) {
                    self.begin_stop(StoppedBy::Silence, out, now);
                }
            }
            Phase::Stopping { stage, until } if until <= now => match stage {
                Stage::Abort => self.signal(out, now),
                Stage::Signal => {
                    self.end.killed = true;
                    out.push(ShimAction::Signal { signal: 9, group: false });
                    out.push(ShimAction::Note(Note::SignalSent { signal: 9 }));
                    self.phase = Phase::Stopping { stage: Stage::Kill, until: now + KILL_WAIT_MS };
                }
                Stage::Kill => self.begin_sweep(out, now),
            },
            Phase::Draining { idle_until, until } if idle_until.min(until) <= now => {
                self.begin_sweep(out, now)
            }
            Phase::Sweeping { next, pause, until } => {
                if until <= now {
                    self.swept(out, now);
                } else if next <= now {
                    let pause = (pause * 2).min(SWEEP_PAUSE_MAX_MS);
                    self.phase = Phase::Sweeping { next: now + pause, pause, until };
                    out.push(ShimAction::Sweep);
                }
            }
            _ => {}
        }
    }

    fn begin_sweep(&mut self, out: &mut Vec<ShimAction>, now: u64) {
        self.end.pipes_forced = self.pipes_open;
        self.phase = Phase::Sweeping { next: now + 1, pause: 1, until: now + SWEEP_MAX_MS };
        if self.childless {
            self.swept(out, now);
        } else {
            out.push(ShimAction::Sweep);
        }
    }

    fn on_swept(&mut self, round: SweepRound, out: &mut Vec<ShimAction>, now: u64) {
        if !matches!(self.phase, Phase::Sweeping { .. }) {
            return;
        }
        let tally = &mut self.end.sweep;
        tally.killed = tally.killed.saturating_add(u32::try_from(round.killed.len()).unwrap_or(u32::MAX));
        let room = MAX_NAMED.saturating_sub(tally.killed_names.len());
        tally.killed_names.extend(round.killed.into_iter().take(room).map(|p| p.name));
        tally.kept = round.kept;
        let done = round.left.is_empty();
        tally.left = round.left;
        if done {
            self.swept(out, now);
        }
    }

    /// The sweep is over, with or without left-overs.
    fn swept(&mut self, out: &mut Vec<ShimAction>, now: u64) {
        let tally = &mut self.end.sweep;
        tally.kept.truncate(MAX_NAMED);
        tally.left.truncate(MAX_NAMED);
        if *tally != SweepTally::default() {
            out.push(ShimAction::RecordSwept(tally.clone()));
        }
        if !self.pipes_open {
            self.finish(out, now);
            return;
        }
        // What the pipes still hold is kept, and for that there must be room on the disk.
        let asked = self.disk_full_since.is_none();
        self.phase = Phase::Closing { asked };
        if asked {
            out.push(ShimAction::ClosePipes);
        }
    }

    fn finish(&mut self, out: &mut Vec<ShimAction>, now: u64) {
        self.phase = Phase::Done;
        self.end.stopped_by = self.stopped_by;
        self.end.ran_ms = now.saturating_sub(self.started_at);
        out.push(ShimAction::Finish(Box::new(self.end.clone())));
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
