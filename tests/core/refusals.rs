//! Whose fault a refusal is: the request's, or the node's that says so.

use crate::common;
use crate::common::story::{RESET, Story, usage};
use crate::common::{World, constant};
use plimsoll::balance::{
    Cause, Config, End, Event, Failure, Fate, NoRetry, NodeState, Outcome, PoolSpec, StrategySpec,
    Usage,
};
use plimsoll::metrics::Summary;
use plimsoll::node::{ErrorAnswer, FaultKind, FaultSpec};
use plimsoll::unit::{NodeId, PoolId, Ratio, Span, Time};

const fn refused(failure: Failure) -> Outcome {
    Outcome::Failed(failure, Usage::NONE)
}

const MISSING: Outcome = refused(Failure::NotFound);
const WRONG: Outcome = refused(Failure::ClientError);

/// So many pools of two nodes, in failover order.
fn pools(count: u16) -> Config {
    let mut config = common::config(2 * usize::from(count), "round_robin", 1);
    for (index, node) in config.nodes.iter_mut().enumerate() {
        node.pool = PoolId(index as u16 / 2);
    }
    let strategy = || StrategySpec::named("round_robin").expect("a strategy");
    config.pools = (0..count).map(|at| PoolSpec::new(&format!("p{at}"), strategy())).collect();
    config.routes[0].to = (0..count).map(PoolId).collect();
    config
}

fn sent(story: &Story) -> Option<NodeId> {
    story.dispatched().first().map(|(_, node)| *node)
}

fn fate(story: &Story) -> Option<Fate> {
    story.settled().map(|settled| settled.fate)
}

/// A request that one node serves, so that it is known to.
fn served(story: &mut Story, id: u64) -> NodeId {
    story.arrive(id, 10);
    let node = sent(story).expect("a node");
    story.finish(id, 0, Outcome::Done(usage(10, 5)));
    node
}

// ----- one request -----

#[test]
fn what_one_node_has_not_is_asked_of_another_at_once_and_elsewhere() {
    let mut story = Story::new(common::config(3, "round_robin", 1));
    story.arrive(0, 10);
    let first = sent(&story).expect("a node");
    story.finish(0, 0, MISSING);
    let second = sent(&story).expect("no pause: the first one will never have it");
    assert_ne!(first, second);
    story.finish(0, 1, Outcome::Done(usage(10, 5)));
    assert_eq!(fate(&story), Some(Fate::Completed));
}

#[test]
fn where_two_nodes_have_it_not_the_client_is_told_and_nobody_is_blamed() {
    let mut story = Story::new(common::config(4, "round_robin", 1));
    for id in 0..40 {
        story.arrive(id, 10);
        story.finish(id, 0, MISSING);
        story.finish(id, 1, MISSING);
        assert_eq!(fate(&story), Some(Fate::Failed(End::Failed(Failure::NotFound))), "{id}");
        for node in 0..4 {
            assert_eq!(story.state(NodeId(node)), NodeState::Up, "{id}");
        }
    }
}

#[test]
fn a_mistake_of_a_client_is_not_sent_around() {
    // One served and one refused in turn: of three nodes each gets both.
    let mut story = Story::new(common::config(3, "round_robin", 1));
    for id in 0..20 {
        served(&mut story, 2 * id);
        story.arrive(2 * id + 1, 10);
        story.finish(2 * id + 1, 0, WRONG);
        assert!(story.dispatched().is_empty());
        assert_eq!(fate(&story), Some(Fate::Failed(End::Failed(Failure::ClientError))));
    }
    assert_eq!(story.balancer.totals().dispatched, 40);
}

#[test]
fn a_refusal_stands_though_the_next_node_has_trouble_of_its_own() {
    for (outcome, end) in [(RESET, Failure::NotFound), (WRONG, Failure::ClientError)] {
        let mut config = common::config(2, "round_robin", 1);
        config.retry.attempts = 2;
        let mut story = Story::new(config);
        story.arrive(0, 10);
        story.finish(0, 0, MISSING);
        story.finish(0, 1, outcome);
        assert_eq!(fate(&story), Some(Fate::Failed(End::Failed(end))));
    }
}

#[test]
fn a_refusal_waits_for_nobody() {
    let mut config = common::config(2, "round_robin", 1);
    for node in &mut config.nodes {
        node.limits.concurrency = Some(1);
    }
    let mut story = Story::new(config);
    story.arrive(0, 10);
    story.arrive(1, 10);
    story.finish(0, 0, MISSING);
    assert_eq!(fate(&story), Some(Fate::Failed(End::Failed(Failure::NotFound))), "both are taken");
}

// ----- length and policy -----

#[test]
fn what_is_too_long_goes_to_another_pool_and_round_none() {
    let mut story = Story::new(pools(2));
    story.arrive(0, 10);
    let small = sent(&story).expect("a node");
    story.finish(0, 0, refused(Failure::TooLong));
    let large = sent(&story).expect("a node");
    assert!(small.0 < 2 && large.0 >= 2, "{small:?}, {large:?}");
    story.finish(0, 1, refused(Failure::TooLong));
    assert_eq!(fate(&story), Some(Fate::Failed(End::Failed(Failure::TooLong))), "two pools");
    assert_eq!(story.balancer.totals().dispatched, 2);
}

#[test]
fn what_finds_the_longer_contexts_full_may_come_again() {
    let mut config = pools(2);
    config.nodes[2].limits.concurrency = Some(1);
    config.nodes[3].limits.concurrency = Some(1);
    let mut story = Story::new(config);
    let long = |story: &mut Story, id| {
        story.arrive(id, 10);
        story.finish(id, 0, refused(Failure::TooLong));
    };
    long(&mut story, 0);
    long(&mut story, 1);
    assert_eq!(fate(&story), None);
    long(&mut story, 2);
    let full = End::Failed(Failure::Overloaded);
    assert_eq!(fate(&story), Some(Fate::Failed(full)), "not that it is too long");
}

#[test]
fn a_policy_is_passed_only_where_the_route_says_so() {
    for past in [false, true] {
        let mut config = pools(2);
        config.routes[0].past_policy = past;
        let (balancer, now) = (&mut plimsoll::balance::Balancer::new(config), Time::ZERO);
        let mut said = |input| {
            let effects = balancer.handle(now, input);
            let sent = effects.actions.iter().find_map(|action| match action {
                plimsoll::balance::Action::Dispatch { attempt, node, .. } => {
                    Some((*attempt, *node))
                }
                _ => None,
            });
            let denied = effects.events.iter().find_map(|event| match event {
                Event::RetryDenied { reason, .. } => Some(*reason),
                _ => None,
            });
            (sent, denied)
        };
        use plimsoll::balance::{Input, Request};
        let request = Request::new(plimsoll::unit::RequestId(0), now);
        let (first, _) = said(Input::Arrive(request));
        let (attempt, _) = first.expect("it is sent");
        let refused = refused(Failure::ContentPolicy);
        let (second, denied) = said(Input::Finish(attempt, refused));
        if !past {
            assert_eq!((second, denied), (None, Some(NoRetry::NotRetryable)));
            continue;
        }
        let (attempt, node) = second.expect("it goes on");
        assert!(node.0 >= 2, "to another provider");
        let (third, denied) = said(Input::Finish(attempt, refused));
        assert_eq!(
            (third, denied),
            (None, Some(NoRetry::NotRetryable)),
            "both pools are against it"
        );
    }
}

// ----- nodes -----

#[test]
fn a_node_that_refuses_what_others_serve_leaves_after_as_many_as_failures_would() {
    let mut config = common::config(2, "round_robin", 1);
    config.health.consecutive = 3;
    let mut story = Story::new(config);
    let mut cause = None;
    for id in 0..50 {
        story.arrive(id, 10);
        let first = sent(&story).expect("a node");
        if first == NodeId(0) {
            story.finish(id, 0, MISSING);
            assert_eq!(sent(&story), Some(NodeId(1)));
        }
        story.finish(id, u8::from(first == NodeId(0)), Outcome::Done(usage(10, 5)));
        let left = story.events.iter().find_map(|event| match event {
            Event::NodeState { node: NodeId(0), to: NodeState::Ejected, cause, .. } => Some(*cause),
            _ => None,
        });
        cause = cause.or(left);
    }
    assert_eq!(cause, Some(Cause::Refusals(3)));
    assert_eq!(story.state(NodeId(1)), NodeState::Up);
}

#[test]
fn another_model_that_takes_it_proves_a_refusal_of_what_is_missing_only() {
    for (outcome, leaves) in [(MISSING, true), (WRONG, false)] {
        let mut config = pools(2);
        config.health.consecutive = 3;
        // The second node of each pool is away.
        config.nodes.remove(3);
        config.nodes.remove(1);
        let mut story = Story::new(config);
        for id in 0..10 {
            story.arrive(id, 10);
            if sent(&story) == Some(NodeId(0)) {
                story.finish(id, 0, outcome);
            }
            if let Some((ordinal, _)) = story.dispatched().first().copied() {
                story.finish(id, ordinal, Outcome::Done(usage(10, 5)));
            }
        }
        assert_eq!(story.state(NodeId(0)) != NodeState::Up, leaves, "{outcome:?}");
    }
}

/// `ill` of `nodes` nodes answer everything with this status from the tenth second on.
fn world(nodes: usize, ill: u32, status: u16, strategy: &str, attempts: u8) -> World {
    let backend = common::hosted(constant(0.3), constant(60.0));
    let mut world = World::new(nodes, strategy, &backend, 5.0 * nodes as f64, 300 * nodes as u64);
    world.config.retry.attempts = attempts;
    let kind = FaultKind::Errors(Ratio::ONE, ErrorAnswer::Status(status));
    let at = Time::ZERO + Span::from_secs(10);
    let nodes = (0..ill).map(NodeId).collect();
    world.faults = vec![FaultSpec { at, lasts: None, kind, nodes }];
    world
}

fn failed(world: &World) -> (f64, Summary) {
    let (summary, _) = world.run_with(|_, _| {}, |_, _| {}, true);
    (summary.requests.failed as f64 / summary.requests.arrived as f64, summary)
}

#[test]
fn a_node_that_answers_a_4xx_leaves_as_one_that_answers_500_under_every_strategy() {
    let strategies = ["least_connections", "round_robin", "peak_ewma", "lmetric", "smart"];
    for strategy in strategies {
        for (status, most) in [(404, 0.002), (400, 0.01), (422, 0.01), (413, 0.01), (405, 0.002)] {
            let (share, summary) = failed(&world(4, 1, status, strategy, 3));
            assert!(share <= most, "{strategy}, {status}: {share} failed");
            let attempts = summary.nodes[0].attempts;
            assert!(attempts < 400, "{strategy}, {status}: {attempts} attempts");
        }
    }
}

#[test]
fn every_kind_of_refusal_can_be_let_happen_by_its_name() {
    use plimsoll::node::fault::{FaultDef, FaultPattern, ParamValue, ParamValues};
    let cases = [
        ("not_found", None, End::Failed(Failure::NotFound)),
        ("bad_request", None, End::Failed(Failure::ClientError)),
        ("content_policy", None, End::Failed(Failure::ContentPolicy)),
        ("context", Some(("tokens", 1)), End::Failed(Failure::TooLong)),
        ("spend_cap", Some(("status", 400)), End::Failed(Failure::Unauthorized)),
        ("rate_limit", Some(("status", 413)), End::RateLimited),
    ];
    for (name, params, wanted) in cases {
        let mut values = ParamValues::default();
        if let Some((param, value)) = params {
            values.set(param, ParamValue::Whole(value));
        }
        let pattern = FaultDef::find(name).expect("a fault").build(&values).expect("sound");
        let FaultPattern::Lasting(kind) = pattern else { panic!("{name} lasts") };
        let mut world = world(2, 1, 404, "round_robin", 3);
        (world.faults[0].at, world.faults[0].kind) = (Time::ZERO, kind);
        world.requests = 100;
        let mut ends = std::collections::BTreeSet::new();
        world.run_with(
            |_, _| {},
            |_, event| {
                if let Event::Ended { node: NodeId(0), end, .. } = event {
                    ends.insert(*end);
                }
            },
            true,
        );
        assert!(ends.remove(&wanted), "{name}: {ends:?}");
        ends.remove(&End::Done);
        assert!(ends.is_empty(), "{name}: {ends:?}");
    }
}

#[test]
fn it_leaves_also_where_nothing_is_tried_again() {
    for status in [400, 404] {
        let (share, summary) = failed(&world(4, 1, status, "least_connections", 1));
        // Until a peer gets and takes something nothing says that it is not the clients.
        assert!(share < 0.15, "{status}: {share} failed");
        assert!(summary.nodes[0].attempts < 250, "{}", summary.nodes[0].attempts);
    }
}

#[test]
fn most_may_be_wrong() {
    // At most half of a pool is out at a time.
    for (ill, most) in [(2, 0.01), (3, 0.35)] {
        for status in [400, 404] {
            let (share, _) = failed(&world(6, ill, status, "least_connections", 3));
            assert!(share < most, "{ill} of 6 answer {status}: {share} failed");
        }
    }
}

#[test]
fn where_all_nodes_refuse_alike_none_leaves() {
    for share in [0.05, 0.3, 1.0] {
        for attempts in [1, 3] {
            let mut world = world(4, 4, 400, "least_connections", attempts);
            let answer = ErrorAnswer::Status(400);
            world.faults[0].kind = FaultKind::Errors(Ratio::from_f64(share), answer);
            let mut left = 0;
            world.run_with(
                |_, _| {},
                |_, event| left += u32::from(matches!(event, Event::NodeState { .. })),
                false,
            );
            assert_eq!(left, 0, "{share} of all requests");
        }
    }
}
