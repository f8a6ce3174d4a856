//! The spool: the one file of an attempt. A frozen, versioned format.
//!
//! ```text
//! header   8 bytes `WLSPOOL\n`, u32 version (1), u32 zero                                   all numbers little-endian
//! frame    u32 length of data · u32 CRC-32 of everything after this field · u8 kind · i64 wall clock ms · data
//! ```
//!
//! The first frame is the claim, and the file appears under its name only together with it and with the shim's lock. The
//! last frame of a complete file is the end record. A file that stops inside a frame has a torn tail: it is waited for while
//! the lock is held, and is no end when it is not.

mod frame;
mod probe;
mod reader;
mod writer;

pub use frame::{FRAME_HEADER, FrameKind, HEADER_LEN, MAX_DATA, encode_frame, encode_header};
pub use probe::{Probe, probe};
pub use reader::{Frame, OwnedFrame, SpoolError, SpoolReader};
pub use writer::void;
pub(crate) use writer::{CreateError, SpoolWriter};

#[cfg(test)]
mod tests;
