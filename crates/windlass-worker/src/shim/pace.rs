//! How long output may stay in the pipes, so that a worker that prints line by line does not cost a wake-up per line.

/// Output is left in the pipe for at most this long, so that a worker that prints line by line does not cost a wake-up per line.
const GATHER_MAX_MS: u64 = 40;
/// How much output one wake-up should find at least, where the worker is quick enough.
const GATHER_BYTES: u64 = 16 << 10;
/// How long the pace of a worker is looked at before it is believed.
const PACE_MS: u64 = 8;

/// How much the worker prints per millisecond, looked at every few milliseconds.
#[derive(Debug, Default)]
pub(super) struct Pace {
    since: u64,
    bytes: u64,
    per_ms: u64,
}

impl Pace {
    pub(super) fn since(now: u64) -> Self {
        Self { since: now, ..Self::default() }
    }

    /// After a read of `bytes`: how long output may gather until the next is worth its cost. A quick worker is never held up.
    pub(super) fn quiet_ms(&mut self, now: u64, bytes: u64) -> u64 {
        self.bytes += bytes;
        let elapsed = now.saturating_sub(self.since);
        if elapsed >= PACE_MS {
            self.per_ms = self.bytes / elapsed;
            (self.since, self.bytes) = (now, 0);
        }
        if bytes >= GATHER_BYTES {
            // The pipe was on its way to be full, and a full pipe holds the worker up: whatever the average says.
            self.per_ms = self.per_ms.max(GATHER_BYTES);
        }
        (GATHER_BYTES / (self.per_ms + 1)).min(GATHER_MAX_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_worker_gathers_and_a_quick_one_does_not() {
        let mut slow = Pace::since(0);
        for now in (40..400).step_by(40) {
            assert_eq!(slow.quiet_ms(now, 300), GATHER_MAX_MS);
        }
        let mut quick = Pace::since(0);
        assert_eq!(quick.quiet_ms(2, 64 << 10), 0, "at once, before anything is known of it");
        for now in 3..40 {
            assert_eq!(quick.quiet_ms(now, 30_000), 0);
        }
    }
}
