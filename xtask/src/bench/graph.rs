//! The layered task graph that everyone works through.

use std::fmt::Write;
use std::path::Path;

/// `layers` layers of `width` tasks; each task needs `fan_in` tasks of the layer before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layered {
    pub(super) layers: u64,
    pub(super) width: u64,
    pub(super) fan_in: u64,
}

impl Layered {
    pub(super) const fn tasks(&self) -> u64 {
        self.layers * self.width
    }

    /// Every task's name and the names of those that it needs, in an order in which they can run.
    pub(super) fn steps(&self) -> impl Iterator<Item = (String, Vec<String>)> + use<> {
        let Self { layers, width, fan_in } = *self;
        (0..layers).flat_map(move |layer| {
            (0..width).map(move |index| {
                let needs = if layer == 0 { 0 } else { fan_in.min(width) };
                // Spread, so that a layer is one web and not a bundle of chains.
                let needed = (0..needs).map(|k| name(layer - 1, (index + k * (width / needs)) % width));
                (name(layer, index), needed.collect())
            })
        })
    }

    /// The same graph for ninja, every task being `program`.
    pub(super) fn to_ninja(self, program: &Path) -> String {
        let mut text = format!("rule work\n  command = {}\n", program.display());
        for (task, needed) in self.steps() {
            let _ = writeln!(text, "build {task}: work {}", needed.join(" "));
        }
        text
    }
}

fn name(layer: u64, index: u64) -> String {
    format!("l{layer}-{index}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_task_needs_others_of_the_layer_before() {
        let graph = Layered { layers: 10, width: 100, fan_in: 3 };
        let mut seen = BTreeSet::new();
        for (task, needed) in graph.steps() {
            let needed: BTreeSet<_> = needed.into_iter().collect();
            assert_eq!(needed.len(), if task.starts_with("l0-") { 0 } else { 3 });
            assert!(needed.is_subset(&seen));
            seen.insert(task);
        }
        assert_eq!(seen.len() as u64, graph.tasks());
        let narrow = Layered { layers: 2, width: 1, fan_in: 3 };
        assert_eq!(narrow.steps().last().unwrap().1, ["l0-0"]);
    }
}
