//! Answering what runs ask: `approve reject answer`.

use crate::cli::{AnswerArgs, ApproveArgs, RejectArgs};
use crate::commands::act;
use crate::commands::look::proposal;
use crate::context::Context;
use crate::{ask, host, names, print, watch};
use serde_json::json;
use std::io::Read;
use windlass_api::inbox::ProposalDoc;
use windlass_api::{ApiError, ErrorKind, Request};
use windlass_core::Run;
use windlass_core::run::Baseline;
use windlass_events::spec::RedGate;

/// The longest text that a person can send, in bytes.
const LONGEST: usize = 64 << 10;

fn usage(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::Usage, message)
}

/// What was typed after a command; `-` alone is standard input.
pub(crate) fn typed(words: &[String]) -> Result<String, ApiError> {
    let mut text = words.join(" ");
    if text == "-" {
        text.clear();
        std::io::stdin()
            .take(LONGEST as u64 + 1)
            .read_to_string(&mut text)
            .map_err(|e| usage(format!("standard input cannot be read: {e}")))?;
    }
    if text.len() > LONGEST {
        return Err(usage(format!("the text is longer than {} KiB", LONGEST >> 10))
            .hint("put it into a file of the project, and name that"));
    }
    Ok(text)
}

/// Lets a run go on with its plan, or the one task that it asks about.
pub(crate) fn approve(context: &Context, args: &ApproveArgs) -> Result<u8, ApiError> {
    let run = names::to_act(context, args.run.as_deref())?;
    let state = watch::stored(context, run)?;
    asks_approval(&state)?;
    let doc = proposal::of_run(context, run)?;
    if args.dry_run {
        if context.global.json {
            print::json(&json!({ "run": run, "plan": doc.plan, "task": doc.task, "dry_run": true }))?;
        } else {
            show(context, &doc);
            print::note(context, "nothing was approved");
        }
        return Ok(0);
    }
    if !context.global.json && !context.global.quiet {
        show(context, &doc);
    }
    let plan = doc.plan;
    if args.plan.is_some_and(|wanted| wanted != plan) {
        let what = format!("the plan has changed since: plan {plan} is asked about now");
        let look = format!("look at it with `windlass show {run} --plan`");
        return Err(ApiError::new(ErrorKind::State, what).hint(look));
    }
    // Of what was shown, not of what has taken its place meanwhile.
    let question = state.asked.map(|asked| asked.question);
    host::ask(context, &Request::Approve { run, question, env: Context::shell_env() })?;
    if context.global.json {
        print::json(&json!({ "run": run, "plan": plan, "task": doc.task, "approved": true }))?;
    } else {
        print::note(context, &format!("approved; `windlass attach {run}` watches run {run}"));
    }
    Ok(0)
}

fn show(context: &Context, doc: &ProposalDoc) {
    let look = context.look(context.width(context.err_is_terminal()));
    print::err_lines(context, &windlass_view::approval::proposal(doc, None, &look));
}

/// Why a run that asks for no approval does not.
fn asks_approval(run: &Run) -> Result<(), ApiError> {
    let id = run.id;
    let state = |text: String| ApiError::new(ErrorKind::State, text);
    if run.asked.is_some() && !run.is_ended() && !run.cancel {
        return Ok(());
    }
    if run.is_ended() || run.cancel {
        let status = run.end.as_ref().map_or("being cancelled", |end| end.status.as_str());
        return Err(state(format!("run {id} asks for no approval: it is {status}")));
    }
    let approved = run.approved_plan.is_some() || run.tasks.iter().any(|t| t.approved);
    let text = if approved {
        format!("run {id} asks for no approval: what it asked for was approved already")
    } else {
        format!("run {id} asks for no approval yet: it is {}", run.status())
    };
    Err(state(text).hint("`windlass inbox` lists what waits for you"))
}

/// Has a plan made again as the text says, or, without one, ends the run.
pub(crate) fn reject(context: &Context, args: &RejectArgs) -> Result<u8, ApiError> {
    let run = names::run(context, &args.run)?;
    let text = typed(&args.text)?;
    let state = watch::stored(context, run)?;
    asks_approval(&state)?;
    let again = !text.trim().is_empty();
    if !again && !args.text.is_empty() {
        return Err(usage("the text is empty").hint(format!("`windlass reject {run}` cancels the run")));
    }
    if !again && !context.global.yes {
        if !context.can_ask() {
            return Err(usage(format!("without a text this would cancel run {run}"))
                .hint("`--yes` does it; a text after it has it planned again"));
        }
        if !ask::confirm(context, &format!("Cancel run {run}?"), false) {
            print::note(context, "nothing was done; a text after the command has it planned again");
            return Ok(0);
        }
    }
    let planner = state.held().and_then(|at| state.planner_of(at)).and_then(|at| state.task(at));
    let planner = planner.filter(|_| again).map(|t| t.spec.id.clone());
    let question = state.asked.map(|asked| asked.question);
    host::ask(context, &Request::Reject { run, question, text: text.clone(), env: Context::shell_env() })?;
    if !again {
        act::until(context, run, Run::is_ended)?;
    }
    if context.global.json {
        print::json(&json!({ "run": run, "planner": planner, "text": text, "cancelled": !again }))?;
    } else if let Some(planner) = planner {
        let text = format!("{planner} plans again and asks anew; `windlass attach {run}` watches run {run}");
        print::note(context, &text);
    } else {
        print::note(context, &format!("run {run} is cancelled"));
    }
    Ok(0)
}

/// Answers what a run asks: today what a red gate means that was red before anything was done.
pub(crate) fn answer(context: &Context, args: &AnswerArgs) -> Result<u8, ApiError> {
    let (name, task) = names::split(&args.address);
    let run = names::run(context, name)?;
    let text = typed(&args.text)?;
    let state = watch::stored(context, run)?;
    let nothing = |text: String| {
        ApiError::new(ErrorKind::State, text).hint("`windlass inbox` lists what waits for you")
    };
    if let Some(task) = task {
        let task = names::task(&state, task)?;
        return Err(nothing(format!("task {task} of run {run} asks nothing")));
    }
    if state.baseline != Baseline::Asked || state.is_ended() {
        let error = nothing(format!("run {run} asks nothing: it is {}", state.status()));
        if asks_approval(&state).is_ok() {
            let how = format!("`windlass approve {run}`, or `windlass reject {run} TEXT`");
            return Err(ApiError::new(ErrorKind::State, format!("run {run} asks for an approval")).hint(how));
        }
        return Err(error);
    }
    let answer = match text.trim().to_lowercase().replace([' ', '-'], "_").as_str() {
        "mend" => RedGate::Mend,
        "leave_out" | "leave" => RedGate::LeaveOut,
        "stop" => RedGate::Stop,
        _ => {
            return Err(usage(format!("run {run} asks what a red gate means"))
                .hint("answer with `mend` (green in the end), `leave_out` or `stop`"));
        }
    };
    host::ask(context, &Request::SettleGates { run, answer })?;
    if context.global.json {
        print::json(&json!({ "run": run, "task": null, "answer": answer }))?;
    } else {
        print::note(context, &format!("run {run} was told: {answer}"));
    }
    Ok(0)
}
