//! Benches of simulated inference engines: requests worked through a second, metrics on.
//!
//! `cargo bench --bench engine`. The fleet and the lengths of `scenarios/bench-engine.toml`: ten
//! engines of an 8B model on one H100 each, caches off. Then conversations on the same engines with
//! prefix caches on. Last, what a node more costs a request, at the same load on each.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{config, labels};
use plimsoll::dist::Dist;
use plimsoll::metrics::{Collector, Watch};
use plimsoll::node::BackendSpec;
use plimsoll::scenario::profile;
use plimsoll::sim::{Sim, SimSpec, Step};
use plimsoll::unit::{Ratio, Time};
use plimsoll::workload::{
    Begin, ClassSpec, ClosedLoop, Mix, OpenLoop, Poisson, Process, Script, SessionSpec, Traffic,
};

fn main() {
    divan::main();
}

const REQUESTS: u64 = 200_000;

fn lengths() -> ClassSpec {
    let law = |mean| Dist::lognormal_mean(mean, 1.0).expect("a law");
    ClassSpec { prompt: law(1_024.0), output: law(256.0), ..common::class() }
}

fn engine(prefix_cache: bool) -> BackendSpec {
    let mut spec = profile::engine("llama-3.1-8b/h100/vllm").expect("a built-in profile").spec;
    spec.prefix_cache = prefix_cache;
    BackendSpec::Engine(spec)
}

/// Works all of the traffic through and returns how many requests were completed.
fn run(nodes: usize, strategy: &str, cache: bool, traffic: Box<dyn Traffic>) -> u64 {
    let backends = vec![engine(cache); nodes];
    let mut config = config(nodes, strategy, 7);
    config.retry.budget = Ratio::ONE;
    let mut collector = Collector::new(labels(&config, &backends), &config, Watch::Report);
    let mut sim = Sim::new(SimSpec::new(config, backends), traffic).expect("made up");
    let mut sink = |now: Time, event: &plimsoll::balance::Event| collector.fold(now, event);
    while sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Handled {}
    collector.summary(sim.now(), true).requests.completed
}

/// Two requests a second on each engine.
#[divan::bench(args = [("least_connections", 10), ("power_of_two", 10), ("power_of_two", 1_000), ("power_of_two", 10_000)], sample_count = 3, sample_size = 1)]
fn single_requests(bencher: divan::Bencher<'_, '_>, (strategy, nodes): (&str, usize)) {
    bencher.counter(divan::counter::ItemsCount::new(REQUESTS)).bench(|| {
        let mix = Mix::new(vec![lengths()], 7);
        let source = Poisson::new(2.0 * nodes as f64, Time::MAX, REQUESTS, 7, mix);
        assert_eq!(run(nodes, strategy, false, Box::new(OpenLoop::new(source))), REQUESTS);
    });
}

/// Conversations of ten turns that begin alike; most of every prompt is in some cache.
#[divan::bench(args = ["session_affinity", "prefix_cache_aware"], sample_count = 3, sample_size = 1)]
fn conversations(bencher: divan::Bencher<'_, '_>, strategy: &str) {
    bencher.counter(divan::counter::ItemsCount::new(REQUESTS)).bench(|| {
        let script = Script::Session(SessionSpec {
            turns: Dist::constant(10.0).expect("a law"),
            think: Dist::exponential(10.0).expect("a law"),
            system: 1_000,
            context_max: 32_768,
        });
        let class =
            ClassSpec { prompt: Dist::lognormal_mean(200.0, 1.0).expect("a law"), ..lengths() };
        let begin = Begin::Process(Process::poisson(2.0).expect("a rate"));
        let mix = Mix::new(vec![class], 7);
        let traffic = ClosedLoop::new(begin, script, Time::MAX, REQUESTS, 7, mix);
        assert_eq!(run(10, strategy, true, Box::new(traffic)), REQUESTS);
    });
}
