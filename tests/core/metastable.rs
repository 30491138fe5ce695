//! Metastable failures (Bronson et al., HotOS 2021): a fleet that was well at its load must be well
//! again soon after a trigger is over, whatever it went through meanwhile.

use crate::common;
use std::cell::RefCell;

use crate::common::World;
use crate::common::attempts::{Laws, ms};
use plimsoll::balance::{
    Config, Event, Fate, LimiterLaw, LimiterSpec, PoolSpec, Retry, RouteSpec, Settled,
    StrategySpec, Timeouts,
};
use plimsoll::dist::Dist;
use plimsoll::node::{BackendSpec, FaultKind, FaultSpec, SlotsSpec};
use plimsoll::sim::{Sim, SimSpec, Step};
use plimsoll::unit::{ClassId, NodeId, PoolId, Ratio, Span, Time};
use plimsoll::workload::workflow::{OnFailure, StepContext, StepSpec};
use plimsoll::workload::{Jobs, Mix, Poisson, WorkflowSpec};

/// An answer that takes longer is of no use.
const USEFUL: Span = Span::from_secs(2);
/// 30 of 50 workers are gone from a minute on, for so many seconds.
const TRIGGER: u64 = 15;
/// So many seconds later all has to be well.
const PATIENCE: u64 = 60;

/// 50 workers of two requests a second each, with the balancer's defaults.
fn defaults(strategy: &str, rate: f64, seed: u64) -> World {
    let service = Dist::exponential(0.5).expect("a law");
    let mut world =
        World::new(50, strategy, &common::slots(1, service), rate, (rate * 210.0) as u64);
    let pools = vec![PoolSpec::new("pool", StrategySpec::named(strategy).expect("known"))];
    let routes = vec![RouteSpec { to: vec![PoolId(0)], ..RouteSpec::default() }];
    world.config = Config {
        seed,
        expected_output: world.config.expected_output.clone(),
        ..Config::new(pools, world.config.nodes.clone(), routes)
    };
    world.faults = vec![FaultSpec {
        at: ms(60_000),
        lasts: Some(Span::from_secs(TRIGGER)),
        kind: FaultKind::Crash,
        nodes: (20..50).map(NodeId).collect(),
    }];
    world
}

/// The shares of useful answers among requests of the last 40 seconds before the trigger, and of the
/// minute that begins when patience, in seconds after the trigger, ends.
fn goodput(world: &World, patience: u64) -> [f64; 2] {
    let from = 60 + TRIGGER + patience;
    let windows = [(20, 60), (from, from + 60)];
    let laws = RefCell::new(Laws::new(&world.config));
    let mut counts = [Count::default(); 2];
    world.run_with(
        |_, input| laws.borrow_mut().record(input),
        |now, event| {
            laws.borrow_mut().hear(now, event, None);
            let Event::Settled(settled) = event else { return };
            let in_time = now.since(settled.arrived) <= USEFUL;
            for (count, window) in counts.iter_mut().zip(windows) {
                count.add(window, settled, in_time);
            }
        },
        false,
    );
    let [before, after] = counts.map(Count::share);
    let strategy = world.config.pools[0].strategy.name();
    let (rate, seed, part) = (world.rate, world.config.seed, after / before);
    println!("{strategy} at {rate} % load, seed {seed}, {patience} s later: {part:.3} of before");
    [before, after]
}

/// Requests of a window and those of them that were of use.
#[derive(Clone, Copy, Default)]
struct Count {
    all: u32,
    good: u32,
}

impl Count {
    /// `window` in seconds.
    fn add(&mut self, window: (u64, u64), settled: &Settled, in_time: bool) {
        if (ms(window.0 * 1_000)..ms(window.1 * 1_000)).contains(&settled.arrived) {
            self.all += 1;
            self.good += u32::from(settled.fate == Fate::Completed && in_time);
        }
    }

    fn share(self) -> f64 {
        f64::from(self.good) / f64::from(self.all)
    }
}

/// Whoever looks at load comes back within a minute, whatever the seed.
#[test]
fn the_defaults_come_back_within_a_minute_at_70_and_80_per_cent_load() {
    for strategy in ["power_of_two", "least_connections", "peak_ewma", "smart"] {
        for (rate, seed) in [(70.0, 1), (70.0, 7), (80.0, 1), (80.0, 2), (80.0, 7)] {
            let [before, after] = goodput(&defaults(strategy, rate, seed), PATIENCE);
            assert!(after >= 0.95 * before, "{strategy} at {rate}, {seed}: {after} after {before}");
        }
    }
}

/// Round robin gives nodes that have thirty requests in line as many new ones as those that have none:
/// at 80 % load these lines need a minute and a half. That is slow, and no failure that lasts.
#[test]
fn the_defaults_come_back_with_a_blind_strategy_too() {
    for (rate, patience) in [(70.0, PATIENCE), (80.0, 3 * PATIENCE)] {
        for seed in [1, 2, 7] {
            let mut world = defaults("round_robin", rate, seed);
            world.requests = (rate * (150 + patience) as f64) as u64;
            let [before, after] = goodput(&world, patience);
            assert!(after >= 0.95 * before, "at {rate}, seed {seed}: {after} after {before}");
        }
    }
}

/// With a limiter the lines are here and not at the nodes, so that every node works on them.
#[test]
fn a_blind_strategy_comes_back_within_a_minute_with_a_limiter() {
    for (rate, seed) in [(70.0, 1), (70.0, 7), (80.0, 1), (80.0, 2), (80.0, 7)] {
        let mut world = defaults("round_robin", rate, seed);
        world.config.pools[0].limiter = Some(LimiterSpec::new(LimiterLaw::AIMD));
        let [before, after] = goodput(&world, PATIENCE);
        assert!(after >= 0.95 * before, "at {rate}, seed {seed}: {after} after {before}");
    }
}

/// Every attempt is given up after two seconds and tried three times more.
fn impatient(rate: f64, retry: Retry, deadline: Option<Span>) -> [f64; 2] {
    let mut world = defaults("power_of_two", rate, 7);
    let (base, cap) = (Span::from_millis(20), Span::from_millis(200));
    world.config.retry = Retry { base, cap, ..retry };
    world.config.timeouts = Timeouts { first_token: Some(USEFUL), silence: None, total: None };
    // After the usual rests, which are short, it comes back whatever is tried again.
    world.config.health.eject_base = Span::from_secs(5);
    world.class.deadline = deadline;
    goodput(&world, PATIENCE)
}

/// The recipe by policy, with rests long enough that nodes are gone which others' retries made late. What keeps such a fleet down is work for attempts whose request was given
/// up long ago: a budget bounds it, and a deadline that retries inherit ends it.
#[test]
fn retries_without_budget_and_deadline_never_let_it_come_back() {
    let retries =
        |budget| Retry { attempts: 4, budget: Ratio::from_f64(budget), ..Retry::default() };
    for rate in [70.0, 80.0] {
        let [before, after] = impatient(rate, retries(1.0), None);
        assert!(before > 0.85 && after < 0.5, "neither, at {rate}: {after} after {before}");
        let [before, after] = impatient(rate, retries(0.2), Some(USEFUL));
        assert!(after >= 0.95 * before, "both, at {rate}: {after} after {before}");
    }
    let [before, after] = impatient(70.0, retries(0.2), None);
    assert!(after >= 0.95 * before, "a budget at 70: {after} after {before}");
    let none = Retry { attempts: 1, ..Retry::default() };
    let [before, after] = impatient(70.0, none, None);
    assert!(after >= 0.95 * before, "no retries at 70: {after} after {before}");
}

/// Jobs that have two to six documents read, on four readers of eight at a time who are slow for a
/// minute; a document that is not read within twenty seconds is asked for once more. Returns the
/// shares of documents read before the trigger and from a minute after it on. `rate` is in jobs a second;
/// 5.1 are all that the readers can do.
fn claims(rate: f64, seed: u64, change: impl Fn(&mut Config)) -> [f64; 2] {
    let step = StepSpec {
        back_to: None,
        name: "documents".to_owned(),
        class: ClassId(0),
        after: Vec::new(),
        fan_out: Dist::uniform(1.5, 6.5).expect("a law"),
        deadline: Some(Span::from_secs(20)),
        retries: 1,
        on_failure: OnFailure::Skip,
        rounds: Dist::constant(1.0).expect("a law"),
        calls: Vec::new(),
        context: StepContext::Fresh,
    };
    let (name, deadline) = ("claim".to_owned(), Some(Span::from_secs(90)));
    let flow = WorkflowSpec { name, share: 1.0, deadline, steps: vec![step] };
    let service = Dist::lognormal_quantiles(1.2, 4.0).expect("a law");
    let spec = SlotsSpec { servers: 8, queue: 200, service, per_item: Span::ZERO };
    let strategy = StrategySpec::named("least_connections").expect("known");
    let pools = vec![PoolSpec::new("documents", strategy)];
    let routes = vec![RouteSpec { to: vec![PoolId(0)], ..RouteSpec::default() }];
    let mut config = Config::new(pools, (0..4).map(common::node).collect(), routes);
    change(&mut config);
    let fault = FaultSpec {
        at: ms(120_000),
        lasts: Some(Span::from_secs(60)),
        kind: FaultKind::Slow(2.5),
        nodes: (0..4).map(NodeId).collect(),
    };
    let parts =
        SimSpec { faults: vec![fault], ..SimSpec::new(config, vec![BackendSpec::Slots(spec); 4]) };
    let classes = vec![common::class()];
    let jobs = (rate * 400.0) as u64;
    let starts = Poisson::new(rate, Time::MAX, jobs, seed, Mix::new(classes.clone(), seed));
    let jobs = Jobs::new(starts, vec![flow], classes, seed);
    let mut sim = Sim::new(parts, Box::new(jobs)).expect("a process does not fail");
    let mut counts = [Count::default(); 2];
    let mut sink = |_: Time, event: &Event| {
        let Event::Settled(settled) = event else { return };
        counts[0].add((30, 120), settled, true);
        counts[1].add((240, 400), settled, true);
    };
    while sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Handled {}
    counts.map(Count::share)
}

#[test]
fn jobs_come_back_within_a_minute_with_the_defaults() {
    for (load, seed) in [0.7, 0.8].into_iter().flat_map(|load| [1, 2, 3].map(|s| (load, s))) {
        let [before, after] = claims(load * 5.1, seed, |config| config.seed = seed);
        assert!(after >= 0.95 * before, "at {load}, seed {seed}: {after} after {before}");
    }
}

/// A second case: a time limit for one attempt of half the deadline lets half-done work be thrown
/// away twice, by the balancer and then by the job. Either of two rules ends that: the job's second try
/// takes from the balancer's budget, or no try begins that cannot end.
#[test]
fn documents_come_back_where_no_work_is_thrown_away_twice() {
    let [before, after] = claims(3.3, 7, |_| {});
    assert!(before > 0.99 && after > 0.95, "the defaults: {after} after {before}");
    let tight = |config: &mut Config| {
        config.timeouts.first_token = Some(Span::from_secs(10));
        config.retry.base = Span::from_millis(100);
        config.retry.clients = false;
        config.health.consecutive = 3;
        // Short rests heal it as well.
        config.health.eject_base = Span::from_secs(20);
        // One request at a time for nodes that come back lets the others end: that heals it too.
        config.health.recovery.half_open = false;
        config.health.recovery.silence = false;
    };
    let [_, after] = claims(3.3, 7, tight);
    assert!(after < 0.8, "{after} with a limit of half the deadline");
    let [_, after] = claims(3.3, 7, |config| {
        tight(config);
        config.retry.minimum_useful = Span::from_secs(10);
    });
    assert!(after > 0.95, "{after} with a least useful time");
    let [_, after] = claims(3.3, 7, |config| {
        tight(config);
        config.retry.clients = true;
    });
    assert!(after > 0.95, "{after} with a budget for the job's tries too");
}
