//! Reaching an engine: the user's daemon, started when needed, or one in this process.

use crate::context::Context;
use crate::handover;
use anyhow::Context as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use windlass_api::version::is_newer;
use windlass_api::{ApiError, Client, ClientError, ErrorKind, Reply, Request};
use windlass_engine::driver::Left;
use windlass_engine::machine::Settings;
use windlass_engine::{Engine, EngineOptions};
use windlass_engine::{query, stored};
use windlass_events::RunId;
use windlass_server::Socket;
use windlass_worker::Nursery;

/// How long a started daemon may take to answer.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How many older daemons a command replaces one after the other, before it makes do with what is there.
const MOST_REPLACED: u32 = 5;

/// The version as every part says it. A debug build can be made to say another one, for the tests of upgrades.
pub(crate) fn version() -> &'static str {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        static SAID: OnceLock<Option<String>> = OnceLock::new();
        if let Some(said) = SAID.get_or_init(|| std::env::var("WINDLASS_TEST_VERSION").ok()) {
            return said;
        }
    }
    env!("CARGO_PKG_VERSION")
}

/// A connection to the daemon, which is started when it does not run, and replaced when it is older than this program.
pub(crate) fn daemon(context: &Context) -> Result<Client, ApiError> {
    connect(context).map_err(ClientError::into_api)
}

fn connect(context: &Context) -> Result<Client, ClientError> {
    let until = Instant::now() + START_LIMIT;
    loop {
        match reach(context) {
            Err(e) if is_gone(&e) && Instant::now() < until => {
                start(context).map_err(cannot_start(context))?
            }
            Err(e) if is_gone(&e) => {
                let log = context.paths.daemon_log();
                return Err(ApiError::new(ErrorKind::Missing, format!("the daemon does not answer: {e}"))
                    .hint(format!("see {}", log.display()))
                    .into());
            }
            other => return other,
        }
    }
}

/// A connection to the daemon that runs, or, where that is older than this program, to one of this version that takes its place.
fn reach(context: &Context) -> Result<Client, ClientError> {
    let mut client = Client::greet(&context.paths.socket(), version())?;
    let mut tries = 0;
    while is_newer(version(), &client.version) && tries < MOST_REPLACED {
        tries += 1;
        handover::replace(context, client)?;
        // An older one again, if somebody was just starting that.
        client = Client::greet(&context.paths.socket(), version())?;
    }
    client.understood(version())
}

/// The error of a command whose daemon could not be started.
pub(crate) fn cannot_start(context: &Context) -> impl FnOnce(anyhow::Error) -> ApiError + use<> {
    let log = context.paths.daemon_log();
    move |e| {
        ApiError::new(ErrorKind::Missing, format!("the daemon could not be started: {e:#}"))
            .hint(format!("see {}", log.display()))
    }
}

/// Whether an error means that no engine listens, or not for long.
pub(crate) fn is_gone(e: &ClientError) -> bool {
    e.is_undone() || matches!(e, ClientError::NoEngine { .. } | ClientError::Left | ClientError::Broken(_))
}

/// Asks the daemon, which is started when it does not run. A daemon that is leaving has done nothing: its successor is asked.
///
/// # Errors
/// As the engine refuses; and when who leads the run does not answer, and the request is kept for later ([`Reply::Stored`]).
pub(crate) fn ask(context: &Context, request: &Request) -> Result<(Client, Reply), ApiError> {
    // One that hands over first does what it was asked before.
    let until = Instant::now() + handover::SEAT_LIMIT;
    loop {
        match connect(context).and_then(|client| call(client, request)) {
            Ok((_, Reply::Stored { run, pid, .. })) => return Err(ApiError::stored(run, pid)),
            Ok(answered) => return Ok(answered),
            Err(e) if e.is_undone() && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10))
            }
            Err(ClientError::Silent { pid }) => return ask_past_daemon(context, request, pid),
            Err(e) => return Err(e.into_api()),
        }
    }
}

fn call(mut client: Client, request: &Request) -> Result<(Client, Reply), ClientError> {
    let reply = client.call(request.clone())?;
    Ok((client, reply))
}

/// Asks about a run while the daemon stands still. When another engine leads it, that one is asked; where the leader does not
/// answer either, the request is left with the run.
fn ask_past_daemon(
    context: &Context,
    request: &Request,
    daemon: Option<u32>,
) -> Result<(Client, Reply), ApiError> {
    let silent = || ClientError::Silent { pid: daemon }.into_api();
    let Some((run, kept)) = stored::as_stored(request) else { return Err(silent()) };
    let fail = |e: windlass_engine::driver::projects::OpenError| {
        ApiError::new(ErrorKind::Missing, format!("the request cannot be stored: {e}"))
    };
    // Of a run that nobody leads, nobody would look for what was left.
    let Some(leader) = stored::leader(&context.paths, run).map_err(fail)? else { return Err(silent()) };
    let mut pid = daemon;
    let address = Path::new(&leader.address);
    if address != context.paths.socket() {
        match Client::connect(address, version()).and_then(|client| call(client, request)) {
            Ok(answered) => return Ok(answered),
            Err(ClientError::Silent { pid: other }) => pid = other,
            Err(e) if e.is_undone() || matches!(e, ClientError::NoEngine { .. }) => pid = None,
            Err(e) => return Err(e.into_api()),
        }
    }
    stored::leave(&context.paths, run, &kept, crate::watch::now()).map_err(fail)?;
    Err(ApiError::stored(run, pid))
}

/// Has an engine lead what is unfinished of the project that a folder belongs to, and offers it this shell's environment for runs
/// asked for there. The folder is the run's, wherever this shell is.
pub(crate) fn visit(context: &Context, cwd: &str) -> Result<Client, ApiError> {
    let visit = Request::Visit { cwd: cwd.to_owned(), env: Context::shell_env() };
    ask(context, &visit).map(|(client, _)| client)
}

/// The same for a run that is waited for: if nobody may lead it who is there, waiting would be in vain.
///
/// # Errors
/// When only a newer version may lead it, and no such one answered.
pub(crate) fn visit_run(context: &Context, run: RunId, cwd: &str) -> Result<Client, ApiError> {
    let client = visit(context, cwd)?;
    if !is_newer(&client.version, version()) {
        query::may_go_on(&context.paths, run).map_err(|e| crate::names::unreadable(&e))?;
    }
    Ok(client)
}

/// The daemon when it runs, of whatever version; never starts one. Of it may be asked only what is the same in every protocol.
///
/// # Errors
/// When one runs and does not answer.
pub(crate) fn running_daemon(context: &Context) -> Result<Option<Client>, ApiError> {
    match Client::greet(&context.paths.socket(), version()) {
        Ok(client) => Ok(Some(client)),
        Err(e @ ClientError::Silent { .. }) => Err(e.into_api()),
        Err(_) => Ok(None),
    }
}

/// Starts the daemon, or waits for the one that somebody else is putting in place.
pub(crate) fn start(context: &Context) -> anyhow::Result<()> {
    if handover::wait(context) { Ok(()) } else { launch(context) }
}

/// Starts the daemon apart from this process: no terminal, no streams of ours, `/` as its directory.
pub(crate) fn launch(context: &Context) -> anyhow::Result<()> {
    context.paths.make().map_err(anyhow::Error::msg)?;
    let log = std::fs::OpenOptions::new().create(true).append(true).open(context.paths.daemon_log())?;
    let said_before = log.metadata().map_or(0, |m| m.len());
    let mut command = Command::new(exe()?);
    command
        .args(["daemon", "run"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0);
    // A lock or pipe of the caller's must not live on in it.
    windlass_worker::keep_descriptors();
    let mut child = command.spawn().context("its process cannot be made")?;
    // It answers when it is ready, or has ended because another one holds the lock: that one is about to listen, or to leave.
    let until = Instant::now() + START_LIMIT;
    let mut again_at = None;
    while Instant::now() < until {
        if Client::greet(&context.paths.socket(), version()).is_ok() {
            return Ok(());
        }
        match (again_at, child.try_wait()?) {
            (None, Some(status)) if status.success() => {
                again_at = Some(Instant::now() + Duration::from_millis(50))
            }
            (None, Some(status)) => match last_words(context, said_before) {
                Some(why) => anyhow::bail!(why),
                None => anyhow::bail!("it ended at once ({status})"),
            },
            (Some(at), _) if at <= Instant::now() => {
                child = command.spawn().context("its process cannot be made")?;
                again_at = None;
            }
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    anyhow::bail!("it did not answer within {} s", START_LIMIT.as_secs())
}

/// Why a daemon ended at once: what it has written since, or, where it could not even do that, what the disk says.
fn last_words(context: &Context, said_before: u64) -> Option<String> {
    use std::io::{Read, Seek, SeekFrom, Write};
    let mut text = String::new();
    if let Ok(mut log) = std::fs::File::open(context.paths.daemon_log()) {
        let _ =
            log.seek(SeekFrom::Start(said_before)).and_then(|_| log.take(64 << 10).read_to_string(&mut text));
    }
    if let Some(line) = text.lines().rev().find_map(|l| l.strip_prefix("error: ")) {
        return Some(line.to_owned());
    }
    let state = &context.paths.state;
    let probe = tempfile::tempfile_in(state).and_then(|mut file| file.write_all(&[0; 64 << 10]));
    probe.err().map(|e| format!("{} cannot be written: {e}", state.display()))
}

/// This program's path, also after it was replaced on disk.
pub(crate) fn exe() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe().context("this program's own path is unknown")?;
    // The kernel marks a replaced file; what was installed in its place is the same path without the mark.
    match path.to_str().and_then(|p| p.strip_suffix(" (deleted)")) {
        Some(replaced) => Ok(PathBuf::from(replaced)),
        None => Ok(path),
    }
}

/// What decides how many workers run at once and what happens after a restart: the user's own config.
fn settings(context: &Context) -> Settings {
    let config = context.user_config();
    let cores = std::thread::available_parallelism().map_or(4, std::num::NonZero::get);
    Settings {
        slots: config.machine_concurrency(cores),
        boot: boot_id(),
        version: version().to_owned(),
        may_restart: config.resume_after_restart(),
    }
}

/// The id of the machine's boot. A debug build can be made to say another one, for the tests of a machine's restart.
fn boot_id() -> String {
    #[cfg(debug_assertions)]
    if let Ok(said) = std::env::var("WINDLASS_TEST_BOOT") {
        return said;
    }
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|s| s.trim().to_owned())
        .unwrap_or_default()
}

/// Is the daemon: leads runs until it is idle or told to stop.
pub(crate) fn be_daemon(context: &Context) -> anyhow::Result<()> {
    context.paths.make().map_err(anyhow::Error::msg)?;
    // First of all: it forks, which a process with threads cannot.
    let exe = exe()?;
    let nursery = Nursery::start_with(windlass_engine::driver::successor(&exe))?;
    let config = context.user_config();
    let socket = context.paths.socket();
    let options = EngineOptions {
        settings: settings(context),
        exe,
        tied: false,
        idle_ms: config.idle_ms(),
        keep: config.keep().to_vec(),
        address: socket.to_string_lossy().into_owned(),
    };
    let lock = context.paths.daemon_lock();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let left = runtime.block_on(async {
        let bound = match Socket::bind(&socket, &lock) {
            Ok(bound) => bound,
            Err(windlass_server::BindError::Held(_)) => return Ok(Left::AsAsked),
            Err(e) => return Err(anyhow::Error::from(e)),
        };
        let (engine, running) = Engine::start(options, context.paths.clone(), nursery)?;
        let (done, is_done) = tokio::sync::watch::channel(false);
        let leaver = engine.clone();
        tokio::spawn(async move {
            terminated().await;
            leaver.leave();
        });
        let serving = tokio::spawn(bound.serve(engine, is_done));
        let left = running.await?;
        // The socket goes last, so that whoever asks meanwhile starts another daemon.
        let _ = done.send(true);
        serving.await?;
        Ok(left)
    })?;
    // Blocking work that is still under way (an open of a run) holds nothing that matters.
    runtime.shutdown_timeout(Duration::from_millis(200));
    if left == Left::NurseryGone {
        // The lock is free: the next one takes over with a nursery of its own.
        start(context)?;
    }
    Ok(())
}

/// Comes when the system asks this process to end.
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int), Ok(mut hup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        // A daemon has no terminal to lose.
        () = async { loop { if hup.recv().await.is_none() { std::future::pending::<()>().await; } } } => {}
    }
}

/// An engine in this process, on a thread of its own, behind a socket like the daemon's. Its workers end with it.
#[derive(Debug)]
pub(crate) struct Inline {
    socket: PathBuf,
    engine: Engine,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Inline {
    /// Starts it. The process must have no other thread yet.
    pub(crate) fn start(context: &Context) -> anyhow::Result<Self> {
        context.paths.make().map_err(anyhow::Error::msg)?;
        let nursery = Nursery::start()?;
        let config = context.user_config();
        let socket = context.paths.runtime.join(format!("inline-{}.sock", std::process::id()));
        let lock = socket.with_extension("lock");
        let options = EngineOptions {
            settings: settings(context),
            exe: exe()?,
            tied: true,
            idle_ms: None,
            keep: config.keep().to_vec(),
            address: socket.to_string_lossy().into_owned(),
        };
        let (ready, wait) = std::sync::mpsc::channel::<anyhow::Result<Engine>>();
        let (paths, bound_path) = (context.paths.clone(), socket.clone());
        let thread = std::thread::Builder::new().name("windlass-engine".into()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(e) => {
                    let _ = ready.send(Err(e.into()));
                    return;
                }
            };
            runtime.block_on(async move {
                let begun = Socket::bind(&bound_path, &lock)
                    .map_err(anyhow::Error::from)
                    .and_then(|bound| Ok((bound, Engine::start(options, paths, nursery)?)));
                match begun {
                    Err(e) => {
                        let _ = ready.send(Err(e));
                    }
                    Ok((bound, (engine, running))) => {
                        let (done, is_done) = tokio::sync::watch::channel(false);
                        let serving = tokio::spawn(bound.serve(engine.clone(), is_done));
                        let _ = ready.send(Ok(engine));
                        let _ = running.await;
                        let _ = done.send(true);
                        let _ = serving.await;
                        let _ = std::fs::remove_file(&lock);
                    }
                }
            });
            runtime.shutdown_timeout(Duration::from_millis(200));
        })?;
        let engine = wait.recv().context("the engine ended at once")??;
        Ok(Self { socket, engine, thread: Some(thread) })
    }

    /// A connection to it.
    pub(crate) fn client(&self) -> Result<Client, ApiError> {
        Client::connect(&self.socket, version()).map_err(ClientError::into_api)
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        self.engine.leave();
        if let Some(thread) = self.thread.take() {
            // It ends when what it has recorded is durable.
            let _ = thread.join();
        }
    }
}
