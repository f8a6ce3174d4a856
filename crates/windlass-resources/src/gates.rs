//! The checks that a project already has, found by looking at the files in its root. Nothing is run.

use crate::text::{Links, read};
use serde::Serialize;
use std::path::Path;
use windlass_events::spec::{GateSource, GateSpec};

/// A check that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detected {
    /// The command line.
    pub command: String,
    /// The file that it was found by, relative to the root.
    pub evidence: String,
    /// What the command runs according to that file, such as the text of a script; shown when trust is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
}

impl Detected {
    /// The gate it makes.
    pub fn gate(&self) -> GateSpec {
        GateSpec {
            command: self.command.clone(),
            source: GateSource::Detected,
            limit_ms: crate::plan::GATE_LIMIT_MS,
        }
    }
}

/// Looks for checks in the root of a project: Cargo, npm and its kin, Go, Python, and Make when none of these is there.
///
/// Only the root counts: what the parts of a larger tree need, their own root commands run.
pub fn detect(root: &Path) -> Vec<Detected> {
    let mut found: Vec<Detected> =
        [cargo(root), node(root), go(root), python(root)].into_iter().flatten().collect();
    // A Makefile beside one of the others mostly calls it.
    if found.is_empty() {
        found.extend(make(root));
    }
    found
}

fn file(root: &Path, name: &str) -> Option<String> {
    read(&root.join(name), Links::Refuse).ok()
}

fn detected(command: impl Into<String>, evidence: &str, runs: Option<String>) -> Option<Detected> {
    Some(Detected { command: command.into(), evidence: evidence.to_owned(), runs })
}

fn cargo(root: &Path) -> Option<Detected> {
    let table: toml::Table = file(root, "Cargo.toml")?.parse().ok()?;
    (table.contains_key("package") || table.contains_key("workspace")).then_some(())?;
    detected("cargo test", "Cargo.toml", None)
}

fn node(root: &Path) -> Option<Detected> {
    let package: serde_json::Value = serde_json::from_str(&file(root, "package.json")?).ok()?;
    let script = package.get("scripts")?.get("test")?.as_str()?.trim();
    // What `npm init` writes, and what never ends, check nothing.
    if script.is_empty()
        || script.contains("no test specified")
        || script.split_whitespace().any(|w| matches!(w, "--watch" | "--watchAll"))
    {
        return None;
    }
    let declared = package.get("packageManager").and_then(|v| v.as_str()).and_then(|v| v.split('@').next());
    let by_lock = || {
        [("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn"), ("bun.lock", "bun"), ("bun.lockb", "bun")]
            .into_iter()
            .find(|(lock, _)| root.join(lock).is_file())
            .map(|(_, manager)| manager)
    };
    let command = match declared.or_else(by_lock) {
        Some("pnpm") => "pnpm test",
        Some("yarn") => "yarn test",
        // `bun test` is bun's own runner; the script is what the project asks for.
        Some("bun") => "bun run test",
        _ => "npm test",
    };
    detected(command, "package.json", Some(script.to_owned()))
}

fn go(root: &Path) -> Option<Detected> {
    file(root, "go.mod")?.lines().any(|l| l.trim_start().starts_with("module")).then_some(())?;
    detected("go test ./...", "go.mod", None)
}

fn python(root: &Path) -> Option<Detected> {
    const COMMAND: &str = "python3 -m pytest -q";
    if let Some(table) = file(root, "pyproject.toml").and_then(|t| t.parse::<toml::Table>().ok())
        && table.get("tool").is_some_and(|t| t.get("pytest").is_some())
    {
        return detected(COMMAND, "pyproject.toml", None);
    }
    for (name, section) in [("pytest.ini", ""), ("tox.ini", "[pytest]"), ("setup.cfg", "[tool:pytest]")] {
        if file(root, name)
            .is_some_and(|text| section.is_empty() || text.lines().any(|l| l.trim() == section))
        {
            return detected(COMMAND, name, None);
        }
    }
    if file(root, "conftest.py").is_some() {
        return detected(COMMAND, "conftest.py", None);
    }
    let mut tests: Vec<String> = std::fs::read_dir(root.join("tests"))
        .ok()?
        .flatten()
        .take(2_000)
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|n| {
            n == "conftest.py" || (n.ends_with(".py") && (n.starts_with("test_") || n.ends_with("_test.py")))
        })
        .collect();
    tests.sort();
    let first = tests.first()?;
    // Tests may be written for the standard library's runner; pytest runs those too.
    detected(COMMAND, &format!("tests/{first}"), None)
}

fn make(root: &Path) -> Option<Detected> {
    // In make's own order.
    let (name, text) =
        ["GNUmakefile", "makefile", "Makefile"].into_iter().find_map(|n| Some((n, file(root, n)?)))?;
    let target = ["test", "check"].into_iter().find(|target| has_target(&text, target))?;
    detected(format!("make {target}"), name, None)
}

/// Whether a makefile has a rule for a target: `test:` or `check test: build`, no assignment, no recipe line.
fn has_target(makefile: &str, target: &str) -> bool {
    makefile.lines().any(|line| {
        if line.starts_with(['\t', '#', ' ']) {
            return false;
        }
        let Some((targets, rest)) = line.split_once(':') else { return false };
        !rest.trim_start_matches(':').starts_with('=')
            && !targets.contains('=')
            && targets.split_whitespace().any(|t| t == target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        detect(dir.path()).into_iter().map(|d| (d.command, d.evidence)).collect()
    }

    fn one(files: &[(&str, &str)]) -> Option<String> {
        let mut all = found(files);
        assert!(all.len() <= 1, "{all:?}");
        all.pop().map(|(command, evidence)| format!("{command} ({evidence})"))
    }

    #[test]
    fn each_kind_of_project_is_known_by_its_files() {
        let package = |rest: &str| format!("{{\"scripts\":{{\"test\":\"vitest run\"}}{rest}}}");
        type Files<'f> = &'f [(&'f str, &'f str)];
        let cases: [(Files<'_>, Option<&str>); 16] = [
            (&[("Cargo.toml", "[workspace]\nmembers=[]")], Some("cargo test (Cargo.toml)")),
            (&[("Cargo.toml", "[package")], None),
            (&[("package.json", &package(""))], Some("npm test (package.json)")),
            (&[("package.json", &package("")), ("yarn.lock", "")], Some("yarn test (package.json)")),
            (
                &[
                    ("package.json", &package(",\"packageManager\":\"pnpm@9.1.0+sha512.x\"")),
                    ("yarn.lock", ""),
                ],
                Some("pnpm test (package.json)"),
            ),
            (&[("package.json", &package("")), ("bun.lockb", "")], Some("bun run test (package.json)")),
            (
                &[(
                    "package.json",
                    "{\"scripts\":{\"test\":\"echo \\\"Error: no test specified\\\" && exit 1\"}}",
                )],
                None,
            ),
            (&[("package.json", "{\"scripts\":{\"test\":\"jest --watch\"}}")], None),
            (&[("package.json", "not json")], None),
            (&[("go.mod", "module example.org/x\n")], Some("go test ./... (go.mod)")),
            (
                &[("pyproject.toml", "[tool.pytest.ini_options]\n")],
                Some("python3 -m pytest -q (pyproject.toml)"),
            ),
            (
                &[("pyproject.toml", "[project]\n"), ("tests/test_a.py", "")],
                Some("python3 -m pytest -q (tests/test_a.py)"),
            ),
            (&[("setup.cfg", "[metadata]\n"), ("tests/data.txt", "")], None),
            (&[("Makefile", ".PHONY: test\nbuild test: x\n\techo\n")], Some("make test (Makefile)")),
            (&[("Makefile", "test := 1\ntest::=2\n\ttest: no\ncheck: all\n")], Some("make check (Makefile)")),
            (&[("sub/Cargo.toml", "[package]\nname='x'")], None),
        ];
        for (files, expected) in cases {
            assert_eq!(one(files).as_deref(), expected, "{files:?}");
        }
        let both = found(&[
            ("Cargo.toml", "[package]\nname='x'"),
            ("package.json", &package("")),
            ("Makefile", "test:\n"),
        ]);
        assert_eq!(both.iter().map(|(c, _)| c.as_str()).collect::<Vec<_>>(), ["cargo test", "npm test"]);
    }

    proptest! {
        #[test]
        fn any_makefile_is_answered(text in any::<String>()) {
            let _ = has_target(&text, "test");
        }
    }
}
