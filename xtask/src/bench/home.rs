//! A user of the measured binary: a fresh `WINDLASS_HOME`, a project outside git, agents, a daemon, runs.

use super::baseline::plain_environment;
use super::proc::{self, Used};
use super::{Bench, Place};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything here may take before it is a fault.
const LIMIT: Duration = Duration::from_secs(120);

/// A user of windlass. Dropping it ends what it started. Its folder stays until the end of the bench: a file system may make
/// whoever creates files soon after others were removed pay for that.
pub(super) struct Home {
    folder: PathBuf,
    windlass: PathBuf,
    daemon: Option<Child>,
    live: Vec<String>,
}

/// What a daemon and its workers have used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    /// The daemon itself.
    pub(super) daemon: Used,
    /// The nursery, its shims, and their workers.
    pub(super) workers: Used,
}

impl Home {
    /// A user with this many workers at once, and these further lines in the configuration.
    pub(super) fn new(bench: &Bench, place: &Place, name: &str, workers: u64, more: &str) -> Result<Self> {
        let folder = fresh(&place.folder, name);
        let home = Self { folder, windlass: bench.windlass.clone(), daemon: None, live: Vec::new() };
        fs::create_dir_all(home.project()).context("cannot make a folder for the project")?;
        home.configure(workers, more)?;
        Ok(home)
    }

    /// Makes the project a git repository with one commit.
    pub(super) fn begin_git(&self) -> Result<()> {
        let author = ["-c", "user.name=Bench", "-c", "user.email=bench@localhost"];
        for args in [&["init", "-q"][..], &["commit", "-q", "--allow-empty", "-m", "Begin"]] {
            let mut git = Command::new("git");
            plain_environment(&mut git);
            git.args(author).args(args).current_dir(self.project()).stdin(Stdio::null());
            if !git.status().context("cannot start git")?.success() {
                bail!("`git {}` failed", args.join(" "));
            }
        }
        Ok(())
    }

    /// Replaces the configuration; a daemon that runs has read the former one.
    pub(super) fn configure(&self, workers: u64, more: &str) -> Result<()> {
        let run = workers.min(64);
        let text = format!("{more}\n[run]\nconcurrency = {run}\n[machine]\nconcurrency = {workers}\n");
        self.write("config.toml", &text)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn project(&self) -> PathBuf {
        self.folder.join("project")
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// An agent that runs this argument vector and only reads.
    pub(super) fn command_agent(&self, name: &str, argv: &[&str]) -> Result<()> {
        let argv = Value::from(argv.to_vec());
        self.write(
            &format!("agents/{name}.md"),
            &format!("---\nname: {name}\ndescription: {name}\nruntime: command\ncommand: {argv}\nwrites: false\n---\n"),
        )
    }

    /// An agent that pi plays and that only reads.
    pub(super) fn pi_agent(&self, name: &str) -> Result<()> {
        let front = format!("---\nname: {name}\ndescription: {name}\nruntime: pi\ntools: read\n---\n");
        self.write(&format!("agents/{name}.md"), &format!("{front}Read.\n"))
    }

    /// A team whose one role is an agent of the same name, with these steps as its workflow.
    pub(super) fn team(&self, name: &str, agent: &str, steps: &str) -> Result<()> {
        let front = format!("---\nname: {name}\ndescription: {name}\n");
        self.write(
            &format!("teams/{name}.team.md"),
            &format!("{front}defaultWorkflow: {name}\n---\n- {agent}: agent={agent}\n"),
        )?;
        self.write(&format!("workflows/{name}.workflow.md"), &format!("{front}---\n{steps}"))
    }

    /// `windlass` with arguments, in the project, as this user.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.windlass);
        plain_environment(&mut command);
        command.args(args).current_dir(self.project()).env("WINDLASS_HOME", &self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Its standard output, or what it said on standard error.
    pub(super) fn output(&self, args: &[&str]) -> Result<String> {
        let mut command = self.command(args);
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`windlass {}` ended with {}: {said}", args.join(" "), output.status);
        }
        String::from_utf8(output.stdout).context("windlass printed bytes that are no text")
    }

    /// Starts the daemon and waits until it answers. Gives how long that took.
    pub(super) fn start(&mut self) -> Result<Duration> {
        let start = Instant::now();
        self.spawn()?;
        let socket = self.folder.join("run/daemon.sock");
        wait_for("the daemon", || UnixStream::connect(&socket).is_ok())?;
        Ok(start.elapsed())
    }

    /// Starts the daemon and does not wait.
    pub(super) fn spawn(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.folder.join("daemon.log"))?;
        let mut command = self.command(&["daemon", "run"]);
        self.daemon = Some(command.current_dir("/").stderr(log).spawn().context("cannot start the daemon")?);
        Ok(())
    }

    /// `kill -9` of the daemon, and of its nursery, which would start the next one before us. Their workers go on.
    pub(super) fn kill(&mut self) -> Result<()> {
        let nursery = self.nursery().ok().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(nursery) = nursery {
            kill_process(nursery, Signal::KILL)?;
        }
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill()?;
            daemon.wait()?;
        }
        Ok(())
    }

    /// The daemon's process.
    pub(super) fn daemon(&self) -> Result<u32> {
        self.daemon.as_ref().map(Child::id).context("the daemon does not run")
    }

    /// The process that forks shims: the daemon's only child.
    pub(super) fn nursery(&self) -> Result<u32> {
        proc::children(self.daemon()?).first().copied().context("the daemon has no nursery")
    }

    /// Creates a run and gives its id.
    pub(super) fn run(&mut self, args: &[&str]) -> Result<String> {
        let all: Vec<&str> = ["run", "-d", "-q"].into_iter().chain(args.iter().copied()).collect();
        let run = self.output(&all)?.trim().to_owned();
        self.live.push(run.clone());
        Ok(run)
    }

    /// Waits until a run has completed.
    pub(super) fn wait(&mut self, run: &str) -> Result<()> {
        let status = self.command(&["wait", run]).status()?;
        if !status.success() {
            bail!("run {run} did not complete: {}", self.output(&["status", run]).unwrap_or_default());
        }
        self.live.retain(|live| live != run);
        Ok(())
    }

    /// Ends a run that does not end by itself.
    pub(super) fn cancel(&mut self, run: &str) -> Result<()> {
        self.output(&["cancel", run])?;
        self.live.retain(|live| live != run);
        Ok(())
    }

    /// The events of a run.
    pub(super) fn events(&self, run: &str) -> Result<Vec<Value>> {
        let text = self.output(&["events", run, "--json"])?;
        text.lines().map(|line| serde_json::from_str(line).context("an event is no JSON")).collect()
    }

    /// What daemon and workers have used so far. Waits until the last shim is gone, whose time counts then.
    pub(super) fn spent(&self) -> Result<Spent> {
        let nursery = self.nursery()?;
        wait_for("the last shim", || proc::children(nursery).is_empty())?;
        Ok(Spent { daemon: proc::with_children(self.daemon()?)?, workers: proc::with_children(nursery)? })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Runs are left over only when a measurement failed: then nothing more can be said than that already was.
        if !self.live.is_empty() {
            for run in std::mem::take(&mut self.live) {
                let _ = self.command(&["cancel", &run]).status();
            }
        }
        let _ = self.command(&["daemon", "stop"]).status();
        let _ = self.kill();
    }
}

/// A folder that is not there yet.
pub(super) fn fresh(folder: &Path, name: &str) -> PathBuf {
    let all = (1..).map(|n: u32| folder.join(format!("{name}-{n}")));
    all.into_iter().find(|path| !path.exists()).unwrap_or_else(|| folder.join(name))
}

/// Looks again and again, a few thousand times a second.
pub(super) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let until = Instant::now() + LIMIT;
    while !is_so() {
        if Instant::now() > until {
            bail!("{what} did not come within {} s", LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}
