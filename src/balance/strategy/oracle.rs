//! Oracle: the name of a bound. What it stands for reads the truth about every request and node, which
//! this module cannot name: the simulator builds it (`sim::oracle`) and puts it in the place of what is
//! built here, which knows nothing and draws uniformly. Nothing but a simulation may use it: a gateway
//! and a replay refuse it, and its journals cannot be verified.

use super::{GoesBy, PickContext, Strategy, StrategyDef};
use crate::balance::vocabulary::{Scored, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

const NAME: &str = "oracle";

pub(super) const DEF: StrategyDef = StrategyDef {
    name: NAME,
    summary: "a bound, simulation only: knows true lengths, speeds and remaining work",
    when: "to see how much better any strategy could be; never to serve",
    cost: "O(n) nodes, each played forward to its last answer",
    source: "clairvoyant greedy: least own plus others' seconds; future arrivals are not seen, so a \
             strategy may beat it",
    goes_by: &[GoesBy::Latency],
    settings: &[],
    build: |_| Box::new(Blind),
};

impl StrategyDef {
    /// Returns whether it only bounds what is possible: it reads what no balancer can know.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.name == NAME
    }
}

#[derive(Debug)]
struct Blind;

impl Strategy for Blind {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let node = context.draw(rng)?;
        why.considered = 1;
        context.looked_at(node, f64::NAN);
        why.chosen = Scored::unscored(node);
        Some(node)
    }
}
