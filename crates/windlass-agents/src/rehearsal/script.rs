//! The script of a rehearsal, a JSON file:
//!
//! ```json
//! { "version": 1,
//!   "scenes": [
//!     { "when": { "step": "fix", "attempt": 1 },
//!       "do": [ { "say": "Looking for the failing test." },
//!               { "tool": { "name": "read", "summary": "src/lib.rs", "ms": 300 } },
//!               { "edit": { "path": "src/lib.rs", "find": "a - b", "replace": "a + b" } },
//!               { "run": { "command": ["sh", "-c", "cargo test"] } },
//!               { "usage": { "input": 1200, "output": 80 } },
//!               { "answer": "The sign was wrong; the test passes." } ] },
//!     { "do": [ { "answer": "Nothing to do." } ] } ] }
//! ```
//!
//! The first scene whose every condition holds is played. A script in which none does is an error, not an empty answer.

use serde::Deserialize;
use windlass_events::ErrorClass;

/// The version of the format that this build reads.
pub const VERSION: u32 = 1;

/// A whole script.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Version of the format.
    pub version: u32,
    /// Scenes, tried in order.
    pub scenes: Vec<SceneScript>,
}

/// What one attempt does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneScript {
    /// Conditions; none means always.
    #[serde(default)]
    pub when: When,
    /// Steps, played in order.
    #[serde(rename = "do")]
    pub steps: Vec<Step>,
}

/// When a scene is played: every condition that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// Id of the workflow step.
    pub step: Option<String>,
    /// Role.
    pub role: Option<String>,
    /// Agent by name.
    pub agent: Option<String>,
    /// Number of the attempt, from 1.
    pub attempt: Option<u32>,
    /// Words that the prompt must contain.
    pub prompt_has: Option<String>,
}

/// One thing that a rehearsed agent does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Says a sentence while it works, word by word.
    Say(String),
    /// Writes a whole file below the working directory; folders are made.
    Write {
        /// Relative path.
        path: String,
        /// Content.
        content: String,
    },
    /// Replaces text in a file. A text that is not there exactly once is a failed tool call, as it is with real agents.
    Edit {
        /// Relative path.
        path: String,
        /// What is there.
        find: String,
        /// What takes its place.
        replace: String,
    },
    /// Runs a program in the working directory and waits for it.
    Run {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// Shows a tool in use without doing anything.
    Tool {
        /// Name.
        name: String,
        /// Its main argument.
        #[serde(default)]
        summary: String,
        /// How long, in milliseconds.
        #[serde(default)]
        ms: u64,
    },
    /// Waits, in milliseconds.
    SleepMs(u64),
    /// Waits for a person's text and repeats it.
    AwaitSteer {
        /// How long at most, in milliseconds.
        ms: u64,
    },
    /// Tokens that a model would have used, added to what was used before.
    Usage {
        /// Sent.
        #[serde(default)]
        input: u64,
        /// Received.
        #[serde(default)]
        output: u64,
        /// Read from a cache.
        #[serde(default)]
        cache_read: u64,
        /// Written to a cache.
        #[serde(default)]
        cache_write: u64,
    },
    /// Writes a line to standard error.
    Stderr(String),
    /// The final text; the scene ends well.
    Answer(String),
    /// The provider reports an error; the scene ends.
    Fail {
        /// Class.
        class: ErrorClass,
        /// What it says.
        message: String,
    },
    /// Leaves at once with this code and without a terminal event.
    Exit(i32),
    /// Does nothing more and does not leave.
    Hang,
}

/// Why a text is not a script that can be played.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// Not JSON of this form.
    #[error("the rehearsal script is not readable: {0}")]
    Form(#[from] serde_json::Error),
    /// From another time.
    #[error("the rehearsal script has version {0}; this windlass plays version {VERSION}")]
    Version(u32),
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// When it is not JSON of this form and version.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_str(text)?;
        if version != VERSION {
            return Err(ScriptError::Version(version));
        }
        Ok(serde_json::from_str(text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_what_is_wrong_with_it() {
        assert!(matches!(
            Script::parse(r#"{"version":2,"scenes":[],"new":1}"#),
            Err(ScriptError::Version(2))
        ));
        for bad in ["", "[]", r#"{"version":1}"#, r#"{"version":1,"scenes":[{"do":[{"dance":1}]}]}"#] {
            assert!(Script::parse(bad).is_err(), "{bad}");
        }
        let script = Script::parse(
            r#"{"version":1,"scenes":[{"do":["hang",{"fail":{"class":"quota","message":"m"}}]}]}"#,
        );
        assert_eq!(script.unwrap().scenes[0].steps.len(), 2);
    }
}
