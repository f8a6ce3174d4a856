//! Every test that `docs/proof.md` names is there and is not left out. Whether it is green, `cargo xtask proof` says.

use crate::proof::{self, PAGE};
use crate::shell;
use anyhow::Result;
use std::collections::BTreeMap;
use std::fs;

pub(super) fn check() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    if !shell::root().join(PAGE).is_file() {
        return Ok(vec![format!("{PAGE} is missing")]);
    }
    let rows = match proof::rows() {
        Ok(rows) => rows,
        Err(error) => return Ok(vec![format!("{error:#}")]),
    };
    let sources = sources()?;
    for row in rows {
        for name in row.tests.iter().filter(|name| !proof::is_chore(name)) {
            let (package, _, path) = proof::split(name)?;
            let function = path.rsplit("::").next().unwrap_or(path);
            let written = format!("fn {function}(");
            let found = sources.get(package).is_some_and(|text| text.contains(&written));
            if !found {
                findings.push(format!("{PAGE}:{}: there is no test `{name}`", row.line));
            }
        }
    }
    Ok(findings)
}

/// The Rust text of each package, by the name of its folder.
fn sources() -> Result<BTreeMap<String, String>> {
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    for file in shell::files()? {
        let mut parts = file.iter().filter_map(|part| part.to_str());
        let package = match (parts.next(), parts.next()) {
            (Some("crates"), Some(package)) => package,
            (Some("xtask"), _) => "xtask",
            _ => continue,
        };
        if file.extension().is_some_and(|end| end == "rs") {
            sources
                .entry(package.to_owned())
                .or_default()
                .push_str(&fs::read_to_string(shell::root().join(&file))?);
        }
    }
    Ok(sources)
}
