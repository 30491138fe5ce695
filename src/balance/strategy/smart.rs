//! Smart: the least predicted cost to everybody, in seconds, with a way back when predictions fail.
//!
//! `cost = (ttft_weight * TTFT + L * TPOT + others * X + exchange * dollars) / p + (1 - p) / p * 3 C`
//!
//! TTFT, TPOT and X (the seconds that the node's other requests lose) are predicted by `predict`; L is the
//! expected length of the answer, p the node's success probability, C the mean time of answers, so the
//! second part is the price of a wasted attempt and another one. It is a model-based controller that is
//! calibrated as it runs, no black box: every term is in the explanation.
//!
//! Way back: while times to the first token were lately off by more than a factor of two, or no answer
//! was heard for a minute, the least outstanding tokens for the weight decide instead. Exploration: a node that has not been heard of for
//! thirty seconds, has nothing in flight and does not fail is tried by a small share of requests that are
//! not critical; speeds go back to the mean of their kind by themselves. In `shadow` mode the fallback
//! decides always and predictions are only learnt and explained.

use super::predict::Prediction;
use super::shortest_expected::Eye;
use super::{
    Fact, GoesBy, Memo, PickContext, Setting, SettingKind, Strategy, StrategyDef, cheapest,
};
use crate::balance::fleet::Fleet;
use crate::balance::vocabulary::{End, Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "smart",
    summary: "the least predicted cost to all requests, learnt while it runs",
    when: "nodes of unlike or changing speed, mixed lengths; little to gain on identical nodes",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "shape x speed: model-based control with online calibration",
    goes_by: &[GoesBy::Latency],
    settings: &[
        Setting {
            name: "ttft_weight",
            kind: SettingKind::Ratio { max: 1_000_000_000 },
            default: 3_000_000,
            about: "worth of a second to the first token, in seconds of the whole answer",
        },
        Setting {
            name: "others",
            kind: SettingKind::Ratio { max: 10_000_000 },
            default: 1_000_000,
            about: "worth of a second that others lose; 0 is selfish",
        },
        Setting {
            name: "exchange",
            kind: SettingKind::Ratio { max: 1_000_000_000_000 },
            default: 0,
            about: "seconds that a dollar is worth",
        },
        Setting {
            name: "explore",
            kind: SettingKind::Ratio { max: 10_000 },
            default: 5_000,
            about: "share of requests that try a node not heard of, at most 0.01",
        },
        Setting {
            name: "mode",
            kind: SettingKind::Choice(&["on", "shadow"]),
            default: 0,
            about: "shadow: predict and explain, but decide by outstanding tokens",
        },
    ],
    build: |spec| {
        Box::new(Smart {
            ttft_weight: spec.ratio("ttft_weight"),
            others: spec.ratio("others"),
            exchange: spec.ratio("exchange"),
            explore: spec.ratio("explore"),
            shadow: spec.is("mode", "shadow"),
            eye: Eye::default(),
            mean: 1.0,
        })
    },
};

/// What a node would have outstanding, prompts at a quarter, for its weight: two parts of a sum.
fn outstanding(context: &PickContext<'_>, id: NodeId) -> [f64; 2] {
    let (ledger, weight) = (&context.node(id).ledger, f64::from(context.node(id).spec.weight));
    let prefill = 0.25 * (ledger.prompt + context.request.prompt).0 as f64;
    [prefill / weight, (ledger.output + context.expected_output).0 as f64 / weight]
}

/// Predictions off by more than this lately are not used.
const OFF_MAX: f64 = 2.0;

#[derive(Debug)]
struct Smart {
    ttft_weight: f64,
    others: f64,
    exchange: f64,
    explore: f64,
    shadow: bool,
    eye: Eye,
    /// Smoothed time of answers, in seconds.
    mean: f64,
}

/// The additive terms, in seconds.
struct SmartCost {
    ttft: f64,
    decode: f64,
    others: f64,
    dollars: f64,
    wasted: f64,
}

impl Smart {
    fn parts(&self, context: &PickContext<'_>, id: NodeId, prediction: &Prediction) -> SmartCost {
        let success = context.node(id).success(context.now);
        let dollars = if self.exchange > 0.0 { cheapest::dollars(context, id) } else { 0.0 };
        SmartCost {
            ttft: self.ttft_weight * prediction.ttft,
            decode: context.expected_output.0 as f64 * prediction.tpot,
            others: self.others * prediction.others,
            dollars: self.exchange * dollars,
            wasted: (1.0 - success) * 3.0 * self.mean,
        }
    }

    fn fall_back(
        &mut self,
        context: &PickContext<'_>,
        rng: &mut Rng,
        why: &mut Why,
    ) -> Option<NodeId> {
        // The predictor looks all the same: what is sent now is what it learns from.
        self.eye.pick_least(context, rng, why, |id, _| {
            let [prefill, decode] = outstanding(context, id);
            (context.against_failure(context.node(id), prefill + decode), 0.0)
        })
    }

    /// Returns whether predictions do not decide now.
    fn falls_back(&self, context: &PickContext<'_>) -> bool {
        let predictor = &self.eye.predictor;
        self.shadow || predictor.off_by() > OFF_MAX || predictor.is_stale(context.now)
    }
}

impl Strategy for Smart {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        if self.falls_back(context) {
            return self.fall_back(context, rng, why);
        }
        if let Some(node) = self.eye.try_forgotten(context, self.explore, rng, why) {
            return Some(node);
        }
        let mut eye = std::mem::take(&mut self.eye);
        let picked = eye.pick_least(context, rng, why, |id, prediction| {
            let parts = self.parts(context, id, prediction);
            let SmartCost { ttft, decode, others, dollars, wasted } = parts;
            let cost = ttft + decode + others + dollars + wasted;
            (context.against_failure(context.node(id), cost), 0.0)
        });
        self.eye = eye;
        picked
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        let parts = self.parts(context, node, &self.eye.predict(context, node));
        if self.falls_back(context) {
            let SmartCost { ttft, decode, others, dollars, wasted } = parts;
            let chance = context.node(node).success(context.now);
            let predicted = (ttft + decode + others + dollars + wasted) / chance;
            let [prefill, decode] = outstanding(context, node);
            return Terms::NONE
                .with(Term::Prefill, prefill)
                .with(Term::Decode, decode)
                .with(Term::Predicted, predicted);
        }
        let terms = Terms::NONE
            .with(Term::Ttft, parts.ttft)
            .with(Term::Decoding, parts.decode)
            .with(Term::Others, parts.others)
            .with(Term::Wasted, parts.wasted);
        if self.exchange > 0.0 { terms.with(Term::Price, parts.dollars) } else { terms }
    }

    fn memo(&self, context: &PickContext<'_>, node: NodeId) -> Option<Memo> {
        Some(self.eye.memo(context, node))
    }

    fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        if let Fact::Ended { end: End::Done, took, .. } = *fact {
            self.mean += 0.02 * (took.seconds() - self.mean);
        }
        self.eye.learn(now, fact, fleet);
    }
}
