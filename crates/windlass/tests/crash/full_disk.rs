//! A disk that is full, or that can only be read: a clear error, nothing lost, and on it goes when there is space again.

use crate::world::{World, check_journal, count, run_state, step, task};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use windlass_testkit::process::{self, Output, Running, wait_until};

/// A home on a small disk of its own, in a mount namespace that ends with the test. Commands run inside of it.
struct SmallDisk<'w> {
    world: &'w World,
    keeper: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
    own_users: bool,
}

/// Takes commands on standard input inside the namespace and answers each with a line.
const KEEPER: &str = r#"
set -e
cp -a "$H" "$H.copy"
mount -t tmpfs -o "size=$S,mode=0700" tmpfs "$H"
cp -a "$H.copy/." "$H/"
echo ready
while read -r words; do
    if eval "$words" >&2; then echo ok; else echo no; fi
done
"#;

impl<'w> SmallDisk<'w> {
    /// Moves the world's home to a disk of so many kilobytes.
    fn new(world: &'w World, kb: u32) -> Self {
        for own_users in [false, true] {
            let mut command = Command::new("unshare");
            command.args(if own_users { &["--map-root-user", "--mount"][..] } else { &["--mount"][..] });
            command.args(["sh", "-c", KEEPER]).env("H", world.user.home()).env("S", format!("{kb}k"));
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            if !own_users {
                // What it says when only a namespace of users helps is of no use to anybody.
                command.stderr(Stdio::null());
            }
            let mut keeper = command.spawn().unwrap();
            let (say, hear) = (keeper.stdin.take().unwrap(), keeper.stdout.take().unwrap());
            let mut disk = Self { world, keeper, say, hear: BufReader::new(hear), own_users };
            if disk.answer() == "ready" {
                return disk;
            }
        }
        panic!(
            "a small disk can be mounted neither as root nor in a user namespace of its own: run the tests as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)"
        );
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.hear.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Does something inside, such as a mount.
    #[track_caller]
    fn inside(&mut self, script: &str) {
        writeln!(self.say, "{script}").unwrap();
        assert_eq!(self.answer(), "ok", "{script}");
    }

    /// Leaves no byte of space.
    fn fill(&mut self) {
        self.inside(r#"! cat /dev/zero >"$H/ballast" 2>/dev/null"#);
    }

    fn free(&mut self) {
        self.inside(r#"rm "$H/ballast""#);
    }

    fn command(&self, args: &[&str]) -> Command {
        let inner = self.world.user.command(args);
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.keeper.id())).arg("--mount");
        if self.own_users {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg(format!("--wd={}", self.world.user.cwd().display())).arg("--").arg(inner.get_program());
        command.args(inner.get_args()).env_clear();
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap());
        }
        command
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Output {
        process::run(self.command(args), b"")
    }

    fn spawn(&self, args: &[&str]) -> Running {
        Running::start(self.command(args))
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_slice(&self.run(args).expect_code(0).stdout).unwrap()
    }

    #[track_caller]
    fn events(&self, run: &str) -> Vec<Value> {
        let text = self.run(&["events", run, "--json"]).expect_code(0).out();
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// A run that is refused. What is asked is more than fits into what is left of the journal's last block: a small request may
    /// still be taken on a disk without a free block, and is done when there is space.
    #[track_caller]
    fn refuses_a_run(&self) {
        let goal = "do it ".repeat(2_000);
        assert_says_so(&self.run(&["run", "-d", "--team", "two", &goal]));
    }

    #[track_caller]
    fn start(&self, team: &str) -> String {
        self.run(&["run", "-d", "--team", team, "do it"]).expect_code(0).out().trim().to_owned()
    }

    /// A file of the home, seen from outside.
    fn path(&self, name: &str) -> PathBuf {
        let home = self.world.user.home();
        PathBuf::from(format!("/proc/{}/root{}/{name}", self.keeper.id(), home.display()))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// A worker that says much more than the disk holds when it is full, and one after it.
fn team(world: &World) {
    world.agent(
        "work",
        "start\necho before\nwait_for go\ni=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo \"$WINDLASS_STEP line $i of many\"; done\n: >\"$M/said\"\nend",
    );
    world.agent("last", "start\necho last\nend");
    world.team("two", 2, &[], &[step("work", "work", &[]), step("last", "last", &["work"])]);
}

fn expected() -> String {
    let mut text = "before\n".to_owned();
    (1..=30000).for_each(|i| writeln!(text, "work line {i} of many").unwrap());
    text
}

#[track_caller]
fn check(disk: &SmallDisk<'_>, run: &str) {
    disk.run(&["wait", run]).expect_code(0);
    let status = disk.json(&["status", run, "--json"]);
    assert_eq!(run_state(&status), "completed", "{status:#}");
    let attempts = check_journal(&disk.events(run));
    assert_eq!(attempts[task(&status, "work")["id"].as_str().unwrap()], ["ended"]);
    let log = disk.world.log();
    assert_eq!((log.started("work"), log.ended("work"), log.started("last")), (1, 1, 1), "{log:#?}");
    let shown = disk.run(&["logs", &format!("{run}/work"), "--raw"]).expect_code(0).out();
    assert!(shown == expected(), "{} bytes of {}", shown.len(), expected().len());
    let path = task(&status, "work")["result"]["path"].as_str().unwrap().to_owned();
    let path = disk.path("").join(path.trim_start_matches(&format!("{}/", disk.world.user.home().display())));
    assert_eq!(std::fs::read_to_string(path).unwrap(), expected());
}

#[track_caller]
fn assert_says_so(output: &Output) {
    assert_eq!(output.code, Some(5), "{}\n{}", output.out(), output.err());
    let text = output.err();
    let says = ["full", "space"].iter().any(|w| text.contains(w));
    assert!(says && !text.contains("panicked"), "{text}");
    assert_eq!(output.out(), "");
}

#[test]
fn nothing_is_created_on_a_full_disk() {
    let world = World::new();
    team(&world);
    let mut disk = SmallDisk::new(&world, 8_192);
    // Neither with a daemon to be started,
    disk.fill();
    disk.refuses_a_run();
    disk.free();
    assert_eq!(disk.json(&["list", "--json", "--all"])["runs"], Value::Array(Vec::new()));
    // nor with one that runs already and has a run to its name.
    let first = disk.start("two");
    world.wait_started(&["work"]);
    disk.run(&["cancel", &first]).expect_code(0);
    disk.fill();
    disk.refuses_a_run();
    disk.free();
    let list = disk.json(&["list", "--json"]);
    assert_eq!(list["runs"].as_array().unwrap().len(), 1, "{list:#}");
    assert_eq!(world.log().starts.len(), 1);
    // There is space again: the same commands do it.
    world.set("go");
    std::fs::remove_file(world.mark("log")).unwrap();
    let run = disk.start("two");
    check(&disk, &run);
}

/// The disk fills while a worker runs: what it says waits in its pipe, its end is recorded when there is space, and
/// nothing is started meanwhile.
#[test]
fn a_run_goes_on_when_there_is_space_again() {
    let world = World::new();
    team(&world);
    let mut disk = SmallDisk::new(&world, 8_192);
    let run = disk.start("two");
    world.wait_started(&["work"]);
    let attach = disk.spawn(&["attach", &run]);
    attach.wait_stderr("the task", |e| e.contains("work"));
    disk.fill();
    world.set("go");
    // Its pipe holds less than it has to say, so it stands still there; nothing of what is needed for more is written.
    disk.refuses_a_run();
    assert_eq!(count(&disk.events(&run), "attempt.ended"), 0);
    assert!(!world.mark("said").exists());
    // A second engine in the middle of it changes nothing.
    let daemon = world.daemons()[0];
    crate::world::kill(daemon);
    let _ = disk.run(&["daemon", "start"]);
    disk.free();
    check(&disk, &run);
    attach.wait().expect_code(0);
}

/// The worker has said all and ends on a full disk.
#[test]
fn an_end_is_recorded_when_there_is_space_again() {
    let world = World::new();
    world.agent("work", "start\nwait_for go\nend");
    world.agent("last", "start\nend");
    world.team("two", 2, &[], &[step("work", "work", &[]), step("last", "last", &["work"])]);
    let mut disk = SmallDisk::new(&world, 8_192);
    let run = disk.start("two");
    let pid = world.wait_started(&["work"])[0];
    disk.fill();
    world.set("go");
    wait_until("the worker's end", || world.log().ended("work") == 1 && !process::is_alive(pid));
    disk.refuses_a_run();
    assert_eq!(world.log().started("last"), 0);
    disk.free();
    disk.run(&["wait", &run]).expect_code(0);
    let attempts = check_journal(&disk.events(&run));
    // Its start may have been decided while there was no room for its file.
    let once = |all: &Vec<String>| {
        all.split_last().is_some_and(|(last, before)| last == "ended" && before.iter().all(|a| a == "voided"))
    };
    assert!(attempts.values().all(once), "{attempts:?}");
    let log = world.log();
    assert_eq!((log.started("work"), log.started("last"), log.ended("last")), (1, 1, 1), "{log:#?}");
}

/// A disk that can only be read: everything can be looked at, nothing can be started, and it is said why.
#[test]
fn a_disk_that_can_only_be_read() {
    let world = World::new();
    team(&world);
    world.set("go");
    let mut disk = SmallDisk::new(&world, 8_192);
    let run = disk.start("two");
    check(&disk, &run);
    disk.run(&["daemon", "stop"]).expect_code(0);
    wait_until("everything to be closed", || {
        world.user.processes().iter().all(|p| p.command.contains("sh -c"))
    });
    disk.inside(r#"mount -o remount,ro "$H""#);
    for args in [
        vec!["status", &run],
        vec!["show", &run],
        vec!["list"],
        vec!["events", &run],
        vec!["logs", &run],
        vec!["graph", &run],
        vec!["daemon", "status"],
        vec!["wait", &run],
    ] {
        let output = disk.run(&args);
        assert_eq!(output.code, Some(0), "{args:?}: {}", output.err());
    }
    for args in [&["run", "-d", "--team", "two", "do it"][..], &["retry", &run], &["daemon", "start"]] {
        let output = disk.run(args);
        assert_eq!(output.code, Some(5), "{args:?}: {}", output.err());
        assert!(output.err().to_lowercase().contains("read-only"), "{args:?}: {}", output.err());
    }
    let inline = disk.run(&["run", "--no-daemon", "--team", "two", "do it"]);
    assert_eq!(inline.code, Some(5), "{}", inline.err());
    disk.inside(r#"mount -o remount,rw "$H""#);
    std::fs::remove_file(world.mark("log")).unwrap();
    let next = disk.start("two");
    check(&disk, &next);
}
