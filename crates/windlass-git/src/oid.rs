//! Object ids and what a tree says about a path.

use std::fmt;

use crate::error::{Error, Result};

/// The id of a git object: 40 hex digits, or 64 in a SHA-256 repository.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(Box<str>);

impl Oid {
    /// Parses an id.
    ///
    /// # Errors
    /// [`Error::BadOid`] when the text is not 40 or 64 lower-case hex digits.
    pub fn parse(text: &str) -> Result<Self> {
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex && matches!(text.len(), 40 | 64) {
            Ok(Self(text.into()))
        } else {
            Err(Error::BadOid(text.chars().take(80).collect()))
        }
    }

    pub(crate) fn parse_bytes(bytes: &[u8]) -> Result<Self> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(text.trim_end_matches('\n')),
            Err(_) => Err(Error::BadOid(String::from_utf8_lossy(bytes).chars().take(80).collect())),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the id that stands for "no object".
    pub(crate) fn is_zero(&self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a path is. Of permissions git keeps only whether the owner may execute a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// A regular file.
    File,
    /// A regular file that its owner may execute.
    Exec,
    /// A symbolic link; its content is the target.
    Link,
    /// A submodule; its "content" is a commit, kept as the index has it. Windlass never looks inside.
    Submodule,
}

impl Mode {
    /// As git writes it in trees and diffs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Exec => "100755",
            Self::Link => "120000",
            Self::Submodule => "160000",
        }
    }

    /// Reads git's octal form. `100664`, which old repositories have, is a regular file.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"100644" | b"100664" => Some(Self::File),
            b"100755" => Some(Self::Exec),
            b"120000" => Some(Self::Link),
            b"160000" => Some(Self::Submodule),
            _ => None,
        }
    }

    pub(crate) fn object_type(self) -> &'static str {
        if self == Self::Submodule { "commit" } else { "blob" }
    }
}

/// One path's state in a tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// What it is.
    pub mode: Mode,
    /// Its content.
    pub oid: Oid,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_are_ids() {
        assert!(Oid::parse(&"a1".repeat(20)).is_ok());
        assert!(Oid::parse(&"a1".repeat(32)).is_ok());
        for bad in ["", "HEAD", "--all", &"A1".repeat(20), &"a1".repeat(21), &"g1".repeat(20)] {
            assert!(Oid::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Oid::parse(&"0".repeat(40)).unwrap().is_zero());
    }
}
