//! Through the shipped binary: limits.
