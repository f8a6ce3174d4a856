//! Prompts from typed parts.
