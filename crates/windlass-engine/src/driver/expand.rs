//! Reading what a task grows into: the plan that its worker wrote, or the list that another one did.

use crate::driver::context::{Ctx, Home, Msg};
use crate::driver::launch::result_of;
use crate::machine::In;
use std::io::Read;
use std::sync::Arc;
use windlass_core::plan::{tasks_of_list, tasks_of_plan};
use windlass_core::{Input, Run};
use windlass_events::event::ResultRef;
use windlass_events::{AttemptNo, Grow, TaskId};

/// The longest text of a plan or a list that is read; a longer one is refused.
const READ_LIMIT: u64 = (1 << 20) + 1;

/// What is read, taken from the run's state when it was released.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    task: TaskId,
    n: AttemptNo,
    grow: Grow,
    /// `None` where there is no text to read: so many tasks alike.
    text: Option<Option<ResultRef>>,
}

impl Source {
    /// What the task grows from; `None` when it does not.
    pub(crate) fn of(run: &Run, id: &TaskId, n: AttemptNo) -> Option<Self> {
        let task = run.task_by_id(id)?;
        let grow = task.spec.flow.grow.clone()?;
        let text = match &grow {
            Grow::Plan(_) => Some(task.attempt(n)?.end.as_ref().and_then(|e| e.result.clone())),
            Grow::Each(each) => each.over.as_ref().map(|over| run.task_by_id(over).and_then(result_of)),
        };
        Some(Self { task: id.clone(), n, grow, text })
    }
}

/// Reads it and tells the machine.
pub(crate) async fn expand(ctx: Arc<Ctx>, home: Arc<Home>, source: Source) {
    let (task, n) = (source.task.clone(), source.n);
    let h = home.clone();
    let made = tokio::task::spawn_blocking(move || {
        let text = match &source.text {
            None => None,
            Some(None) => return Err(vec!["there is no result to read it from".to_owned()]),
            Some(Some(result)) => Some(read(&h, result)?),
        };
        match &source.grow {
            Grow::Plan(plan) => {
                tasks_of_plan(text.as_deref().unwrap_or_default(), &source.task, plan, &h.spec.gates)
            }
            Grow::Each(each) => tasks_of_list(text.as_deref(), &source.task, each),
        }
    })
    .await
    .unwrap_or_else(|_| Err(vec!["reading it failed".to_owned()]));
    ctx.tell(Msg::In(In::Run(home.run, Input::Expanded { task, n, made })));
}

fn read(home: &Home, result: &ResultRef) -> Result<String, Vec<String>> {
    let path = home.dir.0.join(&result.path);
    let wrong = |e: std::io::Error| vec![format!("{} cannot be read: {e}", path.display())];
    let mut bytes = Vec::new();
    std::fs::File::open(&path).map_err(wrong)?.take(READ_LIMIT).read_to_end(&mut bytes).map_err(wrong)?;
    let cut = result.bytes > bytes.len() as u64 && bytes.len() as u64 == READ_LIMIT;
    // One that is too long is refused for that, by what there is of it.
    if !cut && blake3::hash(&bytes).to_hex().as_str() != result.hash {
        return Err(vec![format!(
            "{} is not what the worker wrote; `windlass doctor --fix` makes it again",
            path.display()
        )]);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
