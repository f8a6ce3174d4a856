//! Errors as people read them: what happened, then what to do.

use crate::line::Line;
use crate::model::Look;
use crate::text;
use crate::theme::Tone;
use windlass_api::status::ErrorDoc;

/// Lines of a message or hint that are shown at most.
const MAX_LINES: usize = 12;

/// `error: what happened`, then the hint, each wrapped to the width.
pub fn error(doc: &ErrorDoc, look: &Look) -> Vec<Line> {
    let mut lines = Vec::new();
    let message = text::lines(&doc.message, MAX_LINES);
    let first = message.first().map_or(doc.kind.as_str(), String::as_str);
    let title = match &doc.task {
        Some(task) => format!("{task}: {first}"),
        None => first.to_owned(),
    };
    labelled(&mut lines, Tone::Bad, "error: ", &title, look.width);
    for line in message.get(1..).unwrap_or_default() {
        for part in text::wrap(line, look.width.saturating_sub(2)) {
            lines.push(Line::of(Tone::Plain, format!("  {part}")).fit(look.width));
        }
    }
    for hint in text::lines(doc.hint.as_deref().unwrap_or_default(), MAX_LINES) {
        for part in text::wrap(&hint, look.width.saturating_sub(2)) {
            lines.push(Line::of(Tone::Plain, format!("  {part}")).fit(look.width));
        }
    }
    lines
}

/// A warning or notice: `note: …`.
pub fn note(message: &str, look: &Look) -> Vec<Line> {
    let mut lines = Vec::new();
    labelled(&mut lines, Tone::Warn, "note: ", &text::lines(message, MAX_LINES).join(" "), look.width);
    lines
}

fn labelled(lines: &mut Vec<Line>, tone: Tone, label: &str, message: &str, width: usize) {
    let narrow = width < 40;
    let indent = if narrow { 2 } else { label.len() };
    let mut first = Line::new();
    first.push(tone, label);
    // The first line begins after the label; in a narrow frame the others begin further left.
    let mut rest = text::clean(message).split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
    let room = width.saturating_sub(first.width()).max(2);
    let head = text::wrap(&rest, room).into_iter().next().unwrap_or_default();
    first.push(Tone::Plain, &head);
    lines.push(first.fit(width));
    rest =
        rest.trim_start().strip_prefix(head.as_str()).map(|r| r.trim_start().to_owned()).unwrap_or_default();
    if rest.is_empty() {
        return;
    }
    for part in text::wrap(&rest, width.saturating_sub(indent)) {
        let mut line = Line::new();
        line.space(indent).push(Tone::Plain, part);
        lines.push(line.fit(width));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(doc: &ErrorDoc, width: usize) -> Vec<String> {
        error(doc, &Look::new(width)).iter().map(|l| l.to_text(false)).collect()
    }

    #[test]
    fn what_happened_then_what_to_do() {
        let doc = ErrorDoc::new("not_found", "there is no run `k7m2qx`").hint("did you mean `k7m2qd`?");
        assert_eq!(shown(&doc, 80), ["error: there is no run `k7m2qx`", "  did you mean `k7m2qd`?"]);
        assert_eq!(
            shown(&doc, 20),
            ["error: there is no", "  run `k7m2qx`", "  did you mean", "  `k7m2qd`?"]
        );
        let bare = ErrorDoc::new("internal", "");
        assert_eq!(shown(&bare, 80), ["error: internal"]);
    }

    #[test]
    fn a_message_with_several_blanks_loses_no_word() {
        let doc = ErrorDoc::new("x", "one  two   three four five six seven eight nine ten");
        let all = shown(&doc, 24).join(" ");
        for word in ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"] {
            assert!(all.contains(word), "{all}");
        }
    }
}
