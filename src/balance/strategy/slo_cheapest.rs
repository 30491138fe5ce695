//! SLO, then price: the cheapest node that is predicted to keep the objective.
//!
//! Among the nodes whose predicted time to the first token and time per token are within the objective,
//! the one on which the request costs least; equals by predicted seconds. If none is, the one predicted
//! to be done first. Hysteresis: a node that was over has to be predicted below 80 % of the objective
//! before it counts as within again, so that traffic does not swing at the limit.

use super::predict::Prediction;
use super::shortest_expected::{Eye, seconds};
use super::{
    Fact, GoesBy, Memo, PickContext, Setting, SettingKind, Strategy, StrategyDef, cheapest,
};
use crate::balance::fleet::Fleet;
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Span, Time};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "slo_cheapest",
    summary: "the cheapest node that is predicted to keep the objective",
    when: "cheap slow and dear fast nodes of one model, with a latency objective",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "lexicographic: objective, then price; shape x speed prediction",
    goes_by: &[GoesBy::Prices, GoesBy::Latency],
    settings: &[
        Setting {
            name: "first_token",
            kind: SettingKind::Span { min: Span::from_millis(1), max: Span::from_secs(86_400) },
            default: 2_000_000_000,
            about: "objective for the time to the first token",
        },
        Setting {
            name: "per_token",
            kind: SettingKind::Span { min: Span(1_000), max: Span::from_secs(3_600) },
            default: 100_000_000,
            about: "objective for the time per token after it",
        },
    ],
    build: |spec| {
        Box::new(SloCheapest {
            first_token: spec.span("first_token").seconds(),
            per_token: spec.span("per_token").seconds(),
            eye: Eye::doubting(),
            over: Vec::new(),
        })
    },
};

/// A node comes back below this share of the objective.
const BACK: f64 = 0.8;
/// Farther than any price.
const FAR: f64 = 1e9;

#[derive(Debug)]
struct SloCheapest {
    first_token: f64,
    per_token: f64,
    eye: Eye,
    /// By seat: whether the node was last predicted to be over the objective.
    over: Vec<bool>,
}

impl SloCheapest {
    /// The largest share of its objective that a prediction takes.
    fn share(&self, prediction: &Prediction) -> f64 {
        (prediction.ttft / self.first_token).max(prediction.tpot / self.per_token)
    }
}

impl Strategy for SloCheapest {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        if self.over.len() < context.members().len() {
            self.over.resize(context.members().len(), false);
        }
        let mut eye = std::mem::take(&mut self.eye);
        let mut over = std::mem::take(&mut self.over);
        let picked = eye.pick_least(context, rng, why, |id, prediction| {
            let node = context.node(id);
            let was_over = &mut over[node.seat as usize];
            *was_over = self.share(prediction) > if *was_over { BACK } else { 1.0 };
            let seconds = context.against_failure(node, seconds(context, prediction));
            if *was_over || node.success(context.now) < 0.9 {
                (FAR + seconds, 0.0)
            } else {
                (cheapest::dollars(context, id), seconds)
            }
        });
        (self.eye, self.over) = (eye, over);
        picked
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        let prediction = self.eye.predict(context, node);
        Terms::NONE
            .with(Term::Ttft, prediction.ttft)
            .with(Term::Tpot, prediction.tpot)
            .with(Term::Dollars, cheapest::dollars(context, node))
    }

    fn memo(&self, context: &PickContext<'_>, node: NodeId) -> Option<Memo> {
        Some(self.eye.memo(context, node))
    }

    fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        self.eye.learn(now, fact, fleet);
    }
}
