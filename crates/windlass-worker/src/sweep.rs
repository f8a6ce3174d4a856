//! The sweep after a killed shim: finds what is left of an attempt without it.
//!
//! The kernel kills the agent itself together with its shim. Its descendants carry the attempt's marker in their environment, or
//! descend from one that does, or are in the agent's session. They are looked for until two rounds in a row find nothing.

use crate::MARK_VARIABLE;
use crate::error::WorkerError;
use crate::process::ProcessId;
use crate::record::NamedProcess;
use crate::sys::{self, procfs};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// How long the sweep goes on before it names what is left. Killed processes are normally gone within milliseconds.
const MAX_MS: u64 = 4_000;

/// What a sweep did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SweepReport {
    /// Killed.
    pub killed: Vec<NamedProcess>,
    /// Left alone, by the keep list.
    pub kept: Vec<NamedProcess>,
    /// Still there. Empty means that nothing of the attempt is alive; otherwise a person has to look.
    pub left: Vec<NamedProcess>,
}

/// Kills what is left of a dead attempt: everything with its marker and everything below that, but for programs named in `keep`. `agent`, from the
/// spool's [`crate::record::Started`] record where there is one, extends this to the agent's session.
///
/// Blocks for some milliseconds, at most about four seconds. Never signals the calling process, and none whose number has been
/// reused. Call it only when [`crate::probe`] says [`crate::Probe::Dead`]: a live shim ends its own.
///
/// # Errors
/// [`WorkerError::Sys`] when `/proc` cannot be read, which proves nothing about what is alive.
pub fn sweep_marked(
    marker: &str,
    agent: Option<ProcessId>,
    keep: &[String],
) -> Result<SweepReport, WorkerError> {
    let variable = [MARK_VARIABLE.as_bytes(), b"=", marker.as_bytes()].concat();
    let mut killed = BTreeMap::new();
    let mut report = SweepReport::default();
    let until = sys::monotonic_ms() + MAX_MS;
    let mut quiet_rounds = 0;
    let mut pause = 1;
    loop {
        let found = find(&variable, agent).map_err(|e| WorkerError::sys("look for processes in /proc", e))?;
        report.kept.clear();
        report.left.clear();
        for (process, stat) in found {
            let named = NamedProcess { process, name: stat.name.clone() };
            if !keep.is_empty() && procfs::program_names(process.pid, &stat).iter().any(|n| keep.contains(n))
            {
                report.kept.push(named);
                continue;
            }
            if matches!(process.signal(9), Ok(true)) {
                killed.entry(process).or_insert_with(|| named.clone());
            }
            report.left.push(named);
        }
        quiet_rounds = if report.left.is_empty() { quiet_rounds + 1 } else { 0 };
        if quiet_rounds == 2 || sys::monotonic_ms() >= until {
            break;
        }
        if quiet_rounds == 0 {
            std::thread::sleep(Duration::from_millis(pause));
            pause = (pause * 2).min(50);
        }
    }
    report.killed = killed.into_values().collect();
    Ok(report)
}

/// Everything alive that belongs to the attempt.
fn find(variable: &[u8], agent: Option<ProcessId>) -> std::io::Result<Vec<(ProcessId, procfs::Stat)>> {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let all: HashMap<i32, procfs::Stat> = procfs::all()?
        .into_iter()
        .filter(|pid| *pid != me && *pid > 1)
        .filter_map(|pid| procfs::stat(pid).map(|s| (pid, s)))
        .collect();
    // Session numbers are reused as process numbers are, though not while one of its members lives. If the number's process is
    // another than the agent, the session may be as well, and is left alone.
    let session = agent.filter(|a| a.pid > 1 && all.get(&a.pid).is_none_or(|s| s.start == a.start));
    let mut ours: HashSet<i32> = all
        .iter()
        .filter(|(pid, s)| {
            !s.is_dead()
                && (session.is_some_and(|a| s.session == a.pid && s.start >= a.start)
                    || procfs::has_variable(**pid, variable))
        })
        .map(|(pid, _)| *pid)
        .collect();
    // Whoever cleared its environment is found below one that did not.
    loop {
        let more: Vec<i32> = all
            .iter()
            .filter(|(pid, s)| !s.is_dead() && !ours.contains(pid) && ours.contains(&s.ppid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        ours.extend(more);
    }
    Ok(all
        .into_iter()
        .filter(|(pid, _)| ours.contains(pid))
        .map(|(pid, s)| (ProcessId { pid, start: s.start }, s))
        .collect())
}
