//! What an older program does with a newer store, and a newer one with an older store.

use crate::protocol::engine_at;
use crate::versions::{OLDER, STEPS, assert_says, leaders, speaking};
use crate::world::{World, run_state};
use rusqlite::Connection;
use std::fs::File;
use std::path::Path;
use windlass_testkit::process::{is_alive, wait_until};

fn pragma(database: &Path) -> i64 {
    let raw = Connection::open(database).unwrap();
    raw.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

/// A run that has ended, and no daemon.
#[track_caller]
fn ended(world: &World) -> String {
    let run = world.start("count");
    world.wait_started(&STEPS);
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
    world.user.run(["daemon", "stop"]).expect_code(0);
    run
}

/// The bytes of a database, once nobody has it open.
fn bytes(database: &Path) -> Vec<u8> {
    let raw = Connection::open(database).unwrap();
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(raw);
    std::fs::read(database).unwrap()
}

/// Every command that would read or write it says what is the matter, and nothing is read or written.
#[test]
fn a_database_of_a_newer_format_is_refused_by_every_command() {
    let world = speaking();
    let run = ended(&world);
    let database = world.database(&run);
    Connection::open(&database).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = bytes(&database);
    for words in [
        &["list"][..],
        &["status", &run],
        &["show", &run],
        &["events", &run],
        &["logs", &run],
        &["graph", &run],
        &["wait", &run],
        &["attach", &run],
        &["resume", &run],
        &["retry", &run],
        &["cancel", &run],
        &["rm", "--yes", &run],
        &["run", "-d", "--team", "count", "x"],
        &["run", "--no-daemon", "--team", "count", "x"],
    ] {
        let told = world.user.run(words);
        assert_eq!(told.code, Some(5), "{words:?}: {}{}", told.out(), told.err());
        assert_eq!(told.out(), "", "{words:?}");
        assert_says(&told, &["format 99", "use the newer windlass"]);
    }
    world.user.run(["daemon", "stop"]).expect_code(0);
    wait_until("the daemon to be gone", || world.daemons().is_empty());
    assert_eq!(bytes(&database), before);
    // Nothing was lost by it.
    Connection::open(&database).unwrap().pragma_update(None, "user_version", 2).unwrap();
    world.check_all_said_once(&run);
}

/// A newer engine has led the run: an older one shows it and does not go on with it.
#[test]
fn a_run_of_a_newer_vocabulary_is_shown_and_not_led() {
    let world = speaking();
    let run = world.start("count");
    let workers = world.wait_started(&STEPS);
    world.user.run(["daemon", "stop"]).expect_code(0);
    let raw = Connection::open(world.database(&run)).unwrap();
    raw.execute("UPDATE leases SET vocabulary = 99 WHERE name = ?1", [format!("run/{run}")]).unwrap();
    let before = world.user.events(&run).len();
    assert_eq!(run_state(&world.user.status(&run)), "running");
    for words in [&["cancel", run.as_str()][..], &["resume", &run], &["attach", &run], &["wait", &run]] {
        let told = world.user.run(words).expect_code(5);
        assert_says(&told, &["newer windlass", "vocabulary 99", &run]);
    }
    // Other runs of the same project are nobody else's concern.
    world.agent("quick", "echo quick");
    world.team("quick", 1, &[], &[crate::world::step("quick", "quick", &[])]);
    let other = world.start("quick");
    world.user.run(["wait", &other]).expect_code(0);
    assert_eq!(world.user.events(&run).len(), before);
    assert!(workers.iter().all(|pid| is_alive(*pid)));

    // The newer one comes back.
    raw.execute("UPDATE leases SET vocabulary = 1 WHERE name = ?1", [format!("run/{run}")]).unwrap();
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
    world.check_all_said_once(&run);
}

/// Makes a database what it was in format 1.
fn downgrade(database: &Path) {
    let raw = Connection::open(database).unwrap();
    raw.execute_batch("ALTER TABLE runs DROP COLUMN workflow; PRAGMA user_version = 1;").unwrap();
}

/// An engine as it is known to others: a lock that it holds for life.
fn other_engine(world: &World) -> (File, &'static str) {
    let name = "4000000-other";
    let file = File::create(world.user.home().join("state/owners").join(name)).unwrap();
    file.lock().unwrap();
    (file, name)
}

/// The newer daemon looks at the older database at once, leads its runs when the older engine that leads one there has ended, and
/// migrates before that. Nothing is lost, and nobody is needed for it.
#[test]
fn an_older_database_is_migrated_when_the_older_engine_has_ended() {
    let world = speaking();
    let run = world.start("count");
    let workers = world.wait_started(&STEPS);
    world.user.run(["daemon", "stop"]).expect_code(0);
    let database = world.database(&run);
    downgrade(&database);
    let (engine, name) = other_engine(&world);
    let raw = Connection::open(&database).unwrap();
    let lease = "INSERT INTO leases VALUES ('run/zzzzzz', 1, ?1, '/nowhere', 1, 1, 0)";
    raw.execute(lease, [name]).unwrap();

    world.user.run(["daemon", "start"]).expect_code(0);
    let told = world.user.run(["run", "-d", "--team", "count", "x"]).expect_code(5);
    assert_says(&told, &["format 1", "older engine", name]);
    let told = world.user.run(["resume", &run]).expect_code(5);
    assert_says(&told, &["older engine"]);
    assert_eq!(run_state(&world.user.status(&run)), "running", "looking does not wait");
    assert_eq!(pragma(&database), 1);
    let list = world.user.json(["list", "--json"]);
    assert!(list["runs"][0].get("workflow").is_none(), "{list}");

    drop(engine);
    world.user.wait_for(&run, "the next engine", |e| leaders(e).len() >= 2);
    assert_eq!(pragma(&database), 2);
    assert!(workers.iter().all(|pid| is_alive(*pid)));
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
    world.check_all_said_once(&run);
    let list = world.user.json(["list", "--json"]);
    assert_eq!(list["runs"][0]["workflow"], "count", "{list}");
}

/// The older engine that keeps a database from being migrated leads a run there itself: it is asked what concerns that run.
#[test]
fn what_concerns_a_run_of_the_older_engine_reaches_it() {
    let world = speaking();
    let run = world.start("count");
    world.wait_started(&STEPS);
    world.user.run(["daemon", "stop"]).expect_code(0);
    let database = world.database(&run);
    downgrade(&database);
    let (engine, name) = other_engine(&world);
    let socket = world.user.home().join("run/inline-4000000.sock");
    let asked = engine_at(socket.clone(), OLDER, 1);
    let raw = Connection::open(&database).unwrap();
    let lease = "UPDATE leases SET owner = ?1, address = ?2 WHERE name = ?3";
    let changed = raw.execute(lease, [name, socket.to_str().unwrap(), &format!("run/{run}")]).unwrap();
    assert_eq!(changed, 1);

    let cancel = world.user.spawn(["cancel", &run]);
    let request = asked.recv().unwrap();
    assert_eq!((&request["op"], &request["with"]["run"]), (&"cancel".into(), &run.as_str().into()));
    assert_eq!(pragma(&database), 1);
    // It ends without having done it: the next engine migrates and leads, and the one who asked asks no more.
    drop(cancel);
    drop(engine);
    world.user.wait_for(&run, "the next engine", |e| leaders(e).len() >= 2);
    assert_eq!(pragma(&database), 2);
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
    world.check_all_said_once(&run);
}
