//! What changed between kept states.
//!
//! A run's writing tasks give pairs of states, and the user may have edited between them. So the change of a run is not
//! "first state to last state" but, for every path that a task changed, from what it was before the first task that
//! changed it to what it was after the last.

use std::collections::BTreeMap;
use std::process::Command;

use windlass_events::event::Snapshot;

use crate::error::{Error, Result};
use crate::exec;
use crate::keeper::Keeper;
use crate::oid::{Entry, Mode, Oid};
use crate::trees::{self, Entries};

/// What one writing task did: the tree before and after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Tree before.
    pub before: Oid,
    /// Tree after.
    pub after: Oid,
}

impl Segment {
    /// From two states out of a journal.
    ///
    /// # Errors
    /// [`Error::BadOid`] when a tree's id is none.
    pub fn of(before: &Snapshot, after: &Snapshot) -> Result<Self> {
        Ok(Self { before: Oid::parse(&before.tree)?, after: Oid::parse(&after.tree)? })
    }
}

/// How a path changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// It has other content, and perhaps another exec bit.
    Modified,
    /// Only its exec bit changed.
    Mode,
    /// It became something else: a file, a link, a submodule.
    Type,
}

/// One changed path. A rename is a deletion and an addition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Path in the tree: any bytes but zero.
    pub path: Vec<u8>,
    /// What it was; `None` when it did not exist.
    pub before: Option<Entry>,
    /// What it is; `None` when it is gone.
    pub after: Option<Entry>,
}

impl Change {
    /// How it changed.
    pub fn kind(&self) -> ChangeKind {
        match (&self.before, &self.after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Deleted,
            (Some(a), Some(b)) if a.mode == b.mode => ChangeKind::Modified,
            (Some(a), Some(b)) if is_file(a.mode) && is_file(b.mode) => {
                if a.oid == b.oid {
                    ChangeKind::Mode
                } else {
                    ChangeKind::Modified
                }
            }
            _ => ChangeKind::Type,
        }
    }
}

fn is_file(mode: Mode) -> bool {
    matches!(mode, Mode::File | Mode::Exec)
}

/// How a difference is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiffOptions {
    /// With terminal colours.
    pub color: bool,
    /// A table of files with this many columns instead of the text.
    pub stat_width: Option<u32>,
    /// Write it so that `git apply` can use all of it: with the content of binary files, and without renames, which
    /// `git apply` cannot follow where a link and a folder change places. Otherwise a binary file is only said to differ.
    pub binary: bool,
    /// Only these files and folders; all when empty. Taken as they are, never as patterns.
    pub paths: Vec<Vec<u8>>,
    /// Stop after this many bytes.
    pub max_bytes: Option<u64>,
}

/// A difference, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiffText {
    /// Unified diff. Paths and content are any bytes.
    pub bytes: Vec<u8>,
    /// Whether it was cut at [`DiffOptions::max_bytes`].
    pub truncated: bool,
}

/// Lines changed in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStat {
    /// Path after.
    pub path: Vec<u8>,
    /// Path before, when it was renamed.
    pub renamed_from: Option<Vec<u8>>,
    /// Lines added and removed; `None` for a binary file.
    pub lines: Option<(u64, u64)>,
}

/// Size of a difference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiffStat {
    /// Files, in order of path.
    pub files: Vec<FileStat>,
}

impl DiffStat {
    /// Lines added, in files that are text.
    pub fn insertions(&self) -> u64 {
        self.files.iter().filter_map(|file| file.lines).map(|lines| lines.0).sum()
    }

    /// Lines removed, in files that are text.
    pub fn deletions(&self) -> u64 {
        self.files.iter().filter_map(|file| file.lines).map(|lines| lines.1).sum()
    }
}

/// Whether each segment begins where the one before it ended.
pub(crate) fn contiguous(segments: &[Segment]) -> bool {
    segments.windows(2).all(|pair| matches!(pair, [a, b] if a.after == b.before))
}

impl Keeper {
    /// What changed from one tree to another, in order of path.
    ///
    /// # Errors
    /// When a tree is not there any more, and when git fails.
    pub fn changes(&self, before: &Oid, after: &Oid) -> Result<Vec<Change>> {
        if before == after {
            return Ok(Vec::new());
        }
        let mut cmd = self.scratch.reading(&self.repo);
        cmd.args([
            "diff-tree",
            "-r",
            "-z",
            "--raw",
            "--no-renames",
            "--no-abbrev",
            "--ignore-submodules=none",
        ]);
        cmd.args([before.as_str(), after.as_str(), "--"]);
        parse_raw(&exec::checked(&mut cmd, None)?)
    }

    /// What several writing tasks changed together, in order of path. What the user changed between them, in paths that no
    /// task touched, is not in it.
    ///
    /// # Errors
    /// As [`Keeper::changes`].
    pub fn net_changes(&self, segments: &[Segment]) -> Result<Vec<Change>> {
        if let (Some(first), Some(last)) = (segments.first(), segments.last())
            && contiguous(segments)
        {
            return self.changes(&first.before, &last.after);
        }
        let mut net: BTreeMap<Vec<u8>, Change> = BTreeMap::new();
        for segment in segments {
            for change in self.changes(&segment.before, &segment.after)? {
                match net.get_mut(&change.path) {
                    Some(known) => known.after = change.after,
                    None => drop(net.insert(change.path.clone(), change)),
                }
            }
        }
        Ok(net.into_values().filter(|change| change.before != change.after).collect())
    }

    /// The difference that tasks made, as a unified diff.
    ///
    /// # Errors
    /// As [`Keeper::changes`].
    pub fn diff_text(&self, segments: &[Segment], options: &DiffOptions) -> Result<DiffText> {
        let mut text = DiffText::default();
        for pair in self.comparable(segments)? {
            let mut cmd = self.compare();
            match options.stat_width {
                Some(width) => cmd.arg(format!("--stat={}", width.clamp(20, 1000))),
                None => cmd.arg("-p"),
            };
            cmd.arg(if options.color { "--color=always" } else { "--color=never" });
            if options.binary {
                cmd.args(["--binary", "--full-index", "--no-renames"]);
            }
            let limit = options.max_bytes.map(|max| max.saturating_sub(text.bytes.len() as u64));
            let done = self.ask(cmd, &pair, &options.paths, limit)?;
            text.bytes.extend(done.stdout);
            text.truncated = done.truncated;
            if text.truncated {
                break;
            }
        }
        Ok(text)
    }

    /// How large the difference is that tasks made.
    ///
    /// # Errors
    /// As [`Keeper::changes`].
    pub fn diff_stat(&self, segments: &[Segment]) -> Result<DiffStat> {
        let mut stat = DiffStat::default();
        for pair in self.comparable(segments)? {
            let mut cmd = self.compare();
            cmd.args(["--numstat", "-z"]);
            stat.files.extend(parse_numstat(&self.ask(cmd, &pair, &[], None)?.stdout)?);
        }
        Ok(stat)
    }

    fn compare(&self) -> Command {
        let mut cmd = self.scratch.reading(&self.repo);
        cmd.args(["diff-tree", "-r", "-M", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none"]);
        cmd.args(["--src-prefix=a/", "--dst-prefix=b/"]);
        cmd
    }

    fn ask(
        &self,
        mut cmd: Command,
        pair: &Segment,
        paths: &[Vec<u8>],
        limit: Option<u64>,
    ) -> Result<exec::Finished> {
        use std::os::unix::ffi::OsStrExt;
        cmd.args([pair.before.as_str(), pair.after.as_str(), "--"]);
        cmd.args(paths.iter().map(|path| std::ffi::OsStr::from_bytes(path)));
        let done = exec::run_limited(&mut cmd, None, limit)?;
        if done.status.success() || done.truncated {
            Ok(done)
        } else {
            Err(exec::failure(&cmd, done.status, &done.stderr))
        }
    }

    /// Pairs of trees whose differences together are what the segments changed: one, unless paths exclude each other.
    fn comparable(&self, segments: &[Segment]) -> Result<Vec<Segment>> {
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return Ok(Vec::new()) };
        if contiguous(segments) {
            return Ok(vec![Segment { before: first.before.clone(), after: last.after.clone() }]);
        }
        let (mut before, mut after) = (Entries::new(), Entries::new());
        for change in self.net_changes(segments)? {
            before.extend(change.before.map(|entry| (change.path.clone(), entry)));
            after.extend(change.after.map(|entry| (change.path.clone(), entry)));
        }
        if trees::clashes(&before) || trees::clashes(&after) {
            // A path was a file for one task and a folder for another: no one tree can say so.
            return Ok(segments.to_vec());
        }
        let build =
            |entries: &Entries| trees::root(&trees::build(self.scratch.reading(&self.repo), entries, None)?);
        Ok(vec![Segment { before: build(&before)?, after: build(&after)? }])
    }
}

/// `:100644 100755 <oid> <oid> M\0<path>\0`
fn parse_raw(out: &[u8]) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let mut fields = out.split(|b| *b == 0);
    while let Some(meta) = fields.next().filter(|meta| !meta.is_empty()) {
        let odd = || Error::Answer { command: "diff-tree", what: exec::shown(meta) };
        let path = fields.next().filter(|path| !path.is_empty()).ok_or_else(odd)?;
        let mut words = meta.strip_prefix(b":").ok_or_else(odd)?.split(|b| *b == b' ');
        let mut word = || words.next().ok_or_else(odd);
        let (modes, oids) = ([word()?, word()?], [word()?, word()?]);
        let side = |mode: &[u8], oid: &[u8]| -> Result<Option<Entry>> {
            if mode == b"000000" {
                return Ok(None);
            }
            let (mode, oid) = (Mode::parse(mode).ok_or_else(odd)?, Oid::parse_bytes(oid)?);
            if oid.is_zero() { Err(odd()) } else { Ok(Some(Entry { mode, oid })) }
        };
        let before = side(modes[0], oids[0])?;
        let after = side(modes[1], oids[1])?;
        changes.push(Change { path: path.to_vec(), before, after });
    }
    changes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

/// `1\t2\t<path>\0`, or `1\t2\t\0<old>\0<new>\0` for a rename, with `-` for numbers of a binary file.
fn parse_numstat(out: &[u8]) -> Result<Vec<FileStat>> {
    let mut files = Vec::new();
    let mut fields = out.split(|b| *b == 0);
    while let Some(record) = fields.next().filter(|record| !record.is_empty()) {
        let odd = || Error::Answer { command: "diff-tree", what: exec::shown(record) };
        let mut parts = record.splitn(3, |b| *b == b'\t');
        let (Some(added), Some(removed), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(odd());
        };
        let number =
            |text: &[u8]| std::str::from_utf8(text).ok().and_then(|t| t.parse::<u64>().ok()).ok_or_else(odd);
        let lines = match (added, removed) {
            (b"-", b"-") => None,
            _ => Some((number(added)?, number(removed)?)),
        };
        let (path, renamed_from) = match path {
            b"" => {
                let old = fields.next().ok_or_else(odd)?;
                (fields.next().ok_or_else(odd)?, Some(old.to_vec()))
            }
            path => (path, None),
        };
        files.push(FileStat { path: path.to_vec(), renamed_from, lines });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_differences() {
        let (a, b, zero) = ("a".repeat(40), "b".repeat(40), "0".repeat(40));
        let out = format!(
            ":100644 100755 {a} {a} M\0x\ty\n\0:000000 120000 {zero} {b} A\0l\0:100644 000000 {a} {zero} D\0d\0:100644 120000 {a} {b} T\0t\0"
        );
        let changes = parse_raw(out.as_bytes()).unwrap();
        let kinds: Vec<_> =
            changes.iter().map(|c| (String::from_utf8_lossy(&c.path).into_owned(), c.kind())).collect();
        let want = [
            ("d", ChangeKind::Deleted),
            ("l", ChangeKind::Added),
            ("t", ChangeKind::Type),
            ("x\ty\n", ChangeKind::Mode),
        ];
        assert_eq!(kinds, want.map(|(path, kind)| (path.to_owned(), kind)));
        for bad in ["x", ":100644", ":100644 100644 zz zz M\0p\0", &format!(":100644 100644 {a} {a} M\0")] {
            assert!(parse_raw(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn line_counts() {
        let files = parse_numstat(b"1\t2\ta\tb\0-\t-\tbin\x003\t0\t\0old\0new\0").unwrap();
        let stat = DiffStat { files };
        assert_eq!((stat.insertions(), stat.deletions()), (4, 2));
        assert_eq!(stat.files[0].path, b"a\tb");
        assert_eq!(stat.files[1].lines, None);
        assert_eq!(stat.files[2].renamed_from.as_deref(), Some(b"old".as_slice()));
        assert!(parse_numstat(b"1\t2\0").is_err());
        assert!(parse_numstat(b"x\ty\tz\0").is_err());
    }
}
