//! Git trees, snapshots, diffs.
