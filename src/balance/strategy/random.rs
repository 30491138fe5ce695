//! Random: any candidate, each with the same probability. Never herds, never learns.

use super::{PickContext, Strategy, StrategyDef};
use crate::balance::vocabulary::{Scored, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "random",
    summary: "any node, each with the same probability",
    when: "many balancers that know nothing of each other; a baseline",
    cost: "O(1)",
    source: "folklore",
    goes_by: &[],
    settings: &[],
    build: |_| Box::new(Random),
};

#[derive(Debug)]
struct Random;

impl Strategy for Random {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let node = context.draw(rng)?;
        why.considered = 1;
        context.looked_at(node, f64::NAN);
        why.chosen = Scored::unscored(node);
        Some(node)
    }
}
