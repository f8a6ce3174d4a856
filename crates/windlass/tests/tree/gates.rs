//! Gates: what was red and green before and after is recorded, and only what ends green proves.

use super::{ended, id, repo, task, user};
use serde_json::{Value, json};
use windlass_testkit::{TempRepo, Windlass};

/// Green when the file says `good`.
const GATE: &str = "grep -qx good state.txt || { echo \"it says $(cat state.txt)\"; exit 1; }";

fn world(state: &str) -> (TempRepo, Windlass) {
    let repo = repo();
    repo.write("state.txt", format!("{state}\n"));
    repo.commit("a state");
    let windlass = user(&repo);
    (repo, windlass)
}

/// What the status says of the only gate: before, after.
fn colours(status: &Value) -> (Value, Value) {
    let gates = status["run"]["gates"].as_array().expect("gates");
    assert_eq!(gates.len(), 1, "{status:#}");
    (gates[0]["before"].clone(), gates[0]["after"].clone())
}

#[test]
fn every_way_from_before_to_after_is_recorded_right() {
    for (before, after, exit, status, proof, words) in [
        ("bad", "good", 0, "completed", "proven", "red → green"),
        ("good", "good", 0, "completed", "proven", "green → green"),
        ("good", "bad", 1, "failed", "refuted", "green → red"),
        ("bad", "worse", 1, "failed", "refuted", "red → red"),
        // Nothing changed at all.
        ("bad", "bad", 1, "failed", "refuted", "red → red"),
    ] {
        let (_repo, windlass) = world(before);
        windlass.shell_agent(
            "writer",
            &format!("echo {after} > state.txt; echo 'all is well, done ✓'"),
            "writes: true",
        );
        let output = windlass.run(["run", "--agent", "writer", "--gate", GATE, "go"]).expect_code(exit);
        let doc = windlass.json(["status", "last", "--json"]);
        let case = format!("{words}\n{}\n{doc:#}", output.err());
        assert_eq!((&doc["run"]["status"], &doc["run"]["proof"]), (&json!(status), &json!(proof)), "{case}");
        let colour = |word: &str| json!(if word == "good" { "green" } else { "red" });
        assert_eq!(colours(&doc), (colour(before), colour(after)), "{case}");
        assert!(output.err().contains(words), "{case}");
        let verdict = output.err().lines().any(|l| l.starts_with('✓'));
        assert_eq!(verdict, exit == 0, "{case}");
        let evidence = &task(&doc, "writer")["evidence"];
        assert_eq!(evidence.as_array().unwrap().len(), 1, "{case}");
        assert_eq!(evidence[0]["command"], GATE);
        assert_eq!(
            (&evidence[0]["before"], &evidence[0]["after"]),
            (&colour(before), &colour(after)),
            "{case}"
        );
        assert_eq!(evidence[0]["exit"], i32::from(after != "good"), "{case}");
        if after != "good" {
            let said = format!("it says {after}");
            assert!(doc["run"]["error"]["message"].as_str().unwrap().contains(&said), "{case}");
            let kept = std::fs::read(evidence[0]["path"].as_str().unwrap()).unwrap();
            assert!(String::from_utf8_lossy(&kept).contains(&said), "{case}");
            assert_eq!(task(&doc, "writer")["error"]["kind"], "gate", "{case}");
        }
        let shown = windlass.run(["show", "last"]).expect_code(0).out();
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn without_a_gate_nothing_is_proved() {
    let (_repo, windlass) = world("bad");
    windlass.shell_agent("writer", "echo good > state.txt", "writes: true");
    let output = windlass.run(["run", "--agent", "writer", "go"]).expect_code(0);
    assert!(output.err().contains("unproven") && !output.err().contains('✓'), "{}", output.err());
    windlass.run(["run", "--agent", "writer", "--require-proof", "go"]).expect_code(1);
    windlass.run(["run", "--agent", "writer", "--require-proof", "--gate", "true", "go"]).expect_code(0);
    // All of several gates must be green.
    let output =
        windlass.run(["run", "--agent", "writer", "--gate", "true", "--gate", "false", "go"]).expect_code(1);
    assert!(output.err().contains("red → red"), "{}", output.err());
}

fn rehearsed(windlass: &Windlass, scenes: Value, gate: &str) -> Value {
    windlass.model_agent("fixer", "read, edit, write, bash");
    let script = windlass.script(scenes);
    let script = script.to_str().unwrap();
    ended(windlass, &["--agent", "fixer", "--runtime", "rehearsal", "--script", script, "--gate", gate, "go"])
}

fn says(state: &str, attempt: Option<u32>) -> Value {
    let mut scene = json!({ "do": [
        { "write": { "path": "state.txt", "content": format!("{state}\n") } }, { "answer": "It works now." } ] });
    if let Some(n) = attempt {
        scene["when"] = json!({ "attempt": n });
    }
    scene
}

#[test]
fn a_red_gate_goes_back_to_its_worker_with_the_output() {
    let (_repo, windlass) = world("bad");
    let mut second = says("good", Some(2));
    second["when"]["prompt_has"] = json!("it says worse");
    let status = rehearsed(&windlass, json!([says("worse", Some(1)), second]), GATE);
    assert_eq!(
        (&status["run"]["status"], &status["run"]["proof"]),
        (&json!("completed"), &json!("proven")),
        "{status:#}"
    );
    assert_eq!(colours(&status), (json!("red"), json!("green")));
    let fixer = task(&status, "fixer");
    assert_eq!(fixer["attempts"].as_array().unwrap().len(), 2, "{status:#}");
    // Every try of the gate is in the record, with its own output.
    let evidence = fixer["evidence"].as_array().unwrap();
    assert_eq!(evidence.len(), 2, "{status:#}");
    assert_eq!(
        (&evidence[0]["after"], &evidence[1]["after"]),
        (&json!("red"), &json!("green")),
        "{status:#}"
    );
    assert_ne!(evidence[0]["path"], evidence[1]["path"]);
    assert!(evidence[0]["tail"].as_str().unwrap().contains("it says worse"), "{status:#}");
    let events = windlass.events(&id(&status));
    let second = events.iter().find(|e| e["type"] == "attempt.started" && e["data"]["n"] == 2).unwrap();
    assert_eq!(second["data"]["cause"], "repair", "{second}");
}

#[test]
fn repair_ends_and_the_task_fails_with_the_last_output() {
    let (_repo, windlass) = world("bad");
    let status = rehearsed(
        &windlass,
        json!([says("wrong", Some(1)), says("worse", Some(2)), says("worst", None)]),
        GATE,
    );
    assert_eq!(
        (&status["run"]["status"], &status["run"]["proof"]),
        (&json!("failed"), &json!("refuted")),
        "{status:#}"
    );
    // The first and two repair rounds; an answer of "it works" counts for nothing.
    assert_eq!(task(&status, "fixer")["attempts"].as_array().unwrap().len(), 3, "{status:#}");
    let error = status["run"]["error"]["message"].as_str().unwrap();
    assert!(error.contains("it says worst") && error.contains("2 repair rounds"), "{error}");
    let starts = status["run"]["worst_case_starts"].as_u64().unwrap();
    assert!(starts >= 3, "{status:#}");

    // The user's own number of rounds counts.
    windlass.run(["config", "set", "run.repair_rounds", "0"]).expect_code(0);
    let status = rehearsed(&windlass, json!([says("wrong", None)]), GATE);
    assert_eq!(task(&status, "fixer")["attempts"].as_array().unwrap().len(), 1, "{status:#}");
    assert_eq!(status["run"]["status"], "failed");
}

#[test]
fn all_tries_of_a_flaky_gate_are_recorded() {
    let (repo, windlass) = world("bad");
    // Red, red, then green, whatever is done.
    let count = repo.beside().join("tries").display().to_string();
    let gate = format!("echo x >> {count}; echo try $(wc -l < {count}); [ $(wc -l < {count}) -ge 3 ]");
    let status = rehearsed(&windlass, json!([says("good", None)]), &gate);
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    let evidence = task(&status, "fixer")["evidence"].as_array().unwrap();
    let lights: Vec<&Value> = evidence.iter().map(|e| &e["after"]).collect();
    assert_eq!(lights, [&json!("red"), &json!("green")], "{status:#}");
    let tries: Vec<&Value> = evidence.iter().map(|e| &e["n"]).collect();
    assert_eq!(tries, [&json!(1), &json!(2)], "{status:#}");
    let shown = windlass.run(["show", &id(&status)]).expect_code(0).out();
    assert!(shown.contains("try 2") || shown.contains("red, green") || shown.contains("2 tries"), "{shown}");
}

#[test]
fn a_gate_that_changes_the_tree_proves_nothing() {
    let (_repo, windlass) = world("good");
    windlass.shell_agent("writer", "echo good > state.txt", "writes: true");
    let status = ended(&windlass, &["--agent", "writer", "--gate", "date +%s%N > stamp.txt", "go"]);
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    assert_eq!(status["run"]["proof"], "unproven", "{status:#}");
    let evidence = task(&status, "writer")["evidence"].as_array().unwrap();
    assert_eq!(evidence.len(), 3, "it is tried again, not for ever: {status:#}");
}

#[test]
fn the_output_of_a_gate_is_kept_and_bounded() {
    let (_repo, windlass) = world("good");
    windlass.shell_agent("writer", "echo good > state.txt", "writes: true");
    let gate = "echo FIRST; yes 'a line of some length' | head -c 3000000; echo; echo LAST; exit 1";
    let status = ended(&windlass, &["--agent", "writer", "--gate", gate, "go"]);
    assert_eq!(status["run"]["status"], "failed");
    let evidence = &task(&status, "writer")["evidence"][0];
    let tail = evidence["tail"].as_str().unwrap();
    assert!(tail.ends_with("LAST\n") && tail.len() <= 8_000 && !tail.contains("FIRST"), "{}", tail.len());
    assert!(status["run"]["error"].to_string().len() < 20_000);
    let kept = std::fs::read(evidence["path"].as_str().unwrap()).unwrap();
    assert!(kept.len() > 3_000_000, "{}", kept.len());
    // Nothing of it floods the card.
    let card = windlass.run(["attach", &id(&status)]).expect_code(1).err();
    assert!(card.lines().count() < 60, "{card}");
    let logs = windlass.run(["logs", &format!("{}/writer", id(&status))]).expect_code(0).out();
    assert!(logs.contains("FIRST") && logs.contains("LAST"), "{} bytes of logs", logs.len());
}

#[test]
fn a_gate_has_its_time() {
    let (repo, windlass) = world("good");
    windlass.shell_agent("writer", "echo good > state.txt", "writes: true");
    windlass.team(
        "slow",
        &["writer"],
        "",
        // The time of a step's gate; the children of the gate go with it.
        &format!(
            "## writer\ngate: echo begun; echo $$ > {}/gate; sleep 600\ngateTimeout: 1s\n\ngo\n",
            repo.beside().display()
        ),
    );
    let status = ended(&windlass, &["--team", "slow", "go"]);
    assert_eq!(status["run"]["status"], "failed", "{status:#}");
    let error = status["run"]["error"]["message"].as_str().unwrap();
    assert!(error.contains("time limit") && error.contains("begun"), "{error}");
    assert_eq!(colours(&status), (json!("red"), json!("red")));
    let pid: u32 = std::fs::read_to_string(repo.beside().join("gate")).unwrap().trim().parse().unwrap();
    assert!(!windlass_testkit::process::is_alive(pid));
    let sleepers: Vec<_> =
        windlass.processes().into_iter().filter(|p| p.command.starts_with("sleep")).collect();
    assert_eq!(sleepers, []);
}

#[test]
fn gates_get_no_key_of_a_provider() {
    let (repo, mut windlass) = world("good");
    let seen = repo.beside().join("gate-env").display().to_string();
    let keys = [
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "GEMINI_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "OPENROUTER_API_KEY",
    ];
    for key in keys {
        windlass.set(key, format!("value-of-{key}-0123456789"));
    }
    windlass.set("GITHUB_TOKEN", "ghp_0123456789abcdefghijklmnopqrstuvwxyz");
    windlass.shell_agent("writer", "env | sort; echo good > state.txt", "writes: true");
    let output =
        windlass.run(["run", "--agent", "writer", "--gate", &format!("env > {seen}"), "go"]).expect_code(0);
    let gate = std::fs::read_to_string(&seen).unwrap();
    for key in keys {
        assert!(!gate.contains(key) && !gate.contains(&format!("value-of-{key}")), "{gate}");
        // The worker itself has it; what it prints of it is replaced.
        assert!(output.out().contains(&format!("{key}=")), "{}", output.out());
        assert!(!output.out().contains(&format!("value-of-{key}")), "{}", output.out());
    }
    let path = |text: &str| text.lines().find(|l| l.starts_with("PATH=")).map(str::to_owned);
    assert!(path(&gate).is_some() && path(&gate) == path(&output.out()), "{gate}");
    assert!(gate.contains("WINDLASS_RUN="), "{gate}");
    // No value of a secret is anywhere in the state.
    let grep = |words: &str| {
        let mut grep = std::process::Command::new("grep");
        grep.args(["-r", "-l", "-a", words]).arg(windlass.home());
        windlass_testkit::process::run(grep, b"").out()
    };
    assert_eq!(grep("value-of-"), "");
    assert_eq!(grep("ghp_0123456789"), "");
}

#[test]
fn a_gate_runs_in_the_root_of_the_tree_with_nothing_on_standard_input() {
    let (repo, windlass) = world("good");
    repo.write("deep/er/file", "x");
    let seen = repo.beside().join("seen").display().to_string();
    windlass.shell_agent("writer", "pwd; cat > /dev/null", "writes: true");
    let deep = repo.path().join("deep/er");
    let gate = format!("pwd > {seen}; wc -c >> {seen}");
    let output = windlass
        .run(["-C", deep.to_str().unwrap(), "run", "--agent", "writer", "--gate", &gate, "go"])
        .expect_code(0);
    assert_eq!(output.out().trim_end(), deep.to_str().unwrap());
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), format!("{}\n0\n", repo.path().display()));
}
