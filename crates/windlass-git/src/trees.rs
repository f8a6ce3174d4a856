//! Tree objects from a list of paths, building again only what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::error::{Error, Result};
use crate::objects::{Leaf, TreeWriter};
use crate::oid::{Entry, Oid};
use crate::walk::{parents, split};

/// Paths with what they are.
pub(crate) type Entries = BTreeMap<Vec<u8>, Entry>;
/// Folders with their tree objects; the empty path is the top.
pub(crate) type Folders = BTreeMap<Vec<u8>, Oid>;

/// A state that was built before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Built<'a> {
    pub(crate) entries: &'a Entries,
    pub(crate) folders: &'a Folders,
}

/// Whether some path is both a file and a folder. No tree can hold that.
pub(crate) fn clashes(entries: &Entries) -> bool {
    entries.keys().any(|path| parents(path).any(|parent| entries.contains_key(parent)))
}

/// Builds the trees of a state, taking those of an earlier state where nothing below changed.
pub(crate) fn build(cmd: Command, entries: &Entries, before: Option<Built<'_>>) -> Result<Folders> {
    let mut folders: BTreeSet<&[u8]> = BTreeSet::from([b"".as_slice()]);
    let mut last: &[u8] = b"";
    for path in entries.keys() {
        let parent = split(path).0;
        if parent != last {
            last = parent;
            for folder in parents(path) {
                if !folders.insert(folder) {
                    break;
                }
            }
        }
    }
    let dirty = match before {
        Some(before) => changed_folders(&folders, entries, before),
        None => folders.clone(),
    };
    let mut done: Folders = BTreeMap::new();
    if let Some(before) = before {
        for folder in folders.difference(&dirty) {
            if let Some(oid) = before.folders.get(*folder) {
                done.insert(folder.to_vec(), oid.clone());
            }
        }
    }
    if dirty.is_empty() {
        return Ok(done);
    }
    let mut lines: BTreeMap<&[u8], Vec<(&[u8], &Entry)>> = BTreeMap::new();
    for (path, entry) in entries {
        let (folder, name) = split(path);
        if dirty.contains(folder) {
            lines.entry(folder).or_default().push((name, entry));
        }
    }
    let mut below: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
    for folder in folders.iter().filter(|folder| !folder.is_empty()) {
        let parent = split(folder).0;
        if dirty.contains(parent) {
            below.entry(parent).or_default().push(folder);
        }
    }
    let mut levels: BTreeMap<usize, Vec<&[u8]>> = BTreeMap::new();
    for folder in &dirty {
        levels.entry(depth(folder)).or_default().push(folder);
    }
    let mut writer = TreeWriter::start(cmd)?;
    for level in levels.values().rev() {
        // In portions, so that the ids of what was sent fit into a pipe nobody reads from meanwhile.
        for part in level.chunks(1000) {
            let mut trees = Vec::with_capacity(part.len());
            for folder in part {
                let mut tree: Vec<(&[u8], Leaf<'_>)> = Vec::new();
                for (name, entry) in lines.get(folder).into_iter().flatten() {
                    tree.push((name, Leaf::Entry(entry.mode, &entry.oid)));
                }
                for child in below.get(folder).into_iter().flatten() {
                    let oid = done.get(*child).cloned().ok_or_else(|| Error::Answer {
                        command: "mktree",
                        what: "a folder's tree is missing".to_owned(),
                    })?;
                    tree.push((split(child).1, Leaf::Tree(oid)));
                }
                trees.push(tree);
            }
            for (folder, oid) in part.iter().zip(writer.write(&trees)?) {
                done.insert(folder.to_vec(), oid);
            }
        }
    }
    Ok(done)
}

/// Tree of the top folder.
pub(crate) fn root(folders: &Folders) -> Result<Oid> {
    folders.get(b"".as_slice()).cloned().ok_or_else(|| Error::Answer {
        command: "mktree",
        what: "the top folder's tree is missing".to_owned(),
    })
}

fn depth(folder: &[u8]) -> usize {
    if folder.is_empty() { 0 } else { 1 + folder.iter().filter(|b| **b == b'/').count() }
}

/// Folders with a change somewhere below, or that were not built before.
fn changed_folders<'a>(
    folders: &BTreeSet<&'a [u8]>,
    entries: &'a Entries,
    before: Built<'_>,
) -> BTreeSet<&'a [u8]> {
    let mut dirty: BTreeSet<&[u8]> = BTreeSet::new();
    let mark = |dirty: &mut BTreeSet<&'a [u8]>, path: &[u8]| {
        for folder in parents(path).chain([b"".as_slice()]) {
            // A folder that is no more has no tree; those above it that remain do.
            if let Some(known) = folders.get(folder)
                && !dirty.insert(known)
            {
                break;
            }
        }
    };
    let mut old = before.entries.iter().peekable();
    for (path, entry) in entries {
        while let Some((gone, _)) = old.next_if(|(known, _)| *known < path) {
            mark(&mut dirty, gone);
        }
        match old.next_if(|(known, _)| *known == path) {
            Some((_, same)) if same == entry => {}
            _ => mark(&mut dirty, path),
        }
    }
    for (gone, _) in old {
        mark(&mut dirty, gone);
    }
    for folder in folders.iter().filter(|folder| !before.folders.contains_key(**folder)) {
        dirty.insert(folder);
        mark(&mut dirty, folder);
    }
    dirty
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oid::Mode;

    fn entries(paths: &[(&str, char)]) -> Entries {
        let entry = |c: char| Entry { mode: Mode::File, oid: Oid::parse(&c.to_string().repeat(40)).unwrap() };
        paths.iter().map(|(path, c)| (path.as_bytes().to_vec(), entry(*c))).collect()
    }

    #[test]
    fn only_folders_above_a_change_are_dirty() {
        let old = entries(&[("a/b/x", '1'), ("a/c/y", '1'), ("d/z", '1'), ("gone/deep/w", '1')]);
        let new = entries(&[("a/b/x", '2'), ("a/c/y", '1'), ("d/z", '1')]);
        let oid = Oid::parse(&"f".repeat(40)).unwrap();
        let known: Folders = ["", "a", "a/b", "a/c", "d", "gone", "gone/deep"]
            .iter()
            .map(|f| (f.as_bytes().to_vec(), oid.clone()))
            .collect();
        let folders: BTreeSet<&[u8]> = [&b""[..], b"a", b"a/b", b"a/c", b"d"].into();
        let built = Built { entries: &old, folders: &known };
        let dirty = changed_folders(&folders, &new, built);
        assert_eq!(dirty, [&b""[..], b"a", b"a/b"].into());
        assert!(changed_folders(&folders, &new, Built { entries: &new, folders: &known }).is_empty());
    }

    #[test]
    fn a_file_is_no_folder() {
        assert!(clashes(&entries(&[("a", '1'), ("a.b", '1'), ("a/b", '1')])));
        assert!(!clashes(&entries(&[("a", '1'), ("ab/c", '1')])));
    }
}
