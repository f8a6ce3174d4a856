//! Where state and sockets live.
//!
//! ```text
//! <state>/owners/                       lock files of live engines
//! <state>/projects/<slug>/windlass.db   journal of a project
//! <state>/projects/<slug>/runs/<run>/   what a run made
//! <runtime>/                            0700: sockets, secret values
//! ```

use std::path::{Path, PathBuf};
use windlass_api::status::FolderDoc;
use windlass_events::{AttemptNo, RunId, TaskId};

/// The folders of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// State: survives a restart.
    pub state: PathBuf,
    /// Sockets and secret values: need not.
    pub runtime: PathBuf,
}

/// Why there is no place for state or sockets.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// Neither `WINDLASS_HOME`, `XDG_STATE_HOME` nor `HOME` names an absolute path.
    #[error("there is no place for state: set HOME or WINDLASS_HOME to an absolute path")]
    NoHome,
    /// A folder cannot be made.
    #[error("{path} cannot be made: {source}; set WINDLASS_HOME to a folder that can")]
    Make {
        /// Folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder for sockets belongs to somebody else.
    #[error(
        "{0} belongs to another user, so sockets there would not be safe; set WINDLASS_HOME or XDG_RUNTIME_DIR"
    )]
    Foreign(PathBuf),
}

impl Paths {
    /// The folders for an environment. `windlass_home` keeps everything in one place; without it the XDG folders count.
    ///
    /// # Errors
    /// [`PathError::NoHome`] when nothing names a place.
    pub fn find(
        windlass_home: Option<&Path>,
        state_dir: Option<PathBuf>,
        xdg_runtime_dir: Option<&Path>,
        temp: &Path,
    ) -> Result<Self, PathError> {
        let state = state_dir.ok_or(PathError::NoHome)?;
        let runtime =
            match (windlass_home.filter(|p| p.is_absolute()), xdg_runtime_dir.filter(|p| p.is_absolute())) {
                (Some(home), _) => home.join("run"),
                (None, Some(dir)) => dir.join("windlass"),
                (None, None) => temp.join(format!("windlass-{}", rustix::process::geteuid().as_raw())),
            };
        Ok(Self { state, runtime })
    }

    /// Makes the folders, closed to others.
    ///
    /// # Errors
    /// When a folder cannot be made, or the runtime folder is somebody else's.
    pub fn make(&self) -> Result<(), PathError> {
        make_private(&self.state)?;
        make_private(&self.runtime)?;
        make_private(&self.owners())?;
        let meta = std::fs::symlink_metadata(&self.runtime)
            .map_err(|source| PathError::Make { path: self.runtime.clone(), source })?;
        use std::os::unix::fs::MetadataExt;
        if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
            return Err(PathError::Foreign(self.runtime.clone()));
        }
        Ok(())
    }

    /// Lock files of live engines.
    pub fn owners(&self) -> PathBuf {
        self.state.join("owners")
    }

    /// All projects: the registry of the machine.
    pub fn projects(&self) -> PathBuf {
        self.state.join("projects")
    }

    /// A project's folder.
    pub fn project(&self, slug: &str) -> PathBuf {
        self.projects().join(slug)
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("daemon.sock")
    }

    /// The lock under which the daemon's socket is bound.
    pub fn daemon_lock(&self) -> PathBuf {
        self.state.join("daemon.lock")
    }

    /// The lock of who puts one daemon in the place of another.
    pub fn daemon_seat(&self) -> PathBuf {
        self.state.join("daemon.seat")
    }

    /// What the daemon says of itself.
    pub fn daemon_log(&self) -> PathBuf {
        self.state.join("daemon.log")
    }

    /// Secret values of a run.
    pub fn secrets(&self, run: RunId) -> PathBuf {
        self.runtime.join(format!("{run}.env"))
    }

    /// The socket of a worker's shim.
    pub fn shim_socket(&self, run: RunId, name: &str) -> PathBuf {
        self.runtime.join("w").join(format!("{run}.{name}"))
    }

    /// The project that holds a run, by its folder.
    pub fn project_of(&self, run: RunId) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.projects()).ok()?;
        entries.flatten().map(|e| e.path()).find(|p| p.join("runs").join(run.as_str()).is_dir())
    }

    /// All project folders, in order.
    pub fn all_projects(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = std::fs::read_dir(self.projects())
            .map(|entries| {
                entries.flatten().map(|e| e.path()).filter(|p| p.join("windlass.db").exists()).collect()
            })
            .unwrap_or_default();
        all.sort();
        all
    }
}

/// Makes a folder with its parents, mode 0700.
///
/// # Errors
/// When it cannot be made.
pub fn make_private(path: &Path) -> Result<(), PathError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| PathError::Make { path: path.to_owned(), source })
}

/// What a run's folder may hold and what each of it is, in the order in which it is worth looking at. Folders end with `/`.
pub const CONTENTS: [(&str, &str); 10] = [
    ("summary.md", "what came of the run"),
    ("goal.md", "what was asked for"),
    ("results/", "what each attempt said last"),
    ("diffs/", "what the run and each task changed"),
    ("transcripts/", "what each attempt said and did"),
    ("prompts/", "what each attempt was told"),
    ("artifacts/", "files that tasks handed on"),
    ("sessions/", "the agents' own records"),
    ("attempts/", "every byte that workers and gates wrote, for `windlass logs`"),
    ("script.json", "what a rehearsal plays"),
];

/// The files of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir(pub PathBuf);

impl RunDir {
    /// The folder of a run in its project's folder.
    pub fn of(project: &Path, run: RunId) -> Self {
        Self(project.join("runs").join(run.as_str()))
    }

    /// Makes the folders that every run needs.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn make(&self) -> Result<(), PathError> {
        for name in ["attempts", "results", "artifacts", "prompts", "sessions"] {
            make_private(&self.0.join(name))?;
        }
        Ok(())
    }

    /// The files of attempts and of tries of gates.
    pub fn attempts(&self) -> PathBuf {
        self.0.join("attempts")
    }

    /// The one file of an attempt.
    pub fn spool(&self, task: &TaskId, n: AttemptNo) -> PathBuf {
        self.attempts().join(format!("{task}.{n}"))
    }

    /// The one file of a try of a gate.
    pub fn gate_spool(&self, key: &windlass_events::event::GateKey) -> PathBuf {
        self.attempts().join(gate_name(key))
    }

    /// A result, relative to the run's folder.
    pub fn result_name(task: &TaskId, n: AttemptNo) -> String {
        format!("results/{task}.{n}.md")
    }

    /// Where a task may leave files to hand on.
    pub fn artifacts(&self, task: &TaskId) -> PathBuf {
        self.0.join("artifacts").join(task.as_str())
    }

    /// The agent's own session records of a task.
    pub fn sessions(&self, task: &TaskId) -> PathBuf {
        self.0.join("sessions").join(task.as_str())
    }

    /// The goal as a file.
    pub fn goal(&self) -> PathBuf {
        self.0.join("goal.md")
    }

    /// Where it is and which of [`CONTENTS`] it holds now.
    pub fn doc(&self) -> FolderDoc {
        let is_there = |name: &str| match name.strip_suffix('/') {
            Some(folder) => holds_files(&self.0.join(folder), 3),
            None => self.0.join(name).is_file(),
        };
        let contents = CONTENTS.iter().map(|(name, _)| *name).filter(|name| is_there(name));
        FolderDoc {
            path: self.0.to_string_lossy().into_owned(),
            contents: contents.map(str::to_owned).collect(),
        }
    }
}

/// Whether there is a file in a folder or, so many levels down, in one below it.
fn holds_files(folder: &Path, levels: usize) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let is_folder = entry.file_type().is_ok_and(|t| t.is_dir());
        if is_folder { levels > 0 && holds_files(&entry.path(), levels - 1) } else { true }
    })
}

/// The name of a gate's file: it cannot be a task's, since `@` is in no task id.
pub fn gate_name(key: &windlass_events::event::GateKey) -> String {
    let task = key.task.as_ref().map_or("baseline", TaskId::as_str);
    format!("{task}@gate{}.{}", key.gate + 1, key.n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_runs_folder_holds_is_described() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats.md");
        let page = std::fs::read_to_string(page).unwrap();
        for (name, what) in CONTENTS {
            assert!(page.contains(&format!("| `{name}` | {what} |")), "{name}");
        }
    }

    #[test]
    fn empty_folders_are_no_contents() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir(folder.path().to_owned());
        dir.make().unwrap();
        make_private(&folder.path().join("artifacts/01_a")).unwrap();
        assert_eq!(dir.doc().contents, Vec::<String>::new());
        std::fs::write(folder.path().join("artifacts/01_a/notes.md"), "x").unwrap();
        std::fs::write(dir.goal(), "x").unwrap();
        assert_eq!(dir.doc().contents, ["goal.md", "artifacts/"]);
    }
}
