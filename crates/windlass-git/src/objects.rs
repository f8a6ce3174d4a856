//! Writing blobs and trees, and reading blobs, many per git process.
//!
//! Content goes to git through a pipe from descriptors that we opened. Naming paths to git (`hash-object --stdin-paths`)
//! would let an agent swap a file for a link in between, and have us read what its sandbox may not.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command};
use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::error::{Error, Result};
use crate::exec;
use crate::oid::{Mode, Oid};
use crate::walk::{Stamp, Walker};

/// Files up to this size are read into memory before they are sent, so that a change of length does no harm.
const WHOLE_MAX: u64 = 4 << 20;
/// From this many blobs on, they are kept as one pack instead of as single files.
const LOOSE_MAX: usize = 100;

/// What is to be written as a blob.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) path: Vec<u8>,
    pub(crate) link: bool,
}

/// What became of it; `None` when it was gone, or something else, when its turn came.
pub(crate) type Written = Option<(Mode, Oid, Option<Stamp>)>;

/// Writes blobs with exactly the bytes on disk. A stamp comes back only for content that stood still while it was read.
pub(crate) fn write_blobs(mut cmd: Command, walker: &mut Walker, wanted: &[Wanted]) -> Result<Vec<Written>> {
    // Few blobs become single files and are not synced, as git does by itself; a pack is.
    let sync = if wanted.len() > LOOSE_MAX { "core.fsync=pack,pack-metadata" } else { "core.fsync=none" };
    cmd.args(["-c", sync, "-c"]).arg(format!("fastimport.unpackLimit={}", LOOSE_MAX + 1));
    cmd.args(["fast-import", "--quiet", "--done", "--depth=0"]);
    let mut talk = Talk::start(cmd)?;
    let mut written = Vec::with_capacity(wanted.len());
    let fed = wanted.iter().try_for_each(|want| feed(&mut talk, walker, want).map(|sent| written.push(sent)));
    if let Err(e) = fed {
        return Err(talk.blame(e));
    }
    let said = talk.send(b"done\n");
    let answers = talk.finish(said)?;
    let mut lines = answers.split(|b| *b == b'\n');
    written
        .into_iter()
        .map(|sent| {
            let Some((mode, stamp)) = sent else { return Ok(None) };
            let line = lines.next().unwrap_or_default();
            Ok(Some((mode, Oid::parse_bytes(line)?, stamp)))
        })
        .collect()
}

/// Sends one blob, and asks for its id.
fn feed(talk: &mut Talk, walker: &mut Walker, want: &Wanted) -> Result<Option<(Mode, Option<Stamp>)>> {
    let unreadable = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::PermissionDenied => Error::Unreadable { path: want.path.clone() },
        _ => Error::io("read", exec::shown(&want.path))(e),
    };
    if want.link {
        let Some(target) = walker.link(&want.path).map_err(unreadable)? else { return Ok(None) };
        let stamp = walker.stamp(&want.path).map_err(unreadable)?;
        talk.blob(&target)?;
        return Ok(Some((Mode::Link, stamp.filter(|s| s.size == target.len() as u64))));
    }
    for _ in 0..3 {
        let Some((mut file, before)) = walker.file(&want.path).map_err(unreadable)? else { return Ok(None) };
        let mode = if before.mode & 0o100 != 0 { Mode::Exec } else { Mode::File };
        let whole = if before.size <= WHOLE_MAX {
            let mut content = Vec::with_capacity(usize::try_from(before.size).unwrap_or_default() + 1);
            // A growing file ends somewhere: what is beyond twice the limit is a change that the next look will see.
            (&mut file).take(2 * WHOLE_MAX).read_to_end(&mut content).map_err(unreadable)?;
            if content.len() as u64 == 2 * WHOLE_MAX {
                continue;
            }
            talk.blob(&content)?;
            true
        } else {
            talk.stream(&mut file, before.size).map_err(|e| e.map_left(unreadable))?
        };
        let after = Stamp::of(&rustix::fs::fstat(&file).map_err(|e| unreadable(e.into()))?);
        if whole {
            return Ok(Some((mode, (after == before).then_some(after))));
        }
        // A torn blob was sent, padded to the announced length. Nobody asks for its id.
    }
    Err(Error::Unsteady { path: want.path.clone() })
}

/// Either the file or git failed.
enum Side {
    File(std::io::Error),
    Git(Error),
}

impl Side {
    fn map_left(self, file: impl FnOnce(std::io::Error) -> Error) -> Error {
        match self {
            Self::File(e) => file(e),
            Self::Git(e) => e,
        }
    }
}

/// A git that reads requests and writes answers, with threads that take its output so that it never waits for us.
struct Talk {
    cmd: Command,
    child: Child,
    stdin: Option<BufWriter<ChildStdin>>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Talk {
    fn start(mut cmd: Command) -> Result<Self> {
        let mut child = exec::spawn(&mut cmd, true)?;
        let stdin = child.stdin.take().map(|pipe| BufWriter::with_capacity(64 << 10, pipe));
        let stderr = child.stderr.take();
        let stdout = child.stdout.take().map(|mut pipe| {
            std::thread::spawn(move || {
                let mut all = Vec::new();
                let _ = pipe.read_to_end(&mut all);
                all
            })
        });
        let stderr = Some(std::thread::spawn(move || exec::drain_stderr(stderr)));
        Ok(Self { cmd, child, stdin, stdout, stderr })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.stdin {
            Some(stdin) => stdin.write_all(bytes).map_err(Error::io("write to", self.cmd.get_program())),
            None => Ok(()),
        }
    }

    fn blob(&mut self, content: &[u8]) -> Result<()> {
        self.send(format!("blob\nmark :1\ndata {}\n", content.len()).as_bytes())?;
        self.send(content)?;
        self.send(b"\nget-mark :1\n")
    }

    /// Sends a large file of an announced length. `false` when it had another length, or could not be read to its end.
    fn stream(&mut self, file: &mut std::fs::File, size: u64) -> Result<bool, Side> {
        self.send(format!("blob\nmark :1\ndata {size}\n").as_bytes()).map_err(Side::Git)?;
        let mut chunk = vec![0u8; 256 << 10];
        let mut left = size;
        let mut whole = true;
        while left > 0 {
            let room = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let part = chunk.get_mut(..room).unwrap_or_default();
            let n = if whole { file.read(part).map_err(Side::File)? } else { room };
            if n == 0 {
                // It became shorter. The announced length is owed all the same.
                whole = false;
                part.fill(0);
                continue;
            }
            self.send(part.get(..n).unwrap_or_default()).map_err(Side::Git)?;
            left -= n as u64;
        }
        whole = whole && file.read(&mut [0u8]).map_err(Side::File)? == 0;
        self.send(if whole { b"\nget-mark :1\n" } else { b"\n" }).map_err(Side::Git)?;
        Ok(whole)
    }

    /// Ends the talk and returns all answers.
    fn finish(&mut self, said: Result<()>) -> Result<Vec<u8>> {
        let flushed = match self.stdin.take() {
            Some(mut stdin) => stdin.flush().map_err(Error::io("write to", self.cmd.get_program())),
            None => Ok(()),
        };
        let stdout = self.stdout.take().and_then(|t| t.join().ok()).unwrap_or_default();
        let stderr = self.stderr.take().and_then(|t| t.join().ok()).unwrap_or_default();
        let status = self.child.wait().map_err(Error::io("wait for", self.cmd.get_program()))?;
        if !status.success() {
            return Err(exec::failure(&self.cmd, status, &stderr));
        }
        said.and(flushed).map(|()| stdout)
    }

    /// When git went away in the middle, what it said is the better error.
    fn blame(&mut self, error: Error) -> Error {
        match error {
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe => {
                match self.finish(Ok(())) {
                    Err(said) => said,
                    Ok(_) => Error::Answer { command: "fast-import", what: "it ended early".to_owned() },
                }
            }
            other => other,
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if self.stdin.take().is_some() {
            // Left in the middle: no answer is wanted any more.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// One line of a tree: name and what it is.
pub(crate) enum Leaf<'a> {
    Entry(Mode, &'a Oid),
    Tree(Oid),
}

/// Writes trees, level by level.
pub(crate) struct TreeWriter {
    cmd: Command,
    child: Child,
    stdin: Option<BufWriter<ChildStdin>>,
    answers: mpsc::Receiver<Vec<u8>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl TreeWriter {
    pub(crate) fn start(mut cmd: Command) -> Result<Self> {
        cmd.args(["-c", "core.fsync=none", "mktree", "-z", "--batch"]);
        let mut child = exec::spawn(&mut cmd, true)?;
        let stdin = child.stdin.take().map(BufWriter::new);
        let stderr = child.stderr.take();
        let stderr = Some(std::thread::spawn(move || exec::drain_stderr(stderr)));
        let (send, answers) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).split(b'\n') {
                    let Ok(line) = line else { break };
                    if send.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { cmd, child, stdin, answers, stderr })
    }

    /// Writes several trees, given as lists of lines in any order, and returns their ids in the same order.
    pub(crate) fn write(&mut self, trees: &[Vec<(&[u8], Leaf<'_>)>]) -> Result<Vec<Oid>> {
        let sent = self.send(trees);
        let mut ids = Vec::with_capacity(trees.len());
        if sent.is_ok() {
            for _ in trees {
                match self.answers.recv() {
                    Ok(line) => ids.push(Oid::parse_bytes(&line)?),
                    Err(_) => break,
                }
            }
        }
        if ids.len() == trees.len() { Ok(ids) } else { Err(self.why()) }
    }

    fn send(&mut self, trees: &[Vec<(&[u8], Leaf<'_>)>]) -> std::io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        for tree in trees {
            for (name, leaf) in tree {
                match leaf {
                    Leaf::Entry(mode, oid) => {
                        write!(stdin, "{} {} {oid}\t", mode.as_str(), mode.object_type())?;
                    }
                    Leaf::Tree(oid) => write!(stdin, "040000 tree {oid}\t")?,
                }
                stdin.write_all(name)?;
                stdin.write_all(b"\0")?;
            }
            stdin.write_all(b"\0")?;
        }
        stdin.flush()
    }

    /// What git said when it ended before its time.
    fn why(&mut self) -> Error {
        self.stdin = None;
        let stderr = self.stderr.take().and_then(|t| t.join().ok()).unwrap_or_default();
        match self.child.wait() {
            Ok(status) => exec::failure(&self.cmd, status, &stderr),
            Err(e) => Error::io("wait for", self.cmd.get_program())(e),
        }
    }
}

impl Drop for TreeWriter {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads blobs.
pub(crate) struct BlobReader {
    cmd: Command,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl BlobReader {
    pub(crate) fn start(mut cmd: Command) -> Result<Self> {
        cmd.args(["cat-file", "--batch"]);
        let mut child = exec::spawn(&mut cmd, true)?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(|pipe| BufReader::with_capacity(64 << 10, pipe));
        let stderr = child.stderr.take();
        let stderr = Some(std::thread::spawn(move || exec::drain_stderr(stderr)));
        Ok(Self { cmd, child, stdin, stdout, stderr })
    }

    /// Hands out a blob's size and content. The callback may leave content unread.
    pub(crate) fn read<T>(
        &mut self,
        oid: &Oid,
        take: impl FnOnce(u64, &mut dyn Read) -> Result<T>,
    ) -> Result<T> {
        let broken = Error::io("read a blob with", self.cmd.get_program());
        let (Some(stdin), Some(stdout)) = (&mut self.stdin, &mut self.stdout) else {
            return Err(Error::Answer { command: "cat-file", what: "it has ended".to_owned() });
        };
        let mut header = Vec::new();
        let asked = stdin.write_all(format!("{oid}\n").as_bytes()).and_then(|()| stdin.flush());
        let read = asked.and_then(|()| stdout.read_until(b'\n', &mut header));
        if read.is_err() || header.is_empty() {
            self.stdin = None;
            let stderr = self.stderr.take().and_then(|t| t.join().ok()).unwrap_or_default();
            return Err(match self.child.wait() {
                Ok(status) => exec::failure(&self.cmd, status, &stderr),
                Err(e) => broken(e),
            });
        }
        let text = String::from_utf8_lossy(&header);
        let size = match text.trim_end().split(' ').collect::<Vec<_>>().as_slice() {
            [_, "blob", size] => size.parse::<u64>().ok(),
            _ => None,
        };
        let Some(size) = size else {
            return Err(Error::Answer { command: "cat-file", what: exec::shown(header.trim_ascii()) });
        };
        let mut content = stdout.take(size);
        let result = take(size, &mut content)?;
        // What was left unread, and the line feed after the content.
        std::io::copy(&mut content, &mut std::io::sink())
            .and_then(|_| stdout.read_exact(&mut [0u8]))
            .map_err(broken)?;
        Ok(result)
    }
}

impl Drop for BlobReader {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
