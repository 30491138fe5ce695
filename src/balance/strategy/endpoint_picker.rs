//! Endpoint picker: as the Gateway API inference extension, filters, weighted scorers, best score.
//!
//! Scorers give each node a number from 0 to 1, the weighted sum decides: `queue` is `(longest - own) /
//! (longest - shortest)`, `kv` is `1 - share of the KV cache in use`, `prefix` is the matched share of the
//! prompt. Queue and KV come from the node's report while it is fresh, else from the own ledger. The
//! shares have no common unit (queues of 0 and 1 score as far apart as 0 and 500): a baseline.

use super::prefix_index::PrefixIndex;
use super::{
    Fact, GoesBy, Memo, PickContext, Setting, SettingKind, Shortlist, Strategy, StrategyDef,
    pick_least,
};
use crate::balance::fleet::Fleet;
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

const WEIGHT: SettingKind = SettingKind::Ratio { max: 1_000_000_000 };

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "endpoint_picker",
    summary: "as the Gateway API inference extension: weighted scores of queue, KV and prefix",
    when: "to compare with llm-d and the inference gateway",
    cost: "O(n)",
    source: "llm-d inference scheduler, default profile",
    goes_by: &[GoesBy::Load, GoesBy::KvCache, GoesBy::Prefixes],
    settings: &[
        Setting { name: "queue", kind: WEIGHT, default: 2_000_000, about: "weight of the queue" },
        Setting { name: "kv", kind: WEIGHT, default: 2_000_000, about: "weight of the KV cache" },
        Setting { name: "prefix", kind: WEIGHT, default: 3_000_000, about: "weight of the match" },
    ],
    build: |spec| {
        Box::new(EndpointPicker {
            weights: [spec.ratio("queue"), spec.ratio("kv"), spec.ratio("prefix")],
            index: PrefixIndex::default(),
            list: Shortlist::default(),
            range: (0.0, 0.0, 1.0),
        })
    },
};

#[derive(Debug)]
struct EndpointPicker {
    weights: [f64; 3],
    index: PrefixIndex,
    list: Shortlist,
    /// Shortest and longest queue, and most tokens held, among the candidates of the last decision.
    range: (f64, f64, f64),
}

fn queue(context: &PickContext<'_>, id: NodeId) -> f64 {
    let node = context.node(id);
    context
        .fleet
        .report(id, context.now)
        .map_or_else(|| f64::from(node.ledger.requests), |report| f64::from(report.waiting))
}

impl EndpointPicker {
    /// Scores from 0 to 1: queue, KV, prefix.
    fn scores(&self, context: &PickContext<'_>, id: NodeId) -> [f64; 3] {
        let (shortest, longest, held) = self.range;
        let node = context.node(id);
        let spread = longest - shortest;
        let by_queue = if spread > 0.0 { (longest - queue(context, id)) / spread } else { 1.0 };
        let used = context
            .fleet
            .report(id, context.now)
            .map_or_else(|| node.ledger.kv.0 as f64 / held, |report| report.kv_used.value());
        [by_queue, 1.0 - used, self.index.match_rate(context.request, id)]
    }
}

impl Strategy for EndpointPicker {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let mut list = std::mem::take(&mut self.list);
        list.clear();
        self.index.look_up(context, &mut list);
        self.list = list;
        let queues = || context.candidates().map(|id| queue(context, id));
        let held = context.candidates().map(|id| context.node(id).ledger.kv.0).max()?;
        self.range = (
            queues().fold(f64::INFINITY, f64::min),
            queues().fold(0.0, f64::max),
            held.max(1) as f64,
        );
        let all: f64 = self.weights.iter().sum();
        pick_least(context, context.candidates(), rng, why, |id| {
            let scores = self.scores(context, id);
            let good: f64 =
                scores.iter().zip(&self.weights).map(|(score, weight)| score * weight).sum();
            (context.against_failure(context.node(id), 1.0 + all - good), 0.0)
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        let [queue, kv, prefix] = self.scores(context, node);
        let [by_queue, by_kv, by_prefix] = self.weights;
        Terms::NONE
            .with(Term::Queue, by_queue * (1.0 - queue))
            .with(Term::Kv, by_kv * (1.0 - kv))
            .with(Term::Prefix, by_prefix * (1.0 - prefix))
    }

    fn memo(&self, context: &PickContext<'_>, node: NodeId) -> Option<Memo> {
        self.index.memo(context, node)
    }

    fn learn(&mut self, _: Time, fact: &Fact<'_>, _: &Fleet) {
        self.index.learn(fact);
    }
}
