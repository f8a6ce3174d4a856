//! Team files: roles, each played by an agent.

use crate::agent::{check_model, one_line};
use crate::diag::{Diagnostic, Pos, count, quote};
use crate::fields::Fields;
use crate::front::{comma_list, split};
use crate::source::{Routing, Source, name_problem};
use serde::Serialize;

/// A team as its file describes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Team {
    /// Name; the file's name without its ending unless the file says otherwise.
    pub name: String,
    /// One line.
    pub description: String,
    /// Roles in the order of the file.
    pub roles: Vec<Role>,
    /// The workflow used when none is named; `None` is the one with the team's own name.
    pub default_workflow: Option<String>,
    /// Whether each task is to have a working tree of its own.
    pub worktree: bool,
    /// How many of its workers may live at once.
    pub max_concurrency: Option<u32>,
    /// How it asks to be chosen.
    pub routing: Routing,
    /// A git address the file names as its origin. Recorded; nothing is fetched.
    pub origin: Option<String>,
    /// Where it was read from.
    pub source: Source,
}

/// A role of a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role {
    /// Name.
    pub name: String,
    /// The agent that plays it; the one of the same name unless the line says otherwise.
    pub agent: String,
    /// Model that wins over the agent's.
    pub model: Option<String>,
    /// Skills besides, or instead of, the role's own.
    pub skills: SkillChoice,
    /// How many workers of this role may live at once.
    pub max_concurrency: Option<u32>,
    /// One line.
    pub description: String,
    /// Where its line stands.
    #[serde(skip)]
    pub pos: Pos,
}

/// What a role or a step says of skills.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub enum SkillChoice {
    /// Nothing: the role's own.
    #[default]
    Own,
    /// `false`: not the role's own.
    Off,
    /// The role's own and these.
    Add(Vec<String>),
}

impl Team {
    /// Reads a team file. `stem` is the file's name without `.team.md`. See [`crate::agent::Agent::parse`] for the rest.
    pub fn parse(text: &str, stem: &str, source: Source, diagnostics: &mut Vec<Diagnostic>) -> Option<Self> {
        let before = diagnostics.len();
        let front = split(text, diagnostics)?;
        let mut fields = Fields::new(front.fields, diagnostics);
        let name = fields.text(&["name"]);
        let name = fields.named(name, stem).text;
        let description = fields.text(&["description"]).map(|t| one_line(&t.text)).unwrap_or_default();
        let default_workflow = fields.text(&["defaultWorkflow", "workflow"]).map(|t| t.text);
        let worktree = fields.text(&["workspaceMode"]).is_some_and(|t| t.text == "worktree");
        let max_concurrency = fields.number(&["maxConcurrency"], 1..=1024);
        let routing = Routing::read(&mut fields);
        let origin = fields.text(&["source"]).map(|t| t.text);
        let mut roles: Vec<Role> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (n, line) in front.body.lines().enumerate() {
            let trimmed = line.trim();
            // `---` is a rule across the page, not a role.
            let Some(rest) = trimmed.strip_prefix('-').filter(|r| !r.starts_with('-')) else { continue };
            let indent = line.chars().count() - line.trim_start().chars().count();
            let pos = Pos::new(front.body_line + count(n), count(indent + 1));
            let Some(role) = read_role(rest.trim(), pos, &mut fields) else { continue };
            if seen.insert(role.name.clone()) {
                roles.push(role);
            } else {
                fields.report(
                    Diagnostic::error("duplicate-role", format!("role {} is given twice", quote(&role.name)))
                        .at(pos),
                );
            }
        }
        fields.finish();
        if crate::diag::has_errors(&diagnostics[before..]) {
            return None;
        }
        Some(Self {
            name,
            description,
            roles,
            default_workflow,
            worktree,
            max_concurrency,
            routing,
            origin,
            source,
        })
    }

    /// The workflow used when none is named.
    pub fn workflow(&self) -> &str {
        self.default_workflow.as_deref().unwrap_or(&self.name)
    }

    /// A role by name.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|r| r.name == name)
    }
}

/// Reads `<role>[: [agent=…] [model=…] [skills=…] [maxConcurrency=…] [description]]`.
fn read_role(line: &str, pos: Pos, fields: &mut Fields<'_>) -> Option<Role> {
    let (name, rest) = line.split_once(':').unwrap_or((line, ""));
    // `**explorer**: …` is a common way to write such lists.
    let name = name.trim().trim_matches(['*', '`']).trim().to_owned();
    if let Some(problem) = name_problem(&name) {
        fields.report(
            Diagnostic::error("bad-name", format!("the role name {} {problem}", quote(&name))).at(pos),
        );
        return None;
    }
    let mut role = Role {
        agent: name.clone(),
        name,
        model: None,
        skills: SkillChoice::Own,
        max_concurrency: None,
        description: String::new(),
        pos,
    };
    let mut words = rest.split_whitespace().peekable();
    let mut description: Vec<&str> = Vec::new();
    while let Some(word) = words.next() {
        let Some((key, value)) = word.split_once('=') else {
            description.push(word);
            continue;
        };
        match crate::front::plain_key(key).as_str() {
            "agent" if !value.is_empty() => role.agent = value.to_owned(),
            "model" if !value.is_empty() => {
                check_model(value, pos, fields);
                role.model = (value != "false").then(|| value.to_owned());
            }
            "skills" => {
                // A list may have spaces around its commas.
                let mut list = value.to_owned();
                while list.ends_with(',') || words.peek().is_some_and(|w| w.starts_with(',')) {
                    let Some(more) = words.next() else { break };
                    list.push_str(more);
                }
                role.skills = match list.as_str() {
                    "false" => SkillChoice::Off,
                    list => SkillChoice::Add(comma_list(list)),
                };
            }
            "maxconcurrency" => match value.parse::<u32>() {
                Ok(n) if (1..=1024).contains(&n) => role.max_concurrency = Some(n),
                _ => fields.report(
                    Diagnostic::error("wrong-type", "`maxConcurrency` must be a whole number from 1 to 1024")
                        .at(pos),
                ),
            },
            _ => description.push(word),
        }
    }
    role.description = description.join(" ");
    Some(role)
}
