//! The vocabulary of the seam: what the balancer hears (`Input`), what it wants done (`Action`)
//! and what it declares to have happened (`Event`).
//!
//! All three are data. A driver, simulated or live, feeds inputs and carries out actions; it never
//! reports success by a return value but by another input. Metrics, screens, reports and logs are
//! folds over events and nothing else. Every type here can be written to a journal and read back.

use serde::{Deserialize, Serialize};

use super::choose::ModelChoice;
use super::explain::Explanation;
use super::fleet::{Limits, NodeSpec, NodeState, Prices, Tier};
use super::job::{JobNews, JobStep};
use super::ladder::Rung;
use super::request::{Priority, Request};
use super::scale::Reason;
use super::strategy::StrategySpec;
use crate::unit::{
    ClassId, Cost, NodeId, PeerId, PoolId, Ratio, RequestId, RouteId, Span, TenantId, Time, Tokens,
};

/// One try of a request on one node. The first try of a request has ordinal zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Whose try it is.
    pub request: RequestId,
    /// Which try of that request.
    pub ordinal: u8,
}

/// A fact from outside. The only way in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A request came in.
    Arrive(Request),
    /// An attempt is getting somewhere.
    Progress(Attempt, Progress),
    /// An attempt is over. Exactly once per dispatched attempt, aborted ones included.
    Finish(Attempt, Outcome),
    /// The answer to a probe, by its number.
    Probed(NodeId, u32, ProbeResult),
    /// What a node says of itself.
    Report(NodeId, NodeReport),
    /// What another balancer instance has in flight.
    Peer(PeerId, PeerLoad),
    /// The fleet is now different.
    Fleet(FleetChange),
    /// A person changed something.
    Control(Control),
    /// The client went away.
    Cancel(RequestId),
    /// Something happened to a job. The balancer repeats it as an event and otherwise takes no
    /// notice.
    Job(JobNews),
    /// The time asked for by `wake_at` has come.
    Wake,
    /// How good the answer to a request was, from zero to one, in the word of whoever asked. Comes
    /// after its end, if it comes.
    Feedback(RequestId, Ratio),
    /// How good an answer is in truth. The balancer repeats it as an event and otherwise takes no
    /// notice: it is for reports of simulations.
    Graded(Grade),
}

/// How good a delivered answer is in truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grade {
    /// Whose answer.
    pub request: RequestId,
    /// The class of the request.
    pub class: ClassId,
    /// The route it took.
    pub route: RouteId,
    /// The node that gave it.
    pub node: NodeId,
    /// When the request was meant to arrive.
    pub arrived: Time,
    /// From zero, useless, to one, as good as can be.
    pub quality: Ratio,
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// The first token of the answer arrived.
    FirstToken,
    /// So many tokens of the answer arrived so far. Throttled by the executor.
    Tokens(Tokens),
}

/// Tokens an attempt used, as billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input: Tokens,
    /// Those of `input` that the node had cached. Never more than `input`.
    pub cached: Tokens,
    /// Tokens of the answer.
    pub output: Tokens,
}

/// No attempt counts for more tokens of a kind than this, whatever is said of it: so no sum over
/// attempts overflows, and what was added to a ledger can be taken away again.
pub(super) const TOKENS_MAX: Tokens = Tokens(u32::MAX as u64);

impl Usage {
    /// Nothing used.
    pub const NONE: Usage =
        Usage { input: Tokens::ZERO, cached: Tokens::ZERO, output: Tokens::ZERO };

    /// Returns what may be believed of it: counts of a sane size, no more cached than there was.
    #[must_use]
    pub fn sane(self) -> Usage {
        let input = self.input.min(TOKENS_MAX);
        Usage { input, cached: self.cached.min(input), output: self.output.min(TOKENS_MAX) }
    }
}

/// How an attempt ended, in the words of the executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A whole answer.
    Done(Usage),
    /// No whole answer, and why.
    Failed(Failure, Usage),
    /// The node asked to be left alone for a while (429).
    RateLimited {
        /// How long, if it said so.
        retry_after: Option<Span>,
    },
    /// The attempt was aborted as asked; what it had used by then.
    Aborted(Usage),
    /// A whole answer, and how good its scorer finds it, from zero to one.
    Scored(Usage, Ratio),
    /// The node has no room and said for how long it wants to be left alone (503 or 529 with
    /// `Retry-After`). Without a time it is a failure, [`Failure::Overloaded`].
    Busy {
        /// How long.
        retry_after: Span,
    },
}

/// Why an attempt or a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No connection: refused, unreachable, or no answer to the connect in time.
    Refused,
    /// The connection broke before the answer was whole.
    Reset,
    /// The node answered with a server error.
    ServerError,
    /// The node has no room (503, 529, queue full): back-pressure, not sickness.
    Overloaded,
    /// No token for longer than the allowed gap. Watched by the executor, which sees tokens.
    Stalled,
    /// An answer that is not one: wrong type, malformed, truncated.
    Malformed,
    /// The request itself is at fault (400, 404, 413, 422). Never blamed on the node.
    ClientError,
    /// The credential is at fault (401, 402, 403), or what it may spend is spent: it is not tried
    /// again with any node that is asked with the same one.
    Unauthorized,
    /// The node could never hold a request of this length. Not blamed on the node; a larger one may
    /// hold it.
    TooLong,
}

impl Failure {
    /// Returns whether the node is to blame, so that its health suffers.
    #[must_use]
    pub const fn blames_node(self) -> bool {
        match self {
            Failure::Refused
            | Failure::Reset
            | Failure::ServerError
            | Failure::Stalled
            | Failure::Malformed => true,
            Failure::Overloaded
            | Failure::ClientError
            | Failure::Unauthorized
            | Failure::TooLong => false,
        }
    }

    /// Returns whether another node might succeed where this one failed.
    #[must_use]
    pub const fn worth_another_try(self) -> bool {
        !matches!(self, Failure::ClientError)
    }

    /// Returns the words a log line uses.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Failure::Refused => "connect refused",
            Failure::Reset => "connection reset",
            Failure::ServerError => "server error",
            Failure::Overloaded => "overloaded",
            Failure::Stalled => "stream stalled",
            Failure::Malformed => "malformed answer",
            Failure::ClientError => "client error",
            Failure::Unauthorized => "unauthorized",
            Failure::TooLong => "too long for the node",
        }
    }
}

/// The answer to a health probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeResult {
    /// It answered in time.
    Healthy,
    /// It did not.
    Failed(Failure),
}

/// What a node says of itself: engine metrics or quota headers. Older than it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerLoad {
    /// How old the figures were when they reached this balancer.
    pub age: Span,
    /// Rises when the peer restarts; figures of an older epoch are ignored.
    pub epoch: u64,
    /// Nodes on which it has something in flight, in ascending order.
    pub nodes: Vec<PeerNode>,
}

/// What another balancer instance has in flight on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A change of the fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetChange {
    /// A new node, ready for traffic. It gets the next free id.
    Add(Box<NodeSpec>),
    /// No new work for this node; what it has, it finishes.
    Drain(NodeId),
    /// Take a drained node back into service.
    Resume(NodeId),
    /// A node that was told to start has started: it serves.
    Ready(NodeId),
    /// The node is gone. Its attempts stay open until the executor ends them.
    Remove(NodeId),
    /// New prices, from the next dispatch on.
    Reprice(NodeId, Prices),
    /// New limits. Work beyond them is not killed; it drains.
    Relimit(NodeId, Limits),
}

/// What a person may change while it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// This pool chooses by another strategy from now on.
    Strategy(PoolId, StrategySpec),
    /// A new weight for a node, at least one.
    Weight(NodeId, u32),
    /// Something happened outside that observers should see at its place in time. The balancer
    /// repeats it as an event and otherwise takes no notice.
    Mark(Mark),
}

/// A note in the stream of events about the world outside the balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Who did it.
    pub by: MarkBy,
    /// The nodes it happened to.
    pub nodes: Vec<NodeId>,
    /// Whether it begins or ends.
    pub phase: MarkPhase,
    /// What happened, in a few words: `crash`, `slow x4`.
    pub what: String,
}

/// Who caused a [`Mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkBy {
    /// The scenario's schedule.
    Scenario,
    /// The person at the screen.
    Person,
}

/// Which end of a lasting thing a [`Mark`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkPhase {
    /// It begins.
    Begin,
    /// It is over.
    End,
}

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

/// The one final end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// A whole answer was delivered.
    Completed,
    /// The last attempt failed and no other was allowed.
    Failed(End),
    /// Turned away without an answer from any node.
    Rejected(Reject),
    /// The client went away first.
    Cancelled,
}

/// How an attempt ended, in the words of the balancer: its own timers included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// A whole answer.
    Done,
    /// The node failed.
    Failed(Failure),
    /// The node asked to be left alone (429).
    RateLimited,
    /// The balancer's own timer ended it.
    TimedOut(Stage),
    /// The client went away.
    Cancelled,
    /// The other attempt of a hedged request was faster; this one was given up.
    Outrun,
}

impl End {
    /// Returns the words a log line uses.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            End::Done => "done",
            End::Failed(failure) => failure.words(),
            End::RateLimited => "429 rate limited",
            End::TimedOut(Stage::FirstToken) => "first-token timeout",
            End::TimedOut(Stage::Total) => "deadline passed",
            End::Cancelled => "client gone",
            End::Outrun => "another attempt was faster",
        }
    }
}

/// Which of the balancer's timers ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// From dispatch to the first token. An answer that comes whole has none.
    FirstToken,
    /// From arrival to the end, over all attempts.
    Total,
}

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reject {
    /// The waiting room was full.
    QueueFull,
    /// It waited as long as allowed.
    WaitedTooLong,
    /// No node of its route may ever serve it: a hard constraint fails closed.
    NoNode,
    /// It would have been served after its deadline, as far as can be foretold.
    TooLate,
    /// It gave up its place in a full waiting room to one more important or of a tenant with fewer.
    Displaced,
    /// Its tenant's limit of requests or tokens a minute is used up; there is room for it after
    /// so long.
    TenantRate(Span),
    /// Its tenant's money for the day is spent; the next day begins after so long.
    Budget(Span),
    /// Whoever asks tries again, and too many retries are under way already.
    RetryBudget,
    /// Its nodes are too full for a request of its priority.
    Shed,
}

impl Reject {
    /// Returns the words a log line uses.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Reject::QueueFull => "queue full",
            Reject::WaitedTooLong => "waited too long",
            Reject::NoNode => "no node may serve it",
            Reject::TooLate => "would come too late",
            Reject::Displaced => "gave way in the queue",
            Reject::TenantRate(_) => "tenant over its rate limit",
            Reject::Budget(_) => "tenant over its budget",
            Reject::RetryBudget => "too many retries under way",
            Reject::Shed => "shed under load",
        }
    }
}

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
        kind: Kind,
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
    /// So few nodes of a tier are well that ejected ones serve too, or that is over.
    Panic {
        /// The pool.
        pool: PoolId,
        /// The tier.
        tier: Tier,
        /// Whether it begins.
        on: bool,
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
    /// A route steps onto another rung of the ladder of degradation.
    Rung {
        /// The route.
        route: RouteId,
        /// Before.
        from: Rung,
        /// From now on.
        to: Rung,
        /// The saturation of the route.
        saturation: Ratio,
        /// The threshold it has passed: of the rung gone up to, or of the one left downwards.
        threshold: Ratio,
    },
}

/// Why a limiter changes its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitCause {
    /// First tokens took so many times what they take on an idle node, in the mean.
    Ratio(Ratio),
    /// Back-pressure: an attempt ended so.
    Pressed(End),
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
    /// The last rung of the ladder of degradation that changed what became of it.
    pub touched: Rung,
}

/// Which try a dispatch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first.
    First,
    /// A later one, after a failure.
    Retry,
    /// One beside another that has no first token yet.
    Hedge,
    /// One of another model, after an answer that was not good enough.
    Escalation,
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
    /// The ladder of degradation has given up hedges.
    Degraded,
}

/// Why a node changed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// So many failures in a row.
    Failures(u32),
    /// So many failed probes in a row.
    Probes(u32),
    /// So many good probes in a row.
    Recovered(u32),
    /// Its ejection time is over; it is probed.
    Probing,
    /// It answered 429.
    RateLimited(Span),
    /// The time it asked for is over.
    LimitOver,
    /// A person or an operator asked for it.
    Operator,
    /// Its group grows or shrinks.
    Scaled,
    /// It has started.
    Started,
    /// Its success rate, and that of its peers.
    SuccessRate(Ratio, Ratio),
    /// The share of its requests that failed.
    FailureShare(Ratio),
    /// The share of its first tokens that were slow, and that of its peers.
    SlowShare(Ratio, Ratio),
    /// It said nothing for so long while requests waited for it.
    Silent(Span),
    /// It refused the credential; it is left alone for so long.
    Credential(Span),
    /// So many probes for a token failed.
    NoToken(u32),
    /// It has no room (503, 529) and asked to be left alone for so long.
    Busy(Span),
}

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
pub(super) const TERMS_MAX: usize = 6;

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
            Term::Formula => "formula",
        }
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

/// What one call of `handle` wants done and declares to have happened, in order.
#[derive(Debug, Default)]
pub struct Effects {
    /// For the executor.
    pub actions: Vec<Action>,
    /// For everyone who watches.
    pub events: Vec<Event>,
}
