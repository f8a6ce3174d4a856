//! The parts of the harness that need no `windlass`: a shell script stands in for the binary.

use std::process::Command;
use windlass_testkit::process::{Running, wait_until};
use windlass_testkit::terminal::{CTRL_C, Terminal, render};
use windlass_testkit::{TempRepo, Windlass};

fn script(repo: &TempRepo, text: &str) -> std::path::PathBuf {
    repo.write_executable("../windlass", format!("#!/bin/sh\n{text}"))
}

#[test]
fn a_user_has_a_world_of_their_own() {
    let repo = TempRepo::new();
    let binary = script(&repo, "pwd; echo \"$1\"; env; exit 5\n");
    let mut windlass = Windlass::in_repo(binary, &repo);
    windlass.set("EXTRA", "yes").unset("USER");
    let output = windlass.run(["one two"]).expect_code(5).out();
    let mut lines = output.lines();
    assert_eq!(lines.next(), repo.path().to_str());
    assert_eq!(lines.next(), Some("one two"));
    let has = |line: &str| output.lines().any(|other| other == line);
    assert!(has("EXTRA=yes") && has("GIT_CONFIG_GLOBAL=/dev/null"));
    assert!(has(&format!("HOME={}", windlass.user_home().display())));
    assert!(!output.contains("CARGO") && !output.contains("\nUSER="), "{output}");
}

#[test]
fn json_and_events_are_read() {
    let repo = TempRepo::new();
    let binary = script(
        &repo,
        "case \"$*\" in\n\
         'run --detach --json fix it') echo '{\"run\":\"k7m2qd\"}';;\n\
         'events k7m2qd --json --since 0') echo '{\"seq\":1}'; echo '{\"seq\":2}';;\n\
         'events k7m2qd --json --since 2') echo '{\"seq\":3,\"type\":\"run.completed\"}';;\n\
         'status k7m2qd --json') echo '{\"run\":{\"status\":\"completed\"}}';;\n\
         *) exit 2;;\nesac\n",
    );
    let windlass = Windlass::in_repo(binary, &repo);
    let run = windlass.detach(["fix it"]);
    let events = windlass.wait_for(&run, "the end", |events| {
        events.last().is_some_and(|event| event["type"] == "run.completed")
    });
    assert_eq!(events.len(), 3);
    assert_eq!(windlass.wait_end(&run)["run"]["status"], "completed");
    assert_eq!(windlass.daemon_pid(), None);
}

#[test]
fn nothing_of_a_user_is_left() {
    let repo = TempRepo::new();
    // "run" leaves a process behind that holds no stream, as a daemon does.
    let binary = script(
        &repo,
        "[ \"$1\" = run ] || exit 1\nsetsid sleep 1000 </dev/null >/dev/null 2>&1 &\necho $!\n",
    );
    let windlass = Windlass::in_repo(binary, &repo);
    windlass.run(["run"]).expect_code(0);
    wait_until("the process left behind", || windlass.processes().iter().any(|p| p.command == "sleep 1000"));
    let pids: Vec<u32> = windlass.processes().iter().map(|process| process.pid).collect();
    drop(windlass);
    assert!(pids.iter().all(|pid| !windlass_testkit::process::is_alive(*pid)));
}

#[test]
fn a_held_stream_is_found() {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 1000 & echo $!"]);
    let running = Running::start(command);
    let pid: u32 = running.wait_stdout("the pid", |text| text.ends_with('\n')).trim().parse().unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        running.wait_within(std::time::Duration::from_millis(300))
    }));
    windlass_testkit::process::signal_pid(pid, 9);
    let message = *result.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("still held its streams"), "{message}");
}

#[test]
fn a_terminal_shows_its_screen_and_has_a_size() {
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        "trap 'stty size; exit 9' WINCH; stty size; printf '\\033[31mred\\033[0m\\r\\n'; printf 'gone\\rkept\\n'; read word; echo \"got $word\"; \
         while :; do sleep 0.01; done",
    ]);
    command.env("PATH", "/usr/bin:/bin");
    let mut terminal = Terminal::start(&command, 30, 100);
    let screen = terminal.wait_screen("the third line", |screen| screen.contains("kept"));
    assert_eq!(screen, "30 100\nred\nkept");
    terminal.send("word\n");
    terminal.wait_screen("the answer", |screen| screen.contains("got word"));
    terminal.resize(5, 20);
    let (code, screen) = terminal.wait();
    assert_eq!(code, 9);
    assert!(screen.contains("5 20"), "{screen}");
}

#[test]
fn ctrl_c_reaches_a_program_on_a_terminal() {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap 'echo interrupted; exit 130' INT; echo ready; while :; do sleep 0.01; done"]);
    command.env("PATH", "/usr/bin:/bin");
    let mut terminal = Terminal::start(&command, 24, 80);
    terminal.wait_screen("it to be ready", |screen| screen.contains("ready"));
    terminal.send(CTRL_C);
    let (code, screen) = terminal.wait();
    assert_eq!(code, 130);
    assert!(screen.contains("interrupted"), "{screen}");
}

#[test]
fn recordings_are_rendered() {
    assert_eq!(render(b"one\r\n\x1b[2K\x1b[1mtwo\x1b[0m   ", 5, 20), "one\ntwo");
    assert_eq!(render("\u{1f980}\u{2713} ok".as_bytes(), 1, 300), "\u{1f980}\u{2713} ok");
}
