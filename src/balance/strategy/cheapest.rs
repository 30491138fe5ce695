//! Cheapest: the node on which this request is expected to cost least.
//!
//! `cost = (input price * prompt tokens + output price * expected answer tokens) / success
//! probability`, in dollars; equal prices go to the node with fewer requests in flight per weight.
//! A node with an hourly price costs nothing more for one more request, so owned hardware is filled
//! before anything is bought. Cheap nodes fill up: give them a concurrency limit.

use super::{GoesBy, PickContext, Strategy, StrategyDef, least_connections, pick_least};
use crate::balance::spec::Signal;
use crate::balance::vocabulary::{Term, Terms, Usage, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Tokens};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "cheapest",
    summary: "cost-based: the node where this request costs least, equals by load",
    when: "one model at several prices, with concurrency limits on the cheap ones",
    cost: "O(n)",
    source: "expected token price; LiteLLM cost-based routing without its blindness to load",
    goes_by: &[GoesBy::Prices, GoesBy::Load],
    settings: &[],
    build: |_| Box::new(Cheapest),
};

#[derive(Debug)]
struct Cheapest;

/// What the request is expected to cost there.
pub(super) fn dollars(context: &PickContext<'_>, node: NodeId) -> f64 {
    let usage = Usage {
        input: context.request.prompt,
        cached: Tokens::ZERO,
        output: context.expected_output,
        estimated: false,
    };
    context.node(node).spec.prices.of(&usage).dollars()
}

impl Strategy for Cheapest {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        pick_least(context, context.candidates(), rng, why, |id| {
            let node = context.node(id);
            let load =
                least_connections::cost(context, Signal::Own, id) / f64::from(node.spec.weight);
            (context.against_failure(node, dollars(context, id)), load)
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Dollars, dollars(context, node))
    }
}
