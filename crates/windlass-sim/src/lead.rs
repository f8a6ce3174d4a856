//! Which runs and trees an engine leads: leases, reading, taking over, and whose turn it is in a tree.

use crate::engine::{Engine, Job};
use crate::fault::Fault;
use crate::law::{Check, Law, broken, hold};
use crate::sim::Sim;
use windlass_core::{FOLD_VERSION, Run};
use windlass_engine::machine::{In, Part};
use windlass_events::{Event, RunId};
use windlass_store::{Lease, LeaseError, LeaseName, MemoryStore, ReadStore, Store, StoreError, TreeId};

/// How long a driver waits before it tries again what the store refused.
const AGAIN_MS: i64 = 1_000;

impl Sim {
    /// Leases and reads a run.
    pub(crate) fn open(&mut self, e: &mut Engine, index: usize) -> Check {
        let Some(mut open) = e.to_open.remove(index) else { return Ok(()) };
        let run = open.run;
        if let Some(epoch) = e.machine.epoch(run) {
            let there = self.world.store.lease(&LeaseName::Run(run)).ok().flatten();
            if there.is_none_or(|l| l.epoch != epoch || l.owner.is_none()) {
                // It was taken over while this engine stood still, which nothing has told it yet.
                e.inbox.push_back(In::Gone(run));
                e.to_open.push_back(open);
                return Ok(());
            }
            for (request, input) in open.asks {
                e.inbox.push_back(In::Ask { request, run, input });
            }
            return Ok(());
        }
        let now = self.world.wall;
        let ours = |e: &Engine, sim: &Self| {
            let lease = e.leases.get(&run)?;
            let there = sim.world.store.lease(&lease.name).ok().flatten()?;
            (there.epoch == lease.epoch && there.owner.is_some()).then_some(lease.epoch)
        };
        let epoch = match ours(e, self) {
            Some(epoch) => epoch,
            None => match self.take_run(e, run, open.takeover) {
                Ok(lease) => {
                    let epoch = lease.epoch;
                    e.leases.insert(run, lease);
                    epoch
                }
                Err(LeaseError::Held(_)) => {
                    e.leases.remove(&run);
                    e.inbox.push_back(In::Gone(run));
                    for (request, _) in open.asks {
                        self.withdraw(request);
                    }
                    return Ok(());
                }
                Err(_) => {
                    open.at = now.saturating_add(AGAIN_MS);
                    e.to_open.push_back(open);
                    return Ok(());
                }
            },
        };
        let loaded = match self.world.store.load(run, FOLD_VERSION) {
            Ok(loaded) => loaded,
            Err(e) => return broken(Law::ReplayIsLive, e.to_string()),
        };
        let mut state: Option<Run> = loaded.snapshot.and_then(|s| serde_json::from_slice(&s.bytes).ok());
        for stored in &loaded.tail {
            let event = match Event::from_json(&stored.body) {
                Ok(event) => event,
                Err(e) => return broken(Law::ReplayIsLive, e.to_string()),
            };
            let folded = match &mut state {
                None => Run::begin(run, stored.at, &event).map(|r| state = Some(r)),
                Some(r) => r.apply(stored.seq, stored.at, &event),
            };
            if let Err(e) = folded {
                return broken(Law::ReplayIsLive, e.to_string());
            }
        }
        let Some(mut state) = state else {
            // It never became durable.
            e.inbox.push_back(In::Gone(run));
            if let Some(lease) = e.leases.remove(&run) {
                self.add(e, Job::FreeRun { lease });
            }
            open.asks.into_iter().for_each(|(request, _)| self.withdraw(request));
            return Ok(());
        };
        let same = self.world.journals.books.get(&run).is_some_and(|b| b.run == state);
        hold(same, Law::ReplayIsLive, || {
            format!("{run} is read as another state than its journal folds to")
        })?;
        if let Some(fault) = self.world.fault {
            forget(fault, &mut state);
        }
        let secrets = !self.world.swarm.secrets || self.rng.coin();
        let root = state.spec.tree.root.clone();
        e.inbox.push_back(In::Opened { run: Box::new(state), epoch, secrets });
        // Only now: while the machine does not know the run, it does not know whose turn it is.
        if open.takeover && e.trees.contains_key(&root) {
            e.inbox.push_back(In::Tree { root, holder: None });
        }
        for (request, input) in open.asks {
            e.inbox.push_back(In::Ask { request, run, input });
        }
        Ok(())
    }

    /// Leases a run. Whoever takes it over from a living engine takes over what that one holds of its tree.
    fn take_run(&mut self, e: &mut Engine, run: RunId, takeover: bool) -> Result<Lease, LeaseError> {
        let mut store = self.world.store.clone();
        let name = LeaseName::Run(run);
        let holder = |store: &MemoryStore, name| store.lease(name).ok().flatten().and_then(|l| l.owner);
        let before = holder(&store, &name);
        let lease = store.acquire(&name, &e.owner, self.world.wall, takeover)?;
        let root = self.world.journals.books.get(&run).map(|b| b.spec().tree.root.clone());
        if let (true, Some(root)) = (takeover, root)
            && self.turn_elsewhere(e, &root).is_none_or(|other| other == run)
            && let Some(tree) = TreeId::parse(&root).map(LeaseName::Tree)
            && before.is_some()
            && before == holder(&store, &tree)
            && let Ok(lease) = store.acquire(&tree, &e.owner, self.world.wall, true)
        {
            e.trees.insert(root, lease);
        }
        Ok(lease)
    }

    /// Whether the lease of a tree is still this engine's; where not, its machine is told.
    pub(crate) fn has_tree(&self, e: &mut Engine, part: &Part) -> bool {
        let takes = part.events.iter().any(|(_, event)| matches!(event, Event::TurnTaken { .. }));
        let root = e.machine.run(part.run).map(|r| r.spec.tree.root.clone());
        let (true, Some(root)) = (takes && self.world.fault != Some(Fault::TreeNotHeld), root) else {
            return true;
        };
        let there =
            TreeId::parse(&root).and_then(|t| self.world.store.lease(&LeaseName::Tree(t)).ok().flatten());
        let ours = e.trees.get(&root).is_some_and(|l| there.as_ref().is_some_and(|t| t.epoch == l.epoch));
        if !ours {
            e.trees.remove(&root);
            let holder = there.and_then(|t| t.owner).map(|o| o.id.to_string());
            e.inbox.push_back(In::Tree { root, holder: Some(holder.unwrap_or_else(|| "nobody".into())) });
        }
        ours
    }

    /// A run that this engine does not lead and that has the turn in a tree. A dead engine's lease of it is free, and yet such
    /// a run may have live workers: until somebody has opened it, the turn is nobody else's.
    fn turn_elsewhere(&self, e: &Engine, root: &str) -> Option<RunId> {
        let runs = self.world.journals.books.values().map(|b| &b.run);
        let mut others = runs.filter(|r| r.spec.tree.root == root && !r.is_ended() && r.holds_turn());
        let leads = |run: RunId| {
            let there = self.world.store.lease(&LeaseName::Run(run)).ok().flatten();
            e.machine.epoch(run).is_some_and(|epoch| there.is_some_and(|l| l.epoch == epoch))
        };
        others.find(|r| !leads(r.id)).map(|r| r.id)
    }

    pub(crate) fn want_tree(&mut self, e: &mut Engine, root: String) {
        let Some(tree) = TreeId::parse(&root) else { return };
        if self.world.fault == Some(Fault::TreeNotHeld) {
            e.inbox.push_back(In::Tree { root, holder: None });
            return;
        }
        let there = self.world.store.lease(&LeaseName::Tree(tree.clone())).ok().flatten();
        if e.trees.get(&root).is_some_and(|l| there.is_some_and(|t| t.epoch == l.epoch && t.owner.is_some()))
        {
            e.inbox.push_back(In::Tree { root, holder: None });
            return;
        }
        if let Some(other) = self.turn_elsewhere(e, &root) {
            let holder = Some(format!("run {other}"));
            e.inbox.push_back(In::Tree { root, holder });
            return;
        }
        let got = self.world.store.acquire(&LeaseName::Tree(tree), &e.owner, self.world.wall, false);
        let holder = match got {
            Ok(lease) => {
                e.trees.insert(root.clone(), lease);
                None
            }
            Err(LeaseError::Held(held)) => Some(held.owner.id.to_string()),
            Err(LeaseError::Store(StoreError::DiskFull { .. })) => Some("a full disk".to_owned()),
            Err(e) => Some(e.to_string()),
        };
        e.inbox.push_back(In::Tree { root, holder });
    }
}

/// The planted faults of an engine that does not take a run for what its journal says.
fn forget(fault: Fault, state: &mut Run) {
    match fault {
        Fault::CapNotHeld => state.caps = windlass_events::spec::Caps::default(),
        Fault::WaitLost => state.due.clear(),
        Fault::StartWithoutApproval => {
            state.approved_plan = Some(u32::MAX);
            for task in &mut state.tasks {
                task.approved = true;
            }
            for (mut lane, tasks) in std::mem::take(&mut state.ready) {
                lane.held = false;
                state.ready.entry(lane).or_default().extend(tasks);
            }
        }
        _ => {}
    }
}
