//! Laws of strategies: what every one of them must keep, and what its kind promises. How they do with sick
//! nodes and old figures is in `conformance.rs`, that load never attracts in `monotone.rs`.

use std::collections::BTreeMap;

use crate::common::{World, exponential, slots};
use plimsoll::balance::{
    Action, Balancer, Event, Explain, Filter, Input, NodeState, Outcome, REGISTRY, Request,
    StrategySpec, Usage, Verdict,
};
use plimsoll::unit::{NodeId, RequestId, Span, Time, Tokens};

#[test]
fn equals_are_drawn_from_at_random() {
    for entry in REGISTRY {
        let world = World::new(8, entry.name, &slots(1, exponential(1.0)), 1.0, 1);
        let mut counts = [0_u32; 8];
        const ROUNDS: u32 = 4_000;
        let mut balancer = Balancer::new(world.config.clone());
        for round in 0..ROUNDS {
            // Each request comes to an idle fleet, long after the one before.
            let now = Time::ZERO + Span::from_secs(u64::from(round) * 40);
            let request = Request::new(RequestId(u64::from(round)), now);
            let effects = balancer.handle(now, Input::Arrive(request));
            let Some(Action::Dispatch { attempt, node, .. }) = effects.actions.first().copied()
            else {
                panic!("{}: an idle fleet takes a request", entry.name);
            };
            counts[node.index()] += 1;
            let usage = Usage {
                input: Tokens(1),
                cached: Tokens::ZERO,
                output: Tokens(1),
                estimated: false,
            };
            balancer
                .handle(now + Span::from_millis(100), Input::Finish(attempt, Outcome::Done(usage)));
        }
        let expected = f64::from(ROUNDS) / 8.0;
        let (least, most) = (expected * 0.6, expected * 1.5);
        for (node, count) in counts.into_iter().enumerate() {
            assert!(
                (least..most).contains(&f64::from(count)),
                "{}: node {node} got {count} of {ROUNDS}: {counts:?}",
                entry.name
            );
        }
    }
}

/// Where each of many keys goes, with these nodes drained.
fn homes(strategy: &StrategySpec, drained: &[NodeId]) -> BTreeMap<u64, NodeId> {
    let mut world = World::new(10, "random", &slots(1, exponential(1.0)), 1.0, 1);
    world.config.pools[0].strategy = strategy.clone();
    let mut balancer = Balancer::new(world.config);
    let mut homes = BTreeMap::new();
    for &node in drained {
        let drain = plimsoll::balance::FleetChange::Drain(node);
        balancer.handle(Time::ZERO, Input::Fleet(drain));
    }
    for key in 0..2_000 {
        let now = Time::ZERO + Span::from_millis(key);
        let request = Request { session: Some(key), ..Request::new(RequestId(key), now) };
        let effects = balancer.handle(now, Input::Arrive(request));
        let Some(Action::Dispatch { attempt, node, .. }) = effects.actions.first().copied() else {
            panic!("an idle fleet takes a request");
        };
        homes.insert(key, node);
        balancer.handle(now, Input::Finish(attempt, Outcome::Done(Usage::NONE)));
    }
    homes
}

#[test]
fn keys_stay_and_only_those_of_a_lost_node_move() {
    let named = |name| StrategySpec::named(name).expect("it is listed");
    let hash = |method| {
        let mut spec = named("consistent_hash");
        spec.set("method", method).expect("a method");
        spec
    };
    for spec in [named("session_affinity"), hash(0), hash(1), hash(2)] {
        let before = homes(&spec, &[]);
        assert_eq!(before, homes(&spec, &[]), "{spec}: the same key, the same node");
        let after = homes(&spec, &[NodeId(4)]);
        for (key, home) in &before {
            let now = after[key];
            assert_ne!(now, NodeId(4), "{spec}");
            assert!(*home == NodeId(4) || now == *home, "{spec}: key {key} moved for nothing");
        }
        for node in 0..10 {
            let keys = before.values().filter(|home| home.0 == node).count();
            assert!((120..=290).contains(&keys), "{spec}: node {node} has {keys} of 2,000 keys");
        }
    }
}

#[test]
fn a_bounded_hash_never_exceeds_its_bound() {
    let mut spec = StrategySpec::named("consistent_hash").expect("it is listed");
    spec.set("bound", 1_250_000).expect("a bound");
    let mut world = World::new(10, "random", &slots(1, exponential(1.0)), 1.0, 1);
    world.config.pools[0].strategy = spec;
    let mut balancer = Balancer::new(world.config);
    for id in 0..500_u64 {
        // All requests are of one session: without a bound one node would get them all.
        let request = Request { session: Some(7), ..Request::new(RequestId(id), Time::ZERO) };
        balancer.handle(Time::ZERO, Input::Arrive(request));
        let cap = (1.25 * (id + 1) as f64 / 10.0).ceil().max(1.0);
        let loads = balancer.fleet().nodes().iter().map(|node| node.ledger.requests);
        assert!(f64::from(loads.max().unwrap_or(0)) <= cap + 1e-9, "after {id}");
    }
}

#[test]
fn explanations_tell_what_became_of_every_node() {
    for entry in REGISTRY {
        let mut world = World::new(6, entry.name, &slots(1, exponential(1.0)), 1.0, 1);
        world.config.nodes[1].limits.concurrency = Some(0);
        let mut balancer = Balancer::new(world.config.clone());
        balancer.handle(Time::ZERO, Input::Fleet(plimsoll::balance::FleetChange::Drain(NodeId(2))));
        balancer.explain(Explain::One(RequestId(5)));
        for id in 0..8 {
            let request = Request::new(RequestId(id), Time::ZERO);
            let effects = balancer.handle(Time::ZERO, Input::Arrive(request));
            let explained: Vec<_> = effects
                .events
                .iter()
                .filter_map(|event| match event {
                    Event::Explained(explanation) => Some(explanation),
                    _ => None,
                })
                .collect();
            assert_eq!(explained.len(), usize::from(id == 5), "{}", entry.name);
            let Some(explanation) = explained.first() else { continue };
            let verdict = |node: u32| explanation.candidates[node as usize].verdict;
            assert_eq!(explanation.candidates.len(), 6, "{}", entry.name);
            assert_eq!(verdict(1), Verdict::Filtered(Filter::Full), "{}", entry.name);
            let drained = Filter::State(NodeState::Draining);
            assert_eq!(verdict(2), Verdict::Filtered(drained), "{}", entry.name);
            let chosen = verdict(explanation.why.chosen.node.0);
            assert!(matches!(chosen, Verdict::Chosen(_)), "{}: {chosen:?}", entry.name);
        }
    }
}
