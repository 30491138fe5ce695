//! Budget-paced: the fastest that the budget allows, by a price on dollars that follows the spending.
//!
//! `cost = (TTFT + expected output * TPOT + rate * dollars) / success probability`. The rate of exchange
//! is the multiplier of the constraint "spend no more than the budget", found by dual ascent while it runs
//! (online Lagrangian): `debt <- max(0, debt + spent - budget * dt)` and `rate = stiffness * debt /
//! (budget of a minute)` seconds a dollar. Below the budget the fastest node wins; above it dollars get
//! dearer until spending is back.

use super::shortest_expected::{Eye, seconds};
use super::{
    Fact, GoesBy, Memo, PickContext, Setting, SettingKind, Strategy, StrategyDef, cheapest,
};
use crate::balance::fleet::Fleet;
use crate::balance::vocabulary::{Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "budget_paced",
    summary: "the fastest that a budget of dollars an hour allows",
    when: "a fixed budget, dear fast and cheap slow nodes of one model",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "online Lagrangian pacing, as in ParetoBandit, arXiv 2604.00136",
    goes_by: &[GoesBy::Prices, GoesBy::Latency],
    settings: &[
        Setting {
            name: "dollars_per_hour",
            kind: SettingKind::Ratio { max: 1_000_000_000_000 },
            default: 10_000_000,
            about: "what may be spent on tokens",
        },
        Setting {
            name: "stiffness",
            kind: SettingKind::Ratio { max: 1_000_000_000_000 },
            default: 1_000_000_000,
            about: "seconds a dollar is worth when the debt is a minute's budget",
        },
    ],
    build: |spec| {
        Box::new(BudgetPaced {
            per_second: spec.ratio("dollars_per_hour").max(1e-6) / 3_600.0,
            stiffness: spec.ratio("stiffness"),
            debt: 0.0,
            stamp: Time::ZERO,
            eye: Eye::doubting(),
        })
    },
};

#[derive(Debug)]
struct BudgetPaced {
    /// Dollars.
    per_second: f64,
    stiffness: f64,
    /// Dollars.
    debt: f64,
    stamp: Time,
    eye: Eye,
}

impl BudgetPaced {
    fn rate(&self) -> f64 {
        self.stiffness * self.debt / (60.0 * self.per_second)
    }

    fn book(&mut self, now: Time, dollars: f64) {
        let allowed = self.per_second * now.since(self.stamp).seconds();
        self.debt = (self.debt + dollars - allowed).max(0.0);
        self.stamp = now;
    }
}

impl Strategy for BudgetPaced {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        self.book(context.now, 0.0);
        let rate = self.rate();
        self.eye.pick_least(context, rng, why, |id, prediction| {
            let cost = seconds(context, prediction) + rate * cheapest::dollars(context, id);
            (context.against_failure(context.node(id), cost), 0.0)
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        let prediction = self.eye.predict(context, node);
        Terms::NONE
            .with(Term::Ttft, prediction.ttft)
            .with(Term::Decoding, seconds(context, &prediction) - prediction.ttft)
            .with(Term::Price, self.rate() * cheapest::dollars(context, node))
    }

    fn memo(&self, context: &PickContext<'_>, node: NodeId) -> Option<Memo> {
        Some(self.eye.memo(context, node))
    }

    fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        if let Fact::Ended { node, usage, .. } = *fact {
            self.book(now, fleet.node(node).spec.prices.of(&usage).dollars());
        }
        self.eye.learn(now, fact, fleet);
    }
}
