//! Measurements as ratios against named baselines, taken in the same run on the same machine.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `graph` | the layered task graph that everyone works through |
//! | `measure` | wall time, CPU time and bytes written of a piece of work, children included |
//! | `baseline` | what others need: fork, exec and wait alone; `ninja` |
//! | `table` | rows, ratios, aims, and the page that keeps them |

mod baseline;
mod graph;
mod measure;
mod table;

use crate::shell::{cargo, must_run, number, root, target};
use anyhow::{Context, Result, bail};
use graph::Layered;
use std::fs;
use std::path::{Path, PathBuf};
use table::{Row, Table};

/// Where `--save` keeps the table.
const PAGE: &str = "docs/bench.md";

/// Every figure is the median of so many rounds.
const ROUNDS: usize = 3;

struct Options {
    tasks: u64,
    layers: u64,
    jobs: u64,
    save: bool,
}

/// `cargo xtask bench [--tasks N] [--layers N] [--jobs N] [--save]`
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let options = options(args)?;
    must_run(&mut cargo(["build", "--profile", "fast", "--package", "windlass-testkit", "--bins"]))?;
    let noop = target().join("fast/windlass-noop");
    let ninja = baseline::ninja_program()?;
    let graph = Layered { layers: options.layers, width: options.tasks.div_ceil(options.layers), fan_in: 3 };
    let mut table = Table::new(&graph, options.jobs);

    let alone = measure::median(ROUNDS, || baseline::spawn_each(&noop, graph.tasks()))?;
    table.push(Row::per_task("fork, exec and wait, one after the other", "disk", alone, graph.tasks()));
    for (place, folder) in places()? {
        let sample = measure::median(ROUNDS, || {
            baseline::ninja(&ninja, &noop, &graph, &folder.join("ninja"), options.jobs)
        })?;
        table.push(Row::per_task("ninja", place, sample, graph.tasks()));
        let _ = fs::remove_dir_all(&folder);
    }

    let text = table.to_markdown();
    println!("{text}");
    if options.save {
        let path = root().join(PAGE);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("kept in {PAGE}");
    }
    Ok(())
}

fn options(args: &[&str]) -> Result<Options> {
    let mut options = Options { tasks: 1_000, layers: 10, jobs: 4, save: false };
    let mut rest = args.iter();
    while let Some(option) = rest.next() {
        match *option {
            "--tasks" => options.tasks = number("--tasks", rest.next())?,
            "--layers" => options.layers = number("--layers", rest.next())?,
            "--jobs" => options.jobs = number("--jobs", rest.next())?,
            "--save" => options.save = true,
            other => bail!("{other:?} is not understood here: run `cargo xtask help`"),
        }
    }
    if options.tasks == 0 || options.layers == 0 || options.jobs == 0 {
        bail!("tasks, layers and jobs are at least 1");
    }
    Ok(options)
}

/// The build folder's disk, and memory where the system has a folder of it.
fn places() -> Result<Vec<(&'static str, PathBuf)>> {
    let disk = target().join("bench");
    fs::create_dir_all(&disk).with_context(|| format!("cannot make {}", disk.display()))?;
    let mut places = vec![("disk", disk)];
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        places.push(("tmpfs", memory.join(format!("windlass-bench-{}", std::process::id()))));
    }
    Ok(places)
}
