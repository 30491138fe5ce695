//! Laws of the oracle: what it foresees comes true, nothing known beats it on unlike engines, and
//! where there is no truth to read it is refused.

use crate::common;
use std::collections::BTreeMap;
use std::process::Command;

use crate::common::World;
use plimsoll::balance::{Attempt, Event, usable};
use plimsoll::dist::Dist;
use plimsoll::node::engine::{EngineSpec, StepLaw};
use plimsoll::node::{BackendSpec, FaultKind, FaultSpec};
use plimsoll::sim::{Exchange, Instances, NetworkSpec};
use plimsoll::unit::{NodeId, Ratio, Span, Time};

/// An engine of generation 0 (fast), 1 or 2 (slow), as in the scenario `hetero`.
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

fn world(strategy: &str, rate: f64, requests: u64, seed: u64) -> World {
    let backends = [0, 0, 1, 1, 1, 2, 2, 2].map(engine);
    let mut world = World::new(backends.len(), strategy, &backends[0], rate, requests);
    world.backends = backends.to_vec();
    world.config.seed = seed;
    world.inter_token = None;
    world.class.prompt = Dist::lognormal_mean(900.0, 0.8).expect("a law");
    world.class.output = Dist::lognormal_mean(290.0, 0.8).expect("a law");
    world
}

/// What was foreseen at each dispatch (seconds), and what the attempt then took.
fn foreseen(world: &World) -> Vec<(f64, f64)> {
    let mut open: BTreeMap<Attempt, (f64, Time)> = BTreeMap::new();
    let mut pairs = Vec::new();
    let watch = |now: Time, event: &Event| match event {
        Event::Dispatched { attempt, why, .. } => {
            let own =
                why.chosen.terms.as_slice().first().map_or(f64::NAN, |term| f64::from(term.1));
            open.insert(*attempt, (own, now));
        }
        Event::Ended { attempt, .. } => {
            let (own, at) = open.remove(attempt).expect("it was dispatched");
            pairs.push((own, now.since(at).seconds()));
        }
        _ => {}
    };
    world.run_with(|_, _| {}, watch, false);
    pairs
}

#[test]
fn behind_servers_everything_comes_as_foreseen() {
    // First come, first served: what arrives later delays nobody, so the foresight is exact.
    let service = Dist::gamma(1.0, 1.5).expect("a law");
    let slots = common::slots(3, service);
    let pairs = foreseen(&World::new(4, "oracle", &slots, 11.0, 20_000));
    assert_eq!(pairs.len(), 20_000);
    // A term is kept with 24 bits.
    let off = |(own, took): &(f64, f64)| (own - took).abs() > 1e-6 * took + 1e-6;
    let wrong: Vec<_> = pairs.iter().filter(|pair| off(pair)).take(3).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn an_engine_left_alone_answers_as_foreseen() {
    // So few that hardly any two meet: what is left is the playing itself.
    comes_as_foreseen(&world("oracle", 0.2, 500, 3));
}

#[test]
fn an_engine_that_is_slow_in_part_answers_as_foreseen() {
    for kind in [FaultKind::Pace(4.0, 1.0), FaultKind::Gray(Ratio::from_f64(0.5), 3.0)] {
        let mut world = world("oracle", 0.05, 300, 3);
        let nodes = (0..world.backends.len() as u32).map(NodeId).collect();
        world.faults = vec![FaultSpec { at: Time::ZERO, lasts: None, kind, nodes }];
        comes_as_foreseen(&world);
    }
}

fn comes_as_foreseen(world: &World) {
    let pairs = foreseen(world);
    let off = |(own, took): &(f64, f64)| (own / took - 1.0).abs();
    let mean = pairs.iter().map(off).sum::<f64>() / pairs.len() as f64;
    assert!(mean < 0.02, "off by {mean} in the mean");
    let exact = pairs.iter().filter(|pair| off(pair) < 1e-6).count();
    assert!(exact * 10 > pairs.len() * 8, "{exact} of {} to the last digit", pairs.len());
}

#[test]
fn no_strategy_beats_it_on_unlike_engines_that_slow_down() {
    let mean = |strategy: &str| {
        let mut world = world(strategy, 25.0, 2_000, 1);
        let slow = |node: u32, at: u64, factor: f64| FaultSpec {
            at: Time::ZERO + Span::from_secs(at),
            lasts: Some(Span::from_secs(25)),
            kind: FaultKind::Slow(factor),
            nodes: vec![NodeId(node)],
        };
        world.faults = vec![slow(0, 20, 4.0), slow(3, 30, 3.0), slow(1, 50, 3.0)];
        world.run().latency_s.mean.expect("answers")
    };
    let oracle = mean("oracle");
    for entry in usable() {
        let other = mean(entry.name);
        assert!(oracle <= other, "oracle {oracle} s, {} {other} s", entry.name);
    }
}

#[test]
fn it_sees_through_distances_and_from_many_balancers() {
    let slots = common::slots(2, Dist::exponential(1.0).expect("a law"));
    let run = || {
        let mut world = World::new(5, "oracle", &slots, 8.0, 4_000);
        let every = Exchange { every: Span::from_millis(200), delay: Span::from_millis(5) };
        world.instances = Instances { count: 4, share: Some(every), reports: None };
        let mut seen = String::new();
        let watch = |now: Time, event: &Event| {
            if let Event::Dispatched { attempt, node, .. } = event {
                seen.push_str(&format!("{now} {attempt:?} {node:?}\n"));
            }
        };
        let summary = world.run_with(|_, _| {}, watch, true).0;
        (summary.latency_s.mean.expect("answers"), seen)
    };
    let (mean, seen) = run();
    assert_eq!(run().1, seen, "the same run twice");
    // Four balancers that see the nodes themselves are one: M/M/10 at 80 % takes 1.2 s.
    assert!(mean < 1.25, "{mean} s");
    let mut world = World::new(5, "oracle", &slots, 8.0, 4_000);
    world.network = Some(NetworkSpec { rtt: vec![Span::from_millis(20)], jitter: 0.0 });
    let near = world.run().latency_s.mean.expect("answers");
    assert!((near - mean - 0.02).abs() < 0.05, "{near} s against {mean} s");
}

fn plimsoll(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(arguments).output();
    let output = output.expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_has_no_truth_refuses_it() {
    for who in ["serve", "replay", "mock"] {
        let (code, said) = plimsoll(&[who, "quickstart", "--strategy", "oracle"]);
        assert_eq!(code, Some(3), "{who}: {said}");
        assert!(said.contains("reads the truth") && said.contains("--strategy"), "{who}: {said}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let journal = folder.path().join("run.journal");
    let journal = journal.to_str().expect("text");
    let run = ["run", "--strategy", "oracle", "--requests", "50", "-q", "--journal", journal];
    // So short a run keeps no promise of the scenario.
    assert_eq!(plimsoll(&run).0, Some(100));
    let (code, said) = plimsoll(&["journal", "verify", journal]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("oracle"), "{said}");
}
