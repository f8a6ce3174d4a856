//! The daemon comes when it is needed and goes when it is not.

use crate::world::{World, check_journal, count, run_state, step};
use windlass_testkit::process::{is_alive, wait_until};

fn team(world: &World) {
    world.agent("work", "start\nwait_for go\necho done\nend");
    world.team("one", 2, &[], &[step("work", "work", &[])]);
}

/// Two commands at once find no daemon: one is started, and leads both runs.
#[test]
fn two_commands_at_once_start_one_daemon() {
    for _ in 0..5 {
        let world = World::new();
        team(&world);
        let both = [0, 1].map(|_| world.user.spawn(["run", "-d", "--team", "one", "do it"]));
        let runs = both.map(|one| one.wait().expect_code(0).out().trim().to_owned());
        assert_ne!(runs[0], runs[1]);
        let pid = world.user.daemon_pid().unwrap();
        wait_until("the one that came second to leave", || world.daemons() == [pid]);
        let status = world.user.json(["daemon", "status", "--json"]);
        assert_eq!(status["runs"], 2, "{status}");
        world.set("go");
        for run in &runs {
            world.user.run(["wait", run]).expect_code(0);
            assert_eq!(count(&world.user.events(run), "run.taken"), 1);
        }
        assert_eq!(world.user.daemon_pid(), Some(pid));
    }
}

/// Nothing of the command that started it is left to it: directory, terminal, streams, descriptors.
#[test]
fn it_holds_nothing_of_who_started_it() {
    let world = World::new();
    team(&world);
    world.start("one");
    let pid = world.user.daemon_pid().unwrap();
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), std::path::Path::new("/"));
    let home = world.user.home();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
        let number = entry.file_name();
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        let text = target.display().to_string();
        match number.to_str().unwrap() {
            "0" | "1" => assert_eq!(text, "/dev/null"),
            _ => {
                let own = target.starts_with(&home)
                    || text.starts_with("anon_inode:")
                    || text.starts_with("socket:")
                    || text.starts_with("/memfd:")
                    || text.starts_with("/dev/null");
                assert!(own, "descriptor {number:?} is {text}");
            }
        }
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(fields[2], pid.to_string(), "a process group of its own");
    world.set("go");
}

#[test]
fn status_says_what_there_is() {
    let world = World::new();
    team(&world);
    let absent = world.user.json(["daemon", "status", "--json"]);
    assert_eq!((&absent["running"], &absent["pid"]), (&false.into(), &serde_json::Value::Null), "{absent}");
    assert!(world.daemons().is_empty(), "asking starts none");
    let run = world.start("one");
    let there = world.user.json(["daemon", "status", "--json"]);
    assert_eq!((&there["running"], &there["runs"]), (&true.into(), &1.into()), "{there}");
    assert_eq!(there["pid"].as_u64().unwrap(), u64::from(world.daemons()[0]), "{there}");
    assert_eq!(there["socket"], world.user.home().join("run/daemon.sock").to_str().unwrap(), "{there}");
    let version = world.user.run(["version"]).expect_code(0).out();
    assert!(version.contains(there["version"].as_str().unwrap()), "{version} {there}");
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
    assert_eq!(world.user.json(["daemon", "status", "--json"])["runs"], 0);
    let text = world.user.run(["daemon", "status"]).expect_code(0).out();
    assert!(text.contains(&there["pid"].to_string()), "{text}");
}

#[test]
fn stopping_it_leaves_the_workers_alone() {
    let world = World::new();
    team(&world);
    let run = world.start("one");
    let pids = world.wait_started(&["work"]);
    let daemon = world.user.daemon_pid().unwrap();
    world.user.run(["daemon", "stop"]).expect_code(0);
    wait_until("the daemon to leave", || !is_alive(daemon));
    assert!(is_alive(pids[0]));
    assert_eq!(run_state(&world.user.status(&run)), "running", "looking needs no daemon");
    assert!(world.daemons().is_empty(), "and starts none");
    // Stopping what does not run is no fault.
    world.user.run(["daemon", "stop"]).expect_code(0);

    // The next command of that project finds the worker.
    let attach = world.user.spawn(["attach", &run]);
    world.user.wait_for(&run, "the next engine", |e| count(e, "run.taken") == 2);
    assert!(is_alive(pids[0]));
    world.set("go");
    assert_eq!(attach.wait().expect_code(0).out(), "done\n");
    let attempts = check_journal(&world.user.events(&run));
    assert_eq!(attempts.values().collect::<Vec<_>>(), [&["ended".to_owned()]]);
    assert_eq!(world.log().starts.len(), 1);
}

/// A worker that ends after `daemon stop` brings the next engine: a stop is for a daemon, not for the work.
#[test]
fn a_worker_that_ends_after_a_stop_brings_the_next_one() {
    let world = World::new();
    world.agent("work", "start\nwait_for go\necho done\nend");
    world.agent("last", "start\necho last\nend");
    world.team("two", 2, &[], &[step("work", "work", &[]), step("last", "last", &["work"])]);
    let run = world.start("two");
    world.wait_started(&["work"]);
    world.user.run(["daemon", "stop"]).expect_code(0);
    world.set("go");
    wait_until("the last task, without any command", || world.log_text().contains("end last "));
    assert_eq!(run_state(&world.user.wait_end(&run)), "completed");
}

/// Runs can be created while the daemon is being stopped, again and again: the command finds or starts the next one.
#[test]
fn a_daemon_that_leaves_loses_no_request() {
    let world = World::new();
    world.agent("work", "echo done");
    world.team("one", 2, &[], &[step("work", "work", &[])]);
    let mut runs = Vec::new();
    for _ in 0..12 {
        let stop = world.user.spawn(["daemon", "stop"]);
        let run = world.user.spawn(["run", "-d", "--team", "one", "do it"]);
        runs.push(run.wait().expect_code(0).out().trim().to_owned());
        stop.wait().expect_code(0);
    }
    let words: Vec<&str> = ["wait"].into_iter().chain(runs.iter().map(String::as_str)).collect();
    world.user.run(words).expect_code(0);
    let list = world.user.json(["list", "--json"]);
    assert_eq!(list["runs"].as_array().unwrap().len(), runs.len(), "each once: {list:#}");
}

#[test]
fn it_leaves_when_idle_and_stays_while_something_lives() {
    let world = World::new();
    world.user.write_home("config.toml", "[daemon]\nidle = \"1s\"\n");
    // Longer than it may be idle, and silent.
    world.agent("work", "start\nsleep 3\necho done\nend");
    world.team("one", 2, &[], &[step("work", "work", &[])]);
    let run = world.start("one");
    let daemon = world.user.daemon_pid().unwrap();
    wait_until("the worker's end", || world.log().ends.len() == 1);
    wait_until("the daemon to leave", || !is_alive(daemon));
    // It was there all the time: nobody else ever led the run.
    assert_eq!(run_state(&world.user.status(&run)), "completed");
    assert_eq!(count(&world.user.events(&run), "run.taken"), 1);
    assert!(world.daemons().is_empty());
    assert!(!world.user.home().join("run/daemon.sock").exists());
}

/// Somebody cleans the runtime folder: the daemon is reachable again, and it is the same one.
#[test]
fn a_socket_that_is_removed_is_bound_again() {
    let world = World::new();
    team(&world);
    let run = world.start("one");
    let daemon = world.user.daemon_pid().unwrap();
    let socket = world.user.home().join("run/daemon.sock");
    std::fs::remove_file(&socket).unwrap();
    // Whoever comes meanwhile waits for it; a second daemon finds the lock held.
    world.user.run(["daemon", "start"]).expect_code(0);
    assert_eq!(world.user.daemon_pid(), Some(daemon));
    wait_until("a daemon alone", || world.daemons() == [daemon]);
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);

    // The whole folder, too.
    std::fs::remove_dir_all(world.user.home().join("run")).unwrap();
    world.user.run(["daemon", "start"]).expect_code(0);
    let next = world.start("one");
    world.user.run(["wait", &next]).expect_code(0);
    wait_until("one daemon", || world.daemons().len() == 1);
}
