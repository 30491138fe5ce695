//! What strategies that predict make of chance: equal nodes stay equal, a dear node that was unlucky is
//! tried again.

use std::collections::BTreeMap;

use crate::common::{World, hosted};
use plimsoll::balance::{Event, Prices};
use plimsoll::dist::Dist;
use plimsoll::node::BackendSpec;
use plimsoll::unit::{ModelId, Price};

/// A hosted model as published measurements have it: answers scatter widely.
fn scattering() -> BackendSpec {
    let ttft = Dist::lognormal_quantiles(0.5, 1.2).expect("a law");
    hosted(ttft, Dist::lognormal_quantiles(90.0, 140.0).expect("a law"))
}

/// Requests by minute and node.
fn by_minute(world: &World) -> BTreeMap<u64, Vec<u32>> {
    let mut minutes: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    let nodes = world.backends.len();
    world.run_with(
        |_, _| {},
        |now, event| {
            if let Event::Dispatched { node, .. } = event {
                let minute =
                    minutes.entry(now.0 / 60_000_000_000).or_insert_with(|| vec![0; nodes]);
                minute[node.index()] += 1;
            }
        },
        false,
    );
    minutes
}

#[test]
fn on_equal_nodes_no_share_leaves_half_to_twice_its_part_in_any_minute() {
    let names = ["shortest_expected", "cost_latency", "slo_cheapest", "budget_paced", "score"];
    let mut broken = Vec::new();
    for name in names {
        for seed in [3, 4, 5] {
            let mut world = World::new(3, name, &scattering(), 6.0, 6 * 60 * 12);
            world.config.seed = seed;
            let minutes = by_minute(&world);
            assert!(minutes.len() > 11);
            for (minute, counts) in minutes {
                let all: u32 = counts.iter().sum();
                // A minute that is cut off says little.
                if all < 200 {
                    continue;
                }
                for (node, count) in counts.iter().enumerate() {
                    let share = f64::from(*count) / f64::from(all);
                    if !(1.0 / 6.0..=2.0 / 3.0).contains(&share) {
                        broken.push(format!(
                            "{name}, seed {seed}, minute {minute}, {node}: {counts:?}"
                        ));
                    }
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_node_that_is_slower_than_chance_explains_is_told_from_the_others() {
    let slow = hosted(
        Dist::lognormal_quantiles(1.5, 3.6).expect("a law"),
        Dist::lognormal_quantiles(30.0, 47.0).expect("a law"),
    );
    let mut world = World::new(3, "shortest_expected", &scattering(), 6.0, 6 * 60 * 8);
    world.backends[0] = slow;
    let minutes = by_minute(&world);
    let last = minutes.values().rev().nth(1).expect("some minutes");
    assert!(last[0] * 10 < last.iter().sum(), "three times as slow: {last:?}");
}

/// Dollars an hour, as a share of the budget, with a dear fast model and a cheap slow one. Unpaced the dear
/// one would get everything.
fn paced(dollars_per_hour: u64, seed: u64) -> f64 {
    const HOURS: u64 = 2;
    let law = |p50: f64, p95: f64| Dist::lognormal_quantiles(p50, p95).expect("a law");
    let cheap = hosted(law(0.645, 1.1), law(105.0, 153.0));
    let dear = hosted(law(0.45, 0.77), law(131.0, 193.0));
    let mut world = World::new(2, "budget_paced", &cheap, 2.0, 2 * 3_600 * HOURS);
    world.backends[1] = dear;
    world.config.seed = seed;
    let strategy = &mut world.config.pools[0].strategy;
    strategy.set("dollars_per_hour", dollars_per_hour * 1_000_000).expect("a ratio");
    for (node, (input, output)) in [(0.15, 0.60), (2.50, 10.00)].into_iter().enumerate() {
        let spec = &mut world.config.nodes[node];
        spec.model = ModelId(node as u16);
        spec.prices = Prices {
            input: Price::from_dollars(input),
            cached_input: Price::from_dollars(input),
            output: Price::from_dollars(output),
        };
    }
    world.run().cost_usd.tokens / (dollars_per_hour * HOURS) as f64
}

#[test]
fn a_budget_that_can_be_spent_is_spent() {
    for (budget, seed) in [(5, 1), (5, 2), (8, 3)] {
        let spent = paced(budget, seed);
        assert!(
            (0.95..=1.01).contains(&spent),
            "{spent:.3} of {budget} dollars an hour, seed {seed}"
        );
    }
}
