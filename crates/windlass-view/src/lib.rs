//! View model, text and ANSI frames.
