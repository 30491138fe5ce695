//! Engines with a closed form: decode-only batching is processor sharing. Each mean lies in the
//! 99.9 % interval of twenty batches, whose half-width is below 2 %, and within 2 % of the form.

use crate::common;
use crate::common::World;
use plimsoll::balance::Event;
use plimsoll::dist::Dist;
use plimsoll::metrics::Watch;
use plimsoll::node::BackendSpec;
use plimsoll::node::engine::{EngineSpec, StepLaw};
use plimsoll::sim::{Sim, SimSpec, Step};
use plimsoll::unit::{Span, Time};

const REQUESTS: u64 = 600_000;
/// Student's t at 99.9 % (both sides) with 19 degrees of freedom.
const T: f64 = 3.883;

/// An engine that only decodes: ms a step and ms a request in it.
fn decode_only(f: f64, d1: f64) -> BackendSpec {
    let law = StepLaw { f, d1, ..StepLaw::default() };
    let spec =
        EngineSpec { max_seqs: 1 << 16, step_tokens: 1 << 20, ..EngineSpec::new(law, 1 << 40) };
    BackendSpec::Engine(spec.checked().expect("within bounds"))
}

/// Means of latency in seconds: in all, and half of the interval.
fn latency(backend: &BackendSpec, rate: f64, output: Dist) -> (f64, f64) {
    let mut world = World::new(1, "random", backend, rate, REQUESTS);
    world.class.prompt = Dist::constant(1.0).expect("a law");
    world.class.output = output;
    let mut arrived: std::collections::BTreeMap<u64, Time> = std::collections::BTreeMap::new();
    let mut sums = [(0.0, 0_u64); 20];
    let mut count = 0_u64;
    let watch = |now: Time, event: &Event| match event {
        Event::Arrived { request, .. } => {
            arrived.insert(request.0, now);
        }
        Event::Settled(settled) => {
            let began = arrived.remove(&settled.request.0).expect("it came");
            // The first tenth warms up.
            if count >= REQUESTS / 10 {
                let batch =
                    &mut sums[((count - REQUESTS / 10) * 20 / (REQUESTS * 9 / 10)) as usize];
                batch.0 += now.since(began).seconds();
                batch.1 += 1;
            }
            count += 1;
        }
        _ => {}
    };
    world.run_with(|_, _| {}, watch, false);
    let means = sums.map(|(sum, count)| sum / count as f64);
    let mean = means.iter().sum::<f64>() / 20.0;
    let variance = means.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / 19.0;
    (mean, T * (variance / 20.0).sqrt())
}

/// `step` is the wait for the next edge and the part of a step that the first token does not share:
/// what the form leaves out.
fn assert_form(what: &str, (mean, half): (f64, f64), exact: f64, step: f64) {
    println!("{what}: {mean:.5} +- {half:.5}, form {exact:.5}");
    assert!(half < 0.02 * mean, "{what}: half-width {half} of {mean}");
    assert!((mean - exact).abs() < half + step, "{what}: {mean} +- {half}, form {exact}");
    assert!((mean / exact - 1.0).abs() < 0.02, "{what}: {mean}, form {exact}");
}

/// Mean residence = L (F + d1) / (1 - rate L d1), whatever the law of lengths.
#[test]
fn a_decoding_batch_shares_its_processor() {
    let laws = [("fixed", Dist::constant(200.0)), ("exponential", Dist::exponential(200.0))]
        .map(|(name, law)| (name, law.expect("a law")));
    for (name, law) in laws {
        for (rate, exact) in [(5.0, 1.466_67), (10.0, 1.650), (20.0, 2.2)] {
            let found = latency(&decode_only(6.5, 0.1), rate, law);
            assert_form(&format!("{name} at {rate}/s"), found, exact, 0.009);
        }
    }
}

/// F = 0: M/G/1 processor sharing, T = L d1 / (1 - rho).
#[test]
fn without_a_floor_it_is_processor_sharing() {
    let law = Dist::gamma(500.0, 0.5).expect("a law");
    let found = latency(&decode_only(0.0, 1.0), 1.0, law);
    assert_form("M/G/1-PS at 0.5", found, 1.0, 0.009);
}

/// d1 = 0: M/G/inf, T = L F at any rate.
#[test]
fn without_a_cost_of_company_everyone_is_alone() {
    for rate in [1.0, 100.0] {
        let law = Dist::gamma(500.0, 1.0).expect("a law");
        assert_form(
            &format!("M/G/inf at {rate}/s"),
            latency(&decode_only(2.0, 0.0), rate, law),
            1.0,
            0.002,
        );
    }
}

/// d1 = 0: whoever decodes is alone, for L F, and holds the tokens read so far in whole blocks. By Little's
/// law the cache holds `rate * L F * (L / 2 + (block - 1) / 2)` tokens in the mean.
#[test]
fn the_kv_cache_in_use_is_what_little_says_of_tokens() {
    use plimsoll::workload::{Mix, OpenLoop, Poisson};
    let capacity = 100_000;
    let law = StepLaw { f: 2.0, ..StepLaw::default() };
    let room =
        EngineSpec { max_seqs: 1 << 16, step_tokens: 1 << 20, ..EngineSpec::new(law, capacity) };
    let block = f64::from(room.block);
    let backend = BackendSpec::Engine(room.checked().expect("within bounds"));
    for (rate, output) in [(20.0, 400.0), (60.0, 800.0)] {
        let constant = |value| Dist::constant(value).expect("a law");
        let world = World::new(1, "random", &backend, rate, 1);
        let mut class = world.class.clone();
        (class.prompt, class.output) = (constant(1.0), constant(output));
        let source = Poisson::new(rate, Time::MAX, 60_000, 7, Mix::new(vec![class], 7));
        let parts = SimSpec::new(common::config(1, "random", 7), vec![backend.clone()]);
        let mut sim = Sim::new(parts, Box::new(OpenLoop::new(source))).expect("no trace");
        sim.measure_from(Time::ZERO + Span::from_secs(10));
        while sim.step(&mut |_, _| {}, &mut |_, _| {}).expect("no trace") == Step::Handled {}
        let (mean, most) = sim.kv_use().next().flatten().expect("it is an engine");
        let tokens = rate * output * 0.002 * (output / 2.0 + (block - 1.0) / 2.0);
        let exact = tokens / capacity as f64;
        assert!((mean / exact - 1.0).abs() < 0.02, "{mean}, form {exact}");
        assert!(most > mean && most <= 1.0, "{most} at most, {mean} in the mean");
    }
}

/// `B` users who ask anew as soon as they are answered keep `B` sequences in the batch: it makes
/// `B / (F + d1 B)` tokens a millisecond.
#[test]
fn identical_users_make_the_throughput_of_their_batch() {
    use plimsoll::metrics::Collector;
    use plimsoll::workload::{Begin, ClosedLoop, Mix, Script, Users};
    for (count, f, d1) in [(1, 6.5, 0.1), (8, 6.5, 0.1), (64, 6.5, 0.1), (256, 10.0, 0.4)] {
        let backend = decode_only(f, d1);
        let config = common::config(1, "random", 7);
        let mut class = common::class();
        class.prompt = Dist::constant(1.0).expect("a law");
        class.output = Dist::constant(500.0).expect("a law");
        let users = Users { count, think: Dist::constant(0.0).expect("a law"), ramp: Span::ZERO };
        let asked = u64::from(count) * 200;
        let mix = Mix::new(vec![class], 7);
        let traffic =
            ClosedLoop::new(Begin::Users(users), Script::Single, Time::MAX, asked, 7, mix);
        let parts = SimSpec::new(config.clone(), vec![backend.clone()]);
        let mut sim = Sim::new(parts, Box::new(traffic)).expect("a loop that is made up");
        let labels = common::labels(&config, &[backend]);
        let mut collector = Collector::new(labels, &config, Watch::Report);
        let mut sink = |now: Time, event: &Event| collector.fold(now, event);
        while sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Handled {}
        let summary = collector.summary(sim.now(), true);
        let made = summary.tokens.output as f64 / (sim.now().seconds() * 1e3);
        let exact = f64::from(count) / (f + d1 * f64::from(count));
        println!("{count} users: {made:.6} tokens/ms, form {exact:.6}");
        // The prompt of each round takes a part of one step of its five hundred.
        assert!((made / exact - 1.0).abs() < 0.005, "{count} users: {made}, form {exact}");
    }
}
