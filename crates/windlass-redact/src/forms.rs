//! The forms in which one secret value shows up in output: raw, inside JSON, in base64, percent-encoded.

/// Values shorter than this many bytes are not replaced: they would also hit harmless text, and they are no secrets.
pub const MIN_SECRET_LEN: usize = 6;

/// Values of secret-looking variables that are no secrets: defaults that everybody knows and that stand in harmless text
/// everywhere. Replacing them would only mangle output.
pub const KNOWN_WORDS: &[&str] = &[
    "changeme",
    "default",
    "development",
    "disabled",
    "enabled",
    "example",
    "localhost",
    "minioadmin",
    "mysql",
    "password",
    "postgres",
    "postgresql",
    "production",
    "public",
    "rabbitmq",
    "secret",
    "standard",
    "testing",
    "undefined",
];

/// Longer values are replaced piecewise, which bounds what a stream must hold back and the size of the automaton.
pub const MAX_PIECE_LEN: usize = 4096;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Columns after which `base64` and PEM writers break lines.
const BASE64_COLUMNS: [usize; 2] = [76, 64];

/// Every form of `secret` that is looked for, without repeats. Empty when the value is too short to be replaced.
///
/// White space around the value does not belong to it: keys are often kept with a newline at their end.
pub fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let secret = secret.trim_ascii();
    let known = || KNOWN_WORDS.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(secret));
    let in_marker = || crate::MARKER.as_bytes().windows(secret.len()).any(|w| w == secret);
    if secret.len() < MIN_SECRET_LEN || known() || in_marker() {
        return Vec::new();
    }
    let mut out = Vec::new();
    for piece in pieces(secret) {
        forms_of_piece(piece, &mut out);
    }
    wrapped_base64(secret, &mut out);
    // A key of many lines is also shown line by line, numbered or indented.
    if secret.contains(&b'\n') {
        let lines = secret.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
        let telling = |line: &&[u8]| (32..=MAX_PIECE_LEN).contains(&line.len()) && !line.contains(&b' ');
        out.extend(lines.filter(telling).map(<[u8]>::to_vec));
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// Cuts a long value into pieces, none of them shorter than [`MIN_SECRET_LEN`].
fn pieces(secret: &[u8]) -> Vec<&[u8]> {
    let mut rest = secret;
    let mut out = Vec::new();
    while rest.len() > MAX_PIECE_LEN + MIN_SECRET_LEN {
        let (piece, tail) = rest.split_at(MAX_PIECE_LEN);
        out.push(piece);
        rest = tail;
    }
    out.push(rest);
    out
}

fn forms_of_piece(piece: &[u8], out: &mut Vec<Vec<u8>>) {
    out.push(piece.to_vec());
    out.push(percent(piece));
    if let Ok(text) = std::str::from_utf8(piece) {
        for style in [Json::Plain, Json::Ascii, Json::Html] {
            let once = json(text, style);
            // Tool output is JSON text inside the JSON line of an agent: escaped twice.
            out.push(json(&once, style).into_bytes());
            out.push(once.into_bytes());
        }
    }
    for alphabet in [STANDARD, URL_SAFE] {
        for shift in 0..3 {
            let middle = base64_middle(piece, shift, alphabet);
            if middle.len() >= MIN_SECRET_LEN {
                out.push(middle);
            }
        }
        let mut whole = base64(piece, alphabet);
        out.push(whole.clone());
        while whole.last() == Some(&b'=') {
            whole.pop();
        }
        out.push(whole);
    }
}

/// How a writer of JSON escapes what it need not escape.
#[derive(Clone, Copy)]
enum Json {
    /// Only what must be: quotes, backslashes, controls (serde, JavaScript).
    Plain,
    /// Everything beyond ASCII as well (Python).
    Ascii,
    /// `<`, `>` and `&` as well (Go).
    Html,
}

fn json(text: &str, style: Json) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let unit = |out: &mut String, u: u32| {
        out.push_str("\\u");
        for shift in [12, 8, 4, 0] {
            out.push(char::from_digit((u >> shift) & 0xf, 16).unwrap_or('0'));
        }
    };
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 => unit(&mut out, c as u32),
            '<' | '>' | '&' if matches!(style, Json::Html) => unit(&mut out, c as u32),
            c if !c.is_ascii() && matches!(style, Json::Ascii) => {
                let mut units = [0u16; 2];
                for u in c.encode_utf16(&mut units) {
                    unit(&mut out, u32::from(*u));
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// Percent-encoding of everything but unreserved characters, as in URLs and form bodies.
fn percent(bytes: &[u8]) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(bytes.len());
    for &b in bytes {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~') {
            out.push(b);
        } else {
            out.extend([b'%', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        }
    }
    out
}

/// Base64 with padding.
fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(alphabet[((word >> (18 - 6 * i)) & 63) as usize]);
            } else {
                out.push(b'=');
            }
        }
    }
    out
}

/// The characters that `bytes` alone decides when `shift` bytes stand before it in its group of three, whatever
/// stands before and after.
fn base64_middle(bytes: &[u8], shift: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let mut padded = vec![0u8; shift];
    padded.extend_from_slice(bytes);
    let encoded = base64(&padded, alphabet);
    let first = (shift * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    encoded.get(first..end).unwrap_or_default().to_vec()
}

/// The whole value in base64 broken into lines, raw and as JSON shows it; only values that fill more than one line.
fn wrapped_base64(secret: &[u8], out: &mut Vec<Vec<u8>>) {
    let whole = base64(secret, STANDARD);
    for columns in BASE64_COLUMNS {
        // Each line alone is long enough to be a pattern, so that neither the kind of line break nor its escape matters.
        if whole.len() > columns && whole.len() <= 2 * MAX_PIECE_LEN {
            out.extend(whole.chunks(columns).filter(|line| line.len() >= 16).map(<[u8]>::to_vec));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn has(forms: &[Vec<u8>], want: &str) -> bool {
        forms.iter().any(|f| f == want.as_bytes())
    }

    #[test]
    fn known_forms() {
        let f = forms(b"s3cr\"t\nkey&\xc3\xa9\n");
        assert!(has(&f, "s3cr\"t\nkey&\u{e9}"));
        assert!(has(&f, r#"s3cr\"t\nkey&é"#));
        assert!(has(&f, r#"s3cr\"t\nkey&\u00e9"#));
        assert!(has(&f, r#"s3cr\"t\nkey\u0026é"#));
        assert!(has(&f, r#"s3cr\\\"t\\nkey&é"#));
        assert!(has(&f, "s3cr%22t%0Akey%26%C3%A9"));
        assert!(has(&forms(b"hunter22"), "aHVudGVyMjI="));
    }

    #[test]
    fn too_short_or_the_marker_itself_has_no_form() {
        assert!(forms(b"12345").is_empty());
        assert!(forms(b" 12345 \n").is_empty());
        assert!(forms(b"redacted").is_empty());
        assert!(forms(b"Postgres").is_empty());
    }

    #[test]
    fn a_key_of_many_lines_is_known_by_each() {
        let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEA";
        let f = forms(format!("-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----\n").as_bytes());
        assert!(has(&f, line));
        assert!(!has(&f, "-----BEGIN PRIVATE KEY-----"), "which is no secret");
    }

    #[test]
    fn a_long_value_is_cut_into_bounded_pieces() {
        let long: Vec<u8> = (0..20_000u32).map(|i| b'a' + (i * i % 23) as u8).collect();
        assert!(
            pieces(&long)
                .iter()
                .all(|p| (MIN_SECRET_LEN..=MAX_PIECE_LEN + MIN_SECRET_LEN).contains(&p.len()))
        );
        assert_eq!(pieces(&long).concat(), long);
    }

    proptest! {
        #[test]
        fn the_middle_is_found_wherever_the_secret_stands(
            before in proptest::collection::vec(any::<u8>(), 0..7),
            secret in proptest::collection::vec(any::<u8>(), 6..40),
            after in proptest::collection::vec(any::<u8>(), 0..7),
        ) {
            let all = [before.clone(), secret.clone(), after].concat();
            let encoded = base64(&all, STANDARD);
            let middle = base64_middle(&secret, before.len() % 3, STANDARD);
            prop_assert!(middle.len() >= secret.len());
            prop_assert!(encoded.windows(middle.len()).any(|w| w == middle));
        }
    }
}
