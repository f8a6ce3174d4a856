//! Tokens and money. Sums only: unknown prices stay visible as tokens without a price.

use serde::{Deserialize, Serialize};

/// What an attempt, task or run has used. Adding is associative and commutative, zero is `default()`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens sent, without those read from or written to a cache.
    pub input: u64,
    /// Tokens received.
    pub output: u64,
    /// Tokens read from the provider's cache.
    pub cache_read: u64,
    /// Tokens written to the provider's cache.
    pub cache_write: u64,
    /// Money spent where a price is known, in millionths of a US dollar.
    pub cost_microusd: u64,
    /// Tokens of replies whose price is not known. While above zero the cost is unknown, never 0.
    pub unpriced_tokens: u64,
    /// Model replies.
    pub turns: u64,
}

impl Usage {
    /// All tokens, cache reads included: what a token cap counts.
    pub const fn tokens(&self) -> u64 {
        self.input
            .saturating_add(self.output)
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
    }

    /// The cost in US dollars, or `None` when some of it is not known.
    pub fn cost_usd(&self) -> Option<f64> {
        (self.unpriced_tokens == 0).then_some(self.cost_microusd as f64 / 1e6)
    }

    /// The sum of both.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cost_microusd: self.cost_microusd.saturating_add(other.cost_microusd),
            unpriced_tokens: self.unpriced_tokens.saturating_add(other.unpriced_tokens),
            turns: self.turns.saturating_add(other.turns),
        }
    }

    /// What `self` has beyond `earlier`, at least zero in every field.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            input: self.input.saturating_sub(earlier.input),
            output: self.output.saturating_sub(earlier.output),
            cache_read: self.cache_read.saturating_sub(earlier.cache_read),
            cache_write: self.cache_write.saturating_sub(earlier.cache_write),
            cost_microusd: self.cost_microusd.saturating_sub(earlier.cost_microusd),
            unpriced_tokens: self.unpriced_tokens.saturating_sub(earlier.unpriced_tokens),
            turns: self.turns.saturating_sub(earlier.turns),
        }
    }

    /// Whether nothing was used.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_cost_is_never_zero() {
        let known = Usage { input: 10, cost_microusd: 5_000, ..Usage::default() };
        let unknown = Usage { input: 10, unpriced_tokens: 10, ..Usage::default() };
        assert_eq!(known.cost_usd(), Some(0.005));
        assert_eq!(known.plus(&unknown).cost_usd(), None);
        assert_eq!(known.plus(&unknown).tokens(), 20);
    }
}
