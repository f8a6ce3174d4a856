//! What workers print: how fast it is taken, and what following it costs the daemon.

use super::home::Home;
use super::measure::{in_turn, median};
use super::table::{Aim, Row, Table, Unit};
use super::{Bench, baseline, proc};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Bytes of an event.
const EVENT: u64 = 300;
/// Workers that print all the time.
const PRINTERS: u64 = 32;
/// Events of each in a second.
const PER_SECOND: u64 = 100;

/// The lines of the configuration that put the bench's own worker in pi's place, with the stream that it prints.
pub(super) fn pi_config(bench: &Bench, stream: &str) -> String {
    let command = serde_json::json!([bench.worker.to_string_lossy(), "pi", stream]);
    format!("[runtimes.pi]\ncommand = {command}")
}

pub(super) fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    table.part(format!(
        "## Output of workers (on {})\n\nEvents of {EVENT} bytes in pi's format, through pipe, shim, file, daemon and parser, \
         from the start of the attempt to its recorded end. Of the mixed ones seven in ten may be dropped by the shim; of those \
         of many workers at once 44 in 50, and each has two replies and four tool calls a second.",
        bench.place()?.name
    ));
    throughput(bench, table, "mixed:100000", true, 150.0)?;
    throughput(bench, table, "droppable:1000000", false, 500.0)?;
    share(bench, table)
}

fn throughput(bench: &Bench, table: &mut Table, stream: &str, kept: bool, least: f64) -> Result<()> {
    let (kind, count) = stream.split_once(':').context("a stream has a number")?;
    let bytes = count.parse::<u64>()? * EVENT;
    let place = bench.place()?;
    let mut home = Home::new(bench, place, kind, 4, &pi_config(bench, stream))?;
    home.pi_agent("printer")?;
    home.start()?;
    let file = place.folder.join("cat");
    let rounds = in_turn(
        bench.rounds(7),
        &mut [
            Box::new(|| {
                let run = home.run(&[
                    "--agent",
                    "printer",
                    "Print.",
                    "--budget-usd",
                    "none",
                    "--budget-tokens",
                    "none",
                ])?;
                home.wait(&run)?;
                let events = home.events(&run)?;
                let at = |kind: &str| {
                    let event = events.iter().find(|event| event["type"] == kind);
                    event.and_then(|event| event["at"].as_u64()).with_context(|| format!("no {kind}"))
                };
                let took = Duration::from_millis(at("attempt.ended")? - at("attempt.started")?);
                Ok(bytes as f64 / 1e6 / took.as_secs_f64())
            }),
            Box::new(|| {
                let start = Instant::now();
                let mut printer =
                    baseline::quiet(&bench.worker).args(["stream", stream]).stdout(Stdio::piped()).spawn()?;
                let mut cat = baseline::quiet(std::path::Path::new("cat"));
                cat.stdin(printer.stdout.take().context("no pipe")?);
                cat.stdout(if kept { Stdio::from(File::create(&file)?) } else { Stdio::null() });
                if !cat.status()?.success() || !printer.wait()?.success() {
                    bail!("`cat` failed");
                }
                Ok(bytes as f64 / 1e6 / start.elapsed().as_secs_f64())
            }),
        ],
    )?;
    let of = |at: usize| median(&rounds[at], |v| *v);
    let through = if kept { "through `cat` into a file" } else { "through `cat` into nothing" };
    table.push(
        Row::new(format!("{count} {kind} events"), Unit::MbPerS, of(0))
            .against(through, of(1))
            .aim(Aim::AtLeast(least)),
    );
    Ok(())
}

/// What following many workers that print all the time costs.
fn share(bench: &Bench, table: &mut Table) -> Result<()> {
    let seconds: u64 = if bench.quick { 4 } else { 10 };
    let events = PER_SECOND * (seconds + 4);
    let config = pi_config(bench, &format!("paced:{events}:{}", 1_000 / PER_SECOND));
    let mut home = Home::new(bench, bench.place()?, "share", PRINTERS, &config)?;
    home.pi_agent("printer")?;
    let steps: String = (0..PRINTERS).map(|i| format!("## p{i}\nrole: printer\n\nDo it.\n\n")).collect();
    home.team("printers", "printer", &steps)?;
    home.start()?;
    let run = home.run(&["--team", "printers", "--budget-usd", "none", "--budget-tokens", "none"])?;
    // Their start is not what is asked for.
    std::thread::sleep(Duration::from_secs(2));
    let daemon = home.daemon()?;
    let nursery = home.nursery()?;
    let shims = proc::children(nursery);
    let of_shims = || shims.iter().map(|shim| proc::cpu_of_threads(*shim)).sum::<Result<Duration>>();
    let (start, before, shims_before) = (Instant::now(), proc::cpu_of_threads(daemon)?, of_shims()?);
    std::thread::sleep(Duration::from_secs(seconds));
    let (took, after) = (start.elapsed(), proc::cpu_of_threads(daemon)?);
    let percent = |cpu: Duration| 100.0 * cpu.as_secs_f64() / took.as_secs_f64();
    let what = format!("{PRINTERS} workers × {PER_SECOND} events/s");
    table.push(
        Row::new(format!("{what}: the daemon's share of a core"), Unit::Percent, percent(after - before))
            .aim(Aim::AtMost(1.0)),
    );
    table.push(Row::new("- all shims'", Unit::Percent, percent(of_shims()? - shims_before)));
    home.wait(&run)
}
