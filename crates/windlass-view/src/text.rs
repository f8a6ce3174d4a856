//! Foreign text made safe and measured in terminal cells.
//!
//! Everything shown goes through [`clean`]: no control byte, no escape sequence, no character that reorders, hides or
//! joins others is left. What remains can be measured character by character, so a width computed here is never less
//! than what any terminal uses.

use unicode_width::UnicodeWidthChar;

/// How much of one text is looked at, in bytes. A longer one is cut and ends with `…`.
pub const MAX_SCAN: usize = 16 * 1024;

/// Stands for a character that must not reach a terminal.
const REPLACEMENT: char = '\u{fffd}';

/// Combining marks kept on one character; more are dropped.
const MAX_MARKS: usize = 2;

/// The cells that a clean character takes: 0 for a combining mark, 1, or 2.
pub fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// The cells that a clean text takes at most.
pub fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char_width).sum() }
}

/// The text on one line, safe for any terminal: line breaks and tabs become one space, escape sequences disappear,
/// other control characters and bidirectional overrides become `�`.
pub fn clean(text: &str) -> String {
    let (text, cut) = head(text);
    if !cut && text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                skip_escape(&mut chars);
                continue;
            }
            '\u{9b}' => {
                skip_csi(&mut chars);
                continue;
            }
            '\r' if chars.peek() == Some(&'\n') => continue,
            '\n' | '\t' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push(' '),
            c if c.is_control() || is_reordering(c) => out.push(REPLACEMENT),
            c if is_invisible(c) => continue,
            c if char_width(c) == 0 => {
                marks += 1;
                if marks <= MAX_MARKS && !out.is_empty() && !out.ends_with(' ') {
                    out.push(c);
                }
                continue;
            }
            c => out.push(c),
        }
        marks = 0;
    }
    if cut {
        out.push('…');
    }
    out
}

/// The first bytes of a text, at most [`MAX_SCAN`], and whether there are more.
fn head(text: &str) -> (&str, bool) {
    if text.len() <= MAX_SCAN {
        return (text, false);
    }
    (text.get(..text.floor_char_boundary(MAX_SCAN)).unwrap_or(""), true)
}

/// Passes over what follows an ESC: a control sequence, a string up to its terminator, or a two-character sequence.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_csi(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            // A string without terminator would swallow the rest of the line; a line break ends it too.
            while let Some(&c) = chars.peek() {
                match c {
                    '\u{7}' | '\u{9c}' => {
                        chars.next();
                        return;
                    }
                    '\n' | '\u{1b}' => {
                        if c == '\u{1b}' {
                            chars.next();
                            if chars.peek() == Some(&'\\') {
                                chars.next();
                            }
                        }
                        return;
                    }
                    _ => {
                        chars.next();
                    }
                }
            }
        }
        Some(c) if ('\u{20}'..='\u{2f}').contains(c) => {
            while chars.next_if(|c| ('\u{20}'..='\u{2f}').contains(c)).is_some() {}
            chars.next_if(|c| ('\u{30}'..='\u{7e}').contains(c));
        }
        Some(c) if ('\u{30}'..='\u{7e}').contains(c) => {
            chars.next();
        }
        _ => {}
    }
}

/// Passes over the rest of a control sequence: parameters, intermediates, one final character.
fn skip_csi(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while chars.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {}
    chars.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
}

/// Characters that change the order in which others are shown.
fn is_reordering(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters that show nothing, or join their neighbours, so that terminals disagree on widths.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The longest beginning of a clean text that takes at most `cells`, and the cells that it takes.
pub fn prefix(text: &str, cells: usize) -> (&str, usize) {
    if text.is_ascii() {
        let end = text.len().min(cells);
        return (text.get(..end).unwrap_or(text), end);
    }
    let mut used = 0;
    for (at, c) in text.char_indices() {
        let w = char_width(c);
        if used + w > cells {
            return (text.get(..at).unwrap_or(""), used);
        }
        used += w;
    }
    (text, used)
}

/// A clean text in at most `cells`, ending with `…` where something was cut off.
pub fn fit(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    if cells == 0 {
        return String::new();
    }
    let (kept, _) = prefix(text, cells - 1);
    format!("{}…", kept.trim_end())
}

/// A clean text in at most `cells`, beginning with `…` where something was cut off: for paths.
pub fn fit_end(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let mut used = 1;
    let mut from = text.len();
    for (at, c) in text.char_indices().rev() {
        used += char_width(c);
        if used > cells {
            break;
        }
        // A mark is kept only together with the character that it stands on.
        if char_width(c) > 0 {
            from = at;
        }
    }
    if cells == 0 { String::new() } else { format!("…{}", text.get(from..).unwrap_or("")) }
}

/// A clean text in lines of at most `cells`, broken between words where possible. Never empty.
pub fn wrap(text: &str, cells: usize) -> Vec<String> {
    let cells = cells.max(2);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let mut word = word;
        let mut w = width(word);
        if used > 0 && used + 1 + w <= cells {
            line.push(' ');
            line.push_str(word);
            used += 1 + w;
            continue;
        }
        if used > 0 {
            lines.push(std::mem::take(&mut line));
        }
        while w > cells {
            let (part, taken) = prefix(word, cells);
            lines.push(part.to_owned());
            word = word.get(part.len()..).unwrap_or("");
            w -= taken;
        }
        line.push_str(word);
        used = w;
    }
    if used > 0 || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// The non-empty lines of a text, each clean. At most `limit`; the text is looked at for [`MAX_SCAN`] bytes.
pub fn lines(text: &str, limit: usize) -> Vec<String> {
    head(text)
        .0
        .lines()
        .map(|l| clean(l).trim_end().to_owned())
        .filter(|l| !l.is_empty())
        .take(limit)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn escape_sequences_disappear_and_controls_show() {
        assert_eq!(clean("\u{1b}[1;31merror\u{1b}[0m: x"), "error: x");
        assert_eq!(clean("\u{1b}]0;title\u{7}body"), "body");
        assert_eq!(clean("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\"), "link");
        assert_eq!(clean("a\u{1b}(Bb\u{1b}cd\u{1b}"), "abd");
        assert_eq!(clean("\u{9b}2Jx"), "x");
        assert_eq!(clean("a\r\nb\tc\u{0}d\u{7f}"), "a b c�d�");
        assert_eq!(clean("user\u{202e}gpj.exe"), "user�gpj.exe");
        assert_eq!(clean("\u{1b}]0;never ended\nnext"), " next");
    }

    #[test]
    fn marks_are_few_and_invisible_ones_are_none() {
        assert_eq!(clean("e\u{301}"), "e\u{301}");
        assert_eq!(clean("e\u{301}\u{301}\u{301}\u{301}x"), "e\u{301}\u{301}x");
        assert_eq!(clean("\u{301}x"), "x");
        assert_eq!(clean("👩\u{200d}👩\u{200d}👧\u{fe0f}"), "👩👩👧");
        assert_eq!(width(&clean("👩\u{200d}👩")), 4);
    }

    #[test]
    fn cutting_says_so() {
        assert_eq!(fit("hello", 5), "hello");
        assert_eq!(fit("hello!", 5), "hell…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 1), "…");
        assert_eq!(fit("x", 0), "");
        assert_eq!(fit_end("/home/ada/src/parser", 8), "…/parser");
        assert_eq!(fit_end("日本語", 4), "…語");
        let long = clean(&"y".repeat(MAX_SCAN * 2));
        assert!(long.ends_with('…') && long.len() < MAX_SCAN + 8);
    }

    #[test]
    fn words_stay_whole_where_they_can() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("日本語", 1), ["日", "本", "語"]);
    }

    proptest! {
        #[test]
        fn clean_text_has_nothing_to_fear(text in any::<String>()) {
            let out = clean(&text);
            prop_assert!(!out.chars().any(|c| c.is_control() || is_reordering(c) || is_invisible(c)));
            prop_assert!(UnicodeWidthStr::width(out.as_str()) <= width(&out));
            prop_assert_eq!(clean(&out), out);
        }

        #[test]
        fn nothing_is_wider_than_asked(text in any::<String>(), cells in 0usize..40) {
            let text = clean(&text);
            prop_assert!(width(&fit(&text, cells)) <= cells);
            prop_assert!(width(&fit_end(&text, cells)) <= cells);
            for line in wrap(&text, cells) {
                prop_assert!(width(&line) <= cells.max(2));
            }
        }
    }
}
