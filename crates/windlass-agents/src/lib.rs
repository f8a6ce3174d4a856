//! One adapter per runtime.
