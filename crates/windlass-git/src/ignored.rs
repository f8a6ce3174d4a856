//! What was ignored under the rules of an earlier state of the tree.
//!
//! When a task changes a `.gitignore`, files that were there all along turn up as new. An undo must not remove them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::exec;
use crate::keeper::Keeper;
use crate::objects::BlobReader;
use crate::oid::Oid;
use crate::scratch::{open_plain, write_atomically};
use crate::walk::{is_plain, split};

impl Keeper {
    /// Those of the paths that the rules of a kept tree (and the user's own, outside the tree) ignore.
    pub(crate) fn ignored_under(&self, tree: &Oid, paths: &[&[u8]]) -> Result<BTreeSet<Vec<u8>>> {
        if paths.is_empty() {
            return Ok(BTreeSet::new());
        }
        let rules =
            tempfile::tempdir_in(self.scratch.dir()).map_err(Error::io("write in", self.scratch.dir()))?;
        let mut listed = self.scratch.reading(&self.repo);
        listed.args(["ls-tree", "-r", "-z", tree.as_str()]);
        let mut reader = BlobReader::start(self.scratch.reading(&self.repo))?;
        for line in exec::checked(&mut listed, None)?.split(|b| *b == 0) {
            let Some(tab) = line.iter().position(|b| *b == b'\t') else { continue };
            let (meta, path) = (line.get(..tab).unwrap_or_default(), line.get(tab + 1..).unwrap_or_default());
            // Git does not follow a `.gitignore` that is a link either.
            if split(path).1 != b".gitignore" || !meta.starts_with(b"100") || !is_plain(path) {
                continue;
            }
            let oid = Oid::parse_bytes(meta.rsplit(|b| *b == b' ').next().unwrap_or_default())?;
            let at = rules.path().join(OsStr::from_bytes(path));
            if let Some(folder) = at.parent() {
                fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
            }
            reader.read(&oid, |_, content| {
                let mut file = fs::File::create(&at).map_err(Error::io("write", &at))?;
                std::io::copy(content, &mut file).map_err(Error::io("write", &at)).map(drop)
            })?;
        }
        self.borrow_info()?;
        let mut cmd = self.scratch.reading(&self.repo);
        cmd.current_dir(rules.path()).env("GIT_WORK_TREE", rules.path());
        // The one command that refuses literal paths: a `./` before each keeps `:(…)` from meaning something.
        cmd.env_remove("GIT_LITERAL_PATHSPECS");
        cmd.args(["-c", "core.bare=false"]);
        if let Some(file) = self.user_file("core.excludesFile", "ignore")? {
            let mut setting = std::ffi::OsString::from("core.excludesFile=");
            setting.push(file);
            cmd.arg("-c").arg(setting);
        }
        cmd.args(["check-ignore", "--no-index", "-z", "--stdin"]);
        let mut input = Vec::new();
        for path in paths {
            input.extend([b"./", *path, b"\0"].concat());
        }
        let done = exec::run(&mut cmd, Some(&input))?;
        match done.status.code() {
            Some(0 | 1) => {
                let names = done.stdout.split(|b| *b == 0).filter_map(|name| name.strip_prefix(b"./"));
                Ok(names.map(<[u8]>::to_vec).collect())
            }
            _ => Err(exec::failure(&cmd, done.status, &done.stderr)),
        }
    }

    /// Copies the repository's own `info/exclude` and `info/attributes`, which can name no program, into the scratch folder.
    pub(crate) fn borrow_info(&self) -> Result<()> {
        for name in ["exclude", "attributes"] {
            let from = self.repo.common_dir().join("info").join(name);
            let to = self.scratch.dir().join("info").join(name);
            match open_plain(&from)? {
                Some(mut file) => {
                    let mut content = Vec::new();
                    file.read_to_end(&mut content).map_err(Error::io("read", &from))?;
                    write_atomically(&to, &content)?;
                }
                None => match fs::remove_file(&to) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::io("remove", &to)(e));
                    }
                    _ => {}
                },
            }
        }
        Ok(())
    }

    /// A file that the user's configuration names, or the one in its usual place.
    pub(crate) fn user_file(&self, key: &str, usual: &str) -> Result<Option<PathBuf>> {
        let mut cmd = self.repo.command();
        cmd.args(["config", "--type=path", "-z", "--get", key]);
        let done = exec::run(&mut cmd, None)?;
        match done.status.code() {
            Some(0) => {
                let value = done.stdout.strip_suffix(b"\0").unwrap_or(&done.stdout);
                Ok((!value.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(value))))
            }
            Some(1) => {
                let git = self.repo.git();
                let set = |name| git.var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
                let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
                Ok(config.map(|config| config.join("git").join(usual)))
            }
            _ => Err(exec::failure(&cmd, done.status, &done.stderr)),
        }
    }
}
