//! Secret values of a run's environment: in memory, and in a file of mode 0600 until the run ends.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use windlass_api::request::SecretText;

/// Values by name. `Debug` shows none of them.
pub type SecretMap = BTreeMap<String, SecretText>;

/// Keeps the values for the next engine on this machine.
///
/// # Errors
/// When the file cannot be written whole.
pub fn keep(path: &Path, values: &SecretMap) -> std::io::Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let temp = path.with_extension("tmp");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temp)?;
    file.write_all(&serde_json::to_vec(values).map_err(std::io::Error::other)?)?;
    drop(file);
    std::fs::rename(&temp, path)
}

/// The values kept for a run; `None` when there are none, or not all that are named.
pub fn find(path: &Path, names: &[String]) -> Option<SecretMap> {
    if names.is_empty() {
        return Some(SecretMap::new());
    }
    let values: SecretMap = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    names.iter().all(|n| values.contains_key(n)).then_some(values)
}

/// Forgets the values of a run.
pub fn forget(path: &Path) {
    // Nothing to do when it is gone already.
    let _ = std::fs::remove_file(path);
}
