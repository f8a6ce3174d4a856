//! Faults planted on purpose, to prove that the laws can be seen broken.

use crate::law::Law;

macro_rules! faults {
    ($($(#[$meta:meta])* $name:ident = $text:literal breaks [$($law:ident),+],)+) => {
        /// A planted fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[$meta])* $name,)+
        }

        impl Fault {
            /// Every planted fault.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// The laws that are about it: it is found when the first law that a history breaks is one of them.
            pub const fn laws(self) -> &'static [Law] {
                match self {
                    $(Self::$name => &[$(Law::$law),+],)+
                }
            }
        }
    };
}

impl Fault {
    /// Whether an engine with it holds another state than the journal's.
    pub(crate) const fn is_of_state(self) -> bool {
        matches!(self, Self::CapNotHeld | Self::WaitLost | Self::StartWithoutApproval)
    }
}

faults! {
    /// A worker is started when its event is handed to the store, not when it is durable.
    ActBeforeCommit = "act-before-commit" breaks [StartIsDurable],
    /// What a person was promised is not synced before the answer.
    NotSynced = "not-synced" breaks [Sync],
    /// A new engine starts an attempt again without looking at its claim.
    SecondStart = "second-start" breaks [OneStart],
    /// Something is written that leaves a terminal state without a person's word.
    TerminalLeft = "terminal-left" breaks [TerminalIsFinal],
    /// The store takes an append with the epoch of an engine whose lease was taken.
    FenceIgnored = "fence-ignored" breaks [Fence],
    /// A writer starts without the lease of its tree.
    TreeNotHeld = "tree-not-held" breaks [OneWriter],
    /// An engine that opens a run forgets its caps.
    CapNotHeld = "cap-not-held" breaks [Cap],
    /// An engine that opens a run forgets what it waits for.
    WaitLost = "wait-lost" breaks [Liveness, DecidedAnew],
    /// An attempt without a claim is given up without making sure that no late shim can claim it.
    NoTombstone = "no-tombstone" breaks [OneLiveWorker, OneEnd],
    /// Only the agent is killed, and what it left behind is called gone.
    DirectChildOnly = "direct-child-only" breaks [OneLiveWorker],
    /// The output of a worker that is adopted is read from the beginning and counted on top of what was counted.
    OutputReadTwice = "output-read-twice" breaks [Usage],
    /// What a worker wrote after its agent had gone is not read.
    OutputLost = "output-lost" breaks [Usage],
    /// A text is brought to a worker again, because nothing says whether it arrived.
    SteerTwice = "steer-twice" breaks [Steer],
    /// A request is answered when its events are handed to the store.
    AnswerBeforeCommit = "answer-before-commit" breaks [Answer],
    /// An engine that opens a run takes its plan for approved.
    StartWithoutApproval = "start-without-approval" breaks [Approval],
    /// A plan is read again by the next engine and its tasks come twice.
    PlanTwice = "plan-twice" breaks [Growth],
}
