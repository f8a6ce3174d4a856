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
    /// A graph of at least so many tasks in so many layers.
    pub(super) const fn of(tasks: u64, layers: u64) -> Self {
        Self { layers, width: tasks.div_ceil(layers), fan_in: 3 }
    }

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

    /// The steps of the same graph for windlass, every task done by `role`.
    pub(super) fn to_workflow(self, role: &str) -> String {
        let mut text = String::new();
        for (task, needed) in self.steps() {
            let _ = writeln!(text, "## {task}\nrole: {role}");
            if !needed.is_empty() {
                let _ = writeln!(text, "dependsOn: {}", needed.join(", "));
            }
            text.push_str("\nDo it.\n\n");
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
        let graph = Layered::of(1_000, 10);
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

    #[test]
    fn both_programs_are_given_the_same_edges() {
        let graph = Layered::of(40, 4);
        let workflow = graph.to_workflow("noop");
        let ninja = graph.to_ninja(Path::new("/bin/noop"));
        assert_eq!(workflow.matches("## l").count(), ninja.matches("build l").count());
        assert_eq!(workflow.matches("dependsOn: ").count(), 30);
        assert!(ninja.contains("build l1-0: work l0-0 l0-3 l0-6\n"), "{ninja}");
        assert!(workflow.contains("## l1-0\nrole: noop\ndependsOn: l0-0, l0-3, l0-6\n"), "{workflow}");
    }
}
