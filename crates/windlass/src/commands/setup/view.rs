//! What a user and a project have set up, also where some of it is broken: the commands here are what mends it.

use crate::context::Context;
use std::path::{Path, PathBuf};
use windlass_api::{ApiError, ErrorKind};
use windlass_git::Repo;
use windlass_resources::catalog::{Catalog, ProjectUse};
use windlass_resources::config::{Config, ConfigFile, Sources};
use windlass_resources::diag::{Diagnostic, has_errors, render_all};
use windlass_resources::gates::{Detected, detect};
use windlass_resources::places::{Places, find_project};
use windlass_resources::text::Links;
use windlass_resources::trust::{Answer, Decision, Stored, Subject, TrustError, TrustStore, decide};

/// What there is, as seen from the directory of the command.
#[derive(Debug)]
pub(crate) struct View {
    /// Folders.
    pub(crate) places: Places,
    /// The project's root; `None` outside a project.
    pub(crate) root: Option<PathBuf>,
    /// Config in force, as far as it can be read.
    pub(crate) config: Config,
    /// Agents, teams, workflows, skills, as far as they are trusted.
    pub(crate) catalog: Catalog,
    /// Gates found by looking.
    pub(crate) detected: Vec<Detected>,
    /// What of the repository needs trust.
    pub(crate) subject: Subject,
    /// The kept answer, or why it cannot be read.
    pub(crate) stored: Result<Option<Stored>, String>,
    /// What is trusted. A kept answer that cannot be read trusts nothing.
    pub(crate) decision: Decision,
    /// Findings in the config files.
    pub(crate) findings: Vec<Diagnostic>,
}

impl View {
    /// Looks around.
    ///
    /// # Errors
    /// When the directory is gone, or git cannot say whether it is in a repository.
    pub(crate) fn load(context: &Context) -> Result<Self, ApiError> {
        let cwd = real(&context.cwd)?;
        let root = match context.git() {
            Some(git) => Repo::discover(&git, &cwd)
                .map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))?
                .map(|repo| repo.top().to_owned()),
            None => None,
        };
        let root = root.or_else(|| find_project(&cwd, &windlass_engine::query::stops()));
        Ok(Self::of(context, root, None))
    }

    /// What there is for a project. `judged_as` takes the place of what the user answered.
    pub(crate) fn of(context: &Context, root: Option<PathBuf>, judged_as: Option<Answer>) -> Self {
        let places = Places { project: root.clone(), ..context.places.clone() };
        let mut findings = Vec::new();
        let mut read = |path: Option<PathBuf>, links| {
            ConfigFile::read(&path?, links).unwrap_or_else(|d| {
                findings.push(*d);
                None
            })
        };
        let user = read(places.user_config(), Links::Follow);
        let project = read(places.project_config(), Links::Refuse);
        let detected = root.as_deref().map(detect).unwrap_or_default();
        let seen = Catalog::load(&places, ProjectUse::Untrusted);
        let subject = Subject::of(&places, &seen, &detected);
        let stored = match (&root, store(&places)) {
            (Some(root), Some(store)) => store.get(root).map_err(|e| e.to_string()),
            _ => Ok(None),
        };
        let decision = decide(&subject, stored.as_ref().ok().and_then(Option::as_ref));
        let answer = judged_as.unwrap_or_else(|| decision.answer());
        let mut catalog =
            if answer == Answer::All { Catalog::load(&places, ProjectUse::Trusted) } else { seen };
        let (config, found) = Config::load(&Sources {
            user: user.as_ref(),
            project: project.as_ref(),
            trust: answer,
            env: Context::all_env(),
            flags: Vec::new(),
        });
        findings.extend(found);
        findings.extend(config.apply_to(&mut catalog));
        Self { places, root, config, catalog, detected, subject, stored, decision, findings }
    }

    /// The project's root.
    ///
    /// # Errors
    /// Outside a project.
    pub(crate) fn project(&self) -> Result<&Path, ApiError> {
        self.root.as_deref().ok_or_else(|| {
            ApiError::new(ErrorKind::Usage, "this folder is not in a project")
                .hint("go to a repository, or make this folder a project: `windlass init`")
        })
    }

    /// A path as short as it can be said: from the project's root, or from the home folder.
    pub(crate) fn short(&self, context: &Context, path: &str) -> String {
        let inside = self.root.as_deref().and_then(|root| Path::new(path).strip_prefix(root).ok());
        match inside {
            Some(inside) => inside.display().to_string(),
            None => context.look(80).path(path).into_owned(),
        }
    }

    /// Refuses to go on with config that cannot be understood.
    ///
    /// # Errors
    /// With every finding that is an error.
    pub(crate) fn sound(&self) -> Result<(), ApiError> {
        if !has_errors(&self.findings) {
            return Ok(());
        }
        let errors: Vec<Diagnostic> = self.findings.iter().filter(|d| d.is_error()).cloned().collect();
        Err(ApiError::new(ErrorKind::Usage, render_all(&errors)))
    }

    /// Writes into the project by a command of ours, so that a kept answer goes on holding. A change by other hands at the same time is
    /// not waved through: `ours` says which files may differ.
    ///
    /// # Errors
    /// Those of `write`, and when the answer cannot be kept.
    pub(crate) fn renewing<T>(
        &self,
        ours: &[&Path],
        write: impl FnOnce() -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let done = write()?;
        let (Some(root), Some(store)) = (&self.root, store(&self.places)) else { return Ok(done) };
        let after = subject_of(&self.places, root);
        let relative: Vec<String> =
            ours.iter().map(|p| p.strip_prefix(root).unwrap_or(p).display().to_string()).collect();
        // Gates that are found by looking give way to those of a config file: that is a change of ours too.
        let by_config = self.places.project_config().is_some_and(|c| ours.contains(&c.as_path()));
        let others = |subject: &Subject| {
            let kept = subject.items.iter().filter(|i| !relative.contains(&i.path));
            kept.filter(|i| !by_config || i.kind != "gate").cloned().collect::<Vec<_>>()
        };
        if others(&self.subject) == others(&after) {
            keep_private(&self.places)?;
            store.renew(root, &self.subject, &after, now_ms()).map_err(trust_error)?;
        }
        Ok(done)
    }

    /// What is trusted now, after something was written.
    pub(crate) fn decision_now(&self) -> Decision {
        let (Some(root), Some(store)) = (&self.root, store(&self.places)) else { return Decision::Nothing };
        let stored = store.get(root).ok().flatten();
        decide(&subject_of(&self.places, root), stored.as_ref())
    }
}

/// What of a repository needs trust, read now.
fn subject_of(places: &Places, root: &Path) -> Subject {
    Subject::of(places, &Catalog::load(places, ProjectUse::Untrusted), &detect(root))
}

/// The kept answers; `None` where there is no place for them.
pub(crate) fn store(places: &Places) -> Option<TrustStore> {
    places.state_dir().map(|dir| TrustStore::new(&dir))
}

/// Makes the state folder, closed to others, before something is kept in it.
pub(crate) fn keep_private(places: &Places) -> Result<(), ApiError> {
    let Some(state) = places.state_dir() else { return Ok(()) };
    windlass_engine::paths::make_private(&state).map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))
}

/// What went wrong with kept answers.
pub(crate) fn trust_error(e: TrustError) -> ApiError {
    let kind = match e {
        TrustError::Damaged { .. } => ErrorKind::Refused,
        TrustError::Io { .. } => ErrorKind::Missing,
    };
    ApiError::new(kind, e.to_string())
}

/// A finding that stops a command.
pub(crate) fn stops(d: &Diagnostic) -> ApiError {
    let kind = match d.code {
        "unreadable" | "unwritable" => ErrorKind::Missing,
        _ => ErrorKind::Usage,
    };
    ApiError::new(kind, d.said()).hint(d.help.clone().unwrap_or_default())
}

/// The directory without links.
pub(crate) fn real(dir: &Path) -> Result<PathBuf, ApiError> {
    dir.canonicalize().map_err(|e| ApiError::new(ErrorKind::Usage, format!("{}: {e}", dir.display())))
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}
