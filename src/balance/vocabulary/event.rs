//! What the balancer declares to have happened.
//!
//! Metrics, screens, reports and logs are folds over events and nothing else.

use super::action::Action;
use super::cache::CacheLookup;
use super::explanation::Explanation;
use super::input::{Grade, Mark};
use super::job::{JobNews, JobStep};
use super::model::ModelChoice;
use super::outcome::{Attempt, End, Fate, Usage};
use super::request::Priority;
use super::state::{Cause, NodeState};
use super::why::Why;
use crate::balance::spec::node::NodeSpec;
use crate::balance::spec::overload::DegradeLevel;
use crate::balance::spec::scale::Reason;
use crate::balance::strategy::StrategySpec;
use crate::unit::{
    ClassId, Cost, NodeId, PoolId, Ratio, RequestId, RouteId, Span, TenantId, Time, Tokens,
};

/// Something that happened, dated by the time of the call that returned it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A request came in.
    Arrived {
        /// Which.
        request: RequestId,
        /// Its class.
        class: ClassId,
        /// Who asked.
        tenant: TenantId,
        /// When it was meant to arrive.
        arrived: Time,
        /// Tokens of its prompt.
        prompt: Tokens,
        /// The job it is a step of.
        job: Option<JobStep>,
    },
    /// A request was looked for among the answers that its route keeps.
    Cache(CacheLookup),
    /// No node may take it now, so it waits.
    Queued {
        /// Which.
        request: RequestId,
        /// The route whose line it stands in.
        route: RouteId,
    },
    /// A node was chosen.
    Dispatched {
        /// The try.
        attempt: Attempt,
        /// The node.
        node: NodeId,
        /// The request's class.
        class: ClassId,
        /// First try, retry or hedge.
        kind: AttemptKind,
        /// The node of the try before a retry, and how that ended.
        after: Option<(NodeId, End)>,
        /// When the request was meant to arrive.
        arrived: Time,
        /// Whether it stood in line just before.
        queued: bool,
        /// Why this node.
        why: Why,
        /// Tokens of the answer that came from nodes before: here is the seam.
        resumed: Tokens,
    },
    /// Why a node was chosen, in full, for those who asked. Comes before the dispatch.
    Explained(Box<Explanation>),
    /// The first token of an answer arrived.
    FirstToken {
        /// The try.
        attempt: Attempt,
        /// The node.
        node: NodeId,
        /// Time since the dispatch.
        took: Span,
    },
    /// An attempt is over and its cost is booked.
    Ended {
        /// The try.
        attempt: Attempt,
        /// The node.
        node: NodeId,
        /// The request's class.
        class: ClassId,
        /// How.
        end: End,
        /// When the request was meant to arrive.
        arrived: Time,
        /// When this try was dispatched.
        dispatched: Time,
        /// Tokens it used.
        usage: Usage,
        /// What they cost.
        cost: Cost,
        /// The job the request is a step of.
        job: Option<JobStep>,
    },
    /// A failed request will be tried again after `pause`.
    RetryPlanned {
        /// Which.
        request: RequestId,
        /// The node that failed.
        node: NodeId,
        /// How the last try ended.
        end: End,
        /// The back-off; zero for at once.
        pause: Span,
    },
    /// A failed request will not be tried again.
    RetryDenied {
        /// Which.
        request: RequestId,
        /// The node that failed.
        node: NodeId,
        /// How the last try ended.
        end: End,
        /// Why not.
        reason: NoRetry,
    },
    /// A request reached its final end.
    Settled(Settled),
    /// A node changed state.
    NodeState {
        /// Which.
        node: NodeId,
        /// Before.
        from: NodeState,
        /// After.
        to: NodeState,
        /// Why.
        cause: Cause,
    },
    /// A pool chooses by another strategy from now on.
    Strategy {
        /// Which pool.
        pool: PoolId,
        /// Before.
        from: StrategySpec,
        /// After.
        to: StrategySpec,
    },
    /// A node joined, or its weight, price or limits changed.
    NodeChanged {
        /// Which.
        node: NodeId,
        /// Its facts from now on.
        spec: Box<NodeSpec>,
    },
    /// A group of nodes grows or shrinks; what each of its nodes does follows.
    Scaled {
        /// Which group.
        group: u16,
        /// Nodes that served or started before.
        from: u32,
        /// Nodes that serve or start from now on.
        to: u32,
        /// Why.
        reason: Reason,
    },
    /// Requests left for a node together, after the events of their dispatch.
    Batch {
        /// The node.
        node: NodeId,
        /// So many requests.
        members: u32,
    },
    /// Word about an attempt or probe that is no longer current; it changed nothing.
    LateWord {
        /// About which try, if about one.
        attempt: Option<Attempt>,
    },
    /// Something happened outside the balancer.
    Mark(Mark),
    /// Something happened to a job.
    Job(JobNews),
    /// A request whose first token is late is not hedged.
    HedgeDenied {
        /// Which.
        request: RequestId,
        /// The node that is late.
        node: NodeId,
        /// Why not.
        reason: NoHedge,
    },
    /// Why a pool of its route comes first for a request; only where an explanation is wanted.
    Model(Box<ModelChoice>),
    /// An answer was not good enough: the next pool of a cascade is asked.
    Escalated {
        /// Whose.
        request: RequestId,
        /// The node that gave it.
        node: NodeId,
        /// What its scorer made of it.
        score: Ratio,
        /// The pool that is asked next.
        to: PoolId,
    },
    /// A bandit heard how good an answer was.
    Feedback {
        /// Whose.
        request: RequestId,
        /// The class of the request.
        class: ClassId,
        /// The pool that gave it.
        pool: PoolId,
        /// From zero to one.
        quality: Ratio,
    },
    /// How good a delivered answer is in truth.
    Graded(Grade),
    /// Nothing that a route may use is well, so that ejected nodes serve it too, or that is over.
    Panic {
        /// The route.
        route: RouteId,
        /// Whether it begins.
        on: bool,
    },
    /// A node was to be ejected, and is kept in: the largest share of ejected nodes is reached.
    KeptIn {
        /// Which.
        node: NodeId,
        /// What it was to be ejected for.
        cause: Cause,
    },
    /// The limiter of a node lets it take another number of attempts at a time.
    Limit {
        /// The node.
        node: NodeId,
        /// So many from now on.
        limit: u32,
        /// So many when it was last worth a line.
        before: u32,
        /// Why.
        cause: LimitCause,
        /// Whether it is worth a line: a quarter away from `before`.
        notable: bool,
    },
    /// Requests of a priority are shed on a route, or that is over.
    Shedding {
        /// The route.
        route: RouteId,
        /// Whose requests.
        priority: Priority,
        /// Whether it begins.
        on: bool,
        /// The saturation of the route.
        saturation: Ratio,
    },
    /// A route steps onto another level of degradation.
    DegradeLevel {
        /// The route.
        route: RouteId,
        /// Before.
        from: DegradeLevel,
        /// From now on.
        to: DegradeLevel,
        /// The saturation of the route.
        saturation: Ratio,
        /// The threshold it has passed: of the level gone up to, or of the one left downwards.
        threshold: Ratio,
    },
}

impl Event {
    /// Returns whether it explains a decision to somebody who asked. It answers an observer and no
    /// input: a replay, in which nobody asks, does not repeat it.
    #[must_use]
    pub const fn is_explanation(&self) -> bool {
        matches!(self, Event::Explained(_) | Event::Model(_))
    }
}

/// Why a limiter changes its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitCause {
    /// First tokens took so many times what they take on an idle node, in the mean.
    Ratio(Ratio),
    /// Back-pressure: an attempt ended so.
    Pressed(End),
}

impl LimitCause {
    /// Returns its word in journals and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            LimitCause::Ratio(_) => "ratio",
            LimitCause::Pressed(_) => "pressed",
        }
    }
}

/// What is to be known of a request at its final end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settled {
    /// Which.
    pub request: RequestId,
    /// Its class.
    pub class: ClassId,
    /// Who asked.
    pub tenant: TenantId,
    /// The route it took.
    pub route: RouteId,
    /// The node that answered; of requests without an answer, that of the last attempt.
    pub node: Option<NodeId>,
    /// How it ended.
    pub fate: Fate,
    /// When it was meant to arrive.
    pub arrived: Time,
    /// When its first attempt was dispatched.
    pub dispatched: Option<Time>,
    /// When the first token of the winning attempt arrived.
    pub first_token: Option<Time>,
    /// Attempts made.
    pub attempts: u8,
    /// Served by another node than the first tried, or by a lower tier than the first eligible. Not if
    /// that was a hedge and nothing had failed: see `hedge`.
    pub failover: bool,
    /// Completed by a pool its route degrades to.
    pub degraded: bool,
    /// Whether it stood in line just before.
    pub queued: bool,
    /// Tokens of the winning attempt; with those that came before the seam, if it went on where
    /// another one was cut.
    pub usage: Usage,
    /// The job it is a step of.
    pub job: Option<JobStep>,
    /// Completed by a hedge.
    pub hedge: bool,
    /// What its attempts had cost by then; those that were aborted last may add to it.
    pub spent: Cost,
    /// The last level of degradation that changed what became of it.
    pub degraded_by: DegradeLevel,
    /// Completed with an answer that was kept: no node served it, and it used no tokens.
    pub cached: bool,
    /// Its tenant's budget was spent, so only pools that its route degrades to could serve it.
    pub over_budget: bool,
}

/// Which try a dispatch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptKind {
    /// The first.
    First,
    /// A later one, after a failure.
    Retry,
    /// One beside another that has no first token yet.
    Hedge,
    /// One of another model, after an answer that was not good enough.
    Escalation,
}

impl AttemptKind {
    /// Returns its word in journals and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            AttemptKind::First => "first",
            AttemptKind::Retry => "retry",
            AttemptKind::Hedge => "hedge",
            AttemptKind::Escalation => "escalation",
        }
    }
}

/// Why a failed request is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRetry {
    /// The failure would repeat anywhere.
    NotRetryable,
    /// Tokens had reached the client.
    Started,
    /// All attempts are used up.
    Attempts,
    /// Too many retries are under way already.
    Budget,
    /// The deadline would pass first.
    Deadline,
    /// Retries under way have too many prompt tokens already.
    Tokens,
}

impl NoRetry {
    /// Returns its word in journals and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            NoRetry::NotRetryable => "not_retryable",
            NoRetry::Started => "started",
            NoRetry::Attempts => "attempts",
            NoRetry::Budget => "budget",
            NoRetry::Deadline => "deadline",
            NoRetry::Tokens => "tokens",
        }
    }
}

/// Why a request whose first token is late is not hedged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHedge {
    /// The pools are too busy for work that may be in vain.
    Saturated,
    /// The budget of hedges is used up.
    Budget,
    /// No other node is open for it.
    NoNode,
    /// The deadline is too near.
    Deadline,
    /// It has had as many attempts as a request may have at all.
    Attempts,
    /// Degradation has given up hedges.
    Degraded,
}

impl NoHedge {
    /// Returns its word in journals and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            NoHedge::Saturated => "saturated",
            NoHedge::Budget => "budget",
            NoHedge::NoNode => "no_node",
            NoHedge::Deadline => "deadline",
            NoHedge::Attempts => "attempts",
            NoHedge::Degraded => "degraded",
        }
    }
}

/// What one call of `handle` wants done and declares to have happened, in order.
#[derive(Debug, Default)]
pub struct Effects {
    /// For the executor.
    pub actions: Vec<Action>,
    /// For everyone who watches.
    pub events: Vec<Event>,
}
