//! Which files are opened, which are refused, and that refusing writes nothing.

use crate::support::*;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use windlass_store::sqlite::DB_FILE;
use windlass_store::*;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("deep/er");
    let mut store = SqliteStore::open(&state).unwrap();
    filled(&mut store, run(1), 1);
    store.put_artifact(run(1), &vec![0; 100_000]).unwrap();
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("artifacts")), 0o700);
    for name in [DB_FILE, "windlass.db-wal", "windlass.db-shm"] {
        assert_eq!(mode(&state.join(name)), 0o600, "{name}");
    }
    drop(store);
    std::fs::set_permissions(state.join(DB_FILE), std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
    drop(SqliteStore::open(&state).unwrap());
    assert_eq!((mode(&state), mode(&state.join(DB_FILE))), (0o700, 0o600));
}

#[test]
fn a_reader_creates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none");
    assert!(matches!(SqliteStore::open_readonly(&missing), Err(StoreError::NotFound { .. })));
    assert!(!missing.exists());
    assert!(matches!(SqliteReader::open(dir.path()), Err(StoreError::NotFound { .. })));
    std::fs::write(dir.path().join(DB_FILE), "").unwrap();
    assert!(matches!(SqliteReader::open(dir.path()), Err(StoreError::NotFound { .. })));
    assert_eq!(std::fs::metadata(dir.path().join(DB_FILE)).unwrap().len(), 0);
}

#[test]
fn a_reader_sees_what_a_writer_commits() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let epoch = filled(&mut store, run(1), 2);
    let reader = SqliteReader::open(dir.path()).unwrap();
    assert_eq!(reader.head(run(1)), Ok(2));
    let token = reader.data_version().unwrap();
    assert_eq!(reader.data_version(), Ok(token));
    append(&mut store, Append::new(run(1), 2, epoch, records(1))).unwrap();
    assert_ne!(reader.data_version(), Ok(token));
    assert_eq!(reader.read(run(1), 2, 9).unwrap().len(), 1);
    drop(store);
    assert_eq!(reader.verify(run(1)), Ok(3));
    assert_eq!(SqliteReader::open(dir.path()).unwrap().verify(run(1)), Ok(3), "without any writer too");
    assert_eq!(reader.integrity_check(), Ok(vec![]));
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    filled(&mut SqliteStore::open(dir.path()).unwrap(), run(1), 1);
    let path = dir.path().join(DB_FILE);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let before = std::fs::read(&path).unwrap();
    let known = windlass_store::sqlite::schema::FORMAT;
    let want = StoreError::TooNew { path: path.clone(), found: 99, known };
    assert_eq!(SqliteStore::open(dir.path()).unwrap_err(), want);
    assert_eq!(SqliteReader::open(dir.path()).unwrap_err(), want);
    assert!(want.to_string().contains("99") && want.to_string().contains(&known.to_string()));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn foreign_and_damaged_files_are_refused_and_left_alone() {
    let page = |text: &str| text.as_bytes().iter().copied().cycle().take(8192).collect::<Vec<u8>>();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DB_FILE);
    let foreign = {
        let raw = rusqlite::Connection::open(dir.path().join("other")).unwrap();
        raw.execute_batch("CREATE TABLE notes (text)").unwrap();
        drop(raw);
        std::fs::read(dir.path().join("other")).unwrap()
    };
    let torn = {
        let inner = tempfile::tempdir().unwrap();
        filled(&mut SqliteStore::open(inner.path()).unwrap(), run(1), 1);
        let mut bytes = std::fs::read(inner.path().join(DB_FILE)).unwrap();
        let page = page_size(&bytes);
        bytes[100..page].fill(0xff);
        bytes
    };
    for (content, is_ours) in [(foreign, false), (page("not a database"), true), (torn, true)] {
        std::fs::write(&path, &content).unwrap();
        for error in [SqliteStore::open(dir.path()).unwrap_err(), SqliteReader::open(dir.path()).unwrap_err()]
        {
            match error {
                StoreError::NotOurs { .. } => assert!(!is_ours),
                StoreError::Corrupt { hint, .. } => assert!(is_ours && hint.contains("not touched")),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    assert!(matches!(SqliteStore::open(dir.path()), Err(StoreError::NotOurs { .. })));
    assert!(!dir.path().join("elsewhere").exists());
}

#[test]
fn another_users_folder_is_refused() {
    let me = my_uid();
    let (path, owner) = if me == 0 {
        // As root, a folder can be given away.
        let dir = tempfile::tempdir().unwrap().keep();
        std::os::unix::fs::chown(&dir, Some(12345), None).unwrap();
        (dir, 12345)
    } else {
        ("/usr".into(), std::fs::metadata("/usr").unwrap().uid())
    };
    let refused = SqliteStore::open(&path).unwrap_err();
    assert_eq!(refused, StoreError::ForeignOwner { path: path.clone(), owner, me });
    assert!(refused.to_string().contains("WINDLASS_HOME"));
    if me == 0 {
        std::fs::remove_dir_all(path).unwrap();
    }
}

fn my_uid() -> u32 {
    let own = tempfile::tempdir().unwrap();
    std::fs::metadata(own.path()).unwrap().uid()
}

#[test]
fn a_folder_that_cannot_be_written_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = SqliteStore::open(&file.join("state")).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. } | StoreError::ReadOnly { .. }), "{error:?}");
    if my_uid() != 0 {
        let locked = dir.path().join("locked");
        std::fs::create_dir(&locked).unwrap();
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).unwrap();
        let error = SqliteStore::open(&locked).unwrap_err();
        assert!(matches!(&error, StoreError::ReadOnly { .. }), "{error:?}");
        assert!(error.to_string().contains("WINDLASS_HOME"));
    }
}

#[test]
fn many_open_a_new_store_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let path = dir.path();
            scope.spawn(move || filled(&mut SqliteStore::open(path).unwrap(), run(n), 3));
        }
    });
    let reader = SqliteReader::open(dir.path()).unwrap();
    assert!((0..8).all(|n| reader.verify(run(n)) == Ok(3)));
}
