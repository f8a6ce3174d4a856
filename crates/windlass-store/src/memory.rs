//! The twin in memory, for tests and the simulator. It keeps every promise of the traits, and can be made to fail.
//!
//! Clones share one store, as several processes share a file. [`MemoryStore::power_cut`] loses what was not synced.

use crate::artifact::{ArtifactError, Hash, checked};
use crate::error::{AppendError, Damage, LeaseError, ReadError, StoreError};
use crate::owner::{Liveness, OwnerId};
use crate::sqlite::{may_take, vocabulary_after};
use crate::store::{ReadStore, Store};
use crate::types::{
    Append, Lease, LeaseName, LeaseState, ListFilter, Listed, Loaded, Owner, ProjectIdentity, Quarantined,
    Record, RunRow, Snapshot, StoredEvent, StoredRequest,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use windlass_events::{Millis, RunId, Seq};

/// A store in memory. Clones are handles to the same one.
#[derive(Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    liveness: Arc<dyn Liveness>,
}

#[derive(Debug, Default, Clone)]
struct State {
    runs: BTreeMap<RunId, Run>,
    last_number: u64,
    leases: BTreeMap<LeaseName, LeaseState>,
    last_epoch: u64,
    /// In the order they came; the flag says whether they wait.
    requests: Vec<(StoredRequest, bool)>,
    artifacts: BTreeMap<Hash, Vec<u8>>,
    artifact_uses: BTreeSet<(RunId, Hash)>,
    quarantined: Vec<(RunId, Record)>,
    project: Option<ProjectIdentity>,
    version: u64,
    failure: Option<StoreError>,
    /// Lengths of the runs after each commit since the last synced one, in order.
    unsynced: Vec<Vec<(RunId, usize)>>,
}

#[derive(Debug, Default, Clone)]
struct Run {
    number: u64,
    events: Vec<Record>,
    /// How many events survive a power cut.
    synced: usize,
    damage: Option<Damage>,
    row: Option<RunRow>,
    snapshot: Option<Snapshot>,
}

impl Run {
    fn head(&self) -> Seq {
        self.events.len() as Seq
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("state", &*self.state()).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new(liveness: Arc<dyn Liveness>) -> Self {
        Self { state: Arc::default(), liveness }
    }

    /// An independent copy of the store as it is now.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.state().clone())), liveness: Arc::clone(&self.liveness) }
    }

    /// From now on every write fails with this error and changes nothing; `None` ends that.
    pub fn set_failure(&self, failure: Option<StoreError>) {
        self.state().failure = failure;
    }

    /// Loses what a power cut may lose: the events after the last synced commit.
    pub fn power_cut(&self) {
        self.power_cut_after(0);
    }

    /// The same, where the disk has written the first `kept` of the commits after the last synced one all the same.
    pub fn power_cut_after(&self, kept: usize) {
        let mut state = self.state();
        for (id, length) in std::mem::take(&mut state.unsynced).into_iter().take(kept).flatten() {
            if let Some(run) = state.runs.get_mut(&id) {
                run.synced = run.synced.max(length);
            }
        }
        for run in state.runs.values_mut() {
            run.events.truncate(run.synced);
            // It was written after the events that it is of: where those are gone, so is it.
            let head = run.head();
            run.snapshot = run.snapshot.take().filter(|s| s.seq <= head);
        }
        state.runs.retain(|_, run| !run.events.is_empty());
        state.version += 1;
    }

    /// Damages an event, as a bad disk would.
    pub fn damage(&self, run: RunId, seq: Seq) {
        if let Some(data) = self.state().runs.get_mut(&run) {
            data.damage = Some(Damage { run, seq, reason: "damaged on purpose".to_owned() });
        }
    }

    /// What was set aside of a run, in order.
    pub fn quarantined(&self, run: RunId) -> Vec<Record> {
        self.state()
            .quarantined
            .iter()
            .filter(|(of, _)| *of == run)
            .map(|(_, record)| record.clone())
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of another holder cannot leave the state torn: every change is checked first, then made.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for a write, unless writes fail.
    fn writing(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        match &state.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(state),
        }
    }
}

impl State {
    fn held_epoch(&self, name: &LeaseName) -> Option<u64> {
        self.leases.get(name).filter(|lease| lease.owner.is_some()).map(|lease| lease.epoch)
    }

    fn head(&self, run: RunId) -> Seq {
        self.runs.get(&run).map_or(0, Run::head)
    }

    fn is_waiting(&self, run: RunId, id: &str) -> bool {
        self.requests.iter().any(|(request, waits)| *waits && request.run == run && request.id == id)
    }

    fn check(&self, part: &Append) -> Result<(), AppendError> {
        let run = part.run;
        let current = self.held_epoch(&LeaseName::Run(run));
        if current != Some(part.epoch) {
            return Err(AppendError::Fenced { run, given: part.epoch, current });
        }
        if let Some(lease) = part.holding.iter().find(|l| self.held_epoch(&l.name) != Some(l.epoch)) {
            return Err(AppendError::Unheld { run, lease: lease.clone() });
        }
        if let Some(damage) = self.runs.get(&run).and_then(|r| r.damage.clone()) {
            return Err(damage.into());
        }
        let head = self.head(run);
        if head != part.expected {
            return Err(AppendError::Conflict { run, expected: part.expected, head });
        }
        if Seq::from(u32::MAX) - head < part.records.len() as Seq {
            return Err(AppendError::TooLong { run });
        }
        let mut seen = BTreeSet::new();
        match part.consumes.iter().find(|id| !self.is_waiting(run, id) || !seen.insert(*id)) {
            Some(id) => Err(AppendError::RequestGone { run, id: id.clone() }),
            None => Ok(()),
        }
    }

    fn apply(&mut self, part: &Append) -> Seq {
        for (request, waits) in &mut self.requests {
            if request.run == part.run && part.consumes.contains(&request.id) {
                *waits = false;
            }
        }
        if !self.runs.contains_key(&part.run) {
            if part.records.is_empty() {
                return 0;
            }
            self.last_number += 1;
        }
        let number = self.last_number;
        let run = self.runs.entry(part.run).or_insert_with(|| Run { number, ..Run::default() });
        run.events.extend(part.records.iter().cloned());
        if let Some(row) = &part.index {
            run.row = Some(stored_row(part.run, row));
        }
        run.head()
    }

    fn put_row(&mut self, row: &RunRow) -> usize {
        let Some(run) = self.runs.get_mut(&row.run) else { return 0 };
        run.row = Some(stored_row(row.run, row));
        1
    }

    fn sync(&mut self) {
        for run in self.runs.values_mut() {
            run.synced = run.events.len();
        }
        self.unsynced.clear();
    }

    fn read(&self, run: RunId, after: Seq, limit: usize) -> Result<Vec<StoredEvent>, ReadError> {
        let Some(data) = self.runs.get(&run) else { return Ok(Vec::new()) };
        let from = usize::try_from(after).unwrap_or(usize::MAX).min(data.events.len());
        let to = from.saturating_add(limit).min(data.events.len());
        if let Some(damage) = data.damage.as_ref().filter(|d| after < d.seq && d.seq <= to as Seq) {
            return Err(damage.clone().into());
        }
        let events = data.events.get(from..to).unwrap_or_default();
        Ok(events
            .iter()
            .zip(from as Seq + 1..)
            .map(|(record, seq)| StoredEvent { seq, at: record.at, body: record.body.clone() })
            .collect())
    }

    fn snapshot(&self, run: RunId, fold_version: u32) -> Option<Snapshot> {
        let run = self.runs.get(&run)?;
        run.snapshot.clone().filter(|s| s.fold_version == fold_version && s.seq <= run.head())
    }
}

fn stored_row(run: RunId, row: &RunRow) -> RunRow {
    RunRow { run, goal: row.short_goal().to_owned(), ..row.clone() }
}

impl ReadStore for MemoryStore {
    fn read(&self, run: RunId, after: Seq, limit: usize) -> Result<Vec<StoredEvent>, ReadError> {
        self.state().read(run, after, limit)
    }

    fn head(&self, run: RunId) -> Result<Seq, StoreError> {
        Ok(self.state().head(run))
    }

    fn load(&self, run: RunId, fold_version: u32) -> Result<Loaded, ReadError> {
        let state = self.state();
        let snapshot = state.snapshot(run, fold_version);
        let tail = state.read(run, snapshot.as_ref().map_or(0, |s| s.seq), usize::MAX)?;
        Ok(Loaded { snapshot, tail })
    }

    fn latest_snapshot(&self, run: RunId, fold_version: u32) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.state().snapshot(run, fold_version))
    }

    fn list(&self, filter: ListFilter) -> Result<Vec<Listed>, StoreError> {
        let state = self.state();
        let mut runs: Vec<(&RunId, &Run)> = state
            .runs
            .iter()
            .filter(|(_, run)| !filter.unfinished || !run.row.as_ref().is_some_and(|row| row.terminal))
            .collect();
        runs.sort_by_key(|(_, run)| std::cmp::Reverse(run.number));
        runs.truncate(filter.newest.unwrap_or(usize::MAX));
        Ok(runs.into_iter().map(|(id, run)| Listed { run: *id, row: run.row.clone() }).collect())
    }

    fn data_version(&self) -> Result<u64, StoreError> {
        Ok(self.state().version)
    }

    fn lease(&self, name: &LeaseName) -> Result<Option<LeaseState>, StoreError> {
        Ok(self.state().leases.get(name).cloned())
    }

    fn is_alive(&self, owner: &OwnerId) -> bool {
        self.liveness.is_alive(owner)
    }

    fn pending_requests(&self, run: RunId) -> Result<Vec<StoredRequest>, StoreError> {
        let state = self.state();
        Ok(state
            .requests
            .iter()
            .filter(|(r, waits)| *waits && r.run == run)
            .map(|(r, _)| r.clone())
            .collect())
    }

    fn get_artifact(&self, hash: &Hash) -> Result<Vec<u8>, ArtifactError> {
        match self.state().artifacts.get(hash) {
            Some(bytes) => checked(hash, bytes.clone(), "memory"),
            None => Err(ArtifactError::Missing { hash: *hash }),
        }
    }

    fn project_identity(&self) -> Result<Option<ProjectIdentity>, StoreError> {
        Ok(self.state().project.clone())
    }
}

impl Store for MemoryStore {
    fn append(&mut self, batch: Vec<Append>) -> Vec<Result<Seq, AppendError>> {
        let mut state = self.state();
        if let Some(failure) = state.failure.clone() {
            // Parts that are refused for themselves say so, as they do in a real commit that fails at its end.
            let mut scratch = state.clone();
            let each = batch.iter().map(|part| {
                scratch
                    .check(part)
                    .map(|()| scratch.apply(part))
                    .and(Err(AppendError::Commit(failure.clone())))
            });
            return each.collect();
        }
        let results: Vec<_> =
            batch.iter().map(|part| state.check(part).map(|()| state.apply(part))).collect();
        if results.iter().any(Result::is_ok) {
            if batch.iter().any(|part| part.sync) {
                state.sync();
            } else {
                let lengths =
                    batch.iter().filter_map(|p| Some((p.run, state.runs.get(&p.run)?.events.len())));
                let lengths = lengths.collect();
                state.unsynced.push(lengths);
            }
            state.version += 1;
        }
        results
    }

    fn index_put(&mut self, rows: &[RunRow]) -> Result<usize, StoreError> {
        let mut state = self.writing()?;
        state.version += 1;
        Ok(rows.iter().map(|row| state.put_row(row)).sum())
    }

    fn put_snapshot(&mut self, run: RunId, snapshot: &Snapshot) -> Result<(), StoreError> {
        let mut state = self.writing()?;
        let there = state.snapshot(run, snapshot.fold_version);
        let Some(data) = state.runs.get_mut(&run) else { return Err(StoreError::UnknownRun { run }) };
        if snapshot.seq > data.head() {
            return Err(StoreError::SnapshotAhead { run, seq: snapshot.seq, head: data.head() });
        }
        if there.is_none_or(|there| there.seq <= snapshot.seq) {
            data.snapshot = Some(snapshot.clone());
        }
        state.version += 1;
        Ok(())
    }

    fn acquire(
        &mut self,
        name: &LeaseName,
        owner: &Owner,
        now: Millis,
        takeover: bool,
    ) -> Result<Lease, LeaseError> {
        let mut state = self.writing()?;
        let before = state.leases.get(name);
        may_take(before, &*self.liveness, owner, takeover)?;
        let vocabulary = vocabulary_after(before, name, owner);
        state.last_epoch += 1;
        let epoch = state.last_epoch;
        let lease = LeaseState { epoch, owner: Some(owner.clone()), vocabulary, since: now };
        state.leases.insert(name.clone(), lease);
        // Leases are taken with a synced commit, which carries everything before it.
        state.sync();
        state.version += 1;
        Ok(Lease { name: name.clone(), epoch })
    }

    fn release(&mut self, lease: &Lease) -> Result<bool, StoreError> {
        let mut state = self.writing()?;
        let held = state.held_epoch(&lease.name) == Some(lease.epoch);
        if held && let Some(there) = state.leases.get_mut(&lease.name) {
            there.owner = None;
        }
        state.version += 1;
        Ok(held)
    }

    fn put_artifact(&mut self, run: RunId, bytes: &[u8]) -> Result<Hash, StoreError> {
        let mut state = self.writing()?;
        let hash = Hash::of(bytes);
        state.artifacts.insert(hash, bytes.to_vec());
        state.artifact_uses.insert((run, hash));
        state.version += 1;
        Ok(hash)
    }

    fn put_request(&mut self, request: &StoredRequest) -> Result<bool, StoreError> {
        let mut state = self.writing()?;
        let new = state.requests.iter().all(|(there, _)| there.id != request.id);
        if new {
            state.requests.push((request.clone(), true));
        }
        state.sync();
        state.version += 1;
        Ok(new)
    }

    fn take_requests(&mut self, run: RunId) -> Result<Vec<StoredRequest>, StoreError> {
        let mut state = self.writing()?;
        let mut taken = Vec::new();
        for (request, waits) in &mut state.requests {
            if *waits && request.run == run {
                *waits = false;
                taken.push(request.clone());
            }
        }
        state.sync();
        state.version += 1;
        Ok(taken)
    }

    fn remove_run(&mut self, run: RunId, epoch: u64) -> Result<(), StoreError> {
        let mut state = self.writing()?;
        if state.held_epoch(&LeaseName::Run(run)) != Some(epoch) {
            return Err(StoreError::Fenced { run, given: epoch });
        }
        let state = &mut *state;
        state.runs.remove(&run);
        state.leases.remove(&LeaseName::Run(run));
        state.requests.retain(|(request, _)| request.run != run);
        state.quarantined.retain(|(of, _)| *of != run);
        state.artifact_uses.retain(|(user, _)| *user != run);
        let used: BTreeSet<Hash> = state.artifact_uses.iter().map(|(_, hash)| *hash).collect();
        state.artifacts.retain(|hash, _| used.contains(hash));
        state.sync();
        state.version += 1;
        Ok(())
    }

    fn quarantine(&mut self, run: RunId, epoch: u64) -> Result<Quarantined, StoreError> {
        let mut state = self.writing()?;
        if state.held_epoch(&LeaseName::Run(run)) != Some(epoch) {
            return Err(StoreError::Fenced { run, given: epoch });
        }
        let Some(data) = state.runs.get_mut(&run) else { return Err(StoreError::UnknownRun { run }) };
        let kept = match data.damage.take() {
            None => Vec::new(),
            Some(damage) => {
                let good = usize::try_from(damage.seq.saturating_sub(1)).unwrap_or(usize::MAX);
                data.events.split_off(good.min(data.events.len()))
            }
        };
        let result = Quarantined { head: data.head(), rows: kept.len() as u64 };
        data.snapshot = data.snapshot.take().filter(|s| s.seq <= result.head);
        state.quarantined.extend(kept.into_iter().map(|record| (run, record)));
        state.sync();
        state.version += 1;
        Ok(result)
    }

    fn set_project_identity(&mut self, identity: &ProjectIdentity) -> Result<(), StoreError> {
        let mut state = self.writing()?;
        state.project = Some(identity.clone());
        state.version += 1;
        Ok(())
    }
}
