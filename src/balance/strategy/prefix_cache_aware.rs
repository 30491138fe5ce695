//! Prefix-cache-aware: least outstanding tokens, where cached tokens of the prompt do not count.
//!
//! `cost = (a * (prompt tokens not answered + uncached tokens of this prompt) + tokens still to come +
//! tokens expected of this answer) / weight / success probability`. There are no thresholds: a match only
//! makes the prompt shorter, so a node that holds the prefix wins until its load outweighs it. Candidates
//! are nodes drawn by load and the two that hold most of the prefix.

use super::prefix_index::PrefixIndex;
use super::{
    Fact, GoesBy, Memo, PickContext, Setting, SettingKind, Shortlist, Strategy, StrategyDef,
    pick_least,
};
use crate::balance::fleet::Fleet;
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "prefix_cache_aware",
    summary: "the fewest outstanding tokens, cached ones of the prompt not counted",
    when: "engines with prefix caches and prompts that share beginnings",
    cost: "O(n + log blocks) up to 128 nodes, O(log blocks) beyond",
    source: "prefix-aware routing without thresholds; compare sglang #32195",
    goes_by: &[GoesBy::Prefixes, GoesBy::Load],
    settings: &[Setting {
        name: "prefill_weight",
        kind: SettingKind::Ratio { max: 10_000_000 },
        default: 250_000,
        about: "cost of a prompt token relative to an output token",
    }],
    build: |spec| {
        Box::new(PrefixCacheAware {
            prefill_weight: spec.ratio("prefill_weight"),
            index: PrefixIndex::default(),
            list: Shortlist::default(),
        })
    },
};

/// Nodes drawn in large tiers.
const CHOICES: usize = 8;

#[derive(Debug)]
struct PrefixCacheAware {
    prefill_weight: f64,
    index: PrefixIndex,
    list: Shortlist,
}

impl PrefixCacheAware {
    fn parts(&self, context: &PickContext<'_>, id: NodeId) -> (f64, f64) {
        let node = context.node(id);
        let weight = f64::from(node.spec.weight);
        let new = self.index.uncached(context.request, id);
        let prefill = (node.ledger.prompt + new).0 as f64 * self.prefill_weight;
        let decode = (node.ledger.output + context.expected_output).0 as f64;
        (prefill / weight, decode / weight)
    }
}

impl Strategy for PrefixCacheAware {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let mut list = std::mem::take(&mut self.list);
        context.shortlist(CHOICES, &mut list, rng);
        self.index.look_up(context, &mut list);
        let picked = pick_least(context, list.nodes().iter().copied(), rng, why, |id| {
            let (prefill, decode) = self.parts(context, id);
            (context.against_failure(context.node(id), prefill + decode), 0.0)
        });
        self.list = list;
        picked
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        let (prefill, decode) = self.parts(context, node);
        Terms::NONE.with(Term::Prefill, prefill).with(Term::Decode, decode)
    }

    fn memo(&self, context: &PickContext<'_>, node: NodeId) -> Option<Memo> {
        self.index.memo(context, node)
    }

    fn learn(&mut self, _: Time, fact: &Fact<'_>, _: &Fleet) {
        self.index.learn(fact);
    }
}
