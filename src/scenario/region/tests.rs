//! Tests of regions, of where requests come from, and of what routes can say of both.

use super::super::Scenario;
use crate::balance::{Degrade, Locality, Pressure};
use crate::unit::{PoolId, Ratio, RegionId, Span};

/// Two regions, two pools, two classes; tests break it.
const TWO: &str = r#"duration = "1m"
[balancer]
region = "eu"
[regions]
rtt = { eu = { us = "85ms", eu = "2ms" }, us = { eu = "85ms", us = "2ms" } }
[[pool]]
name = "strong"
strategy = "random"
locality = "balancer"
[[pool.node]]
name = "a"
region = "eu"
tags = ["eu"]
limits = { concurrency = 4 }
backend = { slots = { servers = 2, service = { constant = "10ms" } } }
[[pool.node]]
name = "b"
region = "us"
limits = { concurrency = 4 }
backend = { slots = { servers = 2, service = { constant = "10ms" } } }
[[pool]]
name = "cheap"
strategy = "random"
[[pool.node]]
name = "c"
backend = { slots = { servers = 2, service = { constant = "10ms" } } }
[[class]]
name = "fraud"
region = { us = 0.3, eu = 0.7 }
attributes = { risk = "high", language = { de = 0.4, en = 0.6 } }
[[class]]
name = "chat"
[[route]]
match = { attribute = { language = ["de", "en"], risk = "high" }, region = "us", session = false }
to = "strong"
degrade = { to = "cheap", when = { utilisation = 0.9 } }
[[route]]
match = {}
split = { cheap = 5, strong = 95 }
[workload]
arrivals = { poisson = { rate = 10 } }
"#;

fn parse(text: &str) -> Scenario {
    Scenario::parse("test", "test.toml", text, &[]).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The problems after a replacement, drawn.
fn broken(from: &str, to: &str) -> String {
    assert!(TWO.contains(from), "{from}");
    match Scenario::parse("test", "test.toml", &TWO.replacen(from, to, 1), &[]) {
        Ok(_) => "no problem\n".to_owned(),
        Err(problems) => problems.to_string() + "\n\n",
    }
}

#[test]
fn everything_is_read_as_written() {
    let scenario = parse(TWO);
    let network = scenario.network.as_ref().expect("regions");
    let rtt = |name: &str| {
        let region = scenario.regions.iter().position(|region| region == name).expect("a region");
        network.rtt[region]
    };
    assert_eq!((rtt("eu"), rtt("us")), (Span::from_millis(2), Span::from_millis(85)));
    assert_eq!(rtt(""), Span::ZERO, "what has no region is next to the balancer");
    assert!((network.jitter - 0.1).abs() < 1e-12);
    let config = &scenario.balancer;
    assert_eq!(config.pools[0].locality, Locality::Region(RegionId(0)));
    assert_eq!(config.pools[1].locality, Locality::Anywhere);
    assert_eq!(scenario.attributes, ["risk=high", "language=de", "language=en"]);
    let [route, split] = config.routes.as_slice() else { panic!("two routes") };
    assert_eq!(route.when.attributes, [0b110, 0b001]);
    assert_eq!((route.when.session, &route.when.regions[..]), (Some(false), &[RegionId(1)][..]));
    let when = Pressure::Utilisation(Ratio(900_000));
    assert_eq!(route.degrade, Some(Degrade { to: vec![PoolId(1)], when }));
    assert_eq!(split.split, [(PoolId(1), Ratio(50_000)), (PoolId(0), Ratio(950_000))]);
    assert_eq!(split.to, [PoolId(1), PoolId(0)]);
    assert_eq!(scenario.labels.regions[0].0, "eu");
}

#[test]
fn a_round_trip_is_the_same_from_both_ends() {
    let once = parse(&TWO.replacen(", us = { eu = \"85ms\", us = \"2ms\" }", "", 1));
    assert_eq!(once.network, parse(TWO).network);
    let exact = parse(&TWO.replacen("[regions]", "[regions]\njitter = 0", 1));
    assert!(exact.network.expect("regions").jitter.abs() < 1e-12);
}

#[test]
fn without_regions_there_is_no_network_and_routes_still_know_where_from() {
    let from = TWO.find("[regions]").expect("it is there");
    let to = TWO.find("[[pool]]").expect("it is there");
    let scenario = parse(&format!("{}{}", &TWO[..from], &TWO[to..]));
    assert_eq!(scenario.network, None);
    assert_eq!(scenario.balancer.routes[0].when.regions, [RegionId(1)]);
    assert_eq!(scenario.balancer.pools[0].locality, Locality::Region(RegionId(0)));
}

#[test]
fn draws_regions() {
    let cases = [
        broken("region = \"us\"\nlimits", "region = \"mars\"\nlimits"),
        broken("region = { us = 0.3", "region = { uss = 0.3"),
        broken("region = \"eu\"\n[regions]", "region = \"ue\"\n[regions]"),
        broken("region = \"eu\"\n[regions]", "[regions]"),
        broken("us = \"85ms\", eu = \"2ms\" }, us = { eu = \"85ms\", ", "eu = \"2ms\" }, us = { "),
        broken("us = { eu = \"85ms\"", "us = { eu = \"90ms\""),
        broken("\"85ms\", eu = \"2ms\"", "85, eu = \"2h\""),
        broken("[regions]\nrtt", "[regions]\njitter = 4\nRTT"),
        broken("region = { us = 0.3, eu = 0.7 }", "region = {}"),
    ];
    insta::assert_snapshot!(cases.concat());
}

#[test]
fn draws_routes_by_what_is_known() {
    let cases = [
        broken("risk = \"high\" }, region", "risk = \"hihg\" }, region"),
        broken("region = \"us\", session", "region = \"su\", session"),
        broken("session = false", "session = \"no\""),
        broken("cheap = 5,", "cheap = 6,"),
        broken("cheap = 5,", "chaep = 5,"),
        broken("to = \"cheap\", when", "to = \"strong\", when"),
        broken("utilisation = 0.9", "utilization = 0.9"),
        broken("limits = { concurrency = 4 }", ""),
        broken("when = { utilisation = 0.9 } }", "when = { waiting = 0 } }"),
        broken(
            "when = { utilisation = 0.9 } }",
            "when = \"no_room\" }\nrequire = { tags = [\"eu\"] }",
        ),
        broken("match = {}", "match = { region = \"us\", session = false }"),
        broken("locality = \"balancer\"", "locality = \"strict\""),
    ];
    insta::assert_snapshot!(cases.concat());
}
