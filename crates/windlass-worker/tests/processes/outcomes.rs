//! Every way an attempt can end is told apart.

use crate::support::{Context, bytes_of, eventually, kinds, marked};
use crate::{Test, support};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use windlass_worker::control::{FromShim, Refusal, StopReason, ToShim};
use windlass_worker::record::{AgentExit, Exited, StoppedBy};
use windlass_worker::spool::FrameKind;
use windlass_worker::{Probe, Secrets, StdinPlan, probe};

pub const TESTS: &[Test] = &[
    ("clean", clean),
    ("non_zero", non_zero),
    ("signal", signal),
    ("silence", silence),
    ("output_holds_silence_off", output_holds_silence_off),
    ("wall", wall),
    ("cancel", cancel),
    ("cancel_asks_first", cancel_asks_first),
    ("the_whole_group_can_be_asked", the_whole_group_can_be_asked),
    ("drain", drain),
    ("a_voided_attempt_never_begins", a_voided_attempt_never_begins),
    ("cannot_start", cannot_start),
    ("scripts_without_shebang", scripts_without_shebang),
    ("output_limit", output_limit),
    ("a_claim_is_taken_once", a_claim_is_taken_once),
    ("nothing_starts_without_a_claim", nothing_starts_without_a_claim),
    ("full_disk", full_disk),
    ("terminated_shim", terminated_shim),
    ("many_at_once", many_at_once),
];

fn clean(c: &Context<'_>) {
    let spec = c.script("echo out; echo err >&2");
    let (end, frames) = c.run(&spec);
    assert_eq!(end.exit, Some(AgentExit::Code(0)));
    assert_eq!(end.stopped_by, None);
    assert!(end.is_clean_exit() && !end.killed && !end.pipes_forced && !end.truncated);
    assert_eq!((end.bytes.stdout, end.bytes.stderr), (4, 4));
    assert_eq!(bytes_of(&frames, FrameKind::Stdout), b"out\n");
    assert_eq!(bytes_of(&frames, FrameKind::Stderr), b"err\n");
    assert_eq!(frames.first().unwrap().kind, FrameKind::Claim);
    assert_eq!(frames.last().unwrap().kind, FrameKind::End);
    assert!(!spec.socket.exists());
    assert!(frames.iter().all(|f| f.wall_ms > 1_600_000_000_000));
}

fn non_zero(c: &Context<'_>) {
    let (end, frames) = c.run(&c.script("exit 7"));
    assert_eq!(end.exit, Some(AgentExit::Code(7)));
    assert!(!end.is_clean_exit());
    let exit = frames.iter().find(|f| f.kind == FrameKind::AgentExit).unwrap();
    assert_eq!(serde_json::from_slice::<Exited>(&exit.data).unwrap().exit, AgentExit::Code(7));
}

fn signal(c: &Context<'_>) {
    let (end, _) = c.run(&c.script("kill -SEGV $$"));
    assert_eq!(end.exit, Some(AgentExit::Signal(11)));
    assert_eq!(end.stopped_by, None);
}

fn silence(c: &Context<'_>) {
    let mut spec = c.script("echo one; exec sleep 1000");
    spec.limits.silence_ms = Some(200);
    let (end, _) = c.run(&spec);
    assert_eq!(end.stopped_by, Some(StoppedBy::Silence));
    assert_eq!(end.exit, Some(AgentExit::Signal(15)));
    assert!(marked(&spec.marker).is_empty());
}

fn output_holds_silence_off(c: &Context<'_>) {
    let mut spec = c.script("for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.1; done");
    spec.limits.silence_ms = Some(700);
    let (end, _) = c.run(&spec);
    assert!(end.is_clean_exit(), "{end:?}");
}

fn wall(c: &Context<'_>) {
    let mut spec = c.script("while :; do echo x; sleep 0.05; done");
    spec.limits.wall_ms = Some(300);
    let (end, _) = c.run(&spec);
    assert_eq!(end.stopped_by, Some(StoppedBy::Wall));
    assert!(end.ran_ms >= 300);
}

fn cancel(c: &Context<'_>) {
    let spec = c.script("echo ready; exec sleep 1000");
    let mut attempt = c.start(&spec);
    attempt.wait_for_output("ready");
    attempt.send_all(&[StopReason::Cancel, StopReason::Drain].map(|reason| ToShim::Stop { reason }));
    let by = attempt.wait_for(|m| if let FromShim::Stopping { by } = m { Some(by) } else { None });
    assert_eq!(by, StoppedBy::Cancel);
    let end = attempt.end();
    assert_eq!(end.stopped_by, Some(StoppedBy::Cancel), "the first reason stays");
    assert!(!end.killed);
}

fn cancel_asks_first(c: &Context<'_>) {
    let mut spec = c.script("echo ready; read line; echo \"got $line\"; read line || echo closed; exit 3");
    spec.stdin = StdinPlan::Open(Vec::new());
    spec.stop.abort = b"abort\n".to_vec();
    spec.stop.close_stdin = true;
    spec.stop.abort_grace_ms = 20_000;
    let mut attempt = c.start(&spec);
    attempt.wait_for_output("ready");
    attempt.send(&ToShim::Stop { reason: StopReason::Cancel });
    let end = attempt.end();
    assert_eq!((end.stopped_by, end.exit), (Some(StoppedBy::Cancel), Some(AgentExit::Code(3))));
    let frames = attempt.frames();
    assert_eq!(bytes_of(&frames, FrameKind::Stdout), b"ready\ngot abort\nclosed\n");
    assert_eq!(bytes_of(&frames, FrameKind::Stdin), b"abort\n");
    assert!(kinds(&frames).contains(&FrameKind::Note));
}

fn the_whole_group_can_be_asked(c: &Context<'_>) {
    let mut spec = c.script(
        "trap : TERM; sh -c 'trap \"echo child; exit 0\" TERM; echo ready; while :; do sleep 0.02; done' & wait; wait; exit 5",
    );
    spec.stop.whole_group = true;
    spec.stop.term_grace_ms = 20_000;
    let mut attempt = c.start(&spec);
    attempt.wait_for_output("ready");
    attempt.send(&ToShim::Stop { reason: StopReason::Cancel });
    assert_eq!(attempt.end().exit, Some(AgentExit::Code(5)));
    assert_eq!(bytes_of(&attempt.frames(), FrameKind::Stdout), b"ready\nchild\n");
}

fn a_voided_attempt_never_begins(c: &Context<'_>) {
    let spec = c.script("touch $DIR/started");
    assert!(windlass_worker::spool::void(&spec.spool, &spec.key).unwrap());
    let mut late = c.start(&spec);
    assert!(matches!(late.message(), Some(FromShim::Refused { why: Refusal::AlreadyClaimed, .. })));
    assert!(!c.path("started").exists());
}

fn drain(c: &Context<'_>) {
    let mut attempt = c.start(&c.script("trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done"));
    attempt.wait_for_output("ready");
    attempt.send(&ToShim::Stop { reason: StopReason::Drain });
    let end = attempt.end();
    assert_eq!((end.stopped_by, end.exit), (Some(StoppedBy::Drain), Some(AgentExit::Code(0))));
}

fn cannot_start(c: &Context<'_>) {
    let run = |name: &str, change: &dyn Fn(&mut windlass_worker::ShimSpec)| {
        let mut spec = c.script("true");
        spec.spool = c.path(name);
        change(&mut spec);
        let (end, frames) = c.run(&spec);
        assert_eq!(end.stopped_by, Some(StoppedBy::CannotStart));
        assert_eq!(end.exit, None);
        assert_eq!(kinds(&frames), [FrameKind::Claim, FrameKind::End]);
        end.cannot_start.unwrap()
    };
    let text = run("missing", &|s| s.program = "no-such-program".into());
    assert!(text.contains("`no-such-program`") && text.contains("No such file"), "{text}");
    std::fs::write(c.path("plain"), "x").unwrap();
    let text = run("not-executable", &|s| s.program = c.path("plain").into());
    assert!(text.contains("Permission denied"), "{text}");
    let text = run("no-folder", &|s| s.cwd = c.path("nowhere"));
    assert!(text.contains("cannot enter the directory") && text.contains("nowhere"), "{text}");
    let text = run("folder", &|s| s.program = "/".into());
    assert!(text.contains("Permission denied"), "{text}");
}

fn scripts_without_shebang(c: &Context<'_>) {
    use std::os::unix::fs::PermissionsExt;
    let path = c.path("bare");
    std::fs::write(&path, "echo \"$0 $1\"\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut spec = c.script("");
    // Found through PATH, after a folder without it.
    spec.env = vec![("PATH".into(), format!("/nowhere:{}", c.dir.path().display()).into())];
    spec.program = "bare".into();
    spec.args = vec!["one".into()];
    let (end, frames) = c.run(&spec);
    assert!(end.is_clean_exit(), "{end:?}");
    assert_eq!(bytes_of(&frames, FrameKind::Stdout), format!("{} one\n", path.display()).as_bytes());
}

fn output_limit(c: &Context<'_>) {
    let mut spec = c.script("while :; do echo 0123456789; done");
    spec.limits.output_bytes = Some(100_000);
    let (end, frames) = c.run(&spec);
    assert_eq!(end.stopped_by, Some(StoppedBy::OutputLimit));
    assert!(end.truncated && end.bytes.over_limit > 0);
    assert_eq!(end.bytes.stdout, 100_000);
    assert_eq!(bytes_of(&frames, FrameKind::Stdout).len(), 100_000);
}

fn a_claim_is_taken_once(c: &Context<'_>) {
    let spec = c.script("echo $$ >> $DIR/starts; echo ready; exec sleep 1000");
    let mut first = c.start(&spec);
    first.claim();
    let mut racers: Vec<_> = (0..5).map(|_| c.start(&spec)).collect();
    for racer in &mut racers {
        let why = racer.wait_for(|m| if let FromShim::Refused { why, .. } = m { Some(why) } else { None });
        assert_eq!(why, Refusal::AlreadyClaimed);
        assert_eq!(racer.message(), None);
    }
    assert!(c.nursery.spawn_and_wait(&spec, &Secrets::default()).is_err());
    first.wait_for_output("ready");
    first.send(&ToShim::Stop { reason: StopReason::Cancel });
    first.end();
    let mut late = c.start(&spec);
    assert!(matches!(late.message(), Some(FromShim::Refused { .. })), "also when it has ended");
    assert_eq!(std::fs::read_to_string(c.path("starts")).unwrap().lines().count(), 1);
    let left: Vec<_> = std::fs::read_dir(c.dir.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 2, "no temporary files: {left:?}");
}

fn nothing_starts_without_a_claim(c: &Context<'_>) {
    let mut spec = c.script("touch $DIR/started");
    spec.spool = c.path("no/such/folder");
    let mut attempt = c.start(&spec);
    let (why, text) =
        attempt.wait_for(|m| if let FromShim::Refused { why, text } = m { Some((why, text)) } else { None });
    assert_eq!(why, Refusal::CannotClaim);
    assert!(text.contains("No such file"), "{text}");
    assert_eq!(attempt.message(), None);
    assert_eq!(probe(&spec.spool).unwrap(), Probe::NoClaim);
    assert!(!c.path("started").exists());
}

/// A file size limit stands in for a full disk: the same failing and partial writes.
fn full_disk(c: &Context<'_>) {
    let mut spec = c.script(
        "echo ready; read line; i=0; while [ $i -lt 4000 ]; do echo \"line $i 0123456789012345678901234567890123456789\"; i=$((i+1)); done; sleep 1.5; echo last",
    );
    spec.stdin = StdinPlan::Open(Vec::new());
    spec.limits.silence_ms = Some(1_400);
    let mut attempt = c.start(&spec);
    let claim = attempt.claim();
    attempt.wait_for_output("ready");
    let shim = Pid::from_raw(claim.shim.pid);
    let at = std::fs::metadata(&spec.spool).unwrap().len() + 5_001;
    let before = prlimit(shim, Resource::Fsize, Rlimit { current: Some(at), maximum: None }).unwrap();
    attempt.send(&ToShim::Stdin { id: 1, bytes: b"go\n".to_vec() });
    eventually("the disk is full", || std::fs::metadata(&spec.spool).unwrap().len() == at);
    // Longer than the silence limit, which stands still.
    std::thread::sleep(std::time::Duration::from_millis(1_600));
    assert!(matches!(probe(&spec.spool).unwrap(), Probe::Alive { .. }));
    prlimit(shim, Resource::Fsize, before).unwrap();
    let end = attempt.end();
    // The script itself is silent for longer than the limit at its very end.
    assert_eq!(end.stopped_by, Some(StoppedBy::Silence), "{end:?}");
    let frames = attempt.frames();
    let expected: String = std::iter::once("ready\n".to_owned())
        .chain((0..4000).map(|i| format!("line {i} 0123456789012345678901234567890123456789\n")))
        .collect();
    assert_eq!(bytes_of(&frames, FrameKind::Stdout), expected.as_bytes(), "no byte is lost or doubled");
    assert!(frames.iter().any(|f| String::from_utf8_lossy(&f.data).contains("disk-was-full")));
}

fn terminated_shim(c: &Context<'_>) {
    let mut spec = c.script("echo ready; exec sleep 1000");
    spec.revive =
        vec!["/bin/sh".into(), "-c".into(), format!("touch {}", c.path("revived").display()).into()];
    let mut attempt = c.start(&spec);
    let claim = attempt.claim();
    attempt.wait_for_output("ready");
    support::kill(claim.shim.pid, Signal::TERM);
    assert_eq!(attempt.end().stopped_by, Some(StoppedBy::Terminated));
    assert!(!c.path("revived").exists());
}

fn many_at_once(c: &Context<'_>) {
    let mut all: Vec<_> = (0..200)
        .map(|i| {
            let mut spec = c.script(&format!("echo {i}"));
            spec.spool = c.path(&format!("{i}"));
            c.start(&spec)
        })
        .collect();
    for (i, attempt) in all.iter_mut().enumerate() {
        assert!(attempt.end().is_clean_exit());
        assert_eq!(bytes_of(&attempt.frames(), FrameKind::Stdout), format!("{i}\n").as_bytes());
    }
}
