//! `windlass` alone: what needs the user, what ended since they last looked, what runs, what to type.

use super::{missing, runs};
use crate::cli::Cli;
use crate::context::Context;
use crate::{names, print, watch};
use clap::CommandFactory;
use serde_json::json;
use std::io::IsTerminal;
use std::path::PathBuf;
use windlass_api::ApiError;
use windlass_api::inbox::InboxItem;
use windlass_api::status::ListedRun;
use windlass_engine::{query, waits};
use windlass_events::{Millis, RunStatus};
use windlass_view::home::{Home, Need};

/// Runs of each project that are looked at.
const LOOKED_AT: usize = 200;
/// How far back "ended" goes for somebody who never looked, in milliseconds.
const FIRST_LOOK: Millis = 24 * 60 * 60 * 1000;
/// Unfinished runs that are asked whether they need the user.
const REASONS: usize = 40;

/// Shows the summary on a terminal or as JSON, else the short help.
pub(crate) fn home(context: &Context) -> Result<u8, ApiError> {
    let terminal = std::io::stdout().is_terminal();
    if !terminal && !context.global.json {
        print::out(Cli::command().render_help().to_string().as_bytes())?;
        return Ok(0);
    }
    let now = watch::now();
    let home = gather(context, now)?;
    if context.global.json {
        let needs: Vec<_> =
            home.needs.iter().map(|n| json!({ "run": n.run, "why": n.why, "command": n.command })).collect();
        print::json(&json!({
            "needs": needs, "ended": home.ended, "running": home.running, "next": home.next,
        }))?;
        return Ok(0);
    }
    print::lines(context, &windlass_view::home::home(&home, now, &runs::stdout_look(context)))?;
    // Only what a person has seen counts as seen. Without a place for it, everything recent is shown again.
    let _ = std::fs::write(seen_file(context), now.to_string());
    Ok(0)
}

/// Where it is kept when a person last looked; its folder exists as soon as anything was run.
fn seen_file(context: &Context) -> PathBuf {
    context.paths.state.join("seen")
}

fn gather(context: &Context, now: Millis) -> Result<Home, ApiError> {
    let seen = std::fs::read_to_string(seen_file(context)).ok().and_then(|t| t.trim().parse::<Millis>().ok());
    let since = seen.unwrap_or(now - FIRST_LOOK);
    let all =
        query::list(&context.paths, &context.paths.all_projects(), Some(LOOKED_AT)).map_err(missing)?.runs;
    let any = !all.is_empty();
    let mut home = Home::default();
    let mut read = 0;
    for run in all {
        match run.status {
            RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => {
                if run.ended_at.or(run.updated_at).unwrap_or(run.created_at) >= since {
                    home.ended.push(run);
                }
            }
            RunStatus::Waiting | RunStatus::Blocked | RunStatus::Running => {
                read += 1;
                match need(context, &run, read <= REASONS) {
                    Some((why, command)) => home.needs.push(Need { run, why, command }),
                    None => home.running.push(run),
                }
            }
            RunStatus::Queued | RunStatus::Planning => home.running.push(run),
        }
    }
    home.ended.sort_by_key(|r| std::cmp::Reverse(r.ended_at.or(r.updated_at).unwrap_or(r.created_at)));
    home.next = next(&home, any);
    Ok(home)
}

/// Why a run needs the user and what helps; `None` when it goes on by itself.
fn need(context: &Context, run: &ListedRun, read: bool) -> Option<(String, String)> {
    let show = format!("windlass show {}", run.id);
    let stopped = matches!(run.status, RunStatus::Waiting | RunStatus::Blocked);
    if !read {
        return stopped.then(|| (String::new(), show));
    }
    let Ok((state, _)) = names::load(context, run.id) else { return stopped.then(|| (String::new(), show)) };
    let wait = waits::items(&state).into_iter().find(InboxItem::is_for_person)?;
    Some((wait.why, wait.commands.into_iter().next().unwrap_or(show)))
}

/// What to type next, most useful first.
fn next(home: &Home, any: bool) -> Vec<String> {
    let mut next = Vec::new();
    if home.needs.len() > 1 {
        next.push("windlass inbox".to_owned());
    }
    next.extend(home.running.first().map(|r| format!("windlass attach {}", r.id)));
    next.extend(home.ended.first().map(|r| format!("windlass show {}", r.id)));
    if !any {
        next.push("windlass demo".to_owned());
    }
    next.push("windlass run \"what you want\"".to_owned());
    if any {
        next.push("windlass list".to_owned());
    } else {
        next.push("windlass doctor".to_owned());
    }
    next.truncate(3);
    next
}
