//! Real processes: nursery, shims, agents, and what becomes of them when any is killed.
//!
//! Not the usual harness: the nursery has to be forked while this process has one thread.

#![allow(unreachable_pub, reason = "modules of one test program")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test program with its own harness"
)]

mod adoption;
mod outcomes;
mod streams;
mod support;
mod trees;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::Context;
use windlass_worker::Nursery;

type Test = (&'static str, fn(&Context<'_>));

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|a| a == "--engine") {
        return adoption::be_engine(&args[1..]);
    }
    let nursery = Nursery::start().unwrap();
    let all: Vec<Test> = [outcomes::TESTS, streams::TESTS, trees::TESTS, adoption::TESTS].concat();
    if args.iter().any(|a| a == "--list") {
        all.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = args.iter().filter(|a| !a.starts_with('-')).collect();
    let chosen: Vec<Test> = all
        .into_iter()
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str())))
        .collect();
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((name, test)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let context = Context::new(&nursery, name);
                    let ok = catch_unwind(AssertUnwindSafe(|| test(&context))).is_ok();
                    println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
                    if !ok {
                        failed.lock().unwrap().push(*name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("\ntest result: {} passed; {} failed {failed:?}", chosen.len() - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
