//! Reading `/proc`. A process may vanish between any two reads: that is `None`, not an error.

use std::fs::File;
use std::io::{self, Read};

/// What is used of `/proc/<pid>/stat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) name: String,
    pub(crate) state: u8,
    pub(crate) ppid: i32,
    pub(crate) session: i32,
    pub(crate) start: u64,
}

impl Stat {
    /// Ended, and perhaps not reaped.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Reads a process's line; `None` when there is no such process.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    let mut buffer = [0u8; 1024];
    let n = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut buffer).ok()?;
    parse_stat(buffer.get(..n)?)
}

/// The name may hold anything, parentheses and spaces included: it ends at the last `)`.
fn parse_stat(line: &[u8]) -> Option<Stat> {
    let open = line.iter().position(|b| *b == b'(')?;
    let close = line.iter().rposition(|b| *b == b')')?;
    let name = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
    let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    // state ppid pgrp session …, and the start time is the 20th of these.
    let state = *fields.next()?.as_bytes().first()?;
    let ppid = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(15)?.parse().ok()?;
    Some(Stat { name, state, ppid, session, start })
}

/// The direct children of this process, which has one thread: running, stopped or waiting to be reaped.
pub(crate) fn own_children() -> io::Result<Vec<i32>> {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    match std::fs::read_to_string(format!("/proc/self/task/{me}/children")) {
        Ok(list) => Ok(list.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect()),
        // A kernel without that file: look at everybody's parent.
        Err(_) => Ok(all()?.into_iter().filter(|pid| stat(*pid).is_some_and(|s| s.ppid == me)).collect()),
    }
}

/// All process numbers.
pub(crate) fn all() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        if let Some(pid) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// The names by which a program is known: of its thread, its file and its first argument.
pub(crate) fn program_names(pid: i32, stat: &Stat) -> Vec<String> {
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut names = vec![stat.name.clone()];
    if let Ok(exe) = std::fs::read_link(format!("/proc/{pid}/exe")) {
        names.push(base(exe.to_string_lossy().trim_end_matches(" (deleted)")));
    }
    if let Some(line) = read_some(pid, "cmdline", 4 << 10) {
        let first = line.split(|b| *b == 0).next().unwrap_or_default();
        names.push(base(&String::from_utf8_lossy(first)));
    }
    names
}

/// Whether the process was started with exactly this variable. `false` also where it may not be looked at.
pub(crate) fn has_variable(pid: i32, variable: &[u8]) -> bool {
    read_some(pid, "environ", 4 << 20).is_some_and(|env| env.split(|b| *b == 0).any(|v| v == variable))
}

fn read_some(pid: i32, what: &str, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/{what}")).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The kernel's id of the present boot.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// How many threads this process has.
pub(crate) fn own_threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_the_rest_of_the_line() {
        let line = b"42 (a) R 1 (b) S 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 424242 26 27";
        let s = parse_stat(line).unwrap();
        assert_eq!(
            (s.name.as_str(), s.state, s.ppid, s.session, s.start),
            ("a) R 1 (b", b'S', 7, 9, 424_242)
        );
        for bad in [&b""[..], b"1", b"1 (x", b"1 (x) S", b"1 (x) S a b c"] {
            assert!(parse_stat(bad).is_none());
        }
    }

    #[test]
    fn finds_itself() {
        let me = rustix::process::getpid().as_raw_nonzero().get();
        assert!(stat(me).unwrap().start > 0);
        assert!(all().unwrap().contains(&me));
        assert!(stat(i32::MAX).is_none());
    }
}
