//! Making text from outside safe to quote in a prompt.

use std::fmt::Write as _;

/// Quotes a text as a fenced block that nothing in it can close: the fence is longer than any run of backticks inside.
pub fn fenced(text: &str, kind: &str) -> String {
    let safe = visible(text);
    let fence = "`".repeat((longest_run(&safe) + 1).max(3));
    let end = if safe.is_empty() || safe.ends_with('\n') { "" } else { "\n" };
    format!("{fence}{kind}\n{safe}{end}{fence}\n")
}

/// The text in a fence, held to a room that counts the fence as well where it is long: a text of nothing but backticks may not
/// triple. Also says whether something is left out.
pub(crate) fn fenced_fit(text: &str, room: usize, kind: &str) -> (String, bool) {
    const ORDINARY: usize = 32;
    let (shown, cut) = fit(text, room);
    if longest_run(&shown) <= ORDINARY {
        return (fenced(&shown, kind), cut);
    }
    let (shown, cut) = fit(text, room / 3);
    (fenced(&shown, kind), cut)
}

/// Words of people, quoted line by line: they are to be followed, but no fence or heading in them is one of the prompt's.
pub(crate) fn quoted_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        out.push_str(if line.is_empty() { ">" } else { "> " });
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Whether words can stand as they are: nothing in them opens a fence or looks like a heading of the prompt.
pub(crate) fn is_tame(text: &str) -> bool {
    text.lines()
        .map(str::trim_start)
        .all(|l| !l.starts_with("```") && !l.starts_with("~~~") && !l.starts_with('#'))
}

fn longest_run(text: &str) -> usize {
    let (mut longest, mut run) = (0, 0);
    for b in text.bytes() {
        run = if b == b'`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// Control characters other than line feed and tab, and marks that turn the direction of text, written out as `\u{1b}`.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || is_hidden(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Characters that are not seen but change how others are: direction, zero width, and the tag block, in which text can hide.
const fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// A short text as inline code on one line, at most 200 characters.
pub fn code(text: &str) -> String {
    let mut line: String =
        visible(text).chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).take(201).collect();
    if line.chars().count() > 200 {
        line.pop();
        line.push('…');
    }
    let ticks = "`".repeat(longest_run(&line) + 1);
    let pad = if line.starts_with('`') || line.ends_with('`') || line.is_empty() { " " } else { "" };
    format!("{ticks}{pad}{line}{pad}{ticks}")
}

/// Beginning and end of a text, made visible, within `room` bytes; and whether something is left out.
pub(crate) fn fit(text: &str, room: usize) -> (String, bool) {
    const MARK: &str = "\n[… left out here …]\n";
    // Writing out never shortens, so what is beyond the room need not be looked at.
    if text.len() <= room {
        let whole = visible(text);
        if whole.len() <= room {
            return (whole, false);
        }
    }
    let Some(room) = room.checked_sub(MARK.len()) else { return (String::new(), true) };
    let (first, last) = (room * 3 / 5, room - room * 3 / 5);
    let head = visible(&text[..text.floor_char_boundary(first)]);
    let tail = visible(&text[text.ceil_char_boundary(text.len().saturating_sub(last))..]);
    let head = &head[..head.floor_char_boundary(first)];
    let tail = &tail[tail.ceil_char_boundary(tail.len().saturating_sub(last))..];
    (format!("{head}{MARK}{tail}"), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hidden_text_is_seen() {
        assert_eq!(
            visible("a\u{1b}[2J\r\nb\u{202e}c\u{e0041}\td"),
            "a\\u{1b}[2J\\r\nb\\u{202e}c\\u{e0041}\td"
        );
        assert_eq!(code("a`b\nc"), "``a`b c``");
        assert_eq!(code(""), "`  `");
    }

    proptest! {
        #[test]
        fn no_text_closes_its_fence(text in "[`~a \n]{0,60}|.*", kind in "[a-z]{0,6}") {
            let block = fenced(&text, &kind);
            let fence: String = block.chars().take_while(|&c| c == '`').collect();
            let lines: Vec<&str> = block.lines().collect();
            let closing = lines.iter().skip(1).filter(|l| l.trim_start().starts_with(&fence)).count();
            prop_assert_eq!(closing, 1);
            prop_assert_eq!(lines.last().copied(), Some(fence.as_str()));
        }

        #[test]
        fn what_is_cut_fits_and_keeps_both_ends(text in ".{0,400}", room in 0usize..300) {
            let (shown, cut) = fit(&text, room);
            prop_assert!(shown.len() <= room);
            prop_assert_eq!(cut, visible(&text).len() > room);
        }

        #[test]
        fn inline_code_is_one_line(text in ".*") {
            let line = code(&text);
            prop_assert!(!line.contains('\n') && line.chars().count() < 700);
        }
    }
}
