//! The catalogue is whole: every figure of a result is a row, every row can be read, and a name means
//! one thing in expectations, comparisons, JSON and the text report.

use serde_json::Value;

use super::*;
use crate::metrics::RequestCounts;
use crate::metrics::expect::{ExpectNames, Expectation};
use crate::metrics::summary::{
    Attempts, BatchSummary, CacheSummary, Class, Costs, Goodput, GroupSummary, Hours, JobCost,
    JobCounts, JobSummary, ModelUse, NodeSummary, Pool, Quality, RouteSummary, StepSummary,
    Summary, TenantSummary, TokenCounts, WorkflowSummary,
};
use crate::unit::TenantId;

/// Numbers that are all different.
struct Numbers(u64);

impl Numbers {
    fn count(&mut self) -> u64 {
        self.0 += 7;
        self.0
    }

    fn number(&mut self) -> f64 {
        self.count() as f64 + 0.25
    }

    fn times(&mut self) -> Latency {
        let mut next = || Some(self.number());
        Latency {
            mean: next(),
            p50: next(),
            p90: next(),
            p95: next(),
            p99: next(),
            p999: next(),
            max: next(),
        }
    }

    fn requests(&mut self) -> RequestCounts {
        let mut next = || self.count();
        let (completed, failed, rejected, cancelled, in_flight) =
            (next(), next(), next(), next(), next());
        let arrived = completed + failed + rejected + cancelled + in_flight;
        RequestCounts { arrived, completed, failed, rejected, cancelled, in_flight }
    }

    fn costs(&mut self) -> Costs {
        let (total, tokens, hours) = (self.number(), self.number(), self.number());
        Costs { total, per_1k_requests: Some(self.number()), tokens, hours }
    }

    fn goodput(&mut self) -> Goodput {
        let (requests_per_s, slo_attainment) = (Some(self.number()), Some(self.number()));
        Goodput { requests_per_s, slo_attainment }
    }

    fn hours(&mut self) -> Option<Hours> {
        Some(Hours {
            node_hours: self.number(),
            starting_hours: self.number(),
            idle_hours: self.number(),
            idle_share: Some(self.number()),
            idle_usd: self.number(),
        })
    }

    fn jobs(&mut self) -> JobSummary {
        JobSummary {
            jobs: JobCounts {
                started: self.count(),
                completed: self.count(),
                failed: self.count(),
                in_flight: self.count(),
                timed_out: self.count(),
            },
            latency_s: self.times(),
            requests_per_job: Some(self.number()),
            cost_usd: JobCost { total: self.number(), mean: Some(self.number()), hours: 0.0 },
        }
    }

    fn class(&mut self) -> Class {
        Class {
            name: "chat".to_owned(),
            requests: self.requests(),
            latency_s: self.times(),
            ttft_s: self.times(),
            tpot_s: self.times(),
            cost_usd: self.costs(),
            goodput: self.goodput(),
            degraded: self.count(),
            quality: Some(self.number()),
            cache: self.cache(),
        }
    }

    fn workflow(&mut self) -> WorkflowSummary {
        let step = StepSummary {
            name: "read".to_owned(),
            runs: self.count(),
            instances: self.count(),
            skipped: self.count(),
            requests: self.count(),
            failed: self.count(),
            latency_s: self.times(),
            cost_usd: self.number(),
        };
        WorkflowSummary { name: "claim".to_owned(), all: self.jobs(), steps: vec![step] }
    }

    fn attempts(&mut self) -> Attempts {
        Attempts {
            total: self.count(),
            retries: self.count(),
            hedges: self.count(),
            failovers: self.count(),
            degraded: self.count(),
            over_budget: self.count(),
            hedge_wins: self.count(),
            hedges_denied: self.count(),
            retries_denied: self.count(),
            resumed: self.count(),
            panic: self.count(),
            panics: self.count(),
            kept_in: self.count(),
        }
    }

    fn cache(&mut self) -> Option<CacheSummary> {
        Some(CacheSummary {
            lookups: self.count(),
            hits: self.count(),
            hit_ratio: Some(self.number()),
            saved_usd: self.number(),
            saved_tokens: self.count(),
        })
    }

    fn quality(&mut self) -> Quality {
        Quality {
            answers: self.count(),
            mean: Some(self.number()),
            escalated: self.count(),
            feedback: self.count(),
            models: Vec::new(),
        }
    }
}

fn pool(n: &mut Numbers) -> Pool {
    Pool {
        kv: Some(n.number()),
        kv_max: Some(n.number()),
        name: "light".to_owned(),
        strategy: "random".to_owned(),
        requests: n.requests(),
        latency_s: n.times(),
        ttft_s: n.times(),
        cost_usd: n.costs(),
        hours: n.hours(),
        batches: Some(BatchSummary { count: n.count(), mean_size: Some(n.number()) }),
    }
}

fn tenant(n: &mut Numbers) -> TenantSummary {
    TenantSummary {
        name: "acme".to_owned(),
        requests: n.requests(),
        over_budget: n.count(),
        tokens: TokenCounts { input: n.count(), cached_input: n.count(), output: n.count() },
        cost_usd: n.costs(),
        goodput: n.goodput(),
    }
}

fn model(n: &mut Numbers) -> ModelUse {
    ModelUse {
        model: "qwen3:8b".to_owned(),
        nodes: n.count(),
        attempts: n.count(),
        failed: n.count(),
        utilisation: Some(n.number()),
        cost_usd: n.costs(),
    }
}

/// A result in which everything is measured and no two numbers are the same.
fn summary() -> Summary {
    let mut n = Numbers(1_000);
    Summary {
        simulated_s: 130.0,
        arrivals_s: 100.0,
        warmup_s: 30.0,
        requests: n.requests(),
        attempts: n.attempts(),
        latency_s: n.times(),
        ttft_s: n.times(),
        tpot_s: n.times(),
        queue_s: n.times(),
        tokens: TokenCounts { input: n.count(), cached_input: n.count(), output: n.count() },
        cost_usd: n.costs(),
        goodput: n.goodput(),
        fairness_jain: Some(n.number()),
        classes: vec![n.class()],
        pools: vec![pool(&mut n)],
        nodes: vec![NodeSummary {
            name: "gpt".to_owned(),
            share: n.number(),
            attempts: n.count(),
            failed: n.count(),
            utilisation: Some(n.number()),
            seats: Some(n.number()),
            kv: Some(n.number()),
            kv_max: Some(n.number()),
            batch: Some(n.number()),
            latency_s: n.times(),
            cost_usd: n.costs(),
            hours: n.hours(),
            ..NodeSummary::default()
        }],
        routes: vec![RouteSummary {
            name: "canary".to_owned(),
            requests: n.requests(),
            latency_s: n.times(),
            ttft_s: n.times(),
            cost_usd: n.costs(),
            quality: Some(n.number()),
            models: Vec::new(),
            cache: n.cache(),
        }],
        tenants: vec![tenant(&mut n)],
        models: vec![model(&mut n)],
        groups: vec![GroupSummary {
            name: "spot".to_owned(),
            pool: "light".to_owned(),
            nodes_least: 2,
            nodes_most: 9,
            ..GroupSummary::default()
        }],
        jobs: Some(n.jobs()),
        workflows: vec![n.workflow()],
        hours: n.hours(),
        quality: Some(n.quality()),
        cache: n.cache(),
        ..Summary::default()
    }
}

/// Each scope with what stands before a metric of it, and where JSON has it.
fn scopes() -> Vec<(Scopes, Scope, &'static str, &'static str)> {
    vec![
        (Scopes::RUN, Scope::Run, "", ""),
        (Scopes::CLASS, Scope::Class("chat".to_owned()), "class:chat.", "/classes/0"),
        (Scopes::POOL, Scope::Pool("light".to_owned()), "pool:light.", "/pools/0"),
        (Scopes::NODE, Scope::Node("gpt".to_owned()), "node:gpt.", "/nodes/0"),
        (Scopes::ROUTE, Scope::Route("canary".to_owned()), "route:canary.", "/routes/0"),
        (Scopes::JOBS, Scope::Jobs(None), "jobs.", "/jobs"),
        (Scopes::JOBS, Scope::Jobs(Some("claim".to_owned())), "claim.jobs.", "/workflows/0/jobs"),
        (
            Scopes::STEP,
            Scope::Step("claim".to_owned(), "read".to_owned()),
            "step:read.",
            "/workflows/0/steps/0",
        ),
        (Scopes::TENANT, Scope::Tenant("acme".to_owned()), "tenant:acme.", "/tenants/0"),
        (Scopes::MODEL, Scope::Model("qwen3:8b".to_owned()), "model:qwen3:8b.", "/models/0"),
    ]
}

fn names() -> ExpectNames {
    let list = |name: &str| vec![name.to_owned()];
    ExpectNames {
        classes: list("chat"),
        pools: list("light"),
        nodes: list("gpt"),
        workflows: list("claim"),
        routes: list("canary"),
        steps: vec![("claim".to_owned(), "read".to_owned())],
        tenants: [(TenantId(3), "acme".to_owned())].into(),
        models: vec!["qwen3:8b".to_owned(), "gpt-4.1".to_owned()],
    }
}

/// Every metric in every scope it has, with the stat that it needs.
fn each(mut look: impl FnMut(&'static MetricDef, &Scope, &str, &str, Option<Stat>)) {
    for metric in METRICS {
        for (kind, scope, before, place) in scopes() {
            if !metric.scopes.any_of(kind) {
                continue;
            }
            let stats: &[Stat] = if metric.is_times() { &Stat::ALL } else { &[] };
            let stats = stats.iter().copied().map(Some).chain((!metric.is_times()).then_some(None));
            for stat in stats {
                look(metric, &scope, before, place, stat);
            }
        }
    }
}

#[test]
fn names_are_unique_and_so_are_the_words_of_each_table() {
    let mut words: Vec<&str> = METRICS
        .iter()
        .flat_map(|metric| std::iter::once(&metric.name).chain(metric.also))
        .copied()
        .collect();
    words.extend(Stat::ALL.map(Stat::name));
    let all = words.len();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), all);
    assert!(words.iter().all(|word| !word.contains(|c: char| c == '.' || c.is_whitespace())));
    for metric in METRICS {
        assert_eq!(find(metric.name), Some(metric));
        assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{}", metric.name);
    }
    assert_eq!(latency().name, "latency");
}

/// The scopes that a row names are exactly those it can be read of.
#[test]
fn a_metric_is_measured_of_its_scopes_and_of_no_other() {
    let summary = summary();
    for metric in METRICS {
        for (kind, scope, ..) in scopes() {
            let subject = Subject::of(&summary, &scope).expect("it is there");
            let stat = metric.is_times().then_some(Stat::P99);
            let value = metric.value(&subject, stat);
            assert_eq!(value.is_some(), metric.scopes.any_of(kind), "{} of {scope:?}", metric.name);
        }
    }
}

#[test]
fn every_metric_can_be_expected() {
    let summary = summary();
    each(|metric, scope, before, _, stat| {
        let dot = stat.map_or_else(String::new, |stat| format!(".{}", stat.name()));
        let limit = if metric.unit == Unit::Seconds { "1s" } else { "1" };
        let text = format!("{before}{}{dot} >= {limit}", metric.name);
        let expectation = Expectation::parse(&text, &names());
        let expectation = expectation.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(expectation.reading(), &Reading { scope: scope.clone(), metric, stat });
        let subject = Subject::of(&summary, scope).expect("it is there");
        let verdict = expectation.judge(&summary);
        assert_eq!((verdict.value, verdict.unit), (metric.value(&subject, stat), metric.unit));
    });
}

#[test]
fn json_has_the_same_number_where_the_row_says() {
    let summary = summary();
    let json = serde_json::to_value(&summary).expect("plain data");
    each(|metric, scope, _, place, stat| {
        if metric.json.is_empty() {
            return;
        }
        let object = json.pointer(place).expect("the object of the scope");
        let at = |path: &&&str| object.pointer(&format!("/{}", path.replace('.', "/")));
        let found = metric.json.iter().find_map(|path| at(&path));
        let found = found.unwrap_or_else(|| panic!("{} of {scope:?} is not there", metric.name));
        let found = stat.map_or(found, |stat| &found[stat.name()]);
        let subject = Subject::of(&summary, scope).expect("it is there");
        let value = metric.value(&subject, stat);
        assert_eq!(found.as_f64(), value, "{} of {scope:?}", metric.name);
    });
}

/// A value that is added to a summary must become a row, or it cannot be expected or compared.
#[test]
fn every_figure_of_the_run_in_json_is_a_row() {
    fn leaves(path: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    leaves(&path, value, found);
                }
            }
            Value::Number(_) => found.push(path.to_owned()),
            _ => {}
        }
    }
    let json = serde_json::to_value(summary()).expect("plain data");
    let mut found = Vec::new();
    leaves("", &json, &mut found);
    let known = |path: &&String| {
        let (before, stat) = path.rsplit_once('.').unwrap_or((path, ""));
        METRICS.iter().any(|metric| {
            metric.json.iter().any(|place| {
                let of_jobs = path.strip_prefix("jobs.").map(|_| ()).is_some();
                let place = if of_jobs { format!("jobs.{place}") } else { (*place).to_owned() };
                let numbers = metric.is_times() && Stat::ALL.iter().any(|one| one.name() == stat);
                place == **path || (numbers && place == before)
            })
        })
    };
    let unknown: Vec<&String> = found.iter().filter(|path| !known(path)).collect();
    // What was asked for, and of how many answers the quality is known: no measure of the run.
    let no_metrics =
        ["schema_version", "seed", "simulated_s", "warmup_s", "arrivals_s", "quality.answers"];
    let mut unknown: Vec<&str> = unknown.into_iter().map(String::as_str).collect();
    unknown.retain(|path| !no_metrics.contains(path));
    assert_eq!(unknown, [""; 0], "in JSON and in no row");
}

#[test]
fn what_is_shown_and_compared_names_metrics_that_fit() {
    for metric in METRICS {
        if let Some(shown) = metric.shown {
            assert!(metric.scopes.any_of(Scopes::RUN), "{}", metric.name);
            let whole = shown.of.map(|of| find(of).unwrap_or_else(|| panic!("{of}")));
            assert!(whole.is_none_or(|whole| whole.unit == Unit::Count), "{}", metric.name);
        }
        for line in metric.compared {
            assert_eq!(line.stat.is_some(), metric.is_times(), "{}", metric.name);
            for (scope, word) in Scopes::worded().filter(|(scope, _)| line.of.any_of(*scope)) {
                assert!(metric.scopes.any_of(scope), "{} of {word}", metric.name);
            }
            // What differs between seeds because more arrived says nothing of a strategy.
            assert_ne!(metric.unit, Unit::Count, "{} is compared as a share", metric.name);
        }
    }
}

/// Arithmetic that rows promise each other.
#[test]
fn rows_that_are_worked_out_from_others_agree_with_them() {
    let summary = summary();
    for (kind, scope, ..) in scopes() {
        let subject = Subject::of(&summary, &scope).expect("it is there");
        let value = |name: &str| find(name).expect(name).value(&subject, None);
        let has = |name: &str| find(name).expect(name).scopes.any_of(kind);
        let sum = |names: &[&str]| names.iter().filter_map(|name| value(name)).sum::<f64>();
        if has("arrived") && has("completed") {
            let ends = ["completed", "failed", "rejected", "cancelled", "in_flight"];
            assert_eq!(value("arrived"), Some(sum(&ends)), "{scope:?}");
            assert_eq!(value("errors"), Some(sum(&["failed", "rejected"])), "{scope:?}");
        }
        let parts = [
            ("not_served", "errors"),
            ("failed_share", "failed"),
            ("rejected_share", "rejected"),
            ("cancelled_share", "cancelled"),
            ("retries_per_request", "retries"),
            ("hedges_per_request", "hedges"),
            ("failovers_per_request", "failovers"),
            ("attempts_per_request", "attempts"),
        ];
        for (share, count) in parts {
            if has(share) {
                let count = find(count).expect(count);
                assert_eq!(value(share), count.share(&subject), "{share} of {scope:?}");
            }
        }
    }
}
