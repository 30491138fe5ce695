//! A running gateway's figures in the text format of Prometheus.
//!
//! Names are stable: base units, `_total` for what only grows, one meaning a name, and labels that are
//! bounded by the scenario. What is known of single requests goes to the log. Histograms have the same bounds
//! everywhere, a millisecond to eleven minutes, each twice the one before. Source: the exposition format of
//! Prometheus, text version 0.0.4.

use std::fmt::Write;

use crate::balance::NodeState;
use crate::metrics::{Collector, Group, NodeRow, RequestCounts, Summary, Times};
use crate::unit::Time;

/// The type of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The upper bounds of buckets, in microseconds: 1 ms times powers of two, up to 655 s.
const BOUNDS: [u64; 21] = {
    let mut bounds = [0; 21];
    let mut at = 0;
    while at < bounds.len() {
        // Half a millisecond first: what is answered from memory takes no longer.
        bounds[at] = 500 << at;
        at += 1;
    }
    bounds
};

/// A page under construction.
struct PageText(String);

impl PageText {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP plimsoll_{name} {help}\n# TYPE plimsoll_{name} {kind}\n");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "plimsoll_{name}{} {value}", written(labels));
    }

    /// A family of one value without labels.
    fn single(&mut self, (name, kind, help): (&str, &str, &str), value: u64) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], times: &Times) {
        let histogram = times.histogram();
        let mut low = 0;
        let mut below = 0;
        let bucket = format!("{name}_bucket");
        for bound in BOUNDS {
            below += histogram.count_between(low, bound);
            low = bound + 1;
            let edge = (bound as f64 / 1e6).to_string();
            let labels = [labels, &[("le", edge.as_str())]].concat();
            self.value(&bucket, &labels, below);
        }
        let labels_of_all = [labels, &[("le", "+Inf")]].concat();
        self.value(&bucket, &labels_of_all, histogram.len());
        self.value(&format!("{name}_sum"), labels, times.sum_seconds());
        self.value(&format!("{name}_count"), labels, histogram.len());
    }
}

/// Labels as they are written; nothing for none.
fn written(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escaped =
        |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// Returns the page at `now`.
#[must_use]
pub fn page(collector: &mut Collector, now: Time) -> String {
    let shown = collector.snapshot(now);
    let summary = collector.summary(now, false);
    let mut page = PageText(String::with_capacity(16 << 10));
    page.family("build_info", "gauge", "Which program this is.");
    page.value("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    requests(&mut page, &summary);
    attempts(&mut page, &summary);
    nodes(&mut page, &summary, &shown.nodes);
    times(&mut page, collector);
    page.family(
        "panic_mode",
        "gauge",
        "Routes of which nothing is well, so that ejected nodes serve.",
    );
    page.value("panic_mode", &[], shown.panics.len());
    page.family("queue_depth", "gauge", "Requests that wait in the balancer.");
    page.value("queue_depth", &[], shown.window.waiting);
    page.0
}

fn requests(page: &mut PageText, summary: &Summary) {
    let outcomes = |counts: &RequestCounts| {
        [
            ("ok", counts.completed),
            ("failed", counts.failed),
            ("rejected", counts.rejected),
            ("cancelled", counts.cancelled),
        ]
    };
    page.family("requests_total", "counter", "Requests by what became of them.");
    for class in &summary.classes {
        for (outcome, count) in outcomes(&class.requests) {
            let labels = [("class", class.name.as_str()), ("outcome", outcome)];
            page.value("requests_total", &labels, count);
        }
    }
    page.family("requests_inflight", "gauge", "Requests that are not yet at their end.");
    for class in &summary.classes {
        page.value("requests_inflight", &[("class", &class.name)], class.requests.in_flight);
    }
    page.family(
        "unserved_total",
        "counter",
        "Requests without a whole answer, by the last reason.",
    );
    for (reason, count) in &summary.unserved {
        page.value("unserved_total", &[("reason", reason)], count);
    }
}

fn attempts(page: &mut PageText, summary: &Summary) {
    let counts = &summary.attempts;
    page.family("attempts_total", "counter", "Attempts by why they were made.");
    let first = counts.total.saturating_sub(counts.retries + counts.hedges);
    for (kind, count) in [("first", first), ("retry", counts.retries), ("hedge", counts.hedges)] {
        page.value("attempts_total", &[("kind", kind)], count);
    }
    page.family("hedges_total", "counter", "Hedged requests by what came of the hedge.");
    for (result, count) in [("won", counts.hedge_wins), ("denied", counts.hedges_denied)] {
        page.value("hedges_total", &[("result", result)], count);
    }
    for (name, help, count) in [
        ("failovers_total", "Requests served elsewhere than first intended.", counts.failovers),
        ("retries_denied_total", "Retries there was no budget for.", counts.retries_denied),
        ("degraded_total", "Requests that a cheaper pool answered.", counts.degraded),
        ("panics_total", "How often nothing was well that a route may use.", counts.panics),
    ] {
        page.single((name, "counter", help), count);
    }
    page.family("tokens_total", "counter", "Tokens of all attempts.");
    let tokens = &summary.tokens;
    for (kind, count) in [
        ("input", tokens.input.saturating_sub(tokens.cached_input)),
        ("cached_input", tokens.cached_input),
        ("output", tokens.output),
    ] {
        page.value("tokens_total", &[("type", kind)], count);
    }
    page.family("cost_dollars_total", "counter", "What tokens and hours of nodes cost.");
    for pool in &summary.pools {
        for (of, dollars) in [("tokens", pool.cost_usd.tokens), ("hours", pool.cost_usd.hours)] {
            page.value("cost_dollars_total", &[("pool", &pool.name), ("of", of)], dollars);
        }
    }
}

fn nodes(page: &mut PageText, summary: &Summary, rows: &[NodeRow]) {
    page.family("node_attempts_total", "counter", "Attempts that a node was given.");
    for node in &summary.nodes {
        let labels = [("pool", node.pool.as_str()), ("node", node.name.as_str())];
        page.value("node_attempts_total", &labels, node.attempts);
    }
    page.family(
        "node_failures_total",
        "counter",
        "Attempts that did not end well, without those given up.",
    );
    for node in &summary.nodes {
        let labels = [("pool", node.pool.as_str()), ("node", node.name.as_str())];
        page.value("node_failures_total", &labels, node.failed);
    }
    page.family("node_state", "gauge", "One for the state that a node is in.");
    for row in rows {
        for state in NodeState::ALL {
            let labels = [("node", row.name.as_str()), ("state", state.name())];
            page.value("node_state", &labels, u8::from(row.state == state));
        }
    }
    page.family("node_inflight", "gauge", "Attempts in flight.");
    for row in rows {
        page.value("node_inflight", &[("node", &row.name)], row.in_flight);
    }
    page.family("node_capacity", "gauge", "Attempts that may be in flight, where that is known.");
    for row in rows {
        if let Some(capacity) = row.capacity {
            page.value("node_capacity", &[("node", &row.name)], capacity);
        }
    }
}

fn times(page: &mut PageText, collector: &Collector) {
    let labels = collector.labels();
    let pools: Vec<(&str, &Group)> =
        labels.pools.iter().map(String::as_str).zip(collector.pools()).collect();
    let mut family = |name: &str, help: &str, of: fn(&Group) -> &Times| {
        page.family(name, "histogram", help);
        for (pool, group) in &pools {
            page.histogram(name, &[("pool", pool)], of(group));
        }
    };
    family("request_duration_seconds", "From arrival to the last token.", |group| &group.latency);
    family("ttft_seconds", "From arrival to the first token.", |group| &group.ttft);
    family("inter_token_seconds", "Time per token after the first.", |group| &group.tpot);
    family("queue_seconds", "From arrival to the first dispatch.", |group| &group.queue);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_bounds_double() {
        assert_eq!(written(&[]), "");
        let labels = written(&[("node", "a\"b\\c\nd"), ("state", "up")]);
        assert_eq!(labels, "{node=\"a\\\"b\\\\c\\nd\",state=\"up\"}");
        assert!(BOUNDS.windows(2).all(|pair| pair[1] == 2 * pair[0]));
        assert!(*BOUNDS.last().expect("some") > 500_000_000);
    }
}
