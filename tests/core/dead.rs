//! Failover that never prefers the dead: while something a route may use is well, nothing goes to a
//! node that is known to be dead, of whatever tier.

use std::cell::RefCell;

use crate::common;
use crate::common::story::{Story, usage};
use crate::common::{World, constant};
use plimsoll::balance::{
    Cause, Event, Failure, HedgeAfter, HedgeSpec, Input, NodeState, Outcome, PoolSpec, ProbeResult,
    RouteSpec, StrategySpec, Tier, Timeouts,
};
use plimsoll::node::{ErrorAnswer, FaultKind, FaultSpec};
use plimsoll::unit::{NodeId, PoolId, Ratio, Span, Time};

fn at(seconds: u64) -> Time {
    Time::ZERO + Span::from_secs(seconds)
}

fn fault(node: u32, from: u64, lasts: u64, kind: FaultKind) -> FaultSpec {
    let lasts = Some(Span::from_secs(lasts));
    FaultSpec { at: at(from), lasts, kind, nodes: vec![NodeId(node)] }
}

/// One node each in three tiers, ten requests a second for five minutes.
fn three_tiers() -> World {
    let backend = common::hosted(constant(0.4), constant(70.0));
    let mut world = World::new(3, "least_connections", &backend, 10.0, 3_000);
    world.config.nodes.iter_mut().zip(Tier::ALL).for_each(|(node, tier)| node.tier = tier);
    world.config.retry.budget = Ratio::from_f64(0.2);
    world.config.timeouts = Timeouts::default();
    world.config.health.probe_every = Some(Span::from_secs(2));
    world.config.health.fall = 2;
    world.class.output = constant(40.0);
    world
}

/// What became of a run.
#[derive(Debug, Default)]
struct Told {
    failed: u64,
    settled: u64,
    /// First attempts that went to a node that was ejected.
    to_the_dead: u64,
    /// When nodes were ejected and came back: the node, whether it is back, when.
    moves: Vec<(u32, bool, Time)>,
    kept_in: Vec<(u32, Cause)>,
}

fn tell(world: &World) -> Told {
    let mut told = Told::default();
    let mut states = vec![NodeState::Up; world.config.nodes.len()];
    world.run_with(
        |_, _| {},
        |now, event| match event {
            Event::Settled(settled) => {
                told.settled += 1;
                told.failed += u64::from(settled.fate != plimsoll::balance::Fate::Completed);
            }
            Event::NodeState { node, to, .. } => {
                states[node.index()] = *to;
                if matches!(to, NodeState::Up | NodeState::Ejected) {
                    told.moves.push((node.0, *to == NodeState::Up, now));
                }
            }
            Event::Dispatched { node, .. } => {
                told.to_the_dead += u64::from(states[node.index()].is_ejected());
            }
            Event::KeptIn { node, cause } => told.kept_in.push((node.0, *cause)),
            _ => {}
        },
        true,
    );
    told
}

#[test]
fn with_primary_and_backup_dead_the_third_tier_serves() {
    let plain = three_tiers();
    let mut probes = three_tiers();
    probes.config.health.probe_every = Some(Span::from_secs(1));
    let mut hedged = three_tiers();
    hedged.config.hedge = Some(HedgeSpec {
        after: HedgeAfter::Fixed(Span::from_millis(600)),
        budget: Ratio::from_f64(0.1),
        saturation: Ratio::ONE,
        prompt_max: None,
        paid: true,
    });
    let mut unprobed = three_tiers();
    unprobed.config.health.probe_every = None;
    for (mut world, most) in [(plain, 0.02), (unprobed, 0.02), (probes, 0.01), (hedged, 0.01)] {
        world.faults =
            vec![fault(0, 60, 120, FaultKind::Crash), fault(1, 120, 60, FaultKind::Crash)];
        let told = tell(&world);
        let share = told.failed as f64 / told.settled as f64;
        println!("{share:.4} failed, {:?}", told.moves.len());
        assert!(share <= most, "{share} of {most}: {told:?}");
        assert_eq!(told.to_the_dead, 0);
        assert!(told.kept_in.is_empty(), "{:?}", told.kept_in);
    }
}

#[test]
fn a_node_is_back_as_soon_as_its_probes_succeed() {
    let mut world = three_tiers();
    world.faults = vec![fault(0, 60, 130, FaultKind::Crash)];
    let told = tell(&world);
    let back = told.moves.iter().rfind(|(node, up, _)| *node == 0 && *up).expect("it comes back");
    // Two probes of every two seconds, and a tenth of jitter.
    let late = back.2.since(at(190));
    assert!(late <= Span::from_millis(4_500), "{late} after it was well");
}

#[test]
fn a_later_pool_of_the_route_is_as_good_as_a_lower_tier() {
    // Two pools of two; everything in the first one dies, then one node of the second.
    let backend = common::hosted(constant(0.3), constant(70.0));
    let mut world = World::new(4, "round_robin", &backend, 10.0, 1_800);
    let strategy = StrategySpec::named("round_robin").expect("known");
    world.config.pools.push(PoolSpec::new("later", strategy));
    world.config.nodes[2..].iter_mut().for_each(|node| node.pool = PoolId(1));
    world.config.routes =
        vec![RouteSpec { to: vec![PoolId(0), PoolId(1)], ..RouteSpec::default() }];
    world.config.timeouts = Timeouts::default();
    world.class.output = constant(10.0);
    world.faults =
        (0..3).map(|node| fault(node, 30 + 10 * u64::from(node), 60, FaultKind::Crash)).collect();
    let told = tell(&world);
    assert_eq!(told.to_the_dead, 0);
    assert!(told.kept_in.is_empty(), "{:?}", told.kept_in);
    assert!((told.failed as f64) < 0.02 * told.settled as f64, "{told:?}");
    let out = (0..3).filter(|id| told.moves.iter().any(|(node, up, _)| node == id && !*up));
    assert_eq!(out.count(), 3, "three of four are out");
}

#[test]
fn where_every_probe_fails_everything_is_out_and_requests_wait() {
    let mut world = three_tiers();
    world.faults = (0..3).map(|node| fault(node, 60, 20, FaultKind::Crash)).collect();
    let told = tell(&world);
    assert_eq!(told.to_the_dead, 0);
    for node in 0..3 {
        let of_node = |up: bool| told.moves.iter().find(|it| (it.0, it.1) == (node, up));
        assert!(of_node(false).is_some_and(|it| it.2 < at(66)), "{:?}", told.moves);
        assert!(of_node(true).is_some_and(|it| it.2 < at(86)), "{:?}", told.moves);
    }
}

#[test]
fn what_only_fails_requests_is_out_up_to_the_share_and_what_is_kept_in_is_said_once() {
    let mut world = three_tiers();
    let errors = || FaultKind::Errors(Ratio::ONE, ErrorAnswer::ServerError);
    world.faults = vec![fault(0, 60, 60, errors()), fault(1, 80, 20, errors())];
    let told = tell(&world);
    // One that is on trial is in, so the other may take its place outside.
    let mut out = [false; 3];
    for (node, up, _) in &told.moves {
        out[*node as usize] = !*up;
        assert!(!(out[0] && out[1]), "half of three is one: {:?}", told.moves);
    }
    assert!(told.moves.iter().any(|(node, up, _)| *node == 0 && !*up));
    let [(1, Cause::Failures(5)), ..] = told.kept_in[..] else { panic!("{:?}", told.kept_in) };
    assert!(
        told.kept_in.len() < 8,
        "at most once for each time that it could be out: {:?}",
        told.kept_in
    );
}

/// Two nodes that were refused a connection as often as ejects: the second is kept in.
#[test]
fn of_nodes_that_refuse_the_last_is_kept_in_until_something_else_is_well() {
    let mut config = common::config(2, "round_robin", 1);
    config.health.consecutive = 1;
    config.retry.attempts = 1;
    let mut story = Story::new(config);
    let refused = Outcome::Failed(Failure::Refused, usage(0, 0));
    let send = |story: &mut Story, id| {
        story.arrive(id, 100);
        let [(0, node)] = story.dispatched()[..] else { panic!("{:?}", story.events) };
        node
    };
    let kept = |story: &Story| {
        let kept = |event: &&Event| matches!(event, Event::KeptIn { .. });
        story.events.iter().filter(kept).count()
    };
    let first = send(&mut story, 0);
    story.finish(0, 0, refused);
    assert_eq!(story.state(first), NodeState::Ejected);
    let last = send(&mut story, 1);
    assert_ne!(first, last);
    for (id, said) in [(1, 1), (2, 0)] {
        story.finish(id, 0, refused);
        assert_eq!((story.state(last), kept(&story)), (NodeState::Up, said), "said once");
        assert_eq!(send(&mut story, id + 1), last);
    }
    story.bring_back(first);
    assert_eq!(story.state(last), NodeState::Ejected, "another one is well");
}

/// In panic ejected nodes serve, but not before one that is well, and never one whose probes fail.
#[test]
fn panic_begins_with_the_last_node_and_is_said() {
    let mut world = three_tiers();
    world.config.health.recovery.panic = Some(Ratio::from_f64(0.5));
    world.config.health.max_share = Ratio::ONE;
    world.config.health.probe_every = None;
    let errors = || FaultKind::Errors(Ratio::ONE, ErrorAnswer::ServerError);
    world.faults = (0..3).map(|node| fault(node, 60, 20, errors())).collect();
    let (mut panics, mut during, mut outside) = (Vec::new(), 0, 0);
    world.run_with(
        |_, _| {},
        |now, event| match event {
            Event::Panic { on, .. } => panics.push((*on, now)),
            Event::Dispatched { why, .. } if why.panic => {
                let on = panics.last().is_some_and(|(on, _)| *on);
                during += u32::from(on);
                outside += u32::from(!on);
            }
            _ => {}
        },
        true,
    );
    let [(true, from), .., (false, to)] = panics[..] else { panic!("{panics:?}") };
    assert!(from > at(60) && to < at(110), "{panics:?}");
    assert!(during > 10 && outside == 0, "{during} in panic, {outside} out of it");
}

#[test]
fn panic_never_sends_anything_to_a_node_whose_probes_fail() {
    let mut world = three_tiers();
    world.config.health.recovery.panic = Some(Ratio::from_f64(0.5));
    world.config.health.probe_every = Some(Span::from_millis(500));
    world.faults = (0..3).map(|node| fault(node, 60, 20, FaultKind::Crash)).collect();
    let fails = RefCell::new([false; 3]);
    let (mut panics, mut sent) = (0, 0);
    world.run_with(
        |_, input| {
            if let Input::Probed(node, _, result) = input {
                fails.borrow_mut()[node.index()] = *result != ProbeResult::Healthy;
            }
        },
        |_, event| match event {
            Event::Panic { on: true, .. } => panics += 1,
            Event::Dispatched { node, why, .. } if why.panic => {
                assert!(!fails.borrow()[node.index()], "its last probe failed");
                sent += 1;
            }
            _ => {}
        },
        true,
    );
    assert!(panics > 0 && sent > 0, "{panics} panics, {sent} attempts in them");
}
