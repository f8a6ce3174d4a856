//! `windlass-sim [--seeds N] [--start S] [--fault NAME] [--log LINES] [--keep-going]`: plays histories, and stops at the
//! first that breaks a law, or with `--keep-going` lists all of them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::process::ExitCode;
use windlass_sim::{Fault, LOG_STEPS, simulate_logged};

fn main() -> ExitCode {
    match options(std::env::args().skip(1)) {
        Ok(options) => play(&options),
        Err(text) => {
            eprintln!(
                "{text}\nusage: windlass-sim [--seeds N] [--start S] [--fault NAME] [--log LINES] [--keep-going]"
            );
            ExitCode::from(2)
        }
    }
}

#[derive(Debug)]
struct Options {
    start: u64,
    seeds: u64,
    fault: Option<Fault>,
    log: usize,
    keep_going: bool,
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { start: 0, seeds: 2_000, fault: None, log: LOG_STEPS, keep_going: false };
    while let Some(arg) = args.next() {
        if arg == "--keep-going" {
            options.keep_going = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|e| format!("{arg} {value}: {e}"));
        match arg.as_str() {
            "--seeds" => options.seeds = number()?,
            "--start" => options.start = number()?,
            "--log" => options.log = usize::try_from(number()?).unwrap_or(usize::MAX),
            "--fault" => {
                let known = Fault::ALL.into_iter().find(|f| f.name() == value);
                options.fault = Some(known.ok_or_else(|| format!("no fault `{value}`"))?);
            }
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    Ok(options)
}

fn play(options: &Options) -> ExitCode {
    let (mut steps, mut crashes, mut events, mut passed, mut failed) = (0, 0, 0, 0u64, 0u64);
    for seed in options.start..options.start.saturating_add(options.seeds) {
        match simulate_logged(seed, options.fault, options.log) {
            Ok(report) => {
                steps += report.steps;
                crashes += report.crashes;
                events += report.events;
                passed += 1;
            }
            Err(failure) => {
                failed += 1;
                if !options.keep_going {
                    failure.tail.iter().for_each(|line| println!("{line}"));
                }
                println!(
                    "seed {} breaks {} at step {}: {}",
                    failure.seed, failure.law, failure.step, failure.detail
                );
                if !options.keep_going {
                    break;
                }
            }
        }
    }
    println!(
        "{} seeds, {steps} steps, {crashes} crashes, {events} events, {failed} failures",
        passed + failed
    );
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
