//! The machine's places for workers and gates, shared by all engines of one state folder: a lock file for each place, held by the engine
//! that uses it.
//!
//! The kernel frees the places of an engine that dies, and its workers go on: until the next engine has adopted them, they take no place. That one
//! starts nothing before it holds a place for each of them.

use super::Loop;
use crate::machine::In;
use crate::paths::make_private;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How long an engine that finds no place waits before it looks again.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a place that was given up for an engine that waits is left to it.
const LEFT_FOR: Duration = Duration::from_millis(500);
/// How often an engine that has places looks whether another one waits for some.
const YIELD_EVERY: Duration = Duration::from_millis(50);

/// The places that this engine holds.
#[derive(Debug)]
pub(super) struct Places {
    folder: PathBuf,
    limit: u32,
    held: Vec<(u32, File)>,
    /// Locked, shared, by every engine that waits for a place.
    queue: Option<File>,
    waits: bool,
    /// Until when a place that was given up is left to the engines that wait.
    yielded: Option<Instant>,
    /// When to look again for a place.
    look_at: Option<Instant>,
    /// When to look next whether another engine waits.
    yield_at: Instant,
}

impl Places {
    /// None yet. `limit` is how many there are, as this engine is told.
    pub(super) fn new(state: &Path, limit: u32) -> Self {
        Self {
            folder: state.join("slots"),
            limit,
            held: Vec::new(),
            queue: None,
            waits: false,
            yielded: None,
            look_at: None,
            yield_at: Instant::now(),
        }
    }

    /// How many are held.
    fn count(&self) -> u32 {
        u32::try_from(self.held.len()).unwrap_or(u32::MAX)
    }

    /// Takes every place that is free.
    fn take(&mut self) {
        for place in 0..self.limit {
            if self.held.iter().any(|(held, _)| *held == place) {
                continue;
            }
            match self
                .open(&place.to_string())
                .map(|file| (lock(&file, FlockOperation::NonBlockingLockExclusive), file))
            {
                Ok((true, file)) => self.held.push((place, file)),
                Ok((false, _)) => {}
                Err(e) => {
                    // A limit that cannot be shared is still this engine's own.
                    tracing::warn!("places are not shared with other engines: {e}");
                    if let Ok(file) = File::open("/dev/null") {
                        self.held.push((place, file));
                    }
                }
            }
        }
    }

    /// Gives back all but so many.
    fn keep(&mut self, count: u32) {
        self.held.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    }

    /// Says to the other engines whether this one waits for a place.
    fn set_waits(&mut self, waits: bool) {
        self.look_at = waits.then(|| Instant::now() + LOOK_EVERY);
        if self.waits == waits {
            return;
        }
        self.waits = waits;
        self.restore_queue();
    }

    fn restore_queue(&mut self) {
        let operation =
            if self.waits { FlockOperation::NonBlockingLockShared } else { FlockOperation::Unlock };
        // Who has it exclusively only looks, but may have been stopped while it did: it is tried again at the next look.
        let said = self.queue().is_none_or(|file| lock(file, operation));
        self.waits &= said;
    }

    /// Whether one of these places is to be another engine's. Seldom asked: most of the time there is no other.
    fn is_awaited(&mut self) -> bool {
        let now = Instant::now();
        if self.held.is_empty() || now < self.yield_at {
            return false;
        }
        self.yield_at = now + YIELD_EVERY;
        self.others_wait()
    }

    /// Whether a place that is free was given up for others, which have not taken what they wait for.
    fn is_left_to_others(&mut self) -> bool {
        let is_left = self.yielded.is_some_and(|until| Instant::now() < until) && self.others_wait();
        if !is_left {
            self.yielded = None;
        }
        is_left
    }

    fn others_wait(&mut self) -> bool {
        let alone = match self.queue() {
            Some(file) => lock(file, FlockOperation::NonBlockingLockExclusive),
            None => true,
        };
        self.restore_queue();
        !alone
    }

    fn queue(&mut self) -> Option<&File> {
        if self.queue.is_none() {
            self.queue = self.open("queue").ok();
        }
        self.queue.as_ref()
    }

    fn open(&self, name: &str) -> std::io::Result<File> {
        let path = self.folder.join(name);
        let open = || OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        open().or_else(|_| make_private(&self.folder).map_err(std::io::Error::other).and_then(|()| open()))
    }
}

fn lock(file: &File, operation: FlockOperation) -> bool {
    loop {
        match flock(file, operation) {
            Err(rustix::io::Errno::INTR) => {}
            result => return result.is_ok(),
        }
    }
}

impl Loop {
    /// Makes sure that what is about to come finds a place, where there is one.
    pub(super) fn make_room(&mut self) {
        if self.machine.slots_used() >= self.places.count() && self.places.count() < self.places.limit {
            self.places.take();
            self.step([In::Slots(self.places.count())]);
        }
    }

    /// Before a place that becomes free is used again: where another engine waits, it is that one's.
    pub(super) fn yield_room(&mut self) {
        if self.places.is_awaited() {
            let used = self.machine.slots_used();
            self.places.yielded = Some(Instant::now() + LEFT_FOR);
            self.step([In::Slots(used.min(self.places.count()).saturating_sub(1))]);
        }
    }

    /// Holds as many places as are used, and looks for more where there is use for them.
    pub(super) fn balance_room(&mut self) {
        self.give_room_back();
        if self.leaving.is_some() || self.places.count() >= self.places.limit || !self.has_use_for_more() {
            return self.places.set_waits(false);
        }
        if self.places.look_at.is_none_or(|at| at <= Instant::now()) {
            if self.places.is_left_to_others() {
                return self.places.set_waits(true);
            }
            let before = self.places.count();
            self.places.take();
            if self.places.count() > before {
                self.step([In::Slots(self.places.count())]);
                self.give_room_back();
            }
            let waits = self.places.count() < self.places.limit && self.has_use_for_more();
            self.places.set_waits(waits);
        }
    }

    /// Whether more is alive than it holds places for, or would be if it had one more.
    fn has_use_for_more(&self) -> bool {
        self.machine.slots_used() > self.places.count() || self.machine.wants_slot()
    }

    /// Gives back the places that are not used. Nothing starts on them from before that.
    fn give_room_back(&mut self) {
        let used = self.machine.slots_used();
        if used < self.places.count() {
            self.step([In::Slots(used)]);
            self.places.keep(used);
        }
    }

    /// When the loop looks for a place again.
    pub(super) const fn room_wake(&self) -> Option<Instant> {
        self.places.look_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn awaited(places: &mut Places) -> bool {
        places.yield_at = Instant::now();
        places.is_awaited()
    }

    #[test]
    fn a_place_is_held_once_and_free_when_its_engine_is_gone() {
        let state = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (Places::new(state.path(), 3), Places::new(state.path(), 3));
        a.take();
        b.take();
        assert_eq!((a.count(), b.count()), (3, 0));
        a.keep(1);
        b.take();
        assert_eq!((a.count(), b.count()), (1, 2));
        // One that is told of more places has the rest of them.
        let mut c = Places::new(state.path(), 4);
        c.take();
        assert_eq!(c.count(), 1);
        drop(b);
        c.take();
        assert_eq!(c.count(), 3);
    }

    #[test]
    fn who_waits_is_seen_by_the_others_alone() {
        let state = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (Places::new(state.path(), 1), Places::new(state.path(), 1));
        a.take();
        assert!(!awaited(&mut a));
        b.set_waits(true);
        assert!(awaited(&mut a));
        // Both wait: each sees the other, and neither itself.
        a.set_waits(true);
        assert!(awaited(&mut a) && awaited(&mut a));
        b.set_waits(false);
        assert!(!awaited(&mut a));
        drop(a);
        assert!(!awaited(&mut b));
    }

    #[test]
    fn what_cannot_be_shared_is_limited_all_the_same() {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("no folder");
        std::fs::write(&file, "").unwrap();
        let mut places = Places::new(&file, 2);
        places.take();
        assert_eq!(places.count(), 2);
    }
}
