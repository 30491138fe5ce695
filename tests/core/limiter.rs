//! Limiters in simulation: they find what a node takes, lose and regain it with a fault, and keep
//! their bounds.

use crate::common::{World, exponential, slots};
use plimsoll::balance::{Event, LimiterLaw, LimiterSpec, NodeState, Queue};
use plimsoll::dist::Dist;
use plimsoll::metrics::Summary;
use plimsoll::node::{FaultKind, FaultSpec};
use plimsoll::unit::{NodeId, Span, Time};

const LAWS: [LimiterLaw; 2] = [LimiterLaw::AIMD, LimiterLaw::GRADIENT];

/// One node of so many servers with an endless queue, of which the limiter knows nothing.
fn world(servers: u32, service: Dist, rate: f64, requests: u64, law: LimiterLaw) -> World {
    let mut world = World::new(1, "least_connections", &slots(servers, service), rate, requests);
    world.config.pools[0].limiter = Some(LimiterSpec::new(law));
    world.config.queue = Queue { max: 100, max_wait: Some(Span::from_secs(20)) };
    world
}

/// Runs it with every invariant checked and returns the limits, each with its time.
fn run(world: &World) -> (Summary, Vec<(Time, u32)>) {
    let mut limits = Vec::new();
    let watch = |now: Time, event: &Event| {
        if let Event::Limit { limit, .. } = event {
            limits.push((now, *limit));
        }
    };
    let (summary, sim) = world.run_with(|_, _| {}, watch, true);
    assert_eq!(sim.balancers()[0].fleet().node(NodeId(0)).state(), NodeState::Up);
    (summary, limits)
}

/// Three times what the node can serve comes. A limit below the servers would leave some idle, one
/// far above them would only move the line into the node.
#[test]
fn limits_settle_near_the_servers_of_a_node() {
    for law in LAWS {
        for servers in [4, 16] {
            let rate = 3.0 * f64::from(servers);
            let (summary, limits) = run(&world(servers, exponential(1.0), rate, 6_000, law));
            let half = summary.simulated_s / 2.0;
            let late = limits.iter().filter(|(at, _)| at.seconds() > half);
            let limits: Vec<u32> = late.map(|(_, limit)| *limit).collect();
            let mean = f64::from(limits.iter().sum::<u32>()) / limits.len() as f64;
            let knee = f64::from(servers);
            assert!((knee..3.0 * knee + 4.0).contains(&mean), "{law:?}: {mean} of {servers}");
            let served = summary.requests.completed as f64 / summary.simulated_s;
            assert!(served > 0.93 * knee, "{law:?}: {served} a second of {servers}");
        }
    }
}

/// A node becomes four times slower for a while: its limit falls, and comes back afterwards.
#[test]
fn limits_follow_a_slowdown_and_recover() {
    for law in LAWS {
        let mut world = world(16, Dist::constant(0.5).expect("a value"), 60.0, 24_000, law);
        let at = |seconds| Time::ZERO + Span::from_secs(seconds);
        let fault = FaultSpec {
            at: at(100),
            nodes: vec![NodeId(0)],
            kind: FaultKind::Slow(4.0),
            lasts: Some(Span::from_secs(100)),
        };
        world.faults.push(fault);
        let (_, limits) = run(&world);
        let within = |from, to| {
            let some = limits.iter().filter(|(when, _)| (at(from)..at(to)).contains(when));
            some.map(|(_, limit)| *limit).collect::<Vec<u32>>()
        };
        let lowest = *within(150, 200).iter().min().expect("it changes");
        let mut later = within(300, 400);
        later.push(limits.iter().rfind(|(when, _)| *when < at(400)).expect("it changes").1);
        let after = *later.iter().min().expect("one at least");
        assert!(lowest <= 8, "{law:?}: {lowest} while it is slow");
        assert!(after >= 14, "{law:?}: {after} when it is well again");
    }
}

#[test]
fn the_same_run_finds_the_same_limits() {
    for law in LAWS {
        let world = world(4, exponential(1.0), 12.0, 1_000, law);
        assert_eq!(run(&world), run(&world));
    }
}

/// Where there is room for everyone, a limiter changes no decision.
#[test]
fn calm_is_as_without_a_limiter() {
    for law in LAWS {
        let mut with = world(16, exponential(1.0), 4.0, 2_000, law);
        let (mut limited, _) = run(&with);
        with.config.pools[0].limiter = None;
        let (free, _) = run(&with);
        limited.nodes[0].limit = None;
        assert_eq!(limited, free);
    }
}
