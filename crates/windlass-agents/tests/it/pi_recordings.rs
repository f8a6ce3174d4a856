//! Recordings of real pi, parsed whole, in pieces, with the droppable lines dropped, and damaged.

use crate::support::{fixtures, pieces, request, short, whole};
use proptest::prelude::*;
use std::sync::LazyLock;
use windlass_agents::{Launch, Stopped, Stream, WorkerEnd, WorkerEvent, adapter};
use windlass_events::{Outcome, RuntimeKind};

const PI: RuntimeKind = RuntimeKind::Pi;

fn end_of(name: &str) -> WorkerEnd {
    match name {
        _ if name.ends_with("sigterm") => {
            WorkerEnd { exit: Some(143), stopped: Some(Stopped::Cancel), ..WorkerEnd::default() }
        }
        _ if name.ends_with("sigint") => WorkerEnd { signal: Some(2), ..WorkerEnd::default() },
        _ => WorkerEnd::exited(0),
    }
}

#[test]
fn recordings_say_what_they_said() {
    for (folder, mark) in [("pi", ""), ("pi-0.74", "old-")] {
        for (name, bytes) in fixtures(folder) {
            let (events, ending) = whole(PI, &bytes, &end_of(&name));
            insta::assert_snapshot!(format!("{mark}{name}"), short(&events, &ending));
        }
    }
}

#[test]
fn byte_by_byte_is_the_same_as_whole() {
    for folder in ["pi", "pi-0.74"] {
        for (name, bytes) in fixtures(folder) {
            let end = end_of(&name);
            assert_eq!(pieces(PI, &bytes, &[1], false, &end), whole(PI, &bytes, &end), "{name}");
        }
    }
}

#[test]
fn what_the_shim_may_drop_changes_nothing_but_live_text() {
    let Ok(Launch::Start(plan)) = adapter(PI).unwrap().launch(&request()) else { panic!("no plan") };
    for (name, bytes) in fixtures("pi") {
        let end = end_of(&name);
        let kept: Vec<u8> = bytes
            .split_inclusive(|&b| b == b'\n')
            .filter(|line| !plan.drop_prefixes.iter().any(|p| line.starts_with(p)))
            .flatten()
            .copied()
            .collect();
        let (mut all, ending) = whole(PI, &bytes, &end);
        all.retain(|e| !matches!(e, WorkerEvent::TextDelta { .. } | WorkerEvent::Thinking));
        assert_eq!(whole(PI, &kept, &end), (all, ending), "{name}");
        // Wherever the parser says that the work is over, the shim sees a line that tells it so, and nowhere else.
        let settled = |e: &&WorkerEvent| matches!(e, WorkerEvent::Settled);
        let closes =
            bytes.split(|&b| b == b'\n').filter(|l| plan.close_stdin_on.iter().any(|p| l.starts_with(p)));
        assert_eq!(whole(PI, &bytes, &end).0.iter().filter(settled).count(), closes.count(), "{name}");
    }
}

#[test]
fn a_200_mb_line_is_survived_in_bounded_memory() {
    fn resident_kb() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
    }
    let piece = vec![b'x'; 1024 * 1024];
    for (start, limit_mb) in [
        (
            &br#"{"type":"agent_end","messages":[{"role":"assistant","content":[{"type":"text","text":""#[..],
            8,
        ),
        (br#"{"type":"message_update","usage":{},"assistantMessageEvent":{"type":"text_delta","delta":""#, 8),
        (br#"{"type":"never heard of","x":""#, 8),
        (b"no json at all ", 8),
        // The one line whose text is the result may be held up to its limit, with the copies that reading it makes.
        (br#"{"type":"message_end","message":{"role":"assistant","content":[{"type":"text","text":""#, 100),
    ] {
        let mut parser = adapter(PI).unwrap().parser(None, None).unwrap();
        let mut out = Vec::new();
        let before = resident_kb();
        parser.feed(Stream::Stdout, start, &mut out);
        for _ in 0..200 {
            parser.feed(Stream::Stdout, &piece, &mut out);
        }
        let grown = resident_kb().saturating_sub(before);
        assert!(grown < limit_mb * 1024, "{grown} kB for {}", String::from_utf8_lossy(start));
        let close = br#""}],"provider":"mock","model":"m","usage":{"input":3,"output":4,"cost":{"total":0.5}},"stopReason":"stop"}}"#;
        parser.feed(Stream::Stdout, close, &mut out);
        parser.feed(Stream::Stdout, b"\n{\"type\":\"agent_settled\"}\n", &mut out);
        let ending = parser.finish(&WorkerEnd::exited(0), &mut out);
        if limit_mb > 8 {
            assert_eq!((ending.outcome, ending.truncated), (Outcome::Clean, true));
            assert_eq!((ending.usage.output, ending.usage.cost_microusd), (4, 500_000));
            assert!(ending.result.is_some_and(|r| r.len() > 15_000_000 && r.iter().all(|&b| b == b'x')));
            assert_eq!(ending.model.as_deref(), Some("mock/m"));
        } else {
            assert_eq!(ending.outcome, Outcome::EmptyOutput);
        }
    }
}

static RECORDINGS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    // The long ones are cut in random places elsewhere; here many cases count for more than many bytes.
    fixtures("pi").into_iter().filter(|(_, bytes)| bytes.len() < 100_000).collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn however_the_bytes_arrive_the_events_are_the_same(
        which in 0usize..15, sizes in prop::collection::vec(1usize..3_000, 1..20), renew: bool,
    ) {
        let (name, bytes) = &RECORDINGS[which % RECORDINGS.len()];
        let end = end_of(name);
        prop_assert_eq!(pieces(PI, bytes, &sizes, renew, &end), whole(PI, bytes, &end));
    }

    #[test]
    fn damaged_recordings_are_survived(
        which in 0usize..15, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in any::<prop::sample::Index>(), sizes in prop::collection::vec(1usize..2_000, 1..8),
    ) {
        let (_, bytes) = &RECORDINGS[which % RECORDINGS.len()];
        let mut bytes = bytes.clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()));
        let end = WorkerEnd::exited(0);
        prop_assert_eq!(pieces(PI, &bytes, &sizes, true, &end), whole(PI, &bytes, &end));
    }

    #[test]
    fn arbitrary_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2_000), state in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in [PI, RuntimeKind::Command, RuntimeKind::Rehearsal, RuntimeKind::Scaffold] {
            let mut parser = adapter(kind).unwrap().parser(None, None).unwrap();
            let mut out = Vec::new();
            parser.feed(Stream::Stdout, &bytes, &mut out);
            parser.feed(Stream::Stderr, &bytes, &mut out);
            parser.finish(&WorkerEnd::exited(0), &mut out);
            let _ = adapter(kind).unwrap().parser(None, Some(&state));
        }
    }
}
