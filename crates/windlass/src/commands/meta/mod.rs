//! The program itself: what it needs, its version, its manual.
//!
//! Map: [`doctor`] · [`docs`] generated reference pages.

mod docs;
mod doctor;

pub(crate) use docs::docs;
pub(crate) use doctor::doctor;

use crate::context::Context;
use crate::host::VERSION;
use crate::print;
use windlass_api::{ApiError, ErrorKind};
use windlass_view::Line;
use windlass_view::theme::Tone;

/// `windlass completions SHELL`.
pub(crate) fn completions(shell: clap_complete::Shell, command: &mut clap::Command) {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    // A reader that left is no error, and there is nobody to tell of another.
    let _ = print::out(&script);
}

/// `windlass man`.
pub(crate) fn man(command: &clap::Command) -> Result<u8, ApiError> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(|e| ApiError::new(ErrorKind::Internal, format!("the manual page cannot be made: {e}")))?;
    print::out(&page)?;
    Ok(0)
}

/// `windlass version`.
pub(crate) fn version(context: &Context) -> Result<u8, ApiError> {
    let numbers = [
        ("protocol", windlass_api::PROTOCOL),
        ("vocabulary", windlass_events::VOCABULARY),
        ("fold", windlass_core::FOLD_VERSION),
        ("store", windlass_store::sqlite::schema::FORMAT),
    ];
    if context.global.json {
        let mut doc = serde_json::Map::new();
        doc.insert("version".to_owned(), VERSION.into());
        doc.extend(numbers.iter().map(|(name, n)| ((*name).to_owned(), (*n).into())));
        print::json(&doc)?;
        return Ok(0);
    }
    let mut line = Line::of(Tone::Strong, format!("windlass {VERSION}"));
    for (name, n) in numbers {
        line.push(Tone::Dim, format!(" · {name} {n}"));
    }
    print::lines(context, &[line])?;
    Ok(0)
}
