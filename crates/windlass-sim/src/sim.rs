//! One history: engines, workers and people take steps in an order that the seed decides.

use crate::engine::Engine;
use crate::fault::Fault;
use crate::law::{Check, Law, broken, hold};
use crate::rng::Rng;
use crate::shrink::Cut;
use crate::swarm::Swarm;
use crate::worker;
use crate::world::World;
use std::collections::{BTreeMap, VecDeque};
use windlass_engine::machine::Settings;
use windlass_events::{Event, RunId};
use windlass_store::{LeaseName, Owner, OwnerId, ReadStore};

/// Steps after which a history that goes on in a calm world is one that never ends.
pub(crate) const CALM_STEPS: u64 = 20_000;
/// Jumps of the clock in a row that change nothing, after which nothing ever will.
const IDLE_JUMPS: u32 = 40;

/// A request that somebody waits for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) run: RunId,
    pub(crate) engine: u32,
    pub(crate) creates: bool,
    /// Whether its events survive a power cut.
    pub(crate) synced: bool,
    pub(crate) answer: Option<Result<u64, String>>,
    /// Place of the last of people's words when it was answered: what must survive.
    pub(crate) rests_on: u64,
}

#[derive(Debug)]
pub(crate) struct Sim {
    pub(crate) rng: Rng,
    pub(crate) world: World,
    pub(crate) engines: BTreeMap<u32, Engine>,
    pub(crate) requests: BTreeMap<u64, Request>,
    pub(crate) runs: Vec<RunId>,
    /// The number of the next engine.
    pub(crate) next_engine: u32,
    pub(crate) calm: bool,
    pub(crate) steps: u64,
    pub(crate) crashes: u64,
    /// What people do yet, once it is calm, for runs that wait for them.
    pub(crate) help: u32,
    /// The most runs, and tasks that one is created with.
    pub(crate) most_runs: usize,
    pub(crate) most_tasks: u64,
    /// Whether what a run comes to is to depend on no clock and on no order of steps.
    pub(crate) repeatable: bool,
    idle: (u32, u64),
    log: Option<(usize, VecDeque<String>)>,
}

#[derive(Debug, Clone)]
enum Step {
    Perform(u32),
    Hear(u32),
    Commit(u32),
    Job(u32, u64),
    Open(u32, usize),
    Tick(u32),
    Release(u32, RunId),
    Snapshot(u32, RunId),
    Claim(u64),
    Worker(u64, worker::Move),
    Visit(RunId),
    Start,
}

impl Sim {
    pub(crate) fn new(seed: u64, fault: Option<Fault>, cut: &Cut, log: Option<usize>) -> Self {
        let mut rng = Rng::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5eed);
        let mut swarm = Swarm::new(&mut rng);
        for feature in &cut.without {
            swarm.take_away(feature);
        }
        swarm.length = swarm.length.min(cut.length.unwrap_or(u64::MAX));
        if cut.order > 0 {
            rng = Rng::new(rng.next() ^ cut.order);
        }
        let help = u32::try_from(rng.below(6)).unwrap_or(0);
        Self {
            rng,
            world: World::new(swarm, fault, seed),
            engines: BTreeMap::new(),
            requests: BTreeMap::new(),
            runs: Vec::new(),
            next_engine: 1,
            calm: false,
            steps: 0,
            crashes: 0,
            help,
            most_runs: cut.runs.unwrap_or(usize::MAX),
            most_tasks: cut.tasks.unwrap_or(u64::MAX),
            repeatable: false,
            idle: (0, 0),
            log: log.map(|most| (most, VecDeque::new())),
        }
    }

    pub(crate) fn log(&mut self, line: impl FnOnce() -> String) {
        if let Some((most, log)) = &mut self.log {
            if log.len() >= *most {
                log.pop_front();
            }
            log.push_back(format!("{:>6} {:>9} {}", self.steps, self.world.mono, line()));
        }
    }

    /// The last steps, oldest first.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.log.iter().flat_map(|(_, log)| log).cloned().collect()
    }

    /// The whole history.
    pub(crate) fn run(&mut self) -> Check {
        let swarm = self.world.swarm;
        self.log(|| format!("{swarm:?}"));
        self.start_engine(false);
        for _ in 0..=self.rng.below(2) {
            self.create();
        }
        while self.steps < self.world.swarm.length {
            if self.rng.chance(self.world.swarm.chaos, 1_000) {
                self.steps += 1;
                self.mischief()?;
            } else if !self.step()? && !self.mischief_left() {
                break;
            }
        }
        self.calm_down();
        let last = self.steps + CALM_STEPS;
        loop {
            if self.step()? {
                hold(self.steps < last, Law::Liveness, || "the history does not end".to_owned())?;
            } else if !self.help()? {
                break;
            }
        }
        self.finish()
    }

    fn mischief_left(&self) -> bool {
        self.world.swarm.chaos > 0
    }

    /// The world as it should be: nothing breaks any more, whoever stood still goes on.
    fn calm_down(&mut self) {
        self.log(|| "calm".to_owned());
        self.calm = true;
        let swarm = self.world.swarm;
        self.world.swarm = Swarm {
            conflict: false,
            lying_commit: false,
            duplicates: false,
            keep_fails: false,
            secrets: swarm.secrets,
            snapshots: swarm.snapshots,
            release: swarm.release,
            batches: swarm.batches,
            late_fork: swarm.late_fork,
            ..Swarm::default()
        };
        self.set_disk(false);
        // Clocks are right again; an engine's time had stood still while they were behind.
        self.world.wall = self.world.wall.max(self.world.latest);
        for e in self.engines.values_mut() {
            e.paused = false;
        }
    }

    pub(crate) fn set_disk(&mut self, full: bool) {
        self.world.disk_full = full;
        let path = std::path::PathBuf::from("/sim");
        self.world.store.set_failure(full.then_some(windlass_store::StoreError::DiskFull { path }));
    }

    pub(crate) fn start_engine(&mut self, takes_over: bool) {
        let id = self.next_engine;
        self.next_engine += 1;
        let Some(name) = OwnerId::parse(&format!("e{id}")) else { return };
        let owner = Owner { id: name, address: String::new(), vocabulary: windlass_events::VOCABULARY };
        self.world.alive.set(&owner.id, true);
        let settings = Settings {
            slots: 1 + u32::try_from(self.rng.below(4)).unwrap_or(0),
            boot: format!("boot{}", self.world.boot),
            version: "sim".into(),
            may_restart: !self.world.swarm.restart_waits,
        };
        self.log(|| format!("engine {id} starts, takes over: {takes_over}"));
        let mut engine = Engine::new(owner, settings);
        for run in self.runs.clone() {
            let open = self.is_open(run) && (takes_over || !self.is_led(run));
            if open {
                let at = self.world.wall;
                engine.to_open.push_back(crate::engine::Open { run, at, takeover: takes_over, asks: vec![] });
            }
        }
        self.engines.insert(id, engine);
    }

    /// Whether a run has a journal that is not at its end.
    pub(crate) fn is_open(&self, run: RunId) -> bool {
        self.world.journals.books.get(&run).is_some_and(|b| b.over.is_none())
    }

    /// Whether a run goes on without a person.
    fn is_active(&self, run: RunId) -> bool {
        self.is_open(run) && self.world.journals.books.get(&run).is_some_and(|b| b.run.blocked.is_none())
    }

    /// Whether a living engine holds its lease.
    pub(crate) fn is_led(&self, run: RunId) -> bool {
        let lease = self.world.store.lease(&LeaseName::Run(run)).ok().flatten();
        lease.and_then(|l| l.owner).is_some_and(|o| self.world.store.is_alive(&o.id))
    }

    fn steps_now(&self) -> Vec<Step> {
        let w = &self.world;
        let mut steps = Vec::new();
        for (&id, e) in self.engines.iter().filter(|(_, e)| !e.paused) {
            if !e.outbox.is_empty() {
                // The machine's thread hands out all it gave before it hears more.
                steps.extend([Step::Perform(id), Step::Perform(id)]);
            } else if !e.inbox.is_empty() {
                steps.extend([Step::Hear(id), Step::Hear(id)]);
            } else {
                if e.machine.next_due().is_some_and(|at| at <= w.wall) {
                    steps.push(Step::Tick(id));
                }
                if w.swarm.release && e.to_open.is_empty() {
                    let idle =
                        |run| e.machine.is_settled(run) && e.jobs.values().all(|j| j.run() != Some(run));
                    let over = e.machine.runs().find(|r| (r.is_ended() || r.blocked.is_some()) && idle(r.id));
                    steps.extend(over.map(|r| Step::Release(id, r.id)));
                }
                if w.swarm.snapshots && self.steps.is_multiple_of(16) {
                    let settled = e.machine.runs().find(|r| e.machine.is_settled(r.id));
                    steps.extend(settled.map(|r| Step::Snapshot(id, r.id)));
                }
            }
            if e.commit.is_some() {
                steps.push(Step::Commit(id));
            }
            steps.extend(e.jobs.iter().filter(|(_, j)| self.is_ready(e, j)).map(|(j, _)| Step::Job(id, *j)));
            let due = e.to_open.iter().position(|o| o.at <= w.wall);
            steps.extend(due.map(|i| Step::Open(id, i)));
        }
        steps.extend(w.forks.keys().map(|id| Step::Claim(*id)));
        let mut moves = Vec::new();
        for (id, worker) in &w.workers {
            worker.moves(w.mono, w.disk_full, &mut moves);
            steps.extend(moves.drain(..).map(|m| Step::Worker(*id, m)));
        }
        if self.engines.is_empty() {
            if self.runs.iter().any(|r| self.is_active(*r)) {
                steps.push(Step::Start);
            }
        } else {
            let lost = |run: &&RunId| {
                self.is_active(**run)
                    && !self.is_led(**run)
                    && self.engines.values().all(|e| !e.will_open(**run))
            };
            steps.extend(self.runs.iter().find(lost).map(|r| Step::Visit(*r)));
        }
        steps
    }

    /// One step, or a jump of the clock to the next thing that is due. `false`: nothing will happen by itself.
    pub(crate) fn step(&mut self) -> Check<bool> {
        self.steps += 1;
        let steps = self.steps_now();
        let Some(step) = self.rng.pick(&steps) else { return Ok(self.jump()) };
        let passed = self.rng.below(20);
        self.world.mono += passed;
        self.world.wall += i64::try_from(passed).unwrap_or(0);
        if self.log.is_some() && !matches!(step, Step::Perform(_) | Step::Hear(_) | Step::Job(..)) {
            let text = match &step {
                Step::Worker(id, _) => {
                    format!("{step:?} {:?}", self.world.workers.get(id).map(|w| &w.order.key.name))
                }
                _ => format!("{step:?}"),
            };
            self.log(|| text);
        } else {
            self.log(|| format!("{step:?}"));
        }
        self.take(step)?;
        Ok(true)
    }

    fn take(&mut self, step: Step) -> Check {
        match step {
            Step::Perform(id) => self.with(id, |sim, e| sim.perform(e)),
            Step::Hear(id) => {
                self.with(id, Self::hear)?;
                self.compare(id)
            }
            Step::Commit(id) => self.with(id, Self::commit),
            Step::Job(id, job) => self.with(id, |sim, e| sim.job(e, id, job)),
            Step::Open(id, index) => self.with(id, |sim, e| sim.open(e, index)),
            Step::Tick(id) => self.with(id, Self::tick),
            Step::Release(id, run) => self.with(id, |sim, e| {
                if e.machine.release(run).is_some()
                    && let Some(lease) = e.leases.remove(&run)
                {
                    let job = sim.world.id();
                    e.jobs.insert(job, crate::engine::Job::FreeRun { lease });
                }
                Ok(())
            }),
            Step::Snapshot(id, run) => self.with(id, |sim, e| {
                sim.snapshot(e, run);
                Ok(())
            }),
            Step::Claim(id) => self.world.claim(id, &mut self.rng),
            Step::Worker(id, what) => {
                let w = &mut self.world;
                let Some(worker) = w.workers.get_mut(&id) else { return Ok(()) };
                w.progress += 1;
                let tree = w.trees.entry(worker.order.root.clone()).or_insert(0);
                worker.make(what, w.mono, tree)
            }
            Step::Visit(run) => {
                let ids: Vec<u32> = self.engines.iter().filter(|(_, e)| !e.paused).map(|(i, _)| *i).collect();
                let at = self.world.wall;
                if let Some(e) = self.rng.pick(&ids).and_then(|id| self.engines.get_mut(&id)) {
                    e.to_open.push_back(crate::engine::Open { run, at, takeover: false, asks: vec![] });
                }
                Ok(())
            }
            Step::Start => {
                self.start_engine(false);
                Ok(())
            }
        }
    }

    /// Runs something on an engine with the rest of the world at hand.
    pub(crate) fn with(&mut self, id: u32, f: impl FnOnce(&mut Self, &mut Engine) -> Check) -> Check {
        let Some(mut e) = self.engines.remove(&id) else { return Ok(()) };
        let result = f(self, &mut e);
        self.engines.insert(id, e);
        result
    }

    /// Where an engine leads a run and waits for nothing of it, it holds what the journal says.
    fn compare(&self, id: u32) -> Check {
        let Some(e) = self.engines.get(&id) else { return Ok(()) };
        for run in e.machine.runs() {
            let lease = self.world.store.lease(&LeaseName::Run(run.id)).ok().flatten();
            let leads = lease.is_some_and(|l| Some(l.epoch) == e.machine.epoch(run.id));
            let other = self.world.fault.is_some_and(Fault::is_of_state);
            if !leads || !e.machine.is_settled(run.id) || other {
                continue;
            }
            let same = self.world.journals.books.get(&run.id).is_some_and(|b| b.run == *run);
            hold(same, Law::ReplayIsLive, || format!("engine {id} holds another state of {}", run.id))?;
        }
        Ok(())
    }

    /// To the next thing that is due by itself; `false` when nothing is.
    fn jump(&mut self) -> bool {
        let w = &self.world;
        let mut waits: Vec<i64> = Vec::new();
        for e in self.engines.values().filter(|e| !e.paused) {
            waits.extend(e.machine.next_due().map(|at| at - w.wall));
            waits.extend(e.to_open.iter().map(|o| o.at - w.wall));
        }
        for worker in w.workers.values() {
            waits.extend(worker.deadline().map(|at| i64::try_from(at).unwrap_or(i64::MAX) - signed(w.mono)));
        }
        let Some(wait) = waits.into_iter().filter(|w| *w > 0).min() else { return false };
        // Engines that ask each other for a tree go on for ever; everything else that is due comes to something.
        let timer =
            |e: &Engine| !e.to_open.is_empty() || e.machine.runs().any(|r| r.next_due(w.wall).is_some());
        let is_due = w.workers.values().any(|worker| worker.deadline().is_some())
            || self.engines.values().any(|e| !e.paused && timer(e));
        let (jumps, progress) = self.idle;
        self.idle = if is_due {
            (0, w.progress)
        } else if progress == w.progress {
            (jumps + 1, progress)
        } else {
            (0, w.progress)
        };
        if self.idle.0 > IDLE_JUMPS {
            self.idle.0 = 0;
            return false;
        }
        self.world.wall += wait;
        self.world.mono += u64::try_from(wait).unwrap_or(0);
        self.log(|| format!("{wait} ms pass"));
        true
    }

    /// An answer reaches whoever waits for it.
    pub(crate) fn answered(&mut self, id: u64, result: &Result<u64, String>) -> Check {
        let Some(request) = self.requests.get_mut(&id) else {
            return broken(Law::Answer, format!("an answer to request {id}, which nobody made"));
        };
        let head = self.world.journals.head(request.run);
        if let Ok(seq) = result {
            hold(*seq <= head, Law::Answer, || {
                format!("request {id} is answered with event {seq}, and {head} are durable")
            })?;
        }
        hold(request.answer.is_none(), Law::Answer, || format!("request {id} is answered twice"))?;
        request.answer = Some(result.clone());
        if let (Ok(seq), Some(book)) = (result, self.world.journals.books.get(&request.run)) {
            let before = (1..=*seq).zip(&book.events);
            request.rests_on = before.filter(|(_, (_, e))| is_word(e)).map(|(seq, _)| seq).max().unwrap_or(0);
        }
        Ok(())
    }

    pub(crate) fn withdraw(&mut self, id: u64) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.answer = Some(Err("another engine has it".into()));
        }
    }
}

/// Whether an event is what a person asked for.
const fn is_word(event: &Event) -> bool {
    matches!(
        event,
        Event::RunCreated(_)
            | Event::CancelRequested { .. }
            | Event::RunResumed { .. }
            | Event::TasksRetried { .. }
            | Event::ApprovalGiven { .. }
            | Event::ApprovalRefused { .. }
    )
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
