//! Making events durable, and releasing what rests on them: one commit at a time, one part for each run.

use super::Machine;
use super::entry::{Parked, Staged};
use super::messages::{AskError, CommitFailure, Out, Part};
use windlass_events::{Envelope, Event, RunId, Seq};

/// After how many events since the last one a state snapshot is due at the earliest.
const SNAPSHOT_EVENTS: u64 = 1_000;
/// How long after a commit failed for want of space (or the like) it is tried again, in milliseconds.
const PROBE_MS: i64 = 1_000;

impl Machine {
    pub(super) fn commit(&mut self, out: &mut Vec<Out>) {
        if self.committing.is_some() {
            return;
        }
        let mut parts = Vec::new();
        let mut order = Vec::new();
        for (id, entry) in &mut self.runs {
            if entry.staged.events.is_empty() {
                continue;
            }
            let staged = std::mem::take(&mut entry.staged);
            parts.push(Part {
                run: *id,
                expected: staged.first - 1,
                epoch: entry.epoch,
                sync: staged.events.iter().any(|(_, e)| needs_sync(e)),
                events: staged.events.clone(),
                consumes: staged.consumes.clone(),
            });
            entry.in_flight = Some(staged);
            order.push(*id);
        }
        if parts.is_empty() {
            return;
        }
        self.batch += 1;
        self.committing = Some(order);
        out.push(Out::Commit { batch: self.batch, parts });
    }

    pub(super) fn committed(
        &mut self,
        batch: u64,
        results: Vec<Result<Seq, CommitFailure>>,
        out: &mut Vec<Out>,
    ) {
        if batch != self.batch {
            return;
        }
        let Some(order) = self.committing.take() else { return };
        for (id, result) in order.into_iter().zip(results) {
            let Some(entry) = self.runs.get_mut(&id) else { continue };
            let Some(staged) = entry.in_flight.take() else { continue };
            match result {
                Ok(_) => self.release_staged(id, staged, out),
                Err(failure) => self.drop_run(id, staged, failure, out),
            }
        }
    }

    pub(super) fn release_staged(&mut self, id: RunId, staged: Staged, out: &mut Vec<Out>) {
        let Some(entry) = self.runs.get_mut(&id) else { return };
        let first = staged.first;
        let last = first + staged.events.len() as u64 - 1;
        if entry.gave_back.is_some_and(|at| at <= last) {
            entry.gave_back = None;
            self.has_room = true;
        }
        for (effect, recovering) in staged.effects {
            out.push(Out::Perform { run: id, effect, recovering });
        }
        for request in staged.answers {
            out.push(Out::Answer { request, result: Ok(last) });
        }
        let events = (first..)
            .zip(staged.events)
            .map(|(seq, (at, event))| Envelope { run: id, seq, at, event })
            .collect();
        out.push(Out::Announce { run: id, events });
        let size = entry.run.tasks.len() as u64;
        let tail = last.saturating_sub(entry.snapshot_at);
        if tail > SNAPSHOT_EVENTS.max(2 * size) {
            entry.snapshot_at = last;
            out.push(Out::Snapshot { run: id });
        }
    }

    pub(super) fn drop_run(&mut self, id: RunId, staged: Staged, failure: CommitFailure, out: &mut Vec<Out>) {
        let Some(mut entry) = self.runs.remove(&id) else { return };
        self.dirty.remove(&id);
        self.has_room = true;
        let is_new = staged.first == 1;
        let root = entry.run.spec.tree.root.clone();
        let has_turn = entry.has_turn();
        if !is_new && !matches!(failure, CommitFailure::Fenced(_)) {
            // What it holds by its journal is not known before it is read; its memory was ahead of that.
            let parked = Parked { root: root.clone(), slots: entry.run.slots_used() };
            self.parked.insert(id, parked);
        }
        let text = match &failure {
            CommitFailure::Fenced(t) | CommitFailure::Conflict(t) | CommitFailure::Unavailable(t) => {
                t.clone()
            }
        };
        for request in staged.answers.into_iter().chain(std::mem::take(&mut entry.staged.answers)) {
            out.push(Out::Answer { request, result: Err(AskError::NotRecorded(text.clone())) });
        }
        match failure {
            CommitFailure::Fenced(reason) => {
                // By a journal that had gone on without it: another run here may have the turn by now.
                let other = self.runs.values().any(|e| e.has_turn() && e.run.spec.tree.root == root);
                if has_turn && !other && self.trees.remove(&root).is_some() {
                    // Whoever leads it now holds its turn: others here have to ask for the tree anew.
                    out.push(Out::FreeTree { root });
                }
                out.push(Out::Forget { run: id, reason });
            }
            CommitFailure::Conflict(_) => out.push(Out::Reopen { run: id, at: self.now }),
            CommitFailure::Unavailable(_) if is_new => {
                out.push(Out::Forget { run: id, reason: text });
            }
            CommitFailure::Unavailable(_) => {
                out.push(Out::Reopen { run: id, at: self.now.saturating_add(PROBE_MS) });
            }
        }
    }
}

/// Decisions that must survive a power cut before anything rests on them. The rest survives the death of any process.
const fn needs_sync(event: &Event) -> bool {
    matches!(
        event,
        Event::RunCreated(_)
            | Event::RunResumed { .. }
            | Event::TasksRetried { .. }
            | Event::CancelRequested { .. }
            | Event::TurnTaken { .. }
            | Event::TreeKept { .. }
            | Event::GatesSettled { .. }
            | Event::ApprovalGiven { .. }
            | Event::ApprovalRefused { .. }
            | Event::RunUndone { .. }
            | Event::RunCompleted { .. }
            | Event::RunFailed { .. }
            | Event::RunCancelled {}
            | Event::RunBlocked { .. }
    )
}
