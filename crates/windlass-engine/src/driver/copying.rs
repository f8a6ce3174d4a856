//! Plain copies, made beside the loop one after the other. The journal has everything, so nobody waits for them but an engine that
//! is to leave; and who removes a run waits for the one that is being made.

use super::Loop;
use super::calls::Ready;
use super::context::{Ctx, Home, Msg};
use super::projects::load_run;
use crate::copies::{self, Done, SUMMARY};
use crate::paths::RunDir;
use crate::query;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use windlass_core::task::Task;
use windlass_events::{AttemptNo, Envelope, Event, RunId};
use windlass_store::{ListFilter, ReadStore};

/// How many of a project's newest runs a starting engine makes sure of: a former one may have been killed before it did.
const NEWEST: usize = 16;

/// Something to be copied.
pub(super) enum Copy {
    /// What is due of a run that has ended or is blocked. With the project's folder.
    Run(PathBuf, RunId),
    /// The transcript of an attempt that is over.
    Attempt(Arc<Home>, Box<Task>, AttemptNo),
    /// What is missing of the newest ended runs of a project.
    Newest(PathBuf),
}

/// Copies that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Copies {
    queue: Option<mpsc::UnboundedSender<Copy>>,
    /// Held while one is made.
    making: Arc<Mutex<()>>,
}

impl Copies {
    /// Held by whoever wants none to be made meanwhile. Not for the engine's own thread.
    pub(super) fn making(&self) -> Arc<Mutex<()>> {
        self.making.clone()
    }
}

impl std::fmt::Debug for Copy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Run(_, run) => write!(f, "Run({run})"),
            Self::Attempt(home, task, n) => write!(f, "Attempt({}/{}.{n})", home.run, task.spec.id),
            Self::Newest(project) => write!(f, "Newest({})", project.display()),
        }
    }
}

impl Loop {
    /// Has something copied when its turn comes.
    pub(super) fn copy(&mut self, copy: Copy) {
        let making = self.copies.making();
        let queue = self.copies.queue.get_or_insert_with(|| work(self.ctx.clone(), making));
        if queue.send(copy).is_ok() {
            self.slow += 1;
        }
    }

    /// Has the transcripts written of attempts whose end became durable. Of a command its result says the same, so that waits
    /// until the run has ended.
    pub(super) fn copy_ended(&mut self, run: RunId, events: &[Envelope]) {
        let (Some(state), Some(home)) = (self.machine.run(run), self.homes.get(&run)) else { return };
        let ended = events.iter().filter_map(|e| match &e.event {
            Event::AttemptEnded { task, n, .. } => {
                let task = state.task_by_id(task).filter(|t| t.spec.runtime.is_model())?;
                Some(Copy::Attempt(home.clone(), Box::new(task.clone()), *n))
            }
            _ => None,
        });
        for copy in ended.collect::<Vec<_>>() {
            self.copy(copy);
        }
    }
}

/// Makes copies in their order until nobody asks for any more.
fn work(ctx: Arc<Ctx>, making: Arc<Mutex<()>>) -> mpsc::UnboundedSender<Copy> {
    let (queue, mut next) = mpsc::unbounded_channel::<Copy>();
    tokio::spawn(async move {
        while let Some(copy) = next.recv().await {
            let (of, making) = (ctx.clone(), making.clone());
            let made = tokio::task::spawn_blocking(move || {
                // A poisoned lock only means that an earlier copy failed.
                let _turn = making.lock().unwrap_or_else(PoisonError::into_inner);
                make(&of, copy);
            });
            // One that failed altogether is for `doctor`.
            let _ = made.await;
            ctx.tell(Msg::Prepared(Box::new(Ready::Over)));
        }
    });
    queue
}

fn make(ctx: &Ctx, copy: Copy) {
    match copy {
        Copy::Run(project, run) => keep(ctx, &project, run),
        Copy::Attempt(home, task, n) => {
            let Some(attempt) = task.attempt(n) else { return };
            if let Err(why) = copies::keep_transcript(home.run, &task, attempt, &home.dir) {
                tracing::info!(run = %home.run, task = %task.spec.id, n, why, "no transcript was written");
            }
        }
        Copy::Newest(project) => {
            let newest = ListFilter { unfinished: false, newest: Some(NEWEST) };
            let listed = query::reader(ctx.projects.paths(), &project).and_then(|r| r.list(newest));
            for row in listed.unwrap_or_default().into_iter().filter_map(|l| l.row) {
                if row.terminal && !RunDir::of(&project, row.run).0.join(SUMMARY).exists() {
                    keep(ctx, &project, row.run);
                }
            }
        }
    }
}

fn keep(ctx: &Ctx, project: &Path, run: RunId) {
    let loaded = query::reader(ctx.projects.paths(), project)
        .map_err(|e| e.to_string())
        .and_then(|reader| load_run(&reader, run).map_err(|e| e.to_string()));
    let Done { failed, .. } = match loaded {
        // It was resumed or retried meanwhile: its turn comes again.
        Ok(state) if !copies::is_due(&state) => return,
        Ok(state) => copies::keep(&state, &RunDir::of(project, run), project, ctx.git()),
        Err(why) => return tracing::info!(%run, why, "nothing was copied of it"),
    };
    for (name, why) in failed {
        tracing::info!(%run, name, why, "a copy was not written");
    }
}
