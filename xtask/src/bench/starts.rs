//! From the command to the first worker; live workers found again by the next daemon; memory.

use super::home::{Home, wait_for};
use super::measure::{in_turn, median, ms};
use super::table::{Aim, Row, Table, Unit};
use super::{Bench, baseline, proc};
use anyhow::{Context, Result};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many workers live at once here.
const WORKERS: usize = 50;

pub(super) fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    table.part(format!(
        "## Starting and finding again, memory (on {})\n\nThe first worker: from the start of `windlass run -d` to the \
         worker's first instruction, the daemon being there. Adoption: {WORKERS} live workers, `kill -9` of the daemon, \
         from the start of the next one until it is connected to all their shims.",
        bench.place()?.name
    ));
    first_worker(bench, table, false)?;
    first_worker(bench, table, true)?;
    adoption_and_memory(bench, table)?;
    printing(bench, table)
}

fn first_worker(bench: &Bench, table: &mut Table, in_git: bool) -> Result<()> {
    let mut home = Home::new(bench, bench.place()?, "first", bench.jobs, "")?;
    let worker = bench.worker.to_string_lossy().into_owned();
    let stamp = home.folder().join("stamp");
    let stamp_text = stamp.to_string_lossy().into_owned();
    if in_git {
        home.begin_git()?;
    }
    home.command_agent("stamp", &[&worker, "stamp", &stamp_text])?;
    home.start()?;
    let until_stamp = |work: &mut dyn FnMut() -> Result<()>| -> Result<Duration> {
        let _ = std::fs::remove_file(&stamp);
        let start = SystemTime::now().duration_since(UNIX_EPOCH)?;
        work()?;
        let text = std::fs::read_to_string(&stamp).context("the worker left no stamp")?;
        Ok(Duration::from_nanos(text.parse()?).saturating_sub(start))
    };
    let rounds = in_turn(
        bench.rounds(21),
        &mut [
            Box::new(|| {
                until_stamp(&mut || {
                    let run = home.run(&["--agent", "stamp", "Leave a stamp."])?;
                    home.wait(&run)
                })
            }),
            Box::new(|| {
                until_stamp(&mut || {
                    baseline::quiet(&bench.worker).args(["stamp", &stamp_text]).status()?;
                    Ok(())
                })
            }),
        ],
    )?;
    let of = |at: usize| median(&rounds[at], |d| ms(*d));
    table.push(
        Row::new(
            if in_git { "- the same in a git repository" } else { "command → first worker" },
            Unit::Ms,
            of(0),
        )
        .against("start of the same program alone", of(1))
        .aim(Aim::AtMost(10.0)),
    );
    Ok(())
}

/// A user with fifty live workers of one agent.
fn crowd(bench: &Bench, name: &str, argv: &[&str]) -> Result<(Home, String)> {
    let mut home = Home::new(bench, bench.place()?, name, WORKERS as u64, "")?;
    home.command_agent("crowd", argv)?;
    let steps: String = (0..WORKERS).map(|i| format!("## w{i}\nrole: crowd\n\nDo it.\n\n")).collect();
    home.team("crowd", "crowd", &steps)?;
    home.start()?;
    let run = home.run(&["--team", "crowd"])?;
    let nursery = home.nursery()?;
    wait_for("the last worker", || shims(nursery).len() == WORKERS)?;
    Ok((home, run))
}

/// Shims that have a worker.
fn shims(nursery: u32) -> Vec<u32> {
    proc::children(nursery).into_iter().filter(|shim| !proc::children(*shim).is_empty()).collect()
}

fn adoption_and_memory(bench: &Bench, table: &mut Table) -> Result<()> {
    let worker = bench.worker.to_string_lossy().into_owned();
    let (mut home, run) = crowd(bench, "adopt", &[&worker, "sleep"])?;
    let nursery = home.nursery()?;
    let memory: Vec<_> = shims(nursery).into_iter().map(proc::memory).collect::<Result<_>>()?;
    // What every daemon needs for workers that it has started itself.
    let with_workers = proc::memory(home.daemon()?)?;
    let sockets = format!("{}/run/w/", home.folder().display());
    // Shims open their sockets after a while: workers that are over at once need none.
    wait_for("the sockets of the shims", || {
        std::fs::read_dir(&sockets).is_ok_and(|all| all.count() == WORKERS)
    })?;
    let mut idle = Home::new(bench, bench.place()?, "idle", bench.jobs, "")?;
    let mut alone = f64::NAN;
    let rounds = in_turn(
        bench.rounds(9),
        &mut [
            Box::new(|| {
                home.kill()?;
                wait_for("the end of the connections", || proc::connections(&sockets) == 0)?;
                let start = Instant::now();
                home.spawn()?;
                wait_for("adoption", || proc::connections(&sockets) == WORKERS)?;
                Ok(start.elapsed())
            }),
            Box::new(|| {
                idle.kill()?;
                let took = idle.start()?;
                alone = proc::memory(idle.daemon()?)?.rss as f64;
                Ok(took)
            }),
        ],
    )?;
    let of = |at: usize| median(&rounds[at], |d| ms(*d));
    table.push(
        Row::new(format!("adoption of {WORKERS} workers"), Unit::Ms, of(0))
            .against("start of a daemon that finds nothing", of(1))
            .aim(Aim::AtMost(100.0)),
    );
    let adopted = proc::memory(home.daemon()?)?;
    let alone_is = "with nothing to do";
    table.push(
        Row::new(format!("daemon with {WORKERS} workers, resident"), Unit::Bytes, with_workers.rss as f64)
            .against(alone_is, alone)
            .aim(Aim::AtMost(15e6)),
    );
    table.push(Row::new(
        "- of it allocated, the rest is the program",
        Unit::Bytes,
        with_workers.anonymous as f64,
    ));
    table.push(
        Row::new(format!("daemon that has adopted {WORKERS}, resident"), Unit::Bytes, adopted.rss as f64)
            .against(alone_is, alone)
            .aim(Aim::AtMost(15e6)),
    );
    table.push(Row::new("- of it allocated", Unit::Bytes, adopted.anonymous as f64));
    table.push(
        Row::new("shim, resident", Unit::Bytes, median(&memory, |m| m.rss as f64)).aim(Aim::AtMost(3e6)),
    );
    table.push(Row::new("- shared pages by their part", Unit::Bytes, median(&memory, |m| m.pss as f64)));
    home.cancel(&run)
}

/// What the daemon's memory comes to when fifty workers print much.
fn printing(bench: &Bench, table: &mut Table) -> Result<()> {
    let worker = bench.worker.to_string_lossy().into_owned();
    let each: u64 = if bench.quick { 1_000_000 } else { 10_000_000 };
    let (mut home, run) = crowd(bench, "print", &[&worker, "print", &each.to_string()])?;
    let daemon = home.daemon()?;
    // All is read when the daemon has had nothing to do for a while.
    let mut last = Duration::ZERO;
    for _ in 0..600 {
        std::thread::sleep(Duration::from_millis(200));
        let cpu = proc::cpu_of_threads(daemon)?;
        if cpu.saturating_sub(last) < Duration::from_millis(1) {
            break;
        }
        last = cpu;
    }
    let memory = proc::memory(daemon)?;
    table.push(
        Row::new(
            format!("daemon when each of {WORKERS} commands has printed {} MB", each / 1_000_000),
            Unit::Bytes,
            memory.rss as f64,
        )
        .aim(Aim::AtMost(15e6)),
    );
    table.push(Row::new("- of it allocated", Unit::Bytes, memory.anonymous as f64));
    home.cancel(&run)
}
