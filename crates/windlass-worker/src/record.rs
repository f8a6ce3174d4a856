//! What is told about an attempt: the records inside the spool's frames, as JSON that later versions may only add to.

use crate::process::ProcessId;
use crate::spec::AttemptKey;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version of claim, frames and control messages that this program writes.
pub const PROTOCOL: u32 = 1;

/// At most this many processes are named in a record; the counts are always whole.
pub const MAX_NAMED: usize = 16;

/// The first frame of a spool: who owns the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The version of everything the shim writes and speaks.
    pub protocol: u32,
    /// Whose attempt it is.
    pub key: AttemptKey,
    /// The boot in which `shim` is a process.
    pub boot_id: String,
    /// The shim. Where its socket cannot be reached, SIGTERM through [`ProcessId::signal`] makes it stop its worker and leave.
    pub shim: ProcessId,
    /// Where the shim listens for an engine that did not start it.
    pub socket: PathBuf,
    /// The value of [`crate::MARK_VARIABLE`] in every process of the attempt.
    pub marker: String,
    /// Programs that a sweep leaves alone.
    #[serde(default)]
    pub keep: Vec<String>,
}

/// The agent runs. Written when it has run for some milliseconds, so that short work costs no further write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The agent, which leads a session and process group of its own.
    pub agent: ProcessId,
}

/// How the agent process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentExit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What the agent and those of its descendants that it waited for used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rusage {
    /// Processor time in user mode, in milliseconds.
    pub user_ms: u64,
    /// Processor time in the kernel, in milliseconds.
    pub system_ms: u64,
    /// The largest resident set of one process, in kilobytes.
    pub max_rss_kb: u64,
}

/// Why the shim ended the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoppedBy {
    /// An engine asked for it on behalf of a person or a policy.
    Cancel,
    /// An engine asked for it because the final answer was there and the agent did not leave.
    Drain,
    /// No byte for too long.
    Silence,
    /// Ran too long.
    Wall,
    /// Wrote too much.
    OutputLimit,
    /// It never ran.
    CannotStart,
    /// The engine that it was tied to is gone.
    Tied,
    /// The shim itself was asked to end, as at shutdown.
    Terminated,
    /// It never began: an engine found no claim and made sure that none comes any more.
    Voided,
}

/// Something worth knowing later. Times are those of the frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "kebab-case")]
pub enum Note {
    /// The worker is being stopped.
    Stopping {
        /// Why.
        by: StoppedBy,
    },
    /// The runtime's abort message went to standard input.
    AbortSent,
    /// A signal went to the agent.
    SignalSent {
        /// Its number.
        signal: i32,
    },
    /// The spool could not be written for a while; reading and the silence limit stood still.
    DiskWasFull {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// A note of a later version.
    #[serde(other)]
    Other,
}

/// The agent process has ended. Written before anything else of the attempt is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// How.
    pub exit: AgentExit,
    /// What it used.
    #[serde(default)]
    pub usage: Rusage,
}

/// A process and its name, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedProcess {
    /// The process.
    pub process: ProcessId,
    /// Its name as the kernel knows it.
    pub name: String,
}

/// What was found alive after the agent, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SweepTally {
    /// How many processes were killed.
    pub killed: u32,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub killed_names: Vec<String>,
    /// Left alone because their program is on the keep list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<NamedProcess>,
    /// Still there: not ours to kill, or stuck in the kernel. Empty means that the end is certain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<NamedProcess>,
}

/// How many bytes went where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ByteTotals {
    /// Kept of standard output, before secrets were replaced.
    pub stdout: u64,
    /// Kept of standard error, before secrets were replaced.
    pub stderr: u64,
    /// Taken by the agent from standard input.
    pub stdin: u64,
    /// Dropped by rule.
    pub dropped: u64,
    /// Discarded because the output limit was reached.
    pub over_limit: u64,
}

/// The last frame of a spool: the facts, no verdict.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndRecord {
    /// How the agent ended. `None`: it never ran, or its end could not be seen.
    pub exit: Option<AgentExit>,
    /// What ended it, if not itself.
    pub stopped_by: Option<StoppedBy>,
    /// Why it could not be started, in the operating system's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cannot_start: Option<String>,
    /// Whether the agent had to be killed.
    pub killed: bool,
    /// Whether its output had not ended when the sweep began, because another process still held it.
    pub pipes_forced: bool,
    /// Whether output beyond the limit was discarded.
    pub truncated: bool,
    /// How many secret values were replaced.
    #[serde(default)]
    pub redactions: u64,
    /// Byte counts.
    pub bytes: ByteTotals,
    /// What was left of the process tree.
    pub sweep: SweepTally,
    /// From start to end, in milliseconds of monotonic time.
    pub ran_ms: u64,
    /// What the agent used.
    #[serde(default)]
    pub usage: Rusage,
}

impl EndRecord {
    /// Whether the agent ended by itself with code 0. Whether it did its work is another question.
    pub fn is_clean_exit(&self) -> bool {
        self.exit == Some(AgentExit::Code(0)) && self.stopped_by.is_none() && !self.truncated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the first release wrote is read for ever.
    #[test]
    fn the_first_versions_records_are_read() {
        let claim: Claim = serde_json::from_str(
            r#"{"protocol":1,"key":{"run":"k7m2qd","task":"01_x","n":1},"boot_id":"b","shim":{"pid":5,"start":6},
                "socket":"/r/s","marker":"m","later":true}"#,
        )
        .unwrap();
        assert_eq!((claim.shim.pid, claim.key.n, claim.keep.len()), (5, 1, 0));
        let end: EndRecord = serde_json::from_str(
            r#"{"exit":{"signal":9},"stopped_by":"output-limit","killed":true,"pipes_forced":false,"truncated":true,
                "bytes":{"stdout":1,"stderr":2,"stdin":3,"dropped":4,"over_limit":5},
                "sweep":{"killed":1,"left":[{"process":{"pid":7,"start":8},"name":"sleep"}]},"ran_ms":10}"#,
        )
        .unwrap();
        assert_eq!((end.exit, end.stopped_by), (Some(AgentExit::Signal(9)), Some(StoppedBy::OutputLimit)));
        assert_eq!(end.sweep.left[0].name, "sleep");
        let note: Note = serde_json::from_str(r#"{"note":"from-the-future","x":1}"#).unwrap();
        assert_eq!(note, Note::Other);
        let note = Note::Stopping { by: StoppedBy::Wall };
        assert_eq!(serde_json::to_string(&note).unwrap(), r#"{"note":"stopping","by":"wall"}"#);
    }

    /// An end that cannot be read must not pass for another.
    #[test]
    fn an_incomplete_end_is_refused() {
        assert!(serde_json::from_str::<EndRecord>("{}").is_err());
        assert!(serde_json::from_str::<EndRecord>("null").is_err());
    }
}
