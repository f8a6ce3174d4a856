//! The closed lists of states. Each list is declared once; help, schema, views and docs take it from here.

/// Declares a closed list of words: the enum, `ALL`, `as_str`, `parse`, `Display` and serde by the same words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word that users, files and JSON know it by.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The value of a word, or `None`.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.as_str() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Where a run stands.
    RunStatus {
        /// Created; not all of its tasks are known yet, or none may start yet.
        Queued = "queued",
        /// A planner is making its tasks.
        Planning = "planning",
        /// At least one worker or gate is live, or can start at once.
        Running = "running",
        /// Goes on by itself at a known event, answer or time.
        Waiting = "waiting",
        /// Nothing can start until a person changes something.
        Blocked = "blocked",
        /// Every task completed. Terminal.
        Completed = "completed",
        /// At least one task failed and nothing more can be done. Terminal.
        Failed = "failed",
        /// A person stopped it. Terminal.
        Cancelled = "cancelled",
    }
}

impl RunStatus {
    /// Whether only a person's explicit `retry` or `resume` leaves this state.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

words! {
    /// Where a task stands.
    TaskStatus {
        /// Waits for the tasks it depends on.
        Queued = "queued",
        /// Could start; waits for a slot, a turn or its back-off.
        Ready = "ready",
        /// Its worker is live.
        Running = "running",
        /// Goes on by itself at a known event, answer or time.
        Waiting = "waiting",
        /// Its worker ended well; its contract is being checked.
        Verifying = "verifying",
        /// Its contract held. Terminal.
        Completed = "completed",
        /// Its attempts are used up, or its contract did not hold. Terminal.
        Failed = "failed",
        /// A person stopped it. Terminal.
        Cancelled = "cancelled",
        /// Something it depends on did not complete. Terminal.
        Skipped = "skipped",
        /// A person must look before anything else happens to it. Terminal.
        NeedsAttention = "needs_attention",
    }
}

impl TaskStatus {
    /// Whether only a person's explicit `retry` or `resume` leaves this state.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Skipped | Self::NeedsAttention
        )
    }
}

words! {
    /// Where an attempt stands.
    AttemptStatus {
        /// Its worker is, or is about to be, live.
        Running = "running",
        /// Ended clean with a result.
        Completed = "completed",
        /// Ended in any other way.
        Failed = "failed",
        /// Stopped on request.
        Cancelled = "cancelled",
        /// Its shim vanished without an end record.
        Lost = "lost",
        /// Never started: no claim was ever made.
        Voided = "voided",
    }
}

words! {
    /// What is known about the truth of a result.
    Proof {
        /// Every change was checked by a gate that ended green.
        Proven = "proven",
        /// Completed, and nothing was checked.
        Unproven = "unproven",
        /// A check says the result is wrong.
        Refuted = "refuted",
        /// Nothing to say yet.
        None = "none",
    }
}
