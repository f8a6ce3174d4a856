//! The part of the engine that decides: one thread, no clock, no I/O, no async. [`Machine::step`] takes one thing that
//! happened and the time, and says what is to be done.
//!
//! The order is always: validate, fold, commit, release. Events are folded into memory at once; what rests on them
//! (effects, answers, announcements) leaves only when their commit is durable. When a commit fails, the run's memory is
//! dropped and read again, and nothing that rested on it was ever released.
//!
//! One commit is under way at a time; what comes meanwhile shares the next one.

use std::collections::{BTreeMap, BTreeSet};
use windlass_core::task::Phase;
use windlass_core::{Effect, Input, Refusal, Run, Turn, World, accept, decide};
use windlass_events::{Envelope, Event, Millis, RunId, RunStatus, Seq, TaskId};

/// Id of a request whose answer somebody waits for.
pub type RequestId = u64;

/// After how many events since the last one a state snapshot is due at the earliest.
const SNAPSHOT_EVENTS: u64 = 1_000;
/// How long after a commit failed for want of space (or the like) it is tried again, in milliseconds.
const PROBE_MS: i64 = 1_000;
/// How often a tree held by another engine is asked for again, in milliseconds.
const TREE_POLL_MS: i64 = 500;

/// What an engine is told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Workers and gates that may live at once on this machine.
    pub slots: u32,
    /// Boot id of the machine.
    pub boot: String,
    /// Version of the program.
    pub version: String,
    /// Whether runs go on by themselves after a restart of the machine.
    pub may_restart: bool,
}

/// Something that happened.
#[derive(Debug)]
pub enum In {
    /// A run is created: its first events, with the lease's epoch.
    Create {
        /// Who waits for the answer.
        request: RequestId,
        /// Id.
        run: RunId,
        /// Epoch of the lease.
        epoch: u64,
        /// `run.created` and `tasks.planned`.
        events: Vec<Event>,
        /// Whether the secret values of its environment are at hand.
        secrets: bool,
    },
    /// A run was read from its journal and leased.
    Opened {
        /// State.
        run: Box<Run>,
        /// Epoch of the lease.
        epoch: u64,
        /// Whether the secret values of its environment are at hand.
        secrets: bool,
    },
    /// Something happened to a run's work.
    Run(RunId, Input),
    /// A person or host asks something of a run.
    Ask {
        /// Who waits for the answer.
        request: RequestId,
        /// Run.
        run: RunId,
        /// What.
        input: Input,
    },
    /// The secret values of a run's environment arrived.
    Secrets(RunId),
    /// A run that is here, or is to be read again ([`Out::Reopen`]), is led by another engine now or cannot be read: it is
    /// forgotten.
    Gone(RunId),
    /// A commit is durable or failed, run by run.
    Committed {
        /// Which commit.
        batch: u64,
        /// For each part, in order.
        results: Vec<Result<Seq, CommitFailure>>,
    },
    /// Whether the tree's lease was obtained from the store.
    Tree {
        /// Root of the tree.
        root: String,
        /// Who else holds it, or `None` when it is ours.
        holder: Option<String>,
    },
    /// Every run that a former engine left is known now, with its live workers.
    AllFound,
    /// Time passed.
    Tick,
}

/// Why a part of a commit did not become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitFailure {
    /// Another engine leads the run now: it is dropped here.
    Fenced(String),
    /// The journal is not where this engine thought, or is damaged: read it again.
    Conflict(String),
    /// Space, rights or the disk: read again, and try again later.
    Unavailable(String),
}

/// One run's part of a commit.
#[derive(Debug, Clone)]
pub struct Part {
    /// Run.
    pub run: RunId,
    /// Last place that the journal is expected to have.
    pub expected: Seq,
    /// Epoch of the lease.
    pub epoch: u64,
    /// Events with their times.
    pub events: Vec<(Millis, Event)>,
    /// Whether it must survive a power cut before anything rests on it.
    pub sync: bool,
}

/// Something to be done.
#[derive(Debug)]
pub enum Out {
    /// Make these durable, all in one transaction.
    Commit {
        /// Which.
        batch: u64,
        /// Parts.
        parts: Vec<Part>,
    },
    /// Perform an effect. With `recovering`, a former engine may have begun it.
    Perform {
        /// Run.
        run: RunId,
        /// Effect.
        effect: Effect,
        /// Whether it may have been begun.
        recovering: bool,
    },
    /// Answer a request.
    Answer {
        /// Whom.
        request: RequestId,
        /// The place of the last event that the request caused, or why not.
        result: Result<Seq, AskError>,
    },
    /// Events became durable.
    Announce {
        /// Run.
        run: RunId,
        /// Events.
        events: Vec<Envelope>,
    },
    /// Read a run again: its memory was dropped.
    Reopen {
        /// Run.
        run: RunId,
        /// Not before.
        at: Millis,
    },
    /// Another engine leads the run: forget it.
    Forget {
        /// Run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// Obtain the lease of a tree from the store.
    WantTree {
        /// Root.
        root: String,
    },
    /// Give the lease of a tree back.
    FreeTree {
        /// Root.
        root: String,
    },
    /// Keep the state as a cache of the journal.
    Snapshot {
        /// Run.
        run: RunId,
    },
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The run is not led by this engine.
    #[error("this engine does not lead run {0}")]
    NotHere(RunId),
    /// The core refuses it.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It could not be made durable.
    #[error("it could not be recorded: {0}")]
    NotRecorded(String),
}

/// A run in memory.
#[derive(Debug)]
struct Entry {
    run: Run,
    epoch: u64,
    secrets: bool,
    /// Effects released by this engine and still wanted.
    released: BTreeSet<Effect>,
    /// Whether effects found from now on may have been begun by a former engine.
    recovering: bool,
    /// Folded and not yet handed to a commit.
    staged: Staged,
    /// Handed to the commit under way.
    in_flight: Option<Staged>,
    /// Place of the last state snapshot.
    snapshot_at: Seq,
    /// Place at which the tree's turn was given back, until that is durable: only then another run may take it.
    gave_back: Option<Seq>,
}

/// Events that wait for durability, with what rests on them.
#[derive(Debug, Default)]
struct Staged {
    first: Seq,
    events: Vec<(Millis, Event)>,
    effects: Vec<(Effect, bool)>,
    answers: Vec<RequestId>,
}

/// What a run had when its memory was dropped, to be read again. Until then its workers live and its turn is held.
#[derive(Debug)]
struct Parked {
    root: String,
    slots: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tree {
    Asked,
    Ours,
    Other { holder: String, ask_again: Millis },
}

/// The deciding part of the engine.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
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
}

impl Machine {
    /// A machine that leads nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
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
        }
    }

    /// Starts nothing until [`In::AllFound`]: workers that a former engine left take places too.
    pub fn find_first(&mut self) {
        self.finding = true;
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

    /// Takes one thing that happened. `now` never goes backwards here, whatever the clock does.
    pub fn step(&mut self, input: In, now: Millis) -> Vec<Out> {
        self.step_all([input], now)
    }

    /// Takes several things at once: one commit for all of them.
    pub fn step_all(&mut self, inputs: impl IntoIterator<Item = In>, now: Millis) -> Vec<Out> {
        self.pass(now);
        let mut out = Vec::new();
        for input in inputs {
            self.take(input, &mut out);
        }
        self.settle(&mut out);
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
            In::Secrets(id) => {
                if let Some(entry) = self.runs.get_mut(&id) {
                    entry.secrets = true;
                    self.dirty.insert(id);
                }
            }
            In::Committed { batch, results } => self.committed(batch, results, out),
            In::Tree { root, holder } => {
                let state = match holder {
                    None => Tree::Ours,
                    Some(holder) => Tree::Other { holder, ask_again: self.now.saturating_add(TREE_POLL_MS) },
                };
                self.trees.insert(root, state);
                self.dirty.extend(self.runs.keys());
            }
            In::AllFound => {
                self.finding = false;
                self.dirty.extend(self.runs.keys());
            }
            In::Tick => {
                for tree in self.trees.iter_mut() {
                    if matches!(tree.1, Tree::Other { ask_again, .. } if *ask_again <= self.now) {
                        out.push(Out::WantTree { root: tree.0.clone() });
                        *tree.1 = Tree::Asked;
                    }
                }
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
        let root = &entry.run.spec.tree.root;
        let holder =
            self.runs.iter().find(|(k, e)| **k != id && e.has_turn() && e.run.spec.tree.root == *root);
        let holder = holder.map(|(other, _)| *other);
        // A run that is being read again may have the turn, unless this one has it.
        let parked = || {
            let other = |(k, p): &(&RunId, &Parked)| **k != id && p.root == *root && !entry.run.holds_turn();
            self.parked.iter().find(other).map(|(k, _)| *k)
        };
        let tree = match (holder.or_else(parked), self.trees.get(root)) {
            (Some(other), _) => Turn::Other(format!("run {other}")),
            (None, Some(Tree::Ours)) => Turn::Free,
            (None, Some(Tree::Other { holder, .. })) => Turn::Other(holder.clone()),
            // Not known yet: nobody's to take, and nobody to name.
            (None, Some(Tree::Asked) | None) => Turn::Other(String::new()),
        };
        Some(World {
            // Before all are known, nobody can tell which places are taken.
            slots: if self.finding { 0 } else { self.settings.slots.saturating_sub(self.slots_used()) },
            tree,
            secrets: entry.secrets || entry.run.spec.secret_names.is_empty(),
            may_restart: self.settings.may_restart,
        })
    }

    /// Asks the store for the tree's lease when a run wants a turn and nobody here holds it.
    fn ask_for_tree(&mut self, id: RunId, out: &mut Vec<Out>) {
        let Some(entry) = self.runs.get(&id) else { return };
        if entry.run.holds_turn() || !entry.run.wants_turn() {
            return;
        }
        let root = entry.run.spec.tree.root.clone();
        if !self.trees.contains_key(&root) {
            self.trees.insert(root.clone(), Tree::Asked);
            out.push(Out::WantTree { root });
        }
    }

    /// Gives back the leases of trees that no run here has a turn in or wants one, and asks no more for such.
    fn free_trees(&mut self, out: &mut Vec<Out>) {
        let (runs, parked) = (&self.runs, &self.parked);
        self.trees.retain(|root, tree| {
            let wants = |e: &Entry| e.run.spec.tree.root == *root && (e.has_turn() || e.run.wants_turn());
            // Before the store's answer it is not known what there is to give back.
            if *tree == Tree::Asked || runs.values().any(wants) || parked.values().any(|p| p.root == *root) {
                return true;
            }
            if *tree == Tree::Ours {
                out.push(Out::FreeTree { root: root.clone() });
            }
            false
        });
    }

    fn commit(&mut self, out: &mut Vec<Out>) {
        if self.committing.is_some() {
            return;
        }
        let mut parts = Vec::new();
        let mut order = Vec::new();
        for (id, entry) in &mut self.runs {
            if entry.staged.events.is_empty() {
                continue;
            }
            let staged = std::mem::take(&mut entry.staged);
            parts.push(Part {
                run: *id,
                expected: staged.first - 1,
                epoch: entry.epoch,
                sync: staged.events.iter().any(|(_, e)| needs_sync(e)),
                events: staged.events.clone(),
            });
            entry.in_flight = Some(staged);
            order.push(*id);
        }
        if parts.is_empty() {
            return;
        }
        self.batch += 1;
        self.committing = Some(order);
        out.push(Out::Commit { batch: self.batch, parts });
    }

    fn committed(&mut self, batch: u64, results: Vec<Result<Seq, CommitFailure>>, out: &mut Vec<Out>) {
        if batch != self.batch {
            return;
        }
        let Some(order) = self.committing.take() else { return };
        for (id, result) in order.into_iter().zip(results) {
            let Some(entry) = self.runs.get_mut(&id) else { continue };
            let Some(staged) = entry.in_flight.take() else { continue };
            match result {
                Ok(_) => self.release_staged(id, staged, out),
                Err(failure) => self.drop_run(id, staged, failure, out),
            }
        }
    }

    fn release_staged(&mut self, id: RunId, staged: Staged, out: &mut Vec<Out>) {
        let Some(entry) = self.runs.get_mut(&id) else { return };
        let first = staged.first;
        let last = first + staged.events.len() as u64 - 1;
        if entry.gave_back.is_some_and(|at| at <= last) {
            entry.gave_back = None;
            self.has_room = true;
        }
        for (effect, recovering) in staged.effects {
            out.push(Out::Perform { run: id, effect, recovering });
        }
        for request in staged.answers {
            out.push(Out::Answer { request, result: Ok(last) });
        }
        let events = (first..)
            .zip(staged.events)
            .map(|(seq, (at, event))| Envelope { run: id, seq, at, event })
            .collect();
        out.push(Out::Announce { run: id, events });
        let size = entry.run.tasks.len() as u64;
        let tail = last.saturating_sub(entry.snapshot_at);
        if tail > SNAPSHOT_EVENTS.max(2 * size) {
            entry.snapshot_at = last;
            out.push(Out::Snapshot { run: id });
        }
    }

    fn drop_run(&mut self, id: RunId, staged: Staged, failure: CommitFailure, out: &mut Vec<Out>) {
        let Some(mut entry) = self.runs.remove(&id) else { return };
        self.dirty.remove(&id);
        self.has_room = true;
        let is_new = staged.first == 1;
        let root = entry.run.spec.tree.root.clone();
        let has_turn = entry.has_turn();
        if !is_new && !matches!(failure, CommitFailure::Fenced(_)) {
            // What it holds by its journal is not known before it is read; its memory was ahead of that.
            let parked = Parked { root: root.clone(), slots: entry.run.slots_used() };
            self.parked.insert(id, parked);
        }
        let text = match &failure {
            CommitFailure::Fenced(t) | CommitFailure::Conflict(t) | CommitFailure::Unavailable(t) => {
                t.clone()
            }
        };
        for request in staged.answers.into_iter().chain(std::mem::take(&mut entry.staged.answers)) {
            out.push(Out::Answer { request, result: Err(AskError::NotRecorded(text.clone())) });
        }
        match failure {
            CommitFailure::Fenced(reason) => {
                if has_turn && self.trees.remove(&root).is_some() {
                    // Whoever leads it now holds its turn: others here have to ask for the tree anew.
                    out.push(Out::FreeTree { root });
                }
                out.push(Out::Forget { run: id, reason });
            }
            CommitFailure::Conflict(_) => out.push(Out::Reopen { run: id, at: self.now }),
            CommitFailure::Unavailable(_) if is_new => {
                out.push(Out::Forget { run: id, reason: text });
            }
            CommitFailure::Unavailable(_) => {
                out.push(Out::Reopen { run: id, at: self.now.saturating_add(PROBE_MS) });
            }
        }
    }
}

impl Entry {
    fn new(run: Run, epoch: u64, secrets: bool) -> Self {
        Self {
            run,
            epoch,
            secrets,
            released: BTreeSet::new(),
            recovering: true,
            staged: Staged::default(),
            in_flight: None,
            snapshot_at: 0,
            gave_back: None,
        }
    }

    /// Whether it holds the tree's turn, as far as is durable.
    fn has_turn(&self) -> bool {
        self.run.holds_turn() || self.gave_back.is_some()
    }

    /// The time as this run knows it: never before its last event.
    fn now(&self, now: Millis) -> Millis {
        now.max(self.run.updated_at)
    }

    fn release(&mut self, effect: Effect) {
        if self.released.insert(effect.clone()) {
            self.staged.effects.push((effect, self.recovering));
        }
    }

    /// Finds what an event that was just folded makes wanted, and forgets what it makes unwanted.
    fn find_effects(&mut self, event: &Event) {
        let mut wanted = Vec::new();
        match concerns(event) {
            Concerns::Task(id) => {
                let Some(at) = self.run.position(id) else { return };
                self.run.wanted_for(at, &mut wanted);
                if self.run.task(at).is_some_and(|t| matches!(t.phase, Phase::Ended(_) | Phase::Ready { .. }))
                {
                    self.released.retain(|e| task_of(e) != Some(id));
                }
            }
            Concerns::Run => self.run.wanted_for_run(&mut wanted),
            Concerns::Busy => {
                self.run.wanted_for_run(&mut wanted);
                for at in self.run.busy.clone() {
                    self.run.wanted_for(at, &mut wanted);
                }
            }
            // Nothing is live, and the tree is kept anew when it goes on.
            Concerns::Rest if !self.run.is_live() => {
                self.released.retain(|e| matches!(e, Effect::Steer { .. }));
            }
            Concerns::Rest | Concerns::Nothing => {}
        }
        for effect in wanted {
            self.release(effect);
        }
    }
}

enum Concerns<'a> {
    Task(&'a TaskId),
    Run,
    Busy,
    Rest,
    Nothing,
}

/// Which effects an event can change.
fn concerns(event: &Event) -> Concerns<'_> {
    match event {
        Event::AttemptStarted { task, .. }
        | Event::AttemptEnded { task, .. }
        | Event::AttemptLost { task, .. }
        | Event::AttemptSwept { task, .. }
        | Event::AttemptVoided { task, .. }
        | Event::TreeKept { task, .. }
        | Event::TreeTouched { task, .. }
        | Event::TaskCompleted { task, .. }
        | Event::TaskFailed { task, .. }
        | Event::TaskSkipped { task, .. }
        | Event::TaskCancelled { task }
        | Event::TaskNeedsAttention { task, .. }
        | Event::CancelRequested { task: Some(task), .. }
        | Event::TurnTaken { task: Some(task) } => Concerns::Task(task),
        Event::GateStarted { key } | Event::GateEnded { key, .. } | Event::GateLost { key } => {
            key.task.as_ref().map_or(Concerns::Run, Concerns::Task)
        }
        Event::SteerSent { .. } | Event::SteerDelivered { .. } => Concerns::Run,
        Event::CancelRequested { task: None, .. } | Event::CapReached { .. } | Event::GatesSettled { .. } => {
            Concerns::Busy
        }
        Event::RunCreated(_)
        | Event::TasksPlanned { .. }
        | Event::RunTaken { .. }
        | Event::TurnTaken { task: None }
        | Event::AttemptObserved { .. }
        | Event::GatesAsked { .. }
        | Event::HeadMoved { .. }
        | Event::CapWarned { .. }
        | Event::RunContinued { .. }
        | Event::RunResumed { .. }
        | Event::TasksRetried { .. }
        | Event::Notice { .. }
        | Event::RunUndone { .. }
        | Event::RunCompleted { .. }
        | Event::RunFailed { .. }
        | Event::RunCancelled {} => Concerns::Nothing,
        Event::RunBlocked { .. } | Event::RunWaiting { .. } => Concerns::Rest,
    }
}

fn task_of(effect: &Effect) -> Option<&TaskId> {
    match effect {
        Effect::Attempt { task, .. }
        | Effect::StopAttempt { task, .. }
        | Effect::Sweep { task, .. }
        | Effect::KeepTree { task, .. }
        | Effect::Steer { task, .. } => Some(task),
        Effect::Gate(key) | Effect::StopGate(key) => key.task.as_ref(),
    }
}

/// Decisions that must survive a power cut before anything rests on them. The rest survives the death of any process.
const fn needs_sync(event: &Event) -> bool {
    matches!(
        event,
        Event::RunCreated(_)
            | Event::RunResumed { .. }
            | Event::TasksRetried { .. }
            | Event::CancelRequested { .. }
            | Event::TurnTaken { .. }
            | Event::TreeKept { .. }
            | Event::GatesSettled { .. }
            | Event::RunUndone { .. }
            | Event::RunCompleted { .. }
            | Event::RunFailed { .. }
            | Event::RunCancelled {}
            | Event::RunBlocked { .. }
    )
}

/// Whether a run in this status keeps an engine from being idle.
pub const fn keeps_engine_up(status: RunStatus) -> bool {
    matches!(status, RunStatus::Running | RunStatus::Queued | RunStatus::Planning)
}
