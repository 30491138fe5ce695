//! Hours of nodes: how long each was paid for, and how long of that it did nothing.
//!
//! A node is paid for from the moment it is told to start, or joins, until it is off or gone; what
//! comes before the end of warm-up is left out. It is idle while it is up and has nothing in flight.
//! A node that starts, rests after a 429, is ejected or drains is paid for and is not idle: none of
//! them is spare capacity. Everything is counted in whole nanoseconds, so money is exact.

use super::summary::{GroupSummary, Hours};
use crate::balance::{NodeState, ScaleSpec};
use crate::unit::{Cost, Span, Time};

/// Nanoseconds in an hour.
const HOUR: f64 = 3.6e12;

/// The times of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    state: NodeState,
    busy: bool,
    at: Time,
    paid: u64,
    starting: u64,
    idle: u64,
}

impl Clock {
    pub(super) const fn new(at: Time, state: NodeState) -> Clock {
        Clock { state, busy: false, at, paid: 0, starting: 0, idle: 0 }
    }

    /// Counts the time up to now, as far as it is after `from`.
    fn pass(&mut self, now: Time, from: Time) {
        let span = now.since(self.at.max(from)).0;
        self.at = self.at.max(now);
        if matches!(self.state, NodeState::Off | NodeState::Gone) {
            return;
        }
        self.paid += span;
        match self.state {
            NodeState::Starting => self.starting += span,
            NodeState::Up if !self.busy => self.idle += span,
            _ => {}
        }
    }

    pub(super) fn state(&mut self, now: Time, from: Time, state: NodeState) {
        self.pass(now, from);
        self.state = state;
    }

    pub(super) fn busy(&mut self, now: Time, from: Time, busy: bool) {
        if busy != self.busy {
            self.pass(now, from);
            self.busy = busy;
        }
    }

    /// Returns the times up to `end`.
    pub(super) fn total(mut self, end: Time, from: Time, hourly: u64) -> Paid {
        self.pass(end, from);
        let cost = |span: u64| Cost::of_hours(hourly, Span(span));
        Paid {
            paid: u128::from(self.paid),
            starting: u128::from(self.starting),
            idle: u128::from(self.idle),
            cost: cost(self.paid),
            idle_cost: cost(self.idle),
        }
    }
}

/// Times and money of some nodes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paid {
    paid: u128,
    starting: u128,
    idle: u128,
    pub(super) cost: Cost,
    idle_cost: Cost,
}

impl std::iter::Sum for Paid {
    fn sum<I: Iterator<Item = Paid>>(parts: I) -> Paid {
        parts.fold(Paid::default(), |sum, part| Paid {
            paid: sum.paid + part.paid,
            starting: sum.starting + part.starting,
            idle: sum.idle + part.idle,
            cost: sum.cost + part.cost,
            idle_cost: sum.idle_cost + part.idle_cost,
        })
    }
}

impl Paid {
    pub(super) fn hours(&self) -> Hours {
        Hours {
            node_hours: self.paid as f64 / HOUR,
            starting_hours: self.starting as f64 / HOUR,
            idle_hours: self.idle as f64 / HOUR,
            idle_share: (self.paid > 0).then(|| self.idle as f64 / self.paid as f64),
            idle_usd: self.idle_cost.dollars(),
        }
    }
}

/// The size of a group over time.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    pub(super) spec: ScaleSpec,
    now: u32,
    least: u32,
    most: u32,
    grown: u64,
    shrunk: u64,
}

impl Sizes {
    pub(super) fn new(spec: &ScaleSpec) -> Sizes {
        let now = spec.start;
        Sizes { spec: spec.clone(), now, least: now, most: now, grown: 0, shrunk: 0 }
    }

    /// Hears of a change of size; the extremes leave out what came before warm-up was over.
    pub(super) fn scaled(&mut self, counts: bool, to: u32) {
        if counts {
            self.grown += u64::from(to > self.now);
            self.shrunk += u64::from(to < self.now);
            self.least = self.least.min(to);
            self.most = self.most.max(to);
        } else {
            (self.least, self.most) = (to, to);
        }
        self.now = to;
    }

    pub(super) fn summary(&self, pool: String, paid: &Paid, span: Span) -> GroupSummary {
        let mean = paid.paid as f64 / span.0.max(1) as f64;
        GroupSummary {
            name: self.spec.name.clone(),
            pool,
            nodes_least: self.least,
            nodes_mean: mean,
            nodes_most: self.most,
            nodes_last: self.now,
            grown: self.grown,
            shrunk: self.shrunk,
            hours: paid.hours(),
            cost_usd: paid.cost.dollars(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Time {
        Time::ZERO + Span::from_secs(second)
    }

    #[test]
    fn a_node_is_paid_for_from_its_start_until_it_is_off() {
        let from = at(100);
        let mut clock = Clock::new(Time::ZERO, NodeState::Off);
        clock.state(at(50), from, NodeState::Starting);
        clock.state(at(140), from, NodeState::Up);
        clock.busy(at(150), from, true);
        clock.busy(at(160), from, true);
        clock.busy(at(170), from, false);
        clock.state(at(190), from, NodeState::Ejected);
        clock.state(at(230), from, NodeState::Up);
        clock.state(at(240), from, NodeState::Draining);
        clock.state(at(260), from, NodeState::Off);
        let paid = clock.total(at(1_000), from, 3_600_000_000);
        assert_eq!(paid.paid, 160_000_000_000, "100 to 260");
        assert_eq!(paid.starting, 40_000_000_000, "100 to 140");
        assert_eq!(paid.idle, 40_000_000_000, "140 to 150, 170 to 190, 230 to 240");
        assert_eq!(paid.cost.0, 160 * 1_000_000_000_000, "a dollar a second");
        assert_eq!(paid.idle_cost.0, 40 * 1_000_000_000_000);
        let on = clock.total(at(90), from, 0);
        assert_eq!(on.paid, 160_000_000_000, "the end is never before the last event");
    }
}
