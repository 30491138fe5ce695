//! Each piece of advice is given where it is due, by itself, and not where it is not.

use super::ADVICE;
use crate::scenario::{Place, ProblemLevel, Problems, Scenario};

/// A scenario that nothing can be said against.
const GOOD: &str = r#"duration = "10m"
[balancer]
retry = { attempts = 3, budget = 0.2 }
timeouts = { total = "60s" }
[balancer.health]
probe = { every = "5s" }
[balancer.tenants]
budget_per_day = 100_000
[[pool]]
name = "models"
strategy = "least_connections"
[[pool.node]]
name = "fast"
price = { input = 2.5, output = 10 }
limits = { concurrency = 32 }
backend = { api = { ttft = { constant = "500ms" }, tokens_per_second = { constant = 100 } } }
[[pool.node]]
name = "slow"
tier = "primary"
price = { input = 1, output = 2 }
limits = { concurrency = 32 }
backend = { api = { ttft = { constant = "1s" }, tokens_per_second = { constant = 40 } } }
[[pool.node]]
name = "spare"
tier = "backup"
price = { input = 2.5, output = 10 }
limits = { concurrency = 32 }
backend = { api = { ttft = { constant = "500ms" }, tokens_per_second = { constant = 100 } } }
[[class]]
name = "chat"
prompt_tokens = { constant = 1_000 }
output_tokens = { constant = 200 }
[workload]
arrivals = { poisson = { rate = 5 } }
[[expect]]
that = "failed < 1%"
"#;

fn advice(text: &str) -> Problems {
    let scenario = match Scenario::parse("s", "s.toml", text, &[]) {
        Ok(scenario) => scenario,
        Err(problems) => panic!("{problems}\n{text}"),
    };
    scenario.advice(false)
}

fn names(problems: &Problems) -> Vec<&'static str> {
    problems.list().iter().filter_map(|problem| problem.name).collect()
}

#[track_caller]
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "`{from}` is in it");
    GOOD.replace(from, to)
}

/// What makes a good scenario one that the advice is about: a name, and what takes whose place.
const BAD: [(&str, &str, &str); 21] = [
    ("no_health_checks", "probe = { every = \"5s\" }", ""),
    ("static_routing", "\"least_connections\"", "\"round_robin\""),
    ("static_routing", "\"least_connections\"", "\"random\""),
    ("load_above_capacity", "rate = 5", "rate = 50"),
    ("load_above_capacity", "{ poisson = { rate = 5 } }", "{ gamma = { rate = 50, cv = 2 } }"),
    ("no_limits", "limits = { concurrency = 32 }\n", ""),
    ("no_lower_tier", "tier = \"backup\"", "tier = \"primary\""),
    ("retries_multiply", "budget = 0.2", "budget = 1.0"),
    ("budget_too_small", "budget_per_day = 100_000", "budget_per_day = 10"),
    ("budget_too_small", "\"least_connections\"", "{ budget_paced = { dollars_per_hour = 1.0 } }"),
    ("signal_missing", "\"least_connections\"", "\"least_kv\""),
    ("signal_missing", "\"least_connections\"", "\"prefix_cache_aware\""),
    ("signal_missing", "\"least_connections\"", "\"session_affinity\""),
    ("signal_missing", "\"least_connections\"", "\"weighted_least_connections\""),
    (
        "nothing_repeats",
        "[[class]]",
        "[[route]]\nto = \"models\"\ncache = { ttl = \"1m\" }\n[[class]]",
    ),
    ("cannot_fail", "failed < 1%", "failed >= 0"),
    ("cannot_fail", "failed < 1%", "failed <= 100%"),
    ("cannot_fail", "failed < 1%", "chat.ttft.p99 < 2m"),
    ("cannot_fail", "failed < 1%", "goodput >= 0"),
    ("no_expectations", "[[expect]]\nthat = \"failed < 1%\"", ""),
    ("unneeded_allow", "[[expect]]", "[check]\nallow = [\"no_limits\"]\n[[expect]]"),
];

#[test]
fn nothing_is_said_against_a_good_scenario() {
    assert_eq!(names(&advice(GOOD)), [""; 0], "{}", advice(GOOD));
}

#[test]
fn each_mistake_is_told_by_itself_at_its_place_with_what_mends_it() {
    for (name, from, to) in BAD {
        let found = advice(&changed(from, to));
        assert_eq!(names(&found), [name], "{from} -> {to}\n{found}");
        for problem in found.list() {
            assert_eq!(problem.level, ProblemLevel::Warning);
            assert!(matches!(problem.place, Place::Span(_)), "{name}: {:?}", problem.place);
            assert!(problem.help.is_some(), "{name}");
        }
    }
    let told: Vec<&str> = BAD.iter().map(|(name, ..)| *name).chain(["unpriced"]).collect();
    for (name, _) in ADVICE {
        assert!(told.contains(&name), "`{name}` is never given");
    }
}

#[test]
fn what_is_allowed_is_not_said_and_strictly_everything_is_an_error() {
    for (name, from, to) in BAD.iter().filter(|(name, ..)| *name != "unneeded_allow") {
        let text = changed(from, to) + &format!("[check]\nallow = [\"{name}\"]\n");
        assert_eq!(names(&advice(&text)), [""; 0], "{name}: {}", advice(&text));
    }
    let text = changed("probe = { every = \"5s\" }", "");
    let scenario = Scenario::parse("s", "s.toml", &text, &[]).unwrap();
    assert!(scenario.advice(true).list().iter().all(|one| one.level == ProblemLevel::Error));
}

#[test]
fn what_has_no_price_is_an_error_where_a_strategy_goes_by_cost() {
    let prices = "price = { input = 1, output = 2 }\n";
    for strategy in
        ["\"cheapest\"", "\"cost_latency\"", "{ score = { formula = \"ttft + dollars\" } }"]
    {
        let unpriced = changed(prices, "").replace("\"least_connections\"", strategy);
        for text in [unpriced.clone(), unpriced + "[check]\nallow = [\"unpriced\"]\n"] {
            let found = advice(&text);
            assert_eq!(names(&found), ["unpriced"], "{strategy}: {found}");
            assert_eq!(found.list()[0].level, ProblemLevel::Error, "{strategy}");
            assert_eq!(found.position(&found.list()[0]).map(|(line, _)| line), Some(18));
        }
        for free in ["price = { input = 0, output = 0 }\n", "hourly_price = 0\n"] {
            let text = changed(prices, free).replace("\"least_connections\"", strategy);
            assert_eq!(names(&advice(&text)), [""; 0], "what is said to be free is");
        }
    }
    assert_eq!(names(&advice(&changed(prices, ""))), [""; 0], "others do not ask");
}

#[test]
fn weights_that_fit_and_engines_that_keep_prefixes_are_no_mistake() {
    // One does 12.8 requests a second, the other 5.3.
    let weighted = changed("\"least_connections\"", "\"weighted_round_robin\"")
        .replace("name = \"fast\"", "name = \"fast\"\nweight = 12")
        .replace("name = \"slow\"", "name = \"slow\"\nweight = 5");
    assert_eq!(names(&advice(&weighted)), [""; 0], "{}", advice(&weighted));
    let wrong =
        weighted.replace("weight = 12", "weight = 5").replace("weight = 5\n", "weight = 6\n");
    assert_eq!(names(&advice(&wrong)), ["static_routing"], "{}", advice(&wrong));
}

#[test]
fn kept_answers_that_somebody_asks_for_again_are_no_mistake() {
    let route = "[[route]]\nto = \"models\"\ncache = { ttl = \"1m\" }\n[[class]]\n";
    let text = changed("[[class]]\n", &format!("{route}repeat = {{ distinct = 9 }}\n"));
    assert_eq!(names(&advice(&text)), [""; 0], "{}", advice(&text));
    // What is said in a conversation is not asked again, whatever its class says.
    let talks =
        text.replace("[workload]\n", "[workload]\nsessions = { turns = 3, think = \"1s\" }\n");
    assert_eq!(names(&advice(&talks)), ["nothing_repeats"], "{}", advice(&talks));
}

#[test]
fn nodes_in_several_regions_take_over_for_each_other() {
    let text = changed("tier = \"backup\"", "region = \"us\"");
    let text = text.replace("tier = \"primary\"", "region = \"eu\"");
    assert_eq!(names(&advice(&text)), [""; 0], "{}", advice(&text));
}

#[test]
fn the_drawing_names_the_advice_and_shows_its_line() {
    let found = advice(&changed("rate = 5", "rate = 50"));
    insta::assert_snapshot!(found.draw(false));
}

#[test]
fn every_built_in_scenario_says_which_advice_it_does_not_take() {
    for (name, text) in crate::scenario::BUILTIN {
        let scenario = Scenario::parse(name, name, text, &[]).unwrap();
        let found = scenario.advice(false);
        assert!(found.list().is_empty(), "{found}");
    }
}

#[test]
fn defaults_in_force_are_what_counts_and_is_not_said() {
    let scenario = Scenario::parse("s", "s.toml", GOOD, &[]).unwrap();
    let rows = scenario.defaults();
    let value = |path: &str| rows.iter().find(|row| row.path == path).map(|row| row.value.as_str());
    assert_eq!(value("balancer.retry.backoff.base"), Some("\"50ms\""));
    assert_eq!(value("balancer.queue.max"), Some("1_000"));
    assert_eq!(value("pool.models.node.fast.tier"), Some("\"primary\""));
    assert_eq!(value("pool.models.node.slow.tier"), None, "it is said");
    assert_eq!(value("balancer.retry.attempts"), None, "it is said");
    assert_eq!(value("seed"), Some("1"));
    // What is said takes a default away, and nothing else.
    let more = GOOD.replace("duration", "seed = 1\nduration");
    let fewer = Scenario::parse("s", "s.toml", &more, &[]).unwrap().defaults();
    let left: Vec<_> = rows.iter().filter(|row| row.path != "seed").cloned().collect();
    assert_eq!(fewer, left);
}
