//! Turns in working trees: whose lease a tree is, as the store has said, and when it is asked for, asked for again and given back.

use super::Machine;
use super::entry::{Entry, Parked};
use super::messages::Out;
use windlass_core::Turn;
use windlass_events::{Millis, RunId};

/// How often a tree held by another engine is asked for again, in milliseconds.
const TREE_POLL_MS: i64 = 500;

/// What is known of the lease of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    Asked,
    Ours,
    Other { holder: String, ask_again: Millis },
}

impl Machine {
    /// The store has said whose a tree's lease is.
    pub(super) fn tree_known(&mut self, root: String, holder: Option<String>) {
        let state = match holder {
            None => Tree::Ours,
            Some(holder) => Tree::Other { holder, ask_again: self.now.saturating_add(TREE_POLL_MS) },
        };
        self.trees.insert(root, state);
        self.dirty.extend(self.runs.keys());
    }

    /// Asks anew for the trees that another engine had when last asked.
    pub(super) fn ask_for_trees_again(&mut self, out: &mut Vec<Out>) {
        for (root, tree) in &mut self.trees {
            if matches!(tree, Tree::Other { ask_again, .. } if *ask_again <= self.now) {
                out.push(Out::WantTree { root: root.clone() });
                *tree = Tree::Asked;
            }
        }
    }

    /// Whether a run may take the turn in its tree, or who has it.
    pub(super) fn turn(&self, id: RunId, entry: &Entry) -> Turn {
        let root = &entry.run.spec.tree.root;
        let holder =
            self.runs.iter().find(|(k, e)| **k != id && e.has_turn() && e.run.spec.tree.root == *root);
        let holder = holder.map(|(other, _)| *other);
        // A run that is being read again may have the turn, unless this one has it.
        let parked = || {
            let other = |(k, p): &(&RunId, &Parked)| **k != id && p.root == *root && !entry.run.holds_turn();
            self.parked.iter().find(other).map(|(k, _)| *k)
        };
        match (holder.or_else(parked), self.trees.get(root)) {
            (Some(other), _) => Turn::Other(format!("run {other}")),
            (None, Some(Tree::Ours)) => Turn::Free,
            (None, Some(Tree::Other { holder, .. })) => Turn::Other(holder.clone()),
            // Not known yet: nobody's to take, and nobody to name.
            (None, Some(Tree::Asked) | None) => Turn::Other(String::new()),
        }
    }

    /// Asks the store for the tree's lease when a run wants a turn and nobody here holds it.
    pub(super) fn ask_for_tree(&mut self, id: RunId, out: &mut Vec<Out>) {
        let Some(entry) = self.runs.get(&id) else { return };
        if entry.run.holds_turn() || !entry.run.wants_turn() {
            return;
        }
        let root = entry.run.spec.tree.root.clone();
        if !self.trees.contains_key(&root) {
            self.trees.insert(root.clone(), Tree::Asked);
            out.push(Out::WantTree { root });
        }
    }

    /// Gives back the leases of trees that no run here has a turn in or wants one, and asks no more for such.
    pub(super) fn free_trees(&mut self, out: &mut Vec<Out>) {
        let (runs, parked) = (&self.runs, &self.parked);
        self.trees.retain(|root, tree| {
            let wants = |e: &Entry| e.run.spec.tree.root == *root && (e.has_turn() || e.run.wants_turn());
            // Before the store's answer it is not known what there is to give back.
            if *tree == Tree::Asked || runs.values().any(wants) || parked.values().any(|p| p.root == *root) {
                return true;
            }
            if *tree == Tree::Ours {
                out.push(Out::FreeTree { root: root.clone() });
            }
            false
        });
    }
}
