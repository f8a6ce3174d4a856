//! The part of the engine that decides: one thread, no clock, no I/O, no async. [`Machine::step`] takes one thing that
//! happened and the time, and says what is to be done.
//!
//! The order is always: validate, fold, commit, release. Events are folded into memory at once; what rests on them
//! (effects, answers, announcements) leaves only when their commit is durable. When a commit fails, the run's memory is
//! dropped and read again, and nothing that rested on it was ever released.
//!
//! One commit is under way at a time; what comes meanwhile shares the next one.
//!
//! Map: `messages` what it is told and says · `entry` a run in memory · `commit` durability and release · `trees` turns.

mod commit;
mod entry;
mod messages;
mod trees;

pub use messages::{AskError, CommitFailure, In, Out, Part, RequestId, Settings};

use self::entry::{Entry, Parked};
use self::trees::Tree;
use std::collections::{BTreeMap, BTreeSet};
use windlass_core::{Input, Run, World, accept, decide};
use windlass_events::{Event, Millis, RunId};

/// The deciding part of the engine.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    /// How many workers and gates may be alive at once.
    slots: u32,
    runs: BTreeMap<RunId, Entry>,
    trees: BTreeMap<String, Tree>,
    /// Runs that are to be read again.
    parked: BTreeMap<RunId, Parked>,
    now: Millis,
    batch: u64,
    /// Runs in the commit under way, in the order of its parts.
    committing: Option<Vec<RunId>>,
    /// Runs whose folded state may allow decisions that are not taken yet.
    dirty: BTreeSet<RunId>,
    /// Whether runs of a former engine are still being found.
    finding: bool,
    /// Whether a slot or turn became free since the others were asked whether they want it.
    has_room: bool,
    /// Whether another engine is about to lead what is led here.
    handing_over: bool,
}

impl Machine {
    /// A machine that leads nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            slots: settings.slots,
            settings,
            runs: BTreeMap::new(),
            trees: BTreeMap::new(),
            parked: BTreeMap::new(),
            now: 0,
            batch: 0,
            committing: None,
            dirty: BTreeSet::new(),
            finding: false,
            has_room: false,
            handing_over: false,
        }
    }

    /// Starts nothing until [`In::AllFound`]: workers that a former engine left take places too.
    pub fn find_first(&mut self) {
        self.finding = true;
    }

    /// Decides nothing from now on, for another engine is about to. What was decided and asked before becomes durable and is released;
    /// what is reported of workers, gates and trees is dropped, since that engine finds it in their files again.
    pub fn hand_over(&mut self) {
        self.handing_over = true;
    }

    /// The state of a run that it leads, folded ahead of what is durable.
    pub fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id).map(|e| &e.run)
    }

    /// All runs that it leads.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().map(|e| &e.run)
    }

    /// The epoch of a run's lease.
    pub fn epoch(&self, id: RunId) -> Option<u64> {
        self.runs.get(&id).map(|e| e.epoch)
    }

    /// Whether a run has events that are not durable yet.
    pub fn is_settled(&self, id: RunId) -> bool {
        self.runs.get(&id).is_none_or(|e| e.staged.events.is_empty() && e.in_flight.is_none())
    }

    /// Stops leading a run that is at its end or blocked and settled. The caller gives its lease back.
    pub fn release(&mut self, id: RunId) -> Option<u64> {
        let entry = self.runs.get(&id)?;
        if entry.run.is_live() || !self.is_settled(id) {
            return None;
        }
        self.dirty.remove(&id);
        self.runs.remove(&id).map(|e| e.epoch)
    }

    /// The next instant at which [`In::Tick`] would change something.
    pub fn next_due(&self) -> Option<Millis> {
        let runs = self.runs.values().filter_map(|e| e.run.next_due(e.now(self.now))).min();
        let trees = self
            .trees
            .values()
            .filter_map(|t| if let Tree::Other { ask_again, .. } = t { Some(*ask_again) } else { None })
            .min();
        [runs, trees].into_iter().flatten().min()
    }

    /// Slots in use over all runs.
    pub fn slots_used(&self) -> u32 {
        let runs = self.runs.values().map(|e| e.run.slots_used());
        runs.chain(self.parked.values().map(|p| p.slots)).fold(0, u32::saturating_add)
    }

    /// Whether something would start if one more worker could be alive.
    pub fn wants_slot(&self) -> bool {
        if self.finding || self.slots_used() < self.slots {
            return false;
        }
        self.runs.iter().any(|(id, entry)| {
            let world = || self.world(*id).map(|world| World { slots: 1, ..world });
            // With none, nothing more follows by itself: it was decided until then.
            entry.run.wants_start()
                && world().is_some_and(|world| !decide(&entry.run, entry.now(self.now), &world).is_empty())
        })
    }

    /// Takes one thing that happened. `now` never goes backwards here, whatever the clock does.
    pub fn step(&mut self, input: In, now: Millis) -> Vec<Out> {
        self.step_all([input], now)
    }

    /// Takes several things at once: one commit for all of them.
    pub fn step_all(&mut self, inputs: impl IntoIterator<Item = In>, now: Millis) -> Vec<Out> {
        self.pass(now);
        let mut out = Vec::new();
        for input in inputs {
            match input {
                In::Run(..) | In::Left { .. } | In::Tick | In::AllFound if self.handing_over => {}
                input => self.take(input, &mut out),
            }
        }
        if !self.handing_over {
            self.settle(&mut out);
        }
        self.free_trees(&mut out);
        self.commit(&mut out);
        out
    }

    /// Time passes. What became due meanwhile is looked at now, whatever the input is about: [`Self::next_due`] names only
    /// what is still to come.
    fn pass(&mut self, now: Millis) {
        let before = self.now;
        self.now = before.max(now);
        if self.now > before {
            let due = |e: &Entry| e.run.next_due(e.now(before)).is_some_and(|at| at <= e.now(self.now));
            self.dirty.extend(self.runs.iter().filter(|(_, e)| due(e)).map(|(id, _)| *id));
        }
    }

    fn take(&mut self, input: In, out: &mut Vec<Out>) {
        match input {
            In::Create { request, run, epoch, events, secrets } => {
                self.create(request, run, epoch, events, secrets, out)
            }
            In::Opened { run, epoch, secrets } => self.opened(*run, epoch, secrets, out),
            In::Gone(id) => self.gone(id, out),
            In::Run(id, input) => {
                // A report about something that is over is dropped: it was accepted before.
                if let Some(entry) = self.runs.get(&id)
                    && let Ok(events) = accept(&entry.run, input)
                {
                    self.fold(id, events);
                }
            }
            In::Ask { request, run, input } => self.ask(request, run, input, out),
            In::Left { run, id, input } => self.left(run, id, input),
            In::Secrets(id) => {
                if let Some(entry) = self.runs.get_mut(&id) {
                    entry.secrets = true;
                    self.dirty.insert(id);
                }
            }
            In::Committed { batch, results } => self.committed(batch, results, out),
            In::Tree { root, holder } => self.tree_known(root, holder),
            In::Slots(slots) => {
                self.has_room |= slots > self.slots;
                self.slots = slots;
            }
            In::AllFound => {
                self.finding = false;
                self.dirty.extend(self.runs.keys());
            }
            In::Tick => {
                self.ask_for_trees_again(out);
                self.dirty.extend(self.runs.keys());
            }
        }
    }

    fn create(
        &mut self,
        request: RequestId,
        id: RunId,
        epoch: u64,
        events: Vec<Event>,
        secrets: bool,
        out: &mut Vec<Out>,
    ) {
        let refuse = |text: String| Out::Answer { request, result: Err(AskError::NotRecorded(text)) };
        if self.runs.contains_key(&id) {
            out.push(refuse(format!("there is a run {id} already")));
            return;
        }
        let mut events = events.into_iter();
        let Some(first) = events.next() else {
            out.push(refuse("a run without a first event".to_owned()));
            return;
        };
        match Run::begin(id, self.now, &first) {
            Err(e) => out.push(refuse(e.to_string())),
            Ok(run) => {
                let mut entry = Entry::new(run, epoch, secrets);
                entry.recovering = false;
                entry.staged.first = 1;
                entry.staged.events.push((self.now, first));
                entry.staged.answers.push(request);
                self.runs.insert(id, entry);
                self.fold(id, events.collect());
                let taken =
                    Input::Taken { boot: self.settings.boot.clone(), version: self.settings.version.clone() };
                self.take(In::Run(id, taken), out);
                self.dirty.insert(id);
            }
        }
    }

    fn unpark(&mut self, id: RunId) {
        self.has_room |= self.parked.remove(&id).is_some();
    }

    fn gone(&mut self, id: RunId, out: &mut Vec<Out>) {
        self.unpark(id);
        let Some(entry) = self.runs.get_mut(&id) else { return };
        let staged = entry.in_flight.take().unwrap_or_default();
        self.drop_run(id, staged, CommitFailure::Fenced("another engine leads it".to_owned()), out);
    }

    fn opened(&mut self, run: Run, epoch: u64, secrets: bool, out: &mut Vec<Out>) {
        let id = run.id;
        if self.runs.contains_key(&id) {
            // Read twice: what is staged here must not be lost.
            return;
        }
        self.unpark(id);
        if run.holds_turn() && !self.trees.contains_key(&run.spec.tree.root) {
            // The turn is its own by the journal; nothing more starts on it before the tree's lease is ours too.
            let root = run.spec.tree.root.clone();
            self.trees.insert(root.clone(), Tree::Asked);
            out.push(Out::WantTree { root });
        }
        let is_over = run.is_ended();
        let mut entry = Entry::new(run, epoch, secrets);
        entry.snapshot_at = entry.run.seq;
        self.runs.insert(id, entry);
        if !is_over {
            let events = vec![Event::RunTaken {
                boot: self.settings.boot.clone(),
                version: self.settings.version.clone(),
            }];
            self.fold(id, events);
        }
        if let Some(entry) = self.runs.get_mut(&id) {
            for effect in entry.run.wanted() {
                entry.release(effect);
            }
            entry.recovering = false;
        }
        self.dirty.insert(id);
    }

    fn ask(&mut self, request: RequestId, id: RunId, input: Input, out: &mut Vec<Out>) {
        let Some(entry) = self.runs.get(&id) else {
            out.push(Out::Answer { request, result: Err(AskError::NotHere(id)) });
            return;
        };
        match accept(&entry.run, input) {
            Err(refusal) => out.push(Out::Answer { request, result: Err(refusal.into()) }),
            Ok(events) => {
                let nothing = events.is_empty();
                self.fold(id, events);
                if let Some(entry) = self.runs.get_mut(&id) {
                    match &mut entry.in_flight {
                        _ if !nothing || !entry.staged.events.is_empty() => {
                            entry.staged.answers.push(request)
                        }
                        // What made it true already may not be durable yet.
                        Some(in_flight) => in_flight.answers.push(request),
                        None => out.push(Out::Answer { request, result: Ok(entry.run.seq) }),
                    }
                }
            }
        }
    }

    /// Takes a request that nobody waits for any more: what becomes of it is in the journal, whatever it is, since that consumes it.
    fn left(&mut self, id: RunId, request: String, input: Input) {
        // Of a run that is over nothing can be asked by somebody who took it for live.
        let Some(entry) = self.runs.get_mut(&id).filter(|e| !e.run.is_ended()) else { return };
        if !entry.taken.insert(request.clone()) {
            return;
        }
        let notice = |text: String| vec![Event::Notice { text }];
        let events = match accept(&entry.run, input) {
            Ok(events) if events.is_empty() => {
                notice("a stored request asked for what was done already".into())
            }
            Ok(events) => events,
            Err(refusal) => notice(format!("a stored request was refused: {refusal}")),
        };
        self.fold(id, events);
        if let Some(entry) = self.runs.get_mut(&id) {
            entry.staged.consumes.push(request);
        }
    }

    /// Folds events into a run's memory and stages them with the effects that they make wanted.
    fn fold(&mut self, id: RunId, events: Vec<Event>) {
        let now = self.now;
        let Some(entry) = self.runs.get_mut(&id) else { return };
        let (held, used) = (entry.run.holds_turn(), entry.run.slots_used());
        for event in events {
            let seq = entry.run.seq + 1;
            // The core gave these events for this very state; one that does not fit is a fault of ours, and is refused
            // before it is written rather than trusted.
            if let Err(illegal) = entry.run.apply(seq, now, &event) {
                debug_assert!(false, "{event:?}: {illegal}");
                continue;
            }
            if entry.staged.events.is_empty() {
                entry.staged.first = seq;
            }
            entry.find_effects(&event);
            entry.staged.events.push((entry.run.updated_at, event));
        }
        if held && !entry.run.holds_turn() {
            entry.gave_back = Some(entry.run.seq);
        }
        self.has_room |= entry.run.slots_used() < used;
        self.dirty.insert(id);
    }

    /// Decides for every run that may have something to decide, until none has.
    fn settle(&mut self, out: &mut Vec<Out>) {
        loop {
            while let Some(id) = self.dirty.pop_first() {
                self.decide_all(id, out);
            }
            if !std::mem::take(&mut self.has_room) {
                return;
            }
            let waits = |e: &Entry| e.run.wants_start() || e.run.holds_turn();
            self.dirty.extend(self.runs.iter().filter(|(_, e)| waits(e)).map(|(id, _)| *id));
        }
    }

    fn decide_all(&mut self, id: RunId, out: &mut Vec<Out>) {
        loop {
            let world = match self.world(id) {
                Some(world) => world,
                None => return,
            };
            let Some(entry) = self.runs.get(&id) else { return };
            let events = decide(&entry.run, entry.now(self.now), &world);
            if events.is_empty() {
                self.ask_for_tree(id, out);
                return;
            }
            self.fold(id, events);
            self.dirty.remove(&id);
        }
    }

    fn world(&self, id: RunId) -> Option<World> {
        let entry = self.runs.get(&id)?;
        Some(World {
            // Before all are known, nobody can tell which places are taken.
            slots: if self.finding { 0 } else { self.slots.saturating_sub(self.slots_used()) },
            tree: self.turn(id, entry),
            secrets: entry.secrets || entry.run.spec.secret_names.is_empty(),
            may_restart: self.settings.may_restart,
        })
    }
}
