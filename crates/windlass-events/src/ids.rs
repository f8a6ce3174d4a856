//! Ids parsed from outside into types that cannot hold `..`, an absolute path, or a control byte.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Position of an event in its run's journal. Starts at 1, without gaps.
pub type Seq = u64;

/// Which start of a worker for a task this is, of whatever cause. Starts at 1.
pub type AttemptNo = u32;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not six characters of [`RunId::ALPHABET`].
    #[error("`{0}` is not a run id: a run id is six characters such as `k7m2qd`")]
    Run(String),
    /// Empty, too long, or with a character that is not a letter, digit, `_`, `-` or `.`.
    #[error("`{0}` is not a task id: use letters, digits, `-`, `_` and single dots, at most 120 characters")]
    Task(String),
}

/// The id of a run: six characters without look-alikes, unique on the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId([u8; 6]);

impl RunId {
    /// The characters a run id is made of: no `0 o 1 i l`, so that one read aloud or off a screen is not mistaken.
    pub const ALPHABET: &'static [u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";

    /// Maps any number to an id. The caller supplies randomness; this crate has none.
    pub fn from_number(mut n: u64) -> Self {
        let mut id = [0u8; 6];
        for slot in &mut id {
            *slot = Self::ALPHABET[(n % 31) as usize];
            n /= 31;
        }
        Self(id)
    }

    /// Parses an id.
    ///
    /// # Errors
    /// [`IdError::Run`] when the text is not six characters of the alphabet.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let bytes = text.as_bytes();
        if bytes.len() == 6 && bytes.iter().all(|b| Self::ALPHABET.contains(b)) {
            let mut id = [0u8; 6];
            id.copy_from_slice(bytes);
            Ok(Self(id))
        } else {
            Err(IdError::Run(clip(text)))
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // The bytes come from an ASCII alphabet, so this never falls back.
        std::str::from_utf8(&self.0).unwrap_or("??????")
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for RunId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text)
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.as_str().to_owned()
    }
}

/// The id of a task within its run, such as `02_plan`. Safe as a file name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

impl TaskId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 120;

    /// Parses an id.
    ///
    /// # Errors
    /// [`IdError::Task`] when the text could not be a file name of its own on every platform.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let ok = !text.is_empty()
            && text.len() <= Self::MAX_LEN
            && !text.starts_with(['.', '-'])
            && !text.contains("..")
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if ok { Ok(Self(text.to_owned())) } else { Err(IdError::Task(clip(text))) }
    }

    /// The id of the `position`-th step (1-based): two or more digits, `_`, and a slug of the step's id.
    pub fn for_step(position: usize, step: &str) -> Self {
        let mut slug = String::new();
        for c in step.chars().flat_map(char::to_lowercase) {
            if c.is_ascii_alphanumeric() {
                slug.push(c);
            } else if !slug.ends_with('-') {
                slug.push('-');
            }
            if slug.len() >= 80 {
                break;
            }
        }
        let slug = slug.trim_matches('-');
        Self(format!("{position:02}_{}", if slug.is_empty() { "task" } else { slug }))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TaskId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text)
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

/// Keeps a hostile text short in an error message.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn run_ids_have_no_look_alikes() {
        for bad in ["", "k7m2q", "k7m2qdd", "k7m2q0", "k7m2qO", "../../", "k7m2q\n"] {
            assert!(RunId::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(RunId::parse("k7m2qd").unwrap().to_string(), "k7m2qd");
    }

    #[test]
    fn task_ids_cannot_leave_a_folder() {
        for bad in ["", "..", ".", "a/b", "a..b", "-x", "a b", "\u{202e}x", "a\0"] {
            assert!(TaskId::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(TaskId::for_step(1, "Code review!").as_str(), "01_code-review");
        assert_eq!(TaskId::for_step(100, "…").as_str(), "100_task");
    }

    proptest! {
        #[test]
        fn every_number_is_a_run_id(n: u64) {
            let id = RunId::from_number(n);
            prop_assert_eq!(RunId::parse(id.as_str()).unwrap(), id);
        }

        #[test]
        fn every_step_gives_a_valid_task_id(step in ".*", n in 0usize..100_000) {
            let id = TaskId::for_step(n, &step);
            prop_assert!(TaskId::parse(id.as_str()).is_ok());
        }
    }
}
