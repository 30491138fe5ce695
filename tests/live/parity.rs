//! The second driver: the same core on the wall clock, against real sockets. Asserted are replay from
//! the journal and conservation; how near the figures come to a simulation of the same scenario is
//! printed, and asserted only in the test that is run by name on a quiet machine.

use std::io::BufReader;
use std::sync::Arc;
use std::time::Duration;

use plimsoll::balance::{Balancer, Event, Input, StrategyDef, usable};
use plimsoll::journal::{Header, Writer};
use plimsoll::live::driver::Observer;
use plimsoll::live::mock::{Mock, MockParts, NodeName};
use plimsoll::live::replay::{Ask, ReplayOutcome, ReplayParts, replay};
use plimsoll::live::upstream::{Dialect, Endpoint, PrefillKind, StreamPace, UpstreamClient};
use plimsoll::metrics::{Collector, Summary, Watch};
use plimsoll::scenario::{Arrivals, Override, Scenario};
use plimsoll::sim::{Sim, SimSpec, Step};
use plimsoll::unit::Time;
use plimsoll::workload::{Mix, OpenLoop, Poisson, Traffic};

/// Four hosted nodes; one crashes, one hangs, one answers 429 for a while.
const STORM: &str = r#"
seed = 11
requests = 2000
[balancer]
retry = { attempts = 4, backoff = { base = "20ms", cap = "200ms" }, budget = 0.5 }
timeouts = { connect = "1s", first_token = "1s", inter_token = "1s", total = "20s" }
health = { probe = { every = "1s", timeout = "500ms", fall = 2, rise = 1 }, eject = { consecutive = 3, base = "500ms", cap = "2s", max_share = 0.5 } }
[[pool]]
name = "p"
[[pool.node]]
name = "n"
count = 4
model = "m"
price = { input = 1.0, output = 4.0 }
limits = { concurrency = 64 }
backend = { api = { ttft = { lognormal = { p50 = "120ms", p95 = "300ms" } }, tokens_per_second = { lognormal = { p50 = 300, p95 = 400 } } } }
[[class]]
name = "c"
prompt_tokens = { lognormal = { p50 = 200, p95 = 600 } }
output_tokens = { lognormal = { p50 = 60, p95 = 160 } }
[workload]
arrivals = { poisson = { rate = 130 } }
[[fault]]
at = "3s"
crash = { node = "n-1", for = "2s" }
[[fault]]
at = "7s"
hang = { node = "n-2", for = "1500ms" }
[[fault]]
at = "10s"
errors = { node = "n-3", share = 1.0, status = 429, retry_after = "1s", for = "2s" }
"#;

fn scenario(strategy: &str, requests: u64) -> Scenario {
    let changes = [Override::strategy(strategy), Override::requests(requests)];
    Scenario::parse("storm", "storm.toml", STORM, &changes).expect("a scenario")
}

/// The same storm in half the time.
fn squall(strategy: &str, requests: u64) -> Scenario {
    let times = [("at = \"3s\"", "at = \"1s\""), ("\"7s\"", "\"3s\""), ("\"10s\"", "\"4s\"")];
    let text = times.into_iter().fold(STORM.to_owned(), |text, (is, be)| text.replace(is, be));
    let changes = [Override::strategy(strategy), Override::requests(requests)];
    Scenario::parse("squall", "squall.toml", &text, &changes).expect("a scenario")
}

fn traffic(scenario: &Scenario) -> Box<dyn Traffic> {
    let Arrivals::Made(rate) = scenario.arrivals else { panic!("Poisson arrivals") };
    let mix = Mix::new(scenario.classes.clone(), scenario.seed);
    let count = scenario.requests.expect("a limit");
    Box::new(OpenLoop::new(Poisson::new(rate, Time::MAX, count, scenario.seed, mix)))
}

fn collector(scenario: &Scenario) -> Collector {
    Collector::new(scenario.labels.clone(), &scenario.balancer, Watch::Report)
}

fn simulated(scenario: &Scenario) -> Summary {
    let parts = SimSpec {
        faults: scenario.faults.clone(),
        inter_token: scenario.inter_token,
        instances: scenario.instances,
        cold_starts: scenario.cold_starts.clone(),
        ..SimSpec::new(scenario.balancer.clone(), scenario.backends.clone())
    };
    let mut sim = Sim::new(parts, traffic(scenario)).expect("no trace");
    let mut collector = collector(scenario);
    let mut sink = |now: Time, event: &Event| collector.fold(now, event);
    while sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Handled {}
    collector.summary(sim.now(), true)
}

fn mock(scenario: &Scenario) -> Mock {
    let model = |index: usize| scenario.models[index].clone();
    let nodes = scenario.balancer.nodes.iter();
    let names =
        nodes.map(|node| NodeName { node: node.name.clone(), model: model(node.model.index()) });
    let parts = MockParts {
        seed: scenario.seed,
        names: names.collect(),
        backends: scenario.backends.clone(),
        groups: scenario.groups.clone(),
        faults: scenario.faults.clone(),
        fault_rules: Vec::new(),
        output: scenario.classes[0].output,
        limits: MockParts::LIMITS,
    };
    Mock::start(parts, None).expect("free ports")
}

/// Keeps the journal and the figures of a replay.
struct Recorder {
    journal: Writer<Vec<u8>>,
    collector: Collector,
    arrived: u64,
    settled: u64,
    dispatched: u64,
    ended: u64,
}

impl Observer for Recorder {
    fn record(&mut self, now: Time, input: &Input) {
        self.journal.input(now, input).expect("memory");
    }

    fn hear(&mut self, now: Time, event: &Event) {
        match event {
            Event::Arrived { .. } => self.arrived += 1,
            Event::Settled(_) => self.settled += 1,
            Event::Dispatched { .. } => self.dispatched += 1,
            Event::Ended { .. } => self.ended += 1,
            _ => {}
        }
        self.journal.event(now, event);
        self.collector.fold(now, event);
    }

    fn tick(&mut self, _now: Time, balancer: &Balancer) {
        plimsoll::balance::check(balancer).expect("every invariant holds");
    }
}

async fn replayed(scenario: Scenario) -> (Summary, Recorder, ReplayOutcome) {
    let mock = mock(&scenario);
    let endpoints: Vec<Endpoint> = mock
        .urls()
        .into_iter()
        .map(|url| Endpoint {
            url,
            key: None,
            dialect: Dialect::Openai,
            prefill: PrefillKind::default(),
            ca_file: None,
        })
        .collect();
    let second = Some(Duration::from_secs(1));
    let client =
        UpstreamClient::new(&endpoints, second, StreamPace { inter_token: second, floor: None })
            .expect("good endpoints");
    let asks = vec![Ask { model: "m".to_owned(), ignore_eos: false }; endpoints.len()];
    let parts = ReplayParts { config: scenario.balancer.clone(), client: Arc::new(client), asks };
    let header = Header::new("storm", scenario.balancer.clone());
    let mut recorder = Recorder {
        journal: Writer::new(Vec::new(), &header).expect("memory"),
        collector: collector(&scenario),
        arrived: 0,
        settled: 0,
        dispatched: 0,
        ended: 0,
    };
    let done = replay(parts, traffic(&scenario), &mut recorder, |_| {}).await;
    mock.stop().await;
    (recorder.collector.summary(done.end, done.complete), recorder, done)
}

/// What must hold of every replay.
fn lawful(strategy: &str, requests: u64, recorder: Recorder, done: &ReplayOutcome) {
    assert!(done.complete, "{strategy}");
    assert_eq!(
        (recorder.arrived, recorder.settled),
        (requests, requests),
        "{strategy}: conservation"
    );
    assert_eq!(recorder.dispatched, recorder.ended, "{strategy}: every attempt has its end");
    let journal = recorder.journal.finish().expect("memory");
    let verified = plimsoll::journal::replay(BufReader::new(journal.as_slice()), &mut |_, _| {});
    let verified = verified.unwrap_or_else(|error| panic!("{strategy}: {error}"));
    assert!(verified.inputs > requests * 2, "{strategy}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

fn share(summary: &Summary, node: usize) -> f64 {
    summary.nodes[node].share
}

/// (p50, p99, largest difference of a share) of a replay against its simulation, as differences.
fn differences(live: &Summary, simulated: &Summary) -> (f64, f64, f64) {
    let relative = |a: Option<f64>, b: Option<f64>| a.expect("samples") / b.expect("samples") - 1.0;
    let shares = (0..4).map(|node| (share(live, node) - share(simulated, node)).abs());
    (
        relative(live.latency_s.p50, simulated.latency_s.p50),
        relative(live.latency_s.p99, simulated.latency_s.p99),
        shares.fold(0.0, f64::max),
    )
}

#[test]
fn a_replay_of_every_strategy_through_a_storm_is_lawful() {
    let requests = 600;
    let start = |entry: &'static StrategyDef| {
        (entry.name, tokio::spawn(replayed(squall(entry.name, requests))))
    };
    runtime().block_on(async {
        // A few at a time: all at once would measure the machine they share.
        for some in usable().chunks(10) {
            let runs: Vec<_> = some.iter().map(start).collect();
            for (strategy, run) in runs {
                let (live, recorder, done) = run.await.expect("no panic");
                let simulated = simulated(&squall(strategy, requests));
                let (p50, p99, share) = differences(&live, &simulated);
                println!(
                    "{strategy}: completed {}, p50 {:+.1} %, p99 {:+.1} %, shares within {:.1} points",
                    live.requests.completed,
                    p50 * 100.0,
                    p99 * 100.0,
                    share * 100.0
                );
                lawful(strategy, requests, recorder, &done);
                assert!(live.attempts.retries > 0, "{strategy}: the storm is felt");
                let most = requests * 9 / 10;
                assert!(live.requests.completed > most, "{strategy}: {:?}", live.requests);
            }
        }
    });
}

/// What a run is held to: half of its requests and the slowest hundredth, and who served them.
const MEASURES: [&str; 6] = ["p50", "p99", "share 1", "share 2", "share 3", "share 4"];

fn measures(summary: &Summary) -> [f64; 6] {
    let latency = [summary.latency_s.p50, summary.latency_s.p99].map(|time| time.expect("samples"));
    let shares = |node| share(summary, node);
    [latency[0], latency[1], shares(0), shares(1), shares(2), shares(3)]
}

/// Means and standard deviations of what simulations of so many seeds measure.
fn spread(strategy: &str, seeds: u64) -> [(f64, f64); 6] {
    let seeded = |seed| {
        let changes =
            [Override::strategy(strategy), Override::requests(2_000), Override::seed(seed)];
        let scenario = Scenario::parse("storm", "storm.toml", STORM, &changes).expect("a scenario");
        measures(&simulated(&scenario))
    };
    let runs: Vec<[f64; 6]> = (1..=seeds).map(seeded).collect();
    std::array::from_fn(|at| {
        let mean = runs.iter().map(|run| run[at]).sum::<f64>() / seeds as f64;
        let square = runs.iter().map(|run| (run[at] - mean).powi(2)).sum::<f64>();
        (mean, (square / (seeds - 1) as f64).sqrt())
    })
}

/// Real time is one more draw of what a simulation is one of: it must lie among those of forty seeds,
/// within four standard deviations, and what sockets and a busy machine add.
#[test]
#[ignore = "compares durations: run by name on a quiet machine, takes two minutes"]
fn a_replay_lies_among_the_simulations_of_many_seeds() {
    let start = |entry: &'static StrategyDef| {
        (entry.name, tokio::spawn(replayed(scenario(entry.name, 2_000))))
    };
    let mut off = Vec::new();
    for some in usable().chunks(4) {
        let runs = runtime().block_on(async {
            let mut done = Vec::new();
            for (strategy, run) in some.iter().map(start).collect::<Vec<_>>() {
                done.push((strategy, run.await.expect("no panic")));
            }
            done
        });
        for (strategy, (live, recorder, done)) in runs {
            let (spread, live) = (spread(strategy, 40), measures(&live));
            let mut furthest = (0.0, "");
            for ((name, (mean, deviation)), real) in MEASURES.iter().zip(spread).zip(live) {
                // Durations may be longer by what is not simulated; half a point of share is nothing.
                let is_share = name.starts_with("share");
                let slack = if is_share { 0.005 } else { 0.03 * mean };
                let over = ((real - mean).abs() - slack).max(0.0);
                let deviations = over / deviation.max(1e-9);
                if deviations > furthest.0 {
                    furthest = (deviations, name);
                }
                if deviations > 4.0 {
                    off.push(format!(
                        "{strategy}: {name} {real:.3}, run {mean:.3} ± {deviation:.3}"
                    ));
                }
            }
            let [p50, p99, ..] = spread;
            println!(
                "| `{strategy}` | {:.3} ± {:.3} | {:.3} | {:.2} ± {:.2} | {:.2} | {:.1} {} |",
                p50.0, p50.1, live[0], p99.0, p99.1, live[1], furthest.0, furthest.1
            );
            lawful(strategy, 2_000, recorder, &done);
        }
    }
    assert!(off.is_empty(), "far from forty seeds: {off:#?}");
}
