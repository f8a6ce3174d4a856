//! Generated pages: the references of the command line and of the configuration, from the binary that has them.
//!
//! The binary's hidden command `__docs` prints one JSON object, `{"files": {"docs/reference/cli.md": "…", …}}`.

use crate::shell::{capture, cargo, must_run, root, target};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};
use std::process::Command;

#[derive(Deserialize)]
struct Pages {
    files: BTreeMap<String, String>,
}

/// `cargo xtask generate [--check]`
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let check = match args {
        [] => false,
        ["--check"] => true,
        _ => bail!("expected nothing or --check"),
    };
    must_run(&mut cargo(["build", "--package", "windlass", "--bin", "windlass"]))?;
    let text = capture(Command::new(target().join("debug/windlass")).arg("__docs"))?;
    let pages: Pages = serde_json::from_str(&text).context("`windlass __docs` printed no pages")?;
    if pages.files.is_empty() {
        bail!("`windlass __docs` printed no pages");
    }
    let mut stale = Vec::new();
    for (name, content) in &pages.files {
        if !is_page(name) {
            bail!("`windlass __docs` names {name:?}, which is no page under docs/");
        }
        let path = root().join(name);
        if fs::read_to_string(&path).is_ok_and(|found| found == *content) {
            continue;
        }
        stale.push(name.as_str());
        if !check {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    if check && !stale.is_empty() {
        bail!("stale: {}: run `cargo xtask generate`", stale.join(", "));
    }
    println!("{} pages, {} {}", pages.files.len(), stale.len(), if check { "stale" } else { "written" });
    Ok(())
}

fn is_page(name: &str) -> bool {
    let path = Path::new(name);
    path.starts_with("docs") && path.components().all(|part| matches!(part, Component::Normal(_)))
}
