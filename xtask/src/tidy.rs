//! The house rules, checked. Each module checks one kind and gives its findings as lines `place: what is wrong`.

mod layers;
mod licences;
mod promises;
mod sources;

use crate::shell::{capture, cargo};
use anyhow::{Context, Result, bail};
use serde_json::Value;

/// `cargo xtask tidy`
pub(crate) fn run() -> Result<()> {
    let metadata = metadata()?;
    let checks = [
        ("layers", layers::check(&metadata)),
        ("sources", sources::check()?),
        ("dependencies", licences::check(&metadata)?),
        ("promises", promises::check()?),
    ];
    let mut count = 0;
    for (name, findings) in checks {
        for finding in &findings {
            println!("{name}: {finding}");
        }
        count += findings.len();
    }
    if count > 0 {
        bail!("{count} findings");
    }
    println!("tidy");
    Ok(())
}

fn metadata() -> Result<Value> {
    let mut command = cargo(["metadata", "--format-version", "1", "--locked"]);
    let text = capture(&mut command).context("is Cargo.lock up to date?")?;
    serde_json::from_str(&text).context("cargo metadata printed no JSON")
}
