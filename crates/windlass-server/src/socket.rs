//! The API over a Unix socket: a line of JSON for each call and frame.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use windlass_api::{ApiError, Call, ErrorKind, Frame, Request};
use windlass_engine::Engine;
use windlass_engine::driver::watch::{Seen, Watcher};

/// The longest call, in bytes: a goal and an environment.
const MAX_CALL: u64 = 64 << 20;
/// How often the socket's file is looked for, in case somebody cleaned it away.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long connections may take to get the answers that they are owed when the engine has left.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a socket cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another engine holds the lock: it listens, or is about to.
    #[error("another daemon holds {0}")]
    Held(PathBuf),
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// File.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A bound socket, held under a lock for as long as it lives.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    _lock: std::fs::File,
}

impl Socket {
    /// Binds a socket under a lock file. What is left of a dead engine at that path is replaced: the lock proves it dead.
    ///
    /// # Errors
    /// [`BindError::Held`] while another engine holds the lock.
    pub fn bind(path: &Path, lock: &Path) -> Result<Self, BindError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| BindError::Io { path, source }
        };
        let lock_file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(lock)
            .map_err(io(lock))?;
        rustix::fs::flock(&lock_file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|e| {
            if e == rustix::io::Errno::WOULDBLOCK {
                BindError::Held(lock.to_owned())
            } else {
                BindError::Io { path: lock.to_owned(), source: e.into() }
            }
        })?;
        let listener = bind_short(path).map_err(io(path))?;
        Ok(Self { listener, path: path.to_owned(), _lock: lock_file })
    }

    /// Answers until the engine leaves.
    pub async fn serve(mut self, engine: Engine, mut engine_done: tokio::sync::watch::Receiver<bool>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if is_same_user(&stream) => {
                        connections.spawn(connection(stream, engine.clone(), engine_done.clone()));
                    }
                    Ok(_) => {}
                    // Out of descriptors, most likely: others close theirs.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
                _ = look.tick() => {
                    if !self.path.exists() && let Ok(listener) = bind_short(&self.path) {
                        self.listener = listener;
                    }
                }
                _ = connections.join_next(), if !connections.is_empty() => {}
                _ = engine_done.changed() => break,
            }
        }
        // The lock is still held, so this is our own file.
        let _ = std::fs::remove_file(&self.path);
        drop(self.listener);
        // Nobody is left without an answer; a client that does not read it has had its time.
        let _ =
            tokio::time::timeout(FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
    }
}

/// Binds through the descriptor of the folder, so that the path may be longer than the system takes.
fn bind_short(path: &Path) -> std::io::Result<UnixListener> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let dir = std::fs::File::open(folder)?;
    let short = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&dir));
    let listener = UnixListener::bind(Path::new(&short).join(name))?;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn is_same_user(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream.as_fd()).is_ok_and(|c| c.uid == rustix::process::geteuid())
}

/// Reads requests until the client leaves. When the engine leaves first, what the client has sent is answered; what it
/// sends from then on fails there, so that it knows that it was not heard.
async fn connection(stream: UnixStream, engine: Engine, mut engine_done: tokio::sync::watch::Receiver<bool>) {
    let mut answers = tokio::task::JoinSet::new();
    let closer = stream.as_fd().try_clone_to_owned().map(|handle| {
        let mut engine_done = engine_done.clone();
        tokio::spawn(async move {
            // An error means that the engine is done and gone.
            let _ = engine_done.wait_for(|done| *done).await;
            // A client that is gone already needs no telling.
            let _ = rustix::net::shutdown(&handle, rustix::net::Shutdown::Read);
        })
    });
    let (read, mut write) = stream.into_split();
    let (to_client, mut frames) = mpsc::unbounded_channel::<Frame>();
    let writer = tokio::spawn(async move {
        while let Some(frame) = frames.recv().await {
            let Ok(mut line) = serde_json::to_vec(&frame) else { continue };
            line.push(b'\n');
            if write.write_all(&line).await.is_err() {
                break;
            }
        }
    });
    let mut reader = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(MAX_CALL).read_until(b'\n', &mut line).await {
            Ok(n) if n > 0 && line.last() == Some(&b'\n') => {}
            _ => break,
        }
        match serde_json::from_slice::<Call>(&line) {
            Ok(call) => {
                while answers.try_join_next().is_some() {}
                answers.spawn(answer(call, engine.clone(), to_client.clone()));
            }
            Err(e) => {
                // A newer client may ask for what this engine does not know: say so under its id, if it has one.
                let id = serde_json::from_slice::<serde_json::Value>(&line)
                    .ok()
                    .and_then(|v| v.get("id").and_then(serde_json::Value::as_u64))
                    .unwrap_or(0);
                let error = ApiError::new(ErrorKind::Usage, format!("the engine does not understand this request: {e}"))
                    .hint("`windlass daemon restart` puts a daemon of the command's own version in the place of an older one");
                let _ = to_client.send(Frame::Error { id, error });
            }
        }
    }
    if let Ok(closer) = closer {
        closer.abort();
    }
    if *engine_done.borrow_and_update() {
        while answers.join_next().await.is_some() {}
        drop(to_client);
        let _ = writer.await;
    } else {
        // What it asked for is done all the same.
        answers.detach_all();
        // The client is gone, and with the writer every watcher of this connection.
        writer.abort();
    }
}

async fn answer(call: Call, engine: Engine, to: mpsc::UnboundedSender<Frame>) {
    let id = call.id;
    if let Request::Watch { run, since, live } = call.request {
        let (watcher, mut seen) = Watcher::new(run, since, live);
        engine.watch(watcher);
        loop {
            tokio::select! {
                one = seen.recv() => {
                    let frame = match one {
                        Some(Seen::Events(events)) => Frame::Events { id, events },
                        Some(Seen::Live(tasks)) => Frame::Live { id, tasks },
                        None => break,
                    };
                    if to.send(frame).is_err() {
                        break;
                    }
                }
                () = to.closed() => break,
            }
        }
        return;
    }
    let frame = match engine.call(call.request).await {
        Ok(reply) => Frame::Reply { id, reply: Box::new(reply) },
        Err(error) => Frame::Error { id, error },
    };
    // Nobody minds when the asker is gone.
    let _ = to.send(frame);
}
