//! What `/proc` tells of a process.

use anyhow::{Context, Result};
use std::fs;
use std::time::Duration;

/// What a process has used since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// User and system time, counted by Linux in ticks of 10 ms.
    pub(super) cpu: Duration,
    /// Bytes of pages that it made dirty and that go to storage. 0 in memory.
    pub(super) written: u64,
}

impl Used {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            written: self.written.saturating_sub(before.written),
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, written: self.written + other.written }
    }
}

/// What a process and the children that it has waited for, theirs included, have used.
pub(super) fn with_children(pid: u32) -> Result<Used> {
    Ok(Used { cpu: ticks(&stat(pid)?, 0..4)?, written: written(pid) })
}

/// The time of the children that this process has waited for, and what they and it have written.
pub(super) fn own_children() -> Result<Used> {
    let pid = std::process::id();
    Ok(Used { cpu: ticks(&stat(pid)?, 2..4)?, written: written(pid) })
}

/// The time of a process alone, to the nanosecond. Threads that have ended are not in it.
pub(super) fn cpu_of_threads(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
        nanos += text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

fn stat(pid: u32) -> Result<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))
}

/// utime, stime, cutime and cstime, of which `range` is taken.
fn ticks(stat: &str, range: std::ops::Range<usize>) -> Result<Duration> {
    // The name in parentheses may hold anything; the times are fields 14 to 17.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11).take(4));
    let fields: Option<Vec<u64>> = fields.map(|fields| fields.filter_map(|f| f.parse().ok()).collect());
    let ticks = fields.filter(|fields| fields.len() == 4).map(|fields| fields[range].iter().sum::<u64>());
    ticks.map(|ticks| Duration::from_millis(ticks * 10)).context("/proc/PID/stat is not as expected")
}

fn written(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/io"), "write_bytes:").unwrap_or(0)
}

fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Memory of a process in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Resident, pages shared with others counted whole.
    pub(super) rss: u64,
    /// Resident, pages shared with others counted by their part.
    pub(super) pss: u64,
    /// Resident and of no file: what it has allocated, and what it has changed of what it shared.
    pub(super) anonymous: u64,
}

pub(super) fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let kb = |name| field(&path, name).with_context(|| format!("{path} does not say {name}"));
    Ok(Memory { rss: kb("Rss:")? * 1024, pss: kb("Pss:")? * 1024, anonymous: kb("Anonymous:")? * 1024 })
}

/// The living children of a process.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return all };
    for thread in threads.flatten() {
        let text = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        all.extend(text.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
    }
    all
}

/// How many connections to sockets below a folder are open.
pub(super) fn connections(folder: &str) -> usize {
    let text = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    connected(&text, folder)
}

fn connected(table: &str, folder: &str) -> usize {
    // Num RefCount Protocol Flags Type St Inode Path; state 03 is connected, and a path is that of the listener.
    let is_one = |line: &str| {
        let mut words = line.split_whitespace();
        words.nth(5) == Some("03") && words.nth(1).is_some_and(|path| path.starts_with(folder))
    };
    table.lines().filter(|line| is_one(line)).count()
}

/// The load of the machine as `uptime` says it: running processes, averaged over a minute.
pub(super) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// The processor's name.
pub(super) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// The kernel's release.
pub(super) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_an_odd_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 100 200 0 0 1 2 30 400 20 0 1 0 5";
        assert_eq!(ticks(stat, 0..4).unwrap(), Duration::from_millis(4330));
        assert_eq!(ticks(stat, 2..4).unwrap(), Duration::from_millis(4300));
        assert!(ticks("7 (a) S 1", 0..4).is_err());
    }

    #[test]
    fn only_connections_to_the_folder_count() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 1 /r/w/a.1\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 2 /r/w/a.1\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 3\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 4 /r/daemon.sock\n";
        assert_eq!(connected(table, "/r/w/"), 1);
    }

    #[test]
    fn this_process_is_seen() {
        let pid = std::process::id();
        assert!(memory(pid).unwrap().rss > 100_000);
        assert!(with_children(pid).is_ok() && own_children().is_ok());
        assert!(cpu_of_threads(pid).unwrap() > Duration::ZERO);
    }
}
