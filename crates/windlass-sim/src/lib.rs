//! Seeded simulator (tests only).
