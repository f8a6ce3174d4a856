//! What is wrong with a file, where, and what to do: one type for every format this crate reads.

use serde::Serialize;
use std::fmt::Write as _;

/// How much a diagnostic matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing when one asks (`validate`); never shown by a run.
    Notice,
    /// Something in the file has no effect or is probably a mistake; the file is still used.
    Warning,
    /// The file, or what was asked, cannot be used.
    Error,
}

impl Severity {
    /// The word shown to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A place in a text file, both counted from 1; `column` counts characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Pos {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Pos {
    /// A place from numbers.
    pub const fn new(line: u32, column: u32) -> Self {
        Self { line, column }
    }

    /// The place of a byte offset in `text`. An offset past the end, or inside a character, is the nearest place before.
    pub fn of(text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let start = before.rfind('\n').map_or(0, |n| n + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        Self { line: count(line), column: count(before[start..].chars().count() + 1) }
    }
}

/// A count that fits; files are bounded far below the limit.
pub(crate) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// One finding.
///
/// Names taken from files are put into messages through [`quote`], so that a hostile file cannot print control bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// Stable word for programs, such as `unknown-key`.
    pub code: &'static str,
    /// What is wrong; present tense, no full stop.
    pub message: String,
    /// File, or `builtin:` name, or the name of a command-line flag; empty when there is none.
    pub path: String,
    /// Where in the file.
    pub pos: Option<Pos>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// A notice.
    pub fn notice(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Notice, code, message)
    }

    fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Self { severity, code, message: message.into(), path: String::new(), pos: None, help: None }
    }

    /// The same, in a file.
    #[must_use]
    pub fn in_file(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The same, at a place.
    #[must_use]
    pub fn at(mut self, pos: Pos) -> Self {
        self.pos = Some(pos);
        self
    }

    /// The same, with what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, with "did you mean" when `candidates` hold a name near to `given`.
    #[must_use]
    pub fn did_you_mean<'a>(self, given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(given, candidates) {
            Some(name) => self.help(format!("did you mean {}?", quote(name))),
            None => self,
        }
    }

    /// Whether it forbids going on.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// `file:line:column: ` where there is a place, else nothing.
    fn place(&self) -> String {
        match (self.path.as_str(), self.pos) {
            ("", _) => String::new(),
            (path, None) => format!("{}: ", escape(path)),
            (path, Some(pos)) => format!("{}:{}:{}: ", escape(path), pos.line, pos.column),
        }
    }

    /// `file:line:column: message`, for where it is plain that it is an error.
    pub fn said(&self) -> String {
        format!("{}{}", self.place(), self.message)
    }

    /// `file:line:column: error: message` and, below, the help. No trailing line break.
    pub fn render(&self) -> String {
        let mut out = format!("{}{}: {}", self.place(), self.severity.as_str(), self.message);
        if let Some(help) = &self.help {
            let _ = write!(out, "\n  help: {help}");
        }
        out
    }

    /// As [`Diagnostic::render`], with the line of the file and a mark under the place.
    pub fn render_with_source(&self, source: &str) -> String {
        let mut out = self.render();
        let Some(pos) = self.pos else { return out };
        let Some(line) = source.lines().nth(pos.line.saturating_sub(1) as usize) else { return out };
        let column = pos.column.saturating_sub(1) as usize;
        // A long line is shown around the place, so that a hostile file cannot fill the screen.
        let skip = if line.chars().nth(120).is_some() { column.saturating_sub(40) } else { 0 };
        let shown: String =
            line.chars().skip(skip).take(120).map(|c| if c == '\t' { ' ' } else { c }).collect();
        let snippet = format!(
            "\n  {number} | {shown}\n  {pad} | {space}^",
            number = pos.line,
            shown = escape(&shown),
            pad = " ".repeat(pos.line.to_string().len()),
            space = " ".repeat(column - skip.min(column)),
        );
        let at = out.find("\n  help: ").unwrap_or(out.len());
        out.insert_str(at, &snippet);
        out
    }
}

/// Whether any of them forbids going on.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::is_error)
}

/// Renders a list, worst first and otherwise in the order of places, one blank line apart.
pub fn render_all(diagnostics: &[Diagnostic]) -> String {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then_with(|| a.path.cmp(&b.path)).then_with(|| a.pos.cmp(&b.pos))
    });
    sorted.iter().map(|d| d.render()).collect::<Vec<_>>().join("\n")
}

/// A name from outside in back quotes: control and direction-changing characters escaped, clipped to 80 characters.
pub fn quote(name: &str) -> String {
    let mut shown: String = name.chars().take(80).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    format!("`{}`", escape(&shown))
}

/// Escapes what could steer a terminal or hide text: control characters and the invisible formatting ones.
pub fn escape(text: &str) -> String {
    if !text.chars().any(is_hidden) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut out, c| {
        if is_hidden(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
        out
    })
}

/// Characters that are not seen, or change how their neighbours are seen.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// The candidate nearest to `given`: at most three edits and a third of its length, case ignored, first best wins.
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: Vec<char> = given.to_lowercase().chars().take(81).collect();
    if given.is_empty() || given.len() > 80 {
        return None;
    }
    let limit = (given.len() / 3).clamp(1, 3);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let allowed = best.map_or(limit, |(d, _)| d.saturating_sub(1));
        if candidate.len() > 4 * (given.len() + 3) {
            continue;
        }
        let lower: Vec<char> = candidate.to_lowercase().chars().collect();
        if let Some(d) = distance(&given, &lower, allowed) {
            if d == 0 {
                return Some(candidate);
            }
            best = Some((d, candidate));
        }
    }
    best.map(|(_, name)| name)
}

/// Edits (insert, delete, replace, swap of neighbours) from `a` to `b`, or `None` above `limit`.
fn distance(a: &[char], b: &[char], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        let mut least = i;
        for j in 1..=b.len() {
            let replace = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut cell = replace.min(previous[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cell = cell.min(before[j - 2] + 1);
            }
            row[j] = cell;
            least = least.min(cell);
        }
        if least > limit {
            return None;
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous.last().copied().filter(|d| *d <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_nearest_name_is_found_and_far_ones_are_not() {
        let names = ["explorer", "planner", "executor", "verifier"];
        assert_eq!(nearest("exectuor", names), Some("executor"));
        assert_eq!(nearest("Planer", names), Some("planner"));
        assert_eq!(nearest("banana", names), None);
        assert_eq!(nearest("", names), None);
    }

    #[test]
    fn hostile_names_cannot_steer_a_terminal() {
        assert_eq!(quote("a\u{1b}[31m\u{202e}b"), "`a\\u{1b}[31m\\u{202e}b`");
        assert!(quote(&"x".repeat(1000)).chars().count() < 90);
    }

    #[test]
    fn a_diagnostic_reads_like_a_compilers() {
        let d = Diagnostic::error("unknown-key", "unknown key `toolz`")
            .in_file("agents/a.md")
            .at(Pos::new(3, 1))
            .help("did you mean `tools`?");
        insta::assert_snapshot!(d.render_with_source("---\nname: a\ntoolz: read\n---\n"), @r"
        agents/a.md:3:1: error: unknown key `toolz`
          3 | toolz: read
            | ^
          help: did you mean `tools`?
        ");
    }

    proptest! {
        #[test]
        fn every_offset_has_a_place(text in ".{0,80}", offset in 0usize..400) {
            let pos = Pos::of(&text, offset);
            prop_assert!(pos.line >= 1 && pos.column >= 1);
        }

        #[test]
        fn a_name_is_nearest_to_itself(a in "[a-z]{1,12}", b in "[a-z]{1,12}") {
            prop_assert_eq!(nearest(&a, [b.as_str(), a.as_str()]), Some(a.as_str()));
        }

        #[test]
        fn rendering_never_fails(source in any::<String>(), line in 0u32..9, column in 0u32..300) {
            let d = Diagnostic::error("x", "y").in_file("p").at(Pos::new(line, column));
            prop_assert!(!d.render_with_source(&source).is_empty());
        }
    }
}
