//! Where the testkit's own programs and the build folder lie.
//!
//! A test of another crate has no `CARGO_BIN_EXE_…` for these programs, so they are looked for in the build folder
//! that the running test was built into, and built there first when they are missing or older than their source.

use crate::must;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The worker that behaves as badly as its arguments say. `windlass-fake-worker help` lists what it can do.
pub fn fake_worker() -> PathBuf {
    program("windlass-fake-worker")
}

/// A program that ends at once with code 0.
pub fn noop() -> PathBuf {
    program("windlass-noop")
}

/// The scripted model server as a process of its own.
pub fn model_server() -> PathBuf {
    program("model-server")
}

/// The workspace's build folder: the nearest one above the running program that Cargo marked as its own.
///
/// # Panics
/// When the running program does not lie in such a folder.
pub fn build_folder() -> PathBuf {
    let here = must(std::env::current_exe(), "cannot tell where this test lies");
    match here.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()) {
        Some(folder) => folder.to_owned(),
        None => panic!("{} does not lie in a Cargo build folder", here.display()),
    }
}

/// The folder that programs of this profile are built into, such as `target/debug`.
fn profile_folder() -> PathBuf {
    let here = must(std::env::current_exe(), "cannot tell where this test lies");
    let folder = here.parent().unwrap_or(Path::new("."));
    if folder.ends_with("deps") { folder.parent().unwrap_or(folder).to_owned() } else { folder.to_owned() }
}

fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let path = profile_folder().join(name);
    if !is_fresh(&path) {
        BUILT.get_or_init(build);
    }
    assert!(path.is_file(), "{} is missing: run `cargo build -p windlass-testkit --bins`", path.display());
    path
}

fn build() {
    let folder = profile_folder();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "windlass-testkit", "--bins"]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", build_folder());
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(profile) => drop(cargo.args(["--profile", profile])),
    }
    let status = must(cargo.status(), "cannot run cargo to build the testkit's programs");
    assert!(status.success(), "`cargo build -p windlass-testkit --bins` failed");
}

/// Whether the program is there and not older than any source of this crate's programs.
fn is_fresh(path: &Path) -> bool {
    let Ok(built) = path.metadata().and_then(|meta| meta.modified()) else { return false };
    let newest = newest(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin"));
    newest.is_none_or(|newest| newest <= built)
}

fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries.filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok()).max()
}
