//! What shims and engines of released versions wrote and said, byte by byte: every later version reads it as it was meant.
//!
//! A shim outlives the engine that started it, so that the engine it ends under may be of any later version. The files under `golden/` are
//! never changed; a new version of the format adds its own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

use serde_json::json;
use std::path::{Path, PathBuf};
use windlass_worker::control::{FromShim, Refusal, StopReason, ToShim};
use windlass_worker::process::ProcessId;
use windlass_worker::record::{
    AgentExit, ByteTotals, Claim, EndRecord, Exited, NamedProcess, Note, Rusage, Started, StoppedBy,
    SweepTally,
};
use windlass_worker::spool::{FrameKind, OwnedFrame, SpoolError};
use windlass_worker::{AttemptKey, Probe, SpoolReader, probe};

/// When the frames were written, each a second after the one before.
const BEGAN_MS: i64 = 1_767_225_600_000;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn process(pid: i32) -> ProcessId {
    ProcessId { pid, start: 1_000 + u64::from(pid.unsigned_abs()) }
}

fn claim() -> Claim {
    Claim {
        protocol: 1,
        key: AttemptKey { run: "k7m2qd".into(), task: "01_mend".into(), n: 2 },
        boot_id: "0f0e0d0c-0b0a-4908-8706-050403020100".into(),
        shim: process(401),
        socket: "/run/user/1000/windlass/w/k7m2qd.01_mend.2".into(),
        marker: "5d1c8e9a7b3f4026".into(),
        keep: vec!["sccache".into()],
    }
}

fn end() -> EndRecord {
    let named = |pid, name: &str| NamedProcess { process: process(pid), name: name.into() };
    EndRecord {
        exit: Some(AgentExit::Signal(15)),
        stopped_by: Some(StoppedBy::Wall),
        cannot_start: None,
        killed: false,
        pipes_forced: true,
        truncated: false,
        redactions: 3,
        bytes: ByteTotals { stdout: 6, stderr: 5, stdin: 4, dropped: 90, over_limit: 0 },
        sweep: SweepTally {
            killed: 2,
            killed_names: vec!["sleep".into(), "node".into()],
            kept: vec![named(410, "sccache")],
            left: vec![named(411, "stuck")],
        },
        ran_ms: 7_200_000,
        usage: Rusage { user_ms: 1_500, system_ms: 250, max_rss_kb: 80_000 },
    }
}

/// The frames of the golden spool behind its claim, as what they mean.
#[derive(Debug, PartialEq)]
enum Means {
    Stream(FrameKind, Vec<u8>),
    Started(Started),
    Note(Note),
    Exited(Exited),
    Swept(SweepTally),
    End(EndRecord),
}

fn frames() -> Vec<Means> {
    vec![
        Means::Started(Started { agent: process(402) }),
        Means::Stream(FrameKind::Stdout, b"one\n".to_vec()),
        Means::Stream(FrameKind::Stderr, b"two\xff\n".to_vec()),
        Means::Stream(FrameKind::Stdin, b"say\n".to_vec()),
        Means::Note(Note::DiskWasFull { ms: 1_200 }),
        Means::Note(Note::Stopping { by: StoppedBy::Wall }),
        Means::Note(Note::AbortSent),
        Means::Note(Note::SignalSent { signal: 15 }),
        Means::Stream(FrameKind::Stdout, b"x\n".to_vec()),
        Means::Exited(Exited { exit: AgentExit::Signal(15), usage: end().usage }),
        Means::Swept(end().sweep),
        Means::End(end()),
    ]
}

fn meaning(frame: &OwnedFrame) -> Means {
    fn json<T: serde::de::DeserializeOwned>(frame: &OwnedFrame) -> T {
        serde_json::from_slice(&frame.data).unwrap()
    }
    match frame.kind {
        kind @ (FrameKind::Stdout | FrameKind::Stderr | FrameKind::Stdin) => {
            Means::Stream(kind, frame.data.clone())
        }
        FrameKind::Started => Means::Started(json(frame)),
        FrameKind::Note => Means::Note(json(frame)),
        FrameKind::AgentExit => Means::Exited(json(frame)),
        FrameKind::Swept => Means::Swept(json(frame)),
        FrameKind::End => Means::End(json(frame)),
        kind => panic!("{kind:?}"),
    }
}

/// Spools of version 1 hold every kind of frame that a shim of protocol 1 writes.
#[test]
fn a_spool_of_version_1_is_read() {
    let path = golden("spool-1");
    assert_eq!(probe(&path).unwrap(), Probe::Ended { claim: claim(), end: end() });
    let all: Vec<OwnedFrame> = SpoolReader::open(&path).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(serde_json::from_slice::<Claim>(&all[0].data).unwrap(), claim());
    assert_eq!(all[1..].iter().map(meaning).collect::<Vec<_>>(), frames());
    for (i, frame) in (0i64..).zip(&all) {
        assert_eq!(frame.wall_ms, BEGAN_MS + 1_000 * i, "{frame:?}");
        // From any frame on, as an engine goes on that has journaled how far its predecessor came.
        let rest = SpoolReader::open_at(&path, frame.offset).unwrap();
        let rest: Vec<OwnedFrame> = rest.collect::<Result<_, _>>().unwrap();
        assert_eq!(rest, all[all.len() - rest.len()..]);
        assert_eq!(rest[0], *frame);
    }
}

/// A shim that is killed while it writes leaves a beginning of such a file.
#[test]
fn every_beginning_of_a_spool_of_version_1_is_no_end() {
    let whole = std::fs::read(golden("spool-1")).unwrap();
    let all: Vec<OwnedFrame> = SpoolReader::open(&golden("spool-1")).unwrap().map(Result::unwrap).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("01_mend.2");
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        match probe(&path) {
            Ok(Probe::Dead { claim: read }) => {
                assert!(cut as u64 >= all[0].end);
                assert_eq!(read, claim());
            }
            Err(SpoolError::NoClaim) => assert!((cut as u64) < all[0].end, "at {cut}"),
            other => panic!("{other:?} at {cut}"),
        }
    }
}

fn to_shim() -> Vec<ToShim> {
    vec![
        ToShim::Stdin { id: 7, bytes: b"{\"type\":\"steer\"}\n".to_vec() },
        ToShim::Stdin { id: u64::MAX, bytes: Vec::new() },
        ToShim::CloseStdin,
        ToShim::Stop { reason: StopReason::Cancel },
        ToShim::Stop { reason: StopReason::Drain },
    ]
}

/// A live shim of protocol 1 is told what it understands: the engine's messages are the very bytes.
#[test]
fn what_is_said_to_a_shim_of_protocol_1_has_not_changed() {
    let mut bytes = Vec::new();
    to_shim().iter().for_each(|m| m.encode(&mut bytes));
    assert_eq!(bytes, std::fs::read(golden("to-shim-1")).unwrap());
}

fn from_shim() -> Vec<FromShim> {
    let mut all = vec![FromShim::Hello { protocol: 1, spool_len: 456, claim: claim() }];
    let stops = [
        StoppedBy::Cancel,
        StoppedBy::Drain,
        StoppedBy::Silence,
        StoppedBy::Wall,
        StoppedBy::OutputLimit,
        StoppedBy::CannotStart,
        StoppedBy::Tied,
        StoppedBy::Terminated,
        StoppedBy::Voided,
    ];
    all.extend([
        FromShim::Refused { why: Refusal::AlreadyClaimed, text: String::new() },
        FromShim::Refused { why: Refusal::CannotClaim, text: "No space left on device".into() },
        FromShim::Refused { why: Refusal::CannotFork, text: "Resource temporarily unavailable".into() },
        FromShim::Bytes { spool_len: 1 << 40 },
        FromShim::StdinWritten { id: 7 },
        FromShim::StdinFailed { id: 8, text: "it has closed its standard input".into() },
    ]);
    all.extend(stops.map(|by| FromShim::Stopping { by }));
    all.push(FromShim::Ended { spool_len: 1 << 41 });
    all
}

#[test]
fn what_a_shim_of_protocol_1_says_is_understood() {
    let bytes = std::fs::read(golden("from-shim-1")).unwrap();
    let (mut at, mut heard) = (0, Vec::new());
    while let Some((message, used)) = FromShim::decode(&bytes[at..]).unwrap() {
        heard.push(message);
        at += used;
    }
    assert_eq!((heard, at), (from_shim(), bytes.len()));
}

/// A later shim may add words and kinds: they are passed over, and the rest of what it says is understood.
#[test]
fn what_a_later_shim_adds_is_passed_over() {
    let mut claim = serde_json::to_value(claim()).unwrap();
    claim["protocol"] = json!(2);
    claim["host"] = json!({ "name": "elsewhere" });
    let claim = serde_json::to_vec(&claim).unwrap();
    let mut bytes = Vec::new();
    let mut say = |kind: u8, body: &[u8]| {
        bytes.extend_from_slice(&u32::try_from(body.len() + 1).unwrap().to_le_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(body);
    };
    say(1, &[&2u32.to_le_bytes()[..], &99u64.to_le_bytes(), &claim].concat());
    say(4, &[200]);
    say(77, b"of a later version");
    say(3, &[&5u64.to_le_bytes()[..], b"more"].concat());
    let (mut at, mut heard) = (0, Vec::new());
    while let Some((message, used)) = FromShim::decode(&bytes[at..]).unwrap() {
        heard.push(message);
        at += used;
    }
    assert!(matches!(&heard[0], FromShim::Hello { protocol: 2, spool_len: 99, claim } if claim.key.n == 2));
    assert_eq!(heard[1..], [FromShim::Unknown(4), FromShim::Unknown(77), FromShim::Bytes { spool_len: 5 }]);
}

/// A spool whose frames may mean something else is not read at all, and is not taken for an attempt without a claim.
#[test]
fn a_spool_of_a_later_version_is_refused() {
    let mut bytes = std::fs::read(golden("spool-1")).unwrap();
    bytes[8..12].copy_from_slice(&2u32.to_le_bytes());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(probe(&path), Err(SpoolError::Version(2))));
}

/// Writes the golden files of a version that has none yet: `WINDLASS_WRITE_GOLDEN=1 cargo test -p windlass-worker --test frozen`.
#[test]
fn golden_files_are_complete() {
    if std::env::var_os("WINDLASS_WRITE_GOLDEN").is_some() {
        write_golden();
    }
    for name in ["spool-1", "to-shim-1", "from-shim-1"] {
        assert!(golden(name).is_file(), "{name}");
    }
}

fn write_golden() {
    use windlass_worker::spool::{encode_frame, encode_header};
    let mut spool = Vec::new();
    encode_header(&mut spool);
    let json = |value: serde_json::Result<Vec<u8>>| value.unwrap();
    let mut frame = {
        let mut at = BEGAN_MS;
        move |spool: &mut Vec<u8>, kind, data: &[u8]| {
            encode_frame(spool, kind, at, data);
            at += 1_000;
        }
    };
    frame(&mut spool, FrameKind::Claim, &json(serde_json::to_vec(&claim())));
    for one in frames() {
        let (kind, data) = match one {
            Means::Stream(kind, data) => (kind, data),
            Means::Started(r) => (FrameKind::Started, json(serde_json::to_vec(&r))),
            Means::Note(r) => (FrameKind::Note, json(serde_json::to_vec(&r))),
            Means::Exited(r) => (FrameKind::AgentExit, json(serde_json::to_vec(&r))),
            Means::Swept(r) => (FrameKind::Swept, json(serde_json::to_vec(&r))),
            Means::End(r) => (FrameKind::End, json(serde_json::to_vec(&r))),
        };
        frame(&mut spool, kind, &data);
    }
    std::fs::write(golden("spool-1"), spool).unwrap();
    let mut bytes = Vec::new();
    to_shim().iter().for_each(|m| m.encode(&mut bytes));
    std::fs::write(golden("to-shim-1"), bytes).unwrap();
    let mut bytes = Vec::new();
    from_shim().iter().for_each(|m| m.encode(&mut bytes));
    std::fs::write(golden("from-shim-1"), bytes).unwrap();
}
