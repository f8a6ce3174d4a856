//! What `cargo test` prints, as results by name.
//!
//! A test's full name is `package/target::path::to::test`, where the target is `lib`, `bin/NAME` or the name of an
//! integration test: `windlass-core/lib::fold::tests::replay_equals_live`, `windlass/cli::kill::daemon`.

use crate::shell::{cargo, show};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// How often a silent test run is looked at.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Ignored,
}

/// Results by full name.
pub(crate) type Results = BTreeMap<String, Verdict>;

/// The test programs of the workspace: path of the executable, then `package/target`.
pub(crate) type Programs = BTreeMap<String, String>;

/// Builds the test programs that `selection` selects (`--workspace`, or `-p NAME` and so on) and gives their names.
pub(crate) fn build(selection: &[&str]) -> Result<Programs> {
    let fixed = ["test", "--no-run", "--message-format=json-render-diagnostics"];
    let mut command = cargo(fixed.into_iter().chain(selection.iter().copied()));
    eprintln!("$ {}", show(&command));
    let output = command.stderr(std::process::Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let mut programs = Programs::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let (Some(executable), true) = (message["executable"].as_str(), message["profile"]["test"] == true)
        else {
            continue;
        };
        let package = package_name(message["package_id"].as_str().unwrap_or_default());
        let name = message["target"]["name"].as_str().unwrap_or_default();
        let target = match message["target"]["kind"][0].as_str() {
            Some("test") => name.to_owned(),
            Some("bin") => format!("bin/{name}"),
            Some("lib" | "proc-macro" | "rlib") => "lib".to_owned(),
            _ => continue,
        };
        programs.insert(executable.to_owned(), format!("{package}/{target}"));
    }
    Ok(programs)
}

/// The name in a package id such as `path+file:///…/windlass-core#0.1.0` or `…/folder#name@0.1.0`.
fn package_name(id: &str) -> &str {
    let (place, version) = id.rsplit_once('#').unwrap_or((id, ""));
    match version.split_once('@') {
        Some((name, _)) => name,
        None => place.rsplit('/').next().unwrap_or(place),
    }
}

/// Runs `cargo test` with these arguments, passes on everything that it prints, in order, and reads the results.
/// Gives whether it succeeded, too.
pub(crate) fn run(command: &mut Command, programs: &Programs) -> Result<(Results, bool)> {
    eprintln!("$ {}", show(command));
    let (reader, writer) = std::io::pipe().context("no pipe")?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("cannot start cargo")?;
    // The command holds the writing end, which would keep the pipe open.
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let lines = lines_of(reader);
    let mut reading = Reading { programs, target: None, results: Results::new() };
    let mut status = None;
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                std::io::stdout().write_all(&line)?;
                reading.line(String::from_utf8_lossy(&line).trim_end());
            }
            Err(RecvTimeoutError::Disconnected) => break,
            // Silence is a slow test while cargo runs, and a leak once it has ended.
            Err(RecvTimeoutError::Timeout) if status.is_some() => {
                bail!(
                    "the tests have ended, but something they started is still alive and holds their output"
                );
            }
            Err(RecvTimeoutError::Timeout) => status = child.try_wait()?,
        }
    }
    std::io::stdout().flush()?;
    Ok((reading.results, child.wait()?.success()))
}

/// The lines of a stream, line ends included, as they come.
fn lines_of(reader: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            if sender.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    lines
}

struct Reading<'a> {
    programs: &'a Programs,
    /// The program whose tests are being printed.
    target: Option<String>,
    results: Results,
}

impl Reading<'_> {
    fn line(&mut self, line: &str) {
        let trimmed = line.trim_start();
        if let Some(rest) = trimmed.strip_prefix("Running ")
            && let Some((_, path)) = rest.trim_end_matches(')').rsplit_once('(')
        {
            let known = self.programs.iter().find(|(executable, _)| executable.ends_with(path));
            self.target = known.map(|(_, target)| target.clone());
        } else if trimmed.starts_with("Doc-tests ") {
            self.target = None;
        } else if let Some(rest) = line.strip_prefix("test ")
            && let Some((name, verdict)) = rest.rsplit_once(" ... ")
            && let Some(target) = &self.target
        {
            let verdict = match verdict.split([',', ' ']).next() {
                Some("ok") => Verdict::Passed,
                Some("ignored") => Verdict::Ignored,
                _ => Verdict::Failed,
            };
            let name = name.strip_suffix(" - should panic").unwrap_or(name);
            self.results.insert(format!("{target}::{name}"), verdict);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_both_kinds_of_package_id() {
        assert_eq!(package_name("path+file:///a/crates/windlass-core#0.1.0"), "windlass-core");
        assert_eq!(package_name("path+file:///a/some/folder#windlass@0.1.0"), "windlass");
    }

    #[test]
    fn results_are_read_in_order() {
        let programs = Programs::from([
            ("/r/target/debug/deps/core-1".to_owned(), "windlass-core/lib".to_owned()),
            ("/r/target/debug/deps/cli-2".to_owned(), "windlass/cli".to_owned()),
        ]);
        let mut reading = Reading { programs: &programs, target: None, results: Results::new() };
        for line in [
            "     Running unittests src/lib.rs (target/debug/deps/core-1)",
            "test fold::total ... ok",
            "test fold::slow ... ignored, too slow",
            "test fold::panics - should panic ... ok",
            "     Running tests/main.rs (target/debug/deps/cli-2)",
            "test kill::daemon ... FAILED",
            "test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
            "   Doc-tests windlass_core",
            "test src/lib.rs - thing (line 3) ... ok",
        ] {
            reading.line(line);
        }
        let expected = Results::from([
            ("windlass-core/lib::fold::total".to_owned(), Verdict::Passed),
            ("windlass-core/lib::fold::slow".to_owned(), Verdict::Ignored),
            ("windlass-core/lib::fold::panics".to_owned(), Verdict::Passed),
            ("windlass/cli::kill::daemon".to_owned(), Verdict::Failed),
        ]);
        assert_eq!(reading.results, expected);
    }
}
