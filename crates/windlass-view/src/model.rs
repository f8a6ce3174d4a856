//! The view model: what a run looks like at one instant, computed from its status document and a live overlay.
//!
//! Nothing here has a width. The terminal, the page and the plain log are drawn from the same rows.

use crate::human;
use crate::text;
use crate::theme::{Mark, run_mark, task_mark};
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;
use windlass_api::status::{LiveDoc, LiveState, RunDoc, StatusDoc, TaskDoc, UsageDoc};
use windlass_events::{AttemptStatus, Millis, Proof, RunStatus, RuntimeKind, TaskId, TaskStatus};

/// For whom something is drawn.
#[derive(Debug, Clone)]
pub struct Look {
    /// Cells per line; no line is wider.
    pub width: usize,
    /// The user's home folder: paths below it are shown with `~`.
    pub home: Option<String>,
    /// Where dates and clocks are.
    pub zone: TimeZone,
}

impl Look {
    /// For a terminal or file of this width, in UTC, without a home folder.
    pub fn new(width: usize) -> Self {
        Self { width: width.max(1), home: None, zone: TimeZone::UTC }
    }

    /// A path as people write it.
    pub fn path<'a>(&self, path: &'a str) -> Cow<'a, str> {
        match self.home.as_deref().filter(|h| h.len() > 1).and_then(|h| path.strip_prefix(h)) {
            Some("") => Cow::Borrowed("~"),
            Some(rest) if rest.starts_with('/') => Cow::Owned(format!("~{rest}")),
            _ => Cow::Borrowed(path),
        }
    }
}

/// What is known of live workers beyond the status document, fresher than it.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// By task.
    pub tasks: BTreeMap<TaskId, LiveTask>,
}

/// What is known of one live worker.
#[derive(Debug, Clone, Default)]
pub struct LiveTask {
    /// What it is doing.
    pub live: LiveDoc,
    /// What its attempt used so far; `None` leaves what the document says.
    pub usage: Option<UsageDoc>,
}

/// A run at one instant.
#[derive(Debug, Clone)]
pub struct RunView<'a> {
    /// The run.
    pub run: &'a RunDoc,
    /// How its state looks.
    pub mark: Mark,
    /// Its tasks, in their order.
    pub rows: Vec<TaskRow<'a>>,
    /// How many of them are where.
    pub counts: Counts,
    /// What it used, live attempts included.
    pub usage: UsageDoc,
    /// How long it took, or takes so far.
    pub elapsed_ms: i64,
    /// The instant.
    pub now: Millis,
    /// Made when first asked for: most frames of a large run look up few tasks or none.
    index: OnceLock<HashMap<&'a str, usize>>,
}

/// A task at one instant.
#[derive(Debug, Clone)]
pub struct TaskRow<'a> {
    /// The task.
    pub task: &'a TaskDoc,
    /// How its state looks.
    pub mark: Mark,
    /// What its worker is doing.
    pub live: Option<&'a LiveDoc>,
    /// What it used.
    pub usage: UsageDoc,
    /// While live how long its attempt runs, afterwards how long the task took; `None` before its first attempt.
    pub age_ms: Option<i64>,
}

/// How many tasks are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub total: usize,
    /// Completed and proven.
    pub proven: usize,
    /// Completed otherwise.
    pub completed: usize,
    /// Failed.
    pub failed: usize,
    /// For a person to look at.
    pub attention: usize,
    /// Skipped or cancelled.
    pub left: usize,
    /// With a live worker or a running gate.
    pub live: usize,
    /// Waiting for a known event.
    pub waiting: usize,
    /// Not started.
    pub queued: usize,
}

impl Counts {
    /// In a terminal state.
    pub const fn finished(&self) -> usize {
        self.proven + self.completed + self.failed + self.attention + self.left
    }

    fn add(&mut self, status: TaskStatus, proof: Proof) {
        self.total += 1;
        *match status {
            TaskStatus::Completed if matches!(proof, Proof::Proven) => &mut self.proven,
            TaskStatus::Completed => &mut self.completed,
            TaskStatus::Failed => &mut self.failed,
            TaskStatus::NeedsAttention => &mut self.attention,
            TaskStatus::Skipped | TaskStatus::Cancelled => &mut self.left,
            TaskStatus::Running | TaskStatus::Verifying => &mut self.live,
            TaskStatus::Waiting => &mut self.waiting,
            TaskStatus::Queued | TaskStatus::Ready => &mut self.queued,
        } += 1;
    }
}

/// One cap and how much of it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct CapView {
    /// `$0.42 of $5.00`.
    pub text: String,
    /// How much is used, in percent; `None` where it is not known.
    pub percent: Option<u64>,
}

impl CapView {
    /// Share at which a watcher is warned, in percent.
    pub const WARN_AT: u64 = 80;

    /// Whether it is near or reached.
    pub fn is_near(&self) -> bool {
        self.percent.is_some_and(|p| p >= Self::WARN_AT)
    }
}

impl<'a> RunView<'a> {
    /// The run at `now`.
    pub fn new(doc: &'a StatusDoc, overlay: &'a Overlay, now: Millis) -> Self {
        let run = &doc.run;
        let mut counts = Counts::default();
        let mut usage = run.usage;
        let rows: Vec<_> = doc
            .tasks
            .iter()
            .map(|task| {
                counts.add(task.status, task.proof);
                let row = TaskRow::new(task, overlay.tasks.get(&task.id), now);
                if let (Some(fresh), Some(attempt)) =
                    (overlay.tasks.get(&task.id).and_then(|l| l.usage), live_attempt(task))
                {
                    usage = replace_part(&usage, &attempt.usage, &fresh);
                }
                row
            })
            .collect();
        let rows = parts_below(rows);
        Self {
            run,
            mark: run_mark(run.status, run.proof),
            counts,
            usage,
            elapsed_ms: run.ended_at.unwrap_or(now).saturating_sub(run.created_at).max(0),
            now,
            index: OnceLock::new(),
            rows,
        }
    }

    /// The row of a task.
    pub fn row(&self, id: &TaskId) -> Option<&TaskRow<'a>> {
        let index = self
            .index
            .get_or_init(|| self.rows.iter().enumerate().map(|(i, r)| (r.task.id.as_str(), i)).collect());
        index.get(id.as_str()).and_then(|&i| self.rows.get(i))
    }

    /// The name by which people know a task.
    pub fn name<'b>(&'b self, id: &'b TaskId) -> &'b str {
        self.row(id).map_or(id.as_str(), |r| r.name())
    }

    /// Says that no model did the work, where that is so.
    pub fn stand_in(&self) -> Option<&'static str> {
        let has = |kind| self.rows.iter().any(|r| r.task.runtime == kind);
        if has(RuntimeKind::Rehearsal) {
            Some("rehearsal: a script plays the agents")
        } else if has(RuntimeKind::Scaffold) {
            Some("scaffold: prompts only, no agent is started")
        } else {
            None
        }
    }

    /// What a task is doing, waits for, or came to: a few words.
    pub fn activity(&self, row: &TaskRow<'_>) -> String {
        let task = row.task;
        let note = task.note.as_deref().filter(|n| !n.is_empty());
        let error = || task.error.as_ref().map(|e| first_line(&e.message)).filter(|m| !m.is_empty());
        match task.status {
            TaskStatus::Queued => note.map_or_else(|| self.waits_for(task), text::clean),
            TaskStatus::Ready => note.map_or_else(|| "ready".into(), text::clean),
            TaskStatus::Waiting => note.map_or_else(|| "waiting".into(), text::clean),
            TaskStatus::Verifying => note.map_or_else(|| "checking".into(), text::clean),
            TaskStatus::Running => match row.progress() {
                Some(progress) => progress,
                None => row.doing(self.now),
            },
            TaskStatus::Completed => row.mark.word.into(),
            TaskStatus::Cancelled => "cancelled".into(),
            TaskStatus::Failed => error().map_or_else(|| "failed".into(), |m| format!("failed: {m}")),
            TaskStatus::Skipped => error().map_or_else(|| "skipped".into(), |m| format!("skipped: {m}")),
            TaskStatus::NeedsAttention => {
                error().map_or_else(|| "needs you".into(), |m| format!("needs you: {m}"))
            }
        }
    }

    fn waits_for(&self, task: &TaskDoc) -> String {
        let mut open =
            task.depends_on.iter().filter(|id| self.row(id).is_none_or(|r| !r.task.status.is_terminal()));
        let Some(first) = open.next() else { return "queued".into() };
        let mut text = format!("after {}", text::clean(self.name(first)));
        if let Some(second) = open.next() {
            text.push_str(&format!(", {}", text::clean(self.name(second))));
        }
        match open.count() {
            0 => {}
            more => text.push_str(&format!(" and {more} more")),
        }
        text
    }

    /// How long ago the run last changed, while its clock runs: a document is as old as its last event.
    fn since_update_ms(&self) -> u64 {
        if self.run.ended_at.is_some() || self.run.status == RunStatus::Blocked {
            return 0;
        }
        let at_update = self.run.updated_at.saturating_sub(self.run.created_at);
        self.elapsed_ms.saturating_sub(at_update).max(0).unsigned_abs()
    }

    /// The caps and what is used of them, most pressing first within the order money, tokens, time.
    pub fn caps(&self) -> Vec<CapView> {
        let Some(budget) = &self.run.budget else { return Vec::new() };
        let mut caps = Vec::new();
        if let Some(cap) = budget.usd.cap.filter(|c| c.is_finite() && *c >= 0.0) {
            let spent = self.usage.cost_usd.filter(|c| c.is_finite());
            let text = format!("{} of {}", human::cost(spent), human::money_cap(cap));
            caps.push(CapView { text, percent: spent.map(|s| percent_f(s, cap)) });
        }
        if let Some(cap) = budget.tokens.cap {
            let spent = budget.tokens.spent.unwrap_or(0).max(self.usage.tokens());
            let text = format!("{} of {} tokens", human::count(spent), human::count(cap));
            caps.push(CapView { text, percent: Some(percent(spent, cap)) });
        }
        if let Some(cap) = budget.wall_ms.cap {
            let elapsed = self.elapsed_ms.unsigned_abs();
            let spent = budget.wall_ms.spent.map_or(elapsed, |spent| spent + self.since_update_ms());
            let text = format!(
                "{} of {}",
                human::duration(i64::try_from(spent).unwrap_or(i64::MAX)),
                human::cap_duration(cap)
            );
            caps.push(CapView { text, percent: Some(percent(spent, cap)) });
        }
        caps
    }
}

/// What grew from a task stands below it, in its own order.
fn parts_below(rows: Vec<TaskRow<'_>>) -> Vec<TaskRow<'_>> {
    if rows.iter().all(|r| r.task.parent.is_none()) {
        return rows;
    }
    let known: std::collections::HashSet<&TaskId> = rows.iter().map(|r| &r.task.id).collect();
    let mut below: BTreeMap<&TaskId, Vec<TaskRow<'_>>> = BTreeMap::new();
    let mut tops = Vec::with_capacity(rows.len());
    for row in rows {
        match row.task.parent.as_ref().filter(|id| known.contains(id) && **id != row.task.id) {
            Some(parent) => below.entry(parent).or_default().push(row),
            None => tops.push(row),
        }
    }
    let mut ordered = Vec::with_capacity(tops.len());
    for top in tops {
        let parts = below.remove(&top.task.id).unwrap_or_default();
        ordered.push(top);
        ordered.extend(parts);
    }
    // A part of a part, which no run has, is still shown.
    ordered.extend(below.into_values().flatten());
    ordered
}

impl<'a> TaskRow<'a> {
    fn new(task: &'a TaskDoc, overlay: Option<&'a LiveTask>, now: Millis) -> Self {
        let current = live_attempt(task);
        let mut usage = task.usage();
        if let (Some(attempt), Some(fresh)) = (current, overlay.and_then(|l| l.usage)) {
            usage = replace_part(&usage, &attempt.usage, &fresh);
        }
        let age_ms = match (current, task.attempts.first(), task.attempts.last()) {
            (Some(live), ..) => Some(now.saturating_sub(live.started_at)),
            (None, Some(first), Some(last)) => {
                Some(last.ended_at.unwrap_or(last.started_at).saturating_sub(first.started_at))
            }
            _ => None,
        };
        Self {
            task,
            mark: task_mark(task.status, task.proof),
            live: match task.status {
                TaskStatus::Running => overlay.map(|l| &l.live).or(task.live.as_ref()),
                _ => None,
            },
            usage,
            age_ms: age_ms.map(|a| a.max(0)),
        }
    }

    /// The name by which people know the task: its step, or what it is about of a list.
    pub fn name(&self) -> &'a str {
        let item = self.task.item.as_deref().filter(|_| self.task.phase.is_none());
        match item.filter(|item| !item.trim().is_empty()) {
            Some(item) => item,
            None if self.task.step.trim().is_empty() => self.task.id.as_str(),
            None => &self.task.step,
        }
    }

    /// How far what it became is; `None` while its own worker is at work, and where it became nothing.
    pub fn progress(&self) -> Option<String> {
        let parts = self.task.parts.filter(|_| live_attempt(self.task).is_none())?;
        Some(format!("{} of {} done", human::count(parts.completed.into()), human::count(parts.total.into())))
    }

    /// Whether its worker is live or its contract is being checked.
    pub fn is_live(&self) -> bool {
        matches!(self.task.status, TaskStatus::Running | TaskStatus::Verifying | TaskStatus::Waiting)
    }

    /// Whether it ended in a way that a person wants to see.
    pub fn is_trouble(&self) -> bool {
        matches!(self.task.status, TaskStatus::Failed | TaskStatus::NeedsAttention)
            || (self.task.status == TaskStatus::Completed && self.task.proof == Proof::Refuted)
    }

    /// The last line that its worker said.
    pub fn last_line(&self) -> Option<&'a str> {
        self.live.and_then(|l| l.last_line.as_deref()).filter(|l| !l.trim().is_empty())
    }

    /// The money of the row: `None` where no model worked, so that there is nothing to say.
    pub fn cost(&self) -> Option<String> {
        let worked = self.usage.tokens() > 0 || self.usage.turns > 0;
        match self.usage.cost_usd {
            Some(0.0) if !worked => None,
            None if !worked && self.task.attempts.is_empty() => None,
            cost => Some(cost.and_then(human::money).unwrap_or_else(|| "?".into())),
        }
    }

    fn doing(&self, now: Millis) -> String {
        let mut text = match self.live {
            Some(LiveDoc { tool: Some(tool), tool_since, .. }) if !tool.trim().is_empty() => {
                let tool = text::clean(tool);
                match tool_since.map(|since| now.saturating_sub(since)) {
                    Some(ms) if ms >= 5_000 => format!("{tool} {}", human::duration(ms)),
                    _ => tool,
                }
            }
            Some(live) => match live.state {
                LiveState::Starting => "starting",
                LiveState::Thinking => "thinking",
                LiveState::Writing => "answering",
                LiveState::Stopping => "stopping",
                LiveState::Tool | LiveState::Unknown => "running",
            }
            .into(),
            None => self.task.note.as_deref().filter(|n| !n.is_empty()).map_or("running".into(), text::clean),
        };
        if self.task.attempts.len() > 1 {
            text = format!("try {} · {text}", self.task.attempts.len());
        }
        text
    }
}

/// The attempt that is live.
fn live_attempt(task: &TaskDoc) -> Option<&windlass_api::status::AttemptDoc> {
    task.attempts.last().filter(|a| a.status == AttemptStatus::Running && a.ended_at.is_none())
}

/// A sum with one of its parts replaced.
fn replace_part(sum: &UsageDoc, part: &UsageDoc, fresh: &UsageDoc) -> UsageDoc {
    let swap = |sum: u64, part: u64, fresh: u64| sum.saturating_sub(part).saturating_add(fresh);
    UsageDoc {
        input: swap(sum.input, part.input, fresh.input),
        output: swap(sum.output, part.output, fresh.output),
        cache_read: swap(sum.cache_read, part.cache_read, fresh.cache_read),
        cache_write: swap(sum.cache_write, part.cache_write, fresh.cache_write),
        // A sum that is not known cannot become known by replacing one part of it.
        cost_usd: match (sum.cost_usd, part.cost_usd, fresh.cost_usd) {
            (Some(sum), Some(part), Some(fresh)) => Some((sum - part).max(0.0) + fresh),
            _ => None,
        },
        turns: swap(sum.turns, part.turns, fresh.turns),
    }
}

fn percent(used: u64, cap: u64) -> u64 {
    if cap == 0 { 100 } else { u64::try_from(u128::from(used) * 100 / u128::from(cap)).unwrap_or(u64::MAX) }
}

fn percent_f(used: f64, cap: f64) -> u64 {
    // A cast from float saturates; NaN cannot be here.
    if cap <= 0.0 { 100 } else { (used / cap * 100.0).max(0.0) as u64 }
}

/// The first line of a text that says something, clean.
pub(crate) fn first_line(message: &str) -> String {
    text::lines(message, 1).pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn an_overlay_replaces_what_the_document_says_of_a_live_attempt() {
        let doc = sample::running();
        let quiet = Overlay::default();
        let base = RunView::new(&doc, &quiet, sample::NOW);
        let id = base.rows.iter().find(|r| r.task.status == TaskStatus::Running).unwrap().task.id.clone();
        let mut overlay = Overlay::default();
        let mut usage = base.row(&id).unwrap().task.attempts.last().unwrap().usage;
        usage.output += 1_000;
        usage.cost_usd = usage.cost_usd.map(|c| c + 1.0);
        overlay.tasks.insert(id.clone(), LiveTask { live: LiveDoc::default(), usage: Some(usage) });
        let fresh = RunView::new(&doc, &overlay, sample::NOW);
        assert_eq!(fresh.usage.tokens(), base.usage.tokens() + 1_000);
        assert!((fresh.usage.cost_usd.unwrap() - base.usage.cost_usd.unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(fresh.row(&id).unwrap().usage.tokens(), base.row(&id).unwrap().usage.tokens() + 1_000);
    }

    #[test]
    fn parts_stand_below_what_they_grew_from_and_are_its_progress() {
        let (mut doc, overlay) = (sample::grown(), Overlay::default());
        let names = |doc: &StatusDoc| {
            let view = RunView::new(doc, &overlay, sample::NOW);
            view.rows.iter().map(|r| r.name().to_owned()).collect::<Vec<_>>()
        };
        let order = ["explore", "plan", "The parser", "The printer", "execute", "review", "verify"];
        assert_eq!(names(&doc), order);
        let view = RunView::new(&doc, &overlay, sample::NOW);
        assert_eq!(view.activity(&view.rows[1]), "1 of 2 done");
        // What a list is about names its parts; nothing is lost when what they grew from is unknown.
        for part in &mut doc.tasks[5..] {
            part.phase = None;
            part.parent = Some(TaskId::parse("elsewhere").unwrap());
        }
        assert_eq!(names(&doc)[5..], ["parser", "printer"]);
    }

    #[test]
    fn an_unknown_cost_is_never_a_number() {
        let mut doc = sample::running();
        doc.run.usage.cost_usd = None;
        doc.tasks[0].attempts[0].usage.cost_usd = None;
        let overlay = Overlay::default();
        let view = RunView::new(&doc, &overlay, sample::NOW);
        assert_eq!(view.rows[0].cost().as_deref(), Some("?"));
        assert!(view.caps()[0].text.starts_with("cost unknown of"), "{:?}", view.caps());
        assert_eq!(view.caps()[0].percent, None);
    }

    #[test]
    fn home_is_a_tilde_only_at_a_path_border() {
        let look = Look { home: Some("/home/u".into()), ..Look::new(80) };
        assert_eq!(look.path("/home/u/src"), "~/src");
        assert_eq!(look.path("/home/u"), "~");
        assert_eq!(look.path("/home/user/src"), "/home/user/src");
    }
}
