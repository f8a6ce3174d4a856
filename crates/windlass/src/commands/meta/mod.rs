//! The program itself: what it needs, its version, its manual.
//!
//! Map: [`mod@doctor`] · [`mod@docs`] generated reference pages · [`mod@man`] the manual page.

mod docs;
mod doctor;
mod man;

pub(crate) use docs::docs;
pub(crate) use doctor::doctor;
pub(crate) use man::man;

use crate::context::Context;
use crate::host;
use crate::print;
use windlass_api::ApiError;
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

/// `windlass version`.
pub(crate) fn version(context: &Context) -> Result<u8, ApiError> {
    let numbers = [
        ("protocol", windlass_api::PROTOCOL),
        ("vocabulary", windlass_events::VOCABULARY),
        ("fold", windlass_core::FOLD_VERSION),
        ("store", windlass_store::sqlite::schema::FORMAT),
        ("worker", windlass_worker::record::PROTOCOL),
    ];
    if context.global.json {
        let mut doc = serde_json::Map::new();
        doc.insert("version".to_owned(), host::version().into());
        doc.extend(numbers.iter().map(|(name, n)| ((*name).to_owned(), (*n).into())));
        print::json(&doc)?;
        return Ok(0);
    }
    let mut line = Line::of(Tone::Strong, format!("windlass {}", host::version()));
    for (name, n) in numbers {
        line.push(Tone::Dim, format!(" · {name} {n}"));
    }
    print::wrapped(context, vec![line], 2)?;
    Ok(0)
}
