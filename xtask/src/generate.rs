//! Generated pages: the references of the command line and of the configuration, from the binary that has them.
//!
//! The binary's hidden command `__docs FOLDER` writes them into a folder; this compares or copies them to `docs/reference/`.

use crate::shell::{cargo, must_run, root, target};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// `cargo xtask generate [--check]`
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let check = match args {
        [] => false,
        ["--check"] => true,
        _ => bail!("expected nothing or --check"),
    };
    must_run(&mut cargo(["build", "--package", "windlass", "--bin", "windlass"]))?;
    let made = target().join("reference");
    // What an older binary made there is not what this one makes.
    match fs::remove_dir_all(&made) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => bail!("cannot remove {}: {e}", made.display()),
        _ => {}
    }
    must_run(Command::new(target().join("debug/windlass")).arg("__docs").arg(&made))?;
    let folder = root().join("docs/reference");
    let pages = read(&made)?;
    if pages.is_empty() {
        bail!("`windlass __docs` wrote no pages");
    }
    let there = if folder.is_dir() { read(&folder)? } else { BTreeMap::new() };
    let mut stale: Vec<&str> = Vec::new();
    for (name, content) in &pages {
        if there.get(name) == Some(content) {
            continue;
        }
        stale.push(name);
        if !check {
            fs::create_dir_all(&folder)?;
            let path = folder.join(name);
            fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    for name in there.keys().filter(|name| !pages.contains_key(*name)) {
        stale.push(name);
        if !check {
            fs::remove_file(folder.join(name)).with_context(|| format!("cannot remove {name}"))?;
        }
    }
    if check && !stale.is_empty() {
        bail!("docs/reference is stale: {}: run `cargo xtask generate`", stale.join(", "));
    }
    println!("{} pages, {} {}", pages.len(), stale.len(), if check { "stale" } else { "written" });
    Ok(())
}

/// The files of a folder by name.
fn read(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.insert(name, fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(files)
}
