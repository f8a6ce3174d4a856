//! Agent files: who plays a role, with which prompt, model, tools and permissions.

use crate::diag::{Diagnostic, Pos, quote};
use crate::fields::Fields;
use crate::front::{Text, split};
use crate::source::{Dialect, Routing, Source};
use serde::Serialize;
use windlass_events::spec::{Access, RuntimeKind};

/// An agent as its file describes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agent {
    /// Name; the file's name without its ending unless the file says otherwise.
    pub name: String,
    /// One line.
    pub description: String,
    /// The role prompt: the file's body.
    pub system_prompt: String,
    /// The kind of worker; `None` takes the run's own, `pi` unless the user says otherwise.
    pub runtime: Option<RuntimeKind>,
    /// Preferred model; `None` takes the user's own setting.
    pub model: Option<String>,
    /// Models to try in order after a retryable failure.
    pub fallback_models: Vec<String>,
    /// Thinking level.
    pub thinking: Option<String>,
    /// Tool allow-list, by Pi's names; `None` is no restriction.
    pub tools: Option<Vec<String>>,
    /// Runtime extensions to load; `None` is the worker's default.
    pub extensions: Option<Vec<String>>,
    /// Skills besides the role's own.
    pub skills: Vec<String>,
    /// Whether the role prompt is added to the runtime's own (`true`) or replaces it.
    pub append_prompt: bool,
    /// Whether the runtime's project context (such as `AGENTS.md`) is kept.
    pub inherit_project_context: bool,
    /// Whether the runtime's own skills are kept.
    pub inherit_skills: bool,
    /// Argument vector of a `command` agent.
    pub command: Vec<String>,
    /// What the file says of writing; `None` when it says nothing.
    pub writes: Option<bool>,
    /// Most turns of one attempt.
    pub max_turns: Option<u32>,
    /// Whether it is hidden, together with what it shadows.
    pub disabled: bool,
    /// How it asks to be chosen.
    pub routing: Routing,
    /// Where it was read from.
    pub source: Source,
}

/// The thinking levels that runtimes know.
pub const THINKING: [&str; 6] = ["off", "minimal", "low", "medium", "high", "xhigh"];

impl Agent {
    /// Reads an agent file. `stem` is the file's name without `.md`.
    ///
    /// Findings have no path yet; the caller knows it. `None` when the file cannot be used; then at least one finding is an error.
    pub fn parse(text: &str, stem: &str, source: Source, diagnostics: &mut Vec<Diagnostic>) -> Option<Self> {
        let before = diagnostics.len();
        let claude = source.dialect == Dialect::Claude;
        let front = split(text, diagnostics)?;
        let present = front.present;
        let mut fields = Fields::new(front.fields, diagnostics);

        let name = fields.text(&["name"]);
        if claude && name.is_none() {
            fields.report(
                Diagnostic::error("missing-key", "an agent of Claude Code needs a `name`").at(Pos::new(1, 1)),
            );
        }
        let Text { text: name, pos: name_pos } = fields.named(name, stem);
        let description = fields.text(&["description"]).map(|t| one_line(&t.text));
        let runtimes: Vec<(&'static str, RuntimeKind)> =
            RuntimeKind::ALL.iter().map(|kind| (kind.as_str(), *kind)).collect();
        let mut runtime = fields.choice(&["runtime"], &runtimes);

        let mut model = fields.text_or_false(&["model"]);
        if claude
            && let Some(m) = &model
            && is_claude_alias(&m.text)
        {
            if m.text != "inherit" {
                let message = format!(
                    "the model alias {} is Claude Code's own; the user's model is used",
                    quote(&m.text)
                );
                let at = m.pos;
                fields.report(Diagnostic::notice("model-alias", message).at(at));
            }
            model = None;
        }
        if let Some(m) = &model {
            check_model(&m.text, m.pos, &mut fields);
        }
        let fallbacks = fields.list(&["fallbackModels"]).unwrap_or_default();
        for m in &fallbacks {
            check_model(&m.text, m.pos, &mut fields);
        }
        // An unknown level never stopped an agent from working, so it does not here.
        let thinking = fields.text_or_false(&["thinking"]).and_then(|t| {
            let known = THINKING.iter().find(|level| level.eq_ignore_ascii_case(&t.text)).copied();
            if known.is_none() {
                let message =
                    format!("{} is no thinking level; it is one of {}", quote(&t.text), THINKING.join(", "));
                fields.report(
                    Diagnostic::warning("unknown-value", message).at(t.pos).did_you_mean(&t.text, THINKING),
                );
            }
            known
        });
        let tools = fields.list(&["tools"]).and_then(|list| {
            // An empty list cannot be meant: an agent without any tool does nothing. Earlier tools read it as "not given".
            if list.is_empty() { None } else { Some(list.into_iter().map(|t| t.text).collect::<Vec<_>>()) }
        });
        let tools = if claude { tools.map(|t| claude_tools(t, &mut fields)) } else { tools };
        let extensions = fields.list(&["extensions"]).map(texts);
        let skills = texts(fields.list(&["skills", "skill"]).unwrap_or_default());
        let append_prompt = fields
            .choice(&["systemPromptMode", "promptMode"], &[("replace", false), ("append", true)])
            .unwrap_or(false);
        // Claude Code gives its agents the project's own instructions.
        let foreign = claude;
        let inherit_project_context = fields.flag(&["inheritProjectContext"]).unwrap_or(foreign);
        let inherit_skills = fields.flag(&["inheritSkills"]).unwrap_or(false);
        let command = fields.words(&["command"]).unwrap_or_default();
        let writes = fields.flag(&["writes"]);
        let max_turns = fields.number(&["maxTurns"], 1..=10_000);
        let disabled =
            fields.flag(&["disabled"]).unwrap_or(false) | !fields.flag(&["enabled"]).unwrap_or(true);
        let routing = Routing::read(&mut fields);
        fields.without_effect(&["memory", "loadMode", "defaultTools", "contextMode"]);
        if claude {
            // Keys that only steer Claude Code itself.
            fields.ignore(&[
                "color",
                "permissionMode",
                "hooks",
                "mcpServers",
                "disallowedTools",
                "background",
                "isolation",
                "effort",
            ]);
        }
        if runtime.is_none() && !command.is_empty() {
            runtime = Some(RuntimeKind::Command);
        }
        if runtime == Some(RuntimeKind::Command) && command.is_empty() {
            fields.report(
                Diagnostic::error("missing-key", "a `command` agent needs `command`")
                    .at(name_pos)
                    .help("add command: [\"sh\", \"-c\", \"…\"]"),
            );
        } else if runtime.is_some_and(|r| r != RuntimeKind::Command) && !command.is_empty() {
            fields.report(
                Diagnostic::error("conflicting-keys", "`command` is only for agents with `runtime: command`")
                    .at(name_pos),
            );
        }
        fields.finish();

        let system_prompt = front.body.trim().to_owned();
        if system_prompt.is_empty() && runtime != Some(RuntimeKind::Command) && present {
            diagnostics.push(
                Diagnostic::warning(
                    "empty-prompt",
                    "the agent has no prompt: the text below the front matter is empty",
                )
                .at(Pos::new(front.body_line, 1)),
            );
        }
        if crate::diag::has_errors(&diagnostics[before..]) {
            return None;
        }
        Some(Self {
            description: description.unwrap_or_default(),
            system_prompt,
            runtime,
            model: model.map(|m| m.text),
            fallback_models: texts(fallbacks),
            thinking: thinking.map(str::to_owned),
            tools,
            extensions,
            skills,
            append_prompt,
            inherit_project_context,
            inherit_skills,
            command,
            writes,
            max_turns,
            disabled,
            routing,
            source,
            name,
        })
    }

    /// What the agent may do to the tree by itself, whatever role it plays.
    ///
    /// What its file says counts; else a `command` only reads, and any other agent writes when its tools can edit or are not restricted.
    pub fn access(&self) -> Access {
        let writes = self.writes.unwrap_or_else(|| {
            self.runtime != Some(RuntimeKind::Command)
                && self
                    .tools
                    .as_ref()
                    .is_none_or(|t| t.iter().any(|t| matches!(t.as_str(), "edit" | "write")))
        });
        if writes { Access::Write } else { Access::Read }
    }

    /// The kind of worker when nobody chose another.
    pub fn runtime_or_default(&self) -> RuntimeKind {
        self.runtime.unwrap_or(RuntimeKind::Pi)
    }
}

fn texts(list: Vec<Text>) -> Vec<String> {
    list.into_iter().map(|t| t.text).collect()
}

/// A description on one line: it goes into listings.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Warns about a model name that no provider can have.
pub(crate) fn check_model(model: &str, pos: Pos, fields: &mut Fields<'_>) {
    if model.chars().any(char::is_whitespace) {
        fields.report(
            Diagnostic::warning("odd-model", format!("the model {} holds white space", quote(model))).at(pos),
        );
    } else if model.contains('/') && model.split('/').any(str::is_empty) {
        fields.report(
            Diagnostic::warning(
                "odd-model",
                format!("the model {} has nothing on one side of a `/`", quote(model)),
            )
            .at(pos),
        );
    }
}

/// Whether a model name means something to Claude Code alone. A full id such as `claude-sonnet-4-5` does not.
fn is_claude_alias(model: &str) -> bool {
    matches!(model, "inherit" | "default" | "sonnet" | "opus" | "haiku" | "opusplan" | "best" | "fable")
        || model.ends_with("[1m]")
}

/// Translates tool names of Claude Code. Unknown ones are dropped with a notice: they do not exist in other runtimes.
fn claude_tools(tools: Vec<String>, fields: &mut Fields<'_>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut dropped = Vec::new();
    for tool in tools {
        // `Bash(git diff:*)` narrows a tool; the tool itself is what can be translated.
        let base = tool.split('(').next().unwrap_or_default().trim();
        let ours = match base.to_ascii_lowercase().as_str() {
            "read" | "notebookread" => "read",
            "bash" | "bashoutput" | "killshell" | "killbash" => "bash",
            "edit" | "multiedit" | "notebookedit" => "edit",
            "write" => "write",
            "grep" => "grep",
            "glob" => "find",
            "ls" => "ls",
            _ => {
                dropped.push(tool);
                continue;
            }
        };
        if base.len() < tool.trim().len() {
            dropped.push(tool.clone());
            // A narrowed shell must not become an unbounded one.
            if ours == "bash" {
                continue;
            }
        }
        if !out.iter().any(|t| t == ours) {
            out.push(ours.to_owned());
        }
    }
    if out.is_empty() {
        // "No tool that exists here" must not turn into "every tool".
        out.extend(["read", "grep", "find", "ls"].map(str::to_owned));
    }
    if !dropped.is_empty() {
        let names: Vec<String> = dropped.iter().take(8).map(|t| quote(t)).collect();
        fields.report(Diagnostic::notice(
            "claude-tools",
            format!("tools left out, as they are Claude Code's own: {}", names.join(", ")),
        ));
    }
    out
}
