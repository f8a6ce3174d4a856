//! Caps of a run: what is used of each, when 80 % is announced, when nothing more starts.

use crate::run::Run;
use windlass_events::Millis;
use windlass_events::event::CapKind;

/// The share of a cap at which the watcher is warned, in percent.
pub const WARN_PERCENT: u64 = 80;

/// A cap in force with what is used of it, both in its own unit (millionths of a dollar, tokens, milliseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapUse {
    /// Which.
    pub cap: CapKind,
    /// Used.
    pub used: u64,
    /// Cap.
    pub limit: u64,
}

impl CapUse {
    /// Whether nothing more may start.
    pub const fn is_reached(&self) -> bool {
        self.used >= self.limit
    }

    /// Whether the watcher is to be warned.
    pub fn is_near(&self) -> bool {
        u128::from(self.used) * 100 >= u128::from(self.limit) * u128::from(WARN_PERCENT)
    }
}

/// Every cap in force, with what is used at an instant.
pub fn in_force(run: &Run, now: Millis) -> Vec<CapUse> {
    let mut all = Vec::with_capacity(4);
    if let Some(limit) = run.caps.microusd {
        all.push(CapUse { cap: CapKind::Usd, used: run.usage.cost_microusd, limit });
    }
    if let Some(limit) = run.caps.tokens {
        all.push(CapUse { cap: CapKind::Tokens, used: run.usage.tokens(), limit });
    }
    if let Some(limit) = run.caps.unpriced_tokens {
        all.push(CapUse { cap: CapKind::Tokens, used: run.usage.unpriced_tokens, limit });
    }
    if let Some(limit) = run.caps.wall_ms {
        // While nothing is live and a person is asked, the clock stands.
        let until = run.paused_at.unwrap_or(now);
        let used = u64::try_from(until.saturating_sub(run.wall_since)).unwrap_or(0);
        all.push(CapUse { cap: CapKind::Wall, used, limit });
    }
    all
}

/// When the wall-clock cap next needs a look: its warning, or its end.
pub(crate) fn next_wall(run: &Run) -> Option<Millis> {
    let limit = i64::try_from(run.caps.wall_ms?).unwrap_or(i64::MAX);
    if run.reached.is_some() || run.paused_at.is_some() {
        return None;
    }
    let end = run.wall_since.saturating_add(limit);
    if run.warned.contains(&CapKind::Wall) {
        return Some(end);
    }
    // Rounded up, so that at the instant given the share is really reached.
    let share = limit / 100 * WARN_PERCENT as i64 + (limit % 100 * WARN_PERCENT as i64 + 99) / 100;
    Some(run.wall_since.saturating_add(share))
}
