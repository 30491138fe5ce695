//! Weighted random: any candidate, each with a probability in proportion to its weight.
//!
//! Drawn by rejection: a uniform node is kept with probability `weight / largest weight`, which needs
//! no table that a change of weight would make stale. After [`TRIES`] refusals all candidates are
//! summed and one is drawn by inversion, so the probabilities are exact.

use super::{GoesBy, PickContext, Strategy, StrategyDef};
use crate::balance::vocabulary::{Scored, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "weighted_random",
    summary: "any node, with a probability in proportion to its weight",
    when: "many balancers that know nothing of each other, nodes of known capacity",
    cost: "O(1) while weights are of one order",
    source: "folklore; rejection sampling",
    goes_by: &[GoesBy::Weights],
    settings: &[],
    build: |_| Box::new(WeightedRandom),
};

/// Draws before the exact sum.
const TRIES: usize = 16;

#[derive(Debug)]
struct WeightedRandom;

/// Draws a candidate with a probability in proportion to its weight.
fn draw(context: &PickContext<'_>, rng: &mut Rng) -> Option<NodeId> {
    let heaviest = f64::from(context.fleet.weight_max(context.pool, context.tier).max(1));
    for _ in 0..TRIES {
        let node = context.draw(rng)?;
        let weight = f64::from(context.node(node).spec.weight);
        if weight >= heaviest || rng.unit() * heaviest < weight {
            return Some(node);
        }
    }
    let weight = |node| f64::from(context.node(node).spec.weight);
    let mut point = rng.unit() * context.candidates().map(weight).sum::<f64>();
    let mut last = None;
    for node in context.candidates() {
        last = Some(node);
        point -= weight(node);
        if point < 0.0 {
            break;
        }
    }
    last
}

impl Strategy for WeightedRandom {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let node = draw(context, rng)?;
        context.looked_at(node, f64::NAN);
        why.considered = 1;
        why.chosen = Scored::unscored(node);
        Some(node)
    }
}
