//! Snapshots made small before they are stored: a state says the same words for every task.

/// What a packed snapshot begins with. One that begins with anything else is as it was put.
const MARK: u8 = 0x01;
/// The largest snapshot that is unpacked, in bytes. A larger one is ignored, as a damaged one is.
const LARGEST: usize = 1 << 30;
/// Less is not worth the work.
const WORTH: usize = 512;

/// The bytes as they are stored.
pub(super) fn pack(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.first().copied();
    let as_it_is = bytes.len() < WORTH || bytes.len() > LARGEST;
    if as_it_is && first != Some(MARK) {
        return bytes.to_vec();
    }
    let packed = lz4_flex::block::compress_prepend_size(bytes);
    let mut out = Vec::with_capacity(packed.len() + 1);
    out.push(MARK);
    out.extend_from_slice(&packed);
    out
}

/// The bytes as they were put; `None` when they are no snapshot of ours.
pub(super) fn unpack(stored: Vec<u8>) -> Option<Vec<u8>> {
    match stored.split_first() {
        Some((&MARK, packed)) => {
            let (size, body) = packed.split_first_chunk::<4>()?;
            let size = usize::try_from(u32::from_le_bytes(*size)).ok().filter(|size| *size <= LARGEST)?;
            // Each byte of the packed form stands for at most 255, so a false size asks for no room that nothing fills.
            (size / 256 <= body.len()).then_some(())?;
            lz4_flex::block::decompress(body, size).ok().filter(|bytes| bytes.len() == size)
        }
        _ => Some(stored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_back_and_is_small() {
        let state = br#"{"task":"one of many that are alike","phase":"Queued"}"#.repeat(1_000);
        let packed = pack(&state);
        assert!(packed.len() * 10 < state.len(), "{} of {}", packed.len(), state.len());
        assert_eq!(unpack(packed).unwrap(), state);
        for plain in [&b""[..], b"{}", b"\x01short"] {
            assert_eq!(unpack(pack(plain)).unwrap(), plain);
        }
    }

    #[test]
    fn nonsense_is_no_snapshot_and_takes_no_room() {
        assert_eq!(unpack(vec![MARK]), None);
        assert_eq!(unpack(vec![MARK, 0xff, 0xff, 0xff, 0xff, 0]), None);
        assert_eq!(unpack(vec![MARK, 0, 1, 0, 0, 7, 7, 7]), None);
    }
}
