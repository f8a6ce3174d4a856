//! `diff`: what a run, or one of its tasks, changed, apart from what was already uncommitted.

use super::escape::escape_into;
use super::out::Out;
use super::{missing, project_of, target};
use crate::cli::DiffArgs;
use crate::context::Context;
use crate::print;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use windlass_api::{ApiError, ErrorKind};
use windlass_core::task::Phase;
use windlass_engine::driver::trees::{self, TreeError};
use windlass_git::{Change, ChangeKind, DiffOptions, FileStat, Git, Keeper, Segment};
use windlass_view::theme::Tone;

/// Prints the difference.
pub(crate) fn diff(context: &Context, args: &DiffArgs) -> Result<u8, ApiError> {
    let target = target::run_or_task(context, args.address.as_deref(), args.task.as_deref())?;
    let run = &target.run;
    if !run.spec.tree.git {
        let what = format!("run {} worked outside git, so what it changed is not known", run.id);
        return Err(
            ApiError::new(ErrorKind::State, what).hint("`git init` before a run makes its changes visible")
        );
    }
    let git = Git::find().map_err(missing)?;
    let segments = trees::segments(run, target.task.as_ref()).map_err(missing)?;
    let at_work =
        run.tasks.iter().filter(|t| target.task.as_ref().is_none_or(|id| t.spec.id == *id)).find(|t| {
            t.takes_turn() && matches!(t.phase, Phase::Running(_) | Phase::Lost(_) | Phase::KeepingAfter(_))
        });
    if let Some(task) = at_work {
        let text = format!("{} is at work: what it changes now is not in this yet", task.spec.id);
        print::note(context, &text);
    }
    let keeper = match segments.as_slice() {
        [] => None,
        _ => Some(trees::keeper(Some(&git), &run.spec.tree, &project_of(&target.dir)).map_err(
            |e| match e {
                TreeError::NoRepo(_) => ApiError::new(ErrorKind::State, e.to_string()),
                _ => missing(e),
            },
        )?),
    };
    let task = target.task.as_ref();
    if context.global.json {
        let (files, text) = match &keeper {
            Some(keeper) => (files(keeper, &segments)?, text(keeper, &segments, args)?),
            None => (Vec::new(), Vec::new()),
        };
        let exact = std::str::from_utf8(&text).is_ok();
        let text = if args.stat { Value::Null } else { json!(String::from_utf8_lossy(&text)) };
        print::json(&json!({ "run": run.id, "task": task, "files": files, "diff": text, "exact": exact }))?;
        return Ok(0);
    }
    let Some(keeper) = keeper else {
        let who = task.map_or_else(|| format!("run {}", run.id), |t| format!("{t} of run {}", run.id));
        print::note(context, &format!("{who} changed nothing"));
        return Ok(0);
    };
    let mut out = Out::new();
    let paint = context.paint(out.is_terminal());
    if args.stat {
        let width = u32::try_from(context.width(out.is_terminal())).unwrap_or(100);
        let options = DiffOptions { color: paint.color, stat_width: Some(width), ..DiffOptions::default() };
        out.write(&keeper.diff_text(&segments, &options).map_err(missing)?.bytes)?;
    } else {
        let text = text(&keeper, &segments, args)?;
        if out.is_terminal() || paint.color {
            out.write(decorated(&text, paint.color).as_bytes())?;
        } else {
            out.write(&text)?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn text(keeper: &Keeper, segments: &[Segment], args: &DiffArgs) -> Result<Vec<u8>, ApiError> {
    if args.stat {
        return Ok(Vec::new());
    }
    let options = DiffOptions { binary: args.binary, ..DiffOptions::default() };
    Ok(keeper.diff_text(segments, &options).map_err(missing)?.bytes)
}

/// Changed files with what happened to them and how many lines of it.
fn files(keeper: &Keeper, segments: &[Segment]) -> Result<Vec<Value>, ApiError> {
    let changes = keeper.net_changes(segments).map_err(missing)?;
    let stat = keeper.diff_stat(segments).map_err(missing)?;
    Ok(file_docs(&changes, &stat.files))
}

fn file_docs(changes: &[Change], stats: &[FileStat]) -> Vec<Value> {
    let kinds: BTreeMap<&[u8], ChangeKind> = changes.iter().map(|c| (c.path.as_slice(), c.kind())).collect();
    stats
        .iter()
        .map(|file| {
            let change = match (&file.renamed_from, kinds.get(file.path.as_slice())) {
                (Some(_), _) => "renamed",
                (None, Some(kind)) => word(*kind),
                (None, None) => "modified",
            };
            let mut doc = json!({
                "path": path(&file.path),
                "change": change,
                // Lines of a binary file are not known, which is not 0.
                "insertions": file.lines.map(|l| l.0),
                "deletions": file.lines.map(|l| l.1),
            });
            if let Some(from) = &file.renamed_from {
                doc["from"] = json!(path(from));
            }
            doc
        })
        .collect()
}

const fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Modified => "modified",
        ChangeKind::Mode => "mode",
        ChangeKind::Type => "type",
    }
}

/// A path as it is, or escaped and in quotes where it is not UTF-8.
fn path(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| windlass_git::shown(bytes), str::to_owned)
}

/// A unified diff for a terminal: what is in the files cannot act on it, and added and removed lines have their colour.
fn decorated(diff: &[u8], color: bool) -> String {
    let mut out = String::with_capacity(diff.len() + diff.len() / 8);
    let mut in_hunk = false;
    for line in diff.strip_suffix(b"\n").unwrap_or(diff).split(|b| *b == b'\n') {
        // Within a hunk every line begins with one of ` +-\`, so this cannot be content.
        if line.starts_with(b"diff --git ") {
            in_hunk = false;
        }
        let tone = match line.first() {
            Some(b'@') => {
                in_hunk = true;
                Tone::Accent
            }
            Some(b'+') if in_hunk => Tone::Good,
            Some(b'-') if in_hunk => Tone::Bad,
            _ if in_hunk => Tone::Plain,
            _ => Tone::Strong,
        };
        let sgr = if color { tone.sgr() } else { "" };
        if !sgr.is_empty() {
            out.push_str(&format!("\x1b[{sgr}m"));
        }
        escape_into(&mut out, line);
        if !sgr.is_empty() {
            out.push_str("\x1b[0m");
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_git::{Entry, Mode, Oid};

    #[test]
    fn content_cannot_act_on_a_terminal_or_pose_as_a_header() {
        let diff = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- gone\n+\x1b[2Jnew\n same\n";
        assert_eq!(
            decorated(diff, false),
            "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- gone\n+\\x1b[2Jnew\n same\n"
        );
        let colored = decorated(diff, true);
        assert!(colored.contains("\x1b[1m--- a/x\x1b[0m"), "{colored}");
        assert!(colored.contains("\x1b[31m--- gone\x1b[0m"), "{colored}");
        assert!(colored.contains("\x1b[32m+\\x1b[2Jnew\x1b[0m"), "{colored}");
    }

    #[test]
    fn files_say_what_happened_to_them() {
        let entry = |mode, digit: &str| Some(Entry { mode, oid: Oid::parse(&digit.repeat(40)).unwrap() });
        let change = |path: &str, before, after| Change { path: path.into(), before, after };
        let changes = [
            change("bin", None, entry(Mode::File, "a")),
            change("new", None, entry(Mode::File, "b")),
            change("old", entry(Mode::File, "b"), None),
            change("run.sh", entry(Mode::File, "c"), entry(Mode::Exec, "c")),
        ];
        let stat = |path: &str, from: Option<&str>, lines| FileStat {
            path: path.into(),
            renamed_from: from.map(Into::into),
            lines,
        };
        let stats = [
            stat("bin", None, None),
            stat("new", Some("old"), Some((0, 0))),
            stat("run.sh", None, Some((0, 0))),
        ];
        let docs = file_docs(&changes, &stats);
        assert_eq!(docs[0], json!({"path": "bin", "change": "added", "insertions": null, "deletions": null}));
        assert_eq!(docs[1]["change"], "renamed");
        assert_eq!(docs[1]["from"], "old");
        assert_eq!(docs[2]["change"], "mode");
        assert_eq!(path(b"a\xff"), "\"a\\xff\"");
    }
}
