//! What nodes cost an hour by being there, over the last ten seconds: nodes come and go meanwhile.

use std::collections::VecDeque;

use crate::metrics::window::WINDOW;
use crate::unit::{NodeId, Span, Time};

/// Micro-dollars in a dollar.
const MICROS: f64 = 1e6;

/// A node that is paid for from now on, or no longer.
#[derive(Clone, Copy, Debug)]
struct PriceChange {
    at: Time,
    node: NodeId,
    hourly: u64,
    on: bool,
}

impl PriceChange {
    /// Returns by how much more, or less, was paid before it.
    const fn before(&self) -> f64 {
        let hourly = self.hourly as f64 / MICROS;
        if self.on { -hourly } else { hourly }
    }

    /// Returns which part of a span up to `now` came before it.
    fn part(&self, now: Time, span: Span) -> f64 {
        let after = now.since(self.at).seconds() / span.seconds().max(1e-9);
        (1.0 - after).clamp(0.0, 1.0)
    }
}

/// What nodes cost an hour now, and what changed lately.
#[derive(Clone, Debug, Default)]
pub(super) struct HourlyRate {
    /// Micro-dollars an hour.
    now: u64,
    changes: VecDeque<PriceChange>,
}

impl HourlyRate {
    /// Nodes that cost so many micro-dollars an hour together.
    pub(super) fn new(now: u64) -> HourlyRate {
        HourlyRate { now, changes: VecDeque::new() }
    }

    /// A node is paid for from now on, or no longer.
    pub(super) fn change(&mut self, at: Time, node: NodeId, hourly: u64, on: bool) {
        while self.changes.front().is_some_and(|old| at.since(old.at) >= WINDOW) {
            self.changes.pop_front();
        }
        self.now = if on { self.now + hourly } else { self.now.saturating_sub(hourly) };
        self.changes.push_back(PriceChange { at, node, hourly, on });
    }

    /// Returns what all nodes cost an hour, in the mean of a span up to `now`.
    pub(super) fn mean(&self, now: Time, span: Span) -> f64 {
        let lately: f64 =
            self.changes.iter().map(|change| change.before() * change.part(now, span)).sum();
        self.now as f64 / MICROS + lately
    }

    /// Returns what each node cost an hour, in the mean of a span up to `now`; `own` are the prices of those
    /// that are paid for now.
    pub(super) fn by_node(
        &self,
        now: Time,
        span: Span,
        own: impl Iterator<Item = Option<u64>>,
    ) -> Vec<f64> {
        let mut means: Vec<f64> = own.map(|own| own.unwrap_or(0) as f64 / MICROS).collect();
        for change in &self.changes {
            if let Some(mean) = means.get_mut(change.node.index()) {
                *mean += change.before() * change.part(now, span);
            }
        }
        // A sum of shares may miss zero by a hair.
        means.iter_mut().for_each(|mean| *mean = mean.max(0.0));
        means
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Time {
        Time::ZERO + Span::from_seconds(seconds)
    }

    #[test]
    fn a_node_costs_as_long_as_it_is_paid_for() {
        let mut rate = HourlyRate::new(8_000_000);
        rate.change(at(95.0), NodeId(1), 4_000_000, true);
        rate.change(at(97.5), NodeId(0), 8_000_000, false);
        let ten = Span::from_secs(10);
        // Node 0 for three quarters of the window, node 1 for half of it.
        assert!((rate.mean(at(100.0), ten) - 8.0).abs() < 1e-9);
        let paid = [None, Some(4_000_000), None];
        let means = rate.by_node(at(100.0), ten, paid.into_iter());
        assert!((means[0] - 6.0).abs() < 1e-9 && (means[1] - 2.0).abs() < 1e-9, "{means:?}");
        assert!(means[2].abs() < 1e-9, "one that was off costs nothing");
        assert!((rate.mean(at(200.0), ten) - 4.0).abs() < 1e-9, "what is long past counts no more");
    }
}
