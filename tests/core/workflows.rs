//! Jobs on a simulated fleet: closed forms, conservation, exact cost, determinism, journals.

use crate::common;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::BufReader;

use plimsoll::balance::{
    Config, Event, Fate, JobFate, JobPhase, Limits, Prices, REGISTRY, StrategySpec,
};
use plimsoll::dist::Dist;
use plimsoll::journal::{Header, Writer, replay};
use plimsoll::metrics::{Collector, Labels, Summary, Watch, WorkflowLabel};
use plimsoll::node::{ApiSpec, BackendSpec, ErrorAnswer, FaultKind, FaultSpec};
use plimsoll::sim::{NetworkSpec, Sim, SimSpec, Step};
use plimsoll::unit::{ClassId, NodeId, Price, Ratio, RegionId, Span, Time};
use plimsoll::workload::workflow::{CallSpec, OnFailure, StepContext, StepSpec};
use plimsoll::workload::{ClassSpec, Jobs, Mix, Origin, OriginShares, Poisson, WorkflowSpec};

fn law(value: f64) -> Dist {
    Dist::constant(value).expect("a law")
}

fn step(name: &str, after: &[u16], fan_out: f64) -> StepSpec {
    StepSpec {
        back_to: None,
        name: name.to_owned(),
        class: ClassId(0),
        after: after.to_vec(),
        fan_out: law(fan_out),
        deadline: None,
        retries: 0,
        on_failure: OnFailure::Fail,
        rounds: law(1.0),
        calls: Vec::new(),
        context: StepContext::Fresh,
    }
}

/// Jobs on a fleet.
struct World {
    config: Config,
    backends: Vec<BackendSpec>,
    faults: Vec<FaultSpec>,
    flows: Vec<WorkflowSpec>,
    rate: f64,
    jobs: u64,
    network: Option<NetworkSpec>,
}

impl World {
    /// Servers that never keep anyone waiting; service is exponential with mean one.
    fn uncontended(steps: Vec<StepSpec>, jobs: u64) -> World {
        let service = Dist::exponential(1.0).expect("a mean");
        World {
            config: common::config(1, "random", 7),
            backends: vec![common::slots(1_000_000, service)],
            faults: Vec::new(),
            flows: vec![flow("flow", 1.0, steps)],
            rate: 50.0,
            jobs,
            network: None,
        }
    }

    fn labels(&self) -> Labels {
        let label = |flow: &WorkflowSpec| WorkflowLabel {
            name: flow.name.clone(),
            steps: flow.steps.iter().map(|step| step.name.clone()).collect(),
        };
        let workflows = self.flows.iter().map(label).collect();
        Labels { workflows, ..common::labels(&self.config, &self.backends) }
    }

    fn sim(&self) -> Sim {
        let regions = OriginShares::new(&[(RegionId(1), 1.0)]);
        let origin = Origin { regions, ..Origin::default() };
        let classes = vec![ClassSpec { origin, ..common::class() }];
        let mix = Mix::new(classes.clone(), 7);
        let starts = Poisson::new(self.rate, Time::MAX, self.jobs, 7, mix);
        let parts = SimSpec {
            faults: self.faults.clone(),
            inter_token: Some(Span::from_secs(5)),
            network: self.network.clone(),
            ..SimSpec::new(self.config.clone(), self.backends.clone())
        };
        let jobs = Jobs::new(starts, self.flows.clone(), classes, 7);
        Sim::new(parts, Box::new(jobs)).expect("a process does not fail")
    }

    fn collector(&self) -> Collector {
        Collector::new(self.labels(), &self.config, Watch::Report)
    }

    fn run(&self, mut watch: impl FnMut(Time, &Event)) -> Summary {
        let (mut sim, mut collector) = (self.sim(), self.collector());
        let mut sink = |now: Time, event: &Event| {
            watch(now, event);
            collector.fold(now, event);
        };
        while sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Handled {
            // Its cost grows with the requests under way, and calm weather proves little.
            if !self.faults.is_empty() {
                plimsoll::balance::check(sim.balancer()).expect("every invariant holds");
            }
        }
        collector.summary(sim.now(), true)
    }
}

fn flow(name: &str, share: f64, steps: Vec<StepSpec>) -> WorkflowSpec {
    WorkflowSpec { name: name.to_owned(), share, deadline: None, steps }
}

/// Hosted models with prices, limits and every kind of fault; two workflows with every policy.
fn stormy(strategy: &str) -> World {
    let spec = ApiSpec {
        ttft: Dist::lognormal_quantiles(0.3, 1.0).expect("a law"),
        tokens_per_second: Dist::uniform(60.0, 90.0).expect("a law"),
    };
    let mut config = common::config(4, strategy, 5);
    let limits = Limits {
        concurrency: Some(12),
        requests_per_minute: Some(600),
        tokens_per_minute: Some(300_000),
    };
    let backends = vec![BackendSpec::Api(spec, limits); 4];
    for node in &mut config.nodes {
        node.limits = limits;
        node.prices = Prices {
            input: Price::from_dollars(2.5),
            cached_input: Price::from_dollars(1.25),
            output: Price::from_dollars(10.0),
        };
    }
    // Long enough that some jobs run out of time.
    config.health.eject_base = Span::from_secs(30);
    config.timeouts.first_token = Some(Span::from_secs(2));
    config.timeouts.total = Some(Span::from_secs(15));
    config.queue.max = 30;
    config.queue.max_wait = Some(Span::from_secs(2));
    config.retry.attempts = 2;
    // Where a node that hangs is found out early, hardly any job is too late.
    config.health.recovery.silence = false;
    config.health.recovery.half_open = false;
    let fault = |at, lasts, kind, node| FaultSpec {
        at: Time::ZERO + Span::from_secs(at),
        lasts: Some(Span::from_secs(lasts)),
        kind,
        nodes: vec![NodeId(node)],
    };
    let faults = vec![
        fault(10, 20, FaultKind::Crash, 0),
        fault(15, 20, FaultKind::Hang, 1),
        fault(30, 40, FaultKind::Slow(4.0), 2),
        fault(40, 30, FaultKind::Errors(Ratio::from_f64(0.5), ErrorAnswer::ServerError), 3),
    ];
    let mut research = step("research", &[0], 1.0);
    research.fan_out = Dist::uniform(0.5, 4.5).expect("a law");
    let calls = |most| CallSpec {
        class: ClassId(0),
        count: Dist::uniform(0.0, most).expect("a law"),
        think: Dist::exponential(0.5).expect("a law"),
    };
    research.calls = vec![calls(1.5), calls(1.0)];
    research.rounds = Dist::uniform(0.5, 2.5).expect("a law");
    (research.deadline, research.on_failure) = (Some(Span::from_secs(8)), OnFailure::Skip);
    let mut write = step("write", &[0, 1], 1.0);
    (write.retries, write.context) = (2, StepContext::Grow);
    let mut report = flow("report", 0.7, vec![step("plan", &[], 1.0), research, write]);
    report.deadline = Some(Span::from_secs(20));
    let brittle = flow("brittle", 0.3, vec![step("all", &[], 3.0), step("end", &[0], 1.0)]);
    World {
        config,
        backends,
        faults,
        flows: vec![report, brittle],
        rate: 2.5,
        jobs: 250,
        network: None,
    }
}

#[track_caller]
fn assert_near(what: &str, simulated: Option<f64>, exact: f64, within: f64) {
    let simulated = simulated.expect("there are samples");
    let error = simulated / exact - 1.0;
    println!("{what}: simulated {simulated:.4}, exact {exact:.4}, off by {:.2} %", error * 100.0);
    assert!(error.abs() < within, "{what}: simulated {simulated}, exact {exact}");
}

/// A sum of k exponentials is Erlang: mean k, and for k = 3 the tail is
/// e^-x (1 + x + x^2 / 2) = 0.01 at x = 8.40595.
#[test]
fn steps_in_a_row_take_an_erlang_time() {
    let steps = vec![step("a", &[], 1.0), step("b", &[0], 1.0), step("c", &[1], 1.0)];
    let summary = World::uncontended(steps, 40_000).run(|_, _| {});
    let jobs = summary.jobs.expect("there are jobs");
    assert_eq!((jobs.jobs.completed, jobs.requests_per_job), (40_000, Some(3.0)));
    assert_near("Erlang-3 mean", jobs.latency_s.mean, 3.0, 0.01);
    assert_near("Erlang-3 p99", jobs.latency_s.p99, 8.405_95, 0.03);
    assert_near("one step", summary.workflows[0].steps[1].latency_s.mean, 1.0, 0.015);
}

/// The longest of n exponentials has mean 1 + 1/2 + ... + 1/n, and is below x with probability
/// (1 - e^-x)^n.
#[test]
fn a_join_waits_for_the_slowest() {
    for n in [2_i32, 5] {
        let steps = vec![step("all", &[], f64::from(n))];
        let summary = World::uncontended(steps, 40_000).run(|_, _| {});
        let jobs = summary.jobs.expect("there are jobs");
        let harmonic: f64 = (1..=n).map(|k| 1.0 / f64::from(k)).sum();
        assert_near(&format!("longest of {n}, mean"), jobs.latency_s.mean, harmonic, 0.01);
        let p99 = -(1.0 - 0.99_f64.powf(1.0 / f64::from(n))).ln();
        assert_near(&format!("longest of {n}, p99"), jobs.latency_s.p99, p99, 0.03);
    }
}

/// Four calls of mean one and three pauses of mean two: 4 + 3 * 2.
#[test]
fn nested_calls_add_up() {
    let mut agent = step("agent", &[], 1.0);
    let think = Dist::exponential(2.0).expect("a mean");
    agent.calls = vec![CallSpec { class: ClassId(0), count: law(3.0), think }];
    let summary = World::uncontended(vec![agent], 30_000).run(|_, _| {});
    let jobs = summary.jobs.expect("there are jobs");
    assert_eq!(jobs.requests_per_job, Some(4.0));
    assert_near("calls and pauses", jobs.latency_s.mean, 10.0, 0.01);
}

/// Two rounds in the mean, each a call of its own, two of one class and one of another: 2 * (4 + 2 + 3).
#[test]
fn rounds_of_several_calls_add_up() {
    let mut agent = step("agent", &[], 1.0);
    let calls = |count, think| {
        let think = Dist::exponential(think).expect("a mean");
        CallSpec { class: ClassId(0), count: law(count), think }
    };
    agent.calls = vec![calls(2.0, 1.0), calls(1.0, 3.0)];
    agent.rounds = Dist::uniform(0.5, 3.5).expect("a law");
    let expected: f64 = agent_requests(&agent);
    let summary = World::uncontended(vec![agent], 30_000).run(|_, _| {});
    let jobs = summary.jobs.expect("there are jobs");
    assert_near("requests a job", jobs.requests_per_job, 8.0, 0.01);
    assert_near("requests as the specification has them", Some(expected), 8.0, 1e-9);
    assert_near("rounds", jobs.latency_s.mean, 18.0, 0.01);
    let step = &summary.workflows[0].steps[0];
    assert_eq!((step.runs, step.instances), (30_000, 30_000), "a step is over once");
    assert_eq!(step.requests, summary.requests.arrived);
    assert_eq!(step.latency_s, jobs.latency_s, "all rounds belong to the step");
}

/// What a job of this step alone asks in the mean.
fn agent_requests(step: &StepSpec) -> f64 {
    flow("flow", 1.0, vec![step.clone()]).requests().map(|(_, count)| count).sum()
}

/// An exponential service exceeds a deadline of twice its mean with probability e^-2.
#[test]
fn jobs_end_at_their_deadline() {
    let mut world = World::uncontended(vec![step("only", &[], 1.0)], 20_000);
    world.flows[0].deadline = Some(Span::from_secs(2));
    let mut late = 0_u64;
    let summary = world.run(|now, event| {
        if let Event::Job(news) = event
            && matches!(news.what, JobPhase::Ended { fate: JobFate::TimedOut, .. })
        {
            late += 1;
            assert_eq!(now.since(news.started), Span::from_secs(2));
        }
    });
    let jobs = summary.jobs.expect("there are jobs").jobs;
    assert_eq!((jobs.timed_out, jobs.failed, jobs.in_flight), (late, late, 0));
    assert_near("late", Some(late as f64 / 20_000.0), (-2.0_f64).exp(), 0.06);
}

#[test]
fn every_job_ends_once_and_its_requests_and_costs_add_up() {
    let mut timed_out = 0;
    for entry in REGISTRY {
        let mut fates: BTreeMap<u64, (u64, JobFate)> = BTreeMap::new();
        let mut started = 0_u64;
        let mut arrived: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut cost, mut cancelled) = (0_u128, 0_u64);
        let summary = stormy(entry.name).run(|_, event| match event {
            Event::Job(news) => match news.what {
                JobPhase::Started => started += 1,
                JobPhase::StepOver { .. } => assert!(!fates.contains_key(&news.job), "not over"),
                JobPhase::Ended { fate, requests } => {
                    assert!(fates.insert(news.job, (requests, fate)).is_none(), "one end");
                }
            },
            Event::Arrived { job, .. } => {
                let job = job.expect("every request is of a job").job;
                assert!(!fates.contains_key(&job), "a job that is over asks nothing");
                *arrived.entry(job).or_default() += 1;
            }
            Event::Settled(settled) => cancelled += u64::from(settled.fate == Fate::Cancelled),
            Event::Ended { cost: this, .. } => cost += this.0,
            _ => {}
        });
        assert_eq!((started, fates.len()), (250, 250), "{}", entry.name);
        for (job, (requests, _)) in &fates {
            assert_eq!(arrived[job], *requests);
        }
        let jobs = summary.jobs.expect("there are jobs");
        let of = |wanted: fn(&JobFate) -> bool| {
            fates.values().filter(|(_, fate)| wanted(fate)).count() as u64
        };
        assert_eq!(jobs.jobs.completed, of(|fate| *fate == JobFate::Completed));
        assert_eq!(jobs.jobs.timed_out, of(|fate| *fate == JobFate::TimedOut));
        assert_eq!(jobs.jobs.completed + jobs.jobs.failed, 250);
        assert!(jobs.jobs.failed > jobs.jobs.timed_out && cancelled > 0, "{:?}", jobs.jobs);
        assert!(jobs.jobs.completed > 100, "{:?}", jobs.jobs);
        timed_out += jobs.jobs.timed_out;
        // To the pico-dollar, failed attempts and cancelled jobs included.
        let dollars = plimsoll::unit::Cost(cost).dollars();
        assert_eq!((jobs.cost_usd.total, summary.cost_usd.tokens), (dollars, dollars));
        let requests: u64 = arrived.values().sum();
        assert_eq!(summary.requests.arrived, requests);
        let steps = summary.workflows.iter().flat_map(|flow| &flow.steps);
        assert_eq!(steps.clone().map(|step| step.requests).sum::<u64>(), requests);
        let by_step: f64 = steps.clone().map(|step| step.cost_usd).sum();
        assert!((by_step / dollars - 1.0).abs() < 1e-9);
        assert!(steps.map(|step| step.skipped).sum::<u64>() > 0);
        let split: u64 = summary.workflows.iter().map(|flow| flow.all.jobs.started).sum();
        assert_eq!(split, 250);
    }
    assert!(timed_out > 0, "a few are late, if not with every strategy");
}

#[test]
fn the_journal_of_jobs_replays_to_the_same_figures() {
    let world = stormy("power_of_two");
    let (mut sim, mut collector) = (world.sim(), world.collector());
    let header = Header::new("jobs", world.config.clone());
    let journal = RefCell::new(Writer::new(Vec::new(), &header).expect("memory"));
    let mut record = |now, input: &_| journal.borrow_mut().input(now, input).expect("memory");
    let mut sink = |now, event: &Event| {
        journal.borrow_mut().event(now, event);
        collector.fold(now, event);
    };
    while sim.step(&mut record, &mut sink).expect("no trace") == Step::Handled {}
    let summary = collector.summary(sim.now(), true);
    let text = journal.into_inner().finish().expect("memory");
    let mut again = world.collector();
    replay(BufReader::new(text.as_slice()), &mut |now, event: &Event| again.fold(now, event))
        .expect("it replays");
    assert_eq!(again.summary(sim.now(), true), summary);
    assert_eq!(world.run(|_, _| {}), summary, "the same seed gives the same run");
}

#[test]
fn another_strategy_sees_the_same_jobs() {
    // Without failures every job asks all it ever would, in whatever order.
    let asked = |strategy: &str| {
        let mut world = stormy(strategy);
        world.faults.clear();
        world.config.timeouts.first_token = None;
        world.config.timeouts.total = None;
        world.config.queue.max_wait = None;
        world.config.queue.max = u32::MAX;
        for (node, backend) in world.config.nodes.iter_mut().zip(&mut world.backends) {
            node.limits = Limits::default();
            if let BackendSpec::Api(_, limits) = backend {
                *limits = Limits::default();
            }
        }
        for flow in &mut world.flows {
            flow.deadline = None;
            flow.steps.iter_mut().for_each(|step| step.deadline = None);
        }
        let mut asked = Vec::new();
        world.run(|_, event| {
            if let Event::Arrived { job: Some(at), prompt, .. } = event {
                asked.push((at.job, at.workflow, at.step, *prompt));
            }
        });
        asked.sort_unstable();
        asked
    };
    let one = asked("round_robin");
    assert!(one.len() > 1_000);
    assert_eq!(asked("peak_ewma"), one);
    assert!(StrategySpec::named("peak_ewma").is_some());
}

#[test]
fn what_started_in_warm_up_counts_for_nothing() {
    let world = stormy("random");
    let mut labels = world.labels();
    labels.warmup = Time::ZERO + Span::from_secs(30);
    let mut collector = Collector::new(labels, &world.config, Watch::Report);
    let mut sim = world.sim();
    let mut late = 0_u64;
    let mut sink = |now: Time, event: &Event| {
        if let Event::Job(news) = event {
            let counts = news.started >= Time::ZERO + Span::from_secs(30);
            late += u64::from(counts && news.what == JobPhase::Started);
        }
        collector.fold(now, event);
    };
    while sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Handled {}
    let jobs = collector.summary(sim.now(), true).jobs.expect("there are jobs").jobs;
    assert_eq!((jobs.started, jobs.completed + jobs.failed), (late, late));
    assert!((100..250).contains(&late));
}

/// Whoever is far away cancels late: a request may come in after its job is over, and is paid for.
#[test]
fn jobs_from_afar_are_paid_for_to_the_last_attempt() {
    let mut world = stormy("random");
    // Who is turned away at the door fails at once, while others are still on their way.
    world.config.queue.max = 1;
    let rtt = vec![Span::ZERO, Span::from_millis(800)];
    world.network = Some(NetworkSpec { rtt, jitter: 0.5 });
    let (mut over, mut after, mut cost) = (BTreeMap::new(), 0_u64, 0_u128);
    let summary = world.run(|_, event| match event {
        Event::Job(news) => {
            if let JobPhase::Ended { requests, .. } = news.what {
                over.insert(news.job, requests);
            }
        }
        Event::Arrived { job: Some(step), .. } => after += u64::from(over.contains_key(&step.job)),
        Event::Ended { cost: this, .. } => cost += this.0,
        _ => {}
    });
    assert!(after > 0, "some requests come in too late");
    assert_eq!(summary.requests.arrived, over.values().sum::<u64>());
    let jobs = summary.jobs.expect("there are jobs");
    assert_eq!(jobs.jobs.completed + jobs.jobs.failed, 250);
    let dollars = plimsoll::unit::Cost(cost).dollars();
    assert_eq!((jobs.cost_usd.total, summary.cost_usd.tokens), (dollars, dollars));
    assert_eq!(summary.requests.in_flight, 0);
}
