//! The fake worker does what its arguments say, and the process helpers see it.

use std::process::Command;
use windlass_testkit::process::{Running, alive_with, is_alive, run, signal_pid, wait_until};
use windlass_testkit::programs::{fake_worker, noop};

fn worker(steps: &str) -> Command {
    let mut command = Command::new(fake_worker());
    command.args(steps.split_whitespace());
    command
}

#[test]
fn ends_are_told_apart() {
    assert_eq!(run(worker(""), b"").code, Some(0));
    assert_eq!(run(worker("say a then exit 7"), b"").expect_code(7).out(), "a\n");
    assert_eq!(run(worker("signal 9"), b"").signal, Some(9));
    assert_eq!(run(worker("signal 11"), b"").signal, Some(11));
    assert_eq!(run(worker("dance"), b"").code, Some(2));
    assert_eq!(run(Command::new(noop()), b"").code, Some(0));
}

#[test]
fn output_is_exact() {
    assert_eq!(run(worker("print 1000 10"), b"").stdout.split(|byte| *byte == b'\n').count(), 101);
    let line = run(worker("line 3000000"), b"").stdout;
    assert_eq!((line.len(), line.iter().filter(|byte| **byte == b'\n').count()), (3_000_001, 1));
    assert!(std::str::from_utf8(&run(worker("invalid-utf8"), b"").stdout).is_err());
    assert_eq!(run(worker("cat"), b"a\0b").stdout, b"a\0b");
    let mut command = worker("env WINDLASS_TASK then env ABSENT");
    command.env("WINDLASS_TASK", "t1");
    assert_eq!(run(command, b"").out(), "WINDLASS_TASK=t1\nABSENT is not set\n");
}

#[test]
fn files_are_written_and_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = worker("write here yes then wait go then append starts one then exit 3");
    command.current_dir(folder.path());
    let running = Running::start(command);
    wait_until("the first file", || folder.path().join("here").exists());
    assert!(is_alive(running.pid()));
    std::fs::write(folder.path().join("go"), "").unwrap();
    running.wait().expect_code(3);
    assert_eq!(std::fs::read_to_string(folder.path().join("starts")).unwrap(), "one\n");
}

#[test]
fn a_stubborn_worker_ends_only_by_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = worker("stubborn then write up yes then wait down then exit 4");
    command.current_dir(folder.path());
    let running = Running::start(command);
    wait_until("the worker to be up", || folder.path().join("up").exists());
    running.signal(15);
    running.signal(2);
    std::fs::write(folder.path().join("down"), "").unwrap();
    running.wait().expect_code(4);
}

#[test]
fn a_tree_is_three_levels_deep_and_holds_its_output() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().display().to_string();
    let mut command = Command::new(fake_worker());
    command.arg("tree").arg(folder.path()).env("MARKER", &marker);
    let mut running = Running::start(command);
    wait_until("three levels", || (1..=3).all(|level| folder.path().join(format!("level{level}")).exists()));
    let pid = |level: u32| -> u32 {
        std::fs::read_to_string(folder.path().join(format!("level{level}"))).unwrap().parse().unwrap()
    };
    let pids = [pid(1), pid(2), pid(3)];
    assert_eq!(pids[0], running.pid());
    let stat = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session =
        |pid: u32| stat(pid).rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session(pids[1]), pids[1].to_string(), "level 2 leads a session of its own");
    assert_eq!(session(pids[2]), pids[2].to_string(), "level 3 leads a session of its own");
    assert_eq!(
        std::fs::read_link(format!("/proc/{}/fd/1", pids[2])).unwrap(),
        std::fs::read_link(format!("/proc/{}/fd/1", pids[0])).unwrap(),
        "level 3 holds the same standard output"
    );
    wait_until("level 1 to ignore signals", || {
        // SigIgn has bit 14 (SIGTERM) set.
        let status = std::fs::read_to_string(format!("/proc/{}/status", pids[0])).unwrap();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
        u64::from_str_radix(ignored, 16).unwrap() & (1 << 14) != 0
    });
    for pid in pids {
        signal_pid(pid, 15);
    }
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    let found: Vec<u32> = alive_with(&marker).into_iter().map(|process| process.pid).collect();
    for pid in pids {
        assert!(found.contains(&pid), "{pid} is not in {found:?}");
        signal_pid(pid, 9);
    }
    wait_until("the tree to be gone", || running.has_ended() && alive_with(&marker).is_empty());
}
