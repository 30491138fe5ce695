//! Autoscaling as configured.

use crate::unit::{NodeId, Ratio, Span, Tokens};

/// What a group of nodes is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Tokens of requests in flight and waiting, a node: prompts and answers, the part of the answer
    /// that is still expected included.
    TokensInFlight(Tokens),
    /// Requests in flight and waiting, a node.
    InFlight(u32),
    /// Requests that wait, a node: in the balancer and, as far as nodes say so, at the nodes.
    Queue(u32),
    /// Predicted time to the first token.
    Ttft(Span),
}

impl Target {
    /// Returns the target as a number in its unit: tokens, requests, nanoseconds.
    #[must_use]
    pub fn value(self) -> u64 {
        match self {
            Target::TokensInFlight(tokens) => tokens.0,
            Target::InFlight(count) | Target::Queue(count) => u64::from(count),
            Target::Ttft(span) => span.0,
        }
    }

    /// Returns a value of this target's kind in words: `31200 tokens a node`.
    #[must_use]
    pub fn words(self, value: u64) -> String {
        match self {
            Target::TokensInFlight(_) => format!("{value} tokens a node"),
            Target::InFlight(_) => format!("{value} in flight a node"),
            Target::Queue(_) => format!("{value} waiting a node"),
            Target::Ttft(_) if value == u64::MAX => "no first token in sight".to_owned(),
            Target::Ttft(_) => format!("first token in {}", Span(value)),
        }
    }
}

/// How a group of nodes is scaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleSpec {
    /// Its name, for people.
    pub name: String,
    /// Its nodes, all of one pool; the first `start` are up at the start, the others are off.
    pub nodes: Vec<NodeId>,
    /// Nodes up at the start, `min` to `max`.
    pub start: u32,
    /// Never fewer. May be zero: the group then starts when requests wait for it.
    pub min: u32,
    /// Never more; at most as many as there are nodes.
    pub max: u32,
    /// What it is held to; above zero.
    pub target: Target,
    /// Time between two looks; above zero.
    pub every: Span,
    /// It shrinks only to the largest number wanted within so long.
    pub down_after: Span,
    /// A step grows the group by at most this share, but by one node at least.
    pub up_max: Ratio,
    /// A step shrinks the group by at most this share, but by one node at least.
    pub down_max: Ratio,
    /// Nothing is done while the load is within this share of what the nodes are held to.
    pub tolerance: Ratio,
    /// Whether somebody else starts and stops nodes: what is wanted is then only said.
    pub advise: bool,
}

impl ScaleSpec {
    /// Returns the nodes that are off at the start.
    #[must_use]
    pub fn off_at_start(&self) -> &[NodeId] {
        if self.advise { &[] } else { self.nodes.get(self.start as usize..).unwrap_or(&[]) }
    }
}

/// What was measured and what it was held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The target.
    pub target: Target,
    /// What was measured, in the target's unit.
    pub measured: u64,
}
