//! What may go wrong in a history. Each seed gets a random subset, so that rare combinations are not drowned by common ones.

use crate::rng::Rng;

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
            /// The features by name.
            pub(crate) const FEATURES: &'static [&'static str] = &[$(stringify!($name),)+];

            /// Takes a feature away; `false` when it was not there.
            pub(crate) fn take_away(&mut self, feature: &str) -> bool {
                match feature {
                    $(stringify!($name) => std::mem::take(&mut self.$name),)+
                    _ => false,
                }
            }

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
    /// Tasks grow into others by plans and lists.
    grows,
    /// A person must approve before something starts.
    approvals,
    /// The machine sleeps: the wall clock goes on, and nothing else does.
    suspend,
    /// What the store says of a commit overtakes other news, or is overtaken.
    reorder,
    /// What is left of an agent writes on after it has gone.
    late_output,
    /// Agents say that they are done and are not, or write without end.
    lies,
    /// A power cut loses only some of what was not synced.
    torn,
}
