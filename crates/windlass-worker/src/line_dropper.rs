//! Drops lines by their beginning, in a stream cut anywhere, holding no more than the longest beginning.

use memchr::memchr;

/// A streaming filter: lines that begin with one of its prefixes vanish, newline included. All other bytes pass unchanged and in order.
///
/// What comes out does not depend on how the input was cut. Memory is bounded by the longest prefix, whatever the line length.
#[derive(Debug, Clone)]
pub struct LineDropper {
    prefixes: Vec<Vec<u8>>,
    state: State,
    /// The undecided beginning of a line: a proper beginning of some prefix.
    held: Vec<u8>,
    dropped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a line; `held` has what came of it.
    Start,
    Keep,
    Drop,
}

enum Verdict {
    Drop,
    Keep,
    /// Too short to tell.
    Open,
}

impl LineDropper {
    /// A filter for lines that begin with one of `prefixes`. A line ends with its newline, so a prefix may end in one; with one
    /// before its end it matches nothing.
    pub fn new(mut prefixes: Vec<Vec<u8>>) -> Self {
        prefixes.retain(|p| memchr(b'\n', p).is_none_or(|i| i + 1 == p.len()));
        Self { prefixes, state: State::Start, held: Vec::new(), dropped: 0 }
    }

    /// Whether nothing is ever dropped, so that a caller may skip the filter.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// How many bytes were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn verdict(&self, line: &[u8]) -> Verdict {
        let mut open = false;
        for prefix in &self.prefixes {
            if line.len() >= prefix.len() {
                if line.starts_with(prefix) {
                    return Verdict::Drop;
                }
            } else {
                open |= prefix.starts_with(line);
            }
        }
        if open { Verdict::Open } else { Verdict::Keep }
    }

    /// Takes the next bytes and hands on those that are kept, in as few pieces as possible.
    pub fn feed(&mut self, input: &[u8], keep: &mut impl FnMut(&[u8])) {
        // `input[kept..at]` is decided as kept and not handed on yet.
        let (mut kept, mut at) = (0, 0);
        while at < input.len() {
            let rest = &input[at..];
            match self.state {
                State::Keep => {
                    at += memchr(b'\n', rest).map_or(rest.len(), |i| {
                        self.state = State::Start;
                        i + 1
                    });
                }
                State::Drop => {
                    let n = memchr(b'\n', rest).map_or(rest.len(), |i| {
                        self.state = State::Start;
                        i + 1
                    });
                    self.dropped += n as u64;
                    at += n;
                    kept = at;
                }
                State::Start if self.held.is_empty() => match self.verdict_in(rest) {
                    Verdict::Drop => {
                        if at > kept {
                            keep(&input[kept..at]);
                        }
                        self.state = State::Drop;
                        kept = at;
                    }
                    Verdict::Keep => self.state = State::Keep,
                    Verdict::Open => {
                        if at > kept {
                            keep(&input[kept..at]);
                        }
                        self.held.extend_from_slice(rest);
                        return;
                    }
                },
                State::Start => {
                    // Byte by byte until the line is decided: at most the length of a prefix.
                    self.held.push(input[at]);
                    at += 1;
                    kept = at;
                    let ended = self.held.last() == Some(&b'\n');
                    match self.verdict_in(&self.held) {
                        Verdict::Drop => {
                            self.dropped += self.held.len() as u64;
                            self.held.clear();
                            self.state = if ended { State::Start } else { State::Drop };
                        }
                        Verdict::Keep => {
                            keep(&self.held);
                            self.held.clear();
                            self.state = if ended { State::Start } else { State::Keep };
                        }
                        Verdict::Open => {}
                    }
                }
            }
        }
        if at > kept {
            keep(&input[kept..at]);
        }
    }

    /// The verdict on a line that begins `rest`; a newline inside ends it.
    fn verdict_in(&self, rest: &[u8]) -> Verdict {
        match self.verdict(rest) {
            // A line shorter than the prefix it resembles is complete, and does not begin with it.
            Verdict::Open if memchr(b'\n', rest).is_some() => Verdict::Keep,
            other => other,
        }
    }

    /// The stream has ended: hands on an undecided last line, which is shorter than any prefix it resembles.
    pub fn finish(&mut self, keep: &mut impl FnMut(&[u8])) {
        if !self.held.is_empty() {
            keep(&self.held);
            self.held.clear();
        }
        self.state = State::Start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(prefixes: &[&[u8]], chunks: &[&[u8]]) -> (Vec<u8>, u64) {
        let mut dropper = LineDropper::new(prefixes.iter().map(|p| p.to_vec()).collect());
        let mut out = Vec::new();
        for chunk in chunks {
            dropper.feed(chunk, &mut |b| out.extend_from_slice(b));
        }
        dropper.finish(&mut |b| out.extend_from_slice(b));
        (out, dropper.dropped())
    }

    fn model(prefixes: &[Vec<u8>], input: &[u8]) -> Vec<u8> {
        input
            .split_inclusive(|b| *b == b'\n')
            .filter(|line| !prefixes.iter().any(|p| line.starts_with(p)))
            .flatten()
            .copied()
            .collect()
    }

    #[test]
    fn drops_whole_lines_only() {
        let (out, dropped) = run(&[b"{\"d"], &[b"a\n{\"", b"d\":1}\n{\"c\"}\n {\"d\n{\"d"]);
        assert_eq!(out, b"a\n{\"c\"}\n {\"d\n");
        assert_eq!(dropped, 8 + 3);
        assert_eq!(run(&[b"abc"], &[b"ab"]).0, b"ab");
        assert_eq!(run(&[b""], &[b"x\ny"]).0, b"");
        assert_eq!(run(&[], &[b"x\ny"]).0, b"x\ny");
    }

    #[test]
    fn an_endless_dropped_line_takes_no_memory() {
        let mut dropper = LineDropper::new(vec![b"{\"type\":\"update\"".to_vec()]);
        dropper.feed(b"{\"type\":\"update\",", &mut |_| panic!("kept"));
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..200 {
            dropper.feed(&chunk, &mut |_| panic!("kept"));
        }
        assert!(dropper.held.capacity() < 64);
        assert_eq!(dropper.dropped(), 17 + (200 << 20));
    }

    proptest! {
        #[test]
        fn agrees_with_the_model_however_it_is_cut(
            prefixes in proptest::collection::vec(proptest::collection::vec(proptest::sample::select(&b"ab{\n"[..]), 0..4), 0..4),
            input in proptest::collection::vec(proptest::sample::select(&b"ab{\n"[..]), 0..60),
            cuts in proptest::collection::vec(0usize..60, 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(input.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut last = 0;
            for c in cuts {
                chunks.push(&input[last..c]);
                last = c;
            }
            chunks.push(&input[last..]);
            let refs: Vec<&[u8]> = prefixes.iter().map(Vec::as_slice).collect();
            let (out, dropped) = run(&refs, &chunks);
            let expected = model(&prefixes, &input);
            prop_assert_eq!(dropped as usize, input.len() - expected.len());
            prop_assert_eq!(out, expected);
        }
    }
}
