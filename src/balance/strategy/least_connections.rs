//! Least connections: the node with the fewest requests in flight (join the shortest queue).
//!
//! `cost = (requests in flight + 1) / success probability`. A request counts from dispatch to the
//! end of its answer, so decoding streams count too.

use super::{Ask, Entry, Strategy, least};
use crate::balance::event::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const ENTRY: Entry = Entry {
    name: "least_connections",
    summary: "the node with the fewest requests in flight",
    when: "one balancer, similar nodes, requests of unlike length",
    cost: "O(n)",
    source: "join the shortest queue; HAProxy leastconn",
    settings: &[],
    build: |_| Box::new(LeastConnections),
};

#[derive(Debug)]
struct LeastConnections;

/// Requests in flight if this one is added.
pub(super) fn load(ask: &Ask<'_>, node: NodeId) -> f64 {
    f64::from(ask.node(node).ledger.requests + 1)
}

/// The load as a cost.
pub(super) fn cost(ask: &Ask<'_>, node: NodeId) -> f64 {
    ask.against_failure(ask.node(node), load(ask, node))
}

impl Strategy for LeastConnections {
    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        least(ask, ask.candidates(), rng, why, |node| (cost(ask, node), 0.0))
    }

    fn terms(&self, ask: &Ask<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Load, load(ask, node))
    }
}
