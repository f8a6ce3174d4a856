//! What goes in and what comes out.

use crate::Test;
use crate::support::{Context, PATIENCE, bytes_of, eventually};
use std::io::Write;
use windlass_worker::control::{FromShim, ToShim};
use windlass_worker::spool::FrameKind;
use windlass_worker::{DropRule, Secrets, StdinPlan, Stream};

pub const TESTS: &[Test] = &[
    ("the_environment_is_exactly_what_was_asked", the_environment_is_exactly_what_was_asked),
    ("the_agents_world_is_clean", the_agents_world_is_clean),
    ("a_long_prompt_arrives_whole", a_long_prompt_arrives_whole),
    ("stdin_stays_open_for_more", stdin_stays_open_for_more),
    ("stdin_that_nobody_reads_fails", stdin_that_nobody_reads_fails),
    ("secrets_do_not_reach_the_spool", secrets_do_not_reach_the_spool),
    ("invalid_utf8_is_kept", invalid_utf8_is_kept),
    ("dropped_lines", dropped_lines),
    ("a_settled_line_closes_standard_input", a_settled_line_closes_standard_input),
    ("a_settled_worker_that_lingers_is_ended", a_settled_worker_that_lingers_is_ended),
    ("a_huge_line_takes_bounded_memory", a_huge_line_takes_bounded_memory),
    ("a_silent_engine_is_not_waited_for", a_silent_engine_is_not_waited_for),
];

fn the_environment_is_exactly_what_was_asked(c: &Context<'_>) {
    let mut spec = c.script("exec cat /proc/self/environ");
    spec.env =
        vec![("PATH".into(), "/usr/bin:/bin".into()), ("A".into(), "1".into()), ("A".into(), "2".into())];
    let secrets = Secrets { env: vec![("PLAIN".into(), "abc".into())], redact: vec![] };
    let mut attempt = c.start_with(&spec, &secrets);
    attempt.end();
    let out = bytes_of(&attempt.frames(), FrameKind::Stdout);
    let mut env: Vec<_> =
        out.split(|b| *b == 0).filter(|v| !v.is_empty()).map(String::from_utf8_lossy).collect();
    env.retain(|v| {
        !v.starts_with("PWD=")
            && !v.starts_with("OLDPWD=")
            && !v.starts_with("SHLVL=")
            && !v.starts_with("_=")
    });
    env.sort();
    let mark = format!("WINDLASS_ATTEMPT_MARK={}", spec.marker);
    assert_eq!(env, ["A=2", "PATH=/usr/bin:/bin", "PLAIN=abc", mark.as_str()]);
}

fn the_agents_world_is_clean(c: &Context<'_>) {
    let mut spec = c.script("ls -1 /proc/$$/fd; umask; pwd; ps -o sid= -p $$; echo $$");
    spec.umask = Some(0o027);
    let (end, frames) = c.run(&spec);
    assert!(end.is_clean_exit(), "{end:?}");
    let out = String::from_utf8(bytes_of(&frames, FrameKind::Stdout)).unwrap();
    let lines: Vec<&str> = out.lines().map(str::trim).collect();
    assert_eq!(&lines[..4], ["0", "1", "2", "0027"], "{out}");
    assert_eq!(lines[4], c.dir.path().to_str().unwrap());
    if lines.len() == 7 {
        assert_eq!(lines[5], lines[6], "it leads its session");
    }

    let mut spec = c.script("");
    spec.spool = c.path("signals");
    spec.program = "grep".into();
    spec.args = vec!["-E".into(), "^Sig(Blk|Ign):".into(), "/proc/self/status".into()];
    let (_, frames) = c.run(&spec);
    let out = String::from_utf8(bytes_of(&frames, FrameKind::Stdout)).unwrap();
    for line in out.lines() {
        let set = u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
        // 32 and 33 belong to the C library, which lets nobody change them.
        assert_eq!(set & !(3 << 31), 0, "{out}");
    }
    assert_eq!(out.lines().count(), 2);
}

fn a_long_prompt_arrives_whole(c: &Context<'_>) {
    let prompt: Vec<u8> = (0..400_000u32).map(|i| (i % 251) as u8).collect();
    let mut spec = c.script("cat > $DIR/got");
    spec.stdin = StdinPlan::Bytes(prompt.clone());
    spec.env.push(("LARGE".into(), "x".repeat(90_000).into()));
    let (end, frames) = c.run(&spec);
    assert!(end.is_clean_exit(), "{end:?}");
    assert_eq!(end.bytes.stdin, 400_000);
    assert!(std::fs::read(c.path("got")).unwrap() == prompt);
    assert!(bytes_of(&frames, FrameKind::Stdin) == prompt);
}

fn stdin_stays_open_for_more(c: &Context<'_>) {
    let mut spec = c.script("while read line; do echo \"<$line>\"; done; echo end");
    spec.stdin = StdinPlan::Open(b"first\n".to_vec());
    let mut attempt = c.start(&spec);
    attempt.wait_for_output("<first>");
    attempt.send(&ToShim::Stdin { id: 42, bytes: b"second\n".to_vec() });
    let id = attempt.wait_for(|m| if let FromShim::StdinWritten { id } = m { Some(id) } else { None });
    assert_eq!(id, 42);
    attempt.send_all(&[
        ToShim::Unknown(77),
        ToShim::Stdin { id: 43, bytes: b"third\n".to_vec() },
        ToShim::CloseStdin,
        ToShim::Stdin { id: 44, bytes: b"late\n".to_vec() },
    ]);
    let mut failed = None;
    let mut written = false;
    attempt.wait_for(|m| {
        match m {
            FromShim::StdinWritten { id: 43 } => written = true,
            FromShim::StdinFailed { id, text } => failed = Some((id, text)),
            _ => {}
        }
        (written && failed.is_some()).then_some(())
    });
    assert_eq!(failed.unwrap().0, 44);
    assert!(attempt.end().is_clean_exit());
    let frames = attempt.frames();
    assert_eq!(bytes_of(&frames, FrameKind::Stdout), b"<first>\n<second>\n<third>\nend\n");
    assert_eq!(bytes_of(&frames, FrameKind::Stdin), b"first\nsecond\nthird\n");
}

fn stdin_that_nobody_reads_fails(c: &Context<'_>) {
    let mut spec = c.script("exec <&-; echo closed; sleep 0.5; exit 0");
    spec.stdin = StdinPlan::Open(Vec::new());
    let mut attempt = c.start(&spec);
    attempt.wait_for_output("closed");
    attempt.send(&ToShim::Stdin { id: 1, bytes: b"x".to_vec() });
    let text =
        attempt.wait_for(|m| if let FromShim::StdinFailed { id: 1, text } = m { Some(text) } else { None });
    assert!(text.contains("closed"), "{text}");
    assert!(attempt.end().is_clean_exit(), "a closed standard input harms nobody");
}

fn secrets_do_not_reach_the_spool(c: &Context<'_>) {
    let secret = "sk-very-secret-0123456789";
    let mut spec = c.script(
        "printf 'key=%s\\n' \"$KEY\"; printf %.10s \"$KEY\"; sleep 0.2; printf %s \"$KEY\" | tail -c +11; echo; echo \"$KEY\" >&2; read line",
    );
    spec.stdin = StdinPlan::Bytes(format!("use {secret}\n").into_bytes());
    let secrets = Secrets { env: vec![("KEY".into(), secret.into())], redact: vec![] };
    let mut attempt = c.start_with(&spec, &secrets);
    let end = attempt.end();
    assert_eq!(end.redactions, 4);
    let frames = attempt.frames();
    assert_eq!(bytes_of(&frames, FrameKind::Stdout), b"key=[redacted]\n[redacted]\n");
    assert_eq!(bytes_of(&frames, FrameKind::Stdin), b"use [redacted]\n");
    let file = std::fs::read(&spec.spool).unwrap();
    assert!(!file.windows(secret.len()).any(|w| w == secret.as_bytes()));
}

fn invalid_utf8_is_kept(c: &Context<'_>) {
    let (_, frames) = c.run(&c.script("printf '\\377\\376\\000\\n\\200'"));
    assert_eq!(bytes_of(&frames, FrameKind::Stdout), b"\xff\xfe\0\n\x80");
}

fn dropped_lines(c: &Context<'_>) {
    let mut spec = c.script(
        "for i in 1 2 3; do echo \"{u:$i}\"; echo \"keep $i\"; echo \"{u:$i}\" >&2; done; printf '{u'",
    );
    spec.drops = vec![DropRule { stream: Stream::Stdout, prefix: b"{u:".to_vec() }];
    let (end, frames) = c.run(&spec);
    assert_eq!(bytes_of(&frames, FrameKind::Stdout), b"keep 1\nkeep 2\nkeep 3\n{u");
    assert_eq!(bytes_of(&frames, FrameKind::Stderr), b"{u:1}\n{u:2}\n{u:3}\n");
    assert_eq!(end.bytes.dropped, 18);
}

/// Nobody speaks to the worker after its start: the shim itself closes its input at the settled line.
fn a_settled_line_closes_standard_input(c: &Context<'_>) {
    let mut spec = c.script("echo work; read a; echo \"got $a\"; echo '{done}'; cat; echo gone");
    spec.stdin = StdinPlan::Open(b"one\ntwo\n".to_vec());
    spec.settled_on = vec![DropRule { stream: Stream::Stdout, prefix: b"{done".to_vec() }];
    let (end, frames) = c.run(&spec);
    assert!(end.is_clean_exit(), "{end:?}");
    assert_eq!(bytes_of(&frames, FrameKind::Stdout), b"work\ngot one\n{done}\ntwo\ngone\n");
}

/// One that does not leave although its work is over is made to.
fn a_settled_worker_that_lingers_is_ended(c: &Context<'_>) {
    let mut spec = c.script("echo '{done}'; sleep 1000");
    spec.stdin = StdinPlan::Open(Vec::new());
    spec.settled_on = vec![DropRule { stream: Stream::Stdout, prefix: b"{done".to_vec() }];
    spec.stop.linger_ms = 100;
    let (end, _) = c.run(&spec);
    assert_eq!(end.stopped_by, Some(windlass_worker::StoppedBy::Drain));
}

/// One line, hundreds of times larger than all buffers together; the dropped one is 200 MB.
fn a_huge_line_takes_bounded_memory(c: &Context<'_>) {
    for (name, drop, size) in [("kept", false, 20_000_000), ("dropped", true, 200_000_000u64)] {
        let mut spec = c.script(&format!(
            "printf '{{u'; head -c {size} /dev/zero; echo; echo ready >&2; read line; echo last"
        ));
        spec.spool = c.path(name);
        spec.stdin = StdinPlan::Open(Vec::new());
        if drop {
            spec.drops = vec![DropRule { stream: Stream::Stdout, prefix: b"{u".to_vec() }];
        }
        let mut attempt = c.start(&spec);
        let shim = attempt.claim().shim.pid;
        eventually("all of it is read", || bytes_of(&attempt.frames(), FrameKind::Stderr) == b"ready\n");
        let status = std::fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
        let anonymous = status.lines().find(|l| l.starts_with("RssAnon:")).unwrap();
        let kb: u64 = anonymous.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(kb < 3_000, "the shim holds {kb} kB");
        attempt.send(&ToShim::Stdin { id: 1, bytes: b"\n".to_vec() });
        let end = attempt.end();
        assert!(end.is_clean_exit(), "{end:?}");
        let expected = if drop { (5, size + 3) } else { (size + 3 + 5, 0) };
        assert_eq!((end.bytes.stdout, end.bytes.dropped), expected);
        std::fs::remove_file(&spec.spool).unwrap();
    }
}

/// An engine that reads nothing cannot hold a worker up.
fn a_silent_engine_is_not_waited_for(c: &Context<'_>) {
    let mut spec = c.script("i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); sleep 0.002; done");
    spec.stdin = StdinPlan::Open(Vec::new());
    let mut attempt = c.start(&spec);
    // Stopped in the middle of a message, too.
    attempt.stream.write_all(&[200, 0, 0, 0, 2]).unwrap();
    eventually("it ends", || {
        matches!(windlass_worker::probe(&spec.spool), Ok(windlass_worker::Probe::Ended { .. }))
    });
    attempt.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(attempt.end().is_clean_exit());
}
