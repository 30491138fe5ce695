//! Smooth weighted round robin: turns in proportion to weight, interleaved.
//!
//! As in nginx: every candidate gains its weight, the largest sum wins and pays the total of all
//! weights. Any window of `sum of weights` picks over a fixed set of candidates holds exactly
//! `weight` picks of each. It starts at a random point of its cycle, since balancers that start
//! together would otherwise send their bursts to the same node.

use super::{Ask, Entry, Strategy};
use crate::balance::event::{Scored, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const ENTRY: Entry = Entry {
    name: "weighted_round_robin",
    summary: "turns in proportion to weight, interleaved (smooth)",
    when: "nodes of known, stable capacity; give each its capacity as weight",
    cost: "O(n)",
    source: "nginx, smooth weighted round robin",
    settings: &[],
    build: |_| Box::new(WeightedRoundRobin { credit: Vec::new(), started: false }),
};

/// The random start is sought among so many picks at most.
const PHASES_MAX: usize = 1_024;

#[derive(Debug)]
struct WeightedRoundRobin {
    /// By seat.
    credit: Vec<i64>,
    started: bool,
}

impl WeightedRoundRobin {
    fn turn(&mut self, ask: &Ask<'_>) -> Option<(NodeId, u32)> {
        let mut total = 0;
        let mut considered = 0;
        let mut best: Option<(NodeId, usize)> = None;
        for &node in ask.members() {
            if !ask.allows(node) {
                continue;
            }
            let seat = ask.node(node).seat as usize;
            let weight = i64::from(ask.node(node).spec.weight);
            considered += 1;
            total += weight;
            self.credit[seat] += weight;
            if best.is_none_or(|(_, leader)| self.credit[seat] > self.credit[leader]) {
                best = Some((node, seat));
            }
        }
        let (node, seat) = best?;
        self.credit[seat] -= total;
        Some((node, considered))
    }
}

impl Strategy for WeightedRoundRobin {
    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        self.credit.resize(ask.members().len(), 0);
        if !self.started {
            self.started = true;
            let cycle: u64 =
                ask.candidates().map(|node| u64::from(ask.node(node).spec.weight)).sum();
            for _ in 0..rng.below((cycle as usize).clamp(1, PHASES_MAX)) {
                self.turn(ask);
            }
        }
        let (node, considered) = self.turn(ask)?;
        why.considered = considered;
        ask.looked_at(node, f64::NAN);
        why.chosen = Scored::unscored(node);
        Some(node)
    }
}
