//! The socket for engines that did not start this shim.
//!
//! Short work never needs one: it is made when the first engine is gone, or when the worker has run for a while.

use crate::control::{ShortPath, peer_is_us};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

pub(super) struct Listener {
    pub(super) fd: OwnedFd,
    path: PathBuf,
}

impl Listener {
    /// Binds the path, which is this attempt's alone: whatever is there is a left-over.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            // A runtime directory vanishes when its user logs out.
            match rustix::fs::mkdir(folder, Mode::RWXU) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let short = ShortPath::new(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match rustix::fs::unlink(path) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(e) => return Err(e.into()),
        }
        rustix::net::bind(&fd, &short.address()?)?;
        // The nursery's mask has kept others out from the first moment; nobody needs to execute it either.
        rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
        rustix::net::listen(&fd, 4)?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Whether the path is still there.
    pub(super) fn is_bound(&self) -> bool {
        rustix::fs::lstat(&self.path).is_ok()
    }

    /// The next engine of the same user.
    pub(super) fn accept(&self) -> Option<OwnedFd> {
        let fd = rustix::net::accept_with(&self.fd, SocketFlags::CLOEXEC).ok()?;
        peer_is_us(&fd).then_some(fd)
    }

    pub(super) fn remove(self) {
        let _ = rustix::fs::unlink(&self.path);
    }
}
