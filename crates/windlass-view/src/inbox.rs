//! What waits, over all projects.

use crate::fields::Fields;
use crate::human;
use crate::line::Line;
use crate::model::Look;
use crate::text;
use crate::theme::Tone;
use windlass_api::inbox::{InboxDoc, InboxItem};
use windlass_events::Millis;

/// Commands of one wait that are shown.
const COMMANDS: usize = 4;

/// What a person ends, each with why and the commands; then what ends by itself, and when.
pub fn inbox(doc: &InboxDoc, now: Millis, look: &Look) -> Vec<Line> {
    let mut f = Fields::new(look.width);
    let (yours, others): (Vec<&InboxItem>, Vec<&InboxItem>) =
        doc.waits.iter().partition(|w| w.is_for_person());
    if yours.is_empty() {
        f.line(Line::of(Tone::Plain, "nothing waits for you"));
    }
    for (at, wait) in yours.iter().enumerate() {
        if at > 0 {
            f.line(Line::new());
        }
        f.line(head(wait, now, look));
        f.line(about(wait, look));
        for part in text::wrap(&text::clean(wait.why.trim()), look.width.saturating_sub(4)) {
            f.line(indented(Tone::Plain, &part));
        }
        for command in wait.commands.iter().take(COMMANDS) {
            for part in text::wrap(&text::clean(command), look.width.saturating_sub(4)) {
                f.line(indented(Tone::Strong, &part));
            }
        }
    }
    if !others.is_empty() {
        f.line(Line::new());
        f.line(Line::of(Tone::Dim, "goes on by itself"));
    }
    for wait in others {
        f.line(head(wait, now, look));
        f.line(about(wait, look));
        let ends = match wait.until {
            Some(until) => format!("in {} at the latest", human::duration(until.saturating_sub(now))),
            None => format!("when {} is done", wait.ends_by),
        };
        for part in text::wrap(
            &text::clean(&format!("{} It goes on {ends}.", wait.why)),
            look.width.saturating_sub(4),
        ) {
            f.line(indented(Tone::Dim, &part));
        }
    }
    f.into_lines()
}

fn indented(tone: Tone, text: &str) -> Line {
    let mut line = Line::new();
    line.space(4).push(tone, text);
    line
}

fn head(wait: &InboxItem, now: Millis, look: &Look) -> Line {
    let mut line = Line::new();
    line.push(Tone::Warn, "◆ ").push(Tone::Strong, wait.run.as_str());
    if let Some(task) = &wait.task {
        line.push(Tone::Strong, format!("/{task}"));
    }
    line.space(2).push(Tone::Warn, words(&wait.wait));
    line.push(Tone::Dim, format!("  {}", human::ago(wait.since, now, &look.zone)));
    line
}

fn about(wait: &InboxItem, look: &Look) -> Line {
    let mut line = Line::new();
    line.space(4).push(Tone::Plain, wait.goal.trim());
    line.push(Tone::Dim, format!("  {}", look.path(&wait.cwd)));
    line
}

/// A wait for people.
fn words(wait: &str) -> String {
    match wait {
        "approval" => "asks for your approval".into(),
        "answer" => "asks you".into(),
        "restart" => "waits for your word".into(),
        "environment" => "waits for your shell".into(),
        "cap" => "stopped at a cap".into(),
        "needs_attention" => "needs attention".into(),
        "tree" => "waits for the tree".into(),
        "quota" => "waits for the provider".into(),
        "pause" => "pauses".into(),
        other => other.to_owned(),
    }
}
