//! Watchers of runs: every event exactly once and in order, live pictures on top.

use std::collections::BTreeMap;
use tokio::sync::mpsc;
use windlass_api::status::LiveDoc;
use windlass_events::{Millis, RunId, Seq, TaskId};

/// The most events that wait for a watcher; one that is slower is dropped, and can watch again from where it was.
const BACKLOG: usize = 200_000;

/// What a watcher is sent.
#[derive(Debug, Clone)]
pub enum Seen {
    /// Events: place, time, body.
    Events(Vec<(Seq, Millis, String)>),
    /// What live tasks do now.
    Live(BTreeMap<TaskId, LiveDoc>),
}

/// Somebody who watches a run.
#[derive(Debug)]
pub struct Watcher {
    pub(crate) run: RunId,
    pub(crate) since: Seq,
    pub(crate) live: bool,
    pub(crate) to: mpsc::UnboundedSender<Seen>,
    /// Events that came while the earlier ones were read; `None` once they were.
    pub(crate) held: Option<Vec<(Seq, Millis, String)>>,
    pub(crate) id: u64,
}

/// The earlier events of a watcher.
#[derive(Debug)]
pub(crate) struct CaughtUp {
    pub(crate) run: RunId,
    pub(crate) id: u64,
    pub(crate) events: Vec<(Seq, Millis, String)>,
}

impl Watcher {
    /// Who watches a run from after an event, and where what they see arrives.
    pub fn new(run: RunId, since: Seq, live: bool) -> (Self, mpsc::UnboundedReceiver<Seen>) {
        let (to, seen) = mpsc::unbounded_channel();
        (Self { run, since, live, to, held: Some(Vec::new()), id: 0 }, seen)
    }

    /// Takes new events. `false` when the watcher is gone or too slow.
    pub(crate) fn take(&mut self, events: &[(Seq, Millis, String)]) -> bool {
        if let Some(held) = &mut self.held {
            held.extend_from_slice(events);
            return held.len() < BACKLOG && !self.to.is_closed();
        }
        self.send(events.to_vec())
    }

    /// Takes the earlier events, then what came meanwhile.
    pub(crate) fn caught_up(&mut self, events: Vec<(Seq, Millis, String)>) -> bool {
        let held = self.held.take().unwrap_or_default();
        self.send(events) && self.send(held)
    }

    fn send(&mut self, events: Vec<(Seq, Millis, String)>) -> bool {
        let fresh: Vec<_> = events.into_iter().filter(|e| e.0 > self.since).collect();
        match fresh.last() {
            None => !self.to.is_closed(),
            Some(last) => {
                self.since = last.0;
                self.to.send(Seen::Events(fresh)).is_ok()
            }
        }
    }

    pub(crate) fn show(&self, tasks: &BTreeMap<TaskId, LiveDoc>) {
        if self.live {
            // The end of the connection shows at the next event.
            let _ = self.to.send(Seen::Live(tasks.clone()));
        }
    }
}
