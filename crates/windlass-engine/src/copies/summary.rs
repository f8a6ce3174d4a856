//! `summary.md`: what the renderer says of the run, in fences that nothing in it can close.

use crate::paths::RunDir;
use crate::query;
use windlass_api::status::{ChangesDoc, FolderDoc};
use windlass_core::Run;
use windlass_git::DiffStat;
use windlass_prompts::fence::{code, fenced};
use windlass_view::summary::{ChangedFile, summary as sections};
use windlass_view::{Look, Overlay, Paint, RunView};

/// Cells of a line.
const WIDTH: usize = 100;

/// The summary of a run as its journal tells it, the same whenever it is made. `changed` is `None` where that is not known.
pub(super) fn summary(run: &Run, dir: &RunDir, changed: Option<&DiffStat>) -> Vec<u8> {
    let mut doc = query::status_doc(run, None, dir);
    doc.run.changes = changed.map(|stat| ChangesDoc {
        files: stat.files.len() as u64,
        insertions: stat.insertions(),
        deletions: stat.deletions(),
    });
    // Whoever reads it may be anywhere.
    doc.run.name_tree();
    let files: Vec<ChangedFile> = changed.into_iter().flat_map(|stat| &stat.files).map(file).collect();
    let overlay = Overlay::default();
    let view = RunView::new(&doc, &overlay, run.updated_at);
    let mut text = format!("# Run {}\n", run.id);
    for section in sections(&view, &files, &Look::new(WIDTH)) {
        let lines = Paint::default().lines(&section.lines);
        text.push_str(&format!("\n## {}\n\n{}", section.title, fenced(&lines, "text")));
    }
    text.push_str("\n## Files\n\n");
    let folder = dir.doc();
    text.push_str(&listed(&folder, run));
    text.push_str("\nTimes are in UTC.\n\n");
    text.into_bytes()
}

fn file(stat: &windlass_git::FileStat) -> ChangedFile {
    ChangedFile {
        path: windlass_git::shown(&stat.path),
        from: stat.renamed_from.as_deref().map(windlass_git::shown),
        lines: stat.lines,
    }
}

/// What is in the folder, and what each of it is.
fn listed(folder: &FolderDoc, run: &Run) -> String {
    let mut text = String::new();
    for name in folder.contents.iter().filter(|name| *name != "summary.md") {
        let what = crate::paths::CONTENTS.iter().find(|(n, _)| n == name).map_or("", |(_, what)| what);
        text.push_str(&format!("- {}: {what}\n", code(name)));
    }
    text.push_str(&format!("\n`windlass show {}` says more, and where all of this is.\n", run.id));
    text
}
