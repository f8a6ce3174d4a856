//! The performing part of the engine: one loop that takes everything in, gives it to the machine, and does what it says.
//!
//! Nothing is decided here. The loop owns the machine; whatever takes time (git, the store, workers) runs beside it and
//! comes back as a message.

pub(crate) mod attempt;
pub(crate) mod calls;
pub(crate) mod context;
pub(crate) mod follow;
pub(crate) mod gate;
pub(crate) mod launch;
pub(crate) mod link;
mod perform;
pub mod projects;
mod spare;
pub mod trees;
pub mod watch;

pub use context::EngineOptions;

use crate::driver::calls::{CallIn, Ready, Responder, Then};
use crate::driver::context::{Ctx, Home, Key, LiveCell, Msg, now};
use crate::driver::projects::{OpenError, Projects};
use crate::driver::watch::Watcher;
use crate::machine::{AskError, In, Machine, RequestId};
use crate::paths::Paths;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use windlass_api::request::ShellEnv;
use windlass_api::response::PlanDoc;
use windlass_api::status::{DaemonDoc, LiveDoc};
use windlass_api::{ApiError, ErrorKind, Reply, Request};
use windlass_core::{Input, Run};
use windlass_events::{Millis, RunId, Seq, TaskId};
use windlass_worker::Nursery;

/// How often live pictures are sent at most.
const LIVE_EVERY: Duration = Duration::from_millis(100);
/// How long what was begun may keep an engine that is to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(4);
/// How long a store that does not answer may keep a new engine from starting anything.
const FIND_WITHIN: Duration = Duration::from_secs(5);
/// How long until a run that could not be opened is tried again, in milliseconds.
const REOPEN_MS: i64 = 1_000;
/// How many messages share one step of the machine at most.
const BATCH: usize = 512;

/// A handle to an engine that runs in this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    tx: mpsc::UnboundedSender<Msg>,
}

impl Engine {
    /// Starts an engine on the current tokio runtime. The nursery must have been started before the runtime was.
    ///
    /// # Errors
    /// When its folders or its owner lock cannot be made.
    pub fn start(
        options: EngineOptions,
        paths: Paths,
        nursery: Nursery,
    ) -> Result<(Self, tokio::task::JoinHandle<Left>), OpenError> {
        let (tx, rx) = mpsc::unbounded_channel();
        let projects = Projects::new(paths, options.address.clone())?;
        crate::paths::make_private(&projects.paths().runtime.join("w"))?;
        let ctx = Arc::new(Ctx::new(options, projects, nursery, tx.clone()));
        let engine = Loop::new(ctx);
        Ok((Self { tx }, tokio::spawn(engine.run(rx))))
    }

    /// Carries out a request.
    ///
    /// # Errors
    /// As the engine refuses; of kind `internal` when it is leaving.
    pub async fn call(&self, request: Request) -> Result<Reply, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.tx.send(Msg::Call(CallIn { request, reply })).map_err(|_| calls::leaving())?;
        answer.await.map_err(|_| {
            ApiError::new(ErrorKind::Missing, "the engine left before it had an answer")
                .hint("look whether it was done: `windlass list`, `windlass status`")
        })?
    }

    /// Begins to watch a run.
    pub fn watch(&self, watcher: Watcher) {
        // A watcher of an engine that is leaving sees its channel close.
        let _ = self.tx.send(Msg::Watch(watcher));
    }

    /// Asks the engine to leave: workers go on, unless they are tied to it.
    pub fn leave(&self) {
        let _ = self.tx.send(Msg::Leave);
    }
}

/// Why an engine left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It was idle, or told to.
    AsAsked,
    /// Its nursery is gone, so it can start nothing more: another engine must take its place. Workers go on.
    NurseryGone,
}

/// Who waits for the machine's answer.
enum Pending {
    Created { run: RunId, plan: Box<PlanDoc>, reply: Responder },
    Done { run: RunId, reply: Responder },
    Undone { files: Vec<windlass_api::response::UndoFile>, reply: Responder },
}

/// A live attempt or gate.
struct Live {
    orders: mpsc::UnboundedSender<attempt::Order>,
    task: Option<TaskId>,
    cell: LiveCell,
}

pub(crate) struct Loop {
    ctx: Arc<Ctx>,
    machine: Machine,
    homes: BTreeMap<RunId, Arc<Home>>,
    live: BTreeMap<Key, Live>,
    pending: BTreeMap<RequestId, Pending>,
    watchers: BTreeMap<RunId, Vec<Watcher>>,
    /// What the index says of each run.
    indexed: BTreeMap<RunId, (windlass_events::RunStatus, windlass_events::Proof)>,
    /// Leases of trees, by root.
    tree_leases: BTreeMap<String, (RunId, windlass_store::Lease)>,
    /// Runs whose live picture changed since it was last sent.
    to_show: std::collections::BTreeSet<RunId>,
    /// Runs to be read again, and when.
    reopen: BTreeMap<RunId, Millis>,
    next_id: u64,
    /// Runs that are being opened, each once: a second lease would fence off the first. With what waits for that.
    opening: BTreeMap<RunId, Vec<(Request, Then)>>,
    /// Projects that are being looked through.
    visits: usize,
    /// Until when runs of a former engine are looked for before anything is started, at first.
    found_by: Option<Instant>,
    /// Requests whose slow part is under way.
    slow: usize,
    last_request: Instant,
    /// When it leaves at the latest, once it is asked to.
    leaving: Option<Instant>,
    /// Whether the nursery is gone.
    crippled: bool,
}

impl Loop {
    fn new(ctx: Arc<Ctx>) -> Self {
        let machine = Machine::new(ctx.options.settings.clone());
        Self {
            ctx,
            machine,
            homes: BTreeMap::new(),
            live: BTreeMap::new(),
            pending: BTreeMap::new(),
            watchers: BTreeMap::new(),
            indexed: BTreeMap::new(),
            tree_leases: BTreeMap::new(),
            to_show: std::collections::BTreeSet::new(),
            reopen: BTreeMap::new(),
            opening: BTreeMap::new(),
            visits: 0,
            found_by: None,
            next_id: 0,
            slow: 0,
            last_request: Instant::now(),
            leaving: None,
            crippled: false,
        }
    }

    async fn run(mut self, mut rx: mpsc::UnboundedReceiver<Msg>) -> Left {
        if !self.ctx.options.tied {
            self.visit_all();
            if self.visits > 0 {
                self.machine.find_first();
                self.found_by = Some(Instant::now() + FIND_WITHIN);
            }
        }
        let mut show_at: Option<Instant> = None;
        loop {
            let wake = self.wake();
            let first = tokio::select! {
                msg = rx.recv() => msg,
                () = attempt::sleep_until(wake) => {
                    let out = self.machine.step(In::Tick, now());
                    self.perform(out);
                    self.reopen_due();
                    None
                }
                () = attempt::sleep_until(show_at) => {
                    show_at = None;
                    self.show();
                    None
                }
            };
            let mut inputs = Vec::new();
            let mut next = first;
            let mut taken = 0;
            while let Some(msg) = next {
                self.take(msg, &mut inputs);
                taken += 1;
                if taken >= BATCH {
                    break;
                }
                next = rx.try_recv().ok();
            }
            if self.found_by.is_some_and(|at| at <= Instant::now() || self.found_all()) {
                self.found_by = None;
                inputs.push(In::AllFound);
            }
            if !inputs.is_empty() {
                let out = self.machine.step_all(inputs, now());
                self.perform(out);
            }
            if !self.to_show.is_empty() && show_at.is_none() {
                show_at = Some(Instant::now() + LIVE_EVERY);
            }
            if self.may_leave() {
                // What nobody has looked at is for the next engine.
                rx.close();
                while let Ok(msg) = rx.try_recv() {
                    if let Msg::Call(call) = msg {
                        calls::answer(call.reply, Err(calls::leaving()));
                    }
                }
                return if self.crippled { Left::NurseryGone } else { Left::AsAsked };
            }
        }
    }

    /// When the loop has something to do by itself.
    fn wake(&self) -> Option<Instant> {
        let due = self.machine.next_due().into_iter().chain(self.reopen.values().copied()).min();
        let by_clock = due.map(|at| {
            let ms = u64::try_from(at.saturating_sub(now())).unwrap_or(0);
            Instant::now() + Duration::from_millis(ms.max(1))
        });
        let by_idleness = self.idle_at();
        let by_leaving = self.leaving.filter(|at| *at > Instant::now());
        [by_clock, by_idleness, by_leaving, self.found_by].into_iter().flatten().min()
    }

    fn idle_at(&self) -> Option<Instant> {
        let ms = self.ctx.options.idle_ms?;
        (!self.is_at_work()).then(|| self.last_request + Duration::from_millis(ms))
    }

    fn is_idle(&self) -> bool {
        self.idle_at().is_some_and(|at| at <= Instant::now())
    }

    /// Whether something keeps the engine up: a live attempt, a due timer, a watcher, a request.
    fn is_at_work(&self) -> bool {
        let runs = self.machine.runs().any(|r| !r.is_ended() && (r.is_live() || r.next_due(now()).is_some()));
        runs || !self.live.is_empty()
            || !self.watchers.is_empty()
            || self.slow > 0
            || !self.pending.is_empty()
    }

    /// Whether every run that a former engine left has been opened, or cannot be.
    fn found_all(&self) -> bool {
        self.visits == 0 && self.opening.is_empty()
    }

    /// Whether it is time to go: what was begun for somebody is done first, unless that takes too long.
    fn may_leave(&self) -> bool {
        let due = match self.leaving {
            Some(at_last) => at_last <= Instant::now() || (self.slow == 0 && self.pending.is_empty()),
            None => self.is_idle(),
        };
        due && self.all_settled()
    }

    fn leave(&mut self) {
        self.leaving.get_or_insert_with(|| Instant::now() + LEAVE_WITHIN);
    }

    fn all_settled(&self) -> bool {
        self.machine.runs().all(|r| self.machine.is_settled(r.id))
    }

    fn take(&mut self, msg: Msg, inputs: &mut Vec<In>) {
        match msg {
            Msg::In(input) => inputs.push(input),
            Msg::Call(call) => {
                self.last_request = Instant::now();
                self.call(call, inputs);
            }
            Msg::Prepared(ready) => {
                self.slow = self.slow.saturating_sub(1);
                self.last_request = Instant::now();
                self.prepared(*ready, inputs);
            }
            Msg::Watch(watcher) => self.watch(watcher),
            Msg::CaughtUp(done) => {
                if let Some(list) = self.watchers.get_mut(&done.run) {
                    let mut events = Some(done.events);
                    list.retain_mut(|w| {
                        if w.id != done.id {
                            return true;
                        }
                        w.caught_up(events.take().unwrap_or_default())
                    });
                }
                self.to_show.insert(done.run);
            }
            Msg::Live(run) => {
                if self.watchers.contains_key(&run) {
                    self.to_show.insert(run);
                }
            }
            Msg::Gone(key) => {
                self.undelivered(&key, inputs);
                self.live.remove(&key);
                if self.watchers.contains_key(&key.run) {
                    self.to_show.insert(key.run);
                }
            }
            Msg::TreeLeased { root, run, lease } => {
                self.tree_leases.insert(root, (run, lease));
            }
            Msg::NurseryGone => {
                self.leave();
                self.crippled = true;
            }
            Msg::Leave => self.leave(),
        }
    }

    /// Says of every text for a worker that has ended that it did not arrive. One that did was reported on before.
    fn undelivered(&self, key: &Key, inputs: &mut Vec<In>) {
        let Some(state) = self.machine.run(key.run) else { return };
        for (id, (at, n, _)) in &state.steers {
            let Some(task) = state.task(*at) else { continue };
            if Key::attempt(key.run, &task.spec.id, *n) == *key {
                let error = "the worker ended before it took it".to_owned();
                inputs.push(In::Run(key.run, Input::SteerDelivered { id: id.clone(), error }));
            }
        }
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Runs the slow part of something beside the loop.
    fn slowly(&mut self, work: impl FnOnce(&Ctx) -> Ready + Send + 'static) {
        self.slow += 1;
        let ctx = self.ctx.clone();
        tokio::task::spawn_blocking(move || {
            let ready = work(&ctx);
            ctx.tell(Msg::Prepared(Box::new(ready)));
        });
    }

    fn call(&mut self, call: CallIn, inputs: &mut Vec<In>) {
        let CallIn { request, reply } = call;
        let original = request.clone();
        let no_env = ShellEnv::default;
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
            Request::Cancel { run, task, by } => (run, Input::Cancel { task, by }, no_env()),
            Request::Resume { run, budget_usd, budget_tokens, timeout, env } => {
                let caps = self.machine.run(run).map(|r| r.caps);
                match caps {
                    Some(caps) => {
                        let caps =
                            windlass_api::request::changed_caps(caps, budget_usd, budget_tokens, timeout);
                        (run, Input::Resume { caps }, env)
                    }
                    None => {
                        // Its caps are known once it is open: ask again then.
                        let Some(known) = self.peek_caps(run) else {
                            return calls::answer(reply, Err(calls::open_error(&OpenError::NoRun(run))));
                        };
                        let caps =
                            windlass_api::request::changed_caps(known, budget_usd, budget_tokens, timeout);
                        (run, Input::Resume { caps }, env)
                    }
                }
            }
            Request::Retry { run, tasks, env } => (run, Input::Retry { tasks }, env),
            Request::SettleGates { run, answer } => (run, Input::SettleGates { answer }, no_env()),
            Request::Steer { run, task, text, id } => (run, Input::Steer { id, task, text }, no_env()),
        };
        if self.machine.run(run).is_some() {
            self.ask(run, input, &env, reply, inputs);
        } else {
            let then = Then::Ask { asked: Box::new((input, env)), reply };
            self.open(run, Some((original, then)));
        }
    }

    fn ask(&mut self, run: RunId, input: Input, env: &ShellEnv, reply: Responder, inputs: &mut Vec<In>) {
        self.bring_secrets(run, env, inputs);
        let request = self.id();
        self.pending.insert(request, Pending::Done { run, reply });
        inputs.push(In::Ask { request, run, input });
    }

    /// Gives a run its secret values when it lacks them and the request has them all.
    fn bring_secrets(&mut self, run: RunId, env: &ShellEnv, inputs: &mut Vec<In>) {
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

    fn peek_caps(&self, run: RunId) -> Option<windlass_events::spec::Caps> {
        let project = self.ctx.projects.project_of(run).ok()?;
        let reader = project.reader().ok()?;
        projects::load_run(&reader, run).ok().map(|r| r.caps)
    }

    fn prepared(&mut self, ready: Ready, inputs: &mut Vec<In>) {
        match ready {
            Ready::Over => {}
            Ready::Create { home, epoch, events, plan, reply } => {
                let run = home.run;
                let request = self.id();
                self.pending.insert(request, Pending::Created { run, plan, reply });
                self.homes.insert(run, home);
                inputs.push(In::Create { request, run, epoch, events, secrets: true });
            }
            Ready::Opened { home, run, epoch, then } => {
                let id = home.run;
                let waiting = self.opening.remove(&id).unwrap_or_default();
                let secrets = home.secrets.lock().is_ok_and(|s| s.is_some());
                self.homes.insert(id, home);
                // At once, so that what follows finds it.
                let out = self.machine.step(In::Opened { run, epoch, secrets }, now());
                self.perform(out);
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
                for run in runs {
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

    fn undo(
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

    fn undo_open(&mut self, run: RunId, force: bool, redo: bool, dry_run: bool, reply: Responder) {
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

    fn remove(&mut self, run: RunId, original: Request, reply: Responder) {
        if self.machine.run(run).is_some() {
            self.remove_open(run, reply);
        } else {
            self.open(run, Some((original, Then::Remove { reply })));
        }
    }

    fn remove_open(&mut self, run: RunId, reply: Responder) {
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
        self.slowly(move |ctx| {
            calls::answer(reply, calls::remove(ctx, &home, epoch));
            Ready::Over
        });
    }

    /// Leads whatever is unfinished and has no live owner, in every project.
    fn visit_all(&mut self) {
        for dir in self.ctx.projects.paths().all_projects() {
            self.visit_project(dir);
        }
    }

    fn visit_project(&mut self, dir: std::path::PathBuf) {
        self.visits += 1;
        self.slowly(move |_| Ready::Unfinished(crate::query::unfinished(&dir).unwrap_or_default()));
    }

    /// Opens a run that is not led here, for a request or for itself. A run that another engine leads is left to it.
    fn open(&mut self, run: RunId, asked: Option<(Request, Then)>) {
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

    fn visit(&mut self, cwd: &str, env: &ShellEnv, inputs: &mut Vec<In>) {
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
            crate::query::project_dir(self.ctx.projects.paths(), self.ctx.git(), std::path::Path::new(cwd))
        {
            self.visit_project(dir);
        }
    }

    fn status(&self) -> DaemonDoc {
        DaemonDoc {
            running: true,
            pid: Some(std::process::id()),
            version: Some(self.ctx.options.settings.version.clone()),
            socket: Some(self.ctx.options.address.clone()),
            runs: self.machine.runs().filter(|r| !r.is_ended()).count() as u64,
        }
    }

    fn live_of(&self, run: RunId) -> BTreeMap<TaskId, LiveDoc> {
        self.live
            .iter()
            .filter(|(k, _)| k.run == run)
            .filter_map(|(_, l)| {
                let doc = l.cell.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
                Some((l.task.clone()?, doc))
            })
            .collect()
    }

    fn watch(&mut self, mut watcher: Watcher) {
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

    fn show(&mut self) {
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

    fn reopen_due(&mut self) {
        let now = now();
        let due: Vec<RunId> = self.reopen.iter().filter(|(_, at)| **at <= now).map(|(r, _)| *r).collect();
        for run in due {
            self.reopen.remove(&run);
            self.open(run, None);
        }
    }

    /// Answers whoever waits for the machine.
    fn answered(&mut self, request: RequestId, result: Result<Seq, AskError>) {
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
