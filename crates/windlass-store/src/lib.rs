//! Journal, leases, artifacts.
