//! Scenarios that are sound: what is written is what is read.

use super::*;
use crate::balance::CacheSpec;
use crate::workload::RepeatLaw;

#[test]
fn engines_that_cannot_be_are_refused_with_a_reason() {
    let slots = r#"slots = { servers = 2, service = { constant = "10ms" } }"#;
    let engine = |fields: &str| broken(slots, &format!("engine = {{ {fields} }}"));
    let named = r#"profile = "llama-3.1-8b/h100/vllm""#;
    assert_eq!(engine(named), "no problem");
    for (fields, reason) in [
        (r#"profile = "llama-3.1-8b/h100""#.to_owned(), "a profile with a similar name exists"),
        (r#"profile = "h100""#.to_owned(), "write the whole name: `"),
        (format!("{named}, kv_tokens = 100"), "holds 96 tokens, less than a prompt"),
        (format!("{named}, kv_tokens = 8"), "`kv_tokens` must be from 16 (one block)"),
        (format!("{named}, step_tokens = 100"), "`step_tokens` must be from 1024 (`max_seqs`"),
        (format!("{named}, prefix_cache = 1"), "`prefix_cache` must be true or false"),
        ("f = 1, p1 = 1".to_owned(), "`engine` has no `kv_tokens`"),
    ] {
        let drawn = engine(&fields);
        assert!(drawn.contains(reason), "{fields}: {drawn}");
    }
}

#[test]
fn kept_answers_and_what_comes_again_are_as_written() {
    let classes = "[[class]]\nname = \"a\"\nrepeat = { distinct = 1_000, zipf = 0.9, share = 0.6 }\n\
                   [[class]]\nname = \"b\"\nrepeat = { distinct = 5 }\n[[class]]\nname = \"c\"\n";
    let routes = "[[route]]\nmatch = { class = \"a\" }\nto = \"light\"\n\
                  cache = { ttl = \"1h\", entries = 500, tokens = 9_000, shared = true }\n\
                  [[route]]\nmatch = { class = \"b\" }\nto = \"light\"\ncache = { ttl = \"1m\" }\n\
                  [[route]]\nto = \"light\"\n";
    let scenario = parse(&format!("{SMALL}{classes}{routes}"));
    let caches = scenario.balancer.routes.iter().map(|route| route.cache);
    let spec = |entries, tokens, seconds, shared| {
        Some(CacheSpec { entries, tokens, ttl: Span::from_secs(seconds), shared })
    };
    let wanted = [spec(500, Some(9_000), 3_600, true), spec(10_000, None, 60, false), None];
    assert_eq!(caches.collect::<Vec<_>>(), wanted);
    let repeats: Vec<_> = scenario.classes.iter().map(|class| class.repeat.clone()).collect();
    assert_eq!(repeats, [RepeatLaw::new(1_000, 0.9, 0.6), RepeatLaw::new(5, 1.0, 1.0), None]);
}

#[test]
fn loops_over_steps_are_as_written_or_refused_with_a_reason() {
    let flow = |second: &str, third: &str| {
        format!(
            "{SMALL}workflow = \"w\"\n[[workflow]]\nname = \"w\"\nsteps = [\n\
             {{ name = \"a\", route_class = \"default\" }},\n\
             {{ name = \"b\", route_class = \"default\", after = \"a\"{second} }},\n\
             {{ name = \"c\", route_class = \"default\", after = \"a\"{third} }},\n]\n"
        )
    };
    let scenario = parse(&flow(", back_to = { step = \"a\", rounds = 3 }", ""));
    let back: Vec<_> = scenario.workflows[0].steps.iter().map(|step| &step.back_to).collect();
    let rounds = Dist::constant(3.0).unwrap();
    assert_eq!(back, [&None, &Some(crate::workload::workflow::BackTo { step: 0, rounds }), &None]);
    for (second, third, reason) in [
        (", back_to = { step = \"c\", rounds = 2 }", "", "\"b\" does not come after \"c\""),
        (", back_to = { step = \"d\", rounds = 2 }", "", "unknown step \"d\""),
        (", back_to = { step = \"a\" }", "", "`back_to` has no `rounds`"),
        (", back_to = { step = \"a\", rounds = 0 }", "", "`rounds` must be"),
        (
            ", back_to = { step = \"a\", rounds = 2 }",
            ", back_to = { step = \"a\", rounds = 2 }",
            "\"b\" and \"c\" have a step in common",
        ),
    ] {
        let told = drawn(&flow(second, third)).replace('`', "\"");
        assert!(told.contains(&reason.replace('`', "\"")), "{reason}:\n{told}");
    }
}

#[test]
fn kept_answers_that_cannot_be_are_refused_with_a_reason() {
    let route =
        |cache: &str| drawn(&format!("{SMALL}[[route]]\nto = \"light\"\ncache = {cache}\n"));
    let class =
        |repeat: &str| drawn(&format!("{SMALL}[[class]]\nname = \"a\"\nrepeat = {repeat}\n"));
    for (told, reason) in [
        (route("{}"), "`cache` has no `ttl`"),
        (route("{ ttl = \"0s\" }"), "test.toml:13:17"),
        (
            route("{ ttl = \"1m\", entries = 0 }"),
            "`entries` must be a whole number from 1 to 1_000_000",
        ),
        (route("{ ttl = \"1m\", tokens = -1 }"), "`tokens` must be"),
        (route("{ ttl = \"1m\", shard = true }"), "a key with a similar name exists: `shared`"),
        (route("true"), "`cache` must be a table"),
        (class("{}"), "`repeat` has no `distinct`"),
        (class("{ distinct = 0 }"), "`distinct` must be a whole number from 1 to 1_000_000"),
        (class("{ distinct = 5, zipf = -1 }"), "`zipf` must be"),
        (class("{ distinct = 5, share = 1.5 }"), "`share` must be"),
    ] {
        assert!(told.contains(reason), "{reason}:\n{told}");
    }
    // A gateway keeps none, and says so before it serves.
    let live = "[[pool]]\nname = \"p\"\nstrategy = \"random\"\n[[pool.node]]\nname = \"n\"\n\
                url = \"http://localhost:1\"\n[[route]]\nto = \"p\"\n";
    assert_eq!(drawn(live), "no problem");
    let told = drawn(&format!("{live}cache = {{ ttl = \"1m\" }}\n"));
    assert!(told.contains("answers are kept in simulations only"), "{told}");
}

#[test]
fn routes_are_refused_that_would_be_too_many_with_one_for_each_model() {
    let list = |count: u32, text: fn(u32) -> String| (0..count).map(text).collect::<String>();
    let fleet = list(70, |at| {
        format!(
            "[[pool]]\nname = \"p{at}\"\nstrategy = \"random\"\n[[pool.node]]\nname = \"n{at}\"\n\
             model = \"m{at}\"\nurl = \"http://localhost:{at}\"\n"
        )
    });
    let to = list(70, |at| format!("\"p{at}\", "));
    let tenants = (0..999).map(|tenant| format!("tenant = {tenant}")).chain([String::new()]);
    let routes: String =
        tenants.map(|when| format!("[[route]]\nmatch = {{ {when} }}\nto = [{to}]\n")).collect();
    let class = |at| format!("[[class]]\nname = \"c{at}\"\nmodel = \"m{at}\"\n");
    let told = |classes| drawn(&format!("{fleet}{}{routes}", list(classes, class)));
    assert!(told(2) == "no problem", "two for each of a thousand");
    assert!(told(70).contains("there are more than 65,536 routes"));
    // The same where a gateway lets any model be named.
    let open = Scenario::parse("many", "many.toml", &format!("{fleet}{routes}"), &[]);
    assert!(open.expect("sound").with_models_by_name().is_err());
}

#[test]
fn every_builtin_reads_and_expects_something() {
    for (name, text) in BUILTIN {
        let file = format!("{name}.toml");
        let scenario = Scenario::parse(name, &file, text, &[]).unwrap_or_else(|p| panic!("{p}"));
        assert!(text.starts_with("# Question: "), "{name}");
        assert!(!scenario.expectations.is_empty(), "{name}");
        assert!(scenario.check_simulable().is_ok(), "{name}");
        assert_eq!(scenario.labels.scenario, *name);
        assert_eq!(scenario.backends.len(), scenario.balancer.nodes.len());
        assert_eq!(scenario.labels.nodes.len(), scenario.balancer.nodes.len());
    }
    assert!(find("quickstart").is_some());
    assert!(suggestion("quikstart").contains("quickstart"));
}

#[test]
fn the_fleet_of_the_full_scenario_is_as_written() {
    let scenario = parse(FULL);
    let names: Vec<&str> = scenario.labels.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(
        names,
        ["gpt-eu-1", "gpt-eu-2", "gpt-us", "local-1", "local-2", "local-3", "local-4"]
    );
    let node = &scenario.balancer.nodes[1];
    assert_eq!(node.weight, 2);
    assert_eq!(node.tags, 0b11);
    assert_eq!(node.prices.cached_input, Price::from_dollars(1.25));
    assert_eq!(node.limits.tokens_per_minute, Some(300_000));
    assert_eq!(scenario.balancer.nodes[2].tier, Tier::Backup);
    assert_eq!(scenario.balancer.nodes[2].region, RegionId(1));
    assert_eq!(scenario.balancer.nodes[2].prices.cached_input, Price::from_dollars(2.5));
    assert_eq!(scenario.balancer.nodes[3].hourly, 1_200_000);
    assert_eq!(scenario.balancer.nodes[3].pool, PoolId(1));
    assert_eq!(scenario.labels.nodes[0].kind, "gpt-4o");
    assert_eq!(scenario.labels.nodes[3].kind, "slots");
    assert_eq!(scenario.labels.nodes[0].capacity, Some(64));
    assert_eq!(scenario.labels.nodes[3].capacity, Some(8));
    assert_eq!(scenario.balancer.pools[1].strategy.to_string(), "power_of_two(choices 4)");
    assert_eq!(scenario.kinds, [PoolKind::Llm, PoolKind::Tool]);
    assert_eq!(scenario.live[0].url.as_deref(), Some("https://example.com/v1"));
    assert_eq!(scenario.live[0].key_env.as_deref(), Some("OPENAI_API_KEY"));
}

#[test]
fn the_rest_of_the_full_scenario_is_as_written() {
    let scenario = parse(FULL);
    let balancer = &scenario.balancer;
    assert_eq!(balancer.retry.attempts, 4);
    assert_eq!(balancer.timeouts.total, None);
    assert_eq!(balancer.health.probe_every, Some(Span::from_secs(5)));
    assert_eq!(balancer.health.consecutive, 7);
    assert_eq!(balancer.queue.max_wait, None);
    assert_eq!(scenario.inter_token, Some(Span::from_secs(5)));
    assert_eq!(scenario.connect, Span::from_secs(3));
    assert_eq!(balancer.routes.len(), 3);
    assert_eq!(balancer.routes[0].when.classes, [ClassId(0)]);
    assert_eq!(balancer.routes[0].when.tenants, [TenantId(3), TenantId(4)]);
    assert_eq!(balancer.routes[0].require, 0b01);
    assert_eq!(balancer.routes[1].to, [PoolId(1), PoolId(0)]);
    assert!(balancer.routes[2].when.is_total());
    assert_eq!(scenario.classes[0].priority, Priority::High);
    assert_eq!(scenario.classes[0].deadline, Some(Span::from_secs(30)));
    assert_eq!(balancer.expected_output[1], Tokens(100));
    assert_eq!(scenario.labels.classes[0].slo.per_token, Some(Span::from_millis(60)));
    let kinds: Vec<FaultKind> = scenario.faults.iter().map(|fault| fault.kind).collect();
    let limited = ErrorAnswer::RateLimited(Some(Span::from_secs(2)));
    assert_eq!(
        kinds,
        [
            FaultKind::Crash,
            FaultKind::Hang,
            FaultKind::Slow(4.0),
            FaultKind::Errors(Ratio(500_000), limited)
        ]
    );
    let nodes: Vec<usize> = scenario.faults.iter().map(|fault| fault.nodes.len()).collect();
    assert_eq!(nodes, [1, 2, 2, 4]);
    assert_eq!(scenario.faults[1].lasts, None);
}

#[test]
fn without_routes_and_classes_there_is_one_of_each() {
    let scenario = parse(SMALL);
    assert_eq!(scenario.classes[0].name, "default");
    assert_eq!(scenario.balancer.routes[0].to, [PoolId(0)]);
    assert_eq!(scenario.title, "test");
    let law = scenario.classes[0].output;
    assert_eq!(scenario.balancer.expected_output, [Tokens(law.mean().round() as u64)]);
}

#[test]
fn overrides_reach_every_scalar() {
    let overrides = [
        set("seed=9"),
        set("workload.arrivals.poisson.rate=80"),
        set("pool.light.strategy=peak_ewma"),
        set("pool.light.node.local.weight=3"),
        set("pool.0.node.0.count=2"),
        set("balancer.retry.attempts=1"),
        Override::requests(50),
        Override::duration("10m"),
    ];
    let scenario = with(SMALL, &overrides).unwrap();
    assert_eq!(scenario.seed, 9);
    assert_eq!(scenario.balancer.seed, 9);
    assert_eq!(scenario.arrivals, Arrivals::Made(80.0.into()));
    assert_eq!(scenario.balancer.pools[0].strategy.name(), "peak_ewma");
    assert_eq!(scenario.balancer.nodes.len(), 2);
    assert_eq!(scenario.balancer.nodes[1].weight, 3);
    assert_eq!(scenario.balancer.retry.attempts, 1);
    assert_eq!(scenario.requests, Some(50));
    assert_eq!(scenario.duration, Some(Span::from_secs(600)));
    let text = SMALL.replace("random", "power_of_two");
    let scenario = with(&text, &[set("pool.light.strategy.power_of_two.choices=3")]).unwrap();
    assert_eq!(scenario.balancer.pools[0].strategy.to_string(), "power_of_two(choices 3)");
}

#[test]
fn flags_change_every_pool_and_the_trace() {
    let scenario = with(FULL, &[Override::strategy("round_robin"), Override::seed(3)]).unwrap();
    let names: Vec<&str> =
        scenario.balancer.pools.iter().map(|pool| pool.strategy.name()).collect();
    assert_eq!(names, ["round_robin", "round_robin"]);
    let azure = find("azure-chat").unwrap();
    let scenario = with(azure, &[Override::trace("day.csv")]).unwrap();
    let path = Some("day.csv".to_owned());
    assert_eq!(
        scenario.arrivals,
        Arrivals::Trace { format: TraceFormat::Azure, path, scale: 1.0.into() }
    );
    assert_eq!(scenario.balancer.expected_output, [TRACE_OUTPUT]);
}

#[test]
fn a_run_may_be_cut_short_before_its_faults() {
    assert!(with(FULL, &[Override::duration("2m")]).is_ok());
}

#[test]
fn a_group_has_one_address_or_one_for_each() {
    let text = |url: &str| {
        format!(
            "[[pool]]\nname = \"a\"\nstrategy = \"random\"\n[[pool.node]]\nname = \"b\"\n\
             count = 2\nurl = {url}\n"
        )
    };
    let urls = |url: &str| -> Vec<_> {
        parse(&text(url)).live.iter().filter_map(|node| node.url.clone()).collect()
    };
    assert_eq!(urls("\"http://x\""), ["http://x", "http://x"]);
    assert_eq!(urls("[\"http://x\", \"http://y\"]"), ["http://x", "http://y"]);
    for wrong in ["[]", "[\"http://x\", \"http://y\", \"http://z\"]", "[\"http://x\", \"y\"]"] {
        assert!(Scenario::parse("x", "x.toml", &text(wrong), &[]).is_err(), "{wrong}");
    }
}

#[test]
fn no_more_than_fifty_problems_are_drawn() {
    let text: String = (0..60).map(|n| format!("key{n} = 1\n")).collect();
    let drawing = drawn(&text);
    assert_eq!(drawing.matches("error: ").count(), DRAWN_MAX);
    assert!(drawing.ends_with("\n\nand 12 more"), "{drawing}");
}

#[test]
fn positions_count_characters_from_one() {
    let text = "title = \"größer\"\nä = 1\n".to_owned() + SMALL;
    let problems = with(&text, &[]).unwrap_err();
    let positions: Vec<_> = problems.list().iter().map(|p| problems.position(p)).collect();
    assert!(positions.contains(&Some((2, 1))), "{positions:?}");
    assert_eq!(problems.file(), "test.toml");
    assert!(problems.draw(true).contains("\u{1b}["));
}

#[test]
fn large_fleets_are_read_and_larger_ones_refused() {
    let nodes = |count: usize| SMALL.replace("\"local\"", &format!("\"local\"\ncount = {count}"));
    assert_eq!(parse(&nodes(NODES_MAX)).balancer.nodes.len(), NODES_MAX);
    assert!(with(&nodes(NODES_MAX + 1), &[]).is_err());
    let pools: String = (0..=POOLS_MAX).map(|n| format!("[[pool]]\nname = \"p{n}\"\n")).collect();
    assert!(drawn(&pools).contains("at most 256"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_scenarios_never_panic(
        which in 0..2_usize,
        edits in prop::collection::vec((0.0..1.0_f64, any::<u8>(), 0..4_u8), 1..12),
        cut in 0.0..1.0_f64,
    ) {
        let text = [FULL, BUILTIN[0].1][which];
        let mut bytes = text.as_bytes().to_vec();
        for (at, byte, how) in edits {
            let at = (at * (bytes.len() - 1) as f64) as usize;
            match how {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                2 => bytes.insert(at, b"\"[]{}.=,#\n'"[usize::from(byte) % 11]),
                _ => bytes[at] = b"0123456789-eE_"[usize::from(byte) % 14],
            }
        }
        let keep = ((bytes.len() as f64) * (0.5 + cut)) as usize;
        bytes.truncate(keep);
        if let Err(problems) = Scenario::read("x", "x.toml", &bytes, &[]) {
            prop_assert!(!problems.list().is_empty());
            let _ = problems.draw(true);
        }
    }

    #[test]
    fn overrides_never_panic(path in "[a-z.0-9]{1,40}", value in ".{0,20}") {
        let change = Override { path, value, given: Given::Set };
        if let Err(problems) = with(FULL, &[change]) {
            let _ = problems.to_string();
        }
    }
}

#[test]
fn instances_and_what_they_are_told() {
    use crate::sim::{Exchange, Instances};
    use crate::unit::Span;
    let with = |line: &str| with(&format!("{SMALL}\n[balancer]\n{line}\n"), &[]);
    let alone = with("").expect("a scenario");
    assert_eq!(alone.instances, Instances::default());
    assert_eq!(alone.balancer.view, ReportFreshness::default());
    let many = with("instances = 3\nshare = { every = \"200ms\" }\nreports = { every = \"1m\" }");
    let many = many.expect("a scenario");
    let (every, delay) = (Span::from_millis(200), Span::from_millis(5));
    assert_eq!(many.instances.count, 3);
    assert_eq!(many.instances.share, Some(Exchange { every, delay }));
    assert_eq!(many.balancer.view.peers_fresh, crate::balance::PEER_FRESH);
    assert_eq!(many.balancer.view.reports_fresh, Span::from_secs(180) + Span::from_millis(20));
}

#[test]
fn a_list_written_as_one_table_is_told_once_and_how_to_write_it() {
    let shown = drawn("[pool]\nname = \"a\"\n[[pool]]\nname = \"b\"\n[[pool]]\nname = \"c\"\n");
    assert_eq!(shown.matches("second time").count(), 1, "{shown}");
    assert!(shown.contains("write `[[pool]]`, in two brackets"), "{shown}");
}

#[test]
fn numbers_with_units_that_toml_does_not_know_are_explained() {
    let shown = drawn("[[class]]\nshare = 80%\n");
    assert!(shown.contains("write 0.8"), "{shown}");
    let shown = drawn("duration = 5m\n");
    assert!(shown.contains("write \"5m\""), "{shown}");
}

#[test]
fn a_fault_whose_kind_is_a_value_is_explained_once() {
    let shown =
        drawn(&format!("{SMALL}[[fault]]\nat = \"1s\"\ntype = \"crash\"\nnode = \"local\"\n"));
    assert_eq!(shown.matches("error:").count(), 1, "{shown}");
    assert!(shown.contains("its kind is a key"), "{shown}");
}

#[test]
fn what_a_pool_says_of_health_goes_before_what_all_pools_have() {
    let text = format!(
        "[balancer]\nhealth = {{ eject = {{ consecutive = 9, base = \"7s\" }}, outlier = {{ window = 30 \
         }}, panic = 0.4 }}\n{}",
        SMALL.trim_start().replacen("duration", "# duration", 1)
    );
    let text = format!("duration = \"1m\"\n{text}");
    let of_pool = |health: &str| {
        let strategy = "strategy = \"random\"";
        let pool = format!("{strategy}\nhealth = {health}");
        parse(&text.replacen(strategy, &pool, 1)).balancer
    };
    let own = of_pool(
        "{ eject = { consecutive = 2, jitter = 0.3 }, outlier = { volume = 9 }, panic = 0 }",
    );
    let (all, own) = (own.health, *own.health_in(PoolId(0)));
    assert_eq!((all.consecutive, own.consecutive), (9, 2));
    assert_eq!((own.eject_base, own.eject_jitter), (Span::from_secs(7), Ratio(300_000)));
    let outlier = own.recovery.outlier.expect("it is looked for");
    assert_eq!((outlier.window, outlier.volume), (30, 9));
    assert_eq!((all.recovery.panic, own.recovery.panic), (Some(Ratio(400_000)), None));
    assert_eq!(all.eject_jitter, Ratio(100_000), "a tenth where nothing is said");
    // Nothing new is as good as nothing.
    assert_eq!(of_pool("{ eject = { consecutive = 9 } }").pools[0].health, None);
}

#[test]
fn nodes_share_a_credential_by_name_or_by_the_place_of_their_key() {
    let node = |name: &str, rest: &str| {
        format!("[[pool.node]]\nname = \"{name}\"\nurl = \"http://x/v1\"\n{rest}\n")
    };
    let nodes = [
        node("a", "key_env = \"KEY\""),
        node("b", "credential = \"KEY\""),
        node("c", "key_env = \"KEY\"\ncredential = \"other\""),
        node("d", ""),
    ];
    let text = SMALL.replacen("[[pool.node]]\n", &format!("{}[[pool.node]]\n", nodes.concat()), 1);
    let nodes = parse(&text).balancer.nodes;
    let of = |at: usize| nodes[at].credential;
    assert!(of(0).is_some() && of(0) == of(1), "{nodes:?}");
    assert!(of(2).is_some() && of(2) != of(0) && of(3).is_none() && of(4).is_none(), "{nodes:?}");
}

#[test]
fn groups_and_batches_read() {
    use crate::balance::{BatchSpec, Target};
    let scaled = "autoscale = { max = 8, target = { ttft = \"2s\" }, cold_start = { load = \
                  { weights_gb = 140, gb_per_s = 2, warm_up = \"20s\" } } }\nbackend";
    let scenario = parse(&SMALL.replace("backend", scaled));
    let group = &scenario.balancer.scale[0];
    assert_eq!((group.start, group.min, group.max, group.nodes.len()), (1, 1, 8, 8));
    assert_eq!(group.target, Target::Ttft(Span::from_secs(2)));
    assert_eq!((group.every, group.down_after), (EVERY_DEFAULT, DOWN_AFTER_DEFAULT));
    assert_eq!(group.off_at_start().len(), 7);
    assert_eq!(scenario.cold_starts, vec![Dist::constant(90.0).unwrap(); 8], "140 / 2 + 20");
    assert_eq!(scenario.labels.nodes[7].name, "local-8");
    assert!(scenario.for_real_nodes().balancer.scale[0].off_at_start().is_empty());
    let batched = "batch = { size = 8, window = \"50ms\" }\nstrategy";
    let scenario = parse(&SMALL.replace("strategy", batched));
    let batch = BatchSpec { size: 8, window: Span::from_millis(50) };
    assert_eq!(scenario.balancer.pools[0].batch, Some(batch));
    assert_eq!(scenario.labels.nodes[0].capacity, Some(16), "two servers of eight");
}

#[test]
fn every_trace_format_reads() {
    use crate::workload::TraceScale;
    for (name, format) in [("burstgpt", TraceFormat::BurstGpt), ("vidur", TraceFormat::Vidur)] {
        let text = format!("{{ trace = {{ {name} = {{ scale = 0.5, length_scale = 2 }} }} }}");
        let scenario = parse(&SMALL.replace("{ poisson = { rate = 10 } }", &text));
        let scale = TraceScale { time: 0.5, length: 2.0 };
        assert_eq!(scenario.arrivals, Arrivals::Trace { format, path: None, scale });
    }
}
