//! Rules for the text of the repository.

use crate::shell;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// No file about one thing is longer than this.
const MAX_LINES: usize = 1_000;

/// Written apart, so that this file does not find itself.
const UNFINISHED: [&str; 4] =
    [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("#[ig", "nore"), concat!("db", "g!(")];

/// Folders of one machine, and registries' hosts.
const MACHINE: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/tmp", "/w/"),
    concat!("/ro", "ot/"),
    concat!("registry.npm", "js"),
    concat!("static.crates", ".io"),
];

/// What a pure crate may not name: clocks, environment, files, threads, and maps whose order differs between runs.
const IMPURE: [&str; 9] = [
    "HashMap",
    "HashSet",
    "std::time",
    "SystemTime",
    "Instant",
    "std::env",
    "std::fs",
    "std::thread",
    "std::process",
];

/// The pure crates.
const PURE: [&str; 2] = ["crates/windlass-core/src", "crates/windlass-events/src"];

pub(super) fn check() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for file in shell::files()? {
        let bytes =
            fs::read(shell::root().join(&file)).with_context(|| format!("cannot read {}", file.display()))?;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        check_text(&file, &text, &mut findings);
        if file.extension().is_some_and(|end| end == "rs") {
            check_rust(&file, &text, &mut findings);
        }
    }
    Ok(findings)
}

fn check_text(file: &Path, text: &str, findings: &mut Vec<String>) {
    // Recordings of real programs keep what they recorded.
    if file.components().any(|part| part.as_os_str() == "fixtures") {
        return;
    }
    for (index, line) in text.lines().enumerate() {
        for word in MACHINE {
            if line.contains(word) {
                findings.push(format!(
                    "{}:{}: names {word}, which is of one machine",
                    file.display(),
                    index + 1
                ));
            }
        }
    }
}

/// Whether a build script reads nothing but what cargo tells it, starts nothing, writes nothing, and only gives the linker arguments.
fn only_links(text: &str) -> bool {
    let does = ["std::fs", "std::process", "Command", "std::net", "include", "unsafe"];
    let directives = text.matches("cargo:").count();
    let harmless =
        text.matches("cargo:rerun-if-changed").count() + text.matches("cargo:rustc-link-arg-bins").count();
    directives == harmless && !does.iter().any(|word| text.contains(word))
}

fn check_rust(file: &Path, text: &str, findings: &mut Vec<String>) {
    let at = |line: usize, what: String| format!("{}:{line}: {what}", file.display());
    if file.file_name().is_some_and(|name| name == "build.rs") && !only_links(text) {
        findings.push(at(1, "a build script of ours says how to link, and does nothing else".into()));
    }
    if !text.starts_with("//!") {
        findings.push(at(1, "begins without saying what it is for (`//!`)".into()));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        findings.push(at(lines, format!("longer than {MAX_LINES} lines: it is about more than one thing")));
    }
    let pure = PURE.iter().any(|folder| file.starts_with(folder));
    for (index, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        for word in UNFINISHED.iter().filter(|word| has_word(code, word)) {
            findings.push(at(index + 1, format!("has {word}")));
        }
        if pure {
            for word in IMPURE.iter().filter(|word| has_word(code, word)) {
                findings.push(at(index + 1, format!("names {word} in a pure crate")));
            }
        }
    }
}

/// Whether `word` stands in `code` and is no part of a longer name.
fn has_word(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(start, found)| {
        let before = code[..start].chars().next_back().is_some_and(part);
        let after = code[start + found.len()..].chars().next().is_some_and(part);
        let ends_in_name = word.chars().next_back().is_some_and(part);
        !(before || ends_in_name && after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(file: &str, text: &str) -> usize {
        let mut findings = Vec::new();
        check_text(Path::new(file), text, &mut findings);
        check_rust(Path::new(file), text, &mut findings);
        findings.len()
    }

    #[test]
    fn each_rule_finds_its_fault() {
        let pure = "crates/windlass-core/src/fold.rs";
        assert_eq!(findings(pure, "//! Folds.\nfn fold() {}\n"), 0);
        assert_eq!(findings(pure, "fn fold() {}\n"), 1);
        assert_eq!(findings(pure, "//! Folds.\nuse std::collections::HashMap;\n"), 1);
        assert_eq!(findings(pure, "//! Folds.\n// A HashMap would not do.\nstruct Instantly;\n"), 0);
        assert_eq!(findings("crates/windlass-git/src/a.rs", "//! A.\nuse std::collections::HashMap;\n"), 0);
        assert_eq!(findings(pure, &format!("//! Folds.\n{}()\n", UNFINISHED[0])), 1);
        assert_eq!(findings(pure, &format!("//! Folds.\n#[test]\n{}]\n", UNFINISHED[2])), 1);
        assert_eq!(findings(pure, &format!("//! In {}x.\n", MACHINE[0])), 1);
        assert_eq!(findings(pure, &format!("//! Long.\n{}", "\n".repeat(MAX_LINES))), 1);
    }
}
