//! `agents`, `teams`, `workflows`, `skills`: list, show, new, edit, rm.

use super::init;
use super::view::{self, View};
use crate::ask;
use crate::cli::ResourceAction;
use crate::context::Context;
use crate::print;
use std::path::{Path, PathBuf};
use std::process::Command;
use windlass_api::{ApiError, ErrorKind};
use windlass_resources::agent::Agent;
use windlass_resources::catalog::{Catalog, Entry, Resource, Shelf};
use windlass_resources::diag::quote;
use windlass_resources::skill::Skill;
use windlass_resources::source::{Dialect, Kind, Scope, Source};
use windlass_resources::team::{SkillChoice, Team};
use windlass_resources::text::{Links, read};
use windlass_resources::trust::Answer;
use windlass_resources::workflow::Workflow;
use windlass_view::Line;
use windlass_view::theme::Tone;

/// `windlass agents`, and the other three.
pub(crate) fn resources(
    context: &Context,
    kind: Kind,
    action: Option<ResourceAction>,
) -> Result<u8, ApiError> {
    match action.unwrap_or(ResourceAction::List) {
        ResourceAction::List => list(context, kind),
        ResourceAction::Show { name } => show(context, kind, &name),
        ResourceAction::New { name, project, dry_run } => new(context, kind, &name, project, dry_run),
        ResourceAction::Edit { name } => edit(context, kind, &name),
        ResourceAction::Rm { name, dry_run } => rm(context, kind, &name, dry_run),
    }
}

/// What is said of a resource whatever its kind.
struct Row {
    name: String,
    state: &'static str,
    source: Source,
    description: String,
    made_of: String,
    definition: serde_json::Value,
}

fn rows(catalog: &Catalog, kind: Kind) -> Vec<Row> {
    match kind {
        Kind::Agent => shelf(&catalog.agents, agent_parts),
        Kind::Team => shelf(&catalog.teams, team_parts),
        Kind::Workflow => shelf(&catalog.workflows, workflow_parts),
        Kind::Skill => shelf(&catalog.skills, |s: &Skill| (s.description.clone(), String::new())),
    }
}

fn shelf<T: Resource + serde::Serialize>(
    shelf: &Shelf<T>,
    parts: impl Fn(&T) -> (String, String),
) -> Vec<Row> {
    let row = |(name, entry): (&str, &Entry<T>)| {
        let (description, made_of) = entry.resource().map(&parts).unwrap_or_default();
        let source = match entry {
            Entry::Usable(t) | Entry::Untrusted(t) | Entry::Disabled(t) => t.source().clone(),
            Entry::Broken(source) => source.clone(),
        };
        // A definition that cannot be written as JSON is left out; its text is shown all the same.
        let definition = entry.resource().and_then(|t| serde_json::to_value(t).ok()).unwrap_or_default();
        Row { name: name.to_owned(), state: entry.state(), source, description, made_of, definition }
    };
    shelf.iter().map(row).collect()
}

fn agent_parts(agent: &Agent) -> (String, String) {
    let mut parts = Vec::new();
    if let Some(runtime) = agent.runtime {
        parts.push(runtime.to_string());
    }
    if let Some(model) = &agent.model {
        parts.push(model.clone());
    }
    let access = if agent.access() == windlass_events::Access::Write { "writes" } else { "only reads" };
    parts.push(access.to_owned());
    (agent.description.clone(), parts.join(" · "))
}

fn team_parts(team: &Team) -> (String, String) {
    let roles: Vec<&str> = team.roles.iter().map(|r| r.name.as_str()).collect();
    let made_of = if roles.is_empty() { format!("workflow {}", team.workflow()) } else { roles.join(", ") };
    (team.description.clone(), made_of)
}

fn workflow_parts(workflow: &Workflow) -> (String, String) {
    if workflow.from_gates {
        return (workflow.description.clone(), "the project's gates".to_owned());
    }
    let steps: Vec<&str> = workflow.steps.iter().take(12).map(|s| s.id.as_str()).collect();
    let more = workflow.steps.len().saturating_sub(steps.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (workflow.description.clone(), format!("{}{more}", steps.join(", ")))
}

fn list(context: &Context, kind: Kind) -> Result<u8, ApiError> {
    let view = View::load(context)?;
    let rows = rows(&view.catalog, kind);
    let shadowed: Vec<_> = view.catalog.shadowed.iter().filter(|s| s.kind == kind).collect();
    if context.global.json {
        let all: Vec<serde_json::Value> = rows
            .iter()
            .map(|r| {
                serde_json::json!({
                    "name": r.name, "state": r.state, "scope": r.source.scope, "dialect": r.source.dialect,
                    "path": r.source.path, "description": r.description,
                })
            })
            .collect();
        print::json(&serde_json::json!({ kind.folder(): all, "shadowed": shadowed }))?;
        return Ok(0);
    }
    let table: Vec<windlass_view::list::Resource> = rows
        .into_iter()
        .map(|r| windlass_view::list::Resource {
            problem: match r.state {
                "active" => String::new(),
                "untrusted" => "not used: the repository is not trusted".to_owned(),
                "broken" => "broken: windlass validate".to_owned(),
                state => state.to_owned(),
            },
            // Where it is says `show`, and what hides another names itself below.
            path: if context.global.verbose > 0 && r.source.scope != Scope::Builtin {
                view.short(context, &r.source.path)
            } else {
                String::new()
            },
            name: r.name,
            scope: r.source.scope.to_string(),
            made_of: r.made_of,
            description: r.description,
        })
        .collect();
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
    let look = context.look(context.width(terminal));
    print::lines(context, &windlass_view::list::resources(&table, kind.folder(), &look))?;
    for s in shadowed {
        print::note(context, &s.text());
    }
    Ok(0)
}

/// The resource of a name, usable or not.
fn find(view: &View, kind: Kind, name: &str) -> Result<Row, ApiError> {
    let key = |n: &str| if kind == Kind::Agent { n.to_lowercase() } else { n.to_owned() };
    let all = rows(&view.catalog, kind);
    let names: Vec<String> = all.iter().map(|r| r.name.clone()).collect();
    all.into_iter().find(|r| key(&r.name) == key(name)).ok_or_else(|| {
        let error = ApiError::new(ErrorKind::Usage, format!("there is no {kind} {}", quote(name)));
        match windlass_resources::diag::nearest(name, names.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean {}?", quote(near))),
            None => error.hint(format!("`windlass {}` lists them", kind.folder())),
        }
    })
}

/// The text of a resource's file.
fn text(source: &Source) -> Result<String, ApiError> {
    if let Some(file) = source.path.strip_prefix("builtin:") {
        let found = windlass_resources::builtin::FILES.iter().find(|(name, _)| *name == file);
        return Ok(found.map(|(_, text)| (*text).to_owned()).unwrap_or_default());
    }
    let links = if source.scope == Scope::Project { Links::Refuse } else { Links::Follow };
    read(Path::new(&source.path), links).map_err(|d| view::stops(&d))
}

fn show(context: &Context, kind: Kind, name: &str) -> Result<u8, ApiError> {
    let view = View::load(context)?;
    let row = find(&view, kind, name)?;
    let text = text(&row.source)?;
    if context.global.json {
        print::json(&serde_json::json!({
            "kind": kind, "name": row.name, "state": row.state, "source": row.source, "text": text,
            "definition": row.definition,
        }))?;
        return Ok(0);
    }
    let mut head = Line::of(Tone::Dim, "from ");
    head.push(Tone::Strong, &row.source.path);
    head.push(Tone::Dim, format!("  {}, {}", row.source.scope, row.state));
    // The text alone is the result, so that it can be kept as a file.
    print::err_lines(context, &[head]);
    let lines: Vec<Line> = text.lines().map(|l| Line::of(Tone::Plain, l)).collect();
    print::lines(context, &lines)?;
    Ok(0)
}

fn new(context: &Context, kind: Kind, name: &str, project: bool, dry_run: bool) -> Result<u8, ApiError> {
    let view = View::load(context)?;
    let (folder, root) = if project {
        let root = view.project()?.to_owned();
        (view.places.project_dir().unwrap_or_else(|| root.join(".windlass")), root)
    } else {
        let folder = view.places.user_dir().ok_or_else(|| {
            ApiError::new(ErrorKind::Missing, "there is no place for your own files: set HOME")
        })?;
        (folder.clone(), folder)
    };
    let mut plan =
        windlass_resources::init::new_resource(kind, name, &folder).map_err(|d| view::stops(&d))?;
    // Whoever takes a shipped name wants to start from what is shipped.
    let shipped = format!("builtin:{}", kind.file(name));
    let builtin = Source { scope: Scope::Builtin, dialect: Dialect::Windlass, path: shipped };
    let copied = text(&builtin)?;
    let is_copy = !copied.is_empty();
    if let (true, Some(file)) = (is_copy, plan.files.first_mut()) {
        file.contents = copied;
    }
    let path = plan.files.first().map(|f| f.path.clone()).unwrap_or_default();
    let written = if dry_run {
        Vec::new()
    } else if project {
        view.renewing(&[path.as_path()], || init::write(&plan, &root))?
    } else {
        init::write(&plan, &root)?
    };
    if context.global.json {
        print::json(&serde_json::json!({
            "kind": kind, "name": name, "path": path, "dry_run": dry_run, "written": written,
        }))?;
        return Ok(0);
    }
    if dry_run {
        print::lines(context, &init::listing(&root, &plan, true))?;
        return Ok(0);
    }
    print::lines(context, &[Line::of(Tone::Plain, path.display().to_string())])?;
    if is_copy {
        print::note(context, &format!("a copy of the shipped {kind}; yours is used from now on"));
    }
    if project && view.decision_now().answer() != Answer::All {
        print::note(context, "the repository's own files are used once you trust them: windlass trust");
    }
    print::note(context, &format!("`windlass {} edit {name}` opens it", kind.folder()));
    Ok(0)
}

fn edit(context: &Context, kind: Kind, name: &str) -> Result<u8, ApiError> {
    let view = View::load(context)?;
    let row = find(&view, kind, name)?;
    if row.source.scope == Scope::Builtin {
        let mut hint =
            format!("`windlass {} new {}` copies it to you, and yours is used", kind.folder(), row.name);
        if kind == Kind::Agent {
            hint.push_str(&format!(
                "\n`windlass config set agents.overrides.{}.model MODEL` only changes its model",
                row.name
            ));
        }
        return Err(ApiError::new(
            ErrorKind::Usage,
            format!("{kind} {} is shipped with Windlass", quote(&row.name)),
        )
        .hint(hint));
    }
    let path = PathBuf::from(&row.source.path);
    let open = || open_editor(&path);
    if row.source.scope == Scope::Project {
        view.renewing(&[path.as_path()], open)?
    } else {
        open()?
    }
    let found = windlass_resources::validate::path(&path);
    for d in &found {
        print::note(context, &d.render());
    }
    if context.global.json {
        print::json(
            &serde_json::json!({ "kind": kind, "name": row.name, "path": path, "diagnostics": found }),
        )?;
    }
    Ok(if windlass_resources::diag::has_errors(&found) { 2 } else { 0 })
}

/// Opens a file in the user's editor and waits for it.
fn open_editor(path: &Path) -> Result<(), ApiError> {
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.trim().is_empty()))
        .ok_or_else(|| {
            ApiError::new(ErrorKind::Missing, "no editor is named: set VISUAL or EDITOR")
                .hint(format!("or edit it yourself: {}", path.display()))
        })?;
    // As other programs do: the variable may hold arguments, the path is never read by the shell.
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$@\""))
        .arg(&editor)
        .arg(path)
        .current_dir(path.parent().unwrap_or(Path::new("/")))
        .status()
        .map_err(|e| ApiError::new(ErrorKind::Missing, format!("the editor could not be started: {e}")))?;
    if status.success() {
        return Ok(());
    }
    Err(ApiError::new(ErrorKind::Missing, format!("the editor {} ended with {status}", quote(&editor))))
}

fn rm(context: &Context, kind: Kind, name: &str, dry_run: bool) -> Result<u8, ApiError> {
    let view = View::load(context)?;
    let row = find(&view, kind, name)?;
    let path = removable(kind, &row)?;
    let next = next_in_line(&view, kind, &row.name);
    let users = users(&view, kind, &row.name);
    if next.is_none() && !users.is_empty() {
        return Err(ApiError::new(
            ErrorKind::Usage,
            format!("{kind} {} is used by {}", quote(&row.name), users.join(", ")),
        )
        .hint("change or remove those first"));
    }
    let backup = backup_name(&path);
    if !dry_run && !context.global.yes {
        if !context.can_ask() {
            return Err(ApiError::new(ErrorKind::Usage, "nothing was removed: nobody can be asked here")
                .hint(format!("windlass {} rm {} --yes", kind.folder(), row.name)));
        }
        if !ask::confirm(context, &format!("Remove {}?", path.display()), false) {
            print::note(context, "nothing was removed");
            return Ok(0);
        }
    }
    if !dry_run {
        let aside = || {
            std::fs::rename(&path, &backup).map_err(|e| {
                ApiError::new(ErrorKind::Missing, format!("{} cannot be moved aside: {e}", path.display()))
            })
        };
        if row.source.scope == Scope::Project { view.renewing(&[path.as_path()], aside)? } else { aside()? }
    }
    if context.global.json {
        print::json(&serde_json::json!({
            "kind": kind, "name": row.name, "path": path, "backup": backup, "dry_run": dry_run,
            "then": next,
        }))?;
        return Ok(0);
    }
    let would = if dry_run { "would be kept as" } else { "kept as" };
    let mut lines = vec![Line::of(Tone::Plain, format!("{} {would} {}", path.display(), backup.display()))];
    if let Some(next) = next {
        lines.push(Line::of(Tone::Dim, format!("{} is used from then on", next.path)));
    }
    print::lines(context, &lines)?;
    Ok(0)
}

/// The file of a resource, when it is one that Windlass may remove.
fn removable(kind: Kind, row: &Row) -> Result<PathBuf, ApiError> {
    if row.source.scope == Scope::Builtin {
        let error =
            ApiError::new(ErrorKind::Usage, format!("{kind} {} is shipped with Windlass", quote(&row.name)));
        return Err(if kind == Kind::Agent {
            error.hint(format!("`windlass config set agents.overrides.{}.disabled true` hides it", row.name))
        } else {
            error.hint(format!(
                "one of your own takes its place: `windlass {} new {}`",
                kind.folder(),
                row.name
            ))
        });
    }
    let owner = match row.source.dialect {
        Dialect::Windlass => return Ok(PathBuf::from(&row.source.path)),
        Dialect::PiCrew => "pi-crew",
        Dialect::Pi => "Pi",
        Dialect::Claude => "Claude Code",
    };
    Err(ApiError::new(ErrorKind::Refused, format!("{kind} {} is a file of {owner}", quote(&row.name)))
        .hint(format!("remove it yourself: {}", row.source.path)))
}

/// Beside the file, under a name that is read as no resource.
fn backup_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".bak-{}", view::now_ms()));
    PathBuf::from(name)
}

/// What counts for the name once the strongest file is gone.
fn next_in_line(view: &View, kind: Kind, name: &str) -> Option<Source> {
    let key = |n: &str| if kind == Kind::Agent { n.to_lowercase() } else { n.to_owned() };
    let shadowed = view.catalog.shadowed.iter().find(|s| s.kind == kind && key(&s.name) == key(name))?;
    let trusted = view.decision.answer() == Answer::All;
    shadowed.losers.iter().find(|s| s.scope != Scope::Project || trusted).cloned()
}

/// Who refers to a resource, in words.
fn users(view: &View, kind: Kind, name: &str) -> Vec<String> {
    let catalog = &view.catalog;
    let teams = || catalog.teams.iter().filter_map(|(_, e)| e.resource());
    let agents = || catalog.agents.iter().filter_map(|(_, e)| e.resource());
    let workflows = || catalog.workflows.iter().filter_map(|(_, e)| e.resource());
    let names =
        |choice: &SkillChoice| matches!(choice, SkillChoice::Add(list) if list.iter().any(|s| s == name));
    let mut users: Vec<String> = Vec::new();
    match kind {
        Kind::Agent => {
            let plays = |t: &Team| t.roles.iter().any(|r| r.agent.to_lowercase() == name.to_lowercase());
            users.extend(teams().filter(|t| plays(t)).map(|t| format!("team {}", quote(&t.name))));
        }
        Kind::Workflow => {
            users
                .extend(teams().filter(|t| t.workflow() == name).map(|t| format!("team {}", quote(&t.name))));
        }
        Kind::Team => {
            if view.config.team() == Some(name) {
                users.push("the setting `run.team`".to_owned());
            }
        }
        Kind::Skill => {
            let has = |a: &Agent| a.skills.iter().any(|s| s == name);
            users.extend(agents().filter(|a| has(a)).map(|a| format!("agent {}", quote(&a.name))));
            let role = |t: &Team| t.roles.iter().any(|r| names(&r.skills));
            users.extend(teams().filter(|t| role(t)).map(|t| format!("team {}", quote(&t.name))));
            let step = |w: &Workflow| w.steps.iter().any(|s| names(&s.skills));
            users.extend(workflows().filter(|w| step(w)).map(|w| format!("workflow {}", quote(&w.name))));
        }
    }
    users
}
