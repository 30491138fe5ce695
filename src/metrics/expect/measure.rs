//! What can be measured, of what, and where it stands in a [`Summary`].

use super::{Scope, Unit};
use crate::metrics::RequestCounts;
use crate::metrics::summary::{
    Attempts, Costs, Goodput, Hours, JobSummary, Latency, NodeSummary, Summary, TokenCounts,
};

/// Something a run measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    Latency,
    FirstToken,
    PerToken,
    Queue,
    Arrived,
    Completed,
    Failed,
    Rejected,
    Cancelled,
    InFlight,
    Errors,
    Attempts,
    Retries,
    Hedges,
    HedgeWins,
    Resumed,
    Failovers,
    Degraded,
    TokensInput,
    TokensCached,
    TokensOutput,
    Cost,
    CostPer1k,
    CostTokens,
    CostHours,
    Goodput,
    Throughput,
    SloAttainment,
    Fairness,
    Share,
    Utilisation,
    NodeHours,
    IdleHours,
    IdleShare,
    IdleCost,
    NodesLeast,
    NodesMost,
    BatchSize,
    TimedOut,
    CostMean,
    Quality,
    Escalated,
}

/// One number of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stat {
    Mean,
    P50,
    P90,
    P95,
    P99,
    P999,
    Max,
}

pub(super) const STATS: [(&str, Stat); 7] = [
    ("mean", Stat::Mean),
    ("p50", Stat::P50),
    ("p90", Stat::P90),
    ("p95", Stat::P95),
    ("p99", Stat::P99),
    ("p999", Stat::P999),
    ("max", Stat::Max),
];

impl Stat {
    fn of(self, latency: &Latency) -> Option<f64> {
        match self {
            Stat::Mean => latency.mean,
            Stat::P50 => latency.p50,
            Stat::P90 => latency.p90,
            Stat::P95 => latency.p95,
            Stat::P99 => latency.p99,
            Stat::P999 => latency.p999,
            Stat::Max => latency.max,
        }
    }
}

pub(super) const RUN: u8 = 1;
pub(super) const CLASS: u8 = 2;
pub(super) const POOL: u8 = 4;
pub(super) const NODE: u8 = 8;
pub(super) const JOBS: u8 = 16;
pub(super) const ROUTE: u8 = 32;
const GROUPS: u8 = RUN | CLASS | POOL | ROUTE;
const ALL: u8 = GROUPS | NODE;
const PAID: u8 = RUN | POOL | NODE;

/// Name, what it is, its unit, and the scopes for which it is measured.
pub(super) type Entry = (&'static str, Metric, Unit, u8);

/// Every metric; a second name of one follows the first.
pub(super) const METRICS: [Entry; 48] = [
    ("latency", Metric::Latency, Unit::Seconds, ALL | JOBS),
    ("ttft", Metric::FirstToken, Unit::Seconds, GROUPS),
    ("tpot", Metric::PerToken, Unit::Seconds, RUN | CLASS),
    ("queue", Metric::Queue, Unit::Seconds, RUN),
    ("arrived", Metric::Arrived, Unit::Count, GROUPS),
    ("completed", Metric::Completed, Unit::Count, GROUPS | JOBS),
    ("failed", Metric::Failed, Unit::Count, ALL | JOBS),
    ("rejected", Metric::Rejected, Unit::Count, GROUPS),
    ("cancelled", Metric::Cancelled, Unit::Count, GROUPS),
    ("in_flight", Metric::InFlight, Unit::Count, GROUPS | JOBS),
    ("errors", Metric::Errors, Unit::Count, ALL),
    ("error", Metric::Errors, Unit::Count, ALL),
    ("attempts", Metric::Attempts, Unit::Count, RUN | NODE),
    ("retries", Metric::Retries, Unit::Count, RUN),
    ("hedges", Metric::Hedges, Unit::Count, RUN),
    ("hedge_wins", Metric::HedgeWins, Unit::Count, RUN),
    ("resumed", Metric::Resumed, Unit::Count, RUN),
    ("failovers", Metric::Failovers, Unit::Count, RUN),
    ("degraded", Metric::Degraded, Unit::Count, RUN | CLASS),
    ("tokens_input", Metric::TokensInput, Unit::Count, RUN),
    ("tokens_cached_input", Metric::TokensCached, Unit::Count, RUN),
    ("tokens_output", Metric::TokensOutput, Unit::Count, RUN),
    ("cost", Metric::Cost, Unit::Dollars, ALL | JOBS),
    ("cost_per_1k", Metric::CostPer1k, Unit::Dollars, GROUPS),
    ("cost_per_1k_requests", Metric::CostPer1k, Unit::Dollars, GROUPS),
    ("cost_tokens", Metric::CostTokens, Unit::Dollars, ALL),
    ("cost_hours", Metric::CostHours, Unit::Dollars, RUN | POOL | NODE),
    ("goodput", Metric::Goodput, Unit::PerSecond, RUN | CLASS),
    ("throughput", Metric::Throughput, Unit::PerSecond, GROUPS | JOBS),
    ("slo_attainment", Metric::SloAttainment, Unit::Share, RUN | CLASS),
    ("fairness_jain", Metric::Fairness, Unit::Share, RUN),
    ("fairness", Metric::Fairness, Unit::Share, RUN),
    ("share", Metric::Share, Unit::Share, NODE),
    ("utilisation", Metric::Utilisation, Unit::Share, NODE),
    ("utilization", Metric::Utilisation, Unit::Share, NODE),
    ("requests", Metric::Arrived, Unit::Count, GROUPS),
    ("node_hours", Metric::NodeHours, Unit::Number, PAID),
    ("idle_hours", Metric::IdleHours, Unit::Number, PAID),
    ("idle_share", Metric::IdleShare, Unit::Share, PAID),
    ("idle_cost", Metric::IdleCost, Unit::Dollars, PAID),
    ("nodes_least", Metric::NodesLeast, Unit::Count, RUN | POOL),
    ("nodes_most", Metric::NodesMost, Unit::Count, RUN | POOL),
    ("batch_size", Metric::BatchSize, Unit::Number, POOL),
    ("started", Metric::Arrived, Unit::Count, JOBS),
    ("timed_out", Metric::TimedOut, Unit::Count, JOBS),
    ("cost_mean", Metric::CostMean, Unit::Dollars, JOBS),
    ("quality", Metric::Quality, Unit::Share, RUN | CLASS | ROUTE),
    ("escalated", Metric::Escalated, Unit::Count, RUN),
];

/// The fewest and the most nodes wanted by the scaled groups of a pool, or of all; `None` if there is
/// no such group. Each counts with its own extremes, whenever they were.
fn sizes(summary: &Summary, pool: Option<&str>) -> Option<(u64, u64)> {
    let groups = summary.groups.iter().filter(|group| pool.is_none_or(|pool| group.pool == pool));
    groups
        .map(|group| (u64::from(group.nodes_least), u64::from(group.nodes_most)))
        .reduce(|(least, most), (other_least, other_most)| (least + other_least, most + other_most))
}

/// What a summary says of one scope; what it does not say there is `None` or zero.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct View {
    latency: Latency,
    first_token: Latency,
    per_token: Latency,
    queue: Latency,
    requests: RequestCounts,
    attempts: Attempts,
    tokens: TokenCounts,
    costs: Costs,
    goodput: Goodput,
    fairness: Option<f64>,
    share: Option<f64>,
    utilisation: Option<f64>,
    hours: Option<Hours>,
    /// Fewest and most nodes that scaled groups wanted.
    nodes: Option<(u64, u64)>,
    batch_size: Option<f64>,
    timed_out: u64,
    cost_mean: Option<f64>,
    quality: Option<f64>,
    escalated: u64,
    /// What `%` is a share of.
    whole: u64,
    /// Time over which requests were counted.
    seconds: f64,
}

impl View {
    /// `None` if there is nothing of that name.
    pub(super) fn of(summary: &Summary, scope: &Scope) -> Option<View> {
        let view = match scope {
            Scope::Run => View::run(summary),
            Scope::Class(name) => View::class(summary, name)?,
            Scope::Pool(name) => View::pool(summary, name)?,
            Scope::Node(name) => View::node(summary.nodes.iter().find(|node| node.name == *name)?),
            Scope::Route(name) => View::route(summary, name)?,
            Scope::Jobs(None) => View::jobs(summary.jobs.as_ref()?),
            Scope::Jobs(Some(name)) => {
                View::jobs(&summary.workflows.iter().find(|flow| flow.name == *name)?.all)
            }
        };
        Some(View { seconds: summary.simulated_s - summary.warmup_s, ..view })
    }

    fn run(summary: &Summary) -> View {
        View {
            latency: summary.latency_s,
            first_token: summary.ttft_s,
            per_token: summary.tpot_s,
            queue: summary.queue_s,
            requests: summary.requests,
            attempts: summary.attempts,
            tokens: summary.tokens,
            costs: summary.cost_usd,
            goodput: summary.goodput,
            fairness: summary.fairness_jain,
            hours: summary.hours,
            nodes: sizes(summary, None),
            quality: summary.quality.as_ref().and_then(|quality| quality.mean),
            escalated: summary.quality.as_ref().map_or(0, |quality| quality.escalated),
            whole: summary.requests.arrived,
            ..View::default()
        }
    }

    fn class(summary: &Summary, name: &str) -> Option<View> {
        let class = summary.classes.iter().find(|class| class.name == name)?;
        Some(View {
            latency: class.latency_s,
            first_token: class.ttft_s,
            per_token: class.tpot_s,
            requests: class.requests,
            attempts: Attempts { degraded: class.degraded, ..Attempts::default() },
            costs: class.cost_usd,
            goodput: class.goodput,
            quality: class.quality,
            whole: class.requests.arrived,
            ..View::default()
        })
    }

    fn route(summary: &Summary, name: &str) -> Option<View> {
        let route = summary.routes.iter().find(|route| route.name == name)?;
        Some(View {
            latency: route.latency_s,
            first_token: route.ttft_s,
            requests: route.requests,
            costs: route.cost_usd,
            quality: route.quality,
            whole: route.requests.arrived,
            ..View::default()
        })
    }

    fn pool(summary: &Summary, name: &str) -> Option<View> {
        let pool = summary.pools.iter().find(|pool| pool.name == name)?;
        Some(View {
            latency: pool.latency_s,
            first_token: pool.ttft_s,
            requests: pool.requests,
            costs: pool.cost_usd,
            hours: pool.hours,
            nodes: sizes(summary, Some(name)),
            batch_size: pool.batches.and_then(|batches| batches.mean_size),
            whole: pool.requests.arrived,
            ..View::default()
        })
    }

    fn node(node: &NodeSummary) -> View {
        View {
            latency: node.latency_s,
            requests: RequestCounts { failed: node.failed, ..RequestCounts::default() },
            attempts: Attempts { total: node.attempts, ..Attempts::default() },
            costs: node.cost_usd,
            share: Some(node.share),
            utilisation: node.utilisation,
            hours: node.hours,
            whole: node.attempts,
            ..View::default()
        }
    }

    fn jobs(jobs: &JobSummary) -> View {
        let counts = jobs.jobs;
        View {
            latency: jobs.latency_s,
            requests: RequestCounts {
                arrived: counts.started,
                completed: counts.completed,
                failed: counts.failed,
                in_flight: counts.in_flight,
                ..RequestCounts::default()
            },
            costs: Costs { total: jobs.cost_usd.total, ..Costs::default() },
            cost_mean: jobs.cost_usd.mean,
            timed_out: counts.timed_out,
            whole: counts.started,
            ..View::default()
        }
    }

    /// The metric as a part of a whole.
    pub(super) fn share_of(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::SloAttainment => self.goodput.slo_attainment,
            Metric::Fairness => self.fairness,
            Metric::Share => self.share,
            Metric::Quality => self.quality,
            Metric::Utilisation => self.utilisation,
            Metric::IdleShare => self.hours?.idle_share,
            _ if self.whole == 0 => None,
            _ => Some(self.count(metric)? as f64 / self.whole as f64),
        }
    }

    /// The metric in its own unit.
    pub(super) fn value(&self, metric: Metric, stat: Option<Stat>) -> Option<f64> {
        match metric {
            Metric::Latency => stat?.of(&self.latency),
            Metric::FirstToken => stat?.of(&self.first_token),
            Metric::PerToken => stat?.of(&self.per_token),
            Metric::Queue => stat?.of(&self.queue),
            Metric::Cost => Some(self.costs.total),
            Metric::CostMean => self.cost_mean,
            Metric::CostPer1k => self.costs.per_1k_requests,
            Metric::CostTokens => Some(self.costs.tokens),
            Metric::CostHours => Some(self.costs.hours),
            Metric::Goodput => self.goodput.requests_per_s,
            Metric::Throughput => self.throughput(),
            Metric::NodeHours => Some(self.hours?.node_hours),
            Metric::IdleHours => Some(self.hours?.idle_hours),
            Metric::IdleCost => Some(self.hours?.idle_usd),
            Metric::BatchSize => self.batch_size,
            _ => self.count(metric).map(|count| count as f64),
        }
    }

    fn throughput(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.requests.completed as f64 / self.seconds)
    }

    fn count(&self, metric: Metric) -> Option<u64> {
        let RequestCounts { arrived, completed, failed, rejected, cancelled, in_flight } =
            self.requests;
        Some(match metric {
            Metric::Arrived => arrived,
            Metric::Completed => completed,
            Metric::Failed => failed,
            Metric::Rejected => rejected,
            Metric::Cancelled => cancelled,
            Metric::InFlight => in_flight,
            Metric::Errors => failed + rejected,
            Metric::Attempts => self.attempts.total,
            Metric::Retries => self.attempts.retries,
            Metric::Hedges => self.attempts.hedges,
            Metric::HedgeWins => self.attempts.hedge_wins,
            Metric::Resumed => self.attempts.resumed,
            Metric::Failovers => self.attempts.failovers,
            Metric::Degraded => self.attempts.degraded,
            Metric::TimedOut => self.timed_out,
            Metric::TokensInput => self.tokens.input,
            Metric::TokensCached => self.tokens.cached_input,
            Metric::TokensOutput => self.tokens.output,
            Metric::NodesLeast => self.nodes?.0,
            Metric::NodesMost => self.nodes?.1,
            Metric::Escalated => self.escalated,
            _ => return None,
        })
    }
}
