//! Simulated histories: the engine's machine and the shim's step function under a crash between any two steps; and whether
//! they find the faults that are planted.

use crate::shell::{cargo, must_run, number};
use anyhow::{Context, Result, bail};

/// `cargo xtask simulate [--seeds N | --hours N] [--start S]`
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let (mut seeds, mut hours, mut start) = (20_000, None, 0);
    let mut rest = args.iter();
    while let Some(option) = rest.next() {
        match *option {
            "--seeds" => seeds = number("--seeds", rest.next())?,
            "--hours" => hours = Some(number("--hours", rest.next())?),
            "--start" => start = number("--start", rest.next())?,
            other => bail!("expected --seeds N, --hours N or --start S, not {other:?}"),
        }
    }
    let start = start.to_string();
    let length = match hours {
        Some(hours) => ["--hours".to_owned(), hours.to_string()],
        None => ["--seeds".to_owned(), seeds.to_string()],
    };
    simulator(&[&length[0], &length[1], "--start", &start])
        .context("the simulator found a fault, or does not build; a failing seed belongs into its tests")
}

/// `cargo xtask mutants [--seeds N]`
pub(crate) fn mutants(args: &[&str]) -> Result<()> {
    let seeds = match *args {
        [] => 2_000,
        ["--seeds", ref rest @ ..] if rest.len() == 1 => number("--seeds", rest.first())?,
        _ => bail!("expected nothing or --seeds N, not {args:?}"),
    };
    simulator(&["--mutants", "--seeds", &seeds.to_string()]).context(
        "a planted fault is not found, or is seen as something else: the simulator has gone blind to it",
    )
}

/// Runs the simulator: with the optimiser, without link-time optimisation, for thousands of seeds and no long build.
fn simulator(args: &[&str]) -> Result<()> {
    let build = ["run", "--quiet", "--profile", "fast", "--package", "windlass-sim", "--"];
    must_run(&mut cargo(build.iter().chain(args).copied()))
}
