//! Which of two programs is the newer one, by their version alone.

use std::cmp::Ordering;

/// Whether version `a` is newer than version `b`, as semantic versioning orders them: numbers first, a version before its release
/// (`1.0.0-rc.1`) before it, what stands behind a `+` not at all. What is no version is neither newer nor older than anything.
pub fn is_newer(a: &str, b: &str) -> bool {
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => compare(&a, &b) == Ordering::Greater,
        _ => false,
    }
}

/// Numbers, and the parts of what comes before the release.
type Parts<'a> = ([u64; 3], Vec<&'a str>);

fn parse(text: &str) -> Option<Parts<'_>> {
    let text = text.split_once('+').map_or(text, |(version, _)| version);
    let (numbers, before) = text.split_once('-').map_or((text, None), |(n, b)| (n, Some(b)));
    let mut parts = numbers.split('.');
    let mut number = || parts.next()?.parse().ok();
    let numbers = [number()?, number()?, number()?];
    let before = before.map(|b| b.split('.').collect()).unwrap_or_default();
    parts.next().is_none().then_some((numbers, before))
}

fn compare((a, before_a): &Parts<'_>, (b, before_b): &Parts<'_>) -> Ordering {
    let by_release = || before_a.is_empty().cmp(&before_b.is_empty());
    let by_parts = || {
        let each = before_a.iter().zip(before_b).map(|(a, b)| compare_part(a, b));
        each.fold(Ordering::Equal, Ordering::then).then(before_a.len().cmp(&before_b.len()))
    };
    a.cmp(b).then_with(by_release).then_with(by_parts)
}

/// Numbers as numbers, before words.
fn compare_part(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_semantic_versioning_says() {
        let ordered = [
            "0.1.0-alpha",
            "0.1.0-alpha.1",
            "0.1.0-alpha.beta",
            "0.1.0-rc.2",
            "0.1.0-rc.10",
            "0.1.0",
            "0.1.9",
            "0.1.10",
            "0.2.0",
            "1.0.0",
            "10.0.0",
        ];
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(is_newer(a, b), i > j, "{a} and {b}");
            }
        }
        assert!(!is_newer("0.1.0+build.2", "0.1.0") && !is_newer("0.1.0", "0.1.0+build.2"));
    }

    #[test]
    fn what_is_no_version_is_not_compared() {
        for odd in ["", "x", "1", "1.2", "1.2.3.4", "1.2.x", "-1.0.0", "v2.0.0"] {
            assert!(!is_newer(odd, "0.1.0") && !is_newer("0.1.0", odd), "{odd}");
        }
    }
}
