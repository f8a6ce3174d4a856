//! Git, the folders, the daemon and its sockets, the sandbox.

use super::Report;
use crate::context::Context;
use crate::host::version;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use windlass_api::version::is_newer;
use windlass_api::{Client, ClientError, Reply, Request};
use windlass_engine::RunDir;
use windlass_events::RunId;
use windlass_view::human::{bytes, plural};
use windlass_worker::Probe;

/// Less free space than this is said.
const LITTLE_SPACE: u64 = 1 << 30;
/// With less than this nothing can be started.
const NO_SPACE: u64 = 64 << 20;

/// Git, and that it is new enough.
pub(super) fn git(report: &mut Report) {
    match windlass_git::Git::find() {
        Ok(git) => report.ok("git", format!("{} ({})", git.version(), git.program().display())),
        Err(e) => report.fail("git", e.to_string(), "install git 2.41 or later"),
    }
}

/// The folder of state: ours, writable, on a disk of this machine, with room.
pub(super) fn state(context: &Context, report: &mut Report) {
    let dir = &context.paths.state;
    let shown = dir.display().to_string();
    let elsewhere = "set WINDLASS_HOME to a folder of yours on a local disk";
    let there = dir.symlink_metadata().is_ok();
    // Where it is not made yet, what counts is the folder it will be made in.
    let Some(exists) = dir.ancestors().find(|d| d.exists()) else {
        report.fail("state", format!("{shown} has no folder above it"), elsewhere);
        return;
    };
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    if let Err(e) = rustix::fs::access(exists, access) {
        report.fail("state", format!("{} cannot be written: {e}", exists.display()), elsewhere);
        return;
    }
    if there && let Err(e) = windlass_store::place::check(dir) {
        report.fail("state", e.to_string(), elsewhere);
        return;
    }
    let free = rustix::fs::statvfs(exists).map(|s| s.f_bavail.saturating_mul(s.f_frsize));
    let place = if there { shown } else { format!("{shown} (made with the first run)") };
    match free {
        Err(e) => report.warn("state", format!("{place}: its free space is unknown: {e}"), ""),
        Ok(free) if free < NO_SPACE => {
            report.fail("state", format!("{place}: only {} are free", bytes(free)), "free some space");
        }
        Ok(free) if free < LITTLE_SPACE => {
            report.warn("state", format!("{place}: only {} are free", bytes(free)), "windlass list --all");
        }
        Ok(free) => report.ok("state", format!("{place}, {} free", bytes(free))),
    }
}

/// The folder of sockets and secret values: ours alone.
pub(super) fn runtime(context: &Context, report: &mut Report) {
    let dir = &context.paths.runtime;
    let shown = dir.display().to_string();
    match dir.symlink_metadata() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            report.ok("sockets", format!("{shown} (made with the first run)"));
        }
        Err(e) => report.fail("sockets", format!("{shown}: {e}"), ""),
        Ok(meta) if meta.uid() != rustix::process::geteuid().as_raw() => report.fail(
            "sockets",
            format!("{shown} belongs to another user: what is said there would not be safe"),
            "set WINDLASS_HOME or XDG_RUNTIME_DIR to a folder of yours",
        ),
        Ok(meta) if !meta.is_dir() => {
            report.fail("sockets", format!("{shown} is no folder"), format!("rm '{shown}'"));
        }
        Ok(meta) if meta.mode() & 0o077 != 0 => {
            report.fail("sockets", format!("{shown} is open to others"), format!("chmod 700 '{shown}'"));
        }
        Ok(_) => report.ok("sockets", shown),
    }
}

/// The daemon, when it runs.
pub(super) fn daemon(context: &Context, report: &mut Report) {
    match Client::greet(&context.paths.socket(), version()) {
        Ok(mut client) => {
            let runs = match client.call(Request::Status) {
                Ok(Reply::Status(doc)) => plural(doc.runs, "run", "runs"),
                Ok(_) => "no word of its runs".to_owned(),
                Err(e) => {
                    report.fail("daemon", format!("it does not answer: {e}"), "windlass daemon stop");
                    return;
                }
            };
            let detail = format!("running, version {}, process {}, {runs}", client.version, client.pid);
            let ours = version();
            if client.version == ours {
                report.ok("daemon", detail);
            } else if is_newer(ours, &client.version) {
                report.warn(
                    "daemon",
                    format!("{detail}; this program is {ours}, and its next command takes over, with the workers that live"),
                    "windlass daemon restart",
                );
            } else {
                report.warn(
                    "daemon",
                    format!("{detail}; this program is {ours}, which is older"),
                    format!("use windlass {}", client.version),
                );
            }
        }
        Err(ClientError::NoEngine { .. }) => report.ok("daemon", "not running: it starts when it is needed"),
        Err(e) => {
            let e = e.into_api();
            report.fail("daemon", e.message, e.hint);
        }
    }
}

/// Sockets that nobody listens on any more.
pub(super) fn sockets(context: &Context, fix: bool, report: &mut Report) {
    let stale = stale_sockets(context);
    if stale.is_empty() {
        return;
    }
    let count = plural(stale.len() as u64, "socket", "sockets");
    if !fix {
        report.warn("sockets", format!("{count} of processes that are gone"), "windlass doctor --fix");
        return;
    }
    let failed: Vec<String> = stale
        .iter()
        .filter_map(|path| std::fs::remove_file(path).err().map(|e| format!("{}: {e}", path.display())))
        .collect();
    match failed.first() {
        None => report.mended("sockets", format!("{count} of processes that are gone removed")),
        Some(first) => report.warn("sockets", first.clone(), ""),
    }
}

/// Sockets whose lock is free: proof that their process is gone.
fn stale_sockets(context: &Context) -> Vec<PathBuf> {
    let is_socket = |p: &Path| p.symlink_metadata().is_ok_and(|m| m.file_type().is_socket());
    let mut stale = Vec::new();
    let daemon = context.paths.socket();
    if is_socket(&daemon) && is_free(&context.paths.daemon_lock()) {
        stale.push(daemon);
    }
    for path in entries(&context.paths.runtime) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("inline-") && is_socket(&path) && is_free(&path.with_extension("lock")) {
            stale.push(path);
        }
    }
    for path in entries(&context.paths.runtime.join("w")) {
        if is_socket(&path) && !has_shim(context, &path) {
            stale.push(path);
        }
    }
    stale
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir)
        .map(|entries| entries.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    all.sort();
    all
}

/// Whether nobody holds a lock file's lock. When in doubt, somebody does.
fn is_free(lock: &Path) -> bool {
    match std::fs::File::open(lock) {
        Err(e) => e.kind() == std::io::ErrorKind::NotFound,
        Ok(file) => rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).is_ok(),
    }
}

/// Whether a worker's socket, `RUN.name`, belongs to a shim that holds its spool. When in doubt, it does.
fn has_shim(context: &Context, socket: &Path) -> bool {
    let name = socket.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((run, attempt)) = name.split_once('.') else { return true };
    let Ok(run) = RunId::parse(run) else { return true };
    let Some(project) = context.paths.project_of(run) else { return true };
    let spool = RunDir::of(&project, run).0.join("attempts").join(attempt);
    matches!(windlass_worker::probe(&spool), Ok(Probe::Alive { .. }) | Err(_))
}

/// What holds agents back, said plainly.
pub(super) fn sandbox(report: &mut Report) {
    report.ok(
        "sandbox",
        "none of the operating system's yet: roles that only read are held by their tools, and what they change all the same is found by comparing the tree",
    );
}
