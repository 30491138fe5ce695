//! Queues with a closed form: what is simulated is what theory says, within 2 % at a million
//! requests. Service rate one throughout; T is the mean time in the system.

use crate::common::{World, exponential, slots};
use plimsoll::dist::Dist;
use plimsoll::metrics::Summary;
use plimsoll::node::{BackendSpec, FaultKind, FaultSpec};
use plimsoll::rng::Rng;
use plimsoll::unit::{NodeId, Span, Time};

const REQUESTS: u64 = 1_000_000;

/// `nodes` single servers under `strategy` at load `rho`.
fn single_servers(nodes: usize, strategy: &str, rho: f64) -> Summary {
    World::new(nodes, strategy, &slots(1, exponential(1.0)), rho * nodes as f64, REQUESTS).run()
}

fn assert_near(what: &str, simulated: Option<f64>, exact: f64) {
    let simulated = simulated.expect("there are samples");
    let error = simulated / exact - 1.0;
    println!("{what}: simulated {simulated:.5}, exact {exact:.5}, off by {:.2} %", error * 100.0);
    assert!(error.abs() < 0.02, "{what}: simulated {simulated}, exact {exact}");
}

/// T = 1/(1 - rho); p99 = ln 100 / (1 - rho).
#[test]
fn m_m_1_has_its_mean_and_its_tail() {
    for rho in [0.5, 0.8] {
        let summary = single_servers(1, "round_robin", rho);
        assert_near(&format!("M/M/1 mean at {rho}"), summary.latency_s.mean, 1.0 / (1.0 - rho));
        let p99 = 100_f64.ln() / (1.0 - rho);
        assert_near(&format!("M/M/1 p99 at {rho}"), summary.latency_s.p99, p99);
        assert_near("utilisation", summary.nodes[0].utilisation, rho);
    }
}

/// Erlang C: T = 1 + C / (k (1 - rho)), one queue at the node.
#[test]
fn m_m_k_at_the_node_has_its_mean() {
    for (k, rho, exact) in [(2, 0.8, 2.777_778), (10, 0.8, 1.204_590), (50, 0.9, 1.072_773)] {
        let backend = slots(k, exponential(1.0));
        let summary = World::new(1, "random", &backend, rho * f64::from(k), REQUESTS).run();
        assert_near(&format!("M/M/{k} mean at {rho}"), summary.latency_s.mean, exact);
    }
}

/// The same queue inside the balancer: k nodes that take one request at a time.
#[test]
fn m_m_k_in_the_balancer_has_its_mean() {
    let mut world = World::new(10, "random", &slots(1, exponential(1.0)), 8.0, REQUESTS);
    for node in &mut world.config.nodes {
        node.limits.concurrency = Some(1);
    }
    let summary = world.run();
    assert_near("M/M/10 mean at 0.8, central queue", summary.latency_s.mean, 1.204_590);
    assert_near("its mean wait", summary.queue_s.mean, 0.204_590);
}

/// Pollaczek-Khinchine: T = 1 + rho (1 + c^2) / (2 (1 - rho)).
#[test]
fn m_g_1_depends_on_the_second_moment() {
    for (service, squared_cv, exact) in [
        (Dist::constant(1.0), 0.0, 3.0),
        (Dist::gamma(1.0, 0.5_f64.sqrt()), 0.5, 4.0),
        (Dist::gamma(1.0, 2.0), 4.0, 11.0),
    ] {
        let service = service.expect("a law");
        let summary = World::new(1, "random", &slots(1, service), 0.8, REQUESTS).run();
        assert_near(&format!("M/G/1 mean, c2 {squared_cv}"), summary.latency_s.mean, exact);
    }
}

/// Random over n splits a Poisson stream: n independent M/M/1.
#[test]
fn random_is_n_single_queues() {
    let summary = single_servers(10, "random", 0.8);
    assert_near("random over 10, mean at 0.8", summary.latency_s.mean, 5.0);
}

/// Each queue is E_n/M/1: sigma = (n rho / (n rho + 1 - sigma))^n, T = 1/(1 - sigma).
#[test]
fn round_robin_is_erlang_n_m_1() {
    for (nodes, exact) in [(2, 3.843_980), (4, 3.267_384), (10, 2.922_269)] {
        for strategy in ["round_robin", "weighted_round_robin"] {
            let summary = single_servers(nodes, strategy, 0.8);
            assert_near(&format!("{strategy} over {nodes}"), summary.latency_s.mean, exact);
        }
    }
}

/// Mean field: T = sum over i of rho^(2^i - 2); within 2 % already at 1,000 nodes.
#[test]
fn power_of_two_has_its_mean_field() {
    for (rho, exact) in [(0.5, 1.265_686), (0.8, 1.947_363), (0.9, 2.614_057)] {
        let summary = single_servers(1_000, "power_of_two", rho);
        assert_near(&format!("power of two at {rho}"), summary.latency_s.mean, exact);
    }
}

/// Join the shortest queue: two nodes solved as a chain, ten simulated elsewhere (s.e. 0.007).
#[test]
fn least_connections_joins_the_shortest_queue() {
    for (nodes, rho, exact) in [(2, 0.8, 2.955_74), (10, 0.8, 1.361)] {
        let summary = single_servers(nodes, "least_connections", rho);
        assert_near(&format!("shortest of {nodes} at {rho}"), summary.latency_s.mean, exact);
    }
}

/// Erlang B: with no room to wait, `B(k, a) = (a^k/k!) / sum over i of a^i/i!` of the requests are
/// turned away, whatever the law of service times.
#[test]
fn no_room_to_wait_loses_what_erlang_b_says() {
    let gamma = || Dist::gamma(1.0, 2.0).expect("a law");
    let laws = [exponential(1.0), exponential(1.0), gamma(), exponential(1.0), exponential(1.0)];
    let cases = [
        (2, 0.8, 0.329_897),
        (10, 0.8, 0.121_661),
        (10, 0.9, 0.167_963),
        (50, 0.9, 0.054_104),
        (100, 0.95, 0.048_804),
    ];
    for ((k, rho, exact), law) in cases.into_iter().zip(laws) {
        // The cap is the balancer's: the node itself would take any number.
        let mut world = World::new(1, "random", &slots(k, law), rho * f64::from(k), REQUESTS);
        world.config.nodes[0].limits.concurrency = Some(k);
        world.config.queue.max = 0;
        let summary = world.run();
        let lost = summary.requests.rejected as f64 / summary.requests.arrived as f64;
        assert_near(&format!("M/G/{k}/{k} loss at {rho}"), Some(lost), exact);
        let carried = rho * (1.0 - exact);
        assert_near("its utilisation", summary.nodes[0].utilisation, carried);
    }
}

/// A server that breaks down at rate f, idle or not, and is repaired at rate r, its work resumed:
/// `T = ((r+f)^2 + f) / ((r+f)(r - lambda(r+f)))`.
#[test]
fn a_server_that_breaks_down_has_its_mean() {
    for (rate, f, r, exact, requests) in
        [(0.5, 0.01, 0.1, 4.464_646, 3 * REQUESTS), (0.7, 0.1, 1.0, 5.177_866, REQUESTS)]
    {
        let mut world = World::new(1, "random", &slots(1, exponential(1.0)), rate, requests);
        let until = Time::ZERO + Span::from_seconds(requests as f64 / rate);
        world.faults = breakdowns(f, r, until);
        let summary = world.run();
        assert_near(&format!("M/M/1, breakdowns {f}/{r}"), summary.latency_s.mean, exact);
    }
}

/// A node that hangs keeps its work and goes on with it.
fn breakdowns(f: f64, r: f64, until: Time) -> Vec<FaultSpec> {
    let mut rng = Rng::stream(11, "breakdowns");
    let [up, down] = [f, r].map(|rate| Dist::exponential(1.0 / rate).expect("a mean"));
    let (mut at, mut faults) = (Time::ZERO, Vec::new());
    while at < until {
        at = at + Span::from_seconds(up.sample(&mut rng));
        let lasts = Span::from_seconds(down.sample(&mut rng));
        let nodes = vec![NodeId(0)];
        faults.push(FaultSpec { at, lasts: Some(lasts), kind: FaultKind::Hang, nodes });
        at = at + lasts;
    }
    faults
}

/// Processor sharing is insensitive: T = 1/(1 - rho) whatever the law of work.
#[test]
fn m_g_1_processor_sharing_depends_on_the_mean_only() {
    use plimsoll::node::engine::{EngineSpec, StepLaw};
    // A millisecond a token for each in the batch and nothing else: a thousand tokens are one second
    // of work, and steps are short against it.
    let law = StepLaw { d1: 1.0, ..StepLaw::default() };
    let spec =
        EngineSpec { max_seqs: 1 << 16, step_tokens: 1 << 20, ..EngineSpec::new(law, 1 << 40) };
    let backend = BackendSpec::Engine(spec.checked().expect("within bounds"));
    for (name, output, rho, exact) in [
        ("constant", Dist::constant(1_000.0), 0.8, 5.0),
        ("exponential", Dist::exponential(1_000.0), 0.8, 5.0),
        // A long tail takes longer to show its mean, the more so the higher the load.
        ("gamma of c 2", Dist::gamma(1_000.0, 2.0), 0.5, 2.0),
    ] {
        let mut world = World::new(1, "random", &backend, rho, REQUESTS / 2);
        world.class.prompt = Dist::constant(1.0).expect("a law");
        world.class.output = output.expect("a law");
        let summary = world.run();
        assert_near(&format!("M/G/1-PS, {name}"), summary.latency_s.mean, exact);
    }
}
