//! What every strategy is measured by: a node that fails at once, a node that becomes slow, old figures.
//!
//! Each law has a table of those that do worse, with the reason. A strategy that is added is held to the
//! law itself. That more load never attracts is in `monotone.rs`, a new node is in `health.rs`.

#![expect(clippy::print_stdout, reason = "a test shows what it measured")]

use crate::common;
use crate::common::{World, constant, exponential, slots};
use plimsoll::balance::{Event, REGISTRY, StrategySpec};
use plimsoll::node::{BackendSpec, ErrorAnswer, FaultKind, FaultSpec};
use plimsoll::sim::{Exchange, Instances};
use plimsoll::unit::{NodeId, Ratio, Span, Time};

/// The node that something happens to.
const SICK: NodeId = NodeId(3);

/// By turn or by chance: nothing that becomes of a request is an input of theirs, so keeping a node out that
/// fails is left to the health checker.
const BLIND: &[&str] = &["round_robin", "weighted_round_robin", "random", "weighted_random"];

/// Dispatches to the sick node and to all, from one time until another.
fn dispatches(world: &World, from: f64, until: f64) -> (u64, u64) {
    let (mut there, mut all) = (0, 0);
    world.run_with(
        |_, _| {},
        |now, event| {
            if let Event::Dispatched { node, .. } = event
                && (from..until).contains(&now.seconds())
            {
                there += u64::from(*node == SICK);
                all += 1;
            }
        },
        false,
    );
    (there, all)
}

fn share((there, all): (u64, u64)) -> f64 {
    there as f64 / all as f64
}

/// One of 16 nodes fails every request at once. With health as it is unless said otherwise it gets at most
/// 2 % of the attempts, whatever the strategy, whether it answers with errors or refuses connections.
///
/// With health turned off the success probability alone keeps away whatever goes by load, latency, price or
/// key: again at most 2 %. The blind give it its turns, 6 %.
#[test]
fn a_node_that_fails_at_once_gets_at_most_a_fiftieth() {
    let world = |name, kind| {
        let mut world = World::new(16, name, &slots(4, exponential(0.5)), 60.0, 6_000);
        world.faults = vec![FaultSpec { at: Time::ZERO, lasts: None, kind, nodes: vec![SICK] }];
        world
    };
    let errors = || FaultKind::Errors(Ratio::ONE, ErrorAnswer::ServerError);
    for entry in REGISTRY {
        let of = |world: &World| share(dispatches(world, 0.0, f64::MAX));
        let with = [errors(), FaultKind::Crash].map(|kind| of(&world(entry.name, kind)));
        let mut alone = world(entry.name, errors());
        alone.config.health.consecutive = u32::MAX;
        let without = of(&alone);
        println!("{}: {with:.4?}, without health {without:.4}", entry.name);
        assert!(with.iter().all(|share| *share <= 0.02), "{}: {with:?}", entry.name);
        let most = if BLIND.contains(&entry.name) { 0.08 } else { 0.02 };
        assert!(without <= most, "{}: {without} without health", entry.name);
    }
}

/// A hosted model: half a second to the first token, then fifty a second, 2.5 s a request.
fn hosted() -> BackendSpec {
    common::hosted(exponential(0.5), constant(50.0))
}

/// What a strategy may still send to a node that became slow, as a share of what is fair, where that is
/// more than half.
const KEEP: &[(&str, f64, &str)] = &[
    ("round_robin", 1.2, "goes by turn"),
    ("weighted_round_robin", 1.2, "goes by turn and weight"),
    ("random", 1.2, "goes by chance"),
    ("weighted_random", 1.2, "goes by chance and weight"),
    ("consistent_hash", 0.8, "keeps a key at home until the node has 1.5 times the mean in flight"),
];

/// One of 8 nodes becomes three times as slow. From two request times later on (of a node that is well) it
/// gets at most half of its fair share, from whatever goes by load or latency: a third where requests in
/// flight are kept equal, next to nothing where it is predicted who is done first.
#[test]
fn a_node_that_becomes_slow_loses_half_its_share_in_two_request_times() {
    let backends = [("slots", slots(200, exponential(1.0)), 1.0), ("hosted", hosted(), 2.5)];
    for (what, backend, request) in &backends {
        for entry in REGISTRY {
            let (step, end) = (10.0 * request, 20.0 * request);
            let rate = 240.0 / request;
            let mut world = World::new(8, entry.name, backend, rate, (rate * end) as u64);
            let (at, kind) = (Time::ZERO + Span::from_seconds(step), FaultKind::Slow(3.0));
            world.faults = vec![FaultSpec { at, lasts: None, kind, nodes: vec![SICK] }];
            let (mut there, mut all) = (0, 0);
            for seed in 0..2 {
                world.config.seed = seed;
                let found = dispatches(&world, step + 2.0 * request, step + 8.0 * request);
                (there, all) = (there + found.0, all + found.1);
            }
            let kept = 8.0 * share((there, all));
            println!("{}, {what}: {kept:.2}", entry.name);
            let exception = KEEP.iter().find(|(name, ..)| *name == entry.name);
            let most = exception.map_or(0.5, |(_, most, _)| *most);
            assert!(kept <= most, "{}, {what}: {kept:.2} of a fair share", entry.name);
            let stale = exception.is_some() && kept <= 0.5;
            assert!(!stale, "{}, {what}: no exception any more", entry.name);
        }
    }
}

/// Whose figures a strategy goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Its own balancer's alone: nobody tells it anything, so nothing it is told is old.
    Own,
    /// Its own balancer's and what peers tell of theirs.
    Peers,
    /// The same, but it looks at two nodes only.
    PeersOfTwo,
    /// What nodes report.
    Reports,
    /// What nodes report, of two of them.
    ReportsOfTwo,
    /// What nodes report and what its own balancer did since.
    Fused,
}

impl By {
    /// Mean time in the system over that of one balancer with fresh figures, at most: of one balancer and
    /// of ten, each by the age that what is told reaches before it is renewed: 0.1, 1 and 5 service times.
    const fn bounds(self) -> [[f64; 3]; 2] {
        match self {
            By::Own => [[1.0; 3], [2.8; 3]],
            By::Peers => [[1.0; 3], [1.6, 2.2, 4.5]],
            By::PeersOfTwo => [[1.0; 3], [1.1, 1.3, 1.7]],
            By::Reports => [[1.7, 2.6, 8.0]; 2],
            By::ReportsOfTwo => [[1.1, 1.3, 1.7]; 2],
            By::Fused => [[1.2, 1.2, 1.2], [1.6, 2.5, 4.5]],
        }
    }
}

/// By strategy; others go by their own figures.
const PEERS: &[&str] = &[
    "least_connections",
    "weighted_least_connections",
    "session_affinity",
    "peak_ewma",
    "least_tokens",
    "cache_aware_sglang",
    "cheapest",
];

/// 20 single servers at load 0.8. Full scans of old figures herd, worse the older they are; own figures
/// never do, however many balancers there are; two choices hardly mind. What a hundred nodes at load 0.9
/// give, compared with other programs, is in `herd.rs`.
#[test]
fn old_figures_cost_no_more_than_is_stated() {
    let named = |name| StrategySpec::named(name).expect("it is listed");
    let set = |name, signal| {
        let mut spec = named(name);
        spec.set("signal", signal).expect("a signal");
        spec
    };
    let listed = REGISTRY.iter().map(|entry| {
        let by = match entry.name {
            "power_of_two" => By::PeersOfTwo,
            "endpoint_picker" | "c3" => By::Reports,
            name if PEERS.contains(&name) => By::Peers,
            _ => By::Own,
        };
        (named(entry.name), by)
    });
    let others = [
        (set("least_connections", 1), By::Reports),
        (set("least_connections", 2), By::Fused),
        (set("power_of_two", 1), By::ReportsOfTwo),
    ];
    for (spec, by) in listed.chain(others) {
        let mean = |count, every: Option<f64>| {
            let mut world = World::new(20, spec.name(), &slots(1, exponential(1.0)), 16.0, 5_000);
            world.config.pools[0].strategy = spec.clone();
            world.config.view.reports_fresh = Span::from_secs(100);
            world.config.view.peers_fresh = Span::from_secs(100);
            let delay = Span::ZERO;
            let told = every.map(|every| Exchange { every: Span::from_seconds(every), delay });
            world.instances = Instances { count, share: told, reports: told };
            world.run().latency_s.mean.expect("answers")
        };
        let fresh = mean(1, None);
        for (count, bounds) in [1, 10].into_iter().zip(by.bounds()) {
            // What is told does not matter to who is told nothing.
            let deaf = by == By::Own || (count == 1 && matches!(by, By::Peers | By::PeersOfTwo));
            let ages: &[f64] = if deaf { &[1.0] } else { &[0.1, 1.0, 5.0] };
            for (age, most) in ages.iter().zip(bounds) {
                let ratio = mean(count, Some(*age)) / fresh;
                println!("{spec}: {count} balancers, age {age}: {ratio:.2} of {fresh:.2}");
                assert!(ratio <= most + 1e-9, "{spec}, {by:?}: {ratio:.2}, at most {most}");
            }
        }
    }
}
