//! Finding a repository, and the cheap questions about it: HEAD, branch, base, identity.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::exec;
use crate::found::Place;
use crate::git::Git;
use crate::oid::Oid;

/// What `rev-parse` is asked for, in the order of [`Place`]'s fields.
const PATHS: [&str; 3] = ["--show-toplevel", "--git-dir", "--git-common-dir"];

/// A working tree and its repository. All later calls go to exactly these folders, whatever becomes of the `.git` in
/// the tree.
#[derive(Debug, Clone)]
pub struct Repo {
    git: Git,
    place: Place,
}

/// Where HEAD is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Short name of the branch; `None` when detached. An unborn branch has a name too.
    pub branch: Option<String>,
    /// The commit; `None` when the branch is unborn.
    pub commit: Option<Oid>,
}

/// What a branch grew from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// What it was compared with, such as `origin/main`.
    pub name: String,
    /// The commit where the two parted.
    pub commit: Oid,
}

/// What makes a repository the same one, wherever it is asked from: all its worktrees share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Canonical git common directory, or the folder itself outside git.
    pub path: PathBuf,
    /// Device it is on.
    pub dev: u64,
    /// Its inode there.
    pub ino: u64,
}

impl Identity {
    /// Identity of a folder.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be found.
    pub fn of(folder: &Path) -> Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let path = folder.canonicalize().map_err(Error::io("find", folder))?;
        let meta = std::fs::metadata(&path).map_err(Error::io("look at", &path))?;
        Ok(Self { dev: meta.dev(), ino: meta.ino(), path })
    }

    /// Name of the project's state folder: see [`project_slug`].
    pub fn slug(&self) -> String {
        project_slug(&self.path)
    }
}

/// `<folder>-<hash>`: a readable name of the project and 12 hex digits of the BLAKE3 hash of the canonical path's bytes.
///
/// Takes a git common directory (the folder that holds `.git` gives the name) or any other folder. The result is made of
/// ASCII letters, digits, `.`, `_` and `-`, does not begin with `.` or `-`, and is at most 61 bytes long.
pub fn project_slug(canonical: &Path) -> String {
    let own = canonical.file_name().unwrap_or_default();
    let name = match own.as_bytes() {
        b".git" => canonical.parent().and_then(Path::file_name).unwrap_or_default().as_bytes(),
        bytes => bytes.strip_suffix(b".git").unwrap_or(bytes),
    };
    let mut clean = String::new();
    for c in String::from_utf8_lossy(name).chars() {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
        if !(c == '-' && clean.ends_with('-')) {
            clean.push(c);
        }
        if clean.len() >= 48 {
            break;
        }
    }
    let clean = clean.trim_start_matches(['.', '-']).trim_end_matches('-');
    let hash = blake3::hash(canonical.as_os_str().as_bytes()).to_hex();
    let hash = hash.get(..12).unwrap_or_default();
    format!("{}-{hash}", if clean.is_empty() { "project" } else { clean })
}

impl Repo {
    /// Finds the working tree that a folder is in; `None` outside git.
    ///
    /// # Errors
    /// A bare repository, the inside of a `.git`, a repository of another user (`safe.directory`), a broken one, and any
    /// other failure of git are errors, never "no repository".
    pub fn discover(git: &Git, dir: &Path) -> Result<Option<Self>> {
        let dir = dir.canonicalize().map_err(Error::io("find", dir))?;
        if let Some(place) = git.found().get(&dir) {
            return Ok(Some(Self { git: git.clone(), place }));
        }
        let mut asked = git.command(&dir);
        asked.args(["rev-parse", "--path-format=absolute", "--is-bare-repository", "--is-inside-git-dir"]);
        asked.args(["--is-inside-work-tree", "--show-object-format"]).args(PATHS);
        let answer = exec::run(&mut asked, None)?;
        let lines: Vec<&[u8]> = answer.stdout.split(|b| *b == b'\n').collect();
        match lines.as_slice() {
            [b"true", _, b"true" | b"false", ..] => return Err(Error::Bare { dir }),
            [_, b"true", b"true" | b"false", ..] => return Err(Error::InsideGitDir { dir }),
            _ if !answer.status.success() => return Self::refusal(&dir, &asked, &answer).map(|()| None),
            _ => {}
        }
        let format = match lines.get(3) {
            Some(&b"sha1") => "sha1",
            Some(&b"sha256") => "sha256",
            other => {
                let what = format!("object format {}", exec::shown(other.copied().unwrap_or_default()));
                return Err(Error::Answer { command: "rev-parse", what });
            }
        };
        let [top, git_dir, common_dir] = match lines.as_slice() {
            [_, _, _, _, top, git_dir, common_dir, b""] => {
                [top.to_vec(), git_dir.to_vec(), common_dir.to_vec()]
            }
            // A path holds a line feed, and `rev-parse` has no `-z`: one question each.
            _ => {
                let ask = |what: &str| -> Result<Vec<u8>> {
                    let mut asked = git.command(&dir);
                    let mut out =
                        exec::checked(asked.args(["rev-parse", "--path-format=absolute", what]), None)?;
                    out.pop();
                    Ok(out)
                };
                let [top, git_dir, common_dir] = PATHS.map(ask);
                [top?, git_dir?, common_dir?]
            }
        };
        let canonical = |path: Vec<u8>| {
            let path = PathBuf::from(OsStr::from_bytes(&path));
            path.canonicalize().map_err(Error::io("find", &path))
        };
        let place = Place {
            top: canonical(top)?,
            git_dir: canonical(git_dir)?,
            common_dir: canonical(common_dir)?,
            format: format.to_owned(),
        };
        git.found().put(&dir, &place);
        Ok(Some(Self { git: git.clone(), place }))
    }

    /// `Ok` when git says that there is no repository; the error otherwise.
    fn refusal(dir: &Path, asked: &Command, answer: &exec::Finished) -> Result<()> {
        let said = String::from_utf8_lossy(&answer.stderr);
        if said.contains("dubious ownership") {
            let named = said.split('\'').nth(1).map(PathBuf::from);
            return Err(Error::Unsafe { dir: named.unwrap_or_else(|| dir.to_path_buf()) });
        }
        if said.contains("not a git repository") {
            // `(or any of the parent directories)`, `(or any parent up to mount point …)`; with a path instead, a
            // `.git` file points to nothing.
            let at = dir.ancestors().map(|folder| folder.join(".git")).find(|at| {
                at.symlink_metadata()
                    .is_ok_and(|meta| !meta.is_dir() || at.join("HEAD").symlink_metadata().is_ok())
            });
            return match at {
                None if said.contains("(or any") => Ok(()),
                None => Err(exec::failure(asked, answer.status, &answer.stderr)),
                Some(at) => Err(Error::Broken { at, stderr: said.trim().to_owned() }),
            };
        }
        Err(exec::failure(asked, answer.status, &answer.stderr))
    }

    /// The git used.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Canonical path of the top of the working tree.
    pub fn top(&self) -> &Path {
        &self.place.top
    }

    /// Canonical path of this working tree's own git folder.
    pub fn git_dir(&self) -> &Path {
        &self.place.git_dir
    }

    /// Canonical path of the git folder that all worktrees of the repository share.
    pub fn common_dir(&self) -> &Path {
        &self.place.common_dir
    }

    /// `sha1` or `sha256`.
    pub(crate) fn format(&self) -> &str {
        &self.place.format
    }

    /// What makes this project the same one in all its worktrees.
    ///
    /// # Errors
    /// [`Error::Io`] when the git folder is gone.
    pub fn identity(&self) -> Result<Identity> {
        Identity::of(&self.place.common_dir)
    }

    /// A call of git in the user's repository. It reads the user's configuration, and may therefore only be given
    /// subcommands that touch no file content: with content come filters, which are programs.
    pub(crate) fn command(&self) -> Command {
        let mut cmd = self.git.command(&self.place.top);
        cmd.env("GIT_DIR", &self.place.git_dir).env("GIT_WORK_TREE", &self.place.top);
        cmd
    }

    /// Where HEAD is. One short call of git, or two where its file does not tell the branch.
    ///
    /// # Errors
    /// When git cannot tell.
    pub fn head(&self) -> Result<Head> {
        let commit = self.head_commit()?;
        let branch = match self.branch_by_file() {
            Some(branch) => branch,
            None => self.branch_by_git()?,
        };
        Ok(Head { branch, commit })
    }

    /// The branch as the file `HEAD` tells it; `None` where git has to be asked, as with references that are in no files.
    fn branch_by_file(&self) -> Option<Option<String>> {
        let file = self.place.git_dir.join("HEAD");
        let meta = file.symlink_metadata().ok()?;
        if !meta.is_file() || meta.len() > 4096 {
            return None;
        }
        let text = std::fs::read_to_string(file).ok()?;
        let text = text.strip_suffix('\n')?;
        if let Some(name) = text.strip_prefix("ref: refs/heads/") {
            let plain = !name.starts_with('.') && !name.contains(char::is_whitespace);
            return plain.then(|| Some(name.to_owned()));
        }
        Oid::parse(text).is_ok().then_some(None)
    }

    fn branch_by_git(&self) -> Result<Option<String>> {
        let mut asked = self.command();
        asked.args(["symbolic-ref", "-q", "HEAD"]);
        let answer = exec::run(&mut asked, None)?;
        match answer.status.code() {
            Some(0) => {
                let name = String::from_utf8_lossy(&answer.stdout);
                let name = name.trim_end_matches('\n');
                Ok(Some(name.strip_prefix("refs/heads/").unwrap_or(name).to_owned()))
            }
            Some(1) => Ok(None),
            _ => Err(exec::failure(&asked, answer.status, &answer.stderr)),
        }
    }

    /// The commit that HEAD is at; `None` when unborn.
    ///
    /// # Errors
    /// When git cannot tell, for example because HEAD names an object that is gone.
    pub fn head_commit(&self) -> Result<Option<Oid>> {
        self.resolve("HEAD")
    }

    /// Object that a name stands for, or `None` when there is no such name.
    pub(crate) fn resolve(&self, name: &str) -> Result<Option<Oid>> {
        let mut asked = self.command();
        asked.args(["rev-parse", "-q", "--verify", "--end-of-options", name]);
        let answer = exec::run(&mut asked, None)?;
        match answer.status.code() {
            Some(0) => Oid::parse_bytes(&answer.stdout).map(Some),
            Some(1) => Ok(None),
            _ => Err(exec::failure(&asked, answer.status, &answer.stderr)),
        }
    }

    /// What the current branch grew from: where it parted from its upstream, or from the main branch, whichever is first
    /// known of: an upstream of another name, `origin/HEAD`, `origin/main`, `origin/master`, `main`, `master`, an
    /// upstream of the same name. `None` when HEAD is unborn or nothing of the kind exists.
    ///
    /// # Errors
    /// When git fails.
    pub fn default_base(&self) -> Result<Option<Base>> {
        let head = self.head()?;
        let Some(commit) = head.commit else { return Ok(None) };
        let own = head.branch.as_deref();
        let upstream = if own.is_some() { self.full_name("@{upstream}")? } else { None };
        let same = |full: &str| {
            own.is_some_and(|own| full.strip_suffix(own).is_some_and(|rest| rest.ends_with('/')))
        };
        let mut candidates: Vec<String> = upstream.iter().filter(|full| !same(full)).cloned().collect();
        candidates.extend(self.full_name("refs/remotes/origin/HEAD")?);
        for name in ["remotes/origin/main", "remotes/origin/master", "heads/main", "heads/master"] {
            candidates.push(format!("refs/{name}"));
        }
        candidates.extend(upstream);
        for full in candidates {
            if own.is_some_and(|own| full.strip_prefix("refs/heads/") == Some(own)) {
                continue;
            }
            let Some(tip) = self.resolve(&format!("{full}^{{commit}}"))? else { continue };
            let mut asked = self.command();
            asked.args(["merge-base", commit.as_str(), tip.as_str()]);
            let answer = exec::run(&mut asked, None)?;
            match answer.status.code() {
                Some(0) => {
                    let name = ["refs/heads/", "refs/remotes/"].iter().find_map(|p| full.strip_prefix(p));
                    let name = name.unwrap_or(&full).to_owned();
                    return Ok(Some(Base { name, commit: Oid::parse_bytes(&answer.stdout)? }));
                }
                // No common ancestor.
                Some(1) => {}
                _ => return Err(exec::failure(&asked, answer.status, &answer.stderr)),
            }
        }
        Ok(None)
    }

    /// Full name of the reference that a name stands for.
    fn full_name(&self, name: &str) -> Result<Option<String>> {
        let mut asked = self.command();
        asked.args(["rev-parse", "-q", "--verify", "--symbolic-full-name", "--end-of-options", name]);
        let answer = exec::run(&mut asked, None)?;
        // "No upstream" is exit code 128 although the question was quiet; the name is only a wish, so any refusal is no.
        let name = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        Ok((answer.status.success() && name.starts_with("refs/")).then_some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_safe_names() {
        let slug = project_slug(Path::new("/home/u/My Project/.git"));
        let (name, hash) = slug.rsplit_once('-').unwrap();
        assert_eq!(name, "My-Project");
        assert_eq!(hash.len(), 12);
        assert_ne!(slug, project_slug(Path::new("/home/v/My Project/.git")));
        assert!(project_slug(Path::new("/srv/tool.git")).starts_with("tool-"));
        assert!(project_slug(Path::new("/")).starts_with("project-"));
        assert!(project_slug(Path::new("/x/.git")).starts_with("x-"));
        assert!(project_slug(Path::new("/.hidden")).starts_with("hidden-"));
        assert!(project_slug(Path::new("/ä\n../ß")).starts_with("project-"));
        let odd = project_slug(Path::new(OsStr::from_bytes(&[b'/', b'a', 0xff, b'\n', b'b'])));
        assert!(odd.starts_with("a-b-"), "{odd}");
        assert!(project_slug(Path::new(&format!("/{}", "n".repeat(300)))).len() <= 61);
    }
}
