//! Every figure of a small run, computed by hand.

use crate::common;
use plimsoll::balance::{
    Attempt, Balancer, Failure, Input, Match, Outcome, Progress, Request, RouteSpec, Usage,
};
use plimsoll::metrics::{ClassLabel, Collector, Slo, Summary, Watch};

use plimsoll::dist::Dist;
use plimsoll::unit::{ClassId, PoolId, Price, RequestId, Span, Time, Tokens};

fn at(second: u64) -> Time {
    Time::ZERO + Span::from_secs(second)
}

fn request(id: u64, class: u16, second: u64) -> Input {
    Input::Arrive(Request {
        class: ClassId(class),
        prompt: Tokens(100),
        ..Request::new(RequestId(id), at(second))
    })
}

fn attempt(request: u64, ordinal: u8) -> Attempt {
    Attempt { request: RequestId(request), ordinal }
}

fn done(request: u64, output: u64) -> Input {
    let usage =
        Usage { input: Tokens(100), cached: Tokens(40), output: Tokens(output), estimated: false };
    Input::Finish(attempt(request, 0), Outcome::Done(usage))
}

/// Two pools of one node and two classes, each class with a pool of its own. Warm-up ends at 10 s,
/// the run at 20 s.
fn run() -> Summary {
    let mut config = common::config(2, "round_robin", 1);
    config.pools.push(config.pools[0].clone());
    config.pools[1].name = "other".to_owned();
    config.nodes[1].pool = PoolId(1);
    config.nodes[0].hourly = 3_600_000_000; // a dollar a second
    config.nodes[0].limits.concurrency = Some(2);
    config.nodes[0].prices.input = Price(1_000_000); // a dollar a million
    config.nodes[0].prices.cached_input = Price(500_000);
    config.nodes[0].prices.output = Price(2_000_000);
    config.nodes[1].weight = 2;
    let first = Match { classes: vec![ClassId(0)], ..Match::default() };
    let route = |when, pool| RouteSpec { when, to: vec![PoolId(pool)], ..RouteSpec::default() };
    config.routes = vec![route(first, 0), route(Match::default(), 1)];
    config.expected_output = vec![Tokens(1); 2];
    config.retry.attempts = 1;
    let backends = vec![common::slots(2, Dist::constant(1.0).expect("a law")); 2];
    let mut labels = common::labels(&config, &backends);
    labels.warmup = at(10);
    let slo = Slo { total: Some(Span::from_secs(5)), ..Slo::default() };
    labels.classes = vec![
        ClassLabel { name: "a".to_owned(), slo, deadline: None },
        ClassLabel { name: "b".to_owned(), ..ClassLabel::default() },
    ];
    let mut collector = Collector::new(labels, &config, Watch::Report);
    let mut balancer = Balancer::new(config);
    let failed = Outcome::Failed(Failure::ServerError, Usage::NONE);
    let story = [
        (6, request(0, 0, 6)),
        (10, request(1, 0, 10)),
        (11, request(2, 0, 11)), // waits: two are in flight
        (12, Input::Progress(attempt(1, 0), Progress::FirstToken)),
        (14, done(0, 7)),        // of the warm-up; 2 begins
        (14, request(3, 1, 13)), // heard of a second late
        (16, done(1, 5)),
        (17, Input::Finish(attempt(3, 0), failed)),
        (18, done(2, 1)),
        (19, request(4, 1, 19)),
    ];
    for (second, input) in story {
        let effects = balancer.handle(at(second), input);
        effects.events.drain(..).for_each(|event| collector.fold(at(second), &event));
    }
    collector.summary(at(20), true)
}

#[track_caller]
fn near(found: Option<f64>, wanted: f64) {
    let found = found.expect("it was measured");
    assert!((found - wanted).abs() <= wanted.abs() * 1e-3 + 1e-12, "{found}, not {wanted}");
}

#[test]
fn every_figure_of_a_small_run_is_right() {
    let summary = run();
    let requests = summary.requests;
    assert_eq!((requests.arrived, requests.completed, requests.failed), (4, 2, 1));
    assert_eq!((requests.rejected, requests.cancelled, requests.in_flight), (0, 0, 1));
    assert_eq!((summary.attempts.total, summary.attempts.retries), (4, 0));
    // 1 took 6 s, its first token came after 2 s, four more in 4 s; 2 waited 3 s and took 7 s.
    near(summary.latency_s.mean, 6.5);
    near(summary.latency_s.max, 7.0);
    near(summary.ttft_s.p50, 2.0);
    near(summary.ttft_s.max, 7.0);
    near(summary.tpot_s.mean, 1.0);
    near(summary.queue_s.mean, 4.0 / 3.0);
    near(summary.queue_s.max, 3.0);
    // b has no promise but that it completes: of three that ended none was good.
    near(summary.goodput.slo_attainment, 0.0);
    near(summary.goodput.requests_per_s, 0.0);
    let tokens = summary.tokens;
    assert_eq!((tokens.input, tokens.cached_input, tokens.output), (200, 80, 6));
    // (120 + 80 / 2 + 6 * 2) dollars a million, and ten seconds at a dollar.
    near(Some(summary.cost_usd.tokens), 172e-6);
    near(Some(summary.cost_usd.hours), 10.0);
    near(summary.cost_usd.per_1k_requests, 10.000_172 / 4.0 * 1_000.0);
    // Attempts per weight: 2 and 2 / 2.
    near(summary.fairness_jain, 9.0 / (2.0 * 5.0));
    let [first, second] = &summary.nodes[..] else { panic!("two nodes") };
    assert_eq!((first.attempts, first.failed), (2, 0));
    assert_eq!((second.attempts, second.failed), (2, 1));
    near(Some(first.share), 0.5);
    // Of 2 servers over 10 s: 2 from 10 to 16 and 1 until 18; 1 from 14 to 17 and from 19 to 20.
    near(first.utilisation, 14.0 / 20.0);
    near(second.utilisation, 4.0 / 20.0);
    near(first.latency_s.mean, 5.0);
    let [a, b] = &summary.classes[..] else { panic!("two classes") };
    assert_eq!((a.requests.arrived, a.requests.completed), (2, 2));
    assert_eq!((b.requests.arrived, b.requests.failed, b.requests.in_flight), (2, 1, 1));
    let [pool, other] = &summary.pools[..] else { panic!("two pools") };
    assert_eq!((pool.requests.completed, other.requests.failed), (2, 1));
    near(Some(pool.cost_usd.total), summary.cost_usd.total);
}
