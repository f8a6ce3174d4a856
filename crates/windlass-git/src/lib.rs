//! Git trees for Windlass: which repository this is, keeping the state of a working tree, what changed between kept
//! states, and putting them back.
//!
//! Everything goes through the `git` program. The API is synchronous; callers with an event loop use blocking threads.
//!
//! **What this crate must never do:** touch the user's index, HEAD, branches, stash or reflogs; run a program that a
//! repository names; follow a symbolic link out of the tree; write or remove a file whose content was not kept before;
//! take a failure of git for an absence.
//!
//! | module | about |
//! | --- | --- |
//! | `git` | the program, its version, the environment and settings of every call |
//! | `exec` | running it, bounded and without deadlock |
//! | `found` | where repositories are, remembered while nothing there changed |
//! | `repo` | finding a repository; HEAD, base of a branch, identity of a project |
//! | `scratch` | the git folder of our own where content is handled, free of anybody's configuration |
//! | `list`, `walk` | which paths make up the tree; reaching them without leaving it |
//! | `objects`, `trees` | writing and reading blobs; building trees from what changed |
//! | `table` | the cache that makes a second look cheap |
//! | `keeper` | snapshots under `refs/windlass/<run>/<n>`, identity of the tree |
//! | `diff` | changes, unified diffs and their size, over the pairs of states of a run |
//! | `undo`, `restore` | what an undo would do, what is in its way; doing it, file by file |
//! | `ignored` | what was ignored under the rules of an earlier state |
//! | `review` | the difference that a review without a goal looks at |
//!
//! **Filters and line ends.** Snapshots hold raw bytes, so neither clean filters (LFS, git-crypt), `ident`, `eol` nor
//! `autocrlf` take part in keeping, comparing or undoing. A filter is a program named by `.git/config`, and an agent that
//! may write the tree may write there too: it is therefore never run by this crate, also not for a review. The price: in
//! the difference of a review, an edited file under a filter is compared as it is on disk with what the filter stored.

mod diff;
mod error;
mod exec;
mod found;
mod git;
mod ignored;
mod keeper;
mod list;
mod objects;
mod oid;
mod repo;
mod restore;
mod review;
mod scratch;
mod table;
mod trees;
mod undo;
mod walk;

pub use diff::{Change, ChangeKind, DiffOptions, DiffStat, DiffText, FileStat, Segment};
pub use error::{Error, Result};
pub use exec::shown;
pub use git::{Git, Version};
pub use keeper::{Keeper, Kept, Limits, Note, delete_refs};
pub use oid::{Entry, Mode, Oid};
pub use repo::{Base, Head, Identity, Repo, project_slug};
pub use review::{Review, ReviewKind};
pub use undo::{Applied, Conflict, ConflictKind, Left, LeftWhy, UndoFile, UndoPlan};
