//! What may go wrong in a history. Each seed gets a random subset, so that rare combinations are not drowned by common ones.

use crate::rng::Rng;

/// A fault planted on purpose, to prove that the laws can be seen broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A worker is started when its event is handed to the store, not when it is durable.
    ActBeforeCommit,
    /// A new engine starts an attempt again without looking at its claim.
    SecondStart,
    /// Something is written that leaves a terminal state without a person's word.
    TerminalLeft,
    /// The store takes an append with the epoch of an engine whose lease was taken.
    FenceIgnored,
    /// An engine that opens a run forgets its caps.
    CapNotHeld,
    /// An attempt without a claim is given up without making sure that no late shim can claim it.
    NoTombstone,
    /// A worker that is adopted is counted from the beginning on top of what was counted.
    UsageDoubled,
    /// A request is answered when its events are handed to the store.
    AnswerBeforeCommit,
}

impl Fault {
    /// Every planted fault.
    pub const ALL: [Self; 8] = [
        Self::ActBeforeCommit,
        Self::SecondStart,
        Self::TerminalLeft,
        Self::FenceIgnored,
        Self::CapNotHeld,
        Self::NoTombstone,
        Self::UsageDoubled,
        Self::AnswerBeforeCommit,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ActBeforeCommit => "act-before-commit",
            Self::SecondStart => "second-start",
            Self::TerminalLeft => "terminal-left",
            Self::FenceIgnored => "fence-ignored",
            Self::CapNotHeld => "cap-not-held",
            Self::NoTombstone => "no-tombstone",
            Self::UsageDoubled => "usage-doubled",
            Self::AnswerBeforeCommit => "answer-before-commit",
        }
    }
}

macro_rules! features {
    ($($(#[$meta:meta])* $name:ident,)+) => {
        /// The features of a history.
        #[derive(Debug, Clone, Copy, Default)]
        pub(crate) struct Swarm {
            $($(#[$meta])* pub(crate) $name: bool,)+
            /// Of 1,000 steps, how many are somebody's mischief.
            pub(crate) chaos: u64,
            /// Steps before the world calms down.
            pub(crate) length: u64,
        }

        impl Swarm {
            pub(crate) fn new(rng: &mut Rng) -> Self {
                Self {
                    $($name: rng.coin(),)+
                    chaos: rng.pick(&[5, 20, 60, 150]).unwrap_or(20),
                    length: rng.pick(&[60, 200, 400, 800]).unwrap_or(200),
                }
            }
        }
    };
}

features! {
    /// An engine is killed.
    engine_crash,
    /// An engine stands still for a while, and another is told to take its runs over.
    takeover,
    /// Several engines serve one project.
    engines,
    /// A shim is killed.
    shim_kill,
    /// An agent is killed.
    agent_kill,
    /// The machine loses power.
    power_cut,
    /// The disk is full for a while.
    disk_full,
    /// A commit is refused as not fitting, and nothing of it is stored.
    conflict,
    /// A commit is stored and reported as failed.
    lying_commit,
    /// The clock is set forward or back.
    clock,
    /// People cancel, retry, resume.
    people,
    /// People send texts to workers.
    steers,
    /// Reports reach the machine twice.
    duplicates,
    /// Several reports reach the machine at once.
    batches,
    /// A fork that a dead engine asked for still happens.
    late_fork,
    /// Workers leave descendants behind.
    orphans,
    /// Some of what is left behind cannot be killed.
    unkillable,
    /// The tree cannot be kept.
    keep_fails,
    /// Readers write all the same, and the tree moves under gates.
    tree_moves,
    /// States are cached and used at opening.
    snapshots,
    /// The environment's secret values are missing.
    secrets,
    /// After a restart of the machine runs wait for a person.
    restart_waits,
    /// Ended and blocked runs are let go of.
    release,
    /// Several runs share a tree.
    one_tree,
}
