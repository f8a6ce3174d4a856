//! What a fresh shim is given, and the answer when it cannot begin.

use crate::control::{FromShim, Refusal};
use crate::spec::{MAX_SPEC, Secrets, ShimSpec};
use std::os::fd::OwnedFd;

/// What the nursery gives a fresh shim.
pub(crate) struct Setup<'a> {
    /// The connection to the engine that asked.
    pub(crate) control: OwnedFd,
    /// Where the specification is, when it was too large for that connection.
    pub(crate) large_spec: Option<OwnedFd>,
    pub(crate) boot_id: &'a str,
    /// For agents whose specification names none.
    pub(crate) umask: u32,
}

/// Reads what is to be done. `None` when the engine is gone before it had said all of it.
pub(super) fn read_spec(setup: &Setup<'_>) -> Option<(ShimSpec, Secrets)> {
    let read = |fd: &OwnedFd, buffer: &mut [u8]| -> Option<()> {
        let mut at = 0;
        while at < buffer.len() {
            match rustix::io::read(fd, &mut buffer[at..]) {
                Ok(0) => return None,
                Ok(n) => at += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        Some(())
    };
    let from = setup.large_spec.as_ref().unwrap_or(&setup.control);
    let mut len = [0; 4];
    read(from, &mut len)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > MAX_SPEC {
        return None;
    }
    let mut bytes = vec![0; len];
    read(from, &mut bytes)?;
    ShimSpec::decode(&bytes)
}

/// Says why nothing was started.
pub(crate) fn refuse(control: &OwnedFd, why: Refusal, text: &str) -> i32 {
    let mut bytes = Vec::new();
    FromShim::Refused { why, text: text.to_owned() }.encode(&mut bytes);
    // If the engine is gone as well, there is nobody to tell.
    let _ = rustix::net::send(control, &bytes, rustix::net::SendFlags::NOSIGNAL);
    1
}
