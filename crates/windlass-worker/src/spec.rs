//! What a shim is asked to do: plain data, complete before anything is started.

use crate::error::WorkerError;
use crate::wire::{Put, Take};
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The largest encoded specification, prompt on standard input included.
pub const MAX_SPEC: usize = 256 << 20;

/// Which start of which task of which run. Written into the claim; this crate gives it no meaning.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// The run's id.
    pub run: String,
    /// The task's id within the run.
    pub task: String,
    /// Which attempt of the task, from 1.
    pub n: u32,
}

/// An output stream of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Lines of `stream` that begin with `prefix` are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropRule {
    /// The stream.
    pub stream: Stream,
    /// The beginning of the line, byte for byte. An empty prefix drops every line.
    pub prefix: Vec<u8>,
}

/// What the shim enforces by itself, by a clock that stands still in suspend. `None` means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// The longest time without any byte from or to the agent, in milliseconds. Not counted while the disk is full.
    pub silence_ms: Option<u64>,
    /// The longest time from the start, in milliseconds.
    pub wall_ms: Option<u64>,
    /// The most bytes of output that are kept, both streams together; dropped lines do not count.
    pub output_bytes: Option<u64>,
}

/// How this worker is asked to stop, before it is made to.
///
/// With the times given, all of a worker is gone about `abort_grace_ms + term_grace_ms` after a stop at the latest (the
/// first only when there is an abort message), plus what the kernel takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPlan {
    /// Written to the agent's standard input first, where that is open. Empty: there is no such message.
    pub abort: Vec<u8>,
    /// Close standard input right after the abort message (agents that leave when it ends).
    pub close_stdin: bool,
    /// How long the abort message has, in milliseconds.
    pub abort_grace_ms: u64,
    /// The signal that comes next, such as 15 (SIGTERM) or 2 (SIGINT).
    pub signal: i32,
    /// Send that signal to the agent's whole process group, not to the agent alone.
    pub whole_group: bool,
    /// How long the signal has before SIGKILL, in milliseconds.
    pub term_grace_ms: u64,
    /// How long the agent may linger after a line of [`ShimSpec::settled_on`], in milliseconds. Then it is stopped as
    /// [`crate::StoppedBy::Drain`].
    pub linger_ms: u64,
}

impl Default for StopPlan {
    fn default() -> Self {
        Self {
            abort: Vec::new(),
            close_stdin: false,
            abort_grace_ms: 1_500,
            signal: 15,
            whole_group: false,
            term_grace_ms: 2_000,
            linger_ms: 10_000,
        }
    }
}

/// What the agent finds on standard input.
#[derive(Clone, PartialEq, Eq)]
pub enum StdinPlan {
    /// Nothing: `/dev/null`.
    Null,
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// These bytes, then whatever [`crate::control::ToShim::Stdin`] brings, until it is closed.
    Open(Vec<u8>),
}

impl fmt::Debug for StdinPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Bytes(b) => write!(f, "Bytes({} bytes)", b.len()),
            Self::Open(b) => write!(f, "Open({} bytes)", b.len()),
        }
    }
}

/// Everything a shim needs. Secrets travel beside it, in [`Secrets`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShimSpec {
    /// Whose attempt this is.
    pub key: AttemptKey,
    /// The attempt's file. Its folder exists; the file must not.
    pub spool: PathBuf,
    /// Where the shim listens for a later engine, in a folder of mode 0700. May be longer than `sun_path`.
    pub socket: PathBuf,
    /// An unguessable text, 16 to 128 letters, digits and dashes, inherited by every process of the attempt.
    pub marker: String,
    /// The program: a path, or a name that is looked up in `PATH` of `env`.
    pub program: OsString,
    /// Its arguments, without the program's own name.
    pub args: Vec<OsString>,
    /// The directory it starts in.
    pub cwd: PathBuf,
    /// Its whole environment, but for secrets and the marker.
    pub env: Vec<(OsString, OsString)>,
    /// Its file mode mask; `None` is the one the nursery was started with.
    pub umask: Option<u32>,
    /// Its standard input.
    pub stdin: StdinPlan,
    /// What ends it.
    pub limits: Limits,
    /// How it is ended.
    pub stop: StopPlan,
    /// What of its output is not kept.
    pub drops: Vec<DropRule>,
    /// A line of output that begins so says that the agent's work is over: its standard input is closed, engine or not.
    pub settled_on: Vec<DropRule>,
    /// Names of programs (build servers) that may stay when everything else is ended. They are named in the end record.
    pub keep: Vec<String>,
    /// Whether the worker is stopped when the engine that started it ends.
    pub tied: bool,
    /// What to start, once, when the worker has ended and no engine is connected. Empty: nothing.
    pub revive: Vec<OsString>,
}

/// Values that reach the agent and nothing else. `Debug` shows counts only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Variables added to the agent's environment; their values are replaced in what is stored.
    pub env: Vec<(OsString, OsString)>,
    /// Further values that are replaced in what is stored.
    pub redact: Vec<Vec<u8>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} variables, {} further values)", self.env.len(), self.redact.len())
    }
}

impl Secrets {
    /// Everything that must not be stored.
    pub(crate) fn values(&self) -> Vec<Vec<u8>> {
        self.env.iter().map(|(_, v)| v.as_bytes().to_vec()).chain(self.redact.iter().cloned()).collect()
    }
}

impl ShimSpec {
    /// Whether this can be carried out at all.
    ///
    /// # Errors
    /// [`WorkerError::InvalidSpec`] says what is wrong. It never holds a value of a variable.
    pub fn check(&self, secrets: &Secrets) -> Result<(), WorkerError> {
        let bad = |text: String| Err(WorkerError::InvalidSpec(text));
        let nul = |text: &OsStr| text.as_bytes().contains(&0);
        let m = self.marker.as_bytes();
        if !(16..=128).contains(&m.len()) || !m.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-') {
            return bad("the marker must be 16 to 128 letters, digits or dashes".into());
        }
        if self.program.is_empty() || nul(&self.program) {
            return bad("the program has no usable name".into());
        }
        if let Some(i) = self.args.iter().position(|a| nul(a)) {
            return bad(format!("argument {} contains a zero byte", i + 1));
        }
        for (name, value) in self.env.iter().chain(&secrets.env) {
            if name.is_empty() || nul(name) || name.as_bytes().contains(&b'=') || nul(value) {
                return bad(format!(
                    "the environment variable `{}` has an impossible name or value",
                    name.to_string_lossy().escape_debug()
                ));
            }
        }
        for (what, path) in
            [("directory", &self.cwd), ("attempt's file", &self.spool), ("socket", &self.socket)]
        {
            if path.as_os_str().is_empty() || nul(path.as_os_str()) || !path.is_absolute() {
                return bad(format!("the {what} must be an absolute path"));
            }
        }
        if self.spool.file_name().is_none() || self.socket.file_name().is_none() {
            return bad("the attempt's file and the socket need a file name".into());
        }
        if self.revive.iter().any(|a| nul(a)) {
            return bad("the command that starts an engine contains a zero byte".into());
        }
        if !(1..=31).contains(&self.stop.signal) {
            return bad(format!("{} is not a signal", self.stop.signal));
        }
        Ok(())
    }

    /// The form in which a specification reaches the shim, which is the same program: it has no version.
    pub(crate) fn encode(&self, secrets: &Secrets) -> Result<Vec<u8>, WorkerError> {
        self.check(secrets)?;
        let mut b = Vec::with_capacity(1024);
        let option = |b: &mut Vec<u8>, v: Option<u64>| {
            b.put_u8(u8::from(v.is_some()));
            b.put_u64(v.unwrap_or(0));
        };
        b.put_bytes(self.key.run.as_bytes());
        b.put_bytes(self.key.task.as_bytes());
        b.put_u32(self.key.n);
        b.put_bytes(self.spool.as_os_str().as_bytes());
        b.put_bytes(self.socket.as_os_str().as_bytes());
        b.put_bytes(self.marker.as_bytes());
        b.put_bytes(self.program.as_bytes());
        put_list(&mut b, &self.args);
        b.put_bytes(self.cwd.as_os_str().as_bytes());
        put_pairs(&mut b, &self.env);
        option(&mut b, self.umask.map(u64::from));
        let (kind, bytes): (u8, &[u8]) = match &self.stdin {
            StdinPlan::Null => (0, &[]),
            StdinPlan::Bytes(v) => (1, v),
            StdinPlan::Open(v) => (2, v),
        };
        b.put_u8(kind);
        b.put_bytes(bytes);
        option(&mut b, self.limits.silence_ms);
        option(&mut b, self.limits.wall_ms);
        option(&mut b, self.limits.output_bytes);
        b.put_bytes(&self.stop.abort);
        b.put_u8(u8::from(self.stop.close_stdin));
        b.put_u64(self.stop.abort_grace_ms);
        b.put_u32(self.stop.signal.unsigned_abs());
        b.put_u8(u8::from(self.stop.whole_group));
        b.put_u64(self.stop.term_grace_ms);
        b.put_u64(self.stop.linger_ms);
        for rules in [&self.drops, &self.settled_on] {
            b.put_u32(count(rules.len()));
            for rule in rules {
                b.put_u8(u8::from(rule.stream == Stream::Stderr));
                b.put_bytes(&rule.prefix);
            }
        }
        b.put_u32(count(self.keep.len()));
        self.keep.iter().for_each(|name| b.put_bytes(name.as_bytes()));
        b.put_u8(u8::from(self.tied));
        put_list(&mut b, &self.revive);
        put_pairs(&mut b, &secrets.env);
        b.put_u32(count(secrets.redact.len()));
        secrets.redact.iter().for_each(|value| b.put_bytes(value));
        if b.len() > MAX_SPEC {
            return Err(WorkerError::InvalidSpec(format!(
                "environment, arguments and input take {} bytes, more than {MAX_SPEC}",
                b.len()
            )));
        }
        Ok(b)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, Secrets)> {
        let mut t = Take(bytes);
        let spec = Self {
            key: AttemptKey { run: text(&mut t)?, task: text(&mut t)?, n: t.u32()? },
            spool: os(&mut t)?.into(),
            socket: os(&mut t)?.into(),
            marker: text(&mut t)?,
            program: os(&mut t)?,
            args: take_list(&mut t)?,
            cwd: os(&mut t)?.into(),
            env: take_pairs(&mut t)?,
            umask: take_option(&mut t)?.map(|v| u32::try_from(v).unwrap_or(0o077)),
            stdin: match (t.u8()?, t.bytes()?) {
                (0, _) => StdinPlan::Null,
                (1, v) => StdinPlan::Bytes(v.to_vec()),
                (2, v) => StdinPlan::Open(v.to_vec()),
                _ => return None,
            },
            limits: Limits {
                silence_ms: take_option(&mut t)?,
                wall_ms: take_option(&mut t)?,
                output_bytes: take_option(&mut t)?,
            },
            stop: StopPlan {
                abort: t.bytes()?.to_vec(),
                close_stdin: t.u8()? != 0,
                abort_grace_ms: t.u64()?,
                signal: i32::try_from(t.u32()?).ok()?,
                whole_group: t.u8()? != 0,
                term_grace_ms: t.u64()?,
                linger_ms: t.u64()?,
            },
            drops: take_many(&mut t, rule)?,
            settled_on: take_many(&mut t, rule)?,
            keep: take_many(&mut t, text)?,
            tied: t.u8()? != 0,
            revive: take_list(&mut t)?,
        };
        let secrets =
            Secrets { env: take_pairs(&mut t)?, redact: take_many(&mut t, |t| Some(t.bytes()?.to_vec()))? };
        t.is_empty().then_some((spec, secrets))
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn put_list(b: &mut Vec<u8>, list: &[OsString]) {
    b.put_u32(count(list.len()));
    list.iter().for_each(|v| b.put_bytes(v.as_bytes()));
}

fn put_pairs(b: &mut Vec<u8>, pairs: &[(OsString, OsString)]) {
    b.put_u32(count(pairs.len()));
    for (name, value) in pairs {
        b.put_bytes(name.as_bytes());
        b.put_bytes(value.as_bytes());
    }
}

fn take_many<T>(t: &mut Take<'_>, mut one: impl FnMut(&mut Take<'_>) -> Option<T>) -> Option<Vec<T>> {
    let n = t.u32()?;
    // Each element takes at least a byte: a count beyond what is left is nonsense, not a reservation.
    let mut list = Vec::with_capacity((n as usize).min(t.0.len()));
    for _ in 0..n {
        list.push(one(t)?);
    }
    Some(list)
}

fn rule(t: &mut Take<'_>) -> Option<DropRule> {
    let stream = if t.u8()? == 0 { Stream::Stdout } else { Stream::Stderr };
    Some(DropRule { stream, prefix: t.bytes()?.to_vec() })
}

fn take_list(t: &mut Take<'_>) -> Option<Vec<OsString>> {
    take_many(t, os)
}

fn take_pairs(t: &mut Take<'_>) -> Option<Vec<(OsString, OsString)>> {
    take_many(t, |t| Some((os(t)?, os(t)?)))
}

fn take_option(t: &mut Take<'_>) -> Option<Option<u64>> {
    let some = t.u8()? != 0;
    let v = t.u64()?;
    Some(some.then_some(v))
}

fn text(t: &mut Take<'_>) -> Option<String> {
    String::from_utf8(t.bytes()?.to_vec()).ok()
}

fn os(t: &mut Take<'_>) -> Option<OsString> {
    Some(OsString::from_vec(t.bytes()?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec() -> ShimSpec {
        ShimSpec {
            key: AttemptKey { run: "k7m2qd".into(), task: "01_plan".into(), n: 3 },
            spool: "/s/01_plan.3".into(),
            socket: "/r/x.sock".into(),
            marker: "0123456789abcdef".into(),
            program: "sh".into(),
            args: vec!["-c".into(), "true".into()],
            cwd: "/".into(),
            env: vec![("PATH".into(), "/bin".into())],
            umask: Some(0o22),
            stdin: StdinPlan::Open(b"hello\n".to_vec()),
            limits: Limits { silence_ms: Some(1), wall_ms: None, output_bytes: Some(3) },
            stop: StopPlan { abort: b"x".to_vec(), close_stdin: true, ..StopPlan::default() },
            drops: vec![DropRule { stream: Stream::Stderr, prefix: b"{".to_vec() }],
            settled_on: vec![DropRule { stream: Stream::Stdout, prefix: b"done".to_vec() }],
            keep: vec!["sccache".into()],
            tied: true,
            revive: vec!["/bin/true".into()],
        }
    }

    #[test]
    fn encodes_and_decodes() {
        let secrets = Secrets { env: vec![("KEY".into(), "s3cr3t".into())], redact: vec![b"other".to_vec()] };
        let bytes = spec().encode(&secrets).unwrap();
        assert_eq!(ShimSpec::decode(&bytes).unwrap(), (spec(), secrets));
        for cut in 0..bytes.len() {
            assert!(ShimSpec::decode(&bytes[..cut]).is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let secrets = Secrets { env: vec![("KEY".into(), "s3cr3t".into())], redact: vec![b"other".to_vec()] };
        assert_eq!(format!("{secrets:?}"), "Secrets(1 variables, 1 further values)");
        let mut bad = spec();
        bad.env.push(("A=B".into(), "s3cr3t".into()));
        assert!(!bad.check(&secrets).unwrap_err().to_string().contains("s3cr3t"));
    }

    #[test]
    fn impossible_specs_are_refused() {
        let none = Secrets::default();
        let refused = |change: fn(&mut ShimSpec)| {
            let mut s = spec();
            change(&mut s);
            assert!(s.check(&none).is_err());
        };
        refused(|s| s.marker = "short".into());
        refused(|s| s.marker = "0123456789abcde\n".into());
        refused(|s| s.program = "".into());
        refused(|s| s.args.push("a\0b".into()));
        refused(|s| s.env.push(("".into(), "x".into())));
        refused(|s| s.spool = "relative".into());
        refused(|s| s.socket = "/".into());
        refused(|s| s.stop.signal = 0);
        spec().check(&none).unwrap();
    }

    proptest! {
        #[test]
        fn decoding_any_bytes_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = ShimSpec::decode(&bytes);
        }
    }
}
