//! Through the shipped binary: follow.

use crate::{ended, world};
use serde_json::Value;
use std::path::PathBuf;
use windlass_testkit::{TempRepo, Windlass, process};

/// A team of two tasks, each of which waits for a file of its own after its first words.
fn held(repo: &TempRepo, windlass: &Windlass) -> [PathBuf; 2] {
    let go = ["go1", "go2"].map(|name| repo.beside().join(name));
    let line = |n: usize| {
        format!("echo begin {n}; while [ ! -e '{}' ]; do sleep 0.02; done; echo end {n}", go[n - 1].display())
    };
    windlass.shell_agent("one", &line(1), "");
    windlass.shell_agent("two", &line(2), "");
    windlass.team(
        "pair",
        &["one", "two"],
        "",
        "## a\nrole: one\n\nDo.\n\n## b\nrole: two\ndependsOn: a\n\nDo.\n",
    );
    go
}

fn parsed(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_event_comes_once_also_past_the_death_of_the_daemon() {
    let (repo, windlass) = world();
    let [go1, go2] = held(&repo, &windlass);
    let run = windlass.detach(["-t", "pair", "go"]);
    let whole = windlass.spawn(["events", &run, "--json", "--follow"]);
    let later = windlass.spawn(["events", &run, "--json", "--follow", "--since", "4"]);
    let readable = windlass.spawn(["events", &run, "--follow"]);
    let logs = windlass.spawn(["logs", &run, "--follow"]);
    whole.wait_stdout("the first attempt", |text| text.contains("attempt.started"));
    logs.wait_stdout("the first words", |text| text.contains("begin 1"));
    std::fs::write(&go1, "").unwrap();
    logs.wait_stdout("the second task", |text| text.contains("begin 2"));
    windlass.kill_daemon();
    std::fs::write(&go2, "").unwrap();

    let whole = whole.wait();
    let logs = logs.wait();
    assert_eq!((whole.code, logs.code), (Some(0), Some(0)), "{}{}", whole.err(), logs.err());
    let events = parsed(&whole.out());
    assert_eq!(events, windlass.events(&run), "nothing lost, nothing doubled, nothing changed");
    let seqs: Vec<u64> = events.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    assert_eq!(events.last().unwrap()["type"], "run.completed");
    for event in &events {
        let mut keys: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["at", "data", "run", "seq", "type"]);
    }
    assert_eq!(parsed(&later.wait().expect_code(0).out()), events[4..]);
    assert_eq!(readable.wait().expect_code(0).out().lines().count(), events.len());
    // Replaying from anywhere gives the rest.
    for since in [0, 1, events.len() - 1, events.len(), events.len() + 5] {
        for follow in [&["--follow"][..], &[]] {
            let since_text = since.to_string();
            let args = ["events", &run, "--json", "--since", &since_text];
            let rest = windlass.run(args.iter().chain(follow)).expect_code(0).out();
            assert_eq!(parsed(&rest), events.get(since..).unwrap_or_default(), "{since} {follow:?}");
        }
    }

    let text = logs.out();
    for words in ["begin 1", "end 1", "begin 2", "end 2"] {
        assert_eq!(text.matches(words).count(), 1, "{words}: {text}");
    }
    assert!(text.contains("01_a │ begin 1") && text.contains("02_b attempt 1"), "{text}");
}

#[test]
fn one_task_is_followed_to_its_own_end() {
    let (repo, windlass) = world();
    let [go1, go2] = held(&repo, &windlass);
    let run = windlass.detach(["-t", "pair", "go"]);
    let address = format!("{run}/01_a");
    let logs = windlass.spawn(["logs", &address, "--follow"]);
    let raw = windlass.spawn(["logs", &address, "--follow", "--raw"]);
    // Not started yet, and waited for.
    let second = windlass.spawn(["logs", &format!("{run}/b"), "--follow", "--raw"]);
    raw.wait_stdout("the first words", |text| text.contains("begin 1"));
    std::fs::write(&go1, "").unwrap();
    assert!(logs.wait().expect_code(0).out().ends_with("begin 1\nend 1\n"));
    assert_eq!(raw.wait().expect_code(0).out(), "begin 1\nend 1\n");
    second.wait_stdout("the second task", |text| text.contains("begin 2"));
    std::fs::write(&go2, "").unwrap();
    assert_eq!(second.wait().expect_code(0).out(), "begin 2\nend 2\n");
}

#[test]
fn following_ends_with_its_reader_with_ctrl_c_and_with_a_blocked_run() {
    let (repo, windlass) = world();
    let [go1, go2] = held(&repo, &windlass);
    let run = windlass.detach(["-t", "pair", "go"]);
    for args in [vec!["events", &run, "-f"], vec!["logs", &run, "-f"], vec!["logs", "a", "-f", "--raw"]] {
        let follower = windlass.spawn(&args);
        follower.wait_stdout("something", |text| !text.is_empty());
        follower.signal(2);
        assert_eq!(follower.wait().code, Some(130), "{args:?}");
        // `head` leaves after the first line; nothing more is written, and still it is noticed.
        let binary = env!("CARGO_BIN_EXE_windlass");
        let mut shell = windlass.command(["version"]);
        let environment: Vec<_> =
            shell.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
        shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("{binary} {} | head -n 1", args.join(" "))]);
        shell.current_dir(repo.path()).env_clear().envs(environment);
        let output = process::run(shell, b"").expect_code(0);
        assert_eq!(output.out().lines().count(), 1, "{args:?}");
    }
    std::fs::write(&go1, "").unwrap();
    std::fs::write(&go2, "").unwrap();
    windlass.wait_end(&run);

    windlass.shell_agent("reader", "echo more > b.txt", "");
    let blocked = ended(&windlass, &["--agent", "reader", "go"]);
    assert_eq!(windlass.status(&blocked)["run"]["status"], "blocked");
    windlass.run(["events", &blocked, "--follow"]).expect_code(0);
    windlass.run(["logs", &blocked, "--follow"]).expect_code(0);
}
