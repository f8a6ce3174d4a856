//! Styled lines: what every renderer of this crate returns, and the two ways to print them.

use crate::text::{self, char_width};
use crate::theme::{Mark, Tone, ascii};
use std::fmt::Write as _;

/// A piece of a line in one tone. Its text is clean by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    text: String,
    tone: Tone,
}

impl Span {
    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The tone.
    pub const fn tone(&self) -> Tone {
        self.tone
    }
}

/// One line of a frame: spans in order, no line break, no control byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    spans: Vec<Span>,
    width: usize,
}

impl Line {
    /// An empty line.
    pub const fn new() -> Self {
        Self { spans: Vec::new(), width: 0 }
    }

    /// A line of one span.
    pub fn of(tone: Tone, text: impl AsRef<str>) -> Self {
        let mut line = Self::new();
        line.push(tone, text);
        line
    }

    /// Adds a text, cleaned.
    pub fn push(&mut self, tone: Tone, text: impl AsRef<str>) -> &mut Self {
        let text = text::clean(text.as_ref());
        self.push_clean(tone, text)
    }

    /// Adds a text, cleaned and cut to `cells`.
    pub fn push_fit(&mut self, tone: Tone, text: impl AsRef<str>, cells: usize) -> &mut Self {
        let text = text::fit(&text::clean(text.as_ref()), cells);
        self.push_clean(tone, text)
    }

    /// Adds a glyph in its tone.
    pub fn glyph(&mut self, mark: Mark) -> &mut Self {
        self.push(mark.tone, mark.glyph.encode_utf8(&mut [0; 4]))
    }

    /// Adds `cells` spaces.
    pub fn space(&mut self, cells: usize) -> &mut Self {
        self.push_clean(Tone::Plain, " ".repeat(cells))
    }

    /// Adds spaces until the line is `cells` wide.
    pub fn pad_to(&mut self, cells: usize) -> &mut Self {
        self.space(cells.saturating_sub(self.width))
    }

    /// Adds all spans of another line.
    pub fn append(&mut self, other: Line) -> &mut Self {
        for span in other.spans {
            self.push_clean(span.tone, span.text);
        }
        self
    }

    fn push_clean(&mut self, tone: Tone, text: String) -> &mut Self {
        if !text.is_empty() {
            self.width += text::width(&text);
            match self.spans.last_mut() {
                Some(last) if last.tone == tone => last.text.push_str(&text),
                _ => self.spans.push(Span { text, tone }),
            }
        }
        self
    }

    /// The cells that it takes at most.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Whether it shows nothing.
    pub fn is_blank(&self) -> bool {
        self.spans.iter().all(|s| s.text.trim().is_empty())
    }

    /// The spans.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The line in at most `cells`, ending with `…` where something was cut off.
    #[must_use]
    pub fn fit(self, cells: usize) -> Self {
        if self.width <= cells {
            return self;
        }
        let mut out = Self::new();
        let room = cells.saturating_sub(1);
        for span in self.spans {
            let left = room - out.width;
            let w = text::width(&span.text);
            if w <= left {
                out.push_clean(span.tone, span.text);
                continue;
            }
            if cells > 0 {
                let (kept, _) = text::prefix(&span.text, left);
                let cut = format!("{}…", kept.trim_end());
                out.push_clean(span.tone, cut);
            }
            break;
        }
        out
    }

    /// The line on as many lines of at most `cells` as it needs, broken at blanks where possible; all but the first begin with
    /// `indent` blanks. Nothing is cut off.
    #[must_use]
    pub fn wrap(self, cells: usize, indent: usize) -> Vec<Self> {
        let cells = cells.max(2);
        if self.width <= cells {
            return vec![self];
        }
        // A wide character must have room behind it.
        let indent = indent.min(cells / 2).min(cells - 2);
        let mut lines = vec![Self::new()];
        // A word may change its tone on the way.
        for word in self.words() {
            let blanks: usize =
                word.iter().take_while(|s| s.text.trim().is_empty()).map(|s| text::width(&s.text)).sum();
            let letters = word.iter().map(|s| text::width(&s.text)).sum::<usize>() - blanks;
            let begins = lines.len() > 1 && lines.last().is_some_and(|l| l.width <= indent);
            let at = lines.last().map_or(0, |l| l.width);
            let mut skip = begins;
            if !begins && at > 0 && at + blanks + letters > cells {
                lines.push(Self::new());
                skip = true;
            }
            for span in word {
                if skip && span.text.trim().is_empty() {
                    continue;
                }
                let mut rest = span.text.as_str();
                while !rest.is_empty() {
                    let count = lines.len();
                    let Some(line) = lines.last_mut() else { break };
                    if count > 1 && line.width == 0 {
                        line.space(indent);
                    }
                    let (part, taken) = text::prefix(rest, cells.saturating_sub(line.width));
                    if taken == 0 {
                        lines.push(Self::new());
                        continue;
                    }
                    line.push_clean(span.tone, part.to_owned());
                    rest = rest.get(part.len()..).unwrap_or("");
                }
            }
        }
        lines
    }

    /// Its words, each with the blanks before it, in pieces of one tone.
    fn words(&self) -> Vec<Vec<Span>> {
        let mut words: Vec<Vec<Span>> = Vec::new();
        let mut in_blanks = false;
        for span in &self.spans {
            for piece in span.text.split_inclusive(' ') {
                let letters = piece.trim_end_matches(' ');
                for (text, blank) in [(letters, false), (piece.get(letters.len()..).unwrap_or(""), true)] {
                    if text.is_empty() {
                        continue;
                    }
                    if words.is_empty() || (blank && !in_blanks) {
                        words.push(Vec::new());
                    }
                    in_blanks = blank;
                    if let Some(word) = words.last_mut() {
                        word.push(Span { text: text.to_owned(), tone: span.tone });
                    }
                }
            }
        }
        words
    }

    /// The line as text without trailing blanks.
    pub fn to_text(&self, ascii: bool) -> String {
        let mut out = String::new();
        for span in &self.spans {
            push_text(&mut out, &span.text, ascii);
        }
        out.truncate(out.trim_end_matches(' ').len());
        out
    }

    /// The line with SGR sequences; every style that is begun is ended.
    pub fn to_ansi(&self, ascii: bool) -> String {
        let mut out = String::new();
        let last = self.spans.iter().rposition(|s| !s.text.trim_end_matches(' ').is_empty());
        for (i, span) in self.spans.iter().enumerate().take(last.map_or(0, |l| l + 1)) {
            let text = if Some(i) == last { span.text.trim_end_matches(' ') } else { &span.text };
            let sgr = span.tone.sgr();
            if sgr.is_empty() || text.trim().is_empty() {
                push_text(&mut out, text, ascii);
            } else {
                let _ = write!(out, "\u{1b}[{sgr}m");
                push_text(&mut out, text, ascii);
                out.push_str("\u{1b}[0m");
            }
        }
        out
    }
}

fn push_text(out: &mut String, text: &str, as_ascii: bool) {
    if !as_ascii || text.is_ascii() {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        // Width for width, so that columns stay aligned.
        for _ in 0..char_width(c) {
            out.push(ascii(c));
        }
    }
}

/// How lines become bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paint {
    /// Whether SGR sequences are wanted. The caller decides, by terminal, `NO_COLOR` and `--color`.
    pub color: bool,
    /// Whether only ASCII may be written: the locale is not UTF-8.
    pub ascii: bool,
}

impl Paint {
    /// One line, without line break.
    pub fn line(self, line: &Line) -> String {
        if self.color { line.to_ansi(self.ascii) } else { line.to_text(self.ascii) }
    }

    /// Lines, each ended with a line feed.
    pub fn lines(self, lines: &[Line]) -> String {
        lines.iter().fold(String::new(), |mut out, line| {
            out.push_str(&self.line(line));
            out.push('\n');
            out
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::run_mark;
    use proptest::prelude::*;
    use windlass_events::{Proof, RunStatus};

    #[test]
    fn text_ansi_and_ascii_agree() {
        let mut line = Line::new();
        line.glyph(run_mark(RunStatus::Completed, Proof::Proven))
            .space(1)
            .push(Tone::Dim, "日本 → x")
            .space(3);
        assert_eq!(line.to_text(false), "✓ 日本 → x");
        assert_eq!(line.to_text(true), "+ ???? > x");
        assert_eq!(line.to_ansi(false), "\u{1b}[32m✓\u{1b}[0m \u{1b}[2m日本 → x\u{1b}[0m");
        assert_eq!(line.width(), 13);
        assert_eq!(line.fit(5).to_text(false), "✓ 日…");
    }

    #[test]
    fn a_wrapped_line_loses_nothing() {
        let mut line = Line::of(Tone::Dim, "why");
        line.pad_to(6).push(Tone::Plain, "one two, ").push(Tone::Strong, "thr").push(Tone::Bad, "ee four");
        let wrapped =
            |cells| line.clone().wrap(cells, 6).iter().map(|l| l.to_text(false)).collect::<Vec<_>>();
        assert_eq!(wrapped(40), ["why   one two, three four"]);
        assert_eq!(wrapped(21), ["why   one two, three", "      four"]);
        assert_eq!(wrapped(14), ["why   one two,", "      three", "      four"]);
    }

    proptest! {
        #[test]
        fn a_wrapped_line_fits_and_is_whole(
            parts in prop::collection::vec(" {0,3}[a-z日]{0,30} {0,3}", 0..6), cells in 2usize..60, indent in 0usize..12,
        ) {
            let mut line = Line::new();
            for (i, part) in parts.iter().enumerate() {
                line.push(Tone::ALL[i % Tone::ALL.len()], part);
            }
            let letters = |lines: &[Line]| -> String {
                lines.iter().map(|l| l.to_text(false)).collect::<String>().replace(' ', "")
            };
            let before = letters(std::slice::from_ref(&line));
            let wrapped = line.wrap(cells, indent);
            prop_assert_eq!(letters(&wrapped), before);
            prop_assert!(wrapped.iter().all(|l| l.width() <= cells), "{:?}", wrapped);
        }

        #[test]
        fn a_fitted_line_fits(parts in prop::collection::vec(any::<String>(), 0..6), cells in 0usize..60) {
            let mut line = Line::new();
            for (i, part) in parts.iter().enumerate() {
                line.push(Tone::ALL[i % Tone::ALL.len()], part);
            }
            let whole = line.width();
            let fitted = line.fit(cells);
            prop_assert!(fitted.width() <= cells);
            prop_assert!(whole > cells || fitted.width() == whole);
            prop_assert_eq!(text::width(&fitted.to_text(true)), text::width(&fitted.to_text(false)));
        }
    }
}
