//! Why a node was chosen: small enough to travel with every dispatch.

use crate::balance::spec::node::Tier;
use crate::unit::{NodeId, PoolId, RouteId};

/// Why this node: small enough to travel with every dispatch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Why {
    /// The route that matched.
    pub route: RouteId,
    /// The pool chosen from.
    pub pool: PoolId,
    /// The tier chosen from.
    pub tier: Tier,
    /// The strategy's place in the registry.
    pub strategy: u8,
    /// Nodes that were allowed.
    pub candidates: u32,
    /// Nodes the strategy looked at.
    pub considered: u32,
    /// The winner.
    pub chosen: Scored,
    /// The next best of those looked at.
    pub runner_up: Option<Scored>,
    /// Whether the winner is ejected, and serves only because too few nodes are well.
    pub panic: bool,
}

/// A node and what the strategy made of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The node.
    pub node: NodeId,
    /// Its score; lower is better. Not a number where the strategy does not score.
    pub score: f64,
    /// The additive terms of the score, before division by the success probability.
    pub terms: Terms,
}

impl Scored {
    /// A node chosen without a score.
    #[must_use]
    pub const fn unscored(node: NodeId) -> Scored {
        Scored { node, score: f64::NAN, terms: Terms::NONE }
    }
}

/// At most this many terms make up a score.
pub(in crate::balance) const TERMS_MAX: usize = 6;

/// The additive terms of a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    terms: [(Term, f32); TERMS_MAX],
    len: u8,
}

impl Terms {
    /// No terms.
    pub const NONE: Terms = Terms { terms: [(Term::Load, 0.0); TERMS_MAX], len: 0 };

    /// Returns these terms and one more.
    ///
    /// # Panics
    /// If there are already six.
    #[must_use]
    pub fn with(mut self, term: Term, value: f64) -> Terms {
        assert!(usize::from(self.len) < TERMS_MAX, "a score has at most {TERMS_MAX} terms");
        self.terms[usize::from(self.len)] = (term, value as f32);
        self.len += 1;
        self
    }

    /// Returns the terms in the order they were added.
    #[must_use]
    pub fn as_slice(&self) -> &[(Term, f32)] {
        &self.terms[..usize::from(self.len)]
    }
}

/// What a term of a score stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Term {
    /// Requests in flight, this one included.
    Load,
    /// Tokens of prompts not answered yet, as decode-token equivalents.
    Prefill,
    /// Tokens still expected to come.
    Decode,
    /// What of the prompt is not cached, in the unit of the strategy.
    Prefix,
    /// Expected seconds.
    Latency,
    /// Expected dollars.
    Dollars,
    /// The queue, in the unit of the strategy.
    Queue,
    /// The KV cache, in the unit of the strategy.
    Kv,
    /// Predicted seconds to the first token.
    Ttft,
    /// Predicted seconds for each token after it.
    Tpot,
    /// Predicted seconds from the first token to the last.
    Decoding,
    /// Predicted seconds that other requests lose.
    Others,
    /// Seconds that wasted attempts are expected to cost.
    Wasted,
    /// Expected dollars, in seconds at the rate of exchange.
    Price,
    /// Predicted seconds of all that a strategy goes by, where something else decides for now.
    Predicted,
    /// The value of a person's own formula.
    Formula,
}

impl Term {
    /// Returns the name a table heading uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Term::Load => "load",
            Term::Prefill => "prefill",
            Term::Decode => "decode",
            Term::Prefix => "prefix",
            Term::Latency => "latency",
            Term::Dollars => "dollars",
            Term::Queue => "queue",
            Term::Kv => "kv",
            Term::Ttft => "ttft",
            Term::Tpot => "tpot",
            Term::Decoding => "decoding",
            Term::Others => "others",
            Term::Wasted => "wasted",
            Term::Price => "price",
            Term::Predicted => "predicted",
            Term::Formula => "formula",
        }
    }

    /// Returns whether it is a part of its score, and not only told beside it.
    #[must_use]
    pub const fn is_in_score(self) -> bool {
        !matches!(self, Term::Predicted)
    }

    /// Returns what it is counted in; `None` for a number that only its strategy understands.
    #[must_use]
    pub const fn unit(self) -> Option<TermUnit> {
        match self {
            Term::Load => Some(TermUnit::Requests),
            Term::Prefill | Term::Decode => Some(TermUnit::Tokens),
            Term::Dollars => Some(TermUnit::Dollars),
            Term::Latency
            | Term::Ttft
            | Term::Tpot
            | Term::Decoding
            | Term::Others
            | Term::Wasted
            | Term::Predicted
            | Term::Price => Some(TermUnit::Seconds),
            Term::Prefix | Term::Queue | Term::Kv | Term::Formula => None,
        }
    }
}

/// What a term of a score is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermUnit {
    /// Requests.
    Requests,
    /// Tokens.
    Tokens,
    /// Seconds.
    Seconds,
    /// Dollars.
    Dollars,
}
