//! Doing what the machine says.

use crate::driver::attempt::{self, Order};
use crate::driver::context::{Key, LiveCell, Msg};
use crate::driver::copying::Copy;
use crate::driver::expand::{self, Source};
use crate::driver::launch::Job;
use crate::driver::{Live, Loop, gate, trees};
use crate::machine::{CommitFailure, In, Out, Part};
use crate::query;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use windlass_core::{Effect, FOLD_VERSION, Input};
use windlass_events::{RunId, RunStatus, Seq};
use windlass_store::{Append, AppendError, Lease, LeaseName, Record, Store};

/// The tree that a part of a commit takes the turn in, with its lease.
type RestsOn = Option<(String, Lease)>;

/// A run of fewer events than this is folded as fast as its snapshot is read.
const SNAPSHOT_WORTH: Seq = 200;

impl Loop {
    pub(super) fn perform(&mut self, out: Vec<Out>) {
        for one in out {
            match one {
                Out::Commit { batch, parts } => self.commit(batch, parts),
                Out::Perform { run, effect, recovering } => self.effect(run, effect, recovering),
                Out::Answer { request, result } => self.answered(request, result),
                Out::Announce { run, events } => {
                    if let Some(list) = self.watchers.get_mut(&run) {
                        let lines: Vec<_> = events
                            .iter()
                            .filter_map(|e| Some((e.seq, e.at, e.event.to_json().ok()?)))
                            .collect();
                        list.retain_mut(|w| w.take(&lines));
                    }
                    self.copy_ended(run, &events);
                    self.after_commit(run);
                }
                Out::Reopen { run, at } => {
                    self.homes.remove(&run);
                    self.reopen.insert(run, at);
                }
                Out::Forget { run, reason } => {
                    tracing::warn!(%run, reason, "the run is no longer led here");
                    self.homes.remove(&run);
                }
                Out::WantTree { root } => self.want_tree(root),
                Out::FreeTree { root } => self.free_tree(&root),
                Out::Snapshot { run } => self.snapshot(run),
            }
        }
    }

    /// Makes parts durable, each project by its own writing thread; the answer comes when all are done.
    fn commit(&mut self, batch: u64, parts: Vec<Part>) {
        struct Gather {
            left: usize,
            results: Vec<Option<Result<Seq, CommitFailure>>>,
        }
        let count = parts.len();
        let mut by_project: BTreeMap<PathBuf, Vec<(usize, Part, RestsOn)>> = BTreeMap::new();
        let mut results = vec![None; count];
        for (i, part) in parts.into_iter().enumerate() {
            match (self.homes.get(&part.run), self.rests_on(&part)) {
                (Some(home), Ok(lease)) => {
                    by_project.entry(home.project.dir.clone()).or_default().push((i, part, lease));
                }
                (Some(_), Err(root)) => {
                    self.ctx.tell(Msg::TreeLost(root));
                    results[i] = Some(Err(CommitFailure::Conflict("its tree is another engine's".into())));
                }
                (None, _) => results[i] = Some(Err(CommitFailure::Fenced("its home is gone".into()))),
            }
        }
        let gather = Arc::new(Mutex::new(Gather { left: by_project.len(), results }));
        let finish = move |results: Vec<Option<Result<Seq, CommitFailure>>>| In::Committed {
            batch,
            results: results
                .into_iter()
                .map(|r| r.unwrap_or_else(|| Err(CommitFailure::Unavailable("the store has stopped".into()))))
                .collect(),
        };
        if by_project.is_empty() {
            let all = gather.lock().map(|g| g.results.clone()).unwrap_or_default();
            self.ctx.tell(Msg::In(finish(all)));
            return;
        }
        for (_, parts) in by_project {
            let Some(project) =
                parts.first().and_then(|(_, p, _)| self.homes.get(&p.run)).map(|h| h.project.clone())
            else {
                continue;
            };
            let (gather, ctx) = (gather.clone(), self.ctx.clone());
            project.post(move |store| {
                let mut appends = Vec::with_capacity(parts.len());
                let mut places = Vec::with_capacity(parts.len());
                for (i, part, rests_on) in parts {
                    let (root, lease) = rests_on.unzip();
                    places.push((i, root));
                    appends.push(append(part, lease));
                }
                let done = store.append(appends);
                let mut gather = gather.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                for ((i, root), result) in places.into_iter().zip(done) {
                    if let (Err(AppendError::Unheld { .. }), Some(root)) = (&result, root) {
                        // Told first, so that the run is read again knowing that.
                        ctx.tell(Msg::TreeLost(root));
                    }
                    gather.results[i] = Some(result.map_err(failure));
                }
                gather.left -= 1;
                if gather.left == 0 {
                    let results = std::mem::take(&mut gather.results);
                    ctx.tell(Msg::In(finish(results)));
                }
            });
        }
    }

    fn effect(&mut self, run: RunId, effect: Effect, recovering: bool) {
        let Some(home) = self.homes.get(&run).cloned() else { return };
        let ctx = self.ctx.clone();
        match effect {
            Effect::Attempt { task, n } => {
                let key = Key::attempt(run, &task, n);
                if self.live.contains_key(&key) {
                    return;
                }
                let Some(state) = self.machine.run(run) else { return };
                let Some(job) = state.position(&task).and_then(|at| Job::of(state, at, n, recovering)) else {
                    return;
                };
                let (orders, inbox) = mpsc::unbounded_channel();
                let cell = LiveCell::default();
                self.live.insert(key, Live { orders, task: Some(task), cell: cell.clone() });
                tokio::spawn(attempt::run(ctx, home, job, inbox, cell));
            }
            Effect::StopAttempt { task, n, .. } => self.order(&Key::attempt(run, &task, n), Order::Stop),
            Effect::Steer { id, task, n, text } => {
                let key = Key::attempt(run, &task, n);
                if self.live.contains_key(&key) {
                    self.order(&key, Order::Steer { id, text });
                } else {
                    let error = "the worker had ended".to_owned();
                    ctx.tell(Msg::In(In::Run(run, Input::SteerDelivered { id, error })));
                }
            }
            Effect::Sweep { task, n } => {
                tokio::spawn(attempt::sweep(ctx, home, task, n));
            }
            Effect::KeepTree { task, n, before } => {
                let Some(state) = self.machine.run(run) else { return };
                let number = state.next_snapshot;
                let head_was =
                    state.task_by_id(&task).and_then(|t| t.kept.last()).map(|k| k.snapshot.head.clone());
                let head_was = if before { None } else { head_was };
                tokio::spawn(trees::keep(ctx, home, task, n, before, number, head_was));
            }
            Effect::Expand { task, n } => {
                let Some(source) = self.machine.run(run).and_then(|r| Source::of(r, &task, n)) else {
                    return;
                };
                tokio::spawn(expand::expand(ctx, home, source));
            }
            Effect::Gate(key) => {
                let live = Key::gate(run, &key);
                if self.live.contains_key(&live) {
                    return;
                }
                let (orders, inbox) = mpsc::unbounded_channel();
                self.live.insert(live, Live { orders, task: None, cell: LiveCell::default() });
                tokio::spawn(gate::run(ctx, home, key, recovering, inbox));
            }
            Effect::StopGate(key) => self.order(&Key::gate(run, &key), Order::Stop),
        }
    }

    fn order(&self, key: &Key, order: Order) {
        if let Some(live) = self.live.get(key) {
            // Its task has ended when nobody listens; its end is on the way.
            let _ = live.orders.send(order);
        }
    }

    /// Keeps the index true and lets go of runs that are over.
    fn after_commit(&mut self, run: RunId) {
        let Some(state) = self.machine.run(run) else { return };
        let row = (state.status(), state.proof());
        let Some(home) = self.homes.get(&run).cloned() else { return };
        let stands = row.0 == RunStatus::Blocked && self.indexed.get(&run) != Some(&row);
        if self.indexed.get(&run) != Some(&row) {
            self.indexed.insert(run, row);
            let row = query::index_row(state);
            home.project.post(move |store| {
                // A cache: whoever lists folds the journal where it is behind.
                let _ = store.index_put(&[row]);
            });
        }
        if state.is_ended() && self.machine.is_settled(run) && !state.is_live() {
            if state.seq > SNAPSHOT_WORTH {
                self.snapshot(run);
            }
            if let Some(epoch) = self.machine.release(run) {
                self.homes.remove(&run);
                crate::secrets::forget(&self.ctx.projects.paths().secrets(run));
                home.project.post(move |store| {
                    // Who asked took it for live; what is asked of it now is asked of an ended run.
                    let _ = store.take_requests(run);
                    let _ = store.release(&windlass_store::Lease { name: LeaseName::Run(run), epoch });
                });
                self.copy(Copy::Run(home.project.dir.clone(), run));
            }
        } else if stands {
            self.copy(Copy::Run(home.project.dir.clone(), run));
        }
    }

    fn snapshot(&mut self, run: RunId) {
        // The state is folded ahead of the journal while something is on its way there.
        if !self.machine.is_settled(run) {
            return;
        }
        let (Some(state), Some(home)) = (self.machine.run(run), self.homes.get(&run)) else { return };
        let Ok(bytes) = serde_json::to_vec(state) else { return };
        let snapshot = windlass_store::Snapshot { seq: state.seq, fold_version: FOLD_VERSION, bytes };
        home.project.post(move |store| {
            // A cache.
            let _ = store.put_snapshot(run, &snapshot);
        });
    }
}

fn append(part: Part, rests_on: Option<Lease>) -> Append {
    let records = part
        .events
        .into_iter()
        .map(|(at, event)| Record { at, body: event.to_json().unwrap_or_default() })
        .collect();
    Append {
        run: part.run,
        expected: part.expected,
        epoch: part.epoch,
        records,
        sync: part.sync,
        index: None,
        consumes: part.consumes,
        holding: rests_on.into_iter().collect(),
    }
}

fn failure(e: AppendError) -> CommitFailure {
    let text = e.to_string();
    match e {
        AppendError::Fenced { .. } => CommitFailure::Fenced(text),
        AppendError::Commit(_) => CommitFailure::Unavailable(text),
        _ => CommitFailure::Conflict(text),
    }
}
