//! `inbox`: what waits, over all projects.

use super::missing;
use super::runs::stdout_look;
use crate::context::Context;
use crate::{print, watch};
use windlass_api::ApiError;
use windlass_engine::waits;

/// Lists every run that waits for a person, with what ends it, and then what ends by itself.
pub(crate) fn inbox(context: &Context) -> Result<u8, ApiError> {
    let (doc, unreadable) = waits::inbox(&context.paths, &context.paths.all_projects()).map_err(missing)?;
    if context.global.json {
        print::json(&doc)?;
    } else {
        print::lines(context, &windlass_view::inbox::inbox(&doc, watch::now(), &stdout_look(context)))?;
    }
    for run in unreadable {
        print::note(context, &format!("run {run} cannot be read; `windlass doctor` looks into it"));
    }
    Ok(0)
}
