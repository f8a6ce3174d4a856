//! The store as its users see it: both implementations against one suite, real files, real processes.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may fail loudly too")]

mod conformance;
mod damage;
mod golden;
mod model;
mod opening;
mod processes;
mod support;
