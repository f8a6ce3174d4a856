//! Foreign bytes made safe for a terminal without losing any of them.

/// Appends bytes as text. What a terminal would act on, what is not seen, and what is not UTF-8 is written as an escape
/// such as `\x1b`, `\u{202e}` or `\xff`. Tabs stay.
pub(super) fn escape_into(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        if valid.bytes().all(|b| (0x20..0x7f).contains(&b) || b == b'\t') {
            out.push_str(valid);
        } else {
            for c in valid.chars() {
                push_char(out, c);
            }
        }
        for byte in chunk.invalid() {
            push_byte(out, *byte);
        }
    }
}

/// The same as a text of its own.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    escape_into(&mut out, bytes);
    out
}

/// Lines of a text, escaped, each ended with a line feed; the last one too.
pub(crate) fn escape_lines(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 1);
    for line in bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|b| *b == b'\n') {
        escape_into(&mut out, line);
        out.push('\n');
    }
    out
}

fn push_char(out: &mut String, c: char) {
    match c {
        '\t' => out.push(c),
        c if c.is_ascii_control() => push_byte(out, c as u8),
        c if c.is_control() || is_hidden(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

fn push_byte(out: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push_str("\\x");
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

/// Characters that reorder or hide others.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_act_on_is_shown() {
        assert_eq!(escaped(b"a\tb\x1b[31m\xff\r"), "a\tb\\x1b[31m\\xff\\x0d");
        assert_eq!(escaped("ü \u{202e}x\u{9b}0m".as_bytes()), "ü \\u{202e}x\\u{9b}0m");
        assert_eq!(escape_lines(b"a\n\nb"), "a\n\nb\n");
        assert_eq!(escape_lines(b"a\n"), "a\n");
    }

    proptest! {
        #[test]
        fn nothing_of_it_reaches_a_terminal(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = escaped(&bytes);
            prop_assert!(text.chars().all(|c| c == '\t' || (!c.is_control() && !is_hidden(c))));
        }

        #[test]
        fn lines_stay_lines(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..100)) {
            let text = escape_lines(&bytes);
            let lines = bytes.strip_suffix(b"\n").unwrap_or(&bytes).split(|b| *b == b'\n').count();
            prop_assert_eq!(text.matches('\n').count(), lines);
        }
    }
}
