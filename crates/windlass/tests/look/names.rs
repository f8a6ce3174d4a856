//! Through the shipped binary: names.

use crate::{ended, world};
use serde_json::Value;

/// The message and hint of a command that must end with this code.
fn error(windlass: &windlass_testkit::Windlass, args: &[&str], code: i32) -> (String, String, String) {
    let args = args.iter().copied().chain(["--json"]);
    let output = windlass.run(args).expect_code(code);
    let doc: Value = serde_json::from_slice(&output.stdout).unwrap();
    let word = |key: &str| doc["error"][key].as_str().unwrap_or_default().to_owned();
    (word("kind"), word("message"), word("hint"))
}

#[test]
fn a_wrong_name_is_answered_with_the_nearest_and_code_2() {
    let (_repo, windlass) = world();
    windlass.shell_agent("scribe", "echo x > \"$WINDLASS_ARTIFACTS/notes.md\"; echo text", "");
    let run = ended(&windlass, &["--agent", "scribe", "go"]);
    let mut wrong: Vec<char> = run.chars().collect();
    wrong[5] = if wrong[5] == 'x' { 'y' } else { 'x' };
    let wrong: String = wrong.into_iter().collect();
    for command in ["status", "show", "events", "diff"] {
        let (kind, message, hint) = error(&windlass, &[command, &wrong], 2);
        assert_eq!(kind, "usage");
        assert!(message.contains(&wrong), "{command}: {message}");
        assert!(hint.contains(&format!("did you mean `{run}`")), "{command}: {hint}");
    }
    let task = format!("{run}/scrib");
    assert_eq!(
        windlass.run(["show", &task, "-q"]).expect_code(0).out(),
        "text\n",
        "a unique beginning is enough"
    );
    for args in [["show", &format!("{run}/01_scrube")], ["logs", "01_scrube"]] {
        let (_, message, hint) = error(&windlass, &args, 2);
        assert!(message.contains("scrube") || message.contains("no task"), "{message}");
        assert!(hint.contains("did you mean `01_scribe`"), "{args:?}: {hint}");
    }
    let (_, _, hint) = error(&windlass, &["artifacts", "note.md"], 2);
    assert!(hint.contains("`notes.md`"), "{hint}");
    let (_, _, hint) = error(&windlass, &["graph", "fast-fx"], 2);
    assert!(hint.contains("`fast-fix`"), "{hint}");
    let (_, message, _) = error(&windlass, &["show", "\u{1b}[31m"], 2);
    assert!(!message.contains('\u{1b}'), "{message:?}");
}

#[test]
fn a_task_of_the_newest_run_needs_no_run() {
    let (_repo, windlass) = world();
    windlass.shell_agent("scribe", "echo two >> a.txt; echo text", "writes: true");
    let run = ended(&windlass, &["--agent", "scribe", "go"]);
    for word in ["scribe", "01_scribe", "01_s"] {
        let output = windlass.run(["logs", word]).expect_code(0);
        assert_eq!(output.out(), "text\n", "{word}");
        assert!(output.err().contains(&run), "{word}: {}", output.err());
    }
    let by_task = windlass.run(["diff", "scribe"]).expect_code(0).out();
    assert_eq!(by_task, windlass.run(["diff", &run, "scribe"]).expect_code(0).out());
    assert_eq!(by_task, windlass.run(["diff", &format!("{run}/01_scribe")]).expect_code(0).out());
    error(&windlass, &["diff", &format!("{run}/01_scribe"), "scribe"], 2);
}

#[test]
fn graphs_are_of_runs_and_of_workflows() {
    let (_repo, windlass) = world();
    windlass.shell_agent("one", "echo 1", "");
    windlass.shell_agent("two", "exit 3", "");
    windlass.team(
        "pair",
        &["one", "two"],
        "",
        "## first\nrole: one\n\nDo.\n\n## second\nrole: two\ndependsOn: first\n\nDo.\n",
    );
    let before = windlass.json(["graph", "pair", "--json"]);
    assert_eq!(before["workflow"], "pair");
    assert_eq!(before["nodes"][1]["depends_on"][0], "first");
    assert_eq!(before["nodes"][1]["status"], Value::Null);
    let run = ended(&windlass, &["-t", "pair", "go"]);
    let after = windlass.json(["graph", &run, "--json"]);
    assert_eq!(after["run"], run.as_str());
    assert_eq!(after["nodes"][0]["status"], "completed");
    assert_eq!(after["nodes"][1]["status"], "failed");
    let text = windlass.run(["graph", &run]).expect_code(0).out();
    assert_eq!(text.lines().count(), 2, "{text}");
    let mermaid = windlass.run(["graph", &run, "--mermaid"]).expect_code(0).out();
    assert!(mermaid.starts_with("graph TD\n") && mermaid.contains("-->"), "{mermaid}");
    assert!(windlass.run(["graph", "default"]).expect_code(0).out().contains("verify"));
}
