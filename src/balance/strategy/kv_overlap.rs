//! KV overlap: as NVIDIA Dynamo's router, everything counted in blocks of the KV cache.
//!
//! `cost = prefill_scale * max(0, (active prefill tokens + prompt) / block - overlap_credit * matched
//! blocks) + decode blocks`, the least wins; with a temperature above zero a node is drawn with
//! probability `exp(-cost / (temperature * range of costs))`. Knows no speed, no answer length.

use super::prefix_index::PrefixIndex;
use super::{
    Fact, GoesBy, Memo, PickContext, Setting, SettingKind, Shortlist, Strategy, StrategyDef,
    TypicalCost, pick_least,
};
use crate::balance::fleet::Fleet;
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "kv_overlap",
    summary: "as Dynamo's KV router: prefill blocks less cached ones, plus decode blocks",
    when: "to compare with Dynamo; similar engines with prefix caches",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "NVIDIA Dynamo kv-router",
    goes_by: &[GoesBy::Prefixes, GoesBy::Load],
    settings: &[
        Setting {
            name: "prefill_scale",
            kind: SettingKind::Ratio { max: 100_000_000 },
            default: 1_000_000,
            about: "cost of a block to prefill relative to one that decodes",
        },
        Setting {
            name: "overlap_credit",
            kind: SettingKind::Ratio { max: 100_000_000 },
            default: 1_000_000,
            about: "blocks taken off for a matched block",
        },
        Setting {
            name: "temperature",
            kind: SettingKind::Ratio { max: 100_000_000 },
            default: 0,
            about: "above zero nodes are drawn by their costs",
        },
    ],
    build: |spec| {
        Box::new(KvOverlap {
            prefill_scale: spec.ratio("prefill_scale"),
            credit: spec.ratio("overlap_credit"),
            temperature: spec.ratio("temperature"),
            index: PrefixIndex::default(),
            list: Shortlist::default(),
            typical: TypicalCost::default(),
        })
    },
};

/// Tokens of a block of the KV cache.
const BLOCK: f64 = 16.0;
/// Nodes drawn in large tiers.
const CHOICES: usize = 8;

#[derive(Debug)]
struct KvOverlap {
    prefill_scale: f64,
    credit: f64,
    temperature: f64,
    index: PrefixIndex,
    list: Shortlist,
    typical: TypicalCost,
}

impl KvOverlap {
    /// (prefill, decode) in blocks.
    fn parts(&self, context: &PickContext<'_>, id: NodeId) -> (f64, f64) {
        let ledger = &context.node(id).ledger;
        let prompt = context.request.prompt;
        let matched = prompt.less(self.index.uncached(context.request, id)).0 as f64 / BLOCK;
        let prefill = (ledger.prompt + prompt).0 as f64 / BLOCK - self.credit * matched;
        (self.prefill_scale * prefill.max(0.0), ledger.kv.0 as f64 / BLOCK)
    }
}

impl Strategy for KvOverlap {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let mut list = std::mem::take(&mut self.list);
        context.shortlist(CHOICES, &mut list, rng);
        self.index.look_up(context, &mut list);
        let cost = |id| {
            let (prefill, decode) = self.parts(context, id);
            self.typical.against_failure(context, id, prefill + decode)
        };
        let nodes = list.nodes().iter().copied();
        let picked = if self.temperature > 0.0 {
            let costs = || nodes.clone().map(cost);
            let (low, high) = costs().fold((f64::INFINITY, 0.0_f64), |(low, high), cost| {
                (low.min(cost), high.max(cost))
            });
            let heat = (self.temperature * (high - low)).max(f64::MIN_POSITIVE);
            // The least of `cost - heat * Gumbel` is a draw from the softmax of `-cost / heat`.
            let mut side = Rng::from_key(rng.bits());
            let mut noise = || (-side.unit().max(f64::MIN_POSITIVE).ln()).ln();
            pick_least(context, nodes, rng, why, |id| (cost(id) + heat * noise(), 0.0))
        } else {
            pick_least(context, nodes, rng, why, |id| (cost(id), 0.0))
        };
        let mut plain = *why;
        if let (Some(node), true) = (picked, self.temperature > 0.0) {
            // The noise is as large as costs differ, and these depend on what is learnt here: with
            // it both would grow without end.
            plain.chosen.score = cost(node);
        }
        self.list = list;
        self.typical.learn(context, &plain);
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
