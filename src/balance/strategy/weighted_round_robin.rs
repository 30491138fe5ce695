//! Smooth weighted round robin: turns in proportion to weight, interleaved.
//!
//! As in nginx: every candidate gains its weight, the largest sum wins and pays the total of all
//! weights. Any window of `sum of weights` picks over a fixed set of candidates holds exactly
//! `weight` picks of each. It starts at a random point of its cycle, since balancers that start
//! together would otherwise send their bursts to the same node.
//!
//! That looks at every node. In a tier of more than [`SCAN_MAX`] nodes each has a virtual deadline
//! instead, the earliest is next and its deadline moves on by `1 / weight`, as in Envoy's EDF
//! scheduler: O(log n), turns still in proportion and spread, but a window may hold one pick more or
//! less. First deadlines are drawn from `U(0, 1) / weight`, or all heavy nodes would come first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{GoesBy, PickContext, SCAN_MAX, Strategy, StrategyDef};
use crate::balance::vocabulary::{Scored, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "weighted_round_robin",
    summary: "turns in proportion to weight, interleaved (smooth)",
    when: "nodes of known, stable capacity; give each its capacity as weight",
    cost: "O(n) up to 128 nodes, then O(log n)",
    source: "nginx, smooth weighted round robin; Envoy, earliest deadline first",
    goes_by: &[GoesBy::Weights],
    settings: &[],
    build: |_| Box::new(WeightedRoundRobin::default()),
};

/// The random start is sought among so many picks at most.
const PHASES_MAX: usize = 1_024;

/// A turn of a node of weight one, in virtual time.
const TURN: u64 = 1 << 32;
/// So many nodes whose turn has come are passed over because they are closed or not allowed, before
/// one is drawn.
const PASSED_MAX: usize = 256;

#[derive(Debug, Default)]
struct WeightedRoundRobin {
    /// By seat.
    credit: Vec<i64>,
    started: bool,
    /// Deadline and node, of a tier that is large.
    deadlines: BinaryHeap<Reverse<(u64, NodeId)>>,
    /// The deadline of the latest turn.
    now: u64,
}

impl WeightedRoundRobin {
    fn turn(&mut self, context: &PickContext<'_>) -> Option<(NodeId, u32)> {
        let mut total = 0;
        let mut considered = 0;
        let mut best: Option<(NodeId, usize)> = None;
        for &node in context.members() {
            if !context.allows(node) {
                continue;
            }
            let seat = context.node(node).seat as usize;
            let weight = i64::from(context.node(node).spec.weight);
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

impl WeightedRoundRobin {
    /// The turn of a node with the earliest deadline that may have it. A node that may not loses its
    /// turn, as it gains nothing while it is closed in a small tier.
    fn earliest(&mut self, context: &PickContext<'_>, rng: &mut Rng) -> Option<(NodeId, u32)> {
        let turn = |node: NodeId| TURN / u64::from(context.node(node).spec.weight);
        for &node in &context.members()[self.deadlines.len()..] {
            let first = (rng.unit() * turn(node) as f64) as u64;
            self.deadlines.push(Reverse((self.now.saturating_add(first), node)));
        }
        for passed in 1..=PASSED_MAX.min(self.deadlines.len()) {
            let mut next = self.deadlines.peek_mut()?;
            let Reverse((deadline, node)) = *next;
            self.now = deadline;
            *next = Reverse((deadline.saturating_add(turn(node)), node));
            if context.allows(node) {
                return Some((node, passed as u32));
            }
        }
        context.draw(rng).map(|node| (node, PASSED_MAX as u32 + 1))
    }
}

impl Strategy for WeightedRoundRobin {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        if context.members().len() > SCAN_MAX {
            let (node, considered) = self.earliest(context, rng)?;
            why.considered = considered;
            context.looked_at(node, f64::NAN);
            why.chosen = Scored::unscored(node);
            return Some(node);
        }
        self.credit.resize(context.members().len(), 0);
        if !self.started {
            self.started = true;
            let cycle: u64 =
                context.candidates().map(|node| u64::from(context.node(node).spec.weight)).sum();
            for _ in 0..rng.below((cycle as usize).clamp(1, PHASES_MAX)) {
                self.turn(context);
            }
        }
        let (node, considered) = self.turn(context)?;
        why.considered = considered;
        context.looked_at(node, f64::NAN);
        why.chosen = Scored::unscored(node);
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use crate::balance::{
        Action, Balancer, Config, Input, Match, NodeSpec, Outcome, PoolSpec, Request, RouteSpec,
        StrategySpec, Usage,
    };
    use crate::unit::{NodeId, PoolId, RequestId, Time};

    /// Picks by node, of a tier of so many nodes whose weights go 1, 2, 3, 1, 2, 3, …
    fn picks(nodes: u32, count: u64) -> (Vec<u64>, Vec<u64>) {
        let weight = |at: u32| 1 + at % 3;
        let node =
            |at: u32| NodeSpec { weight: weight(at), ..NodeSpec::new(&at.to_string(), PoolId(0)) };
        let strategy = StrategySpec::named("weighted_round_robin").expect("it is registered");
        let routes =
            vec![RouteSpec { when: Match::default(), to: vec![PoolId(0)], ..RouteSpec::default() }];
        let nodes_specs = (0..nodes).map(node).collect();
        let mut balancer =
            Balancer::new(Config::new(vec![PoolSpec::new("p", strategy)], nodes_specs, routes));
        let mut counts = vec![0; nodes as usize];
        for id in 0..count {
            let request = Request::new(RequestId(id), Time(id));
            let effects = balancer.handle(Time(id), Input::Arrive(request));
            let Some(&Action::Dispatch { attempt, node: NodeId(node), .. }) =
                effects.actions.first()
            else {
                panic!("every node is open");
            };
            counts[node as usize] += 1;
            balancer.handle(Time(id), Input::Finish(attempt, Outcome::Done(Usage::default())));
        }
        (counts, (0..nodes).map(|at| u64::from(weight(at))).collect())
    }

    #[test]
    fn turns_are_in_proportion_to_weight_in_small_tiers_and_large() {
        for nodes in [6, 600] {
            let cycle = u64::from(nodes) * 2;
            let (counts, weights) = picks(nodes, cycle * 10);
            let off = if nodes == 6 { 0 } else { 1 };
            for (count, weight) in counts.iter().zip(weights) {
                assert!(count.abs_diff(weight * 10) <= off, "{count} turns for weight {weight}");
            }
        }
    }
}
