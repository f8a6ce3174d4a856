//! Which task carries which gate. Linear in steps and edges: sets of gates are bits.
//!
//! A red gate goes back to the worker that caused it. So the gates of a step that only checks (`verify: true`, reading) are carried by the
//! nearest writing steps before it; a writing step with `verify: true` carries its own. Where nothing before a reading check writes, what the
//! user or the step asked for is carried by the check itself, and project gates are only run as the record it is shown.

use super::graph::Graph;
use crate::diag::Diagnostic;
use crate::workflow::Workflow;
use std::collections::HashMap;
use windlass_events::spec::{GateSource, GateSpec};

/// The most different gates of one run.
pub const MAX_GATES: usize = 256;

/// Wall-clock limit of a gate when nothing else is said: ten minutes.
pub const GATE_LIMIT_MS: u64 = 600_000;

/// A set of gates by position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bits([u64; MAX_GATES / 64]);

impl Bits {
    fn set(&mut self, n: usize) {
        self.0[n / 64] |= 1 << (n % 64);
    }

    fn add(&mut self, other: Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    /// Positions in ascending order.
    pub(super) fn positions(self) -> Vec<u32> {
        (0..MAX_GATES as u32).filter(|n| self.0[*n as usize / 64] >> (n % 64) & 1 == 1).collect()
    }
}

/// The gates of a run and who carries them.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) gates: Vec<GateSpec>,
    /// By step.
    pub(super) carried: Vec<Bits>,
    /// Whether a writing step comes before it, by step.
    pub(super) after_writer: Vec<bool>,
}

/// Distributes gates. `writes` says of each step whether it may change the tree.
pub(super) fn assign(
    workflow: &Workflow,
    graph: &Graph,
    writes: &[bool],
    user: &[String],
    project: &[GateSpec],
) -> Result<Assigned, Diagnostic> {
    let steps = &workflow.steps;
    let n = steps.len();
    let mut table = Table::default();
    let mut asked = Bits::default();
    for command in user {
        asked.set(table.add(command, GateSource::User, GATE_LIMIT_MS)?);
    }
    let mut own = vec![Bits::default(); n];
    for (step, bits) in steps.iter().zip(&mut own) {
        for command in &step.gates {
            bits.set(table.add(command, GateSource::Step, step.gate_timeout_ms.unwrap_or(GATE_LIMIT_MS))?);
        }
    }
    let any_verify = steps.iter().any(|s| s.verify);
    let mut projects = Bits::default();
    if any_verify {
        for gate in project {
            projects.set(table.add(&gate.command, gate.source, gate.limit_ms)?);
        }
    }

    let mut after_writer = vec![false; n];
    for at in &graph.order {
        after_writer[*at] = graph.depends_on[*at].iter().any(|d| writes[*d] || after_writer[*d]);
    }
    let mut carried = vec![Bits::default(); n];
    let mut sought = vec![Bits::default(); n];
    for at in 0..n {
        if !steps[at].verify {
            carried[at].add(own[at]);
            continue;
        }
        let mut all = own[at];
        all.add(asked);
        if writes[at] {
            all.add(projects);
            carried[at].add(all);
        } else if after_writer[at] {
            all.add(projects);
            sought[at].add(all);
        } else {
            carried[at].add(all);
        }
    }
    for at in graph.order.iter().rev() {
        if writes[*at] {
            let found = sought[*at];
            carried[*at].add(found);
        } else {
            for d in &graph.depends_on[*at] {
                let passed = sought[*at];
                sought[*d].add(passed);
            }
        }
    }
    if !any_verify && !user.is_empty() {
        for at in last(graph, writes) {
            carried[at].add(asked);
        }
    }
    Ok(Assigned { gates: table.gates, carried, after_writer })
}

/// The writing steps with no writing step behind them; when none writes, the steps with no step behind them.
fn last(graph: &Graph, writes: &[bool]) -> Vec<usize> {
    let n = writes.len();
    let mut before_writer = vec![false; n];
    let mut has_dependant = vec![false; n];
    for at in graph.order.iter().rev() {
        for d in &graph.depends_on[*at] {
            has_dependant[*d] = true;
            before_writer[*d] |= writes[*at] || before_writer[*at];
        }
    }
    if writes.contains(&true) {
        (0..n).filter(|at| writes[*at] && !before_writer[*at]).collect()
    } else {
        (0..n).filter(|at| !has_dependant[*at]).collect()
    }
}

/// Gates by command: the same command is run once, for the first who asked, with the longest limit asked for.
#[derive(Debug, Default)]
struct Table {
    gates: Vec<GateSpec>,
    index: HashMap<String, usize>,
}

impl Table {
    fn add(&mut self, command: &str, source: GateSource, limit_ms: u64) -> Result<usize, Diagnostic> {
        if let Some(at) = self.index.get(command) {
            let limit = &mut self.gates[*at].limit_ms;
            *limit = if *limit == 0 || limit_ms == 0 { 0 } else { (*limit).max(limit_ms) };
            return Ok(*at);
        }
        if self.gates.len() == MAX_GATES {
            return Err(Diagnostic::error(
                "too-many-gates",
                format!("more than {MAX_GATES} different gates in one run"),
            ));
        }
        self.index.insert(command.to_owned(), self.gates.len());
        self.gates.push(GateSpec { command: command.to_owned(), source, limit_ms });
        Ok(self.gates.len() - 1)
    }
}
