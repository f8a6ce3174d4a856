//! `list`, `status` and `show`.

use super::escape::escape_lines;
use super::out::Out;
use super::{artifacts, journal, missing, project_of, proposal, target, why};
use crate::cli::{ListArgs, RunArg, ShowArgs};
use crate::context::Context;
use crate::{here, host, names, print, watch};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;
use windlass_api::status::{LiveDoc, StatusDoc};
use windlass_api::{ApiError, Client, ErrorKind, Reply, Request};
use windlass_core::Run;
use windlass_engine::{RunDir, query};
use windlass_events::{RunId, TaskId, TaskStatus};
use windlass_view::theme::Tone;
use windlass_view::{Line, Look, Overlay, RunView};

/// Cells of a line that no terminal shows.
const WIDE: usize = 1024;
/// How long the engine may take to say what its workers do, before the answer goes without it.
const LIVE_WITHIN: Duration = Duration::from_millis(250);

/// Runs of this project, of every project, or, outside of any, of all.
pub(crate) fn list(context: &Context, args: &ListArgs) -> Result<u8, ApiError> {
    let projects = if args.all { context.paths.all_projects() } else { here::projects(context) };
    let asked = args.limit.saturating_add(1);
    let mut doc = query::list(&context.paths, &projects, Some(asked)).map_err(missing)?;
    let more = doc.runs.len() > args.limit;
    doc.runs.truncate(args.limit);
    if context.global.json {
        print::json(&doc)?;
        return Ok(0);
    }
    let lines = windlass_view::list::runs(&doc, watch::now(), &table_look(context), projects.len() > 1);
    print::lines(context, &lines)?;
    if more {
        print::note(context, &format!("the newest {} of them; -n N shows more", args.limit));
    }
    Ok(0)
}

/// Where a run stands.
pub(crate) fn status(context: &Context, args: &RunArg) -> Result<u8, ApiError> {
    let id = names::to_look(context, args.run.as_deref())?;
    let (run, dir) = names::load(context, id)?;
    let mut doc = document(context, &run, &dir, run.is_ended() && !context.global.json);
    add_live(context, &run, &mut doc);
    if context.global.json {
        print::json(&doc)?;
        return Ok(0);
    }
    let overlay = Overlay::default();
    let view = RunView::new(&doc, &overlay, watch::now());
    print::lines(context, &windlass_view::show::status(&view, &stdout_look(context)))?;
    Ok(0)
}

/// Everything worth knowing of a run, or the result of one of its tasks; or why it is where it is.
pub(crate) fn show(context: &Context, args: &ShowArgs) -> Result<u8, ApiError> {
    let target = target::address(context, args.address.as_deref())?;
    if args.why {
        return why::show(context, &target);
    }
    if args.plan {
        return proposal::show(context, &target);
    }
    if let Some(task) = &target.task {
        return show_task(context, &target.run, &target.dir, task);
    }
    let mut doc = document(context, &target.run, &target.dir, true);
    doc.run.folder = Some(target.dir.doc());
    add_live(context, &target.run, &mut doc);
    if context.global.json {
        print::json(&doc)?;
        return Ok(0);
    }
    let look = stdout_look(context);
    let overlay = Overlay::default();
    let view = RunView::new(&doc, &overlay, watch::now());
    let mut lines = windlass_view::show::show(&view, &look);
    if doc.tasks.iter().any(|t| !t.evidence.is_empty()) {
        // The gates that it begins with stand above already.
        let evidence = windlass_view::show::evidence(&view, &look);
        lines.extend(evidence.into_iter().skip_while(|line| !line.is_blank()));
    }
    print::lines(context, &lines)?;
    Ok(0)
}

/// The final text of a task: byte for byte, except on a terminal, where control characters are shown as such.
fn show_task(context: &Context, run: &Run, dir: &RunDir, id: &TaskId) -> Result<u8, ApiError> {
    let Some(task) = run.task_by_id(id) else { return Err(missing(format!("task {id} is gone"))) };
    let status = task.status();
    let result = task.attempts.iter().rev().find_map(|a| a.end.as_ref()?.result.as_ref());
    if context.global.json {
        let text = result.map(|r| artifacts::read_checked(&dir.0, r)).transpose()?;
        let exact = text.as_ref().is_none_or(|t| std::str::from_utf8(t).is_ok());
        print::json(&json!({
            "run": run.id,
            "task": id,
            "status": status,
            "result": result.map(|r| json!({ "path": dir.0.join(&r.path), "bytes": r.bytes })),
            "text": text.map(|t| String::from_utf8_lossy(&t).into_owned()),
            "exact": exact,
        }))?;
        return Ok(0);
    }
    let Some(result) = result else {
        let what = format!("task {id} of run {} has no result: {}", run.id, without_result(task));
        let hint = match task.attempts.is_empty() {
            true => format!("`windlass status {}` shows where the others stand", run.id),
            false => format!("`windlass logs {}/{id}` shows what its worker wrote", run.id),
        };
        return Err(ApiError::new(ErrorKind::State, what).hint(hint));
    };
    let text = artifacts::read_checked(&dir.0, result)?;
    if !context.global.quiet {
        let mut line = Line::new();
        let mark = windlass_view::theme::task_mark(status, task.proof);
        line.glyph(mark).space(1).push(Tone::Strong, id.as_str()).space(2).push(mark.tone, mark.word);
        line.push(Tone::Dim, format!(" · {}", windlass_view::human::bytes(result.bytes)));
        if result.redacted {
            line.push(Tone::Warn, ", secrets replaced");
        }
        let look = context.look(context.width(context.err_is_terminal()));
        line.push(Tone::Dim, " · ").push(Tone::Dim, look.path(&dir.0.join(&result.path).to_string_lossy()));
        let room = if context.err_is_terminal() { look.width } else { WIDE };
        print::err_lines(context, &[line.fit(room)]);
    }
    let mut out = Out::new();
    if out.is_terminal() {
        out.write(escape_lines(&text).as_bytes())?;
    } else {
        out.write(&text)?;
    }
    out.flush()?;
    Ok(0)
}

/// Where a task without a result stands, and why.
fn without_result(task: &windlass_core::Task) -> String {
    let stands = match task.status() {
        TaskStatus::Failed => "it failed".to_owned(),
        TaskStatus::Skipped => "it was skipped".to_owned(),
        TaskStatus::Cancelled => "it was cancelled".to_owned(),
        TaskStatus::NeedsAttention => "it needs attention".to_owned(),
        other => format!("it is {other}"),
    };
    match task.failure.as_ref().and_then(|f| f.message.lines().next()).filter(|m| !m.is_empty()) {
        Some(why) => format!("{stands}: {why}"),
        None => stands,
    }
}

/// The document of a run; `changes` asks git for the size of what it changed.
pub(super) fn document(context: &Context, run: &Run, dir: &RunDir, changes: bool) -> StatusDoc {
    let project = project_of(dir);
    let git = || context.git();
    let mut doc = query::status_doc(run, changes.then_some((&git, project.as_path())), dir);
    if !context.global.json {
        crate::context::as_typed_here(&mut doc.run);
    }
    doc
}

/// How to draw for whoever reads standard output.
pub(super) fn stdout_look(context: &Context) -> Look {
    context.look(context.width(std::io::stdout().is_terminal()))
}

/// The same for tables: where no terminal has a width, nothing is cut.
pub(super) fn table_look(context: &Context) -> Look {
    let terminal = std::io::stdout().is_terminal();
    context.look(if terminal { context.width(true) } else { WIDE })
}

/// Adds what the workers do now, as the engine that leads the run says. None is started, and a slow one is not waited for.
fn add_live(context: &Context, run: &Run, doc: &mut StatusDoc) {
    if run.is_ended() || !doc.tasks.iter().any(|t| t.status == TaskStatus::Running) {
        return;
    }
    let Ok(reader) = journal::reader(context, run.id) else { return };
    let Some(leader) = journal::leader(&reader, run.id) else { return };
    if let Some(mut live) = ask_live(PathBuf::from(leader.address), run.id) {
        for task in &mut doc.tasks {
            task.live = live.remove(&task.id);
        }
    }
}

fn ask_live(socket: PathBuf, run: RunId) -> Option<BTreeMap<TaskId, LiveDoc>> {
    let (tell, told) = mpsc::channel();
    // A thread of its own: an engine that is stopped takes connections and never answers.
    std::thread::Builder::new()
        .name("windlass-live".into())
        .spawn(move || {
            let answer =
                Client::connect(&socket, host::version()).and_then(|mut c| c.call(Request::Live { run }));
            if let Ok(Reply::Live(tasks)) = answer {
                // Nobody listens any more when it came too late.
                let _ = tell.send(tasks);
            }
        })
        .ok()?;
    told.recv_timeout(LIVE_WITHIN).ok()
}
