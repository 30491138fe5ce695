//! Least connections: the node with the fewest requests in flight (join the shortest queue).
//!
//! `cost = (requests in flight + 1) / success probability`. A request counts from dispatch to the
//! end of its answer, so decoding streams count too. Whose count that is, `signal` says: with
//! several balancers a full scan over old reports herds, each sending to the node that looked best
//! to all of them, unless what it sent since is added (`reported+own`).

use super::{GoesBy, PickContext, SIGNAL, Strategy, StrategyDef, pick_least};
use crate::balance::spec::Signal;
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "least_connections",
    summary: "the node with the fewest requests in flight",
    when: "one balancer, similar nodes, requests of unlike length",
    cost: "O(n)",
    source: "join the shortest queue; HAProxy leastconn",
    goes_by: &[GoesBy::Load],
    settings: &[SIGNAL],
    build: |spec| Box::new(LeastConnections { signal: Signal::of(spec.choice("signal")) }),
};

#[derive(Debug)]
struct LeastConnections {
    signal: Signal,
}

/// Requests in flight if this one is added.
#[inline]
pub(super) fn load(context: &PickContext<'_>, signal: Signal, node: NodeId) -> f64 {
    context.requests(signal, node) + 1.0
}

/// The load as a cost.
#[inline]
pub(super) fn cost(context: &PickContext<'_>, signal: Signal, node: NodeId) -> f64 {
    context.against_failure(context.node(node), load(context, signal, node))
}

impl Strategy for LeastConnections {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        pick_least(context, context.candidates(), rng, why, |node| {
            (cost(context, self.signal, node), 0.0)
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Load, load(context, self.signal, node))
    }
}
