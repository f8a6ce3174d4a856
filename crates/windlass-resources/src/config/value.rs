//! Values of keys, from TOML and from what people type.

use super::keys::Kind;
use crate::diag::{nearest, quote};
use serde::Serialize;
use toml::de::DeValue;

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number; `None` is "none".
    Number(Option<u64>),
    /// Millionths of a US dollar; `None` is "none".
    Money(Option<u64>),
    /// Milliseconds; `None` is "none".
    Duration(Option<u64>),
    /// Text.
    Text(String),
    /// Texts.
    List(Vec<String>),
}

/// The longest text and the most items of a value.
const MAX_TEXT: usize = 4_096;
const MAX_ITEMS: usize = 256;

impl Value {
    /// Reads what a person typed.
    ///
    /// # Errors
    /// What it should have been.
    pub fn from_text(kind: Kind, text: &str) -> Result<Self, String> {
        let text = text.trim();
        match kind {
            Kind::Flag => match text {
                "true" | "yes" | "on" => Ok(Self::Flag(true)),
                "false" | "no" | "off" => Ok(Self::Flag(false)),
                _ => Err(format!("{} is neither `true` nor `false`", quote(text))),
            },
            Kind::Number { min, max, none } => {
                if none && text == "none" {
                    return Ok(Self::Number(None));
                }
                number(&text.replace('_', ""), min, max, none).map(|n| Self::Number(Some(n)))
            }
            Kind::Money => match text.trim_start_matches('$') {
                "none" => Ok(Self::Money(None)),
                amount => money(amount).map(|m| Self::Money(Some(m))),
            },
            Kind::Duration { min, max, none } => duration(text, min, max, none),
            Kind::Text | Kind::Choice(_) => word(kind, text),
            Kind::List | Kind::Program => {
                if !text.starts_with('[') {
                    return list(kind, vec![text.to_owned()]);
                }
                let table = format!("v = {text}");
                let parsed: toml::Table = table
                    .parse()
                    .map_err(|_| format!("{} is not a list such as [\"one\", \"two\"]", quote(text)))?;
                let items =
                    parsed.get("v").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
                let texts: Option<Vec<String>> =
                    items.iter().map(|i| i.as_str().map(str::to_owned)).collect();
                list(kind, texts.ok_or("every item of the list must be text in quotes")?)
            }
        }
    }

    /// Reads a value of a TOML file.
    ///
    /// # Errors
    /// What it should have been.
    pub fn from_toml(kind: Kind, value: &DeValue<'_>) -> Result<Self, String> {
        match (kind, value) {
            (Kind::Flag, DeValue::Boolean(b)) => Ok(Self::Flag(*b)),
            (Kind::Number { min, max, none }, DeValue::Integer(n)) => {
                let digits = u64::from_str_radix(n.as_str().trim_start_matches('+'), n.radix());
                number(&digits.map_or_else(|_| n.as_str().to_owned(), |d| d.to_string()), min, max, none)
                    .map(|n| Self::Number(Some(n)))
            }
            (Kind::Number { none: true, .. }, DeValue::String(s)) if s == "none" => Ok(Self::Number(None)),
            (Kind::Money, DeValue::Integer(n)) => money(n.as_str()).map(|m| Self::Money(Some(m))),
            (Kind::Money, DeValue::Float(n)) => money(n.as_str()).map(|m| Self::Money(Some(m))),
            (Kind::Money, DeValue::String(s)) if s == "none" => Ok(Self::Money(None)),
            (Kind::Duration { min, max, none }, DeValue::String(s)) => duration(s, min, max, none),
            (Kind::Text | Kind::Choice(_), DeValue::String(s)) => word(kind, s),
            // `model = false` is how earlier tools cleared a value.
            (Kind::Text | Kind::Choice(_), DeValue::Boolean(false)) => word(kind, "none"),
            (Kind::Program, DeValue::String(s)) => list(kind, vec![s.to_string()]),
            (Kind::List | Kind::Program, DeValue::Array(items)) => {
                let texts: Option<Vec<String>> =
                    items.iter().map(|i| i.get_ref().as_str().map(str::to_owned)).collect();
                list(kind, texts.ok_or("every item of the list must be text in quotes")?)
            }
            (Kind::Duration { .. }, DeValue::Integer(_)) => {
                Err("a length of time needs its unit, in quotes: `\"90s\"`, `\"10m\"`, `\"2h\"`".to_owned())
            }
            (_, other) => Err(format!("a {} is not allowed here", other.type_str())),
        }
    }

    /// Writes the value as it would be typed.
    pub fn show(&self) -> String {
        match self {
            Self::Flag(b) => b.to_string(),
            Self::Number(n) => n.map_or_else(|| "none".to_owned(), |n| n.to_string()),
            Self::Money(m) => m.map_or_else(|| "none".to_owned(), show_money),
            Self::Duration(ms) => crate::duration::show(*ms),
            Self::Text(text) => text.clone(),
            Self::List(items) => format!("{}", toml::Value::from(items.clone())),
        }
    }

    /// The value for a TOML file.
    pub fn to_toml(&self) -> toml_edit::Value {
        match self {
            Self::Flag(b) => (*b).into(),
            Self::Number(Some(n)) => i64::try_from(*n).unwrap_or(i64::MAX).into(),
            Self::Money(Some(m)) if m % 1_000_000 == 0 => {
                i64::try_from(m / 1_000_000).unwrap_or(i64::MAX).into()
            }
            // A decimal written out, so that 0.1 stays 0.1.
            Self::Money(Some(m)) => show_money(*m).parse().unwrap_or_else(|_| (*m as f64 / 1e6).into()),
            Self::Number(None) | Self::Money(None) => "none".into(),
            Self::Duration(_) | Self::Text(_) => self.show().into(),
            Self::List(items) => items.iter().map(String::as_str).collect::<toml_edit::Array>().into(),
        }
    }

    /// Whether this limit is at least as tight as another: lower, or `true` where `true` asks for more.
    pub fn is_tighter_or_equal(&self, than: &Self) -> bool {
        let lower = |a: &Option<u64>, b: &Option<u64>| match (a, b) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(a), Some(b)) => a <= b,
        };
        match (self, than) {
            (Self::Number(a), Self::Number(b))
            | (Self::Money(a), Self::Money(b))
            | (Self::Duration(a), Self::Duration(b)) => lower(a, b),
            (Self::Flag(a), Self::Flag(b)) => *a || !*b,
            _ => false,
        }
    }
}

fn number(digits: &str, min: u64, max: u64, none: bool) -> Result<u64, String> {
    let or_none = if none { ", or `none`" } else { "" };
    digits
        .parse::<u64>()
        .ok()
        .filter(|n| (min..=max).contains(n))
        .ok_or_else(|| format!("{} is not a whole number from {min} to {max}{or_none}", quote(digits)))
}

/// Millionths of a decimal amount, at most a million dollars, parsed without going through a binary fraction.
fn money(text: &str) -> Result<u64, String> {
    let fail = || format!("{} is no amount of US dollars such as 5 or 0.50 (or `none`)", quote(text));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.replace('_', "");
    if whole.is_empty()
        || whole.len() > 7
        || part.len() > 6
        || !(whole.clone() + part).bytes().all(|b| b.is_ascii_digit())
    {
        return Err(fail());
    }
    let whole: u64 = whole.parse().map_err(|_| fail())?;
    let part: u64 = format!("{part:0<6}").parse().map_err(|_| fail())?;
    let micro = whole * 1_000_000 + part;
    if micro > 1_000_000_000_000 { Err(fail()) } else { Ok(micro) }
}

fn show_money(micro: u64) -> String {
    let (whole, part) = (micro / 1_000_000, micro % 1_000_000);
    if part == 0 {
        return whole.to_string();
    }
    format!("{whole}.{}", format!("{part:06}").trim_end_matches('0'))
}

fn duration(text: &str, min: u64, max: u64, none: bool) -> Result<Value, String> {
    match crate::duration::parse(text)? {
        None if none => Ok(Value::Duration(None)),
        Some(ms) if (min..=max).contains(&ms) => Ok(Value::Duration(Some(ms))),
        _ => Err(format!(
            "{} is not from {} to {}",
            quote(text),
            crate::duration::show(Some(min)),
            crate::duration::show(Some(max))
        )),
    }
}

fn word(kind: Kind, text: &str) -> Result<Value, String> {
    if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err("the text is empty, too long, or holds control characters".to_owned());
    }
    if let Kind::Choice(words) = kind
        && !words.contains(&text)
    {
        let near = nearest(text, words.iter().copied())
            .map(|n| format!("; did you mean {}?", quote(n)))
            .unwrap_or_default();
        return Err(format!("{} is none of {}{near}", quote(text), words.join(", ")));
    }
    Ok(Value::Text(text.to_owned()))
}

fn list(kind: Kind, items: Vec<String>) -> Result<Value, String> {
    if items.len() > MAX_ITEMS {
        return Err(format!("the list has more than {MAX_ITEMS} items"));
    }
    if items.iter().any(|i| i.trim().is_empty() || i.len() > MAX_TEXT || i.contains('\0')) {
        return Err("an item of the list is empty or too long".to_owned());
    }
    if kind == Kind::Program && items.is_empty() {
        return Err("a program is needed".to_owned());
    }
    Ok(Value::List(items))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::KEYS;
    use proptest::prelude::*;

    #[test]
    fn money_is_exact() {
        for (text, micro) in
            [("5", 5_000_000), ("0.1", 100_000), ("12.345678", 12_345_678), ("1_000", 1_000_000_000)]
        {
            let value = Value::from_text(Kind::Money, text).unwrap();
            assert_eq!(value, Value::Money(Some(micro)));
            assert_eq!(Value::from_text(Kind::Money, &value.show()), Ok(value.clone()));
            assert_eq!(format!("{}", value.to_toml()), text.replace('_', ""));
        }
        for bad in ["", ".", ".5", "-1", "1e3", "nan", "inf", "0.0000001", "99999999", "5 USD"] {
            assert!(Value::from_text(Kind::Money, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tighter_means_less_or_more_proof() {
        let d = |ms| Value::Duration(ms);
        assert!(d(Some(1)).is_tighter_or_equal(&d(Some(2))) && d(Some(1)).is_tighter_or_equal(&d(None)));
        assert!(!d(None).is_tighter_or_equal(&d(Some(9))) && d(None).is_tighter_or_equal(&d(None)));
        assert!(Value::Flag(true).is_tighter_or_equal(&Value::Flag(false)));
        assert!(!Value::Flag(false).is_tighter_or_equal(&Value::Flag(true)));
        assert!(!Value::Text("a".into()).is_tighter_or_equal(&Value::Text("a".into())));
    }

    proptest! {
        #[test]
        fn any_text_for_any_key_is_answered(text in any::<String>(), n in 0usize..KEYS.len()) {
            if let Ok(value) = Value::from_text(KEYS[n].kind, &text) {
                // What was accepted is stored and read back as the same.
                let file = format!("v = {}", value.to_toml());
                let table = toml::de::DeTable::parse(&file).unwrap();
                let (_, stored) = table.get_ref().iter().next().unwrap();
                prop_assert_eq!(Value::from_toml(KEYS[n].kind, stored.get_ref()), Ok(value));
            }
        }
    }
}
