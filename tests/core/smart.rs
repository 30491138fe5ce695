//! Laws of `smart` on engines of unlike and changing speed: it pays, it reacts, its predictions are true.
//!
//! A small version of the built-in scenario `hetero`: two fast, three medium and three slow engines.

use std::collections::HashMap;

use crate::common::World;
use plimsoll::balance::{Event, Term};
use plimsoll::dist::Dist;
use plimsoll::node::engine::{EngineSpec, StepLaw};
use plimsoll::node::{BackendSpec, FaultKind, FaultSpec};
use plimsoll::unit::{NodeId, Span, Time};

/// An engine of generation 0 (fast), 1 or 2 (slow).
fn engine(generation: usize) -> BackendSpec {
    let (f, p1, d1, d2, kv, max_seqs) = [
        (7.0, 40.0, 0.02, 0.04, 450_000, 192),
        (11.0, 100.0, 0.04, 0.07, 300_000, 128),
        (22.0, 140.0, 0.08, 0.16, 160_000, 64),
    ][generation];
    let law = StepLaw { f, p1, d1, d2, ..StepLaw::default() };
    let step = EngineSpec {
        max_seqs,
        step_tokens: 2_048,
        prefix_cache: false,
        ..EngineSpec::new(law, kv)
    };
    BackendSpec::Engine(step)
}

fn world(strategy: &str, backends: &[BackendSpec], rate: f64, requests: u64, seed: u64) -> World {
    let mut world = World::new(backends.len(), strategy, &backends[0], rate, requests);
    world.backends = backends.to_vec();
    world.config.seed = seed;
    world.inter_token = None;
    world.class.prompt = Dist::lognormal_mean(900.0, 0.8).expect("a law");
    world.class.output = Dist::lognormal_mean(290.0, 0.8).expect("a law");
    world
}

fn unlike() -> Vec<BackendSpec> {
    [0, 0, 1, 1, 1, 2, 2, 2].map(engine).to_vec()
}

fn second(at: u64) -> Time {
    Time::ZERO + Span::from_secs(at)
}

#[test]
fn it_pays_on_unlike_engines_that_slow_down() {
    for seed in 1..=3 {
        let mean = |strategy: &str| {
            let mut world = world(strategy, &unlike(), 25.0, 3_000, seed);
            let slow = |node: u32, at: u64, factor: f64| FaultSpec {
                at: second(at),
                lasts: Some(Span::from_secs(25)),
                kind: FaultKind::Slow(factor),
                nodes: vec![NodeId(node)],
            };
            world.faults = vec![slow(0, 30, 4.0), slow(3, 50, 3.0), slow(1, 70, 3.0)];
            world.run().latency_s.mean.expect("answers")
        };
        let smart = mean("smart");
        for (other, most) in [("random", 0.6), ("round_robin", 0.6), ("least_connections", 0.9)] {
            let theirs = mean(other);
            assert!(smart < most * theirs, "seed {seed}: {smart:.2} s, {other} {theirs:.2} s");
        }
    }
}

#[test]
fn a_node_three_times_slower_loses_half_its_share_within_two_answers() {
    let engines = vec![engine(1); 8];
    let (mut before, mut after) = ((0_u32, 0_u32), (0_u32, 0_u32));
    for seed in 1..=3 {
        let mut world = world("smart", &engines, 24.0, 3_000, seed);
        let at = second(60);
        world.faults =
            vec![FaultSpec { at, lasts: None, kind: FaultKind::Slow(3.0), nodes: vec![NodeId(3)] }];
        // An answer takes about five seconds; the window begins two answers after the step.
        let window = second(70)..second(90);
        let (summary, _) = world.run_with(
            |_, _| {},
            |now, event| {
                if let Event::Dispatched { node, .. } = event {
                    let count = if now < at && now > second(10) {
                        &mut before
                    } else if window.contains(&now) {
                        &mut after
                    } else {
                        return;
                    };
                    count.0 += u32::from(*node == NodeId(3));
                    count.1 += 1;
                }
            },
            false,
        );
        assert!(summary.latency_s.mean.expect("answers") > 3.0, "an answer takes seconds");
    }
    let share = |(own, all): (u32, u32)| f64::from(own) / f64::from(all);
    let (before, after) = (share(before), share(after));
    assert!((0.10..0.15).contains(&before), "equals share: {before:.3}");
    assert!(after < before / 2.0, "{before:.3} before, {after:.3} after");
}

#[test]
fn first_tokens_come_when_predicted() {
    // The one that tells the prediction as it is; `smart` weighs the same.
    let world = world("shortest_expected", &unlike(), 25.0, 4_000, 5);
    let mut predicted = HashMap::new();
    let mut ratios: Vec<f64> = Vec::new();
    world.run_with(
        |_, _| {},
        |now, event| match event {
            Event::Dispatched { attempt, why, .. } => {
                let terms = why.chosen.terms;
                let ttft = terms.as_slice().iter().find(|(term, _)| *term == Term::Ttft);
                predicted.insert(*attempt, f64::from(ttft.expect("a prediction").1));
            }
            Event::FirstToken { attempt, took, .. } if now > second(30) => {
                ratios.push(predicted[attempt] / took.seconds());
            }
            _ => {}
        },
        false,
    );
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[(share * ratios.len() as f64) as usize];
    assert!(ratios.len() > 3_000);
    let (low, median, high) = (at(0.1), at(0.5), at(0.9));
    assert!((0.7..=1.4).contains(&median), "{low:.2} {median:.2} {high:.2}");
    assert!(low > 0.3 && high < 3.0, "{low:.2} {median:.2} {high:.2}");
}
