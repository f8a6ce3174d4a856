//! A graph of tasks or steps as an indented tree, and as Mermaid text.

use crate::line::Line;
use crate::model::{Look, RunView};
use crate::text;
use crate::theme::{Mark, Tone, task_mark};
use std::collections::HashMap;
use std::fmt::Write as _;
use windlass_api::growth::GrowthDoc;
use windlass_api::status::TaskDoc;
use windlass_events::{Proof, TaskStatus};

/// A node of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name by which others depend on it. Unique.
    pub id: String,
    /// What is shown; the id where empty.
    pub label: String,
    /// More about it, shown less prominently: role, agent.
    pub about: String,
    /// How it looks.
    pub mark: Mark,
    /// Ids of nodes that come before it. Unknown ids are shown as such.
    pub after: Vec<String>,
}

impl Node {
    /// A step that is not part of a run.
    pub fn step(id: impl Into<String>, about: impl Into<String>, after: Vec<String>) -> Self {
        let mark = task_mark(TaskStatus::Queued, Proof::None);
        Self { id: id.into(), label: String::new(), about: about.into(), mark, after }
    }

    fn label(&self) -> &str {
        if self.label.trim().is_empty() { &self.id } else { &self.label }
    }
}

/// The tasks of a run as nodes.
pub fn run_nodes(view: &RunView<'_>) -> Vec<Node> {
    view.rows
        .iter()
        .map(|row| Node {
            id: row.task.id.to_string(),
            label: row.name().to_owned(),
            about: about(row.task),
            mark: row.mark,
            after: after(row.task),
        })
        .collect()
}

/// The role, and what the task becomes or came from.
fn about(task: &TaskDoc) -> String {
    let grown = task.growth.as_ref().map(GrowthDoc::words);
    let parts = std::iter::once(task.role.clone()).chain(grown).chain(task.phase.clone());
    parts.filter(|p| !p.trim().is_empty()).collect::<Vec<_>>().join(" · ")
}

/// What comes before a task. A part that comes after no other part comes after what it came from.
fn after(task: &TaskDoc) -> Vec<String> {
    let parent = task.parent.iter().filter(|_| task.depends_on.is_empty());
    task.depends_on.iter().chain(parent).map(ToString::to_string).collect()
}

/// The graph as a tree. Each node stands once, below the last of those that it comes after; the others are named in
/// its line. Nodes in a cycle, which no valid graph has, come last and say so.
pub fn tree(nodes: &[Node], look: &Look) -> Vec<Line> {
    let plan = Plan::new(nodes);
    let mut lines = Vec::with_capacity(nodes.len());
    // A stack of its own: a chain of a hundred thousand steps must not use up ours.
    let mut stack: Vec<(usize, String, Place)> =
        plan.roots.iter().rev().map(|&i| (i, String::new(), Place::Root)).collect();
    let deepest = look.width / 3;
    while let Some((i, prefix, place)) = stack.pop() {
        let Some(node) = nodes.get(i) else { continue };
        let (branch, below) = match place {
            Place::Root => ("", ""),
            Place::Middle => ("├─ ", "│  "),
            Place::Last => ("└─ ", "   "),
        };
        let shown = prefix.chars().count() < deepest;
        let mut line = Line::new();
        if shown {
            line.push(Tone::Dim, format!("{prefix}{branch}"));
        } else {
            line.push(Tone::Dim, "… ");
        }
        line.append(node_line(node, plan.others(i, nodes)));
        lines.push(line.fit(look.width));
        let next = if shown { format!("{prefix}{below}") } else { prefix };
        let children = plan.children.get(i).map(Vec::as_slice).unwrap_or_default();
        for (k, &child) in children.iter().enumerate().rev() {
            let place = if k + 1 == children.len() { Place::Last } else { Place::Middle };
            stack.push((child, next.clone(), place));
        }
    }
    for &i in &plan.cyclic {
        let Some(node) = nodes.get(i) else { continue };
        let mut line = node_line(node, String::new());
        line.push(Tone::Bad, format!("  in a cycle: after {}", node.after.join(", ")));
        lines.push(line.fit(look.width));
    }
    lines
}

#[derive(Clone, Copy)]
enum Place {
    Root,
    Middle,
    Last,
}

fn node_line(node: &Node, others: String) -> Line {
    let mut line = Line::new();
    line.glyph(node.mark).space(1).push(Tone::Plain, node.label());
    if !node.about.trim().is_empty() && node.about != node.label() {
        line.push(Tone::Dim, "  ").push(Tone::Dim, &node.about);
    }
    if !others.is_empty() {
        line.push(Tone::Dim, format!("  also after {others}"));
    }
    line
}

/// Where each node stands in the tree.
struct Plan {
    roots: Vec<usize>,
    children: Vec<Vec<usize>>,
    parent: Vec<Option<usize>>,
    cyclic: Vec<usize>,
    index: HashMap<String, usize>,
}

impl Plan {
    fn new(nodes: &[Node]) -> Self {
        let index: HashMap<String, usize> =
            nodes.iter().enumerate().map(|(i, n)| (n.id.clone(), i)).collect();
        let before: Vec<Vec<usize>> =
            nodes.iter().map(|n| n.after.iter().filter_map(|a| index.get(a).copied()).collect()).collect();
        let mut after = vec![Vec::new(); nodes.len()];
        for (i, deps) in before.iter().enumerate() {
            for &d in deps {
                if let Some(list) = after.get_mut(d) {
                    list.push(i);
                }
            }
        }
        // Kahn's order, with the number of steps before each node.
        let mut missing: Vec<usize> = before.iter().map(Vec::len).collect();
        let mut depth = vec![0usize; nodes.len()];
        let mut done = vec![false; nodes.len()];
        let mut queue: std::collections::VecDeque<usize> =
            missing.iter().enumerate().filter(|(_, m)| **m == 0).map(|(i, _)| i).collect();
        while let Some(i) = queue.pop_front() {
            done[i] = true;
            for &next in after.get(i).map(Vec::as_slice).unwrap_or_default() {
                depth[next] = depth[next].max(depth[i] + 1);
                missing[next] -= 1;
                if missing[next] == 0 {
                    queue.push_back(next);
                }
            }
        }
        let mut plan = Self {
            roots: Vec::new(),
            children: vec![Vec::new(); nodes.len()],
            parent: vec![None; nodes.len()],
            cyclic: Vec::new(),
            index,
        };
        for (i, deps) in before.iter().enumerate() {
            if !done[i] {
                plan.cyclic.push(i);
                continue;
            }
            // The deepest; of several the one named first.
            let parent = deps.iter().copied().rev().max_by_key(|&d| depth[d]);
            plan.parent[i] = parent;
            match parent {
                Some(p) => plan.children[p].push(i),
                None => plan.roots.push(i),
            }
        }
        plan
    }

    /// The nodes that a node comes after, besides the one that it stands below.
    fn others(&self, i: usize, nodes: &[Node]) -> String {
        let parent = self.parent.get(i).copied().flatten();
        let Some(node) = nodes.get(i) else { return String::new() };
        let mut names =
            node.after.iter().filter(|a| self.index.get(*a).copied() != parent || parent.is_none());
        let mut out = String::new();
        for name in names.by_ref().take(3) {
            let label = match self.index.get(name).and_then(|&k| nodes.get(k)) {
                Some(other) => text::clean(other.label()),
                None => format!("{} (unknown)", text::clean(name)),
            };
            let _ = write!(out, "{}{label}", if out.is_empty() { "" } else { ", " });
        }
        match names.count() {
            0 => {}
            more => {
                let _ = write!(out, " and {more} more");
            }
        }
        out
    }
}

/// The graph in the language of Mermaid, for a page or a pull request.
pub fn mermaid(nodes: &[Node]) -> String {
    let index: HashMap<&str, usize> = nodes.iter().enumerate().map(|(i, n)| (n.id.as_str(), i)).collect();
    let mut out = String::from("graph TD\n");
    for (i, node) in nodes.iter().enumerate() {
        let mut label = quoted(node.label());
        if !node.about.trim().is_empty() && node.about != node.label() {
            label.push_str(&format!("<br/>{}", quoted(&node.about)));
        }
        let _ = writeln!(out, "  n{i}[\"{} {label}\"]", node.mark.glyph);
    }
    for (i, node) in nodes.iter().enumerate() {
        for k in node.after.iter().filter_map(|a| index.get(a.as_str())) {
            let _ = writeln!(out, "  n{k} --> n{i}");
        }
    }
    out
}

/// A foreign text inside a quoted Mermaid label: nothing in it ends the quote, or is markup.
fn quoted(label: &str) -> String {
    let mut out = String::new();
    for c in text::fit(&text::clean(label), 80).chars() {
        match c {
            '"' | '<' | '>' | '&' | '#' | '`' | '\\' | ';' => {
                let _ = write!(out, "#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Overlay;
    use crate::sample;
    use proptest::prelude::*;

    fn texts(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|l| l.to_text(false)).collect()
    }

    #[test]
    fn a_run_is_a_tree_in_which_every_task_stands_once() {
        let (doc, overlay) = (sample::running(), Overlay::default());
        let nodes = run_nodes(&RunView::new(&doc, &overlay, sample::NOW));
        assert_eq!(
            texts(&tree(&nodes, &Look::new(80))),
            [
                "○ explore  explorer",
                "└─ ○ plan  planner",
                "   ├─ ● execute  executor",
                "   │  └─ · verify  verifier  also after review",
                "   └─ ● review  reviewer",
            ]
        );
        let text = mermaid(&nodes);
        assert!(text.starts_with("graph TD\n  n0[\"○ explore<br/>explorer\"]\n"), "{text}");
        assert!(text.ends_with("  n2 --> n4\n  n3 --> n4\n"), "{text}");
    }

    #[test]
    fn parts_come_after_what_they_grew_from() {
        let (doc, overlay) = (sample::grown(), Overlay::default());
        let nodes = run_nodes(&RunView::new(&doc, &overlay, sample::NOW));
        let lines = texts(&tree(&nodes, &Look::new(80)));
        assert_eq!(lines[1], "└─ ● plan  planner · plans up to 12 tasks");
        assert_eq!(lines[2], "   ├─ ○ The parser  executor · build");
    }

    #[test]
    fn cycles_and_unknown_names_are_said() {
        let node = |id: &str, after: &[&str]| Node::step(id, "", after.iter().map(|a| (*a).into()).collect());
        let nodes = [node("a", &["b"]), node("b", &["a"]), node("c", &["nowhere"])];
        assert_eq!(
            texts(&tree(&nodes, &Look::new(80))),
            ["· c  also after nowhere (unknown)", "· a  in a cycle: after b", "· b  in a cycle: after a"]
        );
    }

    #[test]
    fn labels_cannot_leave_their_quotes() {
        let node = Node::step("x\"]\n evil --> y <script>", "", Vec::new());
        let text = mermaid(&[node]);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains("<script>") && text.matches('"').count() == 2, "{text}");
    }

    #[test]
    fn a_long_chain_is_bounded_work() {
        let nodes: Vec<_> = (0..100_000)
            .map(|i: usize| {
                let after = i.checked_sub(1).map(|p| vec![p.to_string()]).unwrap_or_default();
                Node::step(i.to_string(), "", after)
            })
            .collect();
        let lines = tree(&nodes, &Look::new(80));
        assert_eq!(lines.len(), 100_000);
        assert!(lines.iter().all(|l| l.width() <= 80));
    }

    proptest! {
        #[test]
        fn every_node_is_shown_once_whatever_the_edges(
            edges in prop::collection::vec((0usize..12, 0usize..12), 0..40), width in 20usize..120,
        ) {
            let mut nodes: Vec<_> = (0..12).map(|i| Node::step(format!("s{i}"), "", Vec::new())).collect();
            for (a, b) in edges {
                let after = format!("s{a}");
                if !nodes[b].after.contains(&after) {
                    nodes[b].after.push(after);
                }
            }
            let lines = tree(&nodes, &Look::new(width));
            prop_assert_eq!(lines.len(), 12);
            prop_assert!(lines.iter().all(|l| l.width() <= width));
        }
    }
}
