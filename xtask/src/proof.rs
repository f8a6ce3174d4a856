//! `docs/proof.md`: a row per promise, with the tests that prove it.
//!
//! The table's columns are promise, test and command. A test cell holds one or more names in backticks, as `results`
//! writes them: `package/target::path::to::test`. A promise that a chore proves has `xtask CHORE` there instead, and
//! the chore's whole command line in the last column.

use crate::results::{self, Results, Verdict};
use crate::shell::{cargo, must_run, root};
use crate::{agents, test};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Where the promises are.
pub(crate) const PAGE: &str = "docs/proof.md";

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its line in the page, from 1.
    pub(crate) line: usize,
    pub(crate) promise: String,
    pub(crate) tests: Vec<String>,
    pub(crate) command: String,
}

/// `cargo xtask proof [--recorded]`
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let recorded = match args {
        [] => false,
        ["--recorded"] => true,
        _ => bail!("expected nothing or --recorded"),
    };
    let rows = rows()?;
    let results = if recorded { test::recorded()? } else { run_tests(&rows)? };
    let chores = if recorded { BTreeMap::new() } else { run_chores(&rows)? };
    let mut faults = 0;
    for row in &rows {
        for name in &row.tests {
            let fault = if is_chore(name) {
                // CI runs the chores themselves.
                chores.get(&row.command).copied().flatten()
            } else {
                fault(&results, name)
            };
            if let Some(fault) = fault {
                faults += 1;
                println!("{PAGE}:{}: `{name}` {fault}: {}", row.line, row.promise);
            }
        }
    }
    let tests: BTreeSet<&String> = rows.iter().flat_map(|row| &row.tests).collect();
    println!(
        "{} promises, {} tests: {}",
        rows.len(),
        tests.len(),
        if faults == 0 { "all proved" } else { "NOT proved" }
    );
    if faults > 0 {
        bail!("{faults} proofs are missing");
    }
    Ok(())
}

fn fault(results: &Results, name: &str) -> Option<&'static str> {
    match results.get(name) {
        Some(Verdict::Passed) => None,
        Some(Verdict::Failed) => Some("failed"),
        Some(Verdict::Ignored) => Some("is ignored"),
        None => Some("did not run"),
    }
}

/// Runs the named tests, one `cargo test` per test program.
fn run_tests(rows: &[Row]) -> Result<Results> {
    let agents = agents::install()?;
    let mut wanted: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for name in rows.iter().flat_map(|row| &row.tests).filter(|name| !is_chore(name)) {
        let (package, target, path) = split(name)?;
        wanted.entry((package.to_owned(), target.to_owned())).or_default().insert(path.to_owned());
    }
    // The programs that tests start, besides those that Cargo builds with a package's own tests.
    let packages: BTreeSet<&str> = wanted.keys().map(|(package, _)| package.as_str()).collect();
    let packages = packages.into_iter().chain(["windlass-testkit"]).flat_map(|package| ["-p", package]);
    must_run(&mut cargo(["build", "--bins"].into_iter().chain(packages)))?;
    let mut all = Results::new();
    for ((package, target), paths) in wanted {
        let selection: Vec<&str> = match target.strip_prefix("bin/") {
            Some(name) => vec!["-p", &package, "--bin", name],
            None if target == "lib" => vec!["-p", &package, "--lib"],
            None => vec!["-p", &package, "--test", &target],
        };
        let programs = results::build(&selection)?;
        let mut command = cargo(std::iter::once("test").chain(selection));
        command.args(["--no-fail-fast", "--", "--exact"]).args(&paths);
        test::with_programs(&mut command, &agents);
        // A failing test is found in the results; one program's failure must not hide the others' results.
        let (results, _) = results::run(&mut command, &programs)?;
        all.extend(results);
    }
    Ok(all)
}

/// Runs the chores, each command once; gives what went wrong by command.
fn run_chores(rows: &[Row]) -> Result<BTreeMap<String, Option<&'static str>>> {
    let mut outcomes = BTreeMap::new();
    for row in rows.iter().filter(|row| row.tests.iter().any(|name| is_chore(name))) {
        if outcomes.contains_key(&row.command) {
            continue;
        }
        let Some(args) = row.command.strip_prefix("cargo xtask ") else {
            bail!("{PAGE}:{}: a chore's command begins with `cargo xtask `", row.line);
        };
        let args = ["run", "--quiet", "--package", "xtask", "--"].into_iter().chain(args.split_whitespace());
        let failed = must_run(&mut cargo(args)).err().map(|_| "failed");
        outcomes.insert(row.command.clone(), failed);
    }
    Ok(outcomes)
}

/// Whether a chore is the proof.
pub(crate) fn is_chore(name: &str) -> bool {
    name.starts_with("xtask ")
}

/// Package, target and path of a full name.
pub(crate) fn split(name: &str) -> Result<(&str, &str, &str)> {
    let parts = name.split_once('/').and_then(|(package, rest)| {
        let (target, path) = rest.split_once("::")?;
        Some((package, target, path))
    });
    parts.with_context(|| format!("`{name}` is not of the form `package/target::path::to::test`"))
}

/// The rows of the page.
pub(crate) fn rows() -> Result<Vec<Row>> {
    let path = root().join(PAGE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows = parse(&text)?;
    if rows.is_empty() {
        bail!("{PAGE} has no row");
    }
    Ok(rows)
}

/// Reads every table whose head is promise, test, command. Another row shape within such a table is an error, so that
/// no promise is passed over.
fn parse(text: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let Some(cells) = cells(line) else {
            inside = false;
            continue;
        };
        let head: Vec<String> = cells.iter().map(|cell| cell.to_lowercase()).collect();
        if head == ["promise", "test", "command"] {
            inside = true;
            continue;
        }
        if !inside || cells.iter().all(|cell| cell.chars().all(|c| "-: ".contains(c))) {
            continue;
        }
        let [promise, tests, command] = cells.as_slice() else {
            bail!("{PAGE}:{line_number}: a row has three cells: promise, test, command");
        };
        let tests: Vec<String> = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        if promise.is_empty() || tests.is_empty() {
            bail!("{PAGE}:{line_number}: a row needs a promise and a test in backticks");
        }
        for name in tests.iter().filter(|name| !is_chore(name)) {
            split(name).with_context(|| format!("{PAGE}:{line_number}"))?;
        }
        let command = command.trim_matches('`').to_owned();
        rows.push(Row { line: line_number, promise: promise.clone(), tests, command });
    }
    Ok(rows)
}

/// The cells of a table's row; a bar behind a backslash belongs to the text.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let mut cells = vec![String::new()];
    let mut escaped = false;
    for c in inner.chars() {
        match c {
            '|' if !escaped => cells.push(String::new()),
            _ => {
                if let Some(cell) = cells.last_mut() {
                    if c == '|' {
                        cell.pop();
                    }
                    cell.push(c);
                }
            }
        }
        escaped = c == '\\' && !escaped;
    }
    Some(cells.into_iter().map(|cell| cell.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
# Proof

| Promise | Test | Command |
| --- | --- | --- |
| Terminal is final. | `windlass-core/lib::fold::final`, `windlass-core/lib::fold::more` | `cargo test -p windlass-core final` |
| A \\| bar | `xtask simulate` | `cargo xtask simulate --seeds 2000` |

| other | table |
| --- | --- |
| a | b |
";

    #[test]
    fn rows_are_read() {
        let rows = parse(TABLE).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].tests, ["windlass-core/lib::fold::final", "windlass-core/lib::fold::more"]);
        assert_eq!((rows[1].promise.as_str(), rows[1].line), ("A | bar", 6));
        assert_eq!(rows[1].command, "cargo xtask simulate --seeds 2000");
        assert_eq!(split("windlass/cli::kill::daemon").unwrap(), ("windlass", "cli", "kill::daemon"));
        assert_eq!(split("windlass/bin/windlass::a").unwrap(), ("windlass", "bin/windlass", "a"));
    }

    #[test]
    fn a_row_without_a_test_is_an_error() {
        let head = "| promise | test | command |\n|---|---|---|\n";
        assert!(parse(&format!("{head}| p | none | c |")).is_err());
        assert!(parse(&format!("{head}| p | `no-target` | c |")).is_err());
        assert!(parse(&format!("{head}| p | `a/b::c` |")).is_err());
    }

    #[test]
    fn every_way_of_not_running_is_a_fault() {
        let results = Results::from([
            ("a/lib::ok".to_owned(), Verdict::Passed),
            ("a/lib::ignored".to_owned(), Verdict::Ignored),
            ("a/lib::failed".to_owned(), Verdict::Failed),
        ]);
        assert_eq!(fault(&results, "a/lib::ok"), None);
        for name in ["a/lib::ignored", "a/lib::failed", "a/lib::absent"] {
            assert!(fault(&results, name).is_some());
        }
    }
}
