//! Content known by its hash. Small content is kept in the database, large content in files named after the hash.

use crate::error::StoreError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Content longer than this many bytes goes to a file.
pub const INLINE_MAX: usize = 64 * 1024;

/// The BLAKE3 hash of a content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Parses 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let value = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let mut out = [0; 32];
        for (slot, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            *slot = value(pair[0])? << 4 | value(pair[1])?;
        }
        Some(Self(out))
    }

    /// The raw hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why an artifact could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// Nothing is stored under the hash.
    #[error("artifact {hash} is not in the store")]
    Missing {
        /// The hash.
        hash: Hash,
    },
    /// What is stored is not what was put there. It was left as it is.
    #[error("artifact {hash} is damaged: what is stored in {place} has hash {found}")]
    Damaged {
        /// The hash it was stored under.
        hash: Hash,
        /// The hash it has.
        found: Hash,
        /// Where it is.
        place: String,
    },
    /// The store as a whole failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Returns the bytes if they are what the hash says.
pub(crate) fn checked(hash: &Hash, bytes: Vec<u8>, place: &str) -> Result<Vec<u8>, ArtifactError> {
    let found = Hash::of(&bytes);
    if found == *hash {
        Ok(bytes)
    } else {
        Err(ArtifactError::Damaged { hash: *hash, found, place: place.to_owned() })
    }
}

/// The folder of the large ones.
#[derive(Debug, Clone)]
pub(crate) struct ArtifactDir(pub(crate) PathBuf);

impl ArtifactDir {
    pub(crate) fn path(&self, hash: &Hash) -> PathBuf {
        let name = hash.to_string();
        self.0.join(&name[..2]).join(name)
    }

    /// Writes the content unless it is there. A file that is there but is not the content is replaced by it.
    pub(crate) fn put(&self, hash: &Hash, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(hash);
        match std::fs::read(&path) {
            Ok(there) if Hash::of(&there) == *hash => Ok(()),
            _ => crate::files::write_whole(&path, bytes),
        }
    }

    pub(crate) fn get(&self, hash: &Hash) -> Result<Vec<u8>, ArtifactError> {
        let path = self.path(hash);
        match std::fs::read(&path) {
            Ok(bytes) => checked(hash, bytes, &path.display().to_string()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(ArtifactError::Missing { hash: *hash }),
            Err(e) => Err(io_error(&path, &e).into()),
        }
    }

    pub(crate) fn remove(&self, hash: &Hash) -> io::Result<()> {
        let path = self.path(hash);
        for file in [crate::files::temporary(&path), path] {
            match std::fs::remove_file(file) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A failure of the file system as the store reports it.
pub(crate) fn io_error(path: &Path, e: &io::Error) -> StoreError {
    let path = path.to_owned();
    match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { path },
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            StoreError::ReadOnly { path, detail: e.to_string() }
        }
        _ => StoreError::Io { path, detail: e.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_back() {
        let hash = Hash::of(b"x");
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
        for bad in ["", "zz", &"A".repeat(64), &"0".repeat(63)] {
            assert!(Hash::parse(bad).is_none());
        }
    }

    #[test]
    fn files_are_checked_and_mended_by_a_new_put() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = ArtifactDir(dir.path().join("artifacts"));
        let (hash, bytes) = (Hash::of(b"content"), b"content".to_vec());
        assert!(matches!(artifacts.get(&hash), Err(ArtifactError::Missing { .. })));
        artifacts.put(&hash, &bytes).unwrap();
        artifacts.put(&hash, &bytes).unwrap();
        assert_eq!(artifacts.get(&hash).unwrap(), bytes);
        std::fs::write(artifacts.path(&hash), b"conten").unwrap();
        assert!(matches!(artifacts.get(&hash), Err(ArtifactError::Damaged { .. })));
        artifacts.put(&hash, &bytes).unwrap();
        assert_eq!(artifacts.get(&hash).unwrap(), bytes);
        artifacts.remove(&hash).unwrap();
        artifacts.remove(&hash).unwrap();
        assert!(matches!(artifacts.get(&hash), Err(ArtifactError::Missing { .. })));
    }
}
