//! Projects: their folders, their stores with one writing thread each, the leases of their runs.

use crate::paths::{PathError, Paths, RunDir, make_private};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use windlass_core::{FOLD_VERSION, Run};
use windlass_events::{Event, Millis, RunId, VOCABULARY};
use windlass_store::{
    LeaseError, LeaseName, OwnerFiles, OwnerLock, ReadError, ReadStore, SqliteReader, SqliteStore, Store,
    StoreError,
};

/// Why a project or run cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another engine leads the run.
    #[error("run {run} is led by another engine ({address})")]
    Held {
        /// Run.
        run: RunId,
        /// Where that engine answers.
        address: String,
    },
    /// The lease.
    #[error("{0}")]
    Lease(LeaseError),
    /// A newer program has led the run: this one may look at it, not lead it.
    #[error(
        "run {run} needs a newer windlass: its journal is in vocabulary {needs}, and this one knows {knows}; nothing was changed"
    )]
    TooNew {
        /// Run.
        run: RunId,
        /// The vocabulary that its journal may be written in.
        needs: u32,
        /// What this program knows.
        knows: u32,
    },
    /// The journal.
    #[error("the journal of run {run} is damaged: {reason}")]
    Damaged {
        /// Run.
        run: RunId,
        /// What is wrong, with the place.
        reason: String,
    },
    /// There is no such run.
    #[error("there is no run {0} on this machine")]
    NoRun(RunId),
    /// The thread that writes is gone.
    #[error("the store of {0} has stopped")]
    Stopped(PathBuf),
}

type Job = Box<dyn FnOnce(&mut SqliteStore) + Send>;

/// A project's store behind its writing thread.
#[derive(Debug)]
pub struct Project {
    /// Folder.
    pub dir: PathBuf,
    owners: PathBuf,
    jobs: mpsc::Sender<Job>,
}

impl Project {
    fn open(dir: &Path, owners: PathBuf) -> Result<Self, OpenError> {
        make_private(dir)?;
        let mut store = SqliteStore::open_with(dir, Arc::new(OwnerFiles(owners.clone())))?;
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("windlass-store".into())
            .stack_size(512 * 1024)
            .spawn(move || {
                while let Ok(job) = queue.recv() {
                    job(&mut store);
                }
            })
            .map_err(|source| PathError::Make { path: dir.to_owned(), source })?;
        Ok(Self { dir: dir.to_owned(), owners, jobs })
    }

    /// Hands a job to the writing thread and does not wait.
    pub fn post(&self, job: impl FnOnce(&mut SqliteStore) + Send + 'static) -> bool {
        self.jobs.send(Box::new(job)).is_ok()
    }

    /// Runs a job on the writing thread and waits. Not for the engine's own thread.
    ///
    /// # Errors
    /// [`OpenError::Stopped`] when that thread is gone.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut SqliteStore) -> T + Send + 'static,
    ) -> Result<T, OpenError> {
        let (tx, rx) = mpsc::channel();
        let stopped = || OpenError::Stopped(self.dir.clone());
        let sent = self.post(move |store| {
            // Nobody waits any more when the receiver is gone.
            let _ = tx.send(job(store));
        });
        if !sent {
            return Err(stopped());
        }
        rx.recv().map_err(|_| stopped())
    }

    /// A reader of its own for this project.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn reader(&self) -> Result<SqliteReader, StoreError> {
        SqliteReader::open_with(&self.dir, Arc::new(OwnerFiles(self.owners.clone())))
    }

    /// The files of a run.
    pub fn run_dir(&self, run: RunId) -> RunDir {
        RunDir::of(&self.dir, run)
    }
}

/// All projects that this engine has opened.
#[derive(Debug)]
pub struct Projects {
    paths: Paths,
    owner: OwnerLock,
    address: String,
    open: Mutex<BTreeMap<PathBuf, Arc<Project>>>,
}

/// A run that was leased and read.
#[derive(Debug)]
pub struct OpenedRun {
    /// Project.
    pub project: Arc<Project>,
    /// State.
    pub run: Run,
    /// Epoch of the lease.
    pub epoch: u64,
    /// Requests that were left with it, oldest first.
    pub left: Vec<windlass_store::StoredRequest>,
}

impl Projects {
    /// Makes this process an owner of leases. `address` is where it answers.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn new(paths: Paths, address: String) -> Result<Self, OpenError> {
        paths.make()?;
        let dir = paths.owners();
        // What dead engines left; a live one holds its lock.
        let _ = windlass_store::owner::sweep_owners(&dir);
        let owner = OwnerLock::create(&dir).map_err(|source| PathError::Make { path: dir, source })?;
        Ok(Self { paths, owner, address, open: Mutex::new(BTreeMap::new()) })
    }

    /// Folders.
    pub const fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The project in a folder under the state folder.
    ///
    /// # Errors
    /// When its store cannot be opened.
    pub fn project(&self, dir: &Path) -> Result<Arc<Project>, OpenError> {
        // A poisoned lock only means that another thread failed while opening; the map is whole.
        let mut open = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(project) = open.get(dir) {
            return Ok(project.clone());
        }
        let project = Arc::new(Project::open(dir, self.paths.owners())?);
        open.insert(dir.to_owned(), project.clone());
        Ok(project)
    }

    /// The projects that were opened so far.
    pub fn opened(&self) -> Vec<Arc<Project>> {
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner).values().cloned().collect()
    }

    /// The project that holds a run.
    ///
    /// # Errors
    /// [`OpenError::NoRun`] when none does.
    pub fn project_of(&self, run: RunId) -> Result<Arc<Project>, OpenError> {
        let dir = self.paths.project_of(run).ok_or(OpenError::NoRun(run))?;
        self.project(&dir)
    }

    fn owner(&self) -> windlass_store::Owner {
        windlass_store::Owner {
            id: self.owner.id().clone(),
            address: self.address.clone(),
            vocabulary: VOCABULARY,
        }
    }

    /// Leases a run or tree of a project. Waits for the store.
    ///
    /// # Errors
    /// [`OpenError::Held`] and others as the store gives them.
    pub fn lease(
        &self,
        project: &Project,
        name: windlass_store::LeaseName,
        now: Millis,
    ) -> Result<windlass_store::Lease, LeaseError> {
        let owner = self.owner();
        match project.run(move |store| store.acquire(&name, &owner, now, false)) {
            Ok(result) => result,
            Err(e) => {
                Err(LeaseError::Store(StoreError::Io { path: project.dir.clone(), detail: e.to_string() }))
            }
        }
    }

    /// Leases a run and reads its state.
    ///
    /// # Errors
    /// When another engine leads it, or its journal is damaged. A damaged journal is left as it is.
    pub fn open_run(&self, run: RunId, now: Millis) -> Result<OpenedRun, OpenError> {
        let project = self.project_of(run)?;
        let lease = self.lease(&project, windlass_store::LeaseName::Run(run), now).map_err(|e| match e {
            LeaseError::Held(held) => OpenError::Held { run, address: held.owner.address },
            LeaseError::TooNew { needs, knows } => OpenError::TooNew { run, needs, knows },
            LeaseError::Store(e) => OpenError::Store(e),
            other => OpenError::Lease(other),
        })?;
        let reader = project.reader()?;
        // After the lease: who left one before saw another leader, who leaves one from now on finds this one.
        let read = load_run(&reader, run).and_then(|state| Ok((state, reader.pending_requests(run)?)));
        match read {
            Ok((state, left)) => Ok(OpenedRun { project, run: state, epoch: lease.epoch, left }),
            Err(e) => {
                project.post(move |store| {
                    // Its lock frees it at the latest when this process ends.
                    let _ = store.release(&lease);
                });
                Err(e)
            }
        }
    }
}

/// The state of a run from its snapshot and the events after it.
///
/// # Errors
/// [`OpenError::NoRun`] without events, [`OpenError::Damaged`] where the journal is not what the core could have written, and
/// [`OpenError::TooNew`] where that is so because a newer program wrote it.
pub fn load_run(store: &dyn ReadStore, run: RunId) -> Result<Run, OpenError> {
    fold_run(store, run).map_err(|e| or_too_new(e, store, run))
}

/// What looks like damage to this program, where a newer one has written the journal.
pub(crate) fn or_too_new(e: OpenError, store: &dyn ReadStore, run: RunId) -> OpenError {
    let needs = || store.lease(&LeaseName::Run(run)).ok().flatten().map(|lease| lease.vocabulary);
    match e {
        OpenError::Damaged { .. } if needs().is_some_and(|needs| needs > VOCABULARY) => {
            OpenError::TooNew { run, needs: needs().unwrap_or_default(), knows: VOCABULARY }
        }
        other => other,
    }
}

/// The error of a journal that cannot be read: damage is of the run, everything else of its store.
pub(crate) fn unreadable(run: RunId, e: ReadError) -> OpenError {
    match e {
        ReadError::Store(e) => OpenError::Store(e),
        e => OpenError::Damaged { run, reason: e.to_string() },
    }
}

fn fold_run(store: &dyn ReadStore, run: RunId) -> Result<Run, OpenError> {
    let damaged = |reason: String| OpenError::Damaged { run, reason };
    let loaded = store.load(run, FOLD_VERSION).map_err(|e| unreadable(run, e))?;
    let mut state: Option<Run> = loaded.snapshot.and_then(|s| serde_json::from_slice(&s.bytes).ok());
    if let Some(state) = &mut state {
        state.shrink();
    }
    let mut tail = loaded.tail;
    if state.is_none() && tail.first().is_none_or(|e| e.seq != 1) {
        // The cache cannot be read by this program: fold the journal from its start.
        tail = read_all(store, run)?;
    }
    for stored in &tail {
        let event =
            Event::from_json(&stored.body).map_err(|e| damaged(format!("event {}: {e}", stored.seq)))?;
        match &mut state {
            None => state = Some(Run::begin(run, stored.at, &event).map_err(|e| damaged(e.to_string()))?),
            Some(state) => state
                .apply(stored.seq, stored.at, &event)
                .map_err(|e| damaged(format!("event {}: {e}", stored.seq)))?,
        }
    }
    state.ok_or(OpenError::NoRun(run))
}

fn read_all(store: &dyn ReadStore, run: RunId) -> Result<Vec<windlass_store::StoredEvent>, OpenError> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(0, |e: &windlass_store::StoredEvent| e.seq);
        let page = store.read(run, after, 4096).map_err(|e| unreadable(run, e))?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_store::{AliveSet, Append, MemoryStore, Owner, OwnerId, Record};

    /// A journal with an event that this program does not know, led by one that knows so much.
    fn unknown_to_us(vocabulary: u32) -> OpenError {
        let mut store = MemoryStore::new(Arc::new(AliveSet::default()));
        let run = RunId::from_number(7);
        let id = OwnerId::parse("a").unwrap();
        let owner = Owner { id, address: String::new(), vocabulary };
        let epoch = store.acquire(&LeaseName::Run(run), &owner, 1, false).unwrap().epoch;
        let body = r#"{"type":"run.of_tomorrow","data":{}}"#.to_owned();
        let stored = store.append(vec![Append::new(run, 0, epoch, vec![Record { at: 1, body }])]);
        assert_eq!(stored, [Ok(1)]);
        load_run(&store, run).unwrap_err()
    }

    #[test]
    fn what_a_newer_program_wrote_is_not_called_damage() {
        let needs = VOCABULARY + 1;
        match unknown_to_us(needs) {
            OpenError::TooNew { needs: n, knows: VOCABULARY, .. } if n == needs => {}
            other => panic!("{other:?}"),
        }
        // Of one that knew no more than this one, it is.
        assert!(matches!(unknown_to_us(VOCABULARY), OpenError::Damaged { .. }));
    }
}
