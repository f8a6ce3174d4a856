//! The command line of Windlass: parse, call the API, print.
fn main() {}
