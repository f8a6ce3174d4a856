//! The driver of an engine, one step at a time: what the machine gave out is performed against the world, and what
//! happened is reported. The engine may die between any two of these steps.

use crate::engine::{Commit, Engine, Job, Open, Stage};
use crate::fault::Fault;
use crate::growth;
use crate::law::{Check, Law, broken, hold};
use crate::sim::Sim;
use crate::worker::{Key, Name};
use crate::world::{File, Fork};
use windlass_core::{Effect, FOLD_VERSION, Input};
use windlass_engine::machine::{CommitFailure, In, Out, Part};
use windlass_events::event::{AttemptEnd, GateEnd, Snapshot};
use windlass_events::outcome::Failure;
use windlass_events::{ErrorClass, Event, RunId};
use windlass_store::{Append, AppendError, Record, Store};

impl Sim {
    /// Gives the machine what came in.
    pub(crate) fn hear(&mut self, e: &mut Engine) -> Check {
        let mut inputs = Vec::new();
        let most = if self.world.swarm.batches { 1 + self.rng.below(4) } else { 1 };
        while (inputs.len() as u64) < most {
            let Some(input) = e.inbox.pop_front() else { break };
            if let In::Run(run, again) = &input
                && self.world.swarm.duplicates
                && self.rng.chance(1, 5)
            {
                e.inbox.push_back(In::Run(*run, again.clone()));
            }
            inputs.push(input);
        }
        // These bring slots back that a run had before; nothing starts on them.
        let opens = inputs.iter().any(|i| {
            use Input::{Resume, Retry};
            matches!(i, In::Opened { .. } | In::Ask { input: Resume { .. } | Retry { .. }, .. })
        });
        let asked: Vec<(u64, RunId)> = inputs
            .iter()
            .filter_map(|i| if let In::Ask { request, run, .. } = i { Some((*request, *run)) } else { None })
            .collect();
        self.log(|| format!("  in {inputs:?}"));
        self.give(e, inputs, opens)?;
        if self.world.fault == Some(Fault::AnswerBeforeCommit) {
            for (request, run) in asked {
                if let Some(seq) = e.machine.run(run).map(|r| r.seq) {
                    self.answered(request, &Ok(seq))?;
                }
            }
        }
        Ok(())
    }

    /// Time passes for the machine.
    pub(crate) fn tick(&mut self, e: &mut Engine) -> Check {
        self.give(e, vec![In::Tick], false)
    }

    fn give(&mut self, e: &mut Engine, mut inputs: Vec<In>, opens: bool) -> Check {
        let before = e.machine.slots_used();
        let outs = match inputs.pop() {
            Some(only) if inputs.is_empty() => e.machine.step(only, self.world.wall),
            Some(last) => {
                inputs.push(last);
                e.machine.step_all(inputs, self.world.wall)
            }
            None => return Ok(()),
        };
        let after = e.machine.slots_used();
        hold(opens || after <= before.max(e.slots), Law::Limit, || {
            format!("an engine with {} slots uses {after}, after {before}", e.slots)
        })?;
        e.outbox.extend(outs);
        Ok(())
    }

    /// Takes one thing from what the machine gave out.
    pub(crate) fn perform(&mut self, e: &mut Engine) -> Check {
        let Some(out) = e.outbox.pop_front() else { return Ok(()) };
        self.log(|| format!("  out {out:?}"));
        match out {
            Out::Commit { batch, parts } => {
                if self.world.fault == Some(Fault::ActBeforeCommit) {
                    for part in &parts {
                        self.act_early(e, part);
                    }
                }
                e.commit = Some(Commit { batch, parts, results: None });
            }
            Out::Perform { run, effect, recovering } => self.effect(e, run, effect, recovering),
            Out::Answer { request, result } => {
                if let Some(lease) = self.created_in_vain(e, request, result.is_err()) {
                    self.add(e, Job::FreeRun { lease });
                }
                self.answered(request, &result.map_err(|e| e.to_string()))?;
            }
            Out::Announce { run, events } => {
                let head = self.world.journals.head(run);
                for event in events {
                    hold(event.seq <= head, Law::Answer, || format!("{event:?} is told and not durable"))?;
                }
            }
            Out::Reopen { run, at } => {
                e.drop_jobs(run);
                e.to_open.push_back(Open { run, at, takeover: false, asks: vec![] });
            }
            Out::Forget { run, .. } => {
                e.drop_jobs(run);
                if let Some(lease) = e.leases.remove(&run) {
                    self.add(e, Job::FreeRun { lease });
                }
            }
            Out::WantTree { root } => self.add(e, Job::WantTree { root }),
            Out::FreeTree { root } => {
                if let Some(lease) = e.trees.remove(&root) {
                    self.add(e, Job::FreeTree { lease });
                }
            }
            Out::Snapshot { run } => self.snapshot(e, run),
        }
        Ok(())
    }

    fn created_in_vain(&self, e: &mut Engine, request: u64, refused: bool) -> Option<windlass_store::Lease> {
        let run = self.requests.get(&request).filter(|r| refused && r.creates)?.run;
        if e.machine.run(run).is_some() { None } else { e.leases.remove(&run) }
    }

    /// Keeps a state as a cache, where it is not ahead of the journal.
    pub(crate) fn snapshot(&mut self, e: &Engine, run: RunId) {
        if !e.machine.is_settled(run) || self.world.fault.is_some_and(Fault::is_of_state) {
            return;
        }
        let Some(state) = e.machine.run(run) else { return };
        if let Ok(bytes) = serde_json::to_vec(state) {
            let snapshot = windlass_store::Snapshot { seq: state.seq, fold_version: FOLD_VERSION, bytes };
            // A cache: whoever cannot write it goes on without.
            let _ = self.world.store.put_snapshot(run, &snapshot);
        }
    }

    pub(crate) fn add(&mut self, e: &mut Engine, job: Job) {
        let id = self.world.id();
        e.jobs.insert(id, job);
    }

    fn act_early(&mut self, e: &mut Engine, part: &Part) {
        for (_, event) in &part.events {
            let name = match event {
                Event::AttemptStarted { task, n, .. } => Name::Attempt(task.clone(), *n),
                Event::GateStarted { key } => Name::Gate(key.clone()),
                _ => continue,
            };
            if let Some(run) = e.machine.run(part.run) {
                let order = self.world.order(run, name);
                self.add(e, Job::Work { order, stage: Stage::Begin });
            }
        }
    }

    fn effect(&mut self, e: &mut Engine, run: RunId, effect: Effect, recovering: bool) {
        let work = |sim: &mut Self, e: &mut Engine, name: Name| {
            let Some(state) = e.machine.run(run) else { return };
            let order = sim.world.order(state, name);
            let known =
                e.jobs.values().any(|j| matches!(j, Job::Work { order: o, .. } if o.key == order.key));
            if !known {
                let stage = if recovering { Stage::Probe } else { Stage::Begin };
                sim.add(e, Job::Work { order, stage });
            }
        };
        match effect {
            Effect::Attempt { task, n } => work(self, e, Name::Attempt(task, n)),
            Effect::Gate(key) => work(self, e, Name::Gate(key)),
            Effect::StopAttempt { task, n, .. } => {
                self.add(e, Job::Stop { key: Key { run, name: Name::Attempt(task, n) } });
            }
            Effect::StopGate(key) => self.add(e, Job::Stop { key: Key { run, name: Name::Gate(key) } }),
            Effect::Sweep { task, n } => self.add(e, Job::Sweep { run, task, n }),
            Effect::KeepTree { task, n, before } => self.add(e, Job::Keep { run, task, n, before }),
            Effect::Expand { task, n } => self.add(e, Job::Expand { run, task, n }),
            Effect::Steer { id, task, n, .. } => {
                self.add(e, Job::Steer { run, id, task, n });
            }
        }
    }

    /// The store's side of a commit, then the word of it.
    pub(crate) fn commit(&mut self, e: &mut Engine) -> Check {
        let Some(commit) = &mut e.commit else { return Ok(()) };
        if let Some(results) = commit.results.take() {
            let batch = commit.batch;
            e.commit = None;
            let behind =
                if self.world.swarm.reorder { self.rng.index(e.inbox.len() + 1) } else { e.inbox.len() };
            e.inbox.insert(behind, In::Committed { batch, results });
            return Ok(());
        }
        let parts = commit.parts.clone();
        let refused = |why: &str| Err(CommitFailure::Conflict(why.to_owned()));
        if self.world.swarm.conflict && self.rng.chance(1, 30) {
            commit.results = Some(parts.iter().map(|_| refused("refused")).collect());
            return Ok(());
        }
        let lies = self.world.swarm.lying_commit && self.rng.chance(1, 40);
        let mut results = Vec::new();
        let mut batch = Vec::new();
        for part in &parts {
            if !self.has_tree(e, part) {
                results.push(refused("the tree is another engine's"));
                continue;
            }
            let mut records = Vec::new();
            for (at, event) in &part.events {
                match event.to_json() {
                    Ok(body) => records.push(Record { at: *at, body }),
                    Err(e) => return broken(Law::ReplayIsLive, e.to_string()),
                }
            }
            records.extend(self.forge(part));
            let mut append = Append::new(part.run, part.expected, part.epoch, records);
            append.consumes.clone_from(&part.consumes);
            let sync = part.sync && self.world.fault != Some(Fault::NotSynced);
            batch.push(if sync { append.synced() } else { append });
            // Its place; what the store says of it comes below.
            results.push(Ok(0));
        }
        let mut said = self.world.append(batch)?.into_iter();
        for result in results.iter_mut().filter(|r| r.is_ok()) {
            *result = match said.next() {
                Some(Ok(_)) if lies => Err(CommitFailure::Unavailable("no word of it".into())),
                Some(Ok(seq)) => Ok(seq),
                Some(Err(e @ AppendError::Fenced { .. })) => Err(CommitFailure::Fenced(e.to_string())),
                Some(Err(e @ AppendError::Commit(_))) => Err(CommitFailure::Unavailable(e.to_string())),
                Some(Err(e)) => Err(CommitFailure::Conflict(e.to_string())),
                None => refused("the store says nothing"),
            };
        }
        if let Some(commit) = &mut e.commit {
            commit.results = Some(results);
        }
        Ok(())
    }

    /// The planted faults that write behind the fold's back: a task that is over is started again, a plan is made again.
    fn forge(&self, part: &Part) -> Option<Record> {
        let run = &self.world.journals.books.get(&part.run)?.run;
        let event = match self.world.fault? {
            Fault::TerminalLeft => {
                let over = run.tasks.iter().find(|t| t.status().is_terminal() && !t.attempts.is_empty())?;
                Event::AttemptStarted {
                    task: over.spec.id.clone(),
                    n: over.next_n(),
                    cause: windlass_events::event::Cause::Retry,
                    session: None,
                    model: None,
                }
            }
            Fault::PlanTwice => {
                let mut made = part.events.iter().map(|(_, e)| e);
                made.find(|e| matches!(e, Event::PlanMade { .. }))?.clone()
            }
            _ => return None,
        };
        let at = part.events.last().map_or(run.updated_at, |(at, _)| *at);
        event.to_json().ok().map(|body| Record { at, body })
    }

    /// Whether a job can go on.
    pub(crate) fn is_ready(&self, e: &Engine, job: &Job) -> bool {
        let w = &self.world;
        match job {
            Job::Work { order, stage } => match stage {
                Stage::Forked(id) => w.forked.contains_key(id),
                Stage::Watch { seen, .. } => w
                    .worker(&order.key)
                    .is_none_or(|worker| worker.frames.len() > *seen || !worker.is_locked()),
                _ => true,
            },
            Job::Stop { key } => !e.is_starting(key),
            Job::Steer { run, task, n, .. } => {
                !e.is_starting(&Key { run: *run, name: Name::Attempt(task.clone(), *n) })
            }
            Job::FreeTree { .. } | Job::FreeRun { .. } => !w.disk_full,
            _ => true,
        }
    }

    /// Does the next part of a job.
    pub(crate) fn job(&mut self, e: &mut Engine, by: u32, id: u64) -> Check {
        let Some(job) = e.jobs.remove(&id) else { return Ok(()) };
        self.log(|| format!("  job {job:?}"));
        if !matches!(job, Job::WantTree { .. }) {
            self.world.progress += 1;
        }
        let next = match job {
            Job::Work { order, stage } => {
                self.work(e, by, &order, stage).map(|stage| Job::Work { order, stage })
            }
            Job::Stop { key } => {
                if let Some(worker) = self.world.worker_mut(&key) {
                    worker.stop();
                }
                None
            }
            Job::Sweep { run, task, n } => {
                let key = Key { run, name: Name::Attempt(task.clone(), n) };
                let skipped = self.world.fault == Some(Fault::DirectChildOnly);
                let worker = self.world.worker_mut(&key).filter(|_| !skipped);
                let left = worker.map(|w| w.sweep()).unwrap_or_default();
                e.inbox.push_back(In::Run(run, Input::AttemptSwept { task, n, left }));
                None
            }
            Job::Keep { run, task, n, before } => {
                let input = if self.world.swarm.keep_fails && self.rng.chance(1, 10) {
                    Input::TreeNotKept { task, failure: Failure::new(ErrorClass::Internal, "git") }
                } else {
                    let root = e.machine.run(run).map(|r| r.spec.tree.root.clone()).unwrap_or_default();
                    let snapshot = self.kept(run, self.world.tree(&root));
                    Input::TreeKept { task, n, before, snapshot, head_was: None }
                };
                e.inbox.push_back(In::Run(run, input));
                None
            }
            Job::Expand { run, task, n } => {
                let made = e.machine.run(run).and_then(|r| growth::read(r, &task, n, self.world.salt));
                if let Some(made) = made {
                    e.inbox.push_back(In::Run(run, Input::Expanded { task, n, made }));
                }
                None
            }
            Job::Steer { run, id, task, n } => {
                let key = Key { run, name: Name::Attempt(task, n) };
                let twice = self.world.fault == Some(Fault::SteerTwice);
                let worker = self.world.worker_mut(&key).filter(|w| w.agent_runs() && w.is_locked());
                let error = match worker {
                    // Brought before, by this engine or a former one: the shim drops what has the same id.
                    Some(worker) if worker.steers.contains(&id) && !twice => String::new(),
                    Some(worker) => {
                        hold(!worker.steers.contains(&id), Law::Steer, || format!("{id} arrives twice"))?;
                        worker.steers.push(id.clone());
                        String::new()
                    }
                    None => "there is no live worker".to_owned(),
                };
                Some(Job::SteerSaid { run, id, error })
            }
            Job::SteerSaid { run, id, error } => {
                e.inbox.push_back(In::Run(run, Input::SteerDelivered { id, error }));
                None
            }
            Job::WantTree { root } => {
                self.want_tree(e, root);
                None
            }
            Job::FreeTree { lease } | Job::FreeRun { lease } => match self.world.store.release(&lease) {
                Ok(_) => None,
                Err(_) => Some(Job::FreeRun { lease }),
            },
        };
        if let Some(job) = next {
            e.jobs.insert(id, job);
        }
        Ok(())
    }

    fn kept(&mut self, run: RunId, tree: u64) -> Snapshot {
        let n = self.world.refs.entry(run).or_insert(0);
        *n += 1;
        Snapshot { n: *n, commit: format!("c{n}"), tree: format!("t{tree}"), head: None }
    }

    fn work(&mut self, e: &mut Engine, by: u32, order: &crate::worker::Order, stage: Stage) -> Option<Stage> {
        let key = &order.key;
        match stage {
            Stage::Begin => {
                let id = self.world.id();
                self.world.forks.insert(id, Fork { order: order.clone(), by });
                Some(Stage::Forked(id))
            }
            Stage::Forked(id) => match self.world.forked.remove(&id) {
                Some(true) => Some(Stage::Watch { seen: 0, adopted: false }),
                Some(false) => Some(Stage::Probe),
                None => Some(Stage::Forked(id)),
            },
            Stage::Probe if self.world.fault == Some(Fault::SecondStart) => {
                self.world.files.remove(key);
                Some(Stage::Begin)
            }
            Stage::Probe => match self.world.files.get(key) {
                Some(File::Of(_)) => Some(Stage::Watch { seen: 0, adopted: true }),
                Some(File::Tombstone) => {
                    self.report_absent(e, key);
                    None
                }
                // The claim is taken first, exclusively: a shim that comes late finds it. Only then it is said.
                None if self.world.fault != Some(Fault::NoTombstone) => {
                    self.world.files.insert(key.clone(), File::Tombstone);
                    Some(Stage::Probe)
                }
                None => {
                    self.report_absent(e, key);
                    None
                }
            },
            Stage::Watch { seen, adopted } => self.watch(e, key, seen, adopted),
            Stage::SweepGate => {
                if let Some(worker) = self.world.worker_mut(key) {
                    worker.sweep();
                }
                if let Name::Gate(gate) = &key.name {
                    e.inbox.push_back(In::Run(key.run, Input::GateLost { key: gate.clone() }));
                }
                None
            }
        }
    }

    fn report_absent(&mut self, e: &mut Engine, key: &Key) {
        let input = match &key.name {
            Name::Attempt(task, n) => {
                Input::AttemptAbsent { task: task.clone(), n: *n, reason: "no claim".into() }
            }
            Name::Gate(gate) => Input::GateLost { key: gate.clone() },
        };
        e.inbox.push_back(In::Run(key.run, input));
    }

    /// Follows a worker's file: its use as it goes, its end.
    fn watch(&mut self, e: &mut Engine, key: &Key, seen: usize, adopted: bool) -> Option<Stage> {
        let worker = self.world.worker(key)?;
        let frames = worker.frames.len();
        let session = worker.session();
        let mut usage = worker.usage();
        if self.world.fault == Some(Fault::OutputLost) {
            usage = worker.usage_before_exit();
        }
        if adopted
            && self.world.fault == Some(Fault::OutputReadTwice)
            && let Name::Attempt(task, n) = &key.name
            && let Some(known) =
                e.machine.run(key.run).and_then(|r| r.task_by_id(task)).and_then(|t| t.attempt(*n))
        {
            usage = usage.plus(&known.usage);
        }
        if worker.is_locked() {
            if frames > seen
                && let Name::Attempt(task, n) = &key.name
                && self.rng.chance(2, 3)
            {
                let input = Input::Observed { task: task.clone(), n: *n, usage, session };
                e.inbox.push_back(In::Run(key.run, input));
            }
            return Some(Stage::Watch { seen: frames, adopted });
        }
        let tree_now = self.world.tree(&worker.order.root);
        let (tree_was, reads) = (worker.tree, !worker.order.writes);
        let end = worker.end.as_ref().filter(|end| end.sweep.left.is_empty());
        let outcome = end.map(|end| worker.outcome(end));
        let input = match (&key.name, outcome) {
            (Name::Attempt(task, n), Some((outcome, class))) => {
                let end = AttemptEnd {
                    outcome,
                    usage,
                    session,
                    model: None,
                    result: None,
                    artifacts: vec![],
                    exit: None,
                    failure: class.map(|k| Failure::new(k, "x")),
                    verdict: None,
                };
                let touched = (reads && tree_was != tree_now)
                    .then(|| Box::new((self.kept(key.run, tree_was), self.kept(key.run, tree_now))));
                Input::AttemptEnded { task: task.clone(), n: *n, end: Box::new(end), touched }
            }
            (Name::Attempt(task, n), None) => {
                Input::AttemptLost { task: task.clone(), n: *n, usage, session, last: String::new() }
            }
            (Name::Gate(gate), Some((outcome, _))) => {
                let end = GateEnd {
                    outcome,
                    ms: 5,
                    tree_before: Some(format!("t{tree_was}")),
                    tree_after: Some(format!("t{tree_now}")),
                    tail: String::new(),
                    path: String::new(),
                };
                Input::GateEnded { key: gate.clone(), end: Box::new(end) }
            }
            (Name::Gate(_), None) => return Some(Stage::SweepGate),
        };
        e.inbox.push_back(In::Run(key.run, input));
        None
    }
}
