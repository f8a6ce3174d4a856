//! Front matter: the block between two `---` lines at the head of every resource file.
//!
//! It is read as YAML. Where that fails, as it does for `description: Use when: asked`, which earlier tools accepted,
//! each line is `key: value` split at its first colon. Both ways end in the same [`Fields`], so that no format knows the difference.

use crate::diag::{Diagnostic, Pos, count, quote};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;

/// The most keys of one front matter.
const MAX_KEYS: usize = 500;

/// A text value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The value, trimmed at both ends.
    pub text: String,
    /// Where it begins.
    pub pos: Pos,
}

impl Text {
    /// A value that came from no file.
    pub fn bare(text: impl Into<String>) -> Self {
        Self { text: text.into(), pos: Pos::default() }
    }

    /// The value.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing after the colon, or `null`.
    Nothing,
    /// Text, a number or a truth value, as written.
    One(String),
    /// A YAML list of such.
    Many(Vec<Text>),
    /// Anything deeper, which no format here has.
    Nested,
}

/// One key of a front matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) key: Text,
    pub(crate) value: Value,
    pub(crate) pos: Pos,
}

/// A file split in two.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) fields: Vec<Field>,
    /// Whether there was a front matter at all.
    pub(crate) present: bool,
    pub(crate) body: String,
    /// Line of the file that the body begins at, from 1.
    pub(crate) body_line: u32,
}

/// Splits a normalised text (no byte-order mark, LF) and reads its front matter.
///
/// A missing opener is no front matter. A missing closer is an error and not "no front matter": the keys in it would be lost in silence.
pub(crate) fn split(text: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<Split> {
    let mut lines = text.split_inclusive('\n');
    let first = lines.next().unwrap_or_default();
    if first.trim_end() != "---" {
        return Some(Split { fields: Vec::new(), present: false, body: text.to_owned(), body_line: 1 });
    }
    let start = first.len();
    let mut end = start;
    for (n, line) in lines.enumerate() {
        if line.trim_end() == "---" {
            let block = &text[start..end];
            return Some(Split {
                fields: read_block(block, diagnostics),
                present: true,
                body: text[end + line.len()..].to_owned(),
                body_line: count(n + 3),
            });
        }
        end += line.len();
    }
    diagnostics.push(
        Diagnostic::error("front-matter-open", "the front matter has no closing `---` line")
            .at(Pos::new(1, 1))
            .help("end the block of keys with a line that is exactly `---`"),
    );
    None
}

/// Reads the keys of a block, whose first line is line 2 of its file.
fn read_block(block: &str, diagnostics: &mut Vec<Diagnostic>) -> Vec<Field> {
    if block.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
        return Vec::new();
    }
    let mut fields = match read_yaml(block) {
        Ok(fields) => fields,
        Err((why, pos)) => {
            diagnostics.push(
                Diagnostic::notice(
                    "front-matter-lines",
                    format!("the front matter is not YAML ({why}); it is read line by line"),
                )
                .at(pos)
                .help("put values that hold `: ` or ` #`, or begin with a special character, in quotes"),
            );
            read_lines(block)
        }
    };
    if fields.len() > MAX_KEYS {
        diagnostics.push(
            Diagnostic::error(
                "too-many-keys",
                format!("the front matter has {} keys; the limit is {MAX_KEYS}", fields.len()),
            )
            .at(Pos::new(2, 1)),
        );
        fields.truncate(MAX_KEYS);
    }
    // The last of equal keys wins, as it always did; that it hides the others is worth a word.
    let mut last: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    let mut hidden = std::collections::HashSet::new();
    for (n, field) in fields.iter().enumerate() {
        if let Some(earlier) = last.insert(plain_key(&field.key.text), n) {
            hidden.insert(earlier);
            let message = format!("key {} is given twice; the last one counts", quote(&field.key.text));
            diagnostics.push(Diagnostic::warning("duplicate-key", message).at(field.key.pos));
        }
    }
    let mut n = 0;
    fields.retain(|_| {
        n += 1;
        !hidden.contains(&(n - 1))
    });
    fields
}

/// The line rule.
fn read_lines(block: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    for (n, line) in block.lines().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once(':') else { continue };
        let indent = line.chars().count() - trimmed.chars().count();
        let blank = value.chars().take_while(|c| c.is_whitespace()).count();
        let number = count(n + 2);
        let pos = Pos::new(number, count(key.chars().count() + 2 + blank));
        fields.push(Field {
            key: Text { text: key.trim().to_owned(), pos: Pos::new(number, count(indent + 1)) },
            value: line_value(value.trim(), pos),
            pos,
        });
    }
    fields
}

/// A value of the line rule, or of a workflow step: text, nothing, or a list in square brackets.
pub(crate) fn line_value(value: &str, pos: Pos) -> Value {
    if value.is_empty() {
        return Value::Nothing;
    }
    if let Some(inner) = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')) {
        // JSON first: only there can an item hold a comma or a quote.
        let items = serde_json::from_str::<Vec<String>>(value)
            .unwrap_or_else(|_| comma_list(inner).into_iter().map(|i| unquote(&i).to_owned()).collect());
        return Value::Many(items.into_iter().map(|text| Text { text, pos }).collect());
    }
    Value::One(value.to_owned())
}

/// Drops one pair of equal quotes around a text that holds no further ones of that kind.
pub(crate) fn unquote(text: &str) -> &str {
    for q in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(q).and_then(|t| t.strip_suffix(q))
            && !inner.contains(q)
        {
            return inner;
        }
    }
    text
}

/// Splits at commas outside double quotes; quotes are dropped, items trimmed, empty ones and repeats removed.
pub(crate) fn comma_list(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut item = String::new();
    let mut quoted = false;
    for c in text.chars().chain(std::iter::once(',')) {
        match c {
            '"' => quoted = !quoted,
            // An open quote at the very end must not swallow the last item.
            ',' if !quoted => {
                let done = std::mem::take(&mut item);
                let done = done.trim();
                if !done.is_empty() && seen.insert(done.to_owned()) {
                    items.push(done.to_owned());
                }
            }
            c => item.push(c),
        }
    }
    let rest = item.trim().trim_end_matches(',').trim();
    if !rest.is_empty() && seen.insert(rest.to_owned()) {
        items.push(rest.to_owned());
    }
    items
}

/// A key without regard to `camelCase`, `snake_case` or `kebab-case`.
pub(crate) fn plain_key(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Reads a block as YAML: one mapping of scalars and lists of scalars.
fn read_yaml(block: &str) -> Result<Vec<Field>, (String, Pos)> {
    // A front matter is small; these limits only stop alias bombs and the like.
    let mut budget = serde_saphyr::Budget::default();
    budget.max_depth = 16;
    budget.max_nodes = 20_000;
    budget.max_events = 60_000;
    budget.max_aliases = 200;
    budget.max_documents = 1;
    budget.max_merge_keys = 0;
    let options = serde_saphyr::options! {
        budget: Some(budget),
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
    };
    let node: Spanned<Node> = serde_saphyr::from_str_with_options(block, options).map_err(|e| {
        let pos = e.location().map_or(Pos::new(2, 1), |l| place(&l));
        let why = e.without_snippet().to_string();
        // The parser counts from the block's own first line; the place is given beside the message.
        let why = why.lines().next().unwrap_or_default();
        let why = why.rfind(" at line ").map_or(why, |n| &why[..n]).to_owned();
        (crate::diag::escape(&why.chars().take(160).collect::<String>()), pos)
    })?;
    let Node::Map(entries) = node.value else {
        return Err(("it is not a list of keys".to_owned(), Pos::new(2, 1)));
    };
    Ok(entries
        .into_iter()
        .map(|(key, value)| {
            let pos = place(&value.referenced);
            let value = match value.value {
                Node::Null => Value::Nothing,
                Node::Map(_) => Value::Nested,
                Node::List(items) => items
                    .into_iter()
                    .map(|item| {
                        let pos = place(&item.referenced);
                        scalar(block, item).map(|text| Text { text, pos })
                    })
                    .collect::<Option<Vec<_>>>()
                    .map_or(Value::Nested, Value::Many),
                Node::Text(_) | Node::Plain => scalar(block, value).map_or(Value::Nested, Value::One),
            };
            Field { key: Text { pos: place(&key.referenced), text: key.value }, value, pos }
        })
        .collect())
}

/// The text of a scalar. A plain one that YAML takes for a number or a truth value is taken as it is written, so that `1.10` stays `1.10`.
fn scalar(block: &str, node: Spanned<Node>) -> Option<String> {
    match node.value {
        Node::Text(text) => Some(text.trim().to_owned()),
        Node::Plain => {
            let span = node.defined.span();
            let start = usize::try_from(span.byte_offset()?).ok()?;
            let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
            block.get(start..end).map(|t| t.trim().to_owned())
        }
        Node::Null => Some(String::new()),
        Node::List(_) | Node::Map(_) => None,
    }
}

/// A place in a block, as a place in its file.
fn place(location: &serde_saphyr::Location) -> Pos {
    let line = u32::try_from(location.line()).unwrap_or(u32::MAX);
    Pos::new(line.saturating_add(1), u32::try_from(location.column()).unwrap_or(u32::MAX).max(1))
}

/// What YAML can hold here.
#[derive(Debug)]
enum Node {
    Null,
    Plain,
    Text(String),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNode;
        impl<'de> Visitor<'de> for AnyNode {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a list or keys")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }
            fn visit_none<E: de::Error>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Node, E> {
                Ok(Node::Plain)
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Node, E> {
                Ok(Node::Plain)
            }
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Node, E> {
                Ok(Node::Plain)
            }
            fn visit_i128<E: de::Error>(self, _: i128) -> Result<Node, E> {
                Ok(Node::Plain)
            }
            fn visit_u128<E: de::Error>(self, _: u128) -> Result<Node, E> {
                Ok(Node::Plain)
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Node, E> {
                Ok(Node::Plain)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Node::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Node::Map(entries))
            }
        }
        deserializer.deserialize_any(AnyNode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(text: &str) -> (Vec<(String, Value)>, Vec<&'static str>) {
        let mut diagnostics = Vec::new();
        let split = split(text, &mut diagnostics);
        let fields = split.map(|s| s.fields).unwrap_or_default();
        (
            fields.into_iter().map(|f| (f.key.text, f.value)).collect(),
            diagnostics.iter().map(|d| d.code).collect(),
        )
    }

    #[test]
    fn yaml_is_read_as_written() {
        let (f, d) = fields(
            "---\nname: 007\nmodel: 1.10\non: yes\ntools: [read, bash]\nskills:\n  - a\n  - b c\nempty:\nq: \"x: y\"\n---\nbody",
        );
        assert!(d.is_empty(), "{d:?}");
        let text: Vec<String> = f
            .iter()
            .map(|(k, v)| match v {
                Value::Nothing => format!("{k}=∅"),
                Value::One(t) => format!("{k}={t}"),
                Value::Many(i) => format!("{k}={:?}", i.iter().map(Text::as_str).collect::<Vec<_>>()),
                Value::Nested => format!("{k}=nested"),
            })
            .collect();
        insta::assert_snapshot!(text.join("\n"), @r#"
        name=007
        model=1.10
        on=yes
        tools=["read", "bash"]
        skills=["a", "b c"]
        empty=∅
        q=x: y
        "#);
    }

    #[test]
    fn what_is_not_yaml_is_read_by_lines_and_said() {
        let (f, d) = fields("---\r\nname: x\r\ndescription: Use when: asked\r\n# note: no\r\nnothing\r\ntools: \"a b\", c\r\n---\r\n".replace("\r\n", "\n").as_str());
        assert_eq!(d, ["front-matter-lines"]);
        assert_eq!(f[1], ("description".into(), Value::One("Use when: asked".into())));
        assert_eq!(f.len(), 3);
    }

    #[test]
    fn places_are_those_of_the_file() {
        let mut d = Vec::new();
        let s = split("---\nname: x\ntools:\n  - read\n---\nbody\n", &mut d).unwrap();
        assert_eq!((s.fields[1].key.pos, s.body_line, s.body.as_str()), (Pos::new(3, 1), 6, "body\n"));
        let Value::Many(items) = &s.fields[1].value else { panic!() };
        assert_eq!(items[0].pos, Pos::new(4, 5));
        let s = split("---\nname: x: y\n  key:  z\n---", &mut d).unwrap();
        assert_eq!((s.fields[1].key.pos, s.fields[1].pos), (Pos::new(3, 3), Pos::new(3, 9)));
    }

    #[test]
    fn the_edges_of_the_block() {
        assert_eq!(fields("---\nname: x\n"), (vec![], vec!["front-matter-open"]));
        assert_eq!(fields("name: x\n---\n"), (vec![], vec![]));
        assert_eq!(fields("---\n---"), (vec![], vec![]));
        assert_eq!(
            fields("---\na: 1\nA: 2\n---\n"),
            (vec![("A".into(), Value::One("2".into()))], vec!["duplicate-key"])
        );
        assert_eq!(fields("---\na: 1\na: 2\n---\n").1, ["duplicate-key"]);
    }

    #[test]
    fn alias_bombs_are_bounded() {
        let mut bomb = String::from("---\na: &a [x, x, x, x, x, x, x, x, x]\n");
        for (n, c) in ('b'..='z').enumerate() {
            let p = (b'a' + n as u8) as char;
            bomb += &format!("{c}: &{c} [*{p}, *{p}, *{p}, *{p}, *{p}, *{p}, *{p}, *{p}, *{p}]\n");
        }
        bomb += "---\n";
        let (f, d) = fields(&bomb);
        assert_eq!((f.len(), d), (26, vec!["front-matter-lines"]));
    }

    #[test]
    fn comma_lists_follow_their_rule() {
        assert_eq!(comma_list(r#" a, "b, c" ,a,, d"#), ["a", "b, c", "d"]);
        assert_eq!(comma_list(r#"a, "b"#), ["a", "b"]);
        assert!(comma_list(" , ,\"\"").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_splits(text in any::<String>()) {
            let _ = fields(&text);
            let _ = fields(&format!("---\n{text}\n---\n{text}"));
        }

        #[test]
        fn odd_yaml_splits(text in "[-a:,\\[\\]{}&*!|>'\"#%@ \n\t?]{0,60}") {
            let _ = fields(&format!("---\n{text}\n---\n"));
        }
    }
}
