//! Typed access to keys, whether they come from a front matter or from a workflow step.

use crate::diag::{Diagnostic, Pos, quote};
use crate::front::{Field, Text, Value, comma_list, plain_key};
use crate::source::name_problem;

/// Typed access to the keys of a front matter or a step. What is not asked for is unknown.
pub(crate) struct Fields<'a> {
    fields: Vec<Field>,
    known: Vec<&'static str>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(fields: Vec<Field>, diagnostics: &'a mut Vec<Diagnostic>) -> Self {
        Self { fields, known: Vec::new(), diagnostics }
    }

    /// Adds a finding of the caller's.
    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Keys that are another program's business altogether.
    pub(crate) fn ignore(&mut self, names: &[&str]) {
        self.fields.retain(|f| !names.iter().any(|n| plain_key(n) == plain_key(&f.key.text)));
    }

    /// Takes the field of the first of `names` that is there. The first name is the one suggested to people.
    pub(crate) fn take(&mut self, names: &[&'static str]) -> Option<Field> {
        self.known.extend(names.first());
        let at = names.iter().find_map(|name| {
            let name = plain_key(name);
            self.fields.iter().position(|f| plain_key(&f.key.text) == name)
        })?;
        Some(self.fields.remove(at))
    }

    /// Where a key stands that is still there.
    pub(crate) fn place(&self, name: &str) -> Option<Pos> {
        let name = plain_key(name);
        self.fields.iter().find(|f| plain_key(&f.key.text) == name).map(|f| f.key.pos)
    }

    /// Takes every field of a repeatable key.
    pub(crate) fn take_all(&mut self, name: &'static str) -> Vec<Field> {
        self.known.push(name);
        let plain = plain_key(name);
        let (taken, left) =
            std::mem::take(&mut self.fields).into_iter().partition(|f| plain_key(&f.key.text) == plain);
        self.fields = left;
        taken
    }

    fn wrong(&mut self, field: &Field, wanted: &str) {
        self.diagnostics.push(
            Diagnostic::error("wrong-type", format!("{} must be {wanted}", quote(&field.key.text)))
                .at(field.pos),
        );
    }

    /// Text. Nothing after the colon is absent.
    pub(crate) fn text(&mut self, names: &[&'static str]) -> Option<Text> {
        let field = self.take(names)?;
        match field.value {
            Value::One(text) => Some(Text { text, pos: field.pos }),
            Value::Nothing => None,
            Value::Many(_) | Value::Nested => {
                self.wrong(&field, "one text");
                None
            }
        }
    }

    /// What a file calls its resource, else the file's own name. One that cannot be a name is reported.
    pub(crate) fn named(&mut self, name: Option<Text>, stem: &str) -> Text {
        let name = name.unwrap_or_else(|| Text { text: stem.to_owned(), pos: Pos::new(1, 1) });
        if let Some(problem) = name_problem(&name.text) {
            let message = format!("the name {} {problem}", quote(&name.text));
            self.report(Diagnostic::error("bad-name", message).at(name.pos));
        }
        name
    }

    /// Text, where `false` means "leave it unset".
    pub(crate) fn text_or_false(&mut self, names: &[&'static str]) -> Option<Text> {
        self.text(names).filter(|t| t.text != "false")
    }

    /// A list: a YAML list, or text split at commas. `Some` and empty when the key is there without a value.
    pub(crate) fn list(&mut self, names: &[&'static str]) -> Option<Vec<Text>> {
        let field = self.take(names)?;
        self.list_of(field)
    }

    fn list_of(&mut self, field: Field) -> Option<Vec<Text>> {
        match field.value {
            Value::Nothing => Some(Vec::new()),
            Value::One(text) => {
                Some(comma_list(&text).into_iter().map(|text| Text { text, pos: field.pos }).collect())
            }
            Value::Many(items) => {
                let mut seen = std::collections::HashSet::new();
                Some(
                    items.into_iter().filter(|i| !i.text.is_empty() && seen.insert(i.text.clone())).collect(),
                )
            }
            Value::Nested => {
                self.wrong(&field, "a list of texts");
                None
            }
        }
    }

    /// A list, or `false`.
    pub(crate) fn list_or_false(&mut self, names: &[&'static str]) -> Option<ListOrFalse> {
        let field = self.take(names)?;
        if matches!(&field.value, Value::One(text) if text == "false") {
            return Some(ListOrFalse::False);
        }
        self.list_of(field).map(ListOrFalse::List)
    }

    /// Words of an argument vector: a list whose items are taken as they are, repeats included.
    pub(crate) fn words(&mut self, names: &[&'static str]) -> Option<Vec<String>> {
        let field = self.take(names)?;
        match field.value {
            Value::Many(items) if !items.is_empty() => Some(items.into_iter().map(|i| i.text).collect()),
            _ => {
                self.diagnostics.push(
                    Diagnostic::error(
                        "wrong-type",
                        format!("{} must be a list of words", quote(&field.key.text)),
                    )
                    .at(field.pos)
                    .help("write it as [\"sh\", \"-c\", \"…\"], each word in quotes"),
                );
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, names: &[&'static str]) -> Option<bool> {
        let field = self.take(names)?;
        match &field.value {
            Value::One(t) if t.eq_ignore_ascii_case("true") || t.eq_ignore_ascii_case("yes") => Some(true),
            Value::One(t) if t.eq_ignore_ascii_case("false") || t.eq_ignore_ascii_case("no") => Some(false),
            Value::Nothing => None,
            _ => {
                self.wrong(&field, "`true` or `false`");
                None
            }
        }
    }

    /// A whole number in a range.
    pub(crate) fn number(
        &mut self,
        names: &[&'static str],
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        let field = self.take(names)?;
        if field.value == Value::Nothing {
            return None;
        }
        if let Value::One(text) = &field.value
            && let Some(n) = text.parse::<u32>().ok().filter(|n| range.contains(n))
        {
            return Some(n);
        }
        self.wrong(&field, &format!("a whole number from {} to {}", range.start(), range.end()));
        None
    }

    /// A length of time in milliseconds, 0 for `none`.
    pub(crate) fn duration(&mut self, names: &[&'static str]) -> Option<u64> {
        let field = self.take(names)?;
        let Value::One(text) = &field.value else {
            self.wrong(&field, "a length of time such as `90s`, `10m` or `none`");
            return None;
        };
        match crate::duration::parse(text) {
            Ok(ms) => Some(ms.unwrap_or(0)),
            Err(message) => {
                self.diagnostics.push(Diagnostic::error("wrong-type", message).at(field.pos));
                None
            }
        }
    }

    /// One of some words, case ignored.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        names: &[&'static str],
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let field = self.take(names)?;
        let text = match &field.value {
            Value::One(text) => text.clone(),
            Value::Nothing => return None,
            Value::Many(_) | Value::Nested => {
                self.wrong(&field, "one word");
                return None;
            }
        };
        if let Some((_, value)) = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text)) {
            return Some(*value);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let mut d = Diagnostic::error(
            "unknown-value",
            format!(
                "{} is no value of {}; it is one of {}",
                quote(&text),
                quote(&field.key.text),
                words.join(", ")
            ),
        )
        .at(field.pos);
        d = d.did_you_mean(&text, words);
        self.diagnostics.push(d);
        None
    }

    /// Keys that other programs know and that have no effect here: named, never silent.
    pub(crate) fn without_effect(&mut self, names: &[&'static str]) {
        for name in names {
            if let Some(field) = self.take(&[*name]) {
                self.known.pop();
                self.diagnostics.push(
                    Diagnostic::warning(
                        "no-effect",
                        format!("{} has no effect in Windlass", quote(&field.key.text)),
                    )
                    .at(field.key.pos),
                );
            }
        }
    }

    /// Ends the reading: what was not asked for is unknown, with the nearest name.
    pub(crate) fn finish(self) {
        for field in &self.fields {
            self.diagnostics.push(
                Diagnostic::warning("unknown-key", format!("unknown key {}", quote(&field.key.text)))
                    .at(field.key.pos)
                    .did_you_mean(&field.key.text, self.known.iter().copied()),
            );
        }
    }
}

/// What [`Fields::list_or_false`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListOrFalse {
    /// The word `false`.
    False,
    /// A list, perhaps empty.
    List(Vec<Text>),
}
