//! Round robin: each node in turn. Blind to load, speed and price.

use super::{PickContext, Strategy, StrategyDef};
use crate::balance::vocabulary::{Scored, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "round_robin",
    summary: "each node in turn",
    when: "identical nodes and requests of similar size; the baseline to beat",
    cost: "O(1)",
    source: "folklore",
    goes_by: &[],
    settings: &[],
    build: |_| Box::new(RoundRobin { next: None }),
};

#[derive(Debug)]
struct RoundRobin {
    /// Seat of the next turn. Starts at random: balancers that start together must not march in
    /// step.
    next: Option<usize>,
}

impl Strategy for RoundRobin {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let members = context.members();
        let start = self.next.unwrap_or_else(|| rng.below(members.len())) % members.len();
        let (before, from) = members.split_at(start);
        let turn = from.iter().chain(before).position(|&node| context.allows(node))?;
        let seat = (start + turn) % members.len();
        self.next = Some(seat + 1);
        why.considered = turn as u32 + 1;
        context.looked_at(members[seat], f64::NAN);
        why.chosen = Scored::unscored(members[seat]);
        Some(members[seat])
    }
}
