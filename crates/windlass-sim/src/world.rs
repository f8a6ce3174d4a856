//! What outlives engines: files, processes, trees, clocks, the store.

use crate::fault::Fault;
use crate::growth::{chance_of, ended_before};
use crate::journal::Journals;
use crate::law::{Check, Law, broken, hold};
use crate::rng::Rng;
use crate::swarm::Swarm;
use crate::worker::{Key, Name, Order, Worker};
use std::collections::BTreeMap;
use std::sync::Arc;
use windlass_events::{Millis, RunId};
use windlass_store::{AliveSet, Append, AppendError, LeaseName, MemoryStore, ReadStore, Seq, Store};

/// The file of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    /// Claimed by an engine, so that no late shim can start it.
    Tombstone,
    /// A worker's, by its number.
    Of(u64),
}

/// A fork that the nursery was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Fork {
    pub(crate) order: Order,
    pub(crate) by: u32,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) swarm: Swarm,
    pub(crate) fault: Option<Fault>,
    /// What texts of workers depend on besides who writes them.
    pub(crate) salt: u64,
    /// Whether what a worker does depends on nothing but its task and what came of it before.
    pub(crate) repeatable: bool,
    pub(crate) store: MemoryStore,
    pub(crate) alive: AliveSet,
    pub(crate) journals: Journals,
    pub(crate) files: BTreeMap<Key, File>,
    pub(crate) workers: BTreeMap<u64, Worker>,
    pub(crate) forks: BTreeMap<u64, Fork>,
    /// Whether a fork made its claim.
    pub(crate) forked: BTreeMap<u64, bool>,
    pub(crate) trees: BTreeMap<String, u64>,
    pub(crate) refs: BTreeMap<RunId, u32>,
    pub(crate) next_id: u64,
    /// Monotonic, of the shims.
    pub(crate) mono: u64,
    /// The wall clock, of the engines.
    pub(crate) wall: Millis,
    /// The latest that the wall clock ever was, when it was set.
    pub(crate) latest: Millis,
    pub(crate) disk_full: bool,
    pub(crate) boot: u32,
    /// How often people gave their word that something leaves its end.
    pub(crate) words: BTreeMap<RunId, u32>,
    /// How often people approved.
    pub(crate) approvals: BTreeMap<RunId, u32>,
    /// How often the machine lost power.
    pub(crate) cuts: u32,
    /// Counts what happened, for telling whether anything does.
    pub(crate) progress: u64,
}

impl World {
    pub(crate) fn new(swarm: Swarm, fault: Option<Fault>, salt: u64) -> Self {
        let alive = AliveSet::default();
        Self {
            swarm,
            fault,
            salt,
            repeatable: false,
            store: MemoryStore::new(Arc::new(alive.clone())),
            alive,
            journals: Journals::default(),
            files: BTreeMap::new(),
            workers: BTreeMap::new(),
            forks: BTreeMap::new(),
            forked: BTreeMap::new(),
            trees: BTreeMap::new(),
            refs: BTreeMap::new(),
            next_id: 0,
            mono: 0,
            wall: 1_700_000_000_000,
            latest: 0,
            disk_full: false,
            boot: 1,
            words: BTreeMap::new(),
            approvals: BTreeMap::new(),
            cuts: 0,
            progress: 0,
        }
    }

    pub(crate) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn tree(&self, root: &str) -> u64 {
        self.trees.get(root).copied().unwrap_or(0)
    }

    pub(crate) fn worker(&self, key: &Key) -> Option<&Worker> {
        match self.files.get(key) {
            Some(File::Of(id)) => self.workers.get(id),
            _ => None,
        }
    }

    pub(crate) fn worker_mut(&mut self, key: &Key) -> Option<&mut Worker> {
        match self.files.get(key) {
            Some(File::Of(id)) => self.workers.get_mut(id),
            _ => None,
        }
    }

    /// A shim makes its claim, or finds one and leaves.
    pub(crate) fn claim(&mut self, id: u64, rng: &mut Rng) -> Check {
        let Some(fork) = self.forks.remove(&id) else { return Ok(()) };
        let key = fork.order.key.clone();
        self.progress += 1;
        if self.files.contains_key(&key) {
            self.forked.insert(id, false);
            return Ok(());
        }
        match self.journals.books.get(&key.run) {
            Some(book) => book.may_run(&key.name)?,
            None => {
                return broken(Law::StartIsDurable, format!("{key:?} starts in a run that is not durable"));
            }
        }
        let again = self.workers.values().any(|w| w.order.key == key);
        hold(!again, Law::OneStart, || format!("{key:?} is started again"))?;
        let others = || self.workers.values().filter(|w| w.is_alive());
        if let Some(task) = key.name.task() {
            let other =
                others().find(|w| w.order.key.run == key.run && w.order.key.name.task() == Some(task));
            hold(other.is_none(), Law::OneLiveWorker, || {
                format!("{key:?} starts beside {:?}", other.map(|w| &w.order.key))
            })?;
        }
        if fork.order.writes {
            let other = others().find(|w| w.order.writes && w.order.root == fork.order.root);
            hold(other.is_none(), Law::OneWriter, || {
                format!("{key:?} writes beside {:?}", other.map(|w| &w.order.key))
            })?;
        }
        let tree = self.tree(&fork.order.root);
        let own = if self.repeatable { self.own_chance(&key) } else { Rng::new(rng.next()) };
        let worker = Worker::claim(fork.order, tree, own, &self.swarm);
        self.files.insert(key, File::Of(id));
        self.workers.insert(id, worker);
        self.forked.insert(id, true);
        Ok(())
    }

    /// Chance that depends on what a worker is for and on what came of those before it, and on nothing else.
    fn own_chance(&self, key: &Key) -> Rng {
        let run = self.journals.books.get(&key.run).map(|b| &b.run);
        let ended = |tries: &[windlass_core::task::GateTry], gate: u32| {
            tries.iter().filter(|t| t.gate == gate && t.end.is_some()).count() as u64
        };
        let (words, n) = match &key.name {
            Name::Attempt(task, n) => (["attempt", task.as_str()], run.map(|r| ended_before(r, task, *n))),
            Name::Gate(gate) => {
                let task = gate.task.as_ref();
                let tries = run.map(|r| match task.map(|id| r.task_by_id(id)) {
                    None => &r.baseline_tries[..],
                    Some(task) => task.map_or(&[][..], |t| &t.gates),
                });
                let words = ["gate", task.map_or("", windlass_events::TaskId::as_str)];
                (words, tries.map(|t| ended(t, gate.gate) * 8 + u64::from(gate.gate)))
            }
        };
        chance_of(self.salt, key.run, &words, n.unwrap_or(0))
    }

    /// Appends to the store, watched.
    pub(crate) fn append(&mut self, mut batch: Vec<Append>) -> Check<Vec<Result<Seq, AppendError>>> {
        let epoch = |store: &MemoryStore, run| {
            store.lease(&LeaseName::Run(run)).ok().flatten().map(|l| (l.epoch, l.owner.is_some()))
        };
        let given: Vec<(RunId, u64)> = batch.iter().map(|p| (p.run, p.epoch)).collect();
        if self.fault == Some(Fault::FenceIgnored) {
            for part in &mut batch {
                part.epoch = epoch(&self.store, part.run).map_or(part.epoch, |(e, _)| e);
            }
        }
        let results = self.store.append(batch);
        for ((run, given), result) in given.into_iter().zip(&results) {
            if result.is_err() {
                continue;
            }
            hold(epoch(&self.store, run) == Some((given, true)), Law::Fence, || {
                format!("an append to {run} with epoch {given}, while it is {:?}", epoch(&self.store, run))
            })?;
            let stored = self.store.read(run, self.journals.head(run), usize::MAX);
            match stored {
                Ok(stored) => {
                    self.journals.take(run, &stored)?;
                    self.progress += 1;
                }
                Err(e) => return broken(Law::NoGap, e.to_string()),
            }
            let said = self.words.get(&run).copied().unwrap_or(0);
            let used = self.journals.books.get(&run).map_or(0, |b| b.words);
            hold(used <= said, Law::TerminalIsFinal, || {
                format!("{run} was opened again {used} times, and people asked {said} times")
            })?;
            let said = self.approvals.get(&run).copied().unwrap_or(0);
            let used = self.journals.books.get(&run).map_or(0, |b| b.plans.given);
            hold(used <= said, Law::Approval, || {
                format!("{run} was approved {used} times, and people approved {said} times")
            })?;
            self.check_dead(run)?;
        }
        Ok(results)
    }

    /// Nothing of an ended run is alive.
    fn check_dead(&self, run: RunId) -> Check {
        let over = self.journals.books.get(&run).and_then(|b| b.over);
        let Some(status) = over else { return Ok(()) };
        let live = self.workers.values().find(|w| w.order.key.run == run && w.is_alive());
        hold(live.is_none(), Law::OneLiveWorker, || {
            format!("the run is {status}, and {:?} is alive", live.map(|w| &w.order.key))
        })
    }

    /// The machine loses power: what was not synced is gone but for so many commits, and everything that was alive.
    pub(crate) fn power_cut(&mut self, kept: usize) -> Check {
        let over: Vec<(RunId, bool)> =
            self.journals.books.iter().map(|(id, b)| (*id, b.over.is_some())).collect();
        self.store.power_cut_after(kept);
        for worker in self.workers.values_mut() {
            worker.kill_shim();
            worker.orphans = 0;
        }
        self.forks.clear();
        self.boot += 1;
        self.cuts += 1;
        self.journals = Journals::default();
        for (run, was_over) in over {
            match self.store.read(run, 0, usize::MAX) {
                Ok(stored) => self.journals.take(run, &stored)?,
                Err(e) => return broken(Law::NoGap, e.to_string()),
            }
            let is_over = self.journals.books.get(&run).is_some_and(|b| b.over.is_some());
            hold(!was_over || is_over, Law::Sync, || format!("the end of {run} is lost"))?;
        }
        Ok(())
    }

    /// Whether a gate or attempt writes in its tree: such take turns.
    pub(crate) fn order(&self, run: &windlass_core::Run, name: Name) -> Order {
        let limit = |ms: u64| (ms > 0).then_some(ms);
        let key = Key { run: run.id, name };
        let root = run.spec.tree.root.clone();
        let mut limits = windlass_worker::spec::Limits::default();
        match &key.name {
            Name::Gate(gate) => {
                limits.wall_ms = run.spec.gates.get(gate.gate as usize).and_then(|g| limit(g.limit_ms));
                Order { key, model: false, writes: true, root, limits }
            }
            Name::Attempt(task, _) => {
                let task = run.task_by_id(task);
                limits.silence_ms = task.and_then(|t| limit(t.spec.silence_ms));
                limits.wall_ms = task.and_then(|t| limit(t.spec.wall_ms));
                let model = task.is_some_and(|t| t.spec.runtime.is_model());
                let writes = task.is_some_and(windlass_core::Task::takes_turn);
                Order { key, model, writes, root, limits }
            }
        }
    }
}
