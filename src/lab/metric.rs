//! What is compared: a table of metrics as data, read from the summary of a run.
//!
//! Names are those of expectations (`p99`, `ttft.p99`, `chat.p99`) where there is one.

use crate::metrics::expect::Unit;
use crate::metrics::{Class, Labels, Latency, RequestCounts, Summary};

/// Of more classes than this, only the first are compared by themselves.
const CLASSES_MAX: usize = 16;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less is better: seconds, failures, dollars.
    Lower,
    /// More is better: promises kept.
    Higher,
    /// Neither: evenness, for instance, is a means and no end.
    Neither,
}

/// How a metric is read.
#[derive(Clone, Copy)]
enum Read {
    Run(fn(&Summary) -> Option<f64>),
    Class(usize, fn(&Class) -> Option<f64>),
}

/// Something that is compared.
#[derive(Clone)]
pub struct Metric {
    /// As in expectations.
    pub name: String,
    /// For people.
    pub label: String,
    /// What its numbers are.
    pub unit: Unit,
    /// Which way is better.
    pub better: Better,
    /// Whether it is one of the few that decide: these are a family of tests of their own, so that
    /// the many others do not blunt them.
    pub headline: bool,
    read: Read,
}

impl std::fmt::Debug for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metric").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Metric {
    /// Returns its value in a run; `None` if it was not measured there.
    #[must_use]
    pub fn value(&self, summary: &Summary) -> Option<f64> {
        let value = match self.read {
            Read::Run(read) => read(summary),
            Read::Class(at, read) => summary.classes.get(at).and_then(read),
        };
        value.filter(|value| value.is_finite())
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn not_served(requests: &RequestCounts) -> Option<f64> {
    share(requests.failed + requests.rejected, requests.arrived)
}

/// Completed requests over the time that is counted.
fn throughput(summary: &Summary) -> Option<f64> {
    let seconds = summary.simulated_s - summary.warmup_s;
    (seconds > 0.0).then(|| summary.requests.completed as f64 / seconds)
}

fn busiest(summary: &Summary) -> Option<f64> {
    summary.nodes.iter().map(|node| node.share).max_by(f64::total_cmp)
}

/// Which of the metrics of a run decide.
const HEADLINES: [&str; 6] =
    ["latency.mean", "p99", "ttft.p99", "not_served", "slo_attainment", "cost_per_1k"];

type Row = (&'static str, &'static str, Unit, Better, fn(&Summary) -> Option<f64>);

/// The metrics of a whole run.
const RUN: [Row; 28] = [
    ("latency.mean", "mean latency", Unit::Seconds, Better::Lower, |s| s.latency_s.mean),
    ("p50", "p50 latency", Unit::Seconds, Better::Lower, |s| s.latency_s.p50),
    ("p95", "p95 latency", Unit::Seconds, Better::Lower, |s| s.latency_s.p95),
    ("p99", "p99 latency", Unit::Seconds, Better::Lower, |s| s.latency_s.p99),
    ("ttft.mean", "mean first token", Unit::Seconds, Better::Lower, |s| s.ttft_s.mean),
    ("ttft.p50", "p50 first token", Unit::Seconds, Better::Lower, |s| s.ttft_s.p50),
    ("ttft.p95", "p95 first token", Unit::Seconds, Better::Lower, |s| s.ttft_s.p95),
    ("ttft.p99", "p99 first token", Unit::Seconds, Better::Lower, |s| s.ttft_s.p99),
    ("tpot.mean", "mean time per token", Unit::Seconds, Better::Lower, |s| s.tpot_s.mean),
    ("tpot.p99", "p99 time per token", Unit::Seconds, Better::Lower, |s| s.tpot_s.p99),
    ("queue.mean", "mean balancer queue", Unit::Seconds, Better::Lower, |s| s.queue_s.mean),
    ("queue.p99", "p99 balancer queue", Unit::Seconds, Better::Lower, |s| s.queue_s.p99),
    ("not_served", "not served", Unit::Share, Better::Lower, |s| not_served(&s.requests)),
    ("failed", "failed", Unit::Share, Better::Lower, |s| {
        share(s.requests.failed, s.requests.arrived)
    }),
    ("rejected", "rejected", Unit::Share, Better::Lower, |s| {
        share(s.requests.rejected, s.requests.arrived)
    }),
    ("cancelled", "cancelled", Unit::Share, Better::Lower, |s| {
        share(s.requests.cancelled, s.requests.arrived)
    }),
    ("slo_attainment", "promises kept", Unit::Share, Better::Higher, |s| s.goodput.slo_attainment),
    ("goodput", "goodput", Unit::PerSecond, Better::Higher, |s| s.goodput.requests_per_s),
    ("throughput", "throughput", Unit::PerSecond, Better::Higher, throughput),
    ("cost_per_1k", "cost per 1k", Unit::Dollars, Better::Lower, |s| s.cost_usd.per_1k_requests),
    ("cached_share", "input found cached", Unit::Share, Better::Higher, |s| {
        share(s.tokens.cached_input, s.tokens.input)
    }),
    ("retries", "retries per request", Unit::Share, Better::Neither, |s| {
        share(s.attempts.retries, s.requests.arrived)
    }),
    ("hedges", "hedges per request", Unit::Share, Better::Neither, |s| {
        share(s.attempts.hedges, s.requests.arrived)
    }),
    ("failovers", "failovers per request", Unit::Share, Better::Neither, |s| {
        share(s.attempts.failovers, s.requests.arrived)
    }),
    ("attempts", "attempts per request", Unit::Share, Better::Neither, |s| {
        share(s.attempts.total, s.requests.arrived)
    }),
    ("fairness_jain", "evenness (Jain)", Unit::Share, Better::Neither, |s| s.fairness_jain),
    ("share_max", "busiest node's share", Unit::Share, Better::Neither, busiest),
    ("quality", "quality of answers", Unit::Share, Better::Higher, |s| {
        s.quality.as_ref().and_then(|quality| quality.mean)
    }),
];

type ClassRow = (&'static str, &'static str, Unit, Better, fn(&Class) -> Option<f64>);

/// The metrics of each class, where there are several.
const CLASS: [ClassRow; 4] = [
    ("p99", "p99 latency", Unit::Seconds, Better::Lower, |c| p99(&c.latency_s)),
    ("ttft.p99", "p99 first token", Unit::Seconds, Better::Lower, |c| p99(&c.ttft_s)),
    ("not_served", "not served", Unit::Share, Better::Lower, |c| not_served(&c.requests)),
    ("slo_attainment", "promises kept", Unit::Share, Better::Higher, |c| c.goodput.slo_attainment),
];

const fn p99(latency: &Latency) -> Option<f64> {
    latency.p99
}

/// Returns all metrics of a scenario with these labels.
#[must_use]
pub fn metrics(labels: &Labels) -> Vec<Metric> {
    let mut list: Vec<Metric> = RUN
        .iter()
        .map(|&(name, label, unit, better, read)| Metric {
            name: name.to_owned(),
            label: label.to_owned(),
            unit,
            better,
            headline: HEADLINES.contains(&name),
            read: Read::Run(read),
        })
        .collect();
    if labels.classes.len() < 2 {
        return list;
    }
    for (at, class) in labels.classes.iter().enumerate().take(CLASSES_MAX) {
        list.extend(CLASS.iter().map(|&(name, label, unit, better, read)| Metric {
            name: format!("{}.{name}", class.name),
            label: format!("{}: {label}", class.name),
            unit,
            better,
            headline: false,
            read: Read::Class(at, read),
        }));
    }
    list
}
