//! What a strategy saw of every node when it chose one, in full.

use super::outcome::Attempt;
use super::state::NodeState;
use super::why::{Terms, Why};
use crate::unit::{NodeId, Time, Tokens};

/// Of larger tiers an explanation tells the nodes looked at and counts the others.
pub const CANDIDATES_MAX: usize = 256;

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
    /// It is not of the model that the request names.
    Model,
    /// Another node has what the request goes on from.
    Home,
    /// It was tried before.
    Tried,
    /// It is in the region of the node that is late: a hedge goes elsewhere first.
    Domain,
    /// It is asked with a credential that was refused to this request.
    Credential,
    /// It refused this request, or would as others did: its word, its length, its provider's policy.
    Refused,
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
            Filter::Model => "is of another model",
            Filter::Home => "another one's session",
            Filter::Tried => "tried before",
            Filter::Domain => "same region",
            Filter::Credential => "credential refused",
            Filter::Refused => "request refused",
            Filter::Quota => "quota used up",
            Filter::SlowStart => "in slow start",
        }
    }
}
