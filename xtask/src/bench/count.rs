//! System calls of processes and of what they start: counted by `perf` where the kernel lets it, else by `strace`.
//!
//! Counting slows the counted down, so it is never done in a round that is timed.

use super::baseline::on_path;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Calls that make data durable.
const SYNCS: [&str; 5] = ["fsync", "fdatasync", "sync_file_range", "syncfs", "msync"];

/// How long a counter needs to hold on to processes that run already.
const ATTACH: Duration = Duration::from_millis(500);

/// Who counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counter {
    Perf,
    Strace,
}

/// How often the system was called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Calls {
    pub(super) all: u64,
    pub(super) syncs: u64,
}

impl Counter {
    /// The best that works here; `None` with neither, or without the right to look at other processes.
    pub(super) fn find(folder: &Path) -> Option<Self> {
        [Self::Perf, Self::Strace].into_iter().find(|counter| {
            let program = Path::new("true");
            on_path(counter.name()).is_some()
                && counter.of_command(&Command::new(program), folder).is_ok_and(|calls| calls.all > 0)
        })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Perf => "perf",
            Self::Strace => "strace",
        }
    }

    fn program(self, output: &Path) -> Command {
        let mut command = Command::new(self.name());
        match self {
            Self::Perf => {
                command.args(["stat", "-x", ";", "-e", "raw_syscalls:sys_enter"]);
                for sync in SYNCS {
                    command.args(["-e", &format!("syscalls:sys_enter_{sync}")]);
                }
                command.arg("-o").arg(output);
            }
            Self::Strace => {
                command.args(["-f", "-c", "-o"]).arg(output);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn read(self, output: &Path) -> Result<Calls> {
        let text = std::fs::read_to_string(output)
            .with_context(|| format!("{} has counted nothing", self.name()))?;
        Ok(match self {
            Self::Perf => perf(&text),
            Self::Strace => strace(&text),
        })
    }

    /// What a command calls from its start to its end, with its children.
    pub(super) fn of_command(self, command: &Command, folder: &Path) -> Result<Calls> {
        let output = folder.join("calls");
        let mut counter = self.program(&output);
        if self == Self::Perf {
            counter.arg("--");
        }
        counter.arg(command.get_program()).args(command.get_args());
        let status = counter.status().with_context(|| format!("cannot start {}", self.name()))?;
        if !status.success() {
            bail!("`{}` under {} ended with {status}", command.get_program().display(), self.name());
        }
        self.read(&output)
    }

    /// What running processes, and all that they start meanwhile, call while `work` is done. One answer for each.
    pub(super) fn of_processes(
        self,
        pids: &[u32],
        folder: &Path,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<Vec<Calls>> {
        let mut counters: Vec<(Child, PathBuf)> = Vec::new();
        for pid in pids {
            let output = folder.join(format!("calls-{pid}"));
            let mut counter = self.program(&output);
            let child = counter.args(["-p", &pid.to_string()]).spawn();
            counters.push((child.with_context(|| format!("cannot start {}", self.name()))?, output));
        }
        std::thread::sleep(ATTACH);
        let done = work();
        for (counter, _) in &mut counters {
            if let Some(pid) = i32::try_from(counter.id()).ok().and_then(Pid::from_raw) {
                // It may have ended with what it looked at.
                let _ = kill_process(pid, Signal::INT);
            }
            counter.wait()?;
        }
        done?;
        counters.iter().map(|(_, output)| self.read(output)).collect()
    }
}

/// `N;;event;…` a line.
fn perf(text: &str) -> Calls {
    let mut calls = Calls::default();
    for line in text.lines() {
        let mut fields = line.split(';');
        let Some(count) = fields.next().and_then(|word| word.parse::<u64>().ok()) else { continue };
        match fields.nth(1) {
            Some("raw_syscalls:sys_enter") => calls.all += count,
            Some(_) => calls.syncs += count,
            None => {}
        }
    }
    calls
}

/// `% time, seconds, usecs/call, calls, [errors,] name` a line, and a total that is not taken.
fn strace(text: &str) -> Calls {
    let mut calls = Calls::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(name), Some(count)) =
            (words.last(), words.get(3).and_then(|word| word.parse::<u64>().ok()))
        else {
            continue;
        };
        if *name == "total" {
            continue;
        }
        calls.all += count;
        if SYNCS.contains(name) {
            calls.syncs += count;
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counters_print_is_read() {
        let text = "# started on Wed\n\n43754;;raw_syscalls:sys_enter;618214601;100.00;;\n\
            14;;syscalls:sys_enter_fsync;618214601;100.00;;\n2;;syscalls:sys_enter_msync;1;100.00;;\n\
            <not supported>;;syscalls:sys_enter_syncfs;0;100.00;;\n";
        assert_eq!(perf(text), Calls { all: 43_754, syncs: 16 });
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            60.00    0.001000          10       100         2 openat\n \
            40.00    0.000500          50        10           fsync\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.001500          13       110         2 total\n";
        assert_eq!(strace(text), Calls { all: 110, syncs: 10 });
    }
}
