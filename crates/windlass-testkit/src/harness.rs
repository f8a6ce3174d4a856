//! The shipped `windlass` binary in a world of its own: home, state, environment, and an end that leaves nothing.

use crate::process::{Output, Process, Running};
use crate::{PATIENCE, PiHome, TempRepo, must, process, terminal::Terminal};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a daemon may take to stop when asked before it is killed.
const STOP: Duration = Duration::from_secs(10);

/// A user of the shipped binary: own `WINDLASS_HOME`, own HOME, a working directory, and nothing else inherited.
///
/// When dropped, its daemon is told to stop, and what still carries its `WINDLASS_HOME` after that is killed.
#[derive(Debug)]
pub struct Windlass {
    binary: PathBuf,
    folder: TempDir,
    cwd: PathBuf,
    env: BTreeMap<OsString, OsString>,
}

impl Windlass {
    /// A user of `binary` (a test of the binary's crate passes `env!("CARGO_BIN_EXE_windlass")`) in `cwd`.
    pub fn new(binary: impl Into<PathBuf>, cwd: impl Into<PathBuf>) -> Self {
        // Short, because sockets live under it and their paths are limited to about 100 bytes.
        let folder = must(tempfile::Builder::new().prefix("wl-").tempdir(), "no temporary folder");
        let mut windlass = Self { binary: binary.into(), folder, cwd: cwd.into(), env: BTreeMap::new() };
        for name in ["home", "user", "run", "tmp"] {
            must(std::fs::create_dir(windlass.folder.path().join(name)), "cannot make a folder");
        }
        let folder = windlass.folder.path().to_owned();
        windlass.set("WINDLASS_HOME", folder.join("home"));
        windlass.set("HOME", folder.join("user"));
        windlass.set("XDG_RUNTIME_DIR", folder.join("run"));
        windlass.set("TMPDIR", folder.join("tmp"));
        windlass.set("PATH", std::env::var_os("PATH").unwrap_or_default());
        windlass.set("LANG", "C.UTF-8");
        windlass.set("USER", "tester");
        windlass.set("SHELL", "/bin/sh");
        windlass.set("GIT_CONFIG_GLOBAL", "/dev/null");
        windlass.set("GIT_CONFIG_NOSYSTEM", "1");
        must(
            std::fs::set_permissions(folder.join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o700)),
            "cannot close the runtime folder",
        );
        windlass
    }

    /// As [`Windlass::new`], with the binary named by `WINDLASS_TEST_BINARY`: for tests of other crates and for
    /// campaigns against an installed or older binary.
    ///
    /// # Panics
    /// When the variable is not set.
    pub fn from_env(cwd: impl Into<PathBuf>) -> Self {
        let Some(binary) = std::env::var_os("WINDLASS_TEST_BINARY") else {
            panic!("WINDLASS_TEST_BINARY names no binary: run the tests by `cargo xtask test`");
        };
        Self::new(binary, cwd)
    }

    /// A user in a repository.
    pub fn in_repo(binary: impl Into<PathBuf>, repo: &TempRepo) -> Self {
        Self::new(binary, repo.path())
    }

    /// Sets a variable of every later command.
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.env.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Takes a variable from every later command.
    pub fn unset(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.env.remove(name.as_ref());
        self
    }

    /// Gives the user this pi, signed in.
    pub fn with_pi(&mut self, pi: &PiHome) -> &mut Self {
        for (name, value) in pi.env() {
            self.set(name, value);
        }
        self
    }

    /// `WINDLASS_HOME`.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The user's HOME.
    pub fn user_home(&self) -> PathBuf {
        self.folder.path().join("user")
    }

    /// The working directory of commands.
    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// Writes a file under `WINDLASS_HOME`, such as `agents/lint.md` or `config.toml`.
    pub fn write_home(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(path);
        if let Some(parent) = path.parent() {
            must(std::fs::create_dir_all(parent), format_args!("cannot make {}", parent.display()));
        }
        must(std::fs::write(&path, content), format_args!("cannot write {}", path.display()));
        path
    }

    /// The command, not yet started, with this user's environment and nothing else.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args).current_dir(&self.cwd).env_clear().envs(&self.env);
        command
    }

    /// The same of another version of the binary, which lies beside the first one: a debug build says the version that it is told.
    pub fn command_of<S: AsRef<OsStr>>(&self, version: &str, args: impl IntoIterator<Item = S>) -> Command {
        let place = self.folder.path().join("versions").join(version);
        let binary = place.join("windlass");
        if !binary.exists() {
            must(std::fs::create_dir_all(&place), "cannot make a folder");
            // A second name is enough where both lie on one file system.
            let linked = std::fs::hard_link(&self.binary, &binary)
                .or_else(|_| std::fs::copy(&self.binary, &binary).map(|_| ()));
            must(linked, "cannot install a second binary");
        }
        let mut command = Command::new(binary);
        command.args(args).current_dir(&self.cwd).env_clear().envs(&self.env);
        command.env("WINDLASS_TEST_VERSION", version);
        command
    }

    /// Runs a command to its end and the end of its streams.
    ///
    /// # Panics
    /// After [`PATIENCE`]; so a detached child that keeps a stream open is found.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        process::run(self.command(args), b"")
    }

    /// As [`Windlass::run`], with this on standard input.
    #[track_caller]
    pub fn run_with_input<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, input: &[u8]) -> Output {
        process::run(self.command(args), input)
    }

    /// Starts a command and leaves it running.
    #[track_caller]
    pub fn spawn<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Running {
        Running::start(self.command(args))
    }

    /// Starts a command on a terminal of its own.
    #[track_caller]
    pub fn terminal<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        rows: u16,
        columns: u16,
    ) -> Terminal {
        Terminal::start(&self.command(args), rows, columns)
    }

    /// Runs a command that must end with code 0 and print one JSON document.
    #[track_caller]
    pub fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let output = self.run(args).expect_code(0);
        must(serde_json::from_slice(&output.stdout), format_args!("no JSON document: {}", output.out()))
    }

    /// Runs a command that must end with code 0 and print one JSON document per line.
    #[track_caller]
    pub fn json_lines<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Vec<Value> {
        parse_lines(&self.run(args).expect_code(0))
    }

    /// Starts a run in the background and gives its id; `args` follow `run --detach --json`.
    #[track_caller]
    pub fn detach<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let fixed = ["run", "--detach", "--json"].map(OsString::from);
        let args: Vec<OsString> =
            fixed.into_iter().chain(args.into_iter().map(|arg| arg.as_ref().to_owned())).collect();
        let answer = self.json(&args);
        match answer["run"].as_str() {
            Some(run) => run.to_owned(),
            None => panic!("no run in {answer}"),
        }
    }

    /// The state of a run as `status --json` gives it.
    #[track_caller]
    pub fn status(&self, run: &str) -> Value {
        self.json(["status", run, "--json"])
    }

    /// All events of a run so far.
    #[track_caller]
    pub fn events(&self, run: &str) -> Vec<Value> {
        self.json_lines(["events", run, "--json"])
    }

    /// Asks for the events of a run until they satisfy `enough`, and gives them; panics after [`PATIENCE`] with the
    /// events there were.
    #[track_caller]
    pub fn wait_for(&self, run: &str, what: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        let mut events: Vec<Value> = Vec::new();
        loop {
            let since = events.last().and_then(|event| event["seq"].as_u64()).unwrap_or(0);
            // `--since N` gives what is later than N; a repeated event would be the fault under test.
            events.extend(self.json_lines(["events", run, "--json", "--since", &since.to_string()]));
            if enough(&events) {
                return events;
            }
            if Instant::now() >= deadline {
                let seen: Vec<String> = events.iter().map(Value::to_string).collect();
                panic!("waited for {what} in run {run}; its events:\n{}", seen.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a run has ended or stopped for a person, and gives its state.
    #[track_caller]
    pub fn wait_end(&self, run: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(run);
            let word = status["run"]["status"].as_str().unwrap_or_default().to_owned();
            if ["completed", "failed", "cancelled", "blocked"].contains(&word.as_str()) {
                return status;
            }
            assert!(Instant::now() < deadline, "run {run} has not ended: {status:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The daemon's process id, when one runs.
    pub fn daemon_pid(&self) -> Option<u32> {
        let output = self.run(["daemon", "status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        if status["running"] != true {
            return None;
        }
        u32::try_from(status["pid"].as_u64()?).ok()
    }

    /// Kills the daemon with SIGKILL and waits until it is gone.
    ///
    /// # Panics
    /// When none runs.
    #[track_caller]
    pub fn kill_daemon(&self) -> u32 {
        let Some(pid) = self.daemon_pid() else { panic!("no daemon runs") };
        process::signal_pid(pid, 9);
        process::wait_until("the killed daemon to be gone", || !process::is_alive(pid));
        pid
    }

    /// The living processes that belong to this user: daemon, shims, workers that got the variable, viewers.
    pub fn processes(&self) -> Vec<Process> {
        process::alive_with(&self.folder.path().display().to_string())
    }
}

impl Drop for Windlass {
    fn drop(&mut self) {
        if self.processes().is_empty() {
            return;
        }
        // No panic while a failing test unwinds: stop it nicely for a while, then kill what is left.
        let mut stop = self.command(["daemon", "stop"]);
        stop.stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        if let Ok(mut child) = stop.spawn() {
            let deadline = Instant::now() + STOP;
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        // A killed shim may be revived or leave children: until none is left.
        for _ in 0..50 {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            for process in left {
                process::signal_pid(process.pid, 9);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[track_caller]
fn parse_lines(output: &Output) -> Vec<Value> {
    let text = output.out();
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| must(serde_json::from_str(line), format_args!("no JSON line: {line}")))
        .collect()
}
