//! Measurements as ratios against named baselines, taken in the same run on the same machine: A B A B, medians.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `tasks` | a graph of tasks that do nothing: wall, CPU, bytes, system calls per task, at three sizes |
//! | `starts` | from the command to the first worker; adoption of live workers; memory |
//! | `views` | looking at large histories with a process of its own |
//! | `streams` | what workers print: throughput, and the daemon's share of a core |
//! | `home` | a user of the measured binary: folders, agents, daemon, runs |
//! | `graph` | the layered task graph that everyone works through |
//! | `baseline` | what others need: fork, exec and wait alone; `ninja` |
//! | `measure` | samples, rounds, medians |
//! | `count` | system calls, by `perf` or `strace` where there is one |
//! | `proc` | what `/proc` tells of a process |
//! | `table` | rows, ratios, aims, and the page that keeps them |

mod baseline;
mod count;
mod graph;
mod home;
mod measure;
mod proc;
mod starts;
mod streams;
mod table;
mod tasks;
mod views;

use crate::shell::{cargo, must_run, number, root, target};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use table::Table;

/// Where `--save` keeps the table.
const PAGE: &str = "docs/bench.md";

/// The parts, in the order in which they are measured.
const PARTS: [&str; 4] = ["tasks", "starts", "views", "streams"];

struct Options {
    tasks: u64,
    layers: u64,
    jobs: u64,
    quick: bool,
    save: bool,
    programs: Option<PathBuf>,
    folder: Option<PathBuf>,
    only: Vec<String>,
}

/// What all parts measure with.
struct Bench {
    windlass: PathBuf,
    noop: PathBuf,
    worker: PathBuf,
    ninja: PathBuf,
    jobs: u64,
    quick: bool,
    places: Vec<Place>,
}

/// A folder on one kind of storage, in no git repository, removed at the end.
struct Place {
    name: &'static str,
    folder: PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Bench {
    /// `full` rounds, or fewer when it has to be quick.
    const fn rounds(&self, full: usize) -> usize {
        if self.quick { if full < 3 { full } else { 3 } } else { full }
    }

    /// The first place: where there is one, a disk.
    fn place(&self) -> Result<&Place> {
        self.places.first().context("no folder to measure in")
    }
}

/// `cargo xtask bench [--quick] [--save] [--only PART]… [--tasks N] [--layers N] [--jobs N] [--programs DIR] [--dir DIR]`
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let options = options(args)?;
    let programs = match &options.programs {
        Some(folder) => folder.clone(),
        None => {
            let packages = ["--package", "windlass", "--package", "windlass-testkit", "--bins"];
            must_run(&mut cargo(["build", "--profile", "fast"].into_iter().chain(packages)))?;
            target().join("fast")
        }
    };
    let program = |name: &str| {
        let path = programs.join(name);
        fs::canonicalize(&path).with_context(|| format!("{} is missing", path.display()))
    };
    let bench = Bench {
        windlass: program("windlass")?,
        noop: program("windlass-noop")?,
        worker: program("windlass-bench-worker")?,
        ninja: baseline::ninja_program()?,
        jobs: options.jobs,
        quick: options.quick,
        places: places(options.folder.as_deref())?,
    };
    let graph = graph::Layered::of(options.tasks, options.layers);
    let mut table = Table::new(options.quick);
    for part in PARTS {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == part) {
            continue;
        }
        eprintln!("measuring: {part}");
        match part {
            "tasks" => tasks::measure(&bench, &graph, &mut table)?,
            "starts" => starts::measure(&bench, &mut table)?,
            "views" => views::measure(&bench, &mut table)?,
            _ => streams::measure(&bench, &mut table)?,
        }
    }
    println!("{}", table.to_markdown());
    if options.save {
        let path = root().join(PAGE);
        table.keep_in(&path)?;
        eprintln!("kept in {PAGE}");
    }
    Ok(())
}

fn options(args: &[&str]) -> Result<Options> {
    let mut options = Options {
        tasks: 1_000,
        layers: 10,
        jobs: 4,
        quick: false,
        save: false,
        programs: None,
        folder: None,
        only: Vec::new(),
    };
    let mut rest = args.iter();
    let folder = |option: &str, value: Option<&&str>| match value {
        Some(value) => Ok(std::path::absolute(value)?),
        None => bail!("{option} needs a folder"),
    };
    while let Some(option) = rest.next() {
        match *option {
            "--tasks" => options.tasks = number("--tasks", rest.next())?,
            "--layers" => options.layers = number("--layers", rest.next())?,
            "--jobs" => options.jobs = number("--jobs", rest.next())?,
            "--quick" => options.quick = true,
            "--save" => options.save = true,
            "--programs" => options.programs = Some(folder("--programs", rest.next())?),
            "--dir" => options.folder = Some(folder("--dir", rest.next())?),
            "--only" => match rest.next() {
                Some(part) if PARTS.contains(part) => options.only.push((*part).to_owned()),
                _ => bail!("--only needs one of {}", PARTS.join(", ")),
            },
            other => bail!("{other:?} is not understood here: run `cargo xtask help`"),
        }
    }
    if options.tasks == 0 || options.layers == 0 || options.jobs == 0 {
        bail!("tasks, layers and jobs are at least 1");
    }
    if options.jobs > 64 {
        bail!("a run has at most 64 workers at once");
    }
    if options.save && (options.quick || !options.only.is_empty()) {
        bail!("the page keeps whole measurements: leave out --quick and --only");
    }
    Ok(options)
}

/// A folder on a disk, and one in memory where the system has that. Neither lies in a git repository, whose tree would
/// be looked at.
fn places(disk: Option<&Path>) -> Result<Vec<Place>> {
    let name = format!("windlass-bench-{}", std::process::id());
    let mut places = Vec::new();
    let disk = match disk {
        Some(folder) => Some(folder.to_owned()),
        None => [PathBuf::from("/var/tmp"), std::env::temp_dir()]
            .into_iter()
            .find(|folder| folder.is_dir() && !in_memory(folder)),
    };
    match disk {
        Some(folder) => places.push(Place { name: "disk", folder: folder.join(&name) }),
        None => {
            eprintln!("note: neither /var/tmp nor the temporary folder is on a disk: name one with --dir")
        }
    }
    let memory = Path::new("/dev/shm");
    if memory.is_dir() && in_memory(memory) {
        places.push(Place { name: "tmpfs", folder: memory.join(&name) });
    }
    for place in &places {
        fs::create_dir_all(&place.folder)
            .with_context(|| format!("cannot make {}", place.folder.display()))?;
    }
    Ok(places)
}

fn in_memory(folder: &Path) -> bool {
    const TMPFS: i128 = 0x0102_1994;
    rustix::fs::statfs(folder).is_ok_and(|fs| i128::from(fs.f_type) == TMPFS)
}
