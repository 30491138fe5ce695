//! A strategy of your own in Rust: written against the library, run in a small simulation and
//! compared with `least_connections`.
//!
//! `cargo run --release --example own_strategy`
//!
//! The strategy is given the nodes that may serve a request, with everything the balancer knows of
//! them, and hears what came of its choices. It never sees how long an answer will really take.

use plimsoll::balance::{
    End, Fact, Fleet, PickContext, REGISTRY, Scored, Strategy, Term, Terms, Why,
};
use plimsoll::metrics::{Collector, Summary, Watch};
use plimsoll::rng::Rng;
use plimsoll::scenario::{Arrivals, Scenario};
use plimsoll::sim::{Sim, SimSpec, Step};
use plimsoll::unit::{NodeId, PoolId, Span, Time};
use plimsoll::workload::{Mix, OpenLoop, Poisson};

/// Six nodes of one kind and two that are three times as slow.
const SCENARIO: &str = r#"
duration = "10m"
seed = 7

[[pool]]
name = "chat"
strategy = "least_connections"

[[pool.node]]
name = "new"
count = 6
[pool.node.backend.slots]
servers = 4
queue = 1_000
service = { exponential = { mean = "1s" } }

[[pool.node]]
name = "old"
count = 2
[pool.node.backend.slots]
servers = 4
queue = 1_000
service = { exponential = { mean = "3s" } }

[workload.arrivals]
poisson = { rate = 22 }
"#;

/// Each node's own pace: smoothed seconds a request took for each that was in flight with it.
/// A request goes where its turn is expected first.
#[derive(Debug, Default)]
struct OwnPace {
    /// By seat: smoothed seconds of an answer; zero for a node not known yet, which is so tried
    /// early.
    seconds: Vec<f64>,
}

impl OwnPace {
    fn cost(&self, context: &PickContext<'_>, id: NodeId) -> f64 {
        let node = context.node(id);
        let seconds = self.seconds.get(node.seat as usize).copied().unwrap_or(0.0);
        context.against_failure(node, seconds.max(1e-3) * f64::from(node.ledger.requests + 1))
    }
}

impl Strategy for OwnPace {
    fn pick(&mut self, context: &PickContext<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let mut best: Option<Scored> = None;
        let mut ties = 0;
        for node in context.candidates() {
            let score = self.cost(context, node);
            context.looked_at(node, score); // For explanations; costs nothing when nobody asks.
            why.considered += 1;
            let this = Scored { score, ..Scored::unscored(node) };
            match best {
                Some(champion) if champion.score < score => {}
                // Equals by a draw, or the first node of the file would get more than its part.
                Some(champion) if champion.score <= score => {
                    ties += 1;
                    if rng.below(ties) == 0 {
                        best = Some(this);
                    }
                }
                _ => (best, ties) = (Some(this), 1),
            }
        }
        why.chosen = best?;
        Some(why.chosen.node)
    }

    fn terms(&self, context: &PickContext<'_>, node: NodeId) -> Terms {
        Terms::NONE.with(Term::Latency, self.cost(context, node))
    }

    fn learn(&mut self, _now: Time, fact: &Fact<'_>, fleet: &Fleet) {
        let Fact::Ended { node, end: End::Done, took, .. } = *fact else { return };
        let seat = fleet.node(node).seat as usize;
        if self.seconds.len() <= seat {
            self.seconds.resize(seat + 1, 0.0);
        }
        let old = self.seconds[seat];
        let took = took.seconds();
        self.seconds[seat] = if old > 0.0 { old + 0.1 * (took - old) } else { took };
    }
}

/// Runs the scenario, with a strategy of one's own if `own` says so.
fn run(own: bool) -> Summary {
    let scenario = Scenario::parse("own", "own.toml", SCENARIO, &[])
        .unwrap_or_else(|problems| panic!("{}", problems.draw(false)));
    let Arrivals::Made(process) = scenario.arrivals else { panic!("arrivals are made") };
    let end = scenario.duration.map_or(Time::MAX, |span: Span| Time::ZERO + span);
    let mix = Mix::new(scenario.classes.clone(), scenario.seed);
    let source = Poisson::new(process, end, u64::MAX, scenario.seed, mix);
    let parts = SimSpec {
        faults: scenario.faults,
        inter_token: scenario.inter_token,
        instances: scenario.instances,
        cold_starts: scenario.cold_starts,
        network: scenario.network,
        ..SimSpec::new(scenario.balancer.clone(), scenario.backends)
    };
    let mut collector = Collector::new(scenario.labels, &scenario.balancer, Watch::Report);
    let traffic = Box::new(OpenLoop::new(source));
    let mut sim = Sim::new(parts, traffic).expect("made arrivals do not fail");
    if own {
        sim.use_strategy(PoolId(0), || Box::new(OwnPace::default()));
    }
    let mut sink = |now: Time, event: &_| collector.fold(now, event);
    while sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Handled {}
    let end = sim.now();
    collector.summary(end, true)
}

fn main() {
    println!("{} strategies are built in; this one is not.\n", REGISTRY.len());
    println!("{:<18} {:>9} {:>8} {:>8} {:>8}", "", "requests", "mean", "p50", "p99");
    for (name, own) in [("least_connections", false), ("own_pace", true)] {
        let summary = run(own);
        let seconds = |value: Option<f64>| value.map_or(String::new(), |s| format!("{s:.2} s"));
        println!(
            "{name:<18} {:>9} {:>8} {:>8} {:>8}",
            summary.requests.completed,
            seconds(summary.latency_s.mean),
            seconds(summary.latency_s.p50),
            seconds(summary.latency_s.p99),
        );
    }
}
