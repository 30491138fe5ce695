//! LMetric: new prefill tokens times batch size.
//!
//! `score = (prompt tokens not answered + new tokens of this prompt) * (requests in flight + 1) /
//! success probability` (arXiv 2603.15202). A product, so that scale factors cancel and nothing is to be
//! tuned. It knows no speed of nodes. Tokens that the node is known to have cached are not new.

use super::prefix_index::PrefixIndex;
use super::{
    Fact, GoesBy, Memo, PickContext, Shortlist, Strategy, StrategyDef, TypicalCost, pick_least,
};
use crate::balance::fleet::Fleet;
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "lmetric",
    summary: "the least product of new prefill tokens and batch size",
    when: "similar nodes; a strong simple default for time to first token",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "LMetric, arXiv 2603.15202",
    goes_by: &[GoesBy::Prefixes, GoesBy::Load],
    settings: &[],
    build: |_| Box::<Lmetric>::default(),
};

/// Nodes drawn in large tiers.
const CHOICES: usize = 8;

#[derive(Debug, Default)]
struct Lmetric {
    index: PrefixIndex,
    list: Shortlist,
    typical: TypicalCost,
}

impl Lmetric {
    fn parts(&self, context: &PickContext<'_>, id: NodeId) -> (f64, f64) {
        let ledger = &context.node(id).ledger;
        let new = self.index.uncached(context.request, id);
        ((ledger.prompt + new).0.max(1) as f64, f64::from(ledger.requests + 1))
    }
}

impl Strategy for Lmetric {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let mut list = std::mem::take(&mut self.list);
        context.shortlist(CHOICES, &mut list, rng);
        self.index.look_up(context, &mut list);
        let picked = pick_least(context, list.nodes().iter().copied(), rng, why, |id| {
            let (prefill, batch) = self.parts(context, id);
            (self.typical.against_failure(context, id, prefill * batch), 0.0)
        });
        self.list = list;
        self.typical.learn(context, why);
        picked
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        let (prefill, batch) = self.parts(context, node);
        Terms::NONE.with(Term::Prefill, prefill).with(Term::Load, batch)
    }

    fn memo(&self, context: &PickContext<'_>, node: NodeId) -> Option<Memo> {
        self.index.memo(context, node)
    }

    fn learn(&mut self, _: Time, fact: &Fact<'_>, _: &Fleet) {
        self.index.learn(fact);
    }
}
