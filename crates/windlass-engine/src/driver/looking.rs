//! Answers to those who look: the engine itself, live pictures, watchers.

use super::Loop;
use super::context::Msg;
use super::watch::{self, Watcher};
use std::collections::BTreeMap;
use tokio::time::Instant;
use windlass_api::status::{DaemonDoc, LiveDoc};
use windlass_events::{RunId, TaskId};

impl Loop {
    pub(super) fn status(&self) -> DaemonDoc {
        DaemonDoc {
            running: true,
            pid: Some(std::process::id()),
            version: Some(self.ctx.options.settings.version.clone()),
            socket: Some(self.ctx.options.address.clone()),
            runs: self.machine.runs().filter(|r| !r.is_ended()).count() as u64,
        }
    }

    pub(super) fn live_of(&self, run: RunId) -> BTreeMap<TaskId, LiveDoc> {
        self.live
            .iter()
            .filter(|(k, _)| k.run == run)
            .filter_map(|(_, l)| {
                let doc = l.cell.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
                Some((l.task.clone()?, doc))
            })
            .collect()
    }

    pub(super) fn watch(&mut self, mut watcher: Watcher) {
        self.last_request = Instant::now();
        let (run, since, id) = (watcher.run, watcher.since, self.id());
        watcher.id = id;
        self.watchers.entry(run).or_default().push(watcher);
        let ctx = self.ctx.clone();
        tokio::task::spawn_blocking(move || {
            let events = ctx
                .projects
                .project_of(run)
                .ok()
                .and_then(|p| p.reader().ok())
                .map(|reader| crate::query::events(&reader, run, since).unwrap_or_default())
                .unwrap_or_default();
            ctx.tell(Msg::CaughtUp(watch::CaughtUp { run, id, events }));
        });
    }

    pub(super) fn show(&mut self) {
        for run in std::mem::take(&mut self.to_show) {
            let tasks = self.live_of(run);
            for watcher in self.watchers.get(&run).into_iter().flatten() {
                watcher.show(&tasks);
            }
        }
        self.watchers.retain(|_, list| {
            list.retain(|w| !w.to.is_closed());
            !list.is_empty()
        });
    }
}
