//! Least KV: the node whose KV cache is least in use.
//!
//! `cost = share of the KV cache in use / success probability`, from the node's own report while that is
//! fresh; else the tokens held by the attempts in flight, over the weight. Blind to queued prompts and
//! saturates at one: better as a part of another score.

use super::{GoesBy, PickContext, Shortlist, Strategy, StrategyDef, pick_least};
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "least_kv",
    summary: "the node whose KV cache is least in use",
    when: "memory-bound engines with long contexts",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "llm-d KV-cache scorer",
    goes_by: &[GoesBy::KvCache],
    settings: &[],
    build: |_| Box::new(LeastKv { list: Shortlist::default() }),
};

/// Nodes drawn in large tiers.
const CHOICES: usize = 8;

#[derive(Debug)]
struct LeastKv {
    list: Shortlist,
}

/// Tokens held for the weight, this prompt included.
fn held(context: &PickContext<'_>, id: NodeId) -> f64 {
    let node = context.node(id);
    (node.ledger.kv + context.request.prompt).0 as f64 / f64::from(node.spec.weight)
}

fn cost(context: &PickContext<'_>, id: NodeId) -> (f64, f64) {
    let node = context.node(id);
    let used = context.fleet.report(id, context.now).map_or(0.0, |report| report.kv_used.value());
    // One is added so that an empty cache does not hide that a node fails.
    (context.against_failure(node, 1.0 + used), context.against_failure(node, held(context, id)))
}

impl Strategy for LeastKv {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let mut list = std::mem::take(&mut self.list);
        context.shortlist(CHOICES, &mut list, rng);
        let picked =
            pick_least(context, list.nodes().iter().copied(), rng, why, |node| cost(context, node));
        self.list = list;
        picked
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Kv, held(context, node))
    }
}
