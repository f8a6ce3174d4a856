//! Looking: what there is, where it stands, what was said and what changed.
//!
//! Everything here reads the journal and the files of a run in this process. Nothing is written but what is asked for on
//! standard output, except that the summary of `windlass` alone keeps when it was last shown.
//!
//! Map: [`runs`] `list`, `status`, `show` · [`mod@why`] `show --why` · [`proposal`] `show --plan` · [`mod@home`] the summary · [`mod@inbox`] what waits · [`mod@events`] the journal ·
//! [`mod@replay`] made anew · [`mod@logs`] what workers wrote,
//! with [`sections`] which files that is, [`reading`] what is in them and [`entry`] how it looks · [`mod@diff`] ·
//! [`mod@artifacts`] · [`mod@graph`] · [`target`] what a word names · [`journal`] following a
//! run without an engine · [`escape`] foreign bytes made safe · [`out`] standard output in bulk.

mod artifacts;
mod diff;
mod entry;
mod escape;
mod events;
mod graph;
mod home;
mod inbox;
mod journal;
mod logs;
mod out;
pub(crate) mod proposal;
mod reading;
mod replay;
mod runs;
mod sections;
mod target;
mod why;

pub(crate) use artifacts::artifacts;
pub(crate) use diff::diff;
pub(crate) use escape::escape_lines;
pub(crate) use events::events;
pub(crate) use graph::graph;
pub(crate) use home::home;
pub(crate) use inbox::inbox;
pub(crate) use logs::logs;
pub(crate) use replay::replay;
pub(crate) use runs::{list, show, status};

use std::fmt::Display;
use std::path::{Path, PathBuf};
use windlass_api::{ApiError, ErrorKind};
use windlass_engine::RunDir;

/// An error of a thing that is needed and missing, broken or unreadable.
fn missing(e: impl Display) -> ApiError {
    ApiError::new(ErrorKind::Missing, e.to_string())
}

/// The project's folder of a run's folder: `<project>/runs/<run>`.
fn project_of(dir: &RunDir) -> PathBuf {
    dir.0.ancestors().nth(2).unwrap_or(Path::new("/")).to_owned()
}
