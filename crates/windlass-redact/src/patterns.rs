//! Finds text that looks like a key, for text that leaves the spool. Structural fields (ids, paths, hashes) must not be
//! passed through here.
//!
//! Only the secret part of a match is replaced, so that a reader still sees what it was. A rule whose shape is not
//! unmistakable also wants letters and digits mixed, or a value that is plainly not a word, a number or a reference.

use crate::MARKER;
use aho_corasick::AhoCorasick;
use regex::{Captures, Regex};
use std::borrow::Cow;
use std::sync::{LazyLock, OnceLock};

/// A rule. The group `s` is replaced; the rest of the match stays.
struct Rule {
    /// Every match holds one of these, in any case. Only rules with a keyword in the text are compiled and run.
    keywords: &'static [&'static str],
    pattern: &'static str,
    /// Whether the group must also look like a value by [`looks_secret`].
    weigh: bool,
}

const fn sure(keywords: &'static [&'static str], pattern: &'static str) -> Rule {
    Rule { keywords, pattern, weigh: false }
}
const fn weigh(keywords: &'static [&'static str], pattern: &'static str) -> Rule {
    Rule { keywords, pattern, weigh: true }
}

/// Order matters: whole blocks first, assignments last, so that what a precise rule took is not looked at again.
const RULES: &[Rule] = &[
    // A key that is cut off is hidden to where its text ends. Newlines may be escaped, as in JSON.
    sure(
        &["-----BEGIN"],
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?P<s>[A-Za-z0-9+/=\s\\:,.()@<>-]{16,}?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)",
    ),
    sure(
        &["-----BEGIN"],
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?P<s>(?:(?:\s|\\[nr])*[A-Za-z0-9+/=]{32,})+)",
    ),
    sure(
        &["authorization"],
        r"(?i)\b(?:proxy-)?authorization[\x22']?\s*[:=]\s*[\x22']?(?:bearer|basic|token|digest|apikey)\s+(?P<s>[A-Za-z0-9._~+/=\-]{6,})",
    ),
    sure(
        &["x-api-key", "x-goog-api-key", "x-auth-token", "x-access-token"],
        r"(?i)\bx-(?:api-key|goog-api-key|auth-token|access-token)[\x22']?\s*[:=]\s*[\x22']?(?P<s>[A-Za-z0-9._~+/=\-]{6,})",
    ),
    weigh(&["bearer"], r"(?i)\bbearer\s+(?P<s>[A-Za-z0-9._~+/=\-]{16,})"),
    // Keys with a shape of their own.
    sure(&["sk-"], r"\b(?P<s>sk-(?:ant|proj|svcacct|admin|or|lf|None)-[A-Za-z0-9_-]{16,})"),
    weigh(&["sk-"], r"\b(?P<s>sk-[A-Za-z0-9]{20,})\b"),
    sure(&["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], r"\b(?P<s>gh[pousr]_[A-Za-z0-9]{30,255})"),
    sure(&["github_pat_"], r"\b(?P<s>github_pat_[A-Za-z0-9_]{22,255})"),
    sure(
        &["glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glft-", "glsoat-", "glagent-", "gloas-"],
        r"\b(?P<s>gl(?:pat|dt|rt|ptt|cbt|ft|soat|agent|oas)-[A-Za-z0-9_.=-]{20,})",
    ),
    sure(
        &["A3T", "AKIA", "ASIA", "ABIA", "ACCA"],
        r"\b(?P<s>(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})\b",
    ),
    sure(&["ABSK"], r"\b(?P<s>ABSK[A-Za-z0-9+/]{100,}={0,2})"),
    sure(&["AIza"], r"\b(?P<s>AIza[A-Za-z0-9_-]{35})"),
    sure(&["ya29."], r"\b(?P<s>ya29\.[A-Za-z0-9_-]{20,})"),
    sure(&["GOCSPX-"], r"\b(?P<s>GOCSPX-[A-Za-z0-9_-]{20,})"),
    sure(&["xox"], r"\b(?P<s>xox[abeoprs]-[A-Za-z0-9-]{10,})"),
    sure(&["xapp-"], r"\b(?P<s>xapp-\d-[A-Za-z0-9-]{20,})"),
    sure(
        &["hooks.slack.com"],
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<s>[A-Za-z0-9+/]{30,})",
    ),
    sure(&["_live_", "_test_", "_prod_"], r"\b(?P<s>(?:sk|rk|pk)_(?:live|test|prod)_[A-Za-z0-9]{16,})"),
    sure(&["whsec_"], r"\b(?P<s>whsec_[A-Za-z0-9+/]{24,})"),
    sure(&["npm_"], r"\b(?P<s>npm_[A-Za-z0-9]{36})\b"),
    sure(&["pypi-"], r"\b(?P<s>pypi-[A-Za-z0-9_-]{50,})"),
    sure(&["cio"], r"\b(?P<s>cio[A-Za-z0-9]{32})\b"),
    sure(&["hf_"], r"\b(?P<s>hf_[A-Za-z]{34})\b"),
    sure(&["gsk_"], r"\b(?P<s>gsk_[A-Za-z0-9]{40,})"),
    sure(&["xai-"], r"\b(?P<s>xai-[A-Za-z0-9]{60,})"),
    sure(&["r8_"], r"\b(?P<s>r8_[A-Za-z0-9]{37})\b"),
    sure(&["pplx-"], r"\b(?P<s>pplx-[A-Za-z0-9]{40,})"),
    sure(&["nvapi-"], r"\b(?P<s>nvapi-[A-Za-z0-9_-]{40,})"),
    sure(&["csk-"], r"\b(?P<s>csk-[a-z0-9]{40,})"),
    sure(&["fw_"], r"\b(?P<s>fw_[A-Za-z0-9]{20,})\b"),
    sure(&["dop_v1_"], r"\b(?P<s>dop_v1_[a-f0-9]{64})\b"),
    sure(&["doo_v1_", "dor_v1_"], r"\b(?P<s>do[or]_v1_[a-f0-9]{64})\b"),
    sure(&["SG."], r"\b(?P<s>SG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{39,50})"),
    sure(&["key-"], r"\b(?P<s>key-[0-9a-f]{32})\b"),
    sure(&["SK"], r"\b(?P<s>SK[0-9a-f]{32})\b"),
    sure(&["lin_api_"], r"\b(?P<s>lin_api_[A-Za-z0-9]{40})"),
    sure(&["ntn_"], r"\b(?P<s>ntn_[A-Za-z0-9]{40,})"),
    sure(&["shpat_", "shpca_", "shppa_", "shpss_"], r"\b(?P<s>shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32})\b"),
    sure(&["dapi"], r"\b(?P<s>dapi[a-f0-9]{32}(?:-\d)?)\b"),
    sure(&["hvs.", "hvb."], r"\b(?P<s>(?:hvs|hvb)\.[A-Za-z0-9_-]{24,})"),
    sure(&["glc_"], r"\b(?P<s>glc_[A-Za-z0-9+/=]{32,})"),
    sure(&["glsa_"], r"\b(?P<s>glsa_[A-Za-z0-9]{32}_[a-f0-9]{8})\b"),
    sure(&["dckr_"], r"\b(?P<s>dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,})"),
    sure(&["sbp_"], r"\b(?P<s>sbp_[a-f0-9]{40})\b"),
    sure(&["sntrys_", "sntryu_"], r"\b(?P<s>sntry[su]_[A-Za-z0-9+/=_-]{40,})"),
    sure(&["PMAK-"], r"\b(?P<s>PMAK-[a-f0-9]{24}-[a-f0-9]{34})\b"),
    sure(&["pul-"], r"\b(?P<s>pul-[a-f0-9]{40})\b"),
    sure(&["AGE-SECRET-KEY-1"], r"\b(?P<s>AGE-SECRET-KEY-1[A-Z0-9]{58})\b"),
    sure(&["eyJ"], r"\b(?P<s>eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})"),
    // A password in a URL; the user's name stays.
    sure(
        &["://"],
        r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@\x22']{0,200}:(?P<s>[^\s/@\x22'\[\]{}$<>]{3,200})@[A-Za-z0-9\[]",
    ),
    // Assignments: a name that holds one of the words, quoted or not, then `=` or `:`.
    weigh(
        &["key", "passw", "passphrase", "secret", "credential", "token", "authorization"],
        concat!(
            r"(?i)(?:^|[^A-Za-z0-9])[\x22'\\]*[A-Za-z0-9_.\-]{0,60}",
            r"(?:api[_.\-]?key|access[_.\-]?key|secret[_.\-]?key|private[_.\-]?key|auth[_.\-]?key|passwd|password|passphrase|secret|credentials?|token|authorization)",
            r"[\\]*[\x22']?\s{0,4}(?::=|=>|=|:)\s{0,4}[\\]*(?P<q>[\x22'`])?",
            r"(?P<s>[^\s\x22'`,;(){}\[\]<>\\]{6,512})",
        ),
    ),
];

/// Finds which rules may match: the keywords of all rules, and for each keyword its rule.
static KEYWORDS: LazyLock<Option<(AhoCorasick, Vec<usize>)>> = LazyLock::new(|| {
    let (words, rules): (Vec<&str>, Vec<usize>) = RULES
        .iter()
        .enumerate()
        .flat_map(|(i, rule)| rule.keywords.iter().map(move |word| (*word, i)))
        .unzip();
    let search = AhoCorasick::builder().ascii_case_insensitive(true).build(words).ok()?;
    Some((search, rules))
});

/// The rules, each compiled when first needed: a process that prints one line must not pay for sixty patterns.
static COMPILED: [OnceLock<Option<Regex>>; RULES.len()] = [const { OnceLock::new() }; RULES.len()];

fn compile(rule: &Rule) -> Option<Regex> {
    // ASCII word borders keep the fast engine in use on text of any language.
    Regex::new(&rule.pattern.replace(r"\b", r"(?-u:\b)")).ok()
}

/// Replaces what looks like a key by [`MARKER`]. Text without any comes back borrowed, unchanged.
pub fn redact_text(text: &str) -> Cow<'_, str> {
    // The patterns are constants and a test compiles them; were one broken, no text with its keyword would pass.
    let Some((keywords, rule_of)) = &*KEYWORDS else { return Cow::Owned(MARKER.to_owned()) };
    let mut wanted = [false; RULES.len()];
    for found in keywords.find_overlapping_iter(text) {
        if let Some(slot) = rule_of.get(found.pattern().as_usize()).and_then(|rule| wanted.get_mut(*rule)) {
            *slot = true;
        }
    }
    let mut out = Cow::Borrowed(text);
    for ((rule, compiled), _) in RULES.iter().zip(&COMPILED).zip(wanted).filter(|(_, wanted)| *wanted) {
        let Some(regex) = compiled.get_or_init(|| compile(rule)) else {
            return Cow::Owned(MARKER.to_owned());
        };
        if let Cow::Owned(next) = replace(regex, rule, &out) {
            out = Cow::Owned(next);
        }
    }
    out
}

fn replace<'t>(regex: &Regex, rule: &Rule, text: &'t str) -> Cow<'t, str> {
    let mut changed = false;
    let out = regex.replace_all(text, |found: &Captures<'_>| {
        let whole = found.get(0).map_or("", |m| m.as_str());
        let (Some(all), Some(secret)) = (found.get(0), found.name("s")) else { return whole.to_owned() };
        if secret.as_str().contains(MARKER) || MARKER.contains(secret.as_str()) {
            return whole.to_owned();
        }
        if rule.weigh && !looks_secret(secret.as_str(), found.name("q").is_some()) {
            return whole.to_owned();
        }
        changed = true;
        let (from, to) = (secret.start() - all.start(), secret.end() - all.start());
        format!("{}{MARKER}{}", &whole[..from], &whole[to..])
    });
    // An owned text in which nothing was replaced is the same text.
    if changed { Cow::Owned(out.into_owned()) } else { Cow::Borrowed(text) }
}

/// Whether the value of something called a key, token or password is plausibly one, rather than a number, a word of
/// code, a reference to a variable or a placeholder. A quoted value is a value, so less is asked of it.
fn looks_secret(value: &str, quoted: bool) -> bool {
    let value = value.trim_end_matches(['.', '!', '?', ':']);
    let lower = value.to_ascii_lowercase();
    let reference = value.starts_with(['$', '%', '&', '*', '<', '@'])
        || [
            "process.env",
            "os.environ",
            "env.",
            "env::",
            "std::",
            "self.",
            "this.",
            "config.",
            "options.",
            "args.",
        ]
        .iter()
        .any(|p| lower.starts_with(p))
        || value.contains("::")
        || value.contains("://");
    let placeholder =
        ["xxxx", "****", "your", "example", "placeholder", "changeme", "redacted", "undefined", "string"]
            .iter()
            .any(|p| lower.starts_with(p))
            || value.bytes().all(|b| value.as_bytes().first() == Some(&b));
    let number =
        value.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '_' | '-' | '+' | '%' | '/'));
    let time = ["null", "none", "true", "false"].contains(&lower.as_str());
    if value.len() < 6 || reference || placeholder || number || time {
        return false;
    }
    let digit = value.bytes().any(|b| b.is_ascii_digit());
    let letter = value.bytes().any(|b| b.is_ascii_alphabetic());
    let symbol = value.bytes().any(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'_' | b'.' | b'-' | b'/'));
    let mixed_case = value.bytes().any(|b| b.is_ascii_lowercase())
        && value.bytes().skip(1).any(|b| b.is_ascii_uppercase());
    (letter && digit)
        || (quoted && (symbol || value.len() >= 8))
        || (symbol && letter)
        || (mixed_case && value.len() >= 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hides_keys_and_keeps_what_stands_around() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N";
        for (text, want) in [
            ("use sk-ant-api03-AbCdEfGhIjKlMnOpQrSt now", "use [redacted] now"),
            ("OPENAI sk-proj-aaaaBBBBcccc1111dddd2222 x", "OPENAI [redacted] x"),
            ("ghp_0123456789abcdefghijABCDEFGHIJ012345!", "[redacted]!"),
            ("id AKIAIOSFODNN7EXAMPLE.", "id [redacted]."),
            ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [redacted]"),
            (r#"{"authorization":"Basic dXNlcjpwYXNz"}"#, r#"{"authorization":"Basic [redacted]"}"#),
            ("authorization: k3yk3yk3y", "authorization: [redacted]"),
            ("bearer abcdefgh12345678ijkl", "bearer [redacted]"),
            ("password=hunter22", "password=[redacted]"),
            (r#"{"password":"correct horse"}"#, r#"{"password":"correct horse"}"#),
            (r#"{"password":"correcthorse"}"#, r#"{"password":"[redacted]"}"#),
            (r#"{\"accessToken\":\"a1b2c3d4e5\"}"#, r#"{\"accessToken\":\"[redacted]\"}"#),
            ("apiKey: 'k3y-v4lue-h3re'", "apiKey: '[redacted]'"),
            ("export DB_PASSWORD=\"s3cr3t!!\"", "export DB_PASSWORD=\"[redacted]\""),
            ("postgres://app:s3cr3t@db:5432/x", "postgres://app:[redacted]@db:5432/x"),
            ("xoxb-123456789012-abcdefABCDEF", "[redacted]"),
        ] {
            assert_eq!(redact_text(text), want, "{text}");
        }
        assert_eq!(redact_text(&format!("t {jwt} t")), "t [redacted] t");
    }

    #[test]
    fn harmless_words_stay() {
        for text in [
            "tokens: 1234",
            "max_tokens=100000",
            "MY_TOKEN_COUNT=5000000",
            "token usage: 12,345,678",
            "\"input_tokens\": 1234567",
            "the secret: keep functions small",
            "password: required",
            "Authorization: required",
            "fn token(&self) -> Token",
            "let token = next_token();",
            "token: String,",
            "token: TokenKind::Identifier",
            "api_key = os.environ[\"X\"]",
            "apiKey: process.env.OPENAI_API_KEY",
            "API_KEY=$OPENAI_API_KEY",
            "password = <your password>",
            "apiKey: \"your-api-key\"",
            "task-specific sk-learn pipelines and risk-assessments-everywhere",
            "commit 3f786850e387550fdab836ed7e6dc881de23001b",
            "https://example.com:8080/a@b",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "bearer tokens are described below",
            "",
        ] {
            assert!(matches!(redact_text(text), Cow::Borrowed(_)), "{text}: {}", redact_text(text));
        }
    }

    #[test]
    fn private_keys_whole_cut_off_and_escaped() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
        let whole =
            format!("a\n-----BEGIN RSA PRIVATE KEY-----\n{body}\n{body}\n-----END RSA PRIVATE KEY-----\nb");
        let got = redact_text(&whole);
        assert!(!got.contains("MIIE") && got.starts_with("a\n---") && got.ends_with("\nb"), "{got}");
        let cut = format!("-----BEGIN PRIVATE KEY-----\n{body}\n{body}");
        assert!(!redact_text(&cut).contains("MIIE"));
        let followed =
            format!("-----BEGIN PRIVATE KEY-----\n{body}\n{body}\n... (truncated) \"and text\" {{}}");
        assert!(!redact_text(&followed).contains("MIIE"));
        assert!(redact_text(&followed).ends_with("\"and text\" {}"));
        let json = whole.replace('\n', "\\n");
        assert!(!redact_text(&json).contains("MIIE"));
    }

    #[test]
    fn every_rule_compiles_and_names_its_group() {
        for rule in RULES {
            let regex = compile(rule).unwrap();
            assert!(regex.capture_names().flatten().any(|n| n == "s"), "{}", rule.pattern);
            assert!(!rule.keywords.is_empty());
        }
    }

    #[test]
    fn the_keywords_lose_no_match() {
        // Texts that the rules hide must be hidden with every rule run on them as well, and equally.
        for text in [
            "glpat-abcdefghij0123456789",
            "SG.aaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
            "sk_live_0123456789abcdefXY",
            "x-api-key: 0123456789abc",
            "https://hooks.slack.com/services/T0000000/B0000000/abcdefghijklmnop0123",
            "dapi0123456789abcdef0123456789abcdef",
            "hvs.CAESIJ0123456789abcdefgh",
            "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ",
        ] {
            let got = redact_text(text);
            assert!(got.contains(MARKER), "{text}: {got}");
            let mut each = Cow::Borrowed(text);
            for rule in RULES {
                if let Cow::Owned(next) = replace(&compile(rule).unwrap(), rule, &each) {
                    each = Cow::Owned(next);
                }
            }
            assert_eq!(got, each);
        }
    }

    proptest! {
        #[test]
        fn total_and_idempotent(text in r#"([ -~\n"'=:]|password|token|sk-|\PC){0,120}"#) {
            let once = redact_text(&text).into_owned();
            let twice = redact_text(&once);
            prop_assert_eq!(&*twice, &once);
        }
    }
}
