//! Through the shipped binary: watching.
