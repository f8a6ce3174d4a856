//! The goal, from wherever it comes, and results to wherever they go.

use super::{calm, refused, runs, world};
use std::process::Stdio;
use windlass_testkit::process;

#[test]
fn a_goal_is_read_from_standard_input_only_for_a_dash() {
    let (_repo, windlass) = world();
    windlass.fake_agent("echo", &["cat"], "");
    let goal = "Mend it:\n\n- the parser\n- `the` \"lexer\" $HOME {goal} \u{fc}\u{1f600}\n";
    let output = windlass.run_with_input(["run", "--agent", "echo", "-"], goal.as_bytes()).expect_code(0);
    assert_eq!(output.out(), goal.trim_end(), "as it was written");
    let status = windlass.json(["status", "last", "--json"]);
    assert_eq!(status["run"]["goal"], goal.trim_end());
    // What is typed wins, and standard input stays unread.
    let output = windlass.run_with_input(["run", "--agent", "echo", "typed"], b"not this").expect_code(0);
    assert_eq!(output.out(), "typed");
    let output = windlass.run_with_input(["run", "--agent", "echo", "-"], b"no \xff text");
    assert_eq!(output.code, Some(2));
    assert!(output.err().contains("UTF-8"), "{}", output.err());
    calm(&output, &["run -"]);
}

#[test]
fn no_goal_starts_nothing() {
    let (_repo, windlass) = world();
    windlass.fake_agent("echo", &["cat"], "");
    refused(&windlass, &["run"], 2, &["there is no goal", "windlass run"]);
    // An unset variable in a script.
    refused(&windlass, &["run", ""], 2, &["there is no goal"]);
    refused(&windlass, &["run", " \n\t "], 2, &["there is no goal"]);
    refused(&windlass, &["run", "-"], 2, &["there is no goal"]);
    refused(&windlass, &["run", "--team", "default"], 2, &["there is no goal"]);
    refused(&windlass, &["run", "--agent", "executor", ""], 2, &["there is no goal"]);
    assert_eq!(runs(&windlass), 0);
    // A command may know by itself what to do; `checks` and `review` do.
    windlass.run(["run", "--agent", "echo"]).expect_code(0);
    windlass.run(["run", "--team", "review", "--runtime", "scaffold", "--dry-run"]).expect_code(0);
}

#[test]
fn a_goal_in_an_editor() {
    let (repo, mut windlass) = world();
    windlass.fake_agent("echo", &["cat"], "");
    windlass.run(["config", "set", "run.team", "mine"]).expect_code(0);
    windlass.team("mine", &["echo"], "", "## echo\n\n{goal}\n");
    let editor = repo.beside().join("editor");
    std::fs::write(
        &editor,
        "#!/bin/sh\n[ -n \"$TYPED\" ] && printf '%s\\n' \"$TYPED\" >> \"$1\"\nexit ${FAILS:-0}\n",
    )
    .unwrap();
    std::fs::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    windlass.set("EDITOR", &editor).set("TYPED", "written in an editor");
    let (code, screen) = windlass.terminal(["run"], 40, 100).wait();
    assert_eq!(code, 0, "{screen}");
    assert_eq!(windlass.json(["status", "last", "--json"])["run"]["goal"], "written in an editor");
    windlass.set("FAILS", "1");
    let (code, screen) = windlass.terminal(["run"], 40, 100).wait();
    assert!(code == 2 && screen.contains("exit status: 1"), "{code} {screen}");
    windlass.set("FAILS", "0").set("TYPED", "");
    let (code, screen) = windlass.terminal(["run"], 40, 100).wait();
    assert!(code == 2 && screen.contains("empty"), "{code} {screen}");
    assert_eq!(runs(&windlass), 1);
}

#[test]
fn a_goal_has_a_limit_that_is_said() {
    let (_repo, windlass) = world();
    windlass.fake_agent("echo", &["cat"], "");
    // As long as may be: it reaches the worker whole.
    let long = "words ".repeat(40_000);
    let output = windlass.run_with_input(["run", "--agent", "echo", "-"], long.as_bytes()).expect_code(0);
    assert_eq!(output.out(), long.trim_end());
    assert!(output.err().len() < 10_000, "{} bytes of card", output.err().len());
    for size in [300_000, 5_000_000] {
        let output = windlass.run_with_input(["run", "--agent", "echo", "-"], "x".repeat(size).as_bytes());
        assert_eq!(output.code, Some(2), "{}", output.err());
        assert!(output.err().contains("limit") || output.err().contains("longer than"), "{}", output.err());
        calm(&output, &["run -"]);
    }
    assert_eq!(runs(&windlass), 1);
    // Bytes that act on a terminal, in the goal itself.
    let output = windlass.run(["run", "--agent", "echo", "a\u{1b}[2Jb\u{202e}c"]).expect_code(0);
    assert!(!output.err().contains("\u{1b}[2J") && !output.err().contains('\u{202e}'), "{:?}", output.err());
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let (_repo, windlass) = world();
    windlass.fake_agent("loud", &["print", "3000000"], "");
    windlass.fake_agent("quiet", &["say", "x"], "");
    windlass.run(["run", "--agent", "loud", "go"]).expect_code(0);
    let leave = |args: &[&str]| {
        let mut command = windlass.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        // The other end is closed before anything is written, as `| true` does.
        drop(child.stdout.take());
        let mut err = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut err).unwrap();
        let status = child.wait().unwrap();
        assert!(!err.contains("panicked") && !err.contains("roken pipe"), "{args:?}: {err}");
        assert_eq!(status.code(), Some(0), "{args:?}: {err}");
    };
    for args in [
        &["run", "--agent", "loud", "go"][..],
        &["run", "--agent", "quiet", "--json", "go"],
        &["show", "last/quiet"],
        &["logs", "last"],
        &["events", "last"],
        &["events", "last", "--json"],
        &["status"],
        &["status", "--json"],
        &["list"],
        &["list", "--json"],
        &["graph", "last"],
        &["agents"],
        &["config", "list"],
        &["config", "schema"],
        &["man"],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
        &["version"],
        &["daemon", "status"],
        &["doctor", "--json"],
        &["validate"],
    ] {
        leave(args);
    }
    // A disk that is full is one, and the run itself is not lost by it.
    let mut full = windlass.command(["run", "--agent", "loud", "go"]);
    let device = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    full.stdout(device).stderr(Stdio::piped()).stdin(Stdio::null());
    let output = full.output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output cannot be written"));
    assert_eq!(windlass.json(["status", "last", "--json"])["run"]["status"], "completed");
}

#[test]
fn closed_streams_do_no_harm() {
    let (_repo, windlass) = world();
    windlass.fake_agent("quiet", &["say", "x"], "");
    for close in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        for line in ["run --agent quiet go", "list", "status", "doctor"] {
            let mut shell = windlass.command(["version"]);
            let program = shell.get_program().to_str().unwrap().to_owned();
            let mut command = std::process::Command::new("sh");
            command.args(["-c", &format!("{program} {line} {close}; echo code $? > code")]);
            for (name, value) in shell.get_envs() {
                command.env(name, value.unwrap());
            }
            command.current_dir(windlass.user_home());
            shell.env_clear();
            let output = process::run(command, b"");
            assert!(!output.err().contains("panicked"), "{line} {close}: {}", output.err());
            let code = std::fs::read_to_string(windlass.user_home().join("code")).unwrap();
            assert!(
                ["code 0\n", "code 5\n"].contains(&code.as_str()),
                "{line} {close}: {code} {}",
                output.err()
            );
        }
    }
    for run in windlass.json(["list", "--all", "--json"])["runs"].as_array().unwrap() {
        assert_eq!(run["status"], "completed", "{run}");
    }
}
