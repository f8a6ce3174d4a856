//! Specifications, connections and questions to `/proc` for the tests.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use windlass_worker::control::{FromShim, ToShim};
use windlass_worker::record::{Claim, EndRecord, Started};
use windlass_worker::spool::{FrameKind, OwnedFrame};
use windlass_worker::{
    AttemptKey, Limits, Nursery, Probe, Secrets, ShimSpec, SpoolReader, StdinPlan, StopPlan, probe,
};

/// Long enough for any machine; a test that needs it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a test works with.
pub struct Context<'a> {
    pub nursery: &'a Nursery,
    pub dir: tempfile::TempDir,
    name: &'static str,
}

impl<'a> Context<'a> {
    pub fn new(nursery: &'a Nursery, name: &'static str) -> Self {
        Self { nursery, dir: tempfile::tempdir().unwrap(), name }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A shell script as an attempt of its own.
    pub fn script(&self, script: &str) -> ShimSpec {
        script_in(self.dir.path(), self.name, script)
    }

    pub fn start(&self, spec: &ShimSpec) -> Attempt {
        self.start_with(spec, &Secrets::default())
    }

    pub fn start_with(&self, spec: &ShimSpec, secrets: &Secrets) -> Attempt {
        Attempt::new(self.nursery.spawn(spec, secrets).unwrap(), spec)
    }

    /// Runs to the end.
    pub fn run(&self, spec: &ShimSpec) -> (EndRecord, Vec<OwnedFrame>) {
        let mut attempt = self.start(spec);
        (attempt.end(), attempt.frames())
    }
}

pub fn script_in(dir: &Path, name: &str, script: &str) -> ShimSpec {
    ShimSpec {
        key: AttemptKey { run: "k7m2qd".into(), task: "01_test".into(), n: 1 },
        spool: dir.join("01_test.1"),
        socket: dir.join("s"),
        marker: format!("{name}-{}-0123456789abcdef", std::process::id()).replace('_', "-"),
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        cwd: dir.into(),
        env: vec![("PATH".into(), std::env::var_os("PATH").unwrap()), ("DIR".into(), dir.into())],
        umask: None,
        stdin: StdinPlan::Null,
        limits: Limits::default(),
        stop: StopPlan { term_grace_ms: 500, abort_grace_ms: 500, ..StopPlan::default() },
        drops: Vec::new(),
        settled_on: Vec::new(),
        keep: Vec::new(),
        tied: false,
        revive: Vec::new(),
    }
}

/// A connection to a shim.
pub struct Attempt {
    pub stream: UnixStream,
    input: Vec<u8>,
    pub spool: PathBuf,
}

impl Attempt {
    pub fn new(stream: UnixStream, spec: &ShimSpec) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, input: Vec::new(), spool: spec.spool.clone() }
    }

    /// The next message; `None` when the shim is gone.
    pub fn message(&mut self) -> Option<FromShim> {
        loop {
            if let Some((message, used)) = FromShim::decode(&self.input).unwrap() {
                self.input.drain(..used);
                return Some(message);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(n) => self.input.extend_from_slice(&bytes[..n]),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return None,
                Err(e) => panic!("no message: {e}"),
            }
        }
    }

    /// Skips messages until one fits.
    pub fn wait_for<T>(&mut self, mut pick: impl FnMut(FromShim) -> Option<T>) -> T {
        loop {
            let message = self.message().expect("the shim left too early");
            if let Some(found) = pick(message) {
                return found;
            }
        }
    }

    pub fn claim(&mut self) -> Claim {
        self.wait_for(|m| if let FromShim::Hello { claim, .. } = m { Some(claim) } else { None })
    }

    pub fn send(&mut self, message: &ToShim) {
        self.send_all(std::slice::from_ref(message));
    }

    /// All in one piece: the shim may be gone right after the first of them.
    pub fn send_all(&mut self, messages: &[ToShim]) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|m| m.encode(&mut bytes));
        self.stream.write_all(&bytes).unwrap();
    }

    /// Waits for the end and reads its record.
    pub fn end(&mut self) -> EndRecord {
        let len =
            self.wait_for(|m| if let FromShim::Ended { spool_len } = m { Some(spool_len) } else { None });
        assert_eq!(len, std::fs::metadata(&self.spool).unwrap().len());
        match probe(&self.spool).unwrap() {
            Probe::Ended { end, .. } => end,
            other => panic!("not ended: {other:?}"),
        }
    }

    /// Waits until the agent's start is recorded.
    pub fn started(&self) -> Started {
        let mut started = None;
        eventually("the start is recorded", || {
            started = self.frames().into_iter().find(|f| f.kind == FrameKind::Started);
            started.is_some()
        });
        serde_json::from_slice(&started.unwrap().data).unwrap()
    }

    pub fn frames(&self) -> Vec<OwnedFrame> {
        SpoolReader::open(&self.spool).unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// Waits until the spool holds this text of standard output.
    pub fn wait_for_output(&self, text: &str) {
        eventually(&format!("output {text:?}"), || {
            self.spool.exists()
                && String::from_utf8_lossy(&bytes_of(&self.frames(), FrameKind::Stdout)).contains(text)
        });
    }
}

pub fn bytes_of(frames: &[OwnedFrame], kind: FrameKind) -> Vec<u8> {
    frames.iter().filter(|f| f.kind == kind).flat_map(|f| f.data.clone()).collect()
}

pub fn kinds(frames: &[OwnedFrame]) -> Vec<FrameKind> {
    frames.iter().map(|f| f.kind).collect()
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Live processes of an attempt, told by the marker in their environment.
pub fn marked(marker: &str) -> Vec<i32> {
    let variable = format!("{}={marker}", windlass_worker::MARK_VARIABLE);
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let env = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if env.split(|b| *b == 0).any(|v| v == variable.as_bytes()) {
            found.push(pid);
        }
    }
    found
}

pub fn kill(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}
