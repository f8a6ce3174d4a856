//! The engine: machine and driver.
