//! Reading and writing the files of this crate: bounded, never through a link where that matters, never half.

use crate::diag::{Diagnostic, Pos};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The largest resource or config file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// Whether a symbolic link may stand in the file's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// A user's own folders are often links into a folder of dot files.
    Follow,
    /// In a repository a link could pull any file of the machine into a prompt.
    Refuse,
}

/// Reads a text file.
///
/// A byte-order mark is dropped and CRLF becomes LF, so that places in diagnostics are those an editor shows.
///
/// # Errors
/// A diagnostic naming the file: not there, not a plain file, a refused link, larger than [`MAX_FILE_BYTES`], or not UTF-8.
pub fn read(path: &Path, links: Links) -> Result<String, Box<Diagnostic>> {
    let shown = path.display().to_string();
    let fail = |code, message: String| Box::new(Diagnostic::error(code, message).in_file(shown.clone()));
    let meta = match links {
        Links::Follow => fs::metadata(path),
        Links::Refuse => fs::symlink_metadata(path),
    }
    .map_err(|e| fail("unreadable", format!("cannot be read: {e}")))?;
    if meta.file_type().is_symlink() {
        return Err(fail("link-refused", "is a symbolic link; links are not followed here".into()));
    }
    // A pipe or a device would block the reader for ever.
    if !meta.is_file() {
        return Err(fail("not-a-file", "is not a plain file".into()));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|f| f.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| fail("unreadable", format!("cannot be read: {e}")))?;
    decode(bytes).map_err(|d| Box::new(d.in_file(shown.clone())))
}

/// Text of a file's bytes: bounded, UTF-8, no byte-order mark, LF.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, Diagnostic> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Diagnostic::error(
            "too-large",
            format!("is larger than {} kB, the limit for such files", MAX_FILE_BYTES / 1024),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&e.as_bytes()[..good]).into_owned();
        Diagnostic::error("not-utf8", "is not valid UTF-8").at(Pos::of(&before, good))
    })?;
    Ok(normalise(&text))
}

/// Drops a byte-order mark and turns CRLF into LF.
pub(crate) fn normalise(text: &str) -> String {
    text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n")
}

/// Writes a file so that a reader, or a crash, sees the old content or the new one and nothing between.
///
/// Folders on the way are made. The mode of an existing file is kept.
///
/// # Errors
/// The operating system's, with the temporary file removed.
pub fn write_atomic(path: &Path, contents: &[u8]) -> io::Result<()> {
    // A config file that is a link into a folder of dot files stays one.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&folder)?;
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
    let mut n = 0u32;
    let (temporary, mut file) = loop {
        let candidate = folder.join(format!(".{}.{}.{n}.tmp", name.to_string_lossy(), std::process::id()));
        match fs::OpenOptions::new().write(true).create_new(true).open(&candidate) {
            Ok(file) => break (candidate, file),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && n < 100 => n += 1,
            Err(e) => return Err(e),
        }
    };
    let done = (|| {
        file.write_all(contents)?;
        if let Ok(meta) = fs::metadata(path) {
            file.set_permissions(meta.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if done.is_err() {
        // The first error is the one to tell; a left-over temporary file harms nobody.
        let _ = fs::remove_file(&temporary);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_files_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let big = dir.path().join("big.md");
        fs::write(&big, vec![b'x'; (MAX_FILE_BYTES + 1) as usize]).unwrap();
        assert_eq!(read(&big, Links::Follow).unwrap_err().code, "too-large");
        let bad = dir.path().join("bad.md");
        fs::write(&bad, b"ok\nno \xff").unwrap();
        let d = read(&bad, Links::Follow).unwrap_err();
        assert_eq!((d.code, d.pos), ("not-utf8", Some(Pos::new(2, 4))));
        assert_eq!(read(dir.path(), Links::Follow).unwrap_err().code, "not-a-file");
        assert_eq!(read(&dir.path().join("none"), Links::Follow).unwrap_err().code, "unreadable");
        let link = dir.path().join("link.md");
        let target = dir.path().join("target.md");
        fs::write(&target, "\u{feff}a\r\nb").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert_eq!(read(&link, Links::Refuse).unwrap_err().code, "link-refused");
        assert_eq!(read(&link, Links::Follow).unwrap(), "a\nb");
    }

    #[test]
    fn a_written_file_is_whole_and_a_link_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/config.toml");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let link = dir.path().join("link.toml");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write_atomic(&link, b"three").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::read_dir(dir.path().join("a/b")).unwrap().count(), 1);
    }
}
