//! The keys of every result as JSON: of a run, a comparison, false alarms, chaos, an explanation.
//!
//! A key never comes from the name of a field of the program: fields may be renamed, keys may not
//! without a new schema version. Each table takes its type apart by name, so that a new field is not
//! compiled before it has its key. Keys are written in the order of the table; those `or nothing` are
//! left out where there is nothing to tell. What has no sample is null.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::chaos::{FailedSeed, Result as ChaosResult};
use super::choice::{ArmStory, EscalationStory, ModelStory};
use super::explanation::{Decision, Row, ScorePart, Story};
use crate::lab::{
    Alarm, Alarms, CompareVerdict, Comparison, ConfidenceInterval, Difference, Measured,
    MetricValues, Runs, StrategyResult,
};
use crate::metrics::expect::ExpectVerdict;
use crate::metrics::{
    Attempts, BatchSummary, ByHand, CacheSummary, Class, Costs, Goodput, GroupSummary, Hours,
    JobCost, JobCounts, JobSummary, Latency, LevelSummary, LimitSummary, ModelQuality, ModelUse,
    NodeSummary, OverloadSummary, Pool, PressureSummary, Quality, RequestCounts, RouteSummary,
    StepSummary, Summary, TenantSummary, TokenCounts, WorkflowSummary,
};

/// Every object of every result, and its keys in order.
#[must_use]
pub fn keys() -> Vec<(&'static str, &'static [&'static str])> {
    [TABLES, &[("jobs", JOBS), ("verdict", VERDICTS)]].concat()
}

/// Something that may have nothing to tell.
trait Blank {
    fn is_blank(&self) -> bool;
}

impl Blank for u64 {
    fn is_blank(&self) -> bool {
        *self == 0
    }
}

impl Blank for bool {
    fn is_blank(&self) -> bool {
        !*self
    }
}

impl<T> Blank for Option<T> {
    fn is_blank(&self) -> bool {
        self.is_none()
    }
}

impl<T> Blank for Vec<T> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Blank for BTreeMap<K, V> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

macro_rules! tables {
    ($($type:ident = $title:literal {
        $($field:ident: $key:literal $(or $nothing:ident)? $(by $word:ident)?),* $(,)? $(; without $left:ident)?
    })*) => {
        const TABLES: &[(&str, &[&str])] = &[$(($title, &[$($key),*])),*];
        $(
            impl Serialize for $type {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    let $type { $($field),* $(, $left: _)? } = self;
                    let mut to = serializer.serialize_map(None)?;
                    $(entry!(to, $key, $field $(or $nothing)? $(by $word)?);)*
                    to.end()
                }
            }
        )*
    };
}

macro_rules! entry {
    ($to:ident, $key:literal, $field:ident) => {
        $to.serialize_entry($key, $field)?
    };
    ($to:ident, $key:literal, $field:ident or nothing) => {
        if !$field.is_blank() {
            $to.serialize_entry($key, $field)?;
        }
    };
    ($to:ident, $key:literal, $field:ident by $word:ident) => {
        $to.serialize_entry($key, $field.$word())?
    };
}

tables! {
    Summary = "result" {
        schema_version: "schema_version", scenario: "scenario", seed: "seed", complete: "complete",
        simulated_s: "simulated_s", warmup_s: "warmup_s", arrivals_s: "arrivals_s", strategies: "strategies",
        requests: "requests", unserved: "unserved" or nothing, attempts: "attempts",
        latency_s: "latency_s", ttft_s: "ttft_s", tpot_s: "tpot_s", queue_s: "queue_s",
        tokens: "tokens", cost_usd: "cost_usd", goodput: "goodput", fairness_jain: "fairness_jain",
        classes: "classes", pools: "pools", nodes: "nodes", jobs: "jobs" or nothing,
        workflows: "workflows" or nothing, hours: "hours" or nothing, groups: "groups" or nothing,
        quality: "quality" or nothing, routes: "routes" or nothing,
        tenants: "tenants" or nothing, models: "models" or nothing, overload: "overload" or nothing,
        real: "real" or nothing, cache: "cache" or nothing,
        by_hand: "by_hand" or nothing,
    }
    CacheSummary = "cache" {
        lookups: "lookups", hits: "hits", hit_ratio: "hit_ratio", saved_usd: "saved_usd",
        saved_tokens: "saved_tokens",
    }
    ByHand = "by hand" { at_s: "at_s", what: "what" }
    OverloadSummary = "overload" {
        levels: "rungs", changes: "changes", changes_omitted: "changes_omitted",
    }
    LevelSummary = "overload rung" {
        level: "rung", entered: "entered", stood_s: "stood_s", requests: "requests",
    }
    PressureSummary = "overload change" {
        at_s: "at_s", route: "route", what: "what", saturation: "saturation",
    }
    Quality = "quality" {
        answers: "answers", mean: "mean", escalated: "escalated", feedback: "feedback",
        models: "models",
    }
    ModelQuality = "model" { model: "model", answers: "answers", share: "share", mean: "mean" }
    RouteSummary = "route" {
        name: "name", requests: "requests", latency_s: "latency_s", ttft_s: "ttft_s",
        cost_usd: "cost_usd", quality: "quality" or nothing, models: "models" or nothing,
        cache: "cache" or nothing,
    }
    TenantSummary = "tenant" {
        name: "name", requests: "requests", over_budget: "over_budget" or nothing,
        tokens: "tokens", cost_usd: "cost_usd", goodput: "goodput",
    }
    ModelUse = "model use" {
        model: "model", nodes: "nodes", attempts: "attempts", failed: "failed",
        utilisation: "utilisation", cost_usd: "cost_usd",
    }
    Hours = "hours" {
        node_hours: "node_hours", starting_hours: "starting_hours", idle_hours: "idle_hours",
        idle_share: "idle_share", idle_usd: "idle_usd",
    }
    BatchSummary = "batches" { count: "count", mean_size: "mean_size" }
    GroupSummary = "group" {
        name: "name", pool: "pool", nodes_least: "nodes_least", nodes_mean: "nodes_mean",
        nodes_most: "nodes_most", nodes_last: "nodes_last", grown: "grown", shrunk: "shrunk",
        hours: "hours", cost_usd: "cost_usd",
    }
    Attempts = "attempts" {
        total: "total", retries: "retries", hedges: "hedges", failovers: "failovers",
        degraded: "degraded", over_budget: "over_budget" or nothing, hedge_wins: "hedge_wins" or nothing,
        hedges_denied: "hedges_denied" or nothing, retries_denied: "retries_denied" or nothing,
        resumed: "resumed" or nothing, panic: "panic" or nothing,
        panics: "panics" or nothing, kept_in: "kept_in" or nothing,
    }
    Latency = "times" {
        mean: "mean", p50: "p50", p90: "p90", p95: "p95", p99: "p99", p999: "p999", max: "max",
    }
    TokenCounts = "tokens" { input: "input", cached_input: "cached_input", output: "output" }
    Costs = "costs" {
        total: "total", per_1k_requests: "per_1k_requests", tokens: "tokens", hours: "hours",
    }
    Goodput = "goodput" { requests_per_s: "requests_per_s", slo_attainment: "slo_attainment" }
    Class = "class" {
        name: "name", requests: "requests", latency_s: "latency_s", ttft_s: "ttft_s",
        tpot_s: "tpot_s", cost_usd: "cost_usd", goodput: "goodput", degraded: "degraded",
        quality: "quality" or nothing, cache: "cache" or nothing,
    }
    Pool = "pool" {
        name: "name", strategy: "strategy", requests: "requests", latency_s: "latency_s",
        ttft_s: "ttft_s", cost_usd: "cost_usd", hours: "hours" or nothing,
        batches: "batches" or nothing, kv: "kv" or nothing, kv_max: "kv_max" or nothing,
    }
    NodeSummary = "node" {
        name: "name", pool: "pool", share: "share", attempts: "attempts", failed: "failed",
        utilisation: "utilisation", seats: "seats" or nothing, batch: "batch" or nothing,
        kv: "kv" or nothing, kv_max: "kv_max" or nothing,
        latency_s: "latency_s", cost_usd: "cost_usd",
        hours: "hours" or nothing, limit: "limit" or nothing,
    }
    LimitSummary = "limit" { last: "last", least: "least", most: "most" }
    JobCost = "job cost" { total: "total", mean: "mean", hours: "hours" }
    WorkflowSummary = "workflow" { name: "name", all: "jobs", steps: "steps" }
    StepSummary = "step" {
        name: "name", runs: "runs", instances: "instances", skipped: "skipped",
        requests: "requests", failed: "failed", latency_s: "latency_s", cost_usd: "cost_usd",
    }
    RequestCounts = "requests" {
        arrived: "arrived", completed: "completed", failed: "failed", rejected: "rejected",
        cancelled: "cancelled", in_flight: "in_flight",
    }
    ExpectVerdict = "expectation" {
        text: "text", value: "value", limit: "limit", held: "held"; without unit
    }
    Story = "explanation" {
        request: "request", class: "class", arrived_s: "arrived_s", prompt_tokens: "prompt_tokens",
        fate: "fate", settled_s: "settled_s", attempts: "attempts", model: "model" or nothing,
        escalations: "escalations" or nothing,
    }
    Decision = "explained attempt" {
        attempt: "attempt", at_s: "at_s", route: "route", pool: "pool", tier: "tier",
        strategy: "strategy", expected_output_tokens: "expected_output_tokens", open: "open",
        looked_at: "looked_at", chosen: "chosen", runner_up: "runner_up", end: "end",
        ended_s: "ended_s", candidates: "candidates", omitted: "omitted",
    }
    Row = "candidate" {
        node: "node", verdict: "verdict", filter: "filter", score: "score", terms: "terms",
        success: "success", in_flight: "in_flight",
    }
    ScorePart = "term" { term: "term", value: "value", unit: "unit"; without in_score }
    ModelStory = "model choice" { pool: "pool", by: "by", why: "why", arms: "arms" or nothing }
    ArmStory = "arm" {
        pool: "pool", heard: "heard", mean: "mean", drawn: "drawn", cost_usd: "cost_usd",
        value: "value",
    }
    EscalationStory = "escalation" { at_s: "at_s", node: "node", score: "score", next: "next" }
    Comparison = "comparison" {
        schema_version: "schema_version", kind: "kind", scenario: "scenario", complete: "complete",
        seeds: "seeds", runs: "runs", baseline: "baseline", confidence: "confidence",
        metrics: "metrics", strategies: "strategies", differences: "differences",
    }
    Runs = "runs" { planned: "planned", done: "done" }
    Measured = "metric" {
        name: "name", label: "label", unit: "unit" by word, better: "better" by word,
        headline: "headline",
    }
    StrategyResult = "compared strategy" {
        name: "name", runs: "runs", expectations_held: "expectations_held", seeds_won: "seeds_won",
        pareto: "pareto", metrics: "metrics", bound: "bound" or nothing,
    }
    MetricValues = "compared value" { mean: "mean", half_width: "half_width", values: "values" }
    ConfidenceInterval = "interval" { low: "low", high: "high" }
    Difference = "difference" {
        strategy: "strategy", metric: "metric", seeds: "seeds", baseline: "baseline", mean: "mean",
        interval: "interval", interval_alone: "interval_alone", p: "p", p_adjusted: "p_adjusted",
        detectable: "detectable", won: "won", lost: "lost", verdict: "verdict",
    }
    Alarms = "false alarms" {
        schema_version: "schema_version", kind: "kind", scenario: "scenario", strategy: "strategy",
        complete: "complete", tries: "tries", seeds: "seeds", any: "any", metrics: "metrics",
    }
    Alarm = "false alarms of a metric" {
        metric: "metric", headline: "headline", tries: "tries", alarms: "alarms",
    }
    ChaosResult = "chaos" {
        schema_version: "schema_version", kind: "kind", build: "build", complete: "complete",
        first_seed: "first_seed", planned: "planned", held: "held", happened: "happened",
        features: "features", violation: "violation",
    }
    FailedSeed = "violation" {
        seed: "seed", invariant: "invariant", sentence: "sentence", said: "said", at_s: "at_s",
        tries: "tries", scenario: "scenario",
    }
}

const JOBS: &[&str] = &[
    "started",
    "completed",
    "failed",
    "in_flight",
    "timed_out",
    "latency_s",
    "requests_per_job",
    "cost_usd",
];

/// The counts of jobs stand beside what else there is of them.
impl Serialize for JobSummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let JobSummary { jobs, latency_s, requests_per_job, cost_usd } = self;
        let JobCounts { started, completed, failed, in_flight, timed_out } = jobs;
        let mut to = serializer.serialize_map(None)?;
        for (key, count) in JOBS.iter().zip([started, completed, failed, in_flight, timed_out]) {
            to.serialize_entry(key, count)?;
        }
        to.serialize_entry(JOBS[5], latency_s)?;
        to.serialize_entry(JOBS[6], requests_per_job)?;
        to.serialize_entry(JOBS[7], cost_usd)?;
        to.end()
    }
}

const VERDICTS: &[&str] = &["better", "worse", "more", "less", "no_difference", "same", "unknown"];

impl Serialize for CompareVerdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = match self {
            CompareVerdict::Better => 0,
            CompareVerdict::Worse => 1,
            CompareVerdict::More => 2,
            CompareVerdict::Less => 3,
            CompareVerdict::NoDifference => 4,
            CompareVerdict::Same => 5,
            CompareVerdict::Unknown => 6,
        };
        serializer.serialize_str(VERDICTS[place])
    }
}
