//! Budget-paced: the fastest that the budget allows, by a price on dollars that follows the spending.
//!
//! `cost = (TTFT + expected output * TPOT + rate * dollars) / success probability`. The rate of exchange
//! is the multiplier of the constraint "spend no more than the budget", found by dual ascent while it runs
//! (online Lagrangian): `debt <- max(0, debt + spent - budget * dt)` and `rate = stiffness * debt /
//! (budget of a minute)` seconds a dollar. Below the budget the fastest node wins; above it dollars get
//! dearer until spending is back.

use super::shortest_expected::{Eye, seconds};
use super::{Ask, Entry, Fact, Memo, Setting, SettingKind, Strategy, cheapest};
use crate::balance::event::{Term, Terms, Why};
use crate::balance::fleet::Fleet;
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

pub(super) const ENTRY: Entry = Entry {
    name: "budget_paced",
    summary: "the fastest that a budget of dollars an hour allows",
    when: "a fixed budget, dear fast and cheap slow nodes of one model",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "online Lagrangian pacing, as in ParetoBandit, arXiv 2604.00136",
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
            per_second: spec.ratio(0).max(1e-6) / 3_600.0,
            stiffness: spec.ratio(1),
            debt: 0.0,
            stamp: Time::ZERO,
            eye: Eye::default(),
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
    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        self.book(ask.now, 0.0);
        let rate = self.rate();
        self.eye.least(ask, rng, why, |id, prediction| {
            let cost = seconds(ask, prediction) + rate * cheapest::dollars(ask, id);
            (ask.against_failure(ask.node(id), cost), 0.0)
        })
    }

    fn terms(&self, ask: &Ask<'_>, node: NodeId) -> Terms {
        let prediction = self.eye.predict(ask, node);
        Terms::NONE
            .with(Term::Ttft, prediction.ttft)
            .with(Term::Decoding, seconds(ask, &prediction) - prediction.ttft)
            .with(Term::Price, self.rate() * cheapest::dollars(ask, node))
    }

    fn memo(&self, ask: &Ask<'_>, node: NodeId) -> Option<Memo> {
        Some(self.eye.memo(ask, node))
    }

    fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        if let Fact::Ended { node, usage, .. } = *fact {
            self.book(now, fleet.node(node).spec.prices.of(&usage).dollars());
        }
        self.eye.learn(now, fact, fleet);
    }
}
