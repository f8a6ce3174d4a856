//! Which paths make up the tree: what the user's index has, and what is untracked and not ignored.

use crate::error::{Error, Result};
use crate::exec;
use crate::oid::{Entry, Mode, Oid};
use crate::repo::Repo;

/// The paths of a working tree, as the user's index and ignore rules have it. Not what is on disk.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Paths of files and links, tracked or not; sorted, each once.
    pub(crate) files: Vec<Listed>,
    /// Submodules in the index.
    pub(crate) submodules: Vec<(Vec<u8>, Entry)>,
    /// Repositories inside the tree that are no submodules.
    pub(crate) nested: Vec<Vec<u8>>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    pub(crate) path: Vec<u8>,
    pub(crate) tracked: bool,
}

/// Lists the tree. Reads the user's index and writes nothing; no file is opened, so no filter runs.
pub(crate) fn list(repo: &Repo) -> Result<Listing> {
    let mut cmd = repo.command();
    cmd.args(["ls-files", "-z", "-t", "-s", "--full-name", "--cached", "--others", "--exclude-standard"]);
    let done = exec::run(&mut cmd, None)?;
    if !done.status.success() {
        return Err(exec::failure(&cmd, done.status, &done.stderr));
    }
    // A folder that may not be read is only a warning to git, but to us it is content that would be missing.
    let said = String::from_utf8_lossy(&done.stderr);
    if let Some(rest) = said.split("could not open directory '").nth(1) {
        let path = rest.split("': ").next().unwrap_or(rest);
        return Err(Error::Unreadable { path: path.as_bytes().to_vec() });
    }
    parse(&done.stdout)
}

fn parse(out: &[u8]) -> Result<Listing> {
    let mut listing = Listing::default();
    for record in out.split(|b| *b == 0).filter(|record| !record.is_empty()) {
        let odd = || Error::Answer { command: "ls-files", what: exec::shown(record) };
        match record {
            [b'?', b' ', path @ ..] => match path.strip_suffix(b"/") {
                Some(nested) => listing.nested.push(nested.to_vec()),
                None => listing.files.push(Listed { path: path.to_vec(), tracked: false }),
            },
            [_, b' ', rest @ ..] => {
                let tab = rest.iter().position(|b| *b == b'\t').ok_or_else(odd)?;
                let (meta, path) = rest.split_at(tab);
                let path = path.get(1..).unwrap_or_default();
                let mut fields = meta.split(|b| *b == b' ');
                let (Some(mode), Some(oid)) = (fields.next(), fields.next()) else { return Err(odd()) };
                let mode = Mode::parse(mode).ok_or_else(odd)?;
                if mode == Mode::Submodule {
                    let oid = Oid::parse_bytes(oid)?;
                    listing.submodules.push((path.to_vec(), Entry { mode, oid }));
                } else {
                    listing.files.push(Listed { path: path.to_vec(), tracked: true });
                }
            }
            _ => return Err(odd()),
        }
    }
    // A path in conflict is listed once per stage.
    listing.files.sort_unstable_by(|a, b| a.path.cmp(&b.path).then(b.tracked.cmp(&a.tracked)));
    listing.files.dedup_by(|a, b| a.path == b.path);
    listing.submodules.sort_unstable();
    listing.submodules.dedup_by(|a, b| a.0 == b.0);
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_index_lines_are_names() {
        let oid = "ab".repeat(20);
        let out = format!(
            "? 100644 {oid} 0\ttrap\0H 100644 {oid} 0\ta\nb\0M 100644 {oid} 1\tc\0M 100755 {oid} 2\tc\0? n/\0S 160000 {oid} 0\tsub\0"
        );
        let listing = parse(out.as_bytes()).unwrap();
        let files: Vec<_> = listing
            .files
            .iter()
            .map(|f| (String::from_utf8_lossy(&f.path).into_owned(), f.tracked))
            .collect();
        assert_eq!(
            files,
            [(format!("100644 {oid} 0\ttrap"), false), ("a\nb".into(), true), ("c".into(), true)]
        );
        assert_eq!(listing.nested, [b"n"]);
        assert_eq!(listing.submodules.len(), 1);
        assert!(parse(b"H nonsense\0").is_err());
        assert!(parse(b"H 100644 zz 0\ta\0").is_ok_and(|l| l.files.len() == 1));
        assert!(parse(b"X").is_err());
    }
}
