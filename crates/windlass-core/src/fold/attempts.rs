//! Folding the life of an attempt, and the kept states of the tree around it.

use super::{Illegal, push_few, state};
use crate::policy::{self, Next};
use crate::run::{Holder, Run};
use crate::task::{Attempt, Kept, Phase, Task};
use windlass_events::event::{AttemptEnd, Cause, Snapshot};
use windlass_events::outcome::Outcome;
use windlass_events::{AttemptNo, AttemptStatus, TaskId, Usage};

impl Run {
    pub(super) fn start(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        cause: Cause,
        session: Option<&str>,
        model: Option<&str>,
    ) -> Result<(), Illegal> {
        let at = self.known(id)?;
        let (now, turns) = (self.updated_at, self.turns);
        let held = self.turn == Some(Holder::Task(at));
        // Whoever starts while another has the turn is not alone, even if that one is done first.
        let turns = if self.turn.is_some() && !held { turns.saturating_sub(1) } else { turns };
        let task = self.task_mut(at)?;
        if n != task.next_n() {
            return Err(state("attempt.started", format!("the next attempt of {id} is {}", task.next_n())));
        }
        match task.phase {
            Phase::Kept if held => {}
            Phase::Ready { .. } if held || !task.takes_turn() => {}
            _ => return Err(state("attempt.started", format!("task {id} may not start"))),
        }
        let attempt = Attempt {
            n,
            cause,
            started_at: now,
            ended_at: None,
            status: AttemptStatus::Running,
            usage: Usage::default(),
            session: session.map(str::to_owned),
            model: model.map(str::to_owned),
            end: None,
            left: Vec::new(),
            last: String::new(),
            turns_at_start: turns,
            stopped_by_cap: false,
        };
        push_few(&mut task.attempts, attempt);
        task.used = task.used.saturating_add(1);
        if cause == Cause::Repair {
            task.repairs = task.repairs.saturating_add(1);
        }
        self.blocked = None;
        self.has_tree();
        self.enter(at, Phase::Running(n));
        Ok(())
    }

    /// The live attempt `n` of a task.
    pub(super) fn live(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        what: &'static str,
    ) -> Result<(u32, &mut Attempt), Illegal> {
        let at = self.known(id)?;
        let task = self.task_mut(at)?;
        if task.phase != Phase::Running(n) {
            return Err(state(what, format!("attempt {n} of {id} is not live")));
        }
        let attempt = n.checked_sub(1).and_then(|i| task.attempts.get_mut(i as usize));
        attempt.map(|a| (at, a)).ok_or_else(|| state(what, "no such attempt"))
    }

    /// Replaces an attempt's totals; they never go down, since what was spent stays spent.
    pub(super) fn count(&mut self, at: u32, n: AttemptNo, usage: &Usage) {
        let Some(attempt) =
            self.tasks.get_mut(at as usize).and_then(|t| t.attempts.get_mut((n - 1) as usize))
        else {
            return;
        };
        let more = usage.since(&attempt.usage);
        attempt.usage = attempt.usage.plus(&more);
        self.usage = self.usage.plus(&more);
    }

    pub(super) fn observe(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        usage: &Usage,
        session: Option<&str>,
    ) -> Result<(), Illegal> {
        let (at, attempt) = self.live(id, n, "attempt.observed")?;
        if let Some(session) = session {
            attempt.session = Some(session.to_owned());
        }
        self.count(at, n, usage);
        Ok(())
    }

    pub(super) fn attempt_ended(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        end: &AttemptEnd,
    ) -> Result<(), Illegal> {
        let now = self.updated_at;
        let (at, attempt) = self.live(id, n, "attempt.ended")?;
        attempt.ended_at = Some(now);
        attempt.status = match end.outcome {
            Outcome::Clean => AttemptStatus::Completed,
            Outcome::Cancelled => AttemptStatus::Cancelled,
            _ => AttemptStatus::Failed,
        };
        if end.session.is_some() {
            attempt.session.clone_from(&end.session);
        }
        attempt.end = Some(end.clone());
        self.count(at, n, &end.usage);
        self.close(at, n);
        Ok(())
    }

    pub(super) fn lose(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        usage: &Usage,
        session: Option<&str>,
        last: &str,
    ) -> Result<(), Illegal> {
        let now = self.updated_at;
        let (at, attempt) = self.live(id, n, "attempt.lost")?;
        attempt.ended_at = Some(now);
        attempt.status = AttemptStatus::Lost;
        last.clone_into(&mut attempt.last);
        if let Some(session) = session {
            attempt.session = Some(session.to_owned());
        }
        self.count(at, n, usage);
        self.enter(at, Phase::Lost(n));
        Ok(())
    }

    pub(super) fn swept(&mut self, id: &TaskId, n: AttemptNo, left: &[String]) -> Result<(), Illegal> {
        let at = self.known(id)?;
        let task = self.task_mut(at)?;
        if task.phase != Phase::Lost(n) {
            return Err(state("attempt.swept", format!("attempt {n} of {id} is not lost")));
        }
        if let Some(attempt) = task.attempts.get_mut((n - 1) as usize) {
            attempt.left = left.to_vec();
        }
        self.close(at, n);
        Ok(())
    }

    pub(super) fn void(&mut self, id: &TaskId, n: AttemptNo) -> Result<(), Illegal> {
        let now = self.updated_at;
        let (at, attempt) = self.live(id, n, "attempt.voided")?;
        attempt.status = AttemptStatus::Voided;
        attempt.ended_at = Some(now);
        let cause = attempt.cause;
        let task = self.task_mut(at)?;
        task.used = task.used.saturating_sub(1);
        if cause == Cause::Repair {
            task.repairs = task.repairs.saturating_sub(1);
        }
        self.settle(at, n);
        Ok(())
    }

    /// After an attempt: keep the tree where it may have changed, then decide.
    pub(super) fn close(&mut self, at: u32, n: AttemptNo) {
        let keep = self.spec.tree.git && self.tasks.get(at as usize).is_some_and(Task::takes_turn);
        if keep { self.enter(at, Phase::KeepingAfter(n)) } else { self.settle(at, n) }
    }

    /// Puts a task whose attempt is over where it belongs: wanting a start, or pending a decision.
    pub(super) fn settle(&mut self, at: u32, n: AttemptNo) {
        let Some(task) = self.tasks.get(at as usize) else { return };
        match policy::after(self, task, n, self.updated_at) {
            Next::Again { not_before, cause } => self.enter(at, Phase::Ready { not_before, cause }),
            Next::Expand => self.enter(at, Phase::Expanding(n)),
            _ => self.enter(at, Phase::Closing(n)),
        }
    }

    pub(super) fn kept(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        before: bool,
        snapshot: &Snapshot,
    ) -> Result<(), Illegal> {
        let at = self.known(id)?;
        let task = self.task_mut(at)?;
        let fits = match task.phase {
            Phase::Keeping => before && n == task.next_n(),
            Phase::KeepingAfter(m) => !before && n == m,
            _ => false,
        };
        if !fits {
            return Err(state("tree.kept", format!("task {id} does not wait for it")));
        }
        push_few(&mut task.kept, Kept { attempt: n, before, snapshot: snapshot.clone() });
        self.next_snapshot = self.next_snapshot.max(snapshot.n.saturating_add(1));
        if before {
            self.enter(at, Phase::Kept)
        } else {
            self.settle(at, n)
        }
        Ok(())
    }

    pub(super) fn touched(
        &mut self,
        id: &TaskId,
        n: AttemptNo,
        before: &Snapshot,
        after: &Snapshot,
    ) -> Result<(), Illegal> {
        let at = self.known(id)?;
        let task = self.task_mut(at)?;
        let over = matches!(task.phase, Phase::Closing(m) | Phase::Expanding(m) if m == n)
            || matches!(task.phase, Phase::Ready { .. });
        if !over {
            return Err(state("tree.touched", format!("attempt {n} of {id} is not just over")));
        }
        task.touched = Some((before.clone(), after.clone()));
        self.next_snapshot = self.next_snapshot.max(before.n.max(after.n).saturating_add(1));
        self.enter(at, Phase::Closing(n));
        Ok(())
    }
}
