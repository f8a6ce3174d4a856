//! A verifier's last word: a line `VERIFICATION: PASS` or `VERIFICATION: FAIL`.

/// The verdict in a text: the last line that is one wins. `None` when there is none, which is neither pass nor fail.
///
/// Markdown around it is ignored (`**VERIFICATION: PASS**`, `## Verification: fail`, `- VERIFICATION - PASS`), and so is a
/// reason after it. A line that offers both words is a form, not a verdict.
pub fn verdict(text: &str) -> Option<bool> {
    text.lines().rev().find_map(line_verdict)
}

fn line_verdict(line: &str) -> Option<bool> {
    // Emphasis may stand anywhere, also inside: `**VERIFICATION**: *PASS*`.
    let plain: String = line.chars().filter(|c| !matches!(c, '*' | '_' | '`' | '#' | '>' | '|')).collect();
    let plain = plain.trim().trim_start_matches(['-', '•', '+']).trim_start();
    let rest = strip_word(plain, "VERIFICATION")?;
    let rest = rest.trim_start();
    let rest = rest.strip_prefix([':', '-', '–', '—', '='])?.trim_start();
    let (passed, rest) = match (any_word(rest, &["PASSED", "PASS"]), any_word(rest, &["FAILED", "FAIL"])) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return None,
    };
    if rest.trim_start().starts_with('/') {
        return None;
    }
    let other: &[&str] = if passed { &["FAIL", "FAILED"] } else { &["PASS", "PASSED"] };
    let form = strip_word(rest.trim_start(), "OR").is_some_and(|r| any_word(r.trim_start(), other).is_some())
        || any_word(rest.trim_start(), other).is_some();
    (!form).then_some(passed)
}

fn any_word<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().find_map(|w| strip_word(text, w))
}

/// What follows a word at the start of a text, in any case, where the word ends there.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    let rest = text.get(word.len()..)?;
    let ends = !rest.chars().next().is_some_and(char::is_alphanumeric);
    (ends && head.eq_ignore_ascii_case(word)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn verdicts_are_found_in_what_models_write() {
        for pass in [
            "VERIFICATION: PASS",
            "…\n\n**VERIFICATION: PASS**\n",
            "**VERIFICATION**: `PASS` — every test ran",
            "## Verification: Passed.",
            "> - VERIFICATION - PASS",
            "VERIFICATION: FAIL\nmended, checked again\nVERIFICATION: PASS",
            "```\nVERIFICATION: PASS\nnothing fails\n```",
        ] {
            assert_eq!(verdict(pass), Some(true), "{pass}");
        }
        for fail in
            ["VERIFICATION: FAIL", "verification: failed (2 tests)", "VERIFICATION: PASS\nVERIFICATION: FAIL"]
        {
            assert_eq!(verdict(fail), Some(false), "{fail}");
        }
        for none in [
            "",
            "PASS",
            "VERIFICATION: PASS/FAIL",
            "VERIFICATION: PASS or FAIL",
            "VERIFICATION: PASS | FAIL",
            "VERIFICATION: PASSABLE",
            "VERIFICATION PASS",
            "The VERIFICATION: PASS line is missing",
            "VERIFICATION: UNKNOWN",
        ] {
            assert_eq!(verdict(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".*") {
            verdict(&text);
            prop_assert_eq!(verdict(&format!("{text}\nVERIFICATION: FAIL")), Some(false));
        }
    }
}
