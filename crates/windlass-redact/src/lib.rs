//! Redaction of exact secrets and patterns.
