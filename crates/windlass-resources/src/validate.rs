//! Checks of everything there is against everything else: what `validate` and `doctor` show.

use crate::agent::Agent;
use crate::catalog::{Catalog, Entry, MAX_FILES, Resource, stem};
use crate::config::{Config, ConfigFile, Sources};
use crate::diag::{Diagnostic, quote};
use crate::plan;
use crate::skill::Skill;
use crate::source::{Dialect, Kind, Scope, Source};
use crate::team::{SkillChoice, Team};
use crate::text::{Links, read};
use crate::workflow::Workflow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Findings in the files themselves and between them: roles without an agent, teams without their workflow, workflows that do
/// not fit their team or are broken by themselves, skills that do not exist. Each finding once.
///
/// Shadowed names are in [`Catalog::shadowed`].
pub fn validate(catalog: &Catalog) -> Vec<Diagnostic> {
    let mut out = catalog.diagnostics.clone();
    let mut used = BTreeSet::new();
    for (_, entry) in catalog.teams.iter() {
        if let Some(team) = entry.resource() {
            // One that is not trusted may build on others that are not trusted; that alone is no fault of it.
            let open = matches!(entry, Entry::Untrusted(_));
            team_with_its_workflow(catalog, team, open, &mut used, &mut out);
        }
    }
    for (name, entry) in catalog.workflows.iter() {
        if let Some(workflow) = entry.resource()
            && !used.contains(name)
        {
            alone(workflow, Some(catalog), &mut out);
        }
    }
    for (_, entry) in catalog.agents.iter() {
        if let Some(agent) = entry.resource() {
            for skill in &agent.skills {
                missing_skill(catalog, skill, &agent.source().path, &mut out);
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    out.retain(|d| seen.insert(d.clone()));
    out
}

/// Findings in one file or in the files of one folder, whatever place they lie in: `validate PATH`.
///
/// The kind is told by the name: `*.team.md`, `*.workflow.md`, `SKILL.md`, `*.toml`, else an agent.
pub fn path(path: &Path) -> Vec<Diagnostic> {
    if !path.is_dir() {
        return file(path);
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) => {
            let d = Diagnostic::error("unreadable", format!("cannot be read: {e}"));
            return vec![d.in_file(path.display().to_string())];
        }
    };
    let mut names: Vec<_> = entries.flatten().take(MAX_FILES).map(|e| e.path()).collect();
    names.sort();
    let wanted = |p: &PathBuf| p.extension().is_some_and(|e| e == "md" || e == "toml");
    let inner = |p: PathBuf| if p.is_dir() { p.join("SKILL.md") } else { p };
    names.into_iter().map(inner).filter(|p| wanted(p) && p.exists()).flat_map(|p| file(&p)).collect()
}

fn file(path: &Path) -> Vec<Diagnostic> {
    let shown = path.display().to_string();
    let text = match read(path, Links::Follow) {
        Ok(text) => text,
        Err(d) => return vec![*d],
    };
    let mut out = Vec::new();
    if path.extension().is_some_and(|e| e == "toml") {
        let config = ConfigFile { path: shown, text };
        let (_, findings) = Config::load(&Sources { user: Some(&config), ..Sources::default() });
        return findings;
    }
    let source = Source { scope: Scope::User, dialect: dialect(path), path: shown.clone() };
    if let Some(stem) = stem(Kind::Team, &shown) {
        Team::parse(&text, stem, source, &mut out);
    } else if let Some(stem) = stem(Kind::Workflow, &shown) {
        if let Some(workflow) = Workflow::parse(&text, stem, source, &mut out) {
            alone(&workflow, None, &mut out);
        }
    } else if let Some(stem) = stem(Kind::Skill, &shown) {
        Skill::parse(&text, stem, source, &mut out);
    } else if let Some(stem) = stem(Kind::Agent, &shown) {
        Agent::parse(&text, stem, source, &mut out);
    } else {
        out.push(
            Diagnostic::error("unknown-kind", "is no agent, team, workflow, skill or config file")
                .help("such files end in `.md`, `.team.md`, `.workflow.md`, `/SKILL.md` or `.toml`"),
        );
    }
    out.into_iter().map(|d| if d.path.is_empty() { d.in_file(&shown) } else { d }).collect()
}

/// Claude Code's agents are read by its own rules wherever its folder is.
fn dialect(path: &Path) -> Dialect {
    if path.components().any(|c| c.as_os_str() == ".claude") { Dialect::Claude } else { Dialect::Windlass }
}

fn team_with_its_workflow(
    catalog: &Catalog,
    team: &Team,
    open: bool,
    used: &mut BTreeSet<String>,
    out: &mut Vec<Diagnostic>,
) {
    let path = &team.source.path;
    for role in &team.roles {
        if let Err(d) = catalog.agents.get(&role.agent)
            && !(open && d.code == "untrusted")
        {
            let mut d = *d;
            d.message = format!("role {}: {}", quote(&role.name), d.message);
            d.path.clone_from(path);
            out.push(d.at(role.pos));
        }
        if let SkillChoice::Add(list) = &role.skills {
            for skill in list {
                missing_skill(catalog, skill, path, out);
            }
        }
    }
    let Some(entry) = catalog.workflows.entry(team.workflow()) else {
        if let Err(d) = catalog.workflows.get(team.workflow()) {
            let mut d = *d;
            d.message = format!("team {}: {}", quote(&team.name), d.message);
            out.push(d.in_file(path));
        }
        return;
    };
    let Some(workflow) = entry.resource() else { return };
    used.insert(workflow.name.clone());
    if team.roles.is_empty() && !workflow.from_gates {
        out.push(
            Diagnostic::error("no-roles", format!("team {} has no roles", quote(&team.name)))
                .in_file(path)
                .help("a role is a line such as `- executor: makes the change`"),
        );
        return;
    }
    if let Err(list) = plan::check(team, workflow, catalog) {
        // Missing agents were reported above, at their role, whether a step uses it or not.
        out.extend(list.into_iter().filter(|d| !d.message.starts_with("role ")));
    }
}

/// A workflow that is no team's own: its steps and their graph. Without a catalog, what its file alone tells.
fn alone(workflow: &Workflow, catalog: Option<&Catalog>, out: &mut Vec<Diagnostic>) {
    let found = plan::expand::expand(workflow, catalog).and_then(|w| plan::graph::Graph::of(&w).map(|_| ()));
    out.extend(found.err().into_iter().flatten());
}

fn missing_skill(catalog: &Catalog, name: &str, path: &str, out: &mut Vec<Diagnostic>) {
    if catalog.skills.entry(name).is_none() {
        out.push(
            Diagnostic::warning("unknown-skill", format!("there is no skill {}", quote(name)))
                .in_file(path)
                .did_you_mean(name, catalog.skills.usable().map(|s| s.name.as_str())),
        );
    }
}

/// Counts for the end of `validate`: agents, teams, workflows, skills, by whether they are shipped.
pub fn counts(catalog: &Catalog) -> [(&'static str, usize, usize); 4] {
    fn count<T: Resource>(shelf: &crate::catalog::Shelf<T>) -> (usize, usize) {
        let own = shelf
            .iter()
            .filter(|(_, e)| e.resource().is_none_or(|r| r.source().scope != Scope::Builtin))
            .count();
        (own, shelf.iter().count() - own)
    }
    let (a, t, w, s) =
        (count(&catalog.agents), count(&catalog.teams), count(&catalog.workflows), count(&catalog.skills));
    [("agents", a.0, a.1), ("teams", t.0, t.1), ("workflows", w.0, w.1), ("skills", s.0, s.1)]
}
