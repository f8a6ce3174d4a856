//! Whether a team and a workflow fit together: every step has a role, every role in use an agent, and each can do what is asked.

use super::graph::{Findings, Graph};
use super::{expand, roles};
use crate::agent::Agent;
use crate::catalog::Catalog;
use crate::diag::{Diagnostic, quote};
use crate::grow::Growth;
use crate::team::{Role, Team};
use crate::workflow::{MAX_STEPS, Step, Workflow};
use std::borrow::Cow;
use std::collections::HashMap;
use windlass_events::spec::Access;

/// Checks that a team and a workflow fit together: the graph, and that every step has a role and every role in use an agent.
///
/// # Errors
/// Everything that is wrong, at most some tens of findings.
pub fn check<'c>(
    team: &Team,
    workflow: &'c Workflow,
    catalog: &'c Catalog,
) -> Result<Checked<'c>, Vec<Diagnostic>> {
    let mut findings = Findings::new(&workflow.source.path);
    if workflow.steps.len() > MAX_STEPS {
        return Err(vec![
            Diagnostic::error("too-many-steps", format!("more than {MAX_STEPS} steps"))
                .in_file(&workflow.source.path),
        ]);
    }
    if workflow.steps.is_empty() && !workflow.from_gates {
        findings.add(|| {
            Diagnostic::error("no-steps", format!("workflow {} has no steps", quote(&workflow.name)))
        });
    }
    let workflow = expand::expand(workflow, Some(catalog))?;
    let mut cast = Cast::new(team, catalog);
    let mut step_roles = Vec::with_capacity(workflow.steps.len());
    for step in &workflow.steps {
        let Some(at) = cast.role(step, &mut findings) else { continue };
        step_roles.push(at);
        if matches!(step.grows, Growth::Plan { .. }) {
            // A plan may name any of them.
            (0..team.roles.len()).for_each(|at| cast.look_up(at, &mut findings));
        }
        if let Some(agent) = cast.agents[at] {
            fits(step, &team.roles[at], agent, &mut findings);
        }
        if step.worktree {
            findings.add(|| not_yet("`worktree: true`", &format!("step {}", quote(&step.id))).at(step.pos));
        }
    }
    if team.worktree {
        findings.add(|| {
            not_yet("`workspaceMode: worktree`", &format!("team {}", quote(&team.name)))
                .in_file(&team.source.path)
        });
    }
    let graph = match Graph::of(&workflow) {
        Ok(graph) => Some(graph),
        Err(list) => {
            list.into_iter().for_each(|d| findings.add(|| d));
            None
        }
    };
    let agents = cast.agents;
    let checked = findings.result(graph.map(|graph| (graph, agents, step_roles)))?;
    match checked {
        Some((graph, agents, roles)) => Ok(Checked { workflow, graph, agents, roles }),
        // A graph without a finding exists; this only keeps the compiler's view of it.
        None => Err(Vec::new()),
    }
}

/// Who plays the roles of a team, looked up once each.
struct Cast<'t, 'c> {
    team: &'t Team,
    catalog: &'c Catalog,
    names: HashMap<&'t str, usize>,
    pub(super) agents: Vec<Option<&'c Agent>>,
    looked_up: Vec<bool>,
}

impl<'t, 'c> Cast<'t, 'c> {
    fn new(team: &'t Team, catalog: &'c Catalog) -> Self {
        let count = team.roles.len();
        Self {
            team,
            catalog,
            names: team.roles.iter().enumerate().map(|(n, r)| (r.name.as_str(), n)).collect(),
            agents: vec![None; count],
            looked_up: vec![false; count],
        }
    }

    /// The position of a step's role, whose agent is then looked up.
    fn role(&mut self, step: &Step, findings: &mut Findings<'_>) -> Option<usize> {
        let team = self.team;
        let at = self.names.get(step.role.as_str()).copied();
        match at {
            Some(at) => self.look_up(at, findings),
            None => findings.add(|| {
                Diagnostic::error(
                    "unknown-role",
                    format!(
                        "step {} needs the role {}, which team {} does not have",
                        quote(&step.id),
                        quote(&step.role),
                        quote(&team.name)
                    ),
                )
                .at(step.pos)
                .did_you_mean(&step.role, team.roles.iter().map(|r| r.name.as_str()))
            }),
        }
        at
    }

    fn look_up(&mut self, at: usize, findings: &mut Findings<'_>) {
        if std::mem::replace(&mut self.looked_up[at], true) {
            return;
        }
        let (team, role) = (self.team, &self.team.roles[at]);
        match self.catalog.agents.get(&role.agent) {
            Ok(agent) => self.agents[at] = Some(agent),
            Err(d) => findings.add(|| {
                let mut d = *d;
                d.message =
                    format!("role {} of team {}: {}", quote(&role.name), quote(&team.name), d.message);
                d.path.clone_from(&team.source.path);
                d.pos = (role.pos.line > 0).then_some(role.pos);
                d
            }),
        }
    }
}

/// Whether what a step becomes fits what its agent may do.
fn fits(step: &Step, role: &Role, agent: &Agent, findings: &mut Findings<'_>) {
    let writes = roles::access(&role.name, agent, step) == Access::Write;
    let own_id = step.id.strip_suffix("-try").unwrap_or(&step.id);
    if matches!(step.grows, Growth::Alike { .. }) && writes {
        findings.add(|| {
            Diagnostic::error(
                "best-of-writers",
                format!(
                    "step {}: `bestOf` is for steps that only read; candidates that write would share one tree",
                    quote(own_id)
                ),
            )
            .at(step.pos)
            .help("say `writes: false`, and let a step after it carry out what was chosen")
        });
    }
    if step.rounds.is_none() {
        return;
    }
    let conflict = match step.grows {
        Growth::Plan { .. } => Some((
            "`loop` does not fit a step that makes a plan",
            "its plan can name gates, and a plan of which something failed is made again: `replans: N`",
        )),
        _ if step.gates.is_empty() && !step.verify && !writes => Some((
            "`loop` ends when gates are green, and the step has none",
            "give it a line such as `gate: make test`",
        )),
        _ => None,
    };
    if let Some((text, help)) = conflict {
        findings.add(|| {
            Diagnostic::error("loop-without-gate", format!("step {}: {text}", quote(&step.id)))
                .at(step.pos)
                .help(help)
        });
    }
}

/// What a file asks for and this version does not do is refused: ignoring it would run something else than was written.
fn not_yet(what: &str, whose: &str) -> Diagnostic {
    Diagnostic::error("not-supported", format!("{whose} asks for {what}, which this version does not do"))
        .help("take the key out to run without it")
}

/// A team and a workflow that fit together.
#[derive(Debug)]
pub struct Checked<'c> {
    /// The workflow with every step that a run has.
    pub(super) workflow: Cow<'c, Workflow>,
    /// The graph of its steps.
    pub graph: Graph,
    /// The agent of each role of the team that a step uses.
    pub(super) agents: Vec<Option<&'c Agent>>,
    /// The role of each step, by position in the team.
    pub(super) roles: Vec<usize>,
}
