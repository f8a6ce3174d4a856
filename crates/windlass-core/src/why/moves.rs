//! What would move a task or a run: the event that is expected, the instant, or the command to type.

use super::{Follows, Reason, Rule, TurnHolder};
use crate::run::Run;
use crate::task::Task;
use serde::Serialize;
use windlass_events::event::{CapKind, WaitFor};
use windlass_events::spec::RedGate;
use windlass_events::{Millis, RunId, RunStatus, TaskId, TaskStatus};

/// Something that would move it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Move {
    /// An event that comes by itself.
    Event {
        /// Its type.
        event: &'static str,
        /// Task that it is of; `None` where it is the run's.
        task: Option<TaskId>,
        /// When it comes at the latest, where that is known.
        until: Option<Millis>,
    },
    /// The end of what one of these tasks does.
    EndOfAny {
        /// Tasks.
        tasks: Vec<TaskId>,
    },
    /// An instant.
    Time {
        /// When.
        at: Millis,
    },
    /// Somebody outside of the run gives the tree back.
    OtherRun {
        /// Who has it, as it was named.
        who: String,
    },
    /// A person types a command.
    Command {
        /// Which.
        command: Command,
    },
}

/// A command of `windlass` about this run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Command {
    /// `attach`: watches it, brings an engine where none leads it, and asks what there is to answer.
    Attach,
    /// `resume`: goes on, with a higher cap where one is named (millionths of a dollar, or tokens).
    Resume {
        /// The cap and its new value.
        raise: Option<(CapKind, u64)>,
    },
    /// `retry`: new attempts.
    Retry {
        /// Task; `None` is everything that failed.
        task: Option<TaskId>,
    },
    /// `approve`: the plan is as wanted.
    Approve,
    /// `reject`: the plan is to be made anew.
    Reject,
    /// `show --plan`: what is to be approved.
    Plan,
    /// `answer`: what a red gate means.
    Answer {
        /// The answer.
        with: RedGate,
    },
    /// `cancel`.
    Cancel {
        /// Task.
        task: TaskId,
    },
    /// `diff`: what it changed.
    Diff {
        /// Task.
        task: TaskId,
    },
    /// `logs`: what its worker and gates wrote.
    Logs {
        /// Task.
        task: TaskId,
    },
    /// `show --why` of a task.
    Why {
        /// Task.
        task: TaskId,
    },
}

impl Command {
    /// The command line, as it is typed.
    pub fn line(&self, run: RunId) -> String {
        match self {
            Self::Attach => format!("windlass attach {run}"),
            Self::Resume { raise: None } => format!("windlass resume {run}"),
            Self::Resume { raise: Some((CapKind::Usd, to)) } => {
                format!("windlass resume {run} --budget-usd {}", to.div_ceil(1_000_000))
            }
            Self::Resume { raise: Some((CapKind::Tokens, to)) } => {
                format!("windlass resume {run} --budget-tokens {to}")
            }
            Self::Resume { raise: Some((CapKind::Wall, to)) } => {
                format!("windlass resume {run} --timeout {}s", to.div_ceil(1_000))
            }
            Self::Retry { task: None } => format!("windlass retry {run}"),
            Self::Retry { task: Some(task) } => format!("windlass retry {run} {task}"),
            Self::Approve => format!("windlass approve {run}"),
            Self::Reject => format!("windlass reject {run} TEXT"),
            Self::Plan => format!("windlass show {run} --plan"),
            Self::Answer { with } => format!("windlass answer {run} {with}"),
            Self::Cancel { task } => format!("windlass cancel {run} {task}"),
            Self::Diff { task } => format!("windlass diff {run} {task}"),
            Self::Logs { task } => format!("windlass logs {run}/{task}"),
            Self::Why { task } => format!("windlass show {run}/{task} --why"),
        }
    }
}

const fn event(event: &'static str) -> Move {
    Move::Event { event, task: None, until: None }
}

fn event_of(event: &'static str, task: &TaskId, until: Option<Millis>) -> Move {
    Move::Event { event, task: Some(task.clone()), until }
}

const fn command(command: Command) -> Move {
    Move::Command { command }
}

pub(super) fn of_task(run: &Run, task: &Task, reasons: &[Reason], rule: Option<&Rule>) -> Vec<Move> {
    let mut moves = Moves::default();
    for reason in reasons {
        of_reason(run, Some(task), reason, &mut moves);
    }
    if let Some(rule) = rule {
        ended(run, task, rule, &mut moves);
    }
    moves.0
}

pub(super) fn of_run(run: &Run, reasons: &[Reason], rule: Option<&Rule>) -> Vec<Move> {
    let mut moves = Moves::default();
    for reason in reasons {
        of_reason(run, None, reason, &mut moves);
    }
    match rule {
        Some(Rule::TaskDecided { task }) => {
            if let Some(task) = task {
                moves.add(command(Command::Why { task: task.task.clone() }));
            }
            moves.add(command(Command::Retry { task: None }));
        }
        Some(Rule::Cancelled) => moves.add(command(Command::Resume { raise: None })),
        _ => {}
    }
    moves.0
}

/// Moves in order, each once.
#[derive(Default)]
struct Moves(Vec<Move>);

impl Moves {
    fn add(&mut self, one: Move) {
        if !self.0.contains(&one) {
            self.0.push(one);
        }
    }
}

fn of_reason(run: &Run, task: Option<&Task>, reason: &Reason, moves: &mut Moves) {
    let id = task.map(|t| &t.spec.id);
    // Of the task where it is about one.
    let own =
        |name: &'static str, until: Option<Millis>| Move::Event { event: name, task: id.cloned(), until };
    match reason {
        Reason::Planning { .. } => moves.add(event("tasks.planned")),
        Reason::Dependencies { on } => {
            for dep in on {
                moves.add(event_of("task.completed", &dep.task, None));
            }
            for dep in on {
                moves.add(command(Command::Why { task: dep.task.clone() }));
            }
        }
        Reason::Backoff { until, .. } => moves.add(Move::Time { at: *until }),
        Reason::RunSlots { by, .. } | Reason::RoleSlots { by, .. } => {
            if !by.is_empty() {
                moves.add(Move::EndOfAny { tasks: by.iter().map(|t| t.task.clone()).collect() });
            }
        }
        Reason::Turn { holder: TurnHolder::Task { task } } => {
            moves.add(Move::EndOfAny { tasks: vec![task.clone()] });
            moves.add(command(Command::Why { task: task.clone() }));
        }
        Reason::Turn { holder: TurnHolder::Other { who } } => moves.add(Move::OtherRun { who: who.clone() }),
        Reason::FirstGates { .. } => moves.add(event("gates.settled")),
        Reason::Waiting { wait, .. } => waited_for(run, *wait, moves),
        Reason::Cap { cap, .. } => moves.add(command(Command::Resume { raise: run.raised(*cap) })),
        Reason::Blocked { tasks, .. } => {
            for task in tasks {
                moves.add(command(Command::Why { task: task.clone() }));
            }
            match tasks.as_slice() {
                [] => moves.add(command(Command::Resume { raise: None })),
                [one] => moves.add(command(Command::Retry { task: Some(one.clone()) })),
                _ => moves.add(command(Command::Retry { task: None })),
            }
        }
        Reason::Cancelling { live } if live.is_empty() => moves.add(event("run.cancelled")),
        Reason::Cancelling { live } => {
            for task in live {
                moves.add(event_of("task.cancelled", &task.task, None));
            }
        }
        Reason::Keeping { .. } => moves.add(own("tree.kept", None)),
        Reason::Working { until, stopping, .. } => {
            moves.add(own("attempt.ended", *until));
            if let (Some(id), None) = (id, stopping) {
                moves.add(command(Command::Logs { task: id.clone() }));
                moves.add(command(Command::Cancel { task: id.clone() }));
            }
        }
        Reason::Expanding { .. } => moves.add(own("plan.made", None)),
        Reason::Parts { open, .. } => {
            for part in open {
                moves.add(event_of("task.completed", &part.task, None));
            }
            for part in open {
                moves.add(command(Command::Why { task: part.task.clone() }));
            }
        }
        Reason::Sweeping { .. } => moves.add(own("attempt.swept", None)),
        Reason::Checking { until, .. } => {
            moves.add(own("gate.ended", Some(*until)));
            if let Some(id) = id {
                moves.add(command(Command::Logs { task: id.clone() }));
            }
        }
        Reason::Tasks { live } => {
            moves.add(Move::EndOfAny { tasks: live.iter().map(|t| t.task.clone()).collect() });
        }
        Reason::Next { next } => {
            moves.add(match next {
                Follows::Start { turn: true, .. } | Follows::Gate { turn: true, .. } => {
                    own("turn.taken", None)
                }
                Follows::Start { turn: false, .. } => own("attempt.started", None),
                Follows::Gate { turn: false, .. } => own("gate.started", None),
                Follows::FirstGates => event("turn.taken"),
                Follows::Complete { .. } => own("task.completed", None),
                Follows::Fail { .. } => own("task.failed", None),
                Follows::Attention { .. } => own("task.needs_attention", None),
                Follows::Skip { .. } => own("task.skipped", None),
                Follows::Ask => own("approval.asked", None),
                Follows::Expand => own("plan.made", None),
                Follows::StopRest => event("cancel.requested"),
                Follows::Cancel => own("task.cancelled", None),
                Follows::Conclude => conclusion(run),
            });
            moves.add(command(Command::Attach));
        }
    }
}

fn conclusion(run: &Run) -> Move {
    if run.ended_with(TaskStatus::NeedsAttention) > 0 {
        event("run.blocked")
    } else if (run.ended_with(TaskStatus::Completed) + run.excused) as usize == run.tasks.len() {
        event("run.completed")
    } else {
        event("run.failed")
    }
}

fn waited_for(run: &Run, wait: WaitFor, moves: &mut Moves) {
    if matches!(wait, WaitFor::Quota | WaitFor::Tree) {
        moves.add(event("run.continued"));
        return;
    }
    match run.waits().find(|w| w.kind.of_journal() == Some(wait)) {
        Some(found) => found.commands().iter().for_each(|one| moves.add(command(one.clone()))),
        // Not said yet: whoever resumes says it all the same.
        None => moves.add(command(Command::Resume { raise: None })),
    }
}

/// What can be done about a task that has ended.
fn ended(run: &Run, task: &Task, rule: &Rule, moves: &mut Moves) {
    let id = &task.spec.id;
    let retry = || command(Command::Retry { task: Some(id.clone()) });
    match rule {
        Rule::ContractHeld { .. } | Rule::AllCompleted { .. } => {}
        Rule::Skipped { began, .. } => {
            for dep in began {
                moves.add(command(Command::Why { task: dep.task.clone() }));
            }
            for dep in began {
                moves.add(command(Command::Retry { task: Some(dep.task.clone()) }));
            }
        }
        Rule::Cancelled => {
            if run.end.as_ref().is_some_and(|e| e.status == RunStatus::Cancelled) {
                moves.add(command(Command::Resume { raise: None }));
            }
            moves.add(retry());
        }
        Rule::ReadOnlyChanged { .. } | Rule::NeverRepeated { .. } => {
            moves.add(command(Command::Diff { task: id.clone() }));
            moves.add(retry());
        }
        Rule::PartsMissing { ended, .. } => {
            for part in ended {
                moves.add(command(Command::Why { task: part.task.clone() }));
            }
            moves.add(command(Command::Retry { task: None }));
        }
        Rule::PlanRefused { .. }
        | Rule::NotSwept { .. }
        | Rule::TreeNotKept
        | Rule::Internal
        | Rule::TaskDecided { .. } => moves.add(retry()),
        Rule::AttemptsUsed { .. }
        | Rule::NoUseRepeating { .. }
        | Rule::GateRed { .. }
        | Rule::GateVanished { .. }
        | Rule::Verdict { .. } => {
            moves.add(command(Command::Logs { task: id.clone() }));
            moves.add(retry());
        }
    }
}
