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

/// `cargo xtask test [-p PACKAGE]… [FILTER]`
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let (selection, filter) = arguments(args)?;
    let whole = selection == ["--workspace"] && filter.is_none();
    let record = record_path();
    if whole {
        let _ = fs::remove_file(&record);
    }
    let agents = agents::install()?;
    let started = SystemTime::now();
    must_run(&mut cargo(std::iter::once("build").chain(selection.iter().copied()).chain(["--bins"])))?;
    let programs = results::build(&selection)?;
    let mut command = cargo(std::iter::once("test").chain(selection).chain(["--no-fail-fast"]));
    if let Some(filter) = filter {
        command.args(["--", filter]);
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

/// What Cargo is told to test, and the filter.
fn arguments<'a>(args: &[&'a str]) -> Result<(Vec<&'a str>, Option<&'a str>)> {
    let mut selection = Vec::new();
    let mut filter = None;
    let mut rest = args.iter();
    while let Some(word) = rest.next() {
        match *word {
            "-p" | "--package" => {
                selection.extend(["-p", rest.next().copied().context("-p needs the name of a package")?]);
            }
            word if word.starts_with('-') => bail!("expected -p PACKAGE or FILTER, not {word:?}"),
            word if filter.is_none() => filter = Some(word),
            word => bail!("expected at most one FILTER, a part of the names of tests, and got {word:?} too"),
        }
    }
    if selection.is_empty() {
        selection.push("--workspace");
    }
    Ok((selection, filter))
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
    fn a_selection_and_a_filter_are_told_apart() {
        assert_eq!(arguments(&[]).unwrap(), (vec!["--workspace"], None));
        assert_eq!(
            arguments(&["-p", "a", "kill", "-p", "b"]).unwrap(),
            (vec!["-p", "a", "-p", "b"], Some("kill"))
        );
        for bad in [&["-p"][..], &["--nocapture"], &["a", "b"]] {
            assert!(arguments(bad).is_err());
        }
    }
}
