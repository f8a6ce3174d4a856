//! Plain commands.

use crate::support::{parser, pieces, whole};
use proptest::prelude::*;
use windlass_agents::{Stream, WorkerEnd, WorkerEvent};
use windlass_events::{ErrorClass, Outcome, RuntimeKind};

const COMMAND: RuntimeKind = RuntimeKind::Command;

#[test]
fn exit_0_is_success_also_without_a_word() {
    let (_, ending) = whole(COMMAND, b"", &WorkerEnd::exited(0));
    assert_eq!((ending.outcome, ending.result), (Outcome::Clean, Some(Vec::new())));
}

#[test]
fn a_failure_shows_the_end_of_standard_error() {
    let mut parser = parser(COMMAND);
    let mut out = Vec::new();
    parser.feed(Stream::Stderr, b"first\nerror: it broke\n", &mut out);
    let ending = parser.finish(&WorkerEnd::exited(3), &mut out);
    let failure = ending.failure.unwrap();
    assert_eq!((ending.outcome, failure.class), (Outcome::Exit(3), ErrorClass::Exit));
    assert!(failure.message.ends_with("error: it broke"), "{}", failure.message);
    assert_eq!(out.len(), 2);
}

#[test]
fn a_result_has_a_limit_and_says_when_it_is_reached() {
    let mut parser = parser(COMMAND);
    let mut out = Vec::new();
    for _ in 0..6 {
        parser.feed(Stream::Stdout, &vec![b'a'; 1024 * 1024], &mut out);
    }
    assert!(parser.state().is_none());
    let ending = parser.finish(&WorkerEnd::exited(0), &mut out);
    assert_eq!(
        (ending.truncated, ending.result.map(|r| r.len())),
        (true, Some(windlass_agents::command::RESULT_LIMIT))
    );
}

proptest! {
    #[test]
    fn a_result_is_kept_byte_for_byte(bytes in prop::collection::vec(any::<u8>(), 0..3_000), sizes in prop::collection::vec(1usize..700, 1..9)) {
        let end = WorkerEnd::exited(0);
        let (events, ending) = whole(COMMAND, &bytes, &end);
        prop_assert_eq!(ending.result.as_deref(), Some(&bytes[..]));
        for event in &events {
            if let WorkerEvent::TextDelta { text } = event {
                prop_assert!(!text.trim_end_matches('\n').chars().any(char::is_control));
            }
        }
        prop_assert_eq!(pieces(COMMAND, &bytes, &sizes, true, &end), (events, ending));
    }
}
