//! Which team and workflow do the goal, and the tasks they make of it.

use super::no_goal;
use super::setup::{Setup, from_diagnostics, with_cause};
use windlass_api::request::RunRequest;
use windlass_api::{ApiError, ErrorKind};
use windlass_core::graph;
use windlass_events::spec::Shape;
use windlass_events::{RuntimeKind, TaskId, TaskSpec};
use windlass_resources::diag::Diagnostic;
use windlass_resources::plan::{self, Options, Planned};

/// Which team and workflow, and their tasks.
pub(super) fn planned(request: &RunRequest, goal: &str, setup: &Setup) -> Result<(Planned, Shape), ApiError> {
    let refused = |d: Box<Diagnostic>| {
        let kind = if d.code == "untrusted" { ErrorKind::Refused } else { ErrorKind::Usage };
        from_diagnostics(kind, &[with_cause(*d, &setup.catalog)])
    };
    let runtime = |text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => RuntimeKind::parse(text).map(Some).ok_or_else(|| {
            let all: Vec<&str> = RuntimeKind::ALL.iter().map(|k| k.as_str()).collect();
            ApiError::new(ErrorKind::Usage, format!("there is no runtime `{text}`"))
                .hint(format!("one of: {}", all.join(", ")))
        }),
    };
    let options = Options {
        runtime: runtime(&request.runtime)?,
        default_runtime: Some(setup.config.runtime()),
        model: request.model.clone(),
        default_model: setup.config.model().map(str::to_owned),
        gates: request.gates.clone(),
        project_gates: setup.project_gates(),
        repair_rounds: setup.config.repair_rounds(),
        concurrency: setup.config.concurrency(),
        ..Options::default()
    };
    let catalog = &setup.catalog;
    let build = |team: &windlass_resources::team::Team, workflow: &windlass_resources::workflow::Workflow| {
        plan::build(team, workflow, catalog, goal, &options)
            .map_err(|found| from_diagnostics(ErrorKind::Usage, &found))
    };
    if let Some(name) = &request.agent {
        if request.team.is_some() || request.workflow.is_some() {
            return Err(ApiError::new(
                ErrorKind::Usage,
                "`--agent` runs one agent alone; leave out `--team` and `--workflow`",
            ));
        }
        let agent = catalog.agents.get(name).map_err(refused)?;
        let (team, workflow) = plan::single(agent, request.role.as_deref());
        let shape = Shape {
            team: None,
            workflow: "agent".to_owned(),
            reason: format!("agent {name} alone, as asked"),
            other: String::new(),
        };
        return Ok((build(&team, &workflow)?, shape));
    }
    let (team, workflow, reason, other) = match (&request.team, &request.workflow) {
        (Some(team), workflow) => {
            let team = catalog.teams.get(team).map_err(refused)?;
            let workflow = workflow.as_deref().unwrap_or_else(|| team.workflow());
            (team, catalog.workflows.get(workflow).map_err(refused)?, "as asked".to_owned(), String::new())
        }
        (None, Some(name)) => {
            let workflow = catalog.workflows.get(name).map_err(refused)?;
            let team = catalog
                .teams
                .usable()
                .find(|t| t.workflow() == name)
                .or_else(|| catalog.teams.usable().find(|t| plan::check(t, workflow, catalog).is_ok()));
            let team = match team {
                Some(team) => team,
                None => catalog.teams.get("implementation").map_err(refused)?,
            };
            (team, workflow, format!("workflow {name}, as asked"), String::new())
        }
        (None, None) => {
            let choice = windlass_resources::shape::choose(goal, setup.config.team());
            let team = catalog.teams.get(&choice.team).map_err(refused)?;
            let workflow = catalog.workflows.get(team.workflow()).map_err(refused)?;
            (team, workflow, choice.reason, choice.hint)
        }
    };
    let shape = Shape { team: Some(team.name.clone()), workflow: workflow.name.clone(), reason, other };
    let mut planned = build(team, workflow)?;
    // An agent that is told to do nothing would still cost something.
    if goal.is_empty() && !workflow.about_changes && planned.needs_goal {
        return Err(no_goal());
    }
    if let Some(max) = setup.config.max_concurrency() {
        planned.limits.run = planned.limits.run.min(max).max(1);
    }
    Ok((planned, shape))
}

/// Puts every task after what it depends on, and otherwise keeps the order of the file.
pub(super) fn in_order(tasks: Vec<TaskSpec>) -> Result<Vec<TaskSpec>, ApiError> {
    let named: Vec<(String, Vec<String>)> = tasks
        .iter()
        .map(|t| (t.id.to_string(), t.depends_on.iter().map(TaskId::to_string).collect()))
        .collect();
    let order = graph::order(&named).map_err(|e| ApiError::new(ErrorKind::Usage, e.to_string()))?;
    let mut slots: Vec<Option<TaskSpec>> = tasks.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|i| slots.get_mut(i).and_then(Option::take)).collect())
}
