//! What is said of tasks that become others, and of those that others became.

use windlass_api::growth::{GrowthDoc, GrowthKind, PartsDoc};
use windlass_api::status::TaskDoc;
use windlass_core::{Run, Task};
use windlass_events::{Grow, Join, TaskSpec};

/// What a task becomes; `None` where it is one task.
pub(crate) fn growth(spec: &TaskSpec) -> Option<GrowthDoc> {
    let grow = spec.flow.grow.as_ref()?;
    let (kind, over) = match grow {
        Grow::Plan(_) => (GrowthKind::Plan, None),
        Grow::Each(each) => match &each.over {
            Some(over) => (GrowthKind::List, Some(over.to_string())),
            None => (GrowthKind::Alike, None),
        },
    };
    let needed = match grow.join() {
        Join::All => None,
        Join::AtLeast(n) => Some(n),
    };
    Some(GrowthDoc { kind, max: grow.max(), needed, over })
}

/// Fills in what a task's document says of growth.
pub(crate) fn fill(run: &Run, task: &Task, doc: &mut TaskDoc) {
    doc.growth = growth(&task.spec);
    if doc.growth.is_some() && task.grown.revision > 0 {
        doc.parts = Some(PartsDoc {
            revision: task.grown.revision,
            total: u32::try_from(task.grown.parts.len()).unwrap_or(u32::MAX),
            completed: task.grown.done,
            open: task.grown.open,
            needed: task.parts_needed(),
        });
    }
    let flow = &task.spec.flow;
    doc.excused = task.excused;
    let Some(parent) = &flow.parent else { return };
    doc.parent = Some(parent.clone());
    let of_list = run.task_by_id(parent).is_some_and(|t| matches!(t.spec.flow.grow, Some(Grow::Each(_))));
    // The tasks of a list are known by what they are about, those of a plan by the name that the plan gives them.
    if of_list {
        doc.item =
            Some(flow.phase.clone()).filter(|text| !text.is_empty()).or_else(|| Some(flow.item.clone()));
    } else {
        doc.item = Some(flow.item.clone());
        doc.phase = Some(flow.phase.clone());
    }
}
