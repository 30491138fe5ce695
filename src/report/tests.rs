//! The reports of hand-made results, as snapshots.

use super::{json, text};
use crate::metrics::expect::{ExpectNames, ExpectVerdict, Expectation};
use crate::metrics::{
    Attempts, Class, Costs, Goodput, JobCost, JobCounts, JobSummary, Latency, NodeSummary, Pool,
    RequestCounts, StepSummary, Summary, TokenCounts, WorkflowSummary,
};

fn times(base: f64) -> Latency {
    Latency {
        mean: Some(base * 1.1),
        p50: Some(base),
        p90: Some(base * 2.0),
        p95: Some(base * 2.5),
        p99: Some(base * 4.0),
        p999: Some(base * 7.0),
        max: Some(base * 9.03),
    }
}

fn node(name: &str, pool: &str, attempts: u64, failed: u64) -> NodeSummary {
    NodeSummary {
        name: name.to_owned(),
        pool: pool.to_owned(),
        share: attempts as f64 / 24_100.0,
        attempts,
        failed,
        utilisation: (failed > 0).then_some(0.734),
        seats: None,
        kv: None,
        kv_max: None,
        batch: None,
        latency_s: if attempts > 0 { times(0.61) } else { Latency::default() },
        cost_usd: Costs { total: attempts as f64 * 0.0031, ..Costs::default() },
        hours: None,
        limit: None,
    }
}

fn class(name: &str, arrived: u64) -> Class {
    Class {
        name: name.to_owned(),
        requests: RequestCounts { arrived, completed: arrived, ..RequestCounts::default() },
        latency_s: if arrived > 0 { times(0.8) } else { Latency::default() },
        ..Class::default()
    }
}

fn pool(name: &str, strategy: &str) -> Pool {
    Pool {
        kv: None,
        kv_max: None,
        name: name.to_owned(),
        strategy: strategy.to_owned(),
        requests: RequestCounts { arrived: 12_000, completed: 12_000, ..Default::default() },
        latency_s: times(0.8),
        ttft_s: times(0.11),
        cost_usd: Costs { total: 61.2, ..Costs::default() },
        hours: None,
        batches: None,
    }
}

fn summary() -> Summary {
    Summary {
        schema_version: 1,
        scenario: "banking".to_owned(),
        seed: 7,
        complete: true,
        simulated_s: 600.0,
        arrivals_s: 570.0,
        warmup_s: 30.0,
        strategies: [("heavy", "peak_ewma"), ("light", "least_tokens")]
            .map(|(pool, strategy)| (pool.to_owned(), strategy.to_owned()))
            .into(),
        requests: RequestCounts {
            arrived: 24_000,
            completed: 23_950,
            failed: 20,
            rejected: 10,
            cancelled: 1,
            in_flight: 19,
        },
        unserved: [("connect refused", 3), ("queue full", 2)].into(),
        attempts: Attempts {
            total: 24_100,
            retries: 80,
            hedges: 20,
            failovers: 50,
            degraded: 30,
            ..Attempts::default()
        },
        latency_s: times(0.812),
        ttft_s: times(0.12),
        tpot_s: times(0.0081),
        queue_s: times(0.000_04),
        tokens: TokenCounts { input: 28_123_456, cached_input: 2_123_456, output: 5_012_345 },
        cost_usd: Costs { total: 122.5, per_1k_requests: Some(5.104), tokens: 120.0, hours: 2.5 },
        goodput: Goodput { requests_per_s: Some(39.4), slo_attainment: Some(0.9876) },
        fairness_jain: Some(0.9912),
        classes: vec![class("high-risk", 4_000), class("chat", 20_000), class("unused", 0)],
        pools: vec![pool("light", "least_tokens"), pool("heavy", "peak_ewma")],
        nodes: vec![
            node("gpt-eu-1", "light", 12_100, 20),
            node("gpt-eu-2", "light", 12_000, 0),
            node("self-hosted", "heavy", 0, 0),
        ],
        hours: None,
        groups: Vec::new(),
        jobs: None,
        workflows: Vec::new(),
        ..Summary::default()
    }
}

/// Of two workflows, the second never ran.
fn with_jobs() -> Summary {
    let jobs =
        JobCounts { started: 1_200, completed: 1_180, failed: 18, in_flight: 2, timed_out: 5 };
    let all = JobSummary {
        jobs,
        latency_s: times(21.0),
        requests_per_job: Some(6.004),
        cost_usd: JobCost { total: 26.36, mean: Some(0.022), hours: 0.0 },
    };
    let step = |name: &str, instances, skipped| StepSummary {
        name: name.to_owned(),
        runs: 1_190,
        instances,
        skipped,
        requests: instances + 40,
        failed: skipped + 10,
        latency_s: times(7.0),
        cost_usd: 8.7,
    };
    let steps = vec![step("plan", 1_190, 0), step("research", 4_800, 31), step("write", 1_190, 0)];
    let idle = StepSummary { name: "never".to_owned(), ..StepSummary::default() };
    let flow = |name: &str, all, steps| WorkflowSummary { name: name.to_owned(), all, steps };
    let (used, unused) =
        (flow("report", all, steps), flow("idle", JobSummary::default(), vec![idle]));
    Summary { jobs: Some(all), workflows: vec![used, unused], ..summary() }
}

#[test]
fn jobs_are_shown_by_workflow_and_step() {
    let summary = with_jobs();
    let whole = text(&summary, &[], &[]);
    let from = whole.find("\nJobs").unwrap();
    let to = whole.find("\nClasses").unwrap();
    let data: serde_json::Value = serde_json::from_str(&json(&summary, &[], &[])).unwrap();
    let data = serde_json::json!({ "jobs": data["jobs"], "workflow": data["workflows"][0] });
    let data = serde_json::to_string_pretty(&data).unwrap();
    insta::assert_snapshot!(format!("{}\n{data}", &whole[from..to]));
}

fn verdicts(summary: &Summary) -> Vec<ExpectVerdict> {
    let names = ExpectNames { classes: vec!["unused".to_owned()], ..ExpectNames::default() };
    [
        "p99 < 2s",
        "failed < 0.1%",
        "cost_per_1k < $4.00",
        "retries < 100",
        "unused.p99 < 2s",
        "goodput > 30/s",
    ]
    .map(|text| Expectation::parse(text, &names).unwrap().judge(summary))
    .into()
}

#[test]
fn text_shows_a_whole_result() {
    let summary = summary();
    let notes = ["timestamps lie on a 3s grid".to_owned()];
    insta::assert_snapshot!(text(&summary, &verdicts(&summary), &notes));
}

#[test]
fn text_of_an_empty_interrupted_run_has_no_numbers_from_nothing() {
    insta::assert_snapshot!(text(&Summary::default(), &[], &[]));
}

#[test]
fn of_many_nodes_the_busiest_and_the_worst_are_shown() {
    let mut summary = summary();
    summary.nodes = (0..200)
        .map(|n| node(&format!("node-{n:03}"), "light", 1_000 - n, u64::from(n % 40 == 39) * n))
        .collect();
    summary.nodes[0].name = "evil\u{1b}[31m\nname".repeat(9);
    let text = text(&summary, &[], &[]);
    insta::assert_snapshot!(text.split_once("Busiest").unwrap().1);
}

#[test]
fn a_measure_just_past_its_limit_does_not_look_like_the_limit() {
    let summary = Summary {
        latency_s: Latency { p99: Some(2.000_9), ..Latency::default() },
        ..Summary::default()
    };
    let verdict = Expectation::parse("p99 < 2s", &ExpectNames::default()).unwrap().judge(&summary);
    let text = text(&summary, &[verdict], &[]);
    assert!(text.contains("2.000900 s  2.000000 s"), "{text}");
}

#[test]
fn json_follows_the_contract() {
    let summary = summary();
    let text = json(&summary, &verdicts(&summary), &[]);
    assert!(text.ends_with("}\n"));
    insta::assert_snapshot!(text);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["expectations"][4]["value"], serde_json::Value::Null);
}
