//! Least KV: the node whose KV cache is least in use.
//!
//! `cost = share of the KV cache in use / success probability`, from the node's own report while that is
//! fresh; else the tokens held by the attempts in flight, over the weight. Blind to queued prompts and
//! saturates at one: better as a part of another score.

use super::{Ask, Entry, Shortlist, Strategy, least};
use crate::balance::event::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const ENTRY: Entry = Entry {
    name: "least_kv",
    summary: "the node whose KV cache is least in use",
    when: "memory-bound engines with long contexts",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "llm-d KV-cache scorer",
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
fn held(ask: &Ask<'_>, id: NodeId) -> f64 {
    let node = ask.node(id);
    (node.ledger.kv + ask.request.prompt).0 as f64 / f64::from(node.spec.weight)
}

fn cost(ask: &Ask<'_>, id: NodeId) -> (f64, f64) {
    let node = ask.node(id);
    let used = ask.fleet.report(id, ask.now).map_or(0.0, |report| report.kv_used.value());
    // One is added so that an empty cache does not hide that a node fails.
    (ask.against_failure(node, 1.0 + used), ask.against_failure(node, held(ask, id)))
}

impl Strategy for LeastKv {
    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let mut list = std::mem::take(&mut self.list);
        ask.shortlist(CHOICES, &mut list, rng);
        let picked = least(ask, list.nodes().iter().copied(), rng, why, |node| cost(ask, node));
        self.list = list;
        picked
    }

    fn terms(&self, ask: &Ask<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Kv, held(ask, node))
    }
}
