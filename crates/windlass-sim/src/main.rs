//! Plays histories, and stops at the first that breaks a law, with the smallest history that breaks it too; see [`USAGE`].
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::process::ExitCode;
use std::time::{Duration, Instant};
use windlass_sim::{Cut, Failure, Fault, LOG_STEPS, Report, shrink, simulate, simulate_cut};

const USAGE: &str = "\
usage: windlass-sim [--seeds N | --hours H] [--start S] [--fault NAME] [--keep-going]
       windlass-sim --start S --seeds 1 [--fault NAME] [--without FEATURE,…] [--length N] [--tasks N] [--runs N] [--order N] [--log LINES]
       windlass-sim --mutants [--seeds N]

The first plays N histories (2000), or as many as fit into H hours. The second plays one that was made smaller. The last
plants each fault in turn and looks for it in N histories (2000).";
/// Characters of a step that are shown.
const LINE: usize = 400;

fn main() -> ExitCode {
    match options(std::env::args().skip(1)) {
        Ok(options) if options.mutants => mutants(&options),
        Ok(options) => play(&options),
        Err(text) => {
            eprintln!("{text}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

#[derive(Debug, Default)]
struct Options {
    start: u64,
    seeds: u64,
    hours: Option<u64>,
    fault: Option<Fault>,
    log: Option<usize>,
    cut: Cut,
    keep_going: bool,
    mutants: bool,
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { seeds: 2_000, ..Options::default() };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--keep-going" => {
                options.keep_going = true;
                continue;
            }
            "--mutants" => {
                options.mutants = true;
                continue;
            }
            _ => {}
        }
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|e| format!("{arg} {value}: {e}"));
        match arg.as_str() {
            "--seeds" => options.seeds = number()?,
            "--hours" => options.hours = Some(number()?),
            "--start" => options.start = number()?,
            "--log" => options.log = Some(usize::try_from(number()?).unwrap_or(usize::MAX)),
            "--length" => options.cut.length = Some(number()?),
            "--tasks" => options.cut.tasks = Some(number()?.max(1)),
            "--runs" => options.cut.runs = Some(usize::try_from(number()?).unwrap_or(usize::MAX)),
            "--order" => options.cut.order = number()?,
            "--without" => {
                options.cut.without = value.split(',').map(str::to_owned).collect();
                let known = |f: &&String| !Cut::FEATURES.contains(&f.as_str());
                if let Some(unknown) = options.cut.without.iter().find(known) {
                    return Err(format!("no feature `{unknown}`; there are: {}", Cut::FEATURES.join(", ")));
                }
            }
            "--fault" => {
                let known = Fault::ALL.iter().copied().find(|f| f.name() == value);
                options.fault = Some(known.ok_or_else(|| format!("no fault `{value}`"))?);
            }
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    Ok(options)
}

fn play(options: &Options) -> ExitCode {
    let (mut sum, mut passed, mut failed) = (Report::default(), 0u64, 0u64);
    let end = options.hours.map(|hours| Instant::now() + Duration::from_secs(hours.saturating_mul(3_600)));
    for seed in options.start.. {
        let over = match end {
            Some(end) => Instant::now() >= end,
            None => seed - options.start >= options.seeds,
        };
        if over {
            break;
        }
        match simulate_cut(seed, options.fault, &options.cut, options.log.unwrap_or(LOG_STEPS)) {
            Ok(report) => {
                sum.steps += report.steps;
                sum.crashes += report.crashes;
                sum.events += report.events;
                sum.plans += report.plans;
                sum.approvals += report.approvals;
                passed += 1;
            }
            Err(failure) => {
                failed += 1;
                if options.keep_going {
                    println!("{}", line(&failure));
                    continue;
                }
                show(&failure, options);
                break;
            }
        }
    }
    let played = passed + failed;
    let Report { steps, crashes, events, plans, approvals } = sum;
    println!(
        "{played} seeds, {steps} steps, {crashes} crashes, {events} events, {plans} plans, {approvals} approvals"
    );
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn line(failure: &Failure) -> String {
    format!("seed {} breaks {} at step {}: {}", failure.seed, failure.law, failure.step, failure.detail)
}

/// A failure, or the smallest history that fails in the same way.
fn show(failure: &Failure, options: &Options) {
    println!("{}", line(failure));
    let small = if options.log.is_some() { failure.clone() } else { shrink(failure, options.fault) };
    if options.log.is_none() {
        println!("the smallest history that breaks it, {} steps:", small.step);
    }
    for step in &small.tail {
        match step.char_indices().nth(LINE) {
            Some((at, _)) => println!("{}…", step.get(..at).unwrap_or(step)),
            None => println!("{step}"),
        }
    }
    println!("{}", line(&small));
    let fault = options.fault.map_or_else(String::new, |f| format!(" --fault {}", f.name()));
    println!("again: windlass-sim --start {} --seeds 1{fault} --log 2000 {}", small.seed, small.cut);
}

/// Plants each fault and looks for it.
fn mutants(options: &Options) -> ExitCode {
    let mut missed = 0;
    println!("{:<24} {:>6} {:>7} {:>9}  law", "fault", "seed", "steps", "smallest");
    for &fault in Fault::ALL {
        let found = (options.start..options.start.saturating_add(options.seeds))
            .find_map(|seed| simulate(seed, Some(fault)).err());
        let Some(failure) = found else {
            missed += 1;
            println!("{:<24} not found in {} histories", fault.name(), options.seeds);
            continue;
        };
        let right = fault.laws().contains(&failure.law);
        missed += u32::from(!right);
        let small = shrink(&failure, Some(fault));
        let (name, law) = (fault.name(), failure.law.to_string());
        let note = if right { "" } else { " (not the law that is about it)" };
        println!("{name:<24} {:>6} {:>7} {:>9}  {law}{note}", failure.seed, failure.step, small.step);
    }
    println!("{} faults, {missed} missed", Fault::ALL.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
