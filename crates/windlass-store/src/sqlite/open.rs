//! Opening a database: what is checked before anything is written.

use super::schema::{self, Found};
use super::{DB_FILE, SqliteReader, SqliteStore, fail};
use crate::artifact::{ArtifactDir, io_error};
use crate::error::StoreError;
use crate::owner::{Liveness, OwnerFiles};
use crate::{files, place};
use rusqlite::{Connection, OpenFlags};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a call waits for another process's write.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The first SQLite in which a writer and a checkpoint of another connection cannot corrupt the file.
const OLDEST_SQLITE: i32 = 3_051_003;
/// How far the log grows before it is written into the file, in bytes.
const CHECKPOINT_BYTES: i64 = 4 << 20;

impl SqliteStore {
    /// Opens the store in `dir` for writing; makes the folder (0700) and the database (0600) when they are not there.
    /// Owners' lock files are in `dir/owners`.
    ///
    /// # Errors
    /// See [`StoreError`]: a folder that is not local or not the caller's, a newer or foreign or damaged database, an SQLite
    /// library that is too old. Nothing is written then.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, Arc::new(OwnerFiles(dir.join("owners"))))
    }

    /// The same, with another judge of who is alive.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_with(dir: &Path, liveness: Arc<dyn Liveness>) -> Result<Self, StoreError> {
        if !safe_for_writers(rusqlite::version_number()) {
            return Err(StoreError::OldSqlite { found: rusqlite::version().to_owned() });
        }
        if !dir.exists() {
            place::local(dir)?;
            files::private_dir(dir).map_err(|e| io_error(dir, &e))?;
        }
        place::check(dir)?;
        files::tighten(dir, 0o700).map_err(|e| io_error(dir, &e))?;
        let path = dir.join(DB_FILE);
        if !check_file(&path)? {
            create(&path)?;
        }
        files::tighten(&path, 0o600).map_err(|e| io_error(&path, &e))?;

        let fail = |e: rusqlite::Error| fail::store_error(&path, &e);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(&path, flags).map_err(fail)?;
        conn.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
        // SQLite opens a file that it cannot write for reading, and says nothing.
        if conn.is_readonly("main").map_err(fail)? {
            let detail = "it can only be read".to_owned();
            return Err(StoreError::ReadOnly { path, detail });
        }
        // Refuses what is newer, foreign or damaged before anything is written.
        schema::inspect(&conn, &path, schema::FORMAT)?;
        // Counts for a new file only. An event is a few hundred bytes, and each commit writes whole pages.
        conn.execute_batch("PRAGMA page_size=1024").map_err(fail)?;
        use_wal(&conn, &path)?;
        conn.execute_batch(
            "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=16777216;
             PRAGMA fullfsync=ON; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;",
        )
        .map_err(fail)?;
        // Files from before have larger pages.
        let page: i64 = conn.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(fail)?;
        let pages = CHECKPOINT_BYTES / page.max(512);
        conn.query_row(&format!("PRAGMA wal_autocheckpoint={pages}"), [], |_| Ok(())).map_err(fail)?;
        conn.set_prepared_statement_cache_capacity(48);
        schema::migrate(&mut conn, &path, &*liveness)?;
        Ok(Self { reader: SqliteReader::new(conn, dir, liveness, schema::FORMAT), full: true, commits: 0 })
    }

    /// Opens the store in `dir` only to look at it.
    ///
    /// # Errors
    /// As [`SqliteReader::open`].
    pub fn open_readonly(dir: &Path) -> Result<SqliteReader, StoreError> {
        SqliteReader::open(dir)
    }
}

impl SqliteReader {
    /// Opens the store in `dir` only to look at it. Nothing is created, migrated or repaired; every older format is read as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when nothing was stored there yet; else as [`SqliteStore::open`].
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, Arc::new(OwnerFiles(dir.join("owners"))))
    }

    /// The same, with another judge of who is alive.
    ///
    /// # Errors
    /// As [`SqliteReader::open`].
    pub fn open_with(dir: &Path, liveness: Arc<dyn Liveness>) -> Result<Self, StoreError> {
        let path = dir.join(DB_FILE);
        if !check_file(&path)? {
            return Err(StoreError::NotFound { path });
        }
        let fail = |e: rusqlite::Error| fail::store_error(&path, &e);
        let conn = connect_readonly(&path).map_err(fail)?;
        match schema::inspect(&conn, &path, schema::FORMAT)? {
            Found::Empty => Err(StoreError::NotFound { path }),
            Found::Format(format) => {
                conn.set_prepared_statement_cache_capacity(24);
                Ok(Self::new(conn, dir, liveness, format))
            }
        }
    }

    pub(super) fn new(conn: Connection, dir: &Path, liveness: Arc<dyn Liveness>, format: u32) -> Self {
        let artifacts = ArtifactDir(dir.join("artifacts"));
        Self {
            conn,
            path: dir.join(DB_FILE),
            artifacts,
            liveness,
            format: format.into(),
            known_damage: Default::default(),
        }
    }
}

/// Opens without write access. On a medium that cannot be written there is no writer either, and SQLite is told so: it
/// could not make the shared memory that it uses otherwise.
fn connect_readonly(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = |conn: Connection| {
        conn.busy_timeout(BUSY_TIMEOUT)?;
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(conn)
    };
    let first = Connection::open_with_flags(path, flags).and_then(open);
    let read_only_medium = || {
        rustix::fs::statvfs(path).is_ok_and(|s| s.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
            && std::fs::metadata(path.with_extension("db-wal")).map_or(true, |wal| wal.len() == 0)
    };
    match first {
        Err(e)
            if matches!(e.sqlite_error_code(), Some(rusqlite::ErrorCode::CannotOpen))
                && read_only_medium() =>
        {
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(immutable_uri(path), flags).and_then(open)
        }
        other => other,
    }
}

/// The path as a URI that promises that nobody changes the file.
fn immutable_uri(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut uri = String::from("file:");
    for &b in path.as_os_str().as_encoded_bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.') {
            uri.push(char::from(b));
        } else {
            let _ = write!(uri, "%{b:02X}");
        }
    }
    uri.push_str("?immutable=1");
    uri
}

fn safe_for_writers(version: i32) -> bool {
    version >= OLDEST_SQLITE
}

/// Whether the database is there. It must be a plain file of the caller's.
fn check_file(path: &Path) -> Result<bool, StoreError> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => place::owned(path).map(|()| true),
        Ok(_) => {
            Err(StoreError::NotOurs { path: path.to_owned(), detail: "it is not a plain file".to_owned() })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(io_error(path, &e)),
    }
}

/// Makes an empty file with the right mode, which the files beside it inherit. Only a new one: closing any descriptor of a
/// database frees the locks that this process holds on it.
fn create(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(io_error(path, &e)),
    }
}

/// Switches to WAL mode. SQLite does not wait for others here by itself.
fn use_wal(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match conn.query_row("PRAGMA journal_mode=WAL", [], |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let detail = format!("the file system does not support its log (journal mode {mode})");
                return Err(StoreError::Io { path: path.to_owned(), detail });
            }
            Err(e) => match fail::store_error(path, &e) {
                StoreError::Busy { .. } if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5))
                }
                other => return Err(other),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_sqlite_is_not_safe() {
        assert!(!safe_for_writers(3_040_001) && !safe_for_writers(3_051_002));
        assert!(safe_for_writers(3_051_003) && safe_for_writers(rusqlite::version_number()));
    }

    #[test]
    fn a_path_becomes_a_uri() {
        assert_eq!(immutable_uri(Path::new("/a b/?#%.db")), "file:/a%20b/%3F%23%25.db?immutable=1");
    }
}
