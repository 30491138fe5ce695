//! Why a pool of its route came first for a request.

use crate::unit::{PoolId, Ratio, RequestId, RouteId};

/// Why a pool comes first: for an explanation.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelChoice {
    /// Whose.
    pub request: RequestId,
    /// Its route.
    pub route: RouteId,
    /// The pool that comes first.
    pub pool: PoolId,
    /// Why.
    pub why: ModelWhy,
}

/// Why a pool comes first.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelWhy {
    /// By complexity.
    Complexity {
        /// How hard the request is, in thousandths.
        score: u32,
        /// The share of the last requests that are easier.
        easier: f64,
        /// So many of the last requests were looked at.
        seen: u32,
        /// What is at least as hard as all but this share is hard.
        strong_share: Ratio,
    },
    /// By complexity, with a threshold that is learnt.
    Threshold {
        /// How hard the request is, in thousandths.
        score: u32,
        /// The share of the last requests that are easier.
        easier: f64,
        /// What is at least as hard as all but this share is hard, as far as is known.
        strong_share: Ratio,
        /// What the stronger model costs more, in dollars.
        dearer: f64,
        /// Whether samples decided, and not means.
        explores: bool,
    },
    /// The first of a cascade.
    Cascade {
        /// The least score that is good enough.
        accept: Ratio,
    },
    /// By a bandit.
    Bandit {
        /// By pool of the route.
        arms: Vec<ArmView>,
        /// Whether samples decided, and not means.
        explores: bool,
    },
}

/// What a bandit made of a pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArmView {
    /// The pool.
    pub pool: PoolId,
    /// Observations that still count.
    pub heard: f64,
    /// The mean of what is believed of its answers.
    pub mean: f64,
    /// What was drawn from that; the mean if nothing was.
    pub drawn: f64,
    /// What an answer is expected to cost, in dollars.
    pub dollars: f64,
    /// `drawn - dollars / worth`: the most wins.
    pub value: f64,
}
