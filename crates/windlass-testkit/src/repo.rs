//! Temporary git repositories with a fixed identity and no settings but their own.

use crate::{must, process};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What of a working tree can be compared byte by byte: per path its kind or permission bits, and its content.
pub type Snapshot = BTreeMap<PathBuf, (String, Vec<u8>)>;

/// A git repository in a temporary folder, removed when dropped.
#[derive(Debug)]
pub struct TempRepo {
    folder: TempDir,
    path: PathBuf,
}

impl TempRepo {
    /// An empty repository on branch `main`.
    pub fn new() -> Self {
        let repo = Self::without_git();
        repo.git(["init", "--quiet", "--initial-branch=main"]);
        // In the repository itself, so that programs under test that commit do it without a person's settings.
        repo.git(["config", "user.name", "Test"]);
        repo.git(["config", "user.email", "test@example.com"]);
        repo.git(["config", "commit.gpgsign", "false"]);
        repo
    }

    /// A folder that is no repository, for what must be said then.
    pub fn without_git() -> Self {
        let folder = must(tempfile::Builder::new().prefix("windlass-repo-").tempdir(), "no temporary folder");
        let path =
            must(folder.path().canonicalize(), "the temporary folder has no real path").join("project");
        must(fs::create_dir(&path), "cannot make the project folder");
        Self { folder, path }
    }

    /// A repository whose test, `./test.sh`, fails until `greeting.txt` says `hello`: no language, no tools but `sh`.
    /// One commit, clean.
    pub fn failing_shell() -> Self {
        let repo = Self::new();
        repo.write("greeting.txt", "goodbye\n");
        repo.write("README.md", "# Greeting\n\n`./test.sh` checks that `greeting.txt` greets.\n");
        repo.write_executable(
            "test.sh",
            "#!/bin/sh\n\
             # Fails until the greeting is right.\n\
             if [ \"$(cat greeting.txt)\" = hello ]; then\n\
             \techo \"ok - the greeting is hello\"\n\
             else\n\
             \techo \"not ok - expected hello, found $(cat greeting.txt)\"\n\
             \texit 1\n\
             fi\n",
        );
        repo.commit("a greeting and its test");
        repo
    }

    /// A Cargo project without dependencies whose one unit test fails until `src/lib.rs` adds instead of subtracting.
    /// One commit, clean.
    pub fn failing_cargo() -> Self {
        let repo = Self::new();
        repo.write(
            "Cargo.toml",
            "[package]\nname = \"adder\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n",
        );
        repo.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"adder\"\nversion = \"0.1.0\"\n");
        repo.write(".gitignore", "/target\n");
        repo.write(
            "src/lib.rs",
            "pub fn add(a: i64, b: i64) -> i64 {\n    a - b\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn adds() {\n        assert_eq!(super::add(2, 2), 4);\n    }\n}\n",
        );
        repo.commit("an adder and its test");
        repo
    }

    /// The root of the working tree, with symbolic links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder beside the repository, removed with it.
    pub fn beside(&self) -> PathBuf {
        must(self.folder.path().canonicalize(), "the temporary folder is gone")
    }

    /// Writes a file, making its folders.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(path);
        if let Some(parent) = path.parent() {
            must(fs::create_dir_all(parent), format_args!("cannot make {}", parent.display()));
        }
        must(fs::write(&path, content), format_args!("cannot write {}", path.display()));
        path
    }

    /// Writes a file that can be executed.
    pub fn write_executable(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(path, content);
        self.set_mode(&path, 0o755);
        path
    }

    /// Sets a file's permission bits.
    pub fn set_mode(&self, path: impl AsRef<Path>, mode: u32) {
        let path = self.path.join(path);
        let permissions = fs::Permissions::from_mode(mode);
        must(
            fs::set_permissions(&path, permissions),
            format_args!("cannot set the mode of {}", path.display()),
        );
    }

    /// Reads a file as text.
    #[track_caller]
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.path.join(path);
        must(fs::read_to_string(&path), format_args!("cannot read {}", path.display()))
    }

    /// Adds everything and commits it; gives the commit's id.
    pub fn commit(&self, message: &str) -> String {
        self.git(["add", "--all"]);
        self.git(["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head()
    }

    /// The id of HEAD's commit.
    pub fn head(&self) -> String {
        self.git(["rev-parse", "HEAD"]).trim_end().to_owned()
    }

    /// `git status` for machines, untracked files listed one by one: empty when the tree is clean.
    pub fn status(&self) -> String {
        self.git(["status", "--porcelain", "--untracked-files=all"])
    }

    /// Runs git in the repository and gives its standard output; panics when it fails.
    #[track_caller]
    pub fn git<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let mut command = clean_git(&self.path);
        command.args(args);
        process::run(command, b"").expect_code(0).out()
    }

    /// Whether `./test.sh` is green.
    pub fn test_is_green(&self) -> bool {
        let mut command = Command::new("sh");
        command.arg("test.sh").current_dir(&self.path);
        process::run(command, b"").code == Some(0)
    }

    /// Every file, link and empty folder outside `.git`.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        collect(&self.path, Path::new(""), &mut snapshot);
        snapshot
    }

    /// Leaves the tree as dirty as people leave theirs: a staged edit, an unstaged edit, a deletion, a rename, a mode
    /// change, untracked text and binary files, and odd names. Commits what that needs first.
    pub fn make_dirty(&self) {
        for name in ["staged.txt", "edited.txt", "deleted.txt", "renamed.txt", "mode.sh"] {
            self.write(name, format!("{name}: as committed\n"));
        }
        self.write("binary.dat", [0, 159, 146, 150, 0, 255]);
        self.commit("files to make dirty");
        self.write("staged.txt", "staged\n");
        self.git(["add", "staged.txt"]);
        self.write("staged.txt", "staged, then edited again\n");
        self.write("edited.txt", "edited, without a final line break");
        must(fs::remove_file(self.path.join("deleted.txt")), "cannot delete");
        self.git(["mv", "renamed.txt", "new name.txt"]);
        self.set_mode("mode.sh", 0o755);
        self.write("binary.dat", [255, 0, 254, 10, 13, 10]);
        self.write("untracked/deep/file.txt", "untracked\n");
        self.write("untracked/\u{fc}ml\u{e4}ut \"quoted\"\ttab.txt", "odd name\n");
        self.write("-dash", "a name like an option\n");
        self.write(OsStr::from_bytes(b"not-utf8-\xff.bin"), [0xff, 0xfe]);
        must(std::os::unix::fs::symlink("edited.txt", self.path.join("link")), "cannot make a link");
    }
}

impl Default for TempRepo {
    fn default() -> Self {
        Self::new()
    }
}

fn collect(root: &Path, under: &Path, into: &mut Snapshot) {
    let folder = root.join(under);
    for entry in must(fs::read_dir(&folder), format_args!("cannot list {}", folder.display())) {
        let entry = must(entry, "cannot list a folder");
        let path = under.join(entry.file_name());
        if path == Path::new(".git") {
            continue;
        }
        let full = root.join(&path);
        let meta = must(fs::symlink_metadata(&full), format_args!("cannot look at {}", full.display()));
        if meta.is_symlink() {
            let target = must(fs::read_link(&full), "cannot read a link");
            into.insert(path, ("link".into(), target.as_os_str().as_bytes().to_vec()));
        } else if meta.is_dir() {
            if must(fs::read_dir(&full), "cannot list a folder").next().is_none() {
                into.insert(path.clone(), ("folder".into(), Vec::new()));
            }
            collect(root, &path, into);
        } else {
            let content = must(fs::read(&full), format_args!("cannot read {}", full.display()));
            into.insert(path, (format!("{:o}", meta.permissions().mode() & 0o777), content));
        }
    }
}

/// `git` in `folder`, with nothing of the person who runs the tests: no settings, no variables, no prompts, fixed
/// dates.
pub fn clean_git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.as_bytes().starts_with(b"GIT_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z")
        .env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z");
    command
}
