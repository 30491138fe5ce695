//! Answers that are kept: what came of looking for one.

use super::outcome::Usage;
use crate::unit::{ClassId, Cost, RequestId, RouteId, Span, Time};

/// A request was looked for among the answers that its route keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLookup {
    /// Which.
    pub request: RequestId,
    /// Its class.
    pub class: ClassId,
    /// Its route, which keeps the answers.
    pub route: RouteId,
    /// When it was meant to arrive.
    pub arrived: Time,
    /// The answer that was found: the request is settled with it, and goes to no node.
    pub found: Option<KeptAnswer>,
}

/// An answer that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// How long ago it came.
    pub age: Span,
    /// Tokens that it took then, and that are not used again.
    pub usage: Usage,
    /// What it cost then, and does not again.
    pub cost: Cost,
}
