//! What a word on the command line names: a run, a task of one, or a task of the newest run.

use crate::context::Context;
use crate::names;
use windlass_api::{ApiError, ErrorKind};
use windlass_core::Run;
use windlass_core::task::Task;
use windlass_engine::RunDir;
use windlass_events::{RunId, TaskId};

/// A run as it was read, and a task of it where one was named.
pub(super) struct Target {
    pub(super) run: Run,
    pub(super) dir: RunDir,
    pub(super) task: Option<TaskId>,
}

impl Target {
    fn of(context: &Context, id: RunId, task: Option<&str>) -> Result<Self, ApiError> {
        let (run, dir) = names::load(context, id)?;
        let task = task.map(|name| names::task(&run, name)).transpose()?;
        Ok(Self { run, dir, task })
    }

    /// The named task.
    pub(super) fn task(&self) -> Option<&Task> {
        self.task.as_ref().and_then(|id| self.run.task_by_id(id))
    }
}

/// Whether a word names a run beyond doubt: a whole id, or `last`.
pub(super) fn is_run(context: &Context, word: &str) -> bool {
    word == "last" || RunId::parse(word).is_ok_and(|id| context.paths.project_of(id).is_some())
}

/// RUN, RUN/TASK, or nothing for the newest run of this project.
pub(super) fn address(context: &Context, word: Option<&str>) -> Result<Target, ApiError> {
    let Some(word) = word else { return Target::of(context, names::to_look(context, None)?, None) };
    let (run, task) = names::split(word);
    Target::of(context, names::run(context, run)?, task)
}

/// RUN, RUN/TASK, or TASK of the newest run of this project; with a second word, RUN TASK.
pub(super) fn run_or_task(
    context: &Context,
    first: Option<&str>,
    second: Option<&str>,
) -> Result<Target, ApiError> {
    let Some(word) = first else { return address(context, None) };
    if let Some(task) = second {
        if word.contains('/') {
            let text = format!("`{}` names a task already", windlass_resources::diag::escape(word));
            return Err(ApiError::new(ErrorKind::Usage, text).hint("give RUN/TASK, or RUN TASK"));
        }
        return Target::of(context, names::run(context, word)?, Some(task));
    }
    if word.contains('/') || is_run(context, word) {
        return address(context, Some(word));
    }
    // A task of the newest run by its whole name comes before a run by its beginning.
    let newest = newest(context);
    let exact = |t: &Task| t.spec.id.as_str() == word || t.spec.step == word;
    if let Some(mut target) = newest {
        if target.run.tasks.iter().any(exact) {
            target.task = Some(names::task(&target.run, word)?);
            return Ok(said(context, target));
        }
        let as_run = match names::run(context, word) {
            Ok(run) => return Target::of(context, run, None),
            Err(e) => e,
        };
        return match names::task(&target.run, word) {
            Ok(task) => {
                target.task = Some(task);
                Ok(said(context, target))
            }
            Err(as_task) => Err(neither(word, target.run.id, as_run, as_task)),
        };
    }
    Target::of(context, names::run(context, word)?, None)
}

/// The newest run of this project, if there is one that can be read.
pub(super) fn newest(context: &Context) -> Option<Target> {
    let id = names::run(context, "last").ok()?;
    Target::of(context, id, None).ok()
}

/// Says which run was taken, since none was named.
fn said(context: &Context, target: Target) -> Target {
    crate::print::note(context, &format!("run {}", target.run.id));
    target
}

/// What is wrong with a word that names neither a run nor a task of the newest run.
fn neither(word: &str, newest: RunId, as_run: ApiError, as_task: ApiError) -> ApiError {
    let word = windlass_resources::diag::escape(word);
    // More than one could be meant: that says more than that none is.
    if !as_run.message.starts_with("there is no run") {
        return as_run;
    }
    if as_task.message.contains("could be") {
        return as_task;
    }
    let near = if as_task.hint.starts_with("did you mean") { as_task.hint } else { as_run.hint };
    ApiError::new(ErrorKind::Usage, format!("there is no run `{word}`, and run {newest} has no such task"))
        .hint(near)
}
