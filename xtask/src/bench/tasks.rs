//! A layered graph of tasks that do nothing: what Windlass itself costs per task, beside what the same graph costs ninja
//! and what starting the same program costs alone.

use super::count::{Calls, Counter};
use super::graph::Layered;
use super::home::Home;
use super::measure::{self, Sample, in_turn, median, ms};
use super::proc::{self, Used};
use super::table::{Aim, Row, Table, Unit};
use super::{Bench, Place, baseline};
use anyhow::Result;
use std::time::Instant;

/// One round of windlass, whole, with its parts.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    sample: Sample,
    daemon: Used,
    workers: Used,
    commands: Used,
}

/// A number of a round.
type Figure = fn(&Round) -> f64;

impl From<Sample> for Round {
    fn from(sample: Sample) -> Self {
        Self { sample, ..Self::default() }
    }
}

pub(super) fn measure(bench: &Bench, graph: &Layered, table: &mut Table) -> Result<()> {
    for place in &bench.places {
        table.part(format!(
            "## {} tasks on {}\n\n{} layers of {}, each task needing {} of the layer before, all the same program that does \
             nothing, {} at a time; outside git. Per task, from `windlass run -d` to the end of `windlass wait`; CPU and \
             bytes are those of the daemon, the nursery, the shims, the workers and these two commands together.",
            graph.tasks(), place.name, graph.layers, graph.width, graph.fan_in, bench.jobs
        ));
        costs(bench, place, graph, table)?;
        calls(bench, place, graph, table)?;
    }
    if !bench.quick {
        for place in &bench.places {
            table.part(format!("## The same at other sizes, on {}", place.name));
            sizes(bench, place, table)?;
        }
    }
    Ok(())
}

/// A user with the graph as a team, and a daemon that is warm.
fn home(bench: &Bench, place: &Place, graph: &Layered) -> Result<Home> {
    let mut home = Home::new(bench, place, &format!("home-{}", graph.tasks()), bench.jobs, "")?;
    home.command_agent("noop", &[&bench.noop.to_string_lossy()])?;
    home.team("graph", "noop", &graph.to_workflow("noop"))?;
    home.start()?;
    Ok(home)
}

/// So many runs of the graph, one after the other.
fn windlass(home: &mut Home, runs: u64) -> Result<Round> {
    let (before, commands) = (home.spent()?, proc::own_children()?);
    let start = Instant::now();
    for _ in 0..runs {
        let run = home.run(&["--team", "graph"])?;
        home.wait(&run)?;
    }
    let wall = start.elapsed();
    let commands = proc::own_children()?.since(commands);
    let after = home.spent()?;
    let (daemon, workers) = (after.daemon.since(before.daemon), after.workers.since(before.workers));
    let sample = Sample { wall, used: daemon.and(workers).and(commands) };
    Ok(Round { sample, daemon, workers, commands })
}

fn costs(bench: &Bench, place: &Place, graph: &Layered, table: &mut Table) -> Result<()> {
    let mut home = home(bench, place, graph)?;
    let tasks = graph.tasks();
    let folder = &place.folder;
    let true_program = baseline::true_program()?;
    let rounds = in_turn(
        bench.rounds(5),
        &mut [
            Box::new(|| windlass(&mut home, 1)),
            Box::new(|| {
                let command = baseline::ninja_command(&bench.ninja, &bench.noop, graph, folder, bench.jobs)?;
                measure::of_children(|| baseline::run_ninja(command, graph)).map(Round::from)
            }),
            Box::new(|| measure::of_children(|| baseline::spawn_each(&bench.noop, tasks)).map(Round::from)),
            Box::new(|| measure::of_children(|| baseline::spawn_each(&true_program, tasks)).map(Round::from)),
        ],
    )?;
    let [ours, ninja, noop, alone] = &rounds[..] else { return Ok(()) };
    let n = tasks as f64;
    let wall = |rounds: &[Round]| median(rounds, |r| ms(r.sample.wall) / n);
    let cpu = |rounds: &[Round], of: fn(&Round) -> Used| median(rounds, |r| ms(of(r).cpu) / n);
    let whole = |r: &Round| r.sample.used;
    let bytes = |rounds: &[Round], of: fn(&Round) -> Used| median(rounds, |r| of(r).written as f64 / n);

    table.push(Row::new("wall", Unit::Ms, wall(ours)).against("ninja", wall(ninja)).aim(Aim::Ratio(3.0)));
    table.push(Row::new("wall", Unit::Ms, wall(ours)).against("fork, exec, wait of the program", wall(noop)));
    table.push(Row::new("wall", Unit::Ms, wall(ours)).against("fork, exec, wait of `true`", wall(alone)));
    table.push(
        Row::new("CPU", Unit::Ms, cpu(ours, whole)).against("ninja", cpu(ninja, whole)).aim(Aim::AtMost(2.5)),
    );
    table.push(
        Row::new("CPU", Unit::Ms, cpu(ours, whole))
            .against("fork, exec, wait of the program", cpu(noop, whole)),
    );
    table.push(Row::new("- the daemon's", Unit::Ms, cpu(ours, |r| r.daemon)));
    table.push(Row::new("- nursery, shim and worker", Unit::Ms, cpu(ours, |r| r.workers)));
    table.push(Row::new("- the two commands", Unit::Ms, cpu(ours, |r| r.commands)));
    if place.name == "disk" {
        table.push(
            Row::new("written", Unit::Bytes, bytes(ours, whole))
                .against("ninja", bytes(ninja, whole))
                .aim(Aim::AtMost(8_000.0)),
        );
        table.push(Row::new("- by the daemon", Unit::Bytes, bytes(ours, |r| r.daemon)));
        table.push(Row::new("- by shim and worker", Unit::Bytes, bytes(ours, |r| r.workers)));
    }
    Ok(())
}

fn calls(bench: &Bench, place: &Place, graph: &Layered, table: &mut Table) -> Result<()> {
    let n = graph.tasks() as f64;
    let aims = [Aim::AtMost(300.0), Aim::AtMost(1.0)];
    let Some(counter) = Counter::find(&place.folder) else {
        for (what, aim) in ["system calls", "syncs"].into_iter().zip(aims) {
            let what =
                format!("{what} (neither `perf` nor `strace` can count here: install one, or be root)");
            table.push(Row::new(what, Unit::Count, f64::NAN).aim(aim));
        }
        return Ok(());
    };
    let mut home = home(bench, place, graph)?;
    let processes = [home.daemon()?, home.nursery()?];
    let counted = counter.of_processes(&processes, &place.folder, || {
        let run = home.run(&["--team", "graph"])?;
        home.wait(&run)?;
        home.spent().map(drop)
    })?;
    let [daemon, workers] = &counted[..] else { return Ok(()) };
    let command = baseline::ninja_command(&bench.ninja, &bench.noop, graph, &place.folder, bench.jobs)?;
    let ninja = counter.of_command(&command, &place.folder)?;
    let all = |calls: &Calls| calls.all as f64 / n;
    let by = format!("counted by {}", counter.name());
    table.push(
        Row::new(format!("system calls, {by}"), Unit::Count, all(daemon) + all(workers))
            .against("ninja", all(&ninja))
            .aim(aims[0]),
    );
    table.push(Row::new("- the daemon's", Unit::Count, all(daemon)));
    table.push(Row::new("- nursery, shim and worker", Unit::Count, all(workers)));
    let syncs = (daemon.syncs + workers.syncs) as f64 / n;
    table.push(Row::new(format!("syncs, {by}"), Unit::Count, syncs).aim(aims[1]));
    Ok(())
}

/// A hundred, a thousand and ten thousand tasks in turn: as many tasks in a round at the smaller sizes together as make the
/// ticks of the clock small.
fn sizes(bench: &Bench, place: &Place, table: &mut Table) -> Result<()> {
    let graphs = [Layered::of(100, 10), Layered::of(1_000, 10), Layered::of(10_000, 10)];
    let [mut small, mut middle, mut large] =
        [home(bench, place, &graphs[0])?, home(bench, place, &graphs[1])?, home(bench, place, &graphs[2])?];
    let runs = [10, 2, 1];
    let rounds = in_turn(
        3,
        &mut [
            Box::new(|| windlass(&mut small, runs[0])),
            Box::new(|| windlass(&mut middle, runs[1])),
            Box::new(|| windlass(&mut large, runs[2])),
        ],
    )?;
    let of =
        |at: usize, value: Figure| median(&rounds[at], |r| value(r) / (graphs[at].tasks() * runs[at]) as f64);
    let values: [(&str, Unit, Figure); 3] = [
        ("wall", Unit::Ms, |r| ms(r.sample.wall)),
        ("CPU", Unit::Ms, |r| ms(r.sample.used.cpu)),
        ("written", Unit::Bytes, |r| r.sample.used.written as f64),
    ];
    for (name, unit, value) in values {
        for (at, size) in [(0, "100"), (2, "10,000")] {
            if unit == Unit::Bytes && place.name != "disk" {
                continue;
            }
            table.push(
                Row::new(format!("{name} at {size} tasks"), unit, of(at, value))
                    .against("at 1,000", of(1, value))
                    .aim(Aim::Same(0.2)),
            );
        }
    }
    Ok(())
}
