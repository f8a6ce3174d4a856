//! `graph`: the tasks of a run, or the steps of a workflow.

use super::runs::{document, stdout_look};
use super::target;
use crate::cli::GraphArgs;
use crate::context::Context;
use crate::{names, print, watch};
use serde_json::{Value, json};
use std::borrow::Cow;
use windlass_api::growth::{GrowthDoc, GrowthKind};
use windlass_api::{ApiError, ErrorKind};
use windlass_engine::{prepare::Setup, query};
use windlass_events::Join;
use windlass_resources::grow::Growth;
use windlass_resources::plan;
use windlass_resources::workflow::Workflow;
use windlass_view::graph::{Node, mermaid, run_nodes, tree};
use windlass_view::{Overlay, RunView};

/// Draws the graph of a run or workflow.
pub(crate) fn graph(context: &Context, args: &GraphArgs) -> Result<u8, ApiError> {
    let Some(word) = args.what.as_deref() else {
        return of_run(context, args, None);
    };
    if target::is_run(context, word) {
        return of_run(context, args, Some(word));
    }
    let setup = setup(context)?;
    let catalog = &setup.catalog;
    let workflow = match catalog.workflows.entry(word) {
        Some(_) => Some(catalog.workflows.get(word).map_err(|d| wrong(&d))?),
        // A team's name means its workflow.
        None => match catalog.teams.get(word) {
            Ok(team) => Some(catalog.workflows.get(team.workflow()).map_err(|d| wrong(&d))?),
            Err(_) => None,
        },
    };
    if let Some(workflow) = workflow {
        let nodes = workflow_nodes(workflow, &setup);
        return print_nodes(context, args, &nodes, json!({ "workflow": workflow.name }), |_| Value::Null);
    }
    if names::run(context, word).is_ok() {
        return of_run(context, args, Some(word));
    }
    let known = catalog.workflows.usable().map(|w| w.name.as_str());
    let near = windlass_resources::diag::nearest(word, known).map(windlass_resources::diag::escape);
    let shown = windlass_resources::diag::escape(word);
    let error = ApiError::new(ErrorKind::Usage, format!("there is no run and no workflow `{shown}`"));
    Err(match near {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("`windlass list` and `windlass workflows` show what there is"),
    })
}

fn wrong(found: &windlass_resources::diag::Diagnostic) -> ApiError {
    ApiError::new(ErrorKind::Usage, found.said()).hint(found.help.clone().unwrap_or_default())
}

/// What is set up here.
fn setup(context: &Context) -> Result<Setup, ApiError> {
    let (_, repo) = query::project_of_dir(context.git().as_ref(), &context.cwd, &query::stops());
    Setup::load(&context.cwd, repo.map(|r| r.top().to_owned()), &Context::all_env())
}

fn of_run(context: &Context, args: &GraphArgs, word: Option<&str>) -> Result<u8, ApiError> {
    let target = target::address(context, word)?;
    let doc = document(context, &target.run, &target.dir, false);
    let overlay = Overlay::default();
    let view = RunView::new(&doc, &overlay, watch::now());
    let status =
        |id: &str| doc.tasks.iter().find(|t| t.id.as_str() == id).map_or(Value::Null, |t| json!(t.status));
    print_nodes(context, args, &run_nodes(&view), json!({ "run": target.run.id }), status)
}

/// Steps, or the gates of this project for a workflow that is made of them.
fn workflow_nodes(workflow: &Workflow, setup: &Setup) -> Vec<Node> {
    if workflow.from_gates {
        return (1..)
            .zip(setup.project_gates())
            .map(|(n, gate)| {
                let mut node = Node::step(format!("gate{n}"), "gate", Vec::new());
                node.label = gate.command;
                node
            })
            .collect();
    }
    // One that is wrong is drawn as its file has it; `validate` says what is wrong.
    let whole = plan::expand::expand(workflow, Some(&setup.catalog)).unwrap_or(Cow::Borrowed(workflow));
    whole
        .steps
        .iter()
        .map(|step| {
            let after = step.depends_on.iter().map(|d| d.as_str().to_owned()).collect();
            let about = match growth(&step.grows) {
                Some(growth) => format!("{} · {}", step.role, growth.words()),
                None => step.role.clone(),
            };
            Node::step(step.id.as_str(), about, after)
        })
        .collect()
}

/// What a step becomes besides one task.
fn growth(grows: &Growth) -> Option<GrowthDoc> {
    let doc = |kind, max, join: Join, over| {
        let needed = match join {
            Join::All => None,
            Join::AtLeast(n) => Some(n),
        };
        Some(GrowthDoc { kind, max, needed, over })
    };
    match grows {
        Growth::One | Growth::BestOf { .. } | Growth::Workflow(_) => None,
        Growth::Plan { max, .. } => doc(GrowthKind::Plan, *max, Join::All, None),
        Growth::Each { over, max, join } => {
            doc(GrowthKind::List, *max, *join, Some(over.as_str().to_owned()))
        }
        Growth::Alike { n } => doc(GrowthKind::Alike, *n, Join::AtLeast(1), None),
    }
}

fn print_nodes(
    context: &Context,
    args: &GraphArgs,
    nodes: &[Node],
    mut of: Value,
    status: impl Fn(&str) -> Value,
) -> Result<u8, ApiError> {
    if context.global.json {
        of["nodes"] = nodes
            .iter()
            .map(|n| {
                let label = if n.label.is_empty() { &n.id } else { &n.label };
                json!({
                    "id": n.id, "label": label, "about": n.about, "depends_on": n.after, "status": status(&n.id),
                })
            })
            .collect();
        if args.mermaid {
            of["mermaid"] = json!(mermaid(nodes));
        }
        print::json(&of)?;
    } else if args.mermaid {
        print::out(mermaid(nodes).as_bytes())?;
    } else if nodes.is_empty() {
        print::note(context, "it has no steps here: this project has no gates that may be used");
    } else {
        print::lines(context, &tree(nodes, &stdout_look(context)))?;
    }
    Ok(0)
}
