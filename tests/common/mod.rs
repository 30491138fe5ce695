//! Small worlds for tests: a fleet, a workload and a run in a few words.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "every test binary uses a part of it")]

pub mod attempts;
pub mod story;

use plimsoll::balance::{
    Config, Event, Input, Limits, NodeSpec, PoolSpec, Priority, Queue, Retry, RouteSpec,
    StrategySpec, Timeouts,
};
use plimsoll::dist::Dist;
use plimsoll::metrics::{ClassLabel, Collector, Labels, NodeLabel, Slo, Summary, Watch};
use plimsoll::node::{ApiSpec, BackendSpec, FaultSpec, SlotsSpec};
use plimsoll::sim::{Instances, NetworkSpec, Sim, SimSpec, Step};
use plimsoll::unit::{PoolId, Ratio, Span, Time, Tokens};
use plimsoll::workload::{ClassSpec, Mix, OpenLoop, Origin, Poisson, TenantLaw};

/// A node without limits.
pub fn node(index: usize) -> NodeSpec {
    NodeSpec::new(&format!("n{index}"), PoolId(0))
}

/// One pool of `nodes` nodes, no timeouts.
pub fn config(nodes: usize, strategy: &str, seed: u64) -> Config {
    let strategy = StrategySpec::named(strategy).expect("a known strategy");
    let pools = vec![PoolSpec::new("pool", strategy)];
    let routes = vec![RouteSpec { to: vec![PoolId(0)], ..RouteSpec::default() }];
    Config {
        seed,
        expected_output: vec![Tokens(200)],
        retry: Retry { budget: Ratio::ONE, ..Retry::default() },
        timeouts: Timeouts { first_token: None, silence: None, total: None },
        queue: Queue { max: u32::MAX, max_wait: None },
        ..Config::new(pools, (0..nodes).map(node).collect(), routes)
    }
}

/// Labels for a configuration.
pub fn labels(config: &Config, backends: &[BackendSpec]) -> Labels {
    Labels {
        scenario: "test".to_owned(),
        seed: config.seed,
        warmup: Time::ZERO,
        regions: Vec::new(),
        classes: vec![ClassLabel { name: "default".to_owned(), ..ClassLabel::default() }],
        pools: config.pools.iter().map(|pool| pool.name.clone()).collect(),
        workflows: Vec::new(),
        nodes: config
            .nodes
            .iter()
            .zip(backends)
            .map(|(node, backend)| NodeLabel {
                name: node.name.clone(),
                pool: node.pool.index(),
                tier: node.tier,
                capacity: backend.capacity(),
                hourly: node.hourly,
                prices: node.prices,
                ..NodeLabel::default()
            })
            .collect(),
        groups: config.scale.iter().map(|group| group.name.clone()).collect(),
        ..Labels::default()
    }
}

/// The labels of these classes, which all promise the same.
pub fn class_labels(classes: &[ClassSpec], slo: Slo) -> Vec<ClassLabel> {
    let label =
        |class: &ClassSpec| ClassLabel { name: class.name.clone(), slo, deadline: class.deadline };
    classes.iter().map(label).collect()
}

/// Runs a simulation to its end, checking its balancers after every input if `check` says so.
pub fn finish(
    sim: &mut Sim,
    mut collector: Collector,
    mut record: impl FnMut(Time, &Input),
    mut watch: impl FnMut(Time, &Event),
    check: bool,
) -> Summary {
    let mut sink = |now: Time, event: &Event| {
        watch(now, event);
        collector.fold(now, event);
    };
    while sim.step(&mut record, &mut sink).expect("no trace") == Step::Handled {
        if check {
            for balancer in sim.balancers() {
                plimsoll::balance::check(balancer).expect("every invariant holds");
            }
        }
    }
    collector.summary(sim.now(), true)
}

/// A class of short requests.
pub fn class() -> ClassSpec {
    ClassSpec {
        name: "default".to_owned(),
        share: 1.0,
        priority: Priority::Normal,
        prompt: Dist::exponential(300.0).expect("a mean"),
        output: Dist::exponential(100.0).expect("a mean"),
        deadline: None,
        origin: Origin::default(),
        tenants: TenantLaw::default(),
        model: None,
        complexity: None,
        repeat: None,
    }
}

/// An exponential law of this mean.
pub fn exponential(mean: f64) -> Dist {
    Dist::exponential(mean).expect("a mean")
}

/// A law of one value.
pub fn constant(value: f64) -> Dist {
    Dist::constant(value).expect("a value")
}

/// A hosted model without limits: seconds to its first token, and tokens a second after it.
pub fn hosted(ttft: Dist, tokens_per_second: Dist) -> BackendSpec {
    BackendSpec::Api(ApiSpec { ttft, tokens_per_second }, Limits::default())
}

/// Servers with a long queue.
pub fn slots(servers: u32, service: Dist) -> BackendSpec {
    BackendSpec::Slots(SlotsSpec { servers, queue: u32::MAX, service, per_item: Span::ZERO })
}

/// A run to be made.
pub struct World {
    pub config: Config,
    pub backends: Vec<BackendSpec>,
    pub faults: Vec<FaultSpec>,
    pub rate: f64,
    pub requests: u64,
    pub inter_token: Option<Span>,
    pub instances: Instances,
    pub class: ClassSpec,
    pub cold_starts: Vec<Dist>,
    pub network: Option<NetworkSpec>,
}

impl World {
    /// `nodes` nodes with one such back end each.
    pub fn new(
        nodes: usize,
        strategy: &str,
        backend: &BackendSpec,
        rate: f64,
        requests: u64,
    ) -> World {
        World {
            config: config(nodes, strategy, 7),
            backends: vec![backend.clone(); nodes],
            faults: Vec::new(),
            rate,
            requests,
            inter_token: Some(Span::from_secs(5)),
            instances: Instances::default(),
            class: class(),
            cold_starts: Vec::new(),
            network: None,
        }
    }

    /// The simulation at its start.
    pub fn sim(&self) -> Sim {
        let seed = self.config.seed;
        let mix = Mix::new(vec![self.class.clone()], seed);
        let source = Poisson::new(self.rate, Time::MAX, self.requests, seed, mix);
        let parts = SimSpec {
            faults: self.faults.clone(),
            inter_token: self.inter_token,
            instances: self.instances,
            cold_starts: self.cold_starts.clone(),
            network: self.network.clone(),
            ..SimSpec::new(self.config.clone(), self.backends.clone())
        };
        Sim::new(parts, Box::new(OpenLoop::new(source))).expect("a Poisson source does not fail")
    }

    /// Runs to the end, checking the balancer after every input if `check` says so.
    pub fn run_with(
        &self,
        mut record: impl FnMut(Time, &Input),
        mut watch: impl FnMut(Time, &Event),
        check: bool,
    ) -> (Summary, Sim) {
        let mut sim = self.sim();
        let labels = labels(&self.config, &self.backends);
        let collector = Collector::new(labels, &self.config, Watch::Report);
        (finish(&mut sim, collector, &mut record, &mut watch, check), sim)
    }

    /// Runs to the end.
    pub fn run(&self) -> Summary {
        self.run_with(|_, _| {}, |_, _| {}, false).0
    }
}
