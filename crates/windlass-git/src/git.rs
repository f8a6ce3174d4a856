//! Which `git` is used, and the environment and settings that every call gets.
//!
//! A repository is hostile until proved otherwise, and an agent may have written its `.git/config`. So no call of ours
//! lets a repository name a program: hooks, the file system monitor, external diff and text conversion, editors, pagers,
//! signing and every transport are switched off on the command line, which wins over every file.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::exec;
use crate::found::Found;

/// A version of git: major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.2 == 0 {
            write!(f, "{}.{}", self.0, self.1)
        } else {
            write!(f, "{}.{}.{}", self.0, self.1, self.2)
        }
    }
}

impl Version {
    /// Parses what `git version` prints, such as `git version 2.47.3` or `git version 2.39.5 (Apple Git-154)`.
    fn parse(text: &str) -> Option<Self> {
        let number = text.trim().strip_prefix("git version ")?.split_whitespace().next()?;
        let mut parts = number.split('.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part.get(..digits).and_then(|d| d.parse::<u32>().ok())
        });
        let major = parts.next()??;
        let minor = parts.next()??;
        Some(Self(major, minor, parts.next().flatten().unwrap_or(0)))
    }
}

/// Settings that no repository may change.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "core.pager=cat",
    "core.editor=false",
    "core.logAllRefUpdates=false",
    "core.askPass=",
    "credential.helper=",
    "color.ui=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "submodule.recurse=false",
    "protocol.allow=never",
];

/// Variables of the caller that git gets; all others, `GIT_DIR` and its like above all, are not passed on.
const KEPT_VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "XDG_CONFIG_HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CEILING_DIRECTORIES",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
];

/// The `git` program. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Git {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    program: PathBuf,
    version: Version,
    env: Vec<(OsString, OsString)>,
    found: Found,
}

impl Git {
    /// Oldest version that will do.
    pub const MINIMUM: Version = Version(2, 41, 0);

    /// Finds git with this process's environment.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooOld`], [`Error::NotGit`], or [`Error::Io`] when it cannot be started.
    pub fn find() -> Result<Self> {
        Self::with_env(std::env::vars_os())
    }

    /// Finds git in the `PATH` of an environment, of which only what git needs to find its configuration is kept.
    ///
    /// Folders of `PATH` that are not absolute are passed over: the program must not come from the repository.
    ///
    /// # Errors
    /// As [`Git::find`].
    pub fn with_env(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self> {
        let env: Vec<_> = vars
            .into_iter()
            .filter(|(name, _)| name.to_str().is_some_and(|name| KEPT_VARIABLES.contains(&name)))
            .collect();
        let path =
            env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone()).unwrap_or_default();
        let program = std::env::split_paths(&path)
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join("git"))
            .find(|file| is_program(file))
            .ok_or(Error::NotFound { minimum: Self::MINIMUM })?;
        let mut asked = Command::new(&program);
        asked
            .arg("version")
            .env_clear()
            .envs(env.iter().map(|(k, v)| (k, v)))
            .env("LC_ALL", "C")
            .current_dir("/");
        let answer = exec::run(&mut asked, None)?;
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let Some(version) = Version::parse(&text) else {
            return Err(Error::NotGit { program, answer: text.chars().take(80).collect() });
        };
        if version < Self::MINIMUM {
            return Err(Error::TooOld { program, found: version, minimum: Self::MINIMUM });
        }
        Ok(Self { inner: Arc::new(Inner { program, version, env, found: Found::default() }) })
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.inner.program
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.inner.version
    }

    /// The repositories that were found with it.
    pub(crate) fn found(&self) -> &Found {
        &self.inner.found
    }

    /// A variable of the environment that git gets.
    pub(crate) fn var(&self, name: &str) -> Option<&OsStr> {
        self.inner.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }

    /// A call of git in a folder with nothing inherited but what [`KEPT_VARIABLES`] lists.
    pub(crate) fn command(&self, dir: &Path) -> Command {
        let mut cmd = Command::new(&self.inner.program);
        cmd.current_dir(dir).env_clear().envs(self.inner.env.iter().map(|(k, v)| (k, v)));
        for (name, value) in [
            ("LC_ALL", "C"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_LITERAL_PATHSPECS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_ALLOW_PROTOCOL", ""),
            ("GIT_EDITOR", "false"),
            ("GIT_PAGER", "cat"),
        ] {
            cmd.env(name, value);
        }
        cmd.arg("--no-pager");
        for setting in SETTINGS {
            cmd.args([OsStr::new("-c"), OsStr::new(setting)]);
        }
        cmd
    }
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(Version::parse("git version 2.47.3\n"), Some(Version(2, 47, 3)));
        assert_eq!(Version::parse("git version 2.39.5 (Apple Git-154)"), Some(Version(2, 39, 5)));
        assert_eq!(Version::parse("git version 2.50.0.rc1.12.gabc"), Some(Version(2, 50, 0)));
        assert_eq!(Version::parse("git version 2.45-rc0"), Some(Version(2, 45, 0)));
        assert_eq!(Version::parse("hub version 2"), None);
        assert_eq!(Version::parse("git version x.y"), None);
        assert!(Version(2, 9, 0) < Git::MINIMUM);
        assert_eq!(Version(2, 41, 0).to_string(), "2.41");
    }

    fn fake(dir: &Path, says: &str) -> Result<Git> {
        // Written by another process: a descriptor of ours, inherited by a child of another test, would make it busy.
        let script = format!("printf '#!/bin/sh\\necho \"%s\"\\n' '{says}' > git && chmod +x git");
        assert!(Command::new("sh").args(["-c", &script]).current_dir(dir).status().unwrap().success());
        Git::with_env([("PATH".into(), dir.into())])
    }

    #[test]
    fn an_old_or_missing_git_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let error = fake(dir.path(), "git version 2.30.1").unwrap_err().to_string();
        assert!(error.contains("is git 2.30.1, and 2.41 or later is needed: upgrade git"), "{error}");
        assert!(matches!(fake(dir.path(), "hello"), Err(Error::NotGit { .. })));
        let empty = tempfile::tempdir().unwrap();
        let error = Git::with_env([("PATH".into(), empty.path().into())]).unwrap_err().to_string();
        assert!(error.contains("install git 2.41 or later"), "{error}");
        // A relative folder of PATH would let the repository supply the program.
        assert!(matches!(Git::with_env([("PATH".into(), ".".into())]), Err(Error::NotFound { .. })));
    }
}
