//! What a run, or one of its tasks, changed, as a patch: what `windlass diff` shows, within a size.

use crate::driver::trees::{self, TreeError};
use std::path::Path;
use windlass_core::Run;
use windlass_events::TaskId;
use windlass_git::{DiffOptions, DiffStat, Git, Keeper, Segment};

/// The most bytes of one difference that are kept.
const LARGEST: u64 = 4 << 20;

/// Makes differences of a run; git is asked for nothing before it is needed, and not twice for the same.
pub(super) struct Diffs<'a> {
    run: &'a Run,
    git: Option<&'a Git>,
    project: &'a Path,
    keeper: Option<Keeper>,
    last: Option<(Vec<Segment>, Vec<u8>)>,
}

impl<'a> Diffs<'a> {
    pub(super) const fn new(run: &'a Run, git: Option<&'a Git>, project: &'a Path) -> Self {
        Self { run, git, project, keeper: None, last: None }
    }

    fn keeper(&mut self) -> Result<&Keeper, TreeError> {
        let keeper = match self.keeper.take() {
            Some(keeper) => keeper,
            None => trees::keeper(self.git, &self.run.spec.tree, self.project)?,
        };
        Ok(self.keeper.insert(keeper))
    }

    /// The patch of a task, or of the whole run.
    pub(super) fn patch(
        &mut self,
        task: Option<&TaskId>,
        segments: &[Segment],
    ) -> Result<Vec<u8>, TreeError> {
        if let Some((same, bytes)) = &self.last
            && same == segments
        {
            return Ok(bytes.clone());
        }
        let options = DiffOptions { max_bytes: Some(LARGEST), ..DiffOptions::default() };
        let diff = self.keeper()?.diff_text(segments, &options)?;
        let mut bytes = diff.bytes;
        if diff.truncated {
            let whole = task.map_or_else(|| self.run.id.to_string(), |t| format!("{} {t}", self.run.id));
            cut(&mut bytes, &whole);
        } else {
            self.last = Some((segments.to_vec(), bytes.clone()));
        }
        Ok(bytes)
    }

    /// The files that the run changed; `None` where that cannot be told.
    pub(super) fn files(&mut self, segments: &[Segment]) -> Option<DiffStat> {
        if segments.is_empty() {
            return Some(DiffStat::default());
        }
        self.keeper().ok()?.diff_stat(segments).ok()
    }
}

/// Says at both ends of a difference that it is not all of it. No line is cut in the middle.
fn cut(bytes: &mut Vec<u8>, whole: &str) {
    let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(end);
    let said = format!(
        "Only the first {end} bytes of this difference are here; `windlass diff {whole}` has all of it.\n"
    );
    bytes.extend_from_slice(said.as_bytes());
    bytes.splice(0..0, format!("{said}\n").into_bytes());
}

/// What tells one difference from another: the trees between which it lies.
pub(super) fn key(segments: &[Segment]) -> String {
    let mut hasher = blake3::Hasher::new();
    for segment in segments {
        hasher.update(segment.before.as_str().as_bytes());
        hasher.update(segment.after.as_str().as_bytes());
    }
    format!("trees {}", &hasher.finalize().to_hex().as_str()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_that_is_too_large_says_so_at_both_ends() {
        let mut bytes = b"diff --git a/x b/x\n+one\n+tw".to_vec();
        cut(&mut bytes, "k7m2qd 01_x");
        let text = String::from_utf8(bytes).unwrap();
        let said = "Only the first 24 bytes of this difference are here; `windlass diff k7m2qd 01_x` has all of it.\n";
        assert_eq!(text, format!("{said}\ndiff --git a/x b/x\n+one\n{said}"));
    }
}
