//! Who may come in and who is served first: closed forms and laws.

use std::collections::BTreeMap;

use crate::common::story::Story;
use crate::common::{
    class, class_labels, config, constant, exponential, finish, hosted, labels, slots,
};
use plimsoll::balance::{
    BatchSpec, Config, Degrade, DegradeLevel, DegradeSpec, Event, Fate, Input, Limits, Match,
    Order, Outcome, OverBudget, Pressure, Priority, Queue, Reject, Request, RouteSpec,
    TenantLimits, Tenants, Timeouts, Usage, Waiting,
};
use plimsoll::dist::Dist;
use plimsoll::metrics::{Collector, Labels, Slo, Summary, Watch};
use plimsoll::node::{ApiSpec, BackendSpec};
use plimsoll::sim::{Sim, SimSpec};
use plimsoll::unit::{ClassId, PoolId, Ratio, RequestId, RouteId, Span, TenantId, Time, Tokens};
use plimsoll::workload::{ClassSpec, Mix, OpenLoop, Poisson, TenantLaw};

/// Nodes that take one request at a time, and classes.
struct World {
    config: Config,
    backend: BackendSpec,
    classes: Vec<ClassSpec>,
    slo: Slo,
    rate: f64,
    requests: u64,
}

impl World {
    fn new(
        nodes: usize,
        service: Dist,
        classes: Vec<ClassSpec>,
        rate: f64,
        requests: u64,
    ) -> World {
        let mut config = config(nodes, "random", 7);
        for node in &mut config.nodes {
            node.limits.concurrency = Some(1);
        }
        config.expected_output = vec![Tokens(100); classes.len()];
        World { config, backend: slots(1, service), classes, slo: Slo::default(), rate, requests }
    }

    fn run_with(&self, checked: bool, watch: impl FnMut(Time, &Event)) -> Summary {
        let seed = self.config.seed;
        let backends = vec![self.backend.clone(); self.config.nodes.len()];
        let mix = Mix::new(self.classes.clone(), seed);
        let source = Poisson::new(self.rate, Time::MAX, self.requests, seed, mix);
        let parts = SimSpec::new(self.config.clone(), backends.clone());
        let mut sim = Sim::new(parts, Box::new(OpenLoop::new(source))).expect("no trace");
        let classes = class_labels(&self.classes, self.slo);
        let labels = Labels { classes, ..labels(&self.config, &backends) };
        let collector = Collector::new(labels, &self.config, Watch::Report);
        finish(&mut sim, collector, |_, _| {}, watch, checked)
    }

    fn run(&self) -> Summary {
        self.run_with(false, |_, _| {})
    }
}

fn of(name: &str, priority: Priority, share: f64) -> ClassSpec {
    ClassSpec { name: name.to_owned(), share, priority, ..class() }
}

fn four() -> Vec<ClassSpec> {
    Priority::ALL
        .into_iter()
        .map(|priority| ClassSpec {
            deadline: Some(Span::from_secs(20)),
            ..of(priority.name(), priority, 1.0)
        })
        .collect()
}

fn near(what: &str, simulated: f64, exact: f64, within: f64) {
    let error = simulated / exact - 1.0;
    assert!(error.abs() < within, "{what}: simulated {simulated}, exact {exact}");
}

/// Cobham 1954: with two classes at the same rate of service, non-preemptive,
/// `W1 = rho / (1 - rho1)` and `W2 = rho / ((1 - rho1) (1 - rho))` services.
#[test]
fn two_priorities_wait_as_theory_says() {
    let classes = vec![of("low", Priority::Normal, 0.5), of("high", Priority::High, 0.5)];
    let mut world = World::new(1, exponential(1.0), classes, 0.8, 400_000);
    world.config.admission.waiting.bands = Some(Ratio::ZERO);
    let summary = world.run();
    let mean = |at: usize| summary.classes[at].latency_s.mean.expect("samples") - 1.0;
    near("high", mean(1), 0.8 / 0.6, 0.03);
    near("low", mean(0), 0.8 / (0.6 * 0.2), 0.05);
}

/// Three times what can be served: what is served is what matters most, in time; nothing of capacity
/// is lost to what comes too late.
#[test]
fn an_overload_sheds_the_lowest_first_and_keeps_its_goodput() {
    let kept = |rate: f64, waiting: Waiting| {
        let mut world = World::new(10, exponential(1.0), four(), rate, 60_000);
        world.slo.total = Some(Span::from_secs(20));
        world.config.queue = Queue { max: 1_000, max_wait: None };
        world.config.admission.waiting = waiting;
        world.run()
    };
    let bands = Some(Ratio::from_f64(0.02));
    let careful = Waiting { bands, early_rejection: true, ..Waiting::default() };
    let goodput = |summary: &Summary| summary.goodput.requests_per_s.expect("a span");
    let saturated = goodput(&kept(9.8, careful));
    let plain = kept(30.0, Waiting::default());
    let summary = kept(30.0, careful);
    let overloaded = goodput(&summary);
    assert!(overloaded >= 0.9 * saturated, "{overloaded} of {saturated}");
    let critical = plain.classes[0].goodput.slo_attainment.expect("some ended");
    assert!(critical < 0.5, "first come, first served fails the most important: {critical}");
    // Who is told at once does not wait in vain.
    let late = |summary: &Summary| summary.requests.failed;
    assert!(late(&summary) * 4 < late(&plain), "{} against {}", late(&summary), late(&plain));
    let kept: Vec<f64> =
        summary.classes.iter().filter_map(|class| class.goodput.slo_attainment).collect();
    assert!(kept.is_sorted_by(|a, b| a >= b), "{kept:?}");
    assert!(kept[0] > 0.97 && kept[3] < 0.15, "{kept:?}");
    // Nobody starves: the least important have the share they are owed.
    assert!(summary.classes[3].requests.completed as f64 > 0.015 * 20_000.0, "{kept:?}");
}

/// Earliest deadline first misses fewer deadlines than first come, first served.
#[test]
fn the_earliest_deadline_first_misses_fewer() {
    let missed = |order: Order| {
        let with = |name: &str, deadline| ClassSpec {
            deadline: Some(Span::from_secs(deadline)),
            ..of(name, Priority::Normal, 0.5)
        };
        let classes = vec![with("hurry", 4), with("leisure", 60)];
        let mut world = World::new(4, constant(1.0), classes, 3.95, 40_000);
        world.config.admission.waiting.order = order;
        let summary = world.run();
        summary.requests.failed
    };
    let (fifo, edf) = (missed(Order::Fifo), missed(Order::Edf));
    assert!(edf * 2 < fifo, "first come {fifo}, earliest deadline {edf}");
}

/// The shortest first halves the mean and lets nobody wait for ever.
#[test]
fn the_shortest_first_waits_less_in_the_mean() {
    let run = |order: Order| {
        let with = |name: &str, tokens| ClassSpec {
            prompt: constant(tokens),
            output: constant(tokens),
            ..of(name, Priority::Normal, 0.5)
        };
        let classes = vec![with("short", 100.0), with("long", 2_000.0)];
        let mut world = World::new(1, constant(1.0), classes, 1.0, 20_000);
        let (ttft, tokens_per_second) = (constant(0.1), constant(1_000.0));
        world.backend = hosted(ttft, tokens_per_second);
        world.rate = 0.8;
        world.config.expected_output = vec![Tokens(100), Tokens(2_000)];
        world.config.admission.waiting.order = order;
        let summary = world.run_with(false, |_, _| {});
        (summary.queue_s.mean.expect("samples"), summary.queue_s.max.expect("samples"))
    };
    let (fifo, _) = run(Order::Fifo);
    let (shortest, longest) = run(Order::Shortest { ageing: 0 });
    let (mean, aged) = run(Order::Shortest { ageing: 1_000 });
    assert!(shortest < 0.7 * fifo, "{shortest} against {fifo}");
    assert!(mean < fifo, "{mean} against {fifo}");
    assert!(aged < 0.95 * longest, "ageing bounds the longest wait: {aged} against {longest}");
}

/// While the line does not get empty, the last come first: some are served in time.
#[test]
fn the_last_come_first_serves_some_in_time() {
    let kept = |order: Order| {
        let classes = vec![ClassSpec { deadline: Some(Span::from_secs(5)), ..class() }];
        let mut world = World::new(10, exponential(1.0), classes, 15.0, 20_000);
        world.slo.total = Some(Span::from_secs(3));
        world.config.admission.waiting.order = order;
        world.run().goodput.slo_attainment.expect("some ended")
    };
    let after = Span::from_millis(500);
    let (fifo, lifo) = (kept(Order::Fifo), kept(Order::AdaptiveLifo { after }));
    assert!(lifo > 0.4 && lifo > 2.0 * fifo, "first come {fifo}, last come {lifo}");
}

/// Of two tenants who always have somebody waiting, none is ever further ahead in tokens than twice
/// what one prompt or all answers in flight are worth (VTC).
#[test]
fn tenants_share_by_tokens_within_the_bound() {
    let with = |name: &str, tenant, tokens: f64, share| ClassSpec {
        prompt: constant(tokens),
        output: constant(tokens),
        tenants: TenantLaw::One(TenantId(tenant)),
        ..of(name, Priority::Normal, share)
    };
    let classes = vec![with("many", 0, 100.0, 0.9), with("long", 1, 700.0, 0.1)];
    let mut world = World::new(4, constant(1.0), classes, 60.0, 12_000);
    let (ttft, tokens_per_second) = (constant(0.2), constant(500.0));
    world.backend = hosted(ttft, tokens_per_second);
    world.config.expected_output = vec![Tokens(100), Tokens(700)];
    world.config.admission.waiting.fair = true;
    for (weight, times) in [(1, 1.0), (3, 3.0)] {
        let heavy = TenantLimits { weight, ..TenantLimits::default() };
        world.config.admission.tenants.named = vec![(TenantId(1), heavy)];
        let mut served = [0.0_f64; 2];
        let mut worst = 0.0_f64;
        let until = Time::ZERO + Span::from_secs(200);
        world.run_with(false, |now, event| {
            if let Event::Ended { class, usage, .. } = event {
                let tokens = (usage.input.0 + 2 * usage.output.0) as f64;
                served[class.index()] += tokens;
                // Both have a line by the second second, and for a long time after it.
                if now < until {
                    worst = worst.max((served[0] - served[1] / times).abs());
                }
            }
        });
        // Four nodes with one answer each: M is 4 * 700 tokens.
        let bound = 2.0 * (2.0 * 4.0 * 700.0_f64).max(700.0);
        assert!(worst <= bound, "{worst} tokens apart, the bound is {bound}");
    }
}

/// A flood of one tenant fills the room; the other still finds a place in it.
#[test]
fn a_flood_of_one_tenant_leaves_room_for_others() {
    let with = |name: &str, tenant, share| ClassSpec {
        tenants: TenantLaw::One(TenantId(tenant)),
        ..of(name, Priority::Normal, share)
    };
    let served = |fair: bool| {
        let classes = vec![with("flood", 0, 0.97), with("trickle", 1, 0.03)];
        let mut world = World::new(4, exponential(1.0), classes, 20.0, 20_000);
        world.config.queue = Queue { max: 40, max_wait: None };
        world.config.admission.waiting.fair = fair;
        let summary = world.run_with(true, |_, _| {});
        let trickle = &summary.classes[1].requests;
        trickle.completed as f64 / trickle.arrived as f64
    };
    let (fair, plain) = (served(true), served(false));
    assert!(fair > 0.99 && plain < 0.4, "{fair} with fair shares, {plain} without");
}

/// Where the balancer keeps the quotas of nodes, hardly any 429 comes back, and as much is served.
#[test]
fn quotas_are_kept_instead_of_run_into() {
    let run = |quotas: bool| {
        let mut world = World::new(3, constant(1.0), vec![class()], 5.0, 6_000);
        let limits = Limits {
            concurrency: None,
            requests_per_minute: Some(60),
            tokens_per_minute: Some(30_000),
        };
        let (ttft, tokens_per_second) = (constant(0.2), constant(100.0));
        world.backend = BackendSpec::Api(ApiSpec { ttft, tokens_per_second }, limits);
        world.config.nodes.iter_mut().for_each(|node| node.limits = limits);
        world.config.queue = Queue { max: 20, max_wait: Some(Span::from_secs(30)) };
        world.config.admission.quotas = quotas;
        let mut refused = 0;
        let summary = world.run_with(true, |_, event| {
            let limited =
                matches!(event, Event::Ended { end, .. } if end.words().starts_with("429"));
            refused += u32::from(limited);
        });
        (refused, summary.requests.completed, summary.simulated_s)
    };
    let (kept, ran_into) = (run(true), run(false));
    assert!(kept.0 * 20 < ran_into.0, "{kept:?} against {ran_into:?}");
    assert!(kept.1 as f64 > 0.97 * ran_into.1 as f64, "{kept:?} against {ran_into:?}");
}

/// Limits of a pool and of a tenant are never exceeded, and cost no more than they must.
#[test]
fn limits_of_pools_and_tenants_are_kept() {
    let classes = vec![ClassSpec { tenants: TenantLaw::zipf(5, 0.5).expect("a law"), ..class() }];
    let mut world = World::new(20, exponential(1.0), classes, 15.0, 20_000);
    world.config.pools[0].limits.concurrency = Some(12);
    let limits = Limits { concurrency: Some(3), ..Limits::default() };
    let each = TenantLimits { limits, ..TenantLimits::default() };
    world.config.admission.tenants = Tenants { each, named: Vec::new() };
    world.config.queue = Queue { max: 50, max_wait: None };
    let (mut in_flight, mut most) = (BTreeMap::<TenantId, u32>::new(), (0, 0));
    let mut tenants = BTreeMap::new();
    let summary = world.run_with(true, |_, event| {
        match event {
            Event::Arrived { request, tenant, .. } => {
                tenants.insert(*request, *tenant);
            }
            Event::Dispatched { attempt, .. } => {
                *in_flight.entry(tenants[&attempt.request]).or_default() += 1;
            }
            Event::Ended { attempt, .. } => {
                *in_flight.entry(tenants[&attempt.request]).or_default() -= 1;
            }
            _ => {}
        }
        let one = in_flight.values().max().copied().unwrap_or(0);
        most = (most.0.max(one), most.1.max(in_flight.values().sum::<u32>()));
    });
    assert_eq!(most, (3, 12));
    let through = summary.requests.completed as f64 / summary.simulated_s;
    assert!(through > 11.0, "twelve at a time, a second each: {through} a second");
}

/// Requests of 1,000 and 500 tokens, of two tenants alike.
fn of_two_tenants() -> Vec<ClassSpec> {
    vec![ClassSpec {
        prompt: constant(1_000.0),
        output: constant(500.0),
        tenants: TenantLaw::zipf(2, 0.0).expect("a law"),
        ..class()
    }]
}

/// A tenant's rate is a 429 at once, with a time that is true; its money ends with the day's.
#[test]
fn rates_and_budgets_of_tenants_turn_away() {
    let mut world = World::new(4, constant(0.1), of_two_tenants(), 4.0, 4_000);
    let (ttft, tokens_per_second) = (constant(0.1), constant(1_000.0));
    world.backend = hosted(ttft, tokens_per_second);
    world.config.nodes.iter_mut().for_each(|node| {
        node.limits.concurrency = None;
        node.prices.input = plimsoll::unit::Price::from_dollars(1.0);
        node.prices.output = plimsoll::unit::Price::from_dollars(2.0);
    });
    world.config.expected_output = vec![Tokens(500)];
    let limits = Limits { requests_per_minute: Some(60), ..Limits::default() };
    let rated = TenantLimits { limits, ..TenantLimits::default() };
    // A request costs 0.002 dollars: a dollar is 500 of them.
    let poor = TenantLimits { budget: Some(1_000_000), ..TenantLimits::default() };
    world.config.admission.tenants = Tenants { each: rated, named: vec![(TenantId(1), poor)] };
    let (mut rate, mut budget, mut served) = (0, 0, [0_u32; 2]);
    let summary = world.run_with(true, |_, event| {
        let Event::Settled(settled) = event else { return };
        match settled.fate {
            Fate::Completed => served[settled.tenant.index()] += 1,
            Fate::Rejected(Reject::TenantRate(wait)) => {
                assert!(wait > Span::ZERO && wait <= Span::from_secs(1), "{wait}");
                rate += 1;
            }
            Fate::Rejected(Reject::Budget(wait)) => {
                assert!(wait > Span::from_secs(80_000), "{wait}");
                budget += 1;
            }
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(served[1], 500, "exactly the budget is spent");
    let most = 60.0 + summary.simulated_s + 1.0;
    assert!(f64::from(served[0]) <= most && f64::from(served[0]) > 0.98 * most, "{served:?}");
    assert!(rate > 500 && budget > 1_000, "{rate} over the rate, {budget} over the budget");
}

/// A pool of dear nodes and one at a tenth of their prices, to which the route degrades; a request costs
/// 0.002 or 0.0002 dollars. The second of two tenants has a dollar a day.
fn dear_and_cheap(over_budget: OverBudget, seed: u64) -> World {
    let mut world = World::new(4, constant(0.1), of_two_tenants(), 4.0, 4_000);
    world.backend = hosted(constant(0.1), constant(1_000.0));
    let config = &mut world.config;
    config.seed = seed;
    config.pools.push(config.pools[0].clone());
    for (at, node) in config.nodes.iter_mut().enumerate() {
        let dear = if at < 2 { 1.0 } else { 0.1 };
        node.pool = PoolId(if at < 2 { 0 } else { 1 });
        node.limits.concurrency = None;
        node.prices.input = plimsoll::unit::Price::from_dollars(dear);
        node.prices.output = plimsoll::unit::Price::from_dollars(2.0 * dear);
    }
    config.routes[0].to = vec![PoolId(0)];
    config.routes[0].degrade = Some(Degrade { to: vec![PoolId(1)], when: Pressure::NoRoom });
    config.expected_output = vec![Tokens(500)];
    let poor = TenantLimits { budget: Some(1_000_000), over_budget, ..TenantLimits::default() };
    config.admission.tenants =
        Tenants { each: TenantLimits::default(), named: vec![(TenantId(1), poor)] };
    world
}

#[test]
fn over_its_budget_a_tenant_is_served_by_cheaper_pools_and_nobody_else_is_touched() {
    let answers = |over_budget, seed| {
        // By tenant and pool, and requests over the budget.
        let (mut served, mut over, mut rejected) = ([[0_u32; 2]; 2], 0, 0);
        let mut others = Vec::new();
        dear_and_cheap(over_budget, seed).run_with(true, |now, event| {
            let Event::Settled(settled) = event else { return };
            if settled.fate == Fate::Completed {
                let cheap = settled.node.is_some_and(|node| node.0 >= 2);
                served[settled.tenant.index()][usize::from(cheap)] += 1;
                assert_eq!((settled.degraded, settled.over_budget), (cheap, cheap));
            }
            over += u32::from(settled.over_budget);
            rejected += u32::from(matches!(settled.fate, Fate::Rejected(Reject::Budget(_))));
            if settled.tenant == TenantId(0) {
                others.push((now, settled.request, settled.node));
            }
        });
        (served, over, rejected, others)
    };
    for seed in 1..=3 {
        let (served, over, rejected, others) = answers(OverBudget::Degrade, seed);
        assert_eq!(served[0][1], 0, "who has no budget stays where it was: {served:?}");
        // What was reserved for those in flight is within it too.
        assert_eq!((served[1][0], rejected), (500, 0), "exactly the budget goes to dear pools");
        assert!(served[1][1] > 1_000 && over == served[1][1], "{served:?}");
        let (refused, over, rejected, untouched) = answers(OverBudget::Refuse, seed);
        assert_eq!((over, refused[1], rejected), (0, [500, 0], served[1][1]));
        // The draws of a strategy go on with every request, so which of two like nodes is not compared.
        let when = |list: &[(Time, RequestId, Option<plimsoll::unit::NodeId>)]| -> Vec<_> {
            list.iter().map(|(now, request, _)| (*now, *request)).collect()
        };
        assert_eq!(when(&others), when(&untouched));
    }
}

#[test]
fn cheaper_pools_without_room_turn_away_who_is_over_its_budget_and_nobody_waits_behind() {
    let mut world = dear_and_cheap(OverBudget::Degrade, 1);
    world.config.nodes[2..].iter_mut().for_each(|node| node.limits.concurrency = Some(1));
    world.rate = 40.0;
    let (mut cheap, mut rejected) = (0, 0);
    let summary = world.run_with(true, |_, event| {
        if let Event::Settled(settled) = event {
            cheap += u32::from(settled.degraded);
            match settled.fate {
                Fate::Completed => assert!(!settled.queued, "{settled:?}"),
                Fate::Rejected(Reject::Budget(_)) if settled.tenant == TenantId(1) => rejected += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(cheap > 100 && rejected > 100, "{cheap} served, {rejected} turned away");
    assert_eq!(summary.attempts.over_budget, u64::from(cheap + rejected));
}

/// The first class has a node of its own, and so have all others.
fn two_routes() -> Config {
    let mut config = config(2, "round_robin", 1);
    config.nodes[1].pool = PoolId(1);
    config.nodes.iter_mut().for_each(|node| node.limits.concurrency = Some(1));
    config.pools.push(config.pools[0].clone());
    config.expected_output = vec![Tokens(1); 2];
    let of = |class: Option<u16>, pool| RouteSpec {
        when: Match { classes: class.map(ClassId).into_iter().collect(), ..Match::default() },
        to: vec![PoolId(pool)],
        ..RouteSpec::default()
    };
    config.routes = vec![of(Some(0), 0), of(None, 1)];
    config
}

/// Nobody waited on a route for long while others waited elsewhere: that nobody was served there says
/// nothing of how long one would wait.
#[test]
fn calm_on_a_route_foretells_no_wait() {
    for elsewhere in [false, true] {
        let mut config = two_routes();
        config.admission.waiting =
            Waiting { bands: Some(Ratio::ZERO), early_rejection: true, ..Waiting::default() };
        let mut story = Story::new(config);
        let arrive = |story: &mut Story, id: u64, class: u16, deadline: u64| {
            let deadline = story.now + Span::from_secs(deadline);
            let request = Request::new(RequestId(id), story.now);
            story.feed(Input::Arrive(Request { class: ClassId(class), deadline, ..request }));
        };
        let hour = 3_600;
        if elsewhere {
            // One is served there and one waits, all the time.
            (1_000..1_002).for_each(|id| arrive(&mut story, id, 0, hour));
        }
        // Twenty are served in turn, a second each.
        (0..20).for_each(|id| arrive(&mut story, id, 1, hour));
        for id in 0..20 {
            story.now = story.now + Span::from_secs(1);
            story.finish(id, 0, Outcome::Done(Usage::NONE));
        }
        story.now = story.now + Span::from_secs(1_000);
        for id in 20..24 {
            arrive(&mut story, id, 1, 30);
            assert_eq!(story.settled(), None, "request {id}, others wait elsewhere: {elsewhere}");
        }
    }
}

/// Where the line of a route was shortened, who matters more takes the place of who matters less on
/// this very route, however long the lines of others are.
#[test]
fn a_shortened_line_makes_place_on_its_own_route() {
    let mut config = two_routes();
    config.queue = Queue { max: 16, max_wait: None };
    config.admission.waiting.bands = Some(Ratio::ZERO);
    let mut at = [None; 6];
    at[DegradeLevel::Queue as usize - 1] = Some(Ratio::from_f64(0.7));
    config.degrade = Some(DegradeSpec { at, ..DegradeSpec::default() });
    let mut story = Story::new(config);
    let arrive = |story: &mut Story, id: u64, class: u16, priority| {
        let request = Request::new(RequestId(id), story.now);
        story.feed(Input::Arrive(Request { class: ClassId(class), priority, ..request }));
    };
    // Four wait here, a quarter of sixteen, and more elsewhere.
    (0..5).for_each(|id| arrive(&mut story, id, 0, Priority::Sheddable));
    (10..18).for_each(|id| arrive(&mut story, id, 1, Priority::Sheddable));
    story.pass(20_000);
    assert_eq!(story.balancer.degrade_level(RouteId(0)), DegradeLevel::Queue);
    arrive(&mut story, 20, 0, Priority::Critical);
    let settled = story.settled().expect("somebody gives way");
    assert_eq!((settled.request, settled.fate), (RequestId(4), Fate::Rejected(Reject::Displaced)));
    arrive(&mut story, 21, 0, Priority::Sheddable);
    let settled = story.settled().expect("nobody gives way to it");
    assert_eq!((settled.request, settled.fate), (RequestId(21), Fate::Rejected(Reject::QueueFull)));
}

/// What contradicts itself is refused.
#[test]
fn a_configuration_that_contradicts_itself_is_refused() {
    let mut wrong = config(1, "random", 1);
    wrong.admission.waiting.bands = Some(Ratio::from_f64(0.3));
    assert!(wrong.check().is_err());
    let mut wrong = config(1, "random", 1);
    wrong.pools[0].batch = Some(BatchSpec { size: 4, window: Span::from_secs(1) });
    assert!(wrong.check().is_ok());
    wrong.pools[0].limits.concurrency = Some(1);
    assert!(wrong.check().is_err());
    let mut wrong = config(1, "random", 1);
    wrong.timeouts = Timeouts::default();
    let twice = vec![(TenantId(1), TenantLimits::default()); 2];
    wrong.admission.tenants.named = twice;
    assert!(wrong.check().is_err());
}

/// Whoever shares and whatever goes first among tenants and bands: of one tenant and class those who
/// wait are served in the order in which they came to wait.
#[test]
fn of_one_tenant_and_class_who_came_first_is_served_first() {
    let fair = Waiting { fair: true, ..Waiting::default() };
    let banded = Waiting { bands: Some(Ratio::from_f64(0.05)), ..fair };
    for (waiting, concurrency) in [
        (Waiting::default(), None),
        (fair, None),
        (banded, None),
        (banded, Some(1)),
        (Waiting { early_rejection: true, ..banded }, Some(2)),
    ] {
        let tenants = TenantLaw::zipf(5, 0.8).expect("a law");
        let classes =
            four().into_iter().map(|class| ClassSpec { tenants: tenants.clone(), ..class });
        let mut world = World::new(3, exponential(1.0), classes.collect(), 4.0, 6_000);
        world.config.queue = Queue { max: 60, max_wait: Some(Span::from_secs(15)) };
        world.config.admission.waiting = waiting;
        world.config.admission.tenants.each.limits.concurrency = concurrency;
        let mut who = BTreeMap::new();
        let mut lines: BTreeMap<_, Vec<RequestId>> = BTreeMap::new();
        let mut served = 0;
        world.run_with(true, |_, event| match event {
            Event::Arrived { request, class, tenant, .. } => {
                who.insert(*request, (*tenant, *class));
            }
            Event::Queued { request, .. } => {
                lines.entry(who[request]).or_default().push(*request);
            }
            Event::Dispatched { attempt, queued: true, .. } => {
                let line = lines.get_mut(&who[&attempt.request]).expect("it was in line");
                assert_eq!(line.remove(0), attempt.request, "{waiting:?}");
                served += 1;
            }
            Event::Settled(settled) => {
                let line = lines.entry(who[&settled.request]).or_default();
                line.retain(|other| *other != settled.request);
            }
            _ => {}
        });
        assert!(served > 1_000, "{served} of those who waited were served");
    }
}
