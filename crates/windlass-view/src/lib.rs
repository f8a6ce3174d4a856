//! View model, text and ANSI frames.

pub mod end;
mod fields;
pub mod human;
pub mod line;
pub mod model;
pub mod plain;
mod rows;
#[cfg(test)]
mod sample;
pub mod screen;
pub mod start;
pub mod text;
pub mod theme;
pub mod watch;

#[cfg(test)]
mod screens;
