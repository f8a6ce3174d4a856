//! Labelled lines: the body of every card and of `show`.

use crate::line::Line;
use crate::text;
use crate::theme::Tone;

/// Cells of the indent before a label.
const INDENT: usize = 2;
/// Cells of a label with the gap after it.
const LABEL: usize = 11;
/// Below this width a label stands on a line of its own.
pub(crate) const STACK_BELOW: usize = 44;

/// As many lines as a text needs; a narrow frame takes more of them.
pub(crate) const WHOLE: usize = usize::MAX / 4;

/// Collects labelled lines of at most `width` cells.
pub(crate) struct Fields {
    width: usize,
    lines: Vec<Line>,
    last: &'static str,
}

impl Fields {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, lines: Vec::new(), last: "" }
    }

    /// Cells for a value.
    pub(crate) fn room(&self) -> usize {
        self.width.saturating_sub(self.value_column()).max(1)
    }

    fn value_column(&self) -> usize {
        match self.width {
            0..8 => 0,
            8..STACK_BELOW => INDENT,
            _ => INDENT + LABEL,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// A line as it is.
    pub(crate) fn line(&mut self, line: Line) {
        self.last = "";
        self.lines.push(line.fit(self.width));
    }

    /// One line of a value. The label is shown where it differs from that of the line before.
    pub(crate) fn field(&mut self, label: &'static str, value: Line) {
        let column = self.value_column();
        let mut line = Line::new();
        if label != self.last {
            if self.width < STACK_BELOW {
                self.lines.push(Line::of(Tone::Dim, label).fit(self.width));
            } else {
                line.space(INDENT).push(Tone::Dim, label);
            }
            self.last = label;
        }
        line.pad_to(column).append(value);
        self.lines.push(line.fit(self.width));
    }

    /// A text in at most `max` lines, more in a narrow frame.
    pub(crate) fn text(&mut self, label: &'static str, tone: Tone, value: &str, max: usize) {
        let max = if self.width < STACK_BELOW { max * 4 } else { max };
        for line in wrapped(&text::clean(value), self.room(), max) {
            self.field(label, Line::of(tone, line));
        }
    }

    /// Segments joined with ` · `, on as few lines as they need.
    pub(crate) fn segments(&mut self, label: &'static str, segments: Vec<Line>) {
        for line in joined(segments, self.room()) {
            self.field(label, line);
        }
    }

    /// A command to type, whole whatever the width, and what it does where there is room.
    pub(crate) fn command(&mut self, label: &'static str, command: &str, why: &str, column: usize) {
        let command = text::clean(command);
        let room = self.room();
        if text::width(&command) > room {
            for line in text::wrap(&command, room) {
                self.field(label, Line::of(Tone::Strong, line));
            }
            return;
        }
        let mut line = Line::of(Tone::Strong, &command);
        let at = column.max(line.width()) + 2;
        if !why.is_empty() && at + text::width(why) <= room {
            line.pad_to(at).push(Tone::Dim, why);
        }
        self.field(label, line);
    }

    /// All lines, or the first of them where there are more: a card is a card.
    pub(crate) fn into_lines_at_most(mut self, lines: usize) -> Vec<Line> {
        self.lines.truncate(lines);
        self.lines
    }

    pub(crate) fn into_lines(self) -> Vec<Line> {
        self.lines
    }
}

/// A clean text in at most `max` lines, ending with `…` where it is longer.
pub(crate) fn wrapped(clean: &str, cells: usize, max: usize) -> Vec<String> {
    let mut lines = text::wrap(clean, cells);
    if lines.len() > max {
        lines.truncate(max);
        if let Some(last) = lines.last_mut() {
            let (kept, _) = text::prefix(last, cells.saturating_sub(1));
            *last = format!("{}…", kept.trim_end());
        }
    }
    lines
}

/// Segments joined with ` · `, broken before a segment that does not fit. Blank segments are left out.
pub(crate) fn joined(segments: Vec<Line>, cells: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = Line::new();
    for segment in segments.into_iter().filter(|s| !s.is_blank()) {
        if line.width() > 0 {
            if line.width() + 3 + segment.width() <= cells {
                line.push(Tone::Dim, " · ");
            } else {
                lines.push(std::mem::take(&mut line));
            }
        }
        line.append(segment);
    }
    if line.width() > 0 {
        lines.push(line);
    }
    lines.into_iter().map(|l| l.fit(cells)).collect()
}

/// As [`joined`] on one line: segments that do not fit are left out, so earlier ones matter more.
pub(crate) fn joined_line(segments: Vec<Line>, cells: usize) -> Line {
    let mut line = Line::new();
    for segment in segments.into_iter().filter(|s| !s.is_blank()) {
        if line.width() == 0 {
            line = segment.fit(cells);
        } else if line.width() + 3 + segment.width() <= cells {
            line.push(Tone::Dim, " · ").append(segment);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cut_after_lines_says_so_and_fits() {
        for cells in 2..30 {
            for max in 1..4 {
                let lines = wrapped("one two three four five six seven eight nine", cells, max);
                assert!(lines.len() <= max);
                assert!(lines.iter().all(|l| text::width(l) <= cells), "{lines:?} at {cells}");
            }
        }
        assert_eq!(wrapped("one two three", 7, 1), ["one tw…"]);
    }

    #[test]
    fn commands_are_never_cut() {
        for width in 2..60 {
            let mut f = Fields::new(width);
            f.command("next", "windlass logs k7m2qd/02_execute", "all of its output", 10);
            let all: String = f.into_lines().iter().map(|l| l.to_text(false).replace(' ', "")).collect();
            assert!(all.contains("windlasslogsk7m2qd/02_execute"), "{width}: {all}");
        }
    }
}
