//! `show --plan`: the plan that a person is asked to approve, against the one before.

use super::runs::stdout_look;
use super::target::Target;
use super::{artifacts, journal};
use crate::context::Context;
use crate::{names, print};
use similar::{ChangeTag, TextDiff};
use std::collections::{BTreeMap, BTreeSet};
use windlass_api::inbox::{PlanMark, ProposalDoc, ProposedTask, TextChange};
use windlass_api::{ApiError, ErrorKind};
use windlass_core::{Run, Task};
use windlass_engine::RunDir;
use windlass_events::event::ResultRef;
use windlass_events::{Access, AttemptNo, Event, Grow, RunId, TaskId};
use windlass_store::SqliteReader;

/// Lines around a changed one that are shown.
const AROUND: usize = 3;
/// The longest text that is compared with the one before, in bytes.
const LONGEST: u64 = 1 << 20;

/// Shows the plan of a run.
pub(super) fn show(context: &Context, target: &Target) -> Result<u8, ApiError> {
    if target.task.is_some() {
        return Err(ApiError::new(ErrorKind::Usage, "a plan is a run's: name the run alone"));
    }
    let reader = journal::reader(context, target.run.id)?;
    let doc = proposal(&target.run, &target.dir, &reader)?;
    if context.global.json {
        print::json(&doc)?;
        return Ok(0);
    }
    print::lines(context, &windlass_view::approval::proposal(&doc, None, &stdout_look(context)))?;
    Ok(0)
}

/// The same for who asks about it: of a run by its id.
pub(crate) fn of_run(context: &Context, id: RunId) -> Result<ProposalDoc, ApiError> {
    let (run, dir) = names::load(context, id)?;
    proposal(&run, &dir, &journal::reader(context, id)?)
}

fn proposal(run: &Run, dir: &RunDir, reader: &SqliteReader) -> Result<ProposalDoc, ApiError> {
    let asked = run.asked.filter(|_| !run.is_ended() && !run.cancel);
    let held = run.held();
    let planner =
        held.and_then(|at| run.planner_of(at)).or_else(|| last_planner(run)).and_then(|at| run.task(at));
    let mut doc = ProposalDoc {
        run: run.id,
        goal: run.spec.goal.clone(),
        plan: asked.map_or(run.plan, |a| a.plan),
        asked: asked.is_some(),
        task: asked.and_then(|a| a.task).and_then(|at| run.task(at)).map(|t| t.spec.id.clone()),
        planner: planner.map(|t| t.spec.id.clone()),
        attempt: None,
        revision: 1,
        text: None,
        changes: None,
        tasks: Vec::new(),
    };
    match planner {
        Some(task) if matches!(task.spec.flow.grow, Some(Grow::Plan(_))) => {
            doc.attempt = (task.grown.from > 0).then_some(task.grown.from);
            doc.revision = task.grown.revision;
            doc.tasks = planned_tasks(run, &task.spec.id, reader)?;
        }
        Some(task) => {
            said(&mut doc, dir, task)?;
            doc.tasks = may_start(run, Some(task));
        }
        None => doc.tasks = may_start(run, None),
    }
    if doc.text.is_none() && doc.tasks.is_empty() {
        return Err(ApiError::new(ErrorKind::State, format!("run {} has no plan", run.id))
            .hint(format!("`windlass graph {}` shows its tasks", run.id)));
    }
    Ok(doc)
}

/// Where nothing is held: whoever planned last, or whose plan the first writer carried out.
fn last_planner(run: &Run) -> Option<u32> {
    let all = || (0u32..).zip(&run.tasks);
    let grew = all().filter(|(_, t)| t.grown.revision > 0 && matches!(t.spec.flow.grow, Some(Grow::Plan(_))));
    grew.map(|(at, _)| at).last().or_else(|| {
        all().filter(|(_, t)| t.spec.access == Access::Write).find_map(|(at, _)| run.planner_of(at))
    })
}

/// What the planner said last, and, after a person asked for another, how that differs from what it said before.
fn said(doc: &mut ProposalDoc, dir: &RunDir, task: &Task) -> Result<(), ApiError> {
    let results: Vec<(AttemptNo, &ResultRef)> =
        task.attempts.iter().filter_map(|a| Some((a.n, a.end.as_ref()?.result.as_ref()?))).collect();
    let Some((n, newest)) = results.last() else { return Ok(()) };
    let read = |r: &ResultRef| -> Result<String, ApiError> {
        Ok(String::from_utf8_lossy(&artifacts::read_checked(&dir.0, r)?).into_owned())
    };
    let text = read(newest)?;
    doc.attempt = Some(*n);
    doc.revision = u32::try_from(results.len()).unwrap_or(u32::MAX);
    if let [.., (_, before), _] = results.as_slice()
        && !task.told.is_empty()
        && before.bytes.max(newest.bytes) <= LONGEST
    {
        // What was said before may have been removed since; the plan that counts is there.
        doc.changes = read(before).ok().map(|before| changes(&before, &text));
    }
    doc.text = Some(text);
    Ok(())
}

/// The lines that changed, with some around them.
fn changes(before: &str, after: &str) -> Vec<TextChange> {
    let diff = TextDiff::from_lines(before, after);
    let mut all = Vec::new();
    for (at, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if at > 0 {
            all.push(TextChange { mark: PlanMark::Same, line: "…".to_owned() });
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let mark = match change.tag() {
                ChangeTag::Equal => PlanMark::Same,
                ChangeTag::Insert => PlanMark::Added,
                ChangeTag::Delete => PlanMark::Dropped,
            };
            all.push(TextChange { mark, line: change.value().trim_end_matches(['\n', '\r']).to_owned() });
        }
    }
    all
}

/// What starts when it is approved; once it is, what builds on it.
fn may_start(run: &Run, planner: Option<&Task>) -> Vec<ProposedTask> {
    let held = |t: &&Task| !t.status().is_terminal() && run.needs_approval(t);
    let any_held = run.tasks.iter().any(|t| held(&t));
    let after: Option<BTreeSet<u32>> =
        planner.and_then(|t| run.position(&t.spec.id)).map(|at| run.builds_on(at));
    let builds = |at: u32| after.as_ref().is_some_and(|all| all.contains(&at));
    (0u32..)
        .zip(&run.tasks)
        .filter(|(at, t)| if any_held { held(t) } else { builds(*at) })
        .map(|(_, t)| proposed(run, t, PlanMark::Same))
        .collect()
}

/// The tasks of an adaptive plan, each with a mark against the plan before, and those that it dropped.
fn planned_tasks(run: &Run, planner: &TaskId, reader: &SqliteReader) -> Result<Vec<ProposedTask>, ApiError> {
    let (mut before, mut now): (Vec<TaskId>, Vec<TaskId>) = (Vec::new(), Vec::new());
    journal::read_each(reader, run.id, 0, |stored| {
        if stored.seq > run.seq {
            return Ok(false);
        }
        if let Ok(Event::PlanMade { task, tasks, kept, .. }) = Event::from_json(&stored.body)
            && task == *planner
        {
            before = std::mem::take(&mut now);
            now = kept.into_iter().chain(tasks.into_iter().map(|t| t.id)).collect();
        }
        Ok(true)
    })?;
    let find = |ids: &[TaskId]| -> Vec<&Task> { ids.iter().filter_map(|id| run.task_by_id(id)).collect() };
    let (was, is) = (find(&before), find(&now));
    let item = |t: &Task| t.spec.flow.item.clone();
    let known: BTreeMap<String, &TaskId> = was.iter().map(|t| (item(t), &t.spec.id)).collect();
    let levels = levels(run, &is);
    let mut tasks: Vec<(u32, u32, ProposedTask)> = Vec::with_capacity(is.len());
    for task in &is {
        let mark = match known.get(&item(task)) {
            _ if was.is_empty() => PlanMark::Same,
            Some(id) if **id == task.spec.id => PlanMark::Same,
            Some(_) => PlanMark::Changed,
            None => PlanMark::Added,
        };
        let level = levels.get(&task.spec.id).copied().unwrap_or(0);
        let position = run.position(&task.spec.id).unwrap_or(u32::MAX);
        tasks.push((level, position, proposed(run, task, mark)));
    }
    tasks.sort_by_key(|(level, position, _)| (*level, *position));
    let wanted: BTreeSet<String> = is.iter().map(|t| item(t)).collect();
    let gone = was.iter().filter(|t| !wanted.contains(&item(t)));
    Ok(tasks.into_iter().map(|t| t.2).chain(gone.map(|t| proposed(run, t, PlanMark::Dropped))).collect())
}

/// How far from its beginning each task of a plan is: phases come in their order, whichever tasks were kept.
fn levels<'a>(run: &Run, tasks: &[&'a Task]) -> BTreeMap<&'a TaskId, u32> {
    let mut order: Vec<&&Task> = tasks.iter().collect();
    // A task comes after those that it depends on in a plan, and kept ones are older still.
    order.sort_by_key(|t| run.position(&t.spec.id));
    let mut levels: BTreeMap<&TaskId, u32> = BTreeMap::new();
    for task in order {
        let before = task.spec.depends_on.iter().filter_map(|d| levels.get(d)).max().map_or(0, |l| l + 1);
        levels.insert(&task.spec.id, before);
    }
    levels
}

fn proposed(run: &Run, task: &Task, mark: PlanMark) -> ProposedTask {
    let spec = &task.spec;
    let gate = |g: &u32| run.spec.gates.get(*g as usize).map(|g| g.command.clone());
    ProposedTask {
        mark,
        id: spec.id.clone(),
        item: spec.flow.item.clone(),
        phase: spec.flow.phase.clone(),
        role: spec.role.clone(),
        title: spec.step.clone(),
        instructions: spec.instructions.clone(),
        depends_on: spec.depends_on.clone(),
        gates: spec.gates.iter().filter(|g| run.gate_counts(**g)).filter_map(gate).collect(),
        writes: spec.access == Access::Write,
        status: task.status(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_shown_with_the_lines_around_it() {
        let before: String = (0..20).map(|n| format!("line {n}\n")).collect();
        let after = before.replace("line 9\n", "line nine\n");
        let shown: Vec<(PlanMark, String)> =
            changes(&before, &after).into_iter().map(|c| (c.mark, c.line)).collect();
        assert_eq!(shown.len(), 8, "{shown:?}");
        assert!(shown.contains(&(PlanMark::Dropped, "line 9".into())));
        assert!(shown.contains(&(PlanMark::Added, "line nine".into())));
        assert!(changes(&before, &before).is_empty());
    }
}
