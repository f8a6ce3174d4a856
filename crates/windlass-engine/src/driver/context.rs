//! What every part of the driver shares: handles, and the homes of runs.

use crate::driver::projects::{Project, Projects};
use crate::driver::spare::Spares;
use crate::files::Compared;
use crate::machine::In;
use crate::paths::RunDir;
use crate::secrets::SecretMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::mpsc;
use windlass_api::status::LiveDoc;
use windlass_events::spec::RunSpec;
use windlass_events::{AttemptNo, Millis, RunId, TaskId};
use windlass_git::Git;
use windlass_worker::Nursery;

/// What reaches the engine's loop. A closed list: everything that can make the engine act is here.
#[derive(Debug)]
pub(crate) enum Msg {
    /// Something for the machine.
    In(In),
    /// A request of a host.
    Call(crate::driver::calls::CallIn),
    /// A request's slow part is done.
    Prepared(Box<crate::driver::calls::Ready>),
    /// Somebody watches a run.
    Watch(crate::driver::watch::Watcher),
    /// The first events of a watcher were read.
    CaughtUp(crate::driver::watch::CaughtUp),
    /// What a live worker does changed.
    Live(RunId),
    /// A worker or gate is over and its task has ended.
    Gone(Key),
    /// The lease of a tree was obtained.
    TreeLeased { root: String, run: RunId, lease: windlass_store::Lease },
    /// Requests were left with runs that are led here.
    Left(Vec<(RunId, Vec<windlass_store::StoredRequest>)>),
    /// The lease of a tree is not this engine's any more.
    TreeLost(String),
    /// A run has the turn in a tree that is wanted here, and nobody leads it.
    Meet(RunId),
    /// Workers can no longer be started from here.
    NurseryGone,
    /// Leave.
    Leave,
}

/// What is live: an attempt or a gate, by the name of its file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) run: RunId,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn attempt(run: RunId, task: &TaskId, n: AttemptNo) -> Self {
        Self { run, name: format!("{task}.{n}") }
    }

    pub(crate) fn gate(run: RunId, key: &windlass_events::event::GateKey) -> Self {
        Self { run, name: crate::paths::gate_name(key) }
    }
}

/// What an engine is given at its start.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Decisions.
    pub settings: crate::machine::Settings,
    /// This program.
    pub exe: PathBuf,
    /// Whether workers end with this process (`--no-daemon`).
    pub tied: bool,
    /// How long an idle engine stays up, in milliseconds; `None` for ever.
    pub idle_ms: Option<u64>,
    /// Programs that a sweep leaves alone.
    pub keep: Vec<String>,
    /// Where this engine answers.
    pub address: String,
}

/// What starts an engine when none is there: `exe` is this program.
pub fn successor(exe: &std::path::Path) -> Vec<OsString> {
    vec![exe.into(), "daemon".into(), "start".into(), "--quiet".into()]
}

/// Shared by all parts of the driver.
#[derive(Debug)]
pub(crate) struct Ctx {
    pub(crate) options: EngineOptions,
    pub(crate) projects: Projects,
    nursery: Nursery,
    pub(crate) tx: mpsc::UnboundedSender<Msg>,
    git: OnceLock<Option<Git>>,
}

impl Ctx {
    pub(crate) fn new(
        options: EngineOptions,
        projects: Projects,
        nursery: Nursery,
        tx: mpsc::UnboundedSender<Msg>,
    ) -> Self {
        Self { options, projects, nursery, tx, git: OnceLock::new() }
    }

    /// The machine's git, looked for once.
    pub(crate) fn git(&self) -> Option<&Git> {
        self.git.get_or_init(|| Git::find().ok()).as_ref()
    }

    /// Tells the loop. When it is gone, the process is leaving and nothing is owed.
    pub(crate) fn tell(&self, msg: Msg) {
        let _ = self.tx.send(msg);
    }

    /// Starts a shim. An engine that has lost its nursery leaves, so that the next one begins with a new one.
    pub(crate) fn spawn(
        &self,
        spec: &windlass_worker::ShimSpec,
        secrets: &windlass_worker::Secrets,
    ) -> Result<std::os::unix::net::UnixStream, windlass_worker::WorkerError> {
        let spawned = self.nursery.spawn(spec, secrets);
        if matches!(spawned, Err(windlass_worker::WorkerError::NurseryGone)) {
            self.tell(Msg::NurseryGone);
        }
        spawned
    }

    /// What a shim starts when its worker ends and no engine is there.
    pub(crate) fn revive(&self) -> Vec<OsString> {
        if self.options.tied {
            return Vec::new();
        }
        successor(&self.options.exe)
    }

    /// Tells the nursery whether there is something to do that goes on by itself.
    pub(crate) fn set_at_work(&self, at_work: bool) {
        self.nursery.set_at_work(at_work);
    }
}

/// What the driver knows of a run beside its state: it does not change while the run lives.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) run: RunId,
    pub(crate) spec: RunSpec,
    pub(crate) dir: RunDir,
    pub(crate) project: Arc<Project>,
    /// Secret values of its environment, once they are at hand.
    pub(crate) secrets: Mutex<Option<SecretMap>>,
    env: OnceLock<Vec<(OsString, OsString)>>,
    /// Folders for files to hand on.
    pub(crate) spares: Spares,
    /// Prompts that commands share.
    pub(crate) prompts: Compared,
}

impl Home {
    pub(crate) fn new(run: RunId, spec: RunSpec, project: Arc<Project>, secrets: Option<SecretMap>) -> Self {
        let dir = project.run_dir(run);
        Self {
            run,
            spec,
            dir,
            project,
            secrets: Mutex::new(secrets),
            env: OnceLock::new(),
            spares: Spares::default(),
            prompts: Compared::default(),
        }
    }

    /// The plain environment of its workers.
    pub(crate) fn env(&self) -> &[(OsString, OsString)] {
        self.env.get_or_init(|| self.spec.env.iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// The secret values, as a shim takes them. With `keys` false, without those of model providers: gates need none.
    pub(crate) fn secret_values(&self, keys: bool) -> windlass_worker::Secrets {
        // A poisoned lock only means that another thread failed while it held it; the map is whole.
        let held = self.secrets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut secrets = windlass_worker::Secrets::default();
        for (name, value) in held.iter().flatten() {
            if keys || !windlass_redact::env::is_provider_key(name) {
                secrets.env.push((name.into(), value.0.clone().into()));
            } else {
                secrets.redact.push(value.0.clone().into_bytes());
            }
        }
        secrets
    }

    pub(crate) fn set_secrets(&self, values: SecretMap) {
        *self.secrets.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(values);
    }
}

/// What a live worker does, for whoever looks.
pub(crate) type LiveCell = Arc<Mutex<LiveDoc>>;

/// Milliseconds since 1970. A wall clock that is set back does not take it back: the time since this process began counts on.
pub(crate) fn now() -> Millis {
    static BEGAN: OnceLock<(std::time::Instant, Millis)> = OnceLock::new();
    let wall = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| Millis::try_from(d.as_millis()).unwrap_or(Millis::MAX));
    let (began, at) = BEGAN.get_or_init(|| (std::time::Instant::now(), wall));
    let counted = Millis::try_from(began.elapsed().as_millis()).unwrap_or(Millis::MAX);
    wall.max(at.saturating_add(counted))
}
