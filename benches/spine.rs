//! Benches of the spine: simulated requests a second with all metrics on, and one decision.
//!
//! `cargo bench --bench spine`

use plimsoll::balance::{Config, Event, NodeSpec, PoolSpec, RouteSpec, StrategySpec, Timeouts};
use plimsoll::dist::Dist;
use plimsoll::metrics::{ClassLabel, Collector, Labels, NodeLabel, Watch};
use plimsoll::node::{BackendSpec, SlotsSpec};
use plimsoll::sim::{Sim, SimSpec, Step};
use plimsoll::unit::{PoolId, Span, Time, Tokens};
use plimsoll::workload::{ClassSpec, Mix, OpenLoop, Origin, Poisson, TenantLaw};

fn main() {
    divan::main();
}

const REQUESTS: u64 = 1_000_000;

/// Ten single-server nodes at load 0.8, as in scenarios/bench-queue.toml.
fn config(nodes: usize, strategy: &str) -> Config {
    let strategy = StrategySpec::named(strategy).expect("a known strategy");
    let node = |index: usize| NodeSpec::new(&format!("n{index}"), PoolId(0));
    let pools = vec![PoolSpec::new("p", strategy)];
    let routes = vec![RouteSpec { to: vec![PoolId(0)], ..RouteSpec::default() }];
    Config {
        seed: 7,
        expected_output: vec![Tokens(200)],
        timeouts: Timeouts { first_token: None, silence: None, total: None },
        ..Config::new(pools, (0..nodes).map(node).collect(), routes)
    }
}

fn labels(config: &Config) -> Labels {
    Labels {
        scenario: "bench".to_owned(),
        seed: config.seed,
        warmup: Time::ZERO,
        classes: vec![ClassLabel::default()],
        pools: vec!["p".to_owned()],
        regions: Vec::new(),
        workflows: Vec::new(),
        nodes: config
            .nodes
            .iter()
            .map(|node| NodeLabel {
                name: node.name.clone(),
                capacity: Some(1),
                ..NodeLabel::default()
            })
            .collect(),
        groups: Vec::new(),
        ..Labels::default()
    }
}

fn run(nodes: usize, strategy: &str, requests: u64, watch: Watch) -> u64 {
    let config = config(nodes, strategy);
    let mut collector = Collector::new(labels(&config), &config, watch);
    let length = Dist::exponential(200.0).expect("a mean");
    let class = ClassSpec {
        name: "c".to_owned(),
        share: 1.0,
        priority: plimsoll::balance::Priority::Normal,
        prompt: length,
        output: length,
        deadline: None,
        origin: Origin::default(),
        tenants: TenantLaw::default(),
        complexity: None,
        repeat: None,
        model: None,
    };
    let mix = Mix::new(vec![class], config.seed);
    let source = Poisson::new(0.8 * nodes as f64, Time::MAX, requests, config.seed, mix);
    let service = Dist::exponential(1.0).expect("a mean");
    let spec = SlotsSpec { servers: 1, queue: u32::MAX, service, per_item: Span::ZERO };
    let backends = vec![BackendSpec::Slots(spec); nodes];
    let parts = SimSpec::new(config, backends);
    let mut sim =
        Sim::new(parts, Box::new(OpenLoop::new(source))).expect("a Poisson source does not fail");
    let mut sink = |now: Time, event: &Event| collector.fold(now, event);
    while sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Handled {}
    let end = sim.now();
    collector.summary(end, true).requests.completed
}

#[divan::bench(args = ["round_robin", "least_connections", "power_of_two", "least_tokens", "peak_ewma"], sample_count = 3, sample_size = 1)]
fn simulate_1m_requests_10_nodes(bencher: divan::Bencher<'_, '_>, strategy: &str) {
    bencher
        .counter(divan::counter::ItemsCount::new(REQUESTS))
        .bench(|| assert_eq!(run(10, strategy, REQUESTS, Watch::Report), REQUESTS));
}

/// With what a screen needs besides the report: window, history and log.
#[divan::bench(args = ["round_robin", "least_connections", "power_of_two", "least_tokens", "peak_ewma"], sample_count = 3, sample_size = 1)]
fn simulate_1m_requests_10_nodes_for_a_screen(bencher: divan::Bencher<'_, '_>, strategy: &str) {
    bencher
        .counter(divan::counter::ItemsCount::new(REQUESTS))
        .bench(|| assert_eq!(run(10, strategy, REQUESTS, Watch::Screen), REQUESTS));
}

/// A decision of these costs the same in a fleet of any size: what grows is memory.
const BLIND: [(&str, usize); 9] = [
    ("round_robin", 10),
    ("round_robin", 1_000),
    ("round_robin", 10_000),
    ("random", 10),
    ("random", 1_000),
    ("random", 10_000),
    ("power_of_two", 10),
    ("power_of_two", 1_000),
    ("power_of_two", 10_000),
];

#[divan::bench(args = BLIND, sample_count = 3, sample_size = 1)]
fn simulate_1m_requests_by_nodes(
    bencher: divan::Bencher<'_, '_>,
    (strategy, nodes): (&str, usize),
) {
    bencher
        .counter(divan::counter::ItemsCount::new(REQUESTS))
        .bench(|| assert_eq!(run(nodes, strategy, REQUESTS, Watch::Report), REQUESTS));
}
