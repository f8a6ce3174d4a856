//! Skill files: instructions that go into prompts.

use crate::agent::one_line;
use crate::diag::{Diagnostic, Pos, quote};
use crate::fields::Fields;
use crate::front::split;
use crate::source::Source;
use serde::Serialize;

/// A skill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skill {
    /// Name: that of its folder.
    pub name: String,
    /// One line.
    pub description: String,
    /// The instructions: the file's body.
    pub body: String,
    /// Where it was read from.
    pub source: Source,
}

/// Whether a text may name a skill: letters, digits, `_`, `-`, at most 80 characters.
pub fn is_skill_name(name: &str) -> bool {
    (1..=80).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

impl Skill {
    /// Reads a `SKILL.md`. `folder` is the name of its folder, which is the skill's name. See [`crate::agent::Agent::parse`] for the rest.
    pub fn parse(
        text: &str,
        folder: &str,
        source: Source,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        if !is_skill_name(folder) {
            diagnostics.push(
                Diagnostic::error("bad-name", format!("the folder {} cannot name a skill", quote(folder)))
                    .help("use letters, digits, `_` and `-`, at most 80 characters"),
            );
            return None;
        }
        let front = split(text, diagnostics)?;
        let mut fields = Fields::new(front.fields, diagnostics);
        if let Some(name) = fields.text(&["name"]).filter(|n| n.text != folder) {
            let message =
                format!("the skill is known by its folder, {}, not as {}", quote(folder), quote(&name.text));
            fields.report(Diagnostic::warning("skill-name", message).at(name.pos));
        }
        let description = fields.text(&["description"]).map(|t| one_line(&t.text)).unwrap_or_default();
        // Other keys of this shared format steer other programs.
        drop(fields);
        let body = front.body.trim().to_owned();
        if body.is_empty() {
            diagnostics.push(
                Diagnostic::error("empty-skill", "the skill has no text below its front matter")
                    .at(Pos::new(front.body_line, 1)),
            );
            return None;
        }
        Some(Self { name: folder.to_owned(), description, body, source })
    }
}
