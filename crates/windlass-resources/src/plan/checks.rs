//! Runs that are made from gates alone.

use super::{GATE_LIMIT_MS, MAX_GATES, Options, Planned};
use crate::diag::Diagnostic;
use crate::team::Team;
use crate::workflow::Workflow;
use std::collections::BTreeMap;
use windlass_events::ids::TaskId;
use windlass_events::spec::{Access, AgentSpec, GateSource, GateSpec, Limits, RuntimeKind, TaskSpec};

/// The tasks of a workflow that is made from gates: one `command` each, all at once, no model.
pub(super) fn build(team: &Team, workflow: &Workflow, options: &Options) -> Result<Planned, Vec<Diagnostic>> {
    let mut gates: Vec<GateSpec> = Vec::new();
    let typed = options.gates.iter().map(|c| GateSpec {
        command: c.clone(),
        source: GateSource::User,
        limit_ms: GATE_LIMIT_MS,
    });
    for gate in typed.chain(options.project_gates.iter().cloned()) {
        if !gates.iter().any(|g| g.command == gate.command) {
            gates.push(gate);
        }
    }
    if gates.is_empty() {
        return Err(vec![
            Diagnostic::error("no-gates", "there is nothing to check: no gate is set, and none was found that may be run")
                .help("name one with `--gate \"COMMAND\"`, or keep it with `windlass config set run.gates '[\"COMMAND\"]'`"),
        ]);
    }
    if gates.len() > MAX_GATES {
        return Err(vec![Diagnostic::error(
            "too-many-gates",
            format!("more than {MAX_GATES} different gates in one run"),
        )]);
    }
    let mut agents = BTreeMap::new();
    let mut tasks = Vec::with_capacity(gates.len());
    for (n, gate) in gates.iter().enumerate() {
        let name = format!("check-{}", n + 1);
        agents.insert(
            name.clone(),
            AgentSpec {
                name: name.clone(),
                command: vec!["sh".to_owned(), "-c".to_owned(), gate.command.clone()],
                source: workflow.source.path.clone(),
                ..AgentSpec::default()
            },
        );
        tasks.push(TaskSpec {
            id: TaskId::for_step(n + 1, &gate.command),
            step: name.clone(),
            role: "check".to_owned(),
            agent: name,
            instructions: gate.command.clone(),
            depends_on: Vec::new(),
            runtime: match options.runtime {
                Some(RuntimeKind::Scaffold) => RuntimeKind::Scaffold,
                _ => RuntimeKind::Command,
            },
            model: None,
            access: Access::Read,
            cold: false,
            check: true,
            shared_writes: false,
            repeat_never: false,
            gates: Vec::new(),
            reads: Vec::new(),
            output: None,
            skills: Vec::new(),
            attempts: 2,
            silence_ms: 0,
            wall_ms: gate.limit_ms,
            flow: windlass_events::Flow::default(),
        });
    }
    let run = options.workers(team.max_concurrency.unwrap_or(4));
    Ok(Planned {
        worst_case_starts: 2 * tasks.len() as u64,
        limits: Limits { run, roles: BTreeMap::new() },
        tasks,
        agents,
        gates: Vec::new(),
        skills: BTreeMap::new(),
        needs_goal: false,
        notices: Vec::new(),
    })
}
