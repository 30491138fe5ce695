//! Cheapest: the node on which this request is expected to cost least.
//!
//! `cost = (input price * prompt tokens + output price * expected answer tokens) / success
//! probability`, in dollars; equal prices go to the node with fewer requests in flight per weight.
//! A node with an hourly price costs nothing more for one more request, so owned hardware is filled
//! before anything is bought. Cheap nodes fill up: give them a concurrency limit.

use super::{Ask, Entry, Strategy, least, least_connections};
use crate::balance::event::{Term, Terms, Usage, Why};
use crate::balance::hearsay::Signal;
use crate::rng::Rng;
use crate::unit::{NodeId, Tokens};

pub(super) const ENTRY: Entry = Entry {
    name: "cheapest",
    summary: "cost-based: the node where this request costs least, equals by load",
    when: "one model at several prices, with concurrency limits on the cheap ones",
    cost: "O(n)",
    source: "expected token price; LiteLLM cost-based routing without its blindness to load",
    settings: &[],
    build: |_| Box::new(Cheapest),
};

#[derive(Debug)]
struct Cheapest;

/// What the request is expected to cost there.
pub(super) fn dollars(ask: &Ask<'_>, node: NodeId) -> f64 {
    let usage =
        Usage { input: ask.request.prompt, cached: Tokens::ZERO, output: ask.expected_output };
    ask.node(node).spec.prices.of(&usage).dollars()
}

impl Strategy for Cheapest {
    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        least(ask, ask.candidates(), rng, why, |id| {
            let node = ask.node(id);
            let load = least_connections::cost(ask, Signal::Own, id) / f64::from(node.spec.weight);
            (ask.against_failure(node, dollars(ask, id)), load)
        })
    }

    fn terms(&self, ask: &Ask<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Dollars, dollars(ask, node))
    }
}
