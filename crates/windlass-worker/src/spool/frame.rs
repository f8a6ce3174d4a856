//! Header and frames as bytes.

use crate::wire::{Put, Take};

/// The first bytes of every spool.
const MAGIC: &[u8; 8] = b"WLSPOOL\n";
/// The version of header and frames.
const VERSION: u32 = 1;
/// The length of the file's header.
pub const HEADER_LEN: usize = 16;
/// The length of a frame without its data.
pub const FRAME_HEADER: usize = 17;
/// The most data that a frame may have. A longer length in a file is damage, never a reason to reserve memory.
pub const MAX_DATA: usize = 1 << 20;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// [`crate::record::Claim`], the first frame.
    Claim,
    /// Bytes of the agent's standard output.
    Stdout,
    /// Bytes of the agent's standard error.
    Stderr,
    /// Bytes that the agent took from standard input.
    Stdin,
    /// [`crate::record::Note`].
    Note,
    /// [`crate::record::Started`].
    Started,
    /// [`crate::record::Exited`].
    AgentExit,
    /// [`crate::record::SweepTally`].
    Swept,
    /// [`crate::record::EndRecord`], the last frame.
    End,
    /// A kind of a later version.
    Other(u8),
}

impl FrameKind {
    /// The byte in the file.
    pub const fn code(self) -> u8 {
        match self {
            Self::Claim => 1,
            Self::Stdout => 2,
            Self::Stderr => 3,
            Self::Stdin => 4,
            Self::Note => 5,
            Self::Started => 6,
            Self::AgentExit => 7,
            Self::Swept => 8,
            Self::End => 9,
            Self::Other(code) => code,
        }
    }

    /// The kind of a byte in a file.
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Claim,
            2 => Self::Stdout,
            3 => Self::Stderr,
            4 => Self::Stdin,
            5 => Self::Note,
            6 => Self::Started,
            7 => Self::AgentExit,
            8 => Self::Swept,
            9 => Self::End,
            other => Self::Other(other),
        }
    }
}

/// Appends the file's header.
pub fn encode_header(out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    out.put_u32(VERSION);
    out.put_u32(0);
}

/// What the first bytes of a file are.
pub(crate) enum Header {
    Ours,
    /// The beginning of a header, and nothing more.
    Short,
    Foreign,
    /// Written by a later version: its frames may differ.
    Version(u32),
}

pub(crate) fn read_header(bytes: &[u8]) -> Header {
    let mut t = Take(bytes);
    match (t.slice(8), t.u32(), t.u32()) {
        (Some(magic), Some(version), Some(_)) if magic == MAGIC => {
            if version == VERSION {
                Header::Ours
            } else {
                Header::Version(version)
            }
        }
        (Some(_), Some(_), Some(_)) => Header::Foreign,
        _ if MAGIC.starts_with(&bytes[..bytes.len().min(8)]) => Header::Short,
        _ => Header::Foreign,
    }
}

/// Appends a frame. Data beyond [`MAX_DATA`] goes into further frames of the same kind, so only streams may be longer.
pub fn encode_frame(out: &mut Vec<u8>, kind: FrameKind, wall_ms: i64, data: &[u8]) {
    let mut chunks = data.chunks(MAX_DATA);
    let mut next = Some(chunks.next().unwrap_or_default());
    while let Some(chunk) = next {
        let at = open_frame(out, kind, wall_ms);
        out.extend_from_slice(chunk);
        close_frame(out, at);
        next = chunks.next();
    }
}

/// Begins a frame whose data is appended by the caller; [`close_frame`] completes it.
pub(crate) fn open_frame(out: &mut Vec<u8>, kind: FrameKind, wall_ms: i64) -> usize {
    let at = out.len();
    out.put_u64(0);
    out.put_u8(kind.code());
    out.extend_from_slice(&wall_ms.to_le_bytes());
    at
}

/// Completes the frame that begins at `at`, of at most [`MAX_DATA`] bytes.
pub(crate) fn close_frame(out: &mut [u8], at: usize) {
    let len = u32::try_from(out.len() - at - FRAME_HEADER).unwrap_or(u32::MAX);
    let crc = crc32(&out[at + 8..]);
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
    out[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
}

/// A frame's fixed part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameHead {
    pub(crate) len: usize,
    pub(crate) crc: u32,
    pub(crate) kind: FrameKind,
    pub(crate) wall_ms: i64,
}

/// Reads the fixed part; `None` when there are too few bytes.
pub(crate) fn read_head(bytes: &[u8]) -> Option<FrameHead> {
    let mut t = Take(bytes);
    let (len, crc) = (t.u32()?, t.u32()?);
    let kind = FrameKind::from_code(t.u8()?);
    Some(FrameHead { len: len as usize, crc, kind, wall_ms: t.i64()? })
}

const TABLES: [[u32; 256]; 8] = {
    let mut t = [[0u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut c = i as u32;
        let mut k = 0;
        while k < 8 {
            c = if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 };
            k += 1;
        }
        t[0][i] = c;
        i += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut i = 0;
        while i < 256 {
            let c = t[n - 1][i];
            t[n][i] = (c >> 8) ^ t[0][(c & 0xFF) as usize];
            i += 1;
        }
        n += 1;
    }
    t
};

/// CRC-32 as in zip and Ethernet, eight bytes at a time.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    let mut chunks = bytes.chunks_exact(8);
    for c in &mut chunks {
        let low = crc ^ u32::from_le_bytes([c[0], c[1], c[2], c[3]]);
        crc = TABLES[7][(low & 0xFF) as usize]
            ^ TABLES[6][((low >> 8) & 0xFF) as usize]
            ^ TABLES[5][((low >> 16) & 0xFF) as usize]
            ^ TABLES[4][(low >> 24) as usize]
            ^ TABLES[3][c[4] as usize]
            ^ TABLES[2][c[5] as usize]
            ^ TABLES[1][c[6] as usize]
            ^ TABLES[0][c[7] as usize];
    }
    for b in chunks.remainder() {
        crc = (crc >> 8) ^ TABLES[0][((crc ^ u32::from(*b)) & 0xFF) as usize];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_the_well_known_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"The quick brown fox jumps over the lazy dog"), 0x414F_A339);
    }

    #[test]
    fn the_format_is_frozen() {
        let mut out = Vec::new();
        encode_header(&mut out);
        encode_frame(&mut out, FrameKind::Stdout, 1_700_000_000_000, b"hi\n");
        let hex: String = out.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "574c53504f4f4c0a0100000000000000\
                         030000008e439ad5020068e5cf8b01000068690a"
        );
    }

    #[test]
    fn kinds_survive_the_file() {
        for code in 0..=255 {
            assert_eq!(FrameKind::from_code(code).code(), code);
        }
    }

    #[test]
    fn zeros_are_no_frame() {
        let head = read_head(&[0; FRAME_HEADER]).unwrap();
        assert_ne!(head.crc, crc32(&[0; FRAME_HEADER - 8]));
    }
}
