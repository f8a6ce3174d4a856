//! `config`: looking at settings and changing them. Comments in the files stay.

use super::view::{self, View};
use crate::cli::ConfigAction;
use crate::context::Context;
use crate::print;
use std::path::PathBuf;
use windlass_api::{ApiError, ErrorKind};
use windlass_resources::config::edit;
use windlass_resources::config::keys::{KEYS, Sensitivity, parts};
use windlass_resources::config::{Origin, Setting, Value};
use windlass_resources::diag::quote;
use windlass_resources::trust::Answer;
use windlass_view::Line;
use windlass_view::table::{Column, table};
use windlass_view::theme::Tone;

/// `windlass config`.
pub(crate) fn config(context: &Context, action: Option<ConfigAction>) -> Result<u8, ApiError> {
    match action.unwrap_or(ConfigAction::List) {
        ConfigAction::Get { key } => get(context, &key),
        ConfigAction::Set { key, value, project } => set(context, &key, &value, project),
        ConfigAction::Unset { key, project } => unset(context, &key, project),
        ConfigAction::List => list(context),
        ConfigAction::Path => path(context),
        ConfigAction::Schema => schema(),
    }
}

fn get(context: &Context, name: &str) -> Result<u8, ApiError> {
    let key = edit::key(name).map_err(|d| view::stops(&d))?;
    let view = View::load(context)?;
    view.sound()?;
    let setting = view.config.get(name);
    if context.global.json {
        print::json(&serde_json::json!({
            "key": name,
            "value": setting.map(|s| plain(&s.value)),
            "origin": setting.map(|s| &s.origin),
        }))?;
        return Ok(0);
    }
    match setting {
        Some(setting) => {
            print::lines(context, &[Line::of(Tone::Plain, setting.value.show())])?;
            if context.err_is_terminal() {
                print::note(context, &from(setting, &view, context));
            }
        }
        None => print::note(context, &format!("{} is not set. {}", quote(name), key.doc)),
    }
    Ok(0)
}

/// Where a value is from, in words.
fn from(setting: &Setting, view: &View, context: &Context) -> String {
    match &setting.origin {
        Origin::Default => "the default".to_owned(),
        Origin::Env(name) => format!("from the environment: {name}"),
        Origin::Flag(name) => format!("from {name}"),
        Origin::User(path) | Origin::Project(path) => format!("from {}", view.short(context, path)),
    }
}

/// A value as other programs read it: what the file would hold.
fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Flag(b) => (*b).into(),
        Value::Number(Some(n)) => (*n).into(),
        Value::Money(Some(m)) => (*m as f64 / 1e6).into(),
        Value::List(items) => items.clone().into(),
        Value::Number(None) | Value::Money(None) | Value::Duration(_) | Value::Text(_) => value.show().into(),
    }
}

/// The file to change.
struct Target {
    path: PathBuf,
    project: bool,
}

fn target(view: &View, name: &str, project: bool, setting: bool) -> Result<Target, ApiError> {
    let key = edit::key(name).map_err(|d| view::stops(&d))?;
    if !project {
        let path = view.places.user_config().ok_or_else(|| {
            ApiError::new(ErrorKind::Missing, "there is no place for your config: set HOME")
        })?;
        return Ok(Target { path, project });
    }
    let root = view.project()?;
    let path = view.places.project_config().unwrap_or_else(|| root.join(".windlass/config.toml"));
    // Removing what should not be there is always right.
    if setting && key.sensitivity == Sensitivity::UserOnly {
        return Err(ApiError::new(
            ErrorKind::Refused,
            format!("{} is about the user's machine: a project's file cannot set it", quote(name)),
        )
        .hint(format!("`windlass config set {name}` without `--project` sets it for you")));
    }
    match path.symlink_metadata() {
        Err(_) => {
            return Err(ApiError::new(ErrorKind::Usage, "this project has no .windlass/config.toml yet")
                .hint("windlass init"));
        }
        // A repository could point a write at any file of the user's.
        Ok(meta) if !meta.is_file() => {
            return Err(ApiError::new(ErrorKind::Refused, format!("{} is not a plain file", path.display())));
        }
        Ok(_) => {}
    }
    let inside = path.canonicalize().is_ok_and(|p| root.canonicalize().is_ok_and(|root| p.starts_with(root)));
    if !inside {
        return Err(ApiError::new(
            ErrorKind::Refused,
            format!("{} leads out of the project", path.display()),
        ));
    }
    Ok(Target { path, project })
}

fn set(context: &Context, name: &str, typed: &str, project: bool) -> Result<u8, ApiError> {
    let view = View::load(context)?;
    let target = target(&view, name, project, true)?;
    let value = change(&view, &target, || edit::set_in_file(&target.path, name, typed))?;
    let after = View::of(context, view.root.clone(), None);
    // What was written may not be what holds: another layer is stronger, or the project is not trusted with it.
    let holds = after.config.get(name);
    let in_force = holds.is_some_and(|s| s.value == value);
    if context.global.json {
        print::json(&serde_json::json!({
            "key": name, "value": plain(&value), "path": target.path, "in_force": in_force,
            "origin": holds.map(|s| &s.origin),
        }))?;
        return Ok(0);
    }
    let mut line = Line::of(Tone::Strong, name);
    line.push(Tone::Plain, " = ").push(Tone::Plain, value.show());
    line.push(Tone::Dim, format!("  in {}", view.short(context, &target.path.display().to_string())));
    print::lines(context, &[line])?;
    if !in_force {
        print::note(context, &why_not(name, &after, holds, &target, context));
    }
    Ok(0)
}

fn why_not(name: &str, after: &View, holds: Option<&Setting>, target: &Target, context: &Context) -> String {
    let key = edit::key(name).ok();
    let trusted = after.decision.answer();
    let untrusted = target.project
        && match key.map(|k| k.sensitivity) {
            Some(Sensitivity::NamesGates) => trusted == Answer::None,
            Some(Sensitivity::NamesAProgram) => trusted != Answer::All,
            _ => false,
        };
    if untrusted {
        return "it counts once you trust the repository with it: windlass trust".to_owned();
    }
    match holds {
        Some(s) if target.project && matches!(s.origin, Origin::User(_) | Origin::Default) => format!(
            "it has no effect for you: a repository can only make a limit tighter, and {} holds",
            s.value.show()
        ),
        Some(s) => format!("it has no effect here: {} holds, {}", s.value.show(), from(s, after, context)),
        None => "it has no effect here".to_owned(),
    }
}

fn unset(context: &Context, name: &str, project: bool) -> Result<u8, ApiError> {
    let view = View::load(context)?;
    let target = target(&view, name, project, false)?;
    let was = change(&view, &target, || edit::unset_in_file(&target.path, name))?;
    if context.global.json {
        print::json(&serde_json::json!({ "key": name, "removed": was, "path": target.path }))?;
        return Ok(0);
    }
    let shown = view.short(context, &target.path.display().to_string());
    let text =
        if was { format!("{name} removed from {shown}") } else { format!("{name} was not in {shown}") };
    print::lines(context, &[Line::of(Tone::Plain, text)])?;
    Ok(0)
}

/// Changes a file; a kept answer of trust goes on holding for a change of our own.
fn change<T>(
    view: &View,
    target: &Target,
    write: impl FnOnce() -> Result<T, Box<windlass_resources::diag::Diagnostic>>,
) -> Result<T, ApiError> {
    let write = || write().map_err(|d| view::stops(&d));
    if target.project { view.renewing(&[target.path.as_path()], write) } else { write() }
}

fn list(context: &Context) -> Result<u8, ApiError> {
    let view = View::load(context)?;
    view.sound()?;
    // Every key, also the unset ones; those with a placeholder only where somebody filled it.
    let mut names: Vec<String> = KEYS.iter().map(|k| k.name.to_owned()).collect();
    names.retain(|name| !name.contains('<'));
    for (name, _) in view.config.iter() {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names.sort_by_key(|name| (position(name), name.clone()));
    if context.global.json {
        let settings: Vec<serde_json::Value> = names
            .iter()
            .map(|name| {
                let setting = view.config.get(name);
                serde_json::json!({
                    "key": name, "value": setting.map(|s| plain(&s.value)), "origin": setting.map(|s| &s.origin),
                })
            })
            .collect();
        print::json(&serde_json::json!({ "settings": settings }))?;
        return Ok(0);
    }
    let out = std::io::IsTerminal::is_terminal(&std::io::stdout());
    let look = context.look(context.width(out));
    let columns = [
        Column::flexible("key", 12, 48, 0),
        Column::flexible("value", 8, 60, 0),
        Column::fixed("from", 8, 1),
        Column::flexible("where", 8, 80, 2),
    ];
    let rows = names
        .iter()
        .map(|name| match view.config.get(name) {
            Some(s) => {
                let own = s.origin != Origin::Default;
                vec![
                    Line::of(if own { Tone::Strong } else { Tone::Plain }, name),
                    Line::of(Tone::Plain, s.value.show()),
                    Line::of(Tone::Dim, s.origin.layer()),
                    Line::of(Tone::Dim, view.short(context, s.origin.place())),
                ]
            }
            None => {
                vec![Line::of(Tone::Plain, name), Line::of(Tone::Dim, "unset"), Line::new(), Line::new()]
            }
        })
        .collect();
    print::lines(context, &table(&columns, rows, look.width))?;
    for d in view.findings.iter().filter(|d| d.severity > windlass_resources::diag::Severity::Notice) {
        print::note(context, &d.render());
    }
    Ok(0)
}

/// The order of the reference page.
fn position(name: &str) -> usize {
    let given = parts(name);
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let found = windlass_resources::config::keys::find(&given);
    found.and_then(|k| KEYS.iter().position(|other| other.name == k.name)).unwrap_or(usize::MAX)
}

fn path(context: &Context) -> Result<u8, ApiError> {
    let view = View::load(context)?;
    let places = [
        ("user", view.places.user_config()),
        ("project", view.places.project_config()),
        ("state", view.places.state_dir()),
    ];
    if context.global.json {
        let all: serde_json::Map<String, serde_json::Value> =
            places.iter().map(|(name, path)| ((*name).to_owned(), serde_json::json!(path))).collect();
        print::json(&all)?;
        return Ok(0);
    }
    let mut lines = Vec::new();
    for (name, path) in places {
        let Some(path) = path else { continue };
        let mut line = Line::of(Tone::Dim, name);
        line.pad_to(9).push(Tone::Plain, path.display().to_string());
        if !path.exists() {
            line.push(Tone::Dim, "  (not there)");
        }
        lines.push(line);
    }
    print::wrapped(context, lines, 9)?;
    Ok(0)
}

fn schema() -> Result<u8, ApiError> {
    let schema = windlass_resources::config::reference::config_schema();
    let mut text = serde_json::to_string_pretty(&schema)
        .map_err(|e| ApiError::new(ErrorKind::Internal, format!("the schema cannot be written: {e}")))?;
    text.push('\n');
    print::out(text.as_bytes())?;
    Ok(0)
}
