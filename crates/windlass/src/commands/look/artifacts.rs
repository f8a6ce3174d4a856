//! `artifacts`: results and files that tasks handed on, checked against the hashes that were recorded.

use super::escape::escape_lines;
use super::out::Out;
use super::runs::table_look;
use super::{missing, target};
use crate::cli::ArtifactsArgs;
use crate::context::Context;
use crate::{names, print};
use serde_json::{Value, json};
use std::io::{Read, Seek};
use std::path::Path;
use target::Target;
use windlass_api::{ApiError, ErrorKind};
use windlass_core::Run;
use windlass_events::TaskId;
use windlass_events::event::ResultRef;

/// Something that a task handed on.
struct Item<'a> {
    task: &'a TaskId,
    name: String,
    is_result: bool,
    file: &'a ResultRef,
}

/// Lists what a run handed on, or prints one of it.
pub(crate) fn artifacts(context: &Context, args: &ArtifactsArgs) -> Result<u8, ApiError> {
    let (target, name) = find(context, args)?;
    let (run, folder) = (&target.run, target.dir.0.as_path());
    let mut all = items(run);
    if let Some(task) = &target.task {
        all.retain(|i| i.task == task);
    }
    match name {
        Some(name) => print_one(context, run, folder, pick(run, &all, name)?),
        None => print_all(context, run, folder, &all),
    }
}

/// Which run, and which of what it handed on. A single word is a run, or a name in the newest run.
fn find<'a>(context: &Context, args: &'a ArtifactsArgs) -> Result<(Target, Option<&'a str>), ApiError> {
    let Some(word) = args.run.as_deref() else { return Ok((target::address(context, None)?, None)) };
    if args.name.is_some() || target::is_run(context, word) {
        return Ok((target::address(context, Some(word))?, args.name.as_deref()));
    }
    if let Some(newest) = target::newest(context) {
        let all = items(&newest.run);
        if all.iter().any(|i| i.is_called(word)) {
            print::note(context, &format!("run {}", newest.run.id));
            return Ok((newest, Some(word)));
        }
        if let Err(e) = target::address(context, Some(word)) {
            let near = nearest(&all, word);
            return Err(match near {
                Some(near) => ApiError::new(
                    ErrorKind::Usage,
                    format!(
                        "there is no run `{word}`, and run {} handed on nothing of that name",
                        newest.run.id,
                        word = windlass_resources::diag::escape(word)
                    ),
                )
                .hint(format!("did you mean `{near}`?")),
                None => e,
            });
        }
    }
    Ok((target::address(context, Some(word))?, None))
}

/// Everything that a run handed on: of each task the last result, and the files as of its last attempt.
fn items(run: &Run) -> Vec<Item<'_>> {
    let mut all = Vec::new();
    for task in &run.tasks {
        let id = &task.spec.id;
        if let Some(file) = task.attempts.iter().rev().find_map(|a| a.end.as_ref()?.result.as_ref()) {
            let name = task.spec.output.clone().unwrap_or_else(|| id.to_string());
            all.push(Item { task: id, name, is_result: true, file });
        }
        let files = task.attempts.iter().rev().find_map(|a| a.end.as_ref()).map_or(&[][..], |e| &e.artifacts);
        all.extend(files.iter().map(|file| {
            let name = file.path.rsplit('/').next().unwrap_or(&file.path).to_owned();
            Item { task: id, name, is_result: false, file }
        }));
    }
    all
}

impl Item<'_> {
    /// Its own name, its task's for a result, or TASK/NAME where one name stands for several.
    fn is_called(&self, name: &str) -> bool {
        self.name == name
            || (self.is_result && self.task.as_str() == name)
            || name
                .split_once('/')
                .is_some_and(|(task, rest)| self.task.as_str() == task && self.name == rest)
    }

    fn json(&self, folder: &Path) -> Value {
        json!({
            "name": self.name,
            "task": self.task,
            "kind": if self.is_result { "result" } else { "file" },
            "bytes": self.file.bytes,
            "hash": self.file.hash,
            "path": folder.join(&self.file.path),
        })
    }
}

fn nearest(all: &[Item<'_>], name: &str) -> Option<String> {
    let names = all.iter().flat_map(|i| [i.name.as_str(), i.task.as_str()]);
    windlass_resources::diag::nearest(name, names).map(windlass_resources::diag::escape)
}

fn pick<'i, 'a>(run: &Run, all: &'i [Item<'a>], name: &str) -> Result<&'i Item<'a>, ApiError> {
    let mut found: Vec<&Item<'_>> = all.iter().filter(|i| i.is_called(name)).collect();
    if found.is_empty()
        && let Ok(task) = names::task(run, name)
    {
        found = all.iter().filter(|i| i.is_result && *i.task == task).collect();
    }
    let shown = windlass_resources::diag::escape(name);
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let error =
                ApiError::new(ErrorKind::Usage, format!("run {} handed on nothing named `{shown}`", run.id));
            Err(match nearest(all, name) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!("`windlass artifacts {}` lists what there is", run.id)),
            })
        }
        many => {
            let names: Vec<String> = many.iter().take(8).map(|i| format!("{}/{}", i.task, i.name)).collect();
            let names = windlass_resources::diag::escape(&names.join(", "));
            Err(ApiError::new(ErrorKind::Usage, format!("`{shown}` could be {names}; give one of these")))
        }
    }
}

fn print_all(context: &Context, run: &Run, folder: &Path, all: &[Item<'_>]) -> Result<u8, ApiError> {
    if context.global.json {
        let all: Vec<Value> = all.iter().map(|i| i.json(folder)).collect();
        print::json(&json!({ "run": run.id, "artifacts": all }))?;
        return Ok(0);
    }
    let rows: Vec<windlass_view::list::Artifact> = all
        .iter()
        .map(|i| windlass_view::list::Artifact {
            name: i.name.clone(),
            task: i.task.to_string(),
            bytes: i.file.bytes,
            hash: i.file.hash.clone(),
            path: folder.join(&i.file.path).to_string_lossy().into_owned(),
        })
        .collect();
    print::lines(context, &windlass_view::list::artifacts(&rows, &table_look(context)))?;
    Ok(0)
}

/// Prints one: byte for byte, except on a terminal, where control characters are shown as such.
fn print_one(context: &Context, run: &Run, folder: &Path, item: &Item<'_>) -> Result<u8, ApiError> {
    if context.global.json {
        let bytes = read_checked(folder, item.file)?;
        let mut doc = item.json(folder);
        doc["run"] = json!(run.id);
        doc["exact"] = json!(std::str::from_utf8(&bytes).is_ok());
        doc["text"] = json!(String::from_utf8_lossy(&bytes));
        print::json(&doc)?;
        return Ok(0);
    }
    let mut out = Out::new();
    if out.is_terminal() {
        out.write(escape_lines(&read_checked(folder, item.file)?).as_bytes())?;
    } else {
        // Checked before the first byte is given away, and in one portion of memory whatever its size.
        let mut file = open_checked(folder, item.file)?;
        let mut portion = vec![0; 256 << 10];
        loop {
            let n = file.read(&mut portion).map_err(|e| unreadable(folder, item.file, &e))?;
            if n == 0 || !out.is_open() {
                break;
            }
            out.write(&portion[..n])?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn unreadable(folder: &Path, file: &ResultRef, e: &std::io::Error) -> ApiError {
    let path = folder.join(&file.path);
    missing(format!("{} cannot be read: {e}", path.display()))
        .hint("`windlass logs --raw` has what the worker wrote")
}

fn changed(folder: &Path, file: &ResultRef) -> ApiError {
    let path = folder.join(&file.path);
    missing(format!("{} is not what was recorded: it was changed since", path.display()))
        .hint("`windlass logs --raw` has what the worker wrote")
}

/// Opens a recorded file whose content is what was recorded, at its start.
fn open_checked(folder: &Path, recorded: &ResultRef) -> Result<std::fs::File, ApiError> {
    let fail = |e: std::io::Error| unreadable(folder, recorded, &e);
    // A recorded path stays in the run's folder; one that does not was not written by us.
    let inside = Path::new(&recorded.path).components().all(|c| matches!(c, std::path::Component::Normal(_)));
    if !inside {
        return Err(missing(format!("the recorded path {:?} is outside the run's folder", recorded.path)));
    }
    let mut file = std::fs::File::open(folder.join(&recorded.path)).map_err(fail)?;
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(changed(folder, recorded));
    }
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut file, &mut hasher).map_err(fail)?;
    if hasher.finalize().to_hex().as_str() != recorded.hash {
        return Err(changed(folder, recorded));
    }
    file.rewind().map_err(fail)?;
    Ok(file)
}

/// The content of a recorded file, which is what was recorded.
pub(super) fn read_checked(folder: &Path, recorded: &ResultRef) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    open_checked(folder, recorded)?.read_to_end(&mut bytes).map_err(|e| unreadable(folder, recorded, &e))?;
    Ok(bytes)
}
