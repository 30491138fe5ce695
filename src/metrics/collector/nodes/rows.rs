//! Rows of a screen, one a node: rates and quantiles of the last ten seconds.

use super::{Hot, NodeFigures, NodeUse};
use crate::balance::NodeState;
use crate::metrics::hours::is_paid;
use crate::metrics::snapshot::NodeRow;
use crate::metrics::window::{NodeNow, NodeWindow, Window};
use crate::metrics::{Labels, NodeLabel};
use crate::unit::{NodeId, PoolId, Span, Time};

/// A node is slow if its p99 is so many times the median of its pool.
const SLOW_TIMES: u64 = 3;

impl NodeFigures {
    /// Returns a row for each node that is not gone, for a window that has expired to `now`.
    pub(in crate::metrics::collector) fn rows(
        &self,
        now: Time,
        labels: &Labels,
        window: &Window,
    ) -> Vec<NodeRow> {
        let state = |hot: &Hot| NodeNow { in_flight: hot.in_flight, capacity: hot.capacity };
        let states: Vec<NodeNow> = self.hot.iter().map(state).collect();
        let told = window.nodes(now, &states);
        let length = window.length(now);
        let own = self.hot.iter().zip(&labels.nodes);
        let own = own.map(|(hot, label)| is_paid(hot.state).then_some(label.hourly));
        let hourly = self.hourly.by_node(now, length, own);
        let mut rows: Vec<NodeRow> = (0..self.hot.len())
            .filter(|&at| self.hot[at].state != NodeState::Gone)
            .map(|at| {
                let row = self.row(at, &labels.nodes[at], &told[at], length);
                NodeRow { dollars_per_hour: row.dollars_per_hour + hourly[at], ..row }
            })
            .collect();
        mark_slow(&mut rows, labels.pools.len());
        rows
    }

    fn row(&self, at: usize, label: &NodeLabel, told: &NodeWindow, length: Span) -> NodeRow {
        let (hot, cold) = (&self.hot[at], &self.cold[at]);
        let NodeUse { utilisation, .. } = NodeUse::of(label, (told.busy, told.occupied), length);
        NodeRow {
            id: NodeId(at as u32),
            name: label.name.clone(),
            pool: PoolId(label.pool as u16),
            tier: label.tier,
            kind: label.kind.clone(),
            state: hot.state,
            slow: false,
            kept_in: cold.kept_in && told.error_share > 0.0,
            fault: cold.faults + cold.by_hand > 0,
            by_hand: cold.by_hand > 0,
            in_flight: hot.in_flight,
            capacity: label.capacity,
            queued: label.capacity.map_or(0, |most| hot.in_flight.saturating_sub(most)),
            utilisation,
            share: told.share,
            requests_per_s: told.requests_per_s,
            samples: told.samples,
            p50: told.p50,
            p99: told.p99,
            error_share: told.error_share,
            tokens_per_s: told.tokens_per_s,
            dollars_per_hour: told.dollars_per_hour,
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
