//! What people see: one view model and one renderer for every live picture, card, table and error.
//!
//! Input is the typed status of a run (`windlass_api::status`), what is known of its live workers beyond that, and
//! the instant. Output is [`line::Line`]s, which [`line::Paint`] turns into text or ANSI. All of it is pure: the same
//! input gives the same bytes, so screens are kept as files and compared.
//!
//! This crate must never read a clock, a terminal, the environment or a file, never print, and never let through a
//! control byte or a bidirectional override of an agent, file or person: every text is cleaned where it enters a
//! line. `✓` and `done` stand for proven work alone, and a cost that is not known is never shown as a number.
//!
//! Map: [`text`] cleaning and measuring · [`human`] numbers as people read them · [`theme`] the one declaration of
//! glyphs and colours · [`mod@line`] styled lines and how they are printed · [`model`] the view model ·
//! [`start`], [`end`] the cards · [`mod@plan`] what would be done · [`watch`] the live frame · [`screen`] redrawing it in place · [`plain`] watching
//! without a terminal · [`show`] `status`, `show`, evidence · [`mod@summary`] the file that a run leaves · [`list`] tables of runs, artifacts, resources ·
//! [`table`] aligned columns · [`events`] the journal · [`graph`] tree and Mermaid · [`problem`] errors ·
//! [`home`] the summary and the questions · [`approval`] a plan that a person is asked about · [`mod@inbox`] what waits · [`mod@why`] why something is where it is · [`mod@replay`] a journal step by step.

pub mod approval;
pub mod end;
pub mod events;
mod fields;
pub mod graph;
pub mod home;
pub mod human;
pub mod inbox;
pub mod line;
pub mod list;
pub mod model;
pub mod plain;
pub mod plan;
pub mod problem;
pub mod replay;
mod rows;
pub mod screen;
pub mod show;
pub mod start;
pub mod summary;
pub mod table;
pub mod text;
pub mod theme;
pub mod watch;
pub mod why;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod screens;

pub use end::end_card;
pub use line::{Line, Paint};
pub use model::{LiveTask, Look, Overlay, RunView};
pub use plain::PlainLog;
pub use screen::{LiveScreen, Size};
pub use start::{notes_above, start_card};
