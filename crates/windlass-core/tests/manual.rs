//! `docs/engine.md` names every state, effect, wait, cause and cap that there is, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use windlass_core::{Effect, Phase, StopWhy};
use windlass_events::event::{CapKind, Cause, GateKey, WaitFor};
use windlass_events::{TaskId, TaskStatus};

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/engine.md")).unwrap()
}

/// The first cell of each row of the table with this header.
fn names(header: &str) -> BTreeSet<String> {
    let page = page();
    let (_, rest) =
        page.split_once(&format!("| {header} |")).unwrap_or_else(|| panic!("no table of {header}"));
    rest.lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.split('`').nth(1).map(str::to_owned))
        .collect()
}

fn words<T: std::fmt::Display>(all: &[T]) -> BTreeSet<String> {
    all.iter().map(T::to_string).collect()
}

/// A new phase does not compile here before it has a name.
const fn phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Queued => "queued",
        Phase::Ready { .. } => "ready",
        Phase::Keeping => "keeping",
        Phase::Kept => "kept",
        Phase::Running(_) => "running",
        Phase::Lost(_) => "lost",
        Phase::KeepingAfter(_) => "keeping after",
        Phase::Closing(_) => "closing",
        Phase::Gate { .. } => "gate",
        Phase::Expanding(_) => "expanding",
        Phase::Joining => "joining",
        Phase::Ended(_) => "ended",
    }
}

/// Each phase, and both statuses of the one that has two.
fn all_phases() -> Vec<Phase> {
    vec![
        Phase::Queued,
        Phase::Ready { not_before: 0, cause: Cause::First },
        Phase::Ready { not_before: 5, cause: Cause::Retry },
        Phase::Keeping,
        Phase::Kept,
        Phase::Running(1),
        Phase::Lost(1),
        Phase::KeepingAfter(1),
        Phase::Closing(1),
        Phase::Gate { attempt: 1, gate: 0, n: 1 },
        Phase::Expanding(1),
        Phase::Joining,
        Phase::Ended(TaskStatus::Skipped),
    ]
}

const fn effect(effect: &Effect) -> &'static str {
    match effect {
        Effect::Attempt { .. } => "attempt",
        Effect::StopAttempt { .. } => "stop attempt",
        Effect::Sweep { .. } => "sweep",
        Effect::KeepTree { .. } => "keep tree",
        Effect::Expand { .. } => "expand",
        Effect::Gate(_) => "gate",
        Effect::StopGate(_) => "stop gate",
        Effect::Steer { .. } => "steer",
    }
}

#[test]
fn the_manual_names_what_there_is() {
    assert_eq!(names("phase"), all_phases().iter().map(|p| phase(p).to_owned()).collect());
    let task = || TaskId::for_step(1, "t");
    let key = GateKey { task: Some(task()), gate: 0, n: 1 };
    let effects = [
        Effect::Attempt { task: task(), n: 1 },
        Effect::StopAttempt { task: task(), n: 1, why: StopWhy::Cancel },
        Effect::Sweep { task: task(), n: 1 },
        Effect::KeepTree { task: task(), n: 1, before: true },
        Effect::Expand { task: task(), n: 1 },
        Effect::Gate(key.clone()),
        Effect::StopGate(key),
        Effect::Steer { id: String::new(), task: task(), n: 1, text: String::new() },
    ];
    assert_eq!(names("effect"), effects.iter().map(|e| effect(e).to_owned()).collect());
    assert_eq!(names("wait"), words(WaitFor::ALL));
    assert_eq!(names("cause"), words(Cause::ALL));
    assert_eq!(names("cap"), words(CapKind::ALL));
}

#[test]
fn the_manual_gives_each_phase_its_status() {
    let page = page();
    let task = |p: Phase| {
        let spec = serde_json::json!({
            "id": "01_t", "step": "t", "role": "r", "agent": "a", "runtime": "pi", "access": "read", "attempts": 1,
            "silence_ms": 0, "wall_ms": 0
        });
        let mut task = windlass_core::Task::new(serde_json::from_value(spec).unwrap());
        task.phase = p;
        task.status().to_string()
    };
    for p in all_phases() {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", phase(&p)))).unwrap();
        let status = row.split('|').nth(2).unwrap();
        assert!(status.contains(&format!("`{}`", task(p.clone()))), "{p:?}: {row}");
    }
}
