//! Explanations: what a strategy saw of every node when it chose one, in full.
//!
//! Made only for the requests that somebody asks about; free otherwise. An explanation is computed
//! at the moment of the decision, from the very state it was made on, not reconstructed.

use std::cell::RefCell;

use super::strategy::{PickContext, Strategy};
use super::vocabulary::explanation::{CANDIDATES_MAX, Candidate, Explanation, Verdict};
use super::vocabulary::outcome::Attempt;
use super::vocabulary::why::Why;
use crate::unit::{NodeId, RequestId};

/// Whose decisions are explained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Explain {
    /// Nobody's.
    #[default]
    Off,
    /// Those of one request.
    One(RequestId),
    /// All.
    All,
}

impl Explain {
    #[inline]
    fn wants(self, request: RequestId) -> bool {
        match self {
            Explain::Off => false,
            Explain::One(one) => one == request,
            Explain::All => true,
        }
    }
}

/// Makes explanations, where somebody asks for any.
#[derive(Debug, Default)]
pub(super) struct Explainer {
    whose: Explain,
    /// Nodes looked at for the decision that is being explained.
    looked_at: RefCell<Vec<(NodeId, f64)>>,
}

impl Explainer {
    /// Says whose decisions are to be explained from now on.
    pub(super) const fn ask(&mut self, whose: Explain) {
        self.whose = whose;
    }

    /// Returns whether any decision is to be explained.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.whose != Explain::Off
    }

    /// Returns whether the decisions of a request are to be explained.
    #[inline]
    pub(super) fn wants(&self, request: RequestId) -> bool {
        self.whose.wants(request)
    }

    /// Begins to listen to a strategy: what it looked at before and did not choose is not asked about.
    pub(super) fn listen(&self) -> &RefCell<Vec<(NodeId, f64)>> {
        self.looked_at.borrow_mut().clear();
        &self.looked_at
    }

    /// Explains the decision that was listened to.
    pub(super) fn explain(
        &self,
        context: &PickContext<'_>,
        strategy: &dyn Strategy,
        attempt: Attempt,
        why: &Why,
    ) -> Box<Explanation> {
        let looked_at = self.looked_at.take();
        Box::new(Explanation::of(context, strategy, attempt, why, &looked_at))
    }
}

impl Explanation {
    fn of(
        context: &PickContext<'_>,
        strategy: &dyn Strategy,
        attempt: Attempt,
        why: &Why,
        looked_at: &[(NodeId, f64)],
    ) -> Explanation {
        // Of a node looked at twice the last word counts.
        let mut scores = looked_at.to_vec();
        scores.reverse();
        scores.sort_by_key(|(node, _)| *node);
        scores.dedup_by_key(|(node, _)| *node);
        let score_of = |node: NodeId| {
            let place = scores.binary_search_by_key(&node, |(other, _)| *other).ok()?;
            Some(scores[place].1)
        };
        let members = context.members();
        let mut shown = members.to_vec();
        if shown.len() > CANDIDATES_MAX {
            // The winner, then those looked at, the best first, then the others.
            let rank = |node: NodeId| match score_of(node) {
                _ if node == why.chosen.node => (0, 0.0),
                Some(score) => (1, score),
                None => (2, 0.0),
            };
            shown.retain(|&node| rank(node).0 < 2);
            shown.sort_by(|&a, &b| {
                let (a, b) = (rank(a), rank(b));
                a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
            });
            shown.truncate(CANDIDATES_MAX);
            shown.sort_unstable();
        }
        let candidates: Vec<Candidate> = shown
            .into_iter()
            .map(|id| {
                let node = context.node(id);
                let score = score_of(id);
                let verdict = if id == why.chosen.node {
                    Verdict::Chosen(score.unwrap_or(why.chosen.score))
                } else if let Some(score) = score {
                    Verdict::LookedAt(score)
                } else if let Some(filter) = context.filter(id) {
                    Verdict::Filtered(filter)
                } else {
                    Verdict::NotDrawn
                };
                Candidate {
                    node: id,
                    verdict,
                    terms: strategy.terms(context, id),
                    success: node.success(context.now),
                    in_flight: node.ledger.requests,
                }
            })
            .collect();
        let omitted = members.len() - candidates.len();
        let expected_output = context.expected_output;
        Explanation { attempt, at: context.now, expected_output, why: *why, candidates, omitted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_asked_about_is_explained() {
        let mut explainer = Explainer::default();
        let wants = |explainer: &Explainer| [1, 2].map(|id| explainer.wants(RequestId(id)));
        assert!(!explainer.is_on());
        assert_eq!(wants(&explainer), [false, false]);
        explainer.ask(Explain::One(RequestId(2)));
        assert_eq!((explainer.is_on(), wants(&explainer)), (true, [false, true]));
        explainer.ask(Explain::All);
        assert_eq!(wants(&explainer), [true, true]);
    }

    #[test]
    fn what_was_looked_at_before_is_forgotten() {
        let explainer = Explainer::default();
        explainer.listen().borrow_mut().push((NodeId(1), 0.5));
        assert!(explainer.listen().borrow().is_empty());
    }
}
