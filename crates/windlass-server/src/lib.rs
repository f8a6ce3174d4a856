//! Hosts of the API.
