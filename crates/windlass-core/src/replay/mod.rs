//! A journal held against the core: folded event by event, with what each changed, and with every decision made anew.
//!
//! A journal holds two kinds of events: what came from outside, as [`accept`](fn@crate::accept) turned it into events, and what
//! [`decide`](fn@crate::decide) made of the state. An engine decides after every input until nothing more follows, and writes
//! both in one piece. So at each place of a sound journal one of two things stands:
//! - events that an input means in that state, taken as given: what workers, gates and people said is in no other place;
//! - all that `decide` gives there, in order, at the time of its first event.
//!
//! And when time has passed before the next event, `decide` had nothing more to give.
//!
//! What `decide` may use of the world is not in the journal. So a decision is held to be right when *some* world that the engine
//! could have been in gives it: any number of free slots, the tree free or not, a restart that may or may not go on by itself, and,
//! for a run that has secret values, those at hand or not. What that leaves open is how many starts were decided at once within the
//! limits, and when the tree was to be had. All else is exact: what completes, fails, is skipped, cancelled or needs a person and
//! with which words, what starts in which order, why, in which session and with which model, caps, gates, waits, and the end.
//!
//! Map: `inputs` what an event came from · `worlds` what the engine could have seen.

mod inputs;
mod worlds;

use crate::decide::{BATCH, decide};
use crate::run::Run;
use crate::task::Phase;
use inputs::Origin;
use std::collections::BTreeSet;
use windlass_events::{Event, Millis, RunId, RunStatus, Seq, TaskId, TaskStatus};

/// What an event came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// An input, taken as given where the state allows it.
    Input,
    /// A decision, which was made anew.
    Decision,
}

/// Where a task stood or stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stand {
    /// Exactly.
    pub phase: Phase,
    /// As users see it.
    pub status: TaskStatus,
}

/// What an event changed of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Task.
    pub task: TaskId,
    /// Where it stood; `None` of a task that did not exist.
    pub before: Option<Stand>,
    /// Where it stands.
    pub after: Stand,
}

/// One event, folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<'a> {
    /// Place.
    pub seq: Seq,
    /// When.
    pub at: Millis,
    /// What happened.
    pub event: &'a Event,
    /// What it came from.
    pub by: By,
    /// Tasks that it moved, in their order.
    pub changes: Vec<Change>,
    /// The run's status before; `None` before the first event.
    pub before: Option<RunStatus>,
    /// The run's status after.
    pub after: RunStatus,
}

/// The first place at which a journal is not what the core makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Place: of the event that differs, or the one after the last.
    pub seq: Seq,
    /// What is recorded there; `None` after the last event.
    pub recorded: Option<Event>,
    /// How it differs.
    pub how: How,
}

/// How a journal differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// `decide` gives other events in every world; these in the one that comes nearest. None where nothing follows there.
    Decided(Vec<Event>),
    /// Time passed, or the journal ends, and in every world something was still to be decided; these in one of them.
    Undecided(Vec<Event>),
    /// The input that it would come from is refused in this state, or means something else.
    Refused(String),
    /// The event may not follow.
    Illegal(String),
}

/// What explains the events from a position on.
struct Found<'a> {
    here: usize,
    rest: &'a [(Millis, Event)],
    /// Positions after what is explained.
    ends: BTreeSet<usize>,
    /// The furthest that an explanation came before it differed, and how.
    nearest: Option<(usize, How)>,
    /// How much what it gives there is like what is recorded.
    alike: u8,
}

impl<'a> Found<'a> {
    const fn new(here: usize, rest: &'a [(Millis, Event)]) -> Self {
        Self { here, rest, ends: BTreeSet::new(), nearest: None, alike: 0 }
    }

    /// Notes an explanation that fits for so many events and then differs.
    fn note(&mut self, fits: usize, how: How) {
        let alike = match (&how, self.rest.get(fits)) {
            (How::Decided(given), Some((_, recorded))) => given.first().map_or(0, |e| likeness(e, recorded)),
            _ => 0,
        };
        let at = self.here + fits;
        let better = self.nearest.as_ref().is_none_or(|(furthest, _)| (at, alike) > (*furthest, self.alike));
        if better {
            self.nearest = Some((at, how));
            self.alike = alike;
        }
    }
}

/// How much a decision is like the recorded one: 0 where none is given, 3 of the same kind about the same task.
fn likeness(given: &Event, recorded: &Event) -> u8 {
    let kind = std::mem::discriminant(given) == std::mem::discriminant(recorded);
    let task = inputs::subject(given) == inputs::subject(recorded);
    1 + u8::from(kind) + u8::from(kind && task)
}

/// Looks for the inputs and decisions that explain events of one time; what the first of them came from, where one does.
fn look(run: &Run, at: Millis, rest: &[(Millis, Event)], found: &mut Found<'_>) -> Option<By> {
    let (_, first) = rest.first()?;
    let origin = inputs::origin(first);
    let mut by = None;
    if matches!(origin, Origin::Input | Origin::Either) {
        match inputs::accepted(run, rest) {
            Ok(count) => {
                found.ends.insert(found.here + count);
                by = Some(By::Input);
            }
            Err(why) if origin == Origin::Input => found.note(0, How::Refused(why)),
            Err(_) => {}
        }
    }
    if matches!(origin, Origin::Decision | Origin::Either) {
        let line = rest.iter().take(BATCH).take_while(|(_, e)| inputs::origin(e) != Origin::Input).count();
        for world in worlds::all(run, rest) {
            let given = decide(run, at, &world);
            let same = given.iter().zip(rest).take_while(|(a, (_, b))| *a == b).count();
            if same == 0 || same < given.len() {
                found.note(same, How::Decided(given.into_iter().skip(same).collect()));
                continue;
            }
            found.ends.insert(found.here + same);
            by = Some(By::Decision);
            if same == line {
                // It explains all that was decided here; shorter ones lead to the same.
                break;
            }
        }
    }
    by
}

/// Folds a journal and checks it.
#[derive(Debug)]
pub struct Replay<'a> {
    id: RunId,
    events: &'a [(Millis, Event)],
    whole: bool,
    run: Option<Run>,
    /// Position of the event to be folded next.
    next: usize,
    /// Positions up to which the events so far are explained: another explanation begins there.
    explained: BTreeSet<usize>,
    /// What the event at the last such position came from.
    by: By,
    /// The furthest that any explanation came before it differed.
    differs: Option<(usize, How)>,
    /// Whether nothing explains what comes next, so that the difference ends it.
    lost: bool,
    done: bool,
    stands: Vec<Stand>,
}

impl<'a> Replay<'a> {
    /// A journal from its first event. `whole` says that it ends where the engine left it, so that nothing may be undecided at its end.
    pub fn new(id: RunId, events: &'a [(Millis, Event)], whole: bool) -> Self {
        Self {
            id,
            events,
            whole,
            run: None,
            next: 0,
            explained: BTreeSet::from([0]),
            by: By::Input,
            differs: None,
            lost: false,
            done: false,
            stands: Vec::new(),
        }
    }

    /// The state after the last step; `None` before the first.
    pub const fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    /// Folds the next event. `None` at the end; after a difference nothing more comes.
    ///
    /// # Errors
    /// The first difference.
    pub fn step(&mut self) -> Option<Result<Step<'a>, Box<Difference>>> {
        if self.done {
            return None;
        }
        if !self.lost && self.explained.contains(&self.next) {
            self.explain();
        }
        if let Some(difference) = self.difference_here() {
            self.done = true;
            return Some(Err(Box::new(difference)));
        }
        let Some((at, event)) = self.events.get(self.next) else {
            self.done = true;
            return None;
        };
        let step = self.fold(*at, event);
        self.done = step.is_err();
        Some(step)
    }

    /// Looks for what explains the events from here on.
    fn explain(&mut self) {
        let here = self.next;
        let Some(run) = &self.run else {
            self.explained.insert(here + 1);
            return;
        };
        self.explained.remove(&here);
        let rest = self.events.get(here..).unwrap_or_default();
        let at = rest.first().map(|(at, _)| (*at).max(run.updated_at));
        let time_passed = at.map_or(self.whole, |at| at > run.updated_at);
        let mut found = Found::new(here, rest);
        match at {
            _ if time_passed && worlds::unsettled(run).is_some() => {
                found.note(0, How::Undecided(worlds::unsettled(run).unwrap_or_default()));
            }
            None => {}
            Some(at) => {
                // What one step of the engine writes has one time.
                let same_time = |(t, _): &&(Millis, Event)| (*t).max(run.updated_at) == at;
                let same_time = rest.iter().take(BATCH + 1).take_while(same_time).count();
                if let Some(by) = look(run, at, rest.get(..same_time).unwrap_or_default(), &mut found) {
                    self.by = by;
                }
            }
        }
        let (ends, nearest) = (found.ends, found.nearest);
        self.explained.extend(ends);
        let fails = nearest.as_ref().is_some_and(|(at, _)| *at == here) && at.is_none();
        if let Some((at, how)) = nearest
            && self.differs.as_ref().is_none_or(|(furthest, _)| at >= *furthest)
        {
            self.differs = Some((at, how));
        }
        self.lost = fails || (at.is_some() && self.explained.last().is_none_or(|end| *end <= here));
    }

    /// The difference, once the events before it are folded.
    fn difference_here(&self) -> Option<Difference> {
        let (at, how) = self.differs.as_ref().filter(|_| self.lost)?;
        if *at > self.next {
            return None;
        }
        let recorded = self.events.get(self.next).map(|(_, e)| e.clone());
        Some(Difference { seq: self.next as Seq + 1, recorded, how: how.clone() })
    }

    fn fold(&mut self, at: Millis, event: &'a Event) -> Result<Step<'a>, Box<Difference>> {
        let seq = self.next as Seq + 1;
        let illegal = |e: crate::fold::Illegal| {
            let how = How::Illegal(e.to_string());
            Box::new(Difference { seq, recorded: Some(event.clone()), how })
        };
        let before = self.run.as_ref().map(Run::status);
        match &mut self.run {
            None => self.run = Some(Run::begin(self.id, at, event).map_err(illegal)?),
            Some(run) => run.apply(seq, at, event).map_err(illegal)?,
        }
        self.next += 1;
        let by = match inputs::origin(event) {
            Origin::Input => By::Input,
            Origin::Decision => By::Decision,
            Origin::Either => self.by,
        };
        let changes = self.changes(event);
        let after = self.run.as_ref().map_or(RunStatus::Queued, Run::status);
        Ok(Step { seq, at, event, by, changes, before, after })
    }

    /// What an event changed that was just folded.
    fn changes(&mut self, event: &Event) -> Vec<Change> {
        let Some(run) = &self.run else { return Vec::new() };
        let all = u32::try_from(run.tasks.len()).unwrap_or(u32::MAX);
        let looked_at = match inputs::moves_only(event).and_then(|id| run.position(id)) {
            Some(at) => at..at.saturating_add(1),
            None => 0..all,
        };
        let mut changes = Vec::new();
        for at in looked_at {
            let Some(task) = run.task(at) else { continue };
            let known = self.stands.get(at as usize);
            if known.is_some_and(|s| s.phase == task.phase) {
                continue;
            }
            let after = Stand { phase: task.phase.clone(), status: task.status() };
            changes.push(Change { task: task.spec.id.clone(), before: known.cloned(), after: after.clone() });
            match self.stands.get_mut(at as usize) {
                Some(stand) => *stand = after,
                // Tasks come in the order of their positions.
                None => self.stands.push(after),
            }
        }
        changes
    }
}
