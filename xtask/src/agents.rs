//! The agent programs that tests drive, pinned, in the build folder.

use crate::shell::{must_run, root, target};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Installs what `xtask/agents/package-lock.json` says, unless that is there already, and gives the folder with the
/// programs. Install scripts are not run: the platform's Node is a package of its own, chosen by npm.
pub(crate) fn install() -> Result<PathBuf> {
    let source = root().join("xtask/agents");
    let folder = target().join("agents");
    let programs = folder.join("node_modules/.bin");
    let stamp = folder.join("stamp");
    let read = |name: &str| {
        let path = source.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let wanted = format!("{}{}", read("package.json")?, read("package-lock.json")?);
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) && programs.join("pi").is_file() {
        return Ok(programs);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let _ = fs::remove_file(&stamp);
    for name in ["package.json", "package-lock.json"] {
        fs::copy(source.join(name), folder.join(name)).with_context(|| format!("cannot copy {name}"))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder);
    must_run(&mut npm)
        .context("the agent programs cannot be installed (npm, which comes with Node, is needed)")?;
    check(&programs)?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(programs)
}

/// Asks the installed programs for their versions, in the environment that tests give them.
fn check(programs: &Path) -> Result<()> {
    let wanted = pinned_pi()?;
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(programs.to_owned()).chain(std::env::split_paths(&rest)))?;
    let output = Command::new(programs.join("pi"))
        .arg("--version")
        .env("PATH", path)
        .env("PI_OFFLINE", "1")
        .env("PI_CODING_AGENT_DIR", programs.join("../no-such-home"))
        .output()
        .context("the installed pi does not start")?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() || said.trim() != wanted {
        bail!(
            "expected pi {wanted}, but it says: {} (on this platform it needs Node 22.19 or later)",
            said.trim()
        );
    }
    Ok(())
}

fn pinned_pi() -> Result<String> {
    let text = fs::read_to_string(root().join("xtask/agents/package.json"))?;
    let package: serde_json::Value = serde_json::from_str(&text)?;
    let version = package["dependencies"]["@earendil-works/pi-coding-agent"].as_str();
    version.map(str::to_owned).context("xtask/agents/package.json pins no pi")
}
