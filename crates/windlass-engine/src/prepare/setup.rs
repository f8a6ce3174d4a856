//! What a user and a project have set up, as seen from a directory: config, resources, trust, detected gates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use windlass_api::{ApiError, ErrorKind};
use windlass_events::spec::GateSpec;
use windlass_resources::catalog::{Catalog, ProjectUse};
use windlass_resources::config::{Config, ConfigFile, Sources};
use windlass_resources::diag::{Diagnostic, Severity};
use windlass_resources::gates::{Detected, detect};
use windlass_resources::places::Places;
use windlass_resources::text::Links;
use windlass_resources::trust::{Answer, Decision, Subject, TrustStore, decide};

/// What a user and a project have set up, as seen from a directory.
#[derive(Debug)]
pub struct Setup {
    /// Folders.
    pub places: Places,
    /// The project's root: the top of the working tree, or the folder with a marker. `None` outside both.
    pub root: Option<PathBuf>,
    /// Config in force.
    pub config: Config,
    /// Agents, teams, workflows, skills.
    pub catalog: Catalog,
    /// Gates found by looking.
    pub detected: Vec<Detected>,
    /// What of the repository needs trust.
    pub subject: Subject,
    /// What is trusted of it.
    pub decision: Decision,
    /// What is to be said.
    pub notices: Vec<String>,
    /// Findings in config and resources.
    pub diagnostics: Vec<Diagnostic>,
}

impl Setup {
    /// Reads everything as seen from a directory. `env` is the requesting shell's.
    ///
    /// # Errors
    /// When config cannot be understood or a kept answer is damaged.
    pub fn load(cwd: &Path, root: Option<PathBuf>, env: &BTreeMap<String, String>) -> Result<Self, ApiError> {
        let dir = |name: &str| env.get(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let home = dir("HOME");
        let stops: Vec<PathBuf> = home.iter().cloned().chain([std::env::temp_dir()]).collect();
        let root = root.or_else(|| windlass_resources::places::find_project(cwd, &stops));
        let places = Places {
            home,
            windlass_home: dir("WINDLASS_HOME"),
            xdg_config_home: dir("XDG_CONFIG_HOME"),
            xdg_state_home: dir("XDG_STATE_HOME"),
            project: root.clone(),
        };
        let fail = |d: Box<Diagnostic>| from_diagnostics(ErrorKind::Usage, &[*d]);
        let read = |path: Option<PathBuf>, links| match path {
            Some(path) => ConfigFile::read(&path, links).map_err(fail),
            None => Ok(None),
        };
        let user = read(places.user_config(), Links::Follow)?;
        let project = read(places.project_config(), Links::Refuse)?;
        let detected = root.as_deref().map(detect).unwrap_or_default();
        // Once to see what there is, once more to use what is trusted of it.
        let seen = Catalog::load(&places, ProjectUse::Untrusted);
        let subject = Subject::of(&places, &seen, &detected);
        let stored = match (&root, places.state_dir()) {
            (Some(root), Some(state)) => TrustStore::new(&state)
                .get(root)
                .map_err(|e| ApiError::new(ErrorKind::Refused, e.to_string()))?,
            _ => None,
        };
        let decision = decide(&subject, stored.as_ref());
        let answer = decision.answer();
        let mut catalog =
            if answer == Answer::All { Catalog::load(&places, ProjectUse::Trusted) } else { seen };
        let (config, mut diagnostics) = Config::load(&Sources {
            user: user.as_ref(),
            project: project.as_ref(),
            trust: answer,
            env: env.clone(),
            flags: Vec::new(),
        });
        if windlass_resources::diag::has_errors(&diagnostics) {
            return Err(from_diagnostics(ErrorKind::Usage, &diagnostics));
        }
        diagnostics.extend(config.apply_to(&mut catalog));
        // What is only for `validate` is not said before every run.
        let mut notices: Vec<String> =
            diagnostics.iter().filter(|d| d.severity != Severity::Notice).map(Diagnostic::render).collect();
        notices.extend(catalog.shadowed.iter().map(windlass_resources::catalog::Shadowed::text));
        Ok(Self { places, root, config, catalog, detected, subject, decision, notices, diagnostics })
    }

    /// The gates of the project that may be used.
    pub fn project_gates(&self) -> Vec<GateSpec> {
        let from_user = matches!(
            self.config.get("run.gates").map(|s| &s.origin),
            Some(windlass_resources::config::Origin::User(_))
        ) && !self.config.gates().is_empty();
        if self.decision.answer() == Answer::None && !from_user {
            return Vec::new();
        }
        self.config.project_gates(&self.detected)
    }
}

/// An error of a kind from findings: of one, its message and what to do; of several, a line each.
pub(super) fn from_diagnostics(kind: ErrorKind, found: &[Diagnostic]) -> ApiError {
    let errors: Vec<&Diagnostic> = found.iter().filter(|d| d.severity == Severity::Error).collect();
    if let [one] = errors.as_slice() {
        return ApiError::new(kind, one.said()).hint(one.help.clone().unwrap_or_default());
    }
    let lines: Vec<String> = errors
        .iter()
        .take(20)
        .map(|d| match &d.help {
            Some(help) => format!("{}; {help}", d.said()),
            None => d.said(),
        })
        .collect();
    ApiError::new(kind, lines.join("\n"))
}

/// What is wrong with a broken file, instead of that something is.
pub(super) fn with_cause(mut d: Diagnostic, catalog: &Catalog) -> Diagnostic {
    let cause = catalog.diagnostics.iter().find(|c| d.code == "broken" && c.is_error() && c.path == d.path);
    if let Some(cause) = cause {
        let it =
            if cause.message.starts_with("is ") || cause.message.starts_with("cannot ") { "it " } else { "" };
        d.message = d.message.replace("its file is broken", &format!("{it}{}", cause.message));
        d.pos = cause.pos;
        d.help = cause.help.clone().or(d.help);
    }
    d
}
