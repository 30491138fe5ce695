//! What nodes and other balancers say of the load of nodes.

use crate::unit::{NodeId, Ratio, Span, Tokens};

/// What a node says of itself: engine metrics or quota headers. Older than it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeReport {
    /// How old the figures were when they reached the balancer. An age, so that clocks may differ.
    pub age: Span,
    /// Requests it is working on.
    pub running: u32,
    /// Requests it has queued.
    pub waiting: u32,
    /// Share of its KV cache in use.
    pub kv_used: Ratio,
    /// Requests left in its current quota, where it has one.
    pub requests_left: Option<u64>,
    /// Tokens left in its current quota, where it has one.
    pub tokens_left: Option<Tokens>,
}

/// What another balancer instance has in flight on each node. State, not changes: a lost message
/// heals with the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerLoad {
    /// How old the figures were when they reached this balancer.
    pub age: Span,
    /// Rises when the peer restarts; figures of an older epoch are ignored.
    pub epoch: u64,
    /// Nodes on which it has something in flight, in ascending order.
    pub nodes: Vec<PeerNode>,
}

/// What another balancer instance has in flight on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerNode {
    /// The node.
    pub node: NodeId,
    /// Requests.
    pub requests: u32,
    /// Prompt tokens of those without a first token.
    pub prompt: Tokens,
    /// Tokens still expected of answers.
    pub output: Tokens,
}
