//! Requests of hosts: the slow part off the loop, the answer when its events are durable.

use crate::copies;
use crate::driver::context::{Ctx, Home, now};
use crate::driver::projects::{OpenError, OpenedRun};
use crate::driver::trees;
use crate::files;
use crate::prepare::{self, Prepared};
use crate::secrets::{self, SecretMap};
use crate::stored;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;
use windlass_api::request::{RunRequest, ShellEnv};
use windlass_api::response::{PlanDoc, UndoFile};
use windlass_api::{ApiError, Client, ClientError, ErrorKind, Reply, Request};
use windlass_core::Input;
use windlass_core::Run;
use windlass_events::event::Snapshot;
use windlass_events::{Event, RunId};
use windlass_git::Segment;
use windlass_store::StoredRequest;

/// Where an answer goes.
pub(crate) type Responder = oneshot::Sender<Result<Reply, ApiError>>;

/// A request with where its answer goes.
#[derive(Debug)]
pub(crate) struct CallIn {
    pub(crate) request: Request,
    pub(crate) reply: Responder,
}

/// How long a daemon that has given up its address may still live.
const FORMER_ENDS_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);
/// How many tasks one `tasks.planned` event holds at most.
const TASKS_PER_EVENT: usize = 1_000;

/// The outcome of a request's slow part.
#[derive(Debug)]
pub(crate) enum Ready {
    /// A run can be created.
    Create { home: Arc<Home>, epoch: u64, events: Vec<Event>, plan: Box<PlanDoc>, reply: Responder },
    /// A run was opened, for a request or for itself.
    Opened {
        home: Arc<Home>,
        run: Box<Run>,
        epoch: u64,
        /// Requests that were left with it.
        left: Vec<StoredRequest>,
        then: Option<Then>,
    },
    /// The tree was changed by an undo; the journal must know.
    Undone {
        run: RunId,
        before: Snapshot,
        after: Snapshot,
        redo: bool,
        files: Vec<UndoFile>,
        reply: Responder,
    },
    /// A run could not be opened; who asked for it has the answer.
    NotOpened(RunId),
    /// A run cannot be opened now; the disk or a lock is in the way.
    OpenLater(RunId),
    /// Runs of a project that are not finished, each with the epoch of its lease.
    Unfinished(Vec<(RunId, u64)>),
    /// Nothing more to do.
    Over,
}

/// What an opened run was opened for.
#[derive(Debug)]
pub(crate) enum Then {
    /// Ask it.
    Ask { asked: Box<(Input, ShellEnv)>, reply: Responder },
    /// Undo.
    Undo { force: bool, redo: bool, dry_run: bool, reply: Responder },
    /// Remove.
    Remove { reply: Responder },
}

/// Answers; nobody minds when the asker is gone.
pub(crate) fn answer(reply: Responder, result: Result<Reply, ApiError>) {
    let _ = reply.send(result);
}

/// The answer of an engine that is leaving.
pub(crate) fn leaving() -> ApiError {
    ApiError::new(ErrorKind::Leaving, "the engine is leaving; ask again")
}

/// Plans a run, makes its home, leases it. Blocking.
pub(crate) fn create(ctx: &Ctx, request: RunRequest, reply: Responder) -> Ready {
    let dry_run = request.dry_run;
    let tied = ctx.options.tied;
    let prepared = match prepare::prepare(&request, ctx.git(), &ctx.options.exe, tied) {
        Ok(prepared) => prepared,
        Err(e) => {
            answer(reply, Err(e));
            return Ready::Over;
        }
    };
    if dry_run {
        answer(reply, Ok(Reply::Planned(Box::new(prepared.plan))));
        return Ready::Over;
    }
    match make_home(ctx, prepared) {
        Ok((home, epoch, events, plan)) => Ready::Create { home, epoch, events, plan: Box::new(plan), reply },
        Err(e) => {
            answer(reply, Err(e));
            Ready::Over
        }
    }
}

type Made = (Arc<Home>, u64, Vec<Event>, PlanDoc);

fn make_home(ctx: &Ctx, prepared: Prepared) -> Result<Made, ApiError> {
    let paths = ctx.projects.paths();
    let disk = |e: &dyn std::fmt::Display| {
        ApiError::new(ErrorKind::Missing, format!("the run cannot be kept: {e}"))
            .hint("free space or make the folder writable; WINDLASS_HOME moves it")
    };
    let project_dir = paths.project(&prepared.slug);
    let project = ctx.projects.project(&project_dir).map_err(|e| match &e {
        // Says itself what to do.
        OpenError::Store(_) => ApiError::new(ErrorKind::Missing, format!("the run cannot be kept: {e}")),
        _ => disk(&e),
    })?;
    let identity = prepared.identity.clone();
    project
        .run(move |store| {
            use windlass_store::{ReadStore, Store};
            if store.project_identity()?.as_ref() != Some(&identity) {
                store.set_project_identity(&identity)?;
            }
            Ok::<_, windlass_store::StoreError>(())
        })
        .map_err(|e| disk(&e))?
        .map_err(|e| disk(&e))?;
    let id = (0..64)
        .map(|_| RunId::from_number(random()))
        .find(|id| paths.project_of(*id).is_none())
        .ok_or_else(|| ApiError::new(ErrorKind::Internal, "no free run id was found"))?;
    let dir = project.run_dir(id);
    dir.make().map_err(|e| disk(&e))?;
    let written = (|| {
        files::write(&dir.goal(), prepared.spec.goal.as_bytes())?;
        if let Some(script) = &prepared.spec.script {
            files::write(&dir.0.join("script.json"), script.as_bytes())?;
        }
        secrets::keep(&paths.secrets(id), &prepared.secrets)
    })();
    let undo = |e: ApiError| {
        // Nothing was created: what was made for it goes.
        let _ = std::fs::remove_dir_all(&dir.0);
        secrets::forget(&paths.secrets(id));
        e
    };
    written.map_err(|e| undo(disk(&e)))?;
    let lease = ctx
        .projects
        .lease(&project, windlass_store::LeaseName::Run(id), now())
        .map_err(|e| undo(disk(&e)))?;
    let Prepared { mut spec, tasks, secrets, plan, .. } = prepared;
    if let Some(program) = spec.programs.get_mut(&windlass_events::RuntimeKind::Rehearsal) {
        program.args = vec!["__rehearse".into(), dir.0.join("script.json").to_string_lossy().into_owned()];
    }
    let mut events = vec![Event::RunCreated(Box::new(spec.clone()))];
    events.extend(tasks.chunks(TASKS_PER_EVENT).map(|t| Event::TasksPlanned { tasks: t.to_vec() }));
    let home = Arc::new(Home::new(id, spec, project, Some(secrets)));
    Ok((home, lease.epoch, events, plan))
}

/// A number for an id: ids need to differ, not to be secret.
pub(crate) fn random() -> u64 {
    let mut bytes = [0u8; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_le_bytes(bytes),
        _ => u64::try_from(now()).unwrap_or(0) ^ (u64::from(std::process::id()) << 32),
    }
}

/// Opens a run for a request. Blocking. A run that another engine leads gets the request forwarded.
pub(crate) fn open(ctx: &Ctx, run: RunId, original: Option<Request>, then: Option<Then>) -> Ready {
    match open_run(ctx, run) {
        Ok(OpenedRun { project, run: state, epoch, left }) => {
            // A machine that crashed may have lost what was not synced yet.
            for (name, why) in copies::mend_given(&state, &project.run_dir(run)).failed {
                tracing::warn!(%run, name, why, "a file is not what the journal says");
            }
            let kept = secrets::find(&ctx.projects.paths().secrets(run), &state.spec.secret_names);
            let home = Arc::new(Home::new(run, state.spec.clone(), project, kept));
            Ready::Opened { home, run: Box::new(state), epoch, left, then }
        }
        Err(OpenError::Held { address, .. }) => {
            if let (Some(then), Some(request)) = (then, original) {
                let reply = match then {
                    Then::Ask { reply, .. } | Then::Undo { reply, .. } | Then::Remove { reply } => reply,
                };
                answer(reply, forward(ctx, run, &address, request));
            }
            Ready::NotOpened(run)
        }
        Err(e) => {
            if let Some(then) = then {
                let reply = match then {
                    Then::Ask { reply, .. } | Then::Undo { reply, .. } | Then::Remove { reply } => reply,
                };
                answer(reply, ask_older(ctx, run, original, &e));
            }
            if may_pass(&e) { Ready::OpenLater(run) } else { Ready::NotOpened(run) }
        }
    }
}

/// What becomes of a request for a run that cannot be opened: an older engine that keeps its store from being migrated may lead it.
fn ask_older(ctx: &Ctx, run: RunId, original: Option<Request>, e: &OpenError) -> Result<Reply, ApiError> {
    let waits = matches!(e, OpenError::Store(windlass_store::StoreError::MigrationWaits { .. }));
    let leader = || stored::leader(ctx.projects.paths(), run).ok().flatten();
    match original.filter(|_| waits).and_then(|request| Some((request, leader()?))) {
        Some((request, leader)) => forward(ctx, run, &leader.address, request),
        None => Err(open_error(e)),
    }
}

/// Leases a run and reads it. A daemon that was at this address before may take moments to end after it made place.
fn open_run(ctx: &Ctx, run: RunId) -> Result<OpenedRun, OpenError> {
    let until = std::time::Instant::now() + FORMER_ENDS_WITHIN;
    loop {
        match ctx.projects.open_run(run, now()) {
            Err(OpenError::Held { address, .. })
                if address == ctx.options.address && std::time::Instant::now() < until =>
            {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

/// Whether what the disk, a lock or an older engine refuses now may be allowed later.
fn may_pass(e: &OpenError) -> bool {
    use windlass_store::{LeaseError, StoreError};
    match e {
        OpenError::Store(e) | OpenError::Lease(LeaseError::Store(e)) => StoreError::is_retryable(e),
        _ => false,
    }
}

/// Asks the engine that leads a run. When that one does not answer, and only then, the request is left with the run: nobody was asked.
fn forward(ctx: &Ctx, run: RunId, address: &str, request: Request) -> Result<Reply, ApiError> {
    let silent = match Client::connect(Path::new(address), &ctx.options.settings.version) {
        Ok(mut client) => match client.call(request.clone()) {
            Ok(reply) => return Ok(reply),
            Err(e) if e.is_undone() => e,
            Err(e) => return Err(e.into_api()),
        },
        Err(e @ (ClientError::NoEngine { .. } | ClientError::Silent { .. } | ClientError::Left)) => e,
        Err(e) => return Err(e.into_api()),
    };
    let Some((_, kept)) = stored::as_stored(&request) else { return Err(silent.into_api()) };
    let pid = if let ClientError::Silent { pid } = silent { pid } else { None };
    let project = ctx.projects.project_of(run).map_err(|e| open_error(&e))?;
    let left = project.run(move |store| stored::put(store, run, &kept, now()));
    let id = left.and_then(|put| put).map_err(|e| open_error(&e))?;
    Ok(Reply::Stored { run, id, pid })
}

pub(crate) fn open_error(e: &OpenError) -> ApiError {
    match e {
        OpenError::NoRun(run) => ApiError::new(ErrorKind::Usage, format!("there is no run `{run}` on this machine"))
            .hint("`windlass list --all` shows every run"),
        OpenError::Damaged { .. } => ApiError::new(ErrorKind::Missing, e.to_string())
            .hint("nothing of it was changed; `windlass doctor --fix` sets the damaged part aside and keeps its bytes"),
        _ => ApiError::new(ErrorKind::Missing, e.to_string()),
    }
}

/// Takes changes back, or puts them back. Blocking.
pub(crate) fn undo(
    ctx: &Ctx,
    home: &Home,
    run: &Run,
    force: bool,
    redo: bool,
    dry_run: bool,
    reply: Responder,
) -> Ready {
    match try_undo(ctx, home, run, force, redo, dry_run) {
        Ok((files, None)) => {
            answer(reply, Ok(Reply::Undone { files, dry_run }));
            Ready::Over
        }
        Ok((files, Some((before, after)))) => {
            Ready::Undone { run: home.run, before, after, redo, files, reply }
        }
        Err(e) => {
            answer(reply, Err(e));
            Ready::Over
        }
    }
}

type Undone = (Vec<UndoFile>, Option<(Snapshot, Snapshot)>);

fn try_undo(
    ctx: &Ctx,
    home: &Home,
    run: &Run,
    force: bool,
    redo: bool,
    dry_run: bool,
) -> Result<Undone, ApiError> {
    let state = |m: &str| ApiError::new(ErrorKind::State, m);
    if !home.spec.tree.git {
        return Err(state("this run worked outside git, so its changes cannot be taken back"));
    }
    let git = |e: &dyn std::fmt::Display| ApiError::new(ErrorKind::Missing, e.to_string());
    let segments: Vec<Segment> = if redo {
        let Some((before, after, _)) = &run.undone else {
            return Err(state("nothing was undone, so there is nothing to put back"));
        };
        vec![Segment::of(before, after).map_err(|e| git(&e))?]
    } else {
        if let Some((_, _, false)) = &run.undone {
            return Err(state("the changes of this run were taken back already")
                .hint(format!("`windlass undo {} --redo` puts them back", run.id)));
        }
        trees::segments(run, None).map_err(|e| git(&e))?
    };
    if segments.is_empty() {
        return Err(state("this run changed nothing that is kept"));
    }
    let keeper = trees::keeper(ctx.git(), &home.spec.tree, &home.project.dir).map_err(|e| git(&e))?;
    let plan = keeper.plan_undo(&segments).map_err(|e| git(&e))?;
    let conflict = |path: &[u8]| plan.conflicts.iter().any(|c| c.path == path);
    let mut files: Vec<UndoFile> = plan
        .files
        .iter()
        .map(|f| UndoFile {
            path: windlass_git::shown(&f.path),
            what: match (conflict(&f.path), &f.before, &f.after) {
                (true, ..) => "changed since",
                (_, None, _) => "deleted",
                (_, _, None) => "created",
                _ => "restored",
            }
            .to_owned(),
        })
        .collect();
    for c in plan.conflicts.iter().filter(|c| !plan.files.iter().any(|f| f.path == c.path)) {
        files.push(UndoFile { path: windlass_git::shown(&c.path), what: "changed since".to_owned() });
    }
    if dry_run {
        return Ok((files, None));
    }
    if !plan.conflicts.is_empty() && !force {
        let names: Vec<&str> =
            files.iter().filter(|f| f.what == "changed since").map(|f| f.path.as_str()).take(10).collect();
        return Err(state(&format!(
            "these files were changed since the run: {}; nothing was touched",
            names.join(", ")
        ))
        .hint(format!(
            "`--force` takes them back too; that can itself be undone with `windlass undo {} --redo`",
            run.id
        )));
    }
    let applied =
        keeper.apply_undo(&plan, home.run, run.next_snapshot.max(1_000_000), force).map_err(|e| git(&e))?;
    Ok((files, Some((applied.before, applied.after))))
}

/// Removes an ended run for good. Blocking.
pub(crate) fn remove(ctx: &Ctx, home: &Home, epoch: u64) -> Result<Reply, ApiError> {
    if home.spec.tree.git
        && let Ok(keeper) = trees::keeper(ctx.git(), &home.spec.tree, &home.project.dir)
    {
        keeper.delete_refs(home.run).map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))?;
    }
    let run = home.run;
    let gone = home.project.run(move |store| {
        use windlass_store::Store;
        store.remove_run(run, epoch)
    });
    match gone {
        Ok(Ok(())) => {
            // The journal is gone, so what is left are plain copies.
            let _ = std::fs::remove_dir_all(&home.dir.0);
            secrets::forget(&ctx.projects.paths().secrets(run));
            Ok(Reply::Ok)
        }
        Ok(Err(e)) => Err(ApiError::new(ErrorKind::Missing, e.to_string())),
        Err(e) => Err(ApiError::new(ErrorKind::Internal, e.to_string())),
    }
}

/// The secret values of a request's environment that a run needs; `None` when one is missing.
pub(crate) fn needed(env: &ShellEnv, names: &[String]) -> Option<SecretMap> {
    names.iter().map(|n| env.secret.get(n).map(|v| (n.clone(), v.clone()))).collect()
}
