//! Every way in which a worker can end is told apart from every other, none but a clean end completes a task, and what a
//! worker says reaches those it is for, whole, and nobody's terminal as anything but text.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

use serde_json::{Value, json};
use std::path::PathBuf;
use windlass_testkit::process::{self, Output};
use windlass_testkit::terminal::Terminal;
use windlass_testkit::{TempRepo, Windlass};

/// For what an unoptimised build takes its time with.
const LONG: std::time::Duration = std::time::Duration::from_secs(600);

fn user(repo: &TempRepo) -> Windlass {
    Windlass::in_repo(env!("CARGO_BIN_EXE_windlass"), repo)
}

fn repo() -> TempRepo {
    let repo = TempRepo::new();
    repo.write("README.md", "a project\n");
    repo.commit("a project");
    repo
}

/// The task of a step.
#[track_caller]
fn task<'s>(status: &'s Value, step: &str) -> &'s Value {
    let tasks = status["tasks"].as_array().expect("tasks");
    tasks.iter().find(|t| t["step"] == step).unwrap_or_else(|| panic!("no step {step} in {status:#}"))
}

/// Status of the task and, of each attempt, status, exit and error class.
fn facts(task: &Value) -> Value {
    let attempts = task["attempts"].as_array().expect("attempts");
    let each = attempts.iter().map(|a| json!([a["status"], a["exit"], a["error_class"]]));
    json!([task["status"], each.collect::<Vec<_>>()])
}

fn started(events: &[Value], id: &str) -> bool {
    events.iter().any(|e| e["type"] == "attempt.started" && e["data"]["task"] == id)
}

/// Ends the run's watching command as a person would see it: code and words.
#[track_caller]
fn expect_words(output: &Output, words: &[&str]) {
    let err = output.err();
    for word in words {
        assert!(err.contains(word), "`{word}` is not in\n{err}");
    }
    assert!(!err.contains("panicked"), "{err}");
}

#[test]
fn outcomes_of_commands_are_told_apart() {
    let repo = repo();
    let windlass = user(&repo);
    let broken = repo.beside().join("broken");
    std::fs::write(&broken, "#!/nonexistent/interpreter\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&broken, executable).unwrap();
    windlass.fake_agent("clean", &["say", "fine"], "");
    windlass.fake_agent("nonzero", &["complain", "no luck", "then", "exit", "7"], "");
    windlass.fake_agent("killed", &["say", "half", "then", "signal", "9"], "");
    windlass.fake_agent("hangs", &["hang"], "");
    windlass.shell_agent("busy", "while :; do echo busy; sleep 0.05; done", "");
    windlass.command_agent("broken", [broken.to_str().unwrap()], "");
    windlass.team(
        "zoo",
        &["clean", "nonzero", "killed", "hangs", "busy", "broken"],
        "maxConcurrency: 8",
        "## clean\n\ngo\n\
         ## nonzero\nattempts: 1\n\ngo\n\
         ## killed\nattempts: 1\n\ngo\n\
         ## broken\nattempts: 1\n\ngo\n\
         ## silent\nrole: hangs\nattempts: 1\nsilence: 1s\n\ngo\n\
         ## slow\nrole: busy\nattempts: 1\nsilence: 60s\ntimeout: 1s\n\ngo\n\
         ## stopped\nrole: hangs\nattempts: 1\n\ngo\n\
         ## after-clean\nrole: clean\ndependsOn: clean\n\ngo\n\
         ## after-nonzero\nrole: clean\ndependsOn: clean, nonzero\n\ngo\n\
         ## after-stopped\nrole: clean\ndependsOn: stopped\n\ngo\n",
    );
    let run = windlass.detach(["--team", "zoo", "see"]);
    windlass.wait_for(&run, "the worker that is to be stopped", |events| started(events, "07_stopped"));
    windlass.run(["cancel", &run, "stopped"]).expect_code(0);
    let status = windlass.wait_end(&run);

    for (step, wanted) in [
        ("clean", json!(["completed", [["completed", 0, null]]])),
        ("nonzero", json!(["failed", [["failed", 7, "exit"]]])),
        ("killed", json!(["failed", [["failed", null, "signal"]]])),
        ("broken", json!(["failed", [["failed", null, "cannot_start"]]])),
        ("silent", json!(["failed", [["failed", null, "silence"]]])),
        ("slow", json!(["failed", [["failed", null, "wall_clock"]]])),
        ("stopped", json!(["cancelled", [["cancelled", null, null]]])),
        ("after-clean", json!(["completed", [["completed", 0, null]]])),
        ("after-nonzero", json!(["skipped", []])),
        ("after-stopped", json!(["skipped", []])),
    ] {
        assert_eq!(facts(task(&status, step)), wanted, "{step}: {:#}", task(&status, step));
    }
    for step in ["after-nonzero", "after-stopped"] {
        let error = &task(&status, step)["error"];
        assert_eq!(error["kind"], "dependency", "nothing of it failed: {error:#}");
    }
    assert_eq!(status["run"]["status"], "failed");
    assert_eq!(status["run"]["proof"], "none");
    assert!(status["run"]["ended_at"].is_u64(), "{status:#}");
    windlass.run(["wait", &run]).expect_code(1);
    windlass.run(["attach", &run]).expect_code(1);
    // What was said before the end is kept, whatever the end.
    let logs = windlass.run(["logs", &run]).expect_code(0).out();
    for words in ["no luck", "half", "busy", "signal 9", "exit 7"] {
        assert!(logs.contains(words), "{words} is not in\n{logs}");
    }
}

#[test]
fn each_outcome_alone_has_its_exit_code() {
    let repo = repo();
    let windlass = user(&repo);
    windlass.fake_agent("clean", &["say", "fine"], "");
    windlass.fake_agent("quiet", &[], "");
    windlass.fake_agent("nonzero", &["complain", "no luck", "then", "exit", "7"], "");
    windlass.command_agent("absent", ["no-such-program-anywhere"], "");

    let output = windlass.run(["run", "--agent", "clean", "go"]).expect_code(0);
    assert_eq!(output.out(), "fine\n");
    // Nothing checked it, and nothing says that something did.
    expect_words(&output, &["completed, unproven"]);
    assert!(!output.err().contains('✓'), "{}", output.err());
    assert_eq!(windlass.json(["status", "last", "--json"])["run"]["proof"], "unproven");
    windlass.run(["run", "--agent", "clean", "--require-proof", "go"]).expect_code(1);

    // A command that has nothing to say has still done its work.
    let output = windlass.run(["run", "--agent", "quiet", "go"]).expect_code(0);
    assert_eq!(output.out(), "");

    let output = windlass.run(["run", "--agent", "nonzero", "go"]).expect_code(1);
    assert_eq!(output.out(), "");
    expect_words(&output, &["exit code 7", "no luck", "windlass retry"]);

    let before = windlass.json(["list", "--json"])["runs"].as_array().unwrap().len();
    let output = windlass.run(["run", "--agent", "absent", "go"]).expect_code(5);
    expect_words(&output, &["no-such-program-anywhere", "absent"]);
    assert_eq!(
        windlass.json(["list", "--json"])["runs"].as_array().unwrap().len(),
        before,
        "nothing was created"
    );

    let lines = windlass.run(["run", "--agent", "nonzero", "--json", "go"]).expect_code(1).out();
    let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let (first, last) = (lines.first().unwrap(), lines.last().unwrap());
    assert_eq!(first["type"], "run.created");
    assert_eq!(
        (&last["type"], &last["status"], &last["exit"]),
        (&json!("run.failed"), &json!("failed"), &json!(1))
    );
    assert_eq!(first["run"], last["run"]);
}

#[test]
fn a_cancelled_run_says_so_and_stays_so() {
    let repo = repo();
    let windlass = user(&repo);
    windlass.fake_agent("hangs", &["say", "up", "then", "hang"], "");
    let run = windlass.detach(["--agent", "hangs", "go"]);
    windlass.wait_for(&run, "a start", |events| started(events, "01_hangs"));
    windlass.run(["cancel", &run]).expect_code(0);
    let status = windlass.status(&run);
    assert_eq!(status["run"]["status"], "cancelled");
    assert_eq!(facts(&status["tasks"][0]), json!(["cancelled", [["cancelled", null, null]]]));
    windlass.run(["wait", &run]).expect_code(130);
    windlass.run(["attach", &run]).expect_code(130);
    // A second one has nothing to stop, and says so.
    let again = windlass.run(["cancel", &run]);
    assert_ne!(again.code, Some(0));
    expect_words(&again, &["cancelled already"]);
    assert_eq!(windlass.status(&run)["run"]["status"], "cancelled");
}

fn rehearse(windlass: &Windlass, scenes: Value, workflow: &str) -> Value {
    windlass.model_agent("player", "read");
    windlass.team("play", &["player"], "maxConcurrency: 8", workflow);
    let script = windlass.script(scenes);
    let script = script.to_str().unwrap();
    let run = windlass.detach(["--team", "play", "--runtime", "rehearsal", "--script", script, "see"]);
    windlass.wait_end(&run)
}

#[test]
fn outcomes_of_agents_are_told_apart() {
    let repo = repo();
    let windlass = user(&repo);
    let scene = |step: &str, steps: Value| json!({ "when": { "step": step }, "do": steps });
    let status = rehearse(
        &windlass,
        json!([
            scene("clean", json!([{ "say": "thinking" }, { "answer": "the answer\n" }])),
            scene(
                "provider",
                json!([{ "say": "so far so good" }, { "fail": { "class": "bad_request", "message": "no such model" } }])
            ),
            scene("auth", json!([{ "fail": { "class": "auth", "message": "the key is wrong" } }])),
            scene("empty", json!([{ "say": "hm" }, { "answer": "" }])),
            scene("cut", json!([{ "say": "I am about to" }, { "exit": 0 }])),
            scene("nonzero", json!([{ "say": "I am about to" }, { "exit": 9 }])),
            scene("silent", json!(["hang"])),
            scene("slow", json!([{ "say": "working" }, "hang"])),
        ]),
        "## clean\nrole: player\n\ngo\n\
         ## provider\nrole: player\nattempts: 1\n\ngo\n\
         ## auth\nrole: player\n\ngo\n\
         ## empty\nrole: player\nattempts: 1\n\ngo\n\
         ## cut\nrole: player\nattempts: 1\n\ngo\n\
         ## nonzero\nrole: player\nattempts: 1\n\ngo\n\
         ## silent\nrole: player\nattempts: 1\nsilence: 1s\n\ngo\n\
         ## slow\nrole: player\nattempts: 1\nsilence: 60s\ntimeout: 1s\n\ngo\n\
         ## unscripted\nrole: player\nattempts: 1\n\ngo\n",
    );
    for (step, wanted) in [
        ("clean", json!(["completed", [["completed", 0, null]]])),
        ("provider", json!(["failed", [["failed", 0, "bad_request"]]])),
        // Two starts are allowed; a wrong key is not tried twice.
        ("auth", json!(["failed", [["failed", 0, "auth"]]])),
        ("empty", json!(["failed", [["failed", 0, "empty_output"]]])),
        ("cut", json!(["failed", [["failed", 0, "no_terminal_event"]]])),
        ("nonzero", json!(["failed", [["failed", 9, "exit"]]])),
        ("silent", json!(["failed", [["failed", null, "silence"]]])),
        ("slow", json!(["failed", [["failed", null, "wall_clock"]]])),
        ("unscripted", json!(["failed", [["failed", 0, "bad_request"]]])),
    ] {
        assert_eq!(facts(task(&status, step)), wanted, "{step}: {:#}", task(&status, step));
    }
    assert_eq!(status["run"]["status"], "failed");
    assert_eq!(task(&status, "provider")["error"]["kind"], "bad_request");
    assert!(
        task(&status, "provider")["error"]["message"].as_str().unwrap().contains("no such model"),
        "{status:#}"
    );
    // The provider's error came with exit code 0: the recorded end of the process says so.
    let run = status["run"]["id"].as_str().unwrap();
    let provider = windlass.run(["logs", &format!("{run}/provider")]).expect_code(0).out();
    assert!(provider.contains("so far so good") && provider.contains("no such model"), "{provider}");
}

#[test]
fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    let repo = repo();
    let windlass = user(&repo);
    let overloaded = |n: u32| {
        json!({ "when": { "step": "overloaded", "attempt": n },
                "do": [{ "fail": { "class": "overloaded", "message": "try later" } }] })
    };
    let status = rehearse(
        &windlass,
        json!([
            overloaded(1),
            { "when": { "step": "overloaded" }, "do": [{ "answer": "at last" }] },
            { "when": { "step": "never" }, "do": [{ "fail": { "class": "rate_limit", "message": "slow down" } }] },
            { "when": { "step": "wrong" }, "do": [{ "fail": { "class": "quota", "message": "no credit" } }] },
        ]),
        "## overloaded\nrole: player\nattempts: 3\n\ngo\n\
         ## never\nrole: player\nattempts: 2\n\ngo\n\
         ## wrong\nrole: player\nattempts: 3\n\ngo\n",
    );
    let overloaded = facts(task(&status, "overloaded"));
    assert_eq!(overloaded, json!(["completed", [["failed", 0, "overloaded"], ["completed", 0, null]]]));
    // Not more than the stated worst case.
    let never = facts(task(&status, "never"));
    assert_eq!(never, json!(["failed", [["failed", 0, "rate_limit"], ["failed", 0, "rate_limit"]]]));
    assert_eq!(facts(task(&status, "wrong")), json!(["failed", [["failed", 0, "quota"]]]));
    assert_eq!(status["run"]["worst_case_starts"], 8);

    // A back-off lies between the attempts, and each is one start: the worker itself counts them.
    let run = status["run"]["id"].as_str().unwrap();
    let events = windlass.events(run);
    let times = |kind: &str, n: u64| {
        let found = events
            .iter()
            .find(|e| e["type"] == kind && e["data"]["task"] == "02_never" && e["data"]["n"] == n);
        found.unwrap_or_else(|| panic!("no {kind} {n}"))["at"].as_i64().unwrap()
    };
    assert!(times("attempt.started", 2) >= times("attempt.ended", 1) + 1_000, "{events:#?}");

    let count = repo.beside().join("starts");
    windlass.fake_agent("killed", &["append", count.to_str().unwrap(), "start", "then", "signal", "9"], "");
    windlass.fake_agent("nonzero", &["append", count.to_str().unwrap(), "start", "then", "exit", "1"], "");
    let output = windlass.run(["run", "--agent", "killed", "go"]).expect_code(1);
    expect_words(&output, &["waits before it tries again", "signal 9"]);
    // No provider is to blame for what happened to a command.
    assert!(!output.err().contains("provider"), "{}", output.err());
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "start\nstart\n");
    windlass.run(["run", "--agent", "nonzero", "go"]).expect_code(1);
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "start\nstart\nstart\n");
    // A person's retry grants new starts, recorded as new attempts of the same task.
    windlass.run(["retry", "last"]).expect_code(1);
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "start\nstart\nstart\nstart\n");
    let status = windlass.json(["status", "last", "--json"]);
    assert_eq!(facts(&status["tasks"][0]), json!(["failed", [["failed", 1, "exit"], ["failed", 1, "exit"]]]));
}

/// The head and the tail of a result that is far larger than a prompt may be.
fn long_text() -> String {
    let middle: String = (0..40_000).map(|n| format!("line {n} of the middle\n")).collect();
    format!("FIRST LINE OF ALL\n{middle}LAST LINE OF ALL\n")
}

#[test]
fn outputs_reach_dependants_whole_on_disk_and_bounded_in_the_prompt() {
    let repo = repo();
    let windlass = user(&repo);
    let long = repo.beside().join("long.txt");
    std::fs::write(&long, long_text()).unwrap();
    windlass.command_agent("maker", ["cat", long.to_str().unwrap()], "");
    windlass.fake_agent("echo", &["cat"], "");
    windlass.fake_agent("short", &["say", "short and whole"], "");
    windlass.model_agent("player", "read");
    windlass.team(
        "chain",
        &["maker", "echo", "short", "player"],
        "",
        "## make\nrole: maker\noutput: report.txt\n\ngo\n\
         ## brief\nrole: short\noutput: notes/brief.txt\n\ngo\n\
         ## use\nrole: echo\ndependsOn: make, brief\n\nlook at it\n\
         ## reads\nrole: echo\ndependsOn: use\nreads: report.txt, notes/brief.txt\n\nlook at it\n\
         ## model\nrole: player\ndependsOn: make, brief\n\nlook at it\n",
    );
    let script = windlass.script(json!([{ "do": [{ "answer": "seen" }] }]));
    let run = windlass.detach([
        "--team",
        "chain",
        "--runtime",
        "rehearsal",
        "--script",
        script.to_str().unwrap(),
        "g",
    ]);
    let status = windlass.wait_end(&run);
    assert_eq!(status["run"]["status"], "completed", "{status:#}");

    let made = PathBuf::from(task(&status, "make")["result"]["path"].as_str().unwrap());
    assert_eq!(std::fs::read_to_string(&made).unwrap(), long_text(), "whole on disk");
    assert_eq!(task(&status, "make")["result"]["bytes"], long_text().len());
    let shown = windlass.run(["show", &format!("{run}/make")]).expect_code(0);
    assert_eq!(shown.out(), long_text());

    // What a command is told on standard input, and what a model is told in its prompt.
    let runs = made.parent().unwrap().parent().unwrap().join("prompts");
    let prompt_of_model = std::fs::read_dir(&runs)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.file_name().unwrap().to_str().unwrap().starts_with("05_model"))
        .map(|p| std::fs::read_to_string(p).unwrap())
        .expect("the model's prompt is kept");
    let told = |step: &str| windlass.run(["show", &format!("{run}/{step}")]).expect_code(0).out();
    for (who, text) in [("use", told("use")), ("reads", told("reads")), ("model", prompt_of_model)] {
        let has = |words: &str| text.contains(words);
        assert!(has("look at it"), "{who} is not told its task:\n{text}");
        assert!(has("FIRST LINE OF ALL") && has("LAST LINE OF ALL"), "{who} misses head or tail");
        assert!(has("short and whole"), "{who} misses the short one:\n{text}");
        assert!(!has("line 20000 of the middle"), "{who} is told the middle");
        assert!(has(made.to_str().unwrap()), "{who} is not told where the whole is");
        assert!(has("left out"), "{who} is not told that something is left out");
        assert!(text.len() < 100_000, "{who} is told {} bytes", text.len());
    }
}

#[test]
fn a_line_of_200_mb_costs_no_memory() {
    let repo = repo();
    let windlass = user(&repo);
    let go = repo.beside().join("go");
    let bytes = 200 << 20;
    windlass.fake_agent("loud", &["line", &bytes.to_string(), "then", "wait", go.to_str().unwrap()], "");
    let run = windlass.detach(["--agent", "loud", "go"]);
    // It has said everything and is still there, with its shim.
    let spool = |windlass: &Windlass| -> u64 {
        let found = find(&windlass.home().join("state"), "01_loud.1");
        found.and_then(|path| path.metadata().ok()).map_or(0, |meta| meta.len())
    };
    process::wait_until_within(LONG, "the whole line on disk", || spool(&windlass) > bytes);
    let peaks: Vec<(String, u64)> = windlass
        .processes()
        .into_iter()
        .filter(|p| !p.command.contains("windlass-fake-worker"))
        .map(|p| (p.command.clone(), peak_kb(p.pid)))
        .collect();
    std::fs::write(&go, "").unwrap();
    process::wait_until_within(LONG, "the run's end", || windlass.status(&run)["run"]["ended_at"].is_u64());
    let status = windlass.status(&run);
    assert_eq!(status["run"]["status"], "completed", "{status:#}");
    let daemon = windlass.daemon_pid().expect("the daemon");
    let after = peak_kb(daemon);
    assert!(peaks.len() >= 2, "daemon and shim: {peaks:?}");
    for (command, kb) in peaks.iter().chain([&("the daemon, in the end".to_owned(), after)]) {
        assert!(*kb > 0 && *kb < 60_000, "{command} needed {kb} kB: {peaks:?}");
    }
    // Not a byte of it is lost.
    let mut raw = windlass.command(["logs", &run, "--raw"]);
    raw.stdout(std::process::Stdio::piped());
    let mut child = raw.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let (mut count, mut strange, mut buffer) = (0u64, 0u64, vec![0; 1 << 20]);
    while let n @ 1.. = std::io::Read::read(&mut out, &mut buffer).unwrap() {
        count += n as u64;
        strange += buffer[..n].iter().filter(|b| **b != b'x').count() as u64;
    }
    assert!(child.wait().unwrap().success());
    assert_eq!((count, strange), (bytes + 1, 1));
    // What is handed on is bounded, and it is said that it is not all.
    let shown = windlass.run(["show", &format!("{run}/loud")]).expect_code(0).stdout;
    assert!((1 << 20..8 << 20).contains(&shown.len()), "{} bytes", shown.len());
    let notices = windlass.status(&run)["run"]["notices"].to_string();
    assert!(notices.contains(&shown.len().to_string()) && notices.contains("--raw"), "{notices}");
}

/// The most memory a process ever had, in kB.
fn peak_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn find(folder: &std::path::Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if entry.file_name().to_str() == Some(name) {
            return Some(path);
        }
        if path.is_dir()
            && let Some(found) = find(&path, name)
        {
            return Some(found);
        }
    }
    None
}

#[test]
fn bytes_that_are_no_text_come_through_exactly() {
    let repo = repo();
    let windlass = user(&repo);
    let exact: &[u8] = b"valid \xff\xfe\xc3( \xf0\x9f broken\n";
    windlass.fake_agent("bytes", &["invalid-utf8"], "");
    let output = windlass.run(["run", "--agent", "bytes", "go"]).expect_code(0);
    assert_eq!(output.stdout, exact);
    for command in [&["show", "last/bytes"][..], &["logs", "last/bytes", "--raw"]] {
        assert_eq!(windlass.run(command).expect_code(0).stdout, exact, "{command:?}");
    }
    // No line break is invented either.
    windlass.command_agent("bare", ["printf", "no end\\000\\r"], "");
    assert_eq!(windlass.run(["run", "--agent", "bare", "go"]).expect_code(0).stdout, b"no end\0\r");
}

/// What a hostile worker prints: a cleared screen, a title, a colour, an 8-bit control, a carriage return over what is
/// there, turned text, hidden text.
const HOSTILE: &str =
    "A\u{1b}[2JB\u{1b}]0;owned\u{7}C\u{1b}[31mD\u{9b}5mE\rF\u{202e}G\u{2066}H\u{200b}I\u{8}J";

fn harmless(bytes: &[u8], what: &str) {
    let text = String::from_utf8_lossy(bytes);
    for (name, sign) in [
        ("clear", "B\u{1b}]"),
        ("clear", "A\u{1b}[2J"),
        ("title", "\u{1b}]0;owned"),
        ("colour", "\u{1b}[31mD"),
        ("8-bit control", "\u{9b}5m"),
        ("turned text", "\u{202e}"),
        ("isolated text", "\u{2066}"),
        ("hidden text", "\u{200b}"),
        ("backspace", "\u{8}"),
        ("return", "E\rF"),
    ] {
        assert!(!text.contains(sign), "{what}: {name} reached the terminal: {text:?}");
    }
}

#[test]
fn nothing_of_a_worker_acts_on_a_terminal() {
    let repo = repo();
    let windlass = user(&repo);
    let (up, go) = (repo.beside().join("up"), repo.beside().join("go"));
    let (up, go) = (up.to_str().unwrap(), go.to_str().unwrap());
    windlass.fake_agent(
        "hostile",
        &["say", HOSTILE, "then", "complain", HOSTILE, "then", "write", up, "x", "then", "wait", go],
        "",
    );
    windlass.fake_agent("fails", &["complain", HOSTILE, "then", "exit", "1"], "");

    let watched = windlass.terminal(["run", "--agent", "hostile", HOSTILE], 30, 100);
    process::wait_until("the worker to have spoken", || std::path::Path::new(up).exists());
    let run = windlass.json(["list", "--json"])["runs"][0]["id"].as_str().unwrap().to_owned();
    for args in [&["status", &run][..], &["logs", &run], &["list"], &["show", &run], &["events", &run]] {
        let terminal = windlass.terminal(args, 30, 100);
        let raw = drain(terminal);
        harmless(&raw, &format!("{args:?}"));
    }
    std::fs::write(go, "").unwrap();
    let raw = drain(watched);
    harmless(&raw, "watching");
    assert!(String::from_utf8_lossy(&raw).contains("owned"), "it was shown at all");
    for args in [
        &["status", &run][..],
        &["logs", &run],
        &["show", &run],
        &["show", &format!("{run}/hostile")],
        &["events", &run],
        &["attach", &run],
        &["graph", &run],
        &["artifacts", &run],
    ] {
        harmless(&drain(windlass.terminal(args, 30, 100)), &format!("{args:?} afterwards"));
    }
    // A failure quotes what the worker said.
    let failed = drain(windlass.terminal(["run", "--agent", "fails", "go"], 30, 100));
    harmless(&failed, "a failure");
    assert!(
        String::from_utf8_lossy(&failed).contains("code 1: ABCD"),
        "{}",
        String::from_utf8_lossy(&failed)
    );
    // Where no terminal is, standard output is the worker's, byte for byte; standard error is still ours.
    let output = windlass.run(["run", "--agent", "hostile", "go"]).expect_code(0);
    assert_eq!(output.out(), format!("{HOSTILE}\n"));
    harmless(&output.stderr, "standard error");
    harmless(&windlass.run(["logs", "last"]).expect_code(0).stdout, "logs in a pipe");
}

/// Every byte that a program wrote to its terminal until its end.
#[track_caller]
fn drain(terminal: Terminal) -> Vec<u8> {
    let (_, _, raw) = terminal.wait_all();
    assert!(!String::from_utf8_lossy(&raw).contains("panicked"), "{}", String::from_utf8_lossy(&raw));
    raw
}
