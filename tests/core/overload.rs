//! Shedding by criticality and degradation, in simulation: what matters least goes first,
//! capacity is not wasted, nothing flaps, and what was given up comes back.

use crate::common::{class, class_labels, config, finish, labels, slots};
use plimsoll::balance::{
    Config, DegradeLevel, DegradeSpec, End, Event, Fate, HedgeAfter, HedgeSpec, Limits, NoHedge,
    PoolSpec, Priority, Queue, Reject, RouteSpec, Settled, ShedSpec, StrategySpec,
};
use plimsoll::dist::Dist;
use plimsoll::metrics::{Collector, Labels, Slo, Summary, Watch};
use plimsoll::node::{ApiSpec, BackendSpec, FaultKind, FaultSpec};
use plimsoll::sim::{Sim, SimSpec};
use plimsoll::unit::{NodeId, PoolId, Ratio, Span, Time, Tokens};
use plimsoll::workload::{ClassSpec, Mix, OpenLoop, Poisson};

/// Ten nodes, each of which serves one request a second, and classes of these shares.
struct World {
    config: Config,
    backend: BackendSpec,
    classes: Vec<ClassSpec>,
    faults: Vec<FaultSpec>,
    rate: f64,
    requests: u64,
}

impl World {
    fn new(shares: [f64; 4], rate: f64, requests: u64) -> World {
        let mut config = config(10, "least_connections", 7);
        config.nodes.iter_mut().for_each(|node| node.limits.concurrency = Some(1));
        config.queue = Queue { max: 1_000, max_wait: None };
        let of = |(priority, share): (Priority, f64)| ClassSpec {
            name: priority.name().to_owned(),
            share,
            priority,
            deadline: Some(Span::from_secs(20)),
            ..class()
        };
        let classes: Vec<ClassSpec> = Priority::ALL
            .into_iter()
            .zip(shares)
            .filter(|(_, share)| *share > 0.0)
            .map(of)
            .collect();
        config.expected_output = vec![Tokens(100); classes.len()];
        let backend = slots(1, Dist::exponential(1.0).expect("a mean"));
        World { config, backend, classes, faults: Vec::new(), rate, requests }
    }

    /// Runs it, every invariant checked after every input, and lets somebody watch.
    fn run(&self, watch: impl FnMut(Time, &Event)) -> Summary {
        let seed = self.config.seed;
        let backends = vec![self.backend.clone(); self.config.nodes.len()];
        let mix = Mix::new(self.classes.clone(), seed);
        let source = Poisson::new(self.rate, Time::MAX, self.requests, seed, mix);
        let faults = self.faults.clone();
        let parts = SimSpec { faults, ..SimSpec::new(self.config.clone(), backends.clone()) };
        let mut sim = Sim::new(parts, Box::new(OpenLoop::new(source))).expect("no trace");
        let slo = Slo { total: Some(Span::from_secs(20)), ..Slo::default() };
        let classes = class_labels(&self.classes, slo);
        let labels = Labels { classes, ..labels(&self.config, &backends) };
        let collector = Collector::new(labels, &self.config, Watch::Report);
        let summary = finish(&mut sim, collector, |_, _| {}, watch, true);
        let counts = summary.requests;
        assert_eq!(counts.arrived, self.requests);
        assert_eq!(counts.in_flight, 0);
        summary
    }
}

fn goodput(summary: &Summary) -> f64 {
    summary.goodput.requests_per_s.expect("a span")
}

/// Three times what can be served: the least important are shed first, and capacity goes on being
/// used, whether there is a mix of everything or of one class alone.
#[test]
fn the_lowest_are_shed_first_and_goodput_stays() {
    for shares in [[1.0; 4], [0.1, 0.0, 0.0, 0.9], [0.0, 0.0, 0.0, 1.0]] {
        let mut world = World::new(shares, 9.8, 20_000);
        world.config.shed = Some(ShedSpec::default());
        let saturated = goodput(&world.run(|_, _| {}));
        world.rate = 30.0;
        let (mut order, mut shed) = (Vec::new(), [0_u64; 4]);
        let names: Vec<Priority> = world.classes.iter().map(|class| class.priority).collect();
        let summary = world.run(|_, event| match event {
            Event::Shedding { priority, on: true, .. } if !order.contains(priority) => {
                order.push(*priority);
            }
            Event::Settled(Settled { class, fate: Fate::Rejected(Reject::Shed), .. }) => {
                shed[names[class.index()] as usize] += 1;
            }
            _ => {}
        });
        let overloaded = goodput(&summary);
        assert!(overloaded >= 0.9 * saturated, "{shares:?}: {overloaded} of {saturated}");
        assert!(order.is_sorted_by(|a, b| a > b) && order[0] == Priority::Sheddable, "{order:?}");
        assert!(shed[0] == 0 && shed[3] > 0, "{shed:?}");
        let kept: Vec<f64> =
            summary.classes.iter().filter_map(|class| class.goodput.slo_attainment).collect();
        assert!(kept.is_sorted_by(|a, b| a >= b), "{kept:?}");
        assert!(shares[0] == 0.0 || kept[0] > 0.99, "{kept:?}");
        assert_eq!(summary.unserved["shed under load"], shed.iter().sum::<u64>());
    }
}

/// Without limits nobody waits here; that first tokens take long tells. What a critical class keeps
/// varies by seed, so several are asked.
#[test]
fn nodes_without_limits_are_not_flooded() {
    let mut world = World::new([1.0; 4], 30.0, 10_000);
    world.config.nodes.iter_mut().for_each(|node| node.limits.concurrency = None);
    let flooded = world.run(|_, _| {});
    world.config.shed = Some(ShedSpec::default());
    let summary = world.run(|_, _| {});
    let (before, after) = (goodput(&flooded), goodput(&summary));
    assert!(after > 0.9 * before, "{before} without, {after} with");
    let critical = |of: &Summary| of.classes[0].goodput.slo_attainment.expect("some ended");
    let (before, after) = (critical(&flooded), critical(&summary));
    assert!(before < 0.5 && after > 0.9, "{before} without, {after} with");
    let kept = (20..40).map(|seed| {
        world.config.seed = seed;
        critical(&world.run(|_, _| {}))
    });
    let kept: Vec<f64> = kept.collect();
    let mean = kept.iter().sum::<f64>() / kept.len() as f64;
    assert!(mean > 0.9 && kept.iter().all(|kept| *kept > 0.8), "{kept:?} with");
}

/// A hosted model's first tokens vary much, and take no longer for what is sent: of an easy load
/// at most two in a hundred are shed (three, where chance is not taken off).
#[test]
fn chance_is_no_overload() {
    let mut world = World::new([1.0; 4], 3.6, 1_000);
    world.config.nodes.truncate(2);
    world.config.nodes.iter_mut().for_each(|node| node.limits.concurrency = None);
    world.config.shed = Some(ShedSpec::default());
    let ttft = Dist::weibull(1.2, 0.75).expect("a shape");
    let hosted = ApiSpec { ttft, tokens_per_second: Dist::constant(116.0).expect("a rate") };
    world.backend = BackendSpec::Api(hosted, Limits::default());
    let shed = (20..40).map(|seed| {
        world.config.seed = seed;
        world.run(|_, _| {}).unserved.get("shed under load").copied().unwrap_or(0)
    });
    let shed: Vec<u64> = shed.collect();
    assert!(shed.iter().sum::<u64>() < 400, "{shed:?} of 1,000 each");
}

fn ladder() -> DegradeSpec {
    DegradeSpec { max_tokens: Tokens(64), ..DegradeSpec::default() }
}

/// Nodes are five times slower for two minutes.
fn slowed() -> World {
    let mut world = World::new([1.0; 4], 6.0, 3_000);
    world.config.degrade = Some(ladder());
    let after = HedgeAfter::Fixed(Span::from_millis(1_500));
    let (budget, saturation) = (Ratio::ONE, Ratio::ONE);
    world.config.hedge =
        Some(HedgeSpec { after, budget, saturation, prompt_max: None, paid: true });
    world.faults.push(FaultSpec {
        at: Time::ZERO + Span::from_secs(60),
        lasts: Some(Span::from_secs(120)),
        kind: FaultKind::Slow(5.0),
        nodes: (0..10).map(NodeId).collect(),
    });
    world
}

#[test]
fn the_ladder_is_climbed_and_come_down_in_order() {
    let world = slowed();
    let mut walked: Vec<(Time, DegradeLevel, DegradeLevel)> = Vec::new();
    let (mut degraded_by, mut long, mut denied) = ([0_u64; 7], 0, 0);
    let summary = world.run(|now, event| match event {
        Event::DegradeLevel { from, to, saturation, threshold, .. } => {
            assert_eq!(to > from, saturation >= threshold);
            walked.push((now, *from, *to));
        }
        Event::HedgeDenied { reason: NoHedge::Degraded, .. } => denied += 1,
        Event::Settled(settled) => {
            degraded_by[settled.degraded_by as usize] += 1;
            let clamped =
                settled.degraded_by == DegradeLevel::Clamp && settled.fate == Fate::Completed;
            long += u64::from(clamped && settled.usage.output > Tokens(64));
            if settled.fate == Fate::Rejected(Reject::Shed) {
                assert!(settled.degraded_by >= DegradeLevel::Shed, "it says why");
            }
        }
        _ => {}
    });
    assert_eq!(long, 0, "a clamped answer is not longer");
    assert!(denied > 0 && walked.len() < 60, "{denied} hedges, {} steps", walked.len());
    let mut at = DegradeLevel::Calm;
    let mut last = None;
    for (when, from, to) in &walked {
        assert_eq!(*from, at, "steps follow each other");
        assert_eq!((*from as u8).abs_diff(*to as u8), 1, "no rung is left out");
        let stood = last.map_or(Span::MAX, |last| when.since(last));
        assert!(stood >= ladder().stay, "{from:?} was stood on for {stood}");
        (at, last) = (*to, Some(*when));
    }
    assert_eq!(at, DegradeLevel::Calm, "what was given up comes back: {walked:?}");
    for level in [DegradeLevel::Queue, DegradeLevel::Shed, DegradeLevel::Clamp] {
        assert!(degraded_by[level as usize] > 0, "{level:?}: {degraded_by:?}");
    }
    // At this load the nodes are full for a moment now and then, and hedges are in the way.
    let high = walked.iter().filter(|(_, from, _)| *from >= DegradeLevel::Shed);
    let high = high.map(|(when, ..)| *when).max();
    let over = Time::ZERO + Span::from_secs(240);
    assert!(high.is_some_and(|high| high < over), "a minute after the fault: {high:?}");
    let told = summary.overload.expect("there is a ladder");
    assert_eq!(told.changes.len(), walked.len());
    let counted: u64 = told.levels.iter().map(|level| level.requests).sum();
    assert_eq!(counted, degraded_by[1..].iter().sum::<u64>());
}

#[test]
fn the_same_run_climbs_the_same_rungs() {
    let world = slowed();
    assert_eq!(world.run(|_, _| {}), world.run(|_, _| {}));
}

/// Where a load swings around a threshold, a level is stood on for as long as it must.
#[test]
fn nothing_flaps() {
    let mut world = World::new([1.0; 4], 9.5, 6_000);
    world.config.degrade = Some(ladder());
    let mut steps = 0;
    let summary =
        world.run(|_, event| steps += u32::from(matches!(event, Event::DegradeLevel { .. })));
    let most = summary.simulated_s / ladder().stay.seconds();
    assert!(steps > 0 && f64::from(steps) <= most, "{steps} steps of {most}");
}

/// The second pool of a route comes first while the level lasts, and says so.
#[test]
fn the_next_pool_comes_first_on_its_rung() {
    let mut world = World::new([1.0; 4], 9.0, 2_000);
    let strategy = StrategySpec::named("random").expect("it is listed");
    world.config.pools.push(PoolSpec::new("cheap", strategy));
    world.config.nodes.iter_mut().skip(5).for_each(|node| node.pool = PoolId(1));
    world.config.routes =
        vec![RouteSpec { to: vec![PoolId(0), PoolId(1)], ..RouteSpec::default() }];
    let mut at = [None; 6];
    at[4] = Some(Ratio::from_f64(0.5));
    world.config.degrade = Some(DegradeSpec { at, stay: Span::from_secs(1), ..ladder() });
    let (mut on, mut second, mut degraded) = (false, [0_u64; 2], 0);
    world.run(|_, event| match event {
        Event::DegradeLevel { to, .. } => {
            assert!(matches!(to, DegradeLevel::Calm | DegradeLevel::Cheaper), "{to:?} is left out");
            on = *to == DegradeLevel::Cheaper;
        }
        Event::Dispatched { why, .. } if why.pool == PoolId(1) => second[usize::from(on)] += 1,
        Event::Settled(settled) if settled.degraded_by == DegradeLevel::Cheaper => {
            assert!(settled.degraded || settled.fate != Fate::Completed);
            assert_ne!(settled.fate, Fate::Failed(End::Done));
            degraded += 1;
        }
        _ => {}
    });
    assert_eq!(degraded, second[1]);
    assert!(degraded > 100, "{second:?}");
}
