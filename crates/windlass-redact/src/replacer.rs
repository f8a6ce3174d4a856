//! Replaces exact secret values in a byte stream, across chunk borders.

use crate::MARKER;
use crate::forms::{MIN_SECRET_LEN, forms};
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use std::fmt;
use std::sync::Arc;

/// The secret values of a run, compiled for search. Cheap to clone; `Debug` shows counts only.
#[derive(Clone)]
pub struct Replacer {
    inner: Arc<Inner>,
}

struct Inner {
    search: Search,
    /// Sorted, without repeats: what the end of a chunk is compared with.
    forms: Vec<Vec<u8>>,
    /// Whether a form begins with this byte.
    first: [bool; 256],
    longest: usize,
    ignored: Vec<usize>,
}

enum Search {
    /// No secrets: everything passes.
    Nothing,
    For(AhoCorasick),
    /// The automaton could not be built (gigabytes of secrets). Nothing passes.
    Blackout,
}

impl fmt::Debug for Replacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replacer")
            .field("forms", &self.inner.forms.len())
            .field("ignored", &self.inner.ignored.len())
            .finish_non_exhaustive()
    }
}

impl Replacer {
    /// Compiles the values, each in all its [forms]. White space around a value is not part of it.
    ///
    /// Values under six bytes, and words that everybody knows, are ignored, see [`Replacer::ignored`]. If the search could not be built, nothing passes
    /// at all: every stream becomes one marker.
    pub fn new(secrets: &[Vec<u8>]) -> Self {
        let mut all = Vec::new();
        let mut ignored = Vec::new();
        for (i, secret) in secrets.iter().enumerate() {
            let mut found = forms(secret);
            if found.is_empty() {
                ignored.push(i);
            }
            all.append(&mut found);
        }
        all.sort_unstable();
        all.dedup();
        let search = if all.is_empty() {
            Search::Nothing
        } else {
            // The contiguous automaton is the small one; a shim has 3 MB for everything. A prefilter looks for rare bytes,
            // which forms of keys and JSON text have in common: it makes the search three times slower.
            AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .prefilter(false)
                .build(&all)
                .map_or(Search::Blackout, Search::For)
        };
        let mut first = [false; 256];
        for form in &all {
            if let Some(&b) = form.first() {
                first[usize::from(b)] = true;
            }
        }
        let longest = all.iter().map(Vec::len).max().unwrap_or(0);
        Self { inner: Arc::new(Inner { search, forms: all, first, longest, ignored }) }
    }

    /// Whether nothing is looked for, so that a caller may skip the copy.
    pub fn is_empty(&self) -> bool {
        matches!(self.inner.search, Search::Nothing)
    }

    /// Indices of the given values that are not replaced because they are shorter than [`MIN_SECRET_LEN`] bytes, one of
    /// [`crate::forms::KNOWN_WORDS`], or part of the marker.
    pub fn ignored(&self) -> &[usize] {
        &self.inner.ignored
    }

    /// A replacer for one stream of bytes.
    pub fn stream(&self) -> StreamReplacer {
        StreamReplacer { replacer: self.clone(), held: Vec::new(), covered: 0, count: 0 }
    }

    /// Replaces in a whole value. Returns the number of replacements with the bytes.
    pub fn replace(&self, input: &[u8]) -> (Vec<u8>, u64) {
        let mut out = Vec::with_capacity(input.len());
        let mut stream = self.stream();
        stream.feed(input, &mut out);
        stream.finish(&mut out);
        (out, stream.count())
    }

    /// Replaces in text, which stays text: a form never begins or ends inside a character unless a secret does.
    pub fn replace_str(&self, input: &str) -> (String, u64) {
        let (bytes, count) = self.replace(input.as_bytes());
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        };
        (text, count)
    }
}

/// Replaces in one stream. What comes out does not depend on how the stream was cut into chunks.
///
/// It holds back only an end that may be the beginning of a secret, so a complete line passes at once.
/// Secrets that overlap are replaced together by one marker: no part of either remains.
pub struct StreamReplacer {
    replacer: Replacer,
    /// The end of the stream so far, when it is a proper beginning of a form.
    held: Vec<u8>,
    /// How many of the held bytes are already replaced by a marker that has been written.
    covered: usize,
    count: u64,
}

impl fmt::Debug for StreamReplacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReplacer")
            .field("held", &self.held.len())
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl StreamReplacer {
    /// Takes the next bytes and appends what is certain to `out`.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        match &self.replacer.inner.search {
            Search::Nothing => out.extend_from_slice(input),
            Search::Blackout => {
                if self.count == 0 && !input.is_empty() {
                    out.extend_from_slice(MARKER.as_bytes());
                    self.count = 1;
                }
            }
            Search::For(_) if self.held.is_empty() => self.advance(input, false, out),
            Search::For(_) => {
                let mut buffer = std::mem::take(&mut self.held);
                buffer.extend_from_slice(input);
                self.advance(&buffer, false, out);
            }
        }
    }

    /// Ends the stream: appends what was held back. The replacer may then be used for another stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let buffer = std::mem::take(&mut self.held);
        self.advance(&buffer, true, out);
        self.covered = 0;
    }

    /// How many markers were written so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many bytes wait for what follows them.
    pub fn held_len(&self) -> usize {
        self.held.len()
    }

    /// Writes all of `buffer` that no later byte can change and holds the rest.
    fn advance(&mut self, buffer: &[u8], last: bool, out: &mut Vec<u8>) {
        let inner = Arc::clone(&self.replacer.inner);
        let Search::For(automaton) = &inner.search else { return };
        let hold_at = if last { buffer.len() } else { inner.hold_at(buffer) };
        // `done`: everything before it is written. `covered` may reach beyond, as part of a marker already written.
        let mut done = 0;
        let mut covered = self.covered;
        let mut matches: Vec<(usize, usize)> =
            automaton.find_overlapping_iter(buffer).map(|m| (m.start(), m.end())).collect();
        // They come in order of their ends; of overlapping ones the longer may begin earlier.
        matches.sort_unstable();
        for (start, end) in matches {
            if start >= hold_at {
                break; // Found again with the held bytes.
            }
            if start < covered {
                covered = covered.max(end);
                continue;
            }
            let from = done.max(covered);
            out.extend_from_slice(buffer.get(from..start).unwrap_or_default());
            out.extend_from_slice(MARKER.as_bytes());
            self.count += 1;
            done = start;
            covered = end;
        }
        let from = done.max(covered);
        out.extend_from_slice(buffer.get(from..hold_at).unwrap_or_default());
        self.covered = covered.saturating_sub(hold_at);
        self.held.clear();
        self.held.extend_from_slice(buffer.get(hold_at..).unwrap_or_default());
    }
}

impl Inner {
    /// Where the longest end of `buffer` begins that is a proper beginning of some form; its length if there is none.
    fn hold_at(&self, buffer: &[u8]) -> usize {
        let earliest = (buffer.len() + 1).saturating_sub(self.longest);
        for at in earliest..buffer.len() {
            let tail = &buffer[at..];
            if !self.first[usize::from(tail[0])] {
                continue;
            }
            let i = self.forms.partition_point(|form| form.as_slice() < tail);
            // The forms that begin with `tail` stand together from `i`; the first may be `tail` itself.
            if self.forms[i..].iter().take(2).any(|form| form.len() > tail.len() && form.starts_with(tail)) {
                return at;
            }
        }
        buffer.len()
    }
}

// Named in the documentation above.
const _: () = assert!(MIN_SECRET_LEN == 6);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replacer(secrets: &[&str]) -> Replacer {
        Replacer::new(&secrets.iter().map(|s| s.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    fn all(r: &Replacer, text: &str) -> String {
        r.replace_str(text).0
    }

    #[test]
    fn replaces_every_form() {
        let r = replacer(&["hunter\"22x"]);
        assert_eq!(all(&r, "a hunter\"22x b"), "a [redacted] b");
        assert_eq!(all(&r, r#"{"k":"hunter\"22x"}"#), r#"{"k":"[redacted]"}"#);
        assert_eq!(all(&r, "aHVudGVyIjIyeA=="), "[redacted]");
        assert_eq!(all(&r, "hunter%2222x"), "[redacted]");
    }

    #[test]
    fn overlapping_secrets_leave_nothing_of_either() {
        let r = replacer(&["abcdef", "defghi"]);
        assert_eq!(all(&r, "<abcdefghi>"), "<[redacted]>");
        assert_eq!(all(&r, "<abcdefdefghi>"), "<[redacted][redacted]>");
        let r = replacer(&["abcdefgh", "cdefgh", "abcdefghijkl"]);
        assert_eq!(all(&r, "abcdefghijkl abcdefghijk"), "[redacted] [redacted]ijk");
    }

    #[test]
    fn short_values_are_reported_and_not_replaced() {
        let r = replacer(&["abc", "longenough", ""]);
        assert_eq!(r.ignored(), [0, 2]);
        assert!(!r.is_empty());
        assert!(replacer(&["abc"]).is_empty());
        assert_eq!(all(&r, "abc"), "abc");
    }

    #[test]
    fn a_complete_line_passes_at_once() {
        let r = replacer(&["sk-ant-very-secret"]);
        let mut s = r.stream();
        let mut out = Vec::new();
        s.feed(b"{\"type\":\"done\"}\n", &mut out);
        assert_eq!(out, b"{\"type\":\"done\"}\n");
        s.feed(b"key=sk-ant-", &mut out);
        assert_eq!(s.held_len(), 7);
        s.feed(b"very-secret\n", &mut out);
        assert_eq!(out, b"{\"type\":\"done\"}\nkey=[redacted]\n");
        assert_eq!(s.count(), 1);
    }

    #[test]
    fn an_endless_chain_of_overlaps_holds_a_bounded_end() {
        let r = replacer(&["aaaaaaaa"]);
        let mut s = r.stream();
        let mut out = Vec::new();
        for _ in 0..10_000 {
            s.feed(b"aaaaaaa", &mut out);
            assert!(s.held_len() < 16);
        }
        s.finish(&mut out);
        assert_eq!(out, b"[redacted]");
    }

    #[test]
    fn when_the_search_cannot_be_built_nothing_passes() {
        let inner = Inner {
            search: Search::Blackout,
            forms: vec![],
            first: [false; 256],
            longest: 0,
            ignored: vec![],
        };
        let r = Replacer { inner: Arc::new(inner) };
        assert!(!r.is_empty());
        assert_eq!(r.replace(b"anything at all").0, MARKER.as_bytes());
    }

    #[test]
    fn debug_shows_no_secret() {
        let r = replacer(&["hunter22hunter22"]);
        let mut s = r.stream();
        s.feed(b"hunter22", &mut Vec::new());
        assert!(!format!("{r:?}{s:?}").contains("hunter"));
    }

    #[test]
    fn a_long_secret_is_replaced_whole() {
        let long: String =
            (0..10_000u32).map(|i| char::from(b'a' + (i * 7 % 26 + i / 26 % 3) as u8 % 26)).collect();
        let r = replacer(&[&long]);
        let got = all(&r, &format!("<{long}>"));
        assert_eq!(got.replace(MARKER, ""), "<>");
    }

    /// Few letters, so that forms, their beginnings and overlaps are frequent.
    fn small_text(max: usize) -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'"'), Just(b'\n')], 0..max)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn any_chunking_equals_one_shot(
            secrets in proptest::collection::vec(small_text(12), 0..5),
            text in small_text(200),
            cuts in proptest::collection::vec(0usize..200, 0..20),
        ) {
            let r = Replacer::new(&secrets);
            let (want, want_count) = r.replace(&text);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let (mut s, mut got, mut at) = (r.stream(), Vec::new(), 0);
            for cut in cuts {
                s.feed(&text[at..cut], &mut got);
                at = cut;
            }
            s.finish(&mut got);
            prop_assert_eq!(&got, &want);
            prop_assert_eq!(s.count(), want_count);
            for form in &r.inner.forms {
                prop_assert!(!want.windows(form.len()).any(|w| w == form.as_slice()));
            }
        }

        #[test]
        fn planted_secrets_never_survive_and_the_rest_is_untouched(
            secret in proptest::collection::vec(any::<u8>(), 6..40),
            parts in proptest::collection::vec("[ -~]{0,30}", 1..6),
            chunk in 1usize..64,
        ) {
            let r = Replacer::new(std::slice::from_ref(&secret));
            prop_assume!(!r.is_empty());
            let text: Vec<u8> = parts.iter().map(|p| p.as_bytes().to_vec()).collect::<Vec<_>>().join(&secret[..]);
            let (mut s, mut got) = (r.stream(), Vec::new());
            for piece in text.chunks(chunk) {
                s.feed(piece, &mut got);
            }
            s.finish(&mut got);
            let trimmed = secret.trim_ascii();
            prop_assert!(!got.windows(trimmed.len()).any(|w| w == trimmed));
            if !text.windows(6).any(|w| r.inner.forms.iter().any(|f| f.starts_with(w))) {
                prop_assert_eq!(got, text);
            }
        }
    }
}
