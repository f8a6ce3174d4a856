//! Golden journals fix the fold: what the journal of an older run says of that run stays so, in every later version.
//!
//! `golden/NAME.jsonl` is a journal as `windlass events RUN --json` printed it, of a real run, with the paths, environment and boot id of
//! the machine put out and its times moved. `golden/NAME.end.json` is where the run and its tasks stood when it was recorded. Neither is
//! ever written again: a new event or rule gets a new journal. To add one, put it beside the others, name it in [`JOURNALS`], and run
//! `WINDLASS_WRITE_GOLDEN=1 cargo test -p windlass-core --test golden`, which writes end states that are missing and no others.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use windlass_core::Run;
use windlass_core::replay::Replay;
use windlass_events::event::Envelope;
use windlass_events::{Event, Millis, RunId};

/// Every journal, in order: none may vanish.
const JOURNALS: &[&str] = &[
    "cancelled",
    "failed-then-retried",
    "fast-fix-proven",
    "gate-repaired",
    "gate-stays-red",
    "lost-attempt",
];

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(name)
}

/// One line, as the type of today reads it.
fn read_line(name: &str, line: &str) -> (RunId, Millis, Event) {
    let value: Value = serde_json::from_str(line).unwrap();
    let run = RunId::parse(value["run"].as_str().unwrap()).unwrap();
    let at = value["at"].as_i64().unwrap();
    let body = json!({ "type": value["type"], "data": value["data"] });
    let event = Event::from_json(&body.to_string()).unwrap_or_else(|e| panic!("{name}: {e}: {line}"));
    let again = Envelope { run, seq: value["seq"].as_u64().unwrap(), at, event: event.clone() };
    // What a reader does not know it passes over, so that a lost field would not be an error.
    let again: Value = serde_json::from_str(&again.to_line().unwrap()).unwrap();
    assert_nothing_lost(&value, &again, name);
    (run, at, event)
}

/// Everything that is recorded is still there; a newer type may add to it.
#[track_caller]
fn assert_nothing_lost(recorded: &Value, now: &Value, place: &str) {
    match (recorded, now) {
        (Value::Object(recorded), Value::Object(now)) => {
            for (key, value) in recorded {
                let place = format!("{place}.{key}");
                let now = now.get(key).unwrap_or_else(|| panic!("{place} is no longer read"));
                assert_nothing_lost(value, now, &place);
            }
        }
        (Value::Array(recorded), Value::Array(now)) => {
            assert_eq!(recorded.len(), now.len(), "{place}");
            for (at, (recorded, now)) in recorded.iter().zip(now).enumerate() {
                assert_nothing_lost(recorded, now, &format!("{place}[{at}]"));
            }
        }
        _ => assert_eq!(recorded, now, "{place}"),
    }
}

fn journal(name: &str) -> (RunId, Vec<(Millis, Event)>) {
    let text = std::fs::read_to_string(file(&format!("{name}.jsonl"))).unwrap();
    let mut id = None;
    let events = text
        .lines()
        .map(|line| {
            let (run, at, event) = read_line(name, line);
            assert_eq!(*id.get_or_insert(run), run, "{name} is of one run");
            (at, event)
        })
        .collect();
    (id.unwrap(), events)
}

/// Where a run stands, in the words that users and programs know.
fn end_state(run: &Run) -> Value {
    let tasks: Vec<Value> = run
        .tasks
        .iter()
        .map(|task| {
            let attempts: Vec<Value> = task
                .attempts
                .iter()
                .map(|a| json!({ "n": a.n, "cause": a.cause, "status": a.status, "usage": a.usage }))
                .collect();
            json!({
                "id": task.spec.id,
                "status": task.status(),
                "proof": task.proof,
                "attempts": attempts,
            })
        })
        .collect();
    json!({
        "status": run.status(),
        "proof": run.end.as_ref().map(|end| end.proof),
        "failure": run.end.as_ref().and_then(|end| end.failure.as_ref()).map(|(f, _)| f.class),
        "usage": run.usage,
        "tasks": tasks,
    })
}

fn folded(name: &str) -> Run {
    let (id, events) = journal(name);
    Run::replay(id, events.iter().map(|(at, event)| (*at, event))).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Compares with what was recorded. A usage may have got new counters since; all that was recorded must be the same.
#[test]
fn golden_journals_end_as_they_ended() {
    let mut found: Vec<String> = std::fs::read_dir(file(""))
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().to_str().unwrap().strip_suffix(".jsonl").map(str::to_owned)
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, JOURNALS, "the journals that are there, and those that are named");
    for name in JOURNALS {
        let run = folded(name);
        assert!(run.is_ended(), "{name}");
        let state = end_state(&run);
        let path = file(&format!("{name}.end.json"));
        if std::env::var_os("WINDLASS_WRITE_GOLDEN").is_some() && !path.exists() {
            // Refuses to write over a file that appeared meanwhile.
            let mut new = std::fs::File::create_new(&path).unwrap();
            writeln!(new, "{}", serde_json::to_string_pretty(&state).unwrap()).unwrap();
        }
        let recorded = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_nothing_lost(&serde_json::from_str(&recorded).unwrap(), &state, name);
    }
}

/// Every decision in them is the one that the core makes today, in a world that the engine could have been in.
/// A core that means to decide otherwise leaves a journal out of this test by name, and of this test only.
#[test]
fn golden_journals_are_decided_again_as_they_were() {
    for name in JOURNALS {
        let (id, events) = journal(name);
        let mut replay = Replay::new(id, &events, true);
        let mut steps = 0;
        while let Some(step) = replay.step() {
            step.unwrap_or_else(|difference| panic!("{name}: {difference:#?}"));
            steps += 1;
        }
        assert_eq!(steps, events.len(), "{name}");
        assert_eq!(replay.run(), Some(&folded(name)), "{name}: replayed and folded are the same");
    }
}

/// Terminal states are final also within a journal: only the events that record a person's word leave one.
#[test]
fn golden_journals_leave_a_terminal_state_by_a_persons_word_alone() {
    let mut left = 0;
    for name in JOURNALS {
        let (id, events) = journal(name);
        let mut run = Run::begin(id, events[0].0, &events[0].1).unwrap();
        for (seq, (at, event)) in (2..).zip(&events[1..]) {
            let was = run.end.clone();
            run.apply(seq, *at, event).unwrap();
            if was.is_some() && was != run.end {
                let person = matches!(
                    event,
                    Event::RunResumed { .. } | Event::TasksRetried { .. } | Event::ApprovalRefused { .. }
                );
                assert!(person, "{name}, event {seq}: {event:?}");
                left += 1;
            }
        }
    }
    assert!(left > 0, "one of them is retried");
}
