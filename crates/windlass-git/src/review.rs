//! The difference that a review without a goal looks at: what is not committed, else the branch against its base.
//!
//! Unlike kept states this is compared as git itself would, with the end-of-line settings and attributes of the user, so
//! that a checkout with other line ends is not all difference. It runs in the scratch folder on a copy of the user's
//! index: filters, which are programs, do not run, and submodules, whose configuration could name more, are not entered.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Command;

use crate::diff::{DiffOptions, DiffText, Segment};
use crate::error::{Error, Result};
use crate::exec;
use crate::keeper::Keeper;
use crate::list::list;
use crate::repo::Base;
use crate::scratch::open_plain;

/// Settings of the user that say how files on disk relate to blobs, and name no program.
const CONVERSION: &[&str] = &[
    "core.autocrlf",
    "core.eol",
    "core.filemode",
    "core.symlinks",
    "core.ignorecase",
    "core.precomposeunicode",
    "core.checkstat",
    "core.trustctime",
];

/// What a review looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReviewKind {
    /// Changes that are not committed, untracked files among them.
    Uncommitted,
    /// The commits of the branch since its base.
    Branch(Base),
    /// There is neither.
    Nothing,
}

/// The difference to review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// What it is.
    pub kind: ReviewKind,
    /// The same in words, to stand before it.
    pub description: String,
    /// Unified diff.
    pub diff: DiffText,
}

impl Keeper {
    /// Whether something is not committed: a tracked file that differs from HEAD in index or tree, or an untracked one.
    ///
    /// # Errors
    /// When git fails.
    pub fn uncommitted(&self) -> Result<bool> {
        if list(&self.repo)?.files.iter().any(|file| !file.tracked) {
            return Ok(true);
        }
        self.copy_index()?;
        let mut cmd = self.against_head(self.repo.head_commit()?.map(|oid| oid.to_string()))?;
        cmd.arg("--quiet").arg("--");
        let done = exec::run(&mut cmd, None)?;
        match done.status.code() {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(exec::failure(&cmd, done.status, &done.stderr)),
        }
    }

    /// What a review without a goal looks at: the uncommitted changes, else the branch against its base.
    ///
    /// # Errors
    /// When git fails.
    pub fn diff_for_review(&self, max_bytes: Option<u64>) -> Result<Review> {
        let head = self.repo.head()?;
        let diff = self.uncommitted_diff(head.commit.as_ref().map(|oid| oid.to_string()), max_bytes)?;
        if !diff.bytes.is_empty() || diff.truncated {
            let description = "the changes that are not committed, untracked files among them".to_owned();
            return Ok(Review { kind: ReviewKind::Uncommitted, description, diff });
        }
        let nothing = |description: &str| Review {
            kind: ReviewKind::Nothing,
            description: description.to_owned(),
            diff: DiffText::default(),
        };
        let Some(commit) = head.commit else { return Ok(nothing("there is no commit and no file yet")) };
        let Some(base) = self.repo.default_base()? else {
            return Ok(nothing("everything is committed, and there is no branch to compare with"));
        };
        let tree = |commit: &str| -> Result<_> {
            let name = format!("{commit}^{{tree}}");
            self.repo.resolve(&name)?.ok_or(Error::BadOid(name))
        };
        let pair = Segment { before: tree(base.commit.as_str())?, after: tree(commit.as_str())? };
        if pair.before == pair.after {
            return Ok(nothing(&format!("everything is committed and nothing differs from {}", base.name)));
        }
        let options = DiffOptions { max_bytes, ..DiffOptions::default() };
        let diff = self.diff_text(&[pair], &options)?;
        let branch = head.branch.as_deref().unwrap_or("HEAD");
        let short = base.commit.as_str().get(..12).unwrap_or_default();
        let description = format!("the commits of {branch} since it parted from {} at {short}", base.name);
        Ok(Review { kind: ReviewKind::Branch(base), description, diff })
    }

    fn uncommitted_diff(&self, head: Option<String>, max_bytes: Option<u64>) -> Result<DiffText> {
        let untracked: Vec<Vec<u8>> =
            list(&self.repo)?.files.into_iter().filter(|file| !file.tracked).map(|file| file.path).collect();
        self.copy_index()?;
        if !untracked.is_empty() {
            // Known to the copy, without content: so a difference shows them as new.
            let mut cmd = self.in_copy()?;
            cmd.args(["add", "--intent-to-add", "--force", "--ignore-errors"]);
            cmd.args(["--pathspec-from-file=-", "--pathspec-file-nul"]);
            // A name that git cannot hold is an error after all others were added.
            exec::run(&mut cmd, Some(&untracked.join(&0)))?;
        }
        let mut cmd = self.against_head(head)?;
        cmd.args(["-p", "-M", "--color=never", "--src-prefix=a/", "--dst-prefix=b/", "--"]);
        let done = exec::run_limited(&mut cmd, None, max_bytes)?;
        if !done.status.success() && !done.truncated {
            return Err(exec::failure(&cmd, done.status, &done.stderr));
        }
        Ok(DiffText { bytes: done.stdout, truncated: done.truncated })
    }

    /// Copies the user's index, with the time it was written: by that git knows which of its entries it may trust.
    fn copy_index(&self) -> Result<()> {
        let to = self.scratch.dir().join("index");
        let from = self.repo.git_dir().join("index");
        self.scratch.tidy("sharedindex.");
        for entry in fs::read_dir(self.repo.git_dir()).into_iter().flatten().flatten() {
            // The other half of a split index.
            if entry.file_name().as_bytes().starts_with(b"sharedindex.") {
                self.copy(&entry.path(), &self.scratch.dir().join(entry.file_name()))?;
            }
        }
        if !self.copy(&from, &to)? {
            // No index: nothing was ever added.
            match fs::remove_file(&to) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &to)(e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Copies a file with its time; `false` when there is none.
    fn copy(&self, from: &Path, to: &Path) -> Result<bool> {
        let Some(mut source) = open_plain(from)? else { return Ok(false) };
        let copied = source.metadata().and_then(|meta| meta.modified()).and_then(|time| {
            let mut copy = tempfile::NamedTempFile::new_in(self.scratch.dir())?;
            std::io::copy(&mut source, copy.as_file_mut())?;
            copy.as_file().set_modified(time)?;
            copy.persist(to).map_err(|e| e.error)
        });
        copied.map(|_| true).map_err(Error::io("copy", from))
    }

    /// A call in the user's working tree with the copied index.
    fn in_copy(&self) -> Result<Command> {
        self.borrow_info()?;
        let mut asked = self.repo.command();
        asked.args(["config", "-z", "--get-regexp", "^core\\."]);
        let done = exec::run(&mut asked, None)?;
        let mut cmd = self.scratch.reading(&self.repo);
        cmd.current_dir(self.repo.top()).env("GIT_WORK_TREE", self.repo.top());
        cmd.env("GIT_INDEX_FILE", self.scratch.dir().join("index"));
        cmd.args(["-c", "core.bare=false", "-c", "core.safecrlf=false"]);
        for record in done.stdout.split(|b| *b == 0) {
            let mut parts = record.splitn(2, |b| *b == b'\n');
            let key = parts.next().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
            if CONVERSION.contains(&key) {
                // A key without a value is "true", with and without `=`.
                let value = parts.next().map(|value| [b"=", value].concat()).unwrap_or_default();
                let setting = std::ffi::OsString::from_vec([key.as_bytes(), &value].concat());
                cmd.arg("-c").arg(setting);
            }
        }
        if let Some(file) = self.user_file("core.attributesFile", "attributes")? {
            let setting = [b"core.attributesFile=", file.as_os_str().as_bytes()].concat();
            cmd.arg("-c").arg(OsStr::from_bytes(&setting));
        }
        Ok(cmd)
    }

    /// `git diff` of the working tree, through the copied index, against HEAD or nothing.
    fn against_head(&self, head: Option<String>) -> Result<Command> {
        let head = match head {
            Some(head) => head,
            None => crate::trees::root(&crate::trees::build(
                self.scratch.reading(&self.repo),
                &crate::trees::Entries::new(),
                None,
            )?)?
            .to_string(),
        };
        let mut cmd = self.in_copy()?;
        cmd.args(["diff", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all", &head]);
        Ok(cmd)
    }
}
