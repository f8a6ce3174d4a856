//! `doctor`.

use crate::world::{plain, user};
use serde_json::Value;
use windlass_testkit::{Windlass, process};

fn checks(windlass: &Windlass, args: &[&str], code: i32) -> Vec<Value> {
    let mut all = vec!["doctor", "--json"];
    all.extend(args);
    let output = windlass.run(&all).expect_code(code);
    let doc: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(doc["ok"], code == 0);
    doc["checks"].as_array().unwrap().clone()
}

fn status<'c>(checks: &'c [Value], name: &str) -> &'c str {
    let found =
        checks.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no {name} in {checks:#?}"));
    found["status"].as_str().unwrap()
}

#[test]
fn a_new_machine_is_fine() {
    let (repo, mut windlass) = user();
    // No agent program: a warning, since nobody asked for one.
    windlass.set("PATH", path_without(&["pi", "node"]));
    let found = checks(&windlass, &[], 0);
    for name in ["git", "state", "sockets", "daemon", "config", "resources", "sandbox", "journals"] {
        assert_eq!(status(&found, name), "ok", "{found:#?}");
    }
    assert_eq!((status(&found, "pi"), status(&found, "trust")), ("warn", "warn"));
    let text = plain(&windlass, &windlass.run(["doctor"]).expect_code(0).out());
    assert!(text.contains("nothing fails; 3 warnings") && text.contains("→ windlass trust"), "{text}");
    // Looking makes nothing.
    assert!(!windlass.home().join("state/projects").exists());
    assert_eq!(repo.status(), "");
    // Who asks for it needs it.
    windlass.run(["config", "set", "run.runtime", "pi"]).expect_code(0);
    assert_eq!(status(&checks(&windlass, &[], 5), "pi"), "fail");
}

/// PATH with git and `sh` and without some programs.
fn path_without(names: &[&str]) -> String {
    let path = std::env::var("PATH").unwrap();
    let without = |dir: &&str| names.iter().all(|n| !std::path::Path::new(dir).join(n).exists());
    path.split(':').filter(without).collect::<Vec<_>>().join(":")
}

#[test]
fn what_is_missing_or_open_is_named_with_the_command() {
    let (_repo, mut windlass) = user();
    windlass.write_home("config.toml", "[run]\nbudgt = 1\n");
    std::fs::set_permissions(windlass.home().join("."), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    std::fs::create_dir_all(windlass.home().join("run")).unwrap();
    std::fs::set_permissions(
        windlass.home().join("run"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let empty = windlass.home().join("empty");
    std::fs::create_dir_all(&empty).unwrap();
    windlass.set("PATH", &empty);
    let found = checks(&windlass, &[], 5);
    assert_eq!(
        (status(&found, "git"), status(&found, "config"), status(&found, "sockets")),
        ("fail", "fail", "fail")
    );
    let fix = found.iter().find(|c| c["name"] == "sockets").unwrap()["fix"].as_str().unwrap();
    assert!(fix.starts_with("chmod 700 "), "{fix}");
}

#[test]
fn sockets_of_the_dead_are_removed_and_those_of_the_living_are_not() {
    let (_repo, windlass) = user();
    windlass.run(["daemon", "start"]).expect_code(0);
    let socket = windlass.home().join("run/daemon.sock");
    assert!(!checks(&windlass, &["--fix"], 0).iter().any(|c| c["status"] == "mended"));
    assert!(socket.exists());
    windlass.kill_daemon();
    assert!(socket.exists());
    let found = checks(&windlass, &[], 0);
    assert!(found.iter().any(|c| c["name"] == "sockets" && c["status"] == "warn"), "{found:#?}");
    let found = checks(&windlass, &["--fix"], 0);
    assert!(found.iter().any(|c| c["name"] == "sockets" && c["status"] == "mended"), "{found:#?}");
    assert!(!socket.exists());
}

/// A finished run of the project's gates: no model, no tokens.
fn finished_run(windlass: &Windlass) -> String {
    windlass.run(["trust", "--all"]).expect_code(0);
    let run = windlass.detach(["--team", "checks"]);
    let end = windlass.wait_end(&run);
    assert_eq!(end["run"]["status"], "completed", "{end:#}");
    windlass.run(["daemon", "stop"]).expect_code(0);
    run
}

fn database(windlass: &Windlass) -> rusqlite::Connection {
    let project = std::fs::read_dir(windlass.home().join("state/projects")).unwrap().next().unwrap().unwrap();
    rusqlite::Connection::open(project.path().join("windlass.db")).unwrap()
}

#[test]
fn a_damaged_journal_is_named_and_set_aside_with_its_bytes() {
    let (_repo, windlass) = user();
    let run = finished_run(&windlass);
    assert!(checks(&windlass, &[], 0).iter().all(|c| c["status"] != "fail"));
    let name = format!("run {run}");
    let db = database(&windlass);
    let last: i64 = db.query_row("SELECT max(key) FROM events", [], |r| r.get(0)).unwrap();
    db.execute("UPDATE events SET body = replace(body, 'type', 'tipe') WHERE key = ?1", [last]).unwrap();
    let changed: String =
        db.query_row("SELECT body FROM events WHERE key = ?1", [last], |r| r.get(0)).unwrap();
    drop(db);
    assert_eq!(status(&checks(&windlass, &[], 5), &name), "fail");
    // A living engine's run is left alone only while it leads it; here none does.
    let found = checks(&windlass, &["--fix"], 0);
    assert_eq!(status(&found, &name), "mended", "{found:#?}");
    assert!(checks(&windlass, &[], 0).iter().all(|c| c["status"] != "fail"));
    let kept: String = database(&windlass).query_row("SELECT body FROM damaged", [], |r| r.get(0)).unwrap();
    assert_eq!(kept, changed);
    // What is left of the run can be looked at.
    windlass.run(["status", &run]).expect_code(0);
}

#[test]
fn a_journal_without_a_good_event_stops_nothing_else() {
    let (_repo, windlass) = user();
    let (lost, whole) = (finished_run(&windlass), finished_run(&windlass));
    let db = database(&windlass);
    db.execute("UPDATE events SET sum = sum + 1 WHERE key = (SELECT min(key) FROM events)", []).unwrap();
    drop(db);
    let name = format!("run {lost}");
    assert_eq!(status(&checks(&windlass, &[], 5), &name), "fail");
    // Others are read as ever.
    windlass.run(["list"]).expect_code(0);
    windlass.run(["status", &whole]).expect_code(0);
    windlass.run(["status", &lost]).expect_code(5);
    assert_eq!(status(&checks(&windlass, &["--fix"], 0), &name), "mended");
    assert_eq!(status(&checks(&windlass, &[], 0), &name), "warn");
    windlass.run(["status", &whole]).expect_code(0);
}

#[test]
fn a_saved_state_that_lies_is_made_again() {
    let (_repo, windlass) = user();
    let run = finished_run(&windlass);
    windlass.run(["doctor", "--fix"]);
    let db = database(&windlass);
    // A valid state of too early a moment under the last number, with the checksum that such a row has.
    let (no, head): (i64, i64) = db
        .query_row("SELECT run_no, (SELECT max(key) FROM events) & 4294967295 FROM runs", [], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
        .unwrap();
    let bytes = b"{}".to_vec();
    let fold = windlass.json(["version", "--json"])["fold"].as_u64().unwrap() as u32;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(head as u64).to_le_bytes()).update(&fold.to_le_bytes()).update(&bytes);
    db.execute(
        "INSERT OR REPLACE INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5)",
        rusqlite::params![no, head, fold, hasher.finalize().as_bytes().to_vec(), bytes],
    )
    .unwrap();
    drop(db);
    let name = format!("run {run}");
    assert_eq!(status(&checks(&windlass, &[], 5), &name), "fail");
    assert_eq!(status(&checks(&windlass, &["--fix"], 0), &name), "mended");
    assert!(checks(&windlass, &[], 0).iter().all(|c| c["status"] != "fail"));
}

#[test]
fn a_file_that_is_no_database_is_said() {
    let (_repo, windlass) = user();
    finished_run(&windlass);
    let project =
        std::fs::read_dir(windlass.home().join("state/projects")).unwrap().next().unwrap().unwrap().path();
    for name in ["windlass.db-wal", "windlass.db-shm"] {
        let _ = std::fs::remove_file(project.join(name));
    }
    let garbage = vec![7u8; 8192];
    std::fs::write(project.join("windlass.db"), &garbage).unwrap();
    let found = checks(&windlass, &["--fix"], 5);
    assert!(found.iter().any(|c| c["status"] == "fail"), "{found:#?}");
    assert_eq!(std::fs::read(project.join("windlass.db")).unwrap(), garbage);
}

#[test]
fn what_a_dead_worker_left_alive_is_named() {
    let (_repo, windlass) = user();
    // The agent itself dies with its shim; what it started does not.
    windlass.write_home(
        "agents/slow.md",
        "---\ndescription: x\ncommand: [\"sh\", \"-c\", \"sleep 300 & echo up; sleep 300\"]\n---\n",
    );
    let run = windlass.detach(["--agent", "slow", "wait"]);
    let sleeps = || windlass.processes().into_iter().filter(|p| p.command.starts_with("sleep")).count();
    process::wait_until("the worker's children", || sleeps() == 2);
    // The nursery first, which would start the next daemon.
    let name = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let nursery =
        windlass.processes().into_iter().find(|p| name(p.pid).trim_end() == "windlass-nurs").unwrap();
    process::signal_pid(nursery.pid, 9);
    windlass.kill_daemon();
    for process in windlass.processes().into_iter().filter(|p| !p.command.starts_with("sleep")) {
        process::signal_pid(process.pid, 9);
    }
    process::wait_until("the shim to be gone", || {
        windlass.processes().iter().all(|p| p.command.starts_with("sleep"))
    });
    assert!(sleeps() > 0);
    let found = checks(&windlass, &[], 0);
    let workers = found.iter().find(|c| c["name"].as_str().unwrap().ends_with(" workers")).unwrap();
    assert_eq!((&workers["status"], &workers["fix"]), (&"warn".into(), &"windlass daemon start".into()));
    assert!(workers["detail"].as_str().unwrap().contains("sleep ("), "{workers}");
    // What the line says helps.
    windlass.run(["daemon", "start"]).expect_code(0);
    windlass.run(["cancel", &run]).expect_code(0);
    process::wait_until("everything to be gone", || sleeps() == 0);
}
