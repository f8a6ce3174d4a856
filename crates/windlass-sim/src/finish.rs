//! What must hold when a history has come to rest.

use crate::journal::{Book, Stage};
use crate::law::{Check, Law, broken, hold};
use crate::sim::Sim;
use crate::worker::{Key, Name};
use crate::world::File;
use windlass_core::Run;
use windlass_core::replay::{Difference, Replay};
use windlass_core::run::Baseline;
use windlass_events::event::WaitFor;
use windlass_events::{RunStatus, Usage};

impl Sim {
    pub(crate) fn finish(&mut self) -> Check {
        for (id, book) in &self.world.journals.books {
            let replayed = Run::replay(*id, book.events.iter().map(|(at, e)| (*at, e)));
            hold(replayed.as_ref() == Ok(&book.run), Law::ReplayIsLive, || {
                format!("{id} replays otherwise")
            })?;
            self.check_rest(&book.run)?;
            check_decisions(book)?;
            self.check_usage(*id)?;
            for ((task, n), (stage, _)) in &book.attempts {
                hold(!matches!(stage, Stage::Started | Stage::Lost), Law::OneEnd, || {
                    format!("attempt {n} of {task} has no end")
                })?;
            }
        }
        for (id, request) in &self.requests {
            let forgotten = request.answer.is_none() && self.engines.contains_key(&request.engine);
            hold(!forgotten, Law::Answer, || format!("request {id} has no answer: {request:?}"))?;
        }
        let left: Vec<&Key> =
            self.world.workers.values().filter(|w| w.is_locked()).map(|w| &w.order.key).collect();
        hold(left.is_empty(), Law::Liveness, || format!("still alive: {left:?}"))
    }

    /// At its end, or waiting for something that has a name and can come.
    fn check_rest(&self, run: &Run) -> Check {
        let status = run.status();
        let named = match status {
            RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled | RunStatus::Blocked => true,
            RunStatus::Waiting => match run.waiting.as_ref().map(|w| w.0) {
                Some(WaitFor::Answer) => run.baseline == Baseline::Asked,
                Some(WaitFor::Restart) => run.restarted,
                Some(WaitFor::Environment) => !run.spec.secret_names.is_empty(),
                // The other must hold it, and for a reason of its own.
                Some(WaitFor::Tree) => self.world.journals.books.values().any(|b| {
                    b.run.id != run.id && b.spec().tree.root == run.spec.tree.root && b.run.turn.is_some()
                }),
                // Somebody's word comes late, or never.
                _ => run.asked.is_some(),
            },
            _ => false,
        };
        hold(named, Law::Liveness, || {
            let phases: Vec<_> = run.tasks.iter().map(|t| format!("{}:{:?}", t.spec.id, t.phase)).collect();
            let led: Vec<u32> = self
                .engines
                .iter()
                .filter(|(_, e)| e.machine.run(run.id).is_some())
                .map(|(i, _)| *i)
                .collect();
            let due: Vec<_> = self.engines.values().map(|e| e.machine.next_due()).collect();
            format!(
                "{} rests {status}, led by {led:?}, waiting {:?}, restarted {}, turn {:?}, due {:?} at {} ({due:?}), \
                 ready {:?}, pending {:?}, reached {:?}, {phases:?}, busy {:?} {:?}, baseline {:?} of {}, limits {:?}, slots {:?}",
                run.id,
                run.waiting,
                run.restarted,
                run.turn,
                run.due,
                self.world.wall,
                run.ready,
                run.pending,
                run.reached,
                run.busy,
                run.busy_by_role,
                run.baseline,
                run.spec.gates.len(),
                run.spec.limits,
                self.engines.values().map(|e| (e.slots, e.machine.slots_used())).collect::<Vec<_>>(),
            )
        })
    }

    /// The journal counts what the workers reported, no less and no more.
    fn check_usage(&self, id: windlass_events::RunId) -> Check {
        let Some(book) = self.world.journals.books.get(&id) else { return Ok(()) };
        let mut sum = Usage::default();
        for ((task, n), (stage, usage)) in &book.attempts {
            let key = Key { run: id, name: Name::Attempt(task.clone(), *n) };
            let reported = self.world.worker(&key).map(crate::worker::Worker::usage).unwrap_or_default();
            hold(*usage == reported, Law::Usage, || {
                format!(
                    "attempt {n} of {task} ({stage:?}) counts {usage:?}, its worker reported {reported:?}"
                )
            })?;
            sum = sum.plus(usage);
        }
        hold(sum == book.run.usage, Law::Usage, || format!("{id} counts {:?} of {sum:?}", book.run.usage))?;
        if self.world.cuts > 0 {
            // A start that was lost with the power is known to its file alone.
            return Ok(());
        }
        for (key, file) in &self.world.files {
            if let (true, Name::Attempt(task, n), File::Of(_)) = (key.run == id, &key.name, file) {
                let known = book.attempts.contains_key(&(task.clone(), *n));
                hold(known, Law::StartIsDurable, || format!("{key:?} is not in the journal"))?;
            }
        }
        Ok(())
    }
}

/// Every decision in a journal is the one that the core makes there, and none that was due is missing.
fn check_decisions(book: &Book) -> Check {
    let mut replay = Replay::new(book.run.id, &book.events, true);
    while let Some(step) = replay.step() {
        if let Err(difference) = step {
            let Difference { seq, recorded, how } = *difference;
            return broken(
                Law::DecidedAnew,
                format!("event {seq} of {}: {recorded:?}, but {how:?}", book.run.id),
            );
        }
    }
    Ok(())
}
