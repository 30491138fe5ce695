//! Each piece of advice is given where it is due, by itself, and not where it is not.

use super::ADVICE;
use std::collections::{BTreeMap, BTreeSet};

use crate::scenario::{DefaultRow, Place, ProblemLevel, Problems, Scenario};

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
const BAD: [(&str, &str, &str); 29] = [
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
    (
        "no_effect",
        "[workload]",
        "repeat = { distinct = 9 }\n[workload]\nsessions = { turns = 3, think = \"5s\" }",
    ),
    (
        "no_effect",
        "[workload]\narrivals = { poisson = { rate = 5 } }",
        "repeat = { distinct = 9 }\n[workload]\narrivals = { trace = { azure = {} } }",
    ),
    ("simulated_only", "name = \"spare\"", "name = \"spare\"\nurl = \"http://localhost:1/v1\""),
    ("cannot_fail", "failed < 1%", "failed >= 0"),
    ("cannot_fail", "failed < 1%", "failed <= 100%"),
    ("cannot_fail", "failed < 1%", "chat.ttft.p99 < 2m"),
    ("cannot_fail", "failed < 1%", "goodput >= 0"),
    ("cannot_fail", "failed < 1%", "p99 > 0s"),
    ("cannot_fail", "failed < 1%", "chat.ttft.max > 0s"),
    ("cannot_fail", "failed < 1%", "arrived >= 1"),
    ("cannot_fail", "failed < 1%", "fast.kv < 90%"),
    ("cannot_fail", "failed < 1%", "pool:models.kv_max > 10%"),
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
    assert_eq!(names(&advice(&talks)), ["nothing_repeats", "no_effect"], "{}", advice(&talks));
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
    let value = |table: &str, of: &str, key: &str| {
        let same = |row: &&DefaultRow| (&*row.table, &*row.of, &*row.key) == (table, of, key);
        rows.iter().find(same).map(|row| row.value.as_str())
    };
    assert_eq!(value("[balancer.retry.backoff]", "", "base"), Some("\"50ms\""));
    assert_eq!(value("[balancer.queue]", "", "max"), Some("1_000"));
    assert_eq!(value("[[pool.node]]", "fast", "tier"), Some("\"primary\""));
    assert_eq!(value("[[pool.node]]", "slow", "tier"), None, "it is said");
    assert_eq!(value("[balancer.retry]", "", "attempts"), None, "it is said");
    assert_eq!(value("", "", "seed"), Some("1"));
    // What is said takes a default away, and nothing else.
    let more = GOOD.replace("duration", "seed = 1\nduration");
    let fewer = Scenario::parse("s", "s.toml", &more, &[]).unwrap().defaults();
    let left: Vec<_> = rows.iter().filter(|row| row.key != "seed").cloned().collect();
    assert_eq!(fewer, left);
}

#[test]
fn defaults_that_several_tables_share_stand_once_and_none_is_lost() {
    for (name, text) in crate::scenario::BUILTIN {
        let scenario = Scenario::parse(name, name, text, &[]).unwrap();
        let rows = scenario.defaults();
        let groups = scenario.default_groups();
        let mut tables = BTreeMap::new();
        for row in &rows {
            tables.entry(&row.table).or_insert_with(BTreeSet::new).insert(&row.of);
        }
        let mut told = 0;
        for group in &groups {
            for (at, (row, of)) in group.rows.iter().enumerate() {
                told += if of.is_empty() { tables[&group.table].len() } else { of.len() };
                let same = |(other, _): &&(DefaultRow, Vec<String>)| {
                    (&other.key, &other.value) == (&row.key, &row.value)
                };
                assert_eq!(group.rows.iter().position(|other| same(&other)), Some(at));
            }
        }
        assert_eq!(told, rows.len());
    }
}

/// The only piece of advice: its message and help, and the line it stands on.
#[track_caller]
fn only(name: &str, text: &str) -> (String, String, usize) {
    let found = advice(text);
    assert_eq!(names(&found), [name], "{found}");
    let one = &found.list()[0];
    let line = found.position(one).map(|(line, _)| line).unwrap();
    (one.message.clone(), one.help.clone().unwrap(), line)
}

fn line_of(text: &str, part: &str) -> usize {
    text[..text.find(part).unwrap()].matches('\n').count() + 1
}

#[test]
fn a_budget_of_a_tenant_s_own_is_found_where_it_stands_and_under_its_name() {
    let own = "[[tenant]]\ntenant = [2, 3]\nname = \"acme\"\nbudget_per_day = 5\n[[class]]\n";
    let text = changed("[[class]]\n", &format!("{own}tenant = 3\n"));
    let (message, help, line) = only("budget_too_small", &text);
    assert_eq!(line, line_of(&text, "budget_per_day = 5\n"));
    // Of $604.80 a day $5 are a hundred and twentieth.
    assert!(message.contains("`acme` (3)") && message.contains("$604.80"), "{message}");
    assert!(message.ends_with("after 12 min") && help.contains("turned away"), "{message} {help}");
    let alone =
        text.replace("[2, 3]", "3").replace("budget_per_day = 5\n", "budget_per_day = 0.01\n");
    let (message, ..) = only("budget_too_small", &alone);
    assert!(message.contains("tenant `acme` would") && message.ends_with("1 s"), "{message}");
    // One that says nothing of budgets has that of all.
    let usual = text.replace("budget_per_day = 5\n", "").replace("100_000", "300");
    let (message, _, line) = only("budget_too_small", &usual);
    assert_eq!(line, line_of(&usual, "budget_per_day"));
    assert!(message.ends_with("after 11.9 h"), "{message}");
}

#[test]
fn every_tenant_of_a_law_that_runs_short_is_counted_and_the_first_eight_are_named() {
    let law = "[[class]]\ntenant = { zipf = { tenants = 20, exponent = 1.0 } }\n";
    let text = changed("[[class]]\n", law).replace("100_000", "10");
    let (message, _, line) = only("budget_too_small", &text);
    assert_eq!(line, line_of(&text, "budget_per_day"));
    // The first has 27.8 % of all, the 16th a sixteenth of that.
    assert!(message.contains("16 tenants") && message.ends_with(", and 8 more"), "{message}");
    assert!(message.contains("tenant 0 after 86 min ($168.11 a day), 1 after 2.9 h"), "{message}");
}

#[test]
fn a_tenant_that_degrades_goes_on_in_cheaper_pools_and_those_are_not_what_it_pays_before() {
    let cheap = "[[pool]]\nname = \"cheap\"\nstrategy = \"least_connections\"\n[[pool.node]]\n\
        name = \"light\"\nlimits = { concurrency = 32 }\nbackend = { slots = { servers = 9, \
        service = \"1s\" } }\n[[route]]\nto = \"models\"\ndegrade = { to = \"cheap\" }\n[[class]]\n";
    let text = changed("[[class]]\n", cheap).replace("100_000", "10");
    let (refused, help, _) = only("budget_too_small", &text);
    assert!(help.contains("turned away"), "{help}");
    let text = text.replace("= 10\n[[pool", "= 10\nover_budget = \"degrade\"\n[[pool");
    let (degraded, help, _) = only("budget_too_small", &text);
    assert!(help.contains("cheaper pools") && !help.contains("turned away"), "{help}");
    assert_eq!(refused, degraded);
}

#[test]
fn a_second_pool_is_advised_where_it_has_the_same_models() {
    let two = |model: &str| {
        let second = format!(
            "[[pool]]\nname = \"second\"\nstrategy = \"least_connections\"\n[[pool.node]]\nname = \
             \"b\"\n{model}limits = {{ concurrency = 32 }}\nbackend = {{ slots = {{ servers = 9, \
             service = \"1s\" }} }}\n[[route]]\nto = \"models\"\n[[class]]\n"
        );
        changed("tier = \"backup\"", "tier = \"primary\"").replace("[[class]]\n", &second)
    };
    let (_, help, _) = only("no_lower_tier", &two(""));
    assert!(help.contains("[\"models\", \"second\"]"), "{help}");
    let (_, help, _) = only("no_lower_tier", &two("model = \"small\"\n"));
    assert!(help.contains("backup") && !help.contains("to ="), "{help}");
    let both = "[[route]]\nto = \"second\"\nmatch = { session = true }\n[[route]]\nto = \"models\"";
    let text = two("").replace("[[route]]\nto = \"models\"", both);
    let (message, help, _) = only("no_lower_tier", &text);
    assert!(message.contains("one of `second`, `models`"), "{message}");
    assert!(help.contains("each of these") && !help.contains("to ="), "{help}");
}

#[test]
fn money_cannot_be_too_much_where_nothing_has_a_price() {
    let spent = changed("failed < 1%", "cost < $5");
    assert_eq!(names(&advice(&spent)), [""; 0]);
    let free = spent
        .replace("price = { input = 2.5, output = 10 }\n", "")
        .replace("price = { input = 1, output = 2 }\n", "");
    let (message, help, _) = only("cannot_fail", &free);
    assert!(message.contains("nothing has a price") && help.contains("price"), "{message}");
    let other = free.replace("name = \"fast\"", "name = \"fast\"\nhourly_price = 1");
    assert_eq!(names(&advice(&other)), [""; 0]);
    only("cannot_fail", &other.replace("cost < $5", "slow.cost < $5"));
}

#[test]
fn what_a_workflow_measures_that_never_starts_has_no_value() {
    let flow = |name: &str| {
        format!(
            "[[workflow]]\nname = \"{name}\"\nsteps = [{{ name = \"read\", route_class = \"chat\" }}]\n"
        )
    };
    let flows = format!("{}{}[workload]\nworkflow = \"one\"\n", flow("one"), flow("two"));
    for (expect, said) in [
        ("step:one.read.p99 < 9s", None),
        ("one.jobs.p99 < 9s", None),
        ("step:two.read.p99 < 9s", Some("never starts `two`")),
        ("two.jobs.p99 < 9s", Some("never starts `two`")),
    ] {
        let text = changed("failed < 1%", expect).replace("[workload]\n", &flows);
        match said {
            Some(said) => assert!(only("cannot_fail", &text).0.contains(said), "{expect}"),
            None => assert_eq!(names(&advice(&text)), [""; 0], "{expect}"),
        }
    }
}

#[test]
fn where_nodes_have_addresses_check_says_what_real_nodes_cannot_do_and_serve_refuses() {
    let url = |name: &str| {
        (
            format!("name = \"{name}\""),
            format!("name = \"{name}\"\nurl = \"http://localhost:1\"\nmodel = \"big\""),
        )
    };
    let mut live = GOOD.to_owned();
    for (from, to) in ["fast", "slow", "spare"].map(url) {
        live = live.replace(&from, &to);
    }
    let parse = |text: &str| Scenario::parse("s", "s.toml", text, &[]).unwrap();
    assert_eq!(names(&advice(&live)), [""; 0], "{}", advice(&live));
    assert!(parse(&live).check_live().is_ok());
    let second = "[[pool]]\nname = \"second\"\nstrategy = \"random\"\n[[pool.node]]\nname = \"b\"\n\
        url = \"http://localhost:2\"\nmodel = \"m\"\nlimits = { concurrency = 32 }\nprice = { input = 1, \
        output = 2 }\nbackend = { slots = { servers = 9, service = \"1s\" } }\n";
    let chooses = |how: &str| {
        format!(
            "{second}[quality]\nmodels = {{ m = {{ chat = 0.7 }}, big = {{ chat = 0.9 }} }}\nscorer = {{ auc = 0.9 }}\nfeedback = {{ share = 0.1, after = \"5s\" }}\n[[route]]\nto = [\"second\", \
             \"models\"]\nchoose = {how}\n[[class]]\n"
        )
    };
    for (from, to, part, refused) in [
        ("\"least_connections\"", "\"oracle\"".to_owned(), "\"oracle\"", true),
        ("[[class]]\n", chooses("{ threshold = { worth = 0.05 } }"), "{ threshold", true),
        ("[[class]]\n", chooses("{ bandit = { worth = 0.05 } }"), "{ bandit", true),
        ("[[class]]\n", chooses("{ cascade = { accept = 0.8 } }"), "{ cascade", true),
        ("[balancer]", "[balancer]\ninstances = 2".to_owned(), "2\n", false),
    ] {
        let text = live.replace(from, &to);
        let found = advice(&text);
        let one = found.list().iter().find(|one| one.name == Some("simulated_only"));
        let one = one.unwrap_or_else(|| panic!("{part}: {found}"));
        let line = found.position(one).map(|(line, _)| line);
        assert_eq!(line, Some(line_of(&text, part)), "{part}: {found}");
        let serve = parse(&text).check_live();
        assert_eq!(serve.is_err(), refused, "{part}");
        if let Err(problems) = serve {
            assert_eq!(
                problems.position(&problems.list()[0]).map(|(line, _)| line),
                line,
                "{part}"
            );
            assert!(one.message.contains("`serve` and `replay` refuse"), "{}", one.message);
        }
    }
}

#[test]
fn few_may_be_none() {
    let text = changed("failed < 1%", "arrived > 0").replace("rate = 5", "rate = 0.01");
    assert_eq!(names(&advice(&text)), [""; 0]);
    // What a route keeps may be answered at once.
    let kept = "[[route]]\nto = \"models\"\ncache = { ttl = \"1m\" }\n[[class]]\nrepeat = { distinct = 9 }\n";
    let text = changed("failed < 1%", "p50 > 0s").replace("[[class]]\n", kept);
    assert_eq!(names(&advice(&text)), [""; 0]);
}
