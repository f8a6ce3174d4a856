//! One engine: the real machine, and what its driver has in hand.

use crate::worker::{Key, Order};
use std::collections::{BTreeMap, VecDeque};
use windlass_core::Input;
use windlass_engine::machine::{CommitFailure, In, Machine, Out, Part, RequestId, Settings};
use windlass_events::{AttemptNo, Millis, RunId, Seq, TaskId};
use windlass_store::{Lease, Owner};

/// A commit that the store was asked for.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) batch: u64,
    pub(crate) parts: Vec<Part>,
    /// What the store said, once it did.
    pub(crate) results: Option<Vec<Result<Seq, CommitFailure>>>,
}

/// A run to be read and led.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) run: RunId,
    pub(crate) at: Millis,
    pub(crate) takeover: bool,
    /// Requests that wait for it.
    pub(crate) asks: Vec<(RequestId, Input)>,
}

/// How far the work on an attempt or gate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// To be asked of the nursery.
    Begin,
    /// Asked as this fork.
    Forked(u64),
    /// To be looked for.
    Probe,
    /// Its file is followed; so many frames were read. `adopted`: another engine started it.
    Watch { seen: usize, adopted: bool },
    /// A gate whose shim vanished.
    SweepGate,
}

/// Something that the driver does.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    Work { order: Order, stage: Stage },
    Stop { key: Key },
    Sweep { run: RunId, task: TaskId, n: AttemptNo },
    Keep { run: RunId, task: TaskId, n: AttemptNo, before: bool },
    Expand { run: RunId, task: TaskId, n: AttemptNo },
    Steer { run: RunId, id: String, task: TaskId, n: AttemptNo },
    SteerSaid { run: RunId, id: String, error: String },
    WantTree { root: String },
    FreeTree { lease: Lease },
    FreeRun { lease: Lease },
}

impl Job {
    /// The run that it is for.
    pub(crate) const fn run(&self) -> Option<RunId> {
        match self {
            Self::Work { order, .. } => Some(order.key.run),
            Self::Stop { key } => Some(key.run),
            Self::Sweep { run, .. }
            | Self::Keep { run, .. }
            | Self::Expand { run, .. }
            | Self::Steer { run, .. }
            | Self::SteerSaid { run, .. } => Some(*run),
            Self::WantTree { .. } | Self::FreeTree { .. } | Self::FreeRun { .. } => None,
        }
    }
}

/// An engine.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) owner: Owner,
    pub(crate) machine: Machine,
    pub(crate) slots: u32,
    pub(crate) inbox: VecDeque<In>,
    pub(crate) outbox: VecDeque<Out>,
    pub(crate) commit: Option<Commit>,
    pub(crate) jobs: BTreeMap<u64, Job>,
    pub(crate) to_open: VecDeque<Open>,
    pub(crate) leases: BTreeMap<RunId, Lease>,
    pub(crate) trees: BTreeMap<String, Lease>,
    /// Stands still.
    pub(crate) paused: bool,
}

impl Engine {
    pub(crate) fn new(owner: Owner, settings: Settings) -> Self {
        Self {
            owner,
            slots: settings.slots,
            machine: Machine::new(settings),
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            commit: None,
            jobs: BTreeMap::new(),
            to_open: VecDeque::new(),
            leases: BTreeMap::new(),
            trees: BTreeMap::new(),
            paused: false,
        }
    }

    /// Whether it is about to lead a run.
    pub(crate) fn will_open(&self, run: RunId) -> bool {
        self.to_open.iter().any(|o| o.run == run)
            || self.inbox.iter().any(|i| match i {
                In::Opened { run: r, .. } => r.id == run,
                In::Create { run: r, .. } => *r == run,
                _ => false,
            })
    }

    /// Whether a job is at work on a worker whose fate is not known yet.
    pub(crate) fn is_starting(&self, key: &Key) -> bool {
        self.jobs.values().any(|j| match j {
            Job::Work { order, stage } => order.key == *key && !matches!(stage, Stage::Watch { .. }),
            _ => false,
        })
    }

    /// Forgets what was under way for a run.
    pub(crate) fn drop_jobs(&mut self, run: RunId) {
        self.jobs.retain(|_, j| j.run() != Some(run));
    }
}
