//! Regions and routes: what the network adds is exact, residency is never broken, degrading and
//! locality do what they say.

use crate::common;
use std::collections::BTreeMap;

use crate::common::{World, exponential, slots};
use plimsoll::balance::{
    Degrade, End, Event, Fate, Locality, Match, Pressure, RouteSpec, Settled, Timeouts,
};
use plimsoll::dist::Dist;
use plimsoll::node::{BackendSpec, ErrorAnswer, FaultKind, FaultSpec};
use plimsoll::sim::NetworkSpec;
use plimsoll::unit::{ClassId, NodeId, PoolId, Ratio, RegionId, Span, Time};
use plimsoll::workload::OriginShares;
use proptest::prelude::*;

fn hosted() -> BackendSpec {
    let ttft = Dist::lognormal_quantiles(0.3, 1.0).expect("a law");
    common::hosted(ttft, Dist::uniform(60.0, 90.0).expect("a law"))
}

/// Every request's end, by its number.
fn ends(world: &World) -> BTreeMap<u64, (Time, Settled)> {
    let mut ends = BTreeMap::new();
    let watch = |now: Time, event: &Event| {
        if let Event::Settled(settled) = event {
            ends.insert(settled.request.0, (now, *settled));
        }
    };
    world.run_with(|_, _| {}, watch, true);
    ends
}

/// The network of which region 1 is 85 ms away and region 2 is 30 ms.
fn network(jitter: f64) -> NetworkSpec {
    let rtt = vec![Span::ZERO, Span(85_000_001), Span::from_millis(30)];
    NetworkSpec { rtt, jitter }
}

fn from(region: u16) -> Option<OriginShares<RegionId>> {
    OriginShares::new(&[(RegionId(region), 1.0)])
}

/// Everything a client of one node sees is late by the round trips, to the nanosecond.
#[test]
fn one_far_node_shifts_every_request_by_exactly_the_round_trips() {
    for backend in [slots(1, exponential(0.08)), hosted()] {
        let near = World::new(1, "round_robin", &backend, 10.0, 3_000);
        let mut far = World::new(1, "round_robin", &backend, 10.0, 3_000);
        far.config.nodes[0].region = RegionId(1);
        far.network = Some(network(0.0));
        let before = ends(&near);
        for (origin, shift) in [(0, 85_000_001), (2, 115_000_001)] {
            far.class.origin.regions = from(origin);
            let after = ends(&far);
            assert_eq!(after.len(), 3_000);
            for (id, (at, settled)) in &before {
                let (later, there) = &after[id];
                assert_eq!(settled.arrived, there.arrived, "when the client sent it");
                assert_eq!(later.since(*at), Span(shift));
                let late = there.first_token.zip(settled.first_token);
                let late = late.map(|(there, here)| there.since(here));
                assert_eq!(late, settled.first_token.map(|_| Span(shift)), "the first token too");
            }
        }
    }
}

/// M/M/1 with a round trip R: the mean time in the system is 1/(mu - lambda) + R.
#[test]
fn a_far_queue_has_the_mean_of_a_near_one_and_the_round_trip() {
    let mut world = World::new(1, "round_robin", &slots(1, exponential(0.1)), 5.0, 200_000);
    world.config.nodes[0].region = RegionId(1);
    world.network = Some(network(0.1));
    let mean = world.run().latency_s.mean.expect("samples");
    let exact = 1.0 / (10.0 - 5.0) + 0.085;
    assert!((mean / exact - 1.0).abs() < 0.02, "{mean}, not {exact}");
}

/// Everything that can happen: two pools, three regions, timeouts, retries, faults.
fn stormy(seed: u64, faults: Vec<FaultSpec>) -> World {
    let mut world = World::new(6, "least_connections", &hosted(), 20.0, 600);
    world.config.seed = seed;
    world.config.pools.push(world.config.pools[0].clone());
    for (index, node) in world.config.nodes.iter_mut().enumerate() {
        node.pool = PoolId((index / 3) as u16);
        node.region = RegionId((index % 3) as u16);
        node.tags = u64::from(index % 3 == 1);
        node.limits.concurrency = Some(8);
    }
    let regions = [(RegionId(0), 1.0), (RegionId(1), 2.0), (RegionId(2), 1.0)];
    world.class.origin.regions = OriginShares::new(&regions);
    world.config.timeouts = Timeouts {
        first_token: Some(Span::from_secs(2)),
        silence: None,
        total: Some(Span::from_secs(8)),
    };
    world.config.health.probe_every = Some(Span::from_secs(2));
    world.config.health.eject_base = Span::from_secs(4);
    world.config.queue.max = 20;
    world.config.queue.max_wait = Some(Span::from_secs(2));
    world.faults = faults;
    world
}

fn events(world: &World) -> Vec<String> {
    let mut events = Vec::new();
    let (_, sim) =
        world.run_with(|_, _| {}, |now, event| events.push(format!("{now:?} {event:?}")), true);
    let totals = sim.balancer().totals();
    assert_eq!((totals.arrived, totals.dispatched), (totals.settled, totals.ended));
    assert_eq!(totals.arrived, world.requests);
    events
}

#[test]
fn a_network_without_distance_changes_nothing() {
    let fault = FaultSpec {
        at: Time::ZERO + Span::from_secs(5),
        lasts: Some(Span::from_secs(10)),
        kind: FaultKind::Crash,
        nodes: vec![NodeId(0), NodeId(3)],
    };
    let mut world = stormy(7, vec![fault]);
    let without = events(&world);
    world.network = Some(NetworkSpec { rtt: vec![Span::ZERO; 3], jitter: 0.5 });
    assert_eq!(events(&world), without);
    world.network = Some(network(0.3));
    let far = events(&world);
    assert_ne!(far, without);
    assert_eq!(events(&world), far, "the same seed gives the same run");
}

fn kinds() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        Just(FaultKind::Crash),
        Just(FaultKind::Hang),
        Just(FaultKind::Slow(8.0)),
        Just(FaultKind::Errors(Ratio::from_f64(0.5), ErrorAnswer::ServerError)),
    ]
}

fn faults() -> impl Strategy<Value = Vec<FaultSpec>> {
    let one = (0_u64..25, 1_u64..15, kinds(), prop::collection::vec(0_u32..6, 1..5));
    let fault = one.prop_map(|(at, lasts, kind, nodes)| FaultSpec {
        at: Time::ZERO + Span::from_secs(at),
        lasts: Some(Span::from_secs(lasts)),
        kind,
        nodes: nodes.into_iter().map(NodeId).collect(),
    });
    prop::collection::vec(fault, 0..6)
}

fn pressures() -> impl Strategy<Value = Pressure> {
    prop_oneof![
        Just(Pressure::NoRoom),
        (1_u32..5).prop_map(Pressure::Waiting),
        (1_u64..6).prop_map(Pressure::InFlight),
        Just(Pressure::Utilisation(Ratio::from_f64(0.5))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever fails, whoever degrades: a node without the tag never sees a request that needs it,
    /// every request has one end, and what is declared degraded was served by the cheaper pool.
    #[test]
    fn residency_is_never_broken(
        seed in 0_u64..1_000,
        faults in faults(),
        when in pressures(),
        near in 0_usize..3,
    ) {
        let mut world = stormy(seed, faults);
        world.network = Some(network(0.2));
        let localities = [Locality::Anywhere, Locality::Origin, Locality::Region(RegionId(2))];
        world.config.pools[0].locality = localities[near];
        let degrade = Degrade { to: vec![PoolId(1)], when };
        let strict = Match { regions: vec![RegionId(1)], ..Match::default() };
        let resident = RouteSpec {
            when: strict,
            to: vec![PoolId(0)],
            require: 1,
            degrade: Some(degrade.clone()),
            ..RouteSpec::default()
        };
        let half = Ratio(500_000);
        let split = RouteSpec {
            to: vec![PoolId(0), PoolId(1)],
            split: vec![(PoolId(1), half), (PoolId(0), half)],
            ..RouteSpec::default()
        };
        world.config.routes = vec![resident, split];
        let (mut settled, mut resident) = (0, 0);
        let watch = |_: Time, event: &Event| match event {
            Event::Dispatched { node, why, .. } if why.route.0 == 0 => {
                resident += 1;
                assert_eq!(node.index() % 3, 1, "only nodes with the tag");
            }
            Event::Settled(end) => {
                settled += 1;
                let cheap = end.node.is_some_and(|node| node.index() >= 3);
                let done = end.fate == Fate::Completed;
                assert_eq!(end.degraded, done && cheap && end.route.0 == 0);
            }
            _ => {}
        };
        let (summary, sim) = world.run_with(|_, _| {}, watch, true);
        let totals = sim.balancer().totals();
        prop_assert_eq!((totals.arrived, totals.dispatched), (totals.settled, totals.ended));
        prop_assert_eq!(settled, world.requests);
        prop_assert!(resident > 0, "the route is in use");
        prop_assert!(summary.attempts.degraded <= summary.requests.completed);
    }
}

/// One strong pool of two nodes and a cheap one without limits.
fn degrading(when: Pressure, concurrency: Option<u32>) -> World {
    let mut world = World::new(4, "least_connections", &slots(100, exponential(0.5)), 30.0, 3_000);
    world.config.pools.push(world.config.pools[0].clone());
    for (index, node) in world.config.nodes.iter_mut().enumerate() {
        node.pool = PoolId((index / 2) as u16);
        node.limits.concurrency = concurrency.filter(|_| index < 2);
    }
    world.config.routes[0].degrade = Some(Degrade { to: vec![PoolId(1)], when });
    world
}

/// The most that was ever in flight on the strong pool, the least that waited when a request went
/// to the cheap one without waiting itself, and how many were degraded.
fn extremes(world: &World) -> (u64, u64, u64) {
    let (mut own, mut most, mut waiting, mut least, mut degraded) = (0, 0, 0, u64::MAX, 0);
    let watch = |_: Time, event: &Event| match event {
        Event::Queued { .. } => waiting += 1,
        Event::Dispatched { queued, why, .. } => {
            waiting -= u64::from(*queued);
            if why.pool == PoolId(0) {
                own += 1;
                most = most.max(own);
            } else if !queued {
                least = least.min(waiting);
            }
        }
        Event::Ended { node, .. } if node.index() < 2 => own -= 1,
        Event::Settled(end) => degraded += u64::from(end.degraded),
        _ => {}
    };
    let (summary, _) = world.run_with(|_, _| {}, watch, true);
    assert_eq!(summary.attempts.degraded, degraded);
    assert_eq!(summary.classes[0].degraded, degraded);
    assert_eq!(summary.attempts.failovers, 0, "a degraded answer is no failover");
    (most, least, degraded)
}

#[test]
fn a_route_degrades_at_its_threshold_and_not_before() {
    let (most, least, degraded) = extremes(&degrading(Pressure::NoRoom, Some(4)));
    assert_eq!((most, least), (8, 0), "all of the strong pool is used, and nobody waits");
    // Erlang's loss formula: B(15, 8) = 0.4858 of 3,000, give or take 3.29 standard deviations of
    // a process whose busy periods are correlated.
    assert!((1_300..1_620).contains(&degraded), "{degraded}");
    let (most, least, degraded) = extremes(&degrading(Pressure::Waiting(5), Some(4)));
    assert_eq!((most, least), (8, 5), "five wait before the first one is degraded");
    assert!(degraded > 100, "{degraded}");
    let (most, _, degraded) = extremes(&degrading(Pressure::InFlight(6), None));
    assert_eq!(most, 6, "the strong pool gets no more than the threshold");
    assert!(degraded > 100, "{degraded}");
    let half = Pressure::Utilisation(Ratio::from_f64(0.5));
    let (most, _, degraded) = extremes(&degrading(half, Some(6)));
    assert_eq!(most, 6, "half of twelve");
    assert!(degraded > 100, "{degraded}");
}

#[test]
fn utilisation_is_of_what_is_left_when_a_region_is_gone() {
    let half = Pressure::Utilisation(Ratio::from_f64(0.5));
    let mut world = degrading(half, Some(6));
    let nodes = vec![NodeId(0), NodeId(1)];
    world.faults = vec![FaultSpec { at: Time::ZERO, lasts: None, kind: FaultKind::Crash, nodes }];
    world.config.health.consecutive = 1;
    let ends = ends(&world);
    let late = ends.values().filter(|(_, end)| end.arrived > Time::ZERO + Span::from_secs(5));
    let (mut all, mut degraded) = (0, 0);
    for (_, end) in late {
        all += 1;
        degraded += u64::from(end.degraded);
        assert_eq!(end.fate, Fate::Completed);
    }
    assert!(all > 2_000 && degraded == all, "{degraded} of {all}: nobody waits for a dead pool");
}

#[test]
fn nodes_nearby_come_first_while_they_are_open() {
    let mut world = World::new(4, "random", &slots(100, exponential(0.1)), 20.0, 2_000);
    for (index, node) in world.config.nodes.iter_mut().enumerate() {
        node.region = RegionId(1 + index as u16 % 2);
    }
    world.class.origin.regions = OriginShares::new(&[(RegionId(1), 1.0), (RegionId(2), 1.0)]);
    for (locality, there) in [(Locality::Origin, 0), (Locality::Region(RegionId(2)), 2)] {
        world.config.pools[0].locality = locality;
        let mut homes = BTreeMap::new();
        let mut hear = |input: &plimsoll::balance::Input| {
            if let plimsoll::balance::Input::Arrive(request) = input {
                homes.insert(request.id, request.region.expect("known").0);
            }
        };
        let mut served = Vec::new();
        world.run_with(
            |_, input| hear(input),
            |_, event| {
                if let Event::Dispatched { attempt, node, .. } = event {
                    served.push((attempt.request, 1 + node.0 as u16 % 2));
                }
            },
            true,
        );
        assert_eq!(served.len(), 2_000);
        for (request, region) in served {
            let wanted = if there == 0 { homes[&request] } else { there };
            assert_eq!(region, wanted);
        }
    }
    // When the region is gone, the other one takes over.
    let at = Time::ZERO + Span::from_secs(30);
    let nodes = vec![NodeId(1), NodeId(3)];
    world.faults = vec![FaultSpec { at, lasts: None, kind: FaultKind::Crash, nodes }];
    let ends = ends(&world);
    let after = ends.values().filter(|(now, _)| *now > at + Span::from_secs(5));
    let elsewhere = after.filter(|(_, end)| end.node.is_some_and(|node| node.0 % 2 == 0)).count();
    assert!(elsewhere > 500, "{elsewhere}");
    let lost = ends.values().filter(|(_, end)| matches!(end.fate, Fate::Failed(End::Failed(_))));
    assert!(lost.count() < 40, "only what was under way is lost");
}

#[test]
fn a_route_that_asks_for_a_class_or_more_still_fails_closed() {
    let mut world = World::new(2, "random", &slots(4, exponential(0.1)), 10.0, 200);
    // Both nodes lack the tag, in own and cheaper pool alike.
    world.config.pools.push(world.config.pools[0].clone());
    world.config.nodes[1].pool = PoolId(1);
    let degrade = Some(Degrade { to: vec![PoolId(1)], when: Pressure::NoRoom });
    let when = Match { classes: vec![ClassId(0)], ..Match::default() };
    let strict =
        RouteSpec { when, to: vec![PoolId(0)], require: 1, degrade, ..RouteSpec::default() };
    world.config.routes.insert(0, strict);
    let summary = world.run();
    assert_eq!((summary.requests.rejected, summary.attempts.total), (200, 0));
}
