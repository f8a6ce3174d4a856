//! Looking: runs by name, state from the journal, the stable documents. Reads only, in whichever process asks.

pub use crate::driver::follow::worker_end;

use crate::driver::projects::{OpenError, load_run, or_too_new, unreadable};
use crate::driver::trees;
use crate::paths::{Paths, RunDir};
use crate::waits;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use windlass_api::status::{
    AttemptDoc, BudgetDoc, CapDoc, ChangesDoc, ErrorDoc, EvidenceDoc, GateDoc, Light, ListDoc, ListedRun,
    ProgramDoc, ResultDoc, RunDoc, StatusDoc, TaskDoc, TreeDoc, UsageDoc,
};
use windlass_core::run::Baseline;
use windlass_core::task::{GateTry, Phase, Task};
use windlass_core::{Run, caps};
use windlass_events::event::CapKind;
use windlass_events::{
    Envelope, Event, Millis, Outcome, Proof, RunId, RunStatus, Seq, TaskStatus, Usage, VOCABULARY,
};
use windlass_git::{Git, Repo};
use windlass_store::{LeaseName, ListFilter, OwnerFiles, ReadStore, RunRow, SqliteReader, StoreError};

/// The kind of a skipped task's error: no class of failure, since nothing of its own failed.
const DEPENDENCY: &str = "dependency";

/// Opens a project's store for reading. Who lives is told by the user's owner files: engines have them for all projects together.
///
/// # Errors
/// When it cannot be read.
pub fn reader(paths: &Paths, dir: &Path) -> Result<SqliteReader, StoreError> {
    SqliteReader::open_with(dir, Arc::new(OwnerFiles(paths.owners())))
}

/// Unfinished runs of a project, newest first.
///
/// # Errors
/// When its store cannot be read.
pub fn unfinished(paths: &Paths, dir: &Path) -> Result<Vec<RunId>, StoreError> {
    let reader = reader(paths, dir)?;
    let listed = reader.list(ListFilter { unfinished: true, newest: None })?;
    Ok(listed.into_iter().map(|l| l.run).collect())
}

/// Where a directory's project keeps its state: by git's common directory, else by the folder of the project.
pub fn project_of_dir(git: Option<&Git>, dir: &Path, stops: &[PathBuf]) -> (PathBuf, Option<Repo>) {
    let repo = git.and_then(|g| Repo::discover(g, dir).ok().flatten());
    (project_folder(repo.as_ref(), dir, stops), repo)
}

/// The same for a directory whose repository is known, or known to be none.
pub fn project_folder(repo: Option<&Repo>, dir: &Path, stops: &[PathBuf]) -> PathBuf {
    match repo {
        Some(repo) => repo.common_dir().to_owned(),
        None => windlass_resources::places::find_project(dir, stops)
            .unwrap_or_else(|| std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned())),
    }
}

/// The state folder of the project that a directory belongs to, when it has one already.
pub fn project_dir(paths: &Paths, git: Option<&Git>, cwd: &Path) -> Option<PathBuf> {
    let (folder, _) = project_of_dir(git, cwd, &stops());
    let dir = paths.project(&windlass_git::project_slug(&folder));
    dir.join("windlass.db").exists().then_some(dir)
}

/// Folders that are never a project: tested before markers, so that a home with a `.pi` in it is not one.
pub fn stops() -> Vec<PathBuf> {
    let mut all = vec![std::env::temp_dir()];
    all.extend(std::env::var_os("HOME").map(PathBuf::from));
    all
}

/// A run read from its journal.
///
/// # Errors
/// When there is none, or it is damaged.
pub fn load(paths: &Paths, run: RunId) -> Result<(Run, RunDir), OpenError> {
    let dir = paths.project_of(run).ok_or(OpenError::NoRun(run))?;
    let state = load_run(&reader(paths, &dir)?, run)?;
    Ok((state, RunDir::of(&dir, run)))
}

/// The folder that a run was asked for in, from its first event alone.
///
/// # Errors
/// When there is no such run, or its journal is damaged.
pub fn folder(paths: &Paths, run: RunId) -> Result<String, OpenError> {
    let dir = paths.project_of(run).ok_or(OpenError::NoRun(run))?;
    let damaged = |reason: String| OpenError::Damaged { run, reason };
    let reader = reader(paths, &dir)?;
    let first = reader.read(run, 0, 1).map_err(|e| unreadable(run, e))?;
    match first.first().map(|e| Event::from_json(&e.body)) {
        Some(Ok(Event::RunCreated(spec))) => Ok(spec.cwd),
        Some(Ok(_)) | None => Err(damaged("its first event is missing".to_owned())),
        Some(Err(e)) => Err(or_too_new(damaged(format!("event 1: {e}")), &reader, run)),
    }
}

/// Makes sure that an engine of this program may lead a run that nobody leads and that has not ended.
///
/// # Errors
/// [`OpenError::TooNew`] when only a newer one may; and when the run cannot be read.
pub fn may_go_on(paths: &Paths, run: RunId) -> Result<(), OpenError> {
    let dir = paths.project_of(run).ok_or(OpenError::NoRun(run))?;
    let reader = reader(paths, &dir)?;
    let Some(lease) = reader.lease(&LeaseName::Run(run))? else { return Ok(()) };
    let is_led = lease.owner.is_some_and(|owner| reader.is_alive(&owner.id));
    if is_led || lease.vocabulary <= VOCABULARY || load_run(&reader, run)?.is_ended() {
        return Ok(());
    }
    Err(OpenError::TooNew { run, needs: lease.vocabulary, knows: VOCABULARY })
}

/// Events of a run after a place.
///
/// # Errors
/// When the journal is damaged in that range.
pub fn events(
    store: &dyn ReadStore,
    run: RunId,
    since: Seq,
) -> Result<Vec<(Seq, Millis, String)>, windlass_store::ReadError> {
    let mut all = Vec::new();
    let mut after = since;
    loop {
        let page = store.read(run, after, 4096)?;
        let Some(last) = page.last() else { return Ok(all) };
        after = last.seq;
        all.extend(page.into_iter().map(|e| (e.seq, e.at, e.body)));
    }
}

/// A run that is followed from its journal, in whichever process: each look costs what happened since the last one.
pub struct Following {
    reader: SqliteReader,
    run: Run,
}

impl Following {
    /// Reads a run once.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn open(paths: &Paths, run: RunId) -> Result<Self, OpenError> {
        let dir = paths.project_of(run).ok_or(OpenError::NoRun(run))?;
        let reader = reader(paths, &dir)?;
        let run = load_run(&reader, run)?;
        Ok(Self { reader, run })
    }

    /// Folds what happened since the last look; whether anything did.
    ///
    /// # Errors
    /// When the journal is damaged, or a newer program wrote it.
    pub fn look(&mut self) -> Result<bool, OpenError> {
        let id = self.run.id;
        let fresh = events(&self.reader, id, self.run.seq).map_err(|e| unreadable(id, e))?;
        for one in &fresh {
            self.fold(one).map_err(|reason| {
                let damaged = OpenError::Damaged { run: id, reason: format!("event {}: {reason}", one.0) };
                or_too_new(damaged, &self.reader, id)
            })?;
        }
        Ok(!fresh.is_empty())
    }

    fn fold(&mut self, (seq, at, body): &(Seq, Millis, String)) -> Result<(), String> {
        let event = Event::from_json(body).map_err(|e| e.to_string())?;
        self.run.apply(*seq, *at, &event).map_err(|e| e.to_string())
    }

    /// The state as of the last look.
    pub const fn run(&self) -> &Run {
        &self.run
    }
}

/// A stored event as an envelope.
///
/// # Errors
/// When the body is not an event that this vocabulary knows.
pub fn envelope(run: RunId, (seq, at, body): &(Seq, Millis, String)) -> Result<Envelope, serde_json::Error> {
    Ok(Envelope { run, seq: *seq, at: *at, event: Event::from_json(body)? })
}

/// What the index keeps of a run, for lists. A cache: the journal is true.
pub fn index_row(run: &Run) -> RunRow {
    RunRow {
        run: run.id,
        created_at: run.created_at,
        updated_at: run.updated_at,
        status: run.status().to_string(),
        proof: run.proof().to_string(),
        goal: run.spec.goal.clone(),
        team: run.spec.shape.team.clone().unwrap_or_default(),
        workflow: run.spec.shape.workflow.clone(),
        cwd: run.spec.cwd.clone(),
        terminal: run.is_ended(),
    }
}

/// Runs of projects, newest first.
///
/// # Errors
/// When a store cannot be read.
pub fn list(paths: &Paths, projects: &[PathBuf], newest: Option<usize>) -> Result<ListDoc, OpenError> {
    let mut runs = Vec::new();
    for dir in projects {
        let reader = match reader(paths, dir) {
            Ok(reader) => reader,
            Err(StoreError::NotFound { .. }) => continue,
            Err(e) => return Err(e.into()),
        };
        for listed in reader.list(ListFilter { unfinished: false, newest })? {
            // A word of a newer program is nothing that can be listed; the journal may tell.
            let known = |row: RunRow| Some((RunStatus::parse(&row.status)?, Proof::parse(&row.proof)?, row));
            let row = match listed.row.and_then(known) {
                Some((status, proof, row)) => ListedRun {
                    id: row.run,
                    goal: row.goal,
                    team: (!row.team.is_empty()).then(|| row.team.clone()),
                    status,
                    proof,
                    created_at: row.created_at,
                    cwd: row.cwd,
                    // Empty in a row that was written before the index kept it.
                    workflow: row.workflow,
                    updated_at: Some(row.updated_at),
                    ended_at: row.terminal.then_some(row.updated_at),
                },
                None => match load_run(&reader, listed.run) {
                    Ok(run) => ListedRun::from(&status_doc(&run, None, &RunDir::of(dir, listed.run)).run),
                    // Named by `doctor`; a list shows what can be read.
                    Err(_) => continue,
                },
            };
            runs.push(row);
        }
    }
    runs.sort_by_key(|r| std::cmp::Reverse((r.created_at, r.id)));
    runs.truncate(newest.unwrap_or(usize::MAX));
    Ok(ListDoc { runs })
}

/// How git is found, once it is needed.
pub type FindGit<'a> = &'a dyn Fn() -> Option<Git>;

/// The stable document of a run. `changes` is given where their size is wanted: git, which is started only where there are
/// any, and the project's folder.
pub fn status_doc(run: &Run, changes: Option<(FindGit<'_>, &Path)>, dir: &RunDir) -> StatusDoc {
    let spec = &run.spec;
    let mut doc = RunDoc::new(run.id, spec.goal.clone(), spec.shape.workflow.clone(), run.created_at);
    doc.team.clone_from(&spec.shape.team);
    doc.status = run.status();
    doc.proof = run.proof();
    doc.updated_at = run.updated_at;
    doc.ended_at = run.end.as_ref().map(|e| e.at);
    doc.cwd.clone_from(&spec.cwd);
    doc.base.clone_from(&spec.tree.head);
    doc.worst_case_starts = run.worst_case_starts();
    doc.usage = usage_doc(&run.usage);
    doc.budget = budget(run);
    doc.waiting = waits::waiting(run);
    doc.error = run.failure().map(|(f, task)| {
        let mut error = ErrorDoc::from(f);
        error.task = task.cloned().or_else(|| {
            run.blocked.as_ref()?;
            run.tasks
                .iter()
                .find(|t| t.phase == Phase::Ended(TaskStatus::NeedsAttention))
                .map(|t| t.spec.id.clone())
        });
        if let Some(hint) = &mut error.hint {
            *hint = hint.replace("RUN", run.id.as_str());
            if let Some(task) = &error.task {
                *hint = hint.replace("TASK", task.as_str());
            }
        }
        error
    });
    doc.next = next(run);
    doc.shape_reason.clone_from(&spec.shape.reason);
    doc.shape_other.clone_from(&spec.shape.other);
    doc.notices = spec.notices.iter().chain(&run.notices).cloned().collect();
    doc.require_proof = spec.require_proof;
    doc.undone = is_undone(run);
    doc.tree =
        Some(TreeDoc { root: spec.tree.root.clone(), git: spec.tree.git, branch: spec.tree.branch.clone() });
    doc.programs = spec
        .programs
        .iter()
        .map(|(runtime, p)| ProgramDoc {
            runtime: *runtime,
            path: p.path.clone(),
            version: p.version.clone(),
            model: p.model.clone(),
        })
        .collect();
    doc.gates = (0u32..).zip(&spec.gates).map(|(i, g)| gate_doc(run, i, g)).collect();
    if let Some((git, project)) = changes {
        doc.changes = size_of_changes(run, git, project);
    }
    StatusDoc::new(doc, run.tasks.iter().map(|t| task_doc(run, t, dir)).collect())
}

fn usage_doc(usage: &Usage) -> UsageDoc {
    UsageDoc::from(*usage)
}

/// The size of a run's changes; `None` outside git or where it cannot be told.
fn size_of_changes(run: &Run, git: FindGit<'_>, project: &Path) -> Option<ChangesDoc> {
    if !run.spec.tree.git {
        return None;
    }
    let segments = trees::segments(run, None).ok()?;
    if segments.is_empty() {
        return Some(ChangesDoc::default());
    }
    let keeper = trees::keeper(git().as_ref(), &run.spec.tree, project).ok()?;
    let stat = keeper.diff_stat(&segments).ok()?;
    Some(ChangesDoc {
        files: stat.files.len() as u64,
        insertions: stat.insertions(),
        deletions: stat.deletions(),
    })
}

fn light(t: &GateTry) -> Option<Light> {
    let end = t.end.as_ref()?;
    Some(match (end.is_green(), t.is_steady()) {
        (true, true) => Light::Green,
        (true, false) => Light::Unclear,
        (false, _) if end.outcome == Outcome::Cancelled => Light::Unclear,
        (false, _) => Light::Red,
    })
}

fn gate_doc(run: &Run, gate: u32, spec: &windlass_events::spec::GateSpec) -> GateDoc {
    let last = run
        .tasks
        .iter()
        .flat_map(|t| &t.gates)
        .filter(|t| t.gate == gate && t.end.is_some())
        .max_by_key(|t| t.started_at);
    GateDoc {
        command: spec.command.clone(),
        source: spec.source,
        before: run.baseline_of(gate).and_then(light),
        after: last.and_then(light),
        left_out: !run.gate_counts(gate),
    }
}

fn budget(run: &Run) -> Option<BudgetDoc> {
    let c = &run.caps;
    if c.microusd.is_none() && c.tokens.is_none() && c.unpriced_tokens.is_none() && c.wall_ms.is_none() {
        return None;
    }
    let starts = run.tasks.iter().map(|t| t.attempts.len() as u64).sum();
    let wall = caps::in_force(run, run.end.as_ref().map_or(run.updated_at, |e| e.at));
    Some(BudgetDoc {
        usd: CapDoc { cap: c.microusd.map(|m| m as f64 / 1e6), reserved: 0.0, spent: run.usage.cost_usd() },
        tokens: CapDoc { cap: c.tokens.or(c.unpriced_tokens), reserved: 0, spent: Some(run.usage.tokens()) },
        attempts: CapDoc { cap: Some(run.worst_case_starts()), reserved: 0, spent: Some(starts) },
        wall_ms: CapDoc {
            cap: c.wall_ms,
            reserved: 0,
            spent: wall.iter().find(|u| u.cap == CapKind::Wall).map(|u| u.used),
        },
    })
}

/// Whether what the run changed is taken back, and was not put back since.
fn is_undone(run: &Run) -> bool {
    run.undone.as_ref().is_some_and(|(_, _, put_back)| !put_back)
}

/// Commands that make sense now, most useful first.
fn next(run: &Run) -> Vec<String> {
    let id = run.id;
    let changed = run.tasks.iter().any(|t| t.span().is_some_and(|(b, a)| b.tree != a.tree));
    let mut next = Vec::new();
    match run.status() {
        RunStatus::Completed => {}
        RunStatus::Failed => {
            if let Some((_, Some(task))) = run.failure() {
                next.push(format!("windlass logs {id}/{task}"));
            }
            next.push(format!("windlass retry {id}"));
        }
        RunStatus::Cancelled => next.push(format!("windlass resume {id}")),
        RunStatus::Blocked => {
            let task = run.tasks.iter().find(|t| t.phase == Phase::Ended(TaskStatus::NeedsAttention));
            match task.filter(|_| run.reached.is_none()) {
                Some(task) => {
                    next.push(format!("windlass diff {id} {}", task.spec.id));
                    next.push(format!("windlass retry {id} {}", task.spec.id));
                }
                None => next.extend(run.waits_for().iter().flat_map(|w| w.commands()).map(|c| c.line(id))),
            }
        }
        RunStatus::Waiting if run.waits_for().is_some() => {
            next.extend(run.waits_for().iter().flat_map(|w| w.commands()).map(|c| c.line(id)));
            next.push(format!("windlass cancel {id}"));
        }
        _ => {
            next.push(format!("windlass attach {id}"));
            next.push(format!("windlass cancel {id}"));
        }
    }
    if changed {
        next.push(format!("windlass diff {id}"));
        if is_undone(run) {
            // Nothing of it is in the tree, so there is nothing of it to keep.
            next.push(format!("windlass undo {id} --redo"));
        } else {
            next.push(format!("windlass undo {id}"));
            if run.status() == RunStatus::Completed {
                next.push("git add -p".to_owned());
            }
        }
    } else if run.is_ended() {
        next.push(format!("windlass show {id}"));
    }
    next
}

fn task_doc(run: &Run, task: &Task, dir: &RunDir) -> TaskDoc {
    let spec = &task.spec;
    let mut doc = TaskDoc::new(spec.id.clone(), spec.step.clone(), spec.role.clone(), spec.runtime);
    doc.agent.clone_from(&spec.agent);
    doc.status = task.status();
    doc.depends_on.clone_from(&spec.depends_on);
    doc.proof = task.proof;
    doc.attempts_allowed = u64::from(spec.attempts);
    doc.attempts = task
        .attempts
        .iter()
        .map(|a| {
            let end = a.end.as_ref();
            AttemptDoc {
                n: a.n,
                status: a.status,
                runtime: spec.runtime,
                model: end.and_then(|e| e.model.clone()).or_else(|| a.model.clone()),
                started_at: a.started_at,
                ended_at: a.ended_at,
                exit: end.and_then(|e| e.exit),
                error_class: end.and_then(|e| e.failure.as_ref()).map(|f| f.class.to_string()).or_else(
                    || (a.status == windlass_events::AttemptStatus::Lost).then(|| "lost".to_owned()),
                ),
                session: a.session.clone(),
                usage: usage_doc(&a.usage),
            }
        })
        .collect();
    doc.result =
        task.attempts.iter().rev().find_map(|a| a.end.as_ref()?.result.as_ref()).map(|r| ResultDoc {
            path: dir.0.join(&r.path).to_string_lossy().into_owned(),
            bytes: r.bytes,
            redacted: r.redacted,
        });
    doc.evidence = evidence(run, task, dir);
    doc.error = task.failure.as_ref().map(|f| {
        let mut error = ErrorDoc::from(f).task(spec.id.clone());
        if task.status() == TaskStatus::Skipped {
            // Nothing is wrong with it: what it depends on did not complete.
            DEPENDENCY.clone_into(&mut error.kind);
        }
        if let Some(hint) = &mut error.hint {
            *hint = hint.replace("RUN", run.id.as_str()).replace("TASK", spec.id.as_str());
        }
        error
    });
    doc.note = note(run, task);
    crate::growth::fill(run, task, &mut doc);
    doc
}

fn evidence(run: &Run, task: &Task, dir: &RunDir) -> Vec<EvidenceDoc> {
    let mut all: Vec<EvidenceDoc> = task
        .gates
        .iter()
        .map(|t| {
            let end = t.end.as_ref();
            EvidenceDoc {
                kind: "gate".to_owned(),
                command: run.spec.gates.get(t.gate as usize).map(|g| g.command.clone()),
                exit: end.and_then(|e| match e.outcome {
                    Outcome::Clean => Some(0),
                    Outcome::Exit(code) => Some(code),
                    _ => None,
                }),
                before: run.baseline_of(t.gate).and_then(light),
                after: light(t),
                ms: end.map(|e| e.ms),
                path: end.map(|e| dir.0.join(&e.path).to_string_lossy().into_owned()),
                n: t.n,
                tail: end.map(|e| e.tail.clone()).filter(|t| !t.is_empty()),
            }
        })
        .collect();
    if let Some(verdict) = task.last_attempt().and_then(|a| a.end.as_ref()).and_then(|e| e.verdict) {
        all.push(EvidenceDoc {
            kind: "verdict".to_owned(),
            command: None,
            exit: None,
            before: None,
            after: Some(if verdict { Light::Green } else { Light::Red }),
            ms: None,
            path: None,
            n: 1,
            tail: None,
        });
    }
    all
}

/// What a task is at, where its status alone does not say.
fn note(run: &Run, task: &Task) -> Option<String> {
    match &task.phase {
        Phase::Gate { gate, .. } => run.spec.gates.get(*gate as usize).map(|g| format!("gate {}", g.command)),
        Phase::Keeping | Phase::KeepingAfter(_) => Some("keeping the tree".to_owned()),
        Phase::Closing(_) if !task.spec.gates.is_empty() => Some("waits for its turn in the tree".to_owned()),
        Phase::Ready { not_before, .. } if *not_before > 0 => Some("waits before it tries again".to_owned()),
        Phase::Ready { .. } if run.needs_approval(task) => Some("waits for your approval".to_owned()),
        Phase::Ready { .. } if run.baseline != Baseline::Done => Some("the gates are run first".to_owned()),
        Phase::Ready { .. } if task.takes_turn() && run.turn.is_some() => {
            Some("waits for its turn in the tree".to_owned())
        }
        Phase::Lost(_) => Some("its shim vanished; what it left is being ended".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_store::{OwnerLock, SqliteStore};

    #[test]
    fn who_lives_is_told_by_the_users_owner_files() {
        let home = tempfile::tempdir().unwrap();
        let paths =
            Paths::find(Some(home.path()), Some(home.path().join("state")), None, home.path()).unwrap();
        let dir = paths.project("here-0");
        drop(SqliteStore::open_with(&dir, Arc::new(OwnerFiles(paths.owners()))).unwrap());
        let lock = OwnerLock::create(&paths.owners()).unwrap();
        let (reader, id) = (reader(&paths, &dir).unwrap(), lock.id().clone());
        assert!(reader.is_alive(&id));
        drop(lock);
        assert!(!reader.is_alive(&id));
    }
}
