//! A picture of a run at one moment: plain data, already aggregated and in file order, which a
//! screen draws and a report prints without computing anything. It holds no locks, no callbacks
//! and no reference to whatever made it, so a saved one is a test input.

use std::sync::Arc;

use super::counts::RequestCounts;
use crate::balance::{Explanation, NodeState, Tier, Why};
use crate::unit::{NodeId, PoolId, RequestId, Span, Time};

/// The whole picture.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Simulated (or elapsed) time of the picture.
    pub now: Time,
    /// Requests by what has become of them, since the start, warm-up included.
    pub requests: RequestCounts,
    /// Figures of the last 10 s.
    pub window: Figures,
    /// Figures of the whole run after warm-up.
    pub run: Figures,
    /// One row a node, in file order; nodes that are gone are left out.
    pub nodes: Vec<NodeRow>,
    /// One row a pool, in file order.
    pub pools: Vec<PoolRow>,
    /// Routes that stand on a level of degradation or shed somebody now, the worst first.
    pub pressed: Vec<PressedRow>,
    /// Routes of which nothing is well, so that ejected nodes serve them too; an empty name if there is
    /// one route only.
    pub panics: Vec<String>,
    /// How it came here: closed buckets, oldest first, bounded.
    pub history: Arc<History>,
    /// The newest entries of the log, oldest first, at most [`LOG_MAX`].
    pub log: Vec<LogEntry>,
    /// Entries that have left the log.
    pub log_dropped: u64,
    /// The last decision.
    pub last: Option<DecisionRow>,
    /// The newest decisions in full, oldest first, at most
    /// [`DECISIONS_MAX`](super::DECISIONS_MAX). Empty unless somebody asked for explanations.
    pub decisions: Vec<Arc<Explanation>>,
}

/// What load makes a route do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PressedRow {
    /// The route; empty if there is one only.
    pub route: String,
    /// The level it stands on; `None` if none.
    pub level: Option<&'static str>,
    /// The priorities that are shed, the least important first.
    pub shed: Vec<&'static str>,
}

/// The log keeps so many entries.
pub const LOG_MAX: usize = 256;

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
    /// 99 % of first tokens came within this time.
    pub ttft_p99: Option<Span>,
    /// Share of requests that failed or were rejected.
    pub error_share: f64,
    /// Dollars an hour: tokens at their price, and hourly prices of nodes.
    pub dollars_per_hour: f64,
    /// Output tokens a second.
    pub tokens_per_s: f64,
    /// Requests a minute served elsewhere than first intended.
    pub failovers_per_min: f64,
    /// Requests waiting in the balancer now (zero in figures of the whole run).
    pub waiting: u64,
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
    /// Half of its good attempts took at most this long, from dispatch.
    pub p50: Option<Span>,
    /// 99 % of them did.
    pub p99: Option<Span>,
    /// Share of its attempts that failed.
    pub error_share: f64,
    /// Output tokens a second.
    pub tokens_per_s: f64,
    /// Dollars an hour.
    pub dollars_per_hour: f64,
}

/// A pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolRow {
    /// Which.
    pub id: PoolId,
    /// Its name.
    pub name: String,
    /// The name of its strategy now.
    pub strategy: String,
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

/// One bucket of the past. Quantiles are of the 10 s that end with it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Median latency.
    pub p50: Option<Span>,
    /// 95 % quantile of latency.
    pub p95: Option<Span>,
    /// 99 % quantile of latency.
    pub p99: Option<Span>,
    /// Requests that ended in it, a second.
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

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// When.
    pub at: Time,
    /// How much it matters, which gives its colour.
    pub level: LogLevel,
    /// The letter of its mark, if it has one.
    pub mark: Option<char>,
    /// The node it is about, if about one.
    pub node: Option<NodeId>,
    /// The request it is about, if about one.
    pub request: Option<RequestId>,
    /// Like entries in the same second that this one stands for, itself included.
    pub count: u32,
    /// In words, for 50 columns or so: `gpt-eu-1 -> gpt-eu-2  server error, retry in 80ms`.
    pub text: String,
    /// The same for 30 columns or so: `gpt-eu-1->gpt-eu-2 server error`.
    pub short: String,
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Good to know: a node is back, the strategy changed.
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
