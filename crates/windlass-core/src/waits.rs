//! What a run waits for, each wait with its name, who or what ends it, since when and until when: the one source of `status`,
//! `inbox`, the summary of `windlass` alone and `show --why`.
//!
//! A wait is no death: it stands in the state, survives every process, and the run goes on when it ends. Nothing here reads a
//! clock; an instant that nobody knows is `None`.

use crate::Run;
use crate::run::Baseline;
use crate::task::{Phase, Task};
use crate::why::Command;
use serde::Serialize;
use windlass_events::event::{CapKind, WaitFor};
use windlass_events::spec::RedGate;
use windlass_events::{ErrorClass, Millis, TaskId, TaskStatus};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    /// A person's word after a restart of the machine.
    Restart,
    /// A shell that has the secret values of the environment.
    Environment,
    /// A higher cap, or for the time cap a word.
    Cap,
    /// A person who looks at a task.
    Attention,
    /// A person who changes what keeps everything from starting.
    Blocked,
    /// A person's answer.
    Answer,
    /// A person's approval.
    Approval,
    /// Another run's turn in the tree to end.
    Tree,
    /// A provider to recover.
    Quota,
    /// A pause before a new attempt.
    Pause,
}

impl WaitKind {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Environment => "environment",
            Self::Cap => "cap",
            Self::Attention => "needs_attention",
            Self::Blocked => "blocked",
            Self::Answer => "answer",
            Self::Approval => "approval",
            Self::Tree => "tree",
            Self::Quota => "quota",
            Self::Pause => "pause",
        }
    }

    /// Whether a person ends it, and nothing else does.
    pub const fn is_for_person(self) -> bool {
        !matches!(self, Self::Tree | Self::Quota | Self::Pause)
    }

    /// The word of the journal; `None` where the run is blocked instead, or merely pauses.
    pub const fn of_journal(self) -> Option<WaitFor> {
        match self {
            Self::Restart => Some(WaitFor::Restart),
            Self::Environment => Some(WaitFor::Environment),
            Self::Answer => Some(WaitFor::Answer),
            Self::Approval => Some(WaitFor::Approval),
            Self::Tree => Some(WaitFor::Tree),
            Self::Quota => Some(WaitFor::Quota),
            Self::Cap | Self::Attention | Self::Blocked | Self::Pause => None,
        }
    }
}

/// Who or what ends a wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "ends", rename_all = "snake_case")]
pub enum Ender {
    /// A person, with one of these commands; the one that lets it go on is first.
    Person {
        /// Commands.
        commands: Vec<Command>,
    },
    /// The clock.
    Time,
    /// Another run, as it was named.
    OtherRun {
        /// Who.
        who: String,
    },
}

/// A wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// For what.
    pub kind: WaitKind,
    /// Task that waits; `None` when the whole run does.
    pub task: Option<TaskId>,
    /// Since when.
    pub since: Millis,
    /// When it ends by itself; `None` when it does not, or nobody knows when.
    pub until: Option<Millis>,
    /// Who or what ends it.
    pub ender: Ender,
    /// What is missing or in the way, as the journal says it; may be empty.
    pub on: String,
}

impl Wait {
    /// What a person types to end it, the command that lets it go on first.
    pub fn commands(&self) -> &[Command] {
        match &self.ender {
            Ender::Person { commands } => commands,
            Ender::Time | Ender::OtherRun { .. } => &[],
        }
    }
}

impl Run {
    /// Everything that the run waits for, what holds the most first. Empty at its end, and while it is being cancelled.
    ///
    /// A run may wait and work at once: who only reads goes on while a person looks at a plan.
    pub fn waits(&self) -> impl Iterator<Item = Wait> + '_ {
        let over = self.is_ended() || self.cancel;
        let own = (!over).then(|| {
            let named = [WaitFor::Restart, WaitFor::Environment].into_iter().filter_map(|w| self.named(w));
            let asked = self.red_gates_asked().into_iter().chain(self.approval_asked());
            named.chain(self.stopped()).chain(asked).chain(self.named(WaitFor::Tree)).chain(self.pauses())
        });
        own.into_iter().flatten()
    }

    /// The first thing that only a person ends.
    pub fn waits_for(&self) -> Option<Wait> {
        self.waits().find(|w| w.kind.is_for_person())
    }

    /// A wait that is named in the journal.
    fn named(&self, wait: WaitFor) -> Option<Wait> {
        let (_, on, since) = self.waiting.as_ref().filter(|w| w.0 == wait)?;
        let (kind, ender) = match wait {
            WaitFor::Restart => (WaitKind::Restart, resume()),
            WaitFor::Environment => (WaitKind::Environment, resume()),
            _ => (WaitKind::Tree, Ender::OtherRun { who: on.clone() }),
        };
        Some(Wait { kind, task: None, since: *since, until: None, ender, on: on.clone() })
    }

    /// Why nothing can start until a person has changed something.
    fn stopped(&self) -> Option<Wait> {
        let failure = self.blocked.as_ref()?;
        let needing = || self.tasks.iter().filter(|t| t.phase == Phase::Ended(TaskStatus::NeedsAttention));
        let task = needing().next().filter(|_| self.reached.is_none());
        let (kind, commands) = match (self.reached, task) {
            (Some(cap), _) => (WaitKind::Cap, vec![Command::Resume { raise: self.raised(cap) }]),
            (None, Some(task)) => {
                let id = || task.spec.id.clone();
                let one = needing().nth(1).is_none();
                let again = Command::Retry { task: one.then(id) };
                (WaitKind::Attention, vec![again, Command::Why { task: id() }])
            }
            (None, None) => (WaitKind::Blocked, vec![Command::Resume { raise: None }]),
        };
        Some(Wait {
            kind,
            task: task.map(|t| t.spec.id.clone()),
            since: self.updated_at,
            until: None,
            ender: Ender::Person { commands },
            on: failure.message.clone(),
        })
    }

    fn red_gates_asked(&self) -> Option<Wait> {
        if self.baseline != Baseline::Asked || self.blocked.is_some() {
            return None;
        }
        // Where the run waits for something else first, the instant of the question is not named any more.
        let said = self.waiting.as_ref().filter(|w| w.0 == WaitFor::Answer);
        let since = said.map(|w| w.2).or(self.paused_at).unwrap_or(self.updated_at);
        let answers = [RedGate::Mend, RedGate::LeaveOut, RedGate::Stop];
        Some(Wait {
            kind: WaitKind::Answer,
            task: None,
            since,
            until: None,
            ender: Ender::Person { commands: answers.map(|with| Command::Answer { with }).to_vec() },
            on: said.map(|w| w.1.clone()).unwrap_or_default(),
        })
    }

    fn approval_asked(&self) -> Option<Wait> {
        let asked = self.asked.filter(|_| self.blocked.is_none())?;
        Some(Wait {
            kind: WaitKind::Approval,
            task: asked.task.and_then(|at| self.task(at)).map(|t| t.spec.id.clone()),
            since: asked.at,
            until: None,
            ender: Ender::Person { commands: vec![Command::Approve, Command::Reject, Command::Plan] },
            on: String::new(),
        })
    }

    /// Tasks that come again by themselves, the earliest first.
    fn pauses(&self) -> impl Iterator<Item = Wait> + '_ {
        let due = self.due.iter().filter(|_| self.blocked.is_none());
        due.filter_map(|(until, at)| {
            let task = self.task(*at)?;
            let last = task.last_attempt();
            Some(Wait {
                kind: if waits_for_provider(task) { WaitKind::Quota } else { WaitKind::Pause },
                task: Some(task.spec.id.clone()),
                since: last.and_then(|a| a.ended_at).unwrap_or(self.updated_at),
                until: Some(*until),
                ender: Ender::Time,
                on: String::new(),
            })
        })
    }

    /// Twice the cap that is reached, rounded up to whole dollars. Time begins anew with a resume, without being raised.
    pub(crate) fn raised(&self, cap: CapKind) -> Option<(CapKind, u64)> {
        const DOLLAR: u64 = 1_000_000;
        match cap {
            CapKind::Usd => {
                let used = self.usage.cost_microusd.saturating_add(1);
                let twice = self.caps.microusd?.saturating_mul(2).max(used);
                Some((cap, twice.div_ceil(DOLLAR).max(1).saturating_mul(DOLLAR)))
            }
            CapKind::Tokens => {
                let limit = self.caps.tokens.or(self.caps.unpriced_tokens)?;
                Some((cap, limit.saturating_mul(2).max(self.usage.tokens().saturating_add(1))))
            }
            CapKind::Wall => None,
        }
    }
}

fn resume() -> Ender {
    Ender::Person { commands: vec![Command::Resume { raise: None }] }
}

/// Whether the provider is to blame for the pause. What only the worker is to blame for is no wait for a provider.
fn waits_for_provider(task: &Task) -> bool {
    let class = task.last_attempt().and_then(|a| a.end.as_ref()?.failure.as_ref()).map(|f| f.class);
    matches!(
        class,
        Some(
            ErrorClass::RateLimit
                | ErrorClass::Overloaded
                | ErrorClass::Network
                | ErrorClass::Provider
                | ErrorClass::Quota
        )
    )
}
