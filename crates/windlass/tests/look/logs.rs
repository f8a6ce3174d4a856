//! Through the shipped binary: logs.

use crate::{ended, world};
use serde_json::json;

#[test]
fn raw_is_byte_for_byte_what_the_worker_wrote() {
    let (_repo, windlass) = world();
    let steps = [
        "invalid-utf8",
        "then",
        "print",
        "300000",
        "97",
        "then",
        "line",
        "200000",
        "then",
        "complain",
        "not this",
    ];
    windlass.fake_agent("noisy", &steps, "");
    let expected = {
        let worker = windlass_testkit::programs::fake_worker();
        std::process::Command::new(worker).args(steps).output().unwrap().stdout
    };
    let run = ended(&windlass, &["--agent", "noisy", "go"]);
    assert_eq!(windlass.run(["logs", &run, "--raw"]).expect_code(0).stdout, expected);
    assert_eq!(windlass.run(["logs", "noisy", "--raw", "--follow"]).expect_code(0).stdout, expected);
    assert_eq!(windlass.run(["logs", &run, "--raw", "--attempt", "1"]).expect_code(0).stdout, expected);
    windlass.run(["logs", &run, "--raw", "--json"]).expect_code(2);
    let none = windlass.run(["logs", &run, "--attempt", "9"]).expect_code(2);
    assert!(none.err().contains("no attempt 9"), "{}", none.err());

    let readable = windlass.run(["logs", &run]).expect_code(0).out();
    assert!(
        readable.contains("not this") && !readable.contains('\u{fffd}'),
        "bytes are escaped, not replaced"
    );
    assert!(readable.len() > 500_000, "a long line is shown whole, in pieces: {} bytes", readable.len());
}

#[test]
fn attempts_and_gates_have_a_title_and_several_tasks_a_prefix() {
    let (_repo, windlass) = world();
    windlass.shell_agent("one", "echo first words; echo two >> a.txt", "writes: true");
    windlass.shell_agent("two", "printf 'second\\033[1m words'; echo aside >&2; exit 3", "");
    windlass.team(
        "pair",
        &["one", "two"],
        "",
        "## a\nrole: one\n\nDo.\n\n## b\nrole: two\ndependsOn: a\n\nDo.\n",
    );
    let run = ended(&windlass, &["-t", "pair", "--gate", "echo gate words; grep -q two a.txt", "go"]);

    let text = windlass.run(["logs", &run]).expect_code(0).out();
    let position = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"));
    assert!(position("before anything gate 1 · echo gate words") < position("01_a attempt 1 · command"));
    assert!(position("01_a  │ first words") < position("01_a gate 1 · echo gate words"));
    assert!(position("01_a gate 1") < position("02_b  │ second\\x1b[1m words"));
    position("│ aside");
    position("■ exit 3");

    let one = windlass.run(["logs", &format!("{run}/02_b"), "--attempt", "1"]).expect_code(0).out();
    assert!(one.contains("second\\x1b[1m words") && !one.contains("first") && !one.contains(" │ "), "{one}");
    let which = windlass.run(["logs", &run, "--raw"]).expect_code(2);
    assert!(which.err().contains("01_a") && which.err().contains("02_b"), "{}", which.err());

    let lines = windlass.json_lines(["logs", &run, "--json"]);
    let out = lines.iter().find(|l| l["text"] == "first words").unwrap();
    assert_eq!(
        (&out["run"], &out["task"], &out["attempt"], &out["kind"], &out["gate"]),
        (&json!(run), &json!("01_a"), &json!(1), &json!("out"), &json!(null))
    );
    let gates: Vec<_> = lines.iter().filter(|l| l["text"] == "gate words").collect();
    assert_eq!(gates.len(), 2);
    assert_eq!(
        (&gates[0]["task"], &gates[1]["task"], &gates[1]["gate"]),
        (&json!(null), &json!("01_a"), &json!(1))
    );
    assert!(lines.iter().any(|l| l["kind"] == "err" && l["text"] == "aside"));
}

#[test]
fn what_a_model_says_is_read_by_its_runtimes_parser() {
    let (_repo, windlass) = world();
    let script = windlass.script(json!([{ "do": [
        { "say": "Looking." },
        { "tool": { "name": "read", "summary": "src/lib.rs" } },
        { "edit": { "path": "missing.txt", "find": "x", "replace": "y" } },
        { "answer": "All \u{1b}[31mwell.\nReally." },
    ] }]));
    windlass.model_agent("player", "read");
    let script = script.display().to_string();
    let run = ended(&windlass, &["--agent", "player", "--runtime", "rehearsal", "--script", &script, "go"]);
    let text = windlass.run(["logs", &run]).expect_code(0).out();
    let expected = [
        "Looking.",
        "→ read src/lib.rs",
        "→ edit missing.txt",
        "✗ edit failed",
        "All \\x1b[31mwell.",
        "Really.",
    ];
    let shown: Vec<&str> = text.lines().filter(|l| !l.starts_with('·')).collect();
    assert_eq!(shown, expected, "{text}");
    let raw = windlass.run(["logs", &run, "--raw"]).expect_code(0).out();
    assert!(raw.lines().all(|l| l.starts_with('{')), "{raw}");
    let kinds: Vec<String> = windlass
        .json_lines(["logs", &run, "--json"])
        .iter()
        .map(|l| l["kind"].as_str().unwrap().to_owned())
        .collect();
    assert!(kinds.contains(&"tool".to_owned()) && kinds.contains(&"tool_failed".to_owned()), "{kinds:?}");
}

#[test]
fn what_stands_before_damage_is_shown_and_the_damage_is_said() {
    let (_repo, windlass) = world();
    windlass.shell_agent("talker", "echo first; sleep 0.2; echo second", "");
    let run = ended(&windlass, &["--agent", "talker", "go"]);
    let result = windlass.status(&run)["tasks"][0]["result"]["path"].as_str().unwrap().to_owned();
    let folder = std::path::Path::new(&result).parent().unwrap().parent().unwrap();
    let spool = folder.join("attempts/01_talker.1");
    let mut bytes = std::fs::read(&spool).unwrap();
    let at = bytes.windows(6).rposition(|w| w == b"second").unwrap();
    bytes[at] = b'S';
    std::fs::write(&spool, bytes).unwrap();
    for args in [&["logs", &run][..], &["logs", &run, "--raw"], &["logs", &run, "--follow"]] {
        let output = windlass.run(args).expect_code(5);
        assert!(
            output.out().contains("first") && !output.out().contains("econd"),
            "{args:?}: {}",
            output.out()
        );
        assert!(output.err().contains("damaged"), "{args:?}: {}", output.err());
    }
    std::fs::remove_file(&spool).unwrap();
    let gone = windlass.run(["logs", &run]).expect_code(0);
    assert!(gone.out().contains("nothing it wrote was kept"), "{}{}", gone.out(), gone.err());
}
