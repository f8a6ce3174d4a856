//! A smaller history that breaks the same law: fewer features, fewer tasks and runs, fewer steps.

use crate::fault::Fault;
use crate::swarm::Swarm;
use crate::{Failure, simulate_cut};
use std::fmt;

/// Histories that are tried for one failure.
const TRIES: u32 = 3_000;
/// Orders of steps that are tried for each smaller history.
const ORDERS: u64 = 40;
/// Lines that a trace may have.
const TRACE_LINES: usize = 2_000;

/// What of a seed's history is left out. Nothing by default: then it is the seed's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// Features that it does without.
    pub without: Vec<String>,
    /// The most steps before the world calms down.
    pub length: Option<u64>,
    /// The most tasks that a run is created with.
    pub tasks: Option<u64>,
    /// The most runs.
    pub runs: Option<usize>,
    /// Which order of its steps; 0 is the seed's own.
    pub order: u64,
}

impl Cut {
    /// Every feature that a history can do without.
    pub const FEATURES: &'static [&'static str] = Swarm::FEATURES;
}

/// As options of the command line.
impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if !self.without.is_empty() {
            words.push(format!("--without {}", self.without.join(",")));
        }
        words.extend(self.length.map(|n| format!("--length {n}")));
        words.extend(self.tasks.map(|n| format!("--tasks {n}")));
        words.extend(self.runs.map(|n| format!("--runs {n}")));
        if self.order > 0 {
            words.push(format!("--order {}", self.order));
        }
        f.write_str(&words.join(" "))
    }
}

struct Search {
    seed: u64,
    fault: Option<Fault>,
    best: Failure,
    left: u32,
}

impl Search {
    /// Takes the history where it breaks the same law, and is not longer than the best by more than a part of it: what it is
    /// made of counts more than its steps.
    fn try_cut(&mut self, cut: &Cut, slack: u64) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let most = self.best.step.saturating_add(slack);
        match simulate_cut(self.seed, self.fault, cut, 0) {
            Err(failure) if failure.law == self.best.law && failure.step < most => {
                self.best = *failure;
                true
            }
            _ => false,
        }
    }

    /// The same with one thing less, in some order of steps.
    fn try_less(&mut self, less: &Cut) -> bool {
        (0..ORDERS / 8).any(|i| {
            let order = if i == 0 { less.order } else { less.order.wrapping_add(i) };
            self.try_cut(&Cut { order, ..less.clone() }, self.best.step / 2 + 1)
        })
    }

    fn round(&mut self) -> bool {
        let before = (self.best.cut.clone(), self.best.step);
        for feature in Cut::FEATURES {
            let mut less = self.best.cut.clone();
            if !less.without.iter().any(|f| f == feature) {
                less.without.push((*feature).to_owned());
                self.try_less(&less);
            }
        }
        if self.best.cut.runs != Some(1) {
            let less = Cut { runs: Some(1), ..self.best.cut.clone() };
            self.try_less(&less);
        }
        for tasks in 1..self.best.cut.tasks.unwrap_or(7) {
            let less = Cut { tasks: Some(tasks), ..self.best.cut.clone() };
            if self.try_less(&less) {
                break;
            }
        }
        for length in [10, 20, 40, 80, 160, 320] {
            if self.best.cut.length.is_some_and(|n| n <= length) {
                break;
            }
            let less = Cut { length: Some(length), ..self.best.cut.clone() };
            if self.try_less(&less) {
                break;
            }
        }
        for order in 0..ORDERS {
            let other = Cut { order, ..self.best.cut.clone() };
            self.try_cut(&other, 0);
        }
        (&self.best.cut, self.best.step) != (&before.0, before.1)
    }
}

/// A smaller history that breaks the same law, with all its steps as the tail. As small as a few thousand tries find; what was
/// given where they find none.
pub fn shrink(failure: &Failure, fault: Option<Fault>) -> Failure {
    let mut search = Search { seed: failure.seed, fault, best: failure.clone(), left: TRIES };
    while search.left > 0 && search.round() {}
    match simulate_cut(failure.seed, fault, &search.best.cut, TRACE_LINES) {
        Err(traced) => *traced,
        Ok(_) => failure.clone(),
    }
}
