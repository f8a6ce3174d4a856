//! What breaks in the world, and what people do in it.

use crate::engine::Open;
use crate::law::{Check, Law, hold};
use crate::sim::{Request, Sim};
use crate::spec;
use windlass_core::Input;
use windlass_engine::machine::In;
use windlass_events::event::WaitFor;
use windlass_events::spec::{Caps, RedGate};
use windlass_events::{RunId, RunStatus, TaskId};
use windlass_store::{LeaseName, Store};

/// Most engines, and most runs, of a history.
const ENGINES: usize = 3;
const RUNS: usize = 3;

impl Sim {
    /// Something goes wrong, or somebody does something, if this seed has it.
    pub(crate) fn mischief(&mut self) -> Check {
        let s = self.world.swarm;
        match self.rng.below(17) {
            0 | 1 if s.engine_crash => self.crash_engine(),
            2 if s.takeover => self.take_over(),
            3 if s.engines && self.engines.len() < ENGINES => self.start_engine(false),
            4 if s.shim_kill => {
                if let Some(id) = self.any_worker() {
                    self.crashes += 1;
                    self.log(|| format!("kill -9 of shim {id}"));
                    if let Some(w) = self.world.workers.get_mut(&id) {
                        w.kill_shim();
                    }
                }
            }
            5 if s.agent_kill => {
                if let Some(id) = self.any_worker() {
                    self.crashes += 1;
                    self.log(|| format!("kill -9 of agent {id}"));
                    if let Some(w) = self.world.workers.get_mut(&id) {
                        w.kill_agent();
                    }
                }
            }
            6 if s.power_cut && self.rng.chance(1, 3) => return self.cut_power(),
            7 | 8 if s.disk_full => {
                let full = !self.world.disk_full;
                self.log(|| format!("disk full: {full}"));
                self.set_disk(full);
            }
            9 if s.clock => {
                let by = self.rng.pick(&[-3_600_000, -5_000, 700, 60_000, 7_200_000]).unwrap_or(0);
                self.log(|| format!("the clock is set by {by} ms"));
                self.world.latest = self.world.latest.max(self.world.wall);
                self.world.wall += by;
            }
            10 | 11 if s.people => self.ask(),
            12 if s.people && self.runs.len() < RUNS => self.create(),
            13 if s.steers => self.steer(),
            14 if s.secrets => self.bring_secrets(),
            16 if s.suspend => {
                let ms = self.rng.pick(&[1_000, 60_000, 8 * 3_600_000]).unwrap_or(1_000);
                self.log(|| format!("the machine sleeps for {ms} ms"));
                self.world.wall += ms;
            }
            15 if s.takeover => self.engines.values_mut().for_each(|e| e.paused = false),
            _ => {}
        }
        Ok(())
    }

    fn any_worker(&mut self) -> Option<u64> {
        let alive: Vec<u64> =
            self.world.workers.iter().filter(|(_, w)| w.is_locked()).map(|(id, _)| *id).collect();
        self.rng.pick(&alive)
    }

    fn any_engine(&mut self) -> Option<u32> {
        let ids: Vec<u32> = self.engines.iter().filter(|(_, e)| !e.paused).map(|(id, _)| *id).collect();
        self.rng.pick(&ids)
    }

    pub(crate) fn crash_engine(&mut self) {
        let ids: Vec<u32> = self.engines.keys().copied().collect();
        if let Some(id) = self.rng.pick(&ids) {
            self.crash(id);
        }
    }

    fn crash(&mut self, id: u32) {
        let Some(e) = self.engines.remove(&id) else { return };
        self.log(|| format!("kill -9 of engine {id}"));
        self.crashes += 1;
        self.world.alive.set(&e.owner.id, false);
        if !self.world.swarm.late_fork {
            self.world.forks.retain(|_, f| f.by != id);
        }
    }

    /// An engine stands still; a person tells another to take its runs over.
    fn take_over(&mut self) {
        if self.engines.len() >= ENGINES {
            return;
        }
        let Some(id) = self.any_engine() else { return };
        self.log(|| format!("engine {id} stands still"));
        if let Some(e) = self.engines.get_mut(&id) {
            e.paused = true;
        }
        self.start_engine(true);
    }

    fn cut_power(&mut self) -> Check {
        self.log(|| "power cut".to_owned());
        self.crashes += 1;
        for e in self.engines.values() {
            self.world.alive.set(&e.owner.id, false);
        }
        self.engines.clear();
        let torn = self.world.swarm.torn.then(|| self.rng.index(4));
        self.world.power_cut(torn.unwrap_or(0))?;
        for (id, request) in &self.requests {
            if let (Some(Ok(_)), true) = (&request.answer, request.synced) {
                let seq = request.rests_on;
                let head = self.world.journals.head(request.run);
                hold(seq <= head, Law::Sync, || {
                    format!(
                        "request {id} was answered with event {seq} of {}, and {head} survive",
                        request.run
                    )
                })?;
            }
        }
        Ok(())
    }

    /// A person wants a run.
    pub(crate) fn create(&mut self) {
        if self.runs.len() >= self.most_runs {
            return;
        }
        let Some(id) = self.any_engine() else { return };
        let run = RunId::from_number(self.rng.next());
        let mut events = spec::creation(&mut self.rng, &self.world.swarm, self.most_tasks);
        if self.repeatable {
            events.iter_mut().for_each(spec::steady);
        }
        let request = self.request(run, id, true, true);
        let secrets = !self.world.swarm.secrets || self.rng.coin();
        let Some(e) = self.engines.get_mut(&id) else { return };
        match self.world.store.acquire(&LeaseName::Run(run), &e.owner, self.world.wall, false) {
            Ok(lease) => {
                let epoch = lease.epoch;
                e.leases.insert(run, lease);
                e.inbox.push_back(In::Create { request, run, epoch, events, secrets });
                self.runs.push(run);
                self.log(|| format!("somebody wants run {run}"));
            }
            Err(_) => self.withdraw(request),
        }
    }

    fn request(&mut self, run: RunId, engine: u32, creates: bool, synced: bool) -> u64 {
        let id = self.world.id();
        self.requests.insert(id, Request { run, engine, creates, synced, answer: None, rests_on: 0 });
        id
    }

    fn ask(&mut self) {
        let Some(run) = self.rng.pick(&self.runs) else { return };
        let task = self.any_task(run);
        let asks = self.world.journals.books.get(&run).is_some_and(|b| b.run.asked.is_some());
        if asks && self.rng.coin() {
            let input = self.verdict(run);
            // Some answer twice.
            if self.rng.chance(1, 4) {
                self.put(run, input.clone());
            }
            self.put(run, input);
            return;
        }
        let input = match self.rng.below(11) {
            0 | 1 => Input::Retry { tasks: vec![] },
            2 => Input::Cancel { task: None, by: "user".into() },
            3 => Input::Cancel { task: Some(task), by: "user".into() },
            4 => Input::Resume { caps: None },
            5 => Input::Resume { caps: Some(spec::caps(&mut self.rng)) },
            6 => Input::Retry { tasks: vec![task] },
            7 => Input::Resume { caps: Some(Caps::default()) },
            // Whether anything is asked or not.
            8 => self.verdict(run),
            _ => self.settle(),
        };
        self.put(run, input);
    }

    fn any_task(&mut self, run: RunId) -> TaskId {
        let known: Vec<TaskId> = match self.world.journals.books.get(&run) {
            Some(book) if self.rng.coin() => book.run.tasks.iter().map(|t| t.spec.id.clone()).collect(),
            _ => Vec::new(),
        };
        self.rng.pick(&known).unwrap_or_else(|| spec::id(self.rng.below(8)))
    }

    /// What a person says of the plan, perhaps of another one than is asked about by now.
    fn verdict(&mut self, run: RunId) -> Input {
        let asked = self.world.journals.books.get(&run).and_then(|b| b.run.asked).map(|asked| asked.question);
        let before = asked.map(|question| question.saturating_sub(1));
        let by = "user".to_owned();
        match self.rng.below(8) {
            0 => Input::Reject { question: asked, text: String::new(), by },
            1 | 2 => Input::Reject { question: asked, text: "otherwise".to_owned(), by },
            3 => Input::Approve { question: before, by },
            4 | 5 => Input::Approve { question: asked, by },
            _ => Input::Approve { question: None, by },
        }
    }

    fn settle(&mut self) -> Input {
        let answers = [RedGate::Mend, RedGate::LeaveOut, RedGate::Stop];
        Input::SettleGates { answer: self.rng.pick(&answers).unwrap_or(RedGate::Mend) }
    }

    fn steer(&mut self) {
        let live: Vec<_> = self
            .world
            .workers
            .values()
            .filter(|w| w.is_locked())
            .filter_map(|w| Some((w.order.key.run, w.order.key.name.task()?.clone())))
            .collect();
        if let Some((run, task)) = self.rng.pick(&live) {
            let id = format!("s{}", self.world.id());
            self.put(run, Input::Steer { id, task, text: "go".into() });
        }
    }

    /// A request goes to whoever leads the run, or to an engine that will.
    pub(crate) fn put(&mut self, run: RunId, input: Input) {
        let leads = self.engines.iter().find(|(_, e)| !e.paused && e.machine.run(run).is_some());
        let id = match leads {
            Some((id, _)) => *id,
            None => match self.any_engine() {
                Some(id) => id,
                None => return,
            },
        };
        if !self.world.journals.books.contains_key(&run) {
            return;
        }
        self.log(|| format!("somebody asks engine {id} for {input:?} of {run}"));
        if matches!(input, Input::Retry { .. } | Input::Resume { .. } | Input::Reject { .. }) {
            *self.world.words.entry(run).or_insert(0) += 1;
        }
        if matches!(input, Input::Approve { .. }) {
            *self.world.approvals.entry(run).or_insert(0) += 1;
        }
        let synced = matches!(
            input,
            Input::Retry { .. }
                | Input::Resume { .. }
                | Input::Cancel { .. }
                | Input::Approve { .. }
                | Input::Reject { .. }
        );
        let request = self.request(run, id, false, synced);
        let at = self.world.wall;
        let Some(e) = self.engines.get_mut(&id) else { return };
        if e.machine.run(run).is_some() {
            e.inbox.push_back(In::Ask { request, run, input });
        } else {
            e.to_open.push_back(Open { run, at, takeover: false, asks: vec![(request, input)] });
        }
    }

    fn bring_secrets(&mut self) {
        let runs = self.runs.clone();
        for e in self.engines.values_mut() {
            e.inbox.extend(runs.iter().map(|r| In::Secrets(*r)));
        }
    }

    /// In a calm world: people do what runs wait for, a few times. `false`: they leave it at that.
    pub(crate) fn help(&mut self) -> Check<bool> {
        if self.help == 0 {
            return Ok(false);
        }
        for run in self.runs.clone() {
            let Some(book) = self.world.journals.books.get(&run) else { continue };
            let state = &book.run;
            let input = match (state.status(), state.waiting.as_ref().map(|w| w.0)) {
                (RunStatus::Waiting, Some(WaitFor::Answer)) => self.settle(),
                (RunStatus::Waiting, _) if state.asked.is_some() && !state.restarted => self.verdict(run),
                (RunStatus::Waiting, Some(WaitFor::Restart)) => Input::Resume { caps: None },
                (RunStatus::Waiting, Some(WaitFor::Environment)) => {
                    self.help -= 1;
                    self.bring_secrets();
                    return Ok(true);
                }
                (RunStatus::Blocked, _) => match self.rng.below(3) {
                    0 => Input::Resume { caps: Some(Caps::default()) },
                    1 => Input::Retry { tasks: vec![] },
                    _ => Input::Cancel { task: None, by: "user".into() },
                },
                (RunStatus::Failed | RunStatus::Cancelled, _) => Input::Retry { tasks: vec![] },
                _ => continue,
            };
            self.help -= 1;
            self.put(run, input);
            return Ok(true);
        }
        Ok(false)
    }
}
