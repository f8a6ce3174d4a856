//! Following a run by its journal alone: without an engine, and past the death of one.

use super::missing;
use crate::context::Context;
use crate::{host, names, print};
use std::sync::Arc;
use std::time::{Duration, Instant};
use windlass_api::{ApiError, ErrorKind, Request};
use windlass_core::Run;
use windlass_core::waits::WaitKind;
use windlass_engine::RunDir;
use windlass_events::{Event, RunId, RunStatus, Seq};
use windlass_store::{LeaseName, Owner, OwnerFiles, ReadError, ReadStore, SqliteReader, StoredEvent};

/// How often a followed journal is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Events read at once.
const PAGE: usize = 1024;
/// How long a followed run may be quiet before it is asked whether anybody leads it.
const QUIET: Duration = Duration::from_secs(2);

/// A run's store, opened by a process that only looks.
pub(super) fn reader(context: &Context, run: RunId) -> Result<SqliteReader, ApiError> {
    let dir = context.paths.project_of(run).ok_or_else(|| gone(run))?;
    SqliteReader::open_with(&dir, Arc::new(OwnerFiles(context.paths.owners()))).map_err(missing)
}

fn gone(run: RunId) -> ApiError {
    ApiError::new(ErrorKind::Usage, format!("there is no run {run} on this machine any more"))
}

/// Who leads a run now, if anybody alive does.
pub(super) fn leader(reader: &SqliteReader, run: RunId) -> Option<Owner> {
    let lease = reader.lease(&LeaseName::Run(run)).ok().flatten()?;
    lease.owner.filter(|owner| reader.is_alive(&owner.id))
}

/// Gives each event after a place, and the place of the last one. What stands before damage is given, then the damage.
pub(super) fn read_each(
    reader: &SqliteReader,
    run: RunId,
    since: Seq,
    mut each: impl FnMut(&StoredEvent) -> Result<bool, ApiError>,
) -> Result<Seq, ApiError> {
    let mut after = since;
    let mut limit = PAGE;
    loop {
        let page = match reader.read(run, after, limit) {
            Ok(page) => page,
            Err(ReadError::Damaged(_)) if limit > 1 => {
                limit = 1;
                continue;
            }
            Err(e) => return Err(missing(e).hint("`windlass doctor` looks into it")),
        };
        if page.is_empty() {
            return Ok(after);
        }
        for event in &page {
            after = event.seq;
            if !each(event)? {
                return Ok(after);
            }
        }
    }
}

/// A run and its journal, read as it grows.
pub(super) struct Journal {
    reader: SqliteReader,
    /// As of the last look; nothing before the first.
    version: Option<u64>,
    after: Seq,
    quiet_since: Instant,
    /// The state as of the last event read.
    pub(super) run: Run,
    /// Its files.
    pub(super) dir: RunDir,
}

impl Journal {
    /// Opens a run to be read from its first event after `since`, or from now on.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn open(context: &Context, id: RunId, since: Option<Seq>) -> Result<Self, ApiError> {
        let reader = reader(context, id)?;
        let (run, dir) = names::load(context, id)?;
        let after = since.map_or(run.seq, |since| since.min(run.seq));
        Ok(Self { reader, version: None, after, quiet_since: Instant::now(), run, dir })
    }

    /// Reads what is new and gives each event. `false` when nothing was written by anybody.
    ///
    /// # Errors
    /// When the journal is damaged, of a newer program, or the run was removed.
    pub(super) fn advance(
        &mut self,
        mut each: impl FnMut(&StoredEvent) -> Result<(), ApiError>,
    ) -> Result<bool, ApiError> {
        // Asked before the events are read: what is written in between is then seen as a change.
        let version = self.reader.data_version().map_err(missing)?;
        if self.version == Some(version) {
            return Ok(false);
        }
        self.version = Some(version);
        let id = self.run.id;
        let run = &mut self.run;
        let before = self.after;
        self.after = read_each(&self.reader, id, self.after, |event| {
            if event.seq > run.seq {
                let parsed = Event::from_json(&event.body).map_err(|e| {
                    missing(format!("event {} of run {id} is not known to this version: {e}", event.seq))
                        .hint("update windlass; `windlass events` without --follow shows what there is")
                })?;
                run.apply(event.seq, event.at, &parsed).map_err(|e| {
                    missing(format!("the journal of run {id} is damaged: event {}: {e}", event.seq))
                        .hint("`windlass doctor` looks into it")
                })?;
            }
            each(event)?;
            Ok(true)
        })?;
        if self.after == before && self.reader.head(id).map_err(missing)? < self.run.seq {
            return Err(gone(id));
        }
        self.quiet_since = Instant::now();
        Ok(true)
    }

    /// Whether nothing more comes by itself: it has ended, or is blocked.
    pub(super) fn is_over(&self) -> bool {
        self.run.is_ended() || self.run.status() == RunStatus::Blocked
    }

    /// After some quiet, sees to it that somebody leads the run: it may have lost its engine.
    pub(super) fn keep_led(&mut self, context: &Context) {
        if self.quiet_since.elapsed() < QUIET {
            return;
        }
        self.quiet_since = Instant::now();
        let waits_for_person =
            self.run.waits().any(|w| w.kind.is_for_person() && w.kind != WaitKind::Environment);
        if self.is_over() || waits_for_person || leader(&self.reader, self.run.id).is_some() {
            return;
        }
        let visit = Request::Visit { cwd: self.run.spec.cwd.clone(), env: Context::shell_env() };
        let asked = host::ask(context, &visit);
        if let Err(e) = asked {
            print::note(context, &format!("nobody leads run {}: {}", self.run.id, e.message));
            // Not again and again: what is in the way is for a person.
            self.quiet_since = Instant::now() + Duration::from_secs(60);
        }
    }
}
