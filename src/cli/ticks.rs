//! What a scenario promises, judged while it runs: for whoever looks, a few times a second at most.

use std::time::{Duration, Instant};

use crate::metrics::Collector;
use crate::metrics::expect::{ExpectVerdict, Expectation};
use crate::unit::Time;

/// A run that moves is judged at most this often: it takes the whole result.
const EVERY: Duration = Duration::from_millis(500);

/// The promises of a scenario and how they stand.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveTicks {
    expectations: Vec<Expectation>,
    verdicts: Vec<ExpectVerdict>,
    judged: Option<(Instant, Time)>,
}

impl LiveTicks {
    pub(super) fn new(expectations: Vec<Expectation>) -> LiveTicks {
        LiveTicks { expectations, ..LiveTicks::default() }
    }

    pub(super) fn expectations(&self) -> &[Expectation] {
        &self.expectations
    }

    /// Returns the verdicts so far; those of a moment ago while the run moves. Before warm-up is over there
    /// is nothing to judge.
    pub(super) fn judged(
        &mut self,
        collector: &Collector,
        now: Time,
        still: bool,
    ) -> Vec<ExpectVerdict> {
        if self.expectations.is_empty() || now <= collector.labels().warmup {
            return Vec::new();
        }
        let old = self.judged.is_none_or(|(at, then)| at.elapsed() >= EVERY || then > now);
        let stale = self.judged.is_none_or(|(_, then)| then != now);
        if old || (still && stale) {
            let summary = collector.summary(now, false);
            self.verdicts = self.expectations.iter().map(|one| one.judge(&summary)).collect();
            self.judged = Some((Instant::now(), now));
        }
        self.verdicts.clone()
    }
}
