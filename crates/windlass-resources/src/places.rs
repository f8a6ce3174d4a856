//! The folders resources and config are read from. Nothing here reads the process's environment: the caller says where things are.

use crate::source::{Dialect, Kind, Scope};
use std::path::{Path, PathBuf};

/// Where a user and a project keep their files. Relative and empty paths are treated as not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// `WINDLASS_HOME`: user config, resources, state in one place.
    pub windlass_home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// The project's root; `None` outside a project. See [`find_project`].
    pub project: Option<PathBuf>,
}

/// A folder that may hold resources of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder.
    pub folder: PathBuf,
    /// What is in it.
    pub kind: Kind,
    /// Whose it is.
    pub scope: Scope,
    /// Whose rules its files are written to.
    pub dialect: Dialect,
}

impl Places {
    /// The folder of the user's own config and resources; `None` when there is no home to put it in.
    pub fn user_dir(&self) -> Option<PathBuf> {
        absolute(&self.windlass_home)
            .or_else(|| absolute(&self.xdg_config_home).map(|d| d.join("windlass")))
            .or_else(|| absolute(&self.home).map(|d| d.join(".config/windlass")))
    }

    /// The folder of the user's state.
    pub fn state_dir(&self) -> Option<PathBuf> {
        absolute(&self.windlass_home)
            .map(|d| d.join("state"))
            .or_else(|| absolute(&self.xdg_state_home).map(|d| d.join("windlass")))
            .or_else(|| absolute(&self.home).map(|d| d.join(".local/state/windlass")))
    }

    /// The project's own folder, whether it exists or not.
    pub fn project_dir(&self) -> Option<PathBuf> {
        absolute(&self.project).map(|d| d.join(".windlass"))
    }

    /// The user's config file, whether it exists or not.
    pub fn user_config(&self) -> Option<PathBuf> {
        self.user_dir().map(|d| d.join("config.toml"))
    }

    /// The project's config file, whether it exists or not.
    pub fn project_config(&self) -> Option<PathBuf> {
        self.project_dir().map(|d| d.join("config.toml"))
    }

    /// Every folder that may hold resources of a kind, the stronger before the weaker within a scope.
    pub fn folders(&self, kind: Kind) -> Vec<Place> {
        let mut places = Vec::new();
        let mut add = |base: Option<PathBuf>, below: &str, scope, dialect| {
            if let Some(base) = base {
                places.push(Place { folder: base.join(below), kind, scope, dialect });
            }
        };
        let folder = kind.folder();
        add(self.user_dir(), folder, Scope::User, Dialect::Windlass);
        let home = absolute(&self.home);
        add(home.clone().map(|h| h.join(".pi/agent")), folder, Scope::User, Dialect::Pi);
        if kind == Kind::Agent {
            add(home, ".claude/agents", Scope::User, Dialect::Claude);
        }
        add(self.project_dir(), folder, Scope::Project, Dialect::Windlass);
        if let Some(project) = absolute(&self.project) {
            let at = |below: &str| Some(project.join(below));
            if kind == Kind::Skill {
                add(Some(project.clone()), folder, Scope::Project, Dialect::PiCrew);
            } else {
                add(at(".crew"), folder, Scope::Project, Dialect::PiCrew);
                add(at(".pi/teams"), folder, Scope::Project, Dialect::PiCrew);
            }
            if kind == Kind::Agent {
                add(at(".pi"), folder, Scope::Project, Dialect::Pi);
                add(at(".claude"), folder, Scope::Project, Dialect::Claude);
            }
        }
        places
    }
}

fn absolute(path: &Option<PathBuf>) -> Option<PathBuf> {
    path.clone().filter(|p| p.is_absolute())
}

/// What makes a folder a project, the stronger before the weaker.
///
/// A version-controlled tree is one project whatever manifests lie within it; without version control the nearest folder that
/// a tool was set up in counts, then the nearest manifest.
const MARKERS: [&[&str]; 3] = [
    &[".git", ".hg", ".svn", ".jj"],
    &[".windlass", ".crew", ".pi", ".factory", ".omc"],
    &[
        "package.json",
        "pyproject.toml",
        "Cargo.toml",
        "go.mod",
        "pom.xml",
        "composer.json",
        "build.gradle",
        "build.gradle.kts",
    ],
];

/// The project that a directory belongs to: the nearest folder at or above it with a marker.
///
/// `stops` (the home directory, the temporary directory, `/`) are never projects, and nothing above them is looked at: they are
/// tested before markers, so that a home folder with a `.pi` in it does not become one project of everything below.
pub fn find_project(from: &Path, stops: &[PathBuf]) -> Option<PathBuf> {
    let real = |p: &Path| std::fs::canonicalize(p).unwrap_or_else(|_| p.to_owned());
    let from = real(from);
    let stops: Vec<PathBuf> = stops.iter().map(|s| real(s)).collect();
    let candidates: Vec<&Path> = from
        .ancestors()
        .take_while(|dir| dir.parent().is_some() && !stops.iter().any(|s| s == dir))
        .collect();
    MARKERS.iter().find_map(|markers| {
        candidates
            .iter()
            .find(|dir| markers.iter().any(|m| dir.join(m).symlink_metadata().is_ok()))
            .map(|d| (*d).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_home_with_markers_is_no_project() {
        let dir = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(dir.path()).unwrap().join("home");
        let work = home.join("src/app/deep");
        fs::create_dir_all(&work).unwrap();
        fs::create_dir_all(home.join(".pi")).unwrap();
        fs::create_dir_all(home.join(".git")).unwrap();
        let stops = [home.clone()];
        assert_eq!(find_project(&work, &stops), None);
        assert_eq!(find_project(&home, &stops), None);
        fs::write(home.join("src/app/package.json"), "{}").unwrap();
        assert_eq!(find_project(&work, &stops), Some(home.join("src/app")));
        // A version-controlled tree above wins over a manifest within it.
        fs::create_dir_all(home.join("src/.git")).unwrap();
        assert_eq!(find_project(&work, &stops), Some(home.join("src")));
    }

    #[test]
    fn windlass_home_wins_and_relative_paths_do_not_count() {
        let mut p =
            Places { home: Some("/h".into()), xdg_config_home: Some("rel".into()), ..Places::default() };
        assert_eq!(p.user_dir(), Some("/h/.config/windlass".into()));
        p.xdg_config_home = Some("/x".into());
        assert_eq!(p.user_dir(), Some("/x/windlass".into()));
        p.windlass_home = Some("/w".into());
        assert_eq!((p.user_dir(), p.state_dir()), (Some("/w".into()), Some("/w/state".into())));
    }
}
