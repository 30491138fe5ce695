//! Laws of autoscaling and of batching: how soon a fleet follows a step, that it rests under a constant
//! load, what idle nodes cost, when a batch leaves and how many it serves.

use crate::common;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::BufReader;

use crate::common::World;
use plimsoll::balance::{
    BatchSpec, Config, End, Event, Input, Limits, NodeState, ScaleSpec, Target,
};
use plimsoll::dist::Dist;
use plimsoll::journal::{Header, Writer, replay};
use plimsoll::metrics::{Collector, Summary, Watch};
use plimsoll::node::{FaultKind, FaultSpec};
use plimsoll::sim::{Sim, SimSpec, Step};
use plimsoll::unit::{NodeId, Ratio, Span, Time};
use plimsoll::workload::{Mix, OpenLoop, Poisson, Process};

fn at(second: u64) -> Time {
    Time::ZERO + Span::from_secs(second)
}

fn group(max: u32, start: u32, target: Target) -> ScaleSpec {
    ScaleSpec {
        name: "group".to_owned(),
        nodes: (0..max).map(NodeId).collect(),
        start,
        min: 1,
        max,
        target,
        every: Span::from_secs(15),
        down_after: Span::from_secs(120),
        up_max: Ratio::ONE,
        down_max: Ratio(250_000),
        tolerance: Ratio(100_000),
        advise: false,
    }
}

/// Nodes of eight servers, a second of service, 90 s to start.
fn world(max: u32, start: u32, target: Target, requests: u64) -> World {
    let service = Dist::constant(1.0).expect("a law");
    let backend = common::slots(8, service);
    let mut world = World::new(max as usize, "least_connections", &backend, 1.0, requests);
    for node in &mut world.config.nodes {
        node.limits = Limits { concurrency: Some(8), ..Limits::default() };
        node.hourly = 3_600_000_000;
    }
    world.config.scale = vec![group(max, start, target)];
    world.cold_starts = vec![Dist::constant(90.0).expect("a law"); max as usize];
    world
}

/// A run with other arrivals; every invariant is checked after every input.
fn run(world: &World, process: Process, watch: impl FnMut(Time, &Event)) -> Summary {
    run_recorded(world, process, |_, _| {}, watch)
}

fn run_recorded(
    world: &World,
    process: Process,
    mut record: impl FnMut(Time, &Input),
    mut watch: impl FnMut(Time, &Event),
) -> Summary {
    let seed = world.config.seed;
    let mix = Mix::new(vec![world.class.clone()], seed);
    let source = Poisson::new(process, Time::MAX, world.requests, seed, mix);
    let parts = SimSpec {
        faults: world.faults.clone(),
        cold_starts: world.cold_starts.clone(),
        ..SimSpec::new(world.config.clone(), world.backends.clone())
    };
    let mut sim = Sim::new(parts, Box::new(OpenLoop::new(source))).expect("it does not fail");
    let labels = common::labels(&world.config, &world.backends);
    let mut collector = Collector::new(labels, &world.config, Watch::Report);
    let mut sink = |now: Time, event: &Event| {
        watch(now, event);
        collector.fold(now, event);
    };
    while sim.step(&mut record, &mut sink).expect("no trace") == Step::Handled {
        plimsoll::balance::check(sim.balancer()).expect("every invariant holds");
    }
    let totals = sim.balancer().totals();
    assert_eq!(totals.arrived, totals.settled);
    assert_eq!(totals.dispatched, totals.ended);
    assert_eq!(totals.area, totals.sojourn, "Little's law in integers");
    collector.summary(sim.now(), true)
}

/// States of nodes over time, kept by events; no work goes to one that is not up.
#[derive(Default)]
struct Watcher {
    states: BTreeMap<NodeId, NodeState>,
    up: Vec<(Time, usize)>,
    scaled: Vec<(Time, u32, u32)>,
}

impl Watcher {
    fn new(config: &Config) -> Watcher {
        let states = (0..config.nodes.len()).map(|node| (NodeId(node as u32), NodeState::Up));
        let mut states: BTreeMap<_, _> = states.collect();
        for node in config.scale.iter().flat_map(ScaleSpec::off_at_start) {
            states.insert(*node, NodeState::Off);
        }
        Watcher { states, ..Watcher::default() }
    }

    fn hear(&mut self, now: Time, event: &Event) {
        match event {
            Event::NodeState { node, to, .. } => {
                self.states.insert(*node, *to);
                let up = self.states.values().filter(|state| **state == NodeState::Up).count();
                self.up.push((now, up));
            }
            Event::Dispatched { node, .. } => {
                assert_eq!(self.states[node], NodeState::Up, "only what is up gets work");
            }
            Event::Scaled { from, to, .. } => self.scaled.push((now, *from, *to)),
            _ => {}
        }
    }
}

#[test]
fn a_step_is_followed_within_a_look_and_a_cold_start() {
    // Little: 12 a second for a second are 12 in flight; three times as many are 36. Six a node.
    let world = world(12, 2, Target::InFlight(6), 30_000);
    let process = Process::steps(&[(12.0, 0.0), (36.0, 600.0)]).expect("steps");
    let mut watcher = Watcher::new(&world.config);
    let summary = run(&world, process, |now, event| watcher.hear(now, event));
    assert_eq!(summary.requests.completed, 30_000);
    let before = watcher.up.iter().rev().find(|(now, _)| *now < at(600)).map(|(_, up)| *up);
    assert!(before.is_none_or(|up| (2..=3).contains(&up)), "12 in flight need two: {before:?}");
    // Two looks: growth is at most twofold a step; then the start.
    let followed = watcher.up.iter().find(|(now, up)| *now >= at(600) && *up >= 6);
    let (when, _) = followed.expect("it follows");
    assert!(*when <= at(600 + 2 * 15 + 90), "six nodes are up at {when}");
    assert!(summary.groups[0].nodes_most >= 6);
}

#[test]
fn a_fleet_rests_under_a_constant_load() {
    for target in [
        Target::InFlight(6),
        Target::TokensInFlight(plimsoll::unit::Tokens(2_400)),
        Target::Queue(4),
        Target::Ttft(Span::from_millis(1_500)),
    ] {
        let mut world = world(16, 8, target, 60_000);
        // A second of service for everyone, arrivals in step: nothing varies but the draws of length.
        world.class.prompt = Dist::constant(300.0).expect("a law");
        world.class.output = Dist::constant(100.0).expect("a law");
        world.config.expected_output = vec![plimsoll::unit::Tokens(100)];
        let process = Process::gamma(24.0, 0.05).expect("a process");
        let mut watcher = Watcher::new(&world.config);
        let summary = run(&world, process, |now, event| watcher.hear(now, event));
        // A symptom has to be met once before it is known: later it may shrink, never grow again.
        let load = matches!(target, Target::InFlight(_) | Target::TokensInFlight(_));
        let late =
            watcher.scaled.iter().filter(|(now, from, to)| *now > at(1_500) && (load || to > from));
        assert_eq!(late.count(), 0, "{target:?}: {:?}", watcher.scaled);
        let last = summary.groups[0].nodes_last;
        assert!((3..=8).contains(&last), "{target:?}: 24 in flight, {last} nodes");
        assert_eq!(summary.requests.completed, 60_000);
    }
}

#[test]
fn a_group_grows_from_nothing_and_goes_back_to_it() {
    let mut world = world(4, 1, Target::InFlight(4), 40);
    world.config.scale[0].min = 0;
    world.config.scale[0].start = 0;
    let process = Process::steps(&[(4.0, 0.0), (0.001, 10.0)]).expect("steps");
    let mut watcher = Watcher::new(&world.config);
    let summary = run(&world, process, |now, event| watcher.hear(now, event));
    assert_eq!(summary.requests.completed, 40, "who comes to an empty fleet waits");
    assert_eq!(summary.groups[0].nodes_least, 0);
    assert!(watcher.scaled.iter().any(|(_, from, to)| *from == 0 && *to == 1));
    assert!(watcher.scaled.iter().any(|(_, _, to)| *to == 0), "and back to nothing");
    let first = watcher.up.iter().find(|(_, up)| *up == 1).expect("it starts");
    assert_eq!(first.0, at(15 + 90), "a look and a cold start");
}

#[test]
fn a_start_on_a_crashed_node_begins_again_and_ejected_nodes_are_replaced() {
    let mut world = world(6, 2, Target::InFlight(6), 20_000);
    let fault = |from, lasts, node| FaultSpec {
        at: at(from),
        lasts: Some(Span::from_secs(lasts)),
        kind: FaultKind::Crash,
        nodes: vec![NodeId(node)],
    };
    // Node 0 crashes under load; the one that takes its place is crashed as well, for a while.
    world.faults = vec![fault(100, 400, 0), fault(100, 150, 2)];
    let process = Process::poisson(11.0).expect("a process");
    let mut watcher = Watcher::new(&world.config);
    let mut ejected = false;
    let summary = run(&world, process, |now, event| {
        watcher.hear(now, event);
        ejected |= matches!(event, Event::NodeState { to: NodeState::Ejected, .. });
        if let Event::NodeState { node: NodeId(2), to: NodeState::Up, .. } = event {
            assert!(now > at(250), "it starts when it is healed");
        }
        if let Event::NodeState { node: NodeId(0), from: NodeState::Ejected, to, .. } = event {
            assert_eq!(*to, NodeState::Probing, "an ejected node is not switched off as idle");
        }
    });
    assert!(ejected, "the crash is noticed");
    assert!(watcher.scaled.iter().any(|(now, from, to)| *now > at(100) && to > from));
    assert!(summary.requests.completed > 19_900);
}

#[test]
fn idle_nodes_cost_what_they_cost_to_the_last_digit() {
    // Two nodes, a dollar a second. One request at a time, of a second: least connections breaks ties
    // by draws, so what is fixed is the sum.
    let mut world = world(2, 2, Target::InFlight(1), 10);
    world.config.scale[0].min = 2;
    let process = Process::gamma(0.1, 0.01).expect("a process");
    let (mut busy, mut open, mut since) = (0_u64, 0_u32, Time::ZERO);
    let summary = run(&world, process, |now, event| match event {
        Event::Dispatched { .. } => {
            assert_eq!(open, 0, "one at a time");
            (open, since) = (1, now);
        }
        Event::Ended { .. } => {
            open = 0;
            busy += now.since(since).0;
        }
        _ => {}
    });
    assert_eq!(busy, 10_000_000_000, "ten seconds of work");
    let hours = summary.hours.expect("hours are counted");
    let end = summary.simulated_s;
    assert!((hours.node_hours - 2.0 * end / 3_600.0).abs() < 1e-12);
    assert!((hours.idle_hours - (2.0 * end - 10.0) / 3_600.0).abs() < 1e-12);
    assert!((hours.idle_usd - (2.0 * end - 10.0) * 1.0).abs() < 1e-9, "{}", hours.idle_usd);
    assert!((summary.cost_usd.hours - 2.0 * end).abs() < 1e-9);
}

#[test]
fn the_same_seed_scales_the_same_way_and_the_journal_replays() {
    let text = || {
        let mut world = world(8, 2, Target::InFlight(5), 6_000);
        world.cold_starts = vec![Dist::lognormal_quantiles(60.0, 120.0).expect("a law"); 8];
        world.config.pools[0].batch = Some(BatchSpec { size: 3, window: Span::from_millis(40) });
        world.config.timeouts.total = Some(Span::from_secs(30));
        let process = Process::steps(&[(8.0, 0.0), (30.0, 60.0), (5.0, 150.0)]).expect("steps");
        let header = Header::new("scale", world.config.clone());
        let journal = RefCell::new(Writer::new(Vec::new(), &header).expect("memory"));
        let mut events = Vec::new();
        run_recorded(
            &world,
            process,
            |now, input| journal.borrow_mut().input(now, input).expect("memory"),
            |now, event| {
                journal.borrow_mut().event(now, event);
                events.push(format!("{now:?} {event:?}"));
            },
        );
        (events, journal.into_inner().finish().expect("memory"))
    };
    let ((events, journal), (again, _)) = (text(), text());
    assert_eq!(events, again);
    assert!(events.iter().any(|event| event.contains("Scaled")));
    assert!(events.iter().any(|event| event.contains("Batch")));
    let mut replayed = Vec::new();
    let mut sink = |now: Time, event: &Event| replayed.push(format!("{now:?} {event:?}"));
    replay(BufReader::new(journal.as_slice()), &mut sink).expect("it replays");
    assert_eq!(replayed, events, "the journal is the run");
}

/// One node of one server that takes 100 ms for a batch and 5 ms for each further request.
fn batching(size: u32, requests: u64) -> World {
    let service = Dist::constant(0.1).expect("a law");
    let mut backend = common::slots(1, service);
    if let plimsoll::node::BackendSpec::Slots(spec) = &mut backend {
        spec.per_item = Span::from_millis(5);
    }
    let mut world = World::new(1, "round_robin", &backend, 1.0, requests);
    world.config.pools[0].batch = Some(BatchSpec { size, window: Span::from_millis(50) });
    world
}

#[test]
fn full_batches_are_served_at_their_size_by_their_time() {
    let world = batching(8, 8_000);
    let process = Process::poisson(500.0).expect("a process");
    let mut sizes = Vec::new();
    let summary = run(&world, process, |_, event| {
        if let Event::Batch { members, .. } = event {
            sizes.push(*members);
        }
    });
    assert_eq!(summary.requests.completed, 8_000);
    assert!(sizes.iter().all(|size| *size == 8), "arrivals are quicker than the window");
    // 1,000 batches of 100 ms + 7 x 5 ms one after the other, after the first was gathered.
    let span = summary.simulated_s - 1_000.0 * 0.135;
    assert!((0.0..0.1).contains(&span), "{span}");
    assert_eq!(summary.pools[0].batches.expect("it batches").mean_size, Some(8.0));
}

#[test]
fn a_lone_request_waits_for_exactly_the_window() {
    let world = batching(8, 20);
    let process = Process::gamma(1.0, 0.01).expect("a process");
    let mut came = BTreeMap::new();
    let summary = run(&world, process, |now, event| match event {
        Event::Arrived { request, .. } => drop(came.insert(*request, now)),
        Event::Dispatched { attempt, .. } => {
            assert_eq!(now.since(came[&attempt.request]), Span::from_millis(50));
        }
        Event::Ended { dispatched, .. } => {
            assert_eq!(now.since(*dispatched), Span::from_millis(100), "alone it costs no more");
        }
        _ => {}
    });
    assert_eq!(summary.requests.completed, 20);
    assert_eq!(summary.pools[0].batches.expect("it batches").mean_size, Some(1.0));
}

#[test]
fn a_batch_of_one_is_no_batching_bit_for_bit() {
    let events = |batch: Option<BatchSpec>| {
        let mut world = batching(1, 2_000);
        world.config.pools[0].batch = batch;
        let mut events = Vec::new();
        let process = Process::poisson(9.0).expect("a process");
        run(&world, process, |now, event| events.push(format!("{now:?} {event:?}")));
        events
    };
    let one = BatchSpec { size: 1, window: Span::from_millis(50) };
    assert_eq!(events(Some(one)), events(None));
}

#[test]
fn deadlines_limits_and_faults_work_inside_batches() {
    let mut world = batching(6, 6_000);
    world.config.nodes.push(common::node(1));
    world.config.nodes.push(common::node(2));
    world.backends = vec![world.backends[0].clone(); 3];
    // Less room than a batch on one, exactly one batch on the second.
    world.config.nodes[0].limits.concurrency = Some(4);
    world.config.nodes[1].limits.concurrency = Some(6);
    world.config.timeouts.total = Some(Span::from_millis(600));
    world.config.queue.max = 40;
    world.config.queue.max_wait = Some(Span::from_millis(300));
    world.faults = vec![
        FaultSpec {
            at: at(5),
            lasts: Some(Span::from_secs(10)),
            kind: FaultKind::Crash,
            nodes: vec![NodeId(1)],
        },
        FaultSpec {
            at: at(20),
            lasts: Some(Span::from_secs(10)),
            kind: FaultKind::Hang,
            nodes: vec![NodeId(0), NodeId(2)],
        },
    ];
    let mut in_flight = [0_u32; 3];
    let mut overdue = 0;
    let process = Process::poisson(90.0).expect("a process");
    let summary = run(&world, process, |_, event| match event {
        Event::Dispatched { node, .. } => {
            in_flight[node.index()] += 1;
            assert!(in_flight[0] <= 4 && in_flight[1] <= 6, "limits hold: {in_flight:?}");
        }
        Event::Ended { node, end, .. } => {
            in_flight[node.index()] -= 1;
            overdue += u64::from(matches!(end, End::TimedOut(_)));
        }
        _ => {}
    });
    assert_eq!(in_flight, [0; 3]);
    assert!(overdue > 0, "some deadline passed on a node that hangs");
    let requests = summary.requests;
    assert!(requests.completed > 3_500, "{requests:?}");
    assert_eq!(requests.completed + requests.failed + requests.rejected, 6_000);
}
