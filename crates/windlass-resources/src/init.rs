//! The only commands that write into a repository: `init` and `new`. Each says what it would write before it writes.

use crate::diag::{Diagnostic, quote};
use crate::gates::Detected;
use crate::skill::is_skill_name;
use crate::source::{Kind, name_problem};
use serde::Serialize;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A file that would be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedFile {
    /// Absolute path.
    pub path: PathBuf,
    /// Its whole content.
    pub contents: String,
    /// Whether a file is there already. It stays as it is.
    pub exists: bool,
}

/// Files that would be written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FilePlan {
    /// In the order they would be written.
    pub files: Vec<PlannedFile>,
}

impl FilePlan {
    fn add(&mut self, path: PathBuf, contents: String) {
        let exists = path.symlink_metadata().is_ok();
        self.files.push(PlannedFile { path, contents, exists });
    }

    /// The files that are not there yet.
    pub fn new_files(&self) -> impl Iterator<Item = &PlannedFile> {
        self.files.iter().filter(|f| !f.exists)
    }

    /// Writes the files that are not there yet. Nothing is ever overwritten, and no link is followed out of `root`.
    ///
    /// # Errors
    /// The first that cannot be written; those before it stay.
    pub fn write(&self, root: &Path) -> io::Result<Vec<PathBuf>> {
        let mut written = Vec::new();
        for file in self.new_files() {
            let folder = file.path.parent().unwrap_or(root);
            fs::create_dir_all(folder)?;
            // `.windlass` of a hostile repository may be a link to anywhere.
            if !fs::canonicalize(folder)?.starts_with(fs::canonicalize(root)?) {
                return Err(io::Error::other(format!(
                    "{} leads out of {}",
                    folder.display(),
                    root.display()
                )));
            }
            let mut out = fs::OpenOptions::new().write(true).create_new(true).open(&file.path)?;
            out.write_all(file.contents.as_bytes())?;
            out.sync_all()?;
            written.push(file.path.clone());
        }
        Ok(written)
    }
}

/// What `init` would write into a project.
pub fn init(project: &Path, found: &[Detected]) -> FilePlan {
    let folder = project.join(".windlass");
    let mut plan = FilePlan::default();
    plan.add(folder.join("config.toml"), config_template(found));
    plan
}

/// A project's config file with its gates, and the other keys that a project may set, as comments.
fn config_template(found: &[Detected]) -> String {
    let mut out = String::from(
        "# Windlass, for this repository. Commit this file.\n\
         # Your own settings are in your user config (`windlass config path`); `windlass config list` shows what holds.\n\
         # Agents, teams, workflows and skills of this repository go beside this file: `windlass agents new NAME`.\n\
         \n[run]\n\
         # The checks that prove work done here, each one command for `sh -c`.\n",
    );
    if found.is_empty() {
        out.push_str(
            "# None was found. Name at least one, or results stay unproven.\n# gates = [\"make test\"]\n",
        );
    } else {
        for gate in found {
            let runs = gate
                .runs
                .as_deref()
                .map(|r| format!(", which runs `{}`", crate::diag::escape(&one_line(r))))
                .unwrap_or_default();
            let _ = writeln!(out, "# {}: found by {}{runs}", gate.command, gate.evidence);
        }
        let commands: toml_edit::Array = found.iter().map(|g| g.command.as_str()).collect();
        let _ = writeln!(out, "gates = {}", toml_edit::Value::from(commands));
    }
    out.push_str(
        "# gate_timeout = \"10m\"\n\n# Limits: a repository can make them tighter than a user's own.\n",
    );
    out.push_str("# budget_usd = 5\n# timeout = \"2h\"\n# repair_rounds = 2\n# require_proof = true\n");
    out
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What `new` would write: a file to start from, in the given folder of resources (`.windlass` of a project, or the user's own).
///
/// # Errors
/// The name cannot be one, or is taken there.
pub fn new_resource(kind: Kind, name: &str, folder: &Path) -> Result<FilePlan, Box<Diagnostic>> {
    let problem = match kind {
        Kind::Skill if !is_skill_name(name) => Some("may hold only letters, digits, `_` and `-`"),
        _ => name_problem(name),
    };
    if let Some(problem) = problem {
        return Err(Box::new(Diagnostic::error("bad-name", format!("the name {} {problem}", quote(name)))));
    }
    // These become parts of lines of other files.
    if name.chars().any(|c| c.is_whitespace() || matches!(c, ':' | ',' | '#' | '"' | '\'' | '=')) {
        return Err(Box::new(
            Diagnostic::error(
                "bad-name",
                format!("the name {} holds white space or punctuation", quote(name)),
            )
            .help("use letters, digits and dashes"),
        ));
    }
    let path = folder.join(kind.file(name));
    let mut plan = FilePlan::default();
    plan.add(path.clone(), template(kind, name));
    if plan.files[0].exists {
        return Err(Box::new(
            Diagnostic::error("name-taken", format!("{kind} {} is there already", quote(name)))
                .in_file(path.display().to_string())
                .help(format!("`windlass {} edit {name}` opens it", kind.folder())),
        ));
    }
    Ok(plan)
}

fn template(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Agent => format!(
            "---\nname: {name}\ndescription: One line that says when to use it\n# Without this line every tool is allowed. An agent without `edit` and `write` only reads.\ntools: read, grep, find, ls, bash, edit, write\n# model: provider/id\n# thinking: medium\n# skills: safe-bash\ninheritProjectContext: true\n---\nYou do one thing well: say which.\n\nHow you work:\n- What to look at first.\n- What a good result is, and how you check it.\n- What you never do. Do not commit, push, stash or switch branches.\n\nYour last message is all that is passed on. Say what it holds, in which order.\n"
        ),
        Kind::Team => format!(
            "---\nname: {name}\ndescription: One line that says when to use it\ndefaultWorkflow: default\nmaxConcurrency: 2\n# triggers: words of a goal that call for this team\n---\nA role per line: its name, then `agent=` when the agent is called otherwise, `model=`, `skills=`, `maxConcurrency=`.\n\n- explorer: maps what the goal touches\n- planner: writes the plan\n- executor: makes the change\n- verifier: judges the result\n"
        ),
        Kind::Workflow => format!(
            "---\nname: {name}\ndescription: One line that says what it does\n---\n## explore\nrole: explorer\n\nMap what this goal touches:\n\n{{goal}}\n\n## execute\nrole: executor\ndependsOn: explore\n\nMake the change so that this goal is met:\n\n{{goal}}\n\n## verify\nrole: verifier\ndependsOn: execute\nverify: true\n\nDecide whether this goal has been met:\n\n{{goal}}\n"
        ),
        Kind::Skill => format!(
            "---\nname: {name}\ndescription: One line that says what it teaches\n---\n- A rule, and when it applies.\n- How to see that it was kept.\n"
        ),
    }
}
