//! The oracle: a bound on what a strategy could do, which reads the truth.
//!
//! For every candidate it asks the simulated node itself what this request would cost there if nothing
//! more came (`SimNode::outlook`): the seconds to its own last token, and those by which all others on the
//! node end later, with true lengths, speeds and remaining work. It picks the least sum. That is the
//! clairvoyant greedy of scheduling: strong, and no lower bound, since it does not see what arrives or
//! fails later; a strategy that keeps fast nodes free for what comes may beat it. All candidates are
//! asked, in fleets of any size.
//!
//! The balancer cannot name a truth, so this stands outside of it: the driver lends the oracle a view
//! of the world while the balancer decides, by exchanging what the view holds for what the world does,
//! and takes it back right after. It never looks at what a network has not delivered to a node but as work on its way.

#![expect(
    clippy::disallowed_types,
    reason = "a strategy must be Send; one thread drives a simulation, so nobody waits for the lock"
)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::request::SimRequest;
use crate::balance::{
    Attempt, Fact, Fleet, PickContext, Request, Scored, Strategy, Term, Terms, Why,
};
use crate::id_map::IdMap;
use crate::node::{Outlook, SimNode, Work};
use crate::rng::Rng;
use crate::unit::{NodeId, Time};

/// What the oracle looks at; empty but while the balancer decides.
#[derive(Debug, Default)]
pub(super) struct OracleView {
    pub(super) nodes: Vec<SimNode>,
    pub(super) requests: IdMap<SimRequest>,
    /// Attempts under way to their nodes.
    pub(super) on_way: Vec<(NodeId, Work)>,
    /// Those that the balancer has sent since the view was lent.
    pub(super) sent: Vec<(NodeId, Work)>,
}

/// A way to the view: the driver's, and one for each oracle.
#[derive(Clone, Debug, Default)]
pub(super) struct OracleHandle(Arc<Mutex<OracleView>>);

impl OracleHandle {
    pub(super) fn view(&self) -> MutexGuard<'_, OracleView> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an oracle that looks at this view.
    pub(super) fn strategy(&self) -> Box<dyn Strategy> {
        Box::new(Oracle { handle: self.clone() })
    }
}

impl OracleView {
    fn work(&self, request: &Request) -> Option<Work> {
        let known = self.requests.get(request.id)?;
        Some(known.work(Attempt { request: request.id, ordinal: known.dispatched }))
    }

    fn outlook(&self, now: Time, request: &Request, node: NodeId) -> Option<Outlook> {
        let work = self.work(request)?;
        let blocks = self.requests.get(request.id)?.blocks();
        let bound = self.on_way.iter().chain(&self.sent).filter(|(to, _)| *to == node);
        let before: Vec<Work> = bound.map(|(_, work)| *work).collect();
        self.nodes.get(node.index())?.outlook(now, &before, &work, blocks)
    }
}

#[derive(Debug)]
struct Oracle {
    handle: OracleHandle,
}

/// Where it would fail it costs more than anywhere else.
fn cost(outlook: Option<Outlook>) -> f64 {
    outlook.map_or(f64::INFINITY, |outlook| outlook.own + outlook.others)
}

impl Strategy for Oracle {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let view = self.handle.view();
        let mut best: Option<(NodeId, f64)> = None;
        let mut second: Option<(NodeId, f64)> = None;
        let mut ties = 0;
        for node in context.candidates() {
            why.considered += 1;
            let this = cost(view.outlook(context.now, context.request, node));
            context.looked_at(node, this);
            match best {
                Some((_, least)) if this > least => {
                    if second.is_none_or(|(_, cost)| this < cost) {
                        second = Some((node, this));
                    }
                    continue;
                }
                Some((_, least)) if this.total_cmp(&least).is_eq() => {
                    // The k-th equal takes the place with probability 1/k: a uniform draw.
                    ties += 1;
                    if rng.below(ties) != 0 {
                        second = Some((node, this));
                        continue;
                    }
                }
                _ => ties = 1,
            }
            second = best;
            best = Some((node, this));
        }
        let (node, score) = best?;
        why.chosen = Scored { node, score, terms: Terms::NONE };
        why.runner_up = second.map(|(node, score)| Scored { node, score, terms: Terms::NONE });
        Some(node)
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        match self.handle.view().outlook(context.now, context.request, node) {
            Some(Outlook { own, others }) => {
                Terms::NONE.with(Term::Latency, own).with(Term::Others, others)
            }
            None => Terms::NONE,
        }
    }

    fn learn(&mut self, _: Time, fact: &Fact<'_>, _: &Fleet) {
        // The node itself hears of it only when the balancer has said all it has to say.
        if let Fact::Dispatched { node, request } = *fact {
            let mut view = self.handle.view();
            if let Some(work) = view.work(request) {
                view.sent.push((node, work));
            }
        }
    }
}
