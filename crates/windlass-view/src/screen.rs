//! Redraws a frame in place on a terminal, with as few bytes as that takes.
//!
//! No alternate screen and no hidden cursor: whatever happens to the program, the terminal needs no repair. The cursor
//! rests at the beginning of the line below the frame. What is finished is printed above the frame and scrolls away.
//! This type makes bytes and writes none.
//!
//! When a terminal becomes narrower it wraps the lines that are on it, and some (tmux) move the first of them into the
//! scrollback at once. What is on the screen is always right after the next draw; what scrolled away cannot be reached.

use crate::line::{Line, Paint};
use crate::text;
use std::fmt::Write as _;

/// Begins a synchronised update: terminals that know it show the frame at once, others ignore it.
const SYNC_BEGIN: &str = "\u{1b}[?2026h";
/// Ends it.
const SYNC_END: &str = "\u{1b}[?2026l";

/// The size of a terminal in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Cells per line; at least 1 is assumed.
    pub width: usize,
    /// Lines; at least 2 are assumed.
    pub height: usize,
}

impl Size {
    /// Lines that a frame may have, so that it and the cursor below it fit.
    pub fn frame_height(self) -> usize {
        self.height.saturating_sub(1).max(1)
    }
}

/// What is on the terminal, and how to get from there to what should be.
#[derive(Debug)]
pub struct LiveScreen {
    paint: Paint,
    sync: bool,
    shown: Vec<Shown>,
    size: Option<Size>,
}

#[derive(Debug, PartialEq, Eq)]
struct Shown {
    bytes: String,
    width: usize,
}

impl LiveScreen {
    /// Nothing is shown yet. `sync` wraps each redraw in a synchronised update.
    pub fn new(paint: Paint, sync: bool) -> Self {
        Self { paint, sync, shown: Vec::new(), size: None }
    }

    /// Bytes that show `frame` in the place of the last one. Empty when nothing changed.
    ///
    /// A frame taller than [`Size::frame_height`] loses its first lines.
    pub fn draw(&mut self, frame: &[Line], size: Size) -> String {
        self.redraw(&[], frame, size)
    }

    /// Bytes that print `lines` for good above the frame, and the frame below them.
    pub fn print_above(&mut self, lines: &[Line], frame: &[Line], size: Size) -> String {
        self.redraw(lines, frame, size)
    }

    /// Bytes that take the frame off the screen, such as before a question is asked. The next draw shows it again.
    pub fn clear(&mut self, size: Size) -> String {
        self.redraw(&[], &[], size)
    }

    /// Bytes that put `card` in the place of the frame, for good.
    pub fn finish(mut self, card: &[Line], size: Size) -> String {
        self.redraw(card, &[], size)
    }

    fn redraw(&mut self, above: &[Line], frame: &[Line], size: Size) -> String {
        let skip = frame.len().saturating_sub(size.frame_height());
        let next: Vec<Shown> =
            frame.iter().skip(skip).map(|l| self.shown_line(l.clone().fit(size.width.max(1)))).collect();
        let resized = self.size.is_some_and(|old| old != size);
        if above.is_empty() && !resized && next == self.shown {
            return String::new();
        }
        let mut out = String::new();
        if self.sync {
            out.push_str(SYNC_BEGIN);
        }
        let up = self.rows_up(size);
        if up > 0 {
            let _ = write!(out, "\r\u{1b}[{up}A");
        }
        if resized || !above.is_empty() {
            // Rows may have been wrapped anew, or everything moves: begin from an empty place.
            if !self.shown.is_empty() {
                out.push_str("\u{1b}[J");
            }
            self.shown.clear();
        }
        for line in above {
            out.push_str(&self.paint.line(line));
            out.push_str("\r\n");
        }
        for (i, line) in next.iter().enumerate() {
            match self.shown.get(i) {
                Some(old) if old == line => {}
                // Erased before it is written: after a full line the cursor stands on its last cell.
                Some(_) => {
                    out.push_str("\u{1b}[2K");
                    out.push_str(&line.bytes);
                }
                None => out.push_str(&line.bytes),
            }
            out.push_str("\r\n");
        }
        if next.len() < self.shown.len() {
            out.push_str("\u{1b}[J");
        }
        if self.sync {
            out.push_str(SYNC_END);
        }
        self.shown = next;
        self.size = Some(size);
        out
    }

    fn shown_line(&self, line: Line) -> Shown {
        // Blanks at the end are not printed, so they are not wrapped either.
        Shown { width: text::width(&line.to_text(self.paint.ascii)), bytes: self.paint.line(&line) }
    }

    /// How many rows the cursor is below the beginning of what is shown. A terminal that became narrower has wrapped
    /// the lines that no longer fit.
    fn rows_up(&self, size: Size) -> usize {
        let width = size.width.max(1);
        let narrower = self.size.is_some_and(|old| width < old.width);
        let rows: usize = if narrower {
            self.shown.iter().map(|l| l.width.div_ceil(width).max(1)).sum()
        } else {
            self.shown.len()
        };
        // The cursor cannot go above the first row of the screen.
        rows.min(size.height.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::Tone;
    use proptest::prelude::*;

    fn lines(texts: &[&str]) -> Vec<Line> {
        texts.iter().map(|t| Line::of(Tone::Accent, t)).collect()
    }

    fn terminal(rows: u16, columns: u16) -> vt100::Parser {
        vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 100)
    }

    fn rows(parser: &vt100::Parser) -> Vec<String> {
        let mut rows: Vec<String> = parser.screen().rows(0, parser.screen().size().1.get()).collect();
        while rows.last().is_some_and(|r| r.trim().is_empty()) {
            rows.pop();
        }
        rows
    }

    const SIZE: Size = Size { width: 20, height: 6 };

    fn screen() -> (LiveScreen, vt100::Parser) {
        let paint = Paint { color: true, ascii: false };
        (LiveScreen::new(paint, true), terminal(6, 20))
    }

    #[test]
    fn a_frame_is_redrawn_in_place_and_replaced_by_the_card() {
        let (mut live, mut term) = screen();
        term.process(b"$ windlass run\r\n");
        term.process(live.draw(&lines(&["one", "two", "three"]), SIZE).as_bytes());
        assert_eq!(rows(&term), ["$ windlass run", "one", "two", "three"]);
        term.process(live.draw(&lines(&["one", "2", "three"]), SIZE).as_bytes());
        assert_eq!(rows(&term), ["$ windlass run", "one", "2", "three"]);
        assert_eq!(live.draw(&lines(&["one", "2", "three"]), SIZE), "");
        term.process(live.draw(&lines(&["x"]), SIZE).as_bytes());
        assert_eq!(rows(&term), ["$ windlass run", "x"]);
        let above = live.print_above(&lines(&["done: a"]), &lines(&["y"]), SIZE);
        term.process(above.as_bytes());
        assert_eq!(rows(&term), ["$ windlass run", "done: a", "y"]);
        term.process(live.clear(SIZE).as_bytes());
        assert_eq!(rows(&term), ["$ windlass run", "done: a"]);
        term.process(live.draw(&lines(&["z"]), SIZE).as_bytes());
        term.process(live.finish(&lines(&["card"]), SIZE).as_bytes());
        assert_eq!(rows(&term), ["$ windlass run", "done: a", "card"]);
        assert_eq!(term.screen().cursor_position(), (3, 0));
    }

    #[test]
    fn only_what_changed_is_written() {
        let (mut live, _) = screen();
        live.draw(&lines(&["aaaa", "bbbb", "cccc"]), SIZE);
        let bytes = live.draw(&lines(&["aaaa", "bbbb", "dddd"]), SIZE);
        assert!(!bytes.contains("aaaa") && !bytes.contains("bbbb") && bytes.contains("dddd"), "{bytes:?}");
    }

    #[test]
    fn a_full_width_line_keeps_its_last_cell() {
        let (mut live, mut term) = screen();
        let full = "x".repeat(20);
        term.process(live.draw(&lines(&[&full, "b"]), SIZE).as_bytes());
        let other = "y".repeat(20);
        term.process(live.draw(&lines(&[&other, "b"]), SIZE).as_bytes());
        assert_eq!(rows(&term), [other.as_str(), "b"]);
    }

    #[test]
    fn a_frame_in_a_full_screen_stays_in_its_place() {
        let (mut live, mut term) = screen();
        for i in 0..10 {
            term.process(format!("line {i}\r\n").as_bytes());
        }
        let tall = ["a", "b", "c", "d", "e", "f", "g"];
        term.process(live.draw(&lines(&tall), SIZE).as_bytes());
        assert_eq!(rows(&term), ["c", "d", "e", "f", "g"]);
        term.process(live.draw(&lines(&["a", "b"]), SIZE).as_bytes());
        assert_eq!(rows(&term), ["a", "b"]);
    }

    #[test]
    fn a_narrower_terminal_is_cleared_where_lines_were_wrapped() {
        let (mut live, mut term) = screen();
        term.process(b"$ run\r\n");
        let blanks_at_the_end = format!("z{}", " ".repeat(18));
        term.process(live.draw(&lines(&["0123456789abcde", &blanks_at_the_end]), SIZE).as_bytes());
        // What a terminal that wraps lines anew shows at a width of 10.
        let mut narrow = terminal(6, 10);
        narrow.process(b"$ run\r\n0123456789\r\nabcde\r\nz\r\n");
        let size = Size { width: 10, height: 6 };
        narrow.process(live.draw(&lines(&["0123456789abcde", "z"]), size).as_bytes());
        assert_eq!(rows(&narrow), ["$ run", "012345678…", "z"]);
    }

    proptest! {
        #[test]
        fn the_terminal_always_shows_the_last_frame(
            frames in prop::collection::vec(prop::collection::vec("[a-c日]{0,14}", 0..7), 1..8),
        ) {
            let (mut live, mut term) = screen();
            term.process(b"$ run\r\n");
            for frame in &frames {
                let frame: Vec<Line> = frame.iter().map(|t| Line::of(Tone::Good, t)).collect();
                let bytes = live.draw(&frame, SIZE);
                prop_assert!(!bytes.contains("[?1049"));
                term.process(bytes.as_bytes());
                let skip = frame.len().saturating_sub(5);
                let mut want: Vec<String> =
                    frame.iter().skip(skip).map(|l| l.clone().fit(20).to_text(false)).collect();
                let height = want.len();
                while want.last().is_some_and(|r| r.is_empty()) {
                    want.pop();
                }
                let got = rows(&term);
                let at = usize::from(term.screen().cursor_position().0).saturating_sub(height);
                let got = if want.is_empty() { &[][..] } else { &got[at..] };
                prop_assert_eq!(got, &want[..]);
            }
        }
    }
}
