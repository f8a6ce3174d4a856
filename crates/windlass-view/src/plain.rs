//! Watching without a terminal: one line per meaningful change, none twice.

use crate::human;
use crate::line::Line;
use crate::model::{Look, Overlay, RunView, TaskRow, first_line};
use crate::text;
use crate::theme::{Mark, Tone, light_mark, task_mark};
use crate::watch::waiting_text;
use std::collections::HashMap;
use windlass_api::status::{EvidenceDoc, Light, StatusDoc};
use windlass_events::{AttemptNo, Millis, Proof, RunStatus, TaskId, TaskStatus};

/// Cells of the time at the beginning of a line, with the gap after it.
const TIME: usize = 9;

/// More tasks than these that share one dull end become one line.
const TOGETHER: usize = 3;

/// Remembers what was said of a run and says what is new.
#[derive(Debug, Default)]
pub struct PlainLog {
    tasks: HashMap<TaskId, Said>,
    gates: Vec<(Option<Light>, Option<Light>)>,
    run: Option<RunStatus>,
    waiting: Option<String>,
    warned: usize,
    notices: usize,
}

#[derive(Debug, Default)]
struct Said {
    status: Option<TaskStatus>,
    attempt: AttemptNo,
    evidence: usize,
}

impl PlainLog {
    /// Nothing was said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What changed since the last call, one line each. The end of the run is told by the end card.
    pub fn update(&mut self, doc: &StatusDoc, now: Millis, look: &Look) -> Vec<Line> {
        let overlay = Overlay::default();
        let view = RunView::new(doc, &overlay, now);
        let mut out = Out { lines: Vec::new(), time: human::duration(view.elapsed_ms), width: look.width };
        self.notices(&view, &mut out);
        self.gates(&view, &mut out);
        let mut dull = HashMap::<&'static str, (Mark, usize)>::new();
        for row in &view.rows {
            self.task(&view, row, &mut out, &mut dull);
        }
        let mut dull: Vec<_> = dull.into_iter().filter(|(_, (_, n))| *n > TOGETHER).collect();
        dull.sort_unstable_by_key(|(word, _)| *word);
        for (word, (mark, n)) in dull {
            out.say(mark, Tone::Dim, &format!("{} {word}", human::plural(n as u64, "task", "tasks")));
        }
        self.warnings(&view, &mut out);
        self.run(&view, &mut out);
        out.lines
    }

    fn notices(&mut self, view: &RunView<'_>, out: &mut Out) {
        for notice in view.run.notices.iter().skip(self.notices) {
            out.say(warn(), Tone::Plain, notice.trim());
        }
        self.notices = self.notices.max(view.run.notices.len());
    }

    /// What gates say at the start. What they say later is told with the task that they check.
    fn gates(&mut self, view: &RunView<'_>, out: &mut Out) {
        self.gates.resize(view.run.gates.len(), (None, None));
        for (gate, said) in view.run.gates.iter().zip(&mut self.gates) {
            if gate.before != said.0 {
                let mark = light_mark(gate.before);
                out.say(
                    mark,
                    Tone::Plain,
                    &format!("gate {} {} at the start", tick(&gate.command), mark.word),
                );
            }
            *said = (gate.before, gate.after);
        }
    }

    fn task<'a>(
        &mut self,
        view: &RunView<'a>,
        row: &TaskRow<'a>,
        out: &mut Out,
        dull: &mut HashMap<&'static str, (Mark, usize)>,
    ) {
        let task = row.task;
        let said = match self.tasks.get_mut(&task.id) {
            Some(said) => said,
            None => self.tasks.entry(task.id.clone()).or_default(),
        };
        let name = text::clean(row.name());
        let started = task.attempts.last().filter(|a| a.n > said.attempt).map(|attempt| {
            said.attempt = attempt.n;
            match (attempt.n, attempt.model.as_deref()) {
                (1, Some(model)) => format!("{name} started · {}, {}", attempt.runtime, text::clean(model)),
                (1, None) => format!("{name} started · {}", attempt.runtime),
                (n, _) => format!("{name} started again · try {n}"),
            }
        });
        let running = task_mark(TaskStatus::Running, Proof::None);
        // What was checked before another try is why there is one.
        let (first, again) = if said.attempt > 1 { (None, started) } else { (started, None) };
        if let Some(how) = first {
            out.say(running, Tone::Plain, &how);
        }
        for evidence in task.evidence.iter().skip(said.evidence) {
            if evidence.after.is_none() {
                // It is still being checked; it and what follows are told when it is known.
                break;
            }
            said.evidence += 1;
            out.say(light_mark(evidence.after), Tone::Plain, &evidence_text(&name, evidence));
        }
        if let Some(how) = again {
            out.say(running, Tone::Plain, &how);
        }
        if said.status == Some(task.status) {
            return;
        }
        said.status = Some(task.status);
        let words = match task.status {
            TaskStatus::Skipped | TaskStatus::Cancelled => {
                let (_, n) = dull.entry(row.mark.word).and_modify(|(_, n)| *n += 1).or_insert((row.mark, 1));
                if *n > TOGETHER {
                    return;
                }
                view.activity(row)
            }
            TaskStatus::Completed | TaskStatus::Failed | TaskStatus::NeedsAttention => view.activity(row),
            TaskStatus::Waiting => view.activity(row),
            TaskStatus::Queued | TaskStatus::Ready | TaskStatus::Running | TaskStatus::Verifying => return,
        };
        let mut parts = vec![format!("{name} {words}")];
        if row.usage.tokens() > 0 {
            parts.push(format!("{} tokens", human::count(row.usage.tokens())));
            parts.push(human::cost(row.usage.cost_usd));
        }
        parts.extend(row.age_ms.filter(|_| task.status.is_terminal()).map(human::duration));
        out.say(row.mark, Tone::Plain, &parts.join(" · "));
    }

    fn warnings(&mut self, view: &RunView<'_>, out: &mut Out) {
        let near: Vec<_> = view.caps().into_iter().filter(|c| c.is_near()).collect();
        if near.len() > self.warned {
            for cap in &near {
                let percent = cap.percent.unwrap_or(0).min(999);
                out.say(warn(), Tone::Warn, &format!("{} used ({percent} %)", cap.text));
            }
        }
        self.warned = near.len();
    }

    fn run(&mut self, view: &RunView<'_>, out: &mut Out) {
        let run = view.run;
        let waiting = run.waiting.as_ref().map(waiting_text);
        let news = self.run != Some(run.status) || self.waiting != waiting;
        if news && let (RunStatus::Waiting, Some(waiting)) = (run.status, &run.waiting) {
            out.say(view.mark, Tone::Warn, &format!("{} {}", run.id, waiting_text(waiting)));
            if let Some(command) = &waiting.answer_with {
                out.say(blank(), Tone::Plain, command);
            }
        }
        if self.run.is_some_and(|s| s == RunStatus::Waiting || s == RunStatus::Blocked)
            && run.status == RunStatus::Running
        {
            out.say(view.mark, Tone::Plain, &format!("{} goes on", run.id));
        }
        if self.run != Some(run.status) && run.status == RunStatus::Blocked {
            let why = run.error.as_ref().map(|e| first_line(&e.message)).unwrap_or_default();
            out.say(view.mark, Tone::Warn, &format!("{} blocked: {why}", run.id));
        }
        self.run = Some(run.status);
        self.waiting = waiting;
    }
}

/// `execute: gate cargo test red → green`.
fn evidence_text(name: &str, evidence: &EvidenceDoc) -> String {
    let after = light_mark(evidence.after).word;
    let what = evidence.command.as_deref().map_or(String::new(), |c| format!(" {}", tick(c)));
    let mut out = format!("{name}: {}{what} ", text::clean(&evidence.kind));
    match evidence.before {
        Some(before) => out.push_str(&format!("{} → {after}", before.as_str())),
        None => out.push_str(after),
    }
    if let Some(ms) = evidence.ms {
        out.push_str(&format!(" · {}", human::short_duration(ms)));
    }
    out
}

/// A command line as it stands in a sentence.
fn tick(command: &str) -> String {
    format!("`{}`", text::fit(&text::clean(command), 60))
}

const fn warn() -> Mark {
    task_mark(TaskStatus::NeedsAttention, Proof::None)
}

const fn blank() -> Mark {
    Mark { glyph: ' ', tone: Tone::Plain, word: "" }
}

struct Out {
    lines: Vec<Line>,
    time: String,
    width: usize,
}

impl Out {
    fn say(&mut self, mark: Mark, tone: Tone, text: &str) {
        let mut line = Line::new();
        if self.width >= 40 {
            line.space(TIME.saturating_sub(self.time.len() + 2)).push(Tone::Dim, &self.time).space(2);
        }
        line.glyph(mark).space(1).push(tone, text);
        self.lines.push(line.fit(self.width));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn text(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|l| l.to_text(false)).collect()
    }

    #[test]
    fn every_change_is_one_line_and_nothing_is_said_twice() {
        let look = Look::new(100);
        let mut log = PlainLog::new();
        let mut all = Vec::new();
        for doc in [sample::created(), sample::running(), sample::proven()] {
            all.extend(text(&log.update(&doc, sample::NOW, &look)));
            assert_eq!(text(&log.update(&doc, sample::NOW + 5_000, &look)), Vec::<String>::new());
        }
        assert_eq!(
            all,
            [
                "  4m12s  ✗ gate `cargo test` red at the start",
                "  4m12s  ✓ gate `cargo clippy --quiet` green at the start",
                "  4m12s  ● explore started · pi, anthropic/claude-sonnet-4-5",
                "  4m12s  ○ explore completed, unproven · 13.7k tokens · $0.02 · 41s",
                "  4m12s  ● plan started · pi, anthropic/claude-sonnet-4-5",
                "  4m12s  ○ plan completed, unproven · 20.9k tokens · $0.03 · 48s",
                "  4m12s  ● execute started · pi, anthropic/claude-sonnet-4-5",
                "  4m12s  ● review started · pi, anthropic/claude-sonnet-4-5",
                "  4m12s  ✓ execute: gate `cargo test` red → green · 3.4s",
                "  4m12s  ✓ execute done · 121k tokens · $0.19 · 1m48s",
                "  4m12s  ✓ review done · 24.9k tokens · $0.03 · 1m25s",
                "  4m12s  ● verify started · pi, anthropic/claude-sonnet-4-5",
                "  4m12s  ✓ verify done · 17.1k tokens · $0.02 · 49s",
            ]
        );
    }

    #[test]
    fn questions_caps_and_new_tries_are_told() {
        let look = Look::new(100);
        let mut log = PlainLog::new();
        log.update(&sample::running(), sample::NOW, &look);
        let asked = text(&log.update(&sample::waiting(), sample::NOW, &look));
        assert!(asked.iter().any(|l| l.contains("asks: Two call sites")), "{asked:?}");
        assert!(asked.iter().any(|l| l.contains("windlass answer k7m2qd/04_review TEXT")), "{asked:?}");
        let on = text(&log.update(&sample::running(), sample::NOW, &look));
        assert_eq!(on, ["  4m12s  ● k7m2qd goes on"]);
        let blocked = text(&log.update(&sample::blocked(), sample::NOW, &look));
        assert!(blocked.iter().any(|l| l.contains("$4.94 of $5.00 used (98 %)")), "{blocked:?}");
        assert!(blocked.iter().any(|l| l.contains("blocked: the cap of $5.00")), "{blocked:?}");
        let mut log = PlainLog::new();
        let failed = text(&log.update(&sample::failed(), sample::NOW, &look));
        assert!(failed.iter().any(|l| l.contains("execute started again · try 3")), "{failed:?}");
        assert!(
            failed.iter().any(|l| l.contains("✗ execute failed: gate `cargo test` is still red")),
            "{failed:?}"
        );
    }

    #[test]
    fn many_skipped_tasks_are_a_few_lines() {
        let mut doc = sample::created();
        let model = doc.tasks[0].clone();
        doc.tasks = (0..5_000)
            .map(|i| {
                let mut task = model.clone();
                task.id = TaskId::for_step(i, "x");
                task.status = TaskStatus::Skipped;
                task
            })
            .collect();
        let said = text(&PlainLog::new().update(&doc, sample::NOW, &Look::new(100)));
        assert!(said.len() <= 8, "{said:?}");
        assert!(said.last().unwrap().contains("5000 tasks skipped"), "{said:?}");
    }
}
