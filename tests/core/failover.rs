//! The failover manager: hedges, retries, resumed answers, tiers by health, deadlines.

use crate::common;
use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::common::attempts::{Laws, hedges_in_every_window, ms};
use crate::common::story::{RESET, Story, attempt, usage};
use crate::common::{World, slots};
use plimsoll::balance::{
    Action, AttemptKind, Balancer, Config, End, Event, Failure, Fate, FleetChange, HealthSettings,
    HedgeAfter, HedgeSpec, Input, Limits, Match, NoHedge, NoRetry, NodeState, Outcome, PoolSpec,
    Reject, Request, Retry, RouteSpec, StrategySpec, TenantLimits, Tenants, Tier, TimeoutStage,
    Timeouts, Usage, check,
};
use plimsoll::dist::Dist;
use plimsoll::metrics::Summary;
use plimsoll::node::{ErrorAnswer, FaultKind, FaultSpec};
use plimsoll::sim::{Sim, SimSpec, Step};
use plimsoll::unit::{
    ClassId, CredentialId, NodeId, PoolId, Price, Ratio, RegionId, RequestId, Span, TenantId, Time,
    Tokens,
};
use plimsoll::workload::workflow::{OnFailure, StepContext, StepSpec};
use plimsoll::workload::{Jobs, Mix, Poisson, WorkflowSpec};

fn hedge(after: HedgeAfter, budget: f64) -> HedgeSpec {
    let budget = Ratio::from_f64(budget);
    HedgeSpec {
        after,
        budget,
        saturation: Ratio::from_f64(0.7),
        prompt_max: Some(Tokens(1_000)),
        paid: true,
    }
}

/// Four nodes for ten each, hedged after 300 ms.
fn hedged(budget: f64) -> Config {
    let mut config = common::config(4, "round_robin", 1);
    for node in &mut config.nodes {
        node.limits = Limits { concurrency: Some(10), ..Limits::default() };
    }
    config.hedge = Some(hedge(HedgeAfter::Fixed(Span::from_millis(300)), budget));
    config
}

// ----- hedges -----

#[test]
fn the_first_token_wins_and_the_loser_is_charged_until_it_is_gone() {
    for winner in [0, 1_u8] {
        let mut story = Story::new(hedged(1.0));
        story.arrive(0, 100);
        let first = story.dispatched()[0].1;
        story.pass(299);
        assert_eq!(story.balancer.totals().dispatched, 1);
        story.pass(300);
        let [(1, second)] = story.dispatched()[..] else { panic!("{:?}", story.actions) };
        assert_ne!(first, second, "never on the same node");
        let nodes = [first, second];
        story.first_token(0, winner);
        let loser = 1 - winner;
        assert_eq!(story.aborted(), [loser]);
        assert_eq!(story.in_flight(nodes[usize::from(loser)]), 1, "until it is confirmed");
        story.finish(0, winner, Outcome::Done(usage(100, 20)));
        let settled = story.settled().expect("it is over");
        assert_eq!(settled.node, Some(nodes[usize::from(winner)]));
        assert_eq!((settled.fate, settled.attempts), (Fate::Completed, 2));
        assert_eq!((settled.hedge, settled.failover), (winner == 1, false));
        assert_eq!(settled.usage, usage(100, 20));
        // It was heard too late: what it used is booked all the same.
        story.finish(0, loser, Outcome::Done(usage(100, 3)));
        let ended = story.events.iter().find_map(|event| match event {
            Event::Ended { end, usage, .. } => Some((*end, *usage)),
            _ => None,
        });
        assert_eq!(ended, Some((End::Outrun, usage(100, 3))));
        assert_eq!(story.in_flight(nodes[usize::from(loser)]), 0);
        assert!(!story.balancer.knows(RequestId(0)), "nothing is left over");
        assert_eq!(story.laws.wins, u64::from(winner == 1));
    }
}

#[test]
fn what_does_not_stream_wins_with_its_end() {
    let mut story = Story::new(hedged(1.0));
    story.arrive(0, 100);
    story.pass(300);
    story.finish(0, 1, Outcome::Done(usage(100, 20)));
    assert_eq!(story.aborted(), [0]);
    assert!(story.settled().expect("it is over").hedge);
    story.finish(0, 0, Outcome::Aborted(Usage::NONE));
}

#[test]
fn a_failure_beside_another_attempt_ends_nothing() {
    for fails in [0, 1_u8] {
        let mut story = Story::new(hedged(1.0));
        story.arrive(0, 100);
        story.pass(300);
        story.finish(0, fails, RESET);
        assert_eq!((story.settled().is_some(), story.actions.len()), (false, 0));
        story.finish(0, 1 - fails, Outcome::Done(usage(100, 20)));
        assert_eq!(story.settled().expect("it is over").fate, Fate::Completed);
    }
    // When the last of them fails it is tried again, on a node that neither was on, and not hedged
    // a second time.
    let mut story = Story::new(hedged(1.0));
    story.arrive(0, 100);
    story.pass(300);
    story.finish(0, 1, RESET);
    story.finish(0, 0, RESET);
    story.pass(2_000);
    assert_eq!(story.balancer.totals().dispatched, 3);
    assert_eq!((story.laws.hedges, story.laws.retries), (1, 1));
}

#[test]
fn the_deadline_ends_both() {
    let mut config = hedged(1.0);
    config.timeouts.total = Some(Span::from_secs(1));
    let mut story = Story::new(config);
    story.arrive(0, 100);
    story.pass(1_000);
    assert_eq!(story.aborted(), [0, 1]);
    assert!(matches!(story.settled().expect("it is over").fate, Fate::Failed(End::TimedOut(_))));
    story.finish(0, 0, Outcome::Aborted(Usage::NONE));
    story.finish(0, 1, Outcome::Aborted(Usage::NONE));
    assert!(!story.balancer.knows(RequestId(0)));
}

#[test]
fn the_gate_closes_under_load_for_long_prompts_and_without_budget() {
    // 27 of 40 are 67.5 %, 28 are 70 %.
    for (load, denied) in [(27, None), (28, Some(NoHedge::Saturated))] {
        let mut story = Story::new(hedged(1.0));
        for id in 0..load {
            story.arrive(id, 100);
            if id > 0 {
                story.first_token(id, 0);
            }
        }
        story.pass(300);
        assert_eq!((story.denied(), story.laws.hedges), (denied, u64::from(denied.is_none())));
    }
    let mut story = Story::new(hedged(1.0));
    story.arrive(0, 1_001);
    story.pass(5_000);
    assert_eq!((story.denied(), story.laws.hedges), (None, 0), "longer than is hedged at all");
    // A tenth of ten requests is one, and a tenth of their tokens.
    for (prompt, hedges) in [(100, 1), (300, 0)] {
        let mut story = Story::new(hedged(0.1));
        for id in 0..9 {
            story.arrive(id, 100);
            story.first_token(id, 0);
        }
        story.arrive(9, prompt);
        story.pass(300);
        assert_eq!(story.laws.hedges, hedges);
        assert_eq!(story.denied(), (hedges == 0).then_some(NoHedge::Budget));
    }
}

#[test]
fn a_hedge_goes_to_another_region_while_one_is_open() {
    let mut config = hedged(1.0);
    for (node, region) in config.nodes.iter_mut().zip([1, 1, 1, 2]) {
        node.region = RegionId(region);
    }
    for closed in [false, true] {
        let mut story = Story::new(config.clone());
        if closed {
            story.feed(Input::Fleet(FleetChange::Drain(NodeId(3))));
        }
        story.arrive(0, 100);
        let mut first = story.dispatched()[0].1;
        if first == NodeId(3) {
            story.finish(0, 0, Outcome::Done(Usage::NONE));
            story.arrive(1, 100);
            first = story.dispatched()[0].1;
        }
        story.pass(300);
        let second = story.dispatched()[0].1;
        assert_eq!(second == NodeId(3), !closed);
        assert_ne!(first, second);
    }
}

#[test]
fn where_no_other_node_is_open_nothing_is_hedged() {
    let mut config = hedged(1.0);
    config.nodes.truncate(1);
    let mut story = Story::new(config);
    story.arrive(0, 100);
    story.pass(300);
    assert_eq!(story.denied(), Some(NoHedge::NoNode));
}

/// Hosted models whose first token is late now and then.
fn tail(ttft: Dist) -> World {
    let backend = common::hosted(ttft, common::constant(100.0));
    let mut world = World::new(8, "random", &backend, 40.0, 20_000);
    for node in &mut world.config.nodes {
        node.limits.concurrency = Some(64);
    }
    world
}

/// Runs with every law watching; returns the kinds of its dispatches too.
fn watched(world: &World, checked: bool) -> (Summary, Laws, Vec<AttemptKind>) {
    let laws = RefCell::new(Laws::new(&world.config));
    let kinds = RefCell::new(Vec::new());
    let record = |_: Time, input: &Input| laws.borrow_mut().record(input);
    let watch = |now: Time, event: &Event| {
        if let Event::Dispatched { kind, .. } = event {
            kinds.borrow_mut().push(*kind);
        }
        laws.borrow_mut().hear(now, event, None);
    };
    let (summary, _) = world.run_with(record, watch, checked);
    (summary, laws.into_inner(), kinds.into_inner())
}

/// With a delay at the p95 of a law and an independent second draw, the tail of the minimum is known:
/// `P(T > t) = (1 - F(t)) (1 - F(t - d))`.
#[test]
fn hedging_cuts_the_tail_as_far_as_two_draws_do() {
    let law = || Dist::exponential(0.4).expect("a law");
    let mut world = tail(law());
    let plain = world.run();
    world.config.hedge = Some(HedgeSpec {
        prompt_max: None,
        ..hedge(HedgeAfter::Quantile(Ratio::from_f64(0.95)), 0.2)
    });
    let (hedged, laws, kinds) = watched(&world, false);
    hedges_in_every_window(&kinds, Ratio::from_f64(0.2));
    let share = laws.hedges as f64 / 20_000.0;
    // The delay errs to the late side by up to an eighth: 5 % becomes 3.4 % at the least.
    assert!((0.033..0.055).contains(&share), "{share} are hedged");
    assert!(laws.wins > laws.hedges / 3 && laws.wins + laws.outrun >= laws.hedges);
    assert_eq!(hedged.attempts.hedges, laws.hedges);
    assert_eq!(hedged.attempts.hedge_wins, laws.wins);
    // Of an exponential law with mean m, p95 is 3 m and p999 is 6.9 m; with a hedge at 3 m it is
    // where exp(-t/m - (t - 3 m)/m) = 0.001, at 4.95 m.
    let p999 = |summary: &Summary| summary.ttft_s.p999.expect("a value") / 0.4;
    assert!((p999(&plain) - 6.9).abs() < 0.7, "{}", p999(&plain));
    assert!((4.5..5.6).contains(&p999(&hedged)), "{}", p999(&hedged));
}

#[test]
fn the_hedge_budget_holds_in_every_window_of_a_storm() {
    let mut world = tail(Dist::lognormal_quantiles(0.3, 2.0).expect("a law"));
    world.requests = 5_000;
    world.config.hedge = Some(HedgeSpec {
        prompt_max: None,
        ..hedge(HedgeAfter::Quantile(Ratio::from_f64(0.8)), 0.02)
    });
    world.config.retry = Retry { token_budget: Some(Ratio::from_f64(0.2)), ..Retry::default() };
    world.config.timeouts.first_token = Some(Span::from_secs(3));
    world.config.timeouts.total = Some(Span::from_secs(10));
    let nodes = |list: &[u32]| list.iter().copied().map(NodeId).collect();
    let fault = |at: u64, kind, list: &[u32]| FaultSpec {
        at: ms(at),
        lasts: Some(Span::from_secs(20)),
        kind,
        nodes: nodes(list),
    };
    world.faults = vec![
        fault(20_000, FaultKind::Crash, &[0, 1]),
        fault(50_000, FaultKind::Hang, &[2]),
        fault(80_000, FaultKind::Slow(5.0), &[3, 4, 5]),
    ];
    let (summary, laws, kinds) = watched(&world, true);
    hedges_in_every_window(&kinds, Ratio::from_f64(0.02));
    assert!(laws.hedges > 50 && laws.retries > 20, "{} {}", laws.hedges, laws.retries);
    assert!(summary.attempts.hedges_denied > 0, "p80 asks for more than a fiftieth");
}

// ----- retries -----

#[test]
fn a_retry_goes_elsewhere_first_and_back_only_where_nobody_else_is_open() {
    let mut config = common::config(2, "round_robin", 1);
    (config.retry.base, config.retry.cap) = (Span::ZERO, Span::ZERO);
    let mut story = Story::new(config);
    story.arrive(0, 100);
    let first = story.dispatched()[0].1;
    story.finish(0, 0, RESET);
    let second = story.dispatched()[0].1;
    assert_ne!(first, second);
    story.finish(0, 1, RESET);
    assert_eq!(story.dispatched().len(), 1, "both were tried: either may be again");
    story.finish(0, 2, RESET);
    assert_eq!(story.settled().expect("three attempts").attempts, 3);
}

#[test]
fn a_pause_that_a_node_asked_for_is_kept_by_everyone() {
    let mut story = Story::new(common::config(2, "round_robin", 1));
    story.arrive(0, 100);
    let limited = story.dispatched()[0].1;
    let pause = Some(Span::from_secs(30));
    story.finish(0, 0, Outcome::RateLimited { retry_after: pause });
    let [(1, other)] = story.dispatched()[..] else { panic!("at once, where there is room") };
    assert_ne!(limited, other);
    for id in 1..50 {
        story.pass(id * 500);
        story.arrive(id, 100);
        assert_eq!(story.dispatched()[0].1, other);
    }
    // Where everyone asked for a pause, it waits for the first that is over.
    let mut story = Story::new(common::config(1, "round_robin", 1));
    story.arrive(0, 100);
    story.finish(0, 0, Outcome::RateLimited { retry_after: pause });
    assert_eq!(story.dispatched(), []);
    story.pass(29_999);
    assert_eq!(story.balancer.totals().dispatched, 1);
    story.pass(30_000);
    assert_eq!(story.dispatched().len(), 1);
}

#[test]
fn nothing_starts_that_would_be_of_no_use() {
    let mut config = common::config(1, "round_robin", 1);
    config.nodes[0].limits.concurrency = Some(1);
    (config.retry.base, config.retry.cap) = (Span::ZERO, Span::ZERO);
    config.retry.minimum_useful = Span::from_millis(400);
    config.timeouts.total = Some(Span::from_secs(1));
    // 600 ms are left, then 400.
    for (at, tried) in [(400, true), (600, false)] {
        let mut story = Story::new(config.clone());
        story.arrive(0, 100);
        story.pass(at);
        story.finish(0, 0, RESET);
        assert_eq!(!story.dispatched().is_empty(), tried);
        let late = story
            .events
            .iter()
            .any(|event| matches!(event, Event::RetryDenied { reason: NoRetry::Deadline, .. }));
        assert_eq!(late, !tried);
    }
    // Who waits is turned away when it is too late, not when time is up.
    let mut story = Story::new(config);
    story.arrive(0, 100);
    story.arrive(1, 100);
    story.pass(599);
    assert_eq!(story.balancer.waiting(), 1);
    story.pass(600);
    assert_eq!(story.balancer.waiting(), 0);
    assert_eq!(story.settled().expect("turned away").request, RequestId(1));
}

// ----- answers that go on -----

/// Two pools of one node each, in failover order.
fn two_pools() -> Config {
    let mut config = common::config(2, "round_robin", 1);
    config.nodes[1].pool = PoolId(1);
    let strategy = StrategySpec::named("round_robin").expect("a strategy");
    config.pools = ["near", "far"].map(|name| PoolSpec::new(name, strategy.clone())).to_vec();
    config.routes[0].to = vec![PoolId(0), PoolId(1)];
    config
}

#[test]
fn a_retry_stays_in_its_pool_once_where_that_is_wanted_and_may_help() {
    let busy = |secs| Outcome::RateLimited { retry_after: Some(Span::from_secs(secs)) };
    let server = Outcome::Failed(Failure::ServerError, Usage::NONE);
    let refused = Outcome::Failed(Failure::Refused, Usage::NONE);
    for (stay, outcome, second) in [
        (0, server, 1),
        (1, server, 0),
        (1, RESET, 0),
        (1, refused, 1),
        (0, busy(2), 1),
        (1, busy(2), 0),
        (1, busy(20), 1),
        (1, Outcome::RateLimited { retry_after: None }, 1),
        (1, Outcome::Failed(Failure::Overloaded, Usage::NONE), 1),
        (1, Outcome::Busy { retry_after: Span::from_secs(1) }, 0),
    ] {
        let mut config = two_pools();
        config.retry.stay = stay;
        let mut story = Story::new(config);
        story.arrive(0, 10);
        assert_eq!(story.dispatched(), [(0, NodeId(0))]);
        story.finish(0, 0, outcome);
        story.pass(2_500);
        let node = story.balancer.node_of(attempt(0, 1));
        assert_eq!(node, Some(NodeId(second)), "{stay} {outcome:?}");
        // Once is enough.
        story.finish(0, 1, server);
        story.pass(5_000);
        let third = story.balancer.node_of(attempt(0, 2));
        assert!(third.is_some(), "{stay} {outcome:?}");
        if second == 0 {
            assert_eq!(third, Some(NodeId(1)), "{stay} {outcome:?}");
        }
    }
}

#[test]
fn a_retry_does_not_stay_where_another_node_of_its_pool_is_open() {
    let mut config = two_pools();
    config.retry.stay = 1;
    let mut more = config.nodes[0].clone();
    more.name = "other".to_owned();
    config.nodes.push(more);
    let mut story = Story::new(config);
    story.arrive(0, 10);
    let first = story.dispatched()[0].1;
    story.finish(0, 0, RESET);
    story.pass(1_000);
    let second = story.balancer.node_of(attempt(0, 1)).expect("it is tried again");
    assert_ne!(first, second);
    assert_ne!(second, NodeId(1), "it is of the same pool");
}

#[test]
fn where_tokens_cost_something_nothing_is_hedged_that_is_not_to_be_paid() {
    for (paid, priced, hedged) in [(true, true, true), (false, true, false), (false, false, true)] {
        let mut config = common::config(2, "round_robin", 1);
        let after = HedgeAfter::Fixed(Span::from_millis(10));
        config.hedge = Some(HedgeSpec { paid, ..hedge(after, 1.0) });
        if priced {
            for node in &mut config.nodes {
                node.prices.output = Price(1);
            }
        }
        let mut story = Story::new(config);
        story.arrive(0, 10);
        story.pass(100);
        let second = story.balancer.node_of(attempt(0, 1));
        assert_eq!(second.is_some(), hedged, "{paid} {priced}");
    }
}

#[test]
fn a_cut_answer_goes_on_elsewhere_and_both_parts_are_paid() {
    let mut config = common::config(2, "round_robin", 1);
    (config.retry.base, config.retry.cap) = (Span::ZERO, Span::ZERO);
    for resume in [false, true] {
        config.retry.resume = resume;
        let mut story = Story::new(config.clone());
        story.arrive(0, 100);
        story.now = ms(500);
        story.first_token(0, 0);
        story.now = ms(2_000);
        story.finish(0, 0, Outcome::Failed(Failure::Reset, usage(100, 40)));
        if !resume {
            assert!(matches!(story.settled().expect("no more").fate, Fate::Failed(_)));
            continue;
        }
        let [Action::Dispatch { resumed: Tokens(40), .. }] = story.actions[..] else {
            panic!("{:?}", story.actions)
        };
        story.now = ms(2_500);
        story.first_token(0, 1);
        story.now = ms(4_000);
        story.finish(0, 1, Outcome::Done(usage(140, 60)));
        let settled = story.settled().expect("it is over");
        assert_eq!((settled.usage, settled.first_token), (usage(100, 100), Some(ms(500))));
        assert!(settled.failover && story.laws.resumed == 1);
    }
}

/// What came already is neither expected nor paid again, and the limit of an answer is of the whole.
#[test]
fn what_is_left_of_a_cut_answer_is_what_is_expected() {
    for (expected, most, came, left) in [(100, None, 60, 40), (200, Some(100), 40, 60)] {
        let mut config = common::config(2, "round_robin", 1);
        (config.retry.base, config.retry.cap, config.retry.resume) = (Span::ZERO, Span::ZERO, true);
        config.expected_output = vec![Tokens(expected)];
        // A token of an answer costs a micro-dollar.
        for node in &mut config.nodes {
            node.prices.output = Price::from_dollars(1.0);
        }
        let each = TenantLimits { budget: Some(came + left), ..TenantLimits::default() };
        config.admission.tenants = Tenants { each, named: Vec::new() };
        let mut story = Story::new(config);
        let request = Request::new(RequestId(0), story.now);
        let output_max = most.map(Tokens);
        story.feed(Input::Arrive(Request { prompt: Tokens(100), output_max, ..request }));
        story.first_token(0, 0);
        story.finish(0, 0, Outcome::Failed(Failure::Reset, usage(100, came)));
        let [(1, node)] = story.dispatched()[..] else { panic!("{:?}", story.events) };
        let there = story.balancer.fleet().node(node).ledger;
        assert_eq!(there.output, Tokens(left), "of {expected}, {most:?} at most, {came} came");
    }
}

#[test]
fn with_resuming_no_answer_is_lost_and_none_is_longer() {
    let mut world = tail(Dist::constant(0.3).expect("a law"));
    world.requests = 2_000;
    world.config.timeouts.total = Some(Span::from_secs(60));
    world.faults = (0..8)
        .map(|node| FaultSpec {
            at: ms(3_000 + u64::from(node) * 6_000),
            lasts: Some(Span::from_secs(2)),
            kind: FaultKind::Crash,
            nodes: vec![NodeId(node)],
        })
        .collect();
    world.config.health.eject_base = Span::from_secs(2);
    let lost = world.run();
    assert!(lost.requests.failed > 10, "answers are cut");
    world.config.retry.resume = true;
    let lengths = RefCell::new(BTreeMap::new());
    let laws = RefCell::new(Laws::new(&world.config));
    let (resumed, _) = world.run_with(
        |_, input| laws.borrow_mut().record(input),
        |now, event| {
            laws.borrow_mut().hear(now, event, None);
            if let Event::Settled(settled) = event {
                lengths.borrow_mut().insert(settled.request, settled.usage.output);
            }
        },
        true,
    );
    assert_eq!((resumed.requests.failed, resumed.requests.completed), (0, 2_000));
    assert!(resumed.attempts.resumed > 10);
    // Without faults nobody is cut: what the client has is the same, token for token.
    world.faults.clear();
    let whole = RefCell::new(BTreeMap::new());
    world.run_with(
        |_, _| {},
        |_, event| {
            if let Event::Settled(settled) = event {
                whole.borrow_mut().insert(settled.request, settled.usage.output);
            }
        },
        false,
    );
    assert_eq!(lengths, whole);
}

// ----- tiers -----

#[test]
fn a_tier_keeps_the_share_that_its_health_allows() {
    // Ten primaries of capacities 1 and 9, and backups; half the nodes are a tenth of the capacity.
    let mut config = common::config(20, "weighted_random", 3);
    config.pools[0].overprovision = Some(Ratio::from_f64(1.4));
    for (index, node) in config.nodes.iter_mut().enumerate() {
        node.tier = if index < 10 { Tier::Primary } else { Tier::Backup };
        node.weight = if index % 2 == 0 { 1 } else { 9 };
    }
    let share = |drained: &[u32]| {
        let mut balancer = Balancer::new(config.clone());
        let mut now = Time::ZERO;
        for &node in drained {
            // Ejected by five failures in a row.
            let mut id = 1_000_000 * (u64::from(node) + 1);
            while balancer.fleet().node(NodeId(node)).state().name() == "up" {
                let request = Request::new(RequestId(id), now);
                for action in std::mem::take(balancer.handle(now, Input::Arrive(request))).actions {
                    let Action::Dispatch { attempt, node: to, .. } = action else { continue };
                    let failed = Outcome::Failed(Failure::ServerError, Usage::NONE);
                    let done = Outcome::Done(Usage::NONE);
                    let outcome = if to == NodeId(node) { failed } else { done };
                    balancer.handle(now, Input::Finish(attempt, outcome));
                    balancer.handle(now, Input::Cancel(attempt.request));
                }
                id += 1;
                now = now + Span::from_millis(1);
            }
        }
        let mut primary = 0;
        for id in 0..20_000 {
            let request = Request::new(RequestId(id), now);
            let effects = std::mem::take(balancer.handle(now, Input::Arrive(request)));
            for action in effects.actions {
                let Action::Dispatch { attempt, node, .. } = action else { continue };
                primary += u32::from(node.0 < 10);
                balancer.handle(now, Input::Finish(attempt, Outcome::Done(Usage::NONE)));
            }
        }
        f64::from(primary) / 20_000.0
    };
    let near =
        |share: f64, wanted: f64| assert!((share - wanted).abs() < 0.015, "{share} {wanted}");
    near(share(&[]), 1.0);
    // Five of ten nodes, a tenth of the capacity: 1.4 * 0.9 is more than all.
    near(share(&[0, 2, 4, 6, 8]), 1.0);
    // Three of ten nodes, 27 of 50: 1.4 * 23 / 50.
    near(share(&[1, 3, 5]), 0.644);
}

// ----- deadlines -----

#[test]
fn slots_are_hedged_on_whole_answers_and_their_law_holds() {
    let service = Dist::exponential(0.2).expect("a law");
    let mut world = World::new(10, "round_robin", &slots(4, service), 60.0, 4_000);
    for node in &mut world.config.nodes {
        node.limits.concurrency = Some(8);
    }
    world.config.timeouts.total = Some(Span::from_secs(2));
    world.config.hedge = Some(HedgeSpec {
        prompt_max: None,
        ..hedge(HedgeAfter::Quantile(Ratio::from_f64(0.9)), 0.1)
    });
    let (_, laws, _) = watched(&world, true);
    assert!(laws.hedges > 100 && laws.wins > 20);
}

/// A job of two steps, three at a time, the first of which has a deadline of its own.
fn two_steps(whole: Span) -> WorkflowSpec {
    let step = |name: &str, after: &[u16], deadline| StepSpec {
        back_to: None,
        name: name.to_owned(),
        class: ClassId(0),
        after: after.to_vec(),
        fan_out: Dist::constant(3.0).expect("a law"),
        deadline,
        retries: 2,
        on_failure: OnFailure::Skip,
        rounds: Dist::constant(1.0).expect("a law"),
        calls: Vec::new(),
        context: StepContext::Grow,
    };
    WorkflowSpec {
        name: "job".to_owned(),
        share: 1.0,
        deadline: Some(whole),
        steps: vec![step("one", &[], Some(Span::from_secs(8))), step("two", &[0], None)],
    }
}

/// Whatever is tried again or beside another attempt inherits the deadline of the job: no attempt of
/// any of its steps starts after it, and no request outlives it.
#[test]
fn the_deadline_of_a_job_bounds_every_attempt_of_its_steps() {
    let whole = Span::from_secs(12);
    let flow = two_steps(whole);
    let mut world = tail(Dist::lognormal_quantiles(0.4, 3.0).expect("a law"));
    world.config.timeouts =
        Timeouts { first_token: Some(Span::from_secs(2)), silence: None, total: None };
    world.config.retry.resume = true;
    world.config.retry.minimum_useful = Span::from_millis(200);
    let quantile = HedgeAfter::Quantile(Ratio::from_f64(0.8));
    world.config.hedge = Some(HedgeSpec { prompt_max: None, ..hedge(quantile, 0.2) });
    let fault = |at, kind, node| FaultSpec {
        at: ms(at),
        lasts: Some(Span::from_secs(15)),
        kind,
        nodes: vec![NodeId(node)],
    };
    let parts = SimSpec {
        faults: vec![fault(5_000, FaultKind::Crash, 0), fault(8_000, FaultKind::Hang, 1)],
        inter_token: Some(Span::from_secs(2)),
        ..SimSpec::new(world.config.clone(), world.backends.clone())
    };
    let classes = vec![common::class()];
    let starts = Poisson::new(3.0, Time::MAX, 150, 7, Mix::new(classes.clone(), 7));
    let jobs = Jobs::new(starts, vec![flow], classes, 7);
    let mut sim = Sim::new(parts, Box::new(jobs)).expect("a process does not fail");
    let laws = RefCell::new(Laws::new(&world.config));
    let (started, ends) = (RefCell::new(BTreeMap::new()), RefCell::new(BTreeMap::new()));
    let mut record = |_: Time, input: &Input| {
        laws.borrow_mut().record(input);
        match input {
            Input::Job(news) => drop(started.borrow_mut().insert(news.job, news.started)),
            Input::Arrive(request) => {
                let job = request.job.expect("a step of one").job;
                let end = started.borrow()[&job] + whole;
                assert!(request.deadline <= end, "a step has no more time than its job");
                ends.borrow_mut().insert(request.id, request.deadline);
            }
            _ => {}
        }
    };
    let mut sink = |now: Time, event: &Event| {
        laws.borrow_mut().hear(now, event, None);
        match event {
            Event::Dispatched { attempt, .. } => assert!(now < ends.borrow()[&attempt.request]),
            Event::Settled(settled) => assert!(now <= ends.borrow()[&settled.request]),
            _ => {}
        }
    };
    while sim.step(&mut record, &mut sink).expect("no trace") == Step::Handled {
        check(sim.balancer()).expect("every invariant holds");
    }
    let laws = laws.into_inner();
    assert!(
        laws.hedges > 20 && laws.retries > 20 && laws.resumed > 0,
        "{} {}",
        laws.hedges,
        laws.retries
    );
}

// ----- credentials -----

const REFUSED: Outcome = Outcome::Failed(Failure::Unauthorized, Usage::NONE);

/// A node for each name of a credential; retries at once.
fn with_credentials(names: &[Option<u16>]) -> Config {
    let mut config = common::config(names.len(), "round_robin", 1);
    for (node, name) in config.nodes.iter_mut().zip(names) {
        node.credential = name.map(CredentialId);
    }
    (config.retry.base, config.retry.cap) = (Span::ZERO, Span::ZERO);
    config.retry.attempts = 8;
    config
}

#[test]
fn a_refused_credential_is_tried_again_nowhere() {
    // Whoever is asked first: then one with another credential, then nobody.
    let config = with_credentials(&[Some(0), Some(0), Some(1), Some(1)]);
    let mut story = Story::new(config.clone());
    let of = |node: NodeId| config.nodes[node.index()].credential;
    for id in 0..8 {
        story.arrive(id, 100);
        let [(0, first)] = story.dispatched()[..] else { panic!("one attempt") };
        story.finish(id, 0, REFUSED);
        let [(1, second)] = story.dispatched()[..] else { panic!("another credential") };
        assert_ne!(of(first), of(second));
        story.finish(id, 1, REFUSED);
        assert_eq!(story.dispatched(), []);
        let settled = story.settled().expect("no third credential");
        assert_eq!(settled.fate, Fate::Failed(End::Failed(Failure::Unauthorized)));
    }
    // A node that names none has one of its own.
    let mut story = Story::new(with_credentials(&[None, None]));
    story.arrive(0, 100);
    story.finish(0, 0, REFUSED);
    assert_eq!(story.dispatched().len(), 1);
    story.finish(0, 1, REFUSED);
    assert_eq!(story.settled().expect("none is left").attempts, 2);
}

/// It would stand in the way of those that the open node serves.
#[test]
fn who_was_refused_does_not_wait_for_another_credential() {
    let mut config = with_credentials(&[Some(0), Some(1)]);
    config.nodes[1].limits.concurrency = Some(1);
    let mut story = Story::new(config);
    for id in 0..8 {
        story.arrive(id, 100);
        match story.dispatched()[..] {
            // It stays busy.
            [(0, NodeId(1))] => {}
            [(0, NodeId(0))] => {
                story.finish(id, 0, REFUSED);
                let busy = story.in_flight(NodeId(1)) == 1;
                assert_eq!(story.settled().is_some(), busy, "at once");
                assert_eq!(story.dispatched().is_empty(), busy);
            }
            ref other => panic!("{other:?}"),
        }
    }
}

#[test]
fn nodes_with_one_credential_rest_together() {
    let mut config = with_credentials(&[Some(0), Some(0), Some(1)]);
    config.health.recovery.credential = Some(Span::from_secs(10));
    let mut story = Story::new(config);
    let mut refused = false;
    for id in 0..12 {
        story.arrive(id, 100);
        let (_, node) = story.dispatched()[0];
        assert!(!refused || node == NodeId(2), "the credential rests");
        if node == NodeId(2) {
            story.finish(id, 0, Outcome::Done(usage(100, 1)));
        } else {
            story.finish(id, 0, REFUSED);
            refused = true;
            let rest = story.events.iter().filter(|event| {
                matches!(event, Event::NodeState { to: NodeState::CoolingDown, .. })
            });
            assert_eq!(rest.count(), 2, "both of its nodes: {:?}", story.events);
            story.finish(id, 1, Outcome::Done(usage(100, 1)));
        }
    }
    assert!(refused);
    story.pass(10_000);
    let up = |node| story.balancer.fleet().node(NodeId(node)).state() == NodeState::Up;
    assert!(up(0) && up(1), "both come back");
}

// ----- what whoever asks tries again -----

impl Story {
    fn arrive_again(&mut self, id: u64, again: u8, tenant: u32) {
        let request = Request::new(RequestId(id), self.now);
        let (prompt, tenant) = (Tokens(100), TenantId(tenant));
        self.feed(Input::Arrive(Request { prompt, again, tenant, ..request }));
    }

    fn turned_away(&self) -> bool {
        self.settled().is_some_and(|it| it.fate == Fate::Rejected(Reject::RetryBudget))
    }
}

#[test]
fn retries_of_clients_are_a_share_of_what_their_tenant_has_under_way() {
    let mut config = common::config(1, "round_robin", 1);
    config.retry.budget = Ratio::from_f64(0.2);
    config.retry.min_per_second = 0;
    let mut story = Story::new(config.clone());
    for id in 0..30 {
        story.arrive_again(id, 0, 1);
    }
    // A fifth of all that the tenant has under way, those that try again among them: 7 of 37.
    let mut admitted = 0;
    for id in 30..60 {
        story.arrive_again(id, 1, 1);
        assert_eq!(story.turned_away(), story.dispatched().is_empty());
        admitted += u64::from(!story.turned_away());
    }
    assert_eq!(admitted, 7);
    // Another tenant has three in any case, and then its own share.
    for (id, away) in [(60, false), (61, false), (62, false), (63, true)] {
        story.arrive_again(id, 1, 2);
        assert_eq!(story.turned_away(), away, "{id}");
    }
    // Our own retries have a budget of their own, and count with their tenant's.
    story.finish(60, 0, RESET);
    assert!(story.settled().is_none(), "it is tried again");
    // One that ends makes room for one.
    story.finish(30, 0, Outcome::Done(usage(100, 1)));
    story.arrive_again(64, 3, 1);
    assert!(!story.turned_away());
    story.arrive_again(65, 3, 1);
    assert!(story.turned_away());
    // New requests are none of its business, and one may say that it is not to be so.
    story.arrive_again(66, 0, 1);
    assert!(!story.turned_away());
    config.retry.clients = false;
    let mut story = Story::new(config);
    for id in 0..50 {
        story.arrive_again(id, 1, 1);
        assert!(!story.turned_away());
    }
}

#[test]
fn no_retry_of_a_client_is_turned_away_while_a_node_is_idle() {
    let mut config = common::config(2, "round_robin", 1);
    config.retry.budget = Ratio::ZERO;
    config.nodes.iter_mut().for_each(|node| node.limits.concurrency = Some(20));
    let mut story = Story::new(config);
    for id in 0..40 {
        story.arrive_again(id, 1, 1);
        assert!(!story.turned_away(), "{id} of forty that there is room for");
    }
    story.arrive_again(40, 1, 1);
    assert!(story.turned_away());
}

#[test]
fn what_was_refused_before_anything_was_sent_costs_no_budget_and_no_pause() {
    let mut config = common::config(3, "round_robin", 1);
    config.retry.budget = Ratio::ZERO;
    config.retry.min_per_second = 0;
    let mut story = Story::new(config);
    let refused = Outcome::Failed(Failure::Refused, usage(0, 0));
    story.arrive(0, 100);
    for ordinal in 0..2 {
        story.finish(0, ordinal, refused);
        assert_eq!(story.dispatched().len(), 1, "at once, elsewhere");
    }
    story.finish(0, 2, refused);
    assert!(story.settled().is_some_and(|settled| settled.attempts == 3), "but not for ever");
    for id in 1..=4 {
        story.arrive(id, 100);
        story.finish(id, 0, RESET);
        assert_eq!(story.settled().is_some(), id == 4, "lost work takes from it: three at a time");
    }
}

#[test]
fn a_small_fleet_loses_nothing_when_one_of_its_nodes_fails() {
    let errors = || FaultKind::Errors(Ratio::ONE, ErrorAnswer::ServerError);
    for strategy in ["round_robin", "least_connections", "power_of_two", "smart"] {
        for seed in 1..=4 {
            for kind in [FaultKind::Crash, errors()] {
                let backend = slots(64, Dist::constant(0.15).expect("a value"));
                let mut world = World::new(4, strategy, &backend, 200.0, 8_000);
                world.config.seed = seed;
                world.config.retry = Retry::default();
                world.config.timeouts = Timeouts::default();
                let lasts = Some(Span::from_secs(15));
                let nodes = vec![NodeId(2)];
                world.faults = vec![FaultSpec { at: ms(10_000), lasts, kind, nodes }];
                let summary = world.run();
                assert_eq!(summary.requests.failed, 0, "{strategy}, {seed}, {kind:?}");
            }
        }
    }
}

// ----- answers that come whole -----

#[test]
fn an_answer_that_comes_whole_is_not_held_to_a_first_token() {
    let mut config = common::config(2, "round_robin", 1);
    config.timeouts = Timeouts {
        first_token: Some(Span::from_secs(2)),
        silence: None,
        total: Some(Span::from_secs(10)),
    };
    let mut story = Story::new(config);
    let request = Request::new(RequestId(0), story.now);
    story.feed(Input::Arrive(Request { whole: true, ..request }));
    story.pass(9_999);
    assert_eq!(story.balancer.totals().dispatched, 1, "nobody loses patience");
    assert_eq!(story.balancer.under_way(), 1);
    story.pass(10_000);
    let settled = story.settled().expect("the deadline holds");
    assert_eq!(settled.fate, Fate::Failed(End::TimedOut(TimeoutStage::Total)));
    story.arrive(1, 100);
    story.pass(12_500);
    assert!(
        story.balancer.totals().dispatched > 2,
        "a stream without a first token is tried again"
    );
}

// ----- what counts as failover -----

#[test]
fn a_hedge_that_was_only_faster_is_no_failover() {
    for (fails, failover) in [(false, false), (true, true)] {
        let mut story = Story::new(hedged(1.0));
        story.arrive(0, 100);
        story.pass(300);
        assert_eq!(story.dispatched().len(), 1, "the hedge");
        if fails {
            story.finish(0, 0, RESET);
        }
        story.first_token(0, 1);
        story.finish(0, 1, Outcome::Done(usage(100, 1)));
        let settled = story.settled().expect("an answer");
        assert_eq!((settled.hedge, settled.failover), (true, failover));
    }
}

// ----- ejections -----

/// The times at which four nodes that failed at the same moment have rested.
fn rested(jitter: f64, seed: u64) -> Vec<Time> {
    let mut config = common::config(4, "round_robin", seed);
    config.health = HealthSettings {
        consecutive: 1,
        max_share: Ratio::ONE,
        eject_jitter: Ratio::from_f64(jitter),
        ..HealthSettings::default()
    };
    config.retry.attempts = 1;
    let mut story = Story::new(config);
    for id in 0..4 {
        story.arrive(id, 100);
    }
    for id in 0..4 {
        story.finish(id, 0, RESET);
    }
    let mut times = Vec::new();
    while times.len() < 4 {
        story.now = story.balancer.wake_at().expect("they rest").max(story.now);
        story.feed(Input::Wake);
        let probing =
            |event: &&Event| matches!(event, Event::NodeState { to: NodeState::Probing, .. });
        times.extend(story.events.iter().filter(probing).map(|_| story.now));
    }
    times
}

#[test]
fn nodes_that_were_ejected_together_do_not_come_back_together() {
    let base = HealthSettings::default().eject_base;
    assert_eq!(rested(0.0, 1), [Time::ZERO + base; 4]);
    let usual = HealthSettings::default().eject_jitter.value();
    assert!(usual > 0.0, "so it is where nothing is said");
    for seed in 0..20 {
        let times = rested(usual, seed);
        let spans = times.iter().map(|at| at.since(Time::ZERO).seconds() / base.seconds());
        assert!(spans.clone().all(|span| (1.0..=1.0 + usual).contains(&span)), "{times:?}");
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "all apart: {times:?}");
    }
}

#[test]
fn a_pool_may_watch_health_in_its_own_way() {
    let mut config = common::config(2, "round_robin", 1);
    config.nodes[1].pool = PoolId(1);
    config.expected_output = vec![Tokens(1); 2];
    let mut touchy = config.pools[0].clone();
    touchy.health = Some(Box::new(HealthSettings { consecutive: 1, ..config.health }));
    config.pools.push(touchy);
    config.retry.attempts = 1;
    let to = |class: Option<u16>, pool| RouteSpec {
        when: Match { classes: class.map(ClassId).into_iter().collect(), ..Match::default() },
        to: vec![PoolId(pool)],
        ..RouteSpec::default()
    };
    config.routes = vec![to(Some(1), 1), to(None, 0)];
    let mut story = Story::new(config);
    for id in 0..8 {
        let class = ClassId((id % 2) as u16);
        let request = Request::new(RequestId(id), story.now);
        story.feed(Input::Arrive(Request { class, ..request }));
        if !story.dispatched().is_empty() {
            story.finish(id, 0, RESET);
        }
        let state = |node| story.balancer.fleet().node(NodeId(node)).state();
        assert_eq!(state(0), NodeState::Up, "four failures are not five");
        assert_eq!(state(1) == NodeState::Ejected, id > 0, "one is enough");
    }
}
