//! Chores of the workspace: test, tidy, simulate, proof, bench.
fn main() {}
