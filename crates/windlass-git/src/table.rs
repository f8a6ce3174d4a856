//! The table of a tree: what every path was when it was last read, so that only what changed is read again.
//!
//! It is a cache. A table that is missing, damaged, of another version or of another tree is built anew.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Result;
use crate::oid::{Entry, Mode, Oid};
use crate::scratch::write_atomically;
use crate::trees::{Entries, Folders};
use crate::walk::Stamp;

const MAGIC: &[u8; 8] = b"wltree1\n";

/// What is known of a tree.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// Device and inode of the top folder.
    pub(crate) top: (u64, u64),
    /// Every path that is kept.
    pub(crate) entries: Entries,
    /// Stamps of those whose content can be trusted as long as the stamp is the same.
    pub(crate) stamps: BTreeMap<Vec<u8>, Stamp>,
    /// Tree objects of all folders.
    pub(crate) folders: Folders,
}

impl Table {
    /// Reads a table; an empty one where there is none that can be used.
    pub(crate) fn load(at: &Path, top: (u64, u64)) -> Self {
        let table = std::fs::read(at).ok().and_then(|bytes| Self::decode(&bytes));
        table.filter(|table| table.top == top).unwrap_or_else(|| Self::empty(top))
    }

    /// A table that knows nothing yet.
    pub(crate) fn empty(top: (u64, u64)) -> Self {
        Self { top, ..Self::default() }
    }

    pub(crate) fn save(&self, at: &Path) -> Result<()> {
        write_atomically(at, &self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 * self.entries.len() + 1024);
        out.extend(MAGIC);
        for n in [self.top.0, self.top.1, self.entries.len() as u64, self.folders.len() as u64] {
            out.extend(n.to_le_bytes());
        }
        for (path, entry) in &self.entries {
            put(&mut out, path);
            out.push(match entry.mode {
                Mode::File => 0,
                Mode::Exec => 1,
                Mode::Link => 2,
                Mode::Submodule => 3,
            });
            put(&mut out, entry.oid.as_str().as_bytes());
            match self.stamps.get(path) {
                None => out.push(0),
                Some(stamp) => {
                    out.push(1);
                    for n in [stamp.dev, stamp.ino, stamp.size] {
                        out.extend(n.to_le_bytes());
                    }
                    out.extend(stamp.mode.to_le_bytes());
                    for (seconds, nanos) in [stamp.mtime, stamp.ctime] {
                        out.extend(seconds.to_le_bytes());
                        out.extend(nanos.to_le_bytes());
                    }
                }
            }
        }
        for (folder, oid) in &self.folders {
            put(&mut out, folder);
            put(&mut out, oid.as_str().as_bytes());
        }
        let hash = blake3::hash(&out);
        out.extend(hash.as_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, hash) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        if blake3::hash(body).as_bytes() != hash {
            return None;
        }
        let mut input = Input(body.strip_prefix(MAGIC)?);
        let top = (input.u64()?, input.u64()?);
        let (entries, folders) = (input.u64()?, input.u64()?);
        let mut table = Self { top, ..Self::default() };
        for _ in 0..entries {
            let path = input.bytes()?.to_vec();
            let mode = match input.take(1)? {
                [0] => Mode::File,
                [1] => Mode::Exec,
                [2] => Mode::Link,
                [3] => Mode::Submodule,
                _ => return None,
            };
            let oid = Oid::parse_bytes(input.bytes()?).ok()?;
            if input.take(1)? == [1] {
                let (dev, ino, size, mode) = (input.u64()?, input.u64()?, input.u64()?, input.u32()?);
                let mtime = (input.u64()?.cast_signed(), input.u32()?);
                let ctime = (input.u64()?.cast_signed(), input.u32()?);
                table.stamps.insert(path.clone(), Stamp { dev, ino, mode, size, mtime, ctime });
            }
            table.entries.insert(path, Entry { mode, oid });
        }
        for _ in 0..folders {
            let folder = input.bytes()?.to_vec();
            table.folders.insert(folder, Oid::parse_bytes(input.bytes()?).ok()?);
        }
        input.0.is_empty().then_some(table)
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(bytes);
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = self.u32()?;
        self.take(usize::try_from(n).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> impl Strategy<Value = Table> {
        let oid = "[0-9a-f]{40}".prop_map(|text| Oid::parse(&text).unwrap());
        let mode = prop::sample::select(vec![Mode::File, Mode::Exec, Mode::Link, Mode::Submodule]);
        let stamp = (any::<[u64; 3]>(), any::<u32>(), any::<(i64, u32)>(), any::<(i64, u32)>())
            .prop_map(|([dev, ino, size], mode, mtime, ctime)| Stamp { dev, ino, mode, size, mtime, ctime });
        let path = prop::collection::vec(any::<u8>(), 1..12);
        let entry = (mode, oid.clone(), prop::option::of(stamp));
        let entries = prop::collection::btree_map(path.clone(), entry, 0..8);
        (any::<(u64, u64)>(), entries, prop::collection::btree_map(path, oid, 0..4)).prop_map(
            |(top, entries, folders)| {
                let mut table = Table { top, folders, ..Table::default() };
                for (path, (mode, oid, stamp)) in entries {
                    table.stamps.extend(stamp.map(|stamp| (path.clone(), stamp)));
                    table.entries.insert(path, Entry { mode, oid });
                }
                table
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(table in table()) {
            prop_assert_eq!(Table::decode(&table.encode()), Some(table));
        }

        #[test]
        fn damage_is_noticed(table in table(), at in any::<prop::sample::Index>(), cut in any::<bool>()) {
            let mut bytes = table.encode();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 }
            prop_assert_eq!(Table::decode(&bytes), None);
        }

        #[test]
        fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Table::decode(&bytes);
            // Also past the check of the hash.
            let mut sealed = [MAGIC.as_slice(), &bytes].concat();
            sealed.extend(blake3::hash(&sealed).as_bytes());
            let _ = Table::decode(&sealed);
        }
    }
}
