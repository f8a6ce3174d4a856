//! Changing a config file: comments, order and everything that is not touched stay as they are.

use super::keys;
use super::value::Value;
use crate::diag::{Diagnostic, Pos, quote};
use crate::text::{Links, read, write_atomic};
use std::path::Path;
use toml_edit::{DocumentMut, Item, Table, TableLike};

/// A key by the name a person typed.
///
/// # Errors
/// There is none; the nearest name is told.
pub fn key(name: &str) -> Result<&'static keys::Key, Box<Diagnostic>> {
    let parts = keys::parts(name);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    keys::find(&parts).ok_or_else(|| {
        let d = Diagnostic::error("unknown-key", format!("there is no key {}", quote(name)));
        Box::new(match keys::nearest(&parts) {
            Some(near) => d.help(format!("did you mean {}?", quote(&near))),
            None => d.help("`windlass config list` shows them"),
        })
    })
}

/// The text of a file with one key set to what a person typed, and the value as it is stored.
///
/// # Errors
/// The key does not exist, the value is not one of its, or the text is not TOML.
pub fn set(text: &str, name: &str, typed: &str) -> Result<(String, Value), Box<Diagnostic>> {
    let value = Value::from_text(key(name)?.kind, typed)
        .map_err(|message| Box::new(Diagnostic::error("bad-value", format!("{}: {message}", quote(name)))))?;
    let mut document = parse(text)?;
    let parts = keys::parts(name);
    let Some((last, above)) = parts.split_last() else { return Ok((text.to_owned(), value)) };
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for (n, part) in above.iter().enumerate() {
        if table.get(part).is_none_or(Item::is_none) {
            let mut new = Table::new();
            // `[runtimes.pi]` alone, without an empty `[runtimes]` above it.
            new.set_implicit(n + 1 < above.len());
            table.insert(part, Item::Table(new));
        }
        table = table.get_mut(part).and_then(Item::as_table_like_mut).ok_or_else(|| {
            Box::new(Diagnostic::error(
                "bad-value",
                format!("{} is not a table in the file", quote(&parts[..=n].join("."))),
            ))
        })?;
    }
    let mut new = value.to_toml();
    match table.get_mut(last) {
        Some(Item::Value(old)) => {
            // What stands around the old value, such as a comment behind it, stays.
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        _ => {
            table.insert(last, Item::Value(new));
        }
    }
    Ok((document.to_string(), value))
}

/// The text of a file without one key, and whether it was there.
///
/// # Errors
/// The key does not exist, or the text is not TOML.
pub fn unset(text: &str, name: &str) -> Result<(String, bool), Box<Diagnostic>> {
    key(name)?;
    let mut document = parse(text)?;
    let parts = keys::parts(name);
    let Some((last, above)) = parts.split_last() else { return Ok((text.to_owned(), false)) };
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for part in above {
        match table.get_mut(part).and_then(Item::as_table_like_mut) {
            Some(inner) => table = inner,
            None => return Ok((text.to_owned(), false)),
        }
    }
    let was = table.remove(last).is_some();
    Ok((document.to_string(), was))
}

fn parse(text: &str) -> Result<DocumentMut, Box<Diagnostic>> {
    text.parse::<DocumentMut>().map_err(|e| {
        let at = e.span().map_or(0, |s| s.start);
        Box::new(
            Diagnostic::error("not-toml", crate::diag::escape(e.message()))
                .at(Pos::of(text, at))
                .help("mend the file first; nothing was written"),
        )
    })
}

/// Sets a key in a file, which is made when it is not there.
///
/// # Errors
/// As [`set`], and what reading or writing the file says. Nothing was written then.
pub fn set_in_file(path: &Path, name: &str, typed: &str) -> Result<Value, Box<Diagnostic>> {
    let text = current(path)?;
    let (new, value) = set(&text, name, typed).map_err(|d| named(d, path))?;
    write(path, &text, &new)?;
    Ok(value)
}

/// Removes a key from a file; gives whether it was there.
///
/// # Errors
/// As [`unset`], and what reading or writing the file says. Nothing was written then.
pub fn unset_in_file(path: &Path, name: &str) -> Result<bool, Box<Diagnostic>> {
    let text = current(path)?;
    let (new, was) = unset(&text, name).map_err(|d| named(d, path))?;
    write(path, &text, &new)?;
    Ok(was)
}

fn named(mut d: Box<Diagnostic>, path: &Path) -> Box<Diagnostic> {
    if d.pos.is_some() {
        d.path = path.display().to_string();
    }
    d
}

fn current(path: &Path) -> Result<String, Box<Diagnostic>> {
    match path.metadata() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        _ => read(path, Links::Follow),
    }
}

fn write(path: &Path, old: &str, new: &str) -> Result<(), Box<Diagnostic>> {
    if old == new {
        return Ok(());
    }
    write_atomic(path, new.as_bytes()).map_err(|e| {
        Box::new(
            Diagnostic::error("unwritable", format!("cannot be written: {e}"))
                .in_file(path.display().to_string()),
        )
    })
}
