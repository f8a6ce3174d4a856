//! `init`: says every file before it writes one, and touches nothing but `.windlass/`.

use super::view::{View, real};
use crate::ask;
use crate::cli::InitArgs;
use crate::context::Context;
use crate::print;
use std::path::{Path, PathBuf};
use windlass_api::{ApiError, ErrorKind};
use windlass_resources::init::FilePlan;
use windlass_view::Line;
use windlass_view::theme::Tone;

/// `windlass init`.
pub(crate) fn init(context: &Context, args: &InitArgs) -> Result<u8, ApiError> {
    let mut view = View::load(context)?;
    let root = match &view.root {
        Some(root) => root.clone(),
        None => {
            let here = real(&context.cwd)?;
            refuse_odd_places(&here)?;
            view = View::of(context, Some(here.clone()), None);
            here
        }
    };
    let plan = windlass_resources::init::init(&root, &view.detected);
    let fresh = plan.new_files().count();
    if args.dry_run {
        return said(context, &root, &plan, None);
    }
    if fresh == 0 {
        return said(context, &root, &plan, Some(&[]));
    }
    print::err_lines(context, &listing(&root, &plan, false));
    if !context.global.yes {
        if !context.can_ask() {
            return Err(ApiError::new(ErrorKind::Usage, "nothing was written: nobody can be asked here")
                .hint("`windlass init --yes` writes these files, `windlass init --dry-run` shows what is in them"));
        }
        if !ask::confirm(context, "Write this?", true) {
            print::note(context, "nothing was written");
            return Ok(0);
        }
    }
    let paths: Vec<&Path> = plan.files.iter().map(|f| f.path.as_path()).collect();
    let written = view.renewing(&paths, || write(&plan, &root))?;
    let code = said(context, &root, &plan, Some(&written))?;
    if !context.global.json && !context.global.quiet {
        let must_ask = view.decision_now().must_ask();
        next(context, must_ask);
    }
    Ok(code)
}

/// The home folder, the temporary folder and `/` are never projects: nothing below them would be its own any more.
fn refuse_odd_places(here: &Path) -> Result<(), ApiError> {
    let real = |p: PathBuf| p.canonicalize().unwrap_or(p);
    let stops = windlass_engine::query::stops().into_iter().map(real);
    if here.parent().is_none() || stops.into_iter().any(|s| s == here) {
        return Err(ApiError::new(ErrorKind::Usage, format!("{} is no place for a project", here.display()))
            .hint("go to the folder of your project"));
    }
    Ok(())
}

/// Writes what is planned.
pub(super) fn write(plan: &FilePlan, root: &Path) -> Result<Vec<PathBuf>, ApiError> {
    plan.write(root).map_err(|e| {
        ApiError::new(ErrorKind::Missing, format!("not everything could be written: {e}"))
            .hint("what was written stays; see to the folder and ask again")
    })
}

/// The files, and with `contents` what is in them.
pub(super) fn listing(root: &Path, plan: &FilePlan, contents: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for file in &plan.files {
        let mut line = Line::new();
        let shown = file.path.strip_prefix(root).unwrap_or(&file.path).display().to_string();
        if file.exists {
            line.push(Tone::Dim, "  stays  ").push(Tone::Dim, &shown);
        } else {
            line.push(Tone::Accent, "  new    ").push(Tone::Strong, &shown);
            line.push(Tone::Dim, format!("  {} lines", file.contents.lines().count()));
        }
        lines.push(line);
        if contents && !file.exists {
            lines.extend(file.contents.lines().map(|l| Line::of(Tone::Plain, format!("         {l}"))));
        }
    }
    lines
}

/// What was, or would be, written. `written` is `None` for a dry run.
fn said(
    context: &Context,
    root: &Path,
    plan: &FilePlan,
    written: Option<&[PathBuf]>,
) -> Result<u8, ApiError> {
    if context.global.json {
        print::json(&serde_json::json!({
            "project": root, "dry_run": written.is_none(), "files": plan.files, "written": written.unwrap_or_default(),
        }))?;
        return Ok(0);
    }
    match written {
        None => print::lines(context, &listing(root, plan, true))?,
        Some([]) => {
            let mut lines = listing(root, plan, false);
            lines.push(Line::of(Tone::Dim, "this project is set up already"));
            print::lines(context, &lines)?;
        }
        Some(written) => {
            let lines: Vec<Line> = written
                .iter()
                .map(|p| {
                    Line::of(Tone::Plain, format!("wrote {}", p.strip_prefix(root).unwrap_or(p).display()))
                })
                .collect();
            print::lines(context, &lines)?;
        }
    }
    Ok(0)
}

fn next(context: &Context, must_ask: bool) {
    let command = |command: &str, why: &str| {
        let mut line = Line::new();
        line.push(Tone::Dim, "next  ").push(Tone::Strong, command).pad_to(42).push(Tone::Dim, why);
        line
    };
    let mut lines = Vec::new();
    if must_ask {
        lines.push(command("windlass trust", "say what of this repository may be used"));
    }
    lines.push(command("windlass run --dry-run \"your goal\"", "what would be done, nothing started"));
    lines.push(command("git add .windlass", "share it"));
    print::err_lines(context, &lines);
}
