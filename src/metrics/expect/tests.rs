//! Tests of the grammar, of every metric, and of every error with its place.

use super::*;
use crate::metrics::RequestCounts;
use crate::metrics::catalogue::Scope;
use crate::metrics::summary::{
    Attempts, BatchSummary, Class, Costs, Goodput, Hours, Latency, ModelUse, NodeSummary, Pool,
    Quality, RouteSummary, TenantSummary, TokenCounts,
};

fn names() -> ExpectNames {
    let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    ExpectNames {
        classes: list(&["high-risk", "chat", "both", "latency"]),
        pools: list(&["light", "both"]),
        nodes: list(&["gpt-4.1", "llama:8b", "gpt-eu-1"]),
        workflows: list(&["claim", "report"]),
        routes: list(&["canary"]),
        steps: [("claim", "read"), ("claim", "latency"), ("claim", "write"), ("report", "write")]
            .map(|(flow, step)| (flow.to_owned(), step.to_owned()))
            .to_vec(),
        tenants: [(3, "acme"), (4, "acme"), (7, "v1.big")]
            .map(|(number, name)| (TenantId(number), name.to_owned()))
            .into(),
        models: list(&["gpt-4.1", "qwen3:8b"]),
    }
}

fn times(base: f64) -> Latency {
    Latency {
        mean: Some(base),
        p50: Some(base + 1.0),
        p90: Some(base + 2.0),
        p95: Some(base + 3.0),
        p99: Some(base + 4.0),
        p999: Some(base + 5.0),
        max: Some(base + 6.0),
    }
}

fn costs(total: f64) -> Costs {
    Costs { total, per_1k_requests: Some(4.0), tokens: total - 1.0, hours: 1.0 }
}

fn class() -> Class {
    Class {
        name: "chat".to_owned(),
        requests: RequestCounts { arrived: 10, completed: 9, failed: 1, ..Default::default() },
        latency_s: times(100.0),
        ttft_s: times(110.0),
        tpot_s: times(120.0),
        cost_usd: costs(2.0),
        goodput: goodput(),
        degraded: 1,
        quality: Some(0.85),
        cache: None,
    }
}

fn hours(node_hours: f64) -> Hours {
    Hours {
        node_hours,
        starting_hours: 0.1,
        idle_hours: 0.5,
        idle_share: Some(0.5 / node_hours),
        idle_usd: 1.25,
    }
}

fn pool() -> Pool {
    Pool {
        kv: None,
        kv_max: None,
        name: "light".to_owned(),
        strategy: "random".to_owned(),
        requests: requests(),
        latency_s: times(200.0),
        ttft_s: times(210.0),
        cost_usd: costs(3.0),
        hours: Some(hours(2.0)),
        batches: Some(BatchSummary { count: 10, mean_size: Some(6.25) }),
    }
}

fn node() -> NodeSummary {
    NodeSummary {
        name: "gpt-4.1".to_owned(),
        pool: "light".to_owned(),
        share: 0.4,
        attempts: 50,
        failed: 5,
        utilisation: Some(0.7),
        seats: Some(0.1),
        kv: Some(0.2),
        kv_max: Some(0.3),
        batch: Some(7.5),
        latency_s: times(300.0),
        cost_usd: costs(4.0),
        hours: Some(hours(3.0)),
        limit: None,
    }
}

fn requests() -> RequestCounts {
    RequestCounts {
        arrived: 1_000,
        completed: 990,
        failed: 1,
        rejected: 2,
        cancelled: 3,
        in_flight: 4,
    }
}

fn goodput() -> Goodput {
    Goodput { requests_per_s: Some(9.5), slo_attainment: Some(0.95) }
}

fn summary() -> Summary {
    Summary {
        simulated_s: 130.0,
        arrivals_s: 100.0,
        warmup_s: 30.0,
        requests: requests(),
        attempts: Attempts {
            total: 1_200,
            retries: 20,
            hedges: 30,
            failovers: 40,
            degraded: 60,
            ..Attempts::default()
        },
        latency_s: times(10.0),
        ttft_s: times(20.0),
        tpot_s: times(30.0),
        queue_s: times(40.0),
        tokens: TokenCounts { input: 7_000, cached_input: 600, output: 5_000 },
        cost_usd: costs(12.0),
        goodput: goodput(),
        fairness_jain: Some(0.98),
        classes: vec![class(), Class { name: "both".to_owned(), ..Class::default() }],
        pools: vec![pool()],
        quality: Some(Quality { mean: Some(0.93), escalated: 70, ..Quality::default() }),
        routes: vec![RouteSummary {
            name: "canary".to_owned(),
            latency_s: times(0.5),
            cost_usd: costs(3.0),
            quality: Some(0.91),
            ..RouteSummary::default()
        }],
        nodes: vec![node(), NodeSummary { name: "llama:8b".to_owned(), ..NodeSummary::default() }],
        ..Summary::default()
    }
}

fn value(text: &str) -> Option<f64> {
    let expectation = Expectation::parse(text, &names()).unwrap_or_else(|e| panic!("{text}: {e}"));
    expectation.judge(&summary()).value
}

fn held(text: &str) -> bool {
    Expectation::parse(text, &names()).unwrap().judge(&summary()).held
}

/// One expectation of every metric, by each of its names.
const SUBJECTS: &[&str] = &[
    "latency.mean < 1s",
    "ttft.p50 < 1s",
    "tpot.p90 < 1s",
    "queue.p95 < 1s",
    "p99 < 1s",
    "latency.p999 < 1s",
    "latency.p99.9 < 1s",
    "p99.9 < 1s",
    "max < 1s",
    "arrived > 1",
    "requests > 1",
    "completed > 1",
    "failed < 1",
    "rejected < 1",
    "cancelled < 1",
    "in_flight < 1",
    "error < 1",
    "errors < 1",
    "errors < 1%",
    "completed > 99%",
    "attempts < 1",
    "attempts < 120%",
    "retries < 1",
    "hedges < 1",
    "failovers < 1",
    "failovers < 1%",
    "degraded < 1%",
    "chat.degraded < 1%",
    "quality > 0.9",
    "quality.mean > 90%",
    "chat.quality.mean > 0.9",
    "route:canary.quality > 0.9",
    "canary.p99 < 1s",
    "route:canary.cost_per_1k < $4",
    "escalated < 10%",
    "tokens_input < 1",
    "tokens_cached_input < 1",
    "tokens_output < 1",
    "light.node_hours < 3",
    "light.idle_hours < 0.25",
    "light.idle_share < 30%",
    "light.idle_cost < $1",
    "light.batch_size > 6.5",
    "gpt-4.1.node_hours < 3.5",
    "cost < $1",
    "cost_per_1k < 1.5",
    "cost_per_1k_requests < $1",
    "cost_tokens < 1",
    "cost_hours < 1",
    "goodput > 1",
    "throughput > 9/s",
    "slo_attainment > 95%",
    "fairness_jain > 0.9",
    "fairness > 0.9",
    "chat.p99 < 1s",
    "class:chat.ttft.p99 < 1s",
    "chat.tpot.max < 1s",
    "chat.failed < 20%",
    "chat.goodput > 1",
    "chat.slo_attainment > 0.5",
    "chat.cost < $1",
    "chat.throughput > 1",
    "light.p99 < 1s",
    "pool:light.ttft.mean < 1s",
    "light.rejected < 1",
    "light.cost_hours < 1",
    "gpt-4.1.p99 < 1s",
    "node:gpt-4.1.latency.max < 1s",
    "gpt-4.1.share < 50%",
    "gpt-4.1.utilisation < 0.8",
    "gpt-4.1.utilization < 0.8",
    "gpt-4.1.failed < 1",
    "gpt-4.1.errors < 20%",
    "gpt-4.1.attempts < 1",
    "gpt-4.1.cost < 1",
];

#[test]
fn every_metric_is_read_from_its_place() {
    let lines: Vec<String> =
        SUBJECTS.iter().map(|text| format!("{text} -> {}", value(text).unwrap())).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn comparisons_hold_on_the_right_side_of_the_limit() {
    for text in [
        "failed < 2",
        "failed <= 1",
        "failed >= 1",
        "failed > 0",
        "failed == 1",
        "failed ≤ 1",
        "failed == 0.1%",
        "failed <= 0.1%",
        "p50 == 11s",
        "p50 <= 11000ms",
        "mean >= 10_000ms",
        "slo_attainment >= 95%",
        "cost == $12.00",
        "  failed<2  ",
        "chat . ttft . p50 < 2m",
    ] {
        assert!(held(text), "{text}");
    }
    for text in
        ["failed < 1", "failed > 1", "failed == 2", "failed >= 2", "failed <= 0", "failed < 0.1%"]
    {
        assert!(!held(text), "{text}");
    }
}

#[test]
fn what_has_no_sample_keeps_no_promise() {
    for text in [
        "class:both.p99 < 9s",
        "class:both.p99 >= 0s",
        "class:both.failed < 1%",
        "llama:8b.errors < 1%",
        "llama:8b.utilisation < 1",
        "high-risk.failed == 0",
    ] {
        let verdict = Expectation::parse(text, &names()).unwrap().judge(&summary());
        assert_eq!((verdict.value, verdict.held), (None, false), "{text}");
    }
}

#[test]
fn names_that_are_metrics_need_their_kind() {
    assert_eq!(value("latency.p99 < 1s"), Some(14.0));
    let class = Expectation::parse("class:latency.p99 < 1s", &names()).unwrap();
    assert_eq!(class.reading.scope, Scope::Class("latency".to_owned()));
}

#[test]
fn verdicts_print_as_the_contract_says() {
    let verdict = Expectation::parse(" failed < 0.1% ", &names()).unwrap().judge(&summary());
    let json = serde_json::to_string(&verdict).unwrap();
    assert_eq!(json, r#"{"text":"failed < 0.1%","value":0.001,"limit":0.001,"held":false}"#);
    assert_eq!(verdict.unit, Unit::Share);
}

#[test]
fn errors_point_at_what_is_wrong() {
    let texts = [
        "",
        "failed",
        "< 2s",
        "failed <",
        "failed = 2",
        "failed =< 2",
        "failed != 2",
        "latency < 2s",
        "chat.ttft < 2s",
        "chat < 2s",
        "p75 < 2s",
        "chat.p75 < 2s",
        "faild < 2",
        "chat.faild < 2",
        "bananas < 2",
        "tttf.p99 < 2s",
        "hihg-risk.p99 < 2s",
        "pool:chat.p99 < 2s",
        "class:chta.p99 < 2s",
        "class:p99 < 2s",
        "node: < 2",
        "both.p99 < 2s",
        "chat.queue.p99 < 2s",
        "light.slo_attainment > 0.9",
        "share < 50%",
        "gpt-eu-1.completed > 1",
        "cost.p99 < $2",
        "chat.cost.p99 < $2",
        "p99 < 2",
        "p99 < 2%",
        "p99 < $2",
        "p99 < -2s",
        "p99 < 2parsecs",
        "p99 < nan",
        "failed < 2s",
        "failed < 0.1",
        "failed < -1",
        "failed < NaN",
        "failed < inf",
        "failed < 1e999",
        "failed < NaN%",
        "failed < $2",
        "cost < 2%",
        "goodput > 5%",
        "cost < $",
        "failed < 1 < 2",
        "ärger < 1",
    ];
    let told = |text: &str| {
        let ExpectError { at, len, reason, help } = Expectation::parse(text, &names()).unwrap_err();
        let line =
            format!("{text}\n{}{}", " ".repeat(text[..at].chars().count()), "^".repeat(len.max(1)));
        help.map_or_else(|| format!("{line} {reason}"), |help| format!("{line} {reason}\n  {help}"))
    };
    insta::assert_snapshot!(texts.map(told).join("\n\n"));
}

proptest::proptest! {
    #[test]
    fn any_text_is_an_expectation_or_an_error_inside_it(
        text in "(class:|pool:|step:|tenant:|model:)?(chat|acme|step|tenant|both|read|claim|p99|latency|cost|é|\\.| |:){0,6}[<>=]{0,2}[0-9.%$smx∞]{0,6}",
    ) {
        if let Err(error) = Expectation::parse(&text, &names()) {
            proptest::prop_assert!(text.get(error.at..error.at + error.len).is_some(), "{error:?}");
        }
    }
}

fn jobs() -> Summary {
    use crate::metrics::summary::{JobCost, JobCounts, JobSummary, StepSummary, WorkflowSummary};
    let group = |scale: u64| JobSummary {
        jobs: JobCounts {
            started: 100 * scale,
            completed: 95 * scale,
            failed: 4 * scale,
            in_flight: scale,
            timed_out: 3 * scale,
        },
        latency_s: times(10.0 * scale as f64),
        requests_per_job: Some(5.0),
        cost_usd: JobCost { total: 9.9 * scale as f64, mean: Some(0.1), hours: 0.0 },
    };
    let step = |name: &str, base: f64| StepSummary {
        name: name.to_owned(),
        runs: 95,
        instances: 400,
        skipped: 8,
        requests: 1_000,
        failed: 30,
        latency_s: times(base),
        cost_usd: 3.3,
    };
    let steps = vec![step("read", 40.0), step("latency", 50.0), step("write", 60.0)];
    let claim = WorkflowSummary { name: "claim".to_owned(), all: group(1), steps };
    Summary {
        simulated_s: 100.0,
        arrivals_s: 100.0,
        jobs: Some(group(2)),
        workflows: vec![claim],
        ..Summary::default()
    }
}

#[test]
fn jobs_are_measured_over_all_workflows_and_by_workflow() {
    let summary = jobs();
    for (text, value, unit) in [
        ("jobs.p99 < 60s", 24.0, Unit::Seconds),
        ("jobs.latency.mean < 60s", 20.0, Unit::Seconds),
        ("claim.jobs.p99 < 60s", 14.0, Unit::Seconds),
        ("claim . jobs . latency . max < 60s", 16.0, Unit::Seconds),
        ("jobs.started > 1", 200.0, Unit::Count),
        ("claim.jobs.completed > 1", 95.0, Unit::Count),
        ("jobs.failed < 5%", 0.04, Unit::Share),
        ("claim.jobs.timed_out < 5%", 0.03, Unit::Share),
        ("jobs.in_flight < 5", 2.0, Unit::Count),
        ("jobs.cost < $100", 19.8, Unit::Dollars),
        ("claim.jobs.cost_mean < $0.20", 0.1, Unit::Dollars),
        ("jobs.throughput > 1", 1.9, Unit::PerSecond),
    ] {
        let verdict = Expectation::parse(text, &names()).unwrap().judge(&summary);
        assert_eq!(verdict.unit, unit, "{text}");
        let found = verdict.value.unwrap();
        assert!((found - value).abs() < 1e-9 && verdict.held, "{text}: {verdict:?}");
    }
    // A workflow of which nothing is known keeps no promise.
    let verdict = Expectation::parse("report.jobs.p99 < 60s", &names()).unwrap().judge(&summary);
    assert_eq!((verdict.value, verdict.held), (None, false));
}

#[test]
fn steps_are_measured_by_name_and_promises_about_them_hold_or_fail() {
    let summary = jobs();
    for (text, value, unit, held) in [
        ("step:read.p95 < 45s", 43.0, Unit::Seconds, true),
        ("step:read.p95 < 43s", 43.0, Unit::Seconds, false),
        ("step:claim.read.latency.mean < 41s", 40.0, Unit::Seconds, true),
        ("step:claim.write.p99 < 1s", 64.0, Unit::Seconds, false),
        ("step:latency.p99 < 1m", 54.0, Unit::Seconds, true),
        ("step:claim.latency.p99 < 1m", 54.0, Unit::Seconds, true),
        ("step : read . skipped <= 8", 8.0, Unit::Count, true),
        ("step:read.skipped < 2%", 0.02, Unit::Share, false),
        ("step:read.failed <= 3%", 0.03, Unit::Share, true),
        ("step:read.failed_share < 0.03", 0.03, Unit::Share, false),
        ("step:read.requests > 999", 1_000.0, Unit::Count, true),
        ("step:read.runs >= 95", 95.0, Unit::Count, true),
        ("step:read.instances == 400", 400.0, Unit::Count, true),
        ("step:read.cost < $3", 3.3, Unit::Dollars, false),
    ] {
        let verdict = Expectation::parse(text, &names()).unwrap().judge(&summary);
        let found = verdict.value.unwrap();
        assert!((found - value).abs() < 1e-9, "{text}: {verdict:?}");
        assert_eq!((verdict.unit, verdict.held), (unit, held), "{text}");
    }
    // A step of which nothing is known keeps no promise.
    let verdict = Expectation::parse("step:report.write.p99 < 60s", &names()).unwrap();
    assert_eq!((verdict.judge(&summary).value, verdict.judge(&summary).held), (None, false));
}

#[test]
fn tenants_and_models_are_measured_by_name_and_promises_about_them_hold_or_fail() {
    let tenant = |name: &str| TenantSummary {
        name: name.to_owned(),
        requests: requests(),
        over_budget: 12,
        tokens: TokenCounts { input: 7_000, cached_input: 700, output: 5_000 },
        cost_usd: costs(2.0),
        goodput: goodput(),
    };
    let model = |name: &str| ModelUse {
        model: name.to_owned(),
        nodes: 4,
        attempts: 200,
        failed: 5,
        utilisation: Some(0.7),
        cost_usd: costs(3.0),
    };
    let summary = Summary {
        simulated_s: 100.0,
        arrivals_s: 100.0,
        tenants: ["acme", "v1.big", "5"].map(tenant).to_vec(),
        models: ["gpt-4.1", "qwen3:8b"].map(model).to_vec(),
        ..Summary::default()
    };
    for (text, value, unit, held) in [
        ("tenant:acme.requests >= 1000", 1_000.0, Unit::Count, true),
        ("tenant:acme.failed < 1", 1.0, Unit::Count, false),
        ("tenant:v1.big.failed <= 0.1%", 0.001, Unit::Share, true),
        ("tenant : 5 . not_served < 0.3%", 0.003, Unit::Share, false),
        ("tenant:005.not_served <= 0.3%", 0.003, Unit::Share, true),
        ("tenant:acme.cost < $2.50", 2.0, Unit::Dollars, true),
        ("tenant:acme.cost_per_1k < $4", 4.0, Unit::Dollars, false),
        ("tenant:acme.tokens_output > 5000", 5_000.0, Unit::Count, false),
        ("tenant:acme.cached_share >= 10%", 0.1, Unit::Share, true),
        ("tenant:acme.over_budget < 1%", 0.012, Unit::Share, false),
        ("tenant:acme.slo_attainment > 90%", 0.95, Unit::Share, true),
        ("tenant:acme.goodput > 10/s", 9.5, Unit::PerSecond, false),
        ("model:gpt-4.1.utilisation < 0.8", 0.7, Unit::Share, true),
        ("model:qwen3:8b.utilisation < 0.7", 0.7, Unit::Share, false),
        ("model:qwen3:8b.attempts > 199", 200.0, Unit::Count, true),
        ("model:gpt-4.1.failed < 2%", 0.025, Unit::Share, false),
        ("model:gpt-4.1.not_served < 3%", 0.025, Unit::Share, true),
        ("model:gpt-4.1.nodes == 4", 4.0, Unit::Count, true),
        ("model:gpt-4.1.cost_hours < $1", 1.0, Unit::Dollars, false),
    ] {
        let verdict = Expectation::parse(text, &names()).unwrap().judge(&summary);
        let found = verdict.value.unwrap();
        assert!((found - value).abs() < 1e-9, "{text}: {verdict:?}");
        assert_eq!((verdict.unit, verdict.held), (unit, held), "{text}");
    }
    // A tenant that asked for nothing keeps no promise.
    let verdict = Expectation::parse("tenant:6.failed < 1", &names()).unwrap().judge(&summary);
    assert_eq!((verdict.value, verdict.held), (None, false));
}

#[test]
fn mistakes_about_scopes_name_what_there_is() {
    let told = |text: &str, names: &ExpectNames| {
        let error = Expectation::parse(text, names).unwrap_err();
        format!("{text}\n{}{} {error}\n", " ".repeat(error.at), "^".repeat(error.len.max(1)))
    };
    let mut lines: String = [
        "tenant:acne.cost < $1",
        "tenant:nobody.cost < $1",
        "tenant:3.cost < $1",
        "tenant:acme.p99 < 1s",
        "tenant:4294967296.cost < $1",
        "model:gpt-4.cost < $1",
        "model:bananas.cost < $1",
        "model:gpt-4.1.ttft.p99 < 1s",
        "acme.cost < $1",
        "qwen3:8b.cost < $1",
        "jobs.step:read.p95 < 1s",
        "claim.step:read.p95 < 1s",
        "report.step:read.p95 < 1s",
        "report.step:write.p95 < 1s",
        "jobs.step:write.p95 < 1s",
        "claim.step:raed.p95 < 1s",
        "write.p95 < 1s",
        "claim.read.p95 < 1s",
        "chat.tenant:acme.cost < $1",
        "light.model:gpt-4.1.cost < $1",
        "chat.pool:light.cost < $1",
        "jobs.step:nothing.p95 < 1s",
        "workflow:claim.p95 < 1s",
        "steps:read.p95 < 1s",
        "tenants:acme.cost < $1",
        "modell:gpt-4.cost < $1",
    ]
    .iter()
    .map(|text| told(text, &names()))
    .collect();
    let alone = ExpectNames {
        classes: (0..30).map(|number| format!("class-{number}")).collect(),
        models: vec!["gpt-4.1".to_owned()],
        ..ExpectNames::default()
    };
    lines += &told("tenant:acme.cost < $1", &alone);
    lines += &told("route:acme.cost < $1", &alone);
    lines += &told("model:gpt-4.1.cost < $1", &alone);
    lines += &told("bananas.cost < $1", &alone);
    insta::assert_snapshot!(lines);
}

#[test]
fn mistakes_about_jobs_are_explained() {
    let without = ExpectNames::default();
    let told = |text: &str, names: &ExpectNames| {
        let error = Expectation::parse(text, names).unwrap_err();
        format!("{text}\n{}{} {error}\n", " ".repeat(error.at), "^".repeat(error.len.max(1)))
    };
    let mut lines: String = [
        "clam.jobs.p99 < 1s",
        "claim.p99 < 1s",
        "job.p99 < 1s",
        "jobs.ttft.p99 < 1s",
        "jobs.rejected < 1%",
        "chat.cost_mean < $1",
        "jobs.timedout < 1",
        "jobs.latency < 1s",
        "claim.jobs < 1s",
        "step:raed.p99 < 1s",
        "step:nothing.like.it.p99 < 1s",
        "step:write.p99 < 1s",
        "step:report.read.p99 < 1s",
        "read.p99 < 1s",
        "job.step.read.p95 < 1s",
        "step:read.ttft.p99 < 1s",
        "step:read.latency < 1s",
        "step:.p99 < 1s",
    ]
    .iter()
    .map(|text| told(text, &names()))
    .collect();
    lines += &told("jobs.p99 < 1s", &without);
    lines += &told("step:read.p99 < 1s", &without);
    insta::assert_snapshot!(lines);
}
