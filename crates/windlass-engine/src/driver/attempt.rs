//! One attempt: start its worker or find it again, follow its spool, tell its end.

use crate::driver::context::{Ctx, Home, Key, LiveCell, Msg, now};
use crate::driver::follow::{Follower, Heard};
use crate::driver::launch::{self, Job};
use crate::driver::link::Link;
use crate::files;
use crate::machine::In;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use windlass_agents::{Launch, StartPlan};
use windlass_core::Input;
use windlass_events::event::{AttemptEnd, ResultRef, Snapshot};
use windlass_events::outcome::Failure;
use windlass_events::{ErrorClass, Outcome, RuntimeKind, Usage};
use windlass_worker::control::{FromShim, Refusal, StopReason, ToShim};
use windlass_worker::{DropRule, Limits, Probe, ShimSpec, StdinPlan, Stream, probe};

/// The most bytes of output that are kept of one attempt.
const OUTPUT_LIMIT: u64 = 1 << 30;
/// How long the engine waits before it tries again what the disk or the system refused.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// What the loop tells a live attempt or gate.
#[derive(Debug)]
pub(crate) enum Order {
    /// Stop the worker.
    Stop,
    /// Bring it a text.
    Steer {
        /// Request.
        id: String,
        /// Text.
        text: String,
    },
}

/// Carries an attempt from its start (or where a former engine left it) to its recorded end.
pub(crate) async fn run(
    ctx: Arc<Ctx>,
    home: Arc<Home>,
    job: Job,
    orders: mpsc::UnboundedReceiver<Order>,
    live: LiveCell,
) {
    let key = Key::attempt(home.run, &job.task.id, job.n);
    let input = carry(&ctx, &home, job, orders, live).await;
    ctx.tell(Msg::Gone(key));
    ctx.tell(Msg::In(In::Run(home.run, input)));
}

async fn carry(
    ctx: &Arc<Ctx>,
    home: &Arc<Home>,
    job: Job,
    mut orders: mpsc::UnboundedReceiver<Order>,
    live: LiveCell,
) -> Input {
    let spool = home.dir.spool(&job.task.id, job.n);
    let mut attempt = Attempt { ctx, home, job, live, follower: None, fresh: false, asked_to_stop: false };
    if attempt.job.recovering {
        match probe(&spool) {
            Ok(Probe::NoClaim) => {
                // A shim that a dying engine asked for may still come: once voided, it refuses.
                loop {
                    match windlass_worker::spool::void(&spool, &attempt.key()) {
                        Ok(true) => return attempt.absent("no worker was started for it"),
                        // It came in between.
                        Ok(false) => return attempt.wait_for_end(&spool, &mut orders).await,
                        // Until it is voided it may still begin, so nothing else may.
                        Err(_) => tokio::time::sleep(REFUSED_PAUSE).await,
                    }
                }
            }
            Ok(Probe::Ended { end, .. }) if end.stopped_by == Some(windlass_worker::StoppedBy::Voided) => {
                return attempt.absent("no worker was started for it");
            }
            Ok(Probe::Ended { .. }) => return attempt.conclude().await,
            Ok(Probe::Dead { .. }) => return attempt.lost(),
            Ok(Probe::Alive { claim }) => {
                if let Ok(link) = Link::connect(&claim.socket) {
                    return attempt.follow(link, &mut orders).await;
                }
                return attempt.wait_for_end(&spool, &mut orders).await;
            }
            Err(windlass_worker::spool::SpoolError::NoClaim) => {
                return attempt.absent("its claim was never completed");
            }
            Err(e) => {
                return attempt.failed(
                    Outcome::CannotStart,
                    Failure::new(
                        ErrorClass::Internal,
                        format!("the file of the attempt cannot be read: {e}"),
                    ),
                );
            }
        }
    }
    let launch = match launch::prepare(ctx, home, &mut attempt.job).await {
        Ok(launch) => launch,
        Err(failure) => return attempt.failed(Outcome::CannotStart, failure),
    };
    let plan = match launch {
        Launch::Nothing { files, result } => {
            for file in files {
                if let Err(e) = files::write(Path::new(&file.path), &file.bytes) {
                    return attempt.failed(
                        Outcome::CannotStart,
                        Failure::new(ErrorClass::Internal, format!("{} cannot be written: {e}", file.path)),
                    );
                }
            }
            return attempt.nothing(result);
        }
        Launch::Start(plan) => plan,
    };
    let spec = match attempt.shim_spec(&plan, &spool) {
        Ok(spec) => spec,
        Err(failure) => return attempt.failed(Outcome::CannotStart, failure),
    };
    let secrets = home.secret_values(true);
    let link = ctx
        .spawn(&spec, &secrets)
        .map_err(|e| e.to_string())
        .and_then(|stream| Link::new(stream).map_err(|e| e.to_string()));
    match link {
        Ok(link) => {
            attempt.fresh = true;
            attempt.follow(link, &mut orders).await
        }
        Err(e) => {
            tokio::time::sleep(REFUSED_PAUSE).await;
            match probe(&spool) {
                Ok(Probe::NoClaim) => attempt.absent(&e),
                _ => attempt.wait_for_end(&spool, &mut orders).await,
            }
        }
    }
}

struct Attempt<'a> {
    ctx: &'a Arc<Ctx>,
    home: &'a Arc<Home>,
    job: Job,
    live: LiveCell,
    follower: Option<Follower>,
    /// Whether its worker was asked for just now, and has not said a word.
    fresh: bool,
    /// Whether this engine asked for its end.
    asked_to_stop: bool,
}

impl Attempt<'_> {
    fn key(&self) -> windlass_worker::AttemptKey {
        windlass_worker::AttemptKey {
            run: self.home.run.to_string(),
            task: self.job.task.id.to_string(),
            n: self.job.n,
        }
    }

    fn absent(&self, reason: &str) -> Input {
        Input::AttemptAbsent { task: self.job.task.id.clone(), n: self.job.n, reason: reason.to_owned() }
    }

    fn failed(&self, outcome: Outcome, failure: Failure) -> Input {
        let end = AttemptEnd {
            outcome,
            usage: Usage::default(),
            session: None,
            model: None,
            result: None,
            artifacts: Vec::new(),
            exit: None,
            failure: Some(failure),
            verdict: None,
        };
        self.ended(end, None)
    }

    fn ended(&self, end: AttemptEnd, touched: Option<Box<(Snapshot, Snapshot)>>) -> Input {
        Input::AttemptEnded { task: self.job.task.id.clone(), n: self.job.n, end: Box::new(end), touched }
    }

    fn nothing(&self, text: String) -> Input {
        let result = self.keep_result(text.as_bytes(), false);
        let end = AttemptEnd {
            outcome: Outcome::Clean,
            usage: Usage::default(),
            session: None,
            model: None,
            result,
            artifacts: Vec::new(),
            exit: None,
            failure: None,
            verdict: None,
        };
        self.ended(end, None)
    }

    fn shim_spec(&self, plan: &StartPlan, spool: &std::path::Path) -> Result<ShimSpec, Failure> {
        let internal = |what: String| Failure::new(ErrorClass::Internal, what);
        for file in &plan.files {
            // Files named by their content are there already when another task was told the same.
            let same = self.job.task.runtime == RuntimeKind::Command
                && self.home.prompts.holds(Path::new(&file.path), &file.bytes);
            if same {
                continue;
            }
            files::write(Path::new(&file.path), &file.bytes)
                .map_err(|e| internal(format!("{} cannot be written: {e}", file.path)))?;
        }
        let mut argv = plan.argv.iter();
        let program = argv.next().ok_or_else(|| internal("there is no program to start".into()))?;
        let mut env: Vec<_> = self.home.env().to_vec();
        for (name, value) in &plan.env {
            env.retain(|(n, _)| n != name.as_str());
            env.push((name.into(), value.into()));
        }
        let drop = |prefix: &Vec<u8>| DropRule { stream: Stream::Stdout, prefix: prefix.clone() };
        let name = format!("{}.{}", self.job.task.id, self.job.n);
        Ok(ShimSpec {
            key: self.key(),
            spool: spool.to_owned(),
            socket: self.ctx.projects.paths().shim_socket(self.home.run, &name),
            marker: launch::marker(),
            program: program.into(),
            args: argv.map(Into::into).collect(),
            cwd: self.home.spec.cwd.clone().into(),
            env,
            umask: None,
            stdin: match &plan.stdin {
                windlass_agents::Stdin::Null => StdinPlan::Null,
                windlass_agents::Stdin::Bytes(b) => StdinPlan::Bytes(b.clone()),
                windlass_agents::Stdin::OpenWith(b) => StdinPlan::Open(b.clone()),
            },
            limits: Limits {
                silence_ms: (self.job.task.silence_ms > 0).then_some(self.job.task.silence_ms),
                wall_ms: (self.job.task.wall_ms > 0).then_some(self.job.task.wall_ms),
                output_bytes: Some(OUTPUT_LIMIT),
            },
            stop: windlass_worker::StopPlan {
                abort: plan.stop.abort.clone().unwrap_or_default(),
                close_stdin: false,
                abort_grace_ms: plan.stop.abort_grace_ms.min(1_500),
                signal: plan.stop.signal,
                whole_group: false,
                term_grace_ms: plan.stop.signal_grace_ms.min(2_000),
                linger_ms: plan.stop.linger_ms,
            },
            drops: plan.drop_prefixes.iter().map(drop).collect(),
            settled_on: plan.close_stdin_on.iter().map(drop).collect(),
            keep: self.ctx.options.keep.clone(),
            tied: self.ctx.options.tied,
            revive: self.ctx.revive(),
        })
    }

    /// Follows a live worker to its end.
    async fn follow(&mut self, mut link: Link, orders: &mut mpsc::UnboundedReceiver<Order>) -> Input {
        let spool = self.home.dir.spool(&self.job.task.id, self.job.n);
        // Texts that the shim has not answered for.
        let mut stdin_of: Vec<(u64, String)> = Vec::new();
        loop {
            tokio::select! {
                message = link.next() => match message {
                    // Of a worker that was just asked for there is nothing but its claim.
                    Some(FromShim::Hello { .. }) if std::mem::take(&mut self.fresh) => self.show_command(),
                    Some(FromShim::Hello { .. }) => {
                        self.hear(&spool, &mut link).await;
                    }
                    Some(FromShim::Bytes { .. }) => {
                        self.hear(&spool, &mut link).await;
                    }
                    Some(FromShim::Stopping { .. }) => {
                        self.set_live(|live| live.state = windlass_api::status::LiveState::Stopping);
                    }
                    Some(FromShim::StdinFailed { id, text }) => {
                        if let Some(i) = stdin_of.iter().position(|(n, _)| *n == id) {
                            let (_, request) = stdin_of.swap_remove(i);
                            self.tell(Input::SteerDelivered { id: request, error: text });
                        }
                    }
                    // Whether the agent takes it as it is meant, the agent itself says.
                    Some(FromShim::StdinWritten { id }) => stdin_of.retain(|(n, _)| *n != id),
                    Some(FromShim::Refused { why: Refusal::AlreadyClaimed, .. }) => {
                        return self.wait_for_end(&spool, orders).await;
                    }
                    Some(FromShim::Refused { text, .. }) => {
                        tokio::time::sleep(REFUSED_PAUSE).await;
                        return self.absent(&text);
                    }
                    Some(FromShim::Ended { .. }) => return self.conclude().await,
                    Some(FromShim::Unknown(_)) => {}
                    None => return self.wait_for_end(&spool, orders).await,
                },
                order = orders.recv() => match order {
                    Some(Order::Stop) => {
                        self.asked_to_stop = true;
                        link.send(&ToShim::Stop { reason: StopReason::Cancel }).await;
                    }
                    Some(Order::Steer { id, text }) => {
                        if self.job.recovering && self.follower.is_none() {
                            // A former engine may have said it: the worker's answer is in the spool.
                            self.hear(&spool, &mut link).await;
                        }
                        let adapter = windlass_agents::adapter(self.job.task.runtime);
                        let answered = self.follower.as_ref().is_some_and(|f| f.answered(&id));
                        match adapter.and_then(|a| a.steer(&id, &text)) {
                            _ if answered => self.tell(Input::SteerDelivered { id, error: String::new() }),
                            Some(bytes) => {
                                // The same from every engine: what a former one has sent is not written twice.
                                let stdin = stdin_id(&id);
                                link.send(&ToShim::Stdin { id: stdin, bytes }).await;
                                stdin_of.push((stdin, id));
                            }
                            None => self.tell(Input::SteerDelivered {
                                id,
                                error: format!("runtime `{}` cannot be spoken to while it works", self.job.task.runtime),
                            }),
                        }
                    }
                    // The loop is gone: this process is leaving, and the worker goes on by itself.
                    None => std::future::pending().await,
                },
            }
        }
    }

    /// Nothing of a command's output means anything before its end but its last line.
    fn show_command(&self) {
        if self.job.task.runtime == RuntimeKind::Command && self.follower.is_none() && !self.job.recovering {
            self.set_live(|live| live.state = windlass_api::status::LiveState::Writing);
        }
    }

    /// Reads what the spool has grown by and acts on it.
    async fn hear(&mut self, spool: &std::path::Path, link: &mut Link) {
        self.show_command();
        let follower = match self.follower.take() {
            Some(f) => f,
            None => {
                let opened = match self.job.task.runtime {
                    RuntimeKind::Command => Follower::glance(spool),
                    kind => Follower::open(spool, kind, self.job.session_id()),
                };
                match opened {
                    Ok(f) => f,
                    Err(_) => return,
                }
            }
        };
        let follower = self.follower.insert(follower);
        loop {
            let more = follower.read_some();
            for heard in follower.take_heard() {
                match heard {
                    Heard::Question { decline } => link.send(&ToShim::Stdin { id: 0, bytes: decline }).await,
                    Heard::Steered { id, error } => {
                        let input = Input::SteerDelivered { id, error: error.unwrap_or_default() };
                        self.ctx.tell(Msg::In(In::Run(self.home.run, input)));
                    }
                }
            }
            if !more {
                break;
            }
            tokio::task::yield_now().await;
        }
        if follower.take_changed() {
            let doc = follower.live(now());
            *self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = doc;
            self.ctx.tell(Msg::Live(self.home.run));
        }
        if let Some((usage, session)) = follower.take_observed() {
            let input = Input::Observed { task: self.job.task.id.clone(), n: self.job.n, usage, session };
            self.tell(input);
        }
    }

    fn tell(&self, input: Input) {
        self.ctx.tell(Msg::In(In::Run(self.home.run, input)));
    }

    fn set_live(&self, change: impl FnOnce(&mut windlass_api::status::LiveDoc)) {
        change(&mut self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        self.ctx.tell(Msg::Live(self.home.run));
    }

    /// A shim that cannot be spoken to: its file tells when it is over.
    async fn wait_for_end(
        &mut self,
        spool: &std::path::Path,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Input {
        loop {
            match probe(spool) {
                Ok(Probe::Ended { end, .. })
                    if end.stopped_by == Some(windlass_worker::StoppedBy::Voided) =>
                {
                    return self.absent("no worker was started for it");
                }
                Ok(Probe::Ended { .. }) => return self.conclude().await,
                Ok(Probe::Dead { .. }) => return self.lost(),
                Ok(Probe::Alive { claim }) => {
                    // It may only be slow to listen.
                    if let Ok(link) = Link::connect(&claim.socket) {
                        return Box::pin(self.follow(link, orders)).await;
                    }
                    match orders.try_recv() {
                        Ok(Order::Stop) => {
                            self.asked_to_stop = true;
                            // Its own signal makes a shim end its worker as a message would.
                            let _ = claim.shim.signal(windlass_agents::adapter::SIGTERM);
                        }
                        Ok(Order::Steer { id, .. }) => {
                            self.tell(Input::SteerDelivered {
                                id,
                                error: "the worker cannot be reached".to_owned(),
                            });
                        }
                        Err(_) => {}
                    }
                }
                Ok(Probe::NoClaim) | Err(windlass_worker::spool::SpoolError::NoClaim) => {
                    return self.absent("no worker was started for it");
                }
                Err(e) => {
                    return self.failed(
                        Outcome::CannotStart,
                        Failure::new(
                            ErrorClass::Internal,
                            format!("the file of the attempt cannot be read: {e}"),
                        ),
                    );
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn lost(&mut self) -> Input {
        let spool = self.home.dir.spool(&self.job.task.id, self.job.n);
        let mut follower = self
            .follower
            .take()
            .or_else(|| Follower::open(&spool, self.job.task.runtime, self.job.session_id()).ok());
        let mut usage = Usage::default();
        let (mut session, mut last) = (None, String::new());
        if let Some(follower) = &mut follower {
            while follower.read_some() {}
            (usage, session, last) = follower.so_far();
        }
        if self.job.task.runtime.is_model() {
            // It may never have said its session, which is then the one that it was given. Whether there is a record of it
            // is looked up before it is continued.
            session = session.or_else(|| self.job.session_id().map(str::to_owned));
        }
        Input::AttemptLost { task: self.job.task.id.clone(), n: self.job.n, usage, session, last }
    }

    /// Reads the rest of the spool and says what the attempt came to.
    async fn conclude(&mut self) -> Input {
        let spool = self.home.dir.spool(&self.job.task.id, self.job.n);
        let follower = match self.follower.take().filter(|f| !f.is_glance()) {
            Some(f) => Ok(f),
            None => Follower::open(&spool, self.job.task.runtime, self.job.session_id()),
        };
        let ending = match follower.and_then(|mut f| {
            while f.read_some() {}
            if f.is_lost(self.asked_to_stop) { Ok(None) } else { f.finish().map(Some) }
        }) {
            Ok(Some(ending)) => ending,
            Ok(None) => return self.lost(),
            Err(e) => {
                return self.failed(
                    Outcome::CannotStart,
                    Failure::new(ErrorClass::Internal, format!("what the worker wrote cannot be read: {e}")),
                );
            }
        };
        let (redacted, exit) = (ending.redacted, ending.exit);
        let ending = ending.ending;
        let mut end = AttemptEnd {
            outcome: ending.outcome,
            usage: ending.usage,
            session: ending.session.or_else(|| self.job.session.clone()),
            model: ending.model,
            result: None,
            artifacts: Vec::new(),
            exit,
            failure: ending.failure,
            verdict: None,
        };
        if let (true, Some(bytes)) = (ending.truncated, &ending.result) {
            let text = format!(
                "the result of {task} is the first {} bytes of what it said; `windlass logs {run}/{task} --raw` has all of it",
                bytes.len(),
                run = self.home.run,
                task = self.job.task.id,
            );
            self.tell(Input::Notice { text });
        }
        if let Some(bytes) = &ending.result {
            if self.job.task.cold {
                end.verdict = windlass_agents::verdict(&String::from_utf8_lossy(bytes));
            }
            if !bytes.is_empty() {
                end.result = self.keep_result(bytes, redacted);
                if end.result.is_none() && end.outcome.is_clean() {
                    tokio::time::sleep(REFUSED_PAUSE).await;
                    end.result = self.keep_result(bytes, redacted);
                }
            }
        }
        let (artifacts, is_empty) = self.artifacts();
        end.artifacts = artifacts;
        if is_empty && end.outcome.is_clean() {
            self.home.spares.give(self.home.dir.artifacts(&self.job.task.id));
        }
        let touched = launch::touched(self.ctx, self.home, &self.job).await;
        self.ended(end, touched)
    }

    /// Keeps a result as a file of its own; the spool has it too.
    fn keep_result(&self, bytes: &[u8], redacted: bool) -> Option<ResultRef> {
        let path = crate::paths::RunDir::result_name(&self.job.task.id, self.job.n);
        files::write(&self.home.dir.0.join(&path), bytes).ok()?;
        Some(ResultRef {
            path,
            hash: blake3::hash(bytes).to_hex().to_string(),
            bytes: bytes.len() as u64,
            redacted,
        })
    }

    /// Files that the worker left to hand on: regular files, at most 1,000, in the order of their names; and
    /// whether the folder is there and has nothing in it at all.
    fn artifacts(&self) -> (Vec<ResultRef>, bool) {
        let folder = self.home.dir.artifacts(&self.job.task.id);
        let Ok(entries) = std::fs::read_dir(&folder) else { return (Vec::new(), false) };
        let mut all = Vec::new();
        let mut is_empty = true;
        for entry in entries.take(1_000) {
            // What cannot be looked at is there all the same.
            is_empty = false;
            let Ok(entry) = entry else { continue };
            let is_file = entry.file_type().is_ok_and(|t| t.is_file());
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if !is_file || name.chars().any(char::is_control) {
                continue;
            }
            let Ok(file) = std::fs::File::open(entry.path()) else { continue };
            let mut hasher = blake3::Hasher::new();
            let Ok(bytes) = std::io::copy(&mut std::io::BufReader::new(file), &mut hasher) else { continue };
            all.push(ResultRef {
                path: format!("artifacts/{}/{name}", self.job.task.id),
                hash: hasher.finalize().to_hex().to_string(),
                bytes,
                redacted: false,
            });
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        (all, is_empty)
    }
}

/// The id under which a shim is given a text of a person.
fn stdin_id(request: &str) -> u64 {
    let hash = blake3::hash(request.as_bytes());
    hash.as_bytes().first_chunk().map_or(1, |bytes| u64::from_le_bytes(*bytes).max(1))
}

/// Sleeps until an instant, or for ever.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Sweeps what a lost attempt left behind.
pub(crate) async fn sweep(ctx: Arc<Ctx>, home: Arc<Home>, task: windlass_events::TaskId, n: u32) {
    let spool = home.dir.spool(&task, n);
    let keep = ctx.options.keep.clone();
    let report = tokio::task::spawn_blocking(move || match probe(&spool) {
        Ok(Probe::Dead { claim }) => sweep_dead(&spool, &claim.marker, &keep),
        // No claim: nothing was ever started under it. An end record: its shim swept.
        Ok(Probe::NoClaim | Probe::Ended { .. }) | Err(windlass_worker::spool::SpoolError::NoClaim) => {
            Vec::new()
        }
        Ok(Probe::Alive { claim }) => vec![format!("its shim ({})", claim.shim.pid)],
        Err(e) => vec![format!("unknown processes ({e})")],
    })
    .await
    .unwrap_or_else(|_| vec!["unknown processes".to_owned()]);
    ctx.tell(Msg::In(In::Run(home.run, Input::AttemptSwept { task, n, left: report })));
}

/// Ends what a killed shim left behind, and names what could not be proved gone. Blocking, up to four seconds.
pub(crate) fn sweep_dead(spool: &std::path::Path, marker: &str, keep: &[String]) -> Vec<String> {
    let mut agent = None;
    if let Ok(mut reader) = windlass_worker::SpoolReader::open(spool) {
        while let Ok(Some(frame)) = reader.next_frame() {
            if frame.kind == windlass_worker::spool::FrameKind::Started {
                let started = serde_json::from_slice::<windlass_worker::record::Started>(frame.data);
                agent = started.ok().map(|s| s.agent);
                break;
            }
        }
    }
    match windlass_worker::sweep_marked(marker, agent, keep) {
        Ok(report) => report.left.iter().map(|p| format!("{} ({})", p.name, p.process.pid)).collect(),
        Err(e) => vec![format!("unknown processes ({e})")],
    }
}
