//! What every command starts from: where it was asked, with which environment, how it may print.

use crate::cli::{Global, When};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use windlass_api::request::{SecretText, ShellEnv};
use windlass_api::{ApiError, ErrorKind};
use windlass_engine::Paths;
use windlass_git::Git;
use windlass_resources::config::{Config, ConfigFile, Sources};
use windlass_resources::places::Places;
use windlass_resources::text::Links;

/// What every command starts from.
#[derive(Debug)]
pub(crate) struct Context {
    /// Options.
    pub(crate) global: Global,
    /// Directory that the command acts in.
    pub(crate) cwd: PathBuf,
    /// Folders of state and sockets.
    pub(crate) paths: Paths,
    /// Folders of config and resources, without a project.
    pub(crate) places: Places,
}

impl Context {
    /// Looks around.
    ///
    /// # Errors
    /// When the directory or a place for state is missing.
    pub(crate) fn new(global: Global) -> Result<Self, ApiError> {
        let usage = |m: String| ApiError::new(ErrorKind::Usage, m);
        let start =
            std::env::current_dir().map_err(|e| usage(format!("the current directory is gone: {e}")))?;
        let cwd = match &global.directory {
            Some(dir) => start.join(dir),
            None => start,
        };
        if !cwd.is_dir() {
            return Err(usage(format!("{} is no directory", cwd.display())));
        }
        let dir = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let places = Places {
            home: dir("HOME"),
            windlass_home: dir("WINDLASS_HOME"),
            xdg_config_home: dir("XDG_CONFIG_HOME"),
            xdg_state_home: dir("XDG_STATE_HOME"),
            project: None,
        };
        let paths = Paths::find(
            places.windlass_home.as_deref(),
            places.state_dir(),
            dir("XDG_RUNTIME_DIR").as_deref(),
            &std::env::temp_dir(),
        )
        .map_err(|e| ApiError::new(ErrorKind::Missing, e.to_string()))?;
        Ok(Self { global, cwd, paths, places })
    }

    /// The requesting shell's environment, after the allow-list. What is not UTF-8 is left out: it could not be recorded.
    pub(crate) fn shell_env() -> ShellEnv {
        let mut env = ShellEnv::default();
        for (name, value) in std::env::vars_os() {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
            match windlass_redact::env::classify_pair(name, value.as_bytes()) {
                windlass_redact::env::EnvClass::Plain => {
                    env.plain.insert(name.to_owned(), value.to_owned());
                }
                windlass_redact::env::EnvClass::Secret => {
                    env.secret.insert(name.to_owned(), SecretText(value.to_owned()));
                }
                windlass_redact::env::EnvClass::Drop => {}
            }
        }
        env
    }

    /// All variables of this process that are text.
    pub(crate) fn all_env() -> BTreeMap<String, String> {
        std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect()
    }

    /// The user's own config, without any project. What is broken in it is said by the commands that use it.
    pub(crate) fn user_config(&self) -> Config {
        let file = self.places.user_config().and_then(|p| ConfigFile::read(&p, Links::Follow).ok().flatten());
        let (config, _) =
            Config::load(&Sources { user: file.as_ref(), env: Self::all_env(), ..Sources::default() });
        config
    }

    /// The machine's git, where it is new enough.
    pub(crate) fn git(&self) -> Option<Git> {
        Git::find().ok()
    }

    /// Whether a person sees standard error.
    pub(crate) fn err_is_terminal(&self) -> bool {
        std::io::stderr().is_terminal()
    }

    /// Whether a person can be asked: both ends of a conversation are a terminal.
    pub(crate) fn can_ask(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !self.global.json
    }

    /// How to paint on a stream.
    pub(crate) fn paint(&self, is_terminal: bool) -> windlass_view::Paint {
        let color = match self.global.color {
            When::Always => true,
            When::Never => false,
            When::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        windlass_view::Paint { color, ascii: !is_utf8() }
    }

    /// The width to draw in: the terminal's, else 80 for cards and no limit that matters for lines.
    pub(crate) fn width(&self, is_terminal: bool) -> usize {
        if is_terminal { terminal_size().map_or(80, |(w, _)| w).clamp(20, 300) } else { 100 }
    }

    /// How to draw.
    pub(crate) fn look(&self, width: usize) -> windlass_view::Look {
        let mut look = windlass_view::Look::new(width);
        look.home = self.places.home.as_ref().map(|h| h.to_string_lossy().into_owned());
        look.zone = jiff::tz::TimeZone::system();
        look
    }
}

/// Makes the commands that a document offers fit the shell they will be typed in: a `git` of a tree that it is not in names the tree.
pub(crate) fn as_typed_here(run: &mut windlass_api::status::RunDoc) {
    let in_it = |root: &str| std::env::current_dir().is_ok_and(|here| here.starts_with(root));
    if !run.tree.as_ref().is_some_and(|tree| in_it(&tree.root)) {
        run.name_tree();
    }
}

/// Columns and rows of the terminal on standard error.
pub(crate) fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    (size.ws_col > 0).then_some((usize::from(size.ws_col), usize::from(size.ws_row.max(1))))
}

/// Whether the locale's characters are UTF-8. A locale that says nothing is.
fn is_utf8() -> bool {
    let said = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    said.is_none_or(|v| {
        let v = v.to_ascii_lowercase();
        v.contains("utf-8") || v.contains("utf8")
    })
}
