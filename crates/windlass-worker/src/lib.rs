//! Worker processes: nursery, shim, claim, spool, certain end, adoption.
