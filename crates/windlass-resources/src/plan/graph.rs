//! The graph of a workflow: names resolved, order found, cycles shown. Linear in steps and edges.

use crate::diag::{Diagnostic, quote};
use crate::workflow::Workflow;
use std::collections::HashMap;

/// The most findings of one kind that are listed; a hostile file cannot make more.
const MAX_FINDINGS: usize = 20;

/// A graph without faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// For each step, the steps it depends on, by position in the file, each once.
    pub depends_on: Vec<Vec<usize>>,
    /// Every step once, dependencies before dependants, otherwise as in the file.
    pub order: Vec<usize>,
}

impl Graph {
    /// Resolves and orders the steps of a workflow.
    ///
    /// # Errors
    /// Duplicate steps, dangling dependencies (with the nearest name) and a cycle (with its path).
    pub fn of(workflow: &Workflow) -> Result<Self, Vec<Diagnostic>> {
        let mut findings = Findings::new(&workflow.source.path);
        let steps = &workflow.steps;
        let mut index: HashMap<&str, usize> = HashMap::with_capacity(steps.len());
        for (n, step) in steps.iter().enumerate() {
            if let Some(first) = index.insert(&step.id, n) {
                let line = steps[first].pos.line;
                findings.add(|| {
                    Diagnostic::error(
                        "duplicate-step",
                        format!("step {} is given twice (first in line {line})", quote(&step.id)),
                    )
                    .at(step.pos)
                });
                index.insert(&step.id, first);
            }
        }
        let mut depends_on = Vec::with_capacity(steps.len());
        for (n, step) in steps.iter().enumerate() {
            let mut list = Vec::with_capacity(step.depends_on.len());
            for name in &step.depends_on {
                match index.get(name.as_str()) {
                    Some(at) => list.push(*at),
                    None => findings.add(|| {
                        Diagnostic::error(
                            "dangling-dependency",
                            format!(
                                "step {} depends on {}, which is no step",
                                quote(&step.id),
                                quote(&name.text)
                            ),
                        )
                        .at(name.pos)
                        .did_you_mean(&name.text, steps.iter().take(2_000).map(|s| s.id.as_str()))
                    }),
                }
            }
            list.sort_unstable();
            list.dedup();
            debug_assert_eq!(depends_on.len(), n);
            depends_on.push(list);
        }
        let order = order(&depends_on);
        if order.len() < steps.len() {
            let path = cycle(&depends_on, &order);
            let names: Vec<String> = shorten(&path, |n| quote(&steps[n].id));
            let pos = path.first().map(|n| steps[*n].pos).unwrap_or_default();
            findings.add(|| {
                Diagnostic::error(
                    "dependency-cycle",
                    format!("steps depend on each other in a circle: {}", names.join(" → ")),
                )
                .at(pos)
            });
        }
        findings.result(Self { depends_on, order })
    }
}

/// Collects findings up to a bound, and says how many more there were.
pub(crate) struct Findings<'p> {
    path: &'p str,
    list: Vec<Diagnostic>,
    dropped: usize,
}

impl<'p> Findings<'p> {
    pub(crate) fn new(path: &'p str) -> Self {
        Self { path, list: Vec::new(), dropped: 0 }
    }

    pub(crate) fn add(&mut self, make: impl FnOnce() -> Diagnostic) {
        if self.list.len() < MAX_FINDINGS {
            let mut d = make();
            if d.path.is_empty() {
                d.path = self.path.to_owned();
            }
            self.list.push(d);
        } else {
            self.dropped += 1;
        }
    }

    pub(crate) fn result<T>(mut self, value: T) -> Result<T, Vec<Diagnostic>> {
        if self.dropped > 0 {
            self.list.push(
                Diagnostic::error("more", format!("and {} more of the same file", self.dropped))
                    .in_file(self.path),
            );
        }
        if self.list.is_empty() { Ok(value) } else { Err(self.list) }
    }
}

/// Kahn's order, ties in file order; steps on or behind a cycle are missing from it.
fn order(depends_on: &[Vec<usize>]) -> Vec<usize> {
    let mut waiting: Vec<usize> = depends_on.iter().map(Vec::len).collect();
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); depends_on.len()];
    for (n, list) in depends_on.iter().enumerate() {
        for d in list {
            dependants[*d].push(n);
        }
    }
    let mut ready: std::collections::BinaryHeap<std::cmp::Reverse<usize>> =
        waiting.iter().enumerate().filter(|(_, w)| **w == 0).map(|(n, _)| std::cmp::Reverse(n)).collect();
    let mut order = Vec::with_capacity(depends_on.len());
    while let Some(std::cmp::Reverse(n)) = ready.pop() {
        order.push(n);
        for d in &dependants[n] {
            waiting[*d] -= 1;
            if waiting[*d] == 0 {
                ready.push(std::cmp::Reverse(*d));
            }
        }
    }
    order
}

/// One cycle among the steps that are not in `order`, first step repeated at the end.
fn cycle(depends_on: &[Vec<usize>], order: &[usize]) -> Vec<usize> {
    let mut done = vec![false; depends_on.len()];
    for n in order {
        done[*n] = true;
    }
    // Every step left over depends on one that is left over, so this walk must meet itself.
    let Some(mut at) = done.iter().position(|d| !d) else { return Vec::new() };
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let mut walk = Vec::new();
    loop {
        if let Some(start) = seen.get(&at) {
            let mut path = walk.split_off(*start);
            path.push(at);
            // Walked from dependant to dependency; shown in the order things would run.
            path.reverse();
            return path;
        }
        seen.insert(at, walk.len());
        walk.push(at);
        match depends_on[at].iter().find(|d| !done[**d]) {
            Some(next) => at = *next,
            None => return walk,
        }
    }
}

fn shorten(path: &[usize], name: impl Fn(usize) -> String) -> Vec<String> {
    if path.len() <= 12 {
        return path.iter().map(|n| name(*n)).collect();
    }
    let mut out: Vec<String> = path[..6].iter().map(|n| name(*n)).collect();
    out.push(format!("… {} more …", path.len() - 10));
    out.extend(path[path.len() - 4..].iter().map(|n| name(*n)));
    out
}
