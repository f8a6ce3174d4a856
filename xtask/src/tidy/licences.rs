//! Dependencies: how many, under which licences, from where. The same rules stand in `deny.toml` for those who have
//! cargo-deny; here they need nothing installed.

use crate::shell;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Entries of the lock file, all platforms.
const MAX_LOCK_ENTRIES: usize = 550;

/// Crates that the pure core and the vocabulary stand on, themselves included.
const MAX_CORE_CRATES: usize = 15;

/// Licences that anyone may ship under.
const ALLOWED: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Licences allowed for one crate each.
const ALLOWED_FOR: [(&str, &str); 2] = [("notify", "CC0-1.0"), ("nucleo-matcher", "MPL-2.0")];

pub(super) fn check(metadata: &Value) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let lock = fs::read_to_string(shell::root().join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let entries = lock.lines().filter(|line| *line == "[[package]]").count();
    if entries > MAX_LOCK_ENTRIES {
        findings.push(format!("Cargo.lock has {entries} entries, {MAX_LOCK_ENTRIES} are allowed"));
    }
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        match package["license"].as_str() {
            Some(licence) if is_allowed(name, licence) => {}
            Some(licence) => findings.push(format!("{name} is under {licence}, which is not allowed")),
            None => findings.push(format!("{name} names no licence")),
        }
        if let Some(source) = package["source"].as_str()
            && !source.starts_with("registry+")
        {
            findings.push(format!("{name} comes from {source}: only released crates are allowed"));
        }
    }
    let core = stands_on(metadata, &["windlass-core", "windlass-events"]);
    if core.len() > MAX_CORE_CRATES {
        let names: Vec<&str> = core.into_iter().collect();
        findings.push(format!("the core stands on more than {MAX_CORE_CRATES} crates: {}", names.join(", ")));
    }
    Ok(findings)
}

/// The crates that these stand on at run time and build time, themselves included, tests left out.
fn stands_on<'a>(metadata: &'a Value, names: &[&str]) -> BTreeSet<&'a str> {
    let packages: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
        .collect();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> =
        packages.iter().filter(|(_, name)| names.contains(name)).map(|(id, _)| *id).collect();
    while let Some(id) = open.pop() {
        if !found.insert(id) {
            continue;
        }
        let dependencies = nodes.get(id).and_then(|node| node["deps"].as_array()).into_iter().flatten();
        for dependency in dependencies {
            let kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
            if kinds.clone().any(|kind| kind["kind"] != "dev" && kind["target"].is_null())
                && let Some(on) = dependency["pkg"].as_str()
            {
                open.push(on);
            }
        }
    }
    found.into_iter().filter_map(|id| packages.get(id).copied()).collect()
}

/// Whether a licence expression leaves a choice that is allowed: `OR` needs one side, `AND` both.
fn is_allowed(package: &str, expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reading = Expression { package, words: &words, broken: false };
    reading.any() && reading.words.is_empty() && !reading.broken
}

struct Expression<'a> {
    package: &'a str,
    words: &'a [&'a str],
    /// A word was missing: what cannot be read is not allowed, whatever its readable part says.
    broken: bool,
}

impl Expression<'_> {
    fn any(&mut self) -> bool {
        let mut allowed = self.all();
        while self.take("OR") {
            allowed |= self.all();
        }
        allowed
    }

    fn all(&mut self) -> bool {
        let mut allowed = self.one();
        while self.take("AND") {
            allowed &= self.one();
        }
        allowed
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let allowed = self.any();
            self.broken |= !self.take(")");
            return allowed;
        }
        let Some((first, rest)) = self.words.split_first() else {
            self.broken = true;
            return false;
        };
        self.words = rest;
        let mut name = (*first).to_owned();
        if self.take("WITH")
            && let Some((exception, rest)) = self.words.split_first()
        {
            name = format!("{name} WITH {exception}");
            self.words = rest;
        }
        ALLOWED.contains(&name.as_str()) || ALLOWED_FOR.contains(&(self.package, name.as_str()))
    }

    fn take(&mut self, word: &str) -> bool {
        match self.words.split_first() {
            Some((first, rest)) if *first == word => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_judged_as_written() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
            "CC0-1.0 OR Apache-2.0",
        ] {
            assert!(is_allowed("any", good), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR GPL-2.0) AND LGPL-3.0",
            "",
            "MIT OR",
            "MIT MIT",
            "CC0-1.0",
        ] {
            assert!(!is_allowed("any", bad), "{bad}");
        }
        assert!(is_allowed("notify", "CC0-1.0"));
    }
}
