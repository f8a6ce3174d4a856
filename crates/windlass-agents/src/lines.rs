//! Cutting a stream into lines in bounded memory, whatever the length of a line and however the bytes arrive.
//!
//! Split on LF only: other line separators are legal inside JSON strings. The beginning of a line decides, before the rest has
//! arrived, whether it is kept and up to which size. A line beyond its size is given as its beginning and its end.

use memchr::memchr;
use serde::{Deserialize, Serialize};

/// How many bytes of a line decide what becomes of it.
pub const HEAD: usize = 96;
/// How many bytes of the end of an over-long line are kept.
pub const TAIL: usize = 8 * 1024;

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// It is passed over without being held.
    Skip,
    /// It is given, whole up to this many bytes.
    UpTo(usize),
}

/// A line without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// All of it, or its beginning when it is over-long.
    pub head: &'a [u8],
    /// Its last [`TAIL`] bytes when it is over-long, else empty. May overlap with `head`.
    pub tail: &'a [u8],
    /// Whether it is over-long.
    pub cut: bool,
}

/// A line that has not ended yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    #[serde(with = "hex")]
    head: Vec<u8>,
    #[serde(with = "hex")]
    tail: Vec<u8>,
    keep: Option<Keep>,
    cut: bool,
}

impl Lines {
    /// Takes the next bytes. `keep` sees at most [`HEAD`] bytes of the beginning of a line; `each` sees each line that is kept.
    pub fn feed(&mut self, mut bytes: &[u8], keep: impl Fn(&[u8]) -> Keep, mut each: impl FnMut(Line<'_>)) {
        while let Some(at) = memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..at], &bytes[at + 1..]);
            bytes = rest;
            if self.is_empty() {
                whole(line, &keep, &mut each);
            } else {
                self.push(line, &keep);
                self.end(&keep, &mut each);
            }
        }
        if !bytes.is_empty() {
            self.push(bytes, &keep);
        }
    }

    /// The stream has ended: what is left is a line.
    pub fn finish(&mut self, keep: impl Fn(&[u8]) -> Keep, mut each: impl FnMut(Line<'_>)) {
        if !self.is_empty() {
            self.end(&keep, &mut each);
        }
    }

    /// How many bytes it holds.
    pub fn held(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.keep.is_none()
    }

    fn push(&mut self, mut bytes: &[u8], keep: &impl Fn(&[u8]) -> Keep) {
        let limit = loop {
            match self.keep {
                Some(Keep::Skip) => return,
                Some(Keep::UpTo(limit)) => break limit,
                None => {
                    let take = bytes.len().min(HEAD - self.head.len());
                    self.head.extend_from_slice(&bytes[..take]);
                    bytes = &bytes[take..];
                    if self.head.len() < HEAD {
                        return;
                    }
                    self.decide(keep);
                }
            }
        };
        let room = limit.saturating_sub(self.head.len());
        if self.cut {
            self.push_tail(bytes);
        } else if bytes.len() <= room {
            self.head.extend_from_slice(bytes);
        } else {
            self.cut = true;
            // The tail may overlap with the head: it is the end of the line, not what is left over.
            let from = self.head.len().saturating_sub(TAIL);
            self.tail = self.head[from..].to_vec();
            self.head.extend_from_slice(&bytes[..room]);
            self.push_tail(bytes);
        }
    }

    fn push_tail(&mut self, bytes: &[u8]) {
        if bytes.len() >= TAIL {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - TAIL..]);
            return;
        }
        self.tail.extend_from_slice(bytes);
        // Moving bytes only now and then keeps the cost of small pieces in proportion.
        if self.tail.len() > 4 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }

    fn decide(&mut self, keep: &impl Fn(&[u8]) -> Keep) {
        let decision = keep(&self.head);
        self.keep = Some(decision);
        match decision {
            Keep::Skip => self.head = Vec::new(),
            Keep::UpTo(limit) if self.head.len() > limit => {
                self.tail = self.head.clone();
                self.head.truncate(limit);
                self.cut = true;
            }
            Keep::UpTo(_) => {}
        }
    }

    fn end(&mut self, keep: &impl Fn(&[u8]) -> Keep, each: &mut impl FnMut(Line<'_>)) {
        if self.keep.is_none() {
            self.decide(keep);
        }
        if let Some(Keep::UpTo(_)) = self.keep {
            let from = self.tail.len().saturating_sub(TAIL);
            give(&self.head, &self.tail[from..], self.cut, each);
        }
        self.keep = None;
        self.cut = false;
        // A buffer that grew for one long line is not kept for the next.
        if self.head.capacity() > 64 * 1024 {
            self.head = Vec::new();
        } else {
            self.head.clear();
        }
        self.tail = Vec::new();
    }
}

/// A line that lies whole in the bytes at hand is not copied.
fn whole(line: &[u8], keep: &impl Fn(&[u8]) -> Keep, each: &mut impl FnMut(Line<'_>)) {
    if let Keep::UpTo(limit) = keep(&line[..line.len().min(HEAD)]) {
        if line.len() <= limit {
            give(line, &[], false, each);
        } else {
            give(&line[..limit], &line[line.len().saturating_sub(TAIL)..], true, each);
        }
    }
}

fn give(head: &[u8], tail: &[u8], cut: bool, each: &mut impl FnMut(Line<'_>)) {
    let head = if cut { head } else { head.strip_suffix(b"\r").unwrap_or(head) };
    if !head.is_empty() {
        each(Line { head, tail, cut });
    }
}

/// Bytes as text in a state: states are small, so the plainest form will do.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(bytes.len() * 2);
        for b in bytes {
            for nibble in [b >> 4, b & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        s.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(d)?;
        let digit =
            |b: u8| char::from(b).to_digit(16).ok_or_else(|| D::Error::custom("not a hexadecimal digit"));
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if !rest.is_empty() {
            return Err(D::Error::custom("odd number of hexadecimal digits"));
        }
        pairs.iter().map(|[a, b]| Ok(u8::try_from(digit(*a)? * 16 + digit(*b)?).unwrap_or(0))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Got = (Vec<u8>, Vec<u8>, bool);

    fn rule(head: &[u8]) -> Keep {
        match head.first() {
            Some(b's') => Keep::Skip,
            Some(b'b') => Keep::UpTo(20_000),
            Some(b'l') => Keep::UpTo(50),
            _ => Keep::UpTo(200),
        }
    }

    fn lines(pieces: &[&[u8]]) -> Vec<Got> {
        let mut lines = Lines::default();
        let mut got = Vec::new();
        let mut each = |l: Line<'_>| got.push((l.head.to_vec(), l.tail.to_vec(), l.cut));
        for piece in pieces {
            lines.feed(piece, rule, &mut each);
            // A parser may be set down and taken up again between any two pieces.
            lines = serde_json::from_str(&serde_json::to_string(&lines).unwrap()).unwrap();
        }
        lines.finish(rule, &mut each);
        got
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        (
            prop::sample::select(vec![b's', b'b', b'l', b'k', b'\r']),
            prop_oneof![0usize..150, 190usize..210, 8_000usize..30_000],
        )
            .prop_map(|(first, len)| {
                let mut line = vec![first];
                line.extend((0..len).map(|i| b'a' + u8::try_from(i % 26).unwrap_or(0)));
                line
            })
    }

    proptest! {
        #[test]
        fn however_bytes_arrive_the_lines_are_the_same(
            all in prop::collection::vec(line(), 0..6),
            last in any::<bool>(),
            cuts in prop::collection::vec(1usize..5_000, 1..12),
        ) {
            let mut bytes = all.join(&b'\n');
            if last { bytes.push(b'\n'); }
            let mut pieces = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, more) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = more;
            }
            prop_assert_eq!(lines(&pieces), lines(&[&bytes]));
        }
    }

    #[test]
    fn a_long_line_is_held_only_up_to_its_limit() {
        let mut lines = Lines::default();
        let piece = vec![b'k'; 64 * 1024];
        let mut got = 0;
        for _ in 0..400 {
            lines.feed(&piece, rule, |_| got += 1);
            assert!(lines.held() < 8 * TAIL);
        }
        lines.feed(b"end\n", rule, |l| {
            got += 1;
            assert!(l.cut && l.tail.ends_with(b"kend") && l.tail.len() == TAIL && l.head.len() == 200);
        });
        assert_eq!((got, lines.held()), (1, 0));
    }
}
