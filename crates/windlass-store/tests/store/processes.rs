//! Several real processes on one database.

use crate::support::*;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use windlass_store::owner::{owner_alive, sweep_owners};
use windlass_store::*;

const ROLE: &str = "WINDLASS_STORE_TEST_ROLE";
const DIR: &str = "WINDLASS_STORE_TEST_DIR";
const BATCH: usize = 7;

/// The body of a child: this same test binary, started again with a role.
#[test]
fn child() {
    let (Ok(role), Some(dir)) = (std::env::var(ROLE), std::env::var_os(DIR)) else { return };
    let dir = Path::new(&dir);
    // Another writer may have the lock for all of the time that SQLite waits.
    let mut store = patiently(|| SqliteStore::open(dir));
    let (what, n) = role.split_once(' ').unwrap();
    let n: u64 = n.parse().unwrap();
    let lock = OwnerLock::create(&dir.join("owners")).unwrap();
    let me = Owner { id: lock.id().clone(), address: String::new(), vocabulary: 1 };
    match what {
        // Appends to its own run until it is killed; every second batch is synced.
        "append" => {
            let lease = patiently(|| lease_error(store.acquire(&on(run(n)), &me, 1, false)));
            let mut head = patiently(|| store.head(run(n)));
            loop {
                let mut part = Append::new(run(n), head, lease.epoch, records(BATCH));
                part.sync = head.is_multiple_of(2);
                match append(&mut store, part) {
                    Ok(now) => head = now,
                    // The other writer had the lock for all of the time that SQLite waits: nothing was stored.
                    Err(e) if e.is_retryable() => continue,
                    Err(e) => panic!("{e}"),
                }
                println!("head {head}");
            }
        }
        // Appends a fixed number of batches and leaves.
        "finish" => {
            let lease = store.acquire(&on(run(n)), &me, 1, false).unwrap();
            for i in 0..50 {
                let part = Append::new(run(n), i * 2, lease.epoch, records(2));
                loop {
                    match append(&mut store, part.clone()) {
                        Err(e) if e.is_retryable() => {}
                        done => break assert_eq!(done, Ok(i * 2 + 2)),
                    }
                }
            }
        }
        // Tries to append behind the same event as everybody else, with a lease that all share.
        "race" => {
            let won = append(&mut store, Append::new(run(0), 1, n, records(1)));
            println!("{}", if won.is_ok() { "won" } else { "lost" });
            assert!(won.is_ok() || matches!(won, Err(AppendError::Conflict { expected: 1, head: 2, .. })));
        }
        // Holds a lease until it is killed.
        "hold" => {
            store.acquire(&on(run(n)), &me, 1, false).unwrap();
            println!("owner {}", me.id);
            std::thread::park();
        }
        other => panic!("{other}"),
    }
}

/// Does something again for as long as the store only says that it is busy.
fn patiently<T>(mut work: impl FnMut() -> Result<T, StoreError>) -> T {
    loop {
        match work() {
            Err(e) if e.is_retryable() => {}
            other => return other.unwrap(),
        }
    }
}

fn lease_error<T>(result: Result<T, LeaseError>) -> Result<T, StoreError> {
    result.map_err(|e| match e {
        LeaseError::Store(e) => e,
        other => panic!("{other}"),
    })
}

fn start(dir: &Path, role: String) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::child", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for a line that begins with `word`, and returns what follows it.
fn wait_for(child: &mut Child, word: &str) -> String {
    // The reader is kept with the child's pipe open only as long as this line is waited for.
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    loop {
        let line = lines.next().expect("the child ended").unwrap();
        // The test harness begins the line with the test's name.
        if let Some((_, rest)) = line.split_once(word) {
            return rest.trim().to_owned();
        }
    }
}

#[test]
fn processes_write_different_runs_of_one_database() {
    let dir = tempfile::tempdir().unwrap();
    let children: Vec<Child> = (0..4).map(|n| start(dir.path(), format!("finish {n}"))).collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let reader = SqliteReader::open(dir.path()).unwrap();
    assert!((0..4).all(|n| reader.verify(run(n)) == Ok(100)));
    assert_eq!(reader.integrity_check(), Ok(vec![]));
}

#[test]
fn one_of_many_wins_the_same_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let epoch = filled(&mut store, run(0), 1);
    let children: Vec<Child> = (0..4).map(|_| start(dir.path(), format!("race {epoch}"))).collect();
    let mut won = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        won += String::from_utf8_lossy(&output.stdout).matches("won").count();
    }
    assert_eq!(won, 1);
    assert_eq!(store.verify(run(0)), Ok(2));
}

#[test]
fn a_killed_writer_leaves_whole_batches_and_everything_it_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = [0u64; 2];
    for round in 0..3 {
        let mut children: Vec<Child> = (0..2).map(|n| start(dir.path(), format!("append {n}"))).collect();
        let reader = {
            wait_for(&mut children[0], "head ");
            SqliteReader::open(dir.path()).unwrap()
        };
        for (child, told) in children.iter_mut().zip(&mut told) {
            // A different number of commits each time, so that the kill falls anywhere.
            for _ in 0..5 + round * 7 {
                *told = wait_for(child, "head ").parse().unwrap();
            }
            reader.read(run(0), 0, 50).unwrap();
        }
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        for (n, told) in told.iter().enumerate() {
            let head = reader.verify(run(n as u64)).unwrap();
            assert_eq!(head % BATCH as u64, 0, "only whole batches");
            assert!(head >= *told, "nothing announced is lost");
        }
    }
    assert_eq!(SqliteReader::open(dir.path()).unwrap().integrity_check(), Ok(vec![]));
    // The dead are known by their free locks.
    assert_eq!(sweep_owners(&dir.path().join("owners")).unwrap(), 6);
}

#[test]
fn a_lease_is_free_when_its_holder_is_killed_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(dir.path(), "hold 1".to_owned());
    let holder = OwnerId::parse(&wait_for(&mut child, "owner ")).unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let held = store.acquire(&on(run(1)), &owner("b"), 2, false);
    assert!(matches!(held, Err(LeaseError::Held(h)) if h.owner.id == holder));
    assert!(owner_alive(&dir.path().join("owners"), &holder));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(store.acquire(&on(run(1)), &owner("b"), 3, false).is_ok());
}
