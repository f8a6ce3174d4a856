//! Commands that act on runs: `wait cancel resume retry undo steer rm`.

use crate::cli::{CancelArgs, ResumeArgs, RetryArgs, RmArgs, SteerArgs, UndoArgs, WaitArgs};
use crate::commands::{answer, run::choice};
use crate::context::Context;
use crate::watch::{self, End, Options};
use crate::{ask, host, names, print};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use windlass_api::{ApiError, Client, ErrorKind, Reply, Request};
use windlass_core::Run;
use windlass_engine::query;
use windlass_events::{RunId, TaskStatus};
use windlass_view::theme::Tone;
use windlass_view::{Line, human};

/// How often `wait` looks.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// After how long without a change `wait` makes sure that an engine leads the runs.
const QUIET: Duration = Duration::from_secs(2);

/// Waits until runs stop. Ends with the exit code of a watched run: of the first with `--any`, else the worst.
pub(crate) fn wait(context: &Context, args: &WaitArgs) -> Result<u8, ApiError> {
    let names: Vec<RunId> = match args.runs.as_slice() {
        [] => match crate::here::project(context) {
            Some(dir) => query::unfinished(&context.paths, &dir)
                .map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))?,
            None => Vec::new(),
        },
        some => some.iter().map(|name| names::run(context, name)).collect::<Result<_, _>>()?,
    };
    if names.is_empty() {
        print::note(context, "no run of this project is under way");
    }
    let until = args.timeout.and_then(|c| c.0).map(|ms| Instant::now() + Duration::from_millis(ms as u64));
    let mut worst = 0;
    let mut last_change = Instant::now();
    let mut left = names.into_iter().map(|run| follow_stored(context, run)).collect::<Result<Vec<_>, _>>()?;
    while !left.is_empty() {
        let mut has_changed = false;
        let mut stopped = Vec::new();
        let mut goes_on = Vec::new();
        for mut one in left {
            has_changed |= look(&mut one)?;
            match watch::exit_code(one.run()) {
                Some(code) => stopped.push((code, one)),
                None => goes_on.push(one),
            }
        }
        left = goes_on;
        for (code, one) in stopped {
            let (run, state) = (one.run().id, one.run());
            worst = worse(worst, code);
            if context.global.json {
                print::json(
                    &serde_json::json!({ "run": run, "status": state.status(), "proof": state.proof(), "exit": code }),
                )?;
            } else {
                print::note(context, &format!("run {run} is {}", state.status()));
            }
            if args.any {
                return Ok(code);
            }
        }
        if left.is_empty() {
            break;
        }
        if until.is_some_and(|at| Instant::now() >= at) {
            return Ok(124);
        }
        if has_changed {
            last_change = Instant::now();
        } else if last_change.elapsed() > QUIET {
            // A run without a live engine gets one by being asked about.
            last_change = Instant::now();
            let folders: BTreeMap<&str, RunId> =
                left.iter().map(|one| (one.run().spec.cwd.as_str(), one.run().id)).collect();
            for (cwd, run) in folders {
                host::visit_run(context, run, cwd)?;
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(worst)
}

/// Names in a sentence; of very many the first.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 20;
    match names {
        [] => "nothing".to_owned(),
        few if few.len() <= SHOWN => few.join(", "),
        many => format!("{} and {} more", many[..SHOWN].join(", "), many.len() - SHOWN),
    }
}

/// A run that is followed from its journal.
fn follow_stored(context: &Context, run: RunId) -> Result<query::Following, ApiError> {
    query::Following::open(&context.paths, run).map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))
}

/// Whether a followed run changed since the last look.
fn look(one: &mut query::Following) -> Result<bool, ApiError> {
    one.look().map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))
}

/// The exit code that says more: a failure over one that waits for a person, that over none.
fn worse(a: u8, b: u8) -> u8 {
    let rank = |code: u8| match code {
        0 => 0,
        3 => 1,
        130 => 2,
        _ => 3,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// Stops a run or task.
pub(crate) fn cancel(context: &Context, args: &CancelArgs) -> Result<u8, ApiError> {
    let (name, in_address) = match args.run.as_deref() {
        Some(address) => {
            let (run, task) = names::split(address);
            (Some(run), task)
        }
        None => (None, None),
    };
    let run = names::to_act(context, name)?;
    let state = watch::stored(context, run)?;
    let task = match args.task.as_deref().or(in_address) {
        Some(task) => Some(names::task(&state, task)?),
        None => None,
    };
    if args.dry_run {
        let live: Vec<&str> = state
            .tasks
            .iter()
            .filter(|t| !t.status().is_terminal() && task.as_ref().is_none_or(|id| t.spec.id == *id))
            .map(|t| t.spec.id.as_str())
            .collect();
        if context.global.json {
            print::json(&serde_json::json!({ "run": run, "task": task, "tasks": live, "dry_run": true }))?;
        } else {
            print::out(format!("would stop: {}\n", listed(&live)).as_bytes())?;
        }
        return Ok(0);
    }
    host::ask(context, &Request::Cancel { run, task: task.clone(), by: "user".to_owned() })?;
    // What was asked is done when nothing of it is alive.
    let done = |state: &Run| match &task {
        None => state.is_ended(),
        Some(id) => state.task_by_id(id).is_none_or(|t| t.status().is_terminal()),
    };
    let state = until(context, run, done)?;
    if context.global.json {
        print::json(&serde_json::json!({ "run": run, "task": task, "status": state.status() }))?;
        return Ok(0);
    }
    match &task {
        None => {
            print::note(
                context,
                &format!("run {run} is {}; `windlass resume {run}` goes on", state.status()),
            );
        }
        Some(task) => print::note(context, &format!("task {task} of run {run} is cancelled")),
    }
    Ok(0)
}

/// Waits until the journal says that something is done, and sees to it that an engine does it.
pub(crate) fn until(context: &Context, run: RunId, done: impl Fn(&Run) -> bool) -> Result<Run, ApiError> {
    let (mut seen, mut last_change) = (0, Instant::now());
    loop {
        let state = watch::stored(context, run)?;
        if done(&state) {
            return Ok(state);
        }
        if state.seq != seen {
            (seen, last_change) = (state.seq, Instant::now());
        } else if last_change.elapsed() > QUIET {
            // The engine that took it may be gone: the next one goes on with it.
            last_change = Instant::now();
            host::visit_run(context, run, &state.spec.cwd)?;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Goes on with whatever is not finished.
pub(crate) fn resume(context: &Context, args: &ResumeArgs) -> Result<u8, ApiError> {
    let run = named_to_act(context, args.run.as_deref())?;
    let request = Request::Resume {
        run,
        budget_usd: choice(args.budget_usd),
        budget_tokens: choice(args.budget_tokens),
        timeout: choice(args.timeout),
        env: Context::shell_env(),
    };
    let client = match host::ask(context, &request) {
        Ok((client, _)) => client,
        // It goes on already: its engine was lost, and the one that was just asked has taken it over.
        Err(e) if e.kind == ErrorKind::State && watch::exit_code(&watch::stored(context, run)?).is_none() => {
            print::note(context, &format!("run {run} is under way"));
            host::daemon(context)?
        }
        Err(e) => return Err(e),
    };
    follow(context, client, run, args.detach)
}

/// Makes new attempts of what failed.
pub(crate) fn retry(context: &Context, args: &RetryArgs) -> Result<u8, ApiError> {
    let (name, in_address) = match args.run.as_deref() {
        Some(address) => {
            let (run, task) = names::split(address);
            (Some(run), task)
        }
        None => (None, None),
    };
    let run = named_to_act(context, name)?;
    let state = watch::stored(context, run)?;
    let tasks = in_address
        .into_iter()
        .chain(args.tasks.iter().map(String::as_str))
        .map(|t| names::task(&state, t))
        .collect::<Result<Vec<_>, _>>()?;
    let (client, _) = host::ask(context, &Request::Retry { run, tasks, env: Context::shell_env() })?;
    follow(context, client, run, args.detach)
}

/// A run that has stopped is not "under way": it must be named, or be the newest that can go on.
fn named_to_act(context: &Context, name: Option<&str>) -> Result<RunId, ApiError> {
    match name {
        Some(name) => names::run(context, name),
        None => Err(ApiError::new(ErrorKind::Usage, "name the run")
            .hint("`last` is the newest of this project; `windlass list` shows them")),
    }
}

fn follow(context: &Context, client: Client, run: RunId, detach: bool) -> Result<u8, ApiError> {
    if detach {
        if context.global.json {
            print::json(&serde_json::json!({ "run": run }))?;
        } else {
            print::out(format!("{run}\n").as_bytes())?;
        }
        return Ok(0);
    }
    match watch::watch(context, client, run, Options::default())? {
        End::Stopped(code) => Ok(code),
        End::Detached => Ok(130),
    }
}

/// Takes a run's changes back, or puts them back.
pub(crate) fn undo(context: &Context, args: &UndoArgs) -> Result<u8, ApiError> {
    let run = named_to_act(context, args.run.as_deref())?;
    let ask = |dry_run| {
        let request = Request::Undo { run, force: args.force, redo: args.redo, dry_run };
        host::ask(context, &request).map(|(_, reply)| reply)
    };
    let Reply::Undone { files, .. } = ask(true)? else {
        return Err(ApiError::new(ErrorKind::Internal, "the engine gave no list of files"));
    };
    let list: Vec<Line> = files
        .iter()
        .map(|f| {
            let mut line = Line::new();
            line.space(2).push(Tone::Dim, &f.what).pad_to(16).push(Tone::Plain, &f.path);
            line
        })
        .collect();
    if args.dry_run {
        if context.global.json {
            print::json(&serde_json::json!({ "run": run, "files": files, "dry_run": true }))?;
        } else {
            print::wrapped(context, list, 16)?;
            print::note(context, "nothing was changed");
        }
        return Ok(0);
    }
    let count =
        |files: &[windlass_api::response::UndoFile]| human::plural(files.len() as u64, "file", "files");
    if !context.global.yes {
        if !context.can_ask() {
            return Err(ApiError::new(ErrorKind::Usage, format!("this would change {}", count(&files)))
                .hint("`--yes` does it; `--dry-run` lists them"));
        }
        print::err_lines(context, &list);
        let what = if args.redo { "Put back" } else { "Take back" };
        if !ask::confirm(context, &format!("{what} {}?", count(&files)), false) {
            print::note(context, "nothing was changed");
            return Ok(0);
        }
    }
    let Reply::Undone { files, .. } = ask(false)? else {
        return Err(ApiError::new(ErrorKind::Internal, "the engine gave no list of files"));
    };
    if context.global.json {
        print::json(&serde_json::json!({ "run": run, "files": files, "dry_run": false }))?;
    } else {
        let (when, redo) = if args.redo { ("after", "") } else { ("before", " --redo") };
        let text = match files.as_slice() {
            [] => format!("the run changed nothing that is not as it was {when} it already"),
            some => format!("{} as {when} the run; `windlass undo {run}{redo}` takes this back", count(some)),
        };
        print::note(context, &text);
    }
    Ok(0)
}

/// Says something to a live worker.
pub(crate) fn steer(context: &Context, args: &SteerArgs) -> Result<u8, ApiError> {
    let (run, task) = names::split(&args.address);
    let run = names::run(context, run)?;
    let state = watch::stored(context, run)?;
    let usage = |m: &str| ApiError::new(ErrorKind::Usage, m);
    let task = match task {
        Some(task) => names::task(&state, task)?,
        None => {
            let live: Vec<_> = state.tasks.iter().filter(|t| t.status() == TaskStatus::Running).collect();
            match live.as_slice() {
                [one] => one.spec.id.clone(),
                _ => {
                    return Err(
                        usage("name the task: RUN/TASK").hint(format!("`windlass status {run}` lists them"))
                    );
                }
            }
        }
    };
    let text = answer::typed(&args.text)?;
    if text.trim().is_empty() {
        return Err(usage("there is nothing to say"));
    }
    let id = uuid();
    host::ask(context, &Request::Steer { run, task: task.clone(), text, id: id.clone() })?;
    // It is said when the journal tells what became of it.
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let dir = context.paths.project_of(run).unwrap_or_default();
        let reader = query::reader(&context.paths, &dir)
            .map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))?;
        let events = query::events(&reader, run, state.seq)
            .map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))?;
        for stored in &events {
            let Ok(envelope) = query::envelope(run, stored) else { continue };
            if let windlass_events::Event::SteerDelivered { id: got, error } = envelope.event
                && got == id
            {
                if error.is_empty() {
                    if context.global.json {
                        print::json(&serde_json::json!({ "run": run, "task": task, "delivered": true }))?;
                    } else {
                        print::note(context, &format!("{task} was told"));
                    }
                    return Ok(0);
                }
                return Err(ApiError::new(ErrorKind::State, format!("{task} was not told: {error}")));
            }
        }
        if Instant::now() >= until {
            print::note(context, &format!("{task} has it in its queue and has not answered yet"));
            return Ok(0);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn uuid() -> String {
    let bytes: Vec<u8> = {
        let mut bytes = [0u8; 8];
        match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
            Ok(8) => bytes.to_vec(),
            _ => watch::now().to_le_bytes().to_vec(),
        }
    };
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Removes runs that have ended.
pub(crate) fn rm(context: &Context, args: &RmArgs) -> Result<u8, ApiError> {
    let runs = args.runs.iter().map(|n| names::run(context, n)).collect::<Result<Vec<_>, _>>()?;
    for run in &runs {
        let state = watch::stored(context, *run)?;
        if !state.is_ended() {
            return Err(ApiError::new(ErrorKind::State, format!("run {run} has not ended"))
                .hint(format!("`windlass cancel {run}` first")));
        }
    }
    let ids: Vec<&str> = runs.iter().map(RunId::as_str).collect();
    if args.dry_run {
        if context.global.json {
            print::json(&serde_json::json!({ "removed": [], "runs": ids, "dry_run": true }))?;
        } else {
            print::out(format!("would remove: {}\n", listed(&ids)).as_bytes())?;
        }
        return Ok(0);
    }
    if !context.global.yes {
        if !context.can_ask() {
            return Err(ApiError::new(
                ErrorKind::Usage,
                format!("this would remove {} for good", ids.join(", ")),
            )
            .hint("`--yes` does it; `--dry-run` only says what"));
        }
        let question = format!("Remove {} for good, with its record, results and undo?", ids.join(", "));
        if !ask::confirm(context, &question, false) {
            print::note(context, "nothing was removed");
            return Ok(0);
        }
    }
    for run in &runs {
        host::ask(context, &Request::Remove { run: *run })?;
        if !context.global.json {
            print::note(context, &format!("run {run} is gone"));
        }
    }
    if context.global.json {
        print::json(&serde_json::json!({ "removed": ids }))?;
    }
    Ok(0)
}
