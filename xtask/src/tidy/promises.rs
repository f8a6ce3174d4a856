//! Every test that `docs/proof.md` names is there, and the command beside it runs it. Whether it is green,
//! `cargo xtask proof` says.

use crate::proof::{self, PAGE, Row};
use crate::shell;
use crate::test::Wanted;
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
        findings.extend(left_out(&row)?);
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

/// The proofs of a row that its command does not run.
fn left_out(row: &Row) -> Result<Vec<String>> {
    let place = format!("{PAGE}:{}", row.line);
    let words: Vec<&str> = row.command.split_whitespace().collect();
    let ["cargo", "xtask", chore, args @ ..] = words.as_slice() else {
        return Ok(vec![format!("{place}: the command is not of the form `cargo xtask CHORE`")]);
    };
    let wanted = match *chore {
        "test" => match Wanted::parse(args.iter().copied()) {
            Ok(wanted) => Some(wanted),
            Err(error) => return Ok(vec![format!("{place}: `{}`: {error:#}", row.command)]),
        },
        _ => None,
    };
    let mut findings = Vec::new();
    for name in &row.tests {
        let runs = if proof::is_chore(name) {
            name.split_whitespace().nth(1) == Some(*chore)
        } else {
            let (package, target, path) = proof::split(name)?;
            wanted.as_ref().is_some_and(|wanted| wanted.runs(package, target, path))
        };
        if !runs {
            findings.push(format!("{place}: `{}` does not run `{name}`", row.command));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out_of(tests: &[&str], command: &str) -> Vec<String> {
        let tests = tests.iter().map(|&name| name.to_owned()).collect();
        left_out(&Row { line: 7, promise: "p".to_owned(), tests, command: command.to_owned() }).unwrap()
    }

    #[test]
    fn a_command_runs_every_test_of_its_row() {
        let tests = ["windlass/pi::solo::mends", "windlass-core/lib::why::tests::says"];
        for command in ["-p windlass -p windlass-core", "mends says", "s", ""] {
            assert_eq!(left_out_of(&tests, &format!("cargo xtask test {command}")), [""; 0]);
        }
        assert_eq!(
            left_out_of(&tests, "cargo xtask test -p windlass mends"),
            [
                "docs/proof.md:7: `cargo xtask test -p windlass mends` does not run `windlass-core/lib::why::tests::says`"
            ]
        );
        for (command, count) in [("pi", 2), ("mends", 1), ("-p windlass --test crash", 2), ("--nocapture", 1)]
        {
            assert_eq!(left_out_of(&tests, &format!("cargo xtask test {command}")).len(), count, "{command}");
        }
        assert_eq!(left_out_of(&tests, "cargo test").len(), 1);
    }

    #[test]
    fn a_chore_is_run_by_its_own_command() {
        assert_eq!(left_out_of(&["xtask simulate"], "cargo xtask simulate --seeds 2000"), [""; 0]);
        assert_eq!(left_out_of(&["xtask simulate"], "cargo xtask tidy").len(), 1);
        assert_eq!(left_out_of(&["xtask simulate", "a/lib::b"], "cargo xtask simulate").len(), 1);
    }
}
