//! Which files hold what the workers and gates of a run wrote: one section per attempt and per try of a gate.

use windlass_core::Run;
use windlass_core::task::{Attempt, GateTry, Task};
use windlass_engine::RunDir;
use windlass_events::event::GateKey;
use windlass_events::{AttemptNo, AttemptStatus, Millis, RuntimeKind, TaskId};

/// Whose words a section holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whose {
    /// An attempt's.
    Attempt(TaskId, AttemptNo),
    /// A gate's.
    Gate(GateKey),
}

/// One attempt or one try of a gate.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub(super) whose: Whose,
    pub(super) started_at: Millis,
    /// What understands it; `None` where lines are shown as written.
    pub(super) runtime: Option<RuntimeKind>,
    /// The agent's session as planned.
    pub(super) session: Option<String>,
    /// What it is, for people.
    pub(super) title: String,
    /// Whether the journal says that it has ended.
    pub(super) over: bool,
}

/// What of a run is wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) task: Option<TaskId>,
    pub(super) attempt: Option<AttemptNo>,
}

impl Section {
    /// Its file.
    pub(super) fn spool(&self, dir: &RunDir) -> std::path::PathBuf {
        match &self.whose {
            Whose::Attempt(task, n) => dir.spool(task, *n),
            Whose::Gate(key) => dir.gate_spool(key),
        }
    }

    /// The task whose section it is; `None` for gates before anything was done.
    pub(super) fn task(&self) -> Option<&TaskId> {
        match &self.whose {
            Whose::Attempt(task, _) => Some(task),
            Whose::Gate(key) => key.task.as_ref(),
        }
    }

    fn attempt(task: &Task, attempt: &Attempt) -> Self {
        let spec = &task.spec;
        let model = attempt.end.as_ref().and_then(|e| e.model.as_deref()).or(attempt.model.as_deref());
        let model = model.map(|m| format!(" · {m}")).unwrap_or_default();
        Self {
            whose: Whose::Attempt(spec.id.clone(), attempt.n),
            started_at: attempt.started_at,
            runtime: spec.runtime.is_model().then_some(spec.runtime),
            session: attempt.session.clone(),
            title: format!("{} attempt {} · {}{model}", spec.id, attempt.n, spec.runtime),
            over: !matches!(attempt.status, AttemptStatus::Running),
        }
    }

    fn gate(run: &Run, task: Option<&TaskId>, gate: &GateTry) -> Self {
        let command = run.spec.gates.get(gate.gate as usize).map_or("", |g| g.command.as_str());
        let whose = task.map_or_else(|| "before anything".to_owned(), ToString::to_string);
        let again = if gate.n > 1 { format!(" · try {}", gate.n) } else { String::new() };
        Self {
            whose: Whose::Gate(GateKey { task: task.cloned(), gate: gate.gate, n: gate.n }),
            started_at: gate.started_at,
            runtime: None,
            session: None,
            title: format!("{whose} gate {} · {command}{again}", gate.gate + 1),
            over: gate.end.is_some() || gate.lost,
        }
    }
}

/// The sections of a run, in the order of their start. Attempts that were never started have none.
pub(super) fn sections(run: &Run, wanted: &Wanted) -> Vec<Section> {
    let mut all = Vec::new();
    if wanted.task.is_none() && wanted.attempt.is_none() {
        all.extend(run.baseline_tries.iter().map(|g| Section::gate(run, None, g)));
    }
    for task in run.tasks.iter().filter(|t| wanted.task.as_ref().is_none_or(|id| t.spec.id == *id)) {
        let fits = |n: AttemptNo| wanted.attempt.is_none_or(|wanted| wanted == n);
        let started = task.attempts.iter().filter(|a| a.status != AttemptStatus::Voided && fits(a.n));
        all.extend(started.map(|a| Section::attempt(task, a)));
        let tries = task.gates.iter().filter(|g| fits(g.attempt));
        all.extend(tries.map(|g| Section::gate(run, Some(&task.spec.id), g)));
    }
    all.sort_by_key(|s| s.started_at);
    all
}
