//! What others need for the same work.

use super::graph::Layered;
use super::home::fresh;
use crate::shell::{must_run, target};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version of ninja that is installed where PATH has none.
const NINJA: &str = "ninja==1.13.2";

/// Starts `program` so often, one after the other, and waits for each.
pub(super) fn spawn_each(program: &Path, count: u64) -> Result<()> {
    for _ in 0..count {
        let mut command = quiet(program);
        let status = command.status().with_context(|| format!("cannot start {}", program.display()))?;
        if !status.success() {
            bail!("{} ended with {status}", program.display());
        }
    }
    Ok(())
}

/// A program without standard streams, in the environment that everything measured here gets.
pub(super) fn quiet(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    plain_environment(&mut command);
    command
}

/// The few variables that every program expects. What Cargo adds for this one is in no user's shell.
pub(super) fn plain_environment(command: &mut Command) {
    command.env_clear();
    for name in ["PATH", "HOME", "USER", "LANG", "TERM", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}

/// Ninja with the graph, in a fresh folder in this one.
pub(super) fn ninja_command(
    ninja: &Path,
    program: &Path,
    graph: &Layered,
    folder: &Path,
    jobs: u64,
) -> Result<Command> {
    let folder = &fresh(folder, "ninja");
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(folder.join("build.ninja"), graph.to_ninja(program))?;
    let mut command = quiet(ninja);
    command.arg("-C").arg(folder).args(["-j", &jobs.to_string()]).stdout(Stdio::piped());
    Ok(command)
}

/// Works through the graph with ninja, from nothing.
pub(super) fn run_ninja(mut command: Command, graph: &Layered) -> Result<()> {
    let output = command.stderr(Stdio::piped()).output().context("cannot start ninja")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let all = format!("[{0}/{0}]", graph.tasks());
    if !output.status.success() || !said.contains(&all) {
        bail!("ninja did not work through the graph: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// The smallest program there is, for fork, exec and wait alone.
pub(super) fn true_program() -> Result<PathBuf> {
    on_path("true").context("there is no program `true` on PATH")
}

/// A program by name.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The ninja on PATH, or one installed by pip into the build folder.
pub(super) fn ninja_program() -> Result<PathBuf> {
    if let Some(found) = on_path("ninja") {
        return Ok(found);
    }
    let folder = target().join("tools/ninja");
    // What pip puts into its `bin` may be a script; this is the program itself.
    let program = folder.join("bin/ninja");
    if !program.is_file() {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--only-binary", ":all:", "--upgrade", "--target"]).arg(&folder).arg(NINJA);
        pip.env("PIP_ROOT_USER_ACTION", "ignore");
        must_run(&mut pip).context("ninja is missing: install it, or a python3 with pip that can")?;
    }
    Ok(program)
}
