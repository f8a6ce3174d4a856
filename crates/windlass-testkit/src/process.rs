//! Running programs with a deadline, and what of a process tree is still alive (Linux: read from `/proc`).

use crate::{PATIENCE, must};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How a program ended and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output, byte by byte.
    pub stdout: Vec<u8>,
    /// Its standard error, byte by byte.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text, bytes that are no UTF-8 replaced.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text, bytes that are no UTF-8 replaced.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Panics, showing both streams, unless the program ended with this code.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert!(
            self.code == Some(code),
            "expected exit code {code}, got code {:?} signal {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.code,
            self.signal,
            self.out(),
            self.err(),
        );
        self
    }
}

/// Runs a program to its end, with `input` on its standard input.
///
/// # Panics
/// When it cannot be started, or has not ended *and closed its streams* after [`PATIENCE`]; it is killed then.
#[track_caller]
pub fn run(command: Command, input: &[u8]) -> Output {
    let mut running = Running::start(command);
    running.feed(input);
    running.close_input();
    running.wait()
}

/// A program that runs, its output being collected.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    stdout: Arc<Collected>,
    stderr: Arc<Collected>,
}

impl Running {
    /// Starts a program with pipes on all three streams.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let name = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = must(command.spawn(), format_args!("cannot start {name}"));
        let stdout = Collected::of(child.stdout.take());
        let stderr = Collected::of(child.stderr.take());
        Self { child, name, stdout, stderr }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input. A program that has closed it or ended is not an error.
    pub fn feed(&mut self, input: &[u8]) {
        if let Some(stdin) = self.child.stdin.as_mut() {
            let _ = stdin.write_all(input).and_then(|()| stdin.flush());
        }
    }

    /// Closes its standard input.
    pub fn close_input(&mut self) {
        self.child.stdin = None;
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until its standard output satisfies `enough`; panics after [`PATIENCE`] or when the stream ends before.
    #[track_caller]
    pub fn wait_stdout(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        self.wait_stream(&self.stdout, what, enough)
    }

    /// Waits until its standard error satisfies `enough`; panics after [`PATIENCE`] or when the stream ends before.
    #[track_caller]
    pub fn wait_stderr(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        self.wait_stream(&self.stderr, what, enough)
    }

    #[track_caller]
    fn wait_stream(&self, stream: &Collected, what: &str, enough: impl Fn(&str) -> bool) -> String {
        match stream.wait(PATIENCE, enough) {
            Ok(text) => text,
            Err(()) => panic!(
                "waited for {what} from {}\n--- stdout\n{}\n--- stderr\n{}",
                self.name,
                self.stdout(),
                self.stderr(),
            ),
        }
    }

    /// Sends it a signal by number.
    pub fn signal(&self, signal: i32) {
        signal_pid(self.pid(), signal);
    }

    /// Whether it has ended; does not wait.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits for its end and for the end of its streams; panics after [`PATIENCE`], having killed it.
    #[track_caller]
    pub fn wait(self) -> Output {
        self.wait_within(PATIENCE)
    }

    /// As [`Running::wait`], with a deadline of the caller's choice.
    #[track_caller]
    pub fn wait_within(mut self, patience: Duration) -> Output {
        let deadline = Instant::now() + patience;
        let status = self.wait_status(deadline);
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        let ended = self.stdout.wait_end(left(deadline)) && self.stderr.wait_end(left(deadline));
        let Some(status) = status else {
            let _ = self.child.kill();
            let _ = self.child.wait();
            panic!(
                "{} still ran after {patience:?}\n--- stdout\n{}\n--- stderr\n{}",
                self.name,
                self.stdout(),
                self.stderr(),
            );
        };
        assert!(
            ended,
            "{} has ended, but something it started still held its streams after {patience:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.name,
            self.stdout(),
            self.stderr(),
        );
        Output {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout.take(),
            stderr: self.stderr.take(),
        }
    }

    fn wait_status(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            if let Some(status) = must(self.child.try_wait(), "cannot wait for a child") {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The bytes of a stream, collected by a thread until its end.
#[derive(Debug, Default)]
struct Collected {
    state: Mutex<(Vec<u8>, bool)>,
    grew: Condvar,
}

impl Collected {
    fn of(stream: Option<impl Read + Send + 'static>) -> Arc<Self> {
        let collected = Arc::new(Self::default());
        let into = Arc::clone(&collected);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            if let Some(mut stream) = stream {
                while let Ok(count) = stream.read(&mut buffer)
                    && count > 0
                {
                    into.lock().0.extend_from_slice(&buffer[..count]);
                    into.grew.notify_all();
                }
            }
            into.lock().1 = true;
            into.grew.notify_all();
        });
        collected
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Vec<u8>, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().0).into_owned()
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().0)
    }

    /// Whether the stream ended in time.
    fn wait_end(&self, patience: Duration) -> bool {
        let state = self.lock();
        let wait = self.grew.wait_timeout_while(state, patience, |state| !state.1);
        wait.unwrap_or_else(PoisonError::into_inner).0.1
    }

    fn wait(&self, patience: Duration, enough: impl Fn(&str) -> bool) -> Result<String, ()> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            let text = String::from_utf8_lossy(&state.0);
            if enough(&text) {
                return Ok(text.into_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.1 {
                return Err(());
            }
            state = self.grew.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Waits until `done` gives true; panics after [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, done: impl FnMut() -> bool) {
    wait_until_within(PATIENCE, what, done);
}

/// As [`wait_until`], with a deadline of the caller's choice.
#[track_caller]
pub fn wait_until_within(patience: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !done() {
        assert!(Instant::now() < deadline, "waited {patience:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal by number to one process. A process that is gone is not an error.
///
/// # Panics
/// When the number is no signal, or the id is 0 or not an id.
pub fn signal_pid(pid: u32, signal: i32) {
    let Some(signal) = Signal::from_named_raw(signal) else { panic!("{signal} is not a signal") };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else { panic!("not a process id") };
    let _ = kill_process(pid, signal);
}

/// Whether the process lives; a zombie does not.
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name in parentheses may hold anything, the state follows the last one.
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
    !matches!(state, None | Some('Z' | 'X'))
}

/// A living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its argument vector, joined by blanks.
    pub command: String,
}

/// The living processes whose environment has an entry containing `marker`, the calling one left out. Give a text
/// that no other test can have, such as the path of a temporary folder.
pub fn alive_with(marker: &str) -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<Process> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id() && is_alive(*pid))
        .filter(|pid| {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let marker = marker.as_bytes();
            !marker.is_empty() && environ.windows(marker.len()).any(|window| window == marker)
        })
        .map(|pid| Process { pid, command: command_line(pid) })
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_owned()
}
