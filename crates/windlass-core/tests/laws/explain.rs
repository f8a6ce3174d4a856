//! What is said of a state, held against what follows from it: everything that goes on has a reason, the reason is the right one,
//! and a journal is what the core makes of it.

use std::collections::BTreeMap;
use windlass_core::replay::{By, Difference, How, Replay, Stand};
use windlass_core::why::{Follows, Reason, why_run, why_task};
use windlass_core::{Phase, Run, World, decide};
use windlass_events::{Event, Millis, Proof, TaskId};

/// Holds of every state between two decisions.
pub(crate) fn explained(run: &Run, now: Millis) {
    let open = World::open(u32::MAX);
    let given = decide(run, now, &open);
    let named = |event: &Event| subject(event).cloned();
    for (at, task) in (0u32..).zip(&run.tasks) {
        let id = &task.spec.id;
        let why = why_task(run, at, now).unwrap();
        let ended = matches!(task.phase, Phase::Ended(_));
        assert_eq!(why.reasons.is_empty(), ended, "{id} {:?}: {why:?}", task.phase);
        assert_eq!(why.rule.is_some(), ended, "{id} {:?}: {why:?}", task.phase);
        let completed = task.status() == windlass_events::TaskStatus::Completed;
        assert_eq!(why.moves.is_empty(), completed, "{id}: what would move it? {why:?}");
        let nothing_in_the_way = matches!(why.reasons.first(), Some(Reason::Next { .. }));
        if given.is_empty() {
            assert!(!nothing_in_the_way, "nothing follows, yet nothing is said to hold {id}: {why:?}");
        }
        for event in given.iter().filter(|e| named(e).as_ref() == Some(id)) {
            assert!(nothing_in_the_way, "{event:?} follows, yet {id} is said to be held: {why:?}");
            agrees(event, &why.reasons);
        }
    }
    let stands = given.is_empty() && !run.is_live() && run.due.is_empty() && run.is_planned();
    if stands && !run.is_ended() {
        assert!(run.waits_for().is_some(), "nothing goes on, and nobody is named who ends that: {run:#?}");
    }
    for wait in run.waits() {
        assert_eq!(wait.commands().is_empty(), !wait.kind.is_for_person(), "{wait:?}");
        assert!(wait.since <= run.updated_at, "{wait:?}");
    }
    let why = why_run(run, now);
    assert_eq!(why.reasons.is_empty(), run.is_ended(), "the run: {why:?}");
    assert_eq!(why.rule.is_some(), run.is_ended(), "the run: {why:?}");
    let done = run.status() == windlass_events::RunStatus::Completed;
    assert_eq!(why.moves.is_empty(), done, "what would move the run? {why:?}");
}

/// What is said to follow is what follows.
fn agrees(event: &Event, reasons: &[Reason]) {
    let Some(Reason::Next { next }) = reasons.first() else { return };
    let same = match (event, next) {
        (Event::TaskCompleted { proof, .. }, Follows::Complete { proof: said }) => proof == said,
        (Event::TaskFailed { failure, .. }, Follows::Fail { failure: said })
        | (Event::TaskNeedsAttention { failure, .. }, Follows::Attention { failure: said }) => {
            failure == said
        }
        (Event::TaskSkipped { because, .. }, Follows::Skip { because: said }) => because == said,
        (Event::TaskCancelled { .. }, Follows::Cancel)
        | (Event::ListWanted { .. }, Follows::Expand)
        | (Event::ApprovalAsked { .. }, Follows::Ask) => true,
        (Event::AttemptStarted { n, cause, .. }, Follows::Start { attempt, cause: why, turn: false }) => {
            n == attempt && cause == why
        }
        (Event::TurnTaken { .. }, Follows::Start { turn: true, .. } | Follows::Gate { turn: true, .. }) => {
            true
        }
        (Event::GateStarted { key }, Follows::Gate { n, turn: false, .. }) => key.n == *n,
        _ => false,
    };
    assert!(same, "{event:?} follows, and {next:?} is said");
}

fn subject(event: &Event) -> Option<&TaskId> {
    match event {
        Event::TaskCompleted { task, .. }
        | Event::TaskFailed { task, .. }
        | Event::TaskNeedsAttention { task, .. }
        | Event::TaskSkipped { task, .. }
        | Event::TaskCancelled { task }
        | Event::AttemptStarted { task, .. }
        | Event::ListWanted { task }
        | Event::ApprovalAsked { task: Some(task), .. }
        | Event::TurnTaken { task: Some(task) } => Some(task),
        Event::GateStarted { key } => key.task.as_ref(),
        _ => None,
    }
}

/// A decision that is changed in a journal is found, at its place; and so is one that is missing, at its place or later.
pub(crate) fn tampering_is_found(journal: &[(Millis, Event)], run: &Run) {
    let mut replay = Replay::new(run.id, journal, true);
    let mut decisions = Vec::new();
    while let Some(Ok(step)) = replay.step() {
        if step.by == By::Decision {
            decisions.push(step.seq as usize - 1);
        }
    }
    // A few of each journal, spread over it.
    for at in decisions.iter().step_by(decisions.len() / 4 + 1).copied() {
        let mut changed = journal.to_vec();
        let event = &mut changed[at].1;
        let Some(other) = altered(event) else { continue };
        *event = other;
        let found =
            first_difference(&changed, run).unwrap_or_else(|| panic!("{:?} is not found", changed[at]));
        assert_eq!(found.seq as usize, at + 1, "{found:#?}");
        assert_eq!(found.recorded.as_ref(), Some(&changed[at].1));
        let How::Decided(given) = &found.how else { panic!("{found:#?}") };
        assert_eq!(given.first(), Some(&journal[at].1), "what should stand there is said");

        // The engine may have had no slot or tree for some, may not have been there when a cap on time was near, and may have taken
        // an input of the same instant first. The rest it had to decide.
        let may_wait = matches!(
            journal[at].1,
            Event::TurnTaken { .. }
                | Event::ListWanted { .. }
                | Event::ApprovalAsked { .. }
                | Event::AttemptStarted { .. }
                | Event::GateStarted { .. }
                | Event::GatesAsked { .. }
                | Event::GatesSettled { .. }
                | Event::CapWarned { .. }
                | Event::CapReached { .. }
        );
        let same_time = journal.iter().enumerate().skip(at + 1).take_while(|(_, e)| e.0 == journal[at].0);
        if !may_wait && same_time.into_iter().all(|(at, _)| decisions.contains(&at)) {
            let mut shorter = journal.to_vec();
            shorter.remove(at);
            let found = first_difference(&shorter, run);
            let found = found.unwrap_or_else(|| panic!("that {:?} is missing is not found", journal[at]));
            assert!(found.seq as usize > at, "{found:#?}");
        }
    }
}

fn first_difference(journal: &[(Millis, Event)], run: &Run) -> Option<Box<Difference>> {
    let mut replay = Replay::new(run.id, journal, true);
    loop {
        match replay.step()? {
            Ok(_) => {}
            Err(difference) => return Some(difference),
        }
    }
}

/// The event with something in it changed that a decision fixes.
fn altered(event: &Event) -> Option<Event> {
    let mut event = event.clone();
    match &mut event {
        Event::TaskCompleted { proof, .. }
        | Event::RunCompleted { proof }
        | Event::RunFailed { proof, .. } => {
            *proof = if *proof == Proof::Proven { Proof::Unproven } else { Proof::Proven };
        }
        Event::TaskFailed { failure, .. }
        | Event::TaskNeedsAttention { failure, .. }
        | Event::RunBlocked { failure } => failure.message.push('!'),
        Event::TaskSkipped { because, .. } => *because = TaskId::for_step(99, "t"),
        Event::AttemptStarted { model, .. } => *model = Some("another".into()),
        Event::GateStarted { key } => key.n += 1,
        Event::CapWarned { used, .. } | Event::CapReached { used, .. } => *used += 1,
        Event::GatesAsked { gates } | Event::GatesSettled { gates, .. } => gates.push(7),
        _ => return None,
    }
    Some(event)
}

/// Holds of every journal: each decision is the one that the core makes, and none is missing.
pub(crate) fn replays(journal: &[(Millis, Event)], run: &Run) {
    let mut replay = Replay::new(run.id, journal, true);
    let mut steps = 0;
    let mut stands: BTreeMap<TaskId, Stand> = BTreeMap::new();
    while let Some(step) = replay.step() {
        let step = step.unwrap_or_else(|d| {
            let around: Vec<_> = journal.iter().skip((d.seq as usize).saturating_sub(6)).take(8).collect();
            panic!("{d:#?}\nin {around:#?}")
        });
        steps += 1;
        assert_eq!(step.seq, steps);
        for change in step.changes {
            let before = stands.insert(change.task, change.after);
            assert_eq!(before, change.before);
        }
    }
    assert_eq!(steps as usize, journal.len());
    assert_eq!(replay.run(), Some(run));
    for task in &run.tasks {
        let stand = Stand { phase: task.phase.clone(), status: task.status() };
        assert_eq!(stands.get(&task.spec.id), Some(&stand), "a change was not told");
    }
}
