//! The journal as people read it: one line per event.

use crate::human;
use crate::line::Line;
use crate::model::{Look, first_line};
use crate::text;
use crate::theme::{Mark, Tone, light_mark, run_mark, task_mark};
use windlass_api::status::Light;
use windlass_events::event::{AttemptEnd, CapKind, Cause, GateEnd, GateKey};
use windlass_events::outcome::Failure;
use windlass_events::{Envelope, Event, Outcome, Proof, RunStatus, TaskId, TaskStatus};

/// One event as a line: time of day, number, state, what happened.
pub fn event_line(envelope: &Envelope, look: &Look) -> Line {
    let (mark, text) = describe(&envelope.event);
    let mut line = Line::new();
    if look.width >= 60 {
        line.push(Tone::Dim, human::clock(envelope.at, &look.zone)).space(2);
    }
    if look.width >= 40 {
        line.push(Tone::Dim, format!("{:>5}", format!("#{}", envelope.seq))).space(2);
    }
    line.glyph(mark).space(1).push(Tone::Plain, text);
    line.fit(look.width)
}

const PLAIN: Mark = Mark { glyph: '·', tone: Tone::Dim, word: "" };

const fn warn() -> Mark {
    task_mark(TaskStatus::NeedsAttention, Proof::None)
}

/// How an event looks, and what it says. Every event has its own words; a new one must be given some here.
pub(crate) fn describe(event: &Event) -> (Mark, String) {
    match event {
        Event::RunCreated(spec) => {
            let shape = spec.shape.team.as_deref().unwrap_or(&spec.shape.workflow);
            (
                run_mark(RunStatus::Queued, Proof::None),
                format!("run created: {shape}, {}", first_line(&spec.goal)),
            )
        }
        Event::TasksPlanned { tasks } => {
            let names: Vec<_> = tasks.iter().take(6).map(|t| t.id.as_str()).collect();
            let more = if tasks.len() > 6 { ", …" } else { "" };
            let n = human::plural(tasks.len() as u64, "task", "tasks");
            (PLAIN, format!("{n} planned: {}{more}", names.join(", ")))
        }
        Event::ListWanted { task } => (PLAIN, format!("{task} reads its list")),
        Event::PlanMade { task, revision, tasks, kept, dropped, .. } => {
            let new = human::plural(tasks.len() as u64, "task", "tasks");
            let names: Vec<_> = tasks.iter().take(6).map(|t| t.id.as_str()).collect();
            let more = if tasks.len() > 6 { ", …" } else { "" };
            let names =
                if names.is_empty() { String::new() } else { format!(": {}{more}", names.join(", ")) };
            let again = match (*revision, kept.len(), dropped.len()) {
                (1, ..) => String::new(),
                (r, kept, dropped) => format!(", plan {r}, {kept} kept, {dropped} dropped"),
            };
            (PLAIN, format!("{task} became {new}{again}{names}"))
        }
        Event::PlanRefused { task, reasons, .. } => {
            let first = reasons.first().map(|r| first_line(r)).unwrap_or_default();
            (warn(), format!("no tasks can be made of what {task} said: {first}"))
        }
        Event::ApprovalAsked { task, plan } => (
            run_mark(RunStatus::Waiting, Proof::None),
            format!("approval of {} asked for", approved(task.as_ref(), *plan)),
        ),
        Event::ApprovalGiven { task, plan, by } => (
            run_mark(RunStatus::Running, Proof::None),
            format!("{} approved by {by}", approved(task.as_ref(), *plan)),
        ),
        Event::ApprovalRefused { planner: Some(task), text, by, .. } => {
            (warn(), format!("not approved by {by}, {task} plans again: {}", first_line(text)))
        }
        Event::ApprovalRefused { by, .. } => (warn(), format!("not approved by {by}: the run is stopped")),
        Event::RunTaken { version, .. } => (PLAIN, format!("an engine leads the run, version {version}")),
        Event::TurnTaken { task } => (PLAIN, format!("{} holds the tree's turn", whose(task.as_ref()))),
        Event::AttemptStarted { task, n, cause, model, .. } => {
            let model = model.as_deref().map(|m| format!(", {m}")).unwrap_or_default();
            let why = match cause {
                Cause::First => "",
                Cause::Retry => ", because a new start may help",
                Cause::Repair => ", to mend a red gate",
                Cause::Continue => ", going on where it was lost",
                Cause::Person => ", on request",
                Cause::Replan => ", to plan again",
            };
            (task_mark(TaskStatus::Running, Proof::None), format!("{task} attempt {n} started{model}{why}"))
        }
        Event::AttemptObserved { task, n, usage, .. } => {
            let tokens = human::count(usage.tokens());
            (PLAIN, format!("{task} attempt {n}: {tokens} tokens, {}", human::cost(usage.cost_usd())))
        }
        Event::AttemptEnded { task, n, end } => (outcome_mark(&end.outcome), attempt_end(task, *n, end)),
        Event::AttemptLost { task, n, last, .. } => {
            let last = if last.is_empty() { String::new() } else { format!("; last: {}", first_line(last)) };
            (warn(), format!("{task} attempt {n} lost: its shim vanished{last}"))
        }
        Event::AttemptSwept { task, n, left } if left.is_empty() => {
            (PLAIN, format!("{task} attempt {n} swept: nothing of it is left"))
        }
        Event::AttemptSwept { task, n, left } => {
            (warn(), format!("{task} attempt {n} swept, but these may be left: {}", left.join(", ")))
        }
        Event::AttemptVoided { task, n, reason } => {
            (PLAIN, format!("{task} attempt {n} never started: {}", first_line(reason)))
        }
        Event::GateStarted { key } => (PLAIN, format!("{} started", gate(key))),
        Event::GateEnded { key, end } => gate_end(key, end),
        Event::GateLost { key } => (warn(), format!("{} lost: it is run again", gate(key))),
        Event::GatesAsked { gates } => {
            let n = human::plural(gates.len() as u64, "gate is", "gates are");
            (warn(), format!("{n} red before anything was done: asked what that means"))
        }
        Event::GatesSettled { answer, .. } => (PLAIN, format!("red gates settled: {}", answer.as_str())),
        Event::TreeKept { task, n, before, snapshot } => {
            let when = if *before { "before" } else { "after" };
            (PLAIN, format!("tree kept as {} {when} {task} attempt {n}", snapshot.n))
        }
        Event::TreeTouched { task, n, .. } => {
            (warn(), format!("{task} attempt {n} may only read, and the tree changed"))
        }
        Event::HeadMoved { task, from, to } => {
            let short = |c: &Option<String>| {
                c.as_deref().map_or("nothing".into(), |c| c.chars().take(8).collect::<String>())
            };
            (warn(), format!("HEAD moved from {} to {} while {task} worked", short(from), short(to)))
        }
        Event::TaskCompleted { task, proof } => {
            let mark = task_mark(TaskStatus::Completed, *proof);
            (mark, format!("{task} {}", mark.word))
        }
        Event::TaskFailed { task, failure } => {
            (task_mark(TaskStatus::Failed, Proof::None), format!("{task} failed: {}", because(failure)))
        }
        Event::TaskSkipped { task, because } => (
            task_mark(TaskStatus::Skipped, Proof::None),
            format!("{task} skipped: {because} did not complete"),
        ),
        Event::TaskCancelled { task } => {
            (task_mark(TaskStatus::Cancelled, Proof::None), format!("{task} cancelled"))
        }
        Event::TaskNeedsAttention { task, failure } => {
            (warn(), format!("{task} needs you: {}", because(failure)))
        }
        Event::CapWarned { cap, used, limit } => (warn(), format!("{} used", cap_text(*cap, *used, *limit))),
        Event::CapReached { cap, used, limit } => {
            (warn(), format!("cap reached, nothing more starts: {}", cap_text(*cap, *used, *limit)))
        }
        Event::RunWaiting { wait, on } => {
            let on = if on.is_empty() { String::new() } else { format!(": {}", first_line(on)) };
            (run_mark(RunStatus::Waiting, Proof::None), format!("run waits for {wait}{on}"))
        }
        Event::RunContinued { wait } => {
            (run_mark(RunStatus::Running, Proof::None), format!("run goes on: {wait} came"))
        }
        Event::CancelRequested { task, by } => {
            let what = task.as_ref().map_or("the run", TaskId::as_str);
            (warn(), format!("cancel of {what} asked for by {by}"))
        }
        Event::RunResumed { tasks, .. } => {
            (run_mark(RunStatus::Running, Proof::None), format!("run resumed{}", listed(tasks)))
        }
        Event::TasksRetried { tasks } => {
            (run_mark(RunStatus::Running, Proof::None), format!("retry asked for{}", listed(tasks)))
        }
        Event::SteerSent { task, text, .. } => (PLAIN, format!("to {task}: {}", first_line(text))),
        Event::SteerDelivered { error, .. } if error.is_empty() => (PLAIN, "the text was delivered".into()),
        Event::SteerDelivered { error, .. } => {
            (warn(), format!("the text was not delivered: {}", first_line(error)))
        }
        Event::Notice { text } => (PLAIN, first_line(text)),
        Event::RunUndone { files, redo, .. } => {
            let n = human::plural(u64::from(*files), "file", "files");
            (PLAIN, if *redo { format!("undo taken back: {n}") } else { format!("changes taken back: {n}") })
        }
        Event::RunBlocked { failure } => {
            (run_mark(RunStatus::Blocked, Proof::None), format!("run blocked: {}", because(failure)))
        }
        Event::RunCompleted { proof } => {
            let mark = run_mark(RunStatus::Completed, *proof);
            (mark, format!("run {}", mark.word))
        }
        Event::RunFailed { failure, .. } => {
            (run_mark(RunStatus::Failed, Proof::None), format!("run failed: {}", because(failure)))
        }
        Event::RunCancelled {} => (run_mark(RunStatus::Cancelled, Proof::None), "run cancelled".into()),
    }
}

fn whose(task: Option<&TaskId>) -> &str {
    task.map_or("the first run of the gates", TaskId::as_str)
}

fn approved(task: Option<&TaskId>, plan: u32) -> String {
    match task {
        Some(task) => task.to_string(),
        None if plan == 0 => "the plan".to_owned(),
        None => format!("the plan ({plan})"),
    }
}

fn gate(key: &GateKey) -> String {
    // Positions count from 1 for people.
    let n = u64::from(key.gate) + 1;
    match &key.task {
        Some(task) if key.n > 1 => format!("{task} gate {n}, try {}", key.n),
        Some(task) => format!("{task} gate {n}"),
        None => format!("gate {n} at the start"),
    }
}

fn gate_end(key: &GateKey, end: &GateEnd) -> (Mark, String) {
    let green = end.is_green();
    let mark = light_mark(Some(if green { Light::Green } else { Light::Red }));
    let how = if green { String::new() } else { format!(", {}", end.outcome.describe()) };
    (mark, format!("{} {}{how} · {}", gate(key), mark.word, human::short_duration(end.ms)))
}

fn attempt_end(task: &TaskId, n: u32, end: &AttemptEnd) -> String {
    let mut out = format!("{task} attempt {n}: {}", end.outcome.describe());
    if let Some(failure) = &end.failure {
        out.push_str(&format!(": {}", first_line(&failure.message)));
    }
    if !end.usage.is_zero() {
        let tokens = human::count(end.usage.tokens());
        out.push_str(&format!(" · {tokens} tokens · {}", human::cost(end.usage.cost_usd())));
    }
    match end.verdict {
        Some(true) => out.push_str(" · verdict PASS"),
        Some(false) => out.push_str(" · verdict FAIL"),
        None => {}
    }
    out
}

const fn outcome_mark(outcome: &Outcome) -> Mark {
    match outcome {
        Outcome::Clean => PLAIN,
        Outcome::Cancelled => task_mark(TaskStatus::Cancelled, Proof::None),
        _ => task_mark(TaskStatus::Failed, Proof::None),
    }
}

fn because(failure: &Failure) -> String {
    let message = first_line(&failure.message);
    if message.is_empty() { failure.class.to_string() } else { message }
}

pub(crate) fn cap_text(cap: CapKind, used: u64, limit: u64) -> String {
    match cap {
        CapKind::Usd => {
            let usd = |n: u64| n as f64 / 1e6;
            format!("{} of {}", human::cost(Some(usd(used))), human::money_cap(usd(limit)))
        }
        CapKind::Tokens => format!("{} of {} tokens", human::count(used), human::count(limit)),
        CapKind::Wall => {
            let used = i64::try_from(used).unwrap_or(i64::MAX);
            format!("{} of {}", human::duration(used), human::cap_duration(limit))
        }
    }
}

fn listed(tasks: &[TaskId]) -> String {
    match tasks {
        [] => String::new(),
        [one] => format!(": {one}"),
        [one, two] => format!(": {one}, {two}"),
        [one, two, rest @ ..] => text::clean(&format!(": {one}, {two} and {} more", rest.len())),
    }
}
