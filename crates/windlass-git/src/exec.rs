//! Running the `git` program: input, output and errors without deadlock and within bounds.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::{Error, Result};

/// Most of git's error output that is kept, in bytes.
const STDERR_MAX: usize = 16 * 1024;

/// How long git may take for one question. Nothing here is slow; but a pipe that is named `.gitignore` is opened by
/// git and never gives a byte.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a finished git left.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Whether output was cut at the limit, and git stopped.
    pub(crate) truncated: bool,
}

/// Starts git with piped output, in a process group of its own so that a Ctrl-C at the terminal does not cut it in half.
pub(crate) fn spawn(cmd: &mut Command, stdin: bool) -> Result<Child> {
    cmd.stdin(if stdin { Stdio::piped() } else { Stdio::null() });
    cmd.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    cmd.spawn().map_err(|source| {
        // A missing working directory and a missing program give the same error; name the one that is true.
        let at = match cmd.get_current_dir() {
            Some(dir) if !dir.is_dir() => dir.to_path_buf(),
            _ => cmd.get_program().into(),
        };
        Error::Io { doing: "start git with", path: at, source }
    })
}

/// Reads error output to its end, keeping a bounded part.
pub(crate) fn drain_stderr(stderr: Option<ChildStderr>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut stderr) = stderr {
        let mut chunk = [0u8; 4096];
        while let Ok(n) = stderr.read(&mut chunk) {
            if n == 0 {
                break;
            }
            let room = STDERR_MAX.saturating_sub(kept.len());
            kept.extend_from_slice(chunk.get(..n.min(room)).unwrap_or_default());
        }
    }
    kept
}

/// Runs git to its end.
pub(crate) fn run(cmd: &mut Command, input: Option<&[u8]>) -> Result<Finished> {
    run_limited(cmd, input, None)
}

/// Runs git to its end, or until it has written `limit` bytes.
pub(crate) fn run_limited(cmd: &mut Command, input: Option<&[u8]>, limit: Option<u64>) -> Result<Finished> {
    run_within(cmd, input, limit, PATIENCE)
}

fn run_within(
    cmd: &mut Command,
    input: Option<&[u8]>,
    limit: Option<u64>,
    patience: Duration,
) -> Result<Finished> {
    let mut child = spawn(cmd, input.is_some())?;
    let group = Pid::from_child(&child);
    let stdin = child.stdin.take();
    let stderr = child.stderr.take();
    let pipe = child.stdout.take();
    let mut stdout = Vec::new();
    let mut truncated = false;
    let (finished, waiting) = mpsc::channel::<()>();
    let (read, stderr, hung) = std::thread::scope(|scope| {
        let errors = scope.spawn(move || drain_stderr(stderr));
        scope.spawn(move || {
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                // Git may end without reading everything; its exit status then says why.
                let _ = stdin.write_all(input);
            }
        });
        let watch = scope.spawn(move || {
            let hung = waiting.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout);
            if hung {
                // Nobody has waited for it yet, so the number is still its own.
                let _ = kill_process_group(group, Signal::KILL);
            }
            hung
        });
        let read = match (pipe, limit) {
            (Some(mut pipe), None) => pipe.read_to_end(&mut stdout).map(|_| ()),
            (Some(pipe), Some(limit)) => {
                let read = pipe.take(limit.saturating_add(1)).read_to_end(&mut stdout).map(|_| ());
                if stdout.len() as u64 > limit {
                    stdout.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                    truncated = true;
                    let _ = child.kill();
                }
                read
            }
            (None, _) => Ok(()),
        };
        let stderr = errors.join().unwrap_or_default();
        drop(finished);
        (read, stderr, watch.join().unwrap_or_default())
    });
    let status = child.wait().map_err(Error::io("wait for", cmd.get_program()))?;
    if hung {
        return Err(Error::Hung { command: described(cmd), seconds: patience.as_secs() });
    }
    read.map_err(Error::io("read the output of", cmd.get_program()))?;
    Ok(Finished { status, stdout, stderr, truncated })
}

/// Runs git and returns its output, if it succeeded.
pub(crate) fn checked(cmd: &mut Command, input: Option<&[u8]>) -> Result<Vec<u8>> {
    let done = run(cmd, input)?;
    if done.status.success() { Ok(done.stdout) } else { Err(failure(cmd, done.status, &done.stderr)) }
}

/// The error for a git that did not succeed.
pub(crate) fn failure(cmd: &Command, status: ExitStatus, stderr: &[u8]) -> Error {
    let said = String::from_utf8_lossy(stderr);
    let said = said.trim();
    Error::Git {
        command: described(cmd),
        status: match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "unknown end".to_owned(),
        },
        stderr: if said.is_empty() {
            "without a message".to_owned()
        } else {
            clip(&printable(said.as_bytes()), 2000)
        },
    }
}

/// Subcommand and arguments without the options that every call has.
fn described(cmd: &Command) -> String {
    let mut words = Vec::new();
    let mut args = cmd.get_args();
    while let Some(arg) = args.next() {
        if words.is_empty() && (arg == OsStr::new("-c") || arg == OsStr::new("-C")) {
            args.next();
        } else if words.is_empty() && arg.as_encoded_bytes().starts_with(b"--") {
            continue;
        } else {
            words.push(printable(arg.as_encoded_bytes()));
        }
    }
    clip(&words.join(" "), 300)
}

fn clip(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
        .collect()
}

/// A path from a repository, safe to print: control bytes, quotes and what is not UTF-8 are escaped.
pub fn shown(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) if !text.chars().any(|c| c.is_control() || c == '"' || c == '\\') => clip(text, 400),
        _ => {
            let mut out = String::from("\"");
            for chunk in path.utf8_chunks() {
                for c in chunk.valid().chars() {
                    match c {
                        '"' | '\\' => out.extend(['\\', c]),
                        c if c.is_control() => out.extend(c.escape_default()),
                        c => out.push(c),
                    }
                }
                for byte in chunk.invalid() {
                    out.push_str(&format!("\\x{byte:02x}"));
                }
            }
            out.push('"');
            clip(&out, 400)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_are_escaped() {
        assert_eq!(shown(b"src/main.rs"), "src/main.rs");
        assert_eq!(shown("häuser".as_bytes()), "häuser");
        assert_eq!(shown(b"a\nb"), "\"a\\nb\"");
        assert_eq!(shown(b"\x1b[31m\xff\""), "\"\\u{1b}[31m\\xff\\\"\"");
    }

    #[test]
    fn output_is_cut_at_the_limit() {
        let mut cmd = Command::new("sh");
        cmd.args(["-c", "while :; do echo 0123456789; done"]);
        let done = run_limited(&mut cmd, None, Some(1000)).unwrap();
        assert!(done.truncated);
        assert_eq!(done.stdout.len(), 1000);
    }

    #[test]
    fn a_git_that_hangs_is_stopped_with_all_it_started() {
        let mut cmd = Command::new("sh");
        cmd.args(["-c", "sleep 100000 & sleep 100000"]);
        let error = run_within(&mut cmd, None, None, Duration::from_millis(20)).err().unwrap();
        assert!(matches!(error, Error::Hung { .. }), "{error:?}");
    }

    #[test]
    fn input_larger_than_a_pipe_is_no_deadlock() {
        let input = vec![b'x'; 1 << 20];
        assert_eq!(checked(&mut Command::new("cat"), Some(&input)).unwrap(), input);
    }
}
