//! What workers write as plans and lists, good and bad, and what the driver makes of it. The text is a function of the
//! history's seed, the task and how many of its attempts have ended: whoever reads it again reads the same.

use crate::rng::Rng;
use windlass_core::Run;
use windlass_core::plan::{PLAN_END, PLAN_START, tasks_of_list, tasks_of_plan};
use windlass_events::spec::TaskSpec;
use windlass_events::{AttemptNo, Grow, RunId, TaskId};

/// A generator that only what is named here determines.
pub(crate) fn chance_of(salt: u64, run: RunId, words: &[&str], n: u64) -> Rng {
    let mut hash = salt ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bytes = run.as_str().bytes().chain(words.iter().flat_map(|w| w.bytes().chain([0])));
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    Rng::new(hash)
}

/// How many attempts of a task have ended before its attempt `n` or with it: what was lost or never started made no difference
/// to its work.
pub(crate) fn ended_before(run: &Run, id: &TaskId, n: AttemptNo) -> u64 {
    let attempts = run.task_by_id(id).map_or(&[][..], |t| &t.attempts);
    attempts.iter().filter(|a| a.n < n && a.end.is_some()).count() as u64
}

/// What a task grows into, as the driver reads it; `None` where the run does not have it any more.
pub(crate) fn read(
    run: &Run,
    id: &TaskId,
    n: AttemptNo,
    salt: u64,
) -> Option<Result<Vec<TaskSpec>, Vec<String>>> {
    let task = run.task_by_id(id)?;
    let grow = task.spec.flow.grow.as_ref()?;
    let mut rng = chance_of(salt, run.id, &["plan", id.as_str()], ended_before(run, id, n));
    Some(match grow {
        Grow::Plan(plan) => tasks_of_plan(&plan_text(&mut rng, plan.max), id, plan, &run.spec.gates),
        Grow::Each(each) => match &each.over {
            None => tasks_of_list(None, id, each),
            Some(over) => {
                // The list is the work of another task: it changes when that is done again.
                let done = ended_before(run, over, AttemptNo::MAX);
                let mut rng = chance_of(salt, run.id, &["list", over.as_str()], done);
                tasks_of_list(Some(&list_text(&mut rng, each.max)), id, each)
            }
        },
    })
}

/// A plan: mostly a good one.
fn plan_text(rng: &mut Rng, max: u32) -> String {
    let kind = rng.below(12);
    if kind == 0 {
        return "I would rather not.".to_owned();
    }
    let count = if kind == 1 { u64::from(max) + 1 } else { 1 + rng.below(u64::from(max.max(1))) };
    let mut items: Vec<serde_json::Value> = Vec::new();
    for i in 0..count {
        let role = if kind == 2 && i == 0 {
            "emperor"
        } else {
            rng.pick(&["executor", "tester"]).unwrap_or("executor")
        };
        let mut item = serde_json::json!({
            "id": format!("i{}", if kind == 3 { 0 } else { i }),
            "role": role,
            "task": rng.pick(&["one", "two"]).unwrap_or("one"),
        });
        if let (true, Some(item)) = (i > 0 && rng.chance(2, 3), item.as_object_mut()) {
            let deps: Vec<String> = (0..i).filter(|_| rng.coin()).map(|d| format!("i{d}")).collect();
            item.insert("dependsOn".to_owned(), serde_json::json!(deps));
        }
        if let (true, Some(item)) = (kind == 4 && i == 0, item.as_object_mut()) {
            item.insert("dependsOn".to_owned(), serde_json::json!(["i0"]));
        }
        items.push(item);
    }
    let plan = if rng.coin() {
        serde_json::json!({ "tasks": items })
    } else {
        let (first, rest) = items.split_at(rng.index(items.len()));
        let phases: Vec<_> = [first, rest]
            .into_iter()
            .filter(|tasks| !tasks.is_empty())
            .map(|tasks| serde_json::json!({ "tasks": tasks }))
            .collect();
        serde_json::json!({ "phases": phases })
    };
    format!("My plan:\n{PLAN_START}\n{plan}\n{PLAN_END}\n")
}

/// A list: of a few items, of none, of too many, or none at all.
fn list_text(rng: &mut Rng, max: u32) -> String {
    match rng.below(10) {
        0 => "nothing to say".to_owned(),
        1 => "[]".to_owned(),
        2 => serde_json::json!((0..=max).collect::<Vec<_>>()).to_string(),
        _ => (0..=rng.below(u64::from(max.max(1)))).map(|i| format!("- item {i}\n")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_again_is_the_same() {
        let run = RunId::from_number(3);
        let text = |n| plan_text(&mut chance_of(1, run, &["plan", "t"], n), 4);
        assert_eq!(text(1), text(1));
        assert!((0..20).any(|n| text(n) != text(1)));
    }
}
