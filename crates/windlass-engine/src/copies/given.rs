//! Files that a run lives on, and the journal knows by content or hash: goal, script, results.

use crate::driver::follow::Follower;
use crate::files;
use crate::paths::RunDir;
use std::io::Read as _;
use std::path::Path;
use windlass_core::task::{Attempt, Task};
use windlass_events::event::ResultRef;

/// Whether the file is what the journal says.
pub(super) fn is_result(path: &Path, result: &ResultRef) -> bool {
    let Ok(mut file) = std::fs::File::open(path) else { return false };
    // Most that is damaged is so by its length.
    if file.metadata().is_ok_and(|m| m.len() != result.bytes) {
        return false;
    }
    let mut hasher = blake3::Hasher::new();
    let mut buffer = [0; 16 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hasher.update(buffer.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return false,
        };
    }
    hasher.finalize().to_hex().as_str() == result.hash
}

/// Takes a result from its spool again and writes it.
///
/// # Errors
/// In words, when the spool is gone or damaged, or gives something else.
pub(super) fn again(dir: &RunDir, task: &Task, attempt: &Attempt, result: &ResultRef) -> Result<(), String> {
    let spool = dir.spool(&task.spec.id, attempt.n);
    let mut follower = Follower::open(&spool, task.spec.runtime, attempt.session.as_deref())
        .map_err(|e| format!("its spool: {e}"))?;
    while follower.read_some() {}
    let said = follower.finish().map_err(|e| format!("its spool: {e}"))?.ending.result.unwrap_or_default();
    if blake3::hash(&said).to_hex().as_str() != result.hash {
        return Err("its spool gives another text".to_owned());
    }
    files::write(&dir.0.join(&result.path), &said).map_err(|e| e.to_string())
}
