//! Journals: whole, foldable, their caches right; and what dead workers of unfinished runs left alive.

use super::Report;
use super::copies::Copies;
use crate::context::Context;
use crate::host::version;
use std::path::Path;
use std::sync::Arc;
use windlass_core::{FOLD_VERSION, Run};
use windlass_engine::driver::projects::load_run;
use windlass_engine::{RunDir, query};
use windlass_events::{Event, RunId, Seq, VOCABULARY};
use windlass_store::{
    Lease, LeaseError, LeaseName, ListFilter, Owner, OwnerFiles, OwnerLock, ReadStore, Snapshot,
    SqliteReader, SqliteStore, Store, StoreError,
};
use windlass_view::human::plural;
use windlass_worker::Probe;

/// Every project of this user.
pub(super) fn all(context: &Context, fix: bool, report: &mut Report) {
    let projects = context.paths.all_projects();
    if projects.is_empty() {
        report.ok("journals", "none yet: nothing was run");
        return;
    }
    for dir in projects {
        project(context, &dir, fix, report);
    }
}

/// A run that is not as it should be.
struct Wrong {
    run: RunId,
    what: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Rows of its journal are missing or not as written: they can be set aside.
    Rows,
    /// Its events are whole and make no sense to this program.
    Fold,
    /// Nothing of it is left but what was set aside.
    Empty,
    /// Its saved state is not what the journal says: it can be made again.
    Snapshot,
}

fn project(context: &Context, dir: &Path, fix: bool, report: &mut Report) {
    let slug = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let reader = match query::reader(&context.paths, dir) {
        Ok(reader) => reader,
        Err(e) => {
            report.fail(slug, e.to_string(), "");
            return;
        }
    };
    let name = title(&reader).unwrap_or(slug);
    match reader.integrity_check() {
        Ok(complaints) if complaints.is_empty() => {}
        Ok(complaints) => {
            let first = complaints.first().map_or("", String::as_str);
            report.fail(
                &name,
                format!("the database {} is damaged: {first}", reader.path().display()),
                format!("keep a copy before anything else: cp -a '{0}' '{0}.copy'", dir.display()),
            );
            return;
        }
        Err(e) => {
            report.fail(&name, e.to_string(), "");
            return;
        }
    }
    let listed = match reader.list(ListFilter::default()) {
        Ok(listed) => listed,
        Err(e) => {
            report.fail(&name, e.to_string(), "");
            return;
        }
    };
    let mut wrong = Vec::new();
    let mut orphans = Vec::new();
    let mut copies = Copies::new(context, dir, fix);
    for listed in &listed {
        let found = look(&reader, listed.run);
        if let Ok(run) = &found {
            copies.look(run);
        }
        match found {
            Ok(run) if !run.is_ended() => {
                let led = reader
                    .lease(&LeaseName::Run(run.id))
                    .ok()
                    .flatten()
                    .and_then(|l| l.owner)
                    .is_some_and(|o| reader.is_alive(&o.id));
                // An engine that leads it is about to sweep.
                if !led {
                    orphans.extend(left_alive(&run, dir));
                }
            }
            Ok(_) => {}
            Err(found) => wrong.push(found),
        }
    }
    if wrong.is_empty() {
        report.ok(&name, format!("{}, every journal is whole", plural(listed.len() as u64, "run", "runs")));
    }
    for found in &wrong {
        if fix {
            mend(context, dir, found, report);
        } else {
            say(found, report);
        }
    }
    copies.say(&name, report);
    if !orphans.is_empty() {
        report.warn(
            format!("{name} workers"),
            format!(
                "left alive by workers that died: {}; a daemon ends them before it starts anything",
                orphans.join(", ")
            ),
            "windlass daemon start",
        );
    }
}

/// The project's folder, shortened to its name.
fn title(reader: &SqliteReader) -> Option<String> {
    let identity = reader.project_identity().ok().flatten()?;
    let folder = if identity.path.ends_with(".git") { identity.path.parent()? } else { &identity.path };
    Some(folder.file_name()?.to_string_lossy().into_owned())
}

/// Reads a whole journal, folds it, and compares what was saved of it.
fn look(reader: &SqliteReader, run: RunId) -> Result<Run, Wrong> {
    let wrong = |kind, what: String| Wrong { run, what, kind };
    if reader.verify(run).map_err(|e| wrong(Kind::Rows, e.to_string()))? == 0 {
        let what = "its journal was damaged from its first event on; all of it is set aside, bytes kept";
        return Err(wrong(Kind::Empty, what.to_owned()));
    }
    let folded = fold(reader, run, Seq::MAX).map_err(|e| wrong(Kind::Fold, e))?;
    let saved = reader.latest_snapshot(run, FOLD_VERSION).map_err(|e| wrong(Kind::Rows, e.to_string()))?;
    if let Some(saved) = saved {
        let then = fold(reader, run, saved.seq).map_err(|e| wrong(Kind::Fold, e))?;
        let state: Option<Run> = serde_json::from_slice(&saved.bytes).ok();
        if state.as_ref() != Some(&then) {
            return Err(wrong(
                Kind::Snapshot,
                format!("its saved state at event {} is not what its journal says", saved.seq),
            ));
        }
    }
    // The way every other command reads it.
    load_run(reader, run).map_err(|e| wrong(Kind::Fold, e.to_string()))?;
    Ok(folded)
}

/// The fold of a journal from its first event up to one, without any saved state.
fn fold(reader: &SqliteReader, run: RunId, upto: Seq) -> Result<Run, String> {
    let mut state: Option<Run> = None;
    let mut after = 0;
    loop {
        let page = reader.read(run, after, 4096).map_err(|e| e.to_string())?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for stored in page.iter().filter(|e| e.seq <= upto) {
            let event = Event::from_json(&stored.body).map_err(|e| format!("event {}: {e}", stored.seq))?;
            match &mut state {
                None => state = Some(Run::begin(run, stored.at, &event).map_err(|e| e.to_string())?),
                Some(state) => state
                    .apply(stored.seq, stored.at, &event)
                    .map_err(|e| format!("event {}: {e}", stored.seq))?,
            }
        }
        if after >= upto {
            break;
        }
    }
    state.ok_or_else(|| "it has no events".to_owned())
}

fn say(found: &Wrong, report: &mut Report) {
    let name = format!("run {}", found.run);
    match found.kind {
        Kind::Rows => report.fail(
            name,
            format!(
                "{}. Its damaged end can be set aside, bytes kept; the run then ends at its last good event",
                found.what
            ),
            "windlass doctor --fix",
        ),
        Kind::Snapshot => report.fail(name, found.what.clone(), "windlass doctor --fix"),
        // There is nothing to mend, and nothing else of it that works or does not.
        Kind::Empty => report.warn(name, found.what.clone(), ""),
        Kind::Fold => report.fail(
            name,
            found.what.clone(),
            "a newer windlass may have written it: use that one; otherwise please report it",
        ),
    }
}

/// Mends a run under its lease. Nothing happens to a run that a living engine leads.
fn mend(context: &Context, dir: &Path, found: &Wrong, report: &mut Report) {
    if matches!(found.kind, Kind::Fold | Kind::Empty) {
        say(found, report);
        return;
    }
    let name = format!("run {}", found.run);
    match mend_leased(context, dir, found) {
        Ok(text) => report.mended(name, text),
        Err(why) => {
            report.fail(
                name,
                format!("{}; not mended: {why}", found.what),
                "windlass daemon stop, then again",
            );
        }
    }
}

fn mend_leased(context: &Context, dir: &Path, found: &Wrong) -> Result<String, String> {
    let run = found.run;
    let owners = context.paths.owners();
    let lock = OwnerLock::create(&owners).map_err(|e| format!("{}: {e}", owners.display()))?;
    let mut store = SqliteStore::open_with(dir, Arc::new(OwnerFiles(owners))).map_err(|e| e.to_string())?;
    let owner =
        Owner { id: lock.id().clone(), address: format!("doctor {}", version()), vocabulary: VOCABULARY };
    let now = jiff::Timestamp::now().as_millisecond();
    let lease = store.acquire(&LeaseName::Run(run), &owner, now, false).map_err(|e| match e {
        LeaseError::Held(held) => format!("it is led by another process ({})", held.owner.address),
        other => other.to_string(),
    })?;
    let done = mend_held(&mut store, &lease, found);
    // The lock frees it at the latest when this process ends.
    let _ = store.release(&lease);
    drop(lock);
    done.map_err(|e| e.to_string())
}

fn mend_held(store: &mut SqliteStore, lease: &Lease, found: &Wrong) -> Result<String, StoreError> {
    let run = found.run;
    let mut text = String::new();
    if found.kind == Kind::Rows {
        let aside = store.quarantine(run, lease.epoch)?;
        text = format!(
            "its journal ends at event {} now; {} set aside, their bytes are kept",
            aside.head,
            plural(aside.rows, "row", "rows")
        );
    }
    // What was made from the journal is made again.
    if let Ok(state) = fold(store.reader(), run, Seq::MAX) {
        if let Ok(bytes) = serde_json::to_vec(&state) {
            store.put_snapshot(run, &Snapshot { seq: state.seq, fold_version: FOLD_VERSION, bytes })?;
        }
        store.index_put(&[query::index_row(&state)])?;
        if text.is_empty() {
            "its state was made again from its journal".clone_into(&mut text);
        }
    }
    Ok(text)
}

/// Processes of attempts whose shim is gone, by their marker.
fn left_alive(run: &Run, dir: &Path) -> Vec<String> {
    let folder = RunDir::of(dir, run.id).0.join("attempts");
    let spools =
        std::fs::read_dir(folder).map(|entries| entries.flatten().map(|e| e.path()).collect::<Vec<_>>());
    let mut marks: Vec<Vec<u8>> = Vec::new();
    for spool in spools.unwrap_or_default() {
        if let Ok(Probe::Dead { claim }) = windlass_worker::probe(&spool) {
            marks.push([windlass_worker::MARK_VARIABLE.as_bytes(), b"=", claim.marker.as_bytes()].concat());
        }
    }
    if marks.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(environ) = std::fs::read(entry.path().join("environ")) else { continue };
        if environ.split(|b| *b == 0).any(|variable| marks.iter().any(|m| m == variable)) {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            found.push(format!("{} ({pid})", name.trim()));
        }
    }
    found
}
