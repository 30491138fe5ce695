//! Cache-aware as the SGLang router: the longest prefix match while loads are balanced.
//!
//! If the most loaded node has more than `abs` requests above the least loaded and more than `rel` times
//! as many, the least loaded gets the request. Else, if the longest match is longer than `threshold` of
//! the prompt, its holder does, otherwise the least loaded. A baseline: the imbalance branch throws
//! locality away, and the switch flips at its thresholds.

use super::prefix_index::PrefixIndex;
use super::{
    Fact, GoesBy, Memo, PickContext, Setting, SettingKind, Shortlist, Strategy, StrategyDef,
    least_connections, pick_least,
};
use crate::balance::fleet::Fleet;
use crate::balance::spec::Signal;
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "cache_aware_sglang",
    summary: "as the SGLang router: longest prefix match while balanced, else least loaded",
    when: "to compare with SGLang; otherwise prefix_cache_aware",
    cost: "O(n)",
    source: "SGLang router, cache_aware policy",
    goes_by: &[GoesBy::Prefixes, GoesBy::Load],
    settings: &[
        Setting {
            name: "threshold",
            kind: SettingKind::Ratio { max: 1_000_000 },
            default: 300_000,
            about: "share of the prompt from which a match counts",
        },
        Setting {
            name: "abs",
            kind: SettingKind::Count { min: 0, max: 1_000_000 },
            default: 64,
            about: "requests between the most and the least loaded node that are still balance",
        },
        Setting {
            name: "rel",
            kind: SettingKind::Ratio { max: 1_000_000_000 },
            default: 1_500_000,
            about: "ratio of the most to the least loaded node that is still balance",
        },
    ],
    build: |spec| {
        Box::new(CacheAware {
            threshold: spec.ratio("threshold"),
            abs: spec.count("abs") as f64,
            rel: spec.ratio("rel"),
            index: PrefixIndex::default(),
            list: Shortlist::default(),
        })
    },
};

#[derive(Debug)]
struct CacheAware {
    threshold: f64,
    abs: f64,
    rel: f64,
    index: PrefixIndex,
    list: Shortlist,
}

impl Strategy for CacheAware {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let loads = || context.candidates().map(|id| f64::from(context.node(id).ledger.requests));
        let most = loads().fold(0.0, f64::max);
        let fewest = loads().fold(f64::INFINITY, f64::min);
        let imbalanced = most - fewest > self.abs && most > self.rel * fewest;
        let mut list = std::mem::take(&mut self.list);
        list.clear();
        self.index.look_up(context, &mut list);
        self.list = list;
        let threshold = self.threshold;
        pick_least(context, context.candidates(), rng, why, |id| {
            let matched = self.index.match_rate(context.request, id);
            // Matches above the threshold come first, the longest of them foremost.
            let matched = if imbalanced || matched <= threshold { 0.0 } else { matched };
            let load = least_connections::cost(context, Signal::Own, id);
            (if matched > 0.0 { 1.0 - matched } else { 1.0 + load }, load)
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        let new = self.index.uncached(context.request, node).0 as f64;
        Terms::NONE
            .with(Term::Load, least_connections::load(context, Signal::Own, node))
            .with(Term::Prefill, new)
    }

    fn memo(&self, context: &PickContext<'_>, node: NodeId) -> Option<Memo> {
        self.index.memo(context, node)
    }

    fn learn(&mut self, _: Time, fact: &Fact<'_>, _: &Fleet) {
        self.index.learn(fact);
    }
}
