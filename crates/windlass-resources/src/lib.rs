//! Resource files, config, trust, advice.
