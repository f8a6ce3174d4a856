//! Which runs this engine comes to lead: for a request, or because nobody else does.

use super::Loop;
use super::calls::{self, Ready, Then};
use super::context::{Ctx, now};
use super::copying::Copy;
use super::requests::Pending;
use crate::machine::In;
use std::path::Path;
use windlass_api::Request;
use windlass_api::request::ShellEnv;
use windlass_core::Input;
use windlass_events::RunId;
use windlass_store::{LeaseName, ReadStore, StoreError};

/// How long until a run that could not be opened is tried again, in milliseconds.
const REOPEN_MS: i64 = 1_000;

impl Loop {
    /// Leads whatever is unfinished and has no live owner, in every project.
    pub(super) fn visit_all(&mut self) {
        for dir in self.ctx.projects.paths().all_projects() {
            self.visit_project(dir.clone());
            self.copy(Copy::Newest(dir));
        }
    }

    pub(super) fn visit_project(&mut self, dir: std::path::PathBuf) {
        self.visits += 1;
        self.slowly(move |ctx| Ready::Unfinished(unfinished(ctx, &dir).unwrap_or_default()));
    }

    /// Opens a run that is not led here, for a request or for itself. A run that another engine leads is left to it.
    pub(super) fn open(&mut self, run: RunId, asked: Option<(Request, Then)>) {
        if asked.is_none() && (self.machine.run(run).is_some() || self.leaving.is_some()) {
            return;
        }
        if let Some(waiting) = self.opening.get_mut(&run) {
            waiting.extend(asked);
            return;
        }
        self.opening.insert(run, Vec::new());
        let (original, then) = asked.unzip();
        self.slowly(move |ctx| calls::open(ctx, run, original, then));
    }

    pub(super) fn prepared(&mut self, ready: Ready, inputs: &mut Vec<In>) {
        match ready {
            Ready::Over => {}
            Ready::Create { home, epoch, events, plan, reply } => {
                let run = home.run;
                let request = self.id();
                self.pending.insert(request, Pending::Created { run, plan, reply });
                self.homes.insert(run, home);
                self.make_room();
                inputs.push(In::Create { request, run, epoch, events, secrets: true });
            }
            Ready::Opened { home, run, epoch, left, then } => {
                let id = home.run;
                let waiting = self.opening.remove(&id).unwrap_or_default();
                let secrets = home.secrets.lock().is_ok_and(|s| s.is_some());
                self.homes.insert(id, home);
                // At once, so that what follows finds it.
                self.step([In::Opened { run, epoch, secrets }]);
                self.take_left(id, left, inputs);
                for then in then.into_iter().chain(waiting.into_iter().map(|(_, then)| then)) {
                    match then {
                        Then::Ask { asked, reply } => self.ask(id, asked.0, &asked.1, reply, inputs),
                        Then::Undo { force, redo, dry_run, reply } => {
                            self.undo_open(id, force, redo, dry_run, reply)
                        }
                        Then::Remove { reply } => self.remove_open(id, reply),
                    }
                }
            }
            Ready::OpenLater(run) => {
                for asked in self.opening.remove(&run).unwrap_or_default() {
                    self.open(run, Some(asked));
                }
                self.reopen.insert(run, now().saturating_add(REOPEN_MS));
            }
            Ready::NotOpened(run) => {
                if self.machine.run(run).is_none() {
                    // It keeps its turn and slots while it is to be read again, and no longer.
                    inputs.push(In::Gone(run));
                }
                for asked in self.opening.remove(&run).unwrap_or_default() {
                    self.open(run, Some(asked));
                }
            }
            Ready::Unfinished(runs) => {
                self.visits -= 1;
                for (run, epoch) in runs {
                    if self.machine.epoch(run).is_some_and(|ours| epoch > ours) {
                        // Its lease was taken while this engine stood still, which nothing has told it yet.
                        self.step([In::Gone(run)]);
                    }
                    self.open(run, None);
                }
            }
            Ready::Undone { run, before, after, redo, files, reply } => {
                let request = self.id();
                let count = u32::try_from(files.len()).unwrap_or(u32::MAX);
                self.pending.insert(request, Pending::Undone { files, reply });
                inputs.push(In::Ask {
                    request,
                    run,
                    input: Input::Undone { before, after, files: count, redo },
                });
            }
        }
    }

    pub(super) fn visit(&mut self, cwd: &str, env: &ShellEnv, inputs: &mut Vec<In>) {
        let mine: Vec<RunId> = self.homes.keys().copied().collect();
        for run in mine {
            let waits = self.machine.run(run).is_some_and(|r| {
                r.waiting.as_ref().is_some_and(|w| w.0 == windlass_events::event::WaitFor::Environment)
            });
            let same = self.homes.get(&run).is_some_and(|h| h.spec.cwd == cwd || h.spec.tree.root == cwd);
            if waits && same {
                self.bring_secrets(run, env, inputs);
            }
        }
        if let Some(dir) =
            crate::query::project_dir(self.ctx.projects.paths(), self.ctx.git(), Path::new(cwd))
        {
            self.visit_project(dir);
        }
    }

    pub(super) fn reopen_due(&mut self) {
        let now = now();
        let due: Vec<RunId> = self.reopen.iter().filter(|(_, at)| **at <= now).map(|(r, _)| *r).collect();
        for run in due {
            self.reopen.remove(&run);
            self.open(run, None);
        }
    }

    /// Whether every run that a former engine left has been opened, or cannot be.
    pub(super) fn found_all(&self) -> bool {
        self.visits == 0 && self.opening.is_empty()
    }
}

/// The unfinished runs of a project, each with the epoch of its lease.
fn unfinished(ctx: &Ctx, dir: &Path) -> Result<Vec<(RunId, u64)>, StoreError> {
    let reader = crate::query::reader(ctx.projects.paths(), dir)?;
    let epoch = |run| Ok(reader.lease(&LeaseName::Run(run))?.map_or(0, |lease| lease.epoch));
    let runs = crate::query::unfinished(ctx.projects.paths(), dir)?;
    runs.into_iter().map(|run| Ok((run, epoch(run)?))).collect()
}
