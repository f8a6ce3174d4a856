//! Watching, leaving, and finding back. Whether anybody watches is nothing to the run.

use crate::world::{World, check_journal, count, kill, run_state, step};
use std::process::{Command, Stdio};
use windlass_testkit::process::{self, is_alive, wait_until};
use windlass_testkit::terminal::{CTRL_C, Terminal};

/// A task that waits, and one whose result is the run's.
fn team(world: &World) {
    world.agent("work", "start\nwait_for go\nend");
    world.agent("last", "start\nprintf 'the final text'\nend");
    world.team("two", 2, &[], &[step("work", "work", &[]), step("last", "last", &["work"])]);
}

const RUN: [&str; 4] = ["run", "--team", "two", "do it"];

fn the_run(world: &World) -> String {
    let list = world.user.json(["list", "--json"]);
    list["runs"][0]["id"].as_str().unwrap().to_owned()
}

/// The whole run, after nobody watched its middle.
fn check(world: &World, run: &str) {
    world.set("go");
    let end = world.user.wait_end(run);
    assert_eq!(run_state(&end), "completed", "{end:#}");
    check_journal(&world.user.events(run));
    assert_eq!((world.log().starts.len(), world.log().ends.len()), (2, 2));
}

/// As a script does it: the shell waits for the end of the pipe, so nothing may hold it.
#[test]
fn detaching_in_a_command_substitution_returns() {
    let world = World::new();
    team(&world);
    let binary = env!("CARGO_BIN_EXE_windlass");
    let mut shell = world.user.command::<&str>([]);
    let vars: Vec<_> = shell.get_envs().map(|(n, v)| (n.to_owned(), v.map(ToOwned::to_owned))).collect();
    shell = Command::new("sh");
    shell.current_dir(world.user.cwd()).env_clear();
    for (name, value) in vars {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    // A lock of the caller's is free as soon as the caller lets go of it: descriptor 9 is not handed down.
    shell.arg("-c").arg(format!(
        "exec 9>'{}'; flock 9 && id=$('{binary}' run -d --team two 'do it') && echo \"<$id>\"",
        world.mark("lock").display()
    ));
    let output = process::run(shell, b"").expect_code(0);
    let run = the_run(&world);
    assert_eq!(output.out(), format!("<{run}>\n"), "{}", output.err());
    let lock = std::fs::OpenOptions::new().write(true).open(world.mark("lock")).unwrap();
    lock.try_lock().unwrap();
    world.wait_started(&["work"]);
    check(&world, &run);
}

/// Standard output has the id and nothing else; what is for people is elsewhere.
#[test]
fn detaching_prints_the_id_alone() {
    let world = World::new();
    team(&world);
    let output = world.user.run(["run", "-d", "--team", "two", "do it"]).expect_code(0);
    let run = the_run(&world);
    assert_eq!(output.out(), format!("{run}\n"));
    assert!(!output.err().is_empty());
    let quiet = world.user.run(["-q", "run", "-d", "--team", "two", "do it"]).expect_code(0);
    assert_eq!(quiet.err(), "");
    let json = world.user.run(["--json", "run", "-d", "--team", "two", "do it"]).expect_code(0);
    let answer: serde_json::Value = serde_json::from_str(&json.out()).unwrap();
    // At once everywhere.
    let id = answer["run"].as_str().unwrap();
    world.user.run(["status", id, "--json"]).expect_code(0);
    world.user.run(["events", id]).expect_code(0);
    world.user.run(["cancel", id]).expect_code(0);
    world.user.run(["cancel", quiet.out().trim()]).expect_code(0);
    check_only(&world, &run);
}

fn check_only(world: &World, run: &str) {
    world.set("go");
    assert_eq!(run_state(&world.user.wait_end(run)), "completed");
}

/// The terminal is closed: SIGHUP ends the watching, not the run.
#[test]
fn a_hang_up_detaches() {
    let world = World::new();
    team(&world);
    let watcher = world.user.spawn(RUN);
    let pid = world.wait_started(&["work"])[0];
    watcher.signal(1);
    let output = watcher.wait();
    assert_eq!(output.code, Some(130), "{}", output.err());
    assert_eq!(output.out(), "");
    assert!(is_alive(pid));
    check(&world, &the_run(&world));
}

/// A watcher that is killed, and a pipe that is closed, are nothing to the run.
#[test]
fn a_killed_watcher_and_a_closed_pipe() {
    let world = World::new();
    team(&world);
    let mut command = world.user.command(["run", "--json", "--team", "two", "do it"]);
    let mut watcher =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    world.wait_started(&["work"]);
    drop(watcher.stdout.take());
    drop(watcher.stderr.take());
    let run = the_run(&world);
    let other = world.user.spawn(["attach", &run]);
    other.wait_stderr("the first line", |e| e.contains("work"));
    other.signal(9);
    assert_eq!(other.wait().signal, Some(9));
    check(&world, &run);
    let status = watcher.wait().unwrap();
    assert!(status.code().is_some(), "{status}");
}

/// Without a terminal nobody can be asked: SIGINT and SIGTERM cancel, and the command waits for that.
#[test]
fn without_a_terminal_signals_cancel() {
    for signal in [2, 15] {
        let world = World::new();
        team(&world);
        let watcher = world.user.spawn(RUN);
        let pid = world.wait_started(&["work"])[0];
        watcher.signal(signal);
        watcher.wait().expect_code(130);
        assert!(!is_alive(pid));
        let status = world.user.status(&the_run(&world));
        assert_eq!(run_state(&status), "cancelled", "{status:#}");
    }
}

/// A person watches on a terminal.
fn on_terminal(world: &World) -> (Terminal, u32) {
    team(world);
    let terminal = world.user.terminal(RUN, 24, 80);
    let pid = world.wait_started(&["work"])[0];
    terminal.wait_screen("the task at work", |s| s.contains("work"));
    (terminal, pid)
}

fn asked(screen: &str) -> bool {
    screen.contains("detach") && screen.contains("keep watching") && screen.contains("cancel")
}

#[test]
fn ctrl_c_asks_and_enter_detaches() {
    let world = World::new();
    let (mut terminal, pid) = on_terminal(&world);
    terminal.send(CTRL_C);
    terminal.wait_screen("the question", asked);
    terminal.send("\r");
    let (code, screen) = terminal.wait();
    assert_eq!(code, 130, "{screen}");
    let run = the_run(&world);
    assert!(screen.contains(&format!("windlass attach {run}")), "{screen}");
    assert!(is_alive(pid));
    check(&world, &run);
}

#[test]
fn ctrl_c_and_w_goes_on_watching() {
    let world = World::new();
    let (mut terminal, pid) = on_terminal(&world);
    for _ in 0..2 {
        terminal.send(CTRL_C);
        terminal.wait_screen("the question", asked);
        terminal.send("w\r");
        // The frame is drawn again, below what was said.
        terminal.wait_screen("the frame", |s| {
            s.rfind("work").unwrap_or(0) > s.rfind("cancel the run").unwrap_or(0)
        });
        assert!(is_alive(pid));
    }
    world.set("go");
    let (code, screen) = terminal.wait();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("the final text"), "{screen}");
}

#[test]
fn ctrl_c_and_c_cancels() {
    let world = World::new();
    let (mut terminal, pid) = on_terminal(&world);
    terminal.send(CTRL_C);
    terminal.wait_screen("the question", asked);
    terminal.send("c\r");
    let (code, screen) = terminal.wait();
    assert_eq!(code, 130, "{screen}");
    assert!(!is_alive(pid));
    assert_eq!(run_state(&world.user.status(&the_run(&world))), "cancelled");
    assert!(screen.contains("cancelled"), "{screen}");
}

#[test]
fn a_second_ctrl_c_cancels() {
    let world = World::new();
    let (mut terminal, pid) = on_terminal(&world);
    terminal.send(CTRL_C);
    terminal.wait_screen("the question", asked);
    terminal.send(CTRL_C);
    let (code, screen) = terminal.wait();
    assert_eq!(code, 130, "{screen}");
    assert!(!is_alive(pid));
    let run = the_run(&world);
    assert_eq!(run_state(&world.user.status(&run)), "cancelled");
    // It can go on.
    world.set("go");
    world.user.run(["resume", &run]).expect_code(0);
}

/// The daemon is killed under three watchers: each finds the next one and ends as if nothing had been.
#[test]
fn watchers_find_the_next_daemon() {
    let world = World::new();
    team(&world);
    let run = world.user.spawn(RUN);
    world.wait_started(&["work"]);
    let id = the_run(&world);
    let attach = world.user.spawn(["attach", &id]);
    attach.wait_stderr("the task", |e| e.contains("work"));
    let json = world.user.spawn(["run", "--json", "--team", "two", "do it"]);
    json.wait_stdout("an attempt", |o| o.contains("attempt.started"));
    let other = world.user.json(["list", "--json"])["runs"][0]["id"].as_str().unwrap().to_owned();
    let follow = world.user.spawn(["events", &id, "--json", "--follow"]);
    follow.wait_stdout("an attempt", |o| o.contains("attempt.started"));
    for takes in 2..4 {
        let daemon = world.user.daemon_pid().unwrap();
        kill(daemon);
        world.user.wait_for(&id, "the next engine", |e| count(e, "run.taken") >= takes);
        wait_until("an answer", || world.user.daemon_pid().is_some());
    }
    world.set("go");
    let output = run.wait().expect_code(0);
    assert_eq!(output.out(), "the final text");
    let output = attach.wait().expect_code(0);
    assert_eq!(output.out(), "the final text");
    // No event twice or not at all.
    for (one, id) in [(json.wait().expect_code(0), &other), (follow.wait().expect_code(0), &id)] {
        let seen: Vec<u64> = one
            .out()
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["seq"].as_u64().unwrap_or(0))
            .collect();
        let all = world.user.events(id).len() as u64;
        let expected: Vec<u64> = (1..=all).collect();
        assert_eq!(seen, expected, "{}", one.out());
    }
}

#[test]
fn waiting_for_runs() {
    let world = World::new();
    world.agent("work", "start\nwait_for \"go-$WINDLASS_STEP\"\nend");
    world.agent("bad", "start\nwait_for \"go-$WINDLASS_STEP\"\nexit 3");
    for (team, agent) in [("a", "work"), ("b", "work"), ("c", "bad")] {
        world.team(team, 2, &[], &[step(team, agent, &[]).key("attempts: 1")]);
    }
    let runs = ["a", "b", "c"].map(|team| world.start(team));
    world.wait_started(&["a", "b", "c"]);
    // Time runs out; the runs go on.
    let late = world.user.run(["wait", "--timeout", "50ms", &runs[0]]);
    assert_eq!(late.code, Some(124), "{}", late.err());
    let late = world.user.run(["wait", "--any", "--timeout", "50ms"]);
    assert_eq!(late.code, Some(124), "{}", late.err());
    // The first of several.
    let any = world.user.spawn(["wait", "--any", "--json", &runs[0], &runs[1]]);
    world.set("go-b");
    let first: serde_json::Value = serde_json::from_str(&any.wait().expect_code(0).out()).unwrap();
    assert_eq!((&first["run"], &first["exit"]), (&runs[1].as_str().into(), &0.into()), "{first}");
    // All of them; the worst of their codes.
    let both = world.user.spawn(["wait", &runs[0], &runs[2]]);
    world.set("go-c");
    world.user.wait_end(&runs[2]);
    // Without names, those of this project that are under way.
    let late = world.user.run(["wait", "--timeout", "50ms"]);
    assert_eq!(late.code, Some(124), "{}", late.err());
    let rest = world.user.spawn(["wait"]);
    world.set("go-a");
    rest.wait().expect_code(0);
    let output = both.wait();
    assert_eq!(output.code, Some(1), "{}", output.err());
    for run in [&runs[0], &runs[2]] {
        assert!(output.err().contains(run.as_str()), "{}", output.err());
    }
    // What has ended already is told at once, and a name that does not exist is an error.
    assert_eq!(world.user.run(["wait", &runs[0]]).code, Some(0));
    assert_eq!(world.user.run(["wait", &runs[2]]).code, Some(1));
    assert_eq!(world.user.run(["wait", "zzzzzz"]).code, Some(2));
    // Nothing is under way.
    assert_eq!(world.user.run(["wait"]).code, Some(0));
}
