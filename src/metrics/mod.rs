//! The metrics collector: folds over events and nothing else.
//!
//! It hears every event of a run, simulated, live or replayed from a journal, and knows nothing of
//! who made them. Its memory does not grow with the number of requests: histograms have bounded
//! size, windows are handed on when they close, the past is kept in buckets that merge.

pub mod blocks;
pub mod catalogue;
mod collector;
mod counts;
pub mod expect;
mod heat;
mod history;
mod hours;
mod interval;
mod jobs;
mod log;
mod pressure;
mod quality;
mod recent;
mod request_trace;
mod snapshot;
mod summary;
mod times;
mod window;

pub use collector::{Collector, Group, Watch};
pub use counts::RequestCounts;
pub use heat::{HeatColumn, HeatLane, HeatMap, HeatScope, LENGTHS, length_code, length_seconds};
pub use interval::{Interval, IntervalScope};
pub use jobs::JobGroup;
pub use recent::{DECISIONS_MAX, OUTCOMES_MAX};
pub use request_trace::{ArrivalTrace, AttemptTrace, RequestTrace};
pub use snapshot::{
    AttemptOutcome, DecisionRow, Figures, GroupRow, History, LOG_MAX, LogEntry, LogLevel, MarkAt,
    NEVER, NodeRow, Point, PoolRow, PressedRow, RunTotals, Snapshot,
};
pub use summary::{
    Attempts, BatchSummary, ByHand, CacheSummary, Class, Costs, Goodput, GroupSummary, Hours,
    JobCost, JobCounts, JobSummary, Latency, LevelSummary, LimitSummary, ModelQuality, ModelUse,
    NodeSummary, OverloadSummary, Pool, PressureSummary, Quality, RouteSummary, StepSummary,
    Summary, TenantSummary, TokenCounts, WorkflowSummary,
};
pub use times::Times;

use std::collections::{BTreeMap, BTreeSet};

use crate::balance::Prices;
use crate::unit::{NodeId, Span, TenantId, Time};

/// What people call things, and what is promised to them: the part of a scenario that folds need.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Requests that arrive before this are left out of every statistic of the run.
    pub warmup: Time,
    /// By class.
    pub classes: Vec<ClassLabel>,
    /// Names of pools.
    pub pools: Vec<String>,
    /// By node.
    pub nodes: Vec<NodeLabel>,
    /// Names of groups of nodes that grow and shrink.
    pub groups: Vec<String>,
    /// Regions with their nodes, in file order.
    pub regions: Vec<(String, Vec<NodeId>)>,
    /// By workflow.
    pub workflows: Vec<WorkflowLabel>,
    /// Models by node, where it is known how good their answers are; else empty.
    pub models: Vec<String>,
    /// Names of routes, where routes are reported; else empty.
    pub routes: Vec<String>,
    /// Names of tenants that have one.
    pub tenants: BTreeMap<TenantId, String>,
}

impl Labels {
    /// Returns every step of every workflow, behind the name of its workflow.
    pub fn steps(&self) -> impl Iterator<Item = (&str, &str)> {
        self.workflows
            .iter()
            .flat_map(|flow| flow.steps.iter().map(|step| (flow.name.as_str(), step.as_str())))
    }

    /// Returns the models that nodes have, or what the nodes are, each once, in the order of their first
    /// node.
    #[must_use]
    pub fn kinds(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let kinds = self.nodes.iter().map(|node| node.kind.as_str());
        kinds.filter(|kind| seen.insert(*kind)).collect()
    }
}

/// A workflow.
#[derive(Clone, Debug, Default)]
pub struct WorkflowLabel {
    /// Its name.
    pub name: String,
    /// Names of its steps.
    pub steps: Vec<String>,
}

/// A class of requests.
#[derive(Clone, Debug, Default)]
pub struct ClassLabel {
    /// Its name.
    pub name: String,
    /// What its users are promised.
    pub slo: Slo,
    /// When a request of it has failed, counted from its arrival; `None` if only the fleet's own limit
    /// counts.
    pub deadline: Option<Span>,
}

/// What users of a class are promised; what is not given always holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slo {
    /// Time to the first token.
    pub first_token: Option<Span>,
    /// Time per token after it.
    pub per_token: Option<Span>,
    /// Time to the last token.
    pub total: Option<Span>,
}

impl Slo {
    /// Nothing is promised.
    pub const NONE: Slo = Slo { first_token: None, per_token: None, total: None };
}

/// A node.
#[derive(Clone, Debug, Default)]
pub struct NodeLabel {
    /// Its name.
    pub name: String,
    /// Its pool, by index.
    pub pool: usize,
    /// Its tier.
    pub tier: crate::balance::Tier,
    /// Its model, or what it is in a word.
    pub kind: String,
    /// Attempts it can work on at a time, where that is known.
    pub capacity: Option<u32>,
    /// Whether all it works on share one machine, as in continuous batching: then it is busy as a whole
    /// or not at all, and `capacity` are seats.
    pub shares_time: bool,
    /// What it costs by being there, in micro-dollars an hour.
    pub hourly: u64,
    /// What it charges for tokens.
    pub prices: Prices,
}

impl NodeLabel {
    /// Returns whether it costs anything.
    fn has_price(&self) -> bool {
        self.hourly > 0 || self.prices != Prices::default()
    }
}
