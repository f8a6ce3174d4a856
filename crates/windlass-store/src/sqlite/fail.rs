//! What SQLite says, as the store's own errors.

use crate::error::StoreError;
use rusqlite::ErrorCode;
use std::path::Path;

const CORRUPT_HINT: &str = "the file was not touched: copy its folder, then run `windlass doctor`";

pub(super) fn store_error(path: &Path, e: &rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let detail = e.to_string();
    match e.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::DiskFull { path },
        Some(
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied,
        ) => StoreError::ReadOnly { path, detail },
        Some(ErrorCode::CannotOpen) => cannot_open(path, detail),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            StoreError::Busy { path }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Corrupt { path, detail, hint: CORRUPT_HINT }
        }
        Some(_) => StoreError::Io { path, detail },
        // A value of another type than the tables allow, or a missing row or table: not what was written.
        None => StoreError::Corrupt { path, detail, hint: CORRUPT_HINT },
    }
}

/// Beside a file that is not there, WAL mode cannot be opened where its folder cannot be written.
fn cannot_open(path: std::path::PathBuf, detail: String) -> StoreError {
    match std::fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => StoreError::NotFound { path },
        _ => StoreError::ReadOnly { path, detail },
    }
}

/// Whether SQLite found a page that is not as it was written.
pub(super) fn is_corrupt(e: &rusqlite::Error) -> bool {
    matches!(e.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt))
}

/// Whether a row was there that should not be.
pub(super) fn is_constraint(e: &rusqlite::Error) -> bool {
    matches!(e.sqlite_error_code(), Some(ErrorCode::ConstraintViolation))
}

/// The low 32 bits.
pub(super) fn low32(value: i64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
