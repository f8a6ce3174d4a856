//! Through the shipped binary: results.

use crate::{ended, world};
use serde_json::json;
use std::path::Path;

/// Bytes that no text form may change: an escape sequence, a byte that is not UTF-8, no line feed at the end.
const LINE: &str = r#"printf 'a\033[31m\377\r\nb'"#;
const BYTES: &[u8] = b"a\x1b[31m\xff\r\nb";

#[test]
fn a_result_is_byte_exact_on_standard_output_and_harmless_on_a_terminal() {
    let (_repo, windlass) = world();
    windlass.shell_agent("odd", LINE, "");
    let run = ended(&windlass, &["--agent", "odd", "go"]);
    let address = format!("{run}/01_odd");
    let output = windlass.run(["show", &address]).expect_code(0);
    assert_eq!(output.stdout, BYTES);
    assert!(output.err().contains("01_odd") && output.err().contains("10 B"), "{}", output.err());
    assert!(windlass.run(["show", &address, "-q"]).expect_code(0).err().is_empty());
    let doc = windlass.json(["show", &address, "--json"]);
    assert_eq!(doc["task"], "01_odd");
    assert_eq!(doc["status"], "completed");
    assert_eq!(doc["result"]["bytes"], 10);
    assert_eq!(doc["exact"], false, "what is not UTF-8 is said to be replaced");
    assert!(Path::new(doc["result"]["path"].as_str().unwrap()).is_file());

    let terminal = windlass.terminal(["show", &address, "-q", "--color", "never"], 24, 80);
    terminal.wait_screen("the result", |s| s.contains('b'));
    let raw = terminal.raw();
    assert!(!raw.windows(5).any(|w| w == b"\x1b[31m"), "{raw:?}");
    assert!(String::from_utf8_lossy(&raw).contains("a\\x1b[31m\\xff\\x0d"), "{raw:?}");
    assert_eq!(terminal.wait().0, 0);
}

#[test]
fn a_task_without_a_result_says_so() {
    let (_repo, windlass) = world();
    windlass.shell_agent("bad", "exit 3", "");
    let run = ended(&windlass, &["--agent", "bad", "go"]);
    let address = format!("{run}/01_bad");
    let output = windlass.run(["show", &address]).expect_code(2);
    assert!(output.out().is_empty() && output.err().contains("windlass logs"), "{}", output.err());
    assert!(output.err().contains("it failed: ") && output.err().contains("exit code 3"), "{}", output.err());
    let doc = windlass.json(["show", &address, "--json"]);
    assert_eq!(
        (&doc["result"], &doc["text"], &doc["status"]),
        (&json!(null), &json!(null), &json!("failed"))
    );
    // One whose words are all complaints has no output.
    windlass.shell_agent("grumbler", "echo grumble >&2", "");
    ended(&windlass, &["--agent", "grumbler", "go"]);
    let raw = windlass.run(["logs", "last", "--raw"]).expect_code(0);
    assert!(raw.stdout.is_empty() && raw.err().contains("on standard error"), "{}", raw.err());
    // One that never began has no worker to look at; why it did not is said.
    windlass.shell_agent("good", "echo good", "");
    let workflow = "## l\nrole: bad\nattempts: 1\n\nDo.\n\n## r\nrole: good\ndependsOn: l\n\nDo.\n";
    windlass.team("pair", &["bad", "good"], "", workflow);
    let run = ended(&windlass, &["--team", "pair", "go"]);
    let output = windlass.run(["show", &format!("{run}/r")]).expect_code(2);
    let said: Vec<String> = output.err().split_whitespace().map(str::to_owned).collect();
    assert!(
        said.join(" ").contains("it was skipped: 01_l, which it depends on, did not complete"),
        "{said:?}"
    );
    assert!(!output.err().contains("windlass logs"), "{}", output.err());
}

#[test]
fn artifacts_are_listed_with_their_hash_and_printed_byte_exact_or_not_at_all() {
    let (_repo, windlass) = world();
    let line = format!(
        "{LINE} > \"$WINDLASS_ARTIFACTS/odd.bin\"; echo x > \"$WINDLASS_ARTIFACTS/both.md\"; echo text"
    );
    windlass.shell_agent("left", &line, "");
    windlass.shell_agent("right", "echo y > \"$WINDLASS_ARTIFACTS/both.md\"; echo other", "");
    let workflow = "## l\nrole: left\noutput: plan.md\n\nDo.\n\n## r\nrole: right\ndependsOn: l\n\nDo.\n";
    windlass.team("pair", &["left", "right"], "", workflow);
    let run = ended(&windlass, &["-t", "pair", "go"]);

    let doc = windlass.json(["artifacts", "--json"]);
    assert_eq!(doc["run"], run.as_str());
    let all = doc["artifacts"].as_array().unwrap();
    let names: Vec<&str> = all.iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["plan.md", "both.md", "odd.bin", "02_r", "both.md"]);
    let odd = &all[2];
    assert_eq!((&odd["kind"], &odd["bytes"], &odd["task"]), (&json!("file"), &json!(10), &json!("01_l")));
    assert_eq!(odd["hash"], blake3::hash(BYTES).to_hex().as_str());
    let table = windlass.run(["artifacts", &run]).expect_code(0).out();
    assert!(table.contains("odd.bin") && table.contains(odd["path"].as_str().unwrap()), "{table}");

    let one = |name: &str| windlass.run(["artifacts", &run, name]).expect_code(0).stdout;
    assert_eq!(one("odd.bin"), BYTES);
    assert_eq!(windlass.run(["artifacts", "odd.bin"]).expect_code(0).stdout, BYTES);
    assert_eq!(one("plan.md"), b"text\n");
    assert_eq!(one("01_l"), b"text\n");
    assert_eq!(one("r"), b"other\n", "a task by its step");
    assert_eq!(one("02_r/both.md"), b"y\n");
    let ambiguous = windlass.run(["artifacts", &run, "both.md"]).expect_code(2);
    assert!(ambiguous.err().contains("01_l/both.md"), "{}", ambiguous.err());
    assert_eq!(windlass.json(["artifacts", &run, "plan.md", "--json"])["text"], "text\n");

    // What was changed since is not given away as what was recorded.
    std::fs::write(odd["path"].as_str().unwrap(), b"forged").unwrap();
    let forged = windlass.run(["artifacts", &run, "odd.bin"]).expect_code(5);
    assert!(forged.out().is_empty() && forged.err().contains("changed since"), "{}", forged.err());
    std::fs::remove_file(all[0]["path"].as_str().unwrap()).unwrap();
    let gone = windlass.run(["show", &format!("{run}/l")]).expect_code(5);
    assert!(gone.out().is_empty() && gone.err().contains("windlass logs"), "{}", gone.err());
}
