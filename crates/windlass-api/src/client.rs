//! The client: lines of JSON over a Unix socket, blocking.

use crate::PROTOCOL;
use crate::request::{Call, Request};
use crate::response::{ApiError, ErrorKind, Frame, Reply};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest line that a client takes, in bytes.
const MAX_LINE: u64 = 256 << 20;
/// How long an engine may take to say hello. It says it between two steps of its loop, so one that takes longer stands still.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("no engine listens on {path}: {source}")]
    NoEngine {
        /// Socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody listens and says nothing: a stopped process, most likely. Nothing was asked of it.
    #[error("the engine{} takes connections and does not answer", of_process(*.pid))]
    Silent {
        /// Its process, where the system tells.
        pid: Option<u32>,
    },
    /// The connection broke.
    #[error("the engine's connection broke: {0}")]
    Broken(std::io::Error),
    /// The engine left before it was asked: nothing was done.
    #[error("the engine left before it was asked: {0}")]
    NotSent(std::io::Error),
    /// The engine left while a call was open.
    #[error("the engine left")]
    Left,
    /// It speaks something else.
    #[error("the engine's answer is not understood: {0}")]
    Speech(String),
    /// The engine refused.
    #[error("{0}")]
    Api(#[from] ApiError),
}

impl ClientError {
    /// Whether certainly nothing was done, so that the same request may be sent to the next engine.
    pub fn is_undone(&self) -> bool {
        matches!(self, Self::NotSent(_)) || matches!(self, Self::Api(e) if e.kind == ErrorKind::Leaving)
    }

    /// The error as every host shows it.
    pub fn into_api(self) -> ApiError {
        match self {
            Self::Api(error) => error,
            Self::Silent { pid } => ApiError::new(ErrorKind::Missing, self.to_string()).hint(wake_hint(pid)),
            other => ApiError::new(ErrorKind::Missing, other.to_string())
                .hint("see `windlass daemon status`; `windlass daemon start` starts one"),
        }
    }
}

fn of_process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// What to do about an engine that stands still.
pub(crate) fn wake_hint(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!(
            "`kill -CONT {pid}` wakes it if it was stopped; `kill -9 {pid}` ends it: its workers go on, and another engine takes over"
        ),
        None => "see `windlass daemon status`".to_owned(),
    }
}

/// A connection to an engine.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    next: u64,
    /// Protocol of the engine.
    protocol: u32,
    /// Version of the engine.
    pub version: String,
    /// Process of the engine.
    pub pid: u32,
}

impl Client {
    /// Connects, says hello, and makes sure that both speak the same protocol.
    ///
    /// # Errors
    /// As [`Client::greet`] and [`Client::understood`].
    pub fn connect(socket: &Path, version: &str) -> Result<Self, ClientError> {
        Self::greet(socket, version)?.understood(version)
    }

    /// Connects and says hello. Before [`Client::understood`] only what is the same in every protocol may be asked, see [`PROTOCOL`].
    ///
    /// # Errors
    /// [`ClientError::NoEngine`] when nobody listens, [`ClientError::Silent`] when somebody does who says nothing for 5 s; otherwise as
    /// [`Client::call`].
    pub fn greet(socket: &Path, version: &str) -> Result<Self, ClientError> {
        let stream = connect_short(socket)
            .map_err(|source| ClientError::NoEngine { path: socket.to_owned(), source })?;
        let writer = stream.try_clone().map_err(ClientError::Broken)?;
        let mut client = Self {
            reader: BufReader::new(stream),
            writer,
            next: 1,
            protocol: 0,
            version: String::new(),
            pid: 0,
        };
        client.set_timeout(Some(HELLO_WITHIN))?;
        let hello = client.call(Request::Hello { protocol: PROTOCOL, version: version.to_owned() });
        client.set_timeout(None)?;
        match hello.map_err(|e| client.silent(e))? {
            Reply::Hello { protocol, version, pid } => {
                client.protocol = protocol;
                client.version = version;
                client.pid = pid;
                Ok(client)
            }
            other => Err(ClientError::Speech(format!("{other:?}"))),
        }
    }

    /// The same connection, if the engine speaks the protocol of this program, whose version is given.
    ///
    /// # Errors
    /// When it speaks another one: which, and what to do.
    pub fn understood(self, version: &str) -> Result<Self, ClientError> {
        if self.protocol == PROTOCOL {
            return Ok(self);
        }
        let text = format!(
            "the daemon (windlass {}, process {}) speaks protocol {}, this windlass {version} speaks {PROTOCOL}",
            self.version, self.pid, self.protocol
        );
        let hint = if self.protocol > PROTOCOL {
            format!(
                "use windlass {}, or end its daemon with `windlass daemon stop`: the next command starts one of this version",
                self.version
            )
        } else {
            "`windlass daemon restart` puts one of this version in its place".to_owned()
        };
        Err(ClientError::Api(ApiError::new(ErrorKind::Missing, text).hint(hint)))
    }

    /// The error of a hello, where it is only that nobody said it.
    fn silent(&self, e: ClientError) -> ClientError {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        match e {
            ClientError::Broken(io) if matches!(io.kind(), WouldBlock | TimedOut) => {
                // Of who made the socket listen.
                let peer = rustix::net::sockopt::socket_peercred(&self.writer).ok();
                let pid = peer.and_then(|p| u32::try_from(p.pid.as_raw_nonzero().get()).ok());
                ClientError::Silent { pid }
            }
            other => other,
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// The engine's refusal, or what broke.
    pub fn call(&mut self, request: Request) -> Result<Reply, ClientError> {
        let id = self.send(request)?;
        loop {
            match self.next_frame()? {
                Frame::Reply { id: got, reply } if got == id => return Ok(*reply),
                Frame::Error { id: got, error } if got == id => return Err(error.into()),
                _ => {}
            }
        }
    }

    /// Sends a request without waiting; frames with the returned id belong to it.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn send(&mut self, request: Request) -> Result<u64, ClientError> {
        let id = self.next;
        self.next += 1;
        let mut line =
            serde_json::to_vec(&Call { id, request }).map_err(|e| ClientError::Speech(e.to_string()))?;
        line.push(b'\n');
        // A part of a line is no request.
        self.writer.write_all(&line).map_err(ClientError::NotSent)?;
        Ok(id)
    }

    /// The next frame.
    ///
    /// # Errors
    /// [`ClientError::Left`] at the end of the connection.
    pub fn next_frame(&mut self) -> Result<Frame, ClientError> {
        let mut line = Vec::new();
        let mut limited = std::io::Read::take(&mut self.reader, MAX_LINE);
        let n = limited.read_until(b'\n', &mut line).map_err(ClientError::Broken)?;
        if n == 0 || line.last() != Some(&b'\n') {
            return Err(ClientError::Left);
        }
        serde_json::from_slice(&line).map_err(|e| ClientError::Speech(e.to_string()))
    }

    /// How long [`Client::next_frame`] waits at most; `None` for ever. Past it, an error of kind `WouldBlock` comes.
    ///
    /// # Errors
    /// When the socket refuses.
    pub fn set_timeout(&self, limit: Option<Duration>) -> Result<(), ClientError> {
        self.writer.set_read_timeout(limit).map_err(ClientError::Broken)
    }

    /// A second handle to the connection's socket, for waking a blocked reader.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn socket(&self) -> Result<UnixStream, ClientError> {
        self.writer.try_clone().map_err(ClientError::Broken)
    }
}

/// Connects to a socket whose path may be longer than the system takes, through the descriptor of its folder.
fn connect_short(path: &Path) -> std::io::Result<UnixStream> {
    /// What fits into `sun_path` everywhere, with its final zero.
    const FITS: usize = 100;
    if path.as_os_str().len() <= FITS {
        return UnixStream::connect(path);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return UnixStream::connect(path);
    };
    let dir = std::fs::File::open(folder)?;
    let short = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&dir));
    UnixStream::connect(Path::new(&short).join(name))
}
