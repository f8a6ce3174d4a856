//! `docs/events.md` lists exactly the events and words that exist.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use windlass_events::event::{CapKind, Cause, WaitFor};
use windlass_events::spec::RedGate;
use windlass_events::{AttemptStatus, ErrorClass, Event, Outcome, Proof, RunStatus, TaskStatus};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md");
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The rows of the table with this head, cell by cell.
fn rows(page: &str, head: &str) -> Vec<Vec<String>> {
    let table =
        page.lines().skip_while(|line| *line != head).skip(2).take_while(|line| line.starts_with('|'));
    table.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The texts in backticks, in order.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What the reader itself would have accepted in place of a word that it does not know.
fn accepted(error: impl std::fmt::Display) -> Vec<String> {
    let error = error.to_string();
    let (_, list) =
        error.split_once("expected one of ").unwrap_or_else(|| panic!("no list of words in: {error}"));
    quoted(list)
}

fn words<T: std::fmt::Display>(all: &[T]) -> Vec<String> {
    all.iter().map(T::to_string).collect()
}

#[test]
fn every_event_type_is_described_once_and_in_order() {
    let described: Vec<String> =
        rows(&page(), "| type | what happened | data |").iter().flat_map(|row| quoted(&row[0])).collect();
    let known = accepted(Event::from_json(r#"{"type":"no.such.event","data":{}}"#).unwrap_err());
    assert!(known.len() > 30, "the list was not read: {known:?}");
    let (described_set, known_set) =
        (described.iter().collect::<BTreeSet<_>>(), known.iter().collect::<BTreeSet<_>>());
    let missing: Vec<_> = known_set.difference(&described_set).collect();
    let stale: Vec<_> = described_set.difference(&known_set).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/events.md lacks {missing:?} and still has {stale:?}"
    );
    assert_eq!(described, known, "docs/events.md has another order than the program, or a type twice");
}

#[test]
fn every_event_type_says_what_it_means() {
    for row in rows(&page(), "| type | what happened | data |") {
        assert_eq!(row.len(), 3, "{row:?}");
        assert!(row[1].ends_with('.') && row[1].len() > 10, "{row:?}");
    }
}

#[test]
fn every_closed_list_is_complete() {
    let page = page();
    let lists = rows(&page, "| list | words |");
    let outcomes = accepted(serde_json::from_str::<Outcome>(r#""no_such_outcome""#).unwrap_err());
    for (name, known) in [
        ("cause of an attempt", words(Cause::ALL)),
        ("outcome of an attempt or gate", outcomes),
        ("class of a failure", words(ErrorClass::ALL)),
        ("what a run waits for", words(WaitFor::ALL)),
        ("cap", words(CapKind::ALL)),
        ("answer to red gates", words(RedGate::ALL)),
        ("proof", words(Proof::ALL)),
        ("status of a run", words(RunStatus::ALL)),
        ("status of a task", words(TaskStatus::ALL)),
        ("status of an attempt", words(AttemptStatus::ALL)),
    ] {
        let row = lists.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("no list called {name}"));
        assert_eq!(quoted(&row[1]), known, "{name}");
    }
    assert_eq!(lists.len(), 10, "a list that nothing is compared with");
}

#[test]
fn the_classes_that_are_tried_again_are_named() {
    let page = page();
    let (_, rest) = page.split_once("These classes are tried again").unwrap();
    let (sentence, _) = rest.split_once(". `auth`").unwrap();
    let known: Vec<String> =
        ErrorClass::ALL.iter().filter(|class| class.is_retryable()).map(ToString::to_string).collect();
    assert_eq!(quoted(sentence), known);
}
