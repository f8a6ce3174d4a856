//! The file as a whole: written, cut, bent, and read again.

use super::*;
use crate::process::ProcessId;
use crate::record::{AgentExit, Claim, EndRecord, PROTOCOL, StoppedBy};
use crate::spec::AttemptKey;
use proptest::prelude::*;
use std::io::Write;
use std::path::Path;

fn claim() -> Claim {
    Claim {
        protocol: PROTOCOL,
        key: AttemptKey { run: "k7m2qd".into(), task: "01_x".into(), n: 1 },
        boot_id: "boot".into(),
        shim: ProcessId { pid: 42, start: 43 },
        socket: "/r/s".into(),
        marker: "0123456789abcdef".into(),
        keep: Vec::new(),
    }
}

fn end() -> EndRecord {
    EndRecord { exit: Some(AgentExit::Code(0)), ran_ms: 5, ..EndRecord::default() }
}

/// A complete file, and where each frame ends.
fn file(frames: &[(FrameKind, Vec<u8>)]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    encode_header(&mut bytes);
    encode_frame(&mut bytes, FrameKind::Claim, 1, &serde_json::to_vec(&claim()).unwrap());
    let mut ends = vec![bytes.len()];
    for (kind, data) in frames {
        encode_frame(&mut bytes, *kind, 2, data);
        ends.push(bytes.len());
    }
    encode_frame(&mut bytes, FrameKind::End, 3, &serde_json::to_vec(&end()).unwrap());
    ends.push(bytes.len());
    (bytes, ends)
}

fn some_frames() -> Vec<(FrameKind, Vec<u8>)> {
    vec![
        (FrameKind::Stdout, b"hello\n".to_vec()),
        (FrameKind::Stderr, vec![0xFF; 300]),
        (FrameKind::Other(77), Vec::new()),
        (FrameKind::Stdout, b"bye".to_vec()),
    ]
}

fn read_all(path: &Path) -> Result<Vec<OwnedFrame>, SpoolError> {
    SpoolReader::open(path)?.collect()
}

#[test]
fn a_torn_tail_is_never_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    let (bytes, ends) = file(&some_frames());
    let whole = read_all({
        std::fs::write(&path, &bytes).unwrap();
        &path
    })
    .unwrap();
    assert_eq!(whole.len(), 6);
    assert_eq!(probe(&path).unwrap(), Probe::Ended { claim: claim(), end: end() });
    for cut in 0..bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        match probe(&path) {
            Ok(Probe::Dead { claim: c }) => {
                assert!(cut >= ends[0], "cut at {cut}");
                assert_eq!(c, claim());
            }
            Err(SpoolError::NoClaim) => assert!(cut < ends[0], "cut at {cut}"),
            other => panic!("cut at {cut}: {other:?}"),
        }
        if cut >= HEADER_LEN {
            let frames = read_all(&path).unwrap();
            assert_eq!(frames, whole[..ends.iter().filter(|e| **e <= cut).count()]);
        }
    }
}

#[test]
fn an_end_inside_output_is_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    // An agent that prints what looks like the end of its own file.
    let mut forged = Vec::new();
    encode_frame(&mut forged, FrameKind::End, 3, &serde_json::to_vec(&end()).unwrap());
    let mut bytes = Vec::new();
    encode_header(&mut bytes);
    encode_frame(&mut bytes, FrameKind::Claim, 1, &serde_json::to_vec(&claim()).unwrap());
    encode_frame(&mut bytes, FrameKind::Stdout, 1, &forged);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(probe(&path).unwrap(), Probe::Dead { claim: claim() });
}

#[test]
fn absence_and_foreignness_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    assert_eq!(probe(&path).unwrap(), Probe::NoClaim);
    assert!(matches!(probe(dir.path()), Err(SpoolError::Foreign)));

    let is = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        probe(&path)
    };
    assert!(matches!(is(b"{\"json\": true, \"long enough\": 1}"), Err(SpoolError::Foreign)));
    assert!(matches!(is(&[0; 4096]), Err(SpoolError::Foreign)), "as after a power cut");
    assert!(matches!(is(b""), Err(SpoolError::NoClaim)));
    let (mut bytes, _) = file(&[]);
    bytes[8] = 2;
    assert!(matches!(is(&bytes), Err(SpoolError::Version(2))));
    std::fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    assert!(matches!(probe(&path), Err(SpoolError::Foreign)), "and does not wait for a writer");
}

#[test]
fn a_reader_follows_a_growing_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    let (bytes, ends) = file(&some_frames());
    let mut out = std::fs::File::create(&path).unwrap();
    out.write_all(&bytes[..HEADER_LEN]).unwrap();
    let mut reader = SpoolReader::open(&path).unwrap();
    let mut seen = Vec::new();
    for (i, byte) in bytes.iter().enumerate().skip(HEADER_LEN) {
        out.write_all(&[*byte]).unwrap();
        while let Some(frame) = reader.next_frame().unwrap() {
            seen.push((i + 1, frame.end as usize));
        }
    }
    assert_eq!(seen, ends.iter().map(|e| (*e, *e)).collect::<Vec<_>>(), "as soon as it is complete");
    for from in &ends {
        let rest = SpoolReader::open_at(&path, *from as u64).unwrap().count();
        assert_eq!(rest, ends.iter().filter(|e| *e > from).count());
    }
}

#[test]
fn the_writer_makes_what_the_reader_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    let Ok(mut writer) = SpoolWriter::create(&path, &claim(), 1) else { panic!("not created") };
    assert!(matches!(SpoolWriter::create(&path, &claim(), 1), Err(CreateError::Exists)));
    assert_eq!(probe(&path).unwrap(), Probe::Alive { claim: claim() });
    assert_eq!(probe(&path).unwrap(), Probe::Alive { claim: claim() }, "probing takes nothing away");
    writer.open(FrameKind::Stdout, 2);
    writer.close();
    writer.open(FrameKind::Stdout, 2);
    writer.buffer().extend_from_slice(b"abc");
    writer.frame(FrameKind::Note, 3, b"{}");
    let long = vec![b'x'; 3 * MAX_DATA + 1];
    writer.frame(FrameKind::Stdin, 4, &long);
    assert!(writer.is_pending());
    writer.flush().unwrap();
    let frames = read_all(&path).unwrap();
    assert_eq!(frames.last().unwrap().end, writer.len());
    let kinds: Vec<_> = frames.iter().map(|f| f.kind).collect();
    assert_eq!(kinds[..3], [FrameKind::Claim, FrameKind::Stdout, FrameKind::Note]);
    assert_eq!(kinds[3..], [FrameKind::Stdin; 4]);
    assert_eq!(frames[3..].iter().map(|f| f.data.len()).sum::<usize>(), long.len());
    drop(writer);
    assert_eq!(probe(&path).unwrap(), Probe::Dead { claim: claim() });
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_voided_attempt_never_begins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool");
    assert!(void(&path, &claim().key).unwrap());
    assert!(!void(&path, &claim().key).unwrap());
    assert!(matches!(SpoolWriter::create(&path, &claim(), 1), Err(CreateError::Exists)));
    let Probe::Ended { claim: voided, end } = probe(&path).unwrap() else { panic!("not ended") };
    assert_eq!((voided.key, end.stopped_by, end.exit), (claim().key, Some(StoppedBy::Voided), None));
    assert!(void(&dir.path().join("no/folder"), &claim().key).is_err());
}

fn any_frames() -> impl Strategy<Value = Vec<(FrameKind, Vec<u8>)>> {
    let kind = prop_oneof![Just(FrameKind::Stdout), Just(FrameKind::Stderr), Just(FrameKind::Note)];
    proptest::collection::vec((kind, proptest::collection::vec(any::<u8>(), 0..200)), 0..8)
}

proptest! {
    #[test]
    fn whatever_is_bent_is_noticed(frames in any_frames(), at: prop::sample::Index, flip in 1u8..) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool");
        let (good, _) = file(&frames);
        std::fs::write(&path, &good).unwrap();
        let whole = read_all(&path).unwrap();
        let mut bad = good.clone();
        let at = at.index(bad.len());
        bad[at] ^= flip;
        std::fs::write(&path, &bad).unwrap();
        // Either the whole is refused, or what is read is a true beginning of what was written.
        let _ = probe(&path);
        if let Ok(reader) = SpoolReader::open(&path) {
            let read: Vec<_> = reader.filter_map(Result::ok).collect();
            prop_assert!(read.len() < whole.len() || at < HEADER_LEN);
            prop_assert_eq!(&read[..], &whole[..read.len()]);
        }
    }

    #[test]
    fn any_bytes_can_be_probed(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool");
        let mut file = Vec::new();
        encode_header(&mut file);
        file.extend_from_slice(&bytes);
        std::fs::write(&path, &file).unwrap();
        let wrong = matches!(probe(&path), Ok(Probe::Ended { .. } | Probe::NoClaim));
        prop_assert!(!wrong);
    }
}
