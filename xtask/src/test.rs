//! The README's test command.

use crate::results::{self, Results, Verdict};
use crate::shell::{cargo, must_run, root, target};
use crate::{agents, shell};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::process::Command;
use std::time::SystemTime;

/// The results of the last whole run, kept in the build folder.
#[derive(Serialize, Deserialize)]
struct Record {
    results: Results,
}

/// What a command line asks to test.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    /// Empty: all of the workspace.
    packages: Vec<&'a str>,
    /// Integration tests. Empty: every target.
    targets: Vec<&'a str>,
    /// Parts of the names of tests. Empty: every test.
    filters: Vec<&'a str>,
}

/// `cargo xtask test [-p PACKAGE]… [--test TARGET]… [FILTER]…`
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let wanted = Wanted::parse(args.iter().copied())?;
    let whole = wanted == Wanted::default();
    let record = record_path();
    if whole {
        let _ = fs::remove_file(&record);
    }
    let agents = agents::install()?;
    let started = SystemTime::now();
    must_run(&mut cargo(["build", "--bins"].into_iter().chain(wanted.packages())))?;
    let selection: Vec<&str> = wanted.packages().into_iter().chain(wanted.targets()).collect();
    let programs = results::build(&selection)?;
    let mut command = cargo(["test", "--no-fail-fast"].into_iter().chain(selection));
    if !wanted.filters.is_empty() {
        command.arg("--").args(&wanted.filters);
    }
    with_programs(&mut command, &agents);
    let (results, succeeded) = results::run(&mut command, &programs)?;
    let count = |wanted: Verdict| results.values().filter(|verdict| **verdict == wanted).count();
    let (passed, failed, ignored) = (count(Verdict::Passed), count(Verdict::Failed), count(Verdict::Ignored));
    if !succeeded {
        let failing = results.iter().filter(|(_, verdict)| **verdict == Verdict::Failed);
        for (name, _) in failing {
            println!("failed: {name}");
        }
        bail!("{failed} of {} tests failed, or a program could not be run", results.len());
    }
    if passed == 0 {
        bail!("no test ran");
    }
    if whole {
        let text = serde_json::to_string(&Record { results })?;
        fs::write(&record, text).with_context(|| format!("cannot write {}", record.display()))?;
        // A source changed while the tests ran makes the record stale at once.
        fs::File::options().append(true).open(&record)?.set_modified(started)?;
    }
    println!("{passed} passed, {failed} failed, {ignored} skipped");
    Ok(())
}

impl<'a> Wanted<'a> {
    pub(crate) fn parse(args: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut wanted = Self::default();
        let mut rest = args.into_iter();
        while let Some(word) = rest.next() {
            match word {
                "-p" | "--package" => {
                    wanted.packages.push(rest.next().context("-p needs the name of a package")?)
                }
                "--test" => wanted.targets.push(rest.next().context("--test needs the name of a target")?),
                word if word.starts_with('-') => {
                    bail!("expected -p PACKAGE, --test TARGET or FILTER, not {word:?}")
                }
                word => wanted.filters.push(word),
            }
        }
        Ok(wanted)
    }

    /// Whether it runs this test; its path is its name without package and target, as the test program knows it.
    pub(crate) fn runs(&self, package: &str, target: &str, path: &str) -> bool {
        (self.packages.is_empty() || self.packages.contains(&package))
            && (self.targets.is_empty() || self.targets.contains(&target))
            && (self.filters.is_empty() || self.filters.iter().any(|filter| path.contains(filter)))
    }

    /// The packages, as Cargo is told.
    fn packages(&self) -> Vec<&'a str> {
        if self.packages.is_empty() {
            return vec!["--workspace"];
        }
        self.packages.iter().flat_map(|package| ["-p", package]).collect()
    }

    /// The targets, as Cargo is told.
    fn targets(&self) -> Vec<&'a str> {
        self.targets.iter().flat_map(|target| ["--test", target]).collect()
    }
}

/// Tells tests where the agent programs and the binary are.
pub(crate) fn with_programs(command: &mut Command, agents: &std::path::Path) {
    command.env("WINDLASS_TEST_AGENTS", agents);
    command.env("WINDLASS_TEST_BINARY", target().join("debug/windlass"));
}

/// The results of the last whole run, refused when a source has changed since.
pub(crate) fn recorded() -> Result<Results> {
    let path = record_path();
    let Ok(text) = fs::read_to_string(&path) else {
        bail!("there is no record of a whole green test run: run `cargo xtask test`");
    };
    let taken = path.metadata()?.modified()?;
    for file in shell::files()? {
        let matters = file.extension().is_some_and(|end| end == "rs" || end == "toml" || end == "lock");
        if matters && root().join(&file).metadata()?.modified()? > taken {
            bail!("{} is newer than the last test run: run `cargo xtask test`", file.display());
        }
    }
    Ok(serde_json::from_str::<Record>(&text).context("the record of the last test run is damaged")?.results)
}

fn record_path() -> std::path::PathBuf {
    target().join("windlass-test-results.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_targets_and_filters_are_told_apart() {
        let wanted = Wanted::parse(["-p", "a", "kill", "-p", "b", "--test", "crash", "stop"]).unwrap();
        assert_eq!(wanted.packages(), ["-p", "a", "-p", "b"]);
        assert_eq!(wanted.targets(), ["--test", "crash"]);
        assert_eq!(wanted.filters, ["kill", "stop"]);
        let whole = Wanted::parse([]).unwrap();
        assert_eq!((whole.packages(), whole.targets().is_empty()), (vec!["--workspace"], true));
        for bad in [&["-p"][..], &["--test"], &["--nocapture"]] {
            assert!(Wanted::parse(bad.iter().copied()).is_err());
        }
    }

    #[test]
    fn a_test_is_run_where_package_target_and_a_filter_fit() {
        let runs = |line: &str| {
            Wanted::parse(line.split_whitespace()).unwrap().runs("windlass", "pi", "solo::one_agent_mends")
        };
        for line in ["", "one_agent", "-p windlass solo::one", "-p a -p windlass", "--test pi", "stop mends"]
        {
            assert!(runs(line), "{line:?}");
        }
        // The name of the target is no part of the test's name.
        for line in
            ["pi", "pi::solo", "-p windlass-core", "-p a one_agent", "--test crash", "-p windlass stop"]
        {
            assert!(!runs(line), "{line:?}");
        }
    }
}
