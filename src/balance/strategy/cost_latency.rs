//! Cost and latency in one score: predicted seconds plus dollars at a fixed rate of exchange.
//!
//! `cost = (TTFT + expected output * TPOT + exchange * dollars) / success probability`, in seconds. The
//! exchange says how many seconds of waiting a dollar is worth; at 0 this is shortest_expected, at a very
//! large value it is cheapest.

use super::shortest_expected::{Eye, seconds};
use super::{
    Fact, GoesBy, Memo, PickContext, Setting, SettingKind, Strategy, StrategyDef, cheapest,
};
use crate::balance::fleet::Fleet;
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "cost_latency",
    summary: "predicted seconds plus dollars at a fixed rate of exchange",
    when: "one model at several prices and speeds, when you can say what a second is worth",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "scalarisation; shape x speed prediction",
    goes_by: &[GoesBy::Prices, GoesBy::Latency],
    settings: &[Setting {
        name: "exchange",
        kind: SettingKind::Ratio { max: 1_000_000_000_000 },
        default: 1_000_000_000,
        about: "seconds that a dollar is worth",
    }],
    build: |spec| Box::new(CostLatency { exchange: spec.ratio("exchange"), eye: Eye::doubting() }),
};

#[derive(Debug)]
struct CostLatency {
    exchange: f64,
    eye: Eye,
}

impl Strategy for CostLatency {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let exchange = self.exchange;
        self.eye.pick_least(context, rng, why, |id, prediction| {
            let cost = seconds(context, prediction) + exchange * cheapest::dollars(context, id);
            (context.against_failure(context.node(id), cost), 0.0)
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        let prediction = self.eye.predict(context, node);
        Terms::NONE
            .with(Term::Ttft, prediction.ttft)
            .with(Term::Decoding, seconds(context, &prediction) - prediction.ttft)
            .with(Term::Price, self.exchange * cheapest::dollars(context, node))
    }

    fn memo(&self, context: &PickContext<'_>, node: NodeId) -> Option<Memo> {
        Some(self.eye.memo(context, node))
    }

    fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        self.eye.learn(now, fact, fleet);
    }
}
