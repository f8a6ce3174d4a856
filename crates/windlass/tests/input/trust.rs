//! What of a repository is used, by what its user said of it.

use super::{refused, world};
use serde_json::{Value, json};
use std::path::PathBuf;
use windlass_testkit::{TempRepo, Windlass};

/// A repository that brings gates, an agent that runs a program, one that takes a shipped one's name, and settings.
struct Brought {
    repo: TempRepo,
    windlass: Windlass,
}

impl Brought {
    fn new() -> Self {
        let (repo, windlass) = world();
        let mut brought = Self { repo, windlass };
        brought.config(&[]);
        let agent = |name: &str, mark: &PathBuf| {
            format!(
                "---\nname: {name}\ndescription: theirs\nruntime: command\ncommand: [\"sh\", \"-c\", \"touch {}; echo theirs\"]\n---\n",
                mark.display()
            )
        };
        let text = agent("theirs", &brought.mark("agent"));
        brought.repo.write(".windlass/agents/theirs.md", text);
        brought.repo.commit("what the repository brings");
        brought.windlass.shell_agent("mine", "echo mine >> README.md; echo mine", "writes: true");
        brought
    }

    /// Writes the project's config: a gate that leaves a mark, and these lines.
    fn config(&mut self, lines: &[&str]) {
        let gate = format!("touch {}", self.mark("gate").display());
        let text = format!("[run]\ngates = [\"{gate}\"]\n{}\n", lines.join("\n"));
        self.repo.write(".windlass/config.toml", text);
    }

    /// A file that something of the repository leaves when it is used.
    fn mark(&self, name: &str) -> PathBuf {
        self.repo.beside().join(format!("{name}-was-used"))
    }

    /// Whether it was used since last asked.
    fn used(&self, name: &str) -> bool {
        std::fs::remove_file(self.mark(name)).is_ok()
    }

    fn state(&self) -> Value {
        self.windlass.json(["trust", "--show", "--json"])
    }
}

/// The lines that speak of trust.
fn words_of_trust(err: &str) -> Vec<&str> {
    err.lines().filter(|l| l.contains("windlass trust")).collect()
}

#[test]
fn without_a_terminal_nothing_of_the_repository_is_used_until_trusted() {
    let brought = Brought::new();
    let windlass = &brought.windlass;
    let output = windlass.run(["run", "--agent", "mine", "go"]).expect_code(0);
    assert_eq!(words_of_trust(&output.err()).len(), 1, "one line says so:\n{}", output.err());
    assert!(!brought.used("gate"), "{}", output.err());
    assert_eq!(windlass.json(["status", "last", "--json"])["run"]["gates"], json!([]));
    refused(windlass, &["run", "--agent", "theirs", "go"], 4, &["`theirs`", "not trusted", "windlass trust"]);
    assert!(!brought.used("agent"));
    // What the user typed needs no trust.
    let typed = brought.repo.beside().join("typed");
    windlass
        .run(["run", "--agent", "mine", "--gate", &format!("touch {}", typed.display()), "go"])
        .expect_code(0);
    assert!(typed.exists() && !brought.used("gate"));
    assert_eq!(windlass.json(["status", "last", "--json"])["run"]["proof"], "proven");
    // Nor does asking again and again become a yes.
    windlass.run(["run", "--agent", "mine", "-y", "go"]).expect_code(0);
    assert!(!brought.used("gate"), "`-y` answers questions; nobody asked");
    assert_eq!(brought.state()["state"], "never_asked");

    windlass.run(["trust", "--gates"]).expect_code(0);
    let output = windlass.run(["run", "--agent", "mine", "go"]).expect_code(0);
    assert!(brought.used("gate"));
    assert_eq!(words_of_trust(&output.err()), Vec::<&str>::new());
    refused(windlass, &["run", "--agent", "theirs", "go"], 4, &["not trusted"]);
    assert!(!brought.used("agent"));

    windlass.run(["trust", "--all"]).expect_code(0);
    let output = windlass.run(["run", "--agent", "theirs", "go"]).expect_code(0);
    assert_eq!(output.out(), "theirs\n");
    assert!(brought.used("agent"));

    windlass.run(["trust", "--none"]).expect_code(0);
    windlass.run(["run", "--agent", "mine", "go"]).expect_code(0);
    assert!(!brought.used("gate"));
    refused(windlass, &["run", "--agent", "theirs", "go"], 4, &["not trusted"]);
}

#[test]
fn what_changes_by_other_hands_is_not_used_and_asked_again() {
    let mut brought = Brought::new();
    brought.windlass.run(["trust", "--all"]).expect_code(0);
    brought.windlass.run(["run", "--agent", "theirs", "go"]).expect_code(0);
    assert!(brought.used("agent"));
    // A pull brings another gate, and a change in what the agent runs.
    brought.config(&["# a new line"]);
    let other = brought.mark("other");
    let text = brought
        .repo
        .read(".windlass/agents/theirs.md")
        .replace("echo theirs", &format!("touch {}", other.display()));
    brought.repo.write(".windlass/agents/theirs.md", text);
    let windlass = &brought.windlass;
    let output = windlass.run(["run", "--agent", "mine", "go"]).expect_code(0);
    let words = words_of_trust(&output.err()).join("\n");
    assert!(words.contains("has changed") && words.lines().count() == 1, "{}", output.err());
    assert!(words.contains("theirs"), "it says what: {words}");
    assert!(!brought.used("gate"));
    refused(windlass, &["run", "--agent", "theirs", "go"], 4, &["not trusted"]);
    assert!(!brought.used("agent") && !brought.used("other"));

    // On a terminal it is asked again, once; and what is answered holds.
    let mut terminal = windlass.terminal(["run", "--agent", "mine", "go"], 40, 100);
    let screen = terminal.wait_screen("the question", |s| s.contains("[a/g/n]"));
    assert!(screen.contains("theirs"), "{screen}");
    terminal.send("a");
    let (code, screen) = terminal.wait();
    assert_eq!(code, 0, "{screen}");
    assert!(brought.used("gate"));
    windlass.run(["run", "--agent", "theirs", "go"]).expect_code(0);
    assert!(brought.used("other"));
    // One's own hands: asked nothing.
    windlass.run(["config", "set", "--project", "run.budget_usd", "1"]).expect_code(0);
    let output = windlass.run(["run", "--agent", "mine", "go"]).expect_code(0);
    assert!(brought.used("gate"), "{}", output.err());
}

#[test]
fn the_first_run_on_a_terminal_asks_once_and_does_as_it_is_told() {
    for (key, gate, agent) in [("a", true, true), ("g", true, false), ("n", false, false)] {
        let brought = Brought::new();
        let mut terminal = brought.windlass.terminal(["run", "--agent", "mine", "go"], 40, 100);
        let screen = terminal.wait_screen("the question", |s| s.contains("[a/g/n]"));
        assert!(screen.contains("gate") && screen.contains("theirs"), "{screen}");
        assert!(!brought.mark("gate").exists(), "before the answer");
        terminal.send(key);
        let (code, screen) = terminal.wait();
        assert_eq!(code, 0, "{screen}");
        assert_eq!(brought.used("gate"), gate, "{key}: {screen}");
        // Not again.
        let (code, screen) = brought.windlass.terminal(["run", "--agent", "mine", "go"], 40, 100).wait();
        assert!(code == 0 && !screen.contains("[a/g/n]"), "{screen}");
        assert_eq!(brought.used("gate"), gate, "{key}");
        let theirs = brought.windlass.run(["run", "--agent", "theirs", "go"]);
        assert_eq!(theirs.code, Some(if agent { 0 } else { 4 }), "{key}: {}", theirs.err());
        assert_eq!(brought.used("agent"), agent, "{key}");
    }
}

#[test]
fn a_repository_can_tighten_and_never_loosen() {
    let mut brought = Brought::new();
    let limits = [
        "budget_usd = 1000",
        "budget_tokens = \"none\"",
        "timeout = \"none\"",
        "repair_rounds = 9",
        "concurrency = 64",
    ];
    brought.config(&limits);
    for trust in ["--none", "--all"] {
        brought.windlass.run(["trust", trust]).expect_code(0);
        brought.windlass.run(["run", "--agent", "mine", "go"]).expect_code(0);
        let budget = brought.windlass.json(["status", "last", "--json"])["run"]["budget"].clone();
        assert_eq!(
            (&budget["usd"]["cap"], &budget["tokens"]["cap"], &budget["wall_ms"]["cap"]),
            (&json!(5.0), &json!(10_000_000), &json!(7_200_000)),
            "{trust}: {budget}"
        );
    }
    brought.config(&["budget_usd = 0.5", "timeout = \"10m\"", "require_proof = true"]);
    brought.windlass.run(["trust", "--none"]).expect_code(0);
    brought.windlass.run(["run", "--agent", "mine", "go"]).expect_code(1);
    let status = brought.windlass.json(["status", "last", "--json"]);
    let budget = &status["run"]["budget"];
    assert_eq!(
        (&budget["usd"]["cap"], &budget["wall_ms"]["cap"]),
        (&json!(0.5), &json!(600_000)),
        "{budget}"
    );
    // The user's own word stands above it.
    brought
        .windlass
        .run(["run", "--agent", "mine", "--budget-usd", "7", "--gate", "true", "go"])
        .expect_code(0);
    let budget = brought.windlass.json(["status", "last", "--json"])["run"]["budget"].clone();
    assert_eq!(budget["usd"]["cap"], 7.0, "{budget}");
}

#[test]
fn a_repository_names_no_programs() {
    let mut brought = Brought::new();
    let program = brought.repo.beside().join("their-pi");
    let mark = brought.mark("program");
    std::fs::write(&program, format!("#!/bin/sh\ntouch {}\n", mark.display())).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // Without a pi of the user's own.
    let bin = brought.repo.beside().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for program in ["git", "sh", "touch"] {
        let path = std::env::var_os("PATH").unwrap();
        let found = std::env::split_paths(&path).map(|d| d.join(program)).find(|p| p.is_file()).unwrap();
        std::os::unix::fs::symlink(found, bin.join(program)).unwrap();
    }
    brought.windlass.set("PATH", &bin);
    let lines = [
        format!("[runtimes.pi]\ncommand = \"{}\"", program.display()),
        "[machine]\nconcurrency = 256".to_owned(),
        "[worker]\nkeep = [\"sh\"]".to_owned(),
        "[restart]\nresume = true".to_owned(),
    ];
    brought.config(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for trust in ["--none", "--gates"] {
        brought.windlass.run(["trust", trust]).expect_code(0);
        let output = brought.windlass.run(["run", "--agent", "explorer", "look"]).expect_code(5);
        assert!(output.err().contains("`pi`"), "{}", output.err());
        assert!(!brought.used("program"), "{trust}: {}", output.err());
        for key in ["machine.concurrency", "restart.resume"] {
            let value = brought.windlass.run(["config", "get", key]);
            assert!(!value.out().contains("256") && !value.out().contains("true"), "{key}: {}", value.out());
        }
    }
    // The runtime is not theirs to choose either.
    brought.config(&["runtime = \"claude\"", "team = \"theirs\"", "model = \"their/model\""]);
    brought.windlass.run(["trust", "--gates"]).expect_code(0);
    let planned = brought.windlass.json(["run", "--runtime", "scaffold", "--dry-run", "--json", "mend it"]);
    assert!(!planned.to_string().contains("their/model"), "{planned}");
    let output = brought.windlass.run(["run", "mend it"]).expect_code(5);
    assert!(output.err().contains("`pi`") && !output.err().contains("claude"), "{}", output.err());
}

#[test]
fn a_workflow_of_the_repository_brings_no_gates_untrusted() {
    let brought = Brought::new();
    let mark = brought.mark("step");
    brought.repo.write(
        ".windlass/teams/theirs.team.md",
        "---\nname: theirs\ndefaultWorkflow: theirs\n---\n- mine: agent=mine\n",
    );
    brought.repo.write(
        ".windlass/workflows/theirs.workflow.md",
        format!("---\nname: theirs\n---\n## mine\ngate: touch {}\n\ngo\n", mark.display()),
    );
    let windlass = &brought.windlass;
    refused(windlass, &["run", "--team", "theirs", "go"], 4, &["`theirs`", "not trusted"]);
    windlass.run(["trust", "--gates"]).expect_code(0);
    refused(windlass, &["run", "--team", "theirs", "go"], 4, &["`theirs`", "not trusted"]);
    assert!(!brought.used("step"));
    windlass.run(["trust", "--all"]).expect_code(0);
    windlass.run(["run", "--team", "theirs", "go"]).expect_code(0);
    assert!(brought.used("step"));
}

/// A repository whose own gate is red, trusted, with an agent that writes what it is told.
fn red() -> (TempRepo, Windlass) {
    let (repo, windlass) = world();
    repo.write("state.txt", "bad\n");
    repo.write("Makefile", "test:\n\tgrep -qx good state.txt\n");
    repo.commit("a red test");
    windlass.run(["trust", "--all"]).expect_code(0);
    (repo, windlass)
}

#[test]
fn a_red_project_gate_is_asked_about_before_anything_is_spent() {
    for (key, mends, code, words) in [
        ("m", true, 0, "red → green"),
        ("m", false, 1, "red → red"),
        ("l", false, 0, "unproven"),
        ("s", true, 130, "cancelled"),
    ] {
        let (repo, windlass) = red();
        let started = repo.beside().join("started");
        let work = if mends { "echo good > state.txt" } else { "echo other >> README.md" };
        windlass.shell_agent("mine", &format!("touch {}; {work}", started.display()), "writes: true");
        let mut terminal = windlass.terminal(["run", "--agent", "mine", "go"], 50, 100);
        terminal.wait_screen("the question", |s| {
            ["red already", "make test", "mend", "leave", "stop"].iter().all(|word| s.contains(word))
        });
        assert!(!started.exists(), "{key}: a worker was started before the answer");
        let run = windlass.json(["list", "--json"])["runs"][0]["id"].as_str().unwrap().to_owned();
        let status = windlass.status(&run);
        assert_eq!(
            (&status["run"]["status"], &status["run"]["waiting"]["for"]),
            (&json!("waiting"), &json!("answer")),
            "{status:#}"
        );
        terminal.send(&format!("{key}\n"));
        let (ended, screen) = terminal.wait();
        let status = windlass.status(&run);
        assert_eq!(ended, code, "{key}: {screen}\n{status:#}");
        assert!(screen.contains(words), "{key}: {words}:\n{screen}");
        assert_eq!(started.exists(), key != "s", "{key}");
        match key {
            "l" => {
                assert_eq!(
                    (&status["run"]["status"], &status["run"]["proof"]),
                    (&json!("completed"), &json!("unproven"))
                );
                assert_eq!(status["run"]["gates"][0]["left_out"], true, "{status:#}");
            }
            "s" => assert!(status["tasks"][0]["attempts"].as_array().unwrap().is_empty(), "{status:#}"),
            _ => {}
        }
    }
}

#[test]
fn without_a_terminal_a_red_project_gate_is_named_and_mended() {
    let (_repo, windlass) = red();
    windlass.shell_agent("mine", "echo good > state.txt", "writes: true");
    let output = windlass.run(["run", "--agent", "mine", "go"]).expect_code(0);
    assert!(
        output.err().contains("make test") && output.err().contains("red at the start"),
        "{}",
        output.err()
    );
    assert_eq!(windlass.json(["status", "last", "--json"])["run"]["proof"], "proven");
    // The project's checks alone: no model, no tokens.
    let output = windlass.run(["run", "--team", "checks"]).expect_code(0);
    assert!(output.err().contains('✓'), "{}", output.err());
    windlass.shell_agent("breaks", "echo bad > state.txt", "writes: true");
    windlass.run(["run", "--agent", "breaks", "go"]).expect_code(1);
    windlass.run(["run", "--team", "checks"]).expect_code(1);
}
