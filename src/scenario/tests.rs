//! Tests of the whole parser: every built-in scenario reads, every mistake is drawn at its place,
//! and no input makes it panic.

mod reading;

use proptest::prelude::*;

use super::*;
use crate::balance::{Priority, REGISTRY, ReportFreshness, Tier};
use crate::dist::Dist;
use crate::node::{ErrorAnswer, FaultKind};
use crate::unit::{ClassId, PoolId, Price, Ratio, RegionId, TenantId};
use crate::workload::TraceFormat;

/// A scenario with a little of everything.
const FULL: &str = include_str!("testdata/full.toml");

/// A scenario that is right; tests break it.
const SMALL: &str = r#"
duration = "1m"
[[pool]]
name = "light"
strategy = "random"
[[pool.node]]
name = "local"
backend = { slots = { servers = 2, service = { constant = "10ms" } } }
[workload]
arrivals = { poisson = { rate = 10 } }
"#;

/// A scenario of one node that says this of its balancer and of its pool.
pub(super) fn of_one_node(balancer: &str, pool: &str) -> Result<Scenario, Problems> {
    let balancer =
        if balancer.is_empty() { String::new() } else { format!("[balancer]\n{balancer}\n") };
    let text = SMALL.trim_start().replacen("[[pool]]", &format!("{balancer}[[pool]]"), 1).replacen(
        "[[pool.node]]",
        &format!("{pool}[[pool.node]]"),
        1,
    );
    Scenario::parse("test", "test.toml", &text, &[])
}

fn parse(text: &str) -> Scenario {
    Scenario::parse("test", "test.toml", text, &[]).unwrap_or_else(|problems| panic!("{problems}"))
}

fn with(text: &str, overrides: &[Override]) -> Result<Scenario, Problems> {
    Scenario::parse("test", "test.toml", text, overrides)
}

fn set(text: &str) -> Override {
    Override::set(text).unwrap()
}

/// The problems of a text, drawn.
fn drawn(text: &str) -> String {
    match with(text, &[]) {
        Ok(_) => "no problem".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

/// The problems of `SMALL` after a replacement.
fn broken(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    drawn(&SMALL.replacen(from, to, 1))
}

/// A drawing without the list of strategies, which is of no matter there and grows.
fn without_list(drawn: &impl ToString) -> String {
    let names: Vec<&str> = REGISTRY.iter().map(|entry| entry.name).collect();
    let list = value::join(&names);
    let drawn = drawn.to_string();
    assert!(drawn.contains(&list), "{drawn}");
    drawn.replace(&list, "(the strategies)")
}

macro_rules! draws {
    ($($name:ident: $problems:expr;)*) => {
        $(#[test] fn $name() { insta::assert_snapshot!($problems); })*
    };
}

draws! {
    draws_unknown_strategy: without_list(&broken("\"random\"", "\"randon\""));
    draws_unlike_strategy: broken("\"random\"", "\"p2x\"");
    draws_unknown_setting: broken("\"random\"", "{ power_of_two = { chioces = 2 } }");
    draws_settings_out_of_range: broken("\"random\"", "{ power_of_two = { choices = 1_000 } }")
        + "\n\n" + &broken("\"random\"", "{ peak_ewma = { signal = \"tft\", decay = \"1ms\" } }");
    draws_two_strategies: without_list(&broken("\"random\"", "{ random = {}, round_robin = {} }"));
    draws_unknown_keys: broken("duration", "duratoin = \"2m\"\nhegde = 1\nduration");
    draws_missing_keys: drawn("[[pool]]\n[[pool.node]]\n[workload]\n");
    draws_empty_file: drawn("");
    draws_wrong_types: drawn(
        "seed = \"x\"\nduration = 60\nwarmup = 2020-01-01\nbalancer = []\n[[pool]]\nname = 7\n\
         strategy = 1\nnode = \"a\"\n[workload]\narrivals = \"poisson\"\n[pool_]\n",
    );
    draws_one_bracket: drawn("[pool]\nname = \"a\"\n");
    draws_absurd_numbers: drawn(ABSURD);
    draws_durations: broken("\"1m\"", "\"10\"") + "\n\n" + &broken("\"1m\"", "\"-1s\"") + "\n\n"
        + &broken("\"1m\"", "\"0s\"") + "\n\n" + &broken("\"1m\"", "\"5 parsecs\"");
    draws_warmup: broken("\"1m\"", "\"1m\"\nwarmup = \"60s\"");
    draws_no_end: broken("duration = \"1m\"\n", "");
    draws_empty_pool: broken("[[pool]]", "[[pool]]\nname = \"heavy\"\nstrategy = \"random\"\n[[pool]]");
    draws_duplicates: drawn(DUPLICATES);
    draws_routes: drawn(ROUTES);
    draws_route_order: drawn(ROUTE_ORDER);
    draws_faults: drawn(FAULTS);
    draws_distributions: drawn(DISTRIBUTIONS);
    draws_later_words: drawn(LATER);
    draws_instances: drawn(INSTANCES);
    draws_admission: drawn(ADMISSION);
    draws_syntax: drawn("seed = \nduration = \"1m\n[[pool]\n");
    draws_duplicate_key: drawn("seed = 1\nseed = 2\n");

    draws_control_characters: broken("\"light\"", "\"\\u001b[31m\"");
    draws_wide_characters: without_list(&broken("\"random\"", "{ \"zufällig ✓\" = {} } # größer"));
    draws_live: drawn(LIVE);
    draws_autoscale: AUTOSCALES.iter().map(|text| autoscale(text) + "\n\n").collect::<String>();
    draws_batches: BATCHES.iter().map(|text| broken("strategy", &format!("batch = {text}\nstrategy")) + "\n\n").collect::<String>();
    draws_workflows: drawn(&format!("{SMALL}workflow = {{ clam = 0.5, claim = -1 }}\n{WORKFLOWS}"));
    draws_workflow_cycles: drawn(&format!("{SMALL}workflow = \"loop\"\n{CYCLES}"));
    draws_workflows_not_started: broken("[workload]", &format!("{CLAIM}[workload]"))
        + "\n\n" + &broken("10 } }", "10 } }\nworkflow = \"claim\"")
        + "\n\n" + &broken(
            "arrivals = { poisson = { rate = 10 } }",
            &format!("arrivals = {{ trace = {{ azure = {{}} }} }}\nworkflow = \"claim\"\n{CLAIM}"),
        );
    draws_laws: LAWS.iter().map(|text| law(text) + "\n\n").collect::<String>();
    draws_arrivals: ARRIVALS.iter().map(|text| arrivals(text) + "\n\n").collect::<String>();
}

/// The problems of `SMALL` with a group that is scaled.
fn autoscale(text: &str) -> String {
    broken("backend", &format!("{text}\nbackend"))
}

const AUTOSCALES: &[&str] = &[
    "autoscale = {}",
    "autoscale = { min = 9, max = 8, target = { in_flight = 1 } }",
    "count = 9\nautoscale = { max = 8, target = { in_flight = 1 } }",
    "count = 1\nautoscale = { min = 2, max = 8, target = { in_flight = 1 } }",
    "autoscale = { max = 0, target = { tokens_in_flight = 0 }, every = \"0s\" }",
    "autoscale = { max = 2, target = { ttft = 2 }, cold_start = \"-1s\", tolerance = 2 }",
    "autoscale = { max = 2, target = { token_in_flight = 2 }, up_max = 0, down_max = 1.5 }",
    "autoscale = { max = 2, target = { queue = 2, ttft = \"1s\" }, cold_strat = \"1s\" }",
    "autoscale = { max = 2, target = { queue = 2 }, cold_start = { load = { weights_gb = 0 } } }",
];

const BATCHES: &[&str] = &[
    "{ size = 8 }",
    "{ size = 8, window = \"0s\" }",
    "{ size = 0, window = 50 }",
    "{ sise = 8, window = \"50ms\" }",
    "8",
];

const CLAIM: &str = r#"
[[workflow]]
name = "claim"
steps = [{ name = "only", route_class = "default" }]
"#;

const WORKFLOWS: &str = r#"
[[class]]
name = "writer"
[[workflow]]
name = "claim"
deadline = "0s"
steps = [
  { name = "plan" },
  { name = "plan", route_class = "wirter", after = ["plna"], fan_out = 0 },
  { name = "write", route_class = "writer", after = ["plan", "plan"], on_failure = "retry" },
  { name = "send", route_class = "writer", after = "write", fan_out = 1_001, on_failure = { retry = 101, then = "stop" } },
  { name = "a b", route_class = "writer", calls = { class = "reader", count = -1, think = 5 }, context = "gorw" },
  { nmae = "x", route_class = "writer", calls = {} },
  { name = "loop", class = "writer", rounds = 0, calls = [{ class = "writer", count = 1 }, { class = "wirter", count = 1_001 }, 7] },
  7,
]
[[workflow]]
name = "claim"
steps = []
[[workflow]]
step = []
"#;

const CYCLES: &str = r#"
[[workflow]]
name = "loop"
steps = [
  { name = "a", route_class = "default", after = "c" },
  { name = "b", route_class = "default", after = "a" },
  { name = "c", route_class = "default", after = ["b"] },
]
[[workflow]]
name = "self"
steps = [
  { name = "start", route_class = "default" },
  { name = "again", route_class = "default", after = ["start", "again"] },
]
"#;

#[test]
fn every_word_of_a_workflow_reads() {
    use crate::workload::workflow::{OnFailure, StepContext};
    let text = format!(
        "{SMALL}workflow = {{ claim = 3, other = 1 }}\n{}",
        r#"
[[class]]
name = "a"
[[class]]
name = "b"
[[workflow]]
name = "claim"
deadline = "2m"
steps = [
  { name = "last", route_class = "b", after = ["first"], on_failure = { retry = 2, then = "skip" }, context = "grow" },
  { name = "first", route_class = "a", fan_out = { uniform = { min = 1, max = 5 } }, deadline = "30s", on_failure = "skip", rounds = { uniform = { min = 1, max = 4 } }, calls = [{ class = "b", count = 3, think = "200ms" }, { class = "a", count = 1 }] },
]
[[workflow]]
name = "other"
[[workflow.steps]]
name = "only"
route_class = "a"
calls = { class = "b", count = 2 }
"#
    );
    let scenario = parse(&text);
    assert!(scenario.starts_jobs() && !parse(SMALL).starts_jobs());
    let [claim, other] = &scenario.workflows[..] else { panic!("two workflows") };
    assert!((claim.share - 3.0).abs() + (other.share - 1.0).abs() < 1e-12);
    assert_eq!(claim.deadline, Some(Span::from_secs(120)));
    let [last, first] = &claim.steps[..] else { panic!("two steps") };
    assert_eq!((&last.after[..], &first.after[..]), (&[1][..], &[][..]));
    assert_eq!((last.class, first.class), (ClassId(1), ClassId(0)));
    assert_eq!(
        (last.retries, last.on_failure, last.context),
        (2, OnFailure::Skip, StepContext::Grow)
    );
    assert_eq!((first.retries, first.on_failure), (0, OnFailure::Skip));
    assert_eq!(first.deadline, Some(Span::from_secs(30)));
    assert_eq!(first.fan_out, Dist::uniform(1.0, 5.0).unwrap());
    assert_eq!(first.rounds, Dist::uniform(1.0, 4.0).unwrap());
    assert_eq!(last.rounds, Dist::constant(1.0).unwrap());
    let [calls, others] = &first.calls[..] else { panic!("two entries") };
    assert_eq!((calls.class, &calls.count), (ClassId(1), &Dist::constant(3.0).unwrap()));
    assert_eq!(calls.think, Dist::constant(0.2).unwrap());
    assert_eq!((others.class, &others.count), (ClassId(0), &Dist::constant(1.0).unwrap()));
    assert_eq!(other.steps[0].on_failure, OnFailure::Fail);
    assert_eq!(other.steps[0].calls.len(), 1, "one entry needs no list");
    assert_eq!(scenario.labels.workflows[0].steps, ["last", "first"]);
}

/// The problems of `SMALL` with another law of service.
fn law(text: &str) -> String {
    broken("{ constant = \"10ms\" }", text)
}

const LAWS: &[&str] = &[
    "{ lognormal = { p10 = \"1s\" } }",
    "{ lognormal = { p90 = \"1s\", p10 = \"2s\" } }",
    "{ lognormal = { p10 = \"1s\", p50 = \"2s\", p90 = \"3s\" } }",
    "{ lognormal = { p50 = \"1s\", p97 = \"2s\" } }",
    "{ lognormal = { p50 = \"1s\", p99 = \"2s\", shift = 1 } }",
    "{ pareto = { min = \"0s\", shape = 2 } }",
    "{ pareto = { min = \"1s\", shape = 1 } }",
    "{ paretto = { min = \"1s\", shape = 2 } }",
    "{ mixture = [] }",
    "{ mixture = [{ weight = 0, lognormal = { p50 = \"1s\", p99 = \"1s\" } }, { gamma = {} }] }",
    "{ quantiles = [[0, \"1s\"]] }",
    "{ quantiles = [[0, \"1s\"], [nan, \"2s\"], [1, 7], [1], 5] }",
    "{ quantiles = [[0, \"1s\"], [0.5, \"2s\"]] }",
    "{ quantiles = [[0, \"1s\"], [0.5, \"5s\"], [1, \"2s\"]] }",
    "{ quantiles = [[0, \"0s\"], [1, \"0s\"]] }",
];

#[test]
fn every_law_reads() {
    let lognormal = |mean, sigma| Dist::lognormal_mean(mean, sigma);
    let between = Dist::lognormal_between(("p10", 0.1, 1.0), ("p99", 0.99, 8.0)).unwrap();
    let mixture = [(9.0, lognormal(1.0, 0.5).unwrap()), (1.0, between)];
    for (text, law) in [
        ("{ lognormal = { p10 = \"1s\", p99 = \"8s\" } }", Ok(between)),
        ("{ lognormal = { p99 = \"8s\", p10 = \"1s\", shift = \"2s\" } }", between.shifted(2.0)),
        (
            "{ lognormal = { mean = \"1s\", sigma = 0.5, shift = \"100ms\" } }",
            lognormal(1.0, 0.5).and_then(|law| law.shifted(0.1)),
        ),
        ("{ pareto = { min = \"1s\", shape = 2.5 } }", Dist::pareto(1.0, 2.5)),
        (
            "{ mixture = [{ weight = 9, lognormal = { mean = \"1s\", sigma = 0.5 } }, \
             { weight = 1, lognormal = { p10 = \"1s\", p99 = \"8s\" } }] }",
            Dist::mixture(&mixture),
        ),
        (
            "{ quantiles = [[0.0, \"1s\"], [0.5, \"10s\"], [1.0, \"99s\"]] }",
            Dist::quantiles(&[(0.0, 1.0), (0.5, 10.0), (1.0, 99.0)]),
        ),
    ] {
        let scenario = parse(&SMALL.replace("{ constant = \"10ms\" }", text));
        let spec = format!("{:?}", scenario.backends);
        assert!(spec.contains(&format!("{:?}", law.unwrap())), "{text}: {spec}");
    }
}

/// The problems of `SMALL` with other arrivals.
fn arrivals(text: &str) -> String {
    broken("{ poisson = { rate = 10 } }", text)
}

const ARRIVALS: &[&str] = &[
    "{ gama = { rate = 1, cv = 1 } }",
    "{ gamma = { rate = -1, cv = 1 } }",
    "{ gamma = { rate = 1, cv = nan } }",
    "{ gamma = { rate = 1, cv = 1000, shape = 2 } }",
    "{ weibull = { rate = 1e9, shape = 1 } }",
    "{ weibull = { rate = 10, shpae = 1 } }",
    "{ mmpp = { rates = [1], holds = [\"1s\"] } }",
    "{ mmpp = { rates = [1, -2, inf], holds = [\"1s\", 2, \"1us\"] } }",
    "{ mmpp = { rates = [1, 2], holds = [\"1s\"] } }",
    "{ mmpp = { rates = [1, 2, 3], holds = [\"1s\", \"2s\"] } }",
    "{ mmpp = { rates = [0, 0], holds = [\"1s\", \"2s\"] } }",
    "{ mmpp = { rates = 5 } }",
    "{ ramp = { from = 0, to = 0, over = \"5m\" } }",
    "{ ramp = { from = -1, to = 5, over = \"0s\" } }",
    "{ ramp = { from = 1, to = 2, over = 300 } }",
    "{ diurnal = { mean = 1 } }",
    "{ diurnal = { mean = 1, amplitude = 1.5 } }",
    "{ diurnal = { mean = 0, peak_to_mean = 1.5 } }",
    "{ diurnal = { mean = 1, peak_to_mean = 3, period = \"0s\" } }",
    "{ diurnal = { mean = 1, peak_to_mean = 1.5, amplitude = 0.5 } }",
    "{ steps = [] }",
    "{ trace = { vidor = {} } }",
    "{ trace = { burstgpt = { scale = 0, length_scale = nan } } }",
    "{ trace = { vidur = { length_scal = 1e9 } } }",
    "{ steps = { at = \"0s\", rate = 1 } }",
    "{ steps = [{ at = \"1s\", rate = 1 }] }",
    "{ steps = [{ at = \"0s\", rate = 1 }, { at = \"0s\", rate = 1e9 }, { at = \"2s\" }, 7] }",
    "{ steps = [{ at = \"0s\", rate = 0 }, { at = \"1s\", rate = 0 }] }",
];

#[test]
fn every_process_reads() {
    use crate::workload::Process;
    for (text, process) in [
        ("{ gamma = { rate = 40, cv = 3 } }", Process::gamma(40.0, 3.0)),
        ("{ weibull = { rate = 40, shape = 0.5 } }", Process::weibull(40.0, 0.5)),
        (
            "{ mmpp = { rates = [0, 40], holds = [\"10s\", \"500ms\"] } }",
            Process::mmpp(&[(0.0, 10.0), (40.0, 0.5)]),
        ),
        ("{ ramp = { from = 0, to = 40, over = \"5m\" } }", Process::ramp(0.0, 40.0, 300.0)),
        (
            "{ diurnal = { mean = 40, peak_to_mean = 1.5 } }",
            Process::diurnal(40.0, 0.5, 86_400.0, 43_200.0),
        ),
        (
            "{ diurnal = { mean = 40, amplitude = 1, period = \"1h\", peak_at = \"0s\" } }",
            Process::diurnal(40.0, 1.0, 3_600.0, 0.0),
        ),
        (
            "{ steps = [{ at = \"0s\", rate = 1 }, { at = \"1m\", rate = 0 }] }",
            Process::steps(&[(1.0, 0.0), (0.0, 60.0)]),
        ),
    ] {
        let scenario = parse(&SMALL.replace("{ poisson = { rate = 10 } }", text));
        assert_eq!(scenario.arrivals, Arrivals::Made(process.unwrap()), "{text}");
    }
}

const ABSURD: &str = r#"
duration = "1m"
requests = 0
seed = -1
[balancer]
retry = { attempts = 99, budget = 1.5, backoff = { base = "2s", cap = "1s" } }
timeouts = { total = "0s" }
queue = { max = -1 }
health = { eject = { max_share = nan } }
[[pool]]
name = "light"
strategy = "random"
[[pool.node]]
name = "local"
count = 1_000_000_000
weight = 0
price = { input = -1, output = 1e999 }
hourly_price = inf
limits = { concurrency = 0, requests_per_minute = 1.5 }
backend = { slots = { servers = 99999999999999999999999999, service = { exponential = { mean = "0s" } } } }
[[class]]
name = "chat"
share = 0
[workload]
arrivals = { poisson = { rate = 0 } }
"#;

const DUPLICATES: &str = r#"
duration = "1m"
[[pool]]
name = "light"
strategy = "random"
[[pool.node]]
name = "a"
count = 2
backend = { slots = { servers = 1, service = "1s" } }
[[pool.node]]
name = "a-2"
backend = { slots = { servers = 1, service = "1s" } }
[[pool]]
name = "light"
strategy = "random"
[[pool.node]]
name = "b"
backend = { slots = { servers = 1, service = "1s" } }
[[class]]
name = "chat"
[[class]]
name = "chat"
[workload]
arrivals = { poisson = { rate = 1 } }
"#;

const ROUTES: &str = r#"
duration = "1m"
[[pool]]
name = "light"
strategy = "random"
[[pool.node]]
name = "a"
tags = ["eu"]
backend = { slots = { servers = 1, service = "1s" } }
[[pool]]
name = "heavy"
strategy = "random"
[[pool.node]]
name = "b"
tags = ["us"]
backend = { slots = { servers = 1, service = "1s" } }
[[class]]
name = "chat"
[[route]]
match = { class = "chta", priority = "hihg", prompt_tokens = { min = 9, max = 3 } }
to = ["lihgt", "heavy", "heavy"]
require = { tags = ["ue"] }
[[route]]
match = { class = [] }
to = []
[[route]]
to = "light"
require = { tags = ["us"] }
[workload]
arrivals = { poisson = { rate = 1 } }
"#;

const ROUTE_ORDER: &str = r#"
duration = "1m"
[[pool]]
name = "light"
strategy = "random"
[[pool.node]]
name = "a"
backend = { slots = { servers = 1, service = "1s" } }
[[route]]
match = { prompt_tokens = { max = 800 } }
to = ["light"]
[[route]]
match = { priority = "high", prompt_tokens = { max = 400 } }
to = ["light"]
[[route]]
match = { tenant = [1, 2] }
to = ["light"]
[workload]
arrivals = { poisson = { rate = 1 } }
"#;

const FAULTS: &str = r#"
duration = "1m"
[[pool]]
name = "light"
strategy = "random"
[[pool.node]]
name = "local"
backend = { slots = { servers = 1, service = "1s" } }
[workload]
arrivals = { poisson = { rate = 1 } }
[[fault]]
at = "1s"
carsh = { node = "local" }
[[fault]]
at = "2m"
crash = { node = "locla" }
[[fault]]
at = "1s"
slow = { pool = "light", factor = 0 }
[[fault]]
at = "1s"
slow = { pool = "light" }
hang = { pool = "light" }
[[fault]]
crash = { region = "eu", for = "0s" }
[[fault]]
at = "1s"
errors = { node = "local", pool = "light", share = 2, status = 404 }
[[fault]]
at = "1s"
errors = { node = "local", status = 503, retry_after = "2s" }
[[fault]]
at = "1s"
[[fault]]
at = "1s"
crash = {}
[[fault]]
random = { crash = { pool = "light" } }
[[fault]]
random = { flap = { pool = "light" }, every = "5m", lasts = "10s" }
[[fault]]
random = { crash = { pool = "light", for = "3s" }, every = "5m", lasts = "10s" }
[[fault]]
at = "1s"
probes = { node = "local", say = "blue" }
[[fault]]
at = "1s"
cache_loss = { node = "local" }
[[fault]]
at = "1s"
crash = { pool = "light", count = "130%" }
"#;

const DISTRIBUTIONS: &str = r#"
duration = "1m"
[[pool]]
name = "light"
strategy = "random"
[[pool.node]]
name = "a"
backend = { slots = { servers = 1, service = { lognormal = { p50 = "2s", p95 = "1s" } } } }
[[pool.node]]
name = "b"
backend = { slots = { servers = 1, service = { gamma = { mean = "1s" } } } }
[[pool.node]]
name = "c"
backend = { slots = { servers = 1, service = { gamam = { mean = "1s" } } } }
[[pool.node]]
name = "d"
backend = { api = { ttft = 0.5, tokens_per_second = { uniform = { min = 5, max = 5 } } } }
[[pool.node]]
name = "e"
backend = { api = { ttft = true, tokens_per_second = 0 } }
[[pool.node]]
name = "f"
backend = { api = { ttft = "0s", tokens_per_second = { weibull = { mean = 5, shape = 0.001 } } } }
[[class]]
name = "chat"
prompt_tokens = { exponential = { mean = 1e12 } }
output_tokens = { lognormal = { p50 = 10, p95 = "1s", p99 = 3 } }
[workload]
arrivals = { poisson = { rate = 1 } }
"#;

const INSTANCES: &str = r#"
duration = "1m"
[balancer]
instances = 65
share = { delay = "5ms" }
reports = { every = "0s", dealy = "1s" }
[[pool]]
name = "light"
strategy = { power_of_two = { signal = "reportd" } }
[[pool.node]]
name = "a"
backend = { slots = { servers = 1, service = { constant = "1s" } } }
[workload]
arrivals = { poisson = { rate = 1 } }
"#;

const ADMISSION: &str = r#"
duration = "1m"
[balancer]
queue = { order = "eddf", bands = { min_share = 0.5 }, fair = "token", early_rejection = 1 }
tenants = { concurrency = 0, budget_per_day = -1, tokens_per_minut = 5 }
quotas = "yes"
[[tenant]]
tenant = [0, 1]
weight = 0
[[tenant]]
tenant = 1
[[tenant]]
weight = 2
[[tenant]]
tenant = 3
over_budget = "degrade"
[[pool]]
name = "light"
strategy = "random"
batch = { size = 4, window = "1s" }
limits = { concurrency = 5 }
[[pool.node]]
name = "a"
backend = { slots = { servers = 1, service = { constant = "1s" } } }
[workload]
arrivals = { poisson = { rate = 1 } }
"#;

const LATER: &str = r#"
duration = "1m"
[balancer]
health = { breaker = {} }
[network]
name = "x"
[[pool]]
name = "light"
strategy = "random"
[[pool.node]]
name = "a"
backend = { slots = { servers = 1, service = "1ms" } }
[[class]]
name = "chat"
[workload]
arrivals = { constant = {} }
"#;

const LIVE: &str = r#"
[[pool]]
name = "light"
strategy = "random"
[[pool.node]]
name = "a"
url = "ftp://x"
key_env = "sk-123456"
[[pool.node]]
name = "b"
"#;

#[test]
fn draws_overrides() {
    let overrides = [
        set("sede=9"),
        set("pool.lihgt.strategy=random"),
        set("pool.light.strategy=randon"),
        set("pool.light.strategy.peak_ewma.decay=1s"),
        set("pool.light=3"),
        set("workload.arrivals.gamma.rate=80"),
        set("workload.arrivals.poisson.rate=fast"),
        set("balancer.retry.attempts=none"),
        set("duration=10"),
        Override::trace("x.csv"),
    ];
    insta::assert_snapshot!(without_list(&with(SMALL, &overrides).unwrap_err()));
    assert!(Override::set("seed").is_err());
    assert!(Override::set("=9").is_err());
}

#[test]
fn draws_flags() {
    let overrides = [Override::strategy("p2x"), Override::duration("1s"), Override::requests(0)];
    let text = SMALL.replace("\"1m\"", "\"1m\"\nwarmup = \"10s\"");
    insta::assert_snapshot!(without_list(&with(&text, &overrides).unwrap_err()));
}

#[test]
fn draws_expectations_at_their_place() {
    let text = format!("{SMALL}[[expect]]\nthat = \"chat.tftt.p99 < 2s\"\n");
    let scenario = parse(&text);
    let mut problem =
        Scenario::expect_problem(&scenario.expectations[0], 5..9, "unknown metric `tftt`");
    problem.label("not a metric").help("a metric with a similar name exists: `ttft`");
    insta::assert_snapshot!(scenario.problems(vec![problem]));
}

#[test]
fn draws_what_cannot_be_simulated() {
    let text = "[[pool]]\nname = \"a\"\nstrategy = \"random\"\n[[pool.node]]\nname = \"b\"\n\
                url = \"https://example.com/v1\"\n";
    insta::assert_snapshot!(parse(text).check_simulable().unwrap_err());
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let read = |bytes| Scenario::read("x", "x.toml", bytes, &[]).unwrap_err().to_string();
    insta::assert_snapshot!(read(b"\x7fELF\0\0") + "\n\n" + &read(b"seed = 1\n# gr\xfc\xdfe\n"));
    assert!(Scenario::read("x", "x.toml", SMALL.as_bytes(), &[]).is_ok());
    let mark = [b"\xef\xbb\xbf".as_slice(), SMALL.as_bytes()].concat();
    assert!(Scenario::read("x", "x.toml", &mark, &[]).is_ok());
}

draws! {
    health_of_a_pool_has_the_words_of_all: broken(
        "strategy = \"random\"",
        "strategy = \"random\"\nhealth = { eject = { consecutiv = 2, jitter = 2 } }",
    );
    a_credential_has_a_name: broken("[[pool.node]]", "[[pool.node]]\ncredential = \"\"");
}
