//! Standard output in bulk and for long: buffered, and aware of a reader that has left.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{BufWriter, ErrorKind, IsTerminal, Stdout, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use windlass_api::{ApiError, ErrorKind as Kind};

/// How long an interrupted command may take to end by itself.
const LEAVE_WITHIN: Duration = Duration::from_millis(300);

/// Standard output. A reader that leaves is no error: what follows is dropped, and [`Out::is_open`] says so.
#[derive(Debug)]
pub(super) struct Out {
    to: BufWriter<Stdout>,
    open: bool,
    terminal: bool,
}

impl Out {
    pub(super) fn new() -> Self {
        let to = std::io::stdout();
        let terminal = to.is_terminal();
        Self { to: BufWriter::with_capacity(64 << 10, to), open: true, terminal }
    }

    /// Whether a person sees it.
    pub(super) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether anybody still reads.
    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When they cannot be written, as on a full disk.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        if !self.open {
            return Ok(());
        }
        let done = self.to.write_all(bytes);
        self.judge(done)
    }

    /// Brings what was written to its reader.
    ///
    /// # Errors
    /// As [`Out::write`].
    pub(super) fn flush(&mut self) -> Result<(), ApiError> {
        if !self.open {
            return Ok(());
        }
        let done = self.to.flush();
        self.judge(done)
    }

    /// Looks whether the reader of a pipe has left, which a command that waits would not notice by writing.
    pub(super) fn look_at_reader(&mut self) {
        let stdout = std::io::stdout();
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut fds, Some(&now)).is_ok() && fds.iter().any(|f| f.revents().contains(PollFlags::ERR)) {
            self.open = false;
        }
    }

    fn judge(&mut self, done: std::io::Result<()>) -> Result<(), ApiError> {
        match done {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.open = false;
                Ok(())
            }
            Err(e) => {
                // What could not be written must not be tried again when this is dropped.
                self.open = false;
                Err(ApiError::new(Kind::Internal, format!("standard output cannot be written: {e}")))
            }
        }
    }
}

/// Whether a person pressed Ctrl-C. The command then ends by itself with 130, or is ended.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// The exit code of a command that was interrupted.
    pub(super) const CODE: u8 = 130;

    /// Listens from now on: when this returns, Ctrl-C no longer just ends the program.
    pub(super) fn listen() -> Self {
        let asked = Arc::new(AtomicBool::new(false));
        let flag = asked.clone();
        let (ready, wait) = std::sync::mpsc::channel();
        // Without the thread Ctrl-C does what it always does.
        let started = std::thread::Builder::new().name("windlass-interrupt".into()).spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
                return;
            };
            runtime.block_on(async {
                let Ok(mut signal) = signal(SignalKind::interrupt()) else { return };
                // Nobody waits any more only when the program ends.
                let _ = ready.send(());
                if signal.recv().await.is_some() {
                    flag.store(true, Ordering::SeqCst);
                    std::thread::sleep(LEAVE_WITHIN);
                    // It is held up, by a reader that does not read or a disk that does not answer.
                    std::process::exit(i32::from(Self::CODE));
                }
            });
        });
        if started.is_ok() {
            // An error means that the thread gave up: then there is nothing to wait for.
            let _ = wait.recv();
        }
        Self(asked)
    }

    /// Whether it came.
    pub(super) fn came(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
