//! The worlds that an engine could have been in, as far as they make a difference.

use crate::decide::{Turn, World, decide};
use crate::run::Run;
use windlass_events::event::WaitFor;
use windlass_events::{Event, Millis};

/// Worlds in which the events that stand here may have been decided.
///
/// The slots are those that as many starts as stand here would use, every number below, and more than any run uses: a decision with
/// other numbers is the same as with one of these, since `decide` takes from an ordered line until the slots are used.
pub(super) fn all<'r>(run: &'r Run, rest: &[(Millis, Event)]) -> impl Iterator<Item = World> + use<'r> {
    let starts = rest.iter().map_while(|(_, e)| starts(e)).sum::<u32>();
    let who = rest.iter().find_map(|(_, e)| match e {
        Event::RunWaiting { wait: WaitFor::Tree, on } => Some(on.clone()),
        _ => None,
    });
    let slots: Vec<u32> = (0..=starts).rev().chain([u32::MAX]).collect();
    slots.into_iter().flat_map(move |slots| with_slots(run, slots, who.clone()))
}

/// How many slots an event of a line of decisions may use; `None` ends the line.
const fn starts(event: &Event) -> Option<u32> {
    match event {
        Event::AttemptStarted { .. } | Event::TurnTaken { .. } | Event::ListWanted { .. } => Some(1),
        Event::RunCreated(_)
        | Event::TasksPlanned { .. }
        | Event::RunTaken { .. }
        | Event::AttemptObserved { .. }
        | Event::AttemptEnded { .. }
        | Event::AttemptLost { .. }
        | Event::AttemptSwept { .. }
        | Event::AttemptVoided { .. }
        | Event::GateEnded { .. }
        | Event::GateLost { .. }
        | Event::TreeKept { .. }
        | Event::TreeTouched { .. }
        | Event::PlanMade { .. }
        | Event::PlanRefused { .. }
        | Event::ApprovalGiven { .. }
        | Event::ApprovalRefused { .. } => None,
        _ => Some(0),
    }
}

fn with_slots(run: &Run, slots: u32, who: Option<String>) -> impl Iterator<Item = World> + use<> {
    let said = match &run.waiting {
        Some((WaitFor::Tree, on, _)) => Some(on.clone()),
        _ => None,
    };
    let mut trees = vec![Turn::Free, Turn::Other(String::new())];
    for other in [said, who].into_iter().flatten().map(Turn::Other) {
        if !trees.contains(&other) {
            trees.push(other);
        }
    }
    // A run without secret values has them always, and only after a restart it matters whether it may go on.
    let secrets = if run.spec.secret_names.is_empty() { &[true][..] } else { &[true, false] };
    let restart = if run.restarted { &[false, true][..] } else { &[true] };
    trees.into_iter().flat_map(move |tree| {
        secrets.iter().flat_map(move |secrets| {
            let tree = tree.clone();
            restart.iter().map(move |may_restart| World {
                slots,
                tree: tree.clone(),
                secrets: *secrets,
                may_restart: *may_restart,
            })
        })
    })
}

/// What was still to be decided at the time of the last event, in one of the worlds; `None` where in some world nothing was.
pub(super) fn unsettled(run: &Run) -> Option<Vec<Event>> {
    let mut pending: Option<Vec<Event>> = None;
    for world in [0, u32::MAX].into_iter().flat_map(|slots| with_slots(run, slots, None)) {
        let given = decide(run, run.updated_at, &world);
        if given.is_empty() {
            return None;
        }
        pending.get_or_insert(given);
    }
    pending
}
