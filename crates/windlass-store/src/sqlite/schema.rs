//! Tables, and how an older database becomes a newer one. Forward only; each step has a golden database in the tests.

use crate::error::StoreError;
use crate::owner::{Liveness, OwnerId};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use std::path::Path;

/// Marks a database as ours (`WNDL`), in SQLite's own header field.
pub const APPLICATION_ID: i32 = 0x574e_444c;

/// The newest format this code knows: what the last migration makes.
#[expect(clippy::cast_possible_truncation, reason = "a handful of migrations")]
pub const FORMAT: u32 = MIGRATIONS.len() as u32;

/// Step `n` makes format `n + 1` of format `n`. A released step is never changed.
const MIGRATIONS: &[&str] = &[FORMAT_1, FORMAT_2];

/// `events.key` is `run_no << 32 | seq`. Numbers of runs are never used twice, so neither are keys.
const FORMAT_1: &str = "
CREATE TABLE runs (
    run_no INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL UNIQUE,
    created_at INTEGER, updated_at INTEGER, terminal INTEGER,
    status TEXT, proof TEXT, goal TEXT, team TEXT, cwd TEXT
) STRICT;
CREATE TABLE events (
    key INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    owner TEXT,
    address TEXT NOT NULL,
    owner_vocabulary INTEGER NOT NULL,
    vocabulary INTEGER NOT NULL,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE epochs (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), last INTEGER NOT NULL) STRICT;
INSERT INTO epochs VALUES (1, 0);
CREATE TABLE snapshots (
    run_no INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    fold_version INTEGER NOT NULL,
    hash BLOB NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
CREATE TABLE requests (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    run TEXT NOT NULL,
    at INTEGER NOT NULL,
    body TEXT
) STRICT;
CREATE INDEX requests_waiting ON requests (run) WHERE body IS NOT NULL;
CREATE TABLE artifacts (hash BLOB NOT NULL UNIQUE, bytes BLOB) STRICT;
CREATE TABLE artifact_uses (run TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (run, hash)) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_users ON artifact_uses (hash);
CREATE TABLE damaged (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    key INTEGER NOT NULL,
    at ANY, sum ANY, body ANY
) STRICT;
CREATE TABLE project (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    path BLOB NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL
) STRICT;
";

/// The index tells which workflow a run follows; rows from before do not know it.
const FORMAT_2: &str = "ALTER TABLE runs ADD COLUMN workflow TEXT;";

/// What a database says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing in it yet.
    Empty,
    /// Ours, of this format.
    Format(u32),
}

/// Examines a database without changing it.
pub(super) fn inspect(conn: &Connection, path: &Path, known: u32) -> Result<Found, StoreError> {
    let (application, format, tables): (i64, i64, i64) = conn
        .query_row(
            "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
                    (SELECT count(*) FROM sqlite_schema)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .map_err(|e| super::fail::store_error(path, &e))?;
    let not_ours = |detail: String| Err(StoreError::NotOurs { path: path.to_owned(), detail });
    match (application, format, tables) {
        (0, 0, 0) => Ok(Found::Empty),
        (id, _, _) if id != i64::from(APPLICATION_ID) => not_ours(format!("application id {id:#x}")),
        (_, format, _) => match u32::try_from(format) {
            Ok(found) if found > known => Err(StoreError::TooNew { path: path.to_owned(), found, known }),
            Ok(found) if found > 0 => Ok(Found::Format(found)),
            _ => not_ours(format!("format {format}")),
        },
    }
}

/// The format that a database has at this moment, or as of the transaction that reads it.
pub(super) fn format(conn: &Connection) -> rusqlite::Result<u32> {
    conn.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))
}

/// Refuses to write where a newer program has migrated since this one opened the database. For the beginning of a write transaction.
///
/// An append needs no such look: a lease that is held keeps every migration waiting, see [`migrate`].
pub(super) fn still_known(conn: &Connection, path: &Path) -> rusqlite::Result<Result<(), StoreError>> {
    let found = format(conn)?;
    Ok(if found == FORMAT {
        Ok(())
    } else {
        Err(StoreError::TooNew { path: path.to_owned(), found, known: FORMAT })
    })
}

/// Brings a database to the newest format, in one transaction. Waits (by refusing) while an owner of an older one lives.
pub(super) fn migrate(conn: &mut Connection, path: &Path, liveness: &dyn Liveness) -> Result<(), StoreError> {
    migrate_with(conn, path, liveness, MIGRATIONS)
}

fn migrate_with(
    conn: &mut Connection,
    path: &Path,
    liveness: &dyn Liveness,
    steps: &[&str],
) -> Result<(), StoreError> {
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    if inspect(conn, path, known)? == Found::Format(known) {
        return Ok(());
    }
    let fail = |e: rusqlite::Error| super::fail::store_error(path, &e);
    let transaction = Transaction::new(conn, TransactionBehavior::Immediate).map_err(fail)?;
    // Again, now that nobody else can migrate.
    let from = match inspect(&transaction, path, known)? {
        Found::Empty => 0,
        Found::Format(format) if format == known => return Ok(()),
        Found::Format(format) => {
            if let Some(owner) = living_owner(&transaction, liveness).map_err(fail)? {
                return Err(StoreError::MigrationWaits {
                    path: path.to_owned(),
                    found: format,
                    known,
                    owner,
                });
            }
            format
        }
    };
    for step in steps.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
        transaction.execute_batch(step).map_err(fail)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(fail)?;
    transaction.pragma_update(None, "user_version", known).map_err(fail)?;
    transaction.commit().map_err(fail)
}

fn living_owner(conn: &Connection, liveness: &dyn Liveness) -> rusqlite::Result<Option<String>> {
    let exists = conn
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'leases'", [], |_| Ok(()))
        .optional()?;
    if exists.is_none() {
        return Ok(None);
    }
    let mut statement = conn.prepare("SELECT DISTINCT owner FROM leases WHERE owner IS NOT NULL")?;
    let owners =
        statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(owners.into_iter().find(|o| OwnerId::parse(o).is_some_and(|id| liveness.is_alive(&id))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::AliveSet;

    const STEP_2: &str = "ALTER TABLE runs ADD COLUMN extra TEXT;";

    fn format(conn: &Connection) -> i64 {
        conn.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn steps_run_once_in_order_and_whole() {
        let mut conn = Connection::open_in_memory().unwrap();
        let (path, nobody) = (Path::new("t.db"), AliveSet::default());
        migrate_with(&mut conn, path, &nobody, &[FORMAT_1]).unwrap();
        assert_eq!(format(&conn), 1);
        // A step that fails leaves the older format as it was.
        assert!(migrate_with(&mut conn, path, &nobody, &[FORMAT_1, STEP_2, "nonsense"]).is_err());
        assert_eq!(format(&conn), 1);
        assert!(conn.prepare("SELECT extra FROM runs").is_err());
        migrate_with(&mut conn, path, &nobody, &[FORMAT_1, STEP_2]).unwrap();
        migrate_with(&mut conn, path, &nobody, &[FORMAT_1, STEP_2]).unwrap();
        assert_eq!(format(&conn), 2);
        let refused = migrate_with(&mut conn, path, &nobody, &[FORMAT_1]);
        assert_eq!(refused, Err(StoreError::TooNew { path: path.into(), found: 2, known: 1 }));
    }

    #[test]
    fn a_migration_waits_for_living_owners() {
        let mut conn = Connection::open_in_memory().unwrap();
        let (path, alive) = (Path::new("t.db"), AliveSet::default());
        migrate_with(&mut conn, path, &alive, &[FORMAT_1]).unwrap();
        conn.execute("INSERT INTO leases VALUES ('run/k7m2qd', 1, 'old-1', '', 1, 1, 0)", []).unwrap();
        let old = OwnerId::parse("old-1").unwrap();
        alive.set(&old, true);
        let refused = migrate_with(&mut conn, path, &alive, &[FORMAT_1, STEP_2]);
        assert!(matches!(refused, Err(StoreError::MigrationWaits { found: 1, known: 2, .. })));
        alive.set(&old, false);
        migrate_with(&mut conn, path, &alive, &[FORMAT_1, STEP_2]).unwrap();
    }

    #[test]
    fn a_foreign_database_is_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE x (y)").unwrap();
        let refused = migrate_with(&mut conn, Path::new("t.db"), &AliveSet::default(), &[FORMAT_1]);
        assert!(matches!(refused, Err(StoreError::NotOurs { .. })));
    }
}
