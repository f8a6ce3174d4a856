//! `show --why`: why a run or a task is where it is, from its journal alone.

use super::runs::stdout_look;
use super::target::Target;
use super::{journal, missing};
use crate::context::Context;
use crate::{print, watch};
use serde::Serialize;
use serde_json::{Value, json};
use windlass_api::{ApiError, ErrorKind};
use windlass_core::Run;
use windlass_core::why::{self, Why};
use windlass_events::{Envelope, Event, Millis, TaskId};
use windlass_store::SqliteReader;
use windlass_view::theme::{Mark, run_mark, task_mark};
use windlass_view::{Look, why as words};

/// Says why, what would move it, and which events led there.
pub(super) fn show(context: &Context, target: &Target) -> Result<u8, ApiError> {
    let run = &target.run;
    let now = watch::now();
    let reader = journal::reader(context, run.id)?;
    let at = target.task.as_ref().and_then(|id| run.position(id));
    let found = match at {
        Some(at) => why::why_task(run, at, now).ok_or_else(|| missing("the task is gone"))?,
        None => why::why_run(run, now),
    };
    let open = if at.is_none() { open_tasks(run, now) } else { Vec::new() };
    let facts = facts(&reader, target)?;
    let led = (!run.is_ended()).then(|| journal::leader(&reader, run.id).is_some());
    if context.global.json {
        return document(target, &found, &open, &facts, led, now);
    }
    let mark = match target.task() {
        Some(task) => task_mark(task.status(), task.proof),
        None => run_mark(run.status(), run.proof()),
    };
    let tasks: Vec<(TaskId, Mark, Why)> =
        open.into_iter().map(|(task, mark, _, why)| (task, mark, why)).collect();
    let subject = words::Subject {
        run: run.id,
        task: target.task.as_ref(),
        mark,
        why: &found,
        tasks: &tasks,
        facts: &facts,
    };
    print::lines(context, &words::lines(&subject, now, &stdout_look(context)))?;
    if led == Some(false) && run.goes_on() {
        let how = format!("`windlass attach {}` starts one", run.id);
        print::note(context, &format!("no engine leads this run now, so nothing of it goes on: {how}"));
    }
    Ok(0)
}

type Open = (TaskId, Mark, &'static str, Why);

/// Tasks that have not ended, in the order of the run.
fn open_tasks(run: &Run, now: Millis) -> Vec<Open> {
    run.open
        .iter()
        .filter_map(|at| {
            let task = run.task(*at)?;
            let why = why::why_task(run, *at, now)?;
            Some((task.spec.id.clone(), task_mark(task.status(), task.proof), task.status().as_str(), why))
        })
        .collect()
}

/// The chain of events that led to where it is.
fn facts(reader: &SqliteReader, target: &Target) -> Result<Vec<Envelope>, ApiError> {
    let run = target.run.id;
    let mut facts = Vec::new();
    journal::read_each(reader, run, 0, |stored| {
        // What happened since the state was read is no part of why it is so.
        if stored.seq > target.run.seq {
            return Ok(false);
        }
        // One that this version does not know can be no part of a state that it could read.
        if let Ok(event) = Event::from_json(&stored.body) {
            let concerns = match &target.task {
                Some(id) => why::concerns_task(&event, id),
                None => why::concerns_run(&event),
            };
            if concerns {
                facts.push(Envelope { run, seq: stored.seq, at: stored.at, event });
            }
        }
        Ok(true)
    })?;
    Ok(facts)
}

fn document(
    target: &Target,
    found: &Why,
    open: &[Open],
    facts: &[Envelope],
    led: Option<bool>,
    now: Millis,
) -> Result<u8, ApiError> {
    let run = &target.run;
    let (status, proof) = match target.task() {
        Some(task) => (task.status().as_str(), task.proof),
        None => (run.status().as_str(), run.proof()),
    };
    let facts: Vec<Value> = facts
        .iter()
        .map(|fact| {
            let mut doc = to_value(&fact.event)?;
            doc["seq"] = json!(fact.seq);
            doc["at"] = json!(fact.at);
            Ok(doc)
        })
        .collect::<Result<_, ApiError>>()?;
    let mut doc = json!({
        "run": run.id,
        "task": target.task,
        "status": status,
        "proof": proof,
        "led": led,
        "facts": facts,
    });
    add_why(&mut doc, run, found, now)?;
    if target.task.is_none() {
        doc["tasks"] = open
            .iter()
            .map(|(task, _, status, why)| {
                let mut doc = json!({ "task": task, "status": status });
                add_why(&mut doc, run, why, now)?;
                Ok(doc)
            })
            .collect::<Result<_, ApiError>>()?;
    }
    print::json(&doc)?;
    Ok(0)
}

/// Each value with its words beside it. What times these name stand beside them as numbers.
fn add_why(doc: &mut Value, run: &Run, found: &Why, now: Millis) -> Result<(), ApiError> {
    let look = Look::new(usize::MAX);
    let reasons = found.reasons.iter().map(|r| said(r, words::reason(r, now, &look)));
    doc["reasons"] = reasons.collect::<Result<_, _>>()?;
    doc["rule"] = found.rule.as_ref().map(|r| said(r, words::rule(r))).transpose()?.unwrap_or(Value::Null);
    let moves = found.moves.iter().map(|m| said(m, words::movement(m, run.id, now, &look)));
    doc["moves"] = moves.collect::<Result<_, _>>()?;
    Ok(())
}

fn said<T: Serialize>(value: &T, text: String) -> Result<Value, ApiError> {
    let mut value = to_value(value)?;
    value["text"] = json!(text);
    Ok(value)
}

fn to_value<T: Serialize>(value: &T) -> Result<Value, ApiError> {
    serde_json::to_value(value)
        .map_err(|e| ApiError::new(ErrorKind::Internal, format!("the result cannot be written as JSON: {e}")))
}
