//! Lengths of time as people write them: `90s`, `10m`, `2h`, `none`.

/// Parses a length of time: a number and `ms`, `s`, `m`, `h` or `d`, several in a row (`1h30m`), or `none`.
///
/// Gives milliseconds; `None` inside is "none".
///
/// # Errors
/// What is wrong, fit for a diagnostic.
pub fn parse(text: &str) -> Result<Option<u64>, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let fail = || {
        format!(
            "{} is not a length of time: write it as `90s`, `10m`, `2h` or `none`",
            crate::diag::quote(text)
        )
    };
    let mut rest = text;
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(fail());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| fail())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" | "sec" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(fail()),
        };
        rest = rest[letters..].trim_start();
        total = number.checked_mul(unit).and_then(|n| total.checked_add(n)).ok_or_else(fail)?;
    }
    Ok(Some(total))
}

/// Writes milliseconds as [`parse`] reads them, in the largest unit that is exact.
pub fn show(ms: Option<u64>) -> String {
    let Some(ms) = ms else { return "none".to_owned() };
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if ms >= unit && ms % unit == 0 {
            return format!("{}{name}", ms / unit);
        }
    }
    format!("{ms}ms")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_usual_spellings() {
        assert_eq!(parse("90s"), Ok(Some(90_000)));
        assert_eq!(parse(" 1h30m "), Ok(Some(5_400_000)));
        assert_eq!(parse("None"), Ok(None));
        for bad in ["", "5", "h", "5 weeks", "-1s", "99999999999999999999s", "1.5h", "5µ"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn shown_lengths_read_back(ms in 0u64..u64::MAX / 2) {
            prop_assert_eq!(parse(&show(Some(ms))), Ok(Some(ms)));
        }

        #[test]
        fn any_text_is_answered(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
