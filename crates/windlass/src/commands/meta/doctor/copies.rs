//! Plain copies in the folders of runs: whether they are there and whole. Everything in them is elsewhere too, so none is worth a failure.

use super::Report;
use crate::context::Context;
use crate::host::version;
use std::path::Path;
use windlass_api::Client;
use windlass_core::Run;
use windlass_engine::{RunDir, copies};
use windlass_events::{Millis, RunId};
use windlass_view::human::plural;

/// How long after its last event an engine may be about to write the copies of a run, in milliseconds.
const SOON: Millis = 60_000;
/// How many copies are named.
const NAMED: usize = 3;

/// What was found in a project.
pub(super) struct Copies<'a> {
    context: &'a Context,
    project: &'a Path,
    fix: bool,
    /// Whether an engine is there, once that was asked.
    engine: Option<bool>,
    runs: u64,
    wrong: Vec<(RunId, String)>,
    written: u64,
    failed: Vec<(RunId, String, String)>,
}

impl<'a> Copies<'a> {
    pub(super) const fn new(context: &'a Context, project: &'a Path, fix: bool) -> Self {
        Self {
            context,
            project,
            fix,
            engine: None,
            runs: 0,
            wrong: Vec::new(),
            written: 0,
            failed: Vec::new(),
        }
    }

    /// Looks at a run, and writes again what is wrong when that is asked for.
    pub(super) fn look(&mut self, run: &Run) {
        if !copies::is_due(run) {
            return;
        }
        let dir = RunDir::of(self.project, run.id);
        let wrong = copies::wrong(run, &dir);
        if wrong.is_empty() || (!self.fix && self.is_being_written(run)) {
            return;
        }
        self.runs += 1;
        if !self.fix {
            self.wrong.extend(wrong.into_iter().map(|name| (run.id, name)));
            return;
        }
        let git = self.context.git();
        let done = copies::mend(run, &dir, self.project, git.as_ref());
        self.written += done.written.len() as u64;
        self.failed.extend(done.failed.into_iter().map(|(name, why)| (run.id, name, why)));
    }

    /// Whether an engine may be at it: it does so after a run has ended.
    fn is_being_written(&mut self, run: &Run) -> bool {
        let now = jiff::Timestamp::now().as_millisecond();
        now.saturating_sub(run.updated_at) < SOON
            && *self
                .engine
                .get_or_insert_with(|| Client::connect(&self.context.paths.socket(), version()).is_ok())
    }

    /// Says what was found in the project of this name; nothing where all is well.
    pub(super) fn say(self, name: &str, report: &mut Report) {
        let name = format!("{name} copies");
        let of = |count: u64| {
            format!("{} of {}", plural(count, "plain copy", "plain copies"), plural(self.runs, "run", "runs"))
        };
        if self.written > 0 {
            report.mended(&name, format!("{} written again", of(self.written)));
        }
        if !self.wrong.is_empty() {
            let named: Vec<String> =
                self.wrong.iter().take(NAMED).map(|(run, name)| format!("{run}/{name}")).collect();
            let more = self.wrong.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let what = of(self.wrong.len() as u64);
            report.warn(
                &name,
                format!("{what} missing or not as written: {}{more}; nothing is lost", named.join(", ")),
                "windlass doctor --fix",
            );
        }
        if let Some((run, file, why)) = self.failed.first() {
            let more = self.failed.len() - 1;
            let more = if more > 0 { format!("; {more} more") } else { String::new() };
            report.warn(&name, format!("{run}/{file} cannot be made again: {why}{more}"), "");
        }
    }
}
