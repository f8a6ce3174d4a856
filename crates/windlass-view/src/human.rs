//! Numbers as people read them. Every function is total: no number makes a text that is wrong or long.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use windlass_events::Millis;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A length of time in at most six characters up to 99 days: `41s`, `2m04s`, `1h05m`, `3d04h`. Negative is `0s`.
pub fn duration(ms: i64) -> String {
    let ms = ms.max(0);
    let two = |big: i64, b: char, small: i64, s: char| format!("{big}{b}{small:02}{s}");
    match ms {
        0..MINUTE => format!("{}s", ms / SECOND),
        MINUTE..HOUR => two(ms / MINUTE, 'm', ms % MINUTE / SECOND, 's'),
        HOUR..DAY => two(ms / HOUR, 'h', ms % HOUR / MINUTE, 'm'),
        _ => two(ms / DAY, 'd', ms % DAY / HOUR, 'h'),
    }
}

/// A length of time that may be short: `840ms`, `3.4s`, then as [`duration`].
pub fn short_duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..10_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        _ => duration(i64::try_from(ms).unwrap_or(i64::MAX)),
    }
}

/// A cap on time: without the parts that are zero (`2h`, `1h30m`, `45s`).
pub fn cap_duration(ms: u64) -> String {
    let text = duration(i64::try_from(ms).unwrap_or(i64::MAX));
    for tail in ["00s", "00m", "00h"] {
        if let Some(head) = text.strip_suffix(tail).filter(|h| h.ends_with(|c: char| c.is_ascii_alphabetic()))
        {
            return head.to_owned();
        }
    }
    text
}

/// How long ago: `now`, `41s ago`, `12m ago`, `5h ago`, `3d ago`; after two weeks the date.
pub fn ago(at: Millis, now: Millis, zone: &TimeZone) -> String {
    let ms = now.saturating_sub(at).max(0);
    match ms {
        0..SECOND => "now".to_owned(),
        SECOND..MINUTE => format!("{}s ago", ms / SECOND),
        MINUTE..HOUR => format!("{}m ago", ms / MINUTE),
        HOUR..DAY => format!("{}h ago", ms / HOUR),
        _ if ms < 14 * DAY => format!("{}d ago", ms / DAY),
        _ => date(at, zone),
    }
}

/// The day, `2026-01-31`, or `?` for an instant that no calendar has.
pub fn date(at: Millis, zone: &TimeZone) -> String {
    stamp(at, zone, "%Y-%m-%d")
}

/// The time of day, `14:03:09`, or `?` for an instant that no calendar has.
pub fn clock(at: Millis, zone: &TimeZone) -> String {
    stamp(at, zone, "%H:%M:%S")
}

/// Day and minute, `2026-01-31 14:03`, or `?` for an instant that no calendar has.
pub fn date_time(at: Millis, zone: &TimeZone) -> String {
    stamp(at, zone, "%Y-%m-%d %H:%M")
}

fn stamp(at: Millis, zone: &TimeZone, format: &str) -> String {
    Timestamp::from_millisecond(at)
        .ok()
        .and_then(|t| jiff::fmt::strtime::format(format, &t.to_zoned(zone.clone())).ok())
        .unwrap_or_else(|| "?".to_owned())
}

/// A count in at most five characters: `950`, `1.2k`, `12.3k`, `812k`, `10M`, `1.2G`.
pub fn count(n: u64) -> String {
    if n < 1_000 {
        return n.to_string();
    }
    scaled(n, 1_000, &["k", "M", "G", "T", "P", "E"])
}

/// A size: `950 B`, `1.2 kB`, `12.3 MB`. Powers of 1000.
pub fn bytes(n: u64) -> String {
    if n < 1_000 {
        return format!("{n} B");
    }
    scaled(n, 1_000, &[" kB", " MB", " GB", " TB", " PB", " EB"])
}

fn scaled(n: u64, step: u128, units: &[&str]) -> String {
    let n = u128::from(n);
    let mut by = step;
    for (i, unit) in units.iter().enumerate() {
        let tenths = (n * 10 + by / 2) / by;
        if tenths < 1_000 {
            return match tenths % 10 {
                0 => format!("{}{unit}", tenths / 10),
                rest => format!("{}.{rest}{unit}", tenths / 10),
            };
        }
        let whole = (n + by / 2) / by;
        if whole < 1_000 || i + 1 == units.len() {
            return format!("{whole}{unit}");
        }
        by *= step;
    }
    n.to_string()
}

/// Money that is known: `$0.42`, `<$0.01`, `$0.00` only for nothing. `None` for a number that is no amount.
pub fn money(usd: f64) -> Option<String> {
    if !usd.is_finite() || usd < 0.0 {
        None
    } else if usd == 0.0 {
        Some("$0.00".to_owned())
    } else if usd < 0.01 {
        Some("<$0.01".to_owned())
    } else if usd < 100_000.0 {
        Some(format!("${usd:.2}"))
    } else if usd < 1e15 {
        Some(format!("${usd:.0}"))
    } else {
        None
    }
}

/// A cap on money: as [`cost`], with the digits below a cent where somebody set some (`$0.005`), of which millionths count.
pub fn money_cap(usd: f64) -> String {
    let exact = format!("{usd:.6}");
    let exact = exact.trim_end_matches('0');
    match exact.split_once('.') {
        Some((_, cents)) if cents.len() > 2 && (0.0..1_000.0).contains(&usd) => format!("${exact}"),
        _ => cost(Some(usd)),
    }
}

/// Money, or that it is not known: `cost unknown`, never `$0.00`.
pub fn cost(usd: Option<f64>) -> String {
    usd.and_then(money).unwrap_or_else(|| "cost unknown".to_owned())
}

/// A number with its noun: `1 file`, `2 files`.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_and_ages() {
        for (ms, text) in [
            (-5, "0s"),
            (999, "0s"),
            (59_999, "59s"),
            (60_000, "1m00s"),
            (3_599_999, "59m59s"),
            (3_900_000, "1h05m"),
            (90_000_000, "1d01h"),
        ] {
            assert_eq!(duration(ms), text);
        }
        assert_eq!(short_duration(840), "840ms");
        assert_eq!(short_duration(3_450), "3.4s");
        assert_eq!(cap_duration(7_200_000), "2h");
        assert_eq!(cap_duration(5_400_000), "1h30m");
        assert_eq!(cap_duration(600_000), "10m");
        assert_eq!(cap_duration(10_000), "10s");
        let utc = TimeZone::UTC;
        assert_eq!(ago(0, 500, &utc), "now");
        assert_eq!(ago(0, 3_600_000, &utc), "1h ago");
        assert_eq!(ago(0, 86_400_000 * 20, &utc), "1970-01-01");
        assert_eq!(ago(10, 0, &utc), "now");
        assert_eq!(clock(1_000, &utc), "00:00:01");
        assert_eq!(clock(i64::MAX, &utc), "?");
    }

    #[test]
    fn counts_sizes_and_money() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1k"),
            (1_234, "1.2k"),
            (12_345, "12.3k"),
            (99_949, "99.9k"),
            (99_950, "100k"),
            (999_499, "999k"),
            (999_500, "1M"),
            (10_000_000, "10M"),
        ] {
            assert_eq!(count(n), text);
        }
        assert_eq!(bytes(1_234), "1.2 kB");
        assert_eq!(bytes(12), "12 B");
        assert_eq!(money(0.0123).as_deref(), Some("$0.01"));
        assert_eq!(money(0.0001).as_deref(), Some("<$0.01"));
        assert_eq!(money(0.0).as_deref(), Some("$0.00"));
        assert_eq!(money_cap(5.0), "$5.00");
        assert_eq!(money_cap(0.005), "$0.005");
        assert_eq!(money_cap(2.125), "$2.125");
        assert_eq!(money_cap(0.000001), "$0.000001");
        assert_eq!(money_cap(0.0000001), "<$0.01");
        assert_eq!(money_cap(0.0), "$0.00");
        assert_eq!(cost(None), "cost unknown");
        assert_eq!(cost(Some(f64::NAN)), "cost unknown");
        assert_eq!(plural(1, "file", "files"), "1 file");
    }

    proptest! {
        #[test]
        fn numbers_stay_short(n: u64, ms in 0i64..99 * DAY, usd: f64) {
            prop_assert!(count(n).len() <= 5, "{}", count(n));
            prop_assert!(bytes(n).len() <= 7);
            prop_assert!(duration(ms).len() <= 6);
            prop_assert!(cost(Some(usd)).len() <= 17 && money_cap(usd).len() <= 17);
        }
    }
}
