//! Shortest expected: the node on which this request is predicted to be done first.
//!
//! `cost = (TTFT + expected output * TPOT) / success probability`, in seconds, predicted by `predict`
//! from what earlier answers took. Selfish: what the request costs the others on the node is not seen.

use super::predict::{Prediction, Predictor};
use super::prefix_index::PrefixIndex;
use super::{Ask, Entry, Fact, Memo, Shortlist, Strategy, least};
use crate::balance::event::{Term, Terms, Why};
use crate::balance::fleet::Fleet;
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

pub(super) const ENTRY: Entry = Entry {
    name: "shortest_expected",
    summary: "the node on which this request is predicted to be done first",
    when: "nodes of unlike or changing speed, when each request counts for itself only",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "shape x speed prediction, selfish",
    settings: &[],
    build: |_| Box::new(ShortestExpected { eye: Eye::default() }),
};

/// Nodes drawn in large tiers.
const CHOICES: usize = 8;

/// What the strategies that predict have in common: the predictor, the prefix index and the nodes
/// worth a look.
#[derive(Debug, Default)]
pub(super) struct Eye {
    pub(super) predictor: Predictor,
    pub(super) index: PrefixIndex,
    pub(super) list: Shortlist,
}

impl Eye {
    /// Picks the node with the least `cost`, which is given the prediction.
    pub(super) fn least(
        &mut self,
        ask: &Ask<'_>,
        rng: &mut Rng,
        why: &mut Why,
        mut cost: impl FnMut(NodeId, &Prediction) -> (f64, f64),
    ) -> Option<NodeId> {
        let mut list = std::mem::take(&mut self.list);
        self.look(ask, &mut list, rng);
        let picked = least(ask, list.nodes().iter().copied(), rng, why, |id| {
            cost(id, &self.predict(ask, id))
        });
        self.list = list;
        picked
    }

    /// Finds the nodes worth a look and makes the predictor ready for them.
    pub(super) fn look(&mut self, ask: &Ask<'_>, list: &mut Shortlist, rng: &mut Rng) {
        ask.shortlist(CHOICES, list, rng);
        self.index.look_up(ask, list);
        self.predictor.refresh(ask, list.nodes());
    }

    pub(super) fn predict(&self, ask: &Ask<'_>, id: NodeId) -> Prediction {
        self.predictor.predict(ask, id, self.index.uncached(ask.request, id))
    }

    pub(super) fn memo(&self, ask: &Ask<'_>, id: NodeId) -> Memo {
        Predictor::memo(ask, id, self.index.uncached(ask.request, id))
    }

    pub(super) fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        if let Fact::Dispatched { node, request } = *fact {
            self.index.insert(request, node);
        }
        self.predictor.learn(now, fact, fleet);
    }
}

/// Expected seconds of the whole answer.
pub(super) fn seconds(ask: &Ask<'_>, prediction: &Prediction) -> f64 {
    prediction.ttft + ask.expected_output.0 as f64 * prediction.tpot
}

#[derive(Debug)]
struct ShortestExpected {
    eye: Eye,
}

impl Strategy for ShortestExpected {
    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        self.eye.least(ask, rng, why, |id, prediction| {
            (ask.against_failure(ask.node(id), seconds(ask, prediction)), 0.0)
        })
    }

    fn terms(&self, ask: &Ask<'_>, node: NodeId) -> Terms {
        let prediction = self.eye.predict(ask, node);
        let decode = seconds(ask, &prediction) - prediction.ttft;
        Terms::NONE.with(Term::Ttft, prediction.ttft).with(Term::Decoding, decode)
    }

    fn memo(&self, ask: &Ask<'_>, node: NodeId) -> Option<Memo> {
        Some(self.eye.memo(ask, node))
    }

    fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        self.eye.learn(now, fact, fleet);
    }
}
