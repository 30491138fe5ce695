//! Shortest expected: the node on which this request is predicted to be done first.
//!
//! `cost = (TTFT + expected output * TPOT) / success probability`, in seconds, predicted by `predict`
//! from what earlier answers took, as far as chance does not explain it. Selfish: what the request costs
//! the others on the node is not seen. One request in a hundred, of those that do not matter much, tries a
//! node that nothing was heard of for half a minute.

use super::predict::{Prediction, Predictor};
use super::prefix_index::PrefixIndex;
use super::{Fact, GoesBy, Memo, PickContext, Shortlist, Strategy, StrategyDef, pick_least};
use crate::balance::fleet::Fleet;
use crate::balance::vocabulary::{Priority, Scored, Term, Terms, Why};
use crate::rng::Rng;
use crate::unit::{NodeId, Span, Time};

pub(super) const DEF: StrategyDef = StrategyDef {
    name: "shortest_expected",
    summary: "the node on which this request is predicted to be done first",
    when: "nodes of unlike or changing speed, when each request counts for itself only",
    cost: "O(n) up to 128 nodes, O(1) beyond",
    source: "shape x speed prediction, selfish",
    goes_by: &[GoesBy::Latency],
    settings: &[],
    build: |_| Box::new(ShortestExpected { eye: Eye::doubting() }),
};

/// Nodes drawn in large tiers.
const CHOICES: usize = 8;
/// A node not heard of for so long may be explored.
const FORGOTTEN: Span = Span::from_secs(30);
/// A node that has failed and is idle is tried so often.
const TRY_EVERY: Span = Span::from_secs(1);
/// Share of requests that try such a node, where nothing else is said.
pub(super) const EXPLORE: f64 = 0.01;

/// What the strategies that predict have in common: the predictor, the prefix index and the nodes
/// worth a look.
#[derive(Debug, Default)]
pub(super) struct Eye {
    pub(super) predictor: Predictor,
    pub(super) index: PrefixIndex,
    pub(super) list: Shortlist,
    /// Share of requests that try a node not heard of.
    explore: f64,
}

impl Eye {
    /// One whose predictor doubts, and which explores: for strategies that take the least whatever it is.
    pub(super) fn doubting() -> Eye {
        let (index, list) = (PrefixIndex::default(), Shortlist::default());
        Eye { predictor: Predictor::doubting(), index, list, explore: EXPLORE }
    }

    /// Tries a node that nothing has been heard of for long, whatever it costs: predictions of it go back to
    /// those of its kind, and would be all that is ever known of it. `share` of all requests ask, none
    /// that matter much.
    pub(super) fn try_forgotten(
        &self,
        context: &PickContext<'_>,
        share: f64,
        rng: &mut Rng,
        why: &mut Why,
    ) -> Option<NodeId> {
        if share <= 0.0 || context.request.priority <= Priority::High || rng.unit() >= share {
            return None;
        }
        let id = context.draw(rng)?;
        let node = context.node(id);
        let heard = self.predictor.heard(node.seat as usize);
        let long_ago = heard.is_none_or(|at| context.now.since(at) > FORGOTTEN);
        if !long_ago || node.ledger.requests > 0 || node.success(context.now) <= 0.9 {
            return None;
        }
        context.looked_at(id, f64::NAN);
        why.considered = 1;
        why.chosen = Scored::unscored(id);
        Some(id)
    }

    /// Picks the node with the least `cost`, which is given the prediction.
    pub(super) fn pick_least(
        &mut self,
        context: &PickContext<'_>,
        rng: &mut Rng,
        why: &mut Why,
        mut cost: impl FnMut(NodeId, &Prediction) -> (f64, f64),
    ) -> Option<NodeId> {
        if let Some(node) = self.try_forgotten(context, self.explore, rng, why) {
            return Some(node);
        }
        let mut list = std::mem::take(&mut self.list);
        self.look(context, &mut list, rng);
        if let Some(node) = self.try_returned(context, list.nodes(), why) {
            self.list = list;
            return Some(node);
        }
        let picked = pick_least(context, list.nodes().iter().copied(), rng, why, |id| {
            cost(id, &self.predict(context, id))
        });
        self.list = list;
        picked
    }

    /// Tries a node that has come back with the next request, one at a time until it is known again, and one
    /// that has failed and is idle since with one a second, whatever it costs: where all are alike it would
    /// be no better than the others, and so be left idle long after it is well, or be ill and never found
    /// out.
    fn try_returned(
        &mut self,
        context: &PickContext<'_>,
        nodes: &[NodeId],
        why: &mut Why,
    ) -> Option<NodeId> {
        let returned = |id: &&NodeId| {
            let (node, seat) = (context.node(**id), context.node(**id).seat as usize);
            let unknown = || node.is_half_open() || self.predictor.is_unknown(seat);
            let doubted = || {
                node.success(context.now) < 1.0
                    && context.now.since(self.predictor.tried(seat)) >= TRY_EVERY
            };
            node.ledger.requests == 0 && (unknown() || doubted())
        };
        let id = *nodes.iter().find(returned)?;
        self.predictor.mark_tried(context.node(id).seat as usize, context.now);
        context.looked_at(id, f64::NAN);
        why.considered = 1;
        why.chosen = Scored::unscored(id);
        Some(id)
    }

    /// Finds the nodes worth a look and makes the predictor ready for them.
    pub(super) fn look(&mut self, context: &PickContext<'_>, list: &mut Shortlist, rng: &mut Rng) {
        context.shortlist(CHOICES, list, rng);
        self.index.look_up(context, list);
        self.predictor.refresh(context, list.nodes());
    }

    pub(super) fn predict(&self, context: &PickContext<'_>, id: NodeId) -> Prediction {
        let new = self.index.uncached(context.request, id);
        let mut prediction = self.predictor.predict(context, id, new);
        if self.index.evicts(id) {
            prediction.others += self.predictor.anew(context, id, new);
        }
        prediction
    }

    pub(super) fn memo(&self, context: &PickContext<'_>, id: NodeId) -> Memo {
        let mut memo = Predictor::memo(context, id, self.index.uncached(context.request, id));
        self.index.note(context, id, &mut memo);
        memo
    }

    pub(super) fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        self.index.learn(fact);
        self.predictor.learn(now, fact, fleet);
    }
}

/// Expected seconds of the whole answer.
pub(super) fn seconds(context: &PickContext<'_>, prediction: &Prediction) -> f64 {
    prediction.ttft + context.expected_output.0 as f64 * prediction.tpot
}

#[derive(Debug)]
struct ShortestExpected {
    eye: Eye,
}

impl Strategy for ShortestExpected {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        self.eye.pick_least(context, rng, why, |id, prediction| {
            (context.against_failure(context.node(id), seconds(context, prediction)), 0.0)
        })
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        let prediction = self.eye.predict(context, node);
        let decode = seconds(context, &prediction) - prediction.ttft;
        Terms::NONE.with(Term::Ttft, prediction.ttft).with(Term::Decoding, decode)
    }

    fn memo(&self, context: &PickContext<'_>, node: NodeId) -> Option<Memo> {
        Some(self.eye.memo(context, node))
    }

    fn learn(&mut self, now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        self.eye.learn(now, fact, fleet);
    }
}
