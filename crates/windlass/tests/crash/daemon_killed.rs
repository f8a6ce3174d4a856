//! `kill -9` of the daemon.

use crate::world::{World, check_journal, count, real, run_state, step, task};
use windlass_testkit::process::{is_alive, signal_pid, wait_until};

/// Output that is easy to compare: numbered lines before and after the barrier.
const WORK: &str = r#"start
i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo "$WINDLASS_STEP before $i"; done
wait_for go
i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo "$WINDLASS_STEP after $i"; done
end"#;

fn expected(step: &str) -> Vec<u8> {
    let lines = |when: &str| (1..=500).map(|i| format!("{step} {when} {i}\n")).collect::<String>();
    (lines("before") + &lines("after")).into_bytes()
}

/// Three workers that wait at a barrier, and one that depends on all of them.
fn three(world: &World) -> String {
    world.agent("work", WORK);
    world.agent("last", "start\ncat >/dev/null\nprintf 'last words'\nend");
    let steps = [
        step("a", "work", &[]),
        step("b", "work", &[]),
        step("c", "work", &[]),
        step("d", "last", &["a", "b", "c"]),
    ];
    world.team("three", 4, &[], &steps);
    world.start("three")
}

fn check_three(world: &World, run: &str) {
    let status = world.user.status(run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    for name in ["a", "b", "c"] {
        assert_eq!(world.result(run, &status, name), expected(name), "the result of {name}");
    }
    assert_eq!(world.result(run, &status, "d"), b"last words");
    let events = world.user.events(run);
    let attempts = check_journal(&events);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(attempts[task(&status, name)["id"].as_str().unwrap()], ["ended"], "{attempts:?}");
        assert_eq!(real(&attempts, task(&status, name)).len(), 1);
    }
    assert_eq!(count(&events, "run.completed"), 1);
    let log = world.log();
    assert_eq!((log.starts.len(), log.ends.len()), (4, 4), "{log:#?}");
}

/// Workers outlive the daemon; the next command finds them again.
#[test]
fn workers_outlive_the_daemon_and_are_adopted_by_the_next_command() {
    let world = World::new();
    let run = three(&world);
    let pids = world.wait_started(&["a", "b", "c"]);
    let shims: Vec<u32> = pids.iter().map(|p| world.shim_of(*p)).collect();
    let first = world.user.kill_daemon();
    assert!(pids.iter().chain(&shims).all(|p| is_alive(*p)), "workers and shims live on");

    // Any command that needs an engine starts one.
    world.user.run(["daemon", "start"]).expect_code(0);
    let second = world.user.daemon_pid().unwrap();
    assert_ne!(first, second);
    world.user.wait_for(&run, "the next engine", |e| count(e, "run.taken") == 2);
    assert!(pids.iter().all(|p| is_alive(*p)), "adoption leaves the workers alone");
    assert_eq!(pids, world.wait_started(&["a", "b", "c"]), "the same workers");

    world.set("go");
    world.user.wait_end(&run);
    check_three(&world, &run);
}

/// Nobody asks for anything after the kill: the shim whose worker ends starts an engine, and the run ends by itself.
#[test]
fn a_run_whose_daemon_was_killed_ends_by_itself() {
    let world = World::new();
    let run = three(&world);
    world.wait_started(&["a", "b", "c"]);
    world.user.kill_daemon();
    world.set("go");
    // Looking must not help: only the workers' own record is watched.
    wait_until("the last task, without any command", || world.log_text().contains("end d "));
    world.user.wait_end(&run);
    check_three(&world, &run);
}

/// A run of which nothing is alive: its task failed twice, and its third attempt is due after a pause.
fn in_back_off(world: &World) -> String {
    world.agent("flaky", "start\n[ \"$WINDLASS_ATTEMPT\" -lt 3 ] && kill -9 $$\necho third\nend");
    world.team("flaky", 1, &[], &[step("a", "flaky", &[]).key("attempts: 3")]);
    let run = world.start("flaky");
    world.user.wait_for(&run, "the second failure", |e| count(e, "attempt.ended") == 2);
    run
}

/// No worker lives that could call the next engine: what outlived the killed one does, and nobody asks for anything.
#[test]
fn a_run_that_waits_for_its_time_ends_by_itself() {
    let world = World::new();
    let run = in_back_off(&world);
    world.user.kill_daemon();
    wait_until("the third attempt, without any command", || world.log_text().contains("end a "));
    let status = world.user.wait_end(&run);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    let events = world.user.events(&run);
    let attempts = check_journal(&events);
    assert_eq!(real(&attempts, task(&status, "a")), ["ended"; 3]);
    assert!(count(&events, "run.taken") > 1, "the run was taken over");
}

/// Who stops the daemon wants it gone, whatever is still to do.
#[test]
fn a_stopped_daemon_has_no_successor() {
    let world = World::new();
    let run = in_back_off(&world);
    world.user.run(["daemon", "stop"]).expect_code(0);
    wait_until("everything to be gone", || world.user.processes().is_empty());
    assert_eq!(world.log().started("a"), 2);
    world.user.run(["wait", &run]).expect_code(0);
}

/// The workers end while there is no engine at all; the next one takes their ends from their files.
#[test]
fn ends_without_an_engine_are_taken_from_the_files() {
    let world = World::new();
    let run = three(&world);
    let pids = world.wait_started(&["a", "b", "c"]);
    let shims: Vec<u32> = pids.iter().map(|p| world.shim_of(*p)).collect();
    // A daemon that cannot start: whoever wants the lock waits in vain, as on a machine that is short of something. The one that
    // lives holds the lock that was there.
    let lock = world.user.home().join("state/daemon.lock");
    std::fs::rename(&lock, lock.with_extension("old")).unwrap();
    let held = hold(&lock);
    world.user.kill_daemon();
    world.set("go");
    wait_until("all shims to leave", || shims.iter().all(|s| !is_alive(*s)));
    assert_eq!(world.log().ends.len(), 3);
    drop(held);
    world.user.run(["wait", &run]).expect_code(0);
    check_three(&world, &run);
}

/// A file lock as the daemon takes it.
fn hold(path: &std::path::Path) -> std::fs::File {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.lock().unwrap();
    file
}

/// A stopped daemon (SIGSTOP) does not answer; killed then, it is as if it had been killed at any moment.
#[test]
fn a_daemon_that_hangs_and_is_killed() {
    let world = World::new();
    let run = three(&world);
    world.wait_started(&["a", "b", "c"]);
    let daemon = world.user.daemon_pid().unwrap();
    signal_pid(daemon, 19);
    world.set("go");
    // The shims tell a daemon that hears and does not read.
    wait_until("the workers' ends", || world.log().ends.len() == 3);
    signal_pid(daemon, 9);
    wait_until("the daemon to be gone", || !is_alive(daemon));
    world.user.run(["wait", &run]).expect_code(0);
    check_three(&world, &run);
}

/// Agents that report what they use: the totals are exact however often the engine that reads them dies, and a run of
/// three sees each of its parts counted once.
#[test]
fn usage_is_counted_once_whoever_reads_it() {
    let world = World::new();
    world.user.write_home(
        "agents/player.md",
        "---\nname: player\ndescription: A player of a script\nwrites: false\n---\nPlay.\n",
    );
    let steps: Vec<_> = ["a", "b", "c"].map(|s| step(s, "player", &[])).into();
    world.team("play", 4, &[], &steps);
    let pause = |n: u32| {
        let file = world.mark(&format!("go{n}"));
        serde_json::json!({ "run": { "command": ["sh", "-c", format!("while [ ! -e '{}' ]; do sleep 0.02; done", file.display())] } })
    };
    let script = serde_json::json!({ "version": 1, "scenes": [{ "do": [
        { "say": "beginning" },
        { "usage": { "input": 100, "output": 10, "cache_read": 1000 } },
        pause(1),
        { "usage": { "input": 20, "output": 2, "cache_write": 7 } },
        pause(2),
        { "usage": { "input": 3, "output": 4 } },
        { "answer": "done\n" },
    ] }] });
    let path = world.user.write_home("script.json", script.to_string());
    let run = world.user.detach([
        "--team",
        "play",
        "--runtime",
        "rehearsal",
        "--script",
        path.to_str().unwrap(),
        "play it",
    ]);
    let seen = |input: u64| {
        world.user.wait_for(&run, "what they have used", |events| {
            let told = |e: &&serde_json::Value| {
                e["type"] == "attempt.observed" && e["data"]["usage"]["input"].as_u64() >= Some(input)
            };
            let mut tasks: Vec<_> = events.iter().filter(told).map(|e| e["data"]["task"].clone()).collect();
            tasks.sort_by_key(ToString::to_string);
            tasks.dedup();
            tasks.len() == 3
        });
    };
    // Dies after it has recorded a part, after a part that it has not read, and reads all of it again.
    seen(100);
    world.user.kill_daemon();
    world.set("go1");
    world.user.run(["daemon", "start"]).expect_code(0);
    seen(120);
    world.user.kill_daemon();
    world.set("go2");
    world.user.run(["wait", &run]).expect_code(0);
    let status = world.user.status(&run);
    for name in ["a", "b", "c"] {
        let usage = &task(&status, name)["attempts"][0]["usage"];
        let words = ["input", "output", "cache_read", "cache_write"].map(|w| usage[w].as_u64().unwrap());
        assert_eq!(words, [123, 16, 1000, 7], "{usage}");
        assert_eq!(world.result(&run, &status, name), b"done\n");
    }
    let usage = &status["run"]["usage"];
    let words = ["input", "output", "cache_read", "cache_write"].map(|w| usage[w].as_u64().unwrap());
    assert_eq!(words, [369, 48, 3000, 21], "{usage}");
    let attempts = check_journal(&world.user.events(&run));
    assert!(attempts.values().all(|a| *a == ["ended"]), "{attempts:?}");
}
