//! Many balancers with old or partial figures: the herd effect, and what cures it.
//!
//! 100 single servers at load 0.9, mean time in the system in service times. The figures compared
//! with were simulated by other programs. Random is 10, M/M/1. T is the age that the newest shared
//! figures reach before they are renewed, in service times.
//!
//! How hard a full scan herds depends on how it breaks ties. These figures are for a uniform draw
//! among equals, as every strategy here does it. A scan that takes the first of equals from a random
//! start, as many programs do, favours nodes behind a gap and herds harder: 2.0, 6.7 and 23 where a
//! uniform draw has 1.5, 3.9 and 10.5. Two choices do not depend on it.

#![expect(clippy::print_stdout, reason = "a test shows what it measured")]

use crate::common::{World, slots};
use plimsoll::balance::NodeState;
use plimsoll::dist::Dist;
use plimsoll::node::{FaultKind, FaultSpec};
use plimsoll::sim::{Exchange, Instances};
use plimsoll::unit::{NodeId, Span, Time};

const NODES: usize = 100;
const LOAD: f64 = 0.9;
/// Random: M/M/1 at this load.
const RANDOM: f64 = 10.0;

/// Words of the setting `signal`, by place.
const REPORTED: u64 = 1;
const FUSED: u64 = 2;

fn world(strategy: &str, instances: u32, requests: u64) -> World {
    let service = Dist::exponential(1.0).expect("a mean");
    let mut world = World::new(NODES, strategy, &slots(1, service), LOAD * NODES as f64, requests);
    world.instances = Instances { count: instances, ..Instances::default() };
    world
}

/// The mean with nothing but what each balancer has in flight itself.
fn own_only(strategy: &str, instances: u32, requests: u64) -> f64 {
    world(strategy, instances, requests).run().latency_s.mean.expect("answers")
}

/// The mean where nodes report every `every` service times.
fn reported(strategy: &str, signal: u64, instances: u32, every: f64, requests: u64) -> f64 {
    let mut world = world(strategy, instances, requests);
    world.config.pools[0].strategy.set("signal", signal).expect("a signal");
    world.config.view.reports_fresh = Span::from_secs(100);
    let every = Span::from_seconds(every);
    world.instances.reports = Some(Exchange { every, delay: Span::ZERO });
    world.run().latency_s.mean.expect("answers")
}

fn assert_near(what: &str, simulated: f64, known: f64, within: f64) {
    let error = simulated / known - 1.0;
    println!("{what}: {simulated:.2}, elsewhere {known}, off by {:.0} %", error * 100.0);
    assert!(error.abs() < within, "{what}: simulated {simulated}, elsewhere {known}");
}

const SCAN: &str = "least_connections";
const PAIR: &str = "power_of_two";

#[test]
fn a_full_scan_of_old_figures_herds_and_two_choices_do_not() {
    let mut means = Vec::new();
    for (every, scan, pair) in [(0.1, 1.5, 2.6), (1.0, 3.9, 3.0), (5.0, 10.5, 4.0)] {
        let scanned = reported(SCAN, REPORTED, 1, every, 100_000);
        let paired = reported(PAIR, REPORTED, 1, every, 100_000);
        assert_near(&format!("scan, T = {every}"), scanned, scan, 0.15);
        assert_near(&format!("two choices, T = {every}"), paired, pair, 0.15);
        means.push((scanned, paired));
    }
    assert!(means[0].0 < means[0].1, "on fresh figures the scan is better");
    assert!(means[1].0 > means[1].1, "on old ones it is not");
    let oldest = reported(SCAN, REPORTED, 1, 20.0, 100_000);
    println!("scan, T = 20: {oldest:.1}");
    assert!(oldest > 2.0 * RANDOM, "in the end it is far worse than knowing nothing");
}

#[test]
fn ones_own_requests_never_herd() {
    assert_near("scan, own of ten", own_only(SCAN, 10, 100_000), 3.8, 0.15);
    assert_near("two choices, own of ten", own_only(PAIR, 10, 100_000), 4.2, 0.15);
}

#[test]
fn adding_what_one_did_since_makes_an_old_report_useful_again() {
    let fused = reported(SCAN, FUSED, 10, 1.0, 100_000);
    assert_near("scan, T = 1 and own since, ten", fused, 3.3, 0.15);
    assert_near(
        "two, T = 1 and own since, ten",
        reported(PAIR, FUSED, 10, 1.0, 100_000),
        3.0,
        0.15,
    );
}

/// What peers tell often enough is as good as one balancer that sees everything.
#[test]
fn peers_that_share_their_load_see_as_one() {
    let mut world = world(SCAN, 10, 60_000);
    let (every, delay) = (Span::from_millis(50), Span::from_millis(5));
    world.instances.share = Some(Exchange { every, delay });
    let (summary, sim) = world.run_with(|_, _| {}, |_, _| {}, false);
    let mean = summary.latency_s.mean.expect("answers");
    println!("scan, ten peers that share every 0.05: {mean:.2}");
    assert!(mean < 1.7, "{mean} is far from 3.8, what the own requests give");
    assert_eq!(sim.balancers().len(), 10);
    let fair = sim.balancers().iter().all(|one| (5_000..7_000).contains(&one.totals().arrived));
    assert!(fair, "each gets a tenth");
    for balancer in sim.balancers() {
        plimsoll::balance::check(balancer).expect("every invariant holds");
    }
}

/// Every invariant of every balancer after every input, with all that they can be told.
#[test]
fn many_balancers_keep_every_invariant_and_repeat_bit_for_bit() {
    let run = |check| {
        let mut world = world(PAIR, 5, 3_000);
        world.config.pools[0].strategy.set("signal", FUSED).expect("a signal");
        let every = Some(Exchange { every: Span::from_millis(300), delay: Span::from_millis(40) });
        world.instances = Instances { count: 5, share: every, reports: every };
        let mut events = Vec::new();
        let watch = |now: Time, event: &plimsoll::balance::Event| {
            events.push(format!("{now} {event:?}"));
        };
        let (summary, sim) = world.run_with(|_, _| {}, watch, check);
        assert_eq!(summary.requests.completed, 3_000);
        let totals = sim.totals();
        assert_eq!((totals.arrived, totals.dispatched, totals.ended), (3_000, 3_000, 3_000));
        assert_eq!(totals.area, totals.sojourn, "Little's law over all of them");
        events
    };
    assert!(run(true) == run(false));
}

/// A node crashes: each balancer finds out for itself, sends nothing there once it knows, and all of
/// them use it again after it is back.
#[test]
fn every_balancer_ejects_a_crashed_node_for_itself() {
    const DEAD: NodeId = NodeId(3);
    let mut world = world(PAIR, 4, 60_000);
    let every = Some(Exchange { every: Span::from_secs(1), delay: Span::from_millis(50) });
    world.instances = Instances { count: 4, share: every, reports: None };
    // Success probability keeps traffic off it so well that five failures in a row take minutes.
    world.config.health.consecutive = 1;
    let [at, lasts] = [60, 120].map(Span::from_secs);
    let kind = FaultKind::Crash;
    world.faults =
        vec![FaultSpec { at: Time::ZERO + at, lasts: Some(lasts), kind, nodes: vec![DEAD] }];
    // What they declare together: a node is down as soon as one of them knows.
    let (mut states, mut last, mut after) = (Vec::new(), Time::ZERO, 0);
    let watch = |now: Time, event: &plimsoll::balance::Event| match event {
        plimsoll::balance::Event::NodeState { node: DEAD, to, .. } => states.push((now, *to)),
        plimsoll::balance::Event::Dispatched { node: DEAD, .. } => {
            if now < Time::ZERO + at + lasts {
                last = now;
            } else {
                after += 1;
            }
        }
        _ => {}
    };
    let (summary, sim) = world.run_with(|_, _| {}, watch, false);
    let down = states.iter().find(|(_, to)| *to == NodeState::Ejected).expect("it is found out");
    assert!(down.0 > Time::ZERO + at, "{states:?}");
    let late = last.since(Time::ZERO + at);
    assert!(late < Span::from_secs(10), "the last finds out {late} after the crash");
    assert_eq!(states.last().expect("it comes back").1, NodeState::Up);
    assert!(after > 100, "{after} attempts after it came back");
    let requests = summary.requests;
    assert_eq!(requests.completed + requests.failed, 60_000);
    assert!(requests.failed < 60, "{} failed", requests.failed);
    for balancer in sim.balancers() {
        assert_eq!(balancer.fleet().node(DEAD).state(), NodeState::Up);
    }
    let totals = sim.totals();
    assert_eq!(totals.dispatched, totals.ended);
    for balancer in sim.balancers() {
        plimsoll::balance::check(balancer).expect("every invariant holds");
    }
}

/// All of it, longer: minutes without optimisation.
#[test]
#[ignore = "takes minutes"]
fn the_whole_table() {
    const REQUESTS: u64 = 400_000;
    let near = |what: &str, mean, known| assert_near(what, mean, known, 0.15);
    for (every, scan, pair) in
        [(0.1, 1.5, 2.6), (1.0, 3.9, 3.0), (5.0, 10.5, 4.0), (20.0, 62.0, 7.1)]
    {
        near(&format!("scan, T {every}"), reported(SCAN, REPORTED, 1, every, REQUESTS), scan);
        near(&format!("two, T {every}"), reported(PAIR, REPORTED, 1, every, REQUESTS), pair);
    }
    for (every, scan, pair) in [(0.1, 1.5, 2.7), (1.0, 3.35, 3.0), (20.0, 23.5, 6.9)] {
        near(&format!("scan, T {every}, own"), reported(SCAN, FUSED, 10, every, REQUESTS), scan);
        near(&format!("two, T {every}, own"), reported(PAIR, FUSED, 10, every, REQUESTS), pair);
    }
    for (count, scan, pair) in [(2, 1.7, 3.0), (10, 3.8, 4.2), (50, 6.1, 6.0)] {
        near(&format!("scan, own of {count}"), own_only(SCAN, count, REQUESTS), scan);
        near(&format!("two, own of {count}"), own_only(PAIR, count, REQUESTS), pair);
    }
}
