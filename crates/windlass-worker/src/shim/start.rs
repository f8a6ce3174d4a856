//! Starting the agent: pipes, program lookup, environment.

use crate::MARK_VARIABLE;
use crate::spec::{Secrets, ShimSpec, StdinPlan};
use crate::sys::{self, ChildPlan, StartError};
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

/// A started agent and the shim's ends of its pipes, none of which block.
pub(super) struct Agent {
    pub(super) pid: i32,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Where a program is looked for when the environment has no `PATH`.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";
/// The shim's own standard input, which is `/dev/null`.
const NULL: RawFd = 0;

/// Starts the agent, or says in plain words why that is impossible.
pub(super) fn start(spec: &ShimSpec, secrets: &Secrets, umask: u32) -> Result<Agent, String> {
    let pipes = || -> io::Result<_> {
        let stdin = match spec.stdin {
            StdinPlan::Null => None,
            StdinPlan::Bytes(_) | StdinPlan::Open(_) => Some(pipe_with(PipeFlags::CLOEXEC)?),
        };
        Ok((stdin, pipe_with(PipeFlags::CLOEXEC)?, pipe_with(PipeFlags::CLOEXEC)?))
    };
    let (stdin, stdout, stderr) = pipes().map_err(|e| format!("cannot make a pipe: {e}"))?;
    let plan = ChildPlan {
        candidates: candidates(spec, secrets),
        argv: std::iter::once(&spec.program).chain(&spec.args).map(|a| c_string(a.as_bytes())).collect(),
        env: environment(spec, secrets),
        cwd: c_string(spec.cwd.as_os_str().as_bytes()),
        stdio: [stdin.as_ref().map_or(NULL, |p| p.0.as_raw_fd()), stdout.1.as_raw_fd(), stderr.1.as_raw_fd()],
        umask,
        tied_to_parent: true,
    };
    let pid = sys::start_child(&plan).map_err(|e| describe(spec, &e))?;
    let stdin = stdin.map(|(_, ours)| ours);
    for fd in [stdin.as_ref(), Some(&stdout.0), Some(&stderr.0)].into_iter().flatten() {
        // Cannot fail on a pipe; if it did, reads are preceded by `poll` all the same.
        let _ = rustix::fs::fcntl_setfl(fd, OFlags::NONBLOCK);
    }
    Ok(Agent { pid, stdin, stdout: stdout.0, stderr: stderr.0 })
}

fn describe(spec: &ShimSpec, error: &StartError) -> String {
    match error {
        StartError::Process(e) => format!("cannot make a process: {e}"),
        StartError::Setup(e) => format!("cannot set up the process: {e}"),
        StartError::Directory(e) => format!("cannot enter the directory `{}`: {e}", spec.cwd.display()),
        StartError::Program(e) => format!("cannot execute `{}`: {e}", spec.program.to_string_lossy()),
    }
}

/// [`ShimSpec::check`] has made sure that there are no zero bytes.
fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap_or_default()
}

fn candidates(spec: &ShimSpec, secrets: &Secrets) -> Vec<CString> {
    let program = spec.program.as_bytes();
    if program.contains(&b'/') {
        return vec![c_string(program)];
    }
    let path = secrets.env.iter().chain(spec.env.iter().rev()).find(|(name, _)| name == OsStr::new("PATH"));
    path.map_or(DEFAULT_PATH, |(_, value)| value.as_bytes())
        .split(|b| *b == b':')
        // An empty element would mean the working tree, where anybody may have put a program of that name.
        .filter(|folder| !folder.is_empty())
        .map(|folder| c_string(&[folder, b"/", program].concat()))
        .collect()
}

/// Exactly what was asked for: later entries win over earlier ones, secrets over plain values, the marker over all.
fn environment(spec: &ShimSpec, secrets: &Secrets) -> Vec<CString> {
    let pairs: Vec<(&[u8], &[u8])> = spec
        .env
        .iter()
        .chain(&secrets.env)
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .chain([(MARK_VARIABLE.as_bytes(), spec.marker.as_bytes())])
        .collect();
    pairs
        .iter()
        .enumerate()
        .filter(|(i, (name, _))| !pairs[i + 1..].iter().any(|(later, _)| later == name))
        .map(|(_, (name, value))| c_string(&[name, &b"="[..], value].concat()))
        .collect()
}
