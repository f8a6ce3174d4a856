//! The user's tree: kept states, identities, and what a run changed.

use crate::driver::context::{Ctx, Home, Msg};
use crate::machine::In;
use std::path::Path;
use std::sync::Arc;
use windlass_core::{Input, Run};
use windlass_events::event::Snapshot;
use windlass_events::outcome::Failure;
use windlass_events::spec::TreeSpec;
use windlass_events::{AttemptNo, ErrorClass, TaskId};
use windlass_git::{Git, Keeper, Limits, Repo, Segment};

/// Why a tree could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// No git on this machine any more.
    #[error("git is needed for this and was not found; install git 2.41 or later")]
    NoGit,
    /// The folder is no git working tree any more.
    #[error("{0} is no git working tree any more")]
    NoRepo(String),
    /// Git.
    #[error(transparent)]
    Git(#[from] windlass_git::Error),
}

/// The keeper of a run's tree. `cache` is a project's folder.
///
/// # Errors
/// When the tree is gone or git fails.
pub fn keeper(git: Option<&Git>, tree: &TreeSpec, project: &Path) -> Result<Keeper, TreeError> {
    let git = git.ok_or(TreeError::NoGit)?;
    let repo =
        Repo::discover(git, Path::new(&tree.root))?.ok_or_else(|| TreeError::NoRepo(tree.root.clone()))?;
    // Several working trees can belong to one project; each has a cache of its own.
    let name = blake3::hash(tree.root.as_bytes()).to_hex();
    let cache = project.join("trees").join(&name.as_str()[..16]);
    Ok(Keeper::open(repo, &cache, Limits::default())?)
}

/// Keeps the tree before or after an attempt.
pub(crate) async fn keep(
    ctx: Arc<Ctx>,
    home: Arc<Home>,
    task: TaskId,
    n: AttemptNo,
    before: bool,
    number: u32,
    head_was: Option<Option<String>>,
) {
    let (c, h, t) = (ctx.clone(), home.clone(), task.clone());
    let kept = tokio::task::spawn_blocking(move || {
        let keeper = keeper(c.git(), &h.spec.tree, &h.project.dir)?;
        let moment = if before { "before" } else { "after" };
        let message = format!("windlass run {}: {moment} {t}, attempt {n}", h.run);
        Ok::<_, TreeError>(keeper.snapshot(h.run, number, &message)?)
    })
    .await;
    let input = match kept {
        Ok(Ok(kept)) => {
            for note in &kept.notes {
                let text = format!("the kept tree: {note}");
                ctx.tell(Msg::In(In::Run(home.run, Input::Notice { text })));
            }
            let head_was = head_was.filter(|was| *was != kept.snapshot.head);
            Input::TreeKept { task, n, before, snapshot: kept.snapshot, head_was }
        }
        Ok(Err(e)) => Input::TreeNotKept { task, failure: not_kept(&e.to_string()) },
        Err(_) => Input::TreeNotKept { task, failure: not_kept("the step that keeps it failed") },
    };
    ctx.tell(Msg::In(In::Run(home.run, input)));
}

fn not_kept(why: &str) -> Failure {
    Failure::new(
        ErrorClass::Internal,
        format!("the tree could not be kept, so nothing more is done in it: {why}"),
    )
    .hint("mend what git says, then `windlass retry RUN`")
}

/// The identity of the tree now; `None` outside git. Blocking.
pub(crate) fn identity(ctx: &Ctx, home: &Home) -> Option<Result<String, String>> {
    if !home.spec.tree.git {
        return None;
    }
    let id = keeper(ctx.git(), &home.spec.tree, &home.project.dir)
        .and_then(|k| Ok(k.tree_identity()?.as_str().to_owned()))
        .map_err(|e| e.to_string());
    Some(id)
}

/// A state by its content alone.
pub(crate) fn bare(tree: String) -> Snapshot {
    Snapshot { n: 0, commit: String::new(), tree, head: None }
}

/// The pairs of kept states between which a run, or one task of it, changed the tree, in the order of their making.
pub fn segments(run: &Run, task: Option<&TaskId>) -> Result<Vec<Segment>, windlass_git::Error> {
    let mut spans: Vec<(&Snapshot, &Snapshot)> = Vec::new();
    let mut kept: Vec<&windlass_core::task::Kept> = Vec::new();
    for t in run.tasks.iter().filter(|t| task.is_none_or(|id| t.spec.id == *id)) {
        if let Some((before, after)) = &t.touched {
            spans.push((before, after));
        }
        kept.extend(&t.kept);
    }
    kept.sort_by_key(|k| k.snapshot.n);
    let mut open: Option<&Snapshot> = None;
    for k in kept {
        match (k.before, open) {
            (true, None) => open = Some(&k.snapshot),
            // An attempt that never had an after: what follows begins where the tree was then.
            (true, Some(_)) => open = Some(&k.snapshot),
            (false, Some(before)) => {
                spans.push((before, &k.snapshot));
                // The task keeps its turn until it ends, so its next attempt begins here.
                open = Some(&k.snapshot);
            }
            (false, None) => open = Some(&k.snapshot),
        }
    }
    spans.into_iter().filter(|(b, a)| b.tree != a.tree).map(|(b, a)| Segment::of(b, a)).collect()
}
