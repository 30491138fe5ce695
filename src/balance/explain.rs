//! Explanations: what a strategy saw of every node when it chose one, in full.
//!
//! Made only for the requests that somebody asks about; free otherwise. An explanation is computed
//! at the moment of the decision, from the very state it was made on, not reconstructed.

use super::event::{Attempt, Terms, Why};
use super::fleet::NodeState;
use super::strategy::{PickContext, Strategy};
use crate::unit::{NodeId, RequestId, Time, Tokens};

/// Of larger tiers an explanation tells the nodes looked at and counts the others.
pub const CANDIDATES_MAX: usize = 256;

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
    pub(super) fn wants(self, request: RequestId) -> bool {
        match self {
            Explain::Off => false,
            Explain::One(one) => one == request,
            Explain::All => true,
        }
    }
}

/// A decision in full.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The try it was made for.
    pub attempt: Attempt,
    /// When.
    pub at: Time,
    /// Tokens the answer is expected to have.
    pub expected_output: Tokens,
    /// What travels with the dispatch: route, pool, tier, strategy, winner and runner-up.
    pub why: Why,
    /// The nodes of the tier in file order, at most [`CANDIDATES_MAX`] of them.
    pub candidates: Vec<Candidate>,
    /// Nodes of the tier that are not in the list.
    pub omitted: usize,
}

/// A node as a decision saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// What became of it.
    pub verdict: Verdict,
    /// The additive terms of its score, before division by the success probability.
    pub terms: Terms,
    /// The probability that it succeeds, as far as is known.
    pub success: f64,
    /// Attempts in flight on it.
    pub in_flight: u32,
}

/// What became of a node in a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Chosen, with this score; not a number where the strategy does not score.
    Chosen(f64),
    /// Looked at, with this score.
    LookedAt(f64),
    /// Allowed, but not drawn or not reached.
    NotDrawn,
    /// Not allowed.
    Filtered(Filter),
}

/// Why a node was not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// It is not up.
    State(NodeState),
    /// It has as much in flight as it may, or too much for the whole batch.
    Full,
    /// It is not in the region whose nodes were asked alone.
    Region,
    /// It lacks a tag that the route requires.
    Tags,
    /// It was tried before.
    Tried,
    /// It is in the region of the node that is late: a hedge goes elsewhere first.
    Domain,
    /// It is asked with a credential that was refused to this request.
    Credential,
    /// Its limits a minute are used up.
    Quota,
    /// It is in slow start and has had its share for now.
    SlowStart,
}

impl Filter {
    /// Returns the words for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Filter::State(state) => state.name(),
            Filter::Full => "full",
            Filter::Region => "another region",
            Filter::Tags => "lacks a tag",
            Filter::Tried => "tried before",
            Filter::Domain => "same region",
            Filter::Credential => "credential refused",
            Filter::Quota => "quota used up",
            Filter::SlowStart => "in slow start",
        }
    }
}

impl Explanation {
    pub(super) fn of(
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
