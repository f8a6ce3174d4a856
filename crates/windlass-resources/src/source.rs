//! Where a resource comes from.

use serde::Serialize;
use std::fmt;

/// Whose a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The user's own folders.
    User,
    /// Shipped with Windlass.
    Builtin,
    /// The repository's: used only when trusted.
    Project,
}

impl Scope {
    /// The word shown to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Builtin => "builtin",
            Self::Project => "project",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whose rules a file is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Windlass's own folders.
    Windlass,
    /// pi-crew's `.crew/` and `.pi/teams/`.
    PiCrew,
    /// Pi's `~/.pi/agent/` and `.pi/agents/`.
    Pi,
    /// Claude Code's `.claude/agents/`: tools and models have names of its own.
    Claude,
}

/// The four kinds of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A role prompt with model, tools and permissions.
    Agent,
    /// Roles, each played by an agent.
    Team,
    /// A graph of steps.
    Workflow,
    /// Instructions that go into prompts.
    Skill,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Agent, Self::Team, Self::Workflow, Self::Skill];

    /// The word shown to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Team => "team",
            Self::Workflow => "workflow",
            Self::Skill => "skill",
        }
    }

    /// The folder such files are in.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Agent => "agents",
            Self::Team => "teams",
            Self::Workflow => "workflows",
            Self::Skill => "skills",
        }
    }

    /// The path below a place's folder of a resource of this name.
    pub fn file(self, name: &str) -> String {
        match self {
            Self::Agent => format!("agents/{name}.md"),
            Self::Team => format!("teams/{name}.team.md"),
            Self::Workflow => format!("workflows/{name}.workflow.md"),
            Self::Skill => format!("skills/{name}/SKILL.md"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a resource was read from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Source {
    /// Whose it is.
    pub scope: Scope,
    /// Whose rules it is written to.
    pub dialect: Dialect,
    /// Absolute path, or `builtin:agents/executor.md`.
    pub path: String,
}

/// How a resource asks to be chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Routing {
    /// Words of a goal that call for it.
    pub triggers: Vec<String>,
    /// Phrases that speak for it.
    pub use_when: Vec<String>,
    /// Phrases that speak against it.
    pub avoid_when: Vec<String>,
    /// How dear it is.
    pub cost: Option<Cost>,
    /// A free label.
    pub category: Option<String>,
}

/// How dear a resource is to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cost {
    /// No tokens.
    Free,
    /// Few tokens.
    Cheap,
    /// Many tokens.
    Expensive,
}

impl Routing {
    pub(crate) fn read(fields: &mut crate::fields::Fields<'_>) -> Self {
        let texts = |list: Option<Vec<crate::front::Text>>| -> Vec<String> {
            list.unwrap_or_default().into_iter().map(|t| t.text).collect()
        };
        Self {
            triggers: texts(fields.list(&["triggers", "trigger"])),
            use_when: texts(fields.list(&["useWhen"])),
            avoid_when: texts(fields.list(&["avoidWhen"])),
            cost: fields.choice(
                &["cost"],
                &[("free", Cost::Free), ("cheap", Cost::Cheap), ("expensive", Cost::Expensive)],
            ),
            category: fields.text(&["category"]).map(|t| t.text),
        }
    }
}

/// The longest name of a resource, in bytes.
pub const MAX_NAME: usize = 100;

/// Why a name cannot be one, or `None` when it can: it becomes part of file names, listings and command lines.
pub fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.len() > MAX_NAME {
        Some("is longer than 100 bytes")
    } else if name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\')) {
        Some("holds a slash or a control character")
    } else if name.starts_with(['.', '-']) {
        Some("begins with a dot or a dash")
    } else if crate::diag::escape(name) != name {
        Some("holds an invisible character")
    } else {
        None
    }
}
