//! Attempts of requests that came after warm-up, and the tokens they used.

use crate::balance::{AttemptKind, Settled, Usage};
use crate::metrics::summary::{Attempts, TokenCounts};
use crate::unit::Tokens;

/// What is collected of attempts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AttemptFigures {
    counts: Attempts,
    tokens: TokenCounts,
}

impl AttemptFigures {
    pub(super) fn dispatched(&mut self, kind: AttemptKind, resumed: Tokens, panic: bool) {
        self.counts.total += 1;
        self.counts.retries += u64::from(kind == AttemptKind::Retry);
        self.counts.hedges += u64::from(kind == AttemptKind::Hedge);
        self.counts.resumed += u64::from(resumed > Tokens::ZERO);
        self.counts.panic += u64::from(panic);
    }

    pub(super) const fn ended(&mut self, usage: &Usage) {
        self.tokens.add(usage);
    }

    pub(super) fn settled(&mut self, settled: &Settled) {
        self.counts.failovers += u64::from(settled.failover);
        self.counts.degraded += u64::from(settled.degraded);
        self.counts.over_budget += u64::from(settled.over_budget);
        self.counts.hedge_wins += u64::from(settled.hedge);
    }

    pub(super) const fn retry_denied(&mut self) {
        self.counts.retries_denied += 1;
    }

    pub(super) const fn hedge_denied(&mut self) {
        self.counts.hedges_denied += 1;
    }

    pub(super) const fn panicked(&mut self) {
        self.counts.panics += 1;
    }

    pub(super) fn kept_in(&mut self, counts: bool) {
        self.counts.kept_in += u64::from(counts);
    }

    pub(super) const fn counts(&self) -> Attempts {
        self.counts
    }

    pub(super) const fn tokens(&self) -> TokenCounts {
        self.tokens
    }
}
