//! Laws of faults and of the health checker: what every strategy may rely on.

use crate::common;
use std::collections::{BTreeMap, VecDeque};

use crate::common::story::{RESET, Story, attempt, usage};
use crate::common::{World, constant, exponential, node, slots};
use plimsoll::balance::{
    Action, Attempt, Balancer, Cause, End, Event, Failure, FleetChange, Input, Mark, NodeState,
    Outcome, OutlierSettings, ProbeResult, REGISTRY, Request, RouteSpec, Settled, Tier, Usage,
};
use plimsoll::dist::Dist;
use plimsoll::metrics::{Collector, Summary, Watch};
use plimsoll::node::fault::{FAULTS, FaultPattern, ParamValue, ParamValues};
use plimsoll::node::{BackendSpec, Cut, ErrorAnswer, FaultKind, FaultRule, FaultSpec};
use plimsoll::sim::{Sim, SimSpec, Step};
use plimsoll::unit::{NodeId, PoolId, Ratio, RequestId, Span, Time, Tokens};
use plimsoll::workload::{Mix, OpenLoop, Poisson};

fn at(seconds: u64) -> Time {
    Time::ZERO + Span::from_secs(seconds)
}

/// A hosted model: half a second to the first token, fifty a second.
fn hosted() -> BackendSpec {
    common::hosted(constant(0.5), constant(50.0))
}

fn fault(from: u64, lasts: Option<u64>, kind: FaultKind, nodes: &[u32]) -> FaultSpec {
    let nodes = nodes.iter().map(|node| NodeId(*node)).collect();
    FaultSpec { at: at(from), lasts: lasts.map(Span::from_secs), kind, nodes }
}

/// Runs a world with rules of faults to its end, checking every invariant.
fn play(
    world: &World,
    rules: Vec<FaultRule>,
    connect: Option<Span>,
    mut watch: impl FnMut(Time, &Event),
) -> Summary {
    let seed = world.config.seed;
    let mix = Mix::new(vec![world.class.clone()], seed);
    let source = Poisson::new(world.rate, Time::MAX, world.requests, seed, mix);
    let parts = SimSpec {
        faults: world.faults.clone(),
        fault_rules: rules,
        connect,
        inter_token: world.inter_token,
        ..SimSpec::new(world.config.clone(), world.backends.clone())
    };
    let mut sim = Sim::new(parts, Box::new(OpenLoop::new(source))).expect("no trace");
    let labels = common::labels(&world.config, &world.backends);
    let mut collector = Collector::new(labels, &world.config, Watch::Report);
    let mut sink = |now: Time, event: &Event| {
        watch(now, event);
        collector.fold(now, event);
    };
    while sim.step(&mut |_, _| {}, &mut sink).expect("no trace") == Step::Handled {
        plimsoll::balance::check(sim.balancer()).expect("every invariant holds");
    }
    collector.summary(sim.now(), true)
}

#[test]
fn a_hung_node_gets_nothing_after_one_first_token_timeout() {
    for entry in REGISTRY {
        let mut world = World::new(16, entry.name, &hosted(), 60.0, 3_000);
        world.config.timeouts.first_token = Some(Span::from_secs(5));
        world.faults = vec![fault(10, None, FaultKind::Hang, &[3])];
        let mut last = Time::ZERO;
        world.run_with(
            |_, _| {},
            |now, event| {
                if matches!(event, Event::Dispatched { node: NodeId(3), .. }) {
                    last = now;
                }
            },
            false,
        );
        // A timeout counts from the first request that was sent to the node after it hung.
        assert!(last <= at(10) + Span::from_millis(6_500), "{}: until {last}", entry.name);
    }
}

/// Follows the states of nodes and asserts what always holds of them.
struct Follower {
    states: Vec<NodeState>,
    /// When a node was ejected, and the pause it got.
    ejected: Vec<Option<Time>>,
    base: Span,
    most: usize,
    panic: u64,
}

impl Follower {
    fn new(world: &World) -> Follower {
        let nodes = world.config.nodes.len();
        let most = (world.config.health.max_share.of(nodes as u64)).max(1) as usize;
        Follower {
            states: vec![NodeState::Up; nodes],
            ejected: vec![None; nodes],
            base: world.config.health.eject_base,
            most,
            panic: 0,
        }
    }

    fn hear(&mut self, now: Time, event: &Event) {
        match event {
            Event::Dispatched { node, why, .. } => {
                let up = self.states[node.index()] == NodeState::Up;
                assert_eq!(why.panic, !up, "only panic sends anything to a node that is not up");
                self.panic += u64::from(why.panic);
            }
            Event::NodeState { node, from, to, cause } => {
                use NodeState::{CoolingDown, Draining, Ejected, Probing, Up};
                assert_eq!(self.states[node.index()], *from);
                let legal = matches!(
                    (from, to),
                    (Up, CoolingDown | Ejected | Draining)
                        | (CoolingDown, Up | Draining)
                        | (Ejected, Up | Probing | Draining)
                        | (Probing, Up | Ejected | Draining)
                        | (Draining, Up)
                );
                assert!(legal, "{from:?} to {to:?} by {cause:?}");
                self.states[node.index()] = *to;
                if *to == Ejected {
                    self.ejected[node.index()] = Some(now);
                } else if *to == Probing {
                    let since = self.ejected[node.index()].expect("it was ejected");
                    assert!(now.since(since) >= self.base, "no ejection is brought forward");
                }
                let out = self.states.iter().filter(|state| state.is_ejected()).count();
                // What is dead is out all the same.
                let worse = matches!(
                    cause,
                    Cause::SuccessRate(..)
                        | Cause::FailureShare(_)
                        | Cause::SlowShare(..)
                        | Cause::Silent(_)
                );
                assert!(!worse || out <= self.most, "{out} are out, {} may be", self.most);
            }
            _ => {}
        }
    }
}

/// Faults of every kind, again and again, at random.
fn storm() -> Vec<FaultRule> {
    let kinds = [
        FaultKind::Crash,
        FaultKind::Hang,
        FaultKind::BlackHole,
        FaultKind::ColdStart,
        FaultKind::Gray(Ratio(500_000), 10.0),
        FaultKind::Errors(Ratio(500_000), ErrorAnswer::Status(502)),
        FaultKind::Errors(Ratio(700_000), ErrorAnswer::Status(401)),
        FaultKind::Errors(Ratio(700_000), ErrorAnswer::RateLimited(None)),
        FaultKind::Cut(Ratio(300_000), Cut::Stall, 5),
        FaultKind::Drain,
    ];
    let rule = |kind| FaultRule {
        kind,
        nodes: (0..8).map(NodeId).collect(),
        count: Some(2),
        from: Time::ZERO,
        until: Time::MAX,
        at_once: false,
        every: Dist::weibull(40.0, 0.7).expect("a law"),
        lasts: Dist::lognormal_quantiles(5.0, 20.0).expect("a law"),
    };
    kinds.into_iter().map(rule).collect()
}

#[test]
fn in_any_storm_ejected_nodes_get_nothing_and_states_follow_their_rules() {
    for (seed, name) in ["round_robin", "least_connections", "smart"].into_iter().enumerate() {
        for panic in [false, true] {
            let mut world = World::new(8, name, &hosted(), 12.0, 2_500);
            world.config.seed = seed as u64;
            world.config.timeouts.first_token = Some(Span::from_secs(3));
            let health = &mut world.config.health;
            health.consecutive = 3;
            health.eject_base = Span::from_secs(5);
            health.probe_every = Some(Span::from_secs(2));
            health.recovery.outlier = Some(OutlierSettings {
                slow: Some(Ratio(3_000_000)),
                ..OutlierSettings::default()
            });
            health.recovery.slow_start = Some(Span::from_secs(10));
            health.recovery.probation = Some(2);
            health.recovery.credential = Some(Span::from_secs(10));
            if panic {
                health.max_share = Ratio::ONE;
                health.recovery.panic = Some(Ratio(700_000));
            }
            let mut follower = Follower::new(&world);
            let connect = Some(Span::from_secs(1));
            let summary = play(&world, storm(), connect, |now, event| follower.hear(now, event));
            assert_eq!(summary.attempts.panic, follower.panic, "{name}: panic is counted");
            assert!(panic || follower.panic == 0, "{name}: {}", follower.panic);
            let requests = summary.requests;
            assert_eq!(requests.arrived, requests.completed + requests.failed + requests.rejected);
        }
    }
}

#[test]
fn what_breaks_does_not_depend_on_the_strategy() {
    let marks = |name: &str| {
        let world = World::new(8, name, &hosted(), 12.0, 1_000);
        let mut marks = Vec::new();
        play(&world, storm(), None, |now, event| {
            if let Event::Mark(Mark { nodes, phase, what, .. }) = event
                && now < at(60)
            {
                marks.push((now, nodes.clone(), *phase, what.clone()));
            }
        });
        marks
    };
    let first = marks("round_robin");
    assert!(first.len() > 10, "{}", first.len());
    assert_eq!(first, marks("least_connections"));
}

#[test]
fn panic_never_widens_what_must_hold() {
    // Half of the nodes have the tag; all of those fail.
    let mut world = World::new(8, "round_robin", &hosted(), 10.0, 600);
    for node in &mut world.config.nodes[..4] {
        node.tags = 1;
    }
    world.config.routes =
        vec![RouteSpec { to: vec![PoolId(0)], require: 1, ..RouteSpec::default() }];
    world.config.health.max_share = Ratio::ONE;
    world.config.health.recovery.panic = Some(Ratio(600_000));
    world.config.queue.max_wait = Some(Span::from_secs(5));
    let errors = FaultKind::Errors(Ratio::ONE, ErrorAnswer::ServerError);
    world.faults = vec![fault(5, Some(30), errors, &[0, 1, 2, 3])];
    let mut panics = 0;
    play(&world, Vec::new(), None, |_, event| {
        if let Event::Dispatched { node, why, .. } = event {
            assert!(node.0 < 4, "a node without the tag");
            panics += u32::from(why.panic);
        }
    });
    assert!(panics > 0);
}

#[test]
fn half_open_lets_one_request_through() {
    let mut world = World::new(4, "round_robin", &hosted(), 10.0, 1_500);
    world.config.health.eject_base = Span::from_secs(5);
    world.config.health.eject_cap = Span::from_secs(20);
    // Probes pass, requests fail: only a request can tell.
    let errors = FaultKind::Errors(Ratio::ONE, ErrorAnswer::ServerError);
    world.faults = vec![fault(10, Some(80), errors, &[2])];
    let (mut back, mut tries, mut returned) = (false, Vec::new(), false);
    play(&world, Vec::new(), None, |now, event| match event {
        Event::NodeState { node: NodeId(2), to, .. } => {
            back = *to == NodeState::Up;
            if back {
                tries.push(0);
            }
            returned |= back && now > at(90);
        }
        Event::Dispatched { node: NodeId(2), .. } if back && now < at(90) => {
            *tries.last_mut().expect("it came back") += 1;
        }
        _ => {}
    });
    assert!(tries.len() >= 4 && returned, "{tries:?}");
    // The last one came back for good.
    let (_, failed) = tries.split_last().expect("some");
    assert!(failed.iter().all(|count| *count == 1), "{tries:?}");
}

#[test]
fn refused_credentials_rest_and_clients_mistakes_are_nobodys_fault() {
    let run = |answer| {
        let mut world = World::new(4, "round_robin", &hosted(), 20.0, 10_000);
        world.config.health.recovery.credential = Some(Span::from_secs(60));
        world.faults = vec![fault(0, None, FaultKind::Errors(Ratio::ONE, answer), &[1])];
        let mut changes = Vec::new();
        let summary = play(&world, Vec::new(), None, |_, event| {
            if let Event::NodeState { to, cause, .. } = event {
                changes.push((*to, *cause));
            }
        });
        (summary.nodes[1].attempts, changes)
    };
    for answer in [
        ErrorAnswer::Status(401),
        ErrorAnswer::Status(403),
        ErrorAnswer::SpendCap(429),
        ErrorAnswer::SpendCap(400),
    ] {
        let (attempts, changes) = run(answer);
        assert!(changes.iter().all(|(to, _)| !to.is_ejected()), "{answer:?}: {changes:?}");
        assert!(matches!(changes[0].1, Cause::Credential(_)), "{changes:?}");
        // 500 s, pauses of 60, 120, 240 s; what was under way when the first was refused comes along.
        assert!(attempts <= 10, "{answer:?}: {attempts} attempts");
    }
}

#[test]
fn a_gray_node_loses_its_share_and_the_sooner_the_worse_it_is() {
    let found = |share: f64, kind: &dyn Fn(Ratio) -> FaultKind, outlier| {
        let mut world = World::new(8, "round_robin", &hosted(), 24.0, 6_000);
        world.config.health.recovery.outlier = outlier;
        // Five failures in a row happen by chance.
        world.config.health.consecutive = u32::MAX;
        world.faults = vec![fault(60, None, kind(Ratio::from_f64(share)), &[5])];
        let mut when = None;
        play(&world, Vec::new(), None, |now, event| {
            if let Event::NodeState { node, to: NodeState::Ejected, .. } = event {
                assert_eq!(*node, NodeId(5), "the others are well");
                when = when.or(Some(now.since(at(60)).seconds()));
            }
        });
        when
    };
    let outlier =
        Some(OutlierSettings { slow: Some(Ratio(3_000_000)), ..OutlierSettings::default() });
    let fails = |share| FaultKind::Errors(share, ErrorAnswer::ServerError);
    let slow = |share| FaultKind::Gray(share, 10.0);
    assert_eq!(found(0.2, &fails, None), None, "nobody else notices");
    // Three requests a second: a window of fifty is seventeen seconds.
    let mut before: f64 = f64::MAX;
    for (share, most) in [(0.3, 40.0), (0.5, 20.0), (0.9, 15.0)] {
        let time = found(share, &fails, outlier).expect("it is found");
        assert!(time <= before.min(most), "{share}: {time} s");
        before = time;
        let time = found(share, &slow, outlier).expect("it is found");
        assert!(time <= most + 15.0, "{share} slow: {time} s");
    }
}

#[test]
fn a_new_node_never_gets_twice_its_share_while_it_starts() {
    for entry in REGISTRY {
        let mut world = World::new(8, entry.name, &slots(1, exponential(1.0)), 1.0, 1);
        world.config.health.recovery.slow_start = Some(Span::from_secs(30));
        world.config.health.recovery.probation = Some(2);
        let mut balancer = Balancer::new(world.config);
        let mut ends: VecDeque<(Time, Attempt)> = VecDeque::new();
        let (mut own, mut all) = (0_u64, 0_u64);
        let mut proved = false;
        for id in 0..2_000_u64 {
            let now = Time::ZERO + Span::from_millis(id * 20);
            if id == 500 {
                balancer.handle(now, Input::Fleet(FleetChange::Add(Box::new(node(8)))));
            }
            while let Some((end, attempt)) = ends.front().copied().filter(|(end, _)| *end <= now) {
                ends.pop_front();
                let before = balancer.fleet().nodes().get(8).map(|node| node.ledger.requests);
                balancer.handle(end.max(now), Input::Finish(attempt, Outcome::Done(Usage::NONE)));
                proved |= before > balancer.fleet().nodes().get(8).map(|node| node.ledger.requests);
            }
            let request = Request {
                session: Some(id % 997),
                prompt: Tokens(100),
                ..Request::new(RequestId(id), now)
            };
            let effects = balancer.handle(now, Input::Arrive(request));
            for action in &effects.actions {
                if let Action::Dispatch { attempt, node, .. } = action {
                    ends.push_back((now + Span::from_secs(1), *attempt));
                    if id >= 500 {
                        all += 1;
                        own += u64::from(*node == NodeId(8));
                    }
                }
            }
            let fair = all as f64 / 9.0;
            assert!(own as f64 <= 2.0 * fair + 3.0, "{}: {own} of {all} after {id}", entry.name);
            // Answers take a second: until the first of them it is on trial.
            if !proved && id >= 500 {
                let there = balancer.fleet().nodes()[8].ledger.requests;
                assert!(there <= 2, "{}: {there} at a time", entry.name);
            }
        }
        assert!(own > 0, "{}: it is used", entry.name);
    }
}

#[test]
fn every_fault_of_the_catalogue_keeps_the_books() {
    for def in FAULTS {
        let mut values = ParamValues::default();
        match def.name {
            "slow" => values.set("ttft", ParamValue::Number(5.0)),
            "capacity" => values.set("concurrency", ParamValue::Whole(1)),
            "probes" => values.set("say", ParamValue::Word(1)),
            "reports" => values.set("are", ParamValue::Word(2)),
            "price" => values.set("input", ParamValue::Number(5.0)),
            _ => {}
        }
        for backend in [hosted(), slots(2, exponential(0.5))] {
            let mut world = World::new(4, "least_connections", &backend, 6.0, 400);
            world.config.timeouts.first_token = Some(Span::from_secs(4));
            world.config.timeouts.total = Some(Span::from_secs(60));
            let nodes: Vec<NodeId> = vec![NodeId(0), NodeId(1)];
            let mut rules = Vec::new();
            match def.build(&values).expect("these values go together") {
                FaultPattern::Lasting(kind) => {
                    world.faults = vec![fault(10, Some(20), kind, &[0, 1])];
                }
                FaultPattern::Cycle { kind, on, off } => rules.push(FaultRule {
                    kind,
                    nodes,
                    count: None,
                    from: at(10),
                    until: at(60),
                    at_once: true,
                    every: Dist::constant(off.seconds()).expect("finite"),
                    lasts: Dist::constant(on.seconds()).expect("finite"),
                }),
            }
            let (mut begun, mut ended) = (0, 0);
            let summary = play(&world, rules, Some(Span::from_secs(1)), |_, event| {
                if let Event::Mark(mark) = event {
                    match mark.phase {
                        plimsoll::balance::MarkPhase::Begin => begun += 1,
                        plimsoll::balance::MarkPhase::End => ended += 1,
                    }
                }
            });
            assert!(begun > 0 && begun >= ended && begun - ended <= 1, "{}", def.name);
            let requests = summary.requests;
            assert_eq!(requests.in_flight, 0, "{}", def.name);
            assert!(requests.completed > 200, "{}: {requests:?}", def.name);
        }
    }
}

#[test]
fn streams_are_cut_as_the_fault_says() {
    let ends = |how: Cut| {
        let mut world = World::new(2, "round_robin", &hosted(), 4.0, 300);
        world.config.health.consecutive = u32::MAX;
        world.config.health.recovery.half_open = false;
        world.faults = vec![fault(0, None, FaultKind::Cut(Ratio::ONE, how, 10), &[0])];
        let mut ends: BTreeMap<End, Vec<u64>> = BTreeMap::new();
        let mut failed = 0;
        play(&world, Vec::new(), None, |_, event| match event {
            Event::Ended { node: NodeId(0), end, usage, .. } => {
                ends.entry(*end).or_default().push(usage.output.0);
            }
            Event::Settled(Settled { fate: plimsoll::balance::Fate::Failed(_), .. }) => failed += 1,
            _ => {}
        });
        let [(end, tokens)] = <[_; 1]>::try_from(ends.into_iter().collect::<Vec<_>>())
            .expect("all ends of the node are alike");
        (end, tokens, failed)
    };
    for (how, failure) in [
        (Cut::Reset, Failure::Reset),
        (Cut::Truncate, Failure::Malformed),
        (Cut::Stall, Failure::Stalled),
    ] {
        let (end, tokens, failed) = ends(how);
        assert_eq!(end, End::Failed(failure));
        assert!(tokens.iter().all(|tokens| (1..=10).contains(tokens)), "{tokens:?}");
        assert!(failed > 100, "a stream that had begun is not tried again: {failed}");
    }
    let (end, tokens, failed) = ends(Cut::ErrorEvent);
    assert_eq!(end, End::Failed(Failure::ServerError));
    assert!(tokens.iter().all(|tokens| *tokens == 0) && failed == 0, "nothing had begun: {failed}");
}

#[test]
fn nothing_comes_out_of_a_black_hole_but_a_connect_timeout() {
    let mut world = World::new(2, "round_robin", &hosted(), 2.0, 200);
    world.config.health.consecutive = u32::MAX;
    world.faults = vec![fault(20, Some(30), FaultKind::BlackHole, &[0])];
    let mut refused = 0;
    play(&world, Vec::new(), Some(Span::from_secs(2)), |now, event| {
        if let Event::Ended { end: End::Failed(Failure::Refused), dispatched, .. } = event {
            assert_eq!(now.since(*dispatched), Span::from_secs(2));
            assert!(*dispatched >= at(20) && *dispatched <= at(50));
            refused += 1;
        }
    });
    assert!(refused > 20, "{refused}");
}

#[test]
fn a_wedged_engine_is_found_by_asking_for_a_token() {
    let run = |generate: bool| {
        let mut world = World::new(4, "round_robin", &hosted(), 0.05, 10);
        world.config.nodes[2].tier = Tier::Backup;
        let health = &mut world.config.health;
        health.probe_every = Some(Span::from_secs(2));
        if generate {
            health.recovery.generate = Some(plimsoll::balance::Generate {
                every: Span::from_secs(10),
                timeout: Span::from_secs(5),
            });
        }
        let green = FaultKind::Probes(plimsoll::node::ProbeLie::Green);
        world.faults = vec![fault(20, None, FaultKind::Hang, &[2]), fault(20, None, green, &[2])];
        let mut found = None;
        play(&world, Vec::new(), None, |now, event| {
            if let Event::NodeState { node: NodeId(2), to: NodeState::Ejected, cause, .. } = event {
                found = found.or(Some((now, *cause)));
            }
        });
        found
    };
    assert_eq!(run(false), None, "its health is always green");
    let (when, cause) = run(true).expect("it gives no token");
    assert!(when <= at(20 + 2 * 11 + 5), "{when}");
    assert_eq!(cause, Cause::NoToken(2));
}

// ----- nodes on trial -----

/// A new node and one that comes back: neither has proved itself by saying 429.
#[test]
fn a_refusal_does_not_end_a_trial() {
    for new in [false, true] {
        let mut config = common::config(1, "round_robin", 1);
        config.retry.attempts = 1;
        config.health.consecutive = 1;
        config.health.recovery.probation = Some(1);
        let mut story = Story::new(config);
        let mut node = NodeId(0);
        story.arrive(0, 100);
        if new {
            story.finish(0, 0, Outcome::Done(Usage::NONE));
            story.feed(Input::Fleet(FleetChange::Drain(node)));
            node = NodeId(1);
            story.feed(Input::Fleet(FleetChange::Add(Box::new(common::node(1)))));
        } else {
            story.finish(0, 0, RESET);
            story.bring_back(node);
        }
        story.arrive(1, 100);
        story.arrive(2, 100);
        assert_eq!(story.in_flight(node), 1, "new {new}: one at a time");
        story.finish(1, 0, Outcome::RateLimited { retry_after: None });
        assert_eq!(story.state(node), NodeState::CoolingDown);
        while story.state(node) == NodeState::CoolingDown {
            story.now = story.balancer.wake_at().expect("the pause ends");
            story.feed(Input::Wake);
        }
        story.arrive(3, 100);
        assert_eq!(story.in_flight(node), 1, "new {new}: still one at a time");
        story.finish(2, 0, Outcome::Done(Usage::NONE));
        story.arrive(4, 100);
        assert_eq!(story.in_flight(node), 2, "new {new}: it has proved itself");
    }
}

/// Half-open is for nodes that were ejected: a new one may fail as often as any.
#[test]
fn probation_only_bounds_how_many_a_new_node_gets() {
    let mut config = common::config(1, "round_robin", 1);
    config.retry.attempts = 1;
    config.health.recovery.probation = Some(2);
    let most = config.health.consecutive;
    let mut story = Story::new(config);
    story.feed(Input::Fleet(FleetChange::Drain(NodeId(0))));
    story.feed(Input::Fleet(FleetChange::Add(Box::new(node(1)))));
    for failures in 1..=u64::from(most) {
        story.arrive(failures, 100);
        story.finish(failures, 0, RESET);
        let ejected = story.state(NodeId(1)) == NodeState::Ejected;
        assert_eq!(ejected, failures == u64::from(most), "after {failures}");
    }
    // Once it is back, one is enough.
    story.bring_back(NodeId(1));
    story.arrive(9, 100);
    story.finish(9, 0, RESET);
    assert_eq!(story.state(NodeId(1)), NodeState::Ejected);
}

/// What was sent before an ejection says nothing of the node that came back from it, however late it
/// fails.
#[test]
fn what_was_sent_before_an_ejection_does_not_eject_again() {
    for half_open in [true, false] {
        let mut config = common::config(1, "round_robin", 1);
        config.retry.attempts = 1;
        config.health.consecutive = 2;
        config.health.recovery.half_open = half_open;
        let mut story = Story::new(config);
        (0..6).for_each(|id| story.arrive(id, 100));
        (0..2).for_each(|id| story.finish(id, 0, RESET));
        story.bring_back(NodeId(0));
        story.now = story.now + Span::from_millis(1);
        story.arrive(6, 100);
        for id in 2..6 {
            story.finish(id, 0, RESET);
            assert_eq!(story.state(NodeId(0)), NodeState::Up, "half-open {half_open}: after {id}");
        }
        story.finish(6, 0, RESET);
        let ejected = story.state(NodeId(0)) == NodeState::Ejected;
        assert_eq!(ejected, half_open, "its own failure counts");
    }
}

// ----- the past of a node -----

/// Five nodes that are only judged by their windows.
fn judged() -> Story {
    let mut config = common::config(5, "round_robin", 1);
    config.retry.attempts = 1;
    config.health.consecutive = u32::MAX;
    config.health.recovery.half_open = false;
    config.health.recovery.outlier = Some(OutlierSettings::default());
    Story::new(config)
}

/// Each node in service has a request; those of node zero end as `good` says.
fn round(story: &mut Story, good: bool) {
    let first = story.balancer.totals().arrived;
    let in_service = |node: &u32| story.state(NodeId(*node)) == NodeState::Up;
    for id in first..first + (0..5).filter(in_service).count() as u64 {
        story.arrive(id, 100);
        let (_, node) = story.dispatched()[0];
        let done = Outcome::Done(usage(100, 1));
        story.finish(id, 0, if node == NodeId(0) && !good { RESET } else { done });
    }
}

#[test]
fn a_node_that_was_out_of_service_is_judged_anew() {
    for drained in [false, true] {
        let mut story = judged();
        (0..19).for_each(|count| round(&mut story, count < 3));
        if drained {
            story.feed(Input::Fleet(FleetChange::Drain(NodeId(0))));
            story.feed(Input::Fleet(FleetChange::Resume(NodeId(0))));
        }
        round(&mut story, false);
        let kept = story.state(NodeId(0)) == NodeState::Up;
        assert_eq!(kept, drained, "seventeen of twenty, or one of one");
    }
}

#[test]
fn a_node_that_is_gone_is_nobodys_peer() {
    for gone in [false, true] {
        let mut story = judged();
        (0..20).for_each(|_| round(&mut story, true));
        if gone {
            story.feed(Input::Fleet(FleetChange::Remove(NodeId(4))));
        }
        (0..60).for_each(|count| round(&mut story, count % 2 == 0));
        let kept = story.state(NodeId(0)) == NodeState::Up;
        assert_eq!(kept, gone, "three peers are too few to judge by");
    }
}

#[test]
fn what_ends_after_an_ejection_is_not_held_against_a_node_that_is_back() {
    let mut story = judged();
    (0..300).for_each(|id| story.arrive(id, 100));
    let node_of = |story: &Story, id| story.balancer.node_of(attempt(id, 0));
    let own: Vec<u64> = (0..300).filter(|id| node_of(&story, *id) == Some(NodeId(0))).collect();
    let (some, rest) = own.split_at(30);
    some.iter().for_each(|id| story.finish(*id, 0, RESET));
    assert_eq!(story.state(NodeId(0)), NodeState::Ejected, "after twenty of sixty");
    let mut number = 0;
    while story.state(NodeId(0)) != NodeState::Probing {
        story.now = story.balancer.wake_at().expect("a rest ends");
        story.feed(Input::Wake);
        // It is probed while it rests.
        if let [Action::Probe(_, next)] = story.actions[..] {
            number = next;
        }
    }
    rest.iter().for_each(|id| story.finish(*id, 0, RESET));
    story.feed(Input::Probed(NodeId(0), number, ProbeResult::Healthy));
    story.bring_back(NodeId(0));
    round(&mut story, false);
    assert_eq!(story.state(NodeId(0)), NodeState::Up);
}

// ----- who rests -----

/// A node that serves, but has used up what it may in this minute.
#[test]
fn the_first_back_is_the_quota_that_somebody_waits_for() {
    let mut config = common::config(1, "round_robin", 1);
    config.admission.quotas = true;
    config.nodes[0].limits.requests_per_minute = Some(1);
    let mut story = Story::new(config);
    story.arrive(0, 100);
    assert_eq!(story.balancer.first_back(), None, "nobody waits");
    story.arrive(1, 100);
    assert_eq!(story.balancer.first_back(), Some(at(60)));
    story.feed(Input::Cancel(RequestId(1)));
    assert_eq!(story.balancer.first_back(), None, "nobody waits any more");
}

#[test]
fn the_first_back_is_the_one_whose_rest_ends_first() {
    let mut config = common::config(2, "round_robin", 1);
    config.retry.attempts = 1;
    let mut story = Story::new(config);
    (0..4).for_each(|id| story.arrive(id, 100));
    let of = |node| {
        let own = |id: &u64| story.balancer.node_of(attempt(*id, 0)) == Some(NodeId(node));
        (0..4).filter(own).collect::<Vec<u64>>()
    };
    let (one, other) = (of(0), of(1));
    let mut limit = |id: u64, seconds: u64| {
        let retry_after = Some(Span::from_secs(seconds));
        story.finish(id, 0, Outcome::RateLimited { retry_after });
        story.balancer.first_back()
    };
    assert_eq!(limit(one[0], 20), None, "the other one serves");
    assert_eq!(limit(other[0], 30), Some(at(20)));
    assert_eq!(limit(one[1], 40), Some(at(30)), "the first one asked for more");
    assert_eq!(limit(other[1], 5), Some(at(30)), "and the other one for less");
    story.feed(Input::Fleet(FleetChange::Remove(NodeId(1))));
    assert_eq!(story.balancer.first_back(), Some(at(40)), "it never comes back");
    story.pass(40_000);
    assert_eq!(story.balancer.first_back(), None, "it is back");
    story.feed(Input::Fleet(FleetChange::Remove(NodeId(0))));
    assert_eq!(story.balancer.first_back(), None, "nobody knows");
}
