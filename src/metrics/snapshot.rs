//! A picture of a run at one moment: plain data, already aggregated and in file order, which a
//! screen draws and a report prints without computing anything. It holds no locks, no callbacks
//! and no reference to whatever made it, so a saved one is a test input.

use std::sync::Arc;

use super::Slo;
use super::counts::RequestCounts;
use super::expect::ExpectVerdict;
use super::heat::HeatMap;
use crate::balance::{Attempt, End, Explanation, NodeState, StrategySpec, Tier, Why};
use crate::unit::{Cost, NodeId, PoolId, RequestId, Span, Time};

/// The whole picture.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Simulated (or elapsed) time of the picture.
    pub now: Time,
    /// Requests by what has become of them, since the start, warm-up included.
    pub requests: RequestCounts,
    /// Figures of the last 10 s.
    pub window: Figures,
    /// How long the window is: ten seconds, less at the start.
    pub window_length: Span,
    /// Figures of the whole run after warm-up.
    pub run: Figures,
    /// Counts and money of the run after warm-up.
    pub totals: RunTotals,
    /// Whether tokens or hours of any node have a price.
    pub priced: bool,
    /// One row a node, in file order; nodes that are gone are left out.
    pub nodes: Vec<NodeRow>,
    /// One row a pool, in file order.
    pub pools: Vec<PoolRow>,
    /// One row a class, in file order.
    pub classes: Vec<GroupRow>,
    /// One row a tenant, those with most requests first; empty where there is but one without a name.
    pub tenants: Vec<GroupRow>,
    /// One row a workflow, of its jobs.
    pub jobs: Vec<GroupRow>,
    /// What the scenario promises, judged so far; empty unless somebody judges.
    pub expects: Vec<ExpectVerdict>,
    /// Routes that stand on a level of degradation or shed somebody now, the worst first.
    pub pressed: Vec<PressedRow>,
    /// Routes of which nothing is well, so that ejected nodes serve them too; an empty name if there is
    /// one route only.
    pub panics: Vec<String>,
    /// How it came here: closed buckets, oldest first, bounded.
    pub history: Arc<History>,
    /// How long requests took, over time.
    pub heat: Arc<HeatMap>,
    /// The newest entries of the log, oldest first, at most [`LOG_MAX`].
    pub log: Vec<LogEntry>,
    /// Entries that have left the log.
    pub log_dropped: u64,
    /// The last decision.
    pub last: Option<DecisionRow>,
    /// The newest decisions in full, oldest first, at most
    /// [`DECISIONS_MAX`](super::DECISIONS_MAX). Empty unless somebody asked for explanations.
    pub decisions: Vec<Arc<Explanation>>,
    /// How the attempts of decisions that were explained ended, of those that have; the newest last, at most
    /// [`OUTCOMES_MAX`](super::OUTCOMES_MAX).
    pub outcomes: Vec<AttemptOutcome>,
}

/// How an attempt ended whose decision was explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptOutcome {
    /// Which.
    pub attempt: Attempt,
    /// When.
    pub at: Time,
    /// How.
    pub end: End,
    /// From its dispatch on.
    pub took: Span,
    /// Its first token came so long after its dispatch, if one came.
    pub first_token: Option<Span>,
    /// What it cost.
    pub cost: Cost,
}

/// What load makes a route do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PressedRow {
    /// The route; empty if there is one only.
    pub route: String,
    /// The level it stands on; `None` if none.
    pub level: Option<String>,
    /// The priorities that are shed, the least important first.
    pub shed: Vec<String>,
}

/// The log keeps so many entries.
pub const LOG_MAX: usize = 256;

/// A time that never comes.
pub const NEVER: Span = Span(u64::MAX);

/// Figures over some stretch of time. Latency quantiles are of completed requests, from the
/// intended arrival to the last token; `None` while there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Requests that reached their end, a second.
    pub requests_per_s: f64,
    /// Half of the requests took at most this long.
    pub p50: Option<Span>,
    /// 95 % of them did.
    pub p95: Option<Span>,
    /// 99 % of them did.
    pub p99: Option<Span>,
    /// The same of all that were not cancelled: one without an answer counts as its deadline, or as
    /// [`NEVER`] where it has none.
    pub p99_all: Option<Span>,
    /// Completed requests: of so many are the quantiles.
    pub samples: u64,
    /// 99 % of first tokens came within this time.
    pub ttft_p99: Option<Span>,
    /// Of those to whom a time of the last token is promised, the share for whom it was not kept;
    /// `None` while there is none.
    pub late: Option<f64>,
    /// The same of the first token.
    pub late_first: Option<f64>,
    /// Share of requests that failed or were rejected.
    pub error_share: f64,
    /// Dollars an hour: tokens at their price, and hourly prices of nodes for as long as they are paid.
    pub dollars_per_hour: f64,
    /// Output tokens a second.
    pub tokens_per_s: f64,
    /// Requests a minute served elsewhere than first intended.
    pub failovers_per_min: f64,
    /// Attempts a minute after a failure: a request may have several, and none may help.
    pub retries_per_min: f64,
    /// Requests waiting in the balancer now (zero in figures of the whole run).
    pub waiting: u64,
}

/// Counts and money of the run after warm-up, as a report has them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunTotals {
    /// How long warm-up has been over.
    pub span: Span,
    /// How long warm-up is.
    pub warmup: Span,
    /// Requests that came after warm-up, by what became of them.
    pub requests: RequestCounts,
    /// Attempts after a failure.
    pub retries: u64,
    /// Requests served elsewhere than first intended.
    pub failovers: u64,
    /// Dollars so far: tokens and hours of nodes.
    pub dollars: f64,
    /// Dollars for a thousand requests that arrived.
    pub dollars_per_1k: Option<f64>,
}

/// A class, a tenant, or the jobs of a workflow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupRow {
    /// What it is called.
    pub name: String,
    /// What is promised to it.
    pub slo: Slo,
    /// Figures of the last 10 s, without money and tokens.
    pub window: Figures,
    /// Of the run after warm-up. Those of a tenant count at their end.
    pub requests: RequestCounts,
}

/// A node. Rates and quantiles are of the last 10 s.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeRow {
    /// Which.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Its pool.
    pub pool: PoolId,
    /// Its tier.
    pub tier: Tier,
    /// Its model, or what it is in a word.
    pub kind: String,
    /// Its state.
    pub state: NodeState,
    /// Whether its p99 is more than three times the median of its pool's nodes.
    pub slow: bool,
    /// Whether it was to be ejected and serves on, because too many others are ejected.
    pub kept_in: bool,
    /// Whether a fault is on, planned or made by hand.
    pub fault: bool,
    /// Whether one is on that somebody made by hand.
    pub by_hand: bool,
    /// Attempts in flight.
    pub in_flight: u32,
    /// At most so many can be worked on at a time, where that is known.
    pub capacity: Option<u32>,
    /// Attempts in flight beyond the capacity: waiting at the node.
    pub queued: u32,
    /// Busy share of its capacity, where that is known; 0 to 1.
    pub utilisation: Option<f64>,
    /// Share of all attempts that went to it; 0 to 1.
    pub share: f64,
    /// Attempts that ended, a second.
    pub requests_per_s: f64,
    /// Its good attempts: of so many are the quantiles.
    pub samples: u64,
    /// Half of its good attempts took at most this long, from dispatch.
    pub p50: Option<Span>,
    /// 99 % of them did.
    pub p99: Option<Span>,
    /// Share of its attempts that failed.
    pub error_share: f64,
    /// Output tokens a second.
    pub tokens_per_s: f64,
    /// Dollars an hour: for tokens, and for being there as long as it is paid.
    pub dollars_per_hour: f64,
}

/// A pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolRow {
    /// Which.
    pub id: PoolId,
    /// Its name.
    pub name: String,
    /// Its strategy now, with its settings.
    pub strategy: String,
    /// Its strategy as in the scenario.
    pub planned: StrategySpec,
    /// Nodes that are not gone.
    pub nodes: u32,
    /// Nodes that are up.
    pub up: u32,
}

/// The past, in buckets of equal length. When there are too many, two neighbours become one, so
/// memory is bounded and the whole run stays in sight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The length of one bucket.
    pub bucket: Span,
    /// Start of the first bucket.
    pub start: Time,
    /// Closed buckets, oldest first.
    pub points: Vec<Point>,
    /// Moments worth a vertical line, oldest first, bounded.
    pub marks: Vec<MarkAt>,
}

/// One bucket of the past. All is of the 10 s that end with it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Median latency.
    pub p50: Option<Span>,
    /// 95 % quantile of latency.
    pub p95: Option<Span>,
    /// 99 % quantile of latency.
    pub p99: Option<Span>,
    /// Completed requests: of so many are the quantiles.
    pub samples: u32,
    /// Requests that ended, a second.
    pub requests_per_s: f64,
    /// Share of them that failed or were rejected.
    pub error_share: f64,
    /// Dollars an hour.
    pub dollars_per_hour: f64,
    /// Output tokens a second.
    pub tokens_per_s: f64,
}

/// A moment worth a vertical line: an injected fault.
#[derive(Clone, Debug, PartialEq)]
pub struct MarkAt {
    /// When.
    pub at: Time,
    /// `A`, `B`, ... in order; after `Z` it starts again.
    pub letter: char,
    /// Whether the person at the screen did it (and not the scenario).
    pub by_person: bool,
}

/// A line of the log. What happens to many requests is one line that counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogEntry {
    /// Which: later ones have greater numbers.
    pub id: u64,
    /// When it, or the first of the like, happened.
    pub at: Time,
    /// When the last of the like happened.
    pub until: Time,
    /// How much it matters, which gives its colour.
    pub level: LogLevel,
    /// The letter of its mark, if it has one.
    pub mark: Option<char>,
    /// Whether the person at the screen did it.
    pub by_person: bool,
    /// Whether it counts requests that were served elsewhere than meant.
    pub failover: bool,
    /// The node it is about, if about one.
    pub node: Option<NodeId>,
    /// The request it is about, if about one; where it counts several, the first.
    pub request: Option<RequestId>,
    /// So many of the like, itself included.
    pub count: u64,
    /// In words, for 50 columns or so: `failover eu → us backup`.
    pub text: String,
    /// The same for 30 columns or so: `eu → us backup`.
    pub short: String,
}

impl LogEntry {
    /// Returns how many of the like came a second, in the mean; `None` of one.
    #[must_use]
    pub fn per_s(&self) -> Option<f64> {
        let seconds = self.until.since(self.at).seconds();
        (self.count > 1 && seconds > 0.0).then(|| (self.count - 1) as f64 / seconds)
    }
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Good to know: a node is back, the strategy changed.
    #[default]
    Info,
    /// A request went elsewhere, a node asked for a pause.
    Warning,
    /// A node was ejected, requests are turned away.
    Error,
    /// Put there by the scenario or the person: a fault begins or ends.
    Injected,
}

/// A decision and its reason.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecisionRow {
    /// When.
    pub at: Time,
    /// For which request.
    pub request: RequestId,
    /// Tokens of its prompt, where the arrival is remembered.
    pub why: Why,
}
