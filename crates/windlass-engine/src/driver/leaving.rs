//! The engine's own end: when it may go, and what it does before. Workers go on without it.

use super::Loop;
use super::calls::{self, Responder};
use super::projects::Project;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use windlass_api::Reply;
use windlass_store::{Lease, LeaseName, Store};

/// How long what was begun may keep an engine that is to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(4);
/// The same when another engine waits for its place: a worker that is not begun costs an attempt then.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(12);
/// How long the stores may take to give leases back. What is not given back is free when this process has ended.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(6);
/// How often an engine that is to leave looks whether the workers that it started last have begun.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// An engine that is to leave.
pub(super) struct Leaving {
    /// When it leaves at the latest.
    by: Instant,
    /// Who asked for its place, if anybody did: told when it leads nothing any more.
    heirs: Vec<Responder>,
}

impl Loop {
    /// Begins to leave: nothing new is taken, what was begun for somebody is done first.
    pub(super) fn leave(&mut self) {
        self.leave_to(None);
    }

    /// Begins to leave for another engine, which finds everything as it is now: nothing more is decided here.
    pub(super) fn hand_over(&mut self, to: &str, heir: Responder) {
        tracing::info!(version = to, "another engine takes over");
        self.machine.hand_over();
        self.leave_to(Some(heir));
    }

    fn leave_to(&mut self, heir: Option<Responder>) {
        let by = Instant::now() + if heir.is_some() { HAND_OVER_WITHIN } else { LEAVE_WITHIN };
        self.leaving.get_or_insert_with(|| Leaving { by, heirs: Vec::new() }).heirs.extend(heir);
        self.tell_nursery();
    }

    /// Whether nobody is to go on with what is led here when this process is gone. Of one that hands over somebody is, whatever becomes of
    /// who asked for that.
    pub(super) fn is_leaving_for_good(&self) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| leaving.heirs.is_empty())
    }

    /// Whether it is time to go.
    pub(super) fn may_leave(&self) -> bool {
        let due = match &self.leaving {
            Some(leaving) => leaving.by <= Instant::now() || self.has_done_what_it_began(),
            None => self.is_idle(),
        };
        due && self.all_settled()
    }

    fn has_done_what_it_began(&self) -> bool {
        self.slow == 0 && self.pending.is_empty() && !self.is_starting()
    }

    /// Whether a worker that was asked for has not claimed its file yet. Without a claim the next engine would make sure that it never
    /// begins, and start another one.
    fn is_starting(&self) -> bool {
        self.live.keys().any(|key| {
            let home = self.homes.get(&key.run);
            home.is_some_and(|home| !home.dir.attempts().join(&key.name).exists())
        })
    }

    /// When an engine that is to leave looks again whether it may.
    pub(super) fn leaving_wake(&self) -> Option<Instant> {
        self.leaving.as_ref().map(|leaving| leaving.by.min(Instant::now() + LOOK_EVERY))
    }

    /// Gives every lease back, behind all that was handed to the stores before, and tells who waits for that.
    pub(super) async fn give_back(&mut self) {
        let mut leases: BTreeMap<std::path::PathBuf, Vec<Lease>> = BTreeMap::new();
        let runs: Vec<_> = self.machine.runs().map(|r| r.id).collect();
        for run in runs {
            if let (Some(home), Some(epoch)) = (self.homes.get(&run), self.machine.epoch(run)) {
                leases
                    .entry(home.project.dir.clone())
                    .or_default()
                    .push(Lease { name: LeaseName::Run(run), epoch });
            }
        }
        for (run, lease) in std::mem::take(&mut self.tree_leases).into_values() {
            let project = match self.homes.get(&run) {
                Some(home) => Some(home.project.clone()),
                None => self.ctx.projects.project_of(run).ok(),
            };
            if let Some(project) = project {
                leases.entry(project.dir.clone()).or_default().push(lease);
            }
        }
        let until = Instant::now() + GIVE_BACK_WITHIN;
        let given: Vec<_> = self
            .ctx
            .projects
            .opened()
            .into_iter()
            .filter_map(|project| {
                let leases = leases.remove(&project.dir).unwrap_or_default();
                give_back(&project, leases)
            })
            .collect();
        for done in given {
            // A store that is gone or stuck gives nothing back, and keeps nobody.
            let _ = tokio::time::timeout_at(until, done).await;
        }
        for heir in self.leaving.take().into_iter().flat_map(|leaving| leaving.heirs) {
            calls::answer(heir, Ok(Reply::Left));
        }
    }
}

fn give_back(project: &Arc<Project>, leases: Vec<Lease>) -> Option<oneshot::Receiver<()>> {
    let (tell, done) = oneshot::channel();
    let posted = project.post(move |store| {
        for lease in leases {
            // Ours to give back or gone already.
            let _ = store.release(&lease);
        }
        let _ = tell.send(());
    });
    posted.then_some(done)
}
