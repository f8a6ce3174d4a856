//! Through the shipped binary: changes.

use crate::{ended, keys, world};
use serde_json::{Value, json};
use windlass_testkit::{TempRepo, Windlass};

#[test]
fn a_difference_is_the_runs_own_and_can_be_applied() {
    let (repo, windlass) = world();
    // Uncommitted before: not the run's.
    repo.write("a.txt", "one\nmine\n");
    repo.write("mine.txt", "mine\n");
    let line = "echo two >> a.txt; printf '\\000\\001' > b.bin; echo s > run.sh; chmod +x run.sh; echo done";
    windlass.shell_agent("writer", line, "writes: true");
    let run = ended(&windlass, &["--agent", "writer", "go"]);

    let text = windlass.run(["diff"]).expect_code(0);
    assert!(text.err().contains(&run));
    let text = text.out();
    assert!(text.contains("+two") && !text.contains("+mine"), "{text}");
    assert!(text.contains("new file mode 100755") && text.contains("Binary files"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour where no terminal is");
    let stat = windlass.run(["diff", &run, "--stat"]).expect_code(0).out();
    assert!(stat.contains("3 files changed"), "{stat}");

    let doc = windlass.json(["diff", &run, "--json"]);
    assert_eq!(keys(&doc), ["diff", "exact", "files", "run", "task"]);
    assert_eq!((&doc["run"], &doc["task"]), (&json!(run), &Value::Null));
    assert_eq!(doc["diff"], text.as_str());
    assert_eq!(
        doc["files"],
        json!([
            { "path": "a.txt", "change": "modified", "insertions": 1, "deletions": 0 },
            { "path": "b.bin", "change": "added", "insertions": null, "deletions": null },
            { "path": "run.sh", "change": "added", "insertions": 1, "deletions": 0 },
        ])
    );
    assert_eq!(windlass.json(["diff", &run, "01_writer", "--json"])["task"], "01_writer");

    let patch = repo.beside().join("patch");
    std::fs::write(&patch, windlass.run(["diff", &run, "--binary"]).expect_code(0).stdout).unwrap();
    repo.git(["apply", "-R", &patch.display().to_string()]);
    assert_eq!(repo.read("a.txt"), "one\nmine\n");
    assert!(!repo.path().join("b.bin").exists() && !repo.path().join("run.sh").exists());
}

#[test]
fn on_a_terminal_content_is_coloured_by_us_alone() {
    let (_repo, windlass) = world();
    windlass.shell_agent("evil", "printf '\\033[2Jgone\\n' >> a.txt", "writes: true");
    let run = ended(&windlass, &["--agent", "evil", "go"]);
    let terminal = windlass.terminal(["diff", &run], 40, 100);
    terminal.wait_screen("the difference", |s| s.contains("gone"));
    let raw = String::from_utf8_lossy(&terminal.raw()).into_owned();
    assert!(raw.contains("\u{1b}[32m+\\x1b[2Jgone\u{1b}[0m"), "{raw:?}");
    assert_eq!(terminal.wait().0, 0);
    let piped = windlass.run(["diff", &run]).expect_code(0);
    assert!(piped.out().contains("+\u{1b}[2Jgone"), "in a pipe it is exact");
}

#[test]
fn nothing_changed_and_outside_git_are_different_things() {
    let (_repo, windlass) = world();
    windlass.shell_agent("echo", "echo done", "");
    let run = ended(&windlass, &["--agent", "echo", "go"]);
    let output = windlass.run(["diff", &run]).expect_code(0);
    assert!(output.out().is_empty() && output.err().contains("changed nothing"), "{}", output.err());
    let doc = windlass.json(["diff", &run, "--json"]);
    assert_eq!((&doc["files"], &doc["diff"]), (&json!([]), &json!("")));

    let folder = TempRepo::without_git();
    let outside = Windlass::new(env!("CARGO_BIN_EXE_windlass"), folder.path());
    outside.shell_agent("echo", "echo done", "");
    let run = ended(&outside, &["--agent", "echo", "go"]);
    let output = outside.run(["diff", &run, "--json"]).expect_code(2);
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["error"]["kind"], "state");
    assert!(error["error"]["message"].as_str().unwrap().contains("outside git"), "{error}");
}
