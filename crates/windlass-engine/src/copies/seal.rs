//! Copies that say by themselves whether they are whole: their last line holds what they were made from and the hash of all before it.
//!
//! So a copy can be judged years later and by another version, without making it again.

use std::io::Read as _;
use std::path::Path;

/// The largest copy, in bytes; what is larger is none of ours.
pub(super) const LARGEST: u64 = 16 << 20;

/// Where a seal stands, so that nobody stumbles over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// In a comment, which no reader of Markdown shows.
    Markdown,
    /// Behind the line `-- `, where a patch ends for every program that applies it.
    Patch,
}

impl Style {
    const fn around(self) -> (&'static str, &'static str) {
        match self {
            Self::Markdown => ("<!-- ", " -->"),
            Self::Patch => ("", ""),
        }
    }

    fn line(self, hash: &blake3::Hash, key: &str) -> String {
        let (before, after) = self.around();
        format!("{before}windlass copy of {key}, blake3 {hash}{after}\n")
    }
}

/// The body with its seal. `key` names what it was made from; it holds no line feed.
pub(super) fn sealed(style: Style, mut body: Vec<u8>, key: &str) -> Vec<u8> {
    if !body.is_empty() && !body.ends_with(b"\n") {
        body.push(b'\n');
    }
    if style == Style::Patch {
        body.extend_from_slice(b"-- \n");
    }
    let line = style.line(&blake3::hash(&body), key);
    body.extend_from_slice(line.as_bytes());
    body
}

/// Whether the file is whole, unchanged, and made from this.
pub(super) fn is_intact(path: &Path, style: Style, key: &str) -> bool {
    let Ok(file) = std::fs::File::open(path) else { return false };
    let mut bytes = Vec::new();
    if file.take(LARGEST).read_to_end(&mut bytes).is_err() {
        return false;
    }
    let Some(end) = bytes.strip_suffix(b"\n") else { return false };
    let at = end.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let (body, line) = bytes.split_at(at);
    line == style.line(&blake3::hash(body), key).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_knows_whether_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        for style in [Style::Markdown, Style::Patch] {
            for body in ["", "one", "one\n", "one\n\ntwo\n"] {
                let whole = sealed(style, body.into(), "event 7");
                std::fs::write(&path, &whole).unwrap();
                assert!(is_intact(&path, style, "event 7"), "{body:?}");
                assert!(!is_intact(&path, style, "event 8"), "of another moment");
                for at in 0..whole.len() {
                    std::fs::write(&path, &whole[..at]).unwrap();
                    assert!(!is_intact(&path, style, "event 7"), "{body:?} cut at {at}");
                    let mut other = whole.clone();
                    other[at] ^= 1;
                    std::fs::write(&path, &other).unwrap();
                    assert!(!is_intact(&path, style, "event 7"), "{body:?} changed at {at}");
                }
            }
        }
        assert!(!is_intact(&folder.path().join("none"), Style::Patch, "event 7"));
    }
}
