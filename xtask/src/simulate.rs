//! Simulated histories: the engine's machine and the shim's step function under a crash between any two steps.

use crate::shell::{cargo, must_run, number};
use anyhow::{Context, Result, bail};

/// `cargo xtask simulate [--seeds N] [--start S]`
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let (mut seeds, mut start) = (2_000, 0);
    let mut rest = args.iter();
    while let Some(option) = rest.next() {
        match *option {
            "--seeds" => seeds = number("--seeds", rest.next())?,
            "--start" => start = number("--start", rest.next())?,
            other => bail!("expected --seeds N or --start S, not {other:?}"),
        }
    }
    let (seeds, start) = (seeds.to_string(), start.to_string());
    // With the optimiser, without link-time optimisation: thousands of seeds, and no long build.
    let args = ["run", "--quiet", "--profile", "fast", "--package", "windlass-sim", "--"];
    must_run(&mut cargo(args.into_iter().chain(["--seeds", &seeds, "--start", &start])))
        .context("the simulator found a fault, or does not build; a failing seed belongs into its tests")
}
