//! The result of a run as plain data: what `--format json` prints, key for key.
//!
//! Seconds and dollars are numbers and the unit stands in the key. Quantities without a sample
//! are null. Keys are never renamed, only added (`schema_version`).

use std::collections::BTreeMap;

use super::counts::RequestCounts;
use crate::balance::Usage;
use crate::unit::Cost;

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// 1.
    pub schema_version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Whether the run came to its end.
    pub complete: bool,
    /// Whether nodes were real, so that nothing is simulated.
    pub real: bool,
    /// Time from the start until the last request had its end.
    pub simulated_s: f64,
    /// Seconds at the start that are left out of every statistic below.
    pub warmup_s: f64,
    /// Seconds in which requests came that count: from the end of warm-up to the last arrival. Rates are of
    /// this time.
    pub arrivals_s: f64,
    /// Strategy by pool; where somebody changed it, until when it was which.
    pub strategies: BTreeMap<String, String>,
    /// What somebody did to the run by hand, in its order.
    pub by_hand: Vec<ByHand>,
    /// Requests by what became of them.
    pub requests: RequestCounts,
    /// Why requests had no whole answer: the last word on each.
    pub unserved: BTreeMap<&'static str, u64>,
    /// Attempts.
    pub attempts: Attempts,
    /// From the intended arrival to the last token, completed requests.
    pub latency_s: Latency,
    /// From the intended arrival to the first token, completed requests.
    pub ttft_s: Latency,
    /// Time per token after the first, completed requests that stream.
    pub tpot_s: Latency,
    /// From the intended arrival to the first dispatch.
    pub queue_s: Latency,
    /// Tokens of all attempts.
    pub tokens: TokenCounts,
    /// Dollars.
    pub cost_usd: Costs,
    /// What was promised and kept.
    pub goodput: Goodput,
    /// Jain's index over attempts per node weight; 1 is even.
    pub fairness_jain: Option<f64>,
    /// By class, in file order.
    pub classes: Vec<Class>,
    /// By pool, in file order.
    pub pools: Vec<Pool>,
    /// By node, in file order.
    pub nodes: Vec<NodeSummary>,
    /// Jobs of all workflows; left out where there are no workflows.
    pub jobs: Option<JobSummary>,
    /// By workflow, in file order; left out where there are none.
    pub workflows: Vec<WorkflowSummary>,
    /// Hours of all nodes.
    pub hours: Option<Hours>,
    /// Groups of nodes that grow and shrink, in file order.
    pub groups: Vec<GroupSummary>,
    /// How good delivered answers were; left out where that is not known.
    pub quality: Option<Quality>,
    /// By route, in file order; left out where routes have no names.
    pub routes: Vec<RouteSummary>,
    /// By tenant, those with most requests first; left out where all are of one without a name.
    pub tenants: Vec<TenantSummary>,
    /// By model, in the order of their first node; left out where there is one only.
    pub models: Vec<ModelUse>,
    /// What was shed and given up under load; left out where nothing of it is configured.
    pub overload: Option<OverloadSummary>,
    /// Answers that were kept, if any were looked for.
    pub cache: Option<CacheSummary>,
}

impl Summary {
    /// Tells what only the nodes know: by node, the share of its KV cache that was used, in the mean over
    /// time and at most.
    pub fn tell_kv(&mut self, used: impl IntoIterator<Item = Option<(f64, f64)>>) {
        for (node, used) in self.nodes.iter_mut().zip(used) {
            (node.kv, node.kv_max) = used.unzip();
        }
        for pool in &mut self.pools {
            let nodes = self.nodes.iter().filter(|node| node.pool == pool.name);
            let known: Vec<(f64, f64)> =
                nodes.filter_map(|node| node.kv.zip(node.kv_max)).collect();
            if known.is_empty() {
                continue;
            }
            let mean = known.iter().map(|(mean, _)| mean).sum::<f64>() / known.len() as f64;
            pool.kv = Some(mean);
            pool.kv_max = known.iter().map(|(_, most)| *most).max_by(f64::total_cmp);
        }
    }
}

/// Something that somebody did to a run by hand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ByHand {
    /// When, in seconds since the start.
    pub at_s: f64,
    /// What it was, such as `kill azure-us`.
    pub what: String,
}

/// A tenant, or all that have its name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantSummary {
    /// Its name; its number where it has none.
    pub name: String,
    /// Its requests that have reached their end.
    pub requests: RequestCounts,
    /// Those that only cheaper pools could serve, because its budget was spent.
    pub over_budget: u64,
    /// Tokens of the attempts that answered.
    pub tokens: TokenCounts,
    /// Tokens of all attempts at their price.
    pub cost_usd: Costs,
    /// What was promised and kept.
    pub goodput: Goodput,
}

/// How much the nodes of a model were used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelUse {
    /// Its name, or what its nodes are.
    pub model: String,
    /// Nodes.
    pub nodes: u64,
    /// Attempts they were given.
    pub attempts: u64,
    /// Those that did not end well.
    pub failed: u64,
    /// Mean over its nodes for which it is known; see [`NodeSummary`].
    pub utilisation: Option<f64>,
    /// Tokens at their price, and hourly prices.
    pub cost_usd: Costs,
}

/// What was shed and given up under load, over the whole run, warm-up included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OverloadSummary {
    /// Levels of degradation that were stood on, the lowest first.
    pub levels: Vec<LevelSummary>,
    /// What changed when, the first thousand.
    pub changes: Vec<PressureSummary>,
    /// Those that came after them.
    pub changes_omitted: u64,
}

/// A level of degradation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LevelSummary {
    /// Its name.
    pub level: &'static str,
    /// How often a route stepped up to it.
    pub entered: u64,
    /// How long routes stood on it, summed over routes.
    pub stood_s: f64,
    /// Requests that it was the last to touch.
    pub requests: u64,
}

/// A change of who is shed or of what is given up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PressureSummary {
    /// When.
    pub at_s: f64,
    /// On which route; empty where there is one only.
    pub route: String,
    /// What, in a few words.
    pub what: String,
    /// The saturation of the route then.
    pub saturation: f64,
}

/// How good delivered answers were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quality {
    /// Answers of which it is known.
    pub answers: u64,
    /// Mean quality: the share of good answers where each is good or not.
    pub mean: Option<f64>,
    /// Answers that a cascade did not accept, after warm-up.
    pub escalated: u64,
    /// Judgements of clients about answers that a bandit heard, after warm-up.
    pub feedback: u64,
    /// By model, in the order of their first node.
    pub models: Vec<ModelQuality>,
}

/// How good the delivered answers of a model were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelQuality {
    /// Its name.
    pub model: String,
    /// Answers of which it is known.
    pub answers: u64,
    /// Their share of all.
    pub share: f64,
    /// Mean quality.
    pub mean: Option<f64>,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteSummary {
    /// Its name.
    pub name: String,
    /// Requests by what became of them, counted at their end.
    pub requests: RequestCounts,
    /// See [`Summary`].
    pub latency_s: Latency,
    /// See [`Summary`].
    pub ttft_s: Latency,
    /// Tokens of all attempts of its requests up to their end, at their price.
    pub cost_usd: Costs,
    /// Mean quality of its answers, where that is known.
    pub quality: Option<f64>,
    /// Its answers by model, where quality is known.
    pub models: Vec<ModelQuality>,
    /// Answers that it kept, if any were looked for.
    pub cache: Option<CacheSummary>,
}

/// How long nodes were paid for, from their start until they were off or gone, and how long of that
/// they did nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hours {
    /// Hours paid for, of all nodes together.
    pub node_hours: f64,
    /// Those of them in which a node started.
    pub starting_hours: f64,
    /// Those of them in which a node was up and had nothing in flight.
    pub idle_hours: f64,
    /// Their share.
    pub idle_share: Option<f64>,
    /// What they cost, in dollars.
    pub idle_usd: f64,
}

/// Batches of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BatchSummary {
    /// Batches sent, warm-up included.
    pub count: u64,
    /// Requests a batch.
    pub mean_size: Option<f64>,
}

/// A group of nodes that grows and shrinks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupSummary {
    /// Its name.
    pub name: String,
    /// Its pool.
    pub pool: String,
    /// The fewest nodes it wanted at a time.
    pub nodes_least: u32,
    /// Nodes paid for in the mean.
    pub nodes_mean: f64,
    /// The most it wanted at a time.
    pub nodes_most: u32,
    /// What it wanted at the end.
    pub nodes_last: u32,
    /// Steps up.
    pub grown: u64,
    /// Steps down.
    pub shrunk: u64,
    /// See above.
    pub hours: Hours,
    /// Hourly prices of its nodes, in dollars.
    pub cost_usd: f64,
}

/// Attempts and why there was more than one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// All dispatches.
    pub total: u64,
    /// Those after a failure.
    pub retries: u64,
    /// Those beside another one.
    pub hedges: u64,
    /// Requests served by another node than the first tried, or a lower tier than the first
    /// eligible.
    pub failovers: u64,
    /// Requests completed by a pool their route degrades to.
    pub degraded: u64,
    /// Requests that only cheaper pools could serve, because their tenant's budget was spent.
    pub over_budget: u64,
    /// Requests completed by a hedge.
    pub hedge_wins: u64,
    /// Late first tokens without a hedge: the pools were busy, the budget was used up, or no other
    /// node was open.
    pub hedges_denied: u64,
    /// Failed requests that were not tried again for want of budget.
    pub retries_denied: u64,
    /// Retries that went on where an answer had been cut.
    pub resumed: u64,
    /// Dispatches to ejected nodes, because nothing that their route may use was well.
    pub panic: u64,
    /// How often nothing that a route may use was well, so that ejected nodes served it too.
    pub panics: u64,
    /// How often a node was to be ejected and was kept in.
    pub kept_in: u64,
}

/// A distribution of times in seconds; null without a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// Arithmetic mean, exact.
    pub mean: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 90 % quantile.
    pub p90: Option<f64>,
    /// 95 % quantile.
    pub p95: Option<f64>,
    /// 99 % quantile.
    pub p99: Option<f64>,
    /// 99.9 % quantile.
    pub p999: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
}

/// Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Of prompts, cached ones included.
    pub input: u64,
    /// Of prompts, found in a cache.
    pub cached_input: u64,
    /// Of answers.
    pub output: u64,
}

impl TokenCounts {
    pub(super) const fn add(&mut self, usage: &Usage) {
        self.input += usage.input.0;
        self.cached_input += usage.cached.0;
        self.output += usage.output.0;
    }
}

/// Dollars. `total` is exact in pico-dollars before it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Costs {
    /// All.
    pub total: f64,
    /// All, per thousand requests that arrived.
    pub per_1k_requests: Option<f64>,
    /// Tokens at their price.
    pub tokens: f64,
    /// Hourly prices of nodes.
    pub hours: f64,
}

impl Costs {
    /// These and others, of so many requests together.
    pub(super) fn with(self, other: &Costs, requests: u64) -> Costs {
        let total = self.total + other.total;
        Costs {
            total,
            per_1k_requests: (requests > 0).then(|| total * 1_000.0 / requests as f64),
            tokens: self.tokens + other.tokens,
            hours: self.hours + other.hours,
        }
    }

    /// The cost of tokens and of hours, for so many requests.
    pub(super) fn of(tokens: Cost, hours: Cost, requests: u64) -> Costs {
        let total = (tokens + hours).dollars();
        Costs {
            total,
            per_1k_requests: (requests > 0).then(|| total * 1_000.0 / requests as f64),
            tokens: tokens.dollars(),
            hours: hours.dollars(),
        }
    }
}

/// What was promised and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Goodput {
    /// Completed requests that kept every promise of their class, a second.
    pub requests_per_s: Option<f64>,
    /// Their share of all requests that reached an end.
    pub slo_attainment: Option<f64>,
}

/// Answers that were kept: how often one was looked for and found, and what that saved.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CacheSummary {
    /// Requests that were looked for.
    pub lookups: u64,
    /// Those of `lookups` that were answered so, without a node.
    pub hits: u64,
    /// The part of `lookups` that `hits` are.
    pub hit_ratio: Option<f64>,
    /// What the answers had cost when they came, in dollars.
    pub saved_usd: f64,
    /// Tokens of the answers.
    pub saved_tokens: u64,
}

/// A class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Requests by what became of them.
    pub requests: RequestCounts,
    /// See [`Summary`].
    pub latency_s: Latency,
    /// See [`Summary`].
    pub ttft_s: Latency,
    /// See [`Summary`].
    pub tpot_s: Latency,
    /// Tokens of all attempts at their price.
    pub cost_usd: Costs,
    /// What was promised and kept.
    pub goodput: Goodput,
    /// Requests completed by a pool their route degrades to.
    pub degraded: u64,
    /// Mean quality of its answers, where that is known.
    pub quality: Option<f64>,
    /// Answers that were kept, if its requests were looked for among some.
    pub cache: Option<CacheSummary>,
}

/// A pool. Its requests are those whose last attempt it made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Its strategy at the end of the run.
    pub strategy: String,
    /// Requests by what became of them.
    pub requests: RequestCounts,
    /// See [`Summary`].
    pub latency_s: Latency,
    /// See [`Summary`].
    pub ttft_s: Latency,
    /// Tokens of all attempts at their price, and hourly prices of its nodes.
    pub cost_usd: Costs,
    /// Hours of its nodes.
    pub hours: Option<Hours>,
    /// Its batches, if it takes batches.
    pub batches: Option<BatchSummary>,
    /// The mean of `kv` over its engines.
    pub kv: Option<f64>,
    /// The largest `kv_max` of its engines.
    pub kv_max: Option<f64>,
}

/// A node. Its latency is of good attempts, from their dispatch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeSummary {
    /// Its name.
    pub name: String,
    /// Its pool.
    pub pool: String,
    /// Share of all attempts.
    pub share: f64,
    /// Attempts it was given.
    pub attempts: u64,
    /// Those that did not end well (cancelled ones not counted).
    pub failed: u64,
    /// Over the run: of an engine the share of time in which it worked on something, of other nodes the
    /// busy share of what they work on at a time, where that is known.
    pub utilisation: Option<f64>,
    /// Seats of an engine that were taken, as a share of them.
    pub seats: Option<f64>,
    /// Attempts that an engine had together while it had any.
    pub batch: Option<f64>,
    /// The share of an engine's KV cache that requests held, in the mean over time.
    pub kv: Option<f64>,
    /// The same at most.
    pub kv_max: Option<f64>,
    /// See above.
    pub latency_s: Latency,
    /// Tokens at their price, and its hourly price.
    pub cost_usd: Costs,
    /// Its hours.
    pub hours: Option<Hours>,
    /// How many attempts at a time its limiter let it take, if it has one.
    pub limit: Option<LimitSummary>,
}

/// What a limiter found, over the whole run, warm-up included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitSummary {
    /// At the end.
    pub last: u32,
    /// The lowest.
    pub least: u32,
    /// The highest.
    pub most: u32,
}

/// Jobs by what became of them; `started` is `completed + failed + in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// All that started.
    pub started: u64,
    /// All steps are over.
    pub completed: u64,
    /// A step failed that may neither be skipped nor tried again, or the deadline passed.
    pub failed: u64,
    /// No end yet.
    pub in_flight: u64,
    /// Those of `failed` whose deadline passed.
    pub timed_out: u64,
}

/// What jobs cost, in dollars: tokens of all attempts of all their requests at their price, and their share
/// of the hours of nodes, by the time that attempts took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JobCost {
    /// All jobs that ended, exact in pico-dollars before it is shown.
    pub total: f64,
    /// The same, per job that ended.
    pub mean: Option<f64>,
    /// What of it is their share of the hours of nodes.
    pub hours: f64,
}

/// Jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JobSummary {
    /// By what became of them.
    pub jobs: JobCounts,
    /// From the intended start to the end, completed jobs.
    pub latency_s: Latency,
    /// Requests per job that ended, all tries and nested calls.
    pub requests_per_job: Option<f64>,
    /// Dollars.
    pub cost_usd: JobCost,
}

/// A workflow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkflowSummary {
    /// Its name.
    pub name: String,
    /// Its jobs.
    pub all: JobSummary,
    /// By step, in file order.
    pub steps: Vec<StepSummary>,
}

/// A step of a workflow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepSummary {
    /// Its name.
    pub name: String,
    /// Jobs in which it is over.
    pub runs: u64,
    /// Instances that ran side by side in those.
    pub instances: u64,
    /// Those of `instances` that failed and were left out.
    pub skipped: u64,
    /// Its requests, all tries and nested calls.
    pub requests: u64,
    /// Those of `requests` that failed or were rejected.
    pub failed: u64,
    /// From the moment it could begin until all its instances were over.
    pub latency_s: Latency,
    /// Tokens of all attempts at their price.
    pub cost_usd: f64,
}
