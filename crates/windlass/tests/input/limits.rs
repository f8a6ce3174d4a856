//! Very many tasks, very long paths, and places that cannot be written.

use super::{calm, refused, runs, world};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use windlass_testkit::process;

fn peak_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A workflow of so many steps; each depends on what `after` says.
fn steps(count: usize, after: impl Fn(usize) -> Option<usize>) -> String {
    let mut text = String::new();
    for n in 0..count {
        write!(text, "## s{n}\nrole:w\n").unwrap();
        if let Some(before) = after(n) {
            writeln!(text, "dependsOn:s{before}").unwrap();
        }
    }
    text
}

#[test]
fn a_hundred_thousand_steps_are_refused_in_words() {
    let (_repo, windlass) = world();
    windlass.fake_agent("w", &["say", "x"], "");
    windlass.team("huge", &["w"], "", &steps(100_000, |_| None));
    refused(&windlass, &["run", "--team", "huge", "go"], 2, &["huge.workflow.md", "1024 kB"]);
    refused(&windlass, &["run", "--team", "huge", "--dry-run", "go"], 2, &["huge.workflow.md"]);
    let checked = windlass.run(["validate"]).expect_code(2);
    assert!(checked.out().contains("1024 kB"), "{}", checked.out());
    assert_eq!(runs(&windlass), 0);
    if let Some(daemon) = windlass.daemon_pid() {
        assert!(peak_kb(daemon) < 100_000, "{} kB", peak_kb(daemon));
    }
    // Nobody else is harmed by it.
    windlass.run(["run", "--agent", "w", "go"]).expect_code(0);
}

#[test]
fn tens_of_thousands_of_tasks_are_bounded_work() {
    let (repo, windlass) = world();
    let go = repo.beside().join("go");
    windlass.fake_agent("w", &["wait", go.to_str().unwrap()], "");
    // All at once, and each after the one before.
    windlass.team("wide", &["w"], "maxConcurrency: 4", &steps(30_000, |_| None));
    windlass.team("deep", &["w"], "maxConcurrency: 4", &steps(20_000, |n| n.checked_sub(1)));
    for (team, count) in [("wide", 30_000), ("deep", 20_000)] {
        let run = windlass.detach(["--team", team, "go"]);
        windlass.wait_for(&run, "a first start", |e| e.iter().any(|e| e["type"] == "attempt.started"));
        let status = windlass.status(&run);
        assert_eq!(status["tasks"].as_array().unwrap().len(), count);
        assert_eq!(status["run"]["status"], "running");
        // No more at once than was allowed, however many could.
        let live = windlass.processes().iter().filter(|p| p.command.contains("windlass-fake-worker")).count();
        assert!(live <= 4, "{live} at once");
        // What people see of it stays small.
        let shown = windlass.run(["status", &run]).expect_code(0).out();
        assert!(shown.lines().count() < 200, "{} lines", shown.lines().count());
        windlass.run(["cancel", &run]).expect_code(0);
        let status = windlass.status(&run);
        assert_eq!(status["run"]["status"], "cancelled");
        let open = status["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|t| t["status"] != "cancelled" && t["status"] != "skipped");
        assert_eq!(open.count(), 0);
        let daemon = windlass.daemon_pid().expect("the daemon");
        assert!(peak_kb(daemon) < 700_000, "{team}: {} kB", peak_kb(daemon));
        windlass.run(["rm", &run, "--yes"]).expect_code(0);
    }
    let left: Vec<_> =
        windlass.processes().into_iter().filter(|p| p.command.contains("fake-worker")).collect();
    assert_eq!(left, []);
}

/// Folders that nobody can write to: below a plain file, in a file system of the kernel, and without the right (which root has).
fn closed(beside: &Path) -> Vec<PathBuf> {
    let file = beside.join("a-file");
    std::fs::write(&file, "x").unwrap();
    let folder = beside.join("read-only");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    let mut all = vec![file.join("home"), PathBuf::from("/proc/windlass-home")];
    if std::fs::create_dir(folder.join("probe")).is_err() {
        all.push(folder);
    }
    all
}

#[test]
fn a_home_that_cannot_be_written_is_said_and_nothing_is_started() {
    let (repo, mut windlass) = world();
    windlass.unset("XDG_RUNTIME_DIR");
    let marker = repo.beside().join("started");
    for home in closed(&repo.beside()) {
        windlass.set("WINDLASS_HOME", &home);
        let path = home.to_str().unwrap();
        let said: String = {
            let output = windlass
                .run(["run", "--team", "checks", "--gate", &format!("touch {}", marker.display())])
                .expect_code(5);
            calm(&output, &["run"]);
            output.err().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert!(said.contains(path) && said.contains("WINDLASS_HOME"), "{said}");
        assert_eq!(said.matches("os error").count(), 1, "{said}");
        for (args, code) in [
            (&["run", "--no-daemon", "--team", "checks"][..], 5),
            (&["demo"], 5),
            (&["daemon", "start"], 5),
            (&["config", "set", "run.budget_usd", "1"], 5),
            (&["agents", "new", "mine"], 5),
        ] {
            let output = windlass.run(args);
            calm(&output, args);
            assert_eq!(output.code, Some(code), "{args:?}: {}", output.err());
        }
        // Looking needs no writing.
        for args in
            [&["list"][..], &["agents"], &["teams"], &["config", "list"], &["version"], &["daemon", "status"]]
        {
            let output = windlass.run(args).expect_code(0);
            calm(&output, args);
        }
        let output = windlass.run(["doctor"]);
        calm(&output, &["doctor"]);
        assert!(output.out().contains("fail"), "{}", output.out());
    }
    assert!(!marker.exists());
    assert_eq!(repo.status(), "");
}

#[test]
fn long_paths_are_no_hindrance() {
    let (repo, mut windlass) = world();
    // Far beyond what the name of a socket may be.
    for (at, runtime) in
        [("h".repeat(200), true), (format!("{}/{}", "h".repeat(200), "o".repeat(200)), false)]
    {
        let home = repo.beside().join(&at);
        std::fs::create_dir_all(home.join("agents")).unwrap();
        std::fs::write(
            home.join("agents/hello.md"),
            "---\nname: hello\nruntime: command\ncommand: [\"sh\", \"-c\", \"echo hello > made; echo hello\"]\nwrites: true\n---\n",
        )
        .unwrap();
        windlass.set("WINDLASS_HOME", &home);
        if !runtime {
            windlass.unset("XDG_RUNTIME_DIR");
        }
        let output = windlass.run(["run", "--agent", "hello", "--gate", "true", "go"]).expect_code(0);
        assert_eq!(output.out(), "hello\n");
        let run = windlass.json(["status", "last", "--json"])["run"]["id"].as_str().unwrap().to_owned();
        windlass.run(["logs", &run]).expect_code(0);
        windlass.run(["undo", &run, "--yes"]).expect_code(0);
        assert!(!repo.path().join("made").exists());
        let status = windlass.json(["daemon", "status", "--json"]);
        assert_eq!(status["running"], true);
        windlass.run(["run", "--no-daemon", "--agent", "hello", "go"]).expect_code(0);
        std::fs::remove_file(repo.path().join("made")).unwrap();
        windlass.run(["daemon", "stop"]).expect_code(0);
        process::wait_until("the daemon's end", || {
            windlass.json(["daemon", "status", "--json"])["running"] == false
        });
    }
}
