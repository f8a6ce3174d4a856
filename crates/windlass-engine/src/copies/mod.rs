//! Plain copies in a run's folder, for people and agents: goal, results, transcripts, differences, summary.
//!
//! None of them is the truth of anything: the journal, the spools and the kept trees are. A copy that is missing, damaged or of an
//! earlier moment is made again from those. It is written under its name as a whole, and never makes a folder of a removed run appear
//! again.
//!
//! | copy | made from | how it is judged |
//! | --- | --- | --- |
//! | `goal.md`, `script.json` | the journal | by their bytes |
//! | `results/TASK.N.md` | the spool of the attempt | by the hash in the journal |
//! | `transcripts/TASK.N.md` | the spool, by its runtime's parser | by its own last line: what it was made from, hash of the rest |
//! | `diffs/RUN.diff`, `diffs/TASK.diff` | the kept trees | the same |
//! | `summary.md` | the journal, and git for the changed files | the same; it is written last |
//!
//! A command that ended well and wrote little has no transcript: its result says the same. A run or task that changed nothing has no
//! difference.

mod diffs;
mod given;
mod seal;
mod summary;
mod transcript;

use crate::driver::trees;
use crate::files;
use crate::paths::RunDir;
use diffs::Diffs;
use seal::Style;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use windlass_core::Run;
use windlass_core::task::{Attempt, Task};
use windlass_events::event::ResultRef;
use windlass_events::{AttemptStatus, RunId, RunStatus, TaskId};
use windlass_git::{Git, Segment};

/// A spool of a command that ended well is worth a transcript from this size on, in bytes.
const COMMAND_WORTH: u64 = 8 << 10;

const TRANSCRIPTS: &str = "transcripts";
const DIFFS: &str = "diffs";
/// The last copy that is written: where it is, the others are.
pub(crate) const SUMMARY: &str = "summary.md";

/// What was done about the copies of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Names under the run's folder of what was written.
    pub written: Vec<String>,
    /// Names of what could not be, and why.
    pub failed: Vec<(String, String)>,
}

/// Which copies are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Those that the run itself lives on.
    Given,
    /// Those that are only read by people and agents.
    Made,
}

/// A copy that should be there.
struct Copy<'a> {
    name: String,
    kind: Kind<'a>,
    /// What it is made from, for its seal; empty for those that the journal knows.
    key: String,
}

enum Kind<'a> {
    /// Bytes of the journal.
    Bytes(&'a [u8]),
    Result(&'a Task, &'a Attempt, &'a ResultRef),
    Transcript(&'a Task, &'a Attempt),
    /// Of a task, or of the run.
    Diff(Option<&'a TaskId>, Vec<Segment>),
    /// With what the run changed.
    Summary(Vec<Segment>),
}

/// Whether a run has come to a place where its summary is due: it has ended, or waits for a person to change something.
pub fn is_due(run: &Run) -> bool {
    run.is_ended() || run.status() == RunStatus::Blocked
}

/// The names of all copies of a run that are missing, damaged, or of an earlier moment.
pub fn wrong(run: &Run, dir: &RunDir) -> Vec<String> {
    let all = [Which::Given, Which::Made].into_iter().flat_map(|which| copies(run, dir, which));
    all.filter(|copy| !copy.is_intact(dir)).map(|copy| copy.name).collect()
}

/// Writes again whatever copy of a run is [`wrong`]. `project` is the project's folder.
pub fn mend(run: &Run, dir: &RunDir, project: &Path, git: Option<&Git>) -> Done {
    for folder in ["", "results", "prompts", TRANSCRIPTS, DIFFS] {
        files::remove_unfinished(&dir.0.join(folder));
    }
    let mut done = write(run, dir, project, git, Which::Given);
    let made = write(run, dir, project, git, Which::Made);
    done.written.extend(made.written);
    done.failed.extend(made.failed);
    done
}

/// Writes what people and agents read of a run that has ended or is blocked.
pub(crate) fn keep(run: &Run, dir: &RunDir, project: &Path, git: Option<&Git>) -> Done {
    write(run, dir, project, git, Which::Made)
}

/// Makes sure of what the next attempts of a run are given. Looks at nothing else.
pub(crate) fn mend_given(run: &Run, dir: &RunDir) -> Done {
    // Neither git nor the project's folder is needed for these.
    write(run, dir, Path::new(""), None, Which::Given)
}

/// Writes the transcript of one attempt that is over, unless it is there or not worth one.
///
/// # Errors
/// In words.
pub(crate) fn keep_transcript(
    run: RunId,
    task: &Task,
    attempt: &Attempt,
    dir: &RunDir,
) -> Result<(), String> {
    match transcript_of(task, attempt, dir) {
        Some(copy) if !copy.is_intact(dir) => copy.transcript(run, dir, task, attempt),
        _ => Ok(()),
    }
}

fn write(run: &Run, dir: &RunDir, project: &Path, git: Option<&Git>, which: Which) -> Done {
    let mut done = Done::default();
    let mut diffs = Diffs::new(run, git, project);
    for copy in copies(run, dir, which) {
        if copy.is_intact(dir) {
            continue;
        }
        match copy.make(run, dir, &mut diffs) {
            Ok(()) => done.written.push(copy.name),
            Err(why) => done.failed.push((copy.name, why)),
        }
    }
    done
}

/// The copies that a run should have, in the order of their making.
fn copies<'a>(run: &'a Run, dir: &RunDir, which: Which) -> Vec<Copy<'a>> {
    match which {
        Which::Given => given(run),
        Which::Made => made(run, dir),
    }
}

fn given(run: &Run) -> Vec<Copy<'_>> {
    let copy = |name: &str, kind| Copy { name: name.to_owned(), kind, key: String::new() };
    let mut all = vec![copy("goal.md", Kind::Bytes(run.spec.goal.as_bytes()))];
    all.extend(run.spec.script.as_ref().map(|s| copy("script.json", Kind::Bytes(s.as_bytes()))));
    for task in &run.tasks {
        for attempt in &task.attempts {
            let result = attempt.end.as_ref().and_then(|e| e.result.as_ref());
            all.extend(result.map(|r| copy(&r.path, Kind::Result(task, attempt, r))));
        }
    }
    all
}

fn made<'a>(run: &'a Run, dir: &RunDir) -> Vec<Copy<'a>> {
    let attempts = run.tasks.iter().flat_map(|t| t.attempts.iter().map(move |a| (t, a)));
    let mut all: Vec<Copy<'a>> = attempts.filter_map(|(t, a)| transcript_of(t, a, dir)).collect();
    if !is_due(run) {
        return all;
    }
    let segments = |task| trees::segments(run, task).unwrap_or_default();
    let writers = run.tasks.iter().filter(|t| !t.kept.is_empty() || t.touched.is_some());
    // The run's own comes last: what one task alone changed is the same.
    for task in writers.map(|t| Some(&t.spec.id)).chain([None]) {
        let segments = segments(task);
        if !segments.is_empty() {
            let name = task.map_or_else(|| run.id.as_str(), TaskId::as_str);
            let key = diffs::key(&segments);
            all.push(Copy { name: format!("{DIFFS}/{name}.diff"), kind: Kind::Diff(task, segments), key });
        }
    }
    let key = format!("{} events", run.seq);
    all.push(Copy { name: SUMMARY.to_owned(), kind: Kind::Summary(segments(None)), key });
    all
}

/// The transcript that an attempt should have.
fn transcript_of<'a>(task: &'a Task, attempt: &'a Attempt, dir: &RunDir) -> Option<Copy<'a>> {
    if matches!(attempt.status, AttemptStatus::Running | AttemptStatus::Voided) {
        return None;
    }
    let bytes = std::fs::metadata(dir.spool(&task.spec.id, attempt.n)).ok()?.len();
    let well = attempt.end.as_ref().is_some_and(|e| e.outcome.is_clean());
    if !task.spec.runtime.is_model() && well && bytes < COMMAND_WORTH {
        return None;
    }
    let file = format!("{}.{}", task.spec.id, attempt.n);
    Some(Copy {
        name: format!("{TRANSCRIPTS}/{file}.md"),
        key: format!("{bytes} bytes in attempts/{file}"),
        kind: Kind::Transcript(task, attempt),
    })
}

impl Copy<'_> {
    fn is_intact(&self, dir: &RunDir) -> bool {
        let path = dir.0.join(&self.name);
        match &self.kind {
            Kind::Bytes(bytes) => files::holds(&path, bytes),
            Kind::Result(_, _, result) => given::is_result(&path, result),
            Kind::Diff(..) => seal::is_intact(&path, Style::Patch, &self.key),
            Kind::Transcript(..) | Kind::Summary(_) => seal::is_intact(&path, Style::Markdown, &self.key),
        }
    }

    fn make(&self, run: &Run, dir: &RunDir, diffs: &mut Diffs<'_>) -> Result<(), String> {
        match &self.kind {
            Kind::Bytes(bytes) => files::write(&dir.0.join(&self.name), bytes).map_err(|e| e.to_string()),
            Kind::Result(task, attempt, result) => given::again(dir, task, attempt, result),
            Kind::Transcript(task, attempt) => self.transcript(run.id, dir, task, attempt),
            Kind::Diff(task, segments) => {
                let patch = diffs.patch(*task, segments).map_err(|e| e.to_string())?;
                self.seal(dir, Style::Patch, patch)
            }
            Kind::Summary(segments) => {
                let changed = run.spec.tree.git.then(|| diffs.files(segments)).flatten();
                self.seal(dir, Style::Markdown, summary::summary(run, dir, changed.as_ref()))
            }
        }
    }

    fn transcript(&self, run: RunId, dir: &RunDir, task: &Task, attempt: &Attempt) -> Result<(), String> {
        let spool = dir.spool(&task.spec.id, attempt.n);
        let text = transcript::transcript(run, task, attempt, &spool).map_err(|e| e.to_string())?;
        self.seal(dir, Style::Markdown, text)
    }

    /// Writes a copy that says by itself whether it is whole.
    fn seal(&self, dir: &RunDir, style: Style, body: Vec<u8>) -> Result<(), String> {
        let path = dir.0.join(&self.name);
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
            // Not its parents: the folder of a run that was removed stays away.
            let made = std::fs::DirBuilder::new().mode(0o700).create(folder);
            made.or_else(|e| if folder.is_dir() { Ok(()) } else { Err(e) }).map_err(|e| e.to_string())?;
        }
        files::write(&path, &seal::sealed(style, body, &self.key)).map_err(|e| e.to_string())
    }
}
