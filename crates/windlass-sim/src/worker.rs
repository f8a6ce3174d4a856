//! The twin of one attempt's processes and file: the real shim's decisions over an agent that follows a random script.

use crate::law::{Check, Law, broken};
use crate::rng::Rng;
use crate::swarm::Swarm;
use std::collections::VecDeque;
use windlass_events::event::GateKey;
use windlass_events::{AttemptNo, ErrorClass, Outcome, RunId, TaskId, Usage};
use windlass_worker::control::StopReason;
use windlass_worker::process::ProcessId;
use windlass_worker::record::{AgentExit, EndRecord, NamedProcess, Rusage, StoppedBy};
use windlass_worker::shim::{Machine, ShimAction, ShimInput, SweepRound};
use windlass_worker::spec::{Limits, StopPlan, Stream};

/// What a worker is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Attempt(TaskId, AttemptNo),
    Gate(GateKey),
}

impl Name {
    pub(crate) const fn task(&self) -> Option<&TaskId> {
        match self {
            Self::Attempt(task, _) => Some(task),
            Self::Gate(key) => key.task.as_ref(),
        }
    }
}

/// Whose file it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) run: RunId,
    pub(crate) name: Name,
}

/// What a worker is told to be.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) key: Key,
    pub(crate) model: bool,
    pub(crate) writes: bool,
    pub(crate) root: String,
    pub(crate) limits: Limits,
}

/// What an agent writes, and thereby what is in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Usage(Usage),
    Session,
    ProviderError,
    Done {
        text: bool,
    },
    /// More than is kept of it.
    Flood,
    Exited,
    Swept,
}

#[derive(Debug, Clone)]
enum Do {
    Say(Frame),
    Write,
    Fork,
    Hang,
    Leave(AgentExit),
}

/// A worker: its file, and what of it is alive.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) order: Order,
    shim: Option<Machine>,
    acts: VecDeque<ShimAction>,
    told: VecDeque<ShimInput>,
    agent: bool,
    script: VecDeque<Do>,
    pipe: VecDeque<Frame>,
    /// What descendants write when the agent has left.
    late: VecDeque<Frame>,
    stubborn: bool,
    immortal: bool,
    /// What chance makes of it.
    own: Rng,
    /// Descendants that are alive.
    pub(crate) orphans: u32,
    /// Whether people were told of what is left, so that it no longer counts.
    pub(crate) named: bool,
    pipes_told: bool,
    children_told: bool,
    disk_told: bool,
    pub(crate) frames: Vec<Frame>,
    pub(crate) end: Option<EndRecord>,
    /// Identity of the tree at its start.
    pub(crate) tree: u64,
    pub(crate) steers: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    Act,
    Hear,
    Read,
    Script,
    Late,
    PipesClosed,
    NoChildren,
    Tick,
    Disk,
}

impl Worker {
    /// A shim that has just claimed its attempt.
    pub(crate) fn claim(order: Order, tree: u64, mut own: Rng, swarm: &Swarm) -> Self {
        let rng = &mut own;
        let stop = if order.model {
            StopPlan { abort: b"abort".to_vec(), close_stdin: true, ..StopPlan::default() }
        } else {
            StopPlan::default()
        };
        let shim = Machine::new(order.limits, stop, order.model);
        let script = script(&order, rng, swarm);
        let late = if swarm.late_output && order.model { rng.below(3) } else { 0 };
        let late = (0..late).map(|_| Frame::Usage(usage(rng))).collect();
        Self {
            order,
            shim: Some(shim),
            acts: VecDeque::new(),
            told: [ShimInput::Begin].into(),
            agent: false,
            script,
            pipe: VecDeque::new(),
            late,
            stubborn: rng.coin(),
            immortal: swarm.unkillable && rng.chance(1, 4),
            own,
            orphans: 0,
            named: false,
            pipes_told: false,
            children_told: false,
            disk_told: false,
            frames: Vec::new(),
            end: None,
            tree,
            steers: Vec::new(),
        }
    }

    /// Whether its shim holds the claim's lock.
    pub(crate) const fn is_locked(&self) -> bool {
        self.shim.is_some()
    }

    /// Whether anything of it is alive that people were not told of.
    pub(crate) const fn is_alive(&self) -> bool {
        (self.is_locked() || self.agent || self.orphans > 0) && !self.named
    }

    /// What it reported of its use, as its file has it.
    pub(crate) fn usage(&self) -> Usage {
        self.frames.iter().fold(Usage::default(), |sum, f| match f {
            Frame::Usage(more) => sum.plus(more),
            _ => sum,
        })
    }

    /// The same, up to the exit of its agent: what the planted fault takes for all.
    pub(crate) fn usage_before_exit(&self) -> Usage {
        self.frames.iter().take_while(|f| **f != Frame::Exited).fold(Usage::default(), |sum, f| match f {
            Frame::Usage(more) => sum.plus(more),
            _ => sum,
        })
    }

    pub(crate) fn session(&self) -> Option<String> {
        self.frames.contains(&Frame::Session).then(|| "session".to_owned())
    }

    /// Over its control socket.
    pub(crate) fn stop(&mut self) {
        if self.is_locked() {
            self.told.push_back(ShimInput::Stop(StopReason::Cancel));
        }
    }

    pub(crate) fn kill_shim(&mut self) {
        self.shim = None;
        self.acts.clear();
        self.told.clear();
        // The parent-death signal.
        self.agent = false;
        self.pipe.clear();
    }

    pub(crate) fn kill_agent(&mut self) {
        if self.agent {
            self.leave(AgentExit::Signal(9));
        }
    }

    pub(crate) const fn agent_runs(&self) -> bool {
        self.agent
    }

    /// The sweep after a killed shim; returns what could not be killed.
    pub(crate) fn sweep(&mut self) -> Vec<String> {
        if self.immortal && self.orphans > 0 {
            self.orphans = 1;
            self.named = true;
            return vec!["stuck (7)".to_owned()];
        }
        self.orphans = 0;
        Vec::new()
    }

    /// What could happen to it next.
    pub(crate) fn moves(&self, now: u64, disk_full: bool, out: &mut Vec<Move>) {
        if self.agent && !matches!(self.script.front(), None | Some(Do::Hang)) {
            out.push(Move::Script);
        }
        let Some(shim) = &self.shim else { return };
        if !self.agent && self.orphans > 0 && !self.pipes_told && !self.late.is_empty() {
            out.push(Move::Late);
        }
        // The shim is one loop: it does what it decided before it hears anything else.
        if let Some(act) = self.acts.front() {
            let writes =
                matches!(act, ShimAction::RecordExit(_) | ShimAction::RecordSwept(_) | ShimAction::Finish(_));
            if !(writes && disk_full) {
                out.push(Move::Act);
            }
            return;
        }
        if !self.told.is_empty() {
            out.push(Move::Hear);
        }
        if disk_full != self.disk_told {
            out.push(Move::Disk);
        }
        if !self.pipe.is_empty() && !disk_full {
            out.push(Move::Read);
        }
        let begun = self.told.front() != Some(&ShimInput::Begin);
        if begun && !self.agent && self.told.is_empty() {
            if self.pipe.is_empty() && self.orphans == 0 && !self.pipes_told {
                out.push(Move::PipesClosed);
            }
            if self.orphans == 0 && !self.children_told {
                out.push(Move::NoChildren);
            }
        }
        if shim.deadline().is_some_and(|at| at <= now) {
            out.push(Move::Tick);
        }
    }

    /// When something happens to it by itself.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.shim.as_ref().and_then(Machine::deadline)
    }

    pub(crate) fn make(&mut self, what: Move, now: u64, tree: &mut u64) -> Check {
        let input = match what {
            Move::Act => {
                if let Some(act) = self.acts.pop_front() {
                    self.act(act)?;
                }
                return Ok(());
            }
            Move::Script => {
                match self.script.pop_front() {
                    Some(Do::Say(frame)) => self.pipe.push_back(frame),
                    Some(Do::Write) => *tree += 1,
                    Some(Do::Fork) => self.orphans += 1,
                    Some(Do::Leave(exit)) => self.leave(exit),
                    Some(Do::Hang) | None => {}
                }
                return Ok(());
            }
            Move::Late => {
                self.pipe.extend(self.late.pop_front());
                return Ok(());
            }
            Move::Hear => match self.told.pop_front() {
                Some(input) => input,
                None => return Ok(()),
            },
            Move::Disk => {
                self.disk_told = !self.disk_told;
                if self.disk_told { ShimInput::DiskFull } else { ShimInput::DiskBack }
            }
            Move::Read => {
                let Some(frame) = self.pipe.pop_front() else { return Ok(()) };
                let over = if frame == Frame::Flood { 1_000 } else { 0 };
                self.frames.push(frame);
                ShimInput::Output { stream: Stream::Stdout, kept: 100, dropped: 0, over }
            }
            Move::PipesClosed => {
                self.pipes_told = true;
                ShimInput::PipesClosed
            }
            Move::NoChildren => {
                self.children_told = true;
                ShimInput::NoChildren
            }
            Move::Tick => ShimInput::Tick,
        };
        if let Some(shim) = &mut self.shim {
            self.acts.extend(shim.step(input, now));
        }
        Ok(())
    }

    fn act(&mut self, act: ShimAction) -> Check {
        match act {
            ShimAction::StartAgent => {
                if self.agent {
                    return broken(Law::OneLiveWorker, "a shim starts its agent twice");
                }
                if self.own.chance(1, 30) {
                    self.told.push_back(ShimInput::StartFailed("no such file".into()));
                } else {
                    self.agent = true;
                    self.told.push_back(ShimInput::Started);
                }
            }
            ShimAction::Note(_) | ShimAction::TellStopping(_) => {}
            ShimAction::RecordExit(_) => self.frames.push(Frame::Exited),
            ShimAction::RecordSwept(_) => self.frames.push(Frame::Swept),
            ShimAction::SendAbort | ShimAction::CloseStdin => {
                if self.agent && !self.stubborn {
                    self.leave(AgentExit::Code(0));
                }
            }
            ShimAction::Signal { signal, .. } => {
                if self.agent && (signal == 9 || !self.stubborn) {
                    self.leave(AgentExit::Signal(signal));
                }
            }
            ShimAction::Sweep => {
                let killed = if self.immortal { self.orphans.saturating_sub(1) } else { self.orphans };
                let killed = if self.own.coin() { killed } else { killed.min(1) };
                self.orphans -= killed;
                // An agent that the kernel holds fast is a descendant too.
                if self.agent {
                    self.leave(AgentExit::Signal(9));
                }
                let round = SweepRound {
                    killed: (0..killed).map(process).collect(),
                    kept: vec![],
                    left: (0..self.orphans).map(process).collect(),
                };
                self.told.push_back(ShimInput::Swept(round));
            }
            ShimAction::ClosePipes => {
                self.frames.extend(self.pipe.drain(..));
                self.pipes_told = true;
                self.told.push_back(ShimInput::PipesClosed);
            }
            ShimAction::Finish(end) => {
                if self.agent {
                    return broken(Law::OneLiveWorker, "a shim leaves a live agent behind");
                }
                if self.orphans > 0 && end.sweep.left.is_empty() {
                    return broken(Law::OneLiveWorker, "a shim says that nothing is left, and something is");
                }
                if self.end.is_some() {
                    return broken(Law::OneEnd, "a second end record");
                }
                self.end = Some(*end);
                self.shim = None;
                self.acts.clear();
                self.told.clear();
            }
        }
        Ok(())
    }

    fn leave(&mut self, exit: AgentExit) {
        self.agent = false;
        self.script.clear();
        let alone = self.orphans == 0;
        self.children_told |= alone;
        self.told.push_back(ShimInput::AgentExited { exit, usage: Rusage::default(), alone });
    }

    /// What an adapter makes of its end record and output.
    pub(crate) fn outcome(&self, end: &EndRecord) -> (Outcome, Option<ErrorClass>) {
        match end.stopped_by {
            Some(StoppedBy::Cancel | StoppedBy::Tied | StoppedBy::Terminated | StoppedBy::Voided) => {
                return (Outcome::Cancelled, None);
            }
            Some(StoppedBy::Silence) => return (Outcome::Silence, Some(ErrorClass::Silence)),
            Some(StoppedBy::Wall) => return (Outcome::WallClock, Some(ErrorClass::WallClock)),
            Some(StoppedBy::OutputLimit) => return (Outcome::OutputLimit, Some(ErrorClass::OutputLimit)),
            Some(StoppedBy::CannotStart) => return (Outcome::CannotStart, Some(ErrorClass::CannotStart)),
            Some(StoppedBy::Drain) | None => {}
        }
        match end.exit {
            None => (Outcome::Signal(9), Some(ErrorClass::Signal)),
            Some(AgentExit::Signal(s)) => (Outcome::Signal(s), Some(ErrorClass::Signal)),
            Some(AgentExit::Code(0)) if matches!(self.order.key.name, Name::Gate(_)) => {
                (Outcome::Clean, None)
            }
            Some(AgentExit::Code(0)) => {
                let done = self.frames.iter().find_map(|f| match f {
                    Frame::Done { text } => Some(*text),
                    _ => None,
                });
                match done {
                    _ if self.frames.contains(&Frame::ProviderError) => {
                        (Outcome::ProviderError, Some(ErrorClass::RateLimit))
                    }
                    Some(true) => (Outcome::Clean, None),
                    Some(false) => (Outcome::EmptyOutput, Some(ErrorClass::EmptyOutput)),
                    None => (Outcome::NoTerminalEvent, Some(ErrorClass::NoTerminalEvent)),
                }
            }
            Some(AgentExit::Code(n)) => (Outcome::Exit(n), Some(ErrorClass::Exit)),
        }
    }
}

fn process(i: u32) -> NamedProcess {
    NamedProcess {
        process: ProcessId { pid: 100 + i32::try_from(i).unwrap_or(0), start: 1 },
        name: "x".into(),
    }
}

/// One turn of a model.
const fn usage(rng: &mut Rng) -> Usage {
    Usage {
        input: rng.below(40),
        output: rng.below(20),
        cache_read: rng.below(5),
        cache_write: 0,
        cost_microusd: rng.below(300),
        unpriced_tokens: 0,
        turns: 1,
    }
}

fn script(order: &Order, rng: &mut Rng, swarm: &Swarm) -> VecDeque<Do> {
    let mut script = VecDeque::new();
    let exit = |n| Do::Leave(AgentExit::Code(n));
    let can_hang = order.limits.silence_ms.is_some() || order.limits.wall_ms.is_some();
    if matches!(order.key.name, Name::Gate(_)) {
        if swarm.tree_moves && rng.chance(1, 5) {
            script.push_back(Do::Write);
        }
        if can_hang && rng.chance(1, 10) {
            script.push_back(Do::Hang);
        }
        script.push_back(exit(i32::from(rng.chance(1, 3))));
        return script;
    }
    if order.model && rng.coin() {
        script.push_back(Do::Say(Frame::Session));
    }
    for _ in 0..rng.below(5) {
        script.push_back(match rng.below(4) {
            0 if order.writes || (swarm.tree_moves && rng.chance(1, 6)) => Do::Write,
            1 if swarm.orphans => Do::Fork,
            _ if order.model => Do::Say(Frame::Usage(usage(rng))),
            _ => Do::Say(Frame::Usage(Usage::default())),
        });
    }
    match rng.below(16) {
        14 if swarm.lies => script.extend([Do::Say(Frame::Done { text: true }), exit(1)]),
        14 | 15 if swarm.lies => {
            script.extend([Do::Say(Frame::Flood), Do::Say(Frame::Done { text: true }), exit(0)])
        }
        0 => script.push_back(exit(1)),
        1 => script.extend([Do::Say(Frame::ProviderError), exit(0)]),
        2 => script.extend([Do::Say(Frame::Done { text: false }), exit(0)]),
        3 => script.push_back(exit(0)),
        4 => script.push_back(Do::Leave(AgentExit::Signal(11))),
        5 | 6 if can_hang => script.push_back(Do::Hang),
        _ => script.extend([Do::Say(Frame::Done { text: true }), exit(0)]),
    }
    script
}
