//! Looking at large histories with a process of its own, as a shell prompt or an agent does.

use super::home::Home;
use super::measure::{Way, in_turn, median, ms};
use super::streams::pi_config;
use super::table::{Aim, Row, Table, Unit};
use super::{Bench, baseline};
use anyhow::{Result, bail};
use std::process::Command;
use std::time::{Duration, Instant};

/// Workers at once where the long journal is made: as many as a run can have.
const WORKERS: u64 = 64;

pub(super) fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    table.part(format!(
        "## Looking (on {})\n\nIn a git repository. Each is a process of its own, from its start to its end. The long journal is that of one run \
         of {WORKERS} tasks whose agents report what they used again and again.",
        bench.place()?.name
    ));
    long_journal(bench, table)?;
    many_runs(bench, table)
}

/// How long a process takes.
fn once(mut command: Command) -> Result<Duration> {
    let start = Instant::now();
    let status = command.status()?;
    let took = start.elapsed();
    if !status.success() {
        bail!("`{command:?}` ended with {status}");
    }
    Ok(took)
}

/// Measures a command of windlass beside `windlass version` and a program that does nothing.
fn look(bench: &Bench, home: &Home, args: &[&str]) -> Result<[f64; 3]> {
    let mut ways: [Way<'_, Duration>; 3] = [
        Box::new(|| once(home.command(args))),
        Box::new(|| once(home.command(&["version"]))),
        Box::new(|| once(baseline::quiet(&bench.noop))),
    ];
    let rounds = in_turn(if bench.quick { 9 } else { 31 }, &mut ways)?;
    Ok([0, 1, 2].map(|at| median(&rounds[at], |d| ms(*d))))
}

fn push(table: &mut Table, what: String, [took, version, noop]: [f64; 3], most: f64) {
    table.push(
        Row::new(what.clone(), Unit::Ms, took).against("`windlass version`", version).aim(Aim::AtMost(most)),
    );
    table.push(
        Row::new(what, Unit::Ms, took).against("fork, exec, wait of a program that does nothing", noop),
    );
}

fn long_journal(bench: &Bench, table: &mut Table) -> Result<()> {
    let events: u64 = if bench.quick { 5_000 } else { 100_000 };
    // One event per reply; at this pace none is passed over. Engines are told of output every 250 ms.
    let config = pi_config(bench, &format!("usage:{}:275", events / WORKERS + 1));
    let mut home = Home::new(bench, bench.place()?, "journal", WORKERS, &config)?;
    home.begin_git()?;
    home.pi_agent("teller")?;
    let steps: String = (0..WORKERS).map(|i| format!("## t{i}\nrole: teller\n\nDo it.\n\n")).collect();
    home.team("tellers", "teller", &steps)?;
    home.start()?;
    let run = home.run(&["--team", "tellers", "--budget-usd", "none", "--budget-tokens", "none"])?;
    home.wait(&run)?;
    let found = home.output(&["events", &run, "--json"])?.lines().count();
    let took = look(bench, &home, &["status", &run])?;
    push(table, format!("`status` of a run with {found} events"), took, 5.0);
    let took = look(bench, &home, &["status", &run, "--json"])?;
    push(table, format!("`status --json` of a run with {found} events"), took, 5.0);
    Ok(())
}

fn many_runs(bench: &Bench, table: &mut Table) -> Result<()> {
    let count: usize = if bench.quick { 100 } else { 1_000 };
    let mut home = Home::new(bench, bench.place()?, "runs", bench.jobs, "")?;
    home.begin_git()?;
    home.command_agent("noop", &[&bench.noop.to_string_lossy()])?;
    home.start()?;
    for i in 0..count {
        let run = home.run(&["--agent", "noop", &format!("Goal number {i}.")])?;
        home.wait(&run)?;
    }
    let all = count.to_string();
    let found = home.output(&["list", "-n", &all, "--json"])?.matches("\"Goal number ").count();
    let took = look(bench, &home, &["list", "-n", &all])?;
    push(table, format!("`list` of {found} runs"), took, 8.0);
    Ok(())
}
