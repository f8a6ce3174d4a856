//! Through the shipped binary: outcomes.
