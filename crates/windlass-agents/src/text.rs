//! Making foreign text safe to hold and to show: bounded, and without control bytes where a line or a name is meant.

/// Longest name (tool, model, session, id) in characters.
pub const NAME_LIMIT: usize = 120;
/// Longest one-line text in characters.
pub const LINE_LIMIT: usize = 500;
/// Longest piece of running text in an event, in bytes.
pub const TEXT_LIMIT: usize = 16 * 1024;
/// Longest arguments and longest output of a tool in an event, in bytes.
pub const TOOL_LIMIT: usize = 4 * 1024;

/// At most `limit` bytes of a text, cut between characters, with a mark that says so.
pub fn clip(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(limit)])
}

/// Beginning and end of a text within about `limit` bytes, and whether something is left out.
pub fn head_and_tail(text: &str, limit: usize) -> (String, bool) {
    if text.len() <= limit {
        return (text.to_owned(), false);
    }
    let head = text.floor_char_boundary(limit / 2);
    let tail = text.ceil_char_boundary(text.len() - limit / 2);
    (format!("{}\n… ({} bytes left out) …\n{}", &text[..head], tail - head, &text[tail..]), true)
}

/// The last `limit` bytes of a text, cut between characters.
pub fn tail(text: &str, limit: usize) -> &str {
    if text.len() <= limit { text } else { &text[text.ceil_char_boundary(text.len() - limit)..] }
}

/// One line without control bytes, terminal sequences or direction marks, at most `limit` characters.
pub fn one_line(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    let mut space = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            skip_escape(&mut chars);
            continue;
        }
        if c.is_whitespace() || c.is_control() || is_invisible(c) {
            space = !out.is_empty();
            continue;
        }
        if count + usize::from(space) >= limit {
            out.push('…');
            break;
        }
        if space {
            out.push(' ');
            count += 1;
            space = false;
        }
        out.push(c);
        count += 1;
    }
    out
}

/// A few lines, each as [`one_line`], at most `count` of them; blank ones are left out.
pub fn few_lines(text: &str, count: usize) -> String {
    let lines = text.lines().map(|line| one_line(line, LINE_LIMIT)).filter(|line| !line.is_empty());
    lines.take(count).collect::<Vec<_>>().join("\n")
}

/// A name: one line of at most [`NAME_LIMIT`] characters.
pub fn name(text: &str) -> String {
    one_line(text, NAME_LIMIT)
}

/// Leaves out what follows an escape character and belongs to it.
fn skip_escape(chars: &mut std::str::Chars<'_>) {
    let mut ahead = chars.clone();
    match ahead.next() {
        // CSI: parameters, then one final byte.
        Some('[') => {
            *chars = ahead;
            for c in chars.by_ref().take(64) {
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        }
        // OSC and its like: up to BEL or the next escape.
        Some(']' | 'P' | '^' | '_') => {
            *chars = ahead;
            for c in chars.by_ref().take(4_096) {
                if c == '\u{7}' || c == '\u{1b}' {
                    break;
                }
            }
        }
        Some(c) if c.is_ascii() => *chars = ahead,
        _ => {}
    }
}

/// Characters that are not shown but change how the rest is.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_hold_nothing_that_moves_a_cursor() {
        assert_eq!(one_line("\u{1b}[31mred\u{1b}[0m\r\n next\ttab", 100), "red next tab");
        assert_eq!(one_line("\u{1b}]0;title\u{7}x\u{202e}y", 100), "x y");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(name("a\0b"), "a b");
    }

    proptest! {
        #[test]
        fn texts_stay_within_bounds(text in "\\PC*|[\\x00-\\x1f\u{1b}\\[a-z é]*", limit in 0usize..64) {
            let line = one_line(&text, limit);
            prop_assert!(line.chars().count() <= limit + 1);
            prop_assert!(!line.chars().any(char::is_control));
            prop_assert!(!few_lines(&text, 3).chars().any(|c| c.is_control() && c != '\n'));
            prop_assert!(clip(&text, limit).len() <= limit + '…'.len_utf8());
            prop_assert!(tail(&text, limit).len() <= limit);
            let (short, cut) = head_and_tail(&text, limit);
            prop_assert!(short.len() <= limit + 60);
            prop_assert_eq!(cut, text.len() > limit);
        }
    }
}
