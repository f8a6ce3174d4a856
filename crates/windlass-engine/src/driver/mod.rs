//! The performing part of the engine: one loop that takes everything in, gives it to the machine, and does what it says.
//!
//! Nothing is decided here. The loop owns the machine; whatever takes time (git, the store, workers) runs beside it and
//! comes back as a message.

pub(crate) mod attempt;
pub(crate) mod calls;
pub(crate) mod context;
mod copying;
mod engine;
mod expand;
pub(crate) mod follow;
pub(crate) mod gate;
pub(crate) mod launch;
mod leaving;
pub(crate) mod link;
mod looking;
mod opening;
mod perform;
pub mod projects;
mod requests;
mod slots;
mod spare;
pub mod trees;
mod turns;
pub mod watch;

pub use context::{EngineOptions, successor};
pub use engine::{Engine, Left};

use crate::driver::calls::{Ready, Then};
use crate::driver::context::{Ctx, Home, Key, LiveCell, Msg, now};
use crate::driver::requests::Pending;
use crate::driver::watch::Watcher;
use crate::machine::{In, Machine, RequestId, Settings};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use windlass_api::Request;
use windlass_core::{Input, Run};
use windlass_events::{Millis, RunId, TaskId};

/// How often live pictures are sent at most.
const LIVE_EVERY: Duration = Duration::from_millis(100);
/// How long a store that does not answer may keep a new engine from starting anything.
const FIND_WITHIN: Duration = Duration::from_secs(5);
/// How often requests that were left with the runs that it leads are looked for. Who leaves one has waited in vain for seconds.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many messages share one step of the machine at most.
const BATCH: usize = 512;

/// A live attempt or gate.
struct Live {
    orders: mpsc::UnboundedSender<attempt::Order>,
    task: Option<TaskId>,
    cell: LiveCell,
}

pub(crate) struct Loop {
    ctx: Arc<Ctx>,
    machine: Machine,
    places: slots::Places,
    homes: BTreeMap<RunId, Arc<Home>>,
    live: BTreeMap<Key, Live>,
    pending: BTreeMap<RequestId, Pending>,
    watchers: BTreeMap<RunId, Vec<Watcher>>,
    /// What the index says of each run.
    indexed: BTreeMap<RunId, (windlass_events::RunStatus, windlass_events::Proof)>,
    /// Leases of trees, by root.
    tree_leases: BTreeMap<String, (RunId, windlass_store::Lease)>,
    /// When somebody was last asked to lead a run that has a turn wanted here.
    met: BTreeMap<RunId, Instant>,
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
    /// Requests whose slow part is under way, and copies that are to be made.
    slow: usize,
    copies: copying::Copies,
    last_request: Instant,
    /// When it looks next for requests that were left with its runs.
    look_at: Instant,
    /// Once it is asked to leave.
    leaving: Option<leaving::Leaving>,
    /// Whether the nursery is gone.
    crippled: bool,
}

impl Loop {
    fn new(ctx: Arc<Ctx>) -> Self {
        // It has no place for a worker yet.
        let machine = Machine::new(Settings { slots: 0, ..ctx.options.settings.clone() });
        let places = slots::Places::new(&ctx.projects.paths().state, ctx.options.settings.slots);
        Self {
            places,
            ctx,
            machine,
            homes: BTreeMap::new(),
            live: BTreeMap::new(),
            pending: BTreeMap::new(),
            watchers: BTreeMap::new(),
            indexed: BTreeMap::new(),
            tree_leases: BTreeMap::new(),
            met: BTreeMap::new(),
            to_show: std::collections::BTreeSet::new(),
            reopen: BTreeMap::new(),
            opening: BTreeMap::new(),
            visits: 0,
            found_by: None,
            next_id: 0,
            slow: 0,
            copies: copying::Copies::default(),
            last_request: Instant::now(),
            look_at: Instant::now() + LOOK_EVERY,
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
            self.tell_nursery();
            let wake = self.wake();
            let first = tokio::select! {
                msg = rx.recv() => msg,
                () = attempt::sleep_until(wake) => {
                    self.step([In::Tick]);
                    self.reopen_due();
                    None
                }
                () = attempt::sleep_until(show_at) => {
                    show_at = None;
                    self.show();
                    None
                }
            };
            self.look_for_left();
            self.yield_room();
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
                self.step(inputs);
            }
            self.balance_room();
            if !self.to_show.is_empty() && show_at.is_none() {
                show_at = Some(Instant::now() + LIVE_EVERY);
            }
            if self.may_leave() {
                // What nobody has looked at is for the next engine, which is not started for that. Where another engine takes over,
                // the nursery is left as it was told: it starts one if whoever asked for that is gone.
                if self.leaving.is_none() || self.is_leaving_for_good() {
                    self.ctx.set_at_work(false);
                }
                rx.close();
                self.give_back().await;
                while let Ok(msg) = rx.try_recv() {
                    if let Msg::Call(call) = msg {
                        calls::answer(call.reply, Err(calls::leaving()));
                    }
                }
                return if self.crippled { Left::NurseryGone } else { Left::AsAsked };
            }
        }
    }

    /// Gives the machine what happened, and does what it says. Before anything of that is done the nursery knows whether there is
    /// something to go on with, so that it is not lost with this process.
    fn step(&mut self, inputs: impl IntoIterator<Item = In>) {
        let out = self.machine.step_all(inputs, now());
        self.tell_nursery();
        self.perform(out);
    }

    fn tell_nursery(&self) {
        let goes_on = || {
            let parked = !self.reopen.is_empty() || !self.opening.is_empty();
            parked || self.machine.runs().any(Run::goes_on)
        };
        // Who tells an engine to leave wants it gone; and one that lives in its caller's process ends with that.
        self.ctx.set_at_work(!self.ctx.options.tied && !self.is_leaving_for_good() && goes_on());
    }

    /// When the loop has something to do by itself.
    fn wake(&self) -> Option<Instant> {
        let due = self.machine.next_due().into_iter().chain(self.reopen.values().copied()).min();
        let by_clock = due.map(|at| {
            let ms = u64::try_from(at.saturating_sub(now())).unwrap_or(0);
            Instant::now() + Duration::from_millis(ms.max(1))
        });
        let by_idleness = self.idle_at();
        let by_leaving = self.leaving_wake();
        let by_looking = self.machine.runs().any(|r| !r.is_ended()).then_some(self.look_at);
        [by_clock, by_idleness, by_leaving, by_looking, self.room_wake(), self.found_by]
            .into_iter()
            .flatten()
            .min()
    }

    /// Looks for requests that were left with the runs that it leads, when that is due.
    fn look_for_left(&mut self) {
        let due = Instant::now();
        if due < self.look_at {
            return;
        }
        self.look_at = due + LOOK_EVERY;
        let mut projects: BTreeMap<&std::path::Path, (&Home, Vec<RunId>)> = BTreeMap::new();
        for run in self.machine.runs().filter(|r| !r.is_ended()) {
            if let Some(home) = self.homes.get(&run.id) {
                projects.entry(&home.project.dir).or_insert((home, Vec::new())).1.push(run.id);
            }
        }
        for (home, runs) in projects.into_values() {
            let ctx = self.ctx.clone();
            home.project.post(move |store| {
                use windlass_store::ReadStore;
                // What cannot be read now is read next time.
                let left = runs.into_iter().filter_map(|run| Some((run, store.pending_requests(run).ok()?)));
                let left: Vec<_> = left.filter(|(_, requests)| !requests.is_empty()).collect();
                if !left.is_empty() {
                    ctx.tell(Msg::Left(left));
                }
            });
        }
    }

    fn idle_at(&self) -> Option<Instant> {
        let ms = self.ctx.options.idle_ms?;
        (!self.is_at_work()).then(|| self.last_request + Duration::from_millis(ms))
    }

    fn is_idle(&self) -> bool {
        self.idle_at().is_some_and(|at| at <= Instant::now())
    }

    /// Whether something keeps the engine up: a run that goes on by itself, a due timer, a watcher, a request.
    fn is_at_work(&self) -> bool {
        let runs = self.machine.runs().any(|r| r.goes_on() || r.next_due(now()).is_some());
        runs || !self.live.is_empty()
            || !self.watchers.is_empty()
            || self.slow > 0
            || !self.pending.is_empty()
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
            Msg::TreeLost(root) => self.tree_lost(root, inputs),
            Msg::Meet(run) => self.meet(run),
            Msg::Left(left) => {
                for (run, requests) in left {
                    self.take_left(run, requests, inputs);
                }
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
}
