//! Runs and tasks as people name them: an id, a unique beginning, `last`, RUN/TASK.

use crate::context::Context;
use crate::here;
use crate::print;
use windlass_api::{ApiError, ErrorKind};
use windlass_core::Run;
use windlass_engine::driver::projects::OpenError;
use windlass_engine::query;
use windlass_events::{RunId, TaskId};
use windlass_store::{ListFilter, ReadStore, StoreError};

/// How many runs are looked through for a beginning or `last`.
const LOOKED_THROUGH: usize = 10_000;

fn wrong(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::Usage, message)
}

/// Runs of a project, newest first.
fn runs_of(context: &Context, dir: &std::path::Path) -> Result<Vec<RunId>, ApiError> {
    let broken = |e: &dyn std::fmt::Display| ApiError::new(ErrorKind::Missing, e.to_string());
    let reader = query::reader(&context.paths, dir).map_err(|e| broken(&e))?;
    let filter = ListFilter { unfinished: false, newest: Some(LOOKED_THROUGH) };
    Ok(reader.list(filter).map_err(|e| broken(&e))?.into_iter().map(|l| l.run).collect())
}

/// The newest run of this project.
fn newest(context: &Context) -> Result<RunId, ApiError> {
    let none = || {
        wrong("nothing was run in this project yet")
            .hint("`windlass run \"…\"` begins; `windlass list --all` shows every run")
    };
    let dir = here::project(context).ok_or_else(none)?;
    runs_of(context, &dir)?.first().copied().ok_or_else(none)
}

/// Which run a command that only looks is about: the newest of this project when none is named, and then says which.
pub(crate) fn to_look(context: &Context, name: Option<&str>) -> Result<RunId, ApiError> {
    match name {
        Some(name) => run(context, name),
        None => {
            let run = newest(context)?;
            print::note(context, &format!("run {run}"));
            Ok(run)
        }
    }
}

/// Which run a command that acts is about: it must be named, unless exactly one is live.
pub(crate) fn to_act(context: &Context, name: Option<&str>) -> Result<RunId, ApiError> {
    if let Some(name) = name {
        return run(context, name);
    }
    let unfinished = match here::project(context) {
        Some(dir) => query::unfinished(&context.paths, &dir)
            .map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))?,
        None => Vec::new(),
    };
    match unfinished.as_slice() {
        [one] => Ok(*one),
        [] => {
            Err(wrong("no run of this project is under way; name the run").hint("`windlass list` shows them"))
        }
        many => {
            let names: Vec<&str> = many.iter().map(RunId::as_str).collect();
            Err(wrong(format!("{} runs are under way; name one: {}", many.len(), names.join(", "))))
        }
    }
}

/// A run by id, unique beginning, or `last`.
pub(crate) fn run(context: &Context, name: &str) -> Result<RunId, ApiError> {
    if name == "last" {
        return newest(context);
    }
    if let Ok(id) = RunId::parse(name)
        && context.paths.project_of(id).is_some()
    {
        return Ok(id);
    }
    let mut all: Vec<RunId> = Vec::new();
    for dir in context.paths.all_projects() {
        let Ok(entries) = std::fs::read_dir(dir.join("runs")) else { continue };
        all.extend(entries.flatten().filter_map(|e| RunId::parse(e.file_name().to_str()?).ok()));
    }
    let found: Vec<RunId> =
        all.iter().copied().filter(|id| !name.is_empty() && id.as_str().starts_with(name)).collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            let near =
                windlass_resources::diag::nearest(name, all.iter().map(RunId::as_str)).map(str::to_owned);
            let error = wrong(format!(
                "there is no run `{}` on this machine",
                windlass_resources::diag::escape(name)
            ));
            Err(match near {
                Some(near) => {
                    error.hint(format!("did you mean `{near}`? `windlass list --all` shows every run"))
                }
                None => error.hint("`windlass list --all` shows every run"),
            })
        }
        many => {
            let names: Vec<&str> = many.iter().take(8).map(RunId::as_str).collect();
            Err(wrong(format!("`{name}` could be {}; give more of it", names.join(", "))))
        }
    }
}

/// A task of a run, by id, step, or unique beginning of either.
pub(crate) fn task(run: &Run, name: &str) -> Result<TaskId, ApiError> {
    let exact = run.tasks.iter().find(|t| t.spec.id.as_str() == name || t.spec.step == name);
    if let Some(task) = exact {
        return Ok(task.spec.id.clone());
    }
    let found: Vec<&TaskId> = run
        .tasks
        .iter()
        .filter(|t| {
            !name.is_empty() && (t.spec.id.as_str().starts_with(name) || t.spec.step.starts_with(name))
        })
        .map(|t| &t.spec.id)
        .collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let near = windlass_resources::diag::nearest(name, run.tasks.iter().map(|t| t.spec.id.as_str()));
            let error =
                wrong(format!("run {} has no task `{}`", run.id, windlass_resources::diag::escape(name)));
            Err(match near {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!("`windlass status {}` lists them", run.id)),
            })
        }
        many => {
            let names: Vec<String> = many.iter().take(8).map(ToString::to_string).collect();
            Err(wrong(format!("`{name}` could be {}; give more of it", names.join(", "))))
        }
    }
}

/// Splits RUN/TASK. A word without a slash is a run.
pub(crate) fn split(address: &str) -> (&str, Option<&str>) {
    match address.split_once('/') {
        Some((run, task)) => (run, Some(task)),
        None => (address, None),
    }
}

/// A run's state and files, read from its journal.
pub(crate) fn load(context: &Context, run: RunId) -> Result<(Run, windlass_engine::RunDir), ApiError> {
    query::load(&context.paths, run).map_err(|e| unreadable(&e))
}

/// Why a run's journal cannot be read, and what to do.
pub(crate) fn unreadable(e: &OpenError) -> ApiError {
    let kind = match e {
        OpenError::NoRun(_) => ErrorKind::Usage,
        _ => ErrorKind::Missing,
    };
    let error = ApiError::new(kind, e.to_string());
    match e {
        // Says itself what to do.
        OpenError::TooNew { .. } | OpenError::Store(StoreError::TooNew { .. }) => error,
        _ => error.hint("`windlass doctor` looks into it"),
    }
}
