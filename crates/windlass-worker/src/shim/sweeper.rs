//! Kills what the agent left behind.
//!
//! Only direct children are killed: until they are reaped, which only the shim can do, their numbers cannot be reused. Their
//! own children then become the shim's, because it is a subreaper, and fall in the next round.

use super::machine::SweepRound;
use crate::process::ProcessId;
use crate::record::NamedProcess;
use crate::sys::procfs;
use rustix::process::{Pid, Signal};
use std::collections::HashSet;

#[derive(Default)]
pub(super) struct Sweeper {
    /// Killed already, and perhaps still dying.
    killed: HashSet<ProcessId>,
}

impl Sweeper {
    /// One round. The caller has just reaped what had ended.
    pub(super) fn round(&mut self, keep: &[String]) -> SweepRound {
        let mut round = SweepRound::default();
        let children = match procfs::own_children() {
            Ok(children) => children,
            Err(e) => {
                // Not knowing is not the same as none.
                let process = ProcessId { pid: 0, start: 0 };
                round.left.push(NamedProcess { process, name: format!("unknown: cannot read /proc: {e}") });
                return round;
            }
        };
        for pid in children {
            let Some(stat) = procfs::stat(pid).filter(|s| !s.is_dead()) else { continue };
            let process = ProcessId { pid, start: stat.start };
            let named = NamedProcess { process, name: stat.name.clone() };
            if !keep.is_empty() && procfs::program_names(pid, &stat).iter().any(|n| keep.contains(n)) {
                round.kept.push(named);
                continue;
            }
            if let Some(number) = Pid::from_raw(pid) {
                let sent = rustix::process::kill_process(number, Signal::KILL);
                if sent.is_ok() && self.killed.insert(process) {
                    round.killed.push(named.clone());
                }
            }
            round.left.push(named);
        }
        round
    }
}
