//! Rows of a screen, one a node: rates and quantiles of the last ten seconds.

use super::{NodeFigures, NodeUse, RateBaseline};
use crate::balance::NodeState;
use crate::metrics::counts::share;
use crate::metrics::snapshot::NodeRow;
use crate::metrics::window::{Sums, WINDOW, Window};
use crate::metrics::{Labels, NodeLabel};
use crate::unit::{Cost, NodeId, PoolId, Span, Time};

/// A node is slow if its p99 is so many times the median of its pool.
const SLOW_TIMES: u64 = 3;

impl NodeFigures {
    /// Returns a row for each node that is not gone. Time must have been counted up to `now`.
    pub(in crate::metrics::collector) fn rows(
        &self,
        now: Time,
        labels: &Labels,
        window: &Window,
    ) -> Vec<NodeRow> {
        let then = &self.before[0];
        let dispatched = |at: usize| {
            let before = then.nodes.get(at).map_or(0, |(.., dispatched)| *dispatched);
            u64::from(self.hot[at].dispatched.wrapping_sub(before))
        };
        let all = (0..self.hot.len()).map(dispatched).sum::<u64>();
        let mut rows: Vec<NodeRow> = (0..self.hot.len())
            .filter(|&at| self.hot[at].state != NodeState::Gone)
            .map(|at| {
                let share = share(dispatched(at), all);
                NodeRow { share, ..self.row(now, at, &labels.nodes[at], window) }
            })
            .collect();
        mark_slow(&mut rows, labels.pools.len());
        rows
    }

    fn row(&self, now: Time, at: usize, label: &NodeLabel, window: &Window) -> NodeRow {
        let hot = &self.hot[at];
        let seconds = now.seconds().min(WINDOW.seconds()).max(0.1);
        let idle = Sums::default();
        let sums = window.nodes.get(at).unwrap_or(&idle);
        let [p50, p99] = sums.latency.quantiles([0.5, 0.99]);
        let then = &self.before[0];
        let before = then.nodes.get(at).map_or((0, 0), |(busy, occupied, _)| (*busy, *occupied));
        let used = (hot.busy - before.0, hot.occupied - before.1);
        let NodeUse { utilisation, .. } = NodeUse::of(label, used, now.since(then.at));
        NodeRow {
            id: NodeId(at as u32),
            name: label.name.clone(),
            pool: PoolId(label.pool as u16),
            tier: label.tier,
            kind: label.kind.clone(),
            state: hot.state,
            slow: false,
            fault: self.cold[at].faults + self.cold[at].by_hand > 0,
            by_hand: self.cold[at].by_hand > 0,
            in_flight: hot.in_flight,
            capacity: label.capacity,
            queued: label.capacity.map_or(0, |most| hot.in_flight.saturating_sub(most)),
            utilisation,
            share: 0.0,
            requests_per_s: sums.count as f64 / seconds,
            p50,
            p99,
            error_share: share(sums.bad, sums.count),
            tokens_per_s: sums.tokens as f64 / seconds,
            dollars_per_hour: Cost(sums.cost).dollars() / seconds * 3_600.0
                + label.hourly as f64 / 1e6,
        }
    }

    /// Utilisation and share are measured over the last ten to twenty seconds.
    pub(in crate::metrics::collector) fn remember(&mut self, now: Time) {
        if now.since(self.before[1].at) >= WINDOW {
            self.before.swap(0, 1);
            let nodes =
                self.hot.iter().map(|hot| (hot.busy, hot.occupied, hot.dispatched)).collect();
            self.before[1] = RateBaseline { at: now, nodes };
        }
    }
}

/// Marks the nodes whose p99 stands out in their pool. It takes three to know who does.
fn mark_slow(rows: &mut [NodeRow], pools: usize) {
    for pool in 0..pools {
        let of_pool = |row: &&NodeRow| row.pool.index() == pool;
        let mut tails: Vec<Span> = rows.iter().filter(of_pool).filter_map(|row| row.p99).collect();
        if tails.len() < 3 {
            continue;
        }
        tails.sort_unstable();
        let median = tails[tails.len() / 2];
        for row in rows.iter_mut().filter(|row| row.pool.index() == pool) {
            row.slow = row.p99.is_some_and(|p99| p99.0 > median.0.saturating_mul(SLOW_TIMES));
        }
    }
}
