//! What hosts ask: each request to whom it concerns, and the answer when the machine has it.

use super::Loop;
use super::calls::{self, CallIn, Ready, Responder, Then};
use super::projects::{self, OpenError};
use crate::machine::{AskError, In, RequestId};
use crate::stored;
use windlass_api::request::{ShellEnv, changed_caps};
use windlass_api::response::PlanDoc;
use windlass_api::{ApiError, ErrorKind, Reply, Request};
use windlass_core::{Input, Run};
use windlass_events::spec::Caps;
use windlass_events::{RunId, Seq};
use windlass_store::{Store, StoredRequest};

/// Who waits for the machine's answer.
pub(super) enum Pending {
    Created { run: RunId, plan: Box<PlanDoc>, reply: Responder },
    Done { run: RunId, reply: Responder },
    Undone { files: Vec<windlass_api::response::UndoFile>, reply: Responder },
}

/// What a request asks of a run's work, with the environment that it brings. `None` when it asks nothing of that kind, or when the
/// caps of its run are not known.
fn as_input(request: Request, caps: impl FnOnce(RunId) -> Option<Caps>) -> Option<(Input, ShellEnv)> {
    let no_env = ShellEnv::default;
    Some(match request {
        Request::Cancel { task, by, .. } => (Input::Cancel { task, by }, no_env()),
        Request::Resume { run, budget_usd, budget_tokens, timeout, env } => {
            (Input::Resume { caps: changed_caps(caps(run)?, budget_usd, budget_tokens, timeout) }, env)
        }
        Request::Retry { tasks, env, .. } => (Input::Retry { tasks }, env),
        Request::Approve { question, env, .. } => (Input::Approve { question, by: "user".to_owned() }, env),
        Request::Reject { question, text, env, .. } => {
            (Input::Reject { question, text, by: "user".to_owned() }, env)
        }
        Request::SettleGates { answer, .. } => (Input::SettleGates { answer }, no_env()),
        Request::Steer { task, text, id, .. } => (Input::Steer { id, task, text }, no_env()),
        _ => return None,
    })
}

impl Loop {
    pub(super) fn call(&mut self, call: CallIn, inputs: &mut Vec<In>) {
        let CallIn { request, reply } = call;
        let original = request.clone();
        let (run, input, env) = match request {
            Request::Hello { .. } => {
                let hello = Reply::Hello {
                    protocol: windlass_api::PROTOCOL,
                    version: self.ctx.options.settings.version.clone(),
                    pid: std::process::id(),
                };
                return calls::answer(reply, Ok(hello));
            }
            Request::Status => return calls::answer(reply, Ok(Reply::Status(self.status()))),
            Request::Stop => {
                self.leave();
                return calls::answer(reply, Ok(Reply::Ok));
            }
            Request::HandOver { .. } if self.ctx.options.tied => {
                let e = "an engine in a terminal ends with its command, and its workers with it";
                return calls::answer(reply, Err(ApiError::new(ErrorKind::State, e)));
            }
            Request::HandOver { version } => return self.hand_over(&version, reply),
            _ if self.leaving.is_some() => return calls::answer(reply, Err(calls::leaving())),
            Request::Live { run } => return calls::answer(reply, Ok(Reply::Live(self.live_of(run)))),
            Request::Watch { .. } => {
                return calls::answer(reply, Err(ApiError::new(ErrorKind::Usage, "watching needs a stream")));
            }
            Request::Run(request) => return self.slowly(move |ctx| calls::create(ctx, *request, reply)),
            Request::Visit { cwd, env } => {
                self.visit(&cwd, &env, inputs);
                return calls::answer(reply, Ok(Reply::Ok));
            }
            Request::Undo { run, force, redo, dry_run } => {
                return self.undo(run, original, force, redo, dry_run, reply);
            }
            Request::Remove { run } => return self.remove(run, original, reply),
            request => {
                let Some(run) = request.run() else {
                    let e = ApiError::new(ErrorKind::Usage, "this engine does not know that request");
                    return calls::answer(reply, Err(e));
                };
                // Of a run that is not open yet, its journal tells.
                let mut unread = None;
                let caps = |run| match self.machine.run(run) {
                    Some(state) => Some(state.caps),
                    None => self.peek_caps(run).map_err(|e| unread = Some(e)).ok(),
                };
                match as_input(request, caps) {
                    Some((input, env)) => (run, input, env),
                    None => {
                        let e = unread.unwrap_or(OpenError::NoRun(run));
                        return calls::answer(reply, Err(calls::open_error(&e)));
                    }
                }
            }
        };
        if self.machine.run(run).is_some() {
            self.ask(run, input, &env, reply, inputs);
        } else {
            let then = Then::Ask { asked: Box::new((input, env)), reply };
            self.open(run, Some((original, then)));
        }
    }

    /// Takes requests that were left with a run that is led here. The machine takes each once.
    pub(super) fn take_left(&mut self, run: RunId, left: Vec<StoredRequest>, inputs: &mut Vec<In>) {
        let Some(state) = self.machine.run(run) else { return };
        if state.is_ended() {
            // It is opened for something else now; what was asked while it was live is void.
            if let (false, Some(home)) = (left.is_empty(), self.homes.get(&run)) {
                home.project.post(move |store| {
                    let _ = store.take_requests(run);
                });
            }
            return;
        }
        for one in left {
            let input = stored::parse(&one).and_then(|request| as_input(request, |_| Some(state.caps)));
            match input {
                Some((input, _)) => inputs.push(In::Left { run, id: one.id, input }),
                None => {
                    tracing::warn!(%run, id = one.id, "a stored request is of a kind that this version does not know")
                }
            }
        }
    }

    pub(super) fn ask(
        &mut self,
        run: RunId,
        input: Input,
        env: &ShellEnv,
        reply: Responder,
        inputs: &mut Vec<In>,
    ) {
        self.bring_secrets(run, env, inputs);
        let request = self.id();
        self.pending.insert(request, Pending::Done { run, reply });
        inputs.push(In::Ask { request, run, input });
    }

    /// Gives a run its secret values when it lacks them and the request has them all.
    pub(super) fn bring_secrets(&mut self, run: RunId, env: &ShellEnv, inputs: &mut Vec<In>) {
        let Some(home) = self.homes.get(&run) else { return };
        if home.spec.secret_names.is_empty() || env.secret.is_empty() {
            return;
        }
        if let Some(values) = calls::needed(env, &home.spec.secret_names) {
            let path = self.ctx.projects.paths().secrets(run);
            // Only for the next engine; this one has them.
            let _ = crate::secrets::keep(&path, &values);
            home.set_secrets(values);
            inputs.push(In::Secrets(run));
        }
    }

    fn peek_caps(&self, run: RunId) -> Result<Caps, OpenError> {
        let paths = self.ctx.projects.paths();
        let dir = paths.project_of(run).ok_or(OpenError::NoRun(run))?;
        Ok(projects::load_run(&crate::query::reader(paths, &dir)?, run)?.caps)
    }

    pub(super) fn undo(
        &mut self,
        run: RunId,
        original: Request,
        force: bool,
        redo: bool,
        dry_run: bool,
        reply: Responder,
    ) {
        if self.machine.run(run).is_some() {
            self.undo_open(run, force, redo, dry_run, reply);
        } else {
            let then = Then::Undo { force, redo, dry_run, reply };
            self.open(run, Some((original, then)));
        }
    }

    pub(super) fn undo_open(&mut self, run: RunId, force: bool, redo: bool, dry_run: bool, reply: Responder) {
        let (Some(home), Some(state)) = (self.homes.get(&run).cloned(), self.machine.run(run)) else {
            return calls::answer(reply, Err(calls::open_error(&OpenError::NoRun(run))));
        };
        let root = &state.spec.tree.root;
        let writer = self.machine.runs().find(|r| r.holds_turn() && r.spec.tree.root == *root);
        if let Some(writer) = writer {
            let text = format!("run {} is writing in that tree", writer.id);
            return calls::answer(
                reply,
                Err(ApiError::new(ErrorKind::State, text).hint("wait for it, or cancel it first")),
            );
        }
        let state: Box<Run> = Box::new(state.clone());
        self.slowly(move |ctx| calls::undo(ctx, &home, &state, force, redo, dry_run, reply));
    }

    pub(super) fn remove(&mut self, run: RunId, original: Request, reply: Responder) {
        if self.machine.run(run).is_some() {
            self.remove_open(run, reply);
        } else {
            self.open(run, Some((original, Then::Remove { reply })));
        }
    }

    pub(super) fn remove_open(&mut self, run: RunId, reply: Responder) {
        let live = self.machine.run(run).is_none_or(|r| !r.is_ended());
        if live {
            let e = ApiError::new(ErrorKind::State, format!("run {run} has not ended"))
                .hint(format!("`windlass cancel {run}` first"));
            return calls::answer(reply, Err(e));
        }
        let (Some(home), Some(epoch)) = (self.homes.remove(&run), self.machine.release(run)) else {
            let e = ApiError::new(ErrorKind::State, format!("run {run} is still being recorded; try again"));
            return calls::answer(reply, Err(e));
        };
        let making = self.copies.making();
        self.slowly(move |ctx| {
            // A copy that is being made would be left behind.
            let _turn = making.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            calls::answer(reply, calls::remove(ctx, &home, epoch));
            Ready::Over
        });
    }

    /// Answers whoever waits for the machine.
    pub(super) fn answered(&mut self, request: RequestId, result: Result<Seq, AskError>) {
        let error = |e: AskError| {
            let kind = match &e {
                AskError::NotHere(_) => ErrorKind::Internal,
                AskError::Refused(windlass_core::Refusal::UnknownTask(_)) => ErrorKind::Usage,
                AskError::Refused(windlass_core::Refusal::Cap(_)) => ErrorKind::Refused,
                AskError::Refused(_) => ErrorKind::State,
                AskError::NotRecorded(_) => ErrorKind::Missing,
            };
            let hint = match &e {
                AskError::Refused(windlass_core::Refusal::Cap(true)) => "`--budget-usd N` raises it",
                AskError::Refused(windlass_core::Refusal::Cap(false)) => "`--budget-tokens N` raises it",
                _ => "",
            };
            ApiError::new(kind, e.to_string()).hint(hint)
        };
        match self.pending.remove(&request) {
            None => {}
            Some(Pending::Created { run, plan, reply }) => {
                if result.is_err() {
                    self.homes.remove(&run);
                }
                calls::answer(reply, result.map(|_| Reply::Created { run, plan }).map_err(error));
            }
            Some(Pending::Done { run, reply }) => {
                calls::answer(reply, result.map(|seq| Reply::Done { run, seq }).map_err(error));
            }
            Some(Pending::Undone { files, reply }) => {
                calls::answer(reply, result.map(|_| Reply::Undone { files, dry_run: false }).map_err(error));
            }
        }
    }
}
