//! Chores of the workspace: what developers and CI run, with nothing needed but Rust, git and Node.
//!
//! `cargo xtask` without arguments lists them. Each lives in a module of its name; `shell` starts programs, `results`
//! reads what `cargo test` prints.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "chores talk to the person who runs them")]

mod agents;
mod bench;
mod generate;
mod proof;
mod results;
mod shell;
mod simulate;
mod test;
mod tidy;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask CHORE

  test [-p PACKAGE]… [--test TARGET]… [FILTER]…
                     install the agent programs, build, and run every test (or those of some packages or integration
                     targets, or those whose name contains a FILTER). Needs Rust, git and Node; all else goes into the
                     build folder, pinned
  agents             only install the agent programs that tests drive, and say where they are
  tidy               the house rules: layers, sources, dependencies and licences, rows of docs/proof.md
  proof [--recorded] run every test named in docs/proof.md; fail on any that is missing, ignored or did not run.
                     With --recorded: take the results of the last whole `cargo xtask test` instead of running again
  simulate [--seeds N | --hours N] [--start S]
                     N simulated histories with a crash between any two steps (20000), or as many as fit into N hours,
                     from seed S on (0); the first that breaks a law is shown as the smallest that does
  mutants [--seeds N]
                     plant each fault in the simulator in turn; fail on any that N histories (2000) do not find
  generate [--check] write the generated pages under docs/ from the binary, or only say which are stale
  bench [--quick] [--save] [--only tasks|starts|views|streams]… [--tasks N] [--layers N] [--jobs N]
        [--programs DIR] [--dir DIR]
                     measure against named baselines in the same run; --save keeps the table in docs/bench.md.
                     --programs measures what is built there; --dir names a folder on a disk and in no repository

Exit code 0: done and in order; 1: not in order, as printed; 2: the command line is wrong.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match *words {
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        [chore, ref rest @ ..] => match run(chore, rest) {
            Some(result) => result,
            None => {
                eprintln!("error: there is no chore {chore:?}\n\n{HELP}");
                return ExitCode::from(2);
            }
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `None` when there is no such chore.
fn run(chore: &str, args: &[&str]) -> Option<Result<()>> {
    Some(match chore {
        "test" => test::run(args),
        "agents" => no_arguments(args).and_then(|()| agents::install()).map(|folder| {
            println!("{}", folder.display());
        }),
        "tidy" => no_arguments(args).and_then(|()| tidy::run()),
        "proof" => proof::run(args),
        "simulate" => simulate::run(args),
        "mutants" => simulate::mutants(args),
        "generate" => generate::run(args),
        "bench" => bench::run(args),
        _ => return None,
    })
}

fn no_arguments(args: &[&str]) -> Result<()> {
    if let Some(first) = args.first() {
        bail!("{first:?} is not understood here: run `cargo xtask help`");
    }
    Ok(())
}
