//! What the balancer wants done: wishes that a driver carries out.
//!
//! A driver never reports success by a return value but by another input.

use super::outcome::{Attempt, Fate};
use crate::unit::{NodeId, RequestId, Tokens};

/// A wish. The driver carries it out; it never reports success by return value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the request to this node.
    Dispatch {
        /// The try.
        attempt: Attempt,
        /// Where to.
        node: NodeId,
        /// The batch it is part of, in a pool that takes batches.
        batch: Option<Together>,
        /// Tokens of the answer that have reached the client already: they end the prompt, and the
        /// answer goes on after them.
        resumed: Tokens,
        /// What the answer is clamped to, those tokens included; lower than what the client allows.
        clamp: Option<Tokens>,
    },
    /// Stop this attempt. The executor confirms with `Finish(_, Outcome::Aborted(_))`, or with
    /// whatever other outcome happened first.
    Abort {
        /// The try.
        attempt: Attempt,
        /// Where it is.
        node: NodeId,
    },
    /// Ask the node whether it is well, and answer with `Probed` and this number.
    Probe(NodeId, u32),
    /// Start this node, and say [`FleetChange::Ready`] when it can serve.
    Start(NodeId),
    /// Stop this node: nothing is in flight on it. It need not be confirmed.
    Stop(NodeId),
    /// Tell whoever asked how it ended.
    Answer {
        /// Whose answer.
        request: RequestId,
        /// How it ended.
        fate: Fate,
        /// The attempt whose answer it is: a whole one, or one that had begun and is cut off. `None`
        /// where the client has got nothing of any answer and gets none.
        by: Option<Attempt>,
        /// Whether some of an answer may have reached the client: a first token was acknowledged, and
        /// the answer was not withheld.
        begun: bool,
    },
    /// Ask the node for one token, and answer with `Probed` and this number: an engine may say it is
    /// well and be wedged.
    Generate(NodeId, u32),
}

/// A batch: attempts dispatched to one node at one moment, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Together {
    /// Which, over all pools, from one.
    pub number: u64,
    /// So many attempts.
    pub members: u32,
}
