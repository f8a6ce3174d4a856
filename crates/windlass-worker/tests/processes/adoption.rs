//! Engines come and go; workers stay.

use crate::Test;
use crate::support::{Attempt, Context, bytes_of, eventually, kinds, marked, script_in};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use windlass_worker::control::{FromShim, StopReason, ToShim, connect};
use windlass_worker::record::StoppedBy;
use windlass_worker::spool::FrameKind;
use windlass_worker::{Nursery, Probe, Secrets, ShimSpec, StdinPlan, probe};

pub const TESTS: &[Test] = &[
    ("a_killed_engine_is_survived", a_killed_engine_is_survived),
    ("a_tied_worker_is_not_left_alone", a_tied_worker_is_not_left_alone),
    ("the_last_one_calls_an_engine", the_last_one_calls_an_engine),
    ("an_engine_killed_at_work_has_a_successor", an_engine_killed_at_work_has_a_successor),
    ("an_engine_killed_at_rest_has_none", an_engine_killed_at_rest_has_none),
    ("a_connected_engine_is_enough", a_connected_engine_is_enough),
    ("long_paths_and_lost_sockets", long_paths_and_lost_sockets),
    ("nonsense_on_the_socket", nonsense_on_the_socket),
    ("a_nursery_leaves_after_its_last_shim", a_nursery_leaves_after_its_last_shim),
];

const STEERABLE: &str = "echo ready; while read line; do echo \"<$line>\"; done; echo end";

fn steerable(dir: &Path, name: &str) -> ShimSpec {
    let mut spec = script_in(dir, name, STEERABLE);
    spec.stdin = StdinPlan::Open(Vec::new());
    spec
}

/// Another process, with a nursery of its own, that starts one worker and waits to be killed.
pub fn be_engine(args: &[String]) -> ExitCode {
    let [dir, name, flags] = args else { return ExitCode::FAILURE };
    let successor = format!("echo \"deaths ${{WINDLASS_DEATHS_IN_A_ROW-}}\" >> {dir}/successors");
    let nursery = Nursery::start_with(vec!["/bin/sh".into(), "-c".into(), successor.into()]).unwrap();
    nursery.set_at_work(flags.contains("at-work") || flags.contains("at-rest"));
    nursery.set_at_work(flags.contains("at-work"));
    let mut spec = steerable(Path::new(dir), name);
    spec.marker = format!("{name}-0123456789abcdef").replace('_', "-");
    spec.tied = flags.contains("tied");
    if flags.contains("revive") {
        spec.revive = vec!["/bin/sh".into(), "-c".into(), format!("echo $$ >> {dir}/revived").into()];
    }
    let (_stream, claim) = nursery.spawn_and_wait(&spec, &Secrets::default()).unwrap();
    std::fs::write(Path::new(dir).join("pids"), format!("{} {}", nursery.pid(), claim.shim.pid)).unwrap();
    loop {
        std::thread::park();
    }
}

struct Engine {
    child: Child,
    spec: ShimSpec,
    nursery: i32,
}

fn engine(c: &Context<'_>, name: &str, flags: &str) -> Engine {
    let dir = c.dir.path();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--engine", dir.to_str().unwrap(), name, flags])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let pids = || std::fs::read_to_string(dir.join("pids")).unwrap_or_default();
    eventually("the engine runs", || pids().contains(' '));
    let mut spec = steerable(dir, name);
    spec.marker = format!("{name}-0123456789abcdef").replace('_', "-");
    Engine { child, spec, nursery: pids().split(' ').next().unwrap().parse().unwrap() }
}

impl Engine {
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// As a new engine does it: by the file alone, then the socket that it names.
fn adopt(spec: &ShimSpec) -> Attempt {
    let Probe::Alive { claim } = probe(&spec.spool).unwrap() else { panic!("not alive") };
    let mut stream = None;
    eventually("the shim listens", || {
        stream = connect(&claim.socket).ok();
        stream.is_some()
    });
    let mut attempt = Attempt::new(stream.unwrap(), spec);
    assert_eq!(attempt.claim(), claim);
    attempt
}

fn a_killed_engine_is_survived(c: &Context<'_>) {
    let mut engine = engine(c, "survived", "");
    engine.kill();
    let spec = &engine.spec;
    let mut adopted = adopt(spec);
    adopted.wait_for_output("ready");
    adopted.send(&ToShim::Stdin { id: 1, bytes: b"hello\n".to_vec() });
    adopted.wait_for(|m| matches!(m, FromShim::StdinWritten { id: 1 }).then_some(()));
    adopted.wait_for_output("<hello>");
    // A second engine at the same time, and the first one leaves.
    let mut other = adopt(spec);
    drop(adopted);
    other.send(&ToShim::Stdin { id: 2, bytes: b"again\n".to_vec() });
    other.wait_for_output("<again>");
    assert!(matches!(probe(&spec.spool).unwrap(), Probe::Alive { .. }));
    other.send(&ToShim::CloseStdin);
    assert!(other.end().is_clean_exit());
    assert_eq!(bytes_of(&other.frames(), FrameKind::Stdout), b"ready\n<hello>\n<again>\nend\n");
    // The end is told before the socket's file is removed.
    eventually("the socket is gone", || !spec.socket.exists());
    eventually("the nursery of the dead engine leaves", || {
        !Path::new(&format!("/proc/{}", engine.nursery)).exists()
    });
}

fn a_tied_worker_is_not_left_alone(c: &Context<'_>) {
    let mut engine = engine(c, "tied", "tied revive");
    eventually("the worker runs", || !marked(&engine.spec.marker).is_empty());
    engine.kill();
    eventually("it ends", || matches!(probe(&engine.spec.spool), Ok(Probe::Ended { .. })));
    let Ok(Probe::Ended { end, .. }) = probe(&engine.spec.spool) else { panic!() };
    assert_eq!(end.stopped_by, Some(StoppedBy::Tied));
    assert!(marked(&engine.spec.marker).is_empty());
    eventually("everything leaves", || !Path::new(&format!("/proc/{}", engine.nursery)).exists());
    assert!(!c.path("revived").exists());
}

fn the_last_one_calls_an_engine(c: &Context<'_>) {
    let mut engine = engine(c, "revive", "revive");
    engine.kill();
    let adopted = adopt(&engine.spec);
    let agent = adopted.started().agent;
    drop(adopted);
    agent.signal(15).unwrap();
    eventually("an engine is started", || c.path("revived").exists());
    assert!(matches!(probe(&engine.spec.spool).unwrap(), Probe::Ended { .. }), "only after the end");
    eventually("the nursery leaves", || !Path::new(&format!("/proc/{}", engine.nursery)).exists());
    assert_eq!(std::fs::read_to_string(c.path("revived")).unwrap().lines().count(), 1);
}

fn successors(c: &Context<'_>) -> String {
    std::fs::read_to_string(c.path("successors")).unwrap_or_default()
}

/// At once: its worker, which would call an engine at its end, goes on.
fn an_engine_killed_at_work_has_a_successor(c: &Context<'_>) {
    let mut engine = engine(c, "at-work", "at-work");
    engine.kill();
    eventually("its successor", || successors(c) == "deaths 1\n");
    let mut adopted = adopt(&engine.spec);
    adopted.send(&ToShim::CloseStdin);
    adopted.end();
    eventually("the nursery leaves", || !Path::new(&format!("/proc/{}", engine.nursery)).exists());
    assert_eq!(successors(c).lines().count(), 1);
}

fn an_engine_killed_at_rest_has_none(c: &Context<'_>) {
    let mut engine = engine(c, "at-rest", "at-rest");
    engine.kill();
    let mut adopted = adopt(&engine.spec);
    adopted.send(&ToShim::CloseStdin);
    adopted.end();
    eventually("the nursery leaves", || !Path::new(&format!("/proc/{}", engine.nursery)).exists());
    assert_eq!(successors(c), "");
}

fn a_connected_engine_is_enough(c: &Context<'_>) {
    let mut engine = engine(c, "enough", "revive");
    engine.kill();
    let mut adopted = adopt(&engine.spec);
    adopted.send(&ToShim::CloseStdin);
    adopted.end();
    while adopted.message().is_some() {}
    eventually("the nursery leaves", || !Path::new(&format!("/proc/{}", engine.nursery)).exists());
    assert!(!c.path("revived").exists());
}

fn long_paths_and_lost_sockets(c: &Context<'_>) {
    let folder = c.path(&"long".repeat(50));
    let mut spec = c.script(STEERABLE);
    spec.stdin = StdinPlan::Open(Vec::new());
    spec.socket = folder.join("s".repeat(60));
    let mut attempt = c.start(&spec);
    attempt.claim();
    let mut second = adopt(&spec);
    assert!(matches!(probe(&spec.spool).unwrap(), Probe::Alive { .. }));
    // The folder vanishes, as a runtime directory does, and then the last engine leaves.
    std::fs::remove_dir_all(&folder).unwrap();
    drop(attempt);
    eventually("it listens again", || connect(&spec.socket).is_ok());
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&spec.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    second.send(&ToShim::Stop { reason: StopReason::Cancel });
    assert_eq!(second.end().stopped_by, Some(StoppedBy::Cancel));
}

fn nonsense_on_the_socket(c: &Context<'_>) {
    use std::io::{Read, Write};
    let mut spec = c.script(STEERABLE);
    spec.stdin = StdinPlan::Open(Vec::new());
    let mut attempt = c.start(&spec);
    attempt.claim();
    eventually("it listens", || connect(&spec.socket).is_ok());
    for _ in 0..10 {
        let mut stream = connect(&spec.socket).unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
    }
    let mut adopted = adopt(&spec);
    adopted.send(&ToShim::CloseStdin);
    assert!(adopted.end().is_clean_exit());
}

fn a_nursery_leaves_after_its_last_shim(c: &Context<'_>) {
    let mut engine = engine(c, "leaves", "");
    let name = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    assert_eq!(name(engine.nursery), "windlass-nurs\n");
    let Probe::Alive { claim } = probe(&engine.spec.spool).unwrap() else { panic!() };
    assert_eq!(name(claim.shim.pid), "windlass-shim\n");
    for pid in [engine.nursery, claim.shim.pid] {
        assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
        for fd in 0..3 {
            assert_eq!(std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap(), Path::new("/dev/null"));
        }
    }
    assert!(std::fs::read_dir(format!("/proc/{}/fd", engine.nursery)).unwrap().count() <= 5);
    engine.kill();
    assert_eq!(name(engine.nursery), "windlass-nurs\n", "while a shim lives");
    let mut adopted = adopt(&engine.spec);
    adopted.send(&ToShim::Stop { reason: StopReason::Cancel });
    assert!(kinds(&adopted.frames()).contains(&FrameKind::Claim));
    adopted.end();
    eventually("it leaves", || name(engine.nursery).is_empty());
}
